//! The last step before a command's program: a process of its own that gives up everything the program is not to have, and
//! becomes the program. It is a verb of the agent's own executable, because safe code can do nothing between `fork` and
//! `exec`.

use std::ffi::OsString;
use std::fs::{File, FileType};
use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, TcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Gid, Resource, Rlimit, Signal, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::walls;

/// `O_CLOEXEC`, as the kernel writes it.
const CLOSED_ON_EXEC: u32 = 0o2_000_000;

/// As whom a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// User id.
    pub uid: u32,
    /// Group id; there are no further groups.
    pub gid: u32,
}

/// What a program ends with, whatever it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndsWith {
    /// The agent's process, by its number.
    Process(i32),
    /// The namespaces that it is in.
    Walls {
        /// At which port of the loopback address there it finds its agent; `None` where it does not.
        listener: Option<u16>,
    },
}

impl EndsWith {
    /// This process.
    #[must_use]
    pub fn this() -> Self {
        Self::Process(i32::try_from(std::process::id()).unwrap_or_default())
    }
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
    /// What ends it.
    pub ends_with: EndsWith,
    /// The program and its arguments.
    pub words: Vec<OsString>,
}

/// Become the program. Returns only where that fails; what went wrong was then said on standard input, a socket whose other end
/// the agent reads, and which ends where it does not fail: by itself, or, for a program that is talked to, on our part at the
/// last moment before it begins. Behind walls it is said on a line of our own making, which the agent was handed.
pub fn launch(launch: &Launch) -> std::io::Error {
    // The agent keeps the other end of this copy, which no program inherits.
    let line = match rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3) {
        Ok(line) => UnixStream::from(line),
        Err(error) => return error.into(),
    };
    let said = match launch.ends_with {
        EndsWith::Process(_) => line,
        EndsWith::Walls { listener } => match inside(&line, listener) {
            Ok(said) => said,
            Err(error) => {
                tell(&line, &error);
                return error;
            }
        },
    };
    let error = match become_program(launch, &said) {
        Ok(error) | Err(error) => error,
    };
    tell(&said, &error);
    error
}

fn tell(mut said: &UnixStream, error: &std::io::Error) {
    // Nobody is left to be told where the agent is gone. What built walls keeps a copy: without the second the line does not end.
    drop(said.write_all(error.to_string().as_bytes()));
    drop(said.shutdown(Shutdown::Write));
}

fn inside(line: &UnixStream, listener: Option<u16>) -> std::io::Result<UnixStream> {
    let listener = listener.map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port))).transpose()?;
    walls::say_here(line, listener.as_ref())
}

fn become_program(launch: &Launch, said: &UnixStream) -> Result<std::io::Error, std::io::Error> {
    // First: whoever is not its owner any more may not look.
    nothing_is_left_open()?;
    if !launch.is_talked_to {
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    }
    limit(Resource::Cpu, launch.processor_s_max)?;
    // What a program had in memory is not left behind in a file.
    limit(Resource::Core, Some(0))?;
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
    // Only now: it may be one that nobody else enters, and root behind walls has no right to.
    std::env::set_current_dir(&launch.folder).map_err(|error| {
        std::io::Error::new(error.kind(), format!("cannot enter `{}`: {error}", launch.folder.display()))
    })?;
    rustix::thread::set_no_new_privs(true)?;
    match launch.ends_with {
        EndsWith::Process(agent) => end_with(agent)?,
        // What the walls let us keep to become somebody else. Nothing gives it back.
        EndsWith::Walls { listener: _ } => {
            let none = CapabilitySet::empty();
            let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
            rustix::thread::set_capabilities(None, sets)?;
        }
    }
    let mut words = launch.words.iter();
    let program = words.next().ok_or_else(|| std::io::Error::other("no program"))?;
    let mut command = std::process::Command::new(program);
    command.args(words);
    if matches!(launch.ends_with, EndsWith::Walls { .. }) {
        // What built them says where it was.
        command.env_remove("PWD");
    }
    // Last: from here on this process, which is larger than most programs, can hardly take any more.
    limit(Resource::As, launch.memory_bytes_max)?;
    if launch.is_talked_to && matches!(launch.ends_with, EndsWith::Process(_)) {
        // Of the socket itself, so of the program's input too: nobody writes to that. A program that cannot be begun now is told of
        // by its exit code alone.
        said.shutdown(Shutdown::Write)?;
    }
    Ok(command.exec())
}

/// A folder or disk that whoever started the agent left open would be the program's too, through every wall: a way to all that
/// is below it. Nothing that is opened here is. Single files and pipes, which terminals and build tools leave, are no such way.
fn nothing_is_left_open() -> std::io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fdinfo")? {
        let name = entry?.file_name();
        let number: u32 = name.to_str().and_then(|name| name.parse().ok()).unwrap_or(u32::MAX);
        let info = std::fs::read_to_string(Path::new("/proc/self/fdinfo").join(&name))?;
        if number <= 2 || is_closed_on_exec(&info) {
            continue;
        }
        let what = Path::new("/proc/self/fd").join(&name);
        if leads_on(&std::fs::metadata(&what)?.file_type()) {
            return Err(std::io::Error::other(format!(
                "whoever started the agent left `{}` open as descriptor {number}, and the program would have it",
                std::fs::read_link(&what)?.display()
            )));
        }
    }
    Ok(())
}

/// By what the kernel says of a descriptor.
fn is_closed_on_exec(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & CLOSED_ON_EXEC != 0)
}

fn leads_on(what: &FileType) -> bool {
    what.is_dir() || what.is_block_device()
}

fn end_with(agent: i32) -> std::io::Result<()> {
    // Only now: the kernel forgets it when the user changes.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = rustix::process::getppid().map(rustix::process::Pid::as_raw_nonzero);
    match parent.map(std::num::NonZero::get) == Some(agent) {
        true => Ok(()),
        false => Err(std::io::Error::other("the agent is gone")),
    }
}

fn limit(resource: Resource, most: Option<u64>) -> std::io::Result<()> {
    if most.is_none() {
        return Ok(());
    }
    Ok(rustix::process::setrlimit(resource, Rlimit { current: most, maximum: most })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_passed_on_is_known() {
        assert!(is_closed_on_exec("pos:\t0\nflags:\t02100000\nmnt_id:\t24\n"));
        for info in ["pos:\t0\nflags:\t0100002\n", "pos:\t0\nflags:\t01\n", "pos:\t0\n", "flags:\tx\n", ""] {
            assert!(!is_closed_on_exec(info), "{info}");
        }
        for (what, further) in [("/", true), ("/dev/null", false), ("/proc/self/stat", false)] {
            assert_eq!(leads_on(&std::fs::metadata(what).unwrap().file_type()), further, "{what}");
        }
    }
}
