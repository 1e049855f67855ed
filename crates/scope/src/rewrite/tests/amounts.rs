//! What a short text may come to.

use super::*;

fn refused_as(sql: &str, catalog: &Catalog) -> Option<RefusalCode> {
    let path = [Arc::from("public")];
    let place = Place { catalog, path: &path, temporary: &[] };
    rewrite(sql, place, &scope(catalog)).err().map(|refusal| refusal.code)
}

fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(", ")
}

/// Each name, star and column has many bytes in its place.
#[test]
fn what_stands_for_names_has_a_bound() {
    let catalog = catalog();
    for (few, many, text) in [
        (50, 15_000, |count| format!("select 1 from {}", list(count, |place| format!("patients p{place}")))),
        (50, 12_000, |count| format!("select {}", list(count, |_| "(select 1 from secret)".to_owned()))),
        (50, 50_000, |count| format!("select tableoid, {} from patients", list(count, |_| "*".to_owned()))),
        (50, 50_000, |count| format!("select {} from patients", list(count, |_| "*".to_owned()))),
        (50, 50_000, |count| format!("delete from patients returning {}", list(count, |_| "*".to_owned()))),
        (50, 120_000, |count| {
            format!("delete from patients returning coalesce({})", list(count, |_| "ssn".to_owned()))
        }),
    ] as [(usize, usize, fn(usize) -> String); 6]
    {
        assert_eq!(refused_as(&text(few), &catalog), None, "{}", text(2));
        assert_eq!(refused_as(&text(many), &catalog), Some(RefusalCode::TooComplex), "{}", text(2));
    }
}

/// Columns that are named have no more in their place than there is in the text.
#[test]
fn what_is_named_one_by_one_is_as_long_as_it_is() {
    let ids = |count: usize| list(count, |_| "id".to_owned());
    for text in [
        format!("select {} from patients", ids(60_000)),
        format!("delete from patients where coalesce({}) = 1", ids(110_000)),
        format!("delete from patients returning {}", ids(45_000)),
    ] {
        assert_eq!(refused_as(&text, &catalog()), None, "{}", &text[..40]);
    }
}

/// One whose look takes what it is asked twice would double it with each.
#[test]
fn looks_are_not_nested() {
    let mut results = results();
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    for name in ["pg_get_function_arguments", "pg_get_functiondef"] {
        results[8].push(row(&["pg_catalog", name, "true", "false", "false", ""]));
    }
    results[10].push(row(&["pg_catalog", "oid", "b", ""]));
    results[10].push(row(&["pg_catalog", "text", "b", ""]));
    let classification = Classification::load("t.toml", CLASSIFIED, &[].into()).unwrap();
    let catalog = Catalog::build(1, &results, Some(&Arc::new(classification))).unwrap();
    let path = [Arc::from("public")];
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    let scope = Scope { described: Some(Described::All), ..Scope::default() };
    let nested = |name: &str, depth: usize| {
        let inner = (0..depth).fold("1".to_owned(), |inner, _| format!("{name}(({inner})::oid)"));
        crate::pool::on_a_deep_stack(|| rewrite(&format!("select {inner}, {name}(2)"), place, &scope))
    };
    assert!(nested("pg_get_function_arguments", 1).is_ok());
    let refusal = nested("pg_get_function_arguments", 2).unwrap_err();
    assert!(refusal.message.contains("function of its kind"), "{}", refusal.message);
    // One that is asked once grows by as much with each, and may be asked in another.
    let mixed = "select pg_get_function_arguments((pg_get_functiondef(1))::oid)";
    assert!(rewrite(mixed, place, &scope).is_ok());
    assert!(
        nested("pg_get_functiondef", 9).unwrap().len() < 2 * nested("pg_get_functiondef", 5).unwrap().len()
    );
}
