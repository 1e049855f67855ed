//! Servers of others behind the gateway, at `/mcp/SERVER`: what a client says goes on to a run of the server that is the
//! caller's alone, and each call (of a tool, for a resource or for a prompt) is judged, recorded and carried one at a time. The server is not changed; of
//! its answers only what detectors find in them is.
//!
//! A server elsewhere has a session in the place of a run. What it does for a call is done over connections of its own, so
//! that nobody can say on whose behalf: what detectors find there is refused, unless the gateway's file says otherwise.

mod begin;
mod call;
mod done;
mod during;
pub(super) mod front;
mod listeners;
mod looked;
mod pool;
mod process;
mod sessions;
mod talk;
mod voice;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chaperone_access::{Attribution, Called, Delegation, Refusal, RefusalCode, SQL_TOOLS, TargetName};
use chaperone_mcp::beside::{Abilities, List, listened};
use chaperone_mcp::relay::{self, Listing, Said};
use chaperone_mcp::request::Method;
use chaperone_mcp::revision::unspoken;
use chaperone_mcp::stateless::{self, Era};
use chaperone_policy::{Asking, Policies};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use self::begin::{Eras, Manner};
use self::done::{NOT_HERE, as_error, status_of_no_method};
use self::front::Waiting;
use self::listeners::Listeners;
use self::pool::{Key, Pool, Taken};
use self::process::{Offered, Process};
use self::sessions::{Owner, Sessions};
use self::voice::{Event, Voice};
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
    sessions: Sessions,
    /// Calls that wait for the next request of their client.
    waiting: Waiting,
    listeners: Arc<Listeners>,
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
        let (sessions, waiting) = (Sessions::default(), Waiting::default());
        Self { pool: Pool::new(&servers), servers, sessions, waiting, listeners: Arc::default() }
    }

    pub(super) fn get(&self, name: &TargetName) -> Option<Arc<Known>> {
        self.servers.get(name).cloned()
    }

    /// The gateway stops.
    pub(super) fn clear(&self) {
        self.waiting.clear();
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
    /// The client's end of it.
    voice: &'a Voice,
    /// What the client says that it can be asked, as far as any policy lets anybody ask for it.
    abilities: Abilities,
    /// The caller's chain with the server in the place of a tool: a run's own.
    delegation: Delegation,
}

/// Answer one message.
async fn serve(
    mcp: &Arc<Mcp>,
    shower: &Shower,
    server: &Arc<Known>,
    headers: &HeaderMap,
    body: &Bytes,
    voice: &Voice,
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
    let abilities = permitted(voice.abilities(era, &said), &mcp.managed.policies);
    let asked = Asked { mcp, shower, server, era, headers, voice, abilities, delegation };
    // Whoever may not be there is not told that there is such a place; nothing is launched for him either.
    match asked.may(&Called::tool("")) {
        Ok(()) => {}
        Err(refusal) if refusal.code == RefusalCode::UndefinedTarget => return Err(super::unknown()),
        Err(refusal) if refusal.code == RefusalCode::NotPermitted => {}
        Err(refusal) => return Ok(refused(id, &refusal)),
    }
    Ok(match (method, era) {
        ("initialize", Era::Handshake) => asked.initialize(id, &said).await,
        ("server/discover", Era::Stateless) => asked.discover(id).await,
        ("subscriptions/listen", Era::Stateless) => asked.listen(id, &said).await,
        ("ping", Era::Handshake) => answer(id.get(), "result", "{}"),
        (method, era) => match (Method::of(method), Listing::of(method)) {
            (Some(method), _) if method.is_older() && era == Era::Stateless => no_method(id, era),
            (Some(method), _) => asked.call(id, method, &said).await,
            (None, Some(listing)) => asked.list(id, listing).await,
            (None, None) => no_method(id, era),
        },
    })
}

/// What no policy lets anybody ask for, no server need know of.
fn permitted(abilities: Abilities, policies: &Policies) -> Abilities {
    let [elicit, sample, roots] = Asking::ALL.map(|asking| policies.is_about_asking(asking));
    Abilities {
        form: abilities.form && elicit,
        url: abilities.url && elicit,
        sampling: abilities.sampling && sample,
        sampling_tools: abilities.sampling_tools && sample,
        roots: abilities.roots && roots,
    }
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

fn no_method(id: &RawValue, era: Era) -> Response {
    let mut response = error(id, NO_METHOD, NOT_HERE);
    *response.status_mut() = status_of_no_method(era);
    response
}

fn error(id: &RawValue, code: i32, message: &str) -> Response {
    answer(id.get(), "error", &json!({"code": code, "message": message}).to_string())
}

fn refused(id: &RawValue, refusal: &Refusal) -> Response {
    answer(id.get(), "error", &as_error(refusal).to_string())
}

impl Asked<'_> {
    /// Who is behind a call.
    fn chained(&self, called: &Called) -> Delegation {
        Delegation { tool: called.as_tool().cloned(), ..self.delegation.clone() }
    }

    /// Let a client without a handshake hear which lists are others than they were.
    async fn listen(&self, id: &RawValue, said: &Said<'_>) -> Response {
        let lists = List::named(said.params);
        let owner = Owner::of(self.shower, self.server);
        let listening = self.mcp.hosted.listeners.listen(&owner, lists.clone());
        let Some(listening) = listening.filter(|_| self.voice.hears()) else {
            return error(
                id,
                INVALID_REQUEST,
                "accept `text/event-stream`, and listen on few streams at a time",
            );
        };
        self.voice.say(Event::Said(List::acknowledged(&lists, id))).await;
        listening.pass_on(self.voice, |list| list.written(id)).await;
        answer(id.get(), "result", &listened(id))
    }

    /// Whether the caller may call something of the server.
    fn may(&self, called: &Called) -> Result<(), Refusal> {
        let policies = &self.mcp.managed.policies;
        policies.may_call(&self.chained(called), &self.server.name, called, now_us())
    }

    /// Whether the caller may have any of those, given without a name.
    fn may_some(&self, any: &Called) -> bool {
        let policies = &self.mcp.managed.policies;
        policies.may_some(&self.chained(any), &self.server.name, any, now_us())
    }

    /// Which of these resources, or templates of them, the caller may read.
    fn may_read(&self, uris: &[&str]) -> Vec<bool> {
        let policies = &self.mcp.managed.policies;
        let delegation = self.chained(&Called::Resource(None));
        policies.may_read(&delegation, &self.server.name, uris, now_us())
    }

    /// Whether a part of what a server can is there for the caller.
    fn has_part(&self, part: &str) -> bool {
        match part {
            "resources" => self.may_some(&Called::Resource(None)),
            "prompts" => self.may_some(&Called::Prompt(None)),
            "completions" => self.may_some(&Called::Resource(None)) || self.may_some(&Called::Prompt(None)),
            _ => true,
        }
    }

    /// What the server can, as far as it is there for the caller.
    fn capabilities(&self, process: &Process) -> String {
        let both_older = (self.era, process.era) == (Era::Handshake, Era::Handshake);
        let mut all = stateless::capabilities(&process.information, both_older, |part| self.has_part(part));
        if all == "{}" && process.of(Listing::Tools).next().is_some() {
            all = r#"{"tools":{"listChanged":true}}"#.to_owned();
        }
        // Which of a server's messages reach a client is said here, whatever the server itself can be told of it.
        match (self.era, all.strip_suffix('}')) {
            (Era::Handshake, Some("{")) => r#"{"logging":{}}"#.to_owned(),
            (Era::Handshake, Some(rest)) => format!(r#"{rest},"logging":{{}}}}"#),
            (Era::Handshake, None) | (Era::Stateless, _) => all,
        }
    }

    /// Whether something is described as was accepted.
    fn is_accepted(&self, one: &Offered) -> bool {
        let name = one.listing.known_as(&one.name);
        self.mcp.managed.manifests.is_accepted(&self.server.name, &name, &one.digest)
    }

    /// A run that is the caller's, when it is its turn.
    async fn taken(&self) -> Result<Taken, Refusal> {
        let older = self.era == Era::Handshake && self.abilities != Abilities::default();
        let told_each_time = !older && self.server.eras.is_stateless();
        let abilities = if told_each_time { Abilities::default() } else { self.abilities };
        let manner = Manner { abilities, older };
        let key = Key {
            subject: self.delegation.subject.clone(),
            holder: format!("{:?}", self.shower.bearer.who),
            client: self.delegation.client.as_deref().map(str::to_owned),
            purpose: self.delegation.purpose.as_deref().map(str::to_owned),
            server: self.server.name.clone(),
            recipient: self.delegation.server.as_ref().and_then(|server| server.recipient.clone()),
            manner,
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
        let begun = Process::begin(self.mcp, self.shower, self.server, &self.delegation, manner, place);
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
        let capabilities = self.capabilities(&taken.process);
        let mut result = format!(r#"{{"protocolVersion":"{revision}","capabilities":{capabilities}"#);
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
        let capabilities = self.capabilities(&taken.process);
        let server = stateless::server_information(said);
        let result = stateless::discovered(&REVISIONS, &capabilities, server, instructions);
        taken.give_back();
        answer(id.get(), "result", &result)
    }

    /// What the server has of a kind and the caller may call, each as the server describes it.
    async fn list(&self, id: &RawValue, listing: Listing) -> Response {
        if !self.has_part(listing.capability()) {
            return no_method(id, self.era);
        }
        let taken = match self.taken().await {
            Ok(taken) => taken,
            Err(refusal) => return refused(id, &refusal),
        };
        if !taken.process.can(listing.capability()) {
            taken.give_back();
            return no_method(id, self.era);
        }
        let accepted: Vec<&Offered> = taken.process.of(listing).filter(|one| self.is_accepted(one)).collect();
        let names: Vec<&str> = accepted.iter().map(|one| one.name.as_str()).collect();
        let may: Vec<bool> = match listing {
            Listing::Tools => names.iter().map(|name| self.may(&Called::tool(name)).is_ok()).collect(),
            Listing::Prompts => names.iter().map(|name| self.may(&prompt(name)).is_ok()).collect(),
            Listing::Templates => self.may_read(&names),
        };
        let shown = accepted.iter().zip(may).filter(|(_, may)| *may).map(|(one, _)| one);
        let of_server = taken.process.era;
        let shown: Vec<Cow<'_, str>> =
            shown.map(|one| stateless::manifest(self.era, of_server, &one.manifest)).collect();
        let result = stateless::listed(self.era, listing, &shown);
        taken.give_back();
        answer(id.get(), "result", &result)
    }
}

fn prompt(name: &str) -> Called {
    Called::Prompt(Some(Arc::from(name)))
}
