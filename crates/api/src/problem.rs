//! Why something was not done (RFC 9457).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What sort of problem it is: a closed list, so that a program can tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// The request cannot be understood.
    Malformed,
    /// Nobody has proved who asks.
    NotAuthenticated,
    /// Whoever asks may not, or may not know.
    NotPermitted,
    /// There is no such thing.
    NotFound,
    /// The path exists, but not for this method.
    NoSuchMethod,
    /// It does not fit what is there now.
    Conflict,
    /// The same `Idempotency-Key` came with another request, or its first one is still under way.
    KeyInUse,
    /// More than is taken at a time.
    TooLarge,
    /// Not JSON.
    NotJson,
    /// It can be understood, but asks for what cannot be.
    Unusable,
    /// Too much was asked lately.
    TooMany,
    /// The gateway's own fault; its log has the cause.
    Fault,
    /// It cannot be recorded now, so it was not done.
    Unrecorded,
}

impl ProblemKind {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Malformed,
        Self::NotAuthenticated,
        Self::NotPermitted,
        Self::NotFound,
        Self::NoSuchMethod,
        Self::Conflict,
        Self::KeyInUse,
        Self::TooLarge,
        Self::NotJson,
        Self::Unusable,
        Self::TooMany,
        Self::Fault,
        Self::Unrecorded,
    ];

    const fn facts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Malformed => (400, "malformed", "the request cannot be understood"),
            Self::NotAuthenticated => (401, "not-authenticated", "not authenticated"),
            Self::NotPermitted => (403, "not-permitted", "not permitted"),
            Self::NotFound => (404, "not-found", "there is no such thing"),
            Self::NoSuchMethod => (405, "no-such-method", "not with this method"),
            Self::Conflict => (409, "conflict", "it does not fit what is there"),
            Self::KeyInUse => (409, "key-in-use", "the idempotency key belongs to another request"),
            Self::TooLarge => (413, "too-large", "more than is taken at a time"),
            Self::NotJson => (415, "not-json", "the body is not JSON"),
            Self::Unusable => (422, "unusable", "what is asked for cannot be"),
            Self::TooMany => (429, "too-many", "too much at a time"),
            Self::Fault => (500, "fault", "the gateway could not do it"),
            Self::Unrecorded => (503, "unrecorded", "it cannot be recorded, so it was not done"),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.facts().0
    }

    /// The URI that names it.
    #[must_use]
    pub fn uri(self) -> String {
        format!("urn:chaperone:problem:{}", self.facts().1)
    }

    /// The same words for every problem of this kind.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.facts().2
    }
}

/// Any refusal of the API, as `application/problem+json`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A URI that names its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// The words for that kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// Of a kind.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind: kind.uri(),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.into(),
            hint: None,
        }
    }

    /// With the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_uri_of_its_own() {
        let uris: std::collections::BTreeSet<String> =
            ProblemKind::ALL.iter().map(|kind| kind.uri()).collect();
        assert_eq!(uris.len(), ProblemKind::ALL.len());
        assert!(ProblemKind::ALL.iter().all(|kind| (400..600).contains(&kind.status())));
    }
}
