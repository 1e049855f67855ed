//! Bytes between a stream of the link and what it leads to.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf};
use tokio::sync::oneshot;

use crate::dial::Stream;

/// Buffer from the gateway to the target, and from the target to the gateway, in bytes: requests are short, results long.
const UP_BYTES: usize = 8 * 1024;
const DOWN_BYTES: usize = 32 * 1024;

/// A counted place among a link's streams: it is given back on drop.
pub(super) struct Place(Arc<AtomicU32>);

impl Place {
    /// One more, unless there are as many as there may be.
    pub(super) fn take(count: &Arc<AtomicU32>, max: u32) -> Option<Self> {
        let more = |now: u32| (now < max).then_some(now + 1);
        count.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok().map(|_| Self(Arc::clone(count)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The gateway's end of a stream.
pub(super) struct LinkStream {
    pub(super) io: TokioIo<Upgraded>,
    pub(super) _place: Place,
}

impl AsyncRead for LinkStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl AsyncWrite for LinkStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

/// A connection that breaks when its [`Leash`] is dropped. HTTP/2 streams keep their connection alive by themselves, so
/// a link that has to end at once is ended beneath them.
pub(super) struct Leashed<S> {
    stream: S,
    held: oneshot::Receiver<()>,
}

/// Holds a [`Leashed`] connection.
pub(super) struct Leash(
    #[expect(dead_code, reason = "what counts is that it is not dropped")] oneshot::Sender<()>,
);

pub(super) fn leash<S>(stream: S) -> (Leash, Leashed<S>) {
    let (leash, held) = oneshot::channel();
    (Leash(leash), Leashed { stream, held })
}

impl<S> Leashed<S> {
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> std::io::Result<()> {
        match Pin::new(&mut self.held).poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(_) => Err(std::io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Leashed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        this.poll_cut(cx)?;
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Leashed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Carry bytes both ways until either side ends. The gateway never half-closes a stream, so its end is the end of the
/// session: the target's connection is closed at once and whatever still runs there loses its client.
pub(super) async fn carry(gateway: TokioIo<Upgraded>, target: Box<dyn Stream>) {
    let (gateway_reads, mut gateway_writes) = tokio::io::split(gateway);
    let (target_reads, mut target_writes) = tokio::io::split(target);
    let up = async {
        let carried = copy(gateway_reads, UP_BYTES, &mut target_writes).await;
        // The protocol's own goodbye has been passed on; closing says the same to whoever did not read it.
        carried.and(target_writes.shutdown().await)
    };
    let down = async {
        let carried = copy(target_reads, DOWN_BYTES, &mut gateway_writes).await;
        carried.and(gateway_writes.shutdown().await)
    };
    let ended = tokio::select! {
        ended = up => ended,
        ended = down => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a stream broke off");
    }
}

/// Copy to the end, flushing whenever the source has nothing more to give at once.
async fn copy<R, W>(source: R, capacity: usize, sink: &mut W) -> std::io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut source = BufReader::with_capacity(capacity, source);
    loop {
        let bytes = source.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        let length = bytes.len();
        sink.write_all(bytes).await?;
        sink.flush().await?;
        source.consume(length);
    }
}
