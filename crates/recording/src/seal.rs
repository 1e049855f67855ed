//! Sealing: one frame a statement or parameter list, AES-256-GCM under the data key of one session and class.
//!
//! Frame, integers big-endian, no padding:
//!
//! ```text
//!  0  4  magic `CPF1` (the version is its last byte)
//!  4  1  kind: 1 statement, 2 parameters, 3 subjects, 4 columns, 5 transcript
//!  5  1  flags: bit 0 = the plaintext was compressed with zstd; the other bits are zero
//!  6 16  key id
//! 22 16  session id
//! 38  8  counter, from 0, one higher with each frame of this key
//! 46  n  ciphertext
//!    16  tag
//! ```
//!
//! The whole header is additional authenticated data. The nonce is four zero bytes and the counter: a data key
//! belongs to one [`SessionSealer`], which is not `Clone` and never goes back, so no nonce occurs twice under one
//! key (NIST SP 800-38D, 8.2.1).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use chaperone_access::SessionId;

use crate::keys::{DataKey, KeyId};

/// Magic and version at the start of each frame.
pub(crate) const MAGIC: [u8; 4] = *b"CPF1";
/// Bytes before the ciphertext.
pub const HEADER_LEN: usize = 46;
/// Bytes of the tag behind the ciphertext.
pub const TAG_LEN: usize = 16;
/// The largest plaintext that one frame holds, in bytes. Also bounds what opening may decompress to.
pub const PLAINTEXT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Shorter plaintexts are never compressed: the zstd frame eats what it saves.
pub const COMPRESS_BYTES_MIN: usize = 256;
/// Frames under one key; far below the 2^64 of the counter, and below what SP 800-38D allows in blocks.
pub const FRAMES_MAX: u64 = 1 << 32;

pub(crate) const FLAG_ZSTD: u8 = 1;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// The text of a statement.
    Statement,
    /// The parameters bound to it.
    Parameters,
    /// Commitments to the patients that its rows are about.
    Subjects,
    /// The columns that it uses.
    Columns,
    /// What a program printed.
    Transcript,
}

impl ObjectKind {
    /// The byte that stands in the frame.
    #[must_use]
    pub fn tag(self) -> u8 {
        match self {
            Self::Statement => 1,
            Self::Parameters => 2,
            Self::Subjects => 3,
            Self::Columns => 4,
            Self::Transcript => 5,
        }
    }

    /// The kind for a frame's byte, if there is one.
    #[must_use]
    pub fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::Statement),
            2 => Some(Self::Parameters),
            3 => Some(Self::Subjects),
            4 => Some(Self::Columns),
            5 => Some(Self::Transcript),
            _ => None,
        }
    }
}

/// Why something could not be sealed. All are ours; none releases an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The plaintext is above [`PLAINTEXT_BYTES_MAX`].
    #[error(
        "cannot seal {bytes} bytes in one frame, at most {PLAINTEXT_BYTES_MAX}; hint: send a shorter statement"
    )]
    TooLong {
        /// Length of the plaintext.
        bytes: usize,
    },
    /// The key has sealed [`FRAMES_MAX`] frames, or an earlier failure ended it.
    #[error("this session's key can seal nothing more; hint: open a new session")]
    Exhausted,
    /// The cipher or the compressor refused.
    #[error("the cipher or compressor failed; hint: end the session and look at the gateway's memory")]
    Cipher,
}

/// One sealed frame and the bare SHA-256 of its bytes, which the leaf holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFrame {
    /// The frame, as described at the top of this file.
    pub bytes: Vec<u8>,
    /// SHA-256 of `bytes`: over ciphertext only, so it confirms no guess.
    pub sha256: [u8; 32],
}

/// Seals the objects of one session and retention class. Not `Clone`: two of them would repeat nonces.
pub struct SessionSealer {
    key: LessSafeKey,
    key_id: KeyId,
    session: SessionId,
    next: u64,
    compressor: Option<zstd::bulk::Compressor<'static>>,
}

impl SessionSealer {
    /// Take a data key for good. Wrap it to its readers first: nothing gives it back.
    ///
    /// # Errors
    /// [`SealError::Cipher`] when the cipher refuses the key.
    pub fn new(session: SessionId, key: DataKey) -> Result<Self, SealError> {
        let unbound = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| SealError::Cipher)?;
        Ok(Self { key: LessSafeKey::new(unbound), key_id: key.id(), session, next: 0, compressor: None })
    }

    /// The id of the data key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Seal one object.
    ///
    /// # Errors
    /// See [`SealError`]. The counter has moved on even then: a nonce that may have been used is not used again.
    pub fn seal(&mut self, kind: ObjectKind, plaintext: &[u8]) -> Result<SealedFrame, SealError> {
        if plaintext.len() > PLAINTEXT_BYTES_MAX {
            return Err(SealError::TooLong { bytes: plaintext.len() });
        }
        if self.next >= FRAMES_MAX {
            return Err(SealError::Exhausted);
        }
        let counter = self.next;
        self.next += 1;
        let packed = self.compress(plaintext)?;
        let (flags, body) = packed.as_deref().map_or((0, plaintext), |packed| (FLAG_ZSTD, packed));

        let mut bytes = Vec::with_capacity(HEADER_LEN + body.len() + TAG_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(kind.tag());
        bytes.push(flags);
        bytes.extend_from_slice(self.key_id.as_bytes());
        bytes.extend_from_slice(&self.session.to_bytes());
        bytes.extend_from_slice(&counter.to_be_bytes());
        bytes.extend_from_slice(body);
        let (header, text) = bytes.split_at_mut_checked(HEADER_LEN).ok_or(SealError::Cipher)?;
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(counter), Aad::from(&*header), text)
            .map_err(|_| SealError::Cipher)?;
        bytes.extend_from_slice(tag.as_ref());

        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, &bytes).as_ref());
        Ok(SealedFrame { bytes, sha256 })
    }

    /// The compressed form, when it is shorter.
    fn compress(&mut self, plaintext: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        if plaintext.len() < COMPRESS_BYTES_MIN {
            return Ok(None);
        }
        if self.compressor.is_none() {
            self.compressor = Some(zstd::bulk::Compressor::new(1).map_err(|_| SealError::Cipher)?);
        }
        let compressor = self.compressor.as_mut().ok_or(SealError::Cipher)?;
        let packed = compressor.compress(plaintext).map_err(|_| SealError::Cipher)?;
        Ok((packed.len() < plaintext.len()).then_some(packed))
    }
}

pub(crate) fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    let (_, tail) = bytes.split_at_mut(NONCE_LEN - 8);
    tail.copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}
