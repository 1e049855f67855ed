//! `chaperone gateway`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use crate::wiring;

/// `chaperone gateway`
#[derive(Debug, clap::Args)]
pub(crate) struct Gateway {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "CHAPERONE_CONFIG")]
    config: PathBuf,
    /// Log as JSON, a line an event
    #[arg(long)]
    log_json: bool,
}

impl Gateway {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let runtime = super::serving(self.log_json)?;
        runtime.block_on(wiring::gateway::run(&self.config))?;
        Ok(ExitCode::SUCCESS)
    }
}
