//! A target's catalog at one moment: what names mean there. Built from the rows of [`QUERIES`], which the gateway runs
//! through the agent with the target's own role.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chaperone_access::RelationName;
use thiserror::Error;

/// The queries, in the order in which [`Catalog::build`] wants their rows. All columns are text. They name only what
/// PostgreSQL 13 to 18 have.
pub const QUERIES: [&str; 7] = [
    "select current_setting('server_version_num'), current_user::text, array_to_string(current_schemas(false), ',')",
    "select n.nspname::text, c.relname::text, c.relkind::text, (c.relhasrules or c.relrowsecurity or exists (select from pg_catalog.pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal))::text \
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
     where c.relkind in ('r','v','m','f','p','S') and n.nspname !~ '^pg_(toast|temp)' order by 1, 2",
    "select cn.nspname::text, c.relname::text, pn.nspname::text, p.relname::text from pg_catalog.pg_inherits i \
     join pg_catalog.pg_class c on c.oid = i.inhrelid join pg_catalog.pg_namespace cn on cn.oid = c.relnamespace \
     join pg_catalog.pg_class p on p.oid = i.inhparent join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace \
     order by 1, 2, 3, 4",
    "select distinct vn.nspname::text, v.relname::text, coalesce(rn.nspname::text, ''), coalesce(r.relname::text, ''), \
     coalesce(f.proname::text, '') from pg_catalog.pg_rewrite w \
     join pg_catalog.pg_class v on v.oid = w.ev_class join pg_catalog.pg_namespace vn on vn.oid = v.relnamespace \
     join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid \
     left join pg_catalog.pg_class r on d.refclassid = 'pg_catalog.pg_class'::regclass and r.oid = d.refobjid and r.oid <> v.oid \
     left join pg_catalog.pg_namespace rn on rn.oid = r.relnamespace \
     left join pg_catalog.pg_proc f on d.refclassid = 'pg_catalog.pg_proc'::regclass and f.oid = d.refobjid \
     where v.relkind in ('v','m') and vn.nspname not in ('pg_catalog','information_schema') \
     and (r.oid is not null or f.oid is not null) order by 1, 2, 3, 4, 5",
    "select n.nspname::text, p.proname::text, bool_and(p.provolatile in ('i','s'))::text, bool_or(p.pronargs - p.pronargdefaults <= 1 and p.pronargs >= 1)::text, \
     bool_or(p.prokind = 'p')::text from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace \
     group by 1, 2 order by 1, 2",
    "select distinct o.oprname::text from pg_catalog.pg_operator o join pg_catalog.pg_namespace n on n.oid = o.oprnamespace \
     where n.nspname <> 'pg_catalog' order by 1",
    "select n.nspname::text, t.typname::text, t.typtype::text from pg_catalog.pg_type t \
     join pg_catalog.pg_namespace n on n.oid = t.typnamespace where t.typtype in ('b','e','d','p','r','m') \
     and n.nspname !~ '^pg_(toast|temp)' order by 1, 2",
];

/// Rows that do not fit.
#[derive(Debug, Error)]
#[error("the target's catalog cannot be read: {0}")]
pub struct CatalogError(&'static str);

/// One relation.
#[derive(Debug, Default)]
pub(crate) struct Relation {
    /// `pg_class.relkind`.
    pub(crate) kind: u8,
    /// Rules, triggers or row security: a write does more than it says.
    pub(crate) active: bool,
    pub(crate) parents: Vec<RelationName>,
    pub(crate) children: Vec<RelationName>,
    /// What a view reads.
    pub(crate) reads: Vec<RelationName>,
    /// Functions that a view calls.
    pub(crate) calls: Vec<Arc<str>>,
}

/// One function name of a schema, all overloads together: a name is bad if one overload is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Function {
    pub(crate) stable: bool,
    pub(crate) one_argument: bool,
    pub(crate) procedure: bool,
}

/// The snapshot.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Number of this snapshot, counted by whoever loads it.
    pub version: u64,
    digest: [u8; 32],
    server_version: u32,
    path: Arc<[Arc<str>]>,
    pub(crate) relations: HashMap<RelationName, Relation>,
    /// Every relation's name without its schema.
    pub(crate) names: HashSet<Arc<str>>,
    /// `pg_catalog`'s own functions.
    pub(crate) builtin: HashMap<Arc<str>, Function>,
    /// All other functions, by name only.
    pub(crate) user: HashMap<Arc<str>, Function>,
    pub(crate) operators: HashSet<Arc<str>>,
    pub(crate) builtin_types: HashSet<Arc<str>>,
    /// Other types without code of their own, by name.
    pub(crate) enums: HashSet<Arc<str>>,
}

type Row = Vec<Option<String>>;

fn cell(row: &Row, index: usize) -> Result<&str, CatalogError> {
    row.get(index).and_then(Option::as_deref).ok_or(CatalogError("a row is too short or has a NULL"))
}

fn truth(row: &Row, index: usize) -> Result<bool, CatalogError> {
    Ok(cell(row, index)? == "true")
}

fn name(row: &Row, index: usize) -> Result<RelationName, CatalogError> {
    Ok(RelationName::new(cell(row, index)?, cell(row, index + 1)?))
}

impl Catalog {
    /// From the rows of [`QUERIES`], in their order.
    ///
    /// # Errors
    /// Rows that do not fit.
    pub fn build(version: u64, results: &[Vec<Row>]) -> Result<Self, CatalogError> {
        let [session, relations, inherits, views, functions, operators, types] = results else {
            return Err(CatalogError("not as many results as queries"));
        };
        let mut catalog = Self { version, digest: digest(results), ..Self::default() };
        let session = session.first().ok_or(CatalogError("no session row"))?;
        catalog.server_version = cell(session, 0)?.parse().map_err(|_| CatalogError("no server version"))?;
        catalog.path =
            cell(session, 2)?.split(',').filter(|schema| !schema.is_empty()).map(Arc::from).collect();
        for row in relations {
            let name = name(row, 0)?;
            let kind = cell(row, 2)?.bytes().next().unwrap_or(b'?');
            catalog.names.insert(name.name.clone());
            catalog.relations.insert(name, Relation { kind, active: truth(row, 3)?, ..Relation::default() });
        }
        for row in inherits {
            let (child, parent) = (name(row, 0)?, name(row, 2)?);
            if let Some(relation) = catalog.relations.get_mut(&child) {
                relation.parents.push(parent.clone());
            }
            if let Some(relation) = catalog.relations.get_mut(&parent) {
                relation.children.push(child);
            }
        }
        for row in views {
            let (view, read, call) = (name(row, 0)?, name(row, 2)?, cell(row, 4)?);
            let Some(relation) = catalog.relations.get_mut(&view) else { continue };
            if !read.name.is_empty() {
                relation.reads.push(read);
            }
            if !call.is_empty() {
                relation.calls.push(Arc::from(call));
            }
        }
        for row in functions {
            let function =
                Function { stable: truth(row, 2)?, one_argument: truth(row, 3)?, procedure: truth(row, 4)? };
            let known = if cell(row, 0)? == "pg_catalog" { &mut catalog.builtin } else { &mut catalog.user };
            known.insert(Arc::from(cell(row, 1)?), function);
        }
        for row in operators {
            catalog.operators.insert(Arc::from(cell(row, 0)?));
        }
        for row in types {
            let known = match (cell(row, 0)?, cell(row, 2)?) {
                ("pg_catalog", _) => &mut catalog.builtin_types,
                (_, "e") => &mut catalog.enums,
                (_, _) => continue,
            };
            known.insert(Arc::from(cell(row, 1)?));
        }
        Ok(catalog)
    }

    /// SHA-256 over everything that was read.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The schemas in which a fresh session of the target's role looks for names.
    #[must_use]
    pub fn path(&self) -> Arc<[Arc<str>]> {
        self.path.clone()
    }

    /// How many relations of the target's own there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.own().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own().next().is_none()
    }

    /// The target's own relations, as policies name them.
    pub fn own(&self) -> impl Iterator<Item = &RelationName> {
        self.relations.keys().filter(|name| !matches!(&*name.schema, "pg_catalog" | "information_schema"))
    }

    /// The relations that one is in, nearest first: a partition's parents.
    #[must_use]
    pub fn above(&self, name: &RelationName) -> Vec<RelationName> {
        ancestors(self, name)
    }

    /// Version of the server, as `server_version_num`.
    #[must_use]
    pub fn server_version(&self) -> u32 {
        self.server_version
    }

    /// Resolve a name as the session would: `pg_catalog` first, then the path.
    pub(crate) fn resolve(
        &self,
        schema: &str,
        name: &str,
        path: &[Arc<str>],
    ) -> Option<(&RelationName, &Relation)> {
        if !schema.is_empty() {
            return self.relations.get_key_value(&RelationName::new(schema, name));
        }
        let listed = path.iter().any(|schema| &**schema == "pg_catalog");
        let first = (!listed).then_some("pg_catalog");
        first
            .into_iter()
            .chain(path.iter().map(|schema| &**schema))
            .find_map(|schema| self.relations.get_key_value(&RelationName::new(schema, name)))
    }
}

fn digest(results: &[Vec<Row>]) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for cell in results.iter().flatten().flatten() {
        let text = cell.as_deref().unwrap_or("\u{0}");
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
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
