//! `agent.toml`: the only place where a target's address and secret stand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chaperone_access::{AgentName, TargetName};
use chaperone_tunnel::LoginName;
use chaperone_vault::SecretSource;
use serde::Deserialize;

use super::commands::CommandTarget;
use super::gateway::Protocol;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(from = "Written")]
pub(crate) struct AgentConfig {
    pub(crate) name: AgentName,
    /// `host:port`; only for an agent with a process of its own.
    pub(crate) gateway: Option<String>,
    pub(crate) state: PathBuf,
    /// What holds for servers and commands that do not say otherwise.
    pub(crate) isolation: Isolation,
    /// Those that speak SQL.
    pub(crate) targets: BTreeMap<TargetName, Target>,
    /// Those of declared commands.
    pub(crate) commands: BTreeMap<TargetName, CommandTarget>,
    /// MCP servers of others that this agent runs.
    pub(crate) servers: BTreeMap<TargetName, HostedServer>,
    /// Those that it reaches elsewhere.
    pub(crate) elsewhere: BTreeMap<TargetName, ServerElsewhere>,
}

/// The same as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: AgentName,
    gateway: Option<String>,
    #[serde(default = "state")]
    state: PathBuf,
    #[serde(default)]
    isolation: Isolation,
    targets: BTreeMap<TargetName, OfKind>,
    #[serde(default)]
    servers: BTreeMap<TargetName, OfWay>,
}

impl From<Written> for AgentConfig {
    fn from(written: Written) -> Self {
        let Written { name: agent, gateway, state, isolation, targets: of_kinds, servers: of_ways } = written;
        let (mut targets, mut commands) = (BTreeMap::new(), BTreeMap::new());
        let (mut servers, mut elsewhere) = (BTreeMap::new(), BTreeMap::new());
        for (name, target) in of_kinds {
            match target {
                OfKind::Sql(target) => drop(targets.insert(name, *target)),
                OfKind::Command(target) => drop(commands.insert(name, target)),
            }
        }
        for (name, server) in of_ways {
            match server {
                OfWay::Run(server) => drop(servers.insert(name, server)),
                OfWay::Reach(server) => drop(elsewhere.insert(name, server)),
            }
        }
        Self { name: agent, gateway, state, isolation, targets, commands, servers, elsewhere }
    }
}

/// Whether what an agent starts has namespaces of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Isolation {
    /// Where this machine has them. Where it has none the start says so, and the record of each run.
    #[default]
    WherePossible,
    /// Or it is not started.
    Required,
    /// Never.
    None,
}

/// A target by its `kind`, which may be left out for one that speaks SQL.
enum OfKind {
    Sql(Box<Target>),
    Command(CommandTarget),
}

impl<'de> Deserialize<'de> for OfKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let mut table = toml::Table::deserialize(deserializer)?;
        let kind = table.remove("kind");
        match kind.as_ref().map(|kind| kind.as_str().unwrap_or_default()) {
            None | Some("sql") => table.try_into().map(Box::new).map(Self::Sql).map_err(D::Error::custom),
            Some("command") => table.try_into().map(Self::Command).map_err(D::Error::custom),
            Some(_) => Err(D::Error::custom("`kind` is `sql` or `command`")),
        }
    }
}

/// A server by the way to it: one with a `url` is elsewhere.
enum OfWay {
    Run(HostedServer),
    Reach(ServerElsewhere),
}

impl<'de> Deserialize<'de> for OfWay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let table = toml::Table::deserialize(deserializer)?;
        if table.contains_key("url") {
            return table.try_into().map(Self::Reach).map_err(D::Error::custom);
        }
        table.try_into().map(Self::Run).map_err(D::Error::custom)
    }
}

/// One MCP server that this agent reaches over HTTP.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerElsewhere {
    /// Its endpoint.
    pub(crate) url: String,
    /// The authorities that vouch for it, in the place of this machine's.
    pub(crate) ca: Option<PathBuf>,
    /// What the agent shows there; never anything of a caller's.
    pub(crate) token: Option<SecretSource>,
    #[serde(default = "processes_max")]
    pub(crate) sessions_max: usize,
}

/// One MCP server that is run with its input and output as the way to it. `{url}`, `{host}`, `{port}`, `{user}`,
/// `{password}`, `{database}` and `{folder}` are replaced in arguments, variables and files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostedServer {
    /// The program, by its whole path, and its arguments.
    pub(crate) command: Vec<String>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    /// Written into the run's own folder (`{folder}`) before it begins.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) directory: Option<PathBuf>,
    /// A folder whose every file counts for the digest of what is run.
    pub(crate) tree: Option<PathBuf>,
    /// As which user and group it runs.
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    /// How many users there are from `uid` on: each run has one of its own.
    #[serde(default = "uids")]
    pub(crate) uids: u32,
    /// Whether runs may be of the agent's own user, and of one user all together.
    #[serde(default)]
    pub(crate) same_user: bool,
    pub(crate) isolation: Option<Isolation>,
    /// What else its runs see behind their walls.
    #[serde(default)]
    pub(crate) read: Vec<PathBuf>,
    #[serde(default = "processes_max")]
    pub(crate) processes_max: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) protocol: Protocol,
    pub(crate) host: String,
    #[serde(default = "port")]
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) password: Option<SecretSource>,
    #[serde(default)]
    pub(crate) tls: TlsMode,
    pub(crate) roots: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    /// Further logins, which the gateway asks for by name.
    #[serde(default)]
    pub(crate) logins: BTreeMap<LoginName, Login>,
    /// The login that tells the target's floor whose session is whose.
    pub(crate) floor: Option<FloorLogin>,
}

/// The login that writes the floor's table of callers, and does nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FloorLogin {
    pub(crate) user: String,
    pub(crate) password: Option<SecretSource>,
}

/// One more login of a target.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: Option<SecretSource>,
    /// The roles that it may take on; `*` stands for any characters.
    #[serde(default)]
    pub(crate) roles: Vec<String>,
}

/// Whether the target is spoken to with TLS; the words are libpq's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TlsMode {
    Disable,
    #[default]
    VerifyFull,
}

fn state() -> PathBuf {
    PathBuf::from("agent-state")
}
fn uids() -> u32 {
    1
}
fn processes_max() -> usize {
    32
}
fn port() -> u16 {
    5432
}
