//! People and their logins, for administrators.

use axum::extract::State;
use axum::{Extension, Json};
use chaperone_access::{Subject, SubjectKind};
use chaperone_api::{DisableSubject, DisabledView, EnableSubject, LoginEntryView, Page, PersonView};
use chaperone_identity::{EndCause, Login, LoginId, Person, Standing};

use super::caller::Caller;
use super::given::{Asked, Given, Named, PageQuery};
use super::refused::Refused;
use super::services::{person, text};
use super::{Managed, Shared, whoami};
use crate::wiring::installation::now_us;

fn kind(subject: &Subject) -> &'static str {
    match subject.kind {
        SubjectKind::Person => "person",
        SubjectKind::Service => "service",
    }
}

fn person_view(known: Person) -> PersonView {
    let disabled = known.disabled.map(|disabling| DisabledView {
        reason: disabling.reason,
        by: disabling.by,
        at: disabling.at,
    });
    PersonView {
        subject: text(&known.subject),
        kind: kind(&known.subject).to_owned(),
        display: known.display,
        seen_at: known.seen_at,
        disabled,
    }
}

/// The place of somebody in the list.
fn place(view: &PersonView) -> String {
    format!("{}:{}", view.kind, view.subject)
}

pub(super) fn placed(place: &str) -> Result<Subject, Refused> {
    let (kind, subject) = place.split_once(':').ok_or_else(|| Refused::malformed("`after` is no place"))?;
    let kind = match kind {
        "service" => SubjectKind::Service,
        _ => SubjectKind::Person,
    };
    Ok(Subject { kind, ..person(subject)? })
}

/// Everybody who has logged in here.
#[utoipa::path(get, path = "/people", params(PageQuery), responses((status = 200, body = Page<PersonView>)))]
pub(super) async fn list(
    State(managed): Shared,
    Asked(asked): Asked<PageQuery>,
) -> Result<Json<Page<PersonView>>, Refused> {
    let after = asked.after.as_deref().map(placed).transpose()?;
    let found = managed.identities.people().list(after.as_ref(), asked.limit() + 1);
    Ok(Json(asked.cut(found.into_iter().map(person_view).collect(), place)))
}

/// The subject that a text names: what its issuer vouches for. Of an issuer that is not configured any more, a person,
/// unless only a workload of that name was met.
fn known(managed: &Managed, text: &str) -> Result<Subject, Refused> {
    let subject = person(text)?;
    if let Some(kind) = managed.identities.kind_of(&subject.issuer) {
        return Ok(Subject { kind, ..subject });
    }
    let workload = Subject { kind: SubjectKind::Service, ..subject.clone() };
    let people = managed.identities.people();
    let is_workload = people.get(&subject).is_none() && people.get(&workload).is_some();
    Ok(if is_workload { workload } else { subject })
}

fn changed(managed: &Managed, subject: &Subject) -> Result<Json<PersonView>, Refused> {
    let known = managed.identities.people().get(subject);
    known.map(person_view).map(Json).ok_or_else(|| Refused::not_found("there is nobody of that name"))
}

/// Disable somebody: logins end, credentials are void, services that the person owns stand still.
#[utoipa::path(
    post, path = "/people/disable", request_body = DisableSubject, responses((status = 200, body = PersonView))
)]
pub(super) async fn disable(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Given(request): Given<DisableSubject>,
) -> Result<Json<PersonView>, Refused> {
    let subject = known(&managed, &request.subject)?;
    managed.identities.disable(&subject, &request.reason, &caller.name()).await?;
    changed(&managed, &subject)
}

/// Let somebody in again; logging in comes first.
#[utoipa::path(
    post, path = "/people/enable", request_body = EnableSubject, responses((status = 200, body = PersonView))
)]
pub(super) async fn enable(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Given(request): Given<EnableSubject>,
) -> Result<Json<PersonView>, Refused> {
    let subject = known(&managed, &request.subject)?;
    managed.identities.enable(&subject, &caller.name()).await?;
    changed(&managed, &subject)
}

fn login_view(login: Login, standing: &Standing) -> LoginEntryView {
    let state = standing.check(now_us() / 1_000_000);
    LoginEntryView {
        login: login.id.to_string(),
        subject: text(&login.facts.subject),
        assurance: whoami::assurance(&login.facts),
        display: login.facts.display,
        groups: login.facts.groups,
        client: login.facts.oauth_client,
        made_at: login.made_at,
        checked_at: login.checked_at,
        not_after: login.not_after,
        state: state.map_or_else(|lapse| lapse.as_str().to_owned(), |()| "current".to_owned()),
    }
}

fn login_id(text: &str) -> Result<LoginId, Refused> {
    text.parse().map_err(|error: chaperone_identity::InvalidId| Refused::malformed(error.to_string()))
}

/// Logins, until a day after their ends.
#[utoipa::path(get, path = "/logins", params(PageQuery), responses((status = 200, body = Page<LoginEntryView>)))]
pub(super) async fn logins(
    State(managed): Shared,
    Asked(asked): Asked<PageQuery>,
) -> Result<Json<Page<LoginEntryView>>, Refused> {
    let after = asked.after.as_deref().map(login_id).transpose()?;
    let logins = &managed.holders.logins;
    let found = logins.list(after, asked.limit() + 1).into_iter().filter_map(|login| logins.get(login.id));
    let views = found.map(|(login, standing)| login_view(login, &standing)).collect();
    Ok(Json(asked.cut(views, |view: &LoginEntryView| view.login.clone())))
}

/// End somebody's login. Its credentials are void and its sessions end.
#[utoipa::path(
    delete, path = "/logins/{id}", params(("id" = String, Path)), responses((status = 200, body = LoginEntryView))
)]
pub(super) async fn end(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<Json<LoginEntryView>, Refused> {
    let id = login_id(&id)?;
    let missing =
        || Refused::not_found("there is no such login").hint("`chaperone people logins` lists them");
    let (_, standing) = managed.holders.logins.get(id).ok_or_else(missing)?;
    let ended = managed.identities.end(id, EndCause::Administrator, Some(&caller.name())).await?;
    Ok(Json(login_view(ended, &standing)))
}
