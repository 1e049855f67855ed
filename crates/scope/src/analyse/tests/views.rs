//! What views may do for their readers, and what the classification says of them.

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

/// PostgreSQL does not write down that a view depends on what is built in, or on the function behind an operator.
#[test]
fn a_view_runs_nothing_that_its_reader_may_not() {
    let judged = |definition: &str, called: &str| {
        let mut results = results();
        results[12] = rows(&[&["7", definition]]);
        results[3].push(rows(&[&["public", "above", "v", "false", "20", ""]]).remove(0));
        results[7]
            .extend(rows(&[&["20", "7", ""], &["7", "", called]]).into_iter().filter(|_| called != "-"));
        results[12].extend(rows(&[&["20", "SELECT peek.id FROM public.peek"]]));
        results[9].extend(rows(&[&["->", "hstore"]]));
        let catalog = Arc::new(Catalog::build(1, &results, None).unwrap());
        let itself = sent_at(&catalog, "select 1 from peek");
        assert_eq!(itself.is_ok(), sent_at(&catalog, "select 1 from above").is_ok(), "{definition}");
        itself
    };
    for definition in [
        "SELECT (secret.id OPERATOR(public.~~~) secret.id) AS id FROM public.secret",
        "SELECT pg_catalog.query_to_xml('select 1'::text, true, false, ''::text) AS id",
        "SELECT upper(public.leak(1)) AS id",
        "SELECT current_setting('data_directory'::text, true) AS id",
        "SELECT pg_catalog.set_config('a'::text, 'b'::text, false) AS id",
        "SELECT (secret.id)::public.checked AS id FROM public.secret",
        "WITH s AS (SELECT leak(1) AS id) SELECT s.id FROM s",
        "SELECT id FROM pg_catalog.pg_authid",
        "SELECT x.id FROM XMLTABLE('/r' PASSING (query_to_xml('x', true, false, '')) COLUMNS id text PATH '.') x",
        "no query",
    ] {
        let refusal = judged(definition, "").unwrap_err();
        assert!(refusal.message.starts_with("view `public.peek` may not run for you"), "{refusal}");
        assert!(refusal.hint.unwrap().contains("classifies"), "{definition}");
    }
    for definition in [
        "SELECT upper(secret.leak) AS id FROM public.secret",
        "WITH patients AS (SELECT 1 AS id) SELECT patients.id FROM patients, ONLY public.secret",
        "SELECT ('a'::text)::public.kind AS id",
    ] {
        assert!(judged(definition, "").is_ok(), "{definition}: {:?}", judged(definition, ""));
    }
    // Nobody knows yet what it runs.
    assert!(judged("", "").unwrap_err().message.contains("is not known"));
}

#[test]
fn what_the_classification_says_of_a_view_is_the_administrators_word() {
    let mut results = results();
    results[4] =
        rows(&[&["7", r#"[["id","integer",0,null,null]]"#], &["5", r#"[["id","integer",0,null,null]]"#]]);
    results[12] = rows(&[
        &["7", "SELECT (secret.id OPERATOR(public.->) secret.id) AS id FROM public.secret"],
        &["20", "SELECT peek.id FROM public.peek"],
    ]);
    results[4].extend(rows(&[&["20", r#"[["id","integer",0,null,null]]"#]]));
    results[3].push(rows(&[&["public", "above", "v", "false", "20", ""]]).remove(0));
    results[7].extend(rows(&[&["20", "7", ""]]));
    results[9].extend(rows(&[&["->", "hstore"]]));
    let of = |rules: &str, view: &str| {
        let rules = crate::classification::Classification::load("t.toml", rules, &[].into()).unwrap();
        let catalog = Arc::new(Catalog::build(1, &results, Some(&Arc::new(rules))).unwrap());
        let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
        let scope = ["peek", "secret", "above"].map(|name| {
            (chaperone_access::RelationName::new("public", name), chaperone_access::RelationScope::Whole)
        });
        let scope = Scope { relations: scope.into(), ..Scope::default() };
        let text = format!("select id from {view}");
        analyse(&Arc::from(text), &path, &Arc::from([]), &catalog).confined.get(&scope)
    };
    assert!(of("", "peek").is_err() && of("", "above").is_err());
    let peek = "[relations.\"public.peek\"]\nclear = true\n";
    assert!(of(peek, "peek").is_ok() && of(peek, "above").is_ok());
    let above = peek.replace("peek", "above");
    assert!(of(&above, "peek").is_err() && of(&above, "above").is_ok());
    let reviewed = "[extensions]\nallowed = [\"hstore\"]\n";
    assert!(of(reviewed, "peek").is_ok() && of(reviewed, "above").is_ok());
}

/// What it reads is looked at by whoever asks what the view reads.
#[test]
fn a_view_that_stands_for_itself_is_not_asked_which_relations_there_are() {
    let of = |definition: &str| {
        let mut results = results();
        results[12] = rows(&[&["7", definition]]);
        sent_at(&Arc::new(Catalog::build(1, &results, None).unwrap()), "select 1 from peek")
    };
    assert!(of("SELECT gone.id FROM public.gone").is_ok());
    assert!(of("SELECT pg_class.id FROM public.pg_class").is_ok(), "it only has the name of one");
    assert!(of("SELECT pg_authid.oid AS id FROM pg_authid").is_err());
}
