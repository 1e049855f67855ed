//! One installation with a handful of other people's servers before one clinic.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chaperone_tests::{
    AgentPlace, Boundary, Cluster, Fsync, Issuer, Layout, as_itself, free_port, private_folder, root,
    target_dir,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// npm `@modelcontextprotocol/server-postgres`.
pub(crate) const POSTGRES: &str = "clinic-postgres";
/// npm `@bytebase/dbhub`.
pub(crate) const HUB: &str = "clinic-hub";
/// PyPI `mcp-alchemy`.
pub(crate) const ALCHEMY: &str = "clinic-alchemy";
/// npm `mcp-server-commands`: whatever it is asked for, it runs.
pub(crate) const SHELL: &str = "clinic-shell";
pub(crate) const SERVERS: [&str; 4] = [POSTGRES, HUB, ALCHEMY, SHELL];

/// Fields end in order: what stands before the database ends first.
pub(crate) struct Place {
    pub(crate) issuer: Issuer,
    pub(crate) boundary: Boundary,
    pub(crate) home: TempDir,
    pub(crate) cluster: Cluster,
}

fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    std::fs::canonicalize(found.unwrap()).unwrap()
}

/// The Node.js of npm's own packages: some programs want a newer one than the system has.
pub(crate) fn newer_node() -> PathBuf {
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    target_dir().join(format!("mcp/node/node_modules/node-linux-{machine}/bin/node"))
}

/// Each as its own documentation says it is launched. What the shell does is looked for on this machine: it has no walls.
fn declared() -> String {
    let node = target_dir().join("servers/node/node_modules");
    let python = target_dir().join("servers/python/bin");
    let postgres = node.join("@modelcontextprotocol/server-postgres/dist/index.js");
    let hub = node.join("@bytebase/dbhub/dist/index.js");
    let shell = node.join("mcp-server-commands/build/index.js");
    let (old, new) = (program("node"), newer_node());
    let whom = as_itself();
    format!(
        "[servers.{POSTGRES}]\n{whom}command = {}\ntree = {}\n\
         [servers.{HUB}]\n{whom}command = {}\n\
         [servers.{ALCHEMY}]\n{whom}command = {}\n\
         environment = {{ DB_URL = \"postgresql+psycopg://{{user}}:{{password}}@{{host}}:{{port}}/{{database}}?sslmode=disable\" }}\n\
         [servers.{SHELL}]\nisolation = \"none\"\n{whom}command = {}\n",
        json!([old, postgres, "{url}"]),
        json!(node.join("@modelcontextprotocol/server-postgres")),
        json!([new, hub, "--transport", "stdio", "--dsn", "{url}"]),
        json!([python.join("python"), python.join("mcp-alchemy")]),
        json!([old, shell]),
    )
}

/// Nurses use all of them, but no tool of the shell; engineers may use that one.
fn policies(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let mut text = std::fs::read_to_string(root().join("demo/policy/clinic.cedar")).unwrap();
    for server in SERVERS {
        text += &format!(
            "@id(\"everybody-{server}\")\n\
             permit (principal, action == Action::\"connect\", resource == Target::\"{server}\");\n"
        );
    }
    for server in ["clinic", POSTGRES, HUB, ALCHEMY] {
        text += &format!(
            "@id(\"nurses-{server}\")\npermit (principal in Group::\"dev/nurses\", action == Action::\"invoke\", \
             resource in Target::\"{server}\");\n"
        );
    }
    text += &format!(
        "@id(\"engineers-shell\")\npermit (principal in Group::\"dev/engineers\", action == Action::\"invoke\", \
         resource == Tool::\"{SHELL}/run_command\");\n"
    );
    std::fs::write(folder.join("clinic.cedar"), text.replace("\"dev/", "\"org/")).unwrap();
}

impl Place {
    pub(crate) fn new(of_gateway: &str) -> Self {
        let home = private_folder("test").unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let api_port = free_port().unwrap();
        let issuer = Issuer::start(&home.path().join("issuer"), "http://127.0.0.1:9/logout").unwrap();
        let mut layout = Layout::new(AgentPlace::Separate);
        layout.api_port = Some(api_port);
        policies(&home.path().join("policy"));
        layout.policy = Some(home.path().join("policy"));
        layout.classification = Some(root().join("demo/classification/clinic.toml"));
        layout.more = "[mcp]\n".to_owned();
        for server in SERVERS {
            layout.more +=
                &format!("[servers.{server}]\ntarget = \"clinic\"\nowner = \"it\"\n{of_gateway}\n");
        }
        layout.more += &format!(
            "[issuers.org]\nurl = \"{}\"\nclient_id = \"chaperone-cli\"\n\
             mcp_audiences = [\"http://127.0.0.1:{api_port}/mcp\"]\n",
            issuer.url()
        );
        layout.more_of_agent = declared();
        layout.servers = SERVERS.map(str::to_owned).into();
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        Self { issuer, boundary, home, cluster }
    }

    pub(crate) fn url(&self, server: &str) -> String {
        format!("{}/mcp/{server}", self.boundary.api_url())
    }

    pub(crate) fn token(&self, sub: &str) -> String {
        let resource = format!("{}/mcp", self.boundary.api_url());
        let groups = if sub == "dora" { json!(["engineers"]) } else { json!(["nurses"]) };
        let claims =
            json!({"aud": resource, "client_id": "assistant", "scope": "", "sub": sub, "groups": groups});
        self.issuer.token(&claims).unwrap()
    }

    /// Begin the PyPI client of a server with these calls.
    pub(crate) fn client(&self, sub: &str, server: &str, calls: &Value) -> Child {
        let mut command = Command::new(target_dir().join("mcp/python/bin/python"));
        command.arg(root().join("tests/mcp/client.py"));
        command.args(["http", &self.url(server), &self.token(sub), "legacy"]);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        child.stdin.take().unwrap().write_all(calls.to_string().as_bytes()).unwrap();
        child
    }

    pub(crate) fn called(&self, sub: &str, server: &str, calls: &Value) -> Value {
        came(self.client(sub, server, calls))
    }

    pub(crate) fn entries(&self) -> Vec<Value> {
        self.boundary.entries().unwrap()
    }

    pub(crate) fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.boundary.entries_of(kind).unwrap()
    }
}

/// What a client printed.
pub(crate) fn came(child: Child) -> Value {
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    serde_json::from_slice(&out.stdout).map_err(|_| said).unwrap()
}

pub(crate) fn text<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry[name].as_str().unwrap_or_default()
}

pub(crate) fn names(tools: &Value) -> Vec<&str> {
    tools.as_array().unwrap().iter().map(|tool| text(tool, "name")).collect()
}

/// Whether an operation is on relations of the clinic's own, and not on the database's catalog only.
pub(crate) fn reads_the_clinic(operation: &Value) -> bool {
    operation["touches"]
        .as_array()
        .unwrap()
        .iter()
        .any(|touch| text(touch, "relation").starts_with("clinic."))
}
