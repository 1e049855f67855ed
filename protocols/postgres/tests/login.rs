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
use chaperone_postgres::login::{LoginError, LoginOptions, RoleOptions, cancel, login};
use chaperone_postgres::rows::ask;

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
        let hba = "local all boss trust\nlocal all bare trust\nlocal all plain password\nlocal all old md5\nlocal all all scram-sha-256\n";
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

    fn sql(&self, text: &str) {
        let folder = self.0.path().to_str().unwrap();
        let words = ["-X", "-v", "ON_ERROR_STOP=1", "-h", folder, "-U", "boss", "-d", "postgres", "-c", text];
        let done = as_postgres("psql", &words);
        assert!(done.status.success(), "{text}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// What a session that runs as `role` is answered to each statement; a failure is what the target says of it.
    async fn as_role(&self, role: &str, statements: &[&str]) -> Result<Vec<String>, LoginError> {
        let stream = tokio::net::UnixStream::connect(self.0.path().join(".s.PGSQL.5432")).await.unwrap();
        let options = LoginOptions {
            user: "bare".to_owned(),
            database: "postgres".to_owned(),
            application_name: "cp:test".to_owned(),
            parameters: vec![
                ("TimeZone".to_owned(), "Asia/Tokyo".to_owned()),
                ("our.word".to_owned(), "theirs".to_owned()),
            ],
            own: vec![("our.word".to_owned(), "ours".to_owned())],
            role: Some(RoleOptions {
                name: role.to_owned(),
                among: vec!["dev/*".to_owned(), "a_b".to_owned()],
            }),
            tls: None,
        };
        let session = login(Box::new(stream), &options, None).await?;
        Ok(match ask(session.stream, statements).await {
            Ok(results) => {
                let cells =
                    results.iter().map(|rows| rows.to_cells().into_iter().flatten().flatten().collect());
                cells.collect()
            }
            Err(refusal) => vec![refusal.message],
        })
    }

    async fn login(&self, user: &str, secret: Option<&[u8]>) -> Result<(i32, i64, String), LoginError> {
        let socket = self.0.path().join(".s.PGSQL.5432");
        let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
        let options = LoginOptions {
            user: user.to_owned(),
            database: "postgres".to_owned(),
            application_name: "cp:test".to_owned(),
            parameters: Vec::new(),
            own: Vec::new(),
            role: None,
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

/// A login that has nothing, and two people's roles.
const PEOPLE: &str = "create role bare login noinherit; create role \"dev/ana\"; create role \"dev/ben\"; \
    create table ana (said text); insert into ana values ('mine'); grant select on ana to \"dev/ana\"; \
    create table ben (said text); grant select on ben to \"dev/ben\"; \
    grant \"dev/ana\", \"dev/ben\" to bare; grant connect on database postgres to bare";

#[tokio::test]
async fn a_session_runs_as_the_role_and_getting_out_of_it_gains_nothing() {
    let cluster = Cluster::start();
    cluster.sql(PEOPLE);
    let who = "select session_user || ' as ' || current_user";
    let said = cluster.as_role("dev/ana", &[who, "select said from ana"]).await.unwrap();
    assert_eq!(said, ["bare as dev/ana", "mine"]);
    // Everything that goes back to where the session began goes back to the role.
    for back in [
        "reset role",
        "reset all",
        "discard all",
        "set session authorization default",
        "select set_config('role', 'none', false); reset role",
        "begin; select set_config('role', 'none', true); rollback",
        "begin; set local role none; commit",
        "begin; set role none; rollback",
        "begin; savepoint s; set role none; rollback to s; commit",
    ] {
        let asked = [
            "set timezone = 'UTC'; reset timezone",
            back,
            who,
            "select said from ana",
            "show timezone",
            "show our.word",
        ];
        let said = cluster.as_role("dev/ana", &asked).await.unwrap();
        // And to what the session was to start with, and we with it, whatever its client says of ours.
        assert_eq!(said.get(2..).unwrap(), ["bare as dev/ana", "mine", "Asia/Tokyo", "ours"], "{back}");
    }
    // What takes the role off leaves a login that may do nothing.
    for out in ["set role none", "select set_config('role', 'none', false)", "set role to 'none'"] {
        let said = cluster.as_role("dev/ana", &[out, who]).await.unwrap();
        assert_eq!(said.last().unwrap(), "bare as bare", "{out}");
        for reach in
            ["select said from ana", "create table mine (a int)", "create schema mine", "create role x"]
        {
            let said = cluster.as_role("dev/ana", &[out, reach]).await.unwrap();
            assert!(said.last().unwrap().contains("permission denied"), "{out}; {reach}: {said:?}");
        }
    }
    for elsewhere in
        ["set role boss", "set session authorization boss", "set session authorization \"dev/ben\""]
    {
        let said = cluster.as_role("dev/ana", &[elsewhere]).await.unwrap();
        assert!(said[0].contains("permission denied"), "{elsewhere}: {said:?}");
    }
}

#[tokio::test]
async fn a_login_that_could_do_something_by_itself_is_not_used_with_roles() {
    let cluster = Cluster::start();
    cluster.sql(PEOPLE);
    cluster.sql("create role a_b; grant a_b to bare; create role axb");
    assert!(cluster.as_role("dev/ana", &[]).await.is_ok());
    for (does, undoes, fault) in [
        ("alter role bare inherit", "alter role bare noinherit", "NOINHERIT"),
        ("alter role bare createdb", "alter role bare nocreatedb", "attribute"),
        ("alter role bare createrole", "alter role bare nocreaterole", "attribute"),
        ("alter role bare superuser", "alter role bare nosuperuser", "attribute"),
        ("alter role bare bypassrls", "alter role bare nobypassrls", "attribute"),
        ("create table its (a int); alter table its owner to bare", "drop table its", "owns"),
        ("create schema its authorization bare", "drop schema its", "owns"),
        ("grant select on ben to bare", "revoke all on ben from bare", "granted"),
        ("grant select (said) on ben to bare", "revoke select (said) on ben from bare", "granted"),
        ("grant usage on schema public to bare", "revoke usage on schema public from bare", "granted"),
        (
            "grant set on parameter log_min_messages to bare",
            "revoke set on parameter log_min_messages from bare",
            "granted",
        ),
        (
            "grant create on database postgres to bare",
            "revoke create on database postgres from bare",
            "CONNECT",
        ),
        (
            "grant temporary on database template1 to bare",
            "revoke temporary on database template1 from bare",
            "CONNECT",
        ),
        ("grant pg_read_all_data to bare", "revoke pg_read_all_data from bare", "does not list"),
        ("grant axb to bare", "revoke axb from bare", "does not list"),
        (
            "grant \"dev/ben\" to bare with admin option",
            "revoke admin option for \"dev/ben\" from bare",
            "ADMIN OPTION",
        ),
        ("alter role \"dev/ana\" superuser", "alter role \"dev/ana\" nosuperuser", "superuser"),
    ] {
        cluster.sql(does);
        let refused = cluster.as_role("dev/ana", &[]).await.unwrap_err();
        assert!(matches!(&refused, LoginError::NotBare(_)), "{does}: {refused}");
        assert!(refused.to_string().contains(fault), "{does}: {refused}");
        cluster.sql(undoes);
        assert!(cluster.as_role("dev/ana", &[]).await.is_ok(), "{undoes}");
    }
    let missing = cluster.as_role("dev/eve", &[]).await.unwrap_err();
    assert!(missing.to_string().contains("dev/eve"), "{missing}");
}

#[tokio::test]
async fn what_a_role_owns_does_not_answer_in_the_catalogs_place() {
    let cluster = Cluster::start();
    cluster.sql(PEOPLE);
    cluster.sql(
        "grant create on schema public to \"dev/ben\"; set role \"dev/ben\"; \
         create function public.trap(name, name) returns bool language plpgsql as \
         $$ begin raise exception 'trapped'; end $$; \
         create operator public.= (leftarg = name, rightarg = name, function = public.trap); \
         create function public.times(numeric, int) returns numeric language plpgsql as \
         $$ begin raise exception 'trapped'; end $$; \
         create operator public.* (leftarg = numeric, rightarg = int, function = public.times); \
         create view public.pg_roles as select 1 as oid; create view public.pg_auth_members as select 1 as member; \
         reset role; alter role bare set search_path = public, pg_catalog",
    );
    assert!(cluster.as_role("dev/ana", &[]).await.is_ok());
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
