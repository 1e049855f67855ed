//! Health and metrics: for whoever watches over the gateway. They say nothing about anybody.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chaperone_trail::TrailState;

use super::Shared;

/// Whether the gateway does its work, and if not, why.
#[utoipa::path(get, path = "/health", responses((status = 200, body = String), (status = 503, body = String)))]
pub(super) async fn health(State(managed): Shared) -> Response {
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
#[utoipa::path(get, path = "/ready", responses((status = 200, body = String), (status = 503, body = String)))]
pub(super) async fn ready(State(managed): Shared) -> Response {
    let served = managed.dialer.targets();
    let missing: Vec<&str> = managed
        .targets
        .iter()
        .map(|(name, _)| name)
        .filter(|name| !served.contains(name))
        .map(chaperone_access::TargetName::as_str)
        .collect();
    if !missing.is_empty() {
        // Whoever asks here is nobody: names are for the log.
        tracing::debug!(targets = missing.join(", "), "no agent serves some targets");
        let text = format!("{} of {} targets are served by no agent\n", missing.len(), managed.targets.len());
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    health(State(managed)).await
}

/// Prometheus metrics, in its text format.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String)))]
pub(super) async fn metrics(State(managed): Shared) -> String {
    let (sessions, trail) = (&managed.sessions, managed.recorder.trail().metrics());
    managed.counters.page(sessions.count(), sessions.traffic(), trail, &managed.dialer.agents())
}
