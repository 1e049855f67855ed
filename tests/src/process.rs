//! Processes that end with us: asked first, then killed, and by the kernel if we are killed ourselves.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Failure, Result};

/// How often a process that should end, or a port that should open, is looked at.
pub(crate) const GLANCE: Duration = Duration::from_millis(20);
/// How long a process may take to end after it was asked.
const PATIENCE: Duration = Duration::from_secs(20);
/// Lines of a log that a failure quotes.
const LOG_LINES_QUOTED: usize = 20;

/// Who a process runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// As we do.
    Ours,
    /// As `postgres` where we are root: PostgreSQL and pgbouncer refuse to run as root. Else as we do.
    Postgres,
}

/// Whether we run as root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// As whom `agent.toml` says that hosted servers run: as their agent does, also where that is root, since what they are made of
/// may lie where nobody else may look, such as in root's home. No example to follow.
#[must_use]
pub fn as_itself() -> &'static str {
    if is_root() { "same_user = true\nuid = 0\ngid = 0\n" } else { "same_user = true\n" }
}

impl Identity {
    /// A command that runs as this identity and gets `at_our_end` (a signal's name) when the thread that starts it
    /// ends. So: start long-lived processes from a thread that lives as long.
    #[must_use]
    pub fn command(self, program: &Path, at_our_end: &str) -> Command {
        let mut command = Command::new("setpriv");
        if self == Self::Postgres && is_root() {
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
        }
        command.args(["--pdeathsig", at_our_end, "--"]).arg(program);
        command
    }
}

/// A process of ours.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    log: PathBuf,
    /// What it understands as "end in order".
    ask: Signal,
}

impl Running {
    /// Start a command with both its outputs in the file `log`.
    ///
    /// # Errors
    /// It cannot be started, or the log not written.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log).map_err(Failure::at("open", log))?;
        let also = file.try_clone().map_err(Failure::at("open", log))?;
        // A group of its own: Ctrl-C at the terminal is for us, who then end it in order.
        command.stdin(Stdio::null()).stdout(file).stderr(also).process_group(0);
        let child = command.spawn().map_err(|error| Failure::new(format!("cannot start {name}: {error}")))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned(), ask: Signal::TERM })
    }

    /// Ask it to end by this signal instead of SIGTERM.
    #[must_use]
    pub fn asked_by(mut self, signal: Signal) -> Self {
        self.ask = signal;
        self
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The system's.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(|error| Failure::new(format!("cannot wait for {}: {error}", self.name)))
    }

    /// Wait until `ready` says so.
    ///
    /// # Errors
    /// It ends before, or is not ready in time; the message carries the end of its log.
    pub fn until(&mut self, patience: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let begun = Instant::now();
        while !ready() {
            if let Some(status) = self.ended()? {
                return Err(Failure::new(format!("{} ended with {status}:\n{}", self.name, self.log_end())));
            }
            if begun.elapsed() > patience {
                return Err(Failure::new(format!(
                    "{} was not ready in {patience:?}:\n{}",
                    self.name,
                    self.log_end()
                )));
            }
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// Send a signal to the process.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| Failure::new(format!("{} has no process id", self.name)))?;
        kill_process(id, signal)
            .map_err(|error| Failure::new(format!("cannot signal {}: {error}", self.name)))
    }

    /// Kill it at once, as `kill -9` does, and wait for its end.
    ///
    /// # Errors
    /// The system's.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        let cannot = |error: std::io::Error| Failure::new(format!("cannot kill {}: {error}", self.name));
        self.child.kill().map_err(cannot)?;
        self.child.wait().map_err(|error| Failure::new(format!("cannot wait for {}: {error}", self.name)))
    }

    /// Ask it to end, wait, and kill it if it does not.
    ///
    /// # Errors
    /// It had to be killed.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        self.signal(self.ask)?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            std::thread::sleep(GLANCE);
        }
        self.kill()?;
        Err(Failure::new(format!(
            "{} did not end in {PATIENCE:?} and was killed:\n{}",
            self.name,
            self.log_end()
        )))
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let skipped = log.lines().count().saturating_sub(LOG_LINES_QUOTED);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nobody is left to be told; what matters is that it is gone.
        drop(self.stop());
    }
}

/// Run a command to its end and hand back what it printed.
///
/// # Errors
/// It cannot be started or ends with anything but 0; the message carries what it wrote on standard error.
pub fn capture(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Failure::new(format!("cannot run `{program}`: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let (said, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    // Findings are data, and stand on standard output.
    let last: Vec<&str> = printed.lines().rev().take(LOG_LINES_QUOTED).collect();
    let printed = last.into_iter().rev().collect::<Vec<_>>().join("\n");
    Err(Failure::new(format!("`{program}` ended with {}: {}\n{printed}", output.status, said.trim())))
}
