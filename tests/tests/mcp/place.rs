//! The installation that the tests call, and the clients that they call it with.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use chaperone_tests::{
    AgentPlace, Boundary, Cluster, Fsync, Issuer, Layout, free_port, private_folder, root, target_dir,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The AI client's id at the issuer.
pub(crate) const ASSISTANT: &str = "assistant";
/// A statement that names a column which nurses see masked, one that they do not see, and one that they see.
pub(crate) const PATIENTS: &str =
    "select patient_id, given_name, ssn from clinic.patients order by patient_id";

/// An issuer, a gateway that takes its tokens at `/mcp`, and a clinic behind it.
pub(crate) struct Place {
    pub(crate) issuer: Issuer,
    pub(crate) boundary: Boundary,
    pub(crate) home: TempDir,
    pub(crate) cluster: Cluster,
}

/// The demonstration's policies for this issuer's people, and who may call which tool.
pub(crate) fn policies(folder: &Path) {
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
    pub(crate) fn new(mcp: &str) -> Self {
        Self::with(mcp, None)
    }

    /// With limits, as `limits.toml` has them.
    pub(crate) fn limited(limits: &str) -> Self {
        Self::with("", Some(limits))
    }

    pub(crate) fn with(mcp: &str, limits: Option<&str>) -> Self {
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

    pub(crate) fn url(&self) -> String {
        format!("{}/mcp/clinic", self.boundary.api_url())
    }

    pub(crate) fn resource(&self) -> String {
        format!("{}/mcp", self.boundary.api_url())
    }

    /// A sound access token of the issuer's, with some claims replaced.
    pub(crate) fn token(&self, claims: Value) -> String {
        self.forged(json!({}), claims)
    }

    pub(crate) fn forged(&self, how: Value, claims: Value) -> String {
        let mut all =
            json!({"aud": self.resource(), "client_id": ASSISTANT, "scope": "clinic.read clinic.query"});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let mut what = how;
        what["claims"] = all;
        let made = self.issuer.control("forge", &what).unwrap();
        made["token"].as_str().unwrap().to_owned()
    }

    /// One request as nobody's library would send it: status, `WWW-Authenticate`, and the body.
    pub(crate) fn raw(&self, headers: &[&str], body: &str) -> (u16, String, String) {
        let (head, body) = self.whole(&self.url(), headers, body);
        let challenge =
            head.lines().find_map(|line| line.strip_prefix("www-authenticate: ")).unwrap_or_default();
        (head[..3].parse().unwrap(), challenge.to_owned(), body)
    }

    /// An answer's head, from its status on, and its body.
    pub(crate) fn whole(&self, url: &str, headers: &[&str], body: &str) -> (String, String) {
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
    pub(crate) fn query(&self, headers: &[&str], arguments: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "query", "arguments": arguments}});
        let (_, _, answer) = self.raw(headers, &body.to_string());
        serde_json::from_str::<Value>(&answer).unwrap()["result"].clone()
    }

    pub(crate) fn entries(&self, kind: &str) -> Vec<Value> {
        self.boundary.entries_of(kind).unwrap()
    }
}

pub(crate) fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}")
}

pub(crate) const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

pub(crate) fn call(sql: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "query", "arguments": {"sql": sql}}})
    .to_string()
}

/// Run a client with its calls; what came of them.
pub(crate) fn run(mut command: Command, calls: &Value) -> Result<Value, String> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(calls.to_string().as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    serde_json::from_slice(&out.stdout).map_err(|_| said)
}

pub(crate) fn python(words: &[&str]) -> Command {
    let mut command = Command::new(target_dir().join("mcp/python/bin/python"));
    command.arg(root().join("tests/mcp/client.py")).args(words);
    command
}

pub(crate) fn node(home: &Path, words: &[&str]) -> Command {
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

pub(crate) fn names(tools: &Value) -> Vec<&str> {
    tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

pub(crate) fn column<'a>(result: &'a Value, name: &str) -> &'a Value {
    result["structured"]["columns"].as_array().unwrap().iter().find(|column| column["name"] == name).unwrap()
}

/// What every client has to find, whichever revision it speaks.
pub(crate) fn check(came: &Value) {
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

pub(crate) fn calls() -> Value {
    json!([
        {"tool": "query", "arguments": {"sql": PATIENTS, "rows": 3, "purpose": "TREAT"}},
        {"tool": "query", "arguments": {"rows": 2}, "continue": true},
        {"tool": "query", "arguments": {"sql": "select * from clinic.claims"}},
        {"tool": "describe_schema"},
        {"tool": "explain_access", "arguments": {"sql": "select * from clinic.claims"}},
    ])
}

/// A value that was returned.
pub(crate) fn rows_value(came: &Value) -> &str {
    came["results"][0]["structured"]["rows"][0][1].as_str().unwrap()
}
