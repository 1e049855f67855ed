//! What a join of FROM shows.

use super::{Item, Lineage, aliased};
use crate::tree::{Fields, Value, flag, strings};

impl Lineage<'_> {
    pub(super) fn join(&mut self, fields: &Fields, merged: &mut bool) -> Vec<Item> {
        let alias = fields.get("alias").and_then(Value::fields);
        *merged |= flag(fields, "is_natural") || fields.get("using_clause").is_some();
        let mut items = Vec::new();
        for side in ["larg", "rarg"] {
            let side =
                fields.get(side).map(|side| self.item_of_from(side, merged)).unwrap_or_default();
            // A lateral item sees what stands before it.
            if let Some(frame) = self.frames.last_mut() {
                frame.extend(side.iter().cloned());
            }
            items.extend(side);
        }
        self.expressions(fields, &["quals"], &[]);
        let names = strings(fields, "using_clause");
        for name in names {
            for output in self.find(&[name]).into_iter().cloned().collect::<Vec<_>>() {
                self.read.extend(output.origin);
            }
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.truncate(frame.len().saturating_sub(items.len()));
        }
        match alias {
            Some(_) => {
                let columns = items.iter().flat_map(|item| item.columns.iter().cloned()).collect();
                vec![aliased(columns, alias, None)]
            }
            None => items,
        }
    }
}
