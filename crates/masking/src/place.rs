//! What a detector sees: a window of folded text, and the place in it where something may begin.
//!
//! A window reaches [`BACK`] bytes back and [`AHEAD`] bytes on and is cut there, so that no finding depends on more:
//! that is why a stream gives the same findings however it was cut into chunks.

use std::cell::OnceCell;

use crate::Config;
use crate::entity::Certainty;
use crate::fold::{OTHER_LOWER, OTHER_UPPER};
use crate::lexicon::{Cue, Entry, Lexicon, PAIRS, WORD_MAX, lists};

/// Folded bytes before a place that a detector may look at, and the farthest that a finding may begin before it.
pub(crate) const BACK: usize = 96;
/// Folded bytes from a place on that a detector may look at.
pub(crate) const AHEAD: usize = 320;

/// Farthest that a cue may stand before its number, in folded bytes.
const CUE_BYTES_MAX: usize = 64;
/// Rows of digits between a cue and its number: those of another number that it announces as well, `617-555-0123 or ..`.
pub(crate) const CUE_ROWS_MAX: usize = 4;
/// Words with a meaning of their own between a cue and its number.
const CUE_WORDS_MAX: usize = 3;

/// Part of the window that a detector claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) certainty: Certainty,
}

/// The word that says what a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nearest {
    pub(crate) cue: Cue,
    /// Words with a meaning of their own between it and the number.
    pub(crate) words_between: usize,
    /// Nothing at all stands between them.
    pub(crate) is_glued: bool,
}

/// A row of digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Group {
    pub(crate) fn len(self) -> usize {
        self.end - self.start
    }
}

/// Characters between a number and a word that says what it is, and the word's first, at most.
const WORD_AFTER_MAX: usize = 4;
/// Rows of digits in a number, at most.
const GROUPS_MAX: usize = 20;
/// Digits after which a number is followed no further: the longest card number has 19.
const DIGITS_MAX: usize = 20;

/// Rows of digits with short separators between, from the place on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Number {
    groups: [Row; GROUPS_MAX],
    count: usize,
    /// Digits of all rows.
    digits: usize,
}

/// A row as it is kept: a number is made for every place, and a window is short.
type Row = (u16, u16);

impl Number {
    /// Row by index; an empty one beyond the last.
    pub(crate) fn group(&self, index: usize) -> Group {
        let (start, end) = self.groups.get(index).copied().filter(|_| index < self.count).unwrap_or_default();
        Group { start: start.into(), end: end.into() }
    }

    /// Digits of all rows, as far as it was followed.
    pub(crate) fn digits(&self) -> usize {
        self.digits
    }

    /// Whether it begins with rows of these lengths.
    pub(crate) fn begins(&self, lengths: &[usize]) -> bool {
        lengths.len() <= self.count
            && lengths.iter().enumerate().all(|(index, length)| self.group(index).len() == *length)
    }

    /// How many rows from the first make exactly so many digits.
    pub(crate) fn rows_of(&self, digits: usize) -> Option<usize> {
        if self.digits < digits {
            return None;
        }
        let mut sum = 0;
        for index in 0..self.count {
            sum += self.group(index).len();
            if sum >= digits {
                return (sum == digits).then_some(index + 1);
            }
        }
        None
    }

    fn parse(text: &[u8], at: usize) -> Self {
        let mut this = Self::default();
        let mut start = at;
        while let Some(slot) = this.groups.get_mut(this.count) {
            let end = run(text, start, |byte| byte.is_ascii_digit());
            // A window is shorter than that; what were longer would be no number.
            let (Ok(first), Ok(last)) = (u16::try_from(start), u16::try_from(end)) else { break };
            *slot = (first, last);
            this.count += 1;
            this.digits += end - start;
            match separated(text, end) {
                Some(next) if this.digits < DIGITS_MAX => start = next,
                _ => break,
            }
        }
        this
    }
}

/// Whether the row of digits from `at` to `end` begins nothing that has a form of its own, so that it can only be what a word
/// beside it says: shapes alone are looked at, and what might be something counts as it.
pub(crate) fn has_no_form(text: &[u8], at: usize, end: usize) -> bool {
    // Days, ages and codes go on with letters.
    let after = text.get(end..).unwrap_or_default();
    if after.iter().take(WORD_AFTER_MAX).any(|byte| is_letter(*byte)) {
        return false;
    }
    let length = end - at;
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    // Numbers of countries, of providers, of cards.
    if before == Some(&b'+') || matches!(length, 4 | 10 | 13..) {
        return false;
    }
    let row = |end: usize| {
        let start = separated(text, end)?;
        let marks = text.get(end..start).unwrap_or_default().iter();
        let is_marked = marks.clone().any(|byte| matches!(byte, b'/' | b'-' | b'.'));
        let is_slash = marks.clone().any(|byte| *byte == b'/');
        Some((run(text, start, |byte| byte.is_ascii_digit()), start, is_marked, is_slash))
    };
    let Some((second_end, second, is_marked, is_slash)) = row(end) else { return true };
    let second_length = second_end - second;
    if is_slash || length == 1 && second_length == 3 && text.get(at) == Some(&b'1') {
        return false;
    }
    match row(second_end) {
        None => true,
        // Social security and telephone numbers; dates and addresses.
        Some((third_end, third, is_marked_too, _)) => {
            let is_grouped = length == 3 && matches!(second_length, 2 | 3) && third_end - third == 4;
            !(is_grouped || is_marked && is_marked_too)
        }
    }
}

/// Where the next row of digits begins after a separator of at most three characters; a line may end after a dash.
fn separated(text: &[u8], end: usize) -> Option<usize> {
    let length = (0..3).take_while(|offset| is_separator(text, end + offset)).count();
    let next = end + length;
    (length > 0 && text.get(next).is_some_and(u8::is_ascii_digit)).then_some(next)
}

fn is_separator(text: &[u8], index: usize) -> bool {
    match text.get(index) {
        Some(b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'_' | b'\t') => true,
        Some(b'\n') => index.checked_sub(1).and_then(|before| text.get(before)) == Some(&b'-'),
        _ => false,
    }
}

/// End of the row of bytes from `start` on that fit.
pub(crate) fn run(text: &[u8], start: usize, fits: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    start + rest.iter().position(|byte| !fits(*byte)).unwrap_or(rest.len())
}

/// Whether a folded byte is a letter of any script.
pub(crate) fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == OTHER_LOWER || byte == OTHER_UPPER
}

/// Whether a folded byte is a letter or digit.
pub(crate) fn is_alphanumeric(byte: u8) -> bool {
    is_letter(byte) || byte.is_ascii_digit()
}

/// Whether a folded byte is a capital letter.
pub(crate) fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte == OTHER_UPPER
}

/// A place in a window where something may begin.
pub(crate) struct Place<'t> {
    text: &'t [u8],
    /// Index in the window.
    pub(crate) at: usize,
    pub(crate) config: &'t Config,
    pub(crate) number: Number,
    nearest: OnceCell<Option<Nearest>>,
}

impl<'t> Place<'t> {
    /// The place at an index of a window.
    pub(crate) fn new(text: &'t [u8], at: usize, config: &'t Config) -> Self {
        let is_number = text.get(at).is_some_and(u8::is_ascii_digit);
        let number = if is_number { Number::parse(text, at) } else { Number::default() };
        Self { text, at, config, number, nearest: OnceCell::new() }
    }

    /// The byte at an index; 0 outside.
    pub(crate) fn byte(&self, index: usize) -> u8 {
        self.text.get(index).copied().unwrap_or(0)
    }

    /// The byte before an index; 0 outside.
    pub(crate) fn before(&self, index: usize) -> u8 {
        index.checked_sub(1).map_or(0, |before| self.byte(before))
    }

    /// Bytes from an index to another, as far as the window has them.
    pub(crate) fn slice(&self, start: usize, end: usize) -> &'t [u8] {
        let end = end.min(self.text.len());
        self.text.get(start..end).unwrap_or_default()
    }

    /// Length of the window.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// End of the row of bytes from `start` on that fit.
    pub(crate) fn run(&self, start: usize, fits: impl Fn(u8) -> bool) -> usize {
        run(self.text, start, fits)
    }

    /// Beginning of the row of bytes that ends at `end` and fits.
    pub(crate) fn run_back(&self, end: usize, fits: impl Fn(u8) -> bool) -> usize {
        let head = self.text.get(..end).unwrap_or_default();
        end - head.iter().rev().take_while(|byte| fits(**byte)).count()
    }

    /// Index after spaces from `start` on, at most `count` of them.
    pub(crate) fn skip_spaces(&self, start: usize, count: usize) -> usize {
        self.run(start, |byte| matches!(byte, b' ' | b'\t')).min(start + count)
    }

    /// Whether the text goes on with this word, in any case, and no letter follows it.
    pub(crate) fn is_word(&self, start: usize, word: &str) -> bool {
        let end = start + word.len();
        self.slice(start, end).eq_ignore_ascii_case(word.as_bytes()) && !is_letter(self.byte(end))
    }

    /// The digits between two indices, without what separates them.
    pub(crate) fn digits(&self, start: usize, end: usize) -> impl Iterator<Item = u8> + Clone + use<'t> {
        self.slice(start, end).iter().filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0')
    }

    /// The separator after a row of digits: its one character that is no space, a space where it has only spaces, 0
    /// where it mixes several.
    pub(crate) fn separator(&self, index: usize) -> u8 {
        let between = self.slice(self.number.group(index).end, self.number.group(index + 1).start);
        let mut marks = between.iter().filter(|byte| !byte.is_ascii_whitespace());
        match (marks.next(), marks.next()) {
            (None, _) if between.is_empty() => 0,
            (None, _) => b' ',
            (Some(mark), None) => *mark,
            (Some(_), Some(_)) => 0,
        }
    }

    /// Whether nothing is attached before `start` and after `end` that would make it part of something longer. A word
    /// may be attached before where it is the cue, as in `SSN123456789`.
    pub(crate) fn is_whole(&self, start: usize, end: usize) -> bool {
        self.is_whole_before(start) && self.is_whole_after(end)
    }

    fn is_whole_before(&self, start: usize) -> bool {
        let before = self.before(start);
        match before {
            b'$' => false,
            b'-' | b'.' | b'/' | b'_' | b',' => {
                !start.checked_sub(1).is_some_and(|index| is_alphanumeric(self.before(index)))
                    || self.nearest().is_some_and(|nearest| nearest.is_glued)
            }
            _ if before.is_ascii_digit() => false,
            _ if is_letter(before) => self.nearest().is_some_and(|nearest| nearest.is_glued),
            _ => true,
        }
    }

    fn is_whole_after(&self, end: usize) -> bool {
        match self.byte(end) {
            b'%' => false,
            b'-' | b'.' | b'/' | b'_' | b',' => !self.byte(end + 1).is_ascii_digit(),
            after => !is_alphanumeric(after),
        }
    }

    /// The nearest word before the place that says what a number is.
    pub(crate) fn nearest(&self) -> Option<Nearest> {
        *self.nearest.get_or_init(|| self.find_nearest())
    }

    /// Whether the nearest cue is this one.
    pub(crate) fn has(&self, cue: Cue) -> bool {
        self.nearest().is_some_and(|nearest| nearest.cue == cue)
    }

    /// Whether the nearest cue is this one, with nothing that means something between.
    pub(crate) fn has_close(&self, cue: Cue) -> bool {
        self.nearest().is_some_and(|nearest| nearest.cue == cue && nearest.words_between == 0)
    }

    fn find_nearest(&self) -> Option<Nearest> {
        let floor = self.at.saturating_sub(CUE_BYTES_MAX);
        let mut words_between = 0;
        let mut had_break = false;
        let mut rows = 0;
        let mut index = self.at;
        while index > floor && words_between <= CUE_WORDS_MAX {
            let byte = self.before(index);
            if is_letter(byte) {
                let start = self.run_back(index, is_letter);
                let word = self.slice(start, index);
                if let Some(cue) = self.cue_of(word, start, index) {
                    return Some(Nearest {
                        cue,
                        words_between,
                        is_glued: is_attached(self.slice(index, self.at)),
                    });
                }
                words_between += usize::from(!Lexicon::get().find(word).is_some_and(|entry| entry.is_filler));
                had_break |= !matches!(word, b"or" | b"and");
                index = start;
            } else if byte.is_ascii_digit() {
                let start = self.run_back(index, |byte| byte.is_ascii_digit());
                rows += 1;
                if had_break || rows > CUE_ROWS_MAX {
                    return None;
                }
                index = start;
            } else if byte == b'\n' && self.byte(index.saturating_sub(2)) == b'\n' {
                return None;
            } else {
                let is_sentence_end = byte == b'.' && self.byte(index).is_ascii_whitespace();
                had_break |= matches!(byte, b'\n' | b';') || is_sentence_end;
                index -= 1;
            }
        }
        None
    }

    fn cue_of(&self, word: &[u8], start: usize, end: usize) -> Option<Cue> {
        let next = self.byte(self.skip_spaces(end, 1));
        if next == b'#' && word.eq_ignore_ascii_case(b"ss") {
            return Some(Cue::Ssn);
        }
        if next == b'#' && word.eq_ignore_ascii_case(b"mr") {
            return Some(Cue::Mrn);
        }
        let entry = Lexicon::get().find(word)?;
        if !entry.is_second {
            return entry.cue;
        }
        let gap = self.run_back(start, |byte| matches!(byte, b' ' | b'_' | b'-' | b'.' | b'\n'));
        let first = self.slice(self.run_back(gap, is_letter), gap);
        let mut pairs = PAIRS.iter().filter(|(second, firsts, _)| {
            second.as_bytes().eq_ignore_ascii_case(word) && lists(firsts, first)
        });
        pairs.next().map(|(_, _, cue)| *cue)
    }

    /// What is known of the word that begins at the place, and its end.
    pub(crate) fn word(&self) -> Option<(&'static Entry, usize)> {
        let end = self.run(self.at, is_letter);
        if end - self.at > WORD_MAX {
            return None;
        }
        Some((Lexicon::get().find(self.slice(self.at, end))?, end))
    }

    /// Exactly `count` letters and digits in capitals from the place on, at most one of these separators between two,
    /// and where they end; none where less or more stand there.
    pub(crate) fn gather(&self, count: usize, separators: &[u8]) -> Option<([u8; GATHER_MAX], usize)> {
        let mut gathered = [0; GATHER_MAX];
        let mut index = self.at;
        for (taken, slot) in gathered.iter_mut().take(count).enumerate() {
            if taken > 0 && separators.contains(&self.byte(index)) {
                index += 1;
            }
            let byte = self.byte(index);
            if !byte.is_ascii_alphanumeric() {
                return None;
            }
            *slot = byte.to_ascii_uppercase();
            index += 1;
        }
        Some((gathered, index))
    }

    /// End of a code from the place on: letters, digits, single dashes between them; with how many digits it has. A code
    /// does not begin with a word that announces another kind of number, as `DOB19900102` after `MRN`.
    pub(crate) fn code(&self, kind: Cue) -> (usize, usize) {
        let word_end = self.run(self.at, is_letter);
        let is_announced = word_end - self.at > 1
            && Lexicon::get()
                .find(self.slice(self.at, word_end))
                .is_some_and(|entry| entry.cue.is_some_and(|cue| cue != kind));
        if is_announced {
            return (self.at, 0);
        }
        let mut end = self.at;
        let mut digits = 0;
        for index in self.at..self.len() {
            let byte = self.byte(index);
            let joins = byte == b'-' && index > self.at && self.before(index) != b'-';
            if byte.is_ascii_alphanumeric() {
                digits += usize::from(byte.is_ascii_digit());
                end = index + 1;
            } else if !joins {
                break;
            }
        }
        (end, digits)
    }
}

/// Most that [`Place::gather`] takes.
pub(crate) const GATHER_MAX: usize = 24;

/// Whether what stands between a cue and its number joins them: nothing, or one joining character.
fn is_attached(between: &[u8]) -> bool {
    matches!(between, [] | [b'-' | b'_' | b'.' | b'/'])
}

/// The digits of a number pass the Luhn test (ISO/IEC 7812-1 annex B).
pub(crate) fn luhn(digits: impl Iterator<Item = u8>) -> bool {
    // Both ways of counting at once, since only the last digit says which is right: the latest digit once, or twice.
    let (once, _) = digits
        .map(u32::from)
        .fold((0, 0), |(once, twice), digit| (twice + digit, once + digit * 2 / 10 + digit * 2 % 10));
    once.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(text: &str) -> Option<(Cue, usize)> {
        let config = Config::default();
        let at = text.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |index| index + 1);
        Place::new(text.as_bytes(), at, &config).nearest().map(|nearest| (nearest.cue, nearest.words_between))
    }

    #[test]
    fn the_nearest_cue_counts() {
        assert_eq!(nearest("SSN 123456789"), Some((Cue::Ssn, 0)));
        assert_eq!(nearest("social security number is 123456789"), Some((Cue::Ssn, 0)));
        assert_eq!(nearest("MRN: 12, order no. 123456789"), Some((Cue::Thing, 0)));
        assert_eq!(nearest("medical record #: 1234567"), Some((Cue::Mrn, 0)));
        assert_eq!(nearest("Medical\nrecord number 1234567"), Some((Cue::Mrn, 0)));
        assert_eq!(nearest("SS# 123456789"), Some((Cue::Ssn, 0)));
        assert_eq!(nearest("call patient at 6175550123"), Some((Cue::Phone, 0)));
        assert_eq!(nearest("record shows 1234567"), None);
        assert_eq!(nearest("phone book lists 6175550123"), Some((Cue::Phone, 2)));
    }

    #[test]
    fn another_number_or_an_empty_line_ends_a_cues_reach() {
        assert_eq!(nearest("SSN 123456789 weight 123456789"), None);
        assert_eq!(nearest("phone 6175550123 or 6175550124"), Some((Cue::Phone, 0)));
        assert_eq!(nearest("SSN\n\n123456789"), None);
    }

    #[test]
    fn digits_are_weighed() {
        assert!(luhn([4, 5, 3, 9, 1, 4, 8, 8, 0, 3, 4, 3, 6, 4, 6, 7].into_iter()));
        assert!(!luhn([4, 5, 3, 9, 1, 4, 8, 8, 0, 3, 4, 3, 6, 4, 6, 8].into_iter()));
    }

    #[test]
    fn rows_of_digits_are_a_number() {
        let number = Number::parse(b"123-45 - 6789 x", 0);
        assert!(number.begins(&[3, 2, 4]) && number.rows_of(9) == Some(3) && number.rows_of(8).is_none());
        assert!(Number::parse(b"12-\n34", 0).begins(&[2, 2]));
        assert!(!Number::parse(b"12\n34", 0).begins(&[2, 2]));
    }
}
