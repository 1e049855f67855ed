//! `chaperone policy test`.

use std::path::PathBuf;
use std::process::ExitCode;

use chaperone_policy::{Expectations, Outcome, TESTS_FILE};
use serde_json::json;

use super::setting::Place;
use crate::verbs::{Failure, remark, say, say_json};
use crate::wiring::installation::now_us;
use crate::wiring::policies::lines;

/// `chaperone policy test`
#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// The policy folder; the configuration's where it is left out
    folder: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Test {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let (folder, setting) = self.place.folder(self.folder.as_deref())?;
        let Some(file) = &folder.tests else {
            let hint = "hint: docs/how-to/test-a-policy.md shows how to write one";
            return Err(Failure::Usage(format!("the policy folder has no `{TESTS_FILE}` ({hint})")));
        };
        let expectations = Expectations::parse(file).map_err(|errors| Failure::Usage(lines(&errors)))?;
        if expectations.is_empty() {
            return Err(Failure::Usage(format!("`{TESTS_FILE}` expects nothing")));
        }
        let (set, _) = setting.set(&folder.set)?;
        let world = setting.world(&[&set]);
        let unmet = expectations.unmet(&set, &world, now_us(), |target, sql| setting.analyse(target, sql));
        if self.json {
            say_json(&json!({ "expectations": expectations.len(), "unmet": unmet }))?;
        } else {
            for one in &unmet {
                let found = one.found.map_or("nothing could be asked", Outcome::as_str);
                let (line, name, expected) = (one.line, &one.name, one.expected.as_str());
                say(&format!("{TESTS_FILE}:{line}: {name}: expected {expected}, found {found}"))?;
                for because in &one.because {
                    say(&format!("    {because}"))?;
                }
            }
            remark(&format!(
                "{} of {} expectations hold",
                expectations.len() - unmet.len(),
                expectations.len()
            ));
        }
        Ok(if unmet.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}
