//! Who is admitted to which target, and what was decided for them.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use chaperone_access::{
    Analysis, Delegation, Refusal, RefusalCode, SERVER_ISSUER, Scope, Since, TargetName, Under,
};
use chaperone_identity::{CredentialFacts, Lapse, Principal, Standing};
use lru::LruCache;

use crate::ask::{Asked, Who};
use crate::decide::{self, Answers, Case, Kept};
use crate::limits::Limits;
use crate::load::PolicySet;
use crate::locks::{Lock, LockError, LockOn, Locks};
use crate::permit::{Decided, Decision, Denied, Masked, Unwritten};

/// Decisions that one session keeps.
const KEPT_MAX: usize = 512;
/// How long an answer to `connect` that depends on the time is believed, in microseconds.
const CONNECT_BELIEVED_US: u64 = 1_000_000;

/// The policies and locks in force. Sessions look here at each decision, so that a new set reaches them at once.
#[derive(Debug)]
pub struct Policies {
    now: RwLock<Arc<PolicySet>>,
    locks: RwLock<Locks>,
    /// Counts every change of either. Raised after the change: who reads it first and the rest then at worst begins anew
    /// once too often.
    version: AtomicU64,
    /// Counts the sets that came into force.
    loads: AtomicU64,
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
    facts: AdmissionFacts,
    confined: bool,
    under: OnceLock<Arc<Under>>,
    decided: Arc<Decided>,
    memory: Mutex<Memory>,
}

/// What an open session rests on: enough to ask again, from outside the session, whether it still may be there. Proves
/// nothing to anybody else.
#[derive(Debug, Clone)]
pub struct AdmissionFacts {
    principal: Arc<Principal>,
    opened_us: u64,
}

impl AdmissionFacts {
    /// Who proved who he is.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Who was admitted, as it stands on record.
    #[must_use]
    pub fn delegation(&self) -> &Arc<Delegation> {
        self.principal.delegation()
    }

    /// To which target.
    #[must_use]
    pub fn target(&self) -> &TargetName {
        &self.principal.credential().target
    }

    /// With which credential.
    #[must_use]
    pub fn credential(&self) -> &CredentialFacts {
        self.principal.credential()
    }

    /// The version of the holder's standing that [`Self::delegation`] was made of.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.principal.version()
    }

    /// What is true of the holder now: where it ends or is overdue, the session does.
    #[must_use]
    pub fn standing(&self) -> &Arc<Standing> {
        self.principal.standing()
    }
}

/// What one session's decisions came to under one version of everything they depend on.
struct Memory {
    version: u64,
    /// The version of the holder's standing.
    standing: u64,
    set: Arc<PolicySet>,
    delegation: Arc<Delegation>,
    who: Who,
    /// Whether the caller may still be at the target, and why not.
    place: Place,
    limits: Limits,
    kept: LruCache<usize, Kept>,
    answers: Answers,
}

/// The answer to `connect`, and for how long it is believed.
struct Place {
    refused: Option<(Refusal, Arc<[Arc<str>]>)>,
    asked_us: u64,
    lasting: bool,
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

/// The words for somebody whose login or key admits nobody at the moment.
fn lapsed(lapse: &Lapse) -> Refusal {
    let (what, hint) = match lapse {
        Lapse::Ended(_) | Lapse::Expired => ("your login has ended", "log in again"),
        Lapse::Overdue => (
            "your login was not checked again in time",
            "keep the tool that logged you in running, or log in again",
        ),
        Lapse::Disabled => ("you are disabled here", "ask an administrator"),
    };
    Refusal::new(RefusalCode::LoginEnded, what).hint(hint)
}

pub(crate) fn locked_out(lock: &Lock) -> Refusal {
    let what = match &lock.on {
        LockOn::Subject(name) => {
            match name.strip_prefix(SERVER_ISSUER).and_then(|name| name.strip_prefix('/')) {
                Some(server) => format!("server `{server}` is locked"),
                None => "you are locked out".to_owned(),
            }
        }
        LockOn::Target(target) => format!("target `{target}` is locked"),
        LockOn::Client(client) => format!("client `{client}` is locked"),
    };
    Refusal::new(RefusalCode::Locked, what).hint("an administrator placed the lock and can lift it")
}

impl Policies {
    /// With a first set.
    #[must_use]
    pub fn new(set: PolicySet) -> Self {
        Self {
            now: RwLock::new(Arc::new(set)),
            locks: RwLock::default(),
            version: AtomicU64::new(1),
            loads: AtomicU64::new(1),
        }
    }

    /// Put another set in force.
    pub fn replace(&self, set: PolicySet) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        self.loads.fetch_add(1, Ordering::Release);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The set in force.
    #[must_use]
    pub fn now(&self) -> Arc<PolicySet> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts the changes of policies and locks: whoever sweeps open sessions need not where it is the same, unless
    /// [`PolicySet::connect_reads_time`].
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Counts the sets that came into force, the same one again among them: classifications are loaded with it.
    #[must_use]
    pub fn loads(&self) -> u64 {
        self.loads.load(Ordering::Acquire)
    }

    /// Place a lock: from now on nothing is admitted or decided against it.
    ///
    /// # Errors
    /// Too many locks, or one of that id.
    pub fn place_lock(&self, lock: Lock) -> Result<(), LockError> {
        self.locks.write().unwrap_or_else(PoisonError::into_inner).place(lock)?;
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Lift a lock; `None` where there is none of that id.
    pub fn lift_lock(&self, id: &str) -> Option<Lock> {
        let lifted = self.locks.write().unwrap_or_else(PoisonError::into_inner).lift(id);
        self.version.fetch_add(1, Ordering::Release);
        lifted
    }

    /// The locks in force, by id.
    #[must_use]
    pub fn locks(&self) -> Vec<Lock> {
        self.locks.read().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The lock that closes a target to somebody, if one does.
    #[must_use]
    pub fn lock_against(&self, delegation: &Delegation, target: &TargetName) -> Option<Lock> {
        self.locks.read().unwrap_or_else(PoisonError::into_inner).against(delegation, target).cloned()
    }

    /// The lock on a subject, if there is one.
    #[must_use]
    pub fn locked_subject(&self, delegation: &Delegation) -> Option<Lock> {
        let subject = &delegation.subject;
        let place = LockOn::Subject(format!("{}/{}", subject.issuer, subject.sub));
        self.locks.read().unwrap_or_else(PoisonError::into_inner).on(&place).cloned()
    }

    /// Admit a principal to the target that its credential opens. `now_us` is in microseconds since the Unix epoch.
    ///
    /// # Errors
    /// A [`Denial`], the same whether the target does not exist or may not be known.
    pub fn admit(&self, principal: Principal, exists: bool, now_us: u64) -> Result<Admission, Box<Denial>> {
        let facts = AdmissionFacts { principal: Arc::new(principal), opened_us: now_us };
        let (memory, policies) = self.begin(&facts, now_us);
        let decided = Arc::new(Decided { policies, set_digest: memory.set.digest(), unrestricted: false });
        let refused = match &memory.place.refused {
            Some((refusal, _)) => Some(refusal.clone()),
            None if !exists => Some(nowhere(facts.target())),
            None => None,
        };
        if let Some(refusal) = refused {
            return Err(Box::new(Denial {
                refusal,
                delegation: memory.delegation,
                credential: facts.credential().clone(),
                decided,
            }));
        }
        Ok(Admission { facts, confined: false, under: OnceLock::new(), decided, memory: Mutex::new(memory) })
    }

    /// A memory of nothing, with the policies that admitted or kept out.
    fn begin(&self, facts: &AdmissionFacts, now_us: u64) -> (Memory, Arc<[Arc<str>]>) {
        let version = self.version();
        let (standing, delegation) = facts.principal.current();
        let set = self.now();
        let who = set.who(&delegation);
        let (place, policies) = self.place(&set, &delegation, &who, facts, now_us);
        let narrowed =
            Limits { rows_per_statement: facts.credential().restriction.rows_max(), ..Limits::NONE };
        let of_server = delegation.exchanger().map(|server| set.limits(&server, facts.target()));
        let limits = set.limits(&delegation, facts.target()).and(of_server.unwrap_or(Limits::NONE));
        let limits = limits.and(narrowed);
        let kept = LruCache::new(NonZeroUsize::new(KEPT_MAX).unwrap_or(NonZeroUsize::MIN));
        let answers = Answers::default();
        (Memory { version, standing, set, delegation, who, place, limits, kept, answers }, policies)
    }

    /// Ask whether somebody may be at a target: policy first, so that a lock tells nothing to those who may not know.
    fn place(
        &self,
        set: &PolicySet,
        delegation: &Delegation,
        who: &Who,
        facts: &AdmissionFacts,
        now_us: u64,
    ) -> (Place, Arc<[Arc<str>]>) {
        let asked = Asked::new(set, delegation, who, now_us, facts.opened_us);
        let answer = asked.ask(&asked.connect(facts.target()));
        let policies: Arc<[Arc<str>]> = answer.policies.into();
        let refusal = if answer.allowed {
            self.lock_against(delegation, facts.target()).as_ref().map(locked_out)
        } else {
            Some(nowhere(facts.target()))
        };
        let refused = refusal.map(|refusal| (refusal, policies.clone()));
        (Place { refused, asked_us: now_us, lasting: answer.lasting }, policies)
    }

    /// An admission's memory, begun anew where something that it depends on has changed.
    fn current<'a>(&self, admission: &'a Admission, now_us: u64) -> MutexGuard<'a, Memory> {
        let mut memory = admission.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let moved =
            memory.version != self.version() || memory.standing != admission.facts.standing().version();
        if moved {
            *memory = self.begin(&admission.facts, now_us).0;
        } else if !memory.place.lasting && now_us.abs_diff(memory.place.asked_us) >= CONNECT_BELIEVED_US {
            let Memory { set, delegation, who, .. } = &*memory;
            memory.place = self.place(set, delegation, who, &admission.facts, now_us).0;
        }
        memory
    }

    /// Decide about a string of statements. `now_us` is in microseconds since the Unix epoch.
    pub fn decide(&self, admission: &Admission, analysis: &Arc<Analysis>, now_us: u64) -> Decision {
        let mut memory = self.current(admission, now_us);
        let Memory { set, delegation, who, place, kept, answers, .. } = &mut *memory;
        let refuse = |refusal: Refusal, policies: Arc<[Arc<str>]>| {
            let decided = Decided { policies, set_digest: set.digest(), unrestricted: false };
            Decision::Refuse(Denied { refusal, member: 0, decided })
        };
        if let Err(lapse) = admission.facts.standing().check(now_us / 1_000_000) {
            return refuse(lapsed(&lapse), Arc::from([]));
        }
        if let Some((refusal, policies)) = &place.refused {
            return refuse(no_longer(refusal, admission.target()), policies.clone());
        }
        let key = Kept::key(analysis);
        if let Some(known) = kept.get(&key)
            && known.fits(analysis)
        {
            return known.decision(analysis);
        }
        let case = case(admission, Asked::new(set, delegation, who, now_us, admission.facts.opened_us));
        let (fresh, lasting) = decide::decide(&case, analysis, answers);
        let decision = fresh.decision(analysis);
        if lasting {
            kept.put(key, fresh);
        }
        decision
    }

    /// Whether what was permitted may go on: it is permitted still, and shows no less than what its caller saw when it was
    /// sent (`then`; `None` for his own words), in the same way. What it was understood as is not looked at again; what its
    /// relations are classified as is. `now_us` is in microseconds since the Unix epoch.
    ///
    /// # Errors
    /// Why not.
    pub fn still_permits(
        &self,
        admission: &Admission,
        since: &Since,
        then: Option<&Arc<Scope>>,
        now_us: u64,
    ) -> Result<(), Box<Denied>> {
        let mut memory = self.current(admission, now_us);
        let Memory { set, delegation, who, place, answers, .. } = &mut *memory;
        let refuse = |refusal: Refusal, policies: Arc<[Arc<str>]>| {
            let decided = Decided { policies, set_digest: set.digest(), unrestricted: false };
            Box::new(Denied { refusal, member: 0, decided })
        };
        if let Err(lapse) = admission.facts.standing().check(now_us / 1_000_000) {
            return Err(refuse(lapsed(&lapse), Arc::from([])));
        }
        if let Some((refusal, policies)) = &place.refused {
            return Err(refuse(no_longer(refusal, admission.target()), policies.clone()));
        }
        let case = case(admission, Asked::new(set, delegation, who, now_us, admission.facts.opened_us));
        decide::still(&case, since, answers, then.map(AsRef::as_ref))
    }

    /// What is better written out on a thread with a deep stack before [`Policies::decide`] is asked: it would wait for
    /// such a thread where it is called. `None` where it answers at once.
    pub fn unwritten(
        &self,
        admission: &Admission,
        analysis: &Arc<Analysis>,
        now_us: u64,
    ) -> Option<Unwritten> {
        if !analysis.confined.is_deep() {
            return None;
        }
        let mut memory = self.current(admission, now_us);
        let Memory { set, delegation, who, kept, answers, .. } = &mut *memory;
        if let Some(known) = kept.peek(&Kept::key(analysis))
            && known.fits(analysis)
        {
            return known.unwritten(analysis);
        }
        let case = case(admission, Asked::new(set, delegation, who, now_us, admission.facts.opened_us));
        decide::unwritten(&case, analysis, answers)
    }

    /// What the caller may not go beyond, under the policies in force now.
    #[must_use]
    pub fn limits(&self, admission: &Admission, now_us: u64) -> Limits {
        self.current(admission, now_us).limits
    }

    /// Whether an open session may still be there: asked from outside it, by whoever sweeps. `now_us` is in microseconds
    /// since the Unix epoch.
    ///
    /// # Errors
    /// The words for its client.
    pub fn still_admits(&self, facts: &AdmissionFacts, now_us: u64) -> Result<(), Refusal> {
        if let Err(lapse) = facts.standing().check(now_us / 1_000_000) {
            return Err(lapsed(&lapse));
        }
        let (set, (_, delegation)) = (self.now(), facts.principal.current());
        let who = set.who(&delegation);
        match self.place(&set, &delegation, &who, facts, now_us).0.refused {
            Some((refusal, _)) => Err(no_longer(&refusal, facts.target())),
            None => Ok(()),
        }
    }
}

/// What is asked within an admission.
fn case<'a>(admission: &'a Admission, asked: Asked<'a>) -> Case<'a> {
    Case {
        asked,
        target: admission.target(),
        restriction: &admission.credential().restriction,
        confined: admission.confined,
        under: admission.under.get(),
    }
}

/// The refusal of whoever may not know whether the target exists.
pub(crate) fn nowhere(target: &TargetName) -> Refusal {
    Refusal::new(RefusalCode::UndefinedTarget, format!("there is no target `{target}` for you"))
        .hint("ask an administrator for permission to connect to it")
}

/// The same for somebody who was there.
fn no_longer(refusal: &Refusal, target: &TargetName) -> Refusal {
    if refusal.code != RefusalCode::UndefinedTarget {
        return refusal.clone();
    }
    Refusal::new(
        RefusalCode::NotPermitted,
        format!("you are no longer permitted to connect to target `{target}`"),
    )
    .hint("ask an administrator for permission to connect to it")
}

impl Admission {
    /// The same for a session in which only what is understood may run, even where its caller has every verb: words of
    /// his own could leave the database role that keeps him apart from others.
    #[must_use]
    pub fn confined(self) -> Self {
        Self { confined: true, ..self }
    }

    /// Say as whom the session is at its target, before the first decision. Said once: a second word changes nothing.
    pub fn reached(&self, under: Under) {
        self.under.get_or_init(|| Arc::new(under));
    }

    /// Which target.
    #[must_use]
    pub fn target(&self) -> &TargetName {
        self.facts.target()
    }

    /// Who, as it stands on record.
    #[must_use]
    pub fn delegation(&self) -> &Arc<Delegation> {
        self.facts.delegation()
    }

    /// With which credential.
    #[must_use]
    pub fn credential(&self) -> &CredentialFacts {
        self.facts.credential()
    }

    /// What the admission depended on.
    #[must_use]
    pub fn decided(&self) -> &Arc<Decided> {
        &self.decided
    }

    /// What it rests on, for whoever lists and sweeps open sessions.
    #[must_use]
    pub fn facts(&self) -> &AdmissionFacts {
        &self.facts
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
