//! Registered clients and servers: the software that acts for subjects, and who sees what it reads.

use std::collections::{BTreeMap, BTreeSet};

use chaperone_access::Recipient;

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

/// All registered clients by name, and the servers that they reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clients {
    clients: BTreeMap<String, Client>,
    servers: BTreeMap<String, RegisteredServer>,
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
        Self { clients, servers: BTreeMap::new() }
    }

    /// The same, with the servers that they reach.
    #[must_use]
    pub fn reaching(self, servers: BTreeMap<String, RegisteredServer>) -> Self {
        Self { servers, ..self }
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
