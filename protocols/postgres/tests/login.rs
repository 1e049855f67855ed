//! Logging in to a private PostgreSQL cluster with every kind of password.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's own steps may fail loudly"
)]

use std::path::Path;
use std::process::{Command, Output};

use chaperone_postgres::local::{Asked, Shown, hear};
use chaperone_postgres::login::{LoginError, LoginOptions, cancel, login};

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &str, arguments: &[&str]) -> Output {
    let program = format!("{BIN}/{program}");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", &program]).args(arguments);
    command.current_dir("/tmp").output().unwrap()
}

struct Cluster(tempfile::TempDir);

impl Cluster {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        assert!(Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap().success());
        let cluster = Self(folder);
        let data = data.to_str().unwrap();
        assert!(as_postgres("initdb", &["-D", data, "-U", "boss", "-A", "trust", "-N"]).status.success());
        let hba = "local all boss trust\nlocal all plain password\nlocal all old md5\nlocal all all scram-sha-256\n";
        std::fs::write(Path::new(data).join("pg_hba.conf"), hba).unwrap();
        let log = format!("{data}/log");
        let options = format!("-k {} -c listen_addresses=", cluster.0.path().display());
        let started = as_postgres("pg_ctl", &["-D", data, "-l", &log, "-o", &options, "-w", "start"]);
        assert!(started.status.success());
        let roles = "create role new login password 'right'; create role plain login password 'right'; \
                     set password_encryption = 'md5'; create role old login password 'right'";
        let folder = cluster.0.path().to_str().unwrap();
        assert!(
            as_postgres("psql", &["-h", folder, "-U", "boss", "-d", "postgres", "-c", roles])
                .status
                .success()
        );
        cluster
    }

    async fn login(&self, user: &str, secret: Option<&[u8]>) -> Result<(i32, i64, String), LoginError> {
        let socket = self.0.path().join(".s.PGSQL.5432");
        let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
        let options = LoginOptions {
            user: user.to_owned(),
            database: "postgres".to_owned(),
            application_name: "cp:test".to_owned(),
            tls: None,
        };
        let session = login(Box::new(stream), &options, secret).await?;
        assert!(!session.greeting.is_empty() && session.cancel_key.len() == 4);
        Ok((session.pid, session.backend_start_us, session.server_version))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.0.path().join("data");
        as_postgres("pg_ctl", &["-D", data.to_str().unwrap(), "-m", "immediate", "stop"]);
    }
}

#[tokio::test]
async fn each_method_logs_in_with_the_right_secret_only() {
    let cluster = Cluster::start();
    for user in ["new", "old"] {
        let (pid, start, version) = cluster.login(user, Some(b"right")).await.unwrap();
        assert!(pid > 0 && start > 1_700_000_000_000_000 && version.starts_with("15"));
        let wrong = cluster.login(user, Some(b"wrong")).await.unwrap_err();
        assert!(matches!(&wrong, LoginError::Refused { code, .. } if code == "28P01"), "{wrong}");
        assert!(!wrong.to_string().contains("wrong"), "{wrong}");
        assert!(matches!(cluster.login(user, None).await, Err(LoginError::NoSecret)));
    }
    assert!(cluster.login("boss", None).await.is_ok());
    // In clear on a line without TLS the secret is not said at all.
    assert!(matches!(cluster.login("plain", Some(b"right")).await, Err(LoginError::Method(_))));
}

/// A port that joins `clients` clients, one after the other, to the cluster as `user`; what came of each.
async fn local_port(
    cluster: &Cluster,
    user: &'static str,
    password: &'static [u8],
    clients: usize,
) -> (u16, tokio::task::JoinHandle<Vec<Result<(), LoginError>>>) {
    let socket = cluster.0.path().join(".s.PGSQL.5432");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let mut joined = Vec::new();
        for _ in 0..clients {
            let (client, _) = listener.accept().await.unwrap();
            let gateway = Box::new(tokio::net::UnixStream::connect(&socket).await.unwrap());
            let shown = Shown { user, password, database: "postgres", tls: None };
            joined.push(match hear(Box::new(client)).await {
                Ok(Asked::Session(client)) => client.join(gateway, &shown).await,
                Ok(Asked::Cancel { pid, key }) => cancel(gateway, None, pid, &key).await,
                Err(error) => Err(error),
            });
        }
        joined
    });
    (port, served)
}

async fn psql(port: u16, statement: &'static str) -> Output {
    let address = format!("host=127.0.0.1 port={port} user=anybody dbname=anything application_name=mine");
    let run = move || Command::new("psql").args(["-XAtw", "-d", &address, "-c", statement]).output().unwrap();
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn a_local_client_is_joined_without_a_password() {
    let cluster = Cluster::start();
    let (port, served) = local_port(&cluster, "new", b"right", 1).await;
    let said =
        psql(port, "select current_user, current_database(), current_setting('application_name')").await;
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "new|postgres|mine");
    assert!(served.await.unwrap().iter().all(Result::is_ok));

    // A refusal reaches the client as it was said.
    let (port, served) = local_port(&cluster, "new", b"wrong", 1).await;
    let said = psql(port, "select 1").await;
    assert!(
        String::from_utf8_lossy(&said.stderr).contains("password authentication failed for user \"new\"")
    );
    assert!(matches!(served.await.unwrap().as_slice(), [Err(LoginError::Refused { .. })]));

    // Whoever asks for no proof has not shown that it knows the secret either.
    let (port, served) = local_port(&cluster, "boss", b"right", 1).await;
    let said = psql(port, "select 1").await;
    assert!(String::from_utf8_lossy(&said.stderr).contains("did not prove"), "{said:?}");
    assert!(matches!(served.await.unwrap().as_slice(), [Err(LoginError::NotProven)]));
}
