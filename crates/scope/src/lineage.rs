//! Which columns a statement uses, which of them can be seen in its result, and where the result tells which patients it
//! is about. For the record, so in doubt it says too much: a name that cannot be followed counts as every column of every
//! relation that the statement touches.
//!
//! One thing is decided by it: a credential that was narrowed to some columns assigns to no other ones, and in doubt to
//! none.

mod form;
mod join;
mod traversal;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;

use chaperone_access::{
    Column, ColumnUse, CopyForm, FreeText, NameRule, RelationName, ResultColumn, Subjects, Touch, Verb,
};

use crate::catalog::{Catalog, Relation, SYSTEM_COLUMNS};
use crate::rewrite::Place;
use crate::tree::{self, Fields, Value, flag, node, strings, text};
use crate::walk::{TEMPORARY, kept};
use form::copy_form;
use traversal::renamed;
use write::is_several;

/// Views and queries within queries are followed to this depth.
const DEPTH_MAX: usize = 24;
/// Columns of relations and of results, and what each is made of, together: each level of `SELECT *, *` doubles them.
const FOLLOWED_MAX: usize = 1_000_000;

/// Columns of which a result's may be one: of more, none is told.
const ALTERNATIVES_MAX: usize = 16;

type Origin = BTreeSet<(RelationName, Arc<str>)>;

/// One column of a result.
#[derive(Debug, Clone, Default)]
struct Output {
    name: String,
    origin: Origin,
    /// It is this very column's value; of one of several, where the rows of queries follow one another.
    plain: Vec<(RelationName, Arc<str>)>,
}

/// One thing in FROM.
#[derive(Debug, Clone)]
struct Item {
    alias: String,
    columns: Vec<Output>,
    /// It has columns whose names are not known, made of these.
    open: Option<Origin>,
    /// It may have fewer columns than are known of it, so that what follows is not where it seems.
    misplaced: bool,
}

/// A common table expression.
#[derive(Debug)]
struct Cte {
    name: String,
    columns: Vec<Output>,
    /// As of an [`Item`].
    misplaced: bool,
}

/// Follows the names of one statement.
pub(crate) struct Lineage<'a> {
    place: Place<'a>,
    read: Origin,
    written: Origin,
    disclosed: Origin,
    /// Some name could not be followed.
    lost: bool,
    names_unknown: bool,
    /// Some list of results may have more or fewer columns than are known of it.
    misplaced: bool,
    ctes: Vec<Cte>,
    /// What can be seen from a sub-select, innermost last.
    frames: Vec<Vec<Item>>,
    depth: usize,
    /// How much so far.
    followed: usize,
}

/// What is known of a statement's columns.
pub(crate) struct Traced {
    pub(crate) uses: Arc<[ColumnUse]>,
    pub(crate) subjects: Subjects,
    pub(crate) free_text: FreeText,
    pub(crate) results: Option<Arc<[ResultColumn]>>,
    /// A column is named that nothing known has.
    pub(crate) names_unknown: bool,
}

/// Trace a statement that touches these relations.
pub(crate) fn trace(statement: &Value, place: Place<'_>, touches: &[Touch]) -> Traced {
    let mut lineage = Lineage {
        place,
        read: Origin::new(),
        written: Origin::new(),
        disclosed: Origin::new(),
        lost: false,
        names_unknown: false,
        misplaced: false,
        ctes: Vec::new(),
        frames: Vec::new(),
        depth: 0,
        followed: 0,
    };
    let outputs = lineage.statement(statement);
    if let Some(outputs) = &outputs {
        for output in outputs {
            lineage.disclosed.extend(output.origin.iter().cloned());
        }
    }
    if lineage.lost {
        for touch in touches {
            let columns = place.catalog.relations.get(&touch.relation).map(|known| &known.columns);
            for column in columns.into_iter().flatten() {
                let column = (touch.relation.clone(), column.name.clone());
                if touch.verbs.iter().any(|verb| verb != Verb::Read) {
                    lineage.written.insert(column.clone());
                }
                if touch.verbs.contains(Verb::Read) {
                    lineage.read.insert(column.clone());
                    lineage.disclosed.insert(column);
                }
            }
        }
    }
    let subjects = lineage.subjects(outputs.as_deref().unwrap_or_default(), touches);
    let free_text = lineage.free_text(statement, outputs.as_deref().unwrap_or_default(), touches);
    let all: Origin =
        [&lineage.read, &lineage.written, &lineage.disclosed].into_iter().flatten().cloned().collect();
    let told = outputs.filter(|_| !lineage.lost && !lineage.misplaced);
    let sorted: Vec<&(RelationName, Arc<str>)> = all.iter().collect();
    let results = told.map(|outputs| outputs.iter().map(|output| result(output, &sorted)).collect());
    let uses = all.into_iter().map(|used| ColumnUse {
        disclosed: lineage.disclosed.contains(&used),
        written: lineage.written.contains(&used),
        relation: used.0,
        column: used.1,
    });
    Traced { uses: uses.collect(), subjects, free_text, results, names_unknown: lineage.names_unknown }
}

/// A result by the places of what it is made of.
fn result(output: &Output, sorted: &[&(RelationName, Arc<str>)]) -> ResultColumn {
    let places = output.origin.iter().filter_map(|used| sorted.binary_search(&used).ok());
    let made_of = places.filter_map(|place| u16::try_from(place).ok()).collect();
    ResultColumn { name: output.name.as_str().into(), made_of }
}

impl<'a> Lineage<'a> {
    fn catalog(&self) -> &'a Catalog {
        self.place.catalog
    }

    fn fact(&self, relation: &RelationName, column: &str) -> Option<&'a Column> {
        self.catalog().facts(relation)?.columns.iter().find(|fact| *fact.name == *column)
    }

    fn is_subject(&self, relation: &RelationName, column: &str) -> bool {
        self.fact(relation, column).is_some_and(|fact| fact.subject)
    }

    fn has_free_text(&self, origin: &Origin) -> bool {
        origin.iter().any(|(relation, column)| self.fact(relation, column).is_some_and(|fact| fact.scan))
    }

    /// Where what a statement returns or keeps can hold free text; in doubt, in too many places.
    fn free_text(&self, statement: &Value, outputs: &[Output], touches: &[Touch]) -> FreeText {
        if !self.has_free_text(&self.disclosed) {
            // What a temporary relation keeps, its session knows; how lines are written, only the statement says.
            let kept = touches.iter().any(|touch| touch.rule == NameRule::Temporary);
            return match node(statement) {
                Some(("CopyStmt", copy)) if kept => {
                    FreeText::Copied { at: Arc::from([]), form: copy_form(copy) }
                }
                Some(_) | None => FreeText::None,
            };
        }
        let holds: Vec<bool> = outputs.iter().map(|output| self.has_free_text(&output.origin)).collect();
        let places = holds.iter().enumerate().filter(|(_, holds)| **holds);
        let at: Arc<[u16]> = places.filter_map(|(place, _)| u16::try_from(place).ok()).collect();
        let is_placed = !self.lost && !self.misplaced;
        if let Some(("CopyStmt", copy)) = node(statement) {
            return if is_placed {
                FreeText::Copied { at, form: copy_form(copy) }
            } else {
                FreeText::Copied { at: Arc::from([]), form: CopyForm::Other }
            };
        }
        if is_placed && !at.is_empty() {
            return FreeText::At { at, of: outputs.len() };
        }
        // What has no name of its own, or whose name could not be followed, may be called anything.
        let nameless = |(output, holds): (&Output, &bool)| *holds && output.name.is_empty();
        if self.lost || outputs.iter().zip(&holds).any(nameless) {
            return FreeText::Except(Arc::from([]));
        }
        let named = |wanted: bool| -> BTreeSet<&str> {
            let of = outputs.iter().zip(&holds).filter(|(_, holds)| **holds == wanted);
            of.map(|(output, _)| output.name.as_str()).filter(|name| !name.is_empty()).collect()
        };
        let (with, without) = (named(true), named(false));
        FreeText::Except(without.difference(&with).map(|name| Arc::from(*name)).collect())
    }

    fn subjects(&self, outputs: &[Output], touches: &[Touch]) -> Subjects {
        // Whoever counts rows uses no column of them, and learns about patients all the same.
        let touched =
            touches.iter().filter(|touch| touch.verbs.contains(Verb::Read)).map(|touch| &touch.relation);
        let named = self.read.iter().chain(&self.disclosed).map(|(name, _)| name);
        let read: BTreeSet<&RelationName> = named.chain(touched).collect();
        let about = read.into_iter().any(|name| {
            self.catalog().facts(name).is_some_and(|facts| facts.columns.iter().any(|fact| fact.subject))
        });
        let at: Vec<_> = outputs
            .iter()
            .enumerate()
            .filter_map(|(place, output)| Some((u16::try_from(place).ok()?, output)))
            .flat_map(|(place, output)| output.plain.iter().map(move |of| (place, of)))
            .filter(|(_, (relation, column))| self.is_subject(relation, column))
            .map(|(place, (relation, column))| (place, relation.clone(), column.clone()))
            .collect();
        match (about, at.is_empty()) {
            (_, false) => Subjects::At(at.into()),
            (true, true) => Subjects::OutOfReach,
            (false, true) => Subjects::None,
        }
    }

    /// What a statement returns to the client; `None` where it returns nothing.
    fn statement(&mut self, statement: &Value) -> Option<Vec<Output>> {
        let (kind, fields) = node(statement)?;
        match kind {
            "SelectStmt" | "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => {
                let outputs = self.query(kind, fields);
                if kept(fields).is_none() {
                    return Some(outputs);
                }
                self.disclose(&outputs);
                Some(Vec::new())
            }
            "DeclareCursorStmt" => self.statement(fields.get("query")?),
            "ExplainStmt" => {
                self.statement(fields.get("query")?);
                None
            }
            // What is kept in a temporary table is as good as seen: what is read from there later cannot be followed.
            "CreateTableAsStmt" => {
                let outputs = self.statement(fields.get("query")?)?;
                self.disclose(&outputs);
                None
            }
            "CopyStmt" => self.copy(fields),
            _ => None,
        }
    }

    fn disclose(&mut self, outputs: &[Output]) {
        for output in outputs {
            self.disclosed.extend(output.origin.iter().cloned());
        }
    }

    fn copy(&mut self, fields: &Fields) -> Option<Vec<Output>> {
        if let Some(query) = fields.get("query") {
            return self.statement(query);
        }
        let relation = fields.get("relation").and_then(Value::fields)?;
        let item = self.stored(relation)?;
        let named = strings(fields, "attlist");
        let columns: Vec<Output> = if named.is_empty() {
            item.columns
        } else {
            let of = |name: &&str| item.columns.iter().find(|column| column.name == **name).cloned();
            named.iter().map(|name| of(name).unwrap_or_default()).collect()
        };
        if flag(fields, "is_from") {
            for column in &columns {
                self.written.extend(column.plain.clone());
            }
            return None;
        }
        self.reads(&columns);
        Some(columns)
    }

    fn reads(&mut self, columns: &[Output]) {
        for column in columns {
            self.read.extend(column.origin.iter().cloned());
        }
    }

    fn query(&mut self, kind: &str, fields: &Fields) -> Vec<Output> {
        if self.depth >= DEPTH_MAX || !self.follows(&[]) {
            self.lost = true;
            return Vec::new();
        }
        self.depth += 1;
        let known = self.ctes.len();
        if let Some(with) = fields.get("with_clause").and_then(Value::fields) {
            self.with(with);
        }
        let outputs = match kind {
            "SelectStmt" => self.select(fields),
            _ => self.write(kind, fields),
        };
        self.ctes.truncate(known);
        self.depth -= 1;
        outputs
    }

    /// Whether these are followed, too.
    fn follows(&mut self, columns: &[Output]) -> bool {
        let weight: usize = columns.iter().map(|column| 1 + column.origin.len()).sum();
        self.followed = self.followed.saturating_add(weight.max(1));
        self.lost |= self.followed > FOLLOWED_MAX;
        self.followed <= FOLLOWED_MAX
    }

    /// A query inside of another, and whether its columns may be fewer than are known of it.
    fn inner(&mut self, kind: &str, fields: &Fields) -> (Vec<Output>, bool) {
        let before = std::mem::take(&mut self.misplaced);
        let outputs = self.query(kind, fields);
        let misplaced = self.misplaced;
        self.misplaced |= before;
        (outputs, misplaced)
    }

    fn with(&mut self, with: &Fields) {
        let recursive = flag(with, "recursive");
        for cte in with.get("ctes").and_then(Value::as_array).into_iter().flatten() {
            let Some(("CommonTableExpr", cte)) = node(cte) else { continue };
            let name = text(cte, "ctename").to_owned();
            let Some((kind, query)) = cte.get("ctequery").and_then(node) else { continue };
            if let Some(first) = query.get("larg").and_then(Value::fields).filter(|_| recursive) {
                // Its first term gives what the second one finds under the name.
                let (outputs, misplaced) = self.inner("SelectStmt", first);
                let columns = traversal::columns(outputs, cte);
                self.ctes.push(Cte { name: name.clone(), columns, misplaced });
            }
            let (outputs, misplaced) = self.inner(kind, query);
            let columns = traversal::columns(outputs, cte);
            self.ctes.push(Cte { name, columns, misplaced });
        }
    }

    fn select(&mut self, fields: &Fields) -> Vec<Output> {
        if let (Some(left), Some(right)) =
            (fields.get("larg").and_then(Value::fields), fields.get("rarg").and_then(Value::fields))
        {
            let (left, right) = (self.query("SelectStmt", left), self.query("SelectStmt", right));
            let outputs = if self.misplaced { self.mixed(left, right) } else { side_by_side(left, right) };
            self.frames.push(Vec::new());
            self.expressions(fields, &["sort_clause", "limit_offset", "limit_count"], &outputs);
            self.frames.pop();
            return outputs;
        }
        let mut merged = false;
        self.frames.push(Vec::new());
        for item in fields.get("from_clause").and_then(Value::as_array).into_iter().flatten() {
            let items = self.item_of_from(item, &mut merged);
            if let Some(frame) = self.frames.last_mut() {
                frame.extend(items);
            }
        }
        let mut outputs = Vec::new();
        if let Some(rows) = fields.get("values_lists").and_then(Value::as_array) {
            outputs = self.rows(rows);
        }
        let results = fields.get("target_list").and_then(Value::as_array);
        outputs.extend(self.results(results.unwrap_or_default(), merged));
        let rest = [
            "distinct_clause",
            "where_clause",
            "group_clause",
            "having_clause",
            "window_clause",
            "sort_clause",
            "limit_offset",
            "limit_count",
        ];
        self.expressions(fields, &rest, &outputs);
        self.frames.pop();
        outputs
    }

    /// VALUES: a column of each row at a place.
    fn rows(&mut self, rows: &[Value]) -> Vec<Output> {
        let mut outputs: Vec<Output> = Vec::new();
        for row in rows {
            let items = node(row).and_then(|(_, list)| list.get("items")).and_then(Value::as_array);
            for (place, value) in items.into_iter().flatten().enumerate() {
                self.misplaced |= is_several(value);
                let origin = self.expression(value, &[]);
                match outputs.get_mut(place) {
                    Some(output) => output.origin.extend(origin),
                    None => outputs.push(Output {
                        name: format!("column{}", place + 1),
                        origin,
                        plain: Vec::new(),
                    }),
                }
            }
        }
        outputs
    }

    /// The columns of two queries where it is not known which one meets which, and how many there are.
    fn mixed(&mut self, left: Vec<Output>, right: Vec<Output>) -> Vec<Output> {
        let origin: Origin =
            left.iter().chain(&right).flat_map(|output| output.origin.iter().cloned()).collect();
        let names = left.into_iter().map(|output| output.name).chain([String::new()]);
        let mut outputs = Vec::new();
        for name in names {
            let output = Output { name, origin: origin.clone(), plain: Vec::new() };
            if !self.follows(std::slice::from_ref(&output)) {
                break;
            }
            outputs.push(output);
        }
        outputs
    }

    /// `merged`: columns of joins are merged, so that the places in `*` are not told by the relations.
    fn results(&mut self, list: &[Value], merged: bool) -> Vec<Output> {
        let mut outputs: Vec<Output> = Vec::new();
        let mut placed = true;
        for result in list {
            let Some(("ResTarget", fields)) = node(result) else { continue };
            let value = fields.get("val").unwrap_or(&Value::Null);
            if let Some((columns, whole)) = self.star(value) {
                placed &= whole && !merged;
                self.misplaced |= !placed;
                // Of what is too much nothing is kept from here on, so that no place is told after it.
                if !self.follows(&columns) {
                    continue;
                }
                self.reads(&columns);
                outputs.extend(columns.into_iter().map(|mut column| {
                    if !placed {
                        column.plain.clear();
                    }
                    column
                }));
                continue;
            }
            // `(row).*` is as many columns as the row has.
            self.misplaced |= node(value).is_some_and(|(_, fields)| has_star(fields.get("indirection")));
            let plain = if placed { self.plain(value) } else { Vec::new() };
            let origin = self.expression(value, &[]);
            let name = match (text(fields, "name"), node(value)) {
                ("", Some(("ColumnRef", column))) => {
                    strings(column, "fields").last().unwrap_or(&"").to_string()
                }
                ("", _) => String::new(),
                (name, _) => name.to_owned(),
            };
            let output = Output { name, origin, plain };
            outputs.extend(self.follows(std::slice::from_ref(&output)).then_some(output));
        }
        outputs
    }

    /// The columns of `*` or `x.*`, and whether they are all known.
    fn star(&self, value: &Value) -> Option<(Vec<Output>, bool)> {
        let Some(("ColumnRef", column)) = node(value) else { return None };
        if !has_star(column.get("fields")) {
            return None;
        }
        let names = strings(column, "fields");
        let mut out = Vec::new();
        let mut whole = true;
        let mut found = names.is_empty();
        for frame in self.frames.iter().rev() {
            for item in frame.iter().filter(|item| names.last().is_none_or(|alias| item.alias == **alias)) {
                found = true;
                out.extend(item.columns.iter().cloned());
                whole &= !item.misplaced;
                if let Some(open) = &item.open {
                    whole = false;
                    out.push(Output { name: String::new(), origin: open.clone(), plain: Vec::new() });
                }
            }
            if found {
                break;
            }
        }
        Some((out, whole && found))
    }

    /// The column that a value is, if it is nothing but one.
    fn plain(&self, value: &Value) -> Vec<(RelationName, Arc<str>)> {
        let Some(("ColumnRef", column)) = node(value) else { return Vec::new() };
        let names = strings(column, "fields");
        let found = self.find(&names);
        match found.as_slice() {
            [only] => only.plain.clone(),
            _ => Vec::new(),
        }
    }

    /// The columns that a name can mean: of the innermost frame that has any.
    fn find(&self, names: &[&str]) -> Vec<&Output> {
        let (alias, name) = match names {
            [name] => (None, *name),
            [.., alias, name] => (Some(*alias), *name),
            [] => return Vec::new(),
        };
        for frame in self.frames.iter().rev() {
            let items = frame.iter().filter(|item| alias.is_none_or(|alias| item.alias == alias));
            let found: Vec<&Output> =
                items.flat_map(|item| &item.columns).filter(|column| column.name == name).collect();
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// Everything that an expression is made of. `outputs` are results that may be named in it.
    fn expression(&mut self, value: &Value, outputs: &[Output]) -> Origin {
        match node(value) {
            Some(("ColumnRef", column)) => return self.reference(column, outputs),
            Some(("SelectStmt", fields)) => {
                let before = std::mem::take(&mut self.read);
                self.query("SelectStmt", fields);
                // Whatever it reads can show in whether it finds anything.
                let inside = std::mem::replace(&mut self.read, before);
                self.read.extend(inside.iter().cloned());
                return inside;
            }
            Some(_) | None => {}
        }
        match value {
            Value::Object(fields) | Value::Node(_, fields) => {
                let mut origin = Origin::new();
                for value in fields.values() {
                    origin.extend(self.expression(value, outputs));
                }
                origin
            }
            Value::Array(items) => {
                let mut origin = Origin::new();
                for item in items {
                    origin.extend(self.expression(item, outputs));
                }
                origin
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => Origin::new(),
        }
    }

    fn reference(&mut self, column: &Fields, outputs: &[Output]) -> Origin {
        let names = strings(column, "fields");
        let star = has_star(column.get("fields"));
        let mut origin = Origin::new();
        if !star {
            for output in self.find(&names) {
                origin.extend(output.origin.iter().cloned());
            }
            if origin.is_empty() && !self.find(&names).is_empty() {
                return origin;
            }
        }
        if origin.is_empty() {
            // A whole row, a result's name, or a column of something whose columns are not known.
            let alias = names.last().copied().unwrap_or_default();
            let items: Vec<&Item> = self.frames.iter().flatten().filter(|item| item.alias == alias).collect();
            let found = !items.is_empty();
            for item in items {
                origin.extend(item.columns.iter().flat_map(|column| column.origin.iter().cloned()));
                origin.extend(item.open.iter().flatten().cloned());
            }
            if !found && !outputs.iter().any(|output| output.name == alias) {
                let open: Vec<&Origin> =
                    self.frames.iter().flatten().filter_map(|item| item.open.as_ref()).collect();
                if open.is_empty() {
                    self.lost = true;
                    // A column without a name may be many, of something whose columns are not known.
                    let mut columns = self.frames.iter().flatten().flat_map(|item| &item.columns);
                    let known =
                        SYSTEM_COLUMNS.contains(&alias) || columns.any(|column| column.name.is_empty());
                    self.names_unknown |= !known;
                }
                origin.extend(open.into_iter().flatten().cloned());
            }
        }
        self.read.extend(origin.iter().cloned());
        origin
    }

    fn expressions(&mut self, fields: &Fields, names: &[&str], outputs: &[Output]) {
        for name in names {
            if let Some(value) = fields.get(name) {
                self.expression(value, outputs);
            }
        }
    }

    fn item_of_from(&mut self, item: &Value, merged: &mut bool) -> Vec<Item> {
        let Some((kind, fields)) = node(item) else { return Vec::new() };
        let alias = fields.get("alias").and_then(Value::fields);
        match kind {
            "RangeVar" => self.relation(fields).into_iter().collect(),
            "RangeTableSample" => {
                fields.get("relation").map(|inner| self.item_of_from(inner, merged)).unwrap_or_default()
            }
            "RangeSubselect" => {
                let Some((kind, query)) = fields.get("subquery").and_then(node) else { return Vec::new() };
                let (columns, misplaced) = self.inner(kind, query);
                vec![Item { misplaced, ..aliased(columns, alias, None) }]
            }
            "JoinExpr" => self.join(fields, merged),
            _ => {
                let mut origin = Origin::new();
                for value in fields.values() {
                    origin.extend(self.expression(value, &[]));
                }
                vec![aliased(Vec::new(), alias, Some(origin))]
            }
        }
    }

    /// A relation that is read: a common table expression, a temporary one, a table, or a view, followed.
    fn relation(&mut self, fields: &Fields) -> Option<Item> {
        let item = self.related(fields)?;
        self.follows(&item.columns).then_some(item)
    }

    fn related(&mut self, fields: &Fields) -> Option<Item> {
        let alias = fields.get("alias").and_then(Value::fields);
        let name = text(fields, "relname");
        if text(fields, "schemaname").is_empty()
            && let Some(cte) = self.ctes.iter().rev().find(|cte| cte.name == name)
        {
            let mut item = Item { misplaced: cte.misplaced, ..aliased(cte.columns.clone(), alias, None) };
            if alias.is_none() {
                name.clone_into(&mut item.alias);
            }
            return Some(item);
        }
        let item = self.stored(fields)?;
        Some(match alias {
            Some(_) => {
                let open = item.open.clone();
                aliased(item.columns, alias, open)
            }
            None => item,
        })
    }

    fn stored(&mut self, fields: &Fields) -> Option<Item> {
        let (schema, name) = (text(fields, "schemaname"), text(fields, "relname"));
        let temporary = self.place.temporary.iter().any(|known| **known == *name);
        let open =
            Item { alias: name.to_owned(), columns: Vec::new(), open: Some(Origin::new()), misplaced: false };
        if schema == TEMPORARY || (schema.is_empty() && temporary) {
            return Some(open);
        }
        let Some((full, relation)) = self.catalog().resolve(schema, name, self.place.path) else {
            self.lost = true;
            return Some(open);
        };
        if matches!(&*full.schema, "pg_catalog" | "information_schema") {
            return Some(open);
        }
        let columns = match relation.kind {
            b'v' => self.view(relation),
            _ => relation.columns.iter().map(|column| itself(full, &column.name)).collect(),
        };
        Some(Item { alias: name.to_owned(), columns, open: None, misplaced: false })
    }

    /// What a view's columns are made of.
    fn view(&mut self, view: &Relation) -> Vec<Output> {
        let parsed = view.definition.as_ref().and_then(|definition| tree::parse(definition).ok());
        let statements =
            parsed.as_ref().zip(view.definition.as_ref()).map(|(parsed, text)| parsed.statements(text));
        let query = statements.and_then(|statements| statements.first().map(|(statement, _)| *statement));
        let Some((kind, fields)) = query.and_then(node) else {
            self.lost = true;
            return Vec::new();
        };
        let place = Place { path: &[], temporary: &[], ..self.place };
        let outside = (
            std::mem::replace(&mut self.place, place),
            std::mem::take(&mut self.ctes),
            std::mem::take(&mut self.frames),
        );
        let before = std::mem::take(&mut self.read);
        let outputs = self.query(kind, fields);
        // What it is filtered and joined by is read whatever is taken of it.
        let selected: Origin = outputs.iter().flat_map(|output| output.origin.iter().cloned()).collect();
        let inside = std::mem::replace(&mut self.read, before);
        self.read.extend(inside.into_iter().filter(|column| !selected.contains(column)));
        (self.place, self.ctes, self.frames) = outside;
        let names = view.columns.iter().map(|column| column.name.to_string());
        outputs.into_iter().zip(names).map(|(output, name)| Output { name, ..output }).collect()
    }
}

/// The columns of two queries of which one has the rows after the other's.
fn side_by_side(left: Vec<Output>, right: Vec<Output>) -> Vec<Output> {
    let mut right = right.into_iter();
    let both = left.into_iter().map(|mut output| {
        let other = right.next().unwrap_or_default();
        output.origin.extend(other.origin);
        let more: Vec<_> = other.plain.iter().filter(|of| !output.plain.contains(of)).cloned().collect();
        if other.plain.is_empty() || output.plain.len() + more.len() > ALTERNATIVES_MAX {
            output.plain.clear();
        } else if !output.plain.is_empty() {
            output.plain.extend(more);
        }
        output
    });
    both.collect()
}

fn has_star(list: Option<&Value>) -> bool {
    let items = list.and_then(Value::as_array).into_iter().flatten().filter_map(node);
    items.map(|(kind, _)| kind).any(|kind| kind == "AStar")
}

fn itself(relation: &RelationName, column: &Arc<str>) -> Output {
    let this = (relation.clone(), column.clone());
    Output { name: column.to_string(), origin: Origin::from([this.clone()]), plain: vec![this] }
}

fn aliased(columns: Vec<Output>, alias: Option<&Fields>, open: Option<Origin>) -> Item {
    let names = alias.map(|alias| strings(alias, "colnames")).unwrap_or_default();
    let name = alias.map(|alias| text(alias, "aliasname")).unwrap_or_default();
    Item { alias: name.to_owned(), columns: renamed(columns, &names), open, misplaced: false }
}

#[cfg(test)]
mod tests;
