//! Servers of others behind the gateway, at `/mcp/SERVER`: what a client says goes on to a run of the server that is the
//! caller's alone, and each call of a tool is judged, recorded and carried one at a time. The server is not changed; of
//! its answers only what detectors find in them is.

mod call;
mod looked;
mod pool;
mod process;
mod talk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chaperone_access::{Delegation, Refusal, RefusalCode, SQL_TOOLS, TargetName};
use chaperone_mcp::relay::{self, Said};
use chaperone_mcp::revision::unspoken;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use self::pool::{Key, Pool, Taken};
use self::process::{Process, Tool};
use super::tools::{NotThere, chain};
use super::{Early, Mcp, Shower};
use crate::config::gateway::GatewayConfig;
use crate::verbs::Failure;
use crate::wiring::installation::now_us;

/// Revisions that clients may speak here, newest first.
const REVISIONS: [&str; 2] = ["2025-11-25", "2025-06-18"];
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
    /// The target that its runs may reach.
    pub(super) target: TargetName,
    /// How long a run waits for another call.
    pub(super) idle: Duration,
    pub(super) places: Arc<Semaphore>,
    /// What detectors look for in its answers: as in the target's own free text.
    pub(super) detectors: Arc<chaperone_masking::Config>,
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
        if !config.targets.contains_key(&server.target) {
            return wrong("its `target` is none of `[targets]`");
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
            let text = config.targets.get(&target).map(|target| target.free_text.config());
            let detectors = Arc::new(text.unwrap_or_default());
            (name.clone(), Arc::new(Known { name: name.clone(), target, idle, places, detectors }))
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

/// One request of one caller to one server.
struct Asked<'a> {
    mcp: &'a Arc<Mcp>,
    shower: &'a Shower,
    server: &'a Arc<Known>,
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
    if let Some(error) = unspoken(headers, &REVISIONS) {
        return Ok(not_taken(&error));
    }
    let said = match relay::said(body) {
        Ok(said) => said,
        Err(error) => {
            return Ok(not_taken(&json!({"code": INVALID_REQUEST, "message": error.to_string()})));
        }
    };
    let (Some(id), Some(method)) = (said.id, said.method.as_deref()) else {
        // Notifications are the gateway's own business with the run, and a client has nothing to answer.
        return Ok(StatusCode::ACCEPTED.into_response());
    };
    let delegation = match chain(mcp, shower, server.name.as_str(), shower.purpose.clone()) {
        Ok(delegation) => delegation,
        Err(NotThere::Unknown) => return Err(super::unknown()),
        Err(NotThere::OtherClient) => return Err(super::other_client()),
    };
    let acting = mcp.managed.identity.server(&Arc::from(server.name.as_str()));
    let delegation = Delegation { server: Some(acting), ..delegation };
    let asked = Asked { mcp, shower, server, delegation };
    // Whoever may not be there is not told that there is such a place; nothing is launched for him either.
    match asked.may("") {
        Ok(()) => {}
        Err(refusal) if refusal.code == RefusalCode::UndefinedTarget => return Err(super::unknown()),
        Err(refusal) if refusal.code == RefusalCode::NotPermitted => {}
        Err(refusal) => return Ok(refused(id, &refusal)),
    }
    Ok(match method {
        "initialize" => asked.initialize(id, &said).await,
        "ping" => answer(id.get(), "result", "{}"),
        "tools/list" => asked.list(id).await,
        "tools/call" => asked.call(id, &said).await,
        _ => error(id, NO_METHOD, "the gateway carries the tools of a server, and nothing else of it"),
    })
}

/// An answer of JSON-RPC; `what` is `result` or `error`, `raw` its JSON as it stands.
fn answer(id: &str, what: &str, raw: &str) -> Response {
    let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"{what}":{raw}}}"#);
    let mut response = Response::new(text.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The answer to what is no request that can be answered by its id.
fn not_taken(error: &Value) -> Response {
    let mut response = answer("null", "error", &error.to_string());
    *response.status_mut() = StatusCode::BAD_REQUEST;
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
        let place = pool.place(self.server)?;
        let launched = Process::launch(self.mcp, self.shower, self.server, &self.delegation, place);
        let slow = |_elapsed| {
            let why = format!("server `{}` did not begin within {} s", self.server.name, BEGIN.as_secs());
            Refusal::new(RefusalCode::TargetUnavailable, why)
                .hint("call again; if it happens again, tell whoever answers for the server")
        };
        let process = tokio::time::timeout(BEGIN, launched).await.map_err(slow)??;
        Ok(turn.with(process))
    }

    /// The gateway's own word on the revision and what is offered; the server's on who it is.
    async fn initialize(&self, id: &RawValue, said: &Said<'_>) -> Response {
        let wanted = said.params.and_then(|params| relay::member(params, "protocolVersion").ok().flatten());
        let wanted: Option<String> = wanted.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let Some(wanted) = wanted else {
            return error(id, INVALID_PARAMS, "`protocolVersion` is missing");
        };
        let revision = REVISIONS.into_iter().find(|known| *known == wanted).unwrap_or(REVISIONS[0]);
        let taken = match self.taken().await {
            Ok(taken) => taken,
            Err(refusal) => return refused(id, &refusal),
        };
        let mut result = format!(r#"{{"protocolVersion":"{revision}","capabilities":{{"tools":{{}}}}"#);
        for name in ["serverInfo", "instructions"] {
            if let Ok(Some(raw)) = relay::member(&taken.process.information, name) {
                result.push_str(&format!(r#","{name}":{}"#, raw.get()));
            }
        }
        result.push('}');
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
        let shown: Vec<&str> = shown.map(|tool| tool.manifest.get()).collect();
        let result = format!(r#"{{"tools":[{}]}}"#, shown.join(","));
        taken.give_back();
        answer(id.get(), "result", &result)
    }
}
