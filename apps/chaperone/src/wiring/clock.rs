//! Whether somebody set the clock: a record is only as good as its times.

use std::time::{Duration, Instant};

/// A difference between the two clocks that is worth an entry.
const STEP: Duration = Duration::from_secs(1);
/// How often they are compared.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// Compares the wall clock with the one that only goes forward.
#[derive(Debug)]
pub(crate) struct Clock {
    steady: Instant,
    wall_us: u64,
}

/// The wall clock was set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stepped {
    /// Whether it went back.
    pub(crate) back: bool,
    /// How far, in microseconds.
    pub(crate) by_us: u64,
}

impl Clock {
    pub(crate) fn new(steady: Instant, wall_us: u64) -> Self {
        Self { steady, wall_us }
    }

    /// Look again. A slow drift is no step: each look begins anew.
    pub(crate) fn look(&mut self, steady: Instant, wall_us: u64) -> Option<Stepped> {
        let passed = u64::try_from(steady.duration_since(self.steady).as_micros()).unwrap_or(u64::MAX);
        let expected = self.wall_us.saturating_add(passed);
        *self = Self::new(steady, wall_us);
        let by_us = wall_us.abs_diff(expected);
        (u128::from(by_us) >= STEP.as_micros()).then_some(Stepped { back: wall_us < expected, by_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_clock_is_seen_once_and_a_drift_is_not() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut clock = Clock::new(start, 1_000_000_000);
        assert_eq!(clock.look(at(5), 1_005_400_000), None);
        assert_eq!(clock.look(at(10), 1_070_400_000), Some(Stepped { back: false, by_us: 60_000_000 }));
        assert_eq!(clock.look(at(15), 1_075_400_000), None);
        assert_eq!(clock.look(at(20), 1_000_400_000), Some(Stepped { back: true, by_us: 80_000_000 }));
    }
}
