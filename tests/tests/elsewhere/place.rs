//! One installation whose agent reaches servers elsewhere.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chaperone_tests::{
    AgentPlace, Boundary, Cluster, Fsync, Identity, Issuer, Layout, Running, capture, free_port,
    private_folder, root, target_dir,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the agent shows at the server that nobody here wrote.
pub(crate) const TOKEN: &str = "the-agents-own";
const PATIENCE: Duration = Duration::from_secs(30);

/// A server by its name in the files, with what stands in them of it.
pub(crate) struct Declared {
    pub(crate) name: &'static str,
    pub(crate) of_gateway: &'static str,
    pub(crate) of_agent: String,
}

/// Fields end in order: what stands before the database ends first.
pub(crate) struct Place {
    pub(crate) issuer: Issuer,
    pub(crate) boundary: Boundary,
    _home: TempDir,
    _cluster: Cluster,
}

/// A program that listens on a port of its own, and what it was sent.
pub(crate) struct Listening {
    pub(crate) port: u16,
    log: PathBuf,
    _running: Running,
}

impl Listening {
    fn start(name: &str, program: &Path, words: &[&str], port: u16, log: PathBuf) -> Self {
        let mut command = Identity::Ours.command(program, "SIGKILL");
        command.args(words);
        let mut running = Running::start(name, command, &log.with_extension("out")).unwrap();
        running.until(PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).unwrap();
        Self { port, log, _running: running }
    }

    /// PyPI `mcp` as it is, with the certificate in `folder`.
    pub(crate) fn notes(folder: &Path, kind: &str) -> Self {
        let (port, log) = (free_port().unwrap(), folder.join("notes.log"));
        let script = root().join("tests/servers/notes.py").to_string_lossy().into_owned();
        let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let (certificate, key, written) = (file("server.crt"), file("server.key"), file("notes.log"));
        let python = target_dir().join("servers/python/bin/python");
        let number = port.to_string();
        let words = [script.as_str(), &number, &certificate, &key, TOKEN, &written, kind];
        Self::start("notes", &python, &words, port, log)
    }

    /// PyPI `mcp` as it is, with tools that tell and ask.
    pub(crate) fn everything(folder: &Path) -> Self {
        let port = free_port().unwrap();
        let script = root().join("tests/mcp/everything.py").to_string_lossy().into_owned();
        let python = target_dir().join("mcp/python/bin/python");
        let words = [script.as_str(), "http", &port.to_string()];
        Self::start("everything", &python, &words, port, folder.join("everything.log"))
    }

    /// A server of our own making that does as it is told, also what no server may.
    pub(crate) fn hostile(folder: &Path, description: &Path) -> Self {
        let (port, log) = (free_port().unwrap(), folder.join("hostile.log"));
        let script = root().join("tests/servers/hostile_http.py").to_string_lossy().into_owned();
        let (written, description) = (log.to_string_lossy().into_owned(), description.to_string_lossy());
        let words = [script.as_str(), &port.to_string(), &written, &description];
        Self::start("hostile", Path::new("/usr/bin/python3"), &words, port, log)
    }

    /// Each request that it got.
    pub(crate) fn heard(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Two authorities, and a server's certificate for `localhost` by the first.
pub(crate) fn certificates(folder: &Path) {
    let script = r#"
        set -e
        for ca in ca other; do
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$ca" \
                -addext "keyUsage=critical,keyCertSign" -keyout $ca.key -out $ca.crt
        done
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr
        echo "subjectAltName=DNS:localhost" > server.ext
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.crt
        printf 'the-agents-own\n' > token
        chmod 600 *.key token
    "#;
    capture(Command::new("sh").args(["-c", script]).current_dir(folder)).unwrap();
}

/// Nurses may call what all of them offer, and see identifiers wherever policy has a say.
fn policies(folder: &Path, servers: &[Declared]) {
    std::fs::create_dir(folder).unwrap();
    let mut text = std::fs::read_to_string(root().join("demo/policy/clinic.cedar")).unwrap();
    for Declared { name, .. } in servers {
        text += &format!(
            "@id(\"nurses-{name}\")\n\
             permit (principal in Group::\"dev/nurses\", action == Action::\"connect\", resource == Target::\"{name}\");\n\
             @id(\"nurses-{name}-tools\")\n\
             permit (principal in Group::\"dev/nurses\", action == Action::\"invoke\", resource in Target::\"{name}\")\n\
             unless {{ resource == Tool::\"{name}/fails\" }};\n\
             @id(\"nurses-{name}-more\")\n\
             permit (principal in Group::\"dev/nurses\", action in [Action::\"readResource\", Action::\"usePrompt\"], \
             resource == Target::\"{name}\");\n\
             @id(\"nurses-{name}-see\")\n\
             permit (principal in Group::\"dev/nurses\", action == Action::\"reveal\", resource == Tool::\"{name}/echo\");\n\
             @id(\"nurses-{name}-are-asked\")\n\
             permit (principal in Group::\"dev/nurses\", action in [Action::\"elicit\", Action::\"sample\"], \
             resource in Target::\"{name}\");\n"
        );
    }
    std::fs::write(folder.join("clinic.cedar"), text.replace("\"dev/", "\"org/")).unwrap();
}

impl Place {
    pub(crate) fn new(agent: AgentPlace, home: TempDir, servers: &[Declared]) -> Self {
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let api_port = free_port().unwrap();
        let issuer = Issuer::start(&home.path().join("issuer"), "http://127.0.0.1:9/logout").unwrap();
        let mut layout = Layout::new(agent);
        layout.api_port = Some(api_port);
        policies(&home.path().join("policy"), servers);
        layout.policy = Some(home.path().join("policy"));
        layout.classification = Some(root().join("demo/classification/clinic.toml"));
        layout.more = "[mcp]\n".to_owned();
        for Declared { name, of_gateway, of_agent } in servers {
            layout.more += &format!("[servers.{name}]\nowner = \"it\"\n{of_gateway}\n");
            layout.more_of_agent += &format!("[servers.{name}]\n{of_agent}\n");
            layout.servers.push((*name).to_owned());
        }
        layout.more += &format!(
            "[issuers.org]\nurl = \"{}\"\nclient_id = \"chaperone-cli\"\n\
             mcp_audiences = [\"http://127.0.0.1:{api_port}/mcp\"]\n",
            issuer.url()
        );
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        Self { issuer, boundary, _home: home, _cluster: cluster }
    }

    pub(crate) fn url(&self, server: &str) -> String {
        format!("{}/mcp/{server}", self.boundary.api_url())
    }

    pub(crate) fn token(&self, sub: &str) -> String {
        let resource = format!("{}/mcp", self.boundary.api_url());
        let claims =
            json!({"aud": resource, "client_id": "assistant", "scope": "", "sub": sub, "groups": ["nurses"]});
        self.issuer.token(&claims).unwrap()
    }

    /// Begin the PyPI client of a server with these calls.
    pub(crate) fn client(&self, token: &str, server: &str, calls: &Value) -> Child {
        let mut command = Command::new(target_dir().join("mcp/python/bin/python"));
        command.arg(root().join("tests/mcp/client.py")).args(["http", &self.url(server), token, "legacy"]);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        child.stdin.take().unwrap().write_all(calls.to_string().as_bytes()).unwrap();
        child
    }

    /// One request as nobody's library would send it; the answer's JSON.
    pub(crate) fn said(&self, sub: &str, server: &str, body: &Value) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-m", "90", "-X", "POST", "--data-binary", "@-"]);
        let token = format!("authorization: Bearer {}", self.token(sub));
        for header in [token.as_str(), "content-type: application/json", "accept: application/json"] {
            curl.args(["-H", header]);
        }
        let mut child =
            curl.arg(self.url(server)).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(body.to_string().as_bytes()).unwrap();
        let said = child.wait_with_output().unwrap().stdout;
        serde_json::from_slice(&said).map_err(|_| String::from_utf8_lossy(&said).into_owned()).unwrap()
    }

    /// Ask for something that is no tool's call.
    pub(crate) fn ask(&self, sub: &str, server: &str, method: &str, params: &Value) -> Value {
        self.said(sub, server, &json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
    }

    /// Call one tool.
    pub(crate) fn tool(&self, sub: &str, server: &str, tool: &str, arguments: &Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        self.said(sub, server, &json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}))
    }

    pub(crate) fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.boundary.entries_of(kind).unwrap()
    }

    /// How the last call of a tool ended, and the call.
    pub(crate) fn ended(&self, tool: &str) -> Value {
        let started = self.of_kind("toolcall.started");
        let call = started.iter().rfind(|entry| entry["tool"] == tool).unwrap()["call"].clone();
        let ended = self.of_kind("toolcall.ended");
        let of_call: Vec<&Value> = ended.iter().filter(|entry| entry["call"] == call).collect();
        assert_eq!(of_call.len(), 1, "{tool}: {of_call:?}");
        of_call[0].clone()
    }
}

/// A folder for everything, with certificates in it.
pub(crate) fn home() -> TempDir {
    let home = private_folder("test").unwrap();
    certificates(home.path());
    home
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
