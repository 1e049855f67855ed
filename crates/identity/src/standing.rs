//! What is true of a holder now. Principals share it, so that a change reaches open sessions at once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use chaperone_access::{Assurance, Attributes, Subject};
use serde::{Deserialize, Serialize};

use crate::people::People;

/// What an issuer vouches for. Whoever builds one grants nothing: only [`crate::Identity`] makes principals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Who.
    pub subject: Subject,
    /// A name for people to read; never part of the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// Groups that the issuer put the subject in.
    pub groups: BTreeSet<String>,
    /// Declared attributes.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
    /// How the subject authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assurance: Option<Assurance>,
    /// The OAuth client that the issuer's token was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth_client: Option<String>,
}

impl Facts {
    /// A subject in these groups, and nothing more.
    #[must_use]
    pub fn of(subject: Subject, groups: BTreeSet<String>) -> Self {
        Self {
            subject,
            display: None,
            groups,
            attributes: Attributes::new(),
            assurance: None,
            oauth_client: None,
        }
    }
}

/// Why a holder is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// Its holder logged out.
    Logout,
    /// The issuer said so (OpenID Connect Back-Channel Logout 1.0).
    BackChannel,
    /// The issuer does not hold its token for active any more (RFC 7662).
    Revoked,
    /// An administrator ended it.
    Administrator,
    /// Its subject was disabled.
    Disabled,
    /// It was recorded, and could not be kept.
    NotKept,
    /// Its time is over.
    Expired,
    /// Its issuer is not configured any more.
    IssuerRemoved,
    /// Another key took its place.
    Rotated,
}

impl EndCause {
    /// The word in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::BackChannel => "back_channel",
            Self::Revoked => "revoked",
            Self::Administrator => "administrator",
            Self::Disabled => "disabled",
            Self::NotKept => "not_kept",
            Self::Expired => "expired",
            Self::IssuerRemoved => "issuer_removed",
            Self::Rotated => "rotated",
        }
    }
}

/// An end, and when the gateway learned of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Why.
    pub cause: EndCause,
    /// When the gateway learned of it, in microseconds since the Unix epoch.
    pub learned_at_us: u64,
}

/// Why a standing admits nobody at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lapse {
    /// It is over for good.
    Ended(Ending),
    /// Its time is over; nobody has marked its end yet.
    Expired,
    /// Its issuer has not been heard for too long. A fresh token makes it hold again.
    Overdue,
    /// The subject, or the owner of the service, is disabled.
    Disabled,
}

impl Lapse {
    /// The word in the record.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ended(ending) => ending.cause.as_str(),
            Self::Expired => "expired",
            Self::Overdue => "overdue",
            Self::Disabled => "disabled",
        }
    }
}

/// The live facts behind a principal. Shared; whoever holds one sees each change.
#[derive(Debug)]
pub struct Standing {
    facts: RwLock<Arc<Facts>>,
    version: AtomicU64,
    ended: OnceLock<Ending>,
    /// Not checked again before this second, it is overdue. `u64::MAX`: it is never checked again.
    due_s: AtomicU64,
    not_after_s: AtomicU64,
    /// A person without whom a service does not stand.
    owner: Option<Subject>,
    people: Arc<People>,
}

impl Standing {
    /// With these facts, until `not_after_s` seconds since the Unix epoch. It lapses while `people` has its subject, or
    /// the owner of its service, as disabled.
    #[must_use]
    pub fn new(facts: Facts, not_after_s: u64, owner: Option<Subject>, people: Arc<People>) -> Self {
        Self {
            facts: RwLock::new(Arc::new(facts)),
            version: AtomicU64::new(0),
            ended: OnceLock::new(),
            due_s: AtomicU64::new(u64::MAX),
            not_after_s: AtomicU64::new(not_after_s),
            owner,
            people,
        }
    }

    /// Moves whenever facts change or it ends: whoever derived something from them begins anew.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The facts now.
    #[must_use]
    pub fn facts(&self) -> Arc<Facts> {
        self.facts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it admits anybody at `now_s` seconds since the Unix epoch. To be asked at each decision.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, now_s: u64) -> Result<(), Lapse> {
        if let Some(ending) = self.ended.get() {
            return Err(Lapse::Ended(ending.clone()));
        }
        if now_s >= self.not_after_s.load(Ordering::Acquire) {
            return Err(Lapse::Expired);
        }
        if self.people.some_disabled() {
            let facts = self.facts();
            let owner_disabled = self.owner.as_ref().is_some_and(|owner| self.people.is_disabled(owner));
            if owner_disabled || self.people.is_disabled(&facts.subject) {
                return Err(Lapse::Disabled);
            }
        }
        if now_s >= self.due_s.load(Ordering::Acquire) {
            return Err(Lapse::Overdue);
        }
        Ok(())
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<&Ending> {
        self.ended.get()
    }

    /// Void from, in seconds since the Unix epoch.
    #[must_use]
    pub fn not_after_s(&self) -> u64 {
        self.not_after_s.load(Ordering::Acquire)
    }

    /// Overdue from, in seconds since the Unix epoch; `None` where nothing is checked again.
    #[must_use]
    pub fn due_s(&self) -> Option<u64> {
        let due = self.due_s.load(Ordering::Acquire);
        (due != u64::MAX).then_some(due)
    }

    /// Other facts hold from now on. The version moves only where they differ.
    pub fn learn(&self, facts: Facts) {
        let mut now = self.facts.write().unwrap_or_else(PoisonError::into_inner);
        if **now != facts {
            *now = Arc::new(facts);
            // After the facts: whoever sees the new version sees the new facts too.
            self.version.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The issuer was heard: it is due again at `due_s` and void from `not_after_s`, in seconds since the Unix epoch.
    pub(crate) fn checked(&self, due_s: Option<u64>, not_after_s: u64) {
        self.due_s.store(due_s.unwrap_or(u64::MAX), Ordering::Release);
        self.not_after_s.store(not_after_s, Ordering::Release);
    }

    /// Shorten its life, as a rotation does.
    pub(crate) fn shorten(&self, not_after_s: u64) {
        self.not_after_s.fetch_min(not_after_s, Ordering::AcqRel);
    }

    /// It is over. The first cause stays.
    pub(crate) fn end(&self, ending: Ending) {
        if self.ended.set(ending).is_ok() {
            self.version.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use chaperone_access::SubjectKind;

    use super::*;

    #[test]
    fn every_lapse_is_seen_at_once() {
        let person =
            |sub: &str| Subject { issuer: "acme".into(), kind: SubjectKind::Person, sub: sub.into() };
        let people = Arc::new(People::default());
        let facts = Facts::of(person("ana"), BTreeSet::from(["nurses".to_owned()]));
        let standing = Standing::new(facts.clone(), 1000, Some(person("boss")), people.clone());
        assert_eq!((standing.check(999), standing.check(1000)), (Ok(()), Err(Lapse::Expired)));
        standing.checked(Some(500), 1000);
        assert_eq!((standing.check(499), standing.check(500)), (Ok(()), Err(Lapse::Overdue)));
        standing.learn(facts.clone());
        assert_eq!(standing.version(), 0);
        standing.learn(Facts { groups: BTreeSet::new(), ..facts });
        assert_eq!((standing.version(), standing.facts().groups.len()), (1, 0));
        for who in ["ana", "boss"] {
            people.meet(&person(who), None, 1).unwrap();
            let disabled = people.weigh_disable(&person(who), "left", "ops", 7).unwrap();
            people.keep(disabled).unwrap();
            assert_eq!(standing.check(1), Err(Lapse::Disabled));
            people.keep(people.weigh_enable(&person(who)).unwrap()).unwrap();
            assert_eq!(standing.check(1), Ok(()));
        }
        let ending = Ending { cause: EndCause::Logout, learned_at_us: 3 };
        standing.end(ending.clone());
        standing.end(Ending { cause: EndCause::Expired, learned_at_us: 4 });
        assert_eq!((standing.check(1), standing.version()), (Err(Lapse::Ended(ending)), 2));
    }
}
