//! `chaperone trail verify|tail|key`.

use std::path::PathBuf;
use std::process::ExitCode;

use chaperone_trail::{Entry, Follower};
use clap::Subcommand;

use super::{Failure, clock, heard, remark, say, say_json};
use crate::config::{self, beside, gateway::GatewayConfig};
use crate::wiring::installation::log_keys;

/// How often a trail that is followed is looked at.
const GLANCE: std::time::Duration = std::time::Duration::from_millis(200);

/// `chaperone trail`
#[derive(Debug, Subcommand)]
pub(crate) enum Trail {
    /// Verify a trail from its files alone: signature, tree, tiles, entries, sessions, tallies, sealed objects. Exits
    /// with 1 where anything is wrong
    Verify(Verify),
    /// Print the last entries
    Tail(Tail),
    /// Print the verifier key of this gateway's log; give it to whoever verifies, by another way than the trail. One that
    /// was given before the log key was rotated stays good
    Key(Where),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Where {
    /// The gateway's configuration file
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "CHAPERONE_CONFIG")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    place: Where,
    /// The trail's folder, where there is no configuration
    #[arg(long, value_name = "DIR", requires = "key")]
    trail: Option<PathBuf>,
    /// A verifier key of the log, as `chaperone trail key` prints it: the newest or one before it, or several
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    place: Where,
    /// How many
    #[arg(short = 'n', long, default_value_t = 20)]
    lines: usize,
    /// Go on with what comes, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// The trail's folder, where there is no configuration
    #[arg(long, value_name = "DIR")]
    trail: Option<PathBuf>,
}

impl Where {
    fn folder(&self) -> Result<PathBuf, Failure> {
        let config: GatewayConfig = config::load(&self.config)?;
        Ok(beside(&self.config, &config.data).join("trail"))
    }

    fn verifier_key(&self) -> Result<String, Failure> {
        let config: GatewayConfig = config::load(&self.config)?;
        // One that waits for the gateway's next start has signed nothing yet.
        let keys = log_keys(&beside(&self.config, &config.keys), &config.name)?;
        Ok(keys.iter().next().unwrap_or(keys.last()).verifier_key())
    }
}

impl Trail {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Verify(verify) => verify.run(),
            Self::Tail(tail) => tail.run(),
            Self::Key(place) => {
                let key = place.verifier_key()?;
                if place.json {
                    say_json(&serde_json::json!({ "key": key }))?
                } else {
                    say(&key)?
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Verify {
    fn run(self) -> Result<ExitCode, Failure> {
        let key = match self.key.as_slice() {
            [] => self.place.verifier_key()?,
            given => given.join("\n"),
        };
        let folder = match self.trail {
            Some(folder) => folder,
            None => self.place.folder()?,
        };
        let mut told = 0;
        let report = chaperone_trail::verify(&folder, &key, |done| {
            if done >= told + 100_000 {
                told = done;
                remark(&format!("{done} entries verified"));
            }
        });
        if self.place.json {
            say_json(&report)?;
        } else {
            for finding in &report.findings {
                let entry = finding.entry.map(|entry| format!("entry {entry}: ")).unwrap_or_default();
                say(&format!("WRONG  {entry}{}", finding.what))?;
            }
            if report.successions > 0 {
                let times = report.successions;
                say(&format!("the log key was rotated {times} times, each time under the one before"))?;
            }
            say(&format!(
                "{} entries of {} under the signed checkpoint (root {}), {} more not signed yet\n\
                 {} sessions ({} in no count of their agent), {} agents' tallies, {} of their counts and {} sealed objects \
                 checked: {}",
                report.size,
                report.origin,
                report.root,
                report.unsigned,
                report.sessions,
                report.uncounted,
                report.tallies,
                report.totals,
                report.objects,
                if report.is_clean() { "everything holds" } else { "NOT everything holds" }
            ))?;
        }
        Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Tail {
    fn run(self) -> Result<ExitCode, Failure> {
        let folder = match &self.trail {
            Some(folder) => folder.clone(),
            None => self.place.folder()?,
        };
        let mut follower = Follower::new(&folder);
        let mut last = std::collections::VecDeque::new();
        let read = follower.read(|entry| {
            last.push_back(entry);
            if last.len() > self.lines {
                last.pop_front();
            }
        });
        read.map_err(Failure::failed)?;
        loop {
            for entry in last.drain(..) {
                if !self.print(&entry)? {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            if !self.follow {
                return Ok(ExitCode::SUCCESS);
            }
            std::thread::sleep(GLANCE);
            follower.read(|entry| last.push_back(entry)).map_err(Failure::failed)?;
        }
    }

    /// `false` where nobody reads any more.
    fn print(&self, entry: &Entry) -> Result<bool, Failure> {
        let bytes = entry.to_bytes().map_err(Failure::failed)?;
        let text = String::from_utf8_lossy(&bytes);
        if self.place.json {
            return heard(&text);
        }
        heard(&format!("{:>8}  {}  {}  {text}", entry.seq, clock(entry.at), entry.body.kind().as_str()))
    }
}
