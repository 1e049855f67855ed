use std::sync::Arc;

use crate::analyse::tests::results;
use crate::catalog::Catalog;
use crate::classification::Classification;
use crate::rewrite::tests::scope_of;
use crate::rewrite::{Place, rewrite};

fn sent(seen: &[(&str, &str)], sql: &str) -> String {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let mut results = results();
    let patients = r#"[["id","integer",0,null,null],["name","text",0,null,null],["born","json",0,null,null],["ssn","text",0,null,null]]"#;
    let secret = r#"[["number","integer",0,null,null],["name","text",0,null,null]]"#;
    results[4] = vec![row(&["4", patients]), row(&["5", secret])];
    results[5] = vec![row(&["p", "4", r#"["id"]"#, "0", "[]", "false"])];
    results[10].push(row(&["pg_catalog", "json", "b", ""]));
    for name in ["unnest", "generate_series"] {
        results[8].push(row(&["pg_catalog", name, "true", "false", "false", ""]));
    }
    let rules = "[relations.\"public.patients\".columns]\nid = { clear = true }\n[relations.\"public.secret\"]\nclear = true\n";
    let rules = Arc::new(Classification::load("t.toml", rules, &[].into()).unwrap());
    let catalog = Catalog::build(1, &results, Some(&rules)).unwrap();
    let path = [Arc::from("public")];
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    rewrite(sql, place, &scope_of(seen)).unwrap().to_string()
}

#[test]
fn a_relation_without_a_key_has_no_columns_that_one_determines() {
    let sql = "select name from secret group by number";
    assert!(
        sent(&[("secret", "rr")], sql).ends_with(" GROUP BY number"),
        "{}",
        sent(&[("secret", "rr")], sql)
    );
}

#[test]
fn several_arrays_side_by_side_are_written_as_functions_side_by_side() {
    for (call, written) in [
        ("unnest($1, $2)", "ROWS FROM (pg_catalog.unnest($1) , pg_catalog.unnest($2) ) t(a)"),
        ("unnest($1)", "pg_catalog.unnest($1) t(a)"),
        ("generate_series($1, $2)", "pg_catalog.generate_series($1, $2) t(a)"),
    ] {
        let sent = sent(&[], &format!("select a from {call} as t(a)"));
        assert_eq!(sent, format!("SELECT a FROM {written}"));
    }
}

#[test]
fn a_common_table_expression_is_meant_where_it_can_be_seen_by_a_name_alone() {
    const HIDDEN: &str = "(SELECT NULL::int AS id";
    let hides = |sql: &str| sent(&[("patients", "hhhh")], sql).contains(HIDDEN);
    assert!(
        hides("with patients as (select id from patients) select 1 from patients"),
        "it is not there yet"
    );
    assert!(!hides("with recursive patients as (select 1 as id union select id from patients) select 1"));
    assert!(hides("with patients as (select 1 as id) select id from public.patients"));
    assert!(hides("with a as (select 1 as id) select id from patients"));
}
