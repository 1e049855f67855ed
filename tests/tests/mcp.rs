//! AI clients that nobody here wrote call a real gateway's tools, with tokens of a real issuer (npm `oidc-provider`), and the
//! record knows who saw what. What must not work is tried as well.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test's own set-up may fail it"
)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use chaperone_tests::{
    AgentPlace, Boundary, Cluster, Fsync, Issuer, Layout, Person, free_port, private_folder, root, target_dir,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The AI client's id at the issuer.
const ASSISTANT: &str = "assistant";
/// A statement that names a column which nurses see masked, one that they do not see, and one that they see.
const PATIENTS: &str = "select patient_id, given_name, ssn from clinic.patients order by patient_id";

/// An issuer, a gateway that takes its tokens at `/mcp`, and a clinic behind it.
struct Place {
    issuer: Issuer,
    boundary: Boundary,
    home: TempDir,
    cluster: Cluster,
}

/// The demonstration's policies for this issuer's people, and who may call which tool.
fn policies(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let text = std::fs::read_to_string(root().join("demo/policy/clinic.cedar")).unwrap();
    let tools = r#"
@id("nurses-tools")
permit (principal in Group::"dev/nurses", action == Action::"invoke", resource in Target::"clinic");
@id("billing-tools")
permit (principal in Group::"dev/billing", action == Action::"invoke", resource in Target::"clinic")
when { resource in [Tool::"clinic/describe_schema", Tool::"clinic/explain_access"] };
"#;
    std::fs::write(folder.join("clinic.cedar"), (text + tools).replace("\"dev/", "\"org/")).unwrap();
}

impl Place {
    fn new(mcp: &str) -> Self {
        Self::with(mcp, None)
    }

    /// With limits, as `limits.toml` has them.
    fn limited(limits: &str) -> Self {
        Self::with("", Some(limits))
    }

    fn with(mcp: &str, limits: Option<&str>) -> Self {
        let home = private_folder("test").unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let api_port = free_port().unwrap();
        let issuer = Issuer::start(&home.path().join("issuer"), "http://127.0.0.1:9/logout").unwrap();
        let mut layout = Layout::new(AgentPlace::InProcess);
        layout.api_port = Some(api_port);
        policies(&home.path().join("policy"));
        if let Some(limits) = limits {
            std::fs::write(home.path().join("policy/limits.toml"), limits).unwrap();
        }
        layout.policy = Some(home.path().join("policy"));
        layout.classification = Some(root().join("demo/classification/clinic.toml"));
        layout.more = format!(
            "[mcp]\n{mcp}\n[clients.claude]\nowner = \"it\"\nrecipient = \"Model Inc\"\n\
             oauth_clients = [\"{ASSISTANT}\"]\n\
             [issuers.org]\nurl = \"{}\"\nclient_id = \"chaperone-cli\"\n\
             mcp_audiences = [\"http://127.0.0.1:{api_port}/mcp\"]\n",
            issuer.url()
        );
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        Self { issuer, boundary, home, cluster }
    }

    fn url(&self) -> String {
        format!("{}/mcp/clinic", self.boundary.api_url())
    }

    fn resource(&self) -> String {
        format!("{}/mcp", self.boundary.api_url())
    }

    /// A sound access token of the issuer's, with some claims replaced.
    fn token(&self, claims: Value) -> String {
        self.forged(json!({}), claims)
    }

    fn forged(&self, how: Value, claims: Value) -> String {
        let mut all =
            json!({"aud": self.resource(), "client_id": ASSISTANT, "scope": "clinic.read clinic.query"});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let mut what = how;
        what["claims"] = all;
        let made = self.issuer.control("forge", &what).unwrap();
        made["token"].as_str().unwrap().to_owned()
    }

    /// One request as nobody's library would send it: status, `WWW-Authenticate`, and the body.
    fn raw(&self, headers: &[&str], body: &str) -> (u16, String, String) {
        let (head, body) = self.whole(&self.url(), headers, body);
        let challenge =
            head.lines().find_map(|line| line.strip_prefix("www-authenticate: ")).unwrap_or_default();
        (head[..3].parse().unwrap(), challenge.to_owned(), body)
    }

    /// An answer's head, from its status on, and its body.
    fn whole(&self, url: &str, headers: &[&str], body: &str) -> (String, String) {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-i", "-X", "POST", "--data-binary", "@-", "-H", "content-type: application/json"]);
        curl.args(["-H", "accept: application/json, text/event-stream"]);
        for header in headers {
            curl.args(["-H", header]);
        }
        let mut child = curl.arg(url).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // A gateway that refuses by the length alone does not read it.
        drop(child.stdin.take().unwrap().write_all(body.as_bytes()));
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        // `100 Continue` comes before the answer.
        let said = said.rsplit_once("HTTP/1.1 ").map(|(_, last)| last).unwrap_or_default();
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or((said, ""));
        (head.to_owned(), body.to_owned())
    }

    /// One call with a statement, by a client that knows nothing else: its result.
    fn query(&self, headers: &[&str], arguments: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "query", "arguments": arguments}});
        let (_, _, answer) = self.raw(headers, &body.to_string());
        serde_json::from_str::<Value>(&answer).unwrap()["result"].clone()
    }

    fn entries(&self, kind: &str) -> Vec<Value> {
        let text = self.boundary.cli(&["trail", "tail", "--json", "--lines", "100000"]).unwrap();
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.filter(|entry| entry["kind"] == kind).collect()
    }
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}")
}

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

fn call(sql: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "query", "arguments": {"sql": sql}}})
    .to_string()
}

/// Run a client with its calls; what came of them.
fn run(mut command: Command, calls: &Value) -> Result<Value, String> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(calls.to_string().as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    serde_json::from_slice(&out.stdout).map_err(|_| said)
}

fn python(words: &[&str]) -> Command {
    let mut command = Command::new(target_dir().join("mcp/python/bin/python"));
    command.arg(root().join("tests/mcp/client.py")).args(words);
    command
}

fn node(home: &Path, words: &[&str]) -> Command {
    // Node looks for packages beside the program that asks for them.
    let folder = home.join("client");
    if !folder.exists() {
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(target_dir().join("mcp/node/node_modules"), folder.join("node_modules"))
            .unwrap();
        for file in ["client.js", "package.json"] {
            std::fs::copy(root().join("tests/mcp").join(file), folder.join(file)).unwrap();
        }
    }
    let mut command = Command::new("node");
    command.arg(folder.join("client.js")).args(words);
    command
}

fn names(tools: &Value) -> Vec<&str> {
    tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

fn column<'a>(result: &'a Value, name: &str) -> &'a Value {
    result["structured"]["columns"].as_array().unwrap().iter().find(|column| column["name"] == name).unwrap()
}

/// What every client has to find, whichever revision it speaks.
fn check(came: &Value) {
    assert_eq!(names(&came["tools"]), ["query", "describe_schema", "explain_access"], "{came}");
    let results = came["results"].as_array().unwrap();
    let query = &results[0];
    assert_eq!(query["error"], false, "{query}");
    let rows = query["structured"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (&column(query, "patient_id")["type"], &column(query, "patient_id")["shown"]),
        (&json!("int4"), &json!("revealed"))
    );
    assert_eq!(column(query, "given_name")["shown"], "revealed");
    let ssn = column(query, "ssn");
    assert_eq!(ssn["shown"], "masked", "{ssn}");
    assert!(ssn["because"][0].as_str().unwrap().starts_with("clinic.patients.ssn: "), "{ssn}");
    for row in rows {
        assert!(row[2].as_str().unwrap().contains('*'), "a mask is no value: {row}");
    }
    assert_eq!(query["structured"]["truncated"], true);
    let text: Value = serde_json::from_str(query["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, query["structured"], "the same for clients that know text only");
    // Gone on with: the rows that follow, and each value once.
    let more = &results[1];
    assert_eq!(more["error"], false, "{more}");
    assert_eq!(more["structured"]["rows"][0][0], "4", "{more}");
    assert_eq!(more["structured"]["columns"], query["structured"]["columns"]);
    // A refusal on which a model can act, and without data.
    let refused = &results[2];
    assert_eq!(refused["error"], true);
    let text = refused["text"].as_str().unwrap();
    assert!(text.starts_with("refused: you have no permission to `read` on `clinic.claims`"), "{text}");
    assert!(
        text.contains("\nhint: ask an administrator") && text.contains("\ncode: not_permitted"),
        "{text}"
    );
    assert_eq!(refused["structured"], Value::Null);
    // The database as this caller sees it.
    let schema = &results[3]["structured"];
    let relations = schema["relations"].as_array().unwrap();
    assert!(relations.iter().all(|relation| relation["relation"] != "clinic.claims"), "{schema}");
    let patients = relations.iter().find(|relation| relation["relation"] == "clinic.patients").unwrap();
    let ssn = patients["columns"].as_array().unwrap().iter().find(|column| column["name"] == "ssn").unwrap();
    assert_eq!((&ssn["shown"], &ssn["tags"]), (&json!("masked"), &json!(["phi.ssn"])), "{ssn}");
    // What it may not, and what to ask for.
    let explained = &results[4]["structured"];
    assert_eq!(explained["you"], "org/ana");
    assert_eq!(explained["statement"]["ruling"], "refuse", "{explained}");
    let needs = explained["statement"]["needs"].as_array().unwrap();
    assert!(
        needs.iter().any(|need| need["permission"] == "read" && need["on"] == "clinic/clinic.claims"),
        "{explained}"
    );
    // The policy that masks the column decided three of these answers, and none of them names it.
    assert!(ssn["because"].as_str().unwrap().contains("useMasked"), "{ssn}");
    assert!(!came["results"].to_string().contains("nurses-"), "policies are the administrators': {came}");
}

fn calls() -> Value {
    json!([
        {"tool": "query", "arguments": {"sql": PATIENTS, "rows": 3, "purpose": "TREAT"}},
        {"tool": "query", "arguments": {"rows": 2}, "continue": true},
        {"tool": "query", "arguments": {"sql": "select * from clinic.claims"}},
        {"tool": "describe_schema"},
        {"tool": "explain_access", "arguments": {"sql": "select * from clinic.claims"}},
    ])
}

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

/// A value that was returned.
fn rows_value(came: &Value) -> &str {
    came["results"][0]["structured"]["rows"][0][1].as_str().unwrap()
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
fn a_write_that_may_have_been_carried_out_is_never_called_refused() {
    let place = Place::new("");
    let token = bearer(&place.token(json!({})));
    // A server that waits for a standby commits first: whoever is cut off meanwhile cannot know.
    place.cluster.sql("alter system set synchronous_standby_names = 'nobody'").unwrap();
    place.cluster.sql("alter system set synchronous_commit = 'on'").unwrap();
    place.cluster.sql("select pg_reload_conf()").unwrap();
    let write = "update clinic.encounters set reason = 'carried out' where encounter_id = 1";
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(|| place.query(&[&token], json!({"sql": write})));
        let cut =
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where wait_event = 'SyncRep'";
        let mut many = 0;
        for _ in 0..100 {
            many += place.cluster.sql(cut).unwrap().trim().parse::<u32>().unwrap();
            if many > 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(many, 1, "no commit ever waited");
        answer.join().unwrap()
    });
    let done = place.cluster.sql("select reason from clinic.encounters where encounter_id = 1").unwrap();
    assert_eq!(done.trim(), "carried out");
    assert_eq!(answer["isError"], true, "{answer}");
    let text = answer["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("outcome unknown: ") && text.contains("do not repeat it blindly"), "{text}");
    let ended = place.entries("toolcall.ended");
    assert_eq!((ended.len(), &ended[0]["outcome"]), (1, &json!("unknown")), "{ended:?}");
    let call = ended[0]["call"].as_str().unwrap();
    let shown = place.boundary.cli(&["toolcall", "show", call]).unwrap();
    assert!(shown.contains("unknown"), "{shown}");
    // What the target refuses is told as that, and what is refused before it is sent too.
    place.cluster.sql("alter system reset synchronous_standby_names").unwrap();
    place.cluster.sql("select pg_reload_conf()").unwrap();
    let text = |sql: &str| {
        let answer = place.query(&[&token], json!({"sql": sql}));
        answer["content"][0]["text"].as_str().unwrap().to_owned()
    };
    let twice =
        text("update clinic.encounters set reason = (1 / (encounter_id - 1))::text where encounter_id = 1");
    assert!(twice.starts_with("the database answered with an error"), "{twice}");
    let denied = text("delete from clinic.encounters");
    assert!(denied.starts_with("refused: ") && denied.contains("code: not_permitted"), "{denied}");
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_session_that_is_not_opened_is_refused_under_its_call() {
    let place = Place::limited("[[limit]]\nsubject = \"org/ana\"\nsessions = 1\n");
    let token = bearer(&place.token(json!({})));
    let first = place.query(&[&token], json!({"sql": PATIENTS, "rows": 1}));
    assert!(first["structuredContent"]["continuation"].is_string(), "{first}");
    let second = place.query(&[&token], json!({"sql": PATIENTS}));
    let text = second["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("refused: ") && text.contains("code: too_many_sessions"), "{text}");
    let ended = &place.entries("toolcall.ended")[1];
    assert_eq!((&ended["outcome"], &ended["code"]), (&json!("refused"), &json!("too_many_sessions")));
    let refused = place.entries("operation.refused");
    assert_eq!((refused.len(), &refused[0]["call"]), (1, &ended["call"]), "{refused:?}");
    let tree = place.boundary.cli_json(&["toolcall", "show", ended["call"].as_str().unwrap()]).unwrap();
    assert_eq!(
        (&tree["operations"][0]["tag"], &tree["operations"][0]["code"]),
        (&json!("CONNECT"), &json!("too_many_sessions")),
        "{tree}"
    );
    place.boundary.cli(&["trail", "verify"]).unwrap();
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
        {"tool": "query", "arguments": {"sql": "select pg_sleep(100)"}},
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
    assert!(error(3).contains("code: unsupported") || error(3).contains("COPY"), "{}", error(3));
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
fn a_result_is_gone_on_with_once_and_by_nobody_else() {
    let place = Place::new("");
    let ana = place.token(json!({}));
    let two = format!("{PATIENTS} limit 2");
    let first = run(
        python(&["http", &place.url(), &ana]),
        &json!([{"tool": "query", "arguments": {"sql": two, "rows": 1}}]),
    );
    let first = first.unwrap();
    let token = first["results"][0]["structured"]["continuation"].as_str().unwrap().to_owned();
    let go_on = json!([{"tool": "query", "arguments": {"continuation": token}}]);
    // A colleague, and the same person through another client.
    let nora = place.token(json!({"sub": "nora"}));
    let elsewhere = place.token(json!({"client_id": "another"}));
    for other in [nora, elsewhere] {
        let came = run(python(&["http", &place.url(), &other]), &go_on).unwrap();
        assert!(came["results"][0]["text"].as_str().unwrap().contains("nothing to go on with"), "{came}");
    }
    let came = run(python(&["http", &place.url(), &ana]), &go_on).unwrap();
    assert_eq!(came["results"][0]["structured"]["rows"][0][0], "2", "{came}");
    let again = run(python(&["http", &place.url(), &ana]), &go_on).unwrap();
    assert!(again["results"][0]["text"].as_str().unwrap().contains("nothing to go on with"), "{again}");
    // Rows that came already wait too, and go nowhere once their session was ended.
    let long = "select patient_id, repeat('x', 100000) from clinic.patients order by 1 limit 3";
    let live = |many: usize| {
        for _ in 0..50 {
            let live = place.boundary.cli_json(&["sessions", "--live"]).unwrap();
            if live.as_array().unwrap().len() == many {
                return live;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("there are never {many} live sessions");
    };
    live(0);
    let cut =
        run(python(&["http", &place.url(), &ana]), &json!([{"tool": "query", "arguments": {"sql": long}}]));
    let cut = cut.unwrap()["results"][0]["structured"].clone();
    assert_eq!(cut["row_count"], 2, "{}", cut["note"]);
    let session = live(1)[0]["session"].as_str().unwrap().to_owned();
    place.boundary.cli(&["session", "kill", &session, "--reason", "a drill"]).unwrap();
    live(0);
    let go_on = json!([{"tool": "query", "arguments": {"continuation": cut["continuation"]}}]);
    let ended = run(python(&["http", &place.url(), &ana]), &go_on).unwrap();
    assert_eq!(ended["results"][0]["error"], true, "{ended}");
    assert!(!ended.to_string().contains("xxxx"), "rows of a session that was ended");
    // Ending somebody ends what waits for him.
    let waits = run(
        python(&["http", &place.url(), &ana]),
        &json!([{"tool": "query", "arguments": {"sql": PATIENTS, "rows": 1}}]),
    );
    assert!(waits.unwrap()["results"][0]["structured"]["continuation"].is_string());
    place.boundary.cli(&["people", "disable", "org/ana", "--reason", "left"]).unwrap();
    live(0);
}

#[test]
fn whoever_hangs_up_takes_his_call_with_him() {
    let place = Place::new("");
    let token = bearer(&place.token(json!({})));
    let slow = call("select count(*) from clinic.patients a, clinic.patients b, clinic.patients c");
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "1", "-H", "content-type: application/json", "-H", &token]);
    curl.args(["-H", "accept: application/json, text/event-stream", "-d", &slow]).arg(place.url());
    assert!(chaperone_tests::capture(&mut curl).is_err(), "it took no time");
    for _ in 0..50 {
        let ended = place.entries("toolcall.ended");
        let live = place.boundary.cli_json(&["sessions", "--live"]).unwrap();
        if ended.len() == 1 && live.as_array().unwrap().is_empty() {
            assert_eq!(ended[0]["outcome"], "abandoned");
            let outcome = &place.entries("operation.outcome")[0];
            assert_eq!((&outcome["status"], &outcome["call"]), (&json!("client_gone"), &ended[0]["call"]));
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("the call goes on without its client");
}

#[test]
fn a_gateway_that_dies_owes_the_end_of_a_call_and_pays_it() {
    let mut place = Place::new("");
    let token = bearer(&place.token(json!({})));
    let slow = call("select count(*) from clinic.patients a, clinic.patients b, clinic.patients c");
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-H", "content-type: application/json", "-H", &token]).stderr(Stdio::null());
    curl.args(["-H", "accept: application/json, text/event-stream", "-d", &slow]).arg(place.url());
    let mut waiting = curl.stdout(Stdio::null()).spawn().unwrap();
    for _ in 0..50 {
        if !place.entries("operation.intent").is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    place.boundary.gateway().kill().unwrap();
    waiting.wait().unwrap();
    place.boundary.restart_gateway().unwrap();
    let (started, ended) = (place.entries("toolcall.started"), place.entries("toolcall.ended"));
    assert_eq!((started.len(), ended.len()), (1, 1));
    assert_eq!((&ended[0]["outcome"], &ended[0]["call"]), (&json!("lost"), &started[0]["call"]));
    let tree = place.boundary.cli_json(&["toolcall", "show", started[0]["call"].as_str().unwrap()]).unwrap();
    assert_eq!(tree["operations"][0]["status"], "lost", "{tree}");
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
