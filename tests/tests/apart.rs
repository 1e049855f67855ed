//! What an agent starts has walls around it: what it reaches from inside, what ends with its agent, and what is said and
//! recorded where a machine has no namespaces.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's own set-up may fail it"
)]

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use chaperone_tests::{
    AgentPlace, Boundary, Cluster, Fsync, Issuer, Layout, Person, as_itself, is_root, private_folder, root,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const SERVER: &str = "clinic-tools";
/// As whom commands run where the tests are root.
const NOBODY: u32 = 65_534;
const PATIENCE: Duration = Duration::from_secs(15);

const POLICY: &str = r#"
@id("nurses-connect")
permit (principal in Group::"org/nurses", action == Action::"connect", resource);
@id("nurses-call")
permit (principal in Group::"org/nurses", action == Action::"invoke", resource);
@id("nurses-see-what-tools-say")
permit (principal in Group::"org/nurses", action == Action::"reveal", resource in Target::"clinic-tools");
"#;

/// Says whether a port of the loopback address takes connections.
const REACHES: &str = "import socket, sys\n\
    try:\n    socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)\n\
    except OSError as error:\n    print(type(error).__name__)\n\
    else:\n    print('done')\n";
/// Says how many processes it sees.
const SEES: &str = "#!/bin/sh\nls -d /proc/[0-9]* | wc -l\n";
/// Leaves a process behind that is in no group or session of its own.
const LEAVES: &str = "#!/bin/sh\nsetsid sleep 600 &\nexec sleep 600\n";

/// An issuer, a gateway, a clinic, and an agent with a server and two places of commands. Fields end in order.
struct Place {
    issuer: Issuer,
    ana: Person,
    boundary: Boundary,
    cluster: Cluster,
    home: TempDir,
}

/// What stands in the command line or the environment of everything that this place's agent starts.
fn mark(home: &Path) -> String {
    format!("mark-{}", home.file_name().unwrap().to_string_lossy())
}

fn agent_toml(home: &Path, more: &str) -> String {
    let user = if is_root() { format!("user = \"{NOBODY}:{NOBODY}\"\n") } else { String::new() };
    let folder = home.join("programs");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
    for (name, text) in [("reaches.py", REACHES), ("sees", SEES), ("leaves", LEAVES)] {
        std::fs::write(folder.join(name), text).unwrap();
        std::fs::set_permissions(folder.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let (script, mark) = (root().join("tests/servers/hostile.py"), mark(home));
    let mut text = format!(
        "[servers.{SERVER}]\n{}read = {}\ncommand = {}\nenvironment = {{ DSN = \"{{url}}\" }}\n{more}",
        as_itself(),
        json!([root().join("tests/drivers")]),
        json!(["/usr/bin/python3", script, mark])
    );
    for (target, network) in [("ops", ""), ("open", "network = true\n")] {
        text += &format!(
            "[targets.{target}]\nkind = \"command\"\n{user}{network}{more}\
             environment = {{ MARK = \"{mark}\", PATH = \"/usr/bin:/bin\" }}\n\
             [targets.{target}.commands.reaches]\ndescription = \"Connect\"\nprogram = \"/usr/bin/python3\"\n\
             arguments = {}\nparameters.port = {{ type = \"integer\", minimum = 1, maximum = 65535 }}\n\
             [targets.{target}.commands.sees]\ndescription = \"Count\"\nprogram = {}\n\
             [targets.{target}.commands.leaves]\ndescription = \"Leave something\"\nprogram = {}\n",
            json!([folder.join("reaches.py"), "{port}"]),
            json!(folder.join("sees")),
            json!(folder.join("leaves"))
        );
    }
    text
}

impl Place {
    fn new(more_of_agent: &str, agent_path: Option<PathBuf>) -> Self {
        let home = private_folder("apart").unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let issuer = Issuer::start(&home.path().join("issuer"), "http://127.0.0.1:9/logout").unwrap();
        let mut layout = Layout::new(AgentPlace::Separate);
        let api_port = chaperone_tests::free_port().unwrap();
        (layout.api_port, layout.agent_path) = (Some(api_port), agent_path);
        std::fs::create_dir(home.path().join("policy")).unwrap();
        std::fs::write(home.path().join("policy/apart.cedar"), POLICY).unwrap();
        layout.policy = Some(home.path().join("policy"));
        layout.more = format!(
            "[mcp]\n[servers.{SERVER}]\ntarget = \"clinic\"\nowner = \"it\"\n\
             [targets.ops]\nprotocol = \"command\"\n[targets.open]\nprotocol = \"command\"\n\
             [issuers.org]\nurl = \"{}\"\nclient_id = \"chaperone-cli\"\n\
             mcp_audiences = [\"http://127.0.0.1:{api_port}/mcp\"]\n",
            issuer.url()
        );
        layout.more_of_agent = agent_toml(home.path(), more_of_agent);
        layout.more_targets = vec!["ops".to_owned(), "open".to_owned()];
        layout.servers = vec![SERVER.to_owned()];
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        let ana = Person::new("ana", home.path(), &boundary);
        ana.log_in(&issuer).unwrap();
        Self { issuer, ana, boundary, cluster, home }
    }

    /// Call one tool of the server's; what it answers.
    fn tool(&self, sub: &str, tool: &str, arguments: &Value) -> Value {
        let resource = format!("{}/mcp", self.boundary.api_url());
        let claims =
            json!({"aud": resource, "client_id": "assistant", "scope": "", "sub": sub, "groups": ["nurses"]});
        let params = json!({"name": tool, "arguments": arguments});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let answer = self.boundary.mcp(SERVER, &self.issuer.token(&claims).unwrap(), &body).unwrap();
        let said = answer["result"]["content"][0]["text"].as_str();
        said.and_then(|said| serde_json::from_str(said).ok()).unwrap_or(answer)
    }

    fn run(&self, target: &str, words: &[&str]) -> Output {
        let words = [&["run", target], words].concat();
        self.ana.command(&words).stdin(Stdio::null()).output().unwrap()
    }

    /// Whether a command of a target's reaches a port, as it says.
    fn reaches(&self, target: &str, port: u16) -> String {
        let ran = self.run(target, &["reaches", "--param", &format!("port={port}")]);
        assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    }

    /// Where something listens that nothing is to reach but through its agent.
    fn ports(&self) -> Vec<u16> {
        let api: u16 = self.boundary.api_url().rsplit_once(':').unwrap().1.parse().unwrap();
        let ports =
            vec![self.cluster.port(), api, self.boundary.postgres_port(), self.boundary.agents_port()];
        // Nothing keeps us from them.
        ports.iter().for_each(|port| drop(TcpStream::connect(("127.0.0.1", *port)).unwrap()));
        ports
    }

    /// Everything that its agent started, directly or not, by its number.
    fn started(&self) -> Vec<u32> {
        let mark = mark(self.home.path());
        let has = |number: &u32| {
            ["cmdline", "environ"].iter().any(|part| {
                let text = std::fs::read(format!("/proc/{number}/{part}")).unwrap_or_default();
                String::from_utf8_lossy(&text).contains(&mark)
            })
        };
        let all = std::fs::read_dir("/proc").unwrap();
        let numbers = all.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        numbers.filter(has).collect()
    }

    fn apart(&self, kind: &str, field: &str) -> Vec<Value> {
        let entries = self.boundary.entries_of(kind).unwrap();
        entries.iter().filter_map(|entry| entry.pointer(field).cloned()).collect()
    }
}

fn until(what: &str, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_server_reaches_its_agent_and_nothing_else() {
    let place = Place::new("", None);
    let (ports, secret) = (place.ports(), place.cluster.login_password_file());
    let another = place.tool("nora", "environment", &json!({}));
    let own = place.tool("ana", "environment", &json!({}));
    let (own, another) = (own["DSN"].as_str().unwrap(), another["DSN"].as_str().unwrap());
    let inside: u16 = own.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap();
    let servers = root().join("tests/servers");
    let mut tried = ports.clone();
    tried.push(inside);
    let looked = place.tool(
        "ana",
        "looks",
        &json!({"ports": tried, "paths": [servers, place.home.path(), secret], "asks": [own, another]}),
    );
    for port in ports {
        assert_eq!(looked["reached"][port.to_string()], "ConnectionRefusedError", "{looked}");
    }
    assert_eq!(looked["reached"][inside.to_string()], "done", "{looked}");
    // Its own credential opens that way, and not another's: where another's opens one, nothing leads from here.
    assert_eq!(looked["answers"][0], "", "{looked}");
    assert!(looked["answers"][1].as_str().unwrap().contains("error: connection"), "{looked}");
    let failed = place.apart("authentication.failed", "/reason");
    assert_eq!(failed, [json!("other_process")]);
    // It sees the file that it is, which it cannot change, and none of the agent's.
    assert_eq!(looked["read"][secret.to_str().unwrap()], "FileNotFoundError", "{looked}");
    assert_eq!(looked["read"][place.home.path().to_str().unwrap()], "FileNotFoundError", "{looked}");
    assert!(!servers.join("written").exists(), "{looked}");
    // A checkout in /tmp is in the one that the server has to itself, where it may write what nobody else sees.
    if !servers.starts_with("/tmp") {
        assert_ne!(looked["written"][servers.to_str().unwrap()], "done", "{looked}");
    }
    assert_eq!(looked["written"]["/tmp"], "done", "{looked}");
    // No process but its own, and no rights but its user's.
    let running = looked["running"].as_array().unwrap();
    assert!(running.len() <= 2, "{looked}");
    for (set, given) in
        [("CapEff:", "0000000000000000"), ("CapPrm:", "0000000000000000"), ("NoNewPrivs:", "1")]
    {
        assert_eq!(looked["given"][set][0], given, "{looked}");
    }
    assert_eq!(place.apart("server.started", "/apart"), [json!(true), json!(true)]);
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_command_has_the_network_that_is_declared() {
    let place = Place::new("", None);
    for port in place.ports() {
        assert_eq!(place.reaches("ops", port), "ConnectionRefusedError");
        assert_eq!(place.reaches("open", port), "done");
    }
    for target in ["ops", "open"] {
        let seen = String::from_utf8(place.run(target, &["sees"]).stdout).unwrap();
        // Itself, what it starts, and what its namespace begins with.
        assert!(seen.trim().parse::<u32>().unwrap() <= 6, "{seen}");
    }
    let apart = place.apart("session.joined", "/backend/apart");
    assert!(apart.len() == 10 && apart.iter().all(|apart| *apart == true), "{apart:?}");
}

#[test]
fn nothing_that_was_started_outlives_its_agent() {
    let mut place = Place::new("", None);
    for is_killed in [true, false] {
        until("the agent is there", || place.tool("ana", "leaves_a_child", &json!({"n": 1}))["n"] == 1);
        let commands = ["ops", "open"].map(|target| {
            let mut command = place.ana.command(&["run", target, "leaves"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        });
        // Of each: what built its walls, what its namespace begins with, the program, and what that left.
        until("they begin", || place.started().len() >= 3 * 4);
        let agent = place.boundary.agent().unwrap();
        if is_killed {
            agent.kill().unwrap();
            until("something outlives an agent that was killed", || place.started().is_empty());
        } else {
            agent.stop().unwrap();
            assert_eq!(place.started(), [] as [u32; 0], "an agent that has stopped leaves something");
        }
        for mut command in commands {
            command.wait().unwrap();
        }
        if is_killed {
            place.boundary.start_agent().unwrap();
        }
    }
}

/// A `PATH` with what starts an agent, and without bubblewrap.
fn bare(home: &Path) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let setpriv =
        std::env::split_paths(&path).map(|folder| folder.join("setpriv")).find(|file| file.is_file());
    std::os::unix::fs::symlink(setpriv.unwrap(), home.join("setpriv")).unwrap();
    home.to_owned()
}

#[test]
fn a_machine_without_namespaces_says_so_and_so_does_the_record() {
    let folder = private_folder("apart").unwrap();
    let path = bare(folder.path());
    let mut place = Place::new("", Some(path.clone()));
    assert_eq!(place.tool("ana", "echo", &json!({"n": 1}))["n"], 1);
    assert_eq!(place.reaches("ops", place.cluster.port()), "done");
    assert_eq!(place.apart("server.started", "/apart"), [json!(false)]);
    assert_eq!(place.apart("session.joined", "/backend/apart"), [json!(false)]);
    let log = place.boundary.agent().unwrap().log();
    for what in ["server `clinic-tools`", "target `ops`", "target `open`"] {
        let said = format!("{what} runs without namespaces of its own: `bwrap` is not on the PATH");
        assert!(log.contains(&said), "{said}: {log}");
    }
    // Where they are required, nothing is started at all.
    let file = place.boundary.config().with_file_name("agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("isolation = \"required\"\n{text}")).unwrap();
    let agent = |verb: &[&str]| {
        let mut command = Command::new(place.boundary.program());
        let ran = command.args(verb).arg(&file).env("PATH", &path).stdin(Stdio::null()).output().unwrap();
        (ran.status.success(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
    };
    for verb in [&["agent", "--config"][..], &["config", "check", "--agent"]] {
        let (is_fine, said) = agent(verb);
        assert!(!is_fine && said.contains("`isolation` is required, and there is none here"), "{said}");
    }
    // And what says that it needs none goes on.
    std::fs::write(&file, format!("isolation = \"none\"\n{text}")).unwrap();
    let (is_fine, said) = agent(&["config", "check", "--agent"]);
    assert!(is_fine && !said.contains("namespaces"), "{said}");
}

#[test]
fn an_agent_begins_by_ending_what_a_killed_one_left() {
    use std::os::unix::process::CommandExt as _;
    if !is_root() {
        return;
    }
    let (uid, place) = (71_771, private_folder("left").unwrap());
    let cluster = Cluster::start(&place.path().join("postgres"), Fsync::Off, None).unwrap();
    let mut left =
        Command::new("/bin/sleep").arg("600").uid(uid + 1).gid(uid).current_dir("/").spawn().unwrap();
    let mut layout = Layout::new(AgentPlace::Separate);
    layout.api_port = Some(chaperone_tests::free_port().unwrap());
    layout.more = format!("[mcp]\n[servers.{SERVER}]\ntarget = \"clinic\"\nowner = \"it\"\n");
    layout.more_of_agent = format!(
        "[servers.{SERVER}]\ncommand = [\"/bin/cat\"]\nuid = {uid}\ngid = {uid}\nuids = 2\nprocesses_max = 2\n"
    );
    layout.servers = vec![SERVER.to_owned()];
    let boundary = Boundary::start(&place.path().join("chaperone"), &cluster, layout).unwrap();
    assert!(!left.wait().unwrap().success(), "what was left goes on");
    drop(boundary);
}
