use std::collections::HashSet;

use chaperone_access::{MaskOperator, RelationName, TargetName};

use super::*;
use crate::ask::named_column;
use crate::decide::tests::{NOW, delegation, known};
use crate::{Known, PolicySet};

pub(crate) fn column(name: &str, tags: &[&str], mask: Option<MaskOperator>) -> Column {
    let tags: Vec<Arc<str>> = tags.iter().map(|tag| Arc::from(*tag)).collect();
    let class = if tags.is_empty() { Class::Clear } else { Class::Tagged(tags.into()) };
    Column { name: name.into(), class, mask, subject: false, scan: false }
}

/// Patients: a key, a name and a number that are masked, a date that is both, a note, and what nobody has classified.
pub(crate) fn patients(filtered: bool) -> RelationFacts {
    let columns = vec![
        column("id", &[], None),
        column("name", &["phi.name"], Some(MaskOperator::FirstLetter)),
        column("ssn", &["phi.ssn"], Some(MaskOperator::LastFour)),
        column("label", &["phi.name", "phi.ssn"], Some(MaskOperator::Null)),
        Column { scan: true, ..column("note", &["clinical.note"], Some(MaskOperator::Null)) },
        column("mrn", &["phi.mrn"], None),
        Column { class: Class::Unclassified, ..column("new", &[], None) },
        column("maiden_name", &["phi.name"], Some(MaskOperator::FirstLetter)),
    ];
    RelationFacts { columns, filtered }
}

pub(crate) fn classified() -> Known {
    let ehr = TargetName::new("ehr").unwrap();
    let columns =
        patients(false).columns.into_iter().map(|column| format!("public.patients.{}", column.name));
    let tags = ["phi.name", "phi.ssn", "phi.mrn", "phi.geo", "clinical.note"];
    Known {
        columns: [(ehr, columns.collect())].into(),
        tags: Some(tags.iter().map(|tag| (*tag).to_owned()).collect()),
        ..known()
    }
}

pub(crate) fn load(text: &str) -> Result<PolicySet, Vec<crate::Diagnostic>> {
    PolicySet::load(&[("a.cedar".to_owned(), text.to_owned())], &classified()).map(|(set, _)| set)
}

/// What Ana, a nurse, sees of patients: a letter for each column, and whether all rows.
fn sees(text: &str, facts: &RelationFacts, client: Option<&str>) -> (String, bool) {
    let set = load(text).unwrap_or_else(|errors| panic!("{errors:?}"));
    seen_by(&set, delegation("ana", &["nurses"], client), facts)
}

fn seen_by(set: &PolicySet, who: chaperone_access::Delegation, facts: &RelationFacts) -> (String, bool) {
    let inside = set.who(&who);
    let asked = Asked::new(set, &who, &inside, NOW, NOW);
    let (ehr, relation) = (TargetName::new("ehr").unwrap(), RelationName::new("public", "patients"));
    let mut known = ByTags::default();
    // Another relation of the same tags first: what is known of it must not change what is seen here.
    see(&asked, &ehr, (&RelationName::new("public", "others"), &[]), facts, &mut known);
    let seen = see(&asked, &ehr, (&relation, &[]), facts, &mut known);
    let letter = |showing: Showing| match showing {
        Showing::Revealed => 'R',
        Showing::Masked => 'M',
        Showing::Hidden => 'h',
    };
    (seen.showings(facts).into_iter().map(letter).collect(), seen.all_rows)
}

#[test]
fn through_a_server_the_less_of_both_is_seen() {
    let of = |who: &str, action: &str, tag: &str| {
        format!(
            "permit (principal {who}, action == Action::\"{action}\", resource in Target::\"ehr\") when {{ resource in Tag::\"{tag}\" }};"
        )
    };
    let (nurses, notes) = ("in Group::\"dev/nurses\"", "== Service::\"server/notes\"");
    let text = [
        of(nurses, "reveal", "phi.name"),
        of(nurses, "useMasked", "phi.ssn"),
        of(notes, "useMasked", "phi.name"),
        of(notes, "reveal", "phi.ssn"),
        of(notes, "reveal", "clinical.note"),
        "permit (principal in Group::\"dev/nurses\", action == Action::\"seeAllRows\", resource in Target::\"ehr\");".to_owned(),
    ];
    let set = load(&text.concat()).unwrap_or_else(|errors| panic!("{errors:?}"));
    let facts = patients(true);
    let ana = delegation("ana", &["nurses"], None);
    assert_eq!(seen_by(&set, ana.clone(), &facts), ("RRMMhhhR".to_owned(), true));
    // name: masked by the server's rights, ssn by the caller's; the note is the server's alone, and so are the rows not.
    let through = crate::decide::tests::exchanged(ana, "notes");
    assert_eq!(seen_by(&set, through, &facts), ("RMMMhhhM".to_owned(), false));
}

const ALL: &str = "permit (principal in Group::\"dev/nurses\", action, resource in Target::\"ehr\");";

fn permit(action: &str, resource: &str) -> String {
    format!(
        "permit (principal in Group::\"dev/nurses\", action == Action::\"{action}\", resource {resource});"
    )
}

fn forbid(action: &str, rest: &str) -> String {
    format!("forbid (principal, action == Action::\"{action}\", resource{rest};")
}

#[test]
fn each_tag_is_permitted_by_itself_and_the_rest_is_masked_or_hidden() {
    // id, name, ssn, label (both), note (free text), mrn (no mask), new (not classified), maiden_name
    let cases = [
        (String::new(), "Rhhhhhhh"),
        (ALL.to_owned(), "RRRRRRhR"),
        (permit("reveal", "in Target::\"ehr\""), "RRRRRRhR"),
        (
            permit("reveal", "in Target::\"ehr\"").replace(");", ") when { resource in Tag::\"phi.name\" };"),
            "RRhhhhhR",
        ),
        (permit("reveal", "in Relation::\"ehr/public.patients\""), "RRRRRRhR"),
        (permit("reveal", "in Relation::\"ehr/public.secret\""), "Rhhhhhhh"),
        (permit("reveal", "in Tag::\"phi.name\""), "RRhhhhhR"),
        (permit("useMasked", "in Tag::\"phi.name\""), "RMhhhhhM"),
        (permit("useMasked", "in Target::\"ehr\""), "RMMMhhhM"),
        (permit("reveal", "in Tag::\"phi.name\"") + &permit("useMasked", "in Tag::\"phi.ssn\""), "RRMMhhhR"),
        // A column of its own name.
        (permit("reveal", "== Column::\"ehr/public.patients.maiden_name\""), "RhhhhhhR"),
        (permit("reveal", "== Column::\"ehr/public.patients.label\""), "RhhRhhhh"),
        (
            permit("reveal", "in Tag::\"phi.name\"")
                + "forbid (principal, action == Action::\"reveal\", resource == Column::\"ehr/public.patients.name\");",
            "RhhhhhhR",
        ),
        // Forbids win, whichever way round they are said.
        (ALL.to_owned() + &forbid("reveal", " in Tag::\"phi.ssn\")"), "RRMMRRhR"),
        (
            ALL.to_owned()
                + &forbid("reveal", " in Tag::\"phi.ssn\")")
                + &forbid("useMasked", " in Tag::\"phi.ssn\")"),
            "RRhhRRhR",
        ),
        (ALL.to_owned() + &forbid("reveal", ") unless { resource in Tag::\"phi.name\" }"), "RRMMhhhR"),
        (
            ALL.to_owned()
                + &forbid(
                    "reveal",
                    ") when { resource in Tag::\"phi.name\" && resource in Tag::\"phi.ssn\" }",
                ),
            "RRRMRRhR",
        ),
    ];
    for (text, expected) in cases {
        let (seen, all_rows) = sees(&text, &patients(false), None);
        assert_eq!((seen.as_str(), all_rows), (expected, true), "{text}");
    }
}

#[test]
fn rows_outside_the_filter_are_seen_by_whoever_may() {
    for (text, expected) in [
        (permit("reveal", "in Target::\"ehr\""), false),
        (permit("seeAllRows", "in Target::\"ehr\""), true),
        (permit("seeAllRows", "== Relation::\"ehr/public.patients\""), true),
        (permit("seeAllRows", "== Relation::\"ehr/public.secret\""), false),
        (ALL.to_owned() + "forbid (principal, action == Action::\"seeAllRows\", resource);", false),
    ] {
        assert_eq!(sees(&text, &patients(true), None).1, expected, "{text}");
    }
}

#[test]
fn a_client_sees_less_than_its_person() {
    let text = ALL.to_owned()
        + "forbid (principal, action == Action::\"reveal\", resource) when { context has client };";
    assert_eq!(sees(&text, &patients(false), None).0, "RRRRRRhR");
    assert_eq!(sees(&text, &patients(false), Some("claude")).0, "RMMMhhhM");
}

#[test]
fn a_relation_that_is_seen_whole_has_no_parts() {
    let facts = RelationFacts { columns: vec![column("id", &[], None)], filtered: false };
    let seen = Seen {
        sightings: Vec::new(),
        all_rows: true,
        rows_by: Vec::new(),
        stays: None,
        stays_by: Vec::new(),
        lasting: true,
    };
    assert_eq!(seen.scope(&facts), RelationScope::Whole);
    let fewer = Seen { all_rows: false, ..seen };
    let showings: Arc<[Showing]> = Arc::from([Showing::Revealed]);
    assert_eq!(fewer.scope(&facts), RelationScope::Part { showings, all_rows: false });
}

#[test]
fn a_tag_or_column_that_does_not_exist_is_an_error_in_a_forbid_only() {
    for (resource, word) in [
        ("in Tag::\"phi.snn\"", "phi.snn"),
        ("== Column::\"ehr/public.patients.snn\"", "snn"),
        ("== Column::\"ehr/public.patiens.ssn\"", "patiens"),
        ("== Column::\"her/public.patients.ssn\"", "her"),
        ("== Column::\"ehr/ssn\"", "ssn"),
        ("== Relation::\"ehr/public.patients\"", "resource in"),
    ] {
        let errors = load(&forbid("reveal", &format!(" {resource})"))).unwrap_err();
        assert!(errors.iter().any(|error| error.to_string().contains(word)), "{resource}: {errors:?}");
        let files = [("a.cedar".to_owned(), permit("reveal", resource))];
        let (_, warnings) = PolicySet::load(&files, &classified()).unwrap();
        assert!(
            warnings.iter().any(|warning| warning.to_string().contains(word)),
            "{resource}: {warnings:?}"
        );
    }
    let set = load(&(forbid("reveal", " in Tag::\"phi.geo\")") + ALL)).unwrap();
    assert_eq!(set.names().tags.into_iter().collect::<HashSet<_>>(), HashSet::from(["phi.geo".to_owned()]));
}

#[test]
fn the_name_of_a_column_is_taken_apart() {
    for (relation, name) in
        [(RelationName::new("public", "patients"), "ssn"), (RelationName::new("My", "a.b"), "c.d \"x\"")]
    {
        assert_eq!(named_column(&column_name(&relation, name)), Some((relation, name.to_owned())));
    }
    for bad in ["", "ssn", "patients.ssn", "public.patients.", "a.b.c.d"] {
        assert_eq!(named_column(bad), None, "{bad}");
    }
}

#[test]
fn what_would_be_revealed_if_a_text_had_its_tag_stays_there() {
    let stays = |text: &str| {
        let (set, facts) = (load(text).unwrap(), patients(false));
        let who = delegation("ana", &["nurses"], None);
        let inside = set.who(&who);
        let asked = Asked::new(&set, &who, &inside, NOW, NOW);
        let (ehr, relation) = (TargetName::new("ehr").unwrap(), RelationName::new("public", "patients"));
        see(&asked, &ehr, (&relation, &[]), &facts, &mut ByTags::default()).stays
    };
    let note = permit("reveal", "in Tag::\"clinical.note\"");
    assert_eq!(stays(&permit("reveal", "in Tag::\"phi.name\"")), None, "no text is seen");
    assert_eq!(stays(&note), Some(BTreeSet::new()));
    let geo = note.clone() + &permit("reveal", "in Tag::\"phi.geo\"");
    assert_eq!(stays(&geo), Some(["phi.zip"].into()), "by what governs it");
    let names = note.clone() + &permit("reveal", "in Tag::\"phi.name\"");
    assert_eq!(stays(&names), Some(["phi.name"].into()));
    let elsewhere = permit("reveal", "in Relation::\"ehr/public.secret\"");
    assert_eq!(stays(&(note.clone() + &elsewhere)), Some(BTreeSet::new()));
    let masked = note + &permit("useMasked", "in Tag::\"phi.name\"");
    assert_eq!(stays(&masked), Some(BTreeSet::new()), "there is no mask within a text");
    let all = stays(ALL).unwrap();
    assert_eq!(all.len(), Entity::ALL.len());
    let named = stays(&permit("reveal", "== Column::\"ehr/public.patients.note\"")).unwrap();
    assert_eq!(named.len(), Entity::ALL.len(), "all that is in it, by its name");
    let without = stays(&(ALL.to_owned() + &forbid("reveal", " in Tag::\"phi.ssn\")"))).unwrap();
    assert!(!without.contains("phi.ssn") && without.contains("phi.phone"));
}
