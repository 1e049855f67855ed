//! System relations of which a part tells about data (how many pages and rows there are, what has been counted), about other
//! sessions, or holds secrets. They are read through a sub-select that shows what is listed here and NULL for the rest, so a
//! column that a newer server adds is not shown.

use chaperone_access::RelationName;

use crate::catalog::Catalog;
use crate::rewrite::literal;
use crate::settings::shown_of_all;
use crate::walk::quoted;

/// How one is read.
struct Part {
    relation: &'static str,
    /// Its columns that are shown.
    shown: &'static [&'static str],
    rows: Rows,
}

enum Rows {
    All,
    /// Settings that may be shown.
    Settings,
    /// The session's own.
    Own,
}

const INDEX: &[&str] = &["relid", "indexrelid", "schemaname", "relname", "indexrelname"];
const TABLE: &[&str] = &["relid", "schemaname", "relname"];

const fn counted(relation: &'static str, shown: &'static [&'static str]) -> Part {
    Part { relation, shown, rows: Rows::All }
}

const PARTS: [Part; 22] = [
    counted(
        "pg_attribute",
        &[
            "attrelid",
            "attname",
            "atttypid",
            "attstattarget",
            "attlen",
            "attnum",
            "attndims",
            "attcacheoff",
            "atttypmod",
            "attbyval",
            "attalign",
            "attstorage",
            "attcompression",
            "attnotnull",
            "atthasdef",
            "atthasmissing",
            "attidentity",
            "attgenerated",
            "attisdropped",
            "attislocal",
            "attinhcount",
            "attcollation",
            "attacl",
            "attoptions",
        ],
    ),
    counted(
        "pg_class",
        &[
            "oid",
            "relname",
            "relnamespace",
            "reltype",
            "reloftype",
            "relowner",
            "relam",
            "reltablespace",
            "reltoastrelid",
            "relhasindex",
            "relisshared",
            "relpersistence",
            "relkind",
            "relnatts",
            "relchecks",
            "relhasrules",
            "relhastriggers",
            "relhassubclass",
            "relrowsecurity",
            "relforcerowsecurity",
            "relispopulated",
            "relreplident",
            "relispartition",
            "relacl",
            "reloptions",
            "relpartbound",
        ],
    ),
    counted("pg_db_role_setting", &["setdatabase", "setrole"]),
    counted(
        "pg_foreign_server",
        &["oid", "srvname", "srvowner", "srvfdw", "srvtype", "srvversion", "srvacl"],
    ),
    counted("pg_foreign_table", &["ftrelid", "ftserver"]),
    counted(
        "pg_sequences",
        &[
            "schemaname",
            "sequencename",
            "sequenceowner",
            "data_type",
            "start_value",
            "min_value",
            "max_value",
            "increment_by",
            "cycle",
            "cache_size",
        ],
    ),
    Part {
        relation: "pg_settings",
        shown: &["name", "setting", "unit", "category", "short_desc", "context", "vartype", "enumvals"],
        rows: Rows::Settings,
    },
    Part {
        relation: "pg_stat_activity",
        shown: &["datid", "datname", "pid", "usesysid", "usename", "state", "backend_type"],
        rows: Rows::Own,
    },
    counted("pg_stat_all_indexes", INDEX),
    counted("pg_stat_all_tables", TABLE),
    counted("pg_stat_sys_indexes", INDEX),
    counted("pg_stat_sys_tables", TABLE),
    counted("pg_stat_user_indexes", INDEX),
    counted("pg_stat_user_tables", TABLE),
    counted("pg_statio_all_indexes", INDEX),
    counted("pg_statio_all_tables", TABLE),
    counted("pg_statio_user_indexes", INDEX),
    counted("pg_statio_user_tables", TABLE),
    counted("pg_subscription", &["oid", "subdbid", "subname", "subowner", "subenabled", "subpublications"]),
    counted("pg_subscription_rel", &["srsubid", "srrelid"]),
    counted(
        "pg_user",
        &["usename", "usesysid", "usecreatedb", "usesuper", "userepl", "usebypassrls", "passwd", "valuntil"],
    ),
    counted(
        "pg_roles",
        &[
            "rolname",
            "rolsuper",
            "rolinherit",
            "rolcreaterole",
            "rolcreatedb",
            "rolcanlogin",
            "rolreplication",
            "rolconnlimit",
            "rolpassword",
            "rolvaliduntil",
            "rolbypassrls",
            "oid",
        ],
    ),
];

fn part(name: &str) -> Option<&'static Part> {
    PARTS.iter().find(|part| part.relation == name)
}

/// Whether a relation of `pg_catalog` is read in part.
pub(crate) fn is_part(name: &str) -> bool {
    part(name).is_some()
}

/// The sub-select in the place of a system relation, if it is not read as it is.
pub(crate) fn stand_in(catalog: &Catalog, name: &RelationName) -> Option<String> {
    if &*name.schema != "pg_catalog" {
        return None;
    }
    let part = part(&name.name)?;
    let known = catalog.relations.get(name).map(|relation| relation.columns.as_slice()).unwrap_or_default();
    let columns = known.iter().map(|column| {
        let name = quoted(&column.name);
        if part.shown.contains(&&*column.name) {
            format!("t.{name} AS {name}")
        } else if column.base.starts_with("any") {
            // A type that nothing can be cast to.
            format!("NULL::text AS {name}")
        } else {
            format!("NULL::{} AS {name}", column.base)
        }
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    let from = format!("pg_catalog.{} AS t", quoted(&name.name));
    Some(match part.rows {
        Rows::All => format!("SELECT {columns} FROM {from}"),
        // Its own conditions must not be tried on what is left out.
        Rows::Own => format!("SELECT {columns} FROM {from} WHERE t.pid = pg_backend_pid() OFFSET 0"),
        Rows::Settings => {
            let names: Vec<String> = shown_of_all().map(literal).collect();
            format!("SELECT {columns} FROM {from} WHERE t.name = ANY (ARRAY[{}]) OFFSET 0", names.join(", "))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
