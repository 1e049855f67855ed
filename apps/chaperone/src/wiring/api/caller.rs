//! Who makes a request, and what that one may ask for.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use chaperone_access::{Delegation, TargetName};
use chaperone_api::ProblemKind;
use chaperone_identity::{Holder, Lapse};
use chaperone_policy::{Allowance, ManagementAction};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt};

use super::carry::{self, Answers};
use super::given::{BodyMax, OPEN_BODY_BYTES_MAX};
use super::refused::Refused;
use super::served::Newcomer;
use super::{Managed, Shared};
use crate::wiring::installation::now_us;

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
    /// Whoever has the administrator's token.
    Administrator,
    /// Somebody who logged in, or a service.
    Holder(Arc<Holder>),
}

/// The administrator's name in the record.
const ADMINISTRATOR: &str = "local/administrator";

impl Caller {
    /// What an idempotency key is kept under: one person's two logins do not share keys.
    pub(super) fn id(&self) -> String {
        match &self.who {
            Who::Administrator => "administrator".to_owned(),
            Who::Holder(holder) => match &**holder {
                Holder::Login(login, _) => login.id.to_string(),
                Holder::Service(_, key, _) => key.to_string(),
            },
        }
    }

    /// The name in the record, `issuer/subject`.
    pub(super) fn name(&self) -> String {
        match &self.who {
            Who::Administrator => ADMINISTRATOR.to_owned(),
            Who::Holder(holder) => {
                let facts = holder.standing().facts();
                format!("{}/{}", facts.subject.issuer, facts.subject.sub)
            }
        }
    }

    /// Whose login or service key was shown; `None` for the administrator's token.
    pub(super) fn holder(&self) -> Option<&Holder> {
        match &self.who {
            Who::Administrator => None,
            Who::Holder(holder) => Some(holder),
        }
    }

    pub(super) fn answers(&self) -> &Arc<Answers> {
        &self.managed.answers
    }

    /// The chain as policy sees it: no client stands between a caller of this API and the gateway.
    fn delegation(holder: &Holder) -> Delegation {
        let facts = holder.standing().facts();
        Delegation {
            assurance: facts.assurance.clone(),
            attributes: facts.attributes.clone(),
            ..Delegation::of(facts.subject.clone(), facts.groups.clone())
        }
    }

    /// Who it is to policy; nobody for the administrator's token.
    pub(super) fn itself(&self) -> Option<Delegation> {
        self.holder().map(Self::delegation)
    }

    /// Whether policy lets it ask for this.
    pub(super) fn may(&self, action: ManagementAction) -> Result<Allowance, Refused> {
        let policies = &self.managed.policies;
        let Who::Holder(holder) = &self.who else { return Ok(policies.administrator(action)) };
        let installation = &self.managed.installation;
        policies.may(&Self::delegation(holder), action, installation, now_us()).map_err(|decided| {
            let (who, action) = (self.name(), action.as_str());
            tracing::warn!(%who, action, policies = ?decided.policies, "a request to the management API was refused");
            Refused::not_permitted()
        })
    }

    /// Whether it may know of a target: whoever manages the installation of all, everybody else of those within reach.
    pub(super) fn may_see(&self, target: &TargetName) -> bool {
        match &self.who {
            Who::Administrator => true,
            Who::Holder(holder) => {
                let delegation = Self::delegation(holder);
                let (policies, now) = (&self.managed.policies, now_us());
                let installation = &self.managed.installation;
                policies.may(&delegation, ManagementAction::Administer, installation, now).is_ok()
                    || policies.shows(&delegation, target, now)
            }
        }
    }

    /// Refuses a login that its issuer has not confirmed for too long: it can be refreshed and ended, and nothing else.
    fn is_current(&self) -> Result<(), Refused> {
        match self.holder().map(|holder| holder.standing().check(now_us() / 1_000_000)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(Lapse::Overdue)) => Err(Refused::new(
                ProblemKind::NotAuthenticated,
                "the issuer has not confirmed this login for too long",
            )
            .hint("refresh it with a fresh token of the issuer (`POST /login/refresh`), or log in again")),
            Some(Err(Lapse::Ended(_) | Lapse::Expired | Lapse::Disabled)) => {
                Err(Refused::not_authenticated())
            }
        }
    }
}

/// The token that a request shows (RFC 6750, section 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = shown.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn who(managed: &Managed, token: &str) -> Option<Who> {
    let same =
        aws_lc_rs::constant_time::verify_slices_are_equal(token.as_bytes(), managed.admin_token.as_bytes());
    if same.is_ok() {
        return Some(Who::Administrator);
    }
    let holder = managed.holders.by_token_or_overdue(token, now_us() / 1_000_000);
    holder.ok().map(|holder| Who::Holder(Arc::new(holder)))
}

/// The layer that turns a token into a [`Caller`], or refuses.
pub(super) async fn authenticated(
    State(managed): Shared,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let who = bearer(request.headers()).and_then(|token| who(&managed, token));
    let who = who.ok_or_else(Refused::not_authenticated)?;
    if let Some(newcomer) = request.extensions().get::<Newcomer>() {
        newcomer.proved();
    }
    request.extensions_mut().insert(Caller { who, managed });
    Ok(next.run(request).await)
}

type Routes = UtoipaMethodRouter<Arc<Managed>>;

/// Routes for everybody.
pub(super) fn open(routes: Routes) -> Routes {
    let within = |mut request: Request, next: Next| async move {
        request.extensions_mut().insert(BodyMax(OPEN_BODY_BYTES_MAX));
        carry::to_its_end(request, next).await
    };
    routes.map(|router| router.route_layer(from_fn(within)))
}

/// Routes for every caller whose token was believed once, overdue logins among them.
pub(super) fn even_overdue(mut routes: Routes) -> Routes {
    describe(&mut routes, |operation| {
        operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, [])]);
    });
    routes.map(|router| router.route_layer(from_fn(carry::through)))
}

/// Routes for every caller who is authenticated: what they do concerns the caller alone, or asks policy itself.
pub(super) fn known(routes: Routes) -> Routes {
    let guard = |request: Request, next: Next| async move {
        caller(&request)?.is_current()?;
        Ok::<_, Refused>(next.run(request).await)
    };
    even_overdue(routes).map(|router| router.route_layer(from_fn(guard)))
}

/// Routes for callers whom policy permits an action on this installation.
pub(super) fn guarded(action: ManagementAction, routes: Routes) -> Routes {
    let mut routes = known(routes);
    describe(&mut routes, |operation| {
        let named = Extensions::builder().add(ACTION, action.as_str()).build();
        operation.extensions.get_or_insert_default().merge(named);
    });
    let guard = move |mut request: Request, next: Next| async move {
        let _allowance = caller(&request)?.may(action)?;
        request.extensions_mut().insert(carry::Manages);
        Ok::<_, Refused>(next.run(request).await)
    };
    routes.map(|router| router.route_layer(from_fn(guard)))
}

fn caller(request: &Request) -> Result<&Caller, Refused> {
    request.extensions().get::<Caller>().ok_or_else(Refused::not_authenticated)
}

fn describe(routes: &mut Routes, change: impl Fn(&mut Operation)) {
    for item in routes.1.paths.values_mut() {
        let PathItem { get, post, delete, .. } = item;
        for operation in [get, post, delete].into_iter().flatten() {
            change(operation);
        }
    }
}
