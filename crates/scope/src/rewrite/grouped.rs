//! GROUP BY of a primary key. A sub-select hides that the key determines the other columns of its relation: those that can be
//! grouped by are added to GROUP BY, and of the others and of whole rows the one value of the group is taken. Each group is of
//! one row of that relation, so that no group changes.

use std::collections::{BTreeMap, BTreeSet};

use chaperone_access::{RelationScope, Showing};
use pg_query::NodeEnum;
use pg_query::protobuf::{ColumnRef, FuncCall, Node, RangeVar, SelectStmt};

use super::expression::{around, each_reference, item};
use super::relation::{Named, facts};
use super::star::{star, star_of};
use super::{Outcome, Rewriter, node, refused, string, sval, values};
use crate::tree::strings;
use crate::{functions, system};

/// Types that cannot be grouped by: those without an operator class for btree or hash.
const UNGROUPABLE: [&str; 13] = [
    "json",
    "xml",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "jsonpath",
    "refcursor",
    "txid_snapshot",
    "pg_snapshot",
];

/// How a column that a key determines can be had.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is grouped by.
    Grouped,
    /// Its one value is taken.
    Taken,
    /// Not at all: arrays of one shape alone make an array, and NULL and empty ones do not.
    Neither,
}

impl Way {
    fn of(typ: &str) -> Self {
        match typ.trim_end_matches("[]") {
            element if !UNGROUPABLE.contains(&element) => Self::Grouped,
            element if element == typ => Self::Taken,
            _ => Self::Neither,
        }
    }
}

/// A relation that a sub-select stands for, whose primary key may stand for its columns in GROUP BY.
struct Keyed {
    alias: String,
    key: Vec<String>,
    columns: Vec<(String, Way)>,
}

impl Keyed {
    /// Bytes of what its columns are called in the statement.
    fn length(&self) -> usize {
        self.columns.iter().map(|(name, _)| self.alias.len() + name.len()).sum()
    }

    /// Whether a name is a column's, here, and which way there is to it. One without a qualifier that another relation has, too,
    /// would be ambiguous as it was written.
    fn column(&self, names: &[&str]) -> Option<(&str, Way)> {
        let name = match names {
            [name] => name,
            [.., qualifier, name] if *qualifier == self.alias => name,
            _ => return None,
        };
        self.columns.iter().find(|(known, _)| known == name).map(|(known, way)| (&**known, *way))
    }
}

impl Rewriter<'_> {
    pub(super) fn group_by_key(&mut self, select: &mut SelectStmt) -> Outcome {
        if select.group_clause.is_empty() {
            return Ok(());
        }
        let mut keyed = Vec::new();
        for item in &select.from_clause {
            self.keyed(item, &mut keyed)?;
        }
        let mut by = columns_grouped_by(select);
        for relation in keyed {
            let has = |column: &String| {
                let qualified = vec![relation.alias.clone(), column.clone()];
                by.contains(std::slice::from_ref(column)) || by.contains(qualified.as_slice())
            };
            if !relation.key.iter().all(has) {
                continue;
            }
            let apart = in_sets(select)?;
            let mut used = Used { relation: &relation, rewriter: self, apart, names: BTreeSet::new() };
            used.query(select)?;
            for column in used.names.into_iter().filter(|column| !has(column)) {
                let fields = vec![string(&relation.alias), string(&column)];
                select.group_clause.push(node(NodeEnum::ColumnRef(ColumnRef { fields, location: 0 })));
            }
            // Each relation goes through all of it.
            self.makes(select.group_clause.len())?;
            by = columns_grouped_by(select);
        }
        Ok(())
    }

    /// The relations of a FROM item that sub-selects stand for and that have a primary key which is seen.
    fn keyed(&mut self, item: &Node, keyed: &mut Vec<Keyed>) -> Outcome {
        match &item.node {
            Some(NodeEnum::JoinExpr(join)) => {
                for side in [&join.larg, &join.rarg].into_iter().flatten() {
                    self.keyed(side, keyed)?;
                }
            }
            Some(NodeEnum::RangeTableSample(sample)) => {
                if let Some(relation) = &sample.relation {
                    self.keyed(relation, keyed)?;
                }
            }
            Some(NodeEnum::RangeVar(relation)) => {
                if let Some(relation) = self.keyed_relation(relation)? {
                    self.makes(relation.length())?;
                    keyed.push(relation);
                }
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    fn keyed_relation(&self, relation: &RangeVar) -> Outcome<Option<Keyed>> {
        // What is not known is refused where it is read.
        let Ok(Named::Relation(name, known)) = self.named(relation) else { return Ok(None) };
        // A key of the system's determines nothing, since none is a constraint.
        if system::is_system(&name.schema) {
            return Ok(None);
        }
        let showings: &[Showing] = match self.scope.relations.get(name) {
            Some(RelationScope::Part { showings, .. }) => showings,
            Some(RelationScope::Whole) if !self.stands_for_itself(known) => {
                &vec![Showing::Revealed; known.columns.len()]
            }
            Some(RelationScope::Whole) | None => return Ok(None),
        };
        let shown = facts(name, known)?.columns.iter().zip(showings);
        let revealed = |column: &str| {
            shown.clone().any(|(fact, showing)| *fact.name == *column && *showing == Showing::Revealed)
        };
        let alias = relation.alias.as_ref();
        let renamed = alias.is_some_and(|alias| !alias.colnames.is_empty());
        if known.primary_key.is_empty() || renamed || !known.primary_key.iter().all(|column| revealed(column))
        {
            return Ok(None);
        }
        let columns = known.columns.iter().map(|column| (column.name.to_string(), Way::of(&column.base)));
        Ok(Some(Keyed {
            alias: alias.map_or_else(|| relation.relname.clone(), |alias| alias.aliasname.clone()),
            key: known.primary_key.iter().map(ToString::to_string).collect(),
            columns: columns.collect(),
        }))
    }
}

/// What a query uses of a relation whose key it is grouped by.
struct Used<'a, 'r> {
    relation: &'a Keyed,
    rewriter: &'a mut Rewriter<'r>,
    /// Columns in grouping sets, in some of which they are NULL: those stay what they are.
    apart: BTreeSet<String>,
    /// Columns to group by.
    names: BTreeSet<String>,
}

impl Used<'_, '_> {
    fn query(&mut self, select: &mut SelectStmt) -> Outcome {
        self.write_stars_out(select)?;
        // What GROUP BY names is a result; so is what ORDER BY and DISTINCT ON name where it is one.
        let grouped_by = self.grouped_by(select);
        let results: BTreeSet<String> = select.target_list.iter().filter_map(name_of).collect();
        let places = select.target_list.iter_mut().enumerate();
        for (_, item) in places.filter(|(place, _)| !grouped_by.contains(place)) {
            let name = name_of(item);
            if self.look_at(item, true)?
                && let (Some(name), Some(NodeEnum::ResTarget(item))) = (name, &mut item.node)
            {
                item.name = name;
            }
        }
        let sorted = select.sort_clause.iter_mut().chain(&mut select.distinct_clause);
        for item in sorted.filter(|item| !plain_name(item).is_some_and(|name| results.contains(name))) {
            self.look_at(item, true)?;
        }
        for item in select.window_clause.iter_mut().chain(select.having_clause.as_deref_mut()) {
            self.look_at(item, true)?;
        }
        Ok(())
    }

    /// `*` is columns each of which has its own way.
    fn write_stars_out(&mut self, select: &mut SelectStmt) -> Outcome {
        if self.relation.columns.iter().all(|(_, way)| *way == Way::Grouped) {
            return Ok(());
        }
        let alone = matches!(
            select.from_clause.as_slice(),
            [Node { node: Some(NodeEnum::RangeVar(_) | NodeEnum::RangeTableSample(_)) }]
        );
        for target in std::mem::take(&mut select.target_list) {
            match star_of(&target) {
                Some(of) if of.map_or(alone, |of| of == self.relation.alias) => {
                    let columns = self.every_column()?.into_iter();
                    select.target_list.extend(columns.map(|column| item(column, "")));
                }
                Some(_) | None => select.target_list.push(target),
            }
        }
        Ok(())
    }

    fn every_column(&mut self) -> Outcome<Vec<Node>> {
        self.rewriter.makes(self.relation.length())?;
        let columns = self.relation.columns.iter().map(|(name, _)| {
            let fields = vec![string(&self.relation.alias), string(name)];
            node(NodeEnum::ColumnRef(ColumnRef { fields, location: 0 }))
        });
        Ok(columns.collect())
    }

    /// Places of the results that GROUP BY names: no aggregate may stand there.
    fn grouped_by(&self, select: &SelectStmt) -> BTreeSet<usize> {
        let mut called: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, item) in select.target_list.iter().enumerate() {
            if let Some(NodeEnum::ResTarget(result)) = &item.node {
                called.entry(&result.name).or_default().push(place);
            }
        }
        let places = |item: &Node| match plain_name(item) {
            Some(name) if self.relation.column(&[name]).is_none() => {
                called.get(name).cloned().unwrap_or_default()
            }
            Some(_) => Vec::new(),
            None => place_of(item).into_iter().collect(),
        };
        select.group_clause.iter().flat_map(places).collect()
    }

    /// Note what an expression uses, and where `take` holds, write what is taken. Whether anything was.
    fn look_at(&mut self, item: &mut Node, take: bool) -> Outcome<bool> {
        let mut taken = false;
        each_reference(item, &mut |inner| self.reference(inner, take, &mut taken))?;
        Ok(taken)
    }

    fn reference(&mut self, inner: &mut Node, take: bool, taken: &mut bool) -> Outcome<bool> {
        // Each relation goes through all of it.
        self.rewriter.makes(1)?;
        match &mut inner.node {
            Some(NodeEnum::FuncCall(call)) if self.sees_rows(call) => {
                let filter = call.agg_filter.as_deref_mut();
                for inner in call.args.iter_mut().chain(&mut call.agg_order).chain(filter) {
                    self.look_at(inner, false)?;
                }
                return Ok(true);
            }
            Some(NodeEnum::RowExpr(row)) => {
                for value in std::mem::take(&mut row.args) {
                    match star(&value).flatten() {
                        Some(of) if of == self.relation.alias => row.args.extend(self.every_column()?),
                        Some(_) | None => row.args.push(value),
                    }
                }
                return Ok(false);
            }
            Some(_) | None => {}
        }
        match &inner.node {
            // It has relations of its own; what it takes from here can be any name that is one here.
            Some(NodeEnum::SelectStmt(_)) => {
                values(inner)?.each(&mut |fields| self.note(&strings(fields, "fields")));
                Ok(true)
            }
            Some(NodeEnum::GroupingFunc(_)) => Ok(true),
            // `(p).name` is the column.
            Some(NodeEnum::AIndirection(it)) if it.arg.as_deref().is_some_and(|row| self.is_row(row)) => {
                self.note_all();
                Ok(true)
            }
            Some(NodeEnum::ResTarget(_)) if let Some(of) = star_of(inner) => {
                if of.is_none_or(|of| of == self.relation.alias) {
                    self.note_all();
                }
                Ok(true)
            }
            Some(NodeEnum::ColumnRef(column)) => {
                let names: Vec<&str> = column.fields.iter().filter_map(sval).collect();
                let known = self.relation.column(&names).filter(|_| star(inner).is_none());
                match known {
                    Some((name, _)) if self.apart.contains(name) => return Ok(true),
                    Some((name, Way::Neither)) if take => return neither(name),
                    Some((_, Way::Taken)) if take => {}
                    None if take && self.is_row(inner) => {}
                    Some(_) | None => {
                        self.note(&names);
                        return Ok(true);
                    }
                }
                self.rewriter.makes(TAKEN.len())?;
                *inner = around(TAKEN, inner)?;
                *taken = true;
                Ok(true)
            }
            Some(_) | None => Ok(false),
        }
    }

    fn note(&mut self, names: &[&str]) {
        if let Some((name, Way::Grouped)) = self.relation.column(names)
            && !self.apart.contains(name)
        {
            self.names.insert(name.to_owned());
        }
    }

    fn note_all(&mut self) {
        for (name, _) in &self.relation.columns {
            self.note(&[name]);
        }
    }

    /// Whether it is the relation's whole row: `p`, or `p.*` where that is a value. A column of that name comes first.
    fn is_row(&self, value: &Node) -> bool {
        match (plain_name(value), star(value).flatten()) {
            (Some(name), _) => name == self.relation.alias && self.relation.column(&[name]).is_none(),
            (None, Some(of)) => of == self.relation.alias,
            (None, None) => false,
        }
    }

    /// Whether a call may be an aggregate, in which nothing is taken: what it is given is not the group's.
    fn sees_rows(&self, call: &FuncCall) -> bool {
        let names: Vec<&str> = call.funcname.iter().filter_map(sval).collect();
        let ([name] | ["pg_catalog", name]) = names.as_slice() else { return true };
        // What is neither the system's nor an extension's is refused where it is called.
        let builtin = !functions::extension_function(self.rewriter.catalog, name);
        call.over.is_none() && (!builtin || functions::is_aggregate(name))
    }
}

fn neither<T>(name: &str) -> Outcome<T> {
    refused(
        format!(
            "`{name}` in a query that is grouped by its relation's key: its type cannot be grouped by, so it"
        ),
        "read it in a sub-select, by the key: `(SELECT q.column FROM relation q WHERE q.key = p.key)`",
    )
}

/// The one value that a column or a row, which `x` stands for, has in a group.
const TAKEN: &str = "(pg_catalog.array_agg(x))[1]";

/// Names of columns in the grouping sets of GROUP BY.
fn in_sets(select: &SelectStmt) -> Outcome<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for item in &select.group_clause {
        if matches!(item.node, Some(NodeEnum::GroupingSet(_))) {
            values(item)?.each(&mut |fields| {
                names.extend(strings(fields, "fields").last().map(|name| (*name).to_owned()));
            });
        }
    }
    Ok(names)
}

fn columns_grouped_by(select: &SelectStmt) -> BTreeSet<Vec<String>> {
    select.group_clause.iter().filter_map(|item| grouped(item, select)).collect()
}

/// The column that an item of GROUP BY stands for, with its qualifier: written there, or as the number or the name of a
/// result.
fn grouped(item: &Node, select: &SelectStmt) -> Option<Vec<String>> {
    match item.node.as_ref() {
        Some(NodeEnum::ColumnRef(column)) => {
            let mut names: Vec<String> = column.fields.iter().filter_map(sval).map(str::to_owned).collect();
            let kept = names.len().saturating_sub(2);
            names.drain(..kept);
            Some(names)
        }
        Some(_) | None => {
            let NodeEnum::ResTarget(result) = select.target_list.get(place_of(item)?)?.node.as_ref()? else {
                return None;
            };
            let value = result.val.as_ref()?;
            matches!(value.node, Some(NodeEnum::ColumnRef(_))).then(|| grouped(value, select))?
        }
    }
}

/// The place of a result that a number stands for.
fn place_of(item: &Node) -> Option<usize> {
    let Some(NodeEnum::AConst(constant)) = &item.node else { return None };
    let pg_query::protobuf::a_const::Val::Ival(place) = constant.val.as_ref()? else { return None };
    usize::try_from(place.ival).ok()?.checked_sub(1)
}

/// A name alone, also where it is sorted by.
fn plain_name(item: &Node) -> Option<&str> {
    match &item.node {
        Some(NodeEnum::SortBy(sorted)) => plain_name(sorted.node.as_deref()?),
        Some(NodeEnum::ColumnRef(column)) => match column.fields.as_slice() {
            [name] => sval(name),
            _ => None,
        },
        Some(_) | None => None,
    }
}

/// What a result is called: as it says, or as the column that its value is made of.
fn name_of(item: &Node) -> Option<String> {
    let Some(NodeEnum::ResTarget(result)) = &item.node else { return None };
    match result.name.as_str() {
        "" => column_of(result.val.as_deref()?).map(str::to_owned),
        name => Some(name.to_owned()),
    }
}

/// The column that PostgreSQL calls a value by.
fn column_of(value: &Node) -> Option<&str> {
    match &value.node {
        Some(NodeEnum::ColumnRef(column)) => column.fields.iter().rev().find_map(sval),
        Some(NodeEnum::TypeCast(cast)) => column_of(cast.arg.as_deref()?),
        Some(NodeEnum::CollateClause(collated)) => column_of(collated.arg.as_deref()?),
        Some(NodeEnum::CaseExpr(case)) => column_of(case.defresult.as_deref()?),
        Some(NodeEnum::AIndirection(it)) => match it.indirection.iter().rev().find_map(sval) {
            Some(field) => Some(field),
            None => column_of(it.arg.as_deref()?),
        },
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests;
