//! The values that kinds are made of. Structs declare their fields in sorted order: the declaration is the form.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chaperone_access::{NameRule, Verb};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A SHA-256 or HMAC-SHA-256 value, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// SHA-256 of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut value = [0; 32];
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        for (to, from) in value.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Self(value)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0_u8; 64];
        hex::encode_to_slice(self.0, &mut text).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let mut value = [0; 32];
        hex::decode_to_slice(text.as_bytes(), &mut value).map_err(serde::de::Error::custom)?;
        Ok(Self(value))
    }
}

/// A sealed object that the entry covers: its ciphertext stands in the segments, in the same batch as the entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Size of the plaintext in bytes.
    pub bytes: u64,
    /// SHA-256 of the ciphertext.
    pub object: Digest,
}

/// One bound value over the limit for keeping: what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterRef {
    /// HMAC under the installation's commitment key, type-tagged.
    pub digest: Digest,
    /// Length in bytes.
    pub length: u64,
    /// Its place among the parameters, from 1.
    pub place: u64,
}

/// The values that travelled apart from the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// How many there are.
    pub count: u64,
    /// Those too large to seal whole, a hundred at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub large: Vec<ParameterRef>,
    /// All of them, sealed together: those too large as their length and digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed: Option<ObjectRef>,
}

/// One relation and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Touched {
    /// The relation's name, as PostgreSQL would write it.
    pub relation: String,
    /// Which rule of policy applied to it.
    pub rule: NameRule,
    /// What is done to it, in the order of [`Verb::ALL`].
    pub verbs: Vec<Verb>,
}

impl From<&chaperone_access::Touch> for Touched {
    fn from(touch: &chaperone_access::Touch) -> Self {
        Self { relation: touch.relation.to_string(), rule: touch.rule, verbs: touch.verbs.iter().collect() }
    }
}

/// The columns of one relation that an operation uses. Unless it is written, each stands in exactly one list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct ColumnsOf {
    /// Values that can be in the result, or something computed from them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disclosed: Vec<Arc<str>>,
    /// Named, and shown as a constant: not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<Arc<str>>,
    /// Named, and shown as their masks make them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<Arc<str>>,
    /// Values that are used and cannot be in the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<Arc<str>>,
    /// The relation's name, as PostgreSQL would write it.
    pub relation: String,
    /// Assigned to. Stands in another list too only where the operation returns it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<Arc<str>>,
}

/// How the patients were counted that an operation's rows are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// Each one, and their commitments are sealed.
    Exact,
    /// There were too many to keep: estimated, with a standard error of 1.63 %.
    Sketched,
    /// The rows were not all read (copied data, or a type that is not read in binary form): at least so many.
    NotCounted,
    /// Relations that have a subject column were read, and the result does not return it.
    OutOfReach,
}

/// The patients that an operation's rows are about: distinct values of subject columns, each column's by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectCount {
    /// The commitments to the values, sealed; absent where there are none, or too many to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitments: Option<ObjectRef>,
    /// How many.
    pub counted: u64,
    /// How they were counted.
    pub counting: Counting,
}

/// What detectors came to in the free text of an operation's rows. The columns stand among the disclosed ones all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreeTextCount {
    /// Identifiers that were replaced, by their tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub found: BTreeMap<String, u64>,
    /// Values that were looked through.
    pub looked_through: u64,
    /// Values that nobody here could look through, and that the caller got as they are.
    pub not_looked_through: u64,
}

/// Which way policy decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// It may run.
    Allow,
    /// Somebody has to say yes first.
    Hold,
    /// It may not run.
    Refuse,
}

/// A decision and everything that it depended on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Which way.
    pub arm: Arm,
    /// Digest of the target's catalog that names were resolved against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog: Option<Digest>,
    /// Ids of the policies that decided, sorted.
    pub policies: Vec<Arc<str>>,
    /// Digest of the whole set in force.
    pub policy: Digest,
    /// Whether the caller has every verb on the whole target, so that its own words were sent.
    pub unrestricted: bool,
}

/// One encrypted hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// Cipher suite, IANA name.
    pub cipher: String,
    /// SHA-256 of the peer's certificate, DER.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Digest>,
    /// Protocol version, `1.2` or `1.3`.
    pub version: String,
}

/// The database's own process for the session: the proof of the join to the database's own log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Whether what a declared command runs is kept apart from other processes, and from the network unless it is declared
    /// to have it, by the agent's word; absent at a target that runs no commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apart: Option<bool>,
    /// What the session calls itself at the target.
    pub application: String,
    /// The database role that it logged in as.
    pub login: String,
    /// Process id.
    pub pid: u64,
    /// The role that the login took on for this session's subject; absent where the session runs as the login itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The server's version, as it reports it.
    pub server: String,
    /// When the process started, by the database's clock, in microseconds since the Unix epoch; absent where the
    /// target does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
}

/// A place in a string of several statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// How many statements the string has.
    pub count: u64,
    /// Which one this is, from 1.
    pub place: u64,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Done.
    Ok,
    /// Stopped by the client's own row limit; the rest may be asked for later.
    Suspended,
    /// The target refused it or failed.
    Failed,
    /// Never run, because an earlier one in the same string or pipeline failed.
    NotRun,
    /// Planned by the target with its values, and not run: the client left it at that.
    Planned,
    /// Cancelled at the client's or an officer's request.
    Cancelled,
    /// The client left before the end.
    ClientGone,
    /// The target, its agent or the gateway went away: what was disclosed is bounded by the last progress.
    Lost,
}

/// The cause of the gap that a killed gateway leaves.
pub const CAUSE_KILLED: &str = "ended without closing";
/// The reason of a session that was open when the gateway was killed.
pub const REASON_LOST: &str = "lost";

/// How a tool call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// It was answered.
    Ok,
    /// It was refused, by policy, a limit or the tool itself.
    Refused,
    /// The target refused it or failed.
    Failed,
    /// It may have changed something, and nobody can say whether it did.
    Unknown,
    /// Nobody waited for its answer any more.
    Abandoned,
    /// The gateway went away before its end.
    Lost,
}

/// How a counted number of entries that were not written is told apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// How many.
    pub count: u64,
    /// The kind that could not be written.
    pub kind: String,
}
