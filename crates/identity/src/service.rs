//! Services of this installation: programs with an owner and keys that expire.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chaperone_access::{Subject, SubjectKind};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::holder::{SERVICE_PREFIX, SecretHash, id};
use crate::people::{People, name};
use crate::standing::{EndCause, Ending, Facts, Standing};

/// The issuer of services that this installation made.
pub const LOCAL_ISSUER: &str = "local";
/// The name under which the administrator's token stands in the record: no service has it.
const RESERVED: &str = "administrator";
/// Most services.
pub const SERVICES_MAX: usize = 10_000;
/// Longest life of a key, in seconds: a year.
pub const KEY_S_MAX: u64 = 366 * 24 * 3600;
/// Longest time that a rotated key still holds beside the new one, in seconds: a week.
pub const OVERLAP_S_MAX: u64 = 7 * 24 * 3600;
/// Most keys of a service that are kept; the oldest dead one is forgotten for a new one.
const KEYS_MAX: usize = 8;
/// Most groups of a service.
const GROUPS_MAX: usize = 64;
/// Longest name of a service or group, in bytes.
const NAME_BYTES_MAX: usize = 63;

id! {
    /// Identifies one key of a service: 9 random bytes. Not a secret.
    ServiceKeyId
}

/// One key. Kept without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceKey {
    /// Which one.
    pub id: ServiceKeyId,
    /// When it was made, in seconds since the Unix epoch.
    pub made_at: u64,
    /// Void from, in seconds since the Unix epoch.
    pub not_after: u64,
    /// Hash of its secret.
    pub secret: SecretHash,
}

/// One service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Service {
    /// Its name: `sub` of the subject `local/<name>`.
    pub name: String,
    /// The person who answers for it. While that one is disabled, it may do nothing.
    pub owner: Subject,
    /// Its groups.
    pub groups: BTreeSet<String>,
    /// When it was made, in seconds since the Unix epoch.
    pub made_at: u64,
    /// Its keys, newest last.
    pub keys: Vec<ServiceKey>,
    /// How it was revoked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Ending>,
}

impl Service {
    /// As whom it acts.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject { issuer: LOCAL_ISSUER.to_owned(), kind: SubjectKind::Service, sub: self.name.clone() }
    }
}

/// Where services are kept. Each call returns after the change is durable.
pub trait ServiceStore: Send + Sync {
    /// All of them.
    ///
    /// # Errors
    /// The disk's own.
    fn services(&self) -> io::Result<Vec<Service>>;

    /// Put one, in the place of an earlier one of the same name.
    ///
    /// # Errors
    /// The disk's own.
    fn put_service(&self, service: &Service) -> io::Result<()>;
}

/// Why a service cannot be made or changed.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// Not a name.
    #[error(
        "`{0}` is not a name (hint: 1 to 63 characters of a-z, 0-9, `-` and `_`, beginning with a letter)"
    )]
    Name(String),
    /// There is one of that name; a revoked one's name is not used again.
    #[error("there is a service `{0}` (hint: revoked names stay taken, so that the record is unambiguous)")]
    Exists(String),
    /// There is none of that name, or it is revoked.
    #[error("there is no service `{0}`")]
    Unknown(String),
    /// The owner has never logged in, is no person or is disabled. Which of these is nobody's who may not list people.
    #[error(
        "`{0}` cannot own a service: no person of that name has logged in here and is enabled (hint: `chaperone people list` \
         shows who is; whoever is missing there runs `chaperone login` once, whoever is disabled needs \
         `chaperone people enable`)"
    )]
    Owner(String),
    /// The expiry is over a limit.
    #[error("a key lives 1 second to 366 days, and a rotated one at most 7 days more")]
    Life,
    /// Too many services, or groups of one.
    #[error("at most {SERVICES_MAX} services, and {GROUPS_MAX} groups of one")]
    Full,
    /// Another change came first.
    #[error("the service changed at the same moment (hint: try again)")]
    Raced,
    /// No randomness from the system.
    #[error("no randomness from the system")]
    Random,
    /// The disk's own.
    #[error("services cannot be kept: {0}")]
    Storage(#[from] io::Error),
}

/// A change that was weighed and waits to be recorded: [`Services::keep`] brings it into force.
#[must_use = "nothing has changed yet"]
pub struct ServiceChange {
    service: Service,
    /// The new key's text, where there is one.
    shown: Option<Zeroizing<String>>,
    revision: Option<u64>,
}

impl ServiceChange {
    /// As it will be kept.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }
}

struct Kept {
    service: Service,
    revision: u64,
    /// One a key.
    standings: HashMap<ServiceKeyId, Arc<Standing>>,
}

/// All services. The default keeps nothing on disk.
#[derive(Default)]
pub struct Services {
    table: RwLock<Table>,
    people: Arc<People>,
    store: Option<Arc<dyn ServiceStore>>,
    changing: Mutex<()>,
}

#[derive(Default)]
struct Table {
    by_name: BTreeMap<String, Kept>,
    by_key: HashMap<ServiceKeyId, String>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Services(..)")
    }
}

fn plain(text: &str) -> bool {
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest =
        text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    starts && rest && text.len() <= NAME_BYTES_MAX
}

fn group(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && !text.chars().any(|char| char.is_control() || char == ',')
}

/// A key that lives `ttl_s` seconds from `now_s`, with its text.
fn fresh_key(now_s: u64, ttl_s: u64) -> Result<(ServiceKey, Zeroizing<String>), ServiceError> {
    if !(1..=KEY_S_MAX).contains(&ttl_s) {
        return Err(ServiceError::Life);
    }
    let id = ServiceKeyId::fresh().ok_or(ServiceError::Random)?;
    let (text, secret) = SecretHash::fresh(SERVICE_PREFIX, &id).ok_or(ServiceError::Random)?;
    Ok((ServiceKey { id, made_at: now_s, not_after: now_s.saturating_add(ttl_s), secret }, text))
}

impl Services {
    /// Those that were kept.
    ///
    /// # Errors
    /// The disk's own.
    pub fn open(store: Arc<dyn ServiceStore>, people: Arc<People>) -> io::Result<Self> {
        let services = store.services()?;
        let this = Self { people, store: Some(store), ..Self::default() };
        for service in services {
            this.force(service);
        }
        Ok(this)
    }

    /// One by its name, revoked or not.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Service> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.by_name.get(name).map(|kept| kept.service.clone())
    }

    /// One by a key of its own, with the key's standing.
    #[must_use]
    pub fn by_key(&self, key: ServiceKeyId) -> Option<(Service, Arc<Standing>)> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let kept = table.by_name.get(table.by_key.get(&key)?)?;
        Some((kept.service.clone(), kept.standings.get(&key)?.clone()))
    }

    /// Services in the order of their names, from after `after`, at most `limit`, revoked ones included.
    #[must_use]
    pub fn list(&self, after: Option<&str>, limit: usize) -> Vec<Service> {
        use std::ops::Bound::{Excluded, Unbounded};
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(Unbounded, Excluded);
        let kept = table.by_name.range::<str, _>((from, Unbounded));
        kept.take(limit).map(|(_, kept)| kept.service.clone()).collect()
    }

    /// Those of an owner that are not revoked.
    #[must_use]
    pub fn owned_by(&self, owner: &Subject) -> Vec<Service> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let all = table.by_name.values().map(|kept| &kept.service);
        all.filter(|service| service.revoked.is_none() && service.owner == *owner).cloned().collect()
    }

    fn owner_stands(&self, owner: &Subject) -> Result<(), ServiceError> {
        let known = self.people.get(owner).filter(|person| person.seen_at.is_some());
        let stands =
            owner.kind == SubjectKind::Person && known.is_some_and(|person| person.disabled.is_none());
        if stands { Ok(()) } else { Err(ServiceError::Owner(name(owner))) }
    }

    /// A new service with its first key, which lives `ttl_s` seconds from `now_s`. It holds once it is kept.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub fn create(
        &self,
        service: &str,
        owner: Subject,
        groups: BTreeSet<String>,
        now_s: u64,
        ttl_s: u64,
    ) -> Result<ServiceChange, ServiceError> {
        if !plain(service) || service == RESERVED {
            return Err(ServiceError::Name(service.to_owned()));
        }
        if let Some(group) = groups.iter().find(|name| !group(name)) {
            return Err(ServiceError::Name(group.clone()));
        }
        let full = self.table.read().unwrap_or_else(PoisonError::into_inner).by_name.len() >= SERVICES_MAX;
        if full || groups.len() > GROUPS_MAX {
            return Err(ServiceError::Full);
        }
        if self.get(service).is_some() {
            return Err(ServiceError::Exists(service.to_owned()));
        }
        self.owner_stands(&owner)?;
        let (key, shown) = fresh_key(now_s, ttl_s)?;
        let service = Service {
            name: service.to_owned(),
            owner,
            groups,
            made_at: now_s,
            keys: vec![key],
            revoked: None,
        };
        Ok(ServiceChange { service, shown: Some(shown), revision: None })
    }

    fn weighed(&self, name: &str) -> Result<(Service, u64), ServiceError> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let kept = table.by_name.get(name).filter(|kept| kept.service.revoked.is_none());
        kept.map(|kept| (kept.service.clone(), kept.revision))
            .ok_or_else(|| ServiceError::Unknown(name.to_owned()))
    }

    /// A new key beside the old ones, which end at `now_s + overlap_s` at the latest.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub fn rotate(
        &self,
        service: &str,
        now_s: u64,
        ttl_s: u64,
        overlap_s: u64,
    ) -> Result<ServiceChange, ServiceError> {
        let (mut service, revision) = self.weighed(service)?;
        self.owner_stands(&service.owner)?;
        if overlap_s > OVERLAP_S_MAX {
            return Err(ServiceError::Life);
        }
        let (key, shown) = fresh_key(now_s, ttl_s)?;
        for old in &mut service.keys {
            old.not_after = old.not_after.min(now_s.saturating_add(overlap_s));
        }
        if service.keys.len() >= KEYS_MAX {
            service.keys.retain(|old| old.not_after > now_s);
        }
        // Eight rotations within one overlap: the oldest goes at once.
        if service.keys.len() >= KEYS_MAX {
            service.keys.remove(0);
        }
        service.keys.push(key);
        Ok(ServiceChange { service, shown: Some(shown), revision: Some(revision) })
    }

    /// The end of a service and all its keys.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn revoke(&self, service: &str, ending: Ending) -> Result<ServiceChange, ServiceError> {
        let (mut service, revision) = self.weighed(service)?;
        service.revoked = Some(ending);
        Ok(ServiceChange { service, shown: None, revision: Some(revision) })
    }

    /// Bring a change into force; the new key's text, where there is one, shown this once. A revocation is in force
    /// even where the disk refuses it: the error says that a restart forgets it.
    ///
    /// # Errors
    /// Another change came first, or the disk's own.
    pub fn keep(&self, change: ServiceChange) -> Result<(Service, Option<Zeroizing<String>>), ServiceError> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let ServiceChange { service, shown, revision } = change;
        let now = {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            table.by_name.get(&service.name).map(|kept| kept.revision)
        };
        if now != revision {
            return Err(ServiceError::Raced);
        }
        if service.revoked.is_some() {
            self.force(service.clone());
        }
        if let Some(store) = &self.store {
            store.put_service(&service)?;
        }
        self.force(service.clone());
        Ok((service, shown))
    }

    /// Put it into the table, carrying over the standings of keys that stay.
    fn force(&self, service: Service) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let before = table.by_name.remove(&service.name);
        let revision = before.as_ref().map_or(0, |kept| kept.revision + 1);
        let mut old = before.map(|kept| kept.standings).unwrap_or_default();
        let mut standings = HashMap::new();
        for key in &service.keys {
            let standing = old.remove(&key.id).unwrap_or_else(|| Arc::new(self.standing(&service, key)));
            standing.shorten(key.not_after);
            if let Some(ending) = &service.revoked {
                standing.end(ending.clone());
            }
            standings.insert(key.id, standing);
            table.by_key.insert(key.id, service.name.clone());
        }
        let at = service.keys.last().map_or(service.made_at, |newest| newest.made_at);
        for (id, standing) in old {
            // Sessions may hold it still.
            standing.end(Ending { cause: EndCause::Rotated, learned_at_us: at.saturating_mul(1_000_000) });
            table.by_key.remove(&id);
        }
        table.by_name.insert(service.name.clone(), Kept { service, revision, standings });
    }

    fn standing(&self, service: &Service, key: &ServiceKey) -> Standing {
        let facts = Facts::of(service.subject(), service.groups.clone());
        Standing::new(facts, key.not_after, Some(service.owner.clone()), self.people.clone())
    }
}

#[cfg(test)]
mod tests;
