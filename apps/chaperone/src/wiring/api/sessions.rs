//! Sessions, open and closed, as the trail has them.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use chaperone_access::SessionId;
use chaperone_api::{LiveSession, SessionDetail, SessionView};
use chaperone_trail::{Body, Entry};
use serde::Deserialize;
use serde_json::Value;

use super::{Managed, Refused, Shared, failed, refused};

/// Most sessions that one list returns.
const LIST_MAX: usize = 1000;

pub(super) async fn live(State(managed): Shared) -> Json<Vec<LiveSession>> {
    Json(managed.sessions.list())
}

#[derive(Deserialize)]
pub(super) struct Page {
    limit: Option<usize>,
}

pub(super) async fn sessions(
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
        | Body::RecordingRead(_) => {}
    }
}

fn touch(views: &mut HashMap<String, SessionView>, session: &str, change: impl FnOnce(&mut SessionView)) {
    if let Some(view) = views.get_mut(session) {
        change(view);
    }
}

/// The entries of one session, as JSON, with its summary.
pub(super) fn detail(managed: &Managed, session: SessionId) -> Result<SessionDetail, Refused> {
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

pub(super) async fn session(
    State(managed): Shared,
    Path(id): Path<String>,
) -> Result<Json<SessionDetail>, Refused> {
    let session = session_id(&id)?;
    let found = tokio::task::spawn_blocking(move || detail(&managed, session)).await.map_err(failed)??;
    Ok(Json(found))
}

pub(super) fn session_id(text: &str) -> Result<SessionId, Refused> {
    text.parse().map_err(|error: chaperone_access::InvalidName| {
        refused(StatusCode::BAD_REQUEST, error.to_string(), None)
    })
}
