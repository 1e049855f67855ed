//! Operations under way: what was permitted, and what has come of them so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use chaperone_access::{Analysis, CallId, Effect, Member, Scope};
use chaperone_trail::{Decision, Seq};
use chaperone_wire::LookedThrough;

use crate::subjects::Counting;
use crate::transcript::Transcript;

/// What an operation under way was permitted as.
#[derive(Debug, Clone)]
pub struct Permitted {
    /// What was asked for.
    pub analysis: Arc<Analysis>,
    /// What its caller saw of it; `None` where his own words were sent.
    pub seen: Option<Arc<Scope>>,
    /// Versions of what that was decided by.
    pub under: (u64, u64),
}

/// An operation whose intent is written and whose outcome is not.
pub(crate) struct Running {
    pub(crate) number: u64,
    /// Whose it is: the call that was under way when it was asked for.
    pub(crate) call: Option<CallId>,
    pub(crate) permitted: Permitted,
    /// What took its permission away since.
    pub(crate) withdrawn: Option<Decision>,
    pub(crate) may_write: bool,
    pub(crate) intent: Seq,
    pub(crate) started: Instant,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Bytes that no entry speaks of yet.
    pub(crate) uncovered: u64,
    pub(crate) progresses: u32,
    pub(crate) counting: Counting,
    /// What came of looking through free text, where there was some.
    pub(crate) looked_through: Option<LookedThrough>,
    /// What a program printed that no entry holds yet; `None` where it is no program.
    pub(crate) transcript: Option<Transcript>,
    _under_way: UnderWay,
}

impl Running {
    pub(crate) fn new(
        number: u64,
        member: &Member,
        (call, intent): (Option<CallId>, Seq),
        permitted: Permitted,
        transcript: Option<Transcript>,
        under_way: UnderWay,
    ) -> Self {
        Self {
            number,
            call,
            permitted,
            withdrawn: None,
            may_write: member.effect == Effect::MayWrite,
            intent,
            started: Instant::now(),
            rows: 0,
            bytes: 0,
            uncovered: 0,
            progresses: 0,
            counting: Counting::of(&member.subjects),
            looked_through: None,
            transcript,
            _under_way: under_way,
        }
    }
}

/// A place among all operations that run now, of every session; given back when dropped.
pub(crate) struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    pub(crate) fn enter(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
