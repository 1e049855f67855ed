//! Those whom the gateway knows, as policies see them, and the clients that may act for them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::AssuranceView;

/// `GET /identities`: somebody who has logged in here, or a service that is not revoked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IdentityView {
    /// Who, as `issuer/subject`.
    pub subject: String,
    /// Whether it is a service.
    pub service: bool,
    /// Whether it has a login of the last day, or is a service: what is compared between sets of policies.
    #[serde(default)]
    pub current: bool,
    /// Groups, as its issuer last said.
    pub groups: BTreeSet<String>,
    /// Attributes, as policies see them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Object>)]
    pub attributes: BTreeMap<String, Value>,
    /// How its issuer authenticated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assurance: Option<AssuranceView>,
    /// The registered client that its login was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// `GET /clients`: a registered client, or a server that has its callers' tokens exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClientView {
    /// Its name, as policies and credentials name it: `server/NAME` of a server that has tokens exchanged.
    pub client: String,
    /// Who answers for it.
    pub owner: String,
    /// Who sees the rows that it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Reference of the agreement under which that one may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<String>,
    /// OAuth clients, as issuers name them, whose tokens are this client's; what they call it, of a server.
    pub oauth_clients: BTreeSet<String>,
    /// Of a server that has tokens exchanged: its own resource, for which they have to be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}
