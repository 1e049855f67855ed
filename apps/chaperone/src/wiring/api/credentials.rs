//! Credentials for targets, from a login or a service key.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::{Extension, Json};
use chaperone_access::Verbs;
use chaperone_api::{
    CredentialEntryView, CredentialRequest, CredentialView, Page, ProblemKind, RevocationView,
    RevokeCredential,
};
use chaperone_identity::{
    CREDENTIAL_S_MAX, Caveat, Credential, CredentialId, Grant, InvalidCredentialId, IssueError, KeepError,
    NarrowError, Only, OnlyError, Revocation, narrow, together,
};
use zeroize::Zeroizing;

use super::caller::Caller;
use super::given::{Asked, Given, Named, PageQuery, Secret};
use super::refused::{Refused, failed};
use super::services::text;
use super::{Managed, Shared};
use crate::wiring::door::InUse;
use crate::wiring::installation::now_us;
use crate::wiring::locks::check_reason;
use crate::wiring::revocations::RevocationFailure;

impl From<RevocationFailure> for Refused {
    fn from(failure: RevocationFailure) -> Self {
        match failure {
            full @ RevocationFailure::Full => Self::new(ProblemKind::Conflict, full.to_string()),
            RevocationFailure::Unrecorded(refusal) => refusal.into(),
            unkept @ RevocationFailure::Unkept(_) => failed(unkept),
        }
    }
}

fn entry(credential: CredentialId, used: Option<InUse>, revoked: Option<Revocation>) -> CredentialEntryView {
    let sessions = used.as_ref().map_or(0, |used| used.sessions);
    CredentialEntryView {
        credential: credential.to_string(),
        subject: used.as_ref().map(|used| text(&used.subject)),
        target: used.as_ref().map(|used| used.target.clone()),
        not_after: used.map(|used| used.not_after),
        sessions,
        revoked: revoked.map(|one| RevocationView { reason: one.reason, by: one.by, at: one.at }),
    }
}

/// Credentials that open sessions use, and those that were taken back. Which ones were made is not kept.
#[utoipa::path(
    get, path = "/credentials", params(PageQuery), responses((status = 200, body = Page<CredentialEntryView>))
)]
pub(super) async fn list(
    State(managed): Shared,
    Asked(asked): Asked<PageQuery>,
) -> Json<Page<CredentialEntryView>> {
    let mut used = managed.sessions.credentials();
    let mut views: BTreeMap<String, CredentialEntryView> = BTreeMap::new();
    for revocation in managed.revocations.revoked().list() {
        let credential = revocation.credential;
        views.insert(credential.to_string(), entry(credential, used.remove(&credential), Some(revocation)));
    }
    views.extend(used.into_iter().map(|(id, used)| (id.to_string(), entry(id, Some(used), None))));
    Json(asked.page(views.into_values(), |view| view.credential.clone()))
}

/// Take a credential back, with everything that it was narrowed to. Sessions that use it end.
#[utoipa::path(
    delete, path = "/credentials/{id}", params(("id" = String, Path)), request_body = RevokeCredential,
    responses((status = 200, body = CredentialEntryView))
)]
pub(super) async fn revoke(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
    Given(request): Given<RevokeCredential>,
) -> Result<Json<CredentialEntryView>, Refused> {
    check_reason(&request.reason)?;
    let credential: CredentialId =
        id.parse().map_err(|error: InvalidCredentialId| Refused::malformed(error.to_string()))?;
    let used = managed.sessions.credentials().remove(&credential);
    let revocation = managed.revocations.revoke(credential, &request.reason, &caller.name()).await?;
    Ok(Json(entry(credential, used, Some(revocation))))
}

/// Make a credential for one target.
///
/// Whether its holder may be there is decided when it is used, so that this says
/// nothing about which targets exist.
#[utoipa::path(
    post, path = "/credentials", request_body = CredentialRequest, responses((status = 200, body = CredentialView))
)]
pub(super) async fn make(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Given(request): Given<CredentialRequest>,
) -> Result<Secret<CredentialView>, Refused> {
    let holder = caller.holder().ok_or_else(|| {
        Refused::unusable(
            "the administrator's token is nobody's login, so there is nobody to make a credential for",
        )
        .hint("`chaperone login`, or `chaperone credential TARGET --as WHO` for the development issuer")
    })?;
    if !(1..=CREDENTIAL_S_MAX).contains(&request.ttl_s) {
        return Err(Refused::unusable(format!("`ttl_s` is 1 to {CREDENTIAL_S_MAX}")));
    }
    // It would open nothing, and nobody would be told why.
    if !managed.identity.acts_through(request.client.as_deref(), holder.standing()) {
        let client = request.client.unwrap_or_default();
        return Err(Refused::new(
            ProblemKind::NotPermitted,
            format!("your login was not made through client `{client}`, so that it does not act for you"),
        )
        .hint("log in through that client, or leave `client` out"));
    }
    let now = now_us() / 1_000_000;
    let grant = Grant {
        who: holder.who(),
        client: request.client.clone(),
        target: request.target.clone(),
        purpose: request.purpose.clone(),
        not_before: now,
        not_after: (now + request.ttl_s).min(holder.standing().not_after_s()),
    };
    let made = managed.identity.issue(&grant).map_err(issue_refused)?;
    let by = caller.name();
    let (user, password) = narrowed(&managed, &made, &request, &by, grant.not_after).await?;
    Ok(Secret(view(&managed, &grant, made.id.to_string(), user, &password)))
}

pub(crate) fn issue_refused(error: IssueError) -> Refused {
    match error {
        IssueError::Random => failed(error),
        IssueError::Text(_)
        | IssueError::Purpose
        | IssueError::TooLong(_)
        | IssueError::Expired
        | IssueError::Lasting => Refused::unusable(error.to_string()),
    }
}

/// The same narrowing that a holder can do offline; relations and columns that do not fit a user name are kept here.
pub(crate) async fn narrowed(
    managed: &Managed,
    made: &Credential,
    request: &CredentialRequest,
    by: &str,
    not_after: u64,
) -> Result<(String, Zeroizing<String>), Refused> {
    let mut caveats = Vec::new();
    if !request.verbs.is_empty() {
        caveats.push(Caveat::Verbs(request.verbs.iter().copied().fold(Verbs::NONE, Verbs::with)));
    }
    caveats.extend(request.rows.map(Caveat::Rows));
    let mut narrowed = (made.user.clone(), made.password.clone());
    let refused = |error: NarrowError| Refused::unusable(error.to_string());
    for caveat in &caveats {
        narrowed = narrow(&narrowed.0, &narrowed.1, caveat).map_err(refused)?;
    }
    if request.only.is_empty() {
        return Ok(narrowed);
    }
    let only: Result<Vec<Only>, OnlyError> = request.only.iter().map(|only| only.parse()).collect();
    let relations = together(only.map_err(|error| Refused::unusable(error.to_string()))?);
    let (user, password) = &narrowed;
    match narrow(user, password, &Caveat::Relations(relations.clone())) {
        Err(NarrowError::TooLong | NarrowError::Relations) => {}
        other => return other.map_err(refused),
    }
    let (kept, by) = (managed.identity.kept().clone(), by.to_owned());
    let keep = move || kept.keep(relations, &by, not_after);
    let caveat = tokio::task::spawn_blocking(keep).await.map_err(failed)?.map_err(keep_refused)?;
    narrow(user, password, &caveat).map_err(refused)
}

fn keep_refused(error: KeepError) -> Refused {
    match error {
        KeepError::TooLong => Refused::unusable(error.to_string()),
        KeepError::TooMany => Refused::new(ProblemKind::TooMany, error.to_string()),
        KeepError::Random | KeepError::Storage(_) => failed(error),
    }
}

fn view(
    managed: &Managed,
    grant: &Grant,
    credential: String,
    user: String,
    password: &Zeroizing<String>,
) -> CredentialView {
    CredentialView {
        credential,
        host: managed.entrance.host.clone(),
        port: managed.entrance.port,
        database: grant.target.to_string(),
        user,
        password: password.to_string(),
        sslmode: managed.entrance.sslmode.to_owned(),
        not_after: grant.not_after,
    }
}
