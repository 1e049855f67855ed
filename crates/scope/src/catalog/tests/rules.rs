//! What follows from rows that read nearly the same.

use super::*;
use crate::analyse::tests::results;

fn cells(cells: &[&str]) -> Vec<Option<String>> {
    cells.iter().map(|cell| Some((*cell).to_owned())).collect()
}

fn public(name: &str) -> RelationName {
    RelationName::new("public", name)
}

/// Of the small target, with these rows of constraints and of what inherits from what.
fn made(constraints: &[&[&str]], inherits: &[[&str; 2]]) -> Catalog {
    let mut results = results();
    let columns = r#"[["a","integer",0,null,null],["b","integer",0,null,null]]"#;
    results[4] = ["4", "5", "6", "9", "10"].map(|oid| cells(&[oid, columns])).to_vec();
    results[5] = constraints.iter().map(|row| cells(row)).collect();
    results[6] = inherits.iter().map(|row| cells(row)).collect();
    Catalog::build(1, &results, None).unwrap()
}

#[test]
fn a_key_that_points_with_one_column_twice_points_to_two() {
    let catalog = made(
        &[
            &["f", "5", r#"["a","a"]"#, "4", r#"["a","b"]"#, "false"],
            &["u", "5", r#"["a","a"]"#, "", "[]", "false"],
        ],
        &[],
    );
    let secret = &catalog.relations[&public("secret")];
    assert_eq!(lists(&[secret.references[0].columns.clone()]), ["a a"]);
    assert_eq!(uniques(secret), ["a"]);
}

#[test]
fn a_check_goes_down_to_partitions_and_to_nothing_else() {
    let check: &[&str] = &["c", "9", r#"["a"]"#, "", "[]", "false"];
    let catalog = made(&[check], &[["10", "9"]]);
    assert_eq!(lists(&catalog.relations[&public("visits_2026")].checks), ["a"]);
    // It may be one that is not inherited.
    let check: &[&str] = &["c", "4", r#"["a"]"#, "", "[]", "false"];
    let catalog = made(&[check], &[["5", "4"]]);
    assert!(catalog.relations[&public("secret")].checks.is_empty());
}

#[test]
fn parents_are_told_nearest_first_and_once() {
    let catalog = made(&[], &[["10", "4"], ["10", "5"], ["5", "4"]]);
    let above = catalog.above(&public("visits_2026"));
    assert_eq!(above, [public("patients"), public("secret")]);
    let circle = made(&[], &[["4", "5"], ["5", "4"]]);
    assert_eq!(circle.above(&public("patients")), [public("secret"), public("patients")]);
}

#[test]
fn hierarchies_are_followed_to_a_bound() {
    let mut results = results();
    for oid in 100..200 {
        results[3].push(cells(&["public", &format!("t{oid}"), "r", "false", &oid.to_string(), ""]));
        results[6].push(cells(&[&(oid + 1).to_string(), &oid.to_string()]));
    }
    results[6].pop();
    let catalog = Catalog::build(1, &results, None).unwrap();
    assert_eq!(catalog.above(&public("t199")).len(), 64);
    assert_eq!(catalog.above(&public("t110")).len(), 10);
}

#[test]
fn the_targets_own_are_not_the_systems() {
    let catalog = made(&[], &[]);
    assert!(catalog.own().all(|name| matches!(&*name.schema, "public" | "other")));
    assert_eq!(catalog.len(), 8);
}

#[test]
fn an_event_trigger_of_a_reviewed_extension_may_run() {
    let of = |extension: &str| {
        let mut results = results();
        results.extend([vec![], vec![cells(&["", "tools", "audit", extension])]]);
        let rules = classification("[extensions]\nallowed = [\"known\"]");
        let catalog = Catalog::build(1, &results, Some(&rules)).unwrap();
        catalog.triggered("CREATE TABLE").is_some()
    };
    assert!(!of("known") && of("other") && of(""));
}

#[test]
fn a_fresh_session_looks_in_the_schemas_that_it_says() {
    for (said, path) in [("public", ["public"].as_slice()), ("a,public", &["a", "public"]), ("", &[])] {
        let mut results = results();
        results[1] = vec![cells(&["150018", "chaperone", said])];
        let catalog = Catalog::build(1, &results, None).unwrap();
        assert_eq!(catalog.path().iter().map(|schema| &**schema).collect::<Vec<_>>(), path);
    }
}
