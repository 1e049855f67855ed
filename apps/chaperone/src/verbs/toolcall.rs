//! `chaperone toolcall`: one call of a tool, from its caller to the fields.

use std::collections::BTreeMap;
use std::process::ExitCode;

use chaperone_access::CallId;
use chaperone_api::{ToolcallAsked, ToolcallExchange, ToolcallOperation, ToolcallTold, ToolcallView};
use chaperone_trail::Counting;
use clap::Subcommand;
use serde_json::Value;

use super::reach::Reach;
use super::session::counted;
use super::sessions::who;
use super::{Failure, block_on, clock, say, say_json};

/// `chaperone toolcall`
#[derive(Debug, Subcommand)]
pub(crate) enum Toolcall {
    /// Show who called a tool through what, which statements that caused, and which fields they showed
    Show(Show),
}

/// `chaperone toolcall show`
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    reach: Reach,
    /// Which call: the tool's answer names it
    call: CallId,
}

impl Toolcall {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let Self::Show(show) = self;
        let ask = block_on(show.reach.ask())?;
        let view: ToolcallView = block_on(ask.get(&format!("/toolcalls/{}", show.call)))?;
        if show.reach.json {
            say_json(&view)?;
        } else {
            say(&tree(&view))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn words(value: &Value, name: &str) -> String {
    let list = value.get(name).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// Who sees what was read, where a chain says so.
fn recipient(delegation: &Value, at: &str) -> Option<String> {
    let name = text(delegation, &format!("{at}/name"))?;
    let under = text(delegation, &format!("{at}/agreement")).map(|agreement| format!(" ({agreement})"));
    Some(format!("rows go to {name}{}", under.unwrap_or_default()))
}

/// A duration for people, in milliseconds.
fn took(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1000, micros % 1000)
}

/// The call as a tree: who, through what, the call, its statements, their fields.
fn tree(view: &ToolcallView) -> String {
    let mut out = vec![format!("{}  at {}", who(&view.delegation), clock(view.started_at))];
    let mut chain = Vec::new();
    chain.extend(view.oauth_client.as_ref().map(|client| format!("OAuth client {client}")));
    chain.extend(view.application.as_ref().map(|name| format!("calls itself `{name}`")));
    chain.push(format!("from {}", view.source));
    chain.extend(text(&view.delegation, "/purpose").map(|purpose| format!("for {purpose}")));
    chain.extend(recipient(&view.delegation, "/recipient"));
    out.push(format!("└ client  {}", chain.join(", ")));
    out.push(format!("  └ call  {}  {}", view.call, called(view)));
    out.extend(recipient(&view.delegation, "/server/recipient").map(|to| format!("    │ server {to}")));
    let arguments = if view.arguments.is_empty() { "not told" } else { &view.arguments };
    out.push(format!("    │ arguments {arguments}"));
    let end = match (&view.end, &view.exchanged) {
        (None, None) => "under way".to_owned(),
        (None, Some(exchanged)) => elsewhere(exchanged),
        (Some(end), _) => {
            let code = end.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
            format!(
                "{}{code}: {} rows, {} bytes in {}",
                end.outcome,
                end.rows,
                end.bytes,
                took(end.duration_us)
            )
        }
    };
    out.push(format!("    │ {end}"));
    let masked = view.end.iter().flat_map(|end| &end.masked);
    let masked: Vec<String> = masked.map(|(tag, count)| format!("{count} x {tag}")).collect();
    if !masked.is_empty() {
        out.push(format!("    │ replaced in the answer: {}", masked.join(", ")));
    }
    if let Some(found) = view.end.as_ref().and_then(|end| end.phi_without_statement) {
        out.push(format!("    │ {found} identifiers in the answer, and nothing was read for it"));
    }
    if let Some(bytes) = view.end.as_ref().and_then(|end| end.not_looked_through) {
        out.push(format!("    │ {bytes} bytes in the answer are no text, and were not looked through"));
    }
    out.extend(view.told.as_ref().map(told));
    out.extend(view.asked.iter().map(asked));
    for operation in &view.operations {
        of_operation(&mut out, operation);
    }
    if view.operations.is_empty() {
        let is_elsewhere = text(&view.delegation, "/attribution") == Some("unattributable");
        let told = if is_elsewhere {
            "no statement is known: what was done for it was done elsewhere, over connections of its own"
        } else {
            "no statement"
        };
        out.push(format!("    └ {told}"));
    }
    out.join("\n")
}

/// What was called: a tool, or how something else of a server.
fn called(view: &ToolcallView) -> String {
    let name = view.tool.as_ref().or(view.prompt.as_ref());
    let name = name.map_or_else(|| view.target.clone(), |name| format!("{}/{name}", view.target));
    view.method.as_ref().map_or_else(|| name.clone(), |method| format!("{name}  {method}"))
}

/// A call that a server elsewhere carries out: what is known of it here.
fn elsewhere(exchanged: &ToolcallExchange) -> String {
    let named = exchanged.named.as_ref().map(|named| format!(", there `{named}`")).unwrap_or_default();
    let until = clock(exchanged.not_after.saturating_mul(1_000_000));
    format!("carried out elsewhere{named}: credential {} until {until}", exchanged.credential)
}

/// How many of which, as part of a sentence.
fn listed(counts: &BTreeMap<String, u64>) -> String {
    let words: Vec<String> = counts.iter().map(|(name, count)| format!("{count} x {name}")).collect();
    words.join(", ")
}

/// What the server told before its answer.
fn told(told: &ToolcallTold) -> String {
    let mut line = format!("    │ told meanwhile: {} ({} bytes)", listed(&told.kinds), told.bytes);
    if !told.masked.is_empty() {
        line.push_str(&format!(", replaced: {}", listed(&told.masked)));
    }
    if told.withheld > 0 {
        line.push_str(&format!(", {} withheld", told.withheld));
    }
    line
}

/// What the server asked for, and what came of it.
fn asked(asked: &ToolcallAsked) -> String {
    let mut line = format!("    │ asked #{} {}", asked.ask, asked.for_what);
    if let Some(url) = &asked.url {
        line.push_str(&format!(" {url}"));
    }
    line.push_str(&format!("  question {}", asked.question));
    if !asked.masked.is_empty() {
        line.push_str(&format!(", replaced: {}", listed(&asked.masked)));
    }
    match (&asked.code, &asked.action) {
        (Some(code), _) => line.push_str(&format!(": refused ({code})")),
        (None, Some(action)) => line.push_str(&format!(": {action}")),
        (None, None) => line.push_str(": no answer"),
    }
    if let Some(answer) = &asked.answer {
        line.push_str(&format!("  answer {answer}"));
    }
    line
}

fn of_operation(out: &mut Vec<String>, operation: &ToolcallOperation) {
    let mut line = format!(
        "    └ {} #{}  {}  {}",
        operation.session, operation.operation, operation.tag, operation.status
    );
    for word in operation.code.iter().chain(&operation.sqlstate) {
        line.push_str(&format!(" {word}"));
    }
    if operation.status != "refused" {
        line.push_str(&format!(
            "  {} rows, {} bytes in {}",
            operation.rows,
            operation.bytes,
            took(operation.duration_us)
        ));
        if operation.rewritten {
            line.push_str("  rewritten");
        }
        line.push_str(&subjects(operation));
    }
    out.push(line);
    for touch in &operation.touches {
        let relation = text(touch, "/relation").unwrap_or_default();
        out.push(format!("      └ {} on {relation}", words(touch, "verbs")));
        let of = operation.columns.iter().filter(|of| text(of, "/relation") == Some(relation));
        for columns in of {
            for how in ["disclosed", "masked", "hidden", "read", "written"] {
                let names = words(columns, how);
                if !names.is_empty() {
                    out.push(format!("          {how}: {names}"));
                }
            }
        }
    }
}

/// How many patients an operation's rows were about.
fn subjects(operation: &ToolcallOperation) -> String {
    let Some(of) = operation.subjects.as_ref().and_then(counted) else { return String::new() };
    match of.counting {
        Counting::Exact => format!("  {} patients", of.counted),
        Counting::Sketched => format!("  about {} patients", of.counted),
        Counting::NotCounted => format!("  at least {} patients", of.counted),
        Counting::OutOfReach => "  patients not told by the result".to_owned(),
    }
}
