//! Clients that nobody here wrote, of both eras, over HTTP and over the bridge.

use std::io::Write;
use std::process::{Command, Stdio};

use chaperone_tests::Person;
use serde_json::{Value, json};

use crate::place::{
    ASSISTANT, LIST, Place, bearer, call, calls, check, names, node, python, rows_value, run,
};

#[test]
fn clients_of_both_eras_call_tools_and_the_record_knows_what_they_saw() {
    let place = Place::new("");
    let token = place.token(json!({}));
    for (mode, version) in [("legacy", "2025-11-25"), ("2026-07-28", "2026-07-28"), ("auto", "2026-07-28")] {
        let came = run(python(&["http", &place.url(), &token, mode]), &calls()).unwrap();
        assert_eq!(came["version"], version, "{mode}");
        check(&came);
    }
    let came = run(node(place.home.path(), &[&place.url(), &token]), &calls()).unwrap();
    check(&came);

    // From the tool call to the fields.
    let id = came["results"][0]["structured"]["call"].as_str().unwrap();
    let tree = place.boundary.cli_json(&["toolcall", "show", id]).unwrap();
    assert_eq!(tree["delegation"]["subject"]["sub"], "ana", "{tree}");
    assert_eq!((&tree["delegation"]["client"], &tree["oauth_client"]), (&json!("claude"), &json!(ASSISTANT)));
    assert_eq!(tree["delegation"]["recipient"]["name"], "Model Inc");
    assert_eq!(
        (&tree["delegation"]["attribution"], &tree["delegation"]["purpose"]),
        (&json!("leased"), &json!("TREAT"))
    );
    assert_eq!((&tree["end"]["outcome"], &tree["end"]["rows"]), (&json!("ok"), &json!(3)));
    let operation = &tree["operations"][0];
    assert_eq!((&operation["status"], &operation["rows"]), (&json!("suspended"), &json!(3)), "{tree}");
    let columns = &operation["columns"][0];
    assert_eq!(
        (&columns["masked"], &columns["relation"]),
        (&json!(["ssn"]), &json!("clinic.patients")),
        "{tree}"
    );
    assert_eq!(operation["subjects"]["counted"], 3, "{tree}");
    let shown = place.boundary.cli(&["toolcall", "show", id]).unwrap();
    for part in ["org/ana via claude", "OAuth client assistant", "clinic/query", "masked: ssn", "3 patients"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // The answer that was gone on with is another call, in the same session, with the same statement.
    let next = came["results"][1]["structured"]["call"].as_str().unwrap();
    let other = place.boundary.cli_json(&["toolcall", "show", next]).unwrap();
    assert_eq!(other["operations"][0]["session"], operation["session"], "{other}");
    assert_eq!(other["operations"][0]["template"], operation["template"]);
    assert_ne!(other["arguments"], tree["arguments"]);
    // Each client was refused once, and each refusal knows its call.
    let refused = place.entries("operation.refused");
    assert_eq!(refused.len(), 4, "{refused:?}");
    let called = place.entries("toolcall.ended");
    for entry in &refused {
        let of: Vec<&Value> = called.iter().filter(|ended| ended["call"] == entry["call"]).collect();
        assert!(matches!(of[..], [one] if one["code"] == "not_permitted"), "{entry}: {of:?}");
    }
    // The statement is never in clear, and neither is what came back.
    let all = place.boundary.cli(&["trail", "tail", "--json", "--lines", "100000"]).unwrap();
    assert!(!all.contains("select patient_id") && !all.contains(rows_value(&came)), "{all}");
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_client_finds_its_way_from_a_url_to_a_token_by_itself() {
    let place = Place::new("scopes = [\"clinic.read\"]\ntool_scopes = { query = [\"clinic.query\"] }");
    let visit = place.home.path().join("issuer/visit.js");
    let words = ["oauth", &place.url(), ASSISTANT, visit.to_str().unwrap(), "ana"];
    check(&run(python(&words), &calls()).unwrap());

    let metadata = |path: &str| -> Value {
        let url = format!("{}/.well-known/oauth-protected-resource{path}", place.boundary.api_url());
        let said = chaperone_tests::capture(Command::new("curl").args(["-sS", &url])).unwrap();
        serde_json::from_str(&said).unwrap()
    };
    for path in ["", "/mcp", "/mcp/clinic", "/mcp/no-such-target"] {
        let document = metadata(path);
        assert_eq!(document["resource"], place.resource(), "{path}");
        assert_eq!(document["authorization_servers"], json!([place.issuer.url()]));
        assert_eq!(document["scopes_supported"], json!(["clinic.query", "clinic.read"]));
    }
    // Without a token: where to read on. With one that is too narrow: what to ask for.
    let (status, challenge, _) = place.raw(&[], LIST);
    assert_eq!(status, 401);
    let at = format!(
        "resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\"",
        place.boundary.api_url()
    );
    assert!(challenge.starts_with("Bearer ") && challenge.contains(&at), "{challenge}");
    let narrow = place.token(json!({"scope": "clinic.read"}));
    assert_eq!(place.raw(&[&bearer(&narrow)], LIST).0, 200);
    let (status, challenge, _) = place.raw(&[&bearer(&narrow)], &call("select 1"));
    assert_eq!(status, 403);
    assert!(
        challenge.contains("error=\"insufficient_scope\"")
            && challenge.contains("scope=\"clinic.query clinic.read\""),
        "{challenge}"
    );
    let none = place.token(json!({"scope": ""}));
    assert_eq!(place.raw(&[&bearer(&none)], LIST).0, 403);
}

#[test]
fn a_desktop_client_speaks_through_the_bridge() {
    let place = Place::new("");
    let ana = Person::new("ana", place.home.path(), &place.boundary);
    ana.log_in(&place.issuer).unwrap();
    // The program with a login's environment, as a desktop client would be configured to start it.
    let script = place.home.path().join("bridge");
    let program = place.boundary.program().display().to_string();
    let text = format!(
        "#!/bin/sh\nCHAPERONE_LOGINS='{}' CHAPERONE_GATEWAY='{}' exec '{program}' \"$@\"\n",
        ana.kept().display(),
        place.boundary.api_url()
    );
    std::fs::write(&script, text).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&script, executable).unwrap();
    let bridge = script.to_str().unwrap();
    for (mode, version) in [("legacy", "2025-11-25"), ("auto", "2026-07-28")] {
        let came =
            run(python(&["stdio", mode, bridge, "mcp", "clinic", "--client", "desktop"]), &calls()).unwrap();
        assert_eq!(came["version"], version);
        check(&came);
    }
    let started = place.entries("toolcall.started");
    assert_eq!(started[0]["delegation"]["client"], "desktop");
    // What is no message, and a client that is known by its own logins only.
    let raw = |words: &[&str], input: &str| {
        let mut command = Command::new(bridge);
        let mut child = command
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    let said = raw(&["mcp", "clinic"], &format!("not json\n{}\n{LIST}\n", "x".repeat(3 * 1024 * 1024)));
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert_eq!((&lines[0]["error"]["code"], &lines[1]["error"]["code"]), (&json!(-32700), &json!(-32600)));
    assert_eq!(names(&lines[2]["result"]["tools"]).len(), 3);
    let said = raw(&["mcp", "clinic", "--client", "claude"], &format!("{LIST}\n"));
    assert!(said.contains("another client's"), "{said}");
    let said = raw(&["mcp", "nowhere"], &format!("{LIST}\n"));
    assert!(said.contains("there is no such target for you"), "{said}");
}
