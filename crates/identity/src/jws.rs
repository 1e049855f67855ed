//! A signed token taken apart (RFC 7515, compact serialization) and its signature verified.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::issuer::SignatureAlgorithm;
use crate::jwks::KeySet;
use crate::token::TokenError;

/// Longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 32 * 1024;
/// Longest header, decoded, in bytes.
const HEADER_BYTES_MAX: usize = 2 * 1024;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// Extensions that must be understood: none is.
    crit: Option<Value>,
    /// Set by RFC 7797 only, which changes what is signed.
    b64: Option<Value>,
}

/// What a token says, signed by a key of its issuer.
pub(crate) struct Signed {
    /// `typ` in lower case, without `application/`.
    pub(crate) kind: Option<String>,
    pub(crate) claims: Map<String, Value>,
}

fn decoded(part: &str) -> Result<Vec<u8>, TokenError> {
    // Strict: no padding, no other alphabet, no trailing bits.
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

/// Verify the signature, and nothing else. The algorithm has to be one that its signer may use, and the key of its kind.
pub(crate) fn signed(
    token: &str,
    algorithms: &BTreeSet<SignatureAlgorithm>,
    keys: &KeySet,
) -> Result<Signed, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::TooLarge);
    }
    let mut parts = token.split('.');
    let (Some(head), Some(body), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::Malformed);
    };
    let header = decoded(head)?;
    if header.len() > HEADER_BYTES_MAX {
        return Err(TokenError::TooLarge);
    }
    let header: Header = serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
    if header.crit.is_some() || header.b64.is_some() {
        return Err(TokenError::Critical);
    }
    let algorithm = SignatureAlgorithm::parse(&header.alg)
        .filter(|algorithm| algorithms.contains(algorithm))
        .ok_or(TokenError::Algorithm)?;
    let key = keys.find(header.kid.as_deref(), algorithm).ok_or(TokenError::UnknownKey)?;
    let signature = decoded(signature)?;
    let message = token.rsplit_once('.').map(|(message, _)| message).unwrap_or_default();
    if !key.verifies(algorithm, message.as_bytes(), &signature) {
        return Err(TokenError::Signature);
    }
    let claims = serde_json::from_slice(&decoded(body)?).map_err(|_| TokenError::Malformed)?;
    let kind = header.typ.map(|typ| typ.to_ascii_lowercase());
    let kind = kind.map(|kind| kind.strip_prefix("application/").map(str::to_owned).unwrap_or(kind));
    Ok(Signed { kind, claims })
}
