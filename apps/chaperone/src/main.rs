//! `chaperone`: one binary; `gateway` and `agent` run, everything else asks or prepares.

mod config;
mod person;
mod verbs;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = verbs::Arguments::parse();
    match verbs::run(arguments) {
        Ok(code) => code,
        Err(failure) => {
            verbs::complain(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
