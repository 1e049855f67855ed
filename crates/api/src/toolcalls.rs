//! Tool calls, from the caller to the fields.

use std::collections::BTreeMap;

use chaperone_access::CallId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// `GET /toolcalls/{id}`: one call with everything that it caused.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ToolcallView {
    /// Its id.
    #[schema(value_type = String)]
    pub call: CallId,
    /// The tool; absent where none was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What was asked of a server where no tool was called, as the protocol names it: `resources/read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The prompt that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The target.
    pub target: String,
    /// Who is behind it: the delegation chain as recorded.
    #[schema(value_type = Object)]
    pub delegation: Value,
    /// The OAuth client that the token was made for, where an issuer said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth_client: Option<String>,
    /// What the client calls itself: a claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Where it came from.
    pub source: String,
    /// Commitment to its arguments, in hexadecimal: what is read stands among them. Of an exchange, to the digest that its
    /// server told; empty where it told none.
    pub arguments: String,
    /// When it began, in microseconds since the Unix epoch.
    pub started_at: u64,
    /// How it ended; absent while it is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<ToolcallEnd>,
    /// Where a server elsewhere had its caller's token exchanged for it: nobody here sees its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchanged: Option<ToolcallExchange>,
    /// What its server told before its answer, together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<ToolcallTold>,
    /// What its server asked for, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<ToolcallAsked>,
    /// What it caused, in order.
    pub operations: Vec<ToolcallOperation>,
    /// Index of its first entry in the trail.
    pub first_entry: u64,
}

/// What a server told in a call.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ToolcallTold {
    /// How many messages, by kind: `progress`, `message`, `list_changed`.
    pub kinds: BTreeMap<String, u64>,
    /// Bytes of what went to the client.
    pub bytes: u64,
    /// Identifiers that were replaced, by tag.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub masked: BTreeMap<String, u64>,
    /// How many did not go to the client, since they hold identifiers and nobody can say whose.
    #[serde(default)]
    pub withheld: u64,
}

/// What a server asked for in a call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ToolcallAsked {
    /// Its number in the call.
    pub ask: u64,
    /// What for: `elicitation`, `elicitation_url`, `sampling` or `roots`.
    pub for_what: String,
    /// Commitment to the question, in hexadecimal.
    pub question: String,
    /// Where it sends a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Why nobody was asked, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Identifiers that were replaced in it, by tag.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub masked: BTreeMap<String, u64>,
    /// What came of it, as in `toolcall.answered`; absent where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Commitment to the answer, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// What a server elsewhere got for a call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ToolcallExchange {
    /// The credential: what was asked with it is the call's.
    pub credential: String,
    /// The server's own id of the call: a claim, as the tool and the arguments are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    /// When the credential is void, in seconds since the Unix epoch.
    pub not_after: u64,
}

/// How a call ended.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ToolcallEnd {
    /// `ok`, `refused`, `failed`, `unknown` (it may have changed something, and nobody can say whether it did), `abandoned` or
    /// `lost`.
    pub outcome: String,
    /// Why it was refused, where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Identifiers that were replaced in the answer of a server, by tag.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub masked: BTreeMap<String, u64>,
    /// Identifiers in the answer of a server that read nothing of a target's for it, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phi_without_statement: Option<u64>,
    /// Bytes in the answer of a server that are no text, and that nobody looked through, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_looked_through: Option<u64>,
    /// Rows in its answer.
    pub rows: u64,
    /// Bytes of its answer.
    pub bytes: u64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
}

/// One operation of a call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ToolcallOperation {
    /// The session that it ran in.
    pub session: String,
    /// Its number there.
    pub operation: u64,
    /// The command's name.
    pub tag: String,
    /// How it ended, or `refused`, `running`, or `undone` where the target did not commit it after all.
    pub status: String,
    /// Why it was refused, where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The target's error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<String>,
    /// SHA-256 of the statement without its literals, in hexadecimal.
    pub template: String,
    /// Whether the target got other words than the client's.
    pub rewritten: bool,
    /// The relations that it touches, each with its verbs.
    #[schema(value_type = Vec<Object>)]
    pub touches: Vec<Value>,
    /// Its columns by relation: disclosed, read, masked, hidden, written. Empty where they are sealed or none.
    #[schema(value_type = Vec<Object>)]
    pub columns: Vec<Value>,
    /// The patients that its rows are about, as recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub subjects: Option<Value>,
    /// Result rows.
    pub rows: u64,
    /// Result bytes.
    pub bytes: u64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
}
