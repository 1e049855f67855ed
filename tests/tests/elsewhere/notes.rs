//! PyPI `mcp` as a server elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use chaperone_tests::AgentPlace;
use serde_json::{Value, json};

use crate::place::{Declared, Listening, Place, TOKEN, came, home, text};

const NOTES: &str = "notes";

fn declared(home: &Path, port: u16, of_gateway: &'static str) -> Declared {
    let token = json!(home.join("token"));
    let of_agent = format!(
        "url = \"https://localhost:{port}/mcp\"\nca = {}\ntoken = {{ file = {token} }}\n",
        json!(home.join("ca.crt"))
    );
    Declared { name: NOTES, of_gateway, of_agent }
}

/// What an HTTP header says.
fn header<'a>(request: &'a Value, name: &str) -> Option<&'a str> {
    request["headers"][name].as_str()
}

#[test]
fn each_caller_has_a_session_of_his_own_and_nothing_that_he_showed_goes_there() {
    each_caller("stream");
}

#[test]
fn a_server_that_answers_with_json_is_one_like_any_other() {
    each_caller("json");
}

fn each_caller(kind: &str) {
    const CALLS: usize = 20;
    let home = home();
    let server = Listening::notes(home.path(), kind);
    let declared = [declared(home.path(), server.port, "idle_s = 1")];
    let place = Place::new(AgentPlace::Separate, home, &declared);
    let people = ["ana", "nora"];
    let tokens = people.map(|who| place.token(who));
    let calls = |who: &str| {
        let keep = |n: usize| json!({"tool": "keep", "arguments": {"note": format!("{who}-{n}")}});
        let mut calls: Vec<Value> = (0..CALLS).map(keep).collect();
        calls.push(json!({"tool": "works"}));
        Value::Array(calls)
    };
    let running: Vec<_> =
        people.iter().zip(&tokens).map(|(who, token)| place.client(token, NOTES, &calls(who))).collect();
    for child in running {
        let came = came(child);
        let names: Vec<&str> =
            came["tools"].as_array().unwrap().iter().map(|tool| text(tool, "name")).collect();
        assert_eq!(names, ["keep", "remembers", "works"], "policy does not name the fourth: {came}");
        let results = came["results"].as_array().unwrap();
        assert_eq!(results.len(), CALLS + 1);
        assert!(results.iter().all(|result| result["error"] == false), "{came}");
        assert_eq!(results[CALLS]["text"], "done");
    }

    // What the server got: the agent's own token, and nothing that a caller showed.
    let heard = server.heard();
    let all = Value::Array(heard.clone()).to_string();
    let own = format!("Bearer {TOKEN}");
    assert!(heard.iter().all(|request| header(request, "authorization") == Some(own.as_str())), "{all}");
    assert!(!tokens.iter().any(|token| all.contains(token.as_str())), "a caller's token went there");
    assert!(!all.contains("eyJ"), "some token went there");
    // Whose each session is: one caller's, and his alone.
    let mut sessions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut kept = 0;
    for request in heard.iter().filter(|request| request["method"] == "POST") {
        let body: Value = serde_json::from_str(text(request, "body")).unwrap();
        if body["method"] == "initialize" {
            assert_eq!(header(request, "mcp-session-id"), None);
            continue;
        }
        assert_eq!(header(request, "mcp-protocol-version"), Some("2025-11-25"), "{request}");
        let session = header(request, "mcp-session-id").unwrap().to_owned();
        if let Some((who, _)) = body["params"]["arguments"]["note"].as_str().and_then(|n| n.split_once('-')) {
            sessions.entry(session).or_default().insert(who.to_owned());
            kept += 1;
        }
    }
    assert_eq!(kept, 2 * CALLS);
    assert!(sessions.values().all(|callers| callers.len() == 1), "{sessions:?}");
    assert_eq!(sessions.values().flatten().collect::<BTreeSet<_>>().len(), 2);

    // What the record says of it.
    let subject = |entry: &Value| text(&entry["delegation"]["subject"], "sub").to_owned();
    let started = place.of_kind("server.started");
    assert_eq!(started.iter().map(subject).collect::<BTreeSet<_>>().len(), 2, "{started:?}");
    for entry in &started {
        assert_eq!((&entry["credential"], &entry["target"]), (&Value::Null, &Value::Null), "{entry}");
        assert_eq!(entry["delegation"]["attribution"], "unattributable", "{entry}");
        assert_eq!(entry["command"], started[0]["command"], "{entry}");
    }
    let calls = place.of_kind("toolcall.started");
    assert_eq!(calls.len(), 2 * (CALLS + 1));
    assert!(calls.iter().all(|entry| entry["delegation"]["attribution"] == "unattributable"));
    assert!(place.of_kind("toolcall.ended").iter().all(|entry| entry["outcome"] == "ok"));
    let shown = place.boundary.cli(&["toolcall", "show", text(&calls[0], "call")]).unwrap();
    assert!(shown.contains("elsewhere, over connections of its own"), "{shown}");

    // A session that nobody uses is ended, there too.
    let left = || {
        let heard = server.heard();
        let left = heard.iter().filter(|request| request["method"] == "DELETE");
        left.filter_map(|request| header(request, "mcp-session-id").map(str::to_owned))
            .collect::<BTreeSet<_>>()
    };
    for _ in 0..100 {
        if left().is_superset(&sessions.keys().cloned().collect()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(left().is_superset(&sessions.keys().cloned().collect()), "{:?} of {sessions:?}", left());
    assert!(place.of_kind("server.ended").iter().all(|entry| entry["reason"] == "idle"));
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn identifiers_go_neither_there_nor_back_and_the_caller_is_told_what_to_do() {
    let home = home();
    let server = Listening::notes(home.path(), "stream");
    let declared = [declared(home.path(), server.port, "")];
    let place = Place::new(AgentPlace::InProcess, home, &declared);
    let came = place.tool("ana", NOTES, "remembers", &json!({}));
    assert_eq!(came["result"]["isError"], true, "{came}");
    let said = came.to_string();
    assert!(!said.contains("219-09-9999"), "{said}");
    for part in ["its answer is withheld", "phi.ssn", "do not repeat it", "host the server with its agent"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("code: not_attributable"), "{said}");
    let ended = place.ended("remembers");
    // It was carried out, and is on record so.
    assert_eq!((&ended["outcome"], &ended["code"]), (&json!("ok"), &json!("not_attributable")));
    assert_eq!((&ended["phi_without_statement"], &ended["masked"]), (&json!(2), &Value::Null));
    // What is asked may not hold any either: the server does not hear of it.
    let ssn = json!({"note": "her social security number is 219-09-9999"});
    let came = place.tool("ana", NOTES, "keep", &ssn);
    assert!(came.to_string().contains("nothing was sent: ask without them"), "{came}");
    assert_eq!(place.ended("keep")["code"], "not_attributable");
    let heard = Value::Array(server.heard()).to_string();
    assert!(heard.contains("remembers") && !heard.contains("219-09-9999"), "{heard}");
    // All else goes both ways.
    let came = place.tool("ana", NOTES, "keep", &json!({"note": "buy paper"}));
    assert_eq!(came["result"]["structuredContent"]["result"], 1, "{came}");
    assert_eq!(place.ended("keep")["phi_without_statement"], Value::Null);
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn where_the_gateways_file_says_so_they_are_masked() {
    let home = home();
    let server = Listening::notes(home.path(), "stream");
    let of_gateway = "findings = \"mask\"\nfree_text = { record_numbers = ['MH-\\d{6}'] }";
    let declared = [declared(home.path(), server.port, of_gateway)];
    let place = Place::new(AgentPlace::InProcess, home, &declared);
    let came = place.tool("ana", NOTES, "remembers", &json!({}));
    let said = "as I said before, her social security number is [phi.ssn]";
    assert_eq!(came["result"]["content"][0]["text"], said, "{came}");
    let ended = place.ended("remembers");
    assert_eq!((&ended["outcome"], &ended["masked"]), (&json!("ok"), &json!({"phi.ssn": 2})));
    // It says it twice: as text, and structured.
    assert_eq!(ended["phi_without_statement"], 2);
    // What is asked goes as it is, also where a record number of this organisation's stands in it.
    let came = place.tool("ana", NOTES, "keep", &json!({"note": "MH-123456"}));
    assert_eq!(came["result"]["isError"], false, "{came}");
    assert!(Value::Array(server.heard()).to_string().contains("MH-123456"));
}

/// Whoever does not prove who he is hears nothing, and whoever is not let in is told so: in each case nothing was done.
#[test]
fn a_server_that_is_not_who_it_should_be_hears_nothing() {
    let home = home();
    let server = Listening::notes(home.path(), "stream");
    let port = server.port;
    let of_agent = |host: &str, port: u16, ca: &str, more: &str| {
        let ca = json!(home.path().join(ca));
        format!("url = \"https://{host}:{port}/mcp\"\nca = {ca}\n{more}")
    };
    let closed = chaperone_tests::free_port().unwrap();
    let servers = [
        ("name", of_agent("127.0.0.1", port, "ca.crt", ""), "its certificate is not accepted"),
        ("authority", of_agent("localhost", port, "other.crt", ""), "its certificate is not accepted"),
        ("closed", of_agent("localhost", closed, "ca.crt", ""), "it cannot be reached"),
        ("unknown", of_agent("localhost", port, "ca.crt", ""), "does not let its agent in (HTTP status 401)"),
        (
            "unarmed",
            of_agent("localhost", port, "ca.crt", "token = { file = \"/no/such/token\" }"),
            "its agent has no token to show there",
        ),
    ];
    let declared = servers.each_ref().map(|(name, of_agent, _)| Declared {
        name,
        of_gateway: "",
        of_agent: of_agent.clone(),
    });
    let place = Place::new(AgentPlace::Separate, home, &declared);
    for (name, _, told) in &servers {
        let came = place.tool("ana", name, "keep", &json!({"note": "x"}));
        let said = came.to_string();
        assert!(said.contains(&format!("server `{name}`: ")) && said.contains(told), "{name}: {said}");
        assert!(said.contains("refused: ") && said.contains("tell whoever runs the agent"), "{name}: {said}");
        // Where it is, is the agent's own knowledge.
        assert!(!said.contains("localhost") && !said.contains("127.0.0.1"), "{name}: {said}");
        let ended = place.ended("keep");
        assert_eq!(
            (&ended["outcome"], &ended["code"]),
            (&json!("failed"), &json!("target_unavailable")),
            "{name}"
        );
    }
    let heard = server.heard();
    // Each session begins once, and the one that is not let in asks nothing more.
    assert!(!heard.is_empty() && heard.iter().all(|request| header(request, "authorization").is_none()));
    assert!(heard.iter().all(|request| text(request, "body").contains("\"initialize\"")), "{heard:?}");
    assert_eq!(place.of_kind("toolcall.started").len(), servers.len());
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

/// The gateway's file and the agent's say the same of a server.
#[test]
fn where_the_files_do_not_agree_the_caller_is_told_whose_they_are() {
    let home = home();
    let server = Listening::notes(home.path(), "stream");
    let mut declared = declared(home.path(), server.port, "target = \"clinic\"");
    declared.name = "aimed";
    let cat = Declared {
        name: "aimless",
        of_gateway: "",
        of_agent: format!("{}command = [\"/bin/cat\"]", chaperone_tests::as_itself()),
    };
    let place = Place::new(AgentPlace::Separate, home, &[declared, cat]);
    let came = place.tool("ana", "aimed", "keep", &json!({}));
    assert!(came.to_string().contains("is elsewhere, and gateway.toml gives it a `target`"), "{came}");
    let came = place.tool("ana", "aimless", "keep", &json!({}));
    assert!(came.to_string().contains("gateway.toml does not say for which `target`"), "{came}");
    assert_eq!((server.heard(), place.of_kind("server.started")), (Vec::new(), Vec::new()));
}

/// What is read there, and its prompts, are calls as its tools are: identifiers go neither there nor back.
#[test]
fn what_a_server_elsewhere_lets_read_is_refused_where_it_holds_identifiers() {
    let home = home();
    let server = Listening::notes(home.path(), "json");
    let declared = [declared(home.path(), server.port, "")];
    let place = Place::new(AgentPlace::InProcess, home, &declared);
    let read = |uri: &str| place.ask("ana", NOTES, "resources/read", &json!({"uri": uri}));
    let uris = place.ask("ana", NOTES, "resources/list", &json!({}));
    assert_eq!(uris["result"]["resources"].as_array().map(Vec::len), Some(2), "{uris}");
    assert_eq!(read("notes://plain")["result"]["contents"][0]["text"], "the printer is out of paper");
    let ended = || place.of_kind("toolcall.ended").pop().unwrap();
    assert_eq!(ended()["outcome"], "ok");
    // It was carried out, and what it came to is withheld.
    let known = read("notes://known");
    assert_eq!(known["error"]["data"]["code"], "not_attributable", "{known}");
    assert!(!known.to_string().contains("219-09"), "{known}");
    let last = ended();
    assert_eq!(
        (&last["outcome"], &last["code"], &last["phi_without_statement"]),
        (&json!("ok"), &json!("not_attributable"), &json!(1))
    );
    // An address that holds one is not sent.
    let before = server.heard().len();
    assert_eq!(read("notes://ssn/219-09-9999")["error"]["data"]["code"], "not_attributable");
    assert_eq!(server.heard().len(), before);
    let tidy = json!({"name": "tidy", "arguments": {"what": "the desk"}});
    let tidied = place.ask("ana", NOTES, "prompts/get", &tidy);
    assert_eq!(tidied["result"]["messages"][0]["content"]["text"], "Tidy up the desk.", "{tidied}");
    let started = place.of_kind("toolcall.started");
    let started = started.iter().filter(|entry| !entry["method"].is_null());
    assert!(started.clone().all(|entry| entry["delegation"]["attribution"] == "unattributable"));
    assert_eq!(started.count(), 5);
}
