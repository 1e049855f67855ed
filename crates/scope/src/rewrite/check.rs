//! The independent look at what is sent: at the tree of the words themselves, not at what was done to get them.

use std::collections::BTreeSet;
use std::sync::Arc;

use chaperone_access::{RelationName, RelationScope, Scope};

use super::barrier::{FLOOR_SCHEMA, stands_alone};
use crate::catalog::Catalog;
use crate::functions::extension_operator;
use crate::tree::{self, Fields, Value, alike, node, text};
use crate::walk::TEMPORARY;

/// What may stand in what is sent.
#[derive(Debug, Default)]
pub(super) struct Generated {
    sub_selects: Vec<(RelationName, Value)>,
    ctes: BTreeSet<String>,
    barriers: BTreeSet<Arc<str>>,
}

/// Where a relation's name stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// It is read.
    Read,
    /// It is written, locked or made.
    Target,
}

impl Generated {
    pub(super) fn add(&mut self, name: RelationName, select: Value) {
        self.sub_selects.push((name, select));
    }

    pub(super) fn cte(&mut self, name: String) {
        self.ctes.insert(name);
    }

    pub(super) fn barrier(&mut self, view: Arc<str>) {
        self.barriers.insert(view);
    }

    /// Whether every name in the tree is one that may stand there.
    pub(super) fn holds(&self, tree: &Value, catalog: &Catalog, scope: &Scope) -> bool {
        Look { generated: self, catalog, scope }.value(tree, At::Read)
    }
}

struct Look<'a> {
    generated: &'a Generated,
    catalog: &'a Catalog,
    scope: &'a Scope,
}

impl Look<'_> {
    fn value(&self, value: &Value, at: At) -> bool {
        if let Some(("SelectStmt", _)) = node(value) {
            let ours = self.generated.sub_selects.iter();
            if ours.clone().any(|(_, select)| alike(select, value)) {
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
        if tree::strings(fields, "funcname").len() == 1 {
            return false;
        }
        let operator = tree::strings(fields, "name");
        if let ("AExpr", 1..=3, [operator]) = (kind, tree::number(fields, "kind"), operator.as_slice())
            && !extension_operator(self.catalog, operator)
        {
            return false;
        }
        fields.iter().all(|(name, value)| {
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

    fn relation(&self, fields: &Fields, at: At) -> bool {
        let (schema, name) = (text(fields, "schemaname"), text(fields, "relname"));
        if schema.is_empty() {
            return at == At::Read
                && self.generated.ctes.contains(name)
                && !self.catalog.names.contains(name);
        }
        if schema == FLOOR_SCHEMA {
            return at == At::Read
                && self.generated.barriers.contains(name)
                && stands_alone(name, self.catalog, self.scope);
        }
        if schema == TEMPORARY || matches!(schema, "pg_catalog" | "information_schema") {
            return true;
        }
        let full = RelationName::new(schema, name);
        if at == At::Target || self.catalog.classification.is_none() {
            return true;
        }
        match self.scope.relations.get(&full) {
            Some(RelationScope::Whole) => true,
            // A view whose relations all are seen whole stands for itself; that was looked at where it was read.
            Some(RelationScope::Part { .. }) => {
                self.catalog.relations.get(&full).is_some_and(|relation| relation.kind == b'v')
            }
            None => false,
        }
    }
}

fn text_of<'v>(value: &'v Value, name: &str) -> &'v str {
    value.fields().map_or("", |fields| text(fields, name))
}
