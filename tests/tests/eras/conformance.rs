//! `@modelcontextprotocol/conformance` against a server by itself, and against the same server behind a gateway: whatever
//! passes without the gateway passes with it, but for what is listed with its reason in `tests/mcp/conformance.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chaperone_tests::{free_port, root, target_dir};
use serde_json::Value;

use crate::place::{EVERYTHING, Place, beside, python, text};

const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn running(program: &str, words: &[&str], port: u16) -> Running {
    let quiet = || Stdio::null();
    let child = Command::new(program).args(words).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
    let child = Running(child.unwrap());
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{words:?} does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    child
}

/// What each check of a revision's suite came to; of several of one name the worst.
fn judged(url: &str, revision: &str, folder: &Path) -> BTreeMap<String, String> {
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let packages = target_dir().join("mcp/node/node_modules");
    let mut command = Command::new(packages.join(format!("node-linux-{machine}/bin/node")));
    command.arg(packages.join("@modelcontextprotocol/conformance/dist/index.js"));
    command.args(["server", "--url", url, "--requirements", revision, "-o"]).arg(folder);
    command.current_dir(folder.parent().unwrap());
    // It ends with an error where a check fails.
    let out = command.output().unwrap();
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        // `server-SCENARIO-2026-01-31T00-00-00-000Z`
        let scenario = name.strip_prefix("server-").unwrap();
        let scenario = &scenario[..scenario.len() - "-2026-01-31T00-00-00-000Z".len()];
        let checks = std::fs::read(entry.path().join("checks.json")).unwrap();
        let checks: Value = serde_json::from_slice(&checks).unwrap();
        for check in checks.as_array().unwrap() {
            let status = text(check, "status").to_owned();
            let worse = |known: &String| rank(&status) > rank(known);
            let id = format!("{scenario}:{}", text(check, "id"));
            if all.get(&id).is_none_or(worse) {
                all.insert(id, status);
            }
        }
    }
    assert!(all.len() > 30, "{}", String::from_utf8_lossy(&out.stdout));
    all
}

fn rank(status: &str) -> usize {
    ["SUCCESS", "INFO", "SKIPPED", "WARNING", "FAILURE"].iter().position(|known| *known == status).unwrap()
}

/// The checks that are listed for a revision.
fn listed(list: &Value, revision: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for group in list[revision].as_array().unwrap() {
        assert!(text(group, "reason").len() > 20, "{group}");
        for check in group["checks"].as_array().unwrap() {
            assert!(all.insert(check.as_str().unwrap().to_owned()), "{check} is listed twice");
        }
    }
    all
}

#[test]
fn what_passes_without_the_gateway_passes_with_it() {
    let list = std::fs::read(root().join("tests/mcp/conformance.json")).unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    let (direct_port, port) = (free_port().unwrap(), free_port().unwrap());
    let place = Place::new(&[format!("http://127.0.0.1:{port}")]);
    let script = root().join("tests/mcp/everything.py");
    let words = [script.to_str().unwrap(), "http", &direct_port.to_string()];
    let _direct = running(&python(), &words, direct_port);
    let forward = beside(place.home.path(), "mcp", "forward.js");
    let words = [forward.as_str(), &port.to_string(), &place.url(EVERYTHING), &place.token()];
    let _forward = running("node", &words, port);

    let mut wrong = Vec::new();
    for revision in REVISIONS {
        let of = |name: &str, port: u16| {
            let folder = place.home.path().join(format!("{name}-{revision}"));
            std::fs::create_dir(&folder).unwrap();
            judged(&format!("http://127.0.0.1:{port}/mcp"), revision, &folder)
        };
        let (direct, through) = (of("direct", direct_port), of("through", port));
        let passes = |status: Option<&String>| status.is_some_and(|status| rank(status) == 0);
        let passed = direct.iter().filter(|(_, status)| passes(Some(status)));
        let lost: BTreeSet<String> =
            passed.clone().filter(|(id, _)| !passes(through.get(*id))).map(|(id, _)| id.clone()).collect();
        let failed: BTreeSet<String> =
            direct.iter().filter(|(_, status)| rank(status) > 2).map(|(id, _)| id.clone()).collect();
        println!(
            "{revision}: {} pass by themselves, {} of them behind the gateway",
            passed.clone().count(),
            passed.count() - lost.len()
        );
        println!("{revision}: do not pass by themselves: {failed:#?}");
        for (what, found) in [("gateway", &lost), ("direct", &failed)] {
            let known = listed(&list[what], revision);
            wrong.extend(found.difference(&known).map(|id| format!("{what} {revision}: not listed: {id}")));
            wrong.extend(
                known.difference(found).map(|id| format!("{what} {revision}: listed, and it passes: {id}")),
            );
        }
        assert!(through.iter().any(|(_, status)| rank(status) == 0));
    }
    assert_eq!(wrong, [] as [String; 0]);
}
