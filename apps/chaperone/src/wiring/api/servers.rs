//! Servers of others: what waits of their tools, and taking it.

use axum::extract::State;
use axum::{Extension, Json};
use chaperone_access::TargetName;
use chaperone_api::{AcceptTool, ServerToolView, ServerView};

use super::caller::Caller;
use super::given::{Given, Named};
use super::refused::Refused;
use super::{Managed, Shared};
use crate::wiring::gateway::MCP;
use crate::wiring::manifests::{NotAccepted, OfServer};

fn named(managed: &Managed, name: &str) -> Result<TargetName, Refused> {
    let server = TargetName::new(name).ok();
    let server =
        server.filter(|name| managed.targets.iter().any(|(known, word)| known == name && *word == MCP));
    server.ok_or_else(|| Refused::not_found("there is no such server").hint("`chaperone targets` lists them"))
}

fn view(managed: &Managed, server: TargetName, known: OfServer) -> ServerView {
    let set = managed.policies.now();
    let registered = set.clients().server(server.as_str());
    let recipient = registered.and_then(|registered| registered.recipient.clone());
    let OfServer { accepted, held } = known;
    let mut names: Vec<&String> = accepted.keys().chain(held.keys()).collect();
    names.sort();
    names.dedup();
    let tools = names.into_iter().map(|name| ServerToolView {
        tool: name.clone(),
        accepted: accepted.get(name).cloned(),
        held: held.get(name).map(|held| hex::encode(held.digest)),
        manifest: held.get(name).map(|held| held.manifest.clone()),
    });
    ServerView {
        owner: registered.map(|registered| registered.owner.clone()),
        recipient: recipient.as_ref().map(|recipient| recipient.name.clone()),
        agreement: recipient.and_then(|recipient| recipient.agreement),
        tools: tools.collect(),
        server,
    }
}

/// The tools of a server: what was accepted, and what waits since somebody's run described them otherwise.
#[utoipa::path(
    get, path = "/servers/{name}", params(("name" = String, Path)), responses((status = 200, body = ServerView))
)]
pub(super) async fn show(State(managed): Shared, Named(name): Named) -> Result<Json<ServerView>, Refused> {
    let server = named(&managed, &name)?;
    let known = managed.manifests.of(&server)?.unwrap_or_default();
    Ok(Json(view(&managed, server, known)))
}

/// Accept a tool's manifest that waits.
#[utoipa::path(
    post, path = "/servers/{name}/accept", params(("name" = String, Path)), request_body = AcceptTool,
    responses((status = 200, body = ServerView))
)]
pub(super) async fn accept(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Named(name): Named,
    Given(request): Given<AcceptTool>,
) -> Result<Json<ServerView>, Refused> {
    let server = named(&managed, &name)?;
    match managed.manifests.accept(&server, &request.tool, &request.digest, &caller.name()).await {
        Ok(known) => Ok(Json(view(&managed, server, known))),
        Err(NotAccepted::Unknown) => Err(Refused::conflict("no such manifest waits to be accepted")
            .hint("`chaperone server show NAME` says what waits; it may have changed again")),
        Err(NotAccepted::Refused(refusal)) => Err(refusal.into()),
    }
}
