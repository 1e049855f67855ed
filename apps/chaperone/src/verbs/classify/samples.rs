//! Samples of values, looked at where the agent runs: what leaves this file are tags and how often they were found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chaperone_access::{Refusal, RefusalCode, RelationName, Rows, SessionId, TargetName};
use chaperone_masking::{Config, Entity, scan};
use chaperone_postgres::rows::ask;
use chaperone_scope::{Undecided, UndecidedColumn};
use chaperone_tunnel::{ApplicationName, As, Dial, Parameters, Targets};

use crate::config;
use crate::config::agent::AgentConfig;
use crate::verbs::{Failure, block_on, remark};
use crate::wiring::installation::{now_us, random};
use crate::wiring::targets::Declared;

/// Characters of a value that are read.
const VALUE_CHARS_MAX: usize = 4_000;
/// Half of the values of free text are longer than this.
const LONG_CHARS: usize = 60;
/// Of a hundred values so many hold an identifier where that is what the column is for.
const HOLDS_PERCENT: usize = 50;
/// Of a hundred values so many hold one where it cannot be clear: one in ten numbers passes a check digit by chance.
const DOUBTFUL_PERCENT: usize = 20;

/// What was found in a column's samples.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sampled {
    values: usize,
    long: usize,
    /// Values that hold one, by kind.
    found: BTreeMap<Entity, usize>,
}

/// Look at samples of each column that may hold text or numbers, and say so in its proposal. `agent` is the agent's
/// configuration, with whose login the target is read.
///
/// # Errors
/// The configuration is not understood, or does not have the target.
pub(super) fn look(
    agent: &Path,
    target: &TargetName,
    detectors: &Config,
    number: u32,
    undecided: &mut [Undecided],
) -> Result<(), Failure> {
    let config: AgentConfig = config::load(agent)?;
    let targets = Declared::new(config, agent)?;
    if !targets.names().contains(target) {
        let file = agent.display();
        return Err(Failure::Usage(format!(
            "`{file}` has no target `{target}` (hint: name the file of its agent)"
        )));
    }
    for Undecided { relation, columns } in undecided {
        let mut open: Vec<&mut UndecidedColumn> =
            columns.iter_mut().filter(|column| may_hold(&column.typ)).collect();
        if open.is_empty() {
            continue;
        }
        let names: Vec<&str> = open.iter().map(|column| column.name.as_str()).collect();
        let query = query(relation, &names, number);
        let rows = match block_on(async { Ok(rows(&targets, target, &query).await) })? {
            Ok(rows) => rows,
            Err(refusal) => {
                remark(&format!("note: no samples of {relation}: {refusal}"));
                continue;
            }
        };
        for (place, column) in open.iter_mut().enumerate() {
            let values = rows.iter().filter_map(|row| row.get(place));
            let sampled = sampled(&column.name, values, detectors);
            tell(column, &sampled);
        }
    }
    Ok(())
}

/// Types whose values are texts or numbers. Dates are dates by their type.
fn may_hold(typ: &str) -> bool {
    let name = typ.split('(').next().unwrap_or_default().trim().trim_end_matches("[]");
    matches!(
        name,
        "text"
            | "character varying"
            | "character"
            | "bpchar"
            | "name"
            | "json"
            | "jsonb"
            | "xml"
            | "integer"
            | "bigint"
            | "numeric"
    )
}

fn query(relation: &RelationName, columns: &[&str], number: u32) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let cut = |name: &&str| format!("pg_catalog.left({}::pg_catalog.text, {VALUE_CHARS_MAX})", quoted(name));
    let list: Vec<String> = columns.iter().map(cut).collect();
    let from = format!("{}.{}", quoted(&relation.schema), quoted(&relation.name));
    format!("SELECT {} FROM {from} LIMIT {number}", list.join(", "))
}

async fn rows(targets: &Declared, target: &TargetName, query: &str) -> Result<Rows, Refusal> {
    let session = SessionId::from_parts(now_us() / 1000, random());
    let application = ApplicationName::new(&format!("cp:{session}:samples"))
        .map_err(|_| Refusal::new(RefusalCode::Internal, "no name for the session"))?;
    let dial = Dial {
        target: target.clone(),
        session,
        application,
        login: As::default(),
        parameters: Parameters::default(),
        caller: None,
    };
    let opened = targets.open(dial).await?;
    let results = ask(Box::new(opened.stream), &[query]).await?;
    Ok(results.into_iter().next().unwrap_or_default())
}

fn sampled<'a>(column: &str, values: impl Iterator<Item = &'a str>, detectors: &Config) -> Sampled {
    // What stands before a value in a table is what it is called there.
    let head = format!("{}: ", column.replace('_', " "));
    let mut sampled = Sampled::default();
    for value in values {
        sampled.values += 1;
        sampled.long += usize::from(value.chars().count() > LONG_CHARS);
        let findings = scan(detectors, &format!("{head}{value}"));
        let kinds: BTreeSet<Entity> = findings
            .into_iter()
            .filter(|finding| finding.end > head.len())
            .map(|finding| finding.entity)
            .collect();
        for kind in kinds {
            *sampled.found.entry(kind).or_default() += 1;
        }
    }
    sampled
}

/// Say what was found, and propose by it where the name says something else or nothing.
fn tell(column: &mut UndecidedColumn, sampled: &Sampled) {
    let Sampled { values, long, found } = sampled;
    if *values == 0 {
        column.why.push_str("; no samples");
        return;
    }
    let mut kinds: Vec<(Entity, usize)> = found.iter().map(|(kind, count)| (*kind, *count)).collect();
    kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(*count), *kind));
    let Some((most, count)) = kinds.first().copied() else {
        column.why.push_str(&format!("; nothing found in {values} samples"));
        return;
    };
    let told: Vec<String> = kinds.iter().map(|(kind, count)| format!("{} in {count}", kind.tag())).collect();
    column.why.push_str(&format!("; of {values} samples {}", told.join(", ")));
    let (is_free_text, tag) = (long * 2 > *values, most.governed_by());
    let says = |word: &str| column.proposal.as_ref().is_some_and(|proposal| proposal.contains(word));
    if is_free_text {
        if !says("scan = true") {
            column.proposal = Some("{ tags = [\"clinical.note\"], scan = true }".to_owned());
        }
    } else if count * 100 >= values * HOLDS_PERCENT {
        if !says("\"phi.") {
            column.proposal = Some(format!("{{ tags = [\"{tag}\"] }}"));
        }
    } else if count * 100 >= values * DOUBTFUL_PERCENT && says("clear = true") {
        column.proposal = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(proposal: Option<&str>) -> UndecidedColumn {
        UndecidedColumn {
            name: "contact_code".to_owned(),
            typ: "text".to_owned(),
            proposal: proposal.map(str::to_owned),
            why: "its name tells nothing".to_owned(),
        }
    }

    fn told(name: &str, proposal: Option<&str>, values: &[&str]) -> UndecidedColumn {
        let mut column = column(proposal);
        tell(&mut column, &sampled(name, values.iter().copied(), &Config::default()));
        column
    }

    #[test]
    fn a_proposal_follows_what_is_found() {
        let ssn = told("code", None, &["123-45-6789", "219-09-9998", "x"]);
        assert_eq!(ssn.proposal.as_deref(), Some("{ tags = [\"phi.ssn\"] }"));
        assert_eq!(ssn.why, "its name tells nothing; of 3 samples phi.ssn in 2");
        // Undashed, by the column's name.
        let named = told("ssn_of_kin", None, &["123456789"]);
        assert_eq!(named.proposal.as_deref(), Some("{ tags = [\"phi.ssn\"] }"));
        let note = "The patient was seen today for a long story; call (617) 555-0123 about it.";
        let text = told("remark", Some("{ clear = true }"), &[note, note, ""]);
        assert_eq!(text.proposal.as_deref(), Some("{ tags = [\"clinical.note\"], scan = true }"));
        let known = told("ssn", Some("{ tags = [\"phi.ssn\"], mask = \"last_four\" }"), &["123-45-6789"]);
        assert_eq!(known.proposal.as_deref(), Some("{ tags = [\"phi.ssn\"], mask = \"last_four\" }"));
        let doubtful = told("status", Some("{ clear = true }"), &["ana@example.org", "open", "open"]);
        assert_eq!(doubtful.proposal, None);
        let clear = told("status", Some("{ clear = true }"), &["open", "void"]);
        assert_eq!(clear.proposal.as_deref(), Some("{ clear = true }"));
        assert_eq!(clear.why, "its name tells nothing; nothing found in 2 samples");
    }

    #[test]
    fn no_value_is_in_what_is_told() {
        let told = told("code", None, &["123-45-6789", "ana@example.org"]);
        let all = format!("{told:?}");
        assert!(!all.contains("123") && !all.contains("ana@"), "{all}");
    }

    #[test]
    fn names_are_quoted() {
        let relation = RelationName::new("My \"Schema", "t");
        assert_eq!(
            query(&relation, &["a", "B\""], 5),
            "SELECT pg_catalog.left(\"a\"::pg_catalog.text, 4000), pg_catalog.left(\"B\"\"\"::pg_catalog.text, 4000) \
             FROM \"My \"\"Schema\".\"t\" LIMIT 5"
        );
        assert!(
            may_hold("character varying(40)")
                && may_hold("text[]")
                && !may_hold("date")
                && !may_hold("bytea")
        );
    }
}
