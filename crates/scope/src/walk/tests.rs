//! What the walk says by itself: whoever writes the statement out is asked much of it again.

use std::sync::Arc;

use super::*;
use crate::analyse::tests::results;
use crate::tree;

/// What a statement is refused for, in a session that has the temporary table `mine`.
fn refused(sql: &str) -> Option<String> {
    let mut results = results();
    results[4].push(vec![Some("4".to_owned()), Some(r#"[["id","integer",0,null,null]]"#.to_owned())]);
    let (catalog, path) = (Catalog::build(1, &results, None).unwrap(), [Arc::from("public")]);
    let temporary = [Arc::from("mine")];
    let place = Place { catalog: &catalog, path: &path, temporary: &temporary };
    let parsed = tree::parse(sql).ok().unwrap();
    let found = Walk::new(place, false).statement(parsed.statements(sql)[0].0);
    found.refusal.map(|refusal| refusal.message)
}

#[test]
fn only_a_table_of_the_sessions_own_is_altered() {
    for sql in [
        "alter table mine add column x int4",
        "alter table pg_temp.mine alter column x type text",
        "alter table mine rename column a to b",
        "create index on mine (a) with (fillfactor = 70)",
        "vacuum (full, analyze) mine",
        "analyze mine",
    ] {
        assert_eq!(refused(sql), None, "{sql}");
    }
    for sql in [
        "alter table public.mine add column x int4",
        "alter table other add column x int4",
        "alter table public.mine rename column a to b",
        "create index on other (a)",
        "vacuum mine, other",
    ] {
        assert_eq!(refused(sql).as_deref(), Some("a change of what is not temporary"), "{sql}");
    }
}

#[test]
fn a_table_of_the_sessions_own_is_altered_in_usual_ways_alone() {
    for sql in [
        "alter table mine owner to somebody",
        "alter view mine rename column a to b",
        "alter table mine rename constraint a to b",
        "alter table mine rename to other",
        "create index on mine using own (a)",
        "create index on mine (a) with (buffering = on)",
        "vacuum (verbose) mine",
        "alter index mine set (fillfactor = 70)",
    ] {
        let refused = refused(sql);
        assert_eq!(refused.as_deref(), Some("a change of a temporary table in an unusual way"), "{sql}");
    }
}

#[test]
fn a_table_is_made_of_what_its_own_words_say() {
    const REFUSED: &str = "a table that is not temporary, or is made with more than plain columns";
    for sql in [
        "create temp table t (id serial primary key) with (fillfactor = 70)",
        "create temp table t with (fillfactor = 70) as select 1",
        "create temp table t (a int4 generated always as identity (start 5))",
        "create temp table t (a int4 references mine on delete cascade on update set null)",
    ] {
        assert_eq!(refused(sql), None, "{sql}");
    }
    for sql in [
        "create temp table t (a text references mine on update cascade)",
        "create temp table t (a text, foreign key (a) references mine (a) on update cascade)",
        "alter table mine add foreign key (a) references pg_temp.mine (a) on update cascade",
    ] {
        assert_eq!(refused(sql).as_deref(), Some("a foreign key that cascades an UPDATE"), "{sql}");
    }
    for sql in [
        "create temp table t (a int4) with (user_catalog_table = true)",
        "create temp table t with (user_catalog_table = true) as select 1",
        "create temp table t (a int4, exclude using gist (a with =))",
        "create temp table t (a int4 generated always as identity (sequence name public.numbers))",
        "create table t (a int4)",
        "create table t as select 1",
    ] {
        assert_eq!(refused(sql).as_deref(), Some(REFUSED), "{sql}");
    }
}

#[test]
fn an_integer_with_a_sequence_is_a_type_of_new_columns_alone() {
    for sql in ["create temp table t (a serial)", "alter table mine add column x bigserial"] {
        assert_eq!(refused(sql), None, "{sql}");
    }
    for sql in ["select 1::serial", "select * from upper('x') as f(a serial)"] {
        assert_eq!(
            refused(sql).as_deref(),
            Some("type `serial` is not among those that your permissions cover")
        );
    }
    for typ in ["serial[]", "public.composite"] {
        assert!(refused(&format!("create temp table t (a {typ})")).is_some(), "{typ}");
    }
}

#[test]
fn constraints_are_deferred_all_together() {
    assert_eq!(refused("set constraints all deferred"), None);
    assert_eq!(refused("set constraints a deferred").as_deref(), Some("SET CONSTRAINTS with names"));
}

#[test]
fn an_index_is_dropped_where_temporary_tables_are() {
    for sql in ["drop index some_index", "drop index if exists pg_temp.some_index"] {
        assert_eq!(refused(sql), None, "{sql}");
    }
    for sql in ["drop index public.some_index", "drop index some_index, public.other_index"] {
        assert_eq!(refused(sql).as_deref(), Some("DROP of what is not temporary"), "{sql}");
    }
}

#[test]
fn rows_of_a_relation_are_a_type_with_and_without_its_schema() {
    for sql in ["select null::patients", "select null::public.patients", "select null::patients[]"] {
        assert_eq!(refused(sql), None, "{sql}");
    }
    for sql in ["select null::secret", "select null::public.secret", "select null::other.patients"] {
        assert!(refused(sql).is_some(), "{sql}");
    }
}

#[test]
fn what_is_outside_of_the_database_is_not_named() {
    for (sql, said) in [
        ("select 1 from here.public.patients", "a relation named with its database"),
        ("copy patients to '/tmp/x'", "COPY with a file or program of the server"),
        ("show data_directory", "setting `data_directory` may not be shown"),
        (
            "create function f() returns int language sql as 'select 1'",
            "`create function` is not among the constructs that your permissions cover",
        ),
    ] {
        assert_eq!(refused(sql).as_deref(), Some(said), "{sql}");
    }
    assert_eq!(refused("show all"), None);
}

#[test]
fn a_text_locks_rows_where_it_says_how() {
    for text in [
        "SELECT a.id FROM a FOR UPDATE",
        "SELECT a.id FROM a\n  for   no KEY update OF a",
        "SELECT a.id FROM a FOR SHARE",
        "SELECT a.id FROM a FOR KEY SHARE",
    ] {
        assert!(takes_locks(text), "{text}");
    }
    for text in [
        "SELECT \"substring\"(a.t FROM 1 FOR 2) AS t FROM a",
        "SELECT a.update, a.share FROM a key",
        "SELECT update FROM share",
        "SELECT 1 AS for",
    ] {
        assert!(!takes_locks(text), "{text}");
    }
}
