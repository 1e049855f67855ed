use std::collections::{BTreeMap, BTreeSet, HashSet};

use chaperone_access::{Delegation, Described, Effect, Member, SessionEffect, Showing, Subject, SubjectKind};

use super::*;
use crate::PolicySet;
use crate::ask::rfc3339;
use crate::{Known, STARTER};

pub(crate) const NOW: u64 = 1_795_000_000_000_000;

pub(crate) fn known() -> Known {
    let ehr = TargetName::new("ehr").unwrap();
    let relations = HashSet::from(["public.patients".to_owned(), "public.secret".to_owned()]);
    Known {
        targets: BTreeSet::from([ehr.clone()]),
        relations: BTreeMap::from([(ehr, relations)]),
        installation: Some("gw".to_owned()),
        ..Known::default()
    }
}

pub(crate) fn load(text: &str) -> Result<PolicySet, Vec<crate::Diagnostic>> {
    PolicySet::load(&[("a.cedar".to_owned(), text.to_owned())], &known()).map(|(set, _)| set)
}

pub(crate) fn delegation(sub: &str, groups: &[&str], client: Option<&str>) -> Delegation {
    let subject = Subject { issuer: "dev".into(), kind: SubjectKind::Person, sub: sub.into() };
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Delegation { client: client.map(Arc::from), ..Delegation::of(subject, groups) }
}

fn read(set: &PolicySet, who: &Delegation, relation: &str, approved: bool, now_us: u64) -> Answer {
    let inside = set.who(who);
    let asked = Asked::new(set, who, &inside, now_us, now_us);
    let ehr = TargetName::new("ehr").unwrap();
    let (schema, name) = relation.split_once('.').unwrap();
    asked.ask(&asked.verb(Verb::Read, &ehr, Some((&RelationName::new(schema, name), &[])), approved))
}

const TEXT: &str = r#"
@id("nurses") permit (principal in Group::"dev/nurses", action == Action::"read", resource in Target::"ehr");
@id("secret") forbid (principal, action, resource == Relation::"ehr/public.secret");
@id("ai") forbid (principal, action, resource) when { context has client && context.client == "claude" && !context.approved };
permit (principal == Person::"dev/night", action == Action::"read", resource in Target::"ehr")
  when { context.time.toTime() < duration("6h") };
"#;

/// The same through a server that had the subject's token exchanged.
pub(crate) fn exchanged(who: Delegation, server: &str) -> Delegation {
    let server = chaperone_access::Server { name: server.into(), recipient: None };
    let attribution = chaperone_access::Attribution::Exchanged;
    Delegation { attribution, server: Some(server), ..who }
}

#[test]
fn through_a_server_only_what_both_may_is_permitted() {
    let text = r#"
@id("nurses") permit (principal in Group::"dev/nurses", action, resource in Target::"ehr");
@id("notes") permit (principal == Service::"server/notes", action == Action::"read", resource in Target::"ehr");
@id("theirs") permit (principal == Service::"server/theirs", action, resource in Target::"ehr");
@id("not-there") forbid (principal == Service::"server/theirs", action, resource == Relation::"ehr/public.secret");
@id("agreed") forbid (principal, action == Action::"insert", resource) when { context has server };
"#;
    let set = load(text).unwrap();
    let (ana, eve) = (delegation("ana", &["nurses"], None), delegation("eve", &[], None));
    let notes = |who: &Delegation| exchanged(who.clone(), "notes");
    let both = read(&set, &notes(&ana), "public.patients", false, NOW);
    assert!(both.allowed);
    assert_eq!(both.policies, [Arc::from("notes"), Arc::from("nurses")]);
    assert!(
        !read(&set, &notes(&eve), "public.patients", false, NOW).allowed,
        "the server's rights are nobody's"
    );
    let unknown = exchanged(ana.clone(), "unknown");
    assert!(!read(&set, &unknown, "public.patients", false, NOW).allowed, "nor the subject's its own");
    let theirs = exchanged(ana.clone(), "theirs");
    let kept = read(&set, &theirs, "public.secret", false, NOW);
    assert_eq!((kept.allowed, kept.policies), (false, vec![Arc::from("not-there")]));
    // A session of a server that an agent runs is its caller's alone.
    let leased = Delegation { attribution: chaperone_access::Attribution::Leased, ..unknown };
    assert!(read(&set, &leased, "public.patients", false, NOW).allowed);

    // Everything on the whole target is what both have.
    let ehr = TargetName::new("ehr").unwrap();
    let whole = |who: &Delegation| {
        let inside = set.who(who);
        let asked = Asked::new(&set, who, &inside, NOW, NOW);
        let restriction = Restriction::default();
        let case = Case { asked, target: &ehr, restriction: &restriction, confined: false, under: None };
        everywhere(&case, "read").allowed
    };
    assert!(whole(&ana) && whole(&notes(&ana)) && !whole(&notes(&eve)));
    assert!(!whole(&theirs), "something there is forbidden to the server");
}

#[test]
fn a_forbid_beats_a_permit_and_the_reasons_are_named() {
    let set = load(TEXT).unwrap();
    let ana = delegation("ana", &["nurses"], None);
    let yes = read(&set, &ana, "public.patients", false, NOW);
    assert!(yes.allowed && yes.lasting);
    assert_eq!(yes.policies, [Arc::from("nurses")]);
    let no = read(&set, &ana, "public.secret", false, NOW);
    assert!(!no.allowed);
    assert_eq!(no.policies, [Arc::from("secret")]);
    assert!(!read(&set, &delegation("eve", &[], None), "public.patients", false, NOW).allowed);
}

#[test]
fn the_same_person_differs_by_client_and_by_approval() {
    let set = load(TEXT).unwrap();
    let through = delegation("ana", &["nurses"], Some("claude"));
    assert!(!read(&set, &through, "public.patients", false, NOW).allowed);
    assert!(read(&set, &through, "public.patients", true, NOW).allowed);
}

#[test]
fn a_decision_that_read_the_time_does_not_last() {
    let set = load(TEXT).unwrap();
    let night = delegation("night", &[], None);
    let midnight = NOW - NOW % 86_400_000_000;
    let early = read(&set, &night, "public.patients", false, midnight + 3_600_000_000);
    assert!(early.allowed && !early.lasting);
    assert!(!read(&set, &night, "public.patients", false, midnight + 7 * 3_600_000_000).allowed);
}

#[test]
fn a_group_of_another_issuer_is_another_group() {
    let set = load(TEXT).unwrap();
    let mut stranger = delegation("ana", &["nurses"], None);
    stranger.subject.issuer = "other".into();
    assert!(!read(&set, &stranger, "public.patients", false, NOW).allowed);
}

#[test]
fn what_cannot_be_loaded_says_where() {
    let cases = [
        ("\n\npermit (principal, action == Action::\"raed\", resource);", 3, "raed"),
        ("permit (principal, action, resource) when { context.tiem };", 1, "tiem"),
        ("permit (principal, action, resource) when {\n nonsense", 2, ""),
        ("\nforbid (principal, action, resource == Relation::\"ehr/public.patiens\");", 2, "patiens"),
        ("forbid (principal, action, resource == Target::\"her\");", 1, "her"),
        ("forbid (principal, action, resource == Relation::\"patients\");", 1, "patients"),
        ("permit (principal == ?principal, action, resource);", 1, "template"),
    ];
    for (text, line, word) in cases {
        let errors = load(text).unwrap_err();
        let first = &errors[0];
        assert!(first.to_string().contains(word), "{text}: {first}");
        assert_eq!(first.file, "a.cedar");
        assert_eq!(first.line, line, "{text}: {first}");
    }
}

#[test]
fn an_unknown_name_in_a_permit_only_warns() {
    let text = "permit (principal in Group::\"dev/a\", action == Action::\"read\", resource == Relation::\"ehr/public.nothing\");";
    let files = [("a.cedar".to_owned(), text.to_owned())];
    let (_, warnings) = PolicySet::load(&files, &known()).unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn the_starter_loads_and_the_time_is_a_datetime() {
    let files: Vec<_> = STARTER.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
    PolicySet::load(&files, &known()).unwrap();
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
    assert_eq!(rfc3339(1_795_000_000_123), "2026-11-18T11:06:40.123Z");
}

pub(super) fn member() -> Member {
    Member {
        tag: "SELECT",
        template: [0; 32],
        touches: Vec::new(),
        whole: Verbs::NONE,
        effect: Effect::ReadOnly,
        session: SessionEffect::None,
        uses: Arc::from([]),
        subjects: chaperone_access::Subjects::None,
        free_text: chaperone_access::FreeText::None,
        results: None,
        names_unknown: false,
    }
}

pub(super) fn analysis(forbidden: Option<Refusal>) -> Arc<Analysis> {
    Arc::new(Analysis {
        text: "select 1".into(),
        members: Arc::from([member()]),
        confined: chaperone_access::Confined::made(Ok("SELECT 1".into())),
        replaced: None,
        forbidden,
        catalog_version: 1,
        classified: false,
        describes: None,
        invokes: None,
    })
}

#[test]
fn sessions_keep_only_what_is_theirs() {
    let (first, second) = (analysis(None), analysis(Some(Refusal::new(RefusalCode::Unsupported, "no"))));
    let set = load(TEXT).unwrap();
    let decided =
        Arc::new(Decided { policies: Arc::from([]), set_digest: set.digest(), unrestricted: false });
    let kept = Kept { analysis: first.clone(), decided, arm: Arm::Allow { text: None, scope: None } };
    assert!(kept.fits(&first));
    assert!(!kept.fits(&second));
}

#[test]
fn an_answer_is_kept_unless_it_depends_on_the_time() {
    let set = load(TEXT).unwrap();
    let ehr = TargetName::new("ehr").unwrap();
    let about = || About {
        verb: Verb::Read,
        on: Some((RelationName::new("public", "patients"), Vec::new())),
        approved: false,
    };
    // 02:00 and 10:00 of a day: one policy speaks of the time.
    for (sub, groups, kept) in [("ana", &["nurses"][..], 1), ("night", &[][..], 0)] {
        let who = delegation(sub, groups, None);
        let inside = set.who(&who);
        let mut answers = Answers::default();
        let mut at = |hour: u64| {
            let now_us = hour * 3_600_000_000;
            let asked = Asked::new(&set, &who, &inside, now_us, now_us);
            answers.of(&asked, &ehr, about()).allowed
        };
        let (early, late) = (at(2), at(10));
        assert_eq!((early, late), (true, kept == 1), "{sub}");
        assert_eq!(answers.known.len(), kept, "{sub}");
    }
}

/// Whether dora has everything, at a target with and without a classification.
fn has_everything(text: &str) -> (bool, bool) {
    let set = crate::sight::tests::load(text).unwrap_or_else(|errors| panic!("{errors:?}"));
    let (who, ehr) = (delegation("dora", &["engineers"], None), TargetName::new("ehr").unwrap());
    let inside = set.who(&who);
    let restriction = Restriction::default();
    let of = |classified| {
        let asked = Asked::new(&set, &who, &inside, NOW, NOW);
        unrestricted(
            &Case { asked, target: &ehr, restriction: &restriction, confined: false, under: None },
            classified,
        )
        .0
    };
    (of(false), of(true))
}

#[test]
fn everything_is_every_verb_and_where_it_is_classified_every_column_and_row() {
    let verbs = "Action::\"read\", Action::\"insert\", Action::\"update\", Action::\"delete\", Action::\"define\", Action::\"call\"";
    let permit = |actions: &str, rest: &str| {
        format!("permit (principal in Group::\"dev/engineers\", action{actions}, resource{rest};")
    };
    let all = || permit("", " in Target::\"ehr\")");
    let six = format!(" in [{verbs}]");
    let eight = format!(" in [{verbs}, Action::\"reveal\", Action::\"seeAllRows\"]");
    let seven = format!(" in [{verbs}, Action::\"reveal\"]");
    let forbid = |action: &str, rest: &str| format!("forbid (principal, action{action}, resource{rest};");
    let reveal = " == Action::\"reveal\"";
    for (text, expected) in [
        (all(), (true, true)),
        (permit("", ")"), (true, true)),
        (permit(&six, " in Target::\"ehr\")"), (true, false)),
        (permit(&seven, " in Target::\"ehr\")"), (true, false)),
        (permit(&eight, " in Target::\"ehr\")"), (true, true)),
        // What holds for the target alone, or for what is not named, is not everything.
        (permit("", " == Target::\"ehr\")"), (false, false)),
        (
            permit("", " in Target::\"ehr\") when { !(resource in Relation::\"ehr/public.secret\") }"),
            (false, false),
        ),
        (
            permit(&six, " in Target::\"ehr\")")
                + &permit(" == Action::\"seeAllRows\"", " in Target::\"ehr\")")
                + &permit(reveal, " in Target::\"ehr\") when { !(resource in Tag::\"phi.ssn\") }"),
            (true, false),
        ),
        // A forbid that could ever bite; one of another matter does not.
        (all() + &forbid(reveal, " in Tag::\"phi.ssn\")"), (true, false)),
        (all() + &forbid(reveal, " == Column::\"ehr/public.patients.ssn\")"), (true, false)),
        (all() + &forbid(" == Action::\"seeAllRows\"", ") when { context has client }"), (true, false)),
        (all() + &forbid(" == Action::\"useMasked\"", " in Tag::\"phi.ssn\")"), (true, true)),
        (all() + &forbid(" == Action::\"read\"", " == Relation::\"ehr/public.secret\")"), (false, false)),
    ] {
        assert_eq!(has_everything(&text), expected, "{text}");
    }
}

#[test]
fn what_a_classification_should_speak_of_and_does_not_is_not_seen() {
    let set = crate::sight::tests::load(
        "permit (principal in Group::\"dev/nurses\", action == Action::\"read\", resource in Target::\"ehr\");\n\
         permit (principal in Group::\"dev/nurses\", action == Action::\"reveal\", resource in Tag::\"phi.name\");",
    );
    let (set, who) = (set.unwrap(), delegation("ana", &["nurses"], None));
    let (inside, ehr) = (set.who(&who), TargetName::new("ehr").unwrap());
    let asked = Asked::new(&set, &who, &inside, NOW, NOW);
    let restriction = Restriction::default();
    let case = Case { asked, target: &ehr, restriction: &restriction, confined: false, under: None };
    let facts = Arc::new(crate::sight::tests::patients(true));
    let touch = |facts: Option<&Arc<RelationFacts>>, rule| Touch {
        relation: RelationName::new("public", "patients"),
        rule,
        verbs: Verbs::NONE.with(Verb::Read),
        within: Vec::new(),
        facts: facts.cloned(),
    };
    let mut answers = Answers::default();
    let mut seen = |classified, touch: Touch| {
        let mut member = member();
        member.touches = vec![touch];
        let members = Arc::from([member]);
        let analysis = Arc::new(Analysis { members, classified, ..Analysis::clone(&analysis(None)) });
        let (kept, lasting) = decide(&case, &analysis, &mut answers);
        assert!(lasting);
        let Decision::Allow(permit) = kept.decision(&analysis) else { panic!() };
        let policies = permit.decided().policies.clone();
        (permit.scope().unwrap().relations.values().next().cloned(), policies)
    };
    assert_eq!(seen(true, touch(None, NameRule::Named)).0, None);
    assert_eq!(seen(true, touch(None, NameRule::Listed)).0, Some(RelationScope::Whole));
    assert_eq!(seen(false, touch(None, NameRule::Named)).0, Some(RelationScope::Whole));
    // The second time it is remembered, with the policies that decided it.
    for _ in 0..2 {
        let (scope, policies) = seen(true, touch(Some(&facts), NameRule::Named));
        let Some(RelationScope::Part { showings, all_rows: false }) = scope else { panic!("{scope:?}") };
        assert_eq!((showings[1], showings[2]), (Showing::Revealed, Showing::Hidden));
        assert_eq!(policies.len(), 2, "{policies:?}");
    }
    // Other facts of the same relation are looked at anew.
    let other = Arc::new(RelationFacts { columns: Vec::new(), filtered: false });
    assert_eq!(seen(true, touch(Some(&other), NameRule::Named)).0, Some(RelationScope::Whole));
}

/// What catalogs describe to a nurse, and whether that lasts.
fn described(text: &str) -> (Vec<String>, bool) {
    let (set, who) = (load(text).unwrap(), delegation("ana", &["nurses"], None));
    let (inside, ehr) = (set.who(&who), TargetName::new("ehr").unwrap());
    let asked = Asked::new(&set, &who, &inside, NOW, NOW);
    let restriction = Restriction::default();
    let case = Case { asked, target: &ehr, restriction: &restriction, confined: false, under: None };
    let own = |(name, within): &(&str, Vec<RelationName>)| OwnRelation {
        name: RelationName::new("public", *name),
        within: within.clone(),
        oid: 20_000,
    };
    let whole = RelationName::new("public", "patients");
    let relations = [("patients", vec![]), ("patients_2026", vec![whole]), ("secret", vec![])];
    let relations: Arc<[OwnRelation]> = relations.iter().map(own).collect();
    let silent = analysis(None);
    let asks = Arc::new(Analysis { describes: Some(relations.clone()), ..Analysis::clone(&silent) });
    assert!(!asks.means_what(&silent), "what is described is a part of what it means");
    let mut answers = Answers::default();
    let (kept, lasting) = decide(&case, &asks, &mut answers);
    assert_eq!(answers.describes.is_some(), lasting);
    let Decision::Allow(permit) = kept.decision(&asks) else { panic!() };
    let names = match permit.scope().unwrap().described.clone().unwrap() {
        Described::All => vec!["all".to_owned()],
        Described::These(these) => these.iter().map(|relation| relation.name.name.to_string()).collect(),
    };
    assert_eq!(names.is_empty(), permit.decided().policies.is_empty(), "who decided it is told");
    // A statement that asks no catalog is not asked about, and one that does is answered from memory.
    let (kept, _) = decide(&case, &silent, &mut answers);
    let Decision::Allow(permit) = kept.decision(&silent) else { panic!() };
    assert_eq!(permit.scope().unwrap().described, None);
    (names, lasting)
}

#[test]
fn catalogs_describe_what_something_may_be_done_to() {
    let permit = |action: &str, resource: &str| {
        format!(
            "permit (principal in Group::\"dev/nurses\", action == Action::\"{action}\", resource {resource});\n"
        )
    };
    let at = "== Relation::\"ehr/public.patients\"";
    let with_parts = "in Relation::\"ehr/public.patients\"";
    let everything = "in Target::\"ehr\"";
    let names = |text: &str| described(text).0;
    for verb in ["read", "insert", "update", "delete", "define"] {
        assert_eq!(names(&permit(verb, at)), ["patients"], "{verb}");
    }
    // Nothing is done to a relation by calling, and being at the target is no verb.
    let nothing: [&str; 0] = [];
    assert_eq!(names(&(permit("call", everything) + &permit("connect", "== Target::\"ehr\""))), nothing);
    assert_eq!(names(&permit("insert", with_parts)), ["patients", "patients_2026"], "a part is in its whole");
    // The whole target, also what it does not have yet; but not where something in it is or may be forbidden.
    assert_eq!(names(&permit("update", everything)), ["all"]);
    let forbidden = permit("read", everything)
        + "forbid (principal, action, resource == Relation::\"ehr/public.secret\");\n";
    assert_eq!(names(&forbidden), ["patients", "patients_2026"]);
    // What needs an approval is not permitted yet; what depends on the time is not remembered.
    let approved = permit("read", at).replace(");", ") when { context.approved };");
    assert_eq!(names(&approved), nothing);
    let timely = permit("read", at).replace(");", ") when { context.time > datetime(\"2020-01-01\") };");
    assert_eq!(described(&timely), (vec!["patients".to_owned()], false));
}
