//! What a session is built from, and what it is told from outside.

use std::sync::Arc;
use std::time::Instant;

use chaperone_access::{Delegation, Refusal, RefusalCode, SessionId, Source, TargetName};
use chaperone_identity::{Identity, Noted};
use chaperone_policy::{Admission, AdmissionFacts, Policies};
use chaperone_recording::Recorder;
use chaperone_tunnel::{As, Dialer, StreamHandle};
use chaperone_wire::{Analyst, CancelKey};
use tokio::sync::watch;

use crate::meter::Counts;
use crate::usage::Usages;

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

    /// What a target speaks, by its word in the configuration.
    fn speaks(&self, target: &TargetName) -> &'static str;

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
    /// How many sets of policies had come into force when it was admitted, or fewer.
    pub loads: u64,
    /// As whom it is there.
    pub login: As,
    /// Whether the target was told what is said of its subject.
    pub told: bool,
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

impl Boundary {
    /// A connection broke the protocol before it made a claim; it has been told. On record within the bounds that keep a
    /// stranger from filling it.
    pub async fn violated(&self, source: Source, refusal: &Refusal) {
        match self.identity.note_violation(source) {
            Noted::Counted => {}
            Noted::Single => {
                if let Err(unrecorded) = self.recorder.violation(source, refusal.code).await {
                    tracing::error!(%source, refusal = %unrecorded, "a broken opening could not be recorded");
                }
            }
        }
    }

    /// How many sessions at a time policy lets the admitted subject have.
    pub(crate) fn sessions_max(&self, admission: &Admission) -> Option<u64> {
        self.policies.limits(admission, self.recorder.now()).sessions
    }
}
