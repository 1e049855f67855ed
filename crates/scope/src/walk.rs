//! One walk over a statement: what it touches, for everybody's record, and whether it keeps to the grammar that a
//! restricted caller may use.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use chaperone_access::{NameRule, Refusal, RefusalCode, RelationName, Touch, Verb, Verbs};

use crate::catalog::{Catalog, Relation, ancestors};
use crate::functions::{Standing, dangerous_field, listed_relation, standing};
use crate::grammar::{self, Field};
use crate::settings;
use crate::tree::{Fields, Value, constant, flag, node, number, strings, text, unset};

/// Views are followed to this depth.
const VIEW_DEPTH_MAX: usize = 32;
/// `funcformat` of a call that is written in SQL's own syntax, whose name the parser itself chose.
const SQL_SYNTAX: i64 = 4;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    touches: BTreeMap<(RelationName, NameRule2), Touched>,
    pub(crate) whole: Verbs,
    /// Places (bytes) at which a name is to be completed, with what is put before it.
    pub(crate) insertions: BTreeMap<usize, String>,
    /// The first thing that a restricted caller may not use.
    pub(crate) refusal: Option<Refusal>,
    /// What nobody may do.
    pub(crate) forbidden: Option<Refusal>,
    pub(crate) volatile: bool,
    pub(crate) locks: bool,
    pub(crate) writes: bool,
}

#[derive(Debug, Default)]
struct Touched {
    verbs: Verbs,
    within: Vec<RelationName>,
}

/// [`NameRule`], ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum NameRule2 {
    Named,
    Listed,
    Unknown,
}

impl Found {
    fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    fn not_understood(&mut self, what: String, hint: &str) {
        self.refuse(Refusal::new(RefusalCode::NotUnderstood, what).hint(hint));
    }

    fn touch(&mut self, name: &RelationName, rule: NameRule2, verbs: Verbs, within: Vec<RelationName>) {
        let touched = self.touches.entry((name.clone(), rule)).or_default();
        for verb in verbs.iter() {
            touched.verbs = touched.verbs.with(verb);
        }
        touched.within = within;
    }

    /// The touches, each relation once.
    pub(crate) fn into_touches(self) -> Vec<Touch> {
        self.touches
            .into_iter()
            .map(|((relation, rule), touched)| Touch {
                relation,
                rule: match rule {
                    NameRule2::Named => NameRule::Named,
                    NameRule2::Listed => NameRule::Listed,
                    NameRule2::Unknown => NameRule::Unknown,
                },
                verbs: touched.verbs,
                within: touched.within,
                facts: None,
            })
            .collect()
    }
}

/// The walk's surroundings.
pub(crate) struct Walk<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) path: &'a [Arc<str>],
    /// Names of the statement's own CTEs, wherever they stand.
    ctes: HashSet<&'a str>,
    /// Relation names are not resolved: something before in the same string has changed what they mean.
    pub(crate) moved: bool,
    found: Found,
}

const READ: Verbs = Verbs::NONE;

impl<'a> Walk<'a> {
    pub(crate) fn new(catalog: &'a Catalog, path: &'a [Arc<str>], moved: bool) -> Self {
        Self { catalog, path, ctes: HashSet::new(), moved, found: Found::default() }
    }

    /// Walk one statement.
    pub(crate) fn statement(mut self, statement: &'a Value) -> Found {
        let mut ctes = BTreeSet::new();
        cte_names(statement, &mut ctes);
        for name in &ctes {
            // A name that no table has cannot lead to one, however scoping is judged.
            if self.catalog.names.contains(*name) {
                self.found.not_understood(
                    format!("the name `{name}` of a common table expression is also that of a relation"),
                    "give it another name",
                );
            }
        }
        self.ctes = ctes.into_iter().collect();
        self.node(statement, READ.with(Verb::Read));
        if self.found.locks {
            let verbs = Verbs::NONE.with(Verb::Update);
            for (key, touched) in &mut self.found.touches {
                if key.1 == NameRule2::Named {
                    for verb in verbs.iter() {
                        touched.verbs = touched.verbs.with(verb);
                    }
                }
            }
        }
        self.found
    }

    fn node(&mut self, value: &'a Value, verbs: Verbs) {
        match node(value) {
            Some((kind, fields)) => self.typed(kind, fields, verbs),
            None if unset(value) => {}
            None => self.found.not_understood("an unknown node".into(), "simplify the statement"),
        }
    }

    /// A node of a known kind: what it means first, then what is in it.
    fn typed(&mut self, kind: &'a str, fields: &'a Fields, verbs: Verbs) {
        match kind {
            "RangeVar" => self.relation(fields, verbs),
            "FuncCall" => self.function(fields),
            "ColumnRef" => self.column(fields, "fields", 1),
            "AIndirection" => self.column(fields, "indirection", 0),
            "TypeName" => self.type_name(fields),
            "AExpr" => self.operator(&strings(fields, "name")),
            "SortBy" => self.operator(&strings(fields, "use_op")),
            "SubLink" => self.operator(&strings(fields, "oper_name")),
            "LockingClause" => self.found.locks = true,
            "VariableSetStmt" => self.setting(fields),
            "VariableShowStmt" => self.shown(text(fields, "name")),
            "CopyStmt" => self.copy(fields),
            "ExplainStmt" => self.explain(fields),
            "DiscardStmt" | "DefElem" => {}
            "CallStmt" | "DoStmt" => self.found.whole = self.found.whole.with(Verb::Call),
            _ => {}
        }
        let verbs = match kind {
            "InsertStmt" => {
                self.found.writes = true;
                let set = |name: &str| fields.get(name).is_some_and(|value| !unset(value));
                let mut verbs = Verbs::NONE.with(Verb::Insert);
                if set("on_conflict_clause") {
                    verbs = verbs.with(Verb::Update);
                }
                if set("on_conflict_clause") || set("returning_clause") {
                    verbs = verbs.with(Verb::Read);
                }
                verbs
            }
            "UpdateStmt" => {
                self.found.writes = true;
                Verbs::NONE.with(Verb::Read).with(Verb::Update)
            }
            "DeleteStmt" => {
                self.found.writes = true;
                Verbs::NONE.with(Verb::Read).with(Verb::Delete)
            }
            "MergeStmt" => {
                self.found.writes = true;
                [Verb::Read, Verb::Insert, Verb::Update, Verb::Delete]
                    .into_iter()
                    .fold(Verbs::NONE, Verbs::with)
            }
            "TruncateStmt" => {
                self.found.writes = true;
                Verbs::NONE.with(Verb::Delete)
            }
            "CopyStmt" if flag(fields, "is_from") => {
                self.found.writes = true;
                Verbs::NONE.with(Verb::Insert)
            }
            _ => verbs,
        };
        match grammar::fields(kind) {
            Some(allowed) => self.allowed(kind, fields, allowed, verbs),
            None => {
                self.found.not_understood(
                    format!("`{}` is not among the constructs that your permissions cover", words(kind)),
                    "docs/reference/sql.md lists what is; whoever holds every permission on the target may use the rest",
                );
                self.everything(fields, verbs);
            }
        }
    }

    fn allowed(
        &mut self,
        kind: &str,
        fields: &'a Fields,
        allowed: &'static [(&'static str, Field)],
        verbs: Verbs,
    ) {
        // The verbs of a write are those of its target only: whatever else it names is read.
        let target_only = matches!(kind, "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "CopyStmt");
        for (name, value) in fields.iter() {
            if unset(value) || name.ends_with("location") {
                continue;
            }
            let verbs = if target_only && name != "relation" { READ.with(Verb::Read) } else { verbs };
            match allowed.iter().find(|(known, _)| *known == name) {
                Some((_, Field::Plain)) => {}
                Some((_, Field::Node)) => self.node(value, verbs),
                Some((_, Field::Nodes)) => {
                    for item in value.as_array().into_iter().flatten() {
                        self.node(item, verbs);
                    }
                }
                Some((_, Field::Of(kind))) => match value.fields() {
                    Some(fields) => self.typed(kind, fields, verbs),
                    None => self.found.not_understood("an unknown node".into(), "simplify the statement"),
                },
                None if harmless(kind, name, value) => {}
                None => {
                    self.found.not_understood(
                        format!(
                            "`{}` with `{name}` is not among the constructs that your permissions cover",
                            words(kind)
                        ),
                        "docs/reference/sql.md lists what is",
                    );
                    self.anything(value, verbs);
                }
            }
        }
    }

    /// Inside what a restricted caller may not use anyway: only relations are looked for, for the record.
    fn everything(&mut self, fields: &'a Fields, verbs: Verbs) {
        for value in fields.values() {
            self.anything(value, verbs);
        }
    }

    fn anything(&mut self, value: &'a Value, verbs: Verbs) {
        if let Some((kind, fields)) = node(value) {
            return self.typed(kind, fields, verbs);
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.anything(item, verbs)),
            Value::Object(fields) if fields.get("relname").is_some() => self.relation(fields, verbs),
            Value::Object(fields) | Value::Node(_, fields) => self.everything(fields, verbs),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
        }
    }

    fn relation(&mut self, fields: &'a Fields, verbs: Verbs) {
        let (schema, name) = (text(fields, "schemaname"), text(fields, "relname"));
        if !text(fields, "catalogname").is_empty() {
            self.found
                .not_understood("a relation named with its database".into(), "name schema and relation only");
        }
        if schema.is_empty() && self.ctes.contains(name) {
            return;
        }
        if self.moved {
            self.found.touch(&RelationName::new(schema, name), NameRule2::Unknown, verbs, Vec::new());
            return;
        }
        let Some((full, relation)) = self.catalog.resolve(schema, name, self.path) else {
            self.found.touch(&RelationName::new(schema, name), NameRule2::Unknown, verbs, Vec::new());
            self.found.refuse(Refusal::new(
                RefusalCode::UndefinedRelation,
                format!("relation `{}` does not exist", RelationName::new(schema, name)),
            ));
            return;
        };
        if schema.is_empty() {
            let at = usize::try_from(number(fields, "location")).unwrap_or(usize::MAX);
            self.found.insertions.insert(at, format!("{}.", quoted(&full.schema)));
        }
        self.resolved(full, relation, verbs, 0);
    }

    /// A relation and everything that reading or writing it reaches.
    fn resolved(&mut self, name: &RelationName, relation: &'a Relation, verbs: Verbs, depth: usize) {
        if matches!(&*name.schema, "pg_catalog" | "information_schema") {
            if listed_relation(&name.schema, &name.name) {
                self.found.touch(name, NameRule2::Listed, verbs, Vec::new());
            } else {
                self.found.touch(name, NameRule2::Named, verbs, Vec::new());
                self.found.not_understood(
                    format!("system relation `{name}` is not on the list for introspection"),
                    "docs/reference/sql.md lists what is",
                );
            }
            if verbs != READ.with(Verb::Read) {
                self.found
                    .not_understood(format!("a write to system relation `{name}`"), "use data definition");
            }
            return;
        }
        let writes = verbs.iter().any(|verb| verb != Verb::Read);
        if writes && (relation.active || !matches!(relation.kind, b'r' | b'p')) {
            self.found.not_understood(
                format!("`{name}` has rules, triggers or row security, or is no table: writing it does more than it says"),
                "ask for every permission on the target, or for a function",
            );
        }
        self.found.touch(name, NameRule2::Named, verbs, ancestors(self.catalog, name));
        if depth >= VIEW_DEPTH_MAX {
            self.found
                .not_understood(format!("views under `{name}` are nested too deeply"), "name the tables");
            return;
        }
        for call in &relation.calls {
            if standing(self.catalog, call) == Standing::Refused {
                self.found.not_understood(
                    format!("view `{name}` calls the function `{call}`, which may read anything"),
                    "name the tables",
                );
            }
        }
        for read in &relation.reads {
            match self.catalog.relations.get(read) {
                Some(relation) => self.resolved(read, relation, READ.with(Verb::Read), depth + 1),
                None => self
                    .found
                    .not_understood(format!("view `{name}` reads what is not known"), "name the tables"),
            }
        }
        for child in &relation.children {
            if let Some(relation) = self.catalog.relations.get(child) {
                self.resolved(child, relation, verbs, depth + 1);
            }
        }
    }

    fn function(&mut self, fields: &'a Fields) {
        let name = strings(fields, "funcname");
        let arguments = fields.get("args").and_then(Value::as_array);
        let first = arguments.and_then(|arguments| arguments.first());
        if name.last() == Some(&"set_config") {
            match first.and_then(constant) {
                Some(setting) if settings::identity(setting) => self.found.forbidden = Some(identity_fixed()),
                Some(_) | None => {}
            }
        }
        let name = match name.as_slice() {
            [name] => {
                let at = usize::try_from(number(fields, "location")).unwrap_or(usize::MAX);
                self.found.insertions.insert(at, "pg_catalog.".to_owned());
                *name
            }
            ["pg_catalog", name] => *name,
            other => {
                self.found.volatile = true;
                return self.unlisted(&other.join("."));
            }
        };
        if number(fields, "funcformat") == SQL_SYNTAX && !self.catalog.builtin.contains_key(name) {
            // A special syntax of a newer server than this one.
            return self.unlisted(name);
        }
        // Reads a setting by name: only names that SHOW may show.
        if name == "current_setting" && first.and_then(constant).is_some_and(settings::showable) {
            return;
        }
        match standing(self.catalog, name) {
            Standing::Stable => {}
            Standing::Volatile => self.found.volatile = true,
            Standing::Refused => {
                self.found.volatile = true;
                self.unlisted(name);
            }
        }
    }

    fn unlisted(&mut self, name: &str) {
        self.found.not_understood(
            format!("function `{name}` is not among those that your permissions cover"),
            "built-in functions that only compute are; docs/reference/sql.md says more",
        );
    }

    /// `x.f` and `(row).f` call the function `f` where the row has no such column.
    fn column(&mut self, fields: &'a Fields, list: &str, skip: usize) {
        for name in strings(fields, list).into_iter().skip(skip) {
            if dangerous_field(self.catalog, name) {
                self.found.not_understood(
                    format!("`.{name}` could call a function of that name"),
                    "select from the relation and name the column alone",
                );
            }
        }
    }

    fn type_name(&mut self, fields: &'a Fields) {
        let known = match strings(fields, "names").as_slice() {
            ["pg_catalog", name] => self.catalog.builtin_types.contains(*name),
            [name] | [_, name] => {
                self.catalog.builtin_types.contains(*name) || self.catalog.enums.contains_key(*name)
            }
            _ => false,
        };
        let unusual =
            ["setof", "pct_type"].iter().any(|name| fields.get(name).is_some_and(|value| !unset(value)));
        if !known || unusual {
            self.found.not_understood(
                format!(
                    "type `{}` is not among those that your permissions cover",
                    strings(fields, "names").join(".")
                ),
                "built-in types and enums are",
            );
        }
    }

    fn operator(&mut self, name: &[&str]) {
        let known = match name {
            [] => true,
            ["pg_catalog", _] => true,
            [name] => !self.catalog.operators.contains(*name),
            _ => false,
        };
        if !known {
            self.found.volatile = true;
            self.found.not_understood(
                format!("operator `{}` is user-defined", name.join(".")),
                "write OPERATOR(pg_catalog.…) for the built-in one",
            );
        }
    }

    fn setting(&mut self, fields: &'a Fields) {
        let name = text(fields, "name");
        if settings::identity(name) {
            self.found.forbidden = Some(identity_fixed());
        }
        let utf8 = name.eq_ignore_ascii_case("client_encoding") && {
            let arguments = fields.get("args").and_then(Value::as_array);
            let value = arguments.and_then(|arguments| arguments.first()).and_then(constant);
            value.is_some_and(|value| {
                value.eq_ignore_ascii_case("utf8") || value.eq_ignore_ascii_case("utf-8")
            })
        };
        // RESET ALL would undo what keeps texts unambiguous.
        if !settings::settable(name) && !utf8 {
            self.found.not_understood(
                format!("setting `{name}` may not be changed with your permissions"),
                "docs/reference/sql.md lists those that may",
            );
        }
        if name.eq_ignore_ascii_case("search_path") {
            let values = fields.get("args").and_then(Value::as_array);
            let listed = values.into_iter().flatten().filter_map(constant);
            let local = flag(fields, "is_local");
            if local || listed.into_iter().any(|schema| schema.starts_with("pg_")) {
                self.found.not_understood(
                    "SET LOCAL search_path, or a path that names a system schema".into(),
                    "set the path for the session, or name relations with their schema",
                );
            }
        }
    }

    fn shown(&mut self, name: &str) {
        if !settings::showable(name) {
            self.found.not_understood(
                format!("setting `{name}` may not be shown"),
                "docs/reference/sql.md lists those that may",
            );
        }
    }

    fn copy(&mut self, fields: &'a Fields) {
        let program = flag(fields, "is_program");
        if program || !text(fields, "filename").is_empty() {
            self.found.writes = true;
            self.found.not_understood(
                "COPY with a file or program of the server".into(),
                "use COPY ... TO STDOUT or FROM STDIN",
            );
        }
    }

    fn explain(&mut self, fields: &'a Fields) {
        for option in fields.get("options").and_then(Value::as_array).into_iter().flatten() {
            let Some((_, option)) = node(option) else { continue };
            if !matches!(
                text(option, "defname"),
                "verbose" | "costs" | "format" | "analyze" | "timing" | "summary"
            ) {
                self.found.not_understood(
                    format!("EXPLAIN with `{}`", text(option, "defname")),
                    "ANALYZE, VERBOSE, COSTS, TIMING, SUMMARY and FORMAT are carried",
                );
            }
        }
    }
}

/// Fields outside the list that may hold something without meaning anything.
fn harmless(kind: &str, name: &str, value: &Value) -> bool {
    match (kind, name) {
        // The parser numbers these; they mean nothing before analysis.
        ("CommonTableExpr", "cterefcount") => true,
        ("VariableSetStmt", "jumble_args") => true,
        ("TypeName", "type_oid") => unset(value),
        ("AArrayExpr" | "AExpr", name) => name.contains("list_"),
        (_, _) => false,
    }
}

/// Nobody becomes somebody else under an open session.
pub(crate) fn identity_fixed() -> Refusal {
    Refusal::new(RefusalCode::NotPermitted, "the role of a session is fixed at the boundary")
        .hint("ask for a credential of your own for what the other role may do")
}

/// All names of common table expressions, wherever they stand.
fn cte_names<'a>(value: &'a Value, names: &mut BTreeSet<&'a str>) {
    value.each(&mut |fields| names.extend(fields.get("ctename").and_then(Value::as_str)));
}

/// An identifier in double quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A node's name as words: `CreateFunctionStmt` is `create function`.
fn words(kind: &str) -> String {
    let mut out = String::new();
    for c in kind.trim_end_matches("Stmt").chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.extend(c.to_lowercase());
    }
    out
}
