//! Nothing passes the data path before its entry is durable: a disk that the test holds back shows what passed before the
//! disk had answered. Everything but the protocol is real: credentials, policies, the record and its trail, the agent in
//! the process.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod toy;

use std::io::ErrorKind;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use chaperone_access::{CallId, Effect};
use chaperone_recording::Lease;
use chaperone_trail::{Body, Disk, Fate, Step, TrailError};
use chaperone_wire::{Ending, Event, Part};
use toy::{Asks, Session, Tells};

/// How long the session may take to come to its next sync; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Default, Clone, Copy)]
struct Hold {
    held: bool,
    /// Somebody waits for a batch to be synced.
    asked: bool,
    /// There is no room for a further segment.
    full: bool,
}

/// A disk whose syncs wait while it is held.
#[derive(Debug, Default)]
struct HeldDisk {
    hold: Mutex<Hold>,
    changed: Condvar,
}

impl Disk for HeldDisk {
    fn fate(&self, step: Step) -> Fate {
        if step == Step::SegmentFill && self.hold.lock().unwrap().full {
            return Fate::Lost(ErrorKind::StorageFull);
        }
        if step == Step::BatchSync {
            let mut hold = self.hold.lock().unwrap();
            hold.asked |= hold.held;
            self.changed.notify_all();
            drop(self.changed.wait_while(hold, |hold| hold.held).unwrap());
        }
        Fate::Done
    }
}

impl HeldDisk {
    fn hold(&self) {
        *self.hold.lock().unwrap() = Hold { held: true, ..Hold::default() };
    }

    /// Wait until the session has come so far that it waits for the disk. Nobody else does: a batch that nobody waits for
    /// stays in memory for longer than the test takes.
    fn until_asked(&self) {
        let hold = self.hold.lock().unwrap();
        let (hold, _) = self.changed.wait_timeout_while(hold, PATIENCE, |hold| !hold.asked).unwrap();
        assert!(hold.asked, "the session never waited for the disk");
    }

    fn let_go(&self) {
        self.hold.lock().unwrap().held = false;
        self.changed.notify_all();
    }
}

fn held() -> (Arc<HeldDisk>, Session) {
    let disk = Arc::new(HeldDisk::default());
    let session = Session::open(disk.clone());
    (disk, session)
}

fn tells(name: &str, part: Part) -> Event<toy::Toy> {
    Event::Reply(Tells::new(name, part))
}

fn end() -> Part {
    Part::End(Ending::Done { rows: Some(1) })
}

#[test]
fn what_may_write_reaches_the_target_after_its_intent_is_durable() {
    let (disk, session) = held();
    disk.hold();
    session.says([Event::Run(Asks::new("write", Effect::MayWrite))]);
    disk.until_asked();
    assert_eq!(session.passed(), Vec::<String>::new(), "before its intent was durable");
    disk.let_go();
    session.until(&["forwarded write"]);

    disk.hold();
    session.says([tells("done", end())]);
    disk.until_asked();
    assert_eq!(session.passed(), ["forwarded write"], "before its outcome was durable");
    disk.let_go();
    session.until(&["forwarded write", "released done"]);
    session.ends(&["operation.intent", "operation.outcome"]);
}

#[test]
fn what_stands_behind_a_write_waits_with_it() {
    let (disk, session) = held();
    disk.hold();
    let read = Event::Run(Asks::new("read", Effect::ReadOnly));
    let write = Event::Run(Asks::new("write", Effect::MayWrite));
    session.says([Event::Step("step 1".to_owned()), write, Event::Step("step 2".to_owned()), read]);
    disk.until_asked();
    assert_eq!(session.passed(), ["forwarded step 1"], "before the write's intent was durable");
    disk.let_go();
    session.until(&["forwarded step 1", "forwarded write", "forwarded step 2", "forwarded read"]);
    session.ends(&["operation.intent", "operation.intent", "operation.outcome", "operation.outcome"]);
}

#[test]
fn a_read_goes_ahead_and_its_result_waits() {
    let (disk, session) = held();
    disk.hold();
    session.says([Event::Run(Asks::new("read", Effect::ReadOnly))]);
    session.until(&["forwarded read"]);
    session.says([tells("head", Part::Head)]);
    disk.until_asked();
    assert_eq!(session.passed(), ["forwarded read"], "the header before the intent was durable");
    disk.let_go();
    session.until(&["forwarded read", "released head"]);

    // Rows of which no entry speaks: progress is written for them, and has to be durable.
    disk.hold();
    session.says([tells("rows", Part::Body { rows: 3, bytes: 9 })]);
    disk.until_asked();
    assert_eq!(session.passed(), ["forwarded read", "released head"], "rows before any entry of them");
    disk.let_go();
    session.until(&["forwarded read", "released head", "released rows"]);

    // Rows that come with the end wait for the outcome.
    disk.hold();
    session.says([tells("last rows", Part::Body { rows: 1, bytes: 9 }), tells("done", end())]);
    disk.until_asked();
    assert_eq!(session.passed().len(), 3, "before the outcome was durable: {:?}", session.passed());
    disk.let_go();
    session.until(&[
        "forwarded read",
        "released head",
        "released rows",
        "released last rows",
        "released done",
    ]);
    session.ends(&["operation.intent", "operation.progress", "operation.outcome"]);
}

#[test]
fn a_refusal_and_what_was_undone_are_told_when_they_are_on_record() {
    let (disk, session) = held();
    disk.hold();
    session.says([Event::Run(Asks::forbidden("delete"))]);
    disk.until_asked();
    assert_eq!(session.passed(), Vec::<String>::new(), "before the refusal was durable");
    disk.let_go();
    session.until(&["forwarded refused delete"]);

    disk.hold();
    session.says([tells("undone", Part::Undone { code: *b"23503" })]);
    disk.until_asked();
    assert_eq!(session.passed(), ["forwarded refused delete"], "before it was durable");
    disk.let_go();
    session.until(&["forwarded refused delete", "released undone"]);
    session.ends(&["operation.refused", "operations.undone", "session.told"]);
}

#[test]
fn what_the_target_says_beside_operations_is_told_when_it_is_counted() {
    let (disk, session) = held();
    disk.hold();
    session.says([
        tells("notice", Part::Told { code: None }),
        tells("why not", Part::Told { code: Some(*b"42601") }),
    ]);
    disk.until_asked();
    assert_eq!(session.passed(), Vec::<String>::new(), "before it was counted");
    disk.let_go();
    session.until(&["released notice", "released why not"]);

    // A notice that nothing follows gets an entry of its own, and has to wait for it.
    disk.hold();
    session.says([tells("notice", Part::Told { code: None })]);
    disk.until_asked();
    assert_eq!(session.passed().len(), 2, "before it was counted");
    disk.let_go();
    session.until(&["released notice", "released why not", "released notice"]);
    session.ends(&["session.told", "session.told"]);
}

#[test]
fn what_goes_on_with_an_operation_is_no_other_one() {
    let (disk, session) = held();
    disk.hold();
    let bind = Event::Run(Asks::new("bind", Effect::MayWrite));
    let execute = Event::Continue(Asks::new("execute", Effect::MayWrite));
    session.says([bind, execute]);
    disk.until_asked();
    assert_eq!(session.passed(), Vec::<String>::new(), "before its intent was durable");
    disk.let_go();
    session.until(&["forwarded bind", "forwarded execute"]);
    session.says([tells("done", end())]);
    session.until(&["forwarded bind", "forwarded execute", "released done"]);
    session.ends(&["operation.intent", "operation.outcome"]);
}

#[test]
fn what_was_sent_in_part_and_is_refused_ends_the_session_on_record() {
    let (_disk, session) = held();
    session.says([Event::Run(Asks::forbidden("rest of delete"))]);
    session.put_out(&[], "refused_halfway", &["operation.refused"]);
}

/// A call that is told apart from others by a number.
fn call(number: u8) -> CallId {
    CallId::from_parts(1, [number; 10])
}

/// What a server binds in one call it could execute in the next one, and read there.
#[test]
fn what_a_call_began_goes_on_in_that_call_only() {
    let bind = || Event::Run(Asks::new("bind", Effect::ReadOnly));
    let execute = || Event::Continue(Asks::new("execute", Effect::ReadOnly));
    for next in [Some(2), None] {
        let lease = Lease::default();
        let session = Session::open_with(Arc::new(HeldDisk::default()), lease.clone(), "");
        lease.begin(call(1));
        session.says([bind(), execute()]);
        session.until(&["forwarded bind", "forwarded execute"]);
        session.says([tells("done", end()), bind()]);
        session.until(&["forwarded bind", "forwarded execute", "forwarded bind", "released done"]);
        lease.end();
        next.map(call).into_iter().for_each(|next| lease.begin(next));
        session.says([execute(), Event::Left]);
        let found = session.over(
            "client_left",
            &[
                "operation.intent",
                "operation.outcome",
                "operation.intent",
                "operation.refused",
                "operation.outcome",
            ],
        );
        let Body::OperationRefused(refused) = &found[3] else { panic!("{found:?}") };
        assert_eq!(refused.call, next.map(|next| call(next).to_string()));
        let Body::OperationOutcome(outcome) = &found[4] else { panic!("{found:?}") };
        assert_eq!(outcome.call, Some(call(1).to_string()));
    }
    // What is nobody's call's goes on as before.
    let (_disk, session) = held();
    session.says([bind(), execute(), Event::Left]);
    session.over("client_left", &["operation.intent", "operation.outcome"]);
}

/// Whoever has read the catalog alone has read nothing that an answer with identifiers could come from.
#[test]
fn the_catalog_is_nothing_that_a_call_has_read() {
    let lease = Lease::default();
    let session = Session::open_with(Arc::new(HeldDisk::default()), lease.clone(), "");
    lease.begin(call(1));
    session.says([Event::Run(Asks::catalog("catalog"))]);
    session.until(&["forwarded catalog"]);
    assert_eq!(lease.touching(), 0);
    session.says([Event::Run(Asks::new("read", Effect::ReadOnly))]);
    session.until(&["forwarded catalog", "forwarded read"]);
    assert_eq!(lease.touching(), 1);
}

/// What the target said of which no entry speaks, and what it printed or gave, is on record with the session's end,
/// also where the first entry of it was refused.
#[test]
fn what_could_not_be_written_is_not_forgotten() {
    let (disk, session) = held();
    session.says([Event::Run(Asks::new("read", Effect::ReadOnly))]);
    session.until(&["forwarded read"]);
    // The writer waits for the disk, and what is appended meanwhile is more than waits in memory.
    disk.hold();
    session.append(2 << 20).unwrap();
    disk.until_asked();
    for size in [1 << 20, 1 << 10, 0] {
        while session.append(size).is_ok() {}
    }
    session.speechless(true);
    session.says([
        tells("rows", Part::Body { rows: 3, bytes: 9 }),
        tells("why not", Part::Told { code: Some(*b"42601") }),
    ]);
    session.until_farewell();
    disk.let_go();
    while let Err(error) = session.append(0) {
        assert!(matches!(error, TrailError::Busy), "{error}");
    }
    session.speechless(false);
    let passed = session.passed();
    assert!(passed.len() == 2 && passed[0] == "forwarded read", "{passed:?}");
    let found =
        session.over("record_unavailable", &["operation.intent", "session.told", "operation.outcome"]);
    let Body::SessionTold(told) = &found[1] else { panic!("{found:?}") };
    assert_eq!(told.bytes, "why not".len() as u64);
    let Body::OperationOutcome(outcome) = &found[2] else { panic!("{found:?}") };
    assert_eq!((outcome.rows, outcome.bytes), (3, "rows".len() as u64));
}

/// On a full disk only what closes something has room: a client that goes on asking for nonsense does not use it up. The
/// entries that close its session speak of what was read, and give none of it away.
#[test]
fn a_full_disk_ends_a_session_that_is_told_something_and_keeps_what_waits() {
    let (disk, session) = held();
    session.says([Event::Run(Asks::new("read", Effect::ReadOnly))]);
    session.until(&["forwarded read"]);
    disk.hold.lock().unwrap().full = true;
    session.fill();
    session.says([
        tells("rows", Part::Body { rows: 3, bytes: 9 }),
        tells("why not", Part::Told { code: Some(*b"42601") }),
    ]);
    session.until_farewell();
    let passed = session.passed();
    assert!(passed.len() == 2 && passed[0] == "forwarded read", "{passed:?}");
    session.over("record_unavailable", &["operation.intent", "session.told", "operation.outcome"]);
}

/// Notices beyond a limit are not told, and a target that goes on with them does not fill the record.
#[test]
fn words_beyond_a_limit_are_one_entry_until_something_passes() {
    let limits = "[[limit]]\nbytes_per_statement = 5\n";
    let session = Session::open_with(Arc::new(HeldDisk::default()), Lease::default(), limits);
    let notice = |name: &str| tells(name, Part::Told { code: None });
    session.says([notice("too long"), notice("too long"), notice("too long"), notice("short")]);
    session.until(&["released short"]);
    session.says([notice("too long"), notice("too long"), Event::Left]);
    session.over("client_left", &["limit.hit", "session.told", "limit.hit"]);
}

#[test]
fn what_is_permitted_no_more_says_no_more() {
    let (_, session) = held();
    let read = |name| Event::Run(Asks::new(name, Effect::ReadOnly));
    session.says([read("first"), read("second")]);
    session.until(&["forwarded first", "forwarded second"]);
    session.withdraw_reading();
    // What had ended before anything more of it was asked for is told.
    session.says([tells("end of first", end())]);
    session.until(&["forwarded first", "forwarded second", "released end of first"]);
    // It was permitted under the policies of then, at its place behind the other one.
    session.says([
        tells("row of second", Part::Body { rows: 1, bytes: 1 }),
        tells("end of second", Part::End(Ending::Failed { code: *b"57014" })),
    ]);
    session.put_out(
        &["forwarded first", "forwarded second", "released end of first"],
        "no_longer_admitted",
        &["operation.intent", "operation.intent", "operation.outcome", "operation.outcome"],
    );
}
