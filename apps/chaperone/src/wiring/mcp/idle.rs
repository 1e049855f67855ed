//! Sessions that wait for the next call of the caller for whom they were opened: to open one costs more than most statements
//! do. Few, for a short time, each carrying one call at a time, and none that a statement may have left something behind in.
//!
//! A session that waits is open like any other: it is listed, and whatever ends a session ends it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use chaperone_access::{Delegation, Source, TargetName};
use chaperone_identity::Who;
use chaperone_policy::{Limits, Policies};
use chaperone_postgres::guest::Guest;
use chaperone_recording::Lease;

use super::held;
use super::query::CALL;
use crate::wiring::installation::now_us;

/// How long a session waits for another call.
const IDLE: Duration = Duration::from_secs(30);
/// Sessions that wait, of everybody; for one more the one that has waited longest ends.
const IDLE_MAX: usize = 64;
/// Of one subject, likewise.
const IDLE_OF_ONE_MAX: usize = 4;
/// How often those that have waited too long are looked for.
const LOOK: Duration = Duration::from_secs(5);
/// How long the end of what a session did last may be waited for, before another one is opened in its place.
const END: Duration = Duration::from_secs(1);
/// What a session's credential has left at least, in seconds: time for a call, and for its result to wait.
const LEFT_S: u64 = CALL.as_secs() + held::IDLE.as_secs() + 5;

/// Whose a session is, and all that it was opened with: it carries no call of which any of this would be otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whose {
    pub(super) who: Who,
    pub(super) delegation: Delegation,
    pub(super) target: TargetName,
    pub(super) application: String,
    pub(super) source: Source,
    /// When what the caller showed ends, in seconds since the Unix epoch: no call outlives its own token.
    pub(super) not_after: u64,
}

/// A session of the gateway's own making.
pub(super) struct Open {
    pub(super) guest: Guest,
    /// The call that it carries.
    pub(super) lease: Lease,
    pub(super) whose: Whose,
    /// When its credential ends, in seconds since the Unix epoch.
    pub(super) expires_s: u64,
}

impl Open {
    /// Whether it can carry one more call, where a new one would end at `fresh_s`.
    async fn is_good(&mut self, fresh_s: u64) -> bool {
        let now_s = now_us() / 1_000_000;
        let leaves_time =
            now_s + LEFT_S <= self.expires_s || (now_s + 1 < self.expires_s && fresh_s <= self.expires_s);
        leaves_time && matches!(tokio::time::timeout(END, self.guest.is_free()).await, Ok(Ok(true)))
    }

    /// End it; nobody waits for that.
    fn leave(self) {
        tokio::spawn(self.guest.leave());
    }
}

/// Whether a session may wait under a caller's limits: one that waits is one of his sessions, and keeps no other one out, nor
/// does it reach a limit by waiting.
fn may_wait(limits: &Limits) -> bool {
    limits.sessions.is_none()
        && limits.session_s.is_none()
        && limits.idle_s.is_none_or(|idle_s| idle_s > IDLE.as_secs() + LOOK.as_secs())
}

/// All of them, the one that has waited longest first. Owner of the table: this type.
pub(super) struct Idle {
    policies: Arc<Policies>,
    table: Mutex<Vec<(Instant, Open)>>,
}

impl Idle {
    /// In a runtime: those that have waited too long are looked for.
    pub(super) fn new(policies: Arc<Policies>) -> Arc<Self> {
        let this = Arc::new(Self { policies, table: Mutex::default() });
        tokio::spawn(look(Arc::downgrade(&this)));
        this
    }

    fn table(&self) -> MutexGuard<'_, Vec<(Instant, Open)>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_wait(&self, whose: &Whose) -> bool {
        may_wait(&self.policies.now().limits(&whose.delegation, &whose.target))
    }

    /// Let a session wait whose last call is over, where it may.
    pub(super) fn put(&self, open: Open) {
        if !self.may_wait(&open.whose) {
            return open.leave();
        }
        let mut ended = None;
        {
            let mut table = self.table();
            let subject = &open.whose.delegation.subject;
            let own = |(_, other): &(Instant, Open)| other.whose.delegation.subject == *subject;
            let oldest = if table.iter().filter(|other| own(other)).count() >= IDLE_OF_ONE_MAX {
                table.iter().position(own)
            } else {
                (table.len() >= IDLE_MAX).then_some(0)
            };
            if let Some(oldest) = oldest {
                ended = Some(table.remove(oldest).1);
            }
            table.push((Instant::now(), open));
        }
        ended.into_iter().for_each(Open::leave);
    }

    /// A session that waits for a call of that caller, where a new one would end at `fresh_s`. It carries no other one meanwhile.
    pub(super) async fn take(&self, whose: &Whose, fresh_s: u64) -> Option<Open> {
        loop {
            let mut open = {
                let mut table = self.table();
                let place = table.iter().rposition(|(_, open)| open.whose == *whose)?;
                table.remove(place).1
            };
            if open.is_good(fresh_s).await {
                return Some(open);
            }
            open.leave();
        }
    }

    /// End those that have waited too long, or may not any more.
    fn sweep(&self) {
        let ended: Vec<(Instant, Open)> = {
            let mut table = self.table();
            let waits =
                |(since, open): &(Instant, Open)| since.elapsed() < IDLE && self.may_wait(&open.whose);
            let (kept, ended) = std::mem::take(&mut *table).into_iter().partition(waits);
            *table = kept;
            ended
        };
        ended.into_iter().for_each(|(_, open)| open.leave());
    }

    /// End all of them: the gateway stops.
    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.table());
        all.into_iter().for_each(|(_, open)| open.leave());
    }
}

async fn look(idle: Weak<Idle>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(idle) = idle.upgrade() else { return };
        idle.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_session_waits_where_it_would_count_against_its_caller() {
        let none = Limits::NONE;
        assert!(may_wait(&none));
        assert!(may_wait(&Limits { statements_per_minute: Some(1), idle_s: Some(600), ..none }));
        for limits in [
            Limits { sessions: Some(9), ..none },
            Limits { session_s: Some(600), ..none },
            Limits { idle_s: Some(IDLE.as_secs()), ..none },
        ] {
            assert!(!may_wait(&limits), "{limits:?}");
        }
    }
}
