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

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use chaperone_access::Effect;
use chaperone_trail::{Disk, Fate, Step};
use chaperone_wire::{Ending, Event, Part};
use toy::{Asks, Session, Tells};

/// How long the session may take to come to its next sync; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Default, Clone, Copy)]
struct Hold {
    held: bool,
    /// Somebody waits for a batch to be synced.
    asked: bool,
}

/// A disk whose syncs wait while it is held.
#[derive(Debug, Default)]
struct HeldDisk {
    hold: Mutex<Hold>,
    changed: Condvar,
}

impl Disk for HeldDisk {
    fn fate(&self, step: Step) -> Fate {
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
        *self.hold.lock().unwrap() = Hold { held: true, asked: false };
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
    session.put_out(&[], "no_longer_admitted", &["operation.refused"]);
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
