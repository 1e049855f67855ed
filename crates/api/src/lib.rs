//! What the management API takes and gives, as JSON. Paths are under `/api/v1`.

mod login;

pub use login::{
    AssuranceView, CredentialRequest, CredentialView, IssuerView, LoginRequest, LoginView, WhoView,
};

use chaperone_access::{AgentName, Delegation, SessionId, TargetName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `GET /targets`: one target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TargetView {
    /// Its name.
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

/// `GET /agents`: one agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentView {
    /// Its name.
    pub agent: AgentName,
    /// Whether it is linked now. The agent inside the gateway always is.
    pub linked: bool,
    /// The targets that it is authorised for.
    pub targets: Vec<TargetName>,
    /// Streams that are open.
    pub streams: u32,
    /// Generation of its newest certificate; 0 inside the gateway's process.
    pub generation: u64,
    /// Why its identity is locked, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<String>,
}

/// `POST /agents/tokens`: make a one-time token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The agent to enrol.
    pub agent: AgentName,
    /// What it may serve.
    pub targets: Vec<TargetName>,
    /// How long the token is valid, in seconds, at most a day.
    pub ttl_s: u64,
}

/// The answer to [`TokenRequest`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenView {
    /// The token: shown this once.
    pub token: String,
}

/// `POST /agents/{name}/lock`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockRequest {
    /// Why.
    pub reason: String,
}

/// `GET /sessions`: one session, open or closed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionView {
    /// Its id.
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

/// `POST /sessions/{id}/read`: who reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadRequest {
    /// Public key of the reader.
    pub reader: String,
}

/// The answer to [`ReadRequest`]: everything needed to open the session's sealed objects with the reader's own key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadGrant {
    /// Index of the `recording.read` entry, which is durable.
    pub entry: u64,
    /// The session's data key, wrapped to that reader, in base64.
    pub wrapped_key: String,
    /// The ciphertexts, by the hexadecimal SHA-256 that stands in the entries, in base64.
    pub objects: std::collections::BTreeMap<String, String>,
}

/// `GET /sessions/{id}`: a session with its entries, in order, as they stand in the trail.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionDetail {
    /// The session.
    pub summary: SessionView,
    /// Its entries.
    pub entries: Vec<Value>,
}

/// `GET /sessions/live`: what is known of a session only while it is open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LiveSession {
    /// Its id.
    pub session: SessionId,
    /// When it was opened, in microseconds since the Unix epoch.
    pub opened_at: u64,
    /// Which target.
    pub target: TargetName,
    /// Where the client is.
    pub source: String,
    /// Subject and client.
    pub subject: String,
}

impl LiveSession {
    /// The words for a delegation: issuer and subject, and the client that acts for it.
    #[must_use]
    pub fn subject_of(delegation: &Delegation) -> String {
        let subject = format!("{}/{}", delegation.subject.issuer, delegation.subject.sub);
        delegation.client.as_ref().map_or(subject.clone(), |client| format!("{subject} via {client}"))
    }
}

/// Any refusal of the API.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Problem {
    /// What happened.
    pub message: String,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
