//! `*` beside a system column: what stands in the place of a relation has the system column among the others, so `*` is
//! written out where it is plain what it is.

use pg_query::NodeEnum;
use pg_query::protobuf::{ColumnRef, Node, ParseResult, RangeVar, SelectStmt};

use super::expression::item;
use super::relation::Named;
use super::{Rewriter, node, string, sval};

impl Rewriter<'_> {
    /// Write `*` out in each statement that is a SELECT from one table.
    pub(super) fn write_stars_out(&self, tree: &mut ParseResult) {
        for raw in &mut tree.stmts {
            if let Some(NodeEnum::SelectStmt(select)) =
                raw.stmt.as_mut().and_then(|statement| statement.node.as_mut())
            {
                self.write_out(select);
            }
        }
    }

    fn write_out(&self, select: &mut SelectStmt) {
        let [Node { node: Some(NodeEnum::RangeVar(relation)) }] = select.from_clause.as_slice() else {
            return;
        };
        let Some((alias, columns)) = self.columns_of(relation).filter(|_| select.with_clause.is_none())
        else {
            return;
        };
        let named = |column: &String| {
            let fields = vec![string(&alias), string(column)];
            item(node(NodeEnum::ColumnRef(ColumnRef { fields, location: 0 })), "")
        };
        let items = std::mem::take(&mut select.target_list).into_iter().flat_map(|target| {
            if is_star(&target, &alias) { columns.iter().map(&named).collect() } else { vec![target] }
        });
        select.target_list = items.collect();
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

/// Whether an item of a list of results is `*`, or that of what is called so.
fn is_star(target: &Node, alias: &str) -> bool {
    let Some(NodeEnum::ResTarget(target)) = &target.node else { return false };
    let Some(NodeEnum::ColumnRef(column)) = target.val.as_ref().and_then(|value| value.node.as_ref()) else {
        return false;
    };
    match column.fields.as_slice() {
        [Node { node: Some(NodeEnum::AStar(_)) }] => true,
        [of, Node { node: Some(NodeEnum::AStar(_)) }] => sval(of) == Some(alias),
        _ => false,
    }
}
