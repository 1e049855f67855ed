//! A restricted caller's statement is written anew: every relation that he sees in part is replaced, where it is read, by
//! a sub-select that reads only what he may see; every name is qualified; common table expressions get names that no
//! table has. What is executed is what was understood.
//!
//! - `relation`: what a name stands for, and what stands in its place
//! - `mask`: what stands in the place of a column
//! - `times`: what stands for times, whatever zone the session is in
//! - `barrier`: views at the target that stand in the place of sub-selects
//! - `look`: what stands before the arguments of functions that describe objects
//! - `traces`: what rows tell beside their columns
//! - `bare`: relations by their names where nothing else of them can be named
//! - `star`: lists of columns in the place of `*`
//! - `query`: SELECT and what it consists of
//! - `grouped`: GROUP BY of a key that a sub-select hides
//! - `expression`: everything in it that computes
//! - `write`: INSERT, UPDATE, DELETE, MERGE, whose target cannot be replaced
//! - `utility`: statements around others, COPY
//! - `temporary`: the session's own tables
//! - `check`: the independent look at what is sent
//!
//! The argument does not rest on scoping being judged right: after rewriting, a relation that is seen in part stands only
//! in a generated sub-select, as the target of a write, or alone in a SELECT without another query in it of which every name
//! that could be a column's is a revealed one's; and every other name is qualified or one that no table has.

mod bare;
mod barrier;
mod check;
mod expression;
mod grouped;
mod look;
mod mask;
mod query;
mod relation;
mod star;
mod temporary;
mod times;
mod traces;
mod utility;
mod write;

use std::cell::OnceCell;
use std::sync::Arc;

use chaperone_access::{Refusal, RefusalCode, RelationName, RelationScope, Scope};
use pg_query::protobuf::{Node, ParseResult};
use pg_query::{DeparseOptions, NodeEnum, ParserOptions};

use crate::catalog::Catalog;
use crate::system::Telling;
use crate::tree::{self, Value, alike};
pub(crate) use barrier::Barrier;
pub use barrier::{BarrierView, FLOOR_CALLER, FLOOR_CALLERS, FLOOR_KEY, FLOOR_SCHEMA, FLOOR_SESSION};
use check::Generated;
pub(crate) use mask::literal;
pub(crate) use temporary::is_serial;
use write::Target;

/// Where a text's names are looked up.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) catalog: &'a Catalog,
    /// Schemas in order.
    pub(crate) path: &'a [Arc<str>],
    /// The session's temporary relations.
    pub(crate) temporary: &'a [Arc<str>],
}

/// What may be put in the place of what a text names, in bytes: a name of a few letters can stand for some thousand of them.
const MADE_BYTES_MAX: usize = 1024 * 1024;

/// The system column that names a row's own table.
const TABLEOID: &str = "tableoid";
/// The system column that names the transaction which made a row.
const XMIN: &str = "xmin";

type Outcome<T = ()> = Result<T, Refusal>;

/// A statement that could not be written out as it was understood.
pub(crate) fn unfaithful() -> Refusal {
    Refusal::new(RefusalCode::NotUnderstood, "the statement cannot be written out faithfully")
        .hint("write it in another way")
}

/// A construct that a restricted caller may not use.
fn refused<T>(what: impl Into<String>, hint: &str) -> Outcome<T> {
    Err(Refusal::new(RefusalCode::NotUnderstood, what).hint(hint))
}

/// Something that would tell about what the caller may not see; `what` is named, not told.
fn hidden<T>(what: impl std::fmt::Display) -> Outcome<T> {
    Err(Refusal::new(RefusalCode::NotPermitted, format!("{what} is not permitted"))
        .hint("`chaperone policy explain` shows which columns and rows you see"))
}

/// The same, where something else does.
fn hidden_but<T>(what: impl std::fmt::Display, instead: &str) -> Outcome<T> {
    hidden(what).map_err(|refusal: Refusal| {
        refusal.hint(format!("{instead}; `chaperone policy explain` shows which columns and rows you see"))
    })
}

/// The words that are sent for a caller of that scope. The text has been walked before and keeps to the grammar.
///
/// # Errors
/// It cannot be vouched for.
pub(crate) fn rewrite(text: &str, place: Place<'_>, scope: &Scope) -> Outcome<Arc<str>> {
    if let Some(unfit) = place.catalog.unfit.first() {
        return Err(Refusal::new(
            RefusalCode::NotUnderstood,
            format!("the target cannot be served under restricted scopes: {}", unfit.what),
        )
        .hint(unfit.hint.clone()));
    }
    let mut tree = parse(text)?;
    let mut rewriter = Rewriter::new(place, scope);
    if text.contains(TABLEOID) || text.contains(XMIN) {
        rewriter.write_stars_out(&mut tree)?;
    }
    rewriter.tableoid = names_column(TABLEOID, text, &tree);
    rewriter.xmin = names_column(XMIN, text, &tree);
    rewriter.locks = traces::names_locks(text);
    for raw in &mut tree.stmts {
        if let Some(statement) = &mut raw.stmt {
            rewriter.statement(statement)?;
        }
        (raw.stmt_location, raw.stmt_len) = (0, 0);
    }
    let sent = write_out(&tree)?;
    let meant = tree::of(&tree).ok_or_else(unfaithful)?;
    let again = tree::parse(&sent).map_err(|_| unfaithful())?;
    if !alike(&again.tree, &meant) {
        return Err(unfaithful());
    }
    if !rewriter.generated.holds(&again.tree, rewriter.telling(), scope) {
        return Err(unfaithful());
    }
    Ok(Arc::from(sent))
}

/// Whether a system column is named, and no `*` would show it, and no NATURAL join compare it, unasked.
fn names_column(column: &str, text: &str, tree: &ParseResult) -> bool {
    if !text.contains(column) {
        return false;
    }
    let Some(tree) = tree::of(tree) else { return false };
    let (mut named, mut star) = (false, false);
    tree.each(&mut |fields| {
        let items = fields.get("fields").and_then(Value::as_array);
        star |= items.into_iter().flatten().filter_map(tree::node).any(|(kind, _)| kind == "AStar");
        star |= tree::flag(fields, "is_natural");
        named |= tree::strings(fields, "fields").last() == Some(&column);
    });
    named && !star
}

/// The same of a text that is one of the target's own.
fn names_in(column: &str, text: &str) -> bool {
    text.contains(column) && parse(text).is_ok_and(|tree| names_column(column, text, &tree))
}

fn parse(text: &str) -> Outcome<ParseResult> {
    pg_query::parse(text, ParserOptions::default()).map(|parsed| parsed.protobuf).map_err(|_| unfaithful())
}

fn write_out(tree: &ParseResult) -> Outcome<String> {
    pg_query::deparse(tree, DeparseOptions::default()).map_err(|_| unfaithful())
}

/// One text being rewritten.
struct Rewriter<'a> {
    catalog: &'a Catalog,
    path: &'a [Arc<str>],
    scope: &'a Scope,
    /// Temporary relations: the session's, and those that this text makes.
    temporary: Vec<Arc<str>>,
    /// Names of common table expressions that can be seen here, innermost scope last: the text's and ours.
    ctes: Vec<Vec<(String, String)>>,
    /// What may stand in what is sent.
    generated: Generated,
    /// The target of the write that is being rewritten.
    target: Option<Target<'a>>,
    /// Views that are being expanded.
    views: Vec<RelationName>,
    ctes_made: usize,
    /// Bytes that were put in the place of what the text names.
    made: usize,
    /// What is gone through is handed to a function whose look takes it twice.
    doubling: bool,
    /// In EXPLAIN: what is seen in part is not even planned for.
    explaining: bool,
    /// The text names `tableoid`, and no `*` would show it unasked.
    tableoid: bool,
    /// The same of `xmin`.
    xmin: bool,
    /// The text may name `xmax`, which tells of locks.
    locks: bool,
    /// Rows of what is in FROM are locked.
    locking: bool,
    /// What catalogs tell the caller, made when it is first needed.
    telling: OnceCell<Telling<'a>>,
    /// What is gone through is our own text about system relations: every name in it is complete, and those relations
    /// stand in it for themselves.
    introspecting: bool,
}

impl<'a> Rewriter<'a> {
    fn new(place: Place<'a>, scope: &'a Scope) -> Self {
        Self {
            catalog: place.catalog,
            path: place.path,
            scope,
            temporary: place.temporary.to_vec(),
            ctes: Vec::new(),
            generated: Generated::default(),
            target: None,
            views: Vec::new(),
            ctes_made: 0,
            made: 0,
            doubling: false,
            explaining: false,
            tableoid: false,
            xmin: false,
            locks: false,
            locking: false,
            telling: OnceCell::new(),
            introspecting: false,
        }
    }

    /// Something of that many bytes is put in the place of what the text names.
    fn makes(&mut self, bytes: usize) -> Outcome {
        self.made = self.made.saturating_add(bytes);
        if self.made <= MADE_BYTES_MAX {
            return Ok(());
        }
        let max = MADE_BYTES_MAX / 1024;
        let what = format!(
            "what stands in the place of the relations and columns that are named has more than {max} KiB"
        );
        Err(Refusal::new(RefusalCode::TooComplex, what).hint("split the statement"))
    }

    /// Whether nothing at all is hidden: neither by a classification nor by the caller's credential.
    fn is_open(&self) -> bool {
        is_open(self.catalog, self.scope)
    }

    fn telling(&self) -> &Telling<'a> {
        let temporary = !self.temporary.is_empty();
        self.telling.get_or_init(|| Telling::new(self.catalog, self.scope.described.as_ref(), temporary))
    }

    /// Complete our own text about system relations: nothing of what is around it is seen in there.
    fn introspect<T>(&mut self, complete: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        let outside = (self.target.take(), std::mem::take(&mut self.ctes), self.introspecting);
        self.introspecting = true;
        let done = complete(self);
        (self.target, self.ctes, self.introspecting) = outside;
        done
    }

    /// What the caller sees of a relation.
    fn seen(&self, name: &RelationName) -> Outcome<&'a RelationScope> {
        match self.scope.relations.get(name) {
            Some(seen) => Ok(seen),
            // Not among what was decided: nobody said that it may be seen.
            None => hidden(format!("to see anything of `{name}`")),
        }
    }
}

/// Whether nothing at all is hidden from a caller of that scope.
fn is_open(catalog: &Catalog, scope: &Scope) -> bool {
    catalog.classification.is_none() && scope.is_whole()
}

/// A node of a kind.
fn node(kind: NodeEnum) -> Node {
    Node { node: Some(kind) }
}

fn string(text: &str) -> Node {
    node(NodeEnum::String(pg_query::protobuf::String { sval: text.to_owned() }))
}

/// The text of a String node.
fn sval(node: &Node) -> Option<&str> {
    match &node.node {
        Some(NodeEnum::String(text)) => Some(&text.sval),
        Some(_) | None => None,
    }
}

/// The one expression of a text that is ours.
fn our_expression(text: &str) -> Outcome<Node> {
    let mut select = our_select(&format!("SELECT {text}"))?;
    match select.target_list.pop().and_then(|item| item.node) {
        Some(NodeEnum::ResTarget(item)) => item.val.map(|value| *value).ok_or_else(unfaithful),
        Some(_) | None => Err(unfaithful()),
    }
}

/// The one SELECT of a text.
fn our_select(text: &str) -> Outcome<pg_query::protobuf::SelectStmt> {
    let mut tree = parse(text)?;
    match (
        tree.stmts.pop().and_then(|raw| raw.stmt).and_then(|statement| statement.node),
        tree.stmts.is_empty(),
    ) {
        (Some(NodeEnum::SelectStmt(select)), true) => Ok(*select),
        (Some(_) | None, _) => Err(unfaithful()),
    }
}

/// The plain values of a tree.
fn values(node: &Node) -> Outcome<Value> {
    tree::of(node).ok_or_else(unfaithful)
}

#[cfg(test)]
pub(crate) mod tests;
