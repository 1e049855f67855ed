//! National Provider Identifiers: ten digits whose last is a check digit.

use crate::Certainty;
use crate::lexicon::Cue;
use crate::place::{Match, Place, luhn};

const LENGTH: usize = 10;
/// What the check digit is computed with before the number (CMS, "NPI check digit").
const PREFIX: [u8; 5] = [8, 0, 8, 4, 0];

/// `1234567893` where no word says that it is something else; in groups after `NPI`.
pub(super) fn find(place: &Place<'_>) -> Option<Match> {
    let rows = place.number.rows_of(LENGTH)?;
    let (start, end) = (place.at, place.number.group(rows - 1).end);
    let digits = place.digits(start, end);
    let is_valid = matches!(place.byte(start), b'1' | b'2') && luhn(PREFIX.into_iter().chain(digits));
    if !is_valid || !place.is_whole(start, end) {
        return None;
    }
    match place.nearest() {
        Some(nearest) if nearest.cue == Cue::Npi => Some(Match { start, end, certainty: Certainty::Context }),
        Some(nearest) if nearest.words_between == 0 => None,
        Some(_) | None => (rows == 1).then_some(Match { start, end, certainty: Certainty::Checksum }),
    }
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn numbers_are_found() {
        finds("phi.npi", "NPI [1234567893]");
        finds("phi.npi", "ordered by [1234567893].");
        finds("phi.npi", "NPI: [1234 567 893]");
        finds("phi.npi", "NPI[1234567893]");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in ["NPI 1234567890", "NPI 3234567893", "order 1234567893", "12345678930", "1234 567 893"] {
            nothing("phi.npi", text);
        }
    }
}
