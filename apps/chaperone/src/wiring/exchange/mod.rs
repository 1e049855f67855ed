//! Tokens exchanged for credentials (RFC 8693): a registered server of others shows the access token of its caller, which was
//! made for that server, and its own proof of who it is, and gets a credential for one target with the server in the chain. The
//! only endpoint that takes a token which was not made for this gateway.

mod wish;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chaperone_access::{Delegation, Source};
use chaperone_api::{CredentialRequest, ProblemKind};
use chaperone_identity::{Credential, Exchange, Grant, Only, SignatureAlgorithm, Who};
use chaperone_recording::Exchanged;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use self::wish::{DETAILS_TYPE, Form, GRANT_TYPE, ISSUED_TYPE, Wish};
use crate::config::gateway::GatewayConfig;
use crate::verbs::Failure;
use crate::wiring::api::Managed;
use crate::wiring::api::credentials::{issue_refused, narrowed};
use crate::wiring::api::given::{BodyMax, OPEN_BODY_BYTES_MAX, Secret, body};
use crate::wiring::api::refused::{Refused, failed};
use crate::wiring::api::served::{Newcomer, Peer};
use crate::wiring::identity::{At, Bearer, IdentityRefused};
use crate::wiring::installation::now_us;

/// How the address ends at which this is an authorization server.
const ISSUER: &str = "/oauth";
/// The endpoint below it.
const TOKEN: &str = "/token";
/// Where servers read about it (RFC 8414, section 3.1).
const METADATA: &str = "/.well-known/oauth-authorization-server";
/// What a server is told whose proof proves nothing, whatever is wrong with it.
const UNPROVED: &str = "no registered server has proved who it is";
/// What it is told of its caller's token, likewise.
const NOT_SHOWN: &str = "the subject token is none that this server may show";

/// What `[exchange]` comes to.
pub(crate) struct Setting {
    /// As which authorization server it is known.
    issuer: String,
    endpoint: String,
}

impl Setting {
    /// Check the section; `None` where there is none.
    pub(crate) fn new(config: &GatewayConfig) -> Result<Option<Self>, Failure> {
        let Some(section) = &config.exchange else { return Ok(None) };
        let usage = |why: String| Failure::Usage(format!("`[exchange]`: {why}"));
        let loopback = config.api.listen.ip().is_loopback();
        let issuer = match &section.address {
            Some(address) => address.clone(),
            None if loopback => format!("http://{}{ISSUER}", config.api.listen),
            None => {
                return Err(usage(format!(
                    "`address` is missing: the one by which servers reach it, such as \
                     `https://gateway.example:6480{ISSUER}`"
                )));
            }
        };
        let uri: http::Uri = issuer.parse().map_err(|_| usage(format!("`{issuer}` is no address")))?;
        if uri.authority().is_none() || uri.query().is_some() || !uri.path().ends_with(ISSUER) {
            return Err(usage(format!("`{issuer}` is no whole address that ends with `{ISSUER}`")));
        }
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if loopback => {}
            Some(_) | None => return Err(usage(format!("`{issuer}` has to be `https://`: tokens go there"))),
        }
        Ok(Some(Self { endpoint: format!("{issuer}{TOKEN}"), issuer }))
    }
}

/// Everything that the endpoint needs.
pub(crate) struct Exchanges {
    pub(crate) setting: Setting,
    pub(crate) managed: Arc<Managed>,
}

/// The routes.
pub(crate) fn router(exchanges: Arc<Exchanges>) -> Router {
    Router::new()
        .route(&format!("{ISSUER}{TOKEN}"), post(token))
        .route(&format!("{METADATA}{ISSUER}"), get(metadata))
        .with_state(exchanges)
}

/// What a server needs to know (RFC 8414, section 2).
async fn metadata(State(exchanges): State<Arc<Exchanges>>) -> Json<Value> {
    let setting = &exchanges.setting;
    Json(json!({
        "issuer": setting.issuer,
        "token_endpoint": setting.endpoint,
        "grant_types_supported": [GRANT_TYPE],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": SignatureAlgorithm::ALL.map(SignatureAlgorithm::as_str),
        "authorization_details_types_supported": [DETAILS_TYPE],
    }))
}

/// Why nothing was exchanged (RFC 6749, section 5.2; RFC 8693, section 2.2.2).
#[derive(Debug)]
struct Fault {
    status: StatusCode,
    error: &'static str,
    description: String,
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        let (kind, description) = refused.into_words();
        let status = StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (status, error) = match kind {
            ProblemKind::Fault => (status, "server_error"),
            ProblemKind::TooMany | ProblemKind::Unrecorded => (status, "temporarily_unavailable"),
            ProblemKind::TooLarge => (status, "invalid_request"),
            ProblemKind::Malformed
            | ProblemKind::NotAuthenticated
            | ProblemKind::NotPermitted
            | ProblemKind::NotFound
            | ProblemKind::NoSuchMethod
            | ProblemKind::Conflict
            | ProblemKind::KeyInUse
            | ProblemKind::NotJson
            | ProblemKind::Unusable => (StatusCode::BAD_REQUEST, "invalid_request"),
        };
        Self { status, error, description }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let Self { status, error, description } = self;
        let told = Secret(json!({"error": error, "error_description": description}));
        (status, told).into_response()
    }
}

async fn token(
    State(exchanges): State<Arc<Exchanges>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    // Carried through even if the server hangs up: a login that is on record is kept as well.
    let carried = tokio::spawn(async move { exchanges.exchanged(peer, request).await });
    match carried.await {
        Ok(Ok(told)) => Secret(told).into_response(),
        Ok(Err(fault)) => fault.into_response(),
        Err(error) => Fault::from(failed(error)).into_response(),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Whose credential it is going to be, and through which server.
struct Parties {
    server: String,
    bearer: Bearer,
    source: Source,
}

impl Exchanges {
    /// One exchange, step by step.
    async fn exchanged(&self, peer: Peer, mut request: Request) -> Result<Value, Fault> {
        if !is_form(request.headers()) {
            return Err(Fault::request("the body is a form (`application/x-www-form-urlencoded`)"));
        }
        let reached = request.headers().get(header::HOST).cloned();
        let newcomer = request.extensions().get::<Newcomer>().cloned();
        request.extensions_mut().insert(BodyMax(OPEN_BODY_BYTES_MAX));
        let form = Form::read(&body(request).await?)?;
        form.is_exchange()?;
        // 1. which server asks
        let source = Source::Ip(peer.0.ip().to_canonical());
        let (server, exchange) = self.server(source, &form).await?;
        if let Some(newcomer) = newcomer {
            newcomer.proved();
        }
        // 2. whom it acts for
        let bearer = self.bearer(source, &form, (&server, &exchange)).await?;
        // 3. what is asked for
        let wish = form.wish()?;
        // 4. the credential, on record before it is told; what it may do there is decided when it is used
        self.credential(Parties { server, bearer, source }, wish, reached.as_ref()).await
    }

    async fn server(&self, source: Source, form: &Form) -> Result<(String, Exchange), Fault> {
        let unproved = || Fault {
            status: StatusCode::UNAUTHORIZED,
            error: "invalid_client",
            description: UNPROVED.to_owned(),
        };
        let Setting { issuer, endpoint } = &self.setting;
        let assertion = form.assertion().ok_or_else(unproved)?;
        let proved = self.managed.identities.prove(source, assertion, &[endpoint.as_str(), issuer]).await;
        let (server, exchange) = proved.map_err(|refused| {
            if matches!(refused, IdentityRefused::NotBelieved) {
                unproved()
            } else {
                Refused::from(refused).into()
            }
        })?;
        if form.get("client_id").is_some_and(|id| id != server) {
            return Err(unproved());
        }
        Ok((server, exchange))
    }

    async fn bearer(
        &self,
        source: Source,
        form: &Form,
        (server, exchange): (&str, &Exchange),
    ) -> Result<Bearer, Fault> {
        let token = form.subject_token()?;
        let at = At::Exchange(server, exchange);
        self.managed.identities.bear(source, token, at).await.map_err(|refused| {
            if matches!(refused, IdentityRefused::NotBelieved | IdentityRefused::Login(_)) {
                Fault::request(NOT_SHOWN)
            } else {
                Refused::from(refused).into()
            }
        })
    }

    async fn credential(
        &self,
        parties: Parties,
        wish: Wish,
        reached: Option<&HeaderValue>,
    ) -> Result<Value, Fault> {
        let Parties { server, bearer, source } = parties;
        let identity = &self.managed.identity;
        let Who::Login(login) = bearer.who else { return Err(Fault::request(NOT_SHOWN)) };
        let call = wish.call.as_ref().map(|call| call.call);
        let now = now_us() / 1_000_000;
        let until = bearer.not_after.min(bearer.standing.not_after_s());
        let grant = Grant {
            who: Who::Exchanged { login, server, call },
            client: bearer.oauth_client.as_deref().map(|id| identity.client_named(id)),
            target: wish.target.clone(),
            purpose: wish.purpose.clone(),
            not_before: now,
            not_after: (now + wish.ttl_s).min(until),
        };
        let chain = identity.chain_of(&grant, &bearer.standing);
        let delegation = chain.map_err(|_| Fault::request(NOT_SHOWN))?;
        let made = identity.issue(&grant).map_err(issue_refused)?;
        let (user, password) = self.narrowed(&made, &wish, &delegation, grant.not_after).await?;
        let only: Result<BTreeSet<String>, _> =
            (wish.only.iter()).map(|text| text.parse::<Only>().map(|only| only.to_string())).collect();
        let exchanged = Exchanged {
            credential: made.id,
            delegation: &delegation,
            source,
            target: &grant.target,
            not_after: grant.not_after,
            call: wish.call.as_ref(),
            only: only.map_err(|error| Fault::request(error.to_string()))?,
            verbs: wish.verbs,
            rows: wish.rows,
        };
        self.managed.recorder.exchanged(exchanged).await.map_err(Refused::from)?;
        let mut told = self.told(&grant, &user, &password, reached);
        if let Value::Object(members) = &mut told {
            members.insert("expires_in".to_owned(), grant.not_after.saturating_sub(now).into());
            members.insert("credential".to_owned(), made.id.to_string().into());
            members.extend(call.map(|call| ("call".to_owned(), call.to_string().into())));
        }
        Ok(told)
    }

    async fn narrowed(
        &self,
        made: &Credential,
        wish: &Wish,
        delegation: &Delegation,
        not_after: u64,
    ) -> Result<(String, Zeroizing<String>), Fault> {
        let request = CredentialRequest {
            target: wish.target.clone(),
            ttl_s: wish.ttl_s,
            purpose: None,
            client: None,
            only: wish.only.clone(),
            verbs: wish.verbs.iter().copied().collect(),
            rows: wish.rows,
        };
        let by = format!("{}/{}", delegation.subject.issuer, delegation.subject.sub);
        Ok(narrowed(&self.managed, made, &request, &by, not_after).await?)
    }

    /// What the server is told (RFC 8693, section 2.2.1): a connection string, and its parts.
    fn told(
        &self,
        grant: &Grant,
        user: &str,
        password: &Zeroizing<String>,
        reached: Option<&HeaderValue>,
    ) -> Value {
        let entrance = &self.managed.entrance;
        let reached = reached.and_then(|host| host.to_str().ok()?.parse::<http::uri::Authority>().ok());
        let host = entrance.host.clone().or_else(|| reached.map(|reached| reached.host().to_owned()));
        let host = host.unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let at = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let (port, sslmode) = (entrance.port, entrance.sslmode);
        // A target's name, and base64url, need no escape.
        let line = format!(
            "postgresql://{user}:{}@{at}:{port}/{}?sslmode={sslmode}",
            password.as_str(),
            grant.target
        );
        json!({
            "access_token": line,
            "issued_token_type": ISSUED_TYPE,
            "token_type": "N_A",
            "host": host,
            "port": port,
            "database": grant.target.as_str(),
            "user": user,
            "password": password.as_str(),
            "sslmode": sslmode,
        })
    }
}
