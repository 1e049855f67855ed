//! What must not work: tokens of others, pages in browsers, requests that say two things, questions about what may not be known.

use std::process::Command;

use chaperone_tests::Person;
use serde_json::{Value, json};

use crate::place::{LIST, Place, bearer, call, names, python, run};

#[test]
fn tokens_that_were_made_for_others_or_by_others_open_nothing() {
    let place = Place::new("");
    let good = place.token(json!({}));
    assert_eq!(place.raw(&[&bearer(&good)], LIST).0, 200);
    let resource = place.resource();
    let id_token = place.forged(json!({}), json!({"aud": "chaperone-cli"}));
    let bad = [
        ("an ID token", id_token),
        ("another audience", place.token(json!({"aud": "https://other.example/mcp"}))),
        ("a longer audience", place.token(json!({"aud": format!("{resource}/clinic")}))),
        ("no audience", place.token(json!({"aud": null}))),
        ("for the login too", place.token(json!({"aud": [resource, "chaperone-cli"]}))),
        ("expired", place.token(json!({"iat": 1, "exp": 2}))),
        ("another issuer", place.token(json!({"iss": "https://evil.example"}))),
        ("no algorithm", place.forged(json!({"kind": "none"}), json!({}))),
        ("key confusion", place.forged(json!({"kind": "hs256"}), json!({}))),
        ("a stranger's key", place.forged(json!({"kind": "stranger"}), json!({}))),
        ("cut short", good[..good.len() - 4].to_owned()),
        ("empty", String::new()),
        ("no token", "x.y.z".to_owned()),
    ];
    for (what, token) in &bad {
        let (status, challenge, body) = place.raw(&[&bearer(token)], LIST);
        assert_eq!(status, 401, "{what}: {body}");
        assert!(challenge.contains("resource_metadata="), "{what}: {challenge}");
    }
    let failed = place.entries("authentication.failed");
    assert!(failed.len() >= 10 && failed.iter().all(|entry| entry["method"] == "issuer_token"), "{failed:?}");
    // The administrator's token is nobody, and two tokens are none.
    let admin =
        std::fs::read_to_string(place.boundary.config().with_file_name("keys").join("admin.token")).unwrap();
    assert_eq!(place.raw(&[&bearer(admin.trim())], LIST).0, 401);
    assert_eq!(place.raw(&[&bearer(&good), &bearer(&good)], LIST).0, 401);
    // Disabled, somebody's tokens open nothing, whichever they are.
    place.boundary.cli(&["people", "disable", "org/ana", "--reason", "left"]).unwrap();
    assert_eq!(place.raw(&[&bearer(&good)], LIST).0, 401);
    assert_eq!(place.raw(&[&bearer(&place.token(json!({})))], LIST).0, 401);
}

#[test]
fn a_page_in_a_browser_reaches_nothing_through_another_name() {
    let place = Place::new("origins = [\"https://app.example\"]");
    let token = bearer(&place.token(json!({})));
    assert_eq!(place.raw(&[&token, "host: localhost"], LIST).0, 200);
    assert_eq!(place.raw(&[&token, "origin: https://app.example"], LIST).0, 200);
    for bad in
        ["host: evil.example", "host: 127.0.0.1.evil.example", "origin: https://evil.example", "origin: null"]
    {
        let (status, _, body) = place.raw(&[&token, bad], LIST);
        assert_eq!(status, 403, "{bad}: {body}");
    }
    let metadata = format!("{}/.well-known/oauth-protected-resource", place.boundary.api_url());
    let said = chaperone_tests::capture(Command::new("curl").args([
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        "host: evil.example",
        &metadata,
    ]));
    assert_eq!(said.unwrap(), "403");
}

#[test]
fn requests_that_say_two_things_or_too_much_are_refused() {
    let place = Place::new("");
    let token = bearer(&place.token(json!({})));
    let status = |headers: &[&str], body: &str| {
        let mut all = vec![token.as_str()];
        all.extend(headers);
        place.raw(&all, body).0
    };
    let modern = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}}}})
    .to_string();
    let agreed = ["mcp-protocol-version: 2026-07-28", "mcp-method: tools/list"];
    assert_eq!(status(&agreed, &modern), 200);
    assert_eq!(status(&["mcp-protocol-version: 2026-07-28", "mcp-method: tools/call"], &modern), 400);
    assert_eq!(status(&["mcp-protocol-version: 2026-07-28"], &modern), 400);
    assert_eq!(status(&[agreed[0], agreed[1], agreed[1]], &modern), 400, "twice, even if alike");
    assert_eq!(status(&[agreed[0], agreed[1], "mcp-method: tools/call"], &modern), 400);
    // The name beside a call is that of the tool that is called.
    let mut named: Value = serde_json::from_str(&modern).unwrap();
    named["method"] = json!("tools/call");
    named["params"]["name"] = json!("explain_access");
    named["params"]["arguments"] = json!({});
    let named = named.to_string();
    let called = |name: &str| status(&[agreed[0], "mcp-method: tools/call", name], &named);
    assert_eq!((called("mcp-name: explain_access"), called("mcp-name: query")), (200, 400));
    assert_eq!(status(&[agreed[0], "mcp-method: tools/call"], &named), 400);
    assert_eq!(
        place.entries("toolcall.started").len(),
        1,
        "what says two things is carried out in neither way"
    );
    assert_eq!(status(&["mcp-protocol-version: 2025-11-25", "mcp-method: tools/list"], &modern), 400);
    assert_eq!(status(&["mcp-protocol-version: 1999-01-01"], LIST), 400);
    assert_eq!(status(&["mcp-protocol-version: 2025-06-18"], LIST), 200);
    assert_eq!(status(&[], &format!("[{LIST},{LIST}]")), 400);
    assert_eq!(status(&[], r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#), 400);
    assert_eq!(status(&[], "{"), 400);
    assert_eq!(status(&[], &"[".repeat(100_000)), 400);
    assert_eq!(status(&[], &call(&"x".repeat(3 * 1024 * 1024))), 413);
    // Nothing is pushed and no session is kept, whatever is asked for.
    let alone = |method: &str| {
        let args = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, "-H", &token];
        let accept = ["-H", "accept: text/event-stream", "-H", "mcp-session-id: x", "-H", "last-event-id: 1"];
        chaperone_tests::capture(Command::new("curl").args(args).args(accept).arg(place.url())).unwrap()
    };
    for method in ["GET", "DELETE", "PUT", "OPTIONS"] {
        assert_eq!(alone(method), "405", "{method}");
    }
    // A call that wants no answer is none.
    let unasked = call("select 1").replace("\"id\":1,", "");
    assert_eq!(status(&[], &unasked), 202);
    assert_eq!(place.entries("toolcall.started").len(), 1);
    // Nobody gets his own megabytes back.
    let long = "x".repeat(1024 * 1024);
    let bodies = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": long}}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "query", "arguments": {(long.clone()): 1}}}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "describe_schema", "arguments": {"relation": long}}}),
    ];
    for body in bodies {
        let (_, _, answer) = place.raw(&[&token], &body.to_string());
        assert!((1..4096).contains(&answer.len()), "{} bytes", answer.len());
    }
    // A purpose is a code: a longer one is no argument, nor is an empty one.
    for bad in ["x".repeat(65), String::new(), "a,b".to_owned()] {
        let answer = place.query(&[&token], json!({"sql": "select 1", "purpose": bad}));
        assert_eq!(answer["isError"], true, "{answer}");
        assert!(answer["content"][0]["text"].as_str().unwrap().contains("`purpose` is a code"), "{answer}");
    }
    let longest = place.query(&[&token], json!({"sql": "select 1", "purpose": "x".repeat(64)}));
    assert_eq!(longest["isError"], false, "{longest}");
}

#[test]
fn whether_there_is_a_target_is_not_told_to_whoever_may_not_know_it() {
    let place = Place::new("tool_scopes = { query = [\"clinic.query\"] }");
    let eve = bearer(&place.token(json!({"sub": "eve", "groups": [], "scope": ""})));
    let person = Person::new("dora", place.home.path(), &place.boundary);
    person.log_in(&place.issuer).unwrap();
    let own = bearer(&person.token().unwrap());
    let at = |name: &str, headers: &[&str], body: &str| {
        let (head, body) = place.whole(&format!("{}/mcp/{name}", place.boundary.api_url()), headers, body);
        let head: Vec<&str> = head.lines().filter(|line| !line.starts_with("date: ")).collect();
        (head.join("\n"), body)
    };
    let other_client = [own.as_str(), "chaperone-client: claude"];
    let stateless = [eve.as_str(), "mcp-protocol-version: 1999-01-01"];
    let requests: [(&[&str], &str, &str); 6] = [
        (&[&eve], LIST, "404"),
        (&[&eve], "{", "400"),
        (&[&eve], &call("select 1"), "403"),
        (&[&eve], r#"{"jsonrpc":"2.0","id":1,"method":"nothing"}"#, "404"),
        (&other_client, LIST, "403"),
        (&stateless, LIST, "404"),
    ];
    for (headers, body, status) in requests {
        let there = at("clinic", headers, body);
        assert!(there.0.starts_with(status), "{body}: {there:?}");
        for name in ["nowhere", "NO-NAME", "x%20y"] {
            assert_eq!(at(name, headers, body), there, "{name}: {body}");
        }
    }
}

#[test]
fn a_login_that_has_ended_is_told_so_and_counts_as_no_stranger() {
    let place = Place::new("");
    let ana = Person::new("ana", place.home.path(), &place.boundary);
    ana.log_in(&place.issuer).unwrap();
    let own = bearer(&ana.token().unwrap());
    assert_eq!(place.raw(&[&own], LIST).0, 200);
    place.boundary.cli(&["people", "disable", "org/ana", "--reason", "left"]).unwrap();
    // More often than strangers may try.
    for _ in 0..40 {
        let (status, challenge, body) = place.raw(&[&own], LIST);
        assert_eq!(status, 401, "{body}");
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        assert!(body.contains("login"), "{body}");
    }
    assert!(place.entries("authentication.failed").is_empty());
    let nora = place.token(json!({"sub": "nora"}));
    assert_eq!(place.raw(&[&bearer(&nora)], LIST).0, 200);
}

#[test]
fn arguments_and_statements_that_cannot_be_end_in_refusals_and_in_the_record() {
    let place = Place::new("");
    let token = place.token(json!({}));
    let asked = json!([
        {"tool": "query", "arguments": {"sql": "select 1", "limit": 5}},
        {"tool": "query", "arguments": {"sql": "select 1; select 2"}},
        {"tool": "query", "arguments": {"continuation": "bm90aGluZyBoZXJl"}},
        {"tool": "query", "arguments": {"sql": "copy clinic.patients to stdout"}},
        {"tool": "query", "arguments": {"sql": "selec 1"}},
        {"tool": "query", "arguments": {"sql": "select 1/0"}},
        {"tool": "query", "arguments": {"sql": "select pg_read_file('PG_VERSION')"}},
        {"tool": "query", "arguments": {"sql": "select repeat(given_name, 100000) from clinic.patients limit 1"}},
        {"tool": "query", "arguments": {"sql": "select repeat(given_name, 2000), patient_id from clinic.patients order by 2 limit 50"}},
        {"tool": "describe_schema", "arguments": {"relation": "clinic.claims"}},
        {"tool": "query", "arguments": {"sql":
            "update clinic.encounters set reason = reason where encounter_id <= 5 returning encounter_id", "rows": 2}},
    ]);
    let came = run(python(&["http", &place.url(), &token]), &asked).unwrap();
    let results = came["results"].as_array().unwrap();
    let error = |at: usize| {
        assert_eq!(results[at]["error"], true, "{at}: {}", results[at]);
        results[at]["text"].as_str().unwrap()
    };
    assert!(error(0).contains("the arguments cannot be used"), "{}", error(0));
    assert!(error(1).contains("multiple commands"), "{}", error(1));
    assert!(error(2).contains("nothing to go on with"), "{}", error(2));
    assert!(error(3).contains("COPY") && error(3).contains("code: unsupported"), "{}", error(3));
    assert!(error(4).contains("syntax error") && error(4).contains("code: syntax_error"), "{}", error(4));
    assert!(error(5).contains("sqlstate: 22012"), "{}", error(5));
    assert!(error(6).contains("code: not_understood"), "{}", error(6));
    assert!(error(7).contains("longer than"), "{}", error(7));
    let wide = &results[8];
    assert_eq!(wide["error"], false, "{wide}");
    let shown = wide["structured"]["rows"].as_array().unwrap().len();
    assert!((1..50).contains(&shown) && wide["structured"]["truncated"] == true, "{shown}");
    assert!(error(9).contains("no relation `clinic.claims` that you may use"), "{}", error(9));
    // What changes something is done whole, however few of its rows are shown.
    let update = &results[10]["structured"];
    assert_eq!((&update["row_count"], &update["truncated"]), (&json!(2), &json!(true)), "{}", results[10]);
    assert!(
        update["continuation"].is_null() && update["note"].as_str().unwrap().contains("carried out whole")
    );
    let (started, ended) = (place.entries("toolcall.started"), place.entries("toolcall.ended"));
    assert_eq!((started.len(), ended.len()), (asked.as_array().unwrap().len(), started.len()));
    let outcome =
        |at: usize| (ended[at]["outcome"].as_str().unwrap(), ended[at]["code"].as_str().unwrap_or("-"));
    assert_eq!(outcome(0), ("refused", "protocol_violation"));
    assert_eq!(outcome(5), ("failed", "-"));
    assert_eq!(outcome(10), ("ok", "-"));
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn who_may_call_which_tool_is_policy() {
    let place = Place::new("");
    let ben = place.token(json!({"sub": "ben", "groups": ["billing"]}));
    let asked = json!([
        {"tool": "query", "arguments": {"sql": "select 1"}},
        {"tool": "explain_access"},
    ]);
    let came = run(python(&["http", &place.url(), &ben]), &asked).unwrap();
    assert_eq!(names(&came["tools"]), ["describe_schema", "explain_access"]);
    let refused = came["results"][0]["text"].as_str().unwrap();
    assert!(refused.contains("no permission to `invoke` `clinic/query`"), "{refused}");
    assert_eq!(came["results"][1]["error"], false, "{came}");
    // Whoever may not connect does not learn that there is a target.
    let nobody = place.token(json!({"sub": "eve", "groups": []}));
    assert_eq!(place.raw(&[&bearer(&nobody)], LIST).0, 404);
    // A lock says so.
    place.boundary.cli(&["lock", "client", "claude", "--reason", "a test"]).unwrap();
    let ana = place.token(json!({}));
    let came = run(
        python(&["http", &place.url(), &ana]),
        &json!([{"tool": "query", "arguments": {"sql": "select 1"}}]),
    );
    let text = came.unwrap()["results"][0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("client `claude` is locked"), "{text}");
}
