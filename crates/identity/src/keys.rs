//! The root keys that credentials are made with. Whoever holds one can make a credential for anybody.

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// Length of a root key in bytes.
pub(crate) const ROOT_KEY_BYTES: usize = 32;

/// One root key with its epoch.
pub struct RootKey {
    epoch: u8,
    bytes: Zeroizing<[u8; ROOT_KEY_BYTES]>,
}

impl RootKey {
    /// From bytes that were read from its file.
    #[must_use]
    pub fn new(epoch: u8, bytes: [u8; ROOT_KEY_BYTES]) -> Self {
        Self { epoch, bytes: Zeroizing::new(bytes) }
    }

    fn derive(&self, purpose: &[u8]) -> hmac::Key {
        let root = hmac::Key::new(hmac::HMAC_SHA256, self.bytes.as_ref());
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, purpose).as_ref())
    }

    /// The key of which the first link of each credential's chain is made.
    pub(crate) fn chain(&self) -> hmac::Key {
        self.derive(b"chaperone credential chain v1")
    }

    /// The key that salts are made with.
    pub(crate) fn salt(&self) -> hmac::Key {
        self.derive(b"chaperone scram salt v1")
    }
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RootKey(epoch {})", self.epoch)
    }
}

/// All root keys that are valid; the newest signs.
#[derive(Debug)]
pub struct RootKeys {
    newest: RootKey,
    older: Vec<RootKey>,
}

impl RootKeys {
    /// From one or more keys.
    #[must_use]
    pub fn new(newest: RootKey, older: Vec<RootKey>) -> Self {
        Self { newest, older }
    }

    pub(crate) fn newest(&self) -> (u8, &RootKey) {
        (self.newest.epoch, &self.newest)
    }

    pub(crate) fn of(&self, epoch: u8) -> Option<&RootKey> {
        std::iter::once(&self.newest).chain(&self.older).find(|key| key.epoch == epoch)
    }
}
