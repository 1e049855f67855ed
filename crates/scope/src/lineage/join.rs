//! What a join of FROM shows.

use super::{Item, Lineage, Origin, Output, aliased};
use crate::tree::{Fields, Value, flag, strings};

impl Lineage<'_> {
    pub(super) fn join(&mut self, fields: &Fields, merged: &mut bool) -> Vec<Item> {
        let alias = fields.get("alias").and_then(Value::fields);
        *merged |= flag(fields, "is_natural") || fields.get("using_clause").is_some();
        let mut items: Vec<Item> = Vec::new();
        let mut first = 0;
        for side in ["larg", "rarg"] {
            let side = fields.get(side).map(|side| self.item_of_from(side, merged)).unwrap_or_default();
            first = items.len();
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
        if flag(fields, "is_natural") {
            let (left, right) = items.split_at(first);
            self.read.extend(same_names(left, right));
            self.read.extend(same_names(right, left));
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

/// What the columns of some items are made of that others have by the same name, or may have.
fn same_names(of: &[Item], others: &[Item]) -> Origin {
    let unknown = others.iter().any(|item| item.open.is_some());
    let others: Vec<&Output> = others.iter().flat_map(|item| &item.columns).collect();
    let any = unknown || others.iter().any(|other| other.name.is_empty());
    // What an unnamed one is made of was read where it was written.
    let columns = of.iter().flat_map(|item| &item.columns);
    let same = columns.filter(|column| any || others.iter().any(|other| other.name == column.name));
    same.flat_map(|column| column.origin.iter().cloned()).collect()
}
