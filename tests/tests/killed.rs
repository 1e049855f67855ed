//! A gateway that is killed with -9 while clients of every kind are at work: whatever row reached one of them is on record
//! after the next start, in an operation that has its intent, and the trail verifies.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's own set-up may fail it"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chaperone_tests::{AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, private_folder};
use serde_json::Value;

/// How long clients may take to get their first rows.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often the gateway is killed in each place.
const KILLS: usize = 2;

/// One client: who it is, what it runs, how often, and after how many bytes of rows it is under way.
struct Load {
    caller: Caller,
    statement: &'static str,
    times: usize,
    bytes: u64,
}

const LOADS: [Load; 4] = [
    // Short reads in other words than the client's.
    Load {
        caller: Caller { subject: "reads", groups: &["nurses"], client: None },
        statement: "select 1 from clinic.patients where patient_id = 5",
        times: 50_000,
        bytes: 200,
    },
    // Results of many rows.
    Load {
        caller: Caller { subject: "lists", groups: &["billing"], client: None },
        statement: "select claim_id, status from clinic.claims where claim_id <= 10000",
        times: 5_000,
        bytes: 200_000,
    },
    // One result without an end, of which only progress can speak.
    Load {
        caller: Caller { subject: "copies", groups: &["engineers"], client: None },
        statement: "copy (select n, repeat('x', 80) from generate_series(1, 200000000) n) to stdout",
        times: 1,
        bytes: 2_000_000,
    },
    // Writes that say what they wrote.
    Load {
        caller: Caller { subject: "writes", groups: &["engineers"], client: None },
        statement: "insert into clinic.written default values returning n",
        times: 50_000,
        bytes: 100,
    },
];

/// A client at work, with the file that its rows go to.
struct Client {
    child: Child,
    rows: PathBuf,
}

impl Client {
    fn start(load: &Load, boundary: &Boundary, folder: &Path, round: usize) -> Self {
        let url = boundary.credential(&load.caller).unwrap();
        let name = load.caller.subject;
        let (script, rows) =
            (folder.join(format!("{name}.sql")), folder.join(format!("{name}-{round}.rows")));
        std::fs::write(&script, format!("{};\n", load.statement).repeat(load.times)).unwrap();
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-A", "-t", "-d", &url, "-f"]).arg(script);
        psql.stdout(File::create(&rows).unwrap()).stderr(Stdio::null());
        Self { child: psql.spawn().unwrap(), rows }
    }

    /// Bytes that it has written.
    fn bytes(&self) -> u64 {
        self.rows.metadata().unwrap().len()
    }

    /// Whole lines that it has written: each is a row that it was given.
    fn got(&self) -> usize {
        std::fs::read(&self.rows).unwrap().iter().filter(|byte| **byte == b'\n').count()
    }
}

/// Rows on record, by subject; operations without an intent are none.
fn recorded(boundary: &Boundary) -> BTreeMap<String, u64> {
    let lines = boundary.cli(&["trail", "tail", "--lines", "100000000", "--json"]).unwrap();
    let mut subjects: HashMap<String, String> = HashMap::new();
    let mut rows: HashMap<(String, u64), u64> = HashMap::new();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    for line in lines.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let operation = || (text(&entry, "session"), entry["operation"].as_u64().unwrap());
        match entry["kind"].as_str().unwrap() {
            "session.opened" => {
                let subject = entry["delegation"]["subject"]["sub"].as_str().unwrap().to_owned();
                subjects.insert(text(&entry, "session"), subject);
            }
            "operation.intent" => {
                rows.insert(operation(), 0);
            }
            "operation.progress" | "operation.outcome" => {
                let known = rows.get_mut(&operation()).unwrap_or_else(|| panic!("no intent before {entry}"));
                *known = (*known).max(entry["rows"].as_u64().unwrap());
            }
            _ => {}
        }
    }
    let mut by_subject = BTreeMap::new();
    for ((session, _), rows) in rows {
        *by_subject.entry(subjects[&session].clone()).or_default() += rows;
    }
    by_subject
}

fn survives(place: AgentPlace) {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    cluster
        .sql(
            "create table clinic.written (n serial primary key); grant all on clinic.written to public; \
              grant all on sequence clinic.written_n_seq to public",
        )
        .unwrap();
    let mut boundary = Boundary::start(&home.path().join("chaperone"), &cluster, Layout::new(place)).unwrap();
    let mut got: BTreeMap<&str, u64> = BTreeMap::new();
    for round in 0..KILLS {
        let start = |load| Client::start(load, &boundary, home.path(), round);
        let mut clients: Vec<Client> = LOADS.iter().map(start).collect();
        let begun = Instant::now();
        while LOADS.iter().zip(&clients).any(|(load, client)| client.bytes() < load.bytes) {
            for (load, client) in LOADS.iter().zip(&mut clients) {
                let ended = client.child.try_wait().unwrap();
                assert!(ended.is_none(), "{place:?}: `{}` ended early", load.caller.subject);
            }
            assert!(begun.elapsed() < PATIENCE, "{place:?}: not every client got its rows");
            std::thread::sleep(Duration::from_millis(7));
        }
        boundary.gateway().kill().unwrap();
        for (load, client) in LOADS.iter().zip(&mut clients) {
            client.child.wait().unwrap();
            *got.entry(load.caller.subject).or_default() += client.got() as u64;
        }
        boundary.restart_gateway().unwrap();
        let recorded = recorded(&boundary);
        for (subject, got) in &got {
            let on_record = recorded.get(*subject).copied().unwrap_or_default();
            assert!(*got <= on_record, "{place:?}: `{subject}` got {got} rows, {on_record} are on record");
        }
        let report = boundary.cli_json(&["trail", "verify"]).unwrap();
        assert_eq!(report["findings"], Value::Array(Vec::new()), "{place:?}, kill {round}");
    }
    let states: BTreeSet<String> = boundary
        .cli_json(&["sessions", "--limit", "100"])
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|session| session["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, BTreeSet::from(["lost".to_owned()]), "{place:?}: recovery closed them");
    // What agents counted over all of this agrees with it as well, to the end.
    boundary.gateway().stop().unwrap();
    let report = boundary.cli_json(&["trail", "verify"]).unwrap();
    assert_eq!(
        (&report["findings"], &report["uncounted"]),
        (&Value::Array(Vec::new()), &0.into()),
        "{place:?}"
    );
    assert!(report["totals"].as_u64().unwrap() > 0, "{place:?}: {report}");
}

#[test]
fn no_row_is_off_the_record_with_the_agent_in_the_process() {
    survives(AgentPlace::InProcess);
}

#[test]
fn no_row_is_off_the_record_with_an_agent_of_its_own() {
    survives(AgentPlace::Separate);
}
