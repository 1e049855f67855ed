//! The management API, health and metrics: plain HTTP on a loopback address, with the administrator's token.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chaperone_access::{AgentName, SessionId};
use chaperone_api::{
    AgentView, LiveSession, LockRequest, Problem, ReadGrant, ReadRequest, SessionDetail, SessionView,
    TargetView, TokenRequest, TokenView,
};
use chaperone_recording::Recorder;
use chaperone_trail::{Body, Digest, Entry, RecordingRead, TrailState};
use chaperone_tunnel::Dialer;
use chaperone_tunnel::link::Links;
use serde::Deserialize;
use serde_json::Value;

use crate::wiring::analyst::Analysts;
use crate::wiring::door::Sessions;
use crate::wiring::installation::WrappedText;
use crate::wiring::metrics::Counters;

/// Most sessions that one list returns.
const LIST_MAX: usize = 1000;

/// What the API speaks about.
pub(crate) struct Managed {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) analysts: Arc<Analysts>,
    pub(crate) dialer: Arc<dyn Dialer>,
    /// `None` where no agent may dial in.
    pub(crate) links: Option<Arc<Links>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) admin_token: String,
    pub(crate) installation: String,
    pub(crate) targets: Vec<(chaperone_access::TargetName, &'static str)>,
}

type Shared = State<Arc<Managed>>;

struct Refused(StatusCode, Problem);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

fn refused(status: StatusCode, message: impl Into<String>, hint: Option<&str>) -> Refused {
    Refused(status, Problem { message: message.into(), hint: hint.map(str::to_owned) })
}

fn failed(error: impl std::fmt::Display) -> Refused {
    refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), None)
}

/// The routes.
pub(crate) fn router(managed: Arc<Managed>) -> Router {
    let api = Router::new()
        .route("/targets", get(targets))
        .route("/agents", get(agents))
        .route("/agents/tokens", post(token))
        .route("/agents/{name}/lock", post(lock))
        .route("/sessions", get(sessions))
        .route("/sessions/live", get(live))
        .route("/sessions/{id}", get(session))
        .route("/sessions/{id}/read", post(read))
        .layer(from_fn_with_state(managed.clone(), administrator));
    Router::new()
        .nest("/api/v1", api)
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(managed)
}

/// Nobody else than the holder of the administrator's token.
async fn administrator(State(managed): Shared, request: Request, next: Next) -> Result<Response, Refused> {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let same =
        aws_lc_rs::constant_time::verify_slices_are_equal(shown.as_bytes(), managed.admin_token.as_bytes());
    if same.is_err() {
        let hint = "the token stands in the gateway's keys folder; the command line reads it from there";
        return Err(refused(StatusCode::UNAUTHORIZED, "not authenticated", Some(hint)));
    }
    Ok(next.run(request).await)
}

/// Whether the gateway does its work, and if not, why.
async fn health(State(managed): Shared) -> Response {
    match managed.recorder.trail().state() {
        TrailState::Open => (StatusCode::OK, "ok\n").into_response(),
        TrailState::Full => {
            (StatusCode::SERVICE_UNAVAILABLE, "the trail has no room: nothing passes\n").into_response()
        }
        TrailState::Failed(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("the trail cannot be written: {why}\n")).into_response()
        }
        TrailState::Closed => (StatusCode::SERVICE_UNAVAILABLE, "the trail is closed\n").into_response(),
    }
}

/// Whether sessions can be opened: the trail takes entries and every target has an agent.
async fn ready(State(managed): Shared) -> Response {
    let served = managed.dialer.targets();
    let missing: Vec<&str> = managed
        .targets
        .iter()
        .map(|(name, _)| name)
        .filter(|name| !served.contains(name))
        .map(chaperone_access::TargetName::as_str)
        .collect();
    if !missing.is_empty() {
        let text = format!("no agent serves: {}\n", missing.join(", "));
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    health(State(managed)).await
}

async fn metrics(State(managed): Shared) -> String {
    let (sessions, trail) = (&managed.sessions, managed.recorder.trail().metrics());
    managed.counters.page(sessions.count(), sessions.traffic(), trail, &managed.dialer.agents())
}

async fn targets(State(managed): Shared) -> Json<Vec<TargetView>> {
    let catalogs = managed.analysts.catalogs();
    let agents = managed.dialer.agents();
    let views = managed.targets.iter().map(|(name, protocol)| TargetView {
        name: name.clone(),
        protocol: (*protocol).to_owned(),
        agents: agents
            .iter()
            .filter(|agent| agent.targets.contains(name))
            .map(|agent| agent.agent.to_string())
            .collect(),
        catalog: catalogs.get(name).map(|(digest, _)| Digest(*digest).to_string()),
        relations: catalogs.get(name).map(|(_, relations)| *relations as u64),
    });
    Json(views.collect())
}

/// Those that were enrolled and those that serve now.
fn agent_views(managed: &Managed) -> Result<Vec<AgentView>, Refused> {
    let enrolled = match &managed.links {
        Some(links) => links.enrolled().map_err(failed)?,
        None => Vec::new(),
    };
    let mut views: BTreeMap<AgentName, AgentView> = BTreeMap::new();
    for record in enrolled {
        let view = AgentView {
            agent: record.agent.clone(),
            linked: false,
            targets: record.targets,
            streams: 0,
            generation: record.generation,
            locked: record.locked,
        };
        views.insert(record.agent, view);
    }
    for status in managed.dialer.agents() {
        let view = views.entry(status.agent.clone()).or_insert_with(|| AgentView {
            agent: status.agent.clone(),
            linked: true,
            targets: status.targets.clone(),
            streams: 0,
            generation: status.generation,
            locked: None,
        });
        view.linked = true;
        view.streams = status.streams;
    }
    Ok(views.into_values().collect())
}

async fn agents(State(managed): Shared) -> Result<Json<Vec<AgentView>>, Refused> {
    Ok(Json(agent_views(&managed)?))
}

fn links(managed: &Managed) -> Result<&Arc<Links>, Refused> {
    let hint = "set `listen` in `[agents]` of gateway.toml and start it again";
    managed
        .links
        .as_ref()
        .ok_or_else(|| refused(StatusCode::CONFLICT, "this gateway does not listen for agents", Some(hint)))
}

async fn token(
    State(managed): Shared,
    Json(request): Json<TokenRequest>,
) -> Result<Json<TokenView>, Refused> {
    let links = links(&managed)?;
    let bad = |message: String, hint: &str| refused(StatusCode::BAD_REQUEST, message, Some(hint));
    let unknown =
        request.targets.iter().find(|target| !managed.targets.iter().any(|(name, _)| name == *target));
    if let Some(target) = unknown {
        return Err(bad(format!("target `{target}` is not configured"), "`chaperone targets` lists them"));
    }
    if request.targets.is_empty() || request.ttl_s == 0 {
        return Err(bad(
            "a token needs a target and a life".to_owned(),
            "`chaperone agent token create --help`",
        ));
    }
    if managed.dialer.agents().iter().any(|status| status.generation == 0 && status.agent == request.agent) {
        let message = format!("`{}` is the agent inside the gateway", request.agent);
        return Err(bad(message, "choose another name"));
    }
    let life = std::time::Duration::from_secs(request.ttl_s);
    let token = links.token(request.agent, request.targets, life, "administrator".to_owned()).await;
    Ok(Json(TokenView { token: token.map_err(failed)?.text().to_string() }))
}

async fn lock(
    State(managed): Shared,
    Path(name): Path<String>,
    Json(request): Json<LockRequest>,
) -> Result<Json<AgentView>, Refused> {
    let agent: AgentName = name.parse().map_err(|error: chaperone_access::InvalidName| {
        refused(StatusCode::BAD_REQUEST, error.to_string(), None)
    })?;
    links(&managed)?.lock(&agent, &request.reason).await.map_err(failed)?;
    let view = agent_views(&managed)?.into_iter().find(|view| view.agent == agent);
    view.map(Json).ok_or_else(|| failed("the agent is not there any more"))
}

async fn live(State(managed): Shared) -> Json<Vec<LiveSession>> {
    Json(managed.sessions.list())
}

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
}

async fn sessions(
    State(managed): Shared,
    Query(page): Query<Page>,
) -> Result<Json<Vec<SessionView>>, Refused> {
    let limit = page.limit.unwrap_or(50).min(LIST_MAX);
    let views = tokio::task::spawn_blocking(move || summaries(&managed)).await.map_err(failed)??;
    let mut views: Vec<SessionView> = views.into_values().collect();
    views.sort_by_key(|view| std::cmp::Reverse(view.first_entry));
    views.truncate(limit);
    Ok(Json(views))
}

/// Every session of the trail, by its id. Read from the trail itself: there is no second truth.
fn summaries(managed: &Managed) -> Result<HashMap<String, SessionView>, Refused> {
    let mut views = HashMap::new();
    let scanned = managed.recorder.trail().scan(|entry| {
        summarise(&mut views, &entry);
        Ok(())
    });
    scanned.map_err(failed)?;
    Ok(views)
}

fn summarise(views: &mut HashMap<String, SessionView>, entry: &Entry) {
    match &entry.body {
        Body::SessionOpened(opened) => {
            let Ok(session) = opened.session.parse::<SessionId>() else { return };
            views.insert(
                opened.session.clone(),
                SessionView {
                    session,
                    state: "open".to_owned(),
                    opened_at: entry.at,
                    closed_at: None,
                    target: opened.target.clone(),
                    delegation: serde_json::to_value(&opened.delegation).unwrap_or(Value::Null),
                    operations: 0,
                    refused: 0,
                    rows: 0,
                    first_entry: entry.seq,
                },
            );
        }
        Body::OperationIntent(body) => touch(views, &body.session, |view| view.operations += 1),
        Body::OperationRefused(body) => touch(views, &body.session, |view| view.refused += 1),
        Body::OperationOutcome(body) => touch(views, &body.session, |view| view.rows += body.rows),
        Body::SessionClosed(body) => touch(views, &body.session, |view| {
            view.state = body.reason.clone();
            view.closed_at = Some(entry.at);
        }),
        Body::GatewayStarted(_)
        | Body::GatewayStopped(_)
        | Body::GatewayRecovered(_)
        | Body::GatewayHeartbeat(_)
        | Body::Gap(_)
        | Body::ClockStepped(_)
        | Body::KeyCreated(_)
        | Body::KeyRotated(_)
        | Body::PolicyLoaded(_)
        | Body::CatalogLoaded(_)
        | Body::ConfigurationChanged(_)
        | Body::AgentEnrolled(_)
        | Body::AgentConnected(_)
        | Body::AgentDisconnected(_)
        | Body::AgentLocked(_)
        | Body::AuthenticationSucceeded(_)
        | Body::AuthenticationFailed(_)
        | Body::SessionJoined(_)
        | Body::OperationProgress(_)
        | Body::OperationHeld(_)
        | Body::LimitHit(_)
        | Body::LockPlaced(_)
        | Body::LockLifted(_)
        | Body::SessionKilled(_)
        | Body::RecordingRead(_) => {}
    }
}

fn touch(views: &mut HashMap<String, SessionView>, session: &str, change: impl FnOnce(&mut SessionView)) {
    if let Some(view) = views.get_mut(session) {
        change(view);
    }
}

/// The entries of one session, as JSON, with its summary.
fn detail(managed: &Managed, session: SessionId) -> Result<SessionDetail, Refused> {
    let wanted = session.to_string();
    let (mut views, mut entries) = (HashMap::new(), Vec::new());
    let scanned = managed.recorder.trail().scan(|entry| {
        let bytes = entry.to_bytes()?;
        let Ok(value) = serde_json::from_slice::<Value>(&bytes) else { return Ok(()) };
        if value.get("session").and_then(Value::as_str) == Some(&wanted) {
            summarise(&mut views, &entry);
            entries.push(value);
        }
        Ok(())
    });
    scanned.map_err(failed)?;
    let summary = views.remove(&wanted).ok_or_else(|| {
        refused(
            StatusCode::NOT_FOUND,
            format!("there is no session `{session}`"),
            Some("`chaperone sessions` lists them"),
        )
    })?;
    Ok(SessionDetail { summary, entries })
}

async fn session(State(managed): Shared, Path(id): Path<String>) -> Result<Json<SessionDetail>, Refused> {
    let session = session_id(&id)?;
    let found = tokio::task::spawn_blocking(move || detail(&managed, session)).await.map_err(failed)??;
    Ok(Json(found))
}

fn session_id(text: &str) -> Result<SessionId, Refused> {
    text.parse().map_err(|error: chaperone_access::InvalidName| {
        refused(StatusCode::BAD_REQUEST, error.to_string(), None)
    })
}

/// Hand out what is needed to open a session's sealed objects, after the reading itself is on durable record.
async fn read(
    State(managed): Shared,
    Path(id): Path<String>,
    Json(request): Json<ReadRequest>,
) -> Result<Json<ReadGrant>, Refused> {
    let session = session_id(&id)?;
    let wrapped = managed.recorder.keys().get(session).await.map_err(failed)?;
    let Some((_, key)) = wrapped.into_iter().find(|(_, key)| key.reader == request.reader) else {
        return Err(refused(
            StatusCode::FORBIDDEN,
            "the session's content is not sealed to this reader, or its key was destroyed",
            Some("`recording.readers` of gateway.toml lists the readers of new sessions"),
        ));
    };
    let body = Body::RecordingRead(RecordingRead {
        by: request.reader,
        object: None,
        purpose: None,
        session: session.to_string(),
    });
    let entry = managed.recorder.note(body).await.map_err(failed)?;
    let managed_too = managed.clone();
    let objects =
        tokio::task::spawn_blocking(move || objects(&managed_too, session)).await.map_err(failed)??;
    let wrapped = WrappedText {
        installation: managed.installation.clone(),
        key: STANDARD.encode(key.key.as_bytes()),
        epoch: key.epoch,
        bytes: STANDARD.encode(&key.bytes),
    };
    let wrapped_key = serde_json::to_string(&wrapped).map_err(failed)?;
    Ok(Json(ReadGrant { entry: entry.0, wrapped_key, objects }))
}

fn objects(managed: &Managed, session: SessionId) -> Result<BTreeMap<String, String>, Refused> {
    let mut wanted = std::collections::HashSet::new();
    for entry in detail(managed, session)?.entries {
        for pointer in ["/statement/object", "/parameters/sealed/object"] {
            if let Some(hash) = entry.pointer(pointer).and_then(Value::as_str) {
                wanted.insert(hash.to_owned());
            }
        }
    }
    let mut found = BTreeMap::new();
    let scanned = managed.recorder.trail().scan_frames(|frame| {
        let hash = Digest::of(frame).to_string();
        if wanted.contains(&hash) {
            found.insert(hash, STANDARD.encode(frame));
        }
    });
    scanned.map_err(failed)?;
    Ok(found)
}
