//! Whether what runs shows something in another way than it would be shown now, beside more or less of it.

use chaperone_access::{Analysis, Column, RelationFacts, RelationName, RelationScope, Scope, Showing, Since};

fn facts<'a>(analysis: &'a Analysis, relation: &RelationName) -> Option<&'a RelationFacts> {
    let mut touches = analysis.members.iter().flat_map(|member| &member.touches);
    touches.find(|touch| touch.relation == *relation)?.facts.as_deref()
}

/// Whether somebody who sees `scope` now is shown a column by another mask, rows by another filter, or a text that nobody
/// looks through and somebody should.
pub(crate) fn shown_otherwise(since: &Since, scope: &Scope) -> bool {
    scope.relations.iter().any(|(relation, seen)| {
        let (then, now) = (facts(&since.then, relation), facts(&since.now, relation));
        let otherwise = |(place, column): (usize, &Column)| {
            let before = then.and_then(|then| then.columns.get(place));
            let showing = match seen {
                RelationScope::Whole => Some(&Showing::Revealed),
                RelationScope::Part { showings, .. } => showings.get(place),
            };
            match showing {
                // Where there was no mask it is seen less now, and that is told elsewhere.
                Some(Showing::Masked) => before.is_some_and(|before| before.mask != column.mask),
                Some(Showing::Revealed) => column.scan && !before.is_some_and(|before| before.scan),
                Some(Showing::Hidden) | None => false,
            }
        };
        let picked = match seen {
            RelationScope::Whole => false,
            RelationScope::Part { all_rows, .. } => !all_rows,
        };
        (picked && since.filtered.contains(relation))
            || now.is_some_and(|now| now.columns.iter().enumerate().any(otherwise))
    })
}
