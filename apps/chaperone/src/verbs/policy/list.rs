//! `chaperone policy list`.

use std::process::ExitCode;

use chaperone_api::PolicySetView;

use crate::verbs::reach::Reach;
use crate::verbs::{Failure, block_on, clock, say_json, table};

/// `chaperone policy list`
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    reach: Reach,
}

impl List {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let ask = block_on(self.reach.ask())?;
        let mut sets: Vec<PolicySetView> = block_on(ask.list("/policies", usize::MAX))?;
        sets.sort_by_key(|set| std::cmp::Reverse(set.kept_at));
        if self.reach.json {
            say_json(&sets)?;
            return Ok(ExitCode::SUCCESS);
        }
        let row = |set: PolicySetView| {
            let state = if set.in_force { "in force" } else { "" };
            vec![set.digest, clock(set.kept_at), state.to_owned()]
        };
        table(&["digest", "kept since", ""], sets.into_iter().map(row).collect())?;
        Ok(ExitCode::SUCCESS)
    }
}
