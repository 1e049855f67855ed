//! What the target's floor is told of whoever a session is for: rows of a table that views look into, written by a login
//! of its own. A session's role can neither read nor write them, so that what it says of itself shows it nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chaperone_access::{Attribute, Refusal};
use chaperone_postgres::login::{LoginOptions, login};
use chaperone_postgres::rows::Asking;
use chaperone_scope::{FLOOR_CALLERS, FLOOR_SCHEMA};
use chaperone_tunnel::Caller;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::targets::{Place, connect};

/// What the target's own log calls the session that writes.
const APPLICATION: &str = "cp:callers";
/// From a session's login to its rows.
const TELL_MAX: Duration = Duration::from_secs(5);
/// Rows of backends that have gone without a word are looked for this often, when something is told.
const SWEEP: Duration = Duration::from_secs(600);

/// The writer of one target. One statement at a time; a session that breaks is opened again by the next one.
pub(super) struct Callers {
    line: Mutex<Option<Line>>,
}

struct Line {
    asking: Asking,
    swept: Option<Instant>,
}

/// A backend that the floor was told of: by its process and when it started, in microseconds of Unix time.
#[derive(Debug, Clone, Copy)]
struct Backend {
    pid: i32,
    start_us: i64,
}

/// Its rows are taken away when the session ends. Those that stay behind speak of a backend that has ended, and show
/// nobody anything: another one of its number has another start.
pub(super) struct CallerRows {
    place: Arc<Place>,
    backend: Backend,
}

impl Drop for CallerRows {
    fn drop(&mut self) {
        // Without a runtime the whole agent ends, and the next one sweeps.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (place, Backend { pid, start_us }) = (self.place.clone(), self.backend);
        runtime.spawn(async move {
            let gone = format!(
                "delete from {FLOOR_SCHEMA}.{FLOOR_CALLERS} where pid = {pid} and started_us = {start_us}"
            );
            if let Err(why) = place.callers.run(&place, &gone).await {
                tracing::debug!(%why, "rows of an ended session are left to the next sweep");
            }
        });
    }
}

impl Callers {
    pub(super) fn new() -> Self {
        Self { line: Mutex::new(None) }
    }

    /// Write what is said of a session's caller; `None` where the target has no login for that, or it could not be done,
    /// so that the floor shows no rows.
    pub(super) async fn tell(
        place: &Arc<Place>,
        pid: i32,
        start_us: i64,
        caller: &Caller,
    ) -> Option<CallerRows> {
        place.target.floor.as_ref()?;
        let backend = Backend { pid, start_us };
        match place.callers.run(place, &backend.rows(caller)).await {
            Ok(()) => Some(CallerRows { place: place.clone(), backend }),
            Err(why) => {
                tracing::warn!(%why, "the target's floor was not told of a session (hint: `chaperone floor verify`)");
                None
            }
        }
    }

    async fn run(&self, place: &Place, statements: &str) -> Result<(), String> {
        timeout(TELL_MAX, self.run_soon(place, statements))
            .await
            .unwrap_or_else(|_| Err("the target did not answer in time".to_owned()))
    }

    async fn run_soon(&self, place: &Place, statements: &str) -> Result<(), String> {
        let mut kept = self.line.lock().await;
        // Taken out: a session whose answer is not awaited to its end is not used again.
        if let Some(mut line) = kept.take()
            && let Ok(done) = line.run(statements).await
        {
            *kept = Some(line);
            return done;
        }
        let mut line = Line::open(place).await?;
        let done = line.run(statements).await.map_err(|lost| lost.to_string())?;
        *kept = Some(line);
        done
    }
}

impl Line {
    async fn open(place: &Place) -> Result<Self, String> {
        let floor = place.target.floor.as_ref().ok_or("agent.toml has no `floor` for the target")?;
        let secret = match &floor.password {
            Some(source) => Some(source.fetch().await.map_err(|error| error.to_string())?),
            None => None,
        };
        let options = LoginOptions {
            user: floor.user.clone(),
            database: place.target.database.clone(),
            application_name: APPLICATION.to_owned(),
            parameters: Vec::new(),
            role: None,
            tls: place.tls.clone(),
        };
        let stream = connect(&place.target).await.map_err(|refusal| refusal.to_string())?;
        let secret = secret.as_ref().map(chaperone_vault::Secret::expose);
        let logged_in = login(stream, &options, secret).await.map_err(|error| error.to_string())?;
        Ok(Self { asking: Asking::new(logged_in.stream), swept: None })
    }

    /// Outside, whether the session can be used again; inside, what the target said.
    async fn run(&mut self, statements: &str) -> Result<Result<(), String>, Refusal> {
        if self.swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            let said = self.asking.one(&sweep()).await?;
            if let Err(why) = said {
                return Ok(Err(why));
            }
            self.swept = Some(Instant::now());
        }
        Ok(self.asking.one(statements).await?.map(drop))
    }
}

/// The rows of backends that are no more.
fn sweep() -> String {
    format!(
        "delete from {FLOOR_SCHEMA}.{FLOOR_CALLERS} c where not exists (select from pg_catalog.pg_stat_activity a where a.pid = c.pid)"
    )
}

impl Backend {
    /// The rows of its caller in the place of those that a backend of its number left, in one transaction.
    fn rows(self, caller: &Caller) -> String {
        let Self { pid, start_us } = self;
        let mut text = format!("delete from {FLOOR_SCHEMA}.{FLOOR_CALLERS} where pid = {pid}");
        let rows: Vec<String> = (caller.attributes().iter())
            .map(|(name, value)| format!("({pid}, {start_us}, {}, {})", literal(name), texts(value)))
            .collect();
        if !rows.is_empty() {
            let rows = rows.join(", ");
            text.push_str(&format!(
                "; insert into {FLOOR_SCHEMA}.{FLOOR_CALLERS} (pid, started_us, name, texts) values {rows}"
            ));
        }
        text
    }
}

/// An attribute as the table holds it: one text or several. The views know its type.
fn texts(value: &Attribute) -> String {
    let one = |text: &str| literal(text);
    let values: Vec<String> = match value {
        Attribute::Bool(value) => vec![one(if *value { "true" } else { "false" })],
        Attribute::Long(value) => vec![one(&value.to_string())],
        Attribute::Text(text) => vec![one(text)],
        Attribute::Texts(texts) => texts.iter().map(|text| one(text)).collect(),
    };
    format!("array[{}]::pg_catalog.text[]", values.join(", "))
}

/// A text in quotes. The login has turned `standard_conforming_strings` on, so that a backslash is one.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_becomes_rows_whatever_is_said_of_him() {
        let backend = Backend { pid: 7, start_us: 1_700_000_000_000_001 };
        let caller = [
            ("o'k".to_owned(), Attribute::Texts(["a\\'); drop table x; --".into(), "b".into()].into())),
            ("level".to_owned(), Attribute::Long(-3)),
            ("vip".to_owned(), Attribute::Bool(true)),
        ];
        let rows = backend.rows(&Caller::new(caller.into()).unwrap());
        assert_eq!(
            rows,
            "delete from chaperone_floor.callers where pid = 7; \
             insert into chaperone_floor.callers (pid, started_us, name, texts) values \
             (7, 1700000000000001, 'level', array['-3']::pg_catalog.text[]), \
             (7, 1700000000000001, 'o''k', array['a\\''); drop table x; --', 'b']::pg_catalog.text[]), \
             (7, 1700000000000001, 'vip', array['true']::pg_catalog.text[])"
        );
        // Nothing is said of him: nothing is left of whoever had the number before.
        assert_eq!(backend.rows(&Caller::default()), "delete from chaperone_floor.callers where pid = 7");
    }
}
