//! `chaperone policy`: check, explain, test and compare policies where they are written. Everything about a
//! folder is worked out here; a running gateway is asked for its targets' catalogs, and for the sets in force.

mod check;
mod diff;
mod explain;
mod list;
mod matrix;
mod reload;
pub(crate) mod setting;
mod show;
mod test;

use std::process::ExitCode;

use clap::Subcommand;

use super::Failure;

/// `chaperone policy`
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Check a policy folder: syntax, types, and every name against configuration and catalogs
    Check(check::Check),
    /// Say what somebody may do at a target, by which policies, and what would change it
    Explain(Box<explain::Explain>),
    /// Ask the policies what tests.toml of their folder expects; exit with 1 where something comes out otherwise
    Test(test::Test),
    /// Print who may do what, by class of callers, as text that can be reviewed and compared
    Matrix(matrix::Matrix),
    /// Let the gateway read its policy folder again; a set with an error changes nothing
    Reload(reload::Reload),
    /// List the sets that are or were in force
    List(list::List),
    /// Print a set that is or was in force
    Show(show::Show),
    /// Say who gains and who loses what between two sets of policies
    Diff(diff::Diff),
}

impl Policy {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Check(verb) => verb.run(),
            Self::Explain(verb) => verb.run(),
            Self::Test(verb) => verb.run(),
            Self::Matrix(verb) => verb.run(),
            Self::Reload(verb) => verb.run(),
            Self::List(verb) => verb.run(),
            Self::Show(verb) => verb.run(),
            Self::Diff(verb) => verb.run(),
        }
    }
}
