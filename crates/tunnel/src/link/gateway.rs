//! The gateway's end: takes what agents dial, and dials through it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use chaperone_access::{AgentName, Refusal, RefusalCode, TargetName};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::asking::{ask, declared};
use super::authority::{AgentAuthority, Presented, presented, sha256};
use super::observed::{AgentEvent, LinkTls, Observer};
use super::roster::{AgentRecord, Renewal, Roster, TokenRecord, Verdict};
use super::stream::{LinkStream, Place, leash};
use super::token::{EnrolmentToken, is_id};
use super::words::{
    DIAL_HEADER, DialWords, DoneWords, EnrolWords, HOST_HEADER, HostWords, Issued, RefusalWords, RenewWords,
    StreamWords, json, read_json, read_prologue, refused,
};
use super::{LINK_PROTOCOL, LinkError};
use crate::dial::{AgentStatus, BoxFuture, Dial, DialError, Dialer, Dialled, Stream, StreamHandle};
use crate::host::{Host, HostFacts, Hosted};
use crate::limits;
use crate::tally::{SignedTally, SignedTotals};

/// One agent's link. Shared by its streams and its driver.
struct Link {
    agent: AgentName,
    generation: u64,
    public_key: Vec<u8>,
    targets: Vec<TargetName>,
    sender: SendRequest<Full<Bytes>>,
    streams: Arc<AtomicU32>,
    /// Cleared once the agent says that it is stopping.
    admits: AtomicBool,
    /// When it last failed to open a stream, in seconds since the Unix epoch.
    failed_s: AtomicU64,
    /// Told when the link has to end now.
    cut: Notify,
}

/// The gateway's links, one an agent.
pub struct Links {
    authority: Arc<AgentAuthority>,
    roster: Arc<dyn Roster>,
    observer: Arc<dyn Observer>,
    acceptor: TlsAcceptor,
    /// `None` while a link is being put up. Owner: this type; a link's own task takes its entry away.
    links: Mutex<BTreeMap<AgentName, Option<Arc<Link>>>>,
    /// One change of the roster at a time.
    change: tokio::sync::Mutex<()>,
    strangers: Arc<Semaphore>,
    next: AtomicU64,
}

/// Takes the agent's entry out of the table again, whatever became of the link.
struct Seat<'a> {
    links: &'a Links,
    agent: AgentName,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.links.table().remove(&self.agent);
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whether the newest certificate was made so lately that another would serve nobody.
fn is_young(record: &AgentRecord) -> bool {
    let newest = record.renewal.as_ref().and_then(|renewal| presented(&renewal.certificate).ok());
    let ends_s = newest.map_or(0, |newest| u64::try_from(newest.not_after_s).unwrap_or(0));
    let least = limits::CERTIFICATE_LIFE.saturating_sub(limits::RENEWAL_PAUSE);
    ends_s > now_s() + least.as_secs()
}

fn stored(error: std::io::Error) -> LinkError {
    LinkError::Io { what: "the roster of agents", why: error }
}

impl Link {
    /// Open one stream: what the agent says of it, and what comes before the other end's own bytes.
    async fn connect<F: DeserializeOwned>(
        &self,
        target: &TargetName,
        (name, value): (HeaderName, Option<HeaderValue>),
    ) -> Result<(Box<dyn Stream>, F, Bytes), DialError> {
        let agent = &self.agent;
        let broken = |what| DialError::Broken { agent: agent.clone(), what };
        let lost = || DialError::Lost(agent.clone());
        let place = Place::take(&self.streams, limits::STREAMS);
        let place = place.ok_or_else(|| DialError::Busy(target.clone()))?;
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri("target:1")
            .header(name, value.ok_or_else(|| broken("a dial that cannot be said"))?)
            .body(Full::default())
            .map_err(|_never| broken("a dial that cannot be said"))?;
        let mut sender = self.sender.clone();
        let response = sender.send_request(request).await.map_err(|_lost| lost())?;
        if response.status() != StatusCode::OK {
            let words: Option<RefusalWords> = read_json(response.into_body()).await;
            let words = words.ok_or_else(|| broken("a refusal that cannot be read"))?;
            return Err(DialError::Refused(words.refusal()));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|_lost| lost())?;
        let mut io = TokioIo::new(upgraded);
        let (facts, greeting) =
            read_prologue(&mut io).await.map_err(|_bad| broken("a stream without its facts"))?;
        Ok((Box::new(LinkStream { io, _place: place }), facts, greeting))
    }
}

impl Links {
    /// No links yet.
    ///
    /// # Errors
    /// The authority cannot be used for TLS.
    pub fn new(
        authority: AgentAuthority,
        roster: Arc<dyn Roster>,
        observer: Arc<dyn Observer>,
    ) -> Result<Arc<Self>, LinkError> {
        let authority = Arc::new(authority);
        let acceptor = TlsAcceptor::from(Arc::new(authority.server()?));
        Ok(Arc::new(Self {
            authority,
            roster,
            observer,
            acceptor,
            links: Mutex::default(),
            change: tokio::sync::Mutex::default(),
            strangers: Arc::new(Semaphore::new(limits::STRANGERS)),
            next: AtomicU64::new(1),
        }))
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<AgentName, Option<Arc<Link>>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> Vec<Arc<Link>> {
        self.table().values().flatten().cloned().collect()
    }

    fn link(&self, agent: &AgentName) -> Result<Arc<Link>, DialError> {
        self.table().get(agent).cloned().flatten().ok_or_else(|| DialError::NotLinked(agent.clone()))
    }

    /// The agents that were ever enrolled, linked or not.
    ///
    /// # Errors
    /// The disk.
    pub fn enrolled(&self) -> Result<Vec<AgentRecord>, LinkError> {
        self.roster.agents().map_err(stored)
    }

    /// Make a token for an agent. It is kept only as a hash; the text is shown this once.
    ///
    /// # Errors
    /// The disk, the system's generator, or it could not be recorded: there is no token then.
    pub async fn token(
        &self,
        agent: AgentName,
        mut targets: Vec<TargetName>,
        life: Duration,
        by: String,
    ) -> Result<EnrolmentToken, LinkError> {
        let token = EnrolmentToken::generate(self.authority.fingerprint())?;
        targets.sort();
        targets.dedup();
        let record = TokenRecord {
            id: token.id().to_owned(),
            secret: sha256(token.secret()),
            agent,
            targets,
            not_after_s: now_s() + life.min(limits::TOKEN_LIFE).as_secs(),
            by,
        };
        let _one = self.change.lock().await;
        let event = AgentEvent::Invited {
            agent: record.agent.clone(),
            targets: record.targets.clone(),
            not_after_s: record.not_after_s,
            by: record.by.clone(),
        };
        self.observer.note(event).await.map_err(LinkError::Refused)?;
        self.roster.put_token(&record).map_err(stored)?;
        Ok(token)
    }

    /// Serve an identity no more, and cut its link. A new token for its name enrols it afresh.
    ///
    /// # Errors
    /// Nobody of that name, the event could not be recorded, or the disk; the identity is not locked then.
    pub async fn lock(&self, agent: &AgentName, reason: &str, by: &str) -> Result<(), LinkError> {
        let _one = self.change.lock().await;
        if self.roster.agent(agent).map_err(stored)?.is_some() {
            let event = AgentEvent::Locked {
                agent: agent.clone(),
                by: Some(by.to_owned()),
                reason: reason.to_owned(),
            };
            self.observer.note(event).await.map_err(LinkError::Refused)?;
        }
        self.lock_now(agent, reason)
    }

    /// Forget an identity with its tokens, and cut its link; the record that was kept of it. `None` where nobody of that
    /// name was enrolled.
    ///
    /// # Errors
    /// The event could not be recorded, or the disk; the identity is whole then, or cannot link any more.
    pub async fn remove(
        &self,
        agent: &AgentName,
        reason: &str,
        by: &str,
    ) -> Result<Option<AgentRecord>, LinkError> {
        let _one = self.change.lock().await;
        let Some(record) = self.roster.agent(agent).map_err(stored)? else { return Ok(None) };
        let (reason, by) = (reason.to_owned(), by.to_owned());
        let event = AgentEvent::Removed { agent: agent.clone(), by, reason };
        self.observer.note(event).await.map_err(LinkError::Refused)?;
        // The tokens first: one that was left would bring back an agent that is not there any more.
        self.roster.remove_tokens_of(agent).map_err(stored)?;
        self.roster.remove_agent(agent).map_err(stored)?;
        if let Ok(link) = self.link(agent) {
            link.cut.notify_one();
        }
        Ok(Some(record))
    }

    /// A key that is in two hands: locked at once, and then recorded.
    async fn lock_itself(&self, agent: &AgentName, reason: &str) -> Result<(), LinkError> {
        self.lock_now(agent, reason)?;
        let event = AgentEvent::Locked { agent: agent.clone(), by: None, reason: reason.to_owned() };
        self.observer.note(event).await.map_err(LinkError::Refused)
    }

    fn lock_now(&self, agent: &AgentName, reason: &str) -> Result<(), LinkError> {
        let unknown = || Refusal::new(RefusalCode::Internal, format!("no agent `{agent}` was ever enrolled"));
        let found = self.roster.agent(agent).map_err(stored)?;
        let mut record = found.ok_or_else(|| LinkError::Refused(unknown().hint("`chaperone agent list`")))?;
        record.locked = Some(reason.to_owned());
        self.roster.put_agent(&record).map_err(stored)?;
        // A token that was made before must not undo it.
        self.roster.remove_tokens_of(agent).map_err(stored)?;
        if let Ok(link) = self.link(agent) {
            link.cut.notify_one();
        }
        Ok(())
    }

    /// Serve one connection to its end. A stranger beyond [`limits::STRANGERS`] is not served at all; `place` is whatever
    /// else counts it among strangers, and is dropped when it is none any more.
    ///
    /// # Errors
    /// Why it ended before it was a link, or what was wrong with its request.
    pub async fn accept<S: Stream + 'static, P: Send>(
        &self,
        stream: S,
        source: SocketAddr,
        place: P,
    ) -> Result<(), LinkError> {
        let Ok(stranger) = Arc::clone(&self.strangers).try_acquire_owned() else { return Ok(()) };
        let stranger = (stranger, place);
        let shaken = tokio::time::timeout(limits::HANDSHAKE, self.acceptor.accept(stream)).await;
        let stream = shaken
            .map_err(|_elapsed| LinkError::TimedOut("the handshake"))?
            .map_err(LinkError::io("the handshake"))?;
        let (_, connection) = stream.get_ref();
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.map(|der| self.authority.presented(der));
        let certificate = certificate.transpose()?;
        if connection.alpn_protocol() != Some(LINK_PROTOCOL) {
            return self.words(stream, certificate).await;
        }
        let cipher = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        let certificate =
            certificate.ok_or_else(|| LinkError::Broken("a link without a certificate".into()))?;
        let tls = LinkTls { cipher: cipher.unwrap_or_default(), peer: certificate.digest };
        self.link_up(stream, certificate, source, tls, stranger).await
    }

    /// Enrolment and renewal: one request, one answer.
    async fn words<S: Stream>(
        &self,
        stream: TlsStream<S>,
        certificate: Option<Presented>,
    ) -> Result<(), LinkError> {
        let certificate = &certificate;
        let service = service_fn(move |request: Request<Incoming>| async move {
            Ok::<_, std::convert::Infallible>(self.answer(request, certificate.as_ref()).await)
        });
        let mut server = hyper::server::conn::http1::Builder::new();
        let exchange = server
            .keep_alive(false)
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HANDSHAKE)
            .serve_connection(TokioIo::new(stream), service);
        let ended = tokio::time::timeout(limits::HANDSHAKE, exchange).await;
        ended
            .map_err(|_elapsed| LinkError::TimedOut("the request"))?
            .map_err(|error| LinkError::Broken(error.to_string()))
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        certificate: Option<&Presented>,
    ) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let issued = match (request.method(), path.as_str(), certificate) {
            (&Method::POST, "/enrol", _) => match read_json::<EnrolWords, _>(request.into_body()).await {
                Some(words) => self.enrol(words).await,
                None => Err(LinkError::Broken("an enrolment that cannot be read".into())),
            },
            (&Method::POST, "/renew", Some(certificate)) => {
                match read_json::<RenewWords, _>(request.into_body()).await {
                    Some(words) => self.renew(words, certificate).await,
                    None => Err(LinkError::Broken("a renewal that cannot be read".into())),
                }
            }
            _ => Err(LinkError::Broken("a request that does not exist".into())),
        };
        match issued {
            Ok(issued) => json(StatusCode::OK, &issued),
            Err(error) => {
                tracing::warn!(%error, "an agent's request was refused");
                // One text for every cause: a stranger learns nothing about tokens or agents.
                refused(
                    &Refusal::new(
                        RefusalCode::AuthenticationFailed,
                        "the gateway does not accept this agent",
                    )
                    .hint("make a new token with `chaperone agent token create`; the gateway's log says why"),
                )
            }
        }
    }

    async fn enrol(&self, words: EnrolWords) -> Result<Issued, LinkError> {
        let _one = self.change.lock().await;
        let unknown = || LinkError::Broken("an unknown, used or expired token".into());
        if !is_id(&words.token) {
            return Err(unknown());
        }
        let token = self.roster.token(&words.token).map_err(stored)?.ok_or_else(unknown)?;
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(&token.secret, &sha256(&words.secret));
        if same.is_err() || token.not_after_s < now_s() || token.agent != words.agent {
            return Err(unknown());
        }
        let before = self.roster.agent(&token.agent).map_err(stored)?;
        // A step more than a renewal: the certificate before this one is not the newest but one.
        let generation = before.as_ref().map_or(1, |record| record.generation + 2);
        let (public_key, certificate) = self.authority.issue(&words.request, &token.agent, generation)?;
        if before.is_some_and(|record| record.locked.is_some() && record.public_key == public_key) {
            return Err(LinkError::Broken(format!("agent `{}` was locked with that very key", token.agent)));
        }
        // A crash after this line costs the token, never gives two identities for it.
        if !self.roster.remove_token(&token.id).map_err(stored)? {
            return Err(unknown());
        }
        self.roster.remove_tokens_of(&token.agent).map_err(stored)?;
        let record = AgentRecord {
            agent: token.agent,
            targets: token.targets,
            public_key,
            generation,
            renewal: None,
            locked: None,
        };
        // The entry first: one without an identity does no harm, an identity without its entry would.
        let event = AgentEvent::Enrolled { record: record.clone(), by: token.by };
        self.observer.note(event).await.map_err(LinkError::Refused)?;
        let kept = self.roster.put_agent(&record).map_err(stored);
        if let Ok(link) = self.link(&record.agent) {
            // Whoever held the name before holds it no more.
            link.cut.notify_one();
        }
        kept?;
        Ok(self.authority.issued(certificate))
    }

    async fn renew(&self, words: RenewWords, shown: &Presented) -> Result<Issued, LinkError> {
        let _one = self.change.lock().await;
        let unknown = || LinkError::Broken(format!("agent `{}` is not enrolled with that key", shown.agent));
        let mut record = self.roster.agent(&shown.agent).map_err(stored)?.ok_or_else(unknown)?;
        if record.public_key != shown.public_key {
            return Err(unknown());
        }
        let request = sha256(&words.request);
        let certificate = match record.renewal(shown.generation, &request) {
            Verdict::Sign { .. } if is_young(&record) => {
                return Err(LinkError::Broken(format!("agent `{}` has just renewed", record.agent)));
            }
            Verdict::Sign { generation } => {
                let (public_key, certificate) =
                    self.authority.issue(&words.request, &record.agent, generation)?;
                if public_key != record.public_key {
                    return Err(LinkError::Broken("a renewal for another key".into()));
                }
                record.generation = generation;
                record.renewal = Some(Renewal { request, certificate: certificate.clone() });
                // A crash after this line: the agent asks again with the same request, and is given the same answer.
                self.roster.put_agent(&record).map_err(stored)?;
                certificate
            }
            Verdict::Repeat(certificate) => certificate,
            Verdict::Lock(reason) => {
                self.lock_itself(&record.agent, reason).await?;
                return Err(LinkError::Broken(format!("agent `{}`: {reason}", record.agent)));
            }
            Verdict::Locked => {
                return Err(LinkError::Broken(format!("agent `{}` is locked", record.agent)));
            }
        };
        Ok(self.authority.issued(certificate))
    }

    /// Whether the identity may link now.
    fn standing(&self, shown: &Presented) -> Result<AgentRecord, LinkError> {
        let record = self.roster.agent(&shown.agent).map_err(stored)?;
        record.filter(|record| record.admits(shown.generation, &shown.public_key)).ok_or_else(|| {
            LinkError::Broken(format!(
                "agent `{}` is locked, or its certificate is not its newest",
                shown.agent
            ))
        })
    }

    async fn link_up<S: Stream + 'static, P: Send>(
        &self,
        stream: TlsStream<S>,
        shown: Presented,
        source: SocketAddr,
        tls: LinkTls,
        stranger: P,
    ) -> Result<(), LinkError> {
        self.standing(&shown)?;
        let seat = {
            let mut table = self.table();
            if table.contains_key(&shown.agent) {
                return Err(LinkError::Linked(shown.agent));
            }
            table.insert(shown.agent.clone(), None);
            Seat { links: self, agent: shown.agent.clone() }
        };
        // Dropped with this call, however it ends: nothing of a link outlives it.
        let (leash, stream) = leash(stream);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(limits::STREAM_WINDOW)
            .initial_connection_window_size(limits::LINK_WINDOW)
            .max_header_list_size(16 * 1024)
            .keep_alive_interval(limits::PING_AFTER)
            .keep_alive_timeout(limits::PING_PATIENCE)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| LinkError::Broken(error.to_string()))?;
        tokio::pin!(connection);
        let targets = tokio::select! {
            targets = declared(&sender, &shown.agent) => targets?,
            _ = &mut connection => return Err(LinkError::Broken("the agent broke off".into())),
        };
        let link = self.admit(&shown, source, tls, targets, sender).await?;
        drop(stranger);
        tracing::info!(agent = %link.agent, %source, generation = link.generation, "an agent is linked");
        let reason = tokio::select! {
            ended = &mut connection => match ended {
                Ok(()) => "closed by the agent".to_owned(),
                Err(error) => format!("lost: {error}"),
            },
            () = link.cut.notified() => "cut by the gateway".to_owned(),
            reason = self.expiry(&shown) => reason,
        };
        // Nothing passes from here on; the next link comes up only once the end of this one is on record.
        drop(leash);
        self.table().insert(shown.agent.clone(), None);
        tracing::info!(agent = %link.agent, %reason, "an agent's link is over");
        let event = AgentEvent::Disconnected { agent: shown.agent, reason };
        let noted = self.observer.note(event).await.map_err(LinkError::Refused);
        drop(seat);
        noted
    }

    /// Record the link, then let it be found.
    async fn admit(
        &self,
        shown: &Presented,
        source: SocketAddr,
        tls: LinkTls,
        mut targets: Vec<TargetName>,
        sender: SendRequest<Full<Bytes>>,
    ) -> Result<Arc<Link>, LinkError> {
        // Judged again, and held until the link can be found: a lock that comes before is seen here, one that comes
        // after finds a link to cut.
        let _change = self.change.lock().await;
        let record = self.standing(shown)?;
        targets.retain(|target| record.targets.contains(target));
        let connected = AgentEvent::Connected {
            agent: shown.agent.clone(),
            public_key: shown.public_key.clone(),
            source,
            tls,
        };
        self.observer.note(connected).await.map_err(LinkError::Refused)?;
        let link = Arc::new(Link {
            agent: shown.agent.clone(),
            generation: shown.generation,
            public_key: shown.public_key.clone(),
            targets,
            sender,
            streams: Arc::default(),
            admits: AtomicBool::new(true),
            failed_s: AtomicU64::new(0),
            cut: Notify::new(),
        });
        self.table().insert(shown.agent.clone(), Some(Arc::clone(&link)));
        Ok(link)
    }

    /// Returns when the link's identity has run out: its certificate has ended and no newer one was asked for.
    async fn expiry(&self, shown: &Presented) -> String {
        let mut ends_s = u64::try_from(shown.not_after_s).unwrap_or(0);
        loop {
            // In steps, so that a clock that was set does not leave a dead certificate alive.
            while now_s() < ends_s {
                let left = Duration::from_secs((ends_s - now_s()).min(60));
                tokio::time::sleep(left).await;
            }
            match self.roster.agent(&shown.agent) {
                Ok(Some(record)) if record.public_key != shown.public_key => {
                    return "enrolled anew".to_owned();
                }
                Ok(Some(record)) if record.locked.is_none() && record.generation > shown.generation => {
                    ends_s = now_s() + limits::CERTIFICATE_LIFE.as_secs();
                    let Some(renewal) = &record.renewal else { return "enrolled anew".to_owned() };
                    match presented(&renewal.certificate) {
                        Ok(newest) if u64::try_from(newest.not_after_s).unwrap_or(0) > now_s() => {
                            ends_s = ends_s.min(u64::try_from(newest.not_after_s).unwrap_or(0));
                        }
                        Ok(_) | Err(_) => return "its certificate has expired".to_owned(),
                    }
                }
                Ok(_) => return "its certificate has expired".to_owned(),
                Err(error) => return format!("the roster of agents cannot be read: {error}"),
            }
        }
    }

    async fn dial_on(&self, link: &Arc<Link>, request: Dial) -> Result<Dialled, DialError> {
        let agent = link.agent.clone();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (session, target) = (request.session, request.target.clone());
        let header = (DIAL_HEADER, DialWords::header(request, number));
        let (stream, facts, greeting) = link.connect(&target, header).await?;
        let handle = StreamHandle { agent: agent.clone(), session, target, number };
        Ok(Dialled { stream, greeting, facts, handle, agent, tried: Vec::new() })
    }

    async fn host_on(&self, link: &Arc<Link>, request: Host) -> Result<Hosted, DialError> {
        let server = request.server().clone();
        let header = (HOST_HEADER, HostWords::header(request));
        let (stream, facts, _) = link.connect::<HostFacts>(&server, header).await?;
        Ok(Hosted { stream, facts, agent: link.agent.clone() })
    }

    /// Ask the agents of a target, one after the other, until one does what is asked; with who may have begun it without an
    /// answer. The least laden is asked first; one that is stopping, or failed a moment ago, last.
    async fn on_one_of<'a, T>(
        &'a self,
        target: &TargetName,
        ask: impl Fn(Arc<Link>) -> BoxFuture<'a, Result<T, DialError>> + Send,
    ) -> Result<(T, Vec<AgentName>), DialError> {
        let mut why = DialError::NoAgent(target.clone());
        let mut links = self.live();
        links.retain(|link| link.targets.contains(target));
        let lately = now_s().saturating_sub(limits::FAILED.as_secs());
        links.sort_by_key(|link| {
            let failed = link.failed_s.load(Ordering::Relaxed) > lately;
            (!link.admits.load(Ordering::Relaxed), failed, link.streams.load(Ordering::Relaxed))
        });
        let deadline = tokio::time::Instant::now() + limits::DIAL;
        let (mut left, mut tried) = (links.len(), Vec::new());
        for link in links {
            // Half of what is left for each but the last, so that a silent agent leaves time for another.
            left -= 1;
            let whole = deadline.saturating_duration_since(tokio::time::Instant::now());
            let share = if left == 0 { whole } else { whole / 2 };
            let asked = tokio::time::timeout(share, ask(link.clone())).await;
            why = match asked {
                Ok(Ok(done)) => return Ok((done, tried)),
                Ok(Err(DialError::Refused(refusal))) if refusal.code == RefusalCode::ShuttingDown => {
                    link.admits.store(false, Ordering::Relaxed);
                    DialError::NoAgent(target.clone())
                }
                Ok(Err(error @ DialError::Busy(_))) => error,
                Ok(Err(DialError::Refused(refusal))) if refusal.code != RefusalCode::TargetUnavailable => {
                    return Err(DialError::Refused(refusal));
                }
                Ok(Err(error)) => {
                    link.failed_s.store(now_s(), Ordering::Relaxed);
                    // Whoever refuses has opened nothing.
                    if !matches!(error, DialError::Refused(_)) {
                        tried.push(link.agent.clone());
                    }
                    error
                }
                Err(_elapsed) => {
                    link.failed_s.store(now_s(), Ordering::Relaxed);
                    tried.push(link.agent.clone());
                    DialError::TimedOut(link.agent.clone())
                }
            };
        }
        Err(why)
    }

    async fn about<T: DeserializeOwned>(&self, path: &str, stream: &StreamHandle) -> Result<T, DialError> {
        let link = self.link(&stream.agent)?;
        let words =
            StreamWords { session: stream.session, target: stream.target.clone(), number: stream.number };
        ask(&link.sender, &stream.agent, path, &words, limits::HANDSHAKE).await
    }
}

impl Dialer for Links {
    fn dial(&self, request: Dial) -> BoxFuture<'_, Result<Dialled, DialError>> {
        Box::pin(async move {
            let target = request.target.clone();
            let (dialled, tried) = self
                .on_one_of(&target, |link| {
                    let request = request.clone();
                    Box::pin(async move { self.dial_on(&link, request).await })
                })
                .await?;
            Ok(Dialled { tried, ..dialled })
        })
    }

    fn cancel<'a>(&'a self, stream: &'a StreamHandle) -> BoxFuture<'a, Result<(), DialError>> {
        Box::pin(async move { self.about("/cancel", stream).await.map(|DoneWords {}| ()) })
    }

    fn tally<'a>(&'a self, stream: &'a StreamHandle) -> BoxFuture<'a, Result<SignedTally, DialError>> {
        Box::pin(async move {
            let link = self.link(&stream.agent)?;
            let signed: SignedTally = self.about("/tally", stream).await?;
            let body = &signed.body;
            let meant =
                body.agent == stream.agent && body.session == stream.session && body.target == stream.target;
            if meant && signed.verifies(&link.public_key) {
                return Ok(signed);
            }
            Err(DialError::Broken { agent: stream.agent.clone(), what: "a tally that is not its own" })
        })
    }

    fn acknowledge<'a>(&'a self, stream: &'a StreamHandle) -> BoxFuture<'a, Result<(), DialError>> {
        Box::pin(async move { self.about("/acknowledge", stream).await.map(|DoneWords {}| ()) })
    }

    fn totals<'a>(&'a self, agent: &'a AgentName) -> BoxFuture<'a, Result<SignedTotals, DialError>> {
        Box::pin(async move {
            let link = self.link(agent)?;
            let signed: SignedTotals =
                ask(&link.sender, agent, "/totals", &DoneWords {}, limits::HANDSHAKE).await?;
            if signed.body.agent == *agent && signed.verifies(&link.public_key) {
                return Ok(signed);
            }
            Err(DialError::Broken { agent: agent.clone(), what: "totals that are not its own" })
        })
    }

    fn host(&self, request: Host) -> BoxFuture<'_, Result<Hosted, DialError>> {
        Box::pin(async move {
            let server = match &request {
                // A connection of a run is where the run is, and comes when it comes.
                Host::Accept(accept) => {
                    let link = self.link(&accept.agent)?;
                    return self.host_on(&link, request).await;
                }
                Host::Launch(launch) => launch.server.clone(),
                Host::Reach(reach) => reach.server.clone(),
            };
            // A run that an agent has begun without an answer ends with its stream, which nobody has.
            let (hosted, _) = self
                .on_one_of(&server, |link| {
                    let request = request.clone();
                    Box::pin(async move { self.host_on(&link, request).await })
                })
                .await?;
            Ok(hosted)
        })
    }

    fn agents(&self) -> Vec<AgentStatus> {
        let status = |link: &Arc<Link>| AgentStatus {
            agent: link.agent.clone(),
            generation: link.generation,
            targets: link.targets.clone(),
            streams: link.streams.load(Ordering::Relaxed),
            admits: link.admits.load(Ordering::Relaxed),
        };
        self.live().iter().map(status).collect()
    }

    fn targets(&self) -> Vec<TargetName> {
        let mut names: Vec<TargetName> = self.live().iter().flat_map(|link| link.targets.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}
