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

/// `GET /targets/{name}/access`: what the caller may do there himself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AccessView {
    /// The target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// Whether every statement passes as it is.
    pub unrestricted: bool,
    /// The relations of which something is allowed, as `schema.name`, sorted; empty where everything is.
    pub relations: Vec<RelationAccess>,
    /// How many more relations there are.
    pub others: u64,
}

/// What the caller may do with one relation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RelationAccess {
    /// `schema.name`.
    pub relation: String,
    /// Verbs that are allowed.
    pub allowed: Vec<String>,
    /// Verbs that need somebody's approval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<String>,
    /// Columns of which the values are seen; 0 for all three at a target without a classification, where all are.
    #[serde(default)]
    pub revealed: u64,
    /// Columns of which only a mask is seen.
    #[serde(default)]
    pub masked: u64,
    /// Columns of which nothing is seen.
    #[serde(default)]
    pub hidden: u64,
    /// Whether only those rows are seen that the relation's filter lets through.
    #[serde(default)]
    pub filtered: bool,
}
