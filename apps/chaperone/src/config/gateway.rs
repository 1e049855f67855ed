//! `gateway.toml`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use chaperone_access::{AttributeKind, TargetName};
use chaperone_tunnel::LoginName;
use serde::Deserialize;

use super::issuers::IssuerSection;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GatewayConfig {
    pub(crate) name: String,
    #[serde(default = "data")]
    pub(crate) data: PathBuf,
    #[serde(default = "keys")]
    pub(crate) keys: PathBuf,
    pub(crate) postgres: Postgres,
    pub(crate) api: Api,
    #[serde(default)]
    pub(crate) policy: Policy,
    pub(crate) recording: Recording,
    #[serde(default)]
    pub(crate) trail: TrailSection,
    /// The development issuer; without the table there is one on a loopback address only.
    pub(crate) issuer: Option<Issuer>,
    #[serde(default)]
    pub(crate) issuers: BTreeMap<String, IssuerSection>,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, AttributeKind>,
    pub(crate) targets: BTreeMap<TargetName, Target>,
    /// Without it every target needs an agent of its own, and `agents`.
    pub(crate) local_agent: Option<PathBuf>,
    pub(crate) agents: Option<Agents>,
}

/// Where agents dial in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Agents {
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Postgres {
    pub(crate) listen: SocketAddr,
    #[serde(default)]
    pub(crate) plain_loopback: bool,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    #[serde(default = "sessions_max")]
    pub(crate) sessions_max: usize,
    #[serde(default = "statement_bytes_max")]
    pub(crate) statement_bytes_max: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Api {
    pub(crate) listen: SocketAddr,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    #[serde(default = "policy")]
    pub(crate) folder: PathBuf,
}

impl Default for Policy {
    fn default() -> Self {
        Self { folder: policy() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recording {
    pub(crate) readers: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrailSection {
    #[serde(default = "heartbeat_s")]
    pub(crate) heartbeat_s: u64,
}

impl Default for TrailSection {
    fn default() -> Self {
        Self { heartbeat_s: heartbeat_s() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Issuer {
    #[serde(default = "alias")]
    pub(crate) alias: String,
}

impl GatewayConfig {
    /// Alias of the development issuer, whose credentials name their subject themselves. There is none where strangers
    /// of other machines can knock.
    pub(crate) fn development(&self) -> Option<String> {
        let loopback = self.postgres.listen.ip().is_loopback();
        loopback.then(|| self.issuer.as_ref().map_or_else(alias, |issuer| issuer.alias.clone()))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) protocol: Protocol,
    #[serde(default = "catalog_refresh_s")]
    pub(crate) catalog_refresh_s: u64,
    /// Which of the agent's logins whose sessions run as; the first that fits.
    #[serde(default)]
    pub(crate) logins: Vec<LoginRule>,
}

/// Whose sessions run as which of a target's logins.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginRule {
    pub(crate) login: LoginName,
    /// One of them is enough, `issuer/group` as in policies; without any it fits everybody.
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    pub(crate) role: Option<RoleRule>,
}

/// The role that a login takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RoleRule {
    /// One of the subject's own, called as policies call it: `issuer/subject`.
    Subject,
}

/// What a target speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Postgres,
}

fn data() -> PathBuf {
    PathBuf::from("data")
}
fn keys() -> PathBuf {
    PathBuf::from("keys")
}
fn policy() -> PathBuf {
    PathBuf::from("policy")
}
fn alias() -> String {
    "dev".to_owned()
}
fn sessions_max() -> usize {
    4096
}
fn statement_bytes_max() -> usize {
    chaperone_wire::limits::STATEMENT_BYTES_MAX
}
fn heartbeat_s() -> u64 {
    60
}
fn catalog_refresh_s() -> u64 {
    60
}
