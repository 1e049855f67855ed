//! What only the inside of the crate shows: which locks are held while something is written, and what a disk without room
//! leaves of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use chaperone_access::{
    AgentName, CallId, Delegation, ProcessId, Refusal, RefusalCode, SessionId, Source, Subject, SubjectKind,
    TargetName,
};
use chaperone_identity::{CredentialFacts, CredentialId, Restriction, Who};
use chaperone_policy::{Decided, Denial};
use chaperone_trail::{
    Body, Digest, Disk, Draft, Fate, Options, PolicyLoaded, Seq, Step, Trail, TrailError, scan_folder,
};

use crate::commit::CommitmentKey;
use crate::keys::{DataKey, KeyTable, KeyTableFuture, WrappedKey};
use crate::record::Record;
use crate::seal::SessionSealer;
use crate::{Lease, Recorder, RecorderParts, ServerOpening, Subscriber};

const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps nothing; stands still where a refusal is counted, for as long as it is held.
#[derive(Default)]
struct Stands {
    held: Mutex<bool>,
    changed: Condvar,
}

impl Subscriber for Stands {
    fn allowed(&self) {}
    fn refused(&self, _code: RefusalCode) {
        let held = self.held.lock().unwrap();
        drop(self.changed.wait_while(held, |held| *held).unwrap());
    }
}

impl KeyTable for Stands {
    fn insert<'a>(&'a self, _: SessionId, _: &'a str, _: Vec<WrappedKey>) -> KeyTableFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn get(&self, _: SessionId) -> KeyTableFuture<'_, Vec<(String, WrappedKey)>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
    fn shred<'a>(&'a self, _: SessionId, _: &'a str) -> KeyTableFuture<'a, u64> {
        Box::pin(std::future::ready(Ok(0)))
    }
}

/// A disk that has no room for a further segment when it is said so.
#[derive(Debug, Default)]
struct Small(AtomicBool);

impl Disk for Small {
    fn fate(&self, step: Step) -> Fate {
        let full = step == Step::SegmentFill && self.0.load(Ordering::SeqCst);
        if full { Fate::Lost(ErrorKind::StorageFull) } else { Fate::Done }
    }
}

struct Place {
    folder: tempfile::TempDir,
    disk: Arc<Small>,
    stands: Arc<Stands>,
    recorder: Arc<Recorder>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (disk, stands) = (Arc::new(Small::default()), Arc::new(Stands::default()));
        let mut options = Options::new(folder.path());
        options.disk = disk.clone();
        let (trail, _) = Trail::open(options).unwrap();
        let recorder = Recorder::new(RecorderParts {
            trail,
            keys: stands.clone(),
            readers: Vec::new(),
            commitment: Arc::new(CommitmentKey::new(1, &[5; 32])),
            installation: "test".to_owned(),
            subscriber: stands.clone(),
        });
        Self { folder, disk, stands, recorder: Arc::new(recorder) }
    }

    fn kinds(self) -> Vec<&'static str> {
        self.recorder.trail.close("test").unwrap();
        let mut kinds = Vec::new();
        scan_folder(self.folder.path(), |entry| kinds.push(entry.body.kind().as_str())).unwrap();
        kinds
    }
}

fn delegation() -> Arc<Delegation> {
    let subject = Subject { issuer: "dev".into(), kind: SubjectKind::Person, sub: "ana".into() };
    Arc::new(Delegation::of(subject, BTreeSet::new()))
}

fn ehr() -> TargetName {
    TargetName::new("ehr").unwrap()
}

fn session() -> SessionId {
    SessionId::from_parts(1, [1; 10])
}

/// Carry it out, without anything that a runtime would have to wake it for.
fn finished<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let began = Instant::now();
    loop {
        if let std::task::Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        assert!(began.elapsed() < PATIENCE, "it never came to an end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Wait until somebody holds the lease: nobody lets go of it here before the test does.
fn until_held(lease: &Lease) {
    let began = Instant::now();
    while !lease.is_held() {
        assert!(began.elapsed() < PATIENCE, "the lease is not held while something is written of its call");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_call_does_not_end_before_what_was_said_in_it_is_written() {
    let place = Place::new();
    let sealer = SessionSealer::new(session(), DataKey::generate().unwrap()).unwrap();
    let lease = Lease::default();
    lease.begin(CallId::from_parts(1, [1; 10]));
    let record = Record::new(place.recorder.clone(), session(), delegation(), ehr(), sealer, Seq(0));
    let mut record = record.leased(lease.clone(), true);
    // The time is asked for between the look at the call and the entry.
    let clock = place.recorder.clock.lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| record.session_told(*b"42601", None).unwrap());
        until_held(&lease);
        drop(clock);
    });
    assert!(!lease.is_held());
    assert_eq!(place.kinds(), ["session.told", "gateway.stopped"]);
}

#[test]
fn a_call_does_not_end_before_it_is_written_that_it_was_not_let_in() {
    let place = Place::new();
    let lease = Lease::default();
    lease.begin(CallId::from_parts(1, [1; 10]));
    let denial = Denial {
        refusal: Refusal::new(RefusalCode::NotPermitted, "no"),
        delegation: delegation(),
        credential: CredentialFacts {
            id: CredentialId([1; 8]),
            who: Who::Named {
                issuer: "dev".to_owned(),
                kind: SubjectKind::Person,
                sub: "ana".to_owned(),
                groups: BTreeSet::new(),
            },
            target: ehr(),
            not_after: 1,
            restriction: Restriction::default(),
        },
        decided: Arc::new(Decided { policies: Arc::from([]), set_digest: [0; 32], unrestricted: false }),
    };
    *place.stands.held.lock().unwrap() = true;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            finished(place.recorder.admission_refused(session(), Source::Local, &denial, &lease)).unwrap();
        });
        until_held(&lease);
        assert_eq!(place.recorder.trail.metrics().appended, 2, "it is let go of before the entry is written");
        *place.stands.held.lock().unwrap() = false;
        place.stands.changed.notify_all();
    });
    assert!(!lease.is_held());
    assert_eq!(place.kinds(), ["authentication.succeeded", "operation.refused", "gateway.stopped"]);
}

/// A run that is not on record has no end there.
#[test]
fn a_run_that_could_not_be_recorded_did_not_end() {
    let place = Place::new();
    place.disk.0.store(true, Ordering::SeqCst);
    let frame = vec![0x5a; 1 << 20];
    let refused = loop {
        let body = Body::PolicyLoaded(PolicyLoaded { by: None, count: 0, policy: Digest([0; 32]) });
        match place.recorder.trail.append(Draft::new(1, &body).unwrap(), &[&frame]) {
            Ok(seq) => finished(place.recorder.written(seq)).unwrap(),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, TrailError::Full), "{refused}");
    let began = finished(place.recorder.begin_server(ServerOpening {
        process: ProcessId::from_parts(1, [1; 10]),
        server: &ehr(),
        agent: &AgentName::new("local").unwrap(),
        command: Digest([0; 32]),
        apart: true,
        delegation: &delegation(),
        credential: Some(CredentialId([1; 8])),
        target: Some(&ehr()),
    }));
    assert!(began.is_err());
    let kinds = place.kinds();
    assert!(kinds.iter().all(|kind| ["policy.loaded", "gateway.stopped"].contains(kind)), "{kinds:?}");
}
