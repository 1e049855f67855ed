//! One walk over a statement: what it touches, for everybody's record, and whether it keeps to the grammar that a
//! restricted caller may use.

mod explain;
mod own;
mod session;
mod views;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use chaperone_access::{NameRule, Refusal, RefusalCode, RelationName, Touch, Verb, Verbs};
use pg_query::protobuf::AExprKind;

use crate::catalog::{Catalog, Relation, ancestors};
use crate::functions::{self, SCHEMA_FUNCTIONS, Standing, dangerous_field, listed_relation, standing};
use crate::grammar::{self, Field};
use crate::ranges::{Columns, Ranges};
use crate::rewrite::{Place, is_serial};
use crate::tree::{Fields, Value, constant, flag, node, number, strings, text, unset};
use crate::{settings, system};
pub(crate) use explain::{analyses, executed, made_on_the_way};
pub(crate) use own::alters_temporary;
use session::identity_fixed;
pub(crate) use session::{is_passing, kept, stays_itself, temporary_drop};
use views::names_locks;
pub(crate) use views::{introspects, query_refusal, takes_locks, view_refusal};

/// `AExprKind` whose operator is completed where it is written out: `x op y`, with ANY, with ALL, and as LIKE, ILIKE, SIMILAR TO.
const COMPLETED: [i64; 6] = [
    AExprKind::AexprOp as i64,
    AExprKind::AexprOpAny as i64,
    AExprKind::AexprOpAll as i64,
    AExprKind::AexprLike as i64,
    AExprKind::AexprIlike as i64,
    AExprKind::AexprSimilar as i64,
];
/// Operators that IN, DISTINCT FROM, NULLIF, BETWEEN, CASE, USING and ORDER BY call, written or not.
const COMPARISONS: [&str; 10] =
    ["=", "<>", "<", "<=", ">", ">=", "BETWEEN", "NOT BETWEEN", "BETWEEN SYMMETRIC", "NOT BETWEEN SYMMETRIC"];
/// `ConstrType` of NULL, NOT NULL, DEFAULT, IDENTITY, GENERATED, CHECK, PRIMARY KEY, UNIQUE, FOREIGN KEY, and of what says when
/// they are looked at.
const CONSTRAINTS: [i64; 13] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14];
/// The mode of LOCK that every SELECT takes.
const ACCESS_SHARE: i64 = 1;
/// `ObjectType` of a table.
const OBJECT_TABLE: i64 = pg_query::protobuf::ObjectType::ObjectTable as i64;
/// What a foreign key does on an UPDATE: the same there (`FKCONSTR_ACTION_CASCADE`).
const CASCADE: &str = "c";
/// The schema of a session's temporary relations, whatever its number is.
pub(crate) const TEMPORARY: &str = "pg_temp";
/// The system column that names the transaction which locked a row last.
const XMAX: &str = "xmax";
/// System columns that number the commands of a transaction.
const COMMAND_NUMBERS: [&str; 2] = ["cmin", "cmax"];
/// Views are followed to this depth.
pub(crate) const VIEW_DEPTH_MAX: usize = 32;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    touches: BTreeMap<(RelationName, NameRule2), Touched>,
    pub(crate) whole: Verbs,
    /// The first thing that a restricted caller may not use.
    pub(crate) refusal: Option<Refusal>,
    /// What nobody may do.
    pub(crate) forbidden: Option<Refusal>,
    pub(crate) volatile: bool,
    pub(crate) locks: bool,
    pub(crate) writes: bool,
    /// It asks catalogs what they tell of some relations to those only who may do something to them.
    pub(crate) describes: bool,
    /// It names a function or type of the target's own that the catalog does not have.
    pub(crate) names_unknown: bool,
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
    Temporary,
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
    pub(crate) fn into_touches(self, catalog: &Catalog) -> Vec<Touch> {
        self.touches
            .into_iter()
            .map(|((relation, rule), touched)| Touch {
                rule: match rule {
                    NameRule2::Named => NameRule::Named,
                    NameRule2::Listed => NameRule::Listed,
                    NameRule2::Temporary => NameRule::Temporary,
                    NameRule2::Unknown => NameRule::Unknown,
                },
                verbs: touched.verbs,
                within: touched.within,
                facts: match rule {
                    NameRule2::Named => {
                        catalog.relations.get(&relation).and_then(|known| known.facts.clone())
                    }
                    NameRule2::Listed | NameRule2::Temporary | NameRule2::Unknown => None,
                },
                relation,
            })
            .collect()
    }
}

/// The walk's surroundings.
pub(crate) struct Walk<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) path: &'a [Arc<str>],
    /// The session's temporary relations, and those that statements before in the same string make.
    temporary: &'a [Arc<str>],
    /// Names of the statement's own CTEs, wherever they stand.
    ctes: HashSet<&'a str>,
    /// The statement, and what its ranges are, once a name after a dot is one that could be more than a column.
    root: Option<&'a Value>,
    ranges: Option<Ranges<'a>>,
    /// Relation names are not resolved: something before in the same string has changed what they mean.
    pub(crate) moved: bool,
    /// What is gone through is a view's query, as the target has it: what its columns are called means nothing else, and the
    /// relations in it are gone through by whoever asks.
    stands: bool,
    /// Columns of a table are defined: integers with a sequence have names of their own there.
    defines: bool,
    /// It names `xmax`: which rows were locked, and so what points to them.
    locked: bool,
    /// What is looked at is under a view of which the classification says what it shows, or is kept.
    stated: bool,
    found: Found,
}

const READ: Verbs = Verbs::NONE;

impl<'a> Walk<'a> {
    pub(crate) fn new(place: Place<'a>, moved: bool) -> Self {
        let Place { catalog, path, temporary } = place;
        let (ctes, root, ranges) = (HashSet::new(), None, None);
        let (stands, defines, locked, stated, found) = (false, false, false, false, Found::default());
        Self { catalog, path, temporary, ctes, root, ranges, moved, stands, defines, locked, stated, found }
    }

    /// Walk one statement.
    pub(crate) fn statement(mut self, statement: &'a Value) -> Found {
        let mut ctes = BTreeSet::new();
        cte_names(statement, &mut ctes);
        self.locked = names_locks(statement);
        self.ctes = ctes.into_iter().collect();
        self.root = Some(statement);
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
        if kind == "RangeFunction"
            && let Some(relation) = system::read_as(fields)
            && let Some((full, relation)) = self.catalog.resolve("pg_catalog", relation, &[])
        {
            return self.resolved(full, relation, verbs, 0);
        }
        match kind {
            "RangeVar" => self.relation(fields, verbs),
            "FuncCall" => self.function(fields),
            "ColumnRef" => self.column(fields),
            "AIndirection" => strings(fields, "indirection").into_iter().for_each(|name| self.field(name)),
            "TypeName" => self.type_name(fields),
            "AExpr" => self.operator(&strings(fields, "name"), COMPLETED.contains(&number(fields, "kind"))),
            "SortBy" => self.operator(&strings(fields, "use_op"), true),
            "SubLink" => self.operator(&strings(fields, "oper_name"), true),
            "LockingClause" => self.found.locks = true,
            "VariableSetStmt" => self.setting(fields),
            "VariableShowStmt" => self.shown(text(fields, "name")),
            "CopyStmt" => self.copy(fields),
            "ExplainStmt" => self.explain(fields),
            "DiscardStmt" | "DefElem" => {}
            "CreateTableAsStmt" | "CreateStmt" | "IntoClause" | "Constraint" => self.made(kind, fields),
            "IndexStmt" | "AlterTableStmt" | "AlterTableCmd" | "RenameStmt" | "VacuumStmt" => {
                self.own(kind, fields)
            }
            "ConstraintsSetStmt" => self.constraints(fields),
            "DropStmt" => self.dropped(fields),
            "TruncateStmt" => self.truncated(fields),
            "LockStmt" if number(fields, "mode") > ACCESS_SHARE => self.found.not_understood(
                "LOCK in a mode that keeps others out".into(),
                "ACCESS SHARE is the mode that your permissions cover",
            ),
            "CallStmt" | "DoStmt" => self.found.whole = self.found.whole.with(Verb::Call),
            _ => {}
        }
        let verbs = self.verbs(kind, fields).unwrap_or(verbs);
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

    /// What a write does to its target.
    fn verbs(&mut self, kind: &str, fields: &Fields) -> Option<Verbs> {
        let verbs = match kind {
            "InsertStmt" => {
                let set = |name: &str| fields.get(name).is_some();
                let mut verbs = Verbs::NONE.with(Verb::Insert);
                if set("on_conflict_clause") {
                    verbs = verbs.with(Verb::Update);
                }
                if set("on_conflict_clause") || set("returning_clause") {
                    verbs = verbs.with(Verb::Read);
                }
                verbs
            }
            "UpdateStmt" => Verbs::NONE.with(Verb::Read).with(Verb::Update),
            "DeleteStmt" => Verbs::NONE.with(Verb::Read).with(Verb::Delete),
            "MergeStmt" => [Verb::Read, Verb::Insert, Verb::Update, Verb::Delete]
                .into_iter()
                .fold(Verbs::NONE, Verbs::with),
            "TruncateStmt" => Verbs::NONE.with(Verb::Delete),
            "CopyStmt" if flag(fields, "is_from") => Verbs::NONE.with(Verb::Insert),
            _ => return None,
        };
        self.found.writes = true;
        Some(verbs)
    }

    fn allowed(
        &mut self,
        kind: &str,
        fields: &'a Fields,
        allowed: &'static [(&'static str, Field)],
        verbs: Verbs,
    ) {
        for (name, value) in fields.iter() {
            if name.ends_with("location") {
                continue;
            }
            // The verbs of a write are those of its target only: whatever else it names is read.
            let is_target = name == "relation" || kind == "TruncateStmt";
            let verbs = if is_target { verbs } else { READ.with(Verb::Read) };
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
                None if harmless(kind, name) => {}
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
        // As the target writes a query down, only names of the system have no schema.
        let of_system = system::is_system(schema)
            || schema.is_empty() && self.catalog.resolve("pg_catalog", name, &[]).is_some();
        if self.stands && !of_system {
            return;
        }
        let temporary = self.temporary.iter().any(|known| **known == *name);
        if schema == TEMPORARY || (schema.is_empty() && temporary) {
            let rule = if temporary { NameRule2::Temporary } else { NameRule2::Unknown };
            self.found.touch(&RelationName::new(TEMPORARY, name), rule, verbs, Vec::new());
            return;
        }
        let cte = schema.is_empty() && self.ctes.contains(name);
        if self.moved {
            if cte {
                return;
            }
            self.found.touch(&RelationName::new(schema, name), NameRule2::Unknown, verbs, Vec::new());
            return;
        }
        let Some((full, relation)) = self.catalog.resolve(schema, name, self.path) else {
            if cte {
                return;
            }
            self.found.touch(&RelationName::new(schema, name), NameRule2::Unknown, verbs, Vec::new());
            self.found.refuse(Refusal::new(
                RefusalCode::UndefinedRelation,
                format!("relation `{}` does not exist", RelationName::new(schema, name)),
            ));
            return;
        };
        // Where a common table expression has the name of a relation, which of them is meant is not asked here: for the
        // record it is the relation.
        self.resolved(full, relation, verbs, 0);
    }

    /// A table that is made: a temporary one holds only what the caller could read.
    fn made(&mut self, kind: &str, fields: &Fields) {
        let relation = |name: &str| fields.get(name).and_then(Value::fields);
        let fine = match kind {
            "CreateStmt" => relation("relation").is_some_and(temporary) && own::stores_plainly(fields),
            "IntoClause" => relation("rel").is_some_and(temporary) && own::stores_plainly(fields),
            "Constraint" => CONSTRAINTS.contains(&number(fields, "contype")) && own::counts_plainly(fields),
            // What a prepared statement keeps in a table is not followed.
            _ => number(fields, "objtype") == OBJECT_TABLE && executed(fields).is_none(),
        };
        self.found.writes = true;
        match kind {
            "CreateStmt" => {
                self.defines = true;
                self.triggered(&["CREATE TABLE"]);
            }
            "IntoClause" => self.triggered(&["CREATE TABLE AS", "SELECT INTO"]),
            _ => {}
        }
        if text(fields, "fk_upd_action") == CASCADE {
            // What it fills the other table with comes from nobody's statement.
            self.found.not_understood(
                "a foreign key that cascades an UPDATE".into(),
                "leave out ON UPDATE CASCADE, and update both tables",
            );
        }
        if !fine {
            self.found.not_understood(
                "a table that is not temporary, or is made with more than plain columns".into(),
                "CREATE TEMPORARY TABLE with columns, defaults, identities, checks and keys, or AS a query",
            );
        }
    }

    /// What the target's own code does on such a command, its failure would tell.
    fn triggered(&mut self, tags: &[&str]) {
        if let Some(function) = tags.iter().find_map(|tag| self.catalog.triggered(tag)) {
            self.found.not_understood(
                format!("{} runs `{function}`, which an event trigger of the target calls", tags.join(" or ")),
                "an administrator reviews it and lists it in the classification under `[functions]`; without temporary tables, \
                 use WITH",
            );
        }
    }

    fn dropped(&mut self, fields: &Fields) {
        self.found.writes = true;
        self.triggered(&["DROP TABLE", "DROP INDEX"]);
        // What names mean is not known where they have moved: then only what is known to be there is dropped.
        let known = dropped(fields).iter().all(|name| self.is_temporary(name));
        if !temporary_drop(fields, self.place()) || (self.moved && !known) {
            self.found.not_understood("DROP of what is not temporary".into(), "ask for `define`");
        }
    }

    fn is_temporary(&self, name: &str) -> bool {
        self.temporary.iter().any(|known| **known == *name)
    }

    fn place(&self) -> Place<'a> {
        Place { catalog: self.catalog, path: self.path, temporary: self.temporary }
    }

    /// A relation and everything that reading or writing it reaches.
    fn resolved(&mut self, name: &RelationName, relation: &'a Relation, verbs: Verbs, depth: usize) {
        if system::is_system(&name.schema) {
            return self.of_the_system(name, verbs);
        }
        let writes = verbs.iter().any(|verb| verb != Verb::Read);
        let runs = |name: &Arc<str>| functions::reads_more(self.catalog, name);
        if writes
            && (relation.active || !matches!(relation.kind, b'r' | b'p') || relation.called.iter().any(runs))
        {
            self.found.not_understood(
                format!(
                    "`{name}` has rules, triggers, row security or defaults that run code, or is no table: writing it does more than it says"
                ),
                "ask for every permission on the target, or for a function",
            );
        }
        self.found.touch(name, NameRule2::Named, verbs, ancestors(self.catalog, name));
        self.compared(relation, writes);
        if depth >= VIEW_DEPTH_MAX {
            self.found
                .not_understood(format!("views under `{name}` are nested too deeply"), "name the tables");
            return;
        }
        // What is kept called it when it was made.
        for call in relation.calls.iter().filter(|_| relation.kind == b'v') {
            let may_be_called = match &*call.schema {
                "pg_catalog" => standing(self.catalog, &call.name) != Standing::Refused,
                schema => functions::is_allowed(self.catalog, schema, &call.name),
            };
            if !may_be_called {
                self.found.not_understood(
                    format!("view `{name}` calls the function `{call}`, which may read anything"),
                    functions::called_hint(&call.name),
                );
            }
        }
        self.found.describes |= relation.introspects;
        let outside = (self.stated, self.locked);
        let locks = |text: &Arc<str>| text.contains(XMAX) || takes_locks(text);
        self.locked |= relation.definition.as_ref().is_some_and(locks);
        self.stated |=
            relation.kind != b'v' || self.catalog.classification.is_some() && self.catalog.states(name);
        if !self.stated
            && let Some(refusal) = query_refusal(self.catalog, relation)
        {
            self.found.not_understood(
                format!("view `{name}` may not run for you: {}", refusal.message),
                "name the tables; or an administrator reviews the view and classifies its columns",
            );
        }
        for read in &relation.reads {
            match self.catalog.relations.get(read) {
                Some(relation) => self.resolved(read, relation, READ.with(Verb::Read), depth + 1),
                None => self
                    .found
                    .not_understood(format!("view `{name}` reads what is not known"), "name the tables"),
            }
        }
        (self.stated, self.locked) = outside;
        for child in &relation.children {
            if let Some(relation) = self.catalog.relations.get(child) {
                self.resolved(child, relation, verbs, depth + 1);
            }
        }
    }

    fn of_the_system(&mut self, name: &RelationName, verbs: Verbs) {
        self.found.describes |= system::is_part(&name.schema, &name.name);
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
            self.found.not_understood(format!("a write to system relation `{name}`"), "use data definition");
        }
    }

    /// What constraints compare with, what policies of the database read, and what decides which rows are there: nothing is done to
    /// it, but how it is seen decides what may be assigned, and whether rows are read.
    fn compared(&mut self, relation: &'a Relation, writes: bool) {
        let catalog = self.catalog;
        let keys = relation.references.iter().map(|key| &key.to);
        let keys = keys.chain(relation.draws.iter().map(|(_, with)| with)).filter(|_| writes);
        let keys =
            keys.chain(relation.referenced.iter().map(|(from, _)| from).filter(|_| writes || self.locked));
        let guard = relation.guard.iter().flat_map(|guard| &guard.reads).map(|(other, _)| other);
        let below = |of: &'a RelationName| catalog.relations.get(of).into_iter().flat_map(|of| &of.placed);
        let placing = relation.placed_by.iter().map(|(of, _)| of);
        for other in keys.chain(guard).chain(placing).flat_map(|of| std::iter::once(of).chain(below(of))) {
            self.found.touch(other, NameRule2::Named, Verbs::NONE, ancestors(self.catalog, other));
        }
    }

    fn function(&mut self, fields: &'a Fields) {
        let name = strings(fields, "funcname");
        let arguments = fields.get("args").and_then(Value::as_array);
        // `trim(from a, b, c)` is a tree that the deparser does not expect, and no function that there is.
        let spoken = number(fields, "funcformat") == pg_query::protobuf::CoercionForm::CoerceSqlSyntax as i64;
        if spoken
            && matches!(name.last(), Some(&("btrim" | "ltrim" | "rtrim")))
            && arguments.is_some_and(|arguments| arguments.len() > 2)
        {
            self.found.not_understood("TRIM of several texts".into(), "trim one text");
        }
        let first = arguments.and_then(|arguments| arguments.first());
        if name.last() == Some(&"set_config") {
            match first.and_then(constant) {
                Some(setting) if settings::identity(setting) => self.found.forbidden = Some(identity_fixed()),
                Some(_) | None => {}
            }
        }
        let name = match name.as_slice() {
            [name] if self.catalog.builtin.contains_key(*name) => *name,
            ["pg_catalog", name] => *name,
            [name] => {
                self.found.volatile = true;
                if functions::home(self.catalog, name, self.path).is_none() {
                    self.unlisted(name, !functions::has_home(self.catalog, name, self.path));
                }
                return;
            }
            ["information_schema", name] if SCHEMA_FUNCTIONS.contains(name) => return,
            [schema, name] if functions::is_allowed(self.catalog, schema, name) => {
                self.found.volatile = true;
                return;
            }
            other => {
                self.found.volatile = true;
                let new = matches!(other, [schema, name]
                    if !functions::has_home(self.catalog, name, &[Arc::from(*schema)]));
                return self.unlisted(&other.join("."), new);
            }
        };
        self.found.describes |= system::look(name).is_some_and(|look| look != system::Look::Setting);
        // Nothing is put in its place where the view stands for itself.
        self.found.describes |= self.stands && functions::instead_of(name).is_some();
        let count = arguments.map_or(0, |arguments| arguments.len());
        // Reads a setting by name: only names that SHOW may show. One that is not known yet, or need not be there, is
        // looked at where it runs.
        if name == "current_setting"
            && first.is_some_and(|first| {
                constant(first).is_none_or(settings::showable) || (count == 2 && !self.stands)
            })
        {
            return;
        }
        if functions::rewrites_by_values(name, count) {
            return;
        }
        if name == "set_config" {
            self.found.volatile = true;
            return self.configured(arguments.unwrap_or_default());
        }
        // What the server does not have, as a special syntax of a newer one, is refused, too.
        match standing(self.catalog, name) {
            Standing::Stable => {}
            Standing::Volatile => self.found.volatile = true,
            Standing::Refused => {
                self.found.volatile = true;
                self.unlisted(name, false);
            }
        }
    }

    fn unlisted(&mut self, name: &str, new: bool) {
        self.found.names_unknown |= new;
        self.found.not_understood(
            format!("function `{name}` is not among those that your permissions cover"),
            functions::instead_hint(name),
        );
    }

    /// The columns of a relation for certain; `None` where no relation has the name.
    fn columns_of(&self, relation: &Fields) -> Option<Columns<'a>> {
        let (schema, name) = (text(relation, "schemaname"), text(relation, "relname"));
        let temporary =
            schema == TEMPORARY || schema.is_empty() && self.temporary.iter().any(|known| **known == *name);
        if temporary || self.moved {
            return Some(Columns::new());
        }
        let (_, relation) = self.catalog.resolve(schema, name, self.path)?;
        Some(relation.columns.iter().map(|column| &*column.name).collect())
    }

    /// `x.f` is a column where everything that `x` stands for has one. Hardly any name has to be asked about.
    fn column(&mut self, fields: &'a Fields) {
        let names = strings(fields, "fields");
        self.command_number(names.last());
        let [.., range, name] = names.as_slice() else { return };
        if !dangerous_field(self.catalog, name) {
            return;
        }
        let known = self.ranges.take();
        let of = |root| Ranges::of(root, &|relation| self.columns_of(relation));
        self.ranges = known.or_else(|| self.root.map(of));
        if !self.ranges.as_ref().is_some_and(|ranges| ranges.has(range, name)) {
            self.field(name);
        }
    }

    /// What is looked up on the way counts as a command of the transaction, and whether a key is, its value decides.
    fn command_number(&mut self, name: Option<&&str>) {
        if name.is_some_and(|name| COMMAND_NUMBERS.contains(name)) {
            self.found.not_understood(
                "the number of a command in its transaction".into(),
                "order what you write by a column of your own",
            );
        }
    }

    /// `x.f` and `(row).f` call the function `f`, or cast to the type `f`, where there is no such column.
    fn field(&mut self, name: &str) {
        self.command_number(Some(&name));
        if !self.stands && dangerous_field(self.catalog, name) {
            self.found.not_understood(
                format!("`.{name}` could call a function or make a type of that name"),
                "select from the relation and name the column alone",
            );
        }
    }

    fn type_name(&mut self, fields: &'a Fields) {
        let serial = self.defines && is_serial(&strings(fields, "names"));
        let known = match strings(fields, "names").as_slice() {
            _ if serial => unset(fields.get("array_bounds").unwrap_or(&Value::Null)),
            ["pg_catalog", name] => self.catalog.builtin_types.contains(*name),
            [name] => {
                self.catalog.builtin_types.contains(*name)
                    || functions::homes_of_type(self.catalog, name)
                        .any(|schema| functions::is_allowed_type(self.catalog, schema, name))
                    || self.path.iter().any(|schema| functions::is_row_type(self.catalog, schema, name))
            }
            [schema, name] => {
                functions::written_as(schema, name).is_some()
                    || functions::is_allowed_type(self.catalog, schema, name)
                    || functions::is_row_type(self.catalog, schema, name)
            }
            _ => false,
        };
        if !known {
            self.found.names_unknown |= !functions::is_a_type(self.catalog, &strings(fields, "names"));
            self.found.not_understood(
                format!(
                    "type `{}` is not among those that your permissions cover",
                    strings(fields, "names").join(".")
                ),
                "built-in types and enums are",
            );
        }
    }

    /// `completed`: the built-in operator of that name is what is sent.
    fn operator(&mut self, name: &[&str], completed: bool) {
        let known = match name {
            [] => true,
            ["pg_catalog", _] => true,
            [_, name] if functions::extension_operator(self.catalog, name) => {
                self.found.volatile = true;
                true
            }
            [name] => {
                self.found.volatile |= self.catalog.operators.contains(*name);
                // Comparisons that are called without being named are looked at for the target as a whole.
                completed || COMPARISONS.contains(name)
            }
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

    fn copy(&mut self, fields: &'a Fields) {
        // A program stands in the place of a file's name.
        if !text(fields, "filename").is_empty() {
            self.found.writes = true;
            self.found.not_understood(
                "COPY with a file or program of the server".into(),
                "use COPY ... TO STDOUT or FROM STDIN",
            );
        }
    }
}

/// Whether a named relation is a temporary one by its own words.
fn temporary(relation: &Fields) -> bool {
    text(relation, "relpersistence") == "t" && matches!(text(relation, "schemaname"), "" | TEMPORARY)
}

/// The name of the temporary table that a statement makes, if it makes one.
pub(crate) fn temporary_made<'v>(kind: &str, fields: &'v Fields) -> Option<&'v str> {
    let relation = match kind {
        "CreateStmt" => fields.get("relation"),
        "CreateTableAsStmt" => fields.get("into").and_then(Value::fields).and_then(|into| into.get("rel")),
        "SelectStmt" => kept(fields).and_then(|into| into.get("rel")),
        _ => None,
    };
    let relation = relation.and_then(Value::fields)?;
    temporary(relation).then(|| text(relation, "relname"))
}

/// The names that a DROP TABLE removes.
pub(crate) fn dropped(fields: &Fields) -> Vec<&str> {
    let objects = fields.get("objects").and_then(Value::as_array);
    let lists = objects.into_iter().flatten().filter_map(node).map(|(_, list)| strings(list, "items"));
    lists
        .map(|parts| match parts.as_slice() {
            [name] | [TEMPORARY, name] => *name,
            _ => "",
        })
        .collect()
}

/// Fields outside the list that may hold something without meaning anything.
fn harmless(kind: &str, name: &str) -> bool {
    match (kind, name) {
        // The parser numbers these; they mean nothing before analysis.
        ("CommonTableExpr", "cterefcount") => true,
        ("VariableSetStmt", "jumble_args") => true,
        ("AArrayExpr" | "AExpr", name) => name.contains("list_"),
        (_, _) => false,
    }
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

#[cfg(test)]
mod tests;
