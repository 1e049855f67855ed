//! What a write assigns, and where it is seen afterwards.

use super::names::assert_uses;
use super::*;

#[test]
fn returning_shows_what_was_given_to_a_column() {
    assert_uses(&[
        (
            "insert into acts (id, what) select id, note from patients returning what",
            &["acts.id written", "acts.what shown written", "patients.id", "patients.note shown"],
        ),
        (
            "update acts set what = p.note from patients p where p.id = 1 returning what",
            &["acts.what shown written", "patients.id", "patients.note shown"],
        ),
        // What it was not given to shows nothing of it.
        (
            "update acts set what = p.note from patients p returning acts.id",
            &["acts.id shown", "acts.what written", "patients.note"],
        ),
        (
            "with w as (update acts set what = p.note from patients p returning what) select what from w",
            &["acts.what shown written", "patients.note shown"],
        ),
        // Subscripts are the bounds of what is stored.
        (
            "insert into acts (what[(select id from patients)]) values ('x') returning what",
            &["acts.what shown written", "patients.id shown"],
        ),
        (
            "update acts set what[(select id from patients)] = 'x' returning what",
            &["acts.what shown written", "patients.id shown"],
        ),
    ]);
}

#[test]
fn free_text_is_found_in_what_it_was_assigned_to() {
    for (sql, expected) in [
        ("insert into acts (id, what) select id, note from patients returning id", FreeText::None),
        (
            "insert into acts (id, what) select id, note from patients returning id + 1, upper(what)",
            at(&[1], 2),
        ),
        ("insert into acts (what, id) select note, id from patients returning id, what", at(&[1], 2)),
        // `loud` is generated from `what`.
        ("insert into acts select id, note from patients returning *", at(&[1, 3], 4)),
        ("insert into acts values (1, (select max(note) from patients)) returning id, what", at(&[1], 2)),
        (
            "insert into acts values (1, 'x'), (1, (select max(note) from patients)) returning what",
            at(&[0], 1),
        ),
        ("insert into acts (id, what) table patients returning acts", at(&[0], 1)),
        ("insert into acts as a (id, what) table patients returning 1, a.*", at(&[2, 4], 5)),
        ("insert into acts (id, what) table patients returning (select max(what) from secret)", at(&[0], 1)),
        ("update acts set more = 'x', what = p.note from patients p returning more, loud", at(&[1], 2)),
        ("update acts set (id, what) = (select id, note from patients) returning more, what", at(&[1], 2)),
        // Another column of the view is made of the same one.
        ("update twice set one = p.note from patients p returning two", at(&[0], 1)),
        // In a table of the session's own any column may be meant.
        ("insert into kept (x) select note from patients returning x", at(&[0], 1)),
        ("update kept set x = p.note from patients p returning kept.y", at(&[0], 1)),
        // Before and after.
        ("update acts set what = p.note from patients p returning new.what, new.id", at(&[0], 2)),
        ("update acts set what = p.note from patients p returning old.what", at(&[0], 1)),
        ("update acts set what = p.note from patients p returning new.*", at(&[1, 3], 4)),
        ("update acts set what = p.note from patients p returning with (new as n) n.*", at(&[1, 3], 4)),
        // Where a value goes is not known.
        ("insert into acts (id) select 1, note from patients returning what", at(&[0], 1)),
        ("insert into acts (id, what) select (p).* from patients p returning what", except(&[])),
        ("insert into acts values ((select p from patients p).*) returning what", except(&[])),
        ("insert into acts select * from patients natural join secret returning more", except(&[])),
    ] {
        assert_eq!(free_text(sql), expected, "{sql}");
    }
}

#[test]
fn each_way_of_a_row_gives_it_something() {
    for (sql, expected) in [
        (
            "insert into acts (id, more) table patients on conflict (id) do update set what = excluded.more \
             returning id, what",
            at(&[1], 2),
        ),
        (
            "insert into acts (id, what) table patients on conflict (id) do update set what = 'x' \
             returning id, what",
            at(&[1], 2),
        ),
        (
            "insert into acts (id) values (1) on conflict (id) do update set what = (select max(note) \
             from patients) returning id, what",
            at(&[1], 2),
        ),
        (
            "merge into acts a using patients p on p.id = a.id when matched and p.note = 'x' \
             then update set more = 'x' returning a.what, more",
            FreeText::None,
        ),
        (
            "merge into acts a using patients p on p.id = a.id when matched then update set what = note \
             when matched then update set what = 'x' returning a.id, what",
            at(&[1], 2),
        ),
        (
            "merge into acts a using patients p on p.id = a.id when not matched \
             then insert (what, id) values (p.note, p.id) returning a.id, what",
            at(&[1], 2),
        ),
        (
            "merge into acts a using patients p on p.id = a.id when not matched \
             then insert values (p.id, p.note) returning a.id, what",
            at(&[1], 2),
        ),
        (
            "merge into acts a using patients p on p.id = a.id when not matched \
             then insert values (p.*) returning what",
            at(&[0], 1),
        ),
    ] {
        assert_eq!(free_text(sql), expected, "{sql}");
    }
}

#[test]
fn whatever_is_stored_in_a_table_of_the_sessions_own_is_as_good_as_seen() {
    for (sql, expected) in [
        ("update kept set x = p.note from patients p", &["patients.note shown"][..]),
        ("update pg_temp.kept set (x, y) = (select 1, p.note from patients p)", &["patients.note shown"]),
        (
            "insert into kept values (1) on conflict (x) do update set y = (select max(note) from patients)",
            &["patients.note shown"],
        ),
        (
            "merge into kept k using patients p on p.id = k.id when matched then update set x = p.note",
            &["patients.id", "patients.note shown"],
        ),
        (
            "merge into kept k using patients p on p.id = k.id when not matched then insert values (p.note)",
            &["patients.id", "patients.note shown"],
        ),
        (
            "merge into kept k using patients p on p.id = k.id when not matched \
             then insert (x) values (upper(p.note))",
            &["patients.id", "patients.note shown"],
        ),
        ("with w as (update kept set x = p.note from patients p) select 1", &["patients.note shown"]),
        ("insert into kept (x[(select max(note)::int from patients)]) values (1)", &["patients.note shown"]),
    ] {
        assert_eq!(uses(sql), expected, "{sql}");
        assert_eq!(free_text(sql), except(&[]), "{sql}");
    }
    // What only decides which rows there are stays where it is, and so does what a stored relation is given.
    for (sql, expected) in [
        ("update kept set x = 1 from patients p where p.note = 'x'", &["patients.note"][..]),
        ("delete from kept using patients p where p.note = kept.x", &["patients.note"]),
        ("update acts set what = p.note from patients p", &["acts.what written", "patients.note"]),
        ("update public.shadowed set id = p.id from patients p", &["patients.id", "shadowed.id written"]),
    ] {
        assert_eq!(uses(sql), expected, "{sql}");
        assert_eq!(free_text(sql), FreeText::None, "{sql}");
    }
}

#[test]
fn a_subject_is_told_where_it_is_all_that_a_column_was_given() {
    for (sql, expected) in [
        ("insert into acts (id, what) select id, label from secret returning id, what", Some(1)),
        ("insert into acts (id, what) table secret on conflict do nothing returning what", Some(0)),
        ("update acts set what = s.label from secret s returning acts.id, what", Some(1)),
        ("insert into acts (id, what) select id, upper(label) from secret returning what", None),
        ("update acts set what[1] = s.label from secret s returning what", None),
        ("insert into acts (what[1]) select label from secret returning what", None),
        ("insert into acts select * from secret natural join patients returning what", None),
        // It was given something else besides.
        ("update acts set what = s.label, what = s.label from secret s returning what", Some(0)),
        ("update acts set what = s.label, what = upper(s.label) from secret s returning what", None),
        // Another row has something else there.
        (
            "insert into acts (id, what) table secret on conflict (id) do update set more = 'x' returning what",
            None,
        ),
        (
            "merge into acts a using secret s on s.id = a.id when matched then update set what = s.label \
             when matched then do nothing returning what",
            None,
        ),
        // Its own column tells of it whatever it was given.
        ("update secret set label = p.note from patients p returning label", Some(0)),
        ("update secret set label = o.label from public.shadowed o returning secret.label", Some(0)),
        ("update secret set label = upper(label) returning secret.id, label", Some(1)),
        ("update secret set label = 'x' returning new.id, new.label", Some(1)),
    ] {
        let at = |place: u16| -> Subjects {
            let one = (place, RelationName::new("public", "secret"), Arc::from("label"));
            Subjects::At([one].into_iter().collect())
        };
        assert_eq!(traced(sql).subjects, expected.map_or(Subjects::OutOfReach, at), "{sql}");
    }
}

/// Each name is the whole row once more.
#[test]
fn names_of_a_row_that_are_too_many_are_not_followed() {
    let told = |names: usize| {
        let names = vec!["new as n"; names].join(", ");
        let set = "update acts set (id, what, more) = (select p.id, note, label from patients p, secret)";
        traced(&format!("{set} returning with ({names}) n.id")).results.is_some()
    };
    assert!(told(10) && !told(60_000));
}
