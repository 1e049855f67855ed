//! Bounds-checked reading of one message's fields.

use super::{CodecError, kept_of_name};

/// What is left of a message's body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    tag: u8,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(tag: u8, body: &'a [u8]) -> Self {
        Self { tag, rest: body }
    }

    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Everything that is left.
    pub(crate) fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn bytes(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], CodecError> {
        let (head, rest) =
            self.rest.split_at_checked(count).ok_or(CodecError::Truncated { tag: self.tag, field })?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CodecError> {
        let (head, rest) =
            self.rest.split_first_chunk().ok_or(CodecError::Truncated { tag: self.tag, field })?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn byte(&mut self, field: &'static str) -> Result<u8, CodecError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, CodecError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(crate) fn i16(&mut self, field: &'static str) -> Result<i16, CodecError> {
        self.array(field).map(i16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, CodecError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, CodecError> {
        self.array(field).map(i32::from_be_bytes)
    }

    /// Bytes up to a NUL, which is consumed.
    pub(crate) fn terminated(&mut self, field: &'static str) -> Result<&'a [u8], CodecError> {
        let end = self
            .rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(CodecError::Truncated { tag: self.tag, field })?;
        let text = self.bytes(end, field)?;
        self.byte(field)?;
        Ok(text)
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<&'a str, CodecError> {
        let tag = self.tag;
        std::str::from_utf8(self.terminated(field)?).map_err(|_| CodecError::NotUtf8 { tag, field })
    }

    /// A statement's or portal's name, as the server keeps it.
    pub(crate) fn name(&mut self, field: &'static str) -> Result<&'a str, CodecError> {
        kept_of_name(self.text(field)?, self.tag, field)
    }

    /// A length of -1 for none, or that many bytes.
    pub(crate) fn value(&mut self, field: &'static str) -> Result<Option<&'a [u8]>, CodecError> {
        match self.i32(field)? {
            -1 => Ok(None),
            length => {
                let length =
                    usize::try_from(length).map_err(|_| CodecError::Invalid { tag: self.tag, field })?;
                self.bytes(length, field).map(Some)
            }
        }
    }

    pub(crate) fn finish(self) -> Result<(), CodecError> {
        match self.rest.len() {
            0 => Ok(()),
            excess => Err(CodecError::Trailing { tag: self.tag, excess }),
        }
    }
}
