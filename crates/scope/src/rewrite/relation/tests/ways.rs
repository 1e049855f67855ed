//! Ways to read a relation, where one condition decides between two of them.

use super::*;

#[test]
fn row_security_concerns_nobody_from_whom_nothing_is_hidden() {
    let guard = [["p", "50", r#"["free"]"#, "[]", r#"[["public","leak"]]"#]];
    let classified = split(&[("50", "fenced", "r", "")], &[], &guard);
    let open = classified.classified(2, None);
    let whole = [("fenced", "whole")];
    assert_eq!(sent(&open, &whole, "select id from fenced").unwrap(), "SELECT id FROM public.fenced");
    assert!(sent(&classified, &whole, "select id from fenced").is_err());
}

#[test]
fn which_table_a_row_is_in_is_shown_beside_columns_with_code() {
    let catalog = coded(None);
    let whole = [("patients", "whole"), ("secret", "whole"), ("peek", "whole")];
    let shown = |sql: &str| sent(&catalog, &whole, sql).unwrap().contains("t.tableoid AS tableoid");
    assert!(shown("select tableoid, id from patients"));
    assert!(!shown("select id from patients"));
    // A view has none, as the server says.
    assert!(!shown("select tableoid, words from peek"));
}

#[test]
fn which_table_a_row_is_in_is_not_shown_where_a_check_of_what_is_hidden_decides() {
    let mut catalog = split(&[("60", "lone", "r", "")], &[], &[]);
    let lone = chaperone_access::RelationName::new("public", "lone");
    catalog.relations.get_mut(&lone).unwrap().checks.push(vec![Arc::from("ssn")]);
    for (seen, shown) in [("rh", false), ("rr", true)] {
        let sent = sent(&catalog, &[("lone", seen)], "select tableoid, id from lone").unwrap();
        assert_eq!(sent.contains("t.tableoid"), shown, "{seen}: {sent}");
    }
}

#[test]
fn a_child_of_a_plain_table_is_no_partition() {
    let tables = [
        ("60", "tree", "r", ""),
        ("61", "low", "r", "60"),
        ("62", "top", "p", ""),
        ("63", "leaf", "r", "62"),
    ];
    let catalog = split(&tables, &[("61", r#"["ssn"]"#), ("63", r#"["ssn"]"#)], &[]);
    let part = tables.map(|(_, name, _, _)| (name, "rh"));
    assert!(sent(&catalog, &part, "select id from low").is_ok());
    let refusal = sent(&catalog, &part, "select id from leaf").unwrap_err();
    assert!(refusal.message.contains("partitioned by what you do not see"), "{refusal}");
}

#[test]
fn where_nothing_is_hidden_no_child_has_rows_by_what_is_hidden() {
    let tables = [("40", "tree", "r", ""), ("41", "low", "r", "40")];
    let classified = split(&tables, &[], &[["c", "41", "[]", r#"["ssn"]"#, "[]"]]);
    let sql = "select tableoid, id from tree";
    let sent = sent(&classified.classified(2, None), &[("tree", "whole")], sql);
    assert_eq!(sent.unwrap(), "SELECT tableoid, id FROM public.tree");
}

/// Its policies decide by what is seen, and something else decides what that is.
#[test]
fn row_security_may_read_plain_tables_alone() {
    let tables = [("50", "fenced", "r", ""), ("51", "other", "r", "")];
    let of = |decides: &[[&str; 5]]| {
        let whole = [("fenced", "whole"), ("other", "whole"), ("peek", "whole")];
        sent(&split(&tables, &[], decides), &whole, "select id from fenced")
    };
    let reads = |what: &'static str| ["p", "50", r#"["free"]"#, what, "[]"];
    assert!(of(&[reads(r#"[["51","id"]]"#)]).is_ok());
    assert!(of(&[reads(r#"[["51",""]]"#)]).is_ok());
    assert!(of(&[reads(r#"[["7",""]]"#)]).is_err(), "a view");
    let guarded = ["p", "51", r#"["free"]"#, "[]", "[]"];
    assert!(of(&[reads(r#"[["51","id"]]"#), guarded]).is_err(), "it has row security of its own");
}

#[test]
fn a_star_is_written_out_where_it_is_plain_what_it_is() {
    let catalog = target(&[("21", "below", &["5"], "SELECT secret.id FROM public.secret")]);
    let seen = [("patients", "h"), ("secret", "whole"), ("below", "h"), ("audited", "whole")];
    for (sql, shown) in [
        ("select *, tableoid from patients p", true),
        ("select *, tableoid from patients p(x)", false),
        ("select *, tableoid from below", false),
    ] {
        let sent = sent(&catalog, &seen, sql).unwrap();
        assert_eq!(sent.contains("t.tableoid"), shown, "{sql}: {sent}");
    }
    // Nothing is known of its columns.
    let sent = sent(&catalog, &seen, "select *, tableoid from audited").unwrap();
    assert_eq!(sent, "SELECT *, tableoid FROM public.audited");
}

#[test]
fn a_view_that_only_computes_with_a_word_like_one_of_the_systems_stands_for_itself() {
    let definition = "SELECT secret.id FROM public.secret WHERE upper('pg_'::text) IS NULL";
    let catalog = target(&[("21", "below", &["5"], definition)]);
    let sent = sent(&catalog, &[("secret", "whole"), ("below", "h")], "select id from below");
    assert_eq!(sent.unwrap(), "SELECT id FROM public.below");
}
