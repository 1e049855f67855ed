//! What can be reached.

use axum::extract::State;
use axum::{Extension, Json};
use chaperone_access::{Showing, TargetName};
use chaperone_api::{AccessView, Page, RelationAccess, TargetView};
use chaperone_policy::Seen;
use chaperone_trail::Digest;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::caller::Caller;
use super::given::{Asked, Named, PageQuery};
use super::refused::{Refused, failed};
use crate::wiring::installation::now_us;
use crate::wiring::policies::world;

/// Looks at whole catalogs at a time: each asks policy about every relation of one.
static LOOKS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);

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

/// As what somebody would be there.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AccessQuery {
    /// The software that would act for the caller.
    client: Option<String>,
    /// HL7 PurposeOfUse code.
    purpose: Option<String>,
}

fn of_relation(seen: Seen) -> RelationAccess {
    let words = |verbs: Vec<&'static str>| verbs.into_iter().map(str::to_owned).collect();
    let count =
        |showing: Showing| seen.columns.iter().filter(|column| column.showing == showing).count() as u64;
    RelationAccess {
        revealed: count(Showing::Revealed),
        masked: count(Showing::Masked),
        hidden: count(Showing::Hidden),
        filtered: seen.rows.as_ref().is_some_and(|rows| !rows.all),
        relation: seen.relation,
        allowed: words(seen.allowed),
        held: words(seen.held),
    }
}

/// What the caller may do at a target himself, relation by relation.
#[utoipa::path(
    get, path = "/targets/{name}/access",
    params(("name" = String, Path, description = "The target's name"), AccessQuery),
    responses((status = 200, body = AccessView))
)]
pub(super) async fn access(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Named(name): Named,
    Asked(asked): Asked<AccessQuery>,
) -> Result<Json<AccessView>, Refused> {
    // The same whether it does not exist or may not be known.
    let unknown = || Refused::not_found("there is no such target for you").hint("`GET /targets` lists yours");
    let target = TargetName::new(&name).map_err(|_| unknown())?;
    if !managed.targets.iter().any(|(known, _)| *known == target) || !caller.may_see(&target) {
        return Err(unknown());
    }
    let Some(delegation) = caller.itself() else {
        return Err(Refused::unusable("the administrator's token is nobody at a target")
            .hint("log in, or ask about somebody with `POST /policies/explain`"));
    };
    let catalog =
        managed.analysts.catalog(&target).await.map_err(|refusal| super::policies::unread(&refusal))?;
    let set = managed.policies.now();
    let (client, purpose) = (asked.client.as_deref(), asked.purpose.as_deref());
    let delegation = chaperone_policy::through(delegation, client, purpose, set.clients());
    let world = world(&managed.installation, [(target.clone(), Some(catalog))].into_iter());
    let _look = LOOKS.acquire().await.map_err(failed)?;
    let looked = tokio::task::spawn_blocking(move || {
        let found = chaperone_policy::access(&set, &delegation, &target, &world, now_us());
        AccessView {
            target,
            unrestricted: found.unrestricted,
            // Whoever may do everything is not told everything.
            relations: if found.unrestricted {
                Vec::new()
            } else {
                found.relations.into_iter().map(of_relation).collect()
            },
            others: if found.unrestricted { 0 } else { found.hidden as u64 },
        }
    });
    Ok(Json(looked.await.map_err(failed)?))
}
