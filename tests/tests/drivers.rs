//! PostgreSQL's own clients must not notice the boundary: each program of `drivers/` sees the same through Chaperone as
//! directly.

use std::path::Path;
use std::process::Command;

use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Failure, Fsync, Layout, capture, private_folder, root, target_dir,
};

/// May do everything, so that what the driver sees differs from a direct connection in nothing.
const ENGINEER: Caller = Caller { subject: "dora", groups: &["engineers"], client: None };

/// A driver's program as a command that still wants its connection string.
fn driver(name: &str) -> Command {
    let scripts = root().join("tests/drivers");
    let installed = target_dir().join("drivers");
    let mut command;
    match name {
        "psycopg" | "asyncpg" => {
            command = Command::new(installed.join("python/bin/python"));
            command.arg(scripts.join(format!("{name}.py")));
        }
        "node-postgres" => {
            command = Command::new("node");
            command.env("NODE_PATH", installed.join("node/node_modules")).arg("--no-deprecation");
            command.arg(scripts.join("node-postgres.js"));
        }
        "jdbc" => {
            command = Command::new("java");
            command.args(["-cp", "/usr/share/java/postgresql.jar"]).arg(scripts.join("Jdbc.java"));
        }
        _ => command = Command::new(installed.join("rust/debug/driver-rust")),
    }
    command
}

fn seen(name: &str, url: &str) -> Result<serde_json::Value, Failure> {
    let text = capture(driver(name).arg(url))?;
    serde_json::from_str(&text).map_err(|error| Failure::new(format!("{name} printed no JSON: {error}")))
}

/// Compare case by case, so that a failure names the case.
fn compare(name: &str, place: AgentPlace) -> Result<Vec<String>, Failure> {
    let home = private_folder("test")?;
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None)?;
    let directly = seen(name, &cluster.login_url()?)?;
    let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, Layout::new(place))?;
    let through = seen(name, &boundary.credential(&ENGINEER)?)?;
    let (Some(directly), Some(through)) = (directly.as_object(), through.as_object()) else {
        return Err(Failure::new(format!("{name} printed no object")));
    };
    if directly.len() < 2 || directly.len() != through.len() {
        return Err(Failure::new(format!(
            "{name} ran {} cases directly, {} through",
            directly.len(),
            through.len()
        )));
    }
    let differing = directly.iter().filter(|(case, result)| through.get(*case) != Some(result));
    let told = differing.map(|(case, result)| {
        format!("{name} {case}\n  directly: {result}\n  through:  {}", through.get(case).unwrap_or_default())
    });
    Ok(told.collect())
}

macro_rules! drivers {
    ($($test:ident: $name:literal, $place:ident;)*) => {
        $(#[test]
        fn $test() {
            let differing = compare($name, AgentPlace::$place).unwrap();
            assert!(differing.is_empty(), "{}", differing.join("\n"));
        })*
    };
}

drivers! {
    psycopg_notices_nothing_in_process: "psycopg", InProcess;
    asyncpg_notices_nothing_in_process: "asyncpg", InProcess;
    node_postgres_notices_nothing_in_process: "node-postgres", InProcess;
    jdbc_notices_nothing_in_process: "jdbc", InProcess;
    tokio_postgres_and_sqlx_notice_nothing_in_process: "rust", InProcess;
    psycopg_notices_nothing_through_an_agent: "psycopg", Separate;
    asyncpg_notices_nothing_through_an_agent: "asyncpg", Separate;
    node_postgres_notices_nothing_through_an_agent: "node-postgres", Separate;
    jdbc_notices_nothing_through_an_agent: "jdbc", Separate;
    tokio_postgres_and_sqlx_notice_nothing_through_an_agent: "rust", Separate;
}

/// The `\d` family, which asks the catalog in many ways, and settings that psql follows.
const PSQL: &str = r"
\d
\d+ clinic.*
\dt+ clinic.*
\di clinic.*
\dn+
\df pg_catalog.to_*
\dT
\du
\l
\dp clinic.*
\sf pg_catalog.lpad(text, integer)
\encoding
\x on
select * from clinic.patients where patient_id = 17;
\x off
begin;
select * from gone;
rollback;
select 1 as one \gdesc
select 'select ' || n from generate_series(1, 3) n \gexec
\crosstabview
\errverbose
\copy (select * from clinic.clinics order by 1) to stdout csv header
";

fn psql(url: &str, script: &Path) -> Result<String, Failure> {
    // Standard error belongs to what a person sees.
    let line = r#"exec psql -X -P pager=off -a -d "$0" -f "$1" 2>&1"#;
    capture(Command::new("sh").args(["-c", line, url]).arg(script))
}

#[test]
fn psql_notices_nothing() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let boundary =
        Boundary::start(&home.path().join("chaperone"), &cluster, Layout::new(AgentPlace::InProcess))
            .unwrap();
    let script = home.path().join("script.sql");
    std::fs::write(&script, PSQL).unwrap();
    let directly = psql(&cluster.login_url().unwrap(), &script).unwrap();
    assert!(
        directly.contains("clinic.patients") && directly.contains("42P01"),
        "the script shows little:\n{directly}"
    );
    let through = psql(&boundary.credential(&ENGINEER).unwrap(), &script).unwrap();
    for (line, (directly, through)) in directly.lines().zip(through.lines()).enumerate() {
        assert_eq!(directly, through, "line {}", line + 1);
    }
    assert_eq!(directly, through);
}

#[test]
fn pg_dump_of_an_unrestricted_scope_is_the_same() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let boundary =
        Boundary::start(&home.path().join("chaperone"), &cluster, Layout::new(AgentPlace::Separate)).unwrap();
    let dump =
        |url: &str| capture(Command::new("pg_dump").args(["--restrict-key", "same", "-d", url])).unwrap();
    let directly = dump(&cluster.login_url().unwrap());
    assert!(directly.len() > 10_000_000, "the dump has only {} bytes", directly.len());
    let through = dump(&boundary.credential(&ENGINEER).unwrap());
    assert!(directly == through, "{} bytes directly, {} through", directly.len(), through.len());
}
