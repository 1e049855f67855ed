//! Checkpoints: C2SP tlog-checkpoint in a signed note (C2SP signed-note) with Ed25519.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::tree::Hash;

/// Longest checkpoint that is read.
pub(crate) const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;
/// Signature type of Ed25519 in a signed note.
const ED25519_TYPE: u8 = 1;

/// Why bytes are no checkpoint of ours.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// Not the form.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// Another log's.
    #[error("the checkpoint is of `{0}`, not of this log")]
    Origin(String),
    /// No valid signature by the key.
    #[error("the checkpoint has no valid signature by the log's key")]
    Signature,
    /// The verifier key is not one.
    #[error("not a verifier key: `name+hash+key` is expected (hint: `chaperone trail key` prints it)")]
    Key,
}

/// A tree's size and root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Leaves.
    pub size: u64,
    /// Root.
    pub root: Hash,
}

impl Checkpoint {
    fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }
}

fn key_hash(name: &str, public: &[u8]) -> [u8; 4] {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(b'\n');
    bytes.push(ED25519_TYPE);
    bytes.extend_from_slice(public);
    digest(&SHA256, &bytes).as_ref().first_chunk::<4>().copied().unwrap_or_default()
}

/// Signs checkpoints of one log.
pub struct Signer {
    name: String,
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.name)
    }
}

impl Signer {
    /// From the log's name and the seed of its key.
    ///
    /// # Errors
    /// A name with white space or `+`, or a seed that is none.
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, CheckpointError> {
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
            return Err(CheckpointError::Malformed("a log's name has no white space and no `+`"));
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| CheckpointError::Key)?;
        Ok(Self { name: name.to_owned(), pair })
    }

    /// The log's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The verifier key, as signed notes have it: `name+hash+key`.
    #[must_use]
    pub fn verifier_key(&self) -> String {
        let public = self.pair.public_key().as_ref();
        let mut typed = vec![ED25519_TYPE];
        typed.extend_from_slice(public);
        format!("{}+{}+{}", self.name, hex::encode(key_hash(&self.name, public)), STANDARD.encode(typed))
    }

    /// The signed note.
    #[must_use]
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let body = checkpoint.body();
        let line = self.line(&body);
        format!("{body}\n{line}")
    }

    /// The note with the signatures of both, this one's first: whoever trusts either of them opens it.
    #[must_use]
    pub fn sign_with(&self, other: &Self, checkpoint: &Checkpoint) -> String {
        let body = checkpoint.body();
        let (first, second) = (self.line(&body), other.line(&body));
        format!("{body}\n{first}{second}")
    }

    /// One signature's line.
    fn line(&self, body: &str) -> String {
        let mut signature = key_hash(&self.name, self.pair.public_key().as_ref()).to_vec();
        signature.extend_from_slice(self.pair.sign(body.as_bytes()).as_ref());
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode(signature))
    }
}

/// Read a checkpoint's body without checking signatures. Never panics.
///
/// # Errors
/// See [`CheckpointError`].
pub fn parse_checkpoint(bytes: &[u8]) -> Result<(Checkpoint, &str), CheckpointError> {
    if bytes.len() > CHECKPOINT_BYTES_MAX {
        return Err(CheckpointError::Malformed("too large"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| CheckpointError::Malformed("not UTF-8"))?;
    let (body, signatures) =
        text.split_once("\n\n").ok_or(CheckpointError::Malformed("no blank line before the signatures"))?;
    if !signatures.ends_with('\n') {
        return Err(CheckpointError::Malformed("the last line does not end"));
    }
    let mut lines = body.split('\n');
    let origin =
        lines.next().filter(|line| !line.is_empty()).ok_or(CheckpointError::Malformed("no origin"))?;
    let size = lines.next().unwrap_or_default();
    let plain = !size.is_empty()
        && size.bytes().all(|b| b.is_ascii_digit())
        && (size == "0" || !size.starts_with('0'));
    let size = size.parse().ok().filter(|_| plain).ok_or(CheckpointError::Malformed("no size"))?;
    let root =
        STANDARD.decode(lines.next().unwrap_or_default()).ok().and_then(|root| Hash::try_from(root).ok());
    let root = root.ok_or(CheckpointError::Malformed("no root"))?;
    Ok((Checkpoint { origin: origin.to_owned(), size, root }, signatures))
}

/// A verifier key's name and public key.
pub(crate) fn parse_verifier_key(text: &str) -> Result<(&str, Vec<u8>), CheckpointError> {
    let (name, rest) = text.split_once('+').ok_or(CheckpointError::Key)?;
    let (hash, key) = rest.split_once('+').ok_or(CheckpointError::Key)?;
    let key = STANDARD.decode(key).map_err(|_| CheckpointError::Key)?;
    let Some((&ED25519_TYPE, public)) = key.split_first() else { return Err(CheckpointError::Key) };
    if hex::encode(key_hash(name, public)) != hash {
        return Err(CheckpointError::Key);
    }
    Ok((name, public.to_vec()))
}

/// Read a checkpoint and check its signature against a verifier key.
///
/// # Errors
/// See [`CheckpointError`].
pub fn open_checkpoint(bytes: &[u8], verifier_key: &str) -> Result<Checkpoint, CheckpointError> {
    let (name, public) = parse_verifier_key(verifier_key)?;
    let public = public.as_slice();
    let (checkpoint, signatures) = parse_checkpoint(bytes)?;
    if checkpoint.origin != name {
        return Err(CheckpointError::Origin(checkpoint.origin));
    }
    // The text that is signed ends with the newline before the blank line.
    let signed = bytes.get(..bytes.len().saturating_sub(signatures.len() + 1)).unwrap_or_default();
    for line in signatures.lines() {
        let Some((signer, signature)) = line.strip_prefix("\u{2014} ").and_then(|line| line.split_once(' '))
        else {
            return Err(CheckpointError::Malformed("a line that is no signature"));
        };
        let Ok(signature) = STANDARD.decode(signature) else { continue };
        let Some((id, signature)) = signature.split_first_chunk::<4>() else { continue };
        if signer == name
            && *id == key_hash(name, public)
            && UnparsedPublicKey::new(&ED25519, public).verify(signed, signature).is_ok()
        {
            return Ok(checkpoint);
        }
    }
    Err(CheckpointError::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_signed_and_no_byte_of_it_can_be_changed() {
        let signer = Signer::new("chaperone/test", &[7; 32]).unwrap();
        let made = Checkpoint { origin: "chaperone/test".into(), size: 42, root: [9; 32] };
        let note = signer.sign(&made);
        let key = signer.verifier_key();
        assert_eq!(open_checkpoint(note.as_bytes(), &key).unwrap(), made);
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(open_checkpoint(&bytes, &key).is_err(), "byte {at}");
        }
        let other = Signer::new("chaperone/test", &[8; 32]).unwrap();
        assert!(open_checkpoint(note.as_bytes(), &other.verifier_key()).is_err());
        assert!(open_checkpoint(note.as_bytes(), "x+00+AA").is_err());
        for cut in 0..note.len() {
            assert!(open_checkpoint(&note.as_bytes()[..cut], &key).is_err());
        }
    }
}
