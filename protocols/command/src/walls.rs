//! Walls around a program: namespaces of its own, made by bubblewrap. What a program cannot see, it cannot reach.
//!
//! The program's only way out is what its agent accepts on: a listener inside of its network namespace, which the launcher
//! there binds and hands to the agent (`say_here`) before it becomes the program.

use std::ffi::{OsStr, OsString};
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use rustix::process::Pid;

use crate::process::REASON_BYTES_MAX;

/// How bubblewrap's program is called.
const BUBBLEWRAP: &str = "bwrap";
/// Where the launcher is inside.
const LAUNCHER: &str = "/.chaperone";
/// Bytes that a program may write into each of the places that are its own. They are memory.
const OWN_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// What every program runs on: those that are there are seen, and not written.
const SYSTEM: [&str; 17] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];
/// What a launcher inside says first, with its listener.
const HERE: u8 = 6;
/// What it is answered.
const GO: u8 = b'\n';

/// Whether every program sees a path as it is.
#[must_use]
pub fn is_of_system(path: &Path) -> bool {
    SYSTEM.iter().any(|system| path.starts_with(system))
}

/// Bubblewrap on this machine, found to work.
#[derive(Debug)]
pub struct Bubblewrap {
    program: PathBuf,
    /// The agent's own executable, which launches inside.
    launcher: PathBuf,
}

impl Bubblewrap {
    /// Look for it on a `PATH`, and try it.
    ///
    /// # Errors
    /// Why there are no namespaces here.
    pub fn find(path: Option<&OsStr>) -> Result<Arc<Self>, String> {
        let all = path.into_iter().flat_map(std::env::split_paths).map(|folder| folder.join(BUBBLEWRAP));
        let program = all.filter(|file| file.is_absolute()).find(|file| file.is_file());
        let program = program.ok_or(
            "`bwrap` is not on the PATH (hint: install bubblewrap, which Debian and others have under that name)",
        )?;
        let writable = std::fs::metadata(&program).map(|found| found.permissions().mode() & 0o002 != 0);
        if writable.map_err(|error| format!("`{}`: {error}", program.display()))? {
            return Err(format!("everybody may write to `{}`", program.display()));
        }
        let this = std::env::current_exe().map_err(|error| format!("cannot say what runs here: {error}"))?;
        // What the kernel says of a file that was replaced since; the new one launches as well.
        let shown = this.to_string_lossy();
        let launcher = PathBuf::from(shown.strip_suffix(" (deleted)").unwrap_or(&shown));
        let found = Arc::new(Self { program, launcher });
        let closed = Shape::Closed { home: PathBuf::from("/tmp"), files: Vec::new(), read: Vec::new() };
        for shape in [closed, Shape::Open { network: false }] {
            Walls { bubblewrap: found.clone(), shape }.tried()?;
        }
        Ok(found)
    }
}

/// What a program has walls against.
#[derive(Debug, Clone)]
pub enum Shape {
    /// It sees the system's programs and what is named here, and writes nothing but places of its own, which go with it. No
    /// network, and no other processes.
    Closed {
        /// A folder of its own, empty but for `files`.
        home: PathBuf,
        /// Files in `home`, which it cannot change.
        files: Vec<PathBuf>,
        /// What else it sees, and cannot change.
        read: Vec<PathBuf>,
    },
    /// It sees and writes the files that its user may. No other processes.
    Open {
        /// Whether it has the machine's network.
        network: bool,
    },
}

/// The walls of one program.
#[derive(Debug, Clone)]
pub struct Walls {
    /// What builds them.
    pub bubblewrap: Arc<Bubblewrap>,
    /// What they are against.
    pub shape: Shape,
}

/// Words of a command line.
#[derive(Default)]
struct Words(Vec<OsString>);

impl Words {
    fn add<const N: usize>(&mut self, words: [&OsStr; N]) {
        self.0.extend(words.map(OsStr::to_owned));
    }

    fn say<const N: usize>(&mut self, words: [&str; N]) {
        self.add(words.map(OsStr::new));
    }

    fn read(&mut self, path: &Path) {
        self.add(["--ro-bind".as_ref(), path.as_ref(), path.as_ref()]);
    }

    /// A place of the program's own, in memory.
    fn own(&mut self, place: &Path) {
        self.say(["--size", &OWN_BYTES_MAX.to_string(), "--perms", "1777", "--tmpfs"]);
        self.add([place.as_ref()]);
    }
}

impl Walls {
    /// A command that builds them, and launches inside with the words that are added to it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.bubblewrap.program);
        let (arguments, launcher) = self.arguments();
        command.args(arguments).arg("--").arg(launcher);
        command
    }

    fn arguments(&self) -> (Vec<OsString>, &Path) {
        let mut words = Words::default();
        // A session of its own: it has no terminal to type into.
        words.say(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--new-session"]);
        if rustix::process::geteuid().is_root() {
            // The launcher becomes somebody else inside, and gives up these too.
            words.say(["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]);
        }
        let is_networked = matches!(self.shape, Shape::Open { network: true });
        if !is_networked {
            words.say(["--unshare-net"]);
        }
        match &self.shape {
            Shape::Open { network: _ } => {
                words.say(["--dev-bind", "/", "/", "--proc", "/proc"]);
                (words.0, &self.bubblewrap.launcher)
            }
            Shape::Closed { home, files, read } => {
                for system in SYSTEM {
                    words.say(["--ro-bind-try", system, system]);
                }
                words.say(["--proc", "/proc", "--dev", "/dev"]);
                words.own(Path::new("/dev/shm"));
                words.say(["--remount-ro", "/dev"]);
                words.own(Path::new("/tmp"));
                read.iter().for_each(|path| words.read(path));
                if home != Path::new("/tmp") {
                    words.own(home);
                }
                files.iter().for_each(|path| words.read(path));
                words.add(["--ro-bind".as_ref(), self.bubblewrap.launcher.as_ref(), LAUNCHER.as_ref()]);
                words.say(["--remount-ro", "/"]);
                (words.0, Path::new(LAUNCHER))
            }
        }
    }

    /// Build them once, around nothing but this program's version.
    fn tried(&self) -> Result<(), String> {
        let tried = self.command().arg("--version").env_clear().stdin(Stdio::null()).output();
        let tried = tried.map_err(|error| format!("`bwrap` cannot be run: {error}"))?;
        if tried.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&tried.stderr);
        let first = said.lines().next().unwrap_or("it does not say why");
        Err(format!(
            "`bwrap` makes no namespaces here: {first} (hint: an agent that is not root needs user namespaces)"
        ))
    }
}

/// What an agent has of a launcher behind walls.
pub(crate) struct Here {
    /// The namespaces' first process: with it everything inside ends.
    pub(crate) init: OwnedFd,
    /// The group of everything inside that did not leave it.
    pub(crate) group: Pid,
    /// Where the launcher says what goes wrong. It ends when the program begins.
    pub(crate) said: UnixStream,
    pub(crate) listener: Option<TcpListener>,
}

/// Say that the launcher is there, hand over its listener and the other end of the line that is returned, and wait until
/// the agent has taken them.
pub(crate) fn say_here(line: &UnixStream, listener: Option<&TcpListener>) -> std::io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut handed: Vec<BorrowedFd<'_>> = vec![theirs.as_fd()];
    handed.extend(listener.map(TcpListener::as_fd));
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&handed)) {
        return Err(std::io::Error::other("the listener cannot be handed over"));
    }
    rustix::net::sendmsg(line, &[IoSlice::new(&[HERE])], &mut control, SendFlags::NOSIGNAL)?;
    let mut answer = [0];
    match (&ours).read(&mut answer)? {
        1 if answer == [GO] => Ok(ours),
        _ => Err(std::io::Error::other("the agent is gone")),
    }
}

/// Make one end of a line ready for [`hear`].
pub(crate) fn listen(line: &UnixStream) -> std::io::Result<()> {
    // So that the kernel says which process speaks, by its number here.
    Ok(rustix::net::sockopt::set_socket_passcred(line, true)?)
}

/// Wait for a launcher behind walls, and let it go on; `None` where it ended without a word.
pub(crate) fn hear(line: &UnixStream) -> std::io::Result<Option<Here>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2), ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let heard = loop {
        let into = &mut [IoSliceMut::new(&mut byte)];
        match rustix::net::recvmsg(line, into, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            heard => break heard?,
        }
    };
    let (mut launcher, mut handed) = (None, Vec::new());
    for message in control.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(some) => handed.extend(some),
            RecvAncillaryMessage::ScmCredentials(credentials) => launcher = Some(credentials.pid),
            _ => {}
        }
    }
    if heard.bytes == 0 {
        return Ok(None);
    }
    if byte != [HERE] {
        let mut why = byte.to_vec();
        line.take(REASON_BYTES_MAX).read_to_end(&mut why)?;
        return Err(std::io::Error::other(String::from_utf8_lossy(&why).into_owned()));
    }
    let mut handed = handed.into_iter();
    let (said, listener) = (handed.next().map(UnixStream::from), handed.next().map(TcpListener::from));
    let (Some(launcher), Some(mut said)) = (launcher, said) else {
        return Err(std::io::Error::other("a launcher that does not say who it is"));
    };
    // It waits, so what is found by its number is its own.
    let group = rustix::process::getpgid(Some(launcher))?;
    let init = rustix::process::pidfd_open(group, rustix::process::PidfdFlags::empty())?;
    said.write_all(&[GO])?;
    Ok(Some(Here { init, group, said, listener }))
}
