//! What every protocol must offer the data path. A protocol knows nothing of policy, trail or store; the data path
//! knows no protocol: both know only this.
//!
//! A session has three states with one type each: [`Opening`] (a stranger speaks), [`Known`] (the stranger's claim
//! was accepted, the target is not dialled yet) and [`Conversation`] (both ends joined).

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use chaperone_access::{Analysis, Claim, Earlier, Refusal, Since, TargetName, Words};
use thiserror::Error;

pub mod limits;

/// Why a conversation cannot go on, by who is to blame.
#[derive(Debug, Error)]
pub enum Fault {
    /// The client broke the protocol or a limit: it is told, and the session ends.
    #[error("client: {0}")]
    Client(Refusal),
    /// The client's connection ended without a farewell.
    #[error("the client went away")]
    ClientGone,
    /// The target, its agent or the way to it went away, or it broke the protocol.
    #[error("target: {0}")]
    Target(Refusal),
}

/// A byte stream to either side.
pub trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

/// What identity lets a protocol show a stranger before anything is proved. It must not depend on whether the name
/// exists.
pub trait Challenger: Send + Sync {
    /// Salt and iteration count for a user name (RFC 5802, server-first-message).
    fn challenge(&self, user: &str) -> (Vec<u8>, u32);
}

/// A connection of which nothing is known.
pub trait Opening: Send + Sized {
    /// The state after the claim was made.
    type Known: Known;

    /// Read the stranger's claim, to the point where the only thing missing is our answer.
    fn claim(
        self,
        challenger: &dyn Challenger,
    ) -> impl Future<Output = Result<(Claim, Self::Known), Fault>> + Send;
}

/// A claim has been made; it is answered by [`Known::join`] or by [`Known::refuse`].
pub trait Known: Send + Sized {
    /// The state in which operations flow.
    type Conversation: Conversation;

    /// What it speaks, by its word in the configuration: at a target that speaks something else it has no business.
    const SPEAKS: &'static str;

    /// Settings that the client asks for, by name. The target is to start the session with them, so that they are what it goes back
    /// to; where it does not, `join` applies them.
    fn settings(&self) -> &[(String, String)] {
        &[]
    }

    /// End it with the protocol's own words for the refusal.
    fn refuse(self, refusal: &Refusal) -> impl Future<Output = ()> + Send;

    /// Tell the client that it is in, and join it to the target's stream.
    ///
    /// `proof` is what proves to the client that we know its secret (SCRAM's ServerSignature).
    fn join(
        self,
        proof: [u8; 32],
        target: TargetEnd,
        company: Company,
    ) -> impl Future<Output = Result<Self::Conversation, Fault>> + Send;
}

/// The target's end, logged in by the agent: the next bytes on `stream` are the protocol's own.
pub struct TargetEnd {
    /// To the target, through the agent.
    pub stream: Box<dyn Stream>,
    /// What the agent learnt at login, in the protocol's own terms (PostgreSQL: the messages between
    /// AuthenticationOk and the first ReadyForQuery, without the backend's key).
    pub greeting: Bytes,
    /// Which target it is.
    pub target: TargetName,
}

/// What a conversation needs of the other rooms.
pub struct Company {
    /// Understands statements.
    pub analyst: Arc<dyn Analyst>,
    /// Digests large values.
    pub digester: Arc<dyn Digester>,
    /// Longest statement text, in bytes.
    pub statement_bytes_max: usize,
    /// The key that a cancel request for this session must show; made by whoever can find the session by it.
    pub cancel: CancelKey,
}

/// What the client gets to cancel its running operation from another connection.
#[derive(Clone, Copy)]
pub struct CancelKey {
    /// Stands where a process id would.
    pub id: u32,
    /// The secret; protocols that only know short ones use its first bytes.
    pub secret: [u8; 32],
}

/// Understands statements against the target's catalog. Implemented in wiring over `scope`.
pub trait Analyst: Send + Sync {
    /// The analysis if it is at hand, or made in less time than another thread would take to begin.
    fn cached(&self, text: &Arc<str>, names: &Names) -> Option<Arc<Analysis>>;

    /// Analyse. Never fails: what cannot be understood is an analysis that only a caller with every verb may run.
    fn analyse(&self, text: Arc<str>, names: Names) -> futures::BoxFuture<Arc<Analysis>>;

    /// Do something that walks trees of statements on a thread with a deep stack, while others go on here.
    fn on_a_deep_stack(&self, job: Box<dyn FnOnce() + Send>) -> futures::BoxFuture<Result<(), Refusal>>;

    /// Whether an analysis was made against the catalog and classification in force. Asked for whatever was analysed
    /// before it is run, so it may cost a lock and no more.
    fn is_current(&self, analysis: &Analysis) -> bool;

    /// What an analysis of something that runs is under the classification in force. Asked again and again while it runs, so
    /// it costs little where nothing has changed.
    fn since(&self, analysis: &Arc<Analysis>) -> Since;

    /// Where a fresh session of the target's role looks for names.
    fn fresh_names(&self) -> Names;

    /// Something that may have changed the catalog has succeeded.
    fn catalog_changed(&self);

    /// What looks through free text that callers get who are seen in part.
    fn detectors(&self) -> Arc<dyn Detectors>;
}

/// Finds identifiers of people in free text. Implemented in wiring over `masking`.
pub trait Detectors: Send + Sync {
    /// Tell each identifier in a text by its bytes and its tag, in order and without overlap.
    fn find(&self, text: &[u8], found: &mut dyn FnMut(Range<usize>, &'static str));

    /// Look through a text that comes in pieces, leaving in it the kinds of identifiers in `stays`.
    fn stream(&self, stays: &BTreeSet<&'static str>) -> Box<dyn Looking>;
}

/// One text that is looked through while it comes. What it gives, piece by piece, is what the whole would give at once,
/// wherever it was cut; it holds back what may still become an identifier, in bounds.
pub trait Looking: Send {
    /// The next piece. What may leave is appended to `out`, with identifiers replaced by their tags and counted.
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>, found: &mut LookedThrough);

    /// The text has ended: the rest of it, likewise.
    fn finish(self: Box<Self>, out: &mut Vec<u8>, found: &mut LookedThrough);
}

/// What came of looking through free text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookedThrough {
    /// Values that were looked through.
    pub values: u64,
    /// Values that could not be, and passed as they were.
    pub unread: u64,
    /// Identifiers that were replaced, by their tags.
    pub found: BTreeMap<&'static str, u64>,
}

impl LookedThrough {
    /// The same and more.
    pub fn add(&mut self, more: &Self) {
        self.values += more.values;
        self.unread += more.unread;
        for (tag, count) in &more.found {
            *self.found.entry(tag).or_default() += count;
        }
    }
}

/// How the session resolves unqualified names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Names {
    /// The schemas in which it looks, in order.
    pub path: Arc<[Arc<str>]>,
    /// Temporary relations that the session made.
    pub temporary: Arc<[Arc<str>]>,
}

/// Boxed futures without a dependency.
pub mod futures {
    /// A future on the heap.
    pub type BoxFuture<T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send>>;
}

/// What the data path is ready to take. Back-pressure is the absence of interest.
#[derive(Debug, Clone, Copy)]
pub struct Interest {
    /// Another request of the client's.
    pub request: bool,
    /// Another piece of the target's reply.
    pub reply: bool,
}

/// What happened on the wire.
pub enum Event<C: Conversation + ?Sized> {
    /// A piece of the protocol that asks for nothing by itself (flow control, data of an operation under way,
    /// metadata of something already decided). It travels in order with the rest.
    Step(C::Step),
    /// Something is made ready to be run later, or asked about: decided now, run at its own request.
    Prepare(C::Request),
    /// One or more operations begin.
    Run(C::Request),
    /// Goes on with the operations that began last, which have not ended: decided again, and no operation of its own.
    Continue(C::Request),
    /// Refused by the protocol itself or by its limits; to be recorded, and answered in its place in the order.
    Refused(C::Request, Refusal),
    /// A piece of the target's reply.
    Reply(C::Reply),
    /// The client said good-bye.
    Left,
}

/// Both ends joined. Implementations own all buffers and do all reading and writing inside `poll_next`, on both
/// ends at once, so that neither side's slowness stops the other's progress.
///
/// Cancel safety: dropping the future built on `poll_next` loses nothing.
pub trait Conversation: Send {
    /// A piece without operations.
    type Step: Send + std::fmt::Debug;
    /// A request with operations, on which nothing has been decided.
    type Request: Request;
    /// A request that was permitted, in the words that the target will see.
    type Outgoing: Send + std::fmt::Debug;
    /// A piece of a reply.
    type Reply: Reply;

    /// Write what is waiting, read what there is, and return the next event for which there is interest.
    ///
    /// # Errors
    /// Ends the session.
    fn poll_next(&mut self, cx: &mut Context<'_>, interest: Interest) -> Poll<Result<Event<Self>, Fault>>;

    /// Write what waits for the client, without reading anything; ready when all of it is out.
    ///
    /// # Errors
    /// The client is gone.
    fn poll_flush_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>>;

    /// Take a permitted request up, in the words that policy wants. From here on the session's names (prepared
    /// statements, portals) are as if it had been sent. Where something was prepared in other words than these, the
    /// conversation prepares it again first. Whatever the target says of it beside its result (errors, notices) is said
    /// so that a caller who sees `words.scope` only learns nothing else.
    fn permitted(&mut self, request: Self::Request, words: Words) -> Self::Outgoing;

    /// Turn a request into a step that makes the *target* fail in its place, and whose failure the client will see
    /// in our words: so the protocol's own rules for transactions, pipelines and order hold without our help.
    fn refused(&mut self, request: Self::Request, refusal: &Refusal) -> Self::Step;

    /// Bytes of a step, to bound how many wait.
    fn step_size(step: &Self::Step) -> usize;

    /// Whether a step is data for the operations that began last, which have not ended.
    fn is_data(step: &Self::Step) -> bool;

    /// Whether what has begun goes on only when the client says more: the target has nothing to do meanwhile.
    fn waits_for_client(&self) -> bool;

    /// Pass a step on to the target.
    fn forward_step(&mut self, step: Self::Step);

    /// Pass a permitted request on to the target.
    fn forward(&mut self, outgoing: Self::Outgoing);

    /// Give a reply to the client.
    fn release(&mut self, reply: Self::Reply);

    /// Put our words in the place of the target's, in the reply that ended an operation or told of a failure beside one.
    /// Its part stays. `None` where the target succeeded and its success cannot be told as a failure, because it has gone
    /// on to what follows.
    fn failed_as(&mut self, reply: Self::Reply, refusal: &Refusal) -> Option<Self::Reply>;

    /// Append the protocol's words for the end of the session to what the client gets.
    fn farewell(&mut self, refusal: &Refusal);
}

/// Computes keyed digests of values too large to keep.
pub trait Digester: Send + Sync {
    /// A digest to be fed in pieces.
    fn begin(&self) -> Box<dyn Digest>;
}

/// One keyed digest under way.
pub trait Digest: Send {
    /// The next piece.
    fn update(&mut self, piece: &[u8]);
    /// HMAC-SHA-256 of all pieces under the installation's commitment key.
    fn finish(self: Box<Self>) -> [u8; 32];
}

/// A request with operations, already understood.
pub trait Request: Send + std::fmt::Debug {
    /// What it asks for.
    fn analysis(&self) -> &Arc<Analysis>;

    /// Values that travel apart from the text.
    fn parameters(&self) -> &[Parameter];

    /// What it goes on with that was decided before, and cannot be sent in other words now. It may run only where the
    /// same would be sent for the same scope today.
    fn earlier(&self) -> &[Earlier];

    /// Whether a part of it has been sent, so that nothing else can be sent in its place: a refusal ends the session.
    fn is_begun(&self) -> bool;

    /// Its size in memory, for limits.
    fn size(&self) -> usize;
}

/// A bound value, as much of it as is kept.
#[derive(Debug, Clone)]
pub enum Parameter {
    /// SQL NULL.
    Null,
    /// The whole value, as sent.
    Whole {
        /// The protocol's format code (PostgreSQL: 0 text, 1 binary).
        format: i16,
        /// The value.
        value: Bytes,
    },
    /// Over the limit for keeping: its length in bytes and its keyed digest.
    Digest {
        /// The protocol's format code.
        format: i16,
        /// Length in bytes.
        length: u64,
        /// HMAC-SHA-256 under the installation's commitment key.
        digest: [u8; 32],
    },
}

/// Which part of which reply it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Belongs to no operation and tells nothing but where the protocol stands: an acknowledgement, a readiness.
    Aside,
    /// Words of the target that belong to no operation: an error of something that could not be made ready, a notice at a
    /// commit, what another session says.
    Told {
        /// The target's error code (PostgreSQL: SQLSTATE), where it is an error.
        code: Option<[u8; 5]>,
    },
    /// Belongs to the oldest operation that has not ended and holds no data (a header, an invitation to send).
    Head,
    /// Data of the oldest operation that has not ended, or words of the target beside them (a notice).
    Body {
        /// Result rows and pieces of copied data that begin in it.
        rows: u64,
        /// Bytes of the messages that begin in it, to their ends: more than are here where one is handed on in pieces,
        /// and none in its further pieces. So a limit can stop before a message and never in one.
        bytes: u64,
    },
    /// Ends the oldest operation that has not ended.
    End(Ending),
    /// The target failed where no operation was left to fail, when it committed what had ended well: what ran since the
    /// last commit did not stay.
    Undone {
        /// The target's error code (PostgreSQL: SQLSTATE).
        code: [u8; 5],
    },
}

/// How the target ended an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Done: the rows that its command tag counts.
    Done {
        /// Rows affected or returned, where the tag says.
        rows: Option<u64>,
    },
    /// Suspended by the client's own row limit; the rest may be asked for later.
    Suspended,
    /// The target refused or failed.
    Failed {
        /// The target's error code (PostgreSQL: SQLSTATE).
        code: [u8; 5],
    },
    /// Made ready with its values, which the target plans for, and left at that by the client.
    Planned,
    /// Never run, because an earlier one in the same string or pipeline failed.
    NotRun,
    /// A program has ended.
    Exited(Exit),
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code; `None` where a signal ended it, or it never ran.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Who ended it.
    pub by: ExitBy,
}

/// Who ended a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitBy {
    /// It ended by itself, or by a signal of somebody at its machine.
    Itself,
    /// It ran for longer than its declaration lets it.
    TimeLimit,
    /// It printed more than its declaration lets it.
    OutputLimit,
    /// Its client, an administrator or a limit of policy.
    Cancelled,
    /// Its agent was asked to stop.
    AgentStopping,
    /// It never ran: its agent could or would not start it.
    NotStarted,
}

impl ExitBy {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Itself,
        Self::TimeLimit,
        Self::OutputLimit,
        Self::Cancelled,
        Self::AgentStopping,
        Self::NotStarted,
    ];

    /// The word in entries and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Itself => "itself",
            Self::TimeLimit => "time_limit",
            Self::OutputLimit => "output_limit",
            Self::Cancelled => "cancelled",
            Self::AgentStopping => "agent_stopping",
            Self::NotStarted => "not_started",
        }
    }
}

/// Where a program printed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Printed {
    /// On its standard output.
    Out,
    /// On its standard error.
    Err,
}

impl Printed {
    /// The letter in transcripts and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Out => "o",
            Self::Err => "e",
        }
    }
}

/// A piece of a reply.
pub trait Reply: Send + std::fmt::Debug {
    /// Which part it is.
    fn part(&self) -> &Part;

    /// Its size in bytes.
    fn size(&self) -> usize;

    /// Show each value in it that tells which patient a row is about: its place in [`Subjects::At`] and the value in its
    /// text form, the same however it travels. Returns whether all of them could be read.
    ///
    /// [`Subjects::At`]: chaperone_access::Subjects::At
    fn subjects(&self, see: &mut dyn FnMut(usize, &[u8])) -> bool;

    /// What came of looking through the free text in it; `None` where there is none to look through.
    fn looked_through(&self) -> Option<&LookedThrough>;

    /// What a program printed, as the client gets it; `None` for every other reply. It becomes part of the transcript.
    fn printed(&self) -> Option<(Printed, &str)>;

    /// The statement that words beside an operation are about ([`Part::Told`]), where there is one.
    fn about(&self) -> Option<&Arc<Analysis>>;
}
