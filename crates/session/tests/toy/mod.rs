//! A protocol that says what the test says and keeps what passes, in a session that is real otherwise.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac, pbkdf2};
use bytes::Bytes;
use chaperone_access::{
    AgentName, Analysis, ChannelBinding, Claim, Confined, Delegation, Earlier, Effect, FreeText, Member,
    NameRule, Refusal, RefusalCode, RelationName, ScramClaim, SessionEffect, SessionId, Since, Source,
    SubjectKind, Subjects, TargetName, Touch, Verb, Verbs, Words,
};
use chaperone_identity::{Grant, Holders, Identity, NoRevocations, People, RootKey, RootKeys, Who};
use chaperone_policy::{Known, LIMITS_FILE, Policies, PolicySet};
use chaperone_recording::commit::CommitmentKey;
use chaperone_recording::keys::{KeyTable, KeyTableFuture, Reader, ReaderKey, WrappedKey};
use chaperone_recording::{Lease, LinkFacts, Recorder, RecorderParts, Subscriber};
use chaperone_session::{Boundary, Door, Ended, Notify, Opened, Told, Usages, run};
use chaperone_trail::{Body, Disk, Draft, Options, Seq, ServerEnded, Trail, TrailError, scan_folder};
use chaperone_tunnel::{AgentKey, As, Canceller, Dial, InProcess, LoginFacts, Targets};
use chaperone_wire::futures::BoxFuture;
use chaperone_wire::{
    Analyst, CancelKey, Challenger, Company, Conversation, Detectors, Event, Fault, Interest,
    Known as Claimed, LookedThrough, Looking, Names, Opening, Parameter, Part, Printed, Reply, Request,
    TargetEnd,
};
use tokio::sync::{mpsc, watch};

const PATIENCE: Duration = Duration::from_secs(60);
const POLICY: &str = r#"
permit (principal in Group::"dev/nurses", action in [Action::"connect", Action::"read", Action::"insert"],
  resource in Target::"ehr");
"#;

/// What the client asks for.
#[derive(Debug)]
pub(crate) struct Asks {
    name: String,
    analysis: Arc<Analysis>,
}

impl Asks {
    fn of(name: &str, verb: Verb, effect: Effect) -> Self {
        Self::touching(name, (RelationName::new("public", "patients"), NameRule::Named), verb, effect)
    }

    fn touching(name: &str, (relation, rule): (RelationName, NameRule), verb: Verb, effect: Effect) -> Self {
        let touch = Touch { relation, rule, verbs: Verbs::NONE.with(verb), within: Vec::new(), facts: None };
        let member = Member {
            tag: "ANY",
            template: [0; 32],
            touches: vec![touch],
            whole: Verbs::NONE,
            effect,
            session: SessionEffect::None,
            uses: Arc::from([]),
            subjects: Subjects::None,
            free_text: FreeText::None,
            results: None,
            names_unknown: false,
        };
        let analysis = Analysis {
            text: name.into(),
            members: Arc::from([member]),
            confined: Confined::made(Ok(name.into())),
            replaced: None,
            forbidden: None,
            catalog_version: 1,
            classified: false,
            describes: None,
            invokes: None,
        };
        Self { name: name.to_owned(), analysis: Arc::new(analysis) }
    }

    /// Something that policy permits.
    pub(crate) fn new(name: &str, effect: Effect) -> Self {
        let verb = match effect {
            Effect::ReadOnly => Verb::Read,
            Effect::MayWrite => Verb::Insert,
        };
        Self::of(name, verb, effect)
    }

    /// A read of what tells everybody how the database is made.
    pub(crate) fn catalog(name: &str) -> Self {
        let place = (RelationName::new("pg_catalog", "pg_class"), NameRule::Listed);
        Self::touching(name, place, Verb::Read, Effect::ReadOnly)
    }

    /// Something that it does not.
    pub(crate) fn forbidden(name: &str) -> Self {
        Self::of(name, Verb::Delete, Effect::MayWrite)
    }
}

impl Request for Asks {
    fn analysis(&self) -> &Arc<Analysis> {
        &self.analysis
    }
    fn parameters(&self) -> &[Parameter] {
        &[]
    }
    fn earlier(&self) -> &[Earlier] {
        &[]
    }
    fn is_begun(&self) -> bool {
        self.name.starts_with("rest of ")
    }
    fn size(&self) -> usize {
        self.name.len()
    }
}

/// What the target answers.
#[derive(Debug)]
pub(crate) struct Tells {
    name: String,
    part: Part,
}

impl Tells {
    pub(crate) fn new(name: &str, part: Part) -> Self {
        Self { name: name.to_owned(), part }
    }
}

impl Reply for Tells {
    fn part(&self) -> &Part {
        &self.part
    }
    fn printed(&self) -> Option<(Printed, &str)> {
        None
    }
    fn size(&self) -> usize {
        self.name.len()
    }
    fn subjects(&self, _see: &mut dyn FnMut(usize, &[u8])) -> bool {
        true
    }
    fn looked_through(&self) -> Option<&LookedThrough> {
        None
    }
    fn about(&self) -> Option<&Arc<Analysis>> {
        None
    }
}

/// What has passed, in order.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
    /// Whether the session waits at its last words.
    speechless: Mutex<bool>,
    spoken: Condvar,
}

impl Log {
    fn push(&self, line: String) {
        self.lines.lock().unwrap().push(line);
        self.more.notify_all();
    }
}

/// All three states of the protocol.
pub(crate) struct Toy {
    claim: Option<Claim>,
    events: mpsc::UnboundedReceiver<VecDeque<Event<Toy>>>,
    /// What was said together: nothing comes between.
    next: VecDeque<Event<Toy>>,
    log: Arc<Log>,
}

impl Opening for Toy {
    type Known = Self;

    fn claim(
        mut self,
        _challenger: &dyn Challenger,
    ) -> impl Future<Output = Result<(Claim, Self), Fault>> + Send {
        let claim = self.claim.take().ok_or(Fault::ClientGone);
        std::future::ready(claim.map(|claim| (claim, self)))
    }
}

impl Claimed for Toy {
    const SPEAKS: &'static str = "toy";

    type Conversation = Self;

    fn refuse(self, refusal: &Refusal) -> impl Future<Output = ()> + Send {
        self.log.push(format!("sent away: {refusal}"));
        std::future::ready(())
    }

    fn join(
        self,
        _proof: [u8; 32],
        _target: TargetEnd,
        _company: Company,
    ) -> impl Future<Output = Result<Self, Fault>> + Send {
        std::future::ready(Ok(self))
    }
}

impl Conversation for Toy {
    type Step = String;
    type Request = Asks;
    type Outgoing = String;
    type Reply = Tells;

    fn poll_next(&mut self, cx: &mut Context<'_>, _interest: Interest) -> Poll<Result<Event<Self>, Fault>> {
        loop {
            if let Some(event) = self.next.pop_front() {
                return Poll::Ready(Ok(event));
            }
            match self.events.poll_recv(cx) {
                Poll::Ready(Some(said)) => self.next = said,
                Poll::Ready(None) => return Poll::Ready(Err(Fault::ClientGone)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
    fn poll_flush_client(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }
    fn permitted(&mut self, request: Asks, _words: Words) -> String {
        request.name
    }
    fn refused(&mut self, request: Asks, _refusal: &Refusal) -> String {
        format!("refused {}", request.name)
    }
    fn step_size(step: &String) -> usize {
        step.len()
    }
    fn is_data(_step: &String) -> bool {
        false
    }
    fn waits_for_client(&self) -> bool {
        false
    }
    fn forward_step(&mut self, step: String) {
        self.log.push(format!("forwarded {step}"));
    }
    fn forward(&mut self, outgoing: String) {
        self.log.push(format!("forwarded {outgoing}"));
    }
    fn release(&mut self, reply: Tells) {
        self.log.push(format!("released {}", reply.name));
    }
    fn failed_as(&mut self, _reply: Tells, _refusal: &Refusal) -> Option<Tells> {
        None
    }
    fn farewell(&mut self, refusal: &Refusal) {
        self.log.push(format!("farewell: {refusal}"));
        let speechless = self.log.speechless.lock().unwrap();
        drop(self.log.spoken.wait_while(speechless, |speechless| *speechless).unwrap());
    }
}

struct Understands;

impl Analyst for Understands {
    fn cached(&self, _text: &Arc<str>, _names: &Names) -> Option<Arc<Analysis>> {
        None
    }
    fn analyse(&self, text: Arc<str>, _names: Names) -> BoxFuture<Arc<Analysis>> {
        Box::pin(std::future::ready(Asks::new(&text, Effect::MayWrite).analysis))
    }
    fn on_a_deep_stack(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<Result<(), Refusal>> {
        job();
        Box::pin(std::future::ready(Ok(())))
    }
    fn is_current(&self, _analysis: &Analysis) -> bool {
        true
    }
    fn since(&self, analysis: &Arc<Analysis>) -> Since {
        Since::unchanged(analysis)
    }
    fn fresh_names(&self) -> Names {
        Names::default()
    }
    fn catalog_changed(&self) {}
    fn detectors(&self) -> Arc<dyn Detectors> {
        Arc::new(Nothing)
    }
}

/// Finds nothing, counts nothing, keeps nothing, and is told nothing.
struct Nothing;

impl Detectors for Nothing {
    fn find(&self, _text: &[u8], _found: &mut dyn FnMut(Range<usize>, &'static str)) {}
    fn stream(&self, _stays: &BTreeSet<&'static str>) -> Box<dyn Looking> {
        Box::new(Self)
    }
}

impl Looking for Nothing {
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>, _found: &mut LookedThrough) {
        out.extend_from_slice(piece);
    }
    fn finish(self: Box<Self>, _out: &mut Vec<u8>, _found: &mut LookedThrough) {}
}

impl Subscriber for Nothing {
    fn allowed(&self) {}
    fn refused(&self, _code: RefusalCode) {}
}

impl KeyTable for Nothing {
    fn insert<'a>(
        &'a self,
        _session: SessionId,
        _class: &'a str,
        _keys: Vec<WrappedKey>,
    ) -> KeyTableFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn get(&self, _session: SessionId) -> KeyTableFuture<'_, Vec<(String, WrappedKey)>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
    fn shred<'a>(&'a self, _session: SessionId, _class: &'a str) -> KeyTableFuture<'a, u64> {
        Box::pin(std::future::ready(Ok(0)))
    }
}

impl Canceller for Nothing {
    fn cancel(&self) -> chaperone_tunnel::BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A target that takes everything and says nothing.
impl Targets for Nothing {
    fn names(&self) -> Vec<TargetName> {
        vec![ehr()]
    }
    fn open(
        &self,
        _dial: Dial,
    ) -> chaperone_tunnel::BoxFuture<'_, Result<chaperone_tunnel::Opened, Refusal>> {
        let (near, _far) = tokio::io::duplex(64);
        let facts = LoginFacts {
            login: "app".into(),
            role: None,
            backend_pid: 7,
            backend_start: None,
            server_version: "15".into(),
            tls: None,
            told: false,
            apart: None,
        };
        let canceller = Box::new(Self);
        let opened =
            chaperone_tunnel::Opened { stream: Box::new(near), greeting: Bytes::new(), facts, canceller };
        Box::pin(std::future::ready(Ok(opened)))
    }
}

struct OneDoor {
    stop: watch::Sender<Option<Told>>,
}

impl Door for OneDoor {
    fn analyst(&self, _target: &TargetName) -> BoxFuture<Result<Arc<dyn Analyst>, Refusal>> {
        let analyst: Arc<dyn Analyst> = Arc::new(Understands);
        Box::pin(std::future::ready(Ok(analyst)))
    }
    fn serves(&self, target: &TargetName) -> bool {
        *target == ehr()
    }
    fn speaks(&self, _target: &TargetName) -> &'static str {
        "toy"
    }
    fn login(&self, _delegation: &Delegation, _target: &TargetName) -> Result<As, Refusal> {
        Ok(As::default())
    }
    fn opened(&self, _session: Opened) -> Notify {
        Notify { cancel: CancelKey { id: 1, secret: [1; 32] }, stop: self.stop.subscribe() }
    }
    fn closed(&self, _session: SessionId) {}
    fn begin(&self) -> (SessionId, u64) {
        (SessionId::from_parts(1, [1; 10]), now_us())
    }
}

fn ehr() -> TargetName {
    TargetName::new("ehr").unwrap()
}

fn now_us() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

fn keys() -> RootKeys {
    RootKeys::new(RootKey::new(1, [7; 32]), Vec::new())
}

/// A nurse who shows that she knows her credential's secret, as a client does (RFC 5802, section 3).
fn claim(identity: &Identity) -> Claim {
    let now = now_us() / 1_000_000;
    let made = keys()
        .issue(&Grant {
            who: Who::Named {
                issuer: "dev".into(),
                kind: SubjectKind::Person,
                sub: "ana".into(),
                groups: BTreeSet::from(["nurses".to_owned()]),
            },
            client: None,
            target: ehr(),
            purpose: None,
            not_before: now - 10,
            not_after: now + 3600,
        })
        .unwrap();
    let (salt, iterations) = identity.challenge(&made.user);
    let mut salted = [0; 32];
    let rounds = NonZeroU32::new(iterations).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, made.password.as_bytes(), &mut salted);
    let client_key = mac(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, &client_key);
    let message = b"n=,r=a,r=ab,s=,i=4096,c=biws,r=ab".to_vec();
    let mut proof = [0; 32];
    for (out, (key, signature)) in proof.iter_mut().zip(client_key.iter().zip(mac(stored.as_ref(), &message)))
    {
        *out = key ^ signature;
    }
    Claim::Scram(ScramClaim {
        user: made.user.as_str().into(),
        target: "ehr".into(),
        channel_binding: ChannelBinding::None,
        auth_message: message,
        proof,
        salt,
        iterations,
        source: Source::Local,
        application: None,
    })
}

fn set(policy: &str, limits: &str) -> PolicySet {
    let known = Known { targets: BTreeSet::from([ehr()]), relations: BTreeMap::new(), ..Known::default() };
    let files = [("a.cedar".to_owned(), policy.to_owned()), (LIMITS_FILE.to_owned(), limits.to_owned())];
    PolicySet::load(&files, &known).unwrap().0
}

fn boundary(trail: &Trail, limits: &str) -> Boundary {
    let (public, _private) = ReaderKey::generate();
    let recorder = Recorder::new(RecorderParts {
        trail: trail.clone(),
        keys: Arc::new(Nothing),
        readers: vec![Reader { id: "pia".into(), epoch: 1, key: public }],
        commitment: Arc::new(CommitmentKey::new(1, &[5; 32])),
        installation: "test".to_owned(),
        subscriber: Arc::new(Nothing),
    });
    let agent = AgentName::new("local").unwrap();
    let identity = Identity::new(keys(), Arc::new(NoRevocations))
        .holding(Arc::new(Holders::default()), Arc::new(People::default()));
    Boundary {
        identity: Arc::new(identity),
        policies: Arc::new(Policies::new(set(POLICY, limits))),
        usages: Usages::default(),
        recorder: Arc::new(recorder),
        dialer: Arc::new(InProcess::new(agent, Arc::new(Nothing), AgentKey::generate().unwrap())),
        door: Arc::new(OneDoor { stop: watch::Sender::new(None) }),
        statement_bytes_max: 1024,
    }
}

/// An open session.
pub(crate) struct Session {
    folder: tempfile::TempDir,
    trail: Trail,
    runtime: tokio::runtime::Runtime,
    ended: tokio::task::JoinHandle<Ended>,
    client: mpsc::UnboundedSender<VecDeque<Event<Toy>>>,
    policies: Arc<Policies>,
    log: Arc<Log>,
}

impl Session {
    /// Open one whose trail is on this disk, as far as its first operation.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> Self {
        Self::open_with(disk, Lease::default(), "")
    }

    /// One that carries the calls of a lease, under limits.
    pub(crate) fn open_with(disk: Arc<dyn Disk>, lease: Lease, limits: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new(folder.path());
        (options.disk, options.linger_max) = (disk, Duration::from_secs(3600));
        let (trail, _) = Trail::open(options).unwrap();
        let boundary = boundary(&trail, limits);
        let policies = boundary.policies.clone();
        let (client, events) = mpsc::unbounded_channel();
        let log = Arc::new(Log::default());
        let toy =
            Toy { claim: Some(claim(&boundary.identity)), events, next: VecDeque::new(), log: log.clone() };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let link = LinkFacts { lease, ..LinkFacts::default() };
        let ended = runtime.spawn(async move { run(toy, &boundary, Source::Local, link, ()).await });
        let this = Self { folder, trail, runtime, ended, client, policies, log };
        // The first thing to pass shows that it is open.
        this.says([Event::Step("first".to_owned())]);
        this.until(&["forwarded first"]);
        this.log.lines.lock().unwrap().clear();
        this
    }

    /// The client, or the target, says this.
    pub(crate) fn says<const N: usize>(&self, events: [Event<Toy>; N]) {
        assert!(self.client.send(events.into()).is_ok(), "the session has ended: {:?}", self.passed());
    }

    /// Nobody may read any more.
    pub(crate) fn withdraw_reading(&self) {
        self.policies.replace(set(&POLICY.replace("Action::\"read\", ", ""), ""));
    }

    /// What has passed so far.
    pub(crate) fn passed(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().clone()
    }

    /// Wait until this has passed, and nothing else.
    pub(crate) fn until(&self, wanted: &[&str]) {
        let lines = self.log.lines.lock().unwrap();
        let wait = self.log.more.wait_timeout_while(lines, PATIENCE, |lines| lines.len() < wanted.len());
        let (lines, _) = wait.unwrap();
        assert_eq!(*lines, wanted);
    }

    /// Wait until the session says its last words.
    pub(crate) fn until_farewell(&self) {
        let lines = self.log.lines.lock().unwrap();
        let said = |lines: &Vec<String>| lines.iter().any(|line| line.starts_with("farewell: "));
        let (lines, _) = self.log.more.wait_timeout_while(lines, PATIENCE, |lines| !said(lines)).unwrap();
        assert!(said(&lines), "{lines:?}");
    }

    /// Whether the session waits at its last words.
    pub(crate) fn speechless(&self, speechless: bool) {
        *self.log.speechless.lock().unwrap() = speechless;
        self.log.spoken.notify_all();
    }

    /// Append an entry of no session with a sealed object; it does not count among those of the session.
    pub(crate) fn append(&self, sealed: usize) -> Result<Seq, TrailError> {
        let body = match sealed {
            // The shortest that there is.
            0 => Body::ServerEnded(ServerEnded { process: String::new(), reason: String::new() }),
            _ => Body::PolicyLoaded(chaperone_trail::PolicyLoaded {
                by: None,
                count: 0,
                policy: chaperone_trail::Digest([0; 32]),
            }),
        };
        let frame = vec![0x5a; sealed];
        let frames: &[&[u8]] = if sealed == 0 { &[] } else { &[&frame] };
        self.trail.append(Draft::new(now_us(), &body).unwrap(), frames)
    }

    /// Append so much until the disk has no more room for it, each entry after the one before it is durable.
    pub(crate) fn fill(&self) {
        loop {
            match self.append(1 << 20) {
                Ok(seq) => self.runtime.block_on(self.trail.wait_durable(seq)).unwrap(),
                Err(error) => {
                    assert!(matches!(error, TrailError::Full), "{error}");
                    return;
                }
            }
        }
    }

    /// The client leaves; these are the kinds of entries that are then on record between the session's beginning and its
    /// end.
    pub(crate) fn ends(self, kinds: &[&str]) {
        self.says([Event::Left]);
        self.over("client_left", kinds);
    }

    /// The session ends by itself, and nothing but this and the last words has passed.
    pub(crate) fn put_out(self, passed: &[&str], reason: &str, kinds: &[&str]) {
        let log = self.log.clone();
        self.over(reason, kinds);
        let lines = log.lines.lock().unwrap().clone();
        let (last, before) = lines.split_last().unwrap();
        assert!(last.starts_with("farewell: ") && before == passed, "{lines:?}");
    }

    /// The session ends by itself. What is then on record between its beginning and its end, which is of these kinds.
    pub(crate) fn over(self, reason: &str, kinds: &[&str]) -> Vec<Body> {
        let ended = self.runtime.block_on(self.ended).unwrap();
        assert!(matches!(ended, Ended::Closed(had) if had == reason), "{ended:?}");
        self.trail.close("test").unwrap();
        let mut found = Vec::new();
        scan_folder(self.folder.path(), |entry| found.push(entry.body)).unwrap();
        found.retain(|body| !matches!(body, Body::ServerEnded(_) | Body::PolicyLoaded(_)));
        let joined = found.iter().position(|body| matches!(body, Body::SessionJoined(_))).unwrap();
        let found = found.split_off(joined + 1);
        let had: Vec<&str> = found.iter().map(|body| body.kind().as_str()).collect();
        assert_eq!(had, [kinds, &["session.closed", "gateway.stopped"]].concat());
        found
    }
}
