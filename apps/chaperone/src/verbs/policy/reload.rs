//! `chaperone policy reload`.

use std::process::ExitCode;

use chaperone_api::ReloadView;
use serde_json::json;

use crate::verbs::{Failure, Installation, block_on, remark, say_json};
use crate::wiring::ask::Ask;

/// `chaperone policy reload`
#[derive(Debug, clap::Args)]
pub(crate) struct Reload {
    #[command(flatten)]
    installation: Installation,
}

impl Reload {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let ask = Ask::new(&self.installation.config)?;
        let loaded: ReloadView = block_on(ask.post("/policies/reload", &json!({})))?;
        if self.installation.json {
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
