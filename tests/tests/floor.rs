//! The floor under the rewriting: roles that cannot read what policy shows to nobody who uses them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own set-up may fail it")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use chaperone_tests::{AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, capture, private_folder, root};
use serde_json::Value;

const CLERK: Caller = Caller { subject: "ben", groups: &["billing"], client: None };
const NURSE: Caller = Caller { subject: "ana", groups: &["nurses"], client: None };

const LOGINS: &str = "[[targets.clinic.logins]]\nlogin = \"billing\"\ngroups = [\"dev/billing\"]\n\
    [[targets.clinic.logins]]\nlogin = \"nurses\"\ngroups = [\"dev/nurses\"]\n";

fn layout(home: &Path) -> Layout {
    let secret = |name: &str| {
        let file = home.join(name);
        std::fs::write(&file, name).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        Value::from(file.to_string_lossy()).to_string()
    };
    Layout {
        more: LOGINS.to_owned(),
        more_of_agent: format!(
            "[targets.clinic.logins.billing]\nuser = \"clerks\"\npassword = {{ file = {} }}\n\
             [targets.clinic.logins.nurses]\nuser = \"Nurses\"\npassword = {{ file = {} }}\n",
            secret("clerks"),
            secret("nurses")
        ),
        classification: Some(root().join("demo/classification/clinic.toml")),
        ..Layout::new(AgentPlace::InProcess)
    }
}

/// `chaperone floor`, as the database's administrator.
fn floor(boundary: &Boundary, cluster: &Cluster, words: &[&str]) -> Output {
    let mut command = Command::new(boundary.program());
    command.arg("floor").args(words).args(["--login", "billing", "--login", "nurses"]);
    command.env("CHAPERONE_CONFIG", boundary.config());
    command.env("CHAPERONE_FLOOR_URL", cluster.superuser_url().unwrap());
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What psql says to a statement: its rows, or the refusal.
fn ask(url: &str, statement: &str) -> String {
    let output = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "VERBOSITY=verbose", "-d", url, "-c", statement])
        .output()
        .unwrap();
    said(&output) + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_floor_is_planned_applied_and_verified_and_holds_without_the_gateway() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout(home.path())).unwrap();

    let before = floor(&boundary, &cluster, &["verify"]);
    assert_eq!(before.status.code(), Some(1), "{before:?}");
    assert!(said(&before).contains("clerks: missing: the role"), "{before:?}");
    let plan = said(&floor(&boundary, &cluster, &["plan"]));
    assert!(plan.contains("create role \"Nurses\" login") && plan.contains("group dev/billing"), "{plan}");
    // A clerk sees the end of a social security number, and of a street a text that reads nothing: what shows it reads no
    // more, and of the table itself he has nothing.
    assert!(!plan.contains("\"patients\" to \"clerks\""), "{plan}");
    let mut read = plan.lines().filter(|line| line.contains("\"patients\" to chaperone_floor"));
    assert!(
        read.any(|line| line.contains("\"ssn\"") && !line.contains("street") && !line.contains("phone")),
        "{plan}"
    );

    a_planted_key_is_refused(&boundary, &cluster);

    // Twice, because it is the same the second time.
    for _ in 0..2 {
        let applied = floor(&boundary, &cluster, &["apply"]);
        assert_eq!(applied.status.code(), Some(0), "{applied:?}");
    }
    cluster.sql("alter role clerks password 'clerks'; alter role \"Nurses\" password 'nurses'").unwrap();

    // The database itself refuses what no clerk sees.
    let clerks = format!("postgresql://clerks:clerks@127.0.0.1:{}/clinic", cluster.port());
    for refused in [
        "select phone from clinic.patients limit 1",
        "select * from clinic.patients limit 1",
        "select note from clinic.encounters limit 1",
        "select count(*) from clinic.medications",
        "delete from clinic.claims",
    ] {
        assert!(ask(&clerks, refused).contains("42501"), "{refused}");
    }
    let view = of_clerks(&cluster);
    let shown =
        ask(&clerks, &format!("select rtrim(ssn), phone is null, street from {view} where patient_id = 17"));
    let ssn = cluster.sql("select right(ssn, 4) from clinic.patients where patient_id = 17").unwrap();
    assert_eq!(shown.trim(), format!("***{}|t|***", ssn.trim()));
    // What he reads through he can neither read around nor change.
    for refused in [
        format!("update {view} set family_name = 'x'"),
        format!("alter view {view} set (security_barrier = false)"),
        "select * from chaperone_floor.callers".to_owned(),
        "select * from chaperone_floor.caller".to_owned(),
        "insert into chaperone_floor.callers values (pg_backend_pid(), 'mine', '{}')".to_owned(),
        "create view chaperone_floor.mine as select 1".to_owned(),
        "set role chaperone_floor".to_owned(),
    ] {
        assert!(ask(&clerks, &refused).contains("42501"), "{refused}");
    }
    // Of which table a row is, whoever reads it knows; where it lies, only who sees all of it.
    let numbered = "select count(distinct tableoid) from clinic.claims";
    assert_eq!(ask(&clerks, numbered).trim(), "1");
    // Through the gateway the same statements are answered where policy answers them.
    let url = boundary.credential(&CLERK).unwrap();
    let seen =
        ask(&url, "select family_name, phone is null, street from clinic.patients where patient_id = 17");
    let plain = cluster.sql("select family_name from clinic.patients where patient_id = 17").unwrap();
    assert_eq!(seen.trim(), format!("{}|t|***", plain.trim()));
    assert_eq!(ask(&url, "select count(*) from (select * from clinic.patients) p").trim(), "20000");
    assert_eq!(
        ask(&url, "update clinic.claims set status = 'open' where claim_id = 3 returning claim_id").trim(),
        "3"
    );
    let end = ask(&url, "select left(ssn, 3), length(ssn) from clinic.patients where patient_id = 17");
    assert_eq!(end.trim(), "***|7");
    let nurse = boundary.credential(&NURSE).unwrap();
    assert_eq!(
        ask(&nurse, "select note is not null from clinic.encounters where encounter_id = 1").trim(),
        "t"
    );
    let added = "insert into clinic.encounters select 1000001, patient_id, clinician_id, clinic_id, started_at, reason, \
                 diagnosis, vitals, note from clinic.encounters where encounter_id = 1";
    assert_eq!(ask(&nurse, added), "");

    what_a_statement_says_of_its_columns_is_its_own(&url);
    what_is_altered_is_found(&boundary, &cluster, &view);
    // What somebody changes by hand is found, exactly.
    cluster
        .sql(
            "revoke select (status) on clinic.claims from clerks; grant select (phone, ctid) on clinic.patients to clerks;\
             grant select on clinic.medications to public; alter role clerks bypassrls; grant delete on clinic.clinics to \"Nurses\"",
        )
        .unwrap();
    let after = floor(&boundary, &cluster, &["verify"]);
    assert_eq!(after.status.code(), Some(1));
    let found = said(&after);
    let mut lines: Vec<&str> = found.lines().collect();
    lines.sort_unstable();
    let medications =
        ["dose", "drug", "encounter_id", "ended_on", "medication_id", "patient_id", "started_on"];
    let mut expected: Vec<String> = medications
        .iter()
        .map(|column| format!("clerks: too much: select on clinic.medications.{column} (granted to public)"))
        .collect();
    expected.extend([
        "Nurses: too much: delete on clinic.clinics".to_owned(),
        "clerks: missing: select on clinic.claims.status".to_owned(),
        "clerks: too much: attribute bypassrls".to_owned(),
        "clerks: too much: select on clinic.patients.ctid".to_owned(),
        "clerks: too much: select on clinic.patients.phone".to_owned(),
    ]);
    expected.sort_unstable();
    assert_eq!(lines, expected);
    // Applying it again mends all of it but what everybody has.
    let again = floor(&boundary, &cluster, &["apply", "--json"]);
    let json: Value = serde_json::from_str(&said(&again)).unwrap();
    let left = json["differences"].as_array().unwrap();
    assert!(left.len() == 7 && left.iter().all(|one| one["what"].to_string().contains("public")), "{json}");
}

/// Over what clerks see in part, over such a one, over a system relation, and over what they see whole.
const VIEWS: &str = "create view clinic.apart as select patient_id, ssn, phone from clinic.patients; \
    create view clinic.twice as select phone from clinic.apart; \
    create view clinic.told as select rolname, (select city from clinic.clinics limit 1) from pg_catalog.pg_authid; \
    create view clinic.places as select clinic_id, name from clinic.clinics";
const VIEWS_POLICY: &str = "permit (principal in Group::\"dev/billing\", \
    action in [Action::\"read\", Action::\"insert\", Action::\"update\", Action::\"delete\"], resource in Target::\"clinic\") \
    when { resource in [Relation::\"clinic/clinic.apart\", Relation::\"clinic/clinic.twice\", \
    Relation::\"clinic/clinic.told\", Relation::\"clinic/clinic.places\"] };\n";

/// Views read with their owner's rights, so that whoever may read one that nobody classified has what it reads.
#[test]
fn views_that_are_taken_apart_are_not_read_themselves() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    cluster.sql(VIEWS).unwrap();
    let policy = home.path().join("policy");
    std::fs::create_dir(&policy).unwrap();
    let text = std::fs::read_to_string(root().join("demo/policy/clinic.cedar")).unwrap();
    std::fs::write(policy.join("clinic.cedar"), text + VIEWS_POLICY).unwrap();
    let layout = Layout { policy: Some(policy), ..layout(home.path()) };
    let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
    let applied = floor(&boundary, &cluster, &["apply"]);
    assert_eq!(applied.status.code(), Some(0), "{applied:?}");
    cluster.sql("alter role clerks password 'clerks'").unwrap();

    let clerks = format!("postgresql://clerks:clerks@127.0.0.1:{}/clinic", cluster.port());
    for view in ["apart", "twice", "told"] {
        assert!(ask(&clerks, &format!("select * from clinic.{view} limit 1")).contains("42501"), "{view}");
    }
    let places = cluster.sql("select count(*) from clinic.clinics").unwrap();
    assert_eq!(ask(&clerks, "select count(*) from clinic.places").trim(), places.trim());
    for write in [
        "insert into clinic.places values (99, 'x')",
        "delete from clinic.places",
        "delete from clinic.apart",
    ] {
        assert!(ask(&clerks, write).contains("42501"), "{write}");
    }
    // Through the gateway each shows what is seen of what it reads.
    let through = boundary.credential(&CLERK).unwrap();
    let seen = ask(&through, "select length(ssn), phone is null from clinic.apart where patient_id = 17");
    assert_eq!(seen.trim(), "7|t");
    assert_eq!(ask(&through, "select count(phone) from clinic.twice").trim(), "0");
    assert_eq!(ask(&through, "select count(*) from clinic.places").trim(), places.trim());
    // What was granted of one before is found.
    cluster.sql("grant select on clinic.apart to clerks").unwrap();
    let found = floor(&boundary, &cluster, &["verify"]);
    assert!(said(&found).contains("clerks: too much: select on clinic.apart"), "{found:?}");
}

/// Rows that come through a view of the floor are of no table, and others are, whatever the session has read before.
/// Whoever may make a schema could have made the floor's, with a key of pseudonyms that he knows.
fn a_planted_key_is_refused(boundary: &Boundary, cluster: &Cluster) {
    cluster
        .sql(
            "create role early; grant create on database clinic to early; set role early; create schema chaperone_floor; \
             create table chaperone_floor.key (inner_pad bytea not null, outer_pad bytea not null); \
             insert into chaperone_floor.key values ('a', 'b')",
        )
        .unwrap();
    let applied = floor(boundary, cluster, &["apply"]);
    let told = String::from_utf8_lossy(&applied.stderr);
    assert_eq!(applied.status.code(), Some(1), "{applied:?}");
    assert!(
        told.contains("not made by the floor: schema chaperone_floor of early, chaperone_floor.key of early"),
        "{told}"
    );
    assert_eq!(cluster.sql("select count(*) from pg_roles where rolname = 'clerks'").unwrap().trim(), "0");
    cluster.sql("drop schema chaperone_floor cascade; drop owned by early; drop role early").unwrap();
}

fn what_a_statement_says_of_its_columns_is_its_own(url: &str) {
    let plain = "select claim_id from clinic.claims where claim_id = 3";
    let floored = "select family_name from clinic.patients where patient_id = 17";
    let declares = format!("declare c cursor for {floored}");
    let statements = [
        (plain, Some(true)),
        (floored, Some(false)),
        (plain, Some(true)),
        ("begin", None),
        (&declares, None),
        ("fetch c", Some(false)),
        ("portal:fetch c", Some(false)),
        ("commit", None),
        (&format!("portal:{floored}"), Some(false)),
        (&format!("portal:{plain}"), Some(true)),
        (&format!("prepare p as {floored}"), None),
        ("execute p", Some(false)),
        (plain, Some(true)),
    ];
    let script = root().join("tests/drivers/origins.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(url).args(statements.iter().map(|(statement, _)| statement));
    let had: Vec<Option<bool>> = serde_json::from_str(&capture(&mut command).unwrap()).unwrap();
    assert_eq!(had, statements.map(|(_, wanted)| wanted));
}

/// The view through which clerks read patients.
fn of_clerks(cluster: &Cluster) -> String {
    let views = "select c.oid::regclass from pg_class c where relnamespace = 'chaperone_floor'::regnamespace \
                 and has_table_privilege('clerks', c.oid, 'select')";
    let found = cluster.sql(views).unwrap();
    assert_eq!(found.lines().count(), 1, "{found}");
    found.trim().to_owned()
}

fn what_is_altered_is_found(boundary: &Boundary, cluster: &Cluster, view: &str) {
    let name = view.trim_start_matches("chaperone_floor.");
    let query = cluster.sql(&format!("select pg_get_viewdef('{view}'::regclass)")).unwrap();
    let wider = query.trim().trim_end_matches(';').replace("NULL::text AS phone", "t.phone");
    assert_ne!(wider, query.trim().trim_end_matches(';'));
    let alterations = [
        format!("grant select (phone) on clinic.patients to chaperone_floor; create or replace view {view} with (security_barrier) as {wider}"),
        format!("alter view {view} reset (security_barrier)"),
        format!("comment on view {view} is 'mine'"),
        format!("alter view {view} owner to postgres"),
        "grant insert on chaperone_floor.callers to clerks".to_owned(),
        "grant select on chaperone_floor.caller to public".to_owned(),
        "grant create on schema chaperone_floor to clerks".to_owned(),
        "grant chaperone_floor to clerks".to_owned(),
        "alter role chaperone_floor login".to_owned(),
        "revoke select on clinic.patients from chaperone_floor; revoke select (ssn) on clinic.patients from chaperone_floor".to_owned(),
        format!("revoke select on {view} from clerks"),
        format!("drop view {view}"),
    ];
    for alteration in alterations {
        cluster.sql(&alteration).unwrap();
        let found = floor(boundary, cluster, &["verify"]);
        let said = said(&found);
        let known = [name, "chaperone_floor", "callers"].iter().any(|word| said.contains(word));
        assert!(found.status.code() == Some(1) && known, "{alteration}: {found:?}");
        cluster
            .sql("revoke chaperone_floor from clerks; revoke all on all tables in schema chaperone_floor from public; \
                  revoke create on schema chaperone_floor from clerks")
            .unwrap();
        let mended = floor(boundary, cluster, &["apply"]);
        assert_eq!(mended.status.code(), Some(0), "{alteration}: {mended:?}");
    }
    a_table_of_an_earlier_form_is_named(boundary, cluster, view);
    what_stands_beside_is_found(boundary, cluster, view);
}

/// Nothing is put in its place unasked: views of other logins hang on it.
fn a_table_of_an_earlier_form_is_named(boundary: &Boundary, cluster: &Cluster, view: &str) {
    let other = "create or replace view chaperone_floor.caller as select said from chaperone_floor.callers where false; \
                 alter table chaperone_floor.callers drop session, add started_us bigint";
    cluster.sql(other).unwrap();
    let found = floor(boundary, cluster, &["verify"]);
    assert!(found.status.code() == Some(1), "{found:?}");
    assert!(said(&found).contains("altered: the columns of chaperone_floor.callers"), "{found:?}");
    let refused = floor(boundary, cluster, &["apply"]);
    assert_ne!(refused.status.code(), Some(0), "{refused:?}");
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("of an earlier form") && why.contains("drop table"), "{why}");
    cluster.sql("drop table chaperone_floor.callers cascade").unwrap();
    let mended = floor(boundary, cluster, &["apply"]);
    assert_eq!(mended.status.code(), Some(0), "{view}: {mended:?}");
}

/// What a plan does not make it does not take away either: by hand, and by hand back.
fn what_stands_beside_is_found(boundary: &Boundary, cluster: &Cluster, view: &str) {
    let function =
        "create function chaperone_floor.now() returns trigger language plpgsql as 'begin return new; end'";
    let gone = "drop function chaperone_floor.now() cascade";
    let callers = "chaperone_floor.callers";
    let (of_view, and_back) = (view.to_owned(), format!("drop rule mine on {view}"));
    for (done, undone, found) in [
        (function.to_owned(), gone.to_owned(), "function chaperone_floor.now()"),
        (
            format!("{function}; create trigger mine before insert on {callers} for each row execute function chaperone_floor.now()"),
            gone.to_owned(),
            "trigger mine of chaperone_floor.callers",
        ),
        (format!("create rule mine as on insert to {of_view} do instead nothing"), and_back, "rule mine of "),
        (
            format!("create table clinic.more () inherits ({callers})"),
            "drop table clinic.more".to_owned(),
            "relation clinic.more in chaperone_floor.callers",
        ),
        (
            format!("alter table {callers} add more text"),
            format!("alter table {callers} drop more"),
            "altered: the columns of chaperone_floor.callers",
        ),
        (
            format!("alter table {callers} alter said drop not null"),
            format!("alter table {callers} alter said set not null"),
            "altered: the columns of chaperone_floor.callers",
        ),
        (
            format!("alter table {callers} alter session set default 'x'"),
            format!("alter table {callers} alter session drop default"),
            "altered: the columns of chaperone_floor.callers",
        ),
        (
            format!("alter table {callers} drop constraint callers_pkey"),
            format!("alter table {callers} add primary key (pid)"),
            "altered: the primary key of chaperone_floor.callers",
        ),
        (
            format!("alter table {callers} set logged"),
            format!("alter table {callers} set unlogged"),
            "altered: the table chaperone_floor.callers is kept over a crash",
        ),
        (
            format!("create index more on {callers} (session)"),
            "drop index chaperone_floor.more".to_owned(),
            "index chaperone_floor.more",
        ),
        (
            format!("alter table {callers} add constraint more check (pid > 0)"),
            format!("alter table {callers} drop constraint more"),
            "constraint more of chaperone_floor.callers",
        ),
        (
            format!("alter table {callers} enable row level security"),
            format!("alter table {callers} disable row level security"),
            "row security of chaperone_floor.callers",
        ),
        (
            "create view chaperone_floor.more as select * from clinic.patients".to_owned(),
            "drop view chaperone_floor.more".to_owned(),
            "relation chaperone_floor.more",
        ),
        (
            "create domain chaperone_floor.int4 as text".to_owned(),
            "drop domain chaperone_floor.int4".to_owned(),
            "type chaperone_floor.int4",
        ),
        (
            "alter role chaperone_floor set search_path = clinic".to_owned(),
            "alter role chaperone_floor reset search_path".to_owned(),
            "chaperone_floor: too much: setting search_path",
        ),
        (
            "alter role clerks set search_path = clinic, pg_catalog".to_owned(),
            "alter role clerks reset search_path".to_owned(),
            "clerks: too much: setting search_path",
        ),
        (
            "alter default privileges for role chaperone_floor in schema chaperone_floor grant select on tables to public".to_owned(),
            "alter default privileges for role chaperone_floor in schema chaperone_floor revoke select on tables from public".to_owned(),
            "default privileges in schema chaperone_floor",
        ),
        (
            format!("grant select on {view} to clerks with grant option"),
            format!("revoke grant option for select on {view} from clerks"),
            "clerks: too much: select with grant option on chaperone_floor.",
        ),
        (
            format!("grant trigger on {view} to clerks"),
            format!("revoke trigger on {view} from clerks"),
            "clerks: too much: trigger on chaperone_floor.",
        ),
        (
            "grant usage on schema chaperone_floor to clerks with grant option".to_owned(),
            "revoke grant option for usage on schema chaperone_floor from clerks".to_owned(),
            "clerks: too much: usage with grant option on schema",
        ),
        (
            "create table clinic.more (word text); grant select (word) on clinic.more to chaperone_floor".to_owned(),
            "drop table clinic.more".to_owned(),
            "chaperone_floor: too much: select on clinic.more.word",
        ),
        (
            "grant delete on clinic.patients to chaperone_floor".to_owned(),
            "revoke delete on clinic.patients from chaperone_floor".to_owned(),
            "chaperone_floor: too much: delete on clinic.patients",
        ),
        (
            "revoke usage on schema clinic from chaperone_floor".to_owned(),
            "grant usage on schema clinic to chaperone_floor".to_owned(),
            "chaperone_floor: missing: select on clinic.patients.",
        ),
        (
            "revoke select on chaperone_floor.caller from chaperone_floor".to_owned(),
            "grant select on chaperone_floor.caller to chaperone_floor".to_owned(),
            "chaperone_floor: missing: select on chaperone_floor.caller",
        ),
    ] {
        cluster.sql(&done).unwrap();
        let verified = floor(boundary, cluster, &["verify"]);
        let said = said(&verified);
        assert!(verified.status.code() == Some(1) && said.contains(found), "{done}: {verified:?}");
        cluster.sql(&undone).unwrap();
    }
    let verified = floor(boundary, cluster, &["verify"]);
    assert_eq!((verified.status.code(), said(&verified).as_str()), (Some(0), ""), "{verified:?}");
}

#[test]
fn an_owner_is_no_floor() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout(home.path())).unwrap();
    let mut command = Command::new(boundary.program());
    command.args(["floor", "apply"]).env("CHAPERONE_CONFIG", boundary.config());
    let applied = command.env("CHAPERONE_FLOOR_URL", cluster.superuser_url().unwrap()).output().unwrap();
    assert_eq!(applied.status.code(), Some(1), "{applied:?}");
    assert!(String::from_utf8_lossy(&applied.stderr).contains("owns relations"), "{applied:?}");
    // All or nothing.
    assert_eq!(cluster.sql("select count(*) from pg_roles where rolname = 'clerks'").unwrap().trim(), "0");
}
