//! One run of a server: a process group of its own, from its start to the last of it.

use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};

use chaperone_access::{ProcessId, Refusal, TargetName};
use chaperone_tunnel::{Launch, Stream};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex, OwnedSemaphorePermit, oneshot, watch};

use super::fill::Fill;
use super::{Runs, Server, ended, runs};

/// Bytes of what a run writes to its standard error that reach the agent's log.
const STDERR_BYTES_MAX: usize = 64 * 1024;
/// The PATH of a run.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What others may know of a run.
pub(super) struct Run {
    server: TargetName,
    /// Where its connections wait. Whoever holds the lock takes the next one.
    listener: Mutex<TcpListener>,
    over: watch::Receiver<bool>,
}

impl Run {
    pub(super) fn server(&self) -> &TargetName {
        &self.server
    }

    /// The next connection that it makes.
    pub(super) async fn next_connection(&self) -> Result<Box<dyn Stream>, Refusal> {
        let mut over = self.over.clone();
        let accepted = async { self.listener.lock().await.accept().await };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            _ = over.wait_for(|over| *over) => return Err(ended()),
        };
        let (stream, _) = accepted.map_err(|error| {
            tracing::warn!(server = %self.server, %error, "a server's connection was not taken");
            ended()
        })?;
        // Without it short messages wait for one another.
        drop(stream.set_nodelay(true));
        Ok(Box::new(stream))
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
fn give(path: &Path, server: &Server) -> std::io::Result<()> {
    if server.uid.is_none() && server.gid.is_none() {
        return Ok(());
    }
    std::os::unix::fs::chown(path, server.uid, server.gid)
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "a run's folder is left behind");
        }
    }
}

/// Begin a run. It ends when its stream is dropped, and with it whatever it has started.
pub(super) async fn begin(
    server: &Arc<Server>,
    launch: &Launch,
    place: OwnedSemaphorePermit,
    all: &Runs,
) -> std::io::Result<Box<dyn Stream>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let folder = Folder::make(launch.process)?;
    let fill = Fill::new(&launch.access, listener.local_addr()?, &folder.0);
    for (name, text) in &server.files {
        let path = folder.write(name, &fill.put(text))?;
        give(&path, server)?;
    }
    give(&folder.0, server)?;
    let mut child = command(server, &fill, &folder.0).spawn()?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(std::io::Error::other("a process without its pipes"));
    };
    let (said_over, over) = watch::channel(false);
    let (stop, stopped) = oneshot::channel();
    let run = Run { server: server.name.clone(), listener: Mutex::new(listener), over };
    runs(all).insert(launch.process, Arc::new(run));
    tokio::spawn(hear(stderr, server.name.clone(), launch.process));
    let kept = Kept { process: launch.process, all: all.clone(), said_over, _folder: folder, _place: place };
    tokio::spawn(keep(child, stopped, kept, server.name.clone()));
    Ok(Box::new(Talk { stdin, stdout, _stop: stop }))
}

fn command(server: &Server, fill: &Fill, folder: &Path) -> Command {
    let mut words = server.command.iter();
    let mut command = Command::new(words.next().map_or("", String::as_str));
    for word in words {
        command.arg(&*fill.put(word));
    }
    // Nothing of the agent's own environment: secrets are found there.
    command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").env("HOME", folder).env("TMPDIR", folder);
    for (name, value) in &server.environment {
        command.env(name, &*fill.put(value));
    }
    command.current_dir(server.directory.as_deref().unwrap_or(folder));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    if let Some(gid) = server.gid {
        command.gid(gid);
    }
    if let Some(uid) = server.uid {
        command.uid(uid);
    }
    command
}

/// What goes when a run does, in this order.
struct Kept {
    process: ProcessId,
    all: Runs,
    said_over: watch::Sender<bool>,
    _folder: Folder,
    _place: OwnedSemaphorePermit,
}

impl Drop for Kept {
    fn drop(&mut self) {
        runs(&self.all).remove(&self.process);
        self.said_over.send_replace(true);
    }
}

/// Wait for a run's end, by itself or because nobody talks to it any more, and end all of it.
async fn keep(mut child: Child, stopped: oneshot::Receiver<()>, kept: Kept, server: TargetName) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let how = tokio::select! {
        status = child.wait() => status.map_or_else(|error| error.to_string(), |status| status.to_string()),
        _ = stopped => "no longer needed".to_owned(),
    };
    if let Some(group) = group
        && let Err(error) = kill_process_group(group, Signal::KILL)
        && error != rustix::io::Errno::SRCH
    {
        tracing::error!(%server, process = %kept.process, %error, "a run's processes cannot be ended");
    }
    if let Err(error) = child.wait().await {
        tracing::warn!(%server, %error, "a run's end is not known");
    }
    tracing::info!(%server, process = %kept.process, %how, "a run is over");
}

/// Read what a run complains of, so that it does not block. It may hold data of patients: it is shown to whoever asks for
/// it by the log's level only, and not without end.
async fn hear(mut stderr: ChildStderr, server: TargetName, process: ProcessId) {
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
    stdin: ChildStdin,
    stdout: ChildStdout,
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
