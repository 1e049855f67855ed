//! What detectors find in a server's answer, and the answer without it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use chaperone_masking::{Config, Entity, Finding, scan};
use chaperone_mcp::texts::{Sort, Text, replaced, texts};
use serde_json::value::RawValue;

/// As servers write it: with padding or without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An answer that was looked through.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Looked {
    /// It, with what was found replaced by its tag; all else as it stood.
    pub(super) raw: String,
    /// Identifiers that were found, those that stay included.
    pub(super) found: u64,
    /// Those that were replaced, by tag.
    pub(super) masked: BTreeMap<String, u64>,
    /// Bytes of images, sound and other data that are no text, which nobody looks through.
    pub(super) unread: u64,
}

/// A text as detectors see it.
enum Seen<'a> {
    /// As it stands.
    Plain(&'a str),
    /// Where something is: not that it is an address, and at which machine, but what else stands in it.
    Address(String),
    /// A text that stood in base64.
    Decoded(String),
    /// Data that are no text: so many bytes.
    Unread(u64),
}

impl<'a> Seen<'a> {
    fn of(text: &'a Text) -> Self {
        match text.sort {
            Sort::Words => Self::Plain(&text.text),
            // As long as it was, so that what is found stands at the same place.
            Sort::Address => Self::Address(text.text.replace("://", "   ")),
            Sort::Data => match LENIENT.decode(in_one_line(&text.text)).map(String::from_utf8) {
                Ok(Ok(decoded)) if !decoded.contains('\0') => Self::Decoded(decoded),
                Ok(Ok(binary)) => Self::Unread(binary.len() as u64),
                Ok(Err(binary)) => Self::Unread(binary.as_bytes().len() as u64),
                // Whatever it is, it is not what it says that it is.
                Err(_) => Self::Plain(&text.text),
            },
        }
    }

    fn words(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Address(text) | Self::Decoded(text) => text,
            Self::Unread(_) => "",
        }
    }

    /// Whether something that is found there is what it is anyway.
    fn is_itself(&self, finding: &Finding) -> bool {
        matches!(self, Self::Address(_)) && matches!(finding.entity, Entity::Url | Entity::Ip)
    }

    /// The text again, with placeholders in the place of findings, which come in order.
    fn without(&self, text: &Text, cuts: &[Finding]) -> String {
        match self {
            Self::Plain(_) | Self::Address(_) | Self::Unread(_) => without(&text.text, cuts),
            Self::Decoded(decoded) => STANDARD.encode(without(decoded, cuts)),
        }
    }
}

/// Look through an answer. All its texts are one to the detectors, each behind the name of its member, since the word that tells
/// what a number is may stand beside it. Kinds of identifiers that `stays` names are left.
pub(super) fn look(answer: &RawValue, config: &Config, stays: &BTreeSet<&'static str>) -> Looked {
    let texts = texts(answer);
    let seen: Vec<Seen<'_>> = texts.iter().map(Seen::of).collect();
    let (mut whole, mut places, mut unread) = (String::new(), Vec::with_capacity(texts.len()), 0);
    for (text, seen) in texts.iter().zip(&seen) {
        if let Seen::Unread(bytes) = seen {
            unread += bytes;
        }
        if let Some(member) = &text.member {
            whole.push_str(member);
            whole.push_str(": ");
        }
        let begins = whole.len();
        whole.push_str(seen.words());
        places.push(begins..whole.len());
        whole.push('\n');
    }
    let (mut found, mut masked) = (0, BTreeMap::new());
    let mut cuts: BTreeMap<usize, Vec<Finding>> = BTreeMap::new();
    for finding in scan(config, &whole) {
        // What stands in several texts is replaced in each; what stands in the name of a member alone is not.
        let first = places.partition_point(|place| place.end <= finding.start);
        let of = places.iter().enumerate().skip(first).take_while(|(_, place)| place.start < finding.end);
        let of: Vec<(usize, &Range<usize>)> = of.collect();
        let is_itself = |(at, _): &(usize, _)| seen.get(*at).is_some_and(|seen| seen.is_itself(&finding));
        if !of.is_empty() && of.iter().all(is_itself) {
            continue;
        }
        found += 1;
        if stays.contains(finding.entity.tag()) || of.is_empty() {
            continue;
        }
        *masked.entry(finding.entity.tag().to_owned()).or_default() += 1;
        for (at, place) in of {
            let (start, end) = (finding.start.max(place.start), finding.end.min(place.end));
            let cut = Finding { start: start - place.start, end: end - place.start, ..finding };
            cuts.entry(at).or_default().push(cut);
        }
    }
    let others = cuts.iter().filter_map(|(at, cuts)| {
        let (text, seen) = (texts.get(*at)?, seen.get(*at)?);
        Some((text, seen.without(text, cuts)))
    });
    Looked { raw: replaced(answer, others), found, masked, unread }
}

/// Base64 without the line breaks that some put into it.
fn in_one_line(text: &str) -> String {
    text.chars().filter(|char| !char.is_ascii_whitespace()).collect()
}

/// A text with placeholders in the place of findings, which come in order.
fn without(text: &str, cuts: &[Finding]) -> String {
    let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
    let copy = |out: &mut String, range: Range<usize>| {
        out.push_str(text.get(range).unwrap_or_default());
    };
    for cut in cuts {
        copy(&mut out, copied..cut.start);
        out.push_str(&cut.entity.placeholder());
        copied = cut.end;
    }
    copy(&mut out, copied..text.len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(answer: &str, stays: &[&'static str]) -> Looked {
        let raw: &RawValue = serde_json::from_str(answer).unwrap();
        look(raw, &Config::default(), &stays.iter().copied().collect())
    }

    const ANSWER: &str = r#"{"content":[{"type":"text","text":"SSN 219-09-9999, call (617) 555-0123"},
        {"type":"resource","resource":{"uri":"file:///219-09-9999","text":"again 219-09-9999"}}],
        "structuredContent":{"ssn":"219099999","n":1.50},"later":{"x":[ ]}}"#;

    #[test]
    fn what_is_found_is_replaced_and_all_else_stands() {
        let found = looked(ANSWER, &[]);
        assert_eq!(
            found.raw,
            ANSWER
                .replace("SSN 219-09-9999, call (617) 555-0123", "SSN [phi.ssn], call [phi.phone]")
                .replace("file:///219-09-9999", "file:///[phi.ssn]")
                .replace("again 219-09-9999", "again [phi.ssn]")
                .replace("\"219099999\"", "\"[phi.ssn]\"")
        );
        assert_eq!(found.found, 5);
        assert_eq!(found.masked, [("phi.phone".to_owned(), 1), ("phi.ssn".to_owned(), 4)].into());
        let nothing = looked("{\"content\": []}", &[]);
        assert_eq!(
            nothing,
            Looked { raw: "{\"content\": []}".to_owned(), found: 0, masked: BTreeMap::new(), unread: 0 }
        );
    }

    #[test]
    fn what_policy_reveals_stays_and_is_counted_as_found() {
        let found = looked(ANSWER, &["phi.ssn"]);
        assert_eq!(found.raw, ANSWER.replace("(617) 555-0123", "[phi.phone]"));
        assert_eq!((found.found, found.masked), (5, [("phi.phone".to_owned(), 1)].into()));
    }

    #[test]
    fn escapes_hide_nothing() {
        let found = looked(r#"{"text":"SSN 219\u002d09-9999 \ud83d"}"#, &[]);
        assert_eq!(found.raw, "{\"text\":\"SSN [phi.ssn] \u{fffd}\"}");
    }

    #[test]
    fn an_address_is_none_by_itself_and_what_stands_in_it_is() {
        let list = r#"{"resources":[{"uri":"postgres://u@127.0.0.1:5432/patients/schema"},
            {"uri":"https://ehr.example.org/ssn/219-09-9999/notes","description":"at https://ehr.example.org"}]}"#;
        let found = looked(list, &[]);
        let without =
            list.replace("219-09-9999", "[phi.ssn]").replace("at https://ehr.example.org", "at [phi.url]");
        assert_eq!((found.raw, found.found), (without, 2));
    }

    #[test]
    fn what_is_text_is_looked_through_in_base64_too() {
        let of = |blob: &str| {
            looked(&format!(r#"{{"contents":[{{"uri":"a://b","mimeType":"x/y","blob":"{blob}"}}]}}"#), &[])
        };
        let text = STANDARD.encode("SSN 219-09-9999, nothing else");
        let (first, rest) = text.split_at(8);
        for text in [text.as_str(), text.trim_end_matches('='), &format!("{first}\\n{rest}")] {
            let found = of(text);
            assert!(found.raw.contains(&STANDARD.encode("SSN [phi.ssn], nothing else")), "{}", found.raw);
            assert_eq!((found.found, found.unread), (1, 0));
        }
        for binary in [&b"SSN 219-09-9999\0"[..], &[0xff, 0x00, 0x01]] {
            let found = of(&STANDARD.encode(binary));
            assert_eq!((found.found, found.unread), (0, binary.len() as u64));
        }
        let lies = of("SSN 219-09-9999");
        assert!(lies.raw.contains("SSN [phi.ssn]") && lies.unread == 0, "{}", lies.raw);
    }
}
