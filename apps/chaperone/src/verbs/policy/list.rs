//! `chaperone policy list`.

use std::process::ExitCode;

use chaperone_api::{Page, PolicySetView};

use crate::verbs::{Failure, Installation, block_on, clock, say_json, table};
use crate::wiring::ask::Ask;

/// `chaperone policy list`
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    installation: Installation,
}

impl List {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let ask = Ask::new(&self.installation.config)?;
        let mut sets = block_on(every(&ask))?;
        sets.sort_by_key(|set| std::cmp::Reverse(set.kept_at));
        if self.installation.json {
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

/// Every page.
async fn every(ask: &Ask) -> Result<Vec<PolicySetView>, Failure> {
    let (mut sets, mut path) = (Vec::new(), "/policies?limit=1000".to_owned());
    loop {
        let page: Page<PolicySetView> = ask.get(&path).await?;
        sets.extend(page.items);
        let Some(next) = page.next else { return Ok(sets) };
        path = format!("/policies?limit=1000&after={next}");
    }
}
