//! Those who are turned away before their first operation: on record, then in the protocol's own words.

use chaperone_access::{Refusal, RefusalCode, SessionId, Source};
use chaperone_identity::Failure;
use chaperone_policy::{Admission, Denial};
use chaperone_recording::{End, Hit, Lease};
use chaperone_wire::{Fault, Known};

use crate::boundary::{Boundary, Ended};
use crate::bounds;
use crate::usage::NoPlace;

pub(crate) async fn refused_end<K: Known>(known: K, refusal: Refusal) -> End {
    let end = End::from_fault(&Fault::Target(refusal.clone()));
    known.refuse(&refusal).await;
    end
}

/// Somebody who never made a claim.
pub(crate) async fn strange(boundary: &Boundary, source: Source, fault: &Fault) -> Ended {
    match fault {
        Fault::Client(refusal) => boundary.violated(source, refusal).await,
        Fault::ClientGone | Fault::Target(_) => {}
    }
    Ended::Stranger
}

pub(crate) async fn refuse<K: Known>(known: K, refusal: Refusal) -> Ended {
    known.refuse(&refusal).await;
    Ended::Refused(refusal.code)
}

/// A session that is not open yet.
pub(crate) struct Arrived<'a> {
    pub(crate) boundary: &'a Boundary,
    pub(crate) session: SessionId,
    pub(crate) source: Source,
    /// The call that it would carry.
    pub(crate) lease: &'a Lease,
}

/// Somebody who is admitted and has as many sessions as he may. On record before the answer.
pub(crate) async fn unplaced<K: Known>(
    known: K,
    at: Arrived<'_>,
    admission: &Admission,
    no_place: NoPlace,
) -> Ended {
    let Arrived { boundary, session, source, lease } = at;
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
    let mut recorded = recorder.admission_refused(session, source, &denial, lease).await;
    if let (Ok(()), Some(hit)) = (&recorded, hit) {
        recorded = recorder.limit_hit(session, &hit).await;
    }
    refuse(known, recorded.err().unwrap_or(refusal)).await
}

/// A claim that proved nothing. The record comes before the answer, within the bounds that keep a stranger from
/// filling it.
pub(crate) async fn unproved<K: Known>(
    known: K,
    boundary: &Boundary,
    source: Source,
    failure: Failure,
) -> Ended {
    let recorded = boundary.recorder.authentication_failed(source, &failure).await;
    refuse(known, recorded.err().unwrap_or_else(|| failure.refusal())).await
}
