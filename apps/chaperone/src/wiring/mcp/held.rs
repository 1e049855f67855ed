//! Results that somebody may go on with: a session each, whose statement has stopped at the limit of its answer. Few, for a
//! short time, and each for the one who began it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_access::{Subject, TargetName};
use chaperone_postgres::guest::Row;

use super::idle::Open;
use super::seen::Columns;
use crate::wiring::installation::random;

/// How long a result waits to be gone on with.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// Results that wait, of everybody.
const HELD_MAX: usize = 128;
/// Of one subject; for one more its oldest is given up.
const HELD_OF_ONE_MAX: usize = 4;

/// Whose result it is: nobody else goes on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) subject: Subject,
    pub(super) client: Option<String>,
    pub(super) target: TargetName,
}

/// A result that waits.
pub(super) struct Waiting {
    pub(super) open: Open,
    /// Whether nothing is left behind in the session when the statement has ended.
    pub(super) clean: bool,
    pub(super) columns: Columns,
    /// Rows that came and found no room in the answer.
    pub(super) rows: VecDeque<Row>,
    /// Whether the statement has more.
    pub(super) suspended: bool,
    pub(super) purpose: Option<String>,
}

struct Kept {
    owner: Owner,
    since: Instant,
    waiting: Waiting,
}

/// All of them by their tokens. Owner of each field: this type.
#[derive(Default)]
pub(super) struct Held {
    table: Mutex<HashMap<String, Kept>>,
}

impl Held {
    fn table(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Let a result wait; the token to go on with, or `None` where too many wait.
    pub(super) fn put(self: &Arc<Self>, owner: Owner, waiting: Waiting) -> Option<String> {
        let token = URL_SAFE_NO_PAD.encode(random::<24>());
        let mut given_up = Vec::new();
        {
            let mut table = self.table();
            let mut own: Vec<(Instant, String)> = table
                .iter()
                .filter(|(_, kept)| kept.owner.subject == owner.subject)
                .map(|(token, kept)| (kept.since, token.clone()))
                .collect();
            own.sort();
            let many = (own.len() + 1).saturating_sub(HELD_OF_ONE_MAX);
            for (_, oldest) in own.into_iter().take(many) {
                given_up.extend(table.remove(&oldest));
            }
            if table.len() >= HELD_MAX {
                return None;
            }
            table.insert(token.clone(), Kept { owner, since: Instant::now(), waiting });
        }
        // Their sessions end when they are dropped, and not under the lock.
        drop(given_up);
        let (this, expiring) = (self.clone(), token.clone());
        tokio::spawn(async move {
            tokio::time::sleep(IDLE).await;
            let expired = this.table().remove(&expiring);
            drop(expired);
        });
        Some(token)
    }

    /// Take the result of a token: once, and only whoever it is of. A stranger's attempt leaves it where it is.
    pub(super) fn take(&self, token: &str, owner: &Owner) -> Option<Waiting> {
        let mut table = self.table();
        if table.get(token).is_none_or(|kept| kept.owner != *owner) {
            return None;
        }
        table.remove(token).map(|kept| kept.waiting)
    }

    /// Give all of them up: the gateway stops.
    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.table());
        drop(all);
    }
}
