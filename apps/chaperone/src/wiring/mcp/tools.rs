//! The tools of one caller at one target, each call of which is on record from its beginning to its end.

use std::sync::Arc;

use chaperone_access::{
    CallId, DESCRIBE_SCHEMA, Delegation, EXPLAIN_ACCESS, QUERY, Refusal, RefusalCode, SQL_TOOLS, TargetName,
};
use chaperone_mcp::{Answer, Asked, Tools};
use chaperone_postgres::guest::{self, GuestError};
use chaperone_recording::{CallEnd, CallOpening, Lease};
use chaperone_trail::CallOutcome;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::held::Waiting;
use super::query::{self, CALL, Wish};
use super::seen::{DescribeArguments, ExplainArguments, fault};
use super::{Mcp, Shower};
use crate::wiring::installation::{now_us, random};

/// Longest name that a client may give itself, in bytes.
const APPLICATION_BYTES_MAX: usize = 120;

/// Why there are no tools for a caller.
pub(super) enum NotThere {
    /// No such target, or none that he may know of.
    Unknown,
    /// His login is another client's than is named.
    OtherClient,
}

/// How a call ended.
pub(super) struct Done {
    pub(super) answer: Answer,
    pub(super) outcome: CallOutcome,
    pub(super) code: Option<RefusalCode>,
    pub(super) rows: u64,
}

impl Done {
    /// It was refused, by us.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        let broke = matches!(
            refusal.code,
            RefusalCode::TargetUnavailable | RefusalCode::TargetLost | RefusalCode::Internal
        );
        let outcome = if broke { CallOutcome::Failed } else { CallOutcome::Refused };
        let answer = Answer::refused(&refusal.message, refusal.hint.as_deref(), Some(word(refusal.code)));
        Self { answer, outcome, code: Some(refusal.code), rows: 0 }
    }

    /// The session was not opened.
    pub(super) fn kept_out(told: &guest::Told) -> Self {
        let answer = Answer::refused(&told.message, told.hint.as_deref(), None);
        Self { answer, outcome: CallOutcome::Refused, code: None, rows: 0 }
    }

    /// The statement came to nothing.
    pub(super) fn broken(error: &GuestError, lease: &Lease) -> Self {
        let refusal = match error {
            GuestError::Told(told) => return Self::told(told, lease.refused()),
            GuestError::RowTooLong | GuestError::TooMuch => {
                Refusal::new(RefusalCode::TooMuch, error.to_string())
                    .hint("ask for fewer rows or columns at a time")
            }
            GuestError::Copy => Refusal::new(RefusalCode::Unsupported, error.to_string())
                .hint("read with SELECT, write with INSERT"),
            GuestError::Gone(why) => {
                tracing::warn!(why, "a tool's session ended early");
                Refusal::new(RefusalCode::TargetLost, "the session ended before its answer")
                    .hint("call again; if it happens again, tell whoever runs the gateway")
            }
        };
        Self::refused(&refusal)
    }

    /// What the gateway or the target said against it.
    fn told(told: &guest::Told, refused: Option<RefusalCode>) -> Self {
        let place =
            told.position.map(|at| format!(" (at character {at} of the statement)")).unwrap_or_default();
        let message = format!("{}{place}", told.message);
        let (answer, outcome) = match refused {
            Some(code) => {
                (Answer::refused(&message, told.hint.as_deref(), Some(word(code))), CallOutcome::Refused)
            }
            None => (Answer::failed(&message, told.hint.as_deref(), &told.code), CallOutcome::Failed),
        };
        Self { answer, outcome, code: refused, rows: 0 }
    }
}

/// A code as it stands in entries.
pub(super) fn word(code: RefusalCode) -> String {
    serde_json::to_value(code).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What a call wants, its arguments read.
enum Work {
    Query(Wish),
    Describe(DescribeArguments),
    Explain(ExplainArguments),
}

/// The tools of one caller at one target.
#[derive(Clone)]
pub(super) struct OfCaller(Arc<Inner>);

struct Inner {
    mcp: Arc<Mcp>,
    shower: Shower,
    target: TargetName,
    offered: Vec<&'static str>,
    /// What the client calls itself, once it has said so.
    application: std::sync::OnceLock<String>,
}

impl OfCaller {
    pub(super) fn new(mcp: Arc<Mcp>, shower: Shower, target: TargetName) -> Result<Self, NotThere> {
        let mut offered = Vec::new();
        for tool in SQL_TOOLS {
            let delegation = chain(&mcp, &shower, tool, shower.purpose.clone())?;
            match mcp.managed.policies.may_invoke(&delegation, &target, tool, now_us()) {
                Ok(()) => offered.push(tool),
                Err(refusal) if refusal.code == RefusalCode::UndefinedTarget => {
                    return Err(NotThere::Unknown);
                }
                // What he may not call is not listed; a call of it says why.
                Err(_) => {}
            }
        }
        let application = std::sync::OnceLock::new();
        Ok(Self(Arc::new(Inner { mcp, shower, target, offered, application })))
    }

    pub(super) fn mcp(&self) -> &Arc<Mcp> {
        &self.0.mcp
    }

    pub(super) fn shower(&self) -> &Shower {
        &self.0.shower
    }

    pub(super) fn target(&self) -> &TargetName {
        &self.0.target
    }

    /// What the client calls itself.
    pub(super) fn application(&self) -> String {
        self.0.application.get().cloned().unwrap_or_else(|| "mcp".to_owned())
    }

    /// What a call wants, with the purpose that it names.
    fn work(tool: &str, arguments: &Value) -> Result<(Work, Option<String>, Option<String>), String> {
        match tool {
            QUERY => {
                let arguments: query::Arguments = read(arguments)?;
                let wish = arguments.wish()?;
                Ok((Work::Query(wish), arguments.purpose, arguments.continuation))
            }
            DESCRIBE_SCHEMA => {
                let arguments: DescribeArguments = read(arguments)?;
                let purpose = arguments.purpose.clone();
                Ok((Work::Describe(arguments), purpose, None))
            }
            EXPLAIN_ACCESS => {
                let arguments: ExplainArguments = read(arguments)?;
                let purpose = arguments.purpose.clone();
                Ok((Work::Explain(arguments), purpose, None))
            }
            other => Err(format!("there is no tool `{other}`")),
        }
    }

    /// One call, on record from its beginning to its end.
    async fn carried(&self, tool: &'static str, asked: &Asked) -> Result<Answer, Refusal> {
        let (work, purpose, continuation) = match Self::work(tool, &asked.arguments) {
            Ok((work, purpose, continuation)) => (Ok(work), purpose, continuation),
            Err(why) => (Err(why), None, None),
        };
        let purpose = purpose.or_else(|| self.shower().purpose.clone());
        let mut delegation = chain(self.mcp(), self.shower(), tool, purpose).map_err(|_| other_client())?;
        let waiting = match &continuation {
            Some(token) => self.mcp().held.take(token, &self.owner(&delegation)),
            None => None,
        };
        if let Some(waiting) = &waiting {
            // It goes on as it began.
            delegation.purpose = waiting.purpose.as_deref().map(Arc::from);
        }
        let arguments = serde_json_canonicalizer::to_vec(&asked.arguments).map_err(|error| fault(&error))?;
        let lease = waiting.as_ref().map(|waiting| waiting.lease.clone()).unwrap_or_default();
        let opening = CallOpening {
            call: CallId::from_parts(now_us() / 1000, random()),
            delegation: &delegation,
            source: self.shower().source,
            target: self.target(),
            tool,
            arguments: &arguments,
            application: self.0.application.get().cloned(),
            client: self.shower().bearer.oauth_client.clone(),
        };
        let call = self.mcp().managed.recorder.begin_call(opening, lease.clone()).await?;
        let doing = self.done(call.id(), &lease, tool, &delegation, work, waiting);
        let done = match tokio::time::timeout(CALL, doing).await {
            Ok(done) => done,
            Err(_elapsed) => Done::refused(
                &Refusal::new(
                    RefusalCode::TooMuch,
                    format!("the call took longer than {} s", CALL.as_secs()),
                )
                .hint("ask for less at a time"),
            ),
        };
        let Done { answer, outcome, code, rows } = done;
        call.end(CallEnd { outcome, code, phi_without_statement: None, rows, bytes: answer.size() as u64 })
            .await?;
        Ok(answer)
    }

    /// Decide and do it.
    async fn done(
        &self,
        call: CallId,
        lease: &Lease,
        tool: &'static str,
        delegation: &Delegation,
        work: Result<Work, String>,
        waiting: Option<Waiting>,
    ) -> Done {
        let may = self.mcp().managed.policies.may_invoke(delegation, self.target(), tool, now_us());
        if let Err(refusal) = may {
            return Done::refused(&refusal);
        }
        match (work, waiting) {
            (Err(why), _) => Done::refused(
                &Refusal::new(RefusalCode::ProtocolViolation, format!("the arguments cannot be used: {why}"))
                    .hint("the tool's `inputSchema` says what it takes"),
            ),
            (Ok(Work::Query(Wish::Run { sql, rows })), _) => {
                self.run(call, lease, delegation, sql, rows).await
            }
            (Ok(Work::Query(Wish::GoOn { rows })), Some(waiting)) => {
                self.go_on(call, delegation, waiting, rows).await
            }
            (Ok(Work::Query(Wish::GoOn { .. })), None) => Done::refused(
                &Refusal::new(
                    RefusalCode::UndefinedStatement,
                    "there is nothing to go on with under that value",
                )
                .hint("a continuation works once and within a minute: run the statement again"),
            ),
            (Ok(Work::Describe(arguments)), _) => self.describe(delegation, &arguments).await,
            (Ok(Work::Explain(arguments)), _) => self.explain(delegation, &arguments).await,
        }
    }
}

fn read<T: DeserializeOwned>(arguments: &Value) -> Result<T, String> {
    serde_json::from_value(arguments.clone()).map_err(|error| error.to_string())
}

fn other_client() -> Refusal {
    Refusal::new(RefusalCode::NotPermitted, "your login is another client's than is named")
}

/// The chain behind a call of a tool.
pub(super) fn chain(
    mcp: &Mcp,
    shower: &Shower,
    tool: &str,
    purpose: Option<String>,
) -> Result<Delegation, NotThere> {
    let chained = mcp.managed.identity.chain_for(
        &shower.bearer.standing,
        shower.client.clone(),
        purpose,
        &Arc::from(tool),
    );
    chained.map_err(|_| NotThere::OtherClient)
}

fn too_busy(who: &str) -> Answer {
    Answer::refused(&format!("{who} has too many calls under way"), Some("call again in a moment"), None)
}

impl Tools for OfCaller {
    fn offered(&self) -> Vec<&'static str> {
        self.0.offered.clone()
    }

    fn instructions(&self) -> String {
        format!(
            "The database `{}`, behind a gateway that judges and records every statement under your own identity. Call \
             `{DESCRIBE_SCHEMA}` before you write SQL. What is masked or hidden is so on purpose.",
            self.target()
        )
    }

    async fn call(&self, asked: Asked) -> Answer {
        let Some(tool) = SQL_TOOLS.into_iter().find(|tool| *tool == asked.tool) else {
            return Answer::refused("there is no such tool", Some("`tools/list` names them"), None);
        };
        let mcp = self.mcp();
        let Ok(_place) = mcp.calls.clone().try_acquire_owned() else { return too_busy("the gateway") };
        let Some(_own) = mcp.own_calls.enter(&self.shower().bearer.who) else {
            return too_busy("this login");
        };
        if let Some(name) = &asked.application {
            let short: String =
                name.chars().filter(|char| !char.is_control()).take(APPLICATION_BYTES_MAX / 4).collect();
            drop(self.0.application.set(short));
        }
        match self.carried(tool, &asked).await {
            Ok(answer) => answer,
            // It cannot be recorded: nothing leaves.
            Err(refusal) => {
                Answer::refused(&refusal.message, refusal.hint.as_deref(), Some(word(refusal.code)))
            }
        }
    }
}
