//! Credentials for targets, from a login or a service key.

use axum::Extension;
use axum::extract::State;
use chaperone_access::Verbs;
use chaperone_api::{CredentialRequest, CredentialView, ProblemKind};
use chaperone_identity::{
    Caveat, Credential, Grant, IssueError, KeepError, NarrowError, Only, OnlyError, narrow, together,
};
use zeroize::Zeroizing;

use super::caller::Caller;
use super::given::{Given, Secret};
use super::refused::{Refused, failed};
use super::{Managed, Shared};
use crate::wiring::installation::now_us;

/// Longest life of a credential, in seconds.
const TTL_S_MAX: u64 = 24 * 3600;

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
    if !(1..=TTL_S_MAX).contains(&request.ttl_s) {
        return Err(Refused::unusable(format!("`ttl_s` is 1 to {TTL_S_MAX}")));
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

fn issue_refused(error: IssueError) -> Refused {
    match error {
        IssueError::Random => failed(error),
        IssueError::Text(_) | IssueError::Purpose | IssueError::TooLong(_) | IssueError::Expired => {
            Refused::unusable(error.to_string())
        }
    }
}

/// The same narrowing that a holder can do offline; relations and columns that do not fit a user name are kept here.
async fn narrowed(
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
