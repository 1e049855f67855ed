//! Reading what was recorded.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /sessions/{id}/read`: who reads.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReadRequest {
    /// Public key of the reader.
    pub reader: String,
    /// `next` of the answer before, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The answer to [`ReadRequest`]: everything needed to open the session's sealed objects with the reader's own key. Of a session that
/// has more of them than one answer holds, a part.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReadGrant {
    /// Index of the `recording.read` entry, which is durable.
    pub entry: u64,
    /// The session's data key, wrapped to that reader, in base64.
    pub wrapped_key: String,
    /// The ciphertexts, by the hexadecimal SHA-256 that stands in the entries, in base64.
    pub objects: std::collections::BTreeMap<String, String>,
    /// To be sent as `after` for the objects that follow; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
