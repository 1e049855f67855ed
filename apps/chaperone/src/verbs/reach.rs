//! Which gateway a verb asks, and as whom.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::person::fresh::InUse;
use crate::wiring::ask::Ask;

/// Where a gateway's configuration is looked for.
const CONFIGURATION: &str = "gateway.toml";

/// The gateway on this machine, asked as its administrator, or any other, asked with a login.
#[derive(Debug, clap::Args)]
pub(crate) struct Reach {
    /// Ask the gateway on this machine as its administrator: its configuration file [default: gateway.toml, where it is]
    #[arg(long, value_name = "FILE", env = "CHAPERONE_CONFIG")]
    config: Option<PathBuf>,
    /// Ask this gateway with your login there (`chaperone login`)
    #[arg(long, value_name = "URL", env = "CHAPERONE_GATEWAY")]
    gateway: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

impl Reach {
    /// The gateway to ask. A file that is named goes before a login, and a login that is named before a file that
    /// merely lies here.
    pub(crate) async fn ask(&self) -> Result<Ask, Failure> {
        if let Some(file) = &self.config {
            return Ask::new(file);
        }
        if self.gateway.is_none() && Path::new(CONFIGURATION).exists() {
            return Ask::new(Path::new(CONFIGURATION));
        }
        let login =
            InUse::open(self.gateway.as_deref()).await.map_err(|failure| match (failure, &self.gateway) {
                (Failure::Usage(why), None) => Failure::Usage(format!(
                    "there is no `{CONFIGURATION}` here (`--config FILE` names another), and {why}"
                )),
                (failure, _) => failure,
            })?;
        Ask::for_login(&login.kept.gateway, login.token(), login.ca())
    }
}
