//! Tokens of issuers: what they must be to be believed.

use crate::standing::Facts;

/// When and how an issuer was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// `iat`, in seconds since the Unix epoch.
    pub(crate) issued_at: u64,
    /// `exp`, in seconds since the Unix epoch.
    pub(crate) expires_at: u64,
    /// `sid`.
    pub(crate) sid: Option<String>,
    /// Whether the token had an `auth_time`.
    pub(crate) authenticated_at_is_told: bool,
}

/// A token that was verified: what its issuer vouches for.
///
/// ```compile_fail
/// fn twice(verified: chaperone_identity::Verified) { let _again = verified.clone(); }
/// ```
#[derive(Debug)]
pub struct Verified {
    facts: Facts,
    heard: Heard,
}

impl Verified {
    /// What is vouched for.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn into_parts(self) -> (Facts, Heard) {
        (self.facts, self.heard)
    }
}
