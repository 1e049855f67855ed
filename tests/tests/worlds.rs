//! Two worlds that differ only in what a restricted caller may not see: nothing that he sends tells them apart, what is
//! ordinary works, and whoever may do everything notices nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own set-up may fail it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chaperone_tests::worlds::{Pair, Plan, Row, Through, Trial, Worlds, apart, cases, folder};
use chaperone_tests::{Cluster, capture, private_folder, root, target_dir};
use tempfile::TempDir;

/// What is sent to learn something, and what is sent to work.
const HOSTILE: &[&str] = &["adversarial.sql", "more_adversarial.sql"];
const ORDINARY: &[&str] = &["ordinary.sql", "more_ordinary.sql"];
/// What was reviewed of ordinary statements that are refused.
const REFUSED: &str = "refused.toml";
/// Of a hundred ordinary statements at most so many are refused.
const REFUSED_PERCENT_MAX: usize = 6;
/// Generated statements, of each kind.
const GENERATED: u32 = 250;
/// What is hostile is tried a second time with a floor, in part: rows and inheritance, which its views stand for, and a fifth of
/// the rest. `cargo xtask worlds --floor` tries all.
const A_FIFTH: &str = "^(row|inh)|[05]$";
/// Of a hundred hostile cases at least so many tell unprotected worlds apart: else the cases prove nothing.
const TELLING_PERCENT_MIN: usize = 50;

/// The worlds, and the folder that they live in.
fn made() -> (Worlds, TempDir) {
    let home = private_folder("test").unwrap();
    let worlds = Worlds::start(home.path(), &Plan::ours()).unwrap();
    (worlds, home)
}

fn corpora(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| folder().join(name)).collect()
}

fn run(pair: &Pair, corpora: Vec<PathBuf>, through: Through, scratch: &Path) -> Vec<Row> {
    some(pair, corpora, None, through, scratch)
}

/// The cases whose names a regular expression finds.
fn some(
    pair: &Pair,
    corpora: Vec<PathBuf>,
    only: Option<&str>,
    through: Through,
    scratch: &Path,
) -> Vec<Row> {
    let rows = Trial { pair, corpora, only: only.map(str::to_owned), through }.run(scratch).unwrap();
    assert!(rows.len() > 50, "only {} cases ran", rows.len());
    rows
}

/// Chance by their own words: one sorts by `random()`, one asks for a process id.
const CHANCE: &[&str] = &["H20", "P05"];

/// Verdicts on generated statements that may come of chance, of each kind in one of a hundred.
const ASIDE: &[&str] = &["UNSTABLE", "ORDER", "TIMEOUT"];

/// Fail with every case of which it is not certain that it tells nothing: also with one that nobody awaited.
fn assert_same(rows: &[Row]) {
    let told: Vec<String> = rows
        .iter()
        .filter(|row| !row.is_same())
        .filter(|row| !(row.verdict == "UNSTABLE" && CHANCE.contains(&row.id.as_str())))
        .map(|row| {
            let cut = |text: &str| text.chars().take(600).collect::<String>();
            format!("{} {}: {}\n--- A\n{}\n--- B\n{}", row.verdict, row.id, row.sql, cut(&row.a), cut(&row.b))
        })
        .collect();
    assert!(
        told.is_empty(),
        "{} cases tell the worlds apart, or nothing:\n{}",
        told.len(),
        told.join("\n\n")
    );
}

/// Case -> why it is refused, from the list that was reviewed.
fn reviewed(file: &str) -> BTreeMap<String, String> {
    toml::from_str(&fs::read_to_string(folder().join(file)).unwrap()).unwrap()
}

/// What is refused although it is ordinary is what was reviewed, no more and no less.
fn assert_reviewed(rows: &[Row], files: &[&str]) {
    let reviewed: BTreeMap<_, _> = files.iter().flat_map(|file| reviewed(file)).collect();
    let refused: BTreeMap<&str, String> =
        rows.iter().filter(|row| row.over_refused).map(|row| (row.id.as_str(), row.reason())).collect();
    let new: Vec<_> = refused.iter().filter(|(id, _)| !reviewed.contains_key(**id)).collect();
    assert!(new.is_empty(), "refused and not in {files:?}: {new:#?}");
    let ran: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let works: Vec<_> = reviewed
        .keys()
        .filter(|id| ran.contains(id.as_str()) && !refused.contains_key(id.as_str()))
        .collect();
    assert!(works.is_empty(), "in {files:?}, and works: {works:?}");
    let of_them = refused.len();
    assert!(of_them * 100 <= rows.len() * REFUSED_PERCENT_MAX, "{of_them} of {} are refused", rows.len());
}

#[test]
fn unprotected_worlds_are_told_apart_by_cases_of_every_rule() {
    let (worlds, home) = made();
    let rows = run(&worlds.direct().unwrap(), corpora(HOSTILE), Through::Driver, home.path());
    let telling: BTreeSet<&str> =
        rows.iter().filter(|row| !row.is_same()).map(|row| row.id.as_str()).collect();
    assert!(
        telling.len() * 100 >= rows.len() * TELLING_PERCENT_MIN,
        "only {} of {} cases tell the worlds apart where nothing protects them",
        telling.len(),
        rows.len()
    );

    #[derive(serde::Deserialize)]
    struct Rule {
        says: String,
        cases: Vec<String>,
    }
    let rules: BTreeMap<String, Rule> =
        toml::from_str(&fs::read_to_string(folder().join("rules.toml")).unwrap()).unwrap();
    assert!(rules.len() > 20, "{} rules", rules.len());
    let ran: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    for (name, rule) in &rules {
        assert!(!rule.says.is_empty(), "{name} says nothing");
        let gone: Vec<_> = rule.cases.iter().filter(|id| !ran.contains(id.as_str())).collect();
        assert!(gone.is_empty(), "{name} names cases that do not exist: {gone:?}");
        assert!(
            rule.cases.iter().any(|id| telling.contains(id.as_str())),
            "no case of {name} tells unprotected worlds apart"
        );
    }
}

// Each has worlds of its own: what one case locks, another would notice.

#[test]
fn a_restricted_caller_cannot_tell_the_worlds_apart_with_psql() {
    let (worlds, home) = made();
    assert_same(&run(worlds.restricted(), corpora(HOSTILE), Through::Psql, home.path()));
}

#[test]
fn ordinary_work_goes_on_with_psql() {
    let (worlds, home) = made();
    let all = [ORDINARY, &["introspection.sql"]].concat();
    let rows = run(worlds.restricted(), corpora(&all), Through::Psql, home.path());
    assert_same(&rows);
    assert_reviewed(&rows, &[REFUSED]);
}

#[test]
fn a_restricted_caller_cannot_tell_the_worlds_apart_with_a_driver() {
    let (worlds, home) = made();
    assert_same(&run(worlds.restricted(), corpora(HOSTILE), Through::Driver, home.path()));
    let rows = run(worlds.restricted(), corpora(ORDINARY), Through::Driver, home.path());
    assert_same(&rows);
    assert_reviewed(&rows, &[REFUSED]);
}

#[test]
fn a_restricted_caller_cannot_tell_the_worlds_apart_with_generated_statements() {
    let (worlds, home) = made();
    let apart = apart(&home.path().join("apart"), &Plan::ours()).unwrap();
    let shown = apart.superuser_url().unwrap();
    let (ours, smiths) = (home.path().join("generated.sql"), home.path().join("sqlsmith.sql"));
    for (more, file) in [(vec![], &ours), (vec!["--sqlsmith", &shown], &smiths)] {
        let mut generate = Command::new("python3");
        generate.arg(folder().join("generate.py")).args(["--count", &GENERATED.to_string()]).args(more);
        capture(generate.arg("--output").arg(file)).unwrap();
    }
    let rows = run(worlds.restricted(), vec![ours, smiths], Through::Generated, home.path());
    assert!(rows.len() >= 2 * GENERATED as usize, "{} statements", rows.len());
    // What differs in one world alone, a sort that leaves ties to chance, say; the same rows in an order that nobody asked
    // for; and what takes longer than is waited for: none of them is a leak, and many of them would hide one.
    let (aside, rows): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| ASIDE.contains(&row.verdict.as_str()));
    for verdict in ASIDE {
        let of: Vec<&Row> = aside.iter().filter(|row| row.verdict == *verdict).collect();
        assert!(of.len() * 100 <= rows.len(), "{} of {} are {verdict}: {of:#?}", of.len(), rows.len());
    }
    assert_same(&rows);
    for class in ["made", "mutant", "sqlsmith"] {
        let of = || rows.iter().filter(|row| row.class == class);
        let answered = of().filter(|row| row.status == "OK").count();
        assert!(
            answered * 3 > of().count(),
            "{answered} of {} {class} were answered: the rest proves little",
            of().count()
        );
    }
}

#[test]
fn a_floor_stands_in_nobodys_way_and_tells_nothing() {
    let home = private_folder("test").unwrap();
    let worlds = Worlds::start(home.path(), &Plan { floor: true, ..Plan::ours() }).unwrap();
    assert_same(&some(worlds.restricted(), corpora(HOSTILE), Some(A_FIFTH), Through::Driver, home.path()));
    let rows = run(worlds.restricted(), corpora(ORDINARY), Through::Driver, home.path());
    assert_same(&rows);
    assert_reviewed(&rows, &[REFUSED, "refused_floor.toml"]);
}

#[test]
fn whoever_may_do_everything_sees_what_a_direct_connection_shows() {
    let (worlds, home) = made();
    let ([direct, _], [through, _]) = (worlds.login().unwrap(), worlds.unrestricted().clone());
    let pair = [direct, through];
    let all = [ORDINARY, &["introspection.sql"]].concat();
    let rows = run(&pair, corpora(&all), Through::Psql, home.path());
    // O34 counts the pages that planning looked at: fewer, where a session has asked something before.
    let differing = rows.iter().filter(|row| !row.is_same() && row.id != "O34");
    // A list of all settings has the session's own name, for people who read the database's log.
    let others = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with("application_name|")).map(str::to_owned).collect()
    };
    let differing = differing.filter(|row| row.class != "show_all" || others(&row.a) != others(&row.b));
    // Two runs of one connection differ where a process id is asked for.
    let (unstable, differing): (Vec<&Row>, Vec<&Row>) =
        differing.partition(|row| row.verdict == "UNSTABLE" && row.id == "P05");
    assert!(differing.is_empty(), "{differing:#?}");
    assert_eq!(unstable.len(), 1);
}

#[test]
fn tools_find_hidden_columns_with_their_types() {
    let (worlds, _home) = made();
    let tool = |url: &str| {
        let mut python = Command::new(target_dir().join("drivers/python/bin/python"));
        capture(python.arg(folder().join("introspect.py")).arg(url)).unwrap()
    };
    let [direct, _] = worlds.login().unwrap();
    let [restricted, _] = worlds.restricted();
    let (directly, through) = (tool(&direct), tool(restricted));
    assert!(directly.contains("ssn") && directly.contains("JSONB"), "{directly}");
    for (line, (directly, through)) in directly.lines().zip(through.lines()).enumerate() {
        assert_eq!(directly, through, "line {}", line + 1);
    }
    assert_eq!(directly, through);
}

#[test]
fn prisma_finds_hidden_columns_with_their_types() {
    let (worlds, home) = made();
    // A module looks for others beside itself and above.
    let place = home.path().join("prisma");
    fs::create_dir(&place).unwrap();
    let modules = target_dir().join("drivers/node/node_modules");
    std::os::unix::fs::symlink(&modules, place.join("node_modules")).unwrap();
    for file in ["prisma.config.mjs", "schema.prisma"] {
        fs::copy(root().join("tests/drivers/prisma").join(file), place.join(file)).unwrap();
    }
    // What is there already is not downloaded, and an engine of which this is not one is never started.
    let engine = place.join("schema.prisma");
    let pull = |url: &str| {
        let mut prisma = Command::new(modules.join(".bin/prisma"));
        prisma.args(["db", "pull", "--print"]).current_dir(&place).env("DATABASE_URL", url);
        prisma.env("CHECKPOINT_DISABLE", "1").env("PRISMA_HIDE_UPDATE_MESSAGE", "1");
        prisma.env("PRISMA_QUERY_ENGINE_LIBRARY", &engine).env("PRISMA_SCHEMA_ENGINE_BINARY", &engine);
        capture(&mut prisma).unwrap()
    };
    let [direct, _] = worlds.login().unwrap();
    let [a, b] = worlds.restricted();
    let (directly, through) = (pull(&direct), pull(a));
    let patients = through.split("model ").find(|model| model.starts_with("public_patients ")).unwrap();
    for column in ["diagnosis String?", "ssn String?", "dob DateTime?", "meta Json?", "tags String[]"] {
        let words: Vec<&str> = column.split_whitespace().collect();
        let found = patients.lines().any(|line| line.split_whitespace().take(2).eq(words.iter().copied()));
        assert!(found, "no `{column}` in {patients}");
    }
    assert_eq!(directly, through);
    assert_eq!(through, pull(b));
}

#[test]
fn the_type_of_a_parameter_runs_no_code() {
    let (worlds, _home) = made();
    let bound = |url: &str| {
        let mut python = Command::new(target_dir().join("drivers/python/bin/python"));
        capture(python.arg(folder().join("parameter_type.py")).arg(url)).unwrap()
    };
    let both = |[a, b]: &[String; 2]| (bound(a), bound(b));
    let (a, b) = both(&worlds.login().unwrap());
    assert_ne!(a, b, "the check tells nothing, so the test would not either");
    let (a, b) = both(worlds.restricted());
    assert_eq!(a, b);
}

#[test]
fn cases_have_names_of_their_own() {
    let mut seen = BTreeSet::new();
    for file in corpora(&[HOSTILE, ORDINARY, &["introspection.sql"]].concat()) {
        for (id, _, sql) in cases(&file).unwrap() {
            assert!(!sql.trim().is_empty(), "{id} has no statement");
            assert!(seen.insert(id.clone()), "{id} twice");
        }
    }
    for id in [REFUSED, "refused_floor.toml"].iter().flat_map(|file| reviewed(file).into_keys()) {
        assert!(seen.contains(&id), "a list of refused ones names `{id}`, which does not exist");
    }
}

/// Two databases: in one of `t` the same rows lie in another order, in `s` other values do.
const LYING_OTHERWISE: [&str; 2] = [
    "create table t (k int, v text); insert into t values (1, 'x'), (1, 'y'), (2, 'z');
     create table s (id int, h text); insert into s values (1, 'a'), (2, 'b'), (3, 'b');",
    "truncate t, s; insert into t values (1, 'y'), (1, 'x'), (2, 'z');
     insert into s values (1, 'b'), (2, 'a'), (3, 'b');",
];

/// Statements that leave an order open, and statements that tell what they sort by.
const IN_ORDER: &str = "\
-- @t none open mask
SELECT k, v FROM t;
-- @t ties open mask
SELECT k, v FROM t ORDER BY 1;
-- @t keys open mask
SET search_path = public; SELECT v, k FROM t ORDER BY t.k DESC -- ties
;
-- @t cut open mask
SELECT k, v FROM t WHERE v <> '(' ORDER BY 1 LIMIT 1;
-- @t within open mask
SELECT k, v, ')' FROM (SELECT * FROM t WHERE k IN (SELECT 1) OR v = 'z' ORDER BY k) q ORDER BY q.k;
-- @t sorted told mask
SELECT id FROM s ORDER BY h;
-- @t first told mask
SELECT id FROM s ORDER BY h LIMIT 1;
-- @t key told mask
SELECT k FROM t ORDER BY (SELECT h FROM s WHERE id = k), 1;
-- @t values told mask
SELECT id, h FROM s ORDER BY h > '';
-- @t inside told mask
SELECT id FROM (SELECT id FROM s ORDER BY h) q;
-- @t between told mask
SELECT id, 1 FROM (SELECT id FROM s ORDER BY h) q ORDER BY 2;
-- @t grouped told mask
SELECT min(id) FROM s GROUP BY h ORDER BY h;
-- @t collected told mask
SELECT n FROM (SELECT min(id) AS n FROM s GROUP BY h) q;
-- @t unsortable told mask
SELECT k, to_json(v) FROM t ORDER BY 1;
";

#[test]
fn an_order_that_a_statement_leaves_open_is_told_apart_from_one_that_tells() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::bare(home.path()).unwrap();
    let [first, then] = LYING_OTHERWISE;
    let url = cluster.superuser_url().unwrap();
    let [a, b] = ["a", "b"].map(|name| format!("{}/{name}", url.rsplit_once('/').unwrap().0));
    let in_both = |url: &str, script: &str| capture(Command::new("psql").args(["-Xqd", url, "-c", script]));
    in_both(&url, "create database a").unwrap();
    in_both(&a, first).unwrap();
    // A copy: the driver shows the numbers of tables, too.
    in_both(&url, "create database b template a").unwrap();
    in_both(&b, then).unwrap();

    let corpus = home.path().join("in-order.sql");
    fs::write(&corpus, IN_ORDER).unwrap();
    let trial = Trial { pair: &[a, b], corpora: vec![corpus], only: None, through: Through::Generated };
    let rows = trial.run(home.path()).unwrap();
    assert_eq!(rows.len(), IN_ORDER.matches("-- @t").count());
    for row in rows {
        let expected = if row.class == "open" { "ORDER" } else { "LEAK" };
        assert_eq!(row.verdict, expected, "{row:#?}");
    }
}

/// A judgement about a condition that is not there any more says nothing.
#[test]
fn what_nothing_has_to_notice_is_still_in_the_sources() {
    #[derive(serde::Deserialize)]
    struct Judged {
        reason: String,
        changes: Vec<String>,
    }
    let judged: BTreeMap<String, Judged> =
        toml::from_str(&fs::read_to_string(folder().join("equivalent.toml")).unwrap()).unwrap();
    let sources = folder().join("../../crates/scope/src");
    for (name, Judged { reason, changes }) in &judged {
        assert!(!reason.is_empty() && !changes.is_empty(), "{name}");
        for change in changes {
            let (file, rest) = change.split_once(' ').unwrap();
            let (function, condition) = rest.split_once(": ").unwrap();
            let (condition, to) = condition.rsplit_once(" -> ").unwrap();
            assert!(matches!(to, "true" | "false"), "{change}");
            let source = fs::read_to_string(sources.join(file)).unwrap();
            let words = source.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                words.contains(&format!("fn {function}")) && words.contains(condition),
                "{name} names what is not there: {change}"
            );
        }
    }
}
