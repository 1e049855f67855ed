//! Somebody who might ask: a delegation that nobody proved, for explaining and for expectations. It is never admitted.

use std::collections::BTreeSet;
use std::sync::Arc;

use chaperone_access::{Assurance, Attributes, Delegation, Recipient, Server, Subject, SubjectKind};
use chaperone_identity::Clients;

/// The issuer and name that stand for anybody in a class of people.
pub(crate) const ANYBODY: &str = "(anybody)";

/// Who might ask, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// `issuer/subject`.
    pub who: String,
    /// Whether it is a service.
    pub service: bool,
    /// Groups, with or without `issuer/` before them.
    pub groups: BTreeSet<String>,
    /// The software that acts for the subject.
    pub client: Option<String>,
    /// HL7 PurposeOfUse code.
    pub purpose: Option<String>,
    /// The server of others whose run it would be.
    pub server: Option<String>,
    /// The tool that is called.
    pub tool: Option<String>,
    /// Attributes as the issuer would vouch for them.
    pub attributes: Attributes,
    /// How the subject authenticated.
    pub assurance: Option<Assurance>,
}

impl Profile {
    /// The chain that a credential of this kind would have.
    ///
    /// # Errors
    /// `who` is not `issuer/subject`.
    pub fn delegation(&self, clients: &Clients) -> Result<Delegation, NotASubject> {
        let Some((issuer, sub)) =
            self.who.split_once('/').filter(|(issuer, sub)| !issuer.is_empty() && !sub.is_empty())
        else {
            return Err(NotASubject(self.who.clone()));
        };
        let subject = Subject { issuer: issuer.to_owned(), kind: kind(self.service), sub: sub.to_owned() };
        Ok(Delegation {
            assurance: self.assurance.clone(),
            attributes: self.attributes.clone(),
            client: self.client.as_deref().map(Arc::from),
            purpose: self.purpose.as_deref().map(Arc::from),
            recipient: self.client.as_deref().and_then(|name| recipient(name, clients)),
            server: self.server.as_deref().map(|name| server(name, clients)),
            // What a run asks for is asked for under its server's name.
            tool: self.tool.as_deref().or(self.server.as_deref()).map(Arc::from),
            ..Delegation::of(subject, self.groups.iter().map(|group| short(issuer, group)).collect())
        })
    }
}

/// What is said of somebody who might ask; what is left out is what is known of him.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// `issuer/subject`.
    pub who: String,
    /// Whether it is a service.
    pub service: bool,
    /// Groups, in the place of those that are known.
    pub groups: Option<BTreeSet<String>>,
    /// The software that acts for the subject.
    pub client: Option<String>,
    /// HL7 PurposeOfUse code.
    pub purpose: Option<String>,
    /// The server of others whose run it would be.
    pub server: Option<String>,
    /// The tool that is called.
    pub tool: Option<String>,
    /// Attributes, each in the place of the one that is known.
    pub attributes: Attributes,
    /// Class of the authentication.
    pub acr: Option<String>,
    /// Methods of the authentication.
    pub amr: Option<BTreeSet<String>>,
    /// How long ago it was, in seconds; a moment, where only class or methods are said.
    pub authenticated_s: Option<u64>,
}

impl Said {
    /// Who might ask. `now_s` is in seconds since the Unix epoch.
    #[must_use]
    pub fn profile(self, known: Option<&Profile>, now_s: u64) -> Profile {
        let known = known.cloned().unwrap_or_default();
        let says = self.acr.is_some() || self.amr.is_some() || self.authenticated_s.is_some();
        let assurance = if says {
            let before = known.assurance.clone();
            let (acr, amr) = before.map(|before| (before.acr, before.amr)).unwrap_or_default();
            Some(Assurance {
                acr: self.acr.or(acr),
                amr: self.amr.unwrap_or(amr),
                at: now_s.saturating_sub(self.authenticated_s.unwrap_or(0)),
            })
        } else {
            known.assurance
        };
        let mut attributes = known.attributes;
        attributes.extend(self.attributes);
        Profile {
            who: self.who,
            service: self.service,
            groups: self.groups.unwrap_or(known.groups),
            client: self.client.or(known.client),
            purpose: self.purpose,
            server: self.server,
            tool: self.tool,
            attributes,
            assurance,
        }
    }
}

/// The chain of the same subject when a client acts for it, for a purpose.
#[must_use]
pub fn through(
    delegation: Delegation,
    client: Option<&str>,
    purpose: Option<&str>,
    clients: &Clients,
) -> Delegation {
    Delegation {
        client: client.map(Arc::from),
        purpose: purpose.map(Arc::from),
        recipient: client.and_then(|name| recipient(name, clients)),
        ..delegation
    }
}

/// The chain of the same subject where a run of that server asks for it.
pub(crate) fn through_server(delegation: Delegation, name: &str, clients: &Clients) -> Delegation {
    Delegation { server: Some(server(name, clients)), tool: Some(Arc::from(name)), ..delegation }
}

/// The same chain at a target: where that is a server of others, it is that server who acts there.
pub(crate) fn at(delegation: &Delegation, target: &str, clients: &Clients) -> Option<Delegation> {
    clients.server(target)?;
    Some(Delegation { server: Some(server(target, clients)), ..delegation.clone() })
}

/// A text that names no subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotASubject(String);

impl std::fmt::Display for NotASubject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` does not name a subject (hint: `issuer/subject`, such as `dev/ana`)", self.0)
    }
}

impl std::error::Error for NotASubject {}

/// Through what somebody may act: a client, a server of others, both, or neither.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hand {
    pub(crate) client: Option<String>,
    pub(crate) server: Option<String>,
}

impl Hand {
    /// Those that are this one without a client, or without a server. In the order of hands they come before it.
    pub(crate) fn plainer(&self) -> Vec<Self> {
        let (client, server) = (self.client.clone(), self.server.clone());
        match (&self.client, &self.server) {
            (None, None) => Vec::new(),
            (Some(_), None) | (None, Some(_)) => vec![Self::default()],
            (Some(_), Some(_)) => vec![Self { client: None, server }, Self { client, server: None }],
        }
    }
}

/// A class of callers that policies can tell apart: one subject, one group, or anybody; each through whatever acts for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Class {
    /// How it is printed.
    pub(crate) label: String,
    issuer: String,
    sub: String,
    groups: BTreeSet<String>,
    service: bool,
    attributes: Attributes,
    assurance: Option<Assurance>,
}

impl Class {
    /// From a name `issuer/name`; a name without an issuer matches nobody.
    pub(crate) fn group(name: &str) -> Self {
        let (issuer, group) = name.split_once('/').unwrap_or(("", name));
        Self {
            label: format!("group {name}"),
            issuer: issuer.to_owned(),
            sub: ANYBODY.to_owned(),
            groups: BTreeSet::from([group.to_owned()]),
            service: false,
            attributes: Attributes::new(),
            assurance: None,
        }
    }

    pub(crate) fn subject(name: &str, service: bool) -> Self {
        let (issuer, sub) = name.split_once('/').unwrap_or(("", name));
        Self {
            label: format!("{} {name}", if service { "service" } else { "person" }),
            issuer: issuer.to_owned(),
            sub: sub.to_owned(),
            groups: BTreeSet::new(),
            service,
            attributes: Attributes::new(),
            assurance: None,
        }
    }

    /// Somebody who is known, with all his groups.
    pub(crate) fn known(profile: &Profile) -> Self {
        let (issuer, sub) = profile.who.split_once('/').unwrap_or(("", &profile.who));
        Self {
            label: format!(
                "{} {}, as known",
                if profile.service { "service" } else { "person" },
                profile.who
            ),
            issuer: issuer.to_owned(),
            sub: sub.to_owned(),
            groups: profile.groups.iter().map(|group| short(issuer, group)).collect(),
            service: profile.service,
            attributes: profile.attributes.clone(),
            assurance: profile.assurance.clone(),
        }
    }

    pub(crate) fn anybody() -> Self {
        Self {
            label: "anybody".to_owned(),
            issuer: ANYBODY.to_owned(),
            sub: ANYBODY.to_owned(),
            groups: BTreeSet::new(),
            service: false,
            attributes: Attributes::new(),
            assurance: None,
        }
    }

    /// One of the class, through something or not.
    pub(crate) fn member(&self, hand: &Hand, clients: &Clients) -> Delegation {
        let subject =
            Subject { issuer: self.issuer.clone(), kind: kind(self.service), sub: self.sub.clone() };
        Delegation {
            assurance: self.assurance.clone(),
            attributes: self.attributes.clone(),
            client: hand.client.as_deref().map(Arc::from),
            recipient: hand.client.as_deref().and_then(|name| recipient(name, clients)),
            server: hand.server.as_deref().map(|name| server(name, clients)),
            tool: hand.server.as_deref().map(Arc::from),
            ..Delegation::of(subject, self.groups.clone())
        }
    }
}

/// A group as its issuer names it.
fn short(issuer: &str, group: &str) -> String {
    let rest = group.strip_prefix(issuer).and_then(|rest| rest.strip_prefix('/'));
    rest.unwrap_or(group).to_owned()
}

fn kind(service: bool) -> SubjectKind {
    if service { SubjectKind::Service } else { SubjectKind::Person }
}

/// Who sees what a client reads, as identity says it too.
fn recipient(client: &str, clients: &Clients) -> Option<Recipient> {
    clients.get(client)?.recipient.clone()
}

/// A server as it stands in chains, as identity says it too.
fn server(name: &str, clients: &Clients) -> Server {
    let recipient = clients.server(name).and_then(|registered| registered.recipient.clone());
    Server { name: Arc::from(name), recipient }
}
