//! What stands in the place of a column that is not revealed, as SQL. None of these can fail, and a constant reads
//! nothing.

use chaperone_access::{Class, Column, MaskOperator, Showing};

use super::times::{in_utc, is_zoned, today};
use crate::catalog::TableColumn;
use crate::walk::quoted;

/// The first three digits of ZIP codes where 20,000 people or fewer live (census of 2000), which may not be shown:
/// guidance on 45 CFR 164.514(b)(2)(i)(B).
const ZIPS_RESTRICTED: &str =
    "'036','059','063','102','203','556','692','790','821','823','830','831','878','879','884','890','893'";

/// Hexadecimal digits of a pseudonym.
const PSEUDONYM_DIGITS: usize = 32;

/// What kind of values a type has, as far as masks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    Text,
    Date,
    Time,
    Whole,
    Number,
    Other,
}

fn values(base: &str) -> Values {
    let name = base.split('(').next().unwrap_or_default().trim();
    match name {
        // No classification has a mask for these; as values of the element they would be read as what they are not.
        _ if base.ends_with("[]") => Values::Other,
        "text" | "character varying" | "character" | "bpchar" | "name" => Values::Text,
        "date" => Values::Date,
        "timestamp without time zone" | "timestamp with time zone" => Values::Time,
        "smallint" | "integer" | "bigint" => Values::Whole,
        "numeric" | "real" | "double precision" => Values::Number,
        _ if name.starts_with("timestamp") => Values::Time,
        _ => Values::Other,
    }
}

/// NULL of the column's type; of a domain's base type, because a domain may have code of its own.
pub(super) fn nothing(column: &TableColumn) -> String {
    format!("NULL::{}", column.base)
}

/// The expression for a column that is shown so. `from` is the name that the relation has there. No value leaves with a type
/// that has code: whoever had one could have the code look at values of his own, without naming the type.
pub(super) fn expression(
    column: &TableColumn,
    class: Option<&Column>,
    showing: Showing,
    from: &str,
) -> String {
    let value = format!("{}.{}", quoted(from), quoted(&column.name));
    match showing {
        Showing::Revealed if column.code => format!("{value}::{}", column.base),
        // Without what is known of its values the planner has nothing to take the difference of.
        Showing::Revealed if column.planned => veiled(&value),
        Showing::Revealed => value,
        Showing::Hidden => nothing(column),
        Showing::Masked => class
            .and_then(|class| class.mask.as_ref())
            .and_then(|operator| masked(operator, &value, &column.base))
            .map_or_else(|| nothing(column), |masked| format!("({masked})::{}", column.base)),
    }
}

/// The expression for a column in a view of the floor, which can ask for the key of pseudonyms: `$1` and `$2` stand for its two
/// sides.
pub(super) fn in_view(column: &TableColumn, class: &Column, showing: Showing, from: &str) -> String {
    match (showing, &class.mask, values(&column.base)) {
        (Showing::Masked, Some(MaskOperator::Pseudonym), Values::Text) => {
            let value = format!("{}.{}", quoted(from), quoted(&column.name));
            let tag = match &class.class {
                Class::Tagged(tags) => tags.first().map_or("", |tag| &**tag),
                Class::Clear | Class::Unclassified => "",
            };
            format!("({})::{}", pseudonym(tag, &value), column.base)
        }
        (Showing::Revealed | Showing::Hidden | Showing::Masked, _, _) => {
            expression(column, Some(class), showing, from)
        }
    }
}

/// HMAC-SHA-256 (RFC 2104) over a tag, a zero byte and a value, its first sixteen bytes in hexadecimal: what the function of a
/// value makes under the same key. In the database's own encoding, because no other one is sure to have every character.
fn pseudonym(tag: &str, value: &str) -> String {
    let tag = tag.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let bytes = format!("convert_to({value}::text, getdatabaseencoding())");
    format!(
        "left(encode(sha256($1::bytea || sha256($2::bytea || '\\x{tag}00'::bytea || {bytes})), 'hex'), {PSEUDONYM_DIGITS})"
    )
}

/// The type whose multiplication can overflow, and whose division underflow.
const FLOATING: &str = "double precision";
/// The type whose numbers are exact.
const EXACT: &str = "numeric";

/// A value that is shown as it is, as an expression: of a column by itself the planner looks up which values it has in
/// the whole table, and tries conditions on them that can fail, or that call what is not for the caller to call.
pub(super) fn veiled(value: &str) -> String {
    format!("COALESCE({value}, {value})")
}

/// Whether the mask of a column reads its values, where it is shown masked.
pub(super) fn reads(column: &Column) -> bool {
    column.mask.as_ref().is_some_and(MaskOperator::shows_a_part)
}

/// `None` where the operator says nothing of such values, or cannot be had without help at the target.
fn masked(operator: &MaskOperator, value: &str, base: &str) -> Option<String> {
    let kind = values(base);
    match (operator, kind) {
        (MaskOperator::Null, _) => None,
        (MaskOperator::Fixed(text), Values::Text) => Some(literal(text)),
        (MaskOperator::LastFour, Values::Text) => Some(format!(
            "CASE WHEN length({value}::text) > 4 THEN '***' || right({value}::text, 4) WHEN {value} IS NOT NULL THEN '***' END"
        )),
        (MaskOperator::FirstLetter, Values::Text) => Some(format!(
            "CASE WHEN length({value}::text) > 1 THEN left({value}::text, 1) || '***' WHEN {value} IS NOT NULL THEN '***' END"
        )),
        // In UTC: a zone that the caller sets would move the value until its year turns. Beyond these years a conversion
        // could fail, and a failure would tell about the value.
        (MaskOperator::Year, Values::Date | Values::Time) => {
            let value = if is_zoned(base) { in_utc(value) } else { value.to_owned() };
            let earliest = format!("{} - interval '90 years'", today());
            Some(format!(
                "CASE WHEN {value} < {earliest} THEN date_trunc('year', {earliest}) \
                 WHEN {value} < date '10000-01-01' THEN date_trunc('year', {value}::timestamp) END"
            ))
        }
        (MaskOperator::ZipThree, Values::Text) => Some(format!(
            "CASE WHEN {value}::text !~ '^[0-9]{{5}}([- ]?[0-9]{{4}})?$' THEN NULL \
             WHEN left({value}::text, 3) = ANY (ARRAY[{ZIPS_RESTRICTED}]) THEN '000' ELSE left({value}::text, 3) END"
        )),
        // Towards zero, so that no result is larger than the type holds.
        (MaskOperator::Bucket(width), Values::Whole) => {
            let width = (*width).max(1);
            Some(format!("({value} / {width}) * {width}"))
        }
        (MaskOperator::Bucket(width), Values::Number) => {
            let width = (*width).max(1);
            if base.starts_with(EXACT) {
                // Of many digits a quotient is rounded, and the way back may lead beyond what the type holds.
                return Some(format!("div({value}, {width}) * {width}"));
            }
            // There is a zero below zero.
            let rounded = format!("trunc({value} / {width}) * {width} + 0");
            // Near the largest number of its type the way back may lead beyond it, near the smallest the quotient below it, and
            // a failure would tell about the value.
            let far = format!("abs({value}) > 1e300 AND abs({value}) < 'infinity'::float8");
            Some(if base == FLOATING {
                format!("CASE WHEN abs({value}) < {width} THEN 0 WHEN NOT ({far}) THEN {rounded} END")
            } else {
                rounded
            })
        }
        (
            MaskOperator::Fixed(_)
            | MaskOperator::LastFour
            | MaskOperator::FirstLetter
            | MaskOperator::Year
            | MaskOperator::ZipThree
            | MaskOperator::Bucket(_)
            // Its key would stand in the statement, where an EXPLAIN shows it: only a view of the floor has it.
            | MaskOperator::Pseudonym,
            _,
        ) => None,
    }
}

/// A text constant, whatever is in it.
pub(crate) fn literal(text: &str) -> String {
    let text: String = text.chars().filter(|c| *c != '\0').collect();
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
mod tests;
