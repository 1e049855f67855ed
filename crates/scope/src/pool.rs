//! Threads with deep stacks, on which trees are made, walked and dropped. Trees never leave them.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
/// What may wait for them.
const WAITING_MAX: usize = 1024;

thread_local! {
    /// Whether this thread is one of those.
    static DEEP: Cell<bool> = const { Cell::new(false) };
}

type Job = Box<dyn FnOnce() + Send>;

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
        self.run(move || done(Arc::new(analyse(&text, &path, &temporary, &catalog))))
    }

    /// Do something with trees that may be deep on a worker; `false` where too many wait already, and it is not done.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) -> bool {
        self.jobs.try_send(Box::new(job)).is_ok()
    }
}

/// Do something with trees that may be deep: here where this is a worker, else on a thread made for it, and wait.
pub(crate) fn on_a_deep_stack<T: Send>(
    job: impl FnOnce() -> Result<T, Refusal> + Send,
) -> Result<T, Refusal> {
    if DEEP.get() {
        return job();
    }
    let busy = |_| {
        Refusal::new(RefusalCode::Busy, "no thread is to be had to write the statement out").hint("try again")
    };
    let fault = |_| {
        Refusal::new(RefusalCode::Internal, "a fault of ours kept the statement from being written out")
            .hint("report it; write the statement in another way until then")
    };
    thread::scope(|scope| {
        let started = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || {
            DEEP.set(true);
            job()
        });
        started.map_err(busy)?.join().map_err(fault)?
    })
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    DEEP.set(true);
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A statement that fails so fails for whoever waits for it: the worker is everybody's.
        drop(catch_unwind(AssertUnwindSafe(job)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_worker_survives_what_fails_on_it_and_makes_no_other_thread() {
        let analyser = Analyser::start().unwrap();
        for _ in 0..2 * WORKERS {
            assert!(analyser.run(|| std::panic::resume_unwind(Box::new(()))));
        }
        let (give, take) = channel();
        assert!(analyser.run(move || {
            let here = thread::current().id();
            let there = on_a_deep_stack(|| Ok(thread::current().id()));
            give.send(there.is_ok_and(|there| there == here)).unwrap();
        }));
        assert!(take.recv().unwrap());
        let here = thread::current().id();
        assert!(on_a_deep_stack(|| Ok(thread::current().id())).is_ok_and(|there| there != here));
        let failed = on_a_deep_stack(|| -> Result<(), Refusal> { std::panic::resume_unwind(Box::new(())) });
        assert_eq!(failed.unwrap_err().code, RefusalCode::Internal, "nothing is busy");
    }
}
