//! The server's face before the first statement: encryption, the startup packet and a SCRAM exchange.
//!
//! The states are types: [`accept`] yields an [`Arrival`], whose claim yields a [`Claimed`], which is refused or
//! joined; joined it is a [`Joined`], from which a conversation is made.

mod scram;
mod wishes;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use chaperone_access::{Claim, Refusal, RefusalCode, ScramClaim, Source};
use chaperone_wire::limits::AUTHENTICATION_BYTES_MAX;
use chaperone_wire::{CancelKey, Challenger, Fault, Stream, TargetEnd};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use crate::certificate::{ALPN, ListenerTls};
use crate::codec::backend::{BackendView, TransactionStatus, view};
use crate::codec::startup::{self, ProtocolVersion, SessionRequest, Startup};
use crate::codec::{Backend, BackendTag, CodecError, Frontend, FrontendTag, Limits, encode, frontend};
use crate::line::{Break, Line};
use crate::words::{Severity, error};

pub use wishes::SETTINGS;
use wishes::Wishes;

/// From the first byte to client-final.
pub const OPENING_MS_MAX: u64 = 30_000;
/// For the words of a refusal to leave; a stranger who does not read them is not waited for.
pub const FAREWELL_MS_MAX: u64 = 2_000;
/// First byte of a TLS record that holds a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// What a listener offers.
#[derive(Clone)]
pub struct ListenerOptions {
    /// TLS, where there is a certificate.
    pub tls: Option<ListenerTls>,
    /// Whether clients on this machine may speak without TLS.
    pub plain_loopback: bool,
    /// Limit for a statement's text in bytes.
    pub statement_bytes_max: usize,
    /// The stream never leaves this process, wherever its client's own client is.
    pub in_process: bool,
}

/// What a connection turned out to be.
#[expect(clippy::large_enum_variant, reason = "made once a connection and taken apart at once")]
pub enum First {
    /// Somebody wants a session.
    Session(Arrival),
    /// Somebody wants another session's operation cancelled. Nothing is answered.
    Cancel {
        /// The process that the other session was told.
        pid: i32,
        /// The key that it was told.
        key: Bytes,
    },
    /// It was closed before it said anything: a probe.
    Nothing,
}

/// What the client's connection is encrypted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// Cipher suite, IANA name.
    pub cipher: String,
}

/// An encrypted line: the hash that a login may be bound to, and what encrypts it.
struct Secured {
    end_point: [u8; 32],
    tls: ClientTls,
}

/// A connection with a StartupMessage that may be granted.
pub struct Arrival {
    line: Line,
    secured: Option<Secured>,
    wishes: Wishes,
    source: Source,
    deadline: Instant,
    statement_bytes_max: usize,
}

/// A claim was made and not answered.
pub struct Claimed {
    line: Line,
    wishes: Wishes,
    statement_bytes_max: usize,
}

/// What a conversation is made of.
pub struct Joined {
    /// The client, told that it is in, up to and including ReadyForQuery.
    pub client: Box<dyn Stream>,
    /// What was read of it beyond that.
    pub client_input: BytesMut,
    /// The target, logged in.
    pub target: TargetEnd,
    /// The schemas that the client's startup settings name.
    pub path: Option<Vec<Arc<str>>>,
    /// What is spoken with the client.
    pub version: ProtocolVersion,
    /// Limit for a statement's text in bytes, as the listener has it.
    pub statement_bytes_max: usize,
}

fn violation(message: &str) -> Refusal {
    Refusal::new(RefusalCode::ProtocolViolation, message)
}

fn too_slow() -> Refusal {
    violation("authentication took too long")
}

/// Read a connection's first packets.
///
/// # Errors
/// The client broke the protocol or a limit, or asks for what is not carried: it has been told, where that was
/// possible.
pub async fn accept(
    stream: Box<dyn Stream>,
    source: Source,
    options: &ListenerOptions,
) -> Result<First, Fault> {
    let deadline = Instant::now() + Duration::from_millis(OPENING_MS_MAX);
    // A stranger who is too slow is not told: it may stand in the middle of a handshake.
    match timeout_at(deadline, greet(Line::new(stream), source, options, deadline)).await {
        Ok(first) => first,
        Err(_elapsed) => Err(Fault::Client(too_slow())),
    }
}

async fn greet(
    mut line: Line,
    source: Source,
    options: &ListenerOptions,
    deadline: Instant,
) -> Result<First, Fault> {
    if line.fill().await.is_err() {
        return Ok(First::Nothing);
    }
    let mut secured = None;
    if line.input.first() == Some(&TLS_HANDSHAKE)
        && let Some(tls) = &options.tls
    {
        // Without the name of our protocol a handshake meant for another server could be led here (ALPACA).
        let (encrypted, facts) = handshake(line, tls, true).await?;
        (line, secured) = (encrypted, Some(facts));
    }
    // TLS, GSSAPI encryption and the StartupMessage: no honest client asks three times.
    let mut requests = 0;
    let request = loop {
        match packet(&mut line).await {
            Ok(Startup::Cancel { pid, key }) => return Ok(First::Cancel { pid, key }),
            Ok(Startup::Session(request)) => break request,
            Ok(Startup::Ssl | Startup::GssEnc) if secured.is_some() || requests == 2 => {
                return Err(dismiss(line, violation("encryption requested again")).await);
            }
            Ok(Startup::Ssl) => match &options.tls {
                Some(tls) => {
                    let (encrypted, facts) = upgrade(line, tls).await?;
                    (line, secured) = (encrypted, Some(facts));
                }
                None => line.send(b"N").await.map_err(gone)?,
            },
            Ok(Startup::GssEnc) => line.send(b"N").await.map_err(gone)?,
            Err(broken) => return Err(dismiss_broken(line, broken).await),
        }
        requests += 1;
    };
    match admit(&request, source, secured.is_some(), options) {
        Ok(wishes) => {
            let statement_bytes_max = options.statement_bytes_max;
            Ok(First::Session(Arrival { line, secured, wishes, source, deadline, statement_bytes_max }))
        }
        Err(refusal) => Err(dismiss(line, refusal).await),
    }
}

fn admit(
    request: &SessionRequest,
    source: Source,
    encrypted: bool,
    options: &ListenerOptions,
) -> Result<Wishes, Refusal> {
    let here = match source {
        Source::Ip(address) => address.is_loopback(),
        Source::Local => true,
    };
    let plain = options.in_process || (options.plain_loopback && here);
    if !encrypted && !plain {
        return Err(Refusal::new(RefusalCode::Unsupported, "a connection without TLS is refused").hint(
            "connect with sslmode=verify-full, or with sslmode=require where the certificate is not known",
        ));
    }
    wishes::judge(request)
}

async fn packet(line: &mut Line) -> Result<Startup, Break> {
    loop {
        if let Some(packet) = startup::decode(&mut line.input)? {
            return Ok(packet);
        }
        // Whoever ends in the middle of a packet has broken the protocol; whoever ends before it has not.
        let truncated = CodecError::Truncated { tag: 0, field: "packet" };
        let begun = !line.input.is_empty();
        line.fill().await.map_err(|broken| if begun { Break::Codec(truncated) } else { broken })?;
    }
}

/// Answer an SSLRequest with TLS.
async fn upgrade(mut line: Line, tls: &ListenerTls) -> Result<(Line, Secured), Fault> {
    // Bytes that came in clear behind the request would be taken for encrypted ones (CVE-2021-23214).
    if !line.input.is_empty() {
        return Err(dismiss(line, violation("unencrypted data after the request for TLS")).await);
    }
    line.send(b"S").await.map_err(gone)?;
    handshake(line, tls, false).await
}

async fn handshake(line: Line, tls: &ListenerTls, named: bool) -> Result<(Line, Secured), Fault> {
    let stream = TlsAcceptor::from(tls.config.clone())
        .accept(line)
        .await
        .map_err(|error| Fault::Client(violation(&format!("the TLS handshake failed: {error}"))))?;
    let (_, connection) = stream.get_ref();
    if named && connection.alpn_protocol() != Some(ALPN) {
        return Err(Fault::Client(violation("direct TLS without the application protocol `postgresql`")));
    }
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
        Some(_) | None => "1.2",
    };
    // rustls says `TLS13_` where IANA says `TLS_`.
    let cipher = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    let cipher = cipher.unwrap_or_default().replace("TLS13_", "TLS_");
    let secured = Secured { end_point: tls.end_point, tls: ClientTls { version, cipher } };
    Ok((Line::new(Box::new(stream)), secured))
}

fn gone(broken: Break) -> Fault {
    match broken {
        Break::Gone(_) => Fault::ClientGone,
        Break::Codec(error) => Fault::Client(error.refusal()),
    }
}

async fn dismiss_broken(line: Line, broken: Break) -> Fault {
    match gone(broken) {
        Fault::Client(refusal) => dismiss(line, refusal).await,
        fault @ (Fault::ClientGone | Fault::Target(_)) => fault,
    }
}

/// Say why, and end.
async fn dismiss(mut line: Line, refusal: Refusal) -> Fault {
    farewell(&mut line, &refusal).await;
    Fault::Client(refusal)
}

async fn farewell(line: &mut Line, refusal: &Refusal) {
    let mut out = BytesMut::new();
    error(refusal, Severity::Fatal, &mut out);
    let words = async {
        line.send(&out).await.ok();
        line.stream.shutdown().await.ok();
    };
    // Whether it was heard changes nothing: the session is over.
    timeout(Duration::from_millis(FAREWELL_MS_MAX), words).await.ok();
}

impl Arrival {
    /// What the connection is encrypted with; `None` is plain text.
    #[must_use]
    pub fn tls(&self) -> Option<&ClientTls> {
        self.secured.as_ref().map(|secured| &secured.tls)
    }
}

impl chaperone_wire::Opening for Arrival {
    type Known = Claimed;

    async fn claim(self, challenger: &dyn Challenger) -> Result<(Claim, Claimed), Fault> {
        let Self { mut line, secured, wishes, source, deadline, statement_bytes_max } = self;
        let exchanged = exchange(
            &mut line,
            secured.as_ref().map(|secured| &secured.end_point),
            &wishes,
            source,
            challenger,
        );
        match timeout_at(deadline, exchanged).await {
            Ok(Ok(claim)) => Ok((Claim::Scram(claim), Claimed { line, wishes, statement_bytes_max })),
            Ok(Err(Fault::Client(refusal))) => Err(dismiss(line, refusal).await),
            Ok(Err(fault @ (Fault::ClientGone | Fault::Target(_)))) => Err(fault),
            Err(_elapsed) => Err(dismiss(line, too_slow()).await),
        }
    }
}

/// The SCRAM exchange up to client-final.
async fn exchange(
    line: &mut Line,
    end_point: Option<&[u8; 32]>,
    wishes: &Wishes,
    source: Source,
    challenger: &dyn Challenger,
) -> Result<ScramClaim, Fault> {
    let mut out = BytesMut::new();
    if wishes.negotiate {
        let unknown: Vec<&str> = wishes.unknown_options.iter().map(String::as_str).collect();
        encode::negotiate_protocol_version(wishes.version, &unknown, &mut out);
    }
    match end_point {
        Some(_) => encode::authentication_sasl(&[scram::PLUS, scram::PLAIN], &mut out),
        None => encode::authentication_sasl(&[scram::PLAIN], &mut out),
    }
    line.send(&out.split()).await.map_err(gone)?;

    let first = answer(line).await?;
    let first = frontend::sasl_initial(&first).map_err(|error| Fault::Client(error.refusal()))?;
    let data = first.data.unwrap_or_default();
    let (salt, iterations) = challenger.challenge(&wishes.user);
    let nonce = nonce()?;
    let challenged = scram::challenge(first.mechanism, data, end_point, &nonce, &salt, iterations)
        .map_err(Fault::Client)?;
    encode::authentication_sasl_continue(challenged.server_first.as_bytes(), &mut out);
    line.send(&out).await.map_err(gone)?;

    let finished = challenged.finish(&answer(line).await?).map_err(Fault::Client)?;
    Ok(ScramClaim {
        user: wishes.user.clone(),
        target: wishes.target.clone(),
        channel_binding: finished.channel_binding,
        auth_message: finished.auth_message,
        proof: finished.proof,
        salt,
        iterations,
        source,
        application: wishes.application.clone(),
    })
}

/// 24 random bytes in base 64: our part of the nonce.
fn nonce() -> Result<String, Fault> {
    let mut bytes = [0; 24];
    rand::fill(&mut bytes)
        .map_err(|_| Fault::Client(Refusal::new(RefusalCode::Internal, "no randomness from the system")))?;
    Ok(STANDARD.encode(bytes))
}

/// The body of the client's next message of the exchange. Nothing else is allowed before authentication.
async fn answer(line: &mut Line) -> Result<Vec<u8>, Fault> {
    // A limit of zero for texts: no statement is collected for a stranger.
    let mut decoder = Frontend::new(Limits::frontend(0).whole_bytes_max(0));
    let message = line.message(&mut decoder).await.map_err(gone)?;
    if message.tag() != FrontendTag::Password {
        return Err(Fault::Client(violation("expected a message of the authentication exchange")));
    }
    if message.body().len() > AUTHENTICATION_BYTES_MAX {
        return Err(Fault::Client(Refusal::new(
            RefusalCode::TooLarge,
            format!(
                "a message of the authentication exchange is longer than {AUTHENTICATION_BYTES_MAX} bytes"
            ),
        )));
    }
    Ok(message.body().to_vec())
}

impl Claimed {
    /// End it in our words.
    pub async fn dismiss(mut self, refusal: &Refusal) {
        // One text for every cause.
        let failed = (refusal.code == RefusalCode::AuthenticationFailed).then(scram::failed);
        farewell(&mut self.line, failed.as_ref().unwrap_or(refusal)).await;
    }

    /// The client's settings.
    pub(crate) fn asked(&self) -> &[(String, String)] {
        &self.wishes.settings
    }

    /// Apply the client's settings at the target, then tell the client that it is in.
    ///
    /// # Errors
    /// The target refuses a setting (the client is told in the target's own words) or either side goes away.
    pub async fn welcome(
        mut self,
        proof: [u8; 32],
        mut target: TargetEnd,
        cancel: CancelKey,
    ) -> Result<Joined, Fault> {
        let mut greeting = target.greeting.to_vec();
        if let Some(statement) = wishes::apply(&self.wishes.settings) {
            let mut at_target = Line::new(target.stream);
            match configure(&mut at_target, &statement).await {
                Ok(statuses) => greeting.extend_from_slice(&statuses),
                Err(Fault::Client(refusal)) => return Err(dismiss(self.line, refusal).await),
                Err(Fault::Target(refusal)) => {
                    farewell(&mut self.line, &refusal).await;
                    return Err(Fault::Target(refusal));
                }
                Err(Fault::ClientGone) => return Err(Fault::ClientGone),
            }
            target.stream = at_target.stream;
        }
        let mut out = BytesMut::new();
        encode::authentication_sasl_final(scram::server_final(&proof).as_bytes(), &mut out);
        encode::authentication_ok(&mut out);
        greet_client(&greeting, self.wishes.application.as_deref(), &mut out).map_err(Fault::Target)?;
        let long = self.wishes.version >= ProtocolVersion::V3_2;
        let key = if long {
            cancel.secret.as_slice()
        } else {
            cancel.secret.first_chunk::<4>().map_or(&[][..], |k| k)
        };
        encode::backend_key(i32::from_ne_bytes(cancel.id.to_ne_bytes()), key, &mut out);
        encode::ready_for_query(TransactionStatus::Idle, &mut out);
        self.line.send(&out).await.map_err(gone)?;
        Ok(Joined {
            client: self.line.stream,
            client_input: self.line.input,
            target,
            path: self.wishes.path,
            version: self.wishes.version,
            statement_bytes_max: self.statement_bytes_max,
        })
    }
}

fn lost(broken: Break) -> Fault {
    Fault::Target(match broken {
        Break::Gone(_) => Refusal::new(RefusalCode::TargetLost, "the target went away"),
        Break::Codec(error) => {
            Refusal::new(RefusalCode::TargetLost, format!("the target broke the protocol: {error}"))
        }
    })
}

/// Run one statement at the target and keep the settings that it reports.
async fn configure(target: &mut Line, statement: &str) -> Result<BytesMut, Fault> {
    let mut out = BytesMut::new();
    encode::query(statement, &mut out);
    target.send(&out.split()).await.map_err(lost)?;
    let mut decoder = Backend::new(Limits::backend());
    let mut refused = None;
    loop {
        let message = target.message(&mut decoder).await.map_err(lost)?;
        let seen = view(&message).map_err(|error| lost(error.into()))?;
        if let BackendView::ReadyForQuery(_) = seen {
            break;
        } else if let BackendView::ParameterStatus { .. } = seen {
            out.extend_from_slice(message.raw());
        } else if let BackendView::Error(report) = seen {
            let text = String::from_utf8_lossy(report.message()).into_owned();
            let message = format!("the target refuses a connection setting: {text}");
            let refusal = Refusal::new(RefusalCode::Unsupported, message);
            refused = Some(refusal.hint("correct the connection's options"));
        }
    }
    refused.map_or(Ok(out), |refusal| Err(Fault::Client(refusal)))
}

/// The target's settings, with the client's own name for itself; the target's key stays here.
fn greet_client(greeting: &[u8], application: Option<&str>, out: &mut BytesMut) -> Result<(), Refusal> {
    let broken = || Refusal::new(RefusalCode::TargetUnavailable, "the agent sent an invalid greeting");
    let mut decoder = Backend::new(Limits::backend());
    let mut input = BytesMut::from(greeting);
    while let Some(frame) = decoder.decode(&mut input).map_err(|_| broken())? {
        let crate::codec::Frame::Whole(message) = frame else { return Err(broken()) };
        if message.tag() != BackendTag::ParameterStatus {
            continue;
        }
        let seen = view(&message).map_err(|_| broken())?;
        if let BackendView::ParameterStatus { name: "application_name", .. } = seen {
            encode::parameter_status("application_name", application.unwrap_or_default(), out);
        } else {
            out.extend_from_slice(message.raw());
        }
    }
    if input.is_empty() { Ok(()) } else { Err(broken()) }
}
