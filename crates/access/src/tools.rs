//! The tools that the gateway offers of a target of its own accord.

/// Run a statement.
pub const QUERY: &str = "query";
/// The database as the caller sees it.
pub const DESCRIBE_SCHEMA: &str = "describe_schema";
/// What the caller may, and how to ask for more.
pub const EXPLAIN_ACCESS: &str = "explain_access";

/// The tools of a target that speaks SQL, as policies name them.
pub const SQL_TOOLS: [&str; 3] = [QUERY, DESCRIBE_SCHEMA, EXPLAIN_ACCESS];
