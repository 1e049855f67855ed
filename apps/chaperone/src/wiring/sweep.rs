//! Ends open sessions whose ground is gone: a login that ended or was not checked again, a lock, a `connect` that policy
//! no longer permits, another login or other rows at the database. Every second, and at once when somebody says that
//! something has changed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chaperone_access::{Refusal, RefusalCode};
use chaperone_identity::Lapse;
use chaperone_policy::Policies;
use chaperone_session::Told;
use tokio::sync::{Notify, watch};

use crate::wiring::door::{Open, Sessions};
use crate::wiring::installation::now_us;

/// The longest time between two sweeps.
const EVERY: Duration = Duration::from_secs(1);
/// How long an answer to `connect` that depends on the time is believed, in microseconds.
const BELIEVED_US: u64 = 2_000_000;

/// Says that something has changed, so that the next sweep is now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kick(Arc<Kicked>);

#[derive(Debug, Default)]
struct Kicked {
    notify: Notify,
    /// When the first of those that no sweep has served yet was learnt.
    since: Mutex<Option<Instant>>,
}

impl Kick {
    /// Something was learnt at this time: sweep now.
    pub(crate) fn now(&self, learnt: Instant) {
        self.0.since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(learnt);
        self.0.notify.notify_one();
    }

    fn take(&self) -> Option<Instant> {
        self.0.since.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Sweep until told to stop.
pub(crate) async fn run(
    sessions: Arc<Sessions>,
    policies: Arc<Policies>,
    kick: Kick,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = kick.0.notify.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let learnt = kick.take().unwrap_or_else(Instant::now);
        let (sessions, policies) = (sessions.clone(), policies.clone());
        // Asking policy about thousands of sessions takes a while, and others use this thread.
        let swept = tokio::task::spawn_blocking(move || sweep(&sessions, &policies, learnt)).await;
        if let Err(error) = swept {
            tracing::error!(%error, "open sessions were not looked at");
        }
    }
}

/// One sweep: what is cheap first, for every session, so that a lock does not wait for policy.
fn sweep(sessions: &Sessions, policies: &Policies, learnt: Instant) {
    let now = now_us();
    let mut ended = sessions.end_where(|open| at_once(open, sessions, policies, now, learnt));
    ended += sessions.end_where(|open| no_longer(open, policies, now, learnt));
    if ended > 0 {
        tracing::info!(sessions = ended, "open sessions were ended");
    }
}

fn at_once(open: &Open, sessions: &Sessions, policies: &Policies, now: u64, learnt: Instant) -> Option<Told> {
    let (standing, target) = (open.facts.standing(), open.facts.target());
    let lapse = standing.check(now / 1_000_000).err();
    if lapse.is_some() || policies.lock_against(open.facts.delegation(), target).is_some() {
        let refusal = policies.still_admits(&open.facts, now).err()?;
        return Some(Told {
            refusal,
            learnt: lapse.and_then(|lapse| learnt_of(&lapse, now)).unwrap_or(learnt),
        });
    }
    let facts = standing.facts();
    let what = if sessions.login_of(&facts.subject, &facts.groups, target).as_ref() != Ok(&open.login) {
        "your login at the target is another one now"
    } else if open.told && facts.attributes != open.facts.delegation().attributes {
        // The target shows him the rows of what it was told.
        "what your issuer says of you has changed"
    } else {
        return None;
    };
    let refusal = Refusal::new(RefusalCode::NotPermitted, what).hint("connect again");
    Some(Told { refusal, learnt })
}

/// When the gateway learnt of a login's end, if that was written down with it.
fn learnt_of(lapse: &Lapse, now: u64) -> Option<Instant> {
    match lapse {
        Lapse::Ended(ending) => {
            Instant::now().checked_sub(Duration::from_micros(now.saturating_sub(ending.learned_at_us)))
        }
        Lapse::Expired | Lapse::Overdue | Lapse::Disabled => None,
    }
}

/// Policy is asked again only where something that it depends on has changed.
fn no_longer(open: &Open, policies: &Policies, now: u64, learnt: Instant) -> Option<Told> {
    let version = (policies.version(), open.facts.standing().version());
    let reads_time = policies.now().connect_reads_time();
    if !open.is_due(version, reads_time, now, BELIEVED_US) {
        return None;
    }
    let refusal = policies.still_admits(&open.facts, now).err()?;
    Some(Told { refusal, learnt })
}
