//! What a write assigns to, reads and returns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chaperone_access::RelationName;

use super::{Item, Lineage, Output, has_star};
use crate::tree::{Fields, Value, node, number, text};
use crate::walk::TEMPORARY;

/// `CmdType` of INSERT and DELETE.
const MERGE_WHOLE: [i64; 2] = [4, 5];

/// What a write gives to the columns of its target, whichever of its ways a row takes.
#[derive(Default)]
struct Given {
    /// By the name of the column.
    to: BTreeMap<String, Output>,
    /// To any column: its place is not known.
    anywhere: Output,
}

impl Given {
    fn add(&mut self, name: &str, value: Output) {
        let Some(known) = self.to.get_mut(name) else {
            self.to.insert(name.to_owned(), value);
            return;
        };
        if known.plain != value.plain {
            known.plain.clear();
        }
        known.origin.extend(value.origin);
    }

    fn all(&self) -> impl Iterator<Item = &(RelationName, Arc<str>)> {
        self.to.values().chain([&self.anywhere]).flat_map(|value| &value.origin)
    }
}

impl Lineage<'_> {
    pub(super) fn write(&mut self, kind: &str, fields: &Fields) -> Vec<Output> {
        // MERGE returns its source before its target.
        let mut merged = kind == "MergeStmt";
        let relation = fields.get("relation").and_then(Value::fields);
        let Some(mut target) = relation.and_then(|relation| self.stored(relation)) else { return Vec::new() };
        if let Some(alias) = relation.and_then(|relation| relation.get("alias")).and_then(Value::fields) {
            text(alias, "aliasname").clone_into(&mut target.alias);
        }
        self.assigns(kind, fields, &target.columns);
        // The source does not see the target.
        self.frames.push(Vec::new());
        let mut given = Given::default();
        if let Some((kind, source)) = fields.get("select_stmt").and_then(node) {
            let (values, misplaced) = self.inner(kind, source);
            self.inserts(fields.get("cols"), &target.columns, values, misplaced, &mut given);
        }
        let mut items = vec![target.clone()];
        for list in ["from_clause", "using_clause"] {
            for item in fields.get(list).and_then(Value::as_array).into_iter().flatten() {
                items.extend(self.item_of_from(item, &mut merged));
            }
        }
        if let Some(source) = fields.get("source_relation") {
            items.extend(self.item_of_from(source, &mut merged));
        }
        self.frames.pop();
        self.frames.push(items);
        self.expressions(fields, &["where_clause", "join_condition"], &[]);
        self.sets(fields.get("target_list"), &mut given);
        let one_way = self.conflicts(fields, &target, &mut given) && kind != "MergeStmt";
        self.merges(fields, &target.columns, &mut given);
        if relation.is_some_and(|relation| self.is_temporary(relation)) {
            // As good as seen: what is read from there later cannot be followed.
            self.disclosed.extend(given.all().cloned());
        }
        let items = self.frames.pop().unwrap_or_default();
        let Some(clause) = fields.get("returning_clause").and_then(Value::fields) else { return Vec::new() };
        // `*` and a name alone mean the row itself, and none of its other names.
        let rows = self.rows_by_time(clause, &target, &given);
        let received = self.received(&target, &given, one_way);
        let items = [received].into_iter().chain(items.into_iter().skip(1)).collect();
        self.frames.extend([rows, items]);
        let returned = clause.get("exprs").and_then(Value::as_array).unwrap_or_default();
        let outputs = self.results(returned, merged);
        self.frames.truncate(self.frames.len().saturating_sub(2));
        outputs
    }

    fn is_temporary(&self, relation: &Fields) -> bool {
        let name = text(relation, "relname");
        text(relation, "schemaname") == TEMPORARY
            || (text(relation, "schemaname").is_empty()
                && self.place.temporary.iter().any(|known| **known == *name))
    }

    /// Which columns are assigned to.
    fn assigns(&mut self, kind: &str, fields: &Fields, columns: &[Output]) {
        let mut assigned: Vec<String> = Vec::new();
        for list in ["cols", "target_list"] {
            assigned.extend(names(fields.get(list)));
        }
        if let Some(conflict) = fields.get("on_conflict_clause").and_then(Value::fields) {
            assigned.extend(names(conflict.get("target_list")));
        }
        let mut whole = kind == "InsertStmt" && fields.get("cols").is_none();
        for when in fields.get("merge_when_clauses").and_then(Value::as_array).into_iter().flatten() {
            let Some((_, when)) = node(when) else { continue };
            let named = names(when.get("target_list"));
            // An INSERT that names none gives values to the first ones, and a DELETE takes all.
            whole |= named.is_empty() && MERGE_WHOLE.contains(&number(when, "command_type"));
            assigned.extend(named);
        }
        for column in columns {
            if whole || kind == "DeleteStmt" || assigned.contains(&column.name) {
                self.written.extend(column.plain.clone());
            }
        }
    }

    /// The values of rows that are inserted, in the order of the columns that are listed, or else of all.
    fn inserts(
        &mut self,
        list: Option<&Value>,
        columns: &[Output],
        values: Vec<Output>,
        misplaced: bool,
        given: &mut Given,
    ) {
        for target in list.and_then(Value::as_array).into_iter().flatten() {
            let Some((_, fields)) = node(target) else { continue };
            if fields.get("indirection").is_some() {
                // A part of the column is given: its subscripts show in it, and no value is all of it.
                let origin = self.expression(target, &[]);
                given.add(text(fields, "name"), Output { origin, ..Output::default() });
            }
        }
        let mut listed = names(list);
        if listed.is_empty() {
            listed.extend(columns.iter().map(|column| column.name.clone()));
        }
        for (place, value) in values.into_iter().enumerate() {
            match listed.get(place).filter(|_| !misplaced) {
                Some(name) => given.add(name, value),
                None => given.anywhere.origin.extend(value.origin),
            }
        }
    }

    /// What SET gives.
    fn sets(&mut self, list: Option<&Value>, given: &mut Given) {
        for set in list.and_then(Value::as_array).into_iter().flatten() {
            let Some((_, fields)) = node(set) else { continue };
            let value = fields.get("val").filter(|_| fields.get("indirection").is_none());
            let plain = value.map(|value| self.plain(value)).unwrap_or_default();
            let origin = self.expression(set, &[]);
            given.add(text(fields, "name"), Output { name: String::new(), origin, plain });
        }
    }

    /// What ON CONFLICT gives; whether it leaves every row as it was to be inserted.
    fn conflicts(&mut self, fields: &Fields, target: &Item, given: &mut Given) -> bool {
        let Some(conflict) = fields.get("on_conflict_clause").and_then(Value::fields) else { return true };
        let proposed = self.received(target, given, true);
        if let Some(frame) = self.frames.last_mut() {
            frame.push(Item { alias: "excluded".to_owned(), ..proposed });
        }
        self.expressions(conflict, &["infer", "where_clause"], &[]);
        let sets = conflict.get("target_list");
        self.sets(sets, given);
        if let Some(frame) = self.frames.last_mut() {
            frame.pop();
        }
        sets.is_none()
    }

    /// What each WHEN of a MERGE gives.
    fn merges(&mut self, fields: &Fields, columns: &[Output], given: &mut Given) {
        for when in fields.get("merge_when_clauses").and_then(Value::as_array).into_iter().flatten() {
            let Some((_, when)) = node(when) else { continue };
            self.expressions(when, &["condition"], &[]);
            let Some(values) = when.get("values").and_then(Value::as_array) else {
                self.sets(when.get("target_list"), given);
                continue;
            };
            let misplaced = values.iter().any(is_several);
            let values = values.iter().map(|value| {
                let origin = self.expression(value, &[]);
                Output { origin, ..Output::default() }
            });
            let values = values.collect();
            self.inserts(when.get("target_list"), columns, values, misplaced, given);
        }
    }

    /// The target's row with what may have been given to it. `one_way`: every row was given all of it.
    fn received(&mut self, target: &Item, given: &Given, one_way: bool) -> Item {
        let mut item = target.clone();
        if let Some(open) = &mut item.open {
            open.extend(given.all().cloned());
        }
        let behind = self.behind(&target.columns, given);
        for column in &mut item.columns {
            let named = given.to.get(&column.name);
            let is_subject = |(relation, name): &&(RelationName, Arc<str>)| self.is_subject(relation, name);
            // A subject's own column tells of the subject, whatever it was given.
            if one_way && !column.plain.iter().any(|of| is_subject(&of)) {
                let given = named.into_iter().flat_map(|value| &value.plain);
                column.plain = given.filter(is_subject).cloned().collect();
            }
            let values: Vec<&Output> =
                column.origin.iter().filter_map(|of| behind.get(of)).flatten().copied().collect();
            for value in values.into_iter().chain(named).chain([&given.anywhere]) {
                if !self.follows(std::slice::from_ref(value)) {
                    return item;
                }
                column.origin.extend(value.origin.iter().cloned());
            }
        }
        item
    }

    /// What is given to the columns behind those of a target: others of a view can be made of the same ones, and some are
    /// generated from them.
    fn behind<'g>(
        &self,
        columns: &[Output],
        given: &'g Given,
    ) -> BTreeMap<(RelationName, Arc<str>), Vec<&'g Output>> {
        let mut behind: BTreeMap<(RelationName, Arc<str>), Vec<&Output>> = BTreeMap::new();
        for column in columns {
            let Some(value) = given.to.get(&column.name) else { continue };
            for plain in &column.plain {
                behind.entry(plain.clone()).or_default().push(value);
            }
        }
        let relations: BTreeSet<RelationName> = behind.keys().map(|(relation, _)| relation.clone()).collect();
        for relation in relations {
            let known = self.catalog().relations.get(&relation);
            let columns = known.into_iter().flat_map(|known| &known.columns);
            for column in columns.filter(|column| column.generated) {
                let from = column.generated_from.iter();
                let values = from.filter_map(|from| behind.get(&(relation.clone(), from.clone())));
                let values: Vec<&Output> = values.flatten().copied().collect();
                behind.entry((relation.clone(), column.name.clone())).or_default().extend(values);
            }
        }
        behind
    }

    /// What RETURNING calls the row before and after.
    fn rows_by_time(&mut self, clause: &Fields, target: &Item, given: &Given) -> Vec<Item> {
        let options = clause.get("options").and_then(Value::as_array).into_iter().flatten();
        let renamed = options.filter_map(node).map(|(_, option)| text(option, "value"));
        let row = self.received(target, given, false);
        let mut rows = Vec::new();
        for alias in ["old", "new"].into_iter().chain(renamed) {
            if self.follows(&row.columns) {
                rows.push(Item { alias: alias.to_owned(), ..row.clone() });
            }
        }
        rows
    }
}

/// Whether a value is as many as a row has columns.
pub(super) fn is_several(value: &Value) -> bool {
    node(value).is_some_and(|(_, fields)| ["fields", "indirection"].iter().any(|of| has_star(fields.get(of))))
}

/// The names that a list assigns to.
fn names(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten().filter_map(node);
    items.map(|(_, fields)| text(fields, "name").to_owned()).collect()
}
