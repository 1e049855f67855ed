//! GROUP BY of a primary key, which a sub-select hides.

use chaperone_access::{RelationScope, Showing};
use pg_query::NodeEnum;
use pg_query::protobuf::{ColumnRef, Node, RangeVar, SelectStmt};

use super::expression::each_reference;
use super::relation::{Named, facts};
use super::{Outcome, Rewriter, node, string, sval};
use crate::system;

/// Types that cannot be grouped by: `pg_type` without an equality operator.
const UNGROUPABLE: [&str; 9] = ["json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle"];

/// A relation that a sub-select stands for, whose primary key may stand for its columns in GROUP BY.
struct Keyed {
    alias: String,
    key: Vec<String>,
    columns: Vec<String>,
}

impl Rewriter<'_> {
    /// A sub-select hides that a primary key determines the other columns of its relation: they are added to GROUP BY.
    /// Each group is of one row of that relation, so no group changes.
    pub(super) fn group_by_key(&mut self, select: &mut SelectStmt) -> Outcome {
        if select.group_clause.is_empty() {
            return Ok(());
        }
        let mut keyed = Vec::new();
        for item in &select.from_clause {
            self.keyed(item, &mut keyed)?;
        }
        for relation in keyed {
            let grouped: Vec<Vec<String>> =
                select.group_clause.iter().filter_map(|item| grouped(item, select)).collect();
            let has = |column: &str| {
                grouped.iter().any(|names| match names.as_slice() {
                    [name] => name == column,
                    [qualifier, name] => *qualifier == relation.alias && name == column,
                    _ => false,
                })
            };
            if !relation.key.iter().all(|column| has(column)) {
                continue;
            }
            let mut used = Vec::new();
            for nodes in [&mut select.target_list, &mut select.sort_clause, &mut select.distinct_clause] {
                for item in nodes {
                    used_of(item, &relation, &mut used)?;
                }
            }
            if let Some(having) = &mut select.having_clause {
                used_of(having, &relation, &mut used)?;
            }
            for column in used {
                let known = has(&column) || !relation.columns.contains(&column);
                if !known {
                    select.group_clause.push(node(NodeEnum::ColumnRef(ColumnRef {
                        fields: vec![string(&relation.alias), string(&column)],
                        location: 0,
                    })));
                }
            }
        }
        Ok(())
    }

    /// The relations of a FROM item that sub-selects stand for and that have a primary key which is seen.
    fn keyed(&self, item: &Node, keyed: &mut Vec<Keyed>) -> Outcome {
        match &item.node {
            Some(NodeEnum::JoinExpr(join)) => {
                for side in [&join.larg, &join.rarg].into_iter().flatten() {
                    self.keyed(side, keyed)?;
                }
            }
            Some(NodeEnum::RangeVar(relation)) => keyed.extend(self.keyed_relation(relation)?),
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
        let groupable = |typ: &str| !UNGROUPABLE.contains(&typ);
        let columns =
            known.columns.iter().filter(|column| groupable(&column.base)).map(|c| c.name.to_string());
        Ok(Some(Keyed {
            alias: alias.map_or_else(|| relation.relname.clone(), |alias| alias.aliasname.clone()),
            key: known.primary_key.iter().map(ToString::to_string).collect(),
            columns: columns.collect(),
        }))
    }
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
        Some(NodeEnum::AConst(constant)) => {
            let pg_query::protobuf::a_const::Val::Ival(place) = constant.val.as_ref()? else { return None };
            let place = usize::try_from(place.ival).ok()?.checked_sub(1)?;
            let NodeEnum::ResTarget(result) = select.target_list.get(place)?.node.as_ref()? else {
                return None;
            };
            let value = result.val.as_ref()?;
            matches!(value.node, Some(NodeEnum::ColumnRef(_))).then(|| grouped(value, select))?
        }
        Some(_) | None => None,
    }
}

/// Names in an expression that can be those of a relation's columns. One without a qualifier that another relation has, too, would
/// be ambiguous as it was written.
fn used_of(item: &mut Node, relation: &Keyed, used: &mut Vec<String>) -> Outcome {
    each_reference(item, &mut |reference| {
        if matches!(reference.node, Some(NodeEnum::SelectStmt(_))) {
            // It has relations of its own; what it takes from here is named with its alias as a rule.
            return Ok(true);
        }
        let Some(NodeEnum::ColumnRef(column)) = &reference.node else { return Ok(false) };
        let star = column.fields.iter().any(|field| matches!(field.node, Some(NodeEnum::AStar(_))));
        let names: Vec<&str> = column.fields.iter().filter_map(sval).collect();
        match (names.as_slice(), star) {
            ([], true) => used.extend(relation.columns.iter().cloned()),
            ([.., qualifier], true) if *qualifier == relation.alias => {
                used.extend(relation.columns.iter().cloned())
            }
            ([name], false) if *name == relation.alias => used.extend(relation.columns.iter().cloned()),
            ([name], false) => used.push((*name).to_owned()),
            ([.., qualifier, name], false) if *qualifier == relation.alias => used.push((*name).to_owned()),
            (_, _) => {}
        }
        Ok(true)
    })
    .map(|()| {
        used.sort();
        used.dedup();
    })
}

#[cfg(test)]
mod tests;
