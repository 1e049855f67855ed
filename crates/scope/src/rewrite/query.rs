//! SELECT, VALUES, TABLE, and set operations of them.

use pg_query::NodeEnum;
use pg_query::protobuf::{Alias, FuncCall, Node, RangeFunction, RangeVar, SelectStmt, WithClause};

use super::{Outcome, Rewriter, node, refused, sval, unfaithful};
use crate::system;

impl Rewriter<'_> {
    /// A query that stands for itself.
    pub(super) fn query(&mut self, query: &mut Node) -> Outcome {
        match &mut query.node {
            Some(NodeEnum::SelectStmt(select)) => self.select(select),
            Some(
                NodeEnum::InsertStmt(_)
                | NodeEnum::UpdateStmt(_)
                | NodeEnum::DeleteStmt(_)
                | NodeEnum::MergeStmt(_),
            ) => self.write(query),
            Some(_) | None => refused("a query of an unknown kind", "write it as SELECT"),
        }
    }

    pub(super) fn select(&mut self, select: &mut SelectStmt) -> Outcome {
        self.within(select.with_clause.take(), |this, with| {
            select.with_clause = with;
            this.select_body(select)
        })
    }

    fn select_body(&mut self, select: &mut SelectStmt) -> Outcome {
        for side in [&mut select.larg, &mut select.rarg].into_iter().flatten() {
            self.select(side)?;
        }
        self.group_by_key(select)?;
        let alone = matches!(select.from_clause.as_slice(), [Node { node: Some(NodeEnum::RangeVar(_)) }]);
        let outside = self.locking;
        // Of sub-selects and views in FROM as well.
        self.locking |= !select.locking_clause.is_empty();
        for item in &mut select.from_clause {
            self.item_of_from(item)?;
        }
        self.locking = outside;
        for nodes in [
            &mut select.distinct_clause,
            &mut select.target_list,
            &mut select.group_clause,
            &mut select.window_clause,
            &mut select.values_lists,
            &mut select.sort_clause,
        ] {
            self.expressions(nodes)?;
        }
        for part in [
            &mut select.where_clause,
            &mut select.having_clause,
            &mut select.limit_offset,
            &mut select.limit_count,
        ] {
            self.optional(part)?;
        }
        // What it is made from may have its name.
        if let Some(into) = &mut select.into_clause {
            self.kept_in_temporary(into)?;
        }
        // In a sub-select of a write, names may be of the write's target.
        if alone && self.target.is_none() { self.bare(select) } else { Ok(()) }
    }

    /// Do something where the names of a WITH clause can be seen. They are given names that no table has.
    pub(super) fn within(
        &mut self,
        with: Option<WithClause>,
        inside: impl FnOnce(&mut Self, Option<WithClause>) -> Outcome,
    ) -> Outcome {
        let Some(mut with) = with else { return inside(self, None) };
        let depth = self.ctes.len();
        let done = self.with_clause(&mut with).and_then(|()| inside(self, Some(with)));
        self.ctes.truncate(depth);
        done
    }

    fn with_clause(&mut self, with: &mut WithClause) -> Outcome {
        let mut renamed = Vec::new();
        for cte in &mut with.ctes {
            let Some(NodeEnum::CommonTableExpr(cte)) = &mut cte.node else { return Err(unfaithful()) };
            let ours = self.cte_name();
            renamed.push((std::mem::replace(&mut cte.ctename, ours.clone()), ours));
        }
        // One scope for all: each sees those before it, and with RECURSIVE every one.
        self.ctes.push(if with.recursive { renamed.clone() } else { Vec::new() });
        for (cte, names) in with.ctes.iter_mut().zip(renamed) {
            let Some(NodeEnum::CommonTableExpr(cte)) = &mut cte.node else { return Err(unfaithful()) };
            // In a sub-select of a write it sees the write's target, as all in there does. That of the write itself does
            // not, and is gone through before the target is known.
            match &mut cte.ctequery {
                Some(query) => self.query(query)?,
                None => return Err(unfaithful()),
            }
            // SEARCH and CYCLE name columns of its own; what marks a cycle are constants.
            if let Some(cycle) = &mut cte.cycle_clause {
                self.optional(&mut cycle.cycle_mark_value)?;
                self.optional(&mut cycle.cycle_mark_default)?;
            }
            if !with.recursive
                && let Some(scope) = self.ctes.last_mut()
            {
                scope.push(names);
            }
        }
        Ok(())
    }

    fn cte_name(&mut self) -> String {
        loop {
            self.ctes_made += 1;
            let name = format!("chaperone_cte_{}", self.ctes_made);
            let taken = self.catalog.names.contains(name.as_str())
                || self.temporary.iter().any(|known| **known == *name);
            if !taken {
                self.generated.cte(name.clone());
                return name;
            }
        }
    }

    pub(super) fn item_of_from(&mut self, item: &mut Node) -> Outcome {
        if let Some(relation) = read_as(item)? {
            item.node = Some(self.read_relation(&relation, None)?);
            return Ok(());
        }
        match &mut item.node {
            Some(NodeEnum::RangeVar(relation)) => {
                let relation = std::mem::take(relation);
                item.node = Some(self.read_relation(&relation, None)?);
                Ok(())
            }
            Some(NodeEnum::RangeTableSample(sample)) => {
                self.expressions(&mut sample.args)?;
                self.optional(&mut sample.repeatable)?;
                let relation = match sample.relation.take().and_then(|relation| relation.node) {
                    Some(NodeEnum::RangeVar(relation)) => relation,
                    Some(_) | None => return refused("TABLESAMPLE of no relation", "sample a table"),
                };
                let sample = node(NodeEnum::RangeTableSample(sample.clone()));
                item.node = Some(self.read_relation(&relation, Some(sample))?);
                Ok(())
            }
            Some(NodeEnum::RangeSubselect(sub)) => match &mut sub.subquery {
                Some(query) => self.query(query),
                None => Err(unfaithful()),
            },
            Some(NodeEnum::JoinExpr(join)) => {
                for side in [&mut join.larg, &mut join.rarg].into_iter().flatten() {
                    self.item_of_from(side)?;
                }
                self.optional(&mut join.quals)
            }
            Some(NodeEnum::RangeFunction(function)) => {
                side_by_side(function);
                self.expressions(&mut function.functions)?;
                for definition in &mut function.functions {
                    if let Some(NodeEnum::List(list)) = &mut definition.node {
                        self.column_definitions(&mut list.items)?;
                    }
                }
                self.column_definitions(&mut function.coldeflist)
            }
            Some(NodeEnum::RangeTableFunc(table)) => {
                self.expressions(&mut table.namespaces)?;
                self.optional(&mut table.docexpr)?;
                self.optional(&mut table.rowexpr)?;
                for column in &mut table.columns {
                    let Some(NodeEnum::RangeTableFuncCol(column)) = &mut column.node else {
                        return Err(unfaithful());
                    };
                    if let Some(name) = &mut column.type_name {
                        self.type_name(name)?;
                    }
                    self.optional(&mut column.colexpr)?;
                    self.optional(&mut column.coldefexpr)?;
                }
                Ok(())
            }
            Some(_) | None => refused("a FROM item of an unknown kind", "name a table or write a sub-select"),
        }
    }

    /// Types in lists of column definitions, wherever they stand.
    pub(super) fn column_definitions(&mut self, nodes: &mut [Node]) -> Outcome {
        for item in nodes {
            match &mut item.node {
                Some(NodeEnum::ColumnDef(column)) => {
                    if let Some(name) = &mut column.type_name {
                        self.type_name(name)?;
                    }
                }
                Some(NodeEnum::List(list)) => self.column_definitions(&mut list.items)?,
                Some(_) | None => {}
            }
        }
        Ok(())
    }
}

/// The relation that a function in FROM is read as.
fn read_as(item: &Node) -> Outcome<Option<RangeVar>> {
    let Some(NodeEnum::RangeFunction(function)) = &item.node else { return Ok(None) };
    let named = |text: &str| Alias { aliasname: text.to_owned(), ..Alias::default() };
    let read_as = super::values(item)?.fields().and_then(system::read_as);
    Ok(read_as.map(|relation| RangeVar {
        schemaname: "pg_catalog".to_owned(),
        relname: relation.to_owned(),
        inh: true,
        relpersistence: "p".to_owned(),
        alias: Some(function.alias.clone().unwrap_or_else(|| named("pg_show_all_settings"))),
        ..RangeVar::default()
    }))
}

/// `unnest(a, b)` is a syntax of its own, which a completed name is not: written as what it stands for.
fn side_by_side(function: &mut RangeFunction) {
    let mut functions = Vec::new();
    let mut several = false;
    for item in std::mem::take(&mut function.functions) {
        let mut item = item;
        let arguments = match &mut item.node {
            Some(NodeEnum::List(list)) => match list.items.first_mut().and_then(|call| call.node.as_mut()) {
                Some(NodeEnum::FuncCall(call)) if is_unnest_of_several(call) => {
                    std::mem::take(&mut call.args)
                }
                Some(_) | None => Vec::new(),
            },
            Some(_) | None => Vec::new(),
        };
        if arguments.is_empty() {
            functions.push(item);
            continue;
        }
        several = true;
        for argument in arguments {
            let mut one = item.clone();
            if let Some(NodeEnum::List(list)) = &mut one.node
                && let Some(NodeEnum::FuncCall(call)) =
                    list.items.first_mut().and_then(|call| call.node.as_mut())
            {
                call.args = vec![argument];
            }
            functions.push(one);
        }
    }
    function.functions = functions;
    function.is_rowsfrom |= several;
}

fn is_unnest_of_several(call: &FuncCall) -> bool {
    let names: Vec<&str> = call.funcname.iter().filter_map(sval).collect();
    names == ["unnest"] && call.args.len() > 1
}

#[cfg(test)]
mod tests;
