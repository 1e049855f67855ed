//! The project's habits, each one command: `cargo xtask check`, `test`, `tidy`, ...
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod bench;
mod check;
mod demo;
mod failure;
mod fuzz;
mod run;
mod setup;
mod test;
mod tidy;
mod worlds;

use std::process::ExitCode;

use failure::Failure;

const HELP: &str = "\
usage: cargo xtask <command>

  demo [--once] [--json] [--data DIR] [--port N] [--api-port N]
                    gateway and agent before a private PostgreSQL with a synthetic clinic
  bench [--json] [--rounds N] [--seconds N] [--only PART]...
                    figures beside those of haproxy and pgbouncer, from one run. Its parts: pgbench, bulk, idle, scope
                    (a caller who sees a part, beside one who sees everything), floor (its view, at the database),
                    catalog, tools (calls through a gateway), trail, policy, masking
  setup [demo|test|bench|worlds]
                    install what that needs (as root; else say what to run); default: test
  check             format, clippy, tidy, licences and bans, documentation links
  tidy              only the house's own rules
  test              setup, check, every test, the demonstration once, a short fuzz run; ends with the count
  worlds [--corpus FILE]... [--only REGEX] [--generated N] [--seed S] [--against restricted|unrestricted|direct]
         [--report FILE] [--floor]
                    two databases that differ only in what a restricted caller may not see, and a gateway before
                    both: every case that tells them apart is a leak, and the command fails
  worlds --json [--schema S.sql --world A.sql --world B.sql --classification C.toml --policy DIR]
         [--restricted WHO] [--group G]... [--unrestricted WHO] [--floor]
                    the same set-up for your own schema and cases: how to reach it as JSON, and stays up
  fuzz [--seconds N]
                    run each fuzz target for N seconds (default 30)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if matches!(words.as_slice(), [] | ["help", ..])
        || words.iter().any(|word| ["--help", "-h"].contains(word))
    {
        print!("{HELP}");
        return Ok(());
    }
    match words.as_slice() {
        ["setup"] | ["setup", "test"] => setup::setup(setup::For::Testing),
        ["setup", "demo"] => setup::setup(setup::For::Demonstration),
        ["setup", "bench"] => setup::setup(setup::For::Benchmark),
        ["setup", "worlds"] => setup::setup(setup::For::Worlds),
        ["demo", rest @ ..] => demo::demo(rest),
        ["bench", rest @ ..] => bench::bench(rest),
        ["check"] => check::check(),
        ["tidy"] => tidy::tidy(),
        ["test"] => test::test(),
        ["worlds", rest @ ..] => worlds::worlds(rest),
        ["fuzz", rest @ ..] => fuzz::fuzz(rest),
        other => Err(Failure::usage(format!(
            "cannot do `{}`\nhint: `cargo xtask help` lists what it can",
            other.join(" ")
        ))),
    }
}
