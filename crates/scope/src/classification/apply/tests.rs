use chaperone_access::{Class, MaskOperator, RelationName};

use super::{follows_zone, has_many_texts};
use crate::catalog::Catalog;
use crate::catalog::tests::{classification, odd};

fn under(text: &str) -> Catalog {
    odd(Some(&classification(text)))
}

/// A column as one word: its tags, `clear` or `-`, and its mask.
fn column(catalog: &Catalog, relation: &str, name: &str) -> String {
    let facts = catalog.facts(&RelationName::new("app", relation)).unwrap();
    let found = facts.columns.iter().find(|column| &*column.name == name).unwrap();
    let class = match &found.class {
        Class::Unclassified => "-".to_owned(),
        Class::Clear => "clear".to_owned(),
        Class::Tagged(tags) => tags.join("+"),
    };
    let mask = match &found.mask {
        None => "",
        Some(MaskOperator::LastFour) => " last_four",
        Some(MaskOperator::FirstLetter) => " first_letter",
        Some(_) => " other",
    };
    let flags = [(found.subject, " subject"), (found.scan, " scan")];
    let flags: String = flags.into_iter().filter(|(set, _)| *set).map(|(_, word)| word).collect();
    format!("{class}{mask}{flags}")
}

#[test]
fn what_has_no_line_is_unclassified() {
    let catalog = under("[relations.\"app.orders\".columns]\nid = { clear = true, subject = true }\n");
    assert_eq!(column(&catalog, "orders", "id"), "clear subject");
    assert_eq!(column(&catalog, "orders", "day"), "-");
    assert_eq!(column(&catalog, "people", "id"), "-");
    assert_eq!(column(&catalog, "names", "name"), "-", "a view");
    assert!(catalog.facts(&RelationName::new("pg_catalog", "pg_class")).is_none());
    assert!(catalog.misfits().is_empty());
    assert!(odd(None).facts(&RelationName::new("app", "orders")).is_none());
}

#[test]
fn whole_relations_are_cleared_by_a_line() {
    let catalog = under(
        "[relations.\"app.names\"]\nclear = true\n[relations.\"app.orders\"]\nclear = true\n\
         [relations.\"app.orders\".columns]\nday = { tags = [\"phi.date\"], mask = \"year\" }\n",
    );
    assert_eq!(column(&catalog, "names", "name"), "clear");
    assert_eq!(column(&catalog, "orders", "id"), "clear");
    assert_eq!(column(&catalog, "orders", "day"), "phi.date other");
    assert!(catalog.misfits().is_empty(), "{:?}", catalog.misfits());
}

#[test]
fn what_belongs_to_an_allowed_extension_is_clear() {
    let mut results = crate::catalog::tests::recorded();
    let orders = results[3].iter_mut().find(|row| row[1].as_deref() == Some("orders")).unwrap();
    orders[5] = Some("shop".to_owned());
    let build = |text: &str| Catalog::build(1, &results, Some(&classification(text))).unwrap();
    assert_eq!(column(&build("[extensions]\nallowed = [\"shop\"]"), "orders", "id"), "clear");
    assert_eq!(column(&build("[extensions]\nallowed = [\"hstore\"]"), "orders", "id"), "-");
}

#[test]
fn children_and_partitions_have_what_their_parents_have() {
    let catalog = under(
        "[relations.\"app.people\".columns]\nid = { clear = true }\nname = { tags = [\"phi.name\"], mask = \"first_letter\" }\n\
         [relations.\"app.visits\".columns]\nnote = { tags = [\"clinical.note\"], scan = true }\n",
    );
    assert_eq!(column(&catalog, "staff", "name"), "phi.name first_letter");
    assert_eq!(column(&catalog, "staff", "id"), "clear");
    assert_eq!(column(&catalog, "staff", "badge"), "-");
    assert_eq!(column(&catalog, "visits_2020_a", "note"), "clinical.note scan");
    assert_eq!(column(&catalog, "visits_2020_a", "day"), "-");
}

#[test]
fn a_value_is_never_clearer_than_any_line_about_it() {
    // A child's rows are read through its parent, too.
    let catalog = under(
        "[relations.\"app.people\".columns]\nname = { clear = true }\nid = { tags = [\"phi.other_id\"] }\n\
         [relations.\"app.staff\".columns]\nname = { tags = [\"phi.name\"], mask = \"last_four\" }\nid = { clear = true }\n\
         \"Odd \\\"name\" = { clear = true }\ncode = { tags = [\"phi.mrn\"], mask = \"last_four\" }\n",
    );
    assert_eq!(column(&catalog, "people", "name"), "phi.name last_four");
    assert_eq!(column(&catalog, "staff", "id"), "phi.other_id");
    // Nobody reviewed the parent's: what is tagged stays so, what was called clear is hidden.
    assert_eq!(column(&catalog, "staff", "Odd \"name"), "-");
    assert_eq!(column(&catalog, "staff", "code"), "phi.mrn last_four");
    assert_eq!(column(&catalog, "people", "code"), "-");
    let catalog = under(
        "[relations.\"app.people\".columns]\nname = { tags = [\"phi.name\"], mask = \"first_letter\" }\n\
         [relations.\"app.staff\".columns]\nname = { tags = [\"phi.name\"], mask = \"last_four\" }\n",
    );
    assert_eq!(column(&catalog, "people", "name"), "phi.name");
    assert!(catalog.misfits()[0].contains("disagree about its mask"));
    let catalog = under(
        "[relations.\"app.people\".columns]\nname = { tags = [\"phi.name\"], mask = \"first_letter\" }\nid = { clear = true, subject = true }\n\
         [relations.\"app.staff\".columns]\nname = { tags = [\"phi.other_id\"], mask = \"first_letter\" }\nid = { clear = true }\n",
    );
    assert_eq!(column(&catalog, "people", "name"), "phi.name+phi.other_id first_letter", "they agree");
    assert_eq!(column(&catalog, "staff", "id"), "clear subject");
}

#[test]
fn generated_columns_have_at_least_what_they_are_generated_from() {
    let name = "name = { tags = [\"phi.name\"], mask = \"first_letter\" }\n";
    let start = "[relations.\"app.people\".columns]\n";
    let both = format!("{start}{name}code = {{ clear = true }}\n");
    assert_eq!(column(&under(&both), "people", "up"), "phi.name", "without the mask, which is for the name");
    assert_eq!(column(&under(&both), "staff", "up"), "phi.name");
    assert_eq!(column(&under(&format!("{start}{name}")), "people", "up"), "-", "one source is unclassified");
    let cleared = format!("{both}up = {{ clear = true }}\n");
    assert_eq!(column(&under(&cleared), "people", "up"), "phi.name");
    let own = format!("{start}{name}up = {{ tags = [\"phi.other_id\"], mask = \"last_four\" }}\n");
    assert_eq!(column(&under(&own), "people", "up"), "phi.name+phi.other_id last_four");
    let scanned = format!(
        "{start}name = {{ tags = [\"phi.name\"], scan = true }}\ncode = {{ clear = true }}\n\
         up = {{ tags = [\"phi.other_id\"], mask = \"last_four\" }}\n"
    );
    assert_eq!(
        column(&under(&scanned), "people", "up"),
        "phi.name+phi.other_id scan",
        "free text has no mask"
    );
    let clear = format!("{start}name = {{ clear = true }}\ncode = {{ clear = true }}\n");
    assert_eq!(column(&under(&clear), "people", "up"), "clear");
}

#[test]
fn a_mask_is_for_its_types() {
    let catalog = under(
        "[relations.\"app.people\".columns]\nid = { tags = [\"phi.other_id\"], mask = \"last_four\" }\n\
         code = { tags = [\"phi.mrn\"], mask = \"last_four\" }\nprice = { tags = [\"financial.amount\"], mask = { bucket = 10 } }\n\
         seen = { tags = [\"phi.date\"], mask = \"year\" }\nthree = { tags = [\"phi.geo\"], mask = \"year\" }\n",
    );
    assert_eq!(column(&catalog, "people", "id"), "phi.other_id");
    assert_eq!(column(&catalog, "people", "code"), "phi.mrn last_four", "a domain over text");
    assert_eq!(column(&catalog, "people", "price"), "financial.amount other");
    assert_eq!(column(&catalog, "people", "seen"), "phi.date other");
    assert_eq!(column(&catalog, "people", "three"), "phi.geo");
    assert_eq!(catalog.misfits().len(), 2, "{:?}", catalog.misfits());
    let catalog =
        under("[relations.\"app.people\".columns]\ncode = { tags = [\"phi.mrn\"], mask = \"pseudonym\" }\n");
    assert_eq!(column(&catalog, "people", "code"), "phi.mrn other");
    assert!(catalog.misfits()[0].contains("only a view of the floor can make"), "{:?}", catalog.misfits());
}

fn filter(catalog: &Catalog, relation: &str) -> Option<String> {
    let found = catalog.relations.get(&RelationName::new("app", relation)).unwrap();
    assert_eq!(found.filter.is_some(), found.facts.as_ref().unwrap().filtered);
    found.filter.as_deref().map(str::to_owned)
}

#[test]
fn a_row_filter_holds_wherever_its_rows_can_be_read() {
    let catalog = under("[relations.\"app.visits\"]\nrows = \"id > 3\"\n");
    for name in ["visits", "visits_2020", "visits_2020_a"] {
        assert_eq!(filter(&catalog, name).as_deref(), Some("id > 3"), "{name}");
    }
    assert_eq!(filter(&catalog, "orders"), None);
    // What cannot be applied everywhere hides everything.
    for bad in [
        "[relations.\"app.visits_2020\"]\nrows = \"id > 3\"\n",
        "[relations.\"app.visits\"]\nrows = \"id > 3\"\n[relations.\"app.visits_2020\"]\nrows = \"id > 4\"\n",
        "[relations.\"app.visits\"]\nrows = \"nothing > 3\"\n",
    ] {
        let catalog = under(&format!("{bad}[relations.\"app.visits\".columns]\nnote = {{ clear = true }}\n"));
        for name in ["visits", "visits_2020", "visits_2020_a"] {
            assert_eq!(filter(&catalog, name).as_deref(), Some("false"), "{bad}");
            assert_eq!(column(&catalog, name, "note"), "-");
        }
        assert_eq!(catalog.misfits().len(), 1);
    }
}

#[test]
fn what_the_callers_settings_move_is_no_row_filter() {
    for (base, is_pinned, has_one_text) in [
        ("text", true, true),
        ("date", true, false),
        ("timestamp(3) with time zone", true, false),
        ("timestamp with time zone[]", false, false),
        ("time with time zone", false, false),
        ("tstzrange", false, false),
        ("double precision", true, false),
    ] {
        assert_eq!(!follows_zone(base), is_pinned, "{base}");
        assert_eq!(!has_many_texts(base), has_one_text, "{base}");
    }
}

#[test]
fn lines_about_what_does_not_exist_are_told() {
    let catalog = under(
        "[relations.\"app.gone\"]\nclear = true\n[relations.\"app.orders\".columns]\nnothing = { clear = true }\n\
         [relations.\"app.names\".columns]\nname = { clear = true }\n",
    );
    let [column_line, relation, view] = catalog.misfits() else { panic!("{:?}", catalog.misfits()) };
    assert!(column_line.contains("column `nothing` of `app.orders` does not exist"));
    assert!(relation.contains("`app.gone` does not exist") && view.contains("is a view"));
    assert_eq!(column(&catalog, "names", "name"), "-");
}

#[test]
fn a_target_can_be_classified_again_without_being_read() {
    let first = under("[relations.\"app.visits\"]\nrows = \"id > 3\"\nclear = true\n");
    let second = first.classified(2, Some(&classification("[relations.\"app.orders\"]\nclear = true\n")));
    assert_eq!((filter(&second, "visits"), second.version), (None, 2));
    assert_eq!(column(&second, "visits", "id"), "-");
    assert_eq!(column(&second, "orders", "id"), "clear");
    assert_eq!(first.digest(), second.digest());
    assert!(second.classified(3, None).facts(&RelationName::new("app", "orders")).is_none());
}

/// `patients` with these columns, under these rules.
fn patients(columns: &str, rules: &str) -> Catalog {
    let mut results = crate::analyse::tests::results();
    results[4] = vec![vec![Some("4".to_owned()), Some(columns.to_owned())]];
    let rules = classification(&format!("[relations.\"public.patients\"]\n{rules}"));
    Catalog::build(1, &results, Some(&rules)).unwrap()
}

#[test]
fn what_is_generated_is_looked_at_after_its_sources_whatever_their_names() {
    let columns = r#"[["a","text",1,null,["z"]],["z","text",0,null,null]]"#;
    let catalog = patients(columns, "columns = { z = { clear = true } }");
    let facts = catalog.facts(&RelationName::new("public", "patients")).unwrap();
    assert!(facts.columns.iter().all(|column| column.class == Class::Clear), "{facts:?}");
}

#[test]
fn a_filter_over_what_settings_move_shows_nothing() {
    let columns =
        r#"[["d","date",0,null,null],["t","time with time zone",0,null,null],["s","text",0,null,null]]"#;
    for (rows, stands) in [
        ("d > '2026-01-02'", true),
        ("s || 'x' = 'yx'", true),
        ("d || 'x' = 'yx'", false),
        ("t is not null", false),
    ] {
        let catalog = patients(columns, &format!("rows = \"{rows}\""));
        let filter = catalog.relations.get(&RelationName::new("public", "patients")).unwrap().filter.clone();
        assert_eq!(filter.as_deref(), Some(if stands { rows } else { "false" }), "{:?}", catalog.misfits());
    }
}
