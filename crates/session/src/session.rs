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

use chaperone_access::{Attributes, Claim, Refusal, RefusalCode, Source, TargetName, Under};
use chaperone_identity::Identity;
use chaperone_policy::Admission;
use chaperone_recording::{Digests, End, LinkFacts, Opening as RecordOpening, Record};
use chaperone_tunnel::{ApplicationName, As, Caller, Dial, LoginFacts, Parameters, RoleName};
use chaperone_wire::{Analyst, Challenger, Company, Known, Opening, TargetEnd};

use crate::away::{Arrived, refuse, refused_end, strange, unplaced, unproved};
use crate::boundary::{Boundary, Ended, Opened};
use crate::bounds::Bounds;
use crate::meter::{Counts, Meter};
use crate::operate::{Room, operate};
use crate::usage::Place;

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
    let (claim, known) = match opening.claim(&Challenge(&boundary.identity)).await {
        Ok(claimed) => claimed,
        Err(fault) => return strange(boundary, source, &fault).await,
    };
    let (session, now) = boundary.door.begin();
    let Claim::Scram(said) = &claim;
    let (application, binding) = (said.application.clone(), said.channel_binding);
    let proved = boundary.identity.authenticate_for(claim, link.tool.as_ref(), link.only, now).await;
    let (principal, proof) = match proved {
        Ok(known) => known,
        Err(failure) => return unproved(known, boundary, source, failure).await,
    };
    drop(stranger);

    // 2. an admission
    let exists = boundary.door.serves(&principal.credential().target);
    // Before: a set that comes into force meanwhile is one that the session is held to later.
    let loads = boundary.policies.loads();
    let admission = match boundary.policies.admit(principal, exists, now) {
        Ok(admission) => admission,
        Err(denial) => {
            let recorded = boundary.recorder.admission_refused(session, source, &denial, &link.lease).await;
            return refuse(known, recorded.err().unwrap_or(denial.refusal)).await;
        }
    };

    let place =
        match boundary.usages.enter(&admission.delegation().subject, boundary.sessions_max(&admission)) {
            Ok(place) => place,
            Err(no_place) => {
                let at = Arrived { boundary, session, source, lease: &link.lease };
                return unplaced(known, at, &admission, no_place).await;
            }
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
    let way = Way { known, proof, place, login, loads, counts: counts.clone() };
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
    loads: u64,
    counts: Counts,
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
    let analyst = match understood::<K>(boundary, &target).await {
        Ok(analyst) => analyst,
        Err(refusal) => return refused_end(way.known, refusal).await,
    };
    let login = match way.login {
        Ok(login) => login,
        Err(refusal) => return refused_end(way.known, refusal).await,
    };
    let attributes = Arc::new(admission.delegation().attributes.clone());
    let dial = match dial_of(record, &target, &login, &attributes, way.known.settings()) {
        Ok(dial) => dial,
        Err(refusal) => return refused_end(way.known, refusal).await,
    };
    let dialled = match boundary.dialer.dial(dial).await {
        Ok(dialled) => dialled,
        Err(error) => return refused_end(way.known, error.refusal()).await,
    };
    if let Err(refusal) = reached(admission, &login, &dialled.facts, attributes) {
        return refused_end(way.known, refusal).await;
    }
    let joined = record.joined(dialled.handle.clone(), dialled.facts.clone(), &dialled.tried).await;
    if let Err(refusal) = joined {
        return refused_end(way.known, refusal).await;
    }
    let notify = boundary.door.opened(Opened {
        session,
        facts: admission.facts().clone(),
        loads: way.loads,
        login,
        told: dialled.facts.told,
        source,
        handle: dialled.handle.clone(),
        at,
        counts: way.counts.clone(),
    });
    let company = Company {
        analyst: analyst.clone(),
        digester: Arc::new(Digests::new(&boundary.recorder)),
        statement_bytes_max: boundary.statement_bytes_max,
        cancel: notify.cancel,
    };
    let stream = Box::new(Meter::new(dialled.stream, way.counts));
    let end = TargetEnd { stream, greeting: dialled.greeting, target };
    let room = Room { boundary, admission, analyst: &*analyst };
    let bounds = Bounds::new(room, dialled.handle, way.place);
    match way.known.join(way.proof, end, company).await {
        Ok(conversation) => operate(conversation, room, record, bounds, notify.stop).await,
        Err(fault) => End::from_fault(&fault),
    }
}

/// What the agent is asked for.
fn dial_of(
    record: &Record,
    target: &TargetName,
    login: &As,
    attributes: &Attributes,
    settings: &[(String, String)],
) -> Result<Dial, Refusal> {
    let session = record.session();
    let application = ApplicationName::new(&record.application_name())
        .map_err(|_| Refusal::new(RefusalCode::Internal, "no name for the session"))?;
    // Too much to tell is not told: a floor that asks for it then shows no rows.
    let caller = Caller::new(attributes.clone());
    if let Err(error) = &caller {
        tracing::warn!(%session, %error, "no floor is told of the caller");
    }
    let mut parameters = Parameters::default();
    // What names mean has to be known here, also after a RESET: a path is not started with.
    for (name, value) in settings.iter().filter(|(name, _)| name != "search_path") {
        if let Err(error) = parameters.set(name, value) {
            tracing::debug!(%session, name, %error, "a setting is not one that a session starts with");
        }
    }
    let (target, login, caller) = (target.clone(), login.clone(), caller.ok());
    Ok(Dial { target, session, application, login, parameters, caller })
}

/// What understands a target's statements, where it speaks what the client does.
async fn understood<K: Known>(boundary: &Boundary, target: &TargetName) -> Result<Arc<dyn Analyst>, Refusal> {
    let speaks = boundary.door.speaks(target);
    if speaks == K::SPEAKS {
        return boundary.door.analyst(target).await;
    }
    let what = format!("`{target}` speaks `{speaks}`, not `{}`", K::SPEAKS);
    Err(Refusal::new(RefusalCode::Unsupported, what))
}

/// As whom the session is at its target. An agent that leaves the role out would give the subject whatever the login has.
fn reached(
    admission: &Admission,
    login: &As,
    facts: &LoginFacts,
    attributes: Arc<Attributes>,
) -> Result<(), Refusal> {
    if facts.role.as_deref() != login.role.as_ref().map(RoleName::as_str) {
        let what = "the agent did not take on the role asked for";
        return Err(Refusal::new(RefusalCode::TargetUnavailable, what)
            .hint("ask whoever runs the agent to look at its log"));
    }
    if login.role.is_none() {
        let told = facts.told.then_some(attributes);
        admission.reached(Under { role: facts.login.as_str().into(), told });
    }
    Ok(())
}
