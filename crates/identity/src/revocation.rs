//! Credentials that were taken back before their end. What their holders narrowed them to carries the same id, and goes
//! with them.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::authenticate::Revocations;
use crate::credential::{CREDENTIAL_S_MAX, CredentialId};

/// Most revocations that are kept at a time.
pub const REVOCATIONS_MAX: usize = 10_000;
/// Seconds after which a revocation is forgotten: no credential lives so long. An hour is for clocks that are set back.
const KEPT_S: u64 = CREDENTIAL_S_MAX + 3600;

/// That one credential was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// When the gateway learned of it, in microseconds since the Unix epoch.
    pub at: u64,
    /// By whom.
    pub by: String,
    /// Which credential.
    pub credential: CredentialId,
    /// Why: for the record and for administrators, never for its holder.
    pub reason: String,
}

impl Revocation {
    /// Whether the credential is void by its own time, so that nothing has to remember it. `now_us` is in microseconds
    /// since the Unix epoch.
    #[must_use]
    pub fn is_over(&self, now_us: u64) -> bool {
        now_us.saturating_sub(self.at) / 1_000_000 >= KEPT_S
    }
}

/// The revocations that count.
#[derive(Debug, Default)]
pub struct Revoked {
    table: RwLock<BTreeMap<CredentialId, Revocation>>,
}

impl Revoked {
    /// With those that were kept. Those that are over are to be left out before.
    #[must_use]
    pub fn new(kept: impl IntoIterator<Item = Revocation>) -> Self {
        let table = kept.into_iter().map(|revocation| (revocation.credential, revocation)).collect();
        Self { table: RwLock::new(table) }
    }

    /// Whether and how a credential was taken back.
    #[must_use]
    pub fn of(&self, credential: CredentialId) -> Option<Revocation> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).get(&credential).cloned()
    }

    /// All of them, by credential.
    #[must_use]
    pub fn list(&self) -> Vec<Revocation> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether there is room for one more.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.table.read().unwrap_or_else(PoisonError::into_inner).len() < REVOCATIONS_MAX
    }

    /// It is taken back from now on. The first revocation of a credential stays.
    pub fn revoke(&self, revocation: Revocation) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.entry(revocation.credential).or_insert(revocation);
    }

    /// Forget those whose credentials are void by their own time; which ones. `now_us` is in microseconds since the Unix
    /// epoch.
    pub fn forget(&self, now_us: u64) -> Vec<CredentialId> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let over: Vec<CredentialId> =
            table.values().filter(|one| one.is_over(now_us)).map(|one| one.credential).collect();
        for credential in &over {
            table.remove(credential);
        }
        over
    }
}

impl Revocations for Revoked {
    fn is_revoked(&self, credential: CredentialId) -> bool {
        self.table.read().unwrap_or_else(PoisonError::into_inner).contains_key(&credential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(id: u8, at: u64) -> Revocation {
        Revocation { at, by: "org/ops".into(), credential: CredentialId([id; 8]), reason: "lost".into() }
    }

    #[test]
    fn a_revocation_is_kept_for_as_long_as_a_credential_can_live() {
        let revoked = Revoked::new([revocation(1, 0)]);
        let life_us = CREDENTIAL_S_MAX * 1_000_000;
        revoked.revoke(revocation(2, life_us));
        revoked.revoke(Revocation { reason: "again".into(), ..revocation(2, life_us + 5) });
        assert_eq!(revoked.of(CredentialId([2; 8])), Some(revocation(2, life_us)));
        assert_eq!(revoked.forget(life_us), []);
        assert!(revoked.is_revoked(CredentialId([1; 8])) && !revoked.is_revoked(CredentialId([3; 8])));
        assert_eq!(revoked.forget(KEPT_S * 1_000_000), [CredentialId([1; 8])]);
        assert!(!revoked.is_revoked(CredentialId([1; 8])) && revoked.is_revoked(CredentialId([2; 8])));
    }

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = CredentialId([250, 1, 2, 3, 4, 5, 6, 255]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "AAAA", "AAAAAAAAAAAA", "AAAAAAAAAA=", "../../../etc"] {
            assert!(wrong.parse::<CredentialId>().is_err(), "{wrong}");
        }
        let kept = serde_json::to_string(&revocation(7, 3)).unwrap();
        assert_eq!(serde_json::from_str::<Revocation>(&kept).unwrap(), revocation(7, 3));
    }
}
