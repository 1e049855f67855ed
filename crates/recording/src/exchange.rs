//! A credential that a server of others had its caller's token exchanged for, on record before it is told.

use std::collections::BTreeSet;

use chaperone_access::{CallId, Delegation, Refusal, Source, TargetName, Verb};
use chaperone_identity::CredentialId;
use chaperone_trail::{Body, CredentialExchanged, Digest};

use crate::commit::KindTag;
use crate::recorder::Recorder;

/// The call of a tool that a server elsewhere asked for a credential for.
#[derive(Debug)]
pub struct CallElsewhere {
    /// By an id of ours.
    pub call: CallId,
    /// The tool: a claim of the server.
    pub tool: String,
    /// The server's own id of it: a claim.
    pub named: Option<String>,
    /// SHA-256 of its arguments, as the server told it: only a commitment to it is kept.
    pub arguments: Option<[u8; 32]>,
}

/// What an exchange came to.
pub struct Exchanged<'a> {
    /// The credential.
    pub credential: CredentialId,
    /// Whose, through which client and server.
    pub delegation: &'a Delegation,
    /// Where the server is.
    pub source: Source,
    /// The one target that it opens.
    pub target: &'a TargetName,
    /// Void from, in seconds since the Unix epoch.
    pub not_after: u64,
    /// The call that it is for, where it is for one.
    pub call: Option<&'a CallElsewhere>,
    /// The relations that are left; empty where all are.
    pub only: BTreeSet<String>,
    /// The verbs that are left; empty where all are.
    pub verbs: BTreeSet<Verb>,
    /// Most rows of a statement.
    pub rows: Option<u64>,
}

impl Recorder {
    /// Put an exchange on record: durable when this returns.
    ///
    /// # Errors
    /// The trail cannot be written: no record, no credential.
    pub async fn exchanged(&self, exchanged: Exchanged<'_>) -> Result<(), Refusal> {
        let Exchanged { call, .. } = exchanged;
        let digest = call.and_then(|call| call.arguments);
        let arguments = digest.map(|told| Digest(self.commitment().commit(KindTag::Arguments, &told)));
        self.note(Body::CredentialExchanged(CredentialExchanged {
            arguments,
            call: call.map(|call| call.call.to_string()),
            credential: exchanged.credential.to_string(),
            delegation: exchanged.delegation.clone(),
            named: call.and_then(|call| call.named.clone()),
            not_after: exchanged.not_after,
            only: Some(exchanged.only).filter(|only| !only.is_empty()),
            rows: exchanged.rows,
            source: exchanged.source.to_string(),
            target: exchanged.target.to_string(),
            tool: call.map(|call| call.tool.clone()),
            verbs: Some(exchanged.verbs).filter(|verbs| !verbs.is_empty()),
        }))
        .await
        .map(drop)
    }
}
