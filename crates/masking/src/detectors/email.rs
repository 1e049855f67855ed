//! E-mail addresses, also with spaces around the `@` where the domain is a usual one.

use crate::Certainty;
use crate::place::{Match, Place, is_alphanumeric, is_letter};

/// Longest local part (RFC 5321 section 4.5.3.1.1).
const LOCAL_MAX: usize = 64;
/// Longest domain (RFC 5321 section 4.5.3.1.2).
const DOMAIN_MAX: usize = 255;
/// Domains for which an address with spaces in it is believed.
const USUAL: [&[u8]; 9] = [b"com", b"org", b"net", b"edu", b"gov", b"mil", b"us", b"io", b"health"];

/// `ana.lopez+lab@example.org`.
pub(super) fn find(place: &Place<'_>) -> Option<Match> {
    let spaces = (place.before(place.at) == b' ', place.byte(place.at + 1) == b' ');
    let local_end = place.at - usize::from(spaces.0);
    let mut start = place.run_back(local_end, is_local).max(local_end.saturating_sub(LOCAL_MAX));
    while start < local_end && !is_alphanumeric(place.byte(start)) && place.byte(start) != b'_' {
        start += 1;
    }
    let domain = place.at + 1 + usize::from(spaces.1);
    let mut end = place.run(domain, |byte| is_alphanumeric(byte) || matches!(byte, b'-' | b'.'));
    end = end.min(domain + DOMAIN_MAX);
    while end > domain && !is_alphanumeric(place.before(end)) {
        end -= 1;
    }
    let last_dot = place.run_back(end, |byte| byte != b'.').max(domain);
    let top = place.slice(last_dot, end);
    let is_address = start < local_end
        && last_dot > domain + 1
        && is_alphanumeric(place.byte(domain))
        && top.len() >= 2
        && top.iter().all(|byte| is_letter(*byte));
    let is_believed = spaces == (false, false) || USUAL.iter().any(|usual| usual.eq_ignore_ascii_case(top));
    (is_address && is_believed).then_some(Match { start, end, certainty: Certainty::Form })
}

/// Characters of a local part that occur (RFC 5322 `atext` and dots; without those that quote it in other text).
fn is_local(byte: u8) -> bool {
    is_alphanumeric(byte) || b".!#$%&'*+/=?^_`{|}~-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn addresses_are_found() {
        finds("phi.email", "mail [ana.lopez+lab@example.org].");
        finds("phi.email", "<[o'brien@mail.example.co.uk]>");
        finds("phi.email", "([x_1@example.com])");
        finds("phi.email", "[ana@exаmple.com]");
        finds("phi.email", "[ana＠example．com]");
        finds("phi.email", "[ana @ example.com]");
        finds("phi.email", "[josé@example.com]");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in
            ["5 mg @ 3.5", "@home", "a@b", "pain @ rest.Then", "x@1.2.3.4", "user@host", "@example.com"]
        {
            nothing("phi.email", text);
        }
    }

    #[test]
    fn an_endless_local_part_is_found_at_its_end() {
        let text = format!("{}[{}@example.com]", "a".repeat(500), "a".repeat(64));
        finds("phi.email", &text);
    }
}
