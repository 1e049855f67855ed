//! The tool `query`: a statement through the boundary, in a session made for the call, and what comes of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chaperone_access::{Analysis, CallId, Delegation, Effect, QUERY, Refusal, RefusalCode};
use chaperone_identity::{Caveat, Grant, narrow};
use chaperone_mcp::{Answer, ROWS_DEFAULT, ROWS_MAX};
use chaperone_postgres::guest::{Beyond, Entrance, Guest, GuestError, Row, Stopped};
use chaperone_postgres::opening::{First, accept};
use chaperone_recording::{Lease, LinkFacts};
use chaperone_trail::CallOutcome;
use serde::Deserialize;
use serde_json::{Value, json};

use super::held::{Owner, Waiting};
use super::seen::{self, Columns};
use super::tools::{Carrying, Done, OfCaller};
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

impl OfCaller {
    /// Run a statement.
    pub(super) async fn run(&self, carrying: &Carrying<'_>, sql: String, rows: u32) -> Done {
        let Carrying { call, lease, delegation, attempt: _ } = *carrying;
        let analysis = match self.analysed(&sql).await {
            Ok(analysis) => analysis,
            Err(refusal) => return Done::refused(&refusal),
        };
        let reads = analysis.members.iter().all(|member| member.effect == Effect::ReadOnly);
        let mut guest = match self.entered(lease, delegation).await {
            Ok(guest) => guest,
            Err(GuestError::Told(told)) => return Done::kept_out(&told, lease),
            Err(error) => return Done::broken(&error, lease),
        };
        if !reads {
            return self.changed(carrying, guest, &sql, rows, &analysis).await;
        }
        let came = match self.first(&mut guest, &sql, rows).await {
            Ok(came) => came,
            Err(error) => return Done::broken(&error, lease),
        };
        let columns = match self.columns(came.shapes, delegation, &analysis).await {
            Ok(columns) => columns,
            Err(refusal) => return Done::refused(&refusal),
        };
        let purpose = delegation.purpose.as_deref().map(str::to_owned);
        let suspended = came.stopped == Stopped::Suspended;
        let waiting =
            Waiting { guest, lease: lease.clone(), columns, rows: came.rows.into(), suspended, purpose };
        self.answered(call, delegation, waiting, rows, command(came.stopped)).await
    }

    /// Run a statement that may change something, to its end. From here on no answer says that it was not carried out but the
    /// target's own.
    async fn changed(
        &self,
        carrying: &Carrying<'_>,
        mut guest: Guest,
        sql: &str,
        rows: u32,
        analysis: &Arc<Analysis>,
    ) -> Done {
        let Carrying { call, lease, delegation, attempt } = *carrying;
        attempt.begin();
        let came = match whole(&mut guest, sql).await {
            Ok(came) => came,
            Err(error) => {
                let done = Done::unsettled(&error, lease);
                if done.outcome != CallOutcome::Unknown {
                    attempt.came_to_nothing();
                }
                return done;
            }
        };
        guest.leave().await;
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
    pub(super) async fn go_on(&self, carrying: &Carrying<'_>, mut waiting: Waiting, rows: u32) -> Done {
        let Carrying { call, lease: _, delegation, attempt: _ } = *carrying;
        // Rows that wait here are given to nobody whose session was ended since.
        if let Err(error) = waiting.guest.still_there().await {
            return Done::broken(&error, &waiting.lease);
        }
        let mut ended = None;
        if waiting.rows.is_empty() && waiting.suspended {
            let more = async {
                waiting.guest.more(rows).await?;
                waiting.guest.piece(PIECE_BYTES_MAX, Beyond::Refuse).await
            };
            match more.await {
                Ok(piece) => {
                    waiting.rows = piece.rows.into();
                    waiting.suspended = piece.stopped == Stopped::Suspended;
                    ended = command(piece.stopped);
                }
                Err(error) => return Done::broken(&error, &waiting.lease),
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
    ) -> Done {
        let (shown, rest) = cut(std::mem::take(&mut waiting.rows), rows);
        if shown.is_empty() && !rest.is_empty() {
            waiting.guest.leave().await;
            let refusal = Refusal::new(
                RefusalCode::TooMuch,
                format!("a row is longer than the {ANSWER_BYTES_MAX} bytes of an answer"),
            )
            .hint("name fewer columns, or take a part of the long ones with `left(column, 1000)`");
            return Done::refused(&refusal);
        }
        let columns = waiting.columns.clone();
        let truncated = waiting.suspended || !rest.is_empty();
        let continuation = if truncated {
            waiting.rows = rest;
            self.mcp().held.put(self.owner(delegation), waiting)
        } else {
            waiting.guest.leave().await;
            None
        };
        let note = match (&continuation, truncated) {
            (Some(_), _) => Some("there may be more rows: call again with `continuation` alone".to_owned()),
            (None, true) => Some("there may be more rows: narrow the statement".to_owned()),
            (None, false) => None,
        };
        Shown { call, columns: &columns, rows: shown, command, continuation, truncated, note }.done()
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

    /// A session through the boundary: the same listener's code as for every client, over a stream that stays in this
    /// process, with a credential for this tool that lives as long as a call may take.
    async fn entered(&self, lease: &Lease, delegation: &Delegation) -> Result<Guest, GuestError> {
        let mcp = self.mcp();
        let broken = |error: &dyn std::fmt::Display| GuestError::Gone(error.to_string());
        let now = now_us() / 1_000_000;
        let grant = Grant {
            who: self.shower().bearer.who.clone(),
            client: delegation.client.as_deref().map(str::to_owned),
            target: self.target().clone(),
            purpose: delegation.purpose.as_deref().map(str::to_owned),
            not_before: now,
            not_after: (now + SESSION_S).min(self.shower().bearer.not_after).max(now + 1),
        };
        let made = mcp.managed.identity.issue(&grant).map_err(|error| broken(&error))?;
        let (user, password) = narrow(&made.user, &made.password, &Caveat::Tool(QUERY.to_owned()))
            .map_err(|error| broken(&error))?;
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let (boundary, options, source) = (mcp.boundary.clone(), mcp.options.clone(), self.shower().source);
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
        let application = self.application();
        let entrance = Entrance {
            user: &user,
            password: password.as_bytes(),
            target: self.target().as_str(),
            application: &application,
            statement_ms: STATEMENT_MS,
        };
        Guest::enter(Box::new(ours), &entrance).await
    }

    /// The first rows of a statement that changes nothing.
    async fn first(&self, guest: &mut Guest, sql: &str, rows: u32) -> Result<Came, GuestError> {
        let shapes = guest.run(sql, rows).await?;
        let piece = guest.piece(PIECE_BYTES_MAX, Beyond::Refuse).await?;
        Ok(Came { shapes, rows: piece.rows, forgotten: 0, stopped: piece.stopped })
    }
}

/// All of a statement that may change something, made to stay.
async fn whole(guest: &mut Guest, sql: &str) -> Result<Came, GuestError> {
    let shapes = guest.run(sql, 0).await?;
    let piece = guest.piece(PIECE_BYTES_MAX, Beyond::Count).await?;
    guest.settle().await?;
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
