//! Views of a target of which nothing is classified.

use super::*;

/// Nobody has said of any view that it may run.
#[test]
fn without_a_classification_no_view_is_reviewed() {
    let of = |definition: &str| {
        let mut results = results();
        results[4] = rows(&[&["7", r#"[["id","integer",0,null,null]]"#]]);
        results[12] = rows(&[&["7", definition]]);
        sent_at(&Arc::new(Catalog::build(1, &results, None).unwrap()), "select id from peek")
    };
    assert!(of("SELECT secret.id FROM public.secret").is_ok());
    let refusal = of("SELECT public.leak(1) AS id FROM public.secret").unwrap_err();
    assert!(refusal.message.starts_with("view `public.peek` may not run for you"), "{refusal}");
}

#[test]
fn what_was_called_when_rows_were_stored_is_not_called_where_they_are_read() {
    let of = |kind: &str| {
        let mut results = results();
        results[3].extend(rows(&[&["public", "made", kind, "false", "21", ""]]));
        results[4] = rows(&[&["21", r#"[["id","integer",0,null,null]]"#]]);
        results[7].extend(rows(&[&["21", "", "leak", "public"]]));
        results[12].extend(rows(&[&["21", "SELECT 1 AS id"]]));
        sent_at(&Arc::new(Catalog::build(1, &results, None).unwrap()), "select id from made")
    };
    assert!(of("m").is_ok(), "{:?}", of("m"));
    assert!(of("v").unwrap_err().message.contains("calls the function"));
}
