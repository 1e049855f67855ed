//! A log key takes the place of another: whoever trusts the old one verifies on, whatever became of the start in which it
//! happened, and nobody puts a key in without the old one's signature.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod faulty;
mod foreign;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chaperone_trail::{
    Body, Disk, Draft, Fate, GatewayHeartbeat, KeyRotated, LogKey, LogKeys, Options, Report, Signer, Step,
    SystemDisk, Trail, TrailError, open_checkpoint, scan_folder, verify,
};
use faulty::Faulty;
use foreign::checker;

fn signer(epoch: u8) -> Signer {
    Signer::new("chaperone/test", &[epoch; 32]).unwrap()
}

fn vkey(epoch: u8) -> String {
    signer(epoch).verifier_key()
}

fn key(epoch: u8) -> LogKey {
    LogKey::new(epoch, format!("log.{epoch}.key"), signer(epoch))
}

fn keys(epochs: &[u8]) -> LogKeys {
    let (first, later) = epochs.split_first().unwrap();
    LogKeys::new(key(*first), later.iter().map(|epoch| key(*epoch)).collect())
}

/// One run with those keys: a few entries more.
fn run(folder: &Path, epochs: &[u8], disk: Arc<dyn Disk>) -> Result<Vec<String>, TrailError> {
    let mut options = Options::new(folder);
    options.disk = disk;
    let (trail, _) = Trail::open(options)?;
    let publisher = trail.publish(keys(epochs));
    for n in 0..40 {
        let body = GatewayHeartbeat { agents: vec![], durable: n, interval_s: 1, sessions: 0 };
        drop(
            trail.append(Draft::new(1_795_000_000_000_000 + n, &Body::GatewayHeartbeat(body)).unwrap(), &[]),
        );
    }
    let closed = trail.close("test");
    let published = publisher.map(|publisher| publisher.join().unwrap());
    published.and(closed).map(|()| trail.former_verifier_keys())
}

fn plain(folder: &Path, epochs: &[u8]) -> Vec<String> {
    run(folder, epochs, Arc::new(SystemDisk)).unwrap()
}

fn verified(folder: &Path, given: &str) -> Report {
    verify(folder, given, |_| {})
}

fn rotations(folder: &Path) -> Vec<KeyRotated> {
    let mut found = Vec::new();
    scan_folder(folder, |entry| {
        if let Body::KeyRotated(body) = entry.body {
            found.push(body);
        }
    })
    .unwrap();
    found
}

#[test]
fn whoever_trusts_any_key_of_the_chain_verifies_the_whole() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    assert_eq!(plain(folder, &[1]), Vec::<String>::new());
    assert_eq!(plain(folder, &[1, 2]), [vkey(1)]);
    // The old key is not needed any more, and one that comes back from a backup changes nothing.
    assert_eq!(plain(folder, &[2]), [vkey(1)]);
    assert_eq!(plain(folder, &[1, 2]), [vkey(1)]);
    // Two at once, each under the one before it.
    assert_eq!(plain(folder, &[2, 3, 4]), [vkey(1), vkey(2), vkey(3)]);
    for given in [vkey(1), vkey(2), vkey(3), vkey(4), format!("{}\n{}\n", vkey(9), vkey(1))] {
        let report = verified(folder, &given);
        assert!(report.is_clean(), "{given}: {:?}", report.findings);
        assert_eq!((report.successions, report.unsigned), (3, 0));
    }
    for other in [vkey(5), format!("{}\n{}", vkey(5), vkey(6))] {
        assert!(!verified(folder, &other).is_clean());
    }
    let told = rotations(folder);
    let named: Vec<_> = told.iter().map(|body| (body.previous.as_str(), body.key.as_str())).collect();
    assert_eq!(named, [("log.1.key", "log.2.key"), ("log.2.key", "log.3.key"), ("log.3.key", "log.4.key")]);
    assert_eq!(told[0].public.as_ref(), Some(&vkey(2)));
    for (old, new) in [(1, 2), (2, 3), (3, 4)] {
        let bytes = fs::read(folder.join(format!("handovers/{old}"))).unwrap();
        assert!(open_checkpoint(&bytes, &vkey(old)).is_ok() && open_checkpoint(&bytes, &vkey(new)).is_ok());
    }
}

#[test]
fn go_follows_the_chain_and_refuses_a_key_outside_of_it() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("trail");
    for epochs in [&[1][..], &[1, 2], &[2, 3]] {
        plain(&folder, epochs);
    }
    let program = checker(home.path());
    let foreign =
        |given: &str| Command::new(&program).arg(&folder).arg(given).output().unwrap().status.success();
    assert!(foreign(&vkey(1)) && foreign(&vkey(2)) && foreign(&vkey(3)));
    assert!(!foreign(&vkey(4)));
    // A checkpoint by a key that another took the place of.
    let kept = fs::read(folder.join("checkpoint")).unwrap();
    let now = open_checkpoint(&kept, &vkey(3)).unwrap();
    fs::write(folder.join("checkpoint"), signer(1).sign(&now)).unwrap();
    assert!(!foreign(&vkey(1)));
    assert!(!verified(&folder, &vkey(1)).is_clean());
    fs::write(folder.join("checkpoint"), kept).unwrap();
    // Without the checkpoint under the old key nothing vouches for the new one.
    let handover = folder.join("handovers/1");
    let kept = fs::read(&handover).unwrap();
    let first = open_checkpoint(&kept, &vkey(1)).unwrap();
    fs::remove_file(&handover).unwrap();
    assert!(!foreign(&vkey(1)));
    fs::write(&handover, signer(2).sign_with(&signer(5), &first)).unwrap();
    assert!(!foreign(&vkey(1)));
    fs::write(&handover, kept).unwrap();
    assert!(foreign(&vkey(1)));
}

#[test]
fn a_key_that_was_not_announced_under_the_old_one_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    plain(folder, &[1]);
    // Neither by a start that has only another key, nor by one under another name.
    let refused = run(folder, &[2], Arc::new(SystemDisk)).unwrap_err();
    assert!(matches!(refused, TrailError::Unsigned), "{refused}");
    let renamed = Signer::new("chaperone/other", &[1; 32]).unwrap();
    let (trail, _) = Trail::open(Options::new(folder)).unwrap();
    assert!(matches!(trail.publish(renamed), Err(TrailError::Unsigned)));
    trail.close("test").unwrap();
    drop(trail);
    plain(folder, &[1]);
    // Somebody signs the log with a key of their own.
    let bytes = fs::read(folder.join("checkpoint")).unwrap();
    let now = open_checkpoint(&bytes, &vkey(1)).unwrap();
    fs::write(folder.join("checkpoint"), signer(2).sign(&now)).unwrap();
    assert!(!verified(folder, &vkey(1)).is_clean());
    assert!(verified(folder, &vkey(2)).is_clean(), "whoever trusts that key trusts it");
    fs::write(folder.join("checkpoint"), &bytes).unwrap();
    plain(folder, &[1, 2]);
    let report = verified(folder, &vkey(1));
    assert!(report.is_clean(), "{:?}", report.findings);

    let broken = |what: &str, path: &str, bytes: Option<Vec<u8>>| {
        let path = folder.join(path);
        let kept = fs::read(&path).ok();
        match bytes {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        assert!(!verified(folder, &vkey(1)).is_clean(), "{what}");
        match kept {
            Some(kept) => fs::write(&path, kept).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        assert!(verified(folder, &vkey(1)).is_clean());
    };
    let note = fs::read(folder.join("handovers/1")).unwrap();
    let at = open_checkpoint(&note, &vkey(1)).unwrap();
    broken("the last checkpoint of the old key is gone", "handovers/1", None);
    broken("it is the new key's only", "handovers/1", Some(signer(2).sign(&at).into_bytes()));
    broken("it is the old key's only", "handovers/1", Some(signer(1).sign(&at).into_bytes()));
    let earlier = chaperone_trail::Checkpoint { size: 1, ..at.clone() };
    let both = |checkpoint| signer(1).sign_with(&signer(2), &checkpoint).into_bytes();
    broken("it does not cover the new key", "handovers/1", Some(both(earlier)));
    let other = chaperone_trail::Checkpoint { root: [7; 32], ..at.clone() };
    broken("it is of another tree", "handovers/1", Some(both(other)));
    broken("one that no entry tells of", "handovers/7", Some(both(at)));
    let bytes = fs::read(folder.join("checkpoint")).unwrap();
    let now = open_checkpoint(&bytes, &vkey(2)).unwrap();
    broken("the old key signs on", "checkpoint", Some(signer(1).sign(&now).into_bytes()));
    broken("another key signs on", "checkpoint", Some(signer(3).sign(&now).into_bytes()));
}

/// Every step of a start in which keys take over is cut off, not done or done; the log verifies as it lies there, and the
/// next start brings it to its end without telling anything twice.
#[test]
fn a_start_that_ends_anywhere_is_gone_on_with() {
    let steps = [
        Step::BatchWrite,
        Step::BatchSync,
        Step::TileWrite,
        Step::TileRename,
        Step::CheckpointWrite,
        Step::CheckpointRename,
    ];
    let fates = [Fate::Lost(ErrorKind::Other), Fate::DoneButFailed(ErrorKind::Other)];
    let mut hits = 0;
    for step in steps {
        for fate in fates {
            for skip in 0..5 {
                let home = tempfile::tempdir().unwrap();
                let folder = home.path();
                plain(folder, &[1]);
                let case = format!("{step:?} {fate:?} after {skip}");
                let faulty = Arc::new(Faulty { step, fate, skip, seen: AtomicUsize::new(0) });
                let result = run(folder, &[1, 2, 3], faulty.clone());
                if faulty.seen.load(Ordering::SeqCst) <= skip {
                    assert!(result.is_ok(), "{case}");
                    continue;
                }
                hits += 1;
                let report = verified(folder, &vkey(1));
                // What was not synced, or stands behind the checkpoint, is not judged here.
                let lies = |what: &str| what.contains("log key") || what.contains("handovers");
                assert!(!report.findings.iter().any(|found| lies(&found.what)), "{case}: {report:?}");
                plain(folder, &[1, 2, 3]);
                assert_eq!(plain(folder, &[3]), [vkey(1), vkey(2)], "{case}");
                let report = verified(folder, &vkey(1));
                assert!(report.is_clean(), "{case}: {:?}", report.findings);
                assert_eq!((report.successions, rotations(folder).len()), (2, 2), "{case}");
            }
        }
    }
    assert!(hits > 30, "{hits}");
}
