//! Declared commands, from a login to the program and back: what runs, as whom, what never reaches a shell, what ends it, what
//! its output may hold, and what the record says of it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test's own set-up may fail it"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use chaperone_tests::{AgentPlace, Boundary, Issuer, Layout, Person, is_root, private_folder, target_dir};
use serde_json::{Value, json};
use tempfile::TempDir;

/// As whom commands run where the tests are root.
const NOBODY: u32 = 65_534;
const PATIENCE: Duration = Duration::from_secs(15);

const POLICY: &str = r#"
@id("connect")
permit (principal in Group::"org/nurses", action == Action::"connect", resource == Target::"ops");
@id("engineers-have-every-verb")
permit (principal in Group::"org/engineers", action in [Action::"connect", Action::"read", Action::"insert",
  Action::"update", Action::"delete", Action::"define", Action::"call"], resource in Target::"ops");
@id("run")
permit (principal in Group::"org/nurses", action == Action::"invoke", resource in Target::"ops")
unless { resource == Tool::"ops/hidden" };
@id("phone-numbers-stay")
permit (principal in Group::"org/nurses", action == Action::"reveal", resource in Tag::"phi.phone");
"#;

/// The programs, each a script of its own.
const PROGRAMS: &[(&str, &str)] = &[
    ("arguments", "for argument; do printf '[%s]\\n' \"$argument\"; done"),
    ("fail", "echo out; echo err >&2; exit 7"),
    (
        "visit",
        "printf 'SSN 123-'; sleep 0.4; printf '45-6789, call (617) 555-0123\\n'; echo 'ssn 234-56-7890' >&2",
    ),
    ("children", "sleep 300 & echo $! > \"$OUT/child\"; echo $$ > \"$OUT/leader\"; echo ready; wait"),
    ("stubborn", "trap '' TERM; echo began; while :; do sleep 0.05; done"),
    ("flood", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"),
    (
        "long",
        "line=' the ward is quiet tonight'; for n in 1 2 3 4 5; do line=$line$line; done\n\
         i=0; while [ $i -lt 120 ]; do echo \"$i$line\"; sleep 0.27; i=$((i+1)); done",
    ),
    ("strange", "printf 'a\\377b\\033[1mc\\n'"),
];

/// An issuer, a gateway, and an agent with commands.
struct Place {
    ana: Person,
    issuer: Issuer,
    boundary: Boundary,
    home: TempDir,
}

fn programs(home: &Path) -> (PathBuf, PathBuf) {
    let (folder, out) = (home.join("programs"), home.join("out"));
    for made in [&folder, &out] {
        std::fs::create_dir(made).unwrap();
    }
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&out, PermissionsExt::from_mode(0o777)).unwrap();
    for (name, script) in PROGRAMS {
        let file = folder.join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }
    (folder, out)
}

fn agent_toml(home: &Path) -> String {
    let (folder, out) = programs(home);
    let user = if is_root() { format!("user = \"{NOBODY}:{NOBODY}\"\n") } else { String::new() };
    let simple = |name: &str, more: &str| {
        format!(
            "[targets.ops.commands.{name}]\ndescription = \"The test's {name}\"\nprogram = \"{}/{name}\"\n{more}\n",
            folder.display()
        )
    };
    let mut text = format!(
        "\n[targets.ops]\nkind = \"command\"\n{user}folder = \"/tmp\"\n\
         environment = {{ OUT = \"{}\", PATH = \"/usr/bin:/bin\" }}\n",
        out.display()
    );
    text += &simple(
        "arguments",
        "arguments = [\"--who={who}\", \"{who}\", \"{{literal}}\", \"-n{n}\"]\n\
         parameters.who = { type = \"text\", pattern = \".*\", bytes_max = 40 }\n\
         parameters.n = { type = \"integer\", minimum = -2, maximum = 5, required = false }\n",
    );
    text += &simple("stubborn", "time_s_max = 1\n");
    text += &simple("flood", "output_bytes_max = 10000\n");
    text += &simple("long", "time_s_max = 120\n");
    for name in ["fail", "visit", "children", "strange"] {
        text += &simple(name, "");
    }
    text += "[targets.ops.commands.hidden]\ndescription = \"Not for nurses\"\nprogram = \"/bin/true\"\n\
             [targets.ops.commands.identity]\ndescription = \"As whom\"\nprogram = \"/usr/bin/id\"\n\
             [targets.ops.commands.environment]\ndescription = \"What is set\"\nprogram = \"/usr/bin/env\"\n\
             [targets.ops.commands.memory]\ndescription = \"Too much\"\nprogram = \"/usr/bin/python3\"\n\
             arguments = [\"-c\", \"print(len(bytearray(400 * 1024 * 1024)))\"]\nmemory_bytes_max = 268435456\n";
    text
}

impl Place {
    fn new(agent: AgentPlace) -> Self {
        let home = private_folder("command").unwrap();
        let issuer = Issuer::start(&home.path().join("issuer"), "http://127.0.0.1:9/logout").unwrap();
        let mut layout = Layout::new(agent);
        std::fs::create_dir(home.path().join("policy")).unwrap();
        std::fs::write(home.path().join("policy/ops.cedar"), POLICY).unwrap();
        layout.policy = Some(home.path().join("policy"));
        layout.more_targets = vec!["ops".to_owned()];
        layout.more = format!(
            "[mcp]\n[targets.ops]\nprotocol = \"command\"\n\
             [issuers.org]\nurl = \"{}\"\nclient_id = \"chaperone-cli\"\n",
            issuer.url()
        );
        layout.more_of_agent = agent_toml(home.path());
        let boundary = Boundary::before(&home.path().join("chaperone"), &[], layout).unwrap();
        let ana = Person::new("ana", home.path(), &boundary);
        ana.log_in(&issuer).unwrap();
        Self { ana, issuer, boundary, home }
    }

    fn run(&self, words: &[&str]) -> Output {
        let words = [&["run", "ops"], words].concat();
        self.ana.command(&words).stdin(Stdio::null()).output().unwrap()
    }

    fn entries(&self, kind: &str) -> Vec<Value> {
        self.boundary.entries_of(kind).unwrap()
    }

    /// Everything that its commands started, by its number out here and the one that it knows itself by.
    fn running(&self) -> Vec<(u32, u32)> {
        let mark = format!("OUT={}/out", self.home.path().display());
        let numbers = std::fs::read_dir("/proc").unwrap();
        let numbers = numbers.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
        let known = |number: u32| {
            let of = |part: &str| {
                let bytes = std::fs::read(format!("/proc/{number}/{part}")).unwrap_or_default();
                String::from_utf8_lossy(&bytes).into_owned()
            };
            if !of("environ").contains(&mark) {
                return None;
            }
            let status = of("status");
            let own = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
            Some((number, own.split_whitespace().last()?.parse().ok()?))
        };
        numbers.filter_map(known).collect()
    }

    /// The number, out here, of a program that wrote its own into a file.
    fn number(&self, name: &str) -> u32 {
        let file = self.home.path().join("out").join(name);
        let own: u32 =
            until(|| std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()));
        until(|| self.running().into_iter().find_map(|(number, known)| (known == own).then_some(number)))
    }

    /// A request of the API's with ana's token, and its whole answer.
    fn api(&self, path: &str, body: &str) -> String {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-X", "POST", "--data-binary", body, "-H", "content-type: application/json"]);
        curl.args(["-H", "accept: application/json, text/event-stream"]);
        curl.args(["-H", &format!("authorization: Bearer {}", self.ana.token().unwrap())]);
        let said = curl.arg(format!("{}{path}", self.boundary.api_url())).output().unwrap();
        String::from_utf8(said.stdout).unwrap()
    }

    fn mcp(&self, method: &str, params: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let said = self.api("/mcp/ops", &request.to_string());
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"))
    }
}

fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a process is there and is no zombie.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_declared_runs_and_no_value_is_more_than_a_value() {
    let place = Place::new(AgentPlace::InProcess);
    for hostile in [
        "; rm -rf /",
        "$(id)",
        "`id`",
        "a b  c",
        "*",
        "é€😀",
        "{n}",
        "|cat",
        "&& id",
        "'\"",
        "../../etc/passwd",
        "",
    ] {
        let ran = place.run(&["arguments", "--param", &format!("who={hostile}")]);
        assert_eq!(out(&ran), format!("[--who={hostile}]\n[{hostile}]\n[{{literal}}]\n"), "{}", err(&ran));
        assert_eq!(ran.status.code(), Some(0));
    }
    let ran = place.run(&["arguments", "--param", "who=x", "--param", "n=-2"]);
    assert!(out(&ran).ends_with("[-n-2]\n"), "{}", out(&ran));
    // What is no value of its parameter is refused, and not told again.
    for (who, n) in [
        ("-rf", "1"),
        ("--help", "1"),
        ("two\nlines", "1"),
        ("tab\there", "1"),
        ("bell\u{7}", "1"),
        (&*"é".repeat(21), "1"),
        ("x", "6"),
        ("x", "1; id"),
        ("x", "0x1"),
    ] {
        let ran = place.run(&["arguments", "--param", &format!("who={who}"), "--param", &format!("n={n}")]);
        assert_eq!((ran.status.code(), &*out(&ran)), (Some(1), ""), "{who:?} {n:?}");
        assert!(err(&ran).contains("cannot be used"), "{}", err(&ran));
        assert!(who.len() < 3 || !err(&ran).contains(who), "{}", err(&ran));
    }
    let said =
        place.api("/api/v1/targets/ops/commands/arguments/run", r#"{"parameters":{"who":"a\u0000b"}}"#);
    assert!(said.contains("\"refused\"") && said.contains("`who` is text"), "{said}");
    let refused = place.entries("operation.refused");
    assert_eq!(refused.len(), 10);
    assert!(
        refused.iter().all(|entry| entry["code"] == "protocol_violation" && entry["command"] == "arguments")
    );
    // Output, its two ways, and the exit code.
    let ran = place.run(&["fail"]);
    assert_eq!((ran.status.code(), &*out(&ran), &*err(&ran)), (Some(7), "out\n", "err\n"));
    let lines: Vec<Value> = out(&place.run(&["fail", "--json"]))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines[0]["started"].is_string(), "{lines:?}");
    assert_eq!(lines.last().unwrap()["ended"]["exit_code"], 7);
    // As whom, and with what.
    if is_root() {
        let said = out(&place.run(&["identity"]));
        assert!(
            said.starts_with(&format!("uid={NOBODY}")) && said.contains(&format!("groups={NOBODY}")),
            "{said}"
        );
    }
    let mut set: Vec<String> = out(&place.run(&["environment"])).lines().map(str::to_owned).collect();
    set.sort();
    assert_eq!(set, [format!("OUT={}/out", place.home.path().display()), "PATH=/usr/bin:/bin".to_owned()]);
    // What is no text becomes text.
    assert_eq!(out(&place.run(&["strange"])), "a\u{fffd}b\u{1b}[1mc\n");
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn what_may_not_be_run_does_not_exist() {
    let place = Place::new(AgentPlace::InProcess);
    let words = |command: &str, ran: &Output| {
        assert_eq!((ran.status.code(), &*out(ran)), (Some(1), ""));
        err(ran).replace(command, "NAME")
    };
    let (hidden, nothing) = (place.run(&["hidden"]), place.run(&["hidder"]));
    assert_eq!(words("hidden", &hidden), words("hidder", &nothing));
    // Whatever is given to it.
    let with = place.run(&["hidden", "--param", "x=y"]);
    assert_eq!(err(&with), err(&hidden));
    let listed = out(&place.run(&["--json"]));
    assert!(listed.contains("\"arguments\"") && !listed.contains("hidden"), "{listed}");
    // No verb is a right to run.
    let dora = Person::new("dora", place.home.path(), &place.boundary);
    dora.log_in(&place.issuer).unwrap();
    let ran = dora.command(&["run", "ops", "fail"]).output().unwrap();
    assert_eq!(words("fail", &ran), words("hidden", &hidden));
    assert!(err(&dora.command(&["run", "ops"]).output().unwrap()).contains("no command"));
    // Whoever may not be there does not learn that there is such a target.
    let ben = Person::new("ben", place.home.path(), &place.boundary);
    ben.log_in(&place.issuer).unwrap();
    let there = ben.command(&["run", "ops", "fail"]).output().unwrap();
    let nowhere = ben.command(&["run", "opt", "fail"]).output().unwrap();
    assert_eq!(err(&there), err(&nowhere));
    assert!(err(&there).contains("no such target"), "{}", err(&there));
    // Whoever writes policies is told what each may run, of a target that takes no statements.
    let ask = |path: &str, body: Value| {
        let (status, said) = place.boundary.api("POST", path, &body).unwrap();
        assert_eq!(status, 200, "{path}: {said}");
        said
    };
    let explained = ask("/policies/explain", json!({"as": "org/ana", "target": "ops"}));
    let tools = explained["explanation"]["tools"].as_array().unwrap();
    let ruling = |tool: &str| tools.iter().find(|found| found["on"] == tool).unwrap()["ruling"].clone();
    assert_eq!((ruling("ops/fail"), ruling("ops/hidden")), (json!("allow"), json!("refuse")), "{explained}");
    assert_eq!((&explained["explanation"]["whole"], tools.len()), (&json!([]), 12), "{explained}");
    let matrix = ask("/policies/matrix", json!({}));
    assert_eq!(matrix["unread"], json!([]), "{matrix}");
    let listed = matrix["matrix"].as_str().unwrap();
    assert!(listed.contains("ops: tools") && !listed.contains("ops: the whole"), "{listed}");
    // A client of PostgreSQL finds no database there.
    let psql = place.ana.command(&["psql", "ops", "--", "-c", "select 1"]).output().unwrap();
    assert!(!psql.status.success() && err(&psql).contains("speaks `command`"), "{}", err(&psql));
    // What was typed as a name stands nowhere in clear unless it is one.
    let calls = place.entries("toolcall.started");
    let tools: Vec<&str> = calls.iter().map(|call| call["tool"].as_str().unwrap()).collect();
    assert_eq!(tools, ["hidden", "(undeclared)", "hidden", "fail"]);
    let ended = place.entries("toolcall.ended");
    assert!(
        ended.iter().all(|end| end["outcome"] == "refused" && end["code"] == "not_permitted"),
        "{ended:?}"
    );
}

#[test]
fn identifiers_do_not_pass_and_the_record_has_what_did() {
    let place = Place::new(AgentPlace::InProcess);
    let ran = place.run(&["visit"]);
    assert_eq!(
        out(&ran),
        "SSN [phi.ssn], call (617) 555-0123\n",
        "a number in two pieces, and one that policy leaves"
    );
    assert!(err(&ran).starts_with("ssn [phi.ssn]\n") && err(&ran).contains("2 x phi.ssn"), "{}", err(&ran));
    let (intent, outcome) = (&place.entries("operation.intent")[0], &place.entries("operation.outcome")[0]);
    assert_eq!(
        (&intent["tag"], &intent["command"], &intent["effect"]),
        (&json!("RUN"), &json!("visit"), &json!("may_write"))
    );
    assert_eq!(intent["decision"]["policies"], json!(["phone-numbers-stay", "run"]));
    assert_eq!(outcome["free_text"]["found"], json!({"phi.ssn": 2}));
    assert_eq!(
        (&outcome["status"], &outcome["exit_code"], &outcome["ended_by"]),
        (&json!("ok"), &json!(0), &json!("itself"))
    );
    let call = &place.entries("toolcall.started")[0];
    assert_eq!((&call["tool"], &call["call"]), (&json!("visit"), &intent["call"]));
    assert_eq!(call["delegation"]["tool"], "visit");
    let tree = place.boundary.cli_json(&["toolcall", "show", call["call"].as_str().unwrap()]).unwrap();
    assert_eq!((&tree["end"]["outcome"], &tree["operations"][0]["tag"]), (&json!("ok"), &json!("RUN")));
    // Nothing of the output stands in clear on disk.
    let trail =
        Command::new("grep").args(["-rlE", "555-0123|phi.ssn., call"]).arg(place.boundary.trail()).output();
    assert_eq!(out(&trail.unwrap()), "");
    // What the caller got can be played again by whoever has a reader's key, and by nobody else.
    let session = intent["session"].as_str().unwrap();
    let key = place.boundary.reader_key().display().to_string();
    let played =
        place.boundary.cli(&["session", "replay", session, "--reader-key", &key, "--at-once"]).unwrap();
    assert_eq!(played, "SSN [phi.ssn], call (617) 555-0123\n");
    let other = place.home.path().join("other.key").display().to_string();
    place.boundary.cli(&["reader", "create", &other]).unwrap();
    assert!(place.boundary.cli(&["session", "replay", session, "--reader-key", &other]).is_err());
    for format in ["v2", "v3"] {
        let file = place.home.path().join(format).display().to_string();
        let words =
            ["session", "replay", session, "--reader-key", &key, "--export", &file, "--format", format];
        place.boundary.cli(&words).unwrap();
        assert!(place.boundary.cli(&words).is_err(), "no file is written over");
        let cast = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<Value> = cast.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["version"], if format == "v2" { 2 } else { 3 });
        let printed: String = lines[1..]
            .iter()
            .filter(|event| event[1] == "o")
            .map(|event| event[2].as_str().unwrap())
            .collect();
        assert!(printed.contains("SSN [phi.ssn], call (617) 555-0123\r\n"), "{cast}");
        assert!(printed.contains("ssn [phi.ssn]\r\n"), "{cast}");
        assert_eq!(cast.ends_with("\"x\",\"0\"]\n"), format == "v3", "{cast}");
        if format == "v2" {
            // A player that nobody here wrote.
            let player = target_dir().join("command/python/bin/asciinema");
            let mut player = Command::new(player);
            let played = player.arg("cat").arg(&file).env("LC_ALL", "C.UTF-8").output().unwrap();
            assert_eq!(out(&played), printed, "{}", err(&played));
        }
    }
    assert_eq!(place.entries("recording.read").len(), 3);
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_program_is_ended_by_its_limits() {
    let place = Place::new(AgentPlace::InProcess);
    let begun = Instant::now();
    let ran = place.run(&["stubborn"]);
    assert_eq!((ran.status.code(), &*out(&ran)), (Some(124), "began\n"));
    assert!(err(&ran).contains("time_limit") && begun.elapsed() < PATIENCE);
    assert_eq!(place.running(), [], "it does not heed SIGTERM, and is gone all the same");
    let ran = place.run(&["flood"]);
    assert_eq!((ran.status.code(), out(&ran).len()), (Some(1), 10_000));
    assert!(err(&ran).contains("output_limit"), "{}", err(&ran));
    let ran = place.run(&["memory"]);
    assert!(ran.status.code() == Some(1) && err(&ran).contains("MemoryError"), "{}{}", out(&ran), err(&ran));
    let ended: Vec<Value> =
        place.entries("operation.outcome").iter().map(|entry| entry["ended_by"].clone()).collect();
    assert_eq!(ended, ["time_limit", "output_limit", "itself"]);
}

#[test]
fn a_client_that_goes_takes_the_whole_group_with_it() {
    let place = Place::new(AgentPlace::InProcess);
    let mut client = place.ana.command(&["run", "ops", "children"]).stdout(Stdio::null()).spawn().unwrap();
    let (leader, child) = (place.number("leader"), place.number("child"));
    assert!(lives(leader) && lives(child));
    client.kill().unwrap();
    client.wait().unwrap();
    until(|| (!lives(leader) && !lives(child)).then_some(()));
    let ended = until(|| place.entries("toolcall.ended").pop());
    assert_eq!(ended["outcome"], "abandoned");
    let outcome = until(|| place.entries("operation.outcome").pop());
    assert_eq!((&outcome["status"], &outcome["call"]), (&json!("client_gone"), &ended["call"]));
    // An administrator ends one as well, and its client is told.
    for name in ["leader", "child"] {
        std::fs::remove_file(place.home.path().join("out").join(name)).unwrap();
    }
    let client =
        place.ana.command(&["run", "ops", "children"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let (leader, child) = (place.number("leader"), place.number("child"));
    let live = place.boundary.cli_json(&["sessions", "--live"]).unwrap();
    let session = live[0]["session"].as_str().unwrap();
    place.boundary.cli(&["session", "kill", session, "--reason", "a test"]).unwrap();
    let told = client.unwrap().wait_with_output().unwrap();
    assert!(err(&told).contains("outcome unknown: an administrator ended the session"), "{}", err(&told));
    assert_eq!(told.status.code(), Some(125));
    until(|| (!lives(leader) && !lives(child)).then_some(()));
    let outcome = until(|| place.entries("operation.outcome").get(1).cloned());
    assert_eq!(outcome["status"], "cancelled");
}

#[test]
fn what_may_be_run_no_more_is_ended_while_it_runs() {
    let place = Place::new(AgentPlace::InProcess);
    let client =
        place.ana.command(&["run", "ops", "children"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let (leader, child) = (place.number("leader"), place.number("child"));
    assert!(lives(leader) && lives(child));
    let (policy, begun) = (place.home.path().join("chaperone/policy/ops.cedar"), Instant::now());
    std::fs::write(policy, POLICY.replace("unless { resource ==", "when { resource ==")).unwrap();
    place.boundary.cli(&["policy", "reload"]).unwrap();
    let told = client.unwrap().wait_with_output().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "after {:?}", begun.elapsed());
    assert!(!told.status.success() && err(&told).contains("stopped while it ran"), "{}", err(&told));
    until(|| (!lives(leader) && !lives(child)).then_some(()));
    let outcome = until(|| place.entries("operation.outcome").pop());
    assert_eq!((&outcome["status"], &outcome["withdrawn"]["arm"]), (&json!("cancelled"), &json!("refuse")));
}

#[test]
fn an_agent_that_is_lost_leaves_no_doubt_on_record() {
    let mut place = Place::new(AgentPlace::Separate);
    let client = place.ana.command(&["run", "ops", "children"]).stderr(Stdio::piped()).spawn().unwrap();
    let leader = place.number("leader");
    place.boundary.agent().unwrap().kill().unwrap();
    let told = client.wait_with_output().unwrap();
    assert!(err(&told).contains("look before you run it again"), "{}", err(&told));
    assert!(err(&told).starts_with("outcome unknown: "), "{}", err(&told));
    assert_eq!(told.status.code(), Some(125), "neither refused nor failed");
    let outcome = until(|| place.entries("operation.outcome").pop());
    assert_eq!((&outcome["status"], &outcome["exit_code"]), (&json!("lost"), &Value::Null));
    let ended = until(|| place.entries("toolcall.ended").pop());
    assert_eq!((&ended["outcome"], &ended["code"]), (&json!("unknown"), &json!("target_lost")));
    // The program does not outlive the agent that started it.
    until(|| (!lives(leader)).then_some(()));
    // One that is asked to stop ends what runs, and says so.
    for name in ["leader", "child"] {
        std::fs::remove_file(place.home.path().join("out").join(name)).unwrap();
    }
    place.boundary.start_agent().unwrap();
    until(|| (place.run(&["fail"]).status.code() == Some(7)).then_some(()));
    let client = place.ana.command(&["run", "ops", "children"]).stderr(Stdio::piped()).spawn().unwrap();
    let (leader, child) = (place.number("leader"), place.number("child"));
    place.boundary.agent().unwrap().stop().unwrap();
    let told = client.wait_with_output().unwrap();
    assert!(err(&told).contains("agent_stopping"), "{}", err(&told));
    assert!(!lives(leader) && !lives(child));
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn each_command_is_a_tool() {
    let place = Place::new(AgentPlace::InProcess);
    let listed = place.mcp("tools/list", json!({}));
    let tools = listed["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert!(
        names.contains(&"arguments") && !names.contains(&"hidden") && !names.contains(&"query"),
        "{names:?}"
    );
    let arguments = tools.iter().find(|tool| tool["name"] == "arguments").unwrap();
    assert_eq!(arguments["inputSchema"]["properties"]["n"]["minimum"], -2);
    assert_eq!(arguments["inputSchema"]["required"], json!(["who"]));
    let call = |name: &str, arguments: Value| {
        place.mcp("tools/call", json!({"name": name, "arguments": arguments}))["result"].clone()
    };
    let came = call("arguments", json!({"who": "$(id)", "n": 3}));
    assert_eq!(came["structuredContent"]["stdout"], "[--who=$(id)]\n[$(id)]\n[{literal}]\n[-n3]\n", "{came}");
    assert_eq!((&came["isError"], &came["structuredContent"]["exit_code"]), (&json!(false), &json!(0)));
    let came = call("visit", json!({}));
    assert_eq!(came["structuredContent"]["masked"], json!({"phi.ssn": 2}), "{came}");
    assert!(!came.to_string().contains("6789"), "{came}");
    let came = call("fail", json!({}));
    assert_eq!(
        (&came["isError"], &came["structuredContent"]["exit_code"]),
        (&json!(true), &json!(7)),
        "{came}"
    );
    let text = |came: &Value| came["content"][0]["text"].as_str().unwrap().to_owned();
    let (hidden, nothing) = (call("hidden", json!({})), call("hidder", json!({})));
    assert_eq!(hidden["isError"], true);
    assert_eq!(text(&hidden).replace("hidden", "NAME"), text(&nothing).replace("hidder", "NAME"));
    let wrong = call("arguments", json!({"who": ["a"], "n": 3.5}));
    assert!(text(&wrong).contains("code: protocol_violation"), "{wrong}");
    // Each call is on record with what it ran.
    let started = place.entries("toolcall.started");
    let intents = place.entries("operation.intent");
    assert_eq!((started.len(), intents.len()), (6, 3));
    assert_eq!(intents[0]["call"], started[0]["call"]);
}

#[test]
fn a_long_transcript_is_played_to_its_end() {
    let place = Place::new(AgentPlace::InProcess);
    let ran = place.run(&["long"]);
    assert_eq!(out(&ran).lines().count(), 120, "{}", err(&ran));
    let session = place.entries("operation.intent")[0]["session"].as_str().unwrap().to_owned();
    // It is what the test is about: more parts than one answer of the API's has entries.
    assert!(place.entries("operation.progress").len() > 100);
    let key = place.boundary.reader_key().display().to_string();
    let played = place.boundary.cli(&["session", "replay", &session, "--reader-key", &key, "--at-once"]);
    assert_eq!(played.unwrap(), out(&ran));
}

#[test]
fn what_is_asked_for_is_bounded() {
    let place = Place::new(AgentPlace::InProcess);
    // Longer than a request may be: it is said, and nothing of it is sent; to whoever may run the command.
    let long = |command: &str| {
        let body = json!({"parameters": {"who": "x".repeat(140_000)}}).to_string();
        let file = place.home.path().join("body");
        std::fs::write(&file, body).unwrap();
        place.api(&format!("/api/v1/targets/ops/commands/{command}/run"), &format!("@{}", file.display()))
    };
    let said = long("arguments");
    assert!(said.contains("too_large") && said.contains("more than the 131072"), "{said}");
    let (hidden, nothing) = (long("hidden"), long("hidder"));
    let words = |said: &str, name: &str| said.lines().last().unwrap().replace(name, "NAME");
    assert_eq!(words(&hidden, "hidden"), words(&nothing, "hidder"));
    assert!(hidden.contains("not_permitted"), "{hidden}");
    let ended = place.entries("toolcall.ended");
    let codes: Vec<(&str, &str)> =
        ended.iter().map(|end| (end["outcome"].as_str().unwrap(), end["code"].as_str().unwrap())).collect();
    assert_eq!(codes, [("refused", "too_large"), ("refused", "not_permitted"), ("refused", "not_permitted")]);
    assert!(place.entries("session.opened").is_empty(), "no session is opened for it");
    // Commands count among the calls of their subject, by whichever way they come.
    let run = |_| place.ana.command(&["run", "ops", "children"]).stdout(Stdio::null()).spawn().unwrap();
    let mut clients: Vec<_> = (0..8).map(run).collect();
    until(|| (place.entries("operation.intent").len() == 8).then_some(()));
    let ran = place.run(&["fail"]);
    assert!(err(&ran).contains("this subject has too many calls under way"), "{}", err(&ran));
    let came = place.mcp("tools/call", json!({"name": "fail", "arguments": {}}))["result"].clone();
    assert_eq!(came["isError"], true, "{came}");
    assert!(came.to_string().contains("code: busy"), "{came}");
    clients[0].kill().unwrap();
    until(|| (place.run(&["fail"]).status.code() == Some(7)).then_some(()));
    for client in &mut clients {
        client.kill().unwrap();
        client.wait().unwrap();
    }
}
