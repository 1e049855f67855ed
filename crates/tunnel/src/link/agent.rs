//! The agent's end: proves itself, and serves the streams that the gateway opens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chaperone_access::{AgentName, Refusal, RefusalCode, SessionId};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority::{fingerprint, hands_over};
use super::stream::carry;
use super::token::EnrolmentToken;
use super::words::{
    DIAL_HEADER, DialWords, DoneWords, EnrolWords, HOST_HEADER, HelloWords, HostWords, Issued, RefusalWords,
    RenewWords, StreamWords, json, read_json, refused, write_prologue,
};
use super::{ENROL_PROTOCOL, LINK_PROTOCOL, LinkError, SERVER_NAME};
use crate::dial::{Dial, Opened, Targets};
use crate::host::HostOpened;
use crate::key::AgentKey;
use crate::limits;
use crate::served::Served;
use crate::tally::Signed;

/// What an agent serves on whatever link it has: counts and cancellers outlive each link.
#[derive(Clone)]
pub struct Serving {
    name: AgentName,
    served: Served,
    key: Arc<AgentKey>,
    /// What carries the open streams' bytes; owner: each carrier takes itself out at its end.
    carriers: Carriers,
    /// The same of hosted servers and their connections, by numbers of their own.
    hosted: Arc<Mutex<HashMap<u64, AbortHandle>>>,
    hosted_next: Arc<AtomicU64>,
    /// Fingerprint of the authority that the gateway named when the last link came up.
    authority: watch::Sender<Option<[u8; 32]>>,
}

type Carriers = Arc<Mutex<HashMap<(SessionId, u64), AbortHandle>>>;

/// How a link ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEnd {
    /// It broke or was closed by the gateway: dial again.
    Over(String),
    /// Everything was served and the agent was asked to stop.
    Drained,
}

impl Serving {
    /// An agent of that name for those targets.
    #[must_use]
    pub fn new(name: AgentName, targets: Arc<dyn Targets>, key: Arc<AgentKey>) -> Self {
        Self {
            served: Served::new(name.clone(), targets),
            name,
            key,
            carriers: Carriers::default(),
            hosted: Arc::default(),
            hosted_next: Arc::default(),
            authority: watch::Sender::new(None),
        }
    }

    /// The authority that the gateway has, once there is a link: [`Issued::is_of`] says whether an identity is behind it.
    #[must_use]
    pub fn authority(&self) -> watch::Receiver<Option<[u8; 32]>> {
        self.authority.subscribe()
    }

    fn hosted(&self) -> MutexGuard<'_, HashMap<u64, AbortHandle>> {
        self.hosted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carriers(&self) -> MutexGuard<'_, HashMap<(SessionId, u64), AbortHandle>> {
        self.carriers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Streams that are open, and tallies that the gateway has not acknowledged.
    #[must_use]
    pub fn outstanding(&self) -> (u64, usize) {
        self.served.ledger.outstanding()
    }
}

/// Turn a one-time token into an identity.
///
/// # Errors
/// The gateway cannot be reached, is not the one that the token pins, or refuses.
pub async fn enrol(
    gateway: &str,
    token: &EnrolmentToken,
    agent: &AgentName,
    request: Vec<u8>,
) -> Result<Issued, LinkError> {
    let verifier = Arc::new(Pinned { fingerprint: *token.fingerprint() });
    let mut config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ENROL_PROTOCOL.to_vec()];
    let words =
        EnrolWords { token: token.id().to_owned(), secret: *token.secret(), agent: agent.clone(), request };
    let issued = exchange(gateway, config, "/enrol", &words).await?;
    if fingerprint(&issued.authority)? != *token.fingerprint() {
        return Err(LinkError::Broken("the gateway sent another authority's certificate".into()));
    }
    // For those who trust another one.
    Ok(Issued { handovers: Vec::new(), ..issued })
}

impl Issued {
    /// Whether it trusts the authority of that fingerprint.
    #[must_use]
    pub fn is_of(&self, authority: &[u8; 32]) -> bool {
        fingerprint(&self.authority).is_ok_and(|found| found == *authority)
    }
}

/// Ask for the next certificate with the present one. The same request may be repeated until its answer arrives.
///
/// # Errors
/// As [`enrol`].
pub async fn renew(
    gateway: &str,
    key: &AgentKey,
    identity: &Issued,
    request: Vec<u8>,
) -> Result<Issued, LinkError> {
    let config = mutual(key, identity, ENROL_PROTOCOL)?;
    let Issued { certificate, authority, handovers } =
        exchange(gateway, config, "/renew", &RenewWords { request }).await?;
    if fingerprint(&authority)? == fingerprint(&identity.authority)? {
        return Ok(Issued { certificate, authority: identity.authority.clone(), handovers: Vec::new() });
    }
    // Whoever has but the key of a gateway's certificate of a day does not change what is trusted for longer.
    for handover in &handovers {
        if hands_over(&identity.authority, handover, &authority)? {
            return Ok(Issued { certificate, authority, handovers: Vec::new() });
        }
    }
    Err(LinkError::Broken(
        "the gateway names another authority, for which the one before did not sign".into(),
    ))
}

fn unusable(error: impl std::fmt::Display) -> LinkError {
    LinkError::Certificate(error.to_string())
}

fn mutual(key: &AgentKey, identity: &Issued, protocol: &[u8]) -> Result<ClientConfig, LinkError> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(identity.authority.clone())).map_err(unusable)?;
    let chain = vec![CertificateDer::from(identity.certificate.clone())];
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.pkcs8().to_vec()));
    let mut config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

async fn connect(gateway: &str, config: ClientConfig) -> Result<TlsStream<TcpStream>, LinkError> {
    let attempt = async {
        let stream = TcpStream::connect(gateway).await.map_err(LinkError::io("cannot reach the gateway"))?;
        stream.set_nodelay(true).map_err(LinkError::io("the connection"))?;
        let name = ServerName::try_from(SERVER_NAME).map_err(unusable)?;
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.map_err(LinkError::io("the handshake with the gateway"))
    };
    tokio::time::timeout(limits::HANDSHAKE, attempt)
        .await
        .unwrap_or(Err(LinkError::TimedOut("connecting to the gateway")))
}

/// One request to the gateway, one answer.
async fn exchange(
    gateway: &str,
    config: ClientConfig,
    path: &str,
    words: &impl Serialize,
) -> Result<Issued, LinkError> {
    let broken = |error: &dyn std::fmt::Display| LinkError::Broken(error.to_string());
    let stream = connect(gateway, config).await?;
    let exchange = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(http::header::HOST, SERVER_NAME)
            .body(Full::new(Bytes::from(serde_json::to_vec(words).map_err(|error| broken(&error))?)))
            .map_err(|error| broken(&error))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
            let fine = response.status() == StatusCode::OK;
            let unread = || LinkError::Broken("an answer that cannot be read".into());
            if fine {
                return read_json::<Issued, _>(response.into_body()).await.ok_or_else(unread);
            }
            let words: RefusalWords = read_json(response.into_body()).await.ok_or_else(unread)?;
            Err(LinkError::Refused(words.refusal()))
        };
        let driven = async {
            match connection.await {
                // The answer may still be in the other future's hands.
                Ok(()) => std::future::pending().await,
                Err(error) => broken(&error),
            }
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            error = driven => Err(error),
        }
    };
    tokio::time::timeout(limits::HANDSHAKE, exchange)
        .await
        .unwrap_or(Err(LinkError::TimedOut("the gateway's answer")))
}

/// Dial the gateway and serve the link to its end. When `stop` becomes true no new stream is taken; the link ends when
/// the open ones have, and their tallies were fetched.
///
/// # Errors
/// The gateway cannot be reached, is another, or refuses the certificate.
pub async fn link(
    gateway: &str,
    identity: &Issued,
    serving: &Serving,
    mut stop: watch::Receiver<bool>,
) -> Result<LinkEnd, LinkError> {
    let stream = connect(gateway, mutual(&serving.key, identity, LINK_PROTOCOL)?).await?;
    let authority = stream.get_ref().1.peer_certificates().and_then(|chain| chain.get(1));
    let authority = authority.and_then(|certificate| fingerprint(certificate).ok());
    serving.authority.send_if_modified(|before| std::mem::replace(before, authority) != authority);
    let greeted = Arc::new(Mutex::new(false));
    let service = {
        let (serving, stop, greeted) = (serving.clone(), stop.clone(), greeted.clone());
        service_fn(move |request: Request<Incoming>| {
            let (serving, stop, greeted) = (serving.clone(), stop.clone(), greeted.clone());
            async move {
                if request.uri().path() == "/hello"
                    && !std::mem::replace(&mut *greeted.lock().unwrap_or_else(PoisonError::into_inner), true)
                {
                    tracing::info!("linked to the gateway");
                }
                Ok::<_, std::convert::Infallible>(serving.answer(request, &stop).await)
            }
        })
    };
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::LINK_WINDOW)
        // Places for words beside the streams: a full link still takes its cancels and tallies.
        .max_concurrent_streams(limits::STREAMS * 2)
        .max_header_list_size(16 * 1024)
        .keep_alive_interval(limits::PING_AFTER)
        .keep_alive_timeout(limits::PING_PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let drained = async {
        drop(stop.wait_for(|stop| *stop).await);
        serving.drained().await;
    };
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = drained => None,
    };
    // A stream does not outlive its link, whatever its target is waiting for.
    if ended.is_some() {
        serving.carriers().drain().for_each(|(_, carrier)| carrier.abort());
        serving.hosted().drain().for_each(|(_, carrier)| carrier.abort());
    }
    match ended {
        Some(Ok(())) => Ok(LinkEnd::Over("closed by the gateway".to_owned())),
        Some(Err(error)) if *greeted.lock().unwrap_or_else(PoisonError::into_inner) => {
            Ok(LinkEnd::Over(error.to_string()))
        }
        Some(Err(error)) => Err(LinkError::Broken(error.to_string())),
        None => {
            connection.as_mut().graceful_shutdown();
            drop(tokio::time::timeout(limits::HANDSHAKE, connection).await);
            Ok(LinkEnd::Drained)
        }
    }
}

impl Serving {
    /// Returns when nothing is open and every tally was fetched, or when patience is over.
    async fn drained(&self) {
        let until = async |done: &(dyn Fn() -> bool + Sync)| {
            while !done() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let (streams, tallies) = limits::DRAIN;
        if tokio::time::timeout(streams, until(&|| self.outstanding().0 == 0)).await.is_err() {
            tracing::warn!(streams = self.outstanding().0, "some streams did not end in time");
        }
        if tokio::time::timeout(tallies, until(&|| self.outstanding().1 == 0)).await.is_err() {
            tracing::warn!(tallies = self.outstanding().1, "some tallies were not fetched");
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        stop: &watch::Receiver<bool>,
    ) -> Response<Full<Bytes>> {
        if request.method() == Method::CONNECT {
            if request.headers().contains_key(HOST_HEADER) {
                return self.host(request, stop).await;
            }
            return self.open(request, stop).await;
        }
        let path = request.uri().path().to_owned();
        let body = request.into_body();
        match path.as_str() {
            "/hello" => {
                let words = HelloWords { agent: self.name.clone(), targets: self.served.names() };
                json(StatusCode::OK, &words)
            }
            "/totals" => signed(Signed::make(self.served.ledger.totals(), &self.key)),
            "/cancel" | "/tally" | "/acknowledge" => {
                let Some(words) = read_json::<StreamWords, _>(body).await else {
                    return refused(&Refusal::new(
                        RefusalCode::ProtocolViolation,
                        "words that cannot be read",
                    ));
                };
                self.about(&path, words).await
            }
            _ => refused(&Refusal::new(RefusalCode::ProtocolViolation, "a request that does not exist")),
        }
    }

    async fn about(&self, path: &str, words: StreamWords) -> Response<Full<Bytes>> {
        let StreamWords { session, target, number } = words;
        match path {
            "/cancel" => match self.served.cancel(session, number).await {
                Ok(()) => json(StatusCode::OK, &DoneWords {}),
                Err(refusal) => refused(&refusal),
            },
            "/tally" => {
                let mut tally = self.served.tally(session, target.clone()).await;
                // The gateway asks once the session is over. A stream that has not noticed is stuck at its target.
                let stuck = self.carriers().remove(&(session, number));
                if let (Err(_), Some(stuck)) = (&tally, stuck) {
                    stuck.abort();
                    tally = self.served.tally(session, target).await;
                }
                match tally {
                    Ok(tally) => signed(Signed::make(tally, &self.key)),
                    Err(refusal) => refused(&refusal),
                }
            }
            _ => {
                self.served.ledger.acknowledge(session, target);
                json(StatusCode::OK, &DoneWords {})
            }
        }
    }

    async fn open(&self, request: Request<Incoming>, stop: &watch::Receiver<bool>) -> Response<Full<Bytes>> {
        // Counted first, asked then: whoever waits for the last stream either sees this one or refuses it.
        let _opening = self.served.ledger.opening();
        if *stop.borrow() {
            return refused(&Refusal::new(RefusalCode::ShuttingDown, "the agent is stopping"));
        }
        let dial: Option<(Dial, u64)> = request.headers().get(DIAL_HEADER).and_then(DialWords::read);
        let Some((dial, number)) = dial else {
            return refused(&Refusal::new(RefusalCode::ProtocolViolation, "a dial that cannot be read"));
        };
        let stream_key = (dial.session, number);
        let Opened { stream, greeting, facts, canceller: _ } = match self.served.open(dial, number).await {
            Ok(opened) => opened,
            Err(refusal) => return refused(&refusal),
        };
        let serving = self.clone();
        // Held while it is listed, so that a carrier that ends at once takes itself out after it was put in.
        let mut carriers = self.carriers();
        let carrier = tokio::spawn(async move {
            if let Ok(upgraded) = hyper::upgrade::on(request).await {
                let mut gateway = TokioIo::new(upgraded);
                match write_prologue(&mut gateway, &facts, &greeting).await {
                    Ok(()) => carry(gateway, stream).await,
                    Err(error) => tracing::warn!(%error, "a stream broke off at its beginning"),
                }
            }
            serving.carriers().remove(&stream_key);
        });
        carriers.insert(stream_key, carrier.abort_handle());
        drop(carriers);
        Response::new(Full::default())
    }

    /// Run a server, or hand over what one connects. Both end with the link, and when the agent stops.
    async fn host(&self, request: Request<Incoming>, stop: &watch::Receiver<bool>) -> Response<Full<Bytes>> {
        let stopping = || refused(&Refusal::new(RefusalCode::ShuttingDown, "the agent is stopping"));
        let Some(asked) = request.headers().get(HOST_HEADER).and_then(HostWords::read) else {
            return refused(&Refusal::new(RefusalCode::ProtocolViolation, "a run that cannot be read"));
        };
        let mut stop = stop.clone();
        let opened = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return stopping(),
            opened = self.served.host(asked) => opened,
        };
        let HostOpened { stream, facts } = match opened {
            Ok(opened) => opened,
            Err(refusal) => return refused(&refusal),
        };
        let serving = self.clone();
        let number = self.hosted_next.fetch_add(1, Ordering::Relaxed);
        let mut hosted = self.hosted();
        let carrier = tokio::spawn(async move {
            if let Ok(upgraded) = hyper::upgrade::on(request).await {
                let mut gateway = TokioIo::new(upgraded);
                match write_prologue(&mut gateway, &facts, &[]).await {
                    Ok(()) => tokio::select! {
                        () = carry(gateway, stream) => {}
                        _ = stop.wait_for(|stop| *stop) => {}
                    },
                    Err(error) => tracing::warn!(%error, "a run broke off at its beginning"),
                }
            }
            serving.hosted().remove(&number);
        });
        hosted.insert(number, carrier.abort_handle());
        drop(hosted);
        Response::new(Full::default())
    }
}

fn signed<T: Serialize, E>(signed: Result<Signed<T>, E>) -> Response<Full<Bytes>> {
    match signed {
        Ok(signed) => json(StatusCode::OK, &signed),
        Err(_) => refused(&Refusal::new(RefusalCode::Internal, "the agent cannot sign")),
    }
}

/// Accepts a gateway whose certificate was signed by the authority of the pinned fingerprint: the chain carries that
/// authority's certificate, which is then the one root of an ordinary verification.
#[derive(Debug)]
struct Pinned {
    fingerprint: [u8; 32],
}

fn refused_certificate(why: impl std::fmt::Display) -> rustls::Error {
    rustls::Error::General(why.to_string())
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pinned = intermediates
            .iter()
            .find(|certificate| fingerprint(certificate).is_ok_and(|found| found == self.fingerprint))
            .ok_or_else(|| refused_certificate("the gateway is not the one that made the token"))?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder(Arc::new(roots)).build().map_err(refused_certificate)?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(refused_certificate("the link is TLS 1.3 only"))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
