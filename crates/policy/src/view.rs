//! The database as somebody sees it, for people: each column with what is shown of it and why.

use std::sync::Arc;

use chaperone_access::{Analysis, Class, Column, MaskOperator, RelationFacts, Showing, TargetName};
use serde::Serialize;

use crate::ask::{Asked, On};
use crate::sight::{self, ByTags, SEE_ALL_ROWS, Sight};

/// What a column is to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenColumn {
    /// Its name.
    pub name: String,
    /// What it holds; empty for one that is clear or not classified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What is seen of it.
    pub showing: Showing,
    /// What stands in the place of its values, where that is its mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<MaskOperator>,
    /// Why.
    pub because: String,
    /// The policies that decided it, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
}

/// Which rows of a relation somebody sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenRows {
    /// All of them, or those that the relation's filter lets through.
    pub all: bool,
    /// Why.
    pub because: String,
}

/// What a column that a statement uses is to somebody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UsedColumn {
    /// `schema.name`.
    pub relation: String,
    /// Its name.
    pub column: String,
    /// What stands in its place in the statement that is sent.
    pub showing: Showing,
    /// Whether the result can tell something of it.
    pub disclosed: bool,
    /// Whether it is assigned to.
    pub written: bool,
    /// Why.
    pub because: String,
}

/// Columns and rows of one relation.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) columns: Vec<SeenColumn>,
    pub(crate) rows: Option<SeenRows>,
}

fn named(policies: &[Arc<str>]) -> Vec<String> {
    policies.iter().map(ToString::to_string).collect()
}

fn by(policies: &[Arc<str>], otherwise: &str) -> String {
    if policies.is_empty() { otherwise.to_owned() } else { format!("by {}", named(policies).join(", ")) }
}

/// Why columns that are alike are hidden.
fn hidden(column: &Column, sight: Option<Sight>, policies: &[Arc<str>]) -> String {
    let masks = if column.scan {
        "free text is revealed or hidden"
    } else if column.mask.is_none() {
        "it has no mask"
    } else {
        ""
    };
    match (sight, masks) {
        (Some(_), masks) => format!("may be used masked, but {masks}"),
        (None, _) if !policies.is_empty() => by(policies, ""),
        (None, "") => "no policy permits `reveal` or `useMasked`".to_owned(),
        (None, masks) => format!("no policy permits `reveal`, and {masks}"),
    }
}

fn seen(column: &Column, showing: Showing, because: String, policies: &[Arc<str>]) -> SeenColumn {
    let tags = match &column.class {
        Class::Tagged(tags) => named(tags),
        Class::Clear | Class::Unclassified => Vec::new(),
    };
    let mask = column.mask.clone().filter(|_| showing == Showing::Masked);
    SeenColumn { name: column.name.to_string(), tags, showing, mask, because, policies: named(policies) }
}

/// A relation as the caller sees it.
pub(crate) fn view(asked: &Asked<'_>, target: &TargetName, on: On<'_>, facts: &RelationFacts) -> View {
    let found = sight::see(asked, target, on, facts, &mut ByTags::default());
    let showings = found.showings(facts);
    let columns = facts.columns.iter().zip(showings).enumerate().map(|(place, (column, showing))| {
        let sighting = found.sightings.iter().find(|sighting| sighting.alike.places.contains(&place));
        let Some(sighting) = sighting else {
            let because = match column.class {
                Class::Clear => "clear",
                Class::Unclassified | Class::Tagged(_) => "nobody has classified it",
            };
            return seen(column, showing, because.to_owned(), &[]);
        };
        let because = match showing {
            Showing::Revealed | Showing::Masked => by(&sighting.policies, ""),
            Showing::Hidden => hidden(column, sighting.sight, &sighting.policies),
        };
        seen(column, showing, because, &sighting.policies)
    });
    let columns = columns.collect();
    let because = by(&found.rows_by, &format!("no policy permits `{SEE_ALL_ROWS}`"));
    let rows = facts.filtered.then_some(SeenRows { all: found.all_rows, because });
    View { columns, rows }
}

/// A relation as somebody sees it who has everything.
pub(crate) fn whole(facts: &RelationFacts) -> View {
    let because = || "everything at the target is permitted".to_owned();
    let columns =
        facts.columns.iter().map(|column| seen(column, Showing::Revealed, because(), &[])).collect();
    View { columns, rows: facts.filtered.then(|| SeenRows { all: true, because: because() }) }
}

/// What the columns that a statement uses are to the caller, sorted.
pub(crate) fn used(
    asked: &Asked<'_>,
    target: &TargetName,
    analysis: &Analysis,
    unrestricted: bool,
) -> Vec<UsedColumn> {
    let mut found: Vec<UsedColumn> = Vec::new();
    // Nobody has said anything of columns at a target without a classification.
    for member in analysis.members.iter().filter(|_| analysis.classified) {
        for touch in &member.touches {
            let mut uses = member.uses.iter().filter(|used| used.relation == touch.relation).peekable();
            let Some(facts) = touch.facts.as_ref().filter(|_| uses.peek().is_some()) else { continue };
            let view = if unrestricted {
                whole(facts)
            } else {
                view(asked, target, (&touch.relation, &touch.within), facts)
            };
            for used in uses {
                let Some(column) = view.columns.iter().find(|column| *column.name == *used.column) else {
                    continue;
                };
                found.push(UsedColumn {
                    relation: touch.relation.to_string(),
                    column: column.name.clone(),
                    showing: column.showing,
                    disclosed: used.disclosed,
                    written: used.written,
                    because: column.because.clone(),
                });
            }
        }
    }
    found.sort();
    found.dedup();
    found
}
