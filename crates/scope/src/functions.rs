//! Which built-in functions a restricted caller's statement may call, and which system relations it may read.

use std::sync::Arc;

use chaperone_access::RelationName;

use crate::catalog::{Catalog, Home, TableColumn};
use crate::classification::Classification;
use crate::system;

/// Prefixes of names in `pg_catalog` that read files, settings, statistics, sizes, locks, WAL, large objects or other
/// sessions. Introspection has exceptions, in [`LISTED`].
const REFUSED_PREFIXES: [&str; 10] = [
    "pg_",
    "lo_",
    "lowrite",
    "loread",
    "txid_",
    "inet_",
    "binary_upgrade_",
    "ts_stat",
    "ts_rewrite",
    "brin_",
];

/// Names that run SQL or read what is not a relation, although they are declared stable.
const REFUSED: [&str; 18] = [
    "current_setting",
    "set_config",
    "current_query",
    // Which large objects there are: they are data, and belong to nobody who sees a part.
    "has_largeobject_privilege",
    "icu_unicode_version",
    "nextval",
    "currval",
    "lastval",
    // They make a value of the type whose number they are given, and so run the checks of any domain.
    "array_in",
    "array_recv",
    "domain_in",
    "domain_recv",
    "multirange_in",
    "multirange_recv",
    "range_in",
    "range_recv",
    "record_in",
    "record_recv",
];

/// What tells of bytes, pages, transactions, the log of changes and where the server is, each with its type: NULL stands in its place.
const NOTHING: [(&str, &str); 59] = [
    // How a value lies in its row depends on what else is in the row, and goes with it into another table.
    ("pg_column_compression", "text"),
    ("pg_column_size", "int4"),
    ("pg_current_snapshot", "pg_snapshot"),
    ("pg_current_wal_flush_lsn", "pg_lsn"),
    ("pg_current_wal_insert_lsn", "pg_lsn"),
    ("pg_current_wal_lsn", "pg_lsn"),
    ("pg_current_xact_id", "xid8"),
    ("pg_current_xact_id_if_assigned", "xid8"),
    ("pg_last_wal_receive_lsn", "pg_lsn"),
    ("pg_last_wal_replay_lsn", "pg_lsn"),
    ("pg_last_xact_replay_timestamp", "timestamptz"),
    ("pg_relation_filepath", "text"),
    ("pg_sequence_last_value", "int8"),
    ("pg_xact_status", "text"),
    ("txid_current_snapshot", "txid_snapshot"),
    ("txid_status", "text"),
    ("pg_table_size", "int8"),
    ("pg_relation_size", "int8"),
    ("pg_total_relation_size", "int8"),
    ("pg_indexes_size", "int8"),
    ("pg_database_size", "int8"),
    ("pg_tablespace_size", "int8"),
    ("txid_current", "int8"),
    ("txid_current_if_assigned", "int8"),
    ("pg_relation_filenode", "oid"),
    ("pg_tablespace_location", "text"),
    ("pg_stat_get_blocks_fetched", "int8"),
    ("pg_stat_get_blocks_hit", "int8"),
    ("pg_stat_get_dead_tuples", "int8"),
    ("pg_stat_get_ins_since_vacuum", "int8"),
    ("pg_stat_get_last_analyze_time", "timestamptz"),
    ("pg_stat_get_last_autoanalyze_time", "timestamptz"),
    ("pg_stat_get_last_autovacuum_time", "timestamptz"),
    ("pg_stat_get_last_vacuum_time", "timestamptz"),
    ("pg_stat_get_live_tuples", "int8"),
    ("pg_stat_get_mod_since_analyze", "int8"),
    ("pg_stat_get_numscans", "int8"),
    ("pg_stat_get_tuples_deleted", "int8"),
    ("pg_stat_get_tuples_fetched", "int8"),
    ("pg_stat_get_tuples_hot_updated", "int8"),
    ("pg_stat_get_tuples_inserted", "int8"),
    ("pg_stat_get_tuples_returned", "int8"),
    ("pg_stat_get_tuples_updated", "int8"),
    // When the server began, and where it and whoever asks it are: an agent alone knows.
    ("pg_conf_load_time", "timestamptz"),
    ("pg_postmaster_start_time", "timestamptz"),
    ("inet_client_addr", "inet"),
    ("inet_client_port", "int4"),
    ("inet_server_addr", "inet"),
    ("inet_server_port", "int4"),
    // How far a sequence, transactions, the log and what follows it are.
    ("pg_xact_commit_timestamp", "timestamptz"),
    ("mxid_age", "int4"),
    ("pg_export_snapshot", "text"),
    ("pg_is_wal_replay_paused", "bool"),
    ("pg_get_wal_replay_pause_state", "text"),
    ("pg_stat_get_analyze_count", "int8"),
    ("pg_stat_get_autoanalyze_count", "int8"),
    ("pg_stat_get_autovacuum_count", "int8"),
    ("pg_stat_get_vacuum_count", "int8"),
    ("pg_notification_queue_usage", "float8"),
];

/// Calls that find nothing to do, each with its answer: there are no other sessions for a caller who sees a part, and he
/// holds no advisory locks.
const IDLE: [(&str, &str); 5] = [
    ("pg_advisory_unlock_all", "''::pg_catalog.void"),
    ("pg_blocking_pids", "'{}'::pg_catalog.int4[]"),
    ("pg_cancel_backend", "false"),
    ("pg_safe_snapshot_blocking_pids", "'{}'::pg_catalog.int4[]"),
    ("pg_terminate_backend", "false"),
];

/// What stands in the place of a call, if something does.
pub(crate) fn instead_of(name: &str) -> Option<String> {
    if let Some((_, answer)) = IDLE.iter().find(|(known, _)| *known == name) {
        return Some((*answer).to_owned());
    }
    NOTHING.iter().find(|(known, _)| *known == name).map(|(_, typ)| format!("NULL::pg_catalog.{typ}"))
}

/// Built-in functions that are given the rows of a group.
const AGGREGATES: [&str; 54] = [
    "any_value",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "cume_dist",
    "dense_rank",
    "every",
    "json_agg",
    "json_agg_strict",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_unique",
    "json_object_agg_unique_strict",
    "jsonb_agg",
    "jsonb_agg_strict",
    "jsonb_object_agg",
    "jsonb_object_agg_strict",
    "jsonb_object_agg_unique",
    "jsonb_object_agg_unique_strict",
    "max",
    "min",
    "mode",
    "percent_rank",
    "percentile_cont",
    "percentile_disc",
    "range_agg",
    "range_intersect_agg",
    "rank",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
    "xmlagg",
];

/// Whether a built-in function is given the rows of a group.
pub(crate) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.contains(&name)
}

/// Of those, the ones that answer for a value that was never stored.
const MEASURES: [&str; 2] = ["pg_column_compression", "pg_column_size"];

/// Whether a function tells how a value lies in its row.
pub(crate) fn measures(name: &str) -> bool {
    MEASURES.contains(&name)
}

/// What the argument of a call is that has NULL in its place: what a parameter there is taken for.
pub(crate) fn argument_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "pg_table_size"
        | "pg_relation_size"
        | "pg_total_relation_size"
        | "pg_indexes_size"
        | "pg_relation_filenode"
        | "pg_relation_filepath"
        | "pg_sequence_last_value" => "regclass",
        "pg_database_size" | "pg_tablespace_size" => "name",
        "pg_xact_status" => "xid8",
        "pg_xact_commit_timestamp" => "xid",
        "pg_blocking_pids"
        | "pg_cancel_backend"
        | "pg_safe_snapshot_blocking_pids"
        | "pg_terminate_backend" => "int4",
        "txid_status" => "int8",
        _ if name == "pg_tablespace_location" || name.starts_with("pg_stat_get_") => "oid",
        _ => return None,
    })
}

/// Functions of the information schema that its views, and tools that ask like them (JDBC, PostgREST), use to look into arrays and
/// the modifiers of types.
pub(crate) const SCHEMA_FUNCTIONS: [&str; 11] = [
    "_pg_char_max_length",
    "_pg_char_octet_length",
    "_pg_datetime_precision",
    "_pg_expandarray",
    "_pg_index_position",
    "_pg_interval_type",
    "_pg_numeric_precision",
    "_pg_numeric_precision_radix",
    "_pg_numeric_scale",
    "_pg_truetypid",
    "_pg_truetypmod",
];

/// Whether the target's own function of that name in that schema may be called by everybody.
pub(crate) fn is_allowed(catalog: &Catalog, schema: &str, name: &str) -> bool {
    let Some(classification) = &catalog.classification else { return false };
    if classification.allows_function(&RelationName::new(schema, name)) {
        return true;
    }
    catalog.homes.get(name).into_iter().flatten().any(|home| {
        *home.schema == *schema
            && home.extension.as_ref().is_some_and(|extension| classification.allows_extension(extension))
    })
}

/// The first schema of the path that has such a function, if it may be called.
pub(crate) fn home<'p>(catalog: &Catalog, name: &str, path: &'p [Arc<str>]) -> Option<&'p str> {
    let first = first_home(catalog, name, path)?;
    is_allowed(catalog, first, name).then_some(first)
}

/// Whether a schema of the path has such a function.
pub(crate) fn has_home(catalog: &Catalog, name: &str, path: &[Arc<str>]) -> bool {
    first_home(catalog, name, path).is_some()
}

fn first_home<'p>(catalog: &Catalog, name: &str, path: &'p [Arc<str>]) -> Option<&'p str> {
    let has =
        |schema: &str| catalog.homes.get(name).into_iter().flatten().any(|home| *home.schema == *schema);
    path.iter().map(|schema| &**schema).find(|schema| has(schema))
}

/// Whether there is a type of that name, with or without a schema, whether or not it may be used.
pub(crate) fn is_a_type(catalog: &Catalog, names: &[&str]) -> bool {
    let [.., name] = names else { return true };
    names.first() == Some(&"pg_catalog")
        || catalog.own_types.contains(*name)
        || catalog.enums.contains_key(*name)
        || catalog.extension_types.contains_key(*name)
        || catalog.names.contains(*name)
}

/// The schemas that have an enum, or a type of an extension, of that name.
pub(crate) fn homes_of_type<'c>(catalog: &'c Catalog, name: &str) -> impl Iterator<Item = &'c str> {
    let enums = catalog.enums.get(name).into_iter().flatten().map(|schema| &**schema);
    enums.chain(catalog.extension_types.get(name).into_iter().flatten().map(|home| &*home.schema))
}

/// The types of the information schema, which tools that ask like its views cast to, and what each is written as: without a
/// check, whoever may have changed it.
const INFORMATION_TYPES: [(&str, &str); 5] = [
    ("cardinal_number", "int4"),
    ("character_data", "varchar"),
    ("sql_identifier", "name"),
    ("time_stamp", "timestamptz"),
    ("yes_or_no", "varchar"),
];

/// The built-in type that one of the information schema is written as.
pub(crate) fn written_as(schema: &str, name: &str) -> Option<&'static str> {
    let known = INFORMATION_TYPES.iter().find(|(known, _)| schema == "information_schema" && *known == name);
    known.map(|(_, typ)| *typ)
}

/// Whether the type of that name in that schema may be used: an enum, which has no code, or one of an extension that may be.
pub(crate) fn is_allowed_type(catalog: &Catalog, schema: &str, name: &str) -> bool {
    let enums = catalog.enums.get(name).into_iter().flatten();
    let mut extensions = catalog.extension_types.get(name).into_iter().flatten();
    enums.into_iter().any(|known| **known == *schema)
        || extensions.any(|home| {
            let allowed = catalog.classification.as_ref().zip(home.extension.as_ref());
            *home.schema == *schema
                && allowed.is_some_and(|(known, extension)| known.allows_extension(extension))
        })
}

/// Whether the rows of a relation of that name in that schema are a type without code of the target's own: each of its columns is of
/// one. What a type tells is what its columns are called and hold, as catalogs tell everybody.
pub(crate) fn is_row_type(catalog: &Catalog, schema: &str, name: &str) -> bool {
    let Some(relation) = catalog.relations.get(&RelationName::new(schema, name)) else { return false };
    let plain = |column: &TableColumn| {
        let element = column.typ.trim_end_matches("[]");
        match element.split_once('.') {
            None => true,
            Some((schema, name)) => {
                is_allowed_type(catalog, schema.trim_matches('"'), name.trim_matches('"'))
            }
        }
    };
    !system::is_system(schema)
        && matches!(relation.kind, b'r' | b'p' | b'v' | b'm')
        && !relation.columns.is_empty()
        && relation.columns.iter().all(|column| !column.code && plain(column))
}

/// Whether there are operators of that name outside `pg_catalog`, and all of them belong to extensions that may be used.
pub(crate) fn extension_operator(catalog: &Catalog, name: &str) -> bool {
    let (Some(classification), Some(extensions)) =
        (&catalog.classification, catalog.extension_operators.get(name))
    else {
        return false;
    };
    extensions.iter().all(|extension| classification.allows_extension(extension))
}

/// Whether there are functions of that name outside `pg_catalog`, and all of them belong to extensions that may be used: then the
/// name may stay as it is, and the types of its arguments say which is meant.
pub(crate) fn extension_function(catalog: &Catalog, name: &str) -> bool {
    let Some(classification) = &catalog.classification else { return false };
    let allowed = |extension: &Arc<str>| classification.allows_extension(extension);
    let homes = catalog.homes.get(name);
    homes.is_some_and(|homes| homes.iter().all(|home| home.extension.as_ref().is_some_and(allowed)))
        // A call with one argument is a cast where no function fits.
        && !own_type(catalog, name)
}

/// Introspection: what psql, drivers and tools ask of the catalog. All of it is names, types, numbers of objects and what the
/// server was built and set up with, or computed from what is given (`inet_merge`, `pg_wal_lsn_diff`). Whether a relation is
/// updatable is in the information schema, too.
const LISTED: [&str; 86] = [
    "inet_merge",
    "inet_same_family",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_backend_pid",
    "pg_basetype",
    "pg_char_to_encoding",
    "pg_client_encoding",
    "pg_collation_actual_version",
    "pg_collation_for",
    "pg_collation_is_visible",
    "pg_column_is_updatable",
    "pg_conversion_is_visible",
    "pg_database_collation_actual_version",
    "pg_describe_object",
    "pg_encoding_max_length",
    "pg_encoding_to_char",
    "pg_extension_update_paths",
    "pg_function_is_visible",
    "pg_get_acl",
    "pg_get_catalog_foreign_keys",
    "pg_get_constraintdef",
    "pg_get_expr",
    "pg_get_function_arg_default",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_function_sqlbody",
    "pg_get_functiondef",
    "pg_get_indexdef",
    "pg_get_keywords",
    "pg_get_object_address",
    "pg_get_partition_constraintdef",
    "pg_get_partkeydef",
    "pg_get_replica_identity_index",
    "pg_get_ruledef",
    "pg_get_serial_sequence",
    "pg_get_statisticsobjdef",
    "pg_get_statisticsobjdef_columns",
    "pg_get_statisticsobjdef_expressions",
    "pg_get_triggerdef",
    "pg_get_userbyid",
    "pg_get_viewdef",
    "pg_has_role",
    "pg_identify_object",
    "pg_identify_object_as_address",
    "pg_index_column_has_property",
    "pg_index_has_property",
    "pg_indexam_has_property",
    "pg_is_in_recovery",
    "pg_is_other_temp_schema",
    "pg_jit_available",
    "pg_my_temp_schema",
    "pg_opclass_is_visible",
    "pg_operator_is_visible",
    "pg_opfamily_is_visible",
    "pg_options_to_table",
    "pg_partition_ancestors",
    "pg_partition_root",
    "pg_partition_tree",
    "pg_relation_is_publishable",
    "pg_relation_is_updatable",
    "pg_sequence_parameters",
    "pg_settings_get_flags",
    "pg_size_bytes",
    "pg_size_pretty",
    "pg_snapshot_xip",
    "pg_snapshot_xmax",
    "pg_snapshot_xmin",
    "pg_statistics_obj_is_visible",
    "pg_table_is_visible",
    "pg_timezone_abbrevs",
    "pg_timezone_names",
    "pg_trigger_depth",
    "pg_ts_config_is_visible",
    "pg_ts_dict_is_visible",
    "pg_ts_parser_is_visible",
    "pg_ts_template_is_visible",
    "pg_type_is_visible",
    "pg_typeof",
    "pg_visible_in_snapshot",
    "pg_wal_lsn_diff",
    "txid_snapshot_xip",
    "txid_snapshot_xmax",
    "txid_snapshot_xmin",
    "txid_visible_in_snapshot",
];

/// Volatile, and harmless: they neither write nor read anything of the database. What `setseed` sets is seen in `random`
/// only; a wait is as long as its caller says, and he says it of what he sees.
const HARMLESS: [&str; 9] = [
    "clock_timestamp",
    "gen_random_uuid",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "random",
    "random_normal",
    "setseed",
    "timeofday",
];

/// What to do where a function may not be called.
pub(crate) fn instead_hint(name: &str) -> &'static str {
    match name {
        "nextval" | "setval" => {
            "it changes the database: INSERT without the column takes its default, and RETURNING tells it"
        }
        "currval" | "lastval" => "RETURNING tells what an INSERT was given",
        "current_query" => "what is sent is written anew; the statement is yours to keep",
        "set_config" => {
            "docs/reference/sql.md lists the settings that may be changed; SET takes `search_path`"
        }
        "current_setting" => {
            "docs/reference/sql.md lists the settings that may be shown; with `true` as a second argument others are NULL"
        }
        "ts_rewrite" | "ts_stat" | "crosstab" => {
            "it runs a statement that it is given as text: write that one itself"
        }
        _ if name.contains("_to_xml") => {
            "it runs a statement that it is given as text: use xmlelement, xmlforest and xmlagg"
        }
        _ if name.contains("advisory") => {
            "such locks are kept with other sessions, and tell what those hold: lock a row with SELECT ... FOR UPDATE"
        }
        _ if name.starts_with("pg_stat_statements") => {
            "it tells what others asked, and how long that took: EXPLAIN says how your own statement is planned, your client how long \
             it takes; of all statements, ask whoever holds every permission on the whole target"
        }
        _ if name.starts_with("lo_") => "large objects are not classified: use bytea",
        _ => "built-in functions that only compute are; docs/reference/sql.md says more",
    }
}

/// What to do where a view calls a function that may not be called.
pub(crate) fn called_hint(name: &str) -> &'static str {
    if name.starts_with("pg_stat_statements") {
        return instead_hint(name);
    }
    "name the tables; or an administrator reviews the function and lists it in the classification under `[functions]`"
}

/// Whether `ts_rewrite` is given what it is to put in: with less it runs a statement that is its argument.
pub(crate) fn rewrites_by_values(name: &str, arguments: usize) -> bool {
    name == "ts_rewrite" && arguments == 3
}

/// How a function stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// May be called, and changes nothing.
    Stable,
    /// May be called; not provably without effect.
    Volatile,
    /// May not be called.
    Refused,
}

/// Judge a function of `pg_catalog` by its name.
pub(crate) fn standing(catalog: &Catalog, name: &str) -> Standing {
    let Some(function) = catalog.builtin.get(name).filter(|function| !function.procedure) else {
        return Standing::Refused;
    };
    if instead_of(name).is_some() {
        return Standing::Volatile;
    }
    if HARMLESS.contains(&name) {
        return Standing::Volatile;
    }
    let listed = LISTED.contains(&name);
    let prefixed = REFUSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let refused = REFUSED.contains(&name) || name.contains("_to_xml") || (prefixed && !listed);
    if refused {
        return Standing::Refused;
    }
    if !function.stable {
        // PostgreSQL calls some of introspection volatile.
        return if listed { Standing::Volatile } else { Standing::Refused };
    }
    Standing::Stable
}

/// What the target's own defaults, checks and policies may call besides: it tells of the session, or takes a number, and reads no
/// relation.
const OF_THE_SESSION: [&str; 10] = [
    "nextval",
    "currval",
    "lastval",
    "current_setting",
    "current_query",
    "pg_current_xact_id",
    "inet_client_addr",
    "inet_client_port",
    "inet_server_addr",
    "inet_server_port",
];

/// Whether a function of `pg_catalog` may run code or read relations where the target itself calls it.
pub(crate) fn reads_more(catalog: &Catalog, name: &str) -> bool {
    standing(catalog, name) == Standing::Refused && !OF_THE_SESSION.contains(&name)
}

/// Whether a function of `pg_catalog` is called as it is where a restricted caller writes it.
pub(crate) fn is_carried(catalog: &Catalog, name: &str) -> bool {
    standing(catalog, name) != Standing::Refused && instead_of(name).is_none() && system::look(name).is_none()
}

/// Whether `x.name` or `(row).name` could call something that is not plainly permitted: that may not be called, has something else
/// put in its place, or has to be looked at first; or be a cast to a type with code of the target's own.
pub(crate) fn dangerous_field(catalog: &Catalog, name: &str) -> bool {
    if catalog.user.get(name).is_some_and(|function| function.one_argument) || own_type(catalog, name) {
        return true;
    }
    catalog
        .builtin
        .get(name)
        .filter(|function| function.one_argument)
        .is_some_and(|_| standing(catalog, name) != Standing::Stable || system::look(name).is_some())
}

/// Whether a type of that name could run code of the target's own: one that is neither built in, an enumeration, nor of an
/// extension that may be used, and a row with such a column.
fn own_type(catalog: &Catalog, name: &str) -> bool {
    let allowed = |home: &Home| {
        let extension = home.extension.as_ref();
        let allows = |classification: &Arc<Classification>| {
            extension.is_some_and(|extension| classification.allows_extension(extension))
        };
        catalog.classification.as_ref().is_some_and(allows)
    };
    catalog.own_types.contains(name)
        || catalog.extension_types.get(name).is_some_and(|homes| !homes.iter().all(allowed))
}

/// System relations for introspection that are read as they are: they tell names and types. What tells about data
/// (statistics, sizes), about other sessions, or holds secrets is not among them.
const SYSTEM: [&str; 39] = [
    "pg_am",
    "pg_amop",
    "pg_amproc",
    "pg_auth_members",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_cast",
    "pg_collation",
    "pg_conversion",
    "pg_database",
    "pg_default_acl",
    "pg_depend",
    "pg_enum",
    "pg_event_trigger",
    "pg_foreign_data_wrapper",
    "pg_group",
    "pg_inherits",
    "pg_init_privs",
    "pg_language",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_parameter_acl",
    "pg_publication",
    "pg_publication_namespace",
    "pg_range",
    "pg_sequence",
    "pg_shdepend",
    "pg_shdescription",
    "pg_tables",
    "pg_tablespace",
    "pg_timezone_abbrevs",
    "pg_timezone_names",
    "pg_transform",
    "pg_ts_config",
    "pg_ts_config_map",
    "pg_ts_parser",
    "pg_ts_template",
];

/// The views of the information schema that are read as they are: not those of the options of foreign things, which may be secrets
/// and are read in part.
const INFORMATION: [&str; 59] = [
    "administrable_role_authorizations",
    "applicable_roles",
    "attributes",
    "character_sets",
    "check_constraint_routine_usage",
    "check_constraints",
    "collation_character_set_applicability",
    "collations",
    "column_column_usage",
    "column_domain_usage",
    "column_privileges",
    "column_udt_usage",
    "columns",
    "constraint_column_usage",
    "constraint_table_usage",
    "data_type_privileges",
    "domain_constraints",
    "domain_udt_usage",
    "domains",
    "element_types",
    "enabled_roles",
    "foreign_data_wrappers",
    "foreign_servers",
    "foreign_tables",
    "information_schema_catalog_name",
    "key_column_usage",
    "parameters",
    "referential_constraints",
    "role_column_grants",
    "role_routine_grants",
    "role_table_grants",
    "role_udt_grants",
    "role_usage_grants",
    "routine_column_usage",
    "routine_privileges",
    "routine_routine_usage",
    "routine_sequence_usage",
    "routine_table_usage",
    "routines",
    "schemata",
    "sequences",
    "sql_features",
    "sql_implementation_info",
    "sql_parts",
    "sql_sizing",
    "table_constraints",
    "table_privileges",
    "tables",
    "transforms",
    "triggered_update_columns",
    "triggers",
    "udt_privileges",
    "usage_privileges",
    "user_defined_types",
    "user_mappings",
    "view_column_usage",
    "view_routine_usage",
    "view_table_usage",
    "views",
];

/// Whether a system relation is on the list.
pub(crate) fn listed_relation(schema: &str, name: &str) -> bool {
    match schema {
        "pg_catalog" => SYSTEM.contains(&name) || system::is_part(schema, name),
        // By name, because somebody may have made something of his own there.
        "information_schema" => INFORMATION.contains(&name) || system::is_part(schema, name),
        _ => false,
    }
}

#[cfg(test)]
mod fields;
#[cfg(test)]
mod tests;
