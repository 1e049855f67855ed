//! `chaperone reader create FILE`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, say};
use crate::wiring::installation::make_reader;

/// `chaperone reader`
#[derive(Debug, Subcommand)]
pub(crate) enum Reader {
    /// Write a new private key to FILE (mode 0600) and print its public part for gateway.toml. Keep the file away from
    /// the gateway
    Create {
        /// Where to write it; must not exist
        file: PathBuf,
    },
}

impl Reader {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Create { file } => say(&make_reader(&file)?)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
