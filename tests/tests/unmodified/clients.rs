//! Clients that nobody here wrote, beside those of `tests/tests/mcp`: the inspector, and npm's newer client, against the
//! gateway's own tools and a server of others.

use std::process::Command;

use chaperone_tests::{capture, root, target_dir};
use serde_json::{Value, json};

use crate::place::{HUB, POSTGRES, Place, names, newer_node, text};

const SQL: &str = "select patient_id, ssn from clinic.patients where patient_id = 3";

/// Run the inspector's command line as a person; the JSON that it prints.
fn inspector(place: &Place, server: &str, words: &[&str]) -> Value {
    let script = target_dir()
        .join("mcp/node/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js");
    let mut command = Command::new(newer_node());
    // It keeps files in its home.
    command.arg(script).env("HOME", place.home.path()).arg("--cli").arg(place.url(server));
    command
        .args(["--transport", "http", "--header"])
        .arg(format!("Authorization: Bearer {}", place.token("ana")));
    serde_json::from_str(&capture(command.args(words)).unwrap()).unwrap()
}

#[test]
fn the_inspector_lists_and_calls_both_kinds_of_tools() {
    let place = Place::new("");
    for (server, tools, tool) in [
        ("clinic", vec!["query", "describe_schema", "explain_access"], "query"),
        (HUB, vec!["execute_sql", "search_objects"], "execute_sql"),
    ] {
        let listed = inspector(&place, server, &["--method", "tools/list"]);
        assert_eq!(names(&listed["tools"]), tools, "{listed}");
        let argument = format!("sql={SQL}");
        let words = ["--method", "tools/call", "--tool-name", tool, "--tool-arg", &argument];
        let came = inspector(&place, server, &words);
        assert!(came["isError"].is_null() || came["isError"] == false, "{came}");
        assert!(text(&came["content"][0], "text").contains("***"), "a mask is no value: {came}");
    }
    let ended = place.of_kind("toolcall.ended");
    assert_eq!(ended.iter().filter(|entry| entry["outcome"] == "ok").count(), 2, "{ended:?}");
}

#[test]
fn npms_newer_client_calls_in_both_eras() {
    let place = Place::new("");
    let folder = place.home.path().join("client");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(target_dir().join("mcp/node/node_modules"), folder.join("node_modules"))
        .unwrap();
    for file in ["newer.js", "package.json"] {
        std::fs::copy(root().join("tests/mcp").join(file), folder.join(file)).unwrap();
    }
    let run = |server: &str, mode: &str| -> Value {
        let mut command = Command::new(newer_node());
        command.arg(folder.join("newer.js")).args([&place.url(server), &place.token("ana"), mode]);
        command.args(["query", &json!({"sql": SQL}).to_string()]);
        serde_json::from_str(&capture(&mut command).unwrap()).unwrap()
    };
    // The server of others speaks older revisions only; whoever asks for the newest has it from the gateway.
    for (server, mode, version) in [
        ("clinic", "legacy", "2025-11-25"),
        ("clinic", "auto", "2026-07-28"),
        (POSTGRES, "legacy", "2025-11-25"),
        (POSTGRES, "auto", "2026-07-28"),
    ] {
        let came = run(server, mode);
        assert_eq!(came["version"], version, "{server} {mode}: {came}");
        assert_eq!(text(&came["tools"][0], "name"), "query", "{came}");
        assert!(text(&came["result"]["content"][0], "text").contains("***"), "a mask is no value: {came}");
    }
}
