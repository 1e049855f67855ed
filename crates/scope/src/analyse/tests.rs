mod operators;
mod session;
mod shapes;
mod views;

use super::*;

fn rows(rows: &[&[&str]]) -> Vec<Vec<Option<String>>> {
    rows.iter().map(|row| row.iter().map(|cell| Some((*cell).to_owned())).collect()).collect()
}

/// The rows of the queries for a small target.
pub(crate) fn results() -> Vec<Vec<Vec<Option<String>>>> {
    vec![
        rows(&[]),
        rows(&[&["150018", "chaperone", "public"]]),
        rows(&[&[""]]),
        rows(&[
            &["pg_catalog", "pg_class", "r", "false", "1", ""],
            &["pg_catalog", "pg_stats", "v", "false", "2", ""],
            &["pg_catalog", "pg_authid", "r", "false", "3", ""],
            &["public", "patients", "r", "false", "4", ""],
            &["public", "secret", "r", "false", "5", ""],
            &["public", "audited", "r", "true", "6", ""],
            &["public", "peek", "v", "false", "7", ""],
            &["public", "calling", "v", "false", "8", ""],
            &["public", "visits", "p", "false", "9", ""],
            &["public", "visits_2026", "r", "false", "10", ""],
            &["other", "patients", "r", "false", "11", ""],
        ]),
        rows(&[]),
        rows(&[]),
        rows(&[&["10", "9"]]),
        rows(&[&["7", "5", ""], &["8", "", "leak"]]),
        rows(&[
            &["pg_catalog", "count", "true", "true", "false", ""],
            &["pg_catalog", "upper", "true", "true", "false", ""],
            &["pg_catalog", "length", "true", "true", "false", ""],
            &["pg_catalog", "query_to_xml", "true", "false", "false", ""],
            &["pg_catalog", "pg_read_file", "false", "true", "false", ""],
            &["pg_catalog", "set_config", "false", "false", "false", ""],
            &["pg_catalog", "current_setting", "true", "true", "false", ""],
            &["pg_catalog", "pg_table_is_visible", "true", "true", "false", ""],
            &["pg_catalog", "random", "false", "false", "false", ""],
            &["pg_catalog", "extract", "true", "false", "false", ""],
            &["pg_catalog", "ts_rewrite", "true", "false", "false", ""],
            &["public", "leak", "true", "true", "false", "", "20001"],
        ]),
        rows(&[&["~~~", ""]]),
        rows(&[
            &["pg_catalog", "text", "b", ""],
            &["pg_catalog", "int4", "b", ""],
            &["public", "kind", "e", ""],
        ]),
        rows(&[]),
        rows(&[&["7", "SELECT secret.id FROM public.secret"], &["8", "SELECT public.leak(1) AS leak"]]),
        rows(&[]),
        rows(&[]),
    ]
}

pub(crate) fn catalog() -> Catalog {
    Catalog::build(1, &results(), None).unwrap()
}

fn look(sql: &str) -> Analysis {
    let text: Arc<str> = Arc::from(sql);
    // Trees are dropped on the same deep stack.
    std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(move || {
            analyse(&text, &Arc::from([Arc::from("public")]), &Arc::from([]), &Arc::new(catalog()))
        })
        .unwrap()
        .join()
        .unwrap()
}

fn sent(sql: &str) -> String {
    match look(sql).confined.get(&Scope::default()) {
        Ok(text) => text.to_string(),
        Err(refusal) => panic!("{sql}: {refusal}"),
    }
}

fn touched(sql: &str) -> Vec<String> {
    look(sql)
        .members
        .iter()
        .flat_map(|member| &member.touches)
        .map(|touch| {
            let verbs: Vec<&str> = touch.verbs.iter().map(Verb::as_str).collect();
            format!("{} {} {:?}", touch.relation, verbs.join("+"), touch.rule)
        })
        .collect()
}

#[test]
fn names_are_written_out_with_their_schema() {
    assert_eq!(sent("select p.id from patients p"), "SELECT p.id FROM public.patients p");
    assert_eq!(sent("select count(*) from other.patients"), "SELECT pg_catalog.count(*) FROM other.patients");
    assert_eq!(
        sent("insert into patients (id) select upper(x) from secret"),
        "INSERT INTO public.patients (id) SELECT pg_catalog.upper(x) FROM public.secret"
    );
    assert_eq!(touched("select 1 from patients"), ["public.patients read Named"]);
    assert_eq!(
        touched("insert into patients select * from secret"),
        ["public.patients insert Named", "public.secret read Named"]
    );
    assert_eq!(touched("update patients set a = 1"), ["public.patients read+update Named"]);
    assert_eq!(touched("select 1 from patients for update"), ["public.patients read+update Named"]);
    assert_eq!(touched("copy patients from stdin"), ["public.patients insert Named"]);
}

#[test]
fn what_a_view_or_parent_reads_is_touched_too() {
    assert_eq!(touched("select * from peek"), ["public.peek read Named", "public.secret read Named"]);
    let visits = look("select * from visits");
    assert_eq!(visits.members[0].touches.len(), 2);
    assert_eq!(visits.members[0].touches[1].within[0].to_string(), "public.visits");
}

#[test]
fn secrets_are_found_wherever_they_are_named() {
    for sql in [
        "table secret",
        "select (select count(*) from secret)",
        "select 1 from patients where exists (select 1 from secret)",
        "with a as (select * from secret) select * from a",
        "select 1 from patients, lateral (select * from secret) s",
        "select upper(x) over (order by (select 1 from secret)) from patients",
        "select 1 from patients order by (select 1 from secret)",
        "select 1 limit (select count(*) from secret)",
        "select 1 union all select 2 from secret",
        "values ((select 1 from secret))",
        "explain select * from secret",
        "declare c cursor for select * from secret",
        "prepare s as select * from secret",
        "copy (select * from secret) to stdout",
        "insert into patients select * from secret",
        "insert into patients (id) values (1) on conflict (id) do update set id = (select 1 from secret)",
        "update patients set id = 1 from secret",
        "delete from patients using secret",
        "select 1 from patients p join secret s using (id)",
        "select 1 from patients group by (select 1 from secret) having (select true from secret)",
        "merge into patients p using secret s on true when matched then delete",
        "create table x as select * from secret",
    ] {
        let found = touched(sql);
        assert!(found.iter().any(|touch| touch.starts_with("public.secret")), "{sql}: {found:?}");
    }
}

#[test]
fn what_could_defeat_a_policy_on_relations_is_refused() {
    for sql in [
        "select query_to_xml('select * from secret', true, true, '')",
        "select leak(1)",
        "select public.leak(1)",
        "select p.leak from patients p",
        "select (p).leak from patients p",
        "select pg_read_file('/etc/passwd')",
        "select pg_catalog.pg_read_file('/etc/passwd')",
        "select * from pg_authid",
        "select * from calling",
        "select 'a' like 'b' and 'a' operator(public.~~~) 'b'",
        "select 1::public.composite",
        "do $$ begin end $$",
        "call leak(1)",
        "create table x (a int)",
        "create table x as select 1",
        "select 1 into x",
        "set session_preload_libraries = 'x'",
        "set standard_conforming_strings = off",
        "set standard_conforming_strings to default",
        "set row_security = off",
        "set xmloption = document",
        "set local role x",
        "reset standard_conforming_strings",
        "show data_directory",
        "select current_setting('data_directory')",
        "set search_path = other; select * from patients",
        "set search_path = pg_temp, public",
        "set local search_path = pg_toast",
        "set local search_path = other; select * from patients",
        "set search_path from current",
        "listen x",
        "lock table patients",
        "copy patients to '/tmp/x'",
        "copy patients to program 'cat'",
        "insert into audited values (1)",
        "select json_value('{}', '$.a')",
        "select * from json_table('{}', '$' columns (a int path '$.a'))",
        "vacuum patients",
        "refresh materialized view x",
        "load 'x'",
    ] {
        let analysis = look(sql);
        assert!(
            analysis.confined.get(&Scope::default()).is_err(),
            "{sql}: {:?}",
            analysis.confined.get(&Scope::default())
        );
        assert!(analysis.members.iter().all(|member| member.effect == Effect::MayWrite), "{sql}");
    }
}

#[test]
fn the_identity_at_the_target_is_fixed_for_everybody() {
    for sql in [
        "set role x",
        "set session authorization x",
        "set session authorization none",
        "set session_authorization to none",
        "select set_config('role', 'x', false)",
        "select pg_catalog.set_config('SESSION_authorization', 'x', true)",
        "select 1; set local role x",
        "explain analyze select set_config('role', 'x', false)",
        "create table x as select set_config('role', 'x', false)",
    ] {
        assert!(look(sql).forbidden.is_some(), "{sql}");
    }
    assert!(look("select set_config('work_mem', '1MB', false)").forbidden.is_none());
}

/// The hint is another than for what cannot be set at all.
#[test]
fn the_path_is_set_by_a_statement_of_its_own() {
    let analysis = look("select set_config('search_path', 'public', false)");
    let refusal = analysis.confined.get(&Scope::default()).unwrap_err();
    assert!(refusal.hint.as_ref().unwrap().contains("SET LOCAL search_path"), "{refusal:?}");
}

#[test]
fn read_only_is_proved_or_not_assumed() {
    let effect = |sql: &str| look(sql).members[0].effect;
    for sql in [
        "select 1",
        "select count(*) from patients",
        "values (1)",
        "explain select 1",
        "explain (verbose) select 1",
        "begin",
        "show timezone",
    ] {
        assert_eq!(effect(sql), Effect::ReadOnly, "{sql}");
    }
    for sql in [
        "select random()",
        "select 1 from patients for share",
        "with x as (delete from patients returning *) select * from x",
        "explain analyze select 1",
        "select leak(1)",
        "commit",
        "insert into patients values (1)",
        "selec 1",
    ] {
        assert_eq!(effect(sql), Effect::MayWrite, "{sql}");
    }
}

#[test]
fn ordinary_statements_survive_being_written_out() {
    for sql in [
        "select distinct on (a) a, b as \"B\", c::text, 'it''s', E'\\n', $1 from patients where a like 'x%' and b in (1,2) order by 1 desc nulls last limit 10 offset 5",
        "select case when a then 1 else 2 end, coalesce(a, b), nullif(a, b), greatest(1, 2), a[1], array[1,2] from patients",
        "select sum(x) filter (where y), row_number() over (partition by a order by b rows between 1 preceding and current row) from patients".replace("sum", "count").replace("row_number", "count").as_str(),
        "select a from patients union all select b from secret except select 1 order by 1",
        "with recursive t(n) as (values (1) union all select n + 1 from t where n < 5) select n from t",
        "select extract(year from d), current_date, current_user, interval '1 day', a at time zone 'utc' from patients".replace(", interval '1 day', a at time zone 'utc'", "").as_str(),
        "update patients p set (a, b) = (select 1, 2), c = default where p.id = any($1) returning p.*",
        "insert into patients as p (id) values (1), (default) on conflict (id) do nothing returning id",
        "select * from patients p left join visits v on v.id = p.id natural join secret",
        "select 'a'::kind, public.patients.id from public.patients",
        "begin; select 1; commit",
        "begin isolation level serializable read only",
        "set datestyle to 'ISO, MDY'",
        "prepare s (int4) as select $1",
        "fetch 10 from c",
        "copy (select 1) to stdout with (format csv, header)",
        "select pg_catalog.pg_table_is_visible(1) and 'x' operator(pg_catalog.~) '^(x)$' collate pg_catalog.default",
    ] {
        let text = sent(sql);
        assert_eq!(sent(&text), text, "{sql}");
    }
}

/// Most common values are values.
#[test]
fn statistics_of_columns_are_nobodys() {
    assert_eq!(
        sent("select * from pg_stats"),
        "SELECT * FROM (SELECT FROM pg_catalog.pg_stats t WHERE false) pg_stats"
    );
}

#[test]
fn operators_are_the_built_in_ones() {
    assert_eq!(sent("select 'a' ~~~ 'b'"), "SELECT 'a' OPERATOR(pg_catalog.~~~) 'b'");
    assert_eq!(
        sent("select 1 + 2 = any (array[3])"),
        "SELECT 1 OPERATOR(pg_catalog.+) 2 OPERATOR(pg_catalog.=) ANY(ARRAY[3])"
    );
}

#[test]
fn session_effects_are_seen() {
    let effect = |sql: &str| format!("{:?}", look(sql).members[0].session);
    assert!(effect("set search_path to a, \"B\"").contains("[\"a\", \"B\"]), local: false"));
    assert!(effect("set local search_path to a").contains("[\"a\"]), local: true"));
    assert!(effect("set local search_path to default").contains("path: None, local: true"));
    assert!(effect("deallocate all").contains("None"));
    assert!(effect("deallocate x").contains("\"x\""));
    assert!(effect("discard all").contains("DiscardsAll"));
    assert!(effect("execute s(1)").contains("Executes"));
    assert!(effect("create table x (a int)").contains("ChangesCatalog"));
    assert!(effect("rollback").contains("Rollback"));
    assert_eq!(look("select 1; select 2;").members.len(), 2);
    assert_eq!(look("").members.len(), 0);
    assert_eq!(look("-- nothing").members.len(), 0);
    assert_eq!(look("select 1").members[0].template, look("select 2").members[0].template);
    assert_ne!(look("select 1").members[0].template, look("select a").members[0].template);
}

/// What would leave the role, and is no more than what drivers say to a connection that goes back to its pool.
#[test]
fn words_that_leave_the_role_as_it_is_are_sent_as_ones_that_do() {
    for (sql, words) in [
        ("set role none", "SET role TO DEFAULT"),
        ("set local role none", "SET role TO DEFAULT"),
        ("set session authorization default", "SET role TO DEFAULT"),
        ("reset session authorization", "RESET role"),
        (
            "select 1; set session authorization default; reset all",
            "SELECT 1; SET role TO DEFAULT; RESET ALL",
        ),
    ] {
        let analysis = look(sql);
        assert!(analysis.forbidden.is_none(), "{sql}");
        let replaced = analysis.replaced.as_ref().unwrap();
        assert!(replaced.eq_ignore_ascii_case(words), "{sql}: {replaced}");
        assert_eq!(sent(sql), words, "{sql}");
    }
    for sql in ["reset role", "set role to default"] {
        assert!(look(sql).forbidden.is_none() && look(sql).replaced.is_none(), "{sql}");
        assert!(sent(sql).eq_ignore_ascii_case(sql), "{}", sent(sql));
    }
}

#[test]
fn nothing_is_dropped_where_there_is_nothing() {
    let sql = "drop table if exists mine; create temporary table mine as select 1";
    assert_eq!(sent(sql), "DROP TABLE IF EXISTS pg_temp.mine; CREATE TEMPORARY TABLE mine AS SELECT 1");
    let analysis = look(sql);
    assert!(analysis.members.iter().all(|member| member.whole == Verbs::NONE), "{:?}", analysis.members);
    assert!(look("drop table if exists patients").members[0].whole.contains(Verb::Define));
}

#[test]
fn a_query_may_search_and_find_cycles() {
    let sql = "with recursive t(n) as (select 1 union all select n from t) search depth first by n set o \
               cycle n set c to 'y' default 'n' using p select n, o, c, p from t";
    let sent = sent(sql);
    assert!(
        sent.contains("SEARCH DEPTH FIRST BY n SET o CYCLE n SET c TO 'y' DEFAULT 'n' USING p"),
        "{sent}"
    );
    let strange = "with recursive t(n) as (select 1 union all select n from t) \
                   cycle n set c to leak(1) default 'n' using p select n from t";
    assert!(look(strange).confined.get(&Scope::default()).is_err());
}

#[test]
fn hostile_sizes_end_cleanly() {
    for sql in [
        format!("select {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        vec!["select 1"; 10_000].join(" union "),
        format!("select 1{}", "+1".repeat(500_000)),
        "'".repeat(100_001),
        format!("select {}", "-".repeat(100_000)),
        format!("select {}1", "- ".repeat(3_900)),
        format!("select 1{}", "+1".repeat(3_900)),
        format!("select {}1{}", "(".repeat(900), ")".repeat(900)),
        // What looks like the beginning of a text hides nothing of what comes after it.
        format!("select /* ' */ 1{}", "+1".repeat(500_000)),
        format!("select /* ' */ 1{}", "+1".repeat(50_000)),
        format!("select E'\\'', 1{}", "+1".repeat(500_000)),
        format!("select $$ ' $$, 1{}", "+1".repeat(500_000)),
    ] {
        let analysis = look(&sql);
        assert_eq!(analysis.members.len(), 1);
    }
    assert!(look(&format!("select {}1{}", "(".repeat(100_000), ")".repeat(100_000))).forbidden.is_some());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
    #[test]
    fn no_text_makes_it_panic(sql in "[a-z()'\",;$* \\\\0-9\\n-]{0,120}") {
        look(&sql);
    }
}

#[test]
fn the_clients_own_name_is_kept_apart_from_the_sessions() {
    for (sql, wanted) in [
        ("set application_name = 'mine'", "SET chaperone.application_name TO 'mine'"),
        ("SET LOCAL \"application_name\" TO 'it''s'", "SET LOCAL chaperone.application_name TO 'it''s'"),
        (
            "/* application_name */ set session Application_Name to mine;",
            "/* application_name */ SET chaperone.application_name TO 'mine';",
        ),
        ("reset application_name", "SET chaperone.application_name TO ''"),
        ("set application_name = default; select 1", "SET chaperone.application_name TO ''; select 1"),
        (
            "select 1 ; show application_name",
            "select 1 ; SELECT COALESCE(pg_catalog.current_setting('chaperone.application_name', true), '') AS application_name",
        ),
    ] {
        let analysis = look(sql);
        assert_eq!(analysis.replaced.as_deref(), Some(wanted), "{sql}");
        assert!(
            analysis.confined.get(&Scope::default()).is_ok(),
            "{sql}: {:?}",
            analysis.confined.get(&Scope::default())
        );
        assert!(
            !analysis.confined.get(&Scope::default()).unwrap().contains("\"application_name\" ="),
            "{sql}"
        );
    }
    assert!(look("set statement_timeout = 5").replaced.is_none());
    assert!(look("select application_name from patients").replaced.is_none());
    let SessionEffect::NamesApplication { name } = &look("set application_name = 'mine'").members[0].session
    else {
        panic!("the name is not seen");
    };
    assert_eq!(&**name, "mine");
}

#[test]
fn verbs_are_those_of_what_is_done_to_each_relation() {
    for (sql, expected) in [
        ("insert into patients (id) values (1)", ["public.patients insert Named"].as_slice()),
        ("insert into patients (id) values (1) returning id", &["public.patients read+insert Named"]),
        (
            "insert into patients (id) values (1) on conflict do nothing",
            &["public.patients read+insert+update Named"],
        ),
        (
            "delete from patients using secret",
            &["public.patients read+delete Named", "public.secret read Named"],
        ),
        (
            "merge into patients p using secret s on true when matched then delete",
            &["public.patients read+insert+update+delete Named", "public.secret read Named"],
        ),
        ("truncate patients", &["public.patients delete Named"]),
        ("copy patients to stdout", &["public.patients read Named"]),
        ("copy (select 1 from patients) to stdout", &["public.patients read Named"]),
        ("lock table patients in access share mode", &["public.patients read Named"]),
        (
            "select 1 from pg_class, patients for update",
            &["pg_catalog.pg_class read Listed", "public.patients read+update Named"],
        ),
        ("create temporary table mine as select * from patients", &["public.patients read Named"]),
        ("create temporary table mine (a int); select 1 from mine", &["pg_temp.mine read Temporary"]),
        (
            "create temporary table patients (a int); select 1 from patients, public.patients",
            &["pg_temp.patients read Temporary", "public.patients read Named"],
        ),
        ("select 1 from pg_temp.mine", &["pg_temp.mine read Unknown"]),
        ("select 1 from nowhere", &["nowhere read Unknown"]),
        ("alter table patients add column a int", &["public.patients read+define Named"]),
        // Which one is meant is not asked.
        ("with patients as (select 1) select 1 from patients", &["public.patients read Named"]),
        ("with mine as (select 1) select 1 from mine", &[]),
        ("set search_path = other; select 1 from patients", &["patients read Unknown"]),
        ("with mine as (select 1) select 1 from other.mine", &["other.mine read Unknown"]),
        ("set search_path = other; with mine as (select 1) select 1 from mine", &[]),
        (
            "create temporary table patients (a int4); drop table patients; select 1 from patients",
            &["public.patients read Named"],
        ),
        (
            "create temporary table gone (a int4); create temporary table mine (a int4); drop table gone; select 1 from mine",
            &["pg_temp.mine read Temporary"],
        ),
        ("create function f() returns int4 language sql as 'select 1'", &[]),
    ] {
        assert_eq!(touched(sql), expected, "{sql}");
    }
}

#[test]
fn what_a_write_reaches_is_as_much_as_its_target() {
    // A partition's own triggers run, and a view or a catalog is no table.
    let mut rows = results();
    // What a view calls is judged by what it is.
    rows[7].push(["7", "", "upper"].map(|cell| Some(cell.to_owned())).to_vec());
    rows[3]
        .iter_mut()
        .filter(|row| row[1].as_deref() == Some("visits_2026"))
        .for_each(|row| row[3] = Some("true".into()));
    let catalog = Arc::new(Catalog::build(1, &rows, None).unwrap());
    let look = |sql: &str| {
        let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
        analyse(&Arc::from(sql), &path, &Arc::from([]), &catalog).confined.get(&Scope::default())
    };
    for sql in [
        "insert into visits (id) values (1)",
        "delete from visits_2026",
        "select 1 from visits for update",
        "insert into peek (id) values (1)",
        "delete from pg_class",
        "insert into audited (id) values (1)",
        "select 1 from calling",
    ] {
        assert!(look(sql).is_err() || sql.contains("for update"), "{sql}: {:?}", look(sql));
    }
    for sql in [
        "select 1 from visits",
        "insert into patients (id) values (1)",
        "select 1 from audited",
        "select 1 from peek",
    ] {
        assert!(look(sql).is_ok(), "{sql}: {:?}", look(sql));
    }
}

#[test]
fn what_is_not_listed_is_refused_wherever_it_stands() {
    for sql in [
        "select 1 from elsewhere.public.patients",
        "explain (serialize) select 1",
        "explain (generic_plan) select 1",
        "explain analyze create temporary table mine as select 1",
        "explain analyze select 1 into temporary mine",
        "create temporary table mine as execute q",
        "explain create temporary table mine as execute q",
        "select cmin from patients",
        "select (p).cmax from patients p",
        "select p.cmin from patients p",
        "lock table patients in row share mode",
        "create temporary table mine (like patients)",
        "create temporary table mine (a int references patients)",
        "create temporary table mine (a int, exclude using gist (a with =))",
        "create table mine as select 1",
        "create table pg_temp.mine as select 1",
        "create temporary table public.mine (a int)",
        "create temporary view mine as select 1",
        "create materialized view mine as select 1",
        "drop table mine",
        "drop table if exists patients",
        "drop table if exists mine, patients",
        "drop table if exists other.mine",
        "drop view if exists mine",
        "set search_path = other; drop table if exists mine",
        "truncate patients",
        "truncate mine",
        "create temporary table mine (a int4); truncate mine, patients",
        "create temporary table mine (a int4); truncate other.mine",
        "drop view pg_temp.mine",
        "create temporary table mine (a int); drop table mine, patients",
        "create temporary table mine (a int); drop view mine",
        "set client_encoding = 'latin1'",
        "set session_replication_role = replica",
        "set transform_null_equals = on",
        "set app.tenant = '5'",
        "set constraints some_key deferred",
        "show data_directory",
        "select current_setting('data_directory')",
        "select ts_rewrite('a', 'select 1')",
        "set client_encoding = default",
        "set search_path = 'pg_catalog', public",
        "select set_config('work_mem', upper('x'), false)",
        "select set_config(upper('x'), '1', false)",
        "select set_config('search_path', 'x', false)",
        "select set_config('data_directory', 'x', false)",
        "select upper(x::int4[]) from patients, leak(1) x",
        "select 1 order by 1 using operator(public.<)",
        "select 1 = any (select 1) and 1 operator(public.=) any (select 1)",
        "select 1::patients.id%type",
        "select 1::nothing.text",
        "select pg_read_file('work_mem', '1')",
        "select 1::other.kind",
        "select extract(year from x) from patients where json_exists(x, '$')",
        "select 1 from json_table('[]', '$[*]' columns (a int path '$')) as t",
        "set constraints patients_key deferred",
        "create temporary table patients (a int4); rollback; select 1 from patients",
        "create temporary table patients (a int4); drop table patients; rollback to s; delete from patients",
        "create temporary table mine (a int4) on commit drop; commit; select 1 from patients",
        "create temporary table mine on commit drop as select 1; end and chain; select 1 from patients",
        "select 1 into temporary mine; abort; select 1 from patients",
    ] {
        assert!(look(sql).confined.get(&Scope::default()).is_err(), "{sql}");
    }
    for sql in [
        "explain (verbose, costs, format json, timing, summary, buffers, wal, settings, memory, analyze) select 1",
        "lock table patients in access share mode",
        "explain create temporary table mine as select 1",
        "select 'cmin', 'cmax'",
        "create temporary table mine (a int4 not null default 1 check (a > 0), unique (a), primary key (a))",
        "create temporary table mine (a int4); drop table mine",
        "create temporary table mine (a int4); drop table if exists pg_temp.mine",
        "create temporary table mine (a int4); truncate table mine, pg_temp.mine restart identity cascade",
        "set client_encoding = 'UTF8'",
        "set standard_conforming_strings = on",
        "set jit = off",
        "set enable_seqscan = off",
        "set default_tablespace = ''",
        "set constraints all deferred",
        "show max_connections",
        "select current_setting('app.tenant', true)",
        "select ts_rewrite('a', 'b', 'c')",
        "select set_config('jit', 'off', false), current_setting('jit')",
        "set row_security = on",
        "set xmloption = content",
        "set default_transaction_deferrable = on",
        "reset all",
        "set constraints all deferred",
        "set constraints all immediate",
        "create temporary table mine (a int4); commit; select 1 from mine, patients",
        "create temporary table mine (a int4); savepoint s; release s; begin; select 1 from mine",
        "commit; rollback; savepoint s; rollback to s; select 1 from patients",
        "unlisten *",
        "close all",
        "discard temp",
        "set client_encoding = 'utf-8'",
        "select set_config('work_mem', '1MB', false)",
        "select current_setting('server_version')",
        "select current_setting($1)",
        "select 1 order by 1 using <",
        "select 1::public.kind, 'a'::pg_catalog.text, 1::int4",
        "deallocate all",
        "discard all",
    ] {
        let sent = look(sql).confined.get(&Scope::default());
        assert!(sent.is_ok(), "{sql}: {sent:?}");
    }
}

/// What restricted callers are sent, or refused, at a target of these rows.
fn sent_at(catalog: &Arc<Catalog>, sql: &str) -> Result<Arc<str>, Refusal> {
    let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
    analyse(&Arc::from(sql), &path, &Arc::from([]), catalog).confined.get(&Scope::default())
}

#[test]
fn what_a_write_calls_by_default_is_as_much_as_its_words() {
    let written = |called: &str| {
        let mut results = results();
        results[8].extend(rows(&[&["pg_catalog", "nextval", "false", "true", "false", ""]]));
        results[3]
            .iter_mut()
            .filter(|row| row[1].as_deref() == Some("patients"))
            .for_each(|row| row.push(Some(called.into())));
        let catalog = Arc::new(Catalog::build(1, &results, None).unwrap());
        assert!(sent_at(&catalog, "select 1 from patients").is_ok());
        sent_at(&catalog, "insert into patients (id) values (1)")
    };
    for called in ["", "nextval", "random,upper", "current_setting"] {
        assert!(written(called).is_ok(), "{called}");
    }
    for called in ["query_to_xml", "nextval,pg_read_file", "domain_in"] {
        assert!(written(called).unwrap_err().message.contains("defaults"), "{called}");
    }
}

/// Its text may be withheld, but not that it fails.
#[test]
fn no_event_trigger_of_the_targets_own_runs() {
    let of = |tags: &str, rules: &str, sql: &str| {
        let mut results = results();
        results.extend([rows(&[]), rows(&[&[tags, "public", "leak", ""]])]);
        let rules = crate::classification::Classification::load("t.toml", rules, &[].into()).unwrap();
        let catalog = Arc::new(Catalog::build(1, &results, Some(&Arc::new(rules))).unwrap());
        sent_at(&catalog, sql)
    };
    const MADE: &str = "create temporary table mine (a int4)";
    const DROPPED: &str = "create temporary table mine (a int4); drop table mine";
    const KEPT: &str = "create temporary table mine as select 1 as a";
    for (tags, refused, carried) in [
        ("", [MADE, DROPPED, KEPT].as_slice(), [].as_slice()),
        ("CREATE TABLE", &[MADE, DROPPED], &[KEPT]),
        ("CREATE TABLE AS,GRANT", &[KEPT], &[MADE, DROPPED]),
        ("SELECT INTO", &[KEPT, "select 1 as a into temporary mine"], &[MADE, DROPPED]),
        ("DROP TABLE", &[DROPPED], &[MADE, KEPT]),
        ("ALTER TABLE", &[], &[MADE, DROPPED, KEPT]),
    ] {
        for sql in refused {
            let refusal = of(tags, "", sql).unwrap_err();
            assert!(
                refusal.message.contains("`public.leak`, which an event trigger"),
                "{tags}: {sql}: {refusal}"
            );
            assert!(of(tags, "[functions]\nallowed = [\"public.leak\"]", sql).is_ok(), "{tags}: {sql}");
        }
        for sql in carried {
            assert!(of(tags, "", sql).is_ok(), "{tags}: {sql}: {:?}", of(tags, "", sql));
        }
    }
}

#[test]
fn what_a_statement_does_to_its_session_is_told() {
    let told = |sql: &str| {
        let analysis = look(sql);
        let member = analysis.members.last().unwrap();
        format!("{:?} {}", member.session, member.whole.iter().any(|verb| verb == Verb::Define))
    };
    for lasting in ["drop table patients", "create temporary table mine (a int4); drop table patients"] {
        assert_eq!(told(lasting), "ChangesCatalog true", "{lasting}");
    }
    assert!(told("create temporary table mine (a int4); drop table mine").starts_with("DropsTemporary"));
    for (sql, beginning) in [
        ("explain execute s(1)", "Executes"),
        ("create temporary table x as execute s(1)", "Executes"),
        ("explain create temporary table x as execute s(1)", "Executes"),
        ("explain analyze create temporary table x as execute s(1)", "Executes"),
        (
            "explain analyze create temporary table x on commit drop as select 1",
            "MakesTemporary { name: \"x\", passing: true, unless_there: false }",
        ),
        (
            "explain analyze select 1 into temporary x",
            "MakesTemporary { name: \"x\", passing: false, unless_there: false }",
        ),
        ("explain create temporary table x as select 1", "None false"),
        ("create temporary table x as select 1", "MakesTemporary"),
        ("create table x as select 1", "ChangesCatalog true"),
        ("explain select 1", "None false"),
        ("alter table patients add column a int", "ChangesCatalog true"),
        ("insert into patients default values", "None false"),
        ("reset all", "SetsSearchPath { path: None, local: false }"),
        ("set constraints all deferred", "None false"),
        ("savepoint \"S 1\"", "Transaction(Savepoint { name: \"S 1\" })"),
        ("release s", "Transaction(Release { name: \"s\" })"),
        ("rollback to savepoint s", "Transaction(RollbackTo { name: \"s\" })"),
        ("end and chain", "Transaction(Commit)"),
        (
            "create temporary table x (a int4) on commit drop",
            "MakesTemporary { name: \"x\", passing: true, unless_there: false }",
        ),
        (
            "create temporary table x (a int4) on commit delete rows",
            "MakesTemporary { name: \"x\", passing: false, unless_there: false }",
        ),
        (
            "create temporary table x on commit drop as select 1",
            "MakesTemporary { name: \"x\", passing: true, unless_there: false }",
        ),
        ("select 1 into temporary x", "MakesTemporary { name: \"x\", passing: false, unless_there: false }"),
    ] {
        assert!(told(sql).starts_with(beginning), "{sql}: {}", told(sql));
    }
    // Nothing that a log could not show.
    let named = look("set application_name = E'a\\nb'");
    assert_eq!(named.replaced.as_deref(), Some("SET chaperone.application_name TO 'ab'"));
    let SessionEffect::NamesApplication { name } = &named.members[0].session else {
        panic!("the name is not seen");
    };
    assert_eq!(&**name, "ab");
    assert!(look("select upper('role')").forbidden.is_none());
    assert!(look("select current_setting($1)").describes.is_none());
}

/// Whoever asks may be on a thread with a small stack.
#[test]
fn what_may_be_deep_is_written_out_where_it_is() {
    for (sql, deep) in [
        ("select 1 from patients".to_owned(), false),
        ("select 1 from peek".to_owned(), true),
        (format!("select 1{}", "+1".repeat(3_900)), true),
    ] {
        let confined = look(&sql).confined;
        assert_eq!(confined.is_deep(), deep, "{sql}");
        let small = std::thread::Builder::new().stack_size(256 << 10);
        let sent = small.spawn(move || confined.get(&Scope::default()).is_ok()).unwrap().join();
        assert!(sent.unwrap(), "{sql}");
    }
}
