//! The run of a hosted server on record, or a session with one elsewhere, from before its first call to its end.

use std::sync::Arc;

use chaperone_access::{AgentName, Delegation, ProcessId, Refusal, TargetName};
use chaperone_identity::CredentialId;
use chaperone_trail::{Body, Digest, ServerEnded, ServerStarted};

use crate::recorder::Recorder;

/// What a run begins with.
pub struct ServerOpening<'a> {
    /// Which run.
    pub process: ProcessId,
    /// Which server.
    pub server: &'a TargetName,
    /// Who runs it.
    pub agent: &'a AgentName,
    /// What it runs, by the agent's word.
    pub command: Digest,
    /// Whether it is kept apart from every network, by the agent's word.
    pub apart: bool,
    /// Whose it is, through what.
    pub delegation: &'a Delegation,
    /// The one credential that its connections show; none for a server elsewhere.
    pub credential: Option<CredentialId>,
    /// The target that this opens.
    pub target: Option<&'a TargetName>,
}

/// A run on record. Its end is written when this is dropped.
#[must_use = "it is over when this is dropped"]
pub struct ServerRun {
    recorder: Arc<Recorder>,
    process: ProcessId,
    reason: &'static str,
}

impl Recorder {
    /// A server was launched: on durable record when this returns.
    ///
    /// # Errors
    /// The trail cannot be written: no record, no run.
    pub async fn begin_server(self: &Arc<Self>, opening: ServerOpening<'_>) -> Result<ServerRun, Refusal> {
        let body = Body::ServerStarted(ServerStarted {
            agent: opening.agent.to_string(),
            apart: opening.apart,
            command: opening.command,
            credential: opening.credential.map(|id| id.to_string()),
            delegation: opening.delegation.clone(),
            process: opening.process.to_string(),
            server: opening.server.to_string(),
            target: opening.target.map(ToString::to_string),
        });
        // From here on its end is owed, also where nobody waits for this any more; and not before.
        let appended = self.append(&body).map_err(|error| error.refusal())?;
        let run = ServerRun { recorder: self.clone(), process: opening.process, reason: "ended" };
        self.written(appended).await?;
        Ok(run)
    }
}

impl ServerRun {
    /// Why it will have ended: `idle`, `stopped`, `abandoned`, `expired`, `broken` or, unless somebody says so, `ended`.
    pub fn over(&mut self, reason: &'static str) {
        self.reason = reason;
    }
}

impl Drop for ServerRun {
    fn drop(&mut self) {
        let body = ServerEnded { process: self.process.to_string(), reason: self.reason.to_owned() };
        // Where it cannot be written, the next start of the gateway says that every run is over.
        drop(self.recorder.append(&Body::ServerEnded(body)));
    }
}
