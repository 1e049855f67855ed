//! Registered clients and servers: the software that acts for subjects, and who sees what it reads.

use std::collections::{BTreeMap, BTreeSet};

use chaperone_access::Recipient;
use serde_json::{Map, Value};

use crate::claims::text;
use crate::jwks::KeySet;
use crate::token::TokenError;

/// One registered client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Who answers for it.
    pub owner: String,
    /// Who sees the rows that it reads.
    pub recipient: Option<Recipient>,
    /// OAuth clients, as issuers name them, whose tokens are this client's.
    pub oauth_clients: BTreeSet<String>,
}

/// One registered server of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredServer {
    /// Who answers for it.
    pub owner: String,
    /// Who sees the rows that it reads, besides whoever sees what its client reads.
    pub recipient: Option<Recipient>,
}

/// A registered server of others that has its callers' tokens exchanged for credentials (RFC 8693).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Who answers for it.
    pub owner: String,
    /// Who sees the rows that it reads, besides whoever sees what its client reads.
    pub recipient: Option<Recipient>,
    /// Its own resource: `aud` of the tokens that it may show.
    pub resource: String,
    /// Aliases of the issuers whose tokens it may show.
    pub issuers: BTreeSet<String>,
    /// The keys by which it proves who it is.
    pub keys: KeySet,
    /// What issuers call it: its name here, and its OAuth clients there.
    pub known_as: BTreeSet<String>,
}

impl Exchange {
    /// Whether the server may act for the subject of a token. One that was delegated before, or that only whoever got it can
    /// show, says something that would be lost.
    pub(crate) fn may_act(
        &self,
        claims: &Map<String, Value>,
        client: Option<&str>,
    ) -> Result<(), TokenError> {
        // RFC 9068, section 2.2: a token that a client got for itself has the client as its subject. Some issuers put another
        // name of it there, so that one made for the server's own client is taken for such a one whatever it says.
        let own = |sub: &str| Some(sub) == client || self.known_as.contains(sub);
        if client.is_some_and(|client| self.known_as.contains(client))
            || text(claims, "sub")?.is_some_and(own)
        {
            return Err(TokenError::Own);
        }
        // RFC 8693, section 4.1; RFC 7800, section 3.1.
        if let Some(name) = ["act", "cnf"].into_iter().find(|name| claims.contains_key(*name)) {
            return Err(TokenError::Bound(name));
        }
        // RFC 8693, section 4.4: who may act, where the token says so.
        let Some(may_act) = claims.get("may_act") else { return Ok(()) };
        let says = |name: &str| may_act.get(name).and_then(Value::as_str);
        let meant = says("sub").is_some_and(|sub| self.known_as.contains(sub));
        let same = may_act.get("iss").is_none() || says("iss") == text(claims, "iss")?;
        if meant && same { Ok(()) } else { Err(TokenError::Bound("may_act")) }
    }
}

/// All registered clients by name, the servers that they reach, and those that have tokens exchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clients {
    clients: BTreeMap<String, Client>,
    servers: BTreeMap<String, RegisteredServer>,
    exchanging: BTreeMap<String, Exchange>,
}

impl Clients {
    /// Whether the client shows itself by the OAuth client of a login, so that its name alone proves nothing.
    #[must_use]
    pub fn is_known_by_login(&self, name: &str) -> bool {
        self.clients.get(name).is_some_and(|client| !client.oauth_clients.is_empty())
    }

    /// From the configuration.
    #[must_use]
    pub fn new(clients: BTreeMap<String, Client>) -> Self {
        Self { clients, servers: BTreeMap::new(), exchanging: BTreeMap::new() }
    }

    /// The same, with the servers that they reach.
    #[must_use]
    pub fn reaching(self, servers: BTreeMap<String, RegisteredServer>) -> Self {
        Self { servers, ..self }
    }

    /// The same, with the servers that have tokens exchanged.
    #[must_use]
    pub fn with_exchanging(self, exchanging: BTreeMap<String, Exchange>) -> Self {
        Self { exchanging, ..self }
    }

    /// One of the servers that have tokens exchanged.
    #[must_use]
    pub fn exchanging(&self, name: &str) -> Option<&Exchange> {
        self.exchanging.get(name)
    }

    /// All of those.
    pub fn all_exchanging(&self) -> impl Iterator<Item = (&String, &Exchange)> {
        self.exchanging.iter()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Client> {
        self.clients.get(name)
    }

    /// One of the servers.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<&RegisteredServer> {
        self.servers.get(name)
    }

    /// The registered name of an OAuth client; the first, where several claim it.
    #[must_use]
    pub fn by_oauth_client(&self, id: &str) -> Option<&str> {
        let found = self.clients.iter().find(|(_, client)| client.oauth_clients.contains(id));
        found.map(|(name, _)| name.as_str())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Client)> {
        self.clients.iter()
    }

    /// All servers.
    pub fn servers(&self) -> impl Iterator<Item = (&String, &RegisteredServer)> {
        self.servers.iter()
    }
}
