//! Those whom the gateway knows, and the clients that may act for them: what whoever writes policies needs to see.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use chaperone_access::{Assurance, AttributeKind, Recipient, SERVER_ISSUER, Subject, SubjectKind};
use chaperone_api::{ClientView, IdentityView, Page};
use chaperone_identity::{Client, Exchange, Facts, LOCAL_ISSUER, Person, Service};
use chaperone_policy::Profile;

use super::given::{Asked, PageQuery};
use super::people::placed;
use super::refused::Refused;
use super::services::text;
use super::{Managed, Shared, whoami};
use crate::wiring::attributes::{declared, plain};

/// Somebody: what was last heard of him, and whether he is current.
type Known = (Facts, bool);

/// Those who were met, as last heard: whoever has a login of the last day is current.
fn met(managed: &Managed, people: Vec<Person>) -> impl Iterator<Item = Known> {
    let subjects = people.iter().map(|person| &person.subject).collect();
    let mut heard = managed.holders.logins.last_heard(&subjects);
    people.into_iter().filter_map(move |person| match heard.remove(&person.subject) {
        Some(facts) => Some((facts, true)),
        None => person.facts.map(|facts| (facts, false)),
    })
}

/// A service, unless it is revoked.
fn serving(service: Service) -> Option<Known> {
    let facts = Facts::of(service.subject(), service.groups);
    service.revoked.is_none().then_some((facts, true))
}

/// The services after a place.
fn services(managed: &Managed, after: Option<&Subject>, limit: usize) -> Vec<Known> {
    let mut from = match after {
        Some(after) if after.issuer.as_str() > LOCAL_ISSUER => return Vec::new(),
        Some(after) if after.issuer == LOCAL_ISSUER && after.kind == SubjectKind::Service => {
            Some(after.sub.clone())
        }
        Some(_) | None => None,
    };
    let mut found = Vec::new();
    while found.len() < limit {
        let some = managed.holders.services.list(from.as_deref(), limit);
        let Some(last) = some.last() else { break };
        from = Some(last.name.clone());
        found.extend(some.into_iter().filter_map(serving));
    }
    found
}

/// Those after a place, at most `limit`: everybody who logged in here and every service that is not revoked, in the order of
/// their subjects. No more of them are looked up than are asked for.
fn known(managed: &Managed, after: Option<&Subject>, limit: usize) -> Vec<Known> {
    let mut found = services(managed, after, limit);
    let (mut from, mut people) = (after.cloned(), 0);
    while people < limit {
        let some = managed.identities.people().list(from.as_ref(), limit);
        let Some(last) = some.last() else { break };
        from = Some(last.subject.clone());
        let before = found.len();
        found.extend(met(managed, some));
        people += found.len() - before;
    }
    found.sort_by(|(one, _), (other, _)| one.subject.cmp(&other.subject));
    found.truncate(limit);
    found
}

fn view(managed: &Managed, facts: &Facts, current: bool) -> IdentityView {
    let client = facts.oauth_client.as_deref().map(|id| managed.identity.client_named(id));
    IdentityView {
        subject: text(&facts.subject),
        service: facts.subject.kind == SubjectKind::Service,
        current,
        groups: facts.groups.clone(),
        attributes: plain(&facts.attributes),
        assurance: whoami::assurance(facts),
        client: client.filter(|name| managed.policies.now().clients().get(name).is_some()),
    }
}

/// What is known of somebody, as policies are asked about it.
pub(crate) fn profile(view: IdentityView, kinds: &BTreeMap<String, AttributeKind>) -> Profile {
    let assurance = view.assurance.map(|said| Assurance { acr: said.acr, amr: said.amr, at: said.at });
    Profile {
        who: view.subject,
        service: view.service,
        groups: view.groups,
        // What is not declared any more is nothing that a policy could read.
        attributes: declared(&view.attributes, kinds).unwrap_or_default(),
        assurance,
        client: view.client,
        ..Profile::default()
    }
}

/// Everybody who is current, without the clients of their logins: whoever compares tries each.
pub(super) fn profiles(managed: &Managed) -> Vec<Profile> {
    let kinds = managed.keeper.attributes();
    let one = |(facts, current): Known| {
        let profile = profile(view(managed, &facts, current), kinds);
        Profile { client: None, ..profile }
    };
    known(managed, None, usize::MAX).into_iter().filter(|(_, current)| *current).map(one).collect()
}

/// Somebody who ever logged in here, or a service.
pub(super) fn one(managed: &Managed, subject: &str, service: bool) -> Option<Profile> {
    let (issuer, sub) = subject.split_once('/')?;
    let kind = if service { SubjectKind::Service } else { SubjectKind::Person };
    let subject = Subject { issuer: issuer.to_owned(), kind, sub: sub.to_owned() };
    let person = managed.identities.people().get(&subject);
    let own = || managed.holders.services.get(sub).filter(|_| service && issuer == LOCAL_ISSUER);
    let (facts, current) =
        met(managed, person.into_iter().collect()).next().or_else(|| own().and_then(serving))?;
    Some(profile(view(managed, &facts, current), managed.keeper.attributes()))
}

/// Everybody whom the gateway knows, as policies see them: whoever logged in here, as last heard, and services.
#[utoipa::path(get, path = "/identities", params(PageQuery), responses((status = 200, body = Page<IdentityView>)))]
pub(super) async fn list(
    State(managed): Shared,
    Asked(asked): Asked<PageQuery>,
) -> Result<Json<Page<IdentityView>>, Refused> {
    let after = asked.after.as_deref().map(placed).transpose()?;
    let found = known(&managed, after.as_ref(), asked.limit() + 1);
    let views = found.into_iter().map(|(facts, current)| view(&managed, &facts, current)).collect();
    let kind = |view: &IdentityView| if view.service { "service" } else { "person" };
    Ok(Json(asked.cut(views, |view| format!("{}:{}", kind(view), view.subject))))
}

/// A registered client, or a server, as it is shown.
fn registered(client: String, owner: &str, recipient: Option<&Recipient>) -> ClientView {
    ClientView {
        client,
        owner: owner.to_owned(),
        recipient: recipient.map(|recipient| recipient.name.clone()),
        agreement: recipient.and_then(|recipient| recipient.agreement.clone()),
        oauth_clients: BTreeSet::new(),
        resource: None,
    }
}

/// What may act for subjects, clients and servers that have tokens exchanged: who answers for each, who sees what it reads, and
/// under which agreement.
#[utoipa::path(get, path = "/clients", params(PageQuery), responses((status = 200, body = Page<ClientView>)))]
pub(super) async fn clients(
    State(managed): Shared,
    Asked(asked): Asked<PageQuery>,
) -> Json<Page<ClientView>> {
    let set = managed.policies.now();
    let client = |(name, client): (&String, &Client)| ClientView {
        oauth_clients: client.oauth_clients.clone(),
        ..registered(name.clone(), &client.owner, client.recipient.as_ref())
    };
    let server = |(name, server): (&String, &Exchange)| ClientView {
        // Its own name is among what it is known as, and is nothing that issuers call a client.
        oauth_clients: server.known_as.iter().filter(|known| *known != name).cloned().collect(),
        resource: Some(server.resource.clone()),
        ..registered(format!("{SERVER_ISSUER}/{name}"), &server.owner, server.recipient.as_ref())
    };
    let clients = set.clients();
    let mut all: Vec<ClientView> =
        clients.iter().map(client).chain(clients.all_exchanging().map(server)).collect();
    all.sort_by(|one, other| one.client.cmp(&other.client));
    Json(asked.page(all, |view| view.client.clone()))
}
