mod views;
mod ways;

use std::sync::Arc;

use chaperone_access::{RelationName, Scope, Showing, Under};

use crate::analyse::tests::results;
use crate::catalog::Catalog;
use crate::classification::Classification;
use crate::rewrite::tests::scope_of;
use crate::rewrite::{BarrierView, Outcome, Place, rewrite};

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
    for name in ["pg_get_viewdef", "generate_series", "txid_current"] {
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
        let alone = format!("SELECT NULL::int AS id FROM public.{hidden} {hidden})");
        let among = format!("SELECT NULL::int AS id FROM public.{hidden} t)");
        assert!(shown.contains(&alone) || shown.contains(&among), "{shown}");
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
        ("21", "pages", &[], "SELECT c.relpages AS id FROM pg_class c"),
        ("22", "texts", &["5"], "SELECT pg_catalog.pg_get_viewdef(secret.id) AS id FROM public.secret"),
        ("23", "around", &["21"], "SELECT pages.id FROM public.pages"),
        // It only looks like one.
        ("24", "named", &["5"], "SELECT secret.id AS pg_id FROM public.secret"),
        // What everybody may read of the system's is no relation that somebody decides about.
        ("25", "methods", &["50"], "SELECT 1 AS id FROM pg_catalog.pg_am"),
        ("26", "moment", &["5"], "SELECT pg_catalog.txid_current() AS id FROM public.secret"),
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
    // Nor one that asks what nobody is told.
    let seen = [("moment", "h"), ("secret", "whole")];
    let sent = sent(&catalog, &seen, "select id from moment").unwrap();
    assert!(sent.contains("NULL::bigint AS id") && !sent.contains("public.moment"), "{sent}");
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
        // It would stand in `*`, too: that is written out.
        (
            "select p.*, tableoid from patients p",
            format!(
                "SELECT p.id, tableoid FROM (SELECT {HIDDEN}, t.tableoid AS tableoid FROM public.patients t) p"
            ),
        ),
        ("select tableoid, * from secret", "SELECT tableoid, secret.id FROM public.secret".to_owned()),
        ("select id from only patients", format!("SELECT {HIDDEN} FROM ONLY public.patients patients")),
        ("explain select id from patients", "stand_in_for_patients".to_owned()),
        ("explain (analyze off) select id from patients", "stand_in_for_patients".to_owned()),
        (
            "copy patients (id) to stdout",
            format!("COPY (SELECT {HIDDEN} FROM ONLY public.patients patients)"),
        ),
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
    for sql in [
        "select 'tableoid' from patients",
        "select *, tableoid from patients p join secret s on true",
        "with x as (select 1) select *, tableoid from patients",
        "select *, tableoid from (select * from patients) p",
        "select count(*), (select count(*) from (select *, tableoid from patients) x) from patients",
    ] {
        assert!(!sent(&catalog, &seen, sql).unwrap().contains("t.tableoid"), "{sql}");
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

/// `patients` (`id`, `word`) and `secret` (`id`, `words`), the latter columns of types with code, and a view of `words`.
fn coded(rules: Option<&str>) -> Catalog {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let mut results = results();
    results[4] = vec![
        row(&["4", r#"[["id","integer",0,null,null],["word","public.checked",4,"text",null]]"#]),
        row(&["5", r#"[["id","integer",0,null,null],["words","public.checked[]",4,"text[]",null]]"#]),
        row(&["7", r#"[["words","public.checked[]",4,"text[]",null]]"#]),
    ];
    results[5] = vec![row(&["p", "4", r#"["id"]"#, "0", "[]", "false"])];
    results[12] = vec![row(&["7", "SELECT secret.words FROM public.secret"])];
    let rules = rules.map(|rules| Arc::new(Classification::load("t.toml", rules, &[].into()).unwrap()));
    Catalog::build(1, &results, rules.as_ref()).unwrap()
}

/// What the planner knows of a column's values, it takes the difference of with whatever function the type has for it.
#[test]
fn a_range_whose_difference_is_code_is_planned_as_if_nothing_was_known() {
    const PATIENTS: &str = "(SELECT t.id AS id, COALESCE(t.hours, t.hours) AS hours FROM public.patients t)";
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let mut results = results();
    results[4] = vec![row(&["4", r#"[["id","integer",0,null,null],["hours","public.hours",8,null,null]]"#])];
    let catalog = Catalog::build(1, &results, None).unwrap();
    for seen in ["whole", "rr"] {
        let sent = sent(&catalog, &[("patients", seen)], "select hours from patients").unwrap();
        assert_eq!(sent, format!("SELECT hours FROM {PATIENTS} patients"));
    }
}

const CLEAR: &str =
    "[relations.\"public.patients\"]\nclear = true\n[relations.\"public.secret\"]\nclear = true\n";

/// A value of such a type, or a row with one, has the type's code look at values of the caller's own (`array_append`, `lag`,
/// `jsonb_populate_record`), and so does a temporary table with such a column.
#[test]
fn no_type_with_code_is_handed_on() {
    const PATIENTS: &str = "(SELECT t.id AS id, t.word::pg_catalog.text AS word FROM public.patients t)";
    const SECRET: &str = "(SELECT t.id AS id, t.words::pg_catalog.text[] AS words FROM public.secret t)";
    const PEEK: &str = "(SELECT t.words::pg_catalog.text[] AS words FROM public.peek t)";
    let whole = [("patients", "whole"), ("secret", "whole"), ("peek", "whole")];
    for catalog in [coded(None), coded(Some(CLEAR))] {
        for (sql, expected) in [
            ("select p from patients p", format!("SELECT p FROM {PATIENTS} p")),
            ("select words from secret", format!("SELECT words FROM {SECRET} secret")),
            ("select words from peek", format!("SELECT words FROM {PEEK} peek")),
            ("copy patients to stdout", {
                let only = PATIENTS.replace("FROM public", "FROM ONLY public");
                format!("COPY (SELECT id, word FROM {only} patients) TO STDOUT")
            }),
            (
                "select word from patients group by id",
                format!("SELECT word FROM {PATIENTS} patients GROUP BY id, patients.word"),
            ),
        ] {
            assert_eq!(sent(&catalog, &whole, sql).unwrap(), expected);
        }
    }
    let catalog = coded(Some(CLEAR));
    let part = [("patients", "rr"), ("secret", "hr"), ("peek", "h")];
    assert_eq!(
        sent(&catalog, &part, "select p from patients p").unwrap(),
        format!("SELECT p FROM {PATIENTS} p")
    );
    // A view that is taken apart.
    let shown = sent(&catalog, &part, "select words from peek").unwrap();
    let under = SECRET.replace("t.id AS", "NULL::int AS");
    assert!(shown.contains(&format!("FROM {under} secret")), "{shown}");
}

#[test]
fn what_is_written_hands_on_no_type_with_code() {
    let catalog = coded(Some(CLEAR));
    let whole = [("patients", "whole"), ("secret", "whole"), ("peek", "whole")];
    let of = |sql: &str| sent(&catalog, &whole, sql);
    assert_eq!(
        of("update patients p set id = 2 where p.word = 'x' returning word, *").unwrap(),
        "UPDATE public.patients p SET id = 2 WHERE p.word::pg_catalog.text OPERATOR(pg_catalog.=) 'x' \
         RETURNING word::pg_catalog.text AS word, p.id AS id, p.word::pg_catalog.text AS word"
    );
    for sql in [
        "delete from patients p where p is not null",
        "update patients set id = 1 returning patients",
        "update patients set id = 1 returning upper(patients)",
    ] {
        assert!(of(sql).unwrap_err().message.contains("the whole row"), "{sql}");
    }
    // One that is not revealed is not read as anything.
    let part = [("patients", "rh")];
    assert_eq!(
        sent(&catalog, &part, "update patients set id = 2 returning word").unwrap(),
        "UPDATE public.patients SET id = 2 RETURNING NULL::pg_catalog.text AS word"
    );
    assert!(sent(&catalog, &part, "delete from patients where word = 'x'").is_err());
}

/// Tables `id`, `ssn`, each with a view `v_NAME` that tells where its rows are, of which these are children or partitions of others, each `(oid, name, kind, parent)`, and rows of what
/// decides where their rows are.
fn split(tables: &[(&str, &str, &str, &str)], keys: &[(&str, &str)], decides: &[[&str; 5]]) -> Catalog {
    split_under(tables, keys, decides, &[], &[])
}

/// The same with constraints, and views of the floor.
fn split_under(
    tables: &[(&str, &str, &str, &str)],
    keys: &[(&str, &str)],
    decides: &[[&str; 5]],
    constraints: &[[&str; 6]],
    floor: &[BarrierView],
) -> Catalog {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let mut results = results();
    results[4].clear();
    results[6].clear();
    let mut rules = RULES.to_owned();
    for (oid, name, kind, parent) in tables {
        results[3].push(row(&["public", name, kind, "false", oid, ""]));
        results[4].push(row(&[oid, r#"[["id","integer",0,null,null],["ssn","text",0,null,null]]"#]));
        if !parent.is_empty() {
            results[6].push(row(&[oid, parent]));
        }
        rules.push_str(&format!(
            "[relations.\"public.{name}\".columns]\nid = {{ clear = true }}\nssn = {{ tags = [\"phi.ssn\"] }}\n"
        ));
    }
    for (oid, name, ..) in tables {
        let view = format!("9{oid}");
        results[3].push(row(&["public", &format!("v_{name}"), "v", "false", &view, ""]));
        results[4].push(row(&[&view, r#"[["id","integer",0,null,null],["at","oid",0,null,null]]"#]));
        results[7].push(row(&[&view, oid, ""]));
        let definition = format!("SELECT {name}.id, {name}.tableoid AS at FROM public.{name}");
        results[12].push(row(&[&view, &definition]));
    }
    results[8].push(row(&["pg_catalog", "generate_series", "true", "true", "false", ""]));
    results[4].push(row(&["4", r#"[["id","integer",0,null,null]]"#]));
    results[4].push(row(&["5", r#"[["id","integer",0,null,null]]"#]));
    results[5] = keys.iter().map(|(oid, key)| row(&["k", oid, key, "0", "[]", "false"])).collect();
    results[5].extend(constraints.iter().map(|constraint| row(constraint)));
    let view = |view: &BarrierView| row(&[&view.name, &view.about, "[\"clerk\"]"]);
    results[14] = floor.iter().map(view).collect();
    results[10].push(row(&["pg_catalog", "oid", "b", ""]));
    results.extend([decides.iter().map(|cells| row(cells)).collect(), Vec::new()]);
    let classification = Arc::new(Classification::load("t.toml", &rules, &[].into()).unwrap());
    Catalog::build(1, &results, Some(&classification)).unwrap()
}

#[test]
fn what_is_split_below_by_what_is_hidden_is_not_read() {
    let tables = [
        ("30", "top", "p", ""),
        ("31", "mid", "p", "30"),
        ("32", "leaf", "r", "31"),
        ("33", "side", "r", "30"),
    ];
    let catalog = split(&tables, &[("30", r#"["id"]"#), ("31", r#"["ssn"]"#)], &[]);
    let part = tables.map(|(_, name, _, _)| (name, "rh"));
    for name in ["top", "mid", "leaf"] {
        for sql in ["select id from", "delete from"] {
            let refusal = sent(&catalog, &part, &format!("{sql} {name}")).unwrap_err();
            assert!(refusal.message.contains("partitioned by what you do not see"), "{refusal}");
        }
    }
    assert!(sent(&catalog, &part, "select id from side").is_ok(), "nothing there is split");
    let shown = tables.map(|(_, name, _, _)| (name, "rr"));
    assert!(sent(&catalog, &shown, "select tableoid, id from top").unwrap().contains("t.tableoid"));
}

/// The rows of what inherits are read through what it inherits from: how wide they are, and when they were written, is told by
/// where they lie.
#[test]
fn where_rows_lie_is_not_told_where_what_inherits_is_not_seen() {
    let tables = [("40", "tree", "r", ""), ("41", "branch", "r", "40"), ("42", "leaf", "r", "41")];
    let catalog = split(&tables, &[], &[]);
    let views = [("v_tree", "hh"), ("v_leaf", "hh")];
    let with = |leaf, sql: &str| {
        let seen = [views.as_slice(), &[("tree", "whole"), ("branch", "whole"), ("leaf", leaf)]].concat();
        sent(&catalog, &seen, sql)
    };
    let sub = "(SELECT t.id AS id, t.ssn AS ssn FROM public.tree t)";
    for (sql, expected) in [
        ("select ctid, xmin from tree", format!("SELECT ctid, xmin FROM {sub} tree")),
        ("select (x).ctid from tree x", format!("SELECT (x).ctid FROM {sub} x")),
        ("copy tree to stdout", "COPY (SELECT id, ssn FROM ONLY public.tree) TO STDOUT".to_owned()),
        ("select ctid from only tree", "SELECT ctid FROM ONLY public.tree".to_owned()),
    ] {
        assert_eq!(with("rh", sql).unwrap(), expected, "{sql}");
    }
    for sql in [
        "select id from tree tablesample system (10)",
        "update tree set id = 1 returning ctid",
        "explain update tree set id = 1",
    ] {
        assert!(with("rh", sql).is_err(), "{sql}");
        assert!(with("whole", sql).is_ok(), "{sql}");
    }
    let sampled = with("rh", "select id from tree tablesample bernoulli (10)").unwrap();
    assert!(sampled.contains("(SELECT t.id AS id, t.ssn AS ssn FROM public.tree t TABLESAMPLE"), "{sampled}");
    let planned = with("rh", "explain select id from tree").unwrap();
    assert!(planned.contains("stand_in_for_tree") && !planned.contains("public.tree"), "{planned}");
    let apart = with("rh", "select at from v_tree").unwrap();
    assert!(apart.contains("t.tableoid AS tableoid FROM public.tree t)"), "{apart}");
    assert_eq!(with("whole", "select ctid from tree").unwrap(), "SELECT ctid FROM public.tree");
    assert_eq!(with("whole", "select at from v_tree").unwrap(), "SELECT at FROM public.v_tree");
}

/// A row filter of a view leaves out rows of whatever its query makes.
#[test]
fn a_view_has_the_rows_of_its_filter() {
    let below = "[relations.\"public.below\"]\nrows = \"id = 7\"\n";
    let views: [(&str, &str, &[&str], &str); 2] = [
        ("21", "below", &["5"], "SELECT secret.id FROM public.secret"),
        ("22", "above", &["21"], "SELECT below.id FROM public.below"),
    ];
    let only = |from: &str| {
        format!(
            "(SELECT COALESCE(t.id, t.id) AS id FROM {from} WHERE id OPERATOR(pg_catalog.=) 7 OFFSET 0) below"
        )
    };
    for (clear, letters) in [("clear = true\n", "r"), ("", "h")] {
        let catalog = target_under(&format!("{RULES}{below}{clear}"), &views);
        let with = |below, secret, sql: &str| {
            sent(&catalog, &[("below", below), ("above", "h"), ("secret", secret)], sql).unwrap()
        };
        let itself = format!("SELECT id FROM {}", only("public.below t"));
        assert_eq!(with(letters, "whole", "select id from below"), itself, "{clear}");
        assert!(with(letters, "whole", "select id from above").contains(&only("public.below t")), "{clear}");
        if clear.is_empty() {
            let apart = "(SELECT NULL::int AS id FROM public.secret secret) t(id)";
            assert_eq!(with("h", "h", "select id from below"), format!("SELECT id FROM {}", only(apart)));
        } else {
            assert_eq!(with(letters, "h", "select id from below"), itself, "cleared");
        }
        let all = format!("{letters}*");
        assert_eq!(with(&all, "whole", "select id from above"), "SELECT id FROM public.above");
    }
}

/// Rows that lie where they do by a check of what is hidden: which relation that is, tells.
#[test]
fn children_with_checks_of_what_is_hidden_tell_nothing() {
    let tables = [
        ("40", "tree", "r", ""),
        ("41", "low", "r", "40"),
        ("42", "deep", "r", "41"),
        ("43", "rest", "r", "40"),
    ];
    let catalog = split(&tables, &[], &[["c", "41", "[]", r#"["ssn"]"#, "[]"]]);
    let part = tables.map(|(_, name, _, _)| (name, "rh"));
    // What may not be in the one is in another.
    for name in ["low", "deep", "rest"] {
        for sql in ["select id from", "delete from"] {
            let refusal = sent(&catalog, &part, &format!("{sql} {name}")).unwrap_err();
            assert!(refusal.message.contains("by a check of what you do not see"), "{refusal}");
        }
    }
    // Also where all of what they are in is seen.
    let whole = [("tree", "whole"), ("low", "rh"), ("deep", "rh"), ("rest", "whole")];
    for sql in ["select id from rest", "delete from rest", "insert into rest (id) values (1)"] {
        assert!(sent(&catalog, &whole, sql).unwrap_err().message.contains("by a check of"), "{sql}");
    }
    let with_view = [whole.as_slice(), &[("v_tree", "hh")]].concat();
    let apart = sent(&catalog, &with_view, "select id from v_tree").unwrap();
    assert!(apart.contains("FROM public.tree t ORDER BY") && !apart.contains("t.tableoid AS"), "{apart}");
    for seen in [part, whole] {
        assert!(!sent(&catalog, &seen, "select tableoid, id from tree").unwrap().contains("t.tableoid"));
        let read = sent(&catalog, &seen, "select id from tree").unwrap();
        assert!(read.contains("FROM public.tree t ORDER BY"), "{read}");
        for sql in [
            "select id from only tree",
            "copy tree to stdout",
            "delete from only tree",
            "delete from tree returning tableoid",
            "update tree set id = 1 where tableoid = 41",
            "delete from tree where id = 1",
            "merge into tree t using rest r on t.id = r.id when not matched then insert (id) values (1)",
        ] {
            assert!(sent(&catalog, &seen, sql).is_err(), "{sql}");
        }
    }
    // What decides is seen.
    let shown = [("tree", "rr"), ("low", "rr"), ("deep", "rr"), ("rest", "rr")];
    for sql in [
        "select id from low",
        "select id from only tree",
        "select tableoid from deep",
        "delete from deep",
        "select id from rest",
        "insert into rest (id) values (1)",
    ] {
        assert!(sent(&catalog, &shown, sql).is_ok(), "{sql}");
    }
    assert!(sent(&catalog, &shown, "select tableoid, id from tree").unwrap().contains("t.tableoid"));
}

/// Keys are of one relation each: a value that is there already, in it or in what inherits from it, tells which.
#[test]
fn what_is_written_beside_rows_that_are_placed_by_what_is_hidden_is_not_judged_by_them() {
    let tables = [("40", "tree", "r", ""), ("41", "low", "r", "40"), ("43", "other", "r", "")];
    let constraints =
        [["p", "40", r#"["id"]"#, "0", "[]", "false"], ["f", "43", r#"["id"]"#, "40", r#"["id"]"#, "false"]];
    let by = |column: &str| {
        let check = format!(r#"["{column}"]"#);
        split_under(&tables, &[], &[["c", "41", "[]", &check, "[]"]], &constraints, &[])
    };
    let seen = [("tree", "whole"), ("low", "rh"), ("other", "whole")];
    let refused =
        |column: &str, sql: &str| sent(&by(column), &seen, sql).err().map(|refusal| refusal.message);
    for sql in [
        "insert into tree (id) values (1)",
        "insert into tree values (1) on conflict do nothing",
        "insert into other (id) values (1)",
        "update tree set ssn = '1'",
        "copy tree (id) from stdin",
    ] {
        assert!(refused("ssn", sql).is_some(), "{sql}");
        assert_eq!(refused("id", sql), None, "{sql}");
    }
    let said = refused("ssn", "insert into tree (id) values (1)").unwrap();
    assert!(said.contains("one of the relations that rows are in"), "{said}");
    for sql in
        ["insert into tree (ssn) values ('1')", "insert into other (ssn) values ('1')", "delete from other"]
    {
        assert_eq!(refused("ssn", sql), None, "{sql}");
    }
}

/// A view of the floor orders nothing by itself.
#[test]
fn rows_that_are_placed_by_what_is_hidden_are_ordered_behind_a_view_of_the_floor() {
    let tables = [("40", "tree", "r", ""), ("41", "low", "r", "40")];
    for (decides, ordered) in [(r#"["ssn"]"#, true), (r#"["id"]"#, false)] {
        let over = |floor: &[BarrierView]| {
            split_under(&tables, &[], &[["c", "41", "[]", decides, "[]"]], &[], floor)
        };
        let tree = RelationName::new("public", "tree");
        let made = over(&[]).barrier(&tree, &[Showing::Revealed, Showing::Hidden], false).unwrap();
        let under = Some(Arc::new(Under { role: "clerk".into(), told: None }));
        let catalog = over(std::slice::from_ref(&made));
        let path = [Arc::from("public")];
        let place = Place { catalog: &catalog, path: &path, temporary: &[] };
        let scope = Scope { under, ..scope_of(&[("tree", "rh"), ("low", "rh")]) };
        let sent = rewrite("select id from tree", place, &scope).unwrap().to_string();
        assert!(sent.contains(&format!("FROM chaperone_floor.{}", made.name)), "{sent}");
        assert_eq!(sent.contains(" ORDER BY "), ordered, "{sent}");
    }
}

/// Rows come relation by relation where nothing else orders them.
#[test]
fn rows_that_are_placed_by_what_is_hidden_come_in_an_order_of_what_is_shown() {
    let tables = [("40", "tree", "r", ""), ("41", "low", "r", "40")];
    let sent = |column: &str, seen: &str, sql: &str| {
        let check = format!(r#"["{column}"]"#);
        let catalog = split_under(&tables, &[], &[["c", "41", "[]", &check, "[]"]], &[], &[]);
        sent(&catalog, &[("tree", seen), ("low", "rh")], sql)
    };
    const READ: &str = "select id, ssn from tree";
    for (seen, ssn) in [("whole", "t.ssn"), ("rh", "NULL::pg_catalog.text")] {
        let read = sent("ssn", seen, READ).unwrap();
        // Nothing that the caller asks is asked of them before.
        let order = format!("ORDER BY ROW(t.id, {ssn}) USING OPERATOR(pg_catalog.*<) OFFSET 0) tree");
        assert!(read.ends_with(&order), "{read}");
        assert!(!sent("id", seen, READ).unwrap().contains("ORDER"));
        let taken = "delete from tree where id = 1";
        let refusal = sent("ssn", seen, taken).unwrap_err();
        assert!(refusal.message.contains("in which relation each is"), "{}", refusal.message);
        assert!(sent("id", seen, taken).is_ok());
    }
}

/// Keys and policies ask of one relation without those around it: an answer tells which one a row is in.
#[test]
fn what_asks_of_one_relation_alone_is_not_judged_by_what_placed_rows_there() {
    let tables = [
        ("30", "top", "p", ""),
        ("31", "leaf", "r", "30"),
        ("40", "tree", "r", ""),
        ("41", "low", "r", "40"),
        ("43", "other", "r", ""),
        ("44", "doctor", "r", ""),
    ];
    let key = |from, to| ["f", from, r#"["id"]"#, to, r#"["id"]"#, "false"];
    let refused = |column: &str, keys: &[[&str; 6]], reads: &str, sql: &str| {
        let by = format!(r#"["{column}"]"#);
        let policy = ["p", "43", r#"["free"]"#, reads, "[]"];
        let decides = [["c", "41", "[]", &by, "[]"], policy];
        let decides = if reads.is_empty() { &decides[..1] } else { &decides[..] };
        let catalog = split_under(&tables, &[("30", &by)], decides, keys, &[]);
        let seen = [
            ("top", "rh"),
            ("leaf", "rh"),
            ("tree", "whole"),
            ("low", "rh"),
            ("other", "whole"),
            ("doctor", "whole"),
        ];
        sent(&catalog, &seen, sql).is_err()
    };
    let (insert, delete) = ("insert into other (id) values (1)", "delete from doctor");
    for (keys, sql) in [
        (&[key("43", "41")][..], insert),
        (&[key("43", "31")], insert),
        (&[key("43", "40")], insert),
        (&[key("41", "44")], delete),
        (&[key("40", "44")], delete),
        (&[key("31", "44")], delete),
    ] {
        assert!(refused("ssn", keys, "", sql), "{keys:?}");
        assert!(!refused("id", keys, "", sql), "{keys:?}");
    }
    // Whichever partition a row is in, the key is the same.
    assert!(!refused("ssn", &[key("30", "44"), key("31", "44")], "", delete));
    assert!(refused("ssn", &[key("30", "43"), key("31", "44")], "", delete));
    let locked = |column: &str, from: &'static str| {
        let by = format!(r#"["{column}"]"#);
        let catalog = split_under(&tables, &[], &[["c", "41", "[]", &by, "[]"]], &[key(from, "44")], &[]);
        let seen = [("tree", "whole"), ("low", "rh"), ("doctor", "whole")];
        sent(&catalog, &seen, "select xmax from doctor").unwrap() != "SELECT xmax FROM public.doctor"
    };
    for from in ["40", "41"] {
        assert!(locked("ssn", from) && !locked("id", from));
    }
    for reads in [r#"[["41","id"]]"#, r#"[["31","id"]]"#, r#"[["40","id"]]"#] {
        assert!(refused("ssn", &[], reads, "select id from other"), "{reads}");
        assert!(!refused("id", &[], reads, "select id from other"), "{reads}");
    }
}

/// Row security is nothing to a key: it finds rows that nobody is shown.
#[test]
fn no_key_tells_of_rows_that_row_security_leaves_out() {
    let tables = [("43", "other", "r", ""), ("50", "fenced", "r", "")];
    let key = |from, to| ["f", from, r#"["id"]"#, to, r#"["id"]"#, "false"];
    let policy = ["p", "50", r#"["free"]"#, r#"[["50","id"]]"#, "[]"];
    for (key, sql) in
        [(key("43", "50"), "insert into other (id) values (1)"), (key("50", "43"), "delete from other")]
    {
        let catalog = split_under(&tables, &[], &[policy], &[key], &[]);
        let as_role = |role: &str| {
            let path = [Arc::from("public")];
            let place = Place { catalog: &catalog, path: &path, temporary: &[] };
            let under = Some(Arc::new(Under { role: role.into(), told: None }));
            rewrite(sql, place, &Scope { under, ..scope_of(&[("other", "whole"), ("fenced", "whole")]) })
        };
        assert!(as_role("bound").is_err(), "{sql}");
        assert!(as_role("free").is_ok(), "{sql}");
    }
}

#[test]
fn row_security_that_reads_what_is_hidden_shows_no_rows() {
    let table = [("50", "fenced", "r", "")];
    let guarded = |reads: &str, calls: &str| split(&table, &[], &[["p", "50", r#"["free"]"#, reads, calls]]);
    let as_role = |role: Option<&str>, catalog: &Catalog, seen: &[(&str, &str)], sql: &str| {
        let path = [Arc::from("public")];
        let place = Place { catalog, path: &path, temporary: &[] };
        let under = role.map(|role| Arc::new(Under { role: role.into(), told: None }));
        rewrite(sql, place, &Scope { under, ..scope_of(seen) }).map(|text| text.to_string())
    };
    const READ: &str = "select id from fenced";
    let of = |reads: &str, calls: &str, fenced: &str, secret: &str| {
        as_role(Some("bound"), &guarded(reads, calls), &[("fenced", fenced), ("secret", secret)], READ)
    };
    let (own, afar, rows) = (r#"[["50","ssn"]]"#, r#"[["50","id"],["5","id"]]"#, r#"[["5",""]]"#);
    for (reads, calls, fenced, secret) in [
        (own, "[]", "rh", "whole"),
        (own, "[]", "rm", "whole"),
        (afar, "[]", "whole", "h"),
        (r#"[["7","id"]]"#, "[]", "whole", "whole"),
        (r#"[["50","ctid"]]"#, "[]", "rr", "whole"),
        (r#"[["99999","id"]]"#, "[]", "whole", "whole"),
        ("[]", r#"[["public","leak"]]"#, "whole", "whole"),
        ("[]", r#"[["pg_catalog","query_to_xml"]]"#, "whole", "whole"),
        ("[]", r#"[["pg_catalog","domain_in"]]"#, "whole", "whole"),
    ] {
        let refusal = of(reads, calls, fenced, secret).unwrap_err();
        assert!(refusal.message.contains("row security decides by what you do not see"), "{refusal}");
        assert!(refusal.hint.unwrap().starts_with("an administrator"));
        // Whoever is not subject to it sees the rows that there are.
        let catalog = guarded(reads, calls);
        let seen = [("fenced", fenced), ("secret", secret)];
        assert!(as_role(Some("free"), &catalog, &seen, READ).is_ok());
        assert!(as_role(None, &catalog, &seen, READ).is_err(), "nobody knows as whom");
    }
    for (reads, calls, fenced, secret) in [
        ("[]", "[]", "rh", "h"),
        (own, "[]", "hr", "h"),
        (own, r#"[["pg_catalog","current_setting"],["pg_catalog","upper"]]"#, "whole", "h"),
        (afar, "[]", "rh", "r"),
        (rows, "[]", "rh", "h"),
    ] {
        assert!(
            of(reads, calls, fenced, secret).is_ok(),
            "{reads} {calls} {:?}",
            of(reads, calls, fenced, secret)
        );
    }
    // What is not decided about is not seen.
    assert!(as_role(Some("bound"), &guarded(afar, "[]"), &[("fenced", "whole")], READ).is_err());
}

/// A view reads as its owner, of whom nothing is known: with its reader's own login what he may read is clear.
#[test]
fn a_view_over_row_security_is_taken_apart() {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let mut results = results();
    let id = r#"[["id","integer",0,null,null]]"#;
    results[4] = vec![row(&["4", id]), row(&["5", id]), row(&["7", id])];
    let guard = [["p", "5", r#"["free"]"#, r#"[["4","id"]]"#, "[]"]];
    results.extend([guard.iter().map(|cells| row(cells)).collect(), Vec::new()]);
    let classification = Arc::new(Classification::load("t.toml", RULES, &[].into()).unwrap());
    let catalog = Catalog::build(1, &results, Some(&classification)).unwrap();
    let of = |role: &str, patients: &str| {
        let path = [Arc::from("public")];
        let place = Place { catalog: &catalog, path: &path, temporary: &[] };
        let under = Some(Arc::new(Under { role: role.into(), told: None }));
        let seen = scope_of(&[("secret", "whole"), ("patients", patients), ("peek", "h")]);
        rewrite("select id from peek", place, &Scope { under, ..seen }).map(|text| text.to_string())
    };
    assert_eq!(of("bound", "whole").unwrap(), "SELECT id FROM public.peek");
    assert!(of("bound", "h").unwrap_err().message.contains("row security"));
    let apart = of("free", "h").unwrap();
    assert!(apart.contains("FROM public.secret") && !apart.contains("public.peek"), "{apart}");
}
