//! What judges an assignment: constraints, indexes, generated columns, of the target and of what is part of it. Where one reads
//! what the caller does not see, its failing would tell.

use std::collections::BTreeSet;

use chaperone_access::{RelationScope, Showing};

use super::{Kind, Target};
use crate::catalog::{ForeignKey, Relation};
use crate::rewrite::{Outcome, Rewriter, hidden, refused};

impl Rewriter<'_> {
    /// Whether rows may be loaded into the target.
    pub(in crate::rewrite) fn may_load(
        &self,
        target: &Target<'_>,
        listed: Option<BTreeSet<String>>,
    ) -> Outcome {
        self.may_assign(target, &listed.unwrap_or_else(|| target.all()), Kind::Insert)
    }

    /// Whether nothing that judges the assignment, or follows from it, reads what the caller does not see.
    pub(super) fn may_assign(&self, target: &Target<'_>, assigned: &BTreeSet<String>, kind: Kind) -> Outcome {
        let Some(relation) = target.relation else { return Ok(()) };
        if self.is_open() {
            return Ok(());
        }
        self.judged(target, relation, assigned, kind)?;
        // Its partitions and what inherits from it, all the way down.
        let mut next: Vec<_> = relation.children.iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = next.pop() {
            let Some(child) = self.catalog.relations.get(name) else {
                return hidden(format!("a write to `{}`, of which not all parts are known,", target.name));
            };
            if seen.insert(name) {
                self.judged(target, child, assigned, kind)?;
                next.extend(&child.children);
            }
        }
        Ok(())
    }

    fn judged(
        &self,
        target: &Target<'_>,
        relation: &Relation,
        assigned: &BTreeSet<String>,
        kind: Kind,
    ) -> Outcome {
        let assigned = with_what_follows(relation, assigned, kind);
        let in_it =
            |columns: &[std::sync::Arc<str>]| columns.iter().any(|column| assigned.contains(&**column));
        let unseen = |columns: &[std::sync::Arc<str>]| {
            columns.iter().any(|column| !target.columns.is_empty() && !revealed(target, column))
        };
        let unseen_and_kept = |columns: &[std::sync::Arc<str>]| {
            columns.iter().any(|column| {
                !target.columns.is_empty() && !revealed(target, column) && !assigned.contains(&**column)
            })
        };
        let judge = |what: &str| {
            hidden(format!("an assignment to `{}` that {what} which you do not see would judge", target.name))
        };
        if kind != Kind::Delete {
            for unique in &relation.uniques {
                if in_it(unique) && unseen(unique) {
                    return judge("a unique index over columns");
                }
            }
            for foreign in &relation.references {
                if in_it(&foreign.columns) && (unseen(&foreign.columns) || !self.sees_key(foreign)) {
                    return judge("a foreign key to or from columns");
                }
            }
            let code = relation
                .columns
                .iter()
                .any(|column| column.code && (kind == Kind::Insert || assigned.contains(&*column.name)));
            if code {
                return refused(
                    format!("a write to a column of `{}` whose type runs code of its own", target.name),
                    "ask for every permission on the target",
                );
            }
        }
        if kind == Kind::Update {
            for check in &relation.checks {
                if in_it(check) && unseen_and_kept(check) {
                    return judge("a check of columns");
                }
            }
            for column in &relation.columns {
                if column.generated
                    && in_it(&column.generated_from)
                    && unseen_and_kept(&column.generated_from)
                {
                    return judge("a generated column over columns");
                }
            }
        }
        if kind != Kind::Insert {
            for (from, foreign) in &relation.referenced {
                let touched = kind == Kind::Delete || in_it(&foreign.to_columns);
                if touched
                    && (foreign.cascades || unseen(&foreign.to_columns) || !self.sees(from, &foreign.columns))
                {
                    return judge(&format!("references from `{from}` to it, some of"));
                }
            }
        }
        Ok(())
    }

    fn sees_key(&self, foreign: &ForeignKey) -> bool {
        self.sees(&foreign.to, &foreign.to_columns)
    }

    /// Whether the caller sees all of these columns in all rows.
    fn sees(&self, name: &chaperone_access::RelationName, columns: &[std::sync::Arc<str>]) -> bool {
        let Some(relation) = self.catalog.relations.get(name) else { return false };
        match self.scope.relations.get(name) {
            None => false,
            Some(RelationScope::Whole) => true,
            Some(RelationScope::Part { showings, all_rows }) => {
                (*all_rows || relation.filter.is_none())
                    && columns.iter().all(|wanted| {
                        let mut known = relation.columns.iter().zip(showings.iter());
                        known.any(|(column, showing)| column.name == *wanted && *showing == Showing::Revealed)
                    })
            }
        }
    }
}

/// What an INSERT leaves out is assigned its default, and a generated column follows what it is made from.
fn with_what_follows(relation: &Relation, assigned: &BTreeSet<String>, kind: Kind) -> BTreeSet<String> {
    let follows = relation.columns.iter().filter(|column| {
        (kind == Kind::Insert && column.default)
            || column.generated_from.iter().any(|source| assigned.contains(&**source))
    });
    assigned.iter().cloned().chain(follows.map(|column| column.name.to_string())).collect()
}

fn revealed(target: &Target<'_>, column: &str) -> bool {
    target.columns.iter().any(|(known, revealed)| known == column && *revealed)
}
