//! Many people at once: whose each statement is and for which call, held against the database's own log; what the gateway keeps
//! for them; and what is said to one more than there is room for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use chaperone_tests::{AgentPlace, LOGIN};
use serde_json::{Value, json};

use super::asked::Asked;
use super::{Place, SERVER, us};
use crate::bench::measure::{median, status_kib};
use crate::failure::Failure;

const SUBJECTS: usize = 50;
/// Calls of each subject that are under way at a time.
const AT_A_TIME: usize = 2;
/// Calls, one after the other, of each of those.
const CALLS: usize = 10;
/// Statements of each call.
const STATEMENTS: usize = 2;
/// Seconds for which every run is kept busy while one more is asked for.
const BUSY_S: u32 = 6;

fn named(subject: usize) -> String {
    format!("clerk{subject:02}")
}

/// What a call's statements bear.
fn mark(subject: usize, turn: usize, n: usize) -> String {
    format!("mark-{}-{turn}-{n}", named(subject))
}

/// Measure them.
///
/// # Errors
/// A call is not answered, or a program fails.
pub(super) fn measure(home: &Path) -> Result<Value, Failure> {
    let mut place = Place::start(home, AgentPlace::InProcess, SUBJECTS * AT_A_TIME)?;
    let log = home.join("postgres/postgres.log");
    for statement in [
        &*format!("alter role {LOGIN} set log_statement = 'all'"),
        "alter system set log_line_prefix = '%m [%p] app=%a: '",
        "select pg_reload_conf()",
    ] {
        place.cluster.sql(statement)?;
    }
    let tokens: Vec<String> = (0..SUBJECTS).map(|n| place.token(&named(n))).collect::<Result<_, _>>()?;
    let before = status_kib(place.boundary.gateway().id(), "VmRSS:")?;
    let begun = Instant::now();
    let took = all(&place, &tokens, |asked, subject, turn| {
        let mut took = Vec::new();
        for n in 0..CALLS {
            let mark = mark(subject, turn, n);
            let statement =
                format!("select '{mark}' as mark, count(*) from clinic.claims where claim_id = {n}");
            let sql = vec![statement; STATEMENTS].join("; ");
            let (text, time) = asked.answered("ask", &json!({"sql": sql}))?;
            if text.matches(&*mark).count() != STATEMENTS {
                return Err(Failure::new(format!("a call of {mark} was told `{text}`")));
            }
            took.push(us(time));
        }
        Ok(took)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let highest = status_kib(place.boundary.gateway().id(), "VmHWM:")?;
    let (refused, told) = one_more(&place, &tokens)?;
    let text = std::fs::read_to_string(&log).map_err(super::failed("read the database's log"))?;
    let attributed = attributed(&place.boundary.entries()?, &text)?;
    let calls = SUBJECTS * AT_A_TIME * CALLS;
    eprintln!("tools      {calls} calls of {SUBJECTS} people, {attributed} attributed; one more: {told}");
    Ok(json!({
        "subjects": SUBJECTS, "at_a_time": AT_A_TIME, "calls": calls, "attributed": attributed,
        "seconds": seconds, "call_us_median": median(&took), "gateway_kib_before": before,
        "gateway_kib_highest": highest, "one_more_is_refused_busy": refused, "one_more_is_told": told,
    }))
}

/// One turn of every subject, all at once.
fn all(
    place: &Place,
    tokens: &[String],
    turn: impl Fn(&mut dyn Asked, usize, usize) -> Result<Vec<f64>, Failure> + Sync,
) -> Result<Vec<f64>, Failure> {
    let turn = &turn;
    let mut took = Vec::new();
    let results: Vec<Result<Vec<f64>, Failure>> = std::thread::scope(|scope| {
        let mut running = Vec::new();
        for (subject, token) in tokens.iter().enumerate() {
            for n in 0..AT_A_TIME {
                running.push(scope.spawn(move || turn(&mut place.at(SERVER, token)?, subject, n)));
            }
        }
        let gone = || Err(Failure::new("a caller ended"));
        running.into_iter().map(|caller| caller.join().unwrap_or_else(|_| gone())).collect()
    });
    for result in results {
        took.extend(result?);
    }
    Ok(took)
}

/// While every run carries a call, one more subject asks: whether he is told that it is busy, and what.
fn one_more(place: &Place, tokens: &[String]) -> Result<(bool, String), Failure> {
    let token = place.token(&named(SUBJECTS))?;
    let told = std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            all(place, tokens, |asked, _, _| {
                asked.answered("waits", &json!({"seconds": BUSY_S})).map(|(_, time)| vec![us(time)])
            })
        });
        std::thread::sleep(Duration::from_secs(u64::from(BUSY_S / 2)));
        let told = place.at(SERVER, &token)?.call("echo", &json!({}));
        busy.join().unwrap_or_else(|_| Err(Failure::new("the callers ended")))?;
        told
    })?;
    Ok((told.0.contains("code: busy"), told.0))
}

fn text<'a>(entry: &'a Value, pointer: &str) -> &'a str {
    entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The marks of the database's log by session, in the order in which it ran their statements.
fn logged(log: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("LOG:")) {
        let Some((_, said)) = line.split_once(" app=") else { continue };
        let session = said.split(':').nth(1).unwrap_or_default();
        for mark in said.split('\'').filter(|word| word.starts_with("mark-")) {
            found.entry(session).or_default().push(mark);
        }
    }
    found
}

/// How many calls have all of their statements on record, and nobody else's: by the database's own log.
fn attributed(entries: &[Value], log: &str) -> Result<usize, Failure> {
    let of = |kind: &'static str| entries.iter().filter(move |entry| text(entry, "/kind") == kind);
    let subjects: BTreeMap<&str, &str> = of("session.opened")
        .map(|entry| (text(entry, "/session"), text(entry, "/delegation/subject/sub")))
        .collect();
    let callers: BTreeMap<&str, &str> = of("toolcall.started")
        .map(|entry| (text(entry, "/call"), text(entry, "/delegation/subject/sub")))
        .collect();
    let mut recorded: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let reads = |entry: &&Value| {
        let touches = entry.pointer("/touches").and_then(Value::as_array);
        touches.is_some_and(|all| all.iter().any(|touch| text(touch, "/relation") == "clinic.claims"))
    };
    for entry in of("operation.intent").filter(reads) {
        recorded.entry(text(entry, "/session")).or_default().push(text(entry, "/call"));
    }
    let mut calls: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (session, marks) in logged(log) {
        let known = recorded.get(session).map(Vec::as_slice).unwrap_or_default();
        if known.len() != marks.len() {
            return Err(Failure::new(format!("{} of {} statements are on record", known.len(), marks.len())));
        }
        for (mark, call) in marks.iter().copied().zip(known.iter().copied()) {
            let whose = mark.split('-').nth(1).unwrap_or_default();
            if subjects.get(session) != Some(&whose) || callers.get(call) != Some(&whose) {
                return Err(Failure::new(format!("{mark} is on record as another's")));
            }
            calls.entry(call).or_default().push(mark);
        }
    }
    let whole =
        |marks: &&Vec<&str>| marks.len() == STATEMENTS && marks.iter().collect::<BTreeSet<_>>().len() == 1;
    let marks: BTreeSet<&str> =
        calls.values().filter(whole).filter_map(|marks| marks.first().copied()).collect();
    Ok(marks.len())
}
