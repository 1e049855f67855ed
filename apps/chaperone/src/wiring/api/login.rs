//! Logging in and out: an issuer's tokens in, a bearer token of ours out.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use chaperone_access::Source;
use chaperone_api::{IssuerView, LoginRequest, LoginView, Page, ProblemKind, WhoView};
use chaperone_identity::{EndCause, Holder, Login, LoginError, LoginId, PersonError, ServiceError};
use oauth2::url::form_urlencoded;

use super::Shared;
use super::caller::Caller;
use super::given::{Asked, Given, Named, PageQuery, Secret, body};
use super::refused::{Refused, failed};
use super::served::Peer;
use super::whoami;
use crate::config::issuers::IssuerSection;
use crate::wiring::identity::{IdentityRefused, Tokens};

/// The field of a back-channel logout (OpenID Connect Back-Channel Logout 1.0, section 2.5).
const LOGOUT_TOKEN: &str = "logout_token";

impl From<IdentityRefused> for Refused {
    fn from(refused: IdentityRefused) -> Self {
        match refused {
            IdentityRefused::NotBelieved => Self::not_authenticated(),
            IdentityRefused::Throttled => {
                Self::new(ProblemKind::TooMany, refused.to_string()).hint("wait a minute")
            }
            IdentityRefused::Login(error) => login_refused(error),
            IdentityRefused::Service(error) => service_refused(error),
            IdentityRefused::Person(error) => person_refused(error),
            IdentityRefused::Reason => Self::unusable(refused.to_string()),
            IdentityRefused::Unrecorded(refusal) => refusal.into(),
            IdentityRefused::Fault(why) => failed(why),
        }
    }
}

/// Whoever reads this has shown a good token, so that it may say what is wrong.
fn login_refused(error: LoginError) -> Refused {
    match error {
        LoginError::Disabled(_)
        | LoginError::Stale
        | LoginError::OtherSubject
        | LoginError::Over(_)
        | LoginError::Issuer(_)
        | LoginError::Unknown => Refused::new(ProblemKind::NotAuthenticated, error.to_string()),
        LoginError::TooMany(_) | LoginError::Full => Refused::new(ProblemKind::TooMany, error.to_string()),
        LoginError::Raced => Refused::conflict(error.to_string()),
        LoginError::Person(error) => person_refused(error),
        LoginError::Random | LoginError::Storage(_) => failed(error),
    }
}

fn service_refused(error: ServiceError) -> Refused {
    match error {
        ServiceError::Unknown(_) => Refused::not_found(error.to_string()),
        ServiceError::Exists(_) | ServiceError::Raced => Refused::conflict(error.to_string()),
        ServiceError::Name(_) | ServiceError::Owner(_) | ServiceError::Life | ServiceError::Full => {
            Refused::unusable(error.to_string())
        }
        ServiceError::Random | ServiceError::Storage(_) => failed(error),
    }
}

fn person_refused(error: PersonError) -> Refused {
    match error {
        PersonError::Unknown(_) => Refused::not_found(error.to_string()),
        PersonError::Already(..) => Refused::conflict(error.to_string()),
        PersonError::Full => Refused::unusable(error.to_string()),
        PersonError::Storage(_) => failed(error),
    }
}

fn view(alias: &str, section: &IssuerSection) -> IssuerView {
    IssuerView {
        name: alias.to_owned(),
        url: section.url.clone(),
        client_id: section.client_id.clone().unwrap_or_default(),
        scopes: section.scopes.clone(),
        acr: section.acr.clone(),
    }
}

/// The issuers that people log in with, and what a command line needs to begin there.
#[utoipa::path(get, path = "/issuers", params(PageQuery), responses((status = 200, body = Page<IssuerView>)))]
pub(super) async fn issuers(
    State(managed): Shared,
    Asked(asked): Asked<PageQuery>,
) -> Json<Page<IssuerView>> {
    let issuers = managed.identities.people_issuers();
    let mut views: Vec<IssuerView> =
        issuers.iter().map(|(alias, issuer)| view(alias, &issuer.section)).collect();
    views.sort_by(|one, other| one.name.cmp(&other.name));
    Json(asked.page(views, |view| view.name.clone()))
}

fn source(peer: Peer) -> Source {
    Source::Ip(peer.0.ip().to_canonical())
}

/// Log in with tokens of an issuer. The answer's token is shown this once.
#[utoipa::path(
    post, path = "/login", request_body = LoginRequest, responses((status = 200, body = LoginView))
)]
pub(super) async fn make(
    State(managed): Shared,
    Extension(peer): Extension<Peer>,
    Given(request): Given<LoginRequest>,
) -> Result<Secret<LoginView>, Refused> {
    let alias = request.issuer.as_deref().ok_or_else(|| {
        Refused::unusable("`issuer` is missing: whose tokens these are").hint("`GET /issuers` lists them")
    })?;
    let tokens = Tokens { id: request.id_token.as_deref(), access: request.access_token.as_deref() };
    let (login, token) = managed.identities.log_in(source(peer), alias, tokens).await?;
    Ok(Secret(LoginView {
        login: login.id.to_string(),
        token: token.to_string(),
        subject: format!("{}/{}", login.facts.subject.issuer, login.facts.subject.sub),
        display: login.facts.display.clone(),
        groups: login.facts.groups.clone(),
        assurance: whoami::assurance(&login.facts),
        not_after: login.not_after,
        recheck_s: managed.identities.recheck_s(&login),
    }))
}

/// The login that a caller showed; services and the administrator have none.
fn login_of(caller: &Caller) -> Result<LoginId, Refused> {
    match caller.holder() {
        Some(Holder::Login(Login { id, .. }, _)) => Ok(*id),
        Some(Holder::Service(..)) | None => {
            Err(Refused::unusable("this token is no login's").hint("service keys are rotated and revoked"))
        }
    }
}

/// Confirm the caller's login with fresh tokens of its issuer. What they say is in force at once.
#[utoipa::path(
    post, path = "/login/refresh", request_body = LoginRequest, responses((status = 200, body = WhoView))
)]
pub(super) async fn refresh(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Extension(peer): Extension<Peer>,
    Given(request): Given<LoginRequest>,
) -> Result<Json<WhoView>, Refused> {
    let id = login_of(&caller)?;
    if request.issuer.is_some() {
        return Err(Refused::unusable("a login keeps its issuer").hint("leave `issuer` out"));
    }
    let tokens = Tokens { id: request.id_token.as_deref(), access: request.access_token.as_deref() };
    let login = managed.identities.refresh(source(peer), id, tokens).await?;
    let (_, standing) = managed.holders.logins.get(login.id).ok_or_else(Refused::not_authenticated)?;
    Ok(Json(whoami::view(&Holder::Login(login, standing))))
}

/// End the caller's login. Its credentials are void and its sessions end.
#[utoipa::path(delete, path = "/login", responses((status = 204)))]
pub(super) async fn end(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
) -> Result<StatusCode, Refused> {
    let _login = managed.identities.end(login_of(&caller)?, EndCause::Logout, Some(&caller.name())).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What an issuer tells of its own accord: somebody logged out there (OpenID Connect Back-Channel Logout 1.0). The
/// logout token proves itself.
#[utoipa::path(
    post, path = "/backchannel-logout/{issuer}", params(("issuer" = String, Path, description = "Its short name.")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "`logout_token`"),
    responses((status = 200))
)]
pub(super) async fn back_channel(
    State(managed): Shared,
    Extension(peer): Extension<Peer>,
    Named(alias): Named,
    request: Request,
) -> Result<Response, Refused> {
    let bytes = body(request).await?;
    let token = form_urlencoded::parse(&bytes).find(|(name, _)| name == LOGOUT_TOKEN).map(|(_, token)| token);
    let token = token.ok_or_else(|| Refused::malformed("the form has no `logout_token`"))?;
    let ended = match managed.identities.back_channel(source(peer), &alias, &token).await {
        Ok(ended) => ended,
        // Section 2.8: a token that proves nothing is a bad request; there is nobody to authenticate.
        Err(IdentityRefused::NotBelieved) => {
            return Err(Refused::malformed("the logout token is not valid"));
        }
        Err(error) => return Err(error.into()),
    };
    tracing::info!(issuer = %alias, logins = ended, "an issuer ended logins");
    let mut response = StatusCode::OK.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_is_the_same_source_in_the_form_of_an_ipv6_one() {
        let of = |text: &str| source(Peer(text.parse().unwrap()));
        assert_eq!(of("[::ffff:192.0.2.1]:5"), of("192.0.2.1:6"));
        assert_ne!(of("[::ffff:192.0.2.1]:5"), of("[::ffff:192.0.2.2]:5"));
    }
}
