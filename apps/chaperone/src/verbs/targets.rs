//! `chaperone targets`.

use std::process::ExitCode;

use chaperone_api::TargetView;

use super::reach::Reach;
use super::{Failure, block_on, say_json, table};

/// `chaperone targets`
#[derive(Debug, clap::Args)]
pub(crate) struct Targets {
    #[command(flatten)]
    reach: Reach,
}

impl Targets {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let ask = block_on(self.reach.ask())?;
        let targets: Vec<TargetView> = block_on(ask.list("/targets", usize::MAX))?;
        if self.reach.json {
            say_json(&targets)?;
            return Ok(ExitCode::SUCCESS);
        }
        let rows = targets
            .into_iter()
            .map(|target| {
                let relations = target.relations.map_or_else(|| "not read yet".to_owned(), |n| n.to_string());
                let agents =
                    if target.agents.is_empty() { "none".to_owned() } else { target.agents.join(", ") };
                vec![target.name.to_string(), target.protocol, agents, relations]
            })
            .collect();
        table(&["target", "protocol", "agents", "relations"], rows)?;
        Ok(ExitCode::SUCCESS)
    }
}
