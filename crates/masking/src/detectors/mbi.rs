//! Medicare Beneficiary Identifiers: eleven characters of a fixed form, without letters that look like digits.

use crate::Certainty;
use crate::lexicon::Cue;
use crate::place::{Match, Place};

const LENGTH: usize = 11;
/// C: 1 to 9, N: 0 to 9, A: a letter but S, L, O, I, B, Z; X: either of N and A (CMS, "Understanding the MBI").
const FORM: &[u8; LENGTH] = b"CAXNAXNAANN";

/// `1EG4-TE5-MK73`, with or without its dashes; small letters only after `MBI` or `Medicare`.
pub(super) fn find(place: &Place<'_>) -> Option<Match> {
    let start = place.at;
    if !place.byte(start).is_ascii_digit() || !place.byte(start + 1).is_ascii_alphabetic() {
        return None;
    }
    let (code, end) = place.gather(LENGTH, b"- ")?;
    if !FORM.iter().zip(code).all(|(form, byte)| fits(*form, byte)) || !place.is_whole(start, end) {
        return None;
    }
    if place.has(Cue::Mbi) {
        return Some(Match { start, end, certainty: Certainty::Context });
    }
    let is_capital = !place.slice(start, end).iter().any(u8::is_ascii_lowercase);
    let separators = end - start - LENGTH;
    (is_capital && matches!(separators, 0 | 2)).then_some(Match { start, end, certainty: Certainty::Form })
}

fn fits(form: u8, byte: u8) -> bool {
    let is_letter = byte.is_ascii_uppercase() && !b"SLOIBZ".contains(&byte);
    match form {
        b'C' => matches!(byte, b'1'..=b'9'),
        b'N' => byte.is_ascii_digit(),
        b'A' => is_letter,
        _ => is_letter || byte.is_ascii_digit(),
    }
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn identifiers_are_found() {
        finds("phi.mbi", "Medicare: [1EG4-TE5-MK73]");
        finds("phi.mbi", "[1EG4TE5MK73] active");
        finds("phi.mbi", "mbi [1eg4te5mk73]");
        finds("phi.mbi", "[1EG4 TE5 MK73]");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in [
            "1SG4-TE5-MK73",
            "0EG4-TE5-MK73",
            "1EG4-TE5-MK7",
            "1EG4TE5MK735",
            "1eg4te5mk73",
            "1 EG4TE5-MK7 3",
        ] {
            nothing("phi.mbi", text);
        }
    }
}
