//! A client of one era before a server of the other.

use std::os::unix::fs::PermissionsExt;

use chaperone_tests::{Person, root};
use serde_json::{Value, json};

use crate::place::{ASKS, EVERYTHING, NEWER, OLDER, Place, beside, names, python, text};

const REVISION: &str = "io.modelcontextprotocol/protocolVersion";

/// A request of the newest revision, by a client that can do this.
pub(crate) fn stateless(method: &str, mut params: Value, capabilities: &Value) -> Value {
    params["_meta"] = json!({
        REVISION: "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "a test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    });
    json!({"jsonrpc": "2.0", "id": "x\"1", "method": method, "params": params})
}

pub(crate) const NEW: &str = "mcp-protocol-version: 2026-07-28";
pub(crate) const CALLS: &str = "mcp-method: tools/call";

#[test]
fn clients_of_both_eras_reach_servers_of_both() {
    let place = Place::new(&[]);
    let echo = json!([{"tool": "echo", "arguments": {"n": 7}}]);
    for (mode, version) in [("legacy", "2025-11-25"), ("auto", "2026-07-28")] {
        for server in [NEWER, OLDER] {
            let came = place.in_python(server, mode, &echo);
            assert_eq!(came["version"], version, "{server}: {came}");
            let result = &came["results"][0];
            assert_eq!(result["error"], false, "{server}: {came}");
            assert!(text(result, "text").contains("7"), "{server}: {came}");
        }
        // To a server that speaks all of them the gateway speaks the newest, whatever the client does.
        let came = place.in_python(EVERYTHING, mode, &json!([{"tool": "begins"}]));
        assert_eq!(
            (&came["version"], text(&came["results"][0], "text")),
            (&json!(version), "without a handshake"),
            "{came}"
        );
    }
    // What a client says of itself is a claim on record, and ends at the gateway: to the server that is the client.
    let came = place.in_python(NEWER, "auto", &echo);
    let said: Value = serde_json::from_str(text(&came["results"][0], "text")).unwrap();
    assert_eq!(said["meta"]["io.modelcontextprotocol/clientInfo"]["name"], "chaperone", "{said}");
    assert_eq!(said["meta"]["io.modelcontextprotocol/clientCapabilities"], json!({}), "{said}");
    let started = place.boundary.entries_of("toolcall.started").unwrap();
    assert!(text(started.last().unwrap(), "application").starts_with("mcp "), "{started:?}");

    // An older client takes structured content that is an object, and nothing else: it gets a list as a text.
    let node = beside(place.home.path(), "mcp", "client.js");
    let counts = json!([{"tool": "counts"}]);
    let came = place.client("node", &[&node, &place.url(NEWER), &place.token()], &counts);
    assert_eq!(names(&came["tools"]), ["echo", "counts", "asks", "books", "grows"], "{came}");
    assert_eq!(came["version"], "2025-11-25");
    assert_eq!(came["results"][0]["structured"], Value::Null, "{came}");
    assert!(text(&came["results"][0], "text").contains("[1,2,3]"), "{came}");
    let call = stateless("tools/call", json!({"name": "counts", "arguments": {}}), &json!({}));
    let (status, came) = place.raw(NEWER, &[NEW, CALLS, "mcp-name: counts"], &call);
    assert_eq!((status, &came["result"]["structuredContent"]), (200, &json!([1, 2, 3])), "{came}");
    // What nobody here knows of an older server's comes through, with what a newer client needs.
    let call = stateless("tools/call", json!({"name": "echo", "arguments": {}}), &json!({}));
    let (_, came) = place.raw(OLDER, &[NEW, CALLS, "mcp-name: echo"], &call);
    let result = &came["result"];
    assert_eq!(
        (&result["later"], &result["resultType"]),
        (&json!({"x": [1, 2]}), &json!("complete")),
        "{came}"
    );
    let (_, came) = place.raw(
        OLDER,
        &[NEW, "mcp-method: server/discover"],
        &stateless("server/discover", json!({}), &json!({})),
    );
    assert_eq!(came["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "hostile", "{came}");
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_server_that_asks_for_something_first_gets_nothing_and_its_caller_hears_why() {
    let place = Place::new(&[]);
    for (server, tool) in [(NEWER, "asks"), (EVERYTHING, "test_input_required_result_elicitation")] {
        let came = place.in_python(server, "legacy", &json!([{"tool": tool}]));
        let result = &came["results"][0];
        assert_eq!(result["error"], true, "{came}");
        for part in
            ["asks for more before it ends the call", "give what it needs as arguments", "code: unsupported"]
        {
            assert!(text(result, "text").contains(part), "{part}: {came}");
        }
        // Where the client could answer, and no policy lets the server ask, no state of anybody's is handed out either.
        if server == EVERYTHING {
            continue;
        }
        let call = stateless("tools/call", json!({"name": tool}), &json!({"elicitation": {}}));
        let (status, came) = place.raw(server, &[NEW, CALLS, &format!("mcp-name: {tool}")], &call);
        assert_eq!((status, &came["result"]["isError"]), (200, &json!(true)), "{came}");
        assert_eq!(came["result"]["resultType"], "complete", "{came}");
        assert!(
            !came.to_string().contains("requestState") && came.to_string().contains("code: unsupported"),
            "{came}"
        );
    }
    let ended = place.boundary.entries_of("toolcall.ended").unwrap();
    assert_eq!(ended.len(), 3);
    assert!(
        ended.iter().all(|entry| entry["outcome"] == "refused" && entry["code"] == "unsupported"),
        "{ended:?}"
    );
    // So nothing can be the answer to what was asked.
    for more in [json!({"requestState": "once"}), json!({"requestState": "once", "inputResponses": {}})] {
        let mut params = json!({"name": "echo", "arguments": {}});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let call = stateless("tools/call", params, &json!({}));
        let (_, came) = place.raw(NEWER, &[NEW, CALLS, "mcp-name: echo"], &call);
        assert_eq!(came["error"]["code"], -32602, "{came}");
    }
    assert_eq!(place.boundary.entries_of("toolcall.ended").unwrap().len(), 3);
}

#[test]
fn what_stands_beside_a_request_is_what_stands_in_it() {
    let place = Place::new(&[]);
    let list = stateless("tools/list", json!({}), &json!({}));
    let code_at = |server: &str, headers: &[&str], body: &Value| {
        let (status, came) = place.raw(server, headers, body);
        assert_eq!(came["id"], "x\"1", "{came}");
        (status, came["error"]["code"].as_i64())
    };
    let code = |headers: &[&str], body: &Value| code_at(NEWER, headers, body);
    let bare = json!({"jsonrpc": "2.0", "id": "x\"1", "method": "tools/list", "params": {}});
    let (same, older) = ("mcp-method: tools/list", "mcp-protocol-version: 2025-11-25");
    // At a server of others, and at the gateway's own tools.
    for server in [NEWER, "clinic"] {
        assert_eq!(code_at(server, &[NEW, same], &list), (200, None), "{server}");
        for headers in
            [&[NEW, CALLS][..], &[NEW], &[same], &[older, same], &[NEW, same, same], &[NEW, NEW, same]]
        {
            assert_eq!(code_at(server, headers, &list), (400, Some(-32020)), "{server} {headers:?}");
        }
        assert_eq!(code_at(server, &[NEW, same], &bare), (400, Some(-32602)), "{server}");
        assert_eq!(code_at(server, &[], &bare), (200, None), "{server}");
    }
    for method in ["ping", "initialize", "resources/list"] {
        let header = format!("mcp-method: {method}");
        assert_eq!(code(&[NEW, &header], &stateless(method, json!({}), &json!({}))), (404, Some(-32601)));
    }
    // An argument that a header repeats, as the tool's description says.
    let call = stateless("tools/call", json!({"name": "echo", "arguments": {"region": "eu"}}), &json!({}));
    let (named, region) = ("mcp-name: echo", "mcp-param-region: eu");
    assert_eq!(code(&[NEW, CALLS, named, region], &call), (200, None));
    assert_eq!(code(&[NEW, CALLS, named, "mcp-param-region: =?base64?ZXU=?="], &call), (200, None));
    assert_eq!(code(&[NEW, CALLS, named, "mcp-param-region: us"], &call), (400, Some(-32020)));
    assert_eq!(code(&[NEW, CALLS, named], &call), (400, Some(-32020)));
    assert_eq!(code(&[NEW, CALLS, "mcp-name: asks", region], &call), (400, Some(-32020)));
    // A call of a tool that is there is on record, and never came to the server.
    let ended = place.boundary.entries_of("toolcall.ended").unwrap();
    let codes: Vec<&Value> = ended.iter().map(|entry| &entry["code"]).collect();
    let (refused, none) = (json!("protocol_violation"), json!("unsupported"));
    assert_eq!(codes, [&none, &Value::Null, &Value::Null, &refused, &refused], "{ended:?}");
}

/// One that does without a handshake tells it to whoever subscribes.
#[test]
fn a_newer_server_that_has_one_more_tool_is_heard() {
    let place = Place::new(&[]);
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    assert_eq!(place.raw(NEWER, &[], &list).0, 200);
    let came = place.in_python(NEWER, "legacy", &json!([{"tool": "grows"}]));
    assert_eq!(came["results"][0]["error"], false, "{came}");
    let held = || place.boundary.entries_of("tool.held").unwrap();
    for _ in 0..50 {
        place.raw(NEWER, &[], &list);
        if !held().is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    // Nobody has looked at it yet. It is the same run that says so.
    assert_eq!(held()[0]["tool"], "grown", "{:?}", held());
    assert!(!names(&place.raw(NEWER, &[], &list).1["result"]["tools"]).contains(&"grown"));
    let started = place.boundary.entries_of("server.started").unwrap();
    assert_eq!(started.len(), 1, "{started:?}");
}

/// A desktop client speaks to the bridge, which knows what has to stand beside a request.
#[test]
fn the_bridge_says_beside_a_call_what_its_tool_wants_there() {
    let place = Place::new(&[]);
    let ana = Person::new("ana", place.home.path(), &place.boundary);
    ana.log_in(&place.issuer).unwrap();
    let bridge = place.home.path().join("bridge");
    let text_of = format!(
        "#!/bin/sh\nCHAPERONE_LOGINS='{}' CHAPERONE_GATEWAY='{}' exec '{}' \"$@\"\n",
        ana.kept().display(),
        place.boundary.api_url(),
        place.boundary.program().display()
    );
    std::fs::write(&bridge, text_of).unwrap();
    std::fs::set_permissions(&bridge, std::fs::Permissions::from_mode(0o700)).unwrap();
    let script = root().join("tests/mcp/client.py");
    for (mode, version) in [("auto", "2026-07-28"), ("legacy", "2025-11-25")] {
        let words = [script.to_str().unwrap(), "stdio", mode, bridge.to_str().unwrap(), "mcp", NEWER];
        let calls = json!([{"tool": "echo", "arguments": {"region": "\u{e9}u", "n": 1}}]);
        let came = place.client(&python(), &words, &calls);
        assert_eq!(came["version"], version);
        assert_eq!(came["results"][0]["error"], false, "{came}");
        assert!(text(&came["results"][0], "text").contains("\u{e9}u"), "{came}");
        // What is told and asked before an answer passes it too.
        let asked = root().join("tests/mcp/asked.py");
        let about = json!({"message": "Who?"}).to_string();
        let words = [asked.to_str().unwrap(), bridge.to_str().unwrap(), ASKS, mode, "book", &about, "accept"];
        let came = place.client(&python(), &words, &json!([]));
        assert_eq!(text(&came, "text"), "booked for turquoise: Hello from a model", "{came}");
        let count = json!({"count": 3}).to_string();
        let words =
            [asked.to_str().unwrap(), bridge.to_str().unwrap(), ASKS, mode, "steps", &count, "accept"];
        let came = place.client(&python(), &words, &json!([]));
        assert_eq!(came["heard"].as_array().unwrap().len(), 4, "{came}");
    }
}
