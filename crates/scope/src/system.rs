//! System relations of which a part tells about data: how many pages and rows there are, what a column held when it was
//! added. They are read through a sub-select without it.

use chaperone_access::RelationName;

use crate::catalog::Catalog;
use crate::walk::quoted;

/// The columns that are left out, each with the type of the NULL in its place.
const WITHOUT: [(&str, &[(&str, &str)]); 2] = [
    ("pg_attribute", &[("attmissingval", "text")]),
    (
        "pg_class",
        &[
            ("relpages", "int4"),
            ("reltuples", "float4"),
            ("relallvisible", "int4"),
            ("relallfrozen", "int4"),
            ("relfilenode", "oid"),
            ("relfrozenxid", "xid"),
            ("relminmxid", "xid"),
        ],
    ),
];

/// The sub-select in the place of a system relation, if it is not read as it is.
pub(crate) fn stand_in(catalog: &Catalog, name: &RelationName) -> Option<String> {
    if &*name.schema != "pg_catalog" {
        return None;
    }
    let (_, without) = WITHOUT.iter().find(|(relation, _)| *relation == &*name.name)?;
    let known = catalog.relations.get(name).map(|relation| relation.columns.as_slice()).unwrap_or_default();
    let columns = known.iter().map(|column| {
        let shown = match without.iter().find(|(left_out, _)| *left_out == &*column.name) {
            Some((_, typ)) => format!("NULL::pg_catalog.{typ}"),
            None => format!("t.{}", quoted(&column.name)),
        };
        format!("{shown} AS {}", quoted(&column.name))
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    Some(format!("SELECT {columns} FROM pg_catalog.{} AS t", quoted(&name.name)))
}
