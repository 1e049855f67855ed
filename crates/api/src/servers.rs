//! Servers of others, and which of their tools were accepted.

use chaperone_access::TargetName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /servers/{name}`: one server and the tools that it was heard to have.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServerView {
    /// Its name.
    #[schema(value_type = String)]
    pub server: TargetName,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Who sees the rows that it reads, besides whoever sees what its client reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Reference of the agreement under which that one may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<String>,
    /// Its tools, by name.
    pub tools: Vec<ServerToolView>,
}

/// A tool of a server.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServerToolView {
    /// Its name.
    pub tool: String,
    /// SHA-256 of the manifest that was accepted, in lower-case hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// SHA-256 of another manifest, which waits to be accepted: nobody may call the tool as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// That manifest, as the server wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
}

/// `POST /servers/{name}/accept`: take a tool's manifest as it is now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptTool {
    /// Which tool.
    pub tool: String,
    /// The manifest that was looked at, as `held` names it.
    pub digest: String,
}
