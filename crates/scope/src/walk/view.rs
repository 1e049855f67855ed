//! What a view's own query may do, as the target has it.

use chaperone_access::{Refusal, RefusalCode};

use super::Walk;
use crate::catalog::{Catalog, Relation};
use crate::rewrite::Place;
use crate::tree;

/// Why a view's definition may not be put in its place.
pub(crate) fn view_refusal(catalog: &Catalog, definition: &str) -> Option<Refusal> {
    let parsed = match tree::parse(definition) {
        Ok(parsed) => parsed,
        Err(_) => return Some(crate::rewrite::unfaithful()),
    };
    let statements = parsed.statements(definition);
    let mut found = statements.iter().map(|(statement, _)| {
        Walk::new(Place { catalog, path: &[], temporary: &[] }, false).statement(statement)
    });
    found.find_map(|found| found.forbidden.or(found.refusal))
}

/// Why a view may not stand for itself: the first thing in its query that could run code, or read what its reader may not. The
/// relations in it are for others to look at.
pub(super) fn query_refusal<'c>(catalog: &'c Catalog, view: &'c Relation) -> Option<&'c Refusal> {
    let judge = || {
        let Some(definition) = view.definition.as_deref() else {
            let what = "its definition is not known, because somebody alters what it reads";
            return Some(Refusal::new(RefusalCode::NotUnderstood, what));
        };
        let Ok(parsed) = tree::parse(definition) else { return Some(crate::rewrite::unfaithful()) };
        let place = Place { catalog, path: &[], temporary: &[] };
        parsed.statements(definition).iter().find_map(|(statement, _)| {
            let found = Walk { stands: true, ..Walk::new(place, false) }.statement(statement);
            found.forbidden.or(found.refusal)
        })
    };
    view.judged.get_or_init(judge).as_ref()
}

/// Whether a view's query asks the system's own relations or functions about objects, so that it may not stand for itself.
pub(crate) fn introspects(catalog: &Catalog, definition: &str) -> bool {
    let Ok(parsed) = tree::parse(definition) else { return true };
    let place = Place { catalog, path: &[], temporary: &[] };
    let statements = parsed.statements(definition);
    statements.iter().any(|(statement, _)| Walk::new(place, false).statement(statement).describes)
}
