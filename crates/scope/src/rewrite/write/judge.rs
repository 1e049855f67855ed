//! What judges an assignment: constraints, indexes, generated columns, of the target and of what is part of it. Where one reads
//! what the caller does not see, its failing would tell.

use std::collections::BTreeSet;
use std::sync::Arc;

use chaperone_access::{Refusal, RefusalCode, RelationName, RelationScope, Showing};

use super::{Kind, Target};
use crate::catalog::{ForeignKey, Relation, ancestors};
use crate::rewrite::{Outcome, Rewriter, hidden, refused};

/// What to do where other rows judge.
const LEAVE: &str = "leave these columns out, or ask whoever sees them";
/// What to do where the row itself judges.
const TOGETHER: &str = "give these columns a value as well, or ask whoever sees them";

/// An assignment, before one of the relations that judge it: the target, or a part of it.
struct Assignment<'a> {
    target: &'a Target<'a>,
    relation: &'a Relation,
    /// What the caller sees of that relation, which as a part may have columns of its own.
    seen: Option<&'a RelationScope>,
    /// What has another value afterwards, of an INSERT what may have one at all.
    assigned: BTreeSet<String>,
    kind: Kind,
    /// It may bring rows here from another part.
    arrives: bool,
}

impl Assignment<'_> {
    fn touches(&self, columns: &[Arc<str>]) -> bool {
        columns.iter().any(|column| self.assigned.contains(&**column))
    }

    fn hidden<'c>(&self, columns: &'c [Arc<str>]) -> impl Iterator<Item = &'c Arc<str>> {
        columns.iter().filter(move |column| !reveals(self.seen, self.relation, column))
    }

    fn hides(&self, columns: &[Arc<str>]) -> bool {
        self.hidden(columns).next().is_some()
    }

    /// Whether one of these is not seen and stays what it was.
    fn keeps_hidden(&self, columns: &[Arc<str>]) -> bool {
        self.hidden(columns).any(|column| !self.assigned.contains(&**column))
    }

    /// Refuse, by what and over which of these columns it would be judged.
    fn judged_by(&self, what: &str, columns: &[Arc<str>], hint: &str) -> Outcome {
        let unseen: Vec<String> = self.hidden(columns).map(|column| format!("`{column}`")).collect();
        let over = if unseen.is_empty() { "columns".to_owned() } else { unseen.join(", ") };
        let message = format!(
            "an assignment to `{}` that {what} {over}, which you do not see, would judge is not permitted",
            self.target.name
        );
        Err(Refusal::new(RefusalCode::NotPermitted, message).hint(hint))
    }
}

impl Rewriter<'_> {
    /// Whether rows may be loaded into the target.
    pub(in crate::rewrite) fn may_load(
        &self,
        target: &Target<'_>,
        listed: Option<BTreeSet<String>>,
    ) -> Outcome {
        self.may_assign(target, &listed.unwrap_or_else(|| target.all()), Kind::Insert)
    }

    /// Whether rows of the target may be changed in the order in which they come.
    pub(super) fn may_change(&self, target: &Target<'_>) -> Outcome {
        match target.stored {
            Some((name, relation)) if self.places_by_hidden(relation) => hidden(format!(
                "a change of rows of `{name}`, of which it is not seen in which relation each is, and so when and by what it is judged,"
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether nothing that judges the assignment, or follows from it, reads what the caller does not see.
    pub(super) fn may_assign(&self, target: &Target<'_>, assigned: &BTreeSet<String>, kind: Kind) -> Outcome {
        let Some((name, relation)) = target.stored else { return Ok(()) };
        if self.is_open() {
            return Ok(());
        }
        if kind != Kind::Insert {
            self.may_change(target)?;
        }
        self.numbered(target, (name, relation), assigned, kind)?;
        let parts = self.parts(target, relation, kind)?;
        // What splits it further down is among its own key.
        let mut key = relation.partition_key.iter();
        let moves = kind == Kind::Update && key.any(|column| assigned.contains(&**column));
        // Through a partitioned relation its own defaults are taken, not the partitions'.
        let assigned = with_what_follows(relation, assigned.clone(), kind);
        let before = |name: &RelationName, relation, arrives, assigned| Assignment {
            target,
            relation,
            seen: self.scope.relations.get(name),
            assigned,
            kind,
            arrives,
        };
        self.judged(&before(name, relation, false, assigned.clone()), relation)?;
        for (name, part) in parts {
            let assigned = with_what_follows(part, assigned.clone(), kind);
            self.judged(&before(name, part, moves, assigned), relation)?;
        }
        Ok(())
    }

    /// Whether a default may give a number that tells how many rows there are elsewhere. Through a relation only its own
    /// defaults are taken.
    fn numbered(
        &self,
        target: &Target<'_>,
        (name, relation): (&RelationName, &Relation),
        assigned: &BTreeSet<String>,
        kind: Kind,
    ) -> Outcome {
        let seen = self.scope.relations.get(name);
        for (columns, with) in &relation.draws {
            let drawn = |column: &&Arc<str>| match kind {
                Kind::Insert => !target.given.contains(&***column),
                Kind::Update => assigned.contains(&***column),
                Kind::Delete => false,
            };
            let mut told = columns.iter().filter(|column| reveals(seen, relation, column));
            if let Some(column) = told.find(drawn)
                && !self.sees(with, &[])
            {
                let message = format!(
                    "a number for `{column}` of `{}` from a sequence that numbers `{with}` as well, of which you do not see all \
                     rows, is not permitted",
                    target.name
                );
                return Err(Refusal::new(RefusalCode::NotPermitted, message)
                    .hint("give the column a value of its own, named in the list of columns"));
            }
        }
        Ok(())
    }

    /// Its partitions and what inherits from it, all the way down. An INSERT goes no further where it is not partitioned.
    fn parts<'a>(
        &'a self,
        target: &Target<'_>,
        relation: &'a Relation,
        kind: Kind,
    ) -> Outcome<Vec<(&'a RelationName, &'a Relation)>> {
        let mut parts = Vec::new();
        if kind == Kind::Insert && relation.kind != b'p' {
            return Ok(parts);
        }
        let mut next: Vec<_> = relation.children.iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = next.pop() {
            let Some(part) = self.catalog.relations.get(name) else {
                return hidden(format!("a write to `{}`, of which not all parts are known,", target.name));
            };
            if seen.insert(name) {
                parts.push((name, part));
                next.extend(&part.children);
            }
        }
        Ok(parts)
    }

    fn judged(&self, it: &Assignment<'_>, target: &Relation) -> Outcome {
        if it.kind != Kind::Delete {
            self.judged_by_others(it, target)?;
        }
        if it.kind == Kind::Update {
            judged_as_a_row(it)?;
        }
        if it.kind != Kind::Insert {
            for (from, foreign) in &it.relation.referenced {
                let touched = it.kind == Kind::Delete || it.arrives || it.touches(&foreign.to_columns);
                if touched
                    && (foreign.cascades
                        || it.hides(&foreign.to_columns)
                        || !self.sees(from, &foreign.columns)
                        || !self.reads_all(from)
                        || !self.sees_which(from) && !self.is_of_all_partitions(it.relation, from, foreign))
                {
                    let what = format!("what refers to it from `{from}`, by");
                    return it.judged_by(&what, &[], LEAVE);
                }
            }
        }
        Ok(())
    }

    /// By rows of this relation and of others.
    fn judged_by_others(&self, it: &Assignment<'_>, target: &Relation) -> Outcome {
        for unique in &it.relation.uniques {
            let asked = match it.kind {
                // A column that is left out is NULL, and a row with one of those is like no other, as a rule.
                Kind::Insert => {
                    unique.null_conflicts
                        || unique.columns.iter().all(|column| it.assigned.contains(&**column))
                }
                Kind::Update | Kind::Delete => it.arrives || it.touches(&unique.columns),
            };
            if asked && it.hides(&unique.columns) {
                return it.judged_by("a unique index over", &unique.columns, LEAVE);
            }
            if asked && self.places_by_hidden(it.relation) {
                return it.judged_by(
                    "a unique index of one of the relations that rows are in by",
                    &[],
                    LEAVE,
                );
            }
        }
        for foreign in &it.relation.references {
            // What the target points to itself, a row of it points to already.
            let asked = it.touches(&foreign.columns) || (it.arrives && !target.references.contains(foreign));
            if asked && (it.hides(&foreign.columns) || !self.sees_key(foreign)) {
                return it.judged_by("a foreign key to or from", &foreign.columns, LEAVE);
            }
        }
        let mut columns = it.relation.columns.iter();
        if columns
            .any(|column| column.code && (it.kind == Kind::Insert || it.assigned.contains(&*column.name)))
        {
            return refused(
                format!("a write to a column of `{}` whose type runs code of its own", it.target.name),
                "ask for every permission on the target",
            );
        }
        Ok(())
    }

    /// Whether the caller sees which values a foreign key finds where it points to, and that in all rows.
    fn sees_key(&self, foreign: &ForeignKey) -> bool {
        self.sees(&foreign.to, &foreign.to_columns)
            && self.sees_which(&foreign.to)
            && self.reads_all(&foreign.to)
    }

    /// Whether the caller sees which rows are in this very relation, and not in one that it inherits from or that inherits from
    /// it: keys and policies ask of one alone.
    pub(in crate::rewrite) fn sees_which(&self, name: &RelationName) -> bool {
        let Some(relation) = self.catalog.relations.get(name) else { return false };
        // What is partitioned, and no partition itself, has all rows.
        let key: &[Arc<str>] = if relation.parents.is_empty() { &[] } else { &relation.partition_key };
        !self.places_by_hidden(relation) && self.sees_placing(relation) && self.sees(name, key)
    }

    /// Whether the caller sees what decides whether a row is in a relation or beside it.
    pub(in crate::rewrite) fn sees_placing(&self, relation: &Relation) -> bool {
        relation.placed_by.iter().all(|(of, column)| {
            let known = self.catalog.relations.get(of);
            known.is_some_and(|known| reveals(self.scope.relations.get(of), known, column))
        })
    }

    /// Whether a partition's foreign key is that of all partitions, so that it does not matter in which one a row is. The one
    /// above is judged as well.
    fn is_of_all_partitions(&self, to: &Relation, from: &RelationName, foreign: &ForeignKey) -> bool {
        let above = ancestors(self.catalog, from);
        to.referenced.iter().any(|(other, key)| **key == *foreign && above.contains(other))
    }

    /// Whether the caller sees all of these columns in all rows.
    pub(in crate::rewrite) fn sees(&self, name: &RelationName, columns: &[Arc<str>]) -> bool {
        let Some(relation) = self.catalog.relations.get(name) else { return false };
        let scope = self.scope.relations.get(name);
        let all_rows = match scope {
            None => false,
            Some(RelationScope::Whole) => true,
            Some(RelationScope::Part { all_rows, .. }) => *all_rows || relation.filter.is_none(),
        };
        all_rows && columns.iter().all(|column| reveals(scope, relation, column))
    }
}

/// Whether the caller sees a column as it is.
fn reveals(scope: Option<&RelationScope>, relation: &Relation, wanted: &Arc<str>) -> bool {
    match scope {
        None => false,
        Some(RelationScope::Whole) => true,
        Some(RelationScope::Part { showings, .. }) => {
            let mut known = relation.columns.iter().zip(showings.iter());
            known.any(|(column, showing)| column.name == *wanted && *showing == Showing::Revealed)
        }
    }
}

/// By what the row keeps.
fn judged_as_a_row(it: &Assignment<'_>) -> Outcome {
    let relation = it.relation;
    if let Some(check) = relation.checks.iter().find(|check| it.touches(check) && it.keeps_hidden(check)) {
        return it.judged_by("a check of", check, TOGETHER);
    }
    if let Some(columns) = relation.standing.iter().find(|columns| it.keeps_hidden(columns)) {
        let what = "what rows may violate already (a check that is not validated, or answers otherwise at another time or \
                    under other settings, or such an index, or a unique one that is not valid), over";
        return it.judged_by(what, columns, "whoever may do everything can validate it, or write these rows");
    }
    let mut indexes = relation.indexes.iter();
    if let Some(index) = indexes.find(|index| it.touches(&index.by) && it.keeps_hidden(&index.columns)) {
        return it.judged_by("the largest size of a row, or an index, over", &index.columns, TOGETHER);
    }
    let mut generated = relation.columns.iter().filter(|column| column.generated);
    if let Some(column) =
        generated.find(|column| it.touches(&column.generated_from) && it.keeps_hidden(&column.generated_from))
    {
        return it.judged_by("a generated column over", &column.generated_from, TOGETHER);
    }
    for columns in [&relation.arrivals, &relation.partition_key] {
        if it.arrives && it.keeps_hidden(columns) {
            let hint = "leave the partition key as it is, or have every partition judge as all of them do";
            return it.judged_by("a partition to which it may bring the row, by", columns, hint);
        }
    }
    Ok(())
}

/// What an INSERT leaves out is assigned its default, and a generated column follows what it is made from.
fn with_what_follows(relation: &Relation, mut assigned: BTreeSet<String>, kind: Kind) -> BTreeSet<String> {
    let follows = relation.columns.iter().filter(|column| {
        (kind == Kind::Insert && (column.default || column.generated))
            || column.generated_from.iter().any(|source| assigned.contains(&**source))
    });
    let follows: Vec<String> = follows.map(|column| column.name.to_string()).collect();
    assigned.extend(follows);
    assigned
}
