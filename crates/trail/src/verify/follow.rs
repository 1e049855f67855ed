//! What entries say of each other: sessions, operations, tool calls, silence, and what agents signed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Report;
use super::accounts::Accounts;
use crate::{
    AgentEnrolled, Body, CAUSE_KILLED, CatalogAnswered, CredentialExchanged, Entry, Gap, GatewayHeartbeat,
    ObjectRef, OperationIntent, OperationOutcome, OperationProgress, OperationRefused, REASON_LOST,
    SessionClosed, SessionOpened, SessionTold, SignedTally, Status, ToolcallAsked, cumulative_tally_message,
    tally_message,
};

/// A session that is open.
#[derive(Default)]
struct Session {
    target: String,
    /// Operations that have an intent and no outcome, each with the call that it is of.
    running: BTreeMap<u64, Option<String>>,
    /// The last operation's number.
    last: u64,
    operations: u64,
    refusals: u64,
    rows: u64,
}

/// What a server asked for in a call.
#[derive(Default)]
struct Asks {
    /// The last question's number.
    last: u64,
    /// Questions that the client was asked and that have no answer.
    open: BTreeSet<u64>,
}

/// An agent's key that was enrolled.
struct Key {
    agent: String,
    public: Vec<u8>,
}

/// What is followed from entry to entry.
#[derive(Default)]
pub(super) struct Followed {
    open: BTreeMap<String, Session>,
    /// Tool calls that have begun and not ended.
    calls: BTreeMap<String, Asks>,
    /// Those that servers had credentials exchanged for: nobody says when they end.
    elsewhere: BTreeSet<String>,
    keys: HashMap<String, Key>,
    accounts: Accounts,
    objects: HashSet<String>,
    heartbeat_us: u64,
    last_at: u64,
    running: bool,
}

impl Followed {
    /// Sealed objects that were named.
    pub(super) fn objects(&self) -> &HashSet<String> {
        &self.objects
    }

    /// The next entry.
    pub(super) fn take(&mut self, report: &mut Report, seq: u64, entry: &Entry) {
        self.time(report, seq, entry);
        match &entry.body {
            Body::GatewayStarted(body) => {
                if self.running {
                    report.find(Some(seq), "the gateway started while it was running");
                }
                self.running = true;
                self.heartbeat_us = body.heartbeat_s.saturating_mul(1_000_000);
                self.accounts.started(report);
            }
            Body::GatewayStopped(_) => self.running = false,
            // Other gaps are of a gateway that goes on.
            Body::Gap(body) => self.running &= body.cause != CAUSE_KILLED,
            Body::AgentEnrolled(body) => self.enrol(body),
            Body::AgentConnected(body) => self.accounts.linked(&body.agent),
            Body::CatalogAsked(body) => self.accounts.opened(&body.session, seq, true),
            Body::CatalogAnswered(body) => self.answered(report, seq, body),
            Body::SessionOpened(body) => self.begin_session(report, seq, body),
            Body::SessionJoined(body) => {
                if !self.open.contains_key(&body.session) {
                    report.find(Some(seq), "a session reached a target that is not open");
                }
                self.accounts.tried(body.tried.as_ref());
                self.accounts.joined(&body.session, &body.agent);
            }
            Body::OperationIntent(body) => self.begin(report, seq, body),
            Body::OperationProgress(body) => self.go_on(report, seq, body),
            Body::OperationOutcome(body) => self.end(report, seq, body),
            Body::OperationRefused(body) => self.refuse(report, seq, body),
            Body::ToolcallStarted(body) => self.begin_call(report, seq, &body.call),
            Body::ToolcallEnded(body) => self.end_call(report, seq, &body.call),
            Body::ToolcallTold(body) => self.aside(report, seq, &body.call),
            Body::ToolcallAsked(body) => self.ask(report, seq, body),
            Body::ToolcallAnswered(body) => self.answer(report, seq, &body.call, body.ask),
            Body::CredentialExchanged(body) => self.exchange(report, seq, body),
            Body::SessionTold(body) => self.tell(report, seq, body),
            Body::SessionClosed(body) => self.close(report, seq, body),
            Body::GatewayHeartbeat(body) => self.count(report, seq, body),
            Body::GatewayRecovered(_)
            | Body::ClockStepped(_)
            | Body::KeyCreated(_)
            | Body::KeyRotated(_)
            | Body::PolicyLoaded(_)
            | Body::PolicyRefused(_)
            | Body::CatalogLoaded(_)
            | Body::ClassificationLoaded(_)
            | Body::ConfigurationChanged(_)
            | Body::AgentDisconnected(_)
            | Body::AgentInvited(_)
            | Body::AgentLocked(_)
            | Body::AgentRemoved(_)
            | Body::ServerStarted(_)
            | Body::ServerEnded(_)
            | Body::ToolsAccepted(_)
            | Body::ToolHeld(_)
            | Body::CredentialRevoked(_)
            | Body::SessionFollowed(_)
            | Body::AuthenticationSucceeded(_)
            | Body::AuthenticationFailed(_)
            | Body::OperationHeld(_)
            | Body::OperationsUndone(_)
            | Body::LimitHit(_)
            | Body::LoginMade(_)
            | Body::LoginRefreshed(_)
            | Body::LoginEnded(_)
            | Body::ServiceCreated(_)
            | Body::ServiceRotated(_)
            | Body::ServiceRevoked(_)
            | Body::SubjectDisabled(_)
            | Body::SubjectEnabled(_)
            | Body::LockPlaced(_)
            | Body::LockLifted(_)
            | Body::SessionKilled(_)
            | Body::RecordingRead(_) => {}
        }
    }

    /// After the last entry: what was left open, where the gateway is not running.
    pub(super) fn finish(self, report: &mut Report) {
        report.uncounted = self.accounts.uncounted();
        if self.running {
            return;
        }
        for call in self.calls.keys() {
            report.find(None, format!("tool call `{call}` never ended"));
        }
        for (name, session) in self.open {
            let open = session.running.len();
            report.find(None, format!("session `{name}` was never closed, with {open} operations open"));
        }
    }

    /// Its number and its time.
    fn time(&mut self, report: &mut Report, seq: u64, entry: &Entry) {
        if entry.seq != seq {
            report.find(Some(seq), format!("the entry says that it is number {}", entry.seq));
        }
        let most = 2 * self.heartbeat_us;
        let silent = entry.at.saturating_sub(self.last_at);
        // Silence that a gap tells of is no silence, as far as the gap goes.
        let told = |gap: &Gap| gap.from.saturating_sub(self.last_at) <= most;
        let is_told = matches!(&entry.body, Body::Gap(gap) if told(gap));
        if self.running && most > 0 && silent > most && !is_told {
            report.find(Some(seq), format!("nothing was written for {} s before it", silent / 1_000_000));
        }
        self.last_at = entry.at;
    }

    fn enrol(&mut self, body: &AgentEnrolled) {
        let public = hex::decode(&body.public_key).unwrap_or_default();
        self.keys.insert(body.key.clone(), Key { agent: body.agent.clone(), public });
    }

    fn begin_call(&mut self, report: &mut Report, seq: u64, call: &str) {
        if self.calls.insert(call.to_owned(), Asks::default()).is_some() {
            report.find(Some(seq), "a tool call that has begun already");
        }
    }

    /// A server told something in a call.
    fn aside(&mut self, report: &mut Report, seq: u64, call: &str) {
        if !self.calls.contains_key(call) {
            report.find(Some(seq), "words of a server in a tool call that is not under way");
        }
    }

    /// A server asked something in a call: with the number after the one before it.
    fn ask(&mut self, report: &mut Report, seq: u64, body: &ToolcallAsked) {
        let Some(asks) = self.calls.get_mut(&body.call) else {
            report.find(Some(seq), "a question of a server in a tool call that is not under way");
            return;
        };
        let wanted = asks.last + 1;
        if body.ask != wanted {
            report.find(Some(seq), format!("question {} stands where question {wanted} has to", body.ask));
        }
        asks.last = body.ask.min(u64::MAX - 1);
        if body.code.is_none() {
            asks.open.insert(body.ask);
        }
    }

    fn answer(&mut self, report: &mut Report, seq: u64, call: &str, ask: u64) {
        if !self.calls.get_mut(call).is_some_and(|asks| asks.open.remove(&ask)) {
            report.find(Some(seq), "an answer to a question that is not open");
        }
    }

    fn end_call(&mut self, report: &mut Report, seq: u64, call: &str) {
        if self.calls.remove(call).is_none() {
            report.find(Some(seq), "the end of a tool call that is not under way");
        }
    }

    /// A server elsewhere has a call under way, of which no end is told.
    fn exchange(&mut self, report: &mut Report, seq: u64, body: &CredentialExchanged) {
        let Some(call) = &body.call else { return };
        if self.calls.contains_key(call) || !self.elsewhere.insert(call.clone()) {
            report.find(Some(seq), "a tool call that has begun already");
        }
    }

    fn is_under_way(&self, call: &String) -> bool {
        self.calls.contains_key(call) || self.elsewhere.contains(call)
    }

    /// An operation says that it is a tool call's: that one has to be under way.
    fn within(&self, report: &mut Report, seq: u64, call: Option<&String>) {
        if call.is_some_and(|call| !self.is_under_way(call)) {
            report.find(Some(seq), "an operation of a tool call that is not under way");
        }
    }

    /// An entry names a sealed object: it has to be there.
    fn name(&mut self, object: Option<&ObjectRef>) {
        self.objects.extend(object.map(|object| object.object.to_string()));
    }

    fn begin_session(&mut self, report: &mut Report, seq: u64, body: &SessionOpened) {
        report.sessions += 1;
        let session = Session { target: body.target.clone(), ..Session::default() };
        if self.open.insert(body.session.clone(), session).is_some() {
            report.find(Some(seq), "a session that is open already");
        }
        self.accounts.opened(&body.session, seq, false);
    }

    /// An operation begins, in a session that is open, with the number that follows.
    fn begin(&mut self, report: &mut Report, seq: u64, body: &OperationIntent) {
        self.name(body.statement.as_ref());
        self.name(body.parameters.as_ref().and_then(|parameters| parameters.sealed.as_ref()));
        self.name(body.columns_sealed.as_ref());
        self.within(report, seq, body.call.as_ref());
        match self.open.get_mut(&body.session) {
            Some(session) => {
                session.number(report, seq, body.operation);
                session.operations += 1;
                session.running.insert(body.operation, body.call.clone());
            }
            None => report.find(Some(seq), "an operation of a session that is not open"),
        }
    }

    fn refuse(&mut self, report: &mut Report, seq: u64, body: &OperationRefused) {
        self.name(body.statement.as_ref());
        self.name(body.parameters.as_ref().and_then(|parameters| parameters.sealed.as_ref()));
        self.within(report, seq, body.call.as_ref());
        // Number 0 is the connection itself, which then is no session.
        if body.operation == 0 {
            return;
        }
        match self.open.get_mut(&body.session) {
            Some(session) => {
                session.number(report, seq, body.operation);
                session.refusals += 1;
            }
            None => report.find(Some(seq), "an operation of a session that is not open"),
        }
    }

    /// The target said something beside operations, to a session that is open.
    fn tell(&mut self, report: &mut Report, seq: u64, body: &SessionTold) {
        self.name(body.statement.as_ref());
        if body.call.as_ref().is_some_and(|call| !self.is_under_way(call)) {
            report.find(Some(seq), "words of the target in a tool call that is not under way");
        }
        if !self.open.contains_key(&body.session) {
            report.find(Some(seq), "words of the target to a session that is not open");
        }
    }

    fn go_on(&mut self, report: &mut Report, seq: u64, body: &OperationProgress) {
        self.name(body.transcript.as_ref());
        match self.open.get(&body.session).and_then(|session| session.running.get(&body.operation)) {
            Some(call) if *call == body.call => {}
            Some(_) => report.find(Some(seq), "progress under another tool call than its intent"),
            None => report.find(Some(seq), "progress without its intent"),
        }
    }

    fn end(&mut self, report: &mut Report, seq: u64, body: &OperationOutcome) {
        self.name(body.subjects.as_ref().and_then(|subjects| subjects.commitments.as_ref()));
        self.name(body.transcript.as_ref());
        let session = self.open.get_mut(&body.session);
        let begun = session.and_then(|session| {
            session.rows = session.rows.saturating_add(body.rows);
            session.running.remove(&body.operation)
        });
        match begun {
            Some(call) if call == body.call => {}
            // A start that closes what the last run left does not say whose it was.
            Some(_) if body.call.is_none() && body.status == Status::Lost => {}
            Some(_) => report.find(Some(seq), "an outcome under another tool call than its intent"),
            None => report.find(Some(seq), "an outcome without its intent"),
        }
    }

    /// A session is over: everything that it ran has an outcome, its sums are those of its entries, and its agent counted
    /// no more than it says.
    fn close(&mut self, report: &mut Report, seq: u64, body: &SessionClosed) {
        let Some(session) = self.open.remove(&body.session) else {
            report.find(Some(seq), "a session was closed that is not open");
            return;
        };
        if !session.running.is_empty() {
            let open = session.running.len();
            report.find(Some(seq), format!("closed with {open} operations without an outcome"));
        }
        let sums = (body.operations, body.refusals, body.rows);
        let entries = (session.operations, session.refusals, session.rows);
        // Whoever closes what the last run left has not counted.
        if body.reason == REASON_LOST {
            if self.running {
                report.find(Some(seq), "closed as lost by a gateway that was not");
            }
        } else if sums != entries {
            report.find(
                Some(seq),
                format!(
                    "the session's end counts {} operations, {} refusals and {} rows, and its entries are {}, {} and {}",
                    sums.0, sums.1, sums.2, entries.0, entries.1, entries.2
                ),
            );
        }
        let tally = body.agent.as_ref().filter(|tally| {
            report.tallies += 1;
            self.holds(report, seq, tally)
        });
        if let Some(tally) = tally {
            self.hold_session(report, seq, body, &session.target, tally);
            // Where the disk was full, that it reached its target could not be written, and its end could.
            self.accounts.joined(&body.session, &tally.tally.agent);
        }
        self.accounts.closed(report, &body.session, tally.map(|tally| &tally.tally));
    }

    /// The gateway looked at a catalog: its agent counts that as it counts sessions.
    fn answered(&mut self, report: &mut Report, seq: u64, body: &CatalogAnswered) {
        self.accounts.tried(body.tried.as_ref());
        if let Some(through) = &body.through {
            self.accounts.joined(&body.session, through);
        }
        let tally = body.agent.as_ref().filter(|tally| self.holds(report, seq, tally));
        let agent = body.through.as_ref();
        let is_other =
            |tally: &SignedTally| tally.tally.session != body.session || Some(&tally.tally.agent) != agent;
        if tally.is_some_and(is_other) {
            report.find(Some(seq), "the tally is of another session, target or agent");
        }
        self.accounts.closed(report, &body.session, tally.map(|tally| &tally.tally));
    }

    /// What agents counted since they started.
    fn count(&mut self, report: &mut Report, seq: u64, body: &GatewayHeartbeat) {
        for signed in &body.agents {
            let message = cumulative_tally_message(&signed.tally);
            let by = (signed.key.as_str(), signed.tally.agent.as_str());
            if self.is_signed(report, seq, by, &signed.signature, message) {
                self.accounts.counted(report, seq, &signed.tally);
            }
        }
    }

    fn holds(&self, report: &mut Report, seq: u64, signed: &SignedTally) -> bool {
        let by = (signed.key.as_str(), signed.tally.agent.as_str());
        self.is_signed(report, seq, by, &signed.signature, tally_message(&signed.tally))
    }

    /// Whether an agent signed the message with a key that was enrolled for it; what is wrong is found.
    fn is_signed(
        &self,
        report: &mut Report,
        seq: u64,
        (key, agent): (&str, &str),
        signature: &str,
        message: Result<Vec<u8>, serde_json::Error>,
    ) -> bool {
        let Some(key) = self.keys.get(key) else {
            report.find(Some(seq), "a tally is signed with a key that was not enrolled");
            return false;
        };
        if key.agent != agent {
            report.find(Some(seq), "a tally is signed with another agent's key");
            return false;
        }
        let (Ok(message), Ok(signature)) = (message, STANDARD.decode(signature)) else {
            report.find(Some(seq), "a tally has no usable signature");
            return false;
        };
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key.public);
        let valid = public.verify(&message, &signature).is_ok();
        if !valid {
            report.find(Some(seq), "a tally's signature is not valid");
        }
        valid
    }

    /// The agent's own count of a session: of this one, and not contradicting the gateway's.
    fn hold_session(
        &self,
        report: &mut Report,
        seq: u64,
        closed: &SessionClosed,
        target: &str,
        signed: &SignedTally,
    ) {
        let tally = &signed.tally;
        let joined = self.accounts.agent_of(&closed.session);
        let is_other = joined.is_some_and(|joined| joined != tally.agent);
        if tally.session != closed.session || tally.target != target || is_other {
            report.find(Some(seq), "the tally is of another session, target or agent");
        }
        // What the agent read of the target and the gateway never got is possible where the stream was cut.
        if tally.bytes_up > closed.bytes_to_target || tally.bytes_down < closed.bytes_from_target {
            report.find(Some(seq), "gateway and agent counted different traffic");
        }
    }
}

impl Session {
    /// Permitted or refused, each operation has the number after the one before it.
    fn number(&mut self, report: &mut Report, seq: u64, number: u64) {
        let wanted = self.last + 1;
        if number != wanted {
            report.find(Some(seq), format!("operation {number} stands where operation {wanted} has to"));
        }
        self.last = number.min(u64::MAX - 1);
    }
}
