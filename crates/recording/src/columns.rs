//! Which columns an operation uses, by what its caller sees of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use chaperone_access::{
    Analysis, ColumnUse, Described, Member, RelationName, RelationScope, Scope, Showing, Touch,
};
use chaperone_trail::{ColumnsOf, Digest, ObjectRef, Touched};
use serde_json::{Value, json};

/// What the names of columns may take in an entry, in bytes; more are sealed.
const NAMES_BYTES_MAX: usize = 16 * 1024;
/// What a name takes besides its own bytes.
const NAME_BYTES: usize = 3;

/// What the relations of a statement may take in an entry, in bytes; those beyond are counted.
const TOUCHES_BYTES_MAX: usize = 24 * 1024;
/// What a relation takes besides its name, and each verb.
const TOUCH_BYTES: usize = 48;
const VERB_BYTES: usize = 9;

/// One statement's columns: in the entry, or sealed.
pub(crate) type Columns = (Option<Arc<[ColumnsOf]>>, Option<ObjectRef>);

/// The columns of a request, under what its caller saw.
#[derive(Clone)]
pub(crate) struct Used {
    pub(crate) analysis: Arc<Analysis>,
    pub(crate) seen: Option<Arc<Scope>>,
    /// One for each of the request's statements.
    pub(crate) members: Arc<[Columns]>,
    pub(crate) scope: Option<Digest>,
}

impl Used {
    /// Whether it is of a request that means this. Holding both keeps their addresses their own.
    pub(crate) fn fits(&self, analysis: &Arc<Analysis>, scope: Option<&Arc<Scope>>) -> bool {
        let same = match (&self.seen, scope) {
            (Some(known), Some(scope)) => Arc::ptr_eq(known, scope),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same && analysis.means_what(&self.analysis)
    }
}

/// The columns that a statement uses, by relation, sorted.
pub(crate) fn columns_of(member: &Member, scope: Option<&Scope>) -> Vec<ColumnsOf> {
    let mut by_relation: BTreeMap<String, ColumnsOf> = BTreeMap::new();
    for used in member.uses.iter() {
        let relation = used.relation.to_string();
        let of = by_relation
            .entry(relation.clone())
            .or_insert_with(|| ColumnsOf { relation, ..ColumnsOf::default() });
        if used.written {
            of.written.push(used.column.clone());
            if !used.disclosed {
                continue;
            }
        }
        let list = match showing(member, scope, used) {
            Showing::Revealed if used.disclosed => &mut of.disclosed,
            Showing::Revealed => &mut of.read,
            Showing::Masked => &mut of.masked,
            Showing::Hidden => &mut of.hidden,
        };
        list.push(used.column.clone());
    }
    by_relation.into_values().collect()
}

/// What the caller sees of a column.
fn showing(member: &Member, scope: Option<&Scope>, used: &ColumnUse) -> Showing {
    let Some(scope) = scope else { return Showing::Revealed };
    match scope.relations.get(&used.relation) {
        Some(RelationScope::Whole) => Showing::Revealed,
        Some(RelationScope::Part { showings, .. }) => {
            let facts = member.touches.iter().find(|touch| touch.relation == used.relation);
            let columns = facts.and_then(|touch| touch.facts.as_ref()).map(|facts| facts.columns.iter());
            let place = columns.and_then(|mut columns| columns.position(|column| column.name == used.column));
            place.and_then(|place| showings.get(place)).copied().unwrap_or(Showing::Hidden)
        }
        // What is not in a scope is not seen.
        None => Showing::Hidden,
    }
}

/// Whether the columns may stand in an entry, which has a limit of its own.
pub(crate) fn fit_entry(columns: &[ColumnsOf]) -> bool {
    let names = columns.iter().flat_map(|of| {
        let lists = [&of.disclosed, &of.hidden, &of.masked, &of.read, &of.written];
        lists.into_iter().flatten().map(|name| name.len()).chain([of.relation.len() + 64])
    });
    names.map(|name| name + NAME_BYTES).sum::<usize>() <= NAMES_BYTES_MAX
}

/// The relations that an entry names, sorted, each once, and how many there was no room for.
pub(crate) fn named<'t>(touches: impl Iterator<Item = &'t Touch>) -> (Vec<Touched>, Option<u64>) {
    let mut all: Vec<Touched> = touches.map(Touched::from).collect();
    all.sort();
    all.dedup();
    let mut bytes = 0;
    let fitting = all.iter().take_while(|touched| {
        // A character that has to be escaped takes six bytes at most.
        let name: usize = touched.relation.bytes().map(|byte| if byte < b' ' { 6 } else { 2 }).sum();
        bytes += TOUCH_BYTES + name + VERB_BYTES * touched.verbs.len();
        bytes <= TOUCHES_BYTES_MAX
    });
    let fitting = fitting.count();
    let left_out = all.len() - fitting;
    all.truncate(fitting);
    (all, (left_out > 0).then_some(left_out as u64))
}

/// SHA-256 of a scope's canonical form: an object of `caller`, the attributes that row filters ask about where one applies,
/// `stays`, the kinds of identifiers that stay in free text, where some do, and `relations`, by name: `"whole"`, or an
/// object of `all_rows` and `showings`, one for each column in the order of the catalog that the entry's decision names; and
/// where the statement asks the catalogs, `described`: `"all"`, or the names of the relations that they describe to the
/// caller, in order.
pub(crate) fn scope_digest(scope: &Scope) -> Digest {
    let filtered = |relation: &RelationScope| matches!(relation, RelationScope::Part { all_rows: false, .. });
    let relations: BTreeMap<String, Value> =
        scope.relations.iter().map(|(name, seen)| told(name, seen)).collect();
    let mut form = json!({ "relations": relations });
    if scope.relations.values().any(filtered)
        && let Some(form) = form.as_object_mut()
    {
        form.insert("caller".to_owned(), json!(scope.caller));
    }
    if let (Some(described), Some(form)) = (&scope.described, form.as_object_mut()) {
        let told = match described {
            Described::All => json!("all"),
            Described::These(these) => these.iter().map(|relation| relation.name.to_string()).collect(),
        };
        form.insert("described".to_owned(), told);
    }
    if !scope.stays.is_empty()
        && let Some(form) = form.as_object_mut()
    {
        form.insert("stays".to_owned(), json!(scope.stays));
    }
    Digest::of(form.to_string().as_bytes())
}

fn told(name: &RelationName, seen: &RelationScope) -> (String, Value) {
    let seen = match seen {
        RelationScope::Whole => json!("whole"),
        RelationScope::Part { showings, all_rows } => {
            json!({ "all_rows": all_rows, "showings": showings.as_ref() })
        }
    };
    (name.to_string(), seen)
}

#[cfg(test)]
mod tests {
    use chaperone_access::{
        Attribute, Class, Column, Confined, Effect, FreeText, NameRule, OwnRelation, Refusal, RefusalCode,
        RelationFacts, SessionEffect, Subjects, Touch, Verb, Verbs,
    };

    use super::*;

    fn member(uses: &[(&str, bool, bool)]) -> Member {
        let relation = RelationName::new("clinic", "patients");
        let column = |name: &&str| Column {
            name: Arc::from(*name),
            class: Class::Unclassified,
            mask: None,
            subject: false,
            scan: false,
        };
        let facts =
            RelationFacts { columns: ["id", "dob", "ssn"].iter().map(column).collect(), filtered: false };
        let used = |(column, disclosed, written): &(&str, bool, bool)| ColumnUse {
            relation: relation.clone(),
            column: Arc::from(*column),
            disclosed: *disclosed,
            written: *written,
        };
        Member {
            tag: "SELECT",
            template: [0; 32],
            touches: vec![Touch {
                relation: relation.clone(),
                rule: NameRule::Named,
                verbs: Verbs::NONE.with(Verb::Read),
                within: Vec::new(),
                facts: Some(Arc::new(facts)),
            }],
            whole: Verbs::NONE,
            effect: Effect::ReadOnly,
            session: SessionEffect::None,
            uses: uses.iter().map(used).collect(),
            subjects: Subjects::None,
            free_text: FreeText::None,
            results: None,
            names_unknown: false,
        }
    }

    fn scope(showings: &[Showing], all_rows: bool) -> Scope {
        let part = RelationScope::Part { showings: Arc::from(showings), all_rows };
        let mut scope = Scope::default();
        scope.relations.insert(RelationName::new("clinic", "patients"), part);
        scope
    }

    #[test]
    fn a_column_stands_where_its_caller_saw_it() {
        use Showing::{Hidden, Masked, Revealed};
        let member =
            member(&[("dob", true, false), ("gone", true, false), ("id", false, false), ("ssn", true, true)]);
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
        let part = scope(&[Revealed, Masked, Hidden], true);
        let expected = ColumnsOf {
            disclosed: vec![],
            hidden: names(&["gone", "ssn"]),
            masked: names(&["dob"]),
            read: names(&["id"]),
            relation: "clinic.patients".to_owned(),
            written: names(&["ssn"]),
        };
        assert_eq!(columns_of(&member, Some(&part)), std::slice::from_ref(&expected));
        let all = ColumnsOf {
            disclosed: names(&["dob", "gone", "ssn"]),
            hidden: vec![],
            masked: vec![],
            read: names(&["id"]),
            ..expected
        };
        assert_eq!(columns_of(&member, None), [all]);
        let unseen = columns_of(&member, Some(&Scope::default()));
        assert_eq!(unseen[0].hidden.len(), 4, "a relation that is not in the scope is not seen");
    }

    #[test]
    fn scopes_that_differ_have_other_digests() {
        use Showing::{Hidden, Revealed};
        let part = scope(&[Revealed, Hidden], true);
        let mut filtered = scope(&[Revealed, Hidden], false);
        let digests = [
            scope_digest(&Scope::default()),
            scope_digest(&part),
            scope_digest(&scope(&[Revealed, Revealed], true)),
            scope_digest(&filtered),
        ];
        filtered.caller = Arc::new([("clinic".to_owned(), Attribute::Long(3))].into());
        let staying = Scope { stays: ["phi.date"].into(), ..part.clone() };
        let digests: std::collections::BTreeSet<_> =
            digests.into_iter().chain([scope_digest(&filtered), scope_digest(&staying)]).collect();
        assert_eq!(digests.len(), 6);
        let told = |described: &[&str]| {
            let own = |name: &&str| OwnRelation {
                name: RelationName::new("clinic", *name),
                within: Vec::new(),
                oid: 20_000,
            };
            let these = Described::These(described.iter().map(own).collect());
            scope_digest(&Scope { described: Some(these), ..Scope::default() })
        };
        let all = scope_digest(&Scope { described: Some(Described::All), ..Scope::default() });
        let digests = [told(&[]), told(&["notes"]), told(&["notes", "patients"]), all];
        let digests: std::collections::BTreeSet<_> =
            digests.into_iter().chain([scope_digest(&Scope::default())]).collect();
        assert_eq!(digests.len(), 5, "what catalogs describe is in it");
        let mut same = part.clone();
        same.caller = filtered.caller.clone();
        assert_eq!(scope_digest(&same), scope_digest(&part), "no filter asks about the caller");
    }

    #[test]
    fn what_means_the_same_uses_the_same_columns() {
        let analysis = |text: &str, members: &Arc<[Member]>| {
            let words = Refusal::new(RefusalCode::Internal, "nobody asks");
            Arc::new(Analysis {
                text: Arc::from(text),
                members: members.clone(),
                confined: Confined::made(Err(words)),
                replaced: None,
                forbidden: None,
                catalog_version: 1,
                classified: true,
                describes: None,
                invokes: None,
            })
        };
        let members: Arc<[Member]> = Arc::from([member(&[("id", true, false)])]);
        let seen = Arc::new(scope(&[Showing::Revealed], true));
        let (one, other) = (analysis("select 1", &members), analysis("select 2", &members));
        let used = Used {
            analysis: one,
            seen: Some(seen.clone()),
            members: Arc::from([]),
            scope: Some(scope_digest(&seen)),
        };
        assert!(used.fits(&other, Some(&seen)));
        assert!(!used.fits(&other, Some(&Arc::new(Scope::clone(&seen)))), "whoever sees something else");
        assert!(!used.fits(&other, None));
        let equal: Arc<[Member]> = members.iter().cloned().collect();
        assert!(!used.fits(&analysis("select 2", &equal), Some(&seen)));
        let later = Arc::new(Analysis { catalog_version: 2, ..Analysis::clone(&other) });
        assert!(!used.fits(&later, Some(&seen)));
    }

    #[test]
    fn too_many_names_do_not_stand_in_an_entry() {
        let of = |count: usize| ColumnsOf {
            disclosed: (0..count).map(|n| Arc::from(format!("column_{n:05}"))).collect(),
            relation: "clinic.wide".to_owned(),
            ..ColumnsOf::default()
        };
        assert!(fit_entry(&[of(900)]));
        assert!(!fit_entry(&[of(1200)]));
    }

    #[test]
    fn relations_beyond_what_an_entry_holds_are_counted() {
        let touch = |number: usize| Touch {
            relation: RelationName::new("clinic", format!("r{number:05}{}", "x".repeat(57)).as_str()),
            rule: NameRule::Named,
            verbs: Verbs::NONE.with(Verb::Read),
            within: Vec::new(),
            facts: None,
        };
        let few: Vec<Touch> = (0..3).rev().map(touch).collect();
        let (names, left_out) = named(few.iter().chain(&few));
        assert_eq!((names.len(), left_out), (3, None));
        assert!(names.is_sorted());
        let many: Vec<Touch> = (0..5000).map(touch).collect();
        let (names, left_out) = named(many.iter());
        assert!(names.len() > 100, "{}", names.len());
        assert_eq!(left_out, Some(5000 - names.len() as u64));
        assert!(serde_json::to_vec(&names).unwrap().len() <= TOUCHES_BYTES_MAX);
    }
}
