//! What is taken back reaches open sessions, and the record says how long that took: credentials, policies, agents.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's own set-up may fail it"
)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chaperone_tests::{AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, Talk, private_folder};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the design grants between learning of an end and the end of a session.
const END_MAX: Duration = Duration::from_secs(5);
const ANA: Caller = Caller { subject: "ana", groups: &["staff"], client: None };
const OPEN: &str = "permit (principal in Group::\"dev/staff\", action, resource in Target::\"clinic\");\n";
/// The same, but for one relation.
const CLOSED: &str = "permit (principal in Group::\"dev/staff\", action, resource in Target::\"clinic\");\n\
    forbid (principal, action, resource == Relation::\"clinic/clinic.claims\");\n";
const CLAIMS: &str = "select count(*) > 0 from clinic.claims";

struct Installation {
    boundary: Boundary,
    cluster: Cluster,
    home: TempDir,
}

impl Installation {
    fn new(agent: AgentPlace) -> Self {
        let home = private_folder("test").unwrap();
        let policy = home.path().join("policy");
        std::fs::create_dir_all(&policy).unwrap();
        std::fs::write(policy.join("open.cedar"), OPEN).unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let mut layout = Layout::new(agent);
        layout.policy = Some(policy);
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        Self { boundary, cluster, home }
    }

    fn entries(&self, kind: &str) -> Vec<Value> {
        self.boundary.entries_of(kind).unwrap()
    }

    /// The first entry of a kind that is wanted, once it is there.
    fn entry(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            if let Some(found) = self.entries(kind).into_iter().find(&wanted) {
                return found;
            }
            assert!(begun.elapsed() < END_MAX * 2, "no such {kind}: {:?}", self.entries(kind));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn until_running(&self, words: &str) {
        let ask = format!(
            "select count(*) from pg_stat_activity where state = 'active' and query like '%{words}%' \
             and pid <> pg_backend_pid()"
        );
        let begun = Instant::now();
        while self.cluster.sql(&ask).unwrap().trim() != "1" {
            assert!(begun.elapsed() < END_MAX * 2, "`{words}` does not run at the database");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn live(&self) -> String {
        let live = self.boundary.cli_json(&["sessions", "--live"]).unwrap();
        let [only] = live.as_array().unwrap().as_slice() else { panic!("{live}") };
        only["session"].as_str().unwrap().to_owned()
    }

    /// How a session ended, which took no longer than the design grants.
    fn closed(&self, session: &str) -> Value {
        let closed = self.entry("session.closed", |entry| entry["session"] == session);
        let after = closed["ended_after_us"].as_u64().unwrap_or_else(|| panic!("no latency: {closed}"));
        assert!(Duration::from_micros(after) < END_MAX, "{closed}");
        closed
    }
}

fn psql(url: &str) -> Command {
    let mut psql = Command::new("psql");
    psql.args(["-XAtq", "-d", url]);
    psql
}

fn put_out(session: &mut Talk) -> String {
    let mut last = String::new();
    let ended = |answer: &chaperone_tests::Result<String>| match answer {
        Ok(said) => {
            last = said.clone();
            said.contains("FATAL") || said.contains("connection")
        }
        Err(error) => {
            last = error.to_string();
            true
        }
    };
    session.until(END_MAX, "select 1", ended).unwrap();
    last
}

#[test]
fn a_credential_is_revoked_with_what_it_was_narrowed_to() {
    let mut it = Installation::new(AgentPlace::InProcess);
    let made = it.boundary.cli_json(&["credential", "clinic", "--as", "ana", "--group", "staff"]).unwrap();
    let (id, url) = (made["credential"].as_str().unwrap(), made["connection"].as_str().unwrap());
    let other = it.boundary.credential(&ANA).unwrap();
    let narrow = format!("printf %s '{url}' | \"$0\" credential narrow --rows 5");
    let mut narrowed = Command::new("sh");
    narrowed.args(["-c", &narrow]).arg(it.boundary.program());
    let narrowed = chaperone_tests::capture(&mut narrowed).unwrap();

    let mut child = Talk::start(&psql(narrowed.trim())).unwrap();
    let session = it.live();
    let mut stays = Talk::start(&psql(&other)).unwrap();
    let listed = it.boundary.cli_json(&["credential", "list"]).unwrap();
    let one = listed.as_array().unwrap().iter().find(|one| one["credential"] == id).unwrap().clone();
    assert_eq!((&one["subject"], &one["sessions"]), (&json!("dev/ana"), &json!(1)), "{listed}");
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");

    let without = it.boundary.cli(&["credential", "revoke", id]).unwrap_err().to_string();
    assert!(without.contains("--reason"), "{without}");
    let wrong = it.boundary.cli(&["credential", "revoke", "x", "--reason", "y"]).unwrap_err().to_string();
    assert!(wrong.contains("not the id of a credential"), "{wrong}");
    let revoked = it.boundary.cli_json(&["credential", "revoke", id, "--reason", "laptop stolen"]).unwrap();
    assert_eq!(revoked["revoked"]["reason"], "laptop stolen");
    put_out(&mut child);
    let closed = it.closed(&session);
    assert_eq!(closed["reason"], "credential_revoked");
    let entry = it.entries("credential.revoked").pop().unwrap();
    assert_eq!((&entry["credential"], &entry["by"]), (&json!(id), &json!("local/administrator")));
    assert!(entry["seq"].as_u64().unwrap() < closed["seq"].as_u64().unwrap());
    assert_eq!(stays.ask("select 2").unwrap(), "2");
    drop(stays);

    for round in 0..2 {
        for dead in [url, narrowed.trim()] {
            let refused = Talk::start(&psql(dead)).unwrap_err().to_string();
            assert!(refused.contains("authentication failed"), "{round}: {refused}");
        }
        assert_eq!(Talk::start(&psql(&other)).unwrap().ask("select 3").unwrap(), "3");
        it.boundary.restart_gateway().unwrap();
    }
    let (_, page) = it.boundary.api("GET", "/credentials?limit=1", &Value::Null).unwrap();
    assert_eq!(page["items"][0]["credential"], id, "kept over restarts: {page}");
    let again = it.boundary.cli_json(&["credential", "revoke", id, "--reason", "again"]).unwrap();
    assert_eq!(again["revoked"]["reason"], "laptop stolen", "the first revocation stays");
    let failed = it.entry("authentication.failed", |entry| entry["reason"] == "revoked");
    assert_eq!(failed["method"], "scram-sha-256", "{failed}");
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_session_that_policy_shrinks_is_held_to_it_on_record() {
    let it = Installation::new(AgentPlace::InProcess);
    let mut session = Talk::start(&psql(&it.boundary.credential(&ANA).unwrap())).unwrap();
    let id = it.live();
    assert_eq!(session.ask(CLAIMS).unwrap(), "t");
    // A lock on somebody else changes nothing for this session.
    it.boundary.cli(&["lock", "subject", "dev/eve", "--reason", "a drill"]).unwrap();
    let folder = it.home.path().join("chaperone/policy");
    std::fs::write(folder.join("open.cedar"), CLOSED).unwrap();
    let loaded = it.boundary.cli_json(&["policy", "reload"]).unwrap();
    let followed = it.entry("session.followed", |entry| entry["session"] == id.as_str());
    assert_eq!(
        (&followed["changed"], &followed["policy"]),
        (&json!("policy"), &json!(loaded["digest"].as_str().unwrap()))
    );
    assert!(followed["after_us"].as_u64().unwrap() < 5_000_000, "{followed}");
    assert!(session.ask(CLAIMS).unwrap().contains("ERROR"));
    assert_eq!(it.entries("session.followed").len(), 1, "once for each change");
    let shown = it.boundary.cli_json(&["session", "show", &id]).unwrap();
    assert!(shown.to_string().contains("session.followed"), "{shown}");
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

/// A psql that runs one statement, and then another one if its session goes on.
fn running(url: &str, statement: &str) -> Child {
    let mut command = psql(url);
    command.args(["-v", "VERBOSITY=verbose", "-c", statement, "-c", "select 'goes on'"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn what_runs_is_stopped_when_it_is_permitted_no_more() {
    let it = Installation::new(AgentPlace::InProcess);
    let url = it.boundary.credential(&ANA).unwrap();
    let silent = running(&url, "select count(*) as silent from clinic.claims, pg_sleep(60)");
    // A row in ten milliseconds, for ten minutes.
    let rows = "copy (select claim_id, pg_sleep(0.01) as rows from clinic.claims limit 60000) to stdout";
    let copied = running(&url, rows);
    let other = "select count(*) > 0 as other from clinic.patients a, clinic.patients b \
         where a.patient_id < b.patient_id and b.patient_id <= 4000";
    let goes_on = running(&url, other);
    ["silent", "rows", "other"].iter().for_each(|words| it.until_running(&format!("as {words}")));
    std::fs::write(it.home.path().join("chaperone/policy/open.cedar"), CLOSED).unwrap();
    it.boundary.cli(&["policy", "reload"]).unwrap();
    let learnt = Instant::now();
    for stopped in [silent, copied] {
        let output = stopped.wait_with_output().unwrap();
        assert!(learnt.elapsed() < END_MAX, "after {:?}", learnt.elapsed());
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(told.contains("42501: stopped while it ran") && told.contains("clinic.claims"), "{told}");
        assert!(said.ends_with("goes on\n"), "the session stays: {said}");
    }
    let output = goes_on.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "t\ngoes on\n", "{output:?}");
    let outcomes = it.entries("operation.outcome");
    let stopped: Vec<_> = outcomes.iter().filter(|entry| entry.get("withdrawn").is_some()).collect();
    assert_eq!(stopped.len(), 2, "{outcomes:?}");
    for outcome in stopped {
        assert_eq!((&outcome["status"], &outcome["sqlstate"]), (&json!("cancelled"), &json!("57014")));
        let withdrawn = &outcome["withdrawn"];
        assert_eq!(
            (&withdrawn["arm"], withdrawn["policies"].as_array().unwrap().len()),
            (&json!("refuse"), 1)
        );
    }
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn the_sessions_of_an_agent_end_when_it_is_locked_or_removed() {
    for verb in ["lock", "remove"] {
        let mut it = Installation::new(AgentPlace::Separate);
        let url = it.boundary.credential(&ANA).unwrap();
        let mut session = Talk::start(&psql(&url)).unwrap();
        let id = it.live();
        let agents = it.boundary.cli_json(&["agent", "list"]).unwrap();
        let agent = agents[0]["agent"].as_str().unwrap().to_owned();
        let other = it.boundary.cli(&["agent", verb, "no-such-agent", "--reason", "x"]);
        assert!(other.is_err(), "{other:?}");
        it.boundary.cli(&["agent", verb, &agent, "--reason", "sold"]).unwrap();
        put_out(&mut session);
        let closed = it.closed(&id);
        assert_eq!(closed["reason"], "agent_cut_off");
        let kind = if verb == "lock" { "agent.locked" } else { "agent.removed" };
        let entry = it.entries(kind).pop().unwrap();
        assert_eq!((&entry["agent"], &entry["reason"]), (&json!(agent), &json!("sold")));
        assert!(entry["seq"].as_u64().unwrap() < closed["seq"].as_u64().unwrap());
        let left = it.boundary.cli_json(&["agent", "list"]).unwrap();
        assert_eq!(left.as_array().unwrap().len(), usize::from(verb == "lock"), "{left}");
        it.boundary.cli(&["trail", "verify"]).unwrap();
        // Asked to stop, it would wait for somebody to take its last count.
        it.boundary.agent().unwrap().kill().unwrap();
    }
}

#[test]
fn a_root_key_that_is_rotated_is_told_and_voids_what_it_should() {
    let mut it = Installation::new(AgentPlace::InProcess);
    let asked = |url: &str| Talk::start(&psql(url)).and_then(|mut session| session.ask("select 1"));
    let first = it.boundary.credential(&ANA).unwrap();
    it.boundary.cli(&["keys", "rotate", "credential"]).unwrap();
    it.boundary.cli(&["keys", "rotate", "commitment"]).unwrap();
    it.boundary.restart_gateway().unwrap();
    let second = it.boundary.credential(&ANA).unwrap();
    assert_eq!((asked(&first).unwrap(), asked(&second).unwrap()), ("1".to_owned(), "1".to_owned()));
    let rotated: Vec<(Value, Value)> = it
        .entries("key.rotated")
        .into_iter()
        .map(|entry| (entry["key"].clone(), entry["previous"].clone()))
        .collect();
    let expected =
        ["credential", "commitment"].map(|key| (json!(format!("{key}.2.key")), json!(format!("{key}.key"))));
    assert_eq!(rotated, expected);
    it.boundary.cli(&["keys", "rotate", "credential", "--void"]).unwrap();
    it.boundary.restart_gateway().unwrap();
    for void in [&first, &second] {
        assert!(asked(void).unwrap_err().to_string().contains("authentication failed"));
    }
    assert_eq!(asked(&it.boundary.credential(&ANA).unwrap()).unwrap(), "1");
    assert_eq!(it.entries("key.rotated").len(), 3, "each is told once");
    it.boundary.cli(&["trail", "verify"]).unwrap();
}
