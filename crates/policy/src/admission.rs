//! Who is admitted to which target, and what was decided for them.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use cedar_policy::EntityUid;
use chaperone_access::{Analysis, Delegation, Refusal, RefusalCode, TargetName};
use chaperone_identity::{CredentialFacts, Principal};
use lru::LruCache;

use crate::decide::{self, Answers, Kept};
use crate::load::PolicySet;
use crate::permit::{Decided, Decision, Masked};

/// Decisions that one session keeps.
const KEPT_MAX: usize = 512;

/// The policies in force. Sessions look here at each decision, so that a new set reaches them at once.
#[derive(Debug)]
pub struct Policies {
    now: RwLock<Arc<PolicySet>>,
}

/// A principal who may be at a target.
///
/// ```compile_fail
/// let forged = chaperone_policy::Admission { target: todo!() };
/// ```
///
/// ```compile_fail
/// fn twice(admission: chaperone_policy::Admission) { let _again = admission.clone(); }
/// ```
pub struct Admission {
    principal: Principal,
    target: TargetName,
    pub(crate) me: EntityUid,
    pub(crate) groups: HashSet<EntityUid>,
    decided: Arc<Decided>,
    memory: Mutex<Memory>,
}

/// What one session's decisions came to under one set of policies.
struct Memory {
    set_digest: [u8; 32],
    kept: LruCache<usize, Kept>,
    answers: Answers,
}

impl Memory {
    fn new(set_digest: [u8; 32]) -> Self {
        let kept = LruCache::new(NonZeroUsize::new(KEPT_MAX).unwrap_or(NonZeroUsize::MIN));
        Self { set_digest, kept, answers: Answers::default() }
    }
}

/// A principal who may not be there.
#[derive(Debug)]
pub struct Denial {
    /// What the client is told: the same for a target that does not exist.
    pub refusal: Refusal,
    /// Who it was.
    pub delegation: Arc<Delegation>,
    /// With which credential.
    pub credential: CredentialFacts,
    /// What it depended on.
    pub decided: Arc<Decided>,
}

impl Policies {
    /// With a first set.
    #[must_use]
    pub fn new(set: PolicySet) -> Self {
        Self { now: RwLock::new(Arc::new(set)) }
    }

    /// Put another set in force.
    pub fn replace(&self, set: PolicySet) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    /// The set in force.
    #[must_use]
    pub fn now(&self) -> Arc<PolicySet> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Admit a principal to the target that its credential opens. `now_us` is in microseconds since the Unix epoch.
    ///
    /// # Errors
    /// A [`Denial`], the same whether the target does not exist or may not be known.
    pub fn admit(&self, principal: Principal, exists: bool, now_us: u64) -> Result<Admission, Box<Denial>> {
        let set = self.now();
        let target = principal.credential().target.clone();
        let (me, groups) = set.kinds.principal(principal.delegation());
        let refused = |decided: Decided, principal: &Principal| {
            Box::new(Denial {
                refusal: Refusal::new(
                    RefusalCode::UndefinedTarget,
                    format!("there is no target `{target}` for you"),
                )
                .hint("ask an administrator for permission to connect to it"),
                delegation: principal.delegation().clone(),
                credential: principal.credential().clone(),
                decided: Arc::new(decided),
            })
        };
        let answer = decide::connect(&set, principal.delegation(), &me, &groups, &target, now_us);
        let decided =
            Decided { policies: answer.policies.into(), set_digest: set.digest(), unrestricted: false };
        if !exists || !answer.allowed {
            return Err(refused(decided, &principal));
        }
        Ok(Admission {
            principal,
            target,
            me,
            groups,
            decided: Arc::new(decided),
            memory: Mutex::new(Memory::new(set.digest())),
        })
    }

    /// Decide about a string of statements. `now_us` is in microseconds since the Unix epoch.
    pub fn decide(&self, admission: &Admission, analysis: &Arc<Analysis>, now_us: u64) -> Decision {
        let set = self.now();
        let key = Arc::as_ptr(analysis) as usize;
        let mut memory = admission.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.set_digest != set.digest() {
            *memory = Memory::new(set.digest());
        }
        if let Some(known) = memory.kept.get(&key)
            && known.fits(analysis)
        {
            return known.decision();
        }
        let (fresh, lasting) = decide::decide(&set, admission, analysis, &mut memory.answers, now_us);
        let decision = fresh.decision();
        if lasting {
            memory.kept.put(key, fresh);
        }
        decision
    }
}

impl Admission {
    /// Which target.
    #[must_use]
    pub fn target(&self) -> &TargetName {
        &self.target
    }

    /// Who.
    #[must_use]
    pub fn delegation(&self) -> &Arc<Delegation> {
        self.principal.delegation()
    }

    /// With which credential.
    #[must_use]
    pub fn credential(&self) -> &CredentialFacts {
        self.principal.credential()
    }

    /// What the admission depended on.
    #[must_use]
    pub fn decided(&self) -> &Arc<Decided> {
        &self.decided
    }

    /// How long the credential still holds, at `now_us` microseconds since the Unix epoch.
    #[must_use]
    pub fn remaining(&self, now_us: u64) -> Duration {
        let until = self.credential().not_after.saturating_mul(1_000_000);
        Duration::from_micros(until.saturating_sub(now_us))
    }

    /// A reply as this caller may see it. Relations are all or nothing so far: what was read may be seen.
    pub fn mask<R>(&self, reply: R) -> Masked<R> {
        Masked { reply }
    }
}
