//! The link between an agent's machine and the gateway's: the agent dials, both show certificates, and from then on the
//! gateway opens streams on the connection that the agent dialled (HTTP/2 with the roles turned round, RFC 9113).
//!
//! [`Links`] is the gateway's end, [`link`] the agent's. [`AgentAuthority`] signs, [`Roster`] remembers who there is.

mod agent;
mod asking;
mod authority;
mod gateway;
mod observed;
mod roster;
mod stream;
mod token;
mod words;

pub use agent::{LinkEnd, Serving, enrol, link, renew};
pub use authority::{AgentAuthority, signing_request, validity};
pub use gateway::Links;
pub use observed::{AgentEvent, LinkTls, Observer};
pub use roster::{AgentRecord, Renewal, Roster, TokenRecord};
pub use token::EnrolmentToken;
pub use words::Issued;

use chaperone_access::{AgentName, Refusal};
use thiserror::Error;

/// The name that every gateway's certificate bears: what counts is who signed it.
const SERVER_NAME: &str = "gateway.chaperone.internal";
/// ALPN of a link.
const LINK_PROTOCOL: &[u8] = b"chaperone-agent/1";
/// ALPN of enrolment and renewal: HTTP/1.1, one request.
const ENROL_PROTOCOL: &[u8] = b"chaperone-enrol/1";

/// Why there is no link, or no certificate.
#[derive(Debug, Error)]
pub enum LinkError {
    /// Not an enrolment token.
    #[error("not an enrolment token (hint: `chaperone agent token create NAME --target TARGET` prints one)")]
    Token,
    /// A certificate or key that cannot be made, read or used.
    #[error("certificate: {0}")]
    Certificate(String),
    /// The other side cannot be reached, or broke off.
    #[error("{what}: {why}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's reason.
        why: std::io::Error,
    },
    /// No answer in time.
    #[error("{0}: no answer in time")]
    TimedOut(&'static str),
    /// The other side said something that is not of this protocol.
    #[error("the other side broke the link's protocol: {0}")]
    Broken(String),
    /// The gateway refused.
    #[error("{0}")]
    Refused(Refusal),
    /// An agent of that name is linked already.
    #[error("agent `{0}` is linked already")]
    Linked(AgentName),
}

impl LinkError {
    fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |why| Self::Io { what, why }
    }
}
