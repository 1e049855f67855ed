//! MCP from standard input and output to a gateway's endpoint: a line is a message, and each is one request (Streamable
//! HTTP); what comes back before its answer is a line too. Messages pass as they are; the only words of our own are errors where the gateway gave no answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chaperone_access::TargetName;
use chaperone_api::Problem;
use chaperone_mcp::relay::TOOLS_MAX;
use chaperone_mcp::remote::Events;
use chaperone_mcp::request::Method;
use chaperone_mcp::revision::VERSION;
use chaperone_mcp::stateless::{self, Repeated, encoded, repeats, written};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use zeroize::Zeroizing;

use super::fresh::InUse;
use crate::verbs::Failure;
use crate::wiring::mcp::{CLIENT, ENDPOINTS, PURPOSE};
use crate::wiring::tls::{self, Trust};

/// Longest message of the client, in bytes: what the gateway takes.
const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Longest answer of the gateway, in bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Requests under way; the client is not read further until one of them is answered.
const REQUESTS_MAX: usize = 16;
/// How long an answer may take: longer than any call at the gateway.
const PATIENCE: Duration = Duration::from_secs(600);
/// From this revision on a request names itself in its headers, which have to agree with it.
const NAMED_SINCE: &str = stateless::REVISION;

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// JSON-RPC 2.0, section 5.1.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
/// The gateway gave no answer of the protocol's.
const NO_ANSWER: i32 = -32000;

/// As much of a message as decides how it travels.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<String>,
    params: Option<Params>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    name: Option<Value>,
    arguments: Option<Value>,
    uri: Option<Value>,
    request_id: Option<Value>,
    #[serde(rename = "_meta")]
    meta: Option<Value>,
}

/// Said of a call whose answer was not heard.
const UNKNOWN: &str =
    "; the outcome of the call is unknown: it may have been carried out, so do not repeat it blindly";

/// A request to which there was no answer.
struct Unanswered {
    why: String,
    /// Whether the gateway may have heard it.
    may_have_arrived: bool,
}

/// Where messages go.
pub(crate) struct Bridge {
    http: reqwest::Client,
    url: String,
    token: Zeroizing<String>,
    gateway: String,
    headers: http::HeaderMap,
    /// The revision that was agreed on.
    version: Mutex<Option<String>>,
    /// The session that the gateway gave.
    session: Mutex<Option<HeaderValue>>,
    /// Arguments that headers repeat, by the tools that were listed and have some.
    repeats: Mutex<HashMap<String, Vec<Repeated>>>,
    /// What is under way, by the text of its id.
    under_way: Mutex<HashMap<String, AbortHandle>>,
    places: Arc<Semaphore>,
}

/// What an id is known by, however it was written.
fn key(id: &Value) -> String {
    id.to_string()
}

fn failed(id: &str, code: i32, message: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{}}}"#, json!({"code": code, "message": message}))
}

/// Whether a message ends a request, and is not said before its answer.
fn is_answer(message: &[u8]) -> bool {
    serde_json::from_slice::<Message<'_>>(message).is_ok_and(|message| message.method.is_none())
}

/// A message of the client's, or that it was too long.
pub(crate) type Line = Result<Vec<u8>, ()>;

/// A line, without its end; `None` at the end of the input.
fn line(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    let (mut line, mut too_long) = (Vec::new(), false);
    loop {
        let here = input.fill_buf()?;
        if here.is_empty() {
            return Ok((!line.is_empty()).then_some(Ok(line)));
        }
        let end = here.iter().position(|byte| *byte == b'\n');
        let piece = here.get(..end.unwrap_or(here.len())).unwrap_or_default();
        // Checked before it is kept.
        too_long |= line.len() + piece.len() > LINE_BYTES_MAX;
        if !too_long {
            line.extend_from_slice(piece);
        }
        let used = piece.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return Ok(Some(if too_long { Err(()) } else { Ok(line) }));
        }
    }
}

/// The lines of standard input, read by a thread of their own: nothing waits for one when the program ends.
pub(crate) fn lines() -> mpsc::Receiver<Line> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        // An input that breaks is at its end.
        while let Ok(Some(line)) = line(&mut input) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Where answers go: standard output, written by a thread of its own; and what ends when all of them are out.
pub(crate) fn output() -> (mpsc::Sender<String>, oneshot::Receiver<()>) {
    let (sender, mut receiver) = mpsc::channel::<String>(REQUESTS_MAX);
    let (done, ended) = oneshot::channel();
    std::thread::spawn(move || {
        while let Some(answer) = receiver.blocking_recv() {
            let mut out = std::io::stdout().lock();
            let written = out.write_all(answer.as_bytes()).and_then(|()| out.write_all(b"\n"));
            // Nobody listens any more.
            if written.and_then(|()| out.flush()).is_err() {
                break;
            }
        }
        drop(done);
    });
    (sender, ended)
}

impl Bridge {
    pub(crate) fn new(
        login: &InUse,
        target: &TargetName,
        client: Option<&str>,
        purpose: Option<&str>,
    ) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client(&login.ca().map_or(Trust::System, Trust::Roots))?)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(Failure::failed)?;
        let mut headers = http::HeaderMap::new();
        for (name, value) in [(CLIENT, client), (PURPOSE, purpose)] {
            if let Some(value) = value {
                let value = HeaderValue::try_from(value)
                    .map_err(|_| Failure::Usage(format!("`{value}` cannot be sent to the gateway")))?;
                headers.insert(name, value);
            }
        }
        let gateway = login.kept.gateway.clone();
        Ok(Self {
            http,
            url: format!("{}{ENDPOINTS}/{target}", gateway.trim_end_matches('/')),
            token: Zeroizing::new(login.token().to_owned()),
            gateway,
            headers,
            version: Mutex::default(),
            session: Mutex::default(),
            repeats: Mutex::default(),
            under_way: Mutex::default(),
            places: Arc::new(Semaphore::new(REQUESTS_MAX)),
        })
    }

    /// Carry messages until the input ends; answers that are under way then are still given.
    pub(crate) async fn carry(self, mut lines: mpsc::Receiver<Line>, answers: mpsc::Sender<String>) {
        let this = Arc::new(self);
        while let Some(line) = lines.recv().await {
            let Ok(place) = this.places.clone().acquire_owned().await else { break };
            match line {
                Ok(line) if line.iter().all(u8::is_ascii_whitespace) => {}
                Ok(line) => this.take(line, answers.clone(), place).await,
                Err(()) => {
                    let why = format!("a message is longer than {LINE_BYTES_MAX} bytes");
                    drop(answers.send(failed("null", INVALID_REQUEST, &why)).await);
                }
            }
        }
        let all = u32::try_from(REQUESTS_MAX).unwrap_or(u32::MAX);
        drop(this.places.acquire_many(all).await);
    }

    /// One message: on its way in a task of its own, so that others pass it.
    async fn take(
        self: &Arc<Self>,
        line: Vec<u8>,
        answers: mpsc::Sender<String>,
        place: tokio::sync::OwnedSemaphorePermit,
    ) {
        let message: Message<'_> = match serde_json::from_slice(&line) {
            Ok(message) => message,
            Err(error) => {
                let why = format!("not one JSON-RPC message: {error}");
                drop(answers.send(failed("null", PARSE_ERROR, &why)).await);
                return;
            }
        };
        let params = message.params.unwrap_or_default();
        let method = message.method.unwrap_or_default();
        if method == "notifications/cancelled" {
            let cancelled = params.request_id.as_ref().map(key).unwrap_or_default();
            let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&cancelled);
            // The connection ends, and with it the call at the gateway.
            if let Some(request) = under_way {
                request.abort();
            }
            return;
        }
        // An answer of the client's own is answered by nobody.
        let asks = message.id.filter(|_| !method.is_empty());
        let id = asks.map(|id| id.get().to_owned());
        let headers = self.headers(&method, &params);
        let known = asks
            .map(|id| serde_json::from_str::<Value>(id.get()).map_or_else(|_| String::new(), |id| key(&id)));
        let (this, own) = (self.clone(), known.clone());
        let refused = answers.clone();
        let sending = async move {
            let answer = this.sent(line, headers, &method, id.as_deref(), &answers).await;
            if let Some(own) = &own {
                this.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(own);
            }
            if let Some(answer) = answer {
                drop(answers.send(answer).await);
            }
            drop(place);
        };
        let Some(known) = known else {
            tokio::spawn(sending);
            return;
        };
        let in_use = {
            // Held until it stands there: what ends at once takes itself out after that.
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            match under_way.entry(known.clone()) {
                Entry::Occupied(_) => true,
                Entry::Vacant(free) => {
                    free.insert(tokio::spawn(sending).abort_handle());
                    false
                }
            }
        };
        if in_use {
            // Neither of the two could be cancelled, and an answer would be anybody's.
            let why = format!("a request with the id {known} is under way");
            drop(refused.send(failed("null", INVALID_REQUEST, &why)).await);
        }
    }

    /// What the transport says of a message beside it.
    fn headers(&self, method: &str, params: &Params) -> http::HeaderMap {
        let mut headers = self.headers.clone();
        let said = params.meta.as_ref().and_then(|meta| meta.get("io.modelcontextprotocol/protocolVersion"));
        let agreed = self.version.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let version = said.and_then(Value::as_str).map(str::to_owned).or(agreed);
        let Some(version) = version.filter(|_| method != "initialize") else { return headers };
        if said.is_none()
            && let Some(session) = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
        {
            headers.insert(SESSION, session);
        }
        let mut put = |name: HeaderName, text: &str| {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        };
        put(VERSION, &version);
        if version.as_str() >= NAMED_SINCE {
            put(METHOD, method);
            let name = params.name.as_ref().or(params.uri.as_ref()).and_then(Value::as_str);
            if let Some(name) = name {
                put(NAME, &encoded(name));
                let repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
                let repeats = repeats.get(name).filter(|_| method == "tools/call");
                for (header, text) in repeats
                    .map(|repeats| written(repeats, params.arguments.as_ref().unwrap_or(&Value::Null)))
                    .unwrap_or_default()
                {
                    put(header, &text);
                }
            }
        }
        headers
    }

    /// The client knows nothing of headers: which arguments they repeat stands in the list of tools.
    fn heard_tools(&self, answer: &Value) {
        let tools = answer.pointer("/result/tools").and_then(Value::as_array);
        let mut known = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        for tool in tools.into_iter().flatten() {
            let Some(name) = tool.get("name").and_then(Value::as_str) else { continue };
            let repeats = repeats(tool);
            if repeats.is_empty() {
                known.remove(name);
            } else if known.len() < TOOLS_MAX {
                known.insert(name.to_owned(), repeats);
            }
        }
    }

    /// Send a message; what its sender gets, where it gets anything.
    async fn sent(
        &self,
        body: Vec<u8>,
        headers: http::HeaderMap,
        method: &str,
        id: Option<&str>,
        beside: &mpsc::Sender<String>,
    ) -> Option<String> {
        let answered = self.exchanged(body, headers, beside).await;
        // A notification or an answer of the client's own gets none.
        let id = id?;
        let (status, bytes) = match answered {
            Ok(answered) => answered,
            Err(Unanswered { why, may_have_arrived }) => {
                let is_call = Method::of(method).is_some();
                let unknown = if may_have_arrived && is_call { UNKNOWN } else { "" };
                return Some(failed(id, NO_ANSWER, &format!("{why}{unknown}")));
            }
        };
        let text = String::from_utf8(bytes).unwrap_or_default();
        let answer: Option<Value> = serde_json::from_str(&text).ok();
        if answer.as_ref().is_some_and(|answer| answer.get("jsonrpc").is_some()) {
            if method == "initialize"
                && let Some(version) =
                    answer.as_ref().and_then(|answer| answer.pointer("/result/protocolVersion"))
            {
                *self.version.lock().unwrap_or_else(PoisonError::into_inner) =
                    version.as_str().map(str::to_owned);
            }
            if method == "tools/list" {
                answer.iter().for_each(|answer| self.heard_tools(answer));
            }
            // A line of its own: JSON has no line breaks but between tokens.
            return Some(text.replace(['\n', '\r'], " "));
        }
        Some(failed(id, NO_ANSWER, &self.said(status, &text)))
    }

    /// What an answer says that is none of the protocol's.
    fn said(&self, status: StatusCode, text: &str) -> String {
        if status == StatusCode::UNAUTHORIZED {
            let gateway = &self.gateway;
            return format!("the login at `{gateway}` has ended (run `chaperone login --gateway {gateway}`)");
        }
        match serde_json::from_str::<Problem>(text) {
            Ok(problem) => {
                let hint = problem.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                format!("{}{hint}", problem.detail)
            }
            Err(_) => format!("the gateway answered {status}"),
        }
    }

    async fn exchanged(
        &self,
        body: Vec<u8>,
        headers: http::HeaderMap,
        beside: &mpsc::Sender<String>,
    ) -> Result<(StatusCode, Vec<u8>), Unanswered> {
        let gateway = &self.gateway;
        let unreachable = |error: reqwest::Error| Unanswered {
            may_have_arrived: !error.is_connect() && !error.is_builder(),
            why: format!("cannot reach the gateway at `{gateway}`: {error}"),
        };
        let request = self
            .http
            .post(&self.url)
            .headers(headers)
            .bearer_auth(self.token.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .body(body);
        let mut response = request.send().await.map_err(unreachable)?;
        let (status, mut bytes) = (response.status(), Vec::new());
        if let Some(session) = response.headers().get(SESSION) {
            *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
        }
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            let broke = |why: String| Unanswered { why, may_have_arrived: true };
            let mut events = Events::default();
            while let Some(piece) = response.chunk().await.map_err(unreachable)? {
                events.push(&piece);
                while let Some(data) = events.next_data().map_err(|fault| broke(fault.to_string()))? {
                    if is_answer(&data) {
                        return Ok((status, data));
                    }
                    let line = String::from_utf8_lossy(&data).replace(['\n', '\r'], " ");
                    // Nobody listens any more: the program is about to end.
                    drop(beside.send(line).await);
                }
            }
            return Err(broke("the gateway's answer broke off".to_owned()));
        }
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                let why = format!("the gateway answered with more than {ANSWER_BYTES_MAX} bytes");
                return Err(Unanswered { why, may_have_arrived: true });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok((status, bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn bridge(url: String) -> Bridge {
        // It speaks plain text here, and trusts nobody.
        let nobody = rustls::ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        Bridge {
            http: reqwest::Client::builder().tls_backend_preconfigured(nobody).build().unwrap(),
            gateway: url.clone(),
            url,
            token: Zeroizing::new("token".to_owned()),
            headers: http::HeaderMap::new(),
            version: Mutex::default(),
            session: Mutex::default(),
            repeats: Mutex::default(),
            under_way: Mutex::default(),
            places: Arc::new(Semaphore::new(REQUESTS_MAX)),
        }
    }

    fn call(id: &str) -> Vec<u8> {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"query"}}}}"#)
            .into_bytes()
    }

    fn cancel(id: &str) -> Vec<u8> {
        format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#)
            .into_bytes()
    }

    /// A gateway that takes connections and closes each as soon as it has heard something.
    fn deaf() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                drop(stream.unwrap().read(&mut [0; 64]));
            }
        });
        url
    }

    async fn take(bridge: &Arc<Bridge>, line: Vec<u8>, answers: &mpsc::Sender<String>) {
        let place = bridge.places.clone().acquire_owned().await.unwrap();
        bridge.take(line, answers.clone(), place).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nothing_stays_under_way_that_has_ended() {
        let bridge = Arc::new(bridge(deaf()));
        let (answers, mut said) = mpsc::channel(1000);
        for id in 0..300 {
            take(&bridge, call(&id.to_string()), &answers).await;
        }
        drop(bridge.places.acquire_many(u32::try_from(REQUESTS_MAX).unwrap()).await.unwrap());
        assert!(bridge.under_way.lock().unwrap().is_empty());
        drop(answers);
        let mut count = 0;
        while let Some(answer) = said.recv().await {
            assert!(answer.contains("the outcome of the call is unknown"), "{answer}");
            count += 1;
        }
        assert_eq!(count, 300);
    }

    #[tokio::test]
    async fn what_never_left_is_not_called_unknown() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", free.local_addr().unwrap());
        drop(free);
        let bridge = Arc::new(bridge(url));
        let (answers, mut said) = mpsc::channel(10);
        take(&bridge, call("1"), &answers).await;
        let answer = said.recv().await.unwrap();
        assert!(answer.contains("cannot reach") && !answer.contains("unknown"), "{answer}");
    }

    #[tokio::test]
    async fn a_request_is_known_by_what_its_id_is_and_not_by_how_it_is_written() {
        // Nobody ever answers there.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let bridge = Arc::new(bridge(format!("http://{}", silent.local_addr().unwrap())));
        let (answers, mut said) = mpsc::channel(10);
        take(&bridge, call(r#""a""#), &answers).await;
        take(&bridge, call(r#""\u0061""#), &answers).await;
        assert!(said.recv().await.unwrap().contains("is under way"));
        assert_eq!(bridge.places.available_permits(), REQUESTS_MAX - 1);
        take(&bridge, cancel(r#""\u0061""#), &answers).await;
        // Its place comes back when it is gone.
        drop(bridge.places.acquire_many(u32::try_from(REQUESTS_MAX).unwrap()).await.unwrap());
        assert!(bridge.under_way.lock().unwrap().is_empty());
        assert!(said.try_recv().is_err(), "what was cancelled is not answered");
    }

    #[test]
    fn a_line_is_bounded_before_it_is_kept() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let text = [b"one\n".as_slice(), &long, b"\ntwo\r\n\nlast"].concat();
        let mut input = std::io::BufReader::with_capacity(16, text.as_slice());
        let mut lines = Vec::new();
        while let Some(line) = line(&mut input).unwrap() {
            lines.push(line.map(|line| String::from_utf8(line).unwrap()));
        }
        let expected = [Ok("one"), Err(()), Ok("two\r"), Ok(""), Ok("last")];
        assert_eq!(lines, expected.map(|line| line.map(str::to_owned)));
    }
}
