//! A relation by its own name in a SELECT that can name nothing of it but columns which are revealed: what a sub-select in its
//! place would show is then all that is read anyway, and the target has less to read, to plan and to keep. `*` is written
//! out for it.
//!
//! The argument is [`names_what_is_revealed`], by which it is also decided: one relation, no other query inside, no `*` and no row
//! as a whole, and every name that could be a column's is a revealed one's.

use std::collections::BTreeSet;

use chaperone_access::{RelationName, RelationScope, Scope, Showing};
use pg_query::NodeEnum;
use pg_query::protobuf::{ColumnRef, Node, RangeSubselect, RangeVar, ResTarget, SelectStmt};

use super::expression::item;
use super::star::star_of;
use super::{Outcome, Rewriter, node, string, sval};
use crate::catalog::Catalog;
use crate::tree::{self, Fields, Value, node as kind_of, text};

impl Rewriter<'_> {
    /// Read by its name what a sub-select of ours alone stands for in FROM, where that shows the same.
    pub(super) fn bare(&mut self, select: &mut SelectStmt) -> Outcome {
        let Some(there) = only_sub_select(select) else { return Ok(()) };
        let Some(relation) = relation_of(there) else { return Ok(()) };
        let shown = columns_of(there);
        let stars = select.target_list.iter().filter(|target| star_of(target).is_some()).count();
        let called = called(&relation).len();
        self.makes(shown.iter().map(|(name, _)| stars * (called + name.len())).sum())?;
        let results = select.target_list.iter().flat_map(|target| written_out(target, &relation, &shown));
        let mut written = SelectStmt { target_list: results.collect(), ..select.clone() };
        let mut constants = false;
        for item in &mut written.target_list {
            constants |= constant_in(item, &relation, &shown);
        }
        written.from_clause = vec![node(NodeEnum::RangeVar(relation))];
        let written = node(NodeEnum::SelectStmt(Box::new(written)));
        let tells = super::values(&written)?;
        let Some(fields) = tells.fields() else { return Ok(()) };
        // A column beside an aggregate has to be grouped by, and a constant would not.
        if constants && groups(fields) {
            return Ok(());
        }
        if names_what_is_revealed(fields, self.catalog, self.scope)
            && let Some(NodeEnum::SelectStmt(written)) = written.node
        {
            *select = *written;
        }
        Ok(())
    }
}

/// The sub-select that is all of FROM.
fn only_sub_select(select: &SelectStmt) -> Option<&RangeSubselect> {
    match select.from_clause.as_slice() {
        [Node { node: Some(NodeEnum::RangeSubselect(sub)) }] => Some(sub),
        _ => None,
    }
}

fn inside(sub: &RangeSubselect) -> Option<&SelectStmt> {
    match &sub.subquery.as_ref()?.node {
        Some(NodeEnum::SelectStmt(select)) => Some(select),
        Some(_) | None => None,
    }
}

/// The relation that a sub-select reads all rows of, called as the sub-select is.
fn relation_of(sub: &RangeSubselect) -> Option<RangeVar> {
    let select = inside(sub)?;
    let [Node { node: Some(NodeEnum::RangeVar(relation)) }] = select.from_clause.as_slice() else {
        return None;
    };
    let whole = SelectStmt {
        target_list: select.target_list.clone(),
        from_clause: select.from_clause.clone(),
        limit_option: select.limit_option,
        op: select.op,
        ..SelectStmt::default()
    };
    (whole == *select).then(|| RangeVar { alias: sub.alias.clone(), ..relation.clone() })
}

/// What a sub-select shows as each column.
fn columns_of(sub: &RangeSubselect) -> Vec<(&str, &Node)> {
    let items = inside(sub).into_iter().flat_map(|select| &select.target_list);
    let named = items.filter_map(|item| match &item.node {
        Some(NodeEnum::ResTarget(item)) => Some((item.name.as_str(), item.val.as_deref()?)),
        Some(_) | None => None,
    });
    named.collect()
}

fn called(relation: &RangeVar) -> &str {
    relation.alias.as_ref().map_or(&relation.relname, |alias| &alias.aliasname)
}

/// Whether a query makes groups, or may: it calls something where an aggregate may stand.
fn groups(select: &Fields) -> bool {
    select.iter().any(|(name, value)| match name {
        "group_clause" | "having_clause" => true,
        "distinct_clause" | "sort_clause" | "target_list" | "window_clause" => has_call(value),
        _ => false,
    })
}

fn has_call(value: &Value) -> bool {
    match value {
        Value::Node("FuncCall", _) => true,
        Value::Object(fields) | Value::Node(_, fields) => fields.values().any(has_call),
        Value::Array(items) => items.iter().any(has_call),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => false,
    }
}

/// A result, or the columns that it stands for where it is `*`.
fn written_out(target: &Node, relation: &RangeVar, shown: &[(&str, &Node)]) -> Vec<Node> {
    let called = called(relation);
    match star_of(target) {
        Some(of) if of.is_none_or(|of| of == called) => {
            let column = |(name, _): &(&str, &Node)| {
                let fields = vec![string(called), string(name)];
                item(node(NodeEnum::ColumnRef(ColumnRef { fields, location: 0 })), "")
            };
            shown.iter().map(column).collect()
        }
        Some(_) | None => vec![target.clone()],
    }
}

/// In a result that is a column in whose place a constant is shown, that, under the column's name. Whether it was.
fn constant_in(item: &mut Node, relation: &RangeVar, shown: &[(&str, &Node)]) -> bool {
    let Some(NodeEnum::ResTarget(item)) = &mut item.node else { return false };
    let Some(name) = column_of(item, called(relation)).map(str::to_owned) else { return false };
    let column = shown.iter().find(|(known, _)| *known == name);
    let Some(constant) = column.and_then(|(_, value)| constant(value)) else { return false };
    item.val = Some(Box::new(constant.clone()));
    if item.name.is_empty() {
        item.name = name;
    }
    true
}

/// The column of a result that is nothing but that. One of another qualifier is of a query around this one.
fn column_of<'i>(item: &'i ResTarget, called: &str) -> Option<&'i str> {
    match &item.val.as_ref()?.node {
        Some(NodeEnum::ColumnRef(column)) => match column.fields.as_slice() {
            [name] => sval(name),
            [of, name] if sval(of) == Some(called) => sval(name),
            _ => None,
        },
        Some(_) | None => None,
    }
}

/// What stands for a column, where that is a constant of its type. A mask that is made of the value is none.
fn constant(value: &Node) -> Option<&Node> {
    match &value.node {
        Some(NodeEnum::TypeCast(cast)) => match &cast.arg.as_deref()?.node {
            Some(NodeEnum::AConst(_)) => Some(value),
            Some(_) | None => None,
        },
        Some(_) | None => None,
    }
}

/// What a SELECT that reads a relation by its name may have: no other query, no lock, nothing that is made of it.
const MAY_HAVE: [&str; 13] = [
    "distinct_clause",
    "from_clause",
    "group_clause",
    "group_distinct",
    "having_clause",
    "limit_count",
    "limit_offset",
    "limit_option",
    "op",
    "sort_clause",
    "target_list",
    "where_clause",
    "window_clause",
];

/// Whether a SELECT from one relation that is seen in part, of which all rows are, can name nothing of it but what is revealed.
pub(super) fn names_what_is_revealed(select: &Fields, catalog: &Catalog, scope: &Scope) -> bool {
    let Some((called, revealed)) = read_by_name(select, catalog, scope) else { return false };
    let known = |names: &[&str]| match names {
        // Were the column gone by now, its name could be that of the whole row.
        [name] => *name != called && revealed.contains(name),
        [of, name] => *of == called && revealed.contains(name),
        _ => false,
    };
    let results = tree::items(select, "target_list").filter_map(Value::fields).map(|item| text(item, "name"));
    let results: BTreeSet<&str> = results.collect();
    select.iter().all(|(name, value)| match name {
        "from_clause" => true,
        // A name by itself is a result's there before it is a column's.
        "sort_clause" => {
            tree::items(select, name).all(|item| sorts_by(item, &results) || names_only(item, &known))
        }
        _ => MAY_HAVE.contains(&name) && names_only(value, &known),
    })
}

/// What a relation is called in a SELECT that reads it alone, and the columns of it that are revealed.
fn read_by_name<'a>(
    select: &'a Fields,
    catalog: &'a Catalog,
    scope: &'a Scope,
) -> Option<(&'a str, Vec<&'a str>)> {
    let [from] = select.get("from_clause")?.as_array()? else { return None };
    let ("RangeVar", from) = kind_of(from)? else { return None };
    let alias = from.get("alias").and_then(Value::fields);
    if alias.is_some_and(|alias| alias.get("colnames").is_some()) {
        return None;
    }
    let name = RelationName::new(text(from, "schemaname"), text(from, "relname"));
    let relation =
        catalog.relations.get(&name).filter(|known| matches!(known.kind, b'r' | b'p') && known.is_plain())?;
    if !relation.facts.as_ref().is_some_and(|facts| facts.speaks()) {
        return None;
    }
    let RelationScope::Part { showings, all_rows } = scope.relations.get(&name)? else { return None };
    if !*all_rows && relation.filter.is_some() || showings.len() != relation.columns.len() {
        return None;
    }
    let columns = relation.columns.iter().zip(showings.iter());
    let revealed =
        columns.filter(|(_, showing)| **showing == Showing::Revealed).map(|(column, _)| &*column.name);
    let called = alias.map_or_else(|| text(from, "relname"), |alias| text(alias, "aliasname"));
    Some((called, revealed.collect()))
}

/// Whether an item of ORDER BY is the name of a result.
fn sorts_by(item: &Value, results: &BTreeSet<&str>) -> bool {
    let value = item.fields().and_then(|item| item.get("node"));
    match value.and_then(kind_of) {
        Some(("ColumnRef", column)) => {
            matches!(*tree::strings(column, "fields"), [name] if results.contains(name))
                && tree::items(column, "fields").count() == 1
        }
        Some(_) | None => false,
    }
}

/// Whether every name in it that could be a column's is known, and nothing stands for more than it names.
fn names_only(value: &Value, known: &dyn Fn(&[&str]) -> bool) -> bool {
    match value {
        Value::Node("SelectStmt" | "AStar", _) => false,
        Value::Node("ColumnRef", column) => {
            let names = tree::strings(column, "fields");
            names.len() == tree::items(column, "fields").count() && known(&names)
        }
        Value::Object(fields) | Value::Node(_, fields) => {
            fields.values().all(|value| names_only(value, known))
        }
        Value::Array(items) => items.iter().all(|item| names_only(item, known)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => true,
    }
}

#[cfg(test)]
mod tests;
