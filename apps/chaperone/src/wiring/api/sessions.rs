//! Sessions, open and closed, as the trail has them.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::{Extension, Json};
use chaperone_access::SessionId;
use chaperone_api::{EndSession, LiveSession, Page, SessionDetail, SessionView};
use chaperone_trail::{Body, Entry};
use serde_json::Value;

use super::caller::Caller;
use super::given::{Asked, Given, Named, PageQuery};
use super::refused::{Refused, failed};
use super::{Managed, Shared};
use crate::wiring::locks::check_reason;

/// End a session that is open. What it runs is stopped at the target.
#[utoipa::path(
    delete, path = "/sessions/{id}", params(("id" = String, Path)), request_body = EndSession,
    responses((status = 200, body = LiveSession))
)]
pub(super) async fn end(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
    Given(request): Given<EndSession>,
) -> Result<Json<LiveSession>, Refused> {
    check_reason(&request.reason)?;
    let session = session_id(&id)?;
    let missing =
        || Refused::not_found("no such session is open").hint("`chaperone sessions --live` lists them");
    let view =
        managed.sessions.list().into_iter().find(|view| view.session == session).ok_or_else(missing)?;
    match managed.sessions.kill(&managed.recorder, session, &request.reason, &caller.name()).await? {
        true => Ok(Json(view)),
        false => Err(missing()),
    }
}

/// Sessions that are open now, oldest first.
#[utoipa::path(
    get, path = "/sessions/live", params(PageQuery), responses((status = 200, body = Page<LiveSession>))
)]
pub(super) async fn live(State(managed): Shared, Asked(asked): Asked<PageQuery>) -> Json<Page<LiveSession>> {
    Json(asked.page(managed.sessions.list(), |view| view.session.to_string()))
}

/// Sessions, open and closed, newest first.
#[utoipa::path(get, path = "/sessions", params(PageQuery), responses((status = 200, body = Page<SessionView>)))]
pub(super) async fn list(
    State(managed): Shared,
    Asked(asked): Asked<PageQuery>,
) -> Result<Json<Page<SessionView>>, Refused> {
    let limit = asked.limit();
    let before = asked.after.as_deref().map(session_id).transpose()?;
    let found = tokio::task::spawn_blocking(move || newest(&managed, limit + 1, before)).await;
    let mut items: Vec<SessionView> = found.map_err(failed)??.into_values().rev().collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|view| view.session.to_string());
    Ok(Json(Page { items, next }))
}

/// Sessions under way in a scan: no more than are asked for, whatever the trail holds.
struct Views {
    by_id: BTreeMap<SessionId, SessionView>,
    max: usize,
    before: Option<SessionId>,
}

impl Views {
    fn new(max: usize, before: Option<SessionId>) -> Self {
        Self { by_id: BTreeMap::new(), max, before }
    }

    fn open(&mut self, view: SessionView) {
        if self.before.is_none_or(|before| view.session < before) {
            self.by_id.insert(view.session, view);
            if self.by_id.len() > self.max {
                self.by_id.pop_first();
            }
        }
    }

    fn touch(&mut self, session: &str, change: impl FnOnce(&mut SessionView)) {
        if let Some(view) = session.parse().ok().and_then(|id: SessionId| self.by_id.get_mut(&id)) {
            change(view);
        }
    }
}

/// The newest sessions of the trail. Read from the trail itself: there is no second truth.
fn newest(
    managed: &Managed,
    max: usize,
    before: Option<SessionId>,
) -> Result<BTreeMap<SessionId, SessionView>, Refused> {
    let mut views = Views::new(max, before);
    let scanned = managed.recorder.trail().scan(|entry| {
        summarise(&mut views, &entry);
        Ok(())
    });
    scanned.map_err(failed)?;
    Ok(views.by_id)
}

fn summarise(views: &mut Views, entry: &Entry) {
    match &entry.body {
        Body::SessionOpened(opened) => {
            let Ok(session) = opened.session.parse::<SessionId>() else { return };
            views.open(SessionView {
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
            });
        }
        Body::OperationIntent(body) => views.touch(&body.session, |view| view.operations += 1),
        Body::OperationRefused(body) => views.touch(&body.session, |view| view.refused += 1),
        Body::OperationOutcome(body) => views.touch(&body.session, |view| view.rows += body.rows),
        Body::SessionClosed(body) => views.touch(&body.session, |view| {
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
        | Body::PolicyRefused(_)
        | Body::CatalogLoaded(_)
        | Body::ClassificationLoaded(_)
        | Body::ConfigurationChanged(_)
        | Body::AgentEnrolled(_)
        | Body::AgentConnected(_)
        | Body::AgentDisconnected(_)
        | Body::AgentInvited(_)
        | Body::AgentLocked(_)
        | Body::AuthenticationSucceeded(_)
        | Body::AuthenticationFailed(_)
        | Body::SessionJoined(_)
        | Body::OperationProgress(_)
        | Body::OperationHeld(_)
        | Body::OperationsUndone(_)
        | Body::LimitHit(_)
        | Body::LoginMade(_)
        | Body::LoginRefreshed(_)
        | Body::LoginEnded(_)
        | Body::ServiceCreated(_)
        | Body::ServiceRotated(_)
        | Body::ServiceRevoked(_)
        | Body::SubjectDisabled(_)
        | Body::SubjectEnabled(_)
        | Body::LockPlaced(_)
        | Body::LockLifted(_)
        | Body::SessionKilled(_)
        | Body::ToolcallStarted(_)
        | Body::ToolcallEnded(_)
        | Body::RecordingRead(_) => {}
    }
}

/// The entries of one session, as JSON, with its summary.
pub(super) fn detail(managed: &Managed, session: SessionId) -> Result<SessionDetail, Refused> {
    let wanted = session.to_string();
    let (mut views, mut entries) = (Views::new(1, None), Vec::new());
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
    let summary = views.by_id.remove(&session).ok_or_else(|| {
        Refused::not_found(format!("there is no session `{session}`")).hint("`chaperone sessions` lists them")
    })?;
    Ok(SessionDetail { summary, entries })
}

/// One session with its entries.
#[utoipa::path(
    get, path = "/sessions/{id}", params(("id" = String, Path)), responses((status = 200, body = SessionDetail))
)]
pub(super) async fn show(State(managed): Shared, Named(id): Named) -> Result<Json<SessionDetail>, Refused> {
    let session = session_id(&id)?;
    let found = tokio::task::spawn_blocking(move || detail(&managed, session)).await.map_err(failed)??;
    Ok(Json(found))
}

pub(super) fn session_id(text: &str) -> Result<SessionId, Refused> {
    text.parse().map_err(|error: chaperone_access::InvalidName| Refused::malformed(error.to_string()))
}
