//! Locks: placed and lifted on record, kept over restarts, in force at once for new sessions, decisions and open
//! sessions.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use chaperone_access::Refusal;
use chaperone_policy::{LOCKS_MAX, Lock, LockError, LockOn, Policies};
use chaperone_recording::Recorder;
use chaperone_store::LockFiles;
use chaperone_trail::{Body, LockLifted, LockPlaced};
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::verbs::Failure;
use crate::wiring::installation::random;
use crate::wiring::sweep::Kick;

/// Longest reason and name, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Why a lock was not placed or lifted.
#[derive(Debug, Error)]
pub(crate) enum LockFailure {
    /// What is asked for cannot be.
    #[error("{0}")]
    Unusable(String),
    /// There are too many.
    #[error(transparent)]
    Full(#[from] LockError),
    /// It cannot be recorded, so it was not done.
    #[error(transparent)]
    Unrecorded(#[from] Refusal),
    /// It is in force and on record, and the disk refuses to keep it.
    #[error("the change is in force but cannot be kept over a restart: {0}")]
    Unkept(String),
}

/// A reason that an administrator gives: what the record can hold in one line.
pub(crate) fn check_reason(reason: &str) -> Result<(), LockFailure> {
    text("a reason", reason)
}

fn text(what: &str, text: &str) -> Result<(), LockFailure> {
    if !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let rule = format!("{what} has 1 to {TEXT_BYTES_MAX} bytes without control characters");
    Err(LockFailure::Unusable(rule))
}

/// Places and lifts. What is in force is [`Policies`]'; what outlives a restart is the files'.
pub(crate) struct LockKeeper {
    files: Arc<LockFiles>,
    policies: Arc<Policies>,
    recorder: Arc<Recorder>,
    kick: Kick,
    /// One change at a time, so that record, force and file tell one story.
    changing: Mutex<()>,
}

impl LockKeeper {
    /// Put every kept lock in force. To be done before anything is served.
    pub(crate) fn open(
        files: LockFiles,
        policies: Arc<Policies>,
        recorder: Arc<Recorder>,
        kick: Kick,
    ) -> Result<Self, Failure> {
        let kept =
            files.all().map_err(Failure::io("cannot read the locks, so nobody knows what is locked"))?;
        for lock in kept {
            policies.place_lock(lock).map_err(Failure::failed)?;
        }
        let files = Arc::new(files);
        Ok(Self { files, policies, recorder, kick, changing: Mutex::new(()) })
    }

    /// Place a lock: on record, then in force, then kept. A lock that cannot be kept is in force all the same, until
    /// the gateway stops.
    ///
    /// # Errors
    /// Texts that are not, too many locks, a record or a disk that refuses.
    pub(crate) async fn place(&self, on: LockOn, reason: &str, by: &str) -> Result<Lock, LockFailure> {
        text("a reason", reason)?;
        text("a name", on.name())?;
        if matches!(&on, LockOn::Subject(name) if !name.contains('/')) {
            let hint = "(hint: a subject is written `issuer/name`, as in policies)";
            return Err(LockFailure::Unusable(format!("`{}` is no subject {hint}", on.name())));
        }
        let _turn = self.changing.lock().await;
        let id = hex::encode(random::<8>());
        let lock = Lock { at: self.recorder.now(), by: by.to_owned(), id, on, reason: reason.to_owned() };
        if self.policies.locks().len() >= LOCKS_MAX {
            return Err(LockError::Full.into());
        }
        self.recorder
            .note(Body::LockPlaced(LockPlaced {
                by: lock.by.clone(),
                lock: lock.id.clone(),
                name: lock.on.name().to_owned(),
                on: lock.on.kind().to_owned(),
                reason: lock.reason.clone(),
            }))
            .await?;
        self.policies.place_lock(lock.clone())?;
        self.kick.now(Instant::now());
        let (files, placed) = (self.files.clone(), lock.clone());
        kept(tokio::task::spawn_blocking(move || files.put(&placed))).await?;
        Ok(lock)
    }

    /// Lift a lock: on record, then no longer kept, then no longer in force. `None` where there is none of that id.
    ///
    /// # Errors
    /// A record or a disk that refuses.
    pub(crate) async fn lift(&self, id: &str, by: &str) -> Result<Option<Lock>, LockFailure> {
        let _turn = self.changing.lock().await;
        if !self.policies.locks().iter().any(|lock| lock.id == id) {
            return Ok(None);
        }
        let body = LockLifted { by: by.to_owned(), lock: id.to_owned() };
        self.recorder.note(Body::LockLifted(body)).await?;
        let (files, gone) = (self.files.clone(), id.to_owned());
        kept(tokio::task::spawn_blocking(move || files.remove(&gone))).await?;
        Ok(self.policies.lift_lock(id))
    }

    /// Those in force, oldest first.
    pub(crate) fn list(&self) -> Vec<Lock> {
        let mut locks = self.policies.locks();
        locks.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        locks
    }
}

async fn kept<T>(work: JoinHandle<io::Result<T>>) -> Result<T, LockFailure> {
    let unkept = |error: &dyn std::fmt::Display| LockFailure::Unkept(error.to_string());
    work.await.map_err(|error| unkept(&error))?.map_err(|error| unkept(&error))
}
