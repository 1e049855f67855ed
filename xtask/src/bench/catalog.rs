//! A target of many classified tables: how long its first session waits until they are known, and what knowing them costs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use chaperone_tests::{AgentPlace, Boundary, Caller, Cluster, LOGIN, Layout, capture, target_dir};
use serde_json::{Value, json};

use super::Effort;
use super::measure::{median, status_kib};
use crate::failure::Failure;
use crate::run;

const TABLES: u32 = 5_000;
const COLUMNS: u32 = 15;
const PART: Caller = Caller { subject: "paul", groups: &["part"], client: None };

/// Each with a key, a reference, a unique column and a check.
fn tables() -> String {
    let plain: String =
        (4..COLUMNS).map(|n| format!(", column_{n} varchar(40) not null default ''''")).collect();
    format!(
        "do $$ begin\n\
         create table public.t_0 (column_0 integer primary key);\n\
         for n in 1..{last} loop\n\
         execute format('create table public.t_%s (column_0 integer primary key, column_1 integer references public.t_0, \
         column_2 text unique, column_3 integer check (column_3 > 0){plain})', n);\n\
         end loop;\nend $$;\n\
         grant select on all tables in schema public to {LOGIN};\n",
        last = TABLES - 1
    )
}

fn classification() -> String {
    let mut file = "[relations.\"public.t_0\".columns]\ncolumn_0 = { clear = true }\n".to_owned();
    for table in 1..TABLES {
        file.push_str(&format!("[relations.\"public.t_{table}\".columns]\ncolumn_0 = {{ clear = true }}\n"));
        for column in 1..COLUMNS {
            let mask = if column == 1 || column == 3 { "null" } else { "last_four" };
            file.push_str(&format!("column_{column} = {{ tags = [\"phi.name\"], mask = \"{mask}\" }}\n"));
        }
    }
    file
}

/// Seconds that a first session waits, and MiB that the gateway has more than one that knows nothing.
///
/// # Errors
/// A program fails.
pub(crate) fn measure(effort: &Effort, home: &Path) -> Result<Value, Failure> {
    let home = home.join("catalog");
    let written = |name: &str, text: &str| {
        let path = home.join(name);
        fs::write(&path, text)
            .map(|()| path.clone())
            .map_err(|error| Failure::new(format!("cannot write `{}`: {error}", path.display())))
    };
    fs::create_dir(&home)
        .map_err(|error| Failure::new(format!("cannot make `{}`: {error}", home.display())))?;
    let mut cluster = Cluster::bare(&home.join("postgres"))?;
    eprintln!("$ psql --file tables.sql  ({TABLES} tables)");
    cluster.load(&[&written("tables.sql", &tables())?])?;
    let mut layout = Layout::new(AgentPlace::InProcess);
    layout.program = target_dir().join("release/chaperone");
    layout.policy = Some(run::root().join("xtask/src/bench/scoped/policy"));
    let mut knows_nothing = Boundary::start(&home.join("unclassified"), &cluster, layout.clone())?;
    let without = status_kib(knows_nothing.gateway().id(), "VmRSS:")?;
    drop(knows_nothing);
    layout.classification = Some(written("classification.toml", &classification())?);
    let mut boundary = Boundary::start(&home.join("classified"), &cluster, layout)?;
    let (mut waits, mut memories) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        boundary.restart_gateway()?;
        let url = boundary.credential(&PART)?;
        let began = Instant::now();
        let said =
            capture(Command::new("psql").args(["-XAtq", "-d", &url, "-c", "select count(*) from t_17"]))?;
        waits.push(began.elapsed().as_secs_f64());
        if said.trim() != "0" {
            return Err(Failure::new(format!("a first session was told `{said}`")));
        }
        let with = status_kib(boundary.gateway().id(), "VmRSS:")?;
        memories.push(with.saturating_sub(without) as f64 / 1024.0);
        eprintln!("catalog    {TABLES} tables: {:.2?} s, {:.1?} MiB", waits.last(), memories.last());
    }
    Ok(json!({
        "tables": TABLES, "first_session_s": waits, "gateway_mib_more": memories,
        "first_session_s_median": median(&waits), "gateway_mib_more_median": median(&memories),
    }))
}
