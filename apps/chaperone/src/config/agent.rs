//! `agent.toml`: the only place where a target's address and secret stand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chaperone_access::{AgentName, TargetName};
use chaperone_tunnel::LoginName;
use chaperone_vault::SecretSource;
use serde::Deserialize;

use super::gateway::Protocol;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentConfig {
    pub(crate) name: AgentName,
    /// `host:port`; only for an agent with a process of its own.
    pub(crate) gateway: Option<String>,
    #[serde(default = "state")]
    pub(crate) state: PathBuf,
    pub(crate) targets: BTreeMap<TargetName, Target>,
    /// MCP servers of others that this agent runs.
    #[serde(default)]
    pub(crate) servers: BTreeMap<TargetName, HostedServer>,
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
fn processes_max() -> usize {
    32
}
fn port() -> u16 {
    5432
}
