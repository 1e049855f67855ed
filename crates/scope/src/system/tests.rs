//! What tools ask of a system, and what is sent for it.

use std::sync::Arc;

use chaperone_access::{Described, RelationScope, Scope};

use super::whose::Of;
use super::*;
use crate::analyse::analyse;
use crate::analyse::tests::results;
use crate::catalog::Catalog;

/// A small target with system relations that tools ask for.
fn target() -> Catalog {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let mut results = results();
    for [schema, name, kind, oid] in [
        ["pg_catalog", "pg_settings", "v", "30"],
        ["pg_catalog", "pg_trigger", "r", "31"],
        ["pg_catalog", "pg_locks", "v", "32"],
        ["information_schema", "columns", "v", "33"],
        ["information_schema", "foreign_server_options", "v", "34"],
    ] {
        results[3].push(row(&[schema, name, kind, "false", oid, ""]));
    }
    results[4] = vec![
        row(&["1", r#"[["oid","oid",0,null,null],["relname","name",0,null,null]]"#]),
        row(&["30", r#"[["name","text",0,null,null],["source","text",0,null,null]]"#]),
        row(&["31", r#"[["oid","oid",0,null,null],["tgname","name",0,null,null]]"#]),
        row(&["2", r#"[["tablename","name",0,null,null],["most_common_vals","anyarray",0,null,null]]"#]),
        row(&["34", r#"[["option_name","name",0,null,null],["option_value","text",0,null,null]]"#]),
        // A domain with a check.
        row(&["33", r#"[["table_name","information_schema.sql_identifier",4,"name",null]]"#]),
    ];
    for name in ["oid", "name", "bool", "xid", "varchar", "timestamptz", "interval"] {
        results[10].push(row(&["pg_catalog", name, "b", ""]));
    }
    for name in [
        "pg_show_all_settings",
        "pg_blocking_pids",
        "pg_is_wal_replay_paused",
        "pg_relation_is_updatable",
        "inet_merge",
        "pg_available_extensions",
        "pg_notify",
        "btrim",
        "substring",
    ] {
        results[8].push(row(&["pg_catalog", name, "true", "false", "false", ""]));
    }
    Catalog::build(1, &results, None).unwrap()
}

/// What is sent, or what it is refused for.
fn sent(sql: &str) -> String {
    sent_to(&Scope::default(), sql)
}

fn sent_to(scope: &Scope, sql: &str) -> String {
    let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
    let analysis = analyse(&Arc::from(sql), &path, &Arc::from([]), &Arc::new(target()));
    match analysis.confined.get(scope) {
        Ok(text) => text.to_string(),
        Err(refusal) => format!("refused: {refusal}"),
    }
}

/// pgAdmin asks so when it connects.
#[test]
fn all_settings_are_those_that_may_be_shown() {
    let (view, function) = (
        sent("SELECT 1 FROM pg_settings AS pg_show_all_settings WHERE name = 'bytea_output'"),
        sent("SELECT 1 FROM pg_show_all_settings() WHERE name = 'bytea_output'"),
    );
    assert_eq!(function, view);
    assert!(view.contains("t.name OPERATOR(pg_catalog.=) ANY(ARRAY["), "{view}");
    let named = sent("SELECT s.name FROM pg_catalog.pg_show_all_settings() AS s");
    assert!(named.contains("FROM pg_catalog.pg_settings t") && named.ends_with(") s"), "{named}");
    for other in [
        "SELECT pg_show_all_settings()",
        "SELECT * FROM pg_show_all_settings() WITH ORDINALITY",
        "SELECT * FROM ROWS FROM (pg_show_all_settings(), pg_show_all_settings()) AS s",
        "SELECT * FROM pg_show_all_settings(1)",
    ] {
        assert!(sent(other).starts_with("refused"), "{other}");
    }
}

/// What a driver sends for a value that it is given, and what pg_dump begins with.
#[test]
fn a_setting_may_be_set_to_a_parameter() {
    for sql in ["SELECT set_config('jit', $1, false)", "SELECT set_config('jit', 'off', false)"] {
        assert!(sent(sql).starts_with("SELECT pg_catalog.set_config('jit', "), "{sql}");
    }
    for sql in [
        "SELECT set_config('search_path', '', false)",
        "SELECT set_config($1, 'off', false)",
        "SELECT set_config('jit', upper($1), false)",
        "SELECT set_config('jit', relname, false) FROM pg_class",
    ] {
        assert!(sent(sql).starts_with("refused: `set_config`"), "{sql}: {}", sent(sql));
    }
}

/// The deparser would take the fields from an empty list.
#[test]
fn an_interval_for_a_zone_says_of_which_fields_it_is() {
    for sql in [
        "SET TIME ZONE INTERVAL '1 hour'",
        "SET LOCAL TIME ZONE INTERVAL '1 hour'",
        "SET TIME ZONE INTERVAL(3) '1 hour'",
    ] {
        assert!(sent(sql).starts_with("refused: SET TIME ZONE with an interval"), "{sql}");
    }
    let set = sent("SET TIME ZONE INTERVAL '+01:00' HOUR TO MINUTE");
    assert_eq!(set, "SET TIME ZONE interval '+01:00' hour to minute");
    assert_eq!(sent("SET TIME ZONE LOCAL"), "SET TIME ZONE DEFAULT");
}

/// The deparser takes it for a mistake of its own.
#[test]
fn no_more_than_one_text_is_trimmed() {
    assert!(sent("SELECT trim(trailing 'x' from 'y', 'z')").starts_with("refused: TRIM of several"));
    assert!(sent("SELECT trim('x', 'y', 'z')").starts_with("refused: TRIM of several"));
    // What only looks like it.
    for sql in
        ["SELECT trim('x' from 'y')", "SELECT btrim('x', 'y', 'z')", "SELECT substring('x' from 1 for 2)"]
    {
        assert!(sent(sql).starts_with("SELECT "), "{sql}: {}", sent(sql));
    }
}

/// What stands for a system relation has `xmin` among the others: `*` would show it.
#[test]
fn a_star_beside_xmin_is_written_out() {
    let read =
        sent("SELECT t.oid, t.xmin, t.*, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.oid");
    assert!(read.starts_with("SELECT t.oid, t.xmin, t.oid, t.tgname, c.relname FROM (SELECT"), "{read}");
    assert!(read.contains("NULL::pg_catalog.xid AS xmin FROM pg_catalog.pg_trigger"), "{read}");
    // It is not plain what these are.
    for sql in [
        "SELECT t.xmin, * FROM pg_trigger t JOIN pg_class c USING (oid)",
        "SELECT t.xmin, c.* FROM pg_trigger t, (pg_class a JOIN pg_class b USING (oid)) AS c",
    ] {
        assert!(!sent(sql).contains("AS xmin"), "{sql}");
    }
}

#[test]
fn what_tells_nothing_is_answered() {
    for (sql, expected) in [
        ("SELECT pg_blocking_pids(1)", "SELECT '{}'::int[] AS pg_blocking_pids"),
        ("SELECT pg_is_wal_replay_paused()", "SELECT NULL::boolean AS pg_is_wal_replay_paused"),
        ("SELECT pg_relation_is_updatable(1, true)", "SELECT pg_catalog.pg_relation_is_updatable(1, true)"),
        ("SELECT inet_merge('::1', '::2')", "SELECT pg_catalog.inet_merge('::1', '::2')"),
        (
            "SELECT name FROM pg_available_extensions()",
            "SELECT name FROM pg_catalog.pg_available_extensions()",
        ),
        // The types of the information schema, without their checks.
        ("SELECT $1::information_schema.sql_identifier", "SELECT $1::pg_catalog.name"),
        ("SELECT 'YES'::information_schema.yes_or_no AS x", "SELECT 'YES'::varchar AS x"),
    ] {
        assert_eq!(sent(sql), expected);
    }
    for sql in ["SELECT pg_notify('a', 'b')", "SELECT $1::information_schema.own", "SELECT * FROM pg_authid"]
    {
        assert!(sent(sql).starts_with("refused"), "{sql}");
    }
    let options = sent("SELECT * FROM information_schema.foreign_server_options");
    assert!(
        options.contains("t.option_name AS") && options.contains("NULL::pg_catalog.text AS option_value"),
        "{options}"
    );
    let statistics = sent("SELECT * FROM pg_stats");
    assert!(
        statistics.contains("NULL::pg_catalog.text AS most_common_vals")
            && statistics.contains("WHERE false"),
        "{statistics}"
    );
}

/// PostgREST asks so: what stands in the place of a table has no rows of the table's type.
#[test]
fn what_a_type_is_based_on_is_written_out() {
    assert!(sent("SELECT information_schema._pg_truetypid(a.*, t.*) FROM pg_class a, pg_class t").starts_with(
        "SELECT CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'd' THEN t.typbasetype ELSE a.atttypid END AS _pg_truetypid FROM"
    ));
    let modifier =
        sent("SELECT information_schema._pg_truetypmod(a.*, t.*) AS x FROM pg_class a, pg_class t");
    assert!(modifier.contains("THEN t.typtypmod ELSE a.atttypmod END AS x"), "{modifier}");
    let length = sent("SELECT information_schema._pg_char_max_length(1, 2)");
    assert_eq!(length, "SELECT information_schema._pg_char_max_length(1, 2)");
}

/// A relation of the system's is in no classification.
#[test]
fn a_relation_of_the_system_may_be_grouped() {
    // Policies that say nothing of it let everybody read it.
    let whole = [(RelationName::new("information_schema", "columns"), RelationScope::Whole)].into();
    for scope in [Scope::default(), Scope { relations: whole, ..Scope::default() }] {
        let grouped =
            sent_to(&scope, "SELECT table_name FROM information_schema.columns GROUP BY table_name");
        assert!(grouped.starts_with("SELECT table_name FROM (SELECT"), "{grouped}");
    }
}

/// A function is described to whoever may call it, and a comment may be of one: no relation decides that.
#[test]
fn whoever_may_do_something_to_all_relations_is_told_all_but_of_functions() {
    let catalog = crate::analyse::tests::catalog();
    let all = Telling::new(&catalog, Some(&Described::All), false);
    let none = Telling::new(&catalog, None, false);
    for (look, open) in [
        (Look::Relation, true),
        (Look::PartitionKey, true),
        (Look::Index, true),
        (Look::Constraint, true),
        (Look::Rule, true),
        (Look::Trigger, true),
        (Look::Statistics, true),
        (Look::Function, false),
        (Look::Arguments, false),
        (Look::Comment, false),
        (Look::Setting, false),
    ] {
        assert_eq!(look.condition(&all).is_none(), open, "{look:?}");
        assert!(look.condition(&none).is_some(), "{look:?}");
    }
    for (of, open) in [
        (Of::Relation("oid"), true),
        (Of::Type("oid"), true),
        (Of::Constraint, true),
        (Of::NamedCheck, true),
        (Of::Function("oid"), false),
        (Of::NamedFunction, false),
        (Of::Comment, false),
    ] {
        assert_eq!(all.of(of).is_none(), open, "{of:?}");
        assert!(none.of(of).is_some(), "{of:?}");
    }
    assert!(is_part(CATALOG, "pg_class") && !is_part("public", "pg_class"));
}

#[test]
fn the_columns_of_each_are_loaded() {
    let query = crate::catalog::QUERIES.join("\n");
    for part in &PARTS {
        assert!(query.contains(&format!("'{}'", part.relation)), "{} is not in columns.sql", part.relation);
    }
}

#[test]
fn all_settings_leave_out_those_that_say_who_the_session_is() {
    let listed: Vec<&str> = crate::settings::shown_of_all().collect();
    for (name, shown) in
        [("TimeZone", true), ("timezone", false), ("role", false), ("application_name", false)]
    {
        assert_eq!(listed.contains(&name), shown, "{name}");
    }
    let all = sent("SHOW ALL");
    assert!(
        all.starts_with("SELECT s.name, ") && all.contains("FROM pg_catalog.pg_settings t WHERE"),
        "{all}"
    );
}

#[test]
fn an_element_of_an_index_has_a_name_where_it_is_asked_for_alone() {
    assert!(Look::Index.otherwise(1).is_none());
    assert!(Look::Index.otherwise(3).is_some_and(|text| text.contains("attname")));
}

#[test]
fn what_a_session_has_made_is_described_to_it() {
    let catalog = crate::analyse::tests::catalog();
    let told = |temporary| Telling::new(&catalog, None, temporary).of(Of::Relation("oid")).unwrap();
    assert!(
        told(true).len() > told(false).len() && told(true).contains("pg_my_temp_schema"),
        "{}",
        told(true)
    );
}
