//! Who makes a request, and what that one may ask for.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt};

use super::carry::{self, Answers};
use super::refused::Refused;
use super::{Managed, Shared};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ManagementAction {
    ManageAgents,
    ReadRecording,
    ReadSessions,
}
impl ManagementAction {
    fn as_str(self) -> &'static str {
        match self {
            Self::ManageAgents => "manageAgents",
            Self::ReadRecording => "readRecording",
            Self::ReadSessions => "readSessions",
        }
    }
}

/// How the OpenAPI document names the scheme.
pub(super) const SCHEME: &str = "bearer";
/// Where the OpenAPI document names the action that an operation needs.
pub(super) const ACTION: &str = "x-chaperone-action";

/// Whoever makes a request. Only [`authenticated`] makes one.
#[derive(Clone)]
pub(super) struct Caller {
    who: Who,
    managed: Arc<Managed>,
}

#[derive(Clone)]
enum Who {
    /// The holder of the administrator's token.
    Administrator,
}

/// The administrator's name in the record.
const ADMINISTRATOR: &str = "local/administrator";

impl Caller {
    /// What an idempotency key is kept under.
    pub(super) fn id(&self) -> String {
        match &self.who {
            Who::Administrator => "administrator".to_owned(),
        }
    }

    /// The name in the record.
    pub(super) fn name(&self) -> String {
        match &self.who {
            Who::Administrator => ADMINISTRATOR.to_owned(),
        }
    }

    pub(super) fn answers(&self) -> &Arc<Answers> {
        &self.managed.answers
    }

    /// Whether policy lets it ask for this.
    pub(super) fn may(&self, action: ManagementAction) -> Result<(), Refused> {
        match &self.who {
            Who::Administrator => Ok(()),
        }
    }
}

/// The token that a request shows (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = shown.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn who(managed: &Managed, token: &str) -> Option<Who> {
    let same =
        aws_lc_rs::constant_time::verify_slices_are_equal(token.as_bytes(), managed.admin_token.as_bytes());
    same.is_ok().then_some(Who::Administrator)
}

/// The layer that turns a token into a [`Caller`], or refuses.
pub(super) async fn authenticated(
    State(managed): Shared,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let who = bearer(request.headers()).and_then(|token| who(&managed, token));
    let who = who.ok_or_else(Refused::not_authenticated)?;
    request.extensions_mut().insert(Caller { who, managed });
    Ok(next.run(request).await)
}

type Routes = UtoipaMethodRouter<Arc<Managed>>;

/// Routes for every caller who is authenticated: what they do concerns the caller alone, or asks policy itself.
pub(super) fn known(mut routes: Routes) -> Routes {
    describe(&mut routes, |operation| {
        operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, [])]);
    });
    routes.map(|router| router.route_layer(from_fn(carry::through)))
}

/// Routes for callers whom policy permits an action on this installation.
pub(super) fn guarded(action: ManagementAction, routes: Routes) -> Routes {
    let mut routes = known(routes);
    describe(&mut routes, |operation| {
        let named = Extensions::builder().add(ACTION, action.as_str()).build();
        operation.extensions.get_or_insert_default().merge(named);
    });
    let guard = move |request: Request, next: Next| async move {
        let caller = request.extensions().get::<Caller>().ok_or_else(Refused::not_authenticated)?;
        caller.may(action)?;
        Ok::<_, Refused>(next.run(request).await)
    };
    routes.map(|router| router.route_layer(from_fn(guard)))
}

fn describe(routes: &mut Routes, change: impl Fn(&mut Operation)) {
    for item in routes.1.paths.values_mut() {
        let PathItem { get, post, delete, .. } = item;
        for operation in [get, post, delete].into_iter().flatten() {
            change(operation);
        }
    }
}
