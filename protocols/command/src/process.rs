//! One program on the agent's machine, in a process group of its own: started, ended, and never left behind.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::sync::oneshot;

use crate::launch::{EndsWith, Launch};
use crate::walls::{self, Here, Walls};

/// Longest reason why a program could not be started, in bytes.
pub(crate) const REASON_BYTES_MAX: u64 = 500;

/// The executable that launches: this one, also where its file was replaced since.
const SELF: &str = "/proc/self/exe";

/// How the verb is called that ends in [`crate::launch::launch`].
pub const LAUNCH_VERB: &str = "launch";

/// By what a program is launched.
#[derive(Debug, Clone)]
pub enum Through {
    /// The agent's own executable.
    Own,
    /// Another one, for tests.
    Other(PathBuf),
    /// The agent's own, behind walls.
    Walls(Walls),
}

impl Launch {
    /// As words of the launching verb.
    fn arguments(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![LAUNCH_VERB.into()];
        let mut option = |name: &str, value: OsString| words.extend([name.into(), value]);
        option("--folder", self.folder.clone().into());
        match self.ends_with {
            EndsWith::Process(agent) => option("--agent", agent.to_string().into()),
            EndsWith::Walls { listener: Some(port) } => option("--listener", port.to_string().into()),
            EndsWith::Walls { listener: None } => {}
        }
        if let Some(most) = self.memory_bytes_max {
            option("--memory", most.to_string().into());
        }
        if let Some(most) = self.processor_s_max {
            option("--processor", most.to_string().into());
        }
        if let Some(run_as) = self.run_as {
            option("--uid", run_as.uid.to_string().into());
            option("--gid", run_as.gid.to_string().into());
        }
        if self.is_talked_to {
            words.push("--talked-to".into());
        }
        words.push("--".into());
        words.extend(self.words.iter().cloned());
        words
    }
}

/// Everything that belongs to a program that has not been waited for: its numbers cannot be another's meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Group(Arc<Mutex<Option<Members>>>);

#[derive(Debug)]
enum Members {
    Group(Pid),
    /// Whatever is inside of its walls.
    Inside {
        group: Pid,
        init: OwnedFd,
    },
}

impl Group {
    /// Send all of it a signal; nothing happens where it has ended.
    pub fn signal(&self, signal: Signal) {
        let sent = match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            // Also what has left the group: nothing is inside without this one.
            Some(Members::Inside { init, .. }) if signal == Signal::KILL => {
                rustix::process::pidfd_send_signal(init, signal)
            }
            Some(Members::Group(group) | Members::Inside { group, .. }) => {
                rustix::process::kill_process_group(*group, signal)
            }
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a command's process group was not signalled");
        }
    }

    /// End what is left, and wait until nothing is.
    fn end(&self) {
        self.signal(Signal::KILL);
        let members = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Members::Inside { init, .. }) = members {
            // Its first process has ended when everything else inside has.
            let mut ended = [PollFd::new(&init, PollFlags::IN)];
            while let Err(rustix::io::Errno::INTR) = rustix::event::poll(&mut ended, None) {}
        }
    }
}

/// A program that runs.
pub struct Started {
    /// Its group.
    pub group: Group,
    /// What it hears, where it is talked to; in blocking mode.
    pub input: Option<UnixStream>,
    /// Where it finds its agent, behind walls that have such a place; in blocking mode.
    pub listener: Option<TcpListener>,
    /// What it prints.
    pub out: ChildStdout,
    /// What it prints to standard error.
    pub err: ChildStderr,
    /// Its exit code or the signal that ended it, once nothing of its group is left.
    pub ended: oneshot::Receiver<(Option<i32>, Option<i32>)>,
}

/// Start a program.
///
/// A thread of its own starts it and waits for it: the program ends with the thread that started it.
///
/// # Errors
/// Why it could not be started, for the agent's log.
pub async fn start(
    through: Through,
    launch: Launch,
    environment: BTreeMap<String, String>,
) -> Result<Started, String> {
    let (begun, started) = oneshot::channel();
    let supervise = move || match spawn(&through, &launch, &environment) {
        Err(why) => drop(begun.send(Err(why))),
        Ok(Spawned { mut child, members, input, listener, out, err }) => {
            let group = Group(Arc::new(Mutex::new(Some(members))));
            let (done, ended) = oneshot::channel();
            let sent = begun.send(Ok(Started { group: group.clone(), input, listener, out, err, ended }));
            if sent.is_err() {
                group.signal(Signal::KILL);
            }
            // Nobody waits for the end of what nobody wanted any more.
            done.send(wait(&mut child, &group, matches!(through, Through::Walls(_)))).ok();
        }
    };
    std::thread::Builder::new()
        .name("command".to_owned())
        .spawn(supervise)
        .map_err(|error| format!("no thread for it: {error}"))?;
    started.await.unwrap_or_else(|_| Err("nobody starts it".to_owned()))
}

/// A program and its ends.
struct Spawned {
    child: Child,
    members: Members,
    input: Option<UnixStream>,
    listener: Option<TcpListener>,
    out: ChildStdout,
    err: ChildStderr,
}

fn spawn(
    through: &Through,
    launch: &Launch,
    environment: &BTreeMap<String, String>,
) -> Result<Spawned, String> {
    let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
    let mut command = match through {
        Through::Own => Command::new(SELF),
        Through::Other(launcher) => Command::new(launcher),
        Through::Walls(walls) => {
            walls::listen(&ours).map_err(|error| error.to_string())?;
            walls.command()
        }
    };
    command.args(launch.arguments());
    command.env_clear().envs(environment).process_group(0);
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    // The command holds our copy of the launcher's end: without it the end of the launcher is the end of what it says.
    drop(command);
    let begun = match through {
        Through::Own | Through::Other(_) => {
            begun(&ours).map(|()| (Members::Group(Pid::from_child(&child)), None))
        }
        Through::Walls(_) => begun_inside(&ours, &mut child),
    };
    match (begun, child.stdout.take(), child.stderr.take()) {
        (Ok((members, listener)), Some(out), Some(err)) => {
            let input = launch.is_talked_to.then_some(ours);
            Ok(Spawned { child, members, input, listener, out, err })
        }
        (begun, _, _) => {
            drop(child.kill());
            drop(child.wait());
            Err(begun.err().unwrap_or_else(|| "its output is not to be had".to_owned()))
        }
    }
}

/// Wait until a launcher has become its program, and says nothing any more.
fn begun(said: &UnixStream) -> Result<(), String> {
    let mut why = String::new();
    match said.take(REASON_BYTES_MAX).read_to_string(&mut why) {
        Ok(0) => Ok(()),
        Ok(_) => Err(why),
        Err(error) => Err(error.to_string()),
    }
}

/// The same for one that is behind walls, which may not come to stand.
fn begun_inside(line: &UnixStream, child: &mut Child) -> Result<(Members, Option<TcpListener>), String> {
    match walls::hear(line).map_err(|error| error.to_string())? {
        Some(Here { init, group, said, listener }) => {
            let members = Members::Inside { group, init };
            // Whatever goes wrong now: with the child, which is the walls' own, everything inside ends.
            begun(&said).map(|()| (members, listener))
        }
        None => {
            let mut why = String::new();
            if let Some(err) = child.stderr.take() {
                err.take(REASON_BYTES_MAX).read_to_string(&mut why).map_err(|error| error.to_string())?;
            }
            Err(format!("its walls cannot be built: {}", why.trim()))
        }
    }
}

/// Wait for the end without letting go of the number, end what is left, and only then let go of it.
fn wait(child: &mut Child, group: &Group, is_behind_walls: bool) -> (Option<i32>, Option<i32>) {
    let pid = Pid::from_child(child);
    let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), how) {}
    group.end();
    match child.wait() {
        // What builds the walls tells of a signal as shells do.
        Ok(status) => match status.code() {
            Some(code @ 129..=192) if is_behind_walls => (None, Some(code - 128)),
            code => (code, status.signal()),
        },
        Err(error) => {
            tracing::error!(%error, "a command could not be waited for");
            (None, None)
        }
    }
}
