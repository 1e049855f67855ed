//! `chaperone classify`: what a target's columns hold, as far as nobody has decided it yet.

mod samples;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use chaperone_access::TargetName;
use chaperone_api::CatalogView;
use chaperone_scope::{Catalog, Classification, Undecided};
use clap::Parser;

use super::policy::setting::RELATIONS_BYTES_MAX;
use super::{Failure, block_on, remark, say, say_json};
use crate::config;
use crate::config::gateway::GatewayConfig;
use crate::wiring::ask::Ask;
use crate::wiring::classifications::ClassificationFiles;

/// Propose what a target's columns hold, and check that all of them are decided.
///
/// Without an option it prints lines for the columns that the classification does not decide, for you to review: what
/// has no line stays hidden. Proposals come from names, types and comments of columns; no row is read unless `--samples`
/// says so.
#[derive(Debug, Parser)]
pub(crate) struct Classify {
    /// The target; the only one, where one is configured
    target: Option<TargetName>,
    /// The gateway's configuration: names the target's classification, and the gateway that is asked for its catalog
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "CHAPERONE_CONFIG")]
    config: PathBuf,
    /// The target's catalog as `GET /targets/NAME/catalog` gives it, in the place of asking the gateway
    #[arg(long, value_name = "FILE")]
    relations: Option<PathBuf>,
    /// Look at so many rows of each table that is not decided, too: beside the agent, at the target itself, with the agent's
    /// login. Values stay there; what is told is which kinds of identifiers were found, and how often
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    samples: Option<u32>,
    /// The agent's configuration, for `--samples`; the one that runs inside the gateway, where there is one
    #[arg(long, value_name = "FILE", requires = "samples")]
    agent: Option<PathBuf>,
    /// Add the lines to the classification
    #[arg(long, conflicts_with_all = ["diff", "check", "json"])]
    write: bool,
    /// Say what the target has and the classification does not, and the other way round
    #[arg(long, conflicts_with = "json")]
    diff: bool,
    /// The same, and exit with 1 if there is anything, or the target cannot be served to whoever is to see a part
    #[arg(long)]
    check: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Classify {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let path = if self.config.is_dir() { self.config.join("gateway.toml") } else { self.config.clone() };
        let config: GatewayConfig = config::load(&path)?;
        let target = self.named(&config)?;
        let files = ClassificationFiles::new(&path, &config);
        let view = self.catalog(&path, &target)?;
        let (file, classification) = known(&files, &target)?;
        let catalog = Catalog::build(1, &view.results, classification.as_ref()).map_err(Failure::failed)?;
        let mut undecided = catalog.undecided(&view.results);
        if let Some(number) = self.samples {
            let agent = self.agent_file(&path, &config)?;
            let detectors = config.targets.get(&target).map(|target| target.free_text.config());
            samples::look(&agent, &target, &detectors.unwrap_or_default(), number, &mut undecided)?;
        }
        let found = !(undecided.is_empty() && catalog.misfits().is_empty() && catalog.unfit().is_empty());
        if self.json {
            say_json(&serde_json::json!({
                "target": target,
                "undecided": undecided,
                "misfits": catalog.misfits(),
                "unfit": catalog.unfit().iter().map(|unfit| &unfit.what).collect::<Vec<_>>(),
            }))?;
        } else if self.diff || self.check {
            differences(&undecided, &catalog)?;
        } else if self.write {
            write(file.as_deref(), &target, &undecided)?;
        } else if !undecided.is_empty() {
            say(sections(&undecided).trim_end())?;
        }
        if !self.json {
            remark(&summary(&target, &undecided, &catalog));
        }
        Ok(if self.check && found { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }

    fn named(&self, config: &GatewayConfig) -> Result<TargetName, Failure> {
        let names: Vec<&str> = config.targets.keys().map(TargetName::as_str).collect();
        let usage = |what: String| Failure::Usage(format!("{what} (hint: there are: {})", names.join(", ")));
        match (&self.target, config.targets.keys().next()) {
            (Some(target), _) if config.targets.contains_key(target) => Ok(target.clone()),
            (Some(target), _) => Err(usage(format!("target `{target}` is not configured"))),
            (None, Some(only)) if names.len() == 1 => Ok(only.clone()),
            (None, _) => Err(usage("name a target".to_owned())),
        }
    }

    /// Where the agent's configuration is.
    fn agent_file(&self, path: &Path, config: &GatewayConfig) -> Result<PathBuf, Failure> {
        let local = || config.local_agent.as_ref().map(|file| config::beside(path, file));
        self.agent.clone().or_else(local).ok_or_else(|| {
            let hint = "hint: run it where the agent runs, with `--agent agent.toml`";
            Failure::Usage(format!(
                "samples are read with an agent's login, and this gateway has none ({hint})"
            ))
        })
    }

    fn catalog(&self, path: &Path, target: &TargetName) -> Result<CatalogView, Failure> {
        let Some(file) = &self.relations else {
            return block_on(async {
                Ask::new(path)?.get::<CatalogView>(&format!("/targets/{target}/catalog")).await
            });
        };
        let text = config::read_text_to(file, RELATIONS_BYTES_MAX)?;
        let view: CatalogView = serde_json::from_str(&text)
            .map_err(|error| Failure::Usage(format!("`{}` is no catalog: {error}", file.display())))?;
        if view.target != *target {
            return Err(Failure::Usage(format!("`{}` is the catalog of `{}`", file.display(), view.target)));
        }
        Ok(view)
    }
}

/// The target's file, where the configuration names one, and what is in it, where it is there.
type Known = (Option<PathBuf>, Option<Arc<Classification>>);

fn known(files: &ClassificationFiles, target: &TargetName) -> Result<Known, Failure> {
    let Some(file) = files.of(target) else { return Ok((None, None)) };
    if !file.exists() {
        return Ok((Some(file.to_owned()), None));
    }
    let classified = files.read(target).map_err(|lines| Failure::Usage(lines.join("\n")))?;
    Ok((Some(file.to_owned()), classified.map(|classified| classified.classification)))
}

fn differences(undecided: &[Undecided], catalog: &Catalog) -> Result<(), Failure> {
    for Undecided { relation, columns } in undecided {
        for column in columns {
            say(&format!("+ {relation}: {} ({}) is not decided", column.name, column.typ))?;
        }
    }
    catalog.misfits().iter().try_for_each(|misfit| say(&format!("- {misfit}")))
}

fn summary(target: &TargetName, undecided: &[Undecided], catalog: &Catalog) -> String {
    let columns: usize = undecided.iter().map(|undecided| undecided.columns.len()).sum();
    let mut lines: Vec<String> =
        catalog.unfit().iter().map(|unfit| format!("note: {} (hint: {})", unfit.what, unfit.hint)).collect();
    lines.push(match (columns, catalog.misfits().len()) {
        (0, 0) => format!("every column of `{target}` is decided"),
        (columns, misfits) => format!(
            "`{target}`: {columns} columns of {} relations are not decided, and {misfits} lines do not fit",
            undecided.len()
        ),
    });
    lines.join("\n")
}

fn sections(undecided: &[Undecided]) -> String {
    let mut text = String::new();
    for undecided in undecided {
        text.push_str(&format!("{}\n{}\n\n", undecided.head(), undecided.lines().join("\n")));
    }
    text
}

/// Add lines to the file: under the head of a relation that it has, or at its end. What is there stays as it is.
fn write(file: Option<&Path>, target: &TargetName, undecided: &[Undecided]) -> Result<(), Failure> {
    let Some(file) = file else {
        return Err(Failure::Usage(format!(
            "the configuration names no classification of `{target}` (hint: \
             `classification = \"classification/{target}.toml\"` under `[targets.{target}]`)"
        )));
    };
    let before = if file.exists() {
        config::read_text(file)?
    } else {
        format!("# What the columns of `{target}` hold. What has no line is hidden.\n")
    };
    let after = merged(&before, undecided);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)
            .map_err(Failure::io(format!("cannot make `{}`", folder.display())))?;
    }
    std::fs::write(file, after).map_err(Failure::io(format!("cannot write `{}`", file.display())))?;
    remark(&format!("review `{}`, then `chaperone policy reload`", file.display()));
    Ok(())
}

fn merged(before: &str, undecided: &[Undecided]) -> String {
    let mut lines: Vec<String> = before.lines().map(str::to_owned).collect();
    let mut new = Vec::new();
    for undecided in undecided {
        let head = undecided.head();
        let Some(at) = lines.iter().position(|line| line.trim() == head) else {
            new.push(undecided.clone());
            continue;
        };
        let rest = lines.iter().skip(at + 1);
        let length = rest.take_while(|line| !line.trim_start().starts_with('[')).count();
        let block = lines.iter().skip(at + 1).take(length);
        let last = block.enumerate().rfind(|(_, line)| !line.trim().is_empty());
        let end = at + 1 + last.map_or(0, |(index, _)| index + 1);
        // A remark of an earlier run says it already.
        let known: Vec<String> = lines.iter().skip(at).take(length + 1).cloned().collect();
        let added = undecided.lines().into_iter().filter(|line| !known.contains(line));
        lines.splice(end..end, added);
    }
    let mut text = lines.join("\n");
    text.push('\n');
    if !new.is_empty() {
        text.push('\n');
        text.push_str(sections(&new).trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use chaperone_scope::UndecidedColumn;

    use super::*;

    fn undecided(relation: &str, columns: &[&str]) -> Undecided {
        let column = |name: &&str| UndecidedColumn {
            name: (*name).to_owned(),
            typ: "text".to_owned(),
            proposal: Some("{ tags = [\"phi.name\"] }".to_owned()),
            why: "x".to_owned(),
        };
        Undecided { relation: relation.parse().unwrap(), columns: columns.iter().map(column).collect() }
    }

    #[test]
    fn new_lines_join_what_was_reviewed() {
        let before =
            "# ours\n[relations.\"a.t\".columns]\nid = { clear = true }\n\n[tags]\n\"x.y\" = \"z\"\n";
        let after = merged(before, &[undecided("a.t", &["name"]), undecided("b.u", &["two words"])]);
        assert_eq!(
            after,
            "# ours\n[relations.\"a.t\".columns]\nid = { clear = true }\nname = { tags = [\"phi.name\"] }  # text: x\n\n\
             [tags]\n\"x.y\" = \"z\"\n\n[relations.\"b.u\".columns]\n\"two words\" = { tags = [\"phi.name\"] }  # text: x\n"
        );
        assert!(Classification::load("f", &after, &std::collections::BTreeMap::new()).is_ok());
    }
}
