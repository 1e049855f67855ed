//! Servers of others that this agent runs: what is declared in `agent.toml`, and the runs that there are.
//!
//! A run has an environment that begins empty, a process group and a folder of its own, and nothing of the target's:
//! what it is told to connect to is a listener of the agent's, from where its bytes go to the gateway.

mod digest;
mod elsewhere;
mod fill;
mod places;
mod run;
mod seen;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::elsewhere::Elsewhere;
use self::places::{Places, Users, check_apart};
use self::run::Run;
use crate::config::agent::{HostedServer, ServerElsewhere};
use crate::config::beside;
use crate::wiring::commands::programs::{check_environment, check_program, check_written};
use crate::wiring::walls::Platform;
use chaperone_access::{ProcessId, Refusal, RefusalCode, TargetName};
use chaperone_command::walls::Bubblewrap;
use chaperone_tunnel::{BoxFuture, Host, HostFacts, HostOpened, Launch};

/// Programs that fetch what they run at the moment they run it: nobody could say what was run.
const FETCHERS: [&str; 8] = ["npx", "pnpx", "bunx", "uvx", "pipx", "npm", "yarn", "uv"];
/// How long what was ended may take to be gone.
const LAST: Duration = Duration::from_secs(5);
/// Arguments, variables and files of one server.
const PARTS_MAX: usize = 128;

/// One declared server.
struct Server {
    name: TargetName,
    command: Vec<String>,
    environment: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
    directory: Option<PathBuf>,
    digest: String,
    places: Arc<Places>,
    /// `None` where its runs have no namespaces of their own.
    walls: Option<Behind>,
}

/// The walls that each run of a server has.
struct Behind {
    bubblewrap: Arc<Bubblewrap>,
    /// What a run sees beside the system and its own folder.
    read: Vec<PathBuf>,
}

/// The runs that there are. Owner: each run's keeper takes its own out.
#[derive(Default)]
struct All {
    runs: HashMap<ProcessId, Arc<Run>>,
    stopping: bool,
}

type Runs = Arc<Mutex<All>>;

impl All {
    /// One more run; `false` where there is to be none any more.
    fn enter(&mut self, process: ProcessId, run: Run) -> bool {
        self.runs.insert(process, Arc::new(run));
        !self.stopping
    }

    fn leave(&mut self, process: ProcessId) {
        self.runs.remove(&process);
    }
}

/// The servers of one agent's configuration.
pub(crate) struct Servers {
    known: BTreeMap<TargetName, Arc<Server>>,
    runs: Runs,
    elsewhere: Elsewhere,
}

impl Servers {
    /// Check and take them. `path` is the configuration's file, and `state` the agent's folder beside it; `commands` are the
    /// targets of commands that run as a user other than the agent, with that user.
    pub(crate) fn new(
        declared: BTreeMap<TargetName, HostedServer>,
        elsewhere: BTreeMap<TargetName, ServerElsewhere>,
        path: &Path,
        state: &Path,
        platform: &Platform,
        commands: &BTreeMap<TargetName, u32>,
    ) -> Result<Self, String> {
        let mut known = BTreeMap::new();
        let own = [path.to_owned(), beside(path, state), std::env::temp_dir()];
        for (name, server) in declared {
            let server = Server::new(name.clone(), server, path, platform)
                .and_then(|server| server.checked(&own))
                .map_err(|why| format!("server `{name}`: {why}"))?;
            known.insert(name, Arc::new(server));
        }
        let users = |server: &Arc<Server>| server.places.users(format!("server `{}`", server.name));
        let users: Vec<Users> = known.values().filter_map(users).collect();
        let targets = commands.iter().map(|(name, uid)| Users {
            who: format!("target `{name}`"),
            uids: *uid..uid.saturating_add(1),
            // It has nothing to say it with: what its server says counts.
            may_share: true,
        });
        check_apart(&users, &targets.collect::<Vec<_>>())?;
        Ok(Self { known, runs: Runs::default(), elsewhere: Elsewhere::new(elsewhere, path)? })
    }

    /// Before anything is run: end what an agent that was killed has left under the users of these servers.
    pub(crate) fn clear(&self) -> Result<(), String> {
        let clear = |server: &Arc<Server>| server.places.clear().map_err(|why| (server.name.clone(), why));
        self.known.values().try_for_each(clear).map_err(|(name, why)| {
            format!(
                "server `{name}`: something of an earlier run is left: {why} (hint: `ps` shows what runs as its `uid` and the \
                 `uids` after it)"
            )
        })
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = TargetName> {
        self.known.keys().cloned().chain(self.elsewhere.names())
    }

    /// Begin a run, or wait for the next connection of one.
    pub(crate) fn host(&self, request: Host) -> BoxFuture<'_, Result<HostOpened, Refusal>> {
        Box::pin(async move {
            match request {
                Host::Launch(launch) => self.launch(launch).await,
                Host::Accept(accept) => {
                    let run = runs(&self.runs).runs.get(&accept.process).cloned();
                    // A run is another server's only where the gateway mixes them up.
                    let run = run.filter(|run| run.server() == &accept.server).ok_or_else(ended)?;
                    let stream = run.next_connection().await?;
                    Ok(HostOpened { stream, facts: HostFacts::default() })
                }
                Host::Reach(reach) if self.known.contains_key(&reach.server) => Err(Refusal::new(
                    RefusalCode::UndefinedTarget,
                    format!(
                        "server `{}` is run by its agent, and gateway.toml does not say for which `target`",
                        reach.server
                    ),
                )
                .hint("tell whoever runs the gateway")),
                Host::Reach(reach) => self.elsewhere.reach(&reach),
            }
        })
    }

    /// The agent stops: every run is ended, with whatever it has started, and none begins any more.
    pub(crate) fn stop(&self) {
        let mut all = runs(&self.runs);
        all.stopping = true;
        self.elsewhere.stop();
        all.runs.values().for_each(|run| run.end());
    }

    /// Wait until nothing of the runs is left, and not for long.
    pub(crate) async fn ended(&self) {
        let gone = async {
            // What a run leaves is ended when it is over, and then its place is free.
            let used = || self.known.values().any(|server| server.places.are_used());
            while !runs(&self.runs).runs.is_empty() || used() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(LAST, gone).await.is_err() {
            tracing::warn!("some runs of servers did not end in time");
        }
        self.elsewhere.ended().await;
    }

    fn not_run(&self, server: &TargetName) -> Refusal {
        if self.elsewhere.knows(server) {
            let what = format!("server `{server}` is elsewhere, and gateway.toml gives it a `target`");
            return Refusal::new(RefusalCode::UndefinedTarget, what).hint("tell whoever runs the gateway");
        }
        Refusal::new(RefusalCode::UndefinedTarget, "this agent does not run that server")
    }

    async fn launch(&self, launch: Launch) -> Result<HostOpened, Refusal> {
        if runs(&self.runs).stopping {
            return Err(Refusal::new(RefusalCode::ShuttingDown, "the agent is stopping"));
        }
        let server = self.known.get(&launch.server).cloned().ok_or_else(|| self.not_run(&launch.server))?;
        let place = server.places.take(server.walls.is_some()).ok_or_else(|| {
            Refusal::new(RefusalCode::Busy, format!("server `{}` runs as often as it may", server.name))
                .hint("call again in a moment")
        })?;
        let facts = HostFacts { command: server.digest.clone(), apart: server.walls.is_some() };
        // Also where nobody waits for it any more: its place and folder are its own until nothing of it is left.
        let (all, begins) = (self.runs.clone(), server.clone());
        let begun = tokio::spawn(async move { run::begin(&begins, &launch, place, &all).await });
        let begun = begun.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let stream = begun.map_err(|error| {
            tracing::error!(server = %server.name, %error, "a server cannot be started");
            Refusal::new(RefusalCode::TargetUnavailable, "the agent cannot start the server")
                .hint("ask whoever runs the agent to look at its log")
        })?;
        Ok(HostOpened { stream, facts })
    }
}

fn runs(runs: &Runs) -> MutexGuard<'_, All> {
    runs.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ended() -> Refusal {
    Refusal::new(RefusalCode::TargetLost, "the server's run has ended")
}

impl Server {
    fn new(name: TargetName, server: HostedServer, path: &Path, platform: &Platform) -> Result<Self, String> {
        let places = Places::new(&server)?;
        let isolation = server.isolation;
        let HostedServer { command, environment, files, directory, tree, read, .. } = server;
        let program = command.first().ok_or("`command` is empty")?;
        if command.len() + environment.len() + files.len() > PARTS_MAX {
            return Err(format!("more than {PARTS_MAX} arguments, variables and files"));
        }
        let file = Path::new(program);
        check_program(file)?;
        // What a program runs stands in the files that its line names: they are no stranger's to change either.
        for named in command.iter().map(Path::new).filter(|named| named.is_absolute() && named.is_file()) {
            check_written(named)?;
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
        check_environment(&environment, places.have_others())?;
        let plain = |name: &&String| {
            let fits = !name.is_empty() && !name.starts_with('.') && name.len() <= 64;
            fits && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        };
        if let Some(bad) = files.keys().find(|name| !plain(name)) {
            return Err(format!("`{bad}` is no plain name of a file"));
        }
        let tree = tree.map(|tree| beside(path, &tree));
        let digest = digest::of(&command, &environment, &files, tree.as_deref())?;
        let directory = directory.map(|directory| beside(path, &directory));
        if let Some(missing) = directory.as_ref().filter(|directory| !directory.is_dir()) {
            return Err(format!("`{}` is no folder", missing.display()));
        }
        let read: Vec<PathBuf> = read.iter().map(|more| beside(path, more)).collect();
        if let Some(missing) = read.iter().find(|more| !more.exists()) {
            return Err(format!("`read`: `{}` is not there", missing.display()));
        }
        let read = seen::seen(&command, read.into_iter().chain(tree).chain(directory.clone()));
        let walls = platform.walls(isolation, "server", name.as_str())?;
        let walls = walls.map(|bubblewrap| Behind { bubblewrap, read });
        Ok(Self { name, command, environment, files, directory, digest, places, walls })
    }

    /// The same, with walls that show nothing of what is the agent's own. Without walls files say themselves who may read them.
    fn checked(self, own: &[PathBuf]) -> Result<Self, String> {
        if let Some(Behind { read, .. }) = &self.walls {
            seen::check_shown(read, own)?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::agent::Isolation;

    fn checked(text: &str) -> Result<(), String> {
        let user = if rustix::process::geteuid().is_root() { "uid = 65534\ngid = 65534\n" } else { "" };
        declared(&format!("same_user = true\n{user}{text}"))
    }

    fn declared(text: &str) -> Result<(), String> {
        let declared: HostedServer = toml::from_str(text).map_err(|error| error.to_string())?;
        let platform = Platform::new(Isolation::None);
        Server::new("tools".parse().unwrap(), declared, Path::new("/agent.toml"), &platform).map(drop)
    }

    #[test]
    fn what_is_launched_is_there_and_stays_the_same() {
        assert_eq!(checked("command = [\"/bin/cat\", \"{url}\"]\nenvironment = { A = \"{user}\" }"), Ok(()));
        let folder = tempfile::tempdir().unwrap();
        let fetcher = folder.path().join("npx");
        std::fs::write(&fetcher, "#!/bin/sh\n").unwrap();
        let everybodys = folder.path().join("server.js");
        std::fs::write(&everybodys, "#!/bin/sh\n").unwrap();
        for (file, mode) in [(&fetcher, 0o755), (&everybodys, 0o777)] {
            std::fs::set_permissions(file, PermissionsExt::from_mode(mode)).unwrap();
        }
        for (bad, told) in [
            ("command = []".to_owned(), "`command` is empty"),
            ("command = [\"cat\"]".to_owned(), "not an absolute path"),
            ("command = [\"/no/such/program\"]".to_owned(), "No such file"),
            ("command = [\"/etc/passwd\"]".to_owned(), "no file that can be run"),
            (format!("command = [\"{}\"]", everybodys.display()), "everybody may write"),
            (format!("command = [\"/bin/cat\", \"{}\"]", everybodys.display()), "everybody may write"),
            (format!("command = [\"{}\", \"-y\", \"x\"]", fetcher.display()), "fetches what it runs"),
            ("command = [\"/bin/cat\"]\nfiles = { \"../x\" = \"\" }".to_owned(), "no plain name"),
            ("command = [\"/bin/cat\"]\nfiles = { \".profile\" = \"\" }".to_owned(), "no plain name"),
            (
                "command = [\"/bin/cat\"]\nenvironment = { \"A=B\" = \"\" }".to_owned(),
                "no name of a variable",
            ),
            ("command = [\"/bin/cat\"]\nprocesses_max = 0".to_owned(), "at least 1"),
            ("command = [\"/bin/cat\"]\ndirectory = \"/no/such\"".to_owned(), "is no folder"),
            ("command = [\"/bin/cat\"]\nread = [\"/no/such\"]".to_owned(), "is not there"),
            ("command = [\"/bin/cat\"]\nshell = true".to_owned(), "unknown field"),
        ] {
            let error = checked(&bad).unwrap_err();
            assert!(error.contains(told), "{bad}: {error}");
        }
    }

    #[test]
    fn what_root_would_obey_is_not_in_the_environment() {
        for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "GCONV_PATH", "GLIBC_TUNABLES"] {
            let set = format!("command = [\"/bin/cat\"]\nenvironment = {{ {name} = \"x\" }}");
            // Only root is more than what its runs are.
            let refused = rustix::process::geteuid().is_root();
            assert_eq!(checked(&set).is_err_and(|why| why.contains(name)), refused, "{name}");
            assert_eq!(declared(&format!("uid = 0\ngid = 0\nsame_user = true\n{set}")).is_ok(), refused);
        }
    }
}
