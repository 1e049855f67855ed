//! Managing a gateway from the command line: sessions, locks, services and people, as an administrator does.

#![allow(clippy::unwrap_used, reason = "a test's own set-up may fail it")]

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chaperone_tests::{AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, private_folder};
use serde_json::Value;
use tempfile::TempDir;

const ANA: Caller = Caller { subject: "ana", groups: &["nurses"], client: None };

struct Installation {
    boundary: Boundary,
    _cluster: Cluster,
    _home: TempDir,
}

fn installation(change: impl FnOnce(&mut Layout)) -> Installation {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let mut layout = Layout::new(AgentPlace::InProcess);
    change(&mut layout);
    let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
    Installation { boundary, _cluster: cluster, _home: home }
}

/// A session of ana's that stays open, and its id.
fn open(it: &Installation) -> (Child, String) {
    let url = it.boundary.credential(&ANA).unwrap();
    let mut client = Command::new("psql")
        .args(["-X", "-q", "-d", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(client.stdin.as_mut().unwrap(), "select 1;").unwrap();
    let begun = Instant::now();
    loop {
        let live = it.boundary.cli_json(&["sessions", "--live"]).unwrap();
        if let [only] = live.as_array().unwrap().as_slice() {
            return (client, only["session"].as_str().unwrap().to_owned());
        }
        assert!(begun.elapsed().as_secs() < 10, "{live}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn until_none_is_open(it: &Installation) {
    let begun = Instant::now();
    loop {
        let live = it.boundary.cli_json(&["sessions", "--live"]).unwrap();
        if live.as_array().unwrap().is_empty() {
            return;
        }
        assert!(begun.elapsed().as_secs() < 10, "{live}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn refusal(it: &Installation, words: &[&str]) -> String {
    it.boundary.cli(words).unwrap_err().to_string()
}

#[test]
fn sessions_are_killed_and_subjects_locked_by_words() {
    let it = installation(|_| {});
    let (mut client, session) = open(&it);
    let without = refusal(&it, &["session", "kill", &session]);
    assert!(without.contains("--reason"), "{without}");
    let ended = it.boundary.cli_json(&["session", "kill", &session, "--reason", "a drill"]).unwrap();
    assert_eq!(ended["subject"], "dev/ana");
    until_none_is_open(&it);
    drop(client.kill());
    client.wait().unwrap();
    let again = refusal(&it, &["session", "kill", &session, "--reason", "a drill"]);
    assert!(again.contains("hint: "), "{again}");

    let (mut client, _) = open(&it);
    let lock = it.boundary.cli_json(&["lock", "subject", "dev/ana", "--reason", "a drill"]).unwrap();
    until_none_is_open(&it);
    drop(client.kill());
    client.wait().unwrap();
    let listed = it.boundary.cli_json(&["lock", "list"]).unwrap();
    assert_eq!(listed, Value::Array(vec![lock.clone()]));
    let table = it.boundary.cli(&["lock", "list"]).unwrap();
    assert!(table.contains("dev/ana") && table.contains("local/administrator"), "{table}");
    let id = lock["lock"].as_str().unwrap();
    it.boundary.cli(&["lock", "lift", id]).unwrap();
    assert!(refusal(&it, &["lock", "lift", id]).contains("chaperone lock list"));
    let unknown = refusal(&it, &["lock", "target", "no_such_target", "--reason", "a drill"]);
    assert!(unknown.contains("chaperone targets"), "{unknown}");
    let (mut client, _) = open(&it);
    drop(client.kill());
    client.wait().unwrap();
}

#[test]
fn services_and_people_are_managed_by_words() {
    let it = installation(|_| {});
    let words = ["service", "create", "etl", "--owner", "org/olga", "--ttl", "90d"];
    let nobody = refusal(&it, &words);
    assert!(nobody.contains("cannot own a service") && nobody.contains("hint: "), "{nobody}");
    let too_long = refusal(&it, &["service", "create", "etl", "--owner", "org/olga", "--ttl", "400d"]);
    assert!(too_long.contains("366d"), "{too_long}");
    let nameless = refusal(&it, &["people", "disable", "olga", "--reason", "left"]);
    assert!(nameless.contains("issuer/subject"), "{nameless}");
    for list in [["service", "list"], ["people", "list"], ["people", "logins"], ["lock", "list"]] {
        assert_eq!(it.boundary.cli_json(&list).unwrap(), Value::Array(Vec::new()), "{list:?}");
    }
    let nowhere = Command::new(it.boundary.program())
        .args(["sessions", "--gateway", "https://gateway.example:6480"])
        .env_remove("CHAPERONE_CONFIG")
        .env("XDG_STATE_HOME", it.boundary.config().parent().unwrap())
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(!nowhere.status.success() && said.contains("chaperone login --gateway"), "{said}");
}

#[test]
fn the_description_is_printed_and_health_needs_no_token() {
    let it = installation(|_| {});
    let described: Value = serde_json::from_str(&it.boundary.cli(&["api", "describe"]).unwrap()).unwrap();
    assert_eq!(described["openapi"], "3.1.0");
    for (path, status) in
        [("/health", "200"), ("/ready", "200"), ("/metrics", "200"), ("/api/v1/agents", "401")]
    {
        assert_eq!(it.boundary.status(path).as_deref(), Some(status), "{path}");
    }
}
