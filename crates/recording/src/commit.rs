//! Commitments: what the trail holds in place of a value that may identify a patient.
//!
//! `HMAC-SHA-256(key, "chaperone commitment v1" 0x00 len(tag) tag value)`, the tag's length one byte. The tag names
//! the type, so that the number 1 and the text `1` differ; its length before it keeps tag and value apart. Whoever
//! holds the key can confirm a guessed value, which is why it is no part of any database or backup.

use std::fmt;

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};

const DOMAIN: &[u8] = b"chaperone commitment v1\0";

/// What a committed value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KindTag {
    /// What came back to a question of a server.
    Answer,
    /// The arguments of a tool call.
    Arguments,
    /// A bound value too large to seal.
    Parameter,
    /// A value that tells which patient a row is about.
    Patient,
    /// What a server asked its client.
    Question,
    /// Issuer and subject.
    Subject,
    /// What was typed as a user name.
    UserName,
}

impl KindTag {
    /// Its name in the commitment, after a byte that holds the name's length.
    fn framed(self) -> &'static [u8] {
        match self {
            Self::Answer => b"\x06answer",
            Self::Arguments => b"\x09arguments",
            Self::Parameter => b"\x09parameter",
            Self::Patient => b"\x07patient",
            Self::Question => b"\x08question",
            Self::Subject => b"\x07subject",
            Self::UserName => b"\x09user-name",
        }
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
    pub fn commit(&self, tag: KindTag, value: &[u8]) -> [u8; 32] {
        let mut hasher = self.hasher(tag);
        hasher.update(value);
        hasher.finish()
    }

    /// Commit to a value of a column that tells which patient a row is about, in its text form. Target, relation (as
    /// PostgreSQL would write it) and column stand before it, each behind its length in four bytes, big-endian.
    #[must_use]
    pub fn patient(&self, target: &str, relation: &str, column: &str, value: &[u8]) -> [u8; 32] {
        let mut hasher = self.hasher(KindTag::Patient);
        for part in [target, relation, column] {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            hasher.update(&length.to_be_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(value);
        hasher.finish()
    }

    /// Commit to a value that arrives in pieces; equal to [`Self::commit`] over their concatenation.
    #[must_use]
    pub fn hasher(&self, tag: KindTag) -> Hasher {
        let mut context = Context::with_key(&self.key);
        context.update(DOMAIN);
        context.update(tag.framed());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commitment_is_bound_to_key_kind_and_value() {
        let key = CommitmentKey::new(1, &[7; 32]);
        let of = |key: &CommitmentKey, tag, value: &[u8]| key.commit(tag, value);
        let value = of(&key, KindTag::Parameter, b"123");
        assert_eq!(value, of(&key, KindTag::Parameter, b"123"));
        assert_ne!(value, of(&key, KindTag::Subject, b"123"));
        assert_ne!(value, of(&key, KindTag::Parameter, b"124"));
        assert_ne!(value, of(&CommitmentKey::new(1, &[8; 32]), KindTag::Parameter, b"123"));
        let patient = key.patient("clinic", "clinic.patients", "mrn", b"1");
        assert_eq!(patient, key.patient("clinic", "clinic.patients", "mrn", b"1"));
        for other in [
            key.patient("clinics", "clinic.patients", "mrn", b"1"),
            key.patient("clinic", "clinic.patients", "mr", b"n1"),
            key.patient("clinic", "clinic.patients", "mrn", b"2"),
        ] {
            assert_ne!(patient, other);
        }
        let mut pieces = key.hasher(KindTag::Parameter);
        pieces.update(b"1");
        pieces.update(b"23");
        assert_eq!(pieces.finish(), value);
        for tag in
            [KindTag::Arguments, KindTag::Parameter, KindTag::Patient, KindTag::Subject, KindTag::UserName]
        {
            assert_eq!(usize::from(tag.framed()[0]), tag.framed().len() - 1);
        }
    }
}
