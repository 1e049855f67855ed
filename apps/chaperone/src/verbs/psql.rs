//! `chaperone psql TARGET`.

use std::ffi::OsString;
use std::process::ExitCode;

use super::connect::At;
use super::exec::run_with;
use super::{Failure, block_on};

/// `chaperone psql`
#[derive(Debug, clap::Args)]
pub(crate) struct Psql {
    #[command(flatten)]
    at: At,
    /// Arguments for psql, after `--`
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

impl Psql {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        block_on(run_with(&self.at, OsString::from("psql"), self.arguments))
    }
}
