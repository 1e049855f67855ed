//! A Bind message that is too large to hold, read as it passes.

use bytes::{Bytes, BytesMut};

use super::frontend::formats_fit;
use super::{CodecError, NAME_GIVEN_BYTES_MAX, kept_of_name};

/// Type byte of Bind, for errors.
const TAG: u8 = b'B';

/// What [`BindReader`] yields, in this order: names, then the values, then [`BindPart::End`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindPart {
    /// The beginning of the message.
    Names {
        /// The portal's name.
        portal: String,
        /// The statement's name.
        statement: String,
        /// How many values follow.
        values: u16,
    },
    /// A value that is NULL.
    Null {
        /// Its format code.
        format: i16,
    },
    /// A value up to the limit for keeping.
    Whole {
        /// Its format code.
        format: i16,
        /// The value.
        value: Bytes,
    },
    /// A value over the limit begins; [`BindPart::Piece`]s of that many bytes follow.
    Large {
        /// Its format code.
        format: i16,
        /// Its length in bytes.
        length: u32,
    },
    /// A piece of the value that began with the last [`BindPart::Large`].
    Piece {
        /// The piece.
        bytes: Bytes,
        /// Whether it ends the value.
        last: bool,
    },
    /// The whole message was well-formed.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Names,
    Value { index: u16 },
    Piece { index: u16, rest: u32 },
    ResultFormats,
    End,
}

/// Reads a Bind in pieces, in memory of at most `whole_bytes_max`, the format codes and one piece.
///
/// Feed it the body's pieces in order, and poll until it wants more.
#[derive(Debug)]
pub struct BindReader {
    /// Bytes of the body that have not been fed yet.
    unfed: u32,
    whole_bytes_max: u32,
    state: State,
    formats: Vec<i16>,
    values: u16,
    buffer: BytesMut,
}

impl BindReader {
    /// For a body of `length` bytes; values over `whole_bytes_max` come in pieces.
    #[must_use]
    pub fn new(length: u32, whole_bytes_max: u32) -> Self {
        Self {
            unfed: length,
            whole_bytes_max,
            state: State::Names,
            formats: Vec::new(),
            values: 0,
            buffer: BytesMut::new(),
        }
    }

    /// Take the body's next piece. Bytes beyond the body's length are not looked at.
    pub fn feed(&mut self, piece: &Bytes) {
        let wanted = usize::try_from(self.unfed).unwrap_or(usize::MAX).min(piece.len());
        self.unfed -= u32::try_from(wanted).unwrap_or(self.unfed);
        self.buffer.extend_from_slice(piece.get(..wanted).unwrap_or_default());
    }

    /// The next part, or `None` where the next piece is needed or after [`BindPart::End`].
    ///
    /// # Errors
    /// Fields that do not fit the message or are over their limits. The message must not be sent on.
    pub fn poll(&mut self) -> Result<Option<BindPart>, CodecError> {
        match self.state {
            State::Names => self.names(),
            State::Value { index } if index == self.values => {
                self.state = State::ResultFormats;
                self.poll()
            }
            State::Value { index } => self.value(index),
            State::Piece { index, rest } => Ok(self.piece(index, rest)),
            State::ResultFormats => self.result_formats(),
            State::End => Ok(None),
        }
    }

    /// More is needed: an error where no more can come.
    fn wait<T>(&self, field: &'static str) -> Result<Option<T>, CodecError> {
        if self.unfed == 0 { Err(CodecError::Truncated { tag: TAG, field }) } else { Ok(None) }
    }

    fn names(&mut self) -> Result<Option<BindPart>, CodecError> {
        let Some((portal, after)) = name(&self.buffer, "portal name")? else {
            return self.wait("portal name");
        };
        let Some((statement, after)) = name(after, "statement name")? else {
            return self.wait("statement name");
        };
        let Some((count, after)) = after.split_first_chunk() else { return self.wait("format count") };
        let formats = usize::from(u16::from_be_bytes(*count));
        let Some((codes, after)) = after.split_at_checked(2 * formats) else {
            return self.wait("formats");
        };
        let Some((values, after)) = after.split_first_chunk() else { return self.wait("value count") };
        let values = u16::from_be_bytes(*values);
        if !formats_fit(formats, usize::from(values)) {
            return Err(CodecError::Invalid { tag: TAG, field: "format count" });
        }
        let (codes, _none_left) = codes.as_chunks::<2>();
        self.formats = codes.iter().map(|code| i16::from_be_bytes(*code)).collect();
        let part = BindPart::Names { portal: portal.to_owned(), statement: statement.to_owned(), values };
        let used = self.buffer.len() - after.len();
        self.values = values;
        self.state = State::Value { index: 0 };
        self.drop_front(used);
        Ok(Some(part))
    }

    fn format(&self, index: u16) -> i16 {
        match self.formats.as_slice() {
            [] => 0,
            [one] => *one,
            each => each.get(usize::from(index)).copied().unwrap_or(0),
        }
    }

    fn value(&mut self, index: u16) -> Result<Option<BindPart>, CodecError> {
        let Some((length, after)) = self.buffer.split_first_chunk::<4>() else {
            return self.wait("values");
        };
        let format = self.format(index);
        let length = i32::from_be_bytes(*length);
        if length == -1 {
            self.drop_front(4);
            self.state = State::Value { index: index + 1 };
            return Ok(Some(BindPart::Null { format }));
        }
        let length = u32::try_from(length).map_err(|_| CodecError::Invalid { tag: TAG, field: "values" })?;
        // Said before anything of it is kept: the message cannot hold this value.
        let to_come = u64::from(self.unfed) + after.len() as u64;
        if u64::from(length) > to_come {
            return Err(CodecError::Truncated { tag: TAG, field: "values" });
        }
        if length > self.whole_bytes_max {
            self.drop_front(4);
            self.state = State::Piece { index, rest: length };
            return Ok(Some(BindPart::Large { format, length }));
        }
        if after.len() < length as usize {
            return Ok(None);
        }
        self.drop_front(4);
        self.state = State::Value { index: index + 1 };
        Ok(Some(BindPart::Whole { format, value: self.buffer.split_to(length as usize).freeze() }))
    }

    fn piece(&mut self, index: u16, rest: u32) -> Option<BindPart> {
        if self.buffer.is_empty() {
            return None;
        }
        let taken = self.buffer.len().min(rest as usize);
        let bytes = self.buffer.split_to(taken).freeze();
        let rest = rest - u32::try_from(taken).unwrap_or(rest);
        self.state = if rest == 0 { State::Value { index: index + 1 } } else { State::Piece { index, rest } };
        Some(BindPart::Piece { bytes, last: rest == 0 })
    }

    fn result_formats(&mut self) -> Result<Option<BindPart>, CodecError> {
        let Some((count, after)) = self.buffer.split_first_chunk() else {
            return self.wait("result format count");
        };
        let wanted = 2 * usize::from(u16::from_be_bytes(*count));
        if after.len() < wanted {
            return self.wait("result formats");
        }
        let excess = after.len() - wanted + self.unfed as usize;
        if excess > 0 {
            return Err(CodecError::Trailing { tag: TAG, excess });
        }
        self.buffer.clear();
        self.state = State::End;
        Ok(Some(BindPart::End))
    }

    fn drop_front(&mut self, bytes: usize) {
        bytes::Buf::advance(&mut self.buffer, bytes);
    }
}

/// A terminated name at the beginning of `bytes` and what follows it; `None` where it is not complete.
fn name<'a>(bytes: &'a [u8], field: &'static str) -> Result<Option<(&'a str, &'a [u8])>, CodecError> {
    let within = bytes.get(..=NAME_GIVEN_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = within.iter().position(|byte| *byte == 0) else {
        if bytes.len() > NAME_GIVEN_BYTES_MAX {
            return Err(CodecError::TooLong { tag: TAG, field, max: NAME_GIVEN_BYTES_MAX });
        }
        return Ok(None);
    };
    let (text, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    let text = std::str::from_utf8(text).map_err(|_| CodecError::NotUtf8 { tag: TAG, field })?;
    Ok(Some((kept_of_name(text, TAG, field)?, rest.get(1..).unwrap_or_default())))
}
