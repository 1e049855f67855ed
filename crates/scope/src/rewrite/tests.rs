mod amounts;
mod rules;

use chaperone_access::{Attribute, Class, Described, Showing, Under};

use super::*;
use crate::analyse::tests::results;
use crate::classification::Classification;

const CLASSIFIED: &str = r#"
[relations."public.patients".columns]
id = { clear = true }
ssn = { tags = ["phi.ssn"], mask = "first_letter" }

[relations."public.secret"]
rows = "id = 7"
[relations."public.secret".columns]
id = { clear = true }
"#;

pub(crate) fn catalog() -> Catalog {
    let columns = |oid: &str, columns: &str| vec![Some(oid.to_owned()), Some(columns.to_owned())];
    let mut results = results();
    results[4] = vec![
        columns("4", r#"[["id","integer",0,null,null],["ssn","text",0,null,null]]"#),
        columns("5", r#"[["id","integer",0,null,null]]"#),
    ];
    for name in ["left", "pg_column_size", "pg_relation_size"] {
        let function = ["pg_catalog", name, "true", "false", "false", ""];
        results[8].push(function.iter().map(|cell| Some((*cell).to_owned())).collect());
    }
    for name in ["bpchar", "bool", "int8", "regclass"] {
        let padded = ["pg_catalog", name, "b", ""];
        results[10].push(padded.iter().map(|cell| Some((*cell).to_owned())).collect());
    }
    let classification = Classification::load("t.toml", CLASSIFIED, &[].into()).unwrap();
    Catalog::build(1, &results, Some(&Arc::new(classification))).unwrap()
}

/// What is seen of relations: a letter for each column, `r`evealed, `m`asked or `h`idden, with a star rows outside of the
/// filter too; or `whole`.
pub(super) fn scope_of(seen: &[(&str, &str)]) -> Scope {
    let part = |letters: &str| {
        let showings = letters.trim_end_matches('*').chars().map(|letter| match letter {
            'r' => Showing::Revealed,
            'm' => Showing::Masked,
            _ => Showing::Hidden,
        });
        RelationScope::Part { showings: showings.collect(), all_rows: letters.ends_with('*') }
    };
    let relations = seen.iter().map(|(name, letters)| {
        let seen = if *letters == "whole" { RelationScope::Whole } else { part(letters) };
        (RelationName::new("public", *name), seen)
    });
    Scope { relations: relations.collect(), ..Scope::default() }
}

/// A caller to whom clear columns are revealed and nothing else, in the rows of the filter.
pub(crate) fn scope(catalog: &Catalog) -> Scope {
    let part = |name: &str| {
        let name = RelationName::new("public", name);
        let facts = catalog.facts(&name).unwrap();
        let showings = facts.columns.iter().map(|column| match column.class {
            Class::Clear => Showing::Revealed,
            Class::Tagged(_) | Class::Unclassified => Showing::Hidden,
        });
        (name.clone(), RelationScope::Part { showings: showings.collect(), all_rows: false })
    };
    Scope { relations: [part("patients"), part("secret")].into(), ..Scope::default() }
}

fn sent(sql: &str) -> Outcome<String> {
    let catalog = catalog();
    let path = [Arc::from("public")];
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    rewrite(sql, place, &scope(&catalog)).map(|text| text.to_string())
}

#[test]
fn a_relation_seen_in_part_is_replaced_where_it_is_read() {
    const PATIENTS: &str = "(SELECT t.id AS id, NULL::pg_catalog.text AS ssn FROM public.patients t)";
    for (sql, expected) in [
        ("select ssn from patients where ssn = 'x'", {
            format!("SELECT ssn FROM {PATIENTS} patients WHERE ssn OPERATOR(pg_catalog.=) 'x'")
        }),
        ("select count(public.p.ssn) from only patients p", {
            let only = PATIENTS.replace("FROM public", "FROM ONLY public");
            format!("SELECT pg_catalog.count(p.ssn) FROM {only} p")
        }),
        (
            "with patients as (select 1 as ssn), a as (select ssn from patients) select a.ssn from a",
            "WITH chaperone_cte_1 AS (SELECT 1 AS ssn), chaperone_cte_2 AS (SELECT ssn FROM chaperone_cte_1 patients) \
             SELECT a.ssn FROM chaperone_cte_2 a"
                .to_owned(),
        ),
        ("copy patients to stdout", {
            let only = "FROM ONLY public.patients patients";
            format!("COPY (SELECT id, NULL::pg_catalog.text AS ssn {only}) TO STDOUT")
        }),
        (
            "update patients set ssn = 'x' returning ssn",
            "UPDATE public.patients SET ssn = 'x' RETURNING NULL::pg_catalog.text AS ssn".to_owned(),
        ),
        (
            "select count(*) from secret",
            "SELECT pg_catalog.count(*) FROM (SELECT COALESCE(t.id, t.id) AS id FROM public.secret t \
             WHERE id OPERATOR(pg_catalog.=) 7 OFFSET 0) secret"
                .to_owned(),
        ),
    ] {
        assert_eq!(sent(sql).unwrap(), expected, "{sql}");
    }
}

/// `char` without a length is `char(1)`, and that is how the writer writes `bpchar`.
#[test]
fn characters_without_a_length_keep_theirs() {
    const PATIENTS: &str = "public.patients patients";
    for (sql, expected) in [
        ("select id::bpchar from patients", format!("SELECT pg_catalog.bpchar(id) AS id FROM {PATIENTS}")),
        (
            "select length(id)::bpchar::text from patients",
            format!(
                "SELECT pg_catalog.bpchar(pg_catalog.length(id))::pg_catalog.text AS length FROM {PATIENTS}"
            ),
        ),
        (
            "select '{a}'::bpchar[], cast('a ' as bpchar), bpchar 'b '::text",
            "SELECT '{a}'::pg_catalog._bpchar AS bpchar, pg_catalog.bpchar('a ') AS bpchar, \
             pg_catalog.bpchar('b ')::pg_catalog.text AS text"
                .to_owned(),
        ),
        ("select 'ab'::char(5), 'ab'::char", "SELECT 'ab'::char(5), 'ab'::char(1)".to_owned()),
        ("select (select 'a')::bpchar as x", "SELECT pg_catalog.bpchar((SELECT 'a')) AS x".to_owned()),
    ] {
        assert_eq!(sent(sql).unwrap(), expected, "{sql}");
    }
    assert!(
        sent("select '{a}'::pg_catalog.bpchar[]").is_err(),
        "it would be written as one of single characters"
    );
    // What PostgreSQL would call it is not known here.
    assert!(sent("select (select 'a')::bpchar").is_err());
}

#[test]
fn what_is_returned_of_a_masked_column_is_its_mask() {
    let catalog = catalog();
    let path = [Arc::from("public")];
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    let mut scope = scope(&catalog);
    let masked = [Showing::Revealed, Showing::Masked].into();
    let part = RelationScope::Part { showings: masked, all_rows: false };
    scope.relations.insert(RelationName::new("public", "patients"), part);
    let text = rewrite("delete from patients returning ssn", place, &scope).unwrap();
    assert_eq!(
        &*text,
        "DELETE FROM public.patients RETURNING CASE WHEN pg_catalog.length(patients.ssn::pg_catalog.text) \
         OPERATOR(pg_catalog.>) 1 THEN pg_catalog.\"left\"(patients.ssn::pg_catalog.text, 1) OPERATOR(pg_catalog.||) '***' \
         WHEN patients.ssn IS NOT NULL THEN '***' END::pg_catalog.text AS ssn"
    );
}

#[test]
fn what_would_tell_is_refused() {
    for sql in [
        "update patients set id = 1 where ssn like '1%'",
        "update patients p set id = 1 where p.to_json is not null",
        "delete from patients p using secret s where p::text = 'x'",
        "insert into patients (id) values (1) on conflict (id) do update set id = length(excluded.ssn)",
        "update patients set id = (with c as (select patients.ssn) select length(ssn) from c)",
        "update patients set id = 1 where ctid is not null",
        "delete from secret",
        "explain analyze select * from patients",
        "select * from patients tablesample system (10)",
    ] {
        assert!(sent(sql).is_err(), "{sql}: {:?}", sent(sql));
    }
}

/// What is sent for somebody to whom `public.patients` is described.
fn described(sql: &str) -> String {
    let mut results = results();
    results[4] = vec![
        vec![
            Some("1".to_owned()),
            Some(
                r#"[["oid","oid",0,null,null],["relpages","integer",0,null,null],["relpartbound","pg_node_tree",0,null,null]]"#
                    .to_owned(),
            ),
        ],
    ];
    for name in ["oid", "pg_node_tree"] {
        let row = ["pg_catalog", name, "b", ""];
        results[10].push(row.iter().map(|cell| Some((*cell).to_owned())).collect());
    }
    let series = ["pg_catalog", "generate_series", "true", "false", "false", ""];
    results[8].push(series.iter().map(|cell| Some((*cell).to_owned())).collect());
    let catalog = Catalog::build(1, &results, None).unwrap();
    let these = catalog.own.iter().filter(|own| own.oid == 4).cloned().collect();
    let scope = Scope { described: Some(Described::These(these)), ..Scope::default() };
    let path = [Arc::from("public")];
    rewrite(sql, Place { catalog: &catalog, path: &path, temporary: &[] }, &scope).unwrap().to_string()
}

#[test]
fn catalogs_tell_of_what_is_described() {
    let told = |number: &str| {
        format!(
            "CASE WHEN {number} OPERATOR(pg_catalog.<) '16384'::pg_catalog.oid THEN true \
             ELSE {number} OPERATOR(pg_catalog.=) ANY('{{4}}'::pg_catalog.oid[]) END"
        )
    };
    let shown = described("select relpartbound from pg_class");
    let instead = format!("CASE WHEN {} THEN t.relpartbound END AS relpartbound", told("t.oid"));
    assert!(
        shown.contains(&instead) && shown.contains("AS relpages") && !shown.contains("t.relpages"),
        "{shown}"
    );
    let number = "SELECT patients.id::pg_catalog.regclass::pg_catalog.oid OFFSET 0";
    assert_eq!(
        described("select pg_get_viewdef(patients.id, 4) from patients"),
        format!(
            "SELECT pg_catalog.pg_get_viewdef((SELECT g.o FROM ({number}) g(o) WHERE {}), 4) FROM public.patients",
            told("g.o")
        )
    );
    // What stands for a call has its name in the result.
    let shown = described("select pg_get_function_arguments(1) from patients");
    assert!(shown.contains("AS pg_get_function_arguments"), "{shown}");
    for (sql, kept) in [
        ("copy pg_class to stdout", "t.relpages"),
        ("explain select pg_get_viewdef(1) from pg_class", "pg_catalog.pg_class"),
    ] {
        let shown = described(sql);
        assert!(!shown.contains(kept), "{shown}");
    }
    let planned = described("explain select pg_get_function_arguments(1)");
    assert!(planned.contains("WHERE false") && !planned.contains("COALESCE"), "{planned}");
}

#[test]
fn a_setting_whose_name_is_not_known_yet_is_looked_at_where_it_runs() {
    let mut results = results();
    for name in ["current_setting", "lower"] {
        let row = ["pg_catalog", name, "true", "true", "false", ""];
        results[8].push(row.iter().map(|cell| Some((*cell).to_owned())).collect());
    }
    let row = ["pg_catalog", "text", "b", ""];
    results[10].push(row.iter().map(|cell| Some((*cell).to_owned())).collect());
    let catalog = Catalog::build(1, &results, None).unwrap();
    let path = [Arc::from("public")];
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    let sent = |sql: &str| rewrite(sql, place, &Scope::default()).unwrap().to_string();
    // A constant was judged before.
    let known = "SELECT pg_catalog.current_setting('server_version')";
    assert_eq!(sent("select current_setting('server_version')"), known);
    let shown = sent("select current_setting($1)");
    let look = "SELECT pg_catalog.current_setting((SELECT g.o FROM (SELECT $1::pg_catalog.text OFFSET 0) g(o) \
                WHERE pg_catalog.lower(g.o)";
    assert!(shown.starts_with(look) && shown.contains("'server_version'"), "{shown}");
    assert!(!shown.contains("data_directory"), "{shown}");
    for unusual in ["variadic $1", "*", "distinct $1", "$1 order by 1", "setting_name => $1"] {
        let sql = format!("select current_setting({unusual})");
        assert!(rewrite(&sql, place, &Scope::default()).is_err(), "{sql}");
    }
    for unusual in ["over ()", "filter (where true)"] {
        let sql = format!("select current_setting($1) {unusual}");
        assert!(rewrite(&sql, place, &Scope::default()).is_err(), "{sql}");
    }
}

#[test]
fn the_second_look_finds_what_was_left_standing() {
    let catalog = catalog();
    let mut scope = scope(&catalog);
    // A table of which nothing was said is no view that stands for what it reads.
    let nothing = RelationScope::Part { showings: Arc::new([]), all_rows: false };
    scope.relations.insert(RelationName::new("public", "audited"), nothing);
    let telling = Telling::new(&catalog, None, false);
    let all = Telling::new(&catalog, Some(&Described::All), false);
    let tree = |sql: &str| tree::parse(sql).ok().unwrap().tree;
    assert!(Generated::default().holds(&tree("select pg_catalog.pg_get_viewdef(7)"), &all, &scope));
    let holds =
        |sql: &str| Generated::default().holds(&tree::parse(sql).ok().unwrap().tree, &telling, &scope);
    for stands in [
        "delete from public.patients",
        "copy public.patients from stdin",
        "lock public.patients",
        "create temp table mine (a pg_catalog.int4)",
        "select 1 from pg_temp.mine",
        "select 1 from pg_catalog.pg_am",
    ] {
        assert!(holds(stands), "{stands}");
    }
    let mut generated = Generated::default();
    ["mine", "patients"].into_iter().for_each(|name| generated.cte(name.to_owned()));
    let with_ctes = |sql: &str| generated.holds(&tree::parse(sql).ok().unwrap().tree, &telling, &scope);
    assert!(with_ctes("select 1 from mine"));
    assert!(!with_ctes("insert into mine default values") && !with_ctes("select 1 from others"));
    assert!(!with_ctes("select 1 from patients"), "a table has the name");
    // A sub-select of ours, and one that only looks like it.
    let select = |column: &str| format!("select 1 from (select t.{column} from public.patients t) p");
    let mut ours = Vec::new();
    let known = tree::parse(&select("id")).ok().unwrap().tree;
    known.each(&mut |fields| ours.extend(fields.get("subquery").cloned()));
    let mut generated = Generated::default();
    let select_of_ours = ours.pop().unwrap();
    generated.add(select_of_ours.clone());
    let once = format!("{generated:?}");
    generated.add(select_of_ours);
    assert_eq!(format!("{generated:?}"), once, "one that is known");
    let beside = |sql: &str| generated.holds(&tree::parse(sql).ok().unwrap().tree, &telling, &scope);
    assert!(
        beside(&select("id")) && !beside(&select("ssn")) && !beside("select patients from public.patients")
    );
    // Whole, but for a partition of it that nothing was said of.
    let whole = [(RelationName::new("public", "visits"), RelationScope::Whole)].into();
    let whole = Scope { relations: whole, ..Scope::default() };
    let below = |sql: &str| Generated::default().holds(&tree(sql), &telling, &whole);
    assert!(!below("select 1 from public.visits") && below("select 1 from only public.visits"));
    for left in [
        "select 1 from chaperone_floor.mine",
        "insert into chaperone_floor.mine default values",
        "insert into mine default values",
        "create table public.mine (a pg_catalog.int4)",
        "select 1 from public.nobody_knows",
        "select 1 from public.patients p, public.patients",
        "select 1 from public.audited",
        "select 1 from patients",
        "copy public.patients to stdout",
        "select length('x')",
        "select 1 + 1",
        "select 1 from pg_catalog.pg_class",
        "select pg_catalog.pg_get_viewdef(7)",
        "select pg_catalog.pg_get_viewdef((select g.o from (select 7 offset 0) as g(o) where true))",
    ] {
        assert!(!holds(left), "{left}");
    }
}

/// What else stands beside a relation that is read by its name is looked at like everywhere.
#[test]
fn names_beside_a_relation_that_is_read_by_its_own_are_complete() {
    let catalog = catalog();
    let telling = Telling::new(&catalog, None, false);
    let holds = |sql: &str| {
        Generated::default().holds(&tree::parse(sql).ok().unwrap().tree, &telling, &scope(&catalog))
    };
    assert!(holds("select pg_catalog.length(id) from public.patients"));
    assert!(!holds("select length(id) from public.patients"));
}

#[test]
fn a_look_hands_on_only_what_it_looked_at() {
    let catalog = catalog();
    let scope = scope(&catalog);
    let telling = Telling::new(&catalog, None, false);
    let mut generated = Generated::default();
    let known = tree::parse("select 1 where g.o operator(pg_catalog.<) 7").ok().unwrap().tree;
    let mut conditions = Vec::new();
    known.each(&mut |fields| conditions.extend(fields.get("where_clause").cloned()));
    let condition = conditions.pop().unwrap();
    generated.condition("pg_get_viewdef", condition.clone());
    let once = format!("{generated:?}");
    generated.condition("pg_get_viewdef", condition.clone());
    assert_eq!(format!("{generated:?}"), once, "one that is known");
    // A function may have several.
    generated.condition("pg_get_viewdef", Value::Bool(true));
    assert_ne!(format!("{generated:?}"), once);
    let tree = |sql: &str| tree::parse(sql).ok().unwrap().tree;
    let holds = |argument: &str| {
        let sql = format!("select pg_catalog.pg_get_viewdef(({argument}))");
        generated.holds(&tree::parse(&sql).ok().unwrap().tree, &telling, &scope)
    };
    assert!(holds("select g.o from (select 9 offset 0) as g(o) where g.o operator(pg_catalog.<) 7"));
    // What is let through for one function is not for another.
    let ruledef = "select pg_catalog.pg_get_ruledef((select g.o from (select 9 offset 0) as g(o) \
                   where g.o operator(pg_catalog.<) 7))";
    let of_ruledef = |generated: &Generated| generated.holds(&tree(ruledef), &telling, &scope);
    assert!(!of_ruledef(&generated));
    let mut of_both = Generated::default();
    of_both.condition("pg_get_viewdef", condition.clone());
    of_both.condition("pg_get_ruledef", condition);
    assert!(of_ruledef(&of_both));
    for other in [
        "select 9 from (select 9 offset 0) as g(o) where g.o operator(pg_catalog.<) 7",
        "select g.p from (select 9 offset 0) as g(o) where g.o operator(pg_catalog.<) 7",
        "select o from (select 9 offset 0) as g(o) where g.o operator(pg_catalog.<) 7",
        "select g.o, 9 from (select 9 offset 0) as g(o) where g.o operator(pg_catalog.<) 7",
        "select g.o from (select 9 offset 0) as g(o), (select 9) as h(o) where g.o operator(pg_catalog.<) 7",
        "select g.o from (select 9) as g(o) where g.o operator(pg_catalog.<) 7",
        "select g.o from lateral (select 9 offset 0) as g(o) where g.o operator(pg_catalog.<) 7",
        "select g.o from (select 9, 8 offset 0) as g(o) where g.o operator(pg_catalog.<) 7",
        "select g.o from (select 9 offset 0) as h(o) where g.o operator(pg_catalog.<) 7",
        "select g.o from (select 9 offset 0) as g(o, p) where g.o operator(pg_catalog.<) 7",
        "select g.o from (select 9 from (select 1) as x offset 0) as g(o) where g.o operator(pg_catalog.<) 7",
        "select g.o from (select 9 offset 0) as g(o) where g.o operator(pg_catalog.<) 7 union select 9",
        "select g.o from (select 9 union select 8 offset 0) as g(o) where g.o operator(pg_catalog.<) 7",
        "select pg_catalog.max(g.o) from (select 9 offset 0) as g(o) where g.o operator(pg_catalog.<) 7 group by g.o",
        "with h as (select 9) select g.o from (select 9 offset 0) as g(o) where g.o operator(pg_catalog.<) 7",
        "select g.o from (select 9 offset 0) as g(o) where g.o operator(pg_catalog.<) 8",
        "select g.o from (select 9 offset 0) as g(o)",
        "exists (select g.o from (select 9 offset 0) as g(o) where g.o operator(pg_catalog.<) 7)",
        "array(select g.o from (select 9 offset 0) as g(o) where g.o operator(pg_catalog.<) 7)",
        "9",
    ] {
        assert!(!holds(other), "{other}");
    }
}

pub(super) const FILTERED: &str = r#"
[relations."public.patients"]
rows = "id = any(caller.clinics::integer[]) or caller.level > 3"
[relations."public.patients".columns]
id = { clear = true }
ssn = { tags = ["phi.ssn"], mask = "first_letter" }
"#;

/// A target whose floor has these views, each readable by `clerk`.
pub(super) fn with_floor(rules: &str, views: &[BarrierView]) -> Catalog {
    with_floor_over("text", rules, views)
}

/// The same where the column `ssn` is of that type.
pub(super) fn with_floor_over(typ: &str, rules: &str, views: &[BarrierView]) -> Catalog {
    let kinds = [
        ("clinics", chaperone_access::AttributeKind::Texts),
        ("level", chaperone_access::AttributeKind::Long),
    ];
    let kinds = kinds.map(|(name, kind)| (name.to_owned(), kind)).into();
    let classification = Classification::load("t.toml", rules, &kinds).unwrap();
    let columns = |oid: &str, columns: &str| vec![Some(oid.to_owned()), Some(columns.to_owned())];
    let mut results = results();
    results[4] = vec![
        columns("4", &format!(r#"[["id","integer",0,null,null],["ssn","{typ}",0,null,null]]"#)),
        columns("5", r#"[["id","integer",0,null,null]]"#),
    ];
    for row in [
        ["pg_catalog", "left", "true", "false", "false", ""],
        ["pg_catalog", "count", "true", "true", "false", ""],
        ["pg_catalog", "encode", "true", "false", "false", ""],
        ["pg_catalog", "sha256", "true", "true", "false", ""],
        ["pg_catalog", "convert_to", "true", "false", "false", ""],
        ["pg_catalog", "getdatabaseencoding", "true", "false", "false", ""],
    ] {
        results[8].push(row.iter().map(|cell| Some((*cell).to_owned())).collect());
    }
    for name in ["bpchar", "bytea"] {
        let row = ["pg_catalog", name, "b", ""];
        results[10].push(row.iter().map(|cell| Some((*cell).to_owned())).collect());
    }
    let row = |view: &BarrierView| {
        [view.name.as_str(), &view.about, "[\"clerk\"]"].map(|cell| Some(cell.to_owned())).to_vec()
    };
    results[14] = views.iter().map(row).collect();
    Catalog::build(1, &results, Some(&Arc::new(classification))).unwrap()
}

pub(super) fn patients() -> RelationName {
    RelationName::new("public", "patients")
}

pub(super) fn view(rules: &str, showings: &[Showing], filtered: bool) -> BarrierView {
    with_floor(rules, &[]).barrier(&patients(), showings, filtered).unwrap()
}

pub(super) const MASKED: &[Showing] = &[Showing::Revealed, Showing::Masked];

/// A role, and what the floor was told of the caller.
pub(super) type Role<'a> = Option<(&'a str, Option<&'a chaperone_access::Attributes>)>;

/// A caller who sees that much of the patients.
fn scope_under((showings, all_rows): (&[Showing], bool), under: Role<'_>) -> Scope {
    let part = RelationScope::Part { showings: showings.into(), all_rows };
    Scope {
        relations: [(patients(), part)].into(),
        caller: Arc::new(told()),
        under: under.map(|(role, told)| {
            Arc::new(Under { role: role.into(), told: told.map(|told| Arc::new(told.clone())) })
        }),
        ..Scope::default()
    }
}

pub(super) fn told() -> chaperone_access::Attributes {
    let clinics = Attribute::Texts(["1".to_owned()].into());
    [("clinics".to_owned(), clinics), ("level".to_owned(), Attribute::Long(1))].into()
}

/// What is sent for him.
pub(super) fn sent_under(
    catalog: &Catalog,
    sees: (&[Showing], bool),
    under: Role<'_>,
    sql: &str,
) -> Outcome<String> {
    let path = [Arc::from("public")];
    let place = Place { catalog, path: &path, temporary: &[] };
    rewrite(sql, place, &scope_under(sees, under)).map(|text| text.to_string())
}

#[test]
fn a_view_of_the_floor_is_written_by_what_writes_sub_selects() {
    let made = view(FILTERED, MASKED, true);
    let inline = sent_under(&with_floor(FILTERED, &[]), (MASKED, true), None, "select * from patients");
    let inline = inline.unwrap().replace("SELECT * FROM (", "").replace(") patients", "");
    let (plain, filter) = made.select.split_once(" WHERE ").unwrap();
    assert_eq!(plain, inline);
    let question = |name: &str, typ: &str| {
        format!("(SELECT c.said OPERATOR(pg_catalog.->>) '{name}' FROM chaperone_floor.caller c)::{typ}")
    };
    let asked = [question("clinics", "pg_catalog.text[]"), question("level", "bigint")];
    assert!(asked.iter().all(|question| filter.contains(question)), "{filter}");
    let answered = "(SELECT c.said OPERATOR(pg_catalog.?&) ARRAY['clinics', 'level']::pg_catalog.text[] FROM \
                    chaperone_floor.caller c) AND (id OPERATOR(pg_catalog.=) ANY";
    // What the predicate lets through stays inside of the condition that everything asked was answered.
    assert!(filter.starts_with(answered), "{filter}");
    assert!(made.asks && made.reads.len() == 2, "{made:?}");
    for (predicate, apart) in [
        ("id = any(caller.clinics::integer[])", None),
        ("id = any(caller.clinics::integer[]) and id > 0", None),
        ("id = any(caller.clinics::integer[]) and (id > caller.level or id = 1)", Some("'level'")),
        ("id <> all(coalesce(caller.clinics, array['1'])::integer[])", Some("'clinics'")),
        ("caller.level is null or caller.level is distinct from 1", Some("'level'")),
        ("not (id = any(caller.clinics::integer[]))", Some("'clinics'")),
        ("caller.level = id", None),
        ("caller.level is distinct from id", Some("'level'")),
    ] {
        let rules = FILTERED.replace("id = any(caller.clinics::integer[]) or caller.level > 3", predicate);
        let select = view(&rules, MASKED, true).select;
        let array = apart.map(|name| {
            format!(
                "OPERATOR(pg_catalog.?&) ARRAY[{name}]::pg_catalog.text[] FROM chaperone_floor.caller c) AND"
            )
        });
        assert_eq!(select.contains("?&"), apart.is_some(), "{select}");
        assert!(array.is_none_or(|array| select.contains(&array)), "{select}");
    }
    assert!(made.name.starts_with("patients_") && made.name.len() <= 63, "{made:?}");
    // Other words make another view.
    let other = FILTERED.replace("\"first_letter\"", "{ fixed = \"***\" }");
    for other in [
        view(&other, MASKED, true),
        view(FILTERED, MASKED, false),
        view(FILTERED, &[Showing::Revealed; 2], true),
    ] {
        assert_ne!(other.name, made.name);
    }
}

#[test]
fn a_view_stands_where_the_role_has_it_and_was_told_of_the_caller() {
    let made = view(FILTERED, MASKED, true);
    let catalog = with_floor(FILTERED, std::slice::from_ref(&made));
    let told = told();
    let sql = "select ssn from patients p where id = 7";
    let with = |under| sent_under(&catalog, (MASKED, false), under, sql);
    let name = &made.name;
    assert_eq!(
        with(Some(("clerk", Some(&told)))).unwrap(),
        format!("SELECT ssn FROM chaperone_floor.{name} p WHERE id OPERATOR(pg_catalog.=) 7")
    );
    // Whoever has no view reads what he would have read without a floor.
    for under in [None, Some(("other", Some(&told)))] {
        assert!(with(under).unwrap().contains("FROM public.patients t"));
    }
    // The view would show nobody's rows, or those of somebody that he no longer is.
    let refused = |under| with(under).unwrap_err().message;
    assert!(refused(Some(("clerk", None))).contains("not told"));
    let mut before = told.clone();
    before.insert("clinics".to_owned(), Attribute::Texts(["1".to_owned(), "2".to_owned()].into()));
    assert!(refused(Some(("clerk", Some(&before)))).contains("has changed"));
    // The look at what is sent judges by itself.
    let stands = |sees, under| barrier::stands_alone(name, &catalog, &scope_under(sees, under));
    assert!(stands((MASKED, false), Some(("clerk", Some(&told)))));
    for (sees, under) in [
        ((MASKED, false), None),
        ((MASKED, false), Some(("other", Some(&told)))),
        ((MASKED, false), Some(("clerk", None))),
        ((MASKED, false), Some(("clerk", Some(&before)))),
        ((MASKED, true), Some(("clerk", Some(&told)))),
        (([Showing::Hidden; 2].as_slice(), false), Some(("clerk", Some(&told)))),
    ] {
        assert!(!stands(sees, under), "{sees:?} {under:?}");
    }
    let holds = |made: bool, role: &str, sql: &str| {
        let mut generated = Generated::default();
        if made {
            generated.barrier(name.as_str().into());
        }
        let tree = tree::parse(&format!("{sql} chaperone_floor.{name}")).ok().unwrap().tree;
        let scope = scope_under((MASKED, false), Some((role, Some(&told))));
        generated.holds(&tree, &Telling::new(&catalog, None, false), &scope)
    };
    assert!(holds(true, "clerk", "select 1 from"));
    assert!(!holds(false, "clerk", "select 1 from") && !holds(true, "other", "select 1 from"));
    assert!(!holds(true, "clerk", "delete from"));
    // Nor is it a name that he could write himself.
    for sql in [
        format!("select * from chaperone_floor.{name}"),
        format!("insert into chaperone_floor.{name} values (1)"),
        "select * from chaperone_floor.callers".to_owned(),
        "select * from chaperone_floor.caller".to_owned(),
    ] {
        let refusal = sent_under(&catalog, (MASKED, false), Some(("clerk", Some(&told))), &sql).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::UndefinedRelation, "{sql}");
    }
    // One that says something else of itself than its name does is none.
    let mut forged = made.clone();
    forged.about = forged.about.replace("rm", "rr");
    let catalog = with_floor(FILTERED, &[forged]);
    let sent = sent_under(&catalog, (MASKED, false), Some(("clerk", Some(&told))), sql).unwrap();
    assert!(sent.contains("FROM public.patients t"), "{sent}");
}

#[test]
fn who_sees_less_than_a_view_shows_reads_a_part_of_it() {
    const HIDDEN: &[Showing] = &[Showing::Revealed, Showing::Hidden];
    let rules = &FILTERED.replace("rows = \"id = any(caller.clinics::integer[]) or caller.level > 3\"", "");
    let made = view(rules, MASKED, false);
    let catalog = with_floor(rules, std::slice::from_ref(&made));
    let sent = |showings, sql: &str| sent_under(&catalog, (showings, true), Some(("clerk", None)), sql);
    assert_eq!(
        sent(HIDDEN, "select * from patients").unwrap(),
        format!(
            "SELECT * FROM (SELECT t.id AS id, NULL::pg_catalog.text AS ssn FROM chaperone_floor.{} t) patients",
            made.name
        )
    );
    // The mask stands in the view already.
    assert_eq!(
        sent(MASKED, "select * from patients").unwrap(),
        format!("SELECT * FROM chaperone_floor.{} patients", made.name)
    );
    // More than it shows is not had from it.
    let whole = &[Showing::Revealed; 2];
    assert!(sent(whole, "select * from patients").unwrap().contains("FROM public.patients patients"));
    assert!(sent(MASKED, "select * from patients tablesample bernoulli (10)").is_err());
    // A write reads its target itself: what the view masks is not there.
    let written = sent(MASKED, "update patients set id = 1 returning ssn").unwrap();
    assert!(written.ends_with("RETURNING NULL::pg_catalog.text AS ssn"), "{written}");
}

#[test]
fn a_check_says_nothing_of_where_rows_of_a_partitioned_table_are() {
    let rules = "[relations.\"public.visits\".columns]\nid = { clear = true }\n                 [relations.\"public.visits_2026\".columns]\nid = { clear = true }\n";
    let build = |kind: &str, key: &str| {
        let cells = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
        let mut results = results();
        let columns = r#"[["id","integer",0,null,null],["kind","text",0,null,null]]"#;
        results[4] = vec![cells(&["9", columns]), cells(&["10", columns])];
        results[5] = vec![
            cells(&["k", "9", &format!("[\"{key}\"]"), "0", "[]", "false"]),
            cells(&["c", "9", &format!("[\"{kind}\"]"), "0", "[]", "false"]),
        ];
        let classification = Classification::load("t.toml", rules, &[].into()).unwrap();
        Catalog::build(1, &results, Some(&Arc::new(classification))).unwrap()
    };
    let read = |catalog: &Catalog, name: &str| {
        let part =
            RelationScope::Part { showings: Arc::new([Showing::Revealed, Showing::Hidden]), all_rows: true };
        let scope =
            Scope { relations: [(RelationName::new("public", name), part)].into(), ..Scope::default() };
        let path = [Arc::from("public")];
        rewrite(&format!("select id from {name}"), Place { catalog, path: &path, temporary: &[] }, &scope)
    };
    for name in ["visits", "visits_2026"] {
        assert!(read(&build("kind", "id"), name).is_ok(), "{name}");
        assert!(read(&build("id", "kind"), name).is_err(), "{name}");
    }
}

/// PostgreSQL tries the cheaper condition first, and its statistics know rows that the view leaves out.
#[test]
fn a_cleared_view_keeps_conditions_from_the_rows_that_it_leaves_out() {
    let rules = format!("{CLASSIFIED}[relations.\"public.peek\"]\nclear = true\n");
    let mut results = results();
    let series = ["pg_catalog", "generate_series", "true", "false", "false", ""];
    results[8].push(series.iter().map(|cell| Some((*cell).to_owned())).collect());
    results[4] = ["4", "5", "7"]
        .map(|oid| vec![Some(oid.to_owned()), Some(r#"[["id","integer",0,null,null]]"#.to_owned())])
        .to_vec();
    let rules = rules.replace("ssn = { tags = [\"phi.ssn\"], mask = \"first_letter\" }\n", "");
    let classification = Classification::load("t.toml", &rules, &[].into()).unwrap();
    let catalog = Catalog::build(1, &results, Some(&Arc::new(classification))).unwrap();
    let scope = scope_of(&[("peek", "whole"), ("secret", "h")]);
    let path = [Arc::from("public")];
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    let sent = rewrite("select id from peek where id > 5", place, &scope).unwrap().to_string();
    let expected = "SELECT id FROM (SELECT COALESCE(t.id, t.id) AS id FROM public.peek t OFFSET 0) peek \
                    WHERE id OPERATOR(pg_catalog.>) 5";
    assert_eq!(sent, expected);
    assert!(rewrite("select id from peek tablesample bernoulli (10)", place, &scope).is_err());
    // Not of whoever sees a part of it.
    let part = RelationScope::Part { showings: Arc::new([Showing::Hidden]), all_rows: true };
    let relations = [(RelationName::new("public", "peek"), part)].into();
    let tree = tree::parse("select id from public.peek").ok().unwrap().tree;
    let (telling, of_part) = (Telling::new(&catalog, None, false), Scope { relations, ..Scope::default() });
    assert!(!Generated::default().holds(&tree, &telling, &of_part));
    // Its plan would tell of what is under it.
    let mut scope = scope;
    let part = RelationScope::Part { showings: Arc::new([Showing::Revealed]), all_rows: false };
    scope.relations.insert(RelationName::new("public", "secret"), part);
    let planned = rewrite("explain select id from peek", place, &scope).unwrap();
    assert!(planned.contains("stand_in_for_peek") && !planned.contains("public.peek"), "{planned}");
}

#[test]
fn whoever_nothing_is_said_of_sees_no_rows() {
    let catalog = with_floor(FILTERED, &[]);
    let mut scope = scope_under((MASKED, false), None);
    scope.caller = Arc::default();
    let path = [Arc::from("public")];
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    let sent = rewrite("select id from patients", place, &scope).unwrap();
    assert!(sent.contains("WHERE false OFFSET 0"), "{sent}");
}

#[test]
fn a_filter_speaks_of_instants_in_utc() {
    let rules = FILTERED
        .replace("id = any(caller.clinics::integer[]) or caller.level > 3", "ssn > '2026-01-02' and id = 7");
    for (typ, zoned) in [("timestamp with time zone", 1), ("timestamp without time zone", 0)] {
        let catalog = with_floor_over(typ, &rules, &[]);
        let hidden = [Showing::Hidden; 2];
        let sent = sent_under(&catalog, (&hidden, false), None, "select 1 from patients").unwrap();
        assert_eq!(sent.matches("'UTC'").count(), zoned, "{sent}");
    }
}

/// What a caller measures is a value that he gave, never one that lies somewhere.
#[test]
fn a_size_is_told_of_what_was_never_stored() {
    for (sql, expected) in [
        ("select pg_column_size('a'::text)", "SELECT pg_catalog.pg_column_size('a'::pg_catalog.text)"),
        ("select pg_column_size(row(1, $1))", "SELECT pg_catalog.pg_column_size(ROW(1, $1))"),
        ("select pg_column_size(upper('a'))", "SELECT NULL::int AS pg_column_size"),
        (
            "select pg_column_size(a) from (values (1)) t(a)",
            "SELECT NULL::int AS pg_column_size FROM (VALUES (1)) t(a)",
        ),
        (
            "select pg_relation_size($1)",
            "SELECT CASE WHEN $1::pg_catalog.regclass IS NULL THEN NULL::bigint ELSE NULL::bigint END AS pg_relation_size",
        ),
        ("select pg_relation_size('patients')", "SELECT NULL::bigint AS pg_relation_size"),
    ] {
        assert_eq!(sent(sql).unwrap(), expected, "{sql}");
    }
}

/// The writer writes a cast of `'t'` as the keyword, which is read as no cast.
#[test]
fn a_truth_value_of_one_letter_is_written_as_what_it_stands_for() {
    assert_eq!(
        sent("select 't'::bool, cast('f' as boolean)").unwrap(),
        "SELECT 'true'::boolean, 'false'::boolean"
    );
    assert_eq!(sent("select 't'::text").unwrap(), "SELECT 't'::pg_catalog.text");
}

#[test]
fn rows_are_a_type_where_no_column_of_theirs_has_code() {
    assert_eq!(
        sent("select null::patients, '(1,a)'::public.patients").unwrap(),
        "SELECT NULL::public.patients, '(1,a)'::public.patients"
    );
    assert!(sent("select null::pg_class").is_err() && sent("select null::nothing").is_err());
}

#[test]
fn a_cursor_stands_on_a_row_of_what_is_read_as_it_is() {
    let catalog = catalog();
    let path = [Arc::from("public")];
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    let update = "update patients set id = 1 where current of c";
    assert!(sent(update).is_err());
    let whole = scope_of(&[("patients", "whole")]);
    assert_eq!(
        &*rewrite(update, place, &whole).unwrap(),
        "UPDATE public.patients SET id = 1 WHERE CURRENT OF c"
    );
}

#[test]
fn tables_are_made_of_xml_as_of_any_value() {
    let sql = "select x.a from xmltable('/a' passing ssn columns a int4 path '@n' default length('x'), o for ordinality) as x";
    let expected = "SELECT x.a FROM xmltable(('/a') PASSING ssn COLUMNS a int PATH '@n' DEFAULT pg_catalog.length('x'), o FOR ORDINALITY) AS x";
    assert_eq!(sent(sql).unwrap().to_lowercase(), expected.to_lowercase());
}
