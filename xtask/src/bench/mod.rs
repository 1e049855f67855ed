//! `cargo xtask bench`: the figures, side by side from one run.

mod catalog;
mod endpoints;
mod floor;
mod measure;
mod scoped;
mod table;
mod tools;

use std::collections::BTreeSet;
use std::path::Path;

use chaperone_tests::private_folder;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::run;
use crate::setup::{self, For};

use endpoints::Endpoints;

/// The rooms that measure themselves: `cargo run --release --package ... --example bench_...`.
const ROOMS: &[(&str, &str)] = &[
    ("trail", "crates/trail"),
    ("scope", "crates/scope"),
    ("policy", "crates/policy"),
    ("masking", "crates/masking"),
];
/// What is measured with running gateways: every way to the database, then callers who see a part of it, then the view of a floor
/// that one made, then a large catalog, then tool calls.
const GATEWAYS: &[&str] = &["pgbench", "bulk", "idle", "scope", "floor", "catalog", "tools"];

/// How much is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effort {
    /// Alternated rounds; a figure is the median over them.
    pub(crate) rounds: usize,
    /// Seconds of each `pgbench` run.
    pub(crate) seconds: u32,
    /// Only what has one of these names among [`GATEWAYS`] and [`ROOMS`]; everything where there are none.
    only: BTreeSet<String>,
}

impl Effort {
    fn measures(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.contains(part)
    }
}

/// Fewer rounds are no median.
const ROUNDS_MIN: usize = 5;

/// Build for release, measure, print a table, or JSON with every single figure.
///
/// # Errors
/// Something is missing or fails; a missed target is a figure, not an error.
pub(crate) fn bench(arguments: &[&str]) -> Result<(), Failure> {
    let (effort, as_json) = parse(arguments)?;
    setup::setup(For::Benchmark)?;
    let mut figures = Map::new();
    figures.insert("machine".to_owned(), machine());
    if GATEWAYS.iter().any(|part| effort.measures(part)) {
        run::show(run::command(&["cargo", "build", "--release", "--package", "chaperone"]))?;
        let home = private_folder("bench")?;
        gateways(&effort, home.path(), &mut figures)?;
    }
    figures.insert("rooms".to_owned(), rooms(run::root(), &effort)?);
    let figures = Value::Object(figures);
    if as_json {
        println!("{figures}");
    } else {
        table::print(&figures);
    }
    Ok(())
}

/// Everything that is measured through running gateways.
fn gateways(effort: &Effort, home: &Path, figures: &mut Map<String, Value>) -> Result<(), Failure> {
    let mut keep = |name: &str, value: Value| figures.insert(name.to_owned(), value);
    if ["pgbench", "bulk", "idle"].iter().any(|part| effort.measures(part)) {
        let mut endpoints = Endpoints::start(home)?;
        if effort.measures("pgbench") {
            keep("pgbench", measure::pgbench(&endpoints, effort, home)?);
            keep("fdatasync_us", measure::fdatasync(home)?);
        }
        if effort.measures("bulk") {
            keep("bulk", measure::bulk(&mut endpoints, effort)?);
        }
        if effort.measures("idle") {
            keep("idle", measure::idle(&mut endpoints, home)?);
        }
    }
    if effort.measures("scope") {
        keep("scoped", scoped::measure(effort, home)?);
    }
    if effort.measures("floor") {
        keep("floor", floor::measure(effort, home)?);
    }
    if effort.measures("catalog") {
        keep("catalog", catalog::measure(effort, home)?);
    }
    if effort.measures("tools") {
        keep("tools", tools::measure(effort, home)?);
    }
    Ok(())
}

fn parse(arguments: &[&str]) -> Result<(Effort, bool), Failure> {
    let mut effort = Effort { rounds: ROUNDS_MIN, seconds: 5, only: BTreeSet::new() };
    let mut as_json = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut word = || rest.next().copied().unwrap_or_default();
        let number = |text: &str, least: usize| {
            let number = text
                .parse::<u32>()
                .ok()
                .filter(|number| usize::try_from(*number).is_ok_and(|number| number >= least));
            number.ok_or_else(|| {
                Failure::usage(format!("`{argument} {text}`: a number of at least {least} is needed"))
            })
        };
        match *argument {
            "--json" => as_json = true,
            "--rounds" => {
                effort.rounds = usize::try_from(number(word(), ROUNDS_MIN)?).unwrap_or(ROUNDS_MIN);
            }
            "--seconds" => effort.seconds = number(word(), 1)?,
            "--only" => {
                effort.only.insert(part(word())?.to_owned());
            }
            other => {
                return Err(Failure::usage(format!("unknown option `{other}`\nhint: `cargo xtask help`")));
            }
        }
    }
    Ok((effort, as_json))
}

/// The name of something that is measured.
fn part(name: &str) -> Result<&str, Failure> {
    let parts: BTreeSet<&str> = GATEWAYS.iter().copied().chain(ROOMS.iter().map(|(room, _)| *room)).collect();
    if parts.contains(name) {
        return Ok(name);
    }
    let parts: Vec<&str> = parts.into_iter().collect();
    Err(Failure::usage(format!("`--only {name}`: there are {}", parts.join(", "))))
}

/// What the figures were measured on: without it they mean nothing.
fn machine() -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = run::capture(run::command(&["uname", "-sr"])).unwrap_or_default();
    let commit = run::capture(run::command(&["git", "rev-parse", "--short", "HEAD"])).unwrap_or_default();
    json!({ "cores": cores, "kernel": kernel.trim(), "commit": commit.trim() })
}

/// The rooms' own figures, for those that have a bench.
fn rooms(root: &Path, effort: &Effort) -> Result<Value, Failure> {
    let mut figures = Map::new();
    for (name, folder) in ROOMS.iter().filter(|(name, _)| effort.measures(name)) {
        let example = format!("bench_{name}");
        if !root.join(folder).join(format!("examples/{example}.rs")).exists() {
            eprintln!("note: {folder} has no bench");
            continue;
        }
        let package = format!("chaperone-{name}");
        eprintln!("$ cargo run --release --package {package} --example {example}");
        let command = run::command(&[
            "cargo",
            "run",
            "--quiet",
            "--release",
            "--package",
            &package,
            "--example",
            &example,
        ]);
        let text = run::capture(command)?;
        // One JSON value, or one a line.
        let whole = serde_json::from_str::<Value>(&text);
        let value = whole.unwrap_or_else(|_| {
            text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect()
        });
        figures.insert((*name).to_owned(), value);
    }
    Ok(Value::Object(figures))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_rounds_than_a_median_needs_are_refused() {
        let (effort, as_json) = parse(&["--rounds", "7", "--json"]).unwrap();
        assert_eq!((effort.rounds, effort.seconds, as_json), (7, 5, true));
        assert!(effort.measures("pgbench") && effort.measures("masking"));
        for bad in [&["--rounds", "4"] as &[&str], &["--seconds", "0"], &["--rounds"], &["--fast"]] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }

    #[test]
    fn some_parts_can_be_measured_again() {
        let (effort, _) = parse(&["--only", "scope", "--only", "trail"]).unwrap();
        assert!(effort.measures("scope") && effort.measures("trail"));
        assert!(!effort.measures("pgbench") && !effort.measures("policy"));
        for bad in [&["--only", "speed"] as &[&str], &["--only"]] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
