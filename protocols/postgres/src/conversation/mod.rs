//! A PostgreSQL session between a client and a target, from the first ReadyForQuery on: what each side says becomes
//! events for the data path, and what the data path lets through is sent.
//!
//! - `pipe`: one side's stream and buffers
//! - `asking`: the client's messages become steps and requests
//! - `meaning`: what statements stand for that go by a name
//! - `permitting`: requests in the words that the target gets
//! - `answering`: the target's messages are paired with what was sent
//! - `telling`: what the client hears of errors and notices
//! - `subjects`: which patients rows are about
//! - `sieve`, `spelled`: free text in rows, looked through before it leaves
//! - `resolving`: what names mean, as transactions move it
//! - `names`: prepared statements, portals and cursors
//! - `weights`: how many bytes all of that comes to
//! - `pieces`: the values that travel

mod answering;
mod asking;
mod meaning;
mod names;
mod permitting;
mod pieces;
mod pipe;
mod resolving;
mod sieve;
mod spelled;
mod subjects;
mod telling;
mod weights;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use chaperone_access::{Analysis, Refusal, RefusalCode, Words};
use chaperone_wire::futures::BoxFuture;
use chaperone_wire::limits::{BACKLOG_BYTES_MAX, KEPT_BYTES_MAX};
use chaperone_wire::{Company, Ending, Event, Fault, Interest, Known, Part, TargetEnd};

use crate::codec::{Backend, BackendTag, Frame, Frontend, FrontendTag, Limits, Message, encode};
use crate::opening::{Claimed, Joined};
use answering::report;
use asking::{LargeBind, Then};
use meaning::Merged;
use names::{Book, Undo};
use pieces::{Expect, Kind};
use pipe::Pipe;
use resolving::Resolving;
use subjects::{Look, Shape};
use telling::Looks;
use weights::Weights;

pub use pieces::{Outgoing, Reply, Request, Step};

/// What is sent in the place of a refused message, for the target to fail on: a syntax error, which PostgreSQL
/// reports in any state of a transaction, and which says in the target's own log why it is there.
const FAILING_STATEMENT: &str = "refused by chaperone";

/// Ends of COPY data that are known before their COPY has begun.
const COPIES_ENDED_MAX: usize = 1_000;

/// Both ends, joined.
pub struct Conversation {
    client: Pipe,
    target: Pipe,
    frontend: Frontend,
    backend: Backend,
    company: Company,
    book: Book,
    resolving: Resolving,
    expected: VecDeque<Expect>,
    replies: VecDeque<Reply>,
    analysing: Option<(BoxFuture<Arc<Analysis>>, Then)>,
    waiting: Option<Frame<FrontendTag>>,
    large_bind: Option<LargeBind>,
    /// A request of this pipeline was refused: the client's messages are dropped up to its Sync.
    skipping: bool,
    /// The target failed in a pipeline whose Sync has not been sent yet.
    lost_until_sync: bool,
    /// What was sent before that Sync and is skipped, to be taken back when all of it is known: a later definition knows
    /// the earlier ones.
    undone: Vec<Undo>,
    copying_in: bool,
    /// A Flush was sent for the frame that waits.
    flushed: bool,
    /// Ends of COPY data that were sent before the server had said that it wants any, each with the Syncs before it.
    copies_ended: VecDeque<u64>,
    /// Syncs that were sent and are to be answered, or were.
    syncs: u64,
    /// Requests under way that change what later texts mean.
    unsettled: usize,
    /// Those among all that may take back what a transaction has done.
    ending: usize,
    merged: Option<Merged>,
    /// What the client's last Bind began, as long as nothing was said since that belongs to anything else.
    bound: Option<Bound>,
    /// What a Bind began has ended by a failure of the target's: what would have ended it has nothing left to end.
    bound_failed: bool,
    /// What the rows of the operation that is being answered are looked at for, once that is known.
    looks: Option<Looks>,
    /// The columns of its result, where the target has described them, and the description itself.
    shape: Option<(Shape, Message<BackendTag>)>,
    /// Something of whoever does not see everything may still be reported on.
    restricted: bool,
    /// Free text may be quoted in what is reported.
    quoting: bool,
    /// No transaction is open, as far as the target has said.
    idle: bool,
    /// What is open has changed the catalog, which others see once it is committed.
    altering: bool,
    /// Notices that nobody was told.
    untold: u64,
}

/// Operations that a Bind began.
struct Bound {
    portal: Arc<str>,
    runs: usize,
}

impl Known for Claimed {
    type Conversation = Conversation;

    const SPEAKS: &'static str = "postgres";

    fn settings(&self) -> &[(String, String)] {
        self.asked()
    }

    async fn refuse(self, refusal: &Refusal) {
        self.dismiss(refusal).await;
    }

    async fn join(self, proof: [u8; 32], target: TargetEnd, company: Company) -> Result<Conversation, Fault> {
        let joined = self.welcome(proof, target, company.cancel).await?;
        Ok(Conversation::new(joined, company))
    }
}

impl Conversation {
    fn new(joined: Joined, company: Company) -> Self {
        let mut names = company.analyst.fresh_names();
        if let Some(path) = joined.path {
            names.path = path.into();
        }
        Self {
            client: Pipe::new(joined.client, joined.client_input),
            target: Pipe::new(joined.target.stream, BytesMut::new()),
            frontend: Frontend::new(Limits::frontend(company.statement_bytes_max)),
            backend: Backend::new(Limits::backend()),
            company,
            book: Book::default(),
            resolving: Resolving::new(names),
            expected: VecDeque::new(),
            replies: VecDeque::new(),
            analysing: None,
            waiting: None,
            large_bind: None,
            skipping: false,
            lost_until_sync: false,
            undone: Vec::new(),
            copying_in: false,
            copies_ended: VecDeque::new(),
            syncs: 0,
            flushed: false,
            unsettled: 0,
            ending: 0,
            merged: None,
            bound: None,
            bound_failed: false,
            looks: None,
            shape: None,
            restricted: true,
            quoting: false,
            idle: true,
            altering: false,
            untold: 0,
        }
    }

    /// The next event of the client's, from the bytes that are here.
    fn client_at_hand(&mut self, cx: &mut Context<'_>) -> Result<AtHand, Fault> {
        loop {
            if let Some((future, _)) = &mut self.analysing {
                let Poll::Ready(analysis) = future.as_mut().poll(cx) else { return Ok(AtHand::Waits) };
                if let Some((_, then)) = self.analysing.take() {
                    return Ok(AtHand::Event(self.understood(analysis, then)));
                }
            }
            let frame = match self.waiting.take() {
                Some(frame) => Some(frame),
                None => self.frontend.decode(&mut self.client.input).map_err(|error| {
                    Fault::Client(Refusal::new(RefusalCode::ProtocolViolation, error.to_string()))
                })?,
            };
            let Some(frame) = frame else { return Ok(AtHand::Hungry) };
            if !self.goes_on(&frame)?
                && let Some(lapse) = self.lapse()
            {
                self.waiting = Some(frame);
                return Ok(AtHand::Event(Event::Step(Step::new(Bytes::new(), lapse))));
            }
            if !self.skipping && self.must_wait(&frame)? {
                self.waiting = Some(frame);
                if !std::mem::replace(&mut self.flushed, true) {
                    // The server keeps its answers back until Sync, which may be behind what waits for them.
                    return Ok(AtHand::Event(Event::Step(Step::bare(framed(encode::flush)))));
                }
                return Ok(AtHand::Waits);
            }
            self.flushed = false;
            if let Some(event) = self.hear(frame)? {
                return Ok(AtHand::Event(event));
            }
        }
    }

    /// The next piece of the target's reply, from the bytes that are here.
    fn target_at_hand(&mut self) -> Result<Option<Event<Self>>, Fault> {
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return Ok(Some(Event::Reply(reply)));
            }
            let run = self.backend.scan_run(&self.target.input);
            if run.bytes > 0 {
                let bytes = self.target.input.split_to(run.bytes).freeze();
                self.answer_run(bytes, run.rows)?;
                continue;
            }
            self.collect_rows();
            let frame = self.backend.decode(&mut self.target.input).map_err(|error| {
                Fault::Target(Refusal::new(
                    RefusalCode::TargetLost,
                    format!("the target broke the protocol: {error}"),
                ))
            })?;
            match frame {
                Some(frame) => {
                    self.answer(frame)?;
                    self.end_lapsed();
                }
                None => return Ok(None),
            }
        }
    }

    /// Read from the client until there is an event, an end, or nothing more.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event<Self>, Fault>> {
        loop {
            match ready!(self.client.poll_read(cx)) {
                Ok(0) => return Poll::Ready(Err(self.client_ended())),
                // TLS that ends without its own farewell, as the connection under it does.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Err(self.client_ended()));
                }
                Err(_) => return Poll::Ready(Err(Fault::ClientGone)),
                Ok(_) => {}
            }
            match self.client_at_hand(cx)? {
                AtHand::Event(event) => return Poll::Ready(Ok(event)),
                AtHand::Waits => return Poll::Pending,
                AtHand::Hungry => {}
            }
        }
    }

    /// The client says no more: in the middle of a message that is a fault, of which it can still hear.
    fn client_ended(&self) -> Fault {
        if self.client.input.is_empty() && self.frontend.at_boundary() {
            return Fault::ClientGone;
        }
        Fault::Client(Refusal::new(RefusalCode::ProtocolViolation, "the connection ended within a message"))
    }

    /// Read from the target until there is an event, an end, or nothing more.
    fn poll_target(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event<Self>, Fault>> {
        loop {
            match ready!(self.target.poll_read(cx)) {
                Ok(0) | Err(_) => {
                    return Poll::Ready(Err(Fault::Target(
                        Refusal::new(RefusalCode::TargetLost, "the connection to the target was lost")
                            .hint("reconnect; what was under way may or may not have been carried out"),
                    )));
                }
                Ok(_) => {}
            }
            if let Some(event) = self.target_at_hand()? {
                return Poll::Ready(Ok(event));
            }
        }
    }

    /// Write what waits on both ends: neither waits for the other.
    fn poll_writes(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        if let Poll::Ready(Err(_)) = self.client.poll_write(cx) {
            return Err(Fault::ClientGone);
        }
        if let Poll::Ready(Err(_)) = self.target.poll_write(cx) {
            return Err(Fault::Target(Refusal::new(
                RefusalCode::TargetLost,
                "the connection to the target was lost",
            )));
        }
        Ok(())
    }

    /// Why so many bytes more cannot be kept for the session; `None` where they can.
    fn full(&mut self, more: usize) -> Option<Refusal> {
        if self.book.bytes_most.saturating_add(more) <= KEPT_BYTES_MAX {
            return None;
        }
        let mut weights = Weights::default();
        self.book.weigh(&mut weights);
        self.expected.iter().for_each(|expect| weights.expected(expect));
        self.undone.iter().for_each(|undo| undo.weigh(&mut weights));
        self.book.bytes_most = weights.bytes();
        (self.book.bytes_most.saturating_add(more) > KEPT_BYTES_MAX).then(|| {
            let max = KEPT_BYTES_MAX / (1024 * 1024);
            let what = "prepared statements, portals, cursors and temporary tables";
            Refusal::new(RefusalCode::SessionFull, format!("a session may keep {max} MiB of {what}"))
                .hint("close or deallocate some, or end the transaction")
        })
    }

    /// What there is room for, of what is wanted.
    fn room(&self, interest: Interest) -> Interest {
        Interest {
            reply: interest.reply && self.client.waiting() < BACKLOG_BYTES_MAX,
            request: interest.request && self.target.waiting() < BACKLOG_BYTES_MAX,
        }
    }
}

/// What the client's bytes that are here come to.
#[allow(
    clippy::large_enum_variant,
    reason = "it is handed on at once, and a box would cost every event an allocation"
)]
enum AtHand {
    Event(Event<Conversation>),
    /// The next message is not here yet.
    Hungry,
    /// The next message waits for an analysis, or for the target.
    Waits,
}

impl chaperone_wire::Conversation for Conversation {
    type Step = Step;
    type Request = Request;
    type Outgoing = Outgoing;
    type Reply = Reply;

    fn poll_next(&mut self, cx: &mut Context<'_>, interest: Interest) -> Poll<Result<Event<Self>, Fault>> {
        loop {
            let room = self.room(interest);
            // What is here comes before any write, so that messages which came together leave together: one write,
            // and one wake-up of the other side, for a whole pipeline. Replies first: they end what is under way.
            if room.reply
                && let Some(event) = self.target_at_hand()?
            {
                return Poll::Ready(Ok(event));
            }
            let mut hungry = false;
            if room.request {
                match self.client_at_hand(cx)? {
                    AtHand::Event(event) => return Poll::Ready(Ok(event)),
                    AtHand::Hungry => hungry = true,
                    AtHand::Waits => {}
                }
            }
            self.poll_writes(cx)?;
            let now = self.room(interest);
            if (now.reply, now.request) != (room.reply, room.request) {
                continue;
            }
            if room.reply
                && let Poll::Ready(event) = self.poll_target(cx)
            {
                return Poll::Ready(event);
            }
            if hungry {
                return self.poll_client(cx);
            }
            return Poll::Pending;
        }
    }

    fn poll_flush_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.client.poll_write(cx).map_err(|_| Fault::ClientGone)
    }

    fn permitted(&mut self, request: Request, words: Words) -> Outgoing {
        self.take_up(request, words)
    }

    fn refused(&mut self, request: Request, refusal: &Refusal) -> Step {
        let report = report(refusal, false);
        let (simple, kept) = match request.kind {
            Kind::Query { .. } => (true, false),
            Kind::Unread { simple } => (simple, !simple),
            Kind::Parse { name, .. } => (false, !name.is_empty()),
            Kind::Bind(_) | Kind::BindHead { .. } | Kind::Describe { .. } | Kind::Execute { .. } => {
                (false, true)
            }
        };
        let before = self.lapse().into_iter().collect();
        if simple {
            self.book.reading += 1;
        } else {
            self.skipping = true;
            // What is still to come of it is dropped with the rest.
            self.large_bind = None;
        }
        let undo = self.book.displace(kept);
        let bytes = framed(|out| {
            if simple {
                encode::query(FAILING_STATEMENT, out);
            } else {
                encode::parse("", FAILING_STATEMENT, &[], out);
            }
        });
        Step { before, ..Step::new(bytes, Expect::Refused { simple, report, undo }) }
    }

    fn step_size(step: &Step) -> usize {
        step.bytes.len()
    }

    fn is_data(step: &Step) -> bool {
        step.is_data
    }

    fn waits_for_client(&self) -> bool {
        self.bound.is_some() && self.expected.is_empty()
    }

    fn forward_step(&mut self, step: Step) {
        if step.ends_copy && !self.copying_in {
            // Without a COPY the server ignores them, and nobody needs many.
            if self.copies_ended.len() < COPIES_ENDED_MAX {
                self.copies_ended.push_back(self.syncs);
            }
        } else if step.ends_copy {
            self.copying_in = false;
        }
        for expect in step.before.into_iter().chain(step.expect) {
            if matches!(expect, Expect::Sync) {
                if self.copying_in {
                    self.book.answered += 1;
                } else {
                    self.lost_until_sync = false;
                    self.take_back();
                    self.syncs += 1;
                    self.expected.push_back(expect);
                }
            } else if self.lost_until_sync {
                self.expect_skipped(expect);
            } else {
                self.expected.push_back(expect);
            }
        }
        self.end_lapsed();
        self.target.push(step.bytes);
    }

    fn forward(&mut self, outgoing: Outgoing) {
        self.forward_step(outgoing.0);
    }

    fn release(&mut self, reply: Reply) {
        self.client.push(reply.bytes);
    }

    fn failed_as(&mut self, reply: Reply, refusal: &Refusal) -> Option<Reply> {
        let target_failed = match reply.part {
            Part::End(Ending::Failed { .. }) | Part::Undone { .. } | Part::Told { code: Some(_) } => true,
            Part::End(
                Ending::Done { .. }
                | Ending::Suspended
                | Ending::Planned
                | Ending::NotRun
                | Ending::Exited(_),
            )
            | Part::Told { code: None }
            | Part::Aside
            | Part::Head
            | Part::Body { .. } => false,
        };
        (target_failed || self.nothing_follows()).then(|| Reply {
            bytes: report(refusal, false),
            part: reply.part,
            look: Look::Nothing,
            looked_through: None,
            about: reply.about,
        })
    }

    fn farewell(&mut self, refusal: &Refusal) {
        // In the middle of a message another one cannot be said: the connection's end has to do.
        if self.backend.at_boundary() {
            self.client.push(report(refusal, true));
        }
    }
}

fn framed(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut out);
    out.freeze()
}
