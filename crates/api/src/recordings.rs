//! Reading what was recorded.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /sessions/{id}/read`: who reads.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReadRequest {
    /// Public key of the reader.
    pub reader: String,
}

/// The answer to [`ReadRequest`]: everything needed to open the session's sealed objects with the reader's own key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReadGrant {
    /// Index of the `recording.read` entry, which is durable.
    pub entry: u64,
    /// The session's data key, wrapped to that reader, in base64.
    pub wrapped_key: String,
    /// The ciphertexts, by the hexadecimal SHA-256 that stands in the entries, in base64.
    pub objects: std::collections::BTreeMap<String, String>,
}
