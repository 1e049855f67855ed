//! Declared commands: what a caller may run, and one of them as it runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// `GET /targets/{name}/commands`: one command that the caller may run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CommandView {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// What it takes, as a JSON schema.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// Whoever declared it says that it changes nothing.
    pub reads_only: bool,
    /// How long it may run, in seconds.
    pub time_s_max: u32,
    /// How much it may print, in bytes.
    pub output_bytes_max: u64,
}

/// `POST /targets/{name}/commands/{command}/run`: how.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunCommand {
    /// Values by the names of its parameters.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    /// The software that acts for the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// HL7 PurposeOfUse code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
}

/// One line of the answer to [`RunCommand`]: the first is `started`, the last `ended`, `refused` or `unknown`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunLine {
    /// The call's id, for `GET /toolcalls/{id}`.
    Started(String),
    /// A piece of standard output, with what detectors found replaced.
    Out(String),
    /// A piece of standard error, likewise.
    Err(String),
    /// The program's end.
    Ended(RunEnd),
    /// It does not run.
    Refused(RunRefused),
    /// It may have begun, and nobody can say what it did.
    Unknown(RunRefused),
}

/// How a program ended.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunEnd {
    /// Its exit code; absent where a signal ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Who ended it: `itself`, `time_limit`, `output_limit`, `cancelled` or `agent_stopping`.
    pub ended_by: String,
    /// Identifiers that were replaced in its output, by tag.
    pub masked: BTreeMap<String, u64>,
}

/// Why it does not run, or why nobody can say what it did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunRefused {
    /// As in `operation.refused`.
    pub code: String,
    /// What happened.
    pub detail: String,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
