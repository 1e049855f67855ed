//! Registration numbers of the Drug Enforcement Administration: two letters, six digits and a check digit.

use crate::Certainty;
use crate::lexicon::Cue;
use crate::place::{Match, Place};

const LENGTH: usize = 9;
/// Registrant types that were ever given out.
const TYPES: &[u8] = b"ABCDEFGHJKLMPRSTUX";

/// `AB1234563`, also with a space or dash after the letters; in other groups after `DEA`.
pub(super) fn find(place: &Place<'_>) -> Option<Match> {
    let start = place.at;
    if !TYPES.contains(&place.byte(start).to_ascii_uppercase()) || place.byte(start + 1) == 0 {
        return None;
    }
    let is_announced = place.has(Cue::Dea);
    let separators: &[u8] = if is_announced { b" -." } else { b"-" };
    let (code, end) = place.gather(LENGTH, separators)?;
    let [first, second, digits @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = code;
    if !TYPES.contains(&first) || !(second.is_ascii_uppercase() || second == b'9') || !is_checked(digits) {
        return None;
    }
    let is_other = !is_announced
        && place.nearest().is_some_and(|nearest| nearest.cue == Cue::Thing && nearest.words_between == 0);
    if is_other || !place.is_whole(start, end) {
        return None;
    }
    let certainty = if is_announced { Certainty::Context } else { Certainty::Checksum };
    // By the check digit alone only as it is printed: letters, then the digits in one row.
    let is_printed = end - start <= LENGTH + 1 && is_capital(place);
    (is_announced || is_printed).then_some(Match { start, end, certainty })
}

fn is_capital(place: &Place<'_>) -> bool {
    place.slice(place.at, place.at + 2).iter().all(|byte| !byte.is_ascii_lowercase())
}

/// First, third and fifth, and twice the second, fourth and sixth: the last digit of the sum is the seventh.
fn is_checked(digits: [u8; 7]) -> bool {
    if !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let [a, b, c, d, e, f, check] = digits.map(|digit| u32::from(digit - b'0'));
    (a + c + e + 2 * (b + d + f)) % 10 == check
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn numbers_are_found() {
        finds("phi.dea", "DEA [AB1234563]");
        finds("phi.dea", "DEA# [ab1234563]");
        finds("phi.dea", "prescriber [F91234563],");
        finds("phi.dea", "[BJ-6125341]");
        finds("phi.dea", "DEA number: [AB 123 4563]");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in
            ["DEA AB1234564", "ab1234563", "order AB1234563", "AB12345630", "NB1234563", "DEA AB123456"]
        {
            nothing("phi.dea", text);
        }
    }
}
