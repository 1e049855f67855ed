//! The tool `query`: a statement through the boundary, in a session made for calls of its caller, and what comes of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chaperone_access::{Analysis, CallId, Delegation, Effect, QUERY, Refusal, RefusalCode, SessionEffect};
use chaperone_identity::{Caveat, Grant, narrow};
use chaperone_mcp::{Answer, ROWS_DEFAULT, ROWS_MAX};
use chaperone_postgres::guest::{Beyond, Entrance, Guest, GuestError, Row, Stopped};
use chaperone_postgres::opening::{First, accept};
use chaperone_recording::{Lease, LinkFacts};
use chaperone_trail::CallOutcome;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shower;
use super::held::{Owner, Waiting};
use super::idle::{Open, Whose};
use super::seen::{self, Columns};
use super::tools::{Attempt, Carrying, Done, OfCaller};
use crate::wiring::installation::now_us;

/// Longest life of a session that is made for calls, in seconds: a held result included.
const SESSION_S: u64 = 300;
/// How long a call may take.
pub(super) const CALL: Duration = Duration::from_secs(60);
/// How long its statement may run at the target, in milliseconds: less, so that the target says so itself.
const STATEMENT_MS: u64 = 55_000;
/// Bytes of values in one answer: what a model still reads.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Bytes of rows that are taken at once; more is refused.
const PIECE_BYTES_MAX: usize = 1024 * 1024;
/// What passes between the tool and the session's end inside of this process, in bytes.
const PIPE_BYTES: usize = 64 * 1024;

/// The tool's arguments.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    pub(super) sql: Option<String>,
    rows: Option<u32>,
    pub(super) purpose: Option<String>,
    pub(super) continuation: Option<String>,
}

/// What is to be done.
pub(super) enum Wish {
    Run { sql: String, rows: u32 },
    GoOn { rows: u32 },
}

impl Arguments {
    pub(super) fn wish(&self) -> Result<Wish, String> {
        let rows = self.rows.unwrap_or(ROWS_DEFAULT);
        if !(1..=ROWS_MAX).contains(&rows) {
            return Err(format!("`rows` is 1 to {ROWS_MAX}"));
        }
        match (&self.sql, &self.continuation) {
            (Some(sql), None) if !sql.trim().is_empty() && !sql.contains('\0') => {
                Ok(Wish::Run { sql: sql.clone(), rows })
            }
            (Some(_), None) => Err("`sql` is one statement".to_owned()),
            (None, Some(_)) if self.purpose.is_none() => Ok(Wish::GoOn { rows }),
            (None, Some(_)) => Err("the purpose is that of the call that is gone on with".to_owned()),
            (Some(_), Some(_)) => Err("`continuation` stands without `sql`".to_owned()),
            (None, None) => Err("`sql` is missing".to_owned()),
        }
    }
}

/// Rows for an answer, within its bounds, and those that found no room.
fn cut(mut rows: VecDeque<Row>, rows_max: u32) -> (Vec<Row>, VecDeque<Row>) {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.front() {
        // Quotes and a comma a value, brackets and a comma a row.
        let size = row.iter().map(|value| value.as_ref().map_or(4, String::len) + 3).sum::<usize>() + 3;
        let fits = taken.len() < rows_max as usize && bytes + size <= ANSWER_BYTES_MAX;
        if !fits {
            break;
        }
        bytes += size;
        taken.extend(rows.pop_front());
    }
    (taken, rows)
}

/// What a result comes to.
struct Shown<'a> {
    call: CallId,
    columns: &'a Columns,
    rows: Vec<Row>,
    command: Option<String>,
    continuation: Option<String>,
    truncated: bool,
    note: Option<String>,
}

impl Shown<'_> {
    fn done(self) -> Done {
        let rows = self.rows.len() as u64;
        let mut content = json!({
            "call": self.call.to_string(),
            "columns": self.columns.shown(),
            "rows": self.rows,
            "row_count": rows,
            "truncated": self.truncated,
        });
        if let Some(members) = content.as_object_mut() {
            let more: [(&str, Option<Value>); 4] = [
                ("command", self.command.map(Value::from)),
                ("continuation", self.continuation.map(Value::from)),
                ("note", self.note.map(Value::from)),
                ("not_revealed", self.columns.not_revealed()),
            ];
            members.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        Done { answer: Answer::structured(content), outcome: CallOutcome::Ok, code: None, rows }
    }
}

/// How much of a statement is run.
#[derive(Clone, Copy)]
enum Manner {
    /// Up to so many rows: it changes nothing.
    First(u32),
    /// All of it, made to stay: it may change something.
    Whole,
}

/// Whether a session in which a statement has ended is as it was before, whatever came of it.
fn leaves_nothing(analysis: &Analysis) -> bool {
    analysis.members.iter().all(|member| {
        member.tag == "SELECT"
            && member.effect == Effect::ReadOnly
            && matches!(member.session, SessionEffect::None)
    })
}

impl OfCaller {
    /// Run a statement, in the session that waited for it where there is one.
    pub(super) async fn run(
        &self,
        carrying: &Carrying<'_>,
        idle: Option<Open>,
        sql: String,
        rows: u32,
    ) -> (Done, Option<Open>) {
        let Carrying { call, lease, delegation, attempt: _ } = *carrying;
        let analysis = match self.analysed(&sql).await {
            Ok(analysis) => analysis,
            Err(refusal) => return (Done::refused(&refusal), idle),
        };
        let reads = analysis.members.iter().all(|member| member.effect == Effect::ReadOnly);
        let manner = if reads { Manner::First(rows) } else { Manner::Whole };
        let (open, came) = match self.asked(carrying, idle, &sql, manner).await {
            Ok(asked) => asked,
            Err(done) => return (done, None),
        };
        if !reads {
            return (self.changed(carrying, open, came, rows, &analysis).await, None);
        }
        let clean = leaves_nothing(&analysis);
        let came = match came {
            Ok(came) => came,
            Err(error) => {
                // What was told is all that comes of it.
                let told = matches!(error, GuestError::Told(_)) && !error.ends();
                return (Done::broken(&error, lease), released(open, clean && told).await);
            }
        };
        let columns = match self.columns(came.shapes, delegation, &analysis).await {
            Ok(columns) => columns,
            Err(refusal) => return (Done::refused(&refusal), None),
        };
        let purpose = delegation.purpose.as_deref().map(str::to_owned);
        let suspended = came.stopped == Stopped::Suspended;
        let waiting = Waiting { open, clean, columns, rows: came.rows.into(), suspended, purpose };
        self.answered(call, delegation, waiting, rows, command(came.stopped)).await
    }

    /// Have a statement run. Where the session that waited has ended meanwhile, and before it was asked for anything of this call,
    /// a new one takes its place.
    async fn asked(
        &self,
        carrying: &Carrying<'_>,
        idle: Option<Open>,
        sql: &str,
        manner: Manner,
    ) -> Result<(Open, Result<Came, GuestError>), Done> {
        let Carrying { call: _, lease, delegation, attempt } = *carrying;
        if let Some(mut open) = idle {
            let came = did(&mut open.guest, sql, manner, attempt).await;
            let is_over = came.as_ref().is_err_and(GuestError::ends);
            if !(is_over && lease.is_untouched()) {
                return Ok((open, came));
            }
            attempt.came_to_nothing();
        }
        let mut open = match self.opened(lease, delegation).await {
            Ok(open) => open,
            Err(GuestError::Told(told)) => return Err(Done::kept_out(&told, lease)),
            Err(error) => return Err(Done::broken(&error, lease)),
        };
        let came = did(&mut open.guest, sql, manner, attempt).await;
        Ok((open, came))
    }

    /// What came of a statement that may change something. From here on no answer says that it was not carried out but the
    /// target's own.
    async fn changed(
        &self,
        carrying: &Carrying<'_>,
        open: Open,
        came: Result<Came, GuestError>,
        rows: u32,
        analysis: &Arc<Analysis>,
    ) -> Done {
        let Carrying { call, lease, delegation, attempt } = *carrying;
        let came = match came {
            Ok(came) => came,
            Err(error) => {
                let done = Done::unsettled(&error, lease);
                if done.outcome != CallOutcome::Unknown {
                    attempt.came_to_nothing();
                }
                return done;
            }
        };
        open.guest.leave().await;
        // It is done: what cannot be told of its columns is no reason to say otherwise.
        let told = self.columns(came.shapes.clone(), delegation, analysis).await;
        let columns = told.unwrap_or_else(|_| Columns::plain(came.shapes));
        let many = came.rows.len() as u64 + came.forgotten;
        let (shown, rest) = cut(came.rows.into(), rows);
        let truncated = came.forgotten > 0 || !rest.is_empty();
        let note = truncated.then(|| {
            format!(
                "the statement was carried out whole; {} of the {many} rows that it returned are shown",
                shown.len()
            )
        });
        let command = command(came.stopped);
        Shown { call, columns: &columns, rows: shown, command, continuation: None, truncated, note }.done()
    }

    /// Go on with a result that waited.
    pub(super) async fn go_on(
        &self,
        carrying: &Carrying<'_>,
        mut waiting: Waiting,
        rows: u32,
    ) -> (Done, Option<Open>) {
        let Carrying { call, lease: _, delegation, attempt: _ } = *carrying;
        // Rows that wait here are given to nobody whose session was ended since.
        if let Err(error) = waiting.open.guest.still_there().await {
            return (Done::broken(&error, &waiting.open.lease), None);
        }
        let mut ended = None;
        if waiting.rows.is_empty() && waiting.suspended {
            let guest = &mut waiting.open.guest;
            let more = async {
                guest.more(rows).await?;
                guest.piece(PIECE_BYTES_MAX, Beyond::Refuse).await
            };
            match more.await {
                Ok(piece) => {
                    waiting.rows = piece.rows.into();
                    waiting.suspended = piece.stopped == Stopped::Suspended;
                    ended = command(piece.stopped);
                }
                Err(error) => return (Done::broken(&error, &waiting.open.lease), None),
            }
        }
        self.answered(call, delegation, waiting, rows, ended).await
    }

    /// An answer with what has room in it; the rest waits.
    async fn answered(
        &self,
        call: CallId,
        delegation: &Delegation,
        mut waiting: Waiting,
        rows: u32,
        command: Option<String>,
    ) -> (Done, Option<Open>) {
        let (shown, rest) = cut(std::mem::take(&mut waiting.rows), rows);
        if shown.is_empty() && !rest.is_empty() {
            waiting.open.guest.leave().await;
            let refusal = Refusal::new(
                RefusalCode::TooMuch,
                format!("a row is longer than the {ANSWER_BYTES_MAX} bytes of an answer"),
            )
            .hint("name fewer columns, or take a part of the long ones with `left(column, 1000)`");
            return (Done::refused(&refusal), None);
        }
        let columns = waiting.columns.clone();
        let truncated = waiting.suspended || !rest.is_empty();
        let (continuation, open) = if truncated {
            waiting.rows = rest;
            (self.mcp().held.put(self.owner(delegation), waiting), None)
        } else {
            (None, released(waiting.open, waiting.clean).await)
        };
        let note = match (&continuation, truncated) {
            (Some(_), _) => Some("there may be more rows: call again with `continuation` alone".to_owned()),
            (None, true) => Some("there may be more rows: narrow the statement".to_owned()),
            (None, false) => None,
        };
        let shown = Shown { call, columns: &columns, rows: shown, command, continuation, truncated, note };
        (shown.done(), open)
    }

    /// Whose results these are.
    pub(super) fn owner(&self, delegation: &Delegation) -> Owner {
        Owner {
            subject: delegation.subject.clone(),
            client: delegation.client.as_deref().map(str::to_owned),
            target: self.target().clone(),
        }
    }

    pub(super) async fn analysed(&self, sql: &str) -> Result<Arc<Analysis>, Refusal> {
        if sql.len() > self.mcp().boundary.statement_bytes_max {
            let most = self.mcp().boundary.statement_bytes_max;
            return Err(Refusal::new(
                RefusalCode::TooLarge,
                format!("a statement is longer than the {most} bytes that are taken"),
            ));
        }
        let analyst = self.mcp().managed.analysts.of(self.target()).await?;
        let (text, names): (Arc<str>, _) = (Arc::from(sql), analyst.fresh_names());
        match analyst.cached(&text, &names) {
            Some(known) => Ok(known),
            None => Ok(analyst.analyse(text, names).await),
        }
    }

    /// What the columns of a result are to the caller.
    async fn columns(
        &self,
        shapes: Vec<chaperone_postgres::guest::ResultShape>,
        delegation: &Delegation,
        analysis: &Arc<Analysis>,
    ) -> Result<Columns, Refusal> {
        if !analysis.classified {
            return Ok(Columns::plain(shapes));
        }
        let set = self.mcp().managed.policies.now();
        let (delegation, target, analysis) = (delegation.clone(), self.target().clone(), analysis.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let used = chaperone_policy::columns_used(&set, &delegation, &target, &analysis, now_us());
            Columns::seen(shapes, &analysis, &used)
        });
        looked.await.map_err(|error| seen::fault(&error))
    }

    /// Whose a session for a call is.
    pub(super) fn whose(&self, delegation: &Delegation) -> Whose {
        let Shower { bearer, client: _, purpose: _, source } = self.shower();
        Whose {
            who: bearer.who.clone(),
            delegation: delegation.clone(),
            target: self.target().clone(),
            application: self.application(),
            source: *source,
            not_after: bearer.not_after,
        }
    }

    /// When a session that is opened now ends, in seconds since the Unix epoch.
    pub(super) fn end_of_a_session(&self) -> u64 {
        let now = now_us() / 1_000_000;
        (now + SESSION_S).min(self.shower().bearer.not_after).max(now + 1)
    }

    /// A session through the boundary: the same listener's code as for every client, over a stream that stays in this
    /// process, with a credential for this tool that lives as long as a call may take.
    async fn opened(&self, lease: &Lease, delegation: &Delegation) -> Result<Open, GuestError> {
        let mcp = self.mcp();
        let broken = |error: &dyn std::fmt::Display| GuestError::Gone(error.to_string());
        let (whose, expires_s) = (self.whose(delegation), self.end_of_a_session());
        let grant = Grant {
            who: whose.who.clone(),
            client: delegation.client.as_deref().map(str::to_owned),
            target: whose.target.clone(),
            purpose: delegation.purpose.as_deref().map(str::to_owned),
            not_before: now_us() / 1_000_000,
            not_after: expires_s,
        };
        let made = mcp.managed.identity.issue(&grant).map_err(|error| broken(&error))?;
        let (user, password) = narrow(&made.user, &made.password, &Caveat::Tool(QUERY.to_owned()))
            .map_err(|error| broken(&error))?;
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let (boundary, options, source) = (mcp.boundary.clone(), mcp.options.clone(), whose.source);
        let link = LinkFacts { tls: None, tool: Some(Arc::from(QUERY)), lease: lease.clone(), only: None };
        mcp.managed.counters.session();
        tokio::spawn(async move {
            match accept(Box::new(theirs), source, &options).await {
                Ok(First::Session(arrival)) => {
                    let ended = chaperone_session::run(arrival, &boundary, source, link, ()).await;
                    tracing::debug!(?ended, "a tool's session ended");
                }
                Ok(First::Cancel { .. } | First::Nothing) => {}
                Err(fault) => tracing::warn!(%fault, "a tool's session was refused before its claim"),
            }
        });
        let entrance = Entrance {
            user: &user,
            password: password.as_bytes(),
            target: whose.target.as_str(),
            application: &whose.application,
            statement_ms: STATEMENT_MS,
        };
        let guest = Guest::enter(Box::new(ours), &entrance).await?;
        Ok(Open { guest, lease: lease.clone(), whose, expires_s })
    }
}

/// A session whose statement has ended, for another call; none where something may have been left behind in it.
async fn released(mut open: Open, clean: bool) -> Option<Open> {
    if !clean {
        open.guest.leave().await;
        return None;
    }
    open.guest.finish().await.ok().map(|()| open)
}

/// Run a statement in a session.
async fn did(guest: &mut Guest, sql: &str, manner: Manner, attempt: &Attempt) -> Result<Came, GuestError> {
    let (rows, beyond) = match manner {
        Manner::First(rows) => (rows, Beyond::Refuse),
        Manner::Whole => {
            attempt.begin();
            (0, Beyond::Count)
        }
    };
    let shapes = guest.run(sql, rows).await?;
    let piece = guest.piece(PIECE_BYTES_MAX, beyond).await?;
    if matches!(manner, Manner::Whole) {
        guest.settle().await?;
    }
    Ok(Came { shapes, rows: piece.rows, forgotten: piece.forgotten, stopped: piece.stopped })
}

/// What came of a statement.
struct Came {
    shapes: Vec<chaperone_postgres::guest::ResultShape>,
    rows: Vec<Row>,
    forgotten: u64,
    stopped: Stopped,
}

fn command(stopped: Stopped) -> Option<String> {
    match stopped {
        Stopped::Done(tag) => Some(tag).filter(|tag| !tag.is_empty()),
        Stopped::Suspended => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str) -> Result<Wish, String> {
        serde_json::from_str::<Arguments>(text).map_err(|error| error.to_string())?.wish()
    }

    #[test]
    fn arguments_mean_one_thing_or_are_refused() {
        assert!(matches!(wish(r#"{"sql":"select 1"}"#), Ok(Wish::Run { rows: ROWS_DEFAULT, .. })));
        assert!(matches!(wish(r#"{"continuation":"x","rows":5}"#), Ok(Wish::GoOn { rows: 5 })));
        for bad in [
            "{}",
            r#"{"sql":" "}"#,
            r#"{"sql":"select 1","rows":0}"#,
            r#"{"sql":"select 1","rows":1001}"#,
            r#"{"sql":"select 1","rows":-1}"#,
            r#"{"sql":"select 1","continuation":"x"}"#,
            r#"{"continuation":"x","purpose":"TREAT"}"#,
            r#"{"sql":"select 1","limit":5}"#,
            r#"{"sql":["select 1"]}"#,
            "{\"sql\":\"select '\\u0000'\"}",
        ] {
            assert!(wish(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_answer_is_cut_between_rows() {
        let row = |size: usize| vec![Some("x".repeat(size)), None];
        let (shown, rest) = cut((0..5).map(|_| row(1)).collect(), 3);
        assert_eq!((shown.len(), rest.len()), (3, 2));
        let (shown, rest) = cut([row(ANSWER_BYTES_MAX - 100), row(200)].into(), 100);
        assert_eq!((shown.len(), rest.len()), (1, 1));
        let (shown, rest) = cut([row(ANSWER_BYTES_MAX)].into(), 100);
        assert_eq!((shown.len(), rest.len()), (0, 1), "a row that fits no answer");
    }
}
