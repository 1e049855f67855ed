mod names;
mod writes;

use super::*;
use crate::analyse::analyse;
use crate::analyse::tests::results;
use crate::classification::Classification;

const CLASSIFIED: &str = r#"
[relations."public.patients".columns]
id = { clear = true }
note = { tags = ["clinical.note"], scan = true }
[relations."public.secret".columns]
id = { clear = true }
label = { clear = true, subject = true }
[relations."public.shadowed".columns]
label = { clear = true, subject = true }
"#;

fn free_text(sql: &str) -> FreeText {
    traced(sql).free_text
}

fn traced(sql: &str) -> chaperone_access::Member {
    let columns = |oid: &str, columns: &str| vec![Some(oid.to_owned()), Some(columns.to_owned())];
    let mut results = results();
    results[4] = vec![
        columns("4", r#"[["id","integer",0,null,null],["note","text",0,null,null]]"#),
        columns("5", r#"[["id","integer",0,null,null],["label","text",0,null,null]]"#),
        columns("7", r#"[["id","integer",0,null,null],["said","text",0,null,null]]"#),
        columns("8", r#"[["id","integer",0,null,null]]"#),
        columns("30", r#"[["id","integer",0,null,null],["label","text",0,null,null]]"#),
        columns(
            "31",
            r#"[["id","integer",0,null,null],["what","text",0,null,null],["more","text",0,null,null],
                ["loud","text",1,null,["what"]]]"#,
        ),
        columns("32", r#"[["one","text",0,null,null],["two","text",0,null,null]]"#),
    ];
    let cells = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    for (name, kind, oid) in [("shadowed", "r", "30"), ("acts", "r", "31"), ("twice", "v", "32")] {
        results[3].push(cells(&["public", name, kind, "false", oid, ""]));
    }
    results[5] =
        vec![["f", "5", "[\"id\"]", "4", "[\"id\"]", "false"].map(|cell| Some(cell.to_owned())).to_vec()];
    results[12] = vec![
        cells(&["7", "SELECT p.id, p.note AS said FROM public.patients p"]),
        cells(&["8", "SELECT s.id FROM public.secret s WHERE s.label = 'x'"]),
        cells(&["32", "SELECT a.more AS one, upper(a.more) AS two FROM public.acts a"]),
    ];
    let classification = Classification::load("t.toml", CLASSIFIED, &[].into()).unwrap();
    let catalog = Arc::new(Catalog::build(1, &results, Some(&Arc::new(classification))).unwrap());
    let text: Arc<str> = Arc::from(sql);
    let temporary: Arc<[Arc<str>]> = Arc::from([Arc::from("kept"), Arc::from("shadowed")]);
    // Trees are dropped on the same deep stack.
    std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(move || {
            let analysis = analyse(&text, &Arc::from([Arc::from("public")]), &temporary, &catalog);
            analysis.members.last().unwrap().clone()
        })
        .unwrap()
        .join()
        .unwrap()
}

fn at(places: &[u16], of: usize) -> FreeText {
    FreeText::At { at: Arc::from(places), of }
}

#[test]
fn a_subject_is_found_where_it_stands_or_not_at_all() {
    for (sql, expected) in [
        ("select * from secret", Some(&[1][..])),
        ("select label, * from secret", Some(&[0, 2])),
        ("select s.*, t.* from (select id from patients) s, secret t", Some(&[2])),
        ("select t.label, s.* from (select * from patients join secret using (id)) s, secret t", Some(&[0])),
        // A merged column is one, however deep it was merged.
        ("select s.*, t.* from (select * from patients join secret using (id)) s, secret t", None),
        ("select s.*, t.label from (select * from patients natural join secret) s, secret t", None),
        (
            "with s as (select * from patients join secret using (id)) select s.*, t.label from s, secret t",
            None,
        ),
        (
            "select * from (select s.*, 1 from (select * from patients join secret using (id)) s) x, secret t",
            None,
        ),
        ("delete from patients p using patients q join secret r using (id) returning *, r.label", None),
        ("delete from patients p using secret r returning p.*, r.label", Some(&[2])),
    ] {
        let at = |places: &[u16]| -> Subjects {
            let one = |place: &u16| (*place, RelationName::new("public", "secret"), Arc::from("label"));
            Subjects::At(places.iter().map(one).collect())
        };
        assert_eq!(traced(sql).subjects, expected.map_or(Subjects::OutOfReach, at), "{sql}");
    }
}

#[test]
fn a_relation_without_a_subject_has_none() {
    assert_eq!(traced("select id, note from patients").subjects, Subjects::None);
    assert_eq!(traced("select id from secret").subjects, Subjects::OutOfReach);
}

fn except(names: &[&str]) -> FreeText {
    FreeText::Except(names.iter().map(|name| Arc::from(*name)).collect())
}

#[test]
fn free_text_is_followed_to_where_it_comes_out() {
    for (sql, expected) in [
        ("select id from patients", FreeText::None),
        ("select count(*) from patients where note like '%x%'", FreeText::None),
        ("select * from secret", FreeText::None),
        ("select id, note from patients", at(&[1], 2)),
        ("select * from patients", at(&[1], 2)),
        ("select upper(note), id, note || label from patients, secret", at(&[0, 2], 3)),
        ("select p from patients p", at(&[0], 1)),
        ("with w(x) as (select note from patients) select 1, x from w", at(&[1], 2)),
        ("select (select max(note) from patients)", at(&[0], 1)),
        ("select label from secret union select note from patients", at(&[0], 1)),
        ("select said from peek", at(&[0], 1)),
        ("update patients set id = 1 returning note, id", at(&[0], 2)),
        // Its columns are not where the tree has them.
        ("select label, * from patients join secret using (id)", except(&["id", "label"])),
        ("select label as note, * from patients join secret using (id)", except(&["id", "label"])),
        ("select upper(note), * from patients join secret using (id)", except(&[])),
        ("select label, (p).* from patients p, secret", except(&[])),
        // Nor is it known what the other query's columns meet there.
        ("select (s).* from secret s union all select id, note from patients", except(&[])),
        ("select id, note from patients union all select (s).* from secret s", except(&[])),
        (
            "select * from secret natural join (values (1)) v(id) union all select id, note from patients",
            except(&[]),
        ),
        ("select (s).* from secret s union all select id, label from secret", FreeText::None),
        // It stays, in a table of the session's own.
        ("create temp table x as select note from patients", except(&[])),
        ("select note into temp x from patients", except(&[])),
        ("insert into kept select note from patients", except(&[])),
        ("explain select note from patients", FreeText::None),
        (
            "with recursive r(x) as (select note from patients union all select x from r) select 1, x from r",
            at(&[1], 2),
        ),
        // What has no name and is free of it says nothing of the others.
        ("select 1, label, * from patients join secret using (id)", except(&["id", "label"])),
        // A name that is not known may be anything.
        ("select nothing, note from patients", except(&[])),
    ] {
        assert_eq!(free_text(sql), expected, "{sql}");
    }
}

#[test]
fn copied_lines_have_their_fields_in_the_statements_order() {
    let copied = |places: &[u16], form| FreeText::Copied { at: Arc::from(places), form };
    for (sql, expected) in [
        ("copy patients to stdout", copied(&[1], CopyForm::Text)),
        ("copy patients (note, id) to stdout (format csv, header)", copied(&[0], CopyForm::Csv)),
        ("copy patients to stdout csv header", copied(&[1], CopyForm::Csv)),
        ("copy (select 1, note from patients) to stdout (null 'x')", copied(&[1], CopyForm::Text)),
        ("copy patients to stdout (format binary)", copied(&[1], CopyForm::Other)),
        ("copy patients to stdout (format csv, delimiter ';')", copied(&[1], CopyForm::Other)),
        ("copy (select * from patients join secret using (id)) to stdout", copied(&[], CopyForm::Other)),
        ("copy (select nothing, note from patients) to stdout", copied(&[], CopyForm::Other)),
        // What a table of the session's own keeps, its session knows.
        ("copy kept to stdout csv", copied(&[], CopyForm::Csv)),
        ("copy patients (id) to stdout", FreeText::None),
        ("copy patients from stdin", FreeText::None),
    ] {
        assert_eq!(free_text(sql), expected, "{sql}");
    }
}

/// The columns that a statement uses, with what it does to them.
fn uses(sql: &str) -> Vec<String> {
    let told = |used: &ColumnUse| {
        let flags = [(used.disclosed, " shown"), (used.written, " written")];
        let flags: String = flags.into_iter().filter(|(set, _)| *set).map(|(_, word)| word).collect();
        format!("{}.{}{flags}", used.relation.name, used.column)
    };
    traced(sql).uses.iter().map(told).collect()
}

#[test]
fn where_a_name_is_not_known_every_column_of_what_is_touched_may_be_meant() {
    for (sql, expected) in [
        ("select id from patients", &["patients.id shown"][..]),
        ("select nothing from patients", &["patients.id shown", "patients.note shown"]),
        (
            "update patients set id = 1 where nothing = 2",
            &["patients.id shown written", "patients.note shown written"],
        ),
        // What a constraint compares with is not touched.
        ("insert into secret (id) select nothing", &["secret.id written", "secret.label written"]),
        (
            "insert into patients (id) select nothing from secret",
            &["patients.id written", "patients.note written", "secret.id shown", "secret.label shown"],
        ),
        // Without RECURSIVE a name is not its own.
        (
            "with patients as (select id from secret union all select id from patients) select id from patients",
            &["patients.id shown", "secret.id shown"],
        ),
    ] {
        assert_eq!(uses(sql), expected, "{sql}");
    }
}

#[test]
fn results_are_told_where_their_places_are_known() {
    let nested = |depth: usize| {
        let inner = (0..depth)
            .fold("select id from patients".to_owned(), |sql, _| format!("select * from ({sql}) x"));
        traced(&inner).results.is_some()
    };
    assert!(nested(DEPTH_MAX - 1) && !nested(DEPTH_MAX));
    for (sql, told) in [
        ("select id from patients", true),
        ("select label, * from patients join secret using (id)", false),
        ("select nothing from patients", false),
    ] {
        assert_eq!(traced(sql).results.is_some(), told, "{sql}");
    }
}

#[test]
fn whoever_counts_rows_learns_about_their_subjects_and_whoever_adds_one_does_not() {
    assert_eq!(traced("select count(*) from secret").subjects, Subjects::OutOfReach);
    assert_eq!(traced("insert into secret default values").subjects, Subjects::None);
}

/// Each level doubles what there is, in a text that is no longer for it.
#[test]
fn columns_that_are_too_many_are_not_followed() {
    let doubled = |levels: usize| {
        let inner = (0..levels)
            .fold("select id from patients".to_owned(), |inner, _| format!("select *, * from ({inner}) q"));
        traced(&inner)
    };
    assert_eq!(doubled(4).results.unwrap().len(), 16);
    let many = doubled(22);
    assert!(many.results.is_none());
    assert!(many.uses.iter().any(|used| &*used.column == "note"), "in doubt all are used");
    let first = |levels: usize| {
        let inner = (0..levels).fold("select id from patients".to_owned(), |inner, _| {
            format!("with recursive r(id) as (({inner}) union select r.id from r) select r.id from r")
        });
        traced(&inner)
    };
    let all_used = |levels| first(levels).uses.iter().any(|used| &*used.column == "note");
    assert_eq!((all_used(3), all_used(23)), (false, true));
}
