//! An issuer's public keys (RFC 7517), and how long they are good.

use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use thiserror::Error;

use crate::issuer::SignatureAlgorithm;

/// Largest key set that is read, in bytes.
pub const KEY_SET_BYTES_MAX: usize = 256 * 1024;
/// Most keys of a set.
const KEYS_MAX: usize = 100;
/// Largest RSA modulus in bytes: 8192 bits.
const MODULUS_BYTES_MAX: usize = 1024;
/// An issuer is asked for its keys for one and the same cause at most once in this many seconds.
const ASK_S_MIN: u64 = 10;

/// Why bytes are not a key set.
#[derive(Debug, Error)]
pub enum KeySetError {
    /// Too large.
    #[error("the key set has more than {KEY_SET_BYTES_MAX} bytes or {KEYS_MAX} keys")]
    TooLarge,
    /// Not JSON, or without `keys`.
    #[error("not a key set (RFC 7517): {0}")]
    Malformed(#[from] serde_json::Error),
    /// It has no key that can sign anything for us.
    #[error("the key set has no public signature key of a kind that is understood")]
    Empty,
}

/// As it travels. Members that are not understood are ignored, as RFC 7517, section 4, asks.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// One public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    kid: Option<String>,
    alg: Option<SignatureAlgorithm>,
    material: Material,
}

fn bytes(text: Option<&String>, most: usize) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text?).ok()?;
    (!bytes.is_empty() && bytes.len() <= most).then_some(bytes)
}

/// A number without the zeros that some issuers put before it.
fn number(text: Option<&String>) -> Option<Vec<u8>> {
    let bytes = bytes(text, MODULUS_BYTES_MAX + 1)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).filter(|rest| !rest.is_empty()).map(<[u8]>::to_vec)
}

fn point(jwk: &Jwk, coordinate: usize) -> Option<Vec<u8>> {
    let (x, y) = (bytes(jwk.x.as_ref(), coordinate)?, bytes(jwk.y.as_ref(), coordinate)?);
    let whole = x.len() == coordinate && y.len() == coordinate;
    whole.then(|| [&[4_u8], x.as_slice(), y.as_slice()].concat())
}

/// A key that can verify signatures; `None` for every other, which is then no key of ours.
fn key(value: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig");
    let verifies = jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !signs || !verifies {
        return None;
    }
    let alg = match jwk.alg.as_deref() {
        None => None,
        // A key for an algorithm that is not ours is not ours.
        Some(alg) => Some(SignatureAlgorithm::parse(alg)?),
    };
    let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => Material::Rsa { n: number(jwk.n.as_ref())?, e: number(jwk.e.as_ref())? },
        ("EC", Some("P-256")) => Material::P256(point(&jwk, 32)?),
        ("EC", Some("P-384")) => Material::P384(point(&jwk, 48)?),
        ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(jwk.x.as_ref(), 32).filter(|x| x.len() == 32)?),
        _ => return None,
    };
    Some(Key { kid: jwk.kid, alg, material })
}

impl Key {
    /// Whether it can be meant by a token signed that way: the kind of the key decides, never the token.
    fn suits(&self, algorithm: SignatureAlgorithm) -> bool {
        use SignatureAlgorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let kind = match (&self.material, algorithm) {
            (Material::Rsa { .. }, RS256 | RS384 | RS512 | PS256 | PS384 | PS512)
            | (Material::P256(_), ES256)
            | (Material::P384(_), ES384)
            | (Material::Ed25519(_), EdDSA) => true,
            (Material::Rsa { .. }, ES256 | ES384 | EdDSA)
            | (
                Material::P256(_) | Material::P384(_) | Material::Ed25519(_),
                RS256 | RS384 | RS512 | PS256 | PS384 | PS512 | ES256 | ES384 | EdDSA,
            ) => false,
        };
        kind && self.alg.is_none_or(|alg| alg == algorithm)
    }

    /// Whether the signature is this key's, made that way. RSA keys under 2048 bits verify nothing.
    pub(crate) fn verifies(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        use SignatureAlgorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        if !self.suits(algorithm) {
            return false;
        }
        let rsa = |parameters: &RsaParameters| match &self.material {
            Material::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
            Material::P256(_) | Material::P384(_) | Material::Ed25519(_) => false,
        };
        let curve = |algorithm: &'static dyn VerificationAlgorithm| match &self.material {
            Material::P256(key) | Material::P384(key) | Material::Ed25519(key) => {
                UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
            }
            Material::Rsa { .. } => false,
        };
        match algorithm {
            RS256 => rsa(&RSA_PKCS1_2048_8192_SHA256),
            RS384 => rsa(&RSA_PKCS1_2048_8192_SHA384),
            RS512 => rsa(&RSA_PKCS1_2048_8192_SHA512),
            PS256 => rsa(&RSA_PSS_2048_8192_SHA256),
            PS384 => rsa(&RSA_PSS_2048_8192_SHA384),
            PS512 => rsa(&RSA_PSS_2048_8192_SHA512),
            ES256 => curve(&ECDSA_P256_SHA256_FIXED),
            ES384 => curve(&ECDSA_P384_SHA384_FIXED),
            EdDSA => curve(&ED25519),
        }
    }
}

/// Public keys of one issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Read a key set. Keys of other kinds and uses are left out.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        if text.len() > KEY_SET_BYTES_MAX {
            return Err(KeySetError::TooLarge);
        }
        let set: Jwks = serde_json::from_slice(text)?;
        if set.keys.len() > KEYS_MAX {
            return Err(KeySetError::TooLarge);
        }
        let keys: Vec<Key> = set.keys.into_iter().filter_map(key).collect();
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self { keys }) }
    }

    /// The key that a header means: by its id, or the only one that suits where the header names none.
    pub(crate) fn find(&self, kid: Option<&str>, algorithm: SignatureAlgorithm) -> Option<&Key> {
        let mut suiting = self
            .keys
            .iter()
            .filter(|key| key.suits(algorithm) && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid)));
        let first = suiting.next()?;
        suiting.next().is_none().then_some(first)
    }
}

/// The keys of one issuer over time. Pure: time comes in, in seconds since the Unix epoch.
#[derive(Debug)]
pub struct KeyCache {
    held: Option<(Arc<KeySet>, u64)>,
    /// When its issuer was last asked because of an unknown key.
    asked_at: Option<u64>,
    /// When it was last asked because the keys were due.
    looked_at: Option<u64>,
    kept_s_max: u64,
}

impl KeyCache {
    /// An empty one, that keeps keys for `kept_s_max` seconds while its issuer cannot be reached.
    #[must_use]
    pub fn new(kept_s_max: u64) -> Self {
        Self { held: None, asked_at: None, looked_at: None, kept_s_max }
    }

    /// The keys, where they are not too old.
    #[must_use]
    pub fn keys(&self, now_s: u64) -> Option<Arc<KeySet>> {
        let (keys, at) = self.held.as_ref()?;
        (now_s.saturating_sub(*at) < self.kept_s_max).then(|| keys.clone())
    }

    /// How old the keys are, in seconds.
    #[must_use]
    pub fn age_s(&self, now_s: u64) -> Option<u64> {
        self.held.as_ref().map(|(_, at)| now_s.saturating_sub(*at))
    }

    /// Whether the issuer may be asked now because of an unknown key; counts as asking. Whoever shows tokens with invented
    /// key ids does not make us ask more often than once in ten seconds.
    pub fn ask(&mut self, now_s: u64) -> bool {
        turn(&mut self.asked_at, now_s)
    }

    /// Whether the issuer is to be asked now because there are no keys yet, or they are older than `age_s_max`; counts
    /// as asking. An issuer that does not answer is asked again after ten seconds.
    pub fn look(&mut self, now_s: u64, age_s_max: u64) -> bool {
        self.age_s(now_s).is_none_or(|age_s| age_s >= age_s_max) && turn(&mut self.looked_at, now_s)
    }

    /// The issuer answered.
    pub fn learn(&mut self, keys: KeySet, now_s: u64) {
        self.held = Some((Arc::new(keys), now_s));
    }
}

fn turn(last: &mut Option<u64>, now_s: u64) -> bool {
    let due = last.is_none_or(|at| now_s.saturating_sub(at) >= ASK_S_MIN);
    if due {
        *last = Some(now_s);
    }
    due
}
