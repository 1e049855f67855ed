//! Control of what runs: sessions that are ended, locks, limits, and who a session is at the database.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own set-up may fail it")]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, Talk, postgres_programs, private_folder,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Everybody may do everything: what stops them here is not a policy.
const OPEN: &str = "permit (principal in Group::\"dev/staff\", action, resource in Target::\"clinic\");\n\
    permit (principal in Group::\"dev/readers\", action in [Action::\"connect\", Action::\"read\"], \
    resource in Target::\"clinic\");\n";

fn staff(subject: &'static str) -> Caller {
    Caller { subject, groups: &["staff"], client: None }
}

struct Installation {
    boundary: Boundary,
    cluster: Cluster,
    home: TempDir,
}

impl Installation {
    fn new(agent: AgentPlace, limits: &str, change: impl FnOnce(&mut Layout, &Cluster, &Path)) -> Self {
        let home = private_folder("test").unwrap();
        let policy = home.path().join("policy");
        std::fs::create_dir_all(&policy).unwrap();
        std::fs::write(policy.join("open.cedar"), OPEN).unwrap();
        if !limits.is_empty() {
            std::fs::write(policy.join("limits.toml"), limits).unwrap();
        }
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let mut layout = Layout::new(agent);
        layout.policy = Some(policy);
        change(&mut layout, &cluster, home.path());
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        Self { boundary, cluster, home }
    }

    fn ask(&self, caller: &Caller, statements: &[&str]) -> Answer {
        run(&self.boundary.credential(caller).unwrap(), statements)
    }

    fn api(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.boundary.api(method, path, body).unwrap()
    }

    /// The only session that is open.
    fn live(&self) -> String {
        let begun = Instant::now();
        loop {
            let (_, page) = self.api("GET", "/sessions/live", &Value::Null);
            if let [only] = page["items"].as_array().unwrap().as_slice() {
                return only["session"].as_str().unwrap().to_owned();
            }
            assert!(begun.elapsed().as_secs() < 10, "{page}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn until_running(&self, words: &str, runs: bool) {
        let ask = format!(
            "select count(*) > 0 from pg_stat_activity where state = 'active' and query like '%{words}%' \
             and pid <> pg_backend_pid()"
        );
        let begun = Instant::now();
        while (self.cluster.sql(&ask).unwrap().trim() == "t") != runs {
            assert!(begun.elapsed().as_secs() < 10, "`{words}` runs at the database: {}", !runs);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every entry of a kind, in order.
    fn entries(&self, kind: &str) -> Vec<Value> {
        self.boundary.entries_of(kind).unwrap()
    }

    /// How a session's record was closed, once it is.
    fn closed(&self, session: &str) -> Value {
        let begun = Instant::now();
        loop {
            let found = self.entries("session.closed").into_iter().find(|entry| entry["session"] == session);
            if let Some(entry) = found {
                return entry;
            }
            assert!(begun.elapsed().as_secs() < 10, "the record of {session} is still open");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The limits that were hit, by name, in order.
    fn hits(&self) -> Vec<String> {
        let hits = self.entries("limit.hit");
        hits.iter().map(|hit| hit["limit"].as_str().unwrap().to_owned()).collect()
    }
}

/// What `psql` printed, and the SQLSTATE of each error.
#[derive(Debug)]
struct Answer {
    rows: Vec<String>,
    codes: Vec<String>,
    said: String,
}

fn command(url: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-A", "-t", "-v", "VERBOSITY=verbose", "-d", url]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn answer(output: Output) -> Answer {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let codes = said.lines().filter_map(|line| {
        let after = line.split_once("ERROR:  ").or_else(|| line.split_once("FATAL:  "))?.1;
        // `psql` shows no code of what fails while it connects.
        after.split_once(": ").map(|(code, _)| code.to_owned()).filter(|code| code.len() == 5)
    });
    let rows = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    Answer { rows, codes: codes.collect(), said }
}

/// Statements one after the other in one session, errors or not.
fn run(url: &str, statements: &[&str]) -> Answer {
    let mut command = command(url);
    statements.iter().for_each(|statement| {
        command.args(["-c", statement]);
    });
    answer(command.stdin(Stdio::null()).output().unwrap())
}

/// A session that waits for statements.
fn open(url: &str) -> Child {
    command(url).stdin(Stdio::piped()).spawn().unwrap()
}

fn say(client: &mut Child, statement: &str) {
    writeln!(client.stdin.as_mut().unwrap(), "{statement}").unwrap();
}

/// How a client ends by itself, and after which time since `since`. It is kept busy with harmless statements, since an
/// idle `psql` does not look at its connection.
fn ended(mut client: Child, since: Instant) -> (Answer, Duration) {
    let after = loop {
        if client.try_wait().unwrap().is_some() {
            break since.elapsed();
        }
        assert!(since.elapsed().as_secs() < 30, "the client was not put out");
        if let Some(stdin) = client.stdin.as_mut() {
            drop(writeln!(stdin, "select 'still here';"));
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    (answer(client.wait_with_output().unwrap()), after)
}

#[test]
fn a_session_ends_when_its_credential_expires() {
    let it = Installation::new(AgentPlace::InProcess, "", |_, _, _| {});
    let life = Duration::from_secs(6);
    let words = ["credential", "clinic", "--as", "ida", "--group", "staff", "--ttl", "6s"];
    let made = Instant::now();
    let url = it.boundary.cli(&words).unwrap().trim().to_owned();
    // One that is in the middle of a statement, and one that asks now and then.
    let mut busy = Command::new("psql");
    busy.args(["-XAtq", "-d", &url, "-c", "select pg_sleep(120)"]);
    let busy = busy.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut open = Talk::start(Command::new("psql").args(["-XAtq", "-d", &url])).unwrap();
    assert_eq!(open.ask("select 1").unwrap(), "1");
    assert!(made.elapsed() < life, "this machine is too slow to see it open");
    open.until(Duration::from_secs(30), "select 1", Result::is_err).unwrap();
    let after = made.elapsed();
    assert!(
        after + Duration::from_secs(1) > life && after < life + Duration::from_secs(5),
        "after {after:?}"
    );
    let busy = busy.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&busy.stderr).into_owned();
    assert!(made.elapsed() < life + Duration::from_secs(5) && said.contains("FATAL"), "{said}");
    assert!(Talk::start(Command::new("psql").args(["-XAtq", "-d", &url])).is_err(), "it opens nothing more");
    let sessions = it.boundary.cli_json(&["sessions"]).unwrap();
    let states: Vec<&Value> = sessions.as_array().unwrap().iter().map(|session| &session["state"]).collect();
    assert_eq!(states, ["credential_expired", "credential_expired"]);
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_session_that_is_ended_stops_what_it_runs() {
    let it = Installation::new(AgentPlace::Separate, "", |_, _, _| {});
    let url = it.boundary.credential(&staff("ana")).unwrap();
    let mut client = open(&url);
    say(&mut client, "select pg_sleep(60);");
    drop(client.stdin.take());
    it.until_running("pg_sleep", true);
    let session = it.live();

    let path = format!("/sessions/{session}");
    assert_eq!(it.api("DELETE", &path, &json!({ "reason": "" })).0, 422);
    let other = session.replace(|digit: char| digit.is_ascii_digit(), "7");
    assert_eq!(it.api("DELETE", &format!("/sessions/{other}"), &json!({ "reason": "x" })).0, 404);
    let since = Instant::now();
    let (status, view) = it.api("DELETE", &path, &json!({ "reason": "a drill" }));
    assert_eq!((status, view["session"].as_str()), (200, Some(session.as_str())));
    let (told, after) = ended(client, since);
    assert!(after < Duration::from_secs(1), "after {after:?}");
    assert_eq!(told.codes, ["57P01"], "{}", told.said);
    assert!(told.said.contains("an administrator ended the session"), "{}", told.said);
    it.until_running("pg_sleep", false);

    let closed = it.closed(&session);
    assert_eq!(closed["reason"], "ended_by_administrator");
    assert!(closed["ended_after_us"].as_u64().unwrap() < 1_000_000, "{closed}");
    let killed = &it.entries("session.killed")[0];
    assert_eq!((&killed["reason"], &killed["by"]), (&json!("a drill"), &json!("local/administrator")));
    assert!(killed["seq"].as_u64() < closed["seq"].as_u64());
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_lock_reaches_open_sessions_and_outlives_a_restart() {
    let mut it = Installation::new(AgentPlace::InProcess, "", |_, _, _| {});
    let assisted = Caller { client: Some("claude"), ..staff("ben") };
    let cases = [
        ("subject", "dev/ana", staff("ana"), staff("ben")),
        ("client", "claude", assisted, staff("ben")),
        ("target", "clinic", staff("ana"), staff("")),
    ];
    for (on, name, locked, free) in cases {
        let url = it.boundary.credential(&locked).unwrap();
        let client = open(&url);
        let session = it.live();
        let since = Instant::now();
        let (status, lock) =
            it.api("POST", "/locks", &json!({ "on": on, "name": name, "reason": "a drill" }));
        assert_eq!(status, 200, "{lock}");
        let (told, after) = ended(client, since);
        assert!(after < Duration::from_secs(1), "{on}: after {after:?}");
        assert!(told.said.contains("locked"), "{on}: {}", told.said);
        let closed = it.closed(&session);
        assert_eq!(closed["reason"], "locked", "{on}");
        assert!(closed["ended_after_us"].as_u64().unwrap() < 1_000_000, "{closed}");
        let placed = it.entries("lock.placed").pop().unwrap();
        assert_eq!((&placed["on"], &placed["name"]), (&json!(on), &json!(name)));
        assert!(placed["seq"].as_u64() < closed["seq"].as_u64());

        let refused = run(&url, &["select 1"]);
        assert!(refused.rows.is_empty() && refused.said.contains("locked"), "{on}: {}", refused.said);
        if !free.subject.is_empty() {
            assert_eq!(it.ask(&free, &["select 1"]).rows, ["1"], "{on}");
        }
        it.boundary.restart_gateway().unwrap();
        let refused = run(&url, &["select 1"]);
        assert!(refused.rows.is_empty() && refused.said.contains("locked"), "{on}: {}", refused.said);
        let (_, page) = it.api("GET", "/locks", &Value::Null);
        assert_eq!(page["items"], json!([lock]));

        let path = format!("/locks/{}", lock["lock"].as_str().unwrap());
        assert_eq!(it.api("DELETE", &path, &Value::Null).0, 200);
        assert_eq!(it.api("DELETE", &path, &Value::Null).0, 404);
        assert_eq!(run(&url, &["select 1"]).rows, ["1"], "{on}");
        assert_eq!(it.entries("lock.lifted").pop().unwrap()["lock"], lock["lock"]);
    }
    for bad in [
        json!({ "on": "subject", "name": "ana", "reason": "x" }),
        json!({ "on": "target", "name": "her", "reason": "x" }),
        json!({ "on": "client", "name": "claude", "reason": "" }),
        json!({ "on": "client", "name": "a\nb", "reason": "x" }),
    ] {
        assert_eq!(it.api("POST", "/locks", &bad).0, 422, "{bad}");
    }
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn whoever_does_not_read_is_put_out_as_soon() {
    let it = Installation::new(AgentPlace::InProcess, "", |_, _, _| {});
    let url = it.boundary.credential(&staff("ana")).unwrap();
    let mut client = open(&url);
    // Nobody takes what `psql` prints, so it stops reading.
    say(&mut client, "copy (select repeat('x', 1000) from generate_series(1, 2000000)) to stdout;");
    it.until_running("repeat", true);
    std::thread::sleep(Duration::from_secs(1));
    let session = it.live();
    assert_eq!(
        it.api("POST", "/locks", &json!({ "on": "subject", "name": "dev/ana", "reason": "x" })).0,
        200
    );
    let closed = it.closed(&session);
    assert_eq!(closed["reason"], "locked");
    assert!(closed["ended_after_us"].as_u64().unwrap() < 1_000_000, "{closed}");
    it.until_running("repeat", false);
    client.kill().unwrap();
    client.wait().unwrap();
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_lock_is_no_oracle_for_strangers() {
    let it = Installation::new(AgentPlace::InProcess, "", |_, _, _| {});
    let url = it.boundary.credential(&staff("ana")).unwrap();
    assert_eq!(
        it.api("POST", "/locks", &json!({ "on": "subject", "name": "dev/ana", "reason": "x" })).0,
        200
    );
    // Somebody who knows her name and not her password hears what everybody hears.
    let (before, host) = url.split_once('@').unwrap();
    let (user, _) = before.rsplit_once(':').unwrap();
    let stranger = run(&format!("{user}:wrong@{host}"), &["select 1"]);
    assert_eq!(stranger.codes, Vec::<String>::new(), "{}", stranger.said);
    assert!(
        stranger.said.contains("authentication failed") && !stranger.said.contains("lock"),
        "{}",
        stranger.said
    );
}

const LIMITS: &str = "
[[limit]]
subject = \"dev/rows\"
rows_per_statement = 100
[[limit]]
subject = \"dev/bytes\"
bytes_per_statement = 20_000
[[limit]]
subject = \"dev/hour\"
rows_per_hour = 150
[[limit]]
subject = \"dev/weight\"
bytes_per_hour = 5_000
[[limit]]
subject = \"dev/often\"
statements_per_minute = 3
[[limit]]
subject = \"dev/many\"
sessions = 1
[[limit]]
subject = \"dev/idle\"
idle_s = 1
[[limit]]
subject = \"dev/long\"
session_s = 2
";

#[test]
fn a_statement_that_goes_too_far_fails_and_the_session_goes_on() {
    let it = Installation::new(AgentPlace::Separate, LIMITS, |_, _, _| {});
    let far = "select generate_series(1, 5000000)";
    for statement in [
        far,
        "copy (select generate_series(1, 5000000)) to stdout",
        "select * from clinic.patients",
        "table clinic.claims",
    ] {
        let answer = it.ask(&staff("rows"), &[statement, "select 'goes on'"]);
        assert_eq!(answer.codes, ["54000"], "{statement}: {}", answer.said);
        assert!(answer.said.contains("more rows than the limit of 100"), "{}", answer.said);
        assert!(
            answer.rows.len() <= 101 && answer.rows.ends_with(&["goes on".to_owned()]),
            "{:?}",
            answer.rows
        );
    }
    let within = it.ask(&staff("rows"), &["select generate_series(1, 100)"]);
    assert_eq!((within.rows.len(), within.codes.len()), (100, 0), "{}", within.said);
    // It has failed at the target too: the transaction is what it is after any failure.
    let answer = it.ask(&staff("rows"), &["begin", far, "select 2", "rollback", "select 3"]);
    assert_eq!(
        (answer.codes, answer.rows.last().unwrap().as_str()),
        (vec!["54000".into(), "25P02".into()], "3")
    );
    // A string of several ends with the one that goes too far.
    let answer =
        it.ask(&staff("rows"), &["select 1; select generate_series(1, 5000000); select 2", "select 3"]);
    assert_eq!(
        (answer.codes.as_slice(), answer.rows.last().unwrap().as_str()),
        (&["54000".to_owned()][..], "3")
    );
    assert!(!answer.rows.contains(&"2".to_owned()));

    for statement in [
        "select repeat('x', 30000)",
        "select repeat('x', 5000000)",
        "select repeat('x', 900) from generate_series(1, 90)",
    ] {
        let answer = it.ask(&staff("bytes"), &[statement, "select 'goes on'"]);
        assert_eq!(answer.codes, ["54000"], "{statement}: {}", answer.said);
        assert!(answer.rows.iter().map(String::len).sum::<usize>() <= 20_000, "{statement}");
        assert_eq!(answer.rows.last().unwrap(), "goes on", "{statement}");
    }

    // What was written stays written, and the client is told so rather than that it failed.
    let write = "insert into clinic.made select generate_series(1, 200) returning a";
    let answer = it.ask(&staff("rows"), &["create table clinic.made (a int)", write, "select 'goes on'"]);
    assert_eq!(
        (answer.codes.as_slice(), answer.rows.len()),
        (&["54000".to_owned()][..], 0),
        "{}",
        answer.said
    );
    assert!(answer.said.contains("FATAL") && answer.said.contains("was carried out"), "{}", answer.said);
    assert_eq!(it.cluster.sql("select count(*) from clinic.made").unwrap().trim(), "200");

    let hits = it.entries("limit.hit");
    assert_eq!(hits.len(), 10, "{hits:?}");
    let first = &hits[0];
    assert_eq!(
        (&first["limit"], &first["maximum"], &first["operation"]),
        (&json!("rows_per_statement"), &json!(100), &json!(1))
    );
    assert!(first["value"].as_u64().unwrap() > 100);
    for outcome in it.entries("operation.outcome") {
        assert!(outcome["rows"].as_u64().unwrap() <= 100 || outcome["status"] == "ok", "{outcome}");
    }
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn the_extended_protocol_is_held_to_the_same_limits() {
    let it = Installation::new(AgentPlace::InProcess, LIMITS, |_, _, _| {});
    let script = it.home.path().join("script.sql");
    std::fs::write(&script, "select generate_series(1, 5000000);\n").unwrap();
    for mode in ["extended", "prepared"] {
        let mut pgbench = Command::new(postgres_programs().unwrap().join("pgbench"));
        pgbench.args(["-n", "-t", "1", "-M", mode, "-f"]).arg(&script);
        let output = pgbench.arg(it.boundary.credential(&staff("rows")).unwrap()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("more rows than the limit of 100"), "{mode}: {said}");
    }
    assert_eq!(it.hits(), ["rows_per_statement", "rows_per_statement"]);
}

#[test]
fn what_is_counted_over_time_is_counted_over_all_sessions() {
    let it = Installation::new(AgentPlace::InProcess, LIMITS, |_, _, _| {});
    let hundred = "select generate_series(1, 100)";
    assert_eq!(it.ask(&staff("hour"), &[hundred]).rows.len(), 100);
    let over = it.ask(&staff("hour"), &[hundred, "select generate_series(1, 50)", "select 1"]);
    assert_eq!(over.codes, ["53400", "53400"], "{}", over.said);
    assert_eq!(over.rows.len(), 50);
    assert!(over.said.contains("within an hour"), "{}", over.said);
    assert_eq!(it.ask(&staff("other"), &[hundred]).rows.len(), 100);

    let answer =
        it.ask(&staff("weight"), &["select repeat('x', 4000)", "select repeat('x', 4000)", "select 1"]);
    assert_eq!(
        (answer.codes.as_slice(), answer.rows.len()),
        (&["53400".to_owned()][..], 2),
        "{}",
        answer.said
    );

    let answer = it.ask(&staff("often"), &["select 1", "select 2"]);
    assert_eq!(answer.rows, ["1", "2"]);
    let answer = it.ask(&staff("often"), &["select 3", "select 4", "select 5; select 6"]);
    assert_eq!((answer.rows, answer.codes), (vec!["3".to_owned()], vec!["53400".to_owned(); 2]));
    let refused = it.entries("operation.refused");
    assert_eq!(refused.iter().filter(|entry| entry["code"] == "too_often").count(), 3, "{refused:?}");

    assert_eq!(
        it.hits(),
        [
            "rows_per_hour",
            "rows_per_hour",
            "bytes_per_hour",
            "statements_per_minute",
            "statements_per_minute"
        ]
    );
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_restart_gives_nothing_back_of_what_was_used() {
    let mut it = Installation::new(AgentPlace::InProcess, LIMITS, |_, _, _| {});
    let hundred = "select generate_series(1, 100)";
    assert_eq!(it.ask(&staff("hour"), &[hundred]).rows.len(), 100);
    it.boundary.restart_gateway().unwrap();
    let over = it.ask(&staff("hour"), &[hundred, "select generate_series(1, 50)"]);
    assert_eq!((over.codes.as_slice(), over.rows.len()), (&["53400".to_owned()][..], 50), "{}", over.said);
    // One that is killed forgets no more than the last seconds.
    std::thread::sleep(Duration::from_secs(7));
    it.boundary.gateway().kill().unwrap();
    it.boundary.restart_gateway().unwrap();
    assert_eq!(it.ask(&staff("hour"), &["select 1"]).codes, ["53400"]);
    assert_eq!(it.ask(&staff("other"), &[hundred]).rows.len(), 100);
}

#[test]
fn sessions_are_limited_in_number_and_time() {
    let it = Installation::new(AgentPlace::InProcess, LIMITS, |_, _, _| {});
    let url = it.boundary.credential(&staff("many")).unwrap();
    let mut client = open(&url);
    it.live();
    let second = run(&url, &["select 1"]);
    assert!(
        second.rows.is_empty() && second.said.contains("as many sessions as you may: 1"),
        "{}",
        second.said
    );
    drop(client.stdin.take());
    client.wait().unwrap();
    let begun = Instant::now();
    while run(&url, &["select 1"]).rows != ["1"] {
        assert!(begun.elapsed().as_secs() < 5, "the place was not given back");
    }

    // Nothing is asked, so nothing keeps it busy: `psql` hears of it with its next statement.
    let mut client = open(&it.boundary.credential(&staff("idle")).unwrap());
    say(&mut client, "select 'here';");
    let session = it.live();
    let closed = it.closed(&session);
    assert_eq!(closed["reason"], "idle");
    assert!((900_000..4_000_000).contains(&closed["duration_us"].as_u64().unwrap()), "{closed}");
    let (told, _) = ended(client, Instant::now());
    assert_eq!(
        (told.codes.as_slice(), told.rows),
        (&["57P05".to_owned()][..], vec!["here".to_owned()]),
        "{}",
        told.said
    );
    // What runs is not idle.
    let busy = it.ask(&staff("idle"), &["select 'done' from pg_sleep(2.5)"]);
    assert_eq!(busy.rows, ["done"], "{}", busy.said);

    let since = Instant::now();
    let mut client = open(&it.boundary.credential(&staff("long")).unwrap());
    say(&mut client, "select pg_sleep(60);");
    drop(client.stdin.take());
    let (told, after) = ended(client, since);
    assert_eq!(told.codes, ["57P01"], "{}", told.said);
    assert!((1_500..6_000).contains(&after.as_millis()), "after {after:?}");
    it.until_running("pg_sleep", false);
    assert_eq!(it.hits(), ["sessions", "idle_s", "session_s"]);
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn other_policies_reach_sessions_that_are_open() {
    let mut it = Installation::new(AgentPlace::InProcess, LIMITS, |_, _, _| {});
    let policy = it.home.path().join("chaperone/policy");
    let (url, staying) =
        (it.boundary.credential(&staff("ana")).unwrap(), it.boundary.credential(&staff("ben")).unwrap());
    let mut goes = open(&url);
    say(&mut goes, "select pg_sleep(60);");
    it.until_running("pg_sleep", true);
    let session = it.live();
    let mut stays = open(&staying);
    say(&mut stays, "select generate_series(1, 300) % 2;");
    let begun = Instant::now();
    while !it.entries("operation.outcome").iter().any(|entry| entry["rows"] == 300) {
        assert!(begun.elapsed().as_secs() < 10, "the first statement was not answered");
    }

    std::fs::write(policy.join("limits.toml"), "[[limit]]\nsubject = \"dev/ben\"\nrows_per_statement = 10\n")
        .unwrap();
    let forbid = "forbid (principal == Person::\"dev/ana\", action == Action::\"connect\", resource);\n";
    std::fs::write(policy.join("forbid.cedar"), forbid).unwrap();
    it.boundary.gateway().signal(Signal::HUP).unwrap();
    drop(goes.stdin.take());
    let (told, after) = ended(goes, Instant::now());
    assert!(after < Duration::from_secs(5), "after {after:?}");
    assert_eq!(told.codes, ["42501"], "{}", told.said);
    it.until_running("pg_sleep", false);
    let closed = it.closed(&session);
    assert_eq!(closed["reason"], "no_longer_admitted");
    assert!(closed["ended_after_us"].as_u64().unwrap() < 5_000_000, "{closed}");
    assert_eq!(run(&url, &["select 1"]).rows, Vec::<String>::new());

    // The other one goes on, under the new limits.
    say(&mut stays, "select generate_series(1, 300);\nselect 'still here';");
    drop(stays.stdin.take());
    let stayed = answer(stays.wait_with_output().unwrap());
    assert_eq!((stayed.rows.len(), stayed.rows.last().unwrap().as_str()), (301, "still here"));
    assert_eq!(stayed.codes, ["54000"], "{}", stayed.said);
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

/// A login that has nothing, a role for each of two people, and rows that each may see only as himself.
const PEOPLE: &str = "
create role people login noinherit password 'bare';
create role \"dev/ana\"; create role \"dev/ben\"; create role bills login password 'bills';
create table clinic.mine (who name, said text);
insert into clinic.mine values ('dev/ana', 'of ana'), ('dev/ben', 'of ben');
alter table clinic.mine enable row level security;
create policy own on clinic.mine using (who = current_user);
grant usage on schema clinic to \"dev/ana\", \"dev/ben\", bills;
grant select on clinic.mine to \"dev/ana\", \"dev/ben\"; grant select on clinic.claims to bills;
grant \"dev/ana\", \"dev/ben\" to people; grant connect on database clinic to people";

const LOGINS: &str = "[[targets.clinic.logins]]\nlogin = \"nowhere\"\ngroups = [\"dev/nowhere\"]\n\
    [[targets.clinic.logins]]\nlogin = \"billing\"\ngroups = [\"dev/billing\"]\n\
    [[targets.clinic.logins]]\nlogin = \"people\"\ngroups = [\"dev/staff\", \"dev/readers\"]\nrole = \"subject\"\n";

fn with_logins(layout: &mut Layout, cluster: &Cluster, home: &Path) {
    cluster.sql(PEOPLE).unwrap();
    let secret = |name: &str| {
        let file = home.join(name);
        std::fs::write(&file, name).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        Value::from(file.to_string_lossy()).to_string()
    };
    layout.more = LOGINS.to_owned();
    layout.more_of_agent = format!(
        "[targets.clinic.logins.billing]\nuser = \"bills\"\npassword = {{ file = {} }}\n\
         [targets.clinic.logins.people]\nuser = \"people\"\npassword = {{ file = {} }}\nroles = [\"dev/*\"]\n",
        secret("bills"),
        secret("bare")
    );
}

#[test]
fn a_session_is_its_subject_at_the_database_and_stays_it() {
    let it = Installation::new(AgentPlace::Separate, "", with_logins);
    let mine = "select said from clinic.mine";
    for (caller, said) in [
        (staff("ana"), "of ana"),
        (staff("ben"), "of ben"),
        (Caller { groups: &["readers"], ..staff("ana") }, "of ana"),
    ] {
        let answer = it.ask(&caller, &[mine]);
        assert_eq!(answer.rows, [said], "{}", answer.said);
    }
    // Whoever has every verb still speaks only words that are understood, and nothing leads out of the role.
    for out in [
        "set role none",
        "set role \"dev/ben\"",
        "set local role \"dev/ben\"",
        "set session authorization \"dev/ben\"",
        "select set_config('role', 'dev/ben', false)",
        "select set_config('ro' || 'le', 'none', false)",
        "do $$ begin execute 'set role \"dev/ben\"'; end $$",
        "create function clinic.out() returns void language sql as 'set role none'",
        "reset role",
        "reset session authorization",
        "reset all",
        "discard all",
        "begin; set local role \"dev/ben\"; commit",
        "begin; savepoint s; select set_config('role', 'dev/ben', true); rollback to s; commit",
    ] {
        for caller in [staff("ana"), Caller { groups: &["readers"], ..staff("ana") }] {
            let answer = it.ask(&caller, &[out, "rollback", mine]);
            assert_eq!(answer.rows.last().map(String::as_str), Some("of ana"), "{out}: {answer:?}");
            assert!(!answer.rows.contains(&"of ben".to_owned()), "{out}: {answer:?}");
        }
    }
    // Without the role there is nothing that the login may read.
    let bare = format!("postgresql://people:bare@127.0.0.1:{}/clinic", it.cluster.port());
    assert_eq!(run(&bare, &[mine]).codes, ["42501"]);
    // Nobody without a role of his own gets in by this login.
    let eve = it.ask(&staff("eve"), &[mine]);
    assert!(eve.rows.is_empty() && eve.said.contains("cannot log in to the target"), "{}", eve.said);

    let joined = it.entries("session.joined");
    assert_eq!(
        (&joined[0]["backend"]["login"], &joined[0]["backend"]["role"]),
        (&json!("people"), &json!("dev/ana"))
    );
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn groups_have_logins_of_their_own_and_a_login_with_rights_takes_no_role() {
    let it = Installation::new(AgentPlace::Separate, "", with_logins);
    let clerk = Caller { subject: "ben", groups: &["billing", "staff"], client: None };
    let answer =
        it.ask(&clerk, &["select count(*) > 0 from clinic.claims", "select * from clinic.medications"]);
    assert_eq!((answer.rows, answer.codes), (vec!["t".to_owned()], vec!["42501".to_owned()]));
    let joined = it.entries("session.joined").pop().unwrap();
    assert_eq!((&joined["backend"]["login"], joined["backend"].get("role")), (&json!("bills"), None));

    let nowhere = it.ask(&Caller { groups: &["nowhere", "readers"], ..staff("ana") }, &["select 1"]);
    assert_eq!(nowhere.rows, Vec::<String>::new());
    it.cluster.sql("grant select on clinic.claims to people").unwrap();
    let refused = it.ask(&staff("ana"), &["select said from clinic.mine"]);
    assert!(
        refused.rows.is_empty() && refused.said.contains("cannot log in to the target"),
        "{}",
        refused.said
    );
    let mut it = it;
    let log = it.boundary.agent().unwrap().log();
    assert!(log.contains("something is granted to it"), "{log}");
    assert!(log.contains("login `nowhere` is not in `logins`"), "{log}");
}
