//! What the agent itself counted and signed: the gateway's account of a session can be held against it.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chaperone_access::{AgentName, SessionId, TargetName};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::key::{AgentKey, KeyError, verify};
use crate::limits;

/// What was counted for one session and target. Bytes count from the end of the login, at the target's end of the
/// stream: `bytes_down` includes what the target sent and a gateway that was cut off never read.
///
/// Fields stand in the order in which they are signed: do not reorder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Who counted.
    pub agent: AgentName,
    /// Bytes from the target.
    pub bytes_down: u64,
    /// Bytes to the target.
    pub bytes_up: u64,
    /// Which session.
    pub session: SessionId,
    /// Streams that were opened.
    pub streams: u64,
    /// Which target.
    pub target: TargetName,
}

/// The bytes that are signed for a session: JSON, members sorted, no spaces. Names and ids are plain ASCII, so that
/// this is also what RFC 8785 prescribes.
///
/// # Errors
/// None that these fields can cause; the JSON writer's own type allows for one.
pub fn tally_message(tally: &Tally) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(tally)
}

/// What was counted since the agent started. Fields stand in the order in which they are signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Who counted.
    pub agent: AgentName,
    /// When: `since`, and what the agent's steady clock says since then. Each count is later than the one before.
    pub at: u64,
    /// Bytes from targets, of streams that have ended.
    pub bytes_down: u64,
    /// Bytes to targets, likewise.
    pub bytes_up: u64,
    /// Pairs of session and target that were closed or are open.
    pub sessions: u64,
    /// When counting began, by the agent's clock, in microseconds since the Unix epoch: tells its processes apart.
    pub since: u64,
    /// Streams that were opened.
    pub streams: u64,
}

/// The bytes that are signed for totals.
///
/// # Errors
/// See [`tally_message`].
pub fn totals_message(totals: &Totals) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(totals)
}

/// A value with its agent's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed<T> {
    /// What is signed.
    pub body: T,
    /// The agent's public key: an uncompressed P-256 point. Trust it only after comparing it with the certificate.
    pub public_key: Vec<u8>,
    /// ECDSA with SHA-256, ASN.1.
    pub signature: Vec<u8>,
}

/// A signed [`Tally`].
pub type SignedTally = Signed<Tally>;
/// Signed [`Totals`].
pub type SignedTotals = Signed<Totals>;

impl<T: Serialize> Signed<T> {
    pub(crate) fn make(body: T, key: &AgentKey) -> Result<Self, KeyError> {
        let message = serde_json::to_vec(&body).map_err(|_never| KeyError("used"))?;
        Ok(Self { body, public_key: key.public(), signature: key.sign(&message)? })
    }

    /// Whether the signature is that of `public_key`, which must be the one given.
    #[must_use]
    pub fn verifies(&self, public_key: &[u8]) -> bool {
        let Ok(message) = serde_json::to_vec(&self.body) else { return false };
        self.public_key == public_key && verify(public_key, &message, &self.signature)
    }
}

type Pair = (SessionId, TargetName);

/// One agent's counts. Shared by all its links, so that they outlive a reconnection.
pub(crate) struct Ledger {
    agent: AgentName,
    books: Mutex<Books>,
    closed: Notify,
    /// Streams that are being opened: logging in takes a while.
    opening: AtomicU64,
    /// By the wall clock, in microseconds since the Unix epoch, and by the steady one.
    began: (u64, Instant),
}

/// A stream that is being opened.
pub(crate) struct OpeningStream<'a>(&'a Ledger);

impl Drop for OpeningStream<'_> {
    fn drop(&mut self) {
        self.0.opening.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Default)]
struct Books {
    pairs: HashMap<Pair, Count>,
    /// Closed pairs, oldest first; each once.
    closed: VecDeque<Pair>,
    down: u64,
    up: u64,
    streams: u64,
    sessions: u64,
    /// When the last totals were made.
    counted_at: u64,
}

#[derive(Default)]
struct Count {
    down: u64,
    up: u64,
    streams: u64,
    open: u64,
}

/// Whether a pair's tally can be had.
pub(crate) enum Closing {
    Unknown,
    Open,
    Closed(Tally),
}

impl Ledger {
    pub(crate) fn new(agent: AgentName) -> Arc<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let began = (u64::try_from(since).unwrap_or(0), Instant::now());
        let (books, closed, opening) = (Mutex::default(), Notify::new(), AtomicU64::new(0));
        Arc::new(Self { agent, books, closed, opening, began })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Counting cannot panic half way; were it to, the counts made so far still stand.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn open(self: &Arc<Self>, session: SessionId, target: TargetName) -> Meter {
        let pair = (session, target);
        let mut books = self.books();
        books.streams += 1;
        match books.pairs.get(&pair).map(|count| count.open) {
            None => books.sessions += 1,
            // Reopened: it is no longer a closed one that may be dropped.
            Some(0) => books.closed.retain(|closed| *closed != pair),
            Some(_) => {}
        }
        let count = books.pairs.entry(pair.clone()).or_default();
        count.streams += 1;
        count.open += 1;
        drop(books);
        Meter { ledger: Arc::clone(self), pair, down: AtomicU64::new(0), up: AtomicU64::new(0) }
    }

    fn close(&self, meter: &Meter) {
        let (down, up) = (meter.down.load(Ordering::Relaxed), meter.up.load(Ordering::Relaxed));
        let mut books = self.books();
        books.down += down;
        books.up += up;
        if let Some(count) = books.pairs.get_mut(&meter.pair) {
            count.down += down;
            count.up += up;
            count.open -= 1;
            if count.open == 0 {
                books.closed.push_back(meter.pair.clone());
            }
        }
        while books.closed.len() > limits::TALLIES {
            let Some(oldest) = books.closed.pop_front() else { break };
            books.pairs.remove(&oldest);
            tracing::warn!(session = %oldest.0, target_name = %oldest.1, "too many unacknowledged tallies: dropped one");
        }
        drop(books);
        self.closed.notify_waiters();
    }

    fn look(&self, pair: &Pair) -> Closing {
        match self.books().pairs.get(pair) {
            None => Closing::Unknown,
            Some(count) if count.open > 0 => Closing::Open,
            Some(count) => Closing::Closed(Tally {
                agent: self.agent.clone(),
                bytes_down: count.down,
                bytes_up: count.up,
                session: pair.0,
                streams: count.streams,
                target: pair.1.clone(),
            }),
        }
    }

    /// The tally, after a short wait for streams whose end is on its way.
    pub(crate) async fn tally(&self, session: SessionId, target: TargetName) -> Closing {
        let pair = (session, target);
        let settled = async {
            loop {
                let closed = self.closed.notified();
                tokio::pin!(closed);
                closed.as_mut().enable();
                match self.look(&pair) {
                    Closing::Open => closed.await,
                    found @ (Closing::Unknown | Closing::Closed(_)) => return found,
                }
            }
        };
        tokio::time::timeout(limits::TALLY_WAIT, settled).await.unwrap_or(Closing::Open)
    }

    pub(crate) fn acknowledge(&self, session: SessionId, target: TargetName) {
        let pair = (session, target);
        let mut books = self.books();
        if books.pairs.get(&pair).is_some_and(|count| count.open == 0) {
            books.pairs.remove(&pair);
            books.closed.retain(|closed| *closed != pair);
        }
    }

    /// One more stream is being opened, until the value is dropped.
    pub(crate) fn opening(&self) -> OpeningStream<'_> {
        self.opening.fetch_add(1, Ordering::AcqRel);
        OpeningStream(self)
    }

    /// Streams that are open or being opened, and closed tallies that nobody has acknowledged.
    pub(crate) fn outstanding(&self) -> (u64, usize) {
        // Before the books: a stream leaves this count only after it has entered them.
        let opening = self.opening.load(Ordering::Acquire);
        let books = self.books();
        (opening + books.pairs.values().map(|count| count.open).sum::<u64>(), books.closed.len())
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut books = self.books();
        let (since, steady) = self.began;
        let elapsed = u64::try_from(steady.elapsed().as_micros()).unwrap_or(u64::MAX);
        books.counted_at = since.saturating_add(elapsed).max(books.counted_at + 1);
        Totals {
            agent: self.agent.clone(),
            at: books.counted_at,
            bytes_down: books.down,
            bytes_up: books.up,
            sessions: books.sessions,
            since,
            streams: books.streams,
        }
    }
}

/// Counts one stream; its end is the drop of the stream that owns it.
pub(crate) struct Meter {
    ledger: Arc<Ledger>,
    pair: Pair,
    down: AtomicU64,
    up: AtomicU64,
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.ledger.close(self);
    }
}

/// The target's end of a stream, counted.
pub(crate) struct Counted<S> {
    pub(crate) stream: S,
    pub(crate) meter: Meter,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.meter.down.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
        this.meter.up.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
