//! The tools of one caller at one target, each call of which is on record from its beginning to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chaperone_access::{
    CallId, Called, DESCRIBE_SCHEMA, Delegation, EXPLAIN_ACCESS, PURPOSE_BYTES_MAX, QUERY, Refusal,
    RefusalCode, SQL_TOOLS, TargetName, is_purpose,
};
use chaperone_mcp::{Answer, Asked, Tools};
use chaperone_postgres::guest::{self, GuestError};
use chaperone_recording::{CallEnd, CallOpening, Lease};
use chaperone_trail::CallOutcome;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::held::Waiting;
use super::idle::Open;
use super::query::{self, CALL, Wish};
use super::seen::{DescribeArguments, ExplainArguments, fault};
use super::{Mcp, Shower};
use crate::wiring::calls::outcome;
use crate::wiring::installation::{now_us, random};

/// Longest name that a client may give itself, in bytes.
const APPLICATION_BYTES_MAX: usize = 120;

/// What is said at most of arguments that cannot be used, in characters.
const FAULT_CHARS_MAX: usize = 300;

/// Why there are no tools for a caller.
pub(super) enum NotThere {
    /// No such target, or none that he may know of.
    Unknown,
    /// His login is another client's than is named.
    OtherClient,
}

/// A refusal as an answer on which a model can act.
pub(super) fn told(refusal: &Refusal) -> Answer {
    Answer::refused(&refusal.message, refusal.hint.as_deref(), Some(refusal.code.as_str()))
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
        let answer = told(refusal);
        Self { answer, outcome: outcome(refusal.code), code: Some(refusal.code), rows: 0 }
    }

    /// The session was not opened: nothing was run.
    pub(super) fn kept_out(told: &guest::Objection, lease: &Lease) -> Self {
        let code = lease.refused();
        let answer = Answer::refused(&told.message, told.hint.as_deref(), code.map(RefusalCode::as_str));
        Self { answer, outcome: CallOutcome::Refused, code, rows: 0 }
    }

    /// Something may have been changed, and nobody can say whether it was.
    pub(super) fn unknown(why: &str, code: Option<RefusalCode>) -> Self {
        let answer = Answer::unknown(why, code.map(RefusalCode::as_str));
        Self { answer, outcome: CallOutcome::Unknown, code, rows: 0 }
    }

    /// A statement that only reads came to nothing.
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

    /// A statement that may change something did not come to its end, or its end was not heard.
    pub(super) fn unsettled(error: &GuestError, lease: &Lease) -> Self {
        // What was never permitted was never sent.
        if !lease.may_have_written() || definite(error) {
            return Self::broken(error, lease);
        }
        tracing::warn!(%error, "what became of a tool's write is not known");
        match error {
            GuestError::Told(told) => Self::unknown(&told.message, lease.refused()),
            GuestError::RowTooLong | GuestError::TooMuch | GuestError::Copy => {
                Self::unknown(&error.to_string(), Some(RefusalCode::TooMuch))
            }
            GuestError::Gone(_) => {
                Self::unknown("the session ended before its answer", Some(RefusalCode::TargetLost))
            }
        }
    }

    /// What the gateway or the target said against it.
    fn told(told: &guest::Objection, refused: Option<RefusalCode>) -> Self {
        let place =
            told.position.map(|at| format!(" (at character {at} of the statement)")).unwrap_or_default();
        let message = format!("{}{place}", told.message);
        let (answer, outcome) = match refused {
            Some(code) => {
                (Answer::refused(&message, told.hint.as_deref(), Some(code.as_str())), CallOutcome::Refused)
            }
            None => (Answer::failed(&message, told.hint.as_deref(), &told.code), CallOutcome::Failed),
        };
        Self { answer, outcome, code: refused, rows: 0 }
    }
}

/// Whether an error says that the statement changed nothing. One that ends the session may come after the commit, and
/// class 08 and 40003 say themselves that nobody knows.
fn definite(error: &GuestError) -> bool {
    match error {
        GuestError::Told(told) => !told.fatal && !told.code.starts_with("08") && told.code != "40003",
        // It was given no data.
        GuestError::Copy => true,
        GuestError::RowTooLong | GuestError::TooMuch | GuestError::Gone(_) => false,
    }
}

/// Whether something was sent for a call that may change what is at the target. Shared with what may be given up in the
/// middle.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempt(Arc<AtomicBool>);

impl Attempt {
    /// It is sent now.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// The target said that it changed nothing, or it was never sent.
    pub(super) fn came_to_nothing(&self) {
        self.0.store(false, Ordering::Release);
    }

    fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What a call wants, its arguments read.
enum Work {
    Query(Wish),
    Describe(DescribeArguments),
    Explain(ExplainArguments),
}

/// What was open before a call, and is for it: one of the two at most.
struct Session {
    /// A result that it goes on with.
    waiting: Option<Waiting>,
    /// A session that waited for it.
    idle: Option<Open>,
}

/// A call that is being carried out.
pub(super) struct Carrying<'a> {
    pub(super) call: CallId,
    /// What its session carries.
    pub(super) lease: &'a Lease,
    pub(super) delegation: &'a Delegation,
    pub(super) attempt: &'a Attempt,
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
    /// The one place that says whether there is a target for a caller: the same whether it does not exist or may not be
    /// known.
    pub(super) fn new(mcp: Arc<Mcp>, shower: Shower, target: &str) -> Result<Self, NotThere> {
        let mut delegations = Vec::with_capacity(SQL_TOOLS.len());
        for tool in SQL_TOOLS {
            delegations.push((tool, chain(&mcp, &shower, tool, shower.purpose.clone())?));
        }
        let target = TargetName::new(target).map_err(|_| NotThere::Unknown)?;
        let exists = mcp.managed.targets.iter().any(|(known, _)| *known == target);
        let mut offered = Vec::new();
        for (tool, delegation) in delegations {
            match mcp.managed.policies.may_invoke(&delegation, &target, tool, now_us()) {
                Ok(()) => offered.push(tool),
                Err(refusal) if refusal.code == RefusalCode::UndefinedTarget => {
                    return Err(NotThere::Unknown);
                }
                // What he may not call is not listed; a call of it says why.
                Err(_) => {}
            }
        }
        // Policy was asked first, so that neither takes longer.
        if !exists {
            return Err(NotThere::Unknown);
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
        let (work, purpose, continuation) = Self::read(tool, arguments)?;
        if !purpose.as_deref().is_none_or(is_purpose) {
            return Err(format!("`purpose` is a code of 1 to {PURPOSE_BYTES_MAX} bytes"));
        }
        Ok((work, purpose, continuation))
    }

    fn read(tool: &str, arguments: &Value) -> Result<(Work, Option<String>, Option<String>), String> {
        match tool {
            QUERY => {
                let arguments: query::Arguments = read(arguments)?;
                let wish = arguments.wish()?;
                Ok((Work::Query(wish), arguments.purpose, arguments.continuation))
            }
            DESCRIBE_SCHEMA => {
                let arguments: DescribeArguments = read(arguments)?;
                if let Some(fault) = arguments.fault() {
                    return Err(fault);
                }
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
        let idle = if matches!(work, Ok(Work::Query(Wish::Run { .. }))) {
            self.mcp().idle.take(&self.whose(&delegation), self.end_of_a_session()).await
        } else {
            None
        };
        let open = waiting.as_ref().map(|waiting| &waiting.open).or(idle.as_ref());
        let lease = open.map(|open| open.lease.clone()).unwrap_or_default();
        let opening = CallOpening {
            call: CallId::from_parts(now_us() / 1000, random()),
            delegation: &delegation,
            source: self.shower().source,
            target: self.target(),
            called: &Called::tool(tool),
            method: None,
            arguments: &arguments,
            application: self.0.application.get().cloned(),
            client: self.shower().bearer.oauth_client.clone(),
        };
        let call = self.mcp().managed.recorder.begin_call(opening, lease.clone()).await?;
        let attempt = Attempt::default();
        let carrying =
            Carrying { call: call.id(), lease: &lease, delegation: &delegation, attempt: &attempt };
        let doing = self.done(&carrying, tool, work, Session { waiting, idle });
        let (done, open) = match tokio::time::timeout(CALL, doing).await {
            Ok(done) => done,
            Err(_elapsed) => (overdue(&attempt), None),
        };
        let Done { answer, outcome, code, rows } = done;
        let bytes = answer.size() as u64;
        let masked = BTreeMap::new();
        let end = CallEnd {
            outcome,
            code,
            masked,
            phi_without_statement: None,
            not_looked_through: None,
            rows,
            bytes,
        };
        match call.end(end).await {
            Ok(()) => {
                // Only now may another call have it: the lease carries this one no more.
                open.into_iter().for_each(|open| self.mcp().idle.put(open));
                Ok(answer)
            }
            // Its answer does not leave; but that it was refused would be no truth either.
            Err(refusal) if attempt.is_open() => {
                Ok(Answer::unknown(&refusal.message, Some(refusal.code.as_str())))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Decide and do it; with the session that another call may have when this one has ended.
    async fn done(
        &self,
        carrying: &Carrying<'_>,
        tool: &'static str,
        work: Result<Work, String>,
        Session { waiting, idle }: Session,
    ) -> (Done, Option<Open>) {
        let delegation = carrying.delegation;
        let may = self.mcp().managed.policies.may_invoke(delegation, self.target(), tool, now_us());
        if let Err(refusal) = may {
            return (Done::refused(&refusal), idle);
        }
        match (work, waiting) {
            (Err(why), _) => {
                let what = format!("the arguments cannot be used: {why}");
                let refusal = Refusal::new(RefusalCode::ProtocolViolation, what)
                    .hint("the tool's `inputSchema` says what it takes");
                (Done::refused(&refusal), None)
            }
            (Ok(Work::Query(Wish::Run { sql, rows })), _) => self.run(carrying, idle, sql, rows).await,
            (Ok(Work::Query(Wish::GoOn { rows })), Some(waiting)) => {
                self.go_on(carrying, waiting, rows).await
            }
            (Ok(Work::Query(Wish::GoOn { .. })), None) => {
                let what = "there is nothing to go on with under that value";
                let refusal = Refusal::new(RefusalCode::UndefinedStatement, what)
                    .hint("a continuation works once and within a minute: run the statement again");
                (Done::refused(&refusal), None)
            }
            (Ok(Work::Describe(arguments)), _) => (self.describe(delegation, &arguments).await, None),
            (Ok(Work::Explain(arguments)), _) => (self.explain(delegation, &arguments).await, None),
        }
    }
}

/// What a call took too long for.
fn overdue(attempt: &Attempt) -> Done {
    let why = format!("the call took longer than {} s", CALL.as_secs());
    if attempt.is_open() {
        return Done::unknown(&why, Some(RefusalCode::TooMuch));
    }
    Done::refused(&Refusal::new(RefusalCode::TooMuch, why).hint("ask for less at a time"))
}

fn read<T: DeserializeOwned>(arguments: &Value) -> Result<T, String> {
    // It repeats what was sent.
    let short = |error: serde_json::Error| error.to_string().chars().take(FAULT_CHARS_MAX).collect();
    T::deserialize(arguments).map_err(short)
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
        let _place = match mcp.managed.commands.calls().enter(&self.shower().bearer.standing.facts().subject)
        {
            Ok(place) => place,
            Err(busy) => return told(&busy),
        };
        if let Some(name) = &asked.application {
            let short: String =
                name.chars().filter(|char| !char.is_control()).take(APPLICATION_BYTES_MAX / 4).collect();
            drop(self.0.application.set(short));
        }
        match self.carried(tool, &asked).await {
            Ok(answer) => answer,
            // It cannot be recorded: nothing leaves.
            Err(refusal) => told(&refusal),
        }
    }
}
