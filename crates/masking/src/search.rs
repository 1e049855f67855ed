//! The one pass over a text: where something may begin, what the detectors claim there, and which claims stand.

use std::collections::VecDeque;

use crate::detectors::{Trigger, is_url, strongest};
use crate::fold::Folded;
use crate::lexicon::{Lexicon, WORD_MAX};
use crate::place::{AHEAD, BACK, CUE_ROWS_MAX, Match, Place, has_no_form, is_alphanumeric, is_letter, run};
use crate::{Certainty, Config, Entity, Finding, Pattern};

/// What is folded and searched at a time, in bytes.
pub(crate) const PIECE: usize = 64 * 1024;

/// Part of a text that a detector claims, in folded positions.
#[derive(Debug, Clone, Copy)]
struct Claim {
    start: usize,
    end: usize,
    entity: Entity,
    certainty: Certainty,
    /// It goes on from the claim before it, which the window cut.
    continues: bool,
}

/// A finding, or more of the one before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settled {
    pub(crate) finding: Finding,
    pub(crate) continues: bool,
}

/// Finds in a stream what one text would give, and says up to where the stream is settled.
#[derive(Debug)]
pub(crate) struct Search {
    folded: Folded,
    /// Bytes that may be the beginning of a character.
    incomplete: Vec<u8>,
    /// The next folded position to look at.
    next: usize,
    /// A web address goes on here.
    is_in_url: bool,
    /// Rows of digits since the last letter, or the last that was found.
    rows: usize,
    /// By beginning, the longer first.
    claims: VecDeque<Claim>,
    settled: Vec<Settled>,
    /// Original position where the last finding ends.
    found: usize,
}

impl Search {
    pub(crate) fn new() -> Self {
        Self {
            folded: Folded::new(),
            incomplete: Vec::new(),
            next: 0,
            is_in_url: false,
            rows: 0,
            claims: VecDeque::new(),
            settled: Vec::new(),
            found: 0,
        }
    }

    /// Take at most [`PIECE`] bytes more.
    pub(crate) fn push(&mut self, config: &Config, bytes: &[u8]) {
        if self.incomplete.is_empty() {
            let used = self.decode(bytes);
            self.incomplete.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            let mut joined = std::mem::take(&mut self.incomplete);
            joined.extend_from_slice(bytes);
            let used = self.decode(&joined);
            joined.drain(..used);
            self.incomplete = joined;
        }
        self.look(config, self.folded.end().saturating_sub(AHEAD));
        self.settle(false);
        self.folded.forget(self.next.saturating_sub(BACK).min(self.first_claimed()));
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self, config: &Config) {
        for byte in std::mem::take(&mut self.incomplete) {
            self.folded.push_invalid(byte);
        }
        self.look(config, self.folded.end());
        self.settle(true);
        self.next = self.folded.end();
    }

    /// What was found since it was last asked, in order and without overlap.
    pub(crate) fn settled(&mut self) -> impl Iterator<Item = Settled> + '_ {
        self.settled.drain(..)
    }

    /// Original position before which no finding begins any more.
    pub(crate) fn horizon(&self, is_finished: bool) -> usize {
        if is_finished {
            return self.folded.start_of(self.folded.end());
        }
        self.folded.start_of(self.next.saturating_sub(BACK).min(self.first_claimed()))
    }

    fn first_claimed(&self) -> usize {
        self.claims.front().map_or(usize::MAX, |claim| claim.start)
    }

    /// Fold what is valid and what never will be; how many bytes that was.
    fn decode(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            let error = match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.folded.push(text);
                    return bytes.len();
                }
                Err(error) => error,
            };
            let (valid, invalid) = rest.split_at_checked(error.valid_up_to()).unwrap_or_default();
            self.folded.push(std::str::from_utf8(valid).unwrap_or_default());
            used += valid.len();
            let Some(length) = error.error_len() else { return used };
            invalid.iter().take(length).for_each(|byte| self.folded.push_invalid(*byte));
            used += length;
        }
    }

    /// Look at every position before `limit`.
    fn look(&mut self, config: &Config, limit: usize) {
        while self.next < limit {
            let (text, base) = self.folded.text();
            let at = self.next - base;
            let until = limit - base;
            let reached = if self.is_in_url {
                self.rows = 0;
                in_url(text, base, at, &mut self.is_in_url, &mut self.claims)
            } else {
                let plain = run_until(text, at, until);
                if plain < until {
                    let (rows, is_in_url) = (&mut self.rows, &mut self.is_in_url);
                    begins((text, base, plain), config, rows, is_in_url, &mut self.claims)
                } else {
                    plain
                }
            };
            self.next = base + reached;
        }
    }

    /// Decide about the claims that no later one can touch.
    fn settle(&mut self, is_finished: bool) {
        while let Some(claim) = self.claims.front().copied() {
            if !is_finished && claim.end + BACK > self.next {
                return;
            }
            self.claims.pop_front();
            match self.claims.front().copied().filter(|other| other.start < claim.end) {
                None => self.find(claim),
                // The stronger keeps what both claim; the rest of the other stays claimed.
                Some(other) if other.end > claim.end && other.certainty > claim.certainty => {
                    self.find(Claim { end: other.start, ..claim });
                }
                Some(other) => {
                    self.claims.pop_front();
                    if other.end > claim.end {
                        insert(&mut self.claims, Claim { start: claim.end, ..other });
                    }
                    insert(&mut self.claims, claim);
                }
            }
        }
    }

    fn find(&mut self, claim: Claim) {
        let (start, end) = (self.folded.start_of(claim.start), self.folded.end_of(claim.end));
        // Two claims may share a character that folds to several bytes: the first has it.
        let start = start.max(self.found);
        if start >= end {
            return;
        }
        self.found = end;
        let finding = Finding { start, end, entity: claim.entity, certainty: claim.certainty };
        self.settled.push(Settled { finding, continues: claim.continues });
    }
}

/// Index of the next byte that a token or mark of interest begins with, or `until`.
fn run_until(text: &[u8], at: usize, until: usize) -> usize {
    let rest = text.get(at..until).unwrap_or_default();
    at + rest
        .iter()
        .position(|byte| is_alphanumeric(*byte) || matches!(byte, b'@' | b':'))
        .unwrap_or(rest.len())
}

/// Go on with a web address, as far as one window reaches.
fn in_url(text: &[u8], base: usize, at: usize, is_in_url: &mut bool, claims: &mut VecDeque<Claim>) -> usize {
    let window = text.get(..text.len().min(at + AHEAD)).unwrap_or_default();
    let end = run(window, at, is_url);
    *is_in_url = end == at + AHEAD;
    if end > at {
        let (start, end) = (base + at, base + end);
        insert(
            claims,
            Claim { start, end, entity: Entity::Url, certainty: Certainty::Form, continues: true },
        );
    }
    end
}

/// Let the detectors look at the byte at `at`; where to go on.
fn begins(
    (text, base, at): (&[u8], usize, usize),
    config: &Config,
    rows: &mut usize,
    is_in_url: &mut bool,
    claims: &mut VecDeque<Claim>,
) -> usize {
    let byte = text.get(at).copied().unwrap_or(0);
    let before = at.checked_sub(1).and_then(|before| text.get(before)).copied().unwrap_or(0);
    let window_end = text.len().min(at + AHEAD);
    let window = text.get(..window_end).unwrap_or_default();
    let (triggers, end): (&[Trigger], usize) = if byte.is_ascii_digit() {
        let end = run(window, at, |byte| byte.is_ascii_digit());
        match before {
            _ if before.is_ascii_digit() => (&[], end),
            _ if is_one_of_many(window, (at, end), rows, config) => (&[], end),
            _ => (&[Trigger::Digits, Trigger::Code], end),
        }
    } else if is_letter(byte) {
        let end = run(window, at, is_letter);
        *rows = 0;
        (word_triggers(window, at, end, before, config), end)
    } else if byte == b'@' {
        (&[Trigger::At], at + 1)
    } else {
        (&[Trigger::Colon], at + 1)
    };
    if triggers.is_empty() {
        return end;
    }
    let window_start = at.saturating_sub(BACK);
    let place = Place::new(window.get(window_start..).unwrap_or_default(), at - window_start, config);
    let found = triggers.iter().filter_map(|trigger| strongest(&place, *trigger));
    let best = found.reduce(|best, other| if strength(&other.1) > strength(&best.1) { other } else { best });
    let Some((entity, found)) = best else { return end };
    *rows = 0;
    let (start, found_end) = (base + window_start + found.start, base + window_start + found.end);
    insert(claims, Claim { start, end: found_end, entity, certainty: found.certainty, continues: false });
    let reached = (window_start + found.end).max(end);
    *is_in_url = entity == Entity::Url && window_start + found.end == at + AHEAD;
    reached
}

/// Whether the next row of digits is of those that no detector claims: out of the reach of any word before it, and of no form
/// of its own. Tables and vital signs are full of them.
fn is_one_of_many(text: &[u8], (at, end): (usize, usize), rows: &mut usize, config: &Config) -> bool {
    *rows += 1;
    let is_mrn = |pattern: &Pattern| pattern.longest(text.iter().skip(at).copied()).is_some();
    *rows > CUE_ROWS_MAX + 1 && has_no_form(text, at, end) && !config.mrn.iter().any(is_mrn)
}

fn strength(found: &Match) -> (Certainty, usize) {
    (found.certainty, found.end - found.start)
}

/// What a row of letters may begin.
fn word_triggers(text: &[u8], at: usize, end: usize, before: u8, config: &Config) -> &'static [Trigger] {
    if is_alphanumeric(before) {
        return &[];
    }
    let word = text.get(at..end).unwrap_or_default();
    let is_word = word.len() <= WORD_MAX && Lexicon::get().is_trigger(word);
    let next = text.get(end).copied().unwrap_or(0);
    let after = text.get(end + 1).copied().unwrap_or(0);
    let is_code = next.is_ascii_digit()
        || next == b' ' && word.len() <= 2 && after.is_ascii_digit()
        || next == b'-' && (after.is_ascii_digit() || run(text, end, is_code) > run(text, end, is_wordlike))
        || config.mrn.iter().any(|pattern| pattern.longest(text.iter().skip(at).copied()).is_some());
    match (is_word, is_code) {
        (false, false) => &[],
        (true, false) => &[Trigger::Word],
        (false, true) => &[Trigger::Code],
        (true, true) => &[Trigger::Word, Trigger::Code],
    }
}

fn is_code(byte: u8) -> bool {
    is_alphanumeric(byte) || byte == b'-'
}

fn is_wordlike(byte: u8) -> bool {
    is_letter(byte) || byte == b'-'
}

/// Keep claims by beginning, the longer first.
fn insert(claims: &mut VecDeque<Claim>, claim: Claim) {
    let key = |claim: &Claim| (claim.start, usize::MAX - claim.end);
    let index = claims.partition_point(|other| key(other) <= key(&claim));
    claims.insert(index, claim);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rows of digits that are passed over in a text, each with whether a detector would have claimed something there.
    fn passed_over(text: &str) -> Vec<(&str, bool)> {
        let config = Config { mrn: vec![Pattern::parse(r"7\d{2}-9\d").unwrap()], ..Config::default() };
        let (bytes, mut rows, mut at, mut passed) = (text.as_bytes(), 0, 0, Vec::new());
        while at < bytes.len() {
            let end = run(bytes, at, |byte| byte.is_ascii_digit());
            if end == at {
                rows = if is_letter(bytes[at]) { 0 } else { rows };
                at += 1;
                continue;
            }
            if is_one_of_many(&bytes[..bytes.len().min(at + AHEAD)], (at, end), &mut rows, &config) {
                let start = at.saturating_sub(BACK);
                let place = Place::new(&bytes[start..bytes.len().min(at + AHEAD)], at - start, &config);
                let mut triggers = [Trigger::Digits, Trigger::Code].into_iter();
                passed.push((&text[at..end], triggers.any(|trigger| strongest(&place, trigger).is_some())));
            }
            at = end;
        }
        passed
    }

    #[test]
    fn numbers_of_no_form_are_passed_over_out_of_a_words_reach() {
        let rows: Vec<&str> = passed_over("SSN 1 2 3 4 5 6 77 8.8 9").iter().map(|(row, _)| *row).collect();
        assert_eq!(rows, ["6", "77", "8", "8", "9"]);
        for kept in [
            "123-45-6789",
            "617 555 0123",
            "1990-01-02",
            "3/4",
            "1234567893",
            "94 yo",
            "192.0.2.17",
            "712-91",
        ] {
            let text = format!("1 2 3 4 5 {kept}");
            let first = &kept[..kept.find(|c: char| !c.is_ascii_digit()).unwrap_or(kept.len())];
            assert!(passed_over(&text).iter().all(|(row, _)| *row != first), "{kept}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
        #[test]
        fn nobody_claims_what_is_passed_over(parts in prop::collection::vec(prop_oneof![
            6 => "[0-9]{1,4}",
            1 => "[0-9]{5,19}",
            6 => "[ ./-]",
            1 => "[ ./()+_,:$%\n-]{1,4}",
            1 => "(yo|y/o| May |nd of May|x|T|, MA |SSN | year old|a)",
        ], 20..90)) {
            for (row, is_claimed) in passed_over(&parts.concat()) {
                prop_assert!(!is_claimed, "{row}");
            }
        }
    }
}
