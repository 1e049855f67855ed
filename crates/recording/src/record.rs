//! One session's record, from its opening to its seal. The data path tells it what happens; it decides nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use chaperone_access::{
    Analysis, Delegation, Effect, Member, NameRule, Refusal, RefusalCode, SessionId, TargetName, Touch, Words,
};
use chaperone_policy::{Decided, Denied, Permit};
use chaperone_trail::{
    Arm, Body, Decision, Digest, Draft, EntryError, FreeTextCount, ObjectRef, OperationIntent,
    OperationOutcome, OperationProgress, OperationRefused, OperationsUndone, ParameterRef, Parameters,
    Position, Seq, SessionTold, Status, TrailError, TrailState,
};
use chaperone_wire::{Ending, Exit, ExitBy, LookedThrough, Parameter, Reply};

use crate::columns::{Used, columns_of, fit_entry, named, scope_digest};
use crate::end::{End, Hit, Traffic};
use crate::gate::{Receipt, Watermark};
use crate::lease::Lease;
use crate::recorder::Recorder;
use crate::running::{Permitted, Running, UnderWay};
use crate::seal::{ObjectKind, SealedFrame, SessionSealer};
use crate::subjects::Counting;
use crate::transcript::Transcript;

/// Statements whose sealed text is remembered in a session, so that a repeated one is not sealed again.
const SEALED_STATEMENTS_MAX: usize = 128;
/// Values that are too large to seal whole and stand in an entry by themselves; the sealed object has all of them.
const LARGE_NAMED_MAX: usize = 100;

/// The record could not be written: nothing may pass.
#[derive(Debug)]
pub struct Unrecorded(pub(crate) TrailError);

impl std::fmt::Display for Unrecorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the record cannot be written: {}", self.0)
    }
}

impl std::error::Error for Unrecorded {}

impl Unrecorded {
    /// What the client is told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        Refusal::new(RefusalCode::RecordUnavailable, "the record cannot be written, so nothing passes")
            .hint("tell whoever runs the gateway; its /health says why")
    }
}

impl From<TrailError> for Unrecorded {
    fn from(error: TrailError) -> Self {
        Self(error)
    }
}

/// What an object is in the trail, for statements that come again.
struct Sealed {
    analysis: Arc<Analysis>,
    reference: ObjectRef,
}

/// What came of a permit that was to be put on record.
pub enum Intended {
    /// It stands there: what orders it, and the words to send.
    Written(Receipt, Words),
    /// A hosted server wants what is a target's own while no call of its subject's is under way.
    Outside(Permit),
}

/// Whether a statement touches nothing but what tells every caller alike how the database is made.
fn is_background(member: &Member) -> bool {
    let listed = |touch: &Touch| match touch.rule {
        NameRule::Listed => true,
        NameRule::Named | NameRule::Temporary | NameRule::Unknown => false,
    };
    member.touches.iter().all(listed)
}

/// One open session's record.
pub struct Record {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) session: SessionId,
    pub(crate) delegation: Arc<Delegation>,
    pub(crate) target: TargetName,
    pub(crate) opened: Instant,
    lease: Lease,
    /// Whether it is a connection of a hosted server's.
    hosted: bool,
    sealer: SessionSealer,
    sealed: VecDeque<Sealed>,
    used: VecDeque<Used>,
    running: VecDeque<Running>,
    next: u64,
    ended: u64,
    /// Bytes that the target said beside operations, of which no entry speaks yet.
    told: u64,
    pub(crate) operations: u64,
    pub(crate) refusals: u64,
    pub(crate) rows: u64,
    pub(crate) traffic: Traffic,
    pub(crate) stream: Option<chaperone_tunnel::StreamHandle>,
    last: Seq,
}

impl Record {
    pub(crate) fn new(
        recorder: Arc<Recorder>,
        session: SessionId,
        delegation: Arc<Delegation>,
        target: TargetName,
        sealer: SessionSealer,
        opened: Seq,
    ) -> Self {
        Self {
            recorder,
            session,
            delegation,
            target,
            opened: Instant::now(),
            lease: Lease::default(),
            hosted: false,
            sealer,
            sealed: VecDeque::new(),
            used: VecDeque::new(),
            running: VecDeque::new(),
            next: 1,
            ended: 0,
            told: 0,
            operations: 0,
            refusals: 0,
            rows: 0,
            traffic: Traffic::default(),
            stream: None,
            last: opened,
        }
    }

    /// The same, carrying the calls of a lease; `hosted` where a server of others makes the connection.
    pub(crate) fn leased(self, lease: Lease, hosted: bool) -> Self {
        Self { lease, hosted, ..self }
    }

    /// Which session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// How far the record is durable.
    #[must_use]
    pub fn watermark(&self) -> Watermark {
        Watermark(self.recorder.trail.durable())
    }

    /// Whether no other session has an operation under way.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.recorder.under_way.load(Ordering::Relaxed) <= self.running.len()
    }

    /// Ready when the entry is durable; where nobody is writing, this session writes, for all that wait.
    pub fn poll_durable(&self, entry: Seq, cx: &mut Context<'_>) -> Poll<Result<(), Unrecorded>> {
        self.recorder.trail.poll_durable(entry, cx).map_err(Unrecorded)
    }

    /// Wait until the entry is durable.
    ///
    /// # Errors
    /// The trail cannot be written any more.
    pub async fn durable(&self, entry: Seq) -> Result<(), Unrecorded> {
        self.recorder.trail.wait_durable(entry).await.map_err(Unrecorded)
    }

    /// Write the intents of a request that was permitted under these versions. What is returned orders it behind them.
    ///
    /// # Errors
    /// The trail does not take entries.
    pub fn intend(
        &mut self,
        permit: Permit,
        parameters: &[Parameter],
        under: (u64, u64),
    ) -> Result<Intended, Unrecorded> {
        let analysis = permit.analysis().clone();
        let lease = self.lease.clone();
        // Held until they stand in the log: the call cannot end before what is written as its own, and nothing that is
        // only for a call is written for none.
        let mut current = lease.look();
        // The catalog is nobody's data: who has read nothing else has read nothing of the target's.
        let touching = analysis.members.iter().filter(|member| !is_background(member)).count() as u64;
        if self.hosted && current.call.is_none() && touching > 0 {
            return Ok(Intended::Outside(permit));
        }
        current.touching += touching;
        current.permitted = true;
        let mut frames = Vec::new();
        let statement = self.seal_statement(&analysis, &mut frames)?;
        let values = self.seal_parameters(parameters, &mut frames)?;
        let used = self.used(&permit, &mut frames)?;
        let decided = permit.decided();
        let may_write = analysis.members.iter().any(|member| member.effect == Effect::MayWrite);
        current.may_have_written |= may_write;
        // Nobody waits for a read's intent alone, so it travels in the batch of its outcome.
        let count = analysis.members.len() as u64;
        let mut last = self.last;
        for ((place, member), (columns, columns_sealed)) in
            (1..).zip(analysis.members.iter()).zip(used.members.iter())
        {
            let (touches, touches_left_out) = named(member.touches.iter());
            let body = Body::OperationIntent(OperationIntent {
                call: current.text(),
                columns: columns.clone(),
                columns_sealed: columns_sealed.clone(),
                command: analysis.invokes.as_deref().map(str::to_owned),
                decision: decision(Arm::Allow, decided, &self.recorder.catalog_digest(&self.target)),
                effect: member.effect,
                operation: self.next,
                parameters: values.clone(),
                position: (count > 1).then_some(Position { count, place }),
                rewritten: permit.text().is_some(),
                scope: used.scope,
                session: self.session.to_string(),
                statement: statement.clone(),
                tag: member.tag.to_owned(),
                template: Digest(member.template),
                touches,
                touches_left_out,
                whole: member.whole.iter().collect(),
            });
            let draft = Draft::new(self.recorder.now(), &body)
                .map_err(|error| Unrecorded(TrailError::from(error)))?;
            let intent = self.recorder.trail.append(draft, &frames_of(&frames))?;
            frames.clear();
            let transcript = analysis.invokes.as_ref().map(|_| Transcript::new(Instant::now()));
            let under_way = UnderWay::enter(&self.recorder.under_way);
            let permitted = Permitted { analysis: analysis.clone(), seen: permit.scope().cloned(), under };
            let owner = (current.call, intent);
            let running = Running::new(self.next, member, owner, permitted, transcript, under_way);
            self.running.push_back(running);
            self.next += 1;
            self.operations += 1;
            self.recorder.count_allowed();
            last = intent;
        }
        self.last = last;
        let receipt = Receipt { before_forwarding: may_write.then_some(last) };
        Ok(Intended::Written(receipt, permit.into_words()))
    }

    /// The columns that a permitted request uses. What comes again is remembered.
    fn used(&mut self, permit: &Permit, frames: &mut Vec<SealedFrame>) -> Result<Used, Unrecorded> {
        let (analysis, scope) = (permit.analysis(), permit.scope());
        if let Some(known) = self.used.iter().find(|known| known.fits(analysis, scope)) {
            return Ok(known.clone());
        }
        let mut members = Vec::with_capacity(analysis.members.len());
        for member in analysis.members.iter() {
            let columns = columns_of(member, scope.map(Arc::as_ref));
            members.push(if columns.is_empty() {
                (None, None)
            } else if fit_entry(&columns) {
                (Some(columns.into()), None)
            } else {
                let plain = serde_json::to_vec(&columns)
                    .map_err(|error| Unrecorded(TrailError::from(EntryError::from(error))))?;
                (None, Some(self.seal_object(ObjectKind::Columns, &plain, frames)?))
            });
        }
        let digest = scope.map(|scope| scope_digest(scope));
        let used =
            Used { analysis: analysis.clone(), seen: scope.cloned(), members: members.into(), scope: digest };
        if self.used.len() >= SEALED_STATEMENTS_MAX {
            self.used.pop_front();
        }
        self.used.push_back(used.clone());
        Ok(used)
    }

    fn seal_object(
        &mut self,
        kind: ObjectKind,
        plain: &[u8],
        frames: &mut Vec<SealedFrame>,
    ) -> Result<ObjectRef, Unrecorded> {
        seal_object(&mut self.sealer, kind, plain, frames)
    }

    fn seal_statement(
        &mut self,
        analysis: &Arc<Analysis>,
        frames: &mut Vec<SealedFrame>,
    ) -> Result<Option<ObjectRef>, Unrecorded> {
        if analysis.text.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.sealed.iter().find(|known| Arc::ptr_eq(&known.analysis, analysis)) {
            return Ok(Some(known.reference.clone()));
        }
        let reference = self.seal_object(ObjectKind::Statement, analysis.text.as_bytes(), frames)?;
        if self.sealed.len() >= SEALED_STATEMENTS_MAX {
            self.sealed.pop_front();
        }
        self.sealed.push_back(Sealed { analysis: analysis.clone(), reference: reference.clone() });
        Ok(Some(reference))
    }

    fn seal_parameters(
        &mut self,
        parameters: &[Parameter],
        frames: &mut Vec<SealedFrame>,
    ) -> Result<Option<Parameters>, Unrecorded> {
        if parameters.is_empty() {
            return Ok(None);
        }
        let mut large = Vec::new();
        for (place, parameter) in (1..).zip(parameters) {
            match parameter {
                Parameter::Digest { length, digest, .. } if large.len() < LARGE_NAMED_MAX => {
                    large.push(ParameterRef { digest: Digest(*digest), length: *length, place });
                }
                Parameter::Digest { .. } | Parameter::Null | Parameter::Whole { .. } => {}
            }
        }
        let plain = crate::values::encode(parameters);
        let sealed = self.seal_object(ObjectKind::Parameters, &plain, frames)?;
        Ok(Some(Parameters { count: parameters.len() as u64, large, sealed: Some(sealed) }))
    }

    /// Write that a request was refused.
    ///
    /// # Errors
    /// The trail does not take entries.
    pub fn refused(
        &mut self,
        analysis: &Arc<Analysis>,
        parameters: &[Parameter],
        denied: &Denied,
    ) -> Result<Seq, Unrecorded> {
        let mut frames = Vec::new();
        let statement = self.seal_statement(analysis, &mut frames)?;
        let parameters = self.seal_parameters(parameters, &mut frames)?;
        let member = analysis.members.get(denied.member).or_else(|| analysis.members.first());
        let (touches, touches_left_out) = named(analysis.members.iter().flat_map(|member| &member.touches));
        let lease = self.lease.clone();
        let mut current = lease.look();
        current.refused.get_or_insert(denied.refusal.code);
        let body = Body::OperationRefused(OperationRefused {
            call: current.text(),
            code: denied.refusal.code,
            command: analysis.invokes.as_deref().map(str::to_owned),
            decision: decision(arm(denied), &denied.decided, &self.recorder.catalog_digest(&self.target)),
            operation: self.next,
            parameters,
            session: self.session.to_string(),
            statement,
            tag: member.map_or("", |member| member.tag).to_owned(),
            template: Digest(member.map_or([0; 32], |member| member.template)),
            touches,
            touches_left_out,
        });
        let draft =
            Draft::new(self.recorder.now(), &body).map_err(|error| Unrecorded(TrailError::from(error)))?;
        self.last = self.recorder.trail.append(draft, &frames_of(&frames))?;
        self.next += 1;
        self.refusals += 1;
        self.recorder.count_refused(denied.refusal.code);
        Ok(self.last)
    }

    /// Whether what began last may go on now: it is of the call that is under way, or of none while there is none. Else what
    /// was begun for one call would be read in another's, or after it.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        let current = self.lease.look();
        self.running.back().is_none_or(|running| running.call == current.call)
    }

    /// The intent that a header of the running operation waits for.
    #[must_use]
    pub fn head_intent(&self) -> Option<Seq> {
        self.running.front().map(|running| running.intent)
    }

    /// Data of the running operation has come.
    pub fn body(&mut self, rows: u64, bytes: u64) {
        if let Some(running) = self.running.front_mut() {
            running.rows += rows;
            running.bytes += bytes;
            running.uncovered += bytes;
        }
    }

    /// Look at a piece of the running operation's data for the patients that it is about, and for what came of looking
    /// through its free text; what a program printed becomes part of its transcript.
    pub fn look(&mut self, reply: &impl Reply) {
        let Some(running) = self.running.front_mut() else { return };
        if let Counting::Counted(counted) = &mut running.counting {
            counted.look(reply, self.recorder.commitment(), &self.target, &self.recorder.apart);
        }
        if let Some(more) = reply.looked_through() {
            running.looked_through.get_or_insert_default().add(more);
        }
        if let (Some(transcript), Some((printed, text))) = (&mut running.transcript, reply.printed()) {
            transcript.add(printed, text);
        }
    }

    /// Whether an operation is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// What the oldest operation under way was permitted as.
    #[must_use]
    pub fn permitted(&self) -> Option<&Permitted> {
        self.running.front().map(|running| &running.permitted)
    }

    /// The oldest operation under way is permitted still, under these versions.
    pub fn confirm(&mut self, under: (u64, u64)) {
        if let Some(running) = self.running.front_mut() {
            running.permitted.under = under;
        }
    }

    /// The oldest operation under way is permitted no more: its outcome will say by which decision.
    pub fn withdraw(&mut self, denied: &Denied) {
        let catalog = self.recorder.catalog_digest(&self.target);
        if let Some(running) = self.running.front_mut() {
            running.withdrawn = Some(decision(arm(denied), &denied.decided, &catalog));
        }
    }

    /// Whether the oldest operation under way may have changed something.
    #[must_use]
    pub fn may_have_written(&self) -> bool {
        self.running.front().is_some_and(|running| running.may_write)
    }

    /// Result rows and bytes of the oldest operation under way so far.
    #[must_use]
    pub fn so_far(&self) -> (u64, u64) {
        self.running.front().map_or((0, 0), |running| (running.rows, running.bytes))
    }

    /// Write that a limit was reached. `during` says whether the oldest operation under way did it.
    ///
    /// # Errors
    /// The trail does not take entries.
    pub fn limit_hit(&mut self, hit: &Hit, during: bool) -> Result<Seq, Unrecorded> {
        let operation = self.running.front().filter(|_| during).map(|running| running.number);
        let body = hit.body(self.session, operation);
        let draft =
            Draft::new(self.recorder.now(), &body).map_err(|error| Unrecorded(TrailError::from(error)))?;
        self.last = self.recorder.trail.append(draft, &[])?;
        Ok(self.last)
    }

    /// Bytes that no entry speaks of yet.
    #[must_use]
    pub fn uncovered_bytes(&self) -> u64 {
        self.running.front().map_or(self.told, |running| running.uncovered.saturating_add(self.told))
    }

    /// How often the running operation's progress was written for want of an end.
    #[must_use]
    pub fn trickle(&self) -> u32 {
        self.running.front().map_or(0, |running| running.progresses)
    }

    /// The target has said so many bytes beside operations.
    pub fn told(&mut self, bytes: u64) {
        self.told = self.told.saturating_add(bytes);
    }

    /// Write that the target said something beside operations: with which error code, and about which statement.
    ///
    /// # Errors
    /// The trail does not take entries. On a full disk it takes those that close something, of which this is none: else
    /// whoever says what the target does not understand would use up the room that is kept for them.
    pub fn session_told(&mut self, code: [u8; 5], about: Option<&Arc<Analysis>>) -> Result<Seq, Unrecorded> {
        if self.recorder.trail.state() == TrailState::Full {
            return Err(Unrecorded(TrailError::Full));
        }
        self.write_told(Some(code), about)
    }

    fn write_told(
        &mut self,
        code: Option<[u8; 5]>,
        about: Option<&Arc<Analysis>>,
    ) -> Result<Seq, Unrecorded> {
        let mut frames = Vec::new();
        let statement = match about {
            Some(analysis) => self.seal_statement(analysis, &mut frames)?,
            None => None,
        };
        let lease = self.lease.clone();
        // Held until it stands in the log, as in [`Record::intend`].
        let current = lease.look();
        let body = Body::SessionTold(SessionTold {
            bytes: self.told,
            call: current.text(),
            session: self.session.to_string(),
            sqlstate: code.map(|code| String::from_utf8_lossy(&code).into_owned()),
            statement,
        });
        let draft =
            Draft::new(self.recorder.now(), &body).map_err(|error| Unrecorded(TrailError::from(error)))?;
        self.last = self.recorder.trail.append(draft, &frames_of(&frames))?;
        // What could not be written is still to be told of.
        self.told = 0;
        Ok(self.last)
    }

    /// Write of what was said beside operations, where no entry speaks of it yet: what an operation's entry covers must not
    /// be more than it counts.
    fn speak_of_told(&mut self) -> Result<(), Unrecorded> {
        if self.told > 0 {
            self.write_told(None, None)?;
        }
        Ok(())
    }

    /// Write of everything of which no entry speaks yet, so that it may leave: how far the running operation has come, and
    /// what was said beside it.
    ///
    /// # Errors
    /// The trail does not take entries.
    pub fn progress(&mut self) -> Result<Seq, Unrecorded> {
        self.speak_of_told()?;
        let Some(running) = self.running.front().filter(|running| running.uncovered > 0) else {
            return Ok(self.last);
        };
        let mut frames = Vec::new();
        let transcript = seal_transcript(&mut self.sealer, running, &mut frames)?;
        let body = Body::OperationProgress(OperationProgress {
            bytes: running.bytes,
            call: running.call.map(|call| call.to_string()),
            operation: running.number,
            rows: running.rows,
            session: self.session.to_string(),
            transcript,
        });
        let draft =
            Draft::new(self.recorder.now(), &body).map_err(|error| Unrecorded(TrailError::from(error)))?;
        self.last = self.recorder.trail.append(draft, &frames_of(&frames))?;
        if let Some(running) = self.running.front_mut() {
            running.uncovered = 0;
            running.progresses += 1;
            running.transcript.iter_mut().for_each(Transcript::clear);
        }
        Ok(self.last)
    }

    /// Write how the oldest running operation ended.
    ///
    /// # Errors
    /// The trail does not take entries.
    pub fn outcome(&mut self, ending: &Ending, bytes: u64) -> Result<Seq, Unrecorded> {
        self.speak_of_told()?;
        let came = self.running.front().map_or(0, |running| running.rows);
        let (status, told, rows) = match ending {
            Ending::Done { rows } => (Status::Ok, Told::Nothing, rows.unwrap_or(came)),
            Ending::Suspended => (Status::Suspended, Told::Nothing, came),
            Ending::Failed { code } if code == b"57014" => (Status::Cancelled, Told::Sqlstate(*code), came),
            Ending::Failed { code } => (Status::Failed, Told::Sqlstate(*code), came),
            Ending::Planned => (Status::Planned, Told::Nothing, 0),
            Ending::NotRun => (Status::NotRun, Told::Nothing, 0),
            Ending::Exited(exit) => (exited(exit), Told::Exit(*exit), came),
        };
        self.write_outcome(status, &told, (rows, bytes))
    }

    /// Write the outcome of the oldest running operation, with its rows and the bytes that came with its end. It runs
    /// until that is written.
    fn write_outcome(
        &mut self,
        status: Status,
        told: &Told,
        (rows, bytes): (u64, u64),
    ) -> Result<Seq, Unrecorded> {
        let Some(running) = self.running.front() else { return Ok(self.last) };
        let mut frames = Vec::new();
        let mut subjects = running.counting.count();
        if let (Some(subjects), Some(plain)) = (&mut subjects, running.counting.commitments()) {
            let sealed = seal_object(&mut self.sealer, ObjectKind::Subjects, &plain, &mut frames)?;
            subjects.commitments = Some(sealed);
        }
        let transcript = seal_transcript(&mut self.sealer, running, &mut frames)?;
        let (sqlstate, exit) = match told {
            Told::Nothing => (None, None),
            Told::Sqlstate(code) => (Some(String::from_utf8_lossy(code).into_owned()), None),
            Told::Exit(exit) => (None, Some(exit)),
        };
        let number = running.number;
        let body = Body::OperationOutcome(OperationOutcome {
            bytes: running.bytes.saturating_add(bytes),
            call: running.call.map(|call| call.to_string()),
            duration_us: u64::try_from(running.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            ended_by: exit.map(|exit| exit.by.as_str().to_owned()),
            exit_code: exit.and_then(|exit| exit.code).and_then(|code| u64::try_from(code).ok()),
            free_text: running.looked_through.as_ref().map(free_text),
            operation: number,
            rows,
            session: self.session.to_string(),
            signal: exit.and_then(|exit| exit.signal).and_then(|signal| u64::try_from(signal).ok()),
            sqlstate,
            status,
            subjects,
            transcript,
            withdrawn: running.withdrawn.clone(),
        });
        let draft =
            Draft::new(self.recorder.now(), &body).map_err(|error| Unrecorded(TrailError::from(error)))?;
        self.last = self.recorder.trail.append(draft, &frames_of(&frames))?;
        self.running.pop_front();
        self.rows += rows;
        self.ended = number;
        Ok(self.last)
    }

    /// Write that what had ended well since the last commit did not stay.
    ///
    /// # Errors
    /// The trail does not take entries.
    pub fn undone(&mut self, code: [u8; 5]) -> Result<Seq, Unrecorded> {
        self.speak_of_told()?;
        let body = Body::OperationsUndone(OperationsUndone {
            operation: self.ended,
            session: self.session.to_string(),
            sqlstate: String::from_utf8_lossy(&code).into_owned(),
        });
        let draft =
            Draft::new(self.recorder.now(), &body).map_err(|error| Unrecorded(TrailError::from(error)))?;
        self.last = self.recorder.trail.append(draft, &[])?;
        Ok(self.last)
    }

    /// The bytes that went over the target's stream.
    pub fn traffic(&mut self, traffic: Traffic) {
        self.traffic = traffic;
    }

    /// Write an outcome for everything that is still running, and of what was said beside it.
    ///
    /// # Errors
    /// The trail does not take entries.
    pub fn close_running(&mut self, end: &End) -> Result<Seq, Unrecorded> {
        self.speak_of_told()?;
        while let Some(running) = self.running.front() {
            let so_far = (running.rows, 0);
            self.write_outcome(end.status(), &Told::Nothing, so_far)?;
        }
        Ok(self.last)
    }
}

/// What the target said of an operation's end beside its status.
enum Told {
    Nothing,
    Sqlstate([u8; 5]),
    Exit(Exit),
}

fn arm(denied: &Denied) -> Arm {
    if denied.refusal.code == RefusalCode::ApprovalRequired { Arm::Hold } else { Arm::Refuse }
}

/// What a program's end is among the ends of operations.
fn exited(exit: &Exit) -> Status {
    match exit.by {
        ExitBy::Itself if exit.code == Some(0) => Status::Ok,
        ExitBy::Itself | ExitBy::TimeLimit | ExitBy::OutputLimit | ExitBy::NotStarted => Status::Failed,
        ExitBy::Cancelled | ExitBy::AgentStopping => Status::Cancelled,
    }
}

fn free_text(looked: &LookedThrough) -> FreeTextCount {
    FreeTextCount {
        found: looked.found.iter().map(|(tag, count)| ((*tag).to_owned(), *count)).collect(),
        looked_through: looked.values,
        not_looked_through: looked.unread,
    }
}

fn seal_object(
    sealer: &mut SessionSealer,
    kind: ObjectKind,
    plain: &[u8],
    frames: &mut Vec<SealedFrame>,
) -> Result<ObjectRef, Unrecorded> {
    let frame = sealer.seal(kind, plain).map_err(sealing)?;
    let reference = ObjectRef { bytes: plain.len() as u64, object: Digest(frame.sha256) };
    frames.push(frame);
    Ok(reference)
}

/// What was printed since the last entry.
fn seal_transcript(
    sealer: &mut SessionSealer,
    running: &Running,
    frames: &mut Vec<SealedFrame>,
) -> Result<Option<ObjectRef>, Unrecorded> {
    let printed = running.transcript.as_ref().and_then(Transcript::printed);
    printed.map(|plain| seal_object(sealer, ObjectKind::Transcript, plain, frames)).transpose()
}

fn sealing(error: crate::seal::SealError) -> Unrecorded {
    Unrecorded(TrailError::sealing(error))
}

fn frames_of(frames: &[SealedFrame]) -> Vec<&[u8]> {
    frames.iter().map(|frame| frame.bytes.as_slice()).collect()
}

pub(crate) fn decision(arm: Arm, decided: &Decided, catalog: &Option<Digest>) -> Decision {
    Decision {
        arm,
        catalog: *catalog,
        policies: decided.policies.to_vec(),
        policy: Digest(decided.set_digest),
        unrestricted: decided.unrestricted,
    }
}
