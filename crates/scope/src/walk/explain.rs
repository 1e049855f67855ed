//! EXPLAIN.

use super::Walk;
use crate::tree::{Fields, Value, node, text};

impl<'a> Walk<'a> {
    pub(super) fn explain(&mut self, fields: &'a Fields) {
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
