//! `chaperone policy show`.

use std::process::ExitCode;

use chaperone_api::PolicyTextView;

use crate::verbs::{Failure, Installation, block_on, say, say_json};
use crate::wiring::ask::Ask;

/// `chaperone policy show`
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Digest of a set that is or was in force, as records name it
    digest: String,
    #[command(flatten)]
    installation: Installation,
}

impl Show {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if !self.digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Failure::Usage(format!(
                "`{}` is no digest (hint: `chaperone policy list` has them)",
                self.digest
            )));
        }
        let ask = Ask::new(&self.installation.config)?;
        let path = format!("/policies/{}", self.digest.to_ascii_lowercase());
        let set: PolicyTextView = block_on(ask.get(&path))?;
        if self.installation.json {
            say_json(&set)?;
            return Ok(ExitCode::SUCCESS);
        }
        for (name, text) in &set.files {
            say(&format!("// {name}\n{}", text.trim_end()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
