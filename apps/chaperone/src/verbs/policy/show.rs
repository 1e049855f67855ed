//! `chaperone policy show`.

use std::process::ExitCode;

use chaperone_api::PolicyTextView;

use crate::verbs::reach::Reach;
use crate::verbs::{Failure, block_on, say, say_json};

/// `chaperone policy show`
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Digest of a set that is or was in force, as records name it
    digest: String,
    #[command(flatten)]
    reach: Reach,
}

impl Show {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if !self.digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Failure::Usage(format!(
                "`{}` is no digest (hint: `chaperone policy list` has them)",
                self.digest
            )));
        }
        let ask = block_on(self.reach.ask())?;
        let path = format!("/policies/{}", self.digest.to_ascii_lowercase());
        let set: PolicyTextView = block_on(ask.get(&path))?;
        if self.reach.json {
            say_json(&set)?;
            return Ok(ExitCode::SUCCESS);
        }
        for (name, text) in &set.files {
            say(&format!("// {name}\n{}", text.trim_end()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
