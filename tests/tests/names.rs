//! What a session's names stand for: what goes by one is shown as what it is, and goes when it may not be seen any more.

#![allow(clippy::unwrap_used, reason = "a test's own set-up may fail it")]

use std::fs;
use std::process::Command;

use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, Talk, capture, private_folder, root, target_dir,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const CLERK: Caller = Caller { subject: "ben", groups: &["billing"], client: None };

/// The specimen that everybody writes: it stands for nobody.
const SSN: &str = "123-45-6789";

const TABLES: &str = "
create table public.notes (id integer primary key, note text);
insert into public.notes values (1, 'Seen today. SSN 123-45-6789 is new.');
create table public.plain (id integer primary key, cut text);
insert into public.plain values (1, 'stored');
grant all on public.notes, public.plain to chaperone;
";

const CLASSIFICATION: &str = r#"
[relations."public.notes".columns]
id = { clear = true }
note = { tags = ["clinical.note"], scan = true }
[relations."public.plain"]
clear = true
"#;

const CONNECTED: &str = r#"
permit (principal in Group::"dev/billing",
        action in [Action::"connect", Action::"read", Action::"insert", Action::"useMasked"],
        resource in Target::"clinic");
"#;
const REVEALED: &str = r#"
permit (principal in Group::"dev/billing", action == Action::"reveal", resource in Target::"clinic")
when { resource in [Tag::"clinical.note"] };
"#;

struct Clinic {
    boundary: Boundary,
    _cluster: Cluster,
    home: TempDir,
}

impl Clinic {
    fn start() -> Self {
        let home = private_folder("test").unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        cluster.sql(TABLES).unwrap();
        let (folder, classification) = (home.path().join("rules"), home.path().join("clinic.toml"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("rules.cedar"), [CONNECTED, REVEALED].concat()).unwrap();
        fs::write(&classification, CLASSIFICATION).unwrap();
        let mut layout = Layout::new(AgentPlace::InProcess);
        layout.policy = Some(folder);
        // The target's table is the last one before it.
        layout.more = format!("classification = {}\n", Value::from(classification.to_string_lossy()));
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        Self { boundary, _cluster: cluster, home }
    }

    /// From now on notes are revealed to the clerk no more.
    fn take_notes_back(&self) {
        fs::write(self.home.path().join("chaperone/policy/rules.cedar"), CONNECTED).unwrap();
        self.boundary.cli(&["policy", "reload"]).unwrap();
    }

    /// A session in which these were asked, one after the other, and what the last one said.
    fn asked(&self, statements: &[&str]) -> (Talk, String) {
        let mut psql = Command::new("psql");
        psql.args(["-XAtq", "-d", &self.boundary.credential(&CLERK).unwrap()]);
        let mut session = Talk::start(&psql).unwrap();
        let mut said = String::new();
        for statement in statements {
            // psql sends what stands before `\;` with what follows.
            said = session.ask(&statement.replace(';', "\\;")).unwrap();
        }
        (session, said)
    }
}

/// A name stands for what the string has made of it before, and not for what it was before the string.
#[test]
fn a_name_that_a_string_replaces_is_what_the_string_made_of_it() {
    let clinic = Clinic::start();
    for statements in [
        &["prepare x as select 1", "deallocate x; prepare x as select note from notes; execute x"][..],
        &["prepare x as select 1", "deallocate all; prepare x as select note from notes; execute x"],
        &["prepare x as select note from notes; execute x"],
        &["prepare x as select note from notes; execute x", "execute x"],
        &[
            "create temp table kept (note text)",
            "prepare x as select 1",
            "deallocate x; prepare x as insert into kept select note from notes; execute x",
            "select * from kept",
        ],
        // The table of the session's own, which the string has made, and not the one of that name that is stored.
        &["create temp table plain as select note from notes; prepare x as select * from plain", "execute x"],
        &["create temp table plain as select note from notes; prepare x as select * from plain; execute x"],
        &[
            "begin",
            "declare c cursor for select 1",
            "close c; declare c cursor for select note from notes; fetch all from c",
        ],
    ] {
        let (_, said) = clinic.asked(statements);
        assert_eq!(said, "Seen today. SSN [phi.ssn] is new.", "{statements:?}");
    }
    let (_, said) = clinic.asked(&["prepare x as select 1", "deallocate x; execute x"]);
    assert!(said.contains("prepared statement `x` does not exist"), "{said}");
    assert!(!said.contains(SSN));
    clinic.boundary.cli(&["trail", "verify"]).unwrap();
}

/// Portals and cursors share their names.
#[test]
fn a_portal_that_is_gone_does_not_stand_for_the_cursor_of_its_name() {
    let clinic = Clinic::start();
    let declare = "declare c cursor for select note from notes";
    for (before, declare) in [
        ("close c", declare.to_owned()),
        ("close all", declare.to_owned()),
        ("rollback to a", declare.to_owned()),
        ("", format!("close c; {declare}")),
    ] {
        let mut python = Command::new(target_dir().join("drivers/python/bin/python"));
        python.arg(root().join("tests/drivers/portal.py"));
        python.arg(clinic.boundary.credential(&CLERK).unwrap()).args([before, &declare]);
        let said: Value = serde_json::from_str(&capture(&mut python).unwrap()).unwrap();
        let note = json!(["Seen today. SSN [phi.ssn] is new."]);
        let execute = if before.is_empty() { note.clone() } else { json!(["portal `c` does not exist"]) };
        assert_eq!(said, json!([note, execute]), "{before}; {declare}");
    }
}

/// What a session keeps of notes, in different ways, and how it asks for it afterwards.
const KEPT: &[(&[&str], &str)] = &[
    (&["create temp table t as select note from notes"], "select * from t"),
    (
        &[
            "create temp table t as select note from notes",
            "create temp table u as select * from t",
            "drop table t",
        ],
        "select * from u",
    ),
    (
        &[
            "create temp table t as select note from notes",
            "create temp table u (note text)",
            "insert into u select * from t",
            "create temp table v (note text)",
            "insert into v select * from u",
            "drop table t, u",
        ],
        "select * from v",
    ),
    (
        &[
            "create temp table t as select note from notes",
            "begin",
            "declare c cursor with hold for select * from t",
            "commit",
            "drop table t",
        ],
        "fetch all from c",
    ),
    (
        &[
            "create temp table t as select note from notes",
            "begin",
            "savepoint a",
            "drop table t",
            "savepoint b",
            "create temp table t (note text)",
            "rollback to b",
            "rollback to a",
            "commit",
        ],
        "select * from t",
    ),
    (
        &[
            "begin",
            "savepoint a",
            "create temp table t (x integer) on commit drop",
            "rollback to a",
            "create temp table t as select note from notes",
            "commit",
        ],
        "select * from t",
    ),
];

#[test]
fn what_was_kept_of_a_column_goes_with_it_however_it_was_kept() {
    let clinic = Clinic::start();
    let mut sessions: Vec<_> = KEPT.iter().map(|(statements, _)| clinic.asked(statements).0).collect();
    for (session, (_, ask)) in sessions.iter_mut().zip(KEPT) {
        // A cursor gives each row once.
        if !ask.starts_with("fetch") {
            assert_eq!(session.ask(ask).unwrap(), "Seen today. SSN [phi.ssn] is new.", "{ask}");
        }
    }
    clinic.take_notes_back();
    for (session, (statements, ask)) in sessions.iter_mut().zip(KEPT) {
        for again in ["", "create temp table if not exists t (note text)"] {
            session.ask(again).unwrap();
            let said = session.ask(ask).unwrap();
            assert!(said.contains("under other permissions"), "{statements:?}: {said}");
        }
    }
}

/// As many temporary tables as a session's names are kept of, and one more: it is there, and nobody knows it.
#[test]
fn a_table_that_nobody_knows_is_not_taken_for_a_new_one() {
    let clinic = Clinic::start();
    let many: Vec<String> = (0..1_000).map(|nth| format!("create temp table z{nth} (i integer)")).collect();
    let many = many.join("; ");
    let before = [&*many, "create temp table t as select note from notes", "drop table z1"];
    let (mut session, _) = clinic.asked(&before);
    clinic.take_notes_back();
    let said = session.ask("create temp table if not exists t (note text)").unwrap();
    assert!(said.contains("nobody knows what it holds"), "{said}");
    let said = session.ask("select * from t").unwrap();
    assert!(!said.contains("Seen"), "{said}");
    // A new one is known.
    session.ask("create temp table u as select cut from plain").unwrap();
    assert_eq!(session.ask("select * from u").unwrap(), "stored");
}

#[test]
fn a_table_that_was_there_does_not_go_with_one_that_was_not_made() {
    let clinic = Clinic::start();
    let (_, said) = clinic.asked(&[
        "create temp table plain as select 'mine' as cut",
        "create temp table if not exists plain (cut text) on commit drop",
        "select cut from plain",
    ]);
    assert_eq!(said, "mine", "and not what is stored under that name");
}
