//! Operators and names after a dot, where somebody made one of the same name.

use super::*;

/// Every name that such an expression has is either completed or one that is looked at for the target as a whole.
#[test]
fn an_expression_with_a_syntax_of_its_own_calls_the_built_in_operator() {
    let mut results = results();
    results[9] = rows(&[&["~~", ""], &["~", ""], &["+", ""], &["=", ""]]);
    results[8].extend(rows(&[&["pg_catalog", "similar_to_escape", "true", "true", "false", ""]]));
    let catalog = Arc::new(Catalog::build(1, &results, None).unwrap());
    for (sql, expected) in [
        ("select 'a' like 'b'", "SELECT 'a' OPERATOR(pg_catalog.~~) 'b'"),
        ("select 'a' similar to 'b'", "SELECT 'a' OPERATOR(pg_catalog.~) pg_catalog.similar_to_escape('b')"),
        ("select 1 + 2", "SELECT 1 OPERATOR(pg_catalog.+) 2"),
        ("select 1 = any (array[2])", "SELECT 1 OPERATOR(pg_catalog.=) ANY(ARRAY[2])"),
        ("select 1 in (2)", "SELECT 1 IN (2)"),
        ("select 1 between 2 and 3", "SELECT 1 BETWEEN 2 AND 3"),
        ("select nullif(1, 2)", "SELECT NULLIF(1, 2)"),
        ("select 1 is distinct from 2", "SELECT 1 IS DISTINCT FROM 2"),
    ] {
        assert_eq!(sent_at(&catalog, sql).as_deref(), Ok(expected), "{sql}");
    }
    assert!(sent_at(&catalog, "select 1 operator(public.+) 2").is_err());
}

/// `x.leak` is a column where the relation that is meant has one.
#[test]
fn a_temporary_table_hides_the_columns_of_what_it_is_called_like() {
    let mut results = results();
    results[4] = rows(&[&["4", r#"[["leak","integer",0,null,null]]"#]]);
    let catalog = Arc::new(Catalog::build(1, &results, None).unwrap());
    let sent = |temporary: &str, sql: &str| {
        let own: Arc<[Arc<str>]> = Arc::from([Arc::from(temporary)]);
        let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
        analyse(&Arc::from(sql), &path, &own, &catalog).confined.get(&Scope::default()).is_ok()
    };
    for (temporary, relation, certain) in [
        ("mine", "patients", true),
        ("patients", "patients", false),
        ("patients", "pg_temp.patients", false),
        ("patients", "public.patients", true),
    ] {
        let sql = format!("select p.leak from {relation} p");
        assert_eq!(sent(temporary, &sql), certain, "{temporary} {relation}");
    }
}
