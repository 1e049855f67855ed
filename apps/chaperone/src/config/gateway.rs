//! `gateway.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use chaperone_access::{AttributeKind, Recipient, TargetName};
use chaperone_identity::{Client, Clients, RegisteredServer};
use chaperone_masking::{Entity, Pattern};
use chaperone_tunnel::LoginName;
use serde::Deserialize;

use super::exchange::ExchangeSection;
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
    pub(crate) targets: BTreeMap<TargetName, Target>,
    /// What issuers may say of subjects, by name: policies read it.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, AttributeKind>,
    /// The software that acts for subjects.
    #[serde(default)]
    pub(crate) clients: BTreeMap<String, RegisteredClient>,
    /// Without it every target needs an agent of its own, and `agents`.
    pub(crate) local_agent: Option<PathBuf>,
    pub(crate) agents: Option<Agents>,
    /// Without it the gateway is no MCP server.
    pub(crate) mcp: Option<Mcp>,
    /// Without it no tokens are exchanged.
    pub(crate) exchange: Option<ExchangeSection>,
    /// MCP servers of others, which agents run or reach.
    #[serde(default)]
    pub(crate) servers: BTreeMap<TargetName, HostedServer>,
}

/// A server that an agent runs, or reaches, for one caller at a time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostedServer {
    /// The target that its runs may reach, under their caller's identity; none of a server elsewhere.
    pub(crate) target: Option<TargetName>,
    pub(crate) owner: String,
    pub(crate) recipient: Option<String>,
    pub(crate) agreement: Option<String>,
    /// How long a run waits for another call.
    #[serde(default = "idle_s")]
    pub(crate) idle_s: u64,
    #[serde(default = "processes_max")]
    pub(crate) processes_max: usize,
    /// What becomes of identifiers that are found in what is said with a server elsewhere.
    pub(crate) findings: Option<Findings>,
    /// What detectors look for there; for a server with a target it is the target's.
    pub(crate) free_text: Option<FreeTextSection>,
}

/// What becomes of identifiers where nobody can say on whose behalf they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Findings {
    /// They go neither there nor back.
    #[default]
    Refuse,
    /// In answers they are replaced, as in those of every other server.
    Mask,
}

/// The gateway as an MCP server, on the API's listener.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mcp {
    pub(crate) resource: Option<String>,
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    #[serde(default)]
    pub(crate) origins: Vec<String>,
    #[serde(default)]
    pub(crate) scopes: BTreeSet<String>,
    #[serde(default)]
    pub(crate) tool_scopes: BTreeMap<String, BTreeSet<String>>,
}

/// One registered client.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisteredClient {
    pub(crate) owner: String,
    pub(crate) recipient: Option<String>,
    pub(crate) agreement: Option<String>,
    #[serde(default)]
    pub(crate) oauth_clients: BTreeSet<String>,
}

impl GatewayConfig {
    /// The registered clients and the servers that they reach, as identity and policy know them.
    ///
    /// # Errors
    /// An agreement without the recipient that it is with, or an OAuth client that two of them claim.
    pub(crate) fn registered(&self) -> Result<Clients, String> {
        let mut claimed: BTreeMap<&str, &str> = BTreeMap::new();
        let mut clients = BTreeMap::new();
        for (name, client) in &self.clients {
            let recipient =
                recipient(&format!("clients.{name}"), client.recipient.as_ref(), client.agreement.as_ref())?;
            for id in &client.oauth_clients {
                if let Some(other) = claimed.insert(id, name) {
                    return Err(format!(
                        "`clients.{other}` and `clients.{name}` both claim the OAuth client `{id}`"
                    ));
                }
            }
            let (owner, oauth_clients) = (client.owner.clone(), client.oauth_clients.clone());
            clients.insert(name.clone(), Client { owner, recipient, oauth_clients });
        }
        let mut servers = BTreeMap::new();
        for (name, server) in &self.servers {
            let recipient =
                recipient(&format!("servers.{name}"), server.recipient.as_ref(), server.agreement.as_ref())?;
            servers.insert(name.to_string(), RegisteredServer { owner: server.owner.clone(), recipient });
        }
        Ok(Clients::new(clients).reaching(servers).with_exchanging(self.exchanging()?))
    }
}

/// Who sees what one of them reads, and under which agreement.
fn recipient(
    whose: &str,
    name: Option<&String>,
    agreement: Option<&String>,
) -> Result<Option<Recipient>, String> {
    match (name, agreement) {
        (None, None) => Ok(None),
        (Some(name), agreement) => Ok(Some(Recipient { agreement: agreement.cloned(), name: name.clone() })),
        (None, Some(agreement)) => {
            Err(format!("`{whose}` has the agreement `{agreement}` with nobody (hint: set its `recipient`)"))
        }
    }
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
    /// What its columns hold; without it nothing is hidden of a relation that may be read.
    pub(crate) classification: Option<PathBuf>,
    /// What detectors look for in its free text.
    #[serde(default)]
    pub(crate) free_text: FreeTextSection,
    /// Which of the agent's logins whose sessions run as; the first that fits.
    #[serde(default)]
    pub(crate) logins: Vec<LoginRule>,
}

/// What a target's free text is looked through for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreeTextSection {
    /// Kinds that stay.
    #[serde(default)]
    pub(crate) leave: Vec<Kind>,
    /// How its medical record numbers are written.
    #[serde(default)]
    pub(crate) record_numbers: Vec<RecordNumber>,
}

impl FreeTextSection {
    /// The same as detectors know it.
    pub(crate) fn config(&self) -> chaperone_masking::Config {
        chaperone_masking::Config {
            mrn: self.record_numbers.iter().map(|pattern| pattern.0.clone()).collect(),
            leave: self.leave.iter().map(|kind| kind.0).collect(),
        }
    }
}

/// A kind of identifier, by its tag.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Kind(Entity);

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(tag: String) -> Result<Self, String> {
        let found = Entity::ALL.into_iter().find(|entity| entity.tag() == tag);
        let tags = || Entity::ALL.map(Entity::tag).join(", ");
        found.map(Self).ok_or_else(|| format!("no detector finds `{tag}` (hint: there are {})", tags()))
    }
}

/// A pattern of record numbers.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct RecordNumber(Pattern);

impl TryFrom<String> for RecordNumber {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Pattern::parse(&text).map(Self).map_err(|error| format!("`{text}` is no pattern: {error}"))
    }
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
    /// Declared commands.
    Command,
}

fn idle_s() -> u64 {
    300
}
fn processes_max() -> usize {
    32
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

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(text: &str) -> Result<Clients, String> {
        let starter = crate::config::keys::gateway_starter();
        toml::from_str::<GatewayConfig>(&format!("{starter}\n{text}")).unwrap().registered()
    }

    #[test]
    fn a_client_is_registered_with_its_recipient() {
        let found = clients(
            "[clients.claude]\nowner = \"it\"\nrecipient = \"Model Inc\"\nagreement = \"baa-7\"\noauth_clients = [\"x\"]\n",
        );
        let found = found.unwrap();
        let claude = found.get(found.by_oauth_client("x").unwrap()).unwrap();
        let recipient = Recipient { agreement: Some("baa-7".into()), name: "Model Inc".into() };
        assert_eq!((claude.owner.as_str(), &claude.recipient), ("it", &Some(recipient)));
    }

    #[test]
    fn a_server_is_registered_as_a_client_is() {
        let found =
            clients("[servers.a]\ntarget = \"ehr\"\nowner = \"it\"\nrecipient = \"Tool Inc\"\n").unwrap();
        let server = found.server("a").unwrap();
        let recipient = Recipient { agreement: None, name: "Tool Inc".into() };
        assert_eq!((server.owner.as_str(), &server.recipient), ("it", &Some(recipient)));
        assert!(found.get("a").is_none() && found.server("b").is_none());
        let starter = crate::config::keys::gateway_starter();
        let without = format!("{starter}\n[servers.a]\ntarget = \"ehr\"\n");
        let wrong = toml::from_str::<GatewayConfig>(&without).unwrap_err().to_string();
        assert!(wrong.contains("missing field `owner`"), "{wrong}");
    }

    #[test]
    fn an_agreement_needs_a_recipient_and_an_oauth_client_is_one_clients() {
        let text = "[clients.a]\nowner = \"it\"\nagreement = \"baa-7\"\n";
        assert!(clients(text).unwrap_err().to_string().contains("`recipient`"));
        let text = "[servers.a]\ntarget = \"ehr\"\nowner = \"it\"\nagreement = \"baa-7\"\n";
        assert!(clients(text).unwrap_err().to_string().contains("`servers.a` has the agreement `baa-7`"));
        let text = "[clients.a]\nowner = \"it\"\noauth_clients = [\"x\"]\n[clients.b]\nowner = \"it\"\noauth_clients = [\"x\"]\n";
        assert!(clients(text).unwrap_err().to_string().contains("both claim"));
    }

    #[test]
    fn what_detectors_look_for_is_checked_where_it_stands() {
        let read = |text: &str| {
            let starter = crate::config::keys::gateway_starter();
            let config = toml::from_str::<GatewayConfig>(&format!(
                "{starter}\n[targets.t]\nprotocol = \"postgres\"\n{text}"
            ));
            config.map(|config| {
                config.targets.get(&"t".parse::<TargetName>().unwrap()).unwrap().free_text.config()
            })
        };
        let found = read("free_text = { leave = [\"phi.date\"], record_numbers = ['MH-?\\d{7}'] }").unwrap();
        assert!(found.leave.contains(&Entity::Date) && found.mrn[0].matches("MH-1234567"));
        assert_eq!(read("").unwrap(), chaperone_masking::Config::default());
        for (wrong, told) in [
            ("leave = [\"phi.dat\"]", "no detector finds `phi.dat`"),
            ("record_numbers = ['.+']", "is no pattern"),
        ] {
            let error = read(&format!("free_text = {{ {wrong} }}")).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
