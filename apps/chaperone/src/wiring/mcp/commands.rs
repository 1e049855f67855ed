//! The tools of a target of declared commands: each command that the caller may run is one.

use std::collections::BTreeMap;
use std::sync::Arc;

use chaperone_access::{TargetName, no_command};
use chaperone_command::declare::Command;
use chaperone_mcp::{Answer, Asked, OwnTool, Tools};
use chaperone_wire::{ExitBy, Printed};
use serde_json::{Map, json};

use super::tools::told;
use super::{Mcp, Shower};
use crate::wiring::commands::{Asking, Finish, Piece, Unanswered};

/// Bytes of output in one answer: what a model still reads. The rest is on record.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Longest name that a client may give itself, in characters.
const APPLICATION_CHARS_MAX: usize = 30;

/// The commands of one caller at one target.
#[derive(Clone)]
pub(super) struct OfCommands(Arc<Inner>);

struct Inner {
    mcp: Arc<Mcp>,
    shower: Shower,
    target: TargetName,
    commands: BTreeMap<String, Command>,
}

fn asking(shower: &Shower, application: Option<String>) -> Asking {
    Asking {
        who: shower.bearer.who.clone(),
        standing: shower.bearer.standing.clone(),
        not_after: shower.bearer.not_after,
        client: shower.client.clone(),
        oauth_client: shower.bearer.oauth_client.clone(),
        purpose: shower.purpose.clone(),
        application,
        source: shower.source,
    }
}

impl OfCommands {
    pub(super) async fn new(mcp: Arc<Mcp>, shower: Shower, target: TargetName) -> Result<Self, Unanswered> {
        let commands = mcp.managed.commands.permitted(&asking(&shower, None), &target).await?;
        Ok(Self(Arc::new(Inner { mcp, shower, target, commands })))
    }

    async fn ran(&self, asked: &Asked) -> Result<Answer, Unanswered> {
        let Inner { mcp, shower, target, .. } = &*self.0;
        let short = |name: &String| -> String {
            name.chars().filter(|char| !char.is_control()).take(APPLICATION_CHARS_MAX).collect()
        };
        let asking = asking(shower, asked.application.as_ref().map(short));
        let empty = Map::new();
        let arguments = asked.arguments.as_object().unwrap_or(&empty);
        let mut running = mcp.managed.commands.begin(&asking, target, &asked.tool, arguments).await?;
        let call = running.id();
        let mut output = Output::default();
        let finish = loop {
            match running.hear().await {
                Piece::Printed(printed, text) => output.take(printed, &text),
                Piece::Finish(finish) => break finish,
            }
        };
        Ok(match running.end(finish).await {
            Finish::Refused(refusal) => told(&refusal),
            Finish::Unknown(refusal) => Answer::unknown(&refusal.message, Some(refusal.code.as_str())),
            Finish::Ended(ended) => {
                let fine = ended.code == Some(0) && ended.by == ExitBy::Itself.as_str();
                let content = json!({
                    "call": call.to_string(),
                    "exit_code": ended.code,
                    "signal": ended.signal,
                    "ended_by": ended.by,
                    "stdout": output.out,
                    "stderr": output.err,
                    "truncated": output.truncated,
                    "masked": ended.masked,
                });
                if fine { Answer::structured(content) } else { Answer::structured_failure(content) }
            }
        })
    }
}

/// What an answer has room for.
#[derive(Default)]
struct Output {
    out: String,
    err: String,
    truncated: bool,
}

impl Output {
    fn take(&mut self, printed: Printed, text: &str) {
        let left = ANSWER_BYTES_MAX.saturating_sub(self.out.len() + self.err.len());
        let mut cut = left.min(text.len());
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        let to = match printed {
            Printed::Out => &mut self.out,
            Printed::Err => &mut self.err,
        };
        to.push_str(text.get(..cut).unwrap_or_default());
        self.truncated |= cut < text.len();
    }
}

impl Tools for OfCommands {
    fn offered(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn own(&self) -> Option<Vec<OwnTool>> {
        let tool = |(name, command): (&String, &Command)| OwnTool {
            name: name.clone(),
            description: command.description.clone(),
            reads: command.reads_only,
            input: command.schema(),
        };
        Some(self.0.commands.iter().map(tool).collect())
    }

    fn instructions(&self) -> String {
        format!(
            "Commands declared for `{}`, behind a gateway that judges and records every call under your own identity. There is \
             no shell. What is replaced by a tag such as `[phi.ssn]` in their output is so on purpose.",
            self.0.target
        )
    }

    async fn call(&self, asked: Asked) -> Answer {
        match self.ran(&asked).await {
            Ok(answer) => answer,
            Err(Unanswered::NotIn(_)) => told(&no_command(&self.0.target, &asked.tool)),
            Err(Unanswered::Refused(refusal)) => told(&refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_between_characters() {
        let mut output = Output::default();
        output.take(Printed::Out, &"x".repeat(ANSWER_BYTES_MAX - 1));
        assert!(!output.truncated);
        output.take(Printed::Err, "é");
        assert!(output.truncated && output.err.is_empty());
        output.take(Printed::Err, "e");
        assert_eq!(output.err, "e");
    }
}
