//! Settings that a restricted caller may change or see.

/// Where the target keeps what the client calls itself. `application_name` there is the session's own name, for people
/// who read the database's log.
pub const APPLICATION: &str = "chaperone.application_name";

/// May be set: they change how values look or how long a statement may take, nothing that a statement means.
const SETTABLE: [&str; 25] = [
    "application_name",
    "bytea_output",
    APPLICATION,
    "client_min_messages",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "search_path",
    "statement_timeout",
    "timezone",
    "transaction_isolation",
    "transaction_read_only",
    "transaction",
    "work_mem",
    "session characteristics",
    "escape_string_warning",
    "idle_session_timeout",
    "synchronize_seqscans",
    "transaction_timeout",
];

/// May be shown beside those: how the server was built and set up for everybody, and who the session is there. Not where it is,
/// what its files are called, or what it writes into its log.
const SHOWABLE: [&str; 43] = [
    "client_encoding",
    "block_size",
    "default_table_access_method",
    "default_tablespace",
    "lc_collate",
    "lc_ctype",
    "max_function_args",
    "max_index_keys",
    "integer_datetimes",
    "max_identifier_length",
    "row_security",
    "server_encoding",
    "server_version",
    "server_version_num",
    "standard_conforming_strings",
    "xmloption",
    "array_nulls",
    "backslash_quote",
    "check_function_bodies",
    "constraint_exclusion",
    "cursor_tuple_fraction",
    "default_text_search_config",
    "default_toast_compression",
    "default_with_oids",
    "enable_partition_pruning",
    "in_hot_standby",
    "is_superuser",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lo_compat_privileges",
    "max_connections",
    "max_prepared_transactions",
    "quote_all_identifiers",
    "role",
    "segment_size",
    "session_authorization",
    "ssl",
    "track_activities",
    "transform_null_equals",
    "wal_block_size",
    "wal_level",
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
        _ => false,
    }
}

/// Settings that change who the session is at the target: nobody may change them under an open session.
pub(crate) fn identity(name: &str) -> bool {
    matches!(name.to_lowercase().as_str(), "role" | "session_authorization")
}

/// Those that stand in a list of all settings.
pub(crate) fn shown_of_all() -> impl Iterator<Item = &'static str> {
    let own = ["application_name", APPLICATION, "transaction", "session characteristics"];
    SETTABLE
        .into_iter()
        .chain(SHOWABLE)
        .filter(move |name| !own.contains(name))
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
    const LOOKED_AT: [&str; 8] = [
        "application_name",
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
