//! A gateway and its agent in front of a cluster, configured by files and driven by the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::folder::{self, free_port};
use crate::process::{Identity, Running, capture};
use crate::{Cluster, DATABASE, Failure, Result};

/// What the gateway calls the clinic's database; the same name, so that a client's `\conninfo` looks alike.
pub const TARGET: &str = DATABASE;

const AGENT: &str = "beside-the-clinic";
/// Seconds between heartbeats: few, so that a short test has several, with what agents counted.
const HEARTBEAT_S: u64 = 5;
/// How long gateway and agent may take to serve.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Where the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentPlace {
    /// Inside the gateway's process.
    InProcess,
    /// A process of its own, enrolled with a one-time token.
    Separate,
}

/// A database that the agent reaches, on the loopback address, and what the gateway calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The target's name.
    pub target: String,
    /// Where the server listens.
    pub port: u16,
    /// The database on it.
    pub database: String,
    /// Who the agent logs in as.
    pub user: String,
    /// The file with that login's password.
    pub password_file: PathBuf,
}

/// How an installation is laid out.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Where the agent runs.
    pub agent: AgentPlace,
    /// The program: `target/debug/chaperone`, or another build of it.
    pub program: PathBuf,
    /// Whether clients use TLS (with a certificate of our own making) or plain text on the loopback address.
    pub tls: bool,
    /// Port for PostgreSQL clients; a free one unless given.
    pub postgres_port: Option<u16>,
    /// Port of the management API; a free one unless given.
    pub api_port: Option<u16>,
    /// Folder of Cedar policies to copy; `demo/policy` unless given.
    pub policy: Option<PathBuf>,
    /// A classification file that is copied for every target; without it none is classified.
    pub classification: Option<PathBuf>,
    /// What else stands in gateway.toml: tables only, since it comes last.
    pub more: String,
    /// Targets among that, which a separate agent is to serve.
    pub more_targets: Vec<String>,
    /// What else stands in agent.toml, likewise.
    pub more_of_agent: String,
    /// The servers that an agent of its own is enrolled for, beside its targets.
    pub servers: Vec<String>,
    /// The `PATH` of an agent of its own; ours unless given.
    pub agent_path: Option<PathBuf>,
}

impl Layout {
    /// Plain text, free ports, the demonstration's policies, the debug build.
    #[must_use]
    pub fn new(agent: AgentPlace) -> Self {
        let program = std::env::var_os("CHAPERONE_PROGRAM")
            .map_or_else(|| crate::target_dir().join("debug/chaperone"), PathBuf::from);
        let (postgres_port, api_port) = (None, None);
        let (policy, classification, agent_path) = (None, None, None);
        let (more, more_of_agent, more_targets) = (String::new(), String::new(), Vec::new());
        let (tls, servers) = (false, Vec::new());
        Self {
            agent,
            program,
            tls,
            postgres_port,
            api_port,
            policy,
            classification,
            more,
            more_targets,
            more_of_agent,
            servers,
            agent_path,
        }
    }
}

/// Who a credential is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The subject.
    pub subject: &'static str,
    /// The subject's groups.
    pub groups: &'static [&'static str],
    /// The software that acts for the subject.
    pub client: Option<&'static str>,
}

/// A running gateway and agent that end with the value.
#[derive(Debug)]
pub struct Boundary {
    home: PathBuf,
    layout: Layout,
    targets: Vec<String>,
    postgres_port: u16,
    api_port: u16,
    agents_port: u16,
    // The agent first: fields are dropped in order, and a draining agent needs its gateway.
    agent: Option<Running>,
    gateway: Running,
}

impl Boundary {
    /// Write the files of a new installation into `home`, or use those that are there, and start gateway and agent.
    ///
    /// # Errors
    /// The program has not been built, a file cannot be written, or a process does not become ready.
    pub fn start(home: &Path, cluster: &Cluster, layout: Layout) -> Result<Self> {
        Self::before(home, &[cluster.as_target(TARGET)], layout)
    }

    /// As [`Boundary::start`], before any databases.
    ///
    /// # Errors
    /// Likewise.
    pub fn before(home: &Path, destinations: &[Destination], layout: Layout) -> Result<Self> {
        if !layout.program.exists() {
            let program = layout.program.display();
            return Err(Failure::new(format!(
                "`{program}` is not there\nhint: `cargo build --package chaperone`"
            )));
        }
        fs::create_dir_all(home).map_err(Failure::at("make", home))?;
        let postgres_port = layout.postgres_port.map_or_else(free_port, Ok)?;
        let api_port = layout.api_port.map_or_else(free_port, Ok)?;
        let agents_port = free_port()?;
        let files = Files { home, layout: &layout, destinations, postgres_port, api_port, agents_port };
        files.write()?;
        let gateway = start_gateway(home, &layout, api_port)?;
        let mut targets: Vec<String> =
            destinations.iter().map(|destination| destination.target.clone()).collect();
        targets.extend(layout.more_targets.iter().cloned());
        let mut this = Self {
            home: home.to_owned(),
            layout,
            targets,
            postgres_port,
            api_port,
            agents_port,
            agent: None,
            gateway,
        };
        if this.layout.agent == AgentPlace::Separate {
            this.start_agent()?;
        }
        this.until_served()?;
        Ok(this)
    }

    /// Port for PostgreSQL clients, on the loopback address.
    #[must_use]
    pub fn postgres_port(&self) -> u16 {
        self.postgres_port
    }

    /// The program that runs here.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.layout.program
    }

    /// Base address of the management API.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }

    /// Status of a GET on the management API; `None` where nothing answers.
    #[must_use]
    pub fn status(&self, path: &str) -> Option<String> {
        http_status(self.api_port, path)
    }

    /// Ask the management API as the administrator: the status, and the JSON of the answer.
    ///
    /// # Errors
    /// Nothing answers, or with something that is not JSON.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        let token = folder::read(&self.home.join("keys/admin.token"))?;
        let (token, body) = (token.trim(), body.to_string());
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let answer = exchange(self.api_port, &request)
            .map_err(|error| Failure::new(format!("the API does not answer: {error}")))?;
        let status = answer.get(9..12).and_then(|status| status.parse().ok());
        let json = answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
        status.zip(json).ok_or_else(|| Failure::new(format!("not an answer of the API: {answer}")))
    }

    /// One message to a target's or server's tools, with somebody's token: the answer's JSON.
    ///
    /// # Errors
    /// Nothing answers, or with anything but 200 and JSON.
    pub fn mcp(&self, at: &str, token: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let request = format!(
            "POST /mcp/{at} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.api_port,
            body.len()
        );
        let answer = exchange(self.api_port, &request)
            .map_err(|error| Failure::new(format!("`/mcp/{at}` does not answer: {error}")))?;
        let json = answer.starts_with("HTTP/1.1 200 ").then(|| answer.split_once("\r\n\r\n")).flatten();
        json.and_then(|(_, body)| serde_json::from_str(body).ok())
            .ok_or_else(|| Failure::new(format!("not an answer of `/mcp/{at}`: {answer}")))
    }

    /// Where agents dial in.
    #[must_use]
    pub fn agents_port(&self) -> u16 {
        self.agents_port
    }

    /// The gateway's configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.home.join("gateway.toml")
    }

    /// The file that classifies [`TARGET`], where the layout has one.
    #[must_use]
    pub fn classification(&self) -> PathBuf {
        self.home.join("classification").join(format!("{TARGET}.toml"))
    }

    /// The trail's folder.
    #[must_use]
    pub fn trail(&self) -> PathBuf {
        self.home.join("data/trail")
    }

    /// Private key file of the privacy officer, who may read recorded statements. Not in the gateway's folders.
    #[must_use]
    pub fn reader_key(&self) -> PathBuf {
        reader_key(&self.home)
    }

    /// The gateway's process.
    pub fn gateway(&mut self) -> &mut Running {
        &mut self.gateway
    }

    /// The agent's process, where it has one.
    pub fn agent(&mut self) -> Option<&mut Running> {
        self.agent.as_mut()
    }

    /// Start the gateway again after it was stopped or killed.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn restart_gateway(&mut self) -> Result<()> {
        self.gateway.stop()?;
        self.gateway = start_gateway(&self.home, &self.layout, self.api_port)?;
        self.until_served()
    }

    /// Start the separate agent, or start it again: with a token where it is not enrolled yet.
    ///
    /// # Errors
    /// The gateway gives no token, or the process cannot be started.
    pub fn start_agent(&mut self) -> Result<()> {
        self.agent = None;
        let is_enrolled = self.home.join("agent-state").exists();
        let mut command = Identity::Ours.command(&self.layout.program, "TERM");
        command.arg("agent").arg("--config").arg(self.home.join("agent.toml"));
        if let Some(path) = &self.layout.agent_path {
            command.env("PATH", path);
        }
        if !is_enrolled {
            let mut words = vec!["agent", "token", "create", AGENT];
            for target in self.targets.iter().chain(&self.layout.servers) {
                words.extend(["--target", target]);
            }
            let token = self.cli(&words)?;
            let file = self.home.join("enrolment.token");
            folder::write_secret(&file, word(&token, "cpe1.")?)?;
            command.arg("--token-file").arg(&file);
        }
        self.agent = Some(Running::start("the agent", command, &self.home.join("agent.log"))?);
        Ok(())
    }

    /// Run a verb of the program against this gateway and hand back what it prints.
    ///
    /// # Errors
    /// The verb's.
    pub fn cli(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.layout.program);
        capture(command.args(words).env("CHAPERONE_CONFIG", self.config()))
    }

    /// As [`Boundary::cli`] with `--json`, parsed.
    ///
    /// # Errors
    /// The verb's, or it printed no JSON.
    pub fn cli_json(&self, words: &[&str]) -> Result<Value> {
        let text = self.cli(&[words, &["--json"]].concat())?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("`{}` printed no JSON: {error}", words.join(" "))))
    }

    /// Every entry of its trail, in order.
    ///
    /// # Errors
    /// The verb's, or it printed no JSON.
    pub fn entries(&self) -> Result<Vec<Value>> {
        let text = self.cli(&["trail", "tail", "--json", "--lines", "1000000"])?;
        let read = |line| serde_json::from_str(line);
        text.lines()
            .map(read)
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| Failure::new(format!("`trail tail` printed no JSON: {error}")))
    }

    /// Those of one kind.
    ///
    /// # Errors
    /// As [`Boundary::entries`].
    pub fn entries_of(&self, kind: &str) -> Result<Vec<Value>> {
        let is = |entry: &Value| entry.get("kind").and_then(Value::as_str) == Some(kind);
        Ok(self.entries()?.into_iter().filter(is).collect())
    }

    /// A connection string of an hour for a caller, as the administrator of a development installation makes it.
    ///
    /// # Errors
    /// The verb's, or it printed no connection string.
    pub fn credential(&self, caller: &Caller) -> Result<String> {
        self.credential_for(TARGET, caller.subject, caller.groups, caller.client)
    }

    /// As [`Boundary::credential`], for any target and names.
    ///
    /// # Errors
    /// Likewise.
    pub fn credential_for(
        &self,
        target: &str,
        subject: &str,
        groups: &[&str],
        client: Option<&str>,
    ) -> Result<String> {
        let mut words = vec!["credential", target, "--as", subject, "--ttl", "1h"];
        for group in groups {
            words.extend(["--group", group]);
        }
        if let Some(client) = client {
            words.extend(["--client", client]);
        }
        let answer = self.cli_json(&words)?;
        let found = strings(&answer).into_iter().find(|text| text.starts_with("postgres"));
        let url = found.ok_or_else(|| Failure::new(format!("no connection string in `{answer}`")))?;
        Ok(url.to_owned())
    }

    /// The verifier key of this installation's log, as `trail verify --key` takes it.
    ///
    /// # Errors
    /// The gateway has not written it.
    pub fn log_key(&self) -> Result<String> {
        folder::read(&self.home.join("data/trail/log.vkey"))
    }

    fn until_served(&mut self) -> Result<()> {
        let (program, config) = (self.layout.program.clone(), self.config());
        self.gateway.until(START_PATIENCE, || {
            let mut targets = Command::new(&program);
            let listed = capture(targets.args(["targets", "--json"]).env("CHAPERONE_CONFIG", &config))
                .unwrap_or_default();
            let listed: Value = serde_json::from_str(&listed).unwrap_or_default();
            let is_served = |target: &Value| {
                target.get("agents").and_then(Value::as_array).is_some_and(|agents| !agents.is_empty())
            };
            listed.as_array().is_some_and(|listed| !listed.is_empty() && listed.iter().all(is_served))
        })
    }
}

fn start_gateway(home: &Path, layout: &Layout, api_port: u16) -> Result<Running> {
    let mut command = Identity::Ours.command(&layout.program, "TERM");
    command.arg("gateway").arg("--config").arg(home.join("gateway.toml"));
    let mut gateway = Running::start("the gateway", command, &home.join("gateway.log"))?;
    gateway.until(START_PATIENCE, || http_ok(api_port, "/health"))?;
    Ok(gateway)
}

/// Whether a GET on the loopback address is answered by 200.
fn http_ok(port: u16, path: &str) -> bool {
    http_status(port, path).as_deref() == Some("200")
}

/// The status that a GET on the loopback address is answered by.
fn http_status(port: u16, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let asked = std::net::TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n")?;
        let mut status = [0_u8; 12];
        stream.read_exact(&mut status)?;
        Ok(status)
    });
    let line = String::from_utf8(asked.ok()?.to_vec()).ok()?;
    line.strip_prefix("HTTP/1.1 ").map(str::to_owned)
}

/// One request on a connection of its own, and everything that comes back.
fn exchange(port: u16, request: &str) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The files of an installation.
struct Files<'a> {
    home: &'a Path,
    layout: &'a Layout,
    destinations: &'a [Destination],
    postgres_port: u16,
    api_port: u16,
    agents_port: u16,
}

impl Files<'_> {
    fn write(&self) -> Result<()> {
        let policy = self.home.join("policy");
        if !policy.exists() {
            let demo = crate::root().join("demo/policy");
            let from = self.layout.policy.as_deref().unwrap_or(&demo);
            capture(Command::new("cp").arg("-r").arg(from).arg(&policy))?;
        }
        if self.layout.tls {
            self.certificate()?;
        }
        let reader = self.reader()?;
        folder::write(&self.home.join("gateway.toml"), &self.gateway_toml(&reader))?;
        if let Some(classification) = &self.layout.classification {
            let folder = self.home.join("classification");
            fs::create_dir_all(&folder).map_err(Failure::at("make", &folder))?;
            for destination in self.destinations {
                let to = folder.join(format!("{}.toml", destination.target));
                if !to.exists() {
                    fs::copy(classification, &to).map_err(Failure::at("copy", classification))?;
                }
            }
        }
        folder::write(&self.home.join("agent.toml"), &self.agent_toml())
    }

    fn gateway_toml(&self, reader: &str) -> String {
        let (local, agents) = match self.layout.agent {
            AgentPlace::InProcess => ("local_agent = \"agent.toml\"\n", String::new()),
            AgentPlace::Separate => {
                ("", format!("[agents]\nlisten = \"127.0.0.1:{}\"\n\n", self.agents_port))
            }
        };
        let targets = self.destinations.iter().map(|Destination { target, .. }| {
            let classification = match self.layout.classification {
                Some(_) => format!("classification = \"classification/{target}.toml\"\n"),
                None => String::new(),
            };
            format!("[targets.{target}]\nprotocol = \"postgres\"\n{classification}\n")
        });
        let tls = if self.layout.tls {
            "certificate = \"server.crt\"\nkey = \"server.key\"\n"
        } else {
            "plain_loopback = true\n"
        };
        // What the clinic's row filters ask about.
        let attributes = match self.layout.classification {
            Some(_) => "[attributes]\nclinics = \"texts\"\n\n",
            None => "",
        };
        format!(
            "name = \"clinic-gateway\"\n{local}\n\
             [postgres]\nlisten = \"127.0.0.1:{}\"\n{tls}\n\
             [api]\nlisten = \"127.0.0.1:{}\"\n\n\
             {agents}{attributes}\
             [trail]\nheartbeat_s = {HEARTBEAT_S}\n\n\
             [recording]\nreaders = [\"{reader}\"]\n\n{}{}",
            self.postgres_port,
            self.api_port,
            targets.collect::<String>(),
            self.layout.more
        )
    }

    fn agent_toml(&self) -> String {
        let gateway = match self.layout.agent {
            AgentPlace::InProcess => String::new(),
            AgentPlace::Separate => format!("gateway = \"localhost:{}\"\n", self.agents_port),
        };
        let targets = self.destinations.iter().map(|destination| {
            format!(
                "[targets.{}]\nprotocol = \"postgres\"\nhost = \"127.0.0.1\"\nport = {}\n\
                 database = {}\nuser = \"{}\"\npassword = {{ file = {} }}\ntls = \"disable\"\n",
                destination.target,
                destination.port,
                Value::from(destination.database.as_str()),
                destination.user,
                Value::from(destination.password_file.to_string_lossy()),
            )
        });
        let targets = targets.collect::<Vec<_>>().join("\n");
        format!("name = \"{AGENT}\"\n{gateway}\n{targets}{}", self.layout.more_of_agent)
    }

    /// The privacy officer's key pair, made once; the public half is what the gateway gets.
    fn reader(&self) -> Result<String> {
        let public = self.home.join("reader.public");
        if !public.exists() {
            let file = reader_key(self.home);
            let mut create = Command::new(&self.layout.program);
            let said = capture(create.args(["reader", "create"]).arg(&file))?;
            folder::write(&public, word(&said, "cprp1")?)?;
        }
        folder::read(&public)
    }

    /// A self-signed ECDSA certificate for `localhost` and 127.0.0.1.
    fn certificate(&self) -> Result<()> {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(self.home).args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]);
        openssl.args([
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            // Programs that are strict take no authority's certificate for a server's.
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]);
        capture(openssl.args(["-keyout", "server.key", "-out", "server.crt"])).map(drop)
    }
}

fn reader_key(home: &Path) -> PathBuf {
    home.join("privacy-officer.key")
}

/// The first word that begins with `prefix`.
fn word<'a>(text: &'a str, prefix: &str) -> Result<&'a str> {
    let mut words = text.split(|character: char| character.is_whitespace() || "\"'`,;()".contains(character));
    words
        .find(|word| word.starts_with(prefix))
        .ok_or_else(|| Failure::new(format!("no `{prefix}...` in `{text}`")))
}

/// Every string in a JSON value.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(fields) => fields.values().flat_map(strings).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}
