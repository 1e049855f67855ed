//! Locks on subjects, targets and clients.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What sort of thing a lock closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LockKind {
    /// Everything that a subject does.
    Subject,
    /// Everything at a target.
    Target,
    /// Everything that a client does, for whomever.
    Client,
}

/// `GET /locks`: one lock in force.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LockView {
    /// Its id, by which it is lifted.
    pub lock: String,
    /// What sort of thing it closes.
    pub on: LockKind,
    /// The name of that: a subject's is `issuer/subject`.
    pub name: String,
    /// Why.
    pub reason: String,
    /// By whom it was placed.
    pub by: String,
    /// When it was placed, in microseconds since the Unix epoch.
    pub at: u64,
}

/// `POST /locks`: lock something, at once and until the lock is lifted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceLock {
    /// What sort of thing.
    pub on: LockKind,
    /// The name of that: a subject's is `issuer/subject`.
    pub name: String,
    /// Why: for the record and for administrators.
    pub reason: String,
}
