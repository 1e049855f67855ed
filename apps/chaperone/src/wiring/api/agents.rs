//! Agents: who they are, their one-time tokens, and the lock that cuts one off.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chaperone_access::AgentName;
use chaperone_api::{AgentView, LockRequest, Page, RemoveAgent, TokenRequest, TokenView};
use chaperone_tunnel::link::{AgentRecord, Links};

use super::caller::Caller;
use super::given::{Asked, Given, Named, PageQuery, Secret};
use super::refused::{Refused, failed};
use super::{Managed, Shared};
use crate::wiring::locks::check_reason;

/// An agent without a link.
fn unlinked(record: AgentRecord) -> AgentView {
    AgentView {
        agent: record.agent,
        linked: false,
        targets: record.targets,
        streams: 0,
        generation: record.generation,
        locked: record.locked,
    }
}

/// Those that were enrolled and those that serve now.
fn agent_views(managed: &Managed) -> Result<Vec<AgentView>, Refused> {
    let enrolled = match &managed.links {
        Some(links) => links.enrolled().map_err(failed)?,
        None => Vec::new(),
    };
    let mut views: BTreeMap<AgentName, AgentView> = BTreeMap::new();
    for record in enrolled {
        views.insert(record.agent.clone(), unlinked(record));
    }
    for status in managed.dialer.agents() {
        let view = views.entry(status.agent.clone()).or_insert_with(|| AgentView {
            agent: status.agent.clone(),
            linked: true,
            targets: status.targets.clone(),
            streams: 0,
            generation: status.generation,
            locked: None,
        });
        view.linked = true;
        view.streams = status.streams;
    }
    Ok(views.into_values().collect())
}

/// Agents that were enrolled, and whether they are linked now.
#[utoipa::path(get, path = "/agents", params(PageQuery), responses((status = 200, body = Page<AgentView>)))]
pub(super) async fn list(
    State(managed): Shared,
    Asked(asked): Asked<PageQuery>,
) -> Result<Json<Page<AgentView>>, Refused> {
    Ok(Json(asked.page(agent_views(&managed)?, |view| view.agent.to_string())))
}

fn links(managed: &Managed) -> Result<&Arc<Links>, Refused> {
    managed.links.as_ref().ok_or_else(|| {
        Refused::conflict("this gateway does not listen for agents")
            .hint("set `listen` in `[agents]` of gateway.toml and start it again")
    })
}

/// Make a one-time token that enrols an agent.
#[utoipa::path(
    post, path = "/agents/tokens", request_body = TokenRequest, responses((status = 200, body = TokenView))
)]
pub(super) async fn token(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Given(request): Given<TokenRequest>,
) -> Result<Secret<TokenView>, Refused> {
    let links = links(&managed)?;
    let unknown =
        request.targets.iter().find(|target| !managed.targets.iter().any(|(name, _)| name == *target));
    if let Some(target) = unknown {
        return Err(Refused::unusable(format!("target `{target}` is not configured"))
            .hint("`chaperone targets` lists them"));
    }
    if request.targets.is_empty() || request.ttl_s == 0 {
        return Err(Refused::unusable("a token needs a target and a life")
            .hint("`chaperone agent token create --help`"));
    }
    if managed.dialer.agents().iter().any(|status| status.generation == 0 && status.agent == request.agent) {
        let message = format!("`{}` is the agent inside the gateway", request.agent);
        return Err(Refused::unusable(message).hint("choose another name"));
    }
    let life = std::time::Duration::from_secs(request.ttl_s);
    let token = links.token(request.agent, request.targets, life, caller.name()).await;
    Ok(Secret(TokenView { token: token.map_err(failed)?.text().to_string() }))
}

/// Lock an agent's identity and cut its link.
#[utoipa::path(
    post, path = "/agents/{name}/lock", params(("name" = String, Path)), request_body = LockRequest,
    responses((status = 200, body = AgentView))
)]
pub(super) async fn lock(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Named(name): Named,
    Given(request): Given<LockRequest>,
) -> Result<Json<AgentView>, Refused> {
    let agent: AgentName =
        name.parse().map_err(|error: chaperone_access::InvalidName| Refused::malformed(error.to_string()))?;
    check_reason(&request.reason)?;
    links(&managed)?.lock(&agent, &request.reason, &caller.name()).await.map_err(failed)?;
    let view = agent_views(&managed)?.into_iter().find(|view| view.agent == agent);
    view.map(Json).ok_or_else(|| failed("the agent is not there any more"))
}

/// Remove an agent: its identity and its tokens are gone, its link is cut and sessions through it end. A new token enrols
/// it afresh.
#[utoipa::path(
    delete, path = "/agents/{name}", params(("name" = String, Path)), request_body = RemoveAgent,
    responses((status = 200, body = AgentView))
)]
pub(super) async fn remove(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Named(name): Named,
    Given(request): Given<RemoveAgent>,
) -> Result<Json<AgentView>, Refused> {
    let agent: AgentName =
        name.parse().map_err(|error: chaperone_access::InvalidName| Refused::malformed(error.to_string()))?;
    check_reason(&request.reason)?;
    let removed = links(&managed)?.remove(&agent, &request.reason, &caller.name()).await.map_err(failed)?;
    let missing = || Refused::not_found("there is no such agent").hint("`chaperone agent list` lists them");
    removed.map(|record| Json(unlinked(record))).ok_or_else(missing)
}
