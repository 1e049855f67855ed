//! `chaperone people`: who has logged in, and the end of that.

use std::process::ExitCode;

use chaperone_api::{DisableSubject, EnableSubject, LoginEntryView, PersonView};
use clap::Subcommand;

use super::reach::Reach;
use super::{Failure, block_on, clock, remark, say_json, table};
use crate::wiring::ask::encoded;

/// `chaperone people`
#[derive(Debug, Subcommand)]
pub(crate) enum People {
    /// List everybody who has logged in
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// List logins, until a day after their ends
    Logins {
        #[command(flatten)]
        reach: Reach,
    },
    /// End one login; its credentials are void and its sessions end
    EndLogin {
        /// Which login, as `chaperone people logins` shows it
        login: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Disable somebody: logins end, and services that the person owns stand still
    Disable {
        /// Who, as `issuer/subject`
        subject: String,
        /// Why, for the record
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Let somebody in again
    Enable {
        /// Who, as `issuer/subject`
        subject: String,
        #[command(flatten)]
        reach: Reach,
    },
}

fn at(seconds: u64) -> String {
    clock(seconds.saturating_mul(1_000_000))
}

impl People {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::List { reach } => list(&reach)?,
            Self::Logins { reach } => logins(&reach)?,
            Self::EndLogin { login, reach } => end(&reach, &login)?,
            Self::Disable { subject, reason, reach } => {
                let ask = block_on(reach.ask())?;
                let request = DisableSubject { subject, reason };
                let person = block_on(ask.post("/people/disable", &request))?;
                changed(&reach, &person, "disabled; logins end and sessions with them")?;
            }
            Self::Enable { subject, reach } => {
                let ask = block_on(reach.ask())?;
                let person = block_on(ask.post("/people/enable", &EnableSubject { subject }))?;
                changed(&reach, &person, "enabled, and has to log in again")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn changed(reach: &Reach, person: &PersonView, what: &str) -> Result<(), Failure> {
    if reach.json {
        return say_json(person);
    }
    remark(&format!("`{}` is {what}", person.subject));
    Ok(())
}

fn list(reach: &Reach) -> Result<(), Failure> {
    let ask = block_on(reach.ask())?;
    let people: Vec<PersonView> = block_on(ask.list("/people", usize::MAX))?;
    if reach.json {
        return say_json(&people);
    }
    let row = |person: PersonView| {
        let state = person.disabled.map(|why| format!("disabled by {}: {}", why.by, why.reason));
        vec![
            person.subject,
            person.kind,
            person.display.unwrap_or_default(),
            person.seen_at.map(at).unwrap_or_default(),
            state.unwrap_or_default(),
        ]
    };
    table(&["subject", "kind", "name", "last login", ""], people.into_iter().map(row).collect())
}

fn logins(reach: &Reach) -> Result<(), Failure> {
    let ask = block_on(reach.ask())?;
    let logins: Vec<LoginEntryView> = block_on(ask.list("/logins", usize::MAX))?;
    if reach.json {
        return say_json(&logins);
    }
    let row = |login: LoginEntryView| {
        let groups = login.groups.into_iter().collect::<Vec<_>>().join(", ");
        vec![login.login, login.subject, groups, at(login.made_at), at(login.checked_at), login.state]
    };
    let head = ["login", "subject", "groups", "since", "confirmed", "state"];
    table(&head, logins.into_iter().map(row).collect())
}

fn end(reach: &Reach, id: &str) -> Result<(), Failure> {
    let ask = block_on(reach.ask())?;
    let path = format!("/logins/{}", encoded(id));
    let ended: LoginEntryView = block_on(ask.delete(&path, &serde_json::json!({})))?;
    if reach.json {
        return say_json(&ended);
    }
    remark(&format!("login {} of `{}` is ended", ended.login, ended.subject));
    Ok(())
}
