//! Those whom the gateway knows, and the clients that may act for them: what whoever writes policies needs to see.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chaperone_access::{Assurance, AttributeKind, Subject, SubjectKind};
use chaperone_api::{ClientView, IdentityView, Page};
use chaperone_identity::{Client, Facts, LOCAL_ISSUER};
use chaperone_policy::Profile;

use super::given::{Asked, PageQuery};
use super::services::text;
use super::{Managed, Shared, whoami};
use crate::wiring::attributes::{declared, plain};

/// Somebody, by whether it is a service and by name.
type Key = (bool, String);

fn key(subject: &Subject) -> Key {
    (subject.kind == SubjectKind::Service, text(subject))
}

/// The facts of everybody with a login of the last day, as last heard, and of every service that is not revoked.
fn current(managed: &Managed) -> BTreeMap<Key, Facts> {
    let mut newest: BTreeMap<Key, (u64, Facts)> = BTreeMap::new();
    for login in managed.holders.logins.list(None, usize::MAX) {
        let key = key(&login.facts.subject);
        let known = newest.get(&key).map(|(checked_at, _)| *checked_at);
        if known.is_none_or(|known| known < login.checked_at) {
            newest.insert(key, (login.checked_at, login.facts));
        }
    }
    let mut found: BTreeMap<Key, Facts> = newest.into_iter().map(|(key, (_, facts))| (key, facts)).collect();
    let services = managed.holders.services.list(None, usize::MAX);
    for service in services.into_iter().filter(|service| service.revoked.is_none()) {
        let issuer = LOCAL_ISSUER.to_owned();
        let subject = Subject { issuer, kind: SubjectKind::Service, sub: service.name };
        found.insert(key(&subject), Facts::of(subject, service.groups));
    }
    found
}

/// The same of everybody who ever logged in here, and whether each is current.
fn all(managed: &Managed) -> BTreeMap<Key, (Facts, bool)> {
    let people = managed.identities.people().list(None, usize::MAX);
    let met = people.into_iter().filter_map(|person| Some((key(&person.subject), (person.facts?, false))));
    let mut found: BTreeMap<Key, (Facts, bool)> = met.collect();
    found.extend(current(managed).into_iter().map(|(key, facts)| (key, (facts, true))));
    found
}

fn view(managed: &Managed, (service, subject): Key, facts: &Facts, current: bool) -> IdentityView {
    let client = facts.oauth_client.as_deref().map(|id| managed.identity.client_named(id));
    IdentityView {
        subject,
        service,
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
    let one = |(key, facts): (Key, Facts)| {
        let profile = profile(view(managed, key, &facts, true), kinds);
        Profile { client: None, ..profile }
    };
    current(managed).into_iter().map(one).collect()
}

/// Somebody who ever logged in here, or a service.
pub(super) fn one(managed: &Managed, subject: &str, service: bool) -> Option<Profile> {
    let key = (service, subject.to_owned());
    let (facts, current) = all(managed).remove(&key)?;
    Some(profile(view(managed, key, &facts, current), managed.keeper.attributes()))
}

/// Everybody whom the gateway knows, as policies see them: whoever logged in here, as last heard, and services.
#[utoipa::path(get, path = "/identities", params(PageQuery), responses((status = 200, body = Page<IdentityView>)))]
pub(super) async fn list(State(managed): Shared, Asked(asked): Asked<PageQuery>) -> Json<Page<IdentityView>> {
    let views = all(&managed).into_iter();
    let views = views.map(|(key, (facts, current))| view(&managed, key, &facts, current));
    Json(asked.page(views, |view| format!("{}:{}", u8::from(view.service), view.subject)))
}

/// The registered clients: who answers for each, who sees what it reads, and under which agreement.
#[utoipa::path(get, path = "/clients", params(PageQuery), responses((status = 200, body = Page<ClientView>)))]
pub(super) async fn clients(
    State(managed): Shared,
    Asked(asked): Asked<PageQuery>,
) -> Json<Page<ClientView>> {
    let set = managed.policies.now();
    let view = |(name, client): (&String, &Client)| ClientView {
        client: name.clone(),
        owner: client.owner.clone(),
        recipient: client.recipient.as_ref().map(|recipient| recipient.name.clone()),
        agreement: client.recipient.as_ref().and_then(|recipient| recipient.agreement.clone()),
        oauth_clients: client.oauth_clients.clone(),
    };
    Json(asked.page(set.clients().iter().map(view), |view| view.client.clone()))
}
