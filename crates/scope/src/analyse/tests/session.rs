//! What a statement says of its session, where another one reads nearly the same.

use chaperone_access::NameRule;

use super::*;

#[test]
fn a_statement_without_relations_means_the_same_wherever_names_are_looked_for() {
    for (sql, carried) in [
        ("set search_path = public; select 1", true),
        ("set search_path = public; select 1 from patients", false),
    ] {
        assert_eq!(look(sql).confined.get(&Scope::default()).is_ok(), carried, "{sql}");
    }
}

#[test]
fn only_a_setting_of_that_name_is_one_of_the_sessions_role() {
    for sql in ["reindex database session_authorization", "show role", "prepare role as select 1"] {
        assert_eq!(look(sql).replaced, None, "{sql}");
    }
    assert_eq!(look("reset session authorization").replaced.as_deref(), Some("RESET role"));
}

/// What EXECUTE runs is known by it alone.
#[test]
fn what_is_prepared_reads_the_temporary_table_that_its_string_has_made() {
    let of = |sql: &str| {
        let SessionEffect::Prepares { inner, .. } = &look(sql).members[1].session else { panic!("{sql}") };
        inner.members[0].touches.iter().map(|touch| touch.rule).collect::<Vec<_>>()
    };
    let made = "create temporary table patients (id int4); prepare x as select * from patients";
    assert_eq!(of(made), [NameRule::Temporary]);
    assert_eq!(of("select 1; prepare x as select * from patients"), [NameRule::Named]);
}

#[test]
fn what_is_closed_is_what_was_named() {
    let told = |sql: &str| format!("{:?}", look(sql).members[0].session);
    assert_eq!(told("close c"), r#"Closes { name: Some("c") }"#);
    assert_eq!(told("close all"), "Closes { name: None }");
}

#[test]
fn what_is_discarded_is_what_was_named() {
    let told = |sql: &str| {
        let text: Arc<str> = Arc::from(sql);
        let own: Arc<[Arc<str>]> = Arc::from([Arc::from("mine")]);
        let analysis = analyse(&text, &Arc::from([]), &own, &Arc::new(catalog()));
        format!("{:?}", analysis.members[0].session)
    };
    assert_eq!(told("discard all"), "DiscardsAll");
    assert_eq!(told("discard temp"), r#"DropsTemporary { names: ["mine"] }"#);
    for nothing in ["discard plans", "discard sequences"] {
        assert_eq!(told(nothing), "None", "{nothing}");
    }
}

/// Asking what there is of pages asks for nothing that some relations tell to some.
#[test]
fn what_nobody_is_told_needs_no_list_of_what_is_described() {
    assert!(look("select pg_catalog.pg_table_size(1)").describes.is_none());
    assert!(look("select 1 from pg_class").describes.is_some());
    assert!(look("select 1 from peek").describes.is_none());
}

/// What is sent names the session's own schema; what the name meant is not known any more.
#[test]
fn where_names_have_moved_only_what_was_made_is_dropped() {
    const MADE: &str = "create temporary table mine (a int4);";
    for (sql, carried) in [
        (format!("{MADE} set search_path = other; drop table mine"), true),
        (format!("{MADE} drop table if exists nothing_there"), true),
        (format!("{MADE} set search_path = other; drop table if exists nothing_there"), false),
    ] {
        assert_eq!(look(&sql).confined.get(&Scope::default()).is_ok(), carried, "{sql}");
    }
}

/// What is written out is asked the same again.
#[test]
fn the_walk_lets_only_tables_of_the_sessions_own_be_emptied_and_dropped() {
    let (catalog, path) = (catalog(), [Arc::from("public")]);
    let temporary = [Arc::from("mine"), Arc::from("secret")];
    let walked = |sql: &str| {
        let parsed = tree::parse(sql).ok().unwrap();
        let place = Place { catalog: &catalog, path: &path, temporary: &temporary };
        Walk::new(place, false).statement(parsed.statements(sql)[0].0).refusal.is_none()
    };
    for sql in [
        "truncate mine",
        "truncate pg_temp.mine",
        "drop table mine",
        "drop table pg_temp.mine",
        "drop table if exists nothing_there, mine",
        "create temporary table other (a int4)",
    ] {
        assert!(walked(sql), "{sql}");
    }
    for sql in [
        "truncate public.mine",
        "truncate public.secret",
        "truncate pg_temp.other",
        "truncate mine, patients",
        "drop table nothing_there",
        "drop table if exists patients",
        "drop table if exists public.mine",
        "drop view mine",
        "create temporary table public.other (a int4)",
    ] {
        assert!(!walked(sql), "{sql}");
    }
}

#[test]
fn a_commit_takes_back_what_lasts_as_long_as_its_transaction() {
    let carried = |made: &str| {
        let sql = format!("begin; {made} commit; select 1 from patients");
        look(&sql).confined.get(&Scope::default()).is_ok()
    };
    const STAYS: &str = "create temporary table a (x int4);";
    const PASSES: &str = "create temporary table b (x int4) on commit drop;";
    assert!(carried(STAYS));
    for made in [PASSES.to_owned(), format!("{PASSES} {STAYS}"), format!("{STAYS} {PASSES}")] {
        assert!(!carried(&made), "{made}");
    }
}

#[test]
fn only_what_defines_something_for_others_changes_the_catalog() {
    let told = |sql: &str| {
        let own: Arc<[Arc<str>]> = Arc::from([Arc::from("mine")]);
        let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
        let analysis = analyse(&Arc::from(sql), &path, &own, &Arc::new(catalog()));
        let member = &analysis.members[0];
        (member.whole.contains(Verb::Define), format!("{:?}", member.session))
    };
    for (sql, defines, effect) in [
        ("alter table mine add column x int4", false, "None"),
        ("alter table public.mine add column x int4", true, "ChangesCatalog"),
        ("alter table patients add column x int4", true, "ChangesCatalog"),
        ("set timezone to 'UTC'", false, "None"),
    ] {
        assert_eq!(told(sql), (defines, effect.to_owned()), "{sql}");
    }
}

#[test]
fn what_is_named_where_nobody_looks_further_is_on_record() {
    let trigger = "create trigger t before insert on secret execute function leak()";
    assert_eq!(touched(trigger), ["public.secret read+define Named"]);
}

/// The scanner cannot read it, so nothing is made of it; the target may.
#[test]
fn what_cannot_be_scanned_is_not_parsed() {
    let nested = look(&format!("select {}1{}", "(".repeat(1_100), ")".repeat(1_100)));
    assert_eq!((nested.members[0].tag, nested.forbidden.is_some()), ("(too complex)", true));
    let text = format!("select 'a, {}", "1+".repeat(10_000));
    let analysis = analyse(
        &Arc::from(text),
        &Arc::from([]),
        &Arc::from([]),
        &Arc::new(Catalog::build(1, &results(), None).unwrap()),
    );
    assert_eq!((analysis.members[0].tag, analysis.forbidden.is_none()), ("(unparsed)", true));
    assert_eq!(analysis.confined.get(&Scope::default()).unwrap_err().code, RefusalCode::SyntaxError);
}
