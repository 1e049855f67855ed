//! Social security numbers: three groups by their form, any other spelling of nine digits after words that announce one.

use crate::Certainty;
use crate::lexicon::Cue;
use crate::place::{Match, Place};

const LENGTH: usize = 9;

/// `123-45-6789` with any one separator; `123456789` or other groups after `SSN` and the like.
pub(super) fn find(place: &Place<'_>) -> Option<Match> {
    let rows = place.number.rows_of(LENGTH)?;
    let (start, end) = (place.at, place.number.group(rows - 1).end);
    if !is_assigned(place.digits(start, end)) || !place.is_whole(start, end) {
        return None;
    }
    let separators = (place.separator(0), place.separator(1));
    let is_printed = rows == 1 || place.number.begins(&[3, 2, 4]);
    if is_printed && place.has(Cue::Ssn) || place.has_close(Cue::Ssn) {
        return Some(Match { start, end, certainty: Certainty::Context });
    }
    let is_form = place.number.begins(&[3, 2, 4])
        && separators.0 == separators.1
        && matches!(separators.0, b'-' | b' ' | b'.' | b'_');
    is_form.then_some(Match { start, end, certainty: Certainty::Form })
}

/// Area 000, 666 and from 900 on, group 00 and serial 0000 are never given out.
fn is_assigned(digits: impl Iterator<Item = u8>) -> bool {
    let number = digits.fold(0_u32, |number, digit| number * 10 + u32::from(digit));
    let (area, group, serial) = (number / 1_000_000, number / 10_000 % 100, number % 10_000);
    !matches!(area, 0 | 666 | 900..) && group > 0 && serial > 0
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn numbers_are_found() {
        finds("phi.ssn", "SSN: [123-45-6789].");
        finds("phi.ssn", "his number ([123-45-6789]) was");
        finds("phi.ssn", "[123 45 6789]");
        finds("phi.ssn", "[123.45.6789]");
        finds("phi.ssn", "[123 - 45 - 6789]");
        finds("phi.ssn", "social security number is [123456789]");
        finds("phi.ssn", "SSN[123456789]");
        finds("phi.ssn", "SS# [123-456789]");
        finds("phi.ssn", "ssn [1 2 3 4 5 6 7 8 9]");
        finds("phi.ssn", "[１２３‑４５‑６７８９]");
        finds("phi.ssn", "[1\u{200b}2\u{200b}3-45-6789]");
        finds("phi.ssn", "[123-45-\n6789]");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in [
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "123-00-4567",
            "123-45-0000",
            "123456789",
            "1123-45-6789",
            "123-45-67890",
            "123-45-6789-1",
            "9-123-45-6789",
            "$123 45 6789",
            "123-45 6789",
            "SSN on file, weight 123456789012",
        ] {
            nothing("phi.ssn", text);
        }
    }
}
