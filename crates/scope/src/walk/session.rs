//! What statements do to their session: settings, and tables of its own.

use chaperone_access::{Refusal, RefusalCode};

use super::{OBJECT_TABLE, TEMPORARY, Walk, dropped};
use crate::rewrite::Place;
use crate::settings;
use crate::tree::{Fields, Value, constant, flag, node, number, text};

/// `VariableSetKind` of `SET x = y`, `SET x FROM CURRENT`, `SET x = DEFAULT`, `RESET x` and `RESET ALL`.
const SET_VALUE: i64 = pg_query::protobuf::VariableSetKind::VarSetValue as i64;
const SET_CURRENT: i64 = pg_query::protobuf::VariableSetKind::VarSetCurrent as i64;
const SET_DEFAULT: i64 = pg_query::protobuf::VariableSetKind::VarSetDefault as i64;
const RESET: i64 = pg_query::protobuf::VariableSetKind::VarReset as i64;
const RESET_ALL: i64 = pg_query::protobuf::VariableSetKind::VarResetAll as i64;

/// `OnCommitAction` of `ON COMMIT DROP`.
const ON_COMMIT_DROP: i64 = pg_query::protobuf::OnCommitAction::OncommitDrop as i64;
const OBJECT_INDEX: i64 = pg_query::protobuf::ObjectType::ObjectIndex as i64;

impl<'a> Walk<'a> {
    pub(super) fn truncated(&mut self, fields: &Fields) {
        let relations = fields.get("relations").and_then(Value::as_array).into_iter().flatten();
        let own = relations.filter_map(node).all(|(_, relation)| {
            matches!(text(relation, "schemaname"), "" | TEMPORARY)
                && self.is_temporary(text(relation, "relname"))
        });
        if !own {
            self.found.not_understood(
                "TRUNCATE of what is not temporary".into(),
                "DELETE takes the rows that you may delete",
            );
        }
    }

    pub(super) fn setting(&mut self, fields: &'a Fields) {
        let name = text(fields, "name");
        if settings::identity(name) {
            // A role was taken on when the session began, and is what these go back to.
            if stays_itself(fields).is_some() {
                return;
            }
            self.found.forbidden = Some(identity_fixed());
        }
        let arguments = fields.get("args").and_then(Value::as_array);
        let value = arguments.and_then(|arguments| arguments.first()).and_then(constant);
        // `SET TIME ZONE INTERVAL '…'` without fields is a tree that the deparser does not bear: it would end this process.
        let spoken = |value: &Value| match node(value) {
            Some(("TypeCast", cast)) => cast
                .get("type_name")
                .and_then(Value::fields)
                .and_then(|name| name.get("typmods"))
                .and_then(Value::as_array)
                .is_some_and(|modifiers| modifiers.len() == 1),
            Some(_) | None => true,
        };
        if !arguments.unwrap_or_default().iter().all(spoken) {
            self.found.not_understood(
                "SET TIME ZONE with an interval that does not say of which fields".into(),
                "name the zone, or write INTERVAL '+01:00' HOUR TO MINUTE",
            );
        }
        // What keeps texts unambiguous was set when the session began, and is what RESET ALL goes back to.
        let reset_all = number(fields, "kind") == RESET_ALL;
        let fine = reset_all || settings::settable(name);
        if !fine && !value.is_some_and(|value| settings::keeps(name, value)) {
            self.found.not_understood(
                format!("setting `{name}` may not be changed with your permissions"),
                "docs/reference/sql.md lists those that may",
            );
        }
        if name.eq_ignore_ascii_case("search_path") {
            let values = fields.get("args").and_then(Value::as_array);
            let listed = values.into_iter().flatten().filter_map(constant);
            let unsaid = number(fields, "kind") == SET_CURRENT;
            if unsaid || listed.into_iter().any(|schema| schema.starts_with("pg_")) {
                self.found.not_understood(
                    "a search path that names a system schema, or is not said".into(),
                    "name schemas of the target: `pg_temp` and `pg_catalog` are searched first",
                );
            }
        }
    }

    /// `set_config` of a setting that is named, to a constant or to a value that comes with the statement.
    pub(super) fn configured(&mut self, arguments: &'a [Value]) {
        let named = arguments.first().and_then(constant);
        let given = arguments
            .get(1)
            .is_some_and(|value| constant(value).is_some() || matches!(value, Value::Node("ParamRef", _)));
        if named.is_some_and(|name| name.eq_ignore_ascii_case("search_path")) {
            self.found.not_understood(
                "`set_config` of `search_path`, which could be called for no row or for many, may not be called with your permissions"
                    .into(),
                "SET search_path, or SET LOCAL search_path for a transaction; pg_dump and its kind need every permission on the whole target",
            );
        }
        if !named.is_some_and(settings::configurable) || !given {
            self.found.not_understood(
                format!("`set_config` of `{}` may not be called with your permissions", named.unwrap_or("?")),
                "SET changes what docs/reference/sql.md lists; pg_dump and its kind need every permission on the whole target",
            );
        }
    }

    pub(super) fn shown(&mut self, name: &str) {
        if name.eq_ignore_ascii_case("all") {
            // A list of those that may be shown takes its place.
            return;
        }
        if !settings::showable(name) {
            self.found.not_understood(
                format!("setting `{name}` may not be shown"),
                "`SELECT name, setting FROM pg_settings` has those that may",
            );
        }
    }
}

/// Whether a DROP is of the session's own temporary tables only. `IF EXISTS` may name what there is not: nothing can be
/// dropped, and nothing is, because what is sent says `pg_temp`.
pub(crate) fn temporary_drop(fields: &Fields, place: Place<'_>) -> bool {
    let names = dropped(fields);
    let if_exists = flag(fields, "missing_ok");
    let is_own = |name: &str| place.temporary.iter().any(|known| **known == *name);
    let is_nothing = |name: &str| if_exists && place.catalog.resolve("", name, place.path).is_none();
    // An index lies where its table does, and what is sent says `pg_temp`.
    let is_index = number(fields, "remove_type") == OBJECT_INDEX;
    let is_table = number(fields, "remove_type") == OBJECT_TABLE;
    (is_index || is_table)
        && names.iter().all(|name| !name.is_empty() && (is_index || is_own(name) || is_nothing(name)))
}

/// What a statement that names the session's role, and leaves it what it is, is sent as: SET of a session's authorization would
/// end the role that was taken on, and NONE would be the login. `None` for a statement that would change it.
pub(crate) fn stays_itself(fields: &Fields) -> Option<&'static str> {
    let values = fields.get("args").and_then(Value::as_array);
    let value = values.and_then(|values| values.first()).and_then(constant);
    let none = text(fields, "name").eq_ignore_ascii_case("role")
        && value.is_some_and(|value| value.eq_ignore_ascii_case("none"));
    match number(fields, "kind") {
        RESET => Some("RESET role"),
        SET_DEFAULT => Some("SET role TO DEFAULT"),
        SET_VALUE if none => Some("SET role TO DEFAULT"),
        _ => None,
    }
}

/// Nobody becomes somebody else under an open session.
pub(crate) fn identity_fixed() -> Refusal {
    Refusal::new(RefusalCode::NotPermitted, "the role of a session is fixed at the boundary")
        .hint("ask for a credential of your own for what the other role may do")
}

/// The INTO of a query; of set operations the first query has it.
pub(crate) fn kept(query: &Fields) -> Option<&Fields> {
    match query.get("larg").and_then(Value::fields) {
        Some(first) => kept(first),
        None => query.get("into_clause").and_then(Value::fields),
    }
}

/// Whether a temporary table that is made goes with the transaction in which it is.
pub(crate) fn is_passing(kind: &str, fields: &Fields) -> bool {
    let into = match kind {
        "CreateStmt" => return number(fields, "oncommit") == ON_COMMIT_DROP,
        "CreateTableAsStmt" => fields.get("into").and_then(Value::fields),
        "SelectStmt" => kept(fields),
        _ => None,
    };
    into.is_some_and(|into| number(into, "on_commit") == ON_COMMIT_DROP)
}
