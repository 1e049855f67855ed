//! Two people through the same server at the same time: whose each statement is, and which call's, held against the
//! database's own log, by the application's name there, the process, and a mark in the statement or in its parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Child;

use serde_json::{Value, json};

use crate::place::{ALCHEMY, HUB, Place, came, reads_the_clinic, text};

const CALLS: usize = 200;
const PEOPLE: [&str; 2] = ["ana", "nora"];

/// What a call is told and how many statements of it bear its mark.
struct Load {
    server: &'static str,
    tool: &'static str,
    arguments: fn(&str, usize) -> Value,
    marks: usize,
}

/// One statement or more in one call, with marks in their text.
const TEXT: Load = Load {
    server: HUB,
    tool: "execute_sql",
    arguments: |who, n| {
        let id = n + 1;
        json!({"sql": format!(
            "select 'mark-{who}-{n}-a' as mark, patient_id, ssn from clinic.patients where patient_id = {id}; \
             select 'mark-{who}-{n}-b' as mark, count(*) from clinic.encounters where patient_id = {id}; \
             select 'mark-{who}-{n}-c' as mark, given_name from clinic.patients where patient_id = {id}"
        )})
    },
    marks: 3,
};

/// The same statement each time, which the driver prepares at some time and then no more: the mark is a parameter.
const PREPARED: Load = Load {
    server: ALCHEMY,
    tool: "execute_query",
    arguments: |who, n| {
        json!({
            "query": "select cast(:mark as text) as mark, patient_id, given_name, ssn \
                      from clinic.patients where patient_id = :id",
            "params": {"mark": format!("mark-{who}-{n}-a"), "id": n + 1},
        })
    },
    marks: 1,
};

/// A marked statement of the database's log.
#[derive(Debug)]
struct Logged {
    pid: u64,
    /// Its session, as the application's name has it.
    session: String,
    mark: String,
}

/// Every mark, in the order in which the database ran its statement.
fn logged(log: &str) -> Vec<Logged> {
    let mut found = Vec::new();
    for line in log.lines().filter(|line| line.contains("LOG:") || line.contains("DETAIL:")) {
        let (head, said) = line.split_once(" app=").unwrap_or((line, ""));
        for mark in said.split("'mark-").skip(1) {
            let pid = head.rsplit_once('[').and_then(|(_, rest)| rest.split_once(']')).unwrap().0;
            let session = said.split(':').nth(1).unwrap();
            let mark = mark.split('\'').next().unwrap();
            found.push(Logged {
                pid: pid.parse().unwrap(),
                session: session.to_owned(),
                mark: mark.to_owned(),
            });
        }
    }
    found
}

/// What is on record, in the order in which it was written.
struct Recorded {
    entries: Vec<Value>,
}

impl Recorded {
    fn of(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.entries.iter().filter(move |entry| entry["kind"] == kind)
    }

    fn subject(entry: &Value) -> String {
        text(&entry["delegation"]["subject"], "sub").to_owned()
    }

    /// The sessions of a server's runs, with whose they are.
    fn sessions(&self, server: &str) -> BTreeMap<&str, String> {
        let runs: BTreeMap<&str, String> = self
            .of("server.started")
            .filter(|entry| entry["server"] == server)
            .map(|entry| (text(entry, "credential"), Self::subject(entry)))
            .collect();
        let sessions = self.of("session.opened").filter(|entry| runs.contains_key(text(entry, "credential")));
        sessions
            .map(|entry| {
                assert_eq!(runs[text(entry, "credential")], Self::subject(entry));
                assert_eq!(entry["delegation"]["attribution"], "leased");
                (text(entry, "session"), Self::subject(entry))
            })
            .collect()
    }

    /// The calls of each of a server's callers, in their order; how often one began after another's.
    fn calls(&self, load: &Load) -> (BTreeMap<String, Vec<&str>>, usize) {
        let (mut calls, mut turns, mut last) = (BTreeMap::<String, Vec<&str>>::new(), 0, String::new());
        for entry in self.of("toolcall.started").filter(|entry| entry["target"] == load.server) {
            assert_eq!(entry["tool"], load.tool);
            let who = Self::subject(entry);
            turns += usize::from(last != who);
            last.clone_from(&who);
            calls.entry(who).or_default().push(text(entry, "call"));
        }
        (calls, turns)
    }
}

/// Hold the record against the log: every marked statement, once, under the right subject and call.
fn compare(load: &Load, recorded: &Recorded, logged: &[Logged]) {
    let sessions = recorded.sessions(load.server);
    let (calls, turns) = recorded.calls(load);
    assert!(PEOPLE.iter().all(|who| calls[*who].len() == CALLS), "{calls:?}");
    assert!(turns > CALLS / 4, "they did not call at the same time: {turns}");
    let backends: BTreeMap<&str, u64> = recorded
        .of("session.joined")
        .map(|entry| (text(entry, "session"), entry["backend"]["pid"].as_u64().unwrap()))
        .collect();
    let mut touching: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in recorded.of("operation.intent") {
        let session = text(entry, "session");
        if sessions.contains_key(session) && reads_the_clinic(entry) {
            assert!(entry["call"].is_string(), "read for nobody's call: {entry}");
            touching.entry(session).or_default().push(text(entry, "call"));
        }
    }
    let mut ran: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in logged {
        assert_eq!(backends[one.session.as_str()], one.pid, "{one:?} is another's process");
        ran.entry(one.session.as_str()).or_default().push(one.mark.as_str());
    }
    assert_eq!(touching.keys().collect::<Vec<_>>(), ran.keys().collect::<Vec<_>>());
    let mut seen = BTreeSet::new();
    for (session, marks) in &ran {
        assert_eq!(marks.len(), touching[session].len(), "a statement is missing or one too many");
        for (mark, call) in marks.iter().zip(&touching[session]) {
            let [who, n, _] = mark.split('-').collect::<Vec<_>>()[..] else { panic!("{mark}") };
            assert_eq!(sessions[session], who, "{mark} ran in another's session");
            let wanted = calls[who][n.parse::<usize>().unwrap()];
            assert_eq!(wanted, *call, "{mark} is on record for another call");
            assert!(seen.insert(*mark), "{mark} twice");
        }
    }
    assert_eq!(seen.len(), PEOPLE.len() * CALLS * load.marks);
}

/// Let both call as fast as they can, and look at what came to whom.
fn both(load: &Load) -> Place {
    let place = Place::new("");
    place.cluster.sql("alter role chaperone set log_statement = 'all'").unwrap();
    place.cluster.sql("alter system set log_line_prefix = '%m [%p] app=%a: '").unwrap();
    place.cluster.sql("select pg_reload_conf()").unwrap();
    let calls = |who: &str| -> Value {
        let call = |n| json!({"tool": load.tool, "arguments": (load.arguments)(who, n)});
        Value::Array((0..CALLS).map(call).collect())
    };
    let running: Vec<Child> = PEOPLE.iter().map(|who| place.client(who, load.server, &calls(who))).collect();
    for (who, child) in PEOPLE.iter().zip(running) {
        let came = came(child);
        let results = came["results"].as_array().unwrap();
        assert_eq!(results.len(), CALLS);
        for (n, result) in results.iter().enumerate() {
            let said = text(result, "text");
            assert!(result["error"] == false && said.contains(&format!("mark-{who}-{n}-a")), "{said}");
            assert!(said.contains("***"), "a mask is no value: {said}");
        }
    }
    let log = std::fs::read_to_string(place.home.path().join("postgres/postgres.log")).unwrap();
    compare(load, &Recorded { entries: place.entries() }, &logged(&log));
    place.boundary.cli(&["trail", "verify"]).unwrap();
    place
}

#[test]
fn several_statements_in_each_call_are_all_its_own() {
    both(&TEXT);
}

#[test]
fn a_statement_that_was_prepared_in_one_call_is_the_next_ones_when_it_runs_there() {
    let place = both(&PREPARED);
    // The driver prepared it, and ran it again and again: the database saw it named.
    let log = std::fs::read_to_string(place.home.path().join("postgres/postgres.log")).unwrap();
    let named = |line: &&str| line.contains("execute ") && !line.contains("execute <unnamed>");
    let again = log.lines().filter(named).filter(|line| line.contains("clinic")).count();
    assert!(again > CALLS, "{again}");
}
