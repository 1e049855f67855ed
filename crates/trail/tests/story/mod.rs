//! A small history as a gateway writes it, with what its agent signed, that a test changes and writes again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on fails"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chaperone_access::{Delegation, Effect, RefusalCode, Subject, SubjectKind};
use chaperone_trail::*;

pub(crate) const HEARTBEAT_S: u64 = 10;
const SECOND_US: u64 = 1_000_000;

/// When it begins: so long ago that it has just ended, since the writer itself says when it is closed.
fn begin_us() -> u64 {
    static BEGIN_US: OnceLock<u64> = OnceLock::new();
    *BEGIN_US.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(now.as_micros()).unwrap() - 32 * SECOND_US
    })
}

/// The operator's log-signing key.
pub(crate) fn signer() -> Signer {
    Signer::new("chaperone/test", &[7; 32]).unwrap()
}

/// An agent with the key that only it has.
#[derive(Clone)]
pub(crate) struct Agent {
    name: &'static str,
    pair: Arc<EcdsaKeyPair>,
}

impl Agent {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, pair: Arc::new(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()) }
    }

    fn key(&self) -> String {
        format!("key-of-{}", self.name)
    }

    fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.pair.sign(&SystemRandom::new(), message).unwrap())
    }

    pub(crate) fn signs(&self, tally: SessionTally) -> SignedTally {
        let signature = self.sign(&tally_message(&tally).unwrap());
        SignedTally { key: self.key(), signature, tally }
    }

    pub(crate) fn counts(&self, tally: CumulativeTally) -> SignedCumulative {
        let signature = self.sign(&cumulative_tally_message(&tally).unwrap());
        SignedCumulative { key: self.key(), signature, tally }
    }

    pub(crate) fn enrolled(&self) -> Body {
        Body::AgentEnrolled(AgentEnrolled {
            agent: self.name.to_owned(),
            by: "somebody".to_owned(),
            key: self.key(),
            public_key: hex::encode(self.pair.public_key().as_ref()),
            targets: vec!["clinic".to_owned()],
        })
    }

    pub(crate) fn connected(&self) -> Body {
        Body::AgentConnected(AgentConnected {
            agent: self.name.to_owned(),
            key: self.key(),
            source: "127.0.0.1".to_owned(),
            tls: None,
        })
    }
}

/// One entry with the sealed frames that travel with it.
#[derive(Clone)]
pub(crate) struct Entered {
    pub(crate) at: u64,
    pub(crate) body: Body,
    pub(crate) frames: Vec<Vec<u8>>,
}

/// The whole.
#[derive(Clone)]
pub(crate) struct Story {
    pub(crate) steps: Vec<Entered>,
    pub(crate) agent: Agent,
}

fn name_of(session: usize) -> String {
    format!("session-{session}")
}

/// Which session an entry is of.
fn session_of(body: &Body) -> Option<&str> {
    match body {
        Body::SessionOpened(body) => Some(&body.session),
        Body::SessionJoined(body) => Some(&body.session),
        Body::SessionClosed(body) => Some(&body.session),
        Body::OperationIntent(body) => Some(&body.session),
        Body::OperationProgress(body) => Some(&body.session),
        Body::OperationOutcome(body) => Some(&body.session),
        Body::OperationRefused(body) => Some(&body.session),
        Body::SessionTold(body) => Some(&body.session),
        _ => None,
    }
}

impl Story {
    fn push(&mut self, body: Body) {
        let at = self.steps.last().map_or(begin_us(), |last| last.at + SECOND_US);
        self.push_at(at, body);
    }

    /// An entry, and the sealed object that it names.
    fn push_sealed(&mut self, frame: &[u8], body: impl FnOnce(Option<ObjectRef>) -> Body) {
        self.push(body(Some(ObjectRef { bytes: 3, object: Digest::of(frame) })));
        if let Some(last) = self.steps.last_mut() {
            last.frames.push(frame.to_vec());
        }
    }

    pub(crate) fn push_at(&mut self, at: u64, body: Body) {
        self.steps.push(Entered { at, body, frames: Vec::new() });
    }

    /// What a start writes of session 1, which was open with one operation.
    pub(crate) fn push_lost(&mut self) {
        self.push(outcome(1, 1, None, 0, Status::Lost));
        self.push(closed(1, None, (0, 0, 0), REASON_LOST));
        self.push(Body::GatewayRecovered(GatewayRecovered { operations: 1, sessions: 1, torn_bytes: 0 }));
    }

    pub(crate) fn insert(&mut self, at: usize, body: Body) {
        let time = self.steps[at - 1].at;
        self.steps.insert(at, Entered { at: time, body, frames: Vec::new() });
    }

    /// Everything from an entry on, so much later.
    pub(crate) fn later(&mut self, from: usize, seconds: u64) {
        for step in &mut self.steps[from..] {
            step.at += seconds * SECOND_US;
        }
    }

    /// The last entry of that kind of session `number`; of kinds without a session, the one of that number.
    pub(crate) fn last(&self, kind: &str, number: usize) -> usize {
        let mut of_kind =
            self.steps.iter().enumerate().filter(|(_, step)| step.body.kind().as_str() == kind).peekable();
        let has_session = of_kind.peek().is_some_and(|(_, step)| session_of(&step.body).is_some());
        let found = if has_session {
            of_kind.rfind(|(_, step)| session_of(&step.body) == Some(&name_of(number)))
        } else {
            of_kind.nth(number)
        };
        found.unwrap_or_else(|| panic!("no `{kind}` of {number}")).0
    }

    pub(crate) fn change(&mut self, at: usize, change: impl FnOnce(&mut Body)) {
        change(&mut self.steps[at].body);
    }

    /// Change a session's end.
    pub(crate) fn closed(&mut self, session: usize, change: impl FnOnce(&mut SessionClosed)) {
        let at = self.last("session.closed", session);
        let Body::SessionClosed(body) = &mut self.steps[at].body else { panic!() };
        change(body);
    }

    /// What the agent counted of a session.
    pub(crate) fn tally(&self, session: usize) -> SessionTally {
        let Body::SessionClosed(body) = &self.steps[self.last("session.closed", session)].body else {
            panic!()
        };
        body.agent.clone().unwrap().tally
    }

    /// What it counted of the look at the catalog.
    pub(crate) fn look_tally(&self) -> SessionTally {
        let Body::CatalogAnswered(body) = &self.steps[self.last("catalog.answered", 0)].body else {
            panic!()
        };
        body.agent.clone().unwrap().tally
    }

    /// The agent counts a session otherwise, and signs that.
    pub(crate) fn tallied(&mut self, session: usize, change: impl FnOnce(&mut SessionTally)) {
        let mut tally = self.tally(session);
        change(&mut tally);
        let signed = self.agent.signs(tally);
        self.closed(session, |body| body.agent = Some(signed));
    }

    /// The agent counts otherwise at a heartbeat, and signs that.
    pub(crate) fn counted(&mut self, heartbeat: usize, change: impl FnOnce(&mut CumulativeTally)) {
        let at = self.last("gateway.heartbeat", heartbeat);
        let Body::GatewayHeartbeat(body) = &mut self.steps[at].body else { panic!() };
        let mut tally = body.agents[0].tally.clone();
        change(&mut tally);
        body.agents[0] = self.agent.counts(tally);
    }

    /// Leave out everything that is said of a session.
    pub(crate) fn leave_out(&mut self, session: usize) {
        let name = name_of(session);
        self.steps.retain(|step| session_of(&step.body) != Some(&name));
    }

    /// Make up a session through the agent, after its first count.
    pub(crate) fn make_up(&mut self, name: &str) {
        let after = self.last("gateway.heartbeat", 0) + 1;
        let mut bodies = vec![opened(9), joined(9), closed(9, None, (0, 0, 0), "client_left")];
        for body in &mut bodies {
            match body {
                Body::SessionOpened(body) => body.session = name.to_owned(),
                Body::SessionJoined(body) => body.session = name.to_owned(),
                Body::SessionClosed(body) => body.session = name.to_owned(),
                _ => {}
            }
        }
        for body in bodies.into_iter().rev() {
            self.insert(after, body);
        }
    }

    /// Write it with the real writer, signed with the operator's key. It adds `gateway.stopped`.
    pub(crate) fn write(self, folder: &Path) {
        let (trail, _) = Trail::open(Options::new(folder)).unwrap();
        let publisher = trail.publish(signer()).unwrap();
        for step in self.steps {
            let frames: Vec<&[u8]> = step.frames.iter().map(Vec::as_slice).collect();
            let draft = Draft::new(step.at, &step.body).unwrap();
            while let Err(error) = trail.append(draft.clone(), &frames) {
                assert!(matches!(error, TrailError::Busy), "{error}");
                std::thread::yield_now();
            }
        }
        trail.close("test").unwrap();
        publisher.join().unwrap();
    }

    /// What verification says of it.
    pub(crate) fn written(self) -> Report {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        verify(folder.path(), &signer().verifier_key(), |_| {})
    }
}

/// Another call for the first entry of that kind of the session that has calls.
pub(crate) fn calls_of(story: &mut Story, kind: &str, call: Option<&str>) {
    let first = story.steps.iter_mut().find(|step| step.body.kind().as_str() == kind).unwrap();
    let call = call.map(str::to_owned);
    match &mut first.body {
        Body::OperationIntent(body) => body.call = call,
        Body::OperationProgress(body) => body.call = call,
        Body::OperationOutcome(body) => body.call = call,
        Body::OperationRefused(body) => body.call = call,
        Body::SessionTold(body) => body.call = call,
        other => panic!("{}", other.kind().as_str()),
    }
}

/// Build a published log of one bundle again over entries that `change` changed, and sign it; how many there are.
pub(crate) fn forge(folder: &Path, change: &dyn Fn(&str) -> String) -> u64 {
    let checkpoint =
        open_checkpoint(&fs::read(folder.join("checkpoint")).unwrap(), &signer().verifier_key()).unwrap();
    let path = folder.join(bundle_path(0, checkpoint.size));
    let bundle = fs::read(&path).unwrap();
    let (mut rest, mut out, mut hashes) = (bundle.as_slice(), Vec::new(), Vec::new());
    let mut frontier = Frontier::default();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
        let entry = change(std::str::from_utf8(entry).unwrap());
        out.extend(u16::try_from(entry.len()).unwrap().to_be_bytes());
        out.extend(entry.as_bytes());
        let hash = leaf_hash(entry.as_bytes());
        hashes.push(hash);
        frontier.push(hash);
        rest = after;
    }
    assert_ne!(out, bundle, "nothing was changed");
    fs::write(path, out).unwrap();
    fs::write(folder.join(tile_path(0, 0, checkpoint.size)), hashes.concat()).unwrap();
    let signed = Checkpoint { root: frontier.root(), ..checkpoint };
    let size = signed.size;
    fs::write(folder.join("checkpoint"), signer().sign(&signed)).unwrap();
    size
}

fn decision(arm: Arm) -> Decision {
    Decision { arm, catalog: None, policies: Vec::new(), policy: Digest([0; 32]), unrestricted: false }
}

fn delegation() -> Delegation {
    let subject = Subject { issuer: "dev".into(), kind: SubjectKind::Person, sub: "ana".into() };
    Delegation::of(subject, BTreeSet::new())
}

fn opened(session: usize) -> Body {
    Body::SessionOpened(SessionOpened {
        application: None,
        channel_binding: None,
        credential: "c".to_owned(),
        decision: decision(Arm::Allow),
        delegation: delegation(),
        session: name_of(session),
        source: "local".to_owned(),
        target: "clinic".to_owned(),
        tls: None,
    })
}

fn joined(session: usize) -> Body {
    let backend = Backend {
        apart: None,
        application: "cp".to_owned(),
        login: "app".to_owned(),
        pid: 7,
        role: None,
        server: "15".to_owned(),
        started_at: None,
    };
    Body::SessionJoined(SessionJoined {
        agent: "beside".to_owned(),
        backend,
        session: name_of(session),
        tls: None,
        tried: None,
    })
}

fn intent(session: usize, operation: u64, call: Option<&str>, statement: Option<ObjectRef>) -> Body {
    Body::OperationIntent(OperationIntent {
        command: None,
        call: call.map(str::to_owned),
        columns: None,
        columns_sealed: None,
        decision: decision(Arm::Allow),
        effect: Effect::ReadOnly,
        operation,
        parameters: None,
        position: None,
        rewritten: false,
        scope: None,
        session: name_of(session),
        statement,
        tag: "SELECT".to_owned(),
        template: Digest([1; 32]),
        touches: Vec::new(),
        touches_left_out: None,
        whole: Vec::new(),
    })
}

fn outcome(session: usize, operation: u64, call: Option<&str>, rows: u64, status: Status) -> Body {
    Body::OperationOutcome(OperationOutcome {
        exit_code: None,
        signal: None,
        ended_by: None,
        transcript: None,
        withdrawn: None,
        bytes: 10 * rows,
        call: call.map(str::to_owned),
        duration_us: 5,
        free_text: None,
        operation,
        rows,
        session: name_of(session),
        sqlstate: None,
        status,
        subjects: None,
    })
}

fn refused(session: usize, operation: u64, call: Option<&str>) -> Body {
    Body::OperationRefused(OperationRefused {
        command: None,
        call: call.map(str::to_owned),
        code: RefusalCode::NotPermitted,
        decision: decision(Arm::Refuse),
        operation,
        parameters: None,
        session: name_of(session),
        statement: None,
        tag: "DELETE".to_owned(),
        template: Digest([2; 32]),
        touches: Vec::new(),
        touches_left_out: None,
    })
}

/// A session's end, with operations, refusals and rows.
fn closed(session: usize, agent: Option<SignedTally>, sums: (u64, u64, u64), reason: &str) -> Body {
    let tally = agent.as_ref().map(|signed| &signed.tally);
    Body::SessionClosed(SessionClosed {
        bytes_from_target: tally.map_or(0, |tally| tally.bytes_down),
        bytes_to_target: tally.map_or(0, |tally| tally.bytes_up),
        agent,
        duration_us: 9,
        ended_after_us: None,
        operations: sums.0,
        reason: reason.to_owned(),
        refusals: sums.1,
        rows: sums.2,
        session: name_of(session),
    })
}

impl Story {
    /// The agent's count of a session, and the session's end with it.
    fn signed(&self, session: &str, bytes_down: u64, bytes_up: u64) -> SignedTally {
        self.agent.signs(SessionTally {
            agent: "beside".to_owned(),
            bytes_down,
            bytes_up,
            session: session.to_owned(),
            streams: 1,
            target: "clinic".to_owned(),
        })
    }

    fn heartbeat(&mut self, sessions: u64, bytes_down: u64, bytes_up: u64) {
        let since = begin_us() - SECOND_US;
        let signed = self.agent.counts(CumulativeTally {
            agent: "beside".to_owned(),
            at: Some(since + self.steps.len() as u64),
            bytes_down,
            bytes_up,
            sessions,
            since: Some(since),
            streams: sessions,
        });
        self.push(Body::GatewayHeartbeat(GatewayHeartbeat {
            agents: vec![signed],
            durable: self.steps.len() as u64,
            interval_s: HEARTBEAT_S,
            sessions: 0,
        }));
    }

    fn begin(&mut self) {
        self.push(Body::GatewayStarted(GatewayStarted {
            configuration: Digest([3; 32]),
            heartbeat_s: HEARTBEAT_S,
            version: "0".to_owned(),
        }));
        self.push(self.agent.enrolled());
        self.push(self.agent.connected());
        self.push(Body::CatalogAsked(CatalogAsked {
            session: "look".to_owned(),
            target: "clinic".to_owned(),
        }));
        self.push(Body::CatalogAnswered(CatalogAnswered {
            agent: Some(self.signed("look", 40, 20)),
            session: "look".to_owned(),
            through: Some("beside".to_owned()),
            tried: None,
        }));
    }

    /// A session with a tool call in it, and an operation behind that.
    fn session_with_a_call(&mut self) {
        let call = Some("call-1");
        self.push(opened(0));
        self.push(joined(0));
        self.push(Body::ToolcallStarted(ToolcallStarted {
            application: None,
            arguments: Digest([4; 32]),
            call: "call-1".to_owned(),
            client: None,
            delegation: delegation(),
            method: None,
            prompt: None,
            source: "local".to_owned(),
            target: "clinic".to_owned(),
            tool: Some("query".to_owned()),
        }));
        self.push_sealed(b"a statement", |statement| intent(0, 1, call, statement));
        self.heartbeat(2, 40, 20);
        self.push_sealed(b"what it printed", |transcript| {
            Body::OperationProgress(OperationProgress {
                transcript,
                bytes: 10,
                call: call.map(str::to_owned),
                operation: 1,
                rows: 1,
                session: name_of(0),
            })
        });
        self.push_sealed(b"a statement that is none", |statement| {
            Body::SessionTold(SessionTold {
                bytes: 30,
                call: call.map(str::to_owned),
                session: name_of(0),
                sqlstate: Some("42601".to_owned()),
                statement,
            })
        });
        self.push_sealed(b"what it printed last", |transcript| {
            let mut ended = outcome(0, 1, call, 2, Status::Ok);
            if let Body::OperationOutcome(body) = &mut ended {
                body.transcript = transcript;
            }
            ended
        });
        self.push(refused(0, 2, call));
        self.push(Body::ToolcallTold(ToolcallTold {
            bytes: 5,
            call: "call-1".to_owned(),
            kinds: BTreeMap::from([("progress".to_owned(), 2)]),
            masked: None,
            withheld: None,
        }));
        self.push(Body::ToolcallAsked(ToolcallAsked {
            ask: 1,
            bytes: 2,
            call: "call-1".to_owned(),
            code: None,
            for_what: "elicitation".to_owned(),
            masked: None,
            question: Digest([7; 32]),
            url: None,
        }));
        self.push(Body::ToolcallAnswered(ToolcallAnswered {
            action: "accept".to_owned(),
            answer: Some(Digest([8; 32])),
            ask: 1,
            bytes: 2,
            call: "call-1".to_owned(),
        }));
        self.push(Body::ToolcallEnded(ToolcallEnded {
            masked: None,
            not_looked_through: None,
            phi_without_statement: None,
            bytes: 20,
            call: "call-1".to_owned(),
            code: None,
            duration_us: 7,
            outcome: CallOutcome::Ok,
            rows: 2,
        }));
        self.push(intent(0, 3, None, None));
        self.push(outcome(0, 3, None, 0, Status::Failed));
        let signed = self.signed(&name_of(0), 400, 200);
        self.push(closed(0, Some(signed), (2, 1, 2), "client_left"));
    }
}

/// A look at a catalog and three sessions through one agent, which counts four times.
pub(crate) fn story() -> Story {
    let mut story = Story { steps: Vec::new(), agent: Agent::new("beside") };
    story.begin();
    story.session_with_a_call();
    story.push(opened(1));
    story.push(joined(1));
    story.push(intent(1, 1, None, None));
    story.heartbeat(3, 440, 220);
    story.push(outcome(1, 1, None, 3, Status::Ok));
    let signed = story.signed(&name_of(1), 600, 300);
    story.push(closed(1, Some(signed), (1, 0, 3), "client_left"));
    story.push(opened(2));
    story.push(joined(2));
    let signed = story.signed(&name_of(2), 10, 5);
    story.push(closed(2, Some(signed), (0, 0, 0), "client_gone"));
    story.heartbeat(4, 1050, 525);
    story.heartbeat(4, 1050, 525);
    story
}
