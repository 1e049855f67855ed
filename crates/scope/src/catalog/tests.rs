use std::sync::Arc;

use chaperone_access::RelationName;

use super::*;

/// What the queries said of `recorded/odd.sql`.
pub(crate) fn recorded() -> Vec<Vec<Vec<Option<String>>>> {
    serde_json::from_str(include_str!("recorded/odd.json")).unwrap()
}

pub(crate) fn odd(classification: Option<&Arc<Classification>>) -> Catalog {
    Catalog::build(1, &recorded(), classification).unwrap()
}

pub(crate) fn classification(text: &str) -> Arc<Classification> {
    let attributes = [("levels".to_owned(), chaperone_access::AttributeKind::Texts)].into();
    Arc::new(Classification::load("odd.toml", text, &attributes).unwrap())
}

fn relation<'a>(catalog: &'a Catalog, name: &str) -> &'a Relation {
    catalog.relations.get(&RelationName::new("app", name)).unwrap()
}

fn column<'a>(catalog: &'a Catalog, relation_name: &str, name: &str) -> &'a TableColumn {
    relation(catalog, relation_name).columns.iter().find(|column| &*column.name == name).unwrap()
}

fn lists(lists: &[Vec<Arc<str>>]) -> Vec<String> {
    lists.iter().map(|list| list.join(" ")).collect()
}

fn uniques(relation: &Relation) -> Vec<String> {
    let write =
        |unique: &Unique| unique.columns.join(" ") + if unique.null_conflicts { ", with NULL" } else { "" };
    relation.uniques.iter().map(write).collect()
}

#[test]
fn columns_have_their_types_written_out() {
    let catalog = odd(None);
    let people = relation(&catalog, "people");
    let names: Vec<&str> = people.columns.iter().map(|column| &*column.name).collect();
    let expected = [
        "id",
        "name",
        "mood",
        "amounts",
        "price",
        "code",
        "pair",
        "tags",
        "Odd \"name",
        "up",
        "seen",
        "letter",
        "three",
    ];
    assert_eq!(names, expected, "in order, without the one that was dropped");
    for (name, typ, base, code) in [
        ("id", "integer", "integer", false),
        ("name", "character varying(20)", "character varying(20)", false),
        ("mood", "app.mood", "app.mood", false),
        ("amounts", "app.pos[]", "text", true),
        ("price", "app.pos2", "numeric(10,2)", true),
        ("code", "app.plain", "character varying(7)", false),
        ("pair", "app.pair", "text", true),
        ("tags", "public.hstore", "public.hstore", false),
        ("seen", "timestamp(3) with time zone", "timestamp(3) with time zone", false),
        ("letter", "\"char\"", "\"char\"", false),
    ] {
        let found = column(&catalog, "people", name);
        assert_eq!((&*found.typ, &*found.base, found.code), (typ, base, code), "{name}");
    }
    let up = column(&catalog, "people", "up");
    assert!(up.generated);
    assert_eq!(up.generated_from.join(" "), "code name");
}

#[test]
fn what_a_write_can_be_refused_for_is_known() {
    let catalog = odd(None);
    let people = relation(&catalog, "people");
    assert_eq!(people.primary_key.join(" "), "id");
    assert_eq!(
        uniques(people),
        ["id", "id name, with NULL", "name code, with NULL"],
        "the key, an exclusion, a partial expression"
    );
    assert_eq!(lists(&people.checks), ["amounts", "price", "pair", "id name"]);
    assert!(lists(&relation(&catalog, "staff").checks).contains(&"id name".to_owned()), "inherited");
    let orders = relation(&catalog, "orders");
    assert_eq!(uniques(orders), ["id day visit, with NULL"], "an expression over the whole row");
    assert_eq!(lists(&orders.checks), ["day id visit"], "a check of the whole row");
    let key = orders.references.iter().find(|key| &*key.to.name == "people").unwrap();
    assert!(key.cascades && key.columns.join(" ") == "id" && key.to_columns.join(" ") == "id");
    let key = orders.references.iter().find(|key| &*key.to.name == "visits").unwrap();
    assert!(!key.cascades && key.columns.join(" ") == "visit day" && key.to_columns.join(" ") == "id day");
    assert!(people.referenced.iter().any(|(name, _)| &*name.name == "orders"));
    assert_eq!(lists(&relation(&catalog, "keyed").checks), ["b c"], "a partition key with an expression");
    let leaf = lists(&relation(&catalog, "visits_2020_a").checks);
    assert!(leaf.contains(&"day id".to_owned()) && leaf.contains(&"day".to_owned()), "{leaf:?}");
}

#[test]
fn what_an_update_can_fail_at_for_a_value_that_it_keeps_is_known() {
    let catalog = odd(None);
    let judged = relation(&catalog, "judged");
    assert_eq!(
        uniques(judged),
        ["id", "ssn, with NULL", "memo", "due note, with NULL", "ssn"],
        "NULLS NOT DISTINCT, INCLUDE, BRIN over two columns and over one"
    );
    assert_eq!(lists(&judged.standing), ["due", "due", "ssn"], "the hour, a setting, NOT VALID");
    let indexes = |relation: &Relation| -> Vec<String> {
        let write = |index: &Index| format!("{} by {}", index.columns.join(" "), index.by.join(" "));
        relation.indexes.iter().map(write).collect()
    };
    // Nothing of those whose entries are never large: by a number and a short text or a date.
    assert_eq!(
        indexes(judged),
        [
            "memo ssn by memo ssn",
            "n ssn by ssn",
            "ssn by ssn",
            "n note short by note short",
            "memo ssn by memo ssn",
            "due note by note",
            "ssn n by ssn n",
        ]
    );
    assert_eq!(
        indexes(relation(&catalog, "broad")),
        ["a b by a b"],
        "a row that cannot keep a text elsewhere"
    );
    let arrivals = |name: &str| relation(&catalog, name).arrivals.join(" ");
    assert_eq!(arrivals("moved_b"), "ssn code word", "NOT NULL, a check and an index of its own");
    assert_eq!(arrivals("moved_a"), "");
    assert!(relation(&catalog, "moved").standing.is_empty(), "an index of the partitions is unfinished");
}

#[test]
fn views_are_known_by_what_they_read() {
    let catalog = odd(None);
    let names = relation(&catalog, "names");
    let reads: Vec<&str> = names.reads.iter().map(|name| &*name.name).collect();
    assert_eq!(reads, ["people", "orders"]);
    let text = names.definition.as_deref().unwrap();
    assert!(text.starts_with("SELECT") && text.contains("app.people p") && !text.ends_with(';'), "{text}");
    assert!(relation(&catalog, "kept").definition.is_none());
    assert!(relation(&catalog, "calling").calls.iter().any(|call| &**call == "whole_text"));
    assert!(!catalog.is_altered());
    let mut results = recorded();
    results[12][0][1] = Some(String::new());
    let catalog = Catalog::build(1, &results, None).unwrap();
    assert!(catalog.is_altered() && relation(&catalog, "names").definition.is_none());
}

#[test]
fn what_is_not_the_targets_own_code_is_told_apart() {
    let catalog = odd(None);
    assert_eq!(catalog.extension_operators.get("->").unwrap(), &[Arc::from("hstore")]);
    // The target has an operator of its own by that name, too.
    assert!(catalog.operators.contains("=") && !catalog.extension_operators.contains_key("="));
    assert_eq!(catalog.enums.get("mood").unwrap(), &[Arc::from("app")]);
    let home = Home { schema: "public".into(), extension: Some("hstore".into()), oids: Vec::new() };
    assert_eq!(catalog.extension_types.get("hstore").unwrap(), std::slice::from_ref(&home));
    assert_eq!(catalog.homes.get("akeys").unwrap(), &[Home { oids: vec![18707], ..home }]);
    let own = Home { schema: "app".into(), extension: None, oids: vec![18701] };
    assert_eq!(catalog.homes.get("f").unwrap(), &[own]);
    let unfit: Vec<&str> = catalog.unfit().iter().map(|unfit| unfit.what.as_str()).collect();
    assert_eq!(
        unfit,
        [
            "cast from app.mood to integer calls `app.f`",
            "operator app.= of app.mood and integer calls `app.eq`"
        ]
    );
    let reviewed = classification("[functions]\nallowed = [\"app.f\", \"app.eq\"]");
    let reviewed = catalog.classified(2, Some(&reviewed));
    assert!(reviewed.unfit().is_empty());
    assert_eq!((&*catalog.callable, &*reviewed.callable), (&[][..], &[18700, 18701][..]));
}

#[test]
fn a_filter_is_checked_by_a_statement_that_runs_nothing() {
    let rules = classification("[relations.\"app.orders\"]\nrows = \"id = any(caller.levels)\"");
    let mut catalog = odd(Some(&rules));
    let checks = catalog.filter_checks();
    let [(name, check)] = checks.as_slice() else { panic!("{checks:?}") };
    assert_eq!(
        check,
        "prepare chaperone_filter_0 as select from \"app\".\"orders\" where (id = any((null::text[])))"
    );
    catalog.refuse_filter(name, "operator does not exist");
    let orders = relation(&catalog, "orders");
    assert_eq!(orders.filter.as_deref(), Some("false"));
    assert!(catalog.misfits()[0].contains("operator does not exist"));
    assert!(catalog.filter_checks().is_empty());
}

#[test]
fn rows_that_do_not_fit_are_no_catalog() {
    for (query, row) in [(3, 0), (4, 0), (5, 0), (8, 0), (12, 0)] {
        let mut results = recorded();
        results[query][row].truncate(1);
        assert!(Catalog::build(1, &results, None).is_err(), "{query}");
    }
    let mut results = recorded();
    results[4][0][1] = Some("[[\"a\"]]".to_owned());
    assert!(Catalog::build(1, &results, None).is_err());
    results.pop();
    assert!(Catalog::build(1, &results, None).is_err());
}

/// What the queries said of `recorded/decides.sql`.
fn decides(classification: Option<&Arc<Classification>>) -> Catalog {
    let results: Vec<Vec<Vec<Option<String>>>> =
        serde_json::from_str(include_str!("recorded/decides.json")).unwrap();
    Catalog::build(1, &results, classification).unwrap()
}

#[test]
fn types_with_code_are_known_down_to_what_has_none() {
    let catalog = decides(None);
    for (name, base) in [
        ("a", "text"),
        ("b", "text"),
        ("c", "numeric(10,2)[]"),
        ("d", "numeric(10,2)[]"),
        // Arrays of domains over arrays, composites and ranges have no such type.
        ("e", "text"),
        ("f", "text"),
        ("g", "text"),
        ("h", "text"),
        ("j", "numeric(10,2)"),
    ] {
        let found = column(&catalog, "coded", name);
        assert_eq!((&*found.base, found.code), (base, true), "{name}");
    }
    assert!(!column(&catalog, "coded", "i").code);
    assert!(relation(&catalog, "coded").runs_code() && relation(&catalog, "shown").runs_code());
    assert!(!relation(&catalog, "tree").runs_code());
}

#[test]
fn what_decides_where_rows_are_is_known() {
    let catalog = decides(None);
    let of = |list: &[Arc<str>]| list.join(" ");
    assert_eq!(of(&relation(&catalog, "parted").partition_key), "region ssn", "below, too");
    assert_eq!(of(&relation(&catalog, "parted_w").partition_key), "region", "but not beside");
    assert_eq!(of(&relation(&catalog, "parted_e_low").partition_key), "ssn region");
    for (name, placed_by, placed) in [
        ("tree", "", "low deep"),
        ("low", "ssn", "deep"),
        ("deep", "ssn id own ssn", ""),
        ("plain", "", ""),
        ("parted", "", ""),
        ("parted_e_low", "", ""),
    ] {
        let known = relation(&catalog, name);
        let below: Vec<&str> = known.placed.iter().map(|name| &*name.name).collect();
        assert_eq!((of(&known.placed_by).as_str(), below.join(" ").as_str()), (placed_by, placed), "{name}");
    }
    let defaults = relation(&catalog, "defaults");
    assert_eq!(of(&defaults.called), "domain_in nextval now pg_backend_pid query_to_xml");
    assert!(!defaults.active && relation(&catalog, "coded").called.is_empty());
}

#[test]
fn what_policies_read_is_known() {
    let catalog = decides(None);
    let guard = |name: &str| relation(&catalog, name).guard.clone().unwrap();
    let reads = |name: &str| {
        let reads = guard(name)
            .reads
            .iter()
            .map(|(of, column)| match column {
                Some(column) => format!("{}.{column}", of.name),
                None => of.name.to_string(),
            })
            .collect::<Vec<_>>();
        reads.join(" ")
    };
    let calls = |name: &str| guard(name).calls.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(reads("fenced"), "fenced.id fenced.ssn fenced.tenant");
    assert_eq!(calls("fenced"), "app.same pg_catalog.current_setting", "not what looks at new rows alone");
    assert_eq!(reads("fenced_afar"), "tree.id plain plain.id plain.ssn fenced_afar.id fenced_afar.label");
    assert_eq!(calls("fenced_afar"), "app.check_it pg_catalog.domain_in");
    assert_eq!((reads("fenced_by_nothing").as_str(), guard("fenced").reads_more), ("", false));
    let freed: Vec<Arc<str>> = guard("fenced").freed.iter().cloned().collect();
    assert_eq!(freed.join(" "), "app_freed postgres");
    assert!(relation(&catalog, "tree").guard.is_none());
}

#[test]
fn what_the_target_runs_by_itself_is_its_own_until_it_is_reviewed() {
    let catalog = decides(None);
    let unfit: Vec<&str> = catalog.unfit().iter().map(|unfit| unfit.what.as_str()).collect();
    assert_eq!(unfit, ["operator class for app.mood calls `app.compare`"]);
    let on = |catalog: &Catalog, tag: &str| catalog.triggered(tag).map(ToString::to_string);
    assert_eq!(on(&catalog, "CREATE TABLE").as_deref(), Some("app.trigger"));
    assert_eq!(on(&catalog, "DROP TABLE").as_deref(), Some("app.trigger"));
    let reviewed = classification("[functions]\nallowed = [\"app.trigger\", \"app.compare\"]");
    let reviewed = catalog.classified(2, Some(&reviewed));
    assert!(reviewed.unfit().is_empty() && on(&reviewed, "CREATE TABLE").is_none());
}

/// An older gateway asks fewer questions.
#[test]
fn answers_to_fewer_questions_are_read() {
    let mut results: Vec<_> =
        serde_json::from_str::<Vec<Vec<Vec<Option<String>>>>>(include_str!("recorded/decides.json")).unwrap();
    results.truncate(16);
    assert!(Catalog::build(1, &results, None).is_err());
    results.truncate(15);
    results[4][0][1] = Some("[[\"a\",\"app.word[]\",4,null,null]]".to_owned());
    let catalog = Catalog::build(1, &results, None).unwrap();
    assert_eq!(&*column(&catalog, "coded", "a").base, "text");
    assert!(relation(&catalog, "fenced").guard.is_none() && catalog.triggered("DROP TABLE").is_none());
}
