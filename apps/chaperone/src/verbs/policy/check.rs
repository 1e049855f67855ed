//! `chaperone policy check`.

use std::path::PathBuf;
use std::process::ExitCode;

use chaperone_policy::{Expectations, PolicySet};
use serde_json::json;

use super::setting::Place;
use crate::verbs::{Failure, remark, say_json};

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
        let (mut errors, mut warnings, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        match PolicySet::load(&folder.set, &setting.known) {
            Err(found) => errors.extend(found.iter().map(ToString::to_string)),
            Ok((set, found)) => {
                warnings.extend(found.iter().map(ToString::to_string));
                let names = set.names();
                let unregistered = names.clients.iter().filter(|name| set.clients().get(name).is_none());
                warnings.extend(unregistered.map(|name| {
                    format!("client `{name}` is not registered (hint: `[clients.{name}]` in gateway.toml)")
                }));
                groups.extend(names.groups);
            }
        }
        if let Some(Err(found)) = folder.tests.as_ref().map(Expectations::parse) {
            errors.extend(found.iter().map(ToString::to_string));
        }
        if self.json {
            say_json(&json!({ "errors": errors, "warnings": warnings, "unverifiable_groups": groups }))?;
        } else {
            errors.iter().for_each(|error| remark(&format!("error: {error}")));
            warnings.iter().for_each(|warning| remark(&format!("warning: {warning}")));
            if !groups.is_empty() {
                remark(&format!("note: only issuers know whether these groups exist: {}", groups.join(", ")));
            }
            if errors.is_empty() {
                remark("the policies can be loaded");
            }
        }
        Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }
}
