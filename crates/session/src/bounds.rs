//! How far a session may go: policy's limits, the times after which it ends, and what became of the permission of what
//! runs. The data path asks before each request, before each piece of a result, at each end, and while it waits;
//! everything that counts is here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use chaperone_access::{Refusal, RefusalCode};
use chaperone_policy::{Admission, Limits};
use chaperone_recording::{Hit, Record, Unrecorded};
use chaperone_tunnel::StreamHandle;
use chaperone_wire::Analyst;
use tokio::time::Sleep;

use crate::boundary::{Boundary, Told};
use crate::operate::Room;
use crate::usage::{Place, Usage};

/// How late a change of the limits may reach a session that does nothing, and one of permissions what runs and says nothing.
const LOOK: Duration = Duration::from_secs(2);
/// How long the target may take to stop an operation that has gone too far, before the session ends for it.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// The same for one that is permitted no more: with [`LOOK`] before it, it has ended within the 5 s that are promised.
const WITHDRAWN_PATIENCE: Duration = Duration::from_secs(2);
/// How long the end of a session waits for its agent to ask the target to stop what runs.
const STOP_ASKED: Duration = Duration::from_millis(500);

/// An operation that has gone too far, or is permitted no more: nothing more of it passes.
struct Cut {
    refusal: Refusal,
    since: Instant,
    /// How long the target may take to stop it.
    patience: Duration,
}

impl Cut {
    fn too_far(hit: &Hit, since: Instant) -> Self {
        Self { refusal: words(hit), since, patience: STOP_PATIENCE }
    }

    fn withdrawn(refusal: Refusal) -> Self {
        let message = format!("stopped while it ran: {}", refusal.message);
        let refusal = Refusal { message, ..refusal };
        Self { refusal, since: Instant::now(), patience: WITHDRAWN_PATIENCE }
    }
}

/// A session's limits, and how much of them it has used.
pub(crate) struct Bounds<'a> {
    boundary: &'a Boundary,
    admission: &'a Admission,
    analyst: &'a dyn Analyst,
    handle: StreamHandle,
    place: Place,
    /// As of the last statement or the last look, so that a row costs no question.
    limits: Limits,
    opened: Instant,
    /// When the client last asked or was answered.
    active: Instant,
    /// When its credential expires; `None` is later than any clock goes.
    expires: Option<Instant>,
    cut: Option<Cut>,
    /// Words that belong to no operation have reached a limit, and nothing has passed since: that is on record once,
    /// however much more the target says.
    silenced: bool,
    look: Pin<Box<Sleep>>,
}

impl Told {
    /// The same where the target was not stopped before it had done what it was asked for.
    pub(crate) fn carried_out(self) -> Self {
        let refusal = self.refusal.hint("the statement was carried out; only what it returned was held back");
        Self { refusal, ..self }
    }
}

/// The end of a session by its bounds.
pub(crate) struct Over {
    pub(crate) told: Told,
    pub(crate) hit: Option<Hit>,
}

impl<'a> Bounds<'a> {
    pub(crate) fn new(
        Room { boundary, admission, analyst }: Room<'a>,
        handle: StreamHandle,
        place: Place,
    ) -> Self {
        let now = Instant::now();
        Self {
            boundary,
            admission,
            analyst,
            handle,
            place,
            limits: boundary.policies.limits(admission, boundary.recorder.now()),
            opened: now,
            active: now,
            expires: now.checked_add(admission.remaining(boundary.recorder.now())),
            cut: None,
            silenced: false,
            look: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    /// The limits under the policies in force now.
    fn renew(&mut self) -> Limits {
        self.limits = self.boundary.policies.limits(self.admission, self.boundary.recorder.now());
        self.limits
    }

    fn usage(&self) -> &Arc<Usage> {
        self.place.usage()
    }

    /// The client asked or was answered.
    pub(crate) fn active(&mut self) {
        self.active = Instant::now();
    }

    /// Versions of everything that decisions depend on but the time. To be read before a decision.
    pub(crate) fn versions(&self) -> (u64, u64) {
        (self.boundary.policies.version(), self.admission.facts().standing().version())
    }

    /// Ask again about what runs where what its permission depended on has changed.
    pub(crate) fn follow(&mut self, record: &mut Record) {
        if record.permitted().is_some_and(|permitted| permitted.under != self.versions()) {
            self.judge(record);
        }
    }

    /// Ask again about what runs: what is permitted no more, or would show less now, is stopped at the target, and nothing
    /// more of it passes.
    fn judge(&mut self, record: &mut Record) {
        let Some(permitted) = record.permitted().filter(|_| self.cut.is_none()) else { return };
        let (policies, under) = (&self.boundary.policies, self.versions());
        let (since, seen) = (self.analyst.since(&permitted.analysis), permitted.seen.as_ref());
        match policies.still_permits(self.admission, &since, seen, self.boundary.recorder.now()) {
            Ok(()) => record.confirm(under),
            Err(denied) => {
                record.withdraw(&denied);
                self.cut = Some(Cut::withdrawn(denied.refusal));
                self.stop_operation();
            }
        }
    }

    /// Before permitted statements run: whether there may be so many more of them.
    pub(crate) fn run(&mut self, count: usize) -> Result<(), (Refusal, Hit)> {
        let (limits, now) = (self.renew(), Instant::now());
        let usage = self.usage();
        let over = |limit, maximum: Option<u64>, value: u64| {
            let maximum = maximum.filter(|maximum| value > *maximum)?;
            Some(Hit { limit, maximum, value })
        };
        let asked = limits.statements_per_minute.map_or(0, |_| usage.statements(now) + count as u64);
        let rows = limits.rows_per_hour.map_or(0, |_| usage.rows(now) + 1);
        let bytes = limits.bytes_per_hour.map_or(0, |_| usage.bytes(now) + 1);
        let hit = over("statements_per_minute", limits.statements_per_minute, asked)
            .or_else(|| over("rows_per_hour", limits.rows_per_hour, rows))
            .or_else(|| over("bytes_per_hour", limits.bytes_per_hour, bytes));
        match hit {
            Some(hit) => Err((words(&hit), hit)),
            None => {
                usage.count_statements(now, count as u64);
                Ok(())
            }
        }
    }

    /// Before a piece of a result is put on record: whether it may pass. The first that may not stops the operation at
    /// the target, and none passes after it.
    pub(crate) fn pass(&mut self, record: &mut Record, rows: u64, bytes: u64) -> Result<bool, Unrecorded> {
        if self.cut.is_some() {
            return Ok(false);
        }
        let now = Instant::now();
        if let Some(hit) = self.too_far(record.so_far(), now, rows, bytes) {
            record.limit_hit(&hit, true)?;
            self.cut = Some(Cut::too_far(&hit, now));
            self.stop_operation();
            return Ok(false);
        }
        self.silenced = false;
        self.usage().count_data(now, rows, bytes);
        Ok(true)
    }

    /// Before the words with which an operation failed are put on record: whether they may pass. There is nothing to stop
    /// any more; where they may not, [`Bounds::end`] says what is told in their place.
    pub(crate) fn fails(&mut self, record: &mut Record, bytes: u64) -> Result<bool, Unrecorded> {
        if self.cut.is_some() {
            return Ok(false);
        }
        let now = Instant::now();
        if let Some(hit) = self.too_far(record.so_far(), now, 0, bytes) {
            record.limit_hit(&hit, true)?;
            self.cut = Some(Cut::too_far(&hit, now));
            return Ok(false);
        }
        self.usage().count_data(now, 0, bytes);
        Ok(true)
    }

    /// Before words of the target's that belong to no operation are put on record: what is told in their place, where
    /// they may not pass.
    pub(crate) fn told(&mut self, record: &mut Record, bytes: u64) -> Result<Option<Refusal>, Unrecorded> {
        let now = Instant::now();
        if let Some(hit) = self.too_far((0, 0), now, 0, bytes) {
            if !self.silenced {
                record.limit_hit(&hit, false)?;
                self.silenced = true;
            }
            return Ok(Some(words(&hit)));
        }
        self.silenced = false;
        self.usage().count_data(now, 0, bytes);
        Ok(None)
    }

    /// Whether a piece would go beyond a limit, after so many rows and bytes of the same operation.
    fn too_far(&self, before: (u64, u64), now: Instant, rows: u64, bytes: u64) -> Option<Hit> {
        // A further piece of what was let begin.
        if rows == 0 && bytes == 0 {
            return None;
        }
        let (limits, usage, (rows_before, bytes_before)) = (&self.limits, self.usage(), before);
        let over = |limit, maximum: Option<u64>, before: &dyn Fn() -> u64, more: u64| {
            let maximum = maximum?;
            let value = before().saturating_add(more);
            (value > maximum).then_some(Hit { limit, maximum, value })
        };
        over("rows_per_statement", limits.rows_per_statement, &|| rows_before, rows)
            .or_else(|| over("bytes_per_statement", limits.bytes_per_statement, &|| bytes_before, bytes))
            .or_else(|| over("rows_per_hour", limits.rows_per_hour, &|| usage.rows(now), rows))
            .or_else(|| over("bytes_per_hour", limits.bytes_per_hour, &|| usage.bytes(now), bytes))
    }

    /// Ask the target to stop what runs, and wait for its agent to have asked, within [`STOP_ASKED`].
    pub(crate) async fn stop_running(&self) {
        let asked = tokio::time::timeout(STOP_ASKED, self.boundary.dialer.cancel(&self.handle)).await;
        match asked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(session = %self.handle.session, %error, "what ran was not stopped")
            }
            Err(_elapsed) => {
                tracing::warn!(session = %self.handle.session, "what ran was not stopped in time")
            }
        }
    }

    /// Ask the target to stop what runs. Nobody waits for it here: an operation that goes on gets no further than this.
    fn stop_operation(&self) {
        let (dialer, handle) = (self.boundary.dialer.clone(), self.handle.clone());
        tokio::spawn(async move {
            if let Err(error) = dialer.cancel(&handle).await {
                tracing::warn!(session = %handle.session, %error, "an operation was not stopped");
            }
        });
    }

    /// An operation has ended. If it was stopped, why and since when.
    pub(crate) fn end(&mut self) -> Option<Told> {
        self.active();
        self.cut.take().map(|Cut { refusal, since, .. }| Told { refusal, learnt: since })
    }

    /// Ready when the session has to end.
    pub(crate) fn poll_over(
        &mut self,
        cx: &mut Context<'_>,
        record: &mut Record,
        running: bool,
    ) -> Poll<Over> {
        loop {
            ready!(self.look.as_mut().poll(cx));
            // Also where nothing has changed: what is permitted may depend on the time.
            self.judge(record);
            let now = Instant::now();
            let limits = self.renew();
            if let Some(over) = self.over(&limits, now, running) {
                return Poll::Ready(over);
            }
            let next = self.next(&limits, running).map_or(now + LOOK, |next| next.min(now + LOOK));
            self.look.as_mut().reset(next.max(now + Duration::from_millis(1)).into());
        }
    }

    /// What the clock says.
    fn over(&self, limits: &Limits, now: Instant, running: bool) -> Option<Over> {
        let told = |refusal| Told { refusal, learnt: now };
        if self.expires.is_some_and(|expires| now >= expires) {
            let refusal = Refusal::new(RefusalCode::AuthenticationFailed, "the credential has expired")
                .hint("ask for a new one and reconnect");
            return Some(Over { told: told(refusal), hit: None });
        }
        if let Some(cut) = self.cut.as_ref().filter(|cut| now >= cut.since + cut.patience) {
            return Some(Over { told: told(cut.refusal.clone()), hit: None });
        }
        let idle = if running { Duration::ZERO } else { now.duration_since(self.active) };
        let open = now.duration_since(self.opened);
        let hit = [("session_s", limits.session_s, open), ("idle_s", limits.idle_s, idle)]
            .into_iter()
            .find_map(|(limit, maximum, value)| {
                let maximum = maximum.filter(|maximum| value >= Duration::from_secs(*maximum))?;
                Some(Hit { limit, maximum, value: value.as_secs() })
            })?;
        Some(Over { told: told(words(&hit)), hit: Some(hit) })
    }

    /// When the clock has something to say next.
    fn next(&self, limits: &Limits, running: bool) -> Option<Instant> {
        let after = |since: Instant, limit_s: Option<u64>| since.checked_add(Duration::from_secs(limit_s?));
        let idle = after(self.active, limits.idle_s.filter(|_| !running));
        let open = after(self.opened, limits.session_s);
        let cut = self.cut.as_ref().map(|cut| cut.since + cut.patience);
        [self.expires, idle, open, cut].into_iter().flatten().min()
    }
}

/// What the client is told of a limit.
pub(crate) fn words(hit: &Hit) -> Refusal {
    let Hit { limit, maximum, value } = hit;
    let (code, message, hint) = match *limit {
        "sessions" => (
            RefusalCode::TooManySessions,
            format!("you have as many sessions as you may: {maximum}"),
            "close one that you do not need",
        ),
        "statements_per_minute" => (
            RefusalCode::TooOften,
            format!("{value} statements in a minute, the limit is {maximum}"),
            "wait a moment",
        ),
        "rows_per_hour" => (
            RefusalCode::TooOften,
            format!("more rows within an hour than the limit of {maximum}"),
            "wait, or ask for fewer rows",
        ),
        "bytes_per_hour" => (
            RefusalCode::TooOften,
            format!("more bytes within an hour than the limit of {maximum}"),
            "wait, or ask for less",
        ),
        "rows_per_statement" => (
            RefusalCode::TooMuch,
            format!("the result has more rows than the limit of {maximum} for one statement"),
            "narrow the statement, or fetch less with LIMIT",
        ),
        "bytes_per_statement" => (
            RefusalCode::TooMuch,
            format!("the result has more bytes than the limit of {maximum} for one statement"),
            "narrow the statement, or select fewer columns",
        ),
        "session_s" => (
            RefusalCode::OpenTooLong,
            format!("the session was open for {value} s, the limit is {maximum} s"),
            "connect again",
        ),
        _ => (
            RefusalCode::Idle,
            format!("the session was idle for {value} s, the limit is {maximum} s"),
            "connect again",
        ),
    };
    Refusal::new(code, message).hint(hint)
}
