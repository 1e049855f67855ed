//! How unqualified names resolve. PostgreSQL takes search path and temporary relations back with the transaction in which they
//! were moved, and so does this: what a name is taken for must be what the target would take it for.

use std::sync::Arc;

use chaperone_access::TransactionStep;
use chaperone_wire::Names;

/// Temporary relations of a session whose names are known; further ones cannot be used by who is seen in part.
const TEMPORARY_MAX: usize = 1_000;
/// Savepoints of a transaction that are known. Going back to one before those is taken for going back to its beginning.
const SAVEPOINTS_MAX: usize = 1_000;

/// How names resolve now, and where the open transaction leads back to.
pub(super) struct Resolving {
    now: Names,
    /// The path that the session has once the transaction is committed, where `SET LOCAL` has put another one before it.
    lasting: Option<Arc<[Arc<str>]>>,
    /// Before the open transaction, which PostgreSQL begins with the first statement of a string or pipeline.
    kept: Names,
    savepoints: Vec<Savepoint>,
    /// Temporary relations that go when the transaction ends, all of which are known.
    passing: Arc<[Arc<str>]>,
    /// There may be temporary relations that are not known.
    unseen: bool,
    /// Something has failed since the target was ready last.
    failed: bool,
}

struct Savepoint {
    name: Arc<str>,
    now: Names,
    lasting: Option<Arc<[Arc<str>]>>,
    passing: Arc<[Arc<str>]>,
}

impl Resolving {
    pub(super) fn new(names: Names) -> Self {
        let (kept, savepoints, passing) = (names.clone(), Vec::new(), Arc::from([]));
        Self { now: names, lasting: None, kept, savepoints, passing, unseen: false, failed: false }
    }

    pub(super) fn now(&self) -> &Names {
        &self.now
    }

    /// Whether the end of the transaction, or of a part of it, may change what names mean.
    pub(super) fn may_move(&self) -> bool {
        self.now != self.kept || self.lasting.is_some() || !self.passing.is_empty()
    }

    /// The path was set; `local` where that is for as long as the transaction lasts.
    pub(super) fn look_in(&mut self, path: Arc<[Arc<str>]>, local: bool) {
        let before = std::mem::replace(&mut self.now.path, path);
        self.lasting = local.then(|| self.lasting.take().unwrap_or(before));
    }

    /// After DISCARD ALL.
    pub(super) fn forget(&mut self, fresh: Names) {
        *self = Self::new(fresh);
    }

    /// A temporary relation was made, or one of its name was there and stays what it is; `passing` where it goes with the
    /// transaction if it was made.
    pub(super) fn make(&mut self, name: &Arc<str>, passing: bool) {
        if self.knows(name) {
            return;
        }
        if self.now.temporary.len() >= TEMPORARY_MAX {
            self.unseen = true;
            return;
        }
        self.now.temporary = self.now.temporary.iter().chain([name]).cloned().collect();
        if passing {
            self.passing = self.passing.iter().chain([name]).cloned().collect();
        }
    }

    pub(super) fn drop(&mut self, names: &[Arc<str>]) {
        for known in [&mut self.now.temporary, &mut self.passing] {
            *known = known.iter().filter(|known| !names.contains(known)).cloned().collect();
        }
    }

    fn knows(&self, name: &Arc<str>) -> bool {
        self.now.temporary.contains(name)
    }

    /// Whether there may be a temporary relation of that name which is not known.
    pub(super) fn may_miss(&self, name: &Arc<str>) -> bool {
        self.unseen && !self.knows(name)
    }

    /// From now on there may be temporary relations that are not known.
    pub(super) fn lose_sight(&mut self) {
        self.unseen = true;
    }

    /// Something has failed: without a transaction of its own, what was done before it since then is taken back.
    pub(super) fn fail(&mut self) {
        self.failed = true;
    }

    /// The target is ready. Whether names were taken back.
    pub(super) fn ready(&mut self, idle: bool) -> Moved {
        let failed = std::mem::take(&mut self.failed);
        match idle {
            true if failed => self.back(),
            true => self.keep(),
            false => Moved::Nothing,
        }
    }

    /// A transaction statement has succeeded. `committed` where the target says COMMIT of one that ends it, which it does not
    /// where the transaction had failed.
    pub(super) fn step(&mut self, step: &TransactionStep, committed: bool) -> Moved {
        match step {
            TransactionStep::Begin => Moved::Nothing,
            TransactionStep::Commit | TransactionStep::Prepare if committed => self.keep(),
            TransactionStep::Commit | TransactionStep::Prepare | TransactionStep::Rollback => self.back(),
            TransactionStep::Savepoint { name } => {
                if self.savepoints.len() >= SAVEPOINTS_MAX {
                    let first = self.savepoints.remove(0);
                    // Of those, going back to it leaves what is taken to be gone.
                    self.unseen |= first.now.temporary != self.kept.temporary;
                }
                let (name, now, lasting) = (name.clone(), self.now.clone(), self.lasting.clone());
                self.savepoints.push(Savepoint { name, now, lasting, passing: self.passing.clone() });
                Moved::Nothing
            }
            TransactionStep::Release { name } => {
                let place = self.savepoints.iter().rposition(|known| known.name == *name);
                self.savepoints.truncate(place.unwrap_or(0));
                Moved::Nothing
            }
            TransactionStep::RollbackTo { name } => {
                let place = self.savepoints.iter().rposition(|known| known.name == *name);
                self.savepoints.truncate(place.map_or(0, |place| place + 1));
                let before = self.savepoints.last();
                self.now = before.map_or(&self.kept, |before| &before.now).clone();
                self.lasting = before.and_then(|before| before.lasting.clone());
                self.passing = before.map_or_else(|| Arc::from([]), |before| before.passing.clone());
                Moved::BackTo
            }
        }
    }

    fn keep(&mut self) -> Moved {
        if !self.passing.is_empty() {
            self.drop(&self.passing.clone());
        }
        if let Some(path) = self.lasting.take() {
            self.now.path = path;
        }
        self.kept = self.now.clone();
        self.savepoints.clear();
        Moved::On
    }

    fn back(&mut self) -> Moved {
        self.now = self.kept.clone();
        self.lasting = None;
        self.savepoints.clear();
        self.passing = Arc::from([]);
        Moved::Back
    }
}

/// What a transaction has done to names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Nothing,
    /// They stay as they are.
    On,
    /// They may be what they were before: temporary relations that were dropped may be there again.
    Back,
    /// The same within a transaction, which goes on and may still be taken back further.
    BackTo,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str, temporary: &[&str]) -> Names {
        let temporary = temporary.iter().map(|name| Arc::from(*name)).collect();
        Names { path: [Arc::from(path)].into(), temporary }
    }

    fn moved(path: &str) -> Resolving {
        let mut resolving = Resolving::new(names("public", &[]));
        resolving.look_in([Arc::from(path)].into(), false);
        resolving
    }

    fn named(step: fn(Arc<str>) -> TransactionStep, name: &str) -> TransactionStep {
        step(Arc::from(name))
    }

    fn savepoint(name: Arc<str>) -> TransactionStep {
        TransactionStep::Savepoint { name }
    }

    fn back_to(name: Arc<str>) -> TransactionStep {
        TransactionStep::RollbackTo { name }
    }

    #[test]
    fn what_a_transaction_moved_goes_back_with_it() {
        for (step, committed, path) in [
            (TransactionStep::Commit, true, "more"),
            (TransactionStep::Commit, false, "public"),
            (TransactionStep::Rollback, false, "public"),
        ] {
            let mut resolving = moved("more");
            assert!(resolving.may_move());
            resolving.step(&step, committed);
            assert_eq!(*resolving.now(), names(path, &[]), "{step:?} {committed}");
            assert!(!resolving.may_move());
            // A transaction that goes on (AND CHAIN) leads back to what was kept.
            resolving.look_in([Arc::from("other")].into(), false);
            resolving.step(&TransactionStep::Rollback, false);
            assert_eq!(*resolving.now(), names(path, &[]), "{step:?} {committed}");
        }
    }

    /// Set, until the transaction ends.
    fn locally(resolving: &mut Resolving, path: &str) {
        resolving.look_in([Arc::from(path)].into(), true);
    }

    #[test]
    fn a_path_of_a_transaction_goes_with_it_however_it_ends() {
        for (step, committed, path) in [
            (TransactionStep::Commit, true, "lasting"),
            (TransactionStep::Commit, false, "public"),
            (TransactionStep::Rollback, false, "public"),
            (TransactionStep::Prepare, true, "lasting"),
        ] {
            let mut resolving = moved("lasting");
            locally(&mut resolving, "one");
            locally(&mut resolving, "public");
            assert!(resolving.may_move(), "it looks as before, and is to be another");
            assert_eq!(*resolving.now(), names("public", &[]));
            resolving.step(&step, committed);
            assert_eq!(*resolving.now(), names(path, &[]), "{step:?} {committed}");
            assert!(!resolving.may_move());
            // The next transaction (AND CHAIN) knows nothing of it.
            locally(&mut resolving, "two");
            resolving.step(&TransactionStep::Commit, true);
            assert_eq!(*resolving.now(), names(path, &[]), "{step:?} {committed}");
        }
    }

    #[test]
    fn a_path_that_is_set_after_one_of_the_transaction_lasts() {
        let mut resolving = Resolving::new(names("public", &[]));
        locally(&mut resolving, "one");
        resolving.look_in([Arc::from("more")].into(), false);
        resolving.step(&TransactionStep::Commit, true);
        assert_eq!(*resolving.now(), names("more", &[]));
    }

    #[test]
    fn a_path_without_a_transaction_of_its_own_goes_with_what_it_came_with() {
        for failed in [false, true] {
            let mut resolving = Resolving::new(names("public", &[]));
            locally(&mut resolving, "one");
            assert_eq!(*resolving.now(), names("one", &[]), "for the rest of a string or pipeline");
            if failed {
                resolving.fail();
            }
            resolving.ready(true);
            assert_eq!(*resolving.now(), names("public", &[]));
        }
        let mut resolving = Resolving::new(names("public", &[]));
        locally(&mut resolving, "one");
        resolving.ready(false);
        assert_eq!(*resolving.now(), names("one", &[]), "the transaction goes on");
    }

    #[test]
    fn a_path_of_a_transaction_goes_back_to_a_savepoint_and_past_its_release() {
        let mut resolving = Resolving::new(names("public", &[]));
        resolving.step(&named(savepoint, "before"), false);
        locally(&mut resolving, "one");
        resolving.step(&named(savepoint, "a"), false);
        locally(&mut resolving, "two");
        resolving.step(&named(savepoint, "b"), false);
        resolving.look_in([Arc::from("more")].into(), false);
        resolving.step(&named(back_to, "b"), false);
        assert_eq!(*resolving.now(), names("two", &[]));
        resolving.step(&named(back_to, "a"), false);
        assert_eq!(*resolving.now(), names("one", &[]));
        resolving.step(&TransactionStep::Release { name: Arc::from("a") }, false);
        assert_eq!(*resolving.now(), names("one", &[]));
        resolving.step(&TransactionStep::Commit, true);
        assert_eq!(*resolving.now(), names("public", &[]));
        resolving.step(&named(savepoint, "before"), false);
        locally(&mut resolving, "one");
        resolving.step(&named(back_to, "before"), false);
        assert!(!resolving.may_move(), "nothing is left of it");
    }

    #[test]
    fn a_failure_without_a_transaction_takes_back_what_came_with_it() {
        let mut resolving = moved("more");
        resolving.fail();
        assert_eq!(resolving.ready(true), Moved::Back);
        assert_eq!(*resolving.now(), names("public", &[]));
        let mut resolving = moved("more");
        resolving.fail();
        assert_eq!(resolving.ready(false), Moved::Nothing, "the transaction still has to end");
        resolving.step(&TransactionStep::Rollback, false);
        assert_eq!(resolving.ready(true), Moved::On);
        assert_eq!(*resolving.now(), names("public", &[]));
        let mut resolving = moved("more");
        assert_eq!(resolving.ready(true), Moved::On);
        resolving.fail();
        resolving.ready(true);
        assert_eq!(*resolving.now(), names("more", &[]), "kept before it failed");
    }

    #[test]
    fn a_savepoint_leads_back_to_where_it_stood() {
        let mut resolving = moved("one");
        resolving.step(&named(savepoint, "a"), false);
        resolving.look_in([Arc::from("two")].into(), false);
        resolving.step(&named(savepoint, "a"), false);
        resolving.look_in([Arc::from("three")].into(), false);
        resolving.step(&named(back_to, "a"), false);
        assert_eq!(*resolving.now(), names("two", &[]), "the inner one of two of that name");
        resolving.step(&TransactionStep::Release { name: Arc::from("a") }, false);
        resolving.step(&named(back_to, "a"), false);
        assert_eq!(*resolving.now(), names("one", &[]));
        resolving.step(&named(back_to, "a"), false);
        assert_eq!(*resolving.now(), names("one", &[]), "it stays until it is released");
        (0..=SAVEPOINTS_MAX).for_each(|_| {
            resolving.step(&named(savepoint, "b"), false);
        });
        resolving.step(&named(back_to, "a"), false);
        assert_eq!(*resolving.now(), names("public", &[]), "one that is not known any more");
    }

    #[test]
    fn temporary_relations_come_and_go_with_the_transaction() {
        let (t, u): (Arc<str>, Arc<str>) = (Arc::from("t"), Arc::from("u"));
        let mut resolving = Resolving::new(names("public", &["t"]));
        resolving.drop(std::slice::from_ref(&t));
        resolving.make(&u, true);
        assert_eq!(*resolving.now(), names("public", &["u"]));
        assert_eq!(resolving.step(&TransactionStep::Rollback, false), Moved::Back);
        assert_eq!(*resolving.now(), names("public", &["t"]));
        resolving.make(&u, true);
        assert!(resolving.may_move());
        assert_eq!(resolving.step(&TransactionStep::Commit, true), Moved::On);
        assert_eq!(*resolving.now(), names("public", &["t"]), "ON COMMIT DROP");
        resolving.make(&u, true);
        resolving.ready(true);
        assert_eq!(*resolving.now(), names("public", &["t"]), "also without a transaction of its own");
    }

    #[test]
    fn a_table_of_a_transaction_is_one_only_where_it_was_made_so() {
        let t: Arc<str> = Arc::from("t");
        let mut resolving = Resolving::new(names("public", &["t"]));
        resolving.make(&t, true);
        resolving.step(&TransactionStep::Commit, true);
        assert_eq!(*resolving.now(), names("public", &["t"]), "it was there, and has stayed what it is");
        let mut resolving = Resolving::new(names("public", &[]));
        resolving.step(&named(savepoint, "a"), false);
        resolving.make(&t, true);
        assert_eq!(resolving.step(&named(back_to, "a"), false), Moved::BackTo);
        resolving.make(&t, false);
        resolving.step(&TransactionStep::Commit, true);
        assert_eq!(*resolving.now(), names("public", &["t"]), "another one was to go");
        let mut resolving = Resolving::new(names("public", &[]));
        resolving.make(&t, true);
        resolving.step(&named(savepoint, "a"), false);
        resolving.drop(std::slice::from_ref(&t));
        resolving.step(&named(back_to, "a"), false);
        resolving.step(&TransactionStep::Commit, true);
        assert_eq!(*resolving.now(), names("public", &[]), "it was not dropped, and went");
    }

    #[test]
    fn a_table_that_is_not_known_may_be_there() {
        let (t, u): (Arc<str>, Arc<str>) = (Arc::from("t"), Arc::from("u"));
        let mut resolving = Resolving::new(names("public", &[]));
        (1..TEMPORARY_MAX).for_each(|nth| resolving.make(&Arc::from(format!("z{nth}")), false));
        resolving.make(&t, false);
        assert!(!resolving.may_miss(&u));
        resolving.make(&u, false);
        assert!(resolving.may_miss(&u) && !resolving.may_miss(&t));
        resolving.forget(names("public", &[]));
        assert!(!resolving.may_miss(&u));
        for made in [false, true] {
            let mut resolving = Resolving::new(names("public", &[]));
            if made {
                resolving.make(&t, false);
            }
            resolving.step(&named(savepoint, "a"), false);
            (0..SAVEPOINTS_MAX).for_each(|_| {
                resolving.step(&named(savepoint, "b"), false);
            });
            resolving.step(&named(back_to, "a"), false);
            assert_eq!(resolving.may_miss(&t), made, "the savepoint is not known any more");
        }
    }
}
