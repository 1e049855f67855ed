//! One end of a conversation: a stream, what was read of it, and what waits to be written to it.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use chaperone_wire::Stream;
use tokio::io::{AsyncReadExt, AsyncWrite};

/// First size of a read; an idle session keeps no more than this per side.
const READ_BYTES_MIN: usize = 8 * 1024;
/// Largest read, reached while reads come back full.
const READ_BYTES_MAX: usize = 256 * 1024;
/// Pieces below this are copied together, so that small messages leave in one write.
const COALESCED_BYTES_MAX: usize = 16 * 1024;

/// A stream with its buffers.
pub(super) struct Pipe {
    stream: Box<dyn Stream>,
    /// Read and not yet decoded.
    pub(super) input: BytesMut,
    read_bytes: usize,
    queue: VecDeque<Bytes>,
    tail: BytesMut,
    waiting: usize,
    unflushed: bool,
}

impl Pipe {
    pub(super) fn new(stream: Box<dyn Stream>, input: BytesMut) -> Self {
        Self {
            stream,
            input,
            read_bytes: READ_BYTES_MIN,
            queue: VecDeque::new(),
            tail: BytesMut::new(),
            waiting: 0,
            unflushed: false,
        }
    }

    /// Bytes that wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Put a piece behind what waits.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.waiting += piece.len();
        if piece.len() < COALESCED_BYTES_MAX {
            self.tail.extend_from_slice(&piece);
            if self.tail.len() >= COALESCED_BYTES_MAX {
                self.queue.push_back(self.tail.split().freeze());
            }
            return;
        }
        if !self.tail.is_empty() {
            self.queue.push_back(self.tail.split().freeze());
        }
        self.queue.push_back(piece);
    }

    /// Write all that waits; ready when it is out and flushed.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let Some(front) = self.queue.front_mut() else {
                if self.tail.is_empty() {
                    break;
                }
                self.queue.push_back(self.tail.split().freeze());
                continue;
            };
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, front))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            front.advance(written);
            self.waiting -= written;
            self.unflushed = true;
            if front.is_empty() {
                self.queue.pop_front();
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Read once; 0 is the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(self.read_bytes);
        let room = self.input.capacity() - self.input.len();
        let read = ready!(pin!(self.stream.read_buf(&mut self.input)).poll(cx))?;
        self.read_bytes = if read >= room {
            (self.read_bytes * 2).min(READ_BYTES_MAX)
        } else if read < self.read_bytes / 4 {
            READ_BYTES_MIN.max(self.read_bytes / 2)
        } else {
            self.read_bytes
        };
        Poll::Ready(Ok(read))
    }
}
