//! Managing a gateway from the command line: sessions, locks, services and people, as an administrator does and as
//! somebody does whom policy permits it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own set-up may fail it")]

use std::process::Command;
use std::time::{Duration, Instant};

use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Fsync, Issuer, Layout, Person, Talk, capture, free_port,
    private_folder, root,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const ANA: Caller = Caller { subject: "ana", groups: &["nurses"], client: None };

struct Installation {
    boundary: Boundary,
    _cluster: Cluster,
    home: TempDir,
}

fn installation(change: impl FnOnce(&mut Layout)) -> Installation {
    within(private_folder("test").unwrap(), change)
}

fn within(home: TempDir, change: impl FnOnce(&mut Layout)) -> Installation {
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let mut layout = Layout::new(AgentPlace::InProcess);
    change(&mut layout);
    let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
    Installation { boundary, _cluster: cluster, home }
}

/// A session of ana's that stays open, and its id.
fn open(it: &Installation) -> (Talk, String) {
    let url = it.boundary.credential(&ANA).unwrap();
    let mut psql = Command::new("psql");
    psql.args(["-XAtq", "-d", &url]);
    let mut session = Talk::start(&psql).unwrap();
    assert_eq!(session.ask("select 1").unwrap(), "1");
    let live = it.boundary.cli_json(&["sessions", "--live"]).unwrap();
    let only = live.as_array().unwrap().first().and_then(|view| view.get("session")).unwrap();
    (session, only.as_str().unwrap().to_owned())
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
    let (talk, session) = open(&it);
    let without = refusal(&it, &["session", "kill", &session]);
    assert!(without.contains("--reason"), "{without}");
    let ended = it.boundary.cli_json(&["session", "kill", &session, "--reason", "a drill"]).unwrap();
    assert_eq!(ended["subject"], "dev/ana");
    until_none_is_open(&it);
    drop(talk);
    let again = refusal(&it, &["session", "kill", &session, "--reason", "a drill"]);
    assert!(again.contains("hint: "), "{again}");

    let (talk, _) = open(&it);
    let lock = it.boundary.cli_json(&["lock", "subject", "dev/ana", "--reason", "a drill"]).unwrap();
    until_none_is_open(&it);
    drop(talk);
    let listed = it.boundary.cli_json(&["lock", "list"]).unwrap();
    assert_eq!(listed, Value::Array(vec![lock.clone()]));
    let table = it.boundary.cli(&["lock", "list"]).unwrap();
    assert!(table.contains("dev/ana") && table.contains("local/administrator"), "{table}");
    let id = lock["lock"].as_str().unwrap();
    it.boundary.cli(&["lock", "lift", id]).unwrap();
    assert!(refusal(&it, &["lock", "lift", id]).contains("chaperone lock list"));
    let unknown = refusal(&it, &["lock", "target", "no_such_target", "--reason", "a drill"]);
    assert!(unknown.contains("chaperone targets"), "{unknown}");
    drop(open(&it));
}

#[test]
fn services_and_people_are_managed_by_words() {
    let it = installation(|_| {});
    let words = ["service", "create", "etl", "--owner", "org/olga", "--ttl", "90d"];
    let nobody = refusal(&it, &words);
    assert!(nobody.contains("no person of that name has logged in here and is enabled"), "{nobody}");
    assert!(nobody.contains("hint: ") && nobody.contains("runs `chaperone login` once"), "{nobody}");
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

/// How soon whatever ends somebody's rights ends what he has open.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Beside the demonstration's policies: who manages, and what services may.
const MANAGING: &str = r#"
permit (
  principal in Group::"org/engineers",
  action in [Action::"readSessions", Action::"endSession", Action::"lock", Action::"manageServices"],
  resource == Installation::"clinic-gateway"
);
permit (principal in Group::"local/robots", action == Action::"connect", resource == Target::"clinic");
permit (
  principal in Group::"local/robots",
  action == Action::"read",
  resource == Relation::"clinic/clinic.clinics"
);
"#;

/// An installation whose people come from a real issuer.
fn organisation() -> (Installation, Issuer) {
    let home = private_folder("test").unwrap();
    let api_port = free_port().unwrap();
    let logout = format!("http://127.0.0.1:{api_port}/api/v1/backchannel-logout/org");
    let issuer = Issuer::start(&home.path().join("issuer"), &logout).unwrap();
    let policy = home.path().join("policy");
    std::fs::create_dir(&policy).unwrap();
    let clinic = std::fs::read_to_string(root().join("demo/policy/clinic.cedar")).unwrap();
    std::fs::write(policy.join("clinic.cedar"), clinic.replace("\"dev/", "\"org/")).unwrap();
    std::fs::write(policy.join("managing.cedar"), MANAGING).unwrap();
    let more = format!("[issuers.org]\nurl = \"{}\"\nclient_id = \"chaperone-cli\"\n", issuer.url());
    let it = within(home, |layout| {
        layout.api_port = Some(api_port);
        layout.policy = Some(policy);
        layout.more = more;
    });
    (it, issuer)
}

fn logged_in(it: &Installation, issuer: &Issuer, name: &str) -> Person {
    let person = Person::new(name, it.home.path(), &it.boundary);
    person.log_in(issuer).unwrap();
    person
}

#[test]
fn a_login_manages_what_policy_permits_it_and_nothing_else() {
    let (it, issuer) = organisation();
    let (ana, dora) = (logged_in(&it, &issuer, "ana"), logged_in(&it, &issuer, "dora"));
    for words in
        [&["sessions"][..], &["lock", "list"], &["service", "list"], &["people", "list"], &["agent", "list"]]
    {
        let refused = ana.cli(words).unwrap_err().to_string();
        assert!(refused.contains("you may not do this"), "{words:?}: {refused}");
    }
    let targets: Value = serde_json::from_str(&ana.cli(&["targets", "--json"]).unwrap()).unwrap();
    assert_eq!(targets[0]["name"], "clinic");
    dora.cli(&["sessions"]).unwrap();
    assert!(dora.cli(&["people", "list"]).unwrap_err().to_string().contains("you may not do this"));
    let lock = dora.cli(&["lock", "subject", "org/ana", "--reason", "a drill", "--json"]).unwrap();
    let lock: Value = serde_json::from_str(&lock).unwrap();
    assert_eq!(lock["by"], "org/dora");
    let targets: Value = serde_json::from_str(&ana.cli(&["targets", "--json"]).unwrap()).unwrap();
    assert_eq!(targets, json!([]), "what is locked is not within reach");
    let logins = it.boundary.cli_json(&["people", "logins"]).unwrap();
    let own = logins.as_array().unwrap().iter().find(|login| login["subject"] == "org/dora").unwrap();
    it.boundary.cli(&["people", "end-login", own["login"].as_str().unwrap()]).unwrap();
    let over = dora.cli(&["sessions"]).unwrap_err().to_string();
    assert!(over.contains("login"), "{over}");
}

/// A credential for the clinic from a service key, as any program gets it; else the status.
fn credential(it: &Installation, key: &str) -> Result<String, String> {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-w", "\n%{http_code}", "-H", "content-type: application/json"]);
    curl.args(["-H", &format!("authorization: Bearer {key}"), "-d", r#"{"target":"clinic","ttl_s":600}"#]);
    let said = capture(curl.arg(format!("{}/api/v1/credentials", it.boundary.api_url()))).unwrap();
    let (body, status) = said.rsplit_once('\n').unwrap();
    if status != "200" {
        return Err(status.to_owned());
    }
    let made: Value = serde_json::from_str(body).unwrap();
    let text = |name: &str| made.get(name).and_then(Value::as_str).unwrap().to_owned();
    let (user, password, host) = (text("user"), text("password"), text("host"));
    let port = made.get("port").unwrap();
    Ok(format!("postgresql://{user}:{password}@{host}:{port}/clinic?sslmode=disable"))
}

/// What the clinic answers; else what it says.
fn ask(url: &str, statement: &str) -> Result<String, String> {
    let output = Command::new("psql").args(["-XAtq", "-d", url, "-c", statement]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn a_service_works_with_its_key_until_it_may_not() {
    const CLINICS: &str = "select count(*) > 0 from clinic.clinics";
    let (it, issuer) = organisation();
    let dora = logged_in(&it, &issuer, "dora");
    let words = ["service", "create", "etl", "--owner", "org/dora", "--group", "robots", "--ttl", "1h"];
    let first = dora.cli(&words).unwrap().trim().to_owned();
    let url = credential(&it, &first).unwrap();
    assert_eq!(ask(&url, CLINICS).as_deref(), Ok("t"));
    let refused = ask(&url, "select count(*) from clinic.patients").unwrap_err();
    assert!(refused.contains("patients") && refused.contains("ERROR:"), "{refused}");

    let second = dora.cli(&["service", "rotate", "etl", "--ttl", "1h", "--overlap", "3s"]).unwrap();
    let second = second.trim().to_owned();
    assert_eq!(ask(&url, CLINICS).as_deref(), Ok("t"), "the older key overlaps");
    let begun = Instant::now();
    while credential(&it, &first).is_ok() {
        assert!(begun.elapsed().as_secs() < 10, "the older key goes on");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(ask(&url, CLINICS).is_err(), "a credential ends with its key");
    let url = credential(&it, &second).unwrap();
    assert_eq!(ask(&url, CLINICS).as_deref(), Ok("t"));

    it.boundary.cli(&["people", "disable", "org/dora", "--reason", "left"]).unwrap();
    assert!(ask(&url, CLINICS).is_err(), "without its owner a service stands still");
    assert_eq!(credential(&it, &second), Err("401".to_owned()));
    it.boundary.cli(&["people", "enable", "org/dora"]).unwrap();
    assert_eq!(ask(&url, CLINICS).as_deref(), Ok("t"));

    let mut open = Talk::start(Command::new("psql").args(["-XAtq", "-d", &url])).unwrap();
    assert_eq!(open.ask(CLINICS).unwrap(), "t");
    it.boundary.cli(&["service", "revoke", "etl", "--reason", "replaced"]).unwrap();
    let after = open.until(AT_ONCE, CLINICS, Result::is_err).unwrap();
    assert!(after < AT_ONCE, "an open session went on for {after:?}");
    let sessions = it.boundary.cli_json(&["sessions"]).unwrap();
    let newest = sessions[0]["session"].as_str().unwrap();
    let shown = it.boundary.cli_json(&["session", "show", newest]).unwrap();
    let closed = shown["entries"].as_array().unwrap().iter().find(|entry| entry["kind"] == "session.closed");
    let closed = closed.unwrap_or_else(|| panic!("{shown:#}"));
    assert_eq!(closed["reason"], "login_ended", "{closed:#}");
    assert!(closed["ended_after_us"].as_u64().unwrap() < 5_000_000, "{closed:#}");
    assert!(ask(&url, CLINICS).is_err());
    assert_eq!(credential(&it, &second), Err("401".to_owned()));
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_service_uses_the_verbs_of_people_with_its_key() {
    const CLINICS: &str = "select count(*) > 0 from clinic.clinics";
    let (it, issuer) = organisation();
    let dora = logged_in(&it, &issuer, "dora");
    let words = ["service", "create", "etl", "--owner", "org/dora", "--group", "robots", "--ttl", "1h"];
    let key = dora.cli(&words).unwrap().trim().to_owned();
    let file = it.home.path().join("etl.key");
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let file = file.to_string_lossy().into_owned();
    // Nobody is logged in on the service's machine.
    let robot = Person::new("robot", it.home.path(), &it.boundary);
    assert!(robot.cli(&["credential", "clinic"]).is_err());

    let url = robot.cli(&["credential", "clinic", "--service-key-file", &file, "--ttl", "5m"]).unwrap();
    assert_eq!(ask(url.trim(), CLINICS).as_deref(), Ok("t"));
    let sql = robot.cli(&["psql", "clinic", "--service-key-file", &file, "--", "-XAtqc", CLINICS]).unwrap();
    assert_eq!(sql.trim(), "t");
    let exec = |words: &[&str], key: &str| {
        let mut command = robot.command(&[&["exec", "clinic"], words].concat());
        capture(command.env("CHAPERONE_SERVICE_KEY", key))
    };
    let child = ["--", "sh", "-c", "psql -XAtqc 'select 1'; printenv CHAPERONE_SERVICE_KEY || echo no key"];
    assert_eq!(exec(&child, &key).unwrap().trim(), "1\nno key");

    let port = free_port().unwrap().to_string();
    let words = ["connect", "clinic", "--port", &port, "--service-key-file", &file];
    let mut connect = robot.start(&words).unwrap();
    let ready = || std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok();
    connect.until(Duration::from_secs(20), ready).unwrap();
    let local = format!("postgresql://whoever@127.0.0.1:{port}/anything");
    assert_eq!(ask(&local, CLINICS).as_deref(), Ok("t"));
    assert!(connect.log().contains("you are local/etl"), "{}", connect.log());

    let wrong = exec(&["--", "true"], "cps1.AAAAAAAAAAAA.x").unwrap_err().to_string();
    assert!(wrong.contains("the service key does not hold"), "{wrong}");
    assert!(exec(&["--", "true"], " ").unwrap_err().to_string().contains("no service key stands there"));
    let of_login = robot.cli(&["psql", "clinic", "--ca", &file]).unwrap_err().to_string();
    assert!(of_login.contains("goes with a service key"), "{of_login}");
    it.boundary.cli(&["service", "revoke", "etl", "--reason", "replaced"]).unwrap();
    assert!(ask(&local, CLINICS).unwrap_err().contains("the service key does not hold"));
}

#[test]
fn a_long_recording_is_read_in_parts() {
    let it = installation(|_| {});
    let engineer = Caller { subject: "dora", groups: &["engineers"], client: None };
    let url = it.boundary.credential(&engineer).unwrap();
    let mut session = Talk::start(Command::new("psql").args(["-XAtq", "-d", &url])).unwrap();
    let noise = || {
        // As little of it as possible can be compressed.
        let text = capture(Command::new("sh").args(["-c", "head -c 600000 /dev/urandom | base64 -w0"]));
        text.unwrap().trim().to_owned()
    };
    let texts: Vec<String> = (0..18).map(|_| noise()).collect();
    for text in &texts {
        assert_eq!(session.ask(&format!("select length('{text}')")).unwrap(), text.len().to_string());
    }
    let live = it.boundary.cli_json(&["sessions", "--live"]).unwrap();
    let id = live[0]["session"].as_str().unwrap();
    let key = it.boundary.reader_key();
    let detail =
        it.boundary.cli_json(&["session", "show", id, "--reader-key", key.to_str().unwrap()]).unwrap();
    let shown = detail["entries"].as_array().unwrap().iter();
    let shown: Vec<&str> = shown.filter_map(|entry| entry["statement"]["text"].as_str()).collect();
    assert_eq!(shown.iter().filter(|said| said.starts_with("select length(")).count(), texts.len());
    for text in &texts {
        assert!(shown.iter().any(|said| said.contains(text.as_str())), "one is missing");
    }
    let read = it.boundary.entries_of("recording.read").unwrap();
    assert!(read.len() > 1, "one answer held everything");
}
