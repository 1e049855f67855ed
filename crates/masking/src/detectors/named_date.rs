//! Dates whose month is a word.

use crate::Certainty;
use crate::lexicon::Lexicon;
use crate::place::{Match, Place, is_letter, is_upper};

/// Months that are also verbs, nouns or names, and so only with a capital, or with day and year.
const AMBIGUOUS: [&[u8]; 4] = [b"may", b"mar", b"march", b"dec"];
/// Days of a month.
const DAYS: std::ops::RangeInclusive<u32> = 1..=31;
/// Years that count as one.
const YEARS: std::ops::RangeInclusive<u32> = 1880..=2100;

/// `January 2, 1990`, `Jan 2nd`, `March 1990`.
pub(super) fn find_month_first(place: &Place<'_>) -> Option<Match> {
    let (start, (entry, word_end)) = (place.at, place.word()?);
    if entry.month == 0 {
        return None;
    }
    let next = skip(place, word_end, b". -/,");
    let (number, end) = number(place, next)?;
    let (end, has_year) = match end - next {
        1 | 2 if DAYS.contains(&number) => year_after(place, ordinal(place, end)),
        4 if YEARS.contains(&number) => (end, true),
        _ => return None,
    };
    (has_year || is_plain(place, start, word_end)).then_some(())?;
    place.is_whole(start, end).then_some(Match { start, end, certainty: Certainty::Form })
}

/// `2 January 1990`, `2nd of May`, `02-Jan-90`.
pub(super) fn find_day_first(place: &Place<'_>) -> Option<Match> {
    let (start, first) = (place.at, place.number.group(0));
    // A word follows, or the end of an ordinal.
    let next = skip(place, first.end, b" -./");
    if first.len() > 2 || !is_letter(place.byte(next)) {
        return None;
    }
    let (day, _) = number(place, start)?;
    if !DAYS.contains(&day) {
        return None;
    }
    let mut word = skip(place, ordinal(place, first.end), b" -./");
    if place.is_word(word, "of") {
        word = skip(place, word + 2, b" ");
    }
    let word_end = place.run(word, is_letter);
    let entry = Lexicon::get().find(place.slice(word, word_end))?;
    if entry.month == 0 {
        return None;
    }
    let (end, has_year) = year_after(place, word_end);
    // A month and a day may follow a number of something else: `3 May 5`.
    (has_year || word > first.end && is_plain(place, word, word_end)).then_some(())?;
    place.is_whole(start, end).then_some(Match { start, end, certainty: Certainty::Form })
}

/// Whether the month is one without a year beside it: with a capital, or no other word in small letters.
fn is_plain(place: &Place<'_>, start: usize, end: usize) -> bool {
    let word = place.slice(start, end);
    is_upper(place.byte(start))
        || word.len() > 3 && !AMBIGUOUS.iter().any(|other| other.eq_ignore_ascii_case(word))
}

/// Index after at most three of these characters.
fn skip(place: &Place<'_>, start: usize, over: &[u8]) -> usize {
    place.run(start, |byte| over.contains(&byte)).min(start + 3)
}

fn ordinal(place: &Place<'_>, end: usize) -> usize {
    let suffixes = ["st", "nd", "rd", "th"];
    if suffixes.iter().any(|suffix| place.is_word(end, suffix)) { end + 2 } else { end }
}

/// At most eight digits as a number, and where they end.
fn number(place: &Place<'_>, start: usize) -> Option<(u32, usize)> {
    let end = place.run(start, |byte| byte.is_ascii_digit());
    if end == start || end - start > 8 {
        return None;
    }
    Some((place.digits(start, end).fold(0, |number, digit| number * 10 + u32::from(digit)), end))
}

/// The end with the year that may follow, and whether one does. Two digits are one after a dash or an apostrophe.
fn year_after(place: &Place<'_>, end: usize) -> (usize, bool) {
    let next = skip(place, end, b" ,-./'");
    let Some((year, year_end)) = number(place, next) else { return (end, false) };
    let is_short = year_end - next == 2 && matches!(place.before(next), b'-' | b'\'' | b'/');
    let is_year = is_short || year_end - next == 4 && YEARS.contains(&year);
    if is_year && !is_letter(place.byte(year_end)) { (year_end, true) } else { (end, false) }
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn dates_are_found() {
        finds("phi.date", "on [January 2, 1990] he");
        finds("phi.date", "[Jan 2nd] and [Feb. 3]");
        finds("phi.date", "[march 4, 1990]");
        finds("phi.date", "in [March 1990]");
        finds("phi.date", "[2 January 1990]");
        finds("phi.date", "[2nd of May], [02-Jan-90], [2JAN1990]");
        finds("phi.date", "[Sept 5 '19]");
        finds("phi.date", "DOB [4 Dec 1931].");
        finds("phi.date", "[Jan\u{a0}2,\u{2009}1990]");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in
            ["he may 5", "may take 2", "march 3 miles", "5 mar", "Mayo 5", "2 marches", "Jan 45", "June"]
        {
            nothing("phi.date", text);
        }
    }
}
