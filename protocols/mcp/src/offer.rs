//! The tools of a target that speaks SQL, as clients are told of them.

use chaperone_access::{DESCRIBE_SCHEMA, EXPLAIN_ACCESS, QUERY};
use serde_json::{Value, json};

/// Rows of one answer where the caller says nothing.
pub const ROWS_DEFAULT: u32 = 100;
/// Most rows of one answer.
pub const ROWS_MAX: u32 = 1000;

/// One tool, in the words for its clients.
pub(crate) struct Offer {
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    /// It changes nothing.
    pub(crate) reads: bool,
    pub(crate) input: Value,
}

fn purpose() -> Value {
    json!({"type": "string", "maxLength": 64,
        "description": "Why, as an HL7 PurposeOfUse code such as TREAT or HPAYMT. Some rules ask for one."})
}

/// A tool by its name.
pub(crate) fn offer(tool: &str) -> Option<Offer> {
    match tool {
        QUERY => Some(query()),
        DESCRIBE_SCHEMA => Some(describe_schema()),
        EXPLAIN_ACCESS => Some(explain_access()),
        _ => None,
    }
}

fn query() -> Offer {
    Offer {
        title: "Run one SQL statement",
        description: "Run one PostgreSQL statement and return its rows. The statement is judged and recorded under your own \
            identity. `columns` says for each column of the result whether its values are real (`revealed`), masked or hidden, \
            and why. Values are PostgreSQL's text form; null is null. An answer has at most `rows` rows; where `continuation` is \
            returned, call again with that value alone to get more (it works once, within a minute). A refusal says what \
            is missing and what to do; do not try to get around it.",
        reads: false,
        input: json!({"type": "object", "additionalProperties": false, "properties": {
            "sql": {"type": "string", "description": "One statement. Leave it out with `continuation`."},
            "rows": {"type": "integer", "minimum": 1, "maximum": ROWS_MAX, "default": ROWS_DEFAULT,
                "description": "Most rows of the answer."},
            "purpose": purpose(),
            "continuation": {"type": "string", "maxLength": 64,
                "description": "From the answer before, to go on where it stopped."}}}),
    }
}

fn describe_schema() -> Offer {
    Offer {
        title: "Describe the database",
        description: "The relations that you may use, with their columns, types, keys, what each column holds (tags such as \
            `phi.name`), and whether you see its values, a mask or nothing. Call it before writing a query.",
        reads: true,
        input: json!({"type": "object", "additionalProperties": false, "properties": {
            "relation": {"type": "string", "maxLength": 256,
                "description": "Only this relation (`schema.name`), or only those of this schema."},
            "purpose": purpose()}}),
    }
}

fn explain_access() -> Offer {
    Offer {
        title: "Explain what may be seen",
        description: "What you may do at this database and what not, and what to ask an administrator for; with `sql`, what \
            that statement needs and whether it would be allowed, without running it.",
        reads: true,
        input: json!({"type": "object", "additionalProperties": false, "properties": {
            "sql": {"type": "string", "description": "A statement to judge. It is not run."},
            "purpose": purpose()}}),
    }
}
