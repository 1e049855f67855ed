//! Each step in which the log changes the disk fails twice: once lost, once done but reported as failed. Whatever was
//! acknowledged before is there afterwards, the log opens again, and its published form verifies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod faulty;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use chaperone_trail::{
    Body, Digest, Disk, Draft, Entry, Fate, GatewayHeartbeat, Options, Signer, Step, Trail, TrailError,
    scan_folder, verify,
};
use faulty::Faulty;

fn signer() -> Signer {
    Signer::new("chaperone/test", &[7; 32]).unwrap()
}

fn beat(n: u64) -> Draft {
    let body = GatewayHeartbeat { agents: vec![], durable: n, interval_s: 1, sessions: 0 };
    Draft::new(1_795_000_000_000_000 + n, &Body::GatewayHeartbeat(body)).unwrap()
}

/// Ready or failed, in seconds at most.
fn settled(trail: &Trail, seq: chaperone_trail::Seq) -> Result<(), TrailError> {
    let mut cx = Context::from_waker(Waker::noop());
    let began = Instant::now();
    loop {
        if let Poll::Ready(settled) = trail.poll_durable(seq, &mut cx) {
            return settled;
        }
        assert!(began.elapsed().as_secs() < 30, "entry {seq:?} neither became durable nor failed");
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// Write marked entries with large frames until the end or the first failure; the marks that were acknowledged.
fn load(folder: &Path, disk: Arc<dyn Disk>, marks: &AtomicU64, count: usize) -> Vec<u64> {
    let mut options = Options::new(folder);
    options.disk = disk;
    let Ok((trail, _)) = Trail::open(options) else { return Vec::new() };
    let publisher = trail.publish(signer());
    let frame = vec![0x5a; 1 << 20];
    let mut acknowledged = Vec::new();
    for _ in 0..count {
        let mark = marks.fetch_add(1, Ordering::SeqCst);
        let appended = trail.append(beat(mark), &[&frame]);
        match appended.and_then(|seq| settled(&trail, seq)) {
            Ok(()) => acknowledged.push(mark),
            // No further segment for now: it is tried again every second.
            Err(TrailError::Full) => std::thread::sleep(Duration::from_millis(400)),
            Err(TrailError::Failed(_)) => break,
            Err(other) => panic!("{other}"),
        }
    }
    drop(trail.close("test"));
    if let Ok(publisher) = publisher {
        publisher.join().unwrap();
    }
    acknowledged
}

fn reopened(folder: &Path) -> Trail {
    let (trail, _) = Trail::open(Options::new(folder)).unwrap_or_else(|error| panic!("{error}"));
    let publisher = trail.publish(signer()).unwrap_or_else(|error| panic!("{error}"));
    let seq = trail.append(beat(u64::from(u32::MAX)), &[]).unwrap();
    settled(&trail, seq).unwrap();
    trail.close("test").unwrap();
    publisher.join().unwrap();
    trail
}

fn marks_of(folder: &Path) -> Vec<u64> {
    let mut found = Vec::new();
    let take = |entry: Entry| {
        if let Body::GatewayHeartbeat(body) = entry.body {
            found.push(body.durable);
        }
    };
    scan_folder(folder, take).unwrap();
    found
}

/// Bytes of a batch that was never acknowledged, behind the last one.
fn tear(folder: &Path) {
    let mut segments: Vec<_> =
        fs::read_dir(folder.join("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    let path = segments.pop().unwrap();
    let end = fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    // A batch is whole blocks.
    let end = end.next_multiple_of(512);
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(b"cpbatch1 and then the power went", end).unwrap();
}

fn survives(step: Step, fate: Fate, skip: usize) {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    let marks = AtomicU64::new(0);
    let case = format!("{step:?} {fate:?} after {skip}");
    let mut acknowledged = load(folder, Arc::new(chaperone_trail::SystemDisk), &marks, 2);
    tear(folder);
    let faulty = Arc::new(Faulty { step, fate, skip, seen: AtomicUsize::new(0) });
    // More than one segment takes, so that every step occurs.
    acknowledged.extend(load(folder, faulty.clone(), &marks, 26));
    assert!(faulty.seen.load(Ordering::SeqCst) > skip, "{case}: the step never came");
    // Again after the fault, as a restart would.
    acknowledged.extend(load(folder, Arc::new(chaperone_trail::SystemDisk), &marks, 3));
    drop(reopened(folder));
    let found = marks_of(folder);
    for mark in &acknowledged {
        let times = found.iter().filter(|found| *found == mark).count();
        assert_eq!(times, 1, "{case}: acknowledged entry {mark} is there {times} times");
    }
    assert!(found.is_sorted(), "{case}: {found:?}");
    let report = verify(folder, &signer().verifier_key(), |_| {});
    assert!(report.is_clean(), "{case}: {:?}", report.findings);
    assert!(report.unsigned == 0 && report.size as usize > acknowledged.len(), "{case}: {report:?}");
}

#[test]
fn every_step_may_be_lost() {
    for step in Step::ALL {
        survives(step, Fate::Lost(ErrorKind::StorageFull), 0);
    }
}

#[test]
fn every_step_may_be_done_and_reported_as_failed() {
    for step in Step::ALL {
        survives(step, Fate::DoneButFailed(ErrorKind::Other), 0);
    }
}

#[test]
fn steps_that_come_again_may_fail_later() {
    for (step, skip) in [(Step::BatchWrite, 20), (Step::BatchSync, 20), (Step::TileRename, 1)] {
        survives(step, Fate::Lost(ErrorKind::Other), skip);
        survives(step, Fate::DoneButFailed(ErrorKind::Other), skip);
    }
}

/// A failed sync is the end of the run: nothing is taken as if it had not happened.
#[test]
fn nothing_is_acknowledged_after_a_failed_sync() {
    let home = tempfile::tempdir().unwrap();
    let mut options = Options::new(home.path());
    options.disk = Arc::new(Faulty {
        step: Step::BatchSync,
        fate: Fate::DoneButFailed(ErrorKind::Other),
        skip: 1,
        seen: AtomicUsize::new(0),
    });
    let (trail, _) = Trail::open(options).unwrap();
    let first = trail.append(beat(1), &[]).unwrap();
    settled(&trail, first).unwrap();
    let second = trail.append(beat(2), &[]).unwrap();
    assert!(matches!(settled(&trail, second), Err(TrailError::Failed(_))));
    assert!(matches!(trail.append(beat(3), &[]), Err(TrailError::Failed(_))));
    assert!(trail.close("test").is_err());
}

/// A disk without room for a further segment, while it says 1.
#[derive(Debug)]
struct Full(AtomicUsize);

impl Disk for Full {
    fn fate(&self, step: Step) -> Fate {
        let full = step == Step::SegmentFill && self.0.load(Ordering::SeqCst) == 1;
        if full { Fate::Lost(ErrorKind::StorageFull) } else { Fate::Done }
    }
}

/// While no further segment can be made, closing entries still have room, everything else is refused, and the first
/// thing recorded afterwards is the gap.
#[test]
fn a_full_disk_leaves_room_for_closing_entries() {
    let home = tempfile::tempdir().unwrap();
    let disk = Arc::new(Full(AtomicUsize::new(0)));
    let mut options = Options::new(home.path());
    options.disk = disk.clone();
    let (trail, _) = Trail::open(options).unwrap();
    disk.0.store(1, Ordering::SeqCst);
    let frame = vec![0x5a; 1 << 20];
    let mut count = 0;
    let refused = loop {
        // A heartbeat would still have room: it is among the closing kinds.
        let body = Body::PolicyLoaded(chaperone_trail::PolicyLoaded {
            by: Some("start".into()),
            count,
            policy: Digest([1; 32]),
        });
        match trail.append(Draft::new(1, &body).unwrap(), &[&frame]) {
            Ok(seq) => settled(&trail, seq).unwrap(),
            Err(error) => break error,
        }
        count += 1;
        assert!(count < 64, "the disk never became full");
    };
    assert!(matches!(refused, TrailError::Full), "{refused}");
    // What was said and not counted yet is counted before the session's end is written.
    let told = Body::SessionTold(chaperone_trail::SessionTold {
        bytes: 7,
        call: None,
        session: "s".into(),
        sqlstate: None,
        statement: None,
    });
    trail.append(Draft::new(1, &told).unwrap(), &[]).unwrap();
    let closing = Body::SessionClosed(chaperone_trail::SessionClosed {
        agent: None,
        bytes_from_target: 0,
        bytes_to_target: 0,
        duration_us: 1,
        ended_after_us: None,
        operations: 0,
        reason: "client_left".into(),
        refusals: 0,
        rows: 0,
        session: "s".into(),
    });
    let seq = trail.append(Draft::new(1, &closing).unwrap(), &[]).unwrap();
    settled(&trail, seq).unwrap();
    disk.0.store(0, Ordering::SeqCst);
    let began = Instant::now();
    let again = loop {
        let body = Body::PolicyLoaded(chaperone_trail::PolicyLoaded {
            by: Some("start".into()),
            count,
            policy: Digest([1; 32]),
        });
        match trail.append(Draft::new(1, &body).unwrap(), &[]) {
            Ok(seq) => break seq,
            Err(TrailError::Full) => std::thread::sleep(Duration::from_millis(50)),
            Err(other) => panic!("{other}"),
        }
        assert!(began.elapsed().as_secs() < 10, "room was never found again");
    };
    settled(&trail, again).unwrap();
    trail.close("test").unwrap();
    let mut kinds = Vec::new();
    scan_folder(home.path(), |entry| kinds.push(entry.body.kind().as_str())).unwrap();
    let gap = kinds.iter().position(|kind| *kind == "gap").unwrap();
    assert_eq!(kinds[gap - 1], "session.closed", "{kinds:?}");
    assert_eq!(kinds[gap + 1], "policy.loaded", "{kinds:?}");
}

/// Whoever never waits for the disk does not use up the room of closing entries either: what was taken always fits, and a
/// closing entry that has no room left is refused without an end of the log.
#[test]
fn whoever_never_waits_leaves_room_for_closing_entries() {
    let home = tempfile::tempdir().unwrap();
    let disk = Arc::new(Full(AtomicUsize::new(0)));
    let mut options = Options::new(home.path());
    options.disk = disk.clone();
    let (trail, _) = Trail::open(options.clone()).unwrap();
    disk.0.store(1, Ordering::SeqCst);
    let frame = vec![0x5a; 3 << 20];
    let loaded = || {
        let body = chaperone_trail::PolicyLoaded { by: None, count: 1, policy: Digest([1; 32]) };
        Draft::new(1, &Body::PolicyLoaded(body)).unwrap()
    };
    // Takes until something else than a queue that is full for the moment is said.
    let fill = |draft: &dyn Fn() -> Draft| {
        let mut taken = Vec::new();
        loop {
            match trail.append(draft(), &[&frame]) {
                Ok(seq) => taken.push(seq),
                Err(TrailError::Busy) => std::thread::sleep(Duration::from_micros(100)),
                Err(error) => break (taken, error),
            }
            assert!(taken.len() < 16, "the segment never became full");
        }
    };
    let (taken, refused) = fill(&loaded);
    assert!(matches!(refused, TrailError::Full), "{refused}");
    let (closed, refused) = fill(&|| beat(1));
    assert!(matches!(refused, TrailError::Full), "{refused}");
    assert!(closed.len() >= 2, "{} of 3 MiB in a reserve of 8 MiB", closed.len());
    for seq in taken.into_iter().chain(closed) {
        settled(&trail, seq).unwrap();
    }
    // A restart finds nothing but a used up segment, and no room for another: it says so, and goes on once there is.
    drop(trail.close("test"));
    drop(trail);
    let (trail, _) = Trail::open(options).unwrap();
    assert!(matches!(trail.append(loaded(), &[]), Err(TrailError::Full)));
    disk.0.store(0, Ordering::SeqCst);
    let began = Instant::now();
    let again = loop {
        match trail.append(loaded(), &[]) {
            Ok(seq) => break seq,
            Err(TrailError::Full) => std::thread::sleep(Duration::from_millis(50)),
            Err(other) => panic!("{other}"),
        }
        assert!(began.elapsed().as_secs() < 10, "room was never found again");
    };
    settled(&trail, again).unwrap();
    let mut gaps = Vec::new();
    trail
        .scan(|entry| {
            if let Body::Gap(gap) = entry.body {
                gaps.push(gap);
            }
            Ok(())
        })
        .unwrap();
    let refused = gaps.iter().flat_map(|gap| &gap.refused);
    assert!(refused.clone().any(|refused| refused.kind == "policy.loaded"), "{gaps:?}");
}
