//! Who is behind a call: the delegation chain that every record keeps whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Whether the subject is a human being or a program with an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    /// A human being.
    Person,
    /// A program with an identity and an owner.
    Service,
}

/// A person or service: issuer and subject, as the issuer vouches for them (OpenID Connect Core, `iss` and `sub`).
/// A display name is never part of the identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// Who vouches for it.
    pub issuer: String,
    /// Person or service.
    pub kind: SubjectKind,
    /// The issuer's own identifier.
    pub sub: String,
}

/// How the record knows whose operation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attribution {
    /// A client of the subject's own: everything on the session is the subject's.
    Session,
}

/// The chain from the subject to the session: subject, client, and what they were vouched for with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Delegation {
    /// How this chain is known.
    pub attribution: Attribution,
    /// The registered software that acts for the subject (an AI client's id), where the credential names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Arc<str>>,
    /// The groups that the issuer put the subject in.
    pub groups: BTreeSet<String>,
    /// HL7 PurposeOfUse code that the credential was issued for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Arc<str>>,
    /// Who is behind it.
    pub subject: Subject,
}
