//! What a name stands for, and what a write assigns to: a rule a line.

use super::*;

pub(super) fn assert_uses(cases: &[(&str, &[&str])]) {
    for (sql, expected) in cases {
        assert_eq!(uses(sql), *expected, "{sql}");
    }
}

#[test]
fn a_write_assigns_to_what_it_names_and_to_all_where_it_names_none() {
    const ALL: &[&str] = &["secret.id written", "secret.label written"];
    assert_uses(&[
        ("insert into secret values (1, 'x')", ALL),
        ("insert into secret (id) values (1)", &["secret.id written"]),
        ("update secret set id = 1", &["secret.id written"]),
        ("delete from secret", ALL),
        (
            "insert into secret (id) values (1) on conflict (id) do update set label = excluded.label",
            &["secret.id written", "secret.label written"],
        ),
        ("copy secret from stdin", ALL),
        ("copy secret (id) from stdin", &["secret.id written"]),
    ]);
    let merged = |then: &str| {
        let when = if then.starts_with("insert") { "not matched" } else { "matched" };
        uses(&format!("merge into secret s using kept on true when {when} then {then}"))
    };
    for (then, expected) in [
        ("delete", ALL),
        ("insert values (1, 'x')", ALL),
        ("insert (id) values (1)", &["secret.id written"]),
        ("update set label = 'x'", &["secret.label written"]),
        ("do nothing", &[]),
    ] {
        assert_eq!(merged(then), expected, "{then}");
    }
}

#[test]
fn what_is_kept_in_a_table_of_the_sessions_own_is_as_good_as_seen() {
    assert_uses(&[
        ("insert into kept select note from patients", &["patients.note shown"]),
        ("insert into pg_temp.kept select note from patients", &["patients.note shown"]),
        ("insert into secret (id) select id from patients", &["patients.id", "secret.id written"]),
        // Where it has the name of a stored relation, its schema says which is meant.
        ("insert into public.shadowed (id) select id from patients", &["patients.id", "shadowed.id written"]),
        ("insert into shadowed (id) select id from patients", &["patients.id shown"]),
    ]);
}

#[test]
fn a_name_is_looked_for_from_the_inside_out() {
    assert_uses(&[
        ("select (select p.note from secret s) from patients p", &["patients.note shown"]),
        (
            "select exists (select p.* from secret s) from patients p",
            &["patients.id shown", "patients.note shown"],
        ),
        (
            "select exists (select p.* from patients p) from secret p",
            &["patients.id shown", "patients.note shown"],
        ),
        // A column of nothing stored is one all the same.
        ("select x from (select 1 as x, note from patients) s", &["patients.note"]),
        ("select id as k from patients order by k", &["patients.id shown"]),
        ("select id from patients order by nothing", &["patients.id shown", "patients.note shown"]),
        ("select g from patients p, lateral generate_series(1, p.id) g", &["patients.id shown"]),
        // It may be a column of what is not known.
        ("select nothing from patients, generate_series(1, 2) g", &[]),
    ]);
}

#[test]
fn a_name_is_not_known_where_nothing_can_have_it() {
    for (sql, unknown) in [
        ("select id from patients", false),
        ("select nothing from patients", true),
        ("select nobody(id) from patients", true),
        ("select ctid from patients", false),
        // What has no name here may have this one.
        ("select nothing from (select upper('x')) s", false),
        ("select nothing from kept", false),
    ] {
        assert_eq!(traced(sql).names_unknown, unknown, "{sql}");
    }
}

#[test]
fn a_row_is_all_columns_of_what_has_the_name() {
    const ONE: &[&str] = &["patients.id shown", "patients.note shown"];
    assert_uses(&[
        ("select p from patients p, secret s", ONE),
        ("select row(p.*) from patients p, secret s", ONE),
        ("select row(note.*) from patients note", ONE),
    ]);
}

#[test]
fn a_relation_is_the_one_that_its_schema_and_the_query_say() {
    assert_uses(&[
        ("with patients as (select 1 as id) select id from public.patients", &["patients.id shown"]),
        ("with patients as (select 1 as id) select id from patients", &[]),
        (
            "with w as (select note from patients), v as (select label from secret) select w.note from w",
            &["patients.note shown", "secret.label"],
        ),
        ("with w as (select note from patients) select v.note from w v", &["patients.note shown"]),
        ("select x from kept, patients", &[]),
        ("select x from pg_temp.kept, patients", &[]),
        ("select shadowed.id from public.shadowed", &["shadowed.id shown"]),
        ("select shadowed.id from shadowed", &[]),
    ]);
    assert!(traced("select relname from pg_class").results.is_some());
}

#[test]
fn a_view_reads_what_it_selects_by_whatever_is_taken_of_it() {
    assert_uses(&[
        ("select id from peek", &["patients.id shown"]),
        ("select id from calling", &["secret.id shown", "secret.label"]),
        ("select 1 from calling", &["secret.label"]),
    ]);
}

#[test]
fn a_result_is_a_subject_where_it_is_nothing_else_on_any_side() {
    let at = |sql: &str| matches!(traced(sql).subjects, Subjects::At(_));
    assert!(at("select label from secret union select label from secret"));
    assert!(!at("select label from secret union select 'x'"));
    assert!(!at("select upper(label) from secret"));
}

#[test]
fn a_column_of_two_queries_is_one_of_theirs() {
    let column = |at: usize| (RelationName::new("public", format!("r{at}")), Arc::<str>::from("id"));
    let output =
        |of: std::ops::Range<usize>| vec![Output { plain: of.map(column).collect(), ..Output::default() }];
    for (left, right, both) in [
        (0..1, 0..1, 0..1),
        (0..1, 1..2, 0..2),
        (0..2, 1..3, 0..3),
        // One of them is no column's value.
        (0..1, 0..0, 0..0),
        (0..0, 0..1, 0..0),
        (0..15, 15..16, 0..16),
        // Too many to tell.
        (0..16, 16..17, 0..0),
    ] {
        let found = side_by_side(output(left.clone()), output(right.clone()));
        assert_eq!(found[0].plain, output(both)[0].plain, "{left:?} {right:?}");
    }
}

#[test]
fn places_are_known_but_where_columns_are_merged_or_a_row_is_taken_apart() {
    for (sql, told) in [
        ("select * from patients p join secret s on true", true),
        ("select * from patients p natural join secret s", false),
        ("select * from patients p join secret s using (id)", false),
        ("select (p).id from patients p", true),
        ("select (p).* from patients p", false),
        ("select nobody.* from patients", false),
        ("select * from kept", false),
    ] {
        assert_eq!(traced(sql).results.is_some(), told, "{sql}");
    }
}

#[test]
fn what_a_search_adds_is_made_of_what_it_goes_by() {
    let recursive = |added: &str, result: &str| {
        format!(
            "with recursive r(x, y) as (select id, note from patients union all select x, y from r) {added} \
             select {result} from r"
        )
    };
    for (added, result) in [
        ("search depth first by x set way", "way"),
        ("cycle x set looped using way", "looped"),
        ("cycle x set looped using way", "way"),
    ] {
        assert_eq!(
            uses(&recursive(added, result)),
            ["patients.id shown", "patients.note"],
            "{added} {result}"
        );
    }
}

/// Which columns a NATURAL JOIN compares, no word of it says.
#[test]
fn a_natural_join_reads_what_both_sides_have() {
    assert_uses(&[
        ("select 1 from patients natural join (values ('x')) v(note)", &["patients.note"]),
        ("select 1 from (values ('x')) v(note) natural left join patients", &["patients.note"]),
        ("select 1 from patients natural join secret", &["patients.id", "secret.id"]),
        ("select 1 from patients p natural join secret s(other)", &[]),
        ("select 1 from patients natural join kept", &["patients.id", "patients.note"]),
        ("select 1 from secret natural join (select upper('x')) u", &["secret.id", "secret.label"]),
        (
            "select 1 from (select upper(note) from patients) u natural join secret s(upper)",
            &["patients.note", "secret.id", "secret.label"],
        ),
        ("select 1 from patients join secret on true", &[]),
    ]);
}
