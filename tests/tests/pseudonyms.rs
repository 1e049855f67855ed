//! Pseudonyms: made at the database by the floor's views, under a key that stays there.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own set-up may fail it")]

use std::fs;
use std::process::Command;

use chaperone_access::MaskOperator;
use chaperone_masking::{Means, PseudonymKey, mask};
use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Floor, Fsync, Layout, UnderFloor, capture, private_folder,
};
use serde_json::Value;

const CLERK: Caller = Caller { subject: "ben", groups: &["billing"], client: None };

const POLICY: &str = "permit (principal in Group::\"dev/billing\", \
                      action in [Action::\"connect\", Action::\"read\", Action::\"useMasked\"], \
                      resource in Target::\"clinic\");\n";

const TABLES: &str = r"
create table clinic.people (id integer, ssn text, record text);
insert into clinic.people values (1, '123-45-6789', 'x'), (2, '', '123-45-6789'), (3, null, null), (4, 'Núñez 漢字 \ ''', 'y'),
  (5, '987-65-4321', 'z');
create table clinic.letters (id integer, about varchar(64));
insert into clinic.letters values (10, '123-45-6789'), (11, '123-45-6789'), (12, '987-65-4321'), (13, null);
grant all on clinic.people, clinic.letters to chaperone;
";

const RULES: &str = r#"
[relations."clinic.people".columns]
id = { clear = true }
ssn = { tags = ["phi.ssn"], mask = "pseudonym" }
record = { tags = ["phi.mrn"], mask = "pseudonym" }
[relations."clinic.letters".columns]
id = { clear = true }
about = { tags = ["phi.ssn"], mask = "pseudonym" }
"#;

fn ask(url: &str, statement: &str) -> String {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement]);
    capture(&mut psql).map_or_else(|error| error.to_string(), |said| said.trim().to_owned())
}

/// The key that the two sides at the database were made of (RFC 2104).
fn key(cluster: &Cluster) -> PseudonymKey {
    let pads = cluster
        .sql("select encode(inner_pad, 'hex'), encode(outer_pad, 'hex') from chaperone_floor.key")
        .unwrap();
    let (inner, outer) = pads.trim().split_once('|').unwrap();
    let bytes = |side: &str| -> Vec<u8> {
        (0..64).map(|at| u8::from_str_radix(&side[2 * at..2 * at + 2], 16).unwrap()).collect()
    };
    let secret: Vec<u8> = bytes(inner).iter().map(|byte| byte ^ 0x36).collect();
    assert_eq!(bytes(outer), secret.iter().map(|byte| byte ^ 0x5c).collect::<Vec<u8>>());
    assert!(secret[32..].iter().all(|byte| *byte == 0) && secret[..32].iter().any(|byte| *byte != 0));
    let secret: [u8; 32] = secret[..32].try_into().unwrap();
    PseudonymKey::new(secret.into())
}

#[test]
fn equal_values_have_equal_pseudonyms_under_a_key_that_nobody_reads() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    cluster.sql(TABLES).unwrap();
    let (folder, file) = (home.path().join("rules"), home.path().join("clinic.toml"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("rules.cedar"), POLICY).unwrap();
    fs::write(&file, RULES).unwrap();
    let login = UnderFloor { login: "clerks", role: "clerks", groups: vec!["dev/billing".to_owned()] };
    let floor = Floor::new(home.path(), vec![login]).unwrap();
    let mut layout = Layout {
        policy: Some(folder),
        more: format!("classification = {}\n", Value::from(file.to_string_lossy())),
        ..Layout::new(AgentPlace::InProcess)
    };
    floor.declare("clinic", &mut layout);
    let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
    floor.apply(&boundary, "clinic", &cluster).unwrap();
    let url = boundary.credential(&CLERK).unwrap();

    // As the function of a value makes them, to the last digit.
    let shown = |column: &str, table: &str| -> Vec<Option<String>> {
        let rows = format!("select json_agg({column} order by id) from clinic.{table}");
        serde_json::from_str(&ask(&url, &rows)).unwrap()
    };
    let made = key(&cluster);
    for (column, table, tag) in
        [("ssn", "people", "phi.ssn"), ("record", "people", "phi.mrn"), ("about", "letters", "phi.ssn")]
    {
        let rows = format!("select json_agg({column} order by id) from clinic.{table}");
        let plain: Vec<Option<String>> = serde_json::from_str(&cluster.sql(&rows).unwrap()).unwrap();
        let means = Means { key: Some(&made), tag, this_year: 2026 };
        let expected: Vec<Option<String>> =
            plain.iter().map(|value| mask(value.as_ref()?, &MaskOperator::Pseudonym, &means)).collect();
        assert_eq!(shown(column, table), expected, "{column}");
        assert_eq!(expected.iter().flatten().count(), plain.iter().flatten().count());
    }
    let joined = "select count(*), count(distinct l.about) from clinic.letters l join clinic.people p on p.ssn = l.about";
    assert_eq!(ask(&url, joined), "3|2");
    assert_eq!(
        ask(&url, "select count(*) from clinic.people where ssn = '123-45-6789' or ssn = record"),
        "0"
    );

    // Neither through the gateway nor past it.
    let past =
        format!("postgresql://clerks:{}@127.0.0.1:{}/clinic", floor.password().unwrap(), cluster.port());
    for (url, said) in [(&url, "does not exist"), (&past, "permission denied")] {
        let refused = ask(url, "select inner_pad from chaperone_floor.key");
        assert!(refused.contains(said), "{refused}");
    }
    let plan = ask(&past, "explain (verbose) select ssn from clinic.people");
    assert!(plan.contains("permission denied"), "{plan}");

    // Applied again it is the same one; deleted, another.
    let before = shown("ssn", "people");
    floor.apply(&boundary, "clinic", &cluster).unwrap();
    assert_eq!(shown("ssn", "people"), before);
    cluster.sql("grant select on chaperone_floor.key to clerks").unwrap();
    let found = floor.verb(&boundary, &cluster, &["verify", "clinic"]).unwrap().output().unwrap();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(found.contains("clerks: too much: select on chaperone_floor.key"), "{found}");
    cluster.sql("revoke select on chaperone_floor.key from clerks; delete from chaperone_floor.key").unwrap();
    assert_eq!(ask(&url, "select count(ssn) from clinic.people"), "0");
    floor.apply(&boundary, "clinic", &cluster).unwrap();
    let after = shown("ssn", "people");
    assert!(after.iter().zip(&before).all(|(after, before)| after.is_none() == before.is_none()));
    assert!(after.iter().flatten().all(|after| !before.contains(&Some(after.clone()))), "{after:?}");
}
