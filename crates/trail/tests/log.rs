//! What the log keeps, and what it refuses to open.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::task::{Context, Poll, Waker};

use chaperone_trail::*;

fn outcome(session: &str, operation: u64) -> Body {
    Body::OperationOutcome(OperationOutcome {
        bytes: 7,
        call: None,
        duration_us: 9,
        ended_by: None,
        exit_code: None,
        free_text: None,
        operation,
        rows: 1,
        session: session.to_owned(),
        signal: None,
        sqlstate: Some("4\u{7f}\n\u{1}\"€".to_owned()),
        status: Status::Ok,
        subjects: None,
        transcript: None,
        withdrawn: None,
    })
}

fn add(trail: &Trail, body: &Body) -> Seq {
    let seq = trail.append(Draft::new(1, body).unwrap(), &[b"ciphertext"]).unwrap();
    wait(trail, seq);
    seq
}

fn wait(trail: &Trail, seq: Seq) {
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match trail.poll_durable(seq, &mut cx) {
            Poll::Ready(done) => return done.unwrap(),
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

fn entries(trail: &Trail) -> Vec<Entry> {
    let mut all = Vec::new();
    trail
        .scan(|entry| {
            all.push(entry);
            Ok(())
        })
        .unwrap();
    all
}

fn first_segment(folder: &Path) -> std::path::PathBuf {
    folder.join("segments/00000000000000000000.seg")
}

#[test]
fn canonical_form_is_the_one_of_an_independent_canonicaliser() {
    let bytes = Entry { at: 3, seq: 12, body: outcome("s", 2) }.to_bytes().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(serde_json_canonicalizer::to_vec(&value).unwrap(), bytes);
    assert_eq!(parse_entry(&bytes).unwrap().body, outcome("s", 2));
    let text = String::from_utf8(bytes).unwrap();
    for bad in [
        text.replace("\"rows\":1", "\"rows\": 1"),
        text.replace("\"v\":1", "\"v\":1,\"w\":2"),
        text.replace("\"v\":1", "\"v\":2"),
        text.replace("operation.outcome", "operation.other"),
    ] {
        assert!(parse_entry(bad.as_bytes()).is_err(), "{bad}");
    }
    let mut large = outcome("s", 2);
    if let Body::OperationOutcome(body) = &mut large {
        body.rows = NUMBER_MAX + 1;
    }
    assert!(Draft::new(1, &large).is_err());
}

#[test]
fn a_clean_end_leaves_nothing_to_recover() {
    let folder = tempfile::tempdir().unwrap();
    let (trail, found) = Trail::open(Options::new(folder.path())).unwrap();
    assert_eq!(found, Recovered::default());
    assert!(matches!(Trail::open(Options::new(folder.path())), Err(TrailError::Locked)));
    for n in 0..50 {
        assert_eq!(add(&trail, &outcome("s", n)), Seq(n));
    }
    trail.close("test").unwrap();
    assert!(matches!(trail.append(Draft::new(1, &outcome("s", 1)).unwrap(), &[]), Err(TrailError::Closed)));
    drop(trail);
    let (trail, found) = Trail::open(Options::new(folder.path())).unwrap();
    assert!(!found.unclean);
    let all = entries(&trail);
    assert_eq!(all.len(), 51);
    assert!(all.iter().enumerate().all(|(n, entry)| entry.seq == n as u64));
}

fn written(count: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (trail, _) = Trail::open(Options::new(folder.path())).unwrap();
    for n in 0..count {
        add(&trail, &outcome("s", n));
    }
    trail.close("test").unwrap();
    folder
}

#[test]
fn a_torn_last_batch_is_cut_off_and_the_gap_is_recorded() {
    let folder = written(5);
    let path = first_segment(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (trail, found) = Trail::open(Options::new(folder.path())).unwrap();
    assert_eq!((found.entries, found.unclean), (5, true));
    assert!(found.torn_bytes > 0);
    wait(&trail, Seq(6));
    let all = entries(&trail);
    assert!(matches!(all[5].body, Body::Gap(_)));
    assert!(matches!(all[6].body, Body::GatewayRecovered(_)));
}

#[test]
fn a_flipped_bit_in_what_was_durable_is_refused() {
    let folder = written(5);
    let path = first_segment(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(Trail::open(Options::new(folder.path())), Err(TrailError::Damaged { seq: 0, .. })));
}
