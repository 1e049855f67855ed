//! Which tool call a session is carrying: told by whoever dispatches calls to it, looked at once an operation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chaperone_access::{CallId, RefusalCode};

/// Shared between whoever dispatches calls and the session that carries them, one at a time.
#[derive(Debug, Clone, Default)]
pub struct Lease(Arc<Mutex<Carried>>);

/// What is known of the call under way.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    pub(crate) call: Option<CallId>,
    /// Why its first refused operation was.
    pub(crate) refused: Option<RefusalCode>,
    /// Whether an operation of it was permitted: before, the target has run nothing for it.
    pub(crate) permitted: bool,
    /// Something that may write was permitted: it may have been carried out, whatever is heard of it.
    pub(crate) may_have_written: bool,
    /// Operations that were permitted to it and touch something of a target's beside its catalog.
    pub(crate) touching: u64,
}

impl Carried {
    /// As it stands in entries.
    pub(crate) fn text(&self) -> Option<String> {
        self.call.as_ref().map(ToString::to_string)
    }
}

impl Lease {
    /// A call is dispatched: what the session is asked from now on is its own.
    pub fn begin(&self, call: CallId) {
        *self.look() = Carried { call: Some(call), ..Carried::default() };
    }

    /// The call has its answer. When this returns, nothing more is written as its own.
    pub fn end(&self) {
        self.look().call = None;
    }

    /// Why an operation of the call was refused, where one was.
    #[must_use]
    pub fn refused(&self) -> Option<RefusalCode> {
        self.look().refused
    }

    /// Whether no operation of the call was permitted or refused: what was asked of the session for it was never judged.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        let carried = self.look();
        !carried.permitted && carried.refused.is_none()
    }

    /// The call goes to where no operation of it is seen: from now on nobody can say that it changed nothing.
    pub fn goes_elsewhere(&self) {
        self.look().may_have_written = true;
    }

    /// Whether an operation of the call was permitted that may change something: from then on nobody can say that it did
    /// not, unless the target has said so.
    #[must_use]
    pub fn may_have_written(&self) -> bool {
        self.look().may_have_written
    }

    /// How many operations were permitted to the call that touch something of a target's, beside the catalog that is the
    /// same for everybody.
    #[must_use]
    pub fn touching(&self) -> u64 {
        self.look().touching
    }

    /// Whether somebody looks at it.
    #[cfg(test)]
    pub(crate) fn is_held(&self) -> bool {
        self.0.try_lock().is_err()
    }

    /// The call that is under way; it does not end while this is held, so nobody waits for anything meanwhile.
    pub(crate) fn look(&self) -> MutexGuard<'_, Carried> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
