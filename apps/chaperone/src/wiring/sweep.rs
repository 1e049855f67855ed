//! Ends open sessions whose ground is gone: a login that ended or was not checked again, a lock, a `connect` that policy
//! no longer permits, a credential that was taken back, a client that is registered otherwise, another login or other rows
//! at the database. Every second, and at once when somebody says that something has changed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chaperone_access::{Refusal, RefusalCode};
use chaperone_identity::{Identity, Lapse, Revoked};
use chaperone_policy::Policies;
use chaperone_recording::Recorder;
use chaperone_session::Told;
use chaperone_trail::{Body, Digest, SessionFollowed};
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

/// What a sweep looks at, and where it puts what it did on record.
pub(crate) struct Sweeper {
    sessions: Arc<Sessions>,
    identity: Arc<Identity>,
    policies: Arc<Policies>,
    revoked: Arc<Revoked>,
    recorder: Arc<Recorder>,
}

/// Sweep until told to stop.
pub(crate) async fn run(sweeper: Sweeper, kick: Kick, mut stop: watch::Receiver<bool>) {
    let sweeper = Arc::new(sweeper);
    loop {
        tokio::select! {
            () = kick.0.notify.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let learnt = kick.take().unwrap_or_else(Instant::now);
        let sweeping = sweeper.clone();
        // Asking policy about thousands of sessions takes a while, and others use this thread.
        match tokio::task::spawn_blocking(move || sweeping.sweep(learnt)).await {
            Ok(following) => sweeper.record(&following).await,
            Err(error) => tracing::error!(%error, "open sessions were not looked at"),
        }
    }
}

impl Sweeper {
    pub(crate) fn new(
        sessions: &Arc<Sessions>,
        identity: &Arc<Identity>,
        policies: Arc<Policies>,
        revoked: Arc<Revoked>,
        recorder: &Arc<Recorder>,
    ) -> Self {
        let (sessions, identity, recorder) = (sessions.clone(), identity.clone(), recorder.clone());
        Self { sessions, identity, policies, revoked, recorder }
    }

    /// One sweep: what is cheap first, for every session, so that a lock does not wait for policy. The entries of those that
    /// stay open and follow what has changed.
    fn sweep(&self, learnt: Instant) -> Vec<Following> {
        let now = now_us();
        let mut ended = self.sessions.end_where(|open| self.at_once(open, now, learnt));
        ended += self.sessions.end_where(|open| no_longer(open, &self.policies, now, learnt));
        if ended > 0 {
            tracing::info!(sessions = ended, "open sessions were ended");
        }
        let (loads, set) = (self.policies.loads(), self.policies.now());
        let follows = |open: Arc<Open>| {
            let changed = open.held.changed(loads, open.facts.standing().version(), learnt)?;
            // Whoever was put out has its end on record.
            self.policies.still_admits(&open.facts, now).ok()?;
            Some(Following { open, changed, policy: set.digest() })
        };
        self.sessions.open().into_iter().filter_map(follows).collect()
    }

    /// Put what sessions follow on record. What cannot be is put there by a later sweep: until then it counts as changed.
    async fn record(&self, following: &[Following]) {
        let bodies: Vec<Body> = following.iter().flat_map(Following::bodies).collect();
        match self.recorder.note_all(&bodies).await {
            Ok(()) => following.iter().for_each(|one| one.open.held.hold(&one.changed)),
            Err(refusal) => {
                tracing::error!(%refusal, "what open sessions follow could not be recorded, and waits for the next sweep");
            }
        }
    }

    fn at_once(&self, open: &Open, now: u64, learnt: Instant) -> Option<Told> {
        let (sessions, policies) = (&self.sessions, &self.policies);
        if let Some(revocation) = self.revoked.of(open.facts.credential().id) {
            let refusal = Refusal::new(RefusalCode::CredentialRevoked, "your credential was revoked")
                .hint("ask for another one, or ask an administrator why");
            return Some(Told { refusal, learnt: when(revocation.at, now).unwrap_or(learnt) });
        }
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
        let what = if self.identity.binds_otherwise(open.facts.principal()) {
            "what acts for you is registered otherwise now"
        } else if sessions.login_of(&facts.subject, &facts.groups, target).as_ref() != Ok(&open.login) {
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
}

/// What a session is held to, as far as it is on record.
pub(crate) struct Held(Mutex<Holding>);

struct Holding {
    /// How many sets of policies had come into force.
    loads: u64,
    /// The version of its subject's standing.
    standing: u64,
    /// When the first change was learnt that is not on record.
    learnt: Option<Instant>,
}

/// What has changed for a session since.
struct Changed {
    loads: u64,
    standing: u64,
    /// The words of the record.
    causes: Vec<&'static str>,
    learnt: Instant,
}

impl Held {
    pub(crate) fn new(loads: u64, standing: u64) -> Self {
        Self(Mutex::new(Holding { loads, standing, learnt: None }))
    }

    /// What has changed, learnt at this time at the latest: told again until it is held to.
    fn changed(&self, loads: u64, standing: u64, learnt: Instant) -> Option<Changed> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let causes = [("policy", held.loads != loads), ("identity", held.standing != standing)];
        let causes: Vec<_> = causes.into_iter().filter_map(|(cause, is)| is.then_some(cause)).collect();
        if causes.is_empty() {
            return None;
        }
        let learnt = *held.learnt.get_or_insert(learnt);
        Some(Changed { loads, standing, causes, learnt })
    }

    /// It is on record.
    fn hold(&self, changed: &Changed) {
        let Changed { loads, standing, .. } = *changed;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Holding { loads, standing, learnt: None };
    }
}

/// An open session that follows what has changed, under this set of policies.
struct Following {
    open: Arc<Open>,
    changed: Changed,
    policy: [u8; 32],
}

impl Following {
    /// An entry for each cause.
    fn bodies(&self) -> impl Iterator<Item = Body> {
        let Changed { causes, learnt, .. } = &self.changed;
        causes.iter().map(|cause| {
            Body::SessionFollowed(SessionFollowed {
                after_us: u64::try_from(learnt.elapsed().as_micros()).unwrap_or(u64::MAX),
                changed: (*cause).to_owned(),
                policy: Digest(self.policy),
                session: self.open.session.to_string(),
            })
        })
    }
}

/// A time of the wall clock, as an instant.
fn when(at_us: u64, now_us: u64) -> Option<Instant> {
    Instant::now().checked_sub(Duration::from_micros(now_us.saturating_sub(at_us)))
}

/// When the gateway learnt of a login's end, if that was written down with it.
fn learnt_of(lapse: &Lapse, now: u64) -> Option<Instant> {
    match lapse {
        Lapse::Ended(ending) => when(ending.learned_at_us, now),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_until_it_is_on_record_and_every_cause_of_it() {
        let (held, learnt) = (Held::new(1, 0), Instant::now());
        assert!(held.changed(1, 0, learnt).is_none());
        let later = learnt + EVERY;
        for asked in [learnt, later] {
            let changed = held.changed(2, 3, asked).unwrap();
            assert_eq!((changed.causes, changed.learnt), (vec!["policy", "identity"], learnt));
        }
        held.hold(&held.changed(2, 3, later).unwrap());
        assert!(held.changed(2, 3, later).is_none());
        let changed = held.changed(2, 4, later).unwrap();
        assert_eq!((changed.causes, changed.learnt), (vec!["identity"], later));
    }
}
