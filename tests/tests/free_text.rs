//! Free text in columns marked `scan`: a caller who is seen in part gets it without the identifiers that detectors find, in
//! every way that it can be asked for, and the record counts them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's own set-up may fail it"
)]

use std::fs;
use std::process::{Command, Stdio};

use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, capture, private_folder, root, target_dir,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const CLERK: Caller = Caller { subject: "ben", groups: &["billing"], client: None };

/// The specimen that everybody writes: it stands for nobody.
const SSN: &str = "123-45-6789";
const PHONE: &str = "(617) 555-0123";

const TABLES: &str = r#"
create table clinic.notes (id integer primary key, note text, doc jsonb, words text[], size integer, author text);
create table clinic.sizes (id integer primary key, cut text);
create view clinic.told as select id, note as said from clinic.notes;
insert into clinic.notes values
  (1, 'Seen today. SSN 123-45-6789, call (617) 555-0123 now.', '{"text": "call (617) 555-0123", "ssn": 7}', '{"SSN 123-45-6789",plain}', 7, 'x'),
  (2, 'Nothing to see.', null, null, null, null),
  (3, E'one\nSSN 123-45-6789\n"quoted"\ttab', '{"lines": "one\nSSN 123-45-6789"}', '{}', 8, 'y');
insert into clinic.sizes values (1, 'first'), (2, 'second');
grant all on clinic.notes, clinic.sizes, clinic.told to chaperone;
"#;

const CLASSIFICATION: &str = r#"
[relations."clinic.notes".columns]
id = { clear = true }
note = { tags = ["clinical.note"], scan = true }
doc = { tags = ["clinical.note"], scan = true }
words = { tags = ["clinical.note"], scan = true }
size = { clear = true }
author = { tags = ["phi.name"] }
[relations."clinic.sizes"]
clear = true
"#;

const REVEALED: &str = r#"
permit (principal in Group::"dev/billing",
        action in [Action::"connect", Action::"read", Action::"insert", Action::"useMasked"],
        resource in Target::"clinic");
permit (principal in Group::"dev/billing", action == Action::"reveal", resource in Target::"clinic")
when { resource in [Tag::"clinical.note"] };
"#;

struct Clinic {
    cluster: Cluster,
    boundary: Boundary,
    home: TempDir,
}

impl Clinic {
    fn start(more: &str) -> Self {
        let home = private_folder("test").unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        cluster.sql(TABLES).unwrap();
        let (folder, classification) = (home.path().join("rules"), home.path().join("clinic.toml"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("rules.cedar"), REVEALED).unwrap();
        fs::write(&classification, CLASSIFICATION).unwrap();
        let mut layout = Layout::new(AgentPlace::InProcess);
        layout.policy = Some(folder);
        // The target's table is the last one before it.
        layout.more = format!("classification = {}\n{more}", Value::from(classification.to_string_lossy()));
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        Self { cluster, boundary, home }
    }

    fn url(&self) -> String {
        self.boundary.credential(&CLERK).unwrap()
    }

    fn rules(&self, policy: &str) {
        fs::write(self.home.path().join("chaperone/policy/rules.cedar"), policy).unwrap();
        self.boundary.cli(&["policy", "reload"]).unwrap();
    }

    /// One psql command, `-c` each; what it printed, errors included.
    fn psql(&self, commands: &[&str]) -> String {
        let mut psql = Command::new("sh");
        psql.args(["-c", "exec psql -X -A -t -q -v VERBOSITY=verbose -d \"$0\" \"$@\" 2>&1; true"])
            .arg(self.url());
        for command in commands {
            psql.args(["-c", command]);
        }
        let out = psql.stderr(Stdio::piped()).output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    }

    /// What the newest session's outcomes say of free text, in order; those that say nothing are left out.
    fn counted(&self) -> Vec<Value> {
        let sessions = self.boundary.cli_json(&["sessions"]).unwrap();
        let newest = sessions.as_array().unwrap().iter().max_by_key(|one| one["opened_at"].as_u64()).unwrap();
        let session = newest["session"].as_str().unwrap().to_owned();
        let key = self.boundary.reader_key();
        let shown = ["session", "show", &session, "--reader-key", &key.to_string_lossy()];
        let shown = self.boundary.cli_json(&shown).unwrap();
        let entries = shown["entries"].as_array().unwrap();
        let outcomes = entries.iter().filter(|entry| entry["kind"] == "operation.outcome");
        outcomes.map(|entry| entry["free_text"].clone()).filter(|counted| !counted.is_null()).collect()
    }
}

/// What is asked, each in one session, and what has to be in the answer.
const WAYS: &[(&[&str], &str)] = &[
    (&["select note from clinic.notes where id = 1"], "Seen today. SSN [phi.ssn], call [phi.phone] now."),
    (
        &["select id, upper(note), size from clinic.notes where id = 1"],
        "1|SEEN TODAY. SSN [phi.ssn], CALL [phi.phone] NOW.|7",
    ),
    (&["select note from clinic.notes where id = 2"], "Nothing to see."),
    (&["select n from clinic.notes n where id = 1"], "SSN [phi.ssn], call [phi.phone] now."),
    (&["select (n).* from clinic.notes n where id = 1"], "SSN [phi.ssn], call [phi.phone] now."),
    (
        &["select row_to_json(n) from clinic.notes n where id = 1"],
        "\"note\":\"Seen today. SSN [phi.ssn], call [phi.phone] now.\"",
    ),
    (
        &["select * from clinic.notes join clinic.sizes using (id) where id = 1"],
        "1|Seen today. SSN [phi.ssn], call [phi.phone] now.",
    ),
    (
        &["with w as (select note as x from clinic.notes) select x from w where x like 'Seen%'"],
        "SSN [phi.ssn]",
    ),
    (&["select s.x from (select id, note || '' as x from clinic.notes) s where id = 1"], "SSN [phi.ssn]"),
    (&["select said from clinic.told where id = 1"], "SSN [phi.ssn]"),
    (
        &["select string_agg(note, '|' order by id) from clinic.notes"],
        "now.|Nothing to see.|one\nSSN [phi.ssn]",
    ),
    (&["select (select note from clinic.notes where id = 1)"], "SSN [phi.ssn]"),
    (&["select note from clinic.notes where id = 1 union all select cut from clinic.sizes"], "SSN [phi.ssn]"),
    (&["select words from clinic.notes where id = 1"], "{\"SSN [phi.ssn]\",plain}"),
    (&["select doc from clinic.notes where id = 1"], "{\"ssn\": 7, \"text\": \"call [phi.phone]\"}"),
    (&["select doc from clinic.notes where id = 3"], "{\"lines\": \"one\\nSSN [phi.ssn]\"}"),
    (
        &["insert into clinic.notes (id, note) values (9, 'SSN 123-45-6789') returning id, note"],
        "9|SSN [phi.ssn]",
    ),
    (&["copy clinic.notes (note, id) to stdout"], "Seen today. SSN [phi.ssn], call [phi.phone] now.\t1"),
    (&["copy clinic.notes (note, id) to stdout"], "one\\nSSN [phi.ssn]\\n\"quoted\"\\ttab\t3"),
    (
        &["copy (select id, note from clinic.notes) to stdout (format csv, header)"],
        "3,\"one\nSSN [phi.ssn]\n\"\"quoted\"\"\ttab\"",
    ),
    (&["begin; declare c cursor for select note from clinic.notes; fetch 1 from c; commit"], "SSN [phi.ssn]"),
    (
        &["begin", "declare c cursor for select note from clinic.notes", "fetch 1 from c", "commit"],
        "SSN [phi.ssn]",
    ),
    (&["prepare p as select note from clinic.notes where id = $1", "execute p(1)"], "SSN [phi.ssn]"),
    (
        &[
            "create temp table kept as select id, note as n from clinic.notes",
            "select n from kept where id = 1",
        ],
        "SSN [phi.ssn]",
    ),
    (
        &[
            "create temp table kept (a text)",
            "insert into kept select note from clinic.notes",
            "create temp table again as select a from kept",
            "select * from again",
        ],
        "SSN [phi.ssn]",
    ),
    (&["create temp table kept as select note from clinic.notes; select * from kept"], "SSN [phi.ssn]"),
    // Beside a column of its own, and where a write has put it.
    (
        &[
            "create temp table kept as select id, note as n from clinic.notes",
            "select k.n, m.note from kept k join clinic.notes m on m.id = k.id where m.id = 1",
        ],
        "SSN [phi.ssn], call [phi.phone] now.|Seen",
    ),
    (
        &[
            "create temp table kept as select id, note as n from clinic.notes",
            "copy (select k.n, m.note from kept k join clinic.notes m on m.id = k.id where m.id = 1) to stdout",
        ],
        "SSN [phi.ssn], call [phi.phone] now.\tSeen",
    ),
    (
        &["create temp table kept as select note as n from clinic.notes", "copy kept to stdout"],
        "SSN [phi.ssn]",
    ),
    (
        &[
            "create temp table kept as select note as n from clinic.notes",
            "copy (select 1, n from kept) to stdout (format csv)",
        ],
        "SSN [phi.ssn]",
    ),
    // A text may begin as a list does.
    (
        &["copy (select '(617) 555-0100 ' || substr(note, 1, 4) from clinic.notes where id = 1) to stdout"],
        "[phi.phone] Seen",
    ),
    // Elements are read each by itself.
    (
        &[
            "copy (select array['1', substr(note, 17, 11)] from clinic.notes where id = 1) to stdout (format csv)",
        ],
        "[phi.ssn]",
    ),
    (&["select row('a', substr(note, 17, 11)) from clinic.notes where id = 1"], "[phi.ssn]"),
    (&["select array['1', substr(note, 17, 11)] from clinic.notes where id = 1"], "[phi.ssn]"),
    (
        &["copy (select array['1', substr(note, 17, 11)] from clinic.notes where id = 1) to stdout"],
        "[phi.ssn]",
    ),
    (
        &[
            "create temp table kept (id int, n text)",
            "insert into kept select id from clinic.notes",
            "update kept k set n = m.note from clinic.notes m where m.id = k.id",
            "select n from kept where id = 1",
        ],
        "SSN [phi.ssn]",
    ),
    (
        &[
            "insert into clinic.sizes (id, cut) select id + 100, note from clinic.notes where id = 1 returning cut",
        ],
        "SSN [phi.ssn]",
    ),
    (
        &[
            "select (s).* from (select 0, ''::text) s(a, b) union all select id, note from clinic.notes where id = 1",
        ],
        "SSN [phi.ssn]",
    ),
];

#[test]
fn identifiers_are_replaced_however_the_text_is_asked_for() {
    let clinic = Clinic::start("");
    for (asked, shown) in WAYS {
        let said = clinic.psql(asked);
        assert!(said.contains(shown), "{asked:?}: {said}");
        assert!(!said.contains(SSN) && !said.contains(PHONE) && !said.contains("ERROR"), "{asked:?}: {said}");
    }
    clinic.boundary.cli(&["trail", "verify"]).unwrap();
}

/// What fails on a value says which one at the target, and to whoever sees everything.
#[test]
fn an_error_does_not_quote_what_it_fails_on() {
    let clinic = Clinic::start("");
    // Nothing of these relations is hidden.
    clinic.rules(&REVEALED.replace("Tag::\"clinical.note\"]", "Tag::\"clinical.note\", Tag::\"phi.name\"]"));
    let kept = "create temp table kept as select note as n from clinic.notes";
    for asked in [
        &["select note::integer from clinic.notes"][..],
        &["select count(*) from clinic.notes where note::integer = 1"],
        &["prepare p as select note::integer from clinic.notes", "execute p"],
        &[kept, "select n::integer from kept"],
        &[kept, "alter table kept alter n type integer using n::integer"],
        &["begin", "declare c cursor with hold for select note::integer from clinic.notes", "commit"],
    ] {
        let said = clinic.psql(asked);
        assert!(said.contains("ERROR:  22") && said.contains("invalid input syntax"), "{asked:?}: {said}");
        assert!(said.contains("free text may be quoted"), "{asked:?}: {said}");
        assert!(!said.contains("Seen") && !said.contains(SSN), "{asked:?}: {said}");
    }
    // Of what is no free text it does, once that is over.
    let said = clinic.psql(&["select note from clinic.notes", "select cut::integer from clinic.sizes"]);
    assert!(said.contains("invalid input syntax for type integer: \"first\""), "{said}");
}

#[test]
fn the_record_counts_what_was_found_and_what_passed() {
    let clinic = Clinic::start("");
    let both =
        json!({ "found": { "phi.phone": 1, "phi.ssn": 2 }, "looked_through": 3, "not_looked_through": 0 });
    clinic.psql(&[
        "select note from clinic.notes",
        "select id from clinic.notes",
        "copy (select note from clinic.notes) to stdout",
    ]);
    assert_eq!(clinic.counted(), [both.clone(), both]);
    // What nobody here reads passes, and the record says so: three lines and the end of a copy in binary.
    let said = clinic.psql(&["copy (select note from clinic.notes) to stdout (format binary)"]);
    assert!(said.contains(SSN), "{said}");
    assert_eq!(clinic.counted(), [json!({ "looked_through": 0, "not_looked_through": 4 })]);
    let said = clinic.psql(&["select convert_to(note, 'UTF8') from clinic.notes where id = 1"]);
    assert!(said.starts_with("\\x"), "{said}");
    assert_eq!(clinic.counted(), [json!({ "looked_through": 0, "not_looked_through": 1 })]);
    // A long row is collected, a longer one is not.
    for (words, read) in [(20_000, 1), (60_000, 0)] {
        let long =
            format!("update clinic.notes set note = repeat('word ', {words}) || 'SSN {SSN}' where id = 2");
        clinic.cluster.sql(&long).unwrap();
        let said = clinic.psql(&["select note from clinic.notes where id = 2"]);
        assert_eq!(said.contains(SSN), read == 0, "{words}");
        assert_eq!(said.contains("SSN [phi.ssn]"), read == 1, "{words}");
        let counted = clinic.counted();
        assert_eq!(counted[0]["looked_through"].as_u64(), Some(read), "{words}: {counted:?}");
        assert_eq!(counted[0]["not_looked_through"].as_u64(), Some(1 - read), "{words}: {counted:?}");
    }
    // It is not revealed: there is nothing to look through.
    clinic.rules(REVEALED.split("permit").nth(1).map(|rule| format!("permit{rule}")).as_deref().unwrap());
    assert_eq!(clinic.psql(&["select note from clinic.notes where id = 1"]), "");
    assert_eq!(clinic.counted(), [json!({ "looked_through": 0, "not_looked_through": 0 })]);
    // Whoever sees everything gets the target's own bytes.
    clinic.rules("permit (principal in Group::\"dev/billing\", action, resource in Target::\"clinic\");");
    let said = clinic.psql(&["select note from clinic.notes where id = 1"]);
    assert_eq!(said, format!("Seen today. SSN {SSN}, call {PHONE} now."));
    assert_eq!(clinic.counted(), [] as [Value; 0]);
}

#[test]
fn a_driver_gets_whole_values_in_both_formats() {
    let clinic = Clinic::start("");
    let mut python = Command::new(target_dir().join("drivers/python/bin/python"));
    python.arg(root().join("tests/drivers/free_text.py")).arg(clinic.url());
    python.arg("select note, doc, words, size, n from clinic.notes n where id > %s order by id limit 1");
    let said: Value = serde_json::from_str(&capture(&mut python).unwrap()).unwrap();
    for how in ["text", "binary", "again", "cursor", "piped"] {
        let row = &said[how][0];
        assert_eq!(row[0], "str", "{how}: {said}");
        assert_eq!(
            (&row[1], &row[2], &row[3]),
            (&json!("dict"), &json!("list"), &json!("int")),
            "{how}: {said}"
        );
        let values = row[5].as_str().unwrap();
        assert!(
            values.contains("call [phi.phone] now.") && values.contains("\"SSN [phi.ssn]\", \"plain\""),
            "{how}: {said}"
        );
        assert!(!values.contains(SSN) && !values.contains("555-0123"), "{how}: {said}");
    }
    // Each of the five found the same.
    let counted = clinic.counted();
    assert_eq!(counted.len(), 5, "{counted:?}");
    for one in &counted {
        assert_eq!(one["found"]["phi.ssn"], 4, "{counted:?}");
        assert_eq!(one["not_looked_through"], 0, "{counted:?}");
    }
}

#[test]
fn an_installation_says_what_stays_and_how_it_writes_its_numbers() {
    let clinic = Clinic::start("free_text = { leave = [\"phi.phone\"], record_numbers = ['MH-?\\d{7}'] }\n");
    clinic.cluster.sql("insert into clinic.notes (id, note) values (4, 'moved to MH1234567')").unwrap();
    let said = clinic.psql(&["select note from clinic.notes where id in (1, 4) order by id"]);
    assert_eq!(said, format!("Seen today. SSN [phi.ssn], call {PHONE} now.\nmoved to [phi.mrn]"));
}

#[test]
fn whoever_may_see_a_kind_sees_it_in_texts_too() {
    let clinic = Clinic::start("");
    let both = REVEALED.replace("Tag::\"clinical.note\"]", "Tag::\"clinical.note\", Tag::\"phi.phone\"]");
    assert_ne!(both, REVEALED);
    let ask = ["select note from clinic.notes where id = 1"];
    let masked = "Seen today. SSN [phi.ssn], call [phi.phone] now.";
    assert_eq!(clinic.psql(&ask), masked);
    clinic.rules(&both);
    assert_eq!(clinic.psql(&ask), format!("Seen today. SSN [phi.ssn], call {PHONE} now."));
    assert_eq!(clinic.counted()[0]["found"], json!({ "phi.ssn": 1 }));
    // What another relation shows of that kind is another question.
    let elsewhere = format!(
        "{REVEALED}\npermit (principal in Group::\"dev/billing\", action == Action::\"reveal\", \
         resource in Relation::\"clinic/clinic.patients\") when {{ resource in [Tag::\"phi.phone\"] }};"
    );
    clinic.rules(&elsewhere);
    assert_eq!(clinic.psql(&ask), masked);
    clinic.rules(REVEALED);
    assert_eq!(clinic.psql(&ask), masked);
}
