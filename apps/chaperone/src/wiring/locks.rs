//! Locks: placed and lifted on record, kept over restarts, in force at once for new sessions, decisions and open
//! sessions.

use std::sync::Arc;
use std::time::Instant;

use chaperone_access::{Refusal, RefusalCode};
use chaperone_policy::{Lock, LockOn, Policies};
use chaperone_recording::Recorder;
use chaperone_store::LockFiles;
use chaperone_trail::{Body, LockLifted, LockPlaced};
use tokio::sync::Mutex;

use crate::verbs::Failure;
use crate::wiring::installation::random;
use crate::wiring::sweep::Kick;

/// Longest reason and name, in bytes.
const TEXT_BYTES_MAX: usize = 256;

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
    pub(crate) async fn place(&self, on: LockOn, reason: &str, by: &str) -> Result<Lock, Refusal> {
        text("a reason", reason)?;
        text("a name", on.name())?;
        if matches!(&on, LockOn::Subject(name) if !name.contains('/')) {
            return Err(Refusal::new(RefusalCode::SyntaxError, format!("`{}` is no subject", on.name()))
                .hint("a subject is written `issuer/name`, as in policies"));
        }
        let _turn = self.changing.lock().await;
        let id = hex::encode(random::<8>());
        let lock = Lock { at: self.recorder.now(), by: by.to_owned(), id, on, reason: reason.to_owned() };
        if self.policies.locks().len() >= chaperone_policy::LOCKS_MAX {
            let full = chaperone_policy::LockError::Full;
            return Err(Refusal::new(RefusalCode::TooLarge, full.to_string()));
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
        self.policies
            .place_lock(lock.clone())
            .map_err(|error| Refusal::new(RefusalCode::Internal, error.to_string()))?;
        self.kick.now(Instant::now());
        let (files, kept) = (self.files.clone(), lock.clone());
        tokio::task::spawn_blocking(move || files.put(&kept))
            .await
            .map_err(|error| unkept(&error))?
            .map_err(|error| unkept(&error))?;
        Ok(lock)
    }

    /// Lift a lock: on record, then no longer kept, then no longer in force. `None` where there is none of that id.
    ///
    /// # Errors
    /// A record or a disk that refuses.
    pub(crate) async fn lift(&self, id: &str, by: &str) -> Result<Option<Lock>, Refusal> {
        let _turn = self.changing.lock().await;
        if !self.policies.locks().iter().any(|lock| lock.id == id) {
            return Ok(None);
        }
        let body = LockLifted { by: by.to_owned(), lock: id.to_owned() };
        self.recorder.note(Body::LockLifted(body)).await?;
        let (files, gone) = (self.files.clone(), id.to_owned());
        tokio::task::spawn_blocking(move || files.remove(&gone))
            .await
            .map_err(|error| unkept(&error))?
            .map_err(|error| unkept(&error))?;
        Ok(self.policies.lift_lock(id))
    }

    /// Those in force, oldest first.
    pub(crate) fn list(&self) -> Vec<Lock> {
        let mut locks = self.policies.locks();
        locks.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        locks
    }
}

fn unkept(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(RefusalCode::Internal, format!("the change is in force but cannot be kept: {error}"))
        .hint("see to the gateway's disk before it is started again")
}

fn text(what: &str, text: &str) -> Result<(), Refusal> {
    if !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::SyntaxError,
        format!("{what} has 1 to {TEXT_BYTES_MAX} bytes without control characters"),
    ))
}
