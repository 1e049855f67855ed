//! The database as somebody sees it, for people: each column with what is shown of it and why.

use std::fmt;
use std::sync::Arc;

use chaperone_access::{Analysis, Class, Column, MaskOperator, RelationFacts, Showing, TargetName};
use serde::Serialize;

use crate::ask::{Asked, On};
use crate::sight::{self, ByTags, SEE_ALL_ROWS, Sight};

/// Why a column has no mask that could stand for its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoMask {
    /// It holds free text.
    FreeText,
    /// None is set.
    None,
}

impl NoMask {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FreeText => "free text is revealed or hidden",
            Self::None => "it has no mask",
        }
    }
}

/// Why something is shown to somebody or not. Written in words; the names of policies stand only in [`Self::Policies`], so that
/// whoever may not learn them leaves that one out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Because {
    /// These policies decided it, sorted.
    Policies(Vec<String>),
    /// It is classified as harmless.
    Clear,
    /// Nobody has classified it.
    Unclassified,
    /// Everything at the target is permitted.
    Everything,
    /// It may be used masked, and there is no mask for it.
    CannotBeMasked(Option<NoMask>),
    /// No policy permits to see it, and there may be no mask either.
    NotPermitted(Option<NoMask>),
    /// No policy permits to see all rows.
    NotAllRows,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policies(policies) => write!(f, "by {}", policies.join(", ")),
            Self::Clear => f.write_str("clear"),
            Self::Unclassified => f.write_str("nobody has classified it"),
            Self::Everything => f.write_str("everything at the target is permitted"),
            Self::CannotBeMasked(masks) => {
                write!(f, "may be used masked, but {}", masks.map_or("", NoMask::as_str))
            }
            Self::NotPermitted(None) => f.write_str("no policy permits `reveal` or `useMasked`"),
            Self::NotPermitted(Some(masks)) => {
                write!(f, "no policy permits `reveal`, and {}", masks.as_str())
            }
            Self::NotAllRows => write!(f, "no policy permits `{SEE_ALL_ROWS}`"),
        }
    }
}

impl Serialize for Because {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

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
    pub because: Because,
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
    pub because: Because,
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
    pub because: Because,
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

fn by(policies: &[Arc<str>], otherwise: Because) -> Because {
    if policies.is_empty() { otherwise } else { Because::Policies(named(policies)) }
}

/// Why columns that are alike are hidden.
fn hidden(column: &Column, sight: Option<Sight>, policies: &[Arc<str>]) -> Because {
    let masks = if column.scan {
        Some(NoMask::FreeText)
    } else if column.mask.is_none() {
        Some(NoMask::None)
    } else {
        None
    };
    match (sight, masks) {
        (Some(_), masks) => Because::CannotBeMasked(masks),
        (None, _) if !policies.is_empty() => Because::Policies(named(policies)),
        (None, masks) => Because::NotPermitted(masks),
    }
}

fn seen(column: &Column, showing: Showing, because: Because, policies: &[Arc<str>]) -> SeenColumn {
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
                Class::Clear => Because::Clear,
                Class::Unclassified | Class::Tagged(_) => Because::Unclassified,
            };
            return seen(column, showing, because, &[]);
        };
        let because = match showing {
            Showing::Revealed | Showing::Masked => Because::Policies(named(&sighting.policies)),
            Showing::Hidden => hidden(column, sighting.sight, &sighting.policies),
        };
        seen(column, showing, because, &sighting.policies)
    });
    let columns = columns.collect();
    let because = by(&found.rows_by, Because::NotAllRows);
    let rows = facts.filtered.then_some(SeenRows { all: found.all_rows, because });
    View { columns, rows }
}

/// A relation as somebody sees it who has everything.
pub(crate) fn whole(facts: &RelationFacts) -> View {
    let everything = |column| seen(column, Showing::Revealed, Because::Everything, &[]);
    let columns = facts.columns.iter().map(everything).collect();
    View { columns, rows: facts.filtered.then_some(SeenRows { all: true, because: Because::Everything }) }
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
