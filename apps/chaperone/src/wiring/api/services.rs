//! Services: made, rotated, revoked. Each change is recorded by the part that makes it.

use axum::extract::State;
use axum::{Extension, Json};
use chaperone_access::{Subject, SubjectKind};
use chaperone_api::{
    CreateService, KeyView, Page, RevokeService, RotateService, ServiceKeyView, ServiceView,
};
use chaperone_identity::Service;
use zeroize::Zeroizing;

use super::Shared;
use super::caller::Caller;
use super::given::{Asked, Given, Named, PageQuery, Secret};
use super::refused::Refused;

/// A person by the text that policies name it by.
pub(super) fn person(text: &str) -> Result<Subject, Refused> {
    match text.split_once('/') {
        Some((issuer, sub)) if !issuer.is_empty() && !sub.is_empty() => {
            Ok(Subject { issuer: issuer.to_owned(), kind: SubjectKind::Person, sub: sub.to_owned() })
        }
        Some(_) | None => {
            Err(Refused::unusable(format!("`{text}` is nobody (hint: `issuer/subject`, as in policies)")))
        }
    }
}

pub(super) fn text(subject: &Subject) -> String {
    format!("{}/{}", subject.issuer, subject.sub)
}

fn view(service: Service) -> ServiceView {
    let key = |key: &chaperone_identity::ServiceKey| KeyView {
        key: key.id.to_string(),
        made_at: key.made_at,
        not_after: key.not_after,
    };
    ServiceView {
        owner: text(&service.owner),
        keys: service.keys.iter().map(key).collect(),
        groups: service.groups,
        made_at: service.made_at,
        revoked: service.revoked.map(|ending| ending.cause.as_str().to_owned()),
        name: service.name,
    }
}

/// Services, revoked ones among them: their names stay taken.
#[utoipa::path(get, path = "/services", params(PageQuery), responses((status = 200, body = Page<ServiceView>)))]
pub(super) async fn list(State(managed): Shared, Asked(asked): Asked<PageQuery>) -> Json<Page<ServiceView>> {
    let found = managed.holders.services.list(asked.after.as_deref(), asked.limit() + 1);
    Json(asked.cut(found.into_iter().map(view).collect(), |view: &ServiceView| view.name.clone()))
}

fn shown((service, key): (Service, Zeroizing<String>)) -> Secret<ServiceKeyView> {
    Secret(ServiceKeyView { service: view(service), key: key.to_string() })
}

/// Make a service. The answer holds its first key, shown this once.
#[utoipa::path(
    post, path = "/services", request_body = CreateService, responses((status = 200, body = ServiceKeyView))
)]
pub(super) async fn create(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Given(request): Given<CreateService>,
) -> Result<Secret<ServiceKeyView>, Refused> {
    let CreateService { name, owner, groups, ttl_s } = request;
    let made =
        managed.identities.create_service(&name, person(&owner)?, groups, ttl_s, &caller.name()).await?;
    Ok(shown(made))
}

/// Make another key of a service; the older ones go on for a while.
#[utoipa::path(
    post, path = "/services/{name}/rotate", params(("name" = String, Path)), request_body = RotateService,
    responses((status = 200, body = ServiceKeyView))
)]
pub(super) async fn rotate(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Named(name): Named,
    Given(request): Given<RotateService>,
) -> Result<Secret<ServiceKeyView>, Refused> {
    let RotateService { ttl_s, overlap_s } = request;
    Ok(shown(managed.identities.rotate_service(&name, ttl_s, overlap_s, &caller.name()).await?))
}

/// End a service and all its keys. Its open sessions end.
#[utoipa::path(
    delete, path = "/services/{name}", params(("name" = String, Path)), request_body = RevokeService,
    responses((status = 200, body = ServiceView))
)]
pub(super) async fn revoke(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Named(name): Named,
    Given(request): Given<RevokeService>,
) -> Result<Json<ServiceView>, Refused> {
    let revoked = managed.identities.revoke_service(&name, &request.reason, &caller.name()).await?;
    Ok(Json(view(revoked)))
}
