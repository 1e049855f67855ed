//! A disk of which one step fails.

use std::sync::atomic::{AtomicUsize, Ordering};

use chaperone_trail::{Disk, Fate, Step};

/// Lets one step fail, once, after it has been carried out `skip` times.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) step: Step,
    pub(crate) fate: Fate,
    pub(crate) skip: usize,
    pub(crate) seen: AtomicUsize,
}

impl Disk for Faulty {
    fn fate(&self, step: Step) -> Fate {
        let hit = step == self.step && self.seen.fetch_add(1, Ordering::SeqCst) == self.skip;
        if hit { self.fate } else { Fate::Done }
    }
}
