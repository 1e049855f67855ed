//! The management API, health and metrics: plain HTTP on a loopback address, with the administrator's token.

mod agents;
mod health;
mod recordings;
mod sessions;
mod targets;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chaperone_api::Problem;
use chaperone_recording::Recorder;
use chaperone_tunnel::Dialer;
use chaperone_tunnel::link::Links;

use crate::wiring::analyst::Analysts;
use crate::wiring::door::Sessions;
use crate::wiring::metrics::Counters;

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
        .route("/targets", get(targets::targets))
        .route("/agents", get(agents::agents))
        .route("/agents/tokens", post(agents::token))
        .route("/agents/{name}/lock", post(agents::lock))
        .route("/sessions", get(sessions::sessions))
        .route("/sessions/live", get(sessions::live))
        .route("/sessions/{id}", get(sessions::session))
        .route("/sessions/{id}/read", post(recordings::read))
        .layer(from_fn_with_state(managed.clone(), administrator));
    Router::new()
        .nest("/api/v1", api)
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
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
