//! Settings that a restricted caller may change or see.

/// Where the target keeps what the client calls itself. `application_name` there is the session's own name, for people
/// who read the database's log.
pub const APPLICATION: &str = "chaperone.application_name";

/// May be set: they change how values look, how long a statement may take, or how it is planned; nothing that a statement
/// means. No row filter and no mask can call what looks at one of them.
const SETTABLE: [&str; 75] = [
    "application_name",
    "bytea_output",
    APPLICATION,
    "check_function_bodies",
    "client_min_messages",
    "constraint_exclusion",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "cursor_tuple_fraction",
    "datestyle",
    "default_statistics_target",
    "default_text_search_config",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "effective_cache_size",
    "effective_io_concurrency",
    "enable_async_append",
    "enable_bitmapscan",
    "enable_gathermerge",
    "enable_hashagg",
    "enable_hashjoin",
    "enable_incremental_sort",
    "enable_indexonlyscan",
    "enable_indexscan",
    "enable_material",
    "enable_memoize",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_parallel_append",
    "enable_parallel_hash",
    "enable_partition_pruning",
    "enable_partitionwise_aggregate",
    "enable_partitionwise_join",
    "enable_seqscan",
    "enable_sort",
    "enable_tidscan",
    "escape_string_warning",
    "extra_float_digits",
    "from_collapse_limit",
    "geqo",
    "geqo_threshold",
    "hash_mem_multiplier",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "jit_above_cost",
    "join_collapse_limit",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "maintenance_work_mem",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "plan_cache_mode",
    "quote_all_identifiers",
    "random_page_cost",
    "search_path",
    "seq_page_cost",
    "session characteristics",
    "statement_timeout",
    "synchronize_seqscans",
    "synchronous_commit",
    "temp_buffers",
    "timezone",
    "transaction",
    "transaction_isolation",
    "transaction_read_only",
    "transaction_timeout",
    "work_mem",
];

/// May be shown beside those: how the server was built and set up for everybody, how it plans, and who the session is there. Not
/// where it is, what its files are called, or what it writes into its log.
const SHOWABLE: [&str; 50] = [
    "array_nulls",
    "autovacuum",
    "backslash_quote",
    "block_size",
    "client_encoding",
    "data_checksums",
    "deadlock_timeout",
    "default_table_access_method",
    "default_tablespace",
    "default_toast_compression",
    "default_with_oids",
    "fsync",
    "full_page_writes",
    "gin_fuzzy_search_limit",
    "in_hot_standby",
    "integer_datetimes",
    "is_superuser",
    "lc_collate",
    "lc_ctype",
    "lc_messages",
    "lo_compat_privileges",
    "max_connections",
    "max_function_args",
    "max_identifier_length",
    "max_index_keys",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_stack_depth",
    "max_worker_processes",
    "password_encryption",
    "role",
    "row_security",
    "segment_size",
    "server_encoding",
    "server_version",
    "server_version_num",
    "session_authorization",
    "session_replication_role",
    "shared_buffers",
    "ssl",
    "standard_conforming_strings",
    "temp_tablespaces",
    "timezone_abbreviations",
    "track_activities",
    "transaction_deferrable",
    "transform_null_equals",
    "wal_block_size",
    "wal_level",
    "xmlbinary",
    "xmloption",
];

pub(crate) fn settable(name: &str) -> bool {
    SETTABLE.contains(&name.to_lowercase().as_str())
}

pub(crate) fn showable(name: &str) -> bool {
    settable(name) || SHOWABLE.contains(&name.to_lowercase().as_str())
}

/// Those that may be shown.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SETTABLE.into_iter().chain(SHOWABLE)
}

/// Settings that stay what they are, for the sake of what is analysed or filtered, and the values that say so again.
pub(crate) fn keeps(name: &str, value: &str) -> bool {
    let value = value.to_lowercase();
    match name.to_lowercase().as_str() {
        // PostgreSQL reads no more of it than letters and digits; `unicode` is another name of the same.
        "client_encoding" => {
            let name: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
            matches!(name.as_str(), "utf8" | "unicode")
        }
        "row_security" | "standard_conforming_strings" => {
            matches!(value.as_str(), "on" | "true" | "yes" | "1")
        }
        "xmloption" => value == "content",
        "array_nulls" => matches!(value.as_str(), "on" | "true" | "yes" | "1"),
        "lo_compat_privileges" | "transform_null_equals" => {
            matches!(value.as_str(), "off" | "false" | "no" | "0")
        }
        "backslash_quote" => value == "safe_encoding",
        "default_table_access_method" => value == "heap",
        "default_tablespace" => value.is_empty(),
        "session_replication_role" => value == "origin",
        _ => false,
    }
}

/// Settings that change who the session is at the target: nobody may change them under an open session.
pub(crate) fn identity(name: &str) -> bool {
    matches!(name.to_lowercase().as_str(), "role" | "session_authorization")
}

/// Those that stand in a list of all settings.
pub(crate) fn shown_of_all() -> impl Iterator<Item = &'static str> {
    const UNLISTED: [&str; 7] = [
        "application_name",
        APPLICATION,
        "transaction",
        "session characteristics",
        "is_superuser",
        "role",
        "session_authorization",
    ];
    SETTABLE
        .into_iter()
        .chain(SHOWABLE)
        .filter(|name| !UNLISTED.contains(name))
        // As the server writes them.
        .map(|name| match name {
            "datestyle" => "DateStyle",
            "intervalstyle" => "IntervalStyle",
            "timezone" => "TimeZone",
            name => name,
        })
}

/// Whether `set_config` may change it, to a constant: what needs no look at its value.
pub(crate) fn configurable(name: &str) -> bool {
    const LOOKED_AT: [&str; 9] = [
        "application_name",
        "default_transaction_isolation",
        APPLICATION,
        "search_path",
        "transaction",
        "session characteristics",
        "transaction_isolation",
        "transaction_read_only",
        "client_min_messages",
    ];
    settable(name) && !LOOKED_AT.contains(&name.to_lowercase().as_str())
}
