//! One message to a server elsewhere, and what comes back for it (MCP, "Streamable HTTP").

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chaperone_mcp::relay::{self, Came, FRAME_BYTES_MAX, Heard, heard};
use chaperone_mcp::remote::{ANSWER_S, Events, Fault, Outgoing};
use http::{HeaderName, HeaderValue, StatusCode, header};
use oauth2::url::Url;
use reqwest::Response;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::Upstream;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const REVISION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// From 2026-07-28 on, where the message itself names its revision.
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// Either may come back.
const ACCEPTED: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Longest id of a session, in bytes.
const SESSION_BYTES_MAX: usize = 1024;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(ANSWER_S);
/// Bytes of one event stream: an answer, and what is said beside it.
const STREAM_BYTES_MAX: usize = 16 * 1024 * 1024 + FRAME_BYTES_MAX;
/// How long a stream is listened to once it has brought its answer: a second one is noticed.
const AFTER: Duration = Duration::from_secs(2);
/// How long a client may think about what it is asked.
const THOUGHT: Duration = Duration::from_secs(chaperone_mcp::beside::THOUGHT_S);
/// How long a server may take to hear that a session is over.
const LEAVE: Duration = Duration::from_secs(3);

/// What a message of the server's is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Answer,
    Asks,
    Tells,
}

/// What both ends agreed on at the beginning.
#[derive(Default)]
struct Agreed {
    session: Option<HeaderValue>,
    revision: Option<HeaderValue>,
}

/// A session's way to its server. Owner of what was agreed on: the exchange that it was agreed on in.
pub(super) struct Exchange {
    upstream: Arc<Upstream>,
    client: reqwest::Client,
    token: Option<HeaderValue>,
    agreed: Mutex<Agreed>,
    /// Requests that were sent.
    requests: AtomicU64,
}

/// The beginning of what comes back.
pub(super) struct Headed {
    outgoing: Outgoing,
    /// Which request it is; none where no answer comes.
    request: Option<u64>,
    response: Response,
    until: Instant,
}

/// The innermost reason, since what stands around it only repeats the address; and whether TLS gave it. What an IO error
/// holds is not its source.
fn reason(error: &reqwest::Error) -> (String, bool) {
    let mut error: &(dyn std::error::Error + 'static) = error;
    loop {
        let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match held.map(|held| -> &(dyn std::error::Error + 'static) { held }).or_else(|| error.source()) {
            Some(inner) if !error.is::<rustls::Error>() => error = inner,
            Some(_) | None => return (error.to_string(), error.is::<rustls::Error>()),
        }
    }
}

impl Exchange {
    pub(super) async fn new(upstream: &Arc<Upstream>, client: reqwest::Client) -> Result<Self, Fault> {
        let token = match &upstream.token {
            Some(source) => {
                let secret = source.fetch().await.map_err(|error| unarmed(upstream, &error.to_string()))?;
                let shown = Zeroizing::new([b"Bearer ", secret.expose()].concat());
                let mut shown = HeaderValue::from_bytes(&shown)
                    .map_err(|_| unarmed(upstream, "the token cannot stand in a header"))?;
                shown.set_sensitive(true);
                Some(shown)
            }
            None => None,
        };
        let (agreed, requests) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self { upstream: upstream.clone(), client, token, agreed, requests })
    }

    fn agreed(&self) -> MutexGuard<'_, Agreed> {
        self.agreed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn url(&self) -> Url {
        self.upstream.url.clone()
    }

    /// Send a message, and wait until it is clear what becomes of it.
    pub(super) async fn post(self: Arc<Self>, line: Vec<u8>) -> Result<Headed, Fault> {
        let outgoing = Outgoing::of(&line)?;
        let asks = outgoing.id.is_some();
        let number = asks.then(|| self.requests.fetch_add(1, Ordering::Relaxed) + 1);
        let until = Instant::now() + ANSWER;
        let mut request = self.client.post(self.url()).body(line);
        request = request.header(header::CONTENT_TYPE, JSON).header(header::ACCEPT, ACCEPTED);
        for (name, value) in self.headers(&outgoing) {
            request = request.header(name, value);
        }
        match timeout_at(until, request.send()).await {
            Err(_elapsed) => Err(Fault::Late),
            Ok(Err(error)) => Err(self.of_last(number, self.unsent(&error))),
            Ok(Ok(response)) => Ok(Headed { outgoing, request: number, response, until }),
        }
    }

    /// A fault ends the session, with what is under way in it: that this was not carried out is said by the fault of the last
    /// request alone, and neither by an earlier one's nor by that of a message that has no answer.
    fn of_last(&self, request: Option<u64>, fault: Fault) -> Fault {
        let is_last = request == Some(self.requests.load(Ordering::Relaxed));
        if is_last { fault } else { fault.beside() }
    }

    /// What goes with a message beside what goes with each.
    fn headers(&self, outgoing: &Outgoing) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        headers.extend(self.token.clone().map(|token| (header::AUTHORIZATION, token)));
        let mut put = |name: HeaderName, value: Option<&str>| {
            let value = value.and_then(|value| HeaderValue::from_str(value).ok());
            headers.extend(value.map(|value| (name, value)));
        };
        let agreed = self.agreed();
        if agreed.revision.is_none() && outgoing.revision.is_some() {
            put(REVISION, outgoing.revision.as_deref());
            put(METHOD, outgoing.method.as_deref());
            put(NAME, outgoing.name.as_deref());
        }
        headers.extend(agreed.revision.clone().map(|revision| (REVISION, revision)));
        headers.extend(agreed.session.clone().map(|session| (SESSION, session)));
        headers
    }

    fn unsent(&self, error: &reqwest::Error) -> Fault {
        let (why, is_tls) = reason(error);
        // Not its whole address: there may be a secret in it.
        let host = self.upstream.url.authority();
        tracing::warn!(server = %self.upstream.name, host, why, "a server elsewhere is not reached");
        match (error.is_connect(), is_tls) {
            (true, true) => Fault::Untrusted,
            (true, false) => Fault::Unreachable,
            (false, _) => Fault::Broke,
        }
    }

    /// Read what comes back, and pass on each message of it as one line.
    pub(super) async fn read(
        self: Arc<Self>,
        headed: Headed,
        say: mpsc::Sender<Vec<u8>>,
    ) -> Result<(), Fault> {
        let request = headed.request;
        self.passed_on(headed, &say).await.map_err(|fault| self.of_last(request, fault))
    }

    async fn passed_on(&self, headed: Headed, say: &mpsc::Sender<Vec<u8>>) -> Result<(), Fault> {
        let status = headed.response.status();
        let code = status.as_u16();
        if status.is_redirection() {
            return Err(Fault::Redirected(code));
        }
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(Fault::Denied(code));
        }
        if status == StatusCode::NOT_FOUND && self.agreed().session.is_some() {
            return Err(Fault::Forgotten);
        }
        match &headed.outgoing.id {
            Some(id) if status.is_client_error() => {
                let line = refusal(headed.response, headed.until, id).await?;
                pass(say, line).await
            }
            Some(_) if status.is_success() => self.answer(headed, say).await,
            // Nothing comes back for what is no request.
            None if status.is_success() => Ok(()),
            Some(_) | None => Err(Fault::Status(code)),
        }
    }

    async fn answer(&self, headed: Headed, say: &mpsc::Sender<Vec<u8>>) -> Result<(), Fault> {
        let Headed { outgoing, mut response, until, .. } = headed;
        if response.status() == StatusCode::ACCEPTED {
            return Err(Fault::Unanswered);
        }
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind =
            kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/json" => {
                let body = whole(&mut response, until).await?;
                if self.message(&outgoing, &response, &body)? != Said::Answer {
                    return Err(Fault::Unanswered);
                }
                pass(say, body).await
            }
            "text/event-stream" => self.stream(&outgoing, response, until, say).await,
            _ => Err(Fault::Kind),
        }
    }

    async fn stream(
        &self,
        outgoing: &Outgoing,
        mut response: Response,
        until: Instant,
        say: &mpsc::Sender<Vec<u8>>,
    ) -> Result<(), Fault> {
        let (mut events, mut bytes, mut until, mut answered) = (Events::default(), 0, until, false);
        loop {
            while let Some(data) = events.next_data()? {
                let kind = self.message(outgoing, &response, &data)?;
                pass(say, data).await?;
                match kind {
                    Said::Answer if !std::mem::replace(&mut answered, true) => {
                        until = until.min(Instant::now() + AFTER);
                    }
                    // Somebody may think about it; how long, and how often, the gateway bounds.
                    Said::Asks if !answered => until = until.max(Instant::now() + THOUGHT + ANSWER),
                    Said::Answer | Said::Asks | Said::Tells => {}
                }
            }
            match timeout_at(until, response.chunk()).await {
                Ok(Ok(Some(piece))) => {
                    bytes += piece.len();
                    if bytes > STREAM_BYTES_MAX {
                        return Err(Fault::TooMuch);
                    }
                    events.push(&piece);
                }
                Ok(Ok(None) | Err(_)) | Err(_) if answered => return Ok(()),
                Ok(Ok(None)) => return Err(Fault::Unanswered),
                Ok(Err(_)) => return Err(Fault::Broke),
                Err(_elapsed) => return Err(Fault::Late),
            }
        }
    }

    /// What a message is. What the first one agrees on holds from before it is passed on.
    fn message(&self, outgoing: &Outgoing, response: &Response, message: &[u8]) -> Result<Said, Fault> {
        match heard(message)? {
            Heard::Answer { came, .. } => {
                if let (Some("initialize"), Came::Result(result)) = (outgoing.method.as_deref(), came) {
                    let revision = relay::member(result, "protocolVersion")?;
                    let revision: Option<String> =
                        revision.and_then(|revision| serde_json::from_str(revision.get()).ok());
                    let revision = revision.and_then(|revision| HeaderValue::from_str(&revision).ok());
                    let session = response.headers().get(SESSION).cloned();
                    if session.as_ref().is_some_and(|session| !is_session(session)) {
                        return Err(Fault::Malformed);
                    }
                    *self.agreed() = Agreed { session, revision };
                }
                Ok(Said::Answer)
            }
            Heard::Asks { .. } => Ok(Said::Asks),
            Heard::Tells { .. } => Ok(Said::Tells),
        }
    }

    /// Tell the server that the session is over. Some do not want to know (405).
    pub(super) async fn leave(&self) {
        let agreed = std::mem::take(&mut *self.agreed());
        let Some(session) = agreed.session else { return };
        let mut request = self.client.delete(self.url()).header(SESSION, session);
        if let Some(revision) = agreed.revision {
            request = request.header(REVISION, revision);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token.clone());
        }
        let told = tokio::time::timeout(LEAVE, request.send()).await;
        let status = told.ok().and_then(Result::ok).map(|response| response.status().as_u16());
        tracing::debug!(server = %self.upstream.name, ?status, "a session with a server elsewhere was ended");
    }
}

/// The answer that a server gives with its no to one request: its own error, or the status where it gives none and the
/// status says that it does not take such a request.
async fn refusal(mut response: Response, until: Instant, id: &str) -> Result<Vec<u8>, Fault> {
    let status = response.status();
    if let Ok(body) = whole(&mut response, until).await
        && let Ok(Heard::Answer { id: answered, came: Came::Error(_) }) = heard(&body)
        && answered.to_string() == id
    {
        return Ok(body);
    }
    let status = status.as_u16();
    if !says_no(status) {
        return Err(Fault::Status(status));
    }
    let error = format!(r#"{{"code":-32000,"message":"the server answered with HTTP status {status}"}}"#);
    Ok(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into_bytes())
}

/// Statuses of a server that does not know what it is asked, in whose place something older may be asked. Any other 4xx (a
/// conflict, too many requests, one that took too long) may come of what is under way or done.
fn says_no(status: u16) -> bool {
    matches!(status, 400 | 404 | 405 | 406 | 413 | 415)
}

fn unarmed(upstream: &Upstream, why: &str) -> Fault {
    tracing::error!(server = %upstream.name, %why, "there is no token for a server elsewhere");
    Fault::Unarmed
}

/// Visible characters of ASCII, as the protocol wants it.
fn is_session(session: &HeaderValue) -> bool {
    let bytes = session.as_bytes();
    !bytes.is_empty() && bytes.len() <= SESSION_BYTES_MAX && bytes.iter().all(u8::is_ascii_graphic)
}

/// A body that is one message.
async fn whole(response: &mut Response, until: Instant) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    loop {
        match timeout_at(until, response.chunk()).await {
            Ok(Ok(Some(piece))) if body.len() + piece.len() > FRAME_BYTES_MAX => return Err(Fault::TooLong),
            Ok(Ok(Some(piece))) => body.extend_from_slice(&piece),
            Ok(Ok(None)) => return Ok(body),
            Ok(Err(_)) => return Err(Fault::Broke),
            Err(_elapsed) => return Err(Fault::Late),
        }
    }
}

/// Pass a message on as one line. A line's end may stand between the parts of a JSON text, and nowhere inside of them.
async fn pass(say: &mpsc::Sender<Vec<u8>>, mut message: Vec<u8>) -> Result<(), Fault> {
    for byte in &mut message {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    message.push(b'\n');
    // Where nobody listens any more, the session is over already.
    say.send(message).await.map_err(|_| Fault::Broke)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &'static str) -> (Response, Instant) {
        let response = http::Response::builder().status(status).body(body).unwrap();
        (response.into(), Instant::now() + ANSWER)
    }

    #[tokio::test]
    async fn only_what_a_server_does_not_take_is_an_error_of_the_call_without_its_word() {
        for status in [400, 404, 405, 406, 413, 415] {
            let (response, until) = answered(status, "no");
            let line = String::from_utf8(refusal(response, until, "7").await.unwrap()).unwrap();
            assert!(line.contains(r#""id":7,"#) && line.contains(&format!("HTTP status {status}")), "{line}");
        }
        let own = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"busy"}}"#;
        let others = r#"{"jsonrpc":"2.0","id":8,"error":{"code":-1,"message":"busy"}}"#;
        for status in [402, 408, 409, 410, 421, 422, 423, 425, 429, 451] {
            for body in ["no", r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, others] {
                let (response, until) = answered(status, body);
                assert_eq!(refusal(response, until, "7").await, Err(Fault::Status(status)));
            }
            let (response, until) = answered(status, own);
            assert_eq!(refusal(response, until, "7").await, Ok(own.as_bytes().to_vec()));
        }
    }
}
