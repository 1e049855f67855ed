//! EXPLAIN, and what it runs.

use super::{Walk, temporary_made};
use crate::tree::{Fields, Value, node, text};

/// Whether EXPLAIN runs what it explains.
pub(crate) fn analyses(explain: &Fields) -> bool {
    let options = explain.get("options").and_then(Value::as_array).into_iter().flatten();
    options.filter_map(node).any(|(_, option)| text(option, "defname") == "analyze")
}

/// The prepared statement that EXPLAIN or CREATE TABLE AS runs, one inside of the other or not.
pub(crate) fn executed(fields: &Fields) -> Option<&str> {
    match fields.get("query").and_then(node)? {
        ("ExecuteStmt", execute) => Some(text(execute, "name")),
        ("CreateTableAsStmt", made) => executed(made),
        _ => None,
    }
}

/// The temporary table that EXPLAIN ANALYZE makes, and the statement that makes it.
pub(crate) fn made_on_the_way(explain: &Fields) -> Option<(&str, (&str, &Fields))> {
    let query = explain.get("query").and_then(node).filter(|_| analyses(explain))?;
    Some((temporary_made(query.0, query.1)?, query))
}

impl<'a> Walk<'a> {
    pub(super) fn explain(&mut self, fields: &'a Fields) {
        if made_on_the_way(fields).is_some() {
            self.found
                .not_understood("EXPLAIN ANALYZE of what makes a table".into(), "explain the query alone");
        }
        for option in fields.get("options").and_then(Value::as_array).into_iter().flatten() {
            let Some((_, option)) = node(option) else { continue };
            if !matches!(
                text(option, "defname"),
                "verbose"
                    | "costs"
                    | "format"
                    | "analyze"
                    | "timing"
                    | "summary"
                    | "buffers"
                    | "wal"
                    | "settings"
                    | "memory"
            ) {
                self.found.not_understood(
                    format!("EXPLAIN with `{}`", text(option, "defname")),
                    "ANALYZE, VERBOSE, COSTS, TIMING, SUMMARY, FORMAT, BUFFERS, WAL and SETTINGS are carried",
                );
            }
        }
    }
}
