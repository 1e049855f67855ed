//! Writes. Their target cannot be replaced, so every mention of what the caller does not see of it is refused, and so is
//! every assignment that a constraint would judge by what he does not see.

use std::collections::BTreeSet;

use chaperone_access::{RelationScope, Showing};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    ColumnRef, DeleteStmt, InsertStmt, MergeStmt, Node, OnConflictClause, RangeVar, ReturningClause,
    UpdateStmt,
};

use super::expression::item;
use super::relation::{Named, facts, split_by_hidden};
use super::{Outcome, Rewriter, hidden, mask, node, our_expression, refused, string, sval, unfaithful};
use crate::catalog::{ForeignKey, Relation};
use crate::walk::{TEMPORARY, quoted};

/// Columns that every table has.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];
/// Other names of the target's row, in ON CONFLICT and in RETURNING.
const ROWS: [&str; 3] = ["excluded", "old", "new"];

/// A column of the target that is not revealed.
struct Withheld {
    name: String,
    /// What stands for it in RETURNING.
    shown: String,
}

/// The target of a write.
pub(super) struct Target<'a> {
    relation: Option<&'a Relation>,
    name: String,
    alias: String,
    withheld: Vec<Withheld>,
    /// All columns in order, each revealed or not.
    columns: Vec<(String, bool)>,
    /// What an INSERT names to give values to: in ON CONFLICT `excluded` holds these very values.
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

impl Target<'_> {
    fn seen_in_part(&self) -> bool {
        !self.withheld.is_empty()
    }

    /// Every column.
    fn all(&self) -> BTreeSet<String> {
        let columns = self.relation.into_iter().flat_map(|relation| &relation.columns);
        columns.map(|column| column.name.to_string()).collect()
    }

    fn is_withheld(&self, column: &str) -> bool {
        self.withheld.iter().any(|withheld| withheld.name == column)
    }

    fn row(&self, name: &str) -> bool {
        name == self.alias || ROWS.contains(&name)
    }

    fn oracle<T>(&self, column: &str) -> Outcome<T> {
        hidden(format!(
            "a condition or a value that reads `{column}` of `{}`, which you do not see,",
            self.name
        ))
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
            ([qualifier], true) if self.row(qualifier) => {
                hidden(format!("the whole row of `{}`, of which you see a part,", self.name))
            }
            ([name], false) if self.row(name) && !self.columns.iter().any(|(known, _)| known == name) => {
                hidden(format!("the whole row of `{}`, of which you see a part,", self.name))
            }
            // `row.f` is `f(row)` where no column has that name.
            ([qualifier, name], false)
                if self.row(qualifier)
                    && !SYSTEM_COLUMNS.contains(name)
                    && !self.columns.iter().any(|(known, _)| known == name) =>
            {
                hidden(format!("the whole row of `{}`, of which you see a part,", self.name))
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
                    Some(withheld) if self.returning => {
                        *reference = our_expression(&withheld.shown)?;
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
        let plain = |relation, name: String, alias| Target {
            relation,
            name,
            alias,
            withheld: Vec::new(),
            columns: Vec::new(),
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
                    return Ok(plain(Some(known), full.to_string(), alias));
                }
                match self.seen(full)? {
                    RelationScope::Whole => Ok(plain(Some(known), full.to_string(), alias)),
                    RelationScope::Part { all_rows: false, .. } if known.filter.is_some() => {
                        hidden(format!("a write to `{full}`, of which you see only some rows,"))
                    }
                    RelationScope::Part { .. } if self.explaining => {
                        hidden(format!("EXPLAIN of a write to `{full}`, of which you see a part,"))
                    }
                    // Only what is partitioned, or a part of it, has a key of that kind.
                    RelationScope::Part { showings, .. } if split_by_hidden(known, showings, true) => {
                        hidden(format!("a write to `{full}`, which is partitioned by what you do not see,"))
                    }
                    RelationScope::Part { showings, .. } => {
                        let facts = facts(full, known)?;
                        if facts.columns.len() != known.columns.len() || showings.len() != known.columns.len()
                        {
                            return Err(unfaithful());
                        }
                        let mut target = plain(Some(known), full.to_string(), alias);
                        let under = self.is_under(full);
                        for ((column, fact), showing) in
                            known.columns.iter().zip(&facts.columns).zip(showings.iter())
                        {
                            target.columns.push((column.name.to_string(), *showing == Showing::Revealed));
                            if *showing != Showing::Revealed {
                                // What a view of the floor masks, the table itself does not give.
                                let showing = match showing {
                                    Showing::Masked if under && mask::reads(fact) => Showing::Hidden,
                                    Showing::Masked | Showing::Revealed | Showing::Hidden => *showing,
                                };
                                let shown = mask::expression(column, Some(fact), showing, &target.alias);
                                target.withheld.push(Withheld { name: column.name.to_string(), shown });
                            }
                        }
                        Ok(target)
                    }
                }
            }
        }
    }

    fn insert(&mut self, it: &mut InsertStmt) -> Outcome {
        let mut target = self.target_of(&mut it.relation)?;
        let assigned = assigned(&it.cols)?;
        if !mentions_default(it.select_stmt.as_deref()) {
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
        self.target = Some(target);
        for from in &mut it.from_clause {
            self.item_of_from(from)?;
        }
        self.assignments(&mut it.target_list)?;
        self.optional(&mut it.where_clause)?;
        self.returning(&mut it.returning_clause, it.from_clause.is_empty())
    }

    fn delete(&mut self, it: &mut DeleteStmt) -> Outcome {
        let target = self.target_of(&mut it.relation)?;
        self.may_assign(&target, &BTreeSet::new(), Kind::Delete)?;
        self.target = Some(target);
        for from in &mut it.using_clause {
            self.item_of_from(from)?;
        }
        self.optional(&mut it.where_clause)?;
        self.returning(&mut it.returning_clause, it.using_clause.is_empty())
    }

    fn merge(&mut self, it: &mut MergeStmt) -> Outcome {
        let target = self.target_of(&mut it.relation)?;
        self.target = Some(target);
        if let Some(source) = &mut it.source_relation {
            self.item_of_from(source)?;
        }
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
            clause.exprs = returned(std::mem::take(&mut clause.exprs), &target, alone)?;
        }
        target.returning = true;
        self.target = Some(target);
        self.expressions(&mut clause.exprs)
    }

    /// Whether rows may be loaded into the target.
    pub(super) fn may_load(&self, target: &Target<'_>, listed: Option<BTreeSet<String>>) -> Outcome {
        self.may_assign(target, &listed.unwrap_or_else(|| target.all()), Kind::Insert)
    }

    /// Whether nothing that judges the assignment, or follows from it, reads what the caller does not see.
    fn may_assign(&self, target: &Target<'_>, assigned: &BTreeSet<String>, kind: Kind) -> Outcome {
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
