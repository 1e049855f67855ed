//! People who have logged in, their logins, and the end of either.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::AssuranceView;

/// `GET /people`: one person, or a workload of an issuer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PersonView {
    /// Who, as `issuer/subject`.
    pub subject: String,
    /// `person` or `service`.
    pub kind: String,
    /// The name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// When it last logged in, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<u64>,
    /// Why it may do nothing, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<DisabledView>,
}

/// Why somebody may do nothing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DisabledView {
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// Since when, in seconds since the Unix epoch.
    pub at: u64,
}

/// `POST /people/disable`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DisableSubject {
    /// Who, as `issuer/subject`.
    pub subject: String,
    /// Why, for the record.
    pub reason: String,
}

/// `POST /people/enable`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnableSubject {
    /// Who, as `issuer/subject`.
    pub subject: String,
}

/// `GET /logins`: one login, until a day after its end.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LoginEntryView {
    /// Which login.
    pub login: String,
    /// Who, as `issuer/subject`.
    pub subject: String,
    /// The name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// Groups, as the issuer last said.
    pub groups: BTreeSet<String>,
    /// How the issuer authenticated the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assurance: Option<AssuranceView>,
    /// The OAuth client that its tokens were made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// When it was made, in seconds since the Unix epoch.
    pub made_at: u64,
    /// When the issuer last confirmed it, in seconds since the Unix epoch.
    pub checked_at: u64,
    /// The end, in seconds since the Unix epoch.
    pub not_after: u64,
    /// Whether it admits somebody now, else why not: `current`, `overdue`, `disabled`, `expired`, `logout`, ...
    pub state: String,
}
