//! Threads with deep stacks, on which trees are made, walked and dropped. Trees never leave them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use chaperone_access::Analysis;

use crate::analyse::analyse;
use crate::catalog::Catalog;

/// Stack of a worker. Virtual memory until a statement needs it; unoptimised builds need more.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 512 * 1024 * 1024 } else { 128 * 1024 * 1024 };
/// Workers: one long statement must not keep the others waiting.
const WORKERS: usize = 2;
/// Statements that may wait.
const WAITING_MAX: usize = 1024;

type Done = Box<dyn FnOnce(Arc<Analysis>) + Send>;

struct Job {
    text: Arc<str>,
    path: Arc<[Arc<str>]>,
    catalog: Arc<Catalog>,
    done: Done,
}

/// The pool.
pub struct Analyser {
    jobs: SyncSender<Job>,
}

impl Analyser {
    /// Start the workers.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start() -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel::<Job>(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..WORKERS {
            let waiting = waiting.clone();
            thread::Builder::new()
                .name(format!("analyser-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || work(&waiting))?;
        }
        Ok(Self { jobs })
    }

    /// Analyse and call `done` on a worker; `false` where too many wait already, and `done` is not called.
    pub fn submit(
        &self,
        text: Arc<str>,
        path: Arc<[Arc<str>]>,
        catalog: Arc<Catalog>,
        done: impl FnOnce(Arc<Analysis>) + Send + 'static,
    ) -> bool {
        self.jobs.try_send(Job { text, path, catalog, done: Box::new(done) }).is_ok()
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        (job.done)(Arc::new(analyse(&job.text, &job.path, &job.catalog)));
    }
}
