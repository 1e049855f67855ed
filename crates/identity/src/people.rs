//! The people that the gateway has met, and those of them that an administrator disabled.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chaperone_access::Subject;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::standing::Facts;

/// Most people that are kept. One more is refused a login.
pub const PEOPLE_MAX: usize = 200_000;

/// Why somebody may do nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabling {
    /// By whom.
    pub by: String,
    /// Since when, in seconds since the Unix epoch.
    pub at: u64,
    /// Why.
    pub reason: String,
}

/// A subject that logged in at least once, or was disabled before it could.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Who.
    pub subject: Subject,
    /// A name for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// When it last logged in, in seconds since the Unix epoch; absent where it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<u64>,
    /// Why it may do nothing, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabling>,
    /// What its issuer last vouched for, for whoever explains what it may do; absent where it never logged in. Admits
    /// nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
}

/// Where people are kept. Each call returns after the change is durable.
pub trait PeopleStore: Send + Sync {
    /// All of them.
    ///
    /// # Errors
    /// The disk's own.
    fn people(&self) -> io::Result<Vec<Person>>;

    /// Put one, in the place of an earlier one of the same subject.
    ///
    /// # Errors
    /// The disk's own.
    fn put_person(&self, person: &Person) -> io::Result<()>;
}

/// Why a person cannot be changed.
#[derive(Debug, Error)]
pub enum PersonError {
    /// Nobody of that name has logged in.
    #[error("`{0}` is not known here (hint: people are known once they have logged in)")]
    Unknown(String),
    /// It is as asked already.
    #[error("`{0}` is {1} already")]
    Already(String, &'static str),
    /// Over [`PEOPLE_MAX`].
    #[error("the gateway keeps at most {PEOPLE_MAX} people")]
    Full,
    /// The disk's own.
    #[error("people cannot be kept: {0}")]
    Storage(#[from] io::Error),
}

/// A change that was weighed and waits to be recorded: [`People::keep`] makes it so.
#[derive(Debug)]
#[must_use = "nothing has changed yet"]
pub struct PersonChange(Person);

impl PersonChange {
    /// As it will be.
    #[must_use]
    pub fn person(&self) -> &Person {
        &self.0
    }
}

/// Everybody known. The default keeps nothing on disk.
#[derive(Default)]
pub struct People {
    known: RwLock<BTreeMap<Subject, Person>>,
    disabled: AtomicUsize,
    store: Option<Arc<dyn PeopleStore>>,
    /// One change of the table and its file at a time.
    changing: Mutex<()>,
}

impl std::fmt::Debug for People {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "People({} disabled)", self.disabled.load(Ordering::Relaxed))
    }
}

impl People {
    /// Those that were kept.
    ///
    /// # Errors
    /// The disk's own.
    pub fn open(store: Arc<dyn PeopleStore>) -> io::Result<Self> {
        let known: BTreeMap<Subject, Person> =
            store.people()?.into_iter().map(|person| (person.subject.clone(), person)).collect();
        let disabled = known.values().filter(|person| person.disabled.is_some()).count();
        Ok(Self {
            known: RwLock::new(known),
            disabled: AtomicUsize::new(disabled),
            store: Some(store),
            changing: Mutex::default(),
        })
    }

    /// Whether anybody is disabled: without a lock, since each decision asks.
    pub(crate) fn some_disabled(&self) -> bool {
        self.disabled.load(Ordering::Acquire) > 0
    }

    /// Whether this one is.
    #[must_use]
    pub fn is_disabled(&self, subject: &Subject) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(subject).is_some_and(|person| person.disabled.is_some())
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, subject: &Subject) -> Option<Person> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(subject).cloned()
    }

    /// Everybody, in the order of their subjects, from after `after`, at most `limit`.
    #[must_use]
    pub fn list(&self, after: Option<&Subject>, limit: usize) -> Vec<Person> {
        use std::ops::Bound::{Excluded, Unbounded};
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(Unbounded, Excluded);
        known.range::<Subject, _>((from, Unbounded)).take(limit).map(|(_, person)| person.clone()).collect()
    }

    /// Somebody logged in, at `now_s` seconds since the Unix epoch.
    ///
    /// # Errors
    /// Full, or the disk's own.
    pub fn meet(&self, subject: &Subject, display: Option<&str>, now_s: u64) -> Result<(), PersonError> {
        // Read under the turn: a disabling at the same moment is not written over.
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.get(subject);
        if known.is_none() {
            self.room()?;
        }
        let (disabled, facts) = known.map(|known| (known.disabled, known.facts)).unwrap_or_default();
        let display = display.map(str::to_owned);
        self.put(Person { subject: subject.clone(), display, seen_at: Some(now_s), disabled, facts })
    }

    /// An issuer vouches for this of somebody who has logged in.
    ///
    /// # Errors
    /// The disk's own.
    pub(crate) fn learn(&self, facts: &Facts) -> Result<(), PersonError> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        match self.get(&facts.subject) {
            Some(known) if known.facts.as_ref() != Some(facts) => {
                self.put(Person { facts: Some(facts.clone()), ..known })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn room(&self) -> Result<(), PersonError> {
        let count = self.known.read().unwrap_or_else(PoisonError::into_inner).len();
        if count >= PEOPLE_MAX { Err(PersonError::Full) } else { Ok(()) }
    }

    /// What disabling somebody would change. It need not be known yet: a name may be barred in advance.
    ///
    /// # Errors
    /// It is disabled already, or there is no room.
    pub fn weigh_disable(
        &self,
        subject: &Subject,
        reason: &str,
        by: &str,
        now_s: u64,
    ) -> Result<PersonChange, PersonError> {
        let known = self.get(subject);
        if known.is_none() {
            self.room()?;
        }
        let mut person = known.unwrap_or_else(|| Person {
            subject: subject.clone(),
            display: None,
            seen_at: None,
            disabled: None,
            facts: None,
        });
        if person.disabled.is_some() {
            return Err(PersonError::Already(name(subject), "disabled"));
        }
        person.disabled = Some(Disabling { by: by.to_owned(), at: now_s, reason: reason.to_owned() });
        Ok(PersonChange(person))
    }

    /// What enabling somebody again would change.
    ///
    /// # Errors
    /// It is not known, or not disabled.
    pub fn weigh_enable(&self, subject: &Subject) -> Result<PersonChange, PersonError> {
        let mut person = self.get(subject).ok_or_else(|| PersonError::Unknown(name(subject)))?;
        if person.disabled.take().is_none() {
            return Err(PersonError::Already(name(subject), "enabled"));
        }
        Ok(PersonChange(person))
    }

    /// Make a change so. Disabling is in force even where the disk refuses it: the error says that a restart forgets it.
    ///
    /// # Errors
    /// The disk's own; somebody who was to be enabled is not, then.
    pub fn keep(&self, change: PersonChange) -> Result<(), PersonError> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let PersonChange(person) = change;
        if person.disabled.is_some() {
            self.force(person.clone());
        }
        self.put(person)
    }

    /// Durable first, then in force. Under the turn.
    fn put(&self, person: Person) -> Result<(), PersonError> {
        if let Some(store) = &self.store {
            store.put_person(&person)?;
        }
        self.force(person);
        Ok(())
    }

    fn force(&self, person: Person) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let is = person.disabled.is_some();
        let was = known.insert(person.subject.clone(), person).is_some_and(|old| old.disabled.is_some());
        match (was, is) {
            (false, true) => drop(self.disabled.fetch_add(1, Ordering::AcqRel)),
            (true, false) => drop(self.disabled.fetch_sub(1, Ordering::AcqRel)),
            (true, true) | (false, false) => {}
        }
    }
}

/// The words for a subject: issuer and its own name.
pub(crate) fn name(subject: &Subject) -> String {
    format!("{}/{}", subject.issuer, subject.sub)
}
