//! Agents: who they are, their one-time tokens, and the lock that cuts one off.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chaperone_access::AgentName;
use chaperone_api::{AgentView, LockRequest, TokenRequest, TokenView};
use chaperone_tunnel::link::Links;

use super::{Managed, Refused, Shared, failed, refused};

/// Those that were enrolled and those that serve now.
fn agent_views(managed: &Managed) -> Result<Vec<AgentView>, Refused> {
    let enrolled = match &managed.links {
        Some(links) => links.enrolled().map_err(failed)?,
        None => Vec::new(),
    };
    let mut views: BTreeMap<AgentName, AgentView> = BTreeMap::new();
    for record in enrolled {
        let view = AgentView {
            agent: record.agent.clone(),
            linked: false,
            targets: record.targets,
            streams: 0,
            generation: record.generation,
            locked: record.locked,
        };
        views.insert(record.agent, view);
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

pub(super) async fn agents(State(managed): Shared) -> Result<Json<Vec<AgentView>>, Refused> {
    Ok(Json(agent_views(&managed)?))
}

fn links(managed: &Managed) -> Result<&Arc<Links>, Refused> {
    let hint = "set `listen` in `[agents]` of gateway.toml and start it again";
    managed
        .links
        .as_ref()
        .ok_or_else(|| refused(StatusCode::CONFLICT, "this gateway does not listen for agents", Some(hint)))
}

pub(super) async fn token(
    State(managed): Shared,
    Json(request): Json<TokenRequest>,
) -> Result<Json<TokenView>, Refused> {
    let links = links(&managed)?;
    let bad = |message: String, hint: &str| refused(StatusCode::BAD_REQUEST, message, Some(hint));
    let unknown =
        request.targets.iter().find(|target| !managed.targets.iter().any(|(name, _)| name == *target));
    if let Some(target) = unknown {
        return Err(bad(format!("target `{target}` is not configured"), "`chaperone targets` lists them"));
    }
    if request.targets.is_empty() || request.ttl_s == 0 {
        return Err(bad(
            "a token needs a target and a life".to_owned(),
            "`chaperone agent token create --help`",
        ));
    }
    if managed.dialer.agents().iter().any(|status| status.generation == 0 && status.agent == request.agent) {
        let message = format!("`{}` is the agent inside the gateway", request.agent);
        return Err(bad(message, "choose another name"));
    }
    let life = std::time::Duration::from_secs(request.ttl_s);
    let token = links.token(request.agent, request.targets, life, "administrator".to_owned()).await;
    Ok(Json(TokenView { token: token.map_err(failed)?.text().to_string() }))
}

pub(super) async fn lock(
    State(managed): Shared,
    Path(name): Path<String>,
    Json(request): Json<LockRequest>,
) -> Result<Json<AgentView>, Refused> {
    let agent: AgentName = name.parse().map_err(|error: chaperone_access::InvalidName| {
        refused(StatusCode::BAD_REQUEST, error.to_string(), None)
    })?;
    links(&managed)?.lock(&agent, &request.reason).await.map_err(failed)?;
    let view = agent_views(&managed)?.into_iter().find(|view| view.agent == agent);
    view.map(Json).ok_or_else(|| failed("the agent is not there any more"))
}
