use std::sync::Arc;

use crate::analyse::tests::results;
use crate::catalog::Catalog;
use crate::classification::Classification;
use crate::rewrite::tests::scope_of;
use crate::rewrite::{Place, rewrite};

/// What a statement is grouped by where that much is seen of `patients (id, name, born, ssn)`, whose primary key is `id`.
fn grouped(seen: &str, sql: &str) -> String {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let mut results = results();
    let patients = r#"[["id","integer",0,null,null],["name","text",0,null,null],["born","json",0,null,null],["ssn","text",0,null,null]]"#;
    let secret = r#"[["number","integer",0,null,null],["name","text",0,null,null]]"#;
    results[4] = vec![row(&["4", patients]), row(&["5", secret])];
    results[5] = vec![row(&["p", "4", r#"["id"]"#, "0", "[]", "false"])];
    results[10].push(row(&["pg_catalog", "json", "b", ""]));
    let rules = "[relations.\"public.patients\".columns]\nid = { clear = true }\n";
    let rules = Arc::new(Classification::load("t.toml", rules, &[].into()).unwrap());
    let catalog = Catalog::build(1, &results, Some(&rules)).unwrap();
    let path = [Arc::from("public")];
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    let sent = rewrite(sql, place, &scope_of(&[("patients", seen), ("secret", "whole")])).unwrap();
    sent.split_once(" GROUP BY ").unwrap().1.to_owned()
}

/// A sub-select hides that a key determines the rest.
#[test]
fn columns_that_a_primary_key_determines_are_grouped_by_where_they_are_used() {
    for (seen, sql, expected) in [
        ("rrrh", "select id, name from patients group by id", "id, patients.name"),
        ("rrrh", "select p.name, p.ssn from patients p group by p.id", "p.id, p.name, p.ssn"),
        ("rrrh", "select * from patients group by id", "id, patients.name, patients.ssn"),
        (
            "rrrh",
            "select name as n from patients group by id order by ssn",
            "id, patients.name, patients.ssn ORDER BY ssn",
        ),
        // Of what stands for itself the server knows it.
        ("whole", "select id, name from patients group by id", "id"),
        ("rrrh", "select id, name from patients group by 1, 2", "1, 2"),
        // What cannot be grouped by is not.
        ("rrrh", "select id, born from patients group by id", "id"),
        // Another relation's are not the key's.
        ("rrrh", "select number, ssn from patients, secret group by id, number", "id, number, patients.ssn"),
        (
            "rrrh",
            "select id, s.* from patients, secret s group by id, s.number, s.name",
            "id, s.number, s.name",
        ),
        ("rrrh", "select id, s.name from patients cross join secret s group by id, s.name", "id, s.name"),
        ("rrrh", "select id, (select name from secret) from patients group by id", "id"),
        ("rrrh", "select name from patients group by name", "name"),
        // A key that is not seen determines nothing, and another name is another column.
        ("hrrh", "select id, name from patients group by id", "id"),
        ("rrrh", "select id, name from patients p(name, id) group by id", "id"),
    ] {
        assert_eq!(grouped(seen, sql), expected, "{sql}");
    }
}
