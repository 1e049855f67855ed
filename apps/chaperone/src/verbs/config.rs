//! `chaperone config check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, remark, say_json};
use crate::config::agent::AgentConfig;
use crate::config::gateway::GatewayConfig;
use crate::config::{self, beside};
use crate::wiring::gateway::{check_listeners, listener_options};
use crate::wiring::installation::readers;
use crate::wiring::policies;
use crate::wiring::targets::Declared;

/// `chaperone config`
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check everything that can be checked without starting: keys, files, targets, policies
    Check {
        /// gateway.toml, or the folder it is in
        #[arg(default_value = "gateway.toml")]
        path: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Config {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let Self::Check { path, json } = self;
        let path = if path.is_dir() { path.join("gateway.toml") } else { path };
        let config: GatewayConfig = config::load(&path)?;
        let mut errors = Vec::new();
        let mut note = |result: Result<(), Failure>| {
            if let Err(error) = result {
                errors.push(error.to_string());
            }
        };
        note(check_listeners(&config));
        note(listener_options(&path, &config).map(drop));
        note(readers(&config.recording.readers).map(drop));
        let agent_file = beside(&path, &config.local_agent);
        note(config::load::<AgentConfig>(&agent_file).map_err(Failure::from).and_then(|agent| {
            let missing: Vec<String> = config
                .targets
                .keys()
                .filter(|name| !agent.targets.contains_key(name))
                .map(|name| format!("target `{name}` is not declared in `{}`", agent_file.display()))
                .collect();
            if !missing.is_empty() {
                return Err(Failure::Usage(missing.join("\n")));
            }
            Declared::new(agent, &agent_file).map(drop)
        }));
        let mut warnings = Vec::new();
        match policies::load(&config, &beside(&path, &config.policy.folder)) {
            Ok(Ok((_, found))) => warnings = found.iter().map(ToString::to_string).collect(),
            Ok(Err(found)) => errors.extend(found.iter().map(ToString::to_string)),
            Err(failure) => errors.push(failure.to_string()),
        }
        if json {
            say_json(&serde_json::json!({ "errors": errors, "warnings": warnings }))?;
        } else {
            errors.iter().for_each(|error| remark(&format!("error: {error}")));
            warnings.iter().for_each(|warning| remark(&format!("warning: {warning}")));
            if errors.is_empty() {
                remark("the configuration is usable");
            }
        }
        Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }
}
