//! The management API, health and metrics. Each endpoint stands once in [`endpoints`], with the action that it needs;
//! the OpenAPI document comes from the same lines.

mod agents;
mod caller;
mod carry;
pub(crate) mod commands;
pub(crate) mod credentials;
mod description;
pub(crate) mod given;
mod health;
pub(crate) mod identities;
mod locks;
mod login;
mod people;
mod policies;
mod recordings;
pub(crate) mod refused;
pub(crate) mod served;
mod servers;
mod services;
mod sessions;
mod targets;
#[cfg(test)]
mod tests;
mod toolcalls;
mod trying;
mod whoami;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use chaperone_api::ProblemKind;
use chaperone_identity::{Holders, Identity};
use chaperone_policy::{ManagementAction, Policies};
use chaperone_recording::Recorder;
use chaperone_tunnel::Dialer;
use chaperone_tunnel::link::Links;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::caller::bearer;
use self::caller::{even_overdue, guarded, known, open};
pub(crate) use self::carry::Answers;
pub(crate) use self::description::text as description_text;
use self::refused::Refused;
pub(crate) use self::sessions::RecentSessions;
use crate::wiring::analyst::Analysts;
use crate::wiring::commands::Commands;
use crate::wiring::door::Sessions;
use crate::wiring::identity::Identities;
use crate::wiring::locks::LockKeeper;
use crate::wiring::manifests::Manifests;
use crate::wiring::metrics::Counters;
use crate::wiring::policies::PolicyKeeper;
use crate::wiring::revocations::RevocationKeeper;

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
    pub(crate) revocations: Arc<RevocationKeeper>,
    /// What was accepted of servers' tools.
    pub(crate) manifests: Arc<Manifests>,
    pub(crate) dialer: Arc<dyn Dialer>,
    /// `None` where no agent may dial in.
    pub(crate) links: Option<Arc<Links>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) answers: Arc<Answers>,
    pub(crate) recent: RecentSessions,
    pub(crate) holders: Arc<Holders>,
    /// Changes who may hold a credential.
    pub(crate) identities: Arc<Identities>,
    /// Makes credentials.
    pub(crate) identity: Arc<Identity>,
    /// Where PostgreSQL clients connect.
    pub(crate) entrance: Entrance,
    pub(crate) admin_token: String,
    pub(crate) installation: String,
    pub(crate) targets: Vec<(chaperone_access::TargetName, &'static str)>,
    pub(crate) commands: Arc<Commands>,
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
    use ManagementAction::{
        Administer, EndSession, Lock, ManageAgents, ManagePolicy, ManageServices, ReadRecording, ReadSessions,
    };
    OpenApiRouter::default()
        .routes(even_overdue(routes!(whoami::show)))
        .routes(even_overdue(routes!(login::refresh)))
        .routes(even_overdue(routes!(login::end)))
        .routes(known(routes!(credentials::make)))
        .routes(guarded(Lock, routes!(credentials::list)))
        .routes(guarded(Lock, routes!(credentials::revoke)))
        .routes(known(routes!(targets::list)))
        .routes(known(routes!(targets::access)))
        .routes(known(routes!(commands::list)))
        .routes(known(routes!(commands::run)))
        .routes(guarded(ManagePolicy, routes!(policies::catalog)))
        .routes(guarded(ManagePolicy, routes!(policies::list)))
        .routes(guarded(ManagePolicy, routes!(policies::show)))
        .routes(guarded(ManagePolicy, routes!(policies::reload)))
        .routes(guarded(ManagePolicy, routes!(trying::explain)))
        .routes(guarded(ManagePolicy, routes!(trying::check)))
        .routes(guarded(ManagePolicy, routes!(trying::test)))
        .routes(guarded(ManagePolicy, routes!(trying::matrix)))
        .routes(guarded(ManagePolicy, routes!(trying::diff)))
        .routes(guarded(ManagePolicy, routes!(identities::list)))
        .routes(guarded(ManagePolicy, routes!(identities::clients)))
        .routes(guarded(ManageAgents, routes!(agents::list)))
        .routes(guarded(ManageAgents, routes!(agents::token)))
        .routes(guarded(ManageAgents, routes!(agents::lock)))
        .routes(guarded(ManageAgents, routes!(agents::remove)))
        .routes(guarded(ReadSessions, routes!(sessions::list)))
        .routes(guarded(ReadSessions, routes!(sessions::live)))
        .routes(guarded(ReadSessions, routes!(sessions::show)))
        .routes(guarded(ReadSessions, routes!(toolcalls::show)))
        .routes(guarded(EndSession, routes!(sessions::end)))
        .routes(guarded(Lock, routes!(locks::list)))
        .routes(guarded(Lock, routes!(locks::place)))
        .routes(guarded(Lock, routes!(locks::lift)))
        .routes(guarded(ManageServices, routes!(services::list)))
        .routes(guarded(ManageServices, routes!(services::create)))
        .routes(guarded(ManageServices, routes!(services::rotate)))
        .routes(guarded(ManageServices, routes!(services::revoke)))
        .routes(guarded(Administer, routes!(servers::show)))
        .routes(guarded(Administer, routes!(servers::accept)))
        .routes(guarded(Administer, routes!(people::list)))
        .routes(guarded(Administer, routes!(people::disable)))
        .routes(guarded(Administer, routes!(people::enable)))
        .routes(guarded(Administer, routes!(people::logins)))
        .routes(guarded(Administer, routes!(people::end)))
        .routes(guarded(ReadRecording, routes!(recordings::read)))
}

/// Endpoints by which a caller becomes known, or an issuer is heard: nobody can show a token of ours before.
fn open_endpoints() -> OpenApiRouter<Arc<Managed>> {
    OpenApiRouter::default()
        .routes(open(routes!(login::issuers)))
        .routes(open(routes!(login::make)))
        .routes(open(routes!(login::back_channel)))
}

/// What whoever watches over the gateway asks, without a token: it says nothing about anybody.
fn watched() -> OpenApiRouter<Arc<Managed>> {
    OpenApiRouter::default()
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
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
    let (open, _) = open_endpoints().split_for_parts();
    let api = open.merge(api);
    Router::from(watched())
        .nest(BASE, api)
        .fallback(nowhere)
        .method_not_allowed_fallback(no_such_method)
        .with_state(managed)
}
