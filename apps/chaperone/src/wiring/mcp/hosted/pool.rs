//! The runs that there are: each of one holder, client, purpose and server, and with one call under way at most.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chaperone_access::{Recipient, Refusal, RefusalCode, Subject, TargetName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Known;
use super::begin::Manner;
use super::process::Process;

/// Runs of one holder, client and server at a time: so many of its calls are carried at once.
const RUNS_OF_ONE_MAX: usize = 4;
/// Runs of one server for one subject at a time, over all logins, clients and purposes: nobody takes everybody's places.
const RUNS_OF_SUBJECT_MAX: usize = 8;
/// How often idle runs are looked for.
const LOOK: Duration = Duration::from_secs(5);

/// Whose a run is. No call of anybody else's is ever carried by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) subject: Subject,
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
    of_subjects: Mutex<HashMap<(Subject, TargetName), Arc<Semaphore>>>,
}

/// The place of a run among its server's, and among its subject's there: given back when it is dropped.
pub(super) struct Place {
    _of_server: OwnedSemaphorePermit,
    _of_subject: OwnedSemaphorePermit,
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
        let this = Arc::new(Self { kins: Mutex::default(), of_subjects: Mutex::default() });
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

    fn of_subjects(&self) -> MutexGuard<'_, HashMap<(Subject, TargetName), Arc<Semaphore>>> {
        self.of_subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more run of a server for a subject. Where there is none, that of the run that has been idle longest, of
    /// his own where he has as many as he may.
    pub(super) fn place(&self, server: &Known, subject: &Subject) -> Result<Place, Refusal> {
        let busy = |what: String| Refusal::new(RefusalCode::Busy, what).hint("call again in a moment");
        let own = {
            let fresh = || Arc::new(Semaphore::new(RUNS_OF_SUBJECT_MAX));
            let (subject, server) = (subject.clone(), server.name.clone());
            self.of_subjects().entry((subject, server)).or_insert_with(fresh).clone()
        };
        let is_his = |key: &Key| key.server == server.name && key.subject == *subject;
        let _of_subject = self.permit(&own, is_his).ok_or_else(|| {
            busy(format!("server `{}` runs as often for you as it may for one", server.name))
        })?;
        let is_its = |key: &Key| key.server == server.name;
        let _of_server = self
            .permit(&server.places, is_its)
            .ok_or_else(|| busy(format!("server `{}` runs as often as it may", server.name)))?;
        Ok(Place { _of_server, _of_subject })
    }

    /// One of these places, which are of the runs of such keys.
    fn permit(&self, places: &Arc<Semaphore>, is: impl Fn(&Key) -> bool) -> Option<OwnedSemaphorePermit> {
        for _ in 0..2 {
            if let Ok(place) = places.clone().try_acquire_owned() {
                return Some(place);
            }
            if !self.give_up_one(&is) {
                break;
            }
        }
        None
    }

    fn give_up_one(&self, is: impl Fn(&Key) -> bool) -> bool {
        let kins: Vec<Arc<Kin>> =
            self.kins().iter().filter(|(key, _)| is(key)).map(|(_, kin)| kin.clone()).collect();
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
        // Likewise: a place that is taken holds it too.
        self.of_subjects().retain(|_, places| Arc::strong_count(places) > 1);
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
    use chaperone_access::SubjectKind;

    use super::super::begin::Eras;
    use super::*;

    fn subject(sub: &str) -> Subject {
        Subject { issuer: "org".to_owned(), kind: SubjectKind::Person, sub: sub.to_owned() }
    }

    #[tokio::test]
    async fn nobody_takes_everybodys_places() {
        let pool = Pool::new(&Arc::default());
        let server = Known {
            name: "tools".parse().unwrap(),
            target: None,
            refuses_findings: false,
            idle: Duration::from_secs(1),
            places: Arc::new(Semaphore::new(RUNS_OF_SUBJECT_MAX + 1)),
            detectors: Arc::default(),
            eras: Eras::default(),
        };
        let mut places = Vec::new();
        for _ in 0..RUNS_OF_SUBJECT_MAX {
            places.push(pool.place(&server, &subject("ana")).ok().unwrap());
        }
        let told = |sub: &str| pool.place(&server, &subject(sub)).err().unwrap();
        assert_eq!(told("ana").code, RefusalCode::Busy);
        assert!(told("ana").message.contains("as often for you as it may for one"));
        let bens = pool.place(&server, &subject("ben")).ok().unwrap();
        // What she may still have is of no use where the server has none.
        places.pop();
        places.push(pool.place(&server, &subject("ana")).ok().unwrap());
        places.pop();
        let carl = pool.place(&server, &subject("carl")).ok().unwrap();
        assert!(told("ana").message.ends_with("runs as often as it may"));
        drop((places, bens, carl));
        pool.sweep(&BTreeMap::new());
        assert!(pool.of_subjects().is_empty());
    }

    #[tokio::test]
    async fn nobody_waits_for_a_turn_without_end() {
        let pool = Pool::new(&Arc::default());
        let key = |holder: &str| Key {
            subject: subject(holder),
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
