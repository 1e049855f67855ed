//! Which statements may stand for others that differ in numbers alone.

use super::*;
use crate::shape::{Shape, Shaped};

#[test]
fn a_number_that_touches_a_point_or_a_line_is_none_that_is_left_out() {
    for none in ["select 1_0", "select 1.5", "select 1e5", "select a1", "select a.b1"] {
        assert_eq!(Shape::of(none), None, "{none}");
    }
    assert!(Shape::of("select 1, 0").is_some());
}

#[test]
fn a_shape_has_one_template_where_every_number_is_a_constant() {
    for (text, one) in [
        ("select 1, 2 from patients", true),
        ("select id from patients where id = 1 order by id", true),
        ("select id from patients where id = 1 order by 1", false),
        ("select cast(1 as numeric(5))", false),
        // Constants of other kinds are no numbers of the shape.
        ("select id, 1.5 from patients where id = 1", true),
        ("select id, 1.5 from patients group by 1", false),
        ("select id, true, null from patients order by 1 limit 2", false),
    ] {
        assert!(Shape::of(text).is_some(), "{text}");
        assert_eq!(Shape::has_one_template(text), one, "{text}");
    }
}

#[test]
fn the_words_of_what_is_alike_are_at_hand_once_a_text_was_written_out() {
    let catalog = Arc::new(crate::rewrite::tests::catalog());
    let scope = crate::rewrite::tests::scope(&catalog);
    let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
    let none: Arc<[Arc<str>]> = Arc::from([]);
    let known =
        Arc::new(analyse(&Arc::from("select ssn from patients where id = 1"), &path, &none, &catalog));
    let shaped = Shaped::new(known.clone());
    let alike = |number: u32| {
        let text = format!("select ssn from patients where id = {number}");
        shaped.alike(&Arc::from(text), &path, &none, &catalog).unwrap()
    };
    let (first, second) = (alike(2), alike(3));
    assert!(first.means_what(&known) && second.means_what(&first), "it is decided about once");
    assert!(second.confined.known(&scope).is_none());
    let words = first.confined.get(&scope).unwrap();
    let (found, own) =
        (second.confined.known(&scope).unwrap().unwrap(), second.confined.get(&scope).unwrap());
    assert_eq!(found, own);
    assert_eq!(*found, words.replace('2', "3"));
    assert!(second.confined.known(&chaperone_access::Scope::default()).is_none(), "somebody else's");
}

#[test]
fn a_statement_stands_for_others_where_it_leaves_its_session_as_it_is() {
    let catalog = Arc::new(catalog());
    let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
    let none: Arc<[Arc<str>]> = Arc::from([]);
    let alike = |known: &str, against: &Arc<Catalog>| {
        let known = Shaped::new(Arc::new(analyse(&Arc::from(known), &path, &none, &catalog)));
        known.alike(&Arc::from("select 2"), &path, &none, against).is_some()
    };
    for plain in [
        "select 1",
        "insert into patients values (1)",
        "update patients set id = 1",
        "delete from patients where id = 1",
    ] {
        assert!(alike(plain, &catalog), "{plain}");
        let later = Arc::new(Catalog::clone(&catalog).renumbered(catalog.version + 1));
        assert!(!alike(plain, &later), "what it names may be something else: {plain}");
    }
    for other in [
        "select 1 as a into temporary mine",
        "explain select 1",
        "fetch 1 from c",
        "select 1; select 2",
        "show application_name",
        // Refused for everybody.
        "select set_config('role', 'x', true)",
    ] {
        assert!(!alike(other, &catalog), "{other}");
    }
}
