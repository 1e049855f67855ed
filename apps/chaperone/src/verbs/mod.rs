//! One file a verb. Standard output is data only; everything else goes to standard error.

mod agent;
mod api;
mod classify;
mod completions;
mod config;
mod connect;
mod credential;
mod exec;
mod floor;
mod gateway;
mod init;
mod keys;
mod launch;
mod lock;
mod login;
mod logout;
mod mcp;
mod narrow;
mod people;
mod policy;
mod psql;
mod reach;
mod reader;
mod replay;
mod run;
mod server;
mod service;
mod session;
mod sessions;
mod targets;
mod toolcall;
mod trail;
mod whoami;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use chaperone_api::Problem;
use clap::{Parser, Subcommand};
use serde::Serialize;
use thiserror::Error;

use crate::config::ConfigError;

/// The recorded boundary between tool hosts and protected health data.
///
/// Begin with `chaperone init DIR`, look at the files it writes, check them with `chaperone config check DIR`, and start
/// `chaperone gateway --config DIR/gateway.toml`.
#[derive(Debug, Parser)]
#[command(name = "chaperone", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

/// The gateway's configuration, for verbs that ask a gateway on this machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Installation {
    /// The gateway's configuration file
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "CHAPERONE_CONFIG")]
    pub(crate) config: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write commented starter files: gateway.toml, agent.toml, a policy folder and a reader's key
    Init(init::Init),
    /// Check configuration and policies without starting anything
    #[command(subcommand)]
    Config(config::Config),
    /// Run the gateway
    Gateway(gateway::Gateway),
    /// Run an agent beside its targets, or say who may be one
    Agent(agent::Agent),
    /// Log in at a gateway with your organisation's account
    Login(login::Login),
    /// End a login, here and at the gateway
    Logout(logout::Logout),
    /// Say whom the gateway takes you for
    Whoami(whoami::Whoami),
    /// Open a local port to a target that asks for no password
    Connect(connect::Connect),
    /// Run psql at a target
    Psql(psql::Psql),
    /// Run one command with a target's connection in its environment (PGHOST, PGPASSWORD, ...)
    Exec(exec::Exec),
    /// Run a declared command at a target, or list those that you may run
    Run(run::Run),
    /// Speak MCP on standard input and output, for an AI client on this machine
    Mcp(mcp::Mcp),
    /// Print a connection string for one target, or narrow one
    Credential(Box<credential::Credential>),
    /// Make the key pair of somebody who may read recorded statements
    #[command(subcommand)]
    Reader(reader::Reader),
    /// List the gateway's own keys, or rotate one
    Keys(keys::Keys),
    /// Check, explain, test and compare policies
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Propose what a target's columns hold, and check that all of them are decided
    Classify(classify::Classify),
    /// A second lock: database roles that cannot read what policy shows to nobody who uses them
    #[command(subcommand)]
    Floor(floor::Floor),
    /// List targets and the agents that serve them
    Targets(targets::Targets),
    /// List sessions, newest first
    Sessions(sessions::Sessions),
    /// Show or end one session
    #[command(subcommand)]
    Session(session::Session),
    /// Show one call of a tool, from its caller to the fields
    #[command(subcommand)]
    Toolcall(toolcall::Toolcall),
    /// Lock a subject, a target or a client out, at once and until the lock is lifted
    #[command(subcommand)]
    Lock(lock::Lock),
    /// Servers of others, and which of their tools were accepted
    #[command(subcommand)]
    Server(server::Server),
    /// Services and their keys
    #[command(subcommand)]
    Service(service::Service),
    /// People who have logged in, and their logins
    #[command(subcommand)]
    People(people::People),
    /// The management API
    #[command(subcommand)]
    Api(api::Api),
    /// Verify or follow the trail
    #[command(subcommand)]
    Trail(trail::Trail),
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// How an agent starts a declared command
    #[command(hide = true)]
    Launch(launch::Launch),
}

/// Why a verb did not do what was asked.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something was asked for that cannot be done so.
    #[error("{0}")]
    Usage(String),
    /// Reading or writing failed.
    #[error("{what}: {why}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's reason.
        why: std::io::Error,
    },
    /// The gateway refused.
    #[error("{}{}", .0.detail, .0.hint.as_ref().map(|hint| format!(" (hint: {hint})")).unwrap_or_default())]
    Refused(Problem),
    /// Something needed for it does not work.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// 2 for what the user has to change, 1 for everything else.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) => 2,
            Self::Io { .. } | Self::Refused(_) | Self::Failed(_) => 1,
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |why| Self::Io { what, why }
    }

    pub(crate) fn failed(why: impl std::fmt::Display) -> Self {
        Self::Failed(why.to_string())
    }
}

/// Carry out a verb.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.verb {
        Verb::Init(verb) => verb.run(),
        Verb::Config(verb) => verb.run(),
        Verb::Gateway(verb) => verb.run(),
        Verb::Agent(verb) => verb.run(),
        Verb::Login(verb) => verb.run(),
        Verb::Logout(verb) => verb.run(),
        Verb::Whoami(verb) => verb.run(),
        Verb::Connect(verb) => verb.run(),
        Verb::Psql(verb) => verb.run(),
        Verb::Exec(verb) => verb.run(),
        Verb::Run(verb) => verb.run(),
        Verb::Mcp(verb) => verb.run(),
        Verb::Credential(verb) => verb.run(),
        Verb::Reader(verb) => verb.run(),
        Verb::Keys(verb) => verb.run(),
        Verb::Policy(verb) => verb.run(),
        Verb::Classify(verb) => verb.run(),
        Verb::Floor(verb) => verb.run(),
        Verb::Targets(verb) => verb.run(),
        Verb::Sessions(verb) => verb.run(),
        Verb::Session(verb) => verb.run(),
        Verb::Toolcall(verb) => verb.run(),
        Verb::Lock(verb) => verb.run(),
        Verb::Server(verb) => verb.run(),
        Verb::Service(verb) => verb.run(),
        Verb::People(verb) => verb.run(),
        Verb::Api(verb) => verb.run(),
        Verb::Trail(verb) => verb.run(),
        Verb::Completions(verb) => verb.run(),
        Verb::Launch(verb) => verb.run(),
    }
}

/// Data, on standard output. A reader that has gone away (`| head`) ends the program quietly.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    heard(text).map(drop)
}

/// The same, for whoever would go on: `false` where the reader has gone away.
fn heard(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true).map_err(Failure::io("cannot write to standard output")),
    }
}

/// A JSON value, on standard output.
pub(crate) fn say_json<T: Serialize>(value: &T) -> Result<(), Failure> {
    say(&serde_json::to_string_pretty(value).map_err(Failure::failed)?)
}

/// A remark, on standard error.
pub(crate) fn remark(text: &str) {
    // Nobody is left to be told where standard error is closed.
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// A failure, on standard error.
pub(crate) fn complain(failure: &Failure) {
    remark(&format!("error: {failure}"));
}

/// A table for people.
pub(crate) fn table(head: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
    let mut table = comfy_table::Table::new();
    table.set_header(head.to_vec());
    for row in rows {
        table.add_row(row);
    }
    say(&table.to_string())
}

/// A time for people: UTC, to the second.
pub(crate) fn clock(micros: u64) -> String {
    let nanos = i128::from(micros) * 1000;
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    time::OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|at| at.format(format).ok())
        .unwrap_or_else(|| micros.to_string())
}

/// Stack of a worker: virtual memory until a statement's tree needs it.
pub(crate) const STACK_BYTES: usize = 16 * 1024 * 1024;

/// One may be held up by the disk.
const THREADS_MIN: usize = 2;

/// The log on standard error and the asynchronous runtime of verbs that serve.
fn serving(log_json: bool) -> Result<tokio::runtime::Runtime, Failure> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CHAPERONE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if log_json {
        log.json().init();
    } else {
        log.init();
    }
    let threads = std::thread::available_parallelism().map_or(THREADS_MIN, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(threads.max(THREADS_MIN))
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(Failure::io("cannot start the runtime"))
}

/// The asynchronous runtime of verbs that only ask.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start the runtime"))?
        .block_on(future)
}

/// SIGINT or SIGTERM.
async fn ending() -> Result<(), Failure> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(Failure::io("cannot watch signals"))?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::io("cannot watch signals")),
        _ = terminate.recv() => Ok(()),
    }
}
