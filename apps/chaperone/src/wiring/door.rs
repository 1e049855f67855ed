//! The sessions that are open now: for lists, for cancel requests and for the gateway's stop.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chaperone_access::{AgentName, Delegation, Refusal, RefusalCode, SessionId, Subject, TargetName};
use chaperone_api::LiveSession;
use chaperone_identity::CredentialId;
use chaperone_policy::AdmissionFacts;
use chaperone_recording::Recorder;
use chaperone_session::{Counts, Door, Notify, Opened, Told};
use chaperone_trail::{Body, SessionKilled};
use chaperone_tunnel::{As, Dialer, StreamHandle};
use chaperone_wire::futures::BoxFuture;
use chaperone_wire::{Analyst, CancelKey};
use tokio::sync::watch;

use crate::wiring::analyst::Analysts;
use crate::wiring::installation::{now_us, random};
use crate::wiring::logins::DatabaseLogins;
use crate::wiring::sweep::Held;

struct Live {
    view: LiveSession,
    open: Arc<Open>,
    handle: StreamHandle,
    cancel: CancelKey,
    stop: watch::Sender<Option<Told>>,
    counts: Counts,
}

/// What an open session rests on, for whoever judges whether it may stay open.
pub(crate) struct Open {
    pub(crate) session: SessionId,
    pub(crate) facts: AdmissionFacts,
    /// Through which agent.
    pub(crate) agent: AgentName,
    /// As whom it is at its target.
    pub(crate) login: As,
    /// Whether its target was told what is said of its subject.
    pub(crate) told: bool,
    /// When policy was last asked about it: versions of policy and standing, and the time in microseconds.
    asked: Mutex<((u64, u64), u64)>,
    /// What it was last held to on record.
    pub(crate) held: Held,
}

impl Open {
    /// Whether policy is to be asked again; it counts as asked from here on.
    pub(crate) fn is_due(&self, version: (u64, u64), reads_time: bool, now: u64, believed_us: u64) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = asked.0 != version || (reads_time && now.abs_diff(asked.1) >= believed_us);
        if due {
            *asked = (version, now);
        }
        due
    }
}

/// A credential that open sessions use.
pub(crate) struct InUse {
    pub(crate) subject: Subject,
    pub(crate) target: TargetName,
    /// Void from, in seconds since the Unix epoch.
    pub(crate) not_after: u64,
    pub(crate) sessions: u64,
}

/// The registry. Owner of each field: this type; sessions only put themselves in and take themselves out.
pub(crate) struct Sessions {
    live: Mutex<HashMap<SessionId, Live>>,
    by_cancel_id: Mutex<HashMap<u32, SessionId>>,
    /// Bytes from and to targets of the sessions that have ended.
    ended: Mutex<(u64, u64)>,
    analysts: Arc<Analysts>,
    dialer: Arc<dyn Dialer>,
    logins: DatabaseLogins,
    speaks: BTreeMap<TargetName, &'static str>,
    max: usize,
}

impl Sessions {
    pub(crate) fn new(
        analysts: Arc<Analysts>,
        dialer: Arc<dyn Dialer>,
        logins: DatabaseLogins,
        speaks: BTreeMap<TargetName, &'static str>,
        max: usize,
    ) -> Self {
        Self {
            live: Mutex::default(),
            by_cancel_id: Mutex::default(),
            ended: Mutex::default(),
            analysts,
            dialer,
            logins,
            speaks,
            max,
        }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<SessionId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ids(&self) -> MutexGuard<'_, HashMap<u32, SessionId>> {
        self.by_cancel_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sessions that may be open at a time.
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// What is open, oldest first.
    pub(crate) fn list(&self) -> Vec<LiveSession> {
        let mut views: Vec<LiveSession> = self.live().values().map(|live| live.view.clone()).collect();
        views.sort_by_key(|view| view.session);
        views
    }

    /// Bytes from and to targets since the start, open sessions included.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        let live = self.live();
        let ended = *self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        live.values().fold(ended, |(down, up), live| {
            let traffic = live.counts.traffic();
            (down + traffic.from_target, up + traffic.to_target)
        })
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.live().len()
    }

    /// The credentials that open sessions use: whose, for which target, void from when, and for how many sessions.
    pub(crate) fn credentials(&self) -> BTreeMap<CredentialId, InUse> {
        let mut used: BTreeMap<CredentialId, InUse> = BTreeMap::new();
        for live in self.live().values() {
            let credential = live.open.facts.credential();
            let entry = used.entry(credential.id).or_insert_with(|| InUse {
                subject: live.open.facts.delegation().subject.clone(),
                target: credential.target.clone(),
                not_after: credential.not_after,
                sessions: 0,
            });
            entry.sessions += 1;
            // Whoever narrowed it may have shortened it: the longest is told.
            entry.not_after = entry.not_after.max(credential.not_after);
        }
        used
    }

    /// End every session, with words for its client.
    pub(crate) fn stop_all(&self) {
        let refusal =
            Refusal::new(RefusalCode::ShuttingDown, "the gateway is stopping").hint("connect again later");
        let learnt = Instant::now();
        self.end_where(|_| Some(Told { refusal: refusal.clone(), learnt }));
    }

    /// What is open, as it is judged.
    pub(crate) fn open(&self) -> Vec<Arc<Open>> {
        self.live().values().map(|live| live.open.clone()).collect()
    }

    /// End the sessions for which there is a reason; how many there were. The judge is not hurried: sessions open and
    /// close meanwhile. One that has to end already keeps its first reason.
    pub(crate) fn end_where(&self, judge: impl Fn(&Open) -> Option<Told>) -> usize {
        self.open().iter().filter(|open| judge(open).is_some_and(|told| self.end(open.session, told))).count()
    }

    fn end(&self, session: SessionId, told: Told) -> bool {
        self.live().get(&session).is_some_and(|live| {
            live.stop.send_if_modified(|reason| {
                let first = reason.is_none();
                if first {
                    *reason = Some(told);
                }
                first
            })
        })
    }

    /// End one session at an administrator's word, which is on record before; `false` where it is not open.
    ///
    /// # Errors
    /// The record refuses.
    pub(crate) async fn kill(
        &self,
        recorder: &Recorder,
        session: SessionId,
        reason: &str,
        by: &str,
    ) -> Result<bool, Refusal> {
        if !self.live().contains_key(&session) {
            return Ok(false);
        }
        let learnt = Instant::now();
        let body =
            SessionKilled { by: by.to_owned(), reason: reason.to_owned(), session: session.to_string() };
        recorder.note(Body::SessionKilled(body)).await?;
        let refusal = Refusal::new(RefusalCode::Ended, "an administrator ended the session")
            .hint("ask an administrator before you connect again");
        self.end(session, Told { refusal, learnt });
        Ok(true)
    }

    /// As whom somebody's sessions are at a target.
    pub(crate) fn login_of(
        &self,
        subject: &Subject,
        groups: &BTreeSet<String>,
        target: &TargetName,
    ) -> Result<As, Refusal> {
        self.logins.of(subject, groups, target)
    }

    /// Carry out a cancel request: whoever shows the session's secret may. Says nothing to anybody, as PostgreSQL does.
    pub(crate) async fn cancel(&self, id: u32, secret: &[u8]) {
        let handle = {
            let Some(session) = self.ids().get(&id).copied() else { return };
            let live = self.live();
            let Some(live) = live.get(&session) else { return };
            let length_is_ours = secret.len() == 4 || secret.len() == live.cancel.secret.len();
            let ours = live.cancel.secret.get(..secret.len()).unwrap_or_default();
            let same = aws_lc_rs::constant_time::verify_slices_are_equal(ours, secret).is_ok();
            if !length_is_ours || !same {
                return;
            }
            live.handle.clone()
        };
        if let Err(error) = self.dialer.cancel(&handle).await {
            tracing::warn!(session = %handle.session, %error, "cancel request not carried out");
        }
    }
}

impl Door for Sessions {
    fn analyst(&self, target: &TargetName) -> BoxFuture<Result<Arc<dyn Analyst>, Refusal>> {
        let (analysts, target) = (self.analysts.clone(), target.clone());
        Box::pin(async move { analysts.of(&target).await })
    }

    fn serves(&self, target: &TargetName) -> bool {
        self.analysts.serves(target)
    }

    fn speaks(&self, target: &TargetName) -> &'static str {
        self.speaks.get(target).copied().unwrap_or_default()
    }

    fn login(&self, delegation: &Delegation, target: &TargetName) -> Result<As, Refusal> {
        self.login_of(&delegation.subject, &delegation.groups, target)
    }

    fn opened(&self, opened: Opened) -> Notify {
        let secret: [u8; 32] = random();
        let (stop, told) = watch::channel(None);
        let mut ids = self.ids();
        let mut id = u32::from_be_bytes(random()) & 0x7fff_ffff;
        while ids.contains_key(&id) {
            id = u32::from_be_bytes(random()) & 0x7fff_ffff;
        }
        ids.insert(id, opened.session);
        let cancel = CancelKey { id, secret };
        let view = LiveSession {
            session: opened.session,
            opened_at: opened.at,
            target: opened.facts.target().clone(),
            source: opened.source.to_string(),
            subject: LiveSession::subject_of(opened.facts.delegation()),
        };
        let held = Held::new(opened.loads, opened.facts.version());
        let open = Arc::new(Open {
            session: opened.session,
            facts: opened.facts,
            agent: opened.handle.agent.clone(),
            login: opened.login,
            told: opened.told,
            // Never: what changed while it was being opened is seen by the first sweep.
            asked: Mutex::new(((0, 0), 0)),
            held,
        });
        self.live().insert(
            opened.session,
            Live { view, open, handle: opened.handle, cancel, stop, counts: opened.counts },
        );
        Notify { cancel, stop: told }
    }

    fn closed(&self, session: SessionId) {
        let gone = {
            let mut table = self.live();
            let gone = table.remove(&session);
            if let Some(live) = &gone {
                // Under the table's lock: nobody counts it twice, or not at all.
                let traffic = live.counts.traffic();
                let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
                *ended = (ended.0 + traffic.from_target, ended.1 + traffic.to_target);
            }
            gone
        };
        // Not under it: whoever opens a session takes these two locks in the other order.
        if let Some(live) = gone {
            self.ids().remove(&live.cancel.id);
        }
    }

    fn begin(&self) -> (SessionId, u64) {
        let now = now_us();
        (SessionId::from_parts(now / 1000, random()), now)
    }
}
