//! What can be reached.

use axum::Json;
use axum::extract::State;
use chaperone_api::TargetView;
use chaperone_trail::Digest;

use super::Shared;

pub(super) async fn targets(State(managed): Shared) -> Json<Vec<TargetView>> {
    let catalogs = managed.analysts.catalogs();
    let agents = managed.dialer.agents();
    let views = managed.targets.iter().map(|(name, protocol)| TargetView {
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
    Json(views.collect())
}
