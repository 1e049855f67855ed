//! Columns: what a classification says of them, and what one caller sees of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Attributes, RelationName};

/// What stands in the place of a value for a caller who may use it masked only. As an SQL expression in `scope`, as a
/// function of a text in `masking`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskOperator {
    /// NULL.
    Null,
    /// This text.
    Fixed(String),
    /// All but the last four characters replaced.
    LastFour,
    /// All but the first letter replaced.
    FirstLetter,
    /// The year of a date; of somebody over 89, the year in which he was 90 or earlier is not shown (45 CFR
    /// 164.514(b)(2)(i)(C)).
    Year,
    /// The first three digits of a ZIP code, `000` where fewer than 20,000 people live there.
    ZipThree,
    /// The same value for the same text: HMAC-SHA-256 under the target's key and the column's tag.
    Pseudonym,
    /// A number rounded down to a multiple of this.
    Bucket(u32),
}

impl MaskOperator {
    /// Whether it reads the values that it stands for, so that at a target only a view can show what it makes of them to whom
    /// the values are not granted.
    #[must_use]
    pub fn shows_a_part(&self) -> bool {
        match self {
            Self::Null | Self::Fixed(_) => false,
            Self::LastFour
            | Self::FirstLetter
            | Self::Year
            | Self::ZipThree
            | Self::Pseudonym
            | Self::Bucket(_) => true,
        }
    }
}

/// What was decided about a column when the target was classified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing: hidden from everybody who does not have everything.
    Unclassified,
    /// Reviewed, and nobody's business to hide.
    Clear,
    /// What it holds; never empty, sorted. Each tag has to be permitted.
    Tagged(Arc<[Arc<str>]>),
}

/// One column of a relation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Column {
    /// Its name, unquoted.
    pub name: Arc<str>,
    /// What it holds.
    pub class: Class,
    /// What a caller sees who may use it masked; without one he sees nothing.
    pub mask: Option<MaskOperator>,
    /// It tells which patient a row is about.
    pub subject: bool,
    /// Free text: revealed or hidden, never masked.
    pub scan: bool,
}

/// What a classification says of a relation. Shared by all statements that touch it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct RelationFacts {
    /// All of its columns, in the catalog's order.
    pub columns: Vec<Column>,
    /// Only some rows are seen by callers who may not see all.
    pub filtered: bool,
}

impl RelationFacts {
    /// Whether anything is said of its columns. What is seen of a view otherwise follows from what it reads, so that its own
    /// columns cannot be left out.
    #[must_use]
    pub fn speaks(&self) -> bool {
        self.columns.iter().any(|column| column.class != Class::Unclassified)
    }
}

/// What a caller sees of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Showing {
    /// Its values.
    Revealed,
    /// What its mask makes of them.
    Masked,
    /// A constant: it is not read.
    Hidden,
}

impl Showing {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revealed => "revealed",
            Self::Masked => "masked",
            Self::Hidden => "hidden",
        }
    }
}

/// What a caller sees of one relation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RelationScope {
    /// All of it, as it is. Also where the target is not classified.
    Whole,
    /// Some of it.
    Part {
        /// For each of the relation's columns, in the order of [`RelationFacts::columns`].
        showings: Arc<[Showing]>,
        /// Rows outside the relation's filter too.
        all_rows: bool,
    },
}

impl RelationScope {
    /// Whether whoever sees this sees no less of the relation than whoever sees `then`, both of the same columns.
    fn shows_all_of(&self, then: &Self) -> bool {
        let Self::Part { showings, all_rows } = self else { return true };
        match then {
            Self::Whole => *all_rows && showings.iter().all(|now| *now == Showing::Revealed),
            Self::Part { showings: before, all_rows: all_before } => {
                showings.len() == before.len()
                    && (*all_rows || !*all_before)
                    && showings.iter().zip(&**before).all(|(now, then)| now <= then)
            }
        }
    }
}

/// A relation of a target's own, as its catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnRelation {
    /// What it is called.
    pub name: RelationName,
    /// The relations that it is in, nearest first: a partition's parents.
    pub within: Vec<RelationName>,
    /// The target's own number of it: `pg_class.oid`.
    pub oid: u32,
}

/// The relations to which a caller may do something. Of every other one the target's catalogs tell him names and types,
/// and neither what defines it nor what is said about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Described {
    /// Whatever the target has and will have.
    All,
    /// These, in the catalog's order.
    These(Arc<[OwnRelation]>),
}

impl Described {
    /// Whether this tells of everything that `then` tells of.
    fn tells_all_of(&self, then: &Self) -> bool {
        match (self, then) {
            (Self::All, _) => true,
            (Self::These(_), Self::All) => false,
            (Self::These(now), Self::These(then)) => {
                let now: BTreeSet<u32> = now.iter().map(|relation| relation.oid).collect();
                then.iter().all(|relation| now.contains(&relation.oid))
            }
        }
    }
}

/// The schema of a floor's views at a target. No statement of a caller's can name anything in it.
pub const FLOOR_SCHEMA: &str = "chaperone_floor";

/// As whom a session is at its target, where the target holds a floor under what is rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Under {
    /// The database role.
    pub role: Arc<str>,
    /// What the floor was told of the caller; `None` where it was not told.
    pub told: Option<Arc<Attributes>>,
}

/// What a caller sees of the relations that one statement touches. A relation that is not in it is not seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Scope {
    /// By relation.
    pub relations: BTreeMap<RelationName, RelationScope>,
    /// The relations that catalogs describe to him; `None` where the statement asks none of those. A rewriting that needs
    /// it all the same takes it for none.
    pub described: Option<Described>,
    /// What row filters ask about the caller.
    pub caller: Arc<Attributes>,
    /// Kinds of identifiers that stay in free text, by the detectors' tags.
    pub stays: BTreeSet<&'static str>,
    /// The role that reads; `None` where nobody is at a target, or somebody for whom no floor can be.
    pub under: Option<Arc<Under>>,
    /// The credential leaves out columns: also of relations that the statement does not touch.
    pub narrowed: bool,
}

impl Scope {
    /// Whether all of every relation is seen: nothing is hidden, masked or filtered.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.relations.values().all(|relation| matches!(relation, RelationScope::Whole))
    }

    /// Whether whoever sees this sees no less than whoever sees `then`, through one statement: every relation, column, row
    /// and identifier in free text. Rows that a filter picks by what is said of the caller are the same only where that is.
    #[must_use]
    pub fn shows_all_of(&self, then: &Self) -> bool {
        let is_filtered =
            |scope: &RelationScope| matches!(scope, RelationScope::Part { all_rows: false, .. });
        let same_rows = self.caller == then.caller || !then.relations.values().any(is_filtered);
        let described = match (&self.described, &then.described) {
            (_, None) => true,
            (Some(now), Some(then)) => now.tells_all_of(then),
            (None, Some(_)) => false,
        };
        let mut relations = then.relations.iter();
        same_rows
            && described
            && self.under == then.under
            && then.stays.is_subset(&self.stays)
            && relations
                .all(|(name, then)| self.relations.get(name).is_some_and(|now| now.shows_all_of(then)))
    }

    /// Whether whoever sees this sees all that there is of what one statement touches, but for identifiers in free text.
    #[must_use]
    pub fn shows_everything(&self) -> bool {
        let described = self.described.as_ref().is_none_or(|described| *described == Described::All);
        described && self.relations.values().all(|now| now.shows_all_of(&RelationScope::Whole))
    }
}

/// A column that a statement uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnUse {
    /// Whose it is: a table's, also where a view was named.
    pub relation: RelationName,
    /// Its name.
    pub column: Arc<str>,
    /// Its value, or something computed from it, can be in the result.
    pub disclosed: bool,
    /// It is assigned to.
    pub written: bool,
}

/// Where a result tells which patients it is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Subjects {
    /// No relation that it reads has a column for that.
    #[default]
    None,
    /// In these columns of the result, counted from 0, each the plain value of a subject column.
    At(Arc<[(u16, RelationName, Arc<str>)]>),
    /// It reads relations that have one, and does not return it.
    OutOfReach,
}

/// Where a result can hold free text, through which detectors look before a caller who is seen in part gets it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum FreeText {
    /// Nowhere.
    #[default]
    None,
    /// In these columns of the result, counted from 0, if it has so many.
    At {
        /// Which columns.
        at: Arc<[u16]>,
        /// How many there are in all.
        of: usize,
    },
    /// Its columns could not be told by their places: in every one but those of these names.
    Except(Arc<[Arc<str>]>),
    /// In these fields of copied lines, counted from 0.
    Copied {
        /// Which fields; none where they could not be told.
        at: Arc<[u16]>,
        /// How they are written.
        form: CopyForm,
    },
}

/// How the lines of a COPY are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CopyForm {
    /// PostgreSQL's own text form: fields end at a tab, and a backslash escapes.
    Text,
    /// Fields end at a comma, and may stand in double quotes.
    Csv,
    /// In binary, or with characters of the statement's own.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(showings: &[Showing], all_rows: bool) -> RelationScope {
        RelationScope::Part { showings: showings.into(), all_rows }
    }

    fn scope(of: RelationScope) -> Scope {
        Scope { relations: [(RelationName::new("public", "patients"), of)].into(), ..Scope::default() }
    }

    #[test]
    fn less_is_shown_where_anything_is_gone() {
        use Showing::{Hidden, Masked, Revealed};
        let ladder = [
            scope(RelationScope::Whole),
            scope(part(&[Revealed, Revealed], true)),
            scope(part(&[Revealed, Masked], true)),
            scope(part(&[Revealed, Masked], false)),
            scope(part(&[Revealed, Hidden], false)),
        ];
        for (more, one) in ladder.iter().enumerate() {
            for (less, other) in ladder.iter().enumerate() {
                // The first two say the same in two ways.
                assert_eq!(one.shows_all_of(other), more <= less || more == 1 && less == 0, "{more} {less}");
            }
            assert_eq!(one.shows_everything(), more < 2);
            assert!(!Scope::default().shows_all_of(one) && one.shows_all_of(&Scope::default()));
        }
        let crossed = scope(part(&[Masked, Revealed], true));
        assert!(!ladder[2].shows_all_of(&crossed) && !crossed.shows_all_of(&ladder[2]));
        // Rows that are picked by what is said of the caller, and whole relations that are not.
        let caller = Arc::new(Attributes::from([("ward".to_owned(), crate::Attribute::Long(3))]));
        for (place, then) in ladder.iter().enumerate() {
            let now = Scope { caller: caller.clone(), ..then.clone() };
            assert_eq!(now.shows_all_of(then), place < 3);
        }
        let stays = Scope { stays: ["name"].into(), ..ladder[0].clone() };
        assert!(!ladder[0].shows_all_of(&stays) && stays.shows_all_of(&ladder[0]));
        let own = |oid| OwnRelation { name: RelationName::new("public", "a"), within: Vec::new(), oid };
        let told = |described| Scope { described: Some(described), ..Scope::default() };
        let (all, one) = (told(Described::All), told(Described::These([own(1)].into())));
        let two = told(Described::These([own(1), own(2)].into()));
        assert!(all.shows_all_of(&two) && two.shows_all_of(&one) && one.shows_all_of(&Scope::default()));
        assert!(!one.shows_all_of(&two) && !two.shows_all_of(&all) && !Scope::default().shows_all_of(&one));
    }
}
