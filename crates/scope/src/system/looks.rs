//! Functions that tell more of an object than names and types: which object each is about, by its first argument, and when
//! a caller may have an answer. For others the answer is NULL, as for an object that does not exist.

use super::whose::Telling;
use crate::settings;
use crate::tree::{Value, constant};

/// What the first argument of a function is the number of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// A relation, of whose query or bound everything is told.
    Relation,
    /// A relation, of whose partition key expressions are.
    PartitionKey,
    /// An index, of which expressions and its predicate are.
    Index,
    /// A constraint, of which a check's or an exclusion's expressions are.
    Constraint,
    /// A rule.
    Rule,
    /// A trigger.
    Trigger,
    /// Extended statistics.
    Statistics,
    /// A function, of whose body everything is told.
    Function,
    /// A function, of whose arguments their defaults are.
    Arguments,
    /// Whatever is commented.
    Comment,
    /// No object: a setting, by its name, which is told where SHOW may show it.
    Setting,
}

const LOOKS: [(&str, Look); 17] = [
    ("col_description", Look::Comment),
    ("current_setting", Look::Setting),
    ("obj_description", Look::Comment),
    ("pg_get_constraintdef", Look::Constraint),
    ("pg_get_function_arg_default", Look::Function),
    ("pg_get_function_arguments", Look::Arguments),
    ("pg_get_function_sqlbody", Look::Function),
    ("pg_get_functiondef", Look::Function),
    ("pg_get_indexdef", Look::Index),
    ("pg_get_partition_constraintdef", Look::Relation),
    ("pg_get_partkeydef", Look::PartitionKey),
    ("pg_get_ruledef", Look::Rule),
    ("pg_get_statisticsobjdef", Look::Statistics),
    ("pg_get_statisticsobjdef_columns", Look::Statistics),
    ("pg_get_statisticsobjdef_expressions", Look::Statistics),
    ("pg_get_triggerdef", Look::Trigger),
    ("pg_get_viewdef", Look::Relation),
];

/// The look before a function of `pg_catalog`, if it has one.
pub(crate) fn look(name: &str) -> Option<Look> {
    LOOKS.iter().find(|(known, _)| *known == name).map(|(_, look)| *look)
}

impl Look {
    /// Whether the call needs no look: it names a setting that everybody is told.
    pub(crate) fn is_open(self, first: Option<&Value>) -> bool {
        self == Self::Setting && first.and_then(constant).is_some_and(settings::showable)
    }

    /// What takes the place of the answer where the look lets nothing through and something is told to everybody, or a tool does not
    /// bear NULL: SQLAlchemy reads the text of every check, and that of each element of an index that is no column; psql
    /// prints a rule from its thirteenth byte on. Given the number of arguments; they stand in the place of the innermost
    /// NULLs.
    pub(crate) fn otherwise(self, arguments: usize) -> Option<&'static str> {
        match self {
            Self::Arguments => Some(
                "(SELECT pg_catalog.pg_get_function_identity_arguments(g.o) \
                 FROM (SELECT NULL::pg_catalog.oid OFFSET 0) AS g(o))",
            ),
            Self::Constraint => Some(
                "(SELECT (SELECT 'CHECK (NULL)'::pg_catalog.text FROM pg_catalog.pg_constraint AS k \
                 WHERE k.oid = g.o AND k.contype = 'c') FROM (SELECT NULL::pg_catalog.oid OFFSET 0) AS g(o))",
            ),
            Self::Rule => Some(
                "(SELECT (SELECT 'CREATE RULE ' || pg_catalog.quote_ident(k.rulename) FROM pg_catalog.pg_rewrite AS k \
                 WHERE k.oid = g.o) FROM (SELECT NULL::pg_catalog.oid OFFSET 0) AS g(o))",
            ),
            Self::Index if arguments > 1 => Some(
                "(SELECT (SELECT CASE WHEN k.indkey[g.n - 1] = 0 THEN 'NULL' ELSE pg_catalog.quote_ident(a.attname) END \
                 FROM pg_catalog.pg_index AS k JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.indexrelid \
                 WHERE k.indexrelid = g.o AND a.attnum = g.n) \
                 FROM (SELECT NULL::pg_catalog.oid, NULL::pg_catalog.int4 OFFSET 0) AS g(o, n))",
            ),
            Self::Relation
            | Self::PartitionKey
            | Self::Index
            | Self::Trigger
            | Self::Statistics
            | Self::Function
            | Self::Comment
            | Self::Setting => None,
        }
    }

    /// The condition under which the object whose number is `g.o` is told of; `None` where every one is.
    pub(crate) fn condition(self, telling: &Telling<'_>) -> Option<String> {
        let by_functions = matches!(self, Self::Function | Self::Arguments | Self::Comment);
        if telling.all() && !by_functions && self != Self::Setting {
            return None;
        }
        let row = |catalog: &str, number: &str, told: &str| {
            format!("EXISTS (SELECT 1 FROM pg_catalog.{catalog} AS k WHERE k.{number} = g.o AND {told})")
        };
        Some(match self {
            Self::Setting => {
                let names: Vec<String> = settings::names().map(|name| format!("'{name}'")).collect();
                format!("pg_catalog.lower(g.o) IN ({})", names.join(", "))
            }
            Self::Relation => telling.relation("g.o"),
            Self::PartitionKey => {
                let told = format!("({} OR k.partexprs IS NULL)", telling.relation("k.partrelid"));
                row("pg_partitioned_table", "partrelid", &told)
            }
            Self::Index => row("pg_index", "indexrelid", &telling.index("k")),
            Self::Constraint => {
                let told = format!(
                    "(k.contype <> ALL ('{{c,x}}'::pg_catalog.\"char\"[]) OR {})",
                    telling.one_constraint("k")
                );
                row("pg_constraint", "oid", &told)
            }
            Self::Rule => row("pg_rewrite", "oid", &telling.relation("k.ev_class")),
            Self::Trigger => row("pg_trigger", "oid", &telling.relation("k.tgrelid")),
            Self::Statistics => row("pg_statistic_ext", "oid", &telling.relation("k.stxrelid")),
            Self::Function => telling.function("g.o"),
            Self::Arguments => {
                let told = format!("({} OR k.pronargdefaults = 0)", telling.function("k.oid"));
                row("pg_proc", "oid", &told)
            }
            // Whatever class the call names: no comment of that number may be one that is kept from the caller.
            Self::Comment => format!(
                "NOT EXISTS (SELECT 1 FROM pg_catalog.pg_description AS k WHERE k.objoid = g.o AND NOT {})",
                telling.one_comment("k")
            ),
        })
    }
}
