//! Whoever may do nothing to a relation reads names and types of it in the catalogs, and nothing that defines or comments
//! it: two databases that differ in just that are the same to him. Of what he may do something to he reads everything.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's own set-up may fail it"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use chaperone_tests::worlds::{Plan, Who, Worlds, folder};
use chaperone_tests::{AgentPlace, Layout, Talk, capture, private_folder, target_dir};
use tempfile::TempDir;

/// What is said of the twin that the restricted caller may do nothing to, in each world.
const KEPT: [&str; 2] = ["zqKeptInA", "zqKeptInB"];
/// What is said of the other twin, in both.
const TOLD: &str = "zqToldInAll";

/// System relations whose rows are the server's own business, and differ between any two.
const OF_THE_SERVER: &[&str] = &[
    "pg_catalog.pg_settings",
    "pg_catalog.pg_stat_activity",
    "pg_catalog.pg_stat_gssapi",
    "pg_catalog.pg_stat_ssl",
];

/// System relations that have no rows for whoever sees a part: what they tell of an object is how its values are spread.
const WITHOUT_ROWS: &[&str] = &["pg_catalog.pg_stats_ext_exprs"];

/// Functions of the system's that a caller may ask about an object, by its number, and that tell more than names and types.
const TELLING: &[&str] = &[
    "col_description",
    "obj_description",
    "pg_get_constraintdef",
    "pg_get_function_arg_default",
    "pg_get_function_arguments",
    "pg_get_function_sqlbody",
    "pg_get_functiondef",
    "pg_get_indexdef",
    "pg_get_partition_constraintdef",
    "pg_get_partkeydef",
    "pg_get_ruledef",
    "pg_get_statisticsobjdef",
    "pg_get_statisticsobjdef_columns",
    "pg_get_triggerdef",
    "pg_get_viewdef",
];

fn made() -> (Worlds, TempDir) {
    let home = private_folder("test").unwrap();
    let ours = folder().join("described");
    let twin = fs::read_to_string(ours.join("twin.sql")).unwrap();
    let world = |kept: &str| {
        let file = home.path().join(format!("{kept}.sql"));
        let twins = [("told", TOLD), ("kept", kept)];
        let text = twins.map(|(name, word)| twin.replace("TWIN", name).replace("WORD", word)).concat();
        fs::write(&file, text).unwrap();
        file
    };
    let plan = Plan {
        schema: ours.join("schema.sql"),
        worlds: KEPT.map(world),
        classification: Some(ours.join("classification.toml")),
        policy: ours.join("policy"),
        restricted: Who::named("restricted"),
        unrestricted: Who::named("unrestricted"),
        floor: false,
        layout: Layout::new(AgentPlace::InProcess),
    };
    let worlds = Worlds::start(home.path(), &plan).unwrap();
    (worlds, home)
}

/// What psql prints for a script, errors included.
fn psql(url: &str, script: &str) -> String {
    let home = private_folder("test").unwrap();
    let file = home.path().join("script.sql");
    fs::write(&file, script).unwrap();
    psql_file(url, &file)
}

fn psql_file(url: &str, file: &Path) -> String {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-A", "-t", "-q", "-v", "VERBOSITY=terse", "-d", url, "-f"]).arg(file);
    // One stream, so that errors stand where they happened.
    let (mut read, written) = std::io::pipe().unwrap();
    psql.stdout(written.try_clone().unwrap()).stderr(written).stdin(Stdio::null());
    let mut child = psql.spawn().unwrap();
    drop(psql);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut read, &mut said).unwrap();
    child.wait().unwrap();
    let said = said.replace(file.to_str().unwrap(), "script").replace("world_b", "world_a");
    said.replace("\r\n", "\n")
}

/// How often a word stands in a text: as it is, and as a constant of a node tree or of bytes.
fn count(text: &str, word: &str) -> usize {
    let decimal: Vec<String> = word.bytes().map(|byte| byte.to_string()).collect();
    let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
    let lower = word.to_lowercase();
    [word, &lower, &decimal.join(" "), &hex].iter().map(|form| text.matches(form).count()).sum()
}

/// The parts of an output between lines that begin with `#### `, by what stands after that.
fn sections(text: &str) -> BTreeMap<&str, &str> {
    text.split("#### ").skip(1).filter_map(|part| part.split_once('\n')).collect()
}

/// Every row of every system relation.
fn relations(direct: &str) -> String {
    let named = psql(
        direct,
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where n.nspname in ('pg_catalog', 'information_schema') and c.relkind in ('r', 'v') order by 1;",
    );
    let named = named.lines().filter(|name| !OF_THE_SERVER.contains(name));
    named
        .map(|name| {
            format!(
                "\\echo '#### {name}'\nselect replace(t::text, E'\\n', ' ') from {name} as t order by 1;\n"
            )
        })
        .collect()
}

/// Every function of the system's whose first argument may be the number of an object, asked about every object that is not
/// the system's.
fn functions(direct: &str) -> String {
    psql(
        direct,
        r"
        with objects (class, oids) as (
          select c, case c
            when 'pg_class' then (select array_agg(oid) from pg_class where oid >= 16384)
            when 'pg_proc' then (select array_agg(oid) from pg_proc where oid >= 16384 and prokind <> 'a')
            when 'pg_type' then (select array_agg(oid) from pg_type where oid >= 16384)
            when 'pg_constraint' then (select array_agg(oid) from pg_constraint where oid >= 16384)
            when 'pg_trigger' then (select array_agg(oid) from pg_trigger where oid >= 16384)
            when 'pg_rewrite' then (select array_agg(oid) from pg_rewrite where oid >= 16384)
            when 'pg_policy' then (select array_agg(oid) from pg_policy where oid >= 16384)
            when 'pg_attrdef' then (select array_agg(oid) from pg_attrdef where oid >= 16384)
            when 'pg_statistic_ext' then (select array_agg(oid) from pg_statistic_ext where oid >= 16384) end
          from unnest('{pg_class,pg_proc,pg_type,pg_constraint,pg_trigger,pg_rewrite,pg_policy,pg_attrdef,pg_statistic_ext}'::text[]) as c
        ),
        functions as (
          select proname, proargtypes::oid[] as types from pg_proc
          where pronamespace = 'pg_catalog'::regnamespace and prokind = 'f' and not proretset and pronargs between 1 and 3
            and proargtypes[0] in ('oid'::regtype, 'regclass'::regtype, 'regproc'::regtype)
            and proname !~ '(_out|_send|^oid|larger|smaller|^hash)' and proname !~ '^(binary_upgrade|pg_stat_|lo_|pg_(try_)?advisory)'
            and provolatile <> 'v'
        ),
        fills (number, filled) as (
          select n, case n when 0 then 'pg_class' when 1 then 'pg_proc' when 2 then 'pg_constraint' when 3 then 'pg_type'
            when 4 then 'pg_trigger' when 5 then 'pg_rewrite' when 6 then 'pg_policy' else 'pg_statistic_ext' end
          from generate_series(0, 7) as n
        ),
        calls as (
          select distinct f.proname, o.class, o.oids, (select string_agg(case
              when t in ('bool'::regtype) then ', true'
              when t in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) then ', ' || least(s.number, 2) || '::' || t::regtype
              when t in ('name'::regtype, 'text'::regtype) then ', ' || quote_literal(s.filled) || '::' || t::regtype
              else ', null::' || t::regtype end, '' order by ord)
            from unnest(f.types[1:]) with ordinality as a (t, ord)) as others
          from functions f cross join fills s cross join objects o
        )
        select format(E'\\echo ''#### %s(%s%s)''\nselect o, replace(pg_catalog.%I(o%s)::text, E''\\n'', '' '') from unnest(%L::oid[]) as o order by 1;',
          proname, class, translate(coalesce(others, ''), '''', ''), proname, coalesce(others, ''), oids)
        from calls order by 1;",
    )
}

#[test]
fn what_is_kept_from_a_caller_is_told_by_no_catalog() {
    let (worlds, _home) = made();
    let direct = worlds.direct().unwrap();
    let script = relations(&direct[0]) + &functions(&direct[0]);
    assert!(script.lines().count() > 500, "{script}");
    let [as_a, as_b] = worlds.restricted().each_ref().map(|url| psql(url, &script));
    let whole = psql(&worlds.unrestricted()[0], &script);
    let ([a, b], all) = ([sections(&as_a), sections(&as_b)], sections(&whole));
    assert_eq!(a.len(), all.len());
    let mut keeping = Vec::new();
    for (name, shown) in &a {
        let (b, all) = (b[name], all[name]);
        assert_eq!(shown, &b, "{name} tells the worlds apart");
        assert_eq!(count(shown, KEPT[0]), 0, "{name}: {shown}");
        if count(all, KEPT[0]) == 0 {
            continue;
        }
        assert!(count(all, TOLD) > 0, "{name}: the twins are not alike: {all}");
        if WITHOUT_ROWS.contains(name) {
            assert_eq!(*shown, "", "{name}");
            continue;
        }
        if !shown.starts_with("psql:") {
            keeping.push(*name);
            assert_eq!(
                count(shown, TOLD),
                count(all, TOLD),
                "{name} tells too little:\n{shown}\n--- of\n{all}"
            );
            assert_eq!(shown.lines().count(), all.lines().count(), "{name}: a row is missing");
        }
    }
    let functions: Vec<&&str> = TELLING
        .iter()
        .filter(|name| !keeping.iter().any(|kept| kept.starts_with(&format!("{name}("))))
        .collect();
    assert!(functions.is_empty(), "nothing was kept by {functions:?}: {keeping:#?}");
    // Every column that holds a tree of PostgreSQL's is in a relation that has something to keep.
    let trees = psql(
        &direct[0],
        "select distinct 'pg_catalog.' || c.relname from pg_attribute a join pg_class c on c.oid = a.attrelid \
         where a.atttypid = 'pg_node_tree'::regtype and c.relkind = 'r' and c.relnamespace = 'pg_catalog'::regnamespace;",
    );
    let without: Vec<&str> = trees.lines().filter(|name| !keeping.contains(name)).collect();
    assert!(without.is_empty(), "nothing was kept in {without:?}: {keeping:#?}");
}

#[test]
fn nothing_that_is_asked_tells_what_is_kept() {
    let (worlds, _home) = made();
    let hostile = fs::read_to_string(folder().join("described/hostile.sql")).unwrap();
    let statements: Vec<&str> =
        hostile.lines().filter(|line| !line.starts_with("--") && !line.is_empty()).collect();
    let numbered = statements.iter().enumerate();
    let script: String = numbered.map(|(n, line)| format!("\\echo '#### {n:03}'\n{line}\n")).collect();
    let pair = |urls: &[String; 2]| urls.each_ref().map(|url| psql(url, &script));
    let [a, b] = pair(worlds.restricted());
    let (a, b) = (sections(&a), sections(&b));
    // A session that was lost on the way would be silent of all that follows.
    assert!(statements.len() > 100 && a.len() == statements.len(), "{a:?}");
    assert!(a.keys().eq(b.keys()));
    for (asked, (number, said)) in statements.iter().zip(&a) {
        assert_eq!(said, &b[number], "{asked}");
        assert!(!said.contains("closed the connection"), "{asked}: {said}");
        // What the statement itself says may be said again.
        assert!(count(said, "zqKept") <= count(asked, "zqKept"), "{asked}: {said}");
    }
    let answered = a.values().filter(|said| !said.contains("ERROR") && !said.trim().is_empty()).count();
    assert!(answered * 4 > a.len(), "{answered} of {} were answered: the rest proves little", a.len());
    // What the session made itself is its own.
    assert!(a.values().any(|said| said.contains("'zqMine'::text")), "{a:#?}");
    assert!(a.values().any(|said| said.contains("(b > 7)")), "{a:#?}");
    // Nothing between them, most of these tell.
    let [a, b] = pair(&worlds.login().unwrap());
    let (a, b) = (sections(&a), sections(&b));
    let telling = a.iter().filter(|(number, said)| b[*number] != **said).count();
    assert!(telling * 2 > a.len(), "only {telling} of {} tell anything at all", a.len());
}

const COMMANDS: &str = r"
\pset tuples_only off
\d+ notes.kept
\d+ notes.kept_view
\d+ notes.kept_stored
\d+ notes.kept_parts
\d+ notes.kept_part
\d+ notes.kept_by_id
\d+ notes.kept_index
\d+ notes.kept_id_seq
\sf notes.kept_loud
\sf notes.kept_quiet
\sv notes.kept_view
\d+ notes.told
\d+ notes.told_view
\d+ notes.told_stored
\d+ notes.told_parts
\d+ notes.told_part
\d+ notes.told_index
\sf notes.told_loud
\sf notes.told_quiet
\sv notes.told_view
\df+ notes.*
\da+ notes.*
\dd notes.*
\dd notes.kept*
\dD+ notes.*
\dT+ notes.*
\dt+ notes.*
\di+ notes.*
\dv+ notes.*
\dm+ notes.*
\ds+ notes.*
\dP+ notes.*
\dX notes.*
\dRp+
\dn+
\dp notes.*
";

#[test]
fn psql_describes_names_and_types_of_what_is_kept() {
    let (worlds, _home) = made();
    let [a, b] = worlds.restricted().each_ref().map(|url| psql(url, COMMANDS));
    assert_eq!(a, b);
    assert!(count(&a, "zqKept") == 0 && !a.contains("ERROR"), "{a}");
    let whole = psql(&worlds.unrestricted()[0], COMMANDS);
    assert!(count(&whole, KEPT[0]) > 40, "{whole}");
    assert_eq!(count(&a, TOLD), count(&whole, TOLD), "{a}\n--- of\n{whole}");
    for shown in [
        "word|text||not null|",
        "\"kept_check\" CHECK (NULL)",
        "\"kept_pkey\" PRIMARY KEY, btree (id)",
        "\"kept_plain\" btree (word)",
        "\"kept_index\"",
        "notes.kept_statistics",
        "id|integer",
        "notes|kept_loud|text|word text|func",
        "CREATE OR REPLACE VIEW notes.kept_view AS",
        "nobody is kept from this",
    ] {
        assert!(a.contains(shown), "{shown}:\n{a}");
    }
}

#[test]
fn tools_find_names_and_types_of_what_is_kept() {
    let (worlds, _home) = made();
    let tool = |url: &String| {
        let mut python = Command::new(target_dir().join("drivers/python/bin/python"));
        capture(python.arg(folder().join("described/reflect.py")).arg(url))
            .unwrap()
            .replace("world_b", "world_a")
    };
    let [a, b] = worlds.restricted().each_ref().map(tool);
    assert_eq!(a, b);
    assert_eq!(count(&a, "zqKept"), 0, "{a}");
    let whole = tool(&worlds.unrestricted()[0]);
    assert!(count(&whole, KEPT[0]) > 10, "{whole}");
    assert_eq!(count(&a, TOLD), count(&whole, TOLD), "{a}\n--- of\n{whole}");
    for shown in ["\"kept_view\"", "kept_check", "kept_index", "kept_kind"] {
        assert!(a.contains(shown), "{shown}: {a}");
    }
}

#[test]
fn what_is_described_follows_policy_and_credential() {
    let (mut worlds, home) = made();
    let url = worlds.restricted()[0].clone();
    let mut command = Command::new("psql");
    command.args(["-XAtq", "-v", "VERBOSITY=terse", "-d", &url]);
    let mut open = Talk::start(&command).unwrap();
    let query = "select pg_get_viewdef('notes.kept_view'::regclass)";
    assert_eq!(open.ask(query).unwrap(), "");
    assert_eq!(open.ask(&format!("prepare query as {query}")).unwrap(), "");
    assert_eq!(open.ask("execute query").unwrap(), "");
    let rules = home.path().join("chaperone/policy/described.cedar");
    let before = fs::read_to_string(&rules).unwrap();
    let more = "@id(\"one-more\") permit (principal in Group::\"dev/restricted\", action == Action::\"delete\", \
                resource == Relation::\"world_a/notes.kept_view\");\n";
    fs::write(&rules, format!("{before}{more}")).unwrap();
    worlds.boundary().cli(&["policy", "reload"]).unwrap();
    assert!(open.ask(query).unwrap().contains(KEPT[0]));
    let said = open.ask("execute query").unwrap();
    assert!(said.contains("ERROR") && !said.contains(KEPT[0]), "it lies there in other words: {said}");
    // Of another relation nothing is told for it.
    assert_eq!(open.ask("select obj_description('notes.kept'::regclass, 'pg_class')").unwrap(), "");
    fs::write(&rules, &before).unwrap();
    worlds.boundary().cli(&["policy", "reload"]).unwrap();
    assert_eq!(open.ask(query).unwrap(), "");
    assert_eq!(open.ask("execute query").unwrap(), "");

    let told = "select pg_get_viewdef('notes.told_view'::regclass)";
    assert!(open.ask(told).unwrap().contains(TOLD));
    let narrow = "printf %s \"$0\" | \"$1\" credential narrow --only notes.told";
    let mut shell = Command::new("sh");
    shell.args(["-c", narrow, &url]).arg(worlds.boundary().program());
    let narrower = capture(&mut shell).unwrap();
    let said = psql(
        narrower.trim(),
        &format!("{told};\nselect obj_description('notes.told'::regclass, 'pg_class');\n"),
    );
    assert_eq!(said.trim(), TOLD, "of what the credential leaves out nothing is told");

    let mut explain = |statement: &str| {
        let words = [
            "policy",
            "explain",
            "--as",
            "dev/restricted",
            "--group",
            "restricted",
            "--target",
            "world_a",
            "--sql",
            statement,
        ];
        worlds.boundary().cli(&words).unwrap()
    };
    let said = explain(query);
    assert!(said.contains("g.o OPERATOR(pg_catalog.=) ANY"), "{said}");
}
