//! The agent's side of a session: one request is judged again, run within its limits, and ended when nobody waits for it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use chaperone_access::{Refusal, RefusalCode, TargetName, no_command};
use chaperone_wire::{Exit, ExitBy, Printed};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use crate::codec::{self, CHUNK_BYTES_MAX, Ended, Frame, Run, Tag};
use crate::declare::{Declaration, Undeclared};
use crate::launch::{EndsWith, Launch, RunAs};
use crate::process::{self, Group, Started, Through};
use crate::template::{ARGUMENTS_MAX, Template};

/// Programs of one agent at a time.
pub const RUNNING_MAX: usize = 64;
/// Least memory that a program may be given, in bytes.
pub const MEMORY_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// How long a program that is asked to end (SIGTERM) may take before it is ended (SIGKILL).
pub const GRACE: Duration = Duration::from_secs(2);
/// How long what a program printed before its end may take to leave.
const LAST_OUTPUT: Duration = Duration::from_secs(10);

/// What the agent alone knows of a command.
#[derive(Debug, Clone)]
pub struct Secret {
    /// The program: an absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<Template>,
    /// Address space of each of its processes, in bytes.
    pub memory_bytes_max: u64,
}

/// Where and as whom the commands of a target run.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// As whom; `None` is whoever the agent is.
    pub run_as: Option<RunAs>,
    /// In which folder.
    pub folder: PathBuf,
    /// All of their environment.
    pub environment: BTreeMap<String, String>,
    /// By what they are launched.
    pub through: Through,
}

/// What ends commands from outside.
#[derive(Clone)]
pub struct Ends {
    /// The gateway asked for it.
    pub cancelled: Arc<Notify>,
    /// The agent was asked to stop.
    pub stopping: watch::Receiver<bool>,
}

/// The commands of one target.
pub struct Commands {
    target: TargetName,
    declaration: Declaration,
    greeting: Vec<u8>,
    secrets: BTreeMap<String, Secret>,
    surroundings: Surroundings,
    running: Arc<Semaphore>,
}

impl Commands {
    /// Of a declaration, with what the agent alone knows. `running` bounds those of all its targets.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(
        target: TargetName,
        declaration: Declaration,
        secrets: BTreeMap<String, Secret>,
        surroundings: Surroundings,
        running: Arc<Semaphore>,
    ) -> Result<Self, Undeclared> {
        let greeting = declaration.to_bytes()?;
        for (name, command) in &declaration.commands {
            let wrong = |why: String| Err(Undeclared(format!("command `{name}`: {why}")));
            let Some(secret) = secrets.get(name) else { return wrong("it has no program".to_owned()) };
            if !secret.program.is_absolute() {
                return wrong("`program` is not an absolute path".to_owned());
            }
            if secret.arguments.len() > ARGUMENTS_MAX {
                return wrong(format!("it has more than {ARGUMENTS_MAX} arguments"));
            }
            if secret.memory_bytes_max < MEMORY_BYTES_MIN {
                return wrong(format!("`memory_bytes_max` is at least {MEMORY_BYTES_MIN}"));
            }
            let mentioned = |parameter: &String| {
                secret.arguments.iter().flat_map(Template::mentions).any(|name| name == parameter)
            };
            if let Some(unused) = command.parameters.keys().find(|parameter| !mentioned(parameter)) {
                return wrong(format!("no argument mentions its parameter `{unused}`"));
            }
        }
        Ok(Self { target, declaration, greeting, secrets, surroundings, running })
    }

    /// What the gateway is told of them.
    #[must_use]
    pub fn greeting(&self) -> &[u8] {
        &self.greeting
    }

    /// What is asked for, judged by this agent's own file whatever the gateway made of it.
    fn judged(&self, run: &Run) -> Result<(Launch, Limits), Refusal> {
        let none = || no_command(&self.target, &run.command.escape_default().to_string());
        let command = self.declaration.commands.get(&run.command).ok_or_else(none)?;
        let secret = self.secrets.get(&run.command).ok_or_else(none)?;
        let values = command.values(&run.parameters).map_err(|why| {
            tracing::warn!(
                command = run.command,
                why,
                "the gateway asked for what this agent does not declare"
            );
            Refusal::new(RefusalCode::ProtocolViolation, format!("the parameters cannot be used: {why}"))
        })?;
        let mut words: Vec<OsString> = vec![secret.program.clone().into()];
        words.extend(
            secret.arguments.iter().filter_map(|template| template.fill(&values)).map(OsString::from),
        );
        let launch = Launch {
            run_as: self.surroundings.run_as,
            folder: self.surroundings.folder.clone(),
            memory_bytes_max: Some(secret.memory_bytes_max),
            processor_s_max: Some((u64::from(command.time_s_max) + 1).saturating_mul(processors())),
            is_talked_to: false,
            ends_with: match self.surroundings.through {
                Through::Walls(_) => EndsWith::Walls { listener: None },
                Through::Own | Through::Other(_) => EndsWith::this(),
            },
            words,
        };
        let time = Duration::from_secs(u64::from(command.time_s_max));
        Ok((launch, Limits { time, output_bytes: command.output_bytes_max }))
    }

    async fn started(&self, run: &Run) -> Result<(Started, Limits), Refusal> {
        let (launch, limits) = self.judged(run)?;
        process::start(self.surroundings.through.clone(), launch, self.surroundings.environment.clone())
            .await
            .map(|started| (started, limits))
            .map_err(|why| {
                tracing::error!(command = run.command, why, "a command could not be started");
                Refusal::new(RefusalCode::TargetUnavailable, "the agent cannot start the command")
                    .hint("ask whoever runs the agent to look at its log")
            })
    }

    /// Serve one session to its end: the stream is the gateway's.
    pub async fn serve<S: AsyncRead + AsyncWrite + Send>(&self, stream: S, ends: Ends) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let Some(run) = asked(&mut reader).await else { return };
        let _place = match self.running.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                let refusal = Refusal::new(RefusalCode::Busy, "the agent runs as many commands as it may");
                return refuse(&mut writer, &refusal.hint("try again later")).await;
            }
        };
        let (started, limits) = match self.started(&run).await {
            Ok(started) => started,
            Err(refusal) => return refuse(&mut writer, &refusal).await,
        };
        // Whatever ends this, the group does not stay.
        let _killed = Killed(started.group.clone());
        if let Some(exit) = carry(started, limits, ends, &mut reader, &mut writer).await {
            let mut out = BytesMut::new();
            codec::put_json(Tag::Ended, &Ended::new(exit, BTreeMap::new()), &mut out);
            said(&mut writer, &out).await;
        }
        // The gateway closes: it has read everything then.
        drop(tokio::time::timeout(LAST_OUTPUT, left(&mut reader)).await);
    }
}

/// How many processors a program can keep busy at a time.
fn processors() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u64)
}

/// How far a command may go.
#[derive(Debug, Clone, Copy)]
struct Limits {
    time: Duration,
    output_bytes: u64,
}

struct Killed(Group);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.signal(Signal::KILL);
    }
}

/// The one request of a session; `None` where there is none that can be read.
async fn asked(reader: &mut (impl AsyncRead + Unpin)) -> Option<Run> {
    let mut input = BytesMut::new();
    loop {
        match codec::take(&mut input) {
            Ok(Some(frame @ Frame { tag: Tag::Run, .. })) => return frame.json().ok(),
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => return None,
        }
        match reader.read_buf(&mut input).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn said(writer: &mut (impl AsyncWrite + Unpin), out: &[u8]) {
    // Whoever has gone need not be told.
    let written = async {
        writer.write_all(out).await.ok();
        writer.flush().await.ok();
    };
    drop(tokio::time::timeout(LAST_OUTPUT, written).await);
}

async fn refuse(writer: &mut (impl AsyncWrite + Unpin), refusal: &Refusal) {
    let mut out = BytesMut::new();
    codec::put_json(Tag::Refused, &codec::Refused::new(refusal, false), &mut out);
    said(writer, &out).await;
    writer.shutdown().await.ok();
}

/// Ready when the gateway has closed the session. It says nothing more; if it does, that is the end as well.
async fn left(reader: &mut (impl AsyncRead + Unpin)) {
    let mut byte = [0];
    drop(reader.read(&mut byte).await);
}

/// How the carrying of output ended.
enum Carried {
    /// Nothing more comes.
    All,
    /// More than the command may print.
    TooMuch,
    /// Nobody takes it.
    Gone,
}

/// Carry what a program prints, in the order in which it comes.
async fn printed(
    (out, err): (&mut pipe::Receiver, &mut pipe::Receiver),
    mut left: u64,
    writer: &mut (impl AsyncWrite + Unpin),
) -> Carried {
    let (mut from_out, mut from_err) = (vec![0; CHUNK_BYTES_MAX], vec![0; CHUNK_BYTES_MAX]);
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        let (printed, read) = tokio::select! {
            read = out.read(&mut from_out), if out_open => (Printed::Out, read),
            read = err.read(&mut from_err), if err_open => (Printed::Err, read),
        };
        let length = read.unwrap_or(0);
        let (open, buffer) = match printed {
            Printed::Out => (&mut out_open, &from_out),
            Printed::Err => (&mut err_open, &from_err),
        };
        *open = length > 0;
        let within = usize::try_from(left).map_or(length, |left| left.min(length));
        let mut frame = BytesMut::new();
        if within > 0 {
            codec::put(printed.into(), buffer.get(..within).unwrap_or_default(), &mut frame);
            if writer.write_all(&frame).await.is_err() || writer.flush().await.is_err() {
                return Carried::Gone;
            }
        }
        if within < length {
            return Carried::TooMuch;
        }
        left -= length as u64;
    }
    Carried::All
}

/// Carry a program to its end; `None` where nobody waits for it any more.
async fn carry(
    started: Started,
    limits: Limits,
    mut ends: Ends,
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
) -> Option<Exit> {
    let Started { group, input: _, listener: _, out, err, mut ended } = started;
    let receiver = |fd: std::os::fd::OwnedFd| pipe::Receiver::from_owned_fd(fd);
    let (Ok(mut out), Ok(mut err)) = (receiver(out.into()), receiver(err.into())) else { return None };
    let mut carrying = std::pin::pin!(printed((&mut out, &mut err), limits.output_bytes, writer));
    let mut gone = std::pin::pin!(left(reader));
    let mut has_to_end = std::pin::pin!(has_to_end(limits.time, &mut ends));
    let (mut by, mut carried, mut phase) = (ExitBy::Itself, false, Phase::Running);
    let (code, signal) = loop {
        tokio::select! {
            biased;
            status = &mut ended => break status.unwrap_or_default(),
            () = &mut gone => {
                group.signal(Signal::TERM);
                drop(tokio::time::timeout(GRACE, &mut ended).await);
                // Nobody is left to be told how it ended.
                return None;
            }
            why = &mut has_to_end, if phase == Phase::Running => {
                by = why;
                group.signal(Signal::TERM);
                phase = Phase::Asked(Instant::now() + GRACE);
            }
            () = grace(phase), if phase != Phase::Running => {
                group.signal(Signal::KILL);
                phase = Phase::Killed;
            }
            end = &mut carrying, if !carried => {
                carried = true;
                match end {
                    Carried::All => {}
                    Carried::Gone => return None,
                    Carried::TooMuch => {
                        by = ExitBy::OutputLimit;
                        group.signal(Signal::KILL);
                        phase = Phase::Killed;
                    }
                }
            }
        }
    };
    if !carried && by != ExitBy::OutputLimit {
        // Nothing of its group is left to print more; what it printed still leaves.
        let last = async {
            tokio::select! {
                end = &mut carrying => matches!(end, Carried::TooMuch),
                () = &mut gone => false,
            }
        };
        if tokio::time::timeout(LAST_OUTPUT, last).await.unwrap_or(false) {
            by = ExitBy::OutputLimit;
        }
    }
    Some(Exit { code, signal, by })
}

/// How far the end of a program has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// It was asked to end, and has until then.
    Asked(Instant),
    Killed,
}

/// Ready when a program that was asked to end has had its time.
async fn grace(phase: Phase) {
    match phase {
        Phase::Asked(until) => tokio::time::sleep_until(until).await,
        Phase::Running | Phase::Killed => std::future::pending().await,
    }
}

/// Ready when a program has to end, with why.
async fn has_to_end(time: Duration, ends: &mut Ends) -> ExitBy {
    let stopping = async {
        // Whoever could say so is gone: it is not said.
        if ends.stopping.wait_for(|stopping| *stopping).await.is_err() {
            std::future::pending().await
        }
    };
    tokio::select! {
        () = tokio::time::sleep(time) => ExitBy::TimeLimit,
        () = ends.cancelled.notified() => ExitBy::Cancelled,
        () = stopping => ExitBy::AgentStopping,
    }
}

#[cfg(test)]
mod tests;
