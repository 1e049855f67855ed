//! What a row of a table tells beside its columns: where it lies, when it was written, who locked it, and how many there are
//! beside it. Told of what is seen whole; but row security leaves rows out, the rows of what inherits from it are read through
//! it, and whoever writes a foreign key locks the row that it points to.

use std::collections::HashSet;
use std::sync::Arc;

use chaperone_access::{RelationName, RelationScope, Scope};

use super::Rewriter;
use super::relation::{VIEW_DEPTH_MAX, all_revealed};
use crate::catalog::{Catalog, ForeignKey, Relation, SYSTEM_COLUMNS};

/// The system column that names the transaction which locked a row last, also long after it ended.
const XMAX: &str = "xmax";

/// Whether a text may name that column, in whatever way. Says so too often rather than too seldom.
pub(super) fn names_locks(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains(XMAX) || text.contains("u&")
}

/// Whether a text may name where rows lie, in whatever way. Says so too often rather than too seldom.
pub(super) fn names_places(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("tablesample") || SYSTEM_COLUMNS.iter().any(|column| text.contains(column))
}

/// A relation and everything that inherits from it, all the way down.
fn family<'c>(catalog: &'c Catalog, relation: &'c Relation) -> Vec<(Option<&'c RelationName>, &'c Relation)> {
    let (mut found, mut seen, mut at) = (vec![(None, relation)], HashSet::new(), 0);
    while let Some(&(_, relation)) = found.get(at) {
        let children = relation.children.iter().filter(|child| seen.insert(*child));
        let children = children.filter_map(|child| catalog.relations.get_key_value(child));
        found.extend(children.map(|(name, child)| (Some(name), &**child)).collect::<Vec<_>>());
        at += 1;
    }
    found
}

/// Whether anything that inherits from a relation, all the way down, is not seen whole.
pub(super) fn hides_below(catalog: &Catalog, scope: &Scope, relation: &Relation) -> bool {
    let mut below = family(catalog, relation).into_iter().filter_map(|(name, _)| name);
    below.any(|name| scope.relations.get(name) != Some(&RelationScope::Whole))
}

impl Rewriter<'_> {
    /// Whether what inherits from a relation has columns that are not seen: its rows are read through the relation, and where they
    /// lie, when they were written and which relation each is in would tell of those.
    pub(super) fn hides_below(&self, relation: &Relation) -> bool {
        !self.is_open() && hides_below(self.catalog, self.scope, relation)
    }

    /// Whether which rows of a relation were locked tells of what is not seen: of foreign keys that point to it.
    pub(super) fn locks_tell(&self, relation: &Relation) -> bool {
        let hidden = |(from, key): &(RelationName, Arc<ForeignKey>)| {
            let Some(known) = self.catalog.relations.get(from) else { return true };
            // Row security may leave out rows that point to it.
            if known.guard.is_some() || !self.sees_which(from) {
                return true;
            }
            match self.scope.relations.get(from) {
                Some(RelationScope::Whole) => false,
                Some(RelationScope::Part { showings, all_rows }) => {
                    !(*all_rows || known.filter.is_none()) || !all_revealed(known, showings, &key.columns)
                }
                None => true,
            }
        };
        self.is_pointed_to(relation, hidden)
    }

    /// Whether rows that the caller may change have keys to a relation which he does not see. PostgreSQL looks at a key again, and
    /// locks what it points to, where a row is changed twice in a transaction: whoever locked that, too, would find it locked.
    ///
    /// Whoever locks a view's rows locks those of what it reads.
    pub(super) fn keeps_hidden_keys(&self, relation: &Relation, depth: usize) -> bool {
        if depth >= VIEW_DEPTH_MAX {
            return true;
        }
        let hidden = |(from, key): &(RelationName, Arc<ForeignKey>)| {
            let known = self.catalog.relations.get(from);
            match (self.scope.relations.get(from), known) {
                (Some(RelationScope::Part { showings, .. }), Some(known)) => {
                    !all_revealed(known, showings, &key.columns)
                }
                (Some(RelationScope::Whole) | None, _) | (_, None) => false,
            }
        };
        let mut reads = relation.reads.iter().filter_map(|name| self.catalog.relations.get(name));
        self.is_pointed_to(relation, hidden) || reads.any(|read| self.keeps_hidden_keys(read, depth + 1))
    }

    /// Whether such a key points to a relation, or to what inherits from it.
    fn is_pointed_to(
        &self,
        relation: &Relation,
        by: impl Fn(&(RelationName, Arc<ForeignKey>)) -> bool + Copy,
    ) -> bool {
        !self.is_open() && family(self.catalog, relation).iter().any(|(_, one)| one.referenced.iter().any(by))
    }

    /// Whether row security may leave out rows of a relation: they are there, and where and how many tells.
    pub(super) fn leaves_rows_out(&self, name: &RelationName, relation: &Relation) -> bool {
        !self.is_open() && self.is_guarded(name, relation)
    }

    /// Whether a view reads rows that are placed by what is not seen: it has them in the order in which they come.
    pub(super) fn places_under(&self, view: &Relation, depth: usize) -> bool {
        let mut reads = view.reads.iter().filter_map(|name| self.catalog.relations.get(name));
        view.kind == b'v'
            && (depth >= VIEW_DEPTH_MAX
                || reads.any(|read| self.places_by_hidden(read) || self.places_under(read, depth + 1)))
    }

    /// Whether row security may leave out rows of what a view reads, which its owner reads.
    pub(super) fn leaves_rows_out_under(&self, view: &Relation, depth: usize) -> bool {
        let leaves = |relation: &Relation| {
            relation.guard.is_some()
                || relation.kind == b'v'
                    && (depth >= VIEW_DEPTH_MAX || self.leaves_rows_out_under(relation, depth + 1))
        };
        let mut reads = view.reads.iter().filter_map(|name| self.catalog.relations.get(name));
        !self.is_open() && reads.any(|relation| leaves(relation))
    }
}

#[cfg(test)]
mod tests;
