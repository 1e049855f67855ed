//! What becomes of a statement that was understood where its target is classified otherwise since.

use std::collections::BTreeSet;
use std::sync::Arc;

use chaperone_access::{Analysis, NameRule, RelationName, Since};

use crate::catalog::Catalog;

/// A statement with what is known now of the relations that it touches; as it was, where that is the same. `before` is the
/// snapshot that it was understood against, where somebody has it still: without it, a row filter that stands counts as another
/// one.
#[must_use]
pub fn since(analysis: &Arc<Analysis>, before: Option<&Catalog>, now: &Catalog) -> Since {
    let filter = |catalog: &Catalog, name: &RelationName| {
        catalog.relations.get(name).and_then(|relation| relation.filter.clone())
    };
    let (mut known, mut filtered) = (Analysis::clone(analysis), BTreeSet::new());
    known.classified = now.classification().is_some();
    let mut changed = known.classified != analysis.classified;
    let touches = Arc::make_mut(&mut known.members).iter_mut().flat_map(|member| &mut member.touches);
    for touch in touches.filter(|touch| touch.rule == NameRule::Named) {
        let stands = filter(now, &touch.relation);
        if stands.is_some() && before.is_none_or(|before| filter(before, &touch.relation) != stands) {
            filtered.insert(touch.relation.clone());
        }
        // As a statement would be understood now, also where nothing is classified.
        let facts = now.relations.get(&touch.relation).and_then(|known| known.facts.clone());
        if touch.facts != facts {
            touch.facts = facts;
            changed = true;
        }
    }
    if !changed && filtered.is_empty() {
        return Since::unchanged(analysis);
    }
    Since { then: analysis.clone(), now: Arc::new(known), filtered }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{classification, odd};

    #[test]
    fn what_a_statement_touches_is_known_as_it_is_classified_now() {
        let rules = "[relations.\"app.visits\"]\nrows = \"id > 3\"\n[relations.\"app.visits\".columns]\nid = { clear = true }\n";
        let before = Arc::new(odd(Some(&classification(rules))));
        let text = Arc::from("select id from app.visits");
        let analysis = Arc::new(crate::analyse(&text, &before.path(), &Arc::from([]), &before));
        let told = |rules: &str, known: bool| {
            let now = before.classified(2, Some(&classification(rules)));
            since(&analysis, known.then_some(&*before), &now)
        };
        let unchanged = |since: &Since| Arc::ptr_eq(&since.then, &since.now) && since.filtered.is_empty();
        let others = "[relations.\"app.orders\"]\nclear = true\n";
        assert!(unchanged(&told(&format!("{rules}{others}"), true)), "another relation's");
        let visits = RelationName::new("app", "visits");
        let column = told(&rules.replace("clear = true", "tags = [\"phi.mrn\"]"), true);
        let facts = |analysis: &Analysis| analysis.members[0].touches[0].facts.clone().unwrap();
        assert_ne!(facts(&column.then), facts(&column.now));
        assert!(column.filtered.is_empty() && analysis.members[0].touches[0].relation == visits);
        let rows = told(&rules.replace("id > 3", "id > 4"), true);
        assert_eq!(facts(&rows.then), facts(&rows.now));
        assert!(rows.filtered.contains(&visits), "{:?}", rows.filtered);
        let lifted = told(&rules.replace("rows = \"id > 3\"\n", ""), true);
        assert!(lifted.filtered.is_empty() && facts(&lifted.then).filtered && !facts(&lifted.now).filtered);
        assert!(told(rules, false).filtered.contains(&visits), "nobody knows which filter it was");
        let gone = since(&analysis, Some(&before), &before.classified(2, None));
        assert!(analysis.classified && !gone.now.classified);
        let unclassified = Arc::new(before.classified(2, None));
        let fresh = crate::analyse(&text, &unclassified.path(), &Arc::from([]), &unclassified);
        assert_eq!(facts(&gone.now), facts(&fresh), "as it would be understood now");
    }
}
