//! How a server proves who it is: an assertion that it signs with its own key, good once (RFC 7523, section 3).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use crate::claims::text;
use crate::issuer::{SKEW_S, SignatureAlgorithm};
use crate::jwks::KeySet;
use crate::jws::{Signed, signed};
use crate::token::{TokenError, times};

/// Longest life of an assertion, in seconds: that long it is remembered that it was used.
pub const ASSERTION_S_MAX: u64 = 300;
/// Longest `jti`, in bytes.
const JTI_BYTES_MAX: usize = 256;
/// Most assertions of one server that are remembered; one more is refused until some have expired.
const USED_MAX: usize = 4096;

/// An assertion that was verified, and not used yet.
#[derive(Debug)]
pub struct Assertion {
    /// SHA-256 of its `jti`.
    id: [u8; 32],
    issued_at: u64,
    expires_at: u64,
}

/// Verify that `client` signed an assertion for one of `audiences`, each of which is us, and for nobody else. `now_s` is in
/// seconds since the Unix epoch.
///
/// # Errors
/// See [`TokenError`].
pub fn verify_assertion(
    client: &str,
    keys: &KeySet,
    audiences: &[&str],
    token: &str,
    now_s: u64,
) -> Result<Assertion, TokenError> {
    let Signed { kind, claims } = signed(token, &SignatureAlgorithm::ALL.into(), keys)?;
    if !matches!(kind.as_deref(), None | Some("jwt" | "client-authentication+jwt")) {
        return Err(TokenError::Kind);
    }
    if text(&claims, "iss")? != Some(client) || text(&claims, "sub")? != Some(client) {
        return Err(TokenError::Issuer);
    }
    // For us and nobody else: whoever else it was made for could show it here.
    let sole = match claims.get("aud") {
        Some(Value::Array(many)) => <[Value; 1]>::try_from(many.clone()).ok().map(|[one]| one),
        other => other.cloned(),
    };
    if !sole.as_ref().and_then(Value::as_str).is_some_and(|sole| audiences.contains(&sole)) {
        return Err(TokenError::Audience);
    }
    let (issued_at, expires_at) = times(&claims, now_s)?;
    if expires_at > now_s.saturating_add(ASSERTION_S_MAX + SKEW_S) {
        return Err(TokenError::Lasting);
    }
    let jti = text(&claims, "jti")?.filter(|jti| !jti.is_empty() && jti.len() <= JTI_BYTES_MAX);
    let jti = jti.ok_or_else(|| TokenError::Claim("jti".to_owned()))?;
    let mut id = [0; 32];
    for (to, from) in id.iter_mut().zip(digest(&SHA256, jti.as_bytes()).as_ref()) {
        *to = *from;
    }
    Ok(Assertion { id, issued_at, expires_at })
}

/// Which assertions were used. Pure: time comes in, in seconds since the Unix epoch.
#[derive(Debug)]
pub struct Assertions {
    /// Nothing is known of those before.
    since_s: u64,
    /// By server, until when each is remembered.
    used: Mutex<HashMap<String, HashMap<[u8; 32], u64>>>,
}

impl Assertions {
    /// None was used since `now_s`.
    #[must_use]
    pub fn new(now_s: u64) -> Self {
        Self { since_s: now_s, used: Mutex::default() }
    }

    /// Use one of a registered server.
    ///
    /// # Errors
    /// It was used before, or may have been: nothing is known of what came before this gateway's start.
    pub fn take(&self, client: &str, assertion: &Assertion, now_s: u64) -> Result<(), TokenError> {
        if assertion.issued_at < self.since_s {
            return Err(TokenError::Replayed);
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used = used.entry(client.to_owned()).or_default();
        if used.contains_key(&assertion.id) {
            return Err(TokenError::Replayed);
        }
        if used.len() >= USED_MAX {
            used.retain(|_, until_s| *until_s > now_s);
        }
        if used.len() >= USED_MAX {
            return Err(TokenError::Crowded);
        }
        used.insert(assertion.id, assertion.expires_at.saturating_add(SKEW_S));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assertion(id: u8, issued_at: u64) -> Assertion {
        Assertion { id: [id; 32], issued_at, expires_at: issued_at + 60 }
    }

    #[test]
    fn an_assertion_is_good_once_for_each_server_and_not_from_before_the_start() {
        let known = Assertions::new(1000);
        assert_eq!(known.take("a", &assertion(1, 1000), 1001), Ok(()));
        assert_eq!(known.take("a", &assertion(1, 1000), 1119), Err(TokenError::Replayed));
        assert_eq!(known.take("b", &assertion(1, 1000), 1001), Ok(()));
        assert_eq!(known.take("a", &assertion(2, 999), 1001), Err(TokenError::Replayed));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_room_comes_with_time() {
        let known = Assertions::new(0);
        let nth = |n: usize| {
            let mut id = [0; 32];
            id.iter_mut().zip(n.to_be_bytes()).for_each(|(to, from)| *to = from);
            Assertion { id, issued_at: 10, expires_at: 70 }
        };
        for n in 0..USED_MAX {
            assert_eq!(known.take("a", &nth(n), 10), Ok(()));
        }
        assert_eq!(known.take("a", &nth(USED_MAX), 129), Err(TokenError::Crowded));
        assert_eq!(known.take("b", &nth(USED_MAX), 129), Ok(()));
        assert_eq!(known.take("a", &nth(USED_MAX), 130), Ok(()));
    }
}
