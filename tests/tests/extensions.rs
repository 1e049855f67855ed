//! Types of extensions that the classification allows: what a restricted caller asks of them means what it means in the database.

#![allow(clippy::unwrap_used, reason = "a test's own set-up may fail it")]

use std::fs;
use std::process::Command;

use chaperone_tests::{AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, capture, private_folder};
use serde_json::Value;

const CLERK: Caller = Caller { subject: "ben", groups: &["billing"], client: None };

const TABLES: &str =
    "create extension citext; create extension hstore; create extension pg_trgm; create extension btree_gist;
    create table clinic.labels (id int, ci citext, tags hstore, label text, ssn text);
    insert into clinic.labels values (1, 'A', 'k=>1', 'ab%', 'x'), (2, 'b', 'k=>2', 'AB', 'y');
    grant all on clinic.labels to chaperone;";

/// Each is one value, the same with and without the boundary.
const ASKED: [&str; 10] = [
    "select string_agg(id::text, ',' order by id) from clinic.labels where ci = 'a'",
    "select string_agg((ci < 'B')::text, ',' order by id) from clinic.labels",
    "select string_agg(replace(ci, 'a', 'z')::text, ',' order by id) from clinic.labels",
    "select strpos(ci, 'a') from clinic.labels where id = 1",
    "select string_agg(id::text, ',' order by id) from clinic.labels where ci like 'a%'",
    "select string_agg(id::text, ',' order by id) from clinic.labels where label like 'a%' escape '!'",
    "select string_agg(id::text, ',' order by id) from clinic.labels where label ilike 'ab' or label not like '%!%' escape '!'",
    "select string_agg(id::text, ',' order by id) from clinic.labels where label similar to '(ab|AB)%' and not label like 'AB'",
    "select string_agg(id::text, ',' order by id) from clinic.labels where tags = 'k=>1' or tags -> 'k' = '2'",
    "select id <-> 5 from clinic.labels order by id limit 1",
];

fn with(allowed: &str) -> (Cluster, Boundary, tempfile::TempDir) {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    cluster.sql(TABLES).unwrap();
    let (folder, file) = (home.path().join("rules"), home.path().join("clinic.toml"));
    fs::create_dir(&folder).unwrap();
    let policy = "permit (principal in Group::\"dev/billing\", action in [Action::\"connect\", Action::\"read\"], \
                  resource in Target::\"clinic\");\n";
    fs::write(folder.join("rules.cedar"), policy).unwrap();
    let columns = ["id", "ci", "tags", "label"].map(|name| format!("{name} = {{ clear = true }}\n")).concat();
    let lines =
        format!("[extensions]\nallowed = {allowed}\n[relations.\"clinic.labels\".columns]\n{columns}");
    fs::write(&file, lines).unwrap();
    let mut layout = Layout::new(AgentPlace::InProcess);
    layout.policy = Some(folder);
    layout.more = format!("classification = {}\n", Value::from(file.to_string_lossy()));
    let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
    (cluster, boundary, home)
}

fn asked(boundary: &Boundary, statement: &str) -> Result<String, String> {
    let mut psql = Command::new("psql");
    psql.args([
        "-X",
        "-A",
        "-t",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        &boundary.credential(&CLERK).unwrap(),
        "-c",
    ]);
    capture(psql.arg(statement)).map(|text| text.trim().to_owned()).map_err(|error| error.to_string())
}

#[test]
fn names_that_extensions_share_with_each_other_and_with_the_server_are_theirs() {
    let (cluster, boundary, _home) = with("[\"citext\", \"hstore\", \"pg_trgm\", \"btree_gist\"]");
    for statement in ASKED {
        let plain = cluster.sql(statement).unwrap();
        assert_eq!(asked(&boundary, statement).as_deref(), Ok(plain.trim()), "{statement}");
    }
}

#[test]
fn an_extension_that_is_not_allowed_keeps_nobody_from_like() {
    let (cluster, boundary, _home) = with("[\"hstore\", \"pg_trgm\", \"btree_gist\"]");
    let statement = "select string_agg(id::text, ',' order by id) from clinic.labels where label like 'a%'";
    assert_eq!(asked(&boundary, statement).as_deref(), Ok(cluster.sql(statement).unwrap().trim()));
}
