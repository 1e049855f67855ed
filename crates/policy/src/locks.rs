//! Locks: a subject, a target or a client to whom nothing is open until an administrator lifts the lock, whatever
//! policies say. Who places one, keeps it and puts it on record is the wiring's business.

use std::collections::{BTreeMap, HashMap};

use chaperone_access::{Delegation, SERVER_ISSUER, TargetName};
use serde::{Deserialize, Serialize};

/// Most locks at a time.
pub const LOCKS_MAX: usize = 10_000;

/// What a lock closes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "on", content = "name")]
pub enum LockOn {
    /// Everything that this subject does; written `issuer/subject`.
    Subject(String),
    /// Everything at this target.
    Target(TargetName),
    /// Everything that this client does, for whomever.
    Client(String),
}

impl LockOn {
    /// What kind of thing it is: `subject`, `target` or `client`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Subject(_) => "subject",
            Self::Target(_) => "target",
            Self::Client(_) => "client",
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Subject(name) | Self::Client(name) => name,
            Self::Target(target) => target.as_str(),
        }
    }
}

/// One lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// When it was placed, in microseconds since the Unix epoch.
    pub at: u64,
    /// By whom.
    pub by: String,
    /// Its own name, by which it is lifted.
    pub id: String,
    /// What it closes.
    pub on: LockOn,
    /// Why: for the record and for administrators, never for the one who is locked out.
    pub reason: String,
}

/// Why a lock cannot be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockError {
    /// There are [`LOCKS_MAX`] already.
    Full,
    /// One of that id is there.
    Exists,
}

impl std::fmt::Display for LockError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => {
                write!(f, "there are {LOCKS_MAX} locks already (hint: lift those that have done their work)")
            }
            Self::Exists => f.write_str("a lock of that id is there already"),
        }
    }
}

impl std::error::Error for LockError {}

/// The locks in force.
#[derive(Debug, Clone, Default)]
pub struct Locks {
    by_id: BTreeMap<String, Lock>,
    /// Ids by what they close: several locks may be on one thing, and it opens with the last of them.
    by_place: HashMap<LockOn, Vec<String>>,
}

impl Locks {
    /// Place one.
    ///
    /// # Errors
    /// Too many, or one of that id; nothing changes then.
    pub fn place(&mut self, lock: Lock) -> Result<(), LockError> {
        if self.by_id.len() >= LOCKS_MAX {
            return Err(LockError::Full);
        }
        if self.by_id.contains_key(&lock.id) {
            return Err(LockError::Exists);
        }
        self.by_place.entry(lock.on.clone()).or_default().push(lock.id.clone());
        self.by_id.insert(lock.id.clone(), lock);
        Ok(())
    }

    /// Lift one; `None` where there is none of that id.
    pub fn lift(&mut self, id: &str) -> Option<Lock> {
        let lock = self.by_id.remove(id)?;
        if let Some(ids) = self.by_place.get_mut(&lock.on) {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                self.by_place.remove(&lock.on);
            }
        }
        Some(lock)
    }

    /// One by its id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Lock> {
        self.by_id.get(id)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Lock> {
        self.by_id.values()
    }

    /// The first lock on something.
    #[must_use]
    pub fn on(&self, place: &LockOn) -> Option<&Lock> {
        if self.by_place.is_empty() {
            return None;
        }
        self.by_place.get(place).and_then(|ids| self.by_id.get(ids.first()?))
    }

    /// The lock that closes a target to somebody, if one does: his own, that of his client or of the server that acts for him, or
    /// the target's.
    #[must_use]
    pub fn against(&self, delegation: &Delegation, target: &TargetName) -> Option<&Lock> {
        if self.by_place.is_empty() {
            return None;
        }
        let subject = &delegation.subject;
        let client =
            || delegation.client.as_ref().and_then(|name| self.on(&LockOn::Client(name.to_string())));
        let server = || {
            let server = &delegation.server.as_ref()?.name;
            self.on(&LockOn::Subject(format!("{SERVER_ISSUER}/{server}")))
        };
        self.on(&LockOn::Subject(format!("{}/{}", subject.issuer, subject.sub)))
            .or_else(client)
            .or_else(server)
            .or_else(|| self.on(&LockOn::Target(target.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::delegation;

    fn lock(id: &str, on: LockOn) -> Lock {
        Lock { at: 1, by: "local/administrator".into(), id: id.into(), on, reason: "leaver".into() }
    }

    #[test]
    fn a_lock_closes_what_it_names_and_nothing_else() {
        let (ehr, lab) = (TargetName::new("ehr").unwrap(), TargetName::new("lab").unwrap());
        let (ana, eve) = (delegation("ana", &[], Some("claude")), delegation("eve", &[], None));
        let cases = [
            (LockOn::Subject("dev/ana".into()), [true, true, false, false]),
            (LockOn::Client("claude".into()), [true, true, false, false]),
            (LockOn::Target(ehr.clone()), [true, false, true, false]),
            (LockOn::Subject("other/ana".into()), [false; 4]),
        ];
        for (on, expected) in cases {
            let mut locks = Locks::default();
            locks.place(lock("a", on.clone())).unwrap();
            let closed = [(&ana, &ehr), (&ana, &lab), (&eve, &ehr), (&eve, &lab)]
                .map(|(who, target)| locks.against(who, target).is_some());
            assert_eq!(closed, expected, "{on:?}");
        }
    }

    #[test]
    fn a_lock_on_a_server_closes_what_is_done_through_it() {
        let ehr = TargetName::new("ehr").unwrap();
        let ana = delegation("ana", &[], None);
        let mut locks = Locks::default();
        locks.place(lock("a", LockOn::Subject("server/notes".into()))).unwrap();
        let through = |server| crate::decide::tests::exchanged(ana.clone(), server);
        assert!(locks.against(&through("notes"), &ehr).is_some());
        assert!(locks.against(&through("other"), &ehr).is_none() && locks.against(&ana, &ehr).is_none());
    }

    #[test]
    fn what_several_locks_close_opens_with_the_last() {
        let ehr = TargetName::new("ehr").unwrap();
        let ana = delegation("ana", &[], None);
        let mut locks = Locks::default();
        locks.place(lock("a", LockOn::Subject("dev/ana".into()))).unwrap();
        locks.place(lock("b", LockOn::Subject("dev/ana".into()))).unwrap();
        assert_eq!(locks.place(lock("b", LockOn::Target(ehr.clone()))), Err(LockError::Exists));
        assert!(locks.lift("a").is_some() && locks.against(&ana, &ehr).is_some());
        assert!(locks.lift("a").is_none());
        assert!(locks.lift("b").is_some() && locks.against(&ana, &ehr).is_none());
        assert_eq!(locks.iter().count(), 0);
    }

    #[test]
    fn a_lock_reads_back_from_its_file() {
        let lock = lock("a", LockOn::Target(TargetName::new("ehr").unwrap()));
        let text = serde_json::to_string(&lock).unwrap();
        assert!(text.contains(r#""on":{"on":"target","name":"ehr"}"#), "{text}");
        assert_eq!(serde_json::from_str::<Lock>(&text).unwrap(), lock);
    }
}
