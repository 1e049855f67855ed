//! A credential that was narrowed, at the level of what its holder may do and see.

use chaperone_access::{Class, Member, Showing};
use chaperone_identity::{Caveat, together};
use proptest::prelude::*;

use super::tests::{NOW, analysis, delegation, member};
use super::*;
use crate::PolicySet;
use crate::sight::tests::{load, patients};

/// A permit of everything, and one of some: what is narrowed is a pass-through, or restricted already.
const EVERYTHING: &str = "permit (principal in Group::\"dev/nurses\", action, resource in Target::\"ehr\");";
const SOME: &str = r#"
permit (principal in Group::"dev/nurses", action in [Action::"read", Action::"update", Action::"delete"],
  resource in Target::"ehr");
permit (principal in Group::"dev/nurses", action == Action::"reveal", resource in Tag::"phi.name");
permit (principal in Group::"dev/nurses", action == Action::"useMasked", resource in Tag::"phi.ssn");
"#;

const RELATIONS: [&str; 3] = ["patients", "patients_old", "claims"];

fn named(name: &str) -> RelationName {
    RelationName::new("public", name)
}

/// A statement that does this to these relations, and assigns to columns of the first one.
fn statement(verb: Verb, relations: &[&str], assigned: &[&str], classified: bool) -> Arc<Analysis> {
    let facts = Arc::new(patients(classified));
    let touch = |name: &&str| Touch {
        relation: named(name),
        rule: NameRule::Named,
        verbs: Verbs::NONE.with(verb),
        within: if *name == "patients_old" { vec![named("patients")] } else { Vec::new() },
        facts: Some(facts.clone()),
    };
    let used = |column: &&str| ColumnUse {
        relation: named(relations[0]),
        column: Arc::from(*column),
        disclosed: false,
        written: true,
    };
    let uses = assigned.iter().map(used).collect();
    let members = Arc::from([Member { touches: relations.iter().map(touch).collect(), uses, ..member() }]);
    Arc::new(Analysis { members, classified, ..Analysis::clone(&analysis(None)) })
}

/// What may be done: `None` is a refusal.
fn outcome(
    set: &PolicySet,
    restriction: &Restriction,
    asked_for: &Arc<Analysis>,
) -> Option<Option<Arc<Scope>>> {
    let (who, target) = (delegation("ana", &["nurses"], None), TargetName::new("ehr").unwrap());
    let inside = set.who(&who);
    let asked = Asked::new(set, &who, &inside, NOW, NOW);
    let case = Case { asked, target: &target, restriction, confined: false, under: None };
    match decide(&case, asked_for, &mut Answers::default()).0.decision(asked_for) {
        Decision::Allow(permit) => Some(permit.scope().cloned()),
        Decision::Hold(_) | Decision::Refuse(_) => None,
    }
}

/// What is seen of each column of a relation, and whether all rows; `None` for a caller whose words are his own.
fn seen(scope: Option<&Scope>, relation: &RelationName) -> (Vec<Showing>, bool) {
    let all = |showing| vec![showing; patients(false).columns.len()];
    let Some(scope) = scope else { return (all(Showing::Revealed), true) };
    match scope.relations.get(relation) {
        None => (all(Showing::Hidden), false),
        Some(RelationScope::Whole) => (all(Showing::Revealed), true),
        Some(RelationScope::Part { showings, all_rows }) => (showings.to_vec(), *all_rows),
    }
}

fn only(texts: &[&str]) -> Caveat {
    Caveat::Relations(together(texts.iter().map(|text| text.parse().unwrap())))
}

fn any_caveat() -> impl Strategy<Value = Caveat> {
    let relation = prop::sample::select(vec![
        "public.patients",
        "public.patients(id, name, ssn, mrn)",
        "public.patients(id, ssn)",
        "public.patients(name)",
        "public.patients_old",
        "public.patients_old(id, name)",
        "public.claims",
        "public.claims(id)",
    ]);
    let verb = prop::sample::select(Verb::ALL.to_vec());
    prop_oneof![
        4 => prop::collection::vec(relation, 2..5).prop_map(|names| only(&names)),
        1 => prop::collection::vec(verb, 3..6)
            .prop_map(|verbs| Caveat::Verbs(verbs.into_iter().fold(Verbs::NONE, Verbs::with))),
        1 => (0..100_u64).prop_map(Caveat::Rows),
        // Time is identity's to judge, which does not hand on a credential whose time is over: here it changes nothing.
        1 => (0..100_u64).prop_map(Caveat::Until),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_chain_of_narrowings_shows_or_does_more_than_a_link_before(
        caveats in prop::collection::vec(any_caveat(), 1..5),
        everything: bool,
        classified: bool,
    ) {
        let set = load(if everything { EVERYTHING } else { SOME }).unwrap();
        let statements = [
            statement(Verb::Read, &["patients"], &[], classified),
            statement(Verb::Read, &["patients", "patients_old"], &[], classified),
            statement(Verb::Read, &["claims", "patients"], &[], classified),
            statement(Verb::Update, &["patients"], &["ssn"], classified),
            statement(Verb::Update, &["patients", "patients_old"], &["name"], classified),
            statement(Verb::Delete, &["claims"], &[], classified),
            statement(Verb::Define, &["claims"], &[], classified),
        ];
        for asked_for in &statements {
            let mut before = outcome(&set, &Restriction::default(), asked_for);
            for links in 1..=caveats.len() {
                let now = outcome(&set, &Restriction::of(&caveats[..links]), asked_for);
                if let Caveat::Until(_) = caveats[links - 1] {
                    prop_assert_eq!(&now, &before);
                }
                if let Some(now) = &now {
                    let narrowed = caveats[..links].iter().any(|caveat| !matches!(caveat, Caveat::Until(_)));
                    prop_assert!(now.is_some() || !narrowed, "a narrowed credential sends no words of its own");
                    let Some(before) = &before else { return Err(TestCaseError::fail("refused before")) };
                    for relation in RELATIONS.map(named) {
                        let (more, less) = (seen(before.as_deref(), &relation), seen(now.as_deref(), &relation));
                        prop_assert!(less.0.iter().zip(&more.0).all(|(less, more)| less >= more));
                        prop_assert!(more.1 || !less.1);
                    }
                }
                before = now;
            }
        }
    }
}

#[test]
fn whoever_has_everything_sees_only_the_columns_of_a_narrowed_credential() {
    let set = load(EVERYTHING).unwrap();
    for classified in [true, false] {
        let read = statement(Verb::Read, &["patients"], &[], classified);
        assert_eq!(outcome(&set, &Restriction::default(), &read), Some(None), "his own words");
        let narrowed = Restriction::of(&[only(&["public.patients(id, ssn)"])]);
        let scope = outcome(&set, &narrowed, &read).unwrap().unwrap();
        assert!(scope.narrowed);
        let (showings, all_rows) = seen(Some(&scope), &named("patients"));
        let revealed: Vec<usize> = (0..8).filter(|at| showings[*at] == Showing::Revealed).collect();
        assert_eq!((revealed.as_slice(), all_rows), (&[0, 2][..], true));
        let may = |verb, assigned: &[&str]| {
            outcome(&set, &narrowed, &statement(verb, &["patients"], assigned, classified)).is_some()
        };
        assert!(may(Verb::Update, &["ssn"]) && may(Verb::Insert, &["id", "ssn"]));
        assert!(!may(Verb::Update, &["name"]) && !may(Verb::Insert, &["id", "name"]));
        assert!(!may(Verb::Delete, &[]) && !may(Verb::Define, &[]));
    }
}

#[test]
fn rows_of_a_partition_show_what_is_left_of_both() {
    let set = load(EVERYTHING).unwrap();
    let narrowed = Restriction::of(&[only(&["public.patients(id, name)", "public.patients_old(name, ssn)"])]);
    let both = ["patients", "patients_old"];
    let scope = outcome(&set, &narrowed, &statement(Verb::Read, &both, &[], true)).unwrap().unwrap();
    let showings = seen(Some(&scope), &named("patients")).0;
    assert_eq!(showings[..3], [Showing::Hidden, Showing::Revealed, Showing::Hidden]);
    assert_eq!(outcome(&set, &narrowed, &statement(Verb::Update, &both, &["id"], true)), None);
    assert!(outcome(&set, &narrowed, &statement(Verb::Update, &both, &["name"], true)).is_some());
}

#[test]
fn what_nobody_looked_up_leaves_nothing() {
    let set = load(EVERYTHING).unwrap();
    let kept = Caveat::Kept("AAAAAAAAAAAA".parse().unwrap());
    for before in [vec![], vec![only(&["public.patients"])]] {
        let narrowed = Restriction::of(before.iter().chain([&kept]));
        for verb in [Verb::Read, Verb::Insert, Verb::Delete] {
            let asked_for = statement(verb, &["patients"], &[], true);
            assert_eq!(outcome(&set, &narrowed, &asked_for), None, "{verb:?}");
        }
    }
}

#[test]
fn columns_that_nobody_speaks_of_cannot_be_left_out() {
    let set = load(EVERYTHING).unwrap();
    let narrowed = Restriction::of(&[only(&["public.patients(id)"])]);
    let mut read = Analysis::clone(&statement(Verb::Read, &["patients"], &[], true));
    let silent = |facts: &RelationFacts| {
        let unclassified = |column: &chaperone_access::Column| chaperone_access::Column {
            class: Class::Unclassified,
            ..column.clone()
        };
        RelationFacts { columns: facts.columns.iter().map(unclassified).collect(), filtered: false }
    };
    for facts in [None, Some(Arc::new(silent(&patients(false))))] {
        Arc::make_mut(&mut read.members)[0].touches[0].facts = facts;
        assert_eq!(outcome(&set, &narrowed, &Arc::new(read.clone())), None);
    }
}
