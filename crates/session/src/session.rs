//! One session, from a stranger's first byte to the sealed record. No protocol's name occurs here.
//!
//! 1. the client's first bytes become a claim, and identity turns the claim into a principal
//! 2. policy admits the principal to the target
//! 3. the record is opened: no record, no session
//! 4. the target is dialled through the agent
//! 5. each operation is decided, recorded, forwarded; its reply is recorded and released ([`crate::operate`])
//! 6. the record is sealed with the reason for the end
//!
//! Each step consumes what the step before it returned, and nothing else makes those values.

use std::sync::Arc;
use std::time::Instant;

use chaperone_access::{Claim, Delegation, Refusal, RefusalCode, SessionId, Source, TargetName};
use chaperone_identity::{Failure, Identity};
use chaperone_policy::{Admission, AdmissionFacts, Denial, Policies};
use chaperone_recording::{Digests, End, Hit, LinkFacts, Opening as RecordOpening, Record, Recorder};
use chaperone_tunnel::{ApplicationName, As, Dial, Dialer, Parameters, RoleName, StreamHandle};
use chaperone_wire::{Analyst, CancelKey, Challenger, Company, Fault, Known, Opening, TargetEnd};
use tokio::sync::watch;

use crate::bounds::{self, Bounds};
use crate::meter::{Counts, Meter};
use crate::operate::operate;
use crate::usage::{NoPlace, Place, Usages};

/// What the data path is built from. Everything a session may touch is named here.
pub struct Boundary {
    /// Who is it.
    pub identity: Arc<Identity>,
    /// May they.
    pub policies: Arc<Policies>,
    /// How much of what they may they have used.
    pub usages: Usages,
    /// The record.
    pub recorder: Arc<Recorder>,
    /// The way to the targets.
    pub dialer: Arc<dyn Dialer>,
    /// What statements mean at each target, and who wants to know about sessions.
    pub door: Arc<dyn Door>,
    /// Longest statement text, in bytes.
    pub statement_bytes_max: usize,
}

/// What wiring adds to the data path.
pub trait Door: Send + Sync {
    /// The analyst of a target; an error where its catalog cannot be read.
    fn analyst(
        &self,
        target: &TargetName,
    ) -> chaperone_wire::futures::BoxFuture<Result<Arc<dyn Analyst>, Refusal>>;

    /// Whether a target of that name is configured.
    fn serves(&self, target: &TargetName) -> bool;

    /// As whom somebody's sessions are at a target; an error where that cannot be said.
    fn login(&self, delegation: &Delegation, target: &TargetName) -> Result<As, Refusal>;

    /// A session has a target: from now on it can be listed, cancelled and ended.
    fn opened(&self, session: Opened) -> Notify;

    /// A session is over.
    fn closed(&self, session: SessionId);

    /// A fresh session id and the time in microseconds since the Unix epoch.
    fn begin(&self) -> (SessionId, u64);
}

/// An open session, for lists and for cancel requests.
pub struct Opened {
    /// Which one.
    pub session: SessionId,
    /// Who was admitted to what.
    pub facts: AdmissionFacts,
    /// As whom it is there.
    pub login: As,
    /// Where the client is.
    pub source: Source,
    /// The target's stream, to cancel what runs on it.
    pub handle: StreamHandle,
    /// When it began, in microseconds since the Unix epoch.
    pub at: u64,
    /// What passes between the gateway and its agent.
    pub counts: Counts,
}

/// What a session hears from outside.
pub struct Notify {
    /// Shown to the client, for cancel requests.
    pub cancel: CancelKey,
    /// Becomes `Some` when the session has to end.
    pub stop: watch::Receiver<Option<Told>>,
}

/// Why a session has to end.
#[derive(Debug, Clone)]
pub struct Told {
    /// The words for the client.
    pub refusal: Refusal,
    /// When the gateway learnt the reason: the record says how long the end took from there.
    pub learnt: Instant,
}

/// How a session ended.
#[derive(Debug)]
pub enum Ended {
    /// Before anybody was known.
    Stranger,
    /// With a refusal before the first operation.
    Refused(RefusalCode),
    /// After the session was open; the reason as recorded.
    Closed(&'static str),
}

struct Challenge<'a>(&'a Identity);

impl Challenger for Challenge<'_> {
    fn challenge(&self, user: &str) -> (Vec<u8>, u32) {
        self.0.challenge(user)
    }
}

/// Carry one session from beginning to end. `stranger` is whatever counts the connection among those that have proved
/// nothing: it is dropped as soon as this one has.
pub async fn run<O: Opening, S: Send>(
    opening: O,
    boundary: &Boundary,
    source: Source,
    link: LinkFacts,
    stranger: S,
) -> Ended {
    // 1. a claim, then a principal
    let Ok((claim, known)) = opening.claim(&Challenge(&boundary.identity)).await else {
        return Ended::Stranger;
    };
    let (session, now) = boundary.door.begin();
    let Claim::Scram(said) = &claim;
    let (application, binding) = (said.application.clone(), said.channel_binding);
    let (principal, proof) = match boundary.identity.authenticate(claim, now).await {
        Ok(known) => known,
        Err(failure) => return unproved(known, boundary, source, failure).await,
    };
    drop(stranger);

    // 2. an admission
    let exists = boundary.door.serves(&principal.credential().target);
    let admission = match boundary.policies.admit(principal, exists, now) {
        Ok(admission) => admission,
        Err(denial) => {
            let recorded = boundary.recorder.admission_refused(session, source, &denial).await;
            return refuse(known, recorded.err().unwrap_or(denial.refusal)).await;
        }
    };

    let place =
        match boundary.usages.enter(&admission.delegation().subject, boundary.sessions_max(&admission)) {
            Ok(place) => place,
            Err(no_place) => return unplaced(known, boundary, session, source, &admission, no_place).await,
        };

    let login = boundary.door.login(admission.delegation(), admission.target());
    let has_role = login.as_ref().is_ok_and(|login| login.role.is_some());
    let admission = if has_role { admission.confined() } else { admission };

    // 3. the record: no record, no session
    let opening = RecordOpening { session, admission: &admission, source, link, binding, application };
    let mut record = match boundary.recorder.open(opening).await {
        Ok(record) => record,
        Err(refusal) => return refuse(known, refusal).await,
    };

    // 4. the target, through the agent; 5. operations
    let counts = Counts::default();
    let way = Way { known, proof, place, login, counts: counts.clone() };
    let end = carry(way, boundary, &admission, &mut record, source, now).await;

    // 6. the record is sealed, whatever happened; a gateway that stops waits for that
    let reason = record.seal(end, counts.traffic(), boundary.dialer.as_ref()).await;
    boundary.door.closed(session);
    Ended::Closed(reason)
}

/// A known client on its way to the target.
struct Way<K> {
    known: K,
    proof: [u8; 32],
    place: Place,
    login: Result<As, Refusal>,
    counts: Counts,
}

impl Boundary {
    /// How many sessions at a time policy lets the admitted subject have.
    fn sessions_max(&self, admission: &Admission) -> Option<u64> {
        self.policies.limits(admission, self.recorder.now()).sessions
    }
}

/// Steps 4 and 5. The way it ended is what the record is sealed with.
async fn carry<K: Known>(
    way: Way<K>,
    boundary: &Boundary,
    admission: &Admission,
    record: &mut Record,
    source: Source,
    at: u64,
) -> End {
    let (session, target) = (record.session(), admission.target().clone());
    let analyst = match boundary.door.analyst(&target).await {
        Ok(analyst) => analyst,
        Err(refusal) => return refused_end(way.known, refusal).await,
    };
    let application = match ApplicationName::new(&record.application_name()) {
        Ok(application) => application,
        Err(_) => {
            return refused_end(way.known, Refusal::new(RefusalCode::Internal, "no name for the session"))
                .await;
        }
    };
    let login = match way.login {
        Ok(login) => login,
        Err(refusal) => return refused_end(way.known, refusal).await,
    };
    let dial = Dial {
        target: target.clone(),
        session,
        application,
        login: login.clone(),
        parameters: Parameters::default(),
    };
    let dialled = match boundary.dialer.dial(dial).await {
        Ok(dialled) => dialled,
        Err(error) => return refused_end(way.known, error.refusal()).await,
    };
    // An agent that leaves the role out would give the subject whatever the login has.
    if dialled.facts.role.as_deref() != login.role.as_ref().map(RoleName::as_str) {
        let refusal =
            Refusal::new(RefusalCode::TargetUnavailable, "the agent did not take on the role asked for")
                .hint("ask whoever runs the agent to look at its log");
        return refused_end(way.known, refusal).await;
    }
    if let Err(refusal) = record.joined(dialled.handle.clone(), dialled.facts.clone()).await {
        return refused_end(way.known, refusal).await;
    }
    let notify = boundary.door.opened(Opened {
        session,
        facts: admission.facts().clone(),
        login,
        source,
        handle: dialled.handle.clone(),
        at,
        counts: way.counts.clone(),
    });
    let company = Company {
        analyst,
        digester: Arc::new(Digests::new(&boundary.recorder)),
        statement_bytes_max: boundary.statement_bytes_max,
        cancel: notify.cancel,
    };
    let stream = Box::new(Meter::new(dialled.stream, way.counts));
    let end = TargetEnd { stream, greeting: dialled.greeting, target };
    let bounds = Bounds::new(boundary, admission, dialled.handle, way.place);
    match way.known.join(way.proof, end, company).await {
        Ok(conversation) => operate(conversation, boundary, admission, record, bounds, notify.stop).await,
        Err(fault) => End::from_fault(&fault),
    }
}

async fn refused_end<K: Known>(known: K, refusal: Refusal) -> End {
    let end = End::from_fault(&Fault::Target(refusal.clone()));
    known.refuse(&refusal).await;
    end
}

async fn refuse<K: Known>(known: K, refusal: Refusal) -> Ended {
    known.refuse(&refusal).await;
    Ended::Refused(refusal.code)
}

/// Somebody who is admitted and has as many sessions as he may. On record before the answer.
async fn unplaced<K: Known>(
    known: K,
    boundary: &Boundary,
    session: SessionId,
    source: Source,
    admission: &Admission,
    no_place: NoPlace,
) -> Ended {
    let limits = boundary.sessions_max(admission);
    let (refusal, hit) = match (no_place, limits) {
        (NoPlace::Sessions(value), Some(maximum)) => {
            let hit = Hit { limit: "sessions", maximum, value };
            (bounds::words(&hit), Some(hit))
        }
        (NoPlace::Sessions(_) | NoPlace::Subjects, _) => {
            (Refusal::new(RefusalCode::Busy, "too many subjects are at work").hint("try again later"), None)
        }
    };
    let denial = Denial {
        refusal: refusal.clone(),
        delegation: admission.delegation().clone(),
        credential: admission.credential().clone(),
        decided: admission.decided().clone(),
    };
    let recorder = &boundary.recorder;
    let mut recorded = recorder.admission_refused(session, source, &denial).await;
    if let (Ok(()), Some(hit)) = (&recorded, hit) {
        recorded = recorder.limit_hit(session, &hit).await;
    }
    refuse(known, recorded.err().unwrap_or(refusal)).await
}

/// A claim that proved nothing. The record comes before the answer, within the bounds that keep a stranger from
/// filling it.
async fn unproved<K: Known>(known: K, boundary: &Boundary, source: Source, failure: Failure) -> Ended {
    let recorded = boundary.recorder.authentication_failed(source, &failure).await;
    refuse(known, recorded.err().unwrap_or_else(|| failure.refusal())).await
}
