//! Medical record numbers: the installation's patterns anywhere, other numbers after words that announce one.

use crate::Certainty;
use crate::lexicon::Cue;
use crate::place::{Match, Place};

/// Digits that a number after `MRN` has at least.
const DIGITS_MIN: usize = 4;
/// Its length at most, in characters.
const LENGTH_MAX: usize = 24;

/// A token that one of the configured patterns matches, or a code right after `MRN`, `chart no.`, `patient ID`.
pub(super) fn find(place: &Place<'_>) -> Option<Match> {
    let start = place.at;
    let longest = place.config.mrn.iter().filter_map(|pattern| {
        let text = place.slice(start, place.len()).iter().copied();
        pattern.longest(text).filter(|length| place.is_whole(start, start + length))
    });
    if let Some(length) = longest.max() {
        // The installation itself says what it looks like, which is as good as a word beside it; not better.
        let is_other =
            place.nearest().is_some_and(|nearest| nearest.cue != Cue::Mrn && nearest.words_between == 0);
        let certainty = if is_other { Certainty::Form } else { Certainty::Context };
        return Some(Match { start, end: start + length, certainty });
    }
    let (end, digits) = place.code(Cue::Mrn);
    let is_code = digits >= DIGITS_MIN && end - start <= LENGTH_MAX && place.is_whole(start, end);
    (is_code && place.has_close(Cue::Mrn)).then_some(Match { start, end, certainty: Certainty::Context })
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, finds_with, nothing};
    use crate::{Config, Pattern};

    #[test]
    fn numbers_after_their_words_are_found() {
        finds("phi.mrn", "MRN: [00123456]");
        finds("phi.mrn", "MRN#[123456]");
        finds("phi.mrn", "medical record number [A-12345]");
        finds("phi.mrn", "(chart no. [4471023])");
        finds("phi.mrn", "Patient ID = [QX99812]");
        finds("phi.mrn", "mrn[7781234]");
        finds("phi.mrn", "MRN: [MRN-AZ-44-22119]");
    }

    #[test]
    fn patterns_of_the_installation_are_found_anywhere() {
        let config = Config { mrn: vec![Pattern::parse(r"MH\d{7}").unwrap()], ..Config::default() };
        finds_with(&config, "phi.mrn", "transferred [MH0012345], stable");
        finds_with(&config, "phi.mrn", "transferred [ＭＨ００１２３４５]");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in
            ["order number 12345678", "chart reviewed 12345678", "MRN 123", "12345678", "record 12345678"]
        {
            nothing("phi.mrn", text);
        }
    }
}
