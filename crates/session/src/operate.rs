//! Step 5: operations. Each is decided, recorded, forwarded; its reply is recorded and released. What may not leave yet
//! waits behind the gates of [`Ends`].

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chaperone_access::{Analysis, Earlier, Refusal, RefusalCode, Scope};
use chaperone_policy::{Admission, Decision, Denied, Permit, Unwritten};
use chaperone_recording::{End, Gate, Intended, Record};
use chaperone_wire::{Analyst, Conversation, Ending, Event, ExitBy, Part, Reply, Request};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use crate::boundary::{Boundary, Told};
use crate::bounds::Bounds;
use crate::close::{Stop, finish};
use crate::ends::{Asked, Ends, Out};

/// Result bytes after which a running operation's progress is recorded, so that they can leave.
const PROGRESS_BYTES: u64 = 1024 * 1024;
/// How long the first bytes of a result wait for its end before progress is recorded for them.
const LINGER: Duration = Duration::from_millis(2);
/// The longest such wait, reached by doubling while an operation trickles.
const LINGER_MAX: Duration = Duration::from_millis(256);

/// What decisions are made with.
#[derive(Clone, Copy)]
pub(crate) struct Room<'a> {
    pub(crate) boundary: &'a Boundary,
    pub(crate) admission: &'a Admission,
    pub(crate) analyst: &'a dyn Analyst,
}

/// What woke the loop.
enum Woken<C: Conversation> {
    Event(Event<C>),
    /// The words that something waits for are there, or cannot be made now.
    Written(Asked<C>, Result<(), Refusal>),
    Durable,
    Linger,
}

/// Carry operations until one side ends it.
pub(crate) async fn operate<C: Conversation>(
    conversation: C,
    room: Room<'_>,
    record: &mut Record,
    mut bounds: Bounds<'_>,
    mut stop: watch::Receiver<Option<Told>>,
) -> End {
    let (out, back) = (Gate::new(), Gate::new());
    let mut ends = Ends { conversation, asked: None, out, back, cover_at: Instant::now() };
    let stopped = {
        let mut told = pin!(async move {
            match stop.wait_for(Option::is_some).await {
                Ok(told) => told.clone(),
                Err(_) => None,
            }
        });
        let mut linger = pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            let outside = |cx: &mut std::task::Context<'_>| -> Poll<Stop> {
                told.as_mut().poll(cx).map(|told| {
                    let refusal = Refusal::new(RefusalCode::ShuttingDown, "the gateway is stopping");
                    Stop::Told(told.unwrap_or(Told { refusal, learnt: std::time::Instant::now() }))
                })
            };
            let step = turn(&mut ends, room, record, &mut bounds, outside, linger.as_mut()).await;
            if let Err(stop) = step {
                break stop;
            }
        }
    };
    finish(ends, record, &bounds, stopped).await
}

/// One turn: release what is durable, then wait for the next thing to happen and do it.
async fn turn<C: Conversation>(
    ends: &mut Ends<C>,
    room: Room<'_>,
    record: &mut Record,
    bounds: &mut Bounds<'_>,
    mut outside: impl FnMut(&mut std::task::Context<'_>) -> Poll<Stop>,
    mut linger: Pin<&mut Sleep>,
) -> Result<(), Stop> {
    // One watermark for both: what is held back because of an entry is woken by that entry.
    let durable = record.watermark();
    ends.settle(durable);
    let earliest = ends.earliest(durable);
    let (mut others, mut turned) = (pin!(tokio::task::yield_now()), record.is_alone());
    let woken = poll_fn(|cx| {
        if let Poll::Ready(stop) = outside(cx) {
            return Poll::Ready(Err(stop));
        }
        let busy = ends.is_busy(record);
        if let Poll::Ready(over) = bounds.poll_over(cx, record, busy) {
            return Poll::Ready(Err(Stop::Over(over)));
        }
        if let Some(asked) = &mut ends.asked
            && let Poll::Ready(written) = asked.written.as_mut().poll(cx)
            && let Some(asked) = ends.asked.take()
        {
            return Poll::Ready(Ok(Woken::Written(asked, written)));
        }
        let interest = ends.interest();
        if let Poll::Ready(event) = ends.conversation.poll_next(cx, interest) {
            return Poll::Ready(event.map(Woken::Event).map_err(Stop::Fault));
        }
        if let Some(earliest) = earliest {
            // Whoever waits may write for everybody: others that have something under way get their turn first, so that
            // their entries travel in the same batch.
            turned = turned || others.as_mut().poll(cx).is_ready();
            if turned && let Poll::Ready(durable) = record.poll_durable(earliest, cx) {
                return Poll::Ready(durable.map(|()| Woken::Durable).map_err(Stop::Unrecorded));
            }
        }
        if record.uncovered_bytes() > 0 {
            // Set only here: most results come with their end, and a timer costs a wake-up.
            if linger.deadline() != ends.cover_at {
                linger.as_mut().reset(ends.cover_at);
            }
            if linger.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(Woken::Linger));
            }
        }
        Poll::Pending
    })
    .await?;
    match woken {
        Woken::Durable => Ok(()),
        Woken::Linger => cover(ends, record),
        Woken::Event(Event::Reply(reply)) => answer(ends, room.admission, record, bounds, reply),
        Woken::Event(event) => match unwritten(room, &event) {
            Some(job) => {
                ends.asked = Some(Asked { event, written: room.analyst.on_a_deep_stack(job) });
                Ok(())
            }
            None => ask(ends, room, record, bounds, event),
        },
        Woken::Written(asked, Ok(())) => ask(ends, room, record, bounds, asked.event),
        Woken::Written(asked, Err(busy)) => match asked.event {
            Event::Prepare(request) | Event::Run(request) | Event::Continue(request) => {
                refuse(ends, record, request, &Denied::by_protocol(busy))
            }
            // Nothing else waits for words.
            Event::Step(_) | Event::Refused(..) | Event::Reply(_) | Event::Left => Ok(()),
        },
    }
}

/// What has to be written out on another thread before a request can be decided here: a long text, or one whose views may
/// be deep, which is new to callers who see as much. The worker is every session's, and does not wait for it.
fn unwritten<C: Conversation>(room: Room<'_>, event: &Event<C>) -> Option<Box<dyn FnOnce() + Send>> {
    let (Event::Prepare(request) | Event::Run(request) | Event::Continue(request)) = event else {
        return None;
    };
    let Room { boundary, admission, .. } = room;
    let earlier = request.earlier().iter().filter_map(|earlier| match earlier {
        Earlier::Prepared { analysis, .. } | Earlier::Filled { analysis, .. } => Some(analysis),
        Earlier::Unseen => None,
    });
    let unwritten: Vec<Unwritten> = std::iter::once(request.analysis())
        .chain(earlier)
        .filter_map(|analysis| boundary.policies.unwritten(admission, analysis, boundary.recorder.now()))
        .collect();
    if unwritten.is_empty() {
        return None;
    }
    Some(Box::new(move || unwritten.into_iter().for_each(Unwritten::write)))
}

/// Something the client said: decide, record, and queue it for the target.
fn ask<C: Conversation>(
    ends: &mut Ends<C>,
    room: Room<'_>,
    record: &mut Record,
    bounds: &mut Bounds<'_>,
    event: Event<C>,
) -> Result<(), Stop> {
    let Room { boundary, admission, .. } = room;
    bounds.active();
    match event {
        // It has begun at the target, which waits for the rest: nothing else can be said in its place.
        Event::Step(step) if C::is_data(&step) && !record.goes_on() => {
            return Err(Stop::Halfway(elsewhere()));
        }
        Event::Step(step) => {
            let size = C::step_size(&step);
            ends.out.pass(Out::Step(step), size);
        }
        Event::Prepare(request) => pass_on(ends, room, record, request, None)?,
        // It stands behind its intent already, in the call that this names.
        Event::Continue(request) => {
            let elsewhere = (!record.goes_on()).then(elsewhere);
            pass_on(ends, room, record, request, elsewhere)?;
        }
        Event::Run(request) => {
            let under = bounds.versions();
            match boundary.policies.decide(admission, request.analysis(), boundary.recorder.now()) {
                Decision::Allow(permit) => {
                    if !still(room, &request, &permit) {
                        return refuse(ends, record, request, &permit.outdated());
                    }
                    if let Err((refusal, hit)) = bounds.run(request.analysis().members.len()) {
                        record.limit_hit(&hit, false)?;
                        return refuse(ends, record, request, &permit.limited(refusal));
                    }
                    let size = request.size();
                    match record.intend(permit, request.parameters(), under)? {
                        Intended::Written(receipt, words) => {
                            let outgoing = ends.conversation.permitted(request, words);
                            ends.out.after_receipt(receipt, Out::Request(outgoing), size);
                        }
                        Intended::Outside(permit) => {
                            refuse(ends, record, request, &permit.limited(outside()))?;
                        }
                    }
                }
                Decision::Hold(question) => refuse(ends, record, request, &question.denied())?,
                Decision::Refuse(denied) => refuse(ends, record, request, &denied)?,
            }
        }
        Event::Refused(request, refusal) => {
            refuse(ends, record, request, &Denied::by_protocol(refusal))?;
        }
        Event::Left => return Err(Stop::Left),
        // Replies are `answer`'s.
        Event::Reply(_) => {}
    }
    Ok(())
}

/// Something permitted that is no operation of its own; `limit` is what keeps it back all the same.
fn pass_on<C: Conversation>(
    ends: &mut Ends<C>,
    room: Room<'_>,
    record: &mut Record,
    request: C::Request,
    limit: Option<Refusal>,
) -> Result<(), Stop> {
    let Room { boundary, admission, .. } = room;
    match boundary.policies.decide(admission, request.analysis(), boundary.recorder.now()) {
        Decision::Allow(permit) => {
            if !still(room, &request, &permit) {
                return refuse(ends, record, request, &permit.outdated());
            }
            if let Some(limit) = limit {
                return refuse(ends, record, request, &permit.limited(limit));
            }
            let size = request.size();
            let outgoing = ends.conversation.permitted(request, permit.prepare());
            ends.out.pass(Out::Request(outgoing), size);
            Ok(())
        }
        Decision::Hold(question) => refuse(ends, record, request, &question.denied()),
        Decision::Refuse(denied) => refuse(ends, record, request, &denied),
    }
}

/// The refusal of what goes on in a call with an operation that is another's, or nobody's.
fn elsewhere() -> Refusal {
    Refusal::new(
        RefusalCode::NotPermitted,
        "what it goes on with was not begun in the tool call that is under way",
    )
    .hint("begin and end it within one call")
}

/// The refusal of what a hosted server asks of its own accord.
fn outside() -> Refusal {
    Refusal::new(
        RefusalCode::NotPermitted,
        "no tool call is under way: only the database's catalog can be read",
    )
    .hint("read data while a call is being carried out")
}

/// Whether everything that a request goes on with would be sent the same way now: what a cursor or portal was filled with
/// under another scope is not shown under this one, and what was understood under another classification only where it shows
/// no less.
fn still<R: Request>(room: Room<'_>, request: &R, permit: &Permit) -> bool {
    let Room { boundary, admission, .. } = room;
    follows(room, request.analysis(), permit.scope())
        && request.earlier().iter().all(|earlier| {
            let (analysis, words, filled) = match earlier {
                Earlier::Prepared { analysis, words } => (analysis, words, false),
                Earlier::Filled { analysis, words } => (analysis, words, true),
                Earlier::Unseen => return permit.scope().is_none(),
            };
            let same = |now: &Permit| now.says(words) && (!filled || now.sees(words));
            if Arc::ptr_eq(analysis, request.analysis()) {
                return same(permit) && follows(room, analysis, words.scope.as_ref());
            }
            match boundary.policies.decide(admission, analysis, boundary.recorder.now()) {
                Decision::Allow(now) => same(&now) && follows(room, analysis, words.scope.as_ref()),
                Decision::Hold(_) | Decision::Refuse(_) => false,
            }
        })
}

/// Whether what was understood before, and shows `seen`, may be shown under the classification in force.
fn follows(room: Room<'_>, analysis: &Arc<Analysis>, seen: Option<&Arc<Scope>>) -> bool {
    let since = room.analyst.since(analysis);
    let Room { boundary, admission, .. } = room;
    Arc::ptr_eq(&since.then, &since.now)
        || boundary.policies.still_permits(admission, &since, seen, boundary.recorder.now()).is_ok()
}

/// Record a refusal, and let the target fail in the request's place.
fn refuse<C: Conversation>(
    ends: &mut Ends<C>,
    record: &mut Record,
    request: C::Request,
    denied: &Denied,
) -> Result<(), Stop> {
    let recorded = record.refused(request.analysis(), request.parameters(), denied)?;
    if request.is_begun() {
        // The target has a part of it: there is no place in which another one could fail.
        return Err(Stop::Halfway(denied.refusal.clone()));
    }
    let step = ends.conversation.refused(request, &denied.refusal);
    // The client hears of a refusal that is on record, as of everything else.
    ends.out.after(Some(recorded), Out::Step(step), 0);
    Ok(())
}

/// Something the target said: it leaves when what it tells is on durable record.
fn answer<C: Conversation>(
    ends: &mut Ends<C>,
    admission: &Admission,
    record: &mut Record,
    bounds: &mut Bounds<'_>,
    reply: C::Reply,
) -> Result<(), Stop> {
    let part = reply.part().clone();
    let size = reply.size();
    match part {
        Part::Aside | Part::Head => {
            let intended = record.head_intent();
            ends.back.after(intended, admission.mask(reply), size);
        }
        Part::Told { code } => beside(ends, admission, record, bounds, reply, code)?,
        Part::Body { rows, bytes } => {
            bounds.follow(record);
            if !bounds.pass(record, rows, bytes)? {
                return Ok(());
            }
            linger(ends, record);
            record.body(rows, size as u64);
            record.look(&reply);
            ends.back.uncovered(admission.mask(reply), size);
            if record.uncovered_bytes() >= PROGRESS_BYTES {
                cover(ends, record)?;
            }
        }
        Part::End(ending) => {
            let stands = stands(record, &ending);
            let passes = match ending {
                Ending::Failed { .. } => bounds.fails(record, size as u64)?,
                Ending::Done { .. }
                | Ending::Suspended
                | Ending::Planned
                | Ending::NotRun
                | Ending::Exited(_) => true,
            };
            let recorded = record.outcome(&ending, if passes { size as u64 } else { 0 })?;
            ends.back.cover(recorded);
            let reply = match bounds.end() {
                None => reply,
                Some(cut) if stands => return Err(Stop::Told(cut.carried_out())),
                Some(cut) => match ends.conversation.failed_as(reply, &cut.refusal) {
                    Some(reply) => reply,
                    None => return Err(Stop::Told(cut)),
                },
            };
            ends.back.after(Some(recorded), admission.mask(reply), size);
        }
        Part::Undone { code } => {
            record.undone(code)?;
            beside(ends, admission, record, bounds, reply, Some(code))?;
        }
    }
    Ok(())
}

/// Words of the target's that belong to no operation. An error gets its entry at once; of notices one speaks for as many
/// as come together.
fn beside<C: Conversation>(
    ends: &mut Ends<C>,
    admission: &Admission,
    record: &mut Record,
    bounds: &mut Bounds<'_>,
    reply: C::Reply,
    code: Option<[u8; 5]>,
) -> Result<(), Stop> {
    let size = reply.size();
    let about = reply.about().cloned();
    let (reply, told) = match bounds.told(record, size as u64)? {
        None => (reply, size as u64),
        Some(_) if code.is_none() => return Ok(()),
        Some(too_far) => match ends.conversation.failed_as(reply, &too_far) {
            Some(reply) => (reply, 0),
            None => return Err(Stop::Told(Told { refusal: too_far, learnt: std::time::Instant::now() })),
        },
    };
    linger(ends, record);
    record.told(told);
    ends.back.uncovered(admission.mask(reply), size);
    if let Some(code) = code {
        record.session_told(code, about.as_ref())?;
        cover(ends, record)?;
    } else if record.uncovered_bytes() >= PROGRESS_BYTES {
        cover(ends, record)?;
    }
    Ok(())
}

/// How long what no entry speaks of yet waits for one that would be written anyhow.
fn linger<C: Conversation>(ends: &mut Ends<C>, record: &Record) {
    if record.uncovered_bytes() == 0 {
        let wait = LINGER.saturating_mul(1 << record.trickle().min(7)).min(LINGER_MAX);
        ends.cover_at = Instant::now() + wait;
    }
}

/// Whether an end may not be told as a failure: the target has carried out what cannot be taken back, and a client that
/// hears of a failure would do it again.
fn stands(record: &Record, ending: &Ending) -> bool {
    match ending {
        Ending::Done { .. } | Ending::Suspended => record.may_have_written(),
        // What it had done when it was ended nobody knows: that is no success.
        Ending::Exited(exit) => exit.by != ExitBy::Cancelled && record.may_have_written(),
        Ending::Failed { .. } | Ending::Planned | Ending::NotRun => false,
    }
}

/// Put the rows that wait on record, so that they can leave.
fn cover<C: Conversation>(ends: &mut Ends<C>, record: &mut Record) -> Result<(), Stop> {
    let recorded = record.progress()?;
    ends.back.cover(recorded);
    Ok(())
}
