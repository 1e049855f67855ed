//! An installation with three servers before one clinic: one that speaks the newest revision only, one that speaks older ones
//! only, and one that speaks all.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use chaperone_tests::{
    AgentPlace, Boundary, Cluster, Fsync, Issuer, Layout, as_itself, free_port, private_folder, root,
    target_dir,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// On npm `@modelcontextprotocol/server`, without a handshake.
pub(crate) const NEWER: &str = "newer";
/// Of our own making; what it does not know it does not answer.
pub(crate) const OLDER: &str = "older";
/// On PyPI `mcp`.
pub(crate) const EVERYTHING: &str = "everything";
/// On npm `@modelcontextprotocol/sdk`, with a handshake: tells and asks in the middle of its calls.
pub(crate) const ASKS: &str = "asks";
const SERVERS: [&str; 4] = [NEWER, OLDER, EVERYTHING, ASKS];
/// Those that may ask for something.
const ASKING: [&str; 2] = [EVERYTHING, ASKS];

/// Fields end in order: what stands before the database ends first.
pub(crate) struct Place {
    pub(crate) issuer: Issuer,
    pub(crate) boundary: Boundary,
    pub(crate) home: TempDir,
    _cluster: Cluster,
}

fn program(name: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    std::fs::canonicalize(found.unwrap()).unwrap().to_string_lossy().into_owned()
}

pub(crate) fn python() -> String {
    target_dir().join("mcp/python/bin/python").to_string_lossy().into_owned()
}

/// A file of ours where Node finds the packages of a folder of pins beside it.
pub(crate) fn beside(home: &Path, pins: &str, file: &str) -> String {
    let folder = home.join(format!("with-{pins}"));
    if !folder.exists() {
        std::fs::create_dir(&folder).unwrap();
        let packages = target_dir().join(pins).join("node/node_modules");
        std::os::unix::fs::symlink(packages, folder.join("node_modules")).unwrap();
        std::fs::copy(root().join("tests").join(pins).join("package.json"), folder.join("package.json"))
            .unwrap();
    }
    let to = folder.join(file);
    std::fs::copy(root().join("tests").join(pins).join(file), &to).unwrap();
    to.to_string_lossy().into_owned()
}

fn declared(home: &Path) -> String {
    let newer = beside(home, "servers", "newer.js");
    let asks = beside(home, "mcp", "asks.js");
    // What they are made of lies where walls show it only on demand.
    let made_of = [
        root().join("tests"),
        target_dir().join("servers"),
        target_dir().join("mcp"),
        home.join("with-servers"),
        home.join("with-mcp"),
    ];
    let whom = format!("{}read = {}\n", as_itself(), json!(made_of));
    let hostile = root().join("tests/servers/hostile.py");
    format!(
        "[servers.{NEWER}]\n{whom}command = {}\n\
         [servers.{OLDER}]\n{whom}command = {}\nenvironment = {{ SILENT = \"yes\" }}\n\
         [servers.{EVERYTHING}]\n{whom}command = {}\n\
         [servers.{ASKS}]\n{whom}command = {}\n",
        json!([program("node"), newer]),
        json!(["/usr/bin/python3", hostile]),
        json!([python(), root().join("tests/mcp/everything.py")]),
        json!([program("node"), asks]),
    )
}

fn policies(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let mut text = std::fs::read_to_string(root().join("demo/policy/clinic.cedar")).unwrap();
    for server in SERVERS {
        text += &format!(
            "@id(\"nurses-{server}\")\npermit (principal in Group::\"dev/nurses\", action == Action::\"connect\", \
             resource == Target::\"{server}\");\n\
             @id(\"nurses-{server}-tools\")\npermit (principal in Group::\"dev/nurses\", action == Action::\"invoke\", \
             resource in Target::\"{server}\");\n\
             @id(\"nurses-{server}-more\")\npermit (principal in Group::\"dev/nurses\", \
             action in [Action::\"readResource\", Action::\"usePrompt\"], resource == Target::\"{server}\");\n"
        );
    }
    for server in ASKING {
        text += &format!(
            "@id(\"nurses-{server}-asks\")\npermit (principal in Group::\"dev/nurses\", action in [Action::\"elicit\", \
             Action::\"sample\", Action::\"listRoots\"], resource in Target::\"{server}\");\n"
        );
    }
    text += &format!(
        "@id(\"nobody-reveals-{ASKS}\")\nforbid (principal, action == Action::\"reveal\", resource in Target::\"{ASKS}\");\n\
         @id(\"nurses-are-asked-by-newer\")\npermit (principal in Group::\"dev/nurses\", action == Action::\"elicit\", \
         resource == Tool::\"{NEWER}/books\");\n\
         @id(\"nobody-is-asked-by-it\")\nforbid (principal, action == Action::\"elicit\", resource == Tool::\"{ASKS}/forbidden\");\n"
    );
    std::fs::write(folder.join("clinic.cedar"), text.replace("\"dev/", "\"org/")).unwrap();
}

impl Place {
    /// With web pages that may call.
    pub(crate) fn new(origins: &[String]) -> Self {
        let home = private_folder("test").unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let api_port = free_port().unwrap();
        let issuer = Issuer::start(&home.path().join("issuer"), "http://127.0.0.1:9/logout").unwrap();
        let mut layout = Layout::new(AgentPlace::Separate);
        layout.api_port = Some(api_port);
        policies(&home.path().join("policy"));
        layout.policy = Some(home.path().join("policy"));
        layout.classification = Some(root().join("demo/classification/clinic.toml"));
        layout.more = format!("[mcp]\norigins = {}\n", json!(origins));
        for server in SERVERS {
            layout.more += &format!("[servers.{server}]\ntarget = \"clinic\"\nowner = \"it\"\n");
        }
        layout.more += &format!(
            "[issuers.org]\nurl = \"{}\"\nclient_id = \"chaperone-cli\"\n\
             mcp_audiences = [\"http://127.0.0.1:{api_port}/mcp\"]\n",
            issuer.url()
        );
        layout.more_of_agent = declared(home.path());
        layout.servers = SERVERS.map(str::to_owned).into();
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        Self { issuer, boundary, home, _cluster: cluster }
    }

    pub(crate) fn url(&self, server: &str) -> String {
        format!("{}/mcp/{server}", self.boundary.api_url())
    }

    pub(crate) fn token(&self) -> String {
        self.token_of("ana")
    }

    pub(crate) fn token_of(&self, sub: &str) -> String {
        let resource = format!("{}/mcp", self.boundary.api_url());
        let claims =
            json!({"aud": resource, "client_id": "assistant", "scope": "", "sub": sub, "groups": ["nurses"]});
        self.issuer.token(&claims).unwrap()
    }

    /// What a client prints that reads its calls from standard input.
    pub(crate) fn client(&self, program: &str, words: &[&str], calls: &Value) -> Value {
        let mut command = Command::new(program);
        let pipes = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        child.stdin.take().unwrap().write_all(calls.to_string().as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        serde_json::from_slice(&out.stdout).map_err(|_| said).unwrap()
    }

    /// PyPI's client.
    pub(crate) fn in_python(&self, server: &str, mode: &str, calls: &Value) -> Value {
        let script = root().join("tests/mcp/client.py");
        let words = [script.to_str().unwrap(), "http", &self.url(server), &self.token(), mode];
        self.client(&python(), &words, calls)
    }

    /// One request as nobody's library would send it: status and body.
    pub(crate) fn raw(&self, server: &str, headers: &[&str], body: &Value) -> (u16, Value) {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-m", "60", "-w", "\n%{http_code}", "-X", "POST", "--data-binary", "@-"]);
        let token = format!("authorization: Bearer {}", self.token());
        let plain = ["content-type: application/json", "accept: application/json, text/event-stream"];
        for header in [token.as_str()].iter().chain(&plain).chain(headers) {
            curl.args(["-H", header]);
        }
        let mut child =
            curl.arg(self.url(server)).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(body.to_string().as_bytes()).unwrap();
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let (body, status) = said.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).map_err(|_| said.clone()).unwrap())
    }
}

pub(crate) fn text<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry[name].as_str().unwrap_or_default()
}

pub(crate) fn names(tools: &Value) -> Vec<&str> {
    tools.as_array().unwrap().iter().map(|tool| text(tool, "name")).collect()
}
