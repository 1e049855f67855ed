//! A credential for some columns of some relations, by PostgreSQL's own client: what it was not made for is neither seen,
//! nor told by what is seen, nor written, whatever its holder may do himself, and whether or not the target is classified.

#![allow(clippy::unwrap_used, reason = "a test's own set-up may fail it")]

use std::fs;
use std::process::Command;

use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Fsync, LOGIN, Layout, Talk, capture, private_folder,
};
use serde_json::Value;
use tempfile::TempDir;

const OWNER: Caller = Caller { subject: "ona", groups: &["owners"], client: None };
/// Nothing is hidden from its members: without a narrowed credential their own words are sent.
const EVERYTHING: &str =
    "permit (principal in Group::\"dev/owners\", action, resource in Target::\"clinic\");\n";
const CLASSIFICATION: &str = r#"
[relations."clinic.patients".columns]
patient_id = { clear = true, subject = true }
mrn = { tags = ["phi.mrn"], mask = "last_four" }
ssn = { tags = ["phi.ssn"], mask = "last_four" }
family_name = { tags = ["phi.name"], mask = "first_letter" }
given_name = { tags = ["phi.name"], mask = "first_letter" }
birth_date = { tags = ["phi.date"], mask = "year" }
"#;
/// A view over what is left out.
const VIEWS: &str = "create view clinic.contacts as select patient_id, ssn, family_name from clinic.patients";

struct Clinic {
    boundary: Boundary,
    _cluster: Cluster,
    _home: TempDir,
}

impl Clinic {
    fn start(classification: Option<&str>) -> Self {
        let home = private_folder("test").unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        cluster.sql(VIEWS).unwrap();
        cluster.sql(&format!("grant select on clinic.contacts to {LOGIN}")).unwrap();
        let folder = home.path().join("rules");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("rules.cedar"), EVERYTHING).unwrap();
        let mut layout = Layout::new(AgentPlace::InProcess);
        layout.policy = Some(folder);
        if let Some(text) = classification {
            let file = home.path().join("clinic.toml");
            fs::write(&file, text).unwrap();
            // The target's table is the last one before it.
            layout.more = format!("classification = {}\n", Value::from(file.to_string_lossy()));
        }
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        Self { boundary, _cluster: cluster, _home: home }
    }

    fn open(&self, only: &[&str]) -> Talk {
        let mut words = vec!["credential", "clinic", "--as", OWNER.subject, "--group", "owners"];
        only.iter().for_each(|only| words.extend(["--only", only]));
        let url = self.boundary.cli(&words).unwrap();
        Talk::start(Command::new("psql").args(["-XAtq", "-d", url.trim()])).unwrap()
    }
}

/// Both names, since an index is over both: who does not see one of them does not write the other.
const COLUMNS: &str = "clinic.patients(patient_id, family_name, given_name)";

fn sees_two_columns(clinic: &Clinic) {
    let mut all = clinic.open(&[]);
    let name = all.ask("select family_name from clinic.patients where patient_id = 7").unwrap();
    let number = all.ask("select ssn from clinic.patients where patient_id = 7").unwrap();
    assert_eq!(number.len(), 11, "{number}");

    let mut some = clinic.open(&[COLUMNS]);
    let one = "from clinic.patients where patient_id = 7";
    assert_eq!(some.ask(&format!("select family_name {one}")).unwrap(), name);
    for hidden in [
        format!("select ssn {one}"),
        format!("select to_jsonb(p) ->> 'ssn' from (select * {one}) p"),
        format!("select s from (select ssn {one}) as x(s)"),
        format!("select max(ssn) {one}"),
        format!("table clinic.patients limit 0; select ssn {one}"),
        format!("prepare p as select ssn {one}; execute p"),
        format!("begin; declare c cursor for select ssn {one}; fetch c; commit"),
        format!("copy (select ssn {one}) to stdout (null '')"),
        format!("create temp table t as select * {one}; select ssn from t; drop table t"),
        format!("select birth_date {one}"),
    ] {
        assert_eq!(some.ask(&hidden).unwrap(), "", "{hidden}");
    }
    let counted = |condition: &str| format!("select count(*) from clinic.patients where {condition}");
    assert_eq!(some.ask(&counted(&format!("ssn = '{number}'"))).unwrap(), "0");
    assert_eq!(some.ask(&counted("ssn is null")).unwrap(), all.ask(&counted("true")).unwrap());

    // Neither by itself nor by what reads it.
    for refused in [
        "update clinic.patients set ssn = 'x' where patient_id = 7",
        "update clinic.patients set (family_name, ssn) = ('x', 'y') where patient_id = 7",
        "update clinic.patients set family_name = 'x' where ssn like '1%'",
        "insert into clinic.patients values (70001)",
        "insert into clinic.patients (patient_id, ssn) values (70001, 'x')",
        "insert into clinic.patients (patient_id, family_name) values (7, 'x') \
         on conflict (patient_id) do update set ssn = 'x'",
        "merge into clinic.patients p using (select 7 as id) x on p.patient_id = x.id \
         when matched then update set ssn = 'x'",
        "copy clinic.patients (patient_id, ssn) from stdin",
        "delete from clinic.patients where patient_id = 7",
        "truncate clinic.patients",
        "alter table clinic.patients drop column ssn",
        "explain analyze select ssn from clinic.patients",
        "select * from clinic.contacts",
        "select * from clinic.claims",
        "do $$ begin perform 1; end $$",
    ] {
        let said = some.ask(refused).unwrap();
        assert!(said.contains("ERROR"), "{refused}: {said}");
    }
    assert_eq!(all.ask(&format!("select family_name || ssn {one}")).unwrap(), format!("{name}{number}"));

    let renamed = "update clinic.patients set family_name = family_name where patient_id = 7 returning ssn";
    assert_eq!(some.ask(renamed).unwrap(), "");
}

#[test]
fn a_credential_for_some_columns_shows_and_writes_no_others() {
    let clinic = Clinic::start(None);
    sees_two_columns(&clinic);
    // A view shows what its credential has of it and of what it reads.
    let ask = |only: &[&str], sql: &str| clinic.open(only).ask(sql).unwrap();
    let one = "from clinic.contacts where patient_id = 7";
    let both = &["clinic.contacts", "clinic.patients"][..];
    assert_eq!(ask(both, &format!("select ssn {one}")).len(), 11);
    let mut of_view = clinic.open(&["clinic.contacts(patient_id, family_name)", "clinic.patients"]);
    assert_eq!(of_view.ask(&format!("select ssn {one}")).unwrap(), "");
    assert_ne!(of_view.ask(&format!("select family_name {one}")).unwrap(), "");
    let mut of_table = clinic.open(&["clinic.contacts", COLUMNS]);
    assert_eq!(of_table.ask(&format!("select ssn {one}")).unwrap(), "");
    assert_ne!(of_table.ask(&format!("select family_name {one}")).unwrap(), "");
}

#[test]
fn the_same_holds_at_a_classified_target() {
    let clinic = Clinic::start(Some(CLASSIFICATION));
    sees_two_columns(&clinic);
    // Nobody says what the view's own columns hold: they follow from the table's, and are not left out by themselves.
    let said = clinic.open(&["clinic.contacts(family_name)", "clinic.patients"]).ask("table clinic.contacts");
    assert!(said.as_ref().unwrap().contains("ERROR"), "{said:?}");
    let mut of_table = clinic.open(&["clinic.contacts", COLUMNS]);
    let one = "from clinic.contacts where patient_id = 7";
    assert_eq!(of_table.ask(&format!("select ssn {one}")).unwrap(), "");
    assert_ne!(of_table.ask(&format!("select family_name {one}")).unwrap(), "");
}

#[test]
fn columns_are_taken_away_offline_and_never_added() {
    let clinic = Clinic::start(None);
    let words = ["credential", "clinic", "--as", OWNER.subject, "--group", "owners", "--only", COLUMNS];
    let url = clinic.boundary.cli(&words).unwrap();
    let narrow = |only: &str| {
        let line = "printf %s \"$0\" | \"$1\" credential narrow --only \"$2\"";
        let mut shell = Command::new("sh");
        capture(shell.args(["-c", line, url.trim()]).arg(clinic.boundary.program()).arg(only))
    };
    let open = |url: &str| Talk::start(Command::new("psql").args(["-XAtq", "-d", url.trim()])).unwrap();
    let seen = "select family_name is null, ssn is null from clinic.patients where patient_id = 7";
    assert_eq!(open(&url).ask(seen).unwrap(), "f|t");
    assert_eq!(open(&narrow("clinic.patients(ssn, patient_id)").unwrap()).ask(seen).unwrap(), "t|t");
    assert_eq!(open(&narrow("clinic.patients").unwrap()).ask(seen).unwrap(), "f|t");
    for unusable in ["patients", "clinic.patients()", "clinic.patients(ssn"] {
        assert!(narrow(unusable).is_err(), "{unusable}");
    }
}
