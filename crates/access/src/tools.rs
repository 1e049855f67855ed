//! The tools that the gateway offers of a target of its own accord, and what is said of one that is not there.

use crate::{Refusal, RefusalCode, TargetName};

/// Run a statement.
pub const QUERY: &str = "query";
/// The database as the caller sees it.
pub const DESCRIBE_SCHEMA: &str = "describe_schema";
/// What the caller may, and how to ask for more.
pub const EXPLAIN_ACCESS: &str = "explain_access";

/// The tools of a target that speaks SQL, as policies name them.
pub const SQL_TOOLS: [&str; 3] = [QUERY, DESCRIBE_SCHEMA, EXPLAIN_ACCESS];

/// What whoever may not run a command is told: the same whether it is declared or not.
#[must_use]
pub fn no_command(target: &TargetName, command: &str) -> Refusal {
    Refusal::new(RefusalCode::NotPermitted, format!("there is no command `{command}` at `{target}` for you"))
        .hint("`chaperone run TARGET` lists those that you may run; an administrator can permit more (`invoke`)")
}
