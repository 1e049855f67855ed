//! Postal codes of the United States: after a state, or after `ZIP`.

use crate::Certainty;
use crate::lexicon::{Cue, Lexicon, lists};
use crate::place::{Match, Place, is_letter, is_upper};

const STATES: &str = "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM \
    NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY PR VI GU";
/// Abbreviations that are words or doses as well: a comma must stand before them.
const AMBIGUOUS: &str = "IN OR OK ME HI ID PA MD MS LA AL DE CO MI";
/// States in words, and the last word of those that have two.
const NAMES: &str = "alabama alaska arizona arkansas california colorado connecticut delaware florida georgia hawaii idaho \
    illinois indiana iowa kansas kentucky louisiana maine maryland massachusetts michigan minnesota mississippi \
    missouri montana nebraska nevada hampshire jersey mexico york carolina dakota ohio oklahoma oregon pennsylvania \
    island tennessee texas utah vermont virginia washington wisconsin wyoming columbia";

/// `Boston, MA 02115`, `ZIP: 02115-1234`.
pub(super) fn find(place: &Place<'_>) -> Option<Match> {
    let (start, number) = (place.at, &place.number);
    let end = if number.begins(&[5, 4]) && place.separator(0) == b'-' {
        number.group(1).end
    } else if number.begins(&[5]) || number.begins(&[9]) {
        number.group(0).end
    } else {
        return None;
    };
    let is_announced = place.has_close(Cue::Zip) || is_after_state(place);
    (is_announced && place.is_whole(start, end)).then_some(Match {
        start,
        end,
        certainty: Certainty::Context,
    })
}

fn is_after_state(place: &Place<'_>) -> bool {
    let end = place
        .run_back(place.at, |byte| matches!(byte, b' ' | b'.' | b',' | b'\n'))
        .max(place.at.saturating_sub(3));
    let start = place.run_back(end, is_letter);
    let word = place.slice(start, end);
    if end == place.at || word.is_empty() {
        return false;
    }
    if lists(NAMES, word) {
        return is_upper(place.byte(start));
    }
    // The city stands before an abbreviation.
    let city = place.run_back(start, |byte| matches!(byte, b' ' | b',')).max(start.saturating_sub(2));
    let has_comma = place.slice(city, start).contains(&b',');
    let city_start = place.run_back(city, is_letter);
    // `License AZ 45321` is no address.
    let is_cue = Lexicon::get().find(place.slice(city_start, city)).is_some_and(|entry| entry.cue.is_some());
    let has_city = is_upper(place.byte(city_start)) && city < start && !is_cue;
    let is_capital = word.iter().all(u8::is_ascii_uppercase);
    is_capital && lists(STATES, word) && (has_comma || has_city && !lists(AMBIGUOUS, word))
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn codes_are_found() {
        finds("phi.zip", "Boston, MA [02115]");
        finds("phi.zip", "Boston MA  [02115-1234].");
        finds("phi.zip", "ZIP: [02115]");
        finds("phi.zip", "zip code [021151234]");
        finds("phi.zip", "Portland, OR [97201]");
        finds("phi.zip", "Chapel Hill, North Carolina [27514]");
        finds("phi.zip", "Boston, MA\n[０２１１５]");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in [
            "02115",
            "platelets OR 20000",
            "ID 12345",
            "in 10000",
            "units 12345-6789",
            "MA 021155",
            "License AZ 45321",
            "X MA 1234",
        ] {
            nothing("phi.zip", text);
        }
    }
}
