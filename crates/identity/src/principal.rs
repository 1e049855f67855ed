//! A proved identity.

use std::sync::Arc;

use chaperone_access::{Delegation, TargetName};

use crate::caveat::Restriction;
use crate::credential::CredentialId;

/// Somebody who has proved who he is. Only [`crate::Identity::authenticate`] makes one, and policy consumes it.
///
/// ```compile_fail
/// let forged = chaperone_identity::Principal { delegation: todo!(), credential: todo!() };
/// ```
///
/// ```compile_fail
/// fn twice(principal: chaperone_identity::Principal) { let _again = principal.clone(); }
/// ```
#[derive(Debug)]
pub struct Principal {
    delegation: Arc<Delegation>,
    credential: CredentialFacts,
}

/// What the credential said that proved it.
#[derive(Debug, Clone)]
pub struct CredentialFacts {
    /// Which credential.
    pub id: CredentialId,
    /// The only target that it opens.
    pub target: TargetName,
    /// Void from, in seconds since the Unix epoch; the earliest of grant and caveats.
    pub not_after: u64,
    /// What caveats took away.
    pub restriction: Restriction,
}

impl Principal {
    pub(crate) fn new(delegation: Arc<Delegation>, credential: CredentialFacts) -> Self {
        Self { delegation, credential }
    }

    /// The chain behind it.
    #[must_use]
    pub fn delegation(&self) -> &Arc<Delegation> {
        &self.delegation
    }

    /// What proved it.
    #[must_use]
    pub fn credential(&self) -> &CredentialFacts {
        &self.credential
    }
}
