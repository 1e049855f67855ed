//! Whether what runs shows something in another way than it would be shown now, beside more or less of it.

use chaperone_access::{Analysis, RelationFacts, RelationName, RelationScope, Scope, Showing, Since};

fn facts<'a>(analysis: &'a Analysis, relation: &RelationName) -> Option<&'a RelationFacts> {
    let mut touches = analysis.members.iter().flat_map(|member| &member.touches);
    touches.find(|touch| touch.relation == *relation)?.facts.as_deref()
}

/// Whether somebody who sees `scope` now is shown a column by another mask, rows by another filter, or a text that nobody
/// looks through and somebody should.
pub(crate) fn shown_otherwise(since: &Since, scope: &Scope) -> bool {
    scope.relations.iter().any(|(relation, seen)| {
        let RelationScope::Part { showings, all_rows } = seen else { return false };
        let (then, now) = (facts(&since.then, relation), facts(&since.now, relation));
        let columns = showings.iter().zip(now.into_iter().flat_map(|now| &now.columns)).enumerate();
        let mut otherwise = columns.map(|(place, (showing, column))| {
            let before = then.and_then(|then| then.columns.get(place));
            match showing {
                // Where there was no mask it is seen less now, and that is told elsewhere.
                Showing::Masked => before.is_some_and(|before| before.mask != column.mask),
                Showing::Revealed => column.scan && !before.is_some_and(|before| before.scan),
                Showing::Hidden => false,
            }
        });
        (!all_rows && since.filtered.contains(relation)) || otherwise.any(|otherwise| otherwise)
    })
}
