//! What is said on the link, as JSON in bounds. Both sides check what they hear: neither is in the other's hands.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chaperone_access::{AgentName, Refusal, RefusalCode, SessionId, TargetName};
use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::dial::{ApplicationName, As, Caller, Dial, Parameters};
use crate::host::{Accept, Host, Launch, Reach};
use crate::limits;

/// Carries a [`DialWords`] on a CONNECT request, JSON in base64url.
pub(super) const DIAL_HEADER: HeaderName = HeaderName::from_static("chaperone-dial");

/// Carries a [`HostWords`] on a CONNECT request, likewise.
pub(super) const HOST_HEADER: HeaderName = HeaderName::from_static("chaperone-host");

/// `POST /enrol`, by an agent without a certificate.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnrolWords {
    pub(super) token: String,
    pub(super) secret: [u8; 32],
    pub(super) agent: AgentName,
    pub(super) request: Vec<u8>,
}

/// `POST /renew`, by an agent with its certificate.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RenewWords {
    pub(super) request: Vec<u8>,
}

/// The answer to both: certificates, DER.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// The agent's.
    pub certificate: Vec<u8>,
    /// The authority's.
    pub authority: Vec<u8>,
    /// The authority's key, signed by each of the authorities whose place it took and that some agent may trust still.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handovers: Vec<Vec<u8>>,
}

/// `POST /hello`: what the gateway asks first; the answer.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HelloWords {
    pub(super) agent: AgentName,
    pub(super) targets: Vec<TargetName>,
}

/// What goes with a CONNECT.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DialWords {
    pub(super) target: TargetName,
    pub(super) session: SessionId,
    pub(super) number: u64,
    pub(super) application: String,
    pub(super) login: As,
    pub(super) parameters: Parameters,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) caller: Option<Caller>,
}

/// What goes with a CONNECT that is about a hosted server.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum HostWords {
    Launch(Launch),
    Accept(Accept),
    Reach(Reach),
}

/// `POST /cancel`, `/tally`, `/acknowledge`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamWords {
    pub(super) session: SessionId,
    pub(super) target: TargetName,
    pub(super) number: u64,
}

/// An answer that says nothing but that it was done.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DoneWords {}

/// A refusal, on its way.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefusalWords {
    code: RefusalCode,
    message: String,
    hint: Option<String>,
}

impl From<&Refusal> for RefusalWords {
    fn from(refusal: &Refusal) -> Self {
        Self { code: refusal.code, message: refusal.message.clone(), hint: refusal.hint.clone() }
    }
}

impl RefusalWords {
    /// What the other side said, as far as it may go on to a client.
    pub(super) fn refusal(self) -> Refusal {
        let short = |text: String| {
            text.chars()
                .filter(|character| !character.is_control())
                .take(limits::WORDS_SHOWN)
                .collect::<String>()
        };
        let refusal = Refusal::new(self.code, short(self.message));
        match self.hint {
            Some(hint) => refusal.hint(short(hint)),
            None => refusal,
        }
    }
}

impl DialWords {
    pub(super) fn header(dial: Dial, number: u64) -> Option<HeaderValue> {
        let words = Self {
            target: dial.target,
            session: dial.session,
            number,
            application: dial.application.as_str().to_owned(),
            login: dial.login,
            parameters: dial.parameters,
            caller: dial.caller,
        };
        let text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&words).ok()?);
        HeaderValue::from_str(&text).ok()
    }

    pub(super) fn read(value: &HeaderValue) -> Option<(Dial, u64)> {
        let bytes = URL_SAFE_NO_PAD.decode(value.as_bytes()).ok()?;
        let Self { target, session, number, application, login, parameters, caller } =
            serde_json::from_slice(&bytes).ok()?;
        let application = ApplicationName::new(&application).ok()?;
        Some((Dial { target, session, application, login, parameters, caller }, number))
    }
}

impl HostWords {
    pub(super) fn header(request: Host) -> Option<HeaderValue> {
        let words = match request {
            Host::Launch(launch) => Self::Launch(launch),
            Host::Accept(accept) => Self::Accept(accept),
            Host::Reach(reach) => Self::Reach(reach),
        };
        let json = Zeroizing::new(serde_json::to_vec(&words).ok()?);
        let mut value = HeaderValue::from_str(&URL_SAFE_NO_PAD.encode(&*json)).ok()?;
        // A password is in it: no table of headers keeps it, and no log shows it.
        value.set_sensitive(true);
        Some(value)
    }

    pub(super) fn read(value: &HeaderValue) -> Option<Host> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(value.as_bytes()).ok()?);
        Some(match serde_json::from_slice(&bytes).ok()? {
            Self::Launch(launch) => Host::Launch(launch),
            Self::Accept(accept) => Host::Accept(accept),
            Self::Reach(reach) => Host::Reach(reach),
        })
    }
}

/// Read a whole JSON body in bounds.
pub(super) async fn read_json<T: DeserializeOwned, B>(body: B) -> Option<T>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let bytes = Limited::new(body, limits::WORDS_BYTES).collect().await.ok()?.to_bytes();
    serde_json::from_slice(&bytes).ok()
}

pub(super) fn json<T: Serialize>(status: StatusCode, words: &T) -> Response<Full<Bytes>> {
    let bytes = serde_json::to_vec(words).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(bytes)));
    *response.status_mut() = status;
    response
}

pub(super) fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    json(StatusCode::FORBIDDEN, &RefusalWords::from(refusal))
}

/// Write what comes before the target's own bytes on a stream: each part after its length, 4 bytes big-endian.
pub(super) async fn write_prologue<W: AsyncWrite + Unpin, F: Serialize>(
    stream: &mut W,
    facts: &F,
    greeting: &[u8],
) -> std::io::Result<()> {
    let facts = serde_json::to_vec(facts)?;
    let mut out = Vec::with_capacity(8 + facts.len() + greeting.len());
    for part in [facts.as_slice(), greeting] {
        if part.len() > limits::WORDS_BYTES {
            return Err(std::io::Error::other("a stream's facts or greeting are too long"));
        }
        let length = u32::try_from(part.len()).map_err(std::io::Error::other)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(part);
    }
    stream.write_all(&out).await?;
    stream.flush().await
}

/// Read what [`write_prologue`] wrote.
pub(super) async fn read_prologue<R: AsyncRead + Unpin, F: DeserializeOwned>(
    stream: &mut R,
) -> std::io::Result<(F, Bytes)> {
    let facts = part(stream).await?;
    let facts = serde_json::from_slice(&facts)?;
    Ok((facts, Bytes::from(part(stream).await?)))
}

async fn part<R: AsyncRead + Unpin>(stream: &mut R) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    let length = usize::try_from(length).ok().filter(|length| *length <= limits::WORDS_BYTES);
    let mut bytes = vec![0; length.ok_or_else(|| std::io::Error::other("a part over its limit"))?];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
