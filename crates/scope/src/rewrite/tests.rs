use chaperone_access::{Class, Described, Showing};

use super::*;
use crate::analyse::tests::results;
use crate::classification::Classification;

const CLASSIFIED: &str = r#"
[relations."public.patients".columns]
id = { clear = true }
ssn = { tags = ["phi.ssn"], mask = "first_letter" }

[relations."public.secret"]
rows = "id = 7"
[relations."public.secret".columns]
id = { clear = true }
"#;

fn catalog() -> Catalog {
    let columns = |oid: &str, columns: &str| vec![Some(oid.to_owned()), Some(columns.to_owned())];
    let mut results = results();
    results[4] = vec![
        columns("4", r#"[["id","integer",0,null,null],["ssn","text",0,null,null]]"#),
        columns("5", r#"[["id","integer",0,null,null]]"#),
    ];
    let left = ["pg_catalog", "left", "true", "false", "false", ""];
    results[8].push(left.iter().map(|cell| Some((*cell).to_owned())).collect());
    let classification = Classification::load("t.toml", CLASSIFIED, &[].into()).unwrap();
    Catalog::build(1, &results, Some(&Arc::new(classification))).unwrap()
}

/// A caller to whom clear columns are revealed and nothing else, in the rows of the filter.
fn scope(catalog: &Catalog) -> Scope {
    let part = |name: &str| {
        let name = RelationName::new("public", name);
        let facts = catalog.facts(&name).unwrap();
        let showings = facts.columns.iter().map(|column| match column.class {
            Class::Clear => Showing::Revealed,
            Class::Tagged(_) | Class::Unclassified => Showing::Hidden,
        });
        (name.clone(), RelationScope::Part { showings: showings.collect(), all_rows: false })
    };
    Scope { relations: [part("patients"), part("secret")].into(), ..Scope::default() }
}

fn sent(sql: &str) -> Outcome<String> {
    let catalog = catalog();
    let path = [Arc::from("public")];
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    rewrite(sql, place, &scope(&catalog)).map(|text| text.to_string())
}

#[test]
fn a_relation_seen_in_part_is_replaced_where_it_is_read() {
    const PATIENTS: &str = "(SELECT t.id AS id, NULL::pg_catalog.text AS ssn FROM public.patients t)";
    for (sql, expected) in [
        ("select ssn from patients", format!("SELECT ssn FROM {PATIENTS} patients")),
        ("select public.p.ssn from only patients p", {
            let only = PATIENTS.replace("FROM public", "FROM ONLY public");
            format!("SELECT p.ssn FROM {only} p")
        }),
        (
            "with patients as (select 1 as ssn), a as (select ssn from patients) select a.ssn from a",
            "WITH chaperone_cte_1 AS (SELECT 1 AS ssn), chaperone_cte_2 AS (SELECT ssn FROM chaperone_cte_1 patients) \
             SELECT a.ssn FROM chaperone_cte_2 a"
                .to_owned(),
        ),
        ("copy patients to stdout", {
            let only = PATIENTS.replace("FROM public", "FROM ONLY public");
            format!("COPY (SELECT id, ssn FROM {only} patients) TO STDOUT")
        }),
        (
            "update patients set ssn = 'x' returning ssn",
            "UPDATE public.patients SET ssn = 'x' RETURNING NULL::pg_catalog.text AS ssn".to_owned(),
        ),
        (
            "select count(*) from secret",
            "SELECT pg_catalog.count(*) FROM (SELECT t.id AS id FROM public.secret t \
             WHERE id OPERATOR(pg_catalog.=) 7 OFFSET 0) secret"
                .to_owned(),
        ),
    ] {
        assert_eq!(sent(sql).unwrap(), expected, "{sql}");
    }
}

#[test]
fn what_is_returned_of_a_masked_column_is_its_mask() {
    let catalog = catalog();
    let path = [Arc::from("public")];
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    let mut scope = scope(&catalog);
    let masked = [Showing::Revealed, Showing::Masked].into();
    let part = RelationScope::Part { showings: masked, all_rows: false };
    scope.relations.insert(RelationName::new("public", "patients"), part);
    let text = rewrite("delete from patients returning ssn", place, &scope).unwrap();
    assert_eq!(
        &*text,
        "DELETE FROM public.patients RETURNING CASE WHEN pg_catalog.length(patients.ssn::pg_catalog.text) \
         OPERATOR(pg_catalog.>) 1 THEN pg_catalog.\"left\"(patients.ssn::pg_catalog.text, 1) OPERATOR(pg_catalog.||) '***' \
         WHEN patients.ssn IS NOT NULL THEN '***' END::pg_catalog.text AS ssn"
    );
}

#[test]
fn what_would_tell_is_refused() {
    for sql in [
        "update patients set id = 1 where ssn like '1%'",
        "update patients p set id = 1 where p.to_json is not null",
        "delete from patients p using secret s where p::text = 'x'",
        "insert into patients (id) values (1) on conflict (id) do update set id = length(excluded.ssn)",
        "update patients set id = (with c as (select patients.ssn) select length(ssn) from c)",
        "update patients set id = 1 where ctid is not null",
        "delete from secret",
        "explain analyze select * from patients",
        "select * from patients tablesample system (10)",
    ] {
        assert!(sent(sql).is_err(), "{sql}: {:?}", sent(sql));
    }
}

/// What is sent for somebody to whom `public.patients` is described.
fn described(sql: &str) -> String {
    let mut results = results();
    results[4] = vec![
        vec![
            Some("1".to_owned()),
            Some(
                r#"[["oid","oid",0,null,null],["relpages","integer",0,null,null],["relpartbound","pg_node_tree",0,null,null]]"#
                    .to_owned(),
            ),
        ],
    ];
    for name in ["oid", "pg_node_tree"] {
        let row = ["pg_catalog", name, "b", ""];
        results[10].push(row.iter().map(|cell| Some((*cell).to_owned())).collect());
    }
    let series = ["pg_catalog", "generate_series", "true", "false", "false", ""];
    results[8].push(series.iter().map(|cell| Some((*cell).to_owned())).collect());
    let catalog = Catalog::build(1, &results, None).unwrap();
    let these = catalog.own.iter().filter(|own| own.oid == 4).cloned().collect();
    let scope = Scope { described: Some(Described::These(these)), ..Scope::default() };
    let path = [Arc::from("public")];
    rewrite(sql, Place { catalog: &catalog, path: &path, temporary: &[] }, &scope).unwrap().to_string()
}

#[test]
fn catalogs_tell_of_what_is_described() {
    let told = |number: &str| {
        format!(
            "{number} OPERATOR(pg_catalog.<) '16384'::pg_catalog.oid \
             OR {number} OPERATOR(pg_catalog.=) ANY('{{4}}'::pg_catalog.oid[])"
        )
    };
    let shown = described("select relpartbound from pg_class");
    let instead = format!("CASE WHEN {} THEN t.relpartbound END AS relpartbound", told("t.oid"));
    assert!(
        shown.contains(&instead) && shown.contains("AS relpages") && !shown.contains("t.relpages"),
        "{shown}"
    );
    let number = "SELECT patients.id::pg_catalog.regclass::pg_catalog.oid OFFSET 0";
    assert_eq!(
        described("select pg_get_viewdef(patients.id, 4) from patients"),
        format!(
            "SELECT pg_catalog.pg_get_viewdef((SELECT g.o FROM ({number}) g(o) WHERE {}), 4) FROM public.patients",
            told("g.o")
        )
    );
    // What stands for a call has its name in the result.
    let shown = described("select pg_get_function_arguments(1) from patients");
    assert!(shown.contains("AS pg_get_function_arguments"), "{shown}");
    for (sql, kept) in [
        ("copy pg_class to stdout", "t.relpages"),
        ("explain select pg_get_viewdef(1) from pg_class", "pg_catalog.pg_class"),
    ] {
        let shown = described(sql);
        assert!(!shown.contains(kept), "{shown}");
    }
}

#[test]
fn the_second_look_finds_what_was_left_standing() {
    let catalog = catalog();
    let scope = scope(&catalog);
    let telling = Telling::new(&catalog, None, false);
    let holds =
        |sql: &str| Generated::default().holds(&tree::parse(sql).ok().unwrap().tree, &telling, &scope);
    assert!(holds("delete from public.patients"));
    for left in [
        "select 1 from public.patients",
        "select 1 from patients",
        "copy public.patients to stdout",
        "select length('x')",
        "select 1 + 1",
        "select 1 from pg_catalog.pg_class",
        "select pg_catalog.pg_get_viewdef(7)",
        "select pg_catalog.pg_get_viewdef((select g.o from (select 7 offset 0) as g(o) where true))",
    ] {
        assert!(!holds(left), "{left}");
    }
}
