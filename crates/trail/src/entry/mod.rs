//! One entry: a leaf of the tree, for ever. Canonical JSON, versioned, without PHI in clear and without a secret.

mod canonical;
mod course;
#[macro_use]
mod declare;
mod kinds;
mod tally;
mod values;

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use thiserror::Error;

pub use canonical::NUMBER_MAX;
pub use course::Course;
pub use kinds::*;
pub use tally::{
    CumulativeTally, SessionTally, SignedCumulative, SignedTally, cumulative_tally_message, tally_message,
};
pub use values::*;

/// The version of the entry format that this code writes and reads.
pub const VERSION: u64 = 1;

/// Largest entry in bytes: the length prefix of an entry bundle has 16 bits (C2SP tlog-tiles, "Log entries").
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// An entry as it stands in the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, by the gateway's clock, in microseconds since the Unix epoch.
    pub at: u64,
    /// Its place in the order: the index of its leaf, dense from 0.
    pub seq: u64,
    /// What happened.
    pub body: Body,
}

/// Why bytes are not an entry, or a body cannot become one.
#[derive(Debug, Error)]
pub enum EntryError {
    /// Over [`ENTRY_BYTES_MAX`].
    #[error(
        "an entry of {bytes} bytes is over the limit of {ENTRY_BYTES_MAX} (hint: put the large value into a sealed object)"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not JSON, or not the fields of its kind.
    #[error("not an entry of version 1: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A required member of the envelope is missing or of another type.
    #[error("not an entry of version 1: no usable member `{0}`")]
    Envelope(&'static str),
    /// A kind that version 1 does not have.
    #[error("unknown kind `{0}` in an entry of version 1")]
    UnknownKind(String),
    /// Parses, but not byte for byte what canonicalisation gives.
    #[error("the entry is not in canonical form (RFC 8785), or has a field that its kind does not have")]
    NotCanonical,
}

/// An entry that waits only for its number: everything before and after the digits of `seq`.
#[derive(Debug, Clone)]
pub struct Draft {
    bytes: Vec<u8>,
    seq_at: usize,
    kind: Kind,
}

/// Most digits that a sequence number has.
const SEQ_DIGITS_MAX: usize = 20;

impl Draft {
    /// Encode a body outside every lock. `at` is in microseconds since the Unix epoch.
    ///
    /// # Errors
    /// Over [`ENTRY_BYTES_MAX`], or a number above [`NUMBER_MAX`].
    pub fn new(at: u64, body: &Body) -> Result<Self, EntryError> {
        let mut bytes = Vec::with_capacity(1024);
        let kind = body.kind();
        let mut fields = canonical::Fields::new(&mut bytes, at, kind.as_str());
        body.write(&mut fields)?;
        let seq_at = fields.end()?;
        if bytes.len() + SEQ_DIGITS_MAX > ENTRY_BYTES_MAX {
            return Err(EntryError::TooLarge { bytes: bytes.len() + SEQ_DIGITS_MAX });
        }
        Ok(Self { bytes, seq_at, kind })
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Most bytes that it will take.
    pub(crate) fn size_max(&self) -> usize {
        self.bytes.len() + SEQ_DIGITS_MAX
    }

    /// Append the entry with its number.
    pub(crate) fn place(&self, seq: u64, out: &mut Vec<u8>) {
        let (head, tail) = self.bytes.split_at_checked(self.seq_at).unwrap_or((&self.bytes, &[]));
        out.extend_from_slice(head);
        let mut digits = [0_u8; SEQ_DIGITS_MAX];
        let mut rest = seq;
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        out.extend_from_slice(digits.get(SEQ_DIGITS_MAX - used..).unwrap_or(&[]));
        out.extend_from_slice(tail);
    }
}

impl Entry {
    /// The canonical bytes.
    ///
    /// # Errors
    /// As [`Draft::new`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryError> {
        let draft = Draft::new(self.at, &self.body)?;
        let mut out = Vec::with_capacity(draft.size_max());
        draft.place(self.seq, &mut out);
        Ok(out)
    }
}

/// Take a number out of the members, strictly.
fn number(members: &mut BTreeMap<String, &RawValue>, name: &'static str) -> Result<u64, EntryError> {
    let raw = members.remove(name).ok_or(EntryError::Envelope(name))?;
    serde_json::from_str(raw.get()).map_err(|_| EntryError::Envelope(name))
}

/// Parse one entry strictly: an unknown kind or field, or any byte that canonicalisation would write otherwise, is an
/// error. Never panics.
///
/// # Errors
/// See [`EntryError`].
pub fn parse_entry(bytes: &[u8]) -> Result<Entry, EntryError> {
    if bytes.len() > ENTRY_BYTES_MAX {
        return Err(EntryError::TooLarge { bytes: bytes.len() });
    }
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_slice(bytes)?;
    let at = number(&mut members, "at")?;
    let seq = number(&mut members, "seq")?;
    if number(&mut members, "v")? != VERSION {
        return Err(EntryError::Envelope("v"));
    }
    let kind = members.remove("kind").ok_or(EntryError::Envelope("kind"))?;
    let kind: String = serde_json::from_str(kind.get()).map_err(|_| EntryError::Envelope("kind"))?;
    let body = Body::read(&kind, members)?;
    let entry = Entry { at, seq, body };
    // What was dropped, reordered or written another way while parsing shows here: one rule for all of them.
    if entry.to_bytes()? != bytes {
        return Err(EntryError::NotCanonical);
    }
    Ok(entry)
}
