//! RFC 8785 (JSON Canonicalization Scheme) for values whose members are declared in sorted order. `serde_json`'s
//! compact form already escapes strings as section 3.2.2.2 asks; what is left is to refuse the numbers for which the
//! RFC's form (an IEEE 754 double) would lose digits, and to keep our own structs sorted, which a test compares with
//! an independent canonicaliser for every kind.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// The largest integer that every JSON reader keeps exactly (RFC 7493, section 2.2).
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Compact JSON that refuses numbers which do not survive a double.
#[derive(Debug, Clone, Copy, Default)]
struct Exact;

fn inexact() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a number above 2^53-1, below zero or with a fraction")
}

impl Formatter for Exact {
    fn write_u64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        if value > NUMBER_MAX {
            return Err(inexact());
        }
        serde_json::ser::CompactFormatter.write_u64(writer, value)
    }

    fn write_i64<W: ?Sized + io::Write>(&mut self, _: &mut W, _: i64) -> io::Result<()> {
        Err(inexact())
    }

    fn write_f32<W: ?Sized + io::Write>(&mut self, _: &mut W, _: f32) -> io::Result<()> {
        Err(inexact())
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, _: &mut W, _: f64) -> io::Result<()> {
        Err(inexact())
    }
}

/// Append the canonical form of a value whose structs declare their fields in sorted order.
///
/// # Errors
/// A number that a double cannot hold, or a negative or fractional one.
pub(crate) fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), serde_json::Error> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, Exact))
}

/// The members of an entry's own that stand among a body's fields, in sorted order.
struct Envelope {
    at: u64,
    kind: &'static str,
}

/// Writes a body's fields, which come sorted, and sets the envelope's members in their sorted places among them.
pub(crate) struct Fields<'a> {
    out: &'a mut Vec<u8>,
    envelope: Envelope,
    placed: usize,
    /// Where the digits of `seq` go: known only when the entry takes its place in the order.
    seq_at: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, at: u64, kind: &'static str) -> Self {
        out.push(b'{');
        Self { out, envelope: Envelope { at, kind }, placed: 0, seq_at: 0 }
    }

    fn name(&mut self, name: &str) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn place_below(&mut self, name: Option<&str>) -> Result<(), serde_json::Error> {
        while let Some(member) = ["at", "kind", "seq", "v"].get(self.placed) {
            if name.is_some_and(|name| name < *member) {
                return Ok(());
            }
            self.placed += 1;
            self.name(member);
            match *member {
                "at" => append(self.out, &self.envelope.at)?,
                "kind" => append(self.out, self.envelope.kind)?,
                "seq" => self.seq_at = self.out.len(),
                _ => append(self.out, &super::VERSION)?,
            }
        }
        Ok(())
    }

    /// Write one field; one that has no value (`null`) is left out, since absent and null must not both exist.
    pub(crate) fn field<T: Serialize>(&mut self, name: &str, value: &T) -> Result<(), serde_json::Error> {
        self.place_below(Some(name))?;
        let before = self.out.len();
        self.name(name);
        let at = self.out.len();
        append(self.out, value)?;
        if self.out.get(at..) == Some(b"null".as_slice()) {
            self.out.truncate(before);
        }
        Ok(())
    }

    /// Close the object; the offset at which the digits of `seq` are to be inserted.
    pub(crate) fn end(mut self) -> Result<usize, serde_json::Error> {
        self.place_below(None)?;
        self.out.push(b'}');
        Ok(self.seq_at)
    }
}
