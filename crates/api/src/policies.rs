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

/// A set of policies that is asked about: the one in force, where neither is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicySource {
    /// The digest of a set that is or was in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Files of a policy folder, by name. Nothing of them comes into force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<BTreeMap<String, String>>,
}

/// `POST /policies/check`: what is wrong or odd about a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckView {
    /// Why it cannot be loaded, a line each, with file, line and column; none where it can.
    pub errors: Vec<String>,
    /// What is odd about it, a line each.
    pub warnings: Vec<String>,
    /// Groups of which only issuers know whether they exist.
    pub unverifiable_groups: BTreeSet<String>,
}

/// `POST /policies/test`: what a set is expected to say, and what comes out otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestView {
    /// How many expectations there are.
    pub expectations: u64,
    /// Those that do not hold: line, name, what was expected and found, and why.
    #[schema(value_type = Vec<Object>)]
    pub unmet: Vec<Value>,
}

/// `POST /policies/matrix`: who may do what, by class of callers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MatrixView {
    /// Text that can be reviewed and compared.
    pub matrix: String,
    /// Targets whose catalogs could not be read: what is said of them is said of the names in policies only.
    pub unread: Vec<String>,
}

/// `POST /policies/diff`: two sets.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiffRequest {
    /// The set before; the one in force, where it is left out.
    #[serde(default)]
    pub old: PolicySource,
    /// The set after.
    #[serde(default)]
    pub new: PolicySource,
}

/// The answer to [`DiffRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiffView {
    /// Who gains and who loses what, for every class of callers and everybody whom the gateway knows, and limits that are
    /// others.
    #[schema(value_type = Object)]
    pub difference: Value,
    /// Targets whose catalogs could not be read.
    pub unread: Vec<String>,
}

/// `POST /policies/explain`: somebody who might ask. What is left out is what the gateway knows of that one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// `issuer/subject`.
    #[serde(rename = "as")]
    pub who: String,
    /// Whether that is a service.
    #[serde(default)]
    pub service: bool,
    /// Groups that it would be in, in the place of those that are known.
    pub groups: Option<BTreeSet<String>>,
    /// The client that would act for it.
    pub client: Option<String>,
    /// The purpose that its credential would have.
    pub purpose: Option<String>,
    /// The server of others whose run would ask.
    pub server: Option<String>,
    /// The tool whose call it would be.
    pub tool: Option<String>,
    /// Attributes that it would have, each in the place of the one that is known.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Object>)]
    pub attributes: BTreeMap<String, Value>,
    /// The class of its authentication (`acr`).
    pub acr: Option<String>,
    /// The methods of its authentication (`amr`).
    pub amr: Option<BTreeSet<String>>,
    /// How many seconds ago it would have authenticated.
    pub authenticated_s: Option<u64>,
    /// At which target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// A statement that it would send.
    pub sql: Option<String>,
    /// Under which policies.
    #[serde(default)]
    pub policies: PolicySource,
}

/// The answer to [`ExplainRequest`].
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExplanationView {
    /// Whether the gateway knows that one: then what the request left out is what is known.
    pub known: bool,
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
