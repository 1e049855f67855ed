//! The parser's tree as plain values: every field of every node that was written is there, so that a walk over it can
//! miss nothing.

mod build;

use pg_query::ParserOptions;
use serde::Serialize;

/// A value of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing, or a node that is not there.
    Null,
    /// A flag.
    Bool(bool),
    /// A number; enumerations are numbers too.
    Number(i64),
    /// A text.
    Text(String),
    /// A list.
    Array(Vec<Value>),
    /// A structure whose kind is known from where it stands.
    Object(Fields),
    /// A node: its kind and its fields.
    Node(&'static str, Fields),
}

/// The fields of a structure that are not as if they had not been written, in the parser's order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().map(|(_, value)| value)
    }
}

impl Value {
    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            Self::Null
            | Self::Bool(_)
            | Self::Number(_)
            | Self::Text(_)
            | Self::Object(_)
            | Self::Node(..) => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null
            | Self::Bool(_)
            | Self::Number(_)
            | Self::Array(_)
            | Self::Object(_)
            | Self::Node(..) => None,
        }
    }

    pub(crate) fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Null
            | Self::Bool(_)
            | Self::Text(_)
            | Self::Array(_)
            | Self::Object(_)
            | Self::Node(..) => None,
        }
    }

    /// The fields of a structure or node.
    pub(crate) fn fields(&self) -> Option<&Fields> {
        match self {
            Self::Object(fields) | Self::Node(_, fields) => Some(fields),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::Array(_) => None,
        }
    }

    /// Every structure and node in it, itself included, outermost first.
    pub(crate) fn each<'a>(&'a self, seen: &mut impl FnMut(&'a Fields)) {
        match self {
            Self::Object(fields) | Self::Node(_, fields) => {
                seen(fields);
                fields.values().for_each(|value| value.each(seen));
            }
            Self::Array(items) => items.iter().for_each(|item| item.each(seen)),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => {}
        }
    }
}

/// Why there is no tree.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// PostgreSQL's own message.
    pub(crate) message: String,
}

/// A parsed string.
pub(crate) struct Parsed {
    pub(crate) tree: Value,
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
        parsed.protobuf.serialize(build::Build).map_err(|error| Unreadable { message: error.to_string() })?;
    Ok(Parsed { tree })
}

/// A tree as plain values; `None` where it has what a tree never has.
pub(crate) fn of(tree: &impl Serialize) -> Option<Value> {
    tree.serialize(build::Build).ok()
}

impl Parsed {
    /// The statements, each with its byte range in the text.
    pub(crate) fn statements<'a>(&'a self, text: &str) -> Vec<(&'a Value, std::ops::Range<usize>)> {
        let statements = self.tree.fields().and_then(|fields| fields.get("stmts")).and_then(Value::as_array);
        statements
            .into_iter()
            .flatten()
            .filter_map(Value::fields)
            .map(|raw| {
                let place = |name: &str| usize::try_from(number(raw, name)).unwrap_or(0);
                let start = place("stmt_location").min(text.len());
                let length = place("stmt_len");
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

/// Whether two trees mean the same: they are alike in everything but places.
pub(crate) fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::Number(one), Value::Number(other)) => one == other,
        (Value::Text(one), Value::Text(other)) => one == other,
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => alike_fields(one, other),
        (Value::Node(kind, one), Value::Node(another, other)) => kind == another && alike_fields(one, other),
        (
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::Array(_)
            | Value::Object(_)
            | Value::Node(..),
            _,
        ) => false,
    }
}

/// Fields stand in the parser's order on both sides, so that they can be compared side by side.
fn alike_fields(one: &Fields, other: &Fields) -> bool {
    let counts = |(name, _): &(&'static str, &Value)| !is_place(name);
    let (mut one, mut other) = (one.iter().filter(counts), other.iter().filter(counts));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some((name, one)), Some((another, other))) if name == another && alike(one, other) => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

/// A wrapped node: its kind and fields.
pub(crate) fn node(value: &Value) -> Option<(&'static str, &Fields)> {
    match value {
        Value::Node(kind, fields) => Some((kind, fields)),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    }
}

/// Whether a field is as if it had not been written.
pub(crate) fn unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => *number == 0,
        Value::Text(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) | Value::Node(..) => false,
    }
}

/// Whether a flag is set.
pub(crate) fn flag(fields: &Fields, name: &str) -> bool {
    fields.get(name) == Some(&Value::Bool(true))
}

/// Text of a field.
pub(crate) fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Number of a field.
pub(crate) fn number(fields: &Fields, name: &str) -> i64 {
    fields.get(name).and_then(Value::as_i64).unwrap_or_default()
}

/// The items of a list; none where there is no list.
pub(crate) fn items<'a>(fields: &'a Fields, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    fields.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The texts of a list of String nodes; other nodes are left out.
pub(crate) fn strings<'a>(fields: &'a Fields, name: &str) -> Vec<&'a str> {
    items(fields, name)
        .filter_map(node)
        .filter(|(kind, _)| *kind == "String")
        .map(|(_, fields)| text(fields, "sval"))
        .collect()
}

/// The text of a constant node.
pub(crate) fn constant(value: &Value) -> Option<&str> {
    let (kind, fields) = node(value)?;
    match kind {
        "AConst" => fields.get("val")?.fields()?.get("Sval")?.fields().map(|fields| text(fields, "sval")),
        "TypeCast" => constant(fields.get("arg")?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_alike_where_they_differ_in_places_alone() {
        let alike = |one: &str, other: &str| {
            let tree = |sql: &str| parse(sql).ok().unwrap().tree;
            alike(&tree(one), &tree(other))
        };
        assert!(alike("select a  from t", "select a from t"));
        for (one, other) in [
            ("select 1", "select 1, 2"),
            ("select 1, 2", "select 1"),
            ("select coalesce(1)", "select grouping(1)"),
            ("select a from t where b", "select a from t having b"),
            ("select a from t", "select b from t"),
            ("select 1 limit 2", "select 1"),
        ] {
            assert!(!alike(one, other), "{one}: {other}");
        }
    }
}
