//! Vehicle identification numbers (ISO 3779): seventeen characters, the ninth of them a check digit (49 CFR 565.15).

use crate::Certainty;
use crate::lexicon::Cue;
use crate::place::{Match, Place};

const LENGTH: usize = 17;
/// Shortest row in which a number in groups begins.
const ROW_MIN: usize = 3;
const WEIGHTS: [u32; LENGTH] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];

/// `1M8GDM9AXKP042788`; in small letters, in groups, or without a check digit that holds, after `VIN`.
pub(super) fn find(place: &Place<'_>) -> Option<Match> {
    let start = place.at;
    let row = place.run(start, |byte| byte.is_ascii_alphanumeric()) - start;
    if !(ROW_MIN..=LENGTH).contains(&row) || row < LENGTH && !matches!(place.byte(start + row), b' ' | b'-') {
        return None;
    }
    let is_announced = place.has(Cue::Vin);
    let separators: &[u8] = if is_announced { b" -" } else { b"" };
    let (code, end) = place.gather(LENGTH, separators)?;
    let characters = code.iter().take(LENGTH);
    let sum = characters
        .clone()
        .zip(WEIGHTS)
        .try_fold(0, |sum, (byte, weight)| Some(sum + weight * value(*byte)?))?;
    let check = code.get(8).copied()?;
    let is_checked =
        if sum % 11 == 10 { check == b'X' } else { u32::from(check).checked_sub(48) == Some(sum % 11) };
    let digits = characters.filter(|byte| byte.is_ascii_digit()).count();
    let is_mixed = (4..LENGTH).contains(&digits);
    if !is_mixed || !place.is_whole(start, end) {
        return None;
    }
    if is_announced {
        return Some(Match { start, end, certainty: Certainty::Context });
    }
    let is_capital = !place.slice(start, end).iter().any(u8::is_ascii_lowercase);
    (is_checked && is_capital).then_some(Match { start, end, certainty: Certainty::Checksum })
}

/// What a character counts; I, O and Q do not occur.
fn value(byte: u8) -> Option<u32> {
    let value = match byte {
        b'0'..=b'9' => byte - b'0',
        b'A'..=b'H' => byte - b'A' + 1,
        b'J'..=b'N' => byte - b'J' + 1,
        b'P' => 7,
        b'R' => 9,
        b'S'..=b'Z' => byte - b'S' + 2,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn numbers_are_found() {
        finds("phi.vin", "car [1M8GDM9AXKP042788].");
        finds("phi.vin", "VIN [1m8gdm9axkp042788]");
        finds("phi.vin", "VIN: [WVWZZZ1JZ3W386752]");
        finds("phi.vin", "VIN [1M8GD M9AX KP042788]");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in [
            "1M8GDM9AXKP042789",
            "1M8GDM9AXKP0427881",
            "1M8GDM9AXKPO42788",
            "1m8gdm9axkp042788",
            "11111111111111111",
        ] {
            nothing("phi.vin", text);
        }
    }
}
