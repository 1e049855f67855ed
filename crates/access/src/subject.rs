//! Who is behind a call: the delegation chain that every record keeps whole.

use std::collections::{BTreeMap, BTreeSet};
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
    /// A server that acts for the subject had the subject's own token exchanged for the credential: everything on the
    /// session is the subject's, through that server.
    Exchanged,
    /// One call at a time was dispatched to it: everything between its dispatch and its answer is that call's.
    Leased,
    /// A client of the subject's own: everything on the session is the subject's.
    Session,
    /// The call is the subject's; what is done for it is done elsewhere, under nobody knows whose name.
    Unattributable,
}

/// What a declared attribute of a subject may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributeKind {
    /// True or false.
    Bool,
    /// A whole number of 64 bits.
    Long,
    /// One text.
    Text,
    /// A set of texts.
    Texts,
}

/// One typed attribute of a subject, as its issuer vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attribute {
    /// True or false.
    Bool(bool),
    /// A whole number. Written as decimal text: a JSON number does not keep 64 bits (RFC 7493, section 2.2).
    Long(#[serde(with = "decimal")] i64),
    /// One text.
    Text(String),
    /// A set of texts.
    Texts(BTreeSet<String>),
}

impl Attribute {
    /// What it holds.
    #[must_use]
    pub fn kind(&self) -> AttributeKind {
        match self {
            Self::Bool(_) => AttributeKind::Bool,
            Self::Long(_) => AttributeKind::Long,
            Self::Text(_) => AttributeKind::Text,
            Self::Texts(_) => AttributeKind::Texts,
        }
    }
}

/// The attributes of a subject by their declared names.
pub type Attributes = BTreeMap<String, Attribute>;

mod decimal {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How and when the subject authenticated at its issuer (OpenID Connect Core, section 2: `acr`, `amr`, `auth_time`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Assurance {
    /// Authentication context class, as the issuer names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// Authentication methods (RFC 8176).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub amr: BTreeSet<String>,
    /// When, in seconds since the Unix epoch; [`Assurance::AT_UNKNOWN`] where the issuer does not say.
    pub at: u64,
}

impl Assurance {
    /// Nobody said when: longer ago than any policy asks for.
    pub const AT_UNKNOWN: u64 = 0;
}

/// Who sees the rows that a registered client or server reads: the model provider behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Recipient {
    /// Reference of the agreement under which it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<String>,
    /// Its name.
    pub name: String,
}

/// What stands for the issuer where a registered server is judged by itself: `server/NAME` in policies and locks.
pub const SERVER_ISSUER: &str = "server";

/// A server of others, that acts for the subject: a call is of its tools, a session is its run's, or it had a token exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Server {
    /// Its name, as configured.
    pub name: Arc<str>,
    /// Who sees what it reads besides whoever sees what the client reads, where it is registered with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Recipient>,
}

/// The chain from the subject to the session: subject, client, server, and what they were vouched for with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Delegation {
    /// How the subject authenticated, where an issuer said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assurance: Option<Assurance>,
    /// Declared attributes of the subject.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: Attributes,
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
    /// Who sees what the client reads, where the client is registered with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Recipient>,
    /// The server that acts for the client, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// Who is behind it.
    pub subject: Subject,
    /// The tool that was called, where it is a call's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Arc<str>>,
}

impl Delegation {
    /// A chain of a subject and its groups alone.
    #[must_use]
    pub fn of(subject: Subject, groups: BTreeSet<String>) -> Self {
        Self {
            assurance: None,
            attributes: Attributes::new(),
            attribution: Attribution::Session,
            client: None,
            groups,
            purpose: None,
            recipient: None,
            server: None,
            subject,
            tool: None,
        }
    }

    /// The server that had the subject's token exchanged, as a caller of its own in the same circumstances: what it may not,
    /// it may not for anybody.
    #[must_use]
    pub fn exchanger(&self) -> Option<Self> {
        let server = self.server.as_ref().filter(|_| self.attribution == Attribution::Exchanged)?;
        let (issuer, kind) = (SERVER_ISSUER.to_owned(), SubjectKind::Service);
        let subject = Subject { issuer, kind, sub: server.name.to_string() };
        let alone = Self::of(subject, BTreeSet::new());
        Some(Self {
            attributes: alone.attributes,
            assurance: alone.assurance,
            groups: alone.groups,
            subject: alone.subject,
            ..self.clone()
        })
    }
}

/// Longest purpose of use that is taken, in bytes.
pub const PURPOSE_BYTES_MAX: usize = 64;

/// Whether a text may name a purpose of use: 1 to [`PURPOSE_BYTES_MAX`] bytes, without control characters or `,`.
#[must_use]
pub fn is_purpose(text: &str) -> bool {
    (1..=PURPOSE_BYTES_MAX).contains(&text.len())
        && !text.chars().any(|char| char.is_control() || char == ',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_keep_every_bit_and_absent_facts_leave_no_trace() {
        let subject = Subject { issuer: "acme".into(), kind: SubjectKind::Person, sub: "ana".into() };
        let mut delegation = Delegation::of(subject, BTreeSet::new());
        let bare = serde_json::to_string(&delegation).unwrap();
        assert_eq!(
            bare,
            r#"{"attribution":"session","groups":[],"subject":{"issuer":"acme","kind":"person","sub":"ana"}}"#
        );
        assert_eq!(serde_json::from_str::<Delegation>(&bare).unwrap(), delegation);
        delegation.attributes = Attributes::from([
            ("level".into(), Attribute::Long(i64::MIN)),
            ("clinics".into(), Attribute::Texts(BTreeSet::from(["north".into()]))),
            ("remote".into(), Attribute::Bool(true)),
        ]);
        delegation.assurance = Some(Assurance { acr: None, amr: BTreeSet::from(["otp".into()]), at: 5 });
        let text = serde_json::to_string(&delegation).unwrap();
        assert!(text.contains(r#""level":{"long":"-9223372036854775808"}"#), "{text}");
        assert_eq!(serde_json::from_str::<Delegation>(&text).unwrap(), delegation);
    }
}
