//! Credentials that are in use or were taken back. Which ones were made is not kept.

use chaperone_access::TargetName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /credentials`: a credential that open sessions use, or that was taken back and would still be good otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CredentialEntryView {
    /// Which credential, as sessions and entries name it; whatever it was narrowed to has the same id.
    pub credential: String,
    /// Whom it is for, as `issuer/subject`, where a session uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What it opens, where a session uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub target: Option<TargetName>,
    /// Void from, in seconds since the Unix epoch, where a session uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<u64>,
    /// Open sessions that use it.
    pub sessions: u64,
    /// That it was taken back, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<RevocationView>,
}

/// That a credential was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevocationView {
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// When, in microseconds since the Unix epoch.
    pub at: u64,
}

/// `DELETE /credentials/{id}`: take one back, with everything that it was narrowed to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeCredential {
    /// Why: for the record and for administrators.
    pub reason: String,
}
