//! A stream with what was read of it and not used: the little IO that opening and login share.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use chaperone_wire::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::codec::{CodecError, Decoder, Frame, Message, Tag};

/// A stream and the bytes that were read ahead.
pub(crate) struct Line {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) input: BytesMut,
}

/// Why nothing more comes of a line.
#[derive(Debug)]
pub(crate) enum Break {
    Gone(io::Error),
    Codec(CodecError),
}

impl From<io::Error> for Break {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

impl From<CodecError> for Break {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

/// The most that is read at once; with the decoders' limits it bounds the buffer.
const READ_BYTES: usize = 8 * 1024;

impl Line {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, input: BytesMut::new() }
    }

    /// Read once.
    pub(crate) async fn fill(&mut self) -> Result<(), Break> {
        self.input.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(Break::Gone(io::ErrorKind::UnexpectedEof.into())),
            _ => Ok(()),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Break> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next whole message. One that comes in pieces or over its limit is an error here: none of the messages of
    /// an opening is large.
    pub(crate) async fn message<T: Tag>(&mut self, decoder: &mut Decoder<T>) -> Result<Message<T>, Break> {
        loop {
            match decoder.decode(&mut self.input)? {
                Some(Frame::Whole(message)) => return Ok(message),
                Some(Frame::Head { tag, length, .. } | Frame::Oversized { tag, length }) => {
                    return Err(CodecError::Length { tag: tag.byte(), length }.into());
                }
                Some(Frame::Chunk { .. }) | None => self.fill().await?,
            }
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        if line.input.is_empty() {
            return Pin::new(&mut line.stream).poll_read(cx, out);
        }
        let count = line.input.len().min(out.remaining());
        out.put_slice(line.input.get(..count).unwrap_or_default());
        line.input.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
