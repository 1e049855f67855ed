//! Ages from 90 on: up to 89 an age is no identifier (45 CFR 164.514(b)(2)(i)(C)).

use crate::Certainty;
use crate::lexicon::Cue;
use crate::place::{Match, Place, is_letter};

/// Ages that are found, in years.
const AGES: std::ops::RangeInclusive<u32> = 90..=125;
/// What makes a number of years an age.
const WORDS: [&str; 8] = ["yo", "yom", "yof", "y/o", "y.o", "yr old", "years old", "years of age"];

/// `94-year-old`, `91 yo`, `age 93`.
pub(super) fn find(place: &Place<'_>) -> Option<Match> {
    let (start, row) = (place.at, place.number.group(0));
    if !(2..=3).contains(&row.len()) {
        return None;
    }
    let age = place.digits(row.start, row.end).fold(0, |age, digit| age * 10 + u32::from(digit));
    if !AGES.contains(&age) {
        return None;
    }
    if is_age(place, row.end)
        && !matches!(place.before(start), b'.' | b'-' | b'$')
        && !is_letter(place.before(start))
    {
        return Some(Match { start, end: row.end, certainty: Certainty::Context });
    }
    let is_announced = place.has_close(Cue::Age) && place.is_whole(start, row.end);
    is_announced.then_some(Match { start, end: row.end, certainty: Certainty::Context })
}

/// `ninety-two year old`.
pub(super) fn find_in_words(place: &Place<'_>) -> Option<Match> {
    let (entry, mut end) = place.word()?;
    if !entry.is_ninety {
        return None;
    }
    let units = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    if matches!(place.byte(end), b'-' | b' ')
        && let Some(unit) = units.iter().find(|unit| place.is_word(end + 1, unit))
    {
        end += 1 + unit.len();
    }
    is_age(place, end).then_some(Match { start: place.at, end, certainty: Certainty::Context })
}

/// Whether the words after a number say that it is an age.
fn is_age(place: &Place<'_>, end: usize) -> bool {
    let begin = place.run(end, |byte| matches!(byte, b' ' | b'-' | b'\n')).min(end + 2);
    let words = WORDS.iter().any(|word| place.is_word(begin, word));
    words
        || ["year", "years", "yr", "yrs"].iter().any(|unit| {
            let after = begin + unit.len();
            let next = place.run(after, |byte| matches!(byte, b' ' | b'-' | b'.' | b'\n')).min(after + 2);
            place.slice(begin, after).eq_ignore_ascii_case(unit.as_bytes())
                && next > after
                && place.is_word(next, "old")
        })
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn ages_are_found() {
        finds("phi.age", "a [94]-year-old man");
        finds("phi.age", "[91] yo F, [92]yoM, [103] y/o");
        finds("phi.age", "[90] years old");
        finds("phi.age", "Age: [93]");
        finds("phi.age", "aged [101],");
        finds("phi.age", "[ninety-two] year old");
        finds("phi.age", "[９４] years of age");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in [
            "89 year old",
            "91 years of smoking",
            "SpO2 94 %",
            "age 45",
            "0.95 yo",
            "age 1945",
            "140 years old",
        ] {
            nothing("phi.age", text);
        }
    }
}
