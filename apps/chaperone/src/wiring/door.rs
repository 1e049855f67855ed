//! The sessions that are open now: for lists, for cancel requests and for the gateway's stop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chaperone_access::{Refusal, RefusalCode, SessionId, TargetName};
use chaperone_api::LiveSession;
use chaperone_session::{Counts, Door, Notify, Opened};
use chaperone_tunnel::{Dialer, StreamHandle};
use chaperone_wire::futures::BoxFuture;
use chaperone_wire::{Analyst, CancelKey};
use tokio::sync::watch;

use crate::wiring::analyst::Analysts;
use crate::wiring::installation::{now_us, random};

struct Live {
    view: LiveSession,
    handle: StreamHandle,
    cancel: CancelKey,
    stop: watch::Sender<Option<Refusal>>,
    counts: Counts,
}

/// The registry. Owner of each field: this type; sessions only put themselves in and take themselves out.
pub(crate) struct Sessions {
    live: Mutex<HashMap<SessionId, Live>>,
    by_cancel_id: Mutex<HashMap<u32, SessionId>>,
    /// Bytes from and to targets of the sessions that have ended.
    ended: Mutex<(u64, u64)>,
    analysts: Arc<Analysts>,
    dialer: Arc<dyn Dialer>,
    max: usize,
}

impl Sessions {
    pub(crate) fn new(analysts: Arc<Analysts>, dialer: Arc<dyn Dialer>, max: usize) -> Self {
        Self {
            live: Mutex::default(),
            by_cancel_id: Mutex::default(),
            ended: Mutex::default(),
            analysts,
            dialer,
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

    /// End every session, with words for its client.
    pub(crate) fn stop_all(&self) {
        let refusal =
            Refusal::new(RefusalCode::ShuttingDown, "the gateway is stopping").hint("connect again later");
        for live in self.live().values() {
            live.stop.send_replace(Some(refusal.clone()));
        }
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
            target: opened.target,
            source: opened.source.to_string(),
            subject: LiveSession::subject_of(&opened.delegation),
        };
        self.live().insert(
            opened.session,
            Live { view, handle: opened.handle, cancel, stop, counts: opened.counts },
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
