//! Row filters: predicates over a relation's own columns, constants, and what an issuer says of the caller. Nothing else
//! can be in one, so that what it does is what its text says: no other relation, no code of the target's own, nothing
//! whose failure would tell about a row.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chaperone_access::AttributeKind;

use super::RowFilter;
use crate::tree::{Fields, Value, constant, flag, node, number, parse, strings};

/// Longest predicate, in bytes: no tree of so short a text is deep.
pub(crate) const PREDICATE_BYTES_MAX: usize = 512;
/// What the text is put after to be parsed.
const BEFORE: &str = "select from t where ";
/// The name before the dot of what is said of the caller.
const CALLER: &str = "caller";

/// Functions that only look at their arguments and, called as [`may_fail`] wants it, cannot fail on any.
const FUNCTIONS: [&str; 15] = [
    "btrim",
    "cardinality",
    "date_part",
    "date_trunc",
    "extract",
    "left",
    "length",
    "lower",
    "ltrim",
    "now",
    "right",
    "rtrim",
    "split_part",
    "starts_with",
    "upper",
];

/// Operators that compare, and the sums that dates need.
const OPERATORS: [&str; 19] = [
    "!=", "!~~", "!~~*", "&&", "+", "-", "<", "<=", "<>", "<@", "=", ">", ">=", "@>", "^@", "||", "~~",
    "~~*", "?",
];

/// Types that a constant or an attribute may be cast to, as the grammar calls them. No instants: what a text without a
/// zone means would be the caller's to choose.
const TYPES: [&str; 13] = [
    "bool",
    "bpchar",
    "date",
    "float8",
    "int2",
    "int4",
    "int8",
    "interval",
    "numeric",
    "text",
    "timestamp",
    "uuid",
    "varchar",
];

/// What is wrong with a predicate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Bytes from its beginning.
    pub(crate) at: usize,
    pub(crate) what: String,
    pub(crate) hint: Option<String>,
}

impl Wrong {
    fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Read a predicate.
pub(crate) fn read(
    predicate: &str,
    attributes: &BTreeMap<String, AttributeKind>,
) -> Result<RowFilter, Wrong> {
    if predicate.len() > PREDICATE_BYTES_MAX {
        return Err(Wrong::new(0, format!("a row filter has at most {PREDICATE_BYTES_MAX} bytes")));
    }
    if let Some(at) = predicate.find("--").or_else(|| predicate.find("/*")) {
        return Err(Wrong::new(at, "a row filter has no comments").hint("write them in the file, with `#`"));
    }
    let whole = format!("{BEFORE}{predicate}");
    let parsed = parse(&whole).map_err(|error| Wrong::new(0, error.message))?;
    let not_one =
        || Wrong::new(0, "it is not one predicate").hint("write what would stand after WHERE, and no more");
    let [(statement, _)] = parsed.statements(&whole)[..] else { return Err(not_one()) };
    let Some(("SelectStmt", select)) = node(statement) else { return Err(not_one()) };
    // Whatever else a SELECT can have would have been written by the predicate. LIMIT and set operations are options,
    // which are there without it.
    let only =
        |(name, _): (&str, &Value)| matches!(name, "from_clause" | "where_clause" | "limit_option" | "op");
    let Some(condition) = select.get("where_clause").filter(|_| select.iter().all(only)) else {
        return Err(not_one());
    };
    let mut reading = Reading {
        predicate,
        attributes,
        found: RowFilter {
            text: Arc::from(predicate),
            columns: BTreeSet::new(),
            asks: BTreeMap::new(),
            checked: String::new(),
        },
        callers: Vec::new(),
    };
    reading.expression(condition)?;
    Ok(reading.done())
}

struct Reading<'a> {
    predicate: &'a str,
    attributes: &'a BTreeMap<String, AttributeKind>,
    found: RowFilter,
    /// Where an attribute stands, how long its text is, and its type.
    callers: Vec<(usize, usize, &'static str)>,
}

impl Reading<'_> {
    fn at(fields: &Fields) -> usize {
        usize::try_from(number(fields, "location")).unwrap_or(0).saturating_sub(BEFORE.len())
    }

    fn expressions(&mut self, fields: &Fields, names: &[&str]) -> Result<(), Wrong> {
        for name in names {
            match fields.get(name) {
                None | Some(Value::Null) => {}
                Some(Value::Array(items)) => items.iter().try_for_each(|item| self.expression(item))?,
                Some(value) => self.expression(value)?,
            }
        }
        Ok(())
    }

    /// One expression. Whatever is not named here cannot be in a row filter.
    fn expression(&mut self, value: &Value) -> Result<(), Wrong> {
        let Some((kind, fields)) = node(value) else {
            return Err(Wrong::new(0, "the predicate cannot be understood"));
        };
        match kind {
            "AConst" => match constant(value).and_then(moved_by_settings) {
                None => Ok(()),
                Some(hint) => {
                    let what = "what this constant means depends on the caller's settings";
                    Err(Wrong::new(Self::at(fields), what).hint(hint))
                }
            },
            "ColumnRef" => self.column(fields),
            "TypeCast" => self.cast(fields),
            "AExpr" => {
                let names = strings(fields, "name");
                let known = matches!(names.as_slice(), [] | ["pg_catalog", _] | [_])
                    && names.last().is_none_or(|name| {
                        OPERATORS.contains(name) || *name == "BETWEEN" || is_between(name)
                    });
                if !known {
                    let what = format!("operator `{}` cannot be in a row filter", names.join("."));
                    return Err(
                        Wrong::new(Self::at(fields), what).hint(format!("there are {}", OPERATORS.join(" ")))
                    );
                }
                // One that ends with what escapes nothing is an error.
                let is_like = names.last().is_some_and(|name| name.trim_start_matches('!').starts_with("~~"));
                if is_like && fields.get("rexpr").and_then(node).is_some_and(|(_, pattern)| mentions(pattern))
                {
                    let what = "a pattern cannot be made of columns in a row filter";
                    return Err(
                        Wrong::new(Self::at(fields), what).hint("`starts_with(a, b)` looks for a text")
                    );
                }
                self.expressions(fields, &["lexpr", "rexpr"])
            }
            "List" => self.expressions(fields, &["items"]),
            "AArrayExpr" => self.expressions(fields, &["elements"]),
            "BoolExpr" | "CoalesceExpr" => self.expressions(fields, &["args"]),
            "NullTest" | "BooleanTest" => self.expressions(fields, &["arg"]),
            "FuncCall" => self.call(fields),
            // CURRENT_DATE, CURRENT_TIMESTAMP and LOCALTIMESTAMP, which are written out in UTC.
            "SqlvalueFunction" if SQL_TIMES.contains(&number(fields, "op")) => Ok(()),
            other => Err(Wrong::new(Self::at(fields), format!("{other} cannot be in a row filter"))
                .hint("compare columns with constants and with `caller.ATTRIBUTE`")),
        }
    }

    fn column(&mut self, fields: &Fields) -> Result<(), Wrong> {
        let at = Self::at(fields);
        let all_names = fields.get("fields").and_then(Value::as_array).map_or(0, <[Value]>::len);
        match strings(fields, "fields").as_slice() {
            [column] if all_names == 1 => {
                self.found.columns.insert(Arc::from(*column));
                Ok(())
            }
            [CALLER, attribute] if all_names == 2 => self.caller(at, attribute),
            _ => Err(Wrong::new(at, "only columns of the relation itself can be in a row filter")
                .hint("name the column alone")),
        }
    }

    fn caller(&mut self, at: usize, attribute: &str) -> Result<(), Wrong> {
        let Some(kind) = self.attributes.get(attribute) else {
            let known: Vec<String> = self.attributes.keys().map(|name| format!("`{name}`")).collect();
            let hint = match known.as_slice() {
                [] => "declare it under `[attributes]` in gateway.toml".to_owned(),
                _ => format!(
                    "there are {}; others are declared under `[attributes]` in gateway.toml",
                    known.join(", ")
                ),
            };
            return Err(Wrong::new(at, format!("attribute `{attribute}` is not declared")).hint(hint));
        };
        let typ = type_of(*kind);
        let written = format!("{CALLER}.{attribute}");
        if !self.predicate.get(at..).is_some_and(|rest| rest.starts_with(&written)) {
            return Err(Wrong::new(at, format!("write `{written}`, without spaces and quotes")));
        }
        self.callers.push((at, written.len(), typ));
        self.found.asks.insert(Arc::from(attribute), *kind);
        Ok(())
    }

    /// Casts of columns can fail, and so tell about rows that the filter leaves out.
    fn cast(&mut self, fields: &Fields) -> Result<(), Wrong> {
        let at = Self::at(fields);
        let typ = fields.get("type_name").and_then(Value::fields);
        let name = typ.map(|typ| strings(typ, "names")).unwrap_or_default();
        let known = match name.as_slice() {
            [name] | ["pg_catalog", name] => TYPES.contains(name),
            _ => false,
        };
        if !known || typ.is_none_or(|typ| flag(typ, "setof")) {
            return Err(Wrong::new(at, format!("type `{}` cannot be in a row filter", name.join(".")))
                .hint(format!("there are {}", TYPES.join(", "))));
        }
        let callers = self.callers.len();
        self.expressions(fields, &["arg"])?;
        // A cast cuts off or rounds what does not fit, without an error: the caller would be somebody else.
        let fits = typ.and_then(|typ| typ.get("typmods"));
        if fits.is_some() && self.callers.len() > callers {
            return Err(Wrong::new(
                at,
                "an attribute cannot be cast to a type with a length in a row filter",
            )
            .hint("leave the length out: `caller.ward::text`, `caller.level::numeric`"));
        }
        if mentions_column(fields) {
            return Err(Wrong::new(at, "a column cannot be cast in a row filter")
                .hint("cast the other side: `caller.clinics::integer[]`"));
        }
        Ok(())
    }

    fn call(&mut self, fields: &Fields) -> Result<(), Wrong> {
        let name = strings(fields, "funcname");
        let known = match name.as_slice() {
            [name] | ["pg_catalog", name] => FUNCTIONS.contains(name),
            _ => false,
        };
        let plain =
            fields.iter().all(|(name, _)| matches!(name, "funcname" | "args" | "funcformat" | "location"));
        if !known || !plain {
            let what = format!("function `{}` cannot be in a row filter", name.join("."));
            return Err(
                Wrong::new(Self::at(fields), what).hint(format!("there are {}", FUNCTIONS.join(", ")))
            );
        }
        let arguments = fields.get("args").and_then(Value::as_array).unwrap_or_default();
        if let Some(what) = may_fail(name.last().copied().unwrap_or_default(), arguments) {
            return Err(
                Wrong::new(Self::at(fields), what).hint("a failure would tell about rows that are not shown")
            );
        }
        self.expressions(fields, &["args"])
    }

    /// The filter, with the predicate as the target can check it: nothing is known of the caller but types.
    fn done(mut self) -> RowFilter {
        self.callers.sort_unstable();
        let (mut checked, mut from) = (String::new(), 0);
        for (at, length, typ) in self.callers {
            checked.push_str(self.predicate.get(from..at).unwrap_or_default());
            checked.push_str(&format!("(null::{typ})"));
            from = at + length;
        }
        checked.push_str(self.predicate.get(from..).unwrap_or_default());
        RowFilter { checked, ..self.found }
    }
}

/// The type of an attribute, as SQL.
pub(crate) fn type_of(kind: AttributeKind) -> &'static str {
    match kind {
        AttributeKind::Bool => "boolean",
        AttributeKind::Long => "bigint",
        AttributeKind::Text => "text",
        AttributeKind::Texts => "text[]",
    }
}

/// The parser's numbers of SQL value functions that tell a day: not those of the time of day, whose zone is the session's.
const SQL_TIMES: [i64; 5] = [1, 4, 5, 8, 9];

/// How names of months begin.
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Words for days, which are the session's.
const DAYS: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// Whether TimeZone, DateStyle or IntervalStyle decide what a constant means where it stands for a time; how to write it.
fn moved_by_settings(text: &str) -> Option<&'static str> {
    let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    let apart = |c: char| c.is_whitespace() || ['/', '-', '.', ','].contains(&c);
    let parts: Vec<&str> = text.split(apart).filter(|part| !part.is_empty()).take(3).collect();
    let is_number = |part: &&&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_month = |part: &&&str| MONTHS.iter().any(|month| begins_with(part, month));
    let (numbers, months) = (parts.iter().filter(is_number).count(), parts.iter().filter(is_month).count());
    let is_date = numbers + months == 3 && numbers >= 2;
    if text.split_whitespace().count() <= 2 && words.into_iter().any(|word| DAYS.contains(&&*word)) {
        Some("write `current_date` or `now()`, which are in UTC here")
    } else if is_date && parts.first().is_some_and(|part| !is_number(&part) || part.len() <= 2) {
        Some("write a date as YYYY-MM-DD")
    } else if text.trim_start().strip_prefix('-').is_some_and(|rest| amounts(rest) > 1) {
        Some(
            "give each part of an interval its own sign, the first without one: `now() - interval '1 day 2 hours'`",
        )
    } else {
        None
    }
}

fn begins_with(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(word))
}

/// How many amounts an interval has: numbers behind a space or a letter, for `1day 2hours` is as good as `1 day 2 hours`.
fn amounts(interval: &str) -> usize {
    let before = std::iter::once(' ').chain(interval.chars());
    let begins = |(before, here): &(char, char)| {
        here.is_ascii_digit() && (before.is_whitespace() || before.is_alphabetic())
    };
    before.zip(interval.chars()).filter(begins).count()
}

/// What is wrong with a call that can fail for what is in a row: a field of a date, or the place of a part, that is no constant.
fn may_fail(name: &str, arguments: &[Value]) -> Option<&'static str> {
    let written = |at: usize| {
        let argument = arguments.get(at).and_then(node);
        argument.filter(|(kind, _)| *kind == "AConst").map(|(_, constant)| constant)
    };
    let place = || written(2)?.get("val")?.fields()?.get("Ival")?.fields();
    match name {
        "date_part" | "date_trunc" | "extract" if written(0).is_none() || arguments.len() != 2 => {
            Some("the part of a date is not a constant")
        }
        "split_part" if place().is_none_or(|place| number(place, "ival") < 1) => {
            Some("the place of a part is not a number from 1")
        }
        "length" if arguments.len() != 1 => Some("a length is of one text"),
        _ => None,
    }
}

fn is_between(name: &str) -> bool {
    matches!(name, "NOT BETWEEN" | "BETWEEN SYMMETRIC" | "NOT BETWEEN SYMMETRIC")
}

/// Whether a column is anywhere inside of it, beside what is said of the caller.
fn mentions_column(fields: &Fields) -> bool {
    let mut found = false;
    let mut look = |fields: &Fields| found |= is_column(fields);
    fields.values().for_each(|value| value.each(&mut look));
    found
}

/// The same, or it is one.
fn mentions(fields: &Fields) -> bool {
    is_column(fields) || mentions_column(fields)
}

fn is_column(fields: &Fields) -> bool {
    strings(fields, "fields").len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(predicate: &str) -> Result<RowFilter, Wrong> {
        let kinds = [("clinics", AttributeKind::Texts), ("level", AttributeKind::Long)];
        read(predicate, &kinds.map(|(name, kind)| (name.to_owned(), kind)).into())
    }

    #[test]
    fn a_predicate_over_columns_and_the_caller_is_read() {
        let found = filter("clinic_id = any(caller.clinics) and not sealed").unwrap();
        assert_eq!(found.columns.iter().map(|name| &**name).collect::<Vec<_>>(), ["clinic_id", "sealed"]);
        assert_eq!(found.checked, "clinic_id = any((null::text[])) and not sealed");
        for good in [
            "clinic_id = any(caller.clinics::integer[])",
            "a in (1, 2, 3) or b is null",
            "a between 1 and caller.level",
            "ward = 'ab'::char(5) and code = caller.level::bpchar",
            "lower(status) like 'o%'",
            "started_on > current_date - interval '30 days'",
            "coalesce(a, b) is not distinct from 'x'::text",
            "true",
            "a is true",
            "a not between 1 and 3 and b between symmetric 3 and 1",
            "status = '1, 2' or note = 'may jun 7'",
            "array['a', 'b'] && caller.clinics",
            "extract(year from d) = 2026",
            "date_part('year', d) > 2000 and split_part(note, '-', 2) = 'x' and length(note) > 3",
            "note like caller.level::text || '%' and note not like 'b%'",
            "d >= '2026-01-02' and d < localtimestamp and version = '1.2'",
            "status = 'not now, later' or note = 'a-1 b-2'",
            "d > '2026-Jan-02' or d > '2026-01-02 10:30' or code = '-12' or d > now() - interval '-1 day'",
        ] {
            assert!(filter(good).is_ok(), "{good}: {:?}", filter(good));
        }
    }

    #[test]
    fn whatever_else_is_refused_where_it_stands() {
        for (bad, at, part) in [
            ("exists (select from secrets)", 0, "SubLink"),
            ("a = (select max(b) from t)", 4, "SubLink"),
            ("pg_sleep(1) is null", 0, "pg_sleep"),
            ("public.lower(a) = 'x'", 0, "public.lower"),
            ("a = 1 and b::int = 2", 11, "cannot be cast"),
            ("(lower(b))::int = 2", 10, "cannot be cast"),
            ("a = caller.clinic", 4, "not declared"),
            ("a = caller . level", 4, "without spaces"),
            ("a = t.b", 4, "relation itself"),
            ("t.* is null", 0, "relation itself"),
            ("a = caller.level.*", 4, "relation itself"),
            ("a = 'x'::setof text", 7, "type `text`"),
            ("lower(a) over () = 'x'", 0, "function `lower`"),
            ("lower(distinct a) = 'x'", 0, "function `lower`"),
            ("d > now() - interval '-1day2hours'", 21, "settings"),
            ("date_part(unit, d) > 1", 0, "part of a date"),
            ("d = date_trunc('day', d, zone)", 4, "part of a date"),
            ("split_part(a, '-', n) = 'x'", 0, "place of a part"),
            ("split_part(a, '-', 0) = 'x'", 0, "place of a part"),
            ("length(a, coding) > 1", 0, "one text"),
            ("'x' not like b", 4, "made of columns"),
            ("a like 'x' || b", 2, "made of columns"),
            ("a / 0 = 1", 2, "operator `/`"),
            ("a operator(public.=) 1", 2, "operator `public.=`"),
            ("current_user = 'x'", 0, "SqlvalueFunction"),
            ("a = 'x'::public.mood", 7, "type `public.mood`"),
            ("count(a) over () = 1", 0, "function `count`"),
            ("a = $1", 4, "ParamRef"),
            ("case when a then b end", 0, "CaseExpr"),
            ("a = 1 limit 1", 0, "not one predicate"),
            ("a = 1 order by b", 0, "not one predicate"),
            ("a = 1 union select", 0, "not one predicate"),
            ("a = 1 group by a", 0, "not one predicate"),
            ("a = 1 for update", 0, "not one predicate"),
            ("a = 1; drop table t", 0, "not one predicate"),
            ("a = 1 -- all of them", 6, "no comments"),
            ("a /* b */ = 1", 2, "no comments"),
            ("d > '01/02/2026'", 4, "settings"),
            ("d > '1.2.26'::date", 4, "settings"),
            ("d > '01 08 1999'", 4, "settings"),
            ("d > '08/Jan/01'", 4, "settings"),
            ("d > 'Jan 08 01'", 4, "settings"),
            ("a = any(caller.clinics::varchar(3)[])", 22, "with a length"),
            ("a = caller.level::text::char", 22, "with a length"),
            ("a = caller.level::numeric(3, 0)", 16, "with a length"),
            ("d > now() - interval '-1day 2hours'", 21, "settings"),
            ("d > 'today'", 4, "settings"),
            ("d > ' Now '::timestamp", 4, "settings"),
            ("d > now() + interval '-1 day 2 hours'", 21, "settings"),
            ("d > '2026-01-01'::timestamptz", 16, "type"),
            ("d > current_time", 4, "SqlvalueFunction"),
            ("", 0, "syntax error"),
            ("a = ", 0, "syntax error"),
        ] {
            let wrong = filter(bad).unwrap_err();
            assert!(wrong.what.contains(part), "{bad}: {wrong:?}");
            assert_eq!(wrong.at, at, "{bad}: {wrong:?}");
        }
        assert!(filter(&"a or ".repeat(400)).unwrap_err().what.contains("512 bytes"));
    }
}
