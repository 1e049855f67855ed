//! What a server elsewhere tells and asks in the middle of a call.

use std::process::Command;

use chaperone_tests::{AgentPlace, root, target_dir};
use serde_json::{Value, json};

use crate::place::{Declared, Listening, Place, home, text};

const EVERYTHING: &str = "everything";

#[test]
fn a_server_elsewhere_tells_and_asks_and_gets_nobodys_identifiers() {
    let home = home();
    let server = Listening::everything(home.path());
    let of_agent = format!("url = \"http://127.0.0.1:{}/mcp\"\n", server.port);
    let declared = [Declared { name: EVERYTHING, of_gateway: "", of_agent }];
    let place = Place::new(AgentPlace::Separate, home, &declared);
    let client = |mode: &str, tool: &str, arguments: Value, answer: &str| -> Value {
        let mut command = Command::new(target_dir().join("mcp/python/bin/python"));
        command.arg(root().join("tests/mcp/asked.py"));
        command.args([
            &place.url(EVERYTHING),
            &place.token("ana"),
            mode,
            tool,
            &arguments.to_string(),
            answer,
        ]);
        let out = command.output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        serde_json::from_slice(&out.stdout).map_err(|_| said).unwrap()
    };
    for mode in ["legacy", "auto"] {
        let came = client(mode, "test_tool_with_progress", json!({}), "accept");
        assert_eq!(
            (text(&came, "text"), came["heard"].as_array().unwrap().len()),
            ("done", 3),
            "{mode}: {came}"
        );
        let came = client(mode, "test_elicitation_sep1034_defaults", json!({}), "accept");
        assert!(text(&came, "text").contains("action=accept"), "{mode}: {came}");
        assert_eq!(place.ended("test_elicitation_sep1034_defaults")["outcome"], "ok");
        // What a person says goes where nobody sees what becomes of it: not with identifiers.
        let came = client(mode, "test_elicitation_sep1034_defaults", json!({}), "accept=SSN 219-09-9999");
        assert_eq!(came["error"], true, "{mode}: {came}");
        let answered = place.of_kind("toolcall.answered");
        assert_eq!(answered.last().unwrap()["action"], "withheld", "{answered:?}");
    }
    place.boundary.cli(&["trail", "verify"]).unwrap();
}
