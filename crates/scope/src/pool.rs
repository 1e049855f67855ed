//! Threads with deep stacks, on which trees are made, walked and dropped. Trees never leave them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use chaperone_access::{Analysis, Refusal, RefusalCode};

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
    temporary: Arc<[Arc<str>]>,
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
        temporary: Arc<[Arc<str>]>,
        catalog: Arc<Catalog>,
        done: impl FnOnce(Arc<Analysis>) + Send + 'static,
    ) -> bool {
        self.jobs.try_send(Job { text, path, temporary, catalog, done: Box::new(done) }).is_ok()
    }
}

/// Do something with trees that may be deep, on a thread made for it, and wait.
pub(crate) fn on_a_deep_stack<T: Send>(
    job: impl FnOnce() -> Result<T, Refusal> + Send,
) -> Result<T, Refusal> {
    let busy = || {
        Refusal::new(RefusalCode::Busy, "no thread is to be had to write the statement out").hint("try again")
    };
    thread::scope(|scope| {
        let started = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, job);
        started.map_err(|_| busy())?.join().map_err(|_| busy())?
    })
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        (job.done)(Arc::new(analyse(&job.text, &job.path, &job.temporary, &job.catalog)));
    }
}
