//! The server's side of a SCRAM-SHA-256(-PLUS) exchange (RFC 5802, RFC 7677) up to its proof, which is not checked
//! here. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chaperone_access::{ChannelBinding, Refusal, RefusalCode};

/// Without channel binding.
pub(crate) const PLAIN: &str = "SCRAM-SHA-256";
/// With channel binding.
pub(crate) const PLUS: &str = "SCRAM-SHA-256-PLUS";

/// The exchange after server-first.
pub(crate) struct Challenged {
    client_first_bare: String,
    /// What the client sends on.
    pub(crate) server_first: String,
    /// Client's and server's nonce.
    nonce: String,
    /// What `c=` must be, in base 64.
    expected_binding: String,
    binding: ChannelBinding,
}

/// What client-final holds.
pub(crate) struct Finished {
    pub(crate) auth_message: Vec<u8>,
    pub(crate) proof: [u8; 32],
    pub(crate) channel_binding: ChannelBinding,
}

/// The one text for whoever is not known, whatever the cause.
pub(crate) fn failed() -> Refusal {
    Refusal::new(RefusalCode::AuthenticationFailed, "authentication failed")
        .hint("ask for a new connection string; this one may be wrong, expired or revoked")
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(RefusalCode::ProtocolViolation, format!("malformed SCRAM message: {what}"))
}

/// Read client-first and answer it.
///
/// `end_point` is what TLS is bound to, `None` without TLS; `server_nonce` must be fresh, since it alone makes a
/// recorded exchange worthless.
pub(crate) fn challenge(
    mechanism: &str,
    client_first: &[u8],
    end_point: Option<&[u8; 32]>,
    server_nonce: &str,
    salt: &[u8],
    iterations: u32,
) -> Result<Challenged, Refusal> {
    let text = std::str::from_utf8(client_first).map_err(|_| malformed("not UTF-8"))?;
    let (flag, rest) = text.split_once(',').ok_or_else(|| malformed("no channel binding flag"))?;
    let (identity, bare) = rest.split_once(',').ok_or_else(|| malformed("no authorization identity"))?;
    if !identity.is_empty() {
        return Err(malformed("an authorization identity is not supported"));
    }
    let (binding, data) = match (mechanism, flag, end_point) {
        (PLUS, "p=tls-server-end-point", Some(hash)) => (ChannelBinding::ServerEndPoint, hash.as_slice()),
        (PLAIN, "n", _) | (PLAIN, "y", None) => (ChannelBinding::None, [].as_slice()),
        // The client could bind and believes that we cannot, though we offered it: somebody stands in between.
        (PLAIN, "y", Some(_)) => return Err(failed()),
        _ => return Err(malformed("channel binding does not fit the mechanism")),
    };
    // PostgreSQL's clients leave `n=` empty: the user is the one of the startup packet.
    let client_nonce = bare
        .strip_prefix("n=")
        .and_then(|bare| bare.split_once(",r="))
        .map(|(_user, nonce)| nonce)
        .ok_or_else(|| malformed("no nonce"))?;
    if client_nonce.is_empty() || !client_nonce.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
        return Err(malformed("invalid nonce"));
    }
    let mut header = format!("{flag},,").into_bytes();
    header.extend_from_slice(data);
    let nonce = format!("{client_nonce}{server_nonce}");
    Ok(Challenged {
        client_first_bare: bare.to_owned(),
        server_first: format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt)),
        nonce,
        expected_binding: STANDARD.encode(header),
        binding,
    })
}

impl Challenged {
    /// Read client-final: `c=`, `r=` and `p=` in this order.
    pub(crate) fn finish(self, client_final: &[u8]) -> Result<Finished, Refusal> {
        let text = std::str::from_utf8(client_final).map_err(|_| malformed("not UTF-8"))?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or_else(|| malformed("no proof"))?;
        let (binding, nonce) = without_proof
            .strip_prefix("c=")
            .and_then(|rest| rest.split_once(",r="))
            .ok_or_else(|| malformed("no channel binding or nonce"))?;
        let proof = STANDARD.decode(proof).map_err(|_| malformed("proof is not base 64"))?;
        let proof = proof.try_into().map_err(|_| malformed("proof is not 32 bytes"))?;
        if nonce != self.nonce || binding != self.expected_binding {
            return Err(failed());
        }
        let auth_message = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        Ok(Finished { auth_message: auth_message.into_bytes(), proof, channel_binding: self.binding })
    }
}

/// server-final, from ServerSignature.
pub(crate) fn server_final(signature: &[u8; 32]) -> String {
    format!("v={}", STANDARD.encode(signature))
}
