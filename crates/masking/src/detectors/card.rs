//! Payment card numbers: an issuer's range and length, and the Luhn test.

use crate::Certainty;
use crate::lexicon::Cue;
use crate::place::{Match, Place, luhn};

/// Lengths of card numbers, the longest first.
const LENGTHS: [usize; 7] = [19, 18, 17, 16, 15, 14, 13];

/// `4111 1111 1111 1111`, in one row or as cards show them; in other groups after `card` and the like.
pub(super) fn find(place: &Place<'_>) -> Option<Match> {
    if place.number.digits() < 13 || !matches!(place.byte(place.at), b'2'..=b'6') {
        return None;
    }
    let first = place.digits(place.at, place.len()).take(6);
    let prefix = first.fold(0, |prefix, digit| prefix * 10 + u32::from(digit));
    if !LENGTHS.iter().any(|length| is_issued(prefix, *length) && place.number.rows_of(*length).is_some()) {
        return None;
    }
    let is_announced = place.has(Cue::Card);
    if place.has_close(Cue::Thing) {
        return None;
    }
    LENGTHS.iter().find_map(|length| {
        let rows = place.number.rows_of(*length)?;
        let (start, end) = (place.at, place.number.group(rows - 1).end);
        let is_card = is_issued(prefix, *length)
            && (is_announced && (0..rows - 1).all(|index| matches!(place.separator(index), b' ' | b'-'))
                || is_printed(place, rows))
            && luhn(place.digits(start, end))
            && place.is_whole(start, end);
        let certainty = if is_announced { Certainty::Context } else { Certainty::Checksum };
        is_card.then_some(Match { start, end, certainty })
    })
}

/// In one row, or in groups as cards show them with one kind of separator.
fn is_printed(place: &Place<'_>, rows: usize) -> bool {
    let separator = place.separator(0);
    let is_even =
        (0..rows - 1).all(|index| place.separator(index) == separator && matches!(separator, b' ' | b'-'));
    let shapes: [&[usize]; 4] = [&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 3]];
    rows == 1 || is_even && shapes.iter().any(|shape| shape.len() == rows && place.number.begins(shape))
}

/// Whether a network gives out numbers that begin with these six digits, of this length (ISO/IEC 7812; the networks'
/// published ranges).
fn is_issued(prefix: u32, length: usize) -> bool {
    match prefix {
        400_000..=499_999 => matches!(length, 13 | 16 | 19),
        510_000..=559_999 | 222_100..=272_099 => length == 16,
        340_000..=349_999 | 370_000..=379_999 => length == 15,
        300_000..=305_999 | 360_000..=369_999 | 380_000..=399_999 => (14..=19).contains(&length),
        352_800..=358_999 | 601_100..=601_199 | 644_000..=659_999 | 620_000..=629_999 => {
            (16..=19).contains(&length)
        }
        501_800..=501_899
        | 502_000..=502_099
        | 503_800..=503_899
        | 589_300..=589_399
        | 630_400..=630_499
        | 675_900..=676_399 => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn numbers_are_found() {
        finds("phi.card", "paid with [4111 1111 1111 1111].");
        finds("phi.card", "[5500-0000-0000-0004]");
        finds("phi.card", "[340000000000009]");
        finds("phi.card", "[3782 822463 10005]");
        finds("phi.card", "[6011000000000004] visa");
        finds("phi.card", "card [41 11 11 11 11 11 11 11]");
        finds("phi.card", "[４１１１ １１１１ １１１１ １１１１]");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in [
            "4111 1111 1111 1112",
            "9111111111111111",
            "411111111111111",
            "tracking 4111111111111111",
            "41111111111111111234",
            "41 11 11 11 11 11 11 11",
        ] {
            nothing("phi.card", text);
        }
    }
}
