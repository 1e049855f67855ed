//! Web addresses: whatever has a scheme and two slashes, or begins with `www.`.

use crate::Certainty;
use crate::fold::OTHER_SYMBOL;
use crate::place::{AHEAD, Match, Place, is_alphanumeric};

/// Longest scheme, in characters.
const SCHEME_MAX: usize = 16;

/// `https://portal.example.org/p?id=1`, at its colon. It may go on beyond the window.
pub(super) fn find(place: &Place<'_>) -> Option<Match> {
    if place.slice(place.at, place.at + 3) != b"://" {
        return None;
    }
    let start =
        place.run_back(place.at, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-'));
    let start = start.max(place.at.saturating_sub(SCHEME_MAX));
    let end = place.run(place.at + 3, is_url);
    let is_address = place.at - start >= 2
        && is_alphanumeric(place.byte(place.at + 3)) | (place.byte(place.at + 3) == b'[');
    is_address.then(|| Match { start, end: trimmed(place, end), certainty: Certainty::Form })
}

/// `www.example.org`.
pub(super) fn find_www(place: &Place<'_>) -> Option<Match> {
    let (entry, after) = place.word()?;
    let is_address = entry.is_www && place.byte(after) == b'.' && is_alphanumeric(place.byte(after + 1));
    is_address.then(|| {
        let end = trimmed(place, place.run(after, is_url));
        Match { start: place.at, end, certainty: Certainty::Form }
    })
}

/// Without the marks that end a sentence or close what stands around it; as it is where it reaches the window's end.
fn trimmed(place: &Place<'_>, end: usize) -> usize {
    if end == place.at + AHEAD {
        return end;
    }
    place.run_back(end, |byte| b".,;:!?)]'\"*_".contains(&byte))
}

/// Whether a web address goes on with this byte.
pub(crate) fn is_url(byte: u8) -> bool {
    byte > b' ' && byte != OTHER_SYMBOL && byte != 0x7f && !b"<>\"`{}|\\^".contains(&byte)
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn addresses_are_found() {
        finds("phi.url", "see [https://portal.example.org/p?id=1#x].");
        finds("phi.url", "([http://192.0.2.1:8080/a])");
        finds("phi.url", "<[ftp://example.org]>");
        finds("phi.url", "[www.example.org/ana], and");
        finds("phi.url", "[postgres://user@db/x]");
        finds("phi.url", "[https：//example.org]");
    }

    #[test]
    fn a_long_address_is_one_finding() {
        finds("phi.url", &format!("x [https://example.org/{}] y", "a/1".repeat(5_000)));
    }

    #[test]
    fn what_is_none_is_left() {
        for text in ["ratio 1://2", "://x", "www", "www page", "https: //x", "a:/b"] {
            nothing("phi.url", text);
        }
    }
}
