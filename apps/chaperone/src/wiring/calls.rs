//! How many calls of tools are under way, of everybody and of each: one bound over every face by which they come.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chaperone_access::{Refusal, RefusalCode, Subject};
use chaperone_trail::CallOutcome;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Calls under way at a time; one more is refused as busy.
const CALLS_MAX: usize = 256;
/// Calls of one subject under way at a time, over all its logins.
const CALLS_OF_ONE_MAX: usize = 8;

/// The calls that are under way. Owner: this type; each place takes itself out.
pub(crate) struct Calls {
    all: Arc<Semaphore>,
    of_one_max: usize,
    of_each: Arc<Mutex<HashMap<Subject, usize>>>,
}

/// A place among them, given back when dropped.
pub(crate) struct Place {
    subject: Subject,
    of_each: Arc<Mutex<HashMap<Subject, usize>>>,
    _of_all: OwnedSemaphorePermit,
}

impl Default for Calls {
    fn default() -> Self {
        Self::new(CALLS_MAX, CALLS_OF_ONE_MAX)
    }
}

impl Calls {
    fn new(max: usize, of_one_max: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(max)), of_one_max, of_each: Arc::default() }
    }

    /// Take a place for one call of a subject.
    ///
    /// # Errors
    /// The gateway, or the subject, has as many under way as it may.
    pub(crate) fn enter(&self, subject: &Subject) -> Result<Place, Refusal> {
        let of_all = self.all.clone().try_acquire_owned().map_err(|_| too_busy("the gateway"))?;
        let mut of_each = self.of_each.lock().unwrap_or_else(PoisonError::into_inner);
        let count = of_each.entry(subject.clone()).or_default();
        if *count >= self.of_one_max {
            return Err(too_busy("this subject"));
        }
        *count += 1;
        Ok(Place { subject: subject.clone(), of_each: self.of_each.clone(), _of_all: of_all })
    }
}

/// The refusal of one call more than there may be.
fn too_busy(who: &str) -> Refusal {
    Refusal::new(RefusalCode::Busy, format!("{who} has too many calls under way"))
        .hint("call again in a moment")
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut of_each = self.of_each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = of_each.get_mut(&self.subject) {
            *count -= 1;
            if *count == 0 {
                of_each.remove(&self.subject);
            }
        }
    }
}

/// How a call ended that came to a refusal: what broke on our side of it was not refused to its caller.
pub(crate) fn outcome(code: RefusalCode) -> CallOutcome {
    let broke =
        matches!(code, RefusalCode::TargetUnavailable | RefusalCode::TargetLost | RefusalCode::Internal);
    if broke { CallOutcome::Failed } else { CallOutcome::Refused }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_calls_under_way_than_his_share() {
        let places = Calls::new(4, 2);
        let subject = |sub: &str| Subject {
            issuer: "dev".into(),
            kind: chaperone_access::SubjectKind::Person,
            sub: sub.into(),
        };
        let (ana, ben) = (subject("ana"), subject("ben"));
        let told = |subject: &Subject| places.enter(subject).err().map(|refusal| refusal.message);
        let (first, second) = (places.enter(&ana), places.enter(&ana));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(told(&ana).as_deref(), Some("this subject has too many calls under way"));
        assert_eq!(told(&ben), None);
        drop(first);
        // What was refused took no place of everybody's.
        let others = (places.enter(&ana), places.enter(&ben), places.enter(&ben));
        assert!(others.0.is_ok() && others.1.is_ok() && others.2.is_ok());
        assert_eq!(told(&subject("eve")).as_deref(), Some("the gateway has too many calls under way"));
    }

    #[test]
    fn what_broke_is_no_refusal() {
        assert_eq!(outcome(RefusalCode::TargetLost), CallOutcome::Failed);
        assert_eq!(outcome(RefusalCode::Busy), CallOutcome::Refused);
    }
}
