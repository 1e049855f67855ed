//! The gateway as an MCP server, on the API's listener: `/mcp/TARGET`, and what OAuth clients read about it (RFC 9728).
//!
//! A request is judged by its name and origin first, then by its token, then by what it asks for; only then does a tool
//! hear of it. The tools are clients of the boundary like any other: there is no second way to the data.

mod commands;
mod held;
pub(crate) mod hosted;
mod idle;
mod query;
mod seen;
mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use chaperone_access::{PURPOSE_BYTES_MAX, SQL_TOOLS, Source, TargetName, is_purpose};
use chaperone_api::ProblemKind;
use chaperone_identity::{Holder, LoginError, TokenRefused};
use chaperone_mcp::guard::Guard;
use chaperone_mcp::peek::peek;
use chaperone_postgres::opening::ListenerOptions;
use chaperone_session::Boundary;
use http_body_util::Full;
use serde_json::json;

use self::commands::OfCommands;
use self::held::Held;
use self::hosted::{Hosted, front};
use self::idle::Idle;
use self::tools::{NotThere, OfCaller};
use crate::config::gateway::GatewayConfig;
use crate::verbs::Failure;
use crate::wiring::api::commands::problem;
use crate::wiring::api::given::body;
use crate::wiring::api::refused::Refused;
use crate::wiring::api::served::{Newcomer, Peer};
use crate::wiring::api::{Managed, bearer};
use crate::wiring::commands::{NotIn, Unanswered};
use crate::wiring::gateway::COMMAND;
use crate::wiring::identity::{At, Bearer, IdentityRefused};
use crate::wiring::installation::now_us;

/// Where the endpoints stand.
pub(crate) const ENDPOINTS: &str = "/mcp";
/// Where OAuth clients read about them (RFC 9728, section 3).
const METADATA: &str = "/.well-known/oauth-protected-resource";
/// The client that our own program says it is for, beside a token of ours.
pub(crate) const CLIENT: HeaderName = HeaderName::from_static("chaperone-client");
/// The purpose that it is used for, likewise.
pub(crate) const PURPOSE: HeaderName = HeaderName::from_static("chaperone-purpose");
/// Longest name of a client there, in bytes.
pub(crate) const CLIENT_BYTES_MAX: usize = 128;

/// What `[mcp]` comes to.
pub(crate) struct Setting {
    guard: Guard,
    /// The resource, as OAuth names it.
    resource: String,
    /// Where its metadata stand, as a whole address.
    metadata: String,
    scopes: BTreeSet<String>,
    tool_scopes: BTreeMap<String, BTreeSet<String>>,
}

impl Setting {
    /// Check the section; `None` where there is none.
    pub(crate) fn new(config: &GatewayConfig) -> Result<Option<Self>, Failure> {
        let Some(section) = &config.mcp else { return Ok(None) };
        let usage = |why: String| Failure::Usage(format!("`[mcp]`: {why}"));
        let loopback = config.api.listen.ip().is_loopback();
        let resource = match &section.resource {
            Some(resource) => resource.clone(),
            None if loopback => format!("http://{}{ENDPOINTS}", config.api.listen),
            None => {
                return Err(usage(
                    "`resource` is missing: the address by which clients reach it, such as \
                     `https://gateway.example:6480/mcp`"
                        .to_owned(),
                ));
            }
        };
        let uri: http::Uri = resource.parse().map_err(|_| usage(format!("`{resource}` is no address")))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(usage(format!("`{resource}` is no whole address")));
        };
        if uri.query().is_some() || !uri.path().ends_with(ENDPOINTS) {
            return Err(usage(format!("`{resource}` does not end with `{ENDPOINTS}`")));
        }
        if scheme != "https" && !(scheme == "http" && loopback) {
            return Err(usage(format!("`{resource}` has to be `https://`: tokens go there")));
        }
        if let Some(tool) = section.tool_scopes.keys().find(|tool| !SQL_TOOLS.contains(&tool.as_str())) {
            let known = SQL_TOOLS.join(", ");
            return Err(usage(format!("`tool_scopes` names `{tool}`, which is none of {known}")));
        }
        let word = |scope: &String| {
            !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
        };
        if let Some(bad) =
            section.scopes.iter().chain(section.tool_scopes.values().flatten()).find(|scope| !word(scope))
        {
            return Err(usage(format!("`{bad}` is no scope (RFC 6749, section 3.3)")));
        }
        let own = authority.to_string();
        let hosts = section.hosts.iter().chain(std::iter::once(&own));
        let guard =
            Guard::new(hosts, &section.origins, loopback).map_err(|error| usage(error.to_string()))?;
        Ok(Some(Self {
            guard,
            metadata: format!("{scheme}://{authority}{METADATA}{}", uri.path()),
            resource,
            scopes: section.scopes.clone(),
            tool_scopes: section.tool_scopes.clone(),
        }))
    }

    /// Scopes that a token needs: for the tool, where one is called.
    fn needed(&self, tool: Option<&str>) -> BTreeSet<&String> {
        let more = tool.and_then(|tool| self.tool_scopes.get(tool));
        self.scopes.iter().chain(more.into_iter().flatten()).collect()
    }
}

/// Everything that the endpoints need.
pub(crate) struct Mcp {
    setting: Setting,
    managed: Arc<Managed>,
    boundary: Arc<Boundary>,
    options: ListenerOptions,
    held: Arc<Held>,
    idle: Arc<Idle>,
    hosted: Hosted,
}

impl Mcp {
    /// In a runtime: idle runs of servers are looked for, and idle sessions.
    pub(crate) fn new(
        setting: Setting,
        managed: Arc<Managed>,
        boundary: Arc<Boundary>,
        config: &GatewayConfig,
    ) -> Arc<Self> {
        let options = ListenerOptions {
            tls: None,
            plain_loopback: false,
            statement_bytes_max: boundary.statement_bytes_max,
            in_process: true,
        };
        let idle = Idle::new(managed.policies.clone());
        Arc::new(Self {
            setting,
            managed,
            boundary,
            options,
            held: Arc::default(),
            idle,
            hosted: Hosted::new(config),
        })
    }

    /// The gateway stops: results that wait are given up, and what is idle.
    pub(crate) fn stop(&self) {
        self.held.clear();
        self.idle.clear();
        self.hosted.clear();
    }

    fn challenge(&self, error: Option<&str>, scopes: &BTreeSet<&String>) -> HeaderValue {
        let mut text = format!("Bearer resource_metadata=\"{}\"", self.setting.metadata);
        if let Some(error) = error {
            text.push_str(&format!(", error=\"{error}\""));
        }
        if !scopes.is_empty() {
            let words: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
            text.push_str(&format!(", scope=\"{}\"", words.join(" ")));
        }
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
    }

    fn challenged(&self, refused: Refused, error: Option<&str>, scopes: &BTreeSet<&String>) -> Response {
        let mut response = refused.into_response();
        response.headers_mut().insert(header::WWW_AUTHENTICATE, self.challenge(error, scopes));
        response
    }
}

/// The routes. Nothing of the API's own stands below them.
pub(crate) fn router(mcp: Arc<Mcp>) -> Router {
    Router::new()
        .route(&format!("{ENDPOINTS}/{{target}}"), any(serve))
        .route(METADATA, get(metadata))
        .route(&format!("{METADATA}{ENDPOINTS}"), get(metadata))
        .route(&format!("{METADATA}{ENDPOINTS}/{{target}}"), get(metadata))
        .with_state(mcp)
}

type Shared = State<Arc<Mcp>>;

/// What an OAuth client needs to know before it has a token (RFC 9728, section 2): the same for every target, whether or
/// not there is one of that name.
async fn metadata(State(mcp): Shared, headers: HeaderMap) -> Response {
    if let Err(stranger) = mcp.setting.guard.judge(&headers) {
        return Refused::new(ProblemKind::NotPermitted, stranger.to_string()).into_response();
    }
    let setting = &mcp.setting;
    let scopes: BTreeSet<&String> =
        setting.scopes.iter().chain(setting.tool_scopes.values().flatten()).collect();
    let document = json!({
        "resource": setting.resource,
        "authorization_servers": mcp.managed.identities.resource_issuers(),
        "bearer_methods_supported": ["header"],
        "scopes_supported": scopes,
        "resource_name": format!("Chaperone gateway {}", mcp.managed.installation),
    });
    axum::Json(document).into_response()
}

/// Somebody whose token was believed, and what it was shown with.
pub(crate) struct Shower {
    bearer: Bearer,
    client: Option<String>,
    purpose: Option<String>,
    source: Source,
}

fn word(headers: &HeaderMap, name: &HeaderName, bytes_max: usize) -> Result<Option<String>, Refused> {
    let mut values = headers.get_all(name).iter();
    let wrong = || Refused::malformed(format!("`{name}` is one word of {bytes_max} bytes at most"));
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().ok().filter(|text| !text.is_empty() && text.len() <= bytes_max);
            text.map(|text| Some(text.to_owned())).ok_or_else(wrong)
        }
        (Some(_), Some(_)) => Err(wrong()),
    }
}

/// A whole answer, given before the tools are reached.
struct Early(Box<Response>);

impl From<Response> for Early {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl From<Refused> for Early {
    fn from(refused: Refused) -> Self {
        refused.into_response().into()
    }
}

/// What whoever shows a token that nobody made is told.
const NO_TOKEN: &str = "the token is not one that opens anything here";

/// Whoever holds a token of our own, and what our own program says beside it.
fn ours(headers: &HeaderMap, holder: &Holder, source: Source) -> Result<Shower, Refused> {
    let client = word(headers, &CLIENT, CLIENT_BYTES_MAX)?;
    let purpose = word(headers, &PURPOSE, PURPOSE_BYTES_MAX)?;
    if !purpose.as_deref().is_none_or(is_purpose) {
        return Err(Refused::malformed(format!("`{PURPOSE}` is no purpose")));
    }
    let standing = holder.standing().clone();
    let oauth_client = standing.facts().oauth_client.clone();
    let not_after = standing.not_after_s();
    let bearer = Bearer { who: holder.who(), standing, scopes: None, oauth_client, not_after };
    Ok(Shower { bearer, client, purpose, source })
}

/// Whose token it is.
async fn shower(mcp: &Mcp, headers: &HeaderMap, source: Source) -> Result<Shower, Early> {
    let needed = mcp.setting.needed(None);
    let unproved = |detail: &str, error: Option<&str>| {
        let refused = Refused::new(ProblemKind::NotAuthenticated, detail).hint(
            "show an access token of an issuer that the gateway takes, or use `chaperone mcp`, which logs in by itself",
        );
        Early::from(mcp.challenged(refused, error, &needed))
    };
    if headers.get_all(header::AUTHORIZATION).iter().count() > 1 {
        return Err(unproved("one token is shown, not several", Some("invalid_request")));
    }
    let Some(token) = bearer(headers) else { return Err(unproved("a token is needed", None)) };
    match mcp.managed.holders.by_token(token, now_us() / 1_000_000) {
        Ok(holder) => return ours(headers, &holder, source).map_err(Early::from),
        // A token of ours that admits nobody is no issuer's: nobody is asked about it, and no stranger is counted.
        Err(TokenRefused::Lapsed(lapse)) => {
            return Err(unproved(&LoginError::Over(lapse).to_string(), Some("invalid_token")));
        }
        Err(TokenRefused::Unknown) => return Err(unproved(NO_TOKEN, Some("invalid_token"))),
        // An issuer's, perhaps.
        Err(TokenRefused::Malformed) => {}
    }
    match mcp.managed.identities.bear(source, token, At::Tools).await {
        Ok(bearer) => {
            let client = bearer.oauth_client.as_deref().map(|id| mcp.managed.identity.client_named(id));
            Ok(Shower { bearer, client, purpose: None, source })
        }
        Err(IdentityRefused::NotBelieved) => Err(unproved(NO_TOKEN, Some("invalid_token"))),
        Err(IdentityRefused::Login(error)) => Err(unproved(&error.to_string(), Some("invalid_token"))),
        Err(
            other @ (IdentityRefused::Throttled
            | IdentityRefused::Service(_)
            | IdentityRefused::Person(_)
            | IdentityRefused::Reason
            | IdentityRefused::Unrecorded(_)
            | IdentityRefused::Fault(_)),
        ) => Err(Refused::from(other).into()),
    }
}

/// The same whether it does not exist or may not be known.
fn unknown() -> Early {
    Refused::not_found("there is no such target for you").into()
}

fn other_client() -> Early {
    Refused::new(ProblemKind::NotPermitted, "your login is another client's than is named")
        .hint("leave `--client` out, or log in through that client")
        .into()
}

async fn serve(
    State(mcp): Shared,
    Extension(peer): Extension<Peer>,
    Path(target): Path<String>,
    request: Request,
) -> Response {
    match served(&mcp, peer, &target, request).await {
        Ok(response) => response,
        Err(Early(response)) => *response,
    }
}

/// One request, step by step.
async fn served(mcp: &Arc<Mcp>, peer: Peer, target: &str, request: Request) -> Result<Response, Early> {
    // 1. by which name, and from which page
    mcp.setting.guard.judge(request.headers()).map_err(|stranger| {
        tracing::warn!(peer = %peer.0, %stranger, "a request to the tools was not let in");
        Refused::new(ProblemKind::NotPermitted, stranger.to_string())
    })?;
    if ![Method::POST, Method::GET, Method::DELETE].contains(request.method()) {
        return Err(front::only_post());
    }
    // 2. whose token
    let source = Source::Ip(peer.0.ip().to_canonical());
    let shower = shower(mcp, request.headers(), source).await?;
    if let Some(newcomer) = request.extensions().get::<Newcomer>() {
        newcomer.proved();
    }
    // 3. what is asked for, within bounds
    let server = || TargetName::new(target).ok().and_then(|target| mcp.hosted.get(&target));
    if request.method() != Method::POST {
        return match server() {
            Some(server) => front::other(mcp, &shower, &server, request.headers(), request.method()),
            None => Err(front::only_post()),
        };
    }
    let (parts, rest) = request.into_parts();
    let bytes = body(Request::from_parts(parts.clone(), rest)).await?;
    let peeked = peek(&bytes).map_err(|error| Refused::malformed(error.to_string()))?;
    let needed = mcp.setting.needed(peeked.tool.as_deref());
    if let Some(scopes) = &shower.bearer.scopes
        && needed.iter().any(|scope| !scopes.contains(*scope))
    {
        let refused = Refused::new(ProblemKind::NotPermitted, "the token was not made for this")
            .hint("get one with the scopes that `WWW-Authenticate` names");
        return Err(mcp.challenged(refused, Some("insufficient_scope"), &needed).into());
    }
    // 4. the tools; everything up to here is said without a look at the target, so that nothing tells whether there is one
    if let Some(server) = server() {
        return front::serve(mcp, shower, server, parts.headers, bytes).await;
    }
    let commands = TargetName::new(target)
        .ok()
        .filter(|target| mcp.managed.targets.contains(&(target.clone(), COMMAND)));
    if let Some(target) = commands {
        let tools = match OfCommands::new(mcp.clone(), shower, target).await {
            Ok(tools) => tools,
            Err(Unanswered::NotIn(NotIn::Unknown)) => return Err(unknown()),
            Err(Unanswered::NotIn(NotIn::OtherClient)) => return Err(other_client()),
            // Nobody says now which there are.
            Err(Unanswered::Refused(refusal)) => return Err(problem(refusal).into()),
        };
        let request = Request::from_parts(parts, Full::new(bytes));
        return Ok(chaperone_mcp::answer(request, tools).await.map(Body::new));
    }
    let tools = match OfCaller::new(mcp.clone(), shower, target) {
        Ok(tools) => tools,
        Err(NotThere::Unknown) => return Err(unknown()),
        Err(NotThere::OtherClient) => return Err(other_client()),
    };
    let request = Request::from_parts(parts, Full::new(bytes));
    Ok(chaperone_mcp::answer(request, tools).await.map(Body::new))
}
