//! What the target says of statements that it only plans, and beside results: nothing of it leaves before it is counted on
//! record.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own set-up may fail it")]

use std::process::Command;

use chaperone_tests::{AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, capture, private_folder, root};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Everybody may do everything: what the target says passes as it is.
const OPEN: &str = "permit (principal in Group::\"dev/staff\", action, resource in Target::\"clinic\");\n";
const LIMITS: &str = "
[[limit]]
subject = \"dev/weight\"
bytes_per_hour = 5_000
[[limit]]
subject = \"dev/size\"
bytes_per_statement = 5_000
[[limit]]
subject = \"dev/idle\"
idle_s = 1
";
const CASES: [&str; 11] = [
    "planned",
    "left",
    "parse",
    "flushed",
    "twice",
    "crossed",
    "skipped",
    "large",
    "large_left",
    "notices",
    "after",
];

/// Fields end in order.
struct Installation {
    boundary: Boundary,
    cluster: Cluster,
    _home: TempDir,
}

impl Installation {
    fn new() -> Self {
        let home = private_folder("test").unwrap();
        let policy = home.path().join("policy");
        std::fs::create_dir_all(&policy).unwrap();
        std::fs::write(policy.join("open.cedar"), OPEN).unwrap();
        std::fs::write(policy.join("limits.toml"), LIMITS).unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let mut layout = Layout::new(AgentPlace::Separate);
        layout.policy = Some(policy);
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        Self { boundary, cluster, _home: home }
    }

    /// The answers of cases in one session.
    fn through(&self, subject: &'static str, cases: &[&str]) -> Value {
        let caller = Caller { subject, groups: &["staff"], client: None };
        answers(&self.boundary.credential(&caller).unwrap(), cases)
    }

    /// Every entry of a kind, in order.
    fn entries(&self, kind: &str) -> Vec<Value> {
        self.boundary.entries_of(kind).unwrap()
    }
}

fn answers(url: &str, cases: &[&str]) -> Value {
    let script = root().join("tests/drivers/bound.py");
    let text = capture(Command::new("python3").arg(script).arg(url).args(cases)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The error among a case's answers: its length, code and message.
fn error(case: &Value) -> (u64, &str, &str) {
    let error = case.as_array().unwrap().iter().find(|answer| answer[0] == "E");
    let error = error.unwrap_or_else(|| unreachable!("no error in {case}"));
    (error[1].as_u64().unwrap(), error[2].as_str().unwrap(), error[3].as_str().unwrap())
}

#[test]
fn what_a_bind_begins_is_on_record_however_it_goes_on() {
    let it = Installation::new();
    let through = it.through("ana", &CASES);
    assert_eq!(through, answers(&it.cluster.login_url().unwrap(), &CASES), "through, then directly");

    let (length, code, _) = error(&through["planned"]);
    assert!(length > 40_000 && code == "22P02", "the error does not hold the table: {through:#}");
    let outcomes = it.entries("operation.outcome");
    let had: Vec<&str> = outcomes.iter().map(|outcome| outcome["status"].as_str().unwrap()).collect();
    let wanted = [
        "failed",  // planned
        "planned", // left
        "ok",      // flushed
        "ok",
        "suspended",
        "suspended",
        "ok", // twice
        "planned",
        "ok",
        "ok", // crossed
        "failed",
        "not_run", // skipped
        "ok",      // large
        "planned", // large_left
        "ok",      // notices
        "ok",      // after
    ];
    assert_eq!(had, wanted, "{outcomes:#?}");
    assert_eq!((&outcomes[0]["bytes"], &outcomes[0]["sqlstate"]), (&json!(length), &json!("22P02")));
    assert!(outcomes[14]["bytes"].as_u64().unwrap() > 200_000, "the notices: {}", outcomes[14]);

    let intents = it.entries("operation.intent");
    assert_eq!(intents.len(), outcomes.len());
    for (intent, outcome) in intents.iter().zip(&outcomes) {
        assert_eq!(intent["operation"], outcome["operation"]);
        assert!(
            intent["seq"].as_u64() < outcome["seq"].as_u64() && intent["statement"].is_object(),
            "{intent}"
        );
    }
    for place in [12, 13] {
        assert_eq!(intents[place]["parameters"]["large"][0]["length"], 3_000_000, "{}", intents[place]);
    }

    let told = it.entries("session.told");
    let (length, code, _) = error(&through["parse"]);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!((&told[0]["bytes"], &told[0]["sqlstate"]), (&json!(length), &json!(code)));
    assert!(told[0]["statement"].is_object(), "{}", told[0]);

    // The last words of a target that goes are those with which the operation failed.
    let last = it.through("ana", &["terminated"]);
    assert_eq!(error(&last["terminated"]).1, "57P01", "{last:#}");
    let outcomes = it.entries("operation.outcome");
    let outcome = outcomes.last().unwrap();
    assert_eq!((&outcome["status"], &outcome["sqlstate"]), (&json!("failed"), &json!("57P01")), "{outcome}");
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn words_of_the_target_count_against_limits() {
    let it = Installation::new();
    for (subject, limit) in [("weight", "more bytes within an hour"), ("size", "more bytes than the limit")] {
        for case in ["planned", "parse", "slow_notice"] {
            let had = it.through(subject, &[case, "after"]);
            let (length, _, message) = error(&had[case]);
            assert!(length < 1_000 && message.contains(limit), "{subject}, {case}: {had:#}");
            let longest = had[case].as_array().unwrap().iter().filter_map(|answer| answer[1].as_u64()).max();
            assert!(longest < Some(1_000), "{subject}, {case}: {had:#}");
            let rows = had["after"].as_array().unwrap().iter().filter(|answer| answer[0] == "D").count();
            assert_eq!(rows, 1, "{subject} after {case}: {had:#}");
        }
    }
    let hits = it.entries("limit.hit");
    let had: Vec<(&str, bool)> =
        hits.iter().map(|hit| (hit["limit"].as_str().unwrap(), hit["operation"].is_u64())).collect();
    let each = |limit| [(limit, true), (limit, false), (limit, true)];
    assert_eq!(had, [each("bytes_per_hour"), each("bytes_per_statement")].concat());
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn what_is_bound_and_left_keeps_no_session_from_being_idle() {
    let it = Installation::new();
    let had = it.through("idle", &["held"]);
    let (_, code, _) = error(&had["held"]);
    assert_eq!(code, "57P05", "{had:#}");
    assert_eq!(it.entries("operation.outcome").len(), 1);
    assert_eq!(it.entries("limit.hit")[0]["limit"], "idle_s");
}
