//! What can be reached.

use axum::extract::State;
use axum::{Extension, Json};
use chaperone_api::{Page, TargetView};
use chaperone_trail::Digest;

use super::Shared;
use super::caller::Caller;
use super::given::{Asked, PageQuery};

/// Targets that the caller may know of, and the agents that serve them.
#[utoipa::path(get, path = "/targets", params(PageQuery), responses((status = 200, body = Page<TargetView>)))]
pub(super) async fn list(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<PageQuery>,
) -> Json<Page<TargetView>> {
    let catalogs = managed.analysts.catalogs();
    let agents = managed.dialer.agents();
    let seen = managed.targets.iter().filter(|(name, _)| caller.may_see(name));
    let views = seen.map(|(name, protocol)| TargetView {
        name: name.clone(),
        protocol: (*protocol).to_owned(),
        agents: agents
            .iter()
            .filter(|agent| agent.targets.contains(name))
            .map(|agent| agent.agent.to_string())
            .collect(),
        catalog: catalogs.get(name).map(|(digest, _)| Digest(*digest).to_string()),
        relations: catalogs.get(name).map(|(_, relations)| *relations as u64),
    });
    Json(asked.page(views, |view| view.name.to_string()))
}
