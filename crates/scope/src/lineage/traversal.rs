//! What a common table expression has besides what its query gives: the columns that SEARCH and CYCLE add.

use super::{Origin, Output};
use crate::tree::{Fields, Value, strings, text};

/// The columns of a common table expression whose query has these.
pub(super) fn columns(outputs: Vec<Output>, cte: &Fields) -> Vec<Output> {
    let mut columns = renamed(outputs, &strings(cte, "aliascolnames"));
    let mut added = Vec::new();
    if let Some(search) = cte.get("search_clause").and_then(Value::fields) {
        added.push(made("search_seq_column", search, &columns, "search_col_list"));
    }
    if let Some(cycle) = cte.get("cycle_clause").and_then(Value::fields) {
        for name in ["cycle_mark_column", "cycle_path_column"] {
            added.push(made(name, cycle, &columns, "cycle_col_list"));
        }
    }
    columns.extend(added);
    columns
}

/// Columns under other names, as far as there are some.
pub(super) fn renamed(mut outputs: Vec<Output>, names: &[&str]) -> Vec<Output> {
    for (output, name) in outputs.iter_mut().zip(names) {
        (*name).clone_into(&mut output.name);
    }
    outputs
}

/// A column that is made of others.
fn made(name: &str, clause: &Fields, columns: &[Output], of: &str) -> Output {
    let of = strings(clause, of);
    let of = columns.iter().filter(|column| of.contains(&column.name.as_str()));
    let origin: Origin = of.flat_map(|column| column.origin.iter().cloned()).collect();
    Output { name: text(clause, name).to_owned(), origin, plain: Vec::new() }
}
