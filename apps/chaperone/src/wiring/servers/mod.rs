//! Servers of others that this agent runs: what is declared in `agent.toml`, and the runs that there are.
//!
//! A run has an environment that begins empty, a process group and a folder of its own, and nothing of the target's:
//! what it is told to connect to is a listener of the agent's, from where its bytes go to the gateway.

mod digest;
mod fill;
mod run;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chaperone_access::{ProcessId, Refusal, RefusalCode, TargetName};
use chaperone_tunnel::{BoxFuture, Host, HostFacts, HostOpened, Launch};
use tokio::sync::Semaphore;

use self::run::Run;
use crate::config::agent::HostedServer;
use crate::config::beside;

/// Programs that fetch what they run at the moment they run it: nobody could say what was run.
const FETCHERS: [&str; 8] = ["npx", "pnpx", "bunx", "uvx", "pipx", "npm", "yarn", "uv"];
/// Arguments, variables and files of one server.
const PARTS_MAX: usize = 128;

/// One declared server.
struct Server {
    name: TargetName,
    command: Vec<String>,
    environment: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
    directory: Option<PathBuf>,
    uid: Option<u32>,
    gid: Option<u32>,
    digest: String,
    places: Arc<Semaphore>,
}

/// The runs by their ids. Owner: each run's keeper takes its own out.
type Runs = Arc<Mutex<HashMap<ProcessId, Arc<Run>>>>;

/// The servers of one agent's configuration.
pub(crate) struct Servers {
    known: BTreeMap<TargetName, Arc<Server>>,
    runs: Runs,
}

impl Servers {
    /// Check and take them. `path` is the configuration's file.
    pub(crate) fn new(declared: BTreeMap<TargetName, HostedServer>, path: &Path) -> Result<Self, String> {
        let mut known = BTreeMap::new();
        for (name, server) in declared {
            let server =
                Server::new(name.clone(), server, path).map_err(|why| format!("server `{name}`: {why}"))?;
            known.insert(name, Arc::new(server));
        }
        Ok(Self { known, runs: Runs::default() })
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = TargetName> {
        self.known.keys().cloned()
    }

    /// Begin a run, or wait for the next connection of one.
    pub(crate) fn host(&self, request: Host) -> BoxFuture<'_, Result<HostOpened, Refusal>> {
        Box::pin(async move {
            match request {
                Host::Launch(launch) => self.launch(launch).await,
                Host::Accept(accept) => {
                    let run = runs(&self.runs).get(&accept.process).cloned();
                    // A run is another server's only where the gateway mixes them up.
                    let run = run.filter(|run| run.server() == &accept.server).ok_or_else(ended)?;
                    let stream = run.next_connection().await?;
                    Ok(HostOpened { stream, facts: HostFacts::default() })
                }
            }
        })
    }

    async fn launch(&self, launch: Launch) -> Result<HostOpened, Refusal> {
        let server = self.known.get(&launch.server).cloned().ok_or_else(|| {
            Refusal::new(RefusalCode::UndefinedTarget, "this agent does not run that server")
        })?;
        let place = server.places.clone().try_acquire_owned().map_err(|_| {
            Refusal::new(RefusalCode::Busy, format!("server `{}` runs as often as it may", server.name))
                .hint("call again in a moment")
        })?;
        let facts = HostFacts { command: server.digest.clone(), apart: false };
        let stream = run::begin(&server, &launch, place, &self.runs).await.map_err(|error| {
            tracing::error!(server = %server.name, %error, "a server cannot be started");
            Refusal::new(RefusalCode::TargetUnavailable, "the agent cannot start the server")
                .hint("ask whoever runs the agent to look at its log")
        })?;
        Ok(HostOpened { stream, facts })
    }
}

fn runs(runs: &Runs) -> MutexGuard<'_, HashMap<ProcessId, Arc<Run>>> {
    runs.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ended() -> Refusal {
    Refusal::new(RefusalCode::TargetLost, "the server's run has ended")
}

impl Server {
    fn new(name: TargetName, server: HostedServer, path: &Path) -> Result<Self, String> {
        let HostedServer { command, environment, files, directory, tree, uid, gid, processes_max } = server;
        let program = command.first().ok_or("`command` is empty")?;
        if command.len() + environment.len() + files.len() > PARTS_MAX {
            return Err(format!("more than {PARTS_MAX} arguments, variables and files"));
        }
        let file = Path::new(program);
        if !file.is_absolute() || !file.is_file() {
            return Err(format!("`{program}` is no file (hint: name the program by its whole path)"));
        }
        let called = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if FETCHERS.contains(&called) {
            return Err(format!(
                "`{program}` fetches what it runs (hint: install the server, and name the program that is installed)"
            ));
        }
        if let Some(bad) = environment.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return Err(format!("`{bad}` is no name of a variable"));
        }
        let plain = |name: &&String| {
            let fits = !name.is_empty() && !name.starts_with('.') && name.len() <= 64;
            fits && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        };
        if let Some(bad) = files.keys().find(|name| !plain(name)) {
            return Err(format!("`{bad}` is no plain name of a file"));
        }
        if processes_max == 0 {
            return Err("`processes_max` is at least 1".to_owned());
        }
        let tree = tree.map(|tree| beside(path, &tree));
        let digest = digest::of(&command, &environment, &files, tree.as_deref())?;
        let directory = directory.map(|directory| beside(path, &directory));
        if let Some(missing) = directory.as_ref().filter(|directory| !directory.is_dir()) {
            return Err(format!("`{}` is no folder", missing.display()));
        }
        let places = Arc::new(Semaphore::new(processes_max));
        Ok(Self { name, command, environment, files, directory, uid, gid, digest, places })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(), String> {
        let declared: HostedServer = toml::from_str(text).map_err(|error| error.to_string())?;
        Server::new("tools".parse().unwrap(), declared, Path::new("/agent.toml")).map(drop)
    }

    #[test]
    fn what_is_launched_is_there_and_stays_the_same() {
        assert_eq!(checked("command = [\"/bin/cat\", \"{url}\"]\nenvironment = { A = \"{user}\" }"), Ok(()));
        let folder = tempfile::tempdir().unwrap();
        let fetcher = folder.path().join("npx");
        std::fs::write(&fetcher, "#!/bin/sh\n").unwrap();
        for (bad, told) in [
            ("command = []".to_owned(), "`command` is empty"),
            ("command = [\"cat\"]".to_owned(), "whole path"),
            ("command = [\"/no/such/program\"]".to_owned(), "is no file"),
            (format!("command = [\"{}\", \"-y\", \"x\"]", fetcher.display()), "fetches what it runs"),
            ("command = [\"/bin/cat\"]\nfiles = { \"../x\" = \"\" }".to_owned(), "no plain name"),
            ("command = [\"/bin/cat\"]\nfiles = { \".profile\" = \"\" }".to_owned(), "no plain name"),
            (
                "command = [\"/bin/cat\"]\nenvironment = { \"A=B\" = \"\" }".to_owned(),
                "no name of a variable",
            ),
            ("command = [\"/bin/cat\"]\nprocesses_max = 0".to_owned(), "at least 1"),
            ("command = [\"/bin/cat\"]\ndirectory = \"/no/such\"".to_owned(), "is no folder"),
            ("command = [\"/bin/cat\"]\nshell = true".to_owned(), "unknown field"),
        ] {
            let error = checked(&bad).unwrap_err();
            assert!(error.contains(told), "{bad}: {error}");
        }
    }
}
