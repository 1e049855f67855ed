//! One run of a server: a process group of its own, from its start to the last of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use chaperone_access::{ProcessId, Refusal, TargetName};
use chaperone_command::launch::{EndsWith, Launch as Program, RunAs};
use chaperone_command::process::{self, Group, Started, Through};
use chaperone_command::walls::{Shape, Walls};
use chaperone_tunnel::{Launch, Stream};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Mutex, oneshot, watch};

use super::fill::Fill;
use super::places::Place;
use super::{Behind, Runs, Server, ended, runs};
use crate::person::local::owner;

/// Bytes of what a run writes to its standard error that reach the agent's log.
const STDERR_BYTES_MAX: usize = 64 * 1024;
/// Where a run behind walls finds its agent: the address is in its own network, so every run has the same.
const INSIDE: u16 = 5432;
/// The PATH of a run.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What others may know of a run.
pub(super) struct Run {
    server: TargetName,
    /// Where its connections wait. Whoever holds the lock takes the next one.
    listener: Mutex<TcpListener>,
    /// Whose connections are taken; `None` where nobody else reaches the listener.
    whose: Option<Whose>,
    over: watch::Receiver<bool>,
    group: Group,
}

impl Run {
    /// End it, and whatever it has started.
    pub(super) fn end(&self) {
        self.group.signal(Signal::KILL);
    }

    pub(super) fn server(&self) -> &TargetName {
        &self.server
    }

    /// The next connection that it makes.
    pub(super) async fn next_connection(&self) -> Result<Box<dyn Stream>, Refusal> {
        let mut over = self.over.clone();
        let accepted = tokio::select! {
            accepted = self.accepted() => accepted,
            _ = over.wait_for(|over| *over) => return Err(ended()),
        };
        let stream = accepted.map_err(|error| {
            tracing::warn!(server = %self.server, %error, "a server's connection was not taken");
            ended()
        })?;
        // Without it short messages wait for one another.
        drop(stream.set_nodelay(true));
        Ok(Box::new(stream))
    }

    /// The next connection that is its own.
    async fn accepted(&self) -> std::io::Result<TcpStream> {
        let listener = self.listener.lock().await;
        let mut is_said = false;
        loop {
            let (stream, peer) = listener.accept().await?;
            let is_its =
                |whose: &Whose| stream.local_addr().is_ok_and(|local| whose.takes(owner(peer, local)));
            if self.whose.as_ref().is_none_or(is_its) {
                return Ok(stream);
            }
            if !is_said {
                tracing::debug!(server = %self.server, %peer, "a connection that is not the run's own is closed");
            }
            is_said = true;
        }
    }
}

/// Whose connections a run has, where others of this machine can connect to its listener too. What it shows there may stand in
/// its command line, which they see.
struct Whose {
    uid: u32,
    /// Whether that is another user than the agent's.
    is_own: bool,
}

impl Whose {
    fn new(run_as: Option<RunAs>) -> Self {
        let agent = rustix::process::geteuid().as_raw();
        let uid = run_as.map_or(agent, |RunAs { uid, .. }| uid);
        Self { uid, is_own: uid != agent }
    }

    /// Whether a connection is taken, by whose it is found to be. A system that cannot tell keeps nobody out of a run that is of
    /// the agent's own user, as a demonstration's is.
    fn takes(&self, found: std::io::Result<Option<u32>>) -> bool {
        match found {
            Ok(owner) => owner == Some(self.uid),
            Err(_) => !self.is_own,
        }
    }
}

/// The folder of one run: its home, and where its files are.
struct Folder(PathBuf);

impl Folder {
    fn make(process: ProcessId) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("chaperone-{process}"));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, text: &str) -> std::io::Result<PathBuf> {
        use std::io::Write;
        let path = self.0.join(name);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(&path)?.write_all(text.as_bytes())?;
        Ok(path)
    }
}

/// Let the server's own user have it.
fn give(path: &Path, run_as: Option<RunAs>) -> std::io::Result<()> {
    match run_as {
        Some(RunAs { uid, gid }) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "a run's folder is left behind");
        }
    }
}

/// Where a run's connections come in.
enum Way {
    /// A port of the machine's loopback address.
    Listener(TcpListener),
    /// What the launcher hands over from behind the walls.
    Inside,
}

impl Way {
    fn at(&self) -> std::io::Result<SocketAddr> {
        match self {
            Self::Listener(listener) => listener.local_addr(),
            Self::Inside => Ok((Ipv4Addr::LOCALHOST, INSIDE).into()),
        }
    }

    fn listener(self, handed: Option<std::net::TcpListener>) -> std::io::Result<TcpListener> {
        match (self, handed) {
            (Self::Listener(listener), _) => Ok(listener),
            (Self::Inside, Some(handed)) => {
                handed.set_nonblocking(true)?;
                TcpListener::from_std(handed)
            }
            (Self::Inside, None) => Err(std::io::Error::other("a run without its listener")),
        }
    }
}

/// Begin a run. It ends when its stream is dropped, and with it whatever it has started.
pub(super) async fn begin(
    server: &Arc<Server>,
    launch: &Launch,
    place: Place,
    all: &Runs,
) -> std::io::Result<Box<dyn Stream>> {
    let way = match server.walls {
        Some(_) => Way::Inside,
        None => Way::Listener(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?),
    };
    let (folder, run_as) = (Folder::make(launch.process)?, place.run_as());
    let fill = Fill::new(&launch.access, way.at()?, &folder.0);
    let mut files = Vec::new();
    for (name, text) in &server.files {
        let path = folder.write(name, &fill.put(text))?;
        give(&path, run_as)?;
        files.push(path);
    }
    give(&folder.0, run_as)?;
    let through = match &server.walls {
        None => Through::Own,
        Some(Behind { bubblewrap, read }) => {
            let shape = Shape::Closed { home: folder.0.clone(), files, read: read.clone() };
            Through::Walls(Walls { bubblewrap: bubblewrap.clone(), shape })
        }
    };
    let (program, environment) = program(server, run_as, &fill, &folder.0);
    let started = process::start(through, program, environment).await.map_err(std::io::Error::other)?;
    let Started { group, input, listener, out, err, ended } = started;
    let ends = input.ok_or_else(|| std::io::Error::other("a run without its input")).and_then(|input| {
        input.set_nonblocking(true)?;
        let pipe = |end: OwnedFd| pipe::Receiver::from_owned_fd(end);
        Ok((UnixStream::from_std(input)?, pipe(out.into())?, pipe(err.into())?, way.listener(listener)?))
    });
    let (stdin, stdout, stderr, listener) = ends.inspect_err(|_| group.signal(Signal::KILL))?;
    let (said_over, over) = watch::channel(false);
    let (stop, stopped) = oneshot::channel();
    let whose = server.walls.is_none().then(|| Whose::new(run_as));
    let (name, listener) = (server.name.clone(), Mutex::new(listener));
    let run = Run { server: name, listener, whose, over, group: group.clone() };
    if !runs(all).enter(launch.process, run) {
        group.signal(Signal::KILL);
    }
    tokio::spawn(hear(stderr, server.name.clone(), launch.process));
    let (process, all) = (launch.process, all.clone());
    let kept = Kept { group, process, all, said_over, _folder: folder, _place: place };
    tokio::spawn(keep(ended, stopped, kept, server.name.clone()));
    Ok(Box::new(Talk { stdin, stdout, _stop: stop }))
}

/// What is run, and its environment: nothing of the agent's own, where secrets are found.
fn program(
    server: &Server,
    run_as: Option<RunAs>,
    fill: &Fill,
    folder: &Path,
) -> (Program, BTreeMap<String, String>) {
    let mut words = server.command.iter();
    let first = words.next().map(OsString::from);
    let words = first.into_iter().chain(words.map(|word| OsString::from(&*fill.put(word)))).collect();
    let home = folder.display().to_string();
    let mut environment = BTreeMap::from([
        ("PATH".to_owned(), PATH.to_owned()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("HOME".to_owned(), home.clone()),
        ("TMPDIR".to_owned(), home),
    ]);
    environment
        .extend(server.environment.iter().map(|(name, value)| (name.clone(), (*fill.put(value)).clone())));
    let program = Program {
        run_as,
        folder: server.directory.as_deref().unwrap_or(folder).to_owned(),
        // Runtimes of servers take address space that they never use, and live for as long as their caller calls.
        memory_bytes_max: None,
        processor_s_max: None,
        is_talked_to: true,
        ends_with: match server.walls {
            Some(_) => EndsWith::Walls { listener: Some(INSIDE) },
            None => EndsWith::this(),
        },
        words,
    };
    (program, environment)
}

/// What goes when a run does, in this order.
struct Kept {
    group: Group,
    process: ProcessId,
    all: Runs,
    said_over: watch::Sender<bool>,
    _folder: Folder,
    _place: Place,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Also where nobody waited for its end: the agent goes.
        self.group.signal(Signal::KILL);
        runs(&self.all).leave(self.process);
        self.said_over.send_replace(true);
    }
}

/// How a program ended, once nothing of its group is left: its exit code or the signal that ended it.
type HowItEnded = oneshot::Receiver<(Option<i32>, Option<i32>)>;

/// Wait for a run's end, by itself or because nobody talks to it any more, and end all of it.
async fn keep(mut ended: HowItEnded, stopped: oneshot::Receiver<()>, kept: Kept, server: TargetName) {
    let how = tokio::select! {
        how = &mut ended => match how.unwrap_or_default() {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "nobody knows how".to_owned(),
        },
        _ = stopped => {
            kept.group.signal(Signal::KILL);
            // It has ended when nothing of its group is left.
            drop(ended.await);
            "no longer needed".to_owned()
        }
    };
    tracing::info!(%server, process = %kept.process, %how, "a run is over");
}

/// Read what a run complains of, so that it does not block. It may hold data of patients: it is shown to whoever asks for
/// it by the log's level only, and not without end.
async fn hear(mut stderr: pipe::Receiver, server: TargetName, process: ProcessId) {
    let (mut piece, mut left) = ([0; 1024], STDERR_BYTES_MAX);
    while let Ok(length @ 1..) = stderr.read(&mut piece).await {
        let shown = piece.get(..length.min(left)).unwrap_or_default();
        if !shown.is_empty() {
            tracing::debug!(%server, %process, text = %String::from_utf8_lossy(shown), "a server says");
        }
        left -= shown.len();
    }
}

/// A run's input and output as one stream.
struct Talk {
    stdin: UnixStream,
    stdout: pipe::Receiver,
    /// Its keeper notices when this is dropped.
    _stop: oneshot::Sender<()>,
}

impl AsyncRead for Talk {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for Talk {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stdin).poll_write(cx, bytes)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stdin).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stdin).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_of_another_user_is_not_taken_for_the_runs() {
        let none = || std::io::Error::from(std::io::ErrorKind::NotFound);
        for is_own in [false, true] {
            let whose = Whose { uid: 7, is_own };
            assert!(whose.takes(Ok(Some(7))));
            assert!(!whose.takes(Ok(Some(8))));
            assert!(!whose.takes(Ok(None)));
            assert_eq!(whose.takes(Err(none())), !is_own);
        }
    }
}
