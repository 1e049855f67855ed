//! The texts, by SQLSTATE ("PostgreSQL Error Codes", appendix A of its documentation).

use super::tokens::Tokens;

/// Messages of the server's that are the same whatever the data: they pass word for word.
pub(super) const CONSTANT: &[&str] = &[
    "canceling statement due to conflict with recovery",
    "canceling statement due to lock timeout",
    "canceling statement due to statement timeout",
    "canceling statement due to user request",
    "could not serialize access due to concurrent delete",
    "could not serialize access due to concurrent update",
    "could not serialize access due to read/write dependencies among transactions",
    "current transaction is aborted, commands ignored until end of transaction block",
    "deadlock detected",
    "division by zero",
    "more than one row returned by a subquery used as an expression",
    "out of shared memory",
    "stack depth limit exceeded",
    "terminating connection because of crash of another server process",
    "terminating connection due to administrator command",
    "terminating connection due to idle-in-transaction timeout",
    "terminating connection due to idle-session timeout",
    "terminating connection due to transaction timeout",
    "the database system is shutting down",
    "there is already a transaction in progress",
    "there is no transaction in progress",
];

/// Columns that every table has besides its own.
const SYSTEM_COLUMNS: [&str; 6] = ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"];

/// Whether a text of [`templates`] says of such a column that there is none.
pub(super) fn is_system_column(code: [u8; 5], text: &str) -> bool {
    let name = text.split('"').nth(1).and_then(|name| name.rsplit('.').next());
    code == *b"42703" && name.is_some_and(|name| SYSTEM_COLUMNS.contains(&name))
}

/// A text for an error of analysis that names what it is about, and where that stands in the client's text. `None` where
/// the code is not one of those.
pub(super) fn templates(code: [u8; 5], message: &str, tokens: &Tokens) -> Option<(String, Option<usize>)> {
    let (with, without): (fn(&str) -> String, &str) = match &code {
        b"42601" => (|name| format!("syntax error at or near \"{name}\""), "syntax error"),
        b"42701" => (
            |name| format!("column \"{name}\" specified more than once"),
            "a column is specified more than once",
        ),
        b"42702" => {
            (|name| format!("column reference \"{name}\" is ambiguous"), "a column reference is ambiguous")
        }
        b"42703" => (|name| format!("column \"{name}\" does not exist"), "a column does not exist"),
        b"42704" => (|name| format!("\"{name}\" does not exist"), "an object does not exist"),
        b"42712" => (
            |name| format!("table name \"{name}\" specified more than once"),
            "a table name is specified more than once",
        ),
        b"42725" => (
            |name| format!("function \"{name}\" is not unique for these arguments"),
            "a function or operator is not unique for these arguments",
        ),
        b"42803" if message.contains("must appear in the GROUP BY") => (
            |name| {
                format!(
                    "column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function"
                )
            },
            "a column must appear in the GROUP BY clause or be used in an aggregate function",
        ),
        b"42804" if message.starts_with("column ") => (
            |name| format!("column \"{name}\" is of another type than its expression"),
            "a column is of another type than its expression",
        ),
        b"42883" => (
            |name| format!("function \"{name}\" does not exist for these arguments"),
            "a function or operator does not exist for these arguments",
        ),
        b"42P01" if message.starts_with("missing FROM-clause") => (
            |name| format!("missing FROM-clause entry for table \"{name}\""),
            "a table has no entry in the FROM clause",
        ),
        b"42P01" => (|name| format!("relation \"{name}\" does not exist"), "a relation does not exist"),
        b"42P02" => (|name| format!("there is no parameter \"{name}\""), "there is no such parameter"),
        _ => return None,
    };
    let known = named(message).and_then(|name| tokens.know(name));
    Some(match known {
        Some((name, position)) => (with(&name), position),
        None => (without.to_owned(), None),
    })
}

/// The name that a message of analysis is about: what stands first in quotes, or between the word for what it is and the
/// rest of the sentence (`column p.x does not exist`, `function f(text) does not exist`, `there is no parameter $1`).
fn named(message: &str) -> Option<&str> {
    if let Some((_, rest)) = message.split_once('"') {
        return rest.split_once('"').map(|(name, _)| name);
    }
    let rest = ["column ", "function ", "there is no parameter "]
        .iter()
        .find_map(|what| message.strip_prefix(what))?;
    let name = rest.split([' ', '(']).next()?;
    Some(name.strip_prefix("pg_catalog.").unwrap_or(name))
}

/// The text for a code; of its class where the code has none.
pub(super) fn by_code(code: [u8; 5]) -> &'static str {
    match &code {
        b"08P01" => "the request does not keep to the protocol",
        b"22001" => "value too long for its type",
        b"22003" => "value out of range for its type",
        b"22004" => "a null value is not allowed here",
        b"22007" => "invalid input syntax for a date or time",
        b"22008" => "date or time out of range",
        b"22009" => "time zone displacement out of range",
        b"22011" => "invalid length of a substring",
        b"22012" => "division by zero",
        b"22013" => "invalid size of a window frame",
        b"22014" => "invalid argument for ntile",
        b"22015" => "interval field overflow",
        b"22016" => "invalid argument for nth_value",
        b"22018" => "invalid value for a cast",
        b"22019" | b"2200B" | b"22025" => "invalid escape character or sequence",
        b"2201B" => "invalid regular expression",
        b"2201E" => "cannot take this logarithm",
        b"2201F" => "invalid argument of a power function",
        b"2201G" => "invalid argument of width_bucket",
        b"2201W" => "LIMIT must not be negative",
        b"2201X" => "OFFSET must not be negative",
        b"22021" => "a character does not exist in the encoding",
        b"22023" => "invalid value of an argument",
        b"22024" | b"22026" => "invalid length of a string",
        b"22027" => "invalid characters to trim",
        b"2202E" => "invalid subscript of an array",
        b"2202G" | b"2202H" => "invalid argument of TABLESAMPLE",
        b"22030" => "duplicate key in a JSON object",
        b"22031" | b"22033" | b"2203G" => "invalid argument of an SQL/JSON function",
        b"22032" => "invalid JSON text",
        b"22034" | b"22035" | b"22036" | b"22037" | b"22038" | b"22039" | b"2203A" | b"2203B" | b"2203C"
        | b"2203D" | b"2203E" | b"2203F" => "an SQL/JSON path does not fit its value",
        b"22P01" => "floating-point exception",
        b"22P02" => "invalid input syntax for its type",
        b"22P03" => "invalid binary form of a value",
        b"22P04" => "the data of COPY are not in its format",
        b"22P05" => "a character cannot be converted",
        b"22P06" => "nonstandard use of an escape character",
        b"23001" => "a row is referred to and cannot be removed",
        b"23502" => "null value violates a not-null constraint",
        b"23503" => "a foreign key constraint is violated",
        b"23505" => "duplicate key value violates a unique constraint",
        b"23514" => "a check constraint is violated",
        b"23P01" => "an exclusion constraint is violated",
        b"25001" => "not allowed inside a transaction",
        b"25006" => "not allowed in a read-only transaction",
        b"25P01" => "allowed only inside a transaction",
        b"25P02" => "current transaction is aborted, commands ignored until end of transaction block",
        b"25P03" | b"25P04" | b"57P05" => "terminated after a timeout",
        b"26000" => "the prepared statement does not exist",
        b"34000" => "the cursor does not exist",
        b"3B001" => "the savepoint does not exist",
        b"3F000" => "the schema does not exist",
        b"40001" => "could not serialize access",
        b"40P01" => "deadlock detected",
        b"42501" => "permission denied",
        b"42622" => "a name is too long",
        b"42723" | b"42710" | b"42P06" | b"42P07" => "it exists already",
        b"42803" => "the use of grouping or of an aggregate function is not allowed here",
        b"42804" => "the types do not match",
        b"42809" => "it is of the wrong kind",
        b"42846" => "a type cannot be cast to another",
        b"42P03" => "the cursor exists already",
        b"42P05" => "the prepared statement exists already",
        b"42P08" | b"42P18" => "the type of a parameter or expression cannot be told",
        b"42P09" => "an alias is ambiguous",
        b"42P10" => "a column cannot be used here",
        b"42P19" => "invalid recursive query",
        b"42P20" => "a window function is not allowed here",
        b"42P21" | b"42P22" => "the collation to use cannot be told",
        b"428C9" => "a generated column cannot be assigned to",
        b"53100" => "disk full",
        b"53200" => "out of memory",
        b"53300" => "too many connections",
        b"54001" => "stack depth limit exceeded",
        b"55006" => "it is in use",
        b"55P03" => "a lock could not be had",
        b"57014" => "canceling statement due to user request",
        b"57P01" => "terminating connection due to administrator command",
        b"57P02" => "terminating connection because of crash of another server process",
        b"57P03" => "the database cannot accept connections now",
        _ => by_class(code),
    }
}

fn by_class([first, second, ..]: [u8; 5]) -> &'static str {
    match &[first, second] {
        b"01" => "the statement succeeded with a warning",
        b"02" => "no data",
        b"08" => "the connection failed",
        b"0A" => "a feature is not supported",
        b"0F" => "invalid locator",
        b"20" => "no case fits",
        b"21" => "there are more rows than the statement allows",
        b"22" => "a value cannot be used in the way that the statement asks",
        b"23" => "a constraint is violated",
        b"24" => "the cursor cannot be used now",
        b"25" => "not allowed in the transaction's state",
        b"27" => "the row was changed by what the statement causes",
        b"28" => "authorization failed",
        b"2B" => "others depend on it",
        b"2D" => "the transaction cannot end here",
        b"2F" | b"38" | b"39" => "a function failed",
        b"34" => "the cursor name is not valid",
        b"3B" => "savepoint exception",
        b"3D" => "the database name is not valid",
        b"3F" => "the schema name is not valid",
        b"40" => "the transaction was rolled back",
        b"42" => "the statement is not valid",
        b"44" => "a row is outside the view that it is written through",
        b"53" => "the database lacks resources",
        b"54" => "a limit of the database is exceeded",
        b"55" => "not possible in its present state",
        b"57" => "stopped by an operator",
        b"58" => "the database's system failed",
        b"72" => "a snapshot is too old",
        b"F0" => "the database's configuration is not valid",
        b"HV" => "a foreign table failed",
        b"P0" => "an exception was raised by code in the database",
        _ => "the database reports an error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_the_same_for_every_message_of_its_code() {
        for message in ["value 123-45-6789", "\"123-45-6789\" is wrong", "column 123-45-6789 does not exist"]
        {
            for code in
                [*b"22P02", *b"23505", *b"42703", *b"42883", *b"42P01", *b"42601", *b"P0001", *b"ZZZZZ"]
            {
                let tokens = Tokens::of("select 1");
                let told =
                    templates(code, message, &tokens).map_or(by_code(code).to_owned(), |(text, _)| text);
                assert!(!told.contains("123"), "{told}");
            }
        }
    }

    #[test]
    fn every_class_that_statements_raise_has_a_text_of_its_own() {
        let other = by_class(*b"ZZ000");
        for class in
            ["21", "22", "23", "24", "25", "2B", "34", "38", "40", "42", "44", "53", "54", "55", "57", "P0"]
        {
            let code: [u8; 5] = format!("{class}999").as_bytes().try_into().unwrap();
            assert_ne!(by_code(code), other, "{class}");
        }
    }
}
