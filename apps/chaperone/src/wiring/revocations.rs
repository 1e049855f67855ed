//! Credentials that are taken back: on record, in force at once for new and open sessions, kept over restarts.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use chaperone_access::Refusal;
use chaperone_identity::{CredentialId, REVOCATIONS_MAX, Revocation, Revoked};
use chaperone_recording::Recorder;
use chaperone_store::RevocationFiles;
use chaperone_trail::{Body, CredentialRevoked};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::wiring::sweep::Kick;

/// Why a credential was not taken back.
#[derive(Debug, Error)]
pub(crate) enum RevocationFailure {
    /// There are too many.
    #[error("{REVOCATIONS_MAX} credentials are revoked already (hint: lock the subject)")]
    Full,
    /// It cannot be recorded, so it was not done.
    #[error(transparent)]
    Unrecorded(#[from] Refusal),
    /// It is in force and on record, and the disk refuses to keep it.
    #[error("the credential is revoked, but that cannot be kept over a restart: {0}")]
    Unkept(String),
}

/// What was kept, with what is over removed.
///
/// # Errors
/// What was taken back cannot be read, so nothing may be served.
pub(crate) fn read(files: &RevocationFiles, now_us: u64) -> io::Result<Arc<Revoked>> {
    let (over, counts): (Vec<Revocation>, Vec<Revocation>) =
        files.all()?.into_iter().partition(|revocation| revocation.is_over(now_us));
    for revocation in over {
        files.remove(revocation.credential)?;
    }
    Ok(Arc::new(Revoked::new(counts)))
}

/// Takes credentials back. What is in force is [`Revoked`]'s; what outlives a restart is the files'.
pub(crate) struct RevocationKeeper {
    files: Arc<RevocationFiles>,
    revoked: Arc<Revoked>,
    recorder: Arc<Recorder>,
    kick: Kick,
    /// One change at a time, so that record, force and file tell one story.
    changing: Mutex<()>,
}

impl RevocationKeeper {
    pub(crate) fn new(
        files: RevocationFiles,
        revoked: Arc<Revoked>,
        recorder: Arc<Recorder>,
        kick: Kick,
    ) -> Self {
        Self { files: Arc::new(files), revoked, recorder, kick, changing: Mutex::new(()) }
    }

    /// Those that count.
    pub(crate) fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    /// Take one back: on record, then in force, then kept. One that was taken back before stays as it was. The reason has
    /// been checked.
    ///
    /// # Errors
    /// Too many, or a record or a disk that refuses.
    pub(crate) async fn revoke(
        &self,
        credential: CredentialId,
        reason: &str,
        by: &str,
    ) -> Result<Revocation, RevocationFailure> {
        let _turn = self.changing.lock().await;
        if let Some(before) = self.revoked.of(credential) {
            // Again, for it may be that the disk refused it.
            self.keep(before.clone(), Vec::new()).await?;
            return Ok(before);
        }
        let learnt = Instant::now();
        let at = self.recorder.now();
        let over = self.revoked.forget(at);
        if !self.revoked.has_room() {
            return Err(RevocationFailure::Full);
        }
        let body = CredentialRevoked {
            by: by.to_owned(),
            credential: credential.to_string(),
            learned_at: at,
            reason: reason.to_owned(),
        };
        self.recorder.note(Body::CredentialRevoked(body)).await?;
        let revocation = Revocation { at, by: by.to_owned(), credential, reason: reason.to_owned() };
        self.revoked.revoke(revocation.clone());
        self.kick.now(learnt);
        self.keep(revocation.clone(), over).await?;
        Ok(revocation)
    }

    /// Write one to the disk, and forget those that are over.
    async fn keep(&self, kept: Revocation, over: Vec<CredentialId>) -> Result<(), RevocationFailure> {
        let files = self.files.clone();
        let keep = tokio::task::spawn_blocking(move || {
            for credential in over {
                files.remove(credential)?;
            }
            files.put(&kept)
        });
        let unkept = |error: &dyn std::fmt::Display| RevocationFailure::Unkept(error.to_string());
        keep.await.map_err(|error| unkept(&error))?.map_err(|error| unkept(&error))
    }
}
