//! What a stranger says of himself. A claim proves nothing: every field is a stranger's word until `identity`
//! has turned it into a principal.

use std::net::IpAddr;
use std::sync::Arc;

/// Where a connection comes from, for throttling and for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// A network peer.
    Ip(IpAddr),
    /// A Unix socket of this machine.
    Local,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Local => f.write_str("local"),
        }
    }
}

/// What the SCRAM exchange was bound to (RFC 5802, section 6; RFC 5929 for `tls-server-end-point`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelBinding {
    /// SCRAM-SHA-256 on a channel without TLS, or by a client that does not support binding.
    None,
    /// SCRAM-SHA-256-PLUS with `tls-server-end-point`, already compared with our own certificate's hash.
    ServerEndPoint,
}

/// Everything a first message may claim.
#[derive(Debug, Clone)]
pub enum Claim {
    /// A finished SCRAM-SHA-256(-PLUS) exchange that has not been checked.
    Scram(ScramClaim),
}

/// A SCRAM exchange up to and including client-final (RFC 5802, section 3), unchecked. The exchange's own form
/// (nonce echoed, attributes in order, channel binding data equal to ours) has been checked by the protocol.
#[derive(Debug, Clone)]
pub struct ScramClaim {
    /// The user name: a Chaperone credential's identifier and caveats, at most 512 bytes.
    pub user: Arc<str>,
    /// Name of the target asked for, as sent; not yet known to be one.
    pub target: Arc<str>,
    /// What the exchange was bound to.
    pub channel_binding: ChannelBinding,
    /// `AuthMessage`: client-first-bare, server-first and client-final-without-proof, joined with commas.
    pub auth_message: Vec<u8>,
    /// `ClientProof`.
    pub proof: [u8; 32],
    /// The salt that was sent in server-first.
    pub salt: Vec<u8>,
    /// The iteration count that was sent in server-first.
    pub iterations: u32,
    /// Where it comes from.
    pub source: Source,
    /// What the client calls itself (`application_name`): kept as a claim, never trusted.
    pub application: Option<Arc<str>>,
}
