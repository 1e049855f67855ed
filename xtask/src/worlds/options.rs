//! What was asked for on the command line.

use std::path::PathBuf;

use chaperone_tests::worlds::{Plan, Who};

use crate::failure::Failure;

/// Whose sessions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    Restricted,
    Unrestricted,
    /// The databases themselves: shows what there is to learn.
    Direct,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) plan: Plan,
    pub(crate) json: bool,
    pub(crate) against: Against,
    pub(crate) corpora: Vec<PathBuf>,
    pub(crate) only: Option<String>,
    pub(crate) generated: Option<u32>,
    pub(crate) seed: u32,
    pub(crate) report: Option<PathBuf>,
}

const KNOWN: &str = "--schema S.sql --world A.sql --world B.sql --classification C.toml --policy DIR, \
--restricted WHO, --group G (of the restricted one), --unrestricted WHO, --floor, --json, \
--corpus FILE, --only REGEX, --generated N, --seed S, --against restricted|unrestricted|direct, --report FILE";

impl Options {
    /// # Errors
    /// An option is unknown or lacks its value.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self, Failure> {
        let mut this = Self {
            plan: Plan::ours(),
            json: false,
            against: Against::Restricted,
            corpora: Vec::new(),
            only: None,
            generated: None,
            seed: 1,
            report: None,
        };
        let (mut worlds, mut groups) = (Vec::new(), Vec::new());
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value =
                || rest.next().copied().ok_or_else(|| Failure::usage(format!("`{argument}` needs a value")));
            match *argument {
                "--schema" => this.plan.schema = value()?.into(),
                "--world" => worlds.push(PathBuf::from(value()?)),
                "--classification" => this.plan.classification = Some(value()?.into()),
                "--policy" => this.plan.policy = value()?.into(),
                "--restricted" => this.plan.restricted = Who::named(value()?),
                "--group" => groups.push(value()?.to_owned()),
                "--unrestricted" => this.plan.unrestricted = Who::named(value()?),
                "--floor" => this.plan.floor = true,
                "--json" => this.json = true,
                "--corpus" => this.corpora.push(value()?.into()),
                "--only" => this.only = Some(value()?.to_owned()),
                "--generated" => this.generated = Some(number(argument, value()?)?),
                "--seed" => this.seed = number(argument, value()?)?,
                "--against" => this.against = against(value()?)?,
                "--report" => this.report = Some(value()?.into()),
                other => {
                    return Err(Failure::usage(format!(
                        "unknown option `{other}`\nhint: worlds knows {KNOWN}"
                    )));
                }
            }
        }
        this.fit_together(arguments)?;
        if !worlds.is_empty() {
            this.plan.worlds = worlds
                .try_into()
                .map_err(|_| Failure::usage("`--world` is needed twice: once for each of the two"))?;
        }
        if !groups.is_empty() {
            this.plan.restricted.groups = groups;
        }
        Ok(this)
    }
}

/// Options of a run, which does not take place where the worlds only stay up.
const OF_A_RUN: [&str; 6] = ["--corpus", "--only", "--generated", "--seed", "--against", "--report"];
/// What belongs to a schema: ours says nothing of another one.
const OF_A_SCHEMA: [&str; 3] = ["--world", "--classification", "--policy"];

impl Options {
    /// # Errors
    /// An option would do nothing, or something else than it says.
    fn fit_together(&self, given: &[&str]) -> Result<(), Failure> {
        let is_given = |option: &str| given.contains(&option);
        if let Some(option) = OF_A_RUN.iter().find(|option| self.json && is_given(option)) {
            return Err(Failure::usage(format!(
                "`{option}` is of a run, and with `--json` none takes place"
            )));
        }
        if is_given("--schema") {
            if let Some(option) = OF_A_SCHEMA.iter().find(|option| !is_given(option)) {
                return Err(Failure::usage(format!(
                    "`--schema` needs `{option}`: ours is of another schema"
                )));
            }
            if self.generated.is_some() {
                return Err(Failure::usage("`--generated` makes statements about our own schema only"));
            }
        }
        if self.generated == Some(0) {
            return Err(Failure::usage("`--generated 0`: at least one statement is needed"));
        }
        if is_given("--seed") && self.generated.is_none() {
            return Err(Failure::usage("`--seed` is of what `--generated` makes"));
        }
        Ok(())
    }
}

fn number(option: &str, text: &str) -> Result<u32, Failure> {
    text.parse().map_err(|_| Failure::usage(format!("`{option} {text}`: a whole number is needed")))
}

fn against(text: &str) -> Result<Against, Failure> {
    match text {
        "restricted" => Ok(Against::Restricted),
        "unrestricted" => Ok(Against::Unrestricted),
        "direct" => Ok(Against::Direct),
        _ => Err(Failure::usage(format!("`--against {text}`: restricted, unrestricted or direct"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_or_refused() {
        let words = [
            "--schema",
            "s.sql",
            "--world",
            "a.sql",
            "--world",
            "b.sql",
            "--policy",
            "p",
            "--classification",
            "c.toml",
            "--restricted",
            "rita",
            "--group",
            "clerks",
            "--group",
            "nurses",
            "--json",
        ];
        let options = Options::parse(&words).unwrap();
        assert!(options.json);
        assert_eq!(options.plan.worlds, [PathBuf::from("a.sql"), PathBuf::from("b.sql")]);
        assert_eq!(options.plan.restricted.groups, ["clerks", "nurses"]);
        assert_eq!(options.plan.restricted.subject, "rita");
        for bad in [
            &["--world", "a"] as &[&str],
            &["--seed"],
            &["--generated", "9", "--seed", "x"],
            &["--seed", "7"],
            &["--fast"],
            &["--against", "me"],
            &["--generated", "0"],
            &["--json", "--only", "A"],
            &["--json", "--report", "f"],
            &["--schema", "s.sql", "--world", "a.sql", "--world", "b.sql", "--policy", "p"],
        ] {
            assert_eq!(Options::parse(bad).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
