//! Internet addresses.

use crate::Certainty;
use crate::lexicon::Cue;
use crate::place::{Match, Place, is_alphanumeric};

/// Longest address of version 6 in text (RFC 4291 section 2.2, with four numbers at the end).
const LENGTH_MAX: usize = 45;

/// `192.0.2.17`.
pub(super) fn find_version_4(place: &Place<'_>) -> Option<Match> {
    let number = &place.number;
    if place.byte(number.group(0).end) != b'.' {
        return None;
    }
    let is_form = (0..4).all(|index| {
        let row = number.group(index);
        let value =
            place.digits(row.start, row.end).take(4).fold(0, |value, digit| value * 10 + u32::from(digit));
        let is_plain = row.len() == 1 || place.byte(row.start) != b'0';
        let is_dotted =
            index == 3 || row.end + 1 == number.group(index + 1).start && place.separator(index) == b'.';
        (1..=3).contains(&row.len()) && value <= 255 && is_plain && is_dotted
    });
    let (start, end) = (place.at, number.group(3).end);
    if !is_form || place.has_close(Cue::Thing) || !place.is_whole(start, end) {
        return None;
    }
    let certainty = if place.has(Cue::Ip) { Certainty::Context } else { Certainty::Form };
    Some(Match { start, end, certainty })
}

/// `2001:db8::17`, at its first colon.
pub(super) fn find_version_6(place: &Place<'_>) -> Option<Match> {
    let start = place.run_back(place.at, |byte| byte.is_ascii_hexdigit());
    let end = place.run(start, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    let is_attached = |byte: u8| is_alphanumeric(byte) || byte == b':';
    if place.at - start > 4 || end - start > LENGTH_MAX + 1 || is_attached(place.before(start)) {
        return None;
    }
    // A sentence may end right after the address.
    let end = place.run_back(end, |byte| matches!(byte, b'.' | b':')).max(start);
    let text = std::str::from_utf8(place.slice(start, end)).ok()?;
    let is_address = text.parse::<std::net::Ipv6Addr>().is_ok();
    // `::` and `a::b` are code.
    let has_number = text.len() >= 6 && text.bytes().any(|byte| byte.is_ascii_digit());
    (is_address && has_number && !is_attached(place.byte(end))).then_some(Match {
        start,
        end,
        certainty: Certainty::Form,
    })
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn addresses_are_found() {
        finds("phi.ip", "from [192.0.2.17].");
        finds("phi.ip", "[10.0.0.1]:8080");
        finds("phi.ip", "host [2001:db8::17], port");
        finds("phi.ip", "[2001:0db8:85a3:0000:0000:8a2e:0370:7334].");
        finds("phi.ip", "[::ffff:192.0.2.17]");
        finds("phi.ip", "[１９２．０．２．１７]");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in [
            "1.2.3",
            "256.1.1.1",
            "version 1.2.3.4",
            "v1.2.3.4",
            "1.2.3.4.5",
            "01.2.3.4",
            "12:30:45",
            "std::fs",
            "a::b",
            "10:00",
            "::",
            "1. 2. 3. 4",
        ] {
            nothing("phi.ip", text);
        }
    }
}
