//! The target's secret: fetched late, never printed, wiped after use.
//!
//! A secret lives on the agent only. [`SecretSource`] says where it comes from (`agent.toml`); [`SecretSource::fetch`]
//! reads it anew for every login, so that a rotated password needs no restart and nothing is kept between logins.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

/// What limits a secret and how it is fetched.
pub mod limits {
    /// Largest output of a file or command, in bytes.
    pub const SECRET_BYTES_MAX: usize = 64 * 1024;
    /// Seconds that a command may take where `timeout_s` is not given.
    pub const COMMAND_TIMEOUT_S: u64 = 10;
    /// Largest `timeout_s`: a login waits for it.
    pub const COMMAND_TIMEOUT_S_MAX: u64 = 60;
}

/// A secret. It is wiped when dropped; `Debug` prints `Secret(..)`; there is no `Display` and no `Serialize`.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Take bytes that are a secret.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves, for the one place that proves their possession.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where a secret comes from: exactly one of `{ env = "X" }`, `{ file = "/path" }` and
/// `{ command = ["prog", "arg"], timeout_s = 10 }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub enum SecretSource {
    /// An environment variable of the agent's process.
    Env(String),
    /// A file's first line. Neither its group nor others may have any right to it.
    File(PathBuf),
    /// The first line that a program prints. It is started without a shell, without input.
    Command {
        /// The program, found by `PATH` unless it has a slash.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// After which it is killed.
        timeout: Duration,
    },
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    env: Option<String>,
    file: Option<PathBuf>,
    command: Option<Vec<String>>,
    timeout_s: Option<u64>,
}

impl TryFrom<Written> for SecretSource {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if written.timeout_s.is_some() && written.command.is_none() {
            return Err("`timeout_s` belongs to `command` only".to_owned());
        }
        match (written.env, written.file, written.command) {
            (Some(name), None, None) if !name.is_empty() && !name.contains(['=', '\0']) => {
                Ok(Self::Env(name))
            }
            (Some(name), None, None) => Err(format!("`{name}` is not the name of an environment variable")),
            (None, Some(path), None) if path.is_absolute() => Ok(Self::File(path)),
            (None, Some(path), None) => {
                Err(format!("the secret's file `{}` is not absolute", path.display()))
            }
            (None, None, Some(words)) => {
                let mut words = words.into_iter();
                let program = words.next().filter(|word| !word.is_empty());
                let program = program.ok_or_else(|| "`command` names no program".to_owned())?;
                let seconds = written.timeout_s.unwrap_or(limits::COMMAND_TIMEOUT_S);
                if seconds == 0 || seconds > limits::COMMAND_TIMEOUT_S_MAX {
                    return Err(format!("`timeout_s` must be 1 to {}", limits::COMMAND_TIMEOUT_S_MAX));
                }
                Ok(Self::Command {
                    program,
                    arguments: words.collect(),
                    timeout: Duration::from_secs(seconds),
                })
            }
            _ => Err("a secret needs exactly one of `env`, `file` and `command`".to_owned()),
        }
    }
}

/// Names the source only: arguments are left out, since people put tokens there.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable `{name}`"),
            Self::File(path) => write!(f, "file `{}`", path.display()),
            Self::Command { program, .. } => write!(f, "command `{program}`"),
        }
    }
}

/// Why there is no secret. Says which source is to blame, never what it contained.
#[derive(Debug, Error)]
#[error("the secret's {source_name} {reason}")]
pub struct VaultError {
    source_name: String,
    reason: Reason,
}

impl VaultError {
    /// What went wrong, without the source.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

/// What is wrong with a source.
#[derive(Debug, Error)]
pub enum Reason {
    /// The variable is not set.
    #[error("is not set")]
    Unset,
    /// The first line is empty.
    #[error("gives an empty first line")]
    Empty,
    /// Over [`limits::SECRET_BYTES_MAX`].
    #[error("gives more than {} bytes", limits::SECRET_BYTES_MAX)]
    TooLarge,
    /// Its mode gives rights to the group or to others.
    #[error("has mode {0:04o} (hint: it must be readable by its owner only, `chmod 600`)")]
    Exposed(u32),
    /// A directory, pipe or device.
    #[error("is not a regular file")]
    NotRegular,
    /// The system's answer.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// The command ended with another status than 0, or by a signal.
    #[error("failed ({0})")]
    Failed(std::process::ExitStatus),
    /// The command ran for too long and was killed.
    #[error("gave no answer in {} s", .0.as_secs())]
    TimedOut(Duration),
}

impl SecretSource {
    /// Fetch the secret now: the first line, without its line end.
    ///
    /// Cancel safe: dropping the future kills a command that runs.
    ///
    /// # Errors
    /// Names the source and what is wrong with it.
    pub async fn fetch(&self) -> Result<Secret, VaultError> {
        let found = match self {
            Self::Env(name) => from_env(name),
            Self::File(path) => from_file(path).await,
            Self::Command { program, arguments, timeout } => from_command(program, arguments, *timeout).await,
        };
        found
            .and_then(|bytes| first_line(&bytes))
            .map_err(|reason| VaultError { source_name: self.to_string(), reason })
    }
}

fn from_env(name: &str) -> Result<Zeroizing<Vec<u8>>, Reason> {
    let value = std::env::var_os(name).ok_or(Reason::Unset)?;
    let bytes = Zeroizing::new(std::os::unix::ffi::OsStringExt::into_vec(value));
    if bytes.len() > limits::SECRET_BYTES_MAX { Err(Reason::TooLarge) } else { Ok(bytes) }
}

async fn from_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Reason> {
    // Looked at before it is opened, because opening a pipe would wait for its writer; and after it, because only
    // the open file is the one that is read.
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(Reason::NotRegular);
    }
    let file = tokio::fs::File::open(path).await?;
    let metadata = file.metadata().await?;
    if !metadata.is_file() {
        return Err(Reason::NotRegular);
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Reason::Exposed(mode));
    }
    bounded(file).await
}

async fn from_command(
    program: &str,
    arguments: &[String],
    timeout: Duration,
) -> Result<Zeroizing<Vec<u8>>, Reason> {
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // What it complains about could contain what it found.
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.stdout.take().ok_or_else(|| std::io::Error::other("no output to read"))?;
    let run = async {
        let bytes = bounded(output).await?;
        let status = child.wait().await?;
        if status.success() { Ok(bytes) } else { Err(Reason::Failed(status)) }
    };
    tokio::time::timeout(timeout, run).await.map_err(|_elapsed| Reason::TimedOut(timeout))?
}

/// Everything up to the limit, in one allocation: a buffer that grew would leave copies behind that nobody wipes.
async fn bounded(source: impl AsyncRead + Unpin) -> Result<Zeroizing<Vec<u8>>, Reason> {
    let ceiling = limits::SECRET_BYTES_MAX + 1;
    // `read_to_end` asks for room before it notices the end: more than the ceiling, so that it never moves.
    let mut bytes = Zeroizing::new(Vec::with_capacity(ceiling + 1024));
    source.take(ceiling as u64).read_to_end(&mut bytes).await?;
    if bytes.len() == ceiling { Err(Reason::TooLarge) } else { Ok(bytes) }
}

fn first_line(bytes: &[u8]) -> Result<Secret, Reason> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() { Err(Reason::Empty) } else { Ok(Secret::new(line.to_vec())) }
}

#[cfg(test)]
mod tests;
