//! `chaperone exec TARGET -- COMMAND`.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitCode;

use chaperone_api::CredentialView;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::connect::At;
use super::{Failure, block_on, remark};
use crate::person::asker::{Asker, KEY_VARIABLE};
use crate::person::local::host;

/// `chaperone exec`
#[derive(Debug, clap::Args)]
pub(crate) struct Exec {
    #[command(flatten)]
    at: At,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Variables of libpq that could lead a child elsewhere, or to another password, than the ones that we set.
pub(super) const MISLEADING: &[&str] = &[
    "DATABASE_URL",
    "PGCHANNELBINDING",
    "PGHOSTADDR",
    "PGPASSFILE",
    "PGREQUIREAUTH",
    "PGREQUIRESSL",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGTARGETSESSIONATTRS",
];
/// Where systems keep the certificates that they trust: libpq before version 16 has to be told.
const SYSTEM_ROOTS: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// What a shell says of a command that a signal ended.
const BY_SIGNAL: i32 = 128;

impl Exec {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let mut words = self.command.into_iter();
        let program = words.next().ok_or_else(|| {
            Failure::Usage("which command? (hint: `chaperone exec TARGET -- COMMAND`)".to_owned())
        })?;
        block_on(run_with(&self.at, program, words.collect()))
    }
}

/// Run one child with a credential of its own in its environment, and end as it does. A login is kept alive meanwhile.
pub(super) async fn run_with(
    at: &At,
    program: OsString,
    arguments: Vec<OsString>,
) -> Result<ExitCode, Failure> {
    let login = Asker::open(&at.whom).await?;
    let credential: CredentialView =
        login.gateway().post("/credentials", login.token(), &at.request()).await?;
    let mut command = Command::new(&program);
    command.args(arguments);
    for name in MISLEADING {
        command.env_remove(name);
    }
    // It is given one credential, and not what makes others.
    command.env_remove(KEY_VARIABLE);
    command.envs(environment(&login, &credential));
    if std::env::var_os("PGAPPNAME").is_none() {
        let name = Path::new(&program).file_name().unwrap_or(&program);
        command.env("PGAPPNAME", name);
    }
    // Before the child is there, so that no signal falls between.
    let (mut interrupt, mut terminate) = (watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?);
    let mut child = command.spawn().map_err(|why| {
        Failure::Usage(format!(
            "cannot run `{}`: {why} (hint: is it installed?)",
            Path::new(&program).display()
        ))
    })?;
    drop(credential);
    let kept = login.again()?.keep();
    tokio::pin!(kept);
    let mut is_kept = true;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(Failure::io("cannot wait for the command"))?,
            // The terminal has sent it to the child as well, which knows what it means.
            _ = interrupt.recv() => {}
            _ = terminate.recv() => pass_on(&child),
            // The gateway ends the child's sessions itself.
            failure = &mut kept, if is_kept => {
                remark(&format!("warning: {failure}"));
                is_kept = false;
            }
        }
    };
    let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

fn watch(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(Failure::io("cannot watch signals"))
}

fn pass_on(child: &tokio::process::Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id {
        // It has ended by itself at this very moment.
        let (Ok(()) | Err(_)) = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
}

/// libpq's variables for a credential. Only processes of the same user can read another's environment.
fn environment(login: &Asker, credential: &CredentialView) -> Vec<(&'static str, OsString)> {
    let mut variables: Vec<(&'static str, OsString)> = vec![
        ("PGHOST", host(login, credential).into()),
        ("PGPORT", credential.port.to_string().into()),
        ("PGDATABASE", (&credential.database).into()),
        ("PGUSER", (&credential.user).into()),
        ("PGPASSWORD", (&credential.password).into()),
        ("PGSSLMODE", (&credential.sslmode).into()),
    ];
    if credential.sslmode != "disable" {
        variables.push(("PGSSLROOTCERT", roots(login).into()));
    }
    variables
}

/// What libpq verifies a gateway with: as it was verified at login. `system` is understood since version 16.
pub(super) fn roots(login: &Asker) -> &Path {
    let system = || SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.exists());
    login.ca().or_else(system).unwrap_or(Path::new("system"))
}
