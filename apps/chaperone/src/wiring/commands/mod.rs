//! Declared commands: what may be run where, and one of them under way, on record from its beginning to its end. The API and
//! the tools of MCP are two faces of this; there is one way to a command, and it is the sessions' own.

mod looking;
pub(crate) mod programs;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chaperone_access::{
    CallId, Called, Delegation, Refusal, RefusalCode, SessionId, Source, TargetName, no_command,
};
use chaperone_command::codec::Ended;
use chaperone_command::declare::{Command, Declaration};
use chaperone_command::guest::{Asked, Guest, Heard};
use chaperone_command::opening::{Arrival, Entrance};
use chaperone_identity::{Caveat, Grant, Identity, Standing, Who, narrow};
use chaperone_policy::Policies;
use chaperone_recording::{CallEnd, CallOpening, Lease, LinkFacts, Recorder, ToolCall};
use chaperone_session::Boundary;
use chaperone_trail::CallOutcome;
use chaperone_tunnel::{ApplicationName, As, Dial, Dialer, Parameters};
use chaperone_wire::{ExitBy, Printed};
use serde_json::{Map, Value};

pub(crate) use self::looking::{OfCommands, Through};
use super::calls::{Calls, Place, outcome};
use super::installation::{now_us, random};
use super::metrics::Counters;

/// How long what an agent declares is believed before it is asked again. What a session may run it reads itself.
const BELIEVED: Duration = Duration::from_secs(10);
/// What a call may take beside its command's own time, in seconds: a wait for the record, and the program's last moments.
const BESIDE_S: u64 = 30;
/// What passes between the caller's end and the session's inside of this process, in bytes.
const PIPE_BYTES: usize = 64 * 1024;
/// The tool of a call for a command that is not declared: what was typed may be anything.
const UNDECLARED: &str = "(undeclared)";

/// Somebody who asks for a command, proved by whoever takes his request.
pub(crate) struct Asking {
    pub(crate) who: Who,
    pub(crate) standing: Arc<Standing>,
    /// When what proved it is void, in seconds since the Unix epoch.
    pub(crate) not_after: u64,
    /// The software that acts for him.
    pub(crate) client: Option<String>,
    /// The OAuth client that a token was made for.
    pub(crate) oauth_client: Option<String>,
    pub(crate) purpose: Option<String>,
    /// What the client calls itself.
    pub(crate) application: Option<String>,
    pub(crate) source: Source,
}

/// Why somebody is not let in at all. Nothing of it is on record as a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotIn {
    /// No such target, or none that he may know of.
    Unknown,
    /// His login is another client's than is named.
    OtherClient,
}

/// Why there is no answer.
pub(crate) enum Unanswered {
    NotIn(NotIn),
    Refused(Refusal),
}

impl From<NotIn> for Unanswered {
    fn from(not_in: NotIn) -> Self {
        Self::NotIn(not_in)
    }
}

impl From<Refusal> for Unanswered {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What the commands are reached with.
pub(crate) struct Commands {
    identity: Arc<Identity>,
    policies: Arc<Policies>,
    recorder: Arc<Recorder>,
    dialer: Arc<dyn Dialer>,
    boundary: Arc<Boundary>,
    counters: Arc<Counters>,
    calls: Calls,
    /// What agents declare, as it was last told.
    known: Mutex<HashMap<TargetName, (Instant, Arc<Declaration>)>>,
}

impl Commands {
    pub(crate) fn new(boundary: Arc<Boundary>, counters: Arc<Counters>) -> Self {
        Self {
            identity: boundary.identity.clone(),
            policies: boundary.policies.clone(),
            recorder: boundary.recorder.clone(),
            dialer: boundary.dialer.clone(),
            boundary,
            counters,
            calls: Calls::default(),
            known: Mutex::default(),
        }
    }

    /// The calls that are under way, of commands and of every other tool.
    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// What a target's agent declares.
    pub(crate) async fn declaration(&self, target: &TargetName) -> Result<Arc<Declaration>, Refusal> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(target).cloned();
        if let Some((at, declaration)) = known
            && at.elapsed() < BELIEVED
        {
            return Ok(declaration);
        }
        let session = SessionId::from_parts(now_us() / 1000, random());
        let application = ApplicationName::new(&format!("cp:{session}:commands"))
            .map_err(|_| Refusal::new(RefusalCode::Internal, "no name for the session"))?;
        let dial = Dial {
            target: target.clone(),
            session,
            application,
            login: As::default(),
            parameters: Parameters::default(),
            caller: None,
        };
        // Its agent counts it as it counts sessions, so it is on record as looks at catalogs are.
        let mut look = self.recorder.look(session, target).await?;
        let dialled = self.dialer.dial(dial).await.map_err(|error| error.refusal())?;
        let greeting = dialled.greeting.clone();
        look.reached(dialled.handle, dialled.tried);
        drop(dialled.stream);
        look.end(&*self.dialer).await;
        let declaration = Declaration::read(&greeting).map_err(|error| {
            tracing::warn!(%error, %target, "an agent's declaration of commands cannot be used");
            Refusal::new(RefusalCode::TargetUnavailable, "the agent's declaration of commands cannot be used")
                .hint("ask whoever runs the gateway to look at its log")
        })?;
        let declaration = Arc::new(declaration);
        let entry = (Instant::now(), declaration.clone());
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(target.clone(), entry);
        Ok(declaration)
    }

    fn chain(&self, asking: &Asking, tool: &Arc<str>) -> Result<Delegation, NotIn> {
        let (client, purpose) = (asking.client.clone(), asking.purpose.clone());
        self.identity.chain_for(&asking.standing, client, purpose, tool).map_err(|_| NotIn::OtherClient)
    }

    /// Whether he may call a tool; whoever may not be at the target is told nothing of it.
    fn may(&self, delegation: &Delegation, target: &TargetName, tool: &str) -> Result<bool, NotIn> {
        match self.policies.may_invoke(delegation, target, tool, now_us()) {
            Ok(()) => Ok(true),
            Err(refusal) if refusal.code == RefusalCode::UndefinedTarget => Err(NotIn::Unknown),
            Err(_) => Ok(false),
        }
    }

    /// The commands that he may run.
    pub(crate) async fn permitted(
        &self,
        asking: &Asking,
        target: &TargetName,
    ) -> Result<BTreeMap<String, Command>, Unanswered> {
        // Whether he may be there is asked first: a target that he may not know of is not dialled for him.
        self.may(&self.chain(asking, &Arc::from(UNDECLARED))?, target, UNDECLARED)?;
        let declaration = self.declaration(target).await?;
        let mut permitted = BTreeMap::new();
        for (name, command) in &declaration.commands {
            let delegation = self.chain(asking, &Arc::from(name.as_str()))?;
            if self.may(&delegation, target, name)? {
                permitted.insert(name.clone(), command.clone());
            }
        }
        Ok(permitted)
    }

    /// Begin a command: what it was asked for is on durable record when this returns. It is decided, and recorded as an
    /// operation, by its session.
    pub(crate) async fn begin(
        &self,
        asking: &Asking,
        target: &TargetName,
        command: &str,
        arguments: &Map<String, Value>,
    ) -> Result<Running, Unanswered> {
        self.may(&self.chain(asking, &Arc::from(UNDECLARED))?, target, UNDECLARED)?;
        let place = self.calls.enter(&asking.standing.facts().subject)?;
        let declaration = self.declaration(target).await?;
        let declared = declaration.commands.get(command);
        let tool: Arc<str> = Arc::from(declared.map_or(UNDECLARED, |_| command));
        let delegation = self.chain(asking, &tool)?;
        let canonical = serde_json_canonicalizer::to_vec(arguments)
            .map_err(|error| Refusal::new(RefusalCode::ProtocolViolation, error.to_string()))?;
        let lease = Lease::default();
        let opening = CallOpening {
            call: CallId::from_parts(now_us() / 1000, random()),
            delegation: &delegation,
            source: asking.source,
            target,
            called: &Called::Tool(tool.clone()),
            method: None,
            arguments: &canonical,
            application: asking.application.clone(),
            client: asking.oauth_client.clone(),
        };
        let call = self.recorder.begin_call(opening, lease.clone()).await?;
        let time_s = declared.map_or(0, |declared| u64::from(declared.time_s_max));
        let asked = match declared.map(|declared| Asked::new(command, declared.texts(arguments))) {
            Some(Ok(asked)) => Ok(asked),
            // What is wrong with what is asked for shows to whoever may ask for it.
            Some(Err(too_long)) if self.may(&delegation, target, command) == Ok(true) => Err(too_long),
            Some(Err(_)) | None => Err(no_command(target, command)),
        };
        let entered = asked.and_then(|asked| {
            let (stream, entered) = self.enter(asking, &delegation, target, &tool, lease.clone())?;
            Ok((asked, stream, entered))
        });
        let guest = match entered {
            Ok((asked, stream, entered)) => {
                self.counters.session();
                tokio::spawn(entered);
                Ok(Guest::run(stream, asked).await)
            }
            Err(refusal) => Err(refusal),
        };
        let deadline = Instant::now() + Duration::from_secs(time_s + BESIDE_S);
        let (guest, first) = match guest {
            Ok(guest) => (Some(guest), None),
            Err(refusal) => (None, Some(refusal)),
        };
        Ok(Running { call, lease, guest, first, deadline, bytes: 0, _place: place })
    }

    /// The two ends of a session for one command: what a client holds, and what runs the session.
    fn enter(
        &self,
        asking: &Asking,
        delegation: &Delegation,
        target: &TargetName,
        tool: &Arc<str>,
        lease: Lease,
    ) -> Result<(Box<dyn chaperone_wire::Stream>, impl Future<Output = ()> + Send + use<>), Refusal> {
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "no credential for a command's session");
            Refusal::new(RefusalCode::Internal, "the gateway could not open the session")
        };
        let now = now_us() / 1_000_000;
        let life = u64::from(chaperone_command::declare::TIME_S_MAX) + BESIDE_S;
        let grant = Grant {
            who: asking.who.clone(),
            client: delegation.client.as_deref().map(str::to_owned),
            target: target.clone(),
            purpose: delegation.purpose.as_deref().map(str::to_owned),
            not_before: now,
            not_after: (now + life).min(asking.not_after).max(now + 1),
        };
        let made = self.identity.issue(&grant).map_err(|error| failed(&error))?;
        let caveat = Caveat::Tool(tool.to_string());
        let (user, password) = narrow(&made.user, &made.password, &caveat).map_err(|error| failed(&error))?;
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let entrance = Entrance {
            user: user.into(),
            password,
            target: Arc::from(target.as_str()),
            application: asking.application.as_deref().map(Arc::from),
            source: asking.source,
        };
        let (boundary, source) = (self.boundary.clone(), asking.source);
        let link = LinkFacts { tls: None, tool: Some(tool.clone()), lease, only: None };
        let entered = async move {
            let arrival = Arrival::new(Box::new(theirs), entrance);
            let ended = chaperone_session::run(arrival, &boundary, source, link, ()).await;
            tracing::debug!(?ended, "a command's session ended");
        };
        Ok((Box::new(ours), entered))
    }
}

/// What whoever asked for a command of unknown outcome does next.
const LOOK_FIRST: &str = "whether it did its work is not known: look before you run it again";

/// How a command came to its end.
pub(crate) enum Finish {
    Ended(Ended),
    /// It did not run.
    Refused(Refusal),
    /// It may have run, and nobody can say what it did.
    Unknown(Refusal),
}

/// What is heard of a command under way.
pub(crate) enum Piece {
    Printed(Printed, String),
    Finish(Finish),
}

/// A command under way. Dropping it ends the command, and its call as abandoned.
pub(crate) struct Running {
    call: ToolCall,
    lease: Lease,
    guest: Option<Guest>,
    /// Why there is no session.
    first: Option<Refusal>,
    deadline: Instant,
    bytes: u64,
    _place: Place,
}

impl Running {
    pub(crate) fn id(&self) -> CallId {
        self.call.id()
    }

    /// What comes next, on record already.
    pub(crate) async fn hear(&mut self) -> Piece {
        if let Some(refusal) = self.first.take() {
            return Piece::Finish(Finish::Refused(refusal));
        }
        let Some(guest) = &mut self.guest else {
            return Piece::Finish(self.lost(&"nothing is under way"));
        };
        let heard = tokio::time::timeout_at(self.deadline.into(), guest.hear()).await;
        match heard {
            Ok(Ok(Heard::Printed(printed, text))) => {
                self.bytes += text.len() as u64;
                Piece::Printed(printed, text)
            }
            Ok(Ok(Heard::Ended(ended))) => Piece::Finish(Finish::Ended(ended)),
            Ok(Ok(Heard::Refused(refusal))) => Piece::Finish(Finish::Refused(refusal)),
            Ok(Ok(Heard::Lost(refusal))) => {
                let Refusal { code, message, .. } = refusal;
                Piece::Finish(Finish::Unknown(Refusal::new(code, message).hint(LOOK_FIRST)))
            }
            Ok(Err(gone)) => Piece::Finish(self.lost(&gone)),
            Err(_elapsed) => Piece::Finish(self.lost(&"no end in time")),
        }
    }

    /// Its session ended without a word.
    fn lost(&self, error: &dyn std::fmt::Display) -> Finish {
        tracing::warn!(%error, "a command's session ended early");
        let refusal = Refusal::new(RefusalCode::TargetLost, "the session ended before the command did");
        // From here on nothing more is permitted for it.
        self.lease.end();
        if self.lease.may_have_written() {
            return Finish::Unknown(refusal.hint(LOOK_FIRST));
        }
        Finish::Refused(refusal.hint("it was not run: run it again"))
    }

    /// End the call. What is returned is on durable record, and is what may be told of its end.
    pub(crate) async fn end(self, finish: Finish) -> Finish {
        let (outcome, code) = match &finish {
            Finish::Ended(ended) if ended.code == Some(0) && ended.by == ExitBy::Itself.as_str() => {
                (CallOutcome::Ok, None)
            }
            Finish::Ended(_) => (CallOutcome::Failed, None),
            Finish::Refused(refusal) => {
                let code = self.lease.refused().unwrap_or(refusal.code);
                (outcome(code), Some(code))
            }
            Finish::Unknown(refusal) => (CallOutcome::Unknown, Some(refusal.code)),
        };
        let end = CallEnd {
            outcome,
            code,
            // Its operation's outcome counts them.
            masked: BTreeMap::new(),
            phi_without_statement: None,
            not_looked_through: None,
            rows: 0,
            bytes: self.bytes,
        };
        match (self.call.end(end).await, finish) {
            (Ok(()), finish) => finish,
            // How it ended does not leave; that it was refused would be no truth where it ran.
            (Err(unrecorded), Finish::Refused(_)) => Finish::Refused(unrecorded),
            (Err(unrecorded), Finish::Ended(_) | Finish::Unknown(_)) => Finish::Unknown(unrecorded),
        }
    }
}
