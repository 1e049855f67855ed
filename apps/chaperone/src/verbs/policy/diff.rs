//! `chaperone policy diff`.

use std::process::ExitCode;

use chaperone_policy::{Change, LimitChange};

use super::setting::Place;
use crate::verbs::{Failure, remark, say, say_json};
use crate::wiring::installation::now_us;

/// `chaperone policy diff`
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The set before: a folder, or the digest of a set that was in force
    old: String,
    /// The set after: likewise
    new: String,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let ([old, new], setting) = self.place.pair([&self.old, &self.new])?;
        let world = setting.world(&[&old, &new]);
        let difference = chaperone_policy::compare(&old, &new, &world, &setting.current, now_us());
        if self.json {
            say_json(&difference)?;
            return Ok(ExitCode::SUCCESS);
        }
        for (word, changes) in [("gains", &difference.gains), ("loses", &difference.losses)] {
            for change in changes {
                say(&told(word, change))?;
            }
        }
        for change in &difference.limits {
            say(&limited(change))?;
        }
        if difference.is_empty() {
            remark("both sets give everybody the same");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn who(class: &str, client: Option<&String>, server: Option<&String>) -> String {
    let client = client.map(|client| format!(" via {client}")).unwrap_or_default();
    let server = server.map(|server| format!(" through {server}")).unwrap_or_default();
    format!("{class}{client}{server}")
}

fn told(word: &str, change: &Change) -> String {
    let who = who(&change.who, change.client.as_ref(), change.server.as_ref());
    let (action, on) = (&change.action, &change.on);
    let by = if change.policies.is_empty() { "no policy".to_owned() } else { change.policies.join(", ") };
    format!("{who} {word} {action} on {on}: {} -> {} by {by}", change.before.as_str(), change.after.as_str())
}

fn limited(change: &LimitChange) -> String {
    let value = |value: Option<u64>| value.map_or_else(|| "none".to_owned(), |value| value.to_string());
    format!(
        "{} at {}: limit {} {} -> {}",
        who(&change.who, change.client.as_ref(), None),
        change.target,
        change.limit,
        value(change.before),
        value(change.after)
    )
}
