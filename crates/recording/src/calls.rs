//! A tool call on record: its beginning before anything is done for it, its end before its answer leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use chaperone_access::{CallId, Called, Delegation, Refusal, RefusalCode, Source, TargetName};
use chaperone_trail::{Body, CallOutcome, Digest, ToolcallEnded, ToolcallStarted};

use crate::commit::KindTag;
use crate::lease::Lease;
use crate::recorder::Recorder;

/// What a call begins with.
pub struct CallOpening<'a> {
    /// Which call.
    pub call: CallId,
    /// Who, through what.
    pub delegation: &'a Delegation,
    /// Where the client is.
    pub source: Source,
    /// The target.
    pub target: &'a TargetName,
    /// What is called.
    pub called: &'a Called,
    /// What is asked of a server, where no tool is called.
    pub method: Option<&'static str>,
    /// Its arguments, in the canonical form of their JSON: only a commitment to them is kept.
    pub arguments: &'a [u8],
    /// What the client calls itself.
    pub application: Option<String>,
    /// The OAuth client that the token was made for.
    pub client: Option<String>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEnd {
    /// How.
    pub outcome: CallOutcome,
    /// Why it was refused.
    pub code: Option<RefusalCode>,
    /// Identifiers that were replaced in the answer of a server, by tag.
    pub masked: BTreeMap<String, u64>,
    /// Identifiers in the answer of a server that read nothing of a target's for it, where there are any.
    pub phi_without_statement: Option<u64>,
    /// Bytes in the answer of a server that are no text, where there are any.
    pub not_looked_through: Option<u64>,
    /// Rows in its answer.
    pub rows: u64,
    /// Bytes of its answer.
    pub bytes: u64,
}

/// A call under way. One that is dropped without an end was abandoned, and the record says so.
#[must_use = "it is under way until it is ended"]
pub struct ToolCall {
    recorder: Arc<Recorder>,
    call: CallId,
    lease: Lease,
    began: Instant,
    ended: bool,
}

impl Recorder {
    /// Begin a call: on durable record when this returns, and then what the session of `lease` is asked is its own.
    ///
    /// # Errors
    /// The trail cannot be written: no record, no call.
    pub async fn begin_call(
        self: &Arc<Self>,
        opening: CallOpening<'_>,
        lease: Lease,
    ) -> Result<ToolCall, Refusal> {
        let began = Instant::now();
        let arguments = Digest(self.commitment().commit(KindTag::Arguments, opening.arguments));
        let call = opening.call;
        let prompt = match opening.called {
            Called::Prompt(prompt) => prompt.as_ref(),
            Called::Tool(_) | Called::Resource(_) => None,
        };
        let body = Body::ToolcallStarted(ToolcallStarted {
            application: opening.application,
            arguments,
            call: call.to_string(),
            client: opening.client,
            delegation: opening.delegation.clone(),
            method: opening.method.map(str::to_owned),
            prompt: prompt.map(|prompt| prompt.to_string()),
            source: opening.source.to_string(),
            target: opening.target.to_string(),
            tool: opening.called.as_tool().map(|tool| tool.to_string()),
        });
        // From here on its end is owed, also where nobody waits for this any more.
        let appended = self.append(&body).map_err(|error| error.refusal())?;
        let under_way = ToolCall { recorder: self.clone(), call, lease, began, ended: false };
        self.written(appended).await?;
        under_way.lease.begin(call);
        Ok(under_way)
    }
}

impl ToolCall {
    /// Which call.
    #[must_use]
    pub fn id(&self) -> CallId {
        self.call
    }

    /// End it: on durable record when this returns.
    ///
    /// # Errors
    /// The trail cannot be written: its answer does not leave.
    pub async fn end(mut self, end: CallEnd) -> Result<(), Refusal> {
        self.lease.end();
        self.ended = true;
        let appended = self.recorder.append(&self.body(end)).map_err(|error| error.refusal())?;
        self.recorder.written(appended).await
    }

    fn body(&self, end: CallEnd) -> Body {
        Body::ToolcallEnded(ToolcallEnded {
            bytes: end.bytes,
            call: self.call.to_string(),
            code: end.code,
            duration_us: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            masked: Some(end.masked).filter(|masked| !masked.is_empty()),
            not_looked_through: end.not_looked_through,
            outcome: end.outcome,
            phi_without_statement: end.phi_without_statement,
            rows: end.rows,
        })
    }
}

impl Drop for ToolCall {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.lease.end();
        let outcome = CallOutcome::Abandoned;
        let end = CallEnd {
            outcome,
            code: None,
            masked: BTreeMap::new(),
            phi_without_statement: None,
            not_looked_through: None,
            rows: 0,
            bytes: 0,
        };
        // Where it cannot be written, the next start ends the call as lost.
        drop(self.recorder.append(&self.body(end)));
    }
}
