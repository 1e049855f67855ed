//! Servers of others behind the gateway, at `/mcp/SERVER`: what a client says goes on to a run of the server that is the
//! caller's alone, and each call of a tool is judged, recorded and carried one at a time. The server is not changed; of
//! its answers only what detectors find in them is.
//!
//! A server elsewhere has a session in the place of a run. What it does for a call is done over connections of its own, so
//! that nobody can say on whose behalf: what detectors find there is refused, unless the gateway's file says otherwise.

mod begin;
mod call;
mod looked;
mod pool;
mod process;
mod talk;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chaperone_access::{Attribution, Delegation, Refusal, RefusalCode, SQL_TOOLS, TargetName};
use chaperone_mcp::relay::{self, Said};
use chaperone_mcp::revision::unspoken;
use chaperone_mcp::stateless::{self, Era};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use self::begin::Eras;
use self::pool::{Key, Pool, Taken};
use self::process::{Process, Tool};
use super::tools::{NotThere, chain};
use super::{Early, Mcp, Shower};
use crate::config::gateway::{Findings, FreeTextSection, GatewayConfig};
use crate::verbs::Failure;
use crate::wiring::installation::now_us;

/// Revisions that clients may speak here, newest first.
const REVISIONS: [&str; 3] = [stateless::REVISION, OLDER[0], OLDER[1]];
/// Those that begin with `initialize`.
const OLDER: [&str; 2] = ["2025-11-25", "2025-06-18"];
/// Codes of JSON-RPC 2.0, section 5.1.
const INVALID_REQUEST: i32 = -32600;
const NO_METHOD: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
/// The gateway's own: the server cannot be reached, or the caller may not.
const REFUSED: i32 = -32000;
/// How long a run may take to begin and say what its tools are.
const BEGIN: Duration = Duration::from_secs(30);
/// How long a request waits for its turn among the calls of the same caller.
const TURN: Duration = Duration::from_secs(60);

/// One server, as the gateway knows it.
pub(super) struct Known {
    pub(super) name: TargetName,
    /// The target that its runs may reach; none of a server elsewhere.
    pub(super) target: Option<TargetName>,
    /// Whether what detectors find is refused, not replaced.
    pub(super) refuses_findings: bool,
    /// How long a run waits for another call.
    pub(super) idle: Duration,
    pub(super) places: Arc<Semaphore>,
    /// What detectors look for in its answers: as in the target's own free text, where it has one.
    pub(super) detectors: Arc<chaperone_masking::Config>,
    eras: Eras,
}

/// All of them, and their runs.
pub(super) struct Hosted {
    servers: Arc<BTreeMap<TargetName, Arc<Known>>>,
    pool: Arc<Pool>,
}

/// What `config check` and the start both refuse.
pub(crate) fn check(config: &GatewayConfig) -> Result<(), Failure> {
    for (name, server) in &config.servers {
        let wrong = |why: &str| Err(Failure::Usage(format!("server `{name}`: {why}")));
        if config.mcp.is_none() {
            return wrong("clients reach it at `/mcp`, and there is no `[mcp]` table");
        }
        if config.targets.contains_key(name) || SQL_TOOLS.contains(&name.as_str()) {
            return wrong("a target or a tool of the gateway's own has that name");
        }
        match &server.target {
            Some(target) if !config.targets.contains_key(target) => {
                return wrong("its `target` is none of `[targets]`");
            }
            Some(_) if server.findings.is_some() || server.free_text.is_some() => {
                return wrong("`findings` and `free_text` are for a server elsewhere, which has no `target`");
            }
            Some(_) | None => {}
        }
        if server.processes_max == 0 || server.idle_s == 0 {
            return wrong("`processes_max` and `idle_s` are at least 1");
        }
    }
    Ok(())
}

impl Hosted {
    pub(super) fn new(config: &GatewayConfig) -> Self {
        let known = config.servers.iter().map(|(name, server)| {
            let places = Arc::new(Semaphore::new(server.processes_max));
            let (target, idle) = (server.target.clone(), Duration::from_secs(server.idle_s));
            let of_target = target.as_ref().and_then(|target| config.targets.get(target));
            let text = of_target.map(|target| &target.free_text).or(server.free_text.as_ref());
            let detectors = Arc::new(text.map(FreeTextSection::config).unwrap_or_default());
            let refuses_findings =
                target.is_none() && server.findings.unwrap_or_default() == Findings::Refuse;
            let (name, eras) = (name.clone(), Eras::default());
            let known = Known { name: name.clone(), target, refuses_findings, idle, places, detectors, eras };
            (name.clone(), Arc::new(known))
        });
        let servers = Arc::new(known.collect());
        Self { pool: Pool::new(&servers), servers }
    }

    pub(super) fn get(&self, name: &TargetName) -> Option<Arc<Known>> {
        self.servers.get(name).cloned()
    }

    /// The gateway stops.
    pub(super) fn clear(&self) {
        self.pool.clear();
    }
}

impl Known {
    /// Whether what it does for a call is done where nobody sees it.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.target.is_none()
    }

    /// A caller's chain, as far as what the server does can be told to be his.
    fn known_by(&self, chain: Delegation) -> Delegation {
        let attribution = if self.is_elsewhere() { Attribution::Unattributable } else { chain.attribution };
        Delegation { attribution, ..chain }
    }
}

/// One request of one caller to one server.
struct Asked<'a> {
    mcp: &'a Arc<Mcp>,
    shower: &'a Shower,
    server: &'a Arc<Known>,
    /// How the client speaks.
    era: Era,
    headers: &'a HeaderMap,
    /// The caller's chain with the server in the place of a tool: a run's own.
    delegation: Delegation,
}

/// Answer one message.
pub(super) async fn serve(
    mcp: &Arc<Mcp>,
    shower: &Shower,
    server: &Arc<Known>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, Early> {
    let said = match relay::said(body) {
        Ok(said) => said,
        Err(error) => {
            let wrong = json!({"code": INVALID_REQUEST, "message": error.to_string()});
            return Ok(not_taken(None, &wrong));
        }
    };
    let (Some(id), Some(method)) = (said.id, said.method.as_deref()) else {
        // Notifications are the gateway's own business with the run, and a client has nothing to answer.
        let wrong = unspoken(headers, &REVISIONS).map(|error| not_taken(None, &error));
        return Ok(wrong.unwrap_or_else(|| StatusCode::ACCEPTED.into_response()));
    };
    let era = match stateless::judged(headers, &said, &REVISIONS) {
        Ok(era) => era,
        Err(wrong) => return Ok(not_taken(Some(id), &wrong)),
    };
    let delegation = match chain(mcp, shower, server.name.as_str(), shower.purpose.clone()) {
        Ok(delegation) => server.known_by(delegation),
        Err(NotThere::Unknown) => return Err(super::unknown()),
        Err(NotThere::OtherClient) => return Err(super::other_client()),
    };
    // One that the file names no more is none, before the next start already: nobody would say who sees what it reads.
    let Some(acting) = mcp.managed.identity.server(&Arc::from(server.name.as_str())) else {
        return Err(super::unknown());
    };
    let delegation = Delegation { server: Some(acting), ..delegation };
    let asked = Asked { mcp, shower, server, era, headers, delegation };
    // Whoever may not be there is not told that there is such a place; nothing is launched for him either.
    match asked.may("") {
        Ok(()) => {}
        Err(refusal) if refusal.code == RefusalCode::UndefinedTarget => return Err(super::unknown()),
        Err(refusal) if refusal.code == RefusalCode::NotPermitted => {}
        Err(refusal) => return Ok(refused(id, &refusal)),
    }
    Ok(match (method, era) {
        ("initialize", Era::Handshake) => asked.initialize(id, &said).await,
        ("server/discover", Era::Stateless) => asked.discover(id).await,
        ("ping", Era::Handshake) => answer(id.get(), "result", "{}"),
        ("tools/list", _) => asked.list(id).await,
        ("tools/call", _) => asked.call(id, &said).await,
        (_, era) => no_method(id, era),
    })
}

/// An answer of JSON-RPC; `what` is `result` or `error`, `raw` its JSON as it stands.
fn answer(id: &str, what: &str, raw: &str) -> Response {
    let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"{what}":{raw}}}"#);
    let mut response = Response::new(text.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The answer to what is not taken as a request; where its id could not be read, to none.
fn not_taken(id: Option<&RawValue>, error: &Value) -> Response {
    let mut response = answer(id.map_or("null", RawValue::get), "error", &error.to_string());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// The newest revision says it by the status too, so that no intermediary takes it for an answer.
fn no_method(id: &RawValue, era: Era) -> Response {
    let mut response =
        error(id, NO_METHOD, "the gateway carries the tools of a server, and nothing else of it");
    if era == Era::Stateless {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

fn error(id: &RawValue, code: i32, message: &str) -> Response {
    answer(id.get(), "error", &json!({"code": code, "message": message}).to_string())
}

fn refused(id: &RawValue, refusal: &Refusal) -> Response {
    let mut data = json!({"code": refusal.code});
    if let (Some(hint), Some(members)) = (&refusal.hint, data.as_object_mut()) {
        members.insert("hint".to_owned(), Value::from(hint.as_str()));
    }
    let told = json!({"code": REFUSED, "message": refusal.message, "data": data});
    answer(id.get(), "error", &told.to_string())
}

impl Asked<'_> {
    /// Whether the caller may call a tool of the server.
    fn may(&self, tool: &str) -> Result<(), Refusal> {
        let policies = &self.mcp.managed.policies;
        let chained = Delegation { tool: Some(Arc::from(tool)), ..self.delegation.clone() };
        policies.may_invoke(&chained, &self.server.name, tool, now_us())
    }

    /// Whether a tool is described as was accepted.
    fn is_accepted(&self, tool: &Tool) -> bool {
        self.mcp.managed.manifests.is_accepted(&self.server.name, &tool.name, &tool.digest)
    }

    /// A run that is the caller's, when it is its turn.
    async fn taken(&self) -> Result<Taken, Refusal> {
        let key = Key {
            subject: self.delegation.subject.clone(),
            holder: format!("{:?}", self.shower.bearer.who),
            client: self.delegation.client.as_deref().map(str::to_owned),
            purpose: self.delegation.purpose.as_deref().map(str::to_owned),
            server: self.server.name.clone(),
            recipient: self.delegation.server.as_ref().and_then(|server| server.recipient.clone()),
        };
        let pool = &self.mcp.hosted.pool;
        let mut turn = pool.turn(&key, TURN).await?;
        let ends_s = process::end_of_a_run(self.shower);
        let mut idle = turn.idle.take();
        while let Some(mut process) = idle {
            if process.is_good(self.server, &self.mcp.managed.manifests, ends_s).await {
                return Ok(turn.with(process));
            }
            idle = turn.another();
        }
        let place = pool.place(self.server, &self.delegation.subject)?;
        let begun = Process::begin(self.mcp, self.shower, self.server, &self.delegation, place);
        let slow = |_elapsed| {
            let why = format!("server `{}` did not begin within {} s", self.server.name, BEGIN.as_secs());
            Refusal::new(RefusalCode::TargetUnavailable, why)
                .hint("call again; if it happens again, tell whoever answers for the server")
        };
        let process = tokio::time::timeout(BEGIN, begun).await.map_err(slow)??;
        Ok(turn.with(process))
    }

    /// The gateway's own word on the revision and what is offered; the server's on who it is.
    async fn initialize(&self, id: &RawValue, said: &Said<'_>) -> Response {
        let wanted = said.params.and_then(|params| relay::member(params, "protocolVersion").ok().flatten());
        let wanted: Option<String> = wanted.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let Some(wanted) = wanted else {
            return error(id, INVALID_PARAMS, "`protocolVersion` is missing");
        };
        let revision = OLDER.into_iter().find(|known| *known == wanted).unwrap_or(OLDER[0]);
        let taken = match self.taken().await {
            Ok(taken) => taken,
            Err(refusal) => return refused(id, &refusal),
        };
        let mut result = format!(r#"{{"protocolVersion":"{revision}","capabilities":{{"tools":{{}}}}"#);
        let nameless = json!({"name": self.server.name, "version": ""}).to_string();
        let information = stateless::server_information(&taken.process.information);
        let information = information.map_or(nameless.as_str(), RawValue::get);
        result.push_str(&format!(r#","serverInfo":{information}"#));
        if let Ok(Some(raw)) = relay::member(&taken.process.information, "instructions") {
            result.push_str(&format!(r#","instructions":{}"#, raw.get()));
        }
        result.push('}');
        taken.give_back();
        answer(id.get(), "result", &result)
    }

    /// The same for a client that does without a handshake.
    async fn discover(&self, id: &RawValue) -> Response {
        let taken = match self.taken().await {
            Ok(taken) => taken,
            Err(refusal) => return refused(id, &refusal),
        };
        let said = &taken.process.information;
        let instructions = relay::member(said, "instructions").ok().flatten();
        let result = stateless::discovered(&REVISIONS, stateless::server_information(said), instructions);
        taken.give_back();
        answer(id.get(), "result", &result)
    }

    /// The tools that the caller may call, each as the server describes it.
    async fn list(&self, id: &RawValue) -> Response {
        let taken = match self.taken().await {
            Ok(taken) => taken,
            Err(refusal) => return refused(id, &refusal),
        };
        let tools = taken.process.tools.iter();
        let shown = tools.filter(|tool| self.is_accepted(tool) && self.may(&tool.name).is_ok());
        let of_server = taken.process.era;
        let shown: Vec<Cow<'_, str>> =
            shown.map(|tool| stateless::manifest(self.era, of_server, &tool.manifest)).collect();
        let result = stateless::listed(self.era, &shown);
        taken.give_back();
        answer(id.get(), "result", &result)
    }
}
