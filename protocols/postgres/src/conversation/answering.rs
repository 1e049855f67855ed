//! The target's side: its messages are paired, in order, with what was sent.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chaperone_access::{
    Analysis, Member, NameRule, Refusal, RefusalCode, SessionEffect, TransactionStep, Verb, Words,
};
use chaperone_wire::{Ending, Fault, LookedThrough, Part};

use super::Conversation;
use super::names::{Cursor, Lies, Statement};
use super::pieces::{Expect, Reply, Run};
use super::subjects::{Look, Shape, shape_of};
use crate::codec::backend::{BackendView, CommandTag, TransactionStatus, view};
use crate::codec::{BackendTag, Frame, Message, encode};
use crate::words::{Severity, error};

/// The server said something that does not answer what was asked.
fn out_of_order(what: &str) -> Fault {
    Fault::Target(Refusal::new(RefusalCode::TargetLost, format!("the target sent {what} out of order")))
}

/// Whether later statements have to wait for this one's success before they can be understood.
pub(super) fn unsettling(analysis: &Analysis) -> bool {
    analysis.members.iter().any(|member| match &member.session {
        SessionEffect::Prepares { .. }
        | SessionEffect::Declares { .. }
        | SessionEffect::Closes { .. }
        | SessionEffect::Deallocates { .. }
        | SessionEffect::DiscardsAll
        | SessionEffect::SetsSearchPath { .. }
        | SessionEffect::MakesTemporary { .. }
        | SessionEffect::DropsTemporary { .. }
        | SessionEffect::ChangesCatalog => true,
        SessionEffect::Transaction(step) => match step {
            TransactionStep::Rollback | TransactionStep::RollbackTo { .. } => true,
            TransactionStep::Begin
            | TransactionStep::Commit
            | TransactionStep::Savepoint { .. }
            | TransactionStep::Release { .. }
            | TransactionStep::Prepare => false,
        },
        SessionEffect::None
        | SessionEffect::NamesApplication { .. }
        | SessionEffect::Fetches { .. }
        | SessionEffect::Executes { .. } => false,
    })
}

/// Whether what is done in a transaction may be taken back by one of the statements.
pub(super) fn ending(analysis: &Analysis) -> bool {
    let mut steps = analysis.members.iter().filter_map(|member| member.session.step());
    steps.any(TransactionStep::may_take_back)
}

impl Conversation {
    /// One frame of the target's; what it means is put into `self.replies`.
    pub(super) fn answer(&mut self, frame: Frame<BackendTag>) -> Result<(), Fault> {
        match frame {
            Frame::Whole(message) => self.answer_whole(message),
            Frame::Head { length, bytes, .. } => {
                self.running()?;
                let looks = self.looks_for(&bytes);
                let looked_through = looks.sieve.map(|sieve| {
                    let mut looked = Box::<LookedThrough>::default();
                    sieve.miss(&mut looked);
                    looked
                });
                let part = Part::Body { rows: 1, bytes: u64::from(length) };
                self.replies.push_back(Reply { bytes, part, look: looks.look, looked_through, about: None });
                Ok(())
            }
            Frame::Chunk { bytes, .. } => {
                self.say(bytes, Part::Body { rows: 0, bytes: 0 });
                Ok(())
            }
            Frame::Oversized { .. } => Err(Fault::Target(Refusal::new(
                RefusalCode::TargetLost,
                "the target sent a message over the limit for its type",
            ))),
        }
    }

    /// A run of whole rows or COPY data.
    pub(super) fn answer_run(&mut self, bytes: Bytes, rows: u64) -> Result<(), Fault> {
        self.running()?;
        let part = Part::Body { rows, bytes: bytes.len() as u64 };
        let looks = self.looks_for(&bytes);
        let (bytes, looked_through) = match looks.sieve {
            None => (bytes, None),
            Some(sieve) => {
                let mut looked = Box::<LookedThrough>::default();
                (sieve.pass(bytes, &mut looked), Some(looked))
            }
        };
        self.replies.push_back(Reply { bytes, part, look: looks.look, looked_through, about: None });
        Ok(())
    }

    pub(super) fn say(&mut self, bytes: Bytes, part: Part) {
        if matches!(part, Part::End(_)) {
            (self.looks, self.shape) = (None, None);
        }
        self.replies.push_back(Reply { bytes, part, look: Look::Nothing, looked_through: None, about: None });
    }

    /// Words of the target's beside results: they count as data of the operation that is being answered, where there is one.
    fn tell(&mut self, bytes: Bytes, code: Option<[u8; 5]>) {
        let (in_operation, about) = match self.expected.front() {
            Some(Expect::Query { analysis, ended, .. }) => (*ended < analysis.members.len(), None),
            Some(Expect::Execute { run }) => (run.is_some(), None),
            Some(Expect::Bind { runs, granted, .. }) => (*runs > 0, Some(&granted.analysis)),
            Some(Expect::Describe { runs, granted, .. }) => {
                (*runs > 0, granted.as_ref().map(|granted| &granted.analysis))
            }
            Some(Expect::Parse { granted, .. }) => (false, Some(&granted.analysis)),
            Some(Expect::Refused { .. } | Expect::Close { .. } | Expect::Lapse { .. } | Expect::Sync)
            | None => (false, None),
        };
        if in_operation {
            let part = Part::Body { rows: 0, bytes: bytes.len() as u64 };
            self.say(bytes, part);
            return;
        }
        let about = about.filter(|_| code.is_some()).cloned();
        let part = Part::Told { code };
        self.replies.push_back(Reply { bytes, part, look: Look::Nothing, looked_through: None, about });
    }

    /// What others say to whoever listens: nobody listens who does not see everything.
    fn notified(&mut self, raw: Bytes) {
        if self.restricted {
            self.untold += 1;
        } else {
            self.tell(raw, None);
        }
    }

    /// Operations that were never run.
    fn not_run(&mut self, count: usize) {
        for _ in 0..count {
            self.say(Bytes::new(), Part::End(Ending::NotRun));
        }
    }

    /// What a Bind began and nobody went on with has ended, as soon as all before it is answered.
    pub(super) fn end_lapsed(&mut self) {
        while let Some(Expect::Lapse { runs }) = self.expected.front() {
            let runs = if std::mem::take(&mut self.bound_failed) { 0 } else { *runs };
            self.expected.pop_front();
            for _ in 0..runs {
                self.say(Bytes::new(), Part::End(Ending::Planned));
            }
        }
    }

    /// Data may only come while an operation runs: otherwise it would leave without being on anybody's record.
    fn running(&self) -> Result<(), Fault> {
        match self.expected.front() {
            Some(Expect::Execute { run: Some(_) }) => Ok(()),
            Some(Expect::Query { analysis, ended, .. }) if *ended < analysis.members.len() => Ok(()),
            Some(
                Expect::Query { .. }
                | Expect::Execute { run: None }
                | Expect::Refused { .. }
                | Expect::Parse { .. }
                | Expect::Bind { .. }
                | Expect::Describe { .. }
                | Expect::Close { .. }
                | Expect::Lapse { .. }
                | Expect::Sync,
            )
            | None => Err(out_of_order("data")),
        }
    }

    fn answer_whole(&mut self, message: Message<BackendTag>) -> Result<(), Fault> {
        let seen = view(&message).map_err(|error| {
            Fault::Target(Refusal::new(
                RefusalCode::TargetLost,
                format!("the target broke the protocol: {error}"),
            ))
        })?;
        let raw = message.raw().clone();
        match seen {
            BackendView::DataRow(_) | BackendView::CopyData(_) => self.answer_run(raw, 1),
            // A view of the floor is not what the client asked for.
            BackendView::RowDescription(shape) if self.granted().is_some_and(|granted| granted.floored) => {
                self.shape(encode::without_origins(&raw), (shape_of(&shape), message.clone()))
            }
            BackendView::RowDescription(shape) => self.shape(raw, (shape_of(&shape), message.clone())),
            BackendView::CopyInResponse(_) => {
                self.running()?;
                self.begin_copy_in();
                self.say(raw, Part::Head);
                Ok(())
            }
            BackendView::CopyOutResponse(_) | BackendView::CopyDone => {
                self.running()?;
                self.say(raw, Part::Head);
                Ok(())
            }
            BackendView::CommandComplete(tag) => self.complete(raw.clone(), tag),
            BackendView::EmptyQuery => {
                if matches!(self.expected.front(), Some(Expect::Execute { .. })) {
                    self.expected.pop_front();
                }
                self.say(raw, Part::Aside);
                Ok(())
            }
            BackendView::PortalSuspended => self.suspended(raw),
            BackendView::ParseComplete => self.acknowledge(raw, |e| matches!(e, Expect::Parse { .. })),
            BackendView::BindComplete => self.acknowledge(raw, |e| matches!(e, Expect::Bind { .. })),
            BackendView::CloseComplete => self.acknowledge(raw, |e| matches!(e, Expect::Close { .. })),
            BackendView::NoData => self.acknowledge(raw, |e| matches!(e, Expect::Describe { .. })),
            BackendView::Error(report) => {
                let (code, fatal) = (report.code(), report.is_fatal());
                let told = self.error_told(&raw, &report);
                self.fail(told, code, fatal);
                Ok(())
            }
            BackendView::ReadyForQuery(status) => self.ready(raw, status),
            BackendView::Notice(report) => {
                match self.notice_told(&raw, &report) {
                    Some(told) => self.tell(told, None),
                    None => self.untold += 1,
                }
                Ok(())
            }
            BackendView::Notification(_) => {
                self.notified(raw);
                Ok(())
            }
            BackendView::ParameterDescription(_) | BackendView::ParameterStatus { .. } => {
                self.say(raw, Part::Aside);
                Ok(())
            }
            BackendView::Authentication(_)
            | BackendView::BackendKeyData(_)
            | BackendView::CopyBothResponse(_)
            | BackendView::FunctionCallResponse(_)
            | BackendView::NegotiateProtocolVersion { .. } => Err(out_of_order("a message")),
        }
    }

    fn suspended(&mut self, raw: Bytes) -> Result<(), Fault> {
        match self.expected.pop_front() {
            Some(Expect::Execute { run: Some(Run { analysis, granted, .. }) }) => {
                self.settle(&analysis);
                // What it writes is written, however many of its rows were asked for.
                if let Some(member) = analysis.members.first() {
                    self.fills(&analysis, member, &granted.words);
                }
                if analysis.members.iter().any(|m| matches!(m.session, SessionEffect::ChangesCatalog)) {
                    self.alter();
                }
                self.say(raw, Part::End(Ending::Suspended));
                Ok(())
            }
            Some(_) | None => Err(out_of_order("a suspended portal")),
        }
    }

    /// RowDescription: the answer to a Describe, or the head of a Query's result.
    fn shape(&mut self, raw: Bytes, shape: (Shape, Message<BackendTag>)) -> Result<(), Fault> {
        if let Some(Expect::Describe { quiet, .. }) = self.expected.front() {
            if *quiet {
                // We asked, before an Execute.
                self.shape = Some(shape);
            } else {
                self.say(raw, Part::Aside);
            }
            self.expected.pop_front();
            return Ok(());
        }
        self.running()?;
        self.shape = Some(shape);
        self.looks = None;
        self.say(raw, Part::Head);
        Ok(())
    }

    fn acknowledge(&mut self, raw: Bytes, fits: impl Fn(&Expect) -> bool) -> Result<(), Fault> {
        if !self.expected.front().is_some_and(fits) {
            return Err(out_of_order("an acknowledgement"));
        }
        let quiet = match self.expected.pop_front() {
            Some(
                Expect::Parse { quiet, .. } | Expect::Close { quiet, .. } | Expect::Describe { quiet, .. },
            ) => quiet,
            Some(
                Expect::Bind { .. }
                | Expect::Query { .. }
                | Expect::Refused { .. }
                | Expect::Execute { .. }
                | Expect::Lapse { .. }
                | Expect::Sync,
            )
            | None => false,
        };
        if !quiet {
            self.say(raw, Part::Aside);
        }
        Ok(())
    }

    /// CommandComplete: one statement has ended well.
    fn complete(&mut self, raw: Bytes, tag: CommandTag<'_>) -> Result<(), Fault> {
        let (rows, committed) = (tag.rows(), !tag.is_rollback());
        let done = |rows| Part::End(Ending::Done { rows });
        match self.expected.front_mut() {
            Some(Expect::Query { analysis, ended, granted, .. }) if *ended < analysis.members.len() => {
                let analysis = analysis.clone();
                let words = granted.as_ref().map(|granted| granted.words.clone()).unwrap_or_default();
                let member = *ended;
                if unparsed(&analysis) {
                    // The server reads more into this string than our grammar does: all of it is one operation,
                    // which ends when the server is ready again.
                    self.say(raw, Part::Head);
                    return Ok(());
                }
                *ended += 1;
                self.succeed(&analysis, member, words, committed);
                self.say(raw, done(rows));
                Ok(())
            }
            Some(Expect::Execute { run: Some(run) }) => {
                let (analysis, words) = (run.analysis.clone(), run.granted.words.clone());
                self.expected.pop_front();
                self.settle(&analysis);
                self.succeed(&analysis, 0, words, committed);
                self.say(raw, done(rows));
                Ok(())
            }
            Some(_) | None => Err(out_of_order("the end of a statement")),
        }
    }

    /// Whether the target has nothing to answer before its readiness. Where the end of the pipeline has not been sent
    /// yet, the client's messages are dropped up to it, as the server does after a failure.
    pub(super) fn nothing_follows(&mut self) -> bool {
        match self.expected.front() {
            Some(Expect::Query { analysis, ended, .. }) => *ended == analysis.members.len(),
            Some(Expect::Sync) => true,
            Some(
                Expect::Refused { .. }
                | Expect::Parse { .. }
                | Expect::Bind { .. }
                | Expect::Describe { .. }
                | Expect::Close { .. }
                | Expect::Execute { .. }
                | Expect::Lapse { .. },
            ) => false,
            None => {
                self.skipping = true;
                true
            }
        }
    }

    /// ErrorResponse: in the simple protocol the rest of the string is not run, in the extended one everything up to
    /// Sync is skipped.
    fn fail(&mut self, raw: Bytes, code: [u8; 5], fatal: bool) {
        self.copying_in = false;
        self.resolving.fail();
        let failed = Part::End(Ending::Failed { code });
        match self.expected.front_mut() {
            Some(Expect::Query { analysis, ended, .. }) => {
                let left = analysis.members.len() - *ended;
                if left == 0 {
                    return self.tell(raw, Some(code));
                }
                *ended = analysis.members.len();
                self.say(raw, failed);
                self.not_run(left - 1);
            }
            // A deferred constraint, for one: PostgreSQL commits a pipeline at its Sync.
            Some(Expect::Sync) if !fatal => self.say(raw, Part::Undone { code }),
            Some(Expect::Sync) | None => self.tell(raw, Some(code)),
            // It goes with its last words; where something was running, that failed with them.
            Some(
                Expect::Refused { .. }
                | Expect::Parse { .. }
                | Expect::Bind { runs: 0, .. }
                | Expect::Describe { runs: 0, .. }
                | Expect::Close { .. }
                | Expect::Lapse { .. }
                | Expect::Execute { run: None },
            ) if fatal => self.tell(raw, Some(code)),
            Some(Expect::Refused { simple, report, .. }) => {
                let (simple, report) = (*simple, report.clone());
                self.fail_refused(simple, report);
            }
            Some(Expect::Execute { run: Some(run) }) => {
                let others = run.analysis.members.len().saturating_sub(1);
                self.say(raw, failed);
                self.not_run(others);
                if let Some(Expect::Execute { run: Some(run) }) = self.expected.pop_front() {
                    self.settle(&run.analysis);
                }
                self.skip_to_sync();
            }
            Some(Expect::Bind { runs, .. } | Expect::Describe { runs, .. }) if *runs > 0 => {
                let others = *runs - 1;
                self.say(raw, failed);
                self.not_run(others);
                self.bound_failed = true;
                self.skip_to_sync();
            }
            Some(Expect::Parse { .. }) => {
                self.tell(raw, Some(code));
                if let Some(Expect::Parse { undo, quiet, granted }) = self.expected.pop_front() {
                    let undo = undo.failed(quiet);
                    self.expected.push_front(Expect::Parse { undo, quiet, granted });
                }
                self.skip_to_sync();
            }
            Some(
                Expect::Bind { .. }
                | Expect::Describe { .. }
                | Expect::Close { .. }
                | Expect::Lapse { .. }
                | Expect::Execute { run: None },
            ) => {
                self.tell(raw, Some(code));
                self.skip_to_sync();
            }
        }
    }

    /// The failure that we asked for: the client gets our words for it.
    fn fail_refused(&mut self, simple: bool, report: Bytes) {
        self.say(report, Part::Aside);
        // It was tried: what it displaced is gone.
        self.expected.pop_front();
        if simple {
            // ReadyForQuery follows.
            self.expected.push_front(Expect::Sync);
        } else {
            self.skip_to_sync();
        }
    }

    /// Operations that are skipped have ended, unless the failure was their own.
    fn skipped(&mut self, count: usize) {
        if !std::mem::take(&mut self.bound_failed) {
            self.not_run(count);
        }
    }

    /// The server will not answer anything before the next Sync.
    fn skip_to_sync(&mut self) {
        while let Some(expect) = self.expected.pop_front() {
            match expect {
                Expect::Sync => {
                    self.expected.push_front(Expect::Sync);
                    self.lost_until_sync = false;
                    self.take_back();
                    return;
                }
                Expect::Execute { run: Some(run) } => {
                    self.settle(&run.analysis);
                    self.skipped(run.analysis.members.len());
                }
                Expect::Lapse { runs } => self.skipped(runs),
                Expect::Parse { undo, .. } | Expect::Bind { undo, .. } | Expect::Close { undo, .. } => {
                    self.undone.push(undo);
                }
                Expect::Query { analysis, ended, undo, .. } => {
                    // PostgreSQL skips a Query too when it comes before the Sync.
                    self.undone.push(undo);
                    self.settle(&analysis);
                    self.not_run(analysis.members.len() - ended);
                    // No readiness comes for it.
                    self.book.answered += 1;
                }
                Expect::Refused { simple, undo, .. } => {
                    self.undone.push(undo);
                    self.book.answered += u64::from(simple);
                }
                Expect::Execute { run: None } | Expect::Describe { .. } => {}
            }
        }
        // The Sync has not been sent yet: whatever is sent before it is skipped as well.
        self.lost_until_sync = true;
    }

    /// Everything that was skipped is known.
    pub(super) fn take_back(&mut self) {
        for undo in std::mem::take(&mut self.undone).into_iter().rev() {
            self.book.undo(undo);
        }
    }

    /// Something was sent after the server had begun to skip: it is answered by nothing.
    pub(super) fn expect_skipped(&mut self, expect: Expect) {
        self.expected.push_back(expect);
        self.skip_to_sync();
    }

    fn ready(&mut self, raw: Bytes, status: TransactionStatus) -> Result<(), Fault> {
        match self.expected.pop_front() {
            Some(Expect::Sync) => {}
            Some(Expect::Query { analysis, ended, granted, .. }) => {
                self.settle(&analysis);
                if unparsed(&analysis) && ended < analysis.members.len() {
                    let words = granted.map(|granted| granted.words).unwrap_or_default();
                    self.succeed(&analysis, ended, words, true);
                    self.say(Bytes::new(), Part::End(Ending::Done { rows: None }));
                } else {
                    self.not_run(analysis.members.len() - ended);
                }
            }
            Some(_) | None => return Err(out_of_order("readiness")),
        }
        let idle = match status {
            TransactionStatus::Idle => true,
            TransactionStatus::Active | TransactionStatus::Failed => false,
        };
        self.idle = idle;
        if idle && std::mem::take(&mut self.altering) {
            // Whoever read the catalog since the statement itself has read it without what was open then.
            self.company.analyst.catalog_changed();
        }
        let moved = self.resolving.ready(idle);
        self.book.temporaries_moved(moved, &self.resolving.now().temporary);
        if self.expected.is_empty() {
            // Ends that no COPY wanted are ignored by the server as well.
            self.copies_ended.clear();
        }
        self.book.ready(idle);
        self.say(raw, Part::Aside);
        Ok(())
    }

    /// From here to CopyDone the server ignores Sync; one that was sent ahead has been read and dropped by it.
    fn begin_copy_in(&mut self) {
        // A driver may send all data and its end without waiting for this message. A Sync behind that end is answered.
        let end = self.copies_ended.pop_front();
        self.copying_in = end.is_none();
        let ahead = end.unwrap_or(self.syncs);
        let waiting = self.expected.iter().filter(|expect| matches!(expect, Expect::Sync)).count();
        let mut next = self.syncs.saturating_sub(u64::try_from(waiting).unwrap_or(self.syncs));
        while next < ahead
            && matches!(self.expected.front(), Some(Expect::Execute { .. }))
            && matches!(self.expected.get(1), Some(Expect::Sync))
        {
            self.expected.remove(1);
            self.book.answered += 1;
            next += 1;
        }
    }

    fn settle(&mut self, analysis: &Analysis) {
        self.ending = self.ending.saturating_sub(usize::from(ending(analysis)));
        if unsettling(analysis) {
            self.unsettled = self.unsettled.saturating_sub(1);
        }
    }

    /// Temporary tables that it writes hold what was seen through it.
    fn fills(&mut self, analysis: &Arc<Analysis>, member: &Member, words: &Words) {
        for touch in &member.touches {
            if touch.rule == NameRule::Temporary && touch.verbs.iter().any(|verb| verb != Verb::Read) {
                self.book.fill(&touch.relation.name, member, analysis, words);
            }
        }
    }

    /// A statement succeeded: the session is what it made of it. The end of a transaction may have been no COMMIT.
    fn succeed(&mut self, analysis: &Arc<Analysis>, place: usize, words: Words, committed: bool) {
        let Some(member) = analysis.members.get(place) else { return };
        self.fills(analysis, member, &words);
        match &member.session {
            SessionEffect::None | SessionEffect::Executes { .. } | SessionEffect::Fetches { .. } => {}
            SessionEffect::Transaction(step) => {
                // COMMIT AND CHAIN leaves none idle; what another session prepared may have changed anything.
                if self.altering || matches!(step, TransactionStep::Prepare) {
                    self.company.analyst.catalog_changed();
                }
                let moved = self.resolving.step(step, committed);
                self.book.temporaries_moved(moved, &self.resolving.now().temporary);
            }
            SessionEffect::Prepares { name, inner } => {
                // Sent as SQL: the words of the whole PREPARE were chosen when it was sent.
                let statement = Statement {
                    analysis: inner.clone(),
                    types: Bytes::new(),
                    names: self.resolving.now().clone(),
                    lies: Lies::Within(analysis.clone(), words),
                    group: 0,
                };
                drop(self.book.define(name.clone(), statement));
            }
            SessionEffect::Declares { name } => {
                let held = self.book.held(member);
                let cursor = Cursor { analysis: analysis.clone(), member: place, words, held };
                self.book.declare(name.clone(), cursor);
            }
            SessionEffect::Closes { name } => self.book.close_cursor(name.as_deref()),
            SessionEffect::Deallocates { name } => self.book.deallocate(name.as_deref()),
            SessionEffect::DiscardsAll => {
                self.book.discard();
                self.resolving.forget(self.company.analyst.fresh_names());
            }
            SessionEffect::SetsSearchPath { path, local } => {
                let fresh = self.company.analyst.fresh_names();
                let path = path.as_ref().map_or(fresh.path, |path| path.iter().cloned().collect());
                self.resolving.look_in(path, *local);
            }
            SessionEffect::NamesApplication { name } => {
                // The target reports nothing for a setting that is not its own.
                let mut bytes = BytesMut::new();
                encode::parameter_status("application_name", name, &mut bytes);
                let bytes = bytes.freeze();
                self.say(bytes, Part::Aside);
            }
            // IF NOT EXISTS may have made nothing: what one of that name was filled with stays known.
            SessionEffect::MakesTemporary { name, passing, unless_there } => {
                if *unless_there && self.resolving.may_miss(name) {
                    self.book.fill_unseen(name);
                }
                self.resolving.make(name, *passing);
                self.book.fill(name, member, analysis, &words);
            }
            SessionEffect::DropsTemporary { names } => {
                self.resolving.drop(names);
                self.book.drop_temporaries(names);
            }
            SessionEffect::ChangesCatalog => self.alter(),
        }
    }

    /// Something may have changed the catalog: for this session at once, for others when it is committed.
    fn alter(&mut self) {
        self.altering = true;
        self.company.analyst.catalog_changed();
    }
}

/// Whether our grammar could not read it.
fn unparsed(analysis: &Analysis) -> bool {
    analysis.members.iter().any(|member| member.tag == "(unparsed)")
}

/// ErrorResponse with a refusal's words.
pub(super) fn report(refusal: &Refusal, fatal: bool) -> Bytes {
    let mut bytes = BytesMut::new();
    let severity = if fatal { Severity::Fatal } else { Severity::Error };
    error(refusal, severity, &mut bytes);
    bytes.freeze()
}
