//! What subjects used of their limits, kept over a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chaperone_session::{Boundary, SubjectCounts, Usages};
use chaperone_store::SnapshotFile;
use tokio::sync::watch;

use crate::verbs::Failure;
use crate::wiring::installation::now_us;

/// How often the counts are kept: a gateway that is killed forgets so much of them at most.
const EVERY: Duration = Duration::from_secs(5);
/// Writing takes one part of the time in so many, however many subjects there are.
const REST: u32 = 20;

/// The file, and what was counted before this start.
pub(crate) fn open(data: &Path) -> Result<(SnapshotFile, Usages), Failure> {
    let open = || {
        let file = SnapshotFile::open(&data.join("usage"), "counts")?;
        let kept: Vec<SubjectCounts> = file.read()?.unwrap_or_default();
        Ok((file, Usages::restored(&kept, now_us())))
    };
    open().map_err(Failure::io("cannot read what was used of limits"))
}

/// Keeps the counts.
pub(crate) struct Keeper {
    file: SnapshotFile,
    boundary: Arc<Boundary>,
    last: Vec<SubjectCounts>,
}

impl Keeper {
    pub(crate) fn new(file: SnapshotFile, boundary: Arc<Boundary>) -> Self {
        Self { file, boundary, last: Vec::new() }
    }

    /// Keep them once, if there is anything new.
    pub(crate) async fn once(mut self) -> Self {
        let kept = tokio::task::spawn_blocking(move || {
            let counts = self.boundary.usages.counts(now_us());
            let done = if counts == self.last { Ok(()) } else { self.file.write(&counts) };
            if done.is_ok() {
                self.last = counts;
            }
            (self, done)
        });
        match kept.await {
            Ok((this, Ok(()))) => this,
            Ok((this, Err(error))) => {
                tracing::error!(%error, "what was used of limits could not be kept");
                this
            }
            // A fault of ours must not end the keeping in silence.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is ending.
            Err(_) => std::future::pending().await,
        }
    }

    /// Again and again until told to stop; once more is left to whoever waits for the last sessions.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Self {
        loop {
            let begun = Instant::now();
            self = self.once().await;
            let pause = EVERY.max(begun.elapsed().saturating_mul(REST));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => return self,
            }
        }
    }
}
