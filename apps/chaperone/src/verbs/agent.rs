//! `chaperone agent`: run one, and say who may be one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chaperone_access::{AgentName, TargetName};
use chaperone_api::{AgentView, LockRequest, RemoveAgent, TokenRequest, TokenView};
use clap::Subcommand;

use super::credential::duration_s;
use super::reach::Reach;
use super::{Failure, block_on, remark, say, say_json, table};
use crate::wiring;

/// `chaperone agent`
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Agent {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The agent's configuration file
    #[arg(long, value_name = "FILE", default_value = "agent.toml", env = "CHAPERONE_AGENT_CONFIG")]
    config: PathBuf,
    /// Enrol with the one-time token in this file before serving
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Log as JSON, a line an event
    #[arg(long)]
    log_json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// One-time tokens that enrol agents (on the gateway's machine)
    #[command(subcommand)]
    Token(Token),
    /// List the agents that were enrolled, and whether they are linked (on the gateway's machine)
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// Serve an agent's identity no more and cut its link at once; a new token enrols it again
    Lock {
        #[command(flatten)]
        reach: Reach,
        /// The agent
        agent: AgentName,
        /// Why, for the record
        #[arg(long)]
        reason: String,
    },
    /// Forget an agent with its tokens, and cut its link at once; a new token enrols it afresh
    Remove {
        #[command(flatten)]
        reach: Reach,
        /// The agent
        agent: AgentName,
        /// Why, for the record
        #[arg(long)]
        reason: String,
    },
}

impl Verb {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Token(Token::Create { reach, agent, targets, ttl }) => {
                create(&reach, TokenRequest { agent, targets, ttl_s: ttl })
            }
            Self::List { reach } => list(&reach),
            Self::Lock { reach, agent, reason } => lock(&reach, &agent, reason),
            Self::Remove { reach, agent, reason } => remove(&reach, &agent, reason),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Token {
    /// Print a token that enrols one agent, once
    Create {
        #[command(flatten)]
        reach: Reach,
        /// The agent, as `name` in its agent.toml
        agent: AgentName,
        /// A target that it may serve; may be given several times
        #[arg(long = "target", value_name = "TARGET", required = true)]
        targets: Vec<TargetName>,
        /// How long the token is valid: a number with s, m or h, at most 24h
        #[arg(long, default_value = "1h", value_parser = duration_s)]
        ttl: u64,
    },
}

impl Agent {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self.verb {
            None => {
                let runtime = super::serving(self.log_json)?;
                runtime.block_on(wiring::agent::run(&self.config, self.token_file.as_deref()))?;
            }
            Some(verb) => verb.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn lock(reach: &Reach, agent: &AgentName, reason: String) -> Result<(), Failure> {
    let ask = block_on(reach.ask())?;
    let view: AgentView = block_on(ask.post(&format!("/agents/{agent}/lock"), &LockRequest { reason }))?;
    if reach.json {
        return say_json(&view);
    }
    remark(&format!("agent `{agent}` is locked; its link is cut"));
    Ok(())
}

fn remove(reach: &Reach, agent: &AgentName, reason: String) -> Result<(), Failure> {
    let ask = block_on(reach.ask())?;
    let view: AgentView = block_on(ask.delete(&format!("/agents/{agent}"), &RemoveAgent { reason }))?;
    if reach.json {
        return say_json(&view);
    }
    remark(&format!("agent `{agent}` is no agent here any more; its link is cut"));
    Ok(())
}

fn create(reach: &Reach, request: TokenRequest) -> Result<(), Failure> {
    let ask = block_on(reach.ask())?;
    let token: TokenView = block_on(ask.post("/agents/tokens", &request))?;
    if reach.json {
        return say_json(&token);
    }
    remark(&format!(
        "a token for agent `{}`, good once within {:?}; put it into a file on the agent's machine and start \
         `chaperone agent --config agent.toml --token-file FILE`:",
        request.agent,
        Duration::from_secs(request.ttl_s)
    ));
    say(&token.token)
}

fn list(reach: &Reach) -> Result<(), Failure> {
    let ask = block_on(reach.ask())?;
    let agents: Vec<AgentView> = block_on(ask.list("/agents", usize::MAX))?;
    if reach.json {
        return say_json(&agents);
    }
    let row = |agent: AgentView| {
        let state = match (&agent.locked, agent.linked) {
            (Some(reason), _) => format!("locked: {reason}"),
            (None, true) => "linked".to_owned(),
            (None, false) => "not linked".to_owned(),
        };
        let targets: Vec<&str> = agent.targets.iter().map(TargetName::as_str).collect();
        vec![
            agent.agent.to_string(),
            state,
            targets.join(", "),
            agent.streams.to_string(),
            agent.generation.to_string(),
        ]
    };
    let rows = agents.into_iter().map(row).collect();
    table(&["agent", "state", "targets", "streams", "generation"], rows)
}
