//! What can be reached.

use chaperone_access::TargetName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /targets`: one target.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TargetView {
    /// Its name.
    #[schema(value_type = String)]
    pub name: TargetName,
    /// What it speaks.
    pub protocol: String,
    /// The agents that serve it now.
    pub agents: Vec<String>,
    /// Digest of its catalog as last read, in hexadecimal; absent before the first session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog: Option<String>,
    /// Relations in that catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relations: Option<u64>,
}
