//! System relations of which a part tells about data (how many pages and rows there are, what has been counted), about other
//! sessions, holds secrets, or describes what a caller may do nothing to. They are read through a sub-select that shows what
//! is listed in `parts` and NULL for the rest, so a column that a newer server adds is not shown. Functions that tell the
//! same stand behind `looks`.

mod looks;
mod parts;
mod whose;

use chaperone_access::RelationName;

pub(crate) use looks::{Look, look};
pub(crate) use whose::Telling;

use crate::rewrite::literal;
use crate::settings::shown_of_all;
use crate::tree::{Fields, Value, node, strings};
use crate::walk::quoted;
use parts::{CATALOG, Columns, INFORMATION, PARTS, Part, Rows};

fn part(schema: &str, name: &str) -> Option<&'static Part> {
    PARTS.iter().find(|part| part.schema == schema && part.relation == name)
}

/// Whether it is a relation of the system's.
pub(crate) fn is_system(schema: &str) -> bool {
    matches!(schema, CATALOG | INFORMATION)
}

/// Whether a relation is a system relation that is read in part.
pub(crate) fn is_part(schema: &str, name: &str) -> bool {
    part(schema, name).is_some()
}

/// The relation that a function in FROM is read as: `pg_show_all_settings()`, which pgAdmin asks when it connects, is what the view
/// `pg_settings` consists of. Only where the call is all that stands there.
pub(crate) fn read_as(range_function: &Fields) -> Option<&'static str> {
    // Without ROWS FROM no definitions of columns stand beside the call.
    let plain = range_function.iter().all(|(name, _)| matches!(name, "functions" | "alias" | "lateral"));
    let [list] = range_function.get("functions").and_then(Value::as_array)? else { return None };
    let (_, call) = node(list.fields()?.get("items").and_then(Value::as_array)?.first()?)?;
    let alone = call.get("args").is_none();
    let named = matches!(
        strings(call, "funcname").as_slice(),
        ["pg_show_all_settings"] | [CATALOG, "pg_show_all_settings"]
    );
    (plain && alone && named).then_some("pg_settings")
}

/// Whether a view's query may read a system relation, or call a function behind a look or one that nothing is told of. Says so too often rather than too
/// seldom: their names are looked for wherever they stand.
pub(crate) fn may_introspect(definition: &str) -> bool {
    ["pg_", INFORMATION, "_description", "txid_"].iter().any(|word| definition.contains(word))
}

/// Whether a column stands in a list with spaces.
fn has(list: &str, column: &str) -> bool {
    list.split(' ').any(|known| known == column)
}

/// The sub-select in the place of a system relation, if it is not read as it is. Of a table with the system columns that are
/// `asked` for, each by its name and what is shown of it.
pub(crate) fn stand_in(telling: &Telling<'_>, name: &RelationName, asked: &[(&str, &str)]) -> Option<String> {
    let part = part(&name.schema, &name.name)?;
    let known = telling.catalog.relations.get(name);
    let whose = part.described.map(|(columns, of)| (columns, telling.of(of)));
    let mut columns = Vec::new();
    for column in known.into_iter().flat_map(|relation| &relation.columns) {
        let name = quoted(&column.name);
        let described = whose.as_ref().filter(|(columns, _)| has(columns, &column.name));
        let shown = match (described, &part.shown) {
            (Some((_, Some(condition))), _) => format!("CASE WHEN {condition} THEN t.{name} END"),
            (Some((_, None)), _) | (None, Columns::Others) => format!("t.{name}"),
            (None, Columns::These(shown)) if has(shown, &column.name) => format!("t.{name}"),
            // A type that nothing can be cast to.
            (None, Columns::These(_)) if column.base.starts_with("any") => "NULL::text".to_owned(),
            (None, Columns::These(_)) => format!("NULL::{}", column.base),
        };
        columns.push(format!("{shown} AS {name}"));
    }
    if known.is_some_and(|relation| relation.kind == b'r') {
        columns.extend(asked.iter().map(|(name, shown)| format!("{shown} AS {name}")));
    }
    let columns = columns.join(", ");
    let from = format!("{}.{} AS t", part.schema, quoted(&name.name));
    Some(match part.rows {
        Rows::All => format!("SELECT {columns} FROM {from}"),
        // Its own conditions must not be tried on what is left out.
        Rows::Own => format!("SELECT {columns} FROM {from} WHERE t.pid = pg_backend_pid() OFFSET 0"),
        Rows::None => format!("SELECT {columns} FROM {from} WHERE false"),
        Rows::Settings => {
            let names: Vec<String> = shown_of_all().map(literal).collect();
            format!("SELECT {columns} FROM {from} WHERE t.name = ANY (ARRAY[{}]) OFFSET 0", names.join(", "))
        }
    })
}

#[cfg(test)]
mod tests;
