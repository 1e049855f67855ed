//! Settings that a restricted caller may change or see.

/// Where the target keeps what the client calls itself. `application_name` there is the session's own name, for people
/// who read the database's log.
pub const APPLICATION: &str = "chaperone.application_name";

/// May be set: they change how values look or how long a statement may take, nothing that a statement means.
const SETTABLE: [&str; 19] = [
    "application_name",
    "bytea_output",
    APPLICATION,
    "client_min_messages",
    "datestyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "lock_timeout",
    "search_path",
    "statement_timeout",
    "timezone",
    "transaction_isolation",
    "transaction_read_only",
    "transaction",
    "work_mem",
    "session characteristics",
];

/// May be shown beside those.
const SHOWABLE: [&str; 7] = [
    "client_encoding",
    "integer_datetimes",
    "max_identifier_length",
    "server_encoding",
    "server_version",
    "server_version_num",
    "standard_conforming_strings",
];

pub(crate) fn settable(name: &str) -> bool {
    SETTABLE.contains(&name.to_lowercase().as_str())
}

pub(crate) fn showable(name: &str) -> bool {
    settable(name) || SHOWABLE.contains(&name.to_lowercase().as_str())
}

/// Settings that change who the session is at the target: nobody may change them under an open session.
pub(crate) fn identity(name: &str) -> bool {
    matches!(name.to_lowercase().as_str(), "role" | "session_authorization")
}
