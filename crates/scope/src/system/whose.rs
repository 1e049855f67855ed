//! Whose something in the catalogs is, and under which condition, in SQL, a caller is told more of it than names and types.
//!
//! A relation, with its columns, constraints, indexes, rules, triggers, policies, statistics and partitions, is described to
//! whoever may do something to it; a function to whoever may call it; a domain with a relation that has a column of it.
//! What comes with the server is described to everybody. None of the conditions is ever NULL for what exists.

use std::cell::OnceCell;

use chaperone_access::{Described, OwnRelation};

use crate::catalog::Catalog;

/// Numbers from here on are of what was made after the server's own: `FirstNormalObjectId`.
const OWN_FROM: &str = "'16384'::pg_catalog.oid";

/// That a column depends on a type: found by the type's number, where `pg_attribute` would have to be gone through.
const COLUMN_OF_TYPE: &str = "a.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid \
                              AND a.classid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AND a.objsubid > 0";

/// Catalogs of objects that are neither a relation nor a part of one nor a function: what is said of those is shown.
const APART: [&str; 17] = [
    "pg_am",
    "pg_cast",
    "pg_collation",
    "pg_conversion",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_language",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_publication",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_ts_template",
];

/// Whose a row of a system relation is. Texts are names of its columns.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    /// The relation of this number.
    Relation(&'static str),
    /// The function of this number.
    Function(&'static str),
    /// The type of this number.
    Type(&'static str),
    /// A row of `pg_constraint`.
    Constraint,
    /// A row of `pg_description`. With sets that are made once: looks of its own at each row would be reckoned so dear that
    /// PostgreSQL compiles the query.
    Comment,
    /// The relation of this schema and name.
    NamedRelation(&'static str, &'static str),
    /// The index of this schema and name.
    NamedIndex(&'static str, &'static str),
    /// The type of this schema and name.
    NamedType(&'static str, &'static str),
    /// The checks of `constraint_schema` and `constraint_name`: tables of a schema may share a name.
    NamedCheck,
    /// The function of `specific_name`.
    NamedFunction,
}

/// What is described to one caller.
pub(crate) struct Telling<'a> {
    pub(crate) catalog: &'a Catalog,
    /// None are where it is `None`.
    described: Option<&'a Described>,
    /// The session has temporary relations, which hold only what it made.
    temporary: bool,
    /// The numbers of what is described, as constants, made when they are first needed.
    relations: OnceCell<String>,
    functions: OnceCell<String>,
}

impl<'a> Telling<'a> {
    pub(crate) fn new(catalog: &'a Catalog, described: Option<&'a Described>, temporary: bool) -> Self {
        Self { catalog, described, temporary, relations: OnceCell::new(), functions: OnceCell::new() }
    }

    /// Whether every relation is described.
    pub(crate) fn all(&self) -> bool {
        self.described == Some(&Described::All)
    }

    /// The condition for a row of a system relation called `t`; `None` where it always holds.
    pub(super) fn of(&self, of: Of) -> Option<String> {
        if self.all() && !matches!(of, Of::Function(_) | Of::NamedFunction | Of::Comment) {
            return None;
        }
        Some(match of {
            Of::Relation(column) => self.relation(&format!("t.{column}")),
            Of::Function(column) => self.function(&format!("t.{column}::pg_catalog.oid")),
            Of::Type(column) => self.typ(&format!("t.{column}")),
            Of::Constraint => self.constraint("t"),
            Of::Comment => self.comment("t"),
            Of::NamedRelation(schema, name) => format!(
                "EXISTS (SELECT 1 FROM pg_catalog.pg_class AS k JOIN pg_catalog.pg_namespace AS n ON n.oid = k.relnamespace \
                 WHERE n.nspname = t.{schema} AND k.relname = t.{name} AND {})",
                self.relation("k.oid")
            ),
            Of::NamedIndex(schema, name) => format!(
                "EXISTS (SELECT 1 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                 JOIN pg_catalog.pg_index AS k ON k.indexrelid = c.oid \
                 WHERE n.nspname = t.{schema} AND c.relname = t.{name} AND {})",
                self.index("k")
            ),
            Of::NamedType(schema, name) => format!(
                "EXISTS (SELECT 1 FROM pg_catalog.pg_type AS k JOIN pg_catalog.pg_namespace AS n ON n.oid = k.typnamespace \
                 WHERE n.nspname = t.{schema} AND k.typname = t.{name} AND {})",
                self.typ("k.oid")
            ),
            Of::NamedCheck => format!(
                "NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS k \
                 JOIN pg_catalog.pg_namespace AS n ON n.oid = k.connamespace \
                 WHERE n.nspname = t.constraint_schema AND k.conname = t.constraint_name AND k.contype = 'c' AND NOT ({}))",
                self.constraint("k")
            ),
            Of::NamedFunction => format!(
                "t.specific_name = ANY (SELECT pg_catalog.nameconcatoid(k.proname, k.oid) FROM pg_catalog.pg_proc AS k WHERE {})",
                self.function("k.oid")
            ),
        })
    }

    /// A relation by its number.
    pub(super) fn relation(&self, oid: &str) -> String {
        let these: &[OwnRelation] = match self.described {
            Some(Described::All) => return "true".to_owned(),
            Some(Described::These(these)) => these,
            None => &[],
        };
        let relations = self.relations.get_or_init(|| numbers(these.iter().map(|relation| relation.oid)));
        let temporary = if self.temporary {
            format!(
                " OR {oid} = ANY (SELECT own.oid FROM pg_catalog.pg_class AS own \
                 WHERE own.relnamespace = pg_catalog.pg_my_temp_schema())"
            )
        } else {
            String::new()
        };
        // Not as OR: PostgreSQL would reckon with every number of the list each time that it plans.
        format!("CASE WHEN {oid} < {OWN_FROM} THEN true ELSE {oid} = ANY ({relations}){temporary} END")
    }

    /// A function by its number.
    pub(super) fn function(&self, oid: &str) -> String {
        let functions = self.functions.get_or_init(|| numbers(self.catalog.callable.iter().copied()));
        format!("({oid} < {OWN_FROM} OR {oid} = ANY ({functions}))")
    }

    /// A row of `pg_index`: without expressions and a predicate it is names only.
    pub(super) fn index(&self, row: &str) -> String {
        let told = self.relation(&format!("{row}.indrelid"));
        format!("({told} OR ({row}.indexprs IS NULL AND {row}.indpred IS NULL))")
    }

    fn typ(&self, oid: &str) -> String {
        format!(
            "({oid} < {OWN_FROM} OR {oid} = ANY (SELECT a.refobjid FROM pg_catalog.pg_depend AS a \
             WHERE {COLUMN_OF_TYPE} AND {}))",
            self.relation("a.objid")
        )
    }

    /// A row of `pg_constraint`: of a relation or of a domain.
    fn constraint(&self, row: &str) -> String {
        self.constraint_of(row, &self.typ(&format!("{row}.contypid")))
    }

    /// The same for one row that is looked at by itself.
    pub(super) fn one_constraint(&self, row: &str) -> String {
        let typ = format!("{row}.contypid");
        let of = format!(
            "({typ} < {OWN_FROM} OR EXISTS (SELECT 1 FROM pg_catalog.pg_depend AS a WHERE {COLUMN_OF_TYPE} \
             AND a.refobjid = {typ} AND {}))",
            self.relation("a.objid")
        );
        self.constraint_of(row, &of)
    }

    fn constraint_of(&self, row: &str, domain: &str) -> String {
        let told = self.relation(&format!("{row}.conrelid"));
        format!("CASE WHEN {row}.conrelid = '0'::pg_catalog.oid THEN {domain} ELSE {told} END")
    }

    /// A row of `pg_description`. With sets that are made once: looks of its own at each row would be reckoned so dear that
    /// PostgreSQL compiles the query.
    fn comment(&self, row: &str) -> String {
        let in_set = |column: &str, catalog: &str, told: &str| {
            format!("{row}.objoid = ANY (SELECT p.{column} FROM pg_catalog.{catalog} AS p WHERE {told})")
        };
        self.comment_by(row, &in_set, &self.constraint("p"))
    }

    /// The same for one row that is looked at by itself: each set would be made for it.
    pub(super) fn one_comment(&self, row: &str) -> String {
        let found = |column: &str, catalog: &str, told: &str| {
            format!(
                "EXISTS (SELECT 1 FROM pg_catalog.{catalog} AS p WHERE p.{column} = {row}.objoid AND {told})"
            )
        };
        self.comment_by(row, &found, &self.one_constraint("p"))
    }

    /// `found` says how a row of a catalog is, by a column with the object's number.
    fn comment_by(&self, row: &str, found: &dyn Fn(&str, &str, &str) -> String, constraint: &str) -> String {
        let class = |name: &str| format!("'pg_catalog.{name}'::pg_catalog.regclass::pg_catalog.oid");
        let part_of = |catalog: &str, told: &str| {
            format!("WHEN {row}.classoid = {} THEN {} ", class(catalog), found("oid", catalog, told))
        };
        let mut arms = format!(
            "WHEN {row}.objoid < {OWN_FROM} THEN true WHEN {row}.classoid = {} THEN {} ",
            class("pg_proc"),
            self.function(&format!("{row}.objoid"))
        );
        arms.push_str(&format!(
            "WHEN {row}.classoid = {} THEN ({} OR {}) ",
            class("pg_class"),
            self.relation(&format!("{row}.objoid")),
            found("indexrelid", "pg_index", &self.relation("p.indrelid"))
        ));
        arms.push_str(&part_of("pg_constraint", constraint));
        arms.push_str(&part_of("pg_policy", &self.relation("p.polrelid")));
        arms.push_str(&part_of("pg_rewrite", &self.relation("p.ev_class")));
        arms.push_str(&part_of("pg_statistic_ext", &self.relation("p.stxrelid")));
        arms.push_str(&part_of("pg_trigger", &self.relation("p.tgrelid")));
        // The type of a relation's rows, too.
        let rows = format!("(p.typrelid = '0'::pg_catalog.oid OR {})", self.relation("p.typrelid"));
        arms.push_str(&part_of("pg_type", &rows));
        let apart: Vec<String> = APART.iter().map(|name| class(name)).collect();
        format!("CASE {arms}ELSE {row}.classoid = ANY (ARRAY[{}]) END", apart.join(", "))
    }
}

/// A constant of numbers.
fn numbers(numbers: impl Iterator<Item = u32>) -> String {
    let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
    format!("'{{{}}}'::pg_catalog.oid[]", numbers.join(","))
}
