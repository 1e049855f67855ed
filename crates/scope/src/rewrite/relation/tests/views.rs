//! What is under views: rows that row security leaves out, rows in their places, and views again.

use super::*;
use crate::catalog::{Guard, Relation};

const BELOW: (&str, &str, &[&str], &str) = ("21", "below", &["5"], "SELECT secret.id FROM public.secret");
const ABOVE: (&str, &str, &[&str], &str) = ("22", "above", &["21"], "SELECT below.id FROM public.below");

/// Views of views, each `deep_N` of the one before, the first of `secret`.
fn chain(rules: &str) -> Catalog {
    let oid = |n: usize| if n == 0 { "5".to_owned() } else { (99 + n).to_string() };
    let from = |n: usize| if n == 0 { "secret".to_owned() } else { format!("deep_{}", n - 1) };
    let words: Vec<[String; 4]> = (0..40)
        .map(|n| [oid(n + 1), format!("deep_{n}"), oid(n), format!("SELECT v.id FROM public.{} v", from(n))])
        .collect();
    let reads: Vec<[&str; 1]> = words.iter().map(|[_, _, read, _]| [read.as_str()]).collect();
    let views: Vec<(&str, &str, &[&str], &str)> = (words.iter().zip(&reads))
        .map(|([oid, name, _, text], reads)| (oid.as_str(), name.as_str(), reads.as_slice(), text.as_str()))
        .collect();
    target_under(rules, &views)
}

/// As in the gateway.
fn on_a_deep_stack(look: fn()) {
    std::thread::Builder::new().stack_size(256 << 20).spawn(look).unwrap().join().unwrap();
}

/// What is sent where that much is seen of views in a chain, and of what they read.
fn sent_of_chain(catalog: &Catalog, views: &str, secret: &str, sql: &str) -> Outcome<String> {
    let names: Vec<String> = (0..40).map(|n| format!("deep_{n}")).collect();
    let mut seen: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), views)).collect();
    seen.push(("secret", secret));
    sent(catalog, &seen, sql)
}

#[test]
fn views_are_followed_to_a_depth() {
    on_a_deep_stack(|| {
        let catalog = chain(RULES);
        let whole = |sql: &str| sent_of_chain(&catalog, "h", "whole", sql);
        // What is looked at is taken for whole, and what is taken apart ends.
        assert_eq!(whole("select id from deep_16").unwrap(), "SELECT id FROM public.deep_16");
        let shown = whole("select id from deep_18").unwrap();
        assert!(shown.contains("public.deep_16") && !shown.contains("public.deep_18"), "{shown}");
        assert!(whole("select id from deep_39").is_err());
        // What is taken apart to its end is so to a depth.
        assert!(sent_of_chain(&catalog, "h", "h", "select id from deep_15").is_ok());
        assert!(sent_of_chain(&catalog, "h", "h", "select id from deep_20").is_err());
        // However deep a table is, it is no view.
        assert!(whole("explain select id from deep_16").unwrap().contains("FROM public.deep_16"));
        // What is locked is followed no further.
        assert!(whole("select id from deep_14 for update").is_ok());
        let refusal = whole("select id from deep_15 for update").unwrap_err();
        assert!(refusal.message.starts_with("locking rows of `public.deep_15`"), "{refusal}");
        // For the record, too, they are followed no further.
        let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
        let text = Arc::from("select id from deep_39");
        let analysis = crate::analyse::analyse(&text, &path, &Arc::from([]), &Arc::new(catalog));
        assert_eq!(analysis.members[0].touches.len(), 33);
    });
}

/// They are read with the rights of the view's owner.
#[test]
fn rows_under_a_view_that_row_security_leaves_out_are_neither_planned_for_nor_placed() {
    let views = [
        BELOW,
        ABOVE,
        ("23", "lies", &["5"], "SELECT secret.id FROM public.secret WHERE secret.ctid IS NOT NULL"),
        ("24", "taken", &["5"], "SELECT secret.id FROM public.secret TABLESAMPLE bernoulli (10)"),
    ];
    let open = target(&views);
    let mut bound = target(&views);
    bound.relations.get_mut(&RelationName::new("public", "secret")).unwrap().guard =
        Some(Arc::new(Guard::default()));
    let of = |catalog: &Catalog, sql: &str| {
        let views = ["below", "above", "lies", "taken"].map(|name| (name, "h"));
        sent(catalog, &[views.as_slice(), &[("secret", "whole")]].concat(), sql).unwrap()
    };
    for view in ["below", "above"] {
        let (read, planned) = (format!("select id from {view}"), format!("explain select id from {view}"));
        let itself = format!("SELECT id FROM public.{view}");
        for catalog in [&open, &bound] {
            assert_eq!(of(catalog, &read), itself);
        }
        assert!(of(&open, &planned).ends_with(&itself), "{}", of(&open, &planned));
        assert!(of(&bound, &planned).contains(&format!("stand_in_for_{view}")), "{}", of(&bound, &planned));
    }
    for view in ["lies", "taken"] {
        let read = format!("select id from {view}");
        assert_eq!(of(&open, &read), format!("SELECT id FROM public.{view}"));
        assert!(
            of(&bound, &read).contains("(SELECT t.id AS id FROM public.secret t"),
            "{}",
            of(&bound, &read)
        );
    }
}

/// Views of the system's are not among those that have to be whole.
#[test]
fn what_is_too_deep_under_a_view_is_not_planned_for() {
    on_a_deep_stack(|| {
        let mut catalog = chain(RULES);
        let tables = RelationName::new("information_schema", "tables");
        let of_the_system = Relation { kind: b'v', ..Relation::default() };
        catalog.relations.insert(tables.clone(), Box::new(of_the_system));
        catalog.relations.get_mut(&RelationName::new("public", "deep_0")).unwrap().reads.push(tables);
        for (view, planned) in [("deep_15", "FROM public.deep_15"), ("deep_16", "stand_in_for_deep_16")] {
            let sent =
                sent_of_chain(&catalog, "h", "whole", &format!("explain select id from {view}")).unwrap();
            assert!(sent.contains(planned), "{sent}");
        }
    });
}

/// Its query has them in the order in which they come.
#[test]
fn rows_under_a_view_that_are_placed_by_what_is_hidden_come_in_an_order_of_what_is_shown() {
    let rules = ["below", "above"].map(|name| format!("[relations.\"public.{name}\"]\nclear = true\n"));
    let mut catalog = target_under(&format!("{RULES}{}", rules.concat()), &[BELOW, ABOVE]);
    let public = |name: &str| RelationName::new("public", name);
    catalog.relations.get_mut(&public("secret")).unwrap().placed.push(public("patients"));
    let placed_by = (public("patients"), Arc::from("id"));
    catalog.relations.get_mut(&public("patients")).unwrap().placed_by.push(placed_by);
    for view in ["below", "above"] {
        let of = |patients: &str| {
            let seen = [("below", "r"), ("above", "r"), ("secret", "h"), ("patients", patients)];
            sent(&catalog, &seen, &format!("select id from {view}")).unwrap()
        };
        let read = format!("FROM public.{view} t ORDER BY ROW(");
        assert!(of("h").contains(&read) && !of("r").contains("ORDER BY"), "{} {}", of("h"), of("r"));
    }
}

#[test]
fn rows_are_ordered_where_views_are_too_deep_to_say_how_they_are_placed() {
    on_a_deep_stack(|| {
        let clear = |n: usize| format!("[relations.\"public.deep_{n}\"]\nclear = true\n");
        let catalog = chain(&format!("{RULES}{}{}", clear(15), clear(16)));
        for (view, ordered) in [("deep_15", false), ("deep_16", true)] {
            let read = sent_of_chain(&catalog, "r", "h", &format!("select id from {view}")).unwrap();
            assert_eq!(read.contains(" ORDER BY "), ordered, "{read}");
        }
    });
}

/// A view of the floor orders nothing by itself, whatever it is a view of.
#[test]
fn rows_under_a_view_are_ordered_behind_a_view_of_the_floor() {
    let tables = [("40", "tree", "r", ""), ("41", "low", "r", "40")];
    let column = "= { tags = [\"phi.ssn\"] }\n";
    let rules = ["tree", "low"]
        .map(|name| format!("[relations.\"public.{name}\".columns]\nid = {{ clear = true }}\nssn {column}"));
    let rules = format!("{}[relations.\"public.v_tree\"]\nclear = true\nrows = \"id = 7\"\n", rules.concat());
    let rules = Arc::new(Classification::load("t.toml", &rules, &[].into()).unwrap());
    for (decides, ordered) in [(r#"["ssn"]"#, true), (r#"["id"]"#, false)] {
        let over = |floor: &[BarrierView]| {
            let decides = [["c", "41", "[]", decides, "[]"]];
            split_under(&tables, &[], &decides, &[], floor).classified(2, Some(&rules))
        };
        let view = RelationName::new("public", "v_tree");
        let made = over(&[]).barrier(&view, &[Showing::Revealed; 2], true).unwrap();
        let catalog = over(std::slice::from_ref(&made));
        let path = [Arc::from("public")];
        let place = Place { catalog: &catalog, path: &path, temporary: &[] };
        let under = Some(Arc::new(Under { role: "clerk".into(), told: None }));
        let scope = Scope { under, ..scope_of(&[("v_tree", "rr"), ("tree", "rh"), ("low", "rh")]) };
        let sent = rewrite("select id from v_tree", place, &scope).unwrap().to_string();
        assert!(sent.contains(&format!("FROM chaperone_floor.{}", made.name)), "{sent}");
        assert_eq!(sent.contains(" ORDER BY "), ordered, "{sent}");
    }
}
