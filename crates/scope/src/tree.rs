//! The parser's tree as JSON values: every field of every node is there, so that a walk over it can miss nothing.

use pg_query::{DeparseOptions, ParserOptions};
use serde_json::{Map, Value};

/// Why there is no tree.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// PostgreSQL's own message.
    pub(crate) message: String,
}

/// A parsed string.
pub(crate) struct Parsed {
    pub(crate) tree: Value,
    protobuf: pg_query::protobuf::ParseResult,
}

/// Parse a string of statements.
pub(crate) fn parse(text: &str) -> Result<Parsed, Unreadable> {
    let unreadable = |error: pg_query::Error| {
        let message = match error {
            pg_query::Error::Parse(message) | pg_query::Error::Scan(message) => message,
            other @ (pg_query::Error::Conversion(_)
            | pg_query::Error::Decode(_)
            | pg_query::Error::InvalidJson(_)
            | pg_query::Error::InvalidPointer
            | pg_query::Error::IsUtility(_)
            | pg_query::Error::Split(_)) => other.to_string(),
        };
        Unreadable { message }
    };
    let parsed = pg_query::parse(text, ParserOptions::default()).map_err(unreadable)?;
    let tree =
        serde_json::to_value(&parsed.protobuf).map_err(|error| Unreadable { message: error.to_string() })?;
    Ok(Parsed { tree, protobuf: parsed.protobuf })
}

impl Parsed {
    /// The tree, written out.
    pub(crate) fn write_out(&self) -> Option<String> {
        pg_query::deparse(&self.protobuf, DeparseOptions::default()).ok()
    }

    /// The statements, each with its byte range in the text.
    pub(crate) fn statements<'a>(&'a self, text: &str) -> Vec<(&'a Value, std::ops::Range<usize>)> {
        let Some(statements) = self.tree.get("stmts").and_then(Value::as_array) else { return Vec::new() };
        let number = |value: &Value, name: &str| {
            value
                .get(name)
                .and_then(Value::as_u64)
                .and_then(|number| usize::try_from(number).ok())
                .unwrap_or(0)
        };
        statements
            .iter()
            .map(|raw| {
                let start = number(raw, "stmt_location").min(text.len());
                let length = number(raw, "stmt_len");
                let end = if length == 0 { text.len() } else { (start + length).min(text.len()) };
                (raw.get("stmt").unwrap_or(&Value::Null), start..end)
            })
            .collect()
    }
}

/// Fields that say where something stood, not what it is.
fn is_place(name: &str) -> bool {
    name.ends_with("location")
        || name == "stmt_len"
        || name.starts_with("list_")
        || name.starts_with("rexpr_list_")
}

/// The same tree without places.
pub(crate) fn placeless(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(name, _)| !is_place(name))
                .map(|(name, value)| (name.clone(), placeless(value)))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(placeless).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// A wrapped node: its kind and fields.
pub(crate) fn node(value: &Value) -> Option<(&str, &Map<String, Value>)> {
    let (kind, fields) = value.get("node")?.as_object()?.iter().next()?;
    Some((kind, fields.as_object()?))
}

/// Whether a field is as if it had not been written.
pub(crate) fn unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.get("node").is_some_and(Value::is_null),
    }
}

/// Text of a field.
pub(crate) fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Number of a field.
pub(crate) fn number(fields: &Map<String, Value>, name: &str) -> i64 {
    fields.get(name).and_then(Value::as_i64).unwrap_or_default()
}

/// The texts of a list of String nodes; other nodes are left out.
pub(crate) fn strings<'a>(fields: &'a Map<String, Value>, name: &str) -> Vec<&'a str> {
    let items = fields.get(name).and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(node)
        .filter(|(kind, _)| *kind == "String")
        .map(|(_, fields)| text(fields, "sval"))
        .collect()
}

/// The text of a constant node.
pub(crate) fn constant(value: &Value) -> Option<&str> {
    let (kind, fields) = node(value)?;
    match kind {
        "AConst" => fields.get("val")?.get("Sval")?.get("sval")?.as_str(),
        "TypeCast" => constant(fields.get("arg")?),
        _ => None,
    }
}
