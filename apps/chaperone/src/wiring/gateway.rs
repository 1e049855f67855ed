//! The gateway, from its configuration to its stop.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use std::thread::JoinHandle;

use chaperone_access::{AgentName, Refusal, TargetName};
use chaperone_identity::{Holders, Identity, KeptCaveats, Revoked, RootKeys};
use chaperone_policy::{Policies, PolicySet};
use chaperone_postgres::opening::ListenerOptions;
use chaperone_recording::{Recorder, RecorderParts};
use chaperone_session::Boundary;
use chaperone_store::{
    CaveatFiles, KeyFiles, LockFiles, ManifestFiles, PolicyArchive, RequestFiles, RevocationFiles,
    RosterFiles,
};
use chaperone_trail::{
    Body, ClockStepped, Digest, GatewayHeartbeat, GatewayStarted, KeyCreated, LogKeys, Options, Trail,
};
use chaperone_tunnel::link::{AgentAuthority, Links};
use chaperone_tunnel::{AgentKey, Dialer, InProcess, Several};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::config::agent::AgentConfig;
use crate::config::gateway::{GatewayConfig, Protocol, Target};
use crate::config::{self, beside};
use crate::verbs::Failure;
use crate::wiring::analyst::{Analysts, Understood};
use crate::wiring::api::{self, Answers, Entrance, Managed, RecentSessions, served};
use crate::wiring::classifications::{self, ClassificationFiles, Classifications};
use crate::wiring::clock::{self, Clock, Stepped};
use crate::wiring::commands::Commands;
use crate::wiring::door::Sessions;
use crate::wiring::epochs;
use crate::wiring::exchange::{self, Exchanges};
use crate::wiring::identity::{self, Identities, Issuers};
use crate::wiring::installation::{Keys, forget_log_keys, now_us, readers};
use crate::wiring::link::{self, OnRecord};
use crate::wiring::listener::Listener;
use crate::wiring::locks::LockKeeper;
use crate::wiring::logins::DatabaseLogins;
use crate::wiring::manifests::Manifests;
use crate::wiring::mcp::{self, Mcp, Setting, hosted};
use crate::wiring::metrics::Counters;
use crate::wiring::policies::{self, KeeperParts, PolicyKeeper};
use crate::wiring::reread::Rereader;
use crate::wiring::revocations::{self, RevocationKeeper};
use crate::wiring::sweep::{self, Kick, Sweeper};
use crate::wiring::targets::Declared;
use crate::wiring::tls;
use crate::wiring::usage;

/// How long open sessions may take to end when the gateway stops.
const DRAIN: Duration = Duration::from_secs(10);
const MINUTE_S: u64 = 60;

/// Run until SIGTERM or SIGINT.
pub(crate) async fn run(path: &Path) -> Result<(), Failure> {
    let text = config::read_text(path)?;
    let mut config: GatewayConfig = config::load(path)?;
    check_listeners(&config)?;
    hosted::check(&config)?;
    config.check_exchanging().map_err(Failure::Usage)?;
    let issuers = identity::issuers(path, &mut config)?;
    let classifications = classifications(path, &config)?;
    let policies = policies(path, &config, &classifications)?;
    let readers = readers(&config.recording.readers)?;
    let keys = Keys::open(&beside(path, &config.keys), &config.name)?;
    let data = beside(path, &config.data);
    let (trail, publisher) = open_trail(&data, &beside(path, &config.keys), keys.log)?;
    let table = KeyFiles::open(&data.join("keytable")).map_err(Failure::io("cannot open the key table"))?;
    let counters = Arc::new(Counters::default());
    let recorder = Arc::new(Recorder::new(RecorderParts {
        trail: trail.clone(),
        keys: Arc::new(table),
        readers,
        commitment: Arc::new(keys.commitment),
        installation: config.name.clone(),
        subscriber: counters.clone(),
    }));
    let archive = PolicyArchive::open(&data.join("policies"))
        .map_err(Failure::io("cannot open the archive of policies"))?;
    archive.keep(policies.files()).map_err(Failure::io("cannot keep the policies"))?;
    let archive = Arc::new(archive);
    let local = local_agent(path, &config, keys.local_agent)?;
    let observer = Arc::new(OnRecord::new(recorder.clone()));
    let links = links(&config, &data, keys.agent_authority, observer.clone())?;
    let classified = &classifications;
    let started =
        Started { text: &text, made: &keys.made, policies: &policies, classified, local: local.as_ref() };
    record_start(&recorder, &config, &started).await?;
    record_rotations(&recorder, &beside(path, &config.keys)).await?;
    let dialer = dialer(local, links.clone());
    let known = known(&config, &data, keys.credentials, issuers, &recorder)?;
    let admin_token = keys.admin_token;
    let parts = Parts {
        recorder,
        dialer,
        links,
        observer,
        counters,
        known,
        policies,
        classifications,
        archive,
        admin_token,
    };
    serve(path, &text, &config, parts).await?;
    let closed = tokio::task::spawn_blocking(move || {
        let closed = trail.close("asked to stop");
        // The last checkpoint covers the stop itself.
        drop(publisher.join());
        closed
    });
    closed.await.map_err(Failure::failed)?.map_err(Failure::failed)
}

/// The policies, with their warnings in the log.
fn policies(path: &Path, config: &GatewayConfig, classified: &Classifications) -> Result<PolicySet, Failure> {
    let tags = classifications::tags(classified.values().map(|one| &*one.classification));
    match policies::load(config, &beside(path, &config.policy.folder), tags)? {
        Ok((set, warnings)) => {
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            Ok(set)
        }
        Err(errors) => Err(Failure::Usage(policies::lines(&errors))),
    }
}

/// The classifications; targets without one are named in the log.
fn classifications(path: &Path, config: &GatewayConfig) -> Result<Classifications, Failure> {
    for line in classifications::unclassified(config) {
        tracing::warn!("{line}");
    }
    ClassificationFiles::new(path, config).load().map_err(|lines| Failure::Usage(lines.join("\n")))
}

/// The trail, recovered, and the thread that publishes it under the newest log key. The verifier keys that it had, oldest
/// first, are put beside it for convenience; whoever verifies should have one from somewhere else.
fn open_trail(data: &Path, keys: &Path, log: LogKeys) -> Result<(Trail, JoinHandle<()>), Failure> {
    let folder = data.join("trail");
    let (trail, recovered) = Trail::open(Options::new(&folder)).map_err(Failure::failed)?;
    let (newest, key) = (log.last().epoch(), log.last().verifier_key());
    let publisher = trail.publish(log).map_err(Failure::failed)?;
    let mut verifiers = trail.former_verifier_keys();
    verifiers.push(key);
    std::fs::write(folder.join("log.vkey"), format!("{}\n", verifiers.join("\n")))
        .map_err(Failure::io("cannot write the verifier keys"))?;
    // Last of all: until here a start that ends goes on with the old key.
    forget_log_keys(keys, newest)?;
    if !recovered.open.is_empty() {
        let sessions = recovered.open.len();
        tracing::warn!(sessions, "the last run did not end well; its open sessions were closed as lost");
    }
    Ok((trail, publisher))
}

/// Who is known, and what proves it.
struct Known {
    identity: Arc<Identity>,
    holders: Arc<Holders>,
    identities: Arc<Identities>,
    revocations: Arc<RevocationKeeper>,
    revoked: Arc<Revoked>,
    kick: Kick,
}

fn known(
    config: &GatewayConfig,
    data: &Path,
    keys: RootKeys,
    issuers: Issuers,
    recorder: &Arc<Recorder>,
) -> Result<Known, Failure> {
    let (holders, people) = identity::holders(data, &issuers)?;
    let files = RevocationFiles::open(&data.join("revocations"));
    let files = files.map_err(Failure::io("cannot open the folder of revoked credentials"))?;
    let revoked = revocations::read(&files, now_us())
        .map_err(Failure::io("cannot read which credentials were revoked, so nobody knows"))?;
    let mut identity = Identity::new(keys, revoked.clone())
        .holding(holders.clone(), people.clone())
        .registered(Arc::new(config.registered().map_err(Failure::Usage)?))
        .keeping(Arc::new(caveats(data).map_err(Failure::io("cannot read caveats of credentials"))?));
    if config.development().is_none() {
        identity = identity.without_named();
    }
    let (identity, kick) = (Arc::new(identity), Kick::default());
    let revocations = RevocationKeeper::new(files, revoked.clone(), recorder.clone(), kick.clone());
    let revocations = Arc::new(revocations);
    let identities = Arc::new(Identities::new(identity::Parts {
        recorder: recorder.clone(),
        identity: identity.clone(),
        holders: holders.clone(),
        people,
        issuers,
        kick: kick.clone(),
    }));
    Ok(Known { identity, holders, identities, revocations, revoked, kick })
}

fn caveats(data: &Path) -> std::io::Result<KeptCaveats> {
    KeptCaveats::open(Arc::new(CaveatFiles::open(&data.join("caveats"))?))
}

/// What is served.
struct Parts {
    recorder: Arc<Recorder>,
    dialer: Arc<dyn Dialer>,
    links: Option<Arc<Links>>,
    observer: Arc<OnRecord>,
    counters: Arc<Counters>,
    known: Known,
    policies: PolicySet,
    classifications: Classifications,
    archive: Arc<PolicyArchive>,
    admin_token: String,
}

/// The listeners' shared state, from the parts.
fn assemble(path: &Path, config: &GatewayConfig, parts: Parts) -> Result<Assembled, Failure> {
    let Parts { recorder, dialer, links, observer, counters, known, policies, .. } = parts;
    let Parts { classifications, archive, admin_token, .. } = parts;

    let Known { identity, holders, identities, revocations, revoked, kick } = known;
    let understood = config.targets.iter().map(|target| understood(target, &classifications));
    let analysts = Analysts::new(understood, &dialer, &recorder);
    let analysts = Arc::new(analysts.map_err(Failure::io("cannot start the analyser"))?);
    let logins = config.targets.iter().map(|(name, target)| (name.clone(), target.logins.clone()));
    let (logins, max) = (DatabaseLogins::new(logins), config.postgres.sessions_max);
    let speaks = spoken(config).into_iter().collect();
    let sessions = Arc::new(Sessions::new(analysts.clone(), dialer.clone(), logins, speaks, max));
    observer.watch(&sessions);
    let policies = Arc::new(Policies::new(policies));
    let files = LockFiles::open(&beside(path, &config.data).join("locks"));
    let files = files.map_err(Failure::io("cannot open the folder of locks"))?;
    let locks = Arc::new(LockKeeper::open(files, policies.clone(), recorder.clone(), kick.clone())?);
    let keeper = PolicyKeeper::new(KeeperParts {
        folder: beside(path, &config.policy.folder),
        known: policies::known(config, None)?,
        archive,
        policies: policies.clone(),
        classifications: ClassificationFiles::new(path, config),
        analysts: analysts.clone(),
        recorder: recorder.clone(),
        kick: kick.clone(),
    });
    let (counts, usages) = usage::open(&beside(path, &config.data))?;
    let boundary = Arc::new(Boundary {
        identity: identity.clone(),
        policies: policies.clone(),
        usages,
        recorder: recorder.clone(),
        dialer: dialer.clone(),
        door: sessions.clone(),
        statement_bytes_max: config.postgres.statement_bytes_max,
    });
    let usage = usage::Keeper::new(counts, boundary.clone());
    let managed = Arc::new(Managed {
        recorder: recorder.clone(),
        sessions: sessions.clone(),
        analysts,
        policies: policies.clone(),
        keeper,
        locks,
        revocations,
        manifests: manifests(&beside(path, &config.data), &recorder)?,
        dialer: dialer.clone(),
        links: links.clone(),
        counters: counters.clone(),
        answers: Arc::new(answers(&beside(path, &config.data))?),
        recent: RecentSessions::new(recorder.trail()),
        holders,
        identities: identities.clone(),
        identity: identity.clone(),
        entrance: entrance(config),
        admin_token,
        installation: config.name.clone(),
        targets: spoken(config),
        commands: Arc::new(Commands::new(boundary.clone(), counters.clone())),
    });
    let options = listener_options(path, config)?;
    let mcp =
        Setting::new(config)?.map(|setting| Mcp::new(setting, managed.clone(), boundary.clone(), config));
    let exchange = exchange::Setting::new(config)?
        .map(|setting| Arc::new(Exchanges { setting, managed: managed.clone() }));
    let listener = Arc::new(Listener { boundary, sessions: sessions.clone(), options, counters });
    let reach = Reach { sessions, dialer, links };
    let (faces, identity) = ((mcp, exchange), (identity, identities));
    Ok(Assembled { listener, managed, faces, recorder, identity, policies, revoked, kick, reach, usage })
}

/// How a target's operations are understood.
fn understood((name, target): (&TargetName, &Target), classifications: &Classifications) -> Understood {
    Understood {
        name: name.clone(),
        refresh: Duration::from_secs(target.catalog_refresh_s),
        classified: classifications.get(name).cloned(),
        free_text: target.free_text.config(),
        has_catalog: target.protocol == Protocol::Postgres,
    }
}

/// What was accepted of servers' tools.
fn manifests(data: &Path, recorder: &Arc<Recorder>) -> Result<Arc<Manifests>, Failure> {
    let files = ManifestFiles::open(&data.join("manifests"));
    let files = files.map_err(Failure::io("cannot open the folder of accepted tools"))?;
    Ok(Arc::new(Manifests::new(files, recorder.clone())))
}

/// Requests that came with an idempotency key, as they were kept.
fn answers(data: &Path) -> Result<Answers, Failure> {
    let files = RequestFiles::open(&data.join("requests"));
    let answers = files.and_then(|files| Answers::open(files, now_us() / 1_000_000));
    answers.map_err(Failure::io("cannot read requests that came with a key"))
}

fn entrance(config: &GatewayConfig) -> Entrance {
    let (ip, port) = (config.postgres.listen.ip(), config.postgres.listen.port());
    let sslmode = if config.postgres.certificate.is_some() { "verify-full" } else { "disable" };
    Entrance { host: (!ip.is_unspecified()).then(|| ip.to_string()), port, sslmode }
}

struct Assembled {
    listener: Arc<Listener>,
    managed: Arc<Managed>,
    /// `None` where the gateway is no MCP server, and where it exchanges no tokens.
    faces: (Option<Arc<Mcp>>, Option<Arc<Exchanges>>),
    recorder: Arc<Recorder>,
    identity: (Arc<Identity>, Arc<Identities>),
    policies: Arc<Policies>,
    revoked: Arc<Revoked>,
    kick: Kick,
    reach: Reach,
    usage: usage::Keeper,
}

/// Who is connected, and the ways to the targets.
struct Reach {
    sessions: Arc<Sessions>,
    dialer: Arc<dyn Dialer>,
    links: Option<Arc<Links>>,
}

/// What a target of SQL speaks, one of declared commands, and a server of others.
pub(crate) const POSTGRES: &str = "postgres";
pub(crate) const COMMAND: &str = "command";
pub(crate) const MCP: &str = "mcp";

/// What each target speaks.
fn spoken(config: &GatewayConfig) -> Vec<(TargetName, &'static str)> {
    let word = |protocol| match protocol {
        Protocol::Postgres => POSTGRES,
        Protocol::Command => COMMAND,
    };
    let targets = config.targets.iter().map(|(name, target)| (name.clone(), word(target.protocol)));
    targets.chain(config.servers.keys().map(|name| (name.clone(), MCP))).collect()
}

/// What `config check` and the start both refuse.
pub(crate) fn check_listeners(config: &GatewayConfig) -> Result<(), Failure> {
    let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
    match (&config.api.certificate, &config.api.key) {
        (None, None) if !config.api.listen.ip().is_loopback() => {
            return usage(
                "`api.listen` is not a loopback address, so the API needs TLS (hint: set `api.certificate` and `api.key`)",
            );
        }
        (Some(_), None) | (None, Some(_)) => return usage("`api.certificate` and `api.key` belong together"),
        (Some(_), Some(_)) | (None, None) => {}
    }
    if config.local_agent.is_none() && config.agents.is_none() {
        return usage(
            "no agent can serve a target (hint: `local_agent = \"agent.toml\"`, or `listen` in `[agents]` for agents of their own)",
        );
    }
    let loopback = config.postgres.listen.ip().is_loopback();
    match (&config.postgres.certificate, &config.postgres.key) {
        (None, None) if !(config.postgres.plain_loopback && loopback) => usage(
            "the PostgreSQL listener has no certificate (hint: set `postgres.certificate` and `postgres.key`, \
             or `plain_loopback = true` with a loopback address)",
        ),
        (Some(_), None) | (None, Some(_)) => {
            usage("`postgres.certificate` and `postgres.key` belong together")
        }
        (Some(_), Some(_)) | (None, None) => Ok(()),
    }
}

/// The listener's TLS, checked.
pub(crate) fn listener_options(path: &Path, config: &GatewayConfig) -> Result<ListenerOptions, Failure> {
    let tls = match (&config.postgres.certificate, &config.postgres.key) {
        (Some(certificate), Some(key)) => {
            let read = |file: &Path| {
                let file = beside(path, file);
                std::fs::read(&file).map_err(Failure::io(format!("cannot read `{}`", file.display())))
            };
            let (chain, key) = (read(certificate)?, read(key)?);
            Some(
                chaperone_postgres::certificate::listener_certificate(&chain, &key)
                    .map_err(Failure::failed)?,
            )
        }
        (Some(_), None) | (None, Some(_)) | (None, None) => None,
    };
    Ok(ListenerOptions {
        tls,
        plain_loopback: config.postgres.plain_loopback,
        statement_bytes_max: config.postgres.statement_bytes_max,
        in_process: false,
    })
}

/// The API's TLS, checked.
pub(crate) fn api_tls(path: &Path, config: &GatewayConfig) -> Result<Option<TlsAcceptor>, Failure> {
    match (&config.api.certificate, &config.api.key) {
        (Some(certificate), Some(key)) => {
            tls::acceptor(&beside(path, certificate), &beside(path, key)).map(Some)
        }
        (Some(_), None) | (None, Some(_)) | (None, None) => Ok(None),
    }
}

/// The agent inside this process.
fn local_agent(path: &Path, config: &GatewayConfig, key: AgentKey) -> Result<Option<LocalAgent>, Failure> {
    let Some(file) = &config.local_agent else { return Ok(None) };
    let file = beside(path, file);
    let agent: AgentConfig = config::load(&file)?;
    let (name, public) = (agent.name.clone(), key.public());
    let declared = Arc::new(Declared::new(agent, &file)?);
    declared.start()?;
    let dialer = Arc::new(InProcess::new(name.clone(), declared, key));
    Ok(Some(LocalAgent { name, public, dialer }))
}

struct LocalAgent {
    name: AgentName,
    public: Vec<u8>,
    dialer: Arc<InProcess>,
}

/// Agents that dial in, where the configuration has a place for them.
fn links(
    config: &GatewayConfig,
    data: &Path,
    (key, former): (AgentKey, Vec<(AgentKey, u64)>),
    observer: Arc<OnRecord>,
) -> Result<Option<Arc<Links>>, Failure> {
    if config.agents.is_none() {
        return Ok(None);
    }
    let roster =
        RosterFiles::open(&data.join("agents")).map_err(Failure::io("cannot open the roster of agents"))?;
    let authority = AgentAuthority::after(&key, &former).map_err(Failure::failed)?;
    Links::new(authority, Arc::new(roster), observer).map(Some).map_err(Failure::failed)
}

fn dialer(local: Option<LocalAgent>, links: Option<Arc<Links>>) -> Arc<dyn Dialer> {
    let mut ways: Vec<Arc<dyn Dialer>> = Vec::new();
    ways.extend(local.map(|local| local.dialer as Arc<dyn Dialer>));
    ways.extend(links.map(|links| links as Arc<dyn Dialer>));
    Arc::new(Several::new(ways))
}

struct Started<'a> {
    text: &'a str,
    made: &'a [&'static str],
    policies: &'a PolicySet,
    classified: &'a Classifications,
    local: Option<&'a LocalAgent>,
}

/// The first entries of a run: nothing is served before they are durable.
async fn record_start(
    recorder: &Recorder,
    config: &GatewayConfig,
    started: &Started<'_>,
) -> Result<(), Failure> {
    let mut bodies = vec![Body::GatewayStarted(GatewayStarted {
        configuration: Digest::of(started.text.as_bytes()),
        heartbeat_s: config.trail.heartbeat_s,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })];
    for name in started.made {
        let purpose = name.trim_end_matches(".key").replace('.', " ");
        bodies.push(Body::KeyCreated(KeyCreated { key: (*name).to_owned(), purpose }));
    }
    if let Some(local) = started.local {
        let targets = local.dialer.targets().iter().map(ToString::to_string).collect();
        bodies.push(link::enrolled(&local.name, "gateway configuration".to_owned(), &local.public, targets));
    }
    bodies.push(policies::loaded_body("start", started.policies));
    for (target, classified) in started.classified {
        bodies.push(classifications::loaded_body("start", target, Some(classified)));
    }
    for body in bodies {
        recorder.note(body).await.map_err(Failure::failed)?;
    }
    Ok(())
}

/// Keys that took the place of others since the last start, each told once: its mark goes when that is durable.
async fn record_rotations(recorder: &Recorder, keys: &Path) -> Result<(), Failure> {
    for (body, marker) in epochs::unrecorded(keys)? {
        recorder.note(body).await.map_err(Failure::failed)?;
        std::fs::remove_file(&marker).map_err(Failure::io("cannot remove the mark of a new key"))?;
    }
    Ok(())
}

async fn serve(path: &Path, text: &str, config: &GatewayConfig, parts: Parts) -> Result<(), Failure> {
    let assembled = assemble(path, config, parts)?;
    let Assembled { listener, managed, faces, recorder, identity, policies, .. } = assembled;
    let Assembled { revoked, kick, reach, usage, .. } = assembled;
    let (mcp, exchange) = faces;
    let Reach { sessions, dialer, links } = reach;
    let (identity, identities) = identity;
    identities.begin().await;
    let bind = |address| async move {
        TcpListener::bind(address).await.map_err(Failure::io(format!("cannot listen on {address}")))
    };
    let clients = bind(config.postgres.listen).await?;
    let api_listener = bind(config.api.listen).await?;
    let api_tls = api_tls(path, config)?;
    let (stop, stopped) = watch::channel(false);
    if let (Some(links), Some(agents)) = (links, &config.agents) {
        let listener = bind(agents.listen).await?;
        tracing::info!(agents = %agents.listen, "waiting for agents");
        tokio::spawn(link::serve(links, listener, stopped.clone()));
    }
    let who = (identities.clone(), identity.clone());
    let rereader = Rereader::new(path, text, who, recorder.clone(), kick.clone())?;
    tokio::spawn(policies::on_hangup(managed.keeper.clone(), rereader, stopped.clone()));
    let sweeper = Sweeper::new(&sessions, &identity, policies, revoked, &recorder);
    tokio::spawn(sweep::run(sweeper, kick, stopped.clone()));
    tokio::spawn(identities.run(stopped.clone()));
    let usage = tokio::spawn(usage.run(stopped.clone()));
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::io("cannot wait for SIGTERM"))?;
    let served = tokio::spawn(listener.serve(clients, stopped.clone()));
    let answers = managed.answers.clone();
    let mut router = api::router(managed);
    router = mcp.iter().fold(router, |router, mcp| mcp::router(mcp.clone()).merge(router));
    router = exchange.into_iter().fold(router, |router, exchange| exchange::router(exchange).merge(router));
    let api = tokio::spawn(served::serve(api_listener, api_tls, router, answers, stopped));
    let pulse = Pulse {
        recorder: recorder.clone(),
        identity: identity.clone(),
        sessions: sessions.clone(),
        dialer,
        interval_s: config.trail.heartbeat_s,
    };
    let beat = tokio::spawn(heartbeat(pulse.clone()));
    tracing::info!(postgres = %config.postgres.listen, api = %config.api.listen, "gateway is up");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("stopping");
    stop.send_replace(true);
    beat.abort();
    if let Some(mcp) = &mcp {
        mcp.stop();
    }
    sessions.stop_all();
    let drained = async {
        while sessions.count() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!(sessions = sessions.count(), "some sessions did not end in time");
    }
    drop(served.await);
    drop(api.await);
    // What the last sessions used as well, and what agents counted of them.
    usage.await.map_err(Failure::failed)?.once().await;
    if let Err(refusal) = pulse.last().await {
        tracing::error!(%refusal, "the last heartbeat could not be recorded");
    }
    Ok(())
}

/// What is written at intervals.
#[derive(Clone)]
struct Pulse {
    recorder: Arc<Recorder>,
    identity: Arc<Identity>,
    sessions: Arc<Sessions>,
    dialer: Arc<dyn Dialer>,
    interval_s: u64,
}

impl Pulse {
    /// A sign of life, with what agents counted.
    async fn beat(&self) -> Result<(), Refusal> {
        let body = Body::GatewayHeartbeat(GatewayHeartbeat {
            agents: link::totals(&self.dialer).await,
            durable: self.recorder.trail().metrics().durable,
            interval_s: self.interval_s,
            sessions: self.sessions.count() as u64,
        });
        self.recorder.note(body).await.map(drop)
    }

    /// What strangers did, where it was only counted; nothing before a minute is over.
    async fn strangers(&self, now_us: u64) -> Result<(), Refusal> {
        let failures = self.identity.counted_failures(now_us);
        self.recorder.authentication_failures(failures, MINUTE_S).await?;
        let violations = self.identity.counted_violations(now_us);
        self.recorder.violations(violations, MINUTE_S).await
    }

    /// Before the stop: nothing that was counted is lost.
    async fn last(&self) -> Result<(), Refusal> {
        self.strangers(u64::MAX).await?;
        self.beat().await
    }
}

/// An entry at a fixed interval, so that silence is visible; and what strangers did that was only counted.
async fn heartbeat(pulse: Pulse) {
    let recorder = &pulse.recorder;
    let mut due = tokio::time::interval(Duration::from_secs(pulse.interval_s.max(1)));
    let mut minute = tokio::time::interval(Duration::from_secs(MINUTE_S));
    let mut look = tokio::time::interval(clock::LOOK);
    let mut clock = Clock::new(Instant::now(), now_us());
    loop {
        let written = tokio::select! {
            _ = due.tick() => pulse.beat().await,
            _ = minute.tick() => pulse.strangers(recorder.now()).await,
            _ = look.tick() => match clock.look(Instant::now(), now_us()) {
                Some(Stepped { back, by_us }) => {
                    recorder.note(Body::ClockStepped(ClockStepped { back, by_us })).await.map(drop)
                }
                None => Ok(()),
            },
        };
        if let Err(refusal) = written {
            tracing::error!(%refusal, "a heartbeat could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_leaves_this_machine_with_a_certificate_only() {
        let checked = |api: &str| {
            let listen = "listen = \"127.0.0.1:6480\"";
            let text = crate::config::keys::gateway_starter().replace(listen, api);
            check_listeners(&toml::from_str(&text).unwrap()).map_err(|error| error.to_string())
        };
        let (near, far) = ("listen = \"[::1]:6480\"", "listen = \"0.0.0.0:6480\"");
        let pair = "certificate = \"a.crt\"\nkey = \"a.key\"";
        assert_eq!(checked(near), Ok(()));
        assert!(checked(far).unwrap_err().contains("needs TLS"));
        assert!(checked(&format!("{near}\nkey = \"a.key\"")).unwrap_err().contains("belong together"));
        for listen in [near, far] {
            assert_eq!(checked(&format!("{listen}\n{pair}")), Ok(()));
        }
    }
}
