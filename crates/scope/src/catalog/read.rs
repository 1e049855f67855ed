//! From the rows of the queries to the snapshot.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chaperone_access::{OwnRelation, RelationName, Row, Rows};

use super::{
    Called, Catalog, CatalogError, EventTrigger, FloorView, ForeignKey, Function, Guard, Home, Index,
    Relation, TableColumn, Unique, ancestors, is_own,
};
use crate::classification::Classification;
use crate::once::once;
use crate::rewrite::FLOOR_SCHEMA;
use crate::system;

/// A column as the query writes it: name, type, flags, a domain's base type, what it is generated from.
type Written<'a> = (
    std::borrow::Cow<'a, str>,
    std::borrow::Cow<'a, str>,
    u8,
    Option<std::borrow::Cow<'a, str>>,
    Option<Vec<std::borrow::Cow<'a, str>>>,
);

const GENERATED: u8 = 1;
const DEFAULT: u8 = 2;
const CODE: u8 = 4;
const PLANNED: u8 = 8;
const NOT_NULL: u8 = 16;
/// What a value of any type can be handed on as.
const WITHOUT_CODE: &str = "text";

fn cell(row: Row<'_>, index: usize) -> Result<&str, CatalogError> {
    row.get(index).ok_or(CatalogError("a row is too short or has a NULL"))
}

fn truth(row: Row<'_>, index: usize) -> Result<bool, CatalogError> {
    Ok(cell(row, index)? == "true")
}

/// Many names are equal: each is kept once.
#[derive(Default)]
struct Names(HashSet<Arc<str>>);

impl Names {
    fn once(&mut self, text: &str) -> Arc<str> {
        once(&mut self.0, text)
    }

    fn all(&mut self, json: &str) -> Result<Vec<Arc<str>>, CatalogError> {
        let list: Vec<std::borrow::Cow<'_, str>> =
            serde_json::from_str(json).map_err(|_| CatalogError("a list of columns is none"))?;
        Ok(list.iter().map(|name| self.once(name)).collect())
    }

    fn extension(&mut self, name: &str) -> Option<Arc<str>> {
        (!name.is_empty()).then(|| self.once(name))
    }
}

/// The catalog while it is read.
#[derive(Default)]
struct Reading {
    catalog: Catalog,
    names: Names,
    by_oid: HashMap<u32, RelationName>,
}

impl Catalog {
    /// From the rows of [`super::QUERIES`], in their order, under a classification.
    ///
    /// # Errors
    /// Rows that do not fit.
    pub fn build(
        version: u64,
        results: &[Vec<Vec<Option<String>>>],
        classification: Option<&Arc<Classification>>,
    ) -> Result<Self, CatalogError> {
        let results: Vec<Rows> = results.iter().map(|rows| rows.iter().cloned().collect()).collect();
        Self::of_rows(version, &results, classification)
    }

    /// The same from rows as they were asked for.
    ///
    /// # Errors
    /// Rows that do not fit.
    pub fn of_rows(
        version: u64,
        results: &[Rows],
        classification: Option<&Arc<Classification>>,
    ) -> Result<Self, CatalogError> {
        let [
            _,
            session,
            _,
            relations,
            columns,
            constraints,
            inherits,
            views,
            functions,
            operators,
            types,
            called,
            definitions,
            _,
            floor,
            // An older gateway does not ask for what follows.
            more @ ..,
        ] = results
        else {
            return Err(CatalogError("not as many results as queries"));
        };
        let mut reading = Reading::default();
        reading.catalog.version = version;
        reading.catalog.digest = digest(results);
        reading.session(session.iter().next().ok_or(CatalogError("no session row"))?)?;
        reading.relations(relations)?;
        reading.columns(columns)?;
        reading.constraints(constraints)?;
        reading.inherits(inherits)?;
        reading.views(views)?;
        reading.functions(functions)?;
        reading.operators(operators)?;
        reading.types(types)?;
        reading.coded_rows();
        reading.called(called)?;
        reading.definitions(definitions)?;
        reading.floor(floor)?;
        if let [rows, triggers] = more {
            reading.rows(rows)?;
            reading.triggers(triggers)?;
        } else if !more.is_empty() {
            return Err(CatalogError("not as many results as queries"));
        }
        let mut catalog = reading.catalog;
        catalog.own = own(&catalog);
        catalog.attach(classification);
        Ok(catalog)
    }
}

impl Reading {
    fn session(&mut self, row: Row<'_>) -> Result<(), CatalogError> {
        self.catalog.path =
            cell(row, 2)?.split(',').filter(|schema| !schema.is_empty()).map(Arc::from).collect();
        Ok(())
    }

    fn relations(&mut self, rows: &Rows) -> Result<(), CatalogError> {
        self.catalog.relations.reserve(rows.len());
        for row in rows.iter() {
            let name =
                RelationName { schema: self.names.once(cell(row, 0)?), name: self.names.once(cell(row, 1)?) };
            self.catalog.names.insert(name.name.clone());
            // What is in it belongs to nobody who asks.
            if &*name.schema == FLOOR_SCHEMA {
                continue;
            }
            let kind = cell(row, 2)?.bytes().next().unwrap_or(b'?');
            let oid = number(cell(row, 4)?)?;
            let extension = self.names.extension(cell(row, 5)?);
            self.by_oid.insert(oid, name.clone());
            // An older gateway does not ask for it.
            let called = row.get(6).unwrap_or_default();
            let called = called.split(',').filter(|name| !name.is_empty()).map(|name| self.names.once(name));
            let called = called.collect();
            let active = truth(row, 3)?;
            let relation = Relation { kind, active, oid, extension, called, ..Relation::default() };
            self.catalog.relations.insert(name, Box::new(relation));
        }
        Ok(())
    }

    /// The relation of an oid; `None` for what is none of ours: an index, something temporary.
    fn named(&self, row: Row<'_>, index: usize) -> Result<Option<&RelationName>, CatalogError> {
        let oid = cell(row, index)?;
        if oid.is_empty() {
            return Ok(None);
        }
        Ok(self.by_oid.get(&number(oid)?))
    }

    fn columns(&mut self, rows: &Rows) -> Result<(), CatalogError> {
        for row in rows.iter() {
            let Some(name) = self.named(row, 0)?.cloned() else { continue };
            let written: Vec<Written<'_>> = serde_json::from_str(cell(row, 1)?)
                .map_err(|_| CatalogError("the columns of a relation are none"))?;
            let Some(relation) = self.catalog.relations.get_mut(&name) else { continue };
            relation.columns.reserve_exact(written.len());
            for (name, typ, flags, base, from) in written {
                let (name, typ) = (self.names.once(&name), self.names.once(&typ));
                // An older gateway does not ask for what else has no code.
                let base = match base {
                    Some(base) => self.names.once(&base),
                    None if flags & CODE != 0 => self.names.once(WITHOUT_CODE),
                    None => typ.clone(),
                };
                let generated_from =
                    from.unwrap_or_default().iter().map(|name| self.names.once(name)).collect();
                if flags & CODE != 0 {
                    relation.checks.push(vec![name.clone()]);
                }
                relation.columns.push(TableColumn {
                    name,
                    typ,
                    base,
                    generated: flags & GENERATED != 0,
                    default: flags & DEFAULT != 0,
                    generated_from,
                    code: flags & CODE != 0,
                    planned: flags & PLANNED != 0,
                    not_null: flags & NOT_NULL != 0,
                });
            }
        }
        Ok(())
    }

    fn constraints(&mut self, rows: &Rows) -> Result<(), CatalogError> {
        for row in rows.iter() {
            let Some(name) = self.named(row, 1)?.cloned() else { continue };
            let target = self.named(row, 3)?.cloned();
            let mut columns = self.names.all(cell(row, 2)?)?;
            let to_columns = self.names.all(cell(row, 4)?)?;
            let flag = truth(row, 5)?;
            let Some(relation) = self.catalog.relations.get_mut(&name) else { continue };
            let kind = cell(row, 0)?;
            if kind != "f" {
                let mut seen = HashSet::new();
                columns.retain(|column| seen.insert(column.clone()));
            }
            match (kind, target) {
                ("p" | "u", _) => {
                    if kind == "p" {
                        relation.primary_key.clone_from(&columns);
                    }
                    relation.uniques.push(Unique { columns, null_conflicts: flag });
                }
                ("c" | "k", _) => {
                    columns.sort_unstable();
                    if kind == "k" {
                        relation.partition_key.clone_from(&columns);
                    }
                    relation.checks.push(columns);
                }
                ("a", _) => relation.standing.push(columns),
                ("i", _) => relation.indexes.push(Index { columns, by: to_columns }),
                ("m", _) => relation.arrivals.extend(columns),
                ("s", Some(with)) => relation.draws.push((columns, with)),
                ("f", Some(to)) => {
                    let key = Arc::new(ForeignKey { columns, to: to.clone(), to_columns, cascades: flag });
                    relation.references.push(key.clone());
                    if let Some(other) = self.catalog.relations.get_mut(&to) {
                        other.referenced.push((name, key));
                    }
                }
                (_, _) => return Err(CatalogError("a constraint of a kind that was not asked for")),
            }
        }
        Ok(())
    }

    fn inherits(&mut self, rows: &Rows) -> Result<(), CatalogError> {
        for row in rows.iter() {
            let (Some(child), Some(parent)) = (self.named(row, 0)?.cloned(), self.named(row, 1)?.cloned())
            else {
                continue;
            };
            if let Some(relation) = self.catalog.relations.get_mut(&child) {
                relation.parents.push(parent.clone());
            }
            if let Some(relation) = self.catalog.relations.get_mut(&parent) {
                relation.children.push(child);
            }
        }
        self.partition_keys();
        Ok(())
    }

    /// A row that does not fit a partition is refused by the partition, too. From the top down, each once; and what is above
    /// is split as what is below it is.
    fn partition_keys(&mut self) {
        let split = self.catalog.relations.iter();
        let split: Vec<(RelationName, Vec<Arc<str>>)> = split
            .filter(|(_, relation)| !relation.partition_key.is_empty())
            .map(|(name, relation)| (name.clone(), relation.partition_key.clone()))
            .collect();
        let tops = self.catalog.relations.iter().filter(|(_, relation)| relation.parents.is_empty());
        let mut next: Vec<RelationName> =
            tops.filter(|(_, relation)| relation.kind == b'p').map(|(name, _)| name.clone()).collect();
        while let Some(top) = next.pop() {
            let Some(relation) = self.catalog.relations.get(&top) else { continue };
            let (checks, children) = (relation.checks.clone(), relation.children.clone());
            let key = relation.partition_key.clone();
            for child in children {
                let Some(relation) = self.catalog.relations.get_mut(&child) else { continue };
                let known = &relation.checks;
                let new: Vec<_> = checks.iter().filter(|check| !known.contains(check)).cloned().collect();
                relation.checks.extend(new);
                relation.partition_key.extend(key.iter().cloned());
                next.push(child);
            }
        }
        for (name, key) in split {
            for above in ancestors(&self.catalog, &name) {
                let Some(relation) = self.catalog.relations.get_mut(&above) else { continue };
                let known = &relation.partition_key;
                let new: Vec<_> = key.iter().filter(|column| !known.contains(column)).cloned().collect();
                relation.partition_key.extend(new);
            }
        }
    }

    fn rows(&mut self, rows: &Rows) -> Result<(), CatalogError> {
        for row in rows.iter() {
            let Some(name) = self.named(row, 1)?.cloned() else { continue };
            match cell(row, 0)? {
                "c" => {
                    let columns = self.names.all(cell(row, 3)?)?;
                    self.placed_by(&name, &columns);
                }
                "p" => {
                    let guard = self.guard(row)?;
                    if let Some(relation) = self.catalog.relations.get_mut(&name) {
                        relation.guard = Some(Arc::new(guard));
                    }
                }
                _ => return Err(CatalogError("a decision of a kind that was not asked for")),
            }
        }
        Ok(())
    }

    /// A child has rows by the values of these columns, and so has whatever inherits from it, or from what it inherits from: what
    /// may not be in the one is in another.
    fn placed_by(&mut self, child: &RelationName, columns: &[Arc<str>]) {
        let mut next = vec![child.clone()];
        for above in ancestors(&self.catalog, child) {
            if let Some(relation) = self.catalog.relations.get_mut(&above) {
                relation.placed.push(child.clone());
                next.extend(relation.children.iter().cloned());
            }
        }
        let mut seen = HashSet::new();
        while let Some(name) = next.pop() {
            let Some(relation) = self.catalog.relations.get_mut(&name) else { continue };
            if seen.insert(name) {
                relation.placed_by.extend(columns.iter().map(|column| (child.clone(), column.clone())));
                next.extend(relation.children.iter().cloned());
            }
        }
    }

    fn guard(&mut self, row: Row<'_>) -> Result<Guard, CatalogError> {
        let pairs = |index: usize| -> Result<Vec<(String, String)>, CatalogError> {
            serde_json::from_str(cell(row, index)?)
                .map_err(|_| CatalogError("what a policy reads is no list"))
        };
        let mut guard =
            Guard { freed: self.names.all(cell(row, 2)?)?.into_iter().collect(), ..Guard::default() };
        for (oid, column) in pairs(3)? {
            match self.by_oid.get(&number(&oid)?) {
                Some(name) => {
                    let column = (!column.is_empty()).then(|| self.names.once(&column));
                    guard.reads.push((name.clone(), column));
                }
                None => guard.reads_more = true,
            }
        }
        for (schema, name) in pairs(4)? {
            guard.calls.push(RelationName { schema: self.names.once(&schema), name: self.names.once(&name) });
        }
        Ok(guard)
    }

    fn triggers(&mut self, rows: &Rows) -> Result<(), CatalogError> {
        for row in rows.iter() {
            let tags = cell(row, 0)?.split(',').filter(|tag| !tag.is_empty()).map(Arc::from).collect();
            let function = RelationName::new(cell(row, 1)?, cell(row, 2)?);
            let extension = Arc::from(cell(row, 3)?);
            self.catalog.triggers.push(EventTrigger { tags, function, extension });
        }
        Ok(())
    }

    fn views(&mut self, rows: &Rows) -> Result<(), CatalogError> {
        for row in rows.iter() {
            let Some(view) = self.named(row, 0)?.cloned() else { continue };
            let (read, call) = (self.named(row, 1)?.cloned(), cell(row, 2)?);
            // An older gateway does not ask for its schema; then its name is all that there is.
            let schema = row.get(3).filter(|schema| !schema.is_empty()).unwrap_or("pg_catalog");
            let call = (!call.is_empty())
                .then(|| RelationName { schema: self.names.once(schema), name: self.names.once(call) });
            let Some(relation) = self.catalog.relations.get_mut(&view) else { continue };
            relation.reads.extend(read);
            relation.calls.extend(call);
        }
        Ok(())
    }

    fn functions(&mut self, rows: &Rows) -> Result<(), CatalogError> {
        for row in rows.iter() {
            let function =
                Function { stable: truth(row, 2)?, one_argument: truth(row, 3)?, procedure: truth(row, 4)? };
            let (schema, name) = (self.names.once(cell(row, 0)?), self.names.once(cell(row, 1)?));
            if &*schema == "pg_catalog" {
                self.catalog.builtin.insert(name, function);
                continue;
            }
            let extension = self.names.extension(cell(row, 5)?);
            let oids = cell(row, 6)?.split(',').map(number).collect::<Result<_, _>>()?;
            self.catalog.homes.entry(name.clone()).or_default().push(Home { schema, extension, oids });
            let known = self.catalog.user.entry(name).or_insert(function);
            known.stable &= function.stable;
            known.one_argument |= function.one_argument;
            known.procedure |= function.procedure;
        }
        Ok(())
    }

    fn operators(&mut self, rows: &Rows) -> Result<(), CatalogError> {
        for row in rows.iter() {
            let name = self.names.once(cell(row, 0)?);
            let extensions: Vec<_> =
                cell(row, 1)?.split(',').filter_map(|name| self.names.extension(name)).collect();
            if !extensions.is_empty() {
                self.catalog.extension_operators.insert(name.clone(), extensions);
            }
            self.catalog.operators.insert(name);
        }
        Ok(())
    }

    fn types(&mut self, rows: &Rows) -> Result<(), CatalogError> {
        for row in rows.iter() {
            let (schema, name) = (self.names.once(cell(row, 0)?), self.names.once(cell(row, 1)?));
            let extension = self.names.extension(cell(row, 3)?);
            match (&*schema, cell(row, 2)?, extension) {
                (_, "x", _) => drop(self.catalog.own_types.insert(name)),
                ("pg_catalog", _, _) => {
                    self.catalog.builtin_types.insert(name);
                }
                (_, "e", _) => self.catalog.enums.entry(name).or_default().push(schema),
                (_, _, extension @ Some(_)) => {
                    let home = Home { schema, extension, oids: Vec::new() };
                    self.catalog.extension_types.entry(name).or_default().push(home);
                }
                (_, _, None) => drop(self.catalog.own_types.insert(name)),
            }
        }
        Ok(())
    }

    /// A row is made by what makes its columns.
    fn coded_rows(&mut self) {
        let coded = self
            .catalog
            .relations
            .iter()
            .filter(|(_, relation)| relation.columns.iter().any(|column| column.code));
        self.catalog.own_types.extend(coded.map(|(name, _)| name.name.clone()));
    }

    fn called(&mut self, rows: &Rows) -> Result<(), CatalogError> {
        for row in rows.iter() {
            let function = RelationName::new(cell(row, 1)?, cell(row, 2)?);
            let (what, extension) = (cell(row, 0)?.to_owned(), cell(row, 3)?.to_owned());
            self.catalog.called.push(Called { what, function, extension });
        }
        Ok(())
    }

    fn definitions(&mut self, rows: &Rows) -> Result<(), CatalogError> {
        for row in rows.iter() {
            let Some(view) = self.named(row, 0)?.cloned() else { continue };
            let text = cell(row, 1)?.trim().trim_end_matches(';');
            let Some(relation) = self.catalog.relations.get_mut(&view) else { continue };
            if text.is_empty() {
                self.catalog.altered = true;
            } else {
                relation.introspects = system::may_introspect(text);
                relation.definition = Some(Arc::from(text));
            }
        }
        Ok(())
    }

    fn floor(&mut self, rows: &Rows) -> Result<(), CatalogError> {
        for row in rows.iter() {
            let (view, about) = (self.names.once(cell(row, 0)?), Arc::from(cell(row, 1)?));
            let granted = self.names.all(cell(row, 2)?)?.into_iter().collect();
            self.catalog.floor.push(FloorView { view, about, granted });
        }
        Ok(())
    }
}

fn own(catalog: &Catalog) -> Arc<[OwnRelation]> {
    let own = catalog.relations.iter().filter(|(name, _)| is_own(name));
    let mut own: Vec<OwnRelation> = own
        .map(|(name, relation)| OwnRelation {
            name: name.clone(),
            within: ancestors(catalog, name),
            oid: relation.oid,
        })
        .collect();
    own.sort_by(|one, other| one.name.cmp(&other.name));
    own.into()
}

fn number(text: &str) -> Result<u32, CatalogError> {
    text.parse().map_err(|_| CatalogError("an oid is no number"))
}

pub(super) fn digest(results: &[Rows]) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for cell in results.iter().flat_map(Rows::iter).flat_map(Row::cells) {
        let text = cell.unwrap_or("\u{0}");
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}
