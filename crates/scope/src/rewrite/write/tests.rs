use std::sync::Arc;

use crate::analyse::tests::results;
use crate::catalog::Catalog;
use crate::classification::Classification;
use crate::rewrite::tests::scope_of;
use crate::rewrite::{Outcome, Place, rewrite};

/// Rows of the queries for columns and constraints.
#[derive(Clone, Copy, Default)]
struct Made<'a> {
    /// `name`'s flags and what it is generated from, of `patients`.
    name: Option<(u8, &'a str)>,
    constraints: &'a [[&'a str; 6]],
    filtered: &'a str,
    /// `secret` inherits from `patients`.
    inherits: bool,
    /// Without a classification nothing is hidden.
    unclassified: bool,
}

const RULES: &str = r#"
[relations."public.patients"]
#rows
[relations."public.patients".columns]
id = { clear = true }
ssn = { tags = ["phi.ssn"], mask = "first_letter" }
name = { tags = ["phi.name"], mask = { fixed = "***" } }
[relations."public.secret".columns]
id = { clear = true }
owner = { clear = true }
ssn = { clear = true }
[relations."public.visits".columns]
id = { clear = true }
kind = { tags = ["phi.name"] }
"#;

/// `patients (id, ssn, name)`, `secret (id, owner, ssn)`, and `visits (id, kind)` with its partition.
fn target(made: Made<'_>) -> Catalog {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let (flags, from) = made.name.unwrap_or((0, "null"));
    let patients = format!(
        r#"[["id","integer",2,null,null],["ssn","text",0,null,null],["name","text",{flags},null,{from}]]"#
    );
    let secret =
        r#"[["id","integer",0,null,null],["owner","integer",0,null,null],["ssn","text",0,null,null]]"#;
    let visits = r#"[["id","integer",0,null,null],["kind","text",0,null,null]]"#;
    let mut results = results();
    results[4] = vec![row(&["4", &patients]), row(&["5", secret]), row(&["9", visits]), row(&["10", visits])];
    results[5] = made.constraints.iter().map(|cells| row(cells)).collect();
    if made.inherits {
        results[6].push(row(&["5", "4"]));
    }
    for name in ["left", "upper"] {
        results[8].push(row(&["pg_catalog", name, "true", "true", "false", ""]));
    }
    let rules = RULES.replace("#rows", made.filtered);
    let classification = Arc::new(Classification::load("t.toml", &rules, &[].into()).unwrap());
    Catalog::build(1, &results, (!made.unclassified).then_some(&classification)).unwrap()
}

fn sent(made: Made<'_>, seen: &[(&str, &str)], sql: &str) -> Outcome<String> {
    let (catalog, path) = (target(made), [Arc::from("public")]);
    let place = Place { catalog: &catalog, path: &path, temporary: &[] };
    rewrite(sql, place, &scope_of(seen)).map(|text| text.to_string())
}

/// Those of the statements that are sent.
fn permitted<'s>(made: Made<'_>, seen: &[(&str, &str)], statements: &[&'s str]) -> Vec<&'s str> {
    statements.iter().filter(|sql| sent(made, seen, sql).is_ok()).copied().collect()
}

const INSERT: &str = "insert into patients (id) values (1)";
const INSERT_SSN: &str = "insert into patients (ssn) values ('x')";
const UPDATE_ID: &str = "update patients set id = 1";
const UPDATE_SSN: &str = "update patients set ssn = 'x'";
const UPDATE_BOTH: &str = "update patients set (id, ssn) = (1, 'x')";
const UPDATE_NAME: &str = "update patients set name = 'x'";
const DELETE: &str = "delete from patients";
const ALL: [&str; 7] = [INSERT, INSERT_SSN, UPDATE_ID, UPDATE_SSN, UPDATE_BOTH, UPDATE_NAME, DELETE];

/// The identity column stands in for `id` in every INSERT.
const FOREIGN: [&str; 6] = ["f", "5", r#"["owner"]"#, "4", r#"["id"]"#, "false"];

#[test]
fn a_unique_index_judges_no_value_beside_one_that_is_hidden() {
    let over = |columns: &'static str| ["u", "4", columns, "0", "[]", "false"];
    for (columns, seen, expected) in [
        (r#"["id"]"#, "rhr", ALL.to_vec()),
        (r#"["ssn"]"#, "rhr", vec![INSERT, UPDATE_ID, UPDATE_NAME, DELETE]),
        (r#"["ssn"]"#, "rrh", ALL.to_vec()),
        // A mask is no value.
        (r#"["ssn"]"#, "rmr", vec![INSERT, UPDATE_ID, UPDATE_NAME, DELETE]),
        // A default is a value, too; what is left out without one is NULL, and like nothing else.
        (r#"["id","ssn"]"#, "rhr", vec![INSERT, UPDATE_NAME, DELETE]),
        (r#"["ssn","name"]"#, "rrh", vec![INSERT, INSERT_SSN, UPDATE_ID, DELETE]),
    ] {
        let made = Made { constraints: &[over(columns)], ..Made::default() };
        assert_eq!(permitted(made, &[("patients", seen)], &ALL), expected, "{columns} {seen}");
    }
    // Without a list any column may be meant.
    let made = Made { constraints: &[over(r#"["ssn"]"#)], ..Made::default() };
    let seen = [("patients", "rhr"), ("secret", "whole")];
    for sql in [
        "insert into patients values (1)",
        "copy patients from stdin",
        "copy patients (ssn) from stdin",
        "insert into patients (id) values (1) on conflict (id) do update set ssn = 'x'",
        "merge into patients p using secret s on p.id = s.id when matched then update set ssn = 'x'",
        "merge into patients p using secret s on p.id = s.id when not matched then insert (ssn) values ('x')",
        "merge into patients p using secret s on p.id = s.id when not matched then insert values (1, 'x')",
    ] {
        assert!(sent(made, &seen, sql).is_err(), "{sql}");
    }
    for sql in [
        "copy patients (id, name) from stdin",
        "insert into patients (id) values (1) on conflict (id) do update set name = 'x'",
        "insert into patients (id) values (1) on conflict (id) do nothing",
        "merge into patients p using secret s on p.id = s.id when matched then update set name = 'x' \
         when not matched then insert (id) values (1)",
        "merge into patients p using secret s on p.id = s.id when matched then delete when not matched then do nothing",
    ] {
        assert!(sent(made, &seen, sql).is_ok(), "{sql}: {:?}", sent(made, &seen, sql));
    }
    let open = Made { unclassified: true, ..made };
    assert_eq!(permitted(open, &[], &ALL), ALL);
}

#[test]
fn a_key_of_another_relation_is_pointed_to_where_all_of_it_is_seen() {
    const POINT: &str = "insert into secret (owner) values (7)";
    const REPOINT: &str = "update secret set owner = 7";
    const BESIDE: &str = "update secret set ssn = 'x'";
    const TAKE: &str = "delete from secret";
    let both = ["insert into secret (id) values (1)", POINT, REPOINT, BESIDE, TAKE];
    let rest = [both[0], BESIDE, TAKE];
    let filtered = "rows = \"id = 7\"";
    for (filtered, patients, secret, expected) in [
        ("", "rhh", "whole", both.as_slice()),
        ("", "whole", "whole", &both),
        ("", "rhh", "rrh", &both),
        ("", "hrr", "whole", &rest),
        ("", "mrr", "whole", &rest),
        ("", "whole", "rhr", &rest),
        (filtered, "rhh", "whole", &rest),
        (filtered, "rhh*", "whole", &both),
    ] {
        let made = Made { constraints: &[FOREIGN], filtered, ..Made::default() };
        let seen = [("patients", patients), ("secret", secret)];
        assert_eq!(permitted(made, &seen, &both), expected, "{filtered} {seen:?}");
    }
    // Nobody said what is seen of the other one.
    let made = Made { constraints: &[FOREIGN], ..Made::default() };
    assert_eq!(permitted(made, &[("secret", "whole")], &both), rest);
    assert_eq!(permitted(Made { unclassified: true, ..made }, &[], &both), both);
}

#[test]
fn what_others_point_to_is_moved_or_taken_where_all_that_points_there_is_seen() {
    let still = [INSERT, INSERT_SSN, UPDATE_SSN, UPDATE_NAME];
    let mut cascading = FOREIGN;
    cascading[5] = "true";
    for (foreign, patients, secret, expected) in [
        (FOREIGN, "rhr", "hrh", ALL.as_slice()),
        (FOREIGN, "rhr", "whole", &ALL),
        (FOREIGN, "rhr", "rhr", &still),
        (FOREIGN, "hrr", "whole", &still),
        (cascading, "rhr", "whole", &still),
        (cascading, "whole", "whole", &still),
    ] {
        let made = Made { constraints: &[foreign], ..Made::default() };
        let seen = [("patients", patients), ("secret", secret)];
        assert_eq!(permitted(made, &seen, &ALL), expected, "{foreign:?} {seen:?}");
    }
    let made = Made { constraints: &[cascading], ..Made::default() };
    assert_eq!(permitted(Made { unclassified: true, ..made }, &[], &ALL), ALL);
}

#[test]
fn no_default_counts_rows_that_are_not_seen() {
    const DRAWN: [&str; 6] = ["s", "5", r#"["id"]"#, "4", "[]", "false"];
    let drawing = [
        "insert into secret (owner) values (7)",
        "insert into secret values (1, 7)",
        "insert into secret (id) values (1), (default)",
        "insert into secret (id) overriding user value values (1)",
        "insert into secret default values",
        "copy secret (owner) from stdin",
        "copy secret (id) from stdin (default 'd')",
        "merge into secret s using secret t on s.id = t.id when not matched then insert (owner) values (1)",
        "update secret set id = default",
        "insert into secret (id) values (1) on conflict (id) do update set id = default",
    ];
    let others = [
        "insert into secret (id, owner) values (1, 7)",
        "insert into secret (id) select 1",
        "copy secret (id) from stdin",
        "copy secret (id) from stdin (null 'd')",
        "copy secret from stdin",
        "update secret set owner = 7",
        "delete from secret",
    ];
    let all: Vec<&str> = drawing.iter().chain(&others).copied().collect();
    let filtered = "rows = \"id = 7\"";
    for (filtered, patients, secret, expected) in [
        (filtered, "rhh", "whole", others.as_slice()),
        (filtered, "rhh*", "whole", &all),
        // Which rows there are is seen, whatever they have.
        ("", "hhh", "whole", &all),
    ] {
        let made = Made { constraints: &[DRAWN], filtered, ..Made::default() };
        let seen = [("patients", patients), ("secret", secret)];
        assert_eq!(permitted(made, &seen, &all), expected, "{filtered} {seen:?}");
    }
    let made = Made { constraints: &[DRAWN], ..Made::default() };
    assert_eq!(permitted(made, &[("secret", "whole")], &all), others, "nobody said that it may be read");
    assert_eq!(permitted(Made { unclassified: true, ..made }, &[], &all), all);
    // A number that is hidden tells nothing.
    assert_eq!(permitted(made, &[("secret", "hrr")], &drawing[..2]), drawing[..2]);
}

#[test]
fn a_check_judges_no_value_beside_one_that_is_hidden_and_stays() {
    let check = ["c", "4", r#"["id","ssn"]"#, "0", "[]", "false"];
    let made = Made { constraints: &[check], ..Made::default() };
    // What is not there yet, or is given, is known.
    let mut expected = ALL.to_vec();
    expected.retain(|sql| *sql != UPDATE_ID);
    assert_eq!(permitted(made, &[("patients", "rhr")], &ALL), expected);
    assert_eq!(permitted(made, &[("patients", "rrh")], &ALL), ALL);
    let hidden_twice = Made { constraints: &[["c", "4", r#"["ssn","name"]"#, "0", "[]", "false"]], ..made };
    let expected = [INSERT, INSERT_SSN, UPDATE_ID, DELETE];
    assert_eq!(permitted(hidden_twice, &[("patients", "rhh")], &ALL), expected);
}

#[test]
fn what_is_generated_follows_no_hidden_value_that_stays() {
    let generated = Made { name: Some((1, r#"["id","ssn"]"#)), ..Made::default() };
    let mut expected = ALL.to_vec();
    expected.retain(|sql| *sql != UPDATE_ID);
    assert_eq!(permitted(generated, &[("patients", "rhh")], &ALL), expected);
    assert_eq!(permitted(generated, &[("patients", "rrh")], &ALL), ALL);
    // It is assigned with what it is generated from: a unique index over it would judge.
    let unique = ["u", "4", r#"["name"]"#, "0", "[]", "false"];
    let judged = Made { constraints: &[unique], ..generated };
    assert_eq!(permitted(judged, &[("patients", "rrh")], &ALL), [DELETE]);
    assert_eq!(permitted(judged, &[("patients", "rrr")], &ALL), ALL);
    // It follows nothing else; an INSERT always makes it.
    let of_ssn = Made { name: Some((1, r#"["ssn"]"#)), ..judged };
    assert_eq!(permitted(of_ssn, &[("patients", "rrh")], &ALL), [UPDATE_ID, DELETE]);
}

#[test]
fn code_of_a_type_is_not_run_by_a_write() {
    let code = Made { name: Some((4, "null")), ..Made::default() };
    let expected = [UPDATE_ID, UPDATE_SSN, UPDATE_BOTH, DELETE];
    assert_eq!(permitted(code, &[("patients", "rhr")], &ALL), expected);
    assert_eq!(permitted(code, &[("patients", "whole")], &ALL), expected);
}

#[test]
fn a_part_of_a_relation_judges_as_the_relation_does() {
    let in_part = |columns: &'static str| ["u", "10", columns, "0", "[]", "false"];
    let sent = |constraint: [&str; 6], seen: &[(&str, &str)]| {
        let made = Made { constraints: &[constraint], ..Made::default() };
        sent(made, seen, "insert into visits (kind) values ('x')")
    };
    let seen = [("visits", "rh"), ("visits_2026", "rh")];
    assert!(sent(in_part(r#"["kind"]"#), &seen).is_err());
    assert!(sent(in_part(r#"["id"]"#), &seen).is_ok());
    // Which partition takes a row depends on its key.
    let key = |columns: &'static str| ["k", "9", columns, "0", "[]", "false"];
    assert!(sent(key(r#"["kind"]"#), &seen).is_err());
    assert!(sent(key(r#"["id"]"#), &seen).is_ok());
    assert!(sent(key(r#"["kind"]"#), &[("visits", "rr"), ("visits_2026", "rr")]).is_ok());
}

/// What is left out of an INSERT is NULL, and that may be a value like others: by an expression, a predicate, or NULLS NOT
/// DISTINCT.
#[test]
fn a_null_that_is_hidden_may_meet_others() {
    let made = Made { constraints: &[["u", "4", r#"["ssn"]"#, "0", "[]", "true"]], ..Made::default() };
    let expected = [UPDATE_ID, UPDATE_NAME, DELETE];
    assert_eq!(permitted(made, &[("patients", "rhr")], &ALL), expected);
    assert_eq!(permitted(made, &[("patients", "rrh")], &ALL), ALL);
    let seen = [("patients", "rhr"), ("secret", "whole")];
    for sql in [
        "insert into patients (id) values (1) on conflict do nothing",
        "copy patients (id) from stdin",
        "merge into patients p using secret s on p.id = s.id when not matched then insert (id) values (1)",
    ] {
        assert!(sent(made, &seen, sql).is_err(), "{sql}");
    }
}

#[test]
fn what_a_row_may_violate_already_judges_every_update() {
    let made = Made { constraints: &[["a", "4", r#"["ssn"]"#, "0", "[]", "false"]], ..Made::default() };
    let expected = [INSERT, INSERT_SSN, UPDATE_SSN, UPDATE_BOTH, DELETE];
    assert_eq!(permitted(made, &[("patients", "rhr")], &ALL), expected);
    assert_eq!(permitted(made, &[("patients", "rrh")], &ALL), ALL);
    let upsert = "insert into patients (id) values (1) on conflict (id) do update set name = 'x'";
    assert!(sent(made, &[("patients", "rhr")], upsert).is_err());
    assert!(sent(made, &[("patients", "rrr")], upsert).is_ok());
}

#[test]
fn an_index_fails_at_no_hidden_value_that_stays() {
    let index = |by: &'static str| ["i", "4", r#"["name","ssn"]"#, "4", by, "false"];
    for (by, seen, refused) in [
        (r#"["name"]"#, "rhr", vec![UPDATE_NAME]),
        (r#"["ssn"]"#, "rhr", vec![]),
        (r#"["name","ssn"]"#, "rrh", vec![UPDATE_SSN, UPDATE_BOTH]),
        (r#"["name","ssn"]"#, "hrr", vec![]),
    ] {
        let made = Made { constraints: &[index(by)], ..Made::default() };
        let mut expected = ALL.to_vec();
        expected.retain(|sql| !refused.contains(sql));
        assert_eq!(permitted(made, &[("patients", seen)], &ALL), expected, "{by} {seen}");
    }
}

/// Whoever sees all of the parent does not see all of its child.
#[test]
fn a_child_judges_by_what_is_hidden_of_the_child() {
    let check = ["c", "5", r#"["id","ssn"]"#, "0", "[]", "false"];
    let unique = ["u", "5", r#"["id","owner"]"#, "0", "[]", "true"];
    let still = [INSERT, INSERT_SSN, UPDATE_SSN, UPDATE_BOTH, UPDATE_NAME, DELETE];
    for (constraint, secret, expected) in [
        (check, "rrh", still.as_slice()),
        (check, "rhr", &ALL),
        (check, "whole", &ALL),
        (unique, "rhr", &[INSERT, INSERT_SSN, UPDATE_SSN, UPDATE_NAME, DELETE]),
        (unique, "rrh", &ALL),
    ] {
        let made = Made { constraints: &[constraint], inherits: true, ..Made::default() };
        let seen = [("patients", "whole"), ("secret", secret)];
        assert_eq!(permitted(made, &seen, &ALL), expected, "{constraint:?} {secret}");
        // Nobody said what is seen of the child: nothing.
        assert_ne!(permitted(made, &[("patients", "whole")], &ALL), ALL);
    }
}

#[test]
fn a_row_comes_to_no_partition_that_judges_by_what_is_hidden() {
    const MOVE: &str = "update visits set kind = 'x'";
    const MOVE_WHOLE: &str = "update visits set kind = 'x', id = 1";
    const MERGE: &str =
        "merge into visits v using secret s on v.kind = s.ssn when matched then update set kind = 'x'";
    const STAY: &str = "update visits_2026 set kind = 'x'";
    const INSERT: &str = "insert into visits (kind) values ('x')";
    const BESIDE: &str = "update visits set id = 1";
    const TAKE: &str = "delete from visits";
    let all = [MOVE, MOVE_WHOLE, MERGE, STAY, INSERT, BESIDE, TAKE];
    let by_kind = ["k", "9", r#"["kind"]"#, "0", "[]", "false"];
    let own = |kind: &'static str| [kind, "10", r#"["id"]"#, "0", "[]", "false"];
    let points = |from: &'static str| ["f", from, r#"["id"]"#, "5", r#"["id"]"#, "false"];
    let pointed = ["f", "5", r#"["id"]"#, "10", r#"["id"]"#, "false"];
    for (constraints, expected) in [
        (vec![by_kind], all.as_slice()),
        (vec![by_kind, own("m")], &[MOVE_WHOLE, STAY, INSERT, BESIDE, TAKE]),
        // Partitioned itself, by what is hidden: nothing is read or written above it either.
        (vec![by_kind, own("k")], &[]),
        (vec![by_kind, own("u")], &[STAY, INSERT, TAKE]),
        (vec![by_kind, points("10")], &[STAY, INSERT, TAKE]),
        (vec![by_kind, points("9"), points("10")], &[MOVE, MERGE, STAY, INSERT, TAKE]),
        (vec![own("m")], &all),
        // What points to the partition that the row leaves.
        (vec![by_kind, pointed], &[STAY, INSERT]),
    ] {
        let made = Made { constraints: &constraints, ..Made::default() };
        let seen = [("visits", "hr"), ("visits_2026", "hr"), ("secret", "whole")];
        assert_eq!(permitted(made, &seen, &all), expected, "{constraints:?}");
        let whole = [("visits", "whole"), ("visits_2026", "whole"), ("secret", "whole")];
        assert_eq!(permitted(made, &whole, &all), all, "{constraints:?}");
    }
}

/// In which partition the row is that refers to another does not matter to a key of all of them.
#[test]
fn a_partitions_key_is_that_of_all_where_theirs_says_the_same() {
    const GONE: [&str; 1] = ["delete from secret"];
    let by_kind = ["k", "9", r#"["kind"]"#, "0", "[]", "false"];
    let points = |from: &'static str, to: &'static str| ["f", from, r#"["id"]"#, "5", to, "false"];
    let (id, owner) = (r#"["id"]"#, r#"["owner"]"#);
    for (above, permits) in [
        (None, false),
        (Some(points("9", id)), true),
        (Some(points("9", owner)), false),
        (Some(points("4", id)), false),
    ] {
        let constraints: Vec<_> = [by_kind, points("10", id)].into_iter().chain(above).collect();
        let made = Made { constraints: &constraints, ..Made::default() };
        let seen = [("visits", "rh"), ("visits_2026", "rh"), ("patients", "rrr"), ("secret", "whole")];
        assert_eq!(permitted(made, &seen, &GONE).is_empty(), !permits, "{above:?}");
    }
}

/// Where any mention of the target's row could mean what is hidden in it.
#[test]
fn a_write_mentions_nothing_of_its_target_that_is_hidden() {
    let made = Made::default();
    let seen = [("patients", "rhr"), ("secret", "whole")];
    for sql in [
        "update patients set id = 1 where ssn is null",
        "update patients p set id = 1 where p.ssn is null",
        "update patients p set id = 1 where (p.*) is null",
        "update patients p set id = 1 where p is null",
        // A star is the row, whatever its name.
        "update patients name set id = 1 where (name.*) is null",
        "update patients set id = 1 where patients is null",
        "update patients p set id = 1 where p.upper is null",
        "update patients p set id = 1 where p.xmin is null",
        "update patients set id = 1 where tableoid is null",
        "update patients set ssn[1] = 'x'",
        "update patients set id = 1 from secret where patients.id = secret.id returning *",
        "delete from patients using secret s where s.id = id and ssn is null",
        "delete from patients where exists (select from secret s where s.id = 1 and patients.ssn is null)",
        "delete from patients where exists (with c as (select ssn) select from c)",
        "insert into patients (id) values (1) on conflict (ssn) do nothing",
        "insert into patients (id) values (1) on conflict (id) where ssn is null do nothing",
        "insert into patients (id) values (1) on conflict (id) do update set id = 2 where patients.ssn is null",
        "insert into patients (id) values (1) on conflict (id) do update set name = excluded.ssn",
        "insert into patients (id, ssn) values (1, default) on conflict (id) do update set name = excluded.ssn",
        "insert into patients (id, ssn) values (1, 'x'), (2, default) on conflict (id) do update set name = excluded.ssn",
        "insert into patients default values on conflict (id) do update set name = excluded.ssn",
        "insert into patients (id) values (1) on conflict (id) do update set name = excluded.upper",
        "insert into patients (id) values (1) returning upper(patients)",
        "merge into patients p using secret s on p.ssn = s.ssn when matched then delete",
        "merge into patients p using secret s on p.id = s.id when matched and p.ssn is null then delete",
        "merge into patients p using secret s on p.id = s.id when matched then update set name = p.ssn",
        "explain update patients set id = 1",
        "copy patients (id) from stdin where ssn is null",
    ] {
        assert!(sent(made, &seen, sql).is_err(), "{sql}: {:?}", sent(made, &seen, sql));
    }
    for sql in [
        "update patients p set id = 1 where p.name is null",
        // A column's name is a column.
        "update patients name set id = 1 where name is null",
        "update patients set name[1] = 'x'",
        "delete from patients using secret s where s.ssn is null and s.ctid is null and (s.*) is null and s is null",
        "delete from patients using secret s where s.upper is null",
        "insert into patients (id, ssn) values (1, 'x') on conflict (id) do update set ssn = excluded.ssn",
        "insert into patients (id, ssn) select 1, 'x' on conflict (id) do update set ssn = excluded.ssn",
        "copy patients (id) from stdin where id > 1",
    ] {
        assert!(sent(made, &seen, sql).is_ok(), "{sql}: {:?}", sent(made, &seen, sql));
    }
    // Whoever sees all of it may mention all of it.
    let whole = [("patients", "whole"), ("secret", "whole")];
    assert!(
        sent(made, &whole, "update patients p set id = 1 where (p.*) is null and p.ctid is null").is_ok()
    );
    assert!(sent(made, &whole, "explain update patients set id = 1").is_ok());
    let filtered = Made { filtered: "rows = \"id = 7\"", ..made };
    assert_eq!(permitted(filtered, &[("patients", "rhr")], &ALL), [""; 0]);
    assert_eq!(permitted(filtered, &[("patients", "rhr*")], &ALL), ALL);
    // What was decided is of another relation.
    assert_eq!(permitted(made, &[("patients", "rh")], &ALL), [""; 0]);
    assert_eq!(permitted(made, &[("secret", "whole")], &ALL), [""; 0]);
}

#[test]
fn what_is_returned_has_constants_in_it_and_the_names_that_it_would_have() {
    let returned = |seen: &str, sql: &str| {
        let sent = sent(Made::default(), &[("patients", seen), ("secret", "whole")], sql).unwrap();
        sent.split_once(" RETURNING ").unwrap().1.to_owned()
    };
    const NOTHING: &str = "NULL::pg_catalog.text";
    for (sql, expected) in [
        (
            "delete from patients returning *",
            format!("patients.id AS id, {NOTHING} AS ssn, patients.name AS name"),
        ),
        (
            "delete from patients p returning p.*, 1",
            format!("p.id AS id, {NOTHING} AS ssn, p.name AS name, 1"),
        ),
        ("delete from patients returning ssn as x, upper(ssn)", {
            format!("{NOTHING} AS x, pg_catalog.upper({NOTHING})")
        }),
        ("delete from patients p using secret s returning s.*, s.ssn, p.ssn", {
            format!("s.*, s.ssn AS ssn, {NOTHING} AS ssn")
        }),
    ] {
        assert_eq!(returned("rhr", sql), expected, "{sql}");
    }
    assert_eq!(returned("whole", "delete from patients returning *"), "*");
    assert_eq!(returned("rhm", "delete from patients returning name"), "'***'::pg_catalog.text AS name");
}

/// A credential may be for a part of a target without a classification.
#[test]
fn what_a_credential_leaves_out_is_hidden_without_a_classification_too() {
    let made = Made { unclassified: true, ..Made::default() };
    let seen = [("patients", "rhr")];
    let read = sent(made, &seen, "select ssn from patients").unwrap();
    assert!(read.contains("NULL::pg_catalog.text AS ssn"), "{read}");
    assert!(sent(made, &seen, "update patients set id = 1 where ssn is null").is_err());
    assert!(sent(made, &[("patients", "whole")], "update patients set id = 1 where ssn is null").is_ok());
}

/// How what a constraint compares with is seen decides what may be assigned, but nothing is done to it.
#[test]
fn what_a_constraint_compares_with_is_decided_about_where_something_is_written() {
    let touched = |unclassified: bool, sql: &str| {
        let catalog = Arc::new(target(Made { constraints: &[FOREIGN], unclassified, ..Made::default() }));
        let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
        let analysis = crate::analyse::analyse(&Arc::from(sql), &path, &Arc::from([]), &catalog);
        let touches = analysis.members.iter().flat_map(|member| &member.touches);
        touches.map(|touch| touch.relation.name.to_string()).collect::<Vec<_>>()
    };
    const WRITE: &str = "insert into secret (owner) values (7)";
    assert_eq!(touched(false, WRITE), ["patients", "secret"]);
    assert_eq!(touched(false, DELETE), ["patients", "secret"]);
    // A credential may hide the columns of a key without a classification, too.
    assert_eq!(touched(true, WRITE), ["patients", "secret"]);
    let made = Made { constraints: &[FOREIGN], unclassified: true, ..Made::default() };
    assert!(sent(made, &[("patients", "hrr"), ("secret", "whole")], WRITE).is_err());
    assert!(sent(made, &[("patients", "rhr"), ("secret", "whole")], WRITE).is_ok());
    assert!(
        sent(made, &[("secret", "whole")], WRITE).is_ok(),
        "who may not read it has no column of it hidden"
    );
    assert_eq!(touched(false, "select owner from secret"), ["secret"]);
}

#[test]
fn a_refusal_says_what_of_the_target_is_read() {
    let said = |made: Made<'_>, seen: &str, sql: &str| {
        let refusal = sent(made, &[("patients", seen), ("secret", "whole")], sql).unwrap_err();
        refusal.message
    };
    let coded = Made { name: Some((4, "null")), ..Made::default() };
    const WHOLE: &str = "update patients p set id = 1 where p is null";
    assert!(said(Made::default(), "rhr", WHOLE).contains("of which you see a part"));
    assert!(said(coded, "whole", WHOLE).contains("tells more than its columns do"));
    let place = said(Made::default(), "rhr", "update patients p set id = 1 where p.ctid is null");
    assert!(place.contains("reads `ctid`"), "{place}");
    let pointing = Made { constraints: &[FOREIGN], ..Made::default() };
    let key = said(pointing, "hrr", "insert into secret (owner) values (7)");
    assert!(key.contains("a foreign key to or from columns, which you do not see"), "{key}");
}

#[test]
fn what_is_seen_of_a_target_is_returned_and_copied_beside_what_is_not() {
    let sent = |made: Made<'_>, sql: &str| sent(made, &[("patients", "rhr")], sql).unwrap();
    let coded = Made { name: Some((4, "null")), ..Made::default() };
    let returned = sent(coded, "update patients set id = 1 returning id, name");
    assert!(returned.ends_with(" RETURNING id, name::pg_catalog.text AS name"), "{returned}");
    let generated = Made { name: Some((1, r#"["id"]"#)), ..Made::default() };
    for (sql, columns) in [
        ("copy patients to stdout", "id, NULL::pg_catalog.text AS ssn"),
        ("copy patients (name) to stdout", "name"),
    ] {
        let copied = sent(generated, sql);
        assert!(copied.starts_with(&format!("COPY (SELECT {columns} FROM ONLY public.patients")), "{copied}");
    }
}

/// Nothing in FROM sees the row that is written: its names are those of what is read there.
#[test]
fn what_is_read_beside_the_target_names_nothing_of_it() {
    let written = |sql: &str| sent(Made::default(), &[("patients", "rhr"), ("secret", "whole")], sql);
    for sql in [
        "update patients p set id = 1 from (select id, ssn from patients) s where s.id = p.id",
        "delete from patients p using (select ssn from patients) s where s.ssn = 'x'",
        "merge into patients p using (select id, ssn from patients) s on s.id = p.id when matched then update set id = s.id",
    ] {
        let sent = written(sql).unwrap();
        assert!(sent.contains("NULL::pg_catalog.text AS ssn"), "{sent}");
    }
    for sql in [
        "update patients p set id = 1 from (select id from patients) s where p.ssn = 'x'",
        "delete from patients p using secret s where p.ssn = 'x'",
        "merge into patients p using secret s on p.ssn = 'x' when matched then delete",
    ] {
        assert!(written(sql).is_err(), "{sql}");
    }
}
