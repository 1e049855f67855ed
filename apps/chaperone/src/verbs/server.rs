//! `chaperone server`.

use std::process::ExitCode;

use chaperone_access::TargetName;
use chaperone_api::{AcceptTool, ServerView};
use clap::Subcommand;

use super::reach::Reach;
use super::{Failure, block_on, remark, say, say_json, table};

/// `chaperone server`
#[derive(Debug, Subcommand)]
pub(crate) enum Server {
    /// Show the tools of a server: what was accepted, and what waits
    Show {
        /// Which server
        name: TargetName,
        #[command(flatten)]
        reach: Reach,
    },
    /// Accept a tool as the server describes it now
    Accept {
        /// Which server
        name: TargetName,
        /// Which of its tools
        tool: String,
        /// The digest that `chaperone server show` names as held: what was looked at, and nothing newer
        #[arg(long)]
        digest: String,
        #[command(flatten)]
        reach: Reach,
    },
}

impl Server {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Show { name, reach } => show(&name, &reach)?,
            Self::Accept { name, tool, digest, reach } => {
                let ask = block_on(reach.ask())?;
                let request = AcceptTool { tool, digest };
                let view: ServerView = block_on(ask.post(&format!("/servers/{name}/accept"), &request))?;
                if reach.json {
                    say_json(&view)?;
                } else {
                    remark(&format!("`{}` of server `{name}` is accepted as it is now", request.tool));
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(name: &TargetName, reach: &Reach) -> Result<(), Failure> {
    let ask = block_on(reach.ask())?;
    let view: ServerView = block_on(ask.get(&format!("/servers/{name}")))?;
    if reach.json {
        return say_json(&view);
    }
    if let Some(owner) = &view.owner {
        let under =
            view.agreement.as_ref().map(|agreement| format!(" under {agreement}")).unwrap_or_default();
        let to =
            view.recipient.as_ref().map(|name| format!(", rows go to {name}{under}")).unwrap_or_default();
        say(&format!("{owner} answers for {name}{to}\n"))?;
    }
    let rows = view.tools.iter().map(|tool| {
        let word = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "-".to_owned());
        vec![tool.tool.clone(), word(&tool.accepted), word(&tool.held)]
    });
    table(&["tool", "accepted", "held"], rows.collect())?;
    for tool in view.tools.iter().filter(|tool| tool.held.is_some()) {
        say(&format!(
            "\n{} as it is described now:\n{}",
            tool.tool,
            tool.manifest.as_deref().unwrap_or("-")
        ))?;
    }
    Ok(())
}
