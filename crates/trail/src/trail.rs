//! Appending and waiting. One short critical section gives an entry its number and copies it into the batch under
//! way. Whoever holds the lock on the tail of the log writes: usually somebody who waits for an entry of his own and
//! finds nobody writing, which costs no thread a wake-up; else the writer's thread, which also makes room.

mod succession;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use thiserror::Error;

use crate::disk::{Disk, SystemDisk};
use crate::entry::{
    Body, CAUSE_KILLED, CallOutcome, Draft, Entry, EntryError, Gap, GatewayRecovered, GatewayStopped,
    KeyRotated, OperationOutcome, REASON_LOST, SessionClosed, Status, ToolcallEnded, parse_entry,
};
use crate::follow::Follower;
use crate::recover::{Recovered, Tail, recover, scan};
use crate::segment;
pub use succession::{LogKey, LogKeys};
use writer::{Preparing, keep_writing, lead, make_room, reopen};

/// The number of an entry: the index of its leaf, dense from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

/// Most bytes that wait for the writer; beyond it an append is refused as busy.
pub const QUEUE_BYTES_MAX: usize = 8 << 20;
/// Most bytes of one append with its sealed frames.
pub const APPEND_BYTES_MAX: usize = 4 << 20;
/// Room in the last segment that only closing entries may use. An append that would need it waits for a further segment,
/// so that whatever was taken fits, however much of it waits for the writer.
pub const RESERVE_BYTES: u64 = 8 << 20;
/// How often a checkpoint is signed at most.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// How often a new segment is tried while the disk is full.
const RETRY: Duration = Duration::from_secs(1);
/// Bytes from which on a batch does not wait for somebody who waits for it.
const BATCH_BYTES: usize = 1 << 20;
/// Syncs that take longer are left to the writer's thread: a slow disk should hold up no thread that has other work.
const LEAD_US_MAX: u64 = 5_000;

/// Why the trail did not do what was asked.
#[derive(Debug, Clone, Error)]
pub enum TrailError {
    /// [`QUEUE_BYTES_MAX`] wait for the disk, or all that the last segment has room for.
    #[error("the trail is busy: too much waits for the disk (hint: try again)")]
    Busy,
    /// Only closing entries are taken until there is room.
    #[error("no room for a further segment of the trail (hint: free space on the trail's disk)")]
    Full,
    /// The log cannot be written any more by this process.
    #[error("the trail failed: {0} (hint: repair the disk and restart)")]
    Failed(Arc<str>),
    /// It was closed.
    #[error("the trail is closed")]
    Closed,
    /// The entry cannot be made.
    #[error("{0}")]
    Entry(Arc<EntryError>),
    /// One append over [`APPEND_BYTES_MAX`].
    #[error("an entry and its sealed frames are over the limit of {APPEND_BYTES_MAX} bytes")]
    TooLarge,
    /// A sealed object could not be made.
    #[error("sealing failed: {0}")]
    Sealing(Arc<str>),
    /// The log does not hold what was made durable.
    #[error(
        "the trail is damaged at entry {seq}: {what} (hint: keep the folder as it is and restore from a copy)"
    )]
    Damaged {
        /// Where.
        seq: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The disk refused.
    #[error("cannot {what}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why not.
        error: Arc<io::Error>,
    },
    /// Whoever verifies would take what follows for another log.
    #[error(
        "the trail's last checkpoint was signed by none of the log keys that are here (hint: put back the log key and \
         the `name` that it was written with)"
    )]
    Unsigned,
    /// Another process has it open.
    #[error("the trail is open in another process (hint: one gateway a trail)")]
    Locked,
}

impl From<EntryError> for TrailError {
    fn from(error: EntryError) -> Self {
        Self::Entry(Arc::new(error))
    }
}

impl TrailError {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { what, error: Arc::new(error) }
    }

    /// Whether room on the disk is all that is missing.
    pub(crate) fn is_full(&self) -> bool {
        matches!(
            self,
            Self::Io { error, .. }
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        )
    }

    /// A sealed object could not be made.
    pub fn sealing(error: impl std::fmt::Display) -> Self {
        Self::Sealing(error.to_string().into())
    }
}

/// Whether entries are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrailState {
    /// All are.
    Open,
    /// Only closing ones: the disk has no room for a further segment.
    Full,
    /// None, until a restart.
    Failed(Arc<str>),
    /// None: it was closed.
    Closed,
}

/// Where the trail stands and how it behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its folder.
    pub folder: PathBuf,
    /// How long an entry that nobody waits for may stay in memory.
    pub linger_max: Duration,
    /// The disk under it.
    pub disk: Arc<dyn Disk>,
}

impl Options {
    /// The usual ones.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), linger_max: Duration::from_millis(2), disk: Arc::new(SystemDisk) }
    }
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Entries in the log and on their way.
    pub appended: u64,
    /// Entries that are durable.
    pub durable: u64,
    /// Times that the disk was synced.
    pub syncs: u64,
    /// Time that the last sync took, in microseconds.
    pub sync_last_us: u64,
    /// Time that all syncs took, in microseconds.
    pub sync_total_us: u64,
    /// Syncs that took at most so long, by [`SYNC_BOUNDS_US`]; what took longer is in none of them.
    pub syncs_within: [u64; SYNC_BOUNDS_US.len()],
}

/// Bounds of the syncs that are counted, in microseconds.
pub const SYNC_BOUNDS_US: [u64; 8] = [100, 200, 500, 1_000, 2_000, 5_000, 20_000, 100_000];

/// What waits for the writer.
struct Queue {
    buffer: Vec<u8>,
    count: u32,
    /// Where in the last segment the buffer will stand, behind the batch that is being written.
    begins: u64,
    next: u64,
    /// When the writer's thread takes what is there, if nobody has by then.
    due: Option<Instant>,
    /// Whether anything was appended since the writer's thread looked last.
    fresh: bool,
    /// Whether the writer's thread waits without an end.
    asleep: bool,
    /// Whether a segment has to be made or installed, which only the writer's thread does.
    room_wanted: bool,
    state: TrailState,
    closing: bool,
    full_since: u64,
    /// Who found no room: the writer for a segment, the publisher for tiles. Admission needs both.
    full: Full,
    refused: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Full {
    writer: bool,
    publisher: bool,
}

/// Which of them.
#[derive(Debug, Clone, Copy)]
enum Finder {
    Writer,
    Publisher,
}

impl Full {
    fn set(&mut self, finder: Finder, full: bool) {
        match finder {
            Finder::Writer => self.writer = full,
            Finder::Publisher => self.publisher = full,
        }
    }
}

/// The tail of the log, and the batch that is being written to it.
struct Writing {
    tail: Tail,
    buffer: Vec<u8>,
    /// Touched by the writer's thread alone.
    preparing: Option<Preparing>,
}

struct Shared {
    folder: PathBuf,
    linger_max: Duration,
    disk: Arc<dyn Disk>,
    queue: Mutex<Queue>,
    work: Condvar,
    /// Told when the log is being closed.
    closing: Condvar,
    /// Whoever holds this lock is the writer. Locked before `queue`, never after it.
    writing: Mutex<Writing>,
    /// Entries that are durable; owned by whoever holds `writing`.
    durable: AtomicU64,
    /// Time that the last sync took, in microseconds; owned likewise.
    sync_last_us: AtomicU64,
    waiters: Mutex<BTreeMap<u64, Vec<Waker>>>,
    counts: Mutex<Snapshot>,
    /// Log keys that took the place of others, each with its entry's number. Touched at the start only.
    succeeded: Mutex<Vec<(u64, KeyRotated)>>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Held for as long as this process owns the log.
    _lock: File,
}

/// The log, open for appending. Clones share it.
#[derive(Clone)]
pub struct Trail {
    shared: Arc<Shared>,
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(0)
}

/// A poisoned lock means a bug in a section that only moves numbers; the state behind it is still whole.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    fn admit(&mut self, draft: &Draft) -> Result<(), TrailError> {
        match &self.state {
            TrailState::Open => Ok(()),
            TrailState::Full if draft.kind().closes() => Ok(()),
            TrailState::Full => {
                *self.refused.entry(draft.kind().as_str()).or_default() += 1;
                Err(TrailError::Full)
            }
            TrailState::Failed(why) => Err(TrailError::Failed(why.clone())),
            TrailState::Closed => Err(TrailError::Closed),
        }
    }

    /// Whether so many more bytes fit into the last segment, behind all that was taken before.
    fn fits(&self, bytes: usize, closes: bool) -> bool {
        let end = self.begins + segment::batch_bytes(self.buffer.len() + bytes);
        end + if closes { 0 } else { RESERVE_BYTES } <= segment::SEGMENT_BYTES
    }

    /// Hold back what the last segment has no room for, until there is a further one.
    fn hold_back(&mut self, draft: &Draft) -> TrailError {
        self.room_wanted = true;
        if self.state == TrailState::Open {
            return TrailError::Busy;
        }
        *self.refused.entry(draft.kind().as_str()).or_default() += 1;
        TrailError::Full
    }

    fn push(&mut self, draft: &Draft, sealed: &[&[u8]]) -> Seq {
        for frame in sealed {
            segment::push_record(&mut self.buffer, segment::FRAME, |body| body.extend_from_slice(frame));
        }
        let seq = self.next;
        segment::push_record(&mut self.buffer, segment::LEAF, |body| draft.place(seq, body));
        self.next += 1;
        self.count += 1;
        Seq(seq)
    }
}

impl Trail {
    /// Open the log, mend what the last run left, and start the writer.
    ///
    /// # Errors
    /// Another process has it open, damage that no crash explains, or a disk that refuses.
    pub fn open(options: Options) -> Result<(Self, Recovered), TrailError> {
        std::fs::create_dir_all(&options.folder).map_err(TrailError::io("make the folder"))?;
        let lock = File::create(options.folder.join("lock")).map_err(TrailError::io("make the lock"))?;
        lock.try_lock().map_err(|_| TrailError::Locked)?;
        let (found, tail) = recover(&options.folder, &*options.disk)?;
        let shared = Arc::new(Shared {
            folder: options.folder,
            linger_max: options.linger_max,
            disk: options.disk,
            queue: Mutex::new(Queue {
                buffer: vec![0; segment::HEADER],
                count: 0,
                begins: tail.offset,
                next: tail.next,
                due: None,
                fresh: false,
                asleep: false,
                room_wanted: true,
                state: TrailState::Open,
                closing: false,
                full_since: 0,
                full: Full::default(),
                refused: BTreeMap::new(),
            }),
            work: Condvar::new(),
            closing: Condvar::new(),
            durable: AtomicU64::new(tail.next),
            sync_last_us: AtomicU64::new(0),
            writing: Mutex::new(Writing { tail, buffer: vec![0; segment::HEADER], preparing: None }),
            waiters: Mutex::new(BTreeMap::new()),
            counts: Mutex::new(Snapshot::default()),
            succeeded: Mutex::new(found.log_keys.clone()),
            writer: Mutex::new(None),
            _lock: lock,
        });
        // The last run may have left nothing but the reserve.
        make_room(&shared, &mut hold(&shared.writing));
        let theirs = shared.clone();
        let writer = std::thread::Builder::new()
            .name("trail".to_owned())
            .spawn(move || keep_writing(&theirs))
            .map_err(TrailError::io("start the writer"))?;
        *hold(&shared.writer) = Some(writer);
        let trail = Self { shared };
        trail.close_lost(&found)?;
        Ok((trail, found))
    }

    /// The first words after a crash: the gap, then the end of everything that was open.
    fn close_lost(&self, found: &Recovered) -> Result<(), TrailError> {
        // A run that stopped in order may still have had sessions whose ends took too long.
        if !found.unclean && found.open.is_empty() && found.calls.is_empty() {
            return Ok(());
        }
        let at = now();
        if found.unclean {
            let gap = Gap { cause: CAUSE_KILLED.to_owned(), from: found.last_at, refused: vec![], until: at };
            self.append(Draft::new(at, &Body::Gap(gap))?, &[])?;
        }
        let mut operations = 0;
        for (session, open) in &found.open {
            for operation in open {
                operations += 1;
                let body = Body::OperationOutcome(OperationOutcome {
                    bytes: 0,
                    call: None,
                    duration_us: 0,
                    ended_by: None,
                    exit_code: None,
                    free_text: None,
                    operation: *operation,
                    rows: 0,
                    session: session.clone(),
                    signal: None,
                    sqlstate: None,
                    status: Status::Lost,
                    subjects: None,
                    transcript: None,
                    withdrawn: None,
                });
                self.append_waiting(&Draft::new(at, &body)?)?;
            }
            let body = Body::SessionClosed(SessionClosed {
                agent: None,
                bytes_from_target: 0,
                bytes_to_target: 0,
                duration_us: 0,
                ended_after_us: None,
                operations: 0,
                reason: REASON_LOST.to_owned(),
                refusals: 0,
                rows: 0,
                session: session.clone(),
            });
            self.append_waiting(&Draft::new(at, &body)?)?;
        }
        for call in &found.calls {
            let body = Body::ToolcallEnded(ToolcallEnded {
                bytes: 0,
                call: call.clone(),
                code: None,
                duration_us: 0,
                masked: None,
                not_looked_through: None,
                outcome: CallOutcome::Lost,
                phi_without_statement: None,
                rows: 0,
            });
            self.append_waiting(&Draft::new(at, &body)?)?;
        }
        let sessions = found.open.len() as u64;
        let body = GatewayRecovered { operations, sessions, torn_bytes: found.torn_bytes };
        self.append_waiting(&Draft::new(at, &Body::GatewayRecovered(body))?)
    }

    /// Append, waiting for the writer where the queue is full: only at the start, where nobody else appends.
    fn append_waiting(&self, draft: &Draft) -> Result<(), TrailError> {
        loop {
            match self.append(draft.clone(), &[]) {
                Err(TrailError::Busy) => std::thread::sleep(Duration::from_millis(1)),
                other => return other.map(|_| ()),
            }
        }
    }

    /// Append one entry with the sealed frames (ciphertext) that it names. Never waits for the disk: the entry is on its
    /// way once somebody waits for it, and after [`Options::linger_max`] in any case.
    ///
    /// # Errors
    /// [`TrailError::Busy`], [`TrailError::Full`], [`TrailError::Failed`], [`TrailError::Closed`],
    /// [`TrailError::TooLarge`].
    pub fn append(&self, draft: Draft, sealed: &[&[u8]]) -> Result<Seq, TrailError> {
        let bytes: usize = sealed.iter().map(|frame| frame.len() + segment::RECORD_HEADER).sum::<usize>()
            + draft.size_max()
            + segment::RECORD_HEADER;
        if bytes > APPEND_BYTES_MAX {
            return Err(TrailError::TooLarge);
        }
        let mut queue = hold(&self.shared.queue);
        queue.admit(&draft)?;
        if queue.buffer.len() + bytes > QUEUE_BYTES_MAX {
            return Err(TrailError::Busy);
        }
        if !queue.fits(bytes, draft.kind().closes()) {
            self.shared.work.notify_one();
            return Err(queue.hold_back(&draft));
        }
        let seq = queue.push(&draft, sealed);
        queue.fresh = true;
        if queue.due.is_none() {
            queue.due = Some(Instant::now() + self.shared.linger_max);
        }
        let large = queue.buffer.len() >= BATCH_BYTES;
        if large {
            queue.due = Some(Instant::now());
        }
        // It looks by itself every now and then while there is anything to do.
        if large || queue.asleep {
            self.shared.work.notify_one();
        }
        Ok(seq)
    }

    /// The last entry that is durable; all before it are.
    #[must_use]
    pub fn durable(&self) -> Option<Seq> {
        self.shared.durable.load(Ordering::Acquire).checked_sub(1).map(Seq)
    }

    /// Ready when the entry is durable, or can never be.
    ///
    /// Where nobody is writing, this call itself writes everything that waits and syncs it, which takes as long as the
    /// disk takes; it leaves that to the writer's thread where the last sync took over 5 ms.
    pub fn poll_durable(&self, entry: Seq, cx: &mut Context<'_>) -> Poll<Result<(), TrailError>> {
        let reached = || self.shared.durable.load(Ordering::Acquire) > entry.0;
        if reached() {
            return Poll::Ready(Ok(()));
        }
        // Before registering, since whoever writes also wakes, and need not wake himself.
        lead(&self.shared);
        if reached() {
            return Poll::Ready(Ok(()));
        }
        let mut waiters = hold(&self.shared.waiters);
        // Again under the lock: the writer moves the watermark before it takes the lock to wake, so either this sees
        // the new watermark or the writer sees this waker.
        if reached() {
            return Poll::Ready(Ok(()));
        }
        let waiting = waiters.entry(entry.0).or_default();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        drop(waiters);
        // And again: whoever is writing now lets go of the lock before it wakes, and wakes one of those whose entries are
        // not in its batch, so that either this finds the lock free or somebody is told to go on.
        lead(&self.shared);
        if reached() {
            return Poll::Ready(Ok(()));
        }
        // For the same reason: a failure is set before its waiters are woken.
        match &hold(&self.shared.queue).state {
            TrailState::Failed(why) => Poll::Ready(Err(TrailError::Failed(why.clone()))),
            TrailState::Open | TrailState::Full | TrailState::Closed => Poll::Pending,
        }
    }

    /// Wait until the entry is durable. Cancel safe.
    ///
    /// # Errors
    /// It can never become durable.
    pub async fn wait_durable(&self, entry: Seq) -> Result<(), TrailError> {
        std::future::poll_fn(|cx| self.poll_durable(entry, cx)).await
    }

    /// Whether entries are taken.
    #[must_use]
    pub fn state(&self) -> TrailState {
        hold(&self.shared.queue).state.clone()
    }

    /// Counts for whoever watches.
    #[must_use]
    pub fn metrics(&self) -> Snapshot {
        let appended = hold(&self.shared.queue).next;
        let durable = self.shared.durable.load(Ordering::Acquire);
        Snapshot { appended, durable, ..*hold(&self.shared.counts) }
    }

    /// Hand every durable entry to `take`, in order, from the files.
    ///
    /// # Errors
    /// Damage, or what `take` returns.
    pub fn scan(&self, mut take: impl FnMut(Entry) -> Result<(), TrailError>) -> Result<(), TrailError> {
        let durable = self.shared.durable.load(Ordering::Acquire);
        let read = read(&self.shared.folder, |class, payload, seq| {
            if class == segment::LEAF && seq < durable { take(parse_entry(payload)?) } else { Ok(()) }
        });
        // What is not durable yet may be half written while it is read here: no damage.
        if let Err(TrailError::Damaged { seq, .. }) = &read
            && *seq >= durable
        {
            return Ok(());
        }
        read
    }

    /// A reader of this log that goes on where it stopped, for whoever looks at it again and again.
    #[must_use]
    pub fn follow(&self) -> Follower {
        Follower::new(&self.shared.folder)
    }

    /// Hand every sealed frame (ciphertext) of the log to `take`, in order, from the files.
    ///
    /// # Errors
    /// Damage.
    pub fn scan_frames(&self, mut take: impl FnMut(&[u8])) -> Result<(), TrailError> {
        let durable = self.shared.durable.load(Ordering::Acquire);
        let read = read(&self.shared.folder, |class, payload, seq| {
            if class == segment::FRAME && seq < durable {
                take(payload);
            }
            Ok(())
        });
        match read {
            Err(TrailError::Damaged { seq, .. }) if seq >= durable => Ok(()),
            other => other,
        }
    }

    /// Publish tiles and a signed checkpoint of everything durable, now and then at most every second, until the trail is
    /// closed; a last time then. Of several keys the last one signs, once each has taken over from the one before it.
    ///
    /// # Errors
    /// The log is not the one that was signed before, none of the keys signed it, or the disk refuses. A key that has not
    /// taken over yet does so when this is called again.
    pub fn publish(&self, keys: impl Into<LogKeys>) -> Result<std::thread::JoinHandle<()>, TrailError> {
        let mut publisher = self.succeed(&keys.into())?;
        let shared = self.shared.clone();
        std::thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || {
                loop {
                    let closed = hold(&shared.queue).closing;
                    let durable = shared.durable.load(Ordering::Acquire);
                    // What a failure leaves half done is forgotten, and built again from the segments.
                    let before = publisher.clone();
                    match publisher.publish(durable) {
                        Ok(()) => reopen(&shared, Finder::Publisher),
                        Err(error) if error.is_full() && !closed => {
                            publisher = before;
                            fill_up(&shared, Finder::Publisher);
                            let queue = hold(&shared.queue);
                            drop(shared.closing.wait_timeout_while(queue, RETRY, |queue| !queue.closing));
                            continue;
                        }
                        Err(error) => return fail(&shared, &error),
                    }
                    let queue = hold(&shared.queue);
                    let last = durable == queue.next || matches!(queue.state, TrailState::Failed(_));
                    if closed && last {
                        return;
                    }
                    let wait = if closed { Duration::from_millis(10) } else { PUBLISH_EVERY };
                    drop(shared.closing.wait_timeout_while(queue, wait, |queue| queue.closing == closed));
                }
            })
            .map_err(TrailError::io("start the publisher"))
    }

    /// Write `gateway.stopped`, sync, and end the writer.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn close(&self, reason: &str) -> Result<(), TrailError> {
        let body = Body::GatewayStopped(GatewayStopped { reason: reason.to_owned() });
        // Where even that cannot be written the threads end all the same; the next start records the gap.
        let stopped = self.append(Draft::new(now(), &body)?, &[]);
        {
            let mut queue = hold(&self.shared.queue);
            queue.closing = true;
            self.shared.work.notify_one();
            self.shared.closing.notify_all();
        }
        if let Some(writer) = hold(&self.shared.writer).take() {
            writer.join().map_err(|_| TrailError::Failed("the writer died".into()))?;
        }
        match self.state() {
            TrailState::Failed(why) => Err(TrailError::Failed(why)),
            TrailState::Open | TrailState::Full | TrailState::Closed => stopped.map(drop),
        }
    }
}

/// Whoever verifies sees an old checkpoint; whoever appends must not go on unseen.
fn fail(shared: &Shared, error: &TrailError) {
    let mut queue = hold(&shared.queue);
    if matches!(queue.state, TrailState::Open | TrailState::Full) {
        queue.state = TrailState::Failed(error.to_string().into());
    }
}

/// Only closing entries from here on.
fn fill_up(shared: &Shared, finder: Finder) {
    let mut queue = hold(&shared.queue);
    queue.full.set(finder, true);
    if queue.state == TrailState::Open {
        queue.state = TrailState::Full;
        queue.full_since = now();
    }
}

/// Read while the writer may be writing: a batch that is half there at the very end is not an error.
fn read(folder: &Path, take: impl FnMut(u8, &[u8], u64) -> Result<(), TrailError>) -> Result<(), TrailError> {
    scan(folder, take).map(|_| ())
}
