//! `chaperone keys`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, clock, remark, say_json, table};
use crate::config::gateway::GatewayConfig;
use crate::config::{self, beside};
use crate::wiring::epochs::{self, About, Epochal};
use crate::wiring::installation::log_name;

/// `chaperone keys`
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Keys {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The gateway's configuration file
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "CHAPERONE_CONFIG")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make the next epoch of a key, on the gateway's machine; it comes into force when the gateway starts again
    Rotate {
        /// Which key: `credential` makes credentials, `commitment` stands for identifying values in the trail, `log` signs
        /// the trail, `agents` signs agents' certificates
        key: Epochal,
        /// Remove the epochs before: what was made with them is void from the next start on. Credentials open nothing,
        /// agents have to enrol anew, committed values cannot be searched for. Not for `log`, whose old key signs for
        /// the new one
        #[arg(long, visible_alias = "now")]
        void: bool,
        /// The gateway's configuration file
        #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "CHAPERONE_CONFIG")]
        config: PathBuf,
    },
}

impl Keys {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self.verb {
            None => list(&self.config, self.json)?,
            Some(Verb::Rotate { key, void, config }) => rotate(key, void, &config)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn rotate(key: Epochal, void: bool, path: &std::path::Path) -> Result<(), Failure> {
    let config: GatewayConfig = config::load(path)?;
    let (new, old) = key.rotate(&beside(path, &config.keys), void)?;
    let before = match key {
        _ if void => "is removed",
        Epochal::Credential | Epochal::Commitment => "holds beside it",
        Epochal::Log => "signs for it and is then removed",
        Epochal::Agents => "is accepted for 24 hours beside it, in which agents renew by themselves",
    };
    remark(&format!("`{new}` takes the place of `{old}`, which {before}, when the gateway starts again"));
    Ok(())
}

fn list(path: &std::path::Path, json: bool) -> Result<(), Failure> {
    let config: GatewayConfig = config::load(path)?;
    let keys = epochs::list(&beside(path, &config.keys), &log_name(&config.name))?;
    if json {
        return say_json(&keys);
    }
    let row = |about: About| {
        let state = match about.until {
            Some(until) => format!("{} until {}", about.state, clock(until.saturating_mul(1_000_000))),
            None => about.state.to_owned(),
        };
        vec![
            about.key.to_owned(),
            about.id,
            about.epoch.to_string(),
            clock(about.created),
            state,
            about.public.unwrap_or_default(),
            about.file.display().to_string(),
        ]
    };
    table(
        &["key", "id", "epoch", "created", "state", "public part", "file"],
        keys.into_iter().map(row).collect(),
    )
}
