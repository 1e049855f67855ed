//! Opens sessions' records and writes what belongs to no session.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chaperone_access::{AgentName, ChannelBinding, Refusal, RefusalCode, SessionId, Source, TargetName};
use chaperone_identity::{CredentialId, Failure, Noted};
use chaperone_policy::{Admission, Denial};
use chaperone_trail::{
    Arm, AuthenticationFailed, AuthenticationSucceeded, Backend, Body, Digest, Draft, OperationRefused, Seq,
    SessionClosed, SessionJoined, SessionOpened, SessionTally, SignedTally, Tls, Trail, TrailError,
};
use chaperone_tunnel::{Dialer, LoginFacts, StreamHandle};

use crate::commit::{CommitmentKey, Hasher, KindTag};
use crate::end::{End, Hit, Traffic};
use crate::keys::{DataKey, KeyTable, Reader};
use crate::lease::Lease;
use crate::record::{Record, Unrecorded, decision};
use crate::seal::SessionSealer;

/// Retention class of statements and parameters.
const CLASS: &str = "statements";
/// The authentication method that clients have so far.
const METHOD: &str = "scram-sha-256";
/// In its place where a connection did not come so far.
const NO_METHOD: &str = "none";

/// What is known of the client's own hop.
#[derive(Debug, Clone, Default)]
pub struct LinkFacts {
    /// Its encryption, where there is any.
    pub tls: Option<Tls>,
    /// The tool for whose calls it is, by whoever dispatches them.
    pub tool: Option<Arc<str>>,
    /// The call that it is carrying.
    pub lease: Lease,
    /// The one credential that opens it: that of the run of a server whose connection it is. What such a session is
    /// asked while no call is under way sees nothing of the target's own.
    pub only: Option<CredentialId>,
}

/// Counts for the metrics.
pub trait Subscriber: Send + Sync {
    /// An operation was permitted.
    fn allowed(&self);
    /// An operation was refused.
    fn refused(&self, code: RefusalCode);
}

/// What a recorder is made of.
pub struct RecorderParts {
    /// The trail.
    pub trail: Trail,
    /// Where wrapped keys are kept.
    pub keys: Arc<dyn KeyTable>,
    /// Who may read.
    pub readers: Vec<Reader>,
    /// The commitment key.
    pub commitment: Arc<CommitmentKey>,
    /// Name of the installation: wrapped keys are bound to it.
    pub installation: String,
    /// For the metrics.
    pub subscriber: Arc<dyn Subscriber>,
}

/// Writes. Shared by all sessions.
pub struct Recorder {
    pub(crate) trail: Trail,
    parts: RecorderParts,
    catalogs: RwLock<HashMap<TargetName, Digest>>,
    /// Operations of all sessions that run now.
    pub(crate) under_way: Arc<AtomicUsize>,
    /// Tells values apart that were seen before, for as long as this process runs.
    pub(crate) apart: RandomState,
    pub(crate) clock: Mutex<u64>,
}

/// What a session's record is opened with.
pub struct Opening<'a> {
    /// Which session.
    pub session: SessionId,
    /// Who is admitted to what.
    pub admission: &'a Admission,
    /// Where the client is.
    pub source: Source,
    /// Its hop.
    pub link: LinkFacts,
    /// What its proof was bound to.
    pub binding: ChannelBinding,
    /// What it calls itself.
    pub application: Option<Arc<str>>,
}

fn bound(binding: ChannelBinding) -> Option<String> {
    match binding {
        ChannelBinding::None => None,
        ChannelBinding::ServerEndPoint => Some("tls-server-end-point".to_owned()),
    }
}

impl Recorder {
    /// From its parts.
    #[must_use]
    pub fn new(parts: RecorderParts) -> Self {
        Self {
            trail: parts.trail.clone(),
            parts,
            catalogs: RwLock::default(),
            under_way: Arc::default(),
            apart: RandomState::new(),
            clock: Mutex::new(0),
        }
    }

    /// Microseconds since the Unix epoch, never earlier than the last entry of this process: a clock that steps back is
    /// an entry of its own, not a reason for entries that go back.
    #[must_use]
    pub fn now(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let mut last = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        *last = now.max(*last);
        *last
    }

    /// The trail.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// The table of wrapped keys.
    #[must_use]
    pub fn keys(&self) -> &Arc<dyn KeyTable> {
        &self.parts.keys
    }

    /// Write one entry that belongs to no session and wait until it is durable.
    ///
    /// # Errors
    /// The trail cannot be written.
    pub async fn note(&self, body: Body) -> Result<Seq, Refusal> {
        let seq = self.append(&body).map_err(|error| error.refusal())?;
        self.written(seq).await?;
        Ok(seq)
    }

    /// Write entries and wait once, until the last of them is durable.
    ///
    /// # Errors
    /// They cannot be recorded, or only the first of them.
    pub async fn note_all(&self, bodies: &[Body]) -> Result<(), Refusal> {
        let mut last = None;
        for body in bodies {
            last = Some(self.append(body).map_err(|error| error.refusal())?);
        }
        match last {
            Some(last) => self.written(last).await,
            None => Ok(()),
        }
    }

    /// Wait until an entry is durable.
    pub(crate) async fn written(&self, seq: Seq) -> Result<(), Refusal> {
        self.trail.wait_durable(seq).await.map_err(|error| Unrecorded(error).refusal())
    }

    pub(crate) fn append(&self, body: &Body) -> Result<Seq, Unrecorded> {
        let draft = Draft::new(self.now(), body).map_err(|error| Unrecorded(TrailError::from(error)))?;
        Ok(self.trail.append(draft, &[])?)
    }

    /// A target's catalog was read.
    ///
    /// # Errors
    /// The trail cannot be written.
    pub async fn catalog_loaded(
        &self,
        target: &TargetName,
        catalog: [u8; 32],
        relations: u64,
    ) -> Result<(), Refusal> {
        let digest = Digest(catalog);
        let before = self.catalog_digest(target);
        if before != Some(digest) {
            let body =
                chaperone_trail::CatalogLoaded { catalog: digest, relations, target: target.to_string() };
            self.note(Body::CatalogLoaded(body)).await?;
            self.catalogs.write().unwrap_or_else(PoisonError::into_inner).insert(target.clone(), digest);
        }
        Ok(())
    }

    pub(crate) fn catalog_digest(&self, target: &TargetName) -> Option<Digest> {
        self.catalogs.read().unwrap_or_else(PoisonError::into_inner).get(target).copied()
    }

    pub(crate) fn commitment(&self) -> &CommitmentKey {
        &self.parts.commitment
    }

    pub(crate) fn count_allowed(&self) {
        self.parts.subscriber.allowed();
    }

    pub(crate) fn count_refused(&self, code: RefusalCode) {
        self.parts.subscriber.refused(code);
    }

    /// Write a failed authentication, as far as it gets an entry of its own, and wait until it is durable.
    ///
    /// # Errors
    /// The trail cannot be written.
    pub async fn authentication_failed(&self, source: Source, failure: &Failure) -> Result<(), Refusal> {
        match failure.noted {
            Noted::Counted => return Ok(()),
            Noted::Single => {}
        }
        // Anything may have been typed as a user name, a patient's or a password.
        let user = self.parts.commitment.commit(KindTag::UserName, failure.user.as_bytes());
        self.note(Body::AuthenticationFailed(AuthenticationFailed {
            count: None,
            method: METHOD.to_owned(),
            reason: failure.reason.as_str().to_owned(),
            source: source.to_string(),
            user: Some(Digest(user)),
            window_s: None,
        }))
        .await
        .map(drop)
    }

    /// Write the failures that were only counted.
    ///
    /// # Errors
    /// The trail cannot be written.
    pub async fn authentication_failures(
        &self,
        counts: Vec<(String, u64)>,
        window_s: u64,
    ) -> Result<(), Refusal> {
        self.counted(METHOD, counts, window_s).await
    }

    /// Write that a connection broke the protocol before it made a claim.
    ///
    /// # Errors
    /// The trail cannot be written.
    pub async fn violation(&self, source: Source, code: RefusalCode) -> Result<(), Refusal> {
        self.note(Body::AuthenticationFailed(AuthenticationFailed {
            count: None,
            method: NO_METHOD.to_owned(),
            reason: code.as_str().to_owned(),
            source: source.to_string(),
            user: None,
            window_s: None,
        }))
        .await
        .map(drop)
    }

    /// Write those that were only counted.
    ///
    /// # Errors
    /// The trail cannot be written.
    pub async fn violations(&self, counts: Vec<(String, u64)>, window_s: u64) -> Result<(), Refusal> {
        self.counted(NO_METHOD, counts, window_s).await
    }

    async fn counted(&self, method: &str, counts: Vec<(String, u64)>, window_s: u64) -> Result<(), Refusal> {
        for (source, count) in counts {
            self.note(Body::AuthenticationFailed(AuthenticationFailed {
                count: Some(count),
                method: method.to_owned(),
                reason: "counted".to_owned(),
                source,
                user: None,
                window_s: Some(window_s),
            }))
            .await?;
        }
        Ok(())
    }

    /// Write that somebody who proved who he is was not admitted.
    ///
    /// # Errors
    /// The trail cannot be written.
    pub async fn admission_refused(
        &self,
        session: SessionId,
        source: Source,
        denial: &Denial,
        lease: &Lease,
    ) -> Result<(), Refusal> {
        self.append(&Body::AuthenticationSucceeded(AuthenticationSucceeded {
            channel_binding: None,
            credential: denial.credential.id.to_string(),
            delegation: (*denial.delegation).clone(),
            method: METHOD.to_owned(),
            session: session.to_string(),
            source: source.to_string(),
        }))
        .map_err(|error| error.refusal())?;
        if let Some(call) = denial.credential.call() {
            lease.begin(call);
        }
        let refused = {
            // Held until it stands in the log: the call cannot end before what is written as its own.
            let mut current = lease.look();
            current.refused.get_or_insert(denial.refusal.code);
            let body = Body::OperationRefused(OperationRefused {
                call: current.text(),
                code: denial.refusal.code,
                command: None,
                decision: decision(Arm::Refuse, &denial.decided, &None),
                operation: 0,
                parameters: None,
                session: session.to_string(),
                statement: None,
                tag: "CONNECT".to_owned(),
                template: Digest::of(b"CONNECT"),
                touches: Vec::new(),
                touches_left_out: None,
            });
            let appended = self.append(&body).map_err(|error| error.refusal())?;
            self.count_refused(denial.refusal.code);
            appended
        };
        self.written(refused).await
    }

    /// Write that a limit kept a session from being opened.
    ///
    /// # Errors
    /// The trail cannot be written.
    pub async fn limit_hit(&self, session: SessionId, hit: &Hit) -> Result<(), Refusal> {
        self.note(hit.body(session, None)).await.map(drop)
    }

    /// Open a session's record: its data key is wrapped and durable, then its opening is.
    ///
    /// # Errors
    /// The key table or the trail cannot be written: no record, no session.
    pub async fn open(self: &Arc<Self>, opening: Opening<'_>) -> Result<Record, Refusal> {
        let Opening { session, admission, source, link, binding, application } = opening;
        let unkeyed = || {
            Refusal::new(
                RefusalCode::RecordUnavailable,
                "the record cannot be opened: its key cannot be kept",
            )
            .hint("tell whoever runs the gateway; its log says why")
        };
        let key = DataKey::generate().map_err(|_| unkeyed())?;
        let wrapped =
            key.wrap(&self.parts.installation, session, &self.parts.readers).map_err(|_| unkeyed())?;
        let kept = self.parts.keys.insert(session, CLASS, wrapped).await;
        kept.map_err(|_| unkeyed())?;
        let sealer = SessionSealer::new(session, key)
            .map_err(|_| Refusal::new(RefusalCode::RecordUnavailable, "the record cannot be sealed"))?;
        let delegation = admission.delegation().clone();
        let credential = admission.credential().id.to_string();
        // The call that a server elsewhere had the credential exchanged for: all that is asked with it is that call's.
        if let Some(call) = admission.credential().call() {
            link.lease.begin(call);
        }
        self.append(&Body::AuthenticationSucceeded(AuthenticationSucceeded {
            channel_binding: bound(binding),
            credential: credential.clone(),
            delegation: (*delegation).clone(),
            method: METHOD.to_owned(),
            session: session.to_string(),
            source: source.to_string(),
        }))
        .map_err(|error| error.refusal())?;
        let opened = self
            .note(Body::SessionOpened(SessionOpened {
                application: application.map(|text| text.to_string()),
                channel_binding: bound(binding),
                credential,
                decision: decision(Arm::Allow, admission.decided(), &None),
                delegation: (*delegation).clone(),
                session: session.to_string(),
                source: source.to_string(),
                target: admission.target().to_string(),
                tls: link.tls.clone(),
            }))
            .await?;
        let target = admission.target().clone();
        Ok(Record::new(self.clone(), session, delegation, target, sealer, opened)
            .leased(link.lease, link.only.is_some()))
    }
}

impl Record {
    /// What the session calls itself at the target: which session, and a short keyed hash of its subject.
    #[must_use]
    pub fn application_name(&self) -> String {
        let subject = &self.delegation.subject;
        let text = format!("{}\u{1f}{}", subject.issuer, subject.sub);
        let hash = self.recorder.parts.commitment.commit(KindTag::Subject, text.as_bytes());
        let short: String = hex::encode(hash).chars().take(8).collect();
        format!("cp:{}:{short}", self.session)
    }

    /// Write at which backend the session is, and which agents were asked before without an answer; wait until that is
    /// durable.
    ///
    /// # Errors
    /// The trail cannot be written.
    pub async fn joined(
        &mut self,
        stream: StreamHandle,
        facts: LoginFacts,
        tried: &[AgentName],
    ) -> Result<(), Refusal> {
        let agent = stream.agent.to_string();
        self.stream = Some(stream);
        self.recorder
            .note(Body::SessionJoined(SessionJoined {
                agent,
                backend: Backend {
                    apart: facts.apart,
                    application: self.application_name(),
                    login: facts.login.clone(),
                    pid: u64::from(facts.backend_pid),
                    role: facts.role.clone(),
                    server: facts.server_version.clone(),
                    started_at: facts.backend_start.as_deref().and_then(|text| text.parse().ok()),
                },
                session: self.session.to_string(),
                tls: facts.tls.as_ref().map(|version| Tls {
                    cipher: String::new(),
                    peer: None,
                    version: version.clone(),
                }),
                tried: named(tried),
            }))
            .await
            .map(drop)
    }

    /// Close the record: outcomes for what is open, the agent's own count, the reason.
    pub async fn seal(mut self, end: End, traffic: Traffic, dialer: &dyn Dialer) -> &'static str {
        self.traffic = traffic;
        let reason = end.reason();
        // Whatever cannot be written now is closed by recovery, as lost.
        if self.close_running(&end).is_err() {
            return reason;
        }
        let tally = match &self.stream {
            Some(stream) => dialer.tally(stream).await.ok(),
            None => None,
        };
        let agent = tally.as_ref().map(signed_tally);
        let closed = Body::SessionClosed(SessionClosed {
            agent,
            bytes_from_target: self.traffic.from_target,
            bytes_to_target: self.traffic.to_target,
            duration_us: u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX),
            ended_after_us: end.learnt_us_ago(),
            operations: self.operations,
            reason: reason.to_owned(),
            refusals: self.refusals,
            rows: self.rows,
            session: self.session.to_string(),
        });
        if self.recorder.note(closed).await.is_ok()
            && let Some(stream) = &self.stream
        {
            // An agent that cannot be told keeps the tally a while longer, in bounds.
            drop(dialer.acknowledge(stream).await);
        }
        reason
    }
}

/// Names of agents as they stand in an entry: absent where there are none.
pub(crate) fn named(agents: &[AgentName]) -> Option<Vec<String>> {
    (!agents.is_empty()).then(|| agents.iter().map(ToString::to_string).collect())
}

/// An agent's count of a session as it stands in an entry.
pub(crate) fn signed_tally(signed: &chaperone_tunnel::SignedTally) -> SignedTally {
    SignedTally {
        key: key_id(&signed.public_key),
        signature: STANDARD.encode(&signed.signature),
        tally: SessionTally {
            agent: signed.body.agent.to_string(),
            bytes_down: signed.body.bytes_down,
            bytes_up: signed.body.bytes_up,
            session: signed.body.session.to_string(),
            streams: signed.body.streams,
            target: signed.body.target.to_string(),
        },
    }
}

/// How a public key is named in the trail: the first half of its SHA-256, in hexadecimal.
#[must_use]
pub fn key_id(public_key: &[u8]) -> String {
    Digest::of(public_key).to_string().chars().take(32).collect()
}

/// Digests of large values, under the commitment key.
pub struct Digests(Arc<CommitmentKey>);

impl Digests {
    /// From the recorder's key.
    #[must_use]
    pub fn new(recorder: &Recorder) -> Self {
        Self(recorder.parts.commitment.clone())
    }
}

struct Feeding(Hasher);

impl chaperone_wire::Digester for Digests {
    fn begin(&self) -> Box<dyn chaperone_wire::Digest> {
        Box::new(Feeding(self.0.hasher(KindTag::Parameter)))
    }
}

impl chaperone_wire::Digest for Feeding {
    fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }
    fn finish(self: Box<Self>) -> [u8; 32] {
        self.0.finish()
    }
}
