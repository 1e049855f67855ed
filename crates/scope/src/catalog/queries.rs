//! What is asked of a target, in one session that ends afterwards.

/// The queries, in the order in which they are run and in which [`crate::Catalog::build`] wants their rows. All columns
/// are text. They name only what PostgreSQL 13 to 18 have. From the third on they run under an empty search path, so
/// that types and view definitions come with every name qualified.
pub const QUERIES: [&str; 17] = [
    "begin transaction isolation level repeatable read, read only",
    "select current_setting('server_version_num'), current_user::text, array_to_string(current_schemas(false), ',')",
    // Compiling these queries takes longer than running them.
    "select pg_catalog.set_config('search_path', '', false), pg_catalog.set_config('jit', 'off', false)",
    include_str!("queries/relations.sql"),
    include_str!("queries/columns.sql"),
    include_str!("queries/constraints.sql"),
    include_str!("queries/inherits.sql"),
    include_str!("queries/views.sql"),
    include_str!("queries/functions.sql"),
    include_str!("queries/operators.sql"),
    include_str!("queries/types.sql"),
    include_str!("queries/unfit.sql"),
    // Late: it takes locks, which the end of the session releases.
    include_str!("queries/definitions.sql"),
    include_str!("queries/comments.sql"),
    include_str!("queries/floor.sql"),
    include_str!("queries/rows.sql"),
    include_str!("queries/triggers.sql"),
];
