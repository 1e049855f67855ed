//! Ways to read a relation, where one condition decides between two of them.

use super::*;

#[test]
fn row_security_concerns_nobody_from_whom_nothing_is_hidden() {
    let guard = [["p", "50", r#"["free"]"#, "[]", r#"[["public","leak"]]"#]];
    let classified = split(&[("50", "fenced", "r", "")], &[], &guard);
    let open = classified.classified(2, None);
    let whole = [("fenced", "whole")];
    assert_eq!(sent(&open, &whole, "select id from fenced").unwrap(), "SELECT id FROM public.fenced");
    assert!(sent(&open, &whole, "explain analyze select id from fenced").is_ok());
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

/// Also where no column that decides is hidden.
#[test]
fn rows_are_placed_by_what_is_hidden_where_not_all_of_them_are_seen() {
    let tables = [("40", "tree", "r", ""), ("41", "low", "r", "40"), ("43", "rest", "r", "40")];
    let mut catalog = split(&tables, &[], &[["c", "41", "[]", r#"["id"]"#, "[]"]]);
    let low = RelationName::new("public", "low");
    catalog.relations.get_mut(&low).unwrap().filter = Some(Arc::from("id = 7"));
    let of = |catalog: &Catalog, low: &str, sql: &str| {
        sent(catalog, &[("tree", "whole"), ("low", low), ("rest", "whole")], sql).is_ok()
    };
    let only = "select id from only tree";
    assert!(!of(&catalog, "rr", only) && of(&catalog, "rr*", only));
    // Nobody knows what decides.
    let beside = "select id from rest";
    assert!(of(&catalog, "rr", beside));
    catalog.relations.remove(&low);
    assert!(!of(&catalog, "rr", beside));
}

#[test]
fn what_decides_which_rows_there_are_is_asked_about() {
    let tables = [("40", "tree", "r", ""), ("41", "low", "r", "40"), ("43", "rest", "r", "40")];
    let touched = |decides: &[[&str; 5]]| {
        let catalog = Arc::new(split(&tables, &[], decides));
        let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
        let analysis = crate::analyse(&Arc::from("select id from rest"), &path, &Arc::from([]), &catalog);
        let mut names: Vec<String> =
            analysis.members[0].touches.iter().map(|touch| touch.relation.name.to_string()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(touched(&[["c", "41", "[]", r#"["ssn"]"#, "[]"]]), ["low", "rest"]);
    assert_eq!(touched(&[]), ["rest"]);
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
        assert_eq!(sent.starts_with("SELECT *"), !shown, "{sql}: {sent}");
    }
    // A join with a name hides what is joined.
    let joined = "select p.*, tableoid from (patients p join secret s on true) as p";
    let joined = sent(&catalog, &seen, joined).unwrap();
    assert!(joined.starts_with("SELECT p.*, tableoid FROM ((SELECT"), "{joined}");
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

/// Where nothing is classified nobody has reviewed a view, and a credential may leave out what it reads.
#[test]
fn a_view_of_an_unclassified_target_stands_for_no_more_than_what_it_reads() {
    let catalog =
        target(&[("21", "below", &["5"], "SELECT secret.id FROM public.secret")]).classified(2, None);
    for (secret, itself) in [("h", false), ("whole", true)] {
        let seen = [("below", "whole"), ("secret", secret), ("patients", "h")];
        let sent = sent(&catalog, &seen, "select id from below").unwrap();
        assert_eq!(sent.contains("FROM public.below"), itself, "{sent}");
        assert_eq!(sent.contains("NULL::int AS id"), !itself, "{sent}");
    }
}

/// A text that only has the word names no column.
#[test]
fn which_table_a_row_is_in_is_shown_in_a_view_that_asks_for_it() {
    let shown = |condition: &str| {
        let definition = format!("SELECT secret.id FROM public.secret WHERE {condition} IS NULL");
        let catalog = target(&[("21", "below", &["5"], &definition)]);
        let seen = [("secret", "h"), ("below", "h")];
        sent(&catalog, &seen, "select id from below").unwrap().contains("t.tableoid")
    };
    assert!(shown("secret.tableoid") && !shown("upper('tableoid'::text)"));
}

#[test]
fn a_view_of_which_all_rows_are_seen_has_no_filter() {
    let rules = format!("{RULES}[relations.\"public.below\"]\nclear = true\nrows = \"id = 7\"\n");
    let catalog = target_under(&rules, &[("21", "below", &["5"], "SELECT secret.id FROM public.secret")]);
    let of =
        |below| sent(&catalog, &[("below", below), ("secret", "whole")], "select id from below").unwrap();
    assert!(of("h").contains("OPERATOR(pg_catalog.=) 7"), "{}", of("h"));
    assert!(!of("h*").contains("OPERATOR(pg_catalog.=) 7"), "{}", of("h*"));
}

/// How much there is of what inherits would show in the plan.
#[test]
fn a_relation_is_not_planned_for_where_it_is_read_with_what_is_hidden() {
    let mut catalog = coded(Some(CLEAR));
    let secret = chaperone_access::RelationName::new("public", "secret");
    let patients = chaperone_access::RelationName::new("public", "patients");
    catalog.relations.get_mut(&patients).unwrap().children.push(secret);
    let series = crate::catalog::Function { stable: true, one_argument: false, procedure: false };
    catalog.builtin.insert(Arc::from("generate_series"), series);
    for (secret, sql, planned) in [
        ("hr", "explain select id from patients", false),
        ("hr", "explain select id from only patients", true),
        ("whole", "explain select id from patients", true),
    ] {
        let seen = [("patients", "whole"), ("secret", secret), ("peek", "h")];
        let sent = sent(&catalog, &seen, sql).unwrap();
        assert_eq!(sent.contains("public.patients"), planned, "{secret} {sql}: {sent}");
    }
}

/// What is hidden of a view by its own lines is hidden of what reads it.
#[test]
fn a_view_over_one_that_hides_something_is_taken_apart() {
    let rules = format!("{RULES}[relations.\"public.below\"]\nclear = true\n");
    let views: [(&str, &str, &[&str], &str); 2] = [
        ("21", "below", &["5"], "SELECT secret.id FROM public.secret"),
        ("22", "above", &["21"], "SELECT below.id FROM public.below"),
    ];
    let catalog = target_under(&rules, &views);
    let of = |below| {
        let seen = [("above", "h"), ("below", below), ("secret", "whole")];
        sent(&catalog, &seen, "select id from above").unwrap()
    };
    assert!(of("h").contains("NULL::int AS id") && !of("h").contains("public.above"), "{}", of("h"));
    assert_eq!(of("r"), "SELECT id FROM public.above");
}

#[test]
fn where_a_row_lies_is_returned_where_only_the_table_itself_is_written() {
    let catalog = split(&[("40", "tree", "r", ""), ("41", "leaf", "r", "40")], &[], &[]);
    let seen = [("tree", "whole"), ("leaf", "rh")];
    for (sql, returned) in
        [("delete from only tree returning ctid", true), ("delete from tree returning ctid", false)]
    {
        assert_eq!(sent(&catalog, &seen, sql).is_ok(), returned, "{sql}");
    }
}

#[test]
fn a_relation_with_row_security_is_copied_as_it_is_read() {
    let catalog = split(&[("50", "fenced", "r", "")], &[], &[["p", "50", r#"["free"]"#, "[]", "[]"]]);
    let copied = |name: &str| {
        let seen = [("fenced", "whole"), ("secret", "whole")];
        sent(&catalog, &seen, &format!("copy {name} to stdout")).unwrap()
    };
    let fenced = "COPY (SELECT id, ssn FROM (SELECT t.id AS id, t.ssn AS ssn FROM ONLY public.fenced t) fenced) TO STDOUT";
    assert_eq!(copied("fenced"), fenced);
    assert_eq!(copied("secret"), "COPY public.secret TO STDOUT");
}

#[test]
fn a_view_of_which_nothing_is_said_is_what_it_reads_whatever_is_permitted() {
    let catalog = target(&[("21", "below", &["5"], "SELECT secret.id FROM public.secret")]);
    let seen = [("below", "whole"), ("secret", "h")];
    let sent = |sql: &str| sent(&catalog, &seen, sql);
    let apart = sent("select id from below").unwrap();
    assert!(apart.contains("NULL::int AS id") && !apart.contains("public.below"), "{apart}");
    assert!(!apart.contains("OFFSET"), "nothing is left out: {apart}");
    let seen = [("below", "h"), ("secret", "h")];
    let copied = super::sent(&catalog, &seen, "copy below to stdout").unwrap_err();
    assert_eq!(copied.message, "COPY of a view");
}

#[test]
fn what_is_hidden_in_filtered_rows_is_nothing() {
    let rules = format!("{RULES}[relations.\"public.secret\"]\nrows = \"id = 7\"\n");
    let sent = sent(&target_under(&rules, &[]), &[("secret", "h")], "select id from secret").unwrap();
    assert!(sent.starts_with("SELECT id FROM (SELECT NULL::int AS id FROM public.secret t WHERE"), "{sent}");
}

#[test]
fn a_temporary_table_is_meant_by_its_name_alone() {
    let (catalog, path) = (target(&[]), [Arc::from("public")]);
    let temporary = [Arc::from("patients")];
    let place = Place { catalog: &catalog, path: &path, temporary: &temporary };
    let sent = |name: &str| {
        let scope = scope_of(&[("patients", "h")]);
        rewrite(&format!("select 1 from {name}"), place, &scope).unwrap().to_string()
    };
    assert_eq!(sent("patients"), "SELECT 1 FROM pg_temp.patients");
    assert_eq!(sent("public.patients"), "SELECT 1 FROM public.patients patients");
}

#[test]
fn what_is_explained_is_so_without_what_tells_of_costs_alone() {
    let sql = "explain (verbose, buffers, settings) select id from patients";
    let sent = sent(&target(&[]), &[("patients", "h")], sql).unwrap();
    assert!(sent.starts_with("EXPLAIN (VERBOSE, COSTS OFF) SELECT"), "{sent}");
}

/// Row security leaves rows out where they are read: how many there are, and where, is told by what is around them.
#[test]
fn what_row_security_leaves_out_is_neither_counted_nor_placed() {
    let (open, bound) = (Vec::new(), vec![["p", "50", r#"["free"]"#, "[]", "[]"]]);
    let tables = [("50", "fenced", "r", "")];
    let seen = [("fenced", "whole"), ("v_fenced", "whole")];
    let sent = |guard: &[[&str; 5]], sql: &str| sent(&split(&tables, &[], guard), &seen, sql);
    let sub = "(SELECT t.id AS id, t.ssn AS ssn FROM public.fenced t)";
    assert_eq!(
        sent(&bound, "select id, ctid from fenced").unwrap(),
        format!("SELECT id, ctid FROM {sub} fenced")
    );
    assert_eq!(sent(&open, "select id, ctid from fenced").unwrap(), "SELECT id, ctid FROM public.fenced");
    for sql in [
        "explain analyze select id from fenced",
        "explain execute q",
        "select id from fenced tablesample system (50)",
        "select id from fenced tablesample bernoulli (50) repeatable (1)",
    ] {
        let about = if sql.contains("execute") { "explain analyze select 1 from fenced" } else { sql };
        assert!(sent(&bound, about).is_err(), "{about}");
        assert!(sent(&open, sql).is_ok(), "{sql}");
    }
    for sql in ["explain select id from fenced", "explain select id from v_fenced"] {
        let planned = sent(&bound, sql).unwrap();
        assert!(planned.contains("COSTS OFF") && planned.contains("stand_in_for_"), "{planned}");
        assert!(!sent(&open, sql).unwrap().contains("stand_in_for_"));
    }
}
