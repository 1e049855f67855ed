//! `chaperone policy reload`.

use std::process::ExitCode;

use chaperone_api::ReloadView;
use serde_json::json;

use crate::verbs::reach::Reach;
use crate::verbs::{Failure, block_on, remark, say_json};

/// `chaperone policy reload`
#[derive(Debug, clap::Args)]
pub(crate) struct Reload {
    #[command(flatten)]
    reach: Reach,
}

impl Reload {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let ask = block_on(self.reach.ask())?;
        let loaded: ReloadView = block_on(ask.post("/policies/reload", &json!({})))?;
        if self.reach.json {
            say_json(&loaded)?;
            return Ok(ExitCode::SUCCESS);
        }
        loaded.warnings.iter().for_each(|warning| remark(&format!("warning: {warning}")));
        let ReloadView { digest, previous, policies, .. } = &loaded;
        let was = if digest == previous { "as before".to_owned() } else { format!("before it: {previous}") };
        remark(&format!("{policies} policies are in force under {digest} ({was})"));
        Ok(ExitCode::SUCCESS)
    }
}
