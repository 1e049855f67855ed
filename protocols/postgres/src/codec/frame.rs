//! Cutting a byte stream into messages.

use std::marker::PhantomData;

use bytes::{Buf, Bytes, BytesMut};

use super::{
    BACKEND_BYTES_MAX, BULK_WHOLE_BYTES_MAX, BackendTag, CodecError, FrontendTag, MESSAGE_BYTES_MAX,
    PARSE_EXTRA_BYTES_MAX, SMALL_BYTES_MAX, Side,
};

/// Type byte and length field.
const HEADER_BYTES: usize = 5;

/// The message types of one direction.
pub trait Tag: Copy + Eq + std::fmt::Debug + Send + Sync + 'static {
    /// Who sends them.
    const SIDE: Side;

    /// The type that a byte stands for.
    fn from_byte(byte: u8) -> Option<Self>;

    /// The byte that stands for the type.
    fn byte(self) -> u8;

    /// How large such a message may be, and whether a larger one is handed on in pieces.
    fn size(self, limits: &Limits) -> Size;
}

/// The rule for a message type's size; sizes are of the body, without type byte and length field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Collected up to this size; skipped and reported above it.
    UpTo(u32),
    /// Collected up to this size; handed on in pieces above it.
    Bulk(u32),
}

/// Body sizes above which messages are not collected.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A statement's text, in bytes.
    pub(crate) text_bytes_max: u32,
    /// Bulk messages above it come in pieces.
    pub(crate) whole_bytes_max: u32,
}

impl Limits {
    /// For what clients send. `text_bytes_max` is the longest statement text.
    #[must_use]
    pub fn frontend(text_bytes_max: usize) -> Self {
        let text_bytes_max =
            u32::try_from(text_bytes_max).unwrap_or(MESSAGE_BYTES_MAX).min(MESSAGE_BYTES_MAX);
        Self { text_bytes_max, whole_bytes_max: BULK_WHOLE_BYTES_MAX }
    }

    /// For what servers send.
    #[must_use]
    pub fn backend() -> Self {
        Self { text_bytes_max: BACKEND_BYTES_MAX, whole_bytes_max: BULK_WHOLE_BYTES_MAX }
    }

    /// The same with another size above which bulk messages come in pieces.
    #[must_use]
    pub fn whole_bytes_max(mut self, bytes: u32) -> Self {
        self.whole_bytes_max = bytes.min(MESSAGE_BYTES_MAX);
        self
    }

    /// Body of a Query: the text and its NUL.
    pub(crate) fn query(&self) -> u32 {
        self.text_bytes_max.saturating_add(1)
    }

    /// Body of a Parse: the text and everything beside it.
    pub(crate) fn parse(&self) -> u32 {
        self.text_bytes_max.saturating_add(PARSE_EXTRA_BYTES_MAX)
    }

    /// Body of a small message.
    pub(crate) fn small(&self) -> u32 {
        SMALL_BYTES_MAX
    }
}

/// One whole message, header included, as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Message<T> {
    tag: T,
    raw: Bytes,
}

impl<T: Tag> Message<T> {
    /// Its type.
    #[must_use]
    pub fn tag(&self) -> T {
        self.tag
    }

    /// Everything after the length field.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.raw.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// The message as it came: what is sent on if nothing is changed.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The message as it came.
    #[must_use]
    pub fn into_raw(self) -> Bytes {
        self.raw
    }

    /// A part of this message as a counted slice, without a copy. `part` should be borrowed from [`Message::body`];
    /// anything else is copied.
    #[must_use]
    pub fn share(&self, part: &[u8]) -> Bytes {
        let start = (part.as_ptr() as usize).checked_sub(self.raw.as_ptr() as usize);
        match start.and_then(|start| Some(start..start.checked_add(part.len())?)) {
            Some(range) if range.end <= self.raw.len() => self.raw.slice(range),
            Some(_) | None => Bytes::copy_from_slice(part),
        }
    }
}

impl<T: Tag> std::fmt::Debug for Message<T> {
    /// Type and size only: a body is statement text or data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}({} bytes)", self.tag, self.body().len())
    }
}

/// What the decoder yields.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame<T> {
    /// A whole message.
    Whole(Message<T>),
    /// The beginning of a bulk message that is too large to collect; [`Frame::Chunk`]s follow up to the last one.
    Head {
        /// Its type.
        tag: T,
        /// Length of its whole body in bytes.
        length: u32,
        /// Header and the beginning of the body, as they came.
        bytes: Bytes,
    },
    /// A further piece of the message that began with the last [`Frame::Head`].
    Chunk {
        /// The piece, as it came.
        bytes: Bytes,
        /// Whether it ends the message.
        last: bool,
    },
    /// A message over the limit of its type. Its body is skipped; what comes next is the message after it.
    Oversized {
        /// Its type.
        tag: T,
        /// Length of its body in bytes.
        length: u32,
    },
}

impl<T: Tag> std::fmt::Debug for Frame<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(message) => message.fmt(f),
            Self::Head { tag, length, bytes } => {
                write!(f, "Head({tag:?}, {length} bytes, {} here)", bytes.len())
            }
            Self::Chunk { bytes, last } => write!(f, "Chunk({} bytes, last: {last})", bytes.len()),
            Self::Oversized { tag, length } => write!(f, "Oversized({tag:?}, {length} bytes)"),
        }
    }
}

impl<T: Tag> Frame<T> {
    /// The bytes of the head without the header: the beginning of the body.
    #[must_use]
    pub fn body(&self) -> Bytes {
        match self {
            Self::Whole(message) => message.raw.slice(HEADER_BYTES.min(message.raw.len())..),
            Self::Head { bytes, .. } => bytes.slice(HEADER_BYTES.min(bytes.len())..),
            Self::Chunk { bytes, .. } => bytes.clone(),
            Self::Oversized { .. } => Bytes::new(),
        }
    }
}

/// How far a message is that is not collected, in bytes that are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Boundary,
    Bulk(u32),
    Skipped(u32),
}

/// Cuts one direction's byte stream into frames. Keeps no bytes itself: what is incomplete stays in the caller's
/// buffer, which therefore never needs to be larger than the largest limit plus one read.
#[derive(Debug, Clone)]
pub struct Decoder<T> {
    limits: Limits,
    within: Within,
    direction: PhantomData<T>,
}

impl<T: Tag> Decoder<T> {
    /// At the beginning of a message.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, within: Within::Boundary, direction: PhantomData }
    }

    /// From the next message on, hand bulk messages on in pieces above this size only.
    pub fn collect(&mut self, whole_bytes_max: u32) {
        self.limits = self.limits.whole_bytes_max(whole_bytes_max);
    }

    /// Whether the stream stands between two messages, so that something else may be said in between.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.within == Within::Boundary
    }

    /// The next frame, or `None` where more bytes are needed.
    ///
    /// # Errors
    /// [`CodecError::UnknownTag`] and [`CodecError::Length`], after which the stream cannot be followed any more.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame<T>>, CodecError> {
        if let Within::Skipped(rest) = self.within {
            let (skipped, rest) = portion(buffer, rest);
            buffer.advance(skipped);
            self.within = if rest == 0 { Within::Boundary } else { Within::Skipped(rest) };
        }
        match self.within {
            Within::Skipped(_) => Ok(None),
            Within::Boundary => self.begin(buffer),
            Within::Bulk(_) if buffer.is_empty() => Ok(None),
            Within::Bulk(rest) => {
                let (taken, rest) = portion(buffer, rest);
                self.within = if rest == 0 { Within::Boundary } else { Within::Bulk(rest) };
                Ok(Some(Frame::Chunk { bytes: buffer.split_to(taken).freeze(), last: rest == 0 }))
            }
        }
    }

    fn begin(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame<T>>, CodecError> {
        let Some((tag, length)) = header::<T>(buffer)? else { return Ok(None) };
        let size = tag.size(&self.limits);
        match size {
            Size::UpTo(max) if length > max => {
                buffer.advance(HEADER_BYTES);
                self.within = Within::Skipped(length);
                Ok(Some(Frame::Oversized { tag, length }))
            }
            Size::Bulk(max) if length > max => {
                let body = buffer.get(HEADER_BYTES..).unwrap_or_default();
                let (here, rest) = portion(body, length);
                self.within = if rest == 0 { Within::Boundary } else { Within::Bulk(rest) };
                if rest == 0 {
                    return Ok(Some(Frame::Whole(take(tag, buffer, here))));
                }
                Ok(Some(Frame::Head { tag, length, bytes: take(tag, buffer, here).raw }))
            }
            Size::UpTo(_) | Size::Bulk(_) => {
                let length = length as usize;
                if buffer.len() < HEADER_BYTES + length {
                    return Ok(None);
                }
                Ok(Some(Frame::Whole(take(tag, buffer, length))))
            }
        }
    }
}

/// Split a message with `body` bytes off.
fn take<T>(tag: T, buffer: &mut BytesMut, body: usize) -> Message<T> {
    Message { tag, raw: buffer.split_to(HEADER_BYTES + body).freeze() }
}

/// How many of `wanted` bytes are here, and how many are still to come.
fn portion(buffer: &[u8], wanted: u32) -> (usize, u32) {
    match u32::try_from(buffer.len()) {
        Ok(here) if here < wanted => (buffer.len(), wanted - here),
        Ok(_) | Err(_) => (wanted as usize, 0),
    }
}

/// Type and body length of the message at the beginning of `buffer`, where its header is complete.
fn header<T: Tag>(buffer: &[u8]) -> Result<Option<(T, u32)>, CodecError> {
    let Some((byte, rest)) = buffer.split_first() else { return Ok(None) };
    // The type is judged before the length arrives, so that a stranger's other protocol is answered at once.
    let tag = T::from_byte(*byte).ok_or(CodecError::UnknownTag { side: T::SIDE, tag: *byte })?;
    let Some(length) = rest.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
        return Err(CodecError::Length { tag: *byte, length });
    }
    Ok(Some((tag, length - 4)))
}

/// A run of whole result messages at the beginning of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Run {
    /// Its length in bytes; the buffer may be split there.
    pub bytes: usize,
    /// How many messages are in it: PostgreSQL sends a row in one, as a result and as copied data.
    pub rows: u64,
}

impl Decoder<BackendTag> {
    /// The longest prefix of whole DataRow and CopyData messages, so that bulk results leave as one slice. Empty
    /// in the middle of a message. What is left, and whatever is wrong with it, is for [`Decoder::decode`].
    #[must_use]
    pub fn scan_run(&self, buffer: &[u8]) -> Run {
        let mut run = Run::default();
        if !self.at_boundary() {
            return run;
        }
        let mut rest = buffer;
        while let [b'D' | b'd', b0, b1, b2, b3, ..] = rest {
            let length = u32::from_be_bytes([*b0, *b1, *b2, *b3]);
            if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
                break;
            }
            let size = 1 + length as usize;
            let Some(after) = rest.get(size..) else { break };
            run.bytes += size;
            run.rows += 1;
            rest = after;
        }
        run
    }
}

impl Tag for FrontendTag {
    const SIDE: Side = Side::Frontend;

    fn from_byte(byte: u8) -> Option<Self> {
        Self::from_byte(byte)
    }

    fn byte(self) -> u8 {
        Self::byte(self)
    }

    fn size(self, limits: &Limits) -> Size {
        match self {
            Self::Query => Size::UpTo(limits.query()),
            Self::Parse => Size::UpTo(limits.parse()),
            Self::Bind | Self::CopyData => Size::Bulk(limits.whole_bytes_max),
            Self::Close
            | Self::CopyDone
            | Self::CopyFail
            | Self::Describe
            | Self::Execute
            | Self::Flush
            | Self::FunctionCall
            | Self::Password
            | Self::Sync
            | Self::Terminate => Size::UpTo(limits.small()),
        }
    }
}

impl Tag for BackendTag {
    const SIDE: Side = Side::Backend;

    fn from_byte(byte: u8) -> Option<Self> {
        Self::from_byte(byte)
    }

    fn byte(self) -> u8 {
        Self::byte(self)
    }

    fn size(self, limits: &Limits) -> Size {
        match self {
            Self::DataRow | Self::CopyData => Size::Bulk(limits.whole_bytes_max),
            Self::Error
            | Self::Notice
            | Self::Notification
            | Self::ParameterDescription
            | Self::ParameterStatus
            | Self::RowDescription
            | Self::FunctionCallResponse => Size::UpTo(limits.text_bytes_max),
            Self::Authentication
            | Self::BackendKeyData
            | Self::BindComplete
            | Self::CloseComplete
            | Self::CommandComplete
            | Self::CopyBothResponse
            | Self::CopyDone
            | Self::CopyInResponse
            | Self::CopyOutResponse
            | Self::EmptyQuery
            | Self::NegotiateProtocolVersion
            | Self::NoData
            | Self::ParseComplete
            | Self::PortalSuspended
            | Self::ReadyForQuery => Size::UpTo(limits.small()),
        }
    }
}

/// Decode everything, whole and byte by byte; for fuzzing.
pub(crate) fn drive<T: Tag>(data: &[u8], limits: Limits, look: impl Fn(&Message<T>)) {
    let mut decoder = Decoder::<T>::new(limits);
    let mut buffer = BytesMut::new();
    for chunk in data.chunks(13) {
        buffer.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(Frame::Whole(message))) => look(&message),
                Ok(Some(Frame::Head { .. } | Frame::Chunk { .. } | Frame::Oversized { .. })) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}
