//! A stream gives what the whole gives, wherever it is cut, and holds little back.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::sync::Arc;

use chaperone_masking::{
    Config, Entity, Finding, HELD_BACK_MAX, Pattern, Released, Scanner, scan, scan_bytes,
};
use proptest::prelude::*;

/// What texts are composed of: identifiers and their parts, cues, look-alikes, invisible characters, broken bytes.
const PIECES: [&[u8]; 64] = [
    b"SSN ", b"123-45-6789", b"123456789", b"123", b"-45-", b"6789", b" MRN: ", b"MH0012345", b"NPI 1234567893",
    b"AB1234563", b"1EG4-TE5-MK73", b"(617) 555-0123", b"617", b"555-0123", b"ana.lopez@example.org", b"@", b"example.com",
    b"01/02/1990", b"1990-01-02T10:00", b"January ", b"2, 1990", b"2nd of May", b"94-year-old", b"ninety-two year old",
    b"Boston, MA 02115", b"4111 1111 1111 1111", b"account no. ", b"0012-3456-789", b"1M8GDM9AXKP042788", b"192.0.2.17",
    b"2001:db8::17", b"https://example.org/a?b=c", b"://", b"www.example.org", b"Dr. ", b"Ana Lopez", b"Patient: ",
    b"LOPEZ, ANA", b", MD", b"\nSincerely,\n\n", b" signed by ", b"Dear ", b" ", b"\n", b"\n\n", b".", b",", b"a", b"Z9",
    "１２３".as_bytes(), "\u{a0}".as_bytes(), "\u{2011}".as_bytes(), "\u{200b}\u{200b}".as_bytes(), "e\u{301}".as_bytes(),
    "José".as_bytes(), "ﬁ".as_bytes(), "\u{fdfa}".as_bytes(), "😀".as_bytes(), b"\xff", b"\xc3", b"\xf0\x9f\x98", b"\xa0",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b"11111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111",
];

fn config() -> Arc<Config> {
    Arc::new(Config { mrn: vec![Pattern::parse(r"MH\d{7}").unwrap()], ..Config::default() })
}

fn streamed(config: &Arc<Config>, text: &[u8], cuts: &[usize]) -> (Released, usize) {
    let mut scanner = Scanner::new(Arc::clone(config));
    let mut all = Released::default();
    let mut held_most = 0;
    let mut rest = text;
    let mut add = |released: Released| {
        all.text.extend(released.text);
        all.findings.extend(released.findings);
    };
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, tail) = rest.split_at((*cut).clamp(1, rest.len()));
        add(scanner.push(chunk));
        held_most = held_most.max(scanner.held_back());
        rest = tail;
    }
    add(scanner.finish());
    (all, held_most)
}

/// What masking the whole gives.
fn masked(text: &[u8], findings: &[Finding]) -> Vec<u8> {
    let mut masked = Vec::new();
    let mut copied = 0;
    for finding in findings {
        masked.extend_from_slice(&text[copied..finding.start]);
        masked.extend_from_slice(finding.entity.placeholder().as_bytes());
        copied = finding.end;
    }
    masked.extend_from_slice(&text[copied..]);
    masked
}

fn check(text: &[u8], cuts: &[usize]) {
    let config = config();
    let whole = scan_bytes(&config, text);
    let (stream, held_most) = streamed(&config, text, cuts);
    assert_eq!(stream.findings, whole);
    assert_eq!(stream.text, masked(text, &whole));
    assert!(held_most <= HELD_BACK_MAX, "{held_most}");
    for pair in whole.windows(2) {
        assert!(pair[0].end <= pair[1].start && pair[0].start < pair[0].end, "{pair:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn cuts_do_not_matter(
        pieces in prop::collection::vec(0..PIECES.len(), 0..60),
        cuts in prop::collection::vec(1_usize..200, 1..8),
    ) {
        let text: Vec<u8> = pieces.iter().flat_map(|piece| PIECES[*piece].iter().copied()).collect();
        check(&text, &cuts);
    }

    #[test]
    fn bytes_of_any_kind_are_taken(text in prop::collection::vec(any::<u8>(), 0..600), cut in 1_usize..50) {
        check(&text, &[cut]);
    }
}

#[test]
fn byte_by_byte_is_the_whole() {
    let text: Vec<u8> = PIECES.iter().flat_map(|piece| piece.iter().copied().chain(*b" ")).collect();
    check(&text, &[1]);
    assert!(scan_bytes(&config(), &text).len() > 20);
}

#[test]
fn an_endless_token_is_bounded_and_searched() {
    let mut text = vec![b'a'; 1 << 20];
    text.extend_from_slice(b"@example.com ");
    text.extend(vec![b'7'; 1 << 20]);
    text.extend_from_slice(b" SSN 123-45-6789 https://example.org/");
    text.extend(vec![b'x'; 1 << 20]);
    text.extend_from_slice(b" 617-555-0123");
    let config = config();
    let (stream, held_most) = streamed(&config, &text, &[4096]);
    let found: Vec<_> = stream.findings.iter().map(|finding| finding.entity).collect();
    assert_eq!(found, [Entity::Email, Entity::Ssn, Entity::Url, Entity::Phone]);
    assert!(held_most < 1024, "{held_most}");
    assert!(stream.text.ends_with(b" SSN [phi.ssn] [phi.url] [phi.phone]"));
    assert_eq!(stream.findings, scan_bytes(&config, &text));
}

#[test]
fn invisible_characters_do_not_hold_back_without_end() {
    let text = "\u{200b}".repeat(500_000);
    let (stream, held_most) = streamed(&config(), text.as_bytes(), &[8192]);
    assert!(held_most <= HELD_BACK_MAX, "{held_most}");
    assert_eq!(stream.text, text.as_bytes());
}

#[test]
fn invalid_bytes_do_not_stop_it() {
    let found = |text: &[u8]| scan_bytes(&Config::default(), text);
    let finding = found(b"\xff\xfe caf\xe9 SSN\xa0123\x9645\x966789 \xf0\x9f")[0];
    assert_eq!((finding.entity, finding.start, finding.end), (Entity::Ssn, 12, 23));
    assert_eq!(found(b"Dr. Jos\xe9 Garc\xeda ")[0].end, 15);
}

#[test]
fn what_is_to_be_left_is_left() {
    let config = Config { leave: [Entity::Date].into(), ..Config::default() };
    assert_eq!(scan(&config, "on 01/02/1990"), []);
    assert_eq!(scan(&config, "on 01/02/1990 SSN 123-45-6789").len(), 1);
}
