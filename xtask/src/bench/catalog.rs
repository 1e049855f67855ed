//! A target of many classified tables: how long its first session waits until they are known, and what knowing them costs.

use std::fs;
use std::ops::Range;
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

/// The first of them.
const FEW: u32 = 2;

/// Tables of these numbers, each but the first with a key, a reference, a unique column and a check.
fn tables(numbers: Range<u32>) -> String {
    let plain: String =
        (4..COLUMNS).map(|n| format!(", column_{n} varchar(40) not null default ''''")).collect();
    format!(
        "create table if not exists public.t_0 (column_0 integer primary key);\n\
         do $$ begin\n\
         for n in {first}..{last} loop\n\
         execute format('create table public.t_%s (column_0 integer primary key, column_1 integer references public.t_0, \
         column_2 text unique, column_3 integer check (column_3 > 0){plain})', n);\n\
         end loop;\nend $$;\n\
         grant select on all tables in schema public to {LOGIN};\n",
        first = numbers.start.max(1),
        last = numbers.end - 1
    )
}

fn classification(tables: u32) -> String {
    let mut file = "[relations.\"public.t_0\".columns]\ncolumn_0 = { clear = true }\n".to_owned();
    for table in 1..tables {
        file.push_str(&format!("[relations.\"public.t_{table}\".columns]\ncolumn_0 = {{ clear = true }}\n"));
        for column in 1..COLUMNS {
            let mask = if column == 1 || column == 3 { "null" } else { "last_four" };
            file.push_str(&format!("column_{column} = {{ tags = [\"phi.name\"], mask = \"{mask}\" }}\n"));
        }
    }
    file
}

/// Seconds that the first session of a gateway waits, and MiB that the gateway has then.
fn first_session(boundary: &mut Boundary) -> Result<(f64, f64), Failure> {
    boundary.restart_gateway()?;
    let url = boundary.credential(&PART)?;
    let began = Instant::now();
    let said = capture(Command::new("psql").args(["-XAtq", "-d", &url, "-c", "select count(*) from t_1"]))?;
    let waited = began.elapsed().as_secs_f64();
    if said.trim() != "0" {
        return Err(Failure::new(format!("a first session was told `{said}`")));
    }
    Ok((waited, status_kib(boundary.gateway().id(), "VmRSS:")? as f64 / 1024.0))
}

/// Seconds that a first session waits, and MiB that the gateway has more than one whose target has a few tables, after
/// the same session.
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
    let mut layout = Layout::new(AgentPlace::InProcess);
    layout.program = target_dir().join("release/chaperone");
    layout.policy = Some(run::root().join("xtask/src/bench/scoped/policy"));

    cluster.load(&[&written("few.sql", &tables(0..FEW))?])?;
    layout.classification = Some(written("few.toml", &classification(FEW))?);
    let mut boundary = Boundary::start(&home.join("few"), &cluster, layout.clone())?;
    let mut withouts = Vec::new();
    for _ in 0..effort.rounds {
        withouts.push(first_session(&mut boundary)?.1);
    }
    drop(boundary);
    let without = median(&withouts);

    eprintln!("$ psql --file tables.sql  ({TABLES} tables)");
    cluster.load(&[&written("tables.sql", &tables(FEW..TABLES))?])?;
    layout.classification = Some(written("classification.toml", &classification(TABLES))?);
    let mut boundary = Boundary::start(&home.join("many"), &cluster, layout)?;
    let (mut waits, mut memories) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let (waited, with) = first_session(&mut boundary)?;
        waits.push(waited);
        memories.push(with - without);
        eprintln!(
            "catalog    {TABLES} tables: {waited:.2} s, {:.1} MiB more than {without:.1}",
            with - without
        );
    }
    Ok(json!({
        "tables": TABLES, "tables_few": FEW, "first_session_s": waits, "gateway_mib_more": memories, "gateway_mib_few": withouts,
        "first_session_s_median": median(&waits), "gateway_mib_more_median": median(&memories),
    }))
}
