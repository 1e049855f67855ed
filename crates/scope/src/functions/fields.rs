//! What a name after a dot may be, and what counts as the server's own.

use super::*;
use crate::analyse::tests::results;
use crate::catalog::tests::{classification, odd};
use crate::rewrite::Place;
use crate::tree::{Value, parse};
use crate::walk::Walk;

/// Why a statement is refused before anything is written out.
fn refusal(catalog: &Catalog, statement: &str) -> Option<String> {
    let parsed = parse(statement).unwrap();
    let statements = parsed.statements(statement);
    let (statement, _): &(&Value, _) = &statements[0];
    let place = Place { catalog, path: &[Arc::from("app")], temporary: &[] };
    Walk::new(place, false).statement(statement).refusal.map(|refusal| refusal.message)
}

#[test]
fn a_dot_casts_to_no_type_with_code() {
    let allowed = classification("[extensions]\nallowed = [\"hstore\"]");
    let catalog = odd(Some(&allowed));
    for cast in [
        "select ('1'::text).pos",
        "select x.pos from visits_2020 x",
        "select (array['1'])[1].pos2",
        "select ('{1}'::text)._pos",
        "select ('(1)'::text).pair",
        "select x.people from visits x",
        "select ((select '1'::text)).pos",
    ] {
        let told = refusal(&catalog, cast).unwrap_or_default();
        assert!(told.contains("make a type of that name"), "{cast}: {told}");
    }
    for plain in [
        "select ('a'::text).mood",
        "select ('a'::text).ghstore",
        "select ('(1,,)'::text).orders",
        "select x.code from people x",
        "select x.pos from (select id as pos from people) x",
    ] {
        assert_eq!(refusal(&catalog, plain), None, "{plain}");
    }
    let unlisted = odd(Some(&classification("")));
    assert!(refusal(&unlisted, "select ('a'::text).ghstore").is_some());
}

#[test]
fn a_dot_calls_nothing_that_something_stands_for() {
    let mut rows = results();
    let calls = NOTHING.iter().chain(&IDLE).map(|(name, _)| *name).chain(REFUSED).chain(["pg_get_viewdef"]);
    for name in calls.clone() {
        rows[8]
            .push(["pg_catalog", name, "true", "true", "false", ""].map(|cell| Some(cell.to_owned())).into());
    }
    let catalog = Catalog::build(1, &rows, None).unwrap();
    for name in calls {
        let told = refusal(&catalog, &format!("select ('1'::text).{name}"));
        assert!(told.is_some(), "{name}");
    }
    assert_eq!(refusal(&catalog, "select ('a'::text).upper"), None);
}

#[test]
fn what_somebody_made_in_pg_catalog_is_not_built_in() {
    let mut rows = results();
    let made = [["random", "true"], ["peek", "true"], ["pg_typeof", "true"]];
    for [name, foreign] in made {
        rows[8]
            .push(["pg_catalog", name, "true", "true", foreign, ""].map(|cell| Some(cell.to_owned())).into());
    }
    rows[10].push(["pg_catalog", "planted", "x", ""].map(|cell| Some(cell.to_owned())).into());
    let catalog = Catalog::build(1, &rows, None).unwrap();
    for [name, _] in made {
        assert_eq!(standing(&catalog, name), Standing::Refused, "{name}");
    }
    assert!(refusal(&catalog, "select '1'::planted").is_some());
    assert!(refusal(&catalog, "select ('1'::text).planted").is_some());
    assert!(listed_relation("information_schema", "columns"));
    assert!(!listed_relation("information_schema", "planted"));
}

#[test]
fn a_name_of_two_extensions_is_theirs_where_both_may_be_used() {
    let mut rows = results();
    let of = |extensions: &str| ["<->", extensions].map(|cell| Some(cell.to_owned())).into();
    rows[9].push(of("citext,pg_trgm"));
    let both = classification("[extensions]\nallowed = [\"citext\", \"pg_trgm\"]");
    let catalog = Catalog::build(1, &rows, Some(&both)).unwrap();
    assert!(extension_operator(&catalog, "<->"));
    let catalog = catalog.classified(2, Some(&classification("[extensions]\nallowed = [\"citext\"]")));
    assert!(!extension_operator(&catalog, "<->") && !extension_operator(&catalog, "~~~"));
}

#[test]
fn a_parameter_of_what_is_not_told_is_taken_for_what_the_function_takes() {
    for (name, typ) in [
        ("pg_table_size", Some("regclass")),
        ("pg_tablespace_location", Some("oid")),
        ("pg_stat_get_live_tuples", Some("oid")),
        ("pg_cancel_backend", Some("int4")),
        ("pg_xact_commit_timestamp", Some("xid")),
        ("pg_conf_load_time", None),
        ("upper", None),
    ] {
        assert_eq!(argument_of(name), typ, "{name}");
    }
}

#[test]
fn rows_of_a_relation_are_a_type_where_none_of_their_columns_has_code() {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let mut rows = results();
    rows[3].push(row(&["public", "far", "f", "false", "60", ""]));
    rows[3].push(row(&["public", "coded", "r", "false", "61", ""]));
    let column = |typ: &str, flags: u8| format!(r#"[["a","{typ}",{flags},null,null]]"#);
    rows[4] =
        [("1", "integer", 0), ("4", "integer", 0), ("5", "public.checked", 4), ("6", "public.kind[]", 0)]
            .into_iter()
            .chain([("10", "public.odd", 0), ("60", "integer", 0), ("61", "public.kind", 4)])
            .map(|(oid, typ, flags)| row(&[oid, &column(typ, flags)]))
            .collect();
    let catalog = Catalog::build(1, &rows, None).unwrap();
    for (schema, name, is_type) in [
        ("public", "patients", true),
        ("public", "audited", true),
        ("public", "secret", false),
        ("public", "visits_2026", false),
        ("public", "far", false),
        // Of a type that may be named, and that calls what nobody looked at.
        ("public", "coded", false),
        // Nothing is known of its columns.
        ("public", "visits", false),
        ("pg_catalog", "pg_class", false),
        ("other", "audited", false),
    ] {
        assert_eq!(is_row_type(&catalog, schema, name), is_type, "{schema}.{name}");
    }
    assert_eq!(written_as("information_schema", "yes_or_no"), Some("varchar"));
    assert_eq!(written_as("public", "yes_or_no"), None);
}
