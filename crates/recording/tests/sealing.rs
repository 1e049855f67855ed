//! Sealed objects: only the named reader opens them, only where they belong, and no byte of them can be changed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashSet;

use chaperone_access::SessionId;
use chaperone_recording::keys::{DataKey, Reader, ReaderKey, ReaderPrivate, WrappedKey};
use chaperone_recording::open::{OpenError, open};
use chaperone_recording::seal::{ObjectKind, SealError, SessionSealer};

const INSTALLATION: &str = "clinic";

fn session(n: u8) -> SessionId {
    SessionId::from_parts(1, [n; 10])
}

/// A reader, a sealer for session 1 and the key as wrapped to the reader.
fn sealed_for() -> (ReaderPrivate, SessionSealer, WrappedKey) {
    let (public, private) = ReaderKey::generate();
    let key = DataKey::generate().unwrap();
    let reader = Reader { id: "pia".into(), epoch: 1, key: public };
    let wrapped = key.wrap(INSTALLATION, session(1), &[reader]).unwrap().remove(0);
    (private, SessionSealer::new(session(1), key).unwrap(), wrapped)
}

#[test]
fn what_was_sealed_is_what_the_reader_opens() {
    let (private, mut sealer, wrapped) = sealed_for();
    let long = "select 'x' from patients where name = 'Ana'; ".repeat(500);
    for (kind, plain) in [
        (ObjectKind::Statement, b"select 1".as_slice()),
        (ObjectKind::Parameters, b""),
        (ObjectKind::Statement, long.as_bytes()),
    ] {
        let frame = sealer.seal(kind, plain).unwrap();
        assert!(plain.len() < 8 || !frame.bytes.windows(8).any(|window| window == &plain[..8]));
        let (found, opened) = open(&private, INSTALLATION, session(1), &wrapped, &frame.bytes).unwrap();
        assert_eq!((found.tag(), opened.as_slice()), (kind.tag(), plain));
    }
    let frame = sealer.seal(ObjectKind::Statement, long.as_bytes()).unwrap();
    assert!(frame.bytes.len() < long.len() / 4, "{} bytes were not compressed", frame.bytes.len());
}

#[test]
fn no_byte_of_a_frame_or_wrapped_key_can_be_changed() {
    let (private, mut sealer, wrapped) = sealed_for();
    let frame = sealer.seal(ObjectKind::Statement, b"select secret from patients").unwrap();
    for at in 0..frame.bytes.len() {
        for bit in [1, 0x80] {
            let mut altered = frame.bytes.clone();
            altered[at] ^= bit;
            assert!(open(&private, INSTALLATION, session(1), &wrapped, &altered).is_err(), "byte {at}");
        }
        assert!(
            open(&private, INSTALLATION, session(1), &wrapped, &frame.bytes[..at]).is_err(),
            "cut at {at}"
        );
    }
    for at in 0..wrapped.bytes.len() {
        let mut altered = wrapped.clone();
        altered.bytes[at] ^= 1;
        assert!(open(&private, INSTALLATION, session(1), &altered, &frame.bytes).is_err(), "key byte {at}");
    }
}

#[test]
fn a_frame_opens_nowhere_else() {
    let (private, mut sealer, wrapped) = sealed_for();
    let (stranger, mut other, foreign) = sealed_for();
    let frame = sealer.seal(ObjectKind::Statement, b"select 1").unwrap().bytes;
    let elsewhere = other.seal(ObjectKind::Statement, b"select 1").unwrap().bytes;
    assert!(matches!(open(&stranger, INSTALLATION, session(1), &wrapped, &frame), Err(OpenError::Key(_))));
    assert!(matches!(open(&private, "another", session(1), &wrapped, &frame), Err(OpenError::Key(_))));
    assert!(matches!(open(&private, INSTALLATION, session(2), &wrapped, &frame), Err(OpenError::Key(_))));
    assert_eq!(open(&private, INSTALLATION, session(1), &wrapped, &elsewhere), Err(OpenError::OtherKey));
    assert!(matches!(open(&private, INSTALLATION, session(1), &foreign, &elsewhere), Err(OpenError::Key(_))));
}

#[test]
fn equal_texts_have_different_frames_and_no_counter_comes_twice() {
    let (_, mut sealer, _) = sealed_for();
    let mut frames = HashSet::new();
    let mut hashes = HashSet::new();
    for _ in 0..2_000 {
        let frame = sealer.seal(ObjectKind::Statement, b"select 1").unwrap();
        // What stands between header and text: the counter, the last 8 bytes of the header.
        assert!(frames.insert(frame.bytes[38..46].to_vec()), "a nonce was used twice");
        assert!(hashes.insert(frame.sha256));
    }
    let too_long = vec![0; chaperone_recording::seal::PLAINTEXT_BYTES_MAX + 1];
    assert!(matches!(sealer.seal(ObjectKind::Statement, &too_long), Err(SealError::TooLong { .. })));
}
