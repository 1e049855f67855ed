//! The independent look at what is sent: at the tree of the words themselves, not at what was done to get them.

use std::collections::BTreeSet;
use std::sync::Arc;

use chaperone_access::{RelationName, RelationScope, Scope};
use pg_query::protobuf::{SetOperation, SubLinkType};

use super::bare::names_what_is_revealed;
use super::barrier::{FLOOR_SCHEMA, stands_alone};
use super::is_open;
use super::traces::hides_below;
use crate::functions::{extension_function, extension_operator};
use crate::system::{self, Telling};
use crate::tree::{self, Fields, Value, alike, node, text};
use crate::walk::TEMPORARY;

/// What may stand in what is sent.
#[derive(Debug, Default)]
pub(super) struct Generated {
    sub_selects: Vec<Value>,
    /// Conditions of the looks at objects, each by the function that it stands before.
    conditions: Vec<(String, Value)>,
    ctes: BTreeSet<String>,
    barriers: BTreeSet<Arc<str>>,
}

/// `SetOperation::SetopNone`, as a field has it.
const NO_SET: i64 = SetOperation::SetopNone as i64;

/// Where a relation's name stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// It is read.
    Read,
    /// It is written, locked or made.
    Target,
}

impl Generated {
    pub(super) fn add(&mut self, select: Value) {
        // Once each: a statement may name a relation a thousand times.
        if !self.sub_selects.iter().any(|known| alike(known, &select)) {
            self.sub_selects.push(select);
        }
    }

    pub(super) fn condition(&mut self, function: &str, condition: Value) {
        if !self.conditions.iter().any(|(of, known)| of == function && alike(known, &condition)) {
            self.conditions.push((function.to_owned(), condition));
        }
    }

    pub(super) fn cte(&mut self, name: String) {
        self.ctes.insert(name);
    }

    pub(super) fn barrier(&mut self, view: Arc<str>) {
        self.barriers.insert(view);
    }

    /// Whether every name in the tree is one that may stand there.
    pub(super) fn holds(&self, tree: &Value, telling: &Telling<'_>, scope: &Scope) -> bool {
        Checking { generated: self, telling, scope }.value(tree, At::Read)
    }
}

struct Checking<'a> {
    generated: &'a Generated,
    telling: &'a Telling<'a>,
    scope: &'a Scope,
}

impl Checking<'_> {
    fn value(&self, value: &Value, at: At) -> bool {
        if let Some(("SelectStmt", _)) = node(value) {
            let ours = self.generated.sub_selects.iter();
            if ours.clone().any(|select| alike(select, value)) {
                return true;
            }
        }
        match value {
            Value::Object(fields) | Value::Node(_, fields) => {
                let kind = node(value).map_or("", |(kind, _)| kind);
                self.fields(kind, fields, at)
            }
            Value::Array(items) => items.iter().all(|item| self.value(item, at)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => true,
        }
    }

    fn fields(&self, kind: &str, fields: &Fields, at: At) -> bool {
        // Names of what the statement itself calls so, and of temporary relations that are made.
        if fields.get("locked_rels").is_some() {
            return true;
        }
        if !text(fields, "relname").is_empty() && !self.relation(fields, at) {
            return false;
        }
        if kind == "TruncateStmt" && !of_temporary_only(fields) {
            return false;
        }
        let function = tree::strings(fields, "funcname");
        let spelled = |name: &str| extension_function(self.telling.catalog, name);
        if matches!(function.as_slice(), [name] if !spelled(name)) || !self.looked_at(&function, fields) {
            return false;
        }
        let operator = tree::strings(fields, "name");
        if let ("AExpr", 1..=3, [operator]) = (kind, tree::number(fields, "kind"), operator.as_slice())
            && !extension_operator(self.telling.catalog, operator)
        {
            return false;
        }
        fields.iter().all(|(name, value)| {
            if (kind, name) == ("SelectStmt", "where_clause")
                && self.generated.conditions.iter().any(|(_, condition)| alike(condition, value))
            {
                return true;
            }
            if name == "from_clause" && names_what_is_revealed(fields, self.telling.catalog, self.scope) {
                return true;
            }
            let written = match (kind, name) {
                ("InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt", "relation")
                | ("LockStmt", "relations") => true,
                ("CopyStmt", "relation") => tree::flag(fields, "is_from"),
                // Made, and temporary: its name leads nowhere yet.
                ("CreateStmt", "relation") | (_, "rel") if text_of(value, "relpersistence") == "t" => {
                    return true;
                }
                (_, _) => false,
            };
            self.value(value, if written { At::Target } else { At::Read })
        })
    }

    /// Whether a function that describes objects is asked about what a look of ours lets through, and nothing else.
    fn looked_at(&self, function: &[&str], fields: &Fields) -> bool {
        let ["pg_catalog", function] = function else { return true };
        let Some(look) = system::look(function) else { return true };
        let argument = fields.get("args").and_then(Value::as_array).and_then(<[Value]>::first);
        if look.is_open(argument) {
            return true;
        }
        if argument.is_none() || look.condition(self.telling).is_none() {
            return true;
        }
        argument.and_then(condition).is_some_and(|condition| {
            let known = self.generated.conditions.iter();
            known.clone().any(|(of, known)| of == function && alike(known, condition))
        })
    }

    fn relation(&self, fields: &Fields, at: At) -> bool {
        let (schema, name) = (text(fields, "schemaname"), text(fields, "relname"));
        if schema.is_empty() {
            return at == At::Read
                && self.generated.ctes.contains(name)
                && !self.telling.catalog.names.contains(name);
        }
        if schema == FLOOR_SCHEMA {
            return at == At::Read
                && self.generated.barriers.contains(name)
                && stands_alone(name, self.telling.catalog, self.scope);
        }
        if schema == TEMPORARY {
            return true;
        }
        if system::is_system(schema) {
            return at == At::Target || !system::is_part(schema, name);
        }
        let full = RelationName::new(schema, name);
        if at == At::Target {
            return true;
        }
        if self.telling.catalog.relations.get(&full).is_some_and(|relation| !relation.is_plain()) {
            return false;
        }
        if is_open(self.telling.catalog, self.scope) {
            return true;
        }
        let below = self.telling.catalog.relations.get(&full).filter(|_| tree::flag(fields, "inh"));
        if below.is_some_and(|relation| hides_below(self.telling.catalog, self.scope, relation)) {
            return false;
        }
        match self.scope.relations.get(&full) {
            Some(RelationScope::Whole) => true,
            // A view that nothing was said of stands for itself where its relations all are seen whole; that was looked
            // at where it was read.
            Some(RelationScope::Part { .. }) => {
                let catalog = self.telling.catalog;
                let view = catalog.relations.get(&full).is_some_and(|relation| relation.kind == b'v');
                view && !catalog.states(&full)
            }
            None => false,
        }
    }
}

/// Whether what is emptied is the session's own.
fn of_temporary_only(fields: &Fields) -> bool {
    let relations = fields.get("relations").and_then(Value::as_array).into_iter().flatten();
    relations.filter_map(node).all(|(_, relation)| text(relation, "schemaname") == TEMPORARY)
}

/// The condition of a look: `(SELECT g.o FROM (SELECT … OFFSET 0) AS g(o) WHERE …)`. `None` for anything else, also where
/// something is handed on that was not looked at.
fn condition(argument: &Value) -> Option<&Value> {
    let link = only("SubLink", argument, &["sub_link_type", "subselect"])?;
    let all = ["target_list", "from_clause", "where_clause", "limit_option", "op"];
    let outer = only("SelectStmt", link.get("subselect")?, &all)?;
    let from = only("RangeSubselect", one(outer, "from_clause")?, &["subquery", "alias"])?;
    let inner = ["target_list", "limit_offset", "limit_option", "op"];
    let inner = only("SelectStmt", from.get("subquery")?, &inner)?;
    let alias = from.get("alias")?.fields()?;
    let handed_on = only("ResTarget", one(outer, "target_list")?, &["val"])?.get("val")?;
    let is_look = tree::number(link, "sub_link_type") == i64::from(i32::from(SubLinkType::ExprSublink))
        && [outer, inner].iter().all(|select| tree::number(select, "op") == NO_SET)
        && text(alias, "aliasname") == "g"
        && tree::strings(alias, "colnames") == ["o"]
        && tree::strings(only("ColumnRef", handed_on, &["fields"])?, "fields") == ["g", "o"]
        && inner.get("limit_offset").is_some()
        && one(inner, "target_list").is_some();
    outer.get("where_clause").filter(|_| is_look)
}

/// The fields of a node of that kind which has no others.
fn only<'v>(kind: &str, value: &'v Value, known: &[&str]) -> Option<&'v Fields> {
    let (found, fields) = node(value)?;
    let strange = |(name, _): (&'static str, &Value)| !known.contains(&name) && !name.ends_with("location");
    (found == kind && !fields.iter().any(strange)).then_some(fields)
}

/// The one item of a list.
fn one<'v>(fields: &'v Fields, name: &str) -> Option<&'v Value> {
    match fields.get(name)?.as_array()? {
        [item] => Some(item),
        _ => None,
    }
}

fn text_of<'v>(value: &'v Value, name: &str) -> &'v str {
    value.fields().map_or("", |fields| text(fields, name))
}
