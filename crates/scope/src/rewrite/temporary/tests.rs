use std::sync::Arc;

use chaperone_access::{Refusal, Scope};

use crate::analyse::analyse;
use crate::analyse::tests::results;
use crate::catalog::Catalog;
use crate::classification::Classification;
use crate::rewrite::tests::scope_of;
use crate::rewrite::{Place, rewrite};

const CLASSIFIED: &str = r#"
[relations."public.patients".columns]
id = { clear = true }
ssn = { tags = ["phi.ssn"] }

[relations."public.secret"]
clear = true
"#;

fn catalog() -> Catalog {
    let columns = |oid: &str, columns: &str| vec![Some(oid.to_owned()), Some(columns.to_owned())];
    let mut results = results();
    results[4] = vec![
        columns("4", r#"[["id","integer",16,null,null],["ssn","text",0,null,null]]"#),
        columns("5", r#"[["id","integer",18,null,null],["word","more.checked",4,"text",null]]"#),
        columns("6", r#"[["id","integer",0,null,null]]"#),
    ];
    let classification = Classification::load("t.toml", CLASSIFIED, &[].into()).unwrap();
    Catalog::build(1, &results, Some(&Arc::new(classification))).unwrap()
}

/// What is sent for whoever sees a part of `patients`, in a session that has the temporary table `mine`.
fn sent(sql: &str, scope: &Scope) -> Result<String, Refusal> {
    let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
    let temporary: Arc<[Arc<str>]> = Arc::from([Arc::from("mine")]);
    let analysis = analyse(&Arc::from(sql), &path, &temporary, &Arc::new(catalog()));
    analysis.confined.get(scope).map(|text| text.to_string())
}

fn part() -> Scope {
    scope_of(&[("patients", "rh"), ("secret", "whole"), ("audited", "whole")])
}

#[test]
fn what_is_done_to_tables_of_the_sessions_own_names_them_completely() {
    for (sql, expected) in [
        (
            "create temp table t (id serial primary key, n bigserial, at int4 generated always as identity (start 5))",
            "CREATE TEMPORARY TABLE t (id serial PRIMARY KEY, n bigserial, at int GENERATED ALWAYS AS IDENTITY (START 5 ))",
        ),
        (
            "create temp table t (a int4, b int4 generated always as (length('x')) stored) with (fillfactor = 70)",
            "CREATE TEMPORARY TABLE t (a int, b int GENERATED ALWAYS AS (pg_catalog.length('x')) STORED) \
             WITH (fillfactor=70)",
        ),
        (
            "create temp table t (a int4 references mine (id) on delete cascade)",
            "CREATE TEMPORARY TABLE t (a int REFERENCES pg_temp.mine (id) ON DELETE CASCADE)",
        ),
        (
            "create index on mine using gin (upper(a) collate \"C\" text_ops, b desc) where length(a) > 1",
            "CREATE INDEX ON pg_temp.mine USING gin (pg_catalog.upper(a) COLLATE pg_catalog.\"C\" pg_catalog.text_ops, b DESC) \
             WHERE pg_catalog.length(a) OPERATOR(pg_catalog.>) 1",
        ),
        (
            "alter table mine add column x serial, alter column y type text using upper(y), drop column z, add primary key (x)",
            "ALTER TABLE pg_temp.mine ADD COLUMN x serial, ALTER COLUMN y TYPE pg_catalog.text USING pg_catalog.upper(y), \
             DROP z, ADD PRIMARY KEY (x)",
        ),
        ("alter table mine rename column a to b", "ALTER TABLE pg_temp.mine RENAME COLUMN a TO b"),
        ("analyze mine (a)", "ANALYZE pg_temp.mine(a)"),
        ("vacuum (full, analyze) pg_temp.mine", "VACUUM (FULL, ANALYZE) pg_temp.mine"),
        ("drop index some_index", "DROP INDEX pg_temp.some_index"),
        (
            "create temp table t (like mine including all)",
            "CREATE TEMPORARY TABLE t (LIKE pg_temp.mine INCLUDING ALL)",
        ),
        (
            "create temp table t (like patients, more text)",
            "CREATE TEMPORARY TABLE t (id int NOT NULL, ssn pg_catalog.text, more pg_catalog.text)",
        ),
        (
            "create temp table t (like secret including comments)",
            "CREATE TEMPORARY TABLE t (id int NOT NULL, word pg_catalog.text)",
        ),
    ] {
        assert_eq!(sent(sql, &part()).as_deref(), Ok(expected), "{sql}");
    }
}

#[test]
fn nothing_else_is_made_altered_or_counted() {
    for sql in [
        "create temp table t (a int4 references patients)",
        "create temp table t (a int4 generated always as identity (sequence name public.numbers))",
        "create temp table t (a serial[])",
        "create temp table t (a int4) with (user_catalog_table = true)",
        "create temp table t with (user_catalog_table = true) as select 1",
        "create temp table t (a int4, exclude using gist (a with =))",
        "create temp table t (like patients including defaults)",
        "create temp table t (like secret including all)",
        "create temp table t (like pg_class)",
        "select * from upper('x') as f(a serial)",
        "select 1::serial",
        "create index on patients (id)",
        "create index on mine using own (a)",
        "create index on mine (leak(a))",
        "create index on mine (a) tablespace elsewhere",
        "alter table patients add column x int4",
        "alter table mine owner to somebody",
        "alter table mine inherit patients",
        "alter table mine attach partition patients default",
        "alter table mine enable row level security",
        "alter table mine rename to other",
        "alter table mine set schema public",
        "alter index mine rename to other",
        "alter view mine rename column a to b",
        "analyze",
        "vacuum",
        "analyze mine, patients",
        "vacuum (verbose) mine",
        "drop index public.some_index",
        "drop index concurrently some_index",
    ] {
        assert!(sent(sql, &part()).is_err(), "{sql}: {:?}", sent(sql, &part()));
    }
}

/// Whoever walks the statement refuses some of these as well.
#[test]
fn only_one_plain_integer_has_a_sequence_for_its_type() {
    let (catalog, path) = (catalog(), [Arc::from("public")]);
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    let made = |typ: &str| rewrite(&format!("create temp table t (a {typ})"), place, &part()).is_ok();
    for (typ, plain) in [("serial", true), ("serial[]", false), ("serial(3)", false), ("integer[]", true)] {
        assert_eq!(made(typ), plain, "{typ}");
    }
}

/// What is copied with the names and types could run, or is decided by what is not seen.
#[test]
fn a_table_is_made_with_all_that_another_has_where_nothing_is_hidden_and_nothing_runs() {
    let columns = |oid: &str, columns: &str| vec![Some(oid.to_owned()), Some(columns.to_owned())];
    const ID: &str = r#"[["id","integer",0,null,null]]"#;
    let mut results = results();
    for name in ["nextval", "txid_current", "pg_get_viewdef"] {
        let function = ["pg_catalog", name, "true", "false", "false", ""];
        results[8].push(function.map(|cell| Some(cell.to_owned())).to_vec());
    }
    for (oid, name, active, called, columns_of) in [
        ("30", "plain", "false", "length,random", ID),
        ("31", "acts", "true", "", ID),
        ("32", "calls", "false", "length,query_to_xml", ID),
        ("33", "coded", "false", "", r#"[["word","more.checked",4,"text",null]]"#),
        ("34", "planned", "false", "", r#"[["hours","public.hours",8,null,null]]"#),
        // Numbers of what is not seen; a transaction's; what somebody else may see.
        ("35", "draws", "false", "nextval", ID),
        ("36", "counts", "false", "txid_current", ID),
        ("37", "shows", "false", "pg_get_viewdef", ID),
    ] {
        let relation = ["public", name, "r", active, oid, "", called];
        results[3].push(relation.map(|cell| Some(cell.to_owned())).to_vec());
        results[4].push(columns(oid, columns_of));
    }
    let open = Arc::new(Catalog::build(1, &results, None).unwrap());
    let names = ["plain", "acts", "calls", "coded", "planned", "draws", "counts", "shows"];
    let whole = scope_of(&names.map(|name| (name, "whole")));
    let mut beside = whole.clone();
    beside.relations.extend(scope_of(&[("patients", "h")]).relations);
    let made = |name: &str, scope: &Scope| {
        let sql = format!("create temp table t (like {name} including defaults)");
        let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
        analyse(&Arc::from(sql), &path, &Arc::from([]), &open).confined.get(scope)
    };
    let sent = made("plain", &whole).unwrap();
    assert_eq!(&*sent, "CREATE TEMPORARY TABLE t (LIKE public.plain INCLUDING DEFAULTS)");
    for name in &names[1..] {
        assert!(made(name, &whole).unwrap_err().message.starts_with("LIKE with INCLUDING"), "{name}");
    }
    assert!(made("plain", &beside).unwrap_err().message.starts_with("LIKE with INCLUDING"));
}

/// The table is there when the statement has ended.
#[test]
fn a_table_may_have_the_name_of_what_it_is_made_from() {
    let from = "FROM (SELECT t.id AS id, NULL::pg_catalog.text AS ssn FROM public.patients t) patients";
    for (sql, expected) in [
        (
            "create temp table patients as select id from patients; select * from patients",
            "CREATE TEMPORARY TABLE patients AS SELECT id FROM public.patients patients; SELECT * FROM pg_temp.patients"
                .to_owned(),
        ),
        (
            "select id into temp patients from patients; select id from patients",
            format!("SELECT id INTO TEMPORARY patients {from}; SELECT id FROM pg_temp.patients"),
        ),
        // Of set operations the first query says where to.
        (
            "select 1 as id into temp patients union select 2; select id from patients",
            "SELECT 1 AS id INTO TEMPORARY patients UNION SELECT 2; SELECT id FROM pg_temp.patients"
                .to_owned(),
        ),
    ] {
        assert_eq!(sent(sql, &part()).unwrap(), expected);
    }
}
