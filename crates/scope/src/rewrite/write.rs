//! Writes. Their target cannot be replaced, so every mention of what the caller does not see of it is refused, and so is
//! every assignment that a constraint would judge by what he does not see (`judge.rs`).

mod judge;

use std::collections::BTreeSet;

use chaperone_access::{RelationName, RelationScope, Showing};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    ColumnRef, DeleteStmt, InsertStmt, MergeStmt, Node, OnConflictClause, OverridingKind, RangeVar,
    ReturningClause, UpdateStmt,
};

use super::expression::item;
use super::relation::{Named, facts, split_by_hidden};
use super::{
    Outcome, Rewriter, TABLEOID, hidden, hidden_but, mask, node, our_expression, refused, string, sval,
    unfaithful,
};
use crate::catalog::{Relation, SYSTEM_COLUMNS};
use crate::walk::{TEMPORARY, quoted};

/// Other names of the target's row, in ON CONFLICT and in RETURNING.
const ROWS: [&str; 3] = ["excluded", "old", "new"];

/// A column of the target that does not stand for itself.
struct Withheld {
    name: String,
    shown: Shown,
}

/// What stands for a column of the target.
enum Shown {
    /// It is not revealed: this stands for it in RETURNING, and nothing elsewhere.
    Returned(String),
    /// It is revealed, as a value of this type, because its own type has code.
    As(String),
}

/// The target of a write.
pub(super) struct Target<'a> {
    stored: Option<(&'a RelationName, &'a Relation)>,
    name: String,
    alias: String,
    withheld: Vec<Withheld>,
    /// All columns in order, each revealed or not.
    columns: Vec<(String, bool)>,
    /// What an INSERT or COPY names to give values to: in ON CONFLICT `excluded` holds these very values.
    given: BTreeSet<String>,
    /// In RETURNING constants stand for what is withheld; elsewhere it is refused.
    returning: bool,
}

/// What a write does to the rows of its target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Insert,
    Update,
    Delete,
}

/// A write's plan would tell of what is not seen of its target.
fn explained<T>(name: &RelationName) -> Outcome<T> {
    hidden_but(
        format!("EXPLAIN of a write to `{name}`, of which you see a part,"),
        "explain a SELECT with the same conditions",
    )
}

impl Target<'_> {
    /// Columns that all rows which come are given values for.
    pub(super) fn give(&mut self, columns: BTreeSet<String>) {
        self.given = columns;
    }

    fn seen_in_part(&self) -> bool {
        !self.withheld.is_empty()
    }

    /// Whether it is read, elsewhere, as it is.
    pub(super) fn stands_for_itself(&self) -> bool {
        !self.seen_in_part()
    }

    /// Every column.
    pub(super) fn all(&self) -> BTreeSet<String> {
        let columns = self.stored.into_iter().flat_map(|(_, relation)| &relation.columns);
        columns.map(|column| column.name.to_string()).collect()
    }

    /// What stands for one of its columns in RETURNING, at most, in bytes.
    pub(super) fn longest(&self) -> usize {
        let shown = self.withheld.iter().map(|withheld| match &withheld.shown {
            Shown::Returned(shown) => shown.len(),
            Shown::As(_) => 0,
        });
        if self.returning { shown.max().unwrap_or(0) } else { 0 }
    }

    fn is_withheld(&self, column: &str) -> bool {
        self.withheld.iter().any(|withheld| withheld.name == column)
    }

    fn row(&self, name: &str) -> bool {
        name == self.alias || ROWS.contains(&name)
    }

    fn whole_row<T>(&self) -> Outcome<T> {
        if self.columns.iter().all(|(_, revealed)| *revealed) {
            let what = format!("the whole row of `{}`, which tells more than its columns do", self.name);
            return refused(what, "name the columns");
        }
        hidden(format!("the whole row of `{}`, of which you see a part,", self.name))
    }

    fn oracle<T>(&self, column: &str) -> Outcome<T> {
        hidden_but(
            format!("a condition or a value that reads `{column}` of `{}`, which you do not see,", self.name),
            "pick the rows by columns that you see",
        )
    }

    /// A column reference somewhere in the write. Whether it means the target is not asked where it could.
    pub(super) fn reference(&self, reference: &mut Node) -> Outcome {
        let Some(NodeEnum::ColumnRef(column)) = &reference.node else { return Ok(()) };
        if !self.seen_in_part() {
            return Ok(());
        }
        let star = column.fields.iter().any(|field| matches!(field.node, Some(NodeEnum::AStar(_))));
        let names: Vec<&str> = column.fields.iter().filter_map(sval).collect();
        match (names.as_slice(), star) {
            ([], _) => Ok(()),
            ([qualifier], true) if self.row(qualifier) => self.whole_row(),
            ([name], false) if self.row(name) && !self.columns.iter().any(|(known, _)| known == name) => {
                self.whole_row()
            }
            // `row.f` is `f(row)` where no column has that name.
            ([qualifier, name], false)
                if self.row(qualifier)
                    && !SYSTEM_COLUMNS.contains(name)
                    && !self.columns.iter().any(|(known, _)| known == name) =>
            {
                self.whole_row()
            }
            ([.., name], false) => {
                let meant = match names.as_slice() {
                    [qualifier, _] => self.row(qualifier),
                    _ => true,
                };
                if let ["excluded", name] = names.as_slice()
                    && self.given.contains(*name)
                {
                    return Ok(());
                }
                if meant && SYSTEM_COLUMNS.contains(name) {
                    return self.oracle(name);
                }
                match self.withheld.iter().find(|withheld| meant && withheld.name == *name) {
                    None => Ok(()),
                    Some(Withheld { shown: Shown::As(typ), .. }) => cast(reference, typ),
                    Some(Withheld { shown: Shown::Returned(shown), .. }) if self.returning => {
                        *reference = our_expression(shown)?;
                        Ok(())
                    }
                    Some(withheld) => self.oracle(&withheld.name),
                }
            }
            (_, true) => Ok(()),
        }
    }
}

impl<'a> Rewriter<'a> {
    pub(super) fn write(&mut self, statement: &mut Node) -> Outcome {
        let outside = self.target.take();
        let done = match &mut statement.node {
            Some(NodeEnum::InsertStmt(it)) => {
                let with = it.with_clause.take();
                self.within(with, |this, with| {
                    it.with_clause = with;
                    this.insert(it)
                })
            }
            Some(NodeEnum::UpdateStmt(it)) => {
                let with = it.with_clause.take();
                self.within(with, |this, with| {
                    it.with_clause = with;
                    this.update(it)
                })
            }
            Some(NodeEnum::DeleteStmt(it)) => {
                let with = it.with_clause.take();
                self.within(with, |this, with| {
                    it.with_clause = with;
                    this.delete(it)
                })
            }
            Some(NodeEnum::MergeStmt(it)) => {
                let with = it.with_clause.take();
                self.within(with, |this, with| {
                    it.with_clause = with;
                    this.merge(it)
                })
            }
            Some(_) | None => Err(unfaithful()),
        };
        self.target = outside;
        done
    }

    /// The target, with its name completed.
    pub(super) fn target_of(&mut self, relation: &mut Option<RangeVar>) -> Outcome<Target<'a>> {
        let Some(range) = relation else { return Err(unfaithful()) };
        let alias =
            range.alias.as_ref().map_or_else(|| range.relname.clone(), |alias| alias.aliasname.clone());
        let plain = |stored: Option<(&'a RelationName, &'a Relation)>, name: String, alias| Target {
            stored,
            name,
            alias,
            withheld: stored.map(|(_, known)| with_code(known)).unwrap_or_default(),
            columns: stored.map(|(_, known)| revealed_all(known)).unwrap_or_default(),
            given: BTreeSet::new(),
            returning: false,
        };
        match self.stored(range)? {
            Named::Cte(_) => Err(unfaithful()),
            Named::Temporary => {
                TEMPORARY.clone_into(&mut range.schemaname);
                Ok(plain(None, range.relname.clone(), alias))
            }
            Named::Relation(full, known) => {
                full.schema.as_ref().clone_into(&mut range.schemaname);
                if self.is_open() {
                    return Ok(plain(Some((full, known)), full.to_string(), alias));
                }
                let placed = self.places_by_hidden(known);
                if placed && !range.inh {
                    return hidden(format!(
                        "a write to ONLY `{full}`, where what inherits from it has rows by what you do not see,"
                    ));
                }
                if !self.sees_placing(known) {
                    return hidden(format!(
                        "a write to `{full}`, which has rows by a check of what you do not see,"
                    ));
                }
                match self.seen(full)? {
                    RelationScope::Whole if self.explaining && range.inh && self.hides_below(known) => {
                        explained(full)
                    }
                    RelationScope::Whole
                        if (range.inh && self.hides_below(known))
                            || (self.locks && self.locks_tell(known)) =>
                    {
                        let mut target = plain(Some((full, known)), full.to_string(), alias);
                        let tells = Shown::Returned("NULL::oid".to_owned());
                        target.withheld.push(Withheld { name: TABLEOID.to_owned(), shown: tells });
                        Ok(target)
                    }
                    RelationScope::Whole => Ok(plain(Some((full, known)), full.to_string(), alias)),
                    RelationScope::Part { all_rows: false, .. } if known.filter.is_some() => {
                        hidden(format!("a write to `{full}`, of which you see only some rows,"))
                    }
                    RelationScope::Part { showings, .. } => self.part_of(
                        full,
                        known,
                        showings,
                        plain(Some((full, known)), full.to_string(), alias),
                    ),
                }
            }
        }
    }

    /// The target of which a part is seen.
    fn part_of(
        &self,
        full: &RelationName,
        known: &Relation,
        showings: &[Showing],
        mut target: Target<'a>,
    ) -> Outcome<Target<'a>> {
        if self.explaining {
            return explained(full);
        }
        // Only what is partitioned, or a part of it, has a key of that kind.
        if split_by_hidden(known, showings, true) {
            return hidden(format!("a write to `{full}`, which is partitioned by what you do not see,"));
        }
        let facts = facts(full, known)?;
        if facts.columns.len() != known.columns.len() || showings.len() != known.columns.len() {
            return Err(unfaithful());
        }
        target.columns.clear();
        let under = self.is_under(full);
        for ((column, fact), showing) in known.columns.iter().zip(&facts.columns).zip(showings.iter()) {
            target.columns.push((column.name.to_string(), *showing == Showing::Revealed));
            if *showing != Showing::Revealed {
                // What a view of the floor masks, the table itself does not give.
                let showing = match showing {
                    Showing::Masked if under && mask::reads(fact) => Showing::Hidden,
                    Showing::Masked | Showing::Revealed | Showing::Hidden => *showing,
                };
                let shown = Shown::Returned(mask::expression(column, Some(fact), showing, &target.alias));
                target.withheld.retain(|with_code| *with_code.name != *column.name);
                target.withheld.push(Withheld { name: column.name.to_string(), shown });
            }
        }
        Ok(target)
    }

    fn insert(&mut self, it: &mut InsertStmt) -> Outcome {
        let mut target = self.target_of(&mut it.relation)?;
        let assigned = assigned(&it.cols)?;
        // What an identity makes in place of a value that was given is nobody's to see.
        let is_kept = it.r#override != OverridingKind::OverridingUserValue as i32;
        if is_kept && !mentions_default(it.select_stmt.as_deref()) {
            target.given = assigned.clone().unwrap_or_default();
        }
        // Without a list the first ones are meant, as many as there are values: all may be.
        let assigned = assigned.unwrap_or_else(|| target.all());
        self.may_assign(&target, &assigned, Kind::Insert)?;
        if let Some(select) = &mut it.select_stmt {
            self.query(select)?;
        }
        self.target = Some(target);
        if let Some(conflict) = &mut it.on_conflict_clause {
            self.on_conflict(conflict)?;
        }
        self.returning(&mut it.returning_clause, true)
    }

    fn on_conflict(&mut self, it: &mut OnConflictClause) -> Outcome {
        if let Some(infer) = &mut it.infer {
            for element in &infer.index_elems {
                let Some(NodeEnum::IndexElem(element)) = &element.node else { return Err(unfaithful()) };
                if let Some(target) = &self.target
                    && target.is_withheld(&element.name)
                {
                    return target.oracle(&element.name);
                }
            }
            self.expressions(&mut infer.index_elems)?;
            self.optional(&mut infer.where_clause)?;
        }
        if !it.target_list.is_empty() {
            let assigned = assigned(&it.target_list)?.unwrap_or_default();
            if let Some(target) = self.target.take() {
                let may = self.may_assign(&target, &assigned, Kind::Update);
                self.target = Some(target);
                may?;
            }
        }
        self.assignments(&mut it.target_list)?;
        self.optional(&mut it.where_clause)
    }

    fn update(&mut self, it: &mut UpdateStmt) -> Outcome {
        let target = self.target_of(&mut it.relation)?;
        let assigned = assigned(&it.target_list)?.unwrap_or_default();
        self.may_assign(&target, &assigned, Kind::Update)?;
        // Nothing in there sees the target, not even with LATERAL.
        for from in &mut it.from_clause {
            self.item_of_from(from)?;
        }
        self.target = Some(target);
        self.assignments(&mut it.target_list)?;
        self.optional(&mut it.where_clause)?;
        self.returning(&mut it.returning_clause, it.from_clause.is_empty())
    }

    fn delete(&mut self, it: &mut DeleteStmt) -> Outcome {
        let target = self.target_of(&mut it.relation)?;
        self.may_assign(&target, &BTreeSet::new(), Kind::Delete)?;
        for from in &mut it.using_clause {
            self.item_of_from(from)?;
        }
        self.target = Some(target);
        self.optional(&mut it.where_clause)?;
        self.returning(&mut it.returning_clause, it.using_clause.is_empty())
    }

    fn merge(&mut self, it: &mut MergeStmt) -> Outcome {
        let target = self.target_of(&mut it.relation)?;
        self.may_change(&target)?;
        if let Some(source) = &mut it.source_relation {
            self.item_of_from(source)?;
        }
        self.target = Some(target);
        self.optional(&mut it.join_condition)?;
        for when in &mut it.merge_when_clauses {
            let Some(NodeEnum::MergeWhenClause(when)) = &mut when.node else { return Err(unfaithful()) };
            self.optional(&mut when.condition)?;
            let assigned = assigned(&when.target_list)?;
            // The grammar's numbers: CMD_UPDATE 3, CMD_INSERT 4, CMD_DELETE 5; CMD_NOTHING does nothing.
            let kind = match when.command_type {
                3 => Some(Kind::Update),
                4 => Some(Kind::Insert),
                5 => Some(Kind::Delete),
                _ => None,
            };
            if let (Some(kind), Some(target)) = (kind, self.target.take()) {
                let may = self.may_assign(&target, &assigned.unwrap_or_else(|| target.all()), kind);
                self.target = Some(target);
                may?;
            }
            self.assignments(&mut when.target_list)?;
            self.expressions(&mut when.values)?;
        }
        self.returning(&mut it.returning_clause, false)
    }

    /// The right sides of assignments, and their left sides where a part of a value is assigned to.
    fn assignments(&mut self, list: &mut [Node]) -> Outcome {
        for assignment in list.iter() {
            let Some(NodeEnum::ResTarget(to)) = &assignment.node else { return Err(unfaithful()) };
            if let Some(target) = &self.target
                && !to.indirection.is_empty()
                && target.is_withheld(&to.name)
            {
                return target.oracle(&to.name);
            }
        }
        self.expressions(list)
    }

    /// `alone`: no other relation's columns are among those of `*`.
    fn returning(&mut self, clause: &mut Option<ReturningClause>, alone: bool) -> Outcome {
        let (Some(clause), Some(mut target)) = (clause, self.target.take()) else { return Ok(()) };
        if target.seen_in_part() {
            let stars = clause.exprs.iter().filter(|result| is_star(result)).count();
            self.makes(
                target.columns.iter().map(|(name, _)| stars * (target.alias.len() + name.len())).sum(),
            )?;
            clause.exprs = returned(std::mem::take(&mut clause.exprs), &target, alone)?;
        }
        target.returning = true;
        self.target = Some(target);
        self.expressions(&mut clause.exprs)
    }
}

/// Whether an item of a list of results is `*`, or ends in it.
fn is_star(result: &Node) -> bool {
    let Some(NodeEnum::ResTarget(result)) = &result.node else { return false };
    let Some(NodeEnum::ColumnRef(column)) = result.val.as_ref().and_then(|value| value.node.as_ref()) else {
        return false;
    };
    column.fields.iter().any(|field| matches!(field.node, Some(NodeEnum::AStar(_))))
}

/// The columns whose own types have code, as what they are handed on as.
fn with_code(relation: &Relation) -> Vec<Withheld> {
    let coded = relation.columns.iter().filter(|column| column.code);
    coded
        .map(|column| Withheld { name: column.name.to_string(), shown: Shown::As(column.base.to_string()) })
        .collect()
}

fn revealed_all(relation: &Relation) -> Vec<(String, bool)> {
    relation.columns.iter().map(|column| (column.name.to_string(), true)).collect()
}

/// Put a cast around a reference.
fn cast(reference: &mut Node, typ: &str) -> Outcome {
    let mut around = our_expression(&format!("NULL::{typ}"))?;
    match &mut around.node {
        Some(NodeEnum::TypeCast(cast)) => cast.arg = Some(Box::new(std::mem::take(reference))),
        Some(_) | None => return Err(unfaithful()),
    }
    *reference = around;
    Ok(())
}

/// Whether a value of an INSERT is left to the table: DEFAULT, anywhere in it.
fn mentions_default(source: Option<&Node>) -> bool {
    match source.and_then(|source| source.node.as_ref()) {
        None => true,
        Some(NodeEnum::SelectStmt(select)) => select.values_lists.iter().any(|row| match &row.node {
            Some(NodeEnum::List(row)) => {
                row.items.iter().any(|item| matches!(item.node, Some(NodeEnum::SetToDefault(_))))
            }
            Some(_) | None => true,
        }),
        Some(_) => true,
    }
}

/// The columns that a list assigns to; `None` for an empty list.
fn assigned(list: &[Node]) -> Outcome<Option<BTreeSet<String>>> {
    let mut names = BTreeSet::new();
    for item in list {
        match &item.node {
            Some(NodeEnum::ResTarget(to)) => names.insert(to.name.clone()),
            Some(_) | None => return Err(unfaithful()),
        };
    }
    Ok((!list.is_empty()).then_some(names))
}

/// RETURNING with `*` written out, so that constants can stand in it, and with the names that results would have had.
fn returned(list: Vec<Node>, target: &Target<'_>, alone: bool) -> Outcome<Vec<Node>> {
    let mut out = Vec::with_capacity(list.len());
    for returned in list {
        let Some(NodeEnum::ResTarget(mut result)) = returned.node else { return Err(unfaithful()) };
        let column = match result.val.as_ref().and_then(|value| value.node.as_ref()) {
            Some(NodeEnum::ColumnRef(column)) => Some(column),
            Some(_) | None => None,
        };
        let star =
            column.is_some_and(|it| it.fields.iter().any(|f| matches!(f.node, Some(NodeEnum::AStar(_)))));
        let names: Vec<&str> =
            column.into_iter().flat_map(|column| &column.fields).filter_map(sval).collect();
        match (names.as_slice(), star) {
            ([], true) if !alone => {
                return refused("RETURNING * beside other relations", "name the columns");
            }
            ([], true) => all(target, &mut out),
            ([.., qualifier], true) if *qualifier == target.alias => all(target, &mut out),
            ([.., name], false) if result.name.is_empty() && target.is_withheld(name) => {
                result.name = (*name).to_owned();
                out.push(node(NodeEnum::ResTarget(result)));
            }
            (_, _) => out.push(node(NodeEnum::ResTarget(result))),
        }
    }
    Ok(out)
}

fn all(target: &Target<'_>, out: &mut Vec<Node>) {
    out.extend(target.columns.iter().map(|(name, _)| {
        let value = node(NodeEnum::ColumnRef(ColumnRef {
            fields: vec![string(&target.alias), string(name)],
            location: 0,
        }));
        item(value, name)
    }));
}

/// Columns as a list of SQL.
pub(super) fn column_list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
