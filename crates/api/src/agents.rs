//! Agents, their one-time tokens, and the lock that cuts one off.

use chaperone_access::{AgentName, TargetName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /agents`: one agent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AgentView {
    /// Its name.
    #[schema(value_type = String)]
    pub agent: AgentName,
    /// Whether it is linked now. The agent inside the gateway always is.
    pub linked: bool,
    /// The targets that it is authorised for.
    #[schema(value_type = Vec<String>)]
    pub targets: Vec<TargetName>,
    /// Streams that are open.
    pub streams: u32,
    /// Generation of its newest certificate; 0 inside the gateway's process.
    pub generation: u64,
    /// Why its identity is locked, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<String>,
}

/// `POST /agents/tokens`: make a one-time token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The agent to enrol.
    #[schema(value_type = String)]
    pub agent: AgentName,
    /// What it may serve.
    #[schema(value_type = Vec<String>)]
    pub targets: Vec<TargetName>,
    /// How long the token is valid, in seconds, at most a day.
    pub ttl_s: u64,
}

/// The answer to [`TokenRequest`].
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// The token: shown this once.
    pub token: String,
}

/// `DELETE /agents/{name}`: the agent is none any more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveAgent {
    /// Why.
    pub reason: String,
}

/// `POST /agents/{name}/lock`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LockRequest {
    /// Why.
    pub reason: String,
}
