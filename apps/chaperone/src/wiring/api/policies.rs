//! Sets of policies: listed, shown, loaded again.

use std::time::UNIX_EPOCH;

use axum::extract::State;
use axum::{Extension, Json};
use chaperone_access::{Refusal, RefusalCode, Rows, TargetName};
use chaperone_api::{CatalogView, Page, PolicySetView, PolicyTextView, ProblemKind, ReloadView};

use super::Shared;
use super::caller::Caller;
use super::given::{Asked, Named, PageQuery};
use super::refused::{Refused, failed};
use crate::wiring::policies::NotReloaded;

/// Sets of policies that are or were in force.
#[utoipa::path(get, path = "/policies", params(PageQuery), responses((status = 200, body = Page<PolicySetView>)))]
pub(super) async fn list(
    State(managed): Shared,
    Asked(asked): Asked<PageQuery>,
) -> Result<Json<Page<PolicySetView>>, Refused> {
    let (archive, now) = (managed.keeper.archive().clone(), managed.policies.now().digest_text());
    let kept = tokio::task::spawn_blocking(move || archive.list()).await.map_err(failed)?.map_err(failed)?;
    let views = kept.into_iter().map(|kept| PolicySetView {
        in_force: kept.digest == now,
        digest: kept.digest,
        kept_at: kept
            .since
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX)),
    });
    Ok(Json(asked.page(views, |view| view.digest.clone())))
}

/// One set with its text.
#[utoipa::path(
    get, path = "/policies/{digest}", params(("digest" = String, Path, description = "SHA-256, in hexadecimal")),
    responses((status = 200, body = PolicyTextView))
)]
pub(super) async fn show(
    State(managed): Shared,
    Named(digest): Named,
) -> Result<Json<PolicyTextView>, Refused> {
    let (archive, wanted) = (managed.keeper.archive().clone(), digest.clone());
    let kept = tokio::task::spawn_blocking(move || archive.get(&wanted)).await.map_err(failed)?;
    let files = kept.map_err(failed)?.ok_or_else(|| {
        Refused::not_found("no set of policies of that digest is kept").hint("`GET /policies` lists them")
    })?;
    Ok(Json(PolicyTextView { digest, files: files.into_iter().collect() }))
}

/// Read the policy folder again. A set with an error changes nothing.
#[utoipa::path(post, path = "/policies/reload", responses((status = 200, body = ReloadView)))]
pub(super) async fn reload(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ReloadView>, Refused> {
    // Apart from the request: a caller who leaves does not stop it halfway.
    let (keeper, by) = (managed.keeper.clone(), caller.name());
    let loaded = tokio::spawn(async move { keeper.reload(&by).await }).await.map_err(failed)?;
    match loaded {
        Ok(loaded) => Ok(Json(ReloadView {
            digest: loaded.digest,
            previous: loaded.previous,
            policies: loaded.count as u64,
            warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
        })),
        Err(NotReloaded::Unusable(lines)) => Err(Refused::unusable(lines.join("\n")).hint(
            "the policies before stay in force; `chaperone policy check` finds the same on your machine",
        )),
        Err(NotReloaded::Unkept(error)) => Err(failed(error)),
        Err(NotReloaded::Unrecorded(refusal)) => Err(refusal.into()),
    }
}

/// What names mean at a target, for `chaperone policy` on another machine.
#[utoipa::path(
    get, path = "/targets/{name}/catalog", params(("name" = String, Path, description = "The target's name")),
    responses((status = 200, body = CatalogView))
)]
pub(super) async fn catalog(
    State(managed): Shared,
    Named(name): Named,
) -> Result<Json<CatalogView>, Refused> {
    let target = TargetName::new(&name).map_err(|error| Refused::malformed(error.to_string()))?;
    let results = managed.analysts.export(&target).await.map_err(|refusal| unread(&refusal))?;
    let classified = managed.analysts.classified(&target);
    let classification = classified.map(|classified| classified.text.clone());
    let attributes = managed.keeper.attributes().clone();
    let results = results.iter().map(Rows::to_cells).collect();
    Ok(Json(CatalogView { target, results, classification, attributes }))
}

/// A target whose catalog cannot be read.
pub(super) fn unread(refusal: &Refusal) -> Refused {
    let missing = refusal.code == RefusalCode::UndefinedTarget;
    let kind = if missing { ProblemKind::NotFound } else { ProblemKind::Conflict };
    let refused = Refused::new(kind, refusal.message.clone());
    match &refusal.hint {
        Some(hint) => refused.hint(hint.clone()),
        None => refused,
    }
}
