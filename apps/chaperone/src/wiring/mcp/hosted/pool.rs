//! The runs that there are: each of one holder, client, purpose and server, and with one call under way at most.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chaperone_access::{Recipient, Refusal, RefusalCode, TargetName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Known;
use super::begin::Manner;
use super::process::Process;

/// Runs of one holder, client and server at a time: so many of its calls are carried at once.
const RUNS_OF_ONE_MAX: usize = 4;
/// How often idle runs are looked for.
const LOOK: Duration = Duration::from_secs(5);

/// Whose a run is. No call of anybody else's is ever carried by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) holder: String,
    pub(super) client: Option<String>,
    pub(super) purpose: Option<String>,
    pub(super) server: TargetName,
    /// Who sees what it reads: a run is no other recipient's than was recorded when it began.
    pub(super) recipient: Option<Recipient>,
    pub(super) manner: Manner,
}

/// The runs of one key.
struct Kin {
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<(Instant, Process)>>,
}

impl Kin {
    fn idle(&self) -> MutexGuard<'_, Vec<(Instant, Process)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All runs. Owner of each field: this type.
pub(super) struct Pool {
    kins: Mutex<HashMap<Key, Arc<Kin>>>,
}

/// A run that carries one call. Where it is not given back, it ends.
pub(super) struct Taken {
    pub(super) process: Process,
    kin: Arc<Kin>,
    _turn: OwnedSemaphorePermit,
}

impl Taken {
    /// It can carry another.
    pub(super) fn give_back(self) {
        self.kin.idle().push((Instant::now(), self.process));
    }
}

/// A turn among those of one key, and a run where one is idle.
pub(super) struct Turn {
    kin: Arc<Kin>,
    turn: OwnedSemaphorePermit,
    pub(super) idle: Option<Process>,
}

impl Turn {
    pub(super) fn with(self, process: Process) -> Taken {
        Taken { process, kin: self.kin, _turn: self.turn }
    }

    /// Another idle run, where the first was no good.
    pub(super) fn another(&mut self) -> Option<Process> {
        self.kin.idle().pop().map(|(_, process)| process)
    }
}

impl Pool {
    pub(super) fn new(servers: &Arc<BTreeMap<TargetName, Arc<Known>>>) -> Arc<Self> {
        let this = Arc::new(Self { kins: Mutex::default() });
        let (weak, servers) = (Arc::downgrade(&this), servers.clone());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let Some(pool) = weak.upgrade() else { return };
                pool.sweep(&servers);
            }
        });
        this
    }

    fn kins(&self) -> MutexGuard<'_, HashMap<Key, Arc<Kin>>> {
        self.kins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wait for a turn among the calls of the same key, and no longer than `patience`.
    pub(super) async fn turn(&self, key: &Key, patience: Duration) -> Result<Turn, Refusal> {
        let kin = {
            let fresh =
                || Arc::new(Kin { turns: Arc::new(Semaphore::new(RUNS_OF_ONE_MAX)), idle: Mutex::default() });
            self.kins().entry(key.clone()).or_insert_with(fresh).clone()
        };
        let gone = |_| Refusal::new(RefusalCode::ShuttingDown, "the gateway is stopping");
        let busy = |_elapsed| {
            let what =
                format!("server `{}` carries other calls of yours for longer than {patience:?}", key.server);
            Refusal::new(RefusalCode::Busy, what).hint("call again once one of them has its answer")
        };
        let waiting = tokio::time::timeout(patience, kin.turns.clone().acquire_owned());
        let turn = waiting.await.map_err(busy)?.map_err(gone)?;
        let idle = kin.idle().pop().map(|(_, process)| process);
        Ok(Turn { kin, turn, idle })
    }

    /// A place for one more run of a server; where there is none, that of the run of it that has been idle longest.
    pub(super) fn place(&self, server: &Known) -> Result<OwnedSemaphorePermit, Refusal> {
        for _ in 0..2 {
            if let Ok(place) = server.places.clone().try_acquire_owned() {
                return Ok(place);
            }
            if !self.give_up_one(&server.name) {
                break;
            }
        }
        Err(Refusal::new(RefusalCode::Busy, format!("server `{}` runs as often as it may", server.name))
            .hint("call again in a moment"))
    }

    fn give_up_one(&self, server: &TargetName) -> bool {
        let kins: Vec<Arc<Kin>> =
            self.kins().iter().filter(|(key, _)| key.server == *server).map(|(_, kin)| kin.clone()).collect();
        let oldest = kins
            .iter()
            .filter_map(|kin| Some((kin.idle().iter().map(|(since, _)| *since).min()?, kin)))
            .min_by_key(|(since, _)| *since);
        let Some((since, kin)) = oldest else { return false };
        let mut idle = kin.idle();
        let Some(place) = idle.iter().position(|(known, _)| *known == since) else { return false };
        let (_, mut process) = idle.remove(place);
        drop(idle);
        process.over("idle");
        true
    }

    /// End what was idle for too long, and forget whoever has nothing.
    fn sweep(&self, servers: &BTreeMap<TargetName, Arc<Known>>) {
        let all: Vec<(Key, Arc<Kin>)> =
            self.kins().iter().map(|(key, kin)| (key.clone(), kin.clone())).collect();
        for (key, kin) in all {
            let patience = servers.get(&key.server).map_or(Duration::ZERO, |server| server.idle);
            let ended: Vec<(Instant, Process)> = {
                let mut idle = kin.idle();
                let stays =
                    |(since, run): &(Instant, Process)| since.elapsed() < patience && !run.has_expired();
                let (kept, ended) = std::mem::take(&mut *idle).into_iter().partition(stays);
                *idle = kept;
                ended
            };
            for (_, mut process) in ended {
                process.over("idle");
            }
        }
        // Nobody but the table holds it, and under the table's lock nobody can take it.
        self.kins().retain(|_, kin| Arc::strong_count(kin) > 1 || !kin.idle().is_empty());
    }

    /// End all that is idle: the gateway stops.
    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.kins());
        for kin in all.into_values() {
            kin.turns.close();
            for (_, mut process) in std::mem::take(&mut *kin.idle()) {
                process.over("stopped");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_a_turn_without_end() {
        let pool = Pool::new(&Arc::default());
        let key = |holder: &str| Key {
            holder: holder.to_owned(),
            client: None,
            purpose: None,
            server: "tools".parse().unwrap(),
            recipient: None,
            manner: Manner::default(),
        };
        let patience = Duration::from_millis(50);
        let mut turns = Vec::new();
        for _ in 0..RUNS_OF_ONE_MAX {
            turns.push(pool.turn(&key("ana"), patience).await.ok().unwrap());
        }
        let refusal = pool.turn(&key("ana"), patience).await.err().unwrap();
        assert_eq!(refusal.code, RefusalCode::Busy);
        assert!(refusal.message.contains("`tools` carries other calls of yours"), "{refusal}");
        // Another's turn is another's.
        assert!(pool.turn(&key("ben"), patience).await.is_ok());
        turns.pop();
        assert!(pool.turn(&key("ana"), patience).await.is_ok());
    }
}
