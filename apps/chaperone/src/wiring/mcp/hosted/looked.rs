//! What detectors find in a server's answer, and the answer without it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chaperone_masking::{Config, Finding, scan};
use chaperone_mcp::texts::{Text, replaced, texts};
use serde_json::value::RawValue;

/// An answer that was looked through.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Looked {
    /// It, with what was found replaced by its tag; all else as it stood.
    pub(super) raw: String,
    /// Identifiers that were found, those that stay included.
    pub(super) found: u64,
    /// Those that were replaced, by tag.
    pub(super) masked: BTreeMap<String, u64>,
}

/// Look through an answer. All its texts are one to the detectors, each behind the name of its member, since the word that tells
/// what a number is may stand beside it. Kinds of identifiers that `stays` names are left.
pub(super) fn look(answer: &RawValue, config: &Config, stays: &BTreeSet<&'static str>) -> Looked {
    let texts = texts(answer);
    let (mut whole, mut places) = (String::new(), Vec::with_capacity(texts.len()));
    for text in &texts {
        if let Some(member) = &text.member {
            whole.push_str(member);
            whole.push_str(": ");
        }
        let begins = whole.len();
        whole.push_str(&text.text);
        places.push(begins..whole.len());
        whole.push('\n');
    }
    let findings = scan(config, &whole);
    let mut masked: BTreeMap<String, u64> = BTreeMap::new();
    let mut cuts: BTreeMap<usize, Vec<Finding>> = BTreeMap::new();
    for finding in &findings {
        if stays.contains(finding.entity.tag()) {
            continue;
        }
        // What stands in several texts is replaced in each; what stands in the name of a member alone is not.
        let first = places.partition_point(|place| place.end <= finding.start);
        let of = places.iter().enumerate().skip(first).take_while(|(_, place)| place.start < finding.end);
        let mut is_replaced = false;
        for (at, place) in of {
            is_replaced = true;
            let (start, end) = (finding.start.max(place.start), finding.end.min(place.end));
            cuts.entry(at).or_default().push(Finding {
                start: start - place.start,
                end: end - place.start,
                ..*finding
            });
        }
        if is_replaced {
            *masked.entry(finding.entity.tag().to_owned()).or_default() += 1;
        }
    }
    let others = cuts.iter().filter_map(|(at, cuts)| texts.get(*at).map(|text| (text, without(text, cuts))));
    Looked { raw: replaced(answer, others), found: findings.len() as u64, masked }
}

/// A text with placeholders in the place of findings, which come in order.
fn without(text: &Text, cuts: &[Finding]) -> String {
    let (mut out, mut copied) = (String::with_capacity(text.text.len()), 0);
    let copy = |out: &mut String, range: Range<usize>| {
        out.push_str(text.text.get(range).unwrap_or_default());
    };
    for cut in cuts {
        copy(&mut out, copied..cut.start);
        out.push_str(&cut.entity.placeholder());
        copied = cut.end;
    }
    copy(&mut out, copied..text.text.len());
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
                .replace("again 219-09-9999", "again [phi.ssn]")
                .replace("\"219099999\"", "\"[phi.ssn]\"")
        );
        assert_eq!(found.found, 4);
        assert_eq!(found.masked, [("phi.phone".to_owned(), 1), ("phi.ssn".to_owned(), 3)].into());
        let nothing = looked("{\"content\": []}", &[]);
        assert_eq!(
            nothing,
            Looked { raw: "{\"content\": []}".to_owned(), found: 0, masked: BTreeMap::new() }
        );
    }

    #[test]
    fn what_policy_reveals_stays_and_is_counted_as_found() {
        let found = looked(ANSWER, &["phi.ssn"]);
        assert_eq!(found.raw, ANSWER.replace("(617) 555-0123", "[phi.phone]"));
        assert_eq!((found.found, found.masked), (4, [("phi.phone".to_owned(), 1)].into()));
    }

    #[test]
    fn escapes_hide_nothing() {
        let found = looked(r#"{"text":"SSN 219\u002d09-9999 \ud83d"}"#, &[]);
        assert_eq!(found.raw, "{\"text\":\"SSN [phi.ssn] \u{fffd}\"}");
    }
}
