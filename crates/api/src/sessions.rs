//! Sessions, open and closed.

use chaperone_access::{Attribution, Delegation, SessionId, TargetName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// `GET /sessions`: one session, open or closed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// Its id.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// `open`, or the reason for its end.
    pub state: String,
    /// When it was opened, in microseconds since the Unix epoch.
    pub opened_at: u64,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<u64>,
    /// Which target.
    pub target: String,
    /// Who is behind it: the delegation chain as recorded.
    #[schema(value_type = Object)]
    pub delegation: Value,
    /// Operations that ran.
    pub operations: u64,
    /// Operations that were refused.
    pub refused: u64,
    /// Rows that were returned or changed.
    pub rows: u64,
    /// Index of its first entry in the trail.
    pub first_entry: u64,
}

/// `GET /sessions/{id}`: a session with a page of its entries, in order, as they stand in the trail.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionDetail {
    /// The session.
    pub summary: SessionView,
    /// Its entries.
    #[schema(value_type = Vec<Object>)]
    pub entries: Vec<Value>,
    /// What `after` takes for the entries that follow; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `DELETE /sessions/{id}`: end a session that is open.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndSession {
    /// Why: for the record, not for the client.
    pub reason: String,
}

/// `GET /sessions/live`: what is known of a session only while it is open.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LiveSession {
    /// Its id.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// When it was opened, in microseconds since the Unix epoch.
    pub opened_at: u64,
    /// Which target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// Where the client is.
    pub source: String,
    /// Subject and client.
    pub subject: String,
}

impl LiveSession {
    /// The words for a delegation: issuer and subject, the client that acts for it, and the server that had its token
    /// exchanged.
    #[must_use]
    pub fn subject_of(delegation: &Delegation) -> String {
        let mut words = format!("{}/{}", delegation.subject.issuer, delegation.subject.sub);
        if let Some(client) = &delegation.client {
            words.push_str(&format!(" via {client}"));
        }
        let exchanged = delegation.attribution == Attribution::Exchanged;
        if let Some(server) = delegation.server.as_ref().filter(|_| exchanged) {
            words.push_str(&format!(" through {} (exchanged)", server.name));
        }
        words
    }
}
