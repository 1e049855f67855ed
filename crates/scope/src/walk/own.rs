//! What is done to a session's own temporary tables. They hold what their caller could read, so that what is counted, indexed or
//! altered there tells nothing; code of the target's own is kept out.

use super::{OBJECT_TABLE, TEMPORARY, Walk};
use crate::rewrite::Place;
use crate::tree::{Fields, Value, node, number, text};

/// `AlterTableType` of ADD COLUMN, SET and DROP DEFAULT, DROP and SET NOT NULL, DROP COLUMN, ADD and DROP CONSTRAINT, and TYPE.
const ALTERATIONS: [i64; 8] = [1, 3, 5, 6, 14, 17, 23, 25];
/// Ways to keep an index that PostgreSQL itself has.
const METHODS: [&str; 6] = ["brin", "btree", "gin", "gist", "hash", "spgist"];
/// How full pages are, and when they are looked after.
const STORAGE: [&str; 7] = [
    "autovacuum_enabled",
    "deduplicate_items",
    "fastupdate",
    "fillfactor",
    "pages_per_range",
    "parallel_workers",
    "toast_tuple_target",
];
/// What an identity's sequence may be told. Not whose it is and what it is called.
const SEQUENCE: [&str; 8] = ["as", "cache", "cycle", "increment", "maxvalue", "minvalue", "restart", "start"];
/// VERBOSE would tell how old what others do is.
const MAINTENANCE: [&str; 4] = ["analyze", "freeze", "full", "skip_locked"];

/// The relations that a statement changes the making of.
fn targets<'v>(kind: &str, fields: &'v Fields) -> Vec<&'v Fields> {
    let relation = |fields: &'v Fields| fields.get("relation").and_then(Value::fields);
    match kind {
        "IndexStmt" | "AlterTableStmt" | "RenameStmt" => relation(fields).into_iter().collect(),
        "VacuumStmt" => {
            let relations = fields.get("rels").and_then(Value::as_array).into_iter().flatten();
            relations.filter_map(node).filter_map(|(_, fields)| relation(fields)).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a statement changes how temporary tables of the session's own are made, and nothing else.
pub(crate) fn alters_temporary(kind: &str, fields: &Fields, place: Place<'_>) -> bool {
    let targets = targets(kind, fields);
    let own = |relation: &&Fields| {
        let name = text(relation, "relname");
        matches!(text(relation, "schemaname"), "" | TEMPORARY)
            && place.temporary.iter().any(|known| **known == *name)
    };
    !targets.is_empty() && targets.iter().all(own)
}

/// Whether all options of that field are among these.
fn only(fields: &Fields, name: &str, known: &[&str]) -> bool {
    let options = fields.get(name).and_then(Value::as_array).into_iter().flatten();
    options.filter_map(node).all(|(_, option)| known.contains(&text(option, "defname")))
}

/// Whether a table or index is kept as any other is.
pub(super) fn stores_plainly(fields: &Fields) -> bool {
    only(fields, "options", &STORAGE)
}

/// Whether a constraint's sequence, if it has one, is one of its own.
pub(super) fn counts_plainly(fields: &Fields) -> bool {
    only(fields, "options", &SEQUENCE)
}

impl<'a> Walk<'a> {
    pub(super) fn own(&mut self, kind: &str, fields: &Fields) {
        self.found.writes = true;
        let fine = match kind {
            "IndexStmt" => {
                self.triggered(&["CREATE INDEX"]);
                METHODS.contains(&text(fields, "access_method")) && stores_plainly(fields)
            }
            "AlterTableStmt" => {
                self.defines = true;
                self.triggered(&["ALTER TABLE"]);
                number(fields, "objtype") == OBJECT_TABLE
            }
            // Its statement says of what.
            "AlterTableCmd" => return self.alteration(fields),
            "RenameStmt" => {
                self.triggered(&["ALTER TABLE"]);
                // Of a column alone it is said of what kind the relation is that has it.
                number(fields, "relation_type") == OBJECT_TABLE
            }
            _ => only(fields, "options", &MAINTENANCE),
        };
        if !alters_temporary(kind, fields, self.place()) {
            self.found.not_understood(
                "a change of what is not temporary".into(),
                "name a temporary table of yours; other tables need every permission on the target",
            );
        } else if !fine {
            self.found.not_understood(
                "a change of a temporary table in an unusual way".into(),
                "columns, defaults, keys and checks may be added, dropped and typed, columns renamed, indexes of the \
                 built-in kinds made; ANALYZE and VACUUM take FULL and FREEZE",
            );
        }
    }

    fn alteration(&mut self, fields: &Fields) {
        if !ALTERATIONS.contains(&number(fields, "subtype")) {
            self.found.not_understood(
                "a change of a temporary table in an unusual way".into(),
                "columns, defaults, keys and checks may be added, dropped and typed",
            );
        }
    }

    /// When constraints are looked at. What is written is judged when it is written, as if they were looked at then.
    pub(super) fn constraints(&mut self, fields: &Fields) {
        if fields.get("constraints").is_some() {
            self.found.not_understood("SET CONSTRAINTS with names".into(), "SET CONSTRAINTS ALL is carried");
        }
    }
}
