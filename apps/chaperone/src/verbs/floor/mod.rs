//! `chaperone floor`: roles at the target whose grants leave out what policy shows by value to nobody who uses them, so
//! that a mistake in the rewriting meets the database's own refusal.

mod database;
mod plan;
mod standing;
mod verify;
mod views;

use std::path::PathBuf;
use std::process::ExitCode;

use chaperone_access::TargetName;
use clap::Subcommand;
use serde_json::json;

use super::policy::setting::Place;
use super::{Failure, remark, say, say_json};
use database::Database;
use plan::Plan;

/// `chaperone floor`
#[derive(Debug, Subcommand)]
pub(crate) enum Floor {
    /// Print SQL that makes the roles and grants of a target's logins what policies need and no more; safe to run again
    Plan(Asked),
    /// Run it with psql as the database's administrator, whom CHAPERONE_FLOOR_URL names, and verify
    Apply(Asked),
    /// Compare what the roles can do with the plan, as the administrator whom CHAPERONE_FLOOR_URL names; exit with 1 where
    /// something is missing or too much
    Verify(Asked),
}

/// Of which target, by which policies.
#[derive(Debug, clap::Args)]
pub(crate) struct Asked {
    /// The target; the only one, where one is configured
    target: Option<TargetName>,
    /// The policy folder; the configuration's where it is left out
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// The agent's configuration, which says whom its logins are at the database; the local agent's where it is left out
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Only for this login, as agent.toml calls it, or `default`; may be repeated
    #[arg(long = "login", value_name = "NAME")]
    logins: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Floor {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Plan(asked) => {
                let plan = asked.plan()?;
                let sql = plan.sql();
                if asked.json {
                    say_json(
                        &json!({ "target": plan.target, "logins": plan.logins, "views": plan.views, "notes": plan.notes, "sql": sql }),
                    )?;
                } else {
                    say(sql.trim_end())?;
                }
                Ok(ExitCode::SUCCESS)
            }
            Self::Apply(asked) => {
                let (plan, database) = (asked.plan()?, Database::from_environment()?);
                database.run(&plan.sql())?;
                remark("the plan was run");
                // Made again: the gateway, asked for its catalog, sees what is there now.
                asked.verified(&asked.plan()?, &database)
            }
            Self::Verify(asked) => {
                let (plan, database) = (asked.plan()?, Database::from_environment()?);
                asked.verified(&plan, &database)
            }
        }
    }
}

impl Asked {
    fn plan(&self) -> Result<Plan, Failure> {
        let (folder, setting) = self.place.folder(self.folder.as_deref())?;
        let (set, _) = setting.set(&folder.set)?;
        let target = setting.target(self.target.clone())?;
        Plan::make(&set, &setting, &target, self.agent.as_deref(), &self.logins)
    }

    fn verified(&self, plan: &Plan, database: &Database) -> Result<ExitCode, Failure> {
        let found = database.rights(plan.logins.iter().map(|login| login.user.as_str()))?;
        let mut differences = verify::compare(plan, &found);
        if !plan.views.is_empty() {
            differences.extend(database.standing(plan)?.compare(plan));
            differences.sort();
        }
        if self.json {
            say_json(&json!({ "target": plan.target, "differences": differences, "notes": plan.notes }))?;
        } else {
            for difference in &differences {
                say(&difference.to_string())?;
            }
            plan.notes.iter().for_each(|note| remark(&format!("note: {note}")));
            if differences.is_empty() {
                remark(&format!("the floor of {} logins is as planned", plan.logins.len()));
            }
        }
        Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}
