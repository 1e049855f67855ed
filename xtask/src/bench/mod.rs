//! `cargo xtask bench`: the figures, side by side from one run.

mod endpoints;
mod measure;
mod table;

use std::path::Path;

use chaperone_tests::private_folder;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::run;
use crate::setup::{self, For};

use endpoints::Endpoints;

/// The rooms that measure themselves: `cargo run --release --package ... --example bench_...`.
const ROOMS: &[(&str, &str)] =
    &[("trail", "crates/trail"), ("scope", "crates/scope"), ("policy", "crates/policy")];

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    /// Alternated rounds; a figure is the median over them.
    pub(crate) rounds: usize,
    /// Seconds of each `pgbench` run.
    pub(crate) seconds: u32,
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
    run::show(run::command(&["cargo", "build", "--release", "--package", "chaperone"]))?;
    let home = private_folder("bench")?;
    let mut endpoints = Endpoints::start(home.path())?;
    let mut figures = Map::new();
    figures.insert("machine".to_owned(), machine());
    figures.insert("pgbench".to_owned(), measure::pgbench(&endpoints, effort, home.path())?);
    figures.insert("fdatasync_us".to_owned(), measure::fdatasync(home.path())?);
    figures.insert("bulk".to_owned(), measure::bulk(&mut endpoints, effort)?);
    figures.insert("idle".to_owned(), measure::idle(&mut endpoints, home.path())?);
    drop(endpoints);
    figures.insert("rooms".to_owned(), rooms(run::root())?);
    let figures = Value::Object(figures);
    if as_json {
        println!("{figures}");
    } else {
        table::print(&figures);
    }
    Ok(())
}

fn parse(arguments: &[&str]) -> Result<(Effort, bool), Failure> {
    let mut effort = Effort { rounds: ROUNDS_MIN, seconds: 5 };
    let mut as_json = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut number = |least: usize| {
            let text = rest.next().copied().unwrap_or_default();
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
            "--rounds" => effort.rounds = usize::try_from(number(ROUNDS_MIN)?).unwrap_or(ROUNDS_MIN),
            "--seconds" => effort.seconds = number(1)?,
            other => {
                return Err(Failure::usage(format!("unknown option `{other}`\nhint: `cargo xtask help`")));
            }
        }
    }
    Ok((effort, as_json))
}

/// What the figures were measured on: without it they mean nothing.
fn machine() -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = run::capture(run::command(&["uname", "-sr"])).unwrap_or_default();
    let commit = run::capture(run::command(&["git", "rev-parse", "--short", "HEAD"])).unwrap_or_default();
    json!({ "cores": cores, "kernel": kernel.trim(), "commit": commit.trim() })
}

/// The rooms' own figures, for those that have a bench.
fn rooms(root: &Path) -> Result<Value, Failure> {
    let mut figures = Map::new();
    for (name, folder) in ROOMS {
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
        assert_eq!(parse(&["--rounds", "7", "--json"]).unwrap(), (Effort { rounds: 7, seconds: 5 }, true));
        for bad in [&["--rounds", "4"] as &[&str], &["--seconds", "0"], &["--rounds"], &["--fast"]] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
