use chaperone_access::{RefusalCode, Showing};

use crate::rewrite::BarrierView;
use crate::rewrite::tests::{FILTERED, Role, patients, sent_under, told, view, with_floor, with_floor_over};

const R: Showing = Showing::Revealed;
const M: Showing = Showing::Masked;
const H: Showing = Showing::Hidden;

/// Where what is sent for `select id, ssn` reads the patients.
fn read_from(rules: &str, made: ([Showing; 2], bool), sees: ([Showing; 2], bool), under: Role<'_>) -> String {
    let made = view(rules, &made.0, made.1);
    let catalog = with_floor(rules, std::slice::from_ref(&made));
    let sql = "select id, ssn from patients";
    match sent_under(&catalog, (&sees.0, sees.1), under, sql) {
        Ok(sent) => sent.replace(&made.name, "VIEW").replace("SELECT id, ssn FROM ", ""),
        Err(refusal) if refusal.code == RefusalCode::TargetUnavailable => "not told".to_owned(),
        Err(refusal) => panic!("{refusal}"),
    }
}

#[test]
fn a_view_stands_for_as_much_as_it_shows_and_not_for_more() {
    let rules = FILTERED.replace("rows = \"id = any(caller.clinics::integer[]) or caller.level > 3\"", "");
    let less = |ssn: &str| format!("(SELECT t.id AS id, {ssn} AS ssn FROM chaperone_floor.VIEW t) patients");
    const NOTHING: &str = "NULL::pg_catalog.text";
    for (shows, sees, expected) in
        [(R, R, None), (R, H, Some(less(NOTHING))), (M, M, None), (M, H, Some(less(NOTHING))), (H, H, None)]
    {
        for all_rows in [true, false] {
            let from = read_from(&rules, ([R, shows], false), ([R, sees], all_rows), Some(("clerk", None)));
            let through = "chaperone_floor.VIEW patients".to_owned();
            assert_eq!(from, expected.clone().unwrap_or(through), "{shows:?} {sees:?}");
        }
    }
    let masked = read_from(&rules, ([R, R], false), ([R, M], true), Some(("clerk", None)));
    assert!(
        masked.contains("CASE WHEN pg_catalog.length(t.ssn")
            && masked.contains("FROM chaperone_floor.VIEW t")
    );
    for (shows, sees) in [(M, R), (H, R), (H, M)] {
        let from = read_from(&rules, ([R, shows], false), ([R, sees], true), Some(("clerk", None)));
        assert!(from.contains("public.patients") && !from.contains("VIEW"), "{shows:?} {sees:?}: {from}");
    }
}

#[test]
fn a_filter_stands_in_the_view_or_where_its_columns_are_shown() {
    let not_told: Role<'_> = Some(("clerk", None));
    let said = told();
    let all_told: Role<'_> = Some(("clerk", Some(&said)));
    let through = "chaperone_floor.VIEW patients";
    let from = |made, sees, under| read_from(FILTERED, (made, true), (sees, false), under);
    assert_eq!(from([R, H], [R, H], all_told), through);
    assert_eq!(from([R, H], [R, H], not_told), "not told");
    // Less than it shows, of the same rows.
    let less = "(SELECT NULL::int AS id, NULL::pg_catalog.text AS ssn FROM chaperone_floor.VIEW t) patients";
    assert_eq!(from([R, H], [H, H], all_told), less);
    assert_eq!(from([R, H], [H, H], not_told), "not told");
    // All rows are not had through a view of some.
    let all = read_from(FILTERED, ([R, H], true), ([R, H], true), all_told);
    assert!(all.ends_with("FROM public.patients patients"), "{all}");
    let less = read_from(FILTERED, ([R, R], false), ([R, H], true), not_told);
    assert!(less.contains("FROM chaperone_floor.VIEW t") && !less.contains("WHERE"), "{less}");
    // A view of all rows asks nothing of the caller.
    let all = read_from(FILTERED, ([R, H], false), ([R, H], true), not_told);
    assert_eq!(all, through);
    let some = read_from(FILTERED, ([R, H], false), ([R, H], false), not_told);
    assert!(some.contains("FROM chaperone_floor.VIEW t WHERE id OPERATOR(pg_catalog.=) ANY"), "{some}");
    assert!(some.ends_with("OFFSET 0) patients") && some.contains("COALESCE(t.id, t.id)"), "{some}");
    // The filter cannot be asked of a view that hides what it reads.
    let some = read_from(FILTERED, ([H, R], false), ([H, R], false), not_told);
    assert!(some.contains("FROM public.patients t WHERE"), "{some}");
}

#[test]
fn what_is_returned_under_a_view_is_a_constant_mask_or_nothing() {
    for (mask, expected) in [
        ("{ fixed = \"***\" }", "'***'::pg_catalog.text AS ssn"),
        ("\"first_letter\"", "NULL::pg_catalog.text AS ssn"),
    ] {
        let rules = FILTERED
            .replace("rows = \"id = any(caller.clinics::integer[]) or caller.level > 3\"", "")
            .replace("\"first_letter\"", mask);
        let made = view(&rules, &[R, M], false);
        let catalog = with_floor(&rules, std::slice::from_ref(&made));
        let under = |role| {
            sent_under(&catalog, (&[R, M], true), Some((role, None)), "delete from patients returning ssn")
        };
        assert!(under("clerk").unwrap().ends_with(expected), "{:?}", under("clerk"));
        // Another role reads the table itself.
        assert_eq!(under("other").unwrap().contains("CASE WHEN"), mask.contains("letter"));
    }
}

/// `char` without a length is `char(1)`, and that is how the writer writes `bpchar`.
#[test]
fn a_view_keeps_what_is_beyond_the_first_character() {
    let catalog = with_floor_over("bpchar", FILTERED, &[]);
    for (showing, expected) in [
        (H, "SELECT t.id AS id, pg_catalog.bpchar(NULL) AS ssn FROM public.patients t"),
        (M, "END) AS ssn FROM public.patients t"),
        (R, "SELECT t.id AS id, t.ssn AS ssn FROM public.patients t"),
    ] {
        let select = catalog.barrier(&patients(), &[R, showing], false).unwrap().select;
        assert!(select.ends_with(expected) && !select.contains("::char"), "{select}");
    }
}

#[test]
fn a_pseudonym_is_made_in_a_view_and_its_key_stands_in_no_statement() {
    let rules = FILTERED
        .replace("rows = \"id = any(caller.clinics::integer[]) or caller.level > 3\"", "")
        .replace("\"first_letter\"", "\"pseudonym\"");
    let made = view(&rules, &[R, M], false);
    let asks = |side| {
        format!("(SELECT k.{side} FROM chaperone_floor.key k)::pg_catalog.bytea OPERATOR(pg_catalog.||)")
    };
    let tag: String = "phi.ssn".bytes().map(|byte| format!("{byte:02x}")).collect();
    for part in [asks("outer_pad"), asks("inner_pad"), format!("x{tag}00'::pg_catalog.bytea")] {
        assert!(made.select.contains(&part), "{part}: {}", made.select);
    }
    assert!(made.reads.iter().any(|column| &**column == "ssn"), "{made:?}");
    let catalog = with_floor(&rules, std::slice::from_ref(&made));
    let sent = |sees: [Showing; 2], under, sql| sent_under(&catalog, (&sees, true), under, sql).unwrap();
    let through = sent([R, M], Some(("clerk", None)), "select ssn from patients");
    assert_eq!(through, format!("SELECT ssn FROM chaperone_floor.{} patients", made.name));
    for (sees, under, sql) in [
        ([R, M], None, "select ssn from patients"),
        ([R, M], Some(("other", None)), "select ssn from patients"),
        ([R, M], Some(("clerk", None)), "delete from patients returning ssn"),
        ([R, M], None, "delete from patients returning ssn"),
    ] {
        let sent = sent(sees, under, sql);
        assert!(sent.contains("NULL::pg_catalog.text AS ssn") && !sent.contains("key"), "{sent}");
    }
    // Over a view that shows the value.
    let catalog = with_floor(&rules, &[view(&rules, &[R, R], false)]);
    let less =
        sent_under(&catalog, (&[R, M], true), Some(("clerk", None)), "select ssn from patients").unwrap();
    assert!(
        less.contains("NULL::pg_catalog.text AS ssn") && less.contains("FROM chaperone_floor."),
        "{less}"
    );
}

#[test]
fn the_owner_of_a_view_reads_what_it_shows_and_filters_by_and_no_more() {
    let made = |rules: &str, showings: [Showing; 2], filtered| view(rules, &showings, filtered);
    let reads = |made: &BarrierView| made.reads.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let fixed = FILTERED.replace("\"first_letter\"", "{ fixed = \"***\" }");
    for (rules, showings, filtered, expected) in [
        (FILTERED, [R, R], false, "id ssn"),
        (FILTERED, [R, M], false, "id ssn"),
        (FILTERED, [R, H], false, "id"),
        (&fixed, [R, M], false, "id"),
        (FILTERED, [H, R], false, "ssn"),
        (FILTERED, [H, R], true, "id ssn"),
    ] {
        assert_eq!(reads(&made(rules, showings, filtered)), expected, "{showings:?} {filtered}");
    }
    // A filter that asks nothing of the caller stands whether or not the floor was told of him, beside other views.
    let rules = FILTERED.replace("id = any(caller.clinics::integer[]) or caller.level > 3", "id = 7");
    let views = [made(&rules, [R, R], true), made(&rules, [R, H], true)];
    assert!(views.iter().all(|made| !made.asks) && made(FILTERED, [R, H], true).asks);
    let catalog = with_floor(&rules, &views);
    for (view, sees) in views.iter().zip([[R, R], [R, H]]) {
        let sent =
            sent_under(&catalog, (&sees, false), Some(("clerk", None)), "select id from patients").unwrap();
        assert_eq!(sent, format!("SELECT id FROM chaperone_floor.{} patients", view.name));
    }
}
