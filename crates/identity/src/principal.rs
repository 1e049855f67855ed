//! A proved identity.

use std::sync::Arc;

use chaperone_access::{Attribution, CallId, Delegation, Recipient, Server, TargetName};

use crate::caveat::Restriction;
use crate::clients::Clients;
use crate::credential::{CredentialId, Who};
use crate::standing::{Facts, Standing};

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
    standing: Arc<Standing>,
    version: u64,
    bound: Bound,
}

/// What a credential adds to the facts of its holder.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) client: Option<Arc<str>>,
    pub(crate) purpose: Option<Arc<str>>,
    pub(crate) recipient: Option<Recipient>,
    /// The server whose run the session is, or that had the subject's token exchanged.
    pub(crate) server: Option<Server>,
    /// The registered clients by whom it was bound.
    pub(crate) clients: Arc<Clients>,
    /// The tool for whose calls the session is.
    pub(crate) tool: Option<Arc<str>>,
}

/// What the credential said that proved it.
#[derive(Debug, Clone)]
pub struct CredentialFacts {
    /// Which credential.
    pub id: CredentialId,
    /// Whom it names.
    pub who: Who,
    /// The only target that it opens.
    pub target: TargetName,
    /// Void from, in seconds since the Unix epoch; the earliest of grant and caveats.
    pub not_after: u64,
    /// What caveats took away.
    pub restriction: Restriction,
}

pub(crate) fn chain(facts: &Facts, bound: &Bound) -> Delegation {
    Delegation {
        assurance: facts.assurance.clone(),
        attributes: facts.attributes.clone(),
        attribution: attribution(bound),
        client: bound.client.clone(),
        groups: facts.groups.clone(),
        purpose: bound.purpose.clone(),
        recipient: bound.recipient.clone(),
        server: bound.server.clone(),
        subject: facts.subject.clone(),
        tool: bound.tool.clone(),
    }
}

impl CredentialFacts {
    /// The one call of a tool that it was exchanged for.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        match &self.who {
            Who::Exchanged { call, .. } => *call,
            Who::Named { .. } | Who::Login(_) | Who::ServiceKey(_) => None,
        }
    }
}

fn attribution(bound: &Bound) -> Attribution {
    match (&bound.tool, &bound.server) {
        (Some(_), _) => Attribution::Leased,
        (None, Some(_)) => Attribution::Exchanged,
        (None, None) => Attribution::Session,
    }
}

impl Principal {
    pub(crate) fn new(standing: Arc<Standing>, bound: Bound, credential: CredentialFacts) -> Self {
        // The version first: facts that change in between are seen as a later version's.
        let version = standing.version();
        let delegation = Arc::new(chain(&standing.facts(), &bound));
        Self { delegation, credential, standing, version, bound }
    }

    /// The chain behind it, as it was when it was proved.
    #[must_use]
    pub fn delegation(&self) -> &Arc<Delegation> {
        &self.delegation
    }

    /// What proved it.
    #[must_use]
    pub fn credential(&self) -> &CredentialFacts {
        &self.credential
    }

    /// What is true of its holder now, shared with every other principal of that holder.
    #[must_use]
    pub fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    /// What it was bound to when it was proved.
    pub(crate) fn bound(&self) -> &Bound {
        &self.bound
    }

    /// The version of the standing that [`Self::delegation`] was made of.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The chain behind it now, with the version of the standing that it is made of. Whoever keeps something that
    /// depends on the chain compares [`Standing::version`] and begins anew where it moved.
    #[must_use]
    pub fn current(&self) -> (u64, Arc<Delegation>) {
        let version = self.standing.version();
        if version == self.version {
            return (version, self.delegation.clone());
        }
        (version, Arc::new(chain(&self.standing.facts(), &self.bound)))
    }
}
