//! Names of people, where the words beside them say that they are: titles, labels, kinship, salutations, signatures,
//! credentials. A name that stands alone is not found.

use crate::Certainty;
use crate::lexicon::{Lexicon, NameCue, SIGNING, lists};
use crate::place::{Match, Place, is_alphanumeric, is_letter, is_upper};

/// Words of a name, at most.
const WORDS_MAX: usize = 5;
/// What stands in small letters inside of a name.
const PARTICLES: &str = "de la las los van von der den del della da di du dos bin ibn al el ben le san st y";
/// Letters of an ordinary name in one word.
const LETTERS_MAX: usize = 30;

/// Labels that stand in sentences too: only with a colon does a name follow.
const NEEDS_COLON: [&str; 10] =
    ["name", "contact", "author", "cc", "attn", "from", "to", "insured", "employee", "subscriber"];

/// How much is taken for a name after a cue.
#[derive(Debug, Clone, Copy)]
struct Style {
    /// `Last, First`.
    has_comma: bool,
    /// Words in capitals only are names.
    takes_capitals: bool,
    /// Words in small letters are names.
    takes_small: bool,
}

/// The name after its cue: `Dr. Ana Lopez`, `Patient: LOPEZ, ANA`, `wife Ana`, `Sincerely,` and a line.
pub(super) fn find_after(place: &Place<'_>) -> Option<Match> {
    let (entry, end) = place.word()?;
    let cue = entry.name?;
    let is_cue_capital = place.slice(place.at, end).iter().all(u8::is_ascii_uppercase) && end - place.at > 1;
    let (begin, has_colon) = match cue {
        NameCue::Closing => (signature(place, end)?, true),
        NameCue::By if !is_signing(place) => return None,
        NameCue::Credential => return None,
        NameCue::Title | NameCue::Label | NameCue::Relation | NameCue::Salutation | NameCue::By => {
            link(place, end, cue)?
        }
    };
    let word = place.slice(place.at, end).to_ascii_lowercase();
    let word = std::str::from_utf8(&word).unwrap_or_default();
    let is_line_label = matches!(word, "from" | "to" | "cc");
    if is_line_label && !(has_colon && is_line_start(place, place.at)) {
        return None;
    }
    if NEEDS_COLON.contains(&word) && !has_colon {
        return None;
    }
    let is_titled = cue == NameCue::Title && (place.byte(end) == b'.' || !is_cue_capital);
    let style = Style {
        has_comma: has_colon && cue == NameCue::Label,
        takes_capitals: has_colon || is_titled || !is_cue_capital && cue != NameCue::Label,
        takes_small: has_colon && is_name_label(place, end),
    };
    let (start, end) = name(place, begin, style)?;
    let is_one_small =
        style.takes_small && !is_upper(place.byte(start)) && !place.slice(start, end).contains(&b' ');
    (!is_one_small).then_some(Match { start, end, certainty: Certainty::Context })
}

/// The name before a credential: `Ana Lopez, MD`.
pub(super) fn find_before(place: &Place<'_>) -> Option<Match> {
    let (entry, end) = place.word()?;
    let is_credential = entry.name == Some(NameCue::Credential) && is_upper(place.before(end));
    if !is_credential
        || !is_upper(place.byte(place.at))
        || is_alphanumeric(place.byte(end))
        || !matches!(place.before(place.at), b' ' | b',')
    {
        return None;
    }
    let has_comma =
        place.before(place.at) == b',' || place.slice(place.at.saturating_sub(2), place.at) == b", ";
    let last = place.run_back(place.at, |byte| matches!(byte, b' ' | b',')).max(place.at.saturating_sub(2));
    let (mut start, mut reached, mut words) = (last, last, 0);
    while words < WORDS_MAX {
        let word_end = if reached == last {
            last
        } else {
            place.run_back(reached, |byte| byte == b' ').max(reached.saturating_sub(1))
        };
        let initial = usize::from(place.before(word_end) == b'.');
        let word_start = place.run_back(word_end - initial, is_name_byte);
        let word = place.slice(word_start, word_end - initial);
        let is_attached = is_alphanumeric(place.before(word_start))
            || matches!(place.before(word_start), b'/' | b'@' | b'_');
        let is_abbreviation = initial == 1 && word.len() > 1;
        let is_particle = words > 0 && lists(PARTICLES, word) && !is_attached;
        let is_word = !is_attached && !is_abbreviation && is_name_word(word, true);
        if word_end == reached && reached != last || !(is_word || is_particle) {
            break;
        }
        (reached, words) = (word_start, words + usize::from(is_word));
        // A particle is of the name only where a word of it stands before.
        if is_word {
            start = word_start;
        }
    }
    let is_name = words >= 2 || words == 1 && has_comma && last - start > 2;
    is_name.then_some(Match { start, end: last, certainty: Certainty::Context })
}

/// After a cue: where the name begins, and whether a colon stands before it.
fn link(place: &Place<'_>, end: usize, cue: NameCue) -> Option<(usize, bool)> {
    let mut index = end + usize::from(place.byte(end) == b'.');
    let mut has_colon = false;
    for word in ["'s", "name", "is", "was", "of", "record"] {
        let next = place.skip_spaces(index, 2);
        let is_next =
            if word == "'s" { place.is_word(index, word) } else { next > index && place.is_word(next, word) };
        if is_next {
            index = if word == "'s" { index } else { next } + word.len();
        }
    }
    // `Name (last, first):`
    let bracket = place.skip_spaces(index, 2);
    if place.byte(bracket) == b'(' {
        index = place.run(bracket, |byte| byte != b')' && byte != b'\n').min(bracket + 24) + 1;
    }
    let next = place.skip_spaces(index, 4);
    if matches!(place.byte(next), b':' | b'=' | b'-') {
        has_colon = place.byte(next) != b'-';
        index = next + 1;
    } else if place.byte(index) == b',' && matches!(cue, NameCue::Relation | NameCue::Salutation) {
        index += 1;
    }
    let begin = place.run(index, |byte| matches!(byte, b' ' | b'\t')).min(index + 16);
    // A form may put the name on the next line.
    let begin = if has_colon && place.byte(begin) == b'\n' { place.skip_spaces(begin + 1, 8) } else { begin };
    (begin > end).then_some((begin, has_colon))
}

/// Whether a label is `Name:` on a line of its own, or `Patient Name:`.
fn is_name_label(place: &Place<'_>, end: usize) -> bool {
    let first = place.slice(place.at, end);
    first.eq_ignore_ascii_case(b"name") && is_line_start(place, place.at)
        || first.eq_ignore_ascii_case(b"patient") && place.is_word(place.skip_spaces(end, 2), "name")
}

/// The line after a closing formula.
fn signature(place: &Place<'_>, end: usize) -> Option<usize> {
    let comma = end + usize::from(place.byte(end) == b',');
    let begin = place.run(comma, |byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    place.slice(comma, begin).contains(&b'\n').then_some(begin)
}

/// Whether a verb of signing or seeing stands before `by`.
fn is_signing(place: &Place<'_>) -> bool {
    let end = place.run_back(place.at, |byte| byte == b' ');
    lists(SIGNING, place.slice(place.run_back(end, is_letter), end))
}

fn is_line_start(place: &Place<'_>, at: usize) -> bool {
    matches!(place.before(place.run_back(at, |byte| matches!(byte, b' ' | b'\t' | b'>'))), 0 | b'\n')
}

/// The words of a name from `begin` on.
fn name(place: &Place<'_>, begin: usize, style: Style) -> Option<(usize, usize)> {
    let (mut index, mut end, mut words) = (begin, begin, 0);
    let (mut start, mut had_comma) = (begin, false);
    while words < WORDS_MAX {
        let word_end = place.run(index, is_name_byte);
        let word = place.slice(index, word_end);
        let is_title = Lexicon::get().find(word).is_some_and(|entry| entry.name == Some(NameCue::Title));
        let is_particle = lists(PARTICLES, word) && place.byte(word_end) == b' ';
        if words == 0 && is_title && is_upper(place.byte(index)) {
            // `Attending: Dr. Lopez`: the name begins after the title.
            let dot = word_end + usize::from(place.byte(word_end) == b'.');
            index = place.skip_spaces(dot, 2);
            start = index;
            if index == dot {
                return None;
            }
            continue;
        }
        let is_word = is_name_word(word, style.takes_capitals) || style.takes_small && is_small_name(word);
        if is_alphanumeric(place.byte(word_end)) || !(is_word || is_particle) {
            break;
        }
        words += 1;
        let initial = usize::from(word.len() == 1 && place.byte(word_end) == b'.');
        if is_word {
            end = word_end + initial;
        }
        let after = word_end + initial;
        let takes_comma = style.has_comma && !had_comma && place.byte(after) == b',';
        had_comma |= takes_comma;
        let next = place.skip_spaces(after + usize::from(takes_comma), 2);
        if next == after {
            break;
        }
        index = next;
    }
    let is_long = place.slice(start, end).iter().filter(|byte| is_letter(**byte)).count() > 1;
    (end > start && is_long).then_some((start, without_possessive(place, start, end)))
}

fn without_possessive(place: &Place<'_>, start: usize, end: usize) -> usize {
    let tail = place.slice(end.saturating_sub(2).max(start), end);
    if tail.eq_ignore_ascii_case(b"'s") { end - 2 } else { end }
}

fn is_name_byte(byte: u8) -> bool {
    is_letter(byte) || matches!(byte, b'\'' | b'-')
}

/// Whether a word is written as a name and is no word that only looks so.
fn is_name_word(word: &[u8], takes_capitals: bool) -> bool {
    let Some(first) = word.first() else { return false };
    let is_capital = word.len() > 1 && !word.iter().any(|byte| is_letter(*byte) && !is_upper(*byte));
    is_upper(*first) && word.len() <= LETTERS_MAX && (takes_capitals || !is_capital) && !is_known(word)
}

fn is_small_name(word: &[u8]) -> bool {
    (2..=LETTERS_MAX).contains(&word.len())
        && word.first().is_some_and(|first| is_letter(*first))
        && !is_known(word)
}

/// Whether the lexicon knows a word as something else than a name.
fn is_known(word: &[u8]) -> bool {
    Lexicon::get().find(word).is_some_and(|entry| {
        let is_month_name =
            matches!(entry.month, 4..=6 | 8) && word.len() > 3 && !word.eq_ignore_ascii_case(b"sept");
        !is_month_name && (entry.is_no_name || entry.cue.is_some() || entry.name.is_some())
    })
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn names_after_their_cues_are_found() {
        finds("phi.name", "Dr. [Ana Lopez] saw him");
        finds("phi.name", "Mrs [O'Brien] called");
        finds("phi.name", "Patient: [Lopez, Ana M.] DOB");
        finds("phi.name", "PATIENT: [LOPEZ, ANA] MRN");
        finds("phi.name", "Patient Name: [Ana Lopez]\nMRN");
        finds("phi.name", "name: [ana lopez]");
        finds("phi.name", "patient [John Smith] presents");
        finds("phi.name", "his wife, [Mary], reports");
        finds("phi.name", "Dear [Mr. Smith],".replace("[Mr. ", "Mr. [").as_str());
        finds("phi.name", "Sincerely,\n\n[Ana Lopez]");
        finds("phi.name", "Patient name: [ana lopez]");
        finds("phi.name", "Electronically signed by [Ana Lopez], MD");
        finds("phi.name", "Attending: Dr. [Ludwig van Beek]");
        finds("phi.name", "Ms. [Smith-Jones]'s daughter [Amy]");
        finds("phi.name", "From: [Ana Lopez]\n");
        finds("phi.name", "Dr. [José Núñez].");
        finds("phi.name", "Dr.\u{a0}[Lopez]");
        finds("phi.name", "Name (last, first): [Smith, John]");
        finds("phi.name", "Dr. [April Lopez]");
    }

    #[test]
    fn names_before_credentials_are_found() {
        finds("phi.name", "reviewed with [Ana Lopez], MD");
        finds("phi.name", "and [J. Q. Public] RN noted");
        finds("phi.name", "[Lopez], PhD");
        finds("phi.name", "seen by [Ludwig van der Beek], MD");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in [
            "Patient denies pain",
            "Patient Denies Pain",
            "PATIENT EDUCATION PROVIDED",
            "MS EXACERBATION",
            "MR ANGIOGRAPHY",
            "Patient: stable",
            "by Tuesday",
            "from Boston",
            "to Surgery",
            "doctor said so",
            "wife reports",
            "Take by Mouth",
            "dear me",
            "The MD said",
            "name brand drug",
            "Patient Instructions",
            "Dr. will call",
            "Regards the wound",
            "2100 E University Dr., Tempe",
            "CGM SN-MD9A7Z",
            "known by name: its user, needed",
            "contact Boston",
        ] {
            nothing("phi.name", text);
        }
    }
}
