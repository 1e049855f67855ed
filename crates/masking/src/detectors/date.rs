//! Dates in digits.

use crate::Certainty;
use crate::lexicon::Cue;
use crate::place::{Match, Place};

/// Years in which something of a living person can have happened, or be planned.
const YEARS: std::ops::RangeInclusive<u32> = 1880..=2100;

/// `1990-01-02`, `01/02/1990`, `2.1.1990`, `1/2/90`, `03/1990`; after `on`, `DOB` and the like also `3/14`, `19900102`
/// and dates in spaces.
pub(super) fn find(place: &Place<'_>) -> Option<Match> {
    // Most numbers are too short or too long for any part of a date.
    let first = place.number.group(0).len();
    if !matches!(first, 1 | 2 | 4 | 8) || place.number.group(1).len() == 0 && first != 8 {
        return None;
    }
    let rows = three(place).or_else(|| fewer(place))?;
    let (start, end) = (place.at, place.number.group(rows - 1).end);
    // `1990-01-02T10:11:12Z` goes on with its time.
    let has_time = place.byte(end) == b'T' && place.byte(end + 1).is_ascii_digit();
    let is_whole = if has_time { place.is_whole(start, place.len()) } else { place.is_whole(start, end) };
    let certainty = if place.has(Cue::Date) { Certainty::Context } else { Certainty::Form };
    is_whole.then_some(Match { start, end, certainty })
}

/// Year, month and day.
fn three(place: &Place<'_>) -> Option<usize> {
    let separator = place.separator(0);
    if separator != place.separator(1) || !matches!(separator, b'/' | b'-' | b'.' | b' ') {
        return None;
    }
    let lengths = [0, 1, 2].map(|index| place.number.group(index).len());
    if !matches!(lengths, [4, 1..=2, 1..=2] | [1..=2, 1..=2, 2 | 4]) {
        return None;
    }
    let values = [0, 1, 2].map(|index| value(place, index));
    let is_date = match (lengths, values) {
        ([4, 1..=2, 1..=2], [year, month, day]) => is_day(month, day) && YEARS.contains(&year),
        ([1..=2, 1..=2, 4], [first, second, year]) => is_either(first, second) && YEARS.contains(&year),
        ([a @ 1..=2, b @ 1..=2, 2], [first, second, _]) => {
            let is_usual = separator == b'/' || separator == b'-' && a + b == 4;
            is_either(first, second) && (place.has(Cue::Date) || is_usual && !place.has_close(Cue::Thing))
        }
        _ => false,
    };
    (is_date && (separator != b' ' || place.has_close(Cue::Date))).then_some(3)
}

/// Month and year; and where a word announces it, month and day, or all in one row.
fn fewer(place: &Place<'_>) -> Option<usize> {
    let lengths = [0, 1].map(|index| place.number.group(index).len());
    let is_like_one = match lengths {
        [1..=2, 1..=2 | 4] => matches!(place.separator(0), b'/' | b'-'),
        [first, _] => first == 8,
    };
    if !is_like_one {
        return None;
    }
    let values = [0, 1].map(|index| value(place, index));
    match (lengths, values) {
        ([1..=2, 4], [month, year])
            if place.separator(0) == b'/' || place.separator(0) == b'-' && place.has_close(Cue::Date) =>
        {
            ((1..=12).contains(&month) && YEARS.contains(&year)).then_some(2)
        }
        ([1..=2, 1..=2], [first, second]) if place.separator(0) == b'/' && place.has_close(Cue::Date) => {
            is_either(first, second).then_some(2)
        }
        ([8, _], [number, _]) if place.has_close(Cue::Date) => {
            let year_first = is_day(number / 100 % 100, number % 100) && YEARS.contains(&(number / 10_000));
            let year_last =
                is_either(number / 1_000_000, number / 10_000 % 100) && YEARS.contains(&(number % 10_000));
            (year_first || year_last).then_some(1)
        }
        _ => None,
    }
}

fn value(place: &Place<'_>, index: usize) -> u32 {
    let group = place.number.group(index);
    place.digits(group.start, group.end).take(8).fold(0, |value, digit| value * 10 + u32::from(digit))
}

fn is_day(month: u32, day: u32) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

fn is_either(first: u32, second: u32) -> bool {
    is_day(first, second) || is_day(second, first)
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn dates_are_found() {
        finds("phi.date", "seen [1990-01-02].");
        finds("phi.date", "[1990-01-02]T10:11:12Z");
        finds("phi.date", "[01/02/1990], [2.1.1990]");
        finds("phi.date", "[1/2/90] and [31/12/89]");
        finds("phi.date", "[12-31-89]");
        finds("phi.date", "since [03/1990]");
        finds("phi.date", "admitted on [3/14] with");
        finds("phi.date", "DOB: [19900102]");
        finds("phi.date", "DOB[01021990]");
        finds("phi.date", "DOB [01 02 1990]");
        finds("phi.date", "[01 / 02 / 1990]");
        finds("phi.date", "[٠١/٠٢/١٩٩٠]");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in [
            "13/45/2020",
            "120/80",
            "5/10 pain",
            "version 1.2.90",
            "1.10.20",
            "2020-01-02-0003",
            "1/2/3",
            "10-20-2",
            "19900102",
            "1990",
            "99/99/1999",
            "0.5/1990",
            "ratio 3/4",
            "build 10-20-30",
            "01/02/19901",
        ] {
            nothing("phi.date", text);
        }
    }
}
