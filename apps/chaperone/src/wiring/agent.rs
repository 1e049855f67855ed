//! The agent, from its configuration to its stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chaperone_recording::keyfile;
use chaperone_tunnel::link::{
    EnrolmentToken, Issued, LinkEnd, LinkError, Serving, enrol, link, renew, signing_request, validity,
};
use chaperone_tunnel::{AgentKey, limits};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{RwLock, watch};

use crate::config::agent::AgentConfig;
use crate::config::{self, beside};
use crate::verbs::Failure;
use crate::wiring::installation::{now_us, random};
use crate::wiring::targets::Declared;

const KEY_FILE: &str = "agent.key";
const IDENTITY_FILE: &str = "identity.json";
const PENDING_FILE: &str = "renewal.request";
/// Wait before a renewal that failed is tried again.
const RENEWAL_RETRY: Duration = Duration::from_secs(60);

/// Run until SIGTERM or SIGINT.
pub(crate) async fn run(path: &Path, token: Option<&Path>) -> Result<(), Failure> {
    let config: AgentConfig = config::load(path)?;
    let gateway = config.gateway.clone().ok_or_else(|| {
        Failure::Usage(format!(
            "`{}` names no `gateway` (hint: `gateway = \"host:port\"`, where its `[agents]` listens)",
            path.display()
        ))
    })?;
    let name = config.name.clone();
    let state = State { folder: beside(path, &config.state) };
    let declared = Arc::new(Declared::new(config, path)?);
    let (key, identity) = match (state.identity()?, token) {
        (Some(identity), None) => (Arc::new(state.key()?), identity),
        (_, Some(token)) => {
            let token = read_token(token)?;
            // Never the key of an identity before: a copy of it may be why there is a new one.
            let key = Arc::new(AgentKey::generate().map_err(Failure::failed)?);
            let request = signing_request(&key).map_err(Failure::failed)?;
            let issued = enrol(&gateway, &token, &name, request).await.map_err(Failure::failed)?;
            state.begin(&key, &issued)?;
            tracing::info!(agent = %name, "enrolled");
            (key, issued)
        }
        (None, None) => {
            return Err(Failure::Usage(format!(
                "agent `{name}` is not enrolled (hint: `chaperone agent token create {name} --target TARGET` on the \
                 gateway's machine prints a token; then start with `--token-file FILE`)"
            )));
        }
    };
    declared.start()?;
    let agent = Agent {
        gateway,
        serving: Serving::new(name, declared.clone(), key.clone()),
        key,
        state,
        identity: RwLock::new(identity),
    };
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::io("cannot wait for SIGTERM"))?;
    let asked = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("stopping: open streams may end, new ones are refused");
        stop.send_replace(true);
        declared.stop();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = agent.keep_linked(stopped) => {
            declared.ended().await;
            Ok(())
        }
        failure = agent.keep_renewed() => Err(failure),
        () = asked => Ok(()),
    }
}

fn read_token(path: &Path) -> Result<EnrolmentToken, Failure> {
    let text = std::fs::read_to_string(path)
        .map(zeroize::Zeroizing::new)
        .map_err(Failure::io(format!("cannot read the token `{}`", path.display())))?;
    text.parse().map_err(|error: LinkError| Failure::Usage(error.to_string()))
}

struct Agent {
    gateway: String,
    serving: Serving,
    key: Arc<AgentKey>,
    state: State,
    /// Owner: `keep_renewed` writes, `keep_linked` reads.
    identity: RwLock<Issued>,
}

impl Agent {
    /// Dial, serve, and dial again until drained.
    async fn keep_linked(&self, mut stop: watch::Receiver<bool>) {
        let (first, longest) = limits::REDIAL;
        let mut bound = first;
        let mut stopping = None;
        loop {
            let identity = self.identity.read().await.clone();
            match link(&self.gateway, &identity, &self.serving, stop.clone()).await {
                Ok(LinkEnd::Drained) => return,
                Ok(LinkEnd::Over(reason)) => {
                    tracing::warn!(%reason, "the link is over");
                    bound = first;
                }
                Err(error) => tracing::warn!(%error, gateway = %self.gateway, "no link"),
            }
            // A random share of the bound: agents that lost one gateway together do not come back together.
            let share = f64::from(u32::from_be_bytes(random())) / f64::from(u32::MAX);
            let wait = first.max(bound.mul_f64(share));
            bound = (bound * 2).min(longest);
            if stopping.is_none() {
                tokio::select! {
                    () = tokio::time::sleep(wait) => continue,
                    _ = stop.wait_for(|stop| *stop) => {}
                }
            }
            // Without a link no stream is open, but tallies may be left that the gateway has not fetched.
            let since = *stopping.get_or_insert_with(Instant::now);
            if self.serving.outstanding() == (0, 0) || since.elapsed() > limits::DRAIN.0 {
                return;
            }
            tokio::time::sleep(first).await;
        }
    }

    /// Renew after two thirds of the certificate's life, for ever. What cannot be done now is tried again: the gateway
    /// answers the same request alike. Returns only where the certificate is none.
    /// Also as soon as the gateway turns out to have another authority: certificates of the one before end with it.
    async fn keep_renewed(&self) -> Failure {
        let mut authority = self.serving.authority();
        loop {
            let identity = self.identity.read().await.clone();
            let is_behind = authority.borrow_and_update().is_some_and(|newest| !identity.is_of(&newest));
            let due_s = match validity(&identity.certificate) {
                Ok((begins, ends)) => begins + (ends - begins) * 2 / 3,
                Err(error) => return Failure::failed(error),
            };
            let now_s = i64::try_from(now_us() / 1_000_000).unwrap_or(i64::MAX);
            if now_s < due_s && !is_behind {
                // In steps, so that a machine that slept renews soon after it woke.
                let left = Duration::from_secs(u64::try_from(due_s - now_s).unwrap_or(0));
                tokio::select! {
                    () = tokio::time::sleep(left.min(RENEWAL_RETRY)) => {}
                    _ = authority.changed() => {}
                }
                continue;
            }
            match self.renew(&identity).await {
                Ok(issued) => {
                    *self.identity.write().await = issued;
                    tracing::info!("the certificate was renewed");
                }
                Err(failure) => tracing::warn!(%failure, "the certificate could not be renewed yet"),
            }
            // Also after a success: a clock that is far ahead finds every certificate due.
            tokio::time::sleep(RENEWAL_RETRY).await;
        }
    }

    async fn renew(&self, identity: &Issued) -> Result<Issued, Failure> {
        let request = self.state.request(&self.key)?;
        let issued = renew(&self.gateway, &self.key, identity, request).await.map_err(Failure::failed)?;
        self.state.keep(&issued)?;
        Ok(issued)
    }
}

/// The agent's folder. Each file is replaced whole.
struct State {
    folder: PathBuf,
}

impl State {
    fn key(&self) -> Result<AgentKey, Failure> {
        let path = self.folder.join(KEY_FILE);
        AgentKey::from_pkcs8(&keyfile::load(&path).map_err(Failure::failed)?).map_err(Failure::failed)
    }

    /// Keep a new identity. A crash in between leaves a key without its certificate: the agent has to be enrolled again.
    fn begin(&self, key: &AgentKey, issued: &Issued) -> Result<(), Failure> {
        let folder = &self.folder;
        std::fs::create_dir_all(folder)
            .map_err(Failure::io(format!("cannot make `{}`", folder.display())))?;
        self.replace(KEY_FILE, key.pkcs8())?;
        self.keep(issued)
    }

    fn identity(&self) -> Result<Option<Issued>, Failure> {
        let path = self.folder.join(IDENTITY_FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&path).map_err(Failure::io(format!("cannot read `{}`", path.display())))?;
        let parsed = serde_json::from_slice(&text);
        parsed.map(Some).map_err(|error| Failure::Failed(format!("`{}`: {error}", path.display())))
    }

    /// The request that is asked with until it is answered: the gateway answers the same request alike, however often,
    /// and takes a second one from the same certificate for a second holder of the key.
    fn request(&self, key: &AgentKey) -> Result<Vec<u8>, Failure> {
        let path = self.folder.join(PENDING_FILE);
        if !path.exists() {
            let request = signing_request(key).map_err(Failure::failed)?;
            self.replace(PENDING_FILE, &request)?;
        }
        std::fs::read(&path).map_err(Failure::io(format!("cannot read `{}`", path.display())))
    }

    fn keep(&self, issued: &Issued) -> Result<(), Failure> {
        let text = serde_json::to_vec(issued).map_err(Failure::failed)?;
        self.replace(IDENTITY_FILE, &text)?;
        // A crash before this line repeats a request that the new certificate's generation does not know: the gateway
        // signs once more, which is harmless.
        match std::fs::remove_file(self.folder.join(PENDING_FILE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::io("cannot remove the renewal's request")(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.folder.join(name);
        let half = self.folder.join(format!("{name}.half"));
        let mut options = std::fs::OpenOptions::new();
        let written = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&half)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&half, &path))
            .and_then(|()| std::fs::File::open(&self.folder)?.sync_all());
        written.map_err(Failure::io(format!("cannot write `{}`", path.display())))
    }
}
