//! The five ways to the same database that are compared.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Fsync, Identity, LOGIN, Layout, Running, capture, free_port,
    is_root, target_dir,
};

use crate::failure::Failure;

/// Scale of `pgbench`'s tables: 1,000,000 accounts, in memory.
const SCALE: &str = "10";
/// How long haproxy and pgbouncer may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

const ENGINEER: Caller = Caller { subject: "dora", groups: &["engineers"], client: None };

/// One way to the database.
pub(crate) struct Endpoint {
    pub(crate) name: &'static str,
    pub(crate) url: String,
}

/// All of them, running. Fields end in order: what stands before the database ends first.
pub(crate) struct Endpoints {
    pub(crate) all: Vec<Endpoint>,
    /// The one whose gateway's memory is looked at.
    pub(crate) in_process: Boundary,
    _separate: Boundary,
    _haproxy: Running,
    _pgbouncer: Running,
    _cluster: Cluster,
}

impl Endpoints {
    /// Start everything under `home`.
    ///
    /// # Errors
    /// A program does not start.
    pub(crate) fn start(home: &Path) -> Result<Self, Failure> {
        let cluster = Cluster::start(&home.join("postgres"), Fsync::On, None)?;
        let direct = cluster.login_url()?;
        eprintln!("$ pgbench --initialize --scale {SCALE}");
        capture(Command::new("pgbench").args(["--initialize", "--quiet", "--scale", SCALE, &direct]))?;
        let (haproxy, haproxy_port) = haproxy(home, cluster.port())?;
        let (pgbouncer, pgbouncer_port) = pgbouncer(home, &cluster)?;
        let boundary = |name: &str, place| {
            let mut layout = Layout::new(place);
            layout.program = target_dir().join("release/chaperone");
            Boundary::start(&home.join(name), &cluster, layout)
        };
        let in_process = boundary("in-process", AgentPlace::InProcess)?;
        let separate = boundary("separate", AgentPlace::Separate)?;
        let moved = |port: u16| direct.replace(&format!(":{}/", cluster.port()), &format!(":{port}/"));
        let all = vec![
            Endpoint { name: "haproxy", url: moved(haproxy_port) },
            Endpoint { name: "pgbouncer", url: moved(pgbouncer_port) },
            Endpoint { name: "chaperone", url: in_process.credential(&ENGINEER)? },
            Endpoint { name: "chaperone+agent", url: separate.credential(&ENGINEER)? },
            Endpoint { name: "direct", url: direct },
        ];
        Ok(Self {
            all,
            in_process,
            _separate: separate,
            _haproxy: haproxy,
            _pgbouncer: pgbouncer,
            _cluster: cluster,
        })
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::new(format!("cannot write `{}`: {error}", path.display())))
}

fn listening(mut process: Running, port: u16) -> Result<(Running, u16), Failure> {
    process.until(PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
    Ok((process, port))
}

/// haproxy as a plain TCP forwarder: the least that anything in between can cost.
fn haproxy(home: &Path, database: u16) -> Result<(Running, u16), Failure> {
    let port = free_port()?;
    let config = home.join("haproxy.cfg");
    let text = format!(
        "global\n  maxconn 4096\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         listen clinic\n  bind 127.0.0.1:{port}\n  server database 127.0.0.1:{database}\n"
    );
    write(&config, &text)?;
    let mut command = Identity::Ours.command(Path::new("/usr/sbin/haproxy"), "TERM");
    command.arg("-db").arg("-f").arg(&config);
    listening(Running::start("haproxy", command, &home.join("haproxy.log"))?, port)
}

/// pgbouncer with session pooling: a proxy that reads the protocol, and keeps no record.
fn pgbouncer(home: &Path, cluster: &Cluster) -> Result<(Running, u16), Failure> {
    let port = free_port()?;
    let folder = home.join("pgbouncer");
    fs::create_dir(&folder)
        .map_err(|error| Failure::new(format!("cannot make `{}`: {error}", folder.display())))?;
    let password = fs::read_to_string(cluster.login_password_file());
    let password =
        password.map_err(|error| Failure::new(format!("cannot read the login's password: {error}")))?;
    let text = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {}\npool_mode = session\nmax_client_conn = 4096\ndefault_pool_size = 100\n\
         ignore_startup_parameters = extra_float_digits\n",
        cluster.port(),
        folder.join("users").display()
    );
    write(&folder.join("pgbouncer.ini"), &text)?;
    write(&folder.join("users"), &format!("\"{LOGIN}\" \"{}\"\n", password.trim()))?;
    if is_root() {
        capture(Command::new("chown").args(["-R", "postgres:postgres"]).arg(&folder))?;
    }
    capture(Command::new("chmod").args(["-R", "go="]).arg(&folder))?;
    let mut command = Identity::Postgres.command(Path::new("/usr/sbin/pgbouncer"), "INT");
    command.arg(folder.join("pgbouncer.ini"));
    listening(Running::start("pgbouncer", command, &home.join("pgbouncer.log"))?, port)
}
