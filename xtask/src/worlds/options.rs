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
        if !worlds.is_empty() {
            this.plan.worlds = worlds
                .try_into()
                .map_err(|_| Failure::usage("`--world` is given twice: once for each of the two"))?;
        }
        if !groups.is_empty() {
            this.plan.restricted.groups = groups;
        }
        Ok(this)
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
        for bad in
            [&["--world", "a"] as &[&str], &["--seed"], &["--seed", "x"], &["--fast"], &["--against", "me"]]
        {
            assert_eq!(Options::parse(bad).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
