//! The agent's side of declared commands: from its file to what serves a session.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chaperone_access::{Refusal, TargetName};
use chaperone_command::declare::Declaration;
use chaperone_command::launch::RunAs;
use chaperone_command::process::Through;
use chaperone_command::serve::{Commands, Ends, RUNNING_MAX, Secret, Surroundings};
use chaperone_command::template::Template;
use chaperone_command::walls::{Shape, Walls};
use chaperone_tunnel::{BoxFuture, Canceller, Dial, LoginFacts, Opened, Stream};
use tokio::sync::{Notify, Semaphore, watch};

use crate::config::beside;
use crate::config::commands::{Command, CommandTarget};
use crate::verbs::Failure;
use crate::wiring::walls::Platform;

/// Bytes that may be under way between a program and the link.
const PIPE_BYTES: usize = 64 * 1024;
/// Where the machine's own users stand.
const USERS: &str = "/etc/passwd";
/// Variables of one target's environment.
const VARIABLES_MAX: usize = 64;
/// Variables that a program's loader and library obey, beside those that begin with `LD_`.
const OF_LOADER: [&str; 4] = ["GCONV_PATH", "GLIBC_TUNABLES", "LOCPATH", "MALLOC_TRACE"];

/// The commands of an agent's targets.
pub(crate) struct Programs {
    places: BTreeMap<TargetName, Arc<Place>>,
    stop: watch::Sender<bool>,
}

struct Place {
    commands: Commands,
    /// As whom they run, for the record.
    user: String,
    /// Whether they have namespaces of their own, for the record.
    apart: bool,
}

impl Programs {
    /// Check and take them. `file` is where they stand.
    pub(crate) fn new(
        targets: BTreeMap<TargetName, CommandTarget>,
        file: &Path,
        platform: &Platform,
    ) -> Result<Self, Failure> {
        let running = Arc::new(Semaphore::new(RUNNING_MAX));
        let mut places = BTreeMap::new();
        for (name, target) in targets {
            let place = place(&name, &target, file, &running, platform)
                .map_err(|why| Failure::Usage(format!("target `{name}`: {why}")))?;
            places.insert(name, Arc::new(place));
        }
        Ok(Self { places, stop: watch::Sender::new(false) })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &TargetName> {
        self.places.keys()
    }

    /// Whatever runs is asked to end, and ended.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// A session at one of these targets; `None` where it is none of them.
    pub(crate) fn open(&self, request: &Dial) -> Option<Opened> {
        let place = self.places.get(&request.target)?.clone();
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let cancelled = Arc::new(Notify::new());
        let ends = Ends { cancelled: cancelled.clone(), stopping: self.stop.subscribe() };
        let greeting = Bytes::copy_from_slice(place.commands.greeting());
        let facts = LoginFacts {
            login: place.user.clone(),
            role: None,
            // The agent's own: the program has none yet.
            backend_pid: std::process::id(),
            backend_start: None,
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            tls: None,
            told: false,
            apart: Some(place.apart),
        };
        tokio::spawn(async move { place.commands.serve(theirs, ends).await });
        let stream = Box::new(ours) as Box<dyn Stream>;
        Some(Opened { stream, greeting, facts, canceller: Box::new(Cancel(cancelled)) })
    }
}

struct Cancel(Arc<Notify>);

impl Canceller for Cancel {
    fn cancel(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        self.0.notify_one();
        Box::pin(std::future::ready(Ok(())))
    }
}

fn place(
    name: &TargetName,
    target: &CommandTarget,
    file: &Path,
    running: &Arc<Semaphore>,
    platform: &Platform,
) -> Result<Place, String> {
    let (run_as, user) = run_as(target.user.as_deref())?;
    let folder = beside(file, &target.folder);
    if !folder.is_dir() {
        return Err(format!("`folder`: `{}` is no folder", folder.display()));
    }
    let variable = |(name, value): (&String, &String)| {
        !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
    };
    if target.environment.len() > VARIABLES_MAX || !target.environment.iter().all(variable) {
        return Err(format!(
            "`environment` has at most {VARIABLES_MAX} variables, without `=` in names and without NUL"
        ));
    }
    check_environment(&target.environment, run_as.is_some_and(|other| !is_own(other.uid)))?;
    let (mut declaration, mut secrets) = (Declaration::default(), BTreeMap::new());
    for (called, command) in &target.commands {
        let secret = secret(command).map_err(|why| format!("command `{called}`: {why}"))?;
        declaration.commands.insert(called.clone(), command.told());
        secrets.insert(called.clone(), secret);
    }
    let environment = target.environment.clone();
    let walls = platform.walls(target.isolation, "target", name.as_str())?;
    let (apart, shape) = (walls.is_some(), Shape::Open { network: target.network });
    let through = walls.map_or(Through::Own, |bubblewrap| Through::Walls(Walls { bubblewrap, shape }));
    let surroundings = Surroundings { run_as, folder, environment, through };
    let commands = Commands::new(name.clone(), declaration, secrets, surroundings, running.clone())
        .map_err(|error| error.to_string())?;
    Ok(Place { commands, user, apart })
}

fn secret(command: &Command) -> Result<Secret, String> {
    let arguments = command.arguments.iter().map(|text| Template::parse(text, &command.parameters));
    let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
    check_program(&command.program).map_err(|why| format!("`program`: {why}"))?;
    let (program, memory_bytes_max) = (command.program.clone(), command.memory_bytes_max);
    Ok(Secret { program, arguments, memory_bytes_max })
}

/// A program that whoever likes could replace is no declared one.
pub(crate) fn check_program(program: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let shown = program.display();
    if !program.is_absolute() {
        return Err(format!("`{shown}` is not an absolute path"));
    }
    let found = std::fs::metadata(program).map_err(|error| format!("`{shown}`: {error}"))?;
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return Err(format!("`{shown}` is no file that can be run"));
    }
    check_written(program)
}

/// Neither is a file that a program takes for one.
pub(crate) fn check_written(file: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let shown = file.display();
    let found = std::fs::metadata(file).map_err(|error| format!("`{shown}`: {error}"))?;
    if found.permissions().mode() & 0o002 != 0 {
        return Err(format!("everybody may write to `{shown}` (hint: `chmod o-w`)"));
    }
    Ok(())
}

/// Whether the system's loader or library obeys a variable before a program's first instruction.
fn is_of_loader(variable: &str) -> bool {
    variable.starts_with("LD_") || OF_LOADER.contains(&variable)
}

/// What becomes somebody else's program is the agent's own until then, and obeys nothing that is meant for the program alone.
pub(crate) fn check_environment(
    environment: &BTreeMap<String, String>,
    as_another: bool,
) -> Result<(), String> {
    match environment.keys().find(|name| as_another && is_of_loader(name)) {
        None => Ok(()),
        Some(bad) => Err(format!(
            "`{bad}` tells whatever loads a program what else to load, and what becomes this one is root until then (hint: \
             a script that sets it and is the program)"
        )),
    }
}

fn is_own(uid: u32) -> bool {
    rustix::process::geteuid().as_raw() == uid
}

/// As whom commands run, and what that is called. An agent that is not root can run them as itself only; one that is has to
/// be told as whom.
fn run_as(user: Option<&str>) -> Result<(Option<RunAs>, String), String> {
    let own = rustix::process::geteuid();
    let Some(user) = user else {
        return match own.is_root() {
            true => Err("the agent is root, so `user` says as whom its commands run (hint: one that may do no more than they need)".to_owned()),
            false => Ok((None, format!("uid {}", own.as_raw()))),
        };
    };
    let found = match user.split_once(':') {
        Some((uid, gid)) => uid.parse().ok().zip(gid.parse().ok()).map(|(uid, gid)| RunAs { uid, gid }),
        None => {
            let users =
                std::fs::read_to_string(USERS).map_err(|error| format!("cannot read `{USERS}`: {error}"))?;
            listed(&users, user)
        }
    };
    let found = found.ok_or_else(|| format!("`user`: `{user}` is neither in `{USERS}` nor `uid:gid`"))?;
    if own.is_root() {
        return Ok((Some(found), user.to_owned()));
    }
    if found.uid == own.as_raw() {
        return Ok((None, user.to_owned()));
    }
    Err(format!(
        "`user`: only an agent that is root can run commands as `{user}` (hint: start it as root, or leave `user` out to run \
         them as the agent itself)"
    ))
}

fn listed(users: &str, name: &str) -> Option<RunAs> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (found, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let run_as = RunAs { uid: uid.parse().ok()?, gid: gid.parse().ok()? };
        (found == name).then_some(run_as)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::agent::Isolation;

    fn target(text: &str) -> Result<Programs, Failure> {
        let user = if rustix::process::geteuid().is_root() { "user = \"65534:65534\"\n" } else { "" };
        let target: CommandTarget = toml::from_str(&format!("{user}{text}")).map_err(Failure::failed)?;
        let platform = Platform::new(Isolation::None);
        Programs::new(BTreeMap::from([("ops".parse().unwrap(), target)]), Path::new("/agent.toml"), &platform)
    }

    const FINE: &str = "[commands.list]\ndescription = \"List\"\nprogram = \"/bin/ls\"\narguments = [\"-n\", \"--\", \"{path}\"]\n\
        parameters.path = { type = \"text\", pattern = \"[a-z]+\", bytes_max = 9 }\n";

    #[test]
    fn what_is_declared_is_checked_at_the_start() {
        assert_eq!(target(FINE).unwrap().names().count(), 1);
        for (from, to, told) in [
            ("/bin/ls", "ls", "not an absolute path"),
            ("/bin/ls", "/bin/no-such-program", "No such file"),
            ("/bin/ls", "/etc/passwd", "no file that can be run"),
            ("{path}", "{paths}", "none of its parameters"),
            ("{path}", "path", "no argument mentions"),
            ("commands.list", "commands.List", "a name is"),
            ("description", "shell = true\ndescription", "unknown field"),
            ("[commands.list]", "[commands.list]\nmemory_bytes_max = 1", "`memory_bytes_max` is at least"),
            ("[commands.list]", "folder = \"/no/such/folder\"\n[commands.list]", "is no folder"),
            ("[commands.list]", "environment = { \"A=B\" = \"c\" }\n[commands.list]", "without `=`"),
        ] {
            assert!(FINE.contains(from), "{from}");
            let error = target(&FINE.replacen(from, to, 1)).err().unwrap().to_string();
            assert!(error.contains(told), "{to}: {error}");
        }
    }

    #[test]
    fn what_root_would_obey_is_not_in_the_environment() {
        for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "GCONV_PATH", "GLIBC_TUNABLES"] {
            let set = format!("environment = {{ {name} = \"x\" }}\n{FINE}");
            // Only root is more than what its commands are.
            let refused = rustix::process::geteuid().is_root();
            assert_eq!(
                target(&set).err().is_some_and(|why| why.to_string().contains(name)),
                refused,
                "{name}"
            );
        }
        assert!(!is_of_loader("LANG") && !is_of_loader("OLD_PATH"));
        assert!(target(&format!("environment = {{ LANG = \"C.UTF-8\" }}\n{FINE}")).is_ok());
        let own = BTreeMap::from([("LD_PRELOAD".to_owned(), "x".to_owned())]);
        assert_eq!(check_environment(&own, false), Ok(()));
    }

    #[test]
    fn nobody_but_root_runs_commands_as_somebody_else() {
        let users = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\nbroken:x:y:z\n";
        assert_eq!(listed(users, "nobody"), Some(RunAs { uid: 65534, gid: 65533 }));
        assert_eq!(listed(users, "nobod"), None);
        assert_eq!(listed(users, "broken"), None);
        assert!(run_as(Some("no-such-user-here")).unwrap_err().contains("neither in"));
        if rustix::process::geteuid().is_root() {
            assert!(run_as(None).unwrap_err().contains("the agent is root"));
            assert_eq!(run_as(Some("1:2")).unwrap(), (Some(RunAs { uid: 1, gid: 2 }), "1:2".to_owned()));
        } else {
            assert_eq!(run_as(None).unwrap().0, None);
            assert!(run_as(Some("0:0")).unwrap_err().contains("only an agent that is root"));
        }
    }
}
