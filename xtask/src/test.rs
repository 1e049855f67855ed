//! `cargo xtask test`: what continuous integration runs, and what a person runs before a change is shown.

use std::fmt;
use std::time::Instant;

use crate::failure::Failure;
use crate::run::{self, Stream};
use crate::setup::{self, For};
use crate::{check, fuzz};

/// Seconds that each fuzz target gets here; `cargo xtask fuzz --seconds N` is for longer runs.
const FUZZ_SECONDS: u32 = 10;

/// Results of a test run, as the runners themselves count them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Count {
    /// Take in a line of nextest (`Summary [ 1.0s] 3 tests run: 2 passed (1 slow), 1 failed, 0 skipped`) or of
    /// the standard runner (`test result: ok. 2 passed; 0 failed; 1 ignored; ...`); other lines count nothing.
    fn take(&mut self, line: &str) {
        let line = line.trim();
        let results = if line.starts_with("Summary [") {
            line.split_once("run: ").map(|(_, results)| results)
        } else {
            line.strip_prefix("test result: ")
        };
        let Some(results) = results else { return };
        // The standard runner says `ok. 2 passed`: the sentence before the first count goes.
        let results = results.split_once(". ").map_or(results, |(_, rest)| rest);
        for part in results.split([',', ';']) {
            let mut words = part.split_whitespace();
            let Some(Ok(number)) = words.next().map(str::parse::<u64>) else { continue };
            match words.next() {
                Some("passed") => self.passed += number,
                Some("failed" | "exec" | "timed") => self.failed += number,
                Some("skipped" | "ignored") => self.skipped += number,
                _ => {}
            }
        }
    }
}

/// Set up, check, build, run every test and the demonstration once, fuzz shortly; the last line is the count.
///
/// # Errors
/// Any part failed. The tests run even when a check failed, so that one run shows everything.
pub(crate) fn test() -> Result<(), Failure> {
    setup::setup(For::Testing)?;
    let mut failed = Vec::new();
    let mut begun = Instant::now();
    let mut note = |name: &'static str, result: Result<(), Failure>| {
        eprintln!("note: {name} took {} s", begun.elapsed().as_secs());
        begun = Instant::now();
        if let Err(failure) = result {
            eprintln!("error: {failure}");
            failed.push(format!("{name}: {failure}"));
        }
    };
    let mut told = Told::default();
    let mut count = Count::default();
    note("check", check::check());
    // The whole-product tests start the program itself, which no test target makes cargo build.
    let built = run::show(run::command(&["cargo", "build", "--package", "chaperone"]));
    let runnable = built.is_ok();
    note("build", built);
    if runnable {
        note("tests", tests(&mut count, &mut told));
        note("documentation tests", documentation_tests(&mut count));
        note("demo", demonstration());
        note("fuzz", short_fuzz());
    }
    // Again, at the end: whoever sees only the last lines of a long run shall know what to look at.
    for line in &told.panics {
        eprintln!("{line}");
    }
    for test in &told.flaky {
        eprintln!("note: passed at the second try only: {test}");
    }
    for line in failed.iter().chain(&told.unsuccessful) {
        eprintln!("error: failed: {line}");
    }
    println!("{count}");
    if failed.is_empty() && count.passed > 0 { Ok(()) } else { Err(Failure::new("not everything passed")) }
}

fn tests(count: &mut Count, told: &mut Told) -> Result<(), Failure> {
    let command = run::command(&["cargo", "nextest", "run", "--workspace", "--no-fail-fast"]);
    run::show_and_read(command, Stream::Error, |line| {
        count.take(line);
        told.take(line);
    })
}

/// What nextest says of the tests that did not simply pass.
#[derive(Debug, Default)]
struct Told {
    unsuccessful: Vec<String>,
    flaky: Vec<String>,
    /// Where and why tests gave up, in their own words.
    panics: Vec<String>,
    /// How many of the next lines still belong to such words.
    going_on: usize,
}

impl Told {
    /// Lines that are kept of one panic, and of all.
    const PANIC_LINES: usize = 8;
    const LINES_MAX: usize = 80;

    fn take(&mut self, line: &str) {
        if line.contains("panicked at") {
            self.going_on = Self::PANIC_LINES;
        }
        if self.going_on > 0 && self.panics.len() < Self::LINES_MAX {
            self.going_on -= 1;
            self.panics.push(line.to_owned());
        }
        let Some((how, test)) = result_of(line) else { return };
        let tests = match how {
            "FAIL" | "TIMEOUT" | "SIGABRT" | "SIGSEGV" | "SIGKILL" | "LEAK-FAIL" => &mut self.unsuccessful,
            _ if how.starts_with("FLAKY") => &mut self.flaky,
            _ => return,
        };
        if !tests.iter().any(|known| known == test) {
            tests.push(test.to_owned());
        }
    }
}

/// How a test ended, and its name, from a line of nextest
/// (`FAIL [   0.012s] (3/9) chaperone-trail::verify a_test`).
fn result_of(line: &str) -> Option<(&str, &str)> {
    let (how, rest) = line.trim().split_once(" [")?;
    let (_, named) = rest.split_once("] ")?;
    let named = named.trim_start();
    let name =
        named.strip_prefix('(').and_then(|counted| counted.split_once(") ")).map_or(named, |(_, name)| name);
    Some((how, name))
}

fn documentation_tests(count: &mut Count) -> Result<(), Failure> {
    let command = run::command(&["cargo", "test", "--quiet", "--workspace", "--doc", "--no-fail-fast"]);
    run::show_and_read(command, Stream::Out, |line| count.take(line))
}

/// The whole demonstration, as a user starts it; what it prints goes to a file.
fn demonstration() -> Result<(), Failure> {
    let program =
        std::env::current_exe().map_err(|error| Failure::new(format!("where is xtask? {error}")))?;
    let output = run::target_dir().join("demo.log");
    let shown = run::show_in(run::command(&[&program.to_string_lossy(), "demo", "--once"]), &output);
    if shown.is_err() {
        eprintln!("{}", run::end_of(&output));
    }
    shown
}

fn short_fuzz() -> Result<(), Failure> {
    if let Some(missing) = fuzz::missing() {
        eprintln!("note: fuzz targets not run: {missing}");
        return Ok(());
    }
    fuzz::all(FUZZ_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_the_runners_own() {
        let mut count = Count::default();
        count.take("     Summary [  12.345s] 9 tests run: 6 passed (1 slow, 1 flaky), 2 failed, 1 timed out, 4 skipped");
        assert_eq!(count, Count { passed: 6, failed: 3, skipped: 4 });
        count.take("test result: FAILED. 2 passed; 1 failed; 3 ignored; 0 measured; 5 filtered out; finished in 0.00s");
        assert_eq!(count, Count { passed: 8, failed: 4, skipped: 7 });
        count.take(
            "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        );
        assert_eq!(count.to_string(), "9 passed, 4 failed, 7 skipped");
    }

    #[test]
    fn a_test_that_did_not_simply_pass_is_named_with_its_reason() {
        let mut told = Told::default();
        for line in [
            "  TRY 1 FAIL [   0.012s] (  3/582) chaperone-trail::verify another",
            "        PASS [   0.012s] (  3/582) chaperone-trail::verify a_third",
            "        FAIL [   0.012s] (  3/582) chaperone-trail::verify a_test",
            "    thread 'a_test' panicked at crates/trail/tests/verify.rs:3:5:",
            "    not what was asked",
            "        FAIL [   0.012s] (  3/582) chaperone-trail::verify a_test",
            " TIMEOUT [ 300.0s] xtask slow",
            "   FLAKY 2/2 [   0.012s] (  4/582) chaperone-trail::verify another",
        ] {
            told.take(line);
        }
        assert_eq!(told.unsuccessful, ["chaperone-trail::verify a_test", "xtask slow"]);
        assert_eq!(told.flaky, ["chaperone-trail::verify another"]);
        assert!(told.panics.iter().any(|line| line.contains("not what was asked")), "{:?}", told.panics);
    }

    #[test]
    fn what_a_test_prints_is_not_counted() {
        let mut count = Count::default();
        count.take("3 passed, 1 failed");
        count.take("PASS [   0.005s] xtask test::tests::summary 5 passed");
        assert_eq!(count, Count::default());
    }
}
