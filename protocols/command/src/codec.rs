//! What is said between client, gateway and agent: frames of a tag, a length in four bytes (big-endian) and a body. Each
//! length is checked before anything is kept.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use chaperone_access::{Refusal, RefusalCode};
use chaperone_wire::{Exit, ExitBy, Printed};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Body of a frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;
/// What is asked for, in bytes: every parameter of the greatest length, written with escapes.
pub const REQUEST_BYTES_MAX: usize = 128 * 1024;
/// Output that an agent puts into one frame, in bytes.
pub const CHUNK_BYTES_MAX: usize = 32 * 1024;
/// Tag and length.
const HEAD_BYTES: usize = 5;

/// A frame's tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// What is to be run: a [`Run`].
    Run,
    /// A piece of standard output.
    Out,
    /// A piece of standard error.
    Err,
    /// The end of the program: a [`Ended`].
    Ended,
    /// It does not run, or not on: a [`Refused`].
    Refused,
}

impl Tag {
    fn byte(self) -> u8 {
        match self {
            Self::Run => b'R',
            Self::Out => b'o',
            Self::Err => b'e',
            Self::Ended => b'x',
            Self::Refused => b'f',
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Run, Self::Out, Self::Err, Self::Ended, Self::Refused]
            .into_iter()
            .find(|tag| tag.byte() == byte)
    }

    fn bytes_max(self) -> usize {
        match self {
            Self::Run => REQUEST_BYTES_MAX,
            Self::Out | Self::Err | Self::Ended | Self::Refused => FRAME_BYTES_MAX,
        }
    }
}

impl From<Printed> for Tag {
    fn from(printed: Printed) -> Self {
        match printed {
            Printed::Out => Self::Out,
            Printed::Err => Self::Err,
        }
    }
}

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Its name.
    pub command: String,
    /// Values by the names of its parameters, as text.
    pub parameters: BTreeMap<String, String>,
}

/// How a program ended, and what was replaced in its output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Who ended it: a word of [`ExitBy`].
    pub by: String,
    /// Identifiers that were replaced, by tag. An agent finds none.
    #[serde(default)]
    pub masked: BTreeMap<String, u64>,
}

impl Ended {
    /// From the data path's words.
    #[must_use]
    pub fn new(exit: Exit, masked: BTreeMap<String, u64>) -> Self {
        Self { code: exit.code, signal: exit.signal, by: exit.by.as_str().to_owned(), masked }
    }

    /// The same as the data path's words; `None` where nobody there says such a thing.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        let by = ExitBy::ALL.into_iter().find(|by| by.as_str() == self.by)?;
        Some(Exit { code: self.code, signal: self.signal, by })
    }
}

/// Why nothing runs, or not on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The reason.
    pub code: RefusalCode,
    /// What happened.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
    /// Whether the program may have begun all the same, so that nobody can say what it did. An agent refuses before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begun: bool,
}

/// Characters of somebody else's words that are shown on.
const WORDS_SHOWN: usize = 400;

impl Refused {
    /// Of a program that has not begun, or of one that may have.
    #[must_use]
    pub fn new(refusal: &Refusal, begun: bool) -> Self {
        Self { code: refusal.code, message: refusal.message.clone(), hint: refusal.hint.clone(), begun }
    }
}

impl From<Refused> for Refusal {
    /// As far as it may go on to a client.
    fn from(refused: Refused) -> Self {
        let short =
            |text: String| text.chars().filter(|c| !c.is_control()).take(WORDS_SHOWN).collect::<String>();
        let refusal = Self::new(refused.code, short(refused.message));
        match refused.hint {
            Some(hint) => refusal.hint(short(hint)),
            None => refusal,
        }
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub tag: Tag,
    /// Its body.
    pub body: Bytes,
}

/// Bytes that are no frames.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A tag that nobody knows.
    #[error("a frame of an unknown kind")]
    Tag,
    /// Longer than its kind may be.
    #[error("a frame over its limit")]
    Length,
    /// A body that is not what its tag says.
    #[error("a frame that cannot be read")]
    Body,
}

/// Take the next whole frame from what was read.
///
/// # Errors
/// See [`FrameError`].
pub fn take(input: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let (Some(tag), Some(length)) = (input.first(), input.get(1..HEAD_BYTES)) else { return Ok(None) };
    let tag = Tag::from_byte(*tag).ok_or(FrameError::Tag)?;
    let length = <[u8; 4]>::try_from(length).map_err(|_| FrameError::Length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| FrameError::Length)?;
    if length > tag.bytes_max() {
        return Err(FrameError::Length);
    }
    if input.len() < HEAD_BYTES + length {
        return Ok(None);
    }
    input.advance(HEAD_BYTES);
    Ok(Some(Frame { tag, body: input.split_to(length).freeze() }))
}

/// Write a frame. A body over the limit of its kind is cut into several of them where it is output; nothing else is as long.
pub fn put(tag: Tag, body: &[u8], out: &mut BytesMut) {
    let mut pieces = body.chunks(tag.bytes_max()).peekable();
    if pieces.peek().is_none() {
        piece(tag, &[], out);
    }
    pieces.for_each(|body| piece(tag, body, out));
}

fn piece(tag: Tag, body: &[u8], out: &mut BytesMut) {
    out.put_u8(tag.byte());
    out.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    out.put_slice(body);
}

/// Write a frame whose body is JSON.
pub fn put_json<T: Serialize>(tag: Tag, body: &T, out: &mut BytesMut) {
    // None of these types can fail to be written.
    put(tag, &serde_json::to_vec(body).unwrap_or_default(), out);
}

impl Frame {
    /// Its body as JSON.
    ///
    /// # Errors
    /// It is none of that kind.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, FrameError> {
        serde_json::from_slice(&self.body).map_err(|_| FrameError::Body)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_come_whole_and_within_limits() {
        let mut out = BytesMut::new();
        put(Tag::Out, b"hello", &mut out);
        put(Tag::Err, b"", &mut out);
        let whole = out.clone();
        let mut input = BytesMut::new();
        let mut seen = Vec::new();
        for byte in whole {
            input.put_u8(byte);
            seen.extend(take(&mut input).unwrap().map(|frame| (frame.tag, frame.body.to_vec())));
        }
        assert_eq!(seen, [(Tag::Out, b"hello".to_vec()), (Tag::Err, Vec::new())]);
        let long = |tag: u8, length: u32| {
            let mut input = BytesMut::from(&[tag][..]);
            input.put_u32(length);
            take(&mut input)
        };
        assert_eq!(long(b'R', u32::try_from(REQUEST_BYTES_MAX).unwrap() + 1), Err(FrameError::Length));
        assert_eq!(long(b'o', u32::MAX), Err(FrameError::Length));
        assert_eq!(long(b'?', 0), Err(FrameError::Tag));
        assert_eq!(long(b'o', 5), Ok(None));
    }

    #[test]
    fn ends_and_refusals_survive_the_way() {
        for by in ExitBy::ALL {
            let exit = Exit { code: Some(3), signal: None, by };
            assert_eq!(Ended::new(exit, BTreeMap::new()).exit(), Some(exit));
        }
        let mut strange =
            Ended::new(Exit { code: None, signal: Some(9), by: ExitBy::Itself }, BTreeMap::new());
        strange.by = "nobody".to_owned();
        assert_eq!(strange.exit(), None);
        let refusal = Refusal::new(RefusalCode::Busy, "no\u{1b}[31m").hint("x".repeat(1000));
        let read = Refusal::from(Refused::new(&refusal, false));
        assert_eq!((read.message.as_str(), read.hint.unwrap().len()), ("no[31m", WORDS_SHOWN));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut input = BytesMut::from(&bytes[..]);
            let before = input.len();
            while let Ok(Some(frame)) = take(&mut input) {
                prop_assert!(frame.body.len() <= FRAME_BYTES_MAX);
            }
            prop_assert!(input.len() <= before);
        }
    }
}
