//! Policies from outside: the demonstration's own promises, and sets that come into force under open sessions.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own set-up may fail it")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Failure, Fsync, Layout, capture, private_folder, root,
};
use rustix::process::Signal;

const NURSE: Caller = Caller { subject: "ana", groups: &["nurses"], client: None };
/// How soon an open session follows a new set.
const FOLLOWED: Duration = Duration::from_secs(5);

fn policy(words: &[&str]) -> Result<String, Failure> {
    let program = Layout::new(AgentPlace::InProcess).program;
    capture(Command::new(program).current_dir(root()).arg("policy").args(words))
}

#[test]
fn the_demonstrations_policies_hold_what_they_promise() {
    let classified = ["--classification", "clinic=demo/classification/clinic.toml"];
    let with = |words: &[&str]| policy(&[words, classified.as_slice()].concat());
    with(&["check", "demo/policy"]).unwrap();
    with(&["test", "demo/policy"]).unwrap();
    let again =
        format!("chaperone policy matrix demo/policy {} > demo/policy/matrix.txt", classified.join(" "));
    let matrix = with(&["matrix", "demo/policy", "--check", "demo/policy/matrix.txt"]);
    matrix.unwrap_or_else(|why| panic!("{why}\nreview the difference, then: {again}"));
}

/// A psql that stays connected and says everything into a file.
struct Session {
    psql: Child,
    log: PathBuf,
    asked: usize,
}

impl Session {
    fn open(url: &str, log: &Path) -> Self {
        let out = File::create(log).unwrap();
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "VERBOSITY=verbose", "-d", url]);
        command.stdin(Stdio::piped()).stderr(out.try_clone().unwrap()).stdout(out);
        Self { psql: command.spawn().unwrap(), log: log.to_owned(), asked: 0 }
    }

    /// What psql says to a statement.
    fn ask(&mut self, statement: &str) -> String {
        self.asked += 1;
        let (before, mark) = (format!("before-{}-", self.asked), format!("after-{}-", self.asked));
        let stdin = self.psql.stdin.as_mut().unwrap();
        writeln!(stdin, "\\echo {before}\n{statement};\n\\echo {mark}").unwrap();
        stdin.flush().unwrap();
        let begun = Instant::now();
        loop {
            let said = fs::read_to_string(&self.log).unwrap();
            if let Some((_, said)) = said.split_once(&before)
                && let Some((said, _)) = said.split_once(&mark)
            {
                return said.trim().to_owned();
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "psql did not answer: {said}");
            assert!(self.psql.try_wait().unwrap().is_none(), "psql ended: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn until(&mut self, statement: &str, wanted: impl Fn(&str) -> bool) -> Duration {
        let begun = Instant::now();
        loop {
            let said = self.ask(statement);
            if wanted(&said) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < FOLLOWED, "still: {said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.psql.kill());
        drop(self.psql.wait());
    }
}

#[test]
fn open_sessions_follow_a_new_set_and_a_bad_one_changes_nothing() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let place = home.path().join("chaperone");
    let mut boundary = Boundary::start(&place, &cluster, Layout::new(AgentPlace::InProcess)).unwrap();
    let file = place.join("policy/clinic.cedar");
    let demo = fs::read_to_string(&file).unwrap();
    let first = digests(&boundary);
    let [first] = first.as_slice() else { panic!("{first:?}") };

    let ask = "select count(*) from clinic.patients";
    let mut session = Session::open(&boundary.credential(&NURSE).unwrap(), &home.path().join("psql.log"));
    let pid = session.ask("select pg_backend_pid()");
    assert_eq!(session.ask(ask), "20000");

    // A set that takes patients away from nurses, by a signal: the session goes on without them.
    fs::write(&file, demo.replace("Relation::\"clinic/clinic.patients\", ", "")).unwrap();
    boundary.gateway().signal(Signal::HUP).unwrap();
    session.until(ask, |said| said.contains("42501"));
    assert_eq!(session.ask("select count(*) > 0 from clinic.medications"), "t");
    assert_eq!(session.ask("select pg_backend_pid()"), pid);

    // A set with an error, over the API: it is refused with its place, and nothing has changed.
    fs::write(
        &file,
        format!("{demo}\nforbid (principal, action, resource == Relation::\"clinic/clinic.patiens\");\n"),
    )
    .unwrap();
    let refused = boundary.cli(&["policy", "reload"]).unwrap_err().to_string();
    assert!(refused.contains("clinic.cedar:") && refused.contains("patiens"), "{refused}");
    assert!(session.ask(ask).contains("42501"));
    assert_eq!(digests(&boundary).len(), 2);

    // The first set again.
    fs::write(&file, &demo).unwrap();
    let loaded = boundary.cli_json(&["policy", "reload"]).unwrap();
    assert_eq!(loaded.pointer("/digest").and_then(serde_json::Value::as_str), Some(first.as_str()));
    session.until(ask, |said| said == "20000");

    // Without `connect` the session ends by itself.
    fs::write(
        &file,
        demo.replacen(
            "permit (\n  principal in Group::\"dev/nurses\",\n  action == Action::\"connect\"",
            "permit (\n  principal in Group::\"dev/nobody\",\n  action == Action::\"connect\"",
            1,
        ),
    )
    .unwrap();
    boundary.cli(&["policy", "reload"]).unwrap();
    let begun = Instant::now();
    let live = |boundary: &Boundary| boundary.cli_json(&["sessions", "--live"]).unwrap();
    while live(&boundary).as_array().is_none_or(|live| !live.is_empty()) {
        assert!(begun.elapsed() < FOLLOWED, "{}", live(&boundary));
        std::thread::sleep(Duration::from_millis(100));
    }

    // Every load is on record; each set that was in force can be had again by its digest, and compared.
    boundary.cli(&["trail", "verify"]).unwrap();
    let record = boundary.cli(&["trail", "tail", "--lines", "1000"]).unwrap();
    assert_eq!(
        record.matches("\"kind\":\"policy.loaded\"").count(),
        4,
        "start, signal, twice over the API: {record}"
    );
    assert_eq!(record.matches("\"kind\":\"policy.refused\"").count(), 1);
    assert!(boundary.cli(&["policy", "show", first]).unwrap().contains(demo.trim_end()));
    let second = digests(&boundary).into_iter().find(|digest| digest != first).unwrap();
    let difference = boundary.cli(&["policy", "diff", first, &second]).unwrap();
    assert!(difference.contains("group dev/nurses loses"), "{difference}");
}

fn digests(boundary: &Boundary) -> Vec<String> {
    let sets = boundary.cli_json(&["policy", "list"]).unwrap();
    let digest = |set: &serde_json::Value| Some(set.get("digest")?.as_str()?.to_owned());
    sets.as_array().unwrap().iter().filter_map(digest).collect()
}

#[test]
fn a_statement_is_explained_against_the_running_gateways_catalog() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let place = home.path().join("chaperone");
    let boundary = Boundary::start(&place, &cluster, Layout::new(AgentPlace::InProcess)).unwrap();
    let explain = |sql: &str| {
        let words = ["policy", "explain", "--as", "dev/ben", "--group", "billing", "--sql", sql];
        boundary.cli_json(&words).unwrap()
    };
    let explained =
        explain("select c.claim_id from clinic.claims c join clinic.encounters e using (encounter_id)");
    let text =
        |pointer: &str| explained.pointer(pointer).and_then(serde_json::Value::as_str).map(str::to_owned);
    assert_eq!(text("/statement/ruling").as_deref(), Some("refuse"), "{explained}");
    let needs = explained.pointer("/statement/needs").unwrap().to_string();
    assert!(needs.contains("billing-read") && needs.contains("clinic/clinic.encounters"), "{needs}");
    assert!(explained.pointer("/statement/groups").unwrap().to_string().contains("dev/engineers"));
    let allowed = explain("select count(*) from clinic.claims");
    assert_eq!(allowed.pointer("/statement/ruling").and_then(serde_json::Value::as_str), Some("allow"));

    // A misspelt relation is found with the catalog, and the same set is taken without it.
    let file = place.join("policy/clinic.cedar");
    let demo = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        format!("{demo}\nforbid (principal, action, resource == Relation::\"clinic/clinic.patiens\");\n"),
    )
    .unwrap();
    let checked = boundary.cli(&["policy", "check"]).unwrap_err().to_string();
    assert!(checked.contains("patiens"), "{checked}");
    boundary.cli(&["policy", "check", "--offline"]).unwrap();
}

#[test]
fn the_database_is_shown_as_somebody_sees_it_and_a_statement_as_it_is_sent() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let place = home.path().join("chaperone");
    let layout = Layout {
        classification: Some(root().join("demo/classification/clinic.toml")),
        ..Layout::new(AgentPlace::InProcess)
    };
    let boundary = Boundary::start(&place, &cluster, layout).unwrap();
    let explain = |client: &[&str]| {
        let sql = "select family_name, ssn from clinic.patients where phone is null";
        let words = ["policy", "explain", "--as", "dev/ben", "--group", "billing", "--sql", sql];
        boundary.cli_json(&[&words, client].concat()).unwrap()
    };
    let columns = |explained: &serde_json::Value, pointer: &str| -> Vec<String> {
        let columns = explained.pointer(pointer).unwrap().as_array().unwrap().iter();
        let name = |column: &serde_json::Value| column.get("name").or(column.get("column")).cloned();
        columns
            .map(|column| format!("{} {}", name(column).unwrap(), column["showing"]).replace('"', ""))
            .collect()
    };
    let (clerk, client) = (explain(&[]), explain(&["--client", "claude"]));
    let used = "/statement/columns";
    assert_eq!(columns(&clerk, used), ["family_name revealed", "phone hidden", "ssn masked"], "{clerk}");
    assert_eq!(columns(&client, used), ["family_name masked", "phone hidden", "ssn masked"], "{client}");
    let sent = clerk.pointer("/statement/sent").unwrap().to_string();
    assert!(sent.contains("NULL::pg_catalog.text AS phone") && !sent.contains("t.phone"), "{sent}");
    // Relation by relation, what is not asked about too.
    let relations = clerk["relations"].as_array().unwrap();
    let patients = relations.iter().find(|seen| seen["relation"] == "clinic.patients").unwrap();
    let all = columns(patients, "/columns");
    assert!(
        all.contains(&"member_id revealed".to_owned()) && all.contains(&"sex hidden".to_owned()),
        "{all:?}"
    );
    assert_eq!(patients.pointer("/rows/all"), Some(&serde_json::Value::Bool(true)));

    // A policy that takes names away reaches the open session.
    let mut session = Session::open(
        &boundary.credential(&Caller { subject: "ben", groups: &["billing"], client: None }).unwrap(),
        &home.path().join("psql.log"),
    );
    let ask = "select family_name from clinic.patients where patient_id = 17";
    let name = session.ask(ask);
    assert!(name.len() > 4 && !name.contains('*'), "{name}");
    let file = place.join("policy/clinic.cedar");
    let forbid = "@id(\"no-names\") forbid (principal in Group::\"dev/billing\", action == Action::\"reveal\", resource in Tag::\"phi.name\");";
    fs::write(&file, format!("{}\n{forbid}\n", fs::read_to_string(&file).unwrap())).unwrap();
    boundary.cli(&["policy", "reload"]).unwrap();
    session.until(ask, |said| said.ends_with("***") && said.len() == 4);

    // A tag that nobody declares bites nobody, and is not loaded.
    let wrong = forbid.replace("phi.name", "phi.nmae").replace("no-names", "no-nmaes");
    fs::write(&file, format!("{}\n{wrong}\n", fs::read_to_string(&file).unwrap())).unwrap();
    assert!(boundary.cli(&["policy", "reload"]).unwrap_err().to_string().contains("phi.nmae"));
}
