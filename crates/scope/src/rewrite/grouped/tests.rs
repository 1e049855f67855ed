use std::sync::Arc;

use chaperone_access::RefusalCode;

use crate::analyse::tests::results;
use crate::catalog::Catalog;
use crate::classification::Classification;
use crate::rewrite::tests::scope_of;
use crate::rewrite::{Outcome, Place, rewrite};

/// What a statement is grouped by where that much is seen of `patients (id, name, born, ssn)`, whose primary key is `id`. Of
/// `plain (key, a, b, c)` all can be grouped by, and `keyless` has no key; the last column of both is hidden.
fn sent(seen: &str, sql: &str) -> Outcome<String> {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let mut results = results();
    let patients = r#"[["id","integer",0,null,null],["name","text",0,null,null],["born","json",0,null,null],["ssn","text",0,null,null]]"#;
    let secret =
        r#"[["number","integer",0,null,null],["name","text",0,null,null],["docs","json[]",0,null,null]]"#;
    let plain = r#"[["key","integer",0,null,null],["a","text",0,null,null],["b","text",0,null,null],["c","text",0,null,null]]"#;
    results[3].extend([
        row(&["public", "plain", "r", "false", "12", ""]),
        row(&["public", "keyless", "r", "false", "13", ""]),
    ]);
    results[4] = vec![row(&["4", patients]), row(&["5", secret]), row(&["12", plain]), row(&["13", plain])];
    results[5] = vec![
        row(&["p", "4", r#"["id"]"#, "0", "[]", "false"]),
        row(&["p", "5", r#"["number"]"#, "0", "[]", "false"]),
        row(&["p", "12", r#"["key"]"#, "0", "[]", "false"]),
    ];
    results[10].push(row(&["pg_catalog", "json", "b", ""]));
    for name in
        ["array_to_json", "count", "json_typeof", "length", "percentile_cont", "row_number", "row_to_json"]
    {
        results[8].push(row(&["pg_catalog", name, "true", "true", "false", ""]));
    }
    results[8].extend([
        row(&["public", "gathered", "true", "true", "false", "reviewed", "20001"]),
        row(&["public", "json_typeof", "true", "true", "false", "reviewed", "20002"]),
    ]);
    let rules = "[extensions]\nallowed = [\"reviewed\"]\n\
        [relations.\"public.patients\".columns]\nid = { clear = true }\n\
        [relations.\"public.secret\".columns]\nnumber = { clear = true }\n\
        [relations.\"public.plain\".columns]\nkey = { clear = true }\n\
        [relations.\"public.keyless\".columns]\nkey = { clear = true }\n";
    let rules = Arc::new(Classification::load("t.toml", rules, &[].into()).unwrap());
    let catalog = Catalog::build(1, &results, Some(&rules)).unwrap();
    let path = [Arc::from("public")];
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    let secret = if seen.is_empty() { "rhr" } else { "whole" };
    let scope = scope_of(&[("patients", seen), ("secret", secret), ("plain", "rrrh"), ("keyless", "rrrh")]);
    rewrite(sql, place, &scope).map(|sent| sent.to_string())
}

fn grouped(seen: &str, sql: &str) -> String {
    sent(seen, sql).unwrap().split_once(" GROUP BY ").unwrap().1.to_owned()
}

/// The list of results, of a statement that begins with it.
fn told(sql: &str) -> String {
    let sent = sent("rrrh", sql).unwrap();
    sent.strip_prefix("SELECT ").unwrap().split_once(" FROM ").unwrap().0.to_owned()
}

/// A sub-select hides that a key determines the rest.
#[test]
fn columns_that_a_primary_key_determines_are_grouped_by_where_they_are_used() {
    for (seen, sql, expected) in [
        ("rrrh", "select id, name from patients group by id", "id, patients.name"),
        ("rrrh", "select p.name, p.ssn from patients p group by p.id", "p.id, p.name, p.ssn"),
        ("rrrh", "select * from patients group by id", "id, patients.name, patients.ssn"),
        ("rrrh", "select p.* from patients p group by id", "id, p.name, p.ssn"),
        ("rrrh", "select id, row(p.*) from patients p group by id", "id, p.name, p.ssn"),
        ("rrrh", "select (p).name from patients p group by id", "id, p.name, p.ssn"),
        (
            "rrrh",
            "select name as n from patients group by id order by ssn",
            "id, patients.name, patients.ssn ORDER BY ssn",
        ),
        // Of what stands for itself the server knows it.
        ("whole", "select id, name from patients group by id", "id"),
        ("rrrh", "select id, name from patients group by 1, 2", "1, 2"),
        // Also where a query inside, a window or what an aggregate is given uses them.
        (
            "rrrh",
            "select (select count(*) from secret s where s.name = p.ssn) from patients p group by id",
            "id, p.ssn",
        ),
        (
            "rrrh",
            "select row_number() over w from patients group by id window w as (order by name)",
            "id, patients.name WINDOW w AS (ORDER BY name)",
        ),
        (
            "rrrh",
            "select percentile_cont(length(name)) within group (order by id) from patients group by id",
            "id, patients.name",
        ),
        // In some grouping sets they are NULL.
        (
            "rrrh",
            "select id, name, ssn from patients group by id, rollup (name)",
            "id, ROLLUP (name), patients.ssn",
        ),
        // Another relation's are not the key's.
        ("rrrh", "select number, ssn from patients, secret group by id, number", "id, number, patients.ssn"),
        (
            "rrrh",
            "select id, s.* from patients, secret s group by id, s.number, s.name",
            "id, s.number, s.name",
        ),
        ("rrrh", "select id, s.name from patients cross join secret s group by id, s.name", "id, s.name"),
        ("rrrh", "select id, (select name from secret) from patients group by id", "id, patients.name"),
        ("rrrh", "select name from patients group by name", "name"),
        // A sample is of the relation's rows.
        ("rrrh", "select id, name from patients tablesample bernoulli (50) group by id", "id, patients.name"),
        // Of grouping sets that is said of what they name alone, and a query inside may name it.
        (
            "rrrh",
            "select id, name from patients group by id, upper(name)",
            "id, pg_catalog.upper(name), patients.name",
        ),
        (
            "rrrh",
            "select id, (select count(*) from secret s where s.name = p.name) from patients p group by id, rollup (name)",
            "id, ROLLUP (name)",
        ),
        // All of a relation, and a field of something else.
        ("rrrh", "select v.* from plain v group by key", "key, v.a, v.b, v.c"),
        ("rrrh", "select (array[name])[1] from patients group by id", "id, patients.name"),
        ("rrrh", "select (name).x from patients name group by id", "id, name.name"),
        // What is grouped by is no key, or is one's of another relation.
        ("rrrh", "select a, b from keyless group by a", "a"),
        ("rrrh", "select name from patients group by born", "born"),
        ("rrrh", "select p.name from patients p, secret s group by s.number", "s.number"),
        // A key that is not seen determines nothing, and another name is another column.
        ("hrrh", "select id, name from patients group by id", "id"),
        ("rrrh", "select id, name from patients p(name, id) group by id", "id"),
    ] {
        assert_eq!(grouped(seen, sql), expected, "{sql}");
    }
}

/// Of what cannot be grouped by, and of a whole row, the one value is taken, under the name that it had.
#[test]
fn the_one_value_of_a_group_is_taken_where_it_cannot_be_grouped_by() {
    const BORN: &str = "(pg_catalog.array_agg(p.born))[1]";
    for (sql, expected) in [
        ("select p.born from patients p group by id", format!("{BORN} AS born")),
        (
            "select p.born as b, count(*) from patients p group by id",
            format!("{BORN} AS b, pg_catalog.count(*)"),
        ),
        ("select p.born::text from patients p group by id", format!("{BORN}::pg_catalog.text AS born")),
        (
            "select array_to_json(p.born) from patients p group by id",
            format!("pg_catalog.array_to_json({BORN})"),
        ),
        (
            "select case when id > 1 then null else p.born end from patients p group by id",
            format!("CASE WHEN id OPERATOR(pg_catalog.>) 1 THEN NULL ELSE {BORN} END AS born"),
        ),
        (
            "select count(p.born), count(1) over (order by p.born::text) from patients p group by id",
            format!("pg_catalog.count(p.born), pg_catalog.count(1) OVER (ORDER BY {BORN}::pg_catalog.text)"),
        ),
        (
            "select row_to_json(p) from patients p group by id",
            "pg_catalog.row_to_json((pg_catalog.array_agg(p))[1])".to_owned(),
        ),
        ("select p from patients p group by id", "(pg_catalog.array_agg(p))[1] AS p".to_owned()),
        (
            "select row_to_json(p.*) from patients p group by id",
            "pg_catalog.row_to_json((pg_catalog.array_agg(p.*))[1])".to_owned(),
        ),
        // A result that is grouped by is not of the group, and in grouping sets it may be NULL.
        ("select p.born::text from patients p group by id, 1", "p.born::pg_catalog.text".to_owned()),
        (
            "select p.born::text as b from patients p group by id, b",
            "p.born::pg_catalog.text AS b".to_owned(),
        ),
        ("select p.born from patients p group by id, rollup ((p.born::text))", "p.born".to_owned()),
        // A column comes before a result of its name, as what is grouped by and as what is meant by a name.
        (
            "select array_to_json(p.born) as name from patients p group by id, name",
            format!("pg_catalog.array_to_json({BORN}) AS name"),
        ),
        ("select name from patients name group by id", "name".to_owned()),
        (
            "select row_to_json(name.*) from patients name group by id",
            "pg_catalog.row_to_json((pg_catalog.array_agg(name.*))[1])".to_owned(),
        ),
        // What another relation has is left as it is.
        ("select id, s.name from patients, secret s group by id, s.name", "id, s.name".to_owned()),
        ("select number from patients, secret group by id, number", "number".to_owned()),
        (
            "select row(v.*) from patients p, plain v group by id, v.key",
            "ROW(v.key, v.a, v.b, v.c)".to_owned(),
        ),
        // Nothing is taken of what an aggregate is given, and nothing written out that can be grouped by as it is.
        ("select count(p) from patients p group by id", "pg_catalog.count(p)".to_owned()),
        ("select * from plain group by key", "*".to_owned()),
        (
            "select * from patients p tablesample bernoulli (50) group by id",
            format!("p.id, p.name, {BORN} AS born, p.ssn"),
        ),
        // A function of somebody's own may be an aggregate.
        ("select gathered(p.born) from patients p group by id", "gathered(p.born)".to_owned()),
        ("select json_typeof(p.born) from patients p group by id", "json_typeof(p.born)".to_owned()),
        ("select app.gathered(p.born) from patients p group by id", "app.gathered(p.born)".to_owned()),
        ("select born from patients p group by name", "born".to_owned()),
    ] {
        assert_eq!(told(sql), expected, "{sql}");
    }
    for (sql, expected) in [
        (
            "select id from patients p group by id having p.born is null order by p.born::text",
            format!("id HAVING {BORN} IS NULL ORDER BY {BORN}::pg_catalog.text"),
        ),
        // A result's name is the result's.
        (
            "select id, array_to_json(p.born) as born from patients p group by id order by born",
            "id ORDER BY born".to_owned(),
        ),
        ("select distinct on (p.born::text) id from patients p group by id", "id".to_owned()),
    ] {
        assert_eq!(grouped("rrrh", sql), expected, "{sql}");
    }
    for sql in ["select docs from secret group by number", "select * from secret group by number"] {
        let refusal = sent("", sql).unwrap_err();
        assert!(refusal.message.contains("its type cannot be grouped by"), "{sql}: {}", refusal.message);
    }
    sent("", "select count(docs) from secret group by number").unwrap();
}

/// Each star and each value that is taken has many bytes in its place, and each relation goes through all that is grouped.
#[test]
fn what_a_key_determines_has_a_bound() {
    let list =
        |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(", ");
    for (many, text) in [
        (30_000, &|count| format!("select {} from patients group by id", list(count, &|_| "*".to_owned()))),
        (30_000, &|count| {
            format!("select row({}) from patients p group by id", list(count, &|_| "p.*".to_owned()))
        }),
        (50_000, &|count| {
            format!("select {} from patients p group by id", list(count, &|_| "p.born".to_owned()))
        }),
        (3_000, &|count| {
            let (from, by) = (|n| format!("patients p{n}"), |n| format!("p{n}.id"));
            format!("select 1 from {} group by {}", list(count, &from), list(count, &by))
        }),
    ] as [(usize, &dyn Fn(usize) -> String); 4]
    {
        sent("rrrh", &text(20)).unwrap();
        let many = text(many);
        let refusal = crate::pool::on_a_deep_stack(|| sent("rrrh", &many)).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::TooComplex, "{}", text(2));
    }
}
