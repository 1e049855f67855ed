//! Who locked a row, which it says for long: whoever writes a foreign key locks the row that it points to.

use std::sync::Arc;

use chaperone_access::Scope;

use crate::analyse::tests::results;
use crate::catalog::Catalog;
use crate::classification::Classification;
use crate::rewrite::tests::scope_of;
use crate::rewrite::{Outcome, Place, rewrite};

const RULES: &str = "[relations.\"public.secret\"]\nclear = true\n[relations.\"public.patients\"]\n#rows\n\
                     [relations.\"public.patients\".columns]\nid = { clear = true }\nssn = { tags = [\"phi.ssn\"] }\n";
/// What stands for `secret` where its locks would tell.
const SUB: &str = "(SELECT t.id AS id, t.name AS name FROM public.secret t)";
const LOCKS: &str = "select xmax from secret";

fn row(cells: &[&str]) -> Vec<Option<String>> {
    cells.iter().map(|cell| Some((*cell).to_owned())).collect()
}

/// `patients (id, ssn)`, whose `ssn` points to the key of `secret (id, name)`; `peek`, a view of the latter's locks, `calling`,
/// one of its key, and `locking`, one that locks its rows. With a filter of `patients`, and with row security of it.
fn target(filter: &str, fenced: bool) -> Catalog {
    let mut results = results();
    results[4] = vec![
        row(&["4", r#"[["id","integer",0,null,null],["ssn","text",0,null,null]]"#]),
        row(&["5", r#"[["id","integer",0,null,null],["name","text",0,null,null]]"#]),
        row(&["7", r#"[["id","xid",0,null,null]]"#]),
        row(&["8", r#"[["id","integer",0,null,null]]"#]),
    ];
    results[3].push(row(&["public", "locking", "v", "false", "20", ""]));
    results[4].push(row(&["20", r#"[["id","integer",0,null,null]]"#]));
    results[5] = vec![
        row(&["f", "4", r#"["ssn"]"#, "5", r#"["id"]"#, "false"]),
        row(&["p", "5", r#"["id"]"#, "0", "[]", "false"]),
    ];
    results[7] = ["7", "8", "20"].map(|view| row(&[view, "5", ""])).to_vec();
    results[12] = vec![
        row(&["7", "SELECT secret.xmax AS id FROM public.secret"]),
        row(&["8", "SELECT secret.id FROM public.secret"]),
        row(&["20", "SELECT secret.id FROM public.secret FOR UPDATE"]),
    ];
    if fenced {
        results.extend([vec![row(&["p", "4", "[]", "[]", "[]"])], Vec::new()]);
    }
    let rules = Classification::load("t.toml", &RULES.replace("#rows", filter), &[].into()).unwrap();
    Catalog::build(1, &results, Some(&Arc::new(rules))).unwrap()
}

fn sent(catalog: &Catalog, scope: &Scope, sql: &str) -> Outcome<String> {
    let path = [Arc::from("public")];
    let place = Place { catalog, path: &path, temporary: &[] };
    rewrite(sql, place, scope).map(|text| text.to_string())
}

/// What is sent for whoever sees `secret` whole and that much of `patients`.
fn with(catalog: &Catalog, patients: &str, sql: &str) -> Outcome<String> {
    let seen =
        [("secret", "whole"), ("patients", patients), ("peek", "h"), ("calling", "h"), ("locking", "h")];
    sent(catalog, &scope_of(&seen), sql)
}

#[test]
fn who_locked_rows_is_not_told_where_what_points_to_them_is_not_seen() {
    let catalog = target("", false);
    for (sql, from) in [
        (LOCKS, "secret"),
        ("select s.XMAX from secret s", "s"),
        ("select (s).xmax from secret s", "s"),
        (r#"select U&"xm\0061x" from secret"#, "secret"),
    ] {
        let part = with(&catalog, "rh", sql).unwrap();
        assert!(part.ends_with(&format!(" FROM {SUB} {from}")), "{sql}: {part}");
        for patients in ["whole", "rr"] {
            let whole = with(&catalog, patients, sql).unwrap();
            assert!(!whole.contains(SUB), "{sql}: {whole}");
        }
        let undecided = sent(&catalog, &scope_of(&[("secret", "whole")]), sql).unwrap();
        assert!(undecided.contains(SUB), "nothing was said of it");
    }
    let beside = with(&catalog, "rh", "select id, ctid from secret").unwrap();
    assert_eq!(beside, "SELECT id, ctid FROM public.secret");
}

#[test]
fn who_locked_rows_is_not_told_where_not_all_rows_that_point_to_them_are_seen() {
    let shown = |catalog: &Catalog, patients: &str| !with(catalog, patients, LOCKS).unwrap().contains(SUB);
    assert!(!shown(&target("", true), "whole"), "row security may leave out some");
    let filtered = target("rows = \"id = 7\"", false);
    for (patients, told) in [("rr", false), ("rr*", true), ("rh*", false)] {
        assert_eq!(shown(&filtered, patients), told, "{patients}");
    }
}

#[test]
fn locks_tell_nothing_where_nothing_is_hidden() {
    let open = target("", false).classified(2, None);
    assert_eq!(sent(&open, &Scope::default(), LOCKS).unwrap(), "SELECT xmax FROM public.secret");
}

#[test]
fn a_view_is_taken_apart_for_locks_only_where_it_names_them() {
    let catalog = target("", false);
    assert!(with(&catalog, "rh", "select id from peek").unwrap().contains(SUB));
    assert_eq!(with(&catalog, "rr", "select id from peek").unwrap(), "SELECT id FROM public.peek");
    assert_eq!(with(&catalog, "rh", "select id from calling").unwrap(), "SELECT id FROM public.calling");
}

#[test]
fn a_write_tells_of_locks_only_where_it_names_them() {
    let catalog = target("", false);
    let written = |patients, condition| {
        let sql = format!("update secret set name = 'x' where {condition} is null");
        with(&catalog, patients, &sql).is_ok()
    };
    assert!(!written("rh", "xmax") && written("rr", "xmax"));
    assert!(written("rh", "ctid"));
}

/// A sub-select hides that a key determines the rest.
#[test]
fn the_other_columns_are_grouped_by_where_a_sub_select_stands_for_locks() {
    let catalog = target("", false);
    for (patients, condition, expected) in
        [("rh", "xmax", "id, secret.name"), ("rr", "xmax", "id"), ("rh", "ctid", "id")]
    {
        let sql = format!("select name from secret where {condition} is null group by id");
        let sent = with(&catalog, patients, &sql).unwrap();
        assert!(sent.ends_with(&format!(" GROUP BY {expected}")), "{patients} {condition}: {sent}");
    }
}

#[test]
fn what_points_to_rows_is_asked_about_where_their_locks_are_named() {
    let catalog = Arc::new(target("", false));
    let touched = |sql: &str| {
        let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
        let analysis = crate::analyse(&Arc::from(sql), &path, &Arc::from([]), &catalog);
        analysis.members[0].touches.iter().any(|touch| &*touch.relation.name == "patients")
    };
    for sql in [
        LOCKS,
        "select id from peek",
        "select id from secret for share",
        "select id from calling for share",
        "select id from locking",
    ] {
        assert!(touched(sql), "{sql}");
    }
    assert!(!touched("select id from secret") && !touched("select id from calling"));
}

/// A key is looked at again where its row is changed twice, and what it points to is locked.
#[test]
fn rows_are_not_locked_to_which_keys_point_that_are_not_seen() {
    let catalog = target("", false);
    for sql in [
        "select id from secret for update",
        "select 1 from (select id from secret) s for key share of s",
        "select 1 from (select id from secret for no key update) s",
        "declare c cursor for select id from secret s for share skip locked",
    ] {
        let refusal = with(&catalog, "rh", sql).unwrap_err();
        assert!(refusal.message.starts_with("locking rows of `public.secret`"), "{sql}: {refusal}");
        for patients in ["whole", "rr"] {
            assert!(with(&catalog, patients, sql).is_ok(), "{sql}");
        }
        let open = target("", false).classified(2, None);
        assert!(sent(&open, &Scope::default(), sql).is_ok(), "{sql}");
    }
    for sql in [
        "select id from secret",
        "select 1 from patients p where exists (select from secret) for update of p",
        "select (select count(*) from secret) from patients for update",
    ] {
        assert!(with(&catalog, "rh", sql).is_ok(), "{sql}");
    }
}

/// PostgreSQL locks what a view reads, too, where the view's rows are locked or its query says so.
#[test]
fn rows_are_not_locked_through_views_to_which_keys_point_that_are_not_seen() {
    let catalog = target("", false);
    for (sql, view) in
        [("select id from calling for update", "calling"), ("select id from locking", "locking")]
    {
        let refusal = with(&catalog, "rh", sql).unwrap_err();
        assert!(refusal.message.starts_with(&format!("locking rows of `public.{view}`")), "{sql}: {refusal}");
        for patients in ["whole", "rr"] {
            assert!(with(&catalog, patients, sql).is_ok(), "{sql}");
        }
    }
}
