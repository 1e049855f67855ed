//! Registered clients: AI clients and MCP servers, each with somebody who answers for it and the recipient that will see
//! what it reads.

use std::collections::{BTreeMap, BTreeSet};

/// What is registered of one client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registered {
    /// Who answers for it: a subject or a mailbox, for people.
    pub owner: String,
    /// Who will see rows that it reads, such as the model's provider.
    pub recipient: Option<String>,
    /// The agreement under which that recipient may, by reference.
    pub agreement: Option<String>,
    /// Client ids at the issuers by which it is known.
    pub oauth_clients: BTreeSet<String>,
}

/// All of them, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clients {
    by_name: BTreeMap<String, Registered>,
}

impl Clients {
    /// From what the configuration says.
    #[must_use]
    pub fn new(by_name: BTreeMap<String, Registered>) -> Self {
        Self { by_name }
    }

    /// What is registered of a client, if it is.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Registered> {
        self.by_name.get(name)
    }

    /// The client that an issuer knows by this id.
    #[must_use]
    pub fn of_oauth(&self, client_id: &str) -> Option<&str> {
        let known = self.by_name.iter().find(|(_, registered)| registered.oauth_clients.contains(client_id));
        known.map(|(name, _)| name.as_str())
    }

    /// Every name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}
