//! Services, which present keys of their own.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /services`: one service.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServiceView {
    /// Its name; its subject is `local/<name>`.
    pub name: String,
    /// The person who answers for it, as `issuer/subject`.
    pub owner: String,
    /// Its groups; policies name them `local/<group>`.
    pub groups: BTreeSet<String>,
    /// When it was made, in seconds since the Unix epoch.
    pub made_at: u64,
    /// Its keys, oldest first; several only while a rotation overlaps.
    pub keys: Vec<KeyView>,
    /// Why it is no more, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

/// A service key without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Its public part, as entries name it.
    pub key: String,
    /// When it was made, in seconds since the Unix epoch.
    pub made_at: u64,
    /// Void from, in seconds since the Unix epoch.
    pub not_after: u64,
}

/// `POST /services`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateService {
    /// Its name: 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`, beginning with a letter.
    pub name: String,
    /// The person who answers for it, as `issuer/subject`: one who has logged in here and is enabled. Without that
    /// person its keys are void.
    pub owner: String,
    /// Its groups.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// How long its first key is valid, in seconds, at most 366 days.
    pub ttl_s: u64,
}

/// `POST /services/{name}/rotate`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateService {
    /// How long the new key is valid, in seconds, at most 366 days.
    pub ttl_s: u64,
    /// How long the older keys go on, in seconds, at most 7 days.
    pub overlap_s: u64,
}

/// `DELETE /services/{name}`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeService {
    /// Why, for the record.
    pub reason: String,
}

/// The answer to [`CreateService`] and [`RotateService`].
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct ServiceKeyView {
    /// The service.
    pub service: ServiceView,
    /// Its new key, `cps1...`: a secret, shown this once. It is a bearer token of this API.
    pub key: String,
}

// The key is a secret: nothing prints it by accident.
impl std::fmt::Debug for ServiceKeyView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceKeyView").field("service", &self.service).finish_non_exhaustive()
    }
}
