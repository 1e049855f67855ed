//! What a write assigns to, reads and returns.

use super::{Item, Lineage, Output};
use crate::tree::{Fields, Value, node, number, text};
use crate::walk::TEMPORARY;

/// `CmdType` of INSERT and DELETE.
const MERGE_WHOLE: [i64; 2] = [4, 5];

impl Lineage<'_> {
    pub(super) fn write(&mut self, kind: &str, fields: &Fields) -> Vec<Output> {
        // MERGE returns its source before its target.
        let mut merged = kind == "MergeStmt";
        let relation = fields.get("relation").and_then(Value::fields);
        let temporary = relation.is_some_and(|relation| {
            let name = text(relation, "relname");
            text(relation, "schemaname") == TEMPORARY
                || (text(relation, "schemaname").is_empty()
                    && self.place.temporary.iter().any(|known| **known == *name))
        });
        let Some(mut target) = relation.and_then(|relation| self.stored(relation)) else { return Vec::new() };
        let columns = target.columns.clone();
        if let Some(alias) = relation.and_then(|relation| relation.get("alias")).and_then(Value::fields) {
            text(alias, "aliasname").clone_into(&mut target.alias);
        }
        // ON CONFLICT's other name of the row.
        let excluded = Item { alias: "excluded".to_owned(), ..target.clone() };
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
        for column in &columns {
            if whole || kind == "DeleteStmt" || assigned.contains(&column.name) {
                self.written.extend(column.plain.clone());
            }
        }
        // The source does not see the target.
        self.frames.push(Vec::new());
        let outputs = match fields.get("select_stmt").and_then(node) {
            Some((kind, source)) => self.query(kind, source),
            None => Vec::new(),
        };
        if temporary {
            self.disclose(&outputs);
        }
        let mut items = vec![target];
        for list in ["from_clause", "using_clause"] {
            for item in fields.get(list).and_then(Value::as_array).into_iter().flatten() {
                items.extend(self.item_of_from(item, &mut merged));
            }
        }
        if let Some(source) = fields.get("source_relation") {
            items.extend(self.item_of_from(source, &mut merged));
        }
        self.frames.pop();
        items.push(excluded);
        self.frames.push(items);
        let rest =
            ["target_list", "where_clause", "on_conflict_clause", "join_condition", "merge_when_clauses"];
        self.expressions(fields, &rest, &[]);
        if let Some(frame) = self.frames.last_mut() {
            frame.pop();
        }
        let returned =
            fields.get("returning_clause").and_then(Value::fields).and_then(|clause| clause.get("exprs"));
        let returned = returned.and_then(Value::as_array).unwrap_or_default();
        let outputs = self.results(returned, merged);
        self.frames.pop();
        outputs
    }
}

/// The names that a list assigns to.
fn names(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten().filter_map(node);
    items.map(|(_, fields)| text(fields, "name").to_owned()).collect()
}
