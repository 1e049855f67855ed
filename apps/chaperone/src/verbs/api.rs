//! `chaperone api describe`.

use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, say};
use crate::wiring::api;

/// `chaperone api`
#[derive(Debug, Subcommand)]
pub(crate) enum Api {
    /// Print its description (OpenAPI 3.1, JSON)
    Describe,
}

impl Api {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Describe => say(&api::description_text()?)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
