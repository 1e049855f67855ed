//! Rules that stand behind or beside others: each is asked where no other one says the same.

use super::*;

fn cells(cells: &[&str]) -> Vec<Option<String>> {
    cells.iter().map(|cell| Some((*cell).to_owned())).collect()
}

/// Whether the second look lets a statement stand for a caller who sees `public.patients` whole.
fn stands(catalog: &Catalog, sql: &str) -> bool {
    let scope = scope_of(&[("patients", "whole")]);
    let telling = Telling::new(catalog, None, false);
    Generated::default().holds(&tree::parse(sql).ok().unwrap().tree, &telling, &scope)
}

#[test]
fn the_second_look_lets_nothing_be_emptied_but_the_sessions_own() {
    assert!(stands(&catalog(), "select 1 from public.patients"));
    assert!(stands(&catalog(), "truncate pg_temp.mine"));
    for sql in ["truncate public.patients", "truncate pg_temp.mine, public.patients"] {
        assert!(!stands(&catalog(), sql), "{sql}");
    }
}

#[test]
fn the_second_look_lets_no_type_with_code_be_read() {
    let mut results = results();
    results[4] = vec![cells(&["4", r#"[["word","public.checked",4,"text",null]]"#])];
    let coded = Catalog::build(1, &results, None).unwrap();
    assert!(!stands(&coded, "select 1 from public.patients"));
    assert!(stands(&coded, "delete from public.patients"));
}

/// An operator of somebody's own could be what LIKE means to the server.
#[test]
fn like_is_the_built_in_operator_whatever_others_there_are() {
    let sent = |own: &str| {
        let mut results = results();
        results[9] = vec![cells(&[own, ""])];
        let catalog = Catalog::build(1, &results, None).unwrap();
        let path = [Arc::from("public")];
        let place = Place { catalog: &catalog, path: &path, temporary: &[] };
        let sql = "select 1 from patients where $1 like $2";
        rewrite(sql, place, &Scope::default()).unwrap().to_string()
    };
    assert!(sent("~~").ends_with("WHERE $1 OPERATOR(pg_catalog.~~) $2"), "{}", sent("~~"));
    assert!(sent("~~*").ends_with("WHERE $1 LIKE $2"), "{}", sent("~~*"));
}

#[test]
fn a_look_takes_no_argument_by_its_name() {
    let mut results = results();
    results[8].push(cells(&["pg_catalog", "pg_get_viewdef", "true", "true", "false", ""]));
    let catalog = Catalog::build(1, &results, None).unwrap();
    let place = Place { catalog: &catalog, path: &[], temporary: &[] };
    for named in ["a => 1", "1, b => 2", "b => 2, a => 1"] {
        let sql = format!("select pg_get_viewdef({named})");
        let refusal = rewrite(&sql, place, &Scope::default()).unwrap_err();
        assert!(refusal.message.contains("called in an unusual way"), "{named}: {refusal}");
    }
}

#[test]
fn a_filter_stands_inline_where_no_view_of_the_floor_has_it() {
    let inline = |views: &[BarrierView]| {
        with_floor(FILTERED, views).filtered_inline().map(ToString::to_string).collect::<Vec<_>>()
    };
    let filtered = view(FILTERED, MASKED, true);
    let whole = view(FILTERED, MASKED, false);
    assert_eq!(inline(&[]), ["public.patients"]);
    assert_eq!(inline(std::slice::from_ref(&whole)), ["public.patients"]);
    assert!(inline(&[whole, filtered]).is_empty());
}

#[test]
fn what_is_read_through_a_view_of_the_floor_is_read_whole() {
    let rules = FILTERED.replace("rows = \"id = any(caller.clinics::integer[]) or caller.level > 3\"", "");
    let showings = [Showing::Revealed, Showing::Hidden];
    let made = view(&rules, &showings, false);
    let mut catalog = with_floor(&rules, std::slice::from_ref(&made));
    let sent =
        |catalog: &Catalog, sql: &str| sent_under(catalog, (&showings, true), Some(("clerk", None)), sql);
    const ONLY: &str = "select id from only patients";
    const SAMPLED: &str = "select id from patients tablesample bernoulli (10)";
    // It has no children that could be left out.
    assert!(sent(&catalog, ONLY).unwrap().contains(&made.name));
    let child = RelationName::new("public", "secret");
    catalog.relations.get_mut(&patients()).unwrap().children.push(child);
    assert!(sent(&catalog, "select id from patients").unwrap().contains(&made.name));
    assert!(sent(&catalog, ONLY).unwrap_err().message.starts_with("ONLY of"));
    assert!(sent(&catalog, SAMPLED).unwrap_err().message.starts_with("TABLESAMPLE of"));
}

/// A view of the floor reads as its owner, whom the policies concern whatever they let the session's role do.
#[test]
fn whom_row_security_lets_through_it_does_not_under_a_view_of_the_floor() {
    let rules = FILTERED.replace("rows = \"id = any(caller.clinics::integer[]) or caller.level > 3\"", "");
    let showings = [Showing::Revealed, Showing::Hidden];
    let made = view(&rules, &showings, false);
    let sent = |views: &[BarrierView]| {
        let mut catalog = with_floor(&rules, views);
        let freed = [Arc::from("clerk")].into();
        let guard = crate::catalog::Guard { freed, reads_more: true, ..Default::default() };
        catalog.relations.get_mut(&patients()).unwrap().guard = Some(Arc::new(guard));
        sent_under(&catalog, (&showings, true), Some(("clerk", None)), "select id from patients")
    };
    assert!(sent(&[]).is_ok());
    assert!(sent(&[made]).unwrap_err().message.contains("row security"));
}

#[test]
fn what_is_copied_has_the_columns_that_were_named() {
    let shown = described("copy pg_class (oid) to stdout");
    assert!(shown.starts_with("COPY (SELECT oid FROM"), "{shown}");
    let shown = described("copy pg_class to stdout");
    assert!(shown.starts_with("COPY (SELECT * FROM"), "{shown}");
    // Of whom nothing is hidden, nothing need be said.
    let open = Catalog::build(1, &results(), None).unwrap();
    let path = [Arc::from("public")];
    let place = Place { catalog: &open, path: &path, temporary: &[] };
    let sent = rewrite("copy patients to stdout", place, &Scope::default()).unwrap();
    assert_eq!(&*sent, "COPY public.patients TO STDOUT");
}

/// Whoever walks the statement refuses these as well.
#[test]
fn only_tables_of_the_sessions_own_are_made_and_dropped() {
    let (catalog, path) = (catalog(), [Arc::from("public")]);
    let temporary = [Arc::from("mine")];
    let place = Place { catalog: &catalog, path: &path, temporary: &temporary };
    let sent = |sql: &str| rewrite(sql, place, &scope_of(&[]));
    for sql in [
        "drop table mine",
        "drop table pg_temp.mine",
        "drop table if exists nothing_there",
        "create temporary table other (a int4 primary key)",
        "create temporary table pg_temp.other (a int4)",
    ] {
        assert!(sent(sql).is_ok(), "{sql}: {:?}", sent(sql));
    }
    for sql in [
        "drop table patients",
        "drop table public.mine",
        "drop table if exists patients",
        "drop table nothing_there",
        "create table other (a int4)",
        "create table pg_temp.other (a int4)",
        "create temporary table public.other (a int4)",
    ] {
        assert!(sent(sql).is_err(), "{sql}: {:?}", sent(sql));
    }
    let key = sent("create temporary table other (a int4 references patients)").unwrap_err();
    assert!(key.message.contains("a foreign key"), "{key}");
}

#[test]
fn which_table_a_row_was_in_is_returned_where_all_is_seen() {
    let (catalog, path) = (catalog(), [Arc::from("public")]);
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    let sent = rewrite("delete from patients returning tableoid", place, &scope_of(&[("patients", "whole")]));
    assert_eq!(&*sent.unwrap(), "DELETE FROM public.patients RETURNING tableoid");
    let only = rewrite("delete from only patients", place, &scope_of(&[("patients", "whole")]));
    assert_eq!(&*only.unwrap(), "DELETE FROM ONLY public.patients");
}

#[test]
fn what_an_identity_makes_in_place_of_a_value_is_not_read() {
    let (catalog, path) = (catalog(), [Arc::from("public")]);
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    let of = |overriding: &str| {
        let sql = format!(
            "insert into patients (id, ssn) {overriding} values (1, 'x') \
             on conflict (id) do update set id = 2 where excluded.ssn = 'x'"
        );
        rewrite(&sql, place, &scope_of(&[("patients", "rh*")]))
    };
    assert!(of("").is_ok() && of("overriding system value").is_ok(), "{:?}", of(""));
    assert!(of("overriding user value").unwrap_err().message.contains("reads `ssn`"));
}

#[test]
fn a_row_moves_where_what_splits_its_relation_is_assigned() {
    let mut results = results();
    let columns = r#"[["id","integer",0,null,null],["ssn","text",0,null,null],["word","text",0,null,null]]"#;
    let mut rules = String::new();
    for (oid, name, kind) in [("70", "top", "p"), ("71", "leaf", "r")] {
        results[3].push(cells(&["public", name, kind, "false", oid, ""]));
        results[4].push(cells(&[oid, columns]));
        rules.push_str(&format!(
            "[relations.\"public.{name}\".columns]\nid = {{ clear = true }}\nword = {{ clear = true }}\n\
             ssn = {{ tags = [\"phi.ssn\"] }}\n"
        ));
    }
    results[5] = vec![
        cells(&["k", "70", r#"["id"]"#, "0", "[]", "false"]),
        cells(&["u", "71", r#"["ssn"]"#, "0", "[]", "false"]),
    ];
    results[6].push(cells(&["71", "70"]));
    let rules = Classification::load("t.toml", &rules, &[].into()).unwrap();
    let catalog = Catalog::build(1, &results, Some(&Arc::new(rules))).unwrap();
    let path = [Arc::from("public")];
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    let sent = |sql: &str| rewrite(sql, place, &scope_of(&[("top", "rhr*"), ("leaf", "rhr*")]));
    assert!(sent("update top set word = 'x'").is_ok(), "{:?}", sent("update top set word = 'x'"));
    assert!(sent("update leaf set id = 2").is_ok(), "it stays where it is");
    assert!(sent("update top set id = 2").unwrap_err().message.contains("a unique index over `ssn`"));
}

/// A view may have the name of a setting.
#[test]
fn the_name_of_a_setting_is_one_where_a_setting_is_asked_for() {
    let shown = described("select pg_get_viewdef('timezone')");
    assert!(shown.contains("WHERE CASE WHEN g.o OPERATOR(pg_catalog.<)"), "{shown}");
}

#[test]
fn a_view_of_the_systems_has_no_system_columns() {
    let mut results = results();
    results[3].push(cells(&["pg_catalog", "pg_views", "v", "false", "90", ""]));
    let catalog = Catalog::build(1, &results, None).unwrap();
    let telling = Telling::new(&catalog, None, false);
    for (name, shown) in [("pg_class", true), ("pg_views", false)] {
        let asked = [("tableoid", "t.tableoid")];
        let text = crate::system::stand_in(&telling, &RelationName::new("pg_catalog", name), &asked);
        assert_eq!(text.unwrap().contains("t.tableoid AS tableoid"), shown, "{name}");
    }
}

/// `peek`, a view with a filter of its own, at a target where the floor has these views.
fn peeked(views: &[BarrierView]) -> Catalog {
    let mut results = results();
    let id = r#"[["id","integer",0,null,null]]"#;
    results[4] = vec![cells(&["5", id]), cells(&["7", id])];
    let row = |view: &BarrierView| cells(&[view.name.as_str(), &view.about, "[\"clerk\"]"]);
    results[14] = views.iter().map(row).collect();
    let rules = "[relations.\"public.peek\"]\nclear = true\nrows = \"id = 7\"\n";
    let rules = Classification::load("t.toml", rules, &[].into()).unwrap();
    Catalog::build(1, &results, Some(&Arc::new(rules))).unwrap()
}

#[test]
fn a_view_is_read_through_the_floor_for_the_rows_of_its_filter_alone() {
    let peek = RelationName::new("public", "peek");
    let made = peeked(&[]).barrier(&peek, &[Showing::Revealed], true).unwrap();
    let catalog = peeked(std::slice::from_ref(&made));
    let sent = |all_rows: bool| {
        let showings = [Showing::Revealed];
        let hidden = RelationScope::Part { showings: [Showing::Hidden].into(), all_rows: true };
        let part = RelationScope::Part { showings: showings.into(), all_rows };
        let scope = Scope {
            relations: [(peek.clone(), part), (RelationName::new("public", "secret"), hidden)].into(),
            under: Some(Arc::new(Under { role: "clerk".into(), told: Some(Arc::default()) })),
            ..Scope::default()
        };
        let path = [Arc::from("public")];
        let place = Place { catalog: &catalog, path: &path, temporary: &[] };
        rewrite("select id from peek", place, &scope).unwrap().to_string()
    };
    assert!(sent(false).contains(&made.name), "{}", sent(false));
    assert!(sent(true).contains("FROM public.peek t OFFSET 0"), "{}", sent(true));
}

/// `'t'` is no list of them: the writer would write it as a truth value, and what is written so is not sent.
#[test]
fn only_a_truth_value_is_spelled_out() {
    let catalog = catalog();
    let place = Place { catalog: &catalog, path: &[], temporary: &[] };
    let sent = |sql: &str| rewrite(sql, place, &Scope::default());
    let spelled_out = sent("select 't'::bool as x, 'f'::bool as y").unwrap();
    assert_eq!(&*spelled_out, "SELECT 'true'::boolean AS x, 'false'::boolean AS y");
    assert!(sent("select '{t}'::bool[] as x").is_ok() && sent("select 't'::bool[] as x").is_err());
}

/// The types of its arguments say whose it is.
#[test]
fn an_operator_of_an_extension_that_may_be_used_stays_as_it_is() {
    let mut results = results();
    results[9] = vec![cells(&["->", "hstore"]), cells(&["~~~", "other"])];
    let rules = Classification::load("t.toml", "[extensions]\nallowed = [\"hstore\"]\n", &[].into()).unwrap();
    let catalog = Catalog::build(1, &results, Some(&Arc::new(rules))).unwrap();
    let place = Place { catalog: &catalog, path: &[], temporary: &[] };
    for (operator, written) in [("->", "->"), ("~~~", "OPERATOR(pg_catalog.~~~)")] {
        let sent = rewrite(&format!("select $1 {operator} $2"), place, &Scope::default()).unwrap();
        assert_eq!(&*sent, format!("SELECT $1 {written} $2"));
    }
}

#[test]
fn the_second_look_takes_what_is_locked_for_a_name_of_the_statements_own() {
    assert!(stands(&catalog(), "select 1 from public.patients p for update of p"));
}

#[test]
fn only_a_view_may_be_asked_about_by_its_name() {
    let shown = described("select pg_get_function_arguments(7)");
    assert!(shown.contains("SELECT 7::pg_catalog.oid OFFSET 0") && !shown.contains("regclass"), "{shown}");
    let named = described("select pg_get_viewdef(7)");
    assert!(named.contains("SELECT 7::pg_catalog.regclass::pg_catalog.oid OFFSET 0"), "{named}");
}

/// What is locked is not read.
#[test]
fn a_relation_of_the_systems_that_is_read_in_part_is_locked_as_it_is() {
    let locked = described("lock pg_class in access share mode");
    assert_eq!(locked, "LOCK TABLE pg_catalog.pg_class IN ACCESS SHARE MODE");
}

/// Its conflicts are between pages.
#[test]
fn no_transaction_is_serializable_where_something_is_hidden() {
    for (level, other) in [
        ("begin isolation level serializable", "begin isolation level repeatable read"),
        ("start transaction read only, isolation level serializable, deferrable", "begin read only"),
        ("set transaction isolation level serializable", "set transaction read write"),
        (
            "set session characteristics as transaction isolation level serializable",
            "set session characteristics as transaction isolation level read committed",
        ),
        (
            "set default_transaction_isolation = 'SERIALIZABLE'",
            "set default_transaction_isolation to default",
        ),
        ("set local transaction_isolation to serializable", "set datestyle to serializable"),
        ("set transaction_isolation = 'serializable'", "set transaction_isolation = 'repeatable read'"),
    ] {
        assert!(sent(level).unwrap_err().message.starts_with("SERIALIZABLE"), "{level}");
        assert!(sent(other).is_ok(), "{other}");
    }
    assert!(!crate::settings::configurable("default_transaction_isolation"));
    let open = Catalog::build(1, &results(), None).unwrap();
    let place = Place { catalog: &open, path: &[], temporary: &[] };
    const BEGIN: &str = "begin isolation level serializable";
    assert!(rewrite(BEGIN, place, &Scope::default()).is_ok());
    // The statement touches nothing of which the credential has some columns.
    assert!(rewrite(BEGIN, place, &Scope { narrowed: true, ..Scope::default() }).is_err());
}
