use std::sync::Arc;

use chaperone_access::{Refusal, RelationName, RelationScope, Scope};

use crate::analyse::analyse;
use crate::analyse::tests::results;
use crate::catalog::Catalog;
use crate::classification::Classification;
use crate::functions::{Standing, called_hint, instead_hint};

/// Two functions of the target's own and one extension may be used; another extension may not.
const RULES: &str = r#"
[functions]
allowed = ["own.reviewed"]
[extensions]
allowed = ["known"]
"#;

fn target(called: &[[&str; 4]]) -> Catalog {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let mut results = results();
    for [schema, name, extension, oid] in [
        ["tools", "shape", "known", "21001"],
        ["own", "shape", "", "21002"],
        ["tools", "strange", "other", "21003"],
        ["own", "reviewed", "", "21004"],
        ["tools", "reviewed", "other", "21005"],
    ] {
        results[8].push(row(&[schema, name, "true", "true", "false", extension, oid]));
    }
    results[8].push(row(&["tools", "pair", "true", "false", "false", "known", "21006"]));
    results[8].push(row(&["tools", "glyph", "true", "true", "false", "known", "21007"]));
    for (name, one_argument, procedure) in
        [("pg_two", "false", "false"), ("pg_get_viewdef", "true", "false"), ("proceed", "false", "true")]
    {
        results[8].push(row(&["pg_catalog", name, "true", one_argument, procedure, ""]));
    }
    for [schema, name, kind, extension] in [
        ["tools", "shaped", "b", "known"],
        ["own", "shaped", "b", "other"],
        ["tools", "odd", "b", "other"],
        ["own", "colour", "e", ""],
        ["own", "glyph", "d", ""],
    ] {
        results[10].push(row(&[schema, name, kind, extension]));
    }
    results[11] = called.iter().map(|cells| row(cells)).collect();
    let rules = Arc::new(Classification::load("t.toml", RULES, &[].into()).unwrap());
    Catalog::build(1, &results, Some(&rules)).unwrap()
}

fn sent(path: &[&str], sql: &str) -> Result<String, Refusal> {
    let path: Arc<[Arc<str>]> = path.iter().map(|schema| Arc::from(*schema)).collect();
    let analysis = analyse(&Arc::from(sql), &path, &Arc::from([]), &Arc::new(target(&[])));
    analysis.confined.get(&Scope::default()).map(|text| text.to_string())
}

fn assert_sent(cases: &[(&[&str], &str, Option<&str>)]) {
    for (path, sql, expected) in cases {
        let sent = sent(path, sql);
        assert_eq!(sent.as_deref().ok(), *expected, "{path:?} {sql}: {sent:?}");
    }
}

#[test]
fn a_function_is_the_first_of_the_path_and_has_to_be_allowed_there() {
    assert_sent(&[
        (&["tools"], "select shape(1)", Some("SELECT tools.shape(1)")),
        (&["public", "tools"], "select shape(1)", Some("SELECT tools.shape(1)")),
        // The first one is meant, and nobody has allowed it.
        (&["own", "tools"], "select shape(1)", None),
        (&["own"], "select shape(1)", None),
        (&["public"], "select shape(1)", None),
        (&["own", "tools"], "select reviewed(1)", Some("SELECT own.reviewed(1)")),
        (&["tools", "own"], "select reviewed(1)", None),
        (&["public"], "select tools.shape(1)", Some("SELECT tools.shape(1)")),
        (&["public"], "select own.reviewed(1)", Some("SELECT own.reviewed(1)")),
        (&["public"], "select own.shape(1)", None),
        (&["public"], "select tools.reviewed(1)", None),
        (&["tools"], "select tools.strange(1)", None),
        (&["tools"], "select strange(1)", None),
        // The types of its arguments say which is meant, but for one that could be cast to a type of that name.
        (&["own", "tools"], "select pair(1, 2)", Some("SELECT pair(1, 2)")),
        (&["own", "tools"], "select glyph('x')", Some("SELECT tools.glyph('x')")),
        (&["public"], "select information_schema._pg_expandarray($1)", {
            Some("SELECT information_schema._pg_expandarray($1)")
        }),
        (&["public"], "select information_schema.shape(1)", None),
    ]);
}

#[test]
fn a_type_is_the_first_of_the_path_and_has_to_be_allowed_there() {
    assert_sent(&[
        (&["tools"], "select $1::shaped", Some("SELECT $1::tools.shaped")),
        (&["public", "tools"], "select $1::shaped", Some("SELECT $1::tools.shaped")),
        // Of an extension that nobody has allowed, though one that is has a type of that name.
        (&["own", "tools"], "select $1::shaped", None),
        (&["public"], "select $1::shaped", None),
        (&["public"], "select $1::tools.shaped", Some("SELECT $1::tools.shaped")),
        (&["public"], "select $1::own.shaped", None),
        (&["public"], "select $1::elsewhere.shaped", None),
        (&["tools"], "select $1::odd", None),
        (&["tools"], "select $1::tools.odd", None),
        (&["own"], "select $1::colour", Some("SELECT $1::own.colour")),
        (&["public"], "select $1::own.colour", Some("SELECT $1::own.colour")),
        (&["public"], "select $1::tools.colour", None),
        (&["own"], "create temporary table mine (a setof int4)", None),
    ]);
}

#[test]
fn what_is_called_unseen_makes_a_target_unfit_unless_it_was_reviewed() {
    let target = target(&[
        ["cast", "tools", "shape", "known"],
        ["cast", "own", "reviewed", ""],
        ["cast", "tools", "strange", "other"],
        ["cast", "own", "shape", ""],
    ]);
    let unfit: Vec<String> = target.unfit().iter().map(|unfit| unfit.what.clone()).collect();
    assert_eq!(unfit, ["cast calls `tools.strange`", "cast calls `own.shape`"]);
}

#[test]
fn a_field_is_no_function_that_may_not_be_called() {
    let field = |name: &str| sent(&["tools"], &format!("select x.{name} from (select 1) x")).is_ok();
    for (name, stands) in [
        // What takes two arguments cannot be meant.
        ("pair", true),
        ("pg_two", true),
        ("upper", true),
        ("shape", false),
        ("pg_read_file", false),
        ("pg_get_viewdef", false),
    ] {
        assert_eq!(field(name), stands, "{name}");
    }
    assert!(sent(&["tools"], "select proceed(1)").is_err());
}

/// A view calls what its reader may call, whoever wrote it: not what is only called like that.
#[test]
fn a_view_calls_what_may_be_called() {
    let mut rows = results();
    rows[8].push(
        ["public", "upper", "true", "true", "false", "", "20002"].map(|cell| Some(cell.to_owned())).to_vec(),
    );
    rows[12][1][1] = Some("SELECT public.upper('x') AS upper".to_owned());
    let look = |rows: &[Vec<Vec<Option<String>>>], rules: &str| {
        let rules = Classification::load("t.toml", rules, &[].into()).unwrap();
        let catalog = Arc::new(Catalog::build(1, rows, Some(&Arc::new(rules))).unwrap());
        let path: Arc<[Arc<str>]> = Arc::from([Arc::from("public")]);
        let seen = [(RelationName::new("public", "calling"), RelationScope::Whole)];
        let scope = Scope { relations: seen.into(), ..Scope::default() };
        analyse(&Arc::from("select 1 from calling"), &path, &Arc::from([]), &catalog).confined.get(&scope)
    };
    let (clear, allowed) =
        ("[relations.\"public.calling\"]\nclear = true\n", "[functions]\nallowed = [\"public.upper\"]\n");
    rows[4].push(vec![Some("8".to_owned()), Some(r#"[["upper","text",0,null,null]]"#.to_owned())]);
    for (schema, rules, stands) in [
        ("public", clear, false),
        ("public", allowed, true),
        ("pg_catalog", clear, true),
        ("tools", allowed, false),
    ] {
        rows[7][1] = ["8", "", "upper", schema].map(|cell| Some(cell.to_owned())).to_vec();
        assert_eq!(look(&rows, rules).is_ok(), stands, "{schema} {rules}: {:?}", look(&rows, rules));
    }
}

#[test]
fn options_of_what_is_foreign_are_read_in_part() {
    for (name, listed, part) in [
        ("tables", true, false),
        ("columns", true, true),
        ("foreign_server_options", true, true),
        ("foreign_table_options", true, true),
        ("foreign_data_wrapper_options", true, true),
        ("user_mapping_options", true, true),
        ("column_options", true, true),
        ("foreign_servers", true, false),
        ("_pg_user_mappings", false, false),
    ] {
        assert_eq!(super::listed_relation("information_schema", name), listed, "{name}");
        assert_eq!(crate::system::is_part("information_schema", name), part, "{name}");
    }
}

#[test]
fn a_function_that_may_not_be_called_says_what_to_do_instead() {
    for (name, instead) in [
        ("query_to_xml", "use xmlelement"),
        ("table_to_xmlschema", "use xmlelement"),
        ("pg_try_advisory_lock", "lock a row"),
        ("lo_get", "use bytea"),
        ("pg_read_file", "built-in functions that only compute are"),
    ] {
        let hint = super::instead_hint(name);
        assert!(hint.contains(instead), "{name}: {hint}");
    }
}

#[test]
fn what_is_not_stable_is_called_where_it_is_listed_alone() {
    let mut rows = results();
    for (name, stable) in [
        ("pg_relation_is_updatable", "false"),
        ("pg_typeof", "true"),
        ("made_up", "false"),
        ("made_stable", "true"),
    ] {
        let function = ["pg_catalog", name, stable, "false", "false", ""];
        rows[8].push(function.map(|cell| Some(cell.to_owned())).to_vec());
    }
    let catalog = Catalog::build(1, &rows, None).unwrap();
    for (name, stands) in [
        ("pg_relation_is_updatable", Standing::Volatile),
        ("pg_typeof", Standing::Stable),
        ("made_up", Standing::Refused),
        ("made_stable", Standing::Stable),
    ] {
        assert_eq!(super::standing(&catalog, name), stands, "{name}");
    }
    for (name, listed) in [("pg_am", true), ("pg_class", true), ("pg_authid", false)] {
        assert_eq!(super::listed_relation("pg_catalog", name), listed, "{name}");
    }
}

#[test]
fn what_tells_of_other_peoples_statements_has_a_hint_of_its_own() {
    for hint in [instead_hint("pg_stat_statements_reset"), called_hint("pg_stat_statements")] {
        assert!(hint.contains("EXPLAIN"), "{hint}");
    }
    assert!(called_hint("peek").contains("`[functions]`"));
}

/// It may have come since: names are read again.
#[test]
fn what_no_schema_has_is_not_known_and_what_may_not_be_used_is() {
    let unknown = |sql: &str| {
        let path: Arc<[Arc<str>]> = Arc::from([Arc::from("tools")]);
        let analysis = analyse(&Arc::from(sql), &path, &Arc::from([]), &Arc::new(target(&[])));
        assert!(analysis.confined.get(&Scope::default()).is_err(), "{sql}");
        analysis.members[0].names_unknown
    };
    for name in ["null::nobody", "null::own.nobody", "nobody(1)", "own.nobody(1)", "public.shape(1)"] {
        assert!(unknown(&format!("select {name}")), "{name}");
    }
    for name in [
        "null::pg_catalog.nobody",
        "null::glyph",
        "null::tools.colour",
        "null::odd",
        "null::patients",
        "own.shape(1)",
        "strange(1)",
        "pg_read_file('x')",
    ] {
        assert!(!unknown(&format!("select {name}")), "{name}");
    }
}
