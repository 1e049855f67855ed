//! Counts what passes between the gateway and the agent, for comparison with the agent's own signed count.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use chaperone_recording::Traffic;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The counts; shared between the stream and whoever closes the record.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    from_target: Arc<AtomicU64>,
    to_target: Arc<AtomicU64>,
}

impl Counts {
    /// What has passed so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            from_target: self.from_target.load(Ordering::Relaxed),
            to_target: self.to_target.load(Ordering::Relaxed),
        }
    }
}

/// A stream that counts.
pub(crate) struct Meter<S> {
    stream: S,
    counts: Counts,
}

impl<S> Meter<S> {
    pub(crate) fn new(stream: S, counts: Counts) -> Self {
        Self { stream, counts }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Meter<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.counts.from_target.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Meter<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.counts.to_target.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
