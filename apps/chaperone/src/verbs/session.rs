//! `chaperone session`: show one, end one.

use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chaperone_access::SessionId;
use chaperone_api::{EndSession, LiveSession, PAGE_MAX, ReadGrant, ReadRequest, SessionDetail};
use chaperone_trail::{Counting, SubjectCount};
use clap::Subcommand;
use serde::Deserialize;
use serde_json::Value;

use super::reach::Reach;
use super::replay::Replay;
use super::sessions::who;
use super::{Failure, block_on, clock, remark, say, say_json};
use crate::wiring::ask::{Ask, encoded};
use crate::wiring::installation::{Opener, reader_key};

/// `chaperone session`
#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// Show a session and its operations; with a reader's key also the statements' text
    Show(Show),
    /// Play what a command printed again, or write it as an asciicast
    Replay(Replay),
    /// End an open session; what it runs is stopped at the target
    Kill(Kill),
}

/// `chaperone session kill`
#[derive(Debug, clap::Args)]
pub(crate) struct Kill {
    #[command(flatten)]
    reach: Reach,
    /// Which session
    session: SessionId,
    /// Why: for the record, not for the client
    #[arg(long)]
    reason: String,
}

/// `chaperone session show`
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    reach: Reach,
    /// Which session
    session: SessionId,
    /// Private key file of a reader: statements and parameters are opened with it, here, after the gateway has
    /// recorded that they are read
    #[arg(long, value_name = "FILE")]
    reader_key: Option<PathBuf>,
}

impl Session {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Show(show) => show.run(),
            Self::Replay(replay) => replay.run(),
            Self::Kill(kill) => kill.run(),
        }
    }
}

impl Kill {
    fn run(self) -> Result<ExitCode, Failure> {
        let ask = block_on(self.reach.ask())?;
        let request = EndSession { reason: self.reason };
        let path = format!("/sessions/{}", self.session);
        let ended: LiveSession = block_on(ask.delete(&path, &request))?;
        if self.reach.json {
            say_json(&ended)?;
        } else {
            remark(&format!("session {} of {} at `{}` is ended", ended.session, ended.subject, ended.target));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A session with all its entries, page by page.
pub(super) async fn whole(ask: &Ask, session: SessionId) -> Result<SessionDetail, Failure> {
    let path = format!("/sessions/{session}?limit={PAGE_MAX}");
    let mut detail: SessionDetail = ask.get(&path).await?;
    while let Some(next) = detail.next.take() {
        let more: SessionDetail = ask.get(&format!("{path}&after={}", encoded(&next))).await?;
        detail.entries.extend(more.entries);
        detail.next = more.next;
    }
    Ok(detail)
}

/// What is needed to open everything that is sealed of a session, in as many answers as it takes.
pub(super) async fn granted(ask: &Ask, session: SessionId, reader: String) -> Result<ReadGrant, Failure> {
    let path = format!("/sessions/{session}/read");
    let mut request = ReadRequest { reader, after: None };
    let mut grant: ReadGrant = ask.post(&path, &request).await?;
    while let Some(next) = grant.next.take() {
        request.after = Some(next);
        let more: ReadGrant = ask.post(&path, &request).await?;
        grant.objects.extend(more.objects);
        grant.next = more.next;
    }
    Ok(grant)
}

impl Show {
    fn run(self) -> Result<ExitCode, Failure> {
        let ask = block_on(self.reach.ask())?;
        let mut detail = block_on(whole(&ask, self.session))?;
        if let Some(file) = &self.reader_key {
            let key = reader_key(file)?;
            let grant = block_on(granted(&ask, self.session, key.public_text()))?;
            let opener = Opener::new(&key, self.session, &grant.wrapped_key)?;
            for entry in &mut detail.entries {
                open(entry, &grant, &opener)?;
            }
        }
        if self.reach.json {
            say_json(&detail)?;
        } else {
            say(&human(&detail))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Put the opened texts beside the references to them, as `statement.text`, `transcript.text` and `parameters.values`; columns in the place
/// of their reference, and a subject's commitments as `subjects.values`.
fn open(entry: &mut Value, grant: &ReadGrant, opener: &Opener) -> Result<(), Failure> {
    let plain = |reference: &Value| -> Result<Option<Vec<u8>>, Failure> {
        let Some(hash) = reference.pointer("/object").and_then(Value::as_str) else { return Ok(None) };
        let Some(object) = grant.objects.get(hash) else { return Ok(None) };
        let frame = STANDARD.decode(object).map_err(Failure::failed)?;
        opener.open(&frame).map(Some)
    };
    if let Some(statement) = entry.get_mut("statement")
        && let Some(text) = plain(statement)?
        && let Some(fields) = statement.as_object_mut()
    {
        fields.insert("text".to_owned(), Value::String(String::from_utf8_lossy(&text).into_owned()));
    }
    if let Some(parameters) = entry.get_mut("parameters")
        && let Some(sealed) = parameters.get("sealed").cloned()
        && let Some(values) = plain(&sealed)?
        && let Some(fields) = parameters.as_object_mut()
    {
        fields.insert("values".to_owned(), serde_json::from_slice(&values).map_err(Failure::failed)?);
    }
    if let Some(sealed) = entry.get("columns_sealed").cloned()
        && let Some(columns) = plain(&sealed)?
        && let Some(fields) = entry.as_object_mut()
    {
        fields.insert("columns".to_owned(), serde_json::from_slice(&columns).map_err(Failure::failed)?);
    }
    if let Some(transcript) = entry.get_mut("transcript")
        && let Some(text) = plain(transcript)?
        && let Some(fields) = transcript.as_object_mut()
    {
        fields.insert("text".to_owned(), Value::String(String::from_utf8_lossy(&text).into_owned()));
    }
    if let Some(subjects) = entry.get_mut("subjects")
        && let Some(sealed) = subjects.get("commitments").cloned()
        && let Some(values) = plain(&sealed)?
        && let Some(fields) = subjects.as_object_mut()
    {
        fields.insert("values".to_owned(), serde_json::from_slice(&values).map_err(Failure::failed)?);
    }
    Ok(())
}

/// The columns of an operation, one line a relation: what was disclosed, what only read, and what the caller saw instead.
fn columns(entry: &Value) -> String {
    let mut out = String::new();
    for of in entry.get("columns").and_then(Value::as_array).into_iter().flatten() {
        let relation = of.get("relation").and_then(Value::as_str).unwrap_or_default();
        out.push_str(&format!("\n          {relation}"));
        for how in ["disclosed", "read", "masked", "hidden", "written"] {
            let names = of.get(how).and_then(Value::as_array).into_iter().flatten();
            let names: Vec<&str> = names.filter_map(Value::as_str).collect();
            if !names.is_empty() {
                out.push_str(&format!("  {how}: {}", names.join(", ")));
            }
        }
    }
    out
}

/// What an entry says of the patients that an operation's rows were about; `None` where it is written in words that this
/// program does not know.
pub(super) fn counted(subjects: &Value) -> Option<SubjectCount> {
    SubjectCount::deserialize(subjects).ok()
}

/// How many patients an operation's rows were about.
fn subjects(entry: &Value) -> Option<String> {
    let Some(of) = counted(entry.get("subjects")?) else { return Some("  subjects=?".to_owned()) };
    Some(match of.counting {
        Counting::Exact => format!("  subjects={}", of.counted),
        Counting::Sketched => format!("  subjects~{}", of.counted),
        Counting::NotCounted => format!("  subjects>={}", of.counted),
        Counting::OutOfReach => "  subjects=?".to_owned(),
    })
}

fn human(detail: &SessionDetail) -> String {
    let summary = &detail.summary;
    let mut out = format!(
        "session {}\nwho     {}\ntarget  {}\nopened  {}\nstate   {}\n",
        summary.session,
        who(&summary.delegation),
        summary.target,
        clock(summary.opened_at),
        summary.state
    );
    for entry in &detail.entries {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| entry.get(name).and_then(Value::as_u64);
        let at = number("at").map(clock).unwrap_or_default();
        let seq = number("seq").unwrap_or_default();
        let operation = number("operation").map(|n| format!(" #{n}")).unwrap_or_default();
        let mut line = format!("\n{seq:>8}  {at}  {}{operation}", text("kind"));
        for name in ["tag", "command", "status", "ended_by", "sqlstate", "reason", "code"] {
            if !text(name).is_empty() {
                line.push_str(&format!("  {}", text(name)));
            }
        }
        if entry.get("withdrawn").is_some_and(|withdrawn| !withdrawn.is_null()) {
            line.push_str("  permission withdrawn");
        }
        if !text("call").is_empty() {
            line.push_str(&format!("  call={}", text("call")));
        }
        for name in ["exit_code", "rows", "bytes", "duration_us"] {
            if let Some(value) = number(name) {
                line.push_str(&format!("  {name}={value}"));
            }
        }
        if let Some(touches) = entry.get("touches").and_then(Value::as_array) {
            for touch in touches {
                let verbs = touch.get("verbs").and_then(Value::as_array).into_iter().flatten();
                let verbs: Vec<&str> = verbs.filter_map(Value::as_str).collect();
                let relation = touch.get("relation").and_then(Value::as_str).unwrap_or_default();
                line.push_str(&format!("  {}({relation})", verbs.join("+")));
            }
        }
        line.extend(subjects(entry));
        out.push_str(&line);
        out.push_str(&columns(entry));
        if let Some(statement) = entry.pointer("/statement/text").and_then(Value::as_str) {
            out.push_str(&format!("\n          {}", statement.replace('\n', "\n          ")));
        }
        if let Some(values) = entry.pointer("/parameters/values") {
            out.push_str(&format!("\n          with {values}"));
        }
    }
    out
}
