//! `chaperone keys`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, remark};
use crate::config::gateway::GatewayConfig;
use crate::config::{self, beside};
use crate::wiring::epochs::Epochal;

/// `chaperone keys`
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make the next epoch of a key, on the gateway's machine; it comes into force when the gateway starts again
    Rotate {
        /// Which key: `credential` makes credentials, `commitment` stands for identifying values in the trail
        key: Epochal,
        /// Remove the epochs before: credentials that were made with them are void from the next start on, and values that
        /// were committed with them cannot be searched for
        #[arg(long)]
        void: bool,
        /// The gateway's configuration file
        #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "CHAPERONE_CONFIG")]
        config: PathBuf,
    },
}

impl Keys {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let Self::Rotate { key, void, config: path } = self;
        let config: GatewayConfig = config::load(&path)?;
        let (new, old) = key.rotate(&beside(&path, &config.keys), void)?;
        let before = if void { "is removed" } else { "holds beside it" };
        remark(&format!("`{new}` takes the place of `{old}`, which {before}, when the gateway starts again"));
        Ok(ExitCode::SUCCESS)
    }
}
