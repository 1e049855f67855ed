//! `cargo xtask fuzz`: every target of `fuzz/`, one after the other.

use crate::failure::Failure;
use crate::run;

const SECONDS_DEFAULT: u32 = 30;

/// Run all targets for `--seconds N` each.
///
/// # Errors
/// Bad arguments, a missing toolchain, or an input that brought a target down (cargo-fuzz prints where it lies).
pub(crate) fn fuzz(arguments: &[&str]) -> Result<(), Failure> {
    let seconds = match arguments {
        [] => SECONDS_DEFAULT,
        ["--seconds", number] => {
            number.parse().map_err(|_| Failure::usage(format!("`{number}` is not a number of seconds")))?
        }
        [other, ..] => {
            return Err(Failure::usage(format!(
                "unknown option `{other}`\nhint: only `--seconds N` is known"
            )));
        }
    };
    if let Some(missing) = missing() {
        return Err(Failure::usage(missing));
    }
    all(seconds)
}

/// What stands in the way of fuzzing on this machine, with the remedy.
pub(crate) fn missing() -> Option<&'static str> {
    if !has_nightly() {
        return Some("no nightly toolchain\nhint: `rustup toolchain install nightly --profile minimal`");
    }
    if !run::succeeds(&["cargo", "fuzz", "--version"]) {
        return Some("cargo-fuzz is not installed\nhint: `cargo install cargo-fuzz --locked`");
    }
    None
}

/// Whether the toolchain is there that can instrument code.
pub(crate) fn has_nightly() -> bool {
    run::succeeds(&["rustup", "run", "nightly", "rustc", "--version"])
}

/// Run each target for `seconds`, a line each, and say at the end which of them failed. What the fuzzer prints, thousands of
/// lines of coverage, goes to a file a target under `target/fuzz-output`; only a failure shows its end.
pub(crate) fn all(seconds: u32) -> Result<(), Failure> {
    let targets = run::capture(run::command(&["cargo", "+nightly", "fuzz", "list"]))?;
    let limit = format!("-max_total_time={seconds}");
    let output = run::target_dir().join("fuzz-output");
    std::fs::create_dir_all(&output)
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", output.display())))?;
    let mut failed = Vec::new();
    for target in targets.lines().map(str::trim).filter(|line| !line.is_empty()) {
        // No sanitizer: our code is safe Rust, so panics, memory and time are what there is to find. 2 GiB and 10 s for
        // one input: whoever needs more has no limit where there should be one.
        let runner = ["cargo", "+nightly", "fuzz", "run", "--sanitizer", "none", target];
        let words = [runner.as_slice(), &["--", &limit, "-rss_limit_mb=2048", "-timeout=10"]].concat();
        let file = output.join(format!("{target}.log"));
        if let Err(failure) = run::show_in(run::command(&words), &file) {
            eprintln!("error: {failure}\n{}", run::end_of(&file));
            failed.push(target);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("fuzz targets failed: {}", failed.join(", "))))
    }
}
