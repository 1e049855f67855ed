//! A target's catalog at one moment: what names mean there, and what its classification says of them. Built from the rows
//! of [`QUERIES`], which the gateway runs through the agent with the target's own role.

mod queries;
mod read;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use chaperone_access::{Class, OwnRelation, Refusal, RelationFacts, RelationName, Rows};
use thiserror::Error;

pub use queries::QUERIES;

use crate::classification::{Classification, RowFilter, apply, hide, unhidden};
use crate::functions::is_allowed;
use crate::rewrite::Barrier;

/// Rows that do not fit.
#[derive(Debug, Error)]
#[error("the target's catalog cannot be read: {0}")]
pub struct CatalogError(&'static str);

/// Columns that every table has besides its own.
pub(crate) const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// One relation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Relation {
    /// `pg_class.relkind`.
    pub(crate) kind: u8,
    /// Rules, triggers or row security: a write does more than it says.
    pub(crate) active: bool,
    pub(crate) parents: Vec<RelationName>,
    pub(crate) children: Vec<RelationName>,
    /// What a view reads.
    pub(crate) reads: Vec<RelationName>,
    /// Functions that a view calls, those of operators among them.
    pub(crate) calls: Vec<RelationName>,
    /// `pg_class.oid`.
    pub(crate) oid: u32,
    /// In order. Empty for system relations.
    pub(crate) columns: Vec<TableColumn>,
    /// A view's query, every name in it qualified, without a semicolon. `None` for a view while somebody alters what it
    /// reads.
    pub(crate) definition: Option<Arc<str>>,
    /// A view's query may ask the system's own relations or functions about objects: a look at it tells. What it reads and
    /// calls of those is not in `reads` and `calls`, because PostgreSQL does not write that down.
    pub(crate) introspects: bool,
    /// Columns of the primary key; empty where there is none.
    pub(crate) primary_key: Vec<Arc<str>>,
    /// Unique and exclusion indexes, the primary key's too; and others whose entries are of several rows.
    pub(crate) uniques: Vec<Unique>,
    /// Columns of each CHECK constraint; the partition key of the relation and of those above it; each column whose type
    /// has code of its own.
    pub(crate) checks: Vec<Vec<Arc<str>>>,
    /// Columns of what rows may violate already, and an UPDATE of any column meets: constraints that nobody validated, or
    /// that answer otherwise at another time or under other settings; unique indexes that were not finished, and indexes whose
    /// expression or predicate is another under other settings.
    pub(crate) standing: Vec<Vec<Arc<str>>>,
    /// What an UPDATE may fail at for a value that it keeps.
    pub(crate) indexes: Vec<Index>,
    /// Of a partition, the columns of what a row from another one meets here and did not meet above: constraints, NOT NULL,
    /// indexes, ways to generate a column.
    pub(crate) arrivals: Vec<Arc<str>>,
    /// Columns of the partition keys of the relation, of those above it and of those below: they decide in which partition a
    /// row is.
    pub(crate) partition_key: Vec<Arc<str>>,
    /// Columns whose defaults draw from a sequence which numbers rows of another relation, too.
    pub(crate) draws: Vec<(Vec<Arc<str>>, RelationName)>,
    pub(crate) references: Vec<Arc<ForeignKey>>,
    /// Foreign keys of others that point here.
    pub(crate) referenced: Vec<(RelationName, Arc<ForeignKey>)>,
    /// What the classification says; where the target has none, that nothing is hidden. `None` for system relations.
    pub(crate) facts: Option<Arc<RelationFacts>>,
    /// The classification's row filter.
    pub(crate) filter: Option<Arc<str>>,
    /// The extension that it belongs to.
    pub(crate) extension: Option<Arc<str>>,
    /// Built-in functions that a write to it calls, in its defaults, checks and indexes.
    pub(crate) called: Vec<Arc<str>>,
    /// Of a view: why its query may not run for a restricted caller, once somebody has asked.
    pub(crate) judged: OnceLock<Option<Refusal>>,
    /// Columns that decide whether a row is in this relation or elsewhere in what it inherits from, each with the relation that it
    /// is of: those of its own checks, and of those that it inherits, but from the top; and of those beside it.
    pub(crate) placed_by: Vec<(RelationName, Arc<str>)>,
    /// What inherits from it and has such checks, all the way down.
    pub(crate) placed: Vec<RelationName>,
    /// Its row security.
    pub(crate) guard: Option<Arc<Guard>>,
}

/// By name.
pub(crate) type Relations = HashMap<RelationName, Box<Relation>>;

/// Row security of a relation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    /// Roles that are not subject to it.
    pub(crate) freed: BTreeSet<Arc<str>>,
    /// What its policies read: a column, or without one which rows there are.
    pub(crate) reads: Vec<(RelationName, Option<Arc<str>>)>,
    /// They read what is not in this catalog.
    pub(crate) reads_more: bool,
    /// Functions that they call.
    pub(crate) calls: Vec<RelationName>,
}

/// One column of a relation.
#[derive(Debug, Clone)]
pub(crate) struct TableColumn {
    pub(crate) name: Arc<str>,
    /// Its type as SQL, with its modifier; names outside `pg_catalog` are qualified.
    pub(crate) typ: Arc<str>,
    /// What its values are handed on as: of a domain the base type, all the way down, and of anything else whose code is
    /// the target's own, `text`; equal to `typ` otherwise.
    pub(crate) base: Arc<str>,
    pub(crate) generated: bool,
    /// It has a value where none is given: a default, an identity.
    pub(crate) default: bool,
    /// The columns that it is generated from.
    pub(crate) generated_from: Box<[Arc<str>]>,
    /// Its type runs code of the target's own: a domain with a check or default, also inside an array, a range or a
    /// composite, or a base type whose functions are neither built in nor an extension's C.
    pub(crate) code: bool,
    /// A condition on it is planned with code of the target's own: the difference of a range.
    pub(crate) planned: bool,
    pub(crate) not_null: bool,
}

impl Relation {
    /// Whether reading it under its own name runs no code of the target's own: to whoever has a column's type as it is, the type's
    /// code can be given values.
    pub(crate) fn is_plain(&self) -> bool {
        !self.columns.iter().any(|column| column.code || column.planned)
    }
}

/// An index in which a row may meet others.
#[derive(Debug, Clone)]
pub(crate) struct Unique {
    /// All that it depends on, also in expressions and its predicate.
    pub(crate) columns: Vec<Arc<str>>,
    /// A row with a NULL among them may meet others: by an expression, a predicate, or because NULLs are not distinct.
    pub(crate) null_conflicts: bool,
}

/// An index whose expressions or predicate may fail, or whose entries may become too large; or the row, where it may.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub(crate) columns: Vec<Arc<str>>,
    /// Those whose assignment may make it fail.
    pub(crate) by: Vec<Arc<str>>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    pub(crate) columns: Vec<Arc<str>>,
    pub(crate) to: RelationName,
    pub(crate) to_columns: Vec<Arc<str>>,
    /// A change of what it points to changes these rows too.
    pub(crate) cascades: bool,
}

/// One function name of a schema, all overloads together: a name is bad if one overload is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Function {
    pub(crate) stable: bool,
    pub(crate) one_argument: bool,
    pub(crate) procedure: bool,
}

/// Where something of a name is, outside `pg_catalog`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) schema: Arc<str>,
    /// The extension that all of that name there belong to.
    pub(crate) extension: Option<Arc<str>>,
    /// Of functions, their `pg_proc.oid`.
    pub(crate) oids: Vec<u32>,
}

/// Why a target cannot be served to callers who see a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// What stands in the way.
    pub what: String,
    /// The next step.
    pub hint: String,
}

/// Code of the target's own that statements call without naming it.
#[derive(Debug, Clone)]
struct Called {
    what: String,
    function: RelationName,
    /// The extension that it belongs to; empty where there is none.
    extension: String,
}

/// An event trigger with code of the target's own.
#[derive(Debug, Clone)]
struct EventTrigger {
    /// The commands that it runs on; empty for all.
    tags: Vec<Arc<str>>,
    function: RelationName,
    /// The extension that the function belongs to; empty where there is none.
    extension: Arc<str>,
}

/// A view of the floor, as the target tells of it.
#[derive(Debug, Clone)]
struct FloorView {
    view: Arc<str>,
    about: Arc<str>,
    granted: BTreeSet<Arc<str>>,
}

/// The snapshot.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Number of this snapshot, counted by whoever loads it.
    pub version: u64,
    digest: [u8; 32],
    path: Arc<[Arc<str>]>,
    /// Each in a place of its own: a table of them has room for more of them than there are.
    pub(crate) relations: Relations,
    /// The target's own relations, sorted by name.
    pub(crate) own: Arc<[OwnRelation]>,
    /// `pg_proc.oid` of the target's own functions that may be called by everybody, in order.
    pub(crate) callable: Vec<u32>,
    /// Every relation's name without its schema.
    pub(crate) names: HashSet<Arc<str>>,
    /// `pg_catalog`'s own functions.
    pub(crate) builtin: HashMap<Arc<str>, Function>,
    /// All other functions, by name only.
    pub(crate) user: HashMap<Arc<str>, Function>,
    /// Where those are.
    pub(crate) homes: HashMap<Arc<str>, Vec<Home>>,
    /// Names of operators outside `pg_catalog`.
    pub(crate) operators: HashSet<Arc<str>>,
    /// Of those of which all belong to extensions, which ones.
    pub(crate) extension_operators: HashMap<Arc<str>, Vec<Arc<str>>>,
    pub(crate) builtin_types: HashSet<Arc<str>>,
    /// Enums, and other types of the target's own that have no code of theirs: by name, the schemas that have such a one.
    pub(crate) enums: HashMap<Arc<str>, Vec<Arc<str>>>,
    /// Names of types that may have code of their own: neither built in, nor of an extension, nor among those.
    pub(crate) own_types: HashSet<Arc<str>>,
    /// Types of extensions, by name.
    pub(crate) extension_types: HashMap<Arc<str>, Vec<Home>>,
    /// What the target is classified by.
    pub(crate) classification: Option<Arc<Classification>>,
    /// Why the target cannot be served under restricted scopes.
    pub(crate) unfit: Vec<Unfit>,
    called: Vec<Called>,
    triggers: Vec<EventTrigger>,
    floor: Vec<FloorView>,
    /// Views of the floor that fit the classification, by what they stand for.
    pub(crate) barriers: HashMap<RelationName, Vec<Barrier>>,
    /// What the classification says that this catalog does not bear out.
    misfits: Vec<String>,
    /// Somebody alters what a view reads: the view's definition is not known yet.
    altered: bool,
}

impl Catalog {
    /// SHA-256 over everything that was read of the target; the classification has a digest of its own.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// What [`Catalog::digest`] of a catalog of these rows would be.
    #[must_use]
    pub fn digest_of(results: &[Rows]) -> [u8; 32] {
        read::digest(results)
    }

    /// What the target is classified by.
    #[must_use]
    pub fn classification(&self) -> Option<&Arc<Classification>> {
        self.classification.as_ref()
    }

    /// What the classification says of a relation: `None` where the target has none, for system relations and for
    /// relations that do not exist.
    #[must_use]
    pub fn facts(&self, name: &RelationName) -> Option<&Arc<RelationFacts>> {
        self.classification.as_ref()?;
        self.relations.get(name)?.facts.as_ref()
    }

    /// Whether what is shown of its columns was said of itself, and does not follow from what it reads.
    pub(crate) fn states(&self, name: &RelationName) -> bool {
        self.relations
            .get(name)
            .and_then(|relation| relation.facts.as_ref())
            .is_some_and(|facts| facts.speaks())
    }

    /// Whether it is a view whose definition is read in its place: what is seen of it follows from what it reads. Not one
    /// that a line clears.
    #[must_use]
    pub fn is_taken_apart(&self, name: &RelationName) -> bool {
        let Some(relation) = self.relations.get(name) else { return false };
        let cleared = |facts: &Arc<RelationFacts>| {
            !facts.columns.is_empty() && facts.columns.iter().all(|column| column.class == Class::Clear)
        };
        relation.kind == b'v' && !self.facts(name).is_some_and(cleared)
    }

    /// Whether all that a view reads, through other views too, is `whole`: whoever sees that reads the view as it is, and
    /// nothing more by it. Not of one that reads the system's own relations with its owner's rights.
    pub fn reads_only(&self, view: &RelationName, whole: &dyn Fn(&RelationName) -> bool) -> bool {
        self.reads_only_from(view, whole, 0)
    }

    fn reads_only_from(
        &self,
        view: &RelationName,
        whole: &dyn Fn(&RelationName) -> bool,
        depth: usize,
    ) -> bool {
        let Some(relation) = self.relations.get(view) else { return false };
        // An extension's views read its own functions and the catalog, and it grants them to everybody.
        if relation.extension.is_some() {
            return true;
        }
        let definition = relation.definition.as_deref().filter(|_| depth <= crate::walk::VIEW_DEPTH_MAX);
        let introspects = |text: &str| relation.introspects && crate::walk::introspects(self, text);
        if definition.is_none_or(introspects) || crate::walk::query_refusal(self, relation).is_some() {
            return false;
        }
        let own = |read: &&RelationName| !crate::system::is_system(&read.schema);
        relation.reads.iter().filter(own).all(|read| {
            let inner = self.relations.get(read).is_some_and(|inner| inner.kind == b'v');
            if inner { self.reads_only_from(read, whole, depth + 1) } else { whole(read) }
        })
    }

    /// The columns of a relation, in order.
    pub fn columns(&self, name: &RelationName) -> impl Iterator<Item = &Arc<str>> {
        self.relations.get(name).into_iter().flat_map(|known| &known.columns).map(|column| &column.name)
    }

    /// The columns of a relation with their types as SQL, in order.
    pub fn typed_columns(&self, name: &RelationName) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        let columns = self.relations.get(name).into_iter().flat_map(|known| &known.columns);
        columns.map(|column| (&column.name, &column.typ))
    }

    /// What a relation is, in a word.
    #[must_use]
    pub fn kind(&self, name: &RelationName) -> &'static str {
        match self.relations.get(name).map(|known| known.kind) {
            Some(b'v') => "view",
            Some(b'm') => "materialized view",
            Some(b'f') => "foreign table",
            Some(b'S') => "sequence",
            Some(_) | None => "table",
        }
    }

    /// The columns of a relation's primary key; none where it has none.
    #[must_use]
    pub fn primary_key(&self, name: &RelationName) -> &[Arc<str>] {
        self.relations.get(name).map_or(&[], |known| &known.primary_key)
    }

    /// What a relation's columns point to: these columns, that relation, those columns of it.
    pub fn references(
        &self,
        name: &RelationName,
    ) -> impl Iterator<Item = (&[Arc<str>], &RelationName, &[Arc<str>])> {
        let keys = self.relations.get(name).into_iter().flat_map(|known| &known.references);
        keys.map(|key| (key.columns.as_slice(), &key.to, key.to_columns.as_slice()))
    }

    /// The columns that a relation's row filter reads.
    pub fn filter_columns(&self, name: &RelationName) -> impl Iterator<Item = &Arc<str>> {
        self.rows(name).into_iter().flat_map(|rows| &rows.columns)
    }

    /// A relation's row filter, where it can be applied.
    pub(crate) fn rows(&self, name: &RelationName) -> Option<&RowFilter> {
        let filter = self.relations.get(name)?.filter.as_ref()?;
        let lines = self.classification.iter().flat_map(|classification| classification.relations.values());
        lines.filter_map(|lines| lines.rows.as_ref()).find(|rows| rows.text == *filter)
    }

    /// What an event trigger calls on such a command that nobody has reviewed.
    pub(crate) fn triggered(&self, tag: &str) -> Option<&RelationName> {
        let runs = |one: &&EventTrigger| one.tags.is_empty() || one.tags.iter().any(|known| **known == *tag);
        let reviewed = |one: &EventTrigger| {
            self.classification.as_ref().is_some_and(|known| {
                known.allows_function(&one.function) || known.allows_extension(&one.extension)
            })
        };
        self.triggers.iter().filter(runs).find(|one| !reviewed(one)).map(|one| &one.function)
    }

    /// Whether it is a sequence.
    #[must_use]
    pub fn is_sequence(&self, name: &RelationName) -> bool {
        self.relations.get(name).is_some_and(|known| known.kind == b'S')
    }

    /// Why the target cannot be served to callers who see a part of it; empty where it can.
    #[must_use]
    pub fn unfit(&self) -> &[Unfit] {
        &self.unfit
    }

    /// What the classification says that this catalog does not bear out, a line each. What it concerns is hidden.
    #[must_use]
    pub fn misfits(&self) -> &[String] {
        &self.misfits
    }

    /// The same target under another classification, without asking it.
    #[must_use]
    pub fn classified(&self, version: u64, classification: Option<&Arc<Classification>>) -> Self {
        let mut catalog = Self { version, ..self.clone() };
        catalog.attach(classification);
        catalog
    }

    /// The same snapshot under another number.
    #[must_use]
    pub fn renumbered(self, version: u64) -> Self {
        Self { version, ..self }
    }

    fn attach(&mut self, classification: Option<&Arc<Classification>>) {
        for (name, relation) in &mut self.relations {
            // A credential may be for some columns of a target without a classification too.
            relation.facts = if classification.is_none() { unhidden(name, relation) } else { None };
            relation.filter = None;
            // What may be called is the classification's word.
            relation.judged = OnceLock::new();
        }
        self.misfits = Vec::new();
        if let Some(classification) = classification {
            self.misfits = apply(classification, &mut self.relations);
        }
        let reviewed = |called: &&Called| {
            classification.is_some_and(|known| {
                known.allows_function(&called.function) || known.allows_extension(&called.extension)
            })
        };
        self.unfit = self.called.iter().filter(|called| !reviewed(called)).map(Called::unfit).collect();
        self.classification = classification.cloned();
        let homes = self.homes.iter().flat_map(|(name, homes)| homes.iter().map(move |home| (name, home)));
        let callable = homes.filter(|(name, home)| is_allowed(self, &home.schema, name));
        let mut callable: Vec<u32> = callable.flat_map(|(_, home)| home.oids.iter().copied()).collect();
        callable.sort_unstable();
        self.callable = callable;
        self.take_floor();
    }

    fn take_floor(&mut self) {
        let read = |one: &FloorView| Barrier::read(self, &one.view, &one.about, &one.granted);
        let mut barriers: HashMap<RelationName, Vec<Barrier>> = HashMap::new();
        for (name, barrier) in self.floor.iter().filter_map(read) {
            barriers.entry(name).or_default().push(barrier);
        }
        self.barriers = barriers;
    }

    /// Relations whose row filters stand in statements for somebody, because no view of the floor has them.
    pub fn filtered_inline(&self) -> impl Iterator<Item = &RelationName> {
        let filtered = self.relations.iter().filter(|(_, relation)| relation.filter.is_some());
        filtered.map(|(name, _)| name).filter(|name| {
            !self.barriers.get(*name).is_some_and(|known| known.iter().any(Barrier::is_filtered))
        })
    }

    /// For each row filter its relation, and a statement that a target accepts if, and only if, the filter fits the
    /// types of its columns. It runs nothing.
    #[must_use]
    pub fn filter_checks(&self) -> Vec<(RelationName, String)> {
        let lines = self.classification.iter().flat_map(|classification| &classification.relations);
        let filtered = lines.filter_map(|(name, lines)| Some((name, lines.rows.as_ref()?)));
        // Without columns of their own that can be missing, and not hidden for another reason already.
        let standing = filtered.filter(|(name, rows)| {
            self.relations.get(*name).is_some_and(|relation| relation.filter.as_ref() == Some(&rows.text))
        });
        let check = |(number, (name, rows)): (usize, (&RelationName, &RowFilter))| {
            let quoted = |part: &str| part.replace('"', "\"\"");
            let (schema, relation) = (quoted(&name.schema), quoted(&name.name));
            let predicate = &rows.checked;
            let text = format!(
                "prepare chaperone_filter_{number} as select from \"{schema}\".\"{relation}\" where ({predicate})"
            );
            (name.clone(), text)
        };
        standing.enumerate().map(check).collect()
    }

    /// Hide a relation, and all that share rows with it, because its filter does not work at the target.
    pub fn refuse_filter(&mut self, relation: &RelationName, why: &str) {
        let why = format!(
            "the row filter of `{relation}` does not fit it: {why}; until then nothing of it is shown"
        );
        hide(&mut self.relations, relation);
        self.misfits.push(why);
        self.take_floor();
    }

    /// Whether it is to be read again soon, because somebody was altering what a view reads.
    #[must_use]
    pub fn is_altered(&self) -> bool {
        self.altered
    }

    /// The schemas in which a fresh session of the target's role looks for names.
    #[must_use]
    pub fn path(&self) -> Arc<[Arc<str>]> {
        self.path.clone()
    }

    /// How many relations of the target's own there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.own.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// The target's own relations, as policies name them.
    pub fn own(&self) -> impl Iterator<Item = &RelationName> {
        self.own.iter().map(|relation| &relation.name)
    }

    /// The relations that one is in, nearest first: a partition's parents.
    #[must_use]
    pub fn above(&self, name: &RelationName) -> Vec<RelationName> {
        ancestors(self, name)
    }

    /// Resolve a name as the session would: `pg_catalog` first, then the path.
    pub(crate) fn resolve(
        &self,
        schema: &str,
        name: &str,
        path: &[Arc<str>],
    ) -> Option<(&RelationName, &Relation)> {
        let known = |schema| {
            let (name, relation) = self.relations.get_key_value(&RelationName::new(schema, name))?;
            Some((name, &**relation))
        };
        if !schema.is_empty() {
            return known(schema);
        }
        let listed = path.iter().any(|schema| &**schema == "pg_catalog");
        let first = (!listed).then_some("pg_catalog");
        first.into_iter().chain(path.iter().map(|schema| &**schema)).find_map(known)
    }
}

impl Called {
    fn unfit(&self) -> Unfit {
        let Self { what, function, extension } = self;
        let hint = match extension.as_str() {
            "" => format!("review `{function}` and list it in the classification under `[functions]`"),
            _ => format!("review it and list `{extension}` in the classification under `[extensions]`"),
        };
        Unfit { what: format!("{what} calls `{function}`"), hint }
    }
}

/// Whether a relation is the target's own.
pub(crate) fn is_own(name: &RelationName) -> bool {
    !matches!(&*name.schema, "pg_catalog" | "information_schema")
}

/// Parents of a relation, nearest first, up to a bound that no sane hierarchy reaches.
pub(crate) fn ancestors(catalog: &Catalog, name: &RelationName) -> Vec<RelationName> {
    let mut found: BTreeMap<RelationName, usize> = BTreeMap::new();
    let mut next = vec![name.clone()];
    while let Some(name) = next.pop() {
        let Some(relation) = catalog.relations.get(&name) else { continue };
        for parent in &relation.parents {
            let at = found.len();
            if found.len() < 64 && !found.contains_key(parent) {
                found.insert(parent.clone(), at);
                next.push(parent.clone());
            }
        }
    }
    let mut sorted: Vec<_> = found.into_iter().collect();
    sorted.sort_by_key(|(_, at)| *at);
    sorted.into_iter().map(|(name, _)| name).collect()
}
