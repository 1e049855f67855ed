//! How much of a stranger's failures goes on record: each of the first ten per source and minute, then a count a
//! minute, under a cap for all sources together. A stranger cannot fill the trail.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use chaperone_access::Source;

/// Single entries per source and minute.
pub(crate) const SINGLE_MAX: u32 = 10;
/// Entries of all sources together per minute.
pub(crate) const TOTAL_MAX: u32 = 600;
/// Sources that are told apart; beyond them everybody counts as one.
pub(crate) const SOURCES_MAX: usize = 10_000;
/// Failures of one user name, or of tokens, per source and minute after which it is refused without any work.
pub(crate) const THROTTLE: u32 = 60;
/// Failures of all user names per source and minute after which it is refused without any work. Many share an address: one
/// who tries in vain does not keep the others out, and many who do cost a second of work.
pub(crate) const THROTTLE_SOURCE: u32 = 600;

const MINUTE_US: u64 = 60_000_000;

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// One entry for this failure.
    Single,
    /// Nothing now: it is counted.
    Counted,
}

/// What failed to prove somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof<'a> {
    /// A password for this user name.
    Password(&'a str),
    /// An issuer's token.
    Token,
}

#[derive(Debug, Default)]
struct Window {
    failures: u32,
    unwritten: u64,
    /// Failures that cost work, of passwords and of tokens.
    passwords: u32,
    tokens: u32,
    /// The former by user name, as a hash that nobody outside can aim at. No more of them than work was done.
    users: HashMap<u64, u32>,
}

/// The counts of the current minute. Pure: time comes in.
#[derive(Debug, Default)]
pub struct FailureLedger {
    since: u64,
    written: u32,
    sources: HashMap<String, Window>,
    hashing: RandomState,
}

/// IPv6 sources count by /64, since one host owns all of it; an IPv4 address in the form of one is itself.
fn key(source: Source) -> String {
    match source {
        Source::Ip(IpAddr::V6(address)) if let Some(mapped) = address.to_ipv4_mapped() => mapped.to_string(),
        Source::Ip(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Source::Ip(IpAddr::V4(_)) | Source::Local => source.to_string(),
    }
}

impl FailureLedger {
    /// Counts of the minute before that were not written singly, if a new minute has begun: source and number.
    pub fn turn(&mut self, now_us: u64) -> Vec<(String, u64)> {
        if now_us.saturating_sub(self.since) < MINUTE_US && now_us >= self.since {
            return Vec::new();
        }
        self.since = now_us;
        self.written = 0;
        let mut counts: Vec<(String, u64)> = self
            .sources
            .drain()
            .filter(|(_, window)| window.unwritten > 0)
            .map(|(source, window)| (source, window.unwritten))
            .collect();
        counts.sort();
        // The counted entries are under the cap as well: the rest is one line.
        if counts.len() > TOTAL_MAX as usize {
            let rest = counts.split_off(TOTAL_MAX as usize);
            counts.push(("other".to_owned(), rest.into_iter().map(|(_, count)| count).sum()));
        }
        counts
    }

    /// Note one failure. `worked` says whether work was done for it: what is refused without any does not count against
    /// whoever shares the address.
    pub fn note(&mut self, source: Source, proof: Proof<'_>, worked: bool) -> Noted {
        let mut key = key(source);
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&key) {
            key = "other".to_owned();
        }
        let window = self.sources.entry(key).or_default();
        match proof {
            Proof::Password(user) if worked => {
                window.passwords = window.passwords.saturating_add(1);
                if window.users.len() < THROTTLE_SOURCE as usize {
                    *window.users.entry(self.hashing.hash_one(user)).or_default() += 1;
                }
            }
            Proof::Token if worked => window.tokens = window.tokens.saturating_add(1),
            Proof::Password(_) | Proof::Token => {}
        }
        window.failures = window.failures.saturating_add(1);
        if window.failures <= SINGLE_MAX && self.written < TOTAL_MAX {
            self.written += 1;
            return Noted::Single;
        }
        window.unwritten += 1;
        Noted::Counted
    }

    /// Whether the source has failed so often in this minute that no work is spent on such a proof from it.
    #[must_use]
    pub fn throttled(&self, source: Source, proof: Proof<'_>) -> bool {
        // Whoever found no place of his own is not held back for what others did.
        self.sources.get(&key(source)).is_some_and(|window| match proof {
            Proof::Token => window.tokens >= THROTTLE,
            Proof::Password(user) => {
                let own = window.users.get(&self.hashing.hash_one(user));
                window.passwords >= THROTTLE_SOURCE || own.is_some_and(|own| *own >= THROTTLE)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> Source {
        Source::Ip(IpAddr::V4(n.into()))
    }

    #[test]
    fn a_flood_leaves_a_bounded_record() {
        let mut ledger = FailureLedger::default();
        ledger.turn(MINUTE_US);
        let single = (0..10_000).filter(|_| ledger.note(ip(1), Proof::Token, true) == Noted::Single).count();
        assert_eq!(single, 10);
        assert!(ledger.throttled(ip(1), Proof::Token));
        assert!(!ledger.throttled(ip(2), Proof::Token));
        assert_eq!(ledger.turn(MINUTE_US + 1), []);
        assert_eq!(ledger.turn(2 * MINUTE_US), [("0.0.0.1".to_owned(), 9_990)]);
        assert!(!ledger.throttled(ip(1), Proof::Token));
    }

    #[test]
    fn a_source_is_the_same_in_either_form_and_no_other_one() {
        let mapped = |n: u32| Source::Ip(IpAddr::V6(std::net::Ipv4Addr::from(n).to_ipv6_mapped()));
        let mut ledger = FailureLedger::default();
        ledger.turn(MINUTE_US);
        for _ in 0..THROTTLE / 2 {
            ledger.note(ip(1), Proof::Token, true);
            ledger.note(mapped(1), Proof::Token, true);
        }
        assert!(ledger.throttled(ip(1), Proof::Token) && ledger.throttled(mapped(1), Proof::Token));
        assert!(!ledger.throttled(ip(2), Proof::Token) && !ledger.throttled(mapped(2), Proof::Token));
        assert_eq!(ledger.turn(2 * MINUTE_US).len(), 1);
    }

    #[test]
    fn a_flood_from_everywhere_holds_back_nobody_who_did_nothing() {
        let mut ledger = FailureLedger::default();
        ledger.turn(MINUTE_US);
        let sources = u32::try_from(SOURCES_MAX).unwrap();
        for n in 0..sources + THROTTLE * 2 {
            ledger.note(ip(n), Proof::Token, true);
        }
        assert!(!ledger.throttled(ip(sources * 2), Proof::Token));
    }

    #[test]
    fn many_sources_are_capped_together() {
        let mut ledger = FailureLedger::default();
        ledger.turn(MINUTE_US);
        let single = (0..50_000).filter(|n| ledger.note(ip(*n), Proof::Token, true) == Noted::Single).count();
        assert_eq!(single, 600);
        let counts = ledger.turn(2 * MINUTE_US);
        assert!(counts.len() <= 601);
        assert_eq!(counts.iter().map(|(_, n)| n).sum::<u64>(), 50_000 - 600);
    }

    #[test]
    fn one_who_fails_keeps_out_neither_others_nor_other_proofs_from_there() {
        let mut ledger = FailureLedger::default();
        ledger.turn(MINUTE_US);
        let (mine, yours) = (Proof::Password("mine"), Proof::Password("yours"));
        for _ in 0..10 * THROTTLE {
            let worked = !ledger.throttled(ip(1), mine);
            ledger.note(ip(1), mine, worked);
        }
        assert!(ledger.throttled(ip(1), mine));
        assert!(!ledger.throttled(ip(1), yours) && !ledger.throttled(ip(1), Proof::Token));
        assert!(!ledger.throttled(ip(2), mine));
        let mut worked = 0;
        for n in 0..2 * THROTTLE_SOURCE {
            let other = n.to_string();
            if !ledger.throttled(ip(1), Proof::Password(&other)) {
                worked += 1;
                ledger.note(ip(1), Proof::Password(&other), true);
            }
        }
        assert_eq!(worked, THROTTLE_SOURCE - THROTTLE);
        assert!(ledger.throttled(ip(1), yours));
    }
}
