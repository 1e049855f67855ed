//! What each subject uses, over all its sessions: sessions now, statements of the last minute, rows and bytes of the last
//! hour. Counting takes no lock and allocates nothing. The counts begin anew when the gateway starts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chaperone_access::Subject;

/// Subjects that are told apart at a time; those that use nothing make room for others.
const SUBJECTS_MAX: usize = 16_384;
/// Parts that a window is counted in: one more than make it up, so that a whole minute or hour is always in it.
const SLOTS: usize = 61;
const MINUTE_SLOT: Duration = Duration::from_secs(1);
const HOUR_SLOT: Duration = Duration::from_secs(60);
/// A slot's upper bits say which part of time it counts, the lower ones how much.
const COUNT_BITS: u32 = 44;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

/// How much there was in a sliding time.
#[derive(Debug)]
struct Window {
    slots: [AtomicU64; SLOTS],
}

impl Window {
    fn new() -> Self {
        Self { slots: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    fn slot(&self, part: u64) -> Option<(&AtomicU64, u64)> {
        let place = usize::try_from(part % SLOTS as u64).ok()?;
        Some((self.slots.get(place)?, (part & (u64::MAX >> COUNT_BITS)) << COUNT_BITS))
    }

    /// Count more in a part of time.
    fn add(&self, part: u64, more: u64) {
        let Some((slot, tag)) = self.slot(part) else { return };
        let add = |held: u64| {
            let there = if held & !COUNT_MAX == tag { held & COUNT_MAX } else { 0 };
            Some(tag | there.saturating_add(more).min(COUNT_MAX))
        };
        // The closure always gives a value, so the loop ends with it stored.
        let _held = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// What was counted in the parts that end with this one.
    fn sum(&self, part: u64) -> u64 {
        let parts = part.saturating_sub(SLOTS as u64 - 1)..=part;
        parts
            .filter_map(|part| {
                let (slot, tag) = self.slot(part)?;
                let held = slot.load(Ordering::Relaxed);
                (held & !COUNT_MAX == tag).then_some(held & COUNT_MAX)
            })
            .sum()
    }
}

/// One subject's use.
#[derive(Debug)]
pub(crate) struct Usage {
    epoch: Instant,
    sessions: AtomicU64,
    statements: Window,
    rows: Window,
    bytes: Window,
}

impl Usage {
    fn new(epoch: Instant) -> Self {
        let [statements, rows, bytes] = std::array::from_fn(|_| Window::new());
        Self { epoch, sessions: AtomicU64::new(0), statements, rows, bytes }
    }

    fn part(&self, now: Instant, slot: Duration) -> u64 {
        now.duration_since(self.epoch).as_secs() / slot.as_secs()
    }

    /// Statements of the last minute.
    pub(crate) fn statements(&self, now: Instant) -> u64 {
        self.statements.sum(self.part(now, MINUTE_SLOT))
    }

    /// Rows of the last hour.
    pub(crate) fn rows(&self, now: Instant) -> u64 {
        self.rows.sum(self.part(now, HOUR_SLOT))
    }

    /// Bytes of the last hour.
    pub(crate) fn bytes(&self, now: Instant) -> u64 {
        self.bytes.sum(self.part(now, HOUR_SLOT))
    }

    pub(crate) fn count_statements(&self, now: Instant, more: u64) {
        self.statements.add(self.part(now, MINUTE_SLOT), more);
    }

    pub(crate) fn count_data(&self, now: Instant, rows: u64, bytes: u64) {
        let part = self.part(now, HOUR_SLOT);
        self.rows.add(part, rows);
        self.bytes.add(part, bytes);
    }

    /// Whether forgetting it would change nothing.
    fn is_quiet(&self, now: Instant) -> bool {
        self.sessions.load(Ordering::Relaxed) == 0
            && self.statements(now) == 0
            && self.rows(now) == 0
            && self.bytes(now) == 0
    }
}

/// A session's place among its subject's: given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    usage: Arc<Usage>,
}

impl Place {
    pub(crate) fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.usage.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why there is no place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// The subject has as many sessions as it may; so many it would have.
    Sessions(u64),
    /// More subjects are at work than are told apart.
    Subjects,
}

/// Every subject's use.
#[derive(Debug)]
pub struct Usages {
    epoch: Instant,
    subjects: Mutex<HashMap<Subject, Arc<Usage>>>,
}

impl Default for Usages {
    fn default() -> Self {
        Self { epoch: Instant::now(), subjects: Mutex::default() }
    }
}

impl Usages {
    /// A place for one more session of a subject.
    pub(crate) fn enter(&self, subject: &Subject, sessions_max: Option<u64>) -> Result<Place, NoPlace> {
        let mut subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        if subjects.len() >= SUBJECTS_MAX && !subjects.contains_key(subject) {
            let now = Instant::now();
            subjects.retain(|_, usage| !usage.is_quiet(now));
            if subjects.len() >= SUBJECTS_MAX {
                return Err(NoPlace::Subjects);
            }
        }
        let usage = subjects.entry(subject.clone()).or_insert_with(|| Arc::new(Usage::new(self.epoch)));
        // Counted under the table's lock: two that come together do not both get the last place.
        let open = usage.sessions.load(Ordering::Relaxed);
        if sessions_max.is_some_and(|max| open >= max) {
            return Err(NoPlace::Sessions(open + 1));
        }
        usage.sessions.fetch_add(1, Ordering::Relaxed);
        Ok(Place { usage: usage.clone() })
    }
}

#[cfg(test)]
mod tests {
    use chaperone_access::SubjectKind;

    use super::*;

    fn subject(n: usize) -> Subject {
        Subject { issuer: "dev".into(), kind: SubjectKind::Person, sub: n.to_string() }
    }

    #[test]
    fn a_window_forgets_what_is_older_and_nothing_else() {
        let window = Window::new();
        for part in 0..200 {
            window.add(part, 2);
            window.add(part, 1);
        }
        assert_eq!(window.sum(199), 61 * 3);
        assert_eq!(window.sum(219), 41 * 3);
        assert_eq!(window.sum(260), 0);
        window.add(260, u64::MAX);
        window.add(260, 1);
        assert_eq!(window.sum(260), COUNT_MAX);
    }

    #[test]
    fn a_window_counts_what_many_add_at_once() {
        let window = Window::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|n| window.add(7 + n / 9_999, 1)));
            }
        });
        assert_eq!(window.sum(8), 40_000);
    }

    #[test]
    fn a_place_is_taken_once_and_given_back() {
        let usages = Usages::default();
        let first = usages.enter(&subject(1), Some(2)).unwrap();
        let _second = usages.enter(&subject(1), Some(2)).unwrap();
        assert_eq!(usages.enter(&subject(1), Some(2)).unwrap_err(), NoPlace::Sessions(3));
        assert!(usages.enter(&subject(2), Some(2)).is_ok());
        drop(first);
        assert!(usages.enter(&subject(1), Some(2)).is_ok());
    }

    #[test]
    fn the_table_is_bounded_and_keeps_who_used_something() {
        let usages = Usages::default();
        let used = usages.enter(&subject(0), None).unwrap();
        used.usage().count_data(Instant::now(), 5, 50);
        drop(used);
        for n in 1..SUBJECTS_MAX {
            drop(usages.enter(&subject(n), None).unwrap());
        }
        let held = usages.enter(&subject(SUBJECTS_MAX), None).unwrap();
        let table = usages.subjects.lock().unwrap();
        assert_eq!(table.len(), 2);
        assert_eq!(table[&subject(0)].rows(Instant::now()), 5);
        drop(table);
        let more: Vec<Place> =
            (0..SUBJECTS_MAX - 2).map(|n| usages.enter(&subject(n + 1), None).unwrap()).collect();
        assert_eq!(usages.enter(&subject(SUBJECTS_MAX + 1), None).unwrap_err(), NoPlace::Subjects);
        drop((held, more));
    }
}
