//! `chaperone sessions`.

use std::process::ExitCode;

use chaperone_api::{LiveSession, SessionView};

use super::reach::Reach;
use super::{Failure, block_on, clock, say_json, table};

/// `chaperone sessions`
#[derive(Debug, clap::Args)]
pub(crate) struct Sessions {
    #[command(flatten)]
    reach: Reach,
    /// Only those that are open, as the gateway sees them now
    #[arg(long)]
    live: bool,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

impl Sessions {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let ask = block_on(self.reach.ask())?;
        if self.live {
            let sessions: Vec<LiveSession> = block_on(ask.list("/sessions/live", self.limit))?;
            if self.reach.json {
                say_json(&sessions)?;
                return Ok(ExitCode::SUCCESS);
            }
            let rows = sessions
                .into_iter()
                .map(|s| {
                    vec![s.session.to_string(), clock(s.opened_at), s.subject, s.target.to_string(), s.source]
                })
                .collect();
            table(&["session", "opened", "who", "target", "from"], rows)?;
            return Ok(ExitCode::SUCCESS);
        }
        let sessions: Vec<SessionView> = block_on(ask.list("/sessions", self.limit))?;
        if self.reach.json {
            say_json(&sessions)?;
            return Ok(ExitCode::SUCCESS);
        }
        let rows = sessions
            .into_iter()
            .map(|s| {
                let who = who(&s.delegation);
                let counts = [s.operations, s.refused, s.rows].map(|count| count.to_string());
                let [operations, refused, rows] = counts;
                vec![
                    s.session.to_string(),
                    clock(s.opened_at),
                    who,
                    s.target,
                    s.state,
                    operations,
                    refused,
                    rows,
                ]
            })
            .collect();
        table(&["session", "opened", "who", "target", "state", "operations", "refused", "rows"], rows)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Subject and client of a recorded delegation, and the server that had the subject's token exchanged.
pub(crate) fn who(delegation: &serde_json::Value) -> String {
    let text = |pointer: &str| delegation.pointer(pointer).and_then(serde_json::Value::as_str);
    let subject =
        format!("{}/{}", text("/subject/issuer").unwrap_or("?"), text("/subject/sub").unwrap_or("?"));
    let mut words = text("/client").map_or(subject.clone(), |client| format!("{subject} via {client}"));
    if text("/attribution") == Some("exchanged") {
        words.push_str(&format!(" through {} (exchanged)", text("/server/name").unwrap_or("?")));
    }
    words
}
