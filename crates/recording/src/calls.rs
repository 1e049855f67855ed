//! A tool call on record: its beginning before anything is done for it, its end before its answer leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use chaperone_access::{CallId, Called, Delegation, Refusal, RefusalCode, Source, TargetName};
use chaperone_trail::{
    Body, CallOutcome, Digest, ToolcallAnswered, ToolcallAsked, ToolcallEnded, ToolcallStarted, ToolcallTold,
};

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

/// What a server told in a call, counted together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Telling {
    /// Bytes of what goes to the client.
    pub bytes: u64,
    /// How many messages, by kind.
    pub kinds: BTreeMap<String, u64>,
    /// Identifiers that were replaced in them, by tag.
    pub masked: BTreeMap<String, u64>,
    /// How many of them do not go to the client.
    pub withheld: u64,
}

/// What a server asks for in a call.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// What for.
    pub for_what: &'static str,
    /// Its parameters, in the canonical form of their JSON: only a commitment to them is kept.
    pub said: &'a [u8],
    /// Why the client is not asked, where it is not.
    pub code: Option<RefusalCode>,
    /// Identifiers that were replaced in it, by tag.
    pub masked: BTreeMap<String, u64>,
    /// Where it sends a person.
    pub url: Option<String>,
}

/// A call under way. One that is dropped without an end was abandoned, and the record says so.
#[must_use = "it is under way until it is ended"]
pub struct ToolCall {
    recorder: Arc<Recorder>,
    call: CallId,
    lease: Lease,
    began: Instant,
    /// Questions of its server so far.
    asks: u64,
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
        let under_way = ToolCall { recorder: self.clone(), call, lease, began, asks: 0, ended: false };
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

    async fn write(&self, body: &Body) -> Result<(), Refusal> {
        let appended = self.recorder.append(body).map_err(|error| error.refusal())?;
        self.recorder.written(appended).await
    }

    /// Its server told something: on durable record when this returns.
    ///
    /// # Errors
    /// The trail cannot be written: nothing of it reaches the client.
    pub async fn told(&self, telling: &Telling) -> Result<(), Refusal> {
        let body = ToolcallTold {
            bytes: telling.bytes,
            call: self.call.to_string(),
            kinds: telling.kinds.clone(),
            masked: Some(telling.masked.clone()).filter(|masked| !masked.is_empty()),
            withheld: Some(telling.withheld).filter(|withheld| *withheld > 0),
        };
        self.write(&Body::ToolcallTold(body)).await
    }

    /// Its server asks for something: on durable record when this returns, under the number that is returned.
    ///
    /// # Errors
    /// The trail cannot be written: nobody is asked.
    pub async fn asked(&mut self, question: Question<'_>) -> Result<u64, Refusal> {
        self.asks += 1;
        let body = ToolcallAsked {
            ask: self.asks,
            bytes: question.said.len() as u64,
            call: self.call.to_string(),
            code: question.code,
            for_what: question.for_what.to_owned(),
            masked: Some(question.masked).filter(|masked| !masked.is_empty()),
            question: Digest(self.recorder.commitment().commit(KindTag::Question, question.said)),
            url: question.url,
        };
        self.write(&Body::ToolcallAsked(body)).await?;
        Ok(self.asks)
    }

    /// What came of a question: on durable record when this returns. `said` is the answer in the canonical form of its JSON.
    ///
    /// # Errors
    /// The trail cannot be written: the server does not hear of it.
    pub async fn answered(&self, ask: u64, action: &'static str, said: Option<&[u8]>) -> Result<(), Refusal> {
        let answer = said.map(|said| Digest(self.recorder.commitment().commit(KindTag::Answer, said)));
        let body = ToolcallAnswered {
            action: action.to_owned(),
            answer,
            ask,
            bytes: said.map_or(0, |said| said.len() as u64),
            call: self.call.to_string(),
        };
        self.write(&Body::ToolcallAnswered(body)).await
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
