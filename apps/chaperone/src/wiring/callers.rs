//! What the target's floor is told of whoever a session is for: rows of a table that views look into, written by a login
//! of its own. A session's role can neither read nor write them, so that what it says of itself shows it nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chaperone_access::{Attribute, Refusal};
use chaperone_postgres::login::{LoginOptions, login};
use chaperone_postgres::rows::Asking;
use chaperone_scope::{FLOOR_CALLERS, FLOOR_SCHEMA, FLOOR_SESSION};
use chaperone_tunnel::Caller;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::installation::random;
use super::targets::{Place, connect};

/// What the target's own log calls the session that writes.
const APPLICATION: &str = "cp:callers";
/// From a session's login to its row.
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

/// What a session is called for the floor: a word that it starts with, and that nobody guesses. It may say another one of
/// itself, which shows it nothing: there is no row for its process and that word.
#[derive(Clone)]
pub(super) struct SessionWord(String);

impl SessionWord {
    /// Sixteen bytes of the system's generator, in hexadecimal.
    pub(super) fn new() -> Self {
        Self(random::<16>().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The setting by which a session has it from its start on, so that nothing takes it away: neither RESET nor ROLLBACK.
    pub(super) fn setting(&self) -> (String, String) {
        (FLOOR_SESSION.to_owned(), self.0.clone())
    }
}

/// A backend that the floor was told of.
#[derive(Clone)]
struct Backend {
    pid: i32,
    word: SessionWord,
}

/// Its row is taken away when the session ends. One that stays behind speaks of a backend that has ended, and shows
/// nobody anything: another one of its number has another word.
pub(super) struct CallerRow {
    place: Arc<Place>,
    backend: Backend,
}

impl Drop for CallerRow {
    fn drop(&mut self) {
        // Without a runtime the whole agent ends, and the next one sweeps.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (place, gone) = (self.place.clone(), self.backend.gone());
        runtime.spawn(async move {
            if let Err(why) = place.callers.run(&place, &gone).await {
                tracing::debug!(%why, "the row of an ended session is left to the next sweep");
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
        word: SessionWord,
        caller: &Caller,
    ) -> Option<CallerRow> {
        place.target.floor.as_ref()?;
        let backend = Backend { pid, word };
        match place.callers.run(place, &backend.row(caller)).await {
            Ok(()) => Some(CallerRow { place: place.clone(), backend }),
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
            own: Vec::new(),
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
    /// What is said of its caller in the place of what a backend of its number left, in one transaction.
    fn row(&self, caller: &Caller) -> String {
        let Self { pid, word: SessionWord(word) } = self;
        let each = caller.attributes().iter();
        let (names, texts): (Vec<String>, Vec<String>) =
            each.map(|(name, value)| (literal(name), text(value))).unzip();
        format!(
            "delete from {FLOOR_SCHEMA}.{FLOOR_CALLERS} where pid = {pid}; \
             insert into {FLOOR_SCHEMA}.{FLOOR_CALLERS} (pid, session, said) values ({pid}, {}, \
             pg_catalog.jsonb_object(array[{}]::pg_catalog.text[], array[{}]::pg_catalog.text[]))",
            literal(word),
            names.join(", "),
            texts.join(", ")
        )
    }

    /// Takes it away.
    fn gone(&self) -> String {
        let Self { pid, word: SessionWord(word) } = self;
        format!(
            "delete from {FLOOR_SCHEMA}.{FLOOR_CALLERS} where pid = {pid} and session = {}",
            literal(word)
        )
    }
}

/// An attribute as the table holds it: the target's own text of it. The views know its type.
fn text(value: &Attribute) -> String {
    match value {
        Attribute::Bool(value) => literal(&value.to_string()),
        Attribute::Long(value) => literal(&value.to_string()),
        Attribute::Text(text) => literal(text),
        Attribute::Texts(texts) => {
            let each: Vec<String> = texts.iter().map(|text| literal(text)).collect();
            format!("array[{}]::pg_catalog.text[]::pg_catalog.text", each.join(", "))
        }
    }
}

/// A text in quotes. The login has turned `standard_conforming_strings` on, so that a backslash is one.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_becomes_a_row_whatever_is_said_of_him() {
        let backend = Backend { pid: 7, word: SessionWord("c0ffee".to_owned()) };
        let caller = [
            ("o'k".to_owned(), Attribute::Texts(["a\\'); drop table x; --".into(), "b".into()].into())),
            ("level".to_owned(), Attribute::Long(-3)),
            ("vip".to_owned(), Attribute::Bool(true)),
        ];
        let row = backend.row(&Caller::new(caller.into()).unwrap());
        assert_eq!(
            row,
            "delete from chaperone_floor.callers where pid = 7; \
             insert into chaperone_floor.callers (pid, session, said) values (7, 'c0ffee', \
             pg_catalog.jsonb_object(array['level', 'o''k', 'vip']::pg_catalog.text[], \
             array['-3', array['a\\''); drop table x; --', 'b']::pg_catalog.text[]::pg_catalog.text, \
             'true']::pg_catalog.text[]))"
        );
        // Nothing is said of him: nothing is left of whoever had the number before.
        assert_eq!(
            backend.row(&Caller::default()),
            "delete from chaperone_floor.callers where pid = 7; \
             insert into chaperone_floor.callers (pid, session, said) values (7, 'c0ffee', \
             pg_catalog.jsonb_object(array[]::pg_catalog.text[], array[]::pg_catalog.text[]))"
        );
        // What a session leaves is its own, and not of whoever has its number after it.
        assert_eq!(
            backend.gone(),
            "delete from chaperone_floor.callers where pid = 7 and session = 'c0ffee'"
        );
        assert_ne!(SessionWord::new().0, SessionWord::new().0);
    }
}
