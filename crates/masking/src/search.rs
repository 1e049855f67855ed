//! The one pass over a text: where something may begin, what the detectors claim there, and which claims stand.

use std::collections::VecDeque;

use crate::detectors::{Trigger, is_url, strongest};
use crate::fold::Folded;
use crate::lexicon::{Lexicon, WORD_MAX};
use crate::place::{AHEAD, BACK, Match, Number, Place, is_alphanumeric, is_letter, run};
use crate::{Certainty, Config, Entity, Finding};

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
    /// The last number that was looked at, and the position where its window began.
    number: Option<(usize, Number)>,
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
            number: None,
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
                in_url(text, base, at, &mut self.is_in_url, &mut self.claims)
            } else {
                let plain = run_until(text, at, until);
                if plain < until {
                    let (number, is_in_url) = (&mut self.number, &mut self.is_in_url);
                    begins((text, base, plain), config, number, is_in_url, &mut self.claims)
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
    last: &mut Option<(usize, Number)>,
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
            _ => (&[Trigger::Digits, Trigger::Code], end),
        }
    } else if is_letter(byte) {
        let end = run(window, at, is_letter);
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
    let (window, at_in_window) = (window.get(window_start..).unwrap_or_default(), at - window_start);
    let place = if byte.is_ascii_digit() {
        let before = last
            .as_ref()
            .and_then(|(began, number)| Some((number, (base + window_start).checked_sub(*began)?)));
        let place = Place::after(before, window, at_in_window, config);
        *last = Some((base + window_start, place.number));
        place
    } else {
        Place::new(window, at_in_window, config)
    };
    let found = triggers.iter().filter_map(|trigger| strongest(&place, *trigger));
    let best = found.reduce(|best, other| if strength(&other.1) > strength(&best.1) { other } else { best });
    let Some((entity, found)) = best else { return end };
    let (start, found_end) = (base + window_start + found.start, base + window_start + found.end);
    insert(claims, Claim { start, end: found_end, entity, certainty: found.certainty, continues: false });
    let reached = (window_start + found.end).max(end);
    *is_in_url = entity == Entity::Url && window_start + found.end == at + AHEAD;
    reached
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
