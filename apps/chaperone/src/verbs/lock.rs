//! `chaperone lock`.

use std::process::ExitCode;

use chaperone_access::TargetName;
use chaperone_api::{LockKind, LockView, PlaceLock};
use clap::Subcommand;

use super::reach::Reach;
use super::{Failure, block_on, clock, remark, say_json, table};
use crate::wiring::ask::encoded;

/// `chaperone lock`
#[derive(Debug, Subcommand)]
pub(crate) enum Lock {
    /// Lock a person or service out everywhere
    Subject {
        /// Who, as policies name it: `issuer/subject`
        name: String,
        #[command(flatten)]
        placing: Placing,
    },
    /// Lock a target for everybody
    Target {
        /// Which target
        name: TargetName,
        #[command(flatten)]
        placing: Placing,
    },
    /// Lock the software that acts for people, whoever they are
    Client {
        /// Which client
        name: String,
        #[command(flatten)]
        placing: Placing,
    },
    /// List the locks in force
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// Lift a lock
    Lift {
        /// Its id, as `chaperone lock list` shows it
        lock: String,
        #[command(flatten)]
        reach: Reach,
    },
}

/// What every lock needs.
#[derive(Debug, clap::Args)]
pub(crate) struct Placing {
    #[command(flatten)]
    reach: Reach,
    /// Why: for the record and for administrators
    #[arg(long)]
    reason: String,
}

impl Lock {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Subject { name, placing } => placing.place(LockKind::Subject, name)?,
            Self::Target { name, placing } => placing.place(LockKind::Target, name.to_string())?,
            Self::Client { name, placing } => placing.place(LockKind::Client, name)?,
            Self::List { reach } => list(&reach)?,
            Self::Lift { lock, reach } => lift(&reach, &lock)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn word(kind: LockKind) -> &'static str {
    match kind {
        LockKind::Subject => "subject",
        LockKind::Target => "target",
        LockKind::Client => "client",
    }
}

impl Placing {
    fn place(self, on: LockKind, name: String) -> Result<(), Failure> {
        let ask = block_on(self.reach.ask())?;
        let request = PlaceLock { on, name, reason: self.reason };
        let lock: LockView = block_on(ask.post("/locks", &request))?;
        if self.reach.json {
            return say_json(&lock);
        }
        remark(&format!(
            "{} `{}` is locked, open sessions included; `chaperone lock lift {}` lifts it",
            word(lock.on),
            lock.name,
            lock.lock
        ));
        Ok(())
    }
}

fn list(reach: &Reach) -> Result<(), Failure> {
    let ask = block_on(reach.ask())?;
    let locks: Vec<LockView> = block_on(ask.list("/locks", usize::MAX))?;
    if reach.json {
        return say_json(&locks);
    }
    let row = |lock: LockView| {
        vec![lock.lock, word(lock.on).to_owned(), lock.name, lock.reason, lock.by, clock(lock.at)]
    };
    table(&["lock", "on", "name", "reason", "by", "since"], locks.into_iter().map(row).collect())
}

fn lift(reach: &Reach, id: &str) -> Result<(), Failure> {
    let ask = block_on(reach.ask())?;
    let lifted: LockView = block_on(ask.delete(&format!("/locks/{}", encoded(id)), &serde_json::json!({})))?;
    if reach.json {
        return say_json(&lifted);
    }
    remark(&format!("the lock on {} `{}` is lifted", word(lifted.on), lifted.name));
    Ok(())
}
