//! PostgreSQL's own clients must not notice the boundary: each program of `drivers/` sees the same through Chaperone as
//! directly, and whoever sees a part sees the same part through each.

use std::path::Path;
use std::process::Command;

use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Failure, Fsync, Layout, capture, private_folder, root, target_dir,
};
use serde_json::{Value, json};

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

/// What a driver's program prints: of its own cases, or of what it is asked for instead.
fn seen(name: &str, url: &str, asked: &[&str]) -> Result<Value, Failure> {
    let text = capture(driver(name).arg(url).args(asked))?;
    serde_json::from_str(&text).map_err(|error| Failure::new(format!("{name} printed no JSON: {error}")))
}

/// Compare case by case, so that a failure names the case.
fn compare(name: &str, place: AgentPlace) -> Result<Vec<String>, Failure> {
    let home = private_folder("test")?;
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None)?;
    let directly = seen(name, &cluster.login_url()?, &[])?;
    let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, Layout::new(place))?;
    let through = seen(name, &boundary.credential(&ENGINEER)?, &[])?;
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

/// Sees the masks of names, dates and social security numbers; whatever else has a tag is hidden from him.
const CLERK: Caller = Caller { subject: "ben", groups: &["billing"], client: None };

const PART: &str = r#"
permit (principal in Group::"dev/billing", action in [Action::"connect", Action::"read", Action::"seeAllRows"],
  resource in Target::"clinic");
permit (principal in Group::"dev/billing", action == Action::"useMasked", resource in Target::"clinic")
when { resource in [Tag::"phi.name", Tag::"phi.date", Tag::"phi.ssn"] };
"#;

/// How each program asks: in every format that its driver lets one choose.
const WAYS: &[(&str, &[&str])] = &[
    ("psycopg", &["binary", "text"]),
    ("asyncpg", &["binary", "text"]),
    ("node-postgres", &["binary", "text"]),
    ("jdbc", &["binary", "simple", "text"]),
    ("rust", &["sqlx", "tokio-postgres"]),
];

/// What is asked of the clerk's connection, with a patient as its parameter, and what he is to see of it, from the database.
struct Asked {
    statement: &'static str,
    truth: &'static str,
}

const ASKED: &[Asked] = &[
    // Of one relation, which is read by its name.
    Asked {
        statement: "select patient_id, deceased, sex, ssn, family_name, birth_date from clinic.patients where patient_id = $1",
        truth: "select json_build_array(patient_id, deceased, null, rpad('***' || right(ssn, 4), 11), \
                left(family_name, 1) || '***', date_trunc('year', birth_date)::date) \
                from clinic.patients where patient_id = $1",
    },
    // Of several, for which sub-selects stand.
    Asked {
        statement: "select c.claim_id, p.patient_id, c.codes, c.amount, p.ssn, k.name from clinic.patients p \
                    join clinic.claims c on c.patient_id = p.patient_id join clinic.clinics k on k.clinic_id = p.clinic_id \
                    where p.patient_id = $1 order by c.claim_id",
        truth: "select json_build_array(c.claim_id, p.patient_id, null, null, rpad('***' || right(p.ssn, 4), 11), k.name) \
                from clinic.patients p join clinic.claims c on c.patient_id = p.patient_id \
                join clinic.clinics k on k.clinic_id = p.clinic_id where p.patient_id = $1 order by c.claim_id",
    },
];

/// In their numbers, their claims' and the days of their masked dates there is no byte above 127: node-postgres makes text of binary
/// values before it reads them.
const PATIENTS: [&str; 2] = ["3", "29"];

/// What is to be seen of all that is asked.
#[derive(Default)]
struct Expected {
    /// In every way of every program: for each statement and patient.
    shown: Vec<Value>,
    /// By psql: for each statement its columns, and then the rows.
    printed: Vec<String>,
}

fn expected(cluster: &Cluster) -> Result<Expected, Failure> {
    let mut expected = Expected::default();
    for Asked { statement, truth } in ASKED {
        let described = cluster.sql(&format!(
            "create temp view asked as {}; select format('%s %s|%s', atttypid, attname, format_type(atttypid, atttypmod)) \
             from pg_attribute where attrelid = 'asked'::regclass order by attnum",
            statement.replace("$1", "null")
        ))?;
        let columns = described.lines().filter_map(|line| line.split_once(' '));
        let (types, printed): (Vec<&str>, Vec<&str>) = columns.unzip();
        let types: Vec<u32> = types.iter().filter_map(|number| number.parse().ok()).collect();
        expected.printed.extend(printed.into_iter().map(str::to_owned));
        for patient in PATIENTS {
            let said = cluster.sql(&truth.replace("$1", patient))?;
            let rows: Result<Vec<Vec<Value>>, _> = said.lines().map(serde_json::from_str).collect();
            let rows = rows.map_err(|error| Failure::new(format!("no rows in `{said}`: {error}")))?;
            if rows.is_empty() {
                return Err(Failure::new(format!(
                    "nothing is to be seen of patient {patient}: `{statement}`"
                )));
            }
            expected.printed.extend(rows.iter().map(|row| printed_row(row)));
            expected.shown.push(json!({ "types": types, "rows": rows }));
        }
    }
    Ok(expected)
}

/// A row as psql prints it, unaligned.
fn printed_row(row: &[Value]) -> String {
    let values = row.iter().map(|value| match value {
        Value::Null => String::new(),
        Value::Bool(true) => "t".to_owned(),
        Value::Bool(false) => "f".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    });
    values.collect::<Vec<_>>().join("|")
}

/// What psql prints of all that is asked, prepared, with the columns' types before it.
fn printed(url: &str, script: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    for Asked { statement, .. } in ASKED {
        text.push_str(&format!("{statement} \\gdesc\nprepare asked(integer) as {statement};\n"));
        for patient in PATIENTS {
            text.push_str(&format!("execute asked({patient});\n"));
        }
        text.push_str("deallocate asked;\n");
    }
    std::fs::write(script, text).map_err(|error| Failure::new(format!("no script: {error}")))?;
    capture(Command::new("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-f"]).arg(script))
}

/// The ways in which a program sees something else than what is to be seen.
fn differing(name: &str, ways: &[&str], url: &str, expected: &Expected) -> Result<Vec<String>, Failure> {
    let patients = PATIENTS.join(",");
    let asked: Vec<&str> =
        std::iter::once(patients.as_str()).chain(ASKED.iter().map(|asked| asked.statement)).collect();
    let seen = seen(name, url, &asked)?;
    let wanted = json!(expected.shown);
    let told = ways.iter().filter(|way| seen.get(**way) != Some(&wanted)).map(|way| {
        format!("{name} {way}\n  expected: {wanted}\n  seen:     {}", seen.get(*way).unwrap_or_default())
    });
    Ok(told.collect())
}

#[test]
fn a_restricted_caller_sees_the_same_part_through_every_driver() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let policy = home.path().join("rules");
    std::fs::create_dir(&policy).unwrap();
    std::fs::write(policy.join("rules.cedar"), PART).unwrap();
    let layout = Layout {
        policy: Some(policy),
        classification: Some(root().join("demo/classification/clinic.toml")),
        ..Layout::new(AgentPlace::InProcess)
    };
    let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
    let expected = expected(&cluster).unwrap();
    let url = boundary.credential(&CLERK).unwrap();
    let mut told = Vec::new();
    for (name, ways) in WAYS {
        told.extend(differing(name, ways, &url, &expected).unwrap());
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
    let printed = printed(&url, &home.path().join("asked.sql")).unwrap();
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected.printed);
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
