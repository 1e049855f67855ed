//! One request of a client on its way to a server and back: carried in a task of its own, which ends where its client goes away.
//! Its answer is one message; where something is told or asked before it, a stream that ends with it (MCP, "Streamable HTTP").

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use chaperone_api::ProblemKind;
use chaperone_mcp::beside::{Level, List, Told, progress_token, resumed};
use chaperone_mcp::relay::{self, Said};
use chaperone_mcp::revision::VERSION;
use chaperone_mcp::stateless::{self, Era};
use hyper::body::Frame;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::sessions::{Owner, Reply, SESSION, Session, UnderWay};
use super::voice::{Answers, Event, THOUGHT, Turn, Voice};
use super::{INVALID_PARAMS, Known, REVISIONS, answer, error};
use crate::wiring::api::refused::Refused;
use crate::wiring::mcp::query::CALL;
use crate::wiring::mcp::{Early, Mcp, Shower};

/// How often a stream on which nothing else is said shows that it is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// How long a call is kept whose client did not come back: its server hears so, and may end it in order.
const LAST_WORD: Duration = Duration::from_secs(CALL.as_secs() + 10);
/// Calls that wait for the next request of their client.
const PARKED_MAX: usize = 256;
/// Those of one caller at one server; for one more the oldest is given up. Each has a run, of which there are few more.
const PARKED_OF_ONE_MAX: usize = 2;

/// A request that is carried. Where it is dropped, so is what is done for it.
struct Carried {
    events: mpsc::Receiver<Event>,
    /// The id that its answer names, as it stands.
    id: String,
    task: AbortHandle,
    /// What its client gives it up by.
    _under_way: Option<UnderWay>,
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A call that waits for the next request of its client.
struct Parked {
    carried: Carried,
    asker: Asker,
    answers: tokio::sync::oneshot::Sender<Answers>,
    until: Instant,
}

/// Those that wait, by the state that their clients were given.
#[derive(Default)]
pub(super) struct Waiting(Mutex<HashMap<String, Parked>>);

/// Who asks for what: whoever goes on with a call has to be and to ask the same.
#[derive(Clone, PartialEq, Eq)]
struct Asker {
    owner: Owner,
    /// SHA-256 of the canonical form of what is called, with its arguments.
    what: Vec<u8>,
}

impl Asker {
    fn of(owner: &Owner, said: &Said<'_>) -> Option<Self> {
        let params = said.params?;
        let part = |name: &str| relay::member(params, name).ok()?.and_then(|raw| relay::plain(raw).ok());
        let whole = json!([said.method, part("name"), part("uri"), part("arguments")]);
        let canonical = serde_json_canonicalizer::to_vec(&whole).ok()?;
        Some(Self { owner: owner.clone(), what: digest(&SHA256, &canonical).as_ref().to_vec() })
    }
}

impl Waiting {
    /// Keep a call for its client's next request. Where there are too many it is given up.
    fn park(&self, turn: Turn, carried: Carried, asker: Asker) -> String {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, parked| parked.until + LAST_WORD > Instant::now());
        let mut own: Vec<(Instant, String)> = all
            .iter()
            .filter(|(_, parked)| parked.asker.owner == asker.owner)
            .map(|(state, parked)| (parked.until, state.clone()))
            .collect();
        own.sort();
        for (_, state) in own.iter().take((own.len() + 1).saturating_sub(PARKED_OF_ONE_MAX)) {
            all.remove(state);
        }
        if all.len() < PARKED_MAX {
            let until = Instant::now() + THOUGHT;
            all.insert(turn.state, Parked { carried, asker, answers: turn.answers, until });
        }
        turn.result
    }

    /// Take what waits under a state: once, and only whoever asks the same.
    fn take(&self, state: &str, asker: &Asker) -> Option<Parked> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |parked: &&Parked| parked.asker == *asker && parked.until > Instant::now();
        all.get(state).filter(is_it)?;
        all.remove(state)
    }

    /// The gateway stops.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A request as its client made it.
struct Request {
    mcp: Arc<Mcp>,
    owner: Owner,
    /// Its id, as it stands.
    id: String,
    /// What the client wants told of it.
    token: Option<Box<RawValue>>,
    asker: Option<Asker>,
    streams: bool,
}

/// Whether a client takes a stream.
fn streams(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(','));
    kinds.any(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}

/// The session that a request names. Requests of the revision without a handshake name none.
fn session(mcp: &Mcp, owner: &Owner, headers: &HeaderMap) -> Result<Option<Arc<Session>>, Early> {
    if headers.get(VERSION).is_some_and(|version| version.as_bytes() == stateless::REVISION.as_bytes()) {
        return Ok(None);
    }
    let mut named = headers.get_all(SESSION).iter();
    let (first, second) = (named.next(), named.next());
    let Some(first) = first else { return Ok(None) };
    let id = first.to_str().ok().filter(|_| second.is_none());
    let session = id.and_then(|id| mcp.hosted.sessions.get(owner, id));
    let gone = || Refused::not_found("there is no such session for you").hint("begin anew by `initialize`");
    session.map(Some).ok_or_else(|| gone().into())
}

/// Anything but a message: a client listens in its session, or ends it.
pub(in crate::wiring::mcp) fn other(
    mcp: &Arc<Mcp>,
    shower: &Shower,
    server: &Known,
    headers: &HeaderMap,
    method: &Method,
) -> Result<Response<Body>, Early> {
    let owner = Owner::of(shower, server);
    let Some(session) = session(mcp, &owner, headers)? else { return Err(only_post()) };
    if method == Method::DELETE {
        mcp.hosted.sessions.end(&session);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let lists = List::ALL.map(|(list, ..)| list).into();
    let listening = mcp.hosted.listeners.listen(&owner, lists).filter(|_| streams(headers));
    let Some(listening) = listening else { return Err(only_post()) };
    let (voice, events) = Voice::new(true, Some(session));
    let task = tokio::spawn(async move {
        let written = |list: List| Told::Changed(list).written(None).unwrap_or_default();
        listening.pass_on(&voice, written).await;
    });
    let id = "null".to_owned();
    let carried = Carried { events, id: id.clone(), task: task.abort_handle(), _under_way: None };
    let request = Request { mcp: mcp.clone(), owner, id, token: None, asker: None, streams: true };
    Ok(request.stream(None, carried))
}

/// What a method is told that is not answered.
pub(in crate::wiring::mcp) fn only_post() -> Early {
    let refused = Refused::new(ProblemKind::NoSuchMethod, "only POST is answered here");
    let mut response = axum::response::IntoResponse::into_response(refused);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    response.into()
}

/// Answer one message.
pub(in crate::wiring::mcp) async fn serve(
    mcp: &Arc<Mcp>,
    shower: Shower,
    server: Arc<Known>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response<Body>, Early> {
    let owner = Owner::of(&shower, &server);
    let session = session(mcp, &owner, &headers)?;
    let request = match relay::said(&body) {
        Ok(Said { id: Some(id), method: None, .. }) => return Ok(replied(session.as_deref(), id, &body)),
        Ok(said) => match beside(session.as_ref(), &said) {
            Some(answered) => return Ok(answered),
            None => Request {
                mcp: mcp.clone(),
                id: said.id.map_or("null", RawValue::get).to_owned(),
                token: progress_token(said.params),
                asker: Asker::of(&owner, &said),
                streams: streams(&headers),
                owner,
            },
        },
        Err(_) => {
            // It is said there what is wrong with it.
            let (voice, _events) = Voice::new(false, None);
            return super::serve(mcp, &shower, &server, &headers, &body, &voice).await;
        }
    };
    if let Some(resumed) = request.resumed(&headers, &body)? {
        return Ok(resumed.await);
    }
    let carried = request.begun(shower, server, headers, body, session);
    request.answered(carried).await
}

/// An answer of a client's to what it was asked.
fn replied(session: Option<&Session>, id: &RawValue, body: &[u8]) -> Response<Body> {
    let reply = match relay::replied(body) {
        Ok(relay::Came::Result(raw)) => Some(Reply::Given(raw.to_owned())),
        Ok(relay::Came::Error(raw)) => Some(Reply::Error(raw.to_owned())),
        Err(_) => None,
    };
    let id: Option<String> = serde_json::from_str(id.get()).ok();
    let taken = match (session, id, reply) {
        (Some(session), Some(id), Some(reply)) => session.answer(&id, reply),
        (_, _, _) => false,
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = if taken { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST };
    response
}

/// What a client says of its session and not of its server.
fn beside(session: Option<&Arc<Session>>, said: &Said<'_>) -> Option<Response<Body>> {
    let session = session?;
    let text = |name: &str| relay::member(said.params?, name).ok().flatten();
    match (said.method.as_deref()?, said.id) {
        ("notifications/cancelled", None) => {
            if let Some(id) = text("requestId") {
                session.cancel(id.get());
            }
            None
        }
        ("logging/setLevel", Some(id)) => {
            let level: Option<String> = text("level").and_then(|raw| serde_json::from_str(raw.get()).ok());
            Some(match level.and_then(|level| Level::of(&level)) {
                Some(level) => {
                    session.set_level(level);
                    answer(id.get(), "result", "{}")
                }
                None => error(id, INVALID_PARAMS, "`level` is none"),
            })
        }
        (_, _) => None,
    }
}

impl Request {
    /// Let it be carried, in a task of its own.
    fn begun(
        &self,
        shower: Shower,
        server: Arc<Known>,
        headers: HeaderMap,
        body: Bytes,
        session: Option<Arc<Session>>,
    ) -> Carried {
        let (voice, events) = Voice::new(self.streams, session.clone());
        let (mcp, owner) = (self.mcp.clone(), self.owner.clone());
        let task = tokio::spawn(async move {
            let answered = super::serve(&mcp, &shower, &server, &headers, &body, &voice).await;
            let (mut parts, whole) = answered.unwrap_or_else(|Early(response)| *response).into_parts();
            // Made here, of what is in memory.
            let whole = axum::body::to_bytes(whole, usize::MAX).await.unwrap_or_default();
            if let Some(session) = welcomed(&mcp, &owner, &voice, &body, &parts, &whole) {
                parts.headers.insert(SESSION, session);
            }
            voice.say(Event::Done(Response::from_parts(parts, whole))).await;
        });
        let task = task.abort_handle();
        let under_way = session.map(|session| session.begin(&self.id, task.clone()));
        Carried { events, id: self.id.clone(), task, _under_way: under_way }
    }

    /// Go on with a call, where this is its client's next request.
    fn resumed(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Option<impl Future<Output = Response<Body>> + use<'_>>, Early> {
        let Ok(said) = relay::said(body) else { return Ok(None) };
        let (Some(id), Some(params)) = (said.id, said.params) else { return Ok(None) };
        let (Ok(Some((state, answers))), Ok(Era::Stateless)) =
            (resumed(params), stateless::judged(headers, &said, &REVISIONS))
        else {
            return Ok(None);
        };
        let parked = self.asker.as_ref().and_then(|asker| self.mcp.hosted.waiting.take(&state, asker));
        let Some(Parked { carried, answers: waits, .. }) = parked else {
            let why = "`requestState` is none that you were given for this call, or was used, or has lapsed: \
                       call without it";
            return Err(error(id, INVALID_PARAMS, why).into());
        };
        let answers = answers.into_iter().map(|(name, answer)| (name, answer.to_owned())).collect();
        // One that waits no more has its answer already.
        drop(waits.send(answers));
        Ok(Some(async move { self.answered(carried).await.unwrap_or_else(|Early(response)| *response) }))
    }

    /// Its answer: as one message, unless something comes before it.
    async fn answered(self: &Request, mut carried: Carried) -> Result<Response<Body>, Early> {
        loop {
            match carried.events.recv().await {
                // Its client gave it up, or what was done for it has failed.
                None => {
                    let why = r#"{"code":-32000,"message":"the request was given up"}"#;
                    return Ok(answer(&self.id, "error", why));
                }
                Some(Event::Done(response)) => {
                    let (parts, whole) = response.into_parts();
                    let text = self.renumbered(&carried, &whole);
                    return Ok(Response::from_parts(parts, Body::from(text)));
                }
                Some(Event::Turn(turn)) => {
                    let result = self.parked(turn, carried);
                    return Ok(answer(&self.id, "result", &result));
                }
                Some(event @ (Event::Told(_) | Event::Said(_))) => {
                    if let Some(text) = self.said(event) {
                        return Ok(self.stream(Some(text), carried));
                    }
                }
            }
        }
    }

    /// As this request's client reads it, where it does.
    fn said(&self, event: Event) -> Option<String> {
        match event {
            Event::Told(told) => told.written(self.token.as_deref()),
            Event::Said(text) => Some(text),
            Event::Turn(_) | Event::Done(_) => None,
        }
        .filter(|_| self.streams)
    }

    fn parked(&self, turn: Turn, carried: Carried) -> String {
        match self.asker.clone() {
            Some(asker) => self.mcp.hosted.waiting.park(turn, carried, asker),
            None => turn.result,
        }
    }

    /// The answer with the id of this request, which is another's than that which began the call.
    fn renumbered(&self, carried: &Carried, whole: &Bytes) -> Bytes {
        if carried.id == self.id {
            return whole.clone();
        }
        relay::renumbered(whole, &self.id).map_or_else(|_| whole.clone(), Bytes::from)
    }

    fn stream(&self, first: Option<String>, carried: Carried) -> Response<Body> {
        let mut alive = tokio::time::interval_at(Instant::now() + SIGN_OF_LIFE, SIGN_OF_LIFE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let request = Request {
            mcp: self.mcp.clone(),
            owner: self.owner.clone(),
            id: self.id.clone(),
            token: self.token.clone(),
            asker: self.asker.clone(),
            streams: self.streams,
        };
        let stream = Streaming { first, carried: Some(carried), request, alive };
        let mut response = Response::new(Body::new(stream));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// The session of a client that was just let in by `initialize`, as a header.
fn welcomed(
    mcp: &Mcp,
    owner: &Owner,
    voice: &Voice,
    body: &[u8],
    parts: &axum::http::response::Parts,
    whole: &[u8],
) -> Option<HeaderValue> {
    let said = relay::said(body).ok().filter(|said| said.method.as_deref() == Some("initialize"))?;
    let is_let_in =
        parts.status == StatusCode::OK && matches!(relay::replied(whole), Ok(relay::Came::Result(_)));
    let abilities = voice.abilities(Era::Handshake, &said);
    let session = is_let_in.then(|| mcp.hosted.sessions.begin(owner, abilities)).flatten()?;
    HeaderValue::from_str(&session.id).ok()
}

/// The events of one request, until its answer.
struct Streaming {
    first: Option<String>,
    carried: Option<Carried>,
    request: Request,
    alive: Interval,
}

fn event(text: &[u8]) -> Frame<Bytes> {
    let mut whole = Vec::with_capacity(text.len() + 32);
    whole.extend_from_slice(b"event: message\ndata: ");
    // A line's end may stand between the parts of a JSON text, and nowhere inside of them.
    whole.extend(text.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    whole.extend_from_slice(b"\n\n");
    Frame::data(Bytes::from(whole))
}

impl hyper::body::Body for Streaming {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(event(first.as_bytes()))));
        }
        loop {
            let Some(mut carried) = this.carried.take() else { return Poll::Ready(None) };
            match carried.events.poll_recv(cx) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Event::Done(response))) => {
                    let text = this.request.renumbered(&carried, response.body());
                    return Poll::Ready(Some(Ok(event(&text))));
                }
                Poll::Ready(Some(Event::Turn(turn))) => {
                    let result = this.request.parked(turn, carried);
                    let text = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, this.request.id);
                    return Poll::Ready(Some(Ok(event(text.as_bytes()))));
                }
                Poll::Ready(Some(other @ (Event::Told(_) | Event::Said(_)))) => {
                    this.carried = Some(carried);
                    if let Some(text) = this.request.said(other) {
                        return Poll::Ready(Some(Ok(event(text.as_bytes()))));
                    }
                }
                Poll::Pending => {
                    this.carried = Some(carried);
                    return match this.alive.poll_tick(cx) {
                        Poll::Ready(_) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b":\n\n"))))),
                        Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
    }
}
