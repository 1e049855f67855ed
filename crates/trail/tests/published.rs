//! What is published can be verified by us and by a program that is not ours, and a changed bit is found by both.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod foreign;

use std::path::{Path, PathBuf};
use std::process::Command;

use chaperone_trail::{Body, Draft, GatewayHeartbeat, Options, Signer, Trail, verify};
use foreign::checker;

const SEED: [u8; 32] = [7; 32];

fn signer() -> Signer {
    Signer::new("chaperone/test", &SEED).unwrap()
}

fn beat(trail: &Trail, n: u64) {
    let body =
        Body::GatewayHeartbeat(GatewayHeartbeat { agents: vec![], durable: n, interval_s: 1, sessions: 0 });
    let draft = Draft::new(1_795_000_000_000_000 + n, &body).unwrap();
    loop {
        match trail.append(draft.clone(), &[]) {
            Ok(_) => return,
            Err(chaperone_trail::TrailError::Busy) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A log of a few hundred entries, made in two runs.
fn make(folder: &Path) -> String {
    for run in 0..2 {
        let (trail, _) = Trail::open(Options::new(folder)).unwrap();
        let publisher = trail.publish(signer()).unwrap();
        for n in 0..350 {
            beat(&trail, run * 1000 + n);
        }
        trail.close("test").unwrap();
        publisher.join().unwrap();
    }
    signer().verifier_key()
}

fn foreign(program: &Path, folder: &Path, key: &str) -> bool {
    let output = Command::new(program).arg(folder).arg(key).output().unwrap();
    if output.status.success() {
        assert!(String::from_utf8_lossy(&output.stdout).contains("702 entries"));
    } else {
        assert!(!output.stderr.is_empty(), "it names what differs");
    }
    output.status.success()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_by_us_and_by_go() {
    let folder = tempfile::tempdir().unwrap();
    let trail = folder.path().join("trail");
    let key = make(&trail);
    let checker = checker(folder.path());
    let report = verify(&trail, &key, |_| {});
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.size, report.unsigned), (702, 0));
    assert!(foreign(&checker, &trail, &key));
    let other = Signer::new("chaperone/test", &[8; 32]).unwrap().verifier_key();
    assert!(!verify(&trail, &other, |_| {}).is_clean());
    assert!(!foreign(&checker, &trail, &other));

    let mut published = Vec::new();
    files(&trail, &mut published);
    let mut changed = 0;
    for path in published {
        let bytes = std::fs::read(&path).unwrap();
        let name = path.to_string_lossy().into_owned();
        if name.ends_with("lock") {
            continue;
        }
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for at in [0, used / 3, used / 2, used - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            std::fs::write(&path, &flipped).unwrap();
            // Partial tiles and bundles of the first run belong to no checkpoint that is there.
            let stale = name.contains(".p/") && verify(&trail, &key, |_| {}).is_clean();
            if stale {
                assert!(!name.contains("001.p/95") && !name.contains("002.p/190"), "{name}");
            } else {
                assert!(!verify(&trail, &key, |_| {}).is_clean(), "{name} at {at}");
                changed += 1;
            }
            if name.contains("entries") && !stale || name.ends_with("checkpoint") {
                assert!(!foreign(&checker, &trail, &key), "{name} at {at}");
            }
        }
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(changed >= 20, "{changed}");
    assert!(verify(&trail, &key, |_| {}).is_clean());
}

/// The partial tiles of a checkpoint go when they are full: whoever has read that checkpoint finds its hashes in those.
#[test]
fn a_checkpoint_is_verified_while_the_log_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (trail, _) = Trail::open(Options::new(folder.path())).unwrap();
    let publisher = trail.publish(signer()).unwrap();
    (0..100).for_each(|n| beat(&trail, n));
    trail.close("test").unwrap();
    publisher.join().unwrap();
    let early = std::fs::read(folder.path().join("checkpoint")).unwrap();
    drop(trail);
    let (trail, _) = Trail::open(Options::new(folder.path())).unwrap();
    let publisher = trail.publish(signer()).unwrap();
    (100..700).for_each(|n| beat(&trail, n));
    trail.close("test").unwrap();
    publisher.join().unwrap();
    assert!(
        !folder.path().join("tile/entries/000.p").exists() && !folder.path().join("tile/0/000.p").exists()
    );
    std::fs::write(folder.path().join("checkpoint"), early).unwrap();
    let key = signer().verifier_key();
    let report = verify(folder.path(), &key, |_| {});
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.size, report.unsigned), (101, 601));
    // They are looked at no less than its own.
    for (path, at) in [("tile/0/000", 40), ("tile/entries/000", 4)] {
        let path = folder.path().join(path);
        let bytes = std::fs::read(&path).unwrap();
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        std::fs::write(&path, flipped).unwrap();
        assert!(!verify(folder.path(), &key, |_| {}).is_clean(), "{}", path.display());
        std::fs::write(&path, bytes).unwrap();
    }
}

/// A batch that is half there when it is read is no damage where its other half follows.
#[test]
fn a_batch_that_is_being_written_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let trail = folder.path().join("trail");
    let key = make(&trail);
    let path = trail.join("segments/00000000000000000000.seg");
    let whole = std::fs::read(&path).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut half = whole.clone();
    half[end - 20..end].fill(0);
    std::fs::write(&path, &half).unwrap();
    assert!(!verify(&trail, &key, |_| {}).is_clean());
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            std::fs::write(path.with_extension("new"), &whole).unwrap();
            std::fs::rename(path.with_extension("new"), &path).unwrap();
        });
        verify(&trail, &key, |_| {})
    });
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[test]
fn an_old_copy_or_another_history_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let trail = folder.path().join("trail");
    make(&trail);
    let checkpoint = std::fs::read(trail.join("checkpoint")).unwrap();
    let other = folder.path().join("other");
    let (log, _) = Trail::open(Options::new(&other)).unwrap();
    for n in 0..10 {
        beat(&log, n);
    }
    log.close("test").unwrap();
    drop(log);
    std::fs::write(other.join("checkpoint"), &checkpoint).unwrap();
    let (log, _) = Trail::open(Options::new(&other)).unwrap();
    let refused = log.publish(signer()).unwrap_err().to_string();
    assert!(refused.contains("shorter"), "{refused}");
    for n in 10..900 {
        beat(&log, n);
    }
    log.close("test").unwrap();
    drop(log);
    let (log, _) = Trail::open(Options::new(&other)).unwrap();
    let refused = log.publish(signer()).unwrap_err().to_string();
    assert!(refused.contains("not the one"), "{refused}");
}
