//! Servers of others that an agent runs beside its targets, or reaches elsewhere: which run is asked for, and what comes of it.
//!
//! A stream of a run is the program's own input and output, and the run ends with it. What the program connects to is the
//! agent's own listener: each such connection waits there until the gateway takes it, on the link that stands already. So
//! there is one way between the two, and whose connection it is, is known before its first byte.
//!
//! A server elsewhere has a stream of the same kind, without connections: the agent makes of what is said on it the requests
//! that such a server takes.

use chaperone_access::{AgentName, ProcessId, TargetName};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::dial::{InvalidDial, Stream};
use crate::limits;

/// What is asked of an agent.
#[derive(Debug, Clone)]
pub enum Host {
    /// Run a server.
    Launch(Launch),
    /// Hand over the next connection that a run makes to the agent's listener.
    Accept(Accept),
    /// Begin with a server that is elsewhere.
    Reach(Reach),
}

impl Host {
    /// Which server it is about.
    #[must_use]
    pub fn server(&self) -> &TargetName {
        match self {
            Self::Launch(launch) => &launch.server,
            Self::Accept(accept) => &accept.server,
            Self::Reach(reach) => &reach.server,
        }
    }
}

/// A run that is to begin. What is run stands in `agent.toml` only.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Which server.
    pub server: TargetName,
    /// Which run of it.
    pub process: ProcessId,
    /// What it shows at the agent's listener.
    pub access: Access,
}

/// A run whose next connection is wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// Which agent runs it.
    pub agent: AgentName,
    /// Which server.
    pub server: TargetName,
    /// Which run of it.
    pub process: ProcessId,
}

/// A session with a server elsewhere. Where that is stands in `agent.toml` only, and nothing of a caller's goes there but
/// what is said on the stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// Which server.
    pub server: TargetName,
    /// Which run of it.
    pub process: ProcessId,
}

/// User name, password and database for one run. Characters of base64url only: put into a connection string, an
/// argument or a file of any syntax, they end nothing and begin nothing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "AccessWords", into = "AccessWords")]
pub struct Access {
    user: String,
    password: Zeroizing<String>,
    database: TargetName,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessWords {
    user: String,
    password: String,
    database: TargetName,
}

impl Access {
    /// Check and take it.
    ///
    /// # Errors
    /// A user name or a password that is empty, over 512 bytes, or of other characters than base64url's.
    pub fn new(user: &str, password: &str, database: TargetName) -> Result<Self, InvalidDial> {
        let plain = |text: &str| {
            let fits = !text.is_empty() && text.len() <= limits::ACCESS_BYTES;
            fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if plain(user) && plain(password) {
            return Ok(Self { user: user.to_owned(), password: password.to_owned().into(), database });
        }
        Err(InvalidDial("a run's user name and password are 1 to 512 characters of base64url"))
    }

    /// The user name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password; a secret.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The database's name, which is a target's.
    #[must_use]
    pub fn database(&self) -> &TargetName {
        &self.database
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Access(to {})", self.database)
    }
}

impl TryFrom<AccessWords> for Access {
    type Error = InvalidDial;

    fn try_from(words: AccessWords) -> Result<Self, InvalidDial> {
        Self::new(&words.user, &words.password, words.database)
    }
}

impl From<Access> for AccessWords {
    fn from(access: Access) -> Self {
        Self { user: access.user, password: access.password.to_string(), database: access.database }
    }
}

/// What the agent says of a run, and of nothing where it hands over a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostFacts {
    /// SHA-256 over what is launched, as the agent found it at its start, or over where a server elsewhere is, in lower-case
    /// hexadecimal.
    pub command: String,
    /// Whether it is kept apart from every network but the agent's listener.
    pub apart: bool,
}

/// What the agent opened.
pub struct HostOpened {
    /// The run's input and output, or its connection.
    pub stream: Box<dyn Stream>,
    /// What is said of it.
    pub facts: HostFacts,
}

/// What the gateway has of it.
pub struct Hosted {
    /// The run's input and output, or its connection. A run ends when this is dropped.
    pub stream: Box<dyn Stream>,
    /// What its agent says of it.
    pub facts: HostFacts,
    /// Who runs it.
    pub agent: AgentName,
}

impl std::fmt::Debug for Hosted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosted")
            .field("facts", &self.facts)
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_shows_fits_any_syntax() {
        let target: TargetName = "clinic".parse().unwrap();
        let made = |user: &str, password: &str| Access::new(user, password, target.clone());
        assert!(made("Yz-1_", "aB9").is_ok());
        for bad in ["", "a b", "a\"b", "a'b", "a@b", "a/b", "a{b}", "a\n", "\u{e4}", &"u".repeat(513)] {
            assert!(made(bad, "p").is_err() && made("u", bad).is_err(), "{bad:?}");
            let json = serde_json::json!({"user": bad, "password": "p", "database": "clinic"}).to_string();
            assert!(serde_json::from_str::<Access>(&json).is_err(), "{json}");
        }
        let shown = format!("{:?}", made("user", "secret").unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }
}
