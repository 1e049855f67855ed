//! Whom the gateway takes a caller for.

use std::collections::BTreeMap;

use axum::{Extension, Json};
use chaperone_api::{AssuranceView, WhoView};
use chaperone_identity::{Facts, Holder};

use super::caller::Caller;
use crate::wiring::attributes::plain;

/// Whom the gateway takes the caller for.
#[utoipa::path(get, path = "/whoami", responses((status = 200, body = WhoView)))]
pub(super) async fn show(Extension(caller): Extension<Caller>) -> Json<WhoView> {
    Json(match caller.holder() {
        Some(holder) => view(holder),
        None => WhoView {
            subject: caller.name(),
            display: None,
            groups: std::collections::BTreeSet::new(),
            attributes: BTreeMap::new(),
            assurance: None,
            login: None,
            checked_at: None,
            not_after: None,
            recheck_s: None,
        },
    })
}

/// What is true of a holder now.
pub(super) fn view(holder: &Holder) -> WhoView {
    let standing = holder.standing();
    let facts = standing.facts();
    let login = match holder {
        Holder::Login(login, _) => Some(login),
        Holder::Service(..) => None,
    };
    let checked_at = login.map(|login| login.checked_at);
    WhoView {
        subject: format!("{}/{}", facts.subject.issuer, facts.subject.sub),
        display: facts.display.clone(),
        groups: facts.groups.clone(),
        attributes: plain(&facts.attributes),
        assurance: assurance(&facts),
        login: login.map(|login| login.id.to_string()),
        checked_at,
        not_after: Some(standing.not_after_s()),
        recheck_s: standing.due_s().zip(checked_at).map(|(due, checked)| due.saturating_sub(checked)),
    }
}

pub(super) fn assurance(facts: &Facts) -> Option<AssuranceView> {
    let assurance = facts.assurance.as_ref()?;
    Some(AssuranceView { acr: assurance.acr.clone(), amr: assurance.amr.clone(), at: assurance.at })
}
