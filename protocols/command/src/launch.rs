//! The last step before a command's program: a process of its own that gives up everything the program is not to have, and
//! becomes the program. It is a verb of the agent's own executable, because safe code can do nothing between `fork` and
//! `exec`.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use rustix::process::{Gid, Resource, Rlimit, Signal, Uid};

/// As whom a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// User id.
    pub uid: u32,
    /// Group id; there are no further groups.
    pub gid: u32,
}

/// What a program is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// As whom; `None` is whoever the agent is.
    pub run_as: Option<RunAs>,
    /// Where.
    pub folder: PathBuf,
    /// Address space of each of its processes, in bytes; `None` where it may take what there is.
    pub memory_bytes_max: Option<u64>,
    /// Processor time of each of its processes, in seconds: a net below the time limit, which the agent keeps
    /// for whatever is in its process group. `None` where it has no end of time.
    pub processor_s_max: Option<u64>,
    /// Whether it is talked to: standard input then stays what the agent writes to. Else it is empty.
    pub is_talked_to: bool,
    /// The agent's process: the program ends with it.
    pub parent: i32,
    /// The program and its arguments.
    pub words: Vec<OsString>,
}

/// Become the program. Returns only where that fails; what went wrong was then said on standard input, a socket whose other end
/// the agent reads, and which ends where it does not fail: by itself, or, for a program that is talked to, on our part at the
/// last moment before it begins.
pub fn launch(launch: &Launch) -> std::io::Error {
    // The agent keeps the other end of this copy, which no program inherits.
    let said = match rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3) {
        Ok(said) => UnixStream::from(said),
        Err(error) => return error.into(),
    };
    let error = match become_program(launch, &said) {
        Ok(error) | Err(error) => error,
    };
    // Nobody is left to be told where the agent is gone.
    drop((&said).write_all(error.to_string().as_bytes()));
    error
}

fn become_program(launch: &Launch, said: &UnixStream) -> Result<std::io::Error, std::io::Error> {
    if !launch.is_talked_to {
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    }
    limit(Resource::Cpu, launch.processor_s_max)?;
    // What a program had in memory is not left behind in a file.
    limit(Resource::Core, Some(0))?;
    std::env::set_current_dir(&launch.folder).map_err(|error| {
        std::io::Error::new(error.kind(), format!("cannot enter `{}`: {error}", launch.folder.display()))
    })?;
    if let Some(RunAs { uid, gid }) = launch.run_as {
        // This process has one thread: what holds for it holds for the program.
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_gid(Gid::from_raw(gid))?;
        rustix::thread::set_thread_uid(Uid::from_raw(uid))?;
        let (now, group) = (rustix::process::geteuid(), rustix::process::getegid());
        if now != Uid::from_raw(uid) || group != Gid::from_raw(gid) {
            return Err(std::io::Error::other("the user was not changed"));
        }
    }
    rustix::thread::set_no_new_privs(true)?;
    // Only now: the kernel forgets it when the user changes.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = rustix::process::getppid().map(rustix::process::Pid::as_raw_nonzero);
    if parent.map(std::num::NonZero::get) != Some(launch.parent) {
        return Err(std::io::Error::other("the agent is gone"));
    }
    let mut words = launch.words.iter();
    let program = words.next().ok_or_else(|| std::io::Error::other("no program"))?;
    let mut command = std::process::Command::new(program);
    command.args(words);
    // Last: from here on this process, which is larger than most programs, can hardly take any more.
    limit(Resource::As, launch.memory_bytes_max)?;
    if launch.is_talked_to {
        // Of the socket itself, so of the program's input too: nobody writes to that. A program that cannot be begun now is told of
        // by its exit code alone.
        said.shutdown(Shutdown::Write)?;
    }
    Ok(command.exec())
}

fn limit(resource: Resource, most: Option<u64>) -> std::io::Result<()> {
    if most.is_none() {
        return Ok(());
    }
    Ok(rustix::process::setrlimit(resource, Rlimit { current: most, maximum: most })?)
}
