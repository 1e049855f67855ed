//! `chaperone policy check`.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::setting::Place;
use crate::verbs::{Failure, remark, say_json};
use crate::wiring::policies::{Checked, checked};

/// `chaperone policy check`
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The policy folder; the configuration's where it is left out
    folder: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let (folder, setting) = self.place.folder(self.folder.as_deref())?;
        let Checked { errors, warnings, groups } =
            checked(&folder.set, folder.tests.as_ref(), &setting.known);
        if self.json {
            say_json(&json!({ "errors": errors, "warnings": warnings, "unverifiable_groups": groups }))?;
        } else {
            errors.iter().for_each(|error| remark(&format!("error: {error}")));
            warnings.iter().for_each(|warning| remark(&format!("warning: {warning}")));
            if !groups.is_empty() {
                remark(&format!(
                    "note: only issuers know whether these groups exist: {}",
                    groups.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
                ));
            }
            if errors.is_empty() {
                remark("the policies can be loaded");
            }
        }
        Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }
}
