//! Connections that have proved nothing yet. One source cannot have all places of a listener, and all strangers together
//! cannot either: where they are too many, one more takes the place of one of those who have the most.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// Addresses that one owner may have, by how many bits they share.
type Block = (IpAddr, u8);

/// How many of an owner's blocks count how often the bound of one source: a host has a /64, a home line or a machine for
/// hire a /56, a company a /48.
const IPV6_BLOCKS: [(u8, u32); 3] = [(64, 1), (56, 2), (48, 4)];
/// An IPv4 address is a source of its own.
const IPV4_BLOCKS: [(u8, u32); 1] = [(32, 1)];

/// How many one source may have at a time, and how many there may be.
#[derive(Debug)]
pub(crate) struct Strangers {
    per_source_max: u32,
    all_max: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By number, so that the first one came first.
    those: BTreeMap<u64, One>,
    next: u64,
    /// Blocks that have any.
    counts: HashMap<Block, u32>,
}

#[derive(Debug)]
struct One {
    source: IpAddr,
    displace: oneshot::Sender<()>,
}

/// One of them: ends with the value, at the latest when it has proved who it is.
#[derive(Debug)]
pub(crate) struct Stranger {
    strangers: Arc<Strangers>,
    number: u64,
}

/// Becomes ready with a value when the stranger has to make room, and without one when it is none any more.
pub(crate) type Displaced = oneshot::Receiver<()>;

fn block(source: IpAddr, bits: u8) -> Block {
    let address = match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => {
            let rest = 128_u32.saturating_sub(u32::from(bits));
            IpAddr::V6((address.to_bits() >> rest << rest).into())
        }
    };
    (address, bits)
}

/// The blocks that a source is in, the smallest first, with how often each counts the bound of one source.
fn blocks(source: IpAddr) -> impl Iterator<Item = (Block, u32)> {
    let sizes: &'static [(u8, u32)] = match source {
        IpAddr::V4(_) => &IPV4_BLOCKS,
        IpAddr::V6(_) => &IPV6_BLOCKS,
    };
    sizes.iter().map(move |(bits, times)| (block(source, *bits), *times))
}

impl Known {
    fn remove(&mut self, number: u64) -> Option<One> {
        let one = self.those.remove(&number)?;
        for (block, _) in blocks(one.source) {
            match self.counts.get_mut(&block) {
                Some(count) if *count > 1 => *count -= 1,
                Some(_) | None => drop(self.counts.remove(&block)),
            }
        }
        Some(one)
    }

    /// How many whoever owns this source has, as far as that can be told.
    fn owned(&self, source: IpAddr) -> u32 {
        let widest = blocks(source).last();
        widest.and_then(|(block, _)| self.counts.get(&block)).copied().unwrap_or_default()
    }

    /// Make room: of whoever has the most, the one that has had the longest time.
    fn displace(&mut self) {
        // Of several that are the greatest, `max_by_key` takes the last.
        let most = self.those.iter().rev().max_by_key(|(_, one)| self.owned(one.source));
        let displaced = most.map(|(number, _)| *number).and_then(|number| self.remove(number));
        if let Some(one) = displaced {
            // Whoever does not listen has ended.
            let _ended = one.displace.send(());
        }
    }
}

impl Strangers {
    /// Bounded by source, and all together.
    pub(crate) fn new(per_source_max: u32, all_max: usize) -> Arc<Self> {
        Arc::new(Self { per_source_max, all_max, known: Mutex::default() })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more from a source, unless it has as many as it may. It may have to make room later.
    pub(crate) fn admit(self: &Arc<Self>, source: IpAddr) -> Option<(Stranger, Displaced)> {
        let source = source.to_canonical();
        let mut known = self.known();
        let has_all = |(block, times): (Block, u32)| {
            known.counts.get(&block).is_some_and(|count| *count >= self.per_source_max.saturating_mul(times))
        };
        if blocks(source).any(has_all) {
            return None;
        }
        if known.those.len() >= self.all_max {
            known.displace();
        }
        for (block, _) in blocks(source) {
            *known.counts.entry(block).or_default() += 1;
        }
        let (displace, displaced) = oneshot::channel();
        let number = known.next;
        known.next += 1;
        known.those.insert(number, One { source, displace });
        Some((Stranger { strangers: self.clone(), number }, displaced))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        drop(self.strangers.known().remove(self.number));
    }
}

/// A stranger's stream, which ends when he has to make room: whoever reads it ends as if he had left.
#[derive(Debug)]
pub(crate) struct Cut<S> {
    stream: S,
    /// `None` once it is known whether he had to.
    displaced: Option<Displaced>,
    ended: bool,
}

impl<S> Cut<S> {
    /// Without `displaced` it is nobody's who could have to.
    pub(crate) fn new(stream: S, displaced: impl Into<Option<Displaced>>) -> Self {
        Self { stream, displaced: displaced.into(), ended: false }
    }

    fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(displaced) = &mut self.displaced
            && let Poll::Ready(told) = Pin::new(displaced).poll(cx)
        {
            self.displaced = None;
            self.ended = told.is_ok();
        }
        self.ended
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cut<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_ended(cx) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cut<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.has_ended(cx) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.has_ended(cx) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_source_is_bounded_and_others_are_not() {
        let strangers = Strangers::new(2, 100);
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let held = (strangers.admit(one).unwrap(), strangers.admit(ip("::ffff:192.0.2.1")).unwrap());
        assert!(strangers.admit(one).is_none());
        assert!(strangers.admit(other).is_some());
        drop(held);
        assert!(strangers.admit(one).is_some());
        assert!(strangers.known().counts.is_empty());
        let _own = strangers.admit(ip("2001:db8::1")).unwrap();
        let _same = strangers.admit(ip("2001:db8::2:3:4:5")).unwrap();
        assert!(strangers.admit(ip("2001:db8::9")).is_none());
    }

    #[test]
    fn an_ipv6_network_is_bounded_as_its_hosts_are() {
        let strangers = Strangers::new(2, 100);
        let fits = |source: String| strangers.admit(ip(&source));
        let one: Vec<_> = (0..9).filter_map(|n| fits(format!("2001:db8:0:1{n:02x}::1"))).collect();
        assert_eq!(one.len(), 4, "of a /56");
        let more: Vec<_> = (0..9).filter_map(|n| fits(format!("2001:db8:0:{n}200::1"))).collect();
        assert_eq!(more.len(), 4, "of what is left of a /48");
        assert!(fits("2001:db8:1::1".to_owned()).is_some());
    }

    #[tokio::test]
    async fn whoever_has_the_most_makes_room_and_nobody_else() {
        let strangers = Strangers::new(8, 10);
        let (flood, few, new) = (ip("192.0.2.1"), ip("192.0.2.2"), ip("192.0.2.3"));
        let (_early, mut early) = strangers.admit(few).unwrap();
        let mut many: Vec<_> = (0..8).map(|_| strangers.admit(flood).unwrap()).collect();
        let _last = strangers.admit(few).unwrap();
        let (proved, mut in_time) = strangers.admit(new).unwrap();
        assert!(many.remove(0).1.try_recv().is_ok(), "the oldest of the flood made no room");
        assert!(many.iter_mut().all(|(_, displaced)| displaced.try_recv().is_err()));
        drop(proved);
        let (_again, _) = strangers.admit(new).unwrap();
        let (_and, _) = strangers.admit(new).unwrap();
        assert!(many.remove(0).1.try_recv().is_ok());
        assert!(early.try_recv().is_err() && in_time.try_recv().is_err());
        assert_eq!(strangers.known().those.len(), 10);
    }

    #[tokio::test]
    async fn a_stream_ends_when_its_stranger_makes_room_and_not_when_he_is_known() {
        let strangers = Strangers::new(8, 1);
        let open = |displaced| {
            let (client, server) = tokio::io::duplex(64);
            (client, Cut::new(server, displaced))
        };
        let (stranger, displaced) = strangers.admit(ip("192.0.2.1")).unwrap();
        let (_client, mut cut) = open(displaced);
        let reading = tokio::spawn(async move {
            let read = cut.read(&mut [0; 8]).await?;
            Ok::<_, io::Error>((read, cut))
        });
        let (known, displaced) = strangers.admit(ip("192.0.2.2")).unwrap();
        let (read, mut cut) = reading.await.unwrap().unwrap();
        assert_eq!(read, 0);
        assert!(cut.write_all(b"more").await.is_err());
        drop(stranger);
        let (mut client, mut cut) = open(displaced);
        drop(known);
        let _next = strangers.admit(ip("192.0.2.3")).unwrap();
        client.write_all(b"asked").await.unwrap();
        let mut asked = [0; 5];
        cut.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"asked");
    }
}
