//! What an agent counted, signed with its own key: a gateway that leaves something out contradicts its agents.

use serde::{Deserialize, Serialize};

use super::canonical;

/// What an agent counted for one session that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionTally {
    /// The agent's name.
    pub agent: String,
    /// Bytes from the target, after login.
    pub bytes_down: u64,
    /// Bytes to the target, after login.
    pub bytes_up: u64,
    /// The session.
    pub session: String,
    /// Streams opened to the target for it.
    pub streams: u64,
    /// The target.
    pub target: String,
}

/// What an agent counted since it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CumulativeTally {
    /// The agent's name.
    pub agent: String,
    /// When it was counted: `since`, and what the agent's steady clock says since then, in microseconds since the Unix
    /// epoch; absent in older trails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// Bytes from targets.
    pub bytes_down: u64,
    /// Bytes to targets.
    pub bytes_up: u64,
    /// Sessions that it served, looks at catalogs among them.
    pub sessions: u64,
    /// When it started to count, by its clock, in microseconds since the Unix epoch: tells its processes apart. Absent in
    /// older trails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Streams that it opened.
    pub streams: u64,
}

/// A session's tally with the agent's signature over [`tally_message`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTally {
    /// Id of the agent's key, as in `agent.enrolled`.
    pub key: String,
    /// ECDSA P-256 with SHA-256, ASN.1, in base64.
    pub signature: String,
    /// What was signed.
    pub tally: SessionTally,
}

/// A cumulative tally with the agent's signature over [`cumulative_tally_message`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCumulative {
    /// Id of the agent's key, as in `agent.enrolled`.
    pub key: String,
    /// ECDSA P-256 with SHA-256, ASN.1, in base64.
    pub signature: String,
    /// What was signed.
    pub tally: CumulativeTally,
}

/// The bytes that an agent signs for one session: canonical JSON of the tally.
///
/// # Errors
/// A count above [`super::NUMBER_MAX`].
pub fn tally_message(tally: &SessionTally) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(256);
    canonical::append(&mut out, tally)?;
    Ok(out)
}

/// The bytes that an agent signs for a heartbeat: canonical JSON of the tally.
///
/// # Errors
/// A count above [`super::NUMBER_MAX`].
pub fn cumulative_tally_message(tally: &CumulativeTally) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(256);
    canonical::append(&mut out, tally)?;
    Ok(out)
}
