//! The gateway's side of a stream: a target is named, and a stream comes back that is logged in.

use std::fmt;

use bytes::Bytes;
use chaperone_access::{AgentName, Attribute, Attributes, Refusal, RefusalCode, SessionId, TargetName};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::host::{Host, HostOpened, Hosted};
use crate::limits;
use crate::tally::{SignedTally, SignedTotals};

/// A future on the heap.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens streams to targets through agents. The target is named; where it is, only its agent knows.
pub trait Dialer: Send + Sync {
    /// Open a stream that is logged in. Cancel safe: a dropped dial leaves no stream behind.
    fn dial(&self, request: Dial) -> BoxFuture<'_, Result<Dialled, DialError>>;
    /// Ask the target to cancel what runs on the stream. `Ok` says that the target was asked, not that it obeyed.
    fn cancel<'a>(&'a self, stream: &'a StreamHandle) -> BoxFuture<'a, Result<(), DialError>>;
    /// What the agent counted for the stream's session and target, signed; once all their streams have ended.
    /// It may be asked again until [`Dialer::acknowledge`].
    fn tally<'a>(&'a self, stream: &'a StreamHandle) -> BoxFuture<'a, Result<SignedTally, DialError>>;
    /// The tally is on record: the agent may forget it.
    fn acknowledge<'a>(&'a self, stream: &'a StreamHandle) -> BoxFuture<'a, Result<(), DialError>>;
    /// What an agent counted since it started, signed.
    fn totals<'a>(&'a self, agent: &'a AgentName) -> BoxFuture<'a, Result<SignedTotals, DialError>>;
    /// Run a server, or take the next connection that one makes; the latter waits for it, as long as it takes. Cancel
    /// safe: a run that nobody waits for ends, and a connection that nobody waits for is broken off.
    fn host(&self, request: Host) -> BoxFuture<'_, Result<Hosted, DialError>>;
    /// The agents that are linked now, by name.
    fn agents(&self) -> Vec<AgentStatus>;
    /// The targets that can be dialled now, in order, each once.
    fn targets(&self) -> Vec<TargetName>;
}

/// The agent's side: what opens and logs in. A protocol's login implements it.
pub trait Targets: Send + Sync {
    /// The targets that this agent serves (`agent.toml`).
    fn names(&self) -> Vec<TargetName>;
    /// Open one and log in. A target that it does not serve is refused with `undefined_target`.
    fn open(&self, request: Dial) -> BoxFuture<'_, Result<Opened, Refusal>>;
    /// Run a server, or wait for the next connection that one makes. Unless it says otherwise, an agent runs none.
    fn host(&self, request: Host) -> BoxFuture<'_, Result<HostOpened, Refusal>> {
        Box::pin(async move { Err(not_hosted(request.server())) })
    }
}

/// The refusal of a server that an agent does not declare.
pub(crate) fn not_hosted(server: &TargetName) -> Refusal {
    Refusal::new(RefusalCode::UndefinedTarget, format!("this agent does not run a server `{server}`"))
        .hint("declare it under `[servers]` in `agent.toml`")
}

/// Sends the target's own kind of cancel request; `Err` is a refusal with `target_unavailable`.
pub trait Canceller: Send + Sync {
    /// Ask once.
    fn cancel(&self) -> BoxFuture<'_, Result<(), Refusal>>;
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Dial {
    /// The target.
    pub target: TargetName,
    /// The session that the stream belongs to.
    pub session: SessionId,
    /// What the target's own log shows.
    pub application: ApplicationName,
    /// As whom the agent logs in there.
    pub login: As,
    /// Settings of the client's that the target is to start with.
    pub parameters: Parameters,
    /// Whose session it is, for a floor that shows him his own rows; `None` for a session of the gateway's own.
    pub caller: Option<Caller>,
}

/// What an issuer says of whoever a session is for: at most 64 attributes of at most 63 bytes' names, 8 KiB in all, no
/// control characters. The agent writes it where the target's views look, and reads nothing into it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Attributes", into = "Attributes")]
pub struct Caller(Attributes);

impl Caller {
    /// Check and take it.
    ///
    /// # Errors
    /// More, longer or other text than that.
    pub fn new(attributes: Attributes) -> Result<Self, InvalidDial> {
        let plain = |text: &String| !text.chars().any(char::is_control);
        let names = |name: &String| !name.is_empty() && name.len() <= limits::ATTRIBUTE_BYTES && plain(name);
        let values = |value: &Attribute| match value {
            Attribute::Bool(_) | Attribute::Long(_) => true,
            Attribute::Text(text) => plain(text),
            Attribute::Texts(texts) => texts.iter().all(plain),
        };
        let bytes = serde_json::to_vec(&attributes).map_or(usize::MAX, |bytes| bytes.len());
        if attributes.len() > limits::ATTRIBUTES
            || bytes > limits::CALLER_BYTES
            || !attributes.keys().all(names)
            || !attributes.values().all(values)
        {
            return Err(InvalidDial(
                "a caller has at most 64 attributes, 8 KiB in all, without control characters",
            ));
        }
        Ok(Self(attributes))
    }

    /// The attributes by their names.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        &self.0
    }
}

impl TryFrom<Attributes> for Caller {
    type Error = InvalidDial;

    fn try_from(attributes: Attributes) -> Result<Self, InvalidDial> {
        Self::new(attributes)
    }
}

impl From<Caller> for Attributes {
    fn from(caller: Caller) -> Self {
        caller.0
    }
}

/// As whom a session is at its target: names only, which the agent looks up in its own file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct As {
    /// One of the target's logins in `agent.toml`; `None` is its default one.
    pub login: Option<LoginName>,
    /// The role that the login takes on for the session's subject.
    pub role: Option<RoleName>,
}

/// One of a target's logins, by the name that `agent.toml` gives it: 1 to 63 characters of `a-z`, `0-9`, `-` and `_`
/// that begin with a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LoginName(String);

impl LoginName {
    /// Check and take it.
    ///
    /// # Errors
    /// Any other text.
    pub fn new(text: &str) -> Result<Self, InvalidDial> {
        let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'));
        if starts && plain && text.len() <= limits::LOGIN_BYTES {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidDial(
            "a login's name is 1 to 63 characters of a-z, 0-9, `-` and `_`, beginning with a letter",
        ))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LoginName {
    type Error = InvalidDial;

    fn try_from(text: String) -> Result<Self, InvalidDial> {
        Self::new(&text)
    }
}

impl From<LoginName> for String {
    fn from(name: LoginName) -> Self {
        name.0
    }
}

/// A database role: 1 to 63 bytes (NAMEDATALEN less one) without control characters. Never `none`, with which
/// `SET ROLE` would take the role off again, nor one of PostgreSQL's own (`pg_...`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleName(String);

impl RoleName {
    /// Check and take it.
    ///
    /// # Errors
    /// Any other text.
    pub fn new(text: &str) -> Result<Self, InvalidDial> {
        let whole =
            !text.is_empty() && text.len() <= limits::ROLE_BYTES && !text.chars().any(char::is_control);
        let lower = text.to_ascii_lowercase();
        if whole && lower != "none" && !lower.starts_with("pg_") {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidDial("a role is 1 to 63 bytes without control characters, not `none` and not `pg_...`"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RoleName {
    type Error = InvalidDial;

    fn try_from(text: String) -> Result<Self, InvalidDial> {
        Self::new(&text)
    }
}

impl From<RoleName> for String {
    fn from(name: RoleName) -> Self {
        name.0
    }
}

/// 1 to 63 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationName(String);

impl ApplicationName {
    /// Check and take it.
    ///
    /// # Errors
    /// Anything but 1 to 63 printable ASCII characters.
    pub fn new(text: &str) -> Result<Self, InvalidDial> {
        let plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if plain && !text.is_empty() && text.len() <= limits::APPLICATION_BYTES && text.trim() == text {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidDial("an application name is 1 to 63 printable ASCII characters"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A part of a [`Dial`] that may not cross the link.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a valid dial: {0}")]
pub struct InvalidDial(pub(crate) &'static str);

/// The startup parameters that may cross the link: those that change how values are written or how names are found,
/// or that shorten a wait. Never a role, never `options`.
pub const PARAMETER_NAMES: [&str; 9] = [
    "client_encoding",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "bytea_output",
    "extra_float_digits",
    "search_path",
    "statement_timeout",
    "lock_timeout",
];

/// Startup parameters, each of [`PARAMETER_NAMES`] at most once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(String, String)>", into = "Vec<(String, String)>")]
pub struct Parameters(Vec<(&'static str, String)>);

impl Parameters {
    /// Add one. Its name's case does not matter, as in PostgreSQL.
    ///
    /// # Errors
    /// A name that is not listed or is there already, a value over 256 bytes or with control characters.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), InvalidDial> {
        let listed = PARAMETER_NAMES.into_iter().find(|listed| listed.eq_ignore_ascii_case(name));
        let Some(name) = listed else { return Err(InvalidDial("a startup parameter that is not listed")) };
        if self.0.iter().any(|(there, _)| *there == name) || self.0.len() >= limits::PARAMETERS {
            return Err(InvalidDial("a startup parameter is there twice"));
        }
        if value.len() > limits::PARAMETER_BYTES || value.chars().any(char::is_control) {
            return Err(InvalidDial("a startup parameter's value is too long or has control characters"));
        }
        self.0.push((name, value.to_owned()));
        Ok(())
    }

    /// Names in their canonical spelling, and values, in the order of setting.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

impl TryFrom<Vec<(String, String)>> for Parameters {
    type Error = InvalidDial;

    fn try_from(pairs: Vec<(String, String)>) -> Result<Self, InvalidDial> {
        let mut parameters = Self::default();
        pairs.iter().try_for_each(|(name, value)| parameters.set(name, value))?;
        Ok(parameters)
    }
}

impl From<Parameters> for Vec<(String, String)> {
    fn from(parameters: Parameters) -> Self {
        parameters.0.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// What the agent learnt at login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginFacts {
    /// The role that the agent logged in as.
    pub login: String,
    /// The role that the login took on for the session's subject.
    pub role: Option<String>,
    /// Process id of the backend.
    pub backend_pid: u32,
    /// When the backend started, as the target writes it.
    pub backend_start: Option<String>,
    /// As the target reports it.
    pub server_version: String,
    /// TLS version and suite between agent and target; `None` is a connection in clear.
    pub tls: Option<String>,
    /// Whether the target's floor was told whose session it is.
    #[serde(default)]
    pub told: bool,
    /// Whether a declared command runs in namespaces of its own; `None` for a target that runs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart: Option<bool>,
}

/// What [`Targets::open`] gives.
pub struct Opened {
    /// The next bytes are the protocol's own, after login.
    pub stream: Box<dyn Stream>,
    /// The protocol's own messages of the login that the client is to see.
    pub greeting: Bytes,
    /// What is recorded about the login.
    pub facts: LoginFacts,
    /// Cancels what runs on it.
    pub canceller: Box<dyn Canceller>,
}

/// What [`Dialer::dial`] gives.
pub struct Dialled {
    /// The next bytes are the protocol's own, after login.
    pub stream: Box<dyn Stream>,
    /// The protocol's own messages of the login that the client is to see.
    pub greeting: Bytes,
    /// What is recorded about the login.
    pub facts: LoginFacts,
    /// Names the stream for [`Dialer::cancel`] and [`Dialer::tally`].
    pub handle: StreamHandle,
    /// The agent that carries it.
    pub agent: AgentName,
    /// Agents that were asked before it and gave no answer: each may have opened a stream, and counted it.
    pub tried: Vec<AgentName>,
}

/// One stream; stays valid after it has ended, also over a reconnection of its agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamHandle {
    /// The agent that carries it.
    pub agent: AgentName,
    /// Its session.
    pub session: SessionId,
    /// Its target.
    pub target: TargetName,
    /// Its number, from the gateway's counter.
    pub number: u64,
}

/// One linked agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStatus {
    /// Its name.
    pub agent: AgentName,
    /// Generation of the certificate it is linked with; 0 for an agent in the gateway's own process.
    pub generation: u64,
    /// What it declares and is authorised for.
    pub targets: Vec<TargetName>,
    /// Streams that are open.
    pub streams: u32,
    /// Whether it takes new streams.
    pub admits: bool,
}

/// Why there is no stream, or no answer about one.
#[derive(Debug, Error)]
pub enum DialError {
    /// Nobody linked serves the target.
    #[error("no agent serves `{0}` now")]
    NoAgent(TargetName),
    /// The agent is not linked.
    #[error("agent `{0}` is not linked")]
    NotLinked(AgentName),
    /// The agent or the target refused.
    #[error("{0}")]
    Refused(Refusal),
    /// The link broke.
    #[error("the link to agent `{0}` was lost")]
    Lost(AgentName),
    /// No answer in time.
    #[error("agent `{0}` did not answer in time")]
    TimedOut(AgentName),
    /// The agent answered with something that is not an answer, or with a signature that is not its own.
    #[error("agent `{agent}` broke the link's protocol: {what}")]
    Broken {
        /// Whose fault it is.
        agent: AgentName,
        /// What is wrong.
        what: &'static str,
    },
    /// Every link to the target is full.
    #[error("every agent of `{0}` carries as many streams as it may")]
    Busy(TargetName),
}

impl DialError {
    /// What the client is told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let hint = "ask whoever runs the agent to look at its log";
        match self {
            Self::Refused(refusal) => refusal.clone(),
            Self::NoAgent(_) | Self::NotLinked(_) | Self::TimedOut(_) | Self::Broken { .. } => {
                Refusal::new(RefusalCode::TargetUnavailable, self.to_string()).hint(hint)
            }
            Self::Lost(_) => Refusal::new(RefusalCode::TargetLost, self.to_string()).hint("connect again"),
            Self::Busy(_) => Refusal::new(RefusalCode::Busy, self.to_string()).hint("try again later"),
        }
    }
}

impl fmt::Debug for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialled")
            .field("handle", &self.handle)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_told_within_bounds() {
        let one = |name: &str, value: Attribute| Caller::new([(name.to_owned(), value)].into());
        assert!(one("clinics", Attribute::Texts(["1".into(), "2'; drop".into()].into())).is_ok());
        for (name, value) in [
            ("", Attribute::Bool(true)),
            (&*"n".repeat(64), Attribute::Bool(true)),
            ("a\0", Attribute::Long(1)),
            ("a", Attribute::Text("b\nc".into())),
            ("a", Attribute::Texts(["\u{85}".into()].into())),
            ("a", Attribute::Text("x".repeat(9000))),
        ] {
            assert!(one(name, value.clone()).is_err(), "{name:?} {value:?}");
            let json = serde_json::to_string(&Attributes::from([(name.to_owned(), value)])).unwrap();
            assert!(serde_json::from_str::<Caller>(&json).is_err(), "{json}");
        }
        let many = (0..65).map(|n| (format!("a{n}"), Attribute::Bool(true))).collect();
        assert!(Caller::new(many).is_err());
    }

    #[test]
    fn a_role_is_a_name_that_cannot_take_the_role_off() {
        for fine in ["dev/ana", "Ana O'Neill", "a\"b", &"r".repeat(63)] {
            assert_eq!(RoleName::new(fine).unwrap().as_str(), fine);
        }
        for bad in ["", "none", "NONE", "pg_read_all_data", "Pg_monitor", "a\0b", "a\nb", &"r".repeat(64)] {
            assert!(RoleName::new(bad).is_err(), "{bad:?}");
            let json = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<RoleName>(&json).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_login_is_named_plainly() {
        assert!(LoginName::new("billing-2").is_ok());
        for bad in ["", "Billing", "2b", "a b", "a/b", "a;", &"l".repeat(64)] {
            assert!(LoginName::new(bad).is_err(), "{bad:?}");
        }
    }
}
