//! `chaperone config check`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chaperone_access::TargetName;
use clap::Subcommand;

use super::{Failure, remark, say_json};
use crate::config::agent::AgentConfig;
use crate::config::gateway::{GatewayConfig, HostedServer};
use crate::config::{self, beside};
use crate::wiring::classifications::{self, ClassificationFiles, Classifications, inline, unclassified};
use crate::wiring::exchange;
use crate::wiring::gateway::{api_tls, check_listeners, listener_options};
use crate::wiring::identity::issuers;
use crate::wiring::installation::readers;
use crate::wiring::mcp::{Setting, hosted};
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
        /// Check the agent.toml of an agent with a process of its own, and nothing else
        #[arg(long, value_name = "FILE", conflicts_with = "path")]
        agent: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Config {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let Self::Check { path, agent, json } = self;
        if let Some(file) = agent {
            let errors = check_agent(&file).err().map(|error| error.to_string());
            return report(&errors.into_iter().collect::<Vec<_>>(), &[], json);
        }
        let path = if path.is_dir() { path.join("gateway.toml") } else { path };
        let mut config: GatewayConfig = config::load(&path)?;
        let mut errors = Vec::new();
        let mut note = |result: Result<(), Failure>| {
            if let Err(error) = result {
                errors.push(error.to_string());
            }
        };
        note(check_listeners(&config));
        note(Setting::new(&config).map(drop));
        note(hosted::check(&config));
        note(exchange::Setting::new(&config).map(drop));
        note(config.check_exchanging().map_err(Failure::Usage));
        note(listener_options(&path, &config).map(drop));
        note(api_tls(&path, &config).map(drop));
        note(readers(&config.recording.readers).map(drop));
        note(issuers(&path, &mut config).map(drop));
        let mut floors = BTreeSet::new();
        if let Some(file) = &config.local_agent {
            note(check_local(&config, &beside(&path, file)).map(|found| floors = found));
        }
        let mut warnings = Vec::new();
        let classified = match ClassificationFiles::new(&path, &config).load() {
            Ok(classified) => classified,
            Err(found) => {
                errors.extend(found);
                Classifications::new()
            }
        };
        let tags = classifications::tags(classified.values().map(|one| &*one.classification));
        match policies::load(&config, &beside(&path, &config.policy.folder), tags) {
            Ok(Ok((_, found))) => warnings = found.iter().map(ToString::to_string).collect(),
            Ok(Err(found)) => errors.extend(found.iter().map(ToString::to_string)),
            Err(failure) => errors.push(failure.to_string()),
        }
        warnings.extend(unclassified(&config));
        warnings.extend(inline(&classified, &floors));
        report(&errors, &warnings, json)
    }
}

fn check_agent(file: &Path) -> Result<(), Failure> {
    let agent: AgentConfig = config::load(file)?;
    if agent.gateway.is_none() {
        return Err(Failure::Usage(format!(
            "`{}` names no `gateway` (hint: `gateway = \"host:port\"`, where its `[agents]` listens)",
            file.display()
        )));
    }
    Declared::new(agent, file).map(drop)
}

/// What is wrong with where a server stands in the files of a gateway and of the agent inside of it.
fn misplaced(
    name: &TargetName,
    server: &HostedServer,
    agent: &AgentConfig,
    is_alone: bool,
) -> Option<String> {
    let (runs, reaches) = (agent.servers.contains_key(name), agent.elsewhere.contains_key(name));
    match &server.target {
        // What has a `url` is elsewhere, with connections of its own; what has a `command` connects to a target.
        Some(_) if reaches => Some(format!("server `{name}` has a `target`, and a `url`")),
        None if runs => Some(format!("server `{name}` has no `target`, and a `command`")),
        Some(_) | None => (is_alone && !runs && !reaches).then(|| format!("server `{name}` is not declared")),
    }
}

/// The agent inside the gateway: the targets whose floor it tells whose session is whose. Targets that it does not declare
/// need an agent that dials in.
fn check_local(config: &GatewayConfig, file: &Path) -> Result<BTreeSet<TargetName>, Failure> {
    let agent: AgentConfig = config::load(file)?;
    let missing: Vec<String> = config
        .targets
        .keys()
        .filter(|name| {
            config.agents.is_none() && !agent.targets.contains_key(name) && !agent.commands.contains_key(name)
        })
        .map(|name| format!("target `{name}` is not declared in `{}`", file.display()))
        .collect();
    let servers = config.servers.iter();
    let missing: Vec<String> = servers
        .filter_map(|(name, server)| misplaced(name, server, &agent, config.agents.is_none()))
        .map(|what| format!("{what} in `{}`", file.display()))
        .chain(missing)
        .collect();
    if !missing.is_empty() {
        return Err(Failure::Usage(missing.join("\n")));
    }
    let floors = agent.targets.iter().filter(|(_, target)| target.floor.is_some());
    let floors = floors.map(|(name, _)| name.clone()).collect();
    Declared::new(agent, file).map(|_| floors)
}

fn report(errors: &[String], warnings: &[String], json: bool) -> Result<ExitCode, Failure> {
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
