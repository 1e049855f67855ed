//! What a view's own query may do for whoever reads the view.

use chaperone_access::{Refusal, RefusalCode};

use super::{Found, Walk, XMAX};
use crate::catalog::{Catalog, Relation};
use crate::rewrite::{Place, unfaithful};
use crate::tree::{self, Value, text};

/// What is found in a view's query, as it `stands` at the target or in the view's place; `None` where it cannot be read.
fn query(catalog: &Catalog, definition: &str, stands: bool) -> Option<Vec<Found>> {
    let parsed = tree::parse(definition).ok()?;
    let place = Place { catalog, path: &[], temporary: &[] };
    let statements = parsed.statements(definition);
    let found = statements
        .iter()
        .map(|(statement, _)| Walk { stands, ..Walk::new(place, false) }.statement(statement));
    Some(found.collect())
}

fn first_refusal(found: Option<Vec<Found>>) -> Option<Refusal> {
    let Some(found) = found else { return Some(unfaithful()) };
    found.into_iter().find_map(|found| found.forbidden.or(found.refusal))
}

/// Why a view's definition may not be put in its place.
pub(crate) fn view_refusal(catalog: &Catalog, definition: &str) -> Option<Refusal> {
    first_refusal(query(catalog, definition, false))
}

/// Why a view may not stand for itself: the first thing in its query that could run code, or read what its reader may not. The
/// relations in it are for others to look at.
pub(crate) fn query_refusal<'c>(catalog: &'c Catalog, view: &'c Relation) -> Option<&'c Refusal> {
    let judge = || match view.definition.as_deref() {
        Some(definition) => first_refusal(query(catalog, definition, true)),
        None => {
            let what = "its definition is not known, because somebody alters what it reads";
            Some(Refusal::new(RefusalCode::NotUnderstood, what))
        }
    };
    view.judged.get_or_init(judge).as_ref()
}

/// Whether something is called like the column that tells of locks, or rows are locked: both ask what points to them.
pub(super) fn names_locks(value: &Value) -> bool {
    let mut found = false;
    value.each(&mut |fields| found |= text(fields, "sval") == XMAX || fields.get("locking_clause").is_some());
    found
}

/// Whether a view's text may lock the rows that it reads. Says so too often rather than too seldom.
pub(crate) fn takes_locks(text: &str) -> bool {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    words.windows(2).any(|pair| {
        matches!(pair, [first, second] if first.eq_ignore_ascii_case("for")
            && ["update", "share", "no", "key"].iter().any(|lock| second.eq_ignore_ascii_case(lock)))
    })
}

/// Whether a view's query asks the system about objects, or what nobody is told, so that it may not stand for itself.
pub(crate) fn introspects(catalog: &Catalog, definition: &str) -> bool {
    query(catalog, definition, true).is_none_or(|found| found.iter().any(|found| found.describes))
}
