use std::sync::Arc;

use super::*;
use crate::rewrite::tests::{catalog, scope_of};
use crate::rewrite::{Place, rewrite};

/// What is sent to somebody who sees that of the patients: a letter for `id` and one for `ssn`.
fn sent(letters: &str, sql: &str) -> String {
    let catalog = catalog();
    let scope = scope_of(&[("patients", letters), ("secret", "r*")]);
    let path = [Arc::from("public")];
    rewrite(sql, Place { catalog: &catalog, path: &path, temporary: &[] }, &scope).unwrap().to_string()
}

#[test]
fn a_relation_is_read_by_its_name_where_nothing_hidden_can_be_named() {
    for (sql, expected) in [
        ("select id from patients", "SELECT id FROM public.patients patients"),
        ("select ssn from patients", "SELECT NULL::pg_catalog.text AS ssn FROM public.patients patients"),
        (
            "select p.id, public.p.ssn as number from only patients p where p.id = 7",
            "SELECT p.id, NULL::pg_catalog.text AS number FROM ONLY public.patients p \
             WHERE p.id OPERATOR(pg_catalog.=) 7",
        ),
        (
            "select distinct count(*) as n, id from patients group by id having count(id) > 1 order by n desc, id limit 2",
            "SELECT DISTINCT pg_catalog.count(*) AS n, id FROM public.patients patients GROUP BY id \
             HAVING pg_catalog.count(id) OPERATOR(pg_catalog.>) 1 ORDER BY n DESC, id LIMIT 2",
        ),
        (
            "select * from patients order by ssn, id",
            "SELECT patients.id, NULL::pg_catalog.text AS ssn FROM public.patients patients ORDER BY ssn, id",
        ),
        (
            "select id, p.*, * from patients p",
            "SELECT id, p.id, NULL::pg_catalog.text AS ssn, p.id, NULL::pg_catalog.text AS ssn \
             FROM public.patients p",
        ),
        // A result is what ORDER BY names first.
        (
            "select ssn, id as tableoid from patients order by ssn",
            "SELECT NULL::pg_catalog.text AS ssn, id AS tableoid FROM public.patients patients ORDER BY ssn",
        ),
        (
            "select 1 where exists (select from patients where id = 1)",
            "SELECT 1 WHERE EXISTS (SELECT FROM public.patients patients WHERE id OPERATOR(pg_catalog.=) 1)",
        ),
        (
            "select id from patients union all select ssn::int4 from patients",
            "SELECT id FROM public.patients patients UNION ALL SELECT ssn::int FROM \
             (SELECT t.id AS id, NULL::pg_catalog.text AS ssn FROM public.patients t) patients",
        ),
    ] {
        assert_eq!(sent("rh", sql), expected, "{sql}");
    }
}

#[test]
fn a_sub_select_stands_wherever_more_could_be_named() {
    for sql in [
        "select (p).* from patients p",
        // Not grouped by, they are an error, which a constant would be none.
        "select ssn, count(*) from patients",
        "select ssn from patients group by id having id > 1",
        "select ssn from patients order by count(*)",
        "select distinct on (count(*)) ssn from patients",
        "select ssn from patients window w as (order by count(*))",
        // Were there no such column any more, it would be the row.
        "select id from patients id",
        // Of what is around it.
        "select (select o.ssn from patients where id = 1) from secret o",
        "select b.* from patients p",
        "select p.*, (p.*)::text from patients p",
        "select count(p.*) from patients p",
        "select patients from patients",
        "select count(p) from patients p",
        "select (p).ssn from patients p",
        "select left(p) from patients p",
        "select p::text from patients p",
        "select id from patients where ssn = 'x'",
        "select id from patients group by id, ssn",
        "select id from patients order by ssn",
        "select id, 1 as ssn from patients order by patients.ssn",
        "select id, 1 as ssn from patients order by ssn || 'x'",
        "select id, 1 as ssn from patients group by id, ssn",
        "select id, 1 as ssn, count(id) over (order by ssn) from patients",
        "select left(ssn, 1) from patients",
        "select count(id) filter (where ssn = 'x') from patients",
        "select count(id order by ssn) from patients",
        "select count(id) over w from patients window w as (partition by ssn)",
        "select distinct on (ssn) id from patients",
        "select id from patients limit (select count(*) from patients)",
        "select id, (select 1) from patients",
        "select id from patients where id in (select 1)",
        "select a from patients as p(a, b)",
        "select id from patients, secret",
        "select id from patients for update",
        "select patients.id from patients natural join patients b",
        "select ctid from patients",
        "select 1 from patients where xmin is null",
        "with a as (select 1) select id from patients",
        "select p.id from secret, lateral (select o.id from patients p, secret o) p",
    ] {
        assert!(sent("rh", sql).contains("FROM public.patients t)"), "{sql}: {}", sent("rh", sql));
    }
}

#[test]
fn a_sub_select_stands_where_others_decide_what_is_named() {
    // One of the caller's own names what it has itself.
    let own = sent("rh", "select id from (select 7 as id from patients) p");
    assert!(own.contains("SELECT 7 AS id"), "{own}");
    // A query inside that asks what is around it.
    let around =
        sent("rh", "select 1 from secret where exists (select from patients where patients.id = secret.id)");
    assert!(around.contains("FROM public.patients t)"), "{around}");
    // What shows a part of a value reads it, and what leaves rows out is no name.
    for (letters, sql) in
        [("rm", "select id, ssn from patients"), ("hh", "select id from patients where id = 1")]
    {
        assert!(sent(letters, sql).contains("FROM public.patients t)"), "{letters}");
    }
    assert_eq!(
        sent("rh", "select id from secret"),
        "SELECT id FROM public.secret secret",
        "all rows are seen"
    );
    assert_eq!(sent("whole", "select ssn from patients"), "SELECT ssn FROM public.patients");
    assert!(sent("rh", "select tableoid, id from patients").contains("t.tableoid AS tableoid"));
    let written = sent("rh", "update secret set id = 1 where exists (select from patients)");
    assert!(
        written.contains("FROM public.patients t)"),
        "names of the target would be taken for columns: {written}"
    );
}

/// The look at what is sent does not trust what decided it.
#[test]
fn what_is_read_by_its_name_names_what_is_revealed() {
    let catalog = catalog();
    let told = |letters: &str, sql: &str| {
        let tree = tree::parse(sql).ok().unwrap().tree;
        let mut found = Vec::new();
        tree.each(&mut |fields| found.extend(fields.get("from_clause").map(|_| fields)));
        names_what_is_revealed(found[0], &catalog, &scope_of(&[("patients", letters), ("secret", "r")]))
    };
    const READS: &str = "select id from public.patients";
    assert!(
        told("rh", READS) && told("rm", READS) && told("rr", "select id, patients.ssn from public.patients")
    );
    assert!(!told("hh", READS) && !told("mr", READS) && !told("whole", READS));
    assert!(!told("r", READS) && !told("rhh", READS), "decided of something else");
    for sql in [
        "select id from patients",
        "select id from other.patients",
        "select id from public.secret",
        "select o.id from public.patients p",
        "select public.p.id from public.patients p",
        "select ssn from public.patients",
        "select id as ssn from public.patients order by ssn || ''",
        "select id as ssn from public.patients order by patients.ssn",
        "select id from public.patients as p(id, x)",
        "select id from public.patients id",
        "select id from public.patients tablesample system (1)",
        "select id from public.patients, public.patients b",
        "select id from public.patients for share",
        "select id into temp x from public.patients",
        "update public.secret set id = 1 from public.patients",
        "select id from public.patients where (select true)",
        "select id.* from public.patients",
        "select id as ssn from public.patients order by ssn.*",
    ] {
        assert!(!told("rh", sql), "{sql}");
    }
}

#[test]
fn only_a_table_that_is_spoken_of_and_has_no_code_is_read_by_its_name() {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let id = r#"[["id","integer",0,null,null]]"#;
    let mut results = crate::analyse::tests::results();
    results[4] = vec![
        row(&["4", r#"[["id","integer",0,null,null],["word","public.checked",4,"text",null]]"#]),
        row(&["5", id]),
        row(&["7", id]),
        row(&["9", id]),
    ];
    let rules = "[relations.\"public.patients\"]\nclear = true\n[relations.\"public.secret\"]\nrows = \"id = 7\"\n\
        [relations.\"public.peek\"]\nclear = true\n[relations.\"public.visits\"]\nclear = true\n";
    let rules = Arc::new(crate::classification::Classification::load("t.toml", rules, &[].into()).unwrap());
    let catalog = Catalog::build(1, &results, Some(&rules)).unwrap();
    let named = |relation: &str, letters: &str| {
        let tree = tree::parse(&format!("select id from public.{relation}")).ok().unwrap().tree;
        let mut found = Vec::new();
        tree.each(&mut |fields| found.extend(fields.get("from_clause").map(|_| fields)));
        names_what_is_revealed(found[0], &catalog, &scope_of(&[(relation, letters)]))
    };
    assert!(named("visits", "r*"));
    assert!(!named("patients", "rh*"), "a value of such a type has its code look at others");
    assert!(!named("secret", "r*"), "nobody said anything of its columns");
    assert!(!named("peek", "r*"), "a view");
}
