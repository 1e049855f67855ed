//! Keys that take the place of others while people work and agents stay: the log's, and the authority of agents.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own set-up may fail it")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chaperone_tests::{AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, Talk, private_folder};
use serde_json::Value;
use tempfile::TempDir;

const ANA: Caller = Caller { subject: "ana", groups: &["staff"], client: None };
const OPEN: &str = "permit (principal in Group::\"dev/staff\", action, resource in Target::\"clinic\");\n";

struct Installation {
    boundary: Boundary,
    _cluster: Cluster,
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
        Self { boundary, _cluster: cluster, home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("chaperone").join(name)
    }

    fn talk(&self) -> Talk {
        let url = self.boundary.credential(&ANA).unwrap();
        let mut command = std::process::Command::new("psql");
        command.args(["-XAtq", "-d", &url]);
        Talk::start(&command).unwrap()
    }

    fn works(&self) {
        assert_eq!(self.talk().ask("select 1").unwrap(), "1");
    }

    fn rotated(&self) -> Vec<Value> {
        self.boundary.entries_of("key.rotated").unwrap()
    }

    /// Its keys, as `id: state`.
    fn keys(&self, key: &str) -> Vec<String> {
        let listed = self.boundary.cli_json(&["keys"]).unwrap();
        let listed = listed.as_array().unwrap().iter().filter(|about| about["key"] == key);
        let told = |about: &Value| {
            format!("{}: {}", about["id"].as_str().unwrap(), about["state"].as_str().unwrap())
        };
        listed.map(told).collect()
    }

    fn verified(&self, key: &str) -> bool {
        let trail = self.boundary.trail();
        self.boundary.cli(&["trail", "verify", "--trail", trail.to_str().unwrap(), "--key", key]).is_ok()
    }

    /// Wait until the agent is what is wanted.
    fn agent(&self, wanted: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        loop {
            let agents = self.boundary.cli_json(&["agent", "list"]).unwrap();
            if wanted(&agents[0]) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{agents}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn whoever_has_the_first_log_key_verifies_on() {
    let mut it = Installation::new(AgentPlace::InProcess);
    let first = it.boundary.log_key().unwrap().trim().to_owned();
    it.works();
    assert!(it.boundary.cli(&["keys", "rotate", "log", "--void"]).is_err(), "the old one has to sign");
    it.boundary.cli(&["keys", "rotate", "log"]).unwrap();
    assert!(it.boundary.cli(&["keys", "rotate", "log"]).is_err(), "one at a time");
    assert_eq!(it.keys("log"), ["log.key: in force", "log.2.key: waits for the gateway's next start"]);
    // Nothing has changed yet, also for a gateway that writes on.
    assert_eq!(it.boundary.cli(&["trail", "key"]).unwrap().trim(), first);
    it.works();
    it.boundary.cli(&["trail", "verify"]).unwrap();
    it.boundary.restart_gateway().unwrap();
    it.works();
    let second = it.boundary.cli(&["trail", "key"]).unwrap().trim().to_owned();
    assert_ne!(first, second);
    assert_eq!(it.boundary.log_key().unwrap().lines().collect::<Vec<_>>(), [&first, &second]);
    assert_eq!(it.keys("log"), ["log.2.key: in force"], "the old one is gone");
    let told = it.rotated();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["previous_public"], &told[0]["public"]),
        (&first.as_str().into(), &second.as_str().into())
    );
    it.boundary.cli(&["keys", "rotate", "log"]).unwrap();
    // A start that is cut off at any moment is gone on with.
    it.boundary.gateway().kill().unwrap();
    it.boundary.restart_gateway().unwrap();
    it.works();
    it.boundary.gateway().kill().unwrap();
    it.boundary.restart_gateway().unwrap();
    it.works();
    it.boundary.cli(&["trail", "verify"]).unwrap();
    for key in [&first, &second] {
        assert!(it.verified(key), "{key}");
    }
    assert_eq!((it.rotated().len(), it.keys("log").len()), (2, 1));
    let handover = it.path("data/trail/handovers/1");
    let kept = std::fs::read(&handover).unwrap();
    std::fs::remove_file(&handover).unwrap();
    assert!(!it.verified(&first), "nothing vouches for the second key");
    std::fs::write(&handover, kept).unwrap();
    assert!(it.verified(&first));
}

#[test]
fn agents_go_over_to_the_next_authority_and_stay_linked() {
    let mut it = Installation::new(AgentPlace::Separate);
    it.works();
    let (state, old) = (it.path("agent-state"), it.path("old-state"));
    std::fs::create_dir_all(&old).unwrap();
    for name in ["agent.key", "identity.json"] {
        std::fs::copy(state.join(name), old.join(name)).unwrap();
    }
    let identity = || std::fs::read(state.join("identity.json")).unwrap();
    let before = identity();
    it.boundary.cli(&["keys", "rotate", "agents"]).unwrap();
    it.boundary.restart_gateway().unwrap();
    // The process that was there before links with the certificate that it has, and renews beside its link.
    let mut session = it.talk();
    assert_eq!(session.ask("select 1").unwrap(), "1");
    it.agent(|agent| agent["generation"] == 2 && agent["linked"] == true);
    assert_ne!(identity(), before);
    assert_eq!(session.ask("select 2").unwrap(), "2", "its session goes on");
    let told = it.rotated();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["key"], &told[0]["previous"], &told[0]["purpose"]),
        (&"agent-authority.2.key".into(), &"agent-authority.key".into(), &"agent-authority".into())
    );
    assert!(told[0]["public"].is_string() && told[0]["public"] != told[0]["previous_public"]);
    assert_eq!(
        it.keys("agent-authority"),
        ["agent-authority.key: accepted beside the newest", "agent-authority.2.key: in force"]
    );
    drop(session);

    // The time of the old authority is over.
    std::fs::write(it.path("keys/agent-authority.key.until"), "1").unwrap();
    it.boundary.restart_gateway().unwrap();
    it.works();
    assert_eq!(it.keys("agent-authority"), ["agent-authority.2.key: in force"]);
    let renewed = it.path("renewed-state");
    it.boundary.agent().unwrap().kill().unwrap();
    std::fs::rename(&state, &renewed).unwrap();
    std::fs::rename(&old, &state).unwrap();
    it.boundary.start_agent().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let agents = it.boundary.cli_json(&["agent", "list"]).unwrap();
    assert_eq!(agents[0]["linked"], false, "its certificate is of the old authority: {agents}");
    it.boundary.agent().unwrap().kill().unwrap();
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::rename(&renewed, &state).unwrap();
    it.boundary.start_agent().unwrap();
    it.agent(|agent| agent["linked"] == true);
    it.works();

    // At once, without any time: the agent is out until it is enrolled anew.
    it.boundary.cli(&["keys", "rotate", "agents", "--now"]).unwrap();
    assert!(it.boundary.restart_gateway().is_err(), "nobody serves the target");
    it.boundary.agent().unwrap().kill().unwrap();
    std::fs::remove_dir_all(&state).unwrap();
    it.boundary.start_agent().unwrap();
    it.agent(|agent| agent["linked"] == true && agent["generation"].as_u64() > Some(2));
    it.works();
    it.boundary.cli(&["trail", "verify"]).unwrap();
}
