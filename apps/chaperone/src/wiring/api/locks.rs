//! Locks in force, placing and lifting.

use axum::extract::State;
use axum::{Extension, Json};
use chaperone_access::TargetName;
use chaperone_api::{LockKind, LockView, Page, PlaceLock, ProblemKind};
use chaperone_policy::{Lock, LockOn};

use super::Shared;
use super::caller::Caller;
use super::given::{Asked, Given, Named, PageQuery};
use super::refused::{Refused, failed};
use crate::wiring::locks::LockFailure;

impl From<LockFailure> for Refused {
    fn from(failure: LockFailure) -> Self {
        match failure {
            LockFailure::Unusable(why) => Self::unusable(why),
            LockFailure::Full(why) => Self::new(ProblemKind::Conflict, why.to_string()),
            LockFailure::Unrecorded(refusal) => refusal.into(),
            unkept @ LockFailure::Unkept(_) => failed(unkept),
        }
    }
}

fn view(lock: Lock) -> LockView {
    let (on, name) = match lock.on {
        LockOn::Subject(name) => (LockKind::Subject, name),
        LockOn::Target(target) => (LockKind::Target, target.to_string()),
        LockOn::Client(name) => (LockKind::Client, name),
    };
    LockView { lock: lock.id, on, name, reason: lock.reason, by: lock.by, at: lock.at }
}

/// Locks in force, oldest first.
#[utoipa::path(get, path = "/locks", params(PageQuery), responses((status = 200, body = Page<LockView>)))]
pub(super) async fn list(State(managed): Shared, Asked(asked): Asked<PageQuery>) -> Json<Page<LockView>> {
    let views = managed.locks.list().into_iter().map(view);
    Json(asked.page(views, |view| format!("{:020}.{}", view.at, view.lock)))
}

/// Lock a subject, a target or a client: nothing new is let in, and what is open ends within a second.
#[utoipa::path(post, path = "/locks", request_body = PlaceLock, responses((status = 200, body = LockView)))]
pub(super) async fn place(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Given(request): Given<PlaceLock>,
) -> Result<Json<LockView>, Refused> {
    let on = match request.on {
        LockKind::Subject => LockOn::Subject(request.name),
        LockKind::Client => LockOn::Client(request.name),
        LockKind::Target => {
            let target =
                TargetName::new(&request.name).map_err(|error| Refused::malformed(error.to_string()))?;
            if !managed.targets.iter().any(|(name, _)| *name == target) {
                return Err(Refused::unusable(format!("target `{target}` is not configured"))
                    .hint("`chaperone targets` lists them"));
            }
            LockOn::Target(target)
        }
    };
    let lock = managed.locks.place(on, &request.reason, &caller.name()).await?;
    Ok(Json(view(lock)))
}

/// Lift a lock.
#[utoipa::path(
    delete, path = "/locks/{id}", params(("id" = String, Path)), responses((status = 200, body = LockView))
)]
pub(super) async fn lift(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<Json<LockView>, Refused> {
    let lifted = managed.locks.lift(&id, &caller.name()).await?;
    let missing = || Refused::not_found("there is no such lock").hint("`chaperone lock list` lists them");
    lifted.map(|lock| Json(view(lock))).ok_or_else(missing)
}
