//! What a relation's name stands for, and what stands in its place where it is read.

use std::sync::Arc;

use chaperone_access::{
    Attribute, Column, Refusal, RefusalCode, RelationFacts, RelationName, RelationScope, Showing,
};
use pg_query::NodeEnum;
use pg_query::protobuf::{Alias, Node, RangeSubselect, RangeVar, SelectStmt, SortBy, SortByDir, SortByNulls};

use super::barrier::{Barrier, FLOOR_SCHEMA};
use super::mask::{self, literal};
use super::traces::{names_locks, names_places};
use super::{
    Outcome, Rewriter, TABLEOID, XMIN, hidden, hidden_but, node, our_expression, our_select, refused, string,
    sval, times, unfaithful,
};
use crate::catalog::{Guard, Relation, TableColumn};
use crate::walk::{TEMPORARY, quoted, takes_locks};
use crate::{functions, system};

/// Views are followed to this depth.
pub(super) const VIEW_DEPTH_MAX: usize = 16;
/// What a relation is called inside of what stands in its place.
pub(super) const INSIDE: &str = "t";

/// What a name stands for.
pub(super) enum Named<'a> {
    /// A common table expression: the name that it has now.
    Cte(String),
    /// A temporary relation of the session.
    Temporary,
    /// A relation of the catalog.
    Relation(&'a RelationName, &'a Relation),
}

/// How a relation is read.
enum Reading {
    /// Under its own qualified name.
    Itself,
    /// Through this.
    Instead(Box<SelectStmt>),
    /// Through a view of the floor that shows exactly what is seen.
    Through(Arc<str>),
}

impl<'a> Rewriter<'a> {
    /// What a relation that is not the target of a write stands for.
    pub(super) fn named(&self, relation: &RangeVar) -> Outcome<Named<'a>> {
        if relation.schemaname.is_empty()
            && let Some((_, ours)) = self
                .ctes
                .iter()
                .rev()
                .flat_map(|scope| scope.iter().rev())
                .find(|(name, _)| *name == relation.relname)
        {
            return Ok(Named::Cte(ours.clone()));
        }
        self.stored(relation)
    }

    /// What the target of a write stands for: never a common table expression.
    pub(super) fn stored(&self, relation: &RangeVar) -> Outcome<Named<'a>> {
        let (schema, name) = (relation.schemaname.as_str(), relation.relname.as_str());
        if !relation.catalogname.is_empty() {
            return refused("a relation named with its database", "name schema and relation only");
        }
        let temporary = self.temporary.iter().any(|known| **known == *name);
        if schema == TEMPORARY || (schema.is_empty() && temporary && self.views.is_empty()) {
            return match temporary {
                true => Ok(Named::Temporary),
                false => Err(missing(name)),
            };
        }
        let path: &[Arc<str>] = if self.views.is_empty() { self.path } else { &[] };
        match self.catalog.resolve(schema, name, path) {
            Some((full, relation)) => Ok(Named::Relation(full, relation)),
            None => Err(missing(name)),
        }
    }

    /// Put in the place of a relation that is read what the caller may see of it. `sample` is its TABLESAMPLE.
    pub(super) fn read_relation(&mut self, relation: &RangeVar, sample: Option<Node>) -> Outcome<NodeEnum> {
        let mut relation = relation.clone();
        if self.introspecting {
            return with_sample(NodeEnum::RangeVar(relation), sample);
        }
        let outer = relation.alias.clone().or_else(|| Some(plain_alias(&relation.relname)));
        match self.named(&relation)? {
            Named::Cte(ours) => {
                relation.alias = outer;
                relation.relname = ours;
                with_sample(NodeEnum::RangeVar(relation), sample)
            }
            Named::Temporary => {
                TEMPORARY.clone_into(&mut relation.schemaname);
                with_sample(NodeEnum::RangeVar(relation), sample)
            }
            Named::Relation(full, known) => match self.reading(full, known, relation.inh, sample.as_ref())? {
                Reading::Itself => {
                    full.schema.as_ref().clone_into(&mut relation.schemaname);
                    with_sample(NodeEnum::RangeVar(relation), sample)
                }
                Reading::Through(view) => {
                    FLOOR_SCHEMA.clone_into(&mut relation.schemaname);
                    view.as_ref().clone_into(&mut relation.relname);
                    (relation.alias, relation.inh) = (outer, true);
                    Ok(NodeEnum::RangeVar(relation))
                }
                Reading::Instead(select) => Ok(NodeEnum::RangeSubselect(Box::new(RangeSubselect {
                    lateral: false,
                    subquery: Some(Box::new(node(NodeEnum::SelectStmt(select)))),
                    alias: outer,
                }))),
            },
        }
    }

    fn reading(
        &mut self,
        name: &RelationName,
        relation: &'a Relation,
        inh: bool,
        sample: Option<&Node>,
    ) -> Outcome<Reading> {
        let placed = self.places_by_hidden(relation);
        if placed && !inh {
            return hidden(format!(
                "ONLY of `{name}`, where what inherits from it has rows by what you do not see,"
            ));
        }
        if self.leaves_rows_out(name, relation) && self.guards_by_hidden(name, relation) {
            return Err(guarded(name));
        }
        let locks = self.locking || relation.definition.as_deref().is_some_and(takes_locks);
        if locks && self.keeps_hidden_keys(relation, 0) {
            return hidden_but(
                format!(
                    "locking rows of `{name}`, which rows that you may change point to by what you do not see,"
                ),
                "read them without FOR UPDATE or FOR SHARE",
            );
        }
        match self.reading_seen(name, relation, inh, sample)? {
            Reading::Itself
                if !relation.is_plain()
                    || self.leaves_rows_out(name, relation)
                    || (inh && self.hides_below(relation))
                    || (self.locks && self.locks_tell(relation)) =>
            {
                self.all_columns(name, relation, self.tableoid && !placed, inh, sample)
            }
            reading @ (Reading::Itself | Reading::Instead(_) | Reading::Through(_)) => Ok(reading),
        }
    }

    /// All of a relation, its columns of types that have no code, and no plan of what tells of more.
    fn all_columns(
        &mut self,
        name: &RelationName,
        relation: &Relation,
        tableoid: bool,
        inh: bool,
        sample: Option<&Node>,
    ) -> Outcome<Reading> {
        if self.explaining && (self.leaves_rows_out(name, relation) || inh && self.hides_below(relation)) {
            return self.ours(name, &unplanned(name, relation), None);
        }
        let columns = relation.columns.iter().map(|column| {
            let value = mask::expression(column, None, Showing::Revealed, INSIDE);
            format!("{value} AS {}", quoted(&column.name))
        });
        let mut columns = columns.collect::<Vec<_>>().join(", ");
        if tableoid && relation.kind != b'v' {
            columns.push_str(&format!(", {INSIDE}.{TABLEOID} AS {TABLEOID}"));
        }
        let from = from(name, inh);
        let sample = sampled(sample)?;
        self.ours(name, &format!("SELECT {columns} FROM {from}{sample}"), None)
    }

    fn reading_seen(
        &mut self,
        name: &RelationName,
        relation: &'a Relation,
        inh: bool,
        sample: Option<&Node>,
    ) -> Outcome<Reading> {
        if system::is_system(&name.schema) {
            return self.reading_system(name, relation, sample);
        }
        if self.is_open() {
            return Ok(Reading::Itself);
        }
        if relation.kind == b'v' {
            return self.reading_view(name, relation, sample);
        }
        if !self.sees_placing(relation) {
            return hidden(format!("`{name}`, which has rows by a check of what you do not see,"));
        }
        match self.seen(name)? {
            RelationScope::Whole => Ok(Reading::Itself),
            RelationScope::Part { showings, all_rows } => {
                let facts = facts(name, relation)?;
                if !facts.speaks() {
                    return Err(unclassified(name));
                }
                let partitioned = self.is_partitioned(relation);
                let by_hidden = split_by_hidden(relation, showings, partitioned);
                if by_hidden && partitioned {
                    return hidden(format!("`{name}`, which is partitioned by what you do not see,"));
                }
                if self.explaining {
                    return self.ours(name, &unplanned(name, relation), None);
                }
                if let Some((barrier, exactly)) = self.barrier(name, relation, (showings, *all_rows))? {
                    let only = !inh && !relation.children.is_empty();
                    if only || sample.is_some() {
                        let what = if only { "ONLY" } else { "TABLESAMPLE" };
                        return refused(
                            format!("{what} of `{name}`, which you read through a view of the floor"),
                            "read it whole",
                        );
                    }
                    return self.behind(barrier, exactly, name, relation, (showings, *all_rows));
                }
                let filter = if *all_rows { None } else { relation.filter.as_deref() };
                let mut columns = match filter {
                    Some(_) => veiled(relation, facts, showings, INSIDE)?,
                    None => shown(relation, facts, showings, INSIDE)?,
                };
                if self.tableoid && !by_hidden && !self.places_by_hidden(relation) {
                    columns.push_str(&format!(", {INSIDE}.{TABLEOID} AS {TABLEOID}"));
                }
                let from = from(name, inh);
                let sample = sampled(sample)?;
                let mut text = format!("SELECT {columns} FROM {from}{sample}");
                if filter.is_some() {
                    // Without it the caller's own conditions could be tried on rows that he may not see.
                    text.push_str(" WHERE true OFFSET 0");
                }
                self.ours(name, &text, filter)
            }
        }
    }

    fn reading_system(
        &mut self,
        name: &RelationName,
        relation: &'a Relation,
        sample: Option<&Node>,
    ) -> Outcome<Reading> {
        // A transaction's number tells how many there have been.
        let shown = [(TABLEOID, "t.tableoid"), (XMIN, "NULL::pg_catalog.xid")];
        let asked = shown.into_iter().filter(|(name, _)| match *name {
            TABLEOID => self.tableoid,
            _ => self.xmin,
        });
        let asked: Vec<_> = asked.collect();
        let Some(mut text) = system::stand_in(self.telling(), name, &asked) else {
            return Ok(Reading::Itself);
        };
        if sample.is_some() {
            return refused("TABLESAMPLE of a system relation", "read it whole");
        }
        if self.explaining {
            text = unplanned(name, relation);
        }
        self.introspect(|this| this.ours(name, &text, None))
    }

    /// What a view of the floor shows, or less.
    fn behind(
        &mut self,
        barrier: &Barrier,
        exactly: bool,
        name: &RelationName,
        relation: &Relation,
        seen: (&[Showing], bool),
    ) -> Outcome<Reading> {
        if !exactly || self.places_by_hidden(relation) || self.places_under(relation, 0) {
            return self.over(barrier, name, relation, seen);
        }
        self.generated.barrier(barrier.view.clone());
        Ok(Reading::Through(barrier.view.clone()))
    }

    /// Less than a view of the floor shows: a sub-select over it.
    fn over(
        &mut self,
        barrier: &Barrier,
        name: &RelationName,
        relation: &Relation,
        (showings, all_rows): (&[Showing], bool),
    ) -> Outcome<Reading> {
        let facts = facts(name, relation)?;
        let left: Vec<Showing> = showings.iter().zip(barrier.showings()).map(less).collect();
        let filter = relation.filter.as_deref().filter(|_| !all_rows && !barrier.is_filtered());
        let columns = match filter {
            Some(_) => veiled(relation, facts, &left, INSIDE)?,
            None => shown(relation, facts, &left, INSIDE)?,
        };
        let view = quoted(&barrier.view);
        let mut text = format!("SELECT {columns} FROM {FLOOR_SCHEMA}.{view} AS {INSIDE}");
        if filter.is_some() {
            text.push_str(" WHERE true OFFSET 0");
        }
        self.ours(name, &text, filter)
    }

    /// Whether a relation has partitions or is one: its rows come partition by partition.
    fn is_partitioned(&self, relation: &Relation) -> bool {
        let parents = relation.parents.iter().filter_map(|parent| self.catalog.relations.get(parent));
        relation.kind == b'p' || parents.into_iter().any(|parent| parent.kind == b'p')
    }

    /// Whether a relation that is seen whole is read under its own name.
    pub(super) fn stands_for_itself(&self, relation: &Relation) -> bool {
        let tells = self.hides_below(relation) || self.locks && self.locks_tell(relation);
        relation.is_plain() && relation.guard.is_none() && !tells
    }

    /// Whether what inherits from a relation has rows by what is not seen: which one a row is in would tell.
    pub(super) fn places_by_hidden(&self, relation: &Relation) -> bool {
        !self.is_open()
            && relation.placed.iter().any(|child| {
                // Also by which rows there are.
                let placing = self.catalog.relations.get(child).is_some_and(|child| self.sees_placing(child));
                !placing || !self.sees(child, &[])
            })
    }

    /// Whether the session is subject to a relation's row security. Views of the floor are read by their owner.
    pub(super) fn is_guarded(&self, name: &RelationName, relation: &Relation) -> bool {
        let role = self.scope.under.as_ref().map(|under| &under.role);
        let freed = |guard: &Arc<Guard>| role.is_some_and(|role| guard.freed.contains(role));
        relation.guard.as_ref().is_some_and(|guard| self.is_under(name) || !freed(guard))
    }

    /// Whether row security leaves out no rows of a relation. A key asks of all of them, also of those that it leaves out.
    pub(super) fn reads_all(&self, name: &RelationName) -> bool {
        self.catalog.relations.get(name).is_some_and(|relation| !self.is_guarded(name, relation))
    }

    /// Whether row security decides by what is not seen which rows there are.
    fn guards_by_hidden(&self, name: &RelationName, relation: &Relation) -> bool {
        let Some(guard) = &relation.guard else { return false };
        let reads = |(other, column): &(RelationName, Option<Arc<str>>)| {
            // Of a row that is not seen it does not matter what it has.
            if other == name {
                return match self.scope.relations.get(name) {
                    Some(RelationScope::Whole) => true,
                    Some(RelationScope::Part { showings, .. }) => {
                        all_revealed(relation, showings, column.as_slice())
                    }
                    None => false,
                };
            }
            let known = self.catalog.relations.get(other);
            known.is_some_and(|known| known.kind != b'v' && known.guard.is_none())
                && self.sees(other, column.as_slice())
                && self.sees_which(other)
        };
        let calls = |function: &RelationName| match &*function.schema {
            "pg_catalog" => !functions::reads_more(self.catalog, &function.name),
            schema => functions::is_allowed(self.catalog, schema, &function.name),
        };
        guard.reads_more || !guard.reads.iter().all(reads) || !guard.calls.iter().all(calls)
    }

    /// A view is taken apart where something under it is not seen whole, and not itself cleared.
    fn reading_view(
        &mut self,
        name: &RelationName,
        view: &'a Relation,
        sample: Option<&Node>,
    ) -> Outcome<Reading> {
        let scope = self.seen(name)?;
        let stated = self.catalog.states(name);
        let (revealed, filter) = match scope {
            RelationScope::Whole => (true, None),
            RelationScope::Part { showings, all_rows } => {
                let revealed = showings.iter().all(|showing| *showing == Showing::Revealed);
                (revealed, view.filter.as_deref().filter(|_| !all_rows))
            }
        };
        let whole = (!stated || revealed) && self.whole_under(view, 0)?;
        if whole && self.explaining && self.leaves_rows_out_under(view, 0) {
            return self.ours(name, &unplanned(name, view), None);
        }
        if whole && filter.is_none() {
            return Ok(Reading::Itself);
        }
        if sample.is_some() {
            return refused("TABLESAMPLE of a view", "sample a table");
        }
        if whole || revealed && stated && self.catalog.classification.is_some() {
            return self.as_it_is(name, view, filter);
        }
        let showings: Vec<Showing> = match scope {
            RelationScope::Part { showings, .. } if stated => showings.to_vec(),
            RelationScope::Part { .. } | RelationScope::Whole => vec![Showing::Revealed; view.columns.len()],
        };
        self.taken_apart(name, view, &showings, filter)
    }

    /// A view's query in its place, of which in turn everything is read as it is seen.
    fn taken_apart(
        &mut self,
        name: &RelationName,
        view: &'a Relation,
        showings: &[Showing],
        filter: Option<&str>,
    ) -> Outcome<Reading> {
        if self.views.len() >= VIEW_DEPTH_MAX || self.views.contains(name) {
            return refused(format!("views under `{name}` are nested too deeply"), "name the tables");
        }
        let Some(definition) = view.definition.clone() else {
            return refused(format!("the definition of view `{name}` is not known"), "name the tables");
        };
        if let Some(refusal) = crate::walk::view_refusal(self.catalog, &definition) {
            return Err(refusal);
        }
        self.makes(definition.len())?;
        let mut inner = node(NodeEnum::SelectStmt(Box::new(our_select(&definition)?)));
        self.views.push(name.clone());
        // What the caller's text names beside, is nothing in here; and no `*` is left in what the target wrote down.
        let named = (self.tableoid, self.xmin, self.locks);
        let outside = (std::mem::take(&mut self.ctes), self.target.take());
        self.tableoid = super::names_in(TABLEOID, &definition);
        self.xmin = super::names_in(XMIN, &definition);
        self.locks = names_locks(&definition);
        let done = self.query(&mut inner);
        (self.ctes, self.target) = outside;
        (self.tableoid, self.xmin, self.locks) = named;
        self.views.pop();
        done?;
        let columns = match (&view.facts, filter) {
            (Some(facts), Some(_)) => veiled(view, facts, showings, INSIDE)?,
            (Some(facts), None) => shown(view, facts, showings, INSIDE)?,
            (None, None) => "*".to_owned(),
            (None, Some(_)) => return Err(unfaithful()),
        };
        self.makes(columns.len())?;
        let barrier = if filter.is_some() { " OFFSET 0" } else { "" };
        let mut outer = our_select(&format!("SELECT {columns} FROM (SELECT) AS {INSIDE}{barrier}"))?;
        for item in &mut outer.target_list {
            self.expression(item)?;
        }
        if let Some(filter) = filter {
            outer.where_clause = Some(Box::new(self.filter(name, view, filter)?));
        }
        let names = view.columns.iter().map(|column| super::string(&column.name)).collect();
        match outer.from_clause.first_mut().and_then(|item| item.node.as_mut()) {
            Some(NodeEnum::RangeSubselect(sub)) => {
                sub.subquery = Some(Box::new(inner));
                sub.alias = Some(Alias { aliasname: INSIDE.to_owned(), colnames: names });
            }
            Some(_) | None => return Err(unfaithful()),
        }
        Ok(Reading::Instead(Box::new(outer)))
    }

    /// A view that is itself classified stands for itself, over tables that need not be seen: its rows, or those of them that its
    /// filter leaves, are all that there is to try the caller's conditions on, and nothing is known of others.
    fn as_it_is(&mut self, name: &RelationName, view: &Relation, filter: Option<&str>) -> Outcome<Reading> {
        let facts = facts(name, view)?;
        if self.explaining {
            return self.ours(name, &unplanned(name, view), None);
        }
        let showings = vec![Showing::Revealed; view.columns.len()];
        if filter.is_some()
            && let Some((barrier, exactly)) = self.barrier(name, view, (&showings, false))?
        {
            return self.behind(barrier, exactly, name, view, (&showings, false));
        }
        let columns = veiled(view, facts, &showings, INSIDE)?;
        let from = from(name, true);
        self.ours(name, &format!("SELECT {columns} FROM {from} OFFSET 0"), filter)
    }

    /// Whether everything that a view reads is seen whole.
    fn whole_under(&self, view: &Relation, depth: usize) -> Outcome<bool> {
        let Some(definition) = view.definition.as_deref().filter(|_| depth <= VIEW_DEPTH_MAX) else {
            return Ok(false);
        };
        if view.introspects && crate::walk::introspects(self.catalog, definition) {
            return Ok(false);
        }
        let locks = names_locks(definition);
        let places = names_places(definition);
        for name in view.reads.iter().filter(|name| !system::is_system(&name.schema)) {
            let Some(relation) = self.catalog.relations.get(name) else { return Ok(false) };
            let whole = match relation.kind {
                b'v' => self.is_whole(name, relation)? && self.whole_under(relation, depth + 1)?,
                // A view reads as its owner, whoever that is.
                _ => {
                    let whole = *self.seen(name)? == RelationScope::Whole;
                    let tells = self.guards_by_hidden(name, relation)
                        || places && relation.guard.is_some() && !self.is_open()
                        || self.hides_below(relation)
                        || locks && self.locks_tell(relation);
                    whole && !tells
                }
            };
            if !whole {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether nothing that is said of a view itself takes of it.
    fn is_whole(&self, name: &RelationName, view: &Relation) -> Outcome<bool> {
        let (seen, stated) = (self.seen(name)?, self.catalog.states(name));
        Ok(match seen {
            RelationScope::Whole => true,
            RelationScope::Part { showings, all_rows } => {
                (*all_rows || view.filter.is_none())
                    && (!stated || showings.iter().all(|showing| *showing == Showing::Revealed))
            }
        })
    }

    /// A sub-select of our own making: every name in it is completed, and it is remembered for the check.
    fn ours(&mut self, name: &RelationName, text: &str, filter: Option<&str>) -> Outcome<Reading> {
        self.makes(text.len())?;
        let mut select = our_select(text)?;
        for item in &mut select.target_list {
            self.expression(item)?;
        }
        for item in &mut select.from_clause {
            if let Some(NodeEnum::RangeFunction(function)) = &mut item.node {
                self.expressions(&mut function.functions)?;
            }
        }
        match filter {
            Some(filter) => {
                let relation = self.catalog.relations.get(name).ok_or_else(unfaithful)?;
                select.where_clause = Some(Box::new(self.filter(name, relation, filter)?));
            }
            None => self.optional(&mut select.where_clause)?,
        }
        let known = self.catalog.relations.get(name);
        if known.is_some_and(|relation| self.places_by_hidden(relation) || self.places_under(relation, 0)) {
            self.makes(text.len())?;
            select.sort_clause = vec![self.in_an_order_of_what_is_shown(&select.target_list)?];
            // The caller's conditions are tried on the rows as they are ordered, not before.
            let barrier = our_select("SELECT OFFSET 0")?;
            (select.limit_offset, select.limit_option) = (barrier.limit_offset, barrier.limit_option);
        }
        let made = node(NodeEnum::SelectStmt(Box::new(select)));
        self.generated.add(super::values(&made)?);
        match made.node {
            Some(NodeEnum::SelectStmt(select)) => Ok(Reading::Instead(select)),
            Some(_) | None => Err(unfaithful()),
        }
    }

    /// Rows come relation by relation, and which one a row is in may follow from what is hidden: by their bytes they come in an
    /// order that anybody could put them in. Rows of the same bytes are the same to everybody, and every type has them.
    fn in_an_order_of_what_is_shown(&mut self, shown: &[Node]) -> Outcome<Node> {
        let value = |item: &Node| match &item.node {
            Some(NodeEnum::ResTarget(item)) => item.val.as_deref().cloned().ok_or_else(unfaithful),
            Some(_) | None => Err(unfaithful()),
        };
        let mut row = our_expression("ROW()")?;
        let Some(NodeEnum::RowExpr(values)) = &mut row.node else { return Err(unfaithful()) };
        values.args = shown.iter().map(value).collect::<Outcome<_>>()?;
        Ok(node(NodeEnum::SortBy(Box::new(SortBy {
            node: Some(Box::new(row)),
            sortby_dir: SortByDir::SortbyUsing as i32,
            sortby_nulls: SortByNulls::SortbyNullsDefault as i32,
            use_op: vec![string("pg_catalog"), string("*<")],
            location: 0,
        }))))
    }

    /// The rows that this caller sees.
    fn filter(&mut self, name: &RelationName, relation: &Relation, text: &str) -> Outcome<Node> {
        self.makes(text.len())?;
        let mut condition = our_expression(&format!("({text})"))?;
        times::pin(&mut condition, relation)?;
        let caller = self.scope.caller.clone();
        let mut missing = false;
        let mut replace = |reference: &mut Node| -> Outcome<bool> {
            let Some(NodeEnum::ColumnRef(column)) = &reference.node else { return Ok(false) };
            let names: Vec<&str> = column.fields.iter().filter_map(sval).collect();
            let ["caller", attribute] = names.as_slice() else { return Ok(false) };
            match caller.get(*attribute) {
                Some(value) => *reference = our_expression(&constant(value))?,
                None => missing = true,
            }
            Ok(true)
        };
        super::expression::each_reference(&mut condition, &mut replace)?;
        if missing {
            // Nobody said which rows are his.
            return our_expression("false");
        }
        let outside = (self.target.take(), std::mem::take(&mut self.ctes));
        let done = self.expression(&mut condition);
        (self.target, self.ctes) = outside;
        done.map_err(|refusal| {
            Refusal::new(
                RefusalCode::Internal,
                format!("the row filter of `{name}` cannot be used: {}", refusal.message),
            )
            .hint("an administrator has to mend the classification")
        })?;
        Ok(condition)
    }
}

/// An attribute as a typed constant.
fn constant(value: &Attribute) -> String {
    match value {
        Attribute::Bool(value) => value.to_string(),
        Attribute::Long(value) => format!("({value})::bigint"),
        Attribute::Text(value) => format!("{}::text", literal(value)),
        Attribute::Texts(values) => {
            let values: Vec<String> = values.iter().map(|value| literal(value)).collect();
            format!("ARRAY[{}]::text[]", values.join(", "))
        }
    }
}

/// Whether all of these columns are revealed.
pub(super) fn all_revealed(relation: &Relation, showings: &[Showing], columns: &[Arc<str>]) -> bool {
    columns.iter().all(|wanted| {
        let mut shown = relation.columns.iter().zip(showings);
        shown.any(|(column, showing)| column.name == *wanted && *showing == Showing::Revealed)
    })
}

/// Whether what decides in which partition a row is, is not all seen; elsewhere, what decides whether it can be in the
/// relation. A CHECK of a partitioned table says nothing of where its rows are.
pub(super) fn split_by_hidden(relation: &Relation, showings: &[Showing], partitioned: bool) -> bool {
    let checks = relation.checks.iter().flatten().filter(|_| !partitioned);
    checks
        .chain(&relation.partition_key)
        .any(|wanted| !all_revealed(relation, showings, std::slice::from_ref(wanted)))
}

/// A relation as it stands inside of what stands in its place; `inh`: with those that inherit from it.
fn from(name: &RelationName, inh: bool) -> String {
    let only = if inh { "" } else { "ONLY " };
    format!("{only}{}.{} AS {INSIDE}", quoted(&name.schema), quoted(&name.name))
}

/// What stands for a relation where its plan would tell: the plan names it so.
fn unplanned(name: &RelationName, relation: &Relation) -> String {
    let columns = relation
        .columns
        .iter()
        .map(|column| format!("{} AS {}", mask::nothing(column), quoted(&column.name)));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let stand_in = quoted(&format!("stand_in_for_{}", name.name));
    format!("SELECT {columns} FROM generate_series(1, 1000) AS {stand_in}")
}

/// What is left to do to a column that a view shows already so.
fn less((wanted, there): (&Showing, &Showing)) -> Showing {
    match (wanted, there) {
        (Showing::Hidden, _) => Showing::Hidden,
        (Showing::Masked, Showing::Revealed) => Showing::Masked,
        (Showing::Masked, Showing::Masked) | (Showing::Revealed, _) => Showing::Revealed,
        // Not offered.
        (Showing::Masked, Showing::Hidden) => Showing::Hidden,
    }
}

/// The list of columns as they are shown.
pub(super) fn shown(
    relation: &Relation,
    facts: &RelationFacts,
    showings: &[Showing],
    from: &str,
) -> Outcome<String> {
    list(relation, facts, showings, |column, class, showing| {
        mask::expression(column, Some(class), showing, from)
    })
}

/// The same of a relation of which not all rows are seen: nothing that the planner knows of the others helps it with the
/// caller's conditions.
fn veiled(relation: &Relation, facts: &RelationFacts, showings: &[Showing], from: &str) -> Outcome<String> {
    list(relation, facts, showings, |column, class, showing| {
        let shown = mask::expression(column, Some(class), showing, from);
        if showing == Showing::Revealed { mask::veiled(&shown) } else { shown }
    })
}

/// The same in a view of the floor.
pub(super) fn shown_in_view(
    relation: &Relation,
    facts: &RelationFacts,
    showings: &[Showing],
    from: &str,
) -> Outcome<String> {
    list(relation, facts, showings, |column, class, showing| mask::in_view(column, class, showing, from))
}

fn list(
    relation: &Relation,
    facts: &RelationFacts,
    showings: &[Showing],
    shown: impl Fn(&TableColumn, &Column, Showing) -> String,
) -> Outcome<String> {
    if facts.columns.len() != relation.columns.len() || showings.len() != relation.columns.len() {
        return Err(unfaithful());
    }
    let columns =
        relation.columns.iter().zip(&facts.columns).zip(showings).map(|((column, class), showing)| {
            format!("{} AS {}", shown(column, class, *showing), quoted(&column.name))
        });
    Ok(columns.collect::<Vec<_>>().join(", "))
}

pub(super) fn facts<'r>(name: &RelationName, relation: &'r Relation) -> Outcome<&'r RelationFacts> {
    match &relation.facts {
        Some(facts) => Ok(facts),
        None => Err(unclassified(name)),
    }
}

fn guarded(name: &RelationName) -> Refusal {
    let what = format!("`{name}`, whose row security decides by what you do not see, is not permitted");
    Refusal::new(RefusalCode::NotPermitted, what).hint(
        "an administrator reveals to you what its policies read and reviews what they call, gives the session a login that they do \
         not apply to, or clears a view of it",
    )
}

fn unclassified(name: &RelationName) -> Refusal {
    Refusal::new(RefusalCode::NotPermitted, format!("`{name}` is not classified"))
        .hint("an administrator classifies it: `chaperone classify` proposes how")
}

fn missing(name: &str) -> Refusal {
    Refusal::new(RefusalCode::UndefinedRelation, format!("relation `{name}` does not exist"))
}

fn plain_alias(name: &str) -> Alias {
    Alias { aliasname: name.to_owned(), colnames: Vec::new() }
}

/// A sample by rows; one by pages tells how wide hidden values are, and a repeatable one how rows lie.
fn sampled(sample: Option<&Node>) -> Outcome<String> {
    let Some(NodeEnum::RangeTableSample(sample)) = sample.and_then(|sample| sample.node.as_ref()) else {
        return Ok(String::new());
    };
    let method: Vec<&str> = sample.method.iter().filter_map(sval).collect();
    if !matches!(method.as_slice(), ["bernoulli"] | ["pg_catalog", "bernoulli"])
        || sample.repeatable.is_some()
    {
        return hidden_but(
            "TABLESAMPLE SYSTEM and REPEATABLE on a relation of which you see a part",
            "TABLESAMPLE BERNOULLI takes rows one by one",
        );
    }
    let percent = match sample.args.as_slice() {
        [Node { node: Some(NodeEnum::AConst(value)) }] => value.val.as_ref(),
        _ => None,
    };
    match percent {
        Some(pg_query::protobuf::a_const::Val::Ival(value)) => {
            Ok(format!(" TABLESAMPLE BERNOULLI ({})", value.ival))
        }
        Some(pg_query::protobuf::a_const::Val::Fval(value)) => {
            Ok(format!(" TABLESAMPLE BERNOULLI ({})", value.fval))
        }
        Some(_) | None => refused("TABLESAMPLE without a plain number", "write the percentage as a number"),
    }
}

/// The relation inside of its TABLESAMPLE again.
fn with_sample(relation: NodeEnum, sample: Option<Node>) -> Outcome<NodeEnum> {
    match sample.and_then(|sample| sample.node) {
        Some(NodeEnum::RangeTableSample(mut sample)) => {
            sample.relation = Some(Box::new(node(relation)));
            Ok(NodeEnum::RangeTableSample(sample))
        }
        Some(_) => Err(unfaithful()),
        None => Ok(relation),
    }
}

#[cfg(test)]
mod tests;
