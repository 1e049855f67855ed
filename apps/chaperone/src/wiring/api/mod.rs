//! The management API, health and metrics. Each endpoint stands once in [`endpoints`], with the action that it needs;
//! the OpenAPI document comes from the same lines.

mod agents;
mod caller;
mod carry;
mod credentials;
mod given;
mod health;
mod policies;
mod recordings;
mod refused;
pub(crate) mod served;
mod sessions;
mod targets;
mod whoami;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use chaperone_api::ProblemKind;
use chaperone_identity::{Holders, Identity};
use chaperone_policy::{ManagementAction, Policies};
use chaperone_recording::Recorder;
use chaperone_tunnel::Dialer;
use chaperone_tunnel::link::Links;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Info, License, OpenApi, OpenApiBuilder, RefOr};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::caller::{even_overdue, guarded, known};
pub(crate) use self::carry::Answers;
use self::refused::Refused;
use crate::wiring::analyst::Analysts;
use crate::wiring::door::Sessions;
use crate::wiring::locks::LockKeeper;
use crate::wiring::metrics::Counters;
use crate::wiring::policies::PolicyKeeper;

/// Where all paths of the API begin.
const BASE: &str = "/api/v1";

/// What the API speaks about.
pub(crate) struct Managed {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) analysts: Arc<Analysts>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) keeper: Arc<PolicyKeeper>,
    pub(crate) locks: Arc<LockKeeper>,
    pub(crate) dialer: Arc<dyn Dialer>,
    /// `None` where no agent may dial in.
    pub(crate) links: Option<Arc<Links>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) answers: Arc<Answers>,
    pub(crate) holders: Arc<Holders>,
    /// Makes credentials.
    pub(crate) identity: Arc<Identity>,
    /// Where PostgreSQL clients connect.
    pub(crate) entrance: Entrance,
    pub(crate) admin_token: String,
    pub(crate) installation: String,
    pub(crate) targets: Vec<(chaperone_access::TargetName, &'static str)>,
}

/// Where PostgreSQL clients connect, as a credential's holder is told.
pub(crate) struct Entrance {
    /// `None` where the gateway listens on every address: then it is the host by which the API was reached.
    pub(crate) host: Option<String>,
    pub(crate) port: u16,
    /// libpq's word.
    pub(crate) sslmode: &'static str,
}

type Shared = State<Arc<Managed>>;

/// Every endpoint of the API that needs a caller.
fn endpoints() -> OpenApiRouter<Arc<Managed>> {
    use ManagementAction::{ManageAgents, ManagePolicy, ReadRecording, ReadSessions};
    OpenApiRouter::default()
        .routes(even_overdue(routes!(whoami::show)))
        .routes(known(routes!(credentials::make)))
        .routes(known(routes!(targets::list)))
        .routes(guarded(ManagePolicy, routes!(policies::catalog)))
        .routes(guarded(ManagePolicy, routes!(policies::list)))
        .routes(guarded(ManagePolicy, routes!(policies::show)))
        .routes(guarded(ManagePolicy, routes!(policies::reload)))
        .routes(guarded(ManagePolicy, routes!(policies::explain)))
        .routes(guarded(ManageAgents, routes!(agents::list)))
        .routes(guarded(ManageAgents, routes!(agents::token)))
        .routes(guarded(ManageAgents, routes!(agents::lock)))
        .routes(guarded(ReadSessions, routes!(sessions::list)))
        .routes(guarded(ReadSessions, routes!(sessions::live)))
        .routes(guarded(ReadSessions, routes!(sessions::show)))
        .routes(guarded(ReadRecording, routes!(recordings::read)))
}

/// The description of the API (OpenAPI 3.1).
pub(crate) fn description() -> OpenApi {
    let info = Info::builder()
        .title("Chaperone management API")
        .version("1")
        .description(Some("See docs/reference/api.md. Every refusal is a `Problem`."))
        .license(Some(License::new("MIT")))
        .build();
    let mut document = OpenApiBuilder::new().info(info).build();
    document = document.nest(BASE, endpoints().into_openapi());
    let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    document
        .components
        .get_or_insert_default()
        .security_schemes
        .insert(caller::SCHEME.to_owned(), RefOr::T(scheme));
    document
}

async fn nowhere() -> Refused {
    Refused::not_found("there is no such path")
        .hint("docs/reference/api.md and `chaperone api describe` list them")
}

async fn no_such_method() -> Refused {
    Refused::new(ProblemKind::NoSuchMethod, "this path does not take this method")
}

/// The routes.
pub(crate) fn router(managed: Arc<Managed>) -> Router {
    let (api, _) = endpoints().split_for_parts();
    let api = api.route_layer(from_fn_with_state(managed.clone(), caller::authenticated));
    Router::new()
        .nest(BASE, api)
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(nowhere)
        .method_not_allowed_fallback(no_such_method)
        .with_state(managed)
}
