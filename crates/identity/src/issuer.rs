//! What is expected of an issuer's tokens.

use std::collections::{BTreeMap, BTreeSet};

use chaperone_access::{Assurance, AttributeKind};
use serde::Deserialize;

use crate::token::TokenError;

/// Clocks of issuers may differ from ours by this many seconds.
pub const SKEW_S: u64 = 60;

/// How a token may be signed (RFC 7518, section 3.1; RFC 8037). `none` and HMAC are not among them, so a public key
/// can never be taken for a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl SignatureAlgorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// As it stands in a header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// Which claims say what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimNames {
    /// Groups: a list of texts. `None`: the issuer tells none.
    pub groups: Option<String>,
    /// A name for people to read: a text.
    pub display: Option<String>,
    /// The OAuth client that an access token was made for: a text. `None`: `client_id` (RFC 9068), else `azp`.
    pub client: Option<String>,
    /// Declared attributes, each with its claim.
    pub attributes: BTreeMap<String, String>,
}

/// One service of a workload issuer: whoever has a subject like this is it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The subject, in which `*` stands for any characters but `:`.
    pub subject: String,
    /// The service's name.
    pub service: String,
    /// Its groups, beside those that the token tells.
    pub groups: BTreeSet<String>,
}

/// Whom an issuer vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vouches {
    /// People, by ID tokens (OpenID Connect Core) and access tokens (RFC 9068).
    People,
    /// Programs, by tokens that their platform puts beside them. The first that fits counts; others are nobody.
    Workloads(Vec<Workload>),
}

/// One issuer, and what its tokens have to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Its short name: the issuer of its subjects.
    pub alias: String,
    /// `iss`, exactly.
    pub identifier: String,
    /// Whom it vouches for.
    pub vouches: Vouches,
    /// `aud` of ID tokens and workloads' tokens: one of these.
    pub audiences: BTreeSet<String>,
    /// `aud` of access tokens: one of these. Empty: none is taken.
    pub access_audiences: BTreeSet<String>,
    /// `aud` of access tokens that are shown to the tools' endpoints themselves (RFC 8707): one of these. Empty: none is
    /// taken.
    pub resource_audiences: BTreeSet<String>,
    /// How tokens may be signed.
    pub algorithms: BTreeSet<SignatureAlgorithm>,
    /// Which claims say what.
    pub claims: ClaimNames,
    /// Kinds of all declared attributes.
    pub attributes: BTreeMap<String, AttributeKind>,
    /// `acr`: one of these. Empty: any or none.
    pub acr: BTreeSet<String>,
    /// `amr`: all of these.
    pub amr: BTreeSet<String>,
    /// Longest time since the authentication itself, in seconds. `None`: any.
    pub authentication_s_max: Option<u64>,
}

impl Issuer {
    /// Whether an authentication is of the strength that is required, and recent enough at `now_s`.
    ///
    /// # Errors
    /// It is not.
    pub fn satisfied_by(&self, strength: Option<&Assurance>, now_s: u64) -> Result<(), TokenError> {
        let acr = strength.and_then(|strength| strength.acr.as_ref());
        if !self.acr.is_empty() && !acr.is_some_and(|acr| self.acr.contains(acr)) {
            return Err(TokenError::Assurance);
        }
        if !strength.map_or(self.amr.is_empty(), |strength| self.amr.is_subset(&strength.amr)) {
            return Err(TokenError::Assurance);
        }
        let Some(most) = self.authentication_s_max else { return Ok(()) };
        // Nobody said when: longer ago than anything that is required.
        let at = strength.map_or(Assurance::AT_UNKNOWN, |strength| strength.at);
        if now_s > at.saturating_add(most).saturating_add(SKEW_S) {
            return Err(TokenError::AuthenticationAge);
        }
        Ok(())
    }
}

/// Whether a text fits a pattern in which `*` stands for any characters but `:`. Takes time in proportion to the
/// product of their lengths at most; both are bounded.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<&str>, Vec<&str>) = (pattern.split(':').collect(), text.split(':').collect());
    pattern.len() == text.len()
        && pattern.iter().zip(&text).all(|(pattern, text)| fits_segment(pattern, text))
}

fn fits_segment(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        // The earliest place leaves the most for what follows.
        match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_segment() {
        let yes = [
            ("a", "a"),
            ("*", ""),
            ("system:serviceaccount:clinic:*", "system:serviceaccount:clinic:etl"),
            ("repo:acme/*:ref:refs/heads/main", "repo:acme/etl:ref:refs/heads/main"),
            ("a*b*c", "a-b-b-c"),
            ("a*a", "aa"),
        ];
        for (pattern, text) in yes {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        let no = [
            ("a", "ab"),
            ("", "a"),
            ("*", "a:b"),
            ("system:serviceaccount:clinic:*", "system:serviceaccount:clinic:a:b"),
            ("system:serviceaccount:clinic:*", "system:serviceaccount:other:etl"),
            ("repo:acme/*:ref:refs/heads/main", "repo:acme/etl:environment:x:ref:refs/heads/main"),
            ("a*a", "a"),
        ];
        for (pattern, text) in no {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
