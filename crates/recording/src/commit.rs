//! Commitments: what the trail holds in place of a value that may identify a patient.
//!
//! `HMAC-SHA-256(key, "chaperone commitment v1" 0x00 len(tag) tag value)`, the tag's length one byte. The tag names
//! the type, so that the number 1 and the text `1` differ; its length before it keeps tag and value apart. Whoever
//! holds the key can confirm a guessed value, which is why it is no part of any database or backup.

use std::fmt;

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};

const DOMAIN: &[u8] = b"chaperone commitment v1\0";

/// A type's name in a commitment, for example `text` or `int8`: 1 to 255 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindTag<'a>(&'a str, u8);

impl<'a> KindTag<'a> {
    /// Take a tag; `None` when it is empty or longer than 255 bytes.
    #[must_use]
    pub fn new(tag: &'a str) -> Option<Self> {
        u8::try_from(tag.len()).ok().filter(|length| *length > 0).map(|length| Self(tag, length))
    }
}

/// The installation's commitment key of one epoch.
pub struct CommitmentKey {
    key: Key,
    epoch: u32,
}

impl CommitmentKey {
    /// From the 32 bytes of its file.
    #[must_use]
    pub fn new(epoch: u32, bytes: &[u8; 32]) -> Self {
        Self { key: Key::new(HMAC_SHA256, bytes), epoch }
    }

    /// The epoch that stands beside each commitment.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Commit to a value that is in memory.
    #[must_use]
    pub fn commit(&self, tag: KindTag<'_>, value: &[u8]) -> [u8; 32] {
        let mut hasher = self.hasher(tag);
        hasher.update(value);
        hasher.finish()
    }

    /// Commit to a value that arrives in pieces; equal to [`Self::commit`] over their concatenation.
    #[must_use]
    pub fn hasher(&self, tag: KindTag<'_>) -> Hasher {
        let mut context = Context::with_key(&self.key);
        context.update(DOMAIN);
        context.update(&[tag.1]);
        context.update(tag.0.as_bytes());
        Hasher(context)
    }
}

impl fmt::Debug for CommitmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitmentKey(epoch {}, ..)", self.epoch)
    }
}

/// A commitment under way.
pub struct Hasher(Context);

impl Hasher {
    /// Take the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The commitment.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.sign().as_ref());
        out
    }
}
