//! What the boundary promises, asked from outside: refusals, the record, and what is left after something dies.

#![allow(clippy::unwrap_used, reason = "a test's own set-up may fail it")]

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, capture, private_folder, root, target_dir,
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const NURSE: Caller = Caller { subject: "ana", groups: &["nurses"], client: None };
const CLERK: Caller = Caller { subject: "ben", groups: &["billing"], client: None };
const CLERKS_AI: Caller = Caller { subject: "ben", groups: &["billing"], client: Some("claude") };
const ENGINEER: Caller = Caller { subject: "dora", groups: &["engineers"], client: None };
const NOBODY: Caller = Caller { subject: "eve", groups: &[], client: None };

/// An installation of the demonstration's kind. Fields end in order.
struct Installation {
    boundary: Boundary,
    cluster: Cluster,
    home: TempDir,
}

impl Installation {
    fn new(agent: AgentPlace, tls: bool) -> Result<Self, chaperone_tests::Failure> {
        let home = private_folder("test")?;
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None)?;
        let mut layout = Layout::new(agent);
        layout.tls = tls;
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout)?;
        Ok(Self { boundary, cluster, home })
    }

    /// Wait until the database runs a statement with these words.
    fn until_running(&self, words: &str) {
        let ask = format!(
            "select count(*) from pg_stat_activity where state = 'active' and query like '%{words}%' \
             and pid <> pg_backend_pid()"
        );
        let url = self.cluster.superuser_url().unwrap();
        let begun = std::time::Instant::now();
        while psql(&url, &ask).rows == "0" {
            assert!(begun.elapsed().as_secs() < 20, "the database never ran `{words}`");
        }
    }

    /// The answer, once an agent serves again.
    fn psql_until_served(&self, caller: &Caller, statement: &str) -> String {
        let begun = std::time::Instant::now();
        loop {
            let answer = self.psql(caller, statement).unwrap();
            if answer.sqlstate.is_none() {
                return answer.rows;
            }
            assert!(begun.elapsed().as_secs() < 20, "{answer:?}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// What an agent says that is started with a token and ends by itself.
    fn run_agent(&self, config: &std::path::Path, token: &std::path::Path) -> String {
        let program = Layout::new(AgentPlace::Separate).program;
        let mut agent = Command::new(program);
        agent.args(["agent", "--config"]).arg(config).arg("--token-file").arg(token);
        String::from_utf8_lossy(&agent.output().unwrap().stderr).into_owned()
    }

    fn psql(&self, caller: &Caller, statement: &str) -> Result<Answer, chaperone_tests::Failure> {
        Ok(psql(&self.boundary.credential(caller)?, statement))
    }
}

/// What `psql` printed, and the SQLSTATE of the error if there was one.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    rows: String,
    sqlstate: Option<String>,
    said: String,
}

fn psql(url: &str, statement: &str) -> Answer {
    let mut command = Command::new("psql");
    command.args([
        "-X",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-v",
        "VERBOSITY=verbose",
        "-d",
        url,
        "-c",
        statement,
    ]);
    let Output { stdout, stderr, .. } = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| unreachable!("psql cannot be run: {error}"));
    let said = String::from_utf8_lossy(&stderr).into_owned();
    let after = said.split_once("ERROR:  ").or_else(|| said.split_once("FATAL:  ")).map(|(_, after)| after);
    let sqlstate = after.map(|after| after.chars().take(5).collect());
    Answer { rows: String::from_utf8_lossy(&stdout).trim_end().to_owned(), sqlstate, said }
}

#[test]
fn each_caller_gets_what_policy_says_and_no_more() {
    for place in [AgentPlace::InProcess, AgentPlace::Separate] {
        let it = Installation::new(place, false).unwrap();
        let answered = [
            (&NURSE, "select count(*) from clinic.patients", "20000"),
            (&CLERK, "update clinic.claims set status = 'open' where claim_id = 3 returning claim_id", "3"),
            (&CLERKS_AI, "select count(*) from clinic.claims", "60065"),
            (&ENGINEER, "create table clinic.made (a integer); select 1", "1"),
        ];
        for (caller, statement, rows) in answered {
            let answer = it.psql(caller, statement).unwrap();
            assert_eq!(
                (answer.rows.as_str(), &answer.sqlstate),
                (rows, &None),
                "{statement}: {}",
                answer.said
            );
        }
        let refused = [
            (&NURSE, "select * from clinic.claims"),
            (&NURSE, "delete from clinic.patients"),
            (&CLERK, "select * from clinic.medications"),
            (&CLERK, "select c.amount from clinic.claims c where exists (select from clinic.encounters)"),
            (&CLERK, "with p as (select * from clinic.medications) select count(*) from p"),
            (&CLERK, "select query_to_xml('select * from clinic.patients', true, false, '')"),
            (&CLERK, "select 1; select * from clinic.medications"),
            (&CLERK, "copy clinic.medications to stdout"),
            (&CLERKS_AI, "update clinic.claims set status = 'paid'"),
        ];
        for (caller, statement) in refused {
            let answer = it.psql(caller, statement).unwrap();
            assert!(answer.sqlstate.is_some() && answer.rows.is_empty(), "{statement}: {answer:?}");
        }
        let paid = it.cluster.sql("select count(*) from clinic.claims where status = 'paid'").unwrap();
        assert_ne!(paid.trim(), "60065", "a refused update reached the database");
    }
}

#[test]
fn a_session_goes_back_to_what_its_client_asked_for() {
    for place in [AgentPlace::InProcess, AgentPlace::Separate] {
        let it = Installation::new(place, false).unwrap();
        for caller in [&NURSE, &ENGINEER] {
            let url = it.boundary.credential(caller).unwrap();
            let with = |setting: &str| {
                let mark = if url.contains('?') { '&' } else { '?' };
                format!("{url}{mark}options=-c%20{setting}")
            };
            let asked = "set timezone = 'UTC'; reset all; show timezone";
            let answer = psql(&with("timezone%3DAsia/Tokyo"), asked);
            assert_eq!(answer.rows, "Asia/Tokyo", "{}", answer.said);
            // What the target does not bear is said in its own words.
            let wrong = psql(&with("timezone%3DNowhere"), "select 1");
            assert!(wrong.said.contains("invalid value for parameter"), "{}", wrong.said);
            // How names resolve does not depend on the agent.
            let path = psql(&with("search_path%3Dclinic"), "reset all; show search_path");
            assert_eq!(path.rows, "\"$user\", public", "{}", path.said);
        }
    }
}

#[test]
fn bad_credentials_look_alike() {
    let it = Installation::new(AgentPlace::InProcess, false).unwrap();
    let url = it.boundary.credential(&NOBODY).unwrap();
    let not_permitted = psql(&url, "select 1");
    assert!(not_permitted.said.contains("FATAL") && not_permitted.rows.is_empty(), "{not_permitted:?}");

    let url = it.boundary.credential(&NURSE).unwrap();
    let (_, rest) = url.split_once("://").unwrap();
    let (login, host) = rest.rsplit_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let wrong = psql(
        &format!("postgresql://{user}:{}@{host}", password.chars().rev().collect::<String>()),
        "select 1",
    );
    let forged = psql(
        &format!("postgresql://{}:{password}@{host}", user.chars().rev().collect::<String>()),
        "select 1",
    );
    let unknown = psql(&format!("postgresql://ana:{password}@{host}"), "select 1");
    // A credential opens one target: it is nobody's at another, whether that exists or not.
    let elsewhere = psql(&url.replace("/clinic", "/nowhere"), "select 1");
    assert!(wrong.said.contains("FATAL"), "{wrong:?}");
    for other in [forged, unknown, elsewhere] {
        // libpq repeats the address; the server's own words come after it.
        let words = |answer: &Answer| answer.said.rsplit("FATAL:").next().map(str::to_owned);
        assert_eq!(words(&wrong), words(&other));
    }
}

#[test]
fn what_was_asked_is_on_record_and_verifies() {
    let it = Installation::new(AgentPlace::InProcess, false).unwrap();
    let marker = "select count(*) from clinic.claims where status = 'denied' and amount > 123.45";
    assert_eq!(it.psql(&CLERKS_AI, marker).unwrap().sqlstate, None);
    assert!(it.psql(&CLERKS_AI, "delete from clinic.claims").unwrap().sqlstate.is_some());

    let sessions = it.boundary.cli_json(&["sessions"]).unwrap();
    let sessions: Vec<&Value> =
        sessions.as_array().unwrap().iter().filter(|s| s.to_string().contains("claude")).collect();
    assert_eq!(sessions.len(), 2);
    let refused: Vec<u64> = sessions.iter().map(|session| session["refused"].as_u64().unwrap()).collect();
    assert_eq!(refused.iter().sum::<u64>(), 1);

    let answered =
        sessions.iter().find(|session| session["refused"] == 0).unwrap()["session"].as_str().unwrap();
    let sealed = it.boundary.cli_json(&["session", "show", answered]).unwrap();
    assert!(!sealed.to_string().contains("123.45"), "statement text is in the clear: {sealed}");
    let key = it.boundary.reader_key();
    let opened =
        it.boundary.cli_json(&["session", "show", answered, "--reader-key", &key.to_string_lossy()]).unwrap();
    assert!(opened.to_string().contains("123.45"), "the reader does not see the statement: {opened}");

    it.boundary.cli(&["trail", "verify"]).unwrap();
    let found = Command::new("grep")
        .args(["-rlE", "123\\.45|MRN-1000017"])
        .arg(it.boundary.trail())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "statement text lies in the trail in the clear");
}

#[test]
fn what_a_commit_at_the_end_of_a_pipeline_undoes_is_on_record() {
    let it = Installation::new(AgentPlace::InProcess, false).unwrap();
    it.cluster
        .sql(
            "create table clinic.parents (id int primary key);
             create table clinic.children (parent int references clinic.parents deferrable initially deferred);
             grant all on clinic.parents, clinic.children to public",
        )
        .unwrap();
    // The constraint is looked at when the pipeline's Sync commits, after the insert has ended well.
    let program = r#"
import psycopg, sys
with psycopg.connect(sys.argv[1], autocommit=True) as it:
    try:
        it.execute("insert into clinic.children values (%s)", (1,))
        print("stayed")
    except psycopg.Error as error:
        print(error.sqlstate)
"#;
    let url = it.boundary.credential(&ENGINEER).unwrap();
    let mut python = Command::new(target_dir().join("drivers/python/bin/python"));
    assert_eq!(capture(python.args(["-c", program, &url])).unwrap().trim(), "23503");
    assert_eq!(it.cluster.sql("select count(*) from clinic.children").unwrap().trim(), "0");

    let sessions = it.boundary.cli_json(&["sessions"]).unwrap();
    let session = sessions[0]["session"].as_str().unwrap();
    let shown = it.boundary.cli_json(&["session", "show", session]).unwrap();
    let undone =
        shown["entries"].as_array().unwrap().iter().find(|entry| entry["kind"] == "operations.undone");
    let undone = undone.unwrap_or_else(|| panic!("{shown:#}"));
    assert_eq!((&undone["operation"], &undone["sqlstate"]), (&1.into(), &"23503".into()), "{undone:#}");
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn tls_binds_the_login_to_the_channel() {
    let it = Installation::new(AgentPlace::InProcess, true).unwrap();
    let url = it.boundary.credential(&NURSE).unwrap();
    let base = url.split('?').next().unwrap().replace("127.0.0.1", "localhost");
    let root = it.home.path().join("chaperone/server.crt");
    let with = |more: &str| psql(&format!("{base}?{more}"), "select count(*) from clinic.clinics");
    let bound = with(&format!("sslmode=verify-full&sslrootcert={}&channel_binding=require", root.display()));
    assert_eq!((bound.rows.as_str(), bound.sqlstate), ("8", None), "{}", bound.said);
    let plain = with("sslmode=disable");
    assert!(plain.rows.is_empty() && !plain.said.is_empty(), "plain text was accepted: {plain:?}");
    let stranger = with(&format!("sslmode=verify-full&sslrootcert={}", "/etc/hostname"));
    assert!(stranger.rows.is_empty(), "{stranger:?}");
}

/// Bytes of the value below: as much as fits a message of PostgreSQL's, nearly.
const LARGE: u64 = 900_000_000;
/// What the gateway may take for it, agent and all, in KiB.
const LARGE_KIB_MAX: u64 = 64 * 1024;

#[test]
fn a_large_value_passes_both_ways_without_being_held() {
    let mut it = Installation::new(AgentPlace::InProcess, false).unwrap();
    let url = it.boundary.credential(&ENGINEER).unwrap();
    let peak = Peak::of(it.boundary.gateway().id());
    // In binary form, and read in pieces: neither libpq nor a driver holds less than the whole.
    let mut client = Command::new("python3");
    client.arg(root().join("tests/drivers/large.py")).arg(&url).arg(LARGE.to_string());
    let said = capture(&mut client).unwrap();
    assert_eq!(said.trim(), format!("received {LARGE}\nsent {LARGE}"));
    let (held, looks) = peak.end();
    println!("the gateway held {held} KiB at most, of {looks} looks");
    assert!(looks > 20 && held > 0, "{looks} looks");
    assert!(held < LARGE_KIB_MAX, "the gateway held {held} KiB for a value of 900 MB");
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

/// The most memory that a process holds, seen by looking at it again and again: its own pages, without the program's text,
/// of which an unoptimised build has more than it has data.
struct Peak {
    stop: Arc<AtomicBool>,
    seen: std::thread::JoinHandle<(u64, u64)>,
}

impl Peak {
    fn of(process: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let seen = std::thread::spawn(move || {
            let (mut most, mut looks) = (0, 0);
            while !asked.load(Ordering::Relaxed) {
                most = most.max(own_kib(process));
                looks += 1;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            (most, looks)
        });
        Self { stop, seen }
    }

    /// The most in KiB, and how often it was looked.
    fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.seen.join().unwrap()
    }
}

fn own_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    own.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A client that runs one statement; what it said, and how long after `since` it ended.
fn ended(client: std::process::Child, since: std::time::Instant) -> (String, std::time::Duration) {
    let output = client.wait_with_output().unwrap();
    (String::from_utf8_lossy(&output.stderr).into_owned(), since.elapsed())
}

fn asking(url: &str, statement: &str) -> std::process::Child {
    let mut client = Command::new("psql");
    client.args(["-X", "-q", "-A", "-t", "-v", "VERBOSITY=verbose", "-d", url, "-c", statement]);
    client.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_lost_agent_ends_its_sessions_and_the_record_says_so() {
    // Killed, the kernel closes its sockets; stopped, only silence tells.
    for signal in [Signal::KILL, Signal::STOP] {
        let mut it = Installation::new(AgentPlace::Separate, false).unwrap();
        let url = it.boundary.credential(&ENGINEER).unwrap();
        let client = asking(&url, "select pg_sleep(60)");
        it.until_running("pg_sleep");
        let since = std::time::Instant::now();
        it.boundary.agent().unwrap().signal(signal).unwrap();
        let (said, after) = ended(client, since);
        assert!(after.as_secs() < 5, "the client waited {after:?} after {signal:?}");
        assert!(said.contains("lost"), "{signal:?}: {said}");
        if signal == Signal::STOP {
            it.boundary.agent().unwrap().signal(Signal::CONT).unwrap();
        } else {
            it.boundary.start_agent().unwrap();
        }
        // The agent comes back by itself, or is started again, and serves.
        let again = it.psql_until_served(&NURSE, "select count(*) from clinic.clinics");
        assert_eq!(again, "8");
        let sessions = it.boundary.cli_json(&["sessions"]).unwrap();
        let sessions = sessions.as_array().unwrap();
        let lost = sessions.iter().find(|session| session["state"] == "target_lost").unwrap();
        let shown = it.boundary.cli_json(&["session", "show", lost["session"].as_str().unwrap()]).unwrap();
        let entries = shown["entries"].as_array().unwrap();
        let outcome = entries.iter().find(|entry| entry["kind"] == "operation.outcome").unwrap();
        assert_eq!(outcome["status"], "lost", "{signal:?}: {outcome}");
        it.boundary.cli(&["trail", "verify"]).unwrap();
    }
}

#[test]
fn an_agent_that_is_stopped_lets_its_sessions_end() {
    let mut it = Installation::new(AgentPlace::Separate, false).unwrap();
    let url = it.boundary.credential(&ENGINEER).unwrap();
    let client = asking(&url, "select 'to the end' from pg_sleep(3)");
    it.until_running("pg_sleep");
    it.boundary.agent().unwrap().signal(Signal::TERM).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let refused = it.psql(&NURSE, "select 1 from clinic.clinics").unwrap();
    assert!(refused.said.contains("no agent serves"), "{refused:?}");
    let output = client.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "to the end", "{output:?}");
    assert!(it.boundary.agent().unwrap().stop().unwrap().success());
    it.boundary.cli(&["trail", "verify"]).unwrap();
    let log = it.boundary.agent().unwrap().log();
    assert!(!log.contains("were not fetched"), "{log}");
}

#[test]
fn a_token_enrols_once_and_a_locked_agent_serves_no_more() {
    let mut it = Installation::new(AgentPlace::Separate, false).unwrap();
    let used = it.home.path().join("chaperone/enrolment.token");
    let config = it.home.path().join("chaperone/agent.toml");
    let again = it.run_agent(&config, &used);
    assert!(again.contains("does not accept this agent"), "{again}");

    let url = it.boundary.credential(&ENGINEER).unwrap();
    let client = asking(&url, "select pg_sleep(60)");
    it.until_running("pg_sleep");
    let since = std::time::Instant::now();
    it.boundary.cli(&["agent", "lock", "beside-the-clinic", "--reason", "a drill"]).unwrap();
    let (said, after) = ended(client, since);
    assert!(after.as_secs() < 5 && said.contains("lost"), "after {after:?}: {said}");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let refused = it.psql(&NURSE, "select 1 from clinic.clinics").unwrap();
    assert!(refused.said.contains("no agent serves"), "{refused:?}");
    let agents = it.boundary.cli_json(&["agent", "list"]).unwrap();
    assert_eq!((&agents[0]["locked"], &agents[0]["linked"]), (&Value::from("a drill"), &Value::from(false)));

    // A new token for the same name makes it good again, and it comes back by itself to a gateway that was away.
    std::fs::remove_dir_all(it.home.path().join("chaperone/agent-state")).unwrap();
    it.boundary.start_agent().unwrap();
    assert_eq!(it.psql_until_served(&NURSE, "select count(*) from clinic.clinics"), "8");
    it.boundary.restart_gateway().unwrap();
    assert_eq!(it.psql_until_served(&NURSE, "select count(*) from clinic.clinics"), "8");
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn hostile_statements_end_in_an_error_while_others_go_on() {
    let it = Installation::new(AgentPlace::InProcess, false).unwrap();
    let home = it.home.path();
    let monsters = [
        ("parentheses", format!("select {}1{};", "(".repeat(100_000), ")".repeat(100_000)), "54001"),
        ("unions", format!("{};", vec!["select 1"; 10_000].join(" union ")), "54001"),
        ("long", format!("select '{}';", "x".repeat(5_000_000)), "54000"),
        ("nots", format!("select {} true;", "not ".repeat(200_000)), "54001"),
    ];
    let (clerk, nurse) = (it.boundary.credential(&CLERK).unwrap(), it.boundary.credential(&NURSE).unwrap());
    let engineer = it.boundary.credential(&ENGINEER).unwrap();
    for (name, text, sqlstate) in monsters {
        let script = home.join(format!("{name}.sql"));
        std::fs::write(&script, format!("{text}\nselect 'still here' from clinic.claims limit 1;\n"))
            .unwrap();
        for url in [&clerk, &engineer] {
            let mut hostile = Command::new("psql");
            hostile.args(["-X", "-q", "-A", "-t", "-v", "VERBOSITY=verbose", "-d", url, "-f"]).arg(&script);
            let hostile = hostile.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let other = psql(&nurse, "select count(*) from clinic.clinics");
            assert_eq!(other.rows, "8", "{name}: {}", other.said);
            let output = hostile.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains(sqlstate), "{name}: {}", said.chars().take(400).collect::<String>());
            let rows = String::from_utf8_lossy(&output.stdout);
            assert_eq!(rows.trim(), "still here", "{name}: the session did not go on");
        }
    }
    it.boundary.cli(&["trail", "verify"]).unwrap();
}

/// A small file system of its own, gone with the value.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount(at: &std::path::Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "none"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }

    fn resize(&self, megabytes: u32) {
        let options = format!("remount,size={megabytes}m");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_stops_everything_and_room_lets_it_go_on() {
    let home = private_folder("test").unwrap();
    let data = home.path().join("chaperone/data");
    let Some(disk) = SmallDisk::mount(&data, 50) else {
        println!("skipped: this user may not mount a small file system");
        return;
    };
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let layout = Layout::new(AgentPlace::InProcess);
    let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
    let url = boundary.credential(&ENGINEER).unwrap();
    // Statements that do not compress: their sealed text fills the first segment.
    let mut seed = 1_u64;
    let mut letter = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'0' + u8::try_from((seed >> 33) % 64).unwrap_or(0)).to_string().replace(['\'', '\\'], "x")
    };
    let mut script = String::new();
    for n in 0..60 {
        let noise: String = (0..900_000).map(|_| letter()).collect();
        script.push_str(&format!("select {n}, length('{noise}');\n"));
    }
    let file = home.path().join("load.sql");
    std::fs::write(&file, script).unwrap();
    let mut load = Command::new("psql");
    load.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-d", &url, "-f"]);
    let output = load.arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("58030"), "the disk never became full: {said}");
    let answered = String::from_utf8_lossy(&output.stdout).lines().count();
    assert!((5..60).contains(&answered), "{answered} statements were answered");
    let health = || boundary.status("/health").unwrap_or_default();
    assert_eq!(health(), "503");
    let refused = psql(&url, "select 1");
    assert!(refused.rows.is_empty() && refused.sqlstate.is_some(), "{refused:?}");

    disk.resize(400);
    let begun = std::time::Instant::now();
    while health() != "200" {
        assert!(begun.elapsed().as_secs() < 20, "it never went on");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(psql(&url, "select 1").rows, "1");
    boundary.cli(&["trail", "verify"]).unwrap();
    let tail = boundary.cli(&["trail", "tail", "--lines", "1000"]).unwrap();
    let gap = tail.lines().find(|line| line.contains("\"kind\":\"gap\"")).unwrap();
    assert!(gap.contains("no room on the disk"), "{gap}");
}

#[test]
fn a_client_may_name_itself_and_the_target_still_knows_the_session() {
    let it = Installation::new(AgentPlace::InProcess, false).unwrap();
    let named = "show application_name;\nset application_name = 'another';\nshow application_name;\n";
    for (caller, last) in
        [(&ENGINEER, "select count(*) from clinic.clinics, pg_sleep(1.5)"), (&NURSE, "select 8")]
    {
        let url = format!("{}&application_name=mine", it.boundary.credential(caller).unwrap());
        let script = it.home.path().join("names.sql");
        std::fs::write(&script, format!("{named}{last};\n")).unwrap();
        let mut client = Command::new("psql");
        client.args(["-X", "-q", "-A", "-t", "-d", &url, "-f"]).arg(&script).stdout(Stdio::piped());
        let client = client.spawn().unwrap();
        if caller == &ENGINEER {
            it.until_running("pg_sleep");
            let ask = "select application_name from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()";
            let at_target = it.cluster.sql(ask).unwrap();
            assert!(at_target.trim().starts_with("cp:"), "the target knows it as `{at_target}`");
        }
        let output = client.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.lines().collect::<Vec<_>>(), ["mine", "another", "8"], "{caller:?}");
    }
}

#[test]
fn a_statement_of_very_many_relations_is_carried_out_and_on_record() {
    let it = Installation::new(AgentPlace::InProcess, false).unwrap();
    let name = |n: usize| format!("clinic.many_{n}_{}", "x".repeat(40));
    let tables: Vec<String> = (0..700).map(|n| format!("create table {} ();", name(n))).collect();
    let granted = "grant all on all tables in schema clinic to chaperone";
    it.cluster.sql(&format!("{}\n{granted}", tables.join("\n"))).unwrap();
    let all = (0..700).map(name).collect::<Vec<_>>().join(", ");
    let locked =
        it.psql(&ENGINEER, &format!("begin; lock table {all} in access share mode; commit")).unwrap();
    assert_eq!(locked.sqlstate, None, "{}", locked.said);
    let sessions = it.boundary.cli_json(&["sessions"]).unwrap();
    let shown: String = (sessions.as_array().unwrap().iter())
        .map(|session| session["session"].as_str().unwrap())
        .map(|id| it.boundary.cli(&["session", "show", id, "--json"]).unwrap())
        .collect();
    assert_eq!(shown.matches("touches_left_out").count(), 1, "{shown}");
    it.boundary.cli(&["trail", "verify"]).unwrap();
}
