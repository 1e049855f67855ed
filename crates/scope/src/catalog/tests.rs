mod rules;
mod views;

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
fn what_settings_write_otherwise_may_be_judged_otherwise() {
    let catalog = odd(None);
    assert_eq!(
        lists(&relation(&catalog, "loose").standing),
        ["f", "k b", "place", "f"],
        "text of a fraction, of bytes, of a figure; neither of a whole number nor of what JSON has"
    );
    assert_eq!(relation(&catalog, "loose_part").arrivals.join(" "), "f", "what is computed anew there");
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
    assert!(relation(&catalog, "calling").calls.iter().any(|call| &*call.name == "whole_text"));
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
    assert!(!relation(&catalog, "coded").is_plain() && !relation(&catalog, "shown").is_plain());
    assert!(relation(&catalog, "tree").is_plain());
    assert!(column(&catalog, "spans", "e").code, "what sends a value is code");
    for (name, planned) in [("a", true), ("b", true), ("c", true), ("d", false)] {
        let found = column(&catalog, "spans", name);
        assert_eq!((found.planned, found.code), (planned, false), "{name}");
    }
    assert!(!relation(&catalog, "spans").is_plain() && relation(&catalog, "tree").is_plain());
}

#[test]
fn what_views_call_is_known_with_its_schema() {
    let catalog = decides(None);
    let calls =
        |name: &str| relation(&catalog, name).calls.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(calls("calling"), ["app.same"]);
    assert_eq!(calls("comparing"), ["app.same"], "by an operator");
    // Of a function that is called like a built-in one an older gateway knows the name only.
    let old = with(&[(7, &["8", "", "upper"])], None);
    let view = old.relations.get(&RelationName::new("public", "calling")).unwrap();
    assert!(view.calls.contains(&RelationName::new("pg_catalog", "upper")));
}

#[test]
fn what_decides_where_rows_are_is_known() {
    let catalog = decides(None);
    let of = |list: &[Arc<str>]| list.join(" ");
    let by = |list: &[(RelationName, Arc<str>)]| {
        let each: Vec<String> = list.iter().map(|(of, column)| format!("{}.{column}", of.name)).collect();
        each.join(" ")
    };
    assert_eq!(of(&relation(&catalog, "parted").partition_key), "region ssn", "below, too");
    assert_eq!(of(&relation(&catalog, "parted_w").partition_key), "region", "but not beside");
    assert_eq!(of(&relation(&catalog, "parted_e_low").partition_key), "ssn region");
    const PLACED: &str = "low.ssn deep.id deep.own deep.ssn named.ssn";
    for (name, placed_by, placed) in [
        ("tree", "", "low deep named"),
        // What may not be in the one is in another.
        ("low", PLACED, "deep"),
        ("deep", PLACED, ""),
        ("plain", PLACED, "named"),
        // A column that need not have a value above.
        ("named", PLACED, ""),
        ("parted", "", ""),
        ("parted_e_low", "", ""),
    ] {
        let known = relation(&catalog, name);
        let below: Vec<&str> = known.placed.iter().map(|name| &*name.name).collect();
        assert_eq!((by(&known.placed_by).as_str(), below.join(" ").as_str()), (placed_by, placed), "{name}");
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
    assert_eq!(
        unfit,
        [
            "operator app.~=~ of app.tone and app.tone calls `app.alike`",
            "operator class for app.mood calls `app.compare`"
        ],
        "whatever an operator of an operator class is called"
    );
    let on = |catalog: &Catalog, tag: &str| catalog.triggered(tag).map(ToString::to_string);
    assert_eq!(on(&catalog, "CREATE TABLE").as_deref(), Some("app.trigger"));
    assert_eq!(on(&catalog, "DROP TABLE").as_deref(), Some("app.trigger"));
    let reviewed = classification("[functions]\nallowed = [\"app.trigger\", \"app.compare\", \"app.alike\"]");
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

/// The small target of other tests, with rows more.
fn with(more: &[(usize, &[&str])], rules: Option<&str>) -> Catalog {
    let mut results = crate::analyse::tests::results();
    for (query, cells) in more {
        results[*query].push(cells.iter().map(|cell| Some((*cell).to_owned())).collect());
    }
    Catalog::build(1, &results, rules.map(classification).as_ref()).unwrap()
}

fn public(name: &str) -> RelationName {
    RelationName::new("public", name)
}

#[test]
fn what_is_the_targets_own_is_neither_the_systems_nor_the_floors() {
    let floor: &[&str] = &["chaperone_floor", "caller", "v", "false", "30", ""];
    let catalog = with(&[(3, floor), (3, &["public", "numbers", "S", "false", "31", ""])], None);
    assert!(catalog.own().all(|name| matches!(&*name.schema, "public" | "other")));
    assert_eq!(catalog.own().count(), catalog.len());
    assert!(catalog.resolve("chaperone_floor", "caller", &[]).is_none());
    assert!(catalog.names.contains("caller"), "no common table expression gets the name");
    assert!(catalog.is_sequence(&public("numbers")) && !catalog.is_sequence(&public("patients")));
}

#[test]
fn a_name_is_looked_up_where_the_session_would() {
    let catalog = with(&[(3, &["public", "pg_class", "r", "false", "30", ""])], None);
    let found = |path: &[&str]| {
        let path: Vec<Arc<str>> = path.iter().map(|schema| Arc::from(*schema)).collect();
        catalog.resolve("", "pg_class", &path).map(|(name, _)| name.schema.to_string())
    };
    assert_eq!(found(&["public"]).as_deref(), Some("pg_catalog"));
    assert_eq!(found(&["public", "pg_catalog"]).as_deref(), Some("public"));
}

#[test]
fn a_view_is_taken_apart_unless_a_line_clears_its_columns() {
    const CLEAR: &str = "[relations.\"public.peek\"]\nclear = true\n";
    let columns: &[&str] = &["7", r#"[["id","integer",0,null,null],["ssn","text",0,null,null]]"#];
    let taken = |more: &[(usize, &[&str])], rules: Option<&str>, name: &str| {
        with(more, rules).is_taken_apart(&public(name))
    };
    assert!(taken(&[(4, columns)], None, "peek"));
    assert!(taken(&[(4, columns)], Some(""), "peek"));
    assert!(!taken(&[(4, columns)], Some(CLEAR), "peek"));
    // There is nothing to clear.
    assert!(taken(&[], Some(CLEAR), "peek"));
    assert!(!taken(&[], Some(""), "patients") && !taken(&[], Some(""), "nobody_knows"));
}

#[test]
fn each_relation_has_its_own_filter() {
    let rules = "[relations.\"public.patients\"]\nrows = \"id = 7\"\n[relations.\"public.secret\"]\nrows = \"ssn = 'x'\"\n";
    let columns = r#"[["id","integer",0,null,null],["ssn","text",0,null,null]]"#;
    let catalog = with(&[(4, &["4", columns]), (4, &["5", columns])], Some(rules));
    let read = |name: &str| catalog.filter_columns(&public(name)).map(|name| &**name).collect::<Vec<_>>();
    assert_eq!((read("patients"), read("secret")), (vec!["id"], vec!["ssn"]));
    let mut inline: Vec<_> = catalog.filtered_inline().map(ToString::to_string).collect();
    inline.sort_unstable();
    assert_eq!(inline, ["public.patients", "public.secret"]);
}

#[test]
fn what_stands_above_comes_nearest_first_and_ends() {
    // `low` inherits from `a` and `b`, both of them from `c`, by ways of different lengths, and that from `d`.
    let mut more: Vec<(usize, Vec<String>)> = Vec::new();
    let mut relation = |name: &str, oid: usize| {
        let cells = ["public", name, "r", "false", &oid.to_string(), ""].map(str::to_owned);
        more.push((3, cells.to_vec()));
    };
    for (name, oid) in [("low", 40), ("a", 41), ("b", 42), ("c", 43), ("d", 44)] {
        relation(name, oid);
    }
    (100..200).for_each(|oid| relation(&format!("chain_{oid}"), oid));
    for (child, parent) in [(40, 41), (40, 42), (42, 43), (43, 44), (41, 43)] {
        more.push((6, vec![child.to_string(), parent.to_string()]));
    }
    (100..199).for_each(|oid| more.push((6, vec![oid.to_string(), (oid + 1).to_string()])));
    let more: Vec<(usize, Vec<&str>)> =
        more.iter().map(|(query, cells)| (*query, cells.iter().map(String::as_str).collect())).collect();
    let more: Vec<(usize, &[&str])> = more.iter().map(|(query, cells)| (*query, cells.as_slice())).collect();
    let catalog = with(&more, None);
    let above =
        |name: &str| catalog.above(&public(name)).iter().map(|n| n.name.to_string()).collect::<Vec<_>>();
    assert_eq!(above("low"), ["a", "b", "c", "d"]);
    assert_eq!(above("chain_150").len(), 49);
    assert_eq!(above("chain_100").len(), 64, "no hierarchy is followed without end");
}

#[test]
fn only_what_is_partitioned_hands_its_checks_down() {
    let check = |oid: &'static str| ["c", oid, r#"["id"]"#, "0", "[]", "false"];
    let child: &[&str] = &["public", "child", "r", "false", "40", ""];
    let catalog = with(&[(3, child), (6, &["40", "4"]), (5, &check("4")), (5, &check("9"))], None);
    let checks = |name: &str| catalog.relations.get(&public(name)).unwrap().checks.len();
    assert_eq!((checks("child"), checks("visits_2026")), (0, 1), "PostgreSQL lists those that are inherited");
}
