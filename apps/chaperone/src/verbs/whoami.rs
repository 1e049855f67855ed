//! `chaperone whoami`.

use std::process::ExitCode;

use chaperone_access::Assurance;
use chaperone_api::{AssuranceView, WhoView};
use serde_json::Value;

use super::{Failure, block_on, clock, say, say_json};
use crate::person::fresh::InUse;

/// `chaperone whoami`
#[derive(Debug, clap::Args)]
pub(crate) struct Whoami {
    /// Which gateway, where you are logged in at several
    #[arg(long, value_name = "URL", env = "CHAPERONE_GATEWAY")]
    gateway: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Whoami {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let (who, gateway) = block_on(async {
            let login = InUse::open(self.gateway.as_deref()).await?;
            let who: WhoView = login.gateway.get("/whoami", login.token()).await?;
            Ok((who, login.kept.gateway))
        })?;
        if self.json {
            let mut shown = serde_json::to_value(&who).map_err(Failure::failed)?;
            if let Some(fields) = shown.as_object_mut() {
                fields.insert("gateway".to_owned(), Value::String(gateway));
            }
            say_json(&shown)?;
        } else {
            say(&human(&who, &gateway))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Who somebody is, in one line.
pub(super) fn line(who: &WhoView) -> String {
    let display = who.display.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    format!("{}{display}, groups: {}", who.subject, listed(who.groups.iter()))
}

fn listed<'a>(words: impl Iterator<Item = &'a String>) -> String {
    let words = words.map(String::as_str).collect::<Vec<_>>().join(", ");
    if words.is_empty() { "none".to_owned() } else { words }
}

fn strength(assurance: &AssuranceView) -> String {
    let acr = assurance.acr.as_ref().map(|acr| format!("{acr}, ")).unwrap_or_default();
    let methods = listed(assurance.amr.iter());
    let at = match assurance.at {
        Assurance::AT_UNKNOWN => "a time that the issuer does not say".to_owned(),
        at => clock(at.saturating_mul(1_000_000)),
    };
    format!("{acr}methods: {methods}, at {at}")
}

fn human(who: &WhoView, gateway: &str) -> String {
    let mut rows = vec![("gateway", gateway.to_owned()), ("subject", who.subject.clone())];
    rows.extend(who.display.clone().map(|name| ("name", name)));
    rows.push(("groups", listed(who.groups.iter())));
    rows.extend(who.attributes.iter().map(|(name, value)| ("attribute", format!("{name} = {value}"))));
    rows.extend(who.assurance.as_ref().map(|assurance| ("authenticated", strength(assurance))));
    rows.extend(who.checked_at.map(|at| ("confirmed", clock(at.saturating_mul(1_000_000)))));
    rows.extend(who.not_after.map(|at| ("ends", clock(at.saturating_mul(1_000_000)))));
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect::<Vec<_>>().join("\n")
}
