//! One program on the agent's machine, in a process group of its own: started, ended, and never left behind.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::sync::oneshot;

use crate::launch::Launch;

/// Longest reason why a program could not be started, in bytes.
const REASON_BYTES_MAX: u64 = 500;

/// The executable that launches: this one, also where its file was replaced since.
const SELF: &str = "/proc/self/exe";

/// How the verb is called that ends in [`crate::launch::launch`].
pub const LAUNCH_VERB: &str = "launch";

impl Launch {
    /// As words of the launching verb.
    fn arguments(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![LAUNCH_VERB.into()];
        let mut option = |name: &str, value: OsString| words.extend([name.into(), value]);
        option("--folder", self.folder.clone().into());
        option("--parent", self.parent.to_string().into());
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

/// The process group of a program that has not been waited for: its number cannot be another's meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Group(Arc<Mutex<Option<Pid>>>);

impl Group {
    /// Send all of it a signal; nothing happens where it has ended.
    pub fn signal(&self, signal: Signal) {
        let group = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *group
            && let Err(error) = rustix::process::kill_process_group(pid, signal)
        {
            tracing::debug!(%error, "a command's process group was not signalled");
        }
    }

    fn put(&self, pid: Option<Pid>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = pid;
    }
}

/// A program that runs.
pub struct Started {
    /// Its group.
    pub group: Group,
    /// What it hears, where it is talked to; in blocking mode.
    pub input: Option<UnixStream>,
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
    program: Option<PathBuf>,
    launch: Launch,
    environment: BTreeMap<String, String>,
) -> Result<Started, String> {
    let (begun, started) = oneshot::channel();
    let supervise = move || match spawn(program, &launch, &environment) {
        Err(why) => drop(begun.send(Err(why))),
        Ok(Spawned { mut child, input, out, err }) => {
            let group = Group::default();
            group.put(Some(Pid::from_child(&child)));
            let (done, ended) = oneshot::channel();
            let sent = begun.send(Ok(Started { group: group.clone(), input, out, err, ended }));
            if sent.is_err() {
                group.signal(Signal::KILL);
            }
            // Nobody waits for the end of what nobody wanted any more.
            done.send(wait(&mut child, &group)).ok();
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
    input: Option<UnixStream>,
    out: ChildStdout,
    err: ChildStderr,
}

fn spawn(
    program: Option<PathBuf>,
    launch: &Launch,
    environment: &BTreeMap<String, String>,
) -> Result<Spawned, String> {
    let (mut ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
    let mut command = Command::new(program.unwrap_or_else(|| SELF.into()));
    command.args(launch.arguments()).env_clear().envs(environment).process_group(0);
    command
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    // The command holds our copy of the launcher's end: without it the end of the launcher is the end of what it says.
    drop(command);
    let mut why = String::new();
    let read = ours.by_ref().take(REASON_BYTES_MAX).read_to_string(&mut why);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    match (read, out, err) {
        (Ok(0), Some(out), Some(err)) => {
            Ok(Spawned { child, input: launch.is_talked_to.then_some(ours), out, err })
        }
        (read, _, _) => {
            drop(child.kill());
            drop(child.wait());
            Err(read.err().map_or(why, |error| error.to_string()))
        }
    }
}

/// Wait for the end without letting go of the number, end what is left of the group, and only then let go of it.
fn wait(child: &mut Child, group: &Group) -> (Option<i32>, Option<i32>) {
    let pid = Pid::from_child(child);
    let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), how) {}
    group.signal(Signal::KILL);
    group.put(None);
    match child.wait() {
        Ok(status) => (status.code(), status.signal()),
        Err(error) => {
            tracing::error!(%error, "a command could not be waited for");
            (None, None)
        }
    }
}
