//! What whoever runs a gateway sees of it: metrics, logs, and what `config check` says before it is started. None of it says
//! anything of a patient, or a secret.

#![allow(clippy::unwrap_used, reason = "a test's own set-up may fail it")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use chaperone_tests::{AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, private_folder, root};
use serde_json::Value;
use tempfile::TempDir;

const NURSE: Caller = Caller { subject: "ana", groups: &["nurses"], client: Some("claude") };
const ENGINEER: Caller = Caller { subject: "dora", groups: &["engineers"], client: None };

struct Installation {
    boundary: Boundary,
    cluster: Cluster,
    home: TempDir,
}

impl Installation {
    fn new(agent: AgentPlace) -> Self {
        let home = private_folder("test").unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, Layout::new(agent)).unwrap();
        Self { boundary, cluster, home }
    }

    /// The body of an answer to a GET.
    fn get(&self, path: &str) -> String {
        let address = self.boundary.api_url().replace("http://", "");
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

/// What no page and no log may repeat: each is in what somebody says below.
const SAID: [&str; 7] =
    ["Quixwort", "Zyzzogeton", "Blatherskite", "Ornithorhynk", "Whifflepoof", "Gobbledigook", "Flibbertix"];

/// Say all of it: in statements that run, fail and are refused, as values, names and passwords.
fn say_it_all(it: &Installation) {
    let [text, value, unknown, application, user, password, detail] = SAID;
    it.cluster
        .sql("create table clinic.seen (name text primary key); grant all on clinic.seen to public")
        .unwrap();
    let nurse = it.boundary.credential(&NURSE).unwrap();
    let engineer = it.boundary.credential(&ENGINEER).unwrap();
    let ask = |url: &str, statement: &str| {
        let mut psql = Command::new("psql");
        psql.args(["-XAtq", "-d", url, "-c", statement]);
        psql.stdin(Stdio::null()).output().unwrap().status.success()
    };
    assert!(ask(&nurse, &format!("select 1 from clinic.patients where family_name = '{text}'")));
    assert!(!ask(&nurse, &format!("select * from clinic.claims where status = '{text}'")));
    assert!(!ask(&nurse, &format!("select '{text}'::int from clinic.patients")));
    assert!(!ask(&engineer, &format!("select * from {unknown}")));
    assert!(!ask(&engineer, &format!("selekt '{text}'")));
    // The database itself says the value in its error's detail.
    let twice = format!("insert into clinic.seen values ('{detail}'), ('{detail}')");
    assert!(!ask(&engineer, &twice));
    assert!(!ask(&engineer, &format!("do $$ begin raise exception '{detail}'; end $$")));
    assert!(ask(&format!("{engineer}&application_name={application}"), "select 1"));
    let (_, rest) = engineer.split_once('@').unwrap();
    assert!(!ask(&format!("postgresql://{user}:{password}@{rest}"), "select 1"));
    let mut bound = Command::new("psql");
    bound.args(["-XAtq", "-d", &engineer, "-c", "prepare p(text) as select $1", "-c"]);
    bound.arg(format!("execute p('{value}')")).stdin(Stdio::null());
    assert!(bound.output().unwrap().status.success());
}

/// Metrics as the reference describes them: name and kind.
fn described() -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(root().join("docs/reference/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap().to_owned())).collect()
}

#[test]
fn metrics_are_those_that_are_described_and_say_nothing_about_anybody() {
    let it = Installation::new(AgentPlace::Separate);
    say_it_all(&it);
    let page = it.get("/metrics");
    let (mut kinds, mut values) = (BTreeMap::new(), BTreeMap::new());
    for line in page.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap();
            kinds.insert(name.to_owned(), kind.to_owned());
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            values.insert(name.to_owned(), value.parse::<f64>().unwrap());
        }
    }
    assert_eq!(kinds, described());
    // Beside the histogram's bounds there is no label at all.
    let labels: BTreeSet<&str> =
        values.keys().filter_map(|name| Some(name.split_once('{')?.1.split_once('=')?.0)).collect();
    assert_eq!(labels, BTreeSet::from(["le"]));
    for said in SAID.iter().chain(&["ana", "dora", "claude", "clinic", "nurses"]) {
        assert!(!page.contains(said), "`{said}` is in the metrics");
    }
    // And they count: every statement above, and what was refused of them.
    let value = |name: &str| values[name];
    assert!(value("chaperone_operations_allowed_total") >= 5.0, "{page}");
    assert!(value("chaperone_operations_refused_total") >= 1.0, "{page}");
    assert!(value("chaperone_connections_total") >= 10.0, "{page}");
    assert!(value("chaperone_trail_entries_durable") >= 20.0, "{page}");
    assert!(value("chaperone_trail_sync_seconds_count") >= 1.0, "{page}");
    assert!(value("chaperone_target_bytes_received_total") > 100.0, "{page}");
    assert!(value("chaperone_target_bytes_sent_total") > 100.0, "{page}");
    assert!((value("chaperone_agents_linked") - 1.0).abs() < 0.1, "{page}");
}

#[test]
fn logs_hold_no_statement_no_value_and_no_secret() {
    let mut it = Installation::new(AgentPlace::Separate);
    say_it_all(&it);
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap().trim().to_owned();
    let home = it.home.path().join("chaperone");
    let mut secrets: Vec<String> = SAID.iter().map(|said| (*said).to_owned()).collect();
    secrets.push(read(home.join("keys/admin.token")));
    secrets.push(read(it.cluster.as_target("clinic").password_file));
    let url = it.boundary.credential(&NURSE).unwrap();
    let (login, _) = url.split_once("://").unwrap().1.rsplit_once('@').unwrap();
    secrets.push(login.split_once(':').unwrap().1.to_owned());
    let logs = [it.boundary.gateway().log(), it.boundary.agent().unwrap().log()];
    assert!(logs.iter().all(|log| !log.is_empty()), "{logs:?}");
    for (log, of) in logs.iter().zip(["gateway", "agent"]) {
        for secret in &secrets {
            let line = log.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "in the log of the {of}");
        }
    }
    // The trail itself keeps them sealed, or as commitments; what a client calls itself it keeps as it is.
    let [_, _, _, application, ..] = SAID;
    for said in secrets.iter().filter(|said| *said != application) {
        let found = Command::new("grep").args(["-rlF", said]).arg(it.boundary.trail()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "`{said}` lies in the trail in the clear");
    }
}

/// What `config check` says of a changed copy of gateway.toml.
fn checked(it: &Installation, change: impl FnOnce(&str) -> String) -> Result<String, String> {
    let config = it.boundary.config();
    let text = std::fs::read_to_string(&config).unwrap();
    let changed = change(&text);
    assert!(changed != text, "nothing was changed");
    let file = config.with_file_name("changed.toml");
    std::fs::write(&file, changed).unwrap();
    let mut check = Command::new(it.boundary.program());
    check.args(["config", "check"]).arg(&file);
    let output = check.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    assert_eq!(output.status.code(), Some(2), "{said}");
    Err(said)
}

#[test]
fn a_configuration_is_checked_before_anything_is_started() {
    let it = Installation::new(AgentPlace::InProcess);
    let config = it.boundary.config().to_string_lossy().into_owned();
    let whole = it.boundary.cli(&["config", "check", &config]);
    assert!(whole.is_ok(), "{whole:?}");
    let postgres = format!("127.0.0.1:{}", it.boundary.postgres_port());
    let api = it.boundary.api_url().replace("http://", "");
    let far = |address: &str| address.replace("127.0.0.1", "0.0.0.0");
    let policy = it.boundary.config().with_file_name("policy");
    let refused = |words: &[&str], change: &dyn Fn(&str) -> String| {
        let said = checked(&it, change).unwrap_err();
        for word in words {
            assert!(said.contains(word), "`{word}` in: {said}");
        }
    };
    refused(&["changed.toml", "line 3", "nonsense"], &|text| text.replacen('\n', "\n\nnonsense = 1\n", 1));
    refused(&["no certificate", "hint"], &|text| text.replace(&postgres, &far(&postgres)));
    refused(&["no certificate", "hint"], &|text| text.replace("plain_loopback = true", ""));
    refused(&["the API needs TLS", "hint"], &|text| text.replace(&api, &far(&api)));
    refused(&["nowhere.crt"], &|text| {
        text.replace("plain_loopback = true", "certificate = \"nowhere.crt\"\nkey = \"nowhere.key\"")
    });
    refused(&["reader"], &|text| text.replace("readers = [\"", "readers = [\"x"));
    refused(&["elsewhere"], &|text| format!("{text}\n[targets.elsewhere]\nprotocol = \"postgres\"\n"));
    let with_policy = |words: &[&str], text: &str| {
        let file = policy.join("wrong.cedar");
        std::fs::write(&file, text).unwrap();
        // Anything that changes nothing.
        refused(words, &|text| format!("{text}\n# the same\n"));
        std::fs::remove_file(&file).unwrap();
    };
    with_policy(&["wrong.cedar", "2:"], "// A policy without an end.\npermit (principal, action");
    // A policy that names what is not there does no harm: it is said, and the rest is usable.
    let file = policy.join("wrong.cedar");
    let nowhere = "permit (principal in Group::\"dev/nurses\", action == Action::\"connect\", resource == Target::\"nowhere\");";
    std::fs::write(&file, nowhere).unwrap();
    let said = checked(&it, |text| format!("{text}\n# the same\n")).unwrap();
    assert!(said.contains("warning: wrong.cedar:1:1") && said.contains("nowhere"), "{said}");
    std::fs::remove_file(&file).unwrap();
    let said = checked(&it, |text| format!("{text}\n# the same\n")).unwrap();
    assert!(said.contains("the configuration is usable"), "{said}");
    let words = ["config", "check", &config];
    assert_eq!(it.boundary.cli_json(&words).unwrap()["errors"], Value::Array(Vec::new()));
}
