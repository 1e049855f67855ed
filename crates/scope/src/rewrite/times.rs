//! Row filters speak of times in UTC: a caller may set his session's zone, and what follows it would move with it.

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, SqlValueFunctionOp};

use super::expression::each_reference;
use super::{Outcome, our_expression, sval};
use crate::catalog::Relation;
use crate::walk::quoted;

/// What time it is, as a timestamp.
const NOW: &str = "(now() AT TIME ZONE 'UTC')";

/// Whether values of a type are instants, which the session's zone turns into days and hours.
pub(super) fn is_zoned(base: &str) -> bool {
    base.starts_with("timestamp") && base.ends_with("with time zone")
}

/// A value of such a type as a timestamp.
pub(super) fn in_utc(value: &str) -> String {
    format!("({value} AT TIME ZONE 'UTC')")
}

/// The day, in words for an expression of ours.
pub(super) fn today() -> String {
    format!("{NOW}::date")
}

/// Turn every instant of a row filter into a timestamp.
pub(super) fn pin(condition: &mut Node, relation: &Relation) -> Outcome {
    let zoned =
        |name: &str| relation.columns.iter().any(|column| *column.name == *name && is_zoned(&column.base));
    each_reference(condition, &mut |part| {
        let instead = match &part.node {
            Some(NodeEnum::ColumnRef(column)) => {
                match column.fields.iter().filter_map(sval).collect::<Vec<_>>().as_slice() {
                    [name] if zoned(name) => in_utc(&quoted(name)),
                    _ => return Ok(false),
                }
            }
            Some(NodeEnum::FuncCall(call)) => {
                match call.funcname.iter().filter_map(sval).collect::<Vec<_>>().as_slice() {
                    ["now"] | ["pg_catalog", "now"] => NOW.to_owned(),
                    _ => return Ok(false),
                }
            }
            Some(NodeEnum::SqlvalueFunction(value)) => match SqlValueFunctionOp::try_from(value.op) {
                Ok(SqlValueFunctionOp::SvfopCurrentDate) => today(),
                // The time of day alone cannot be in one.
                _ => NOW.to_owned(),
            },
            Some(_) | None => return Ok(false),
        };
        *part = our_expression(&instead)?;
        Ok(true)
    })
}
