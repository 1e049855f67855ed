//! What may stand at the target in the place of a generated sub-select: a view with a barrier, which belongs to a role that
//! nobody can be. What it shows is written by the same code as what stands in statements, and its name tells which words
//! it was made of: a classification that says something else has views of other names.

use std::collections::BTreeSet;
use std::sync::Arc;

pub use chaperone_access::FLOOR_SCHEMA;
use chaperone_access::{AttributeKind, Refusal, RefusalCode, RelationName, RelationScope, Scope, Showing};
use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, BoolExpr, BoolExprType, Node};
use serde::{Deserialize, Serialize};

use super::expression::each_reference;
use super::relation::{INSIDE, facts, shown_in_view};
use super::{
    Outcome, Place, Rewriter, mask, node, our_expression, parse, sval, times, unfaithful, write_out,
};
use crate::catalog::{Catalog, Relation};
use crate::classification::{RowFilter, type_of};
use crate::tree::{self, alike};
use crate::walk::quoted;

/// The view in it of what is said of the caller of one's own session: at most one row, its column `said` an object of texts.
pub const FLOOR_CALLER: &str = "caller";
/// The setting by which a session has the word that the table of callers knows it by, beside its process.
pub const FLOOR_SESSION: &str = "chaperone_floor.session";
/// The table in it of what is said of every session's caller.
pub const FLOOR_CALLERS: &str = "callers";
/// The table in it of the key that pseudonyms are made under: one row, which only the owner of the views reads.
pub const FLOOR_KEY: &str = "key";
/// Characters of a relation's name that begin its views' names.
const NAMED_MAX: usize = 40;
/// Hexadecimal digits of the digest that ends them.
const DIGITS: usize = 20;
/// Goes up whenever the same words come to mean another view.
const FORM: u8 = 3;

/// A view that has yet to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarrierView {
    /// Its name in [`FLOOR_SCHEMA`].
    pub name: String,
    /// What it shows of what: its comment, from which a gateway reads that it is there.
    pub about: String,
    /// Its query; every name in it is qualified.
    pub select: String,
    /// The relation's columns that it reads, for the rights of its owner.
    pub reads: BTreeSet<Arc<str>>,
    /// Whether it asks what is said of the caller.
    pub asks: bool,
}

/// A view of the floor that is there, and fits the classification in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Barrier {
    pub(crate) view: Arc<str>,
    showings: Arc<[Showing]>,
    filtered: bool,
    /// Roles that may read it.
    granted: BTreeSet<Arc<str>>,
}

/// The comment of a view.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    of: (Arc<str>, Arc<str>),
    /// For each column `r`evealed, `m`asked or `h`idden.
    columns: String,
    filtered: bool,
}

fn letter(showing: Showing) -> char {
    match showing {
        Showing::Revealed => 'r',
        Showing::Masked => 'm',
        Showing::Hidden => 'h',
    }
}

fn of_letter(letter: char) -> Option<Showing> {
    [Showing::Revealed, Showing::Masked, Showing::Hidden]
        .into_iter()
        .find(|showing| self::letter(*showing) == letter)
}

impl Barrier {
    /// Read what a view at the target says of itself; `None` where it is not what the classification would make.
    pub(crate) fn read(
        catalog: &Catalog,
        view: &Arc<str>,
        about: &str,
        granted: &BTreeSet<Arc<str>>,
    ) -> Option<(RelationName, Self)> {
        let About { of: (schema, name), columns, filtered } = serde_json::from_str(about).ok()?;
        let showings: Arc<[Showing]> = columns.chars().map(of_letter).collect::<Option<Vec<_>>>()?.into();
        let name = RelationName { schema, name };
        let expected = Words::of(catalog, &name, &showings, filtered).ok()?.view();
        (*expected == **view)
            .then(|| (name, Self { view: view.clone(), showings, filtered, granted: granted.clone() }))
    }

    pub(crate) fn is_for(&self, role: &str) -> bool {
        self.granted.contains(role)
    }

    pub(super) fn showings(&self) -> &[Showing] {
        &self.showings
    }

    pub(crate) fn is_filtered(&self) -> bool {
        self.filtered
    }

    /// Whether it shows exactly that.
    fn shows(&self, showings: &[Showing], all_rows: bool) -> bool {
        *self.showings == *showings && self.filtered != all_rows
    }

    /// Whether everything that is seen can be had through it.
    fn offers(&self, catalog: &Catalog, name: &RelationName, showings: &[Showing], all_rows: bool) -> bool {
        let columns = self.showings.iter().zip(showings).all(|pair| match pair {
            (Showing::Revealed, _) | (_, Showing::Hidden) | (Showing::Masked, Showing::Masked) => true,
            (Showing::Masked, Showing::Revealed) | (Showing::Hidden, Showing::Revealed | Showing::Masked) => {
                false
            }
        });
        let revealed = |column: &Arc<str>| {
            let mut shown = catalog.columns(name).zip(self.showings.iter());
            shown.any(|(known, showing)| known == column && *showing == Showing::Revealed)
        };
        let rows = match (self.filtered, all_rows) {
            (true, true) => false,
            (true, false) | (false, true) => true,
            // The filter stands in the statement.
            (false, false) => catalog.filter_columns(name).all(revealed),
        };
        columns && rows && self.showings.len() == showings.len()
    }
}

/// What a view is made of.
struct Words<'a> {
    name: &'a RelationName,
    /// The sub-select that would stand in a statement, its filter apart.
    plain: String,
    /// The types of its columns, which the sub-select does not tell.
    types: String,
    rows: Option<&'a RowFilter>,
}

impl<'a> Words<'a> {
    fn of(
        catalog: &'a Catalog,
        name: &'a RelationName,
        showings: &[Showing],
        filtered: bool,
    ) -> Outcome<Self> {
        let relation = catalog.relations.get(name).ok_or_else(unfaithful)?;
        let rows = match (filtered, catalog.rows(name)) {
            (false, _) => None,
            (true, Some(rows)) => Some(rows),
            (true, None) => {
                return Err(Refusal::new(
                    RefusalCode::Internal,
                    format!("the row filter of `{name}` cannot stand in a view"),
                ));
            }
        };
        let columns = shown_in_view(relation, facts(name, relation)?, showings, INSIDE)?;
        let types: Vec<&str> = relation.columns.iter().map(|column| &*column.typ).collect();
        let plain =
            format!("SELECT {columns} FROM {}.{} AS {INSIDE}", quoted(&name.schema), quoted(&name.name));
        Ok(Self { name, plain, types: types.join(", "), rows })
    }

    fn view(&self) -> String {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        let filter = self.rows.map_or_else(String::new, |rows| format!("{} {:?}", rows.text, rows.asks));
        for part in [&FORM.to_string(), &self.plain, &self.types, &filter] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let digest = context.finish();
        let mut name = self.name.name.to_string();
        while name.len() > NAMED_MAX {
            name.pop();
        }
        name.push('_');
        for byte in digest.as_ref().iter().take(DIGITS / 2) {
            name.push_str(&format!("{byte:02x}"));
        }
        name
    }

    /// The query of the view.
    fn select(&self, catalog: &Catalog) -> Outcome<String> {
        let scope = Scope::default();
        let mut rewriter = Rewriter::new(Place { catalog, path: &[], temporary: &[] }, &scope);
        let mut tree = parse(&self.plain)?;
        let statement = tree.stmts.first_mut().and_then(|raw| raw.stmt.as_mut());
        let Some(NodeEnum::SelectStmt(select)) = statement.and_then(|node| node.node.as_mut()) else {
            return Err(unfaithful());
        };
        rewriter.expressions(&mut select.target_list)?;
        select.target_list.iter_mut().try_for_each(ask_for_key)?;
        if let Some(rows) = self.rows {
            let relation = catalog.relations.get(self.name).ok_or_else(unfaithful)?;
            select.where_clause = Some(Box::new(rewriter.asked(relation, rows)?));
        }
        let written = write_out(&tree)?;
        let meant = tree::of(&tree).ok_or_else(unfaithful)?;
        let again = tree::parse(&written).map_err(|_| unfaithful())?;
        if alike(&again.tree, &meant) { Ok(written) } else { Err(unfaithful()) }
    }
}

impl Catalog {
    /// The view that shows that much of a relation: of each of its columns, in order, and its filter's rows only where
    /// `filtered`.
    ///
    /// # Errors
    /// The relation is not there or not classified, or its filter does not stand.
    pub fn barrier(
        &self,
        name: &RelationName,
        showings: &[Showing],
        filtered: bool,
    ) -> Result<BarrierView, Refusal> {
        let words = Words::of(self, name, showings, filtered)?;
        let relation = self.relations.get(name).ok_or_else(unfaithful)?;
        let known = facts(name, relation)?;
        let read = |showing: Showing, at: usize| match showing {
            Showing::Revealed => true,
            Showing::Masked => known.columns.get(at).is_some_and(mask::reads),
            Showing::Hidden => false,
        };
        let columns = relation.columns.iter().zip(showings).enumerate();
        let mut reads: BTreeSet<Arc<str>> = columns
            .filter(|(at, (_, showing))| read(**showing, *at))
            .map(|(_, (column, _))| column.name.clone())
            .collect();
        reads.extend(words.rows.iter().flat_map(|rows| rows.columns.iter().cloned()));
        let about = About {
            of: (name.schema.clone(), name.name.clone()),
            columns: showings.iter().copied().map(letter).collect(),
            filtered,
        };
        Ok(BarrierView {
            name: words.view(),
            about: serde_json::to_string(&about).map_err(|_| unfaithful())?,
            select: words.select(self)?,
            asks: words.rows.is_some_and(|rows| !rows.asks.is_empty()),
            reads,
        })
    }
}

impl<'a> Rewriter<'a> {
    /// The views of the floor through which this session reads a relation.
    fn barriers(&self, name: &RelationName) -> impl Iterator<Item = &'a Barrier> {
        let role = self.scope.under.as_ref().map(|under| under.role.clone());
        let known = self.catalog.barriers.get(name).into_iter().flatten();
        known.filter(move |barrier| role.as_ref().is_some_and(|role| barrier.is_for(role)))
    }

    /// Whether a relation is read through a view of the floor, so that its own columns may not be read.
    pub(super) fn is_under(&self, name: &RelationName) -> bool {
        self.barriers(name).next().is_some()
    }

    /// The view that can stand for what is seen of a relation, and whether it shows exactly that.
    pub(super) fn barrier(
        &self,
        name: &RelationName,
        relation: &Relation,
        (showings, all_rows): (&[Showing], bool),
    ) -> Outcome<Option<(&'a Barrier, bool)>> {
        let all_rows = all_rows || relation.filter.is_none();
        let exactly = self.barriers(name).find(|barrier| barrier.shows(showings, all_rows));
        let offering =
            || self.barriers(name).find(|barrier| barrier.offers(self.catalog, name, showings, all_rows));
        let Some(found) = exactly.or_else(offering) else { return Ok(None) };
        if found.filtered {
            told(self.scope, self.catalog, name)?;
        }
        Ok(Some((found, found.shows(showings, all_rows))))
    }

    /// A row filter's predicate with the questions that the floor answers in the place of what is said of the caller.
    /// Without an answer there are no rows, whatever else the predicate lets through; asked apart only where the predicate
    /// could do without, because each question costs a select by key as much as the select itself.
    fn asked(&mut self, relation: &Relation, rows: &RowFilter) -> Outcome<Node> {
        let attributes: Vec<(&Arc<str>, AttributeKind)> =
            rows.asks.iter().map(|(name, kind)| (name, *kind)).collect();
        let mut condition = our_expression(&format!("({})", rows.text))?;
        times::pin(&mut condition, relation)?;
        // Parameters stand for the questions until every other name is complete: theirs are.
        each_reference(&mut condition, &mut |reference| {
            let Some(NodeEnum::ColumnRef(column)) = &reference.node else { return Ok(false) };
            let names: Vec<&str> = column.fields.iter().filter_map(sval).collect();
            let ["caller", attribute] = names.as_slice() else { return Ok(false) };
            let place = attributes.iter().position(|(name, _)| ***name == **attribute);
            let (Some(place), Some((_, kind))) = (place, place.and_then(|place| attributes.get(place)))
            else {
                return Err(unfaithful());
            };
            *reference = our_expression(&format!("(${})::{}", place + 1, type_of(*kind)))?;
            Ok(true)
        })?;
        self.expression(&mut condition)?;
        let unsure: Vec<&Arc<str>> = (attributes.iter().enumerate())
            .filter(|(place, _)| !needs_answer(&condition, place + 1))
            .map(|(_, (name, _))| *name)
            .collect();
        each_reference(&mut condition, &mut |reference| {
            let Some(NodeEnum::ParamRef(parameter)) = &reference.node else { return Ok(false) };
            let place = usize::try_from(parameter.number).ok().and_then(|number| number.checked_sub(1));
            let (name, _) = place.and_then(|place| attributes.get(place)).ok_or_else(unfaithful)?;
            // Of one row by one key, and a text whatever its kind: each more is planned with every statement that is new.
            *reference = our_expression(&format!(
                "(SELECT c.said OPERATOR(pg_catalog.->>) {} FROM {FLOOR_SCHEMA}.{FLOOR_CALLER} AS c)",
                mask::literal(name)
            ))?;
            Ok(true)
        })?;
        if unsure.is_empty() {
            return Ok(condition);
        }
        let names: Vec<String> = unsure.iter().map(|name| mask::literal(name)).collect();
        let answered = our_expression(&format!(
            "(SELECT c.said OPERATOR(pg_catalog.?&) ARRAY[{}]::pg_catalog.text[] FROM {FLOOR_SCHEMA}.{FLOOR_CALLER} AS c)",
            names.join(", ")
        ))?;
        Ok(node(NodeEnum::BoolExpr(Box::new(BoolExpr {
            xpr: None,
            boolop: BoolExprType::AndExpr.into(),
            args: vec![answered, condition],
            location: 0,
        }))))
    }
}

/// Put what the floor keeps in the places that masks leave for the key of pseudonyms.
fn ask_for_key(item: &mut Node) -> Outcome {
    each_reference(item, &mut |reference| {
        let Some(NodeEnum::ParamRef(parameter)) = &reference.node else { return Ok(false) };
        let side = match parameter.number {
            1 => "outer_pad",
            _ => "inner_pad",
        };
        *reference = our_expression(&format!("(SELECT k.{side} FROM {FLOOR_SCHEMA}.{FLOOR_KEY} AS k)"))?;
        Ok(true)
    })
}

/// Whether a condition lets nothing through where there is no answer: one of the conditions that all have to hold compares
/// with the answer itself, and every comparison that a filter can have says nothing of NULL.
fn needs_answer(condition: &Node, number: usize) -> bool {
    let is_it = |side: &Option<Box<Node>>| side.as_deref().is_some_and(|side| is_parameter(side, number));
    match &condition.node {
        Some(NodeEnum::BoolExpr(it)) if it.boolop == i32::from(BoolExprType::AndExpr) => {
            it.args.iter().any(|part| needs_answer(part, number))
        }
        Some(NodeEnum::AExpr(it)) => {
            let kind = AExprKind::try_from(it.kind).unwrap_or(AExprKind::Undefined);
            matches!(kind, AExprKind::AexprOp | AExprKind::AexprOpAny | AExprKind::AexprOpAll)
                && (is_it(&it.lexpr) || is_it(&it.rexpr))
        }
        Some(_) | None => false,
    }
}

/// A parameter, through casts.
fn is_parameter(node: &Node, number: usize) -> bool {
    match &node.node {
        Some(NodeEnum::ParamRef(parameter)) => usize::try_from(parameter.number) == Ok(number),
        Some(NodeEnum::TypeCast(cast)) => {
            cast.arg.as_deref().is_some_and(|inner| is_parameter(inner, number))
        }
        Some(_) | None => false,
    }
}

/// Whether the floor was told what the filter of a relation asks, as it stands now.
fn told(scope: &Scope, catalog: &Catalog, name: &RelationName) -> Outcome {
    let Some(asks) = catalog.rows(name).map(|rows| &rows.asks).filter(|asks| !asks.is_empty()) else {
        return Ok(());
    };
    match scope.under.as_ref().and_then(|under| under.told.as_ref()) {
        Some(told) if asks.keys().all(|asked| told.get(&**asked) == scope.caller.get(&**asked)) => Ok(()),
        Some(_) => Err(Refusal::new(
            RefusalCode::NotPermitted,
            format!(
                "what your issuer says of you has changed since you connected, and `{name}` depends on it"
            ),
        )
        .hint("connect again")),
        None => Err(Refusal::new(
            RefusalCode::TargetUnavailable,
            format!("the target was not told whose rows of `{name}` to show"),
        )
        .hint("ask for the logs of gateway and agent: `floor` of the target in agent.toml tells it")),
    }
}

/// Whether a name in the floor's schema is a view that shows exactly what this caller sees of its relation.
pub(super) fn stands_alone(view: &str, catalog: &Catalog, scope: &Scope) -> bool {
    let Some(under) = &scope.under else { return false };
    let each = catalog.barriers.iter().flat_map(|(name, known)| known.iter().map(move |one| (name, one)));
    let Some((name, barrier)) = each.into_iter().find(|(_, barrier)| *barrier.view == *view) else {
        return false;
    };
    let filtered = catalog.relations.get(name).is_some_and(|relation| relation.filter.is_some());
    match scope.relations.get(name) {
        Some(RelationScope::Part { showings, all_rows }) => {
            barrier.is_for(&under.role)
                && barrier.shows(showings, *all_rows || !filtered)
                && (!barrier.filtered || told(scope, catalog, name).is_ok())
        }
        Some(RelationScope::Whole) | None => false,
    }
}

#[cfg(test)]
mod tests;
