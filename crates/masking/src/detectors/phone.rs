//! Telephone, fax and pager numbers: of North America by their form, others after a plus sign.

use crate::Certainty;
use crate::lexicon::Cue;
use crate::place::{Match, Place};

/// Digits of an international number (ITU-T E.164).
const INTERNATIONAL: std::ops::RangeInclusive<usize> = 8..=15;

/// `(617) 555-0123`, `+1 617 555 0123`, `+44 20 7946 0958`; `555-0123` and `6175550123` after `phone` and the like.
pub(super) fn find(place: &Place<'_>) -> Option<Match> {
    let start = beginning(place);
    let end = if place.before(place.at) == b'+' { international(place)? } else { domestic(place)? };
    if !place.is_whole(start, end) {
        return None;
    }
    if place.has_close(Cue::Thing) {
        return None;
    }
    let certainty = if place.has(Cue::Phone) { Certainty::Context } else { Certainty::Form };
    Some(Match { start, end: with_extension(place, end), certainty })
}

/// The plus sign or the opening parenthesis belongs to the number.
fn beginning(place: &Place<'_>) -> usize {
    if matches!(place.before(place.at), b'+' | b'(') { place.at - 1 } else { place.at }
}

fn international(place: &Place<'_>) -> Option<usize> {
    let mut digits = 0;
    let mut end = None;
    for index in 0..8 {
        let group = place.number.group(index);
        digits += group.len();
        if group.len() == 0 || digits > *INTERNATIONAL.end() {
            break;
        }
        end = Some(group.end);
        if digits >= 11 && place.byte(place.at) == b'1' {
            break;
        }
    }
    end.filter(|end| INTERNATIONAL.contains(&place.digits(place.at, *end).count()))
}

fn domestic(place: &Place<'_>) -> Option<usize> {
    let number = &place.number;
    let leading = usize::from(place.byte(place.at) == b'1');
    let rows = if number.begins(&[3, 3, 4]) {
        3
    } else if leading == 1 && number.begins(&[1, 3, 3, 4]) {
        4
    } else if number.begins(&[3, 4])
        && matches!(place.separator(0), b'-' | b' ')
        && place.has_close(Cue::Phone)
    {
        2
    } else {
        number.rows_of(10 + leading).filter(|_| place.has(Cue::Phone))?
    };
    let end = number.group(rows - 1).end;
    let separators = (0..rows - 1)
        .all(|index| matches!(place.separator(index), b'-' | b'.' | b' ' | b')' | b'(' | b'/' | 0));
    (separators && is_given_out(place.digits(place.at, end))).then_some(end)
}

/// Area and exchange begin with 2 to 9 (North American Numbering Plan).
fn is_given_out(digits: impl Iterator<Item = u8> + Clone) -> bool {
    let count = digits.clone().count();
    let mut digits = digits.skip(usize::from(count == 11));
    match count {
        7 => digits.next().is_some_and(|first| first >= 2),
        10 | 11 => {
            digits.next().is_some_and(|first| first >= 2) && digits.nth(2).is_some_and(|first| first >= 2)
        }
        _ => false,
    }
}

/// `ext. 123`, `x123`.
fn with_extension(place: &Place<'_>, end: usize) -> usize {
    let begin = place.run(end, |byte| matches!(byte, b' ' | b',')).min(end + 2);
    let words = ["extension", "ext", "x"];
    let Some(word) = words
        .iter()
        .find(|word| place.slice(begin, begin + word.len()).eq_ignore_ascii_case(word.as_bytes()))
    else {
        return end;
    };
    let first =
        place.run(begin + word.len(), |byte| matches!(byte, b' ' | b'.' | b':')).min(begin + word.len() + 2);
    let last = place.run(first, |byte| byte.is_ascii_digit());
    if (1..=6).contains(&(last - first)) { last } else { end }
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn numbers_are_found() {
        finds("phi.phone", "Phone: [(617) 555-0123]");
        finds("phi.phone", "[617-555-0123], home");
        finds("phi.phone", "[617.555.0123]");
        finds("phi.phone", "[617 555 0123]");
        finds("phi.phone", "call [1-800-555-0199 ext. 42]");
        finds("phi.phone", "[+1 617 555 0123] or");
        finds("phi.phone", "[+44 20 7946 0958]");
        finds("phi.phone", "[+16175550123]");
        finds("phi.phone", "reached at [6175550123]");
        finds("phi.phone", "pager [555-0123]");
        finds("phi.phone", "tel[6175550123]");
        finds("phi.phone", "cell [6 1 7 5 5 5 0 1 2 3]");
        finds("phi.phone", "[617-555-0123 x12]");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in [
            "117-555-0123",
            "617-155-0123",
            "6175550123",
            "555-0123",
            "order 617-555-0123",
            "617-555-01234",
            "called 3 times, 120/80",
            "120-80-98",
        ] {
            nothing("phi.phone", text);
        }
    }
}
