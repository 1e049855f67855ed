//! `*` beside a system column: what stands in the place of a relation has the system column among the others, so `*` is
//! written out where it is plain what it is.

use pg_query::NodeEnum;
use pg_query::protobuf::{ColumnRef, Node, ParseResult, RangeVar, SelectStmt};

use super::expression::item;
use super::relation::Named;
use super::{Outcome, Rewriter, node, string, sval};

impl Rewriter<'_> {
    /// Write `*` out in each statement that is a SELECT from one table, and `x.*` of a table among others.
    pub(super) fn write_stars_out(&mut self, tree: &mut ParseResult) -> Outcome {
        for raw in &mut tree.stmts {
            if let Some(NodeEnum::SelectStmt(select)) =
                raw.stmt.as_mut().and_then(|statement| statement.node.as_mut())
            {
                self.write_out(select)?;
            }
        }
        Ok(())
    }

    fn write_out(&mut self, select: &mut SelectStmt) -> Outcome {
        if select.with_clause.is_some() {
            return Ok(());
        }
        let mut tables = Vec::new();
        select.from_clause.iter().for_each(|item| self.tables(item, &mut tables));
        let alone = matches!(select.from_clause.as_slice(), [Node { node: Some(NodeEnum::RangeVar(_)) }]);
        let mut items = Vec::with_capacity(select.target_list.len());
        for target in std::mem::take(&mut select.target_list) {
            let of = star_of(&target);
            let table = tables.iter().find(|(called, _)| match of {
                Some(Some(qualifier)) => qualifier == called,
                Some(None) => alone,
                None => false,
            });
            let Some((called, columns)) = table else {
                items.push(target);
                continue;
            };
            self.makes(columns.iter().map(|column| called.len() + column.len()).sum())?;
            items.extend(columns.iter().map(|column| {
                let fields = vec![string(called), string(column)];
                item(node(NodeEnum::ColumnRef(ColumnRef { fields, location: 0 })), "")
            }));
        }
        select.target_list = items;
        Ok(())
    }

    /// The tables of an item of FROM that `x.*` can be of. A join with a name hides them.
    fn tables(&self, item: &Node, tables: &mut Vec<(String, Vec<String>)>) {
        match &item.node {
            Some(NodeEnum::RangeVar(relation)) => tables.extend(self.columns_of(relation)),
            Some(NodeEnum::JoinExpr(join)) if join.alias.is_none() => {
                [&join.larg, &join.rarg].into_iter().flatten().for_each(|side| self.tables(side, tables));
            }
            Some(_) | None => {}
        }
    }

    /// What a table is called in its statement, and its columns.
    fn columns_of(&self, relation: &RangeVar) -> Option<(String, Vec<String>)> {
        let Ok(Named::Relation(_, known)) = self.stored(relation) else { return None };
        let alias = relation.alias.as_ref();
        let renamed = alias.is_some_and(|alias| !alias.colnames.is_empty());
        let is_table = matches!(known.kind, b'r' | b'p') && !known.columns.is_empty();
        let called = alias.map_or_else(|| relation.relname.clone(), |alias| alias.aliasname.clone());
        let columns = known.columns.iter().map(|column| column.name.to_string()).collect();
        (is_table && !renamed).then_some((called, columns))
    }
}

/// Of an item of a list of results that is `*`: what stands before it.
pub(super) fn star_of(target: &Node) -> Option<Option<&str>> {
    let Some(NodeEnum::ResTarget(target)) = &target.node else { return None };
    target.val.as_deref().and_then(star)
}

/// Of a `*`, what stands before it.
pub(super) fn star(value: &Node) -> Option<Option<&str>> {
    let Some(NodeEnum::ColumnRef(column)) = &value.node else { return None };
    match column.fields.as_slice() {
        [Node { node: Some(NodeEnum::AStar(_)) }] => Some(None),
        [.., of, Node { node: Some(NodeEnum::AStar(_)) }] => sval(of).map(Some),
        _ => None,
    }
}
