//! A classification from outside: what it hides, how it is changed under open sessions, and how its gaps are found.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own set-up may fail it")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use chaperone_tests::{AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, Talk, private_folder, root};

const ENGINEER: Caller = Caller { subject: "dora", groups: &["engineers"], client: None };
const CLERK: Caller = Caller { subject: "ben", groups: &["billing"], client: None };
/// How soon an open session follows another classification.
const FOLLOWED: Duration = Duration::from_secs(5);

/// How soon what is new at the target is found; the catalog is read by itself every 60 s.
const FOUND: Duration = Duration::from_secs(15);

const POLICY: &str = r#"
permit (principal in Group::"dev/billing", action in [Action::"connect", Action::"read"], resource in Target::"clinic");
permit (principal in Group::"dev/billing", action == Action::"reveal", resource in Target::"clinic")
when { resource in [Tag::"phi.name"] };
permit (principal in Group::"dev/billing", action in [Action::"useMasked", Action::"seeAllRows"], resource in Target::"clinic");
permit (principal in Group::"dev/engineers", action, resource in Target::"clinic");
"#;

struct Installation {
    boundary: Boundary,
    cluster: Cluster,
    file: PathBuf,
    _home: tempfile::TempDir,
}

impl Installation {
    fn start() -> Self {
        let home = private_folder("test").unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let policy = home.path().join("rules");
        fs::create_dir(&policy).unwrap();
        fs::write(policy.join("rules.cedar"), POLICY).unwrap();
        let mut layout = Layout::new(AgentPlace::InProcess);
        layout.policy = Some(policy);
        layout.classification = Some(root().join("demo/classification/clinic.toml"));
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        let file = home.path().join("chaperone/classification/clinic.toml");
        Self { boundary, cluster, file, _home: home }
    }

    fn open(&self) -> Talk {
        self.open_as(&CLERK)
    }

    fn open_as(&self, caller: &Caller) -> Talk {
        let mut psql = Command::new("psql");
        psql.args(["-XAtq", "-v", "VERBOSITY=verbose", "-d", &self.boundary.credential(caller).unwrap()]);
        Talk::start(&psql).unwrap()
    }

    /// Another classification, by a change of the text of the one before; what reloading says.
    fn change(&self, from: &str, to: &str) -> Result<String, String> {
        let before = fs::read_to_string(&self.file).unwrap();
        assert!(before.contains(from), "{from}");
        fs::write(&self.file, before.replace(from, to)).unwrap();
        self.boundary.cli(&["policy", "reload"]).map_err(|failure| failure.to_string())
    }
}

const ASK: &str =
    "select family_name, trim(ssn), street, sex is null from clinic.patients where patient_id = 17";

#[test]
fn open_sessions_follow_another_classification_and_a_bad_one_changes_nothing() {
    let it = Installation::start();
    let truth = it
        .cluster
        .sql("select family_name || '|' || ssn from clinic.patients where patient_id = 17")
        .unwrap();
    let (name, ssn) = truth.trim().split_once('|').unwrap();
    let masked = format!("{name}|***{}|***|t", &ssn[ssn.len() - 4..]);
    let mut session = it.open();
    assert_eq!(session.ask(ASK).unwrap(), masked);

    // Somebody decides that the number is nobody's business to hide.
    let hidden = "ssn         = { tags = [\"phi.ssn\"], mask = \"last_four\" }";
    it.change(hidden, "ssn = { clear = true }").unwrap();
    let clear = format!("{name}|{ssn}|***|t");
    session.until(FOLLOWED, ASK, |said| said.as_ref().is_ok_and(|said| *said == clear)).unwrap();
    // The record says how soon, as of other policies.
    let begun = Instant::now();
    let followed = loop {
        if let Some(followed) = it.boundary.entries_of("session.followed").unwrap().pop() {
            break followed;
        }
        assert!(begun.elapsed() < FOLLOWED, "the session follows on no record");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(followed["after_us"].as_u64().unwrap() < 5_000_000, "{followed}");

    // A file with a fault is refused with its place, and nothing has changed.
    let refused = it.change("ssn = { clear = true }", "ssn = { tags = [\"phi.snn\"] }").unwrap_err();
    assert!(refused.contains("clinic.toml:") && refused.contains("is it `phi.ssn`?"), "{refused}");
    assert_eq!(session.ask(ASK).unwrap(), clear);

    // Without a line it is hidden; the name was left alone.
    it.change("ssn = { tags = [\"phi.snn\"] }", "").unwrap();
    let gone = format!("{name}||***|t");
    session.until(FOLLOWED, ASK, |said| said.as_ref().is_ok_and(|said| *said == gone)).unwrap();

    it.boundary.cli(&["trail", "verify"]).unwrap();
    let record = it.boundary.cli(&["trail", "tail", "--lines", "1000"]).unwrap();
    let loaded: Vec<&str> =
        record.lines().filter(|line| line.contains("\"kind\":\"classification.loaded\"")).collect();
    assert_eq!(loaded.len(), 3, "start and two changes: {record}");
    assert!(loaded[0].contains("\"by\":\"start\"") && !loaded[1].contains("\"by\":\"start\""), "{loaded:?}");
    assert_eq!(record.matches("\"kind\":\"policy.refused\"").count(), 1);
    assert_eq!(record.matches("\"kind\":\"catalog.loaded\"").count(), 1, "the target itself did not change");
}

#[test]
fn what_is_new_at_the_target_is_found_and_hidden_until_it_is_decided() {
    let it = Installation::start();
    let classify = |words: &[&str]| it.boundary.cli(&[&["classify", "clinic"], words].concat());
    assert_eq!(classify(&["--check"]).unwrap(), "");
    let mut session = it.open();
    assert_eq!(session.ask("select count(*) from clinic.clinics").unwrap(), "8");

    // Somebody else makes a table: a statement that names it finds it, as soon as it may be looked for again, and long
    // before the catalog is read by itself. Nothing of it is shown.
    let make = "create table clinic.visitors (visitor_id int, family_name text, badge text); \
                insert into clinic.visitors values (1, 'Somebody', 'b7'); \
                grant select on clinic.visitors to public";
    it.cluster.sql(make).unwrap();
    let ask = "select family_name, badge from clinic.visitors";
    session
        .until(FOUND, ask, |said| said.as_ref().is_ok_and(|said| said.contains("is not classified")))
        .unwrap();

    let refused = classify(&["--check"]).unwrap_err().to_string();
    assert!(refused.contains("clinic.visitors: family_name (text) is not decided"), "{refused}");
    let proposed = classify(&[]).unwrap();
    let line = "family_name = { tags = [\"phi.name\"], mask = \"first_letter\" }";
    assert!(
        proposed.contains("[relations.\"clinic.visitors\".columns]") && proposed.contains(line),
        "{proposed}"
    );

    // What is accepted from the proposal holds after a reload; what is not stays hidden.
    classify(&["--write"]).unwrap();
    it.boundary.cli(&["policy", "reload"]).unwrap();
    session.until(FOLLOWED, ask, |said| said.as_ref().is_ok_and(|said| said == "Somebody|")).unwrap();
    let json = it.boundary.cli_json(&["classify", "clinic"]).unwrap();
    assert_eq!(json.pointer("/undecided/0/columns/1/name").unwrap(), "badge", "{json}");
}

/// What a transaction defines is there for others when it is committed: whoever read the catalog in between has read the old one.
#[test]
fn what_was_defined_in_a_transaction_is_known_once_it_is_committed() {
    let it = Installation::start();
    it.cluster.sql("alter table clinic.clinicians owner to chaperone").unwrap();
    let loaded = || it.boundary.entries_of("catalog.loaded").unwrap();
    let (mut owner, mut clerk) = (it.open_as(&ENGINEER), it.open());
    let mut ask = || assert_eq!(clerk.ask("select count(*) from clinic.clinics").unwrap(), "8");
    for (alter, end) in [
        ("alter table clinic.clinicians add column badge text", "commit"),
        ("alter table clinic.clinicians add column desk text", "commit and chain"),
    ] {
        ask();
        assert_eq!(owner.ask(&format!("begin; {alter}")).unwrap(), "");
        ask();
        let before = loaded();
        assert_eq!(owner.ask(end).unwrap(), "");
        ask();
        let after = loaded();
        assert_ne!(before.last().unwrap()["catalog"], after.last().unwrap()["catalog"], "{alter}; {end}");
    }
}

/// A column, function or type that nobody knows may have come since.
#[test]
fn whatever_is_new_is_looked_for_before_it_is_refused() {
    let it = Installation::start();
    let mut session = it.open();
    let hidden = |said: &str| said == "|t";
    let ask = "select badge, badge is null from clinic.medications limit 1";
    let unknown = session.ask(ask).unwrap();
    assert!(unknown.contains("column \"badge\" does not exist"), "{unknown}");
    it.cluster.sql("alter table clinic.medications add column badge text not null default 'b7'").unwrap();
    session.until(FOUND, ask, |said| said.as_ref().is_ok_and(|said| hidden(said))).unwrap();

    let ask = "select 'high'::clinic.urgency";
    assert!(session.ask(ask).unwrap().contains("type `clinic.urgency` is not among those"));
    it.cluster.sql("create type clinic.urgency as enum ('low', 'high')").unwrap();
    session.until(FOUND, ask, |said| said.as_ref().is_ok_and(|said| said == "high")).unwrap();
}

#[test]
fn a_row_filter_that_does_not_fit_shows_nothing() {
    let mut it = Installation::start();
    let mut session = it.open();
    let ask = "select count(*), max(family_name) is null from clinic.patients";
    assert_eq!(session.ask(ask).unwrap(), "20000|f", "`seeAllRows` lifts the filter");
    // The attribute is a list of texts, the column a number: the target itself says so.
    it.change("caller.clinics::integer[]", "caller.clinics").unwrap();
    session
        .until(FOLLOWED, ask, |said| said.as_ref().is_ok_and(|said| said.contains("is not classified")))
        .unwrap();
    let log = it.boundary.gateway().log();
    assert!(
        log.contains("the row filter of `clinic.patients` does not fit it: operator does not exist"),
        "{log}"
    );
}

#[test]
fn samples_are_told_by_kinds_and_never_by_values() {
    let it = Installation::start();
    let make = "create table clinic.visitors (visitor_id int, badge text, remark text, ssn_of_kin text, state text); \
                insert into clinic.visitors select n, '219-09-' || to_char(n, 'FM0000'), \
                'Came to see somebody on the third floor; can be called at (617) 555-0' || (100 + n) || ' after lunch.', \
                '21909' || to_char(n, 'FM0000'), 'open' from generate_series(1, 50) n; \
                grant select on clinic.visitors to chaperone";
    it.cluster.sql(make).unwrap();
    // As soon as the catalog is read again.
    let mut session = it.open();
    let ask = "select state from clinic.visitors";
    session
        .until(FOUND, ask, |said| said.as_ref().is_ok_and(|said| said.contains("is not classified")))
        .unwrap();
    let proposed = it.boundary.cli(&["classify", "clinic", "--samples", "40"]).unwrap();
    for line in [
        "badge      = { tags = [\"phi.ssn\"] }  # text: its name tells nothing; of 40 samples phi.ssn in 40",
        "remark     = { tags = [\"clinical.note\"], scan = true }",
        "ssn_of_kin = { tags = [\"phi.ssn\"], mask = \"last_four\" }",
        "nothing found in 40 samples",
    ] {
        assert!(proposed.contains(line), "{line}: {proposed}");
    }
    assert!(
        !proposed.contains("219-09") && !proposed.contains("555-0") && !proposed.contains("third floor"),
        "{proposed}"
    );
    let plain = it.boundary.cli(&["classify", "clinic"]).unwrap();
    assert!(!plain.contains("samples"), "{plain}");
}
