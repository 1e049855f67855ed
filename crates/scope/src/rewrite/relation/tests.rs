use std::sync::Arc;

use crate::analyse::tests::results;
use crate::catalog::Catalog;
use crate::classification::Classification;
use crate::rewrite::tests::scope_of;
use crate::rewrite::{Outcome, Place, rewrite};

const RULES: &str = r#"
[relations."public.patients".columns]
id = { clear = true }
[relations."public.secret".columns]
id = { clear = true }
"#;

/// `patients`, `secret` and `pg_class`, and views of these definitions, each `(oid, name, reads, definition)`.
fn target(views: &[(&str, &str, &[&str], &str)]) -> Catalog {
    target_under(RULES, views)
}

fn target_under(rules: &str, views: &[(&str, &str, &[&str], &str)]) -> Catalog {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let mut results = results();
    results[3].retain(|relation| relation[2].as_deref() != Some("v"));
    results[7].clear();
    let id = r#"[["id","integer",0,null,null]]"#;
    results[4] = vec![
        row(&["1", r#"[["oid","oid",0,null,null],["relpages","integer",0,null,null]]"#]),
        row(&["4", id]),
        row(&["5", id]),
    ];
    for (oid, name, reads, definition) in views {
        results[3].push(row(&["public", name, "v", "false", oid, ""]));
        results[4].push(row(&[oid, id]));
        results[7].extend(reads.iter().map(|read| row(&[oid, read, ""])));
        results[12].push(row(&[oid, definition]));
    }
    results[3].push(row(&["pg_catalog", "pg_am", "r", "false", "50", ""]));
    results[10].push(row(&["pg_catalog", "oid", "b", ""]));
    for name in ["pg_get_viewdef", "generate_series"] {
        results[8].push(row(&["pg_catalog", name, "true", "true", "false", ""]));
    }
    let classification = Arc::new(Classification::load("t.toml", rules, &[].into()).unwrap());
    Catalog::build(1, &results, Some(&classification)).unwrap()
}

fn sent(catalog: &Catalog, seen: &[(&str, &str)], sql: &str) -> Outcome<String> {
    let path = [Arc::from("public")];
    let place = Place { catalog, path: &path, temporary: &[] };
    rewrite(sql, place, &scope_of(seen)).map(|text| text.to_string())
}

#[test]
fn a_view_stands_for_itself_where_all_under_it_is_seen() {
    let catalog = target(&[
        ("21", "below", &["5"], "SELECT secret.id FROM public.secret"),
        ("22", "above", &["21", "4"], "SELECT below.id FROM public.below, public.patients"),
    ]);
    let views = [("below", "h"), ("above", "h")];
    let with = |patients, secret, sql| {
        let seen = [views.as_slice(), &[("patients", patients), ("secret", secret)]].concat();
        sent(&catalog, &seen, sql)
    };
    let itself = |view| format!("SELECT id FROM public.{view}");
    assert_eq!(with("whole", "whole", "select id from below").unwrap(), itself("below"));
    assert_eq!(with("h", "whole", "select id from below").unwrap(), itself("below"));
    assert_eq!(with("whole", "whole", "select id from above").unwrap(), itself("above"));
    for (patients, secret) in [("whole", "h"), ("h", "whole"), ("whole", "h*")] {
        let shown = with(patients, secret, "select id from above").unwrap();
        let hidden = if patients == "whole" { "secret" } else { "patients" };
        assert!(shown.contains(&format!("(SELECT NULL::int AS id FROM public.{hidden} t)")), "{shown}");
        assert!(!shown.contains("public.below") || secret == "whole", "{shown}");
    }
    // What it reads was not decided about.
    assert!(sent(&catalog, &views, "select id from above").is_err());
    // A part of its rows is none of whatever rows it makes.
    assert!(with("whole", "h", "select id from below tablesample bernoulli (10)").is_err());
}

/// What a view asks of catalogs is told to its reader as if he had asked.
#[test]
fn a_view_that_asks_catalogs_never_stands_for_itself() {
    let catalog = target(&[
        ("21", "pages", &[], "SELECT c.relpages AS id FROM pg_catalog.pg_class c"),
        ("22", "texts", &["5"], "SELECT pg_catalog.pg_get_viewdef(secret.id) AS id FROM public.secret"),
        ("23", "around", &["21"], "SELECT pages.id FROM public.pages"),
        // It only looks like one.
        ("24", "named", &["5"], "SELECT secret.id AS pg_id FROM public.secret"),
        // What everybody may read of the system's is no relation that somebody decides about.
        ("25", "methods", &["50"], "SELECT 1 AS id FROM pg_catalog.pg_am"),
    ]);
    let seen = ["pages", "texts", "around", "named", "methods"].map(|view| (view, "h"));
    let seen = [seen.as_slice(), &[("secret", "whole")]].concat();
    for (view, shown) in [
        ("pages", "NULL::int AS relpages FROM pg_catalog.pg_class t"),
        ("around", "NULL::int AS relpages FROM pg_catalog.pg_class t"),
        ("texts", "pg_catalog.pg_get_viewdef((SELECT g.o FROM"),
    ] {
        let sent = sent(&catalog, &seen, &format!("select id from {view}")).unwrap();
        assert!(sent.contains(shown) && !sent.contains(&format!("public.{view}")), "{sent}");
    }
    for view in ["named", "methods"] {
        let itself = format!("SELECT id FROM public.{view}");
        assert_eq!(sent(&catalog, &seen, &format!("select id from {view}")).unwrap(), itself);
    }
}

#[test]
fn views_are_followed_to_a_depth() {
    // As in the gateway.
    std::thread::Builder::new().stack_size(256 << 20).spawn(follow).unwrap().join().unwrap();
}

fn follow() {
    let names: Vec<(String, String)> =
        (0..40).map(|n| ((100 + n).to_string(), format!("deep_{n}"))).collect();
    let below: Vec<String> = (0..40)
        .map(|n| match n {
            0 => "SELECT secret.id FROM public.secret".to_owned(),
            n => format!("SELECT v.id FROM public.deep_{} v", n - 1),
        })
        .collect();
    let reads: Vec<[&str; 1]> =
        (0..40).map(|n| [if n == 0 { "5" } else { names[n - 1].0.as_str() }]).collect();
    let views: Vec<(&str, &str, &[&str], &str)> = (0..40)
        .map(|n| (names[n].0.as_str(), names[n].1.as_str(), reads[n].as_slice(), below[n].as_str()))
        .collect();
    let catalog = target(&views);
    let mut seen: Vec<(&str, &str)> = names.iter().map(|(_, name)| (name.as_str(), "h")).collect();
    seen.push(("secret", "whole"));
    // What is looked at is taken for whole, and what is taken apart ends.
    assert_eq!(sent(&catalog, &seen, "select id from deep_16").unwrap(), "SELECT id FROM public.deep_16");
    let shown = sent(&catalog, &seen, "select id from deep_18").unwrap();
    assert!(shown.contains("public.deep_16") && !shown.contains("public.deep_18"), "{shown}");
    assert!(sent(&catalog, &seen, "select id from deep_39").is_err());
    // What is taken apart to its end is so to a depth.
    seen.pop();
    seen.push(("secret", "h"));
    assert!(sent(&catalog, &seen, "select id from deep_15").is_ok());
    assert!(sent(&catalog, &seen, "select id from deep_20").is_err());
    // For the record, too, they are followed no further.
    let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
    let analysis = crate::analyse::analyse(
        &Arc::from("select id from deep_39"),
        &path,
        &Arc::from([]),
        &Arc::new(catalog),
    );
    assert_eq!(analysis.members[0].touches.len(), 33);
}

#[test]
fn a_relation_is_read_in_the_ways_that_tell_no_more_than_its_columns() {
    let catalog = target(&[]);
    let seen = [("patients", "h"), ("secret", "whole")];
    const HIDDEN: &str = "NULL::int AS id";
    for (sql, expected) in [
        (
            "select id from patients tablesample bernoulli (10)",
            format!("SELECT {HIDDEN} FROM public.patients t TABLESAMPLE bernoulli(10)"),
        ),
        (
            "select id from patients tablesample pg_catalog.bernoulli (1.5)",
            format!("SELECT {HIDDEN} FROM public.patients t TABLESAMPLE bernoulli(1.5)"),
        ),
        (
            "select tableoid, id from patients",
            format!("SELECT {HIDDEN}, t.tableoid AS tableoid FROM public.patients t"),
        ),
        // It would stand in `*`, too.
        ("select tableoid, * from secret", "tableoid".to_owned()),
        ("select id from only patients", "FROM ONLY public.patients t".to_owned()),
        ("explain select id from patients", "stand_in_for_patients".to_owned()),
        ("explain (analyze off) select id from patients", "stand_in_for_patients".to_owned()),
        ("copy patients (id) to stdout", "COPY (SELECT id FROM".to_owned()),
        (
            "select id from secret tablesample system (10) repeatable (1)",
            "public.secret TABLESAMPLE".to_owned(),
        ),
    ] {
        let sent = sent(&catalog, &seen, sql).unwrap();
        assert!(sent.to_lowercase().contains(&expected.to_lowercase()), "{sql}: {sent}");
    }
    for sql in [
        "select id from patients tablesample system (10)",
        "select id from patients tablesample bernoulli (10) repeatable (1)",
        "select id from patients tablesample bernoulli (id)",
        "select id from pg_class tablesample bernoulli (10)",
        "select id from elsewhere.public.patients",
        "select id from pg_temp.patients",
        "explain (analyze) select id from patients",
        "explain execute s",
    ] {
        assert!(sent(&catalog, &seen, sql).is_err(), "{sql}: {:?}", sent(&catalog, &seen, sql));
    }
    for unnamed in ["select *, tableoid from patients", "select 'tableoid' from patients"] {
        assert!(!sent(&catalog, &seen, unnamed).unwrap().contains("t.tableoid"), "{unnamed}");
    }
}

/// A caller's own name for something never is that of a table.
#[test]
fn a_common_table_expression_gets_a_name_that_nothing_has() {
    let catalog = target(&[("21", "chaperone_cte_1", &["5"], "SELECT secret.id FROM public.secret")]);
    let path = [Arc::from("public")];
    let temporary = [Arc::from("chaperone_cte_2"), Arc::from("mine")];
    let place = Place { catalog: &catalog, path: &path, temporary: &temporary };
    let sent = rewrite("with a as (select 1) select 1 from a", place, &scope_of(&[])).unwrap();
    assert_eq!(&*sent, "WITH chaperone_cte_3 AS (SELECT 1) SELECT 1 FROM chaperone_cte_3 a");
    let sent = rewrite("select 1 from pg_temp.mine", place, &scope_of(&[])).unwrap();
    assert_eq!(&*sent, "SELECT 1 FROM pg_temp.mine");
}

#[test]
fn what_is_decided_of_a_view_itself_holds_whatever_is_under_it() {
    let clear = format!("{RULES}[relations.\"public.below\"]\nclear = true\n");
    let catalog = target_under(&clear, &[("21", "below", &["5"], "SELECT secret.id FROM public.secret")]);
    let sent = |below, sql: &str| sent(&catalog, &[("below", below), ("secret", "whole")], sql);
    let shown = sent("h", "select id from below").unwrap();
    assert!(shown.contains("NULL::int AS id") && !shown.contains("public.below"), "{shown}");
    assert_eq!(sent("whole", "select id from below").unwrap(), "SELECT id FROM public.below");
}

#[test]
fn what_was_decided_has_to_be_of_the_relation() {
    let catalog = target(&[]);
    for (name, seen) in [("patients", "hh"), ("patients", ""), ("audited", "")] {
        assert!(sent(&catalog, &[(name, seen)], &format!("select 1 from {name}")).is_err(), "{name} {seen}");
    }
}

/// Rows of a table that has a check are of the kind that it checks, and so are those of such a part.
#[test]
fn the_name_of_a_table_is_not_told_where_what_is_hidden_decides_it() {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let made = |checks: &[&str]| {
        let mut results = results();
        let columns = r#"[["id","integer",0,null,null],["kind","text",0,null,null]]"#;
        for (name, oid) in [("child", "40"), ("grandchild", "41")] {
            results[3].push(row(&["public", name, "r", "false", oid, ""]));
        }
        results[4] = ["4", "40", "41"].map(|oid| row(&[oid, columns])).to_vec();
        results[5] = checks.iter().map(|oid| row(&["c", oid, r#"["kind"]"#, "0", "[]", "false"])).collect();
        results[6].extend([row(&["40", "4"]), row(&["41", "40"])]);
        let rules = "[relations.\"public.patients\".columns]\nid = { clear = true }\n";
        let rules = Arc::new(Classification::load("t.toml", rules, &[].into()).unwrap());
        Catalog::build(1, &results, Some(&rules)).unwrap()
    };
    let told = |checks: &[&str], name: &str, seen: &str| {
        let sent = sent(&made(checks), &[(name, seen)], &format!("select tableoid, id from {name}")).unwrap();
        sent.contains("t.tableoid")
    };
    for (checks, name, seen, expected) in [
        (&[][..], "patients", "rh", true),
        (&["4"], "patients", "rh", false),
        (&["40"], "child", "rh", false),
        (&["40"], "patients", "rh", false),
        (&["41"], "patients", "rh", false),
        (&["41"], "patients", "rr", true),
        (&["40"], "grandchild", "rh", true),
    ] {
        assert_eq!(told(checks, name, seen), expected, "{checks:?} {name} {seen}");
    }
}
