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
        let filter = tracing_subscriber::EnvFilter::try_from_env("CHAPERONE_LOG")
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        if self.log_json {
            log.json().init();
        } else {
            log.init();
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(Failure::io("cannot start the runtime"))?;
        runtime.block_on(wiring::gateway::run(&self.config))?;
        Ok(ExitCode::SUCCESS)
    }
}
