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
mod tests {
    use chaperone_access::Described;

    use super::whose::Of;
    use super::*;

    /// A function is described to whoever may call it, and a comment may be of one: no relation decides that.
    #[test]
    fn whoever_may_do_something_to_all_relations_is_told_all_but_of_functions() {
        let catalog = crate::analyse::tests::catalog();
        let all = Telling::new(&catalog, Some(&Described::All), false);
        let none = Telling::new(&catalog, None, false);
        for (look, open) in [
            (Look::Relation, true),
            (Look::PartitionKey, true),
            (Look::Index, true),
            (Look::Constraint, true),
            (Look::Rule, true),
            (Look::Trigger, true),
            (Look::Statistics, true),
            (Look::Function, false),
            (Look::Arguments, false),
            (Look::Comment, false),
            (Look::Setting, false),
        ] {
            assert_eq!(look.condition(&all).is_none(), open, "{look:?}");
            assert!(look.condition(&none).is_some(), "{look:?}");
        }
        for (of, open) in [
            (Of::Relation("oid"), true),
            (Of::Type("oid"), true),
            (Of::Constraint, true),
            (Of::NamedCheck, true),
            (Of::Function("oid"), false),
            (Of::NamedFunction, false),
            (Of::Comment, false),
        ] {
            assert_eq!(all.of(of).is_none(), open, "{of:?}");
            assert!(none.of(of).is_some(), "{of:?}");
        }
        assert!(is_part(CATALOG, "pg_class") && !is_part("public", "pg_class"));
    }

    #[test]
    fn the_columns_of_each_are_loaded() {
        let query = crate::catalog::QUERIES.join("\n");
        for part in &PARTS {
            assert!(
                query.contains(&format!("'{}'", part.relation)),
                "{} is not in columns.sql",
                part.relation
            );
        }
    }
}
