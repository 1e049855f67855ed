//! What happens to agents' identities and links, for whoever puts it on record.

use std::net::SocketAddr;

use chaperone_access::{AgentName, Refusal, TargetName};

use super::roster::AgentRecord;
use crate::dial::BoxFuture;

/// Something that happened to an agent's identity or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// A token is about to be made.
    Invited {
        /// The agent that it enrols.
        agent: AgentName,
        /// What that one may serve.
        targets: Vec<TargetName>,
        /// When it is void, in seconds since the Unix epoch.
        not_after_s: u64,
        /// Who makes it.
        by: String,
    },
    /// A token was turned into an identity.
    Enrolled {
        /// The new record.
        record: AgentRecord,
        /// Who made the token.
        by: String,
    },
    /// A link is about to be used.
    Connected {
        /// Whose.
        agent: AgentName,
        /// Its key (uncompressed P-256 point).
        public_key: Vec<u8>,
        /// Where it comes from.
        source: SocketAddr,
        /// Its encryption.
        tls: LinkTls,
    },
    /// A link is over.
    Disconnected {
        /// Whose.
        agent: AgentName,
        /// Why.
        reason: String,
    },
    /// An identity is served no more.
    Locked {
        /// Whose.
        agent: AgentName,
        /// By whom; `None` where the gateway did it itself.
        by: Option<String>,
        /// Why.
        reason: String,
    },
    /// An identity is about to be forgotten.
    Removed {
        /// Whose.
        agent: AgentName,
        /// By whom.
        by: String,
        /// Why.
        reason: String,
    },
}

/// A link's encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTls {
    /// Cipher suite, as rustls names it.
    pub cipher: String,
    /// SHA-256 of the agent's certificate, DER.
    pub peer: [u8; 32],
}

/// Puts events on record. An event that could not be recorded did not happen: no link, no identity.
pub trait Observer: Send + Sync {
    /// Durable when it returns `Ok`.
    fn note(&self, event: AgentEvent) -> BoxFuture<'_, Result<(), Refusal>>;
}
