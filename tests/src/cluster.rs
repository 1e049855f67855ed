//! A PostgreSQL of our own, from Debian's programs: initialised and loaded once, then copied for each who wants one.
//! With the clinic in it, or bare for those who bring a schema.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::folder::{self, free_port, secret};
use crate::process::{Identity, Running, capture, is_root};
use crate::{Destination, Failure, Result};

/// The database that holds the clinic; scripts that make another may call it as they like.
pub const DATABASE: &str = "clinic";
/// The login that an agent uses: owner of the database, nothing beyond it.
pub const LOGIN: &str = "chaperone";

const SUPERUSER: &str = "postgres";
/// Major versions that we look for, newest first.
const MAJORS: std::ops::RangeInclusive<u32> = 14..=18;
/// How long the server may take to start: recovery of a killed one included.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Enough for tests of thousands of sessions; costs nothing until used.
const CONNECTIONS: u32 = 2200;
/// Changes when templates are made differently than before.
const TEMPLATE_VERSION: u32 = 3;
/// Where a bare cluster's first script begins.
const FIRST_DATABASE: &str = "postgres";

const CLINIC: &str = include_str!("../../demo/clinic.sql");

/// Whether PostgreSQL waits for its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// As anybody runs it.
    On,
    /// For tests, which lose nothing when the machine dies.
    Off,
}

/// What a new cluster holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Content {
    /// The synthetic clinic, owned by the login that agents use.
    Clinic,
    /// Nothing but that login.
    Nothing,
}

impl Fsync {
    fn setting(self) -> &'static str {
        match self {
            Self::On => "fsync=on",
            Self::Off => "fsync=off",
        }
    }
}

/// A running server that ends with the value.
#[derive(Debug)]
pub struct Cluster {
    home: PathBuf,
    port: u16,
    database: String,
    server: Running,
}

/// Where Debian keeps the server's programs (they are not on the PATH), newest major first.
///
/// # Errors
/// There are none.
pub fn postgres_programs() -> Result<PathBuf> {
    let mut folders = MAJORS.rev().map(|major| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")));
    folders.find(|folder| folder.join("initdb").exists()).ok_or_else(|| {
        Failure::new(
            "PostgreSQL's server programs are not installed\nhint: `cargo xtask setup` installs them",
        )
    })
}

impl Cluster {
    /// Start the cluster whose files are in `home`; a new copy of the clinic if there are none. The port is a free
    /// one unless given.
    ///
    /// # Errors
    /// Programs are missing, the folder cannot be used, or the server does not start (with the end of its log).
    pub fn start(home: &Path, fsync: Fsync, port: Option<u16>) -> Result<Self> {
        let port = port.map_or_else(free_port, Ok)?;
        Self::new(home, port, Content::Clinic, &[fsync.setting()])
    }

    /// A new cluster with nothing in it, for [`Cluster::load`]. What it holds depends on nothing but the scripts that
    /// are loaded: no autovacuum, so that two of them stay alike.
    ///
    /// # Errors
    /// As for [`Cluster::start`].
    pub fn bare(home: &Path) -> Result<Self> {
        let settings =
            [Fsync::Off.setting(), "autovacuum=off", "shared_preload_libraries=pg_stat_statements"];
        Self::new(home, free_port()?, Content::Nothing, &settings)
    }

    fn new(home: &Path, port: u16, content: Content, settings: &[&str]) -> Result<Self> {
        folder::passable(home)?;
        let is_new = !home.join("data").exists();
        if is_new {
            copy_template(home, content)?;
        }
        let server = serve(home, port, settings)?;
        let database = match content {
            Content::Clinic => DATABASE,
            Content::Nothing => FIRST_DATABASE,
        };
        let this = Self { home: home.to_owned(), port, database: database.to_owned(), server };
        if is_new {
            this.change_passwords()?;
        }
        Ok(this)
    }

    /// Run `psql` scripts as the superuser, one after the other in one session. The database that they end in becomes
    /// the cluster's: a script may make one and connect to it.
    ///
    /// # Errors
    /// `psql`'s, at the first statement that fails.
    pub fn load(&mut self, scripts: &[&Path]) -> Result<()> {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.superuser_url()?]);
        for script in scripts {
            command.arg("-f").arg(script);
        }
        let said = capture(command.args(["-o", "/dev/null", "-c", "\\echo :DBNAME"]))?;
        let database = said.lines().last().map(str::trim).filter(|name| !name.is_empty());
        self.database = database.ok_or_else(|| Failure::new("the scripts end in no database"))?.to_owned();
        Ok(())
    }

    /// The cluster's database as a target of a gateway, under the name `target`.
    #[must_use]
    pub fn as_target(&self, target: &str) -> Destination {
        Destination {
            target: target.to_owned(),
            port: self.port,
            database: self.database.clone(),
            user: LOGIN.to_owned(),
            password_file: self.login_password_file(),
        }
    }

    /// Its port on the loopback address.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's connection string.
    ///
    /// # Errors
    /// The password file cannot be read.
    pub fn superuser_url(&self) -> Result<String> {
        let password = folder::read(&superuser_file(&self.home))?;
        Ok(url(SUPERUSER, &password, self.port, &self.database))
    }

    /// The connection string of the login that agents use: what an unrestricted caller's session runs as.
    ///
    /// # Errors
    /// The password file cannot be read.
    pub fn login_url(&self) -> Result<String> {
        let password = folder::read(&self.login_password_file())?;
        Ok(url(LOGIN, &password, self.port, &self.database))
    }

    /// The file (mode 0600) with the password of the login that agents use.
    #[must_use]
    pub fn login_password_file(&self) -> PathBuf {
        self.home.join("login.password")
    }

    /// Run a statement as the superuser; rows come back unaligned, one a line.
    ///
    /// # Errors
    /// `psql`'s.
    pub fn sql(&self, statement: &str) -> Result<String> {
        psql(&self.superuser_url()?, statement)
    }

    /// The server process.
    pub fn server(&mut self) -> &mut Running {
        &mut self.server
    }

    /// The template's passwords are many clusters': each has its own.
    fn change_passwords(&self) -> Result<()> {
        let (superuser, login) = (secret()?, secret()?);
        folder::write_secret(&self.login_password_file(), &login)?;
        self.sql(&format!("alter role {LOGIN} password '{login}'"))?;
        self.sql(&format!("alter role {SUPERUSER} password '{superuser}'"))?;
        folder::write_secret(&superuser_file(&self.home), &superuser)
    }
}

fn superuser_file(home: &Path) -> PathBuf {
    home.join("superuser.password")
}

fn url(user: &str, password: &str, port: u16, database: &str) -> String {
    format!("postgresql://{user}:{password}@127.0.0.1:{port}/{database}")
}

fn psql(url: &str, statement: &str) -> Result<String> {
    let mut command = Command::new("psql");
    capture(command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement]))
}

/// Start a server on the files of `home` and wait until it accepts connections.
fn serve(home: &Path, port: u16, more: &[&str]) -> Result<Running> {
    let mut command = Identity::Postgres.command(&postgres_programs()?.join("postgres"), "INT");
    command.arg("-D").arg(home.join("data"));
    // No Unix socket: the path of one may be 107 bytes long, and folders of tests are longer.
    let settings = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "log_statement=ddl",
        "shared_buffers=128MB",
    ];
    for setting in settings.iter().chain(more) {
        command.args(["-c", setting]);
    }
    command.args(["-c", &format!("port={port}"), "-c", &format!("max_connections={CONNECTIONS}")]);
    // SIGINT is its fast shutdown: SIGTERM would wait for every session.
    let mut server = Running::start("PostgreSQL", command, &home.join("postgres.log"))?.asked_by(Signal::INT);
    server.until(START_PATIENCE, || {
        // A port may be open before recovery has ended; `pg_isready` knows.
        let mut ready = Command::new("pg_isready");
        ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        TcpStream::connect(("127.0.0.1", port)).is_ok() && capture(&mut ready).is_ok()
    })?;
    Ok(server)
}

/// Copy the template, made first if this is the first time.
fn copy_template(home: &Path, content: Content) -> Result<()> {
    let template = template(content)?;
    for name in ["data", "superuser.password"] {
        let mut copy = Command::new("cp");
        capture(copy.args(["-a", "--reflink=auto"]).arg(template.join(name)).arg(home))?;
    }
    Ok(())
}

/// The folder of the initialised, loaded and stopped cluster. One process makes it; the others wait.
fn template(content: Content) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    let (name, script) = match content {
        Content::Clinic => ("clinic", CLINIC),
        Content::Nothing => ("bare", ""),
    };
    (TEMPLATE_VERSION, script, postgres_programs()?).hash(&mut hasher);
    // Not under the target folder: that may lie in root's home, where `postgres` cannot go.
    let user = rustix::process::geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("chaperone-{name}-{user}-{:016x}", hasher.finish()));
    let lock_file = folder.with_extension("lock");
    let lock = File::options()
        .create(true)
        .append(true)
        .open(&lock_file)
        .map_err(Failure::at("open", &lock_file))?;
    lock.lock().map_err(Failure::at("lock", &lock_file))?;
    if folder.exists() {
        refuse_foreign(&folder)?;
        return Ok(folder);
    }
    let making = folder.with_extension("making");
    if making.exists() {
        // Left by one that was killed.
        fs::remove_dir_all(&making).map_err(Failure::at("remove", &making))?;
    }
    folder::passable(&making)?;
    make_template(&making, content)?;
    fs::rename(&making, &folder).map_err(Failure::at("rename", &making))?;
    Ok(folder)
}

/// A folder of that name in a place where everybody may write could be a stranger's.
fn refuse_foreign(folder: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::symlink_metadata(folder).map_err(Failure::at("look at", folder))?;
    if metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` is not a folder of ours\nhint: remove it", folder.display())))
}

fn make_template(home: &Path, content: Content) -> Result<()> {
    let (superuser, login) = (secret()?, secret()?);
    folder::write_secret(&superuser_file(home), &superuser)?;
    let data = home.join("data");
    fs::create_dir(&data).map_err(Failure::at("make", &data))?;
    let password_file = home.join("initdb.password");
    folder::write_secret(&password_file, &superuser)?;
    if is_root() {
        capture(Command::new("chown").args(["-R", "postgres:postgres"]).arg(&data).arg(&password_file))?;
    }
    let mut initdb = Identity::Postgres.command(&postgres_programs()?.join("initdb"), "KILL");
    initdb.args([
        "--username",
        SUPERUSER,
        "--auth",
        "scram-sha-256",
        "--locale",
        "C.UTF-8",
        "--encoding",
        "UTF8",
        "--no-sync",
        // The template is copied for each cluster, and most of it would be room for the log.
        "--wal-segsize",
        "1",
    ]);
    capture(initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(&password_file))?;
    fs::remove_file(&password_file).map_err(Failure::at("remove", &password_file))?;

    let port = free_port()?;
    let mut server = serve(home, port, &[Fsync::Off.setting()])?;
    let bare = url(SUPERUSER, &superuser, port, FIRST_DATABASE);
    psql(&bare, &format!("create role {LOGIN} login password '{login}'"))?;
    if content == Content::Clinic {
        psql(&bare, &format!("create database {DATABASE} owner {LOGIN}"))?;
        let script = crate::root().join("demo/clinic.sql");
        let owner = url(LOGIN, &login, port, DATABASE);
        capture(Command::new("psql").args(["-X", "-q", "-d", &owner, "-f"]).arg(&script))?;
        psql(&url(SUPERUSER, &superuser, port, DATABASE), "vacuum freeze")?;
    }
    server.stop()?;
    let mut shrunk = Identity::Postgres.command(&postgres_programs()?.join("pg_resetwal"), "KILL");
    capture(shrunk.arg("--pgdata").arg(&data))?;
    Ok(())
}
