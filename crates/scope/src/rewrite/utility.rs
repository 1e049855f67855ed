//! Statements around others, COPY and LOCK.

use std::collections::BTreeSet;

use chaperone_access::RelationScope;
use pg_query::NodeEnum;
use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{CopyStmt, DefElem, ExplainStmt, IntoClause, Node, RangeVar, SelectStmt};

use super::relation::{Named, facts};
use super::write::column_list;
use super::{Outcome, Rewriter, hidden_but, node, our_select, refused, sval, unfaithful};
use crate::system;
use crate::walk::TEMPORARY;

/// EXPLAIN's options that tell of costs, pages and settings.
const EXPLAIN_LEFT_OUT: [&str; 6] = ["buffers", "costs", "wal", "settings", "memory", "serialize"];

/// What SHOW calls all settings, and what stands in its place: those that it shows one by one.
const ALL: &str = "all";
const SHOW_ALL: &str = "SELECT s.name, current_setting(s.name) AS setting, s.short_desc AS description \
                        FROM pg_catalog.pg_settings AS s";

impl Rewriter<'_> {
    pub(super) fn statement(&mut self, statement: &mut Node) -> Outcome {
        match &mut statement.node {
            Some(
                NodeEnum::SelectStmt(_)
                | NodeEnum::InsertStmt(_)
                | NodeEnum::UpdateStmt(_)
                | NodeEnum::DeleteStmt(_)
                | NodeEnum::MergeStmt(_),
            ) => self.query(statement),
            Some(NodeEnum::PrepareStmt(it)) => {
                for typ in &mut it.argtypes {
                    if let Some(NodeEnum::TypeName(name)) = &mut typ.node {
                        self.type_name(name)?;
                    }
                }
                self.inner(&mut it.query)
            }
            Some(NodeEnum::DeclareCursorStmt(it)) => self.inner(&mut it.query),
            Some(NodeEnum::ExecuteStmt(it)) => self.expressions(&mut it.params),
            Some(NodeEnum::ExplainStmt(it)) => self.explain(it),
            Some(NodeEnum::CopyStmt(it)) => self.copy(it),
            Some(NodeEnum::CreateTableAsStmt(it)) => {
                // What it is made from may have its name.
                self.inner(&mut it.query)?;
                match &mut it.into {
                    Some(into) => self.kept_in_temporary(into),
                    None => Err(unfaithful()),
                }
            }
            Some(NodeEnum::CreateStmt(it)) => self.create_temporary(it),
            Some(NodeEnum::DropStmt(it)) => self.drop_temporary(it),
            Some(NodeEnum::TruncateStmt(it)) => self.truncate_temporary(it),
            Some(NodeEnum::IndexStmt(it)) => self.index_temporary(it),
            Some(NodeEnum::AlterTableStmt(it)) => self.alter_temporary(it),
            Some(NodeEnum::RenameStmt(it)) => self.own(&mut it.relation),
            Some(NodeEnum::VacuumStmt(it)) => {
                for item in &mut it.rels {
                    let Some(NodeEnum::VacuumRelation(it)) = &mut item.node else { return Err(unfaithful()) };
                    self.own(&mut it.relation)?;
                }
                Ok(())
            }
            Some(NodeEnum::VariableShowStmt(it)) if it.name.eq_ignore_ascii_case(ALL) => {
                *statement = node(NodeEnum::SelectStmt(Box::new(our_select(SHOW_ALL)?)));
                self.query(statement)
            }
            Some(NodeEnum::LockStmt(it)) => {
                for item in &mut it.relations {
                    let Some(NodeEnum::RangeVar(relation)) = &mut item.node else { return Err(unfaithful()) };
                    self.complete(relation)?;
                }
                Ok(())
            }
            Some(NodeEnum::TransactionStmt(it)) => self.isolated(None, &it.options),
            Some(NodeEnum::VariableSetStmt(it)) => self.isolated(Some(&it.name), &it.args),
            Some(
                // Each write was judged by itself: when what is left is looked at does not matter.
                NodeEnum::ConstraintsSetStmt(_)
                | NodeEnum::VariableShowStmt(_)
                | NodeEnum::DeallocateStmt(_)
                | NodeEnum::FetchStmt(_)
                | NodeEnum::ClosePortalStmt(_)
                | NodeEnum::DiscardStmt(_)
                | NodeEnum::UnlistenStmt(_),
            ) => Ok(()),
            Some(_) | None => refused(
                "a statement that your permissions do not cover",
                "docs/reference/sql.md lists what they do",
            ),
        }
    }

    /// SERIALIZABLE notes what was read by pages, once it is a few rows of one: whose write conflicts with it tells how wide is
    /// what lies beside them.
    fn isolated(&self, name: Option<&str>, values: &[Node]) -> Outcome {
        let is_level = |name: &str| name.to_ascii_lowercase().ends_with("transaction_isolation");
        let serializable = |value: &Node| {
            matches!(&value.node, Some(NodeEnum::AConst(value))
            if matches!(&value.val, Some(Val::Sval(text)) if text.sval.eq_ignore_ascii_case("serializable")))
        };
        let asks = values.iter().any(|value| match &value.node {
            // Of a transaction nothing but its level is a word.
            Some(NodeEnum::DefElem(option)) => option.arg.as_deref().is_some_and(serializable),
            Some(_) | None => name.is_some_and(is_level) && serializable(value),
        });
        if asks && (!self.is_open() || self.scope.narrowed) {
            return refused(
                "SERIALIZABLE: its conflicts tell which rows lie on one page",
                "REPEATABLE READ is carried, and SELECT ... FOR UPDATE",
            );
        }
        Ok(())
    }

    fn inner(&mut self, query: &mut Option<Box<Node>>) -> Outcome {
        match query {
            Some(query) => self.statement(query),
            None => Err(unfaithful()),
        }
    }

    /// A relation that is named but not read: its name completed.
    fn complete(&mut self, relation: &mut RangeVar) -> Outcome {
        match self.stored(relation)? {
            Named::Cte(_) => Err(unfaithful()),
            Named::Temporary => {
                TEMPORARY.clone_into(&mut relation.schemaname);
                Ok(())
            }
            Named::Relation(full, _) => {
                full.schema.as_ref().clone_into(&mut relation.schemaname);
                Ok(())
            }
        }
    }

    /// What tells of the width of hidden values is left out; what runs a write or counts filtered rows is refused.
    fn explain(&mut self, it: &mut ExplainStmt) -> Outcome {
        let on = |option: &DefElem| match option.arg.as_ref().and_then(|arg| arg.node.as_ref()) {
            None => true,
            Some(NodeEnum::String(text)) => !matches!(text.sval.as_str(), "off" | "false" | "0"),
            Some(NodeEnum::Integer(number)) => number.ival != 0,
            Some(NodeEnum::Boolean(flag)) => flag.boolval,
            Some(_) => true,
        };
        let analyze = it.options.iter().any(|option| match &option.node {
            Some(NodeEnum::DefElem(option)) => option.defname == "analyze" && on(option),
            Some(_) | None => false,
        });
        let executes =
            matches!(it.query.as_ref().and_then(|query| query.node.as_ref()), Some(NodeEnum::ExecuteStmt(_)));
        // What catalogs tell is planned by how much there is of it, too.
        let whole = self.scope.is_whole() && self.scope.described.is_none() && !self.counts_hidden_rows();
        if !whole {
            if analyze {
                return hidden_but(
                    "EXPLAIN ANALYZE of a relation of which you see a part",
                    "leave out ANALYZE and BUFFERS",
                );
            }
            if executes {
                return hidden_but(
                    "EXPLAIN EXECUTE of a relation of which you see a part",
                    "explain the query itself",
                );
            }
            // Which plan is chosen depends on how wide the values are that are not shown.
            self.explaining = true;
            it.options.retain(|option| match &option.node {
                Some(NodeEnum::DefElem(option)) => !EXPLAIN_LEFT_OUT.contains(&option.defname.as_str()),
                Some(_) | None => true,
            });
            let costs = our_explain_costs_off()?;
            it.options.push(costs);
        }
        let done = self.inner(&mut it.query);
        self.explaining = false;
        done
    }

    /// Whether row security may leave out rows of anything that is touched.
    fn counts_hidden_rows(&self) -> bool {
        let touched = self.scope.relations.keys().filter_map(|name| self.catalog.relations.get(name));
        !self.is_open() && touched.into_iter().any(|relation| relation.guard.is_some())
    }

    fn copy(&mut self, it: &mut CopyStmt) -> Outcome {
        if it.query.is_some() {
            return self.inner(&mut it.query);
        }
        let names: Vec<String> = it.attlist.iter().filter_map(sval).map(str::to_owned).collect();
        if it.is_from {
            let mut target = self.target_of(&mut it.relation)?;
            let listed = (!names.is_empty()).then(|| names.iter().cloned().collect::<BTreeSet<_>>());
            let defaults = it.options.iter().any(|option| match &option.node {
                Some(NodeEnum::DefElem(option)) => option.defname == "default",
                Some(_) | None => true,
            });
            if !defaults {
                target.give(listed.clone().unwrap_or_else(|| target.all()));
            }
            self.may_load(&target, listed)?;
            self.target = Some(target);
            let done = self.optional(&mut it.where_clause);
            self.target = None;
            return done;
        }
        let Some(relation) = it.relation.take() else { return Err(unfaithful()) };
        let (full, known) = match self.stored(&relation)? {
            Named::Relation(full, known) => (full, known),
            Named::Temporary => {
                it.relation = Some(RangeVar { schemaname: TEMPORARY.to_owned(), ..relation });
                return Ok(());
            }
            Named::Cte(_) => return Err(unfaithful()),
        };
        if system::is_part(&full.schema, &full.name) {
            let named = if names.is_empty() { "*".to_owned() } else { column_list(&names) };
            let mut select = our_select(&format!("SELECT {named}"))?;
            select.from_clause = vec![node(NodeEnum::RangeVar(relation))];
            it.attlist = Vec::new();
            it.query = Some(Box::new(node(NodeEnum::SelectStmt(Box::<SelectStmt>::new(select)))));
            return self.inner(&mut it.query);
        }
        let whole = self.is_open() || *self.seen(full)? == RelationScope::Whole;
        if known.kind == b'v' && !whole {
            return refused("COPY of a view", "use COPY (SELECT * FROM the view) TO STDOUT");
        }
        if whole && self.stands_for_itself(known) {
            it.relation = Some(RangeVar { schemaname: full.schema.to_string(), ..relation });
            return Ok(());
        }
        facts(full, known)?;
        let all =
            || known.columns.iter().filter(|column| !column.generated).map(|c| c.name.to_string()).collect();
        let columns: Vec<String> = if names.is_empty() { all() } else { names };
        let mut select = our_select(&format!("SELECT {}", column_list(&columns)))?;
        // COPY of a relation is of its own rows only.
        select.from_clause = vec![node(NodeEnum::RangeVar(RangeVar { inh: false, ..relation }))];
        it.attlist = Vec::new();
        it.query = Some(Box::new(node(NodeEnum::SelectStmt(Box::<SelectStmt>::new(select)))));
        self.inner(&mut it.query)
    }

    /// A table that is made, and can hold only what the caller could read.
    pub(super) fn kept_in_temporary(&mut self, into: &mut IntoClause) -> Outcome {
        match &mut into.rel {
            Some(relation) => self.make(relation),
            None => Err(unfaithful()),
        }
    }

    pub(super) fn make(&mut self, relation: &mut RangeVar) -> Outcome {
        let ours = relation.schemaname.is_empty() || relation.schemaname == TEMPORARY;
        if !ours || relation.relpersistence != "t" {
            return refused("a table that is not temporary", "write CREATE TEMPORARY TABLE");
        }
        self.temporary.push(std::sync::Arc::from(relation.relname.as_str()));
        Ok(())
    }
}

/// `COSTS off`, as the parser makes it.
fn our_explain_costs_off() -> Outcome<Node> {
    let mut tree = super::parse("EXPLAIN (COSTS off) SELECT 1")?;
    match tree.stmts.pop().and_then(|raw| raw.stmt).and_then(|statement| statement.node) {
        Some(NodeEnum::ExplainStmt(mut explain)) => explain.options.pop().ok_or_else(unfaithful),
        Some(_) | None => Err(unfaithful()),
    }
}
