//! Sets of policies: which there are, what they say, and why somebody may or may not.

use std::collections::{BTreeMap, BTreeSet};

use chaperone_access::{AttributeKind, TargetName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// `GET /policies`: one set that is or was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicySetView {
    /// SHA-256 of its files, in hexadecimal: what records name.
    pub digest: String,
    /// Whether it is the one in force.
    pub in_force: bool,
    /// Since when it is kept, in microseconds since the Unix epoch.
    pub kept_at: u64,
}

/// `GET /policies/{digest}`: a set with its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyTextView {
    /// SHA-256 of its files, in hexadecimal.
    pub digest: String,
    /// Each file by its name.
    pub files: BTreeMap<String, String>,
}

/// `POST /policies/reload`: the set that is in force now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReloadView {
    /// Its digest.
    pub digest: String,
    /// The digest of the one before it: the same where the files have not changed.
    pub previous: String,
    /// How many policies it has.
    pub policies: u64,
    /// What is odd about it, a line each.
    pub warnings: Vec<String>,
}

/// `POST /policies/explain`: somebody who might ask.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// `issuer/subject`.
    #[serde(rename = "as")]
    pub who: String,
    /// Whether that is a service.
    #[serde(default)]
    pub service: bool,
    /// Groups that it would be in.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// The client that would act for it.
    pub client: Option<String>,
    /// The purpose that its credential would have.
    pub purpose: Option<String>,
    /// At which target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// A statement that it would send.
    pub sql: Option<String>,
}

/// The answer to [`ExplainRequest`].
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExplanationView {
    /// Whether it may connect, what the target is to it, and the statement, each with the deciding policies and what would
    /// change it.
    #[schema(value_type = Object)]
    pub explanation: Value,
}

/// `GET /targets/{name}/catalog`: what names mean at a target, as its catalog has it now. `chaperone policy` takes it with
/// `--relations`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CatalogView {
    /// Which target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// The results of the gateway's own queries, row by row.
    pub results: Vec<Vec<Vec<Option<String>>>>,
    /// The text of its classification, where it has one.
    #[serde(default)]
    pub classification: Option<String>,
    /// What row filters may ask about subjects.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: BTreeMap<String, AttributeKind>,
}
