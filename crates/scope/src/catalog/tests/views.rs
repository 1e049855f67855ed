//! Which views show their readers nothing but what these see whole.

use super::*;
use crate::analyse::tests::results;

/// The small target with views of these definitions, each `(oid, name, reads, definition, extension)`.
fn made(views: &[(&str, &str, &str, &str, &str)]) -> Catalog {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let mut results = results();
    results[3].push(row(&["pg_catalog", "pg_am", "r", "false", "50", ""]));
    for (oid, name, reads, definition, extension) in views {
        results[3].push(row(&["public", name, "v", "false", oid, extension]));
        results[7].extend(reads.split_whitespace().map(|read| row(&[oid, read, ""])));
        results[12].push(row(&[oid, definition]));
    }
    Catalog::build(1, &results, None).unwrap()
}

/// Whether whoever sees these relations whole, and nothing else, reads a view as it is.
fn reads_only(catalog: &Catalog, view: &str, whole: &[&str]) -> bool {
    let is_whole = |name: &RelationName| &*name.schema == "public" && whole.contains(&&*name.name);
    catalog.reads_only(&public(view), &is_whole)
}

#[test]
fn a_view_of_what_is_seen_whole_shows_nothing_more() {
    let catalog = made(&[
        ("60", "above", "7", "SELECT peek.id FROM public.peek", ""),
        ("61", "both", "7 4", "SELECT peek.id FROM public.peek, public.patients", ""),
        ("62", "methods", "50", "SELECT 1 AS id FROM pg_catalog.pg_am", ""),
    ]);
    for (view, whole, only) in [
        ("peek", &["secret"][..], true),
        ("peek", &["patients", "peek"], false),
        ("above", &["secret"], true),
        ("above", &["peek", "above"], false),
        ("both", &["secret", "patients"], true),
        ("both", &["secret"], false),
        ("both", &["patients"], false),
        // What everybody may read of the system's is nobody's to decide about.
        ("methods", &[], true),
        ("nobody_knows", &["nobody_knows"], false),
    ] {
        assert_eq!(reads_only(&catalog, view, whole), only, "{view} {whole:?}");
    }
}

/// With its owner's rights it tells what its reader is not told, or runs what he may not run.
#[test]
fn a_view_that_asks_or_runs_more_is_no_view_of_what_is_seen_whole() {
    let catalog = made(&[
        ("60", "pages", "", "SELECT c.relpages AS id FROM pg_class c", ""),
        ("61", "around", "60", "SELECT pages.id FROM public.pages", ""),
        ("62", "named", "5", "SELECT secret.id AS pg_id FROM public.secret", ""),
        ("63", "calls", "5", "SELECT public.leak(secret.id) AS id FROM public.secret", ""),
        // Somebody alters what it reads.
        ("64", "altered", "5", "", ""),
        // Whoever made the extension grants it to everybody.
        ("65", "pg_known", "", "SELECT c.relpages AS id FROM pg_class c", "known"),
    ]);
    for (view, only) in [
        ("pages", false),
        ("around", false),
        ("named", true),
        ("calls", false),
        ("altered", false),
        ("pg_known", true),
    ] {
        assert_eq!(reads_only(&catalog, view, &["secret"]), only, "{view}");
    }
}

#[test]
fn views_under_views_are_looked_at_to_a_depth() {
    let names: Vec<(String, String, String, String)> = (0..40)
        .map(|n| {
            let (read, from) = match n {
                0 => ("5".to_owned(), "secret".to_owned()),
                n => (format!("{}", 99 + n), format!("deep_{}", n - 1)),
            };
            let definition = format!("SELECT v.id FROM public.{from} v");
            ((100 + n).to_string(), format!("deep_{n}"), read, definition)
        })
        .collect();
    let views: Vec<(&str, &str, &str, &str, &str)> =
        names.iter().map(|(oid, name, read, text)| (&**oid, &**name, &**read, &**text, "")).collect();
    let catalog = made(&views);
    let deepest = crate::walk::VIEW_DEPTH_MAX;
    for (depth, only) in [(deepest, true), (deepest + 1, false)] {
        assert_eq!(reads_only(&catalog, &format!("deep_{depth}"), &["secret"]), only, "{depth}");
    }
}
