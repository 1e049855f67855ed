//! Caveats that are too long for a user name: the gateway keeps them, and the credential refers to them.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::caveat::Caveat;
use crate::holder::id;
use crate::only::{Only, Relations, together};

/// Most that are kept, and of one holder.
const KEPT_MAX: usize = 16_384;
const KEPT_OF_ONE_MAX: usize = 256;
/// Longest of one, as text, in bytes.
const KEPT_BYTES_MAX: usize = 64 * 1024;

id! {
    /// Identifies one kept caveat: 9 random bytes. Not a secret: whoever refers to it only takes away.
    KeptCaveatId
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCaveat {
    /// Which one.
    pub id: KeptCaveatId,
    /// Who made it, for the limit of each.
    pub by: String,
    /// What is left, each as [`Only`] is written.
    pub only: Vec<String>,
    /// Forgotten from then on, in seconds since the Unix epoch: the credential is void then.
    pub not_after: u64,
}

/// Where they are kept. Each call returns after the change is durable.
pub trait CaveatStore: Send + Sync {
    /// All of them.
    ///
    /// # Errors
    /// The disk's own.
    fn caveats(&self) -> io::Result<Vec<KeptCaveat>>;

    /// Put one.
    ///
    /// # Errors
    /// The disk's own.
    fn put_caveat(&self, caveat: &KeptCaveat) -> io::Result<()>;

    /// Forget one.
    ///
    /// # Errors
    /// The disk's own.
    fn remove_caveat(&self, id: KeptCaveatId) -> io::Result<()>;
}

/// Why a caveat cannot be kept.
#[derive(Debug, Error)]
pub enum KeepError {
    /// More bytes than are kept of one.
    #[error(
        "the relations and columns are over the limit of {KEPT_BYTES_MAX} bytes together (hint: name fewer)"
    )]
    TooLong,
    /// Over a limit of number.
    #[error(
        "too many credentials have caveats that do not fit a user name (hint: name fewer relations or columns)"
    )]
    TooMany,
    /// No randomness from the system.
    #[error("no randomness from the system")]
    Random,
    /// The disk's own.
    #[error("caveats cannot be kept: {0}")]
    Storage(#[from] io::Error),
}

/// What is known of one.
struct Known {
    by: String,
    relations: Relations,
    not_after: u64,
}

/// All kept caveats. The default keeps none on disk.
#[derive(Default)]
pub struct KeptCaveats {
    table: RwLock<HashMap<KeptCaveatId, Known>>,
    store: Option<Arc<dyn CaveatStore>>,
    /// One change of the table and its files at a time.
    changing: Mutex<()>,
}

fn read(only: &[String]) -> Option<Relations> {
    let all: Option<Vec<Only>> = only.iter().map(|text| text.parse().ok()).collect();
    all.map(together)
}

impl KeptCaveats {
    /// Those that were kept.
    ///
    /// # Errors
    /// The disk's own, or a file that names no relations: what it left is not known.
    pub fn open(store: Arc<dyn CaveatStore>) -> io::Result<Self> {
        let mut table = HashMap::new();
        for KeptCaveat { id, by, only, not_after } in store.caveats()? {
            let relations = read(&only).ok_or_else(|| io::Error::other(format!("kept caveat {id}")))?;
            table.insert(id, Known { by, relations, not_after });
        }
        Ok(Self { table: RwLock::new(table), store: Some(store), ..Self::default() })
    }

    /// Keep one until a credential is void, and what refers to it.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub fn keep(&self, relations: Relations, by: &str, not_after: u64) -> Result<Caveat, KeepError> {
        let written = relations.iter().map(|(relation, columns)| {
            Only { relation: relation.clone(), columns: columns.clone() }.to_string()
        });
        let only: Vec<String> = written.collect();
        if only.iter().map(String::len).sum::<usize>() > KEPT_BYTES_MAX {
            return Err(KeepError::TooLong);
        }
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            let own = table.values().filter(|known| known.by == by).count();
            if table.len() >= KEPT_MAX || own >= KEPT_OF_ONE_MAX {
                return Err(KeepError::TooMany);
            }
        }
        let id = KeptCaveatId::fresh().ok_or(KeepError::Random)?;
        if let Some(store) = &self.store {
            store.put_caveat(&KeptCaveat { id, by: by.to_owned(), only, not_after })?;
        }
        let known = Known { by: by.to_owned(), relations, not_after };
        self.table.write().unwrap_or_else(PoisonError::into_inner).insert(id, known);
        Ok(Caveat::Kept(id))
    }

    /// What is left by one; `None` where it is not known any more.
    pub(crate) fn get(&self, id: KeptCaveatId) -> Option<Relations> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.get(&id).map(|known| known.relations.clone())
    }

    /// Forget those whose time is over at `now_s` seconds since the Unix epoch.
    ///
    /// # Errors
    /// The disk's own.
    pub fn forget(&self, now_s: u64) -> io::Result<()> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old: Vec<KeptCaveatId> = {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            table.iter().filter(|(_, known)| known.not_after <= now_s).map(|(id, _)| *id).collect()
        };
        for id in old {
            if let Some(store) = &self.store {
                store.remove_caveat(id)?;
            }
            self.table.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Disk(Mutex<HashMap<KeptCaveatId, KeptCaveat>>);

    impl CaveatStore for Disk {
        fn caveats(&self) -> io::Result<Vec<KeptCaveat>> {
            Ok(self.0.lock().unwrap().values().cloned().collect())
        }
        fn put_caveat(&self, caveat: &KeptCaveat) -> io::Result<()> {
            self.0.lock().unwrap().insert(caveat.id, caveat.clone());
            Ok(())
        }
        fn remove_caveat(&self, id: KeptCaveatId) -> io::Result<()> {
            self.0.lock().unwrap().remove(&id);
            Ok(())
        }
    }

    fn relations(text: &str) -> Relations {
        together([text.parse::<Only>().unwrap()])
    }

    #[test]
    fn what_is_kept_is_there_after_a_restart_and_until_its_time() {
        let disk = Arc::new(Disk::default());
        let open = || KeptCaveats::open(disk.clone()).unwrap();
        let left = relations("a.b(x, \"Odd, (y)\")");
        let Caveat::Kept(id) = open().keep(left.clone(), "org/ana", 100).unwrap() else { panic!() };
        let again = open();
        assert_eq!(again.get(id), Some(left));
        again.forget(99).unwrap();
        assert!(again.get(id).is_some());
        again.forget(100).unwrap();
        assert!(again.get(id).is_none() && disk.0.lock().unwrap().is_empty());
    }

    #[test]
    fn nobody_takes_all_the_room() {
        let kept = KeptCaveats::default();
        for _ in 0..KEPT_OF_ONE_MAX {
            kept.keep(relations("a.b"), "org/ana", 100).unwrap();
        }
        assert!(matches!(kept.keep(relations("a.b"), "org/ana", 100), Err(KeepError::TooMany)));
        kept.keep(relations("a.b"), "org/ben", 100).unwrap();
        let long = relations(&format!("a.b({})", "x".repeat(KEPT_BYTES_MAX)));
        assert!(matches!(kept.keep(long, "org/eva", 100), Err(KeepError::TooLong)));
    }
}
