//! Who sees what a server of others reads: registered with the server, on record for each of its calls and sessions, asked for
//! by policies, and explained.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own set-up may fail it")]

use std::time::{Duration, Instant};

use chaperone_tests::{
    AgentPlace, Boundary, Cluster, Fsync, Issuer, Layout, as_itself, free_port, private_folder, root,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

const SERVER: &str = "clinic-tools";
const POLICY: &str = r#"
@id("nurses")
permit (principal in Group::"org/nurses", action in [Action::"connect", Action::"read"], resource in Target::"clinic");
@id("nurses-server")
permit (principal in Group::"org/nurses", action in [Action::"connect", Action::"invoke"], resource in Target::"clinic-tools");
@id("servers-with-agreement")
forbid (principal, action in [Action::"invoke", Action::"read"], resource)
when { context has server && !(context has server_agreement) };
"#;
const REGISTERED: &str = "owner = \"it\"\nrecipient = \"Tool Inc\"\nagreement = \"BAA-9\"\n";
const TESTS: &str = r#"
[[test]]
name = "by herself she reads"
as = "org/ana"
groups = ["nurses"]
target = "clinic"
action = "read"
expect = "allow"

[[test]]
name = "a server without an agreement does not"
as = "org/ana"
groups = ["nurses"]
server = "clinic-tools"
target = "clinic"
action = "read"
expect = "refuse"
"#;

struct Place {
    issuer: Issuer,
    boundary: Boundary,
    home: TempDir,
    _cluster: Cluster,
}

impl Place {
    fn new() -> Self {
        let home = private_folder("test").unwrap();
        let policy = home.path().join("policy");
        std::fs::create_dir(&policy).unwrap();
        std::fs::write(policy.join("a.cedar"), POLICY).unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let issuer = Issuer::start(&home.path().join("issuer"), "http://127.0.0.1:9/logout").unwrap();
        let api_port = free_port().unwrap();
        let mut layout = Layout::new(AgentPlace::InProcess);
        layout.api_port = Some(api_port);
        layout.policy = Some(policy);
        layout.more = format!(
            "[mcp]\n[servers.{SERVER}]\ntarget = \"clinic\"\n{REGISTERED}\n\
             [clients.claude]\nowner = \"it\"\nrecipient = \"Model Inc\"\noauth_clients = [\"assistant\"]\n\
             [issuers.org]\nurl = \"{}\"\nclient_id = \"chaperone-cli\"\n\
             mcp_audiences = [\"http://127.0.0.1:{api_port}/mcp\"]\n",
            issuer.url()
        );
        layout.more_of_agent = format!(
            "[servers.{SERVER}]\n{}read = {}\ncommand = {}\nenvironment = {{ DSN = \"{{url}}\" }}\n",
            as_itself(),
            json!([root().join("tests/drivers")]),
            json!(["/usr/bin/python3", root().join("tests/servers/hostile.py")])
        );
        layout.servers = vec![SERVER.to_owned()];
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        Self { issuer, boundary, home, _cluster: cluster }
    }

    /// Call the tool that asks the database for one name.
    fn call(&self) -> Value {
        let resource = format!("{}/mcp", self.boundary.api_url());
        let claims = json!({"aud": resource, "client_id": "assistant", "sub": "ana", "groups": ["nurses"]});
        let token = self.issuer.token(&claims).unwrap();
        let params = json!({"name": "goes_on", "arguments": {}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        self.boundary.mcp(SERVER, &token, &body).unwrap()
    }

    /// The newest entry of a kind, and of how many.
    fn last(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = self.boundary.entries_of(kind).unwrap();
        found.into_iter().rfind(wanted).unwrap_or_default()
    }

    /// Change what gateway.toml registers the server with, and have it read.
    fn register(&mut self, from: &str, to: &str) {
        let file = self.boundary.config();
        let before = std::fs::read_to_string(&file).unwrap();
        assert!(before.contains(from), "{before}");
        std::fs::write(&file, before.replace(from, to)).unwrap();
        let known = self.boundary.entries_of("configuration.changed").unwrap().len();
        self.boundary.gateway().signal(Signal::HUP).unwrap();
        let begun = Instant::now();
        while self.boundary.entries_of("configuration.changed").unwrap().len() == known {
            assert!(begun.elapsed() < Duration::from_secs(5), "{}", self.boundary.gateway().log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn of_server(entry: &Value) -> bool {
    entry["delegation"]["server"]["name"] == SERVER
}

#[test]
fn who_sees_what_a_server_reads_is_on_record_and_asked_for() {
    let mut place = Place::new();
    let told = place.call();
    assert_eq!(told["result"]["isError"], Value::Null, "{told}");
    // Each part of the chain, with whoever sees what it reads.
    let recipient = json!({"agreement": "BAA-9", "name": "Tool Inc"});
    for kind in ["toolcall.started", "server.started", "session.opened"] {
        let entry = place.last(kind, of_server);
        assert_eq!(entry["delegation"]["server"]["recipient"], recipient, "{kind}: {entry}");
        assert_eq!(entry["delegation"]["recipient"], json!({"name": "Model Inc"}), "{kind}: {entry}");
    }
    let call = place.last("toolcall.started", of_server)["call"].as_str().unwrap().to_owned();
    let shown = place.boundary.cli(&["toolcall", "show", &call]).unwrap();
    for part in ["rows go to Model Inc", "server rows go to Tool Inc (BAA-9)", "given_name"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let server = place.boundary.cli(&["server", "show", SERVER]).unwrap();
    assert!(server.contains("it answers for clinic-tools, rows go to Tool Inc under BAA-9"), "{server}");

    // Another recipient: open sessions of its runs end, and what goes on is on record under the new one.
    let begun = place.boundary.entries_of("server.started").unwrap().len();
    place.register("Tool Inc", "Other Inc");
    assert_eq!(place.call()["result"]["isError"], Value::Null);
    let started = place.boundary.entries_of("server.started").unwrap();
    assert_eq!(started.len(), begun + 1, "a run is no other recipient's than it began with");
    assert_eq!(
        place.last("session.opened", of_server)["delegation"]["server"]["recipient"]["name"],
        "Other Inc"
    );

    // Without an agreement policy refuses it, and says so where it is asked.
    place.register("agreement = \"BAA-9\"\n", "");
    let refused = place.call();
    assert!(refused.to_string().contains("not_permitted"), "{refused}");
    let words = ["policy", "explain", "--as", "org/ana", "--group", "nurses", "--target"];
    let explained = place.boundary.cli(&[&words[..], &[SERVER, "--tool", "goes_on"]].concat()).unwrap();
    assert!(
        explained.contains("invoke on clinic-tools/goes_on: refuse by servers-with-agreement"),
        "{explained}"
    );
    assert!(explained.contains("by a run of clinic-tools (rows go to Other Inc too)"), "{explained}");
    let through = [&words[..], &["clinic", "--server", SERVER, "--json"]].concat();
    let explained: Value = serde_json::from_str(&place.boundary.cli(&through).unwrap()).unwrap();
    let read = explained["whole"].as_array().unwrap().iter().find(|one| one["action"] == "read").unwrap();
    assert_eq!(read["ruling"], "refuse", "{read}");
    assert!(read["would_change"].to_string().contains("no_server"), "{read}");
    let matrix = place.boundary.cli(&["policy", "matrix"]).unwrap();
    let block = matrix.split("group org/nurses").nth(1).unwrap().split("\n\n").next().unwrap();
    let block = block.split("  through clinic-tools\n").nth(1).unwrap();
    let words: Vec<&str> = block.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(words, ["clinic:", "the", "whole", "target", "-"], "{matrix}");
    place.boundary.cli(&["trail", "verify"]).unwrap();

    let folder = place.home.path().join("chaperone/policy");
    std::fs::write(folder.join("tests.toml"), TESTS).unwrap();
    place.boundary.cli(&["policy", "test"]).unwrap();
    // A server that does not exist would be forbidden nothing.
    let misspelt = "forbid (principal, action, resource) when { context has server && context.server == \"clinic-tool\" };";
    std::fs::write(folder.join("b.cedar"), misspelt).unwrap();
    let wrong = place.boundary.cli(&["policy", "check"]).unwrap_err().to_string();
    assert!(wrong.contains("`clinic-tool` is no server of others"), "{wrong}");
}
