//! An agent's key: ECDSA P-256. It proves the agent on the link and signs its tallies; it never leaves the machine.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use thiserror::Error;
use zeroize::Zeroizing;

/// A key that cannot be made, read or used.
#[derive(Debug, Error)]
#[error("the agent's key cannot be {0}")]
pub struct KeyError(pub(crate) &'static str);

/// The private key. `Debug` is not there on purpose.
pub struct AgentKey {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: EcdsaKeyPair,
}

impl AgentKey {
    /// Make one.
    ///
    /// # Errors
    /// The system's generator failed.
    pub fn generate() -> Result<Self, KeyError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_unspecified| KeyError("made"))?;
        Self::from_pkcs8(document.as_ref())
    }

    /// Read one (PKCS #8, DER).
    ///
    /// # Errors
    /// Not a P-256 key.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
            .map_err(|_rejected| KeyError("read: not a P-256 key in PKCS #8"))?;
        Ok(Self { pkcs8: Zeroizing::new(der.to_vec()), pair })
    }

    /// The private key (PKCS #8, DER), to be kept in a file of mode 0600 and nowhere else.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key: an uncompressed point (SEC 1, 65 bytes).
    #[must_use]
    pub fn public(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    /// Sign with SHA-256; an ASN.1 signature (RFC 3279, section 2.2.3).
    ///
    /// # Errors
    /// The system's generator failed.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature =
            self.pair.sign(&SystemRandom::new(), message).map_err(|_unspecified| KeyError("used"))?;
        Ok(signature.as_ref().to_vec())
    }
}

/// Whether the signature over the message was made by the key (uncompressed point).
#[must_use]
pub fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public).verify(message, signature).is_ok()
}
