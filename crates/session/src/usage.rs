//! What each subject uses, over all its sessions: sessions now, statements of the last minute, rows and bytes of the last
//! hour. Counting takes no lock and allocates nothing. Whoever keeps [`Usages::counts`] and gives them to
//! [`Usages::restored`] goes on with them: a restart is no way around a limit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chaperone_access::Subject;
use serde::{Deserialize, Serialize};

/// Subjects that are told apart at a time; those that use nothing make room for others.
const SUBJECTS_MAX: usize = 16_384;
/// Parts that a window is counted in: one more than make it up, so that a whole minute or hour is always in it.
const SLOTS: usize = 61;
const MINUTE_SLOT: Duration = Duration::from_secs(1);
const HOUR_SLOT: Duration = Duration::from_secs(60);
/// A slot's upper bits say which part of time it counts, the lower ones how much.
const COUNT_BITS: u32 = 44;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
/// The first part of time has so much before it, in seconds, that what was counted before a start has its place.
const BEFORE_S: u64 = 2 * 3600;

/// Counts of one window: when, in slots since the Unix epoch, and how many.
type Counts = Vec<(u64, u64)>;

/// What one subject used, as it is kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectCounts {
    /// Whose.
    pub subject: Subject,
    /// Statements, by the second.
    pub statements: Counts,
    /// Rows, by the minute.
    pub rows: Counts,
    /// Bytes, by the minute.
    pub bytes: Counts,
}

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

    /// The parts that end with this one, and what was counted in each.
    fn parts(&self, part: u64) -> impl Iterator<Item = (u64, u64)> {
        let parts = part.saturating_sub(SLOTS as u64 - 1)..=part;
        parts.filter_map(|part| {
            let (slot, tag) = self.slot(part)?;
            let held = slot.load(Ordering::Relaxed);
            (held & !COUNT_MAX == tag).then_some((part, held & COUNT_MAX))
        })
    }

    /// What was counted in the parts that end with this one.
    fn sum(&self, part: u64) -> u64 {
        self.parts(part).map(|(_, count)| count).sum()
    }

    /// What is in it, where `part` is the slot `unix` of those since the Unix epoch.
    fn counts(&self, part: u64, unix: u64) -> Counts {
        let counted = self.parts(part).filter(|(_, count)| *count > 0);
        counted.map(|(then, count)| (unix.saturating_sub(part - then), count)).collect()
    }

    /// Put back what was in it. Slots then and now need not begin at the same time: in doubt it counts longer.
    fn restore(&self, counts: &Counts, part: u64, unix: u64) {
        for (then, count) in counts {
            let age = unix.saturating_sub(*then).saturating_sub(1);
            if age < SLOTS as u64 {
                self.add(part.saturating_sub(age), *count);
            }
        }
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
        (BEFORE_S + now.duration_since(self.epoch).as_secs()) / slot.as_secs()
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

    fn windows(&self) -> [(&Window, Duration); 3] {
        [(&self.statements, MINUTE_SLOT), (&self.rows, HOUR_SLOT), (&self.bytes, HOUR_SLOT)]
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

/// Which slot since the Unix epoch a time is in, in microseconds since then.
fn unix(now_us: u64, slot: Duration) -> u64 {
    now_us / 1_000_000 / slot.as_secs()
}

impl Usages {
    /// Those that were kept, at `now_us` microseconds since the Unix epoch.
    #[must_use]
    pub fn restored(kept: &[SubjectCounts], now_us: u64) -> Self {
        let this = Self::default();
        let mut subjects = HashMap::new();
        for of in kept.iter().take(SUBJECTS_MAX) {
            let usage = Usage::new(this.epoch);
            for ((window, slot), counts) in
                usage.windows().into_iter().zip([&of.statements, &of.rows, &of.bytes])
            {
                window.restore(counts, usage.part(this.epoch, slot), unix(now_us, slot));
            }
            subjects.insert(of.subject.clone(), Arc::new(usage));
        }
        *this.subjects.lock().unwrap_or_else(PoisonError::into_inner) = subjects;
        this
    }

    /// What there is to keep, at `now_us` microseconds since the Unix epoch, in the order of the subjects' names.
    #[must_use]
    pub fn counts(&self, now_us: u64) -> Vec<SubjectCounts> {
        // Counting goes on meanwhile; only who is there is looked up under the lock.
        let subjects: Vec<(Subject, Arc<Usage>)> = {
            let subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
            subjects.iter().map(|(subject, usage)| (subject.clone(), usage.clone())).collect()
        };
        let now = Instant::now();
        let of = |(subject, usage): (Subject, Arc<Usage>)| {
            let counts = usage
                .windows()
                .map(|(window, slot)| window.counts(usage.part(now, slot), unix(now_us, slot)));
            let [statements, rows, bytes] = counts;
            SubjectCounts { subject, statements, rows, bytes }
        };
        let used = |of: &SubjectCounts| {
            [&of.statements, &of.rows, &of.bytes].iter().any(|counts| !counts.is_empty())
        };
        let mut all: Vec<SubjectCounts> = subjects.into_iter().map(of).filter(used).collect();
        let name = |of: &SubjectCounts| (of.subject.issuer.clone(), of.subject.sub.clone());
        all.sort_by_cached_key(name);
        all
    }

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
    fn what_was_used_is_used_after_a_restart_for_as_long_as_before() {
        const NOW_US: u64 = 1_795_000_000_000_000;
        const MINUTE_US: u64 = 60_000_000;
        let usages = Usages::default();
        let used = usages.enter(&subject(0), None).unwrap();
        let now = Instant::now();
        used.usage().count_statements(now, 3);
        used.usage().count_data(now, 5, 50);
        used.usage().count_data(now, 1, 10);
        drop(usages.enter(&subject(1), None).unwrap());
        let kept = usages.counts(NOW_US);
        assert_eq!(kept.len(), 1, "{kept:?}");
        let text = serde_json::to_string(&kept).unwrap();
        let kept: Vec<SubjectCounts> = serde_json::from_str(&text).unwrap();
        let after = |us: u64| {
            let again = Usages::restored(&kept, NOW_US + us);
            let place = again.enter(&subject(0), None).unwrap();
            let now = Instant::now();
            (place.usage().statements(now), place.usage().rows(now), place.usage().bytes(now))
        };
        assert_eq!(after(0), (3, 6, 60));
        assert_eq!(after(59 * 1_000_000), (3, 6, 60));
        assert_eq!(after(59 * MINUTE_US), (0, 6, 60));
        assert_eq!(after(63 * MINUTE_US), (0, 0, 0));
        // A clock that was set back does not give anything back.
        assert_eq!(Usages::restored(&kept, NOW_US - 90 * MINUTE_US).counts(NOW_US).len(), 1);
        // Kept again, it is the same.
        let again = Usages::restored(&kept, NOW_US).counts(NOW_US);
        assert_eq!(again[0].rows.iter().map(|(_, count)| count).sum::<u64>(), 6);
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
