//! A mask is the same text whether the database makes it or the function of one value.

#![allow(clippy::unwrap_used, reason = "a test's own set-up may fail it")]

use std::fs;
use std::process::Command;

use chaperone_access::MaskOperator;
use chaperone_masking::{Means, mask};
use chaperone_tests::{AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, capture, private_folder};
use serde_json::Value;

const CLERK: Caller = Caller { subject: "ben", groups: &["billing"], client: None };

const POLICY: &str = "permit (principal in Group::\"dev/billing\", \
                      action in [Action::\"connect\", Action::\"read\", Action::\"useMasked\"], \
                      resource in Target::\"clinic\");\n";

/// Values that masks are tried on, each a row: short, empty, composed of several characters, almost codes.
const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "ab",
    "1234",
    "12345",
    "123-45-6789",
    "Ñ",
    "Núñez",
    "e\u{301}",
    "e\u{301}tude",
    "👩‍⚕️",
    "👩‍⚕️ Ada Lovelace",
    "漢字仮名",
    "漢字仮名交",
    "مريم العذراء",
    "  padded  ",
    "two\nlines",
    "tab\tand \\ backslash",
    "it's \"quoted\"",
    "02115",
    "02115-1234",
    "02115 1234",
    "021151234",
    "02115-",
    "02115--1234",
    "02115\n",
    "0211",
    "MA 02115",
    "０２１１５",
    "0211５",
    "03601",
    "89312-0001",
    "893120001",
];

const RESTRICTED: [&str; 17] = [
    "036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878", "879", "884",
    "890", "893",
];

const DATES: &[&str] = &[
    "2020-02-29",
    "1900-01-01",
    "0001-01-01",
    "0044-03-15 BC",
    "9999-12-31",
    "10000-01-01",
    "infinity",
    "-infinity",
];

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "9",
    "10",
    "11",
    "47.9",
    "-0.5",
    "-1",
    "-9",
    "-10",
    "-11",
    "-19.9",
    "32767",
    "-32768",
    "NaN",
    "Infinity",
    "-Infinity",
];

struct Clinic {
    cluster: Cluster,
    boundary: Boundary,
    _home: tempfile::TempDir,
}

impl Clinic {
    fn start(tables: &str, classification: &str) -> Self {
        let home = private_folder("test").unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        cluster.sql(tables).unwrap();
        let (folder, file) = (home.path().join("rules"), home.path().join("clinic.toml"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("rules.cedar"), POLICY).unwrap();
        fs::write(&file, classification).unwrap();
        let mut layout = Layout::new(AgentPlace::InProcess);
        layout.policy = Some(folder);
        layout.more = format!("classification = {}\n", Value::from(file.to_string_lossy()));
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        Self { cluster, boundary, _home: home }
    }

    /// A column's values in order, as the caller sees them.
    fn masked(&self, column: &str, table: &str) -> Vec<Option<String>> {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-A", "-t", "-q", "-d", &self.boundary.credential(&CLERK).unwrap(), "-c"]);
        values(&capture(psql.arg(query(column, table))).unwrap())
    }

    /// The same as they are.
    fn plain(&self, column: &str, table: &str) -> Vec<Option<String>> {
        values(&self.cluster.sql(&query(column, table)).unwrap())
    }
}

fn query(column: &str, table: &str) -> String {
    format!("select coalesce(to_json({column}::text)::text, 'null') from {table} order by id")
}

fn values(printed: &str) -> Vec<Option<String>> {
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Compare a column of every value with what the function makes of it; `by` turns both to what is to be equal.
fn same(
    clinic: &Clinic,
    table: &str,
    column: &str,
    operator: &MaskOperator,
    by: impl Fn(&str) -> String,
) -> usize {
    let year = clinic.cluster.sql("select extract(year from current_date)").unwrap();
    let means = Means { key: None, tag: "phi.other_id", this_year: year.trim().parse().unwrap() };
    let (plain, masked) = (clinic.plain(column, table), clinic.masked(column, table));
    assert_eq!(plain.len(), masked.len(), "{column}");
    for (plain, masked) in plain.iter().zip(&masked) {
        let expected = match (plain, operator) {
            (Some(plain), operator) => mask(plain, operator, &means),
            // A constant reads nothing, also where there is nothing.
            (None, MaskOperator::Fixed(text)) => Some(text.clone()),
            (None, _) => None,
        };
        assert_eq!(masked.as_deref().map(&by), expected.as_deref().map(&by), "{column} of {plain:?}");
    }
    masked.iter().flatten().count()
}

#[test]
fn texts_are_masked_alike() {
    let zips = RESTRICTED.iter().map(|three| format!("{three}99"));
    let long = "x".repeat(3000) + "tail";
    let all = TEXTS.iter().map(|text| (*text).to_owned()).chain(zips).chain([long]);
    let rows: Vec<String> =
        all.map(|text| format!("({})", literal(&text))).chain(["(null)".to_owned()]).collect();
    let tables = format!(
        "create table clinic.texts (id serial, last text, first text, zip text, fixed text, gone text, pseudonym text, short varchar(11),
         padded char(11), code char(10), bare bpchar);
         insert into clinic.texts (last, first, zip, fixed, gone, pseudonym, short, padded, code, bare)
         select v, v, v, v, v, v, left(v, 11), left(v, 11), left(v, 10), v from (values {}) given(v);
         grant all on clinic.texts to chaperone;",
        rows.join(", ")
    );
    let clinic = Clinic::start(
        &tables,
        r#"
[relations."clinic.texts".columns]
id = { clear = true }
last = { tags = ["phi.ssn"], mask = "last_four" }
first = { tags = ["phi.name"], mask = "first_letter" }
zip = { tags = ["phi.geo"], mask = "zip3" }
fixed = { tags = ["phi.email"], mask = { fixed = "it's \\ \"fixed\"" } }
gone = { tags = ["phi.mrn"], mask = "null" }
pseudonym = { tags = ["phi.other_id"], mask = "pseudonym" }
short = { tags = ["phi.ssn"], mask = "last_four" }
padded = { tags = ["phi.ssn"], mask = "last_four" }
code = { tags = ["phi.geo"], mask = "zip3" }
bare = { tags = ["phi.name"], mask = "first_letter" }
"#,
    );
    let as_it_is = str::to_owned;
    let fixed = MaskOperator::Fixed("it's \\ \"fixed\"".to_owned());
    for (column, operator, least) in [
        ("last", MaskOperator::LastFour, TEXTS.len()),
        ("short", MaskOperator::LastFour, TEXTS.len()),
        ("first", MaskOperator::FirstLetter, TEXTS.len()),
        // Blanks at the end are padding.
        ("padded", MaskOperator::LastFour, TEXTS.len()),
        ("code", MaskOperator::ZipThree, RESTRICTED.len() + 5),
        ("bare", MaskOperator::FirstLetter, TEXTS.len()),
        ("zip", MaskOperator::ZipThree, RESTRICTED.len() + 5),
        ("fixed", fixed, TEXTS.len()),
        ("gone", MaskOperator::Null, 0),
        // Without its key, which is nowhere in a statement.
        ("pseudonym", MaskOperator::Pseudonym, 0),
    ] {
        let shown = same(&clinic, "clinic.texts", column, &operator, as_it_is);
        assert!(shown >= least, "{column}: {shown}");
    }
}

#[test]
fn dates_and_numbers_are_masked_alike() {
    let dates: Vec<String> = DATES.iter().map(|date| format!("({}::text)", literal(date))).collect();
    let ages = "(null), ((current_date - interval '89 years')::date::text), ((current_date - interval '90 years')::date::text), \
                ((current_date - interval '90 years 1 day')::date::text), ((current_date - interval '104 years')::date::text)";
    let numbers: Vec<String> = NUMBERS.iter().map(|number| format!("({})", literal(number))).collect();
    let tables = format!(
        "create table clinic.dates (id serial, day date, seen timestamp, at timestamptz);
         insert into clinic.dates (day, seen, at) select v::date, v::timestamp, v::timestamptz from (values {}, {ages}) given(v);
         create table clinic.numbers (id serial, tiny smallint, whole integer, big bigint, exact numeric, rough real, double float8);
         insert into clinic.numbers (tiny, whole, big, exact, rough, double)
         select case when v ~ '^-?[0-9]+$' then v end::smallint, case when v ~ '^-?[0-9]+$' then v end::integer,
         case when v ~ '^-?[0-9]+$' then v end::bigint, v::numeric, v::real, v::float8 from (values {}, (null)) given(v);
         insert into clinic.numbers (big, exact) values (9223372036854775807, 123456789012345678901234567890.5), (-9223372036854775808, -0.00);
         create table clinic.edges (id int, v float8);
         insert into clinic.edges values (1, 1.7976931348623157e308), (2, -1.7976931348623157e308), (3, 'infinity'), (4, 'nan'), (5, 7.5);
         grant all on clinic.dates, clinic.numbers, clinic.edges to chaperone;",
        dates.join(", "),
        numbers.join(", ")
    );
    let clinic = Clinic::start(
        &tables,
        r#"
[relations."clinic.dates".columns]
id = { clear = true }
day = { tags = ["phi.date"], mask = "year" }
seen = { tags = ["phi.date"], mask = "year" }
at = { tags = ["phi.date"], mask = "year" }
[relations."clinic.numbers".columns]
id = { clear = true }
tiny = { tags = ["financial.amount"], mask = { bucket = 10 } }
whole = { tags = ["financial.amount"], mask = { bucket = 10 } }
big = { tags = ["financial.amount"], mask = { bucket = 10 } }
exact = { tags = ["financial.amount"], mask = { bucket = 10 } }
rough = { tags = ["financial.amount"], mask = { bucket = 10 } }
double = { tags = ["financial.amount"], mask = { bucket = 10 } }
[relations."clinic.edges".columns]
id = { clear = true }
v = { tags = ["financial.amount"], mask = { bucket = 3 } }
"#,
    );
    // What SQL gives of a date is that year's first of January.
    let year = |text: &str| {
        let year = text.get(..4).unwrap_or(text);
        assert!(text == year || text.get(4..).is_some_and(|rest| rest.starts_with("-01-01")), "{text}");
        year.to_owned()
    };
    for column in ["day", "seen", "at"] {
        let shown = same(&clinic, "clinic.dates", column, &MaskOperator::Year, year);
        // All but NULL, infinity and the year 10000.
        assert_eq!(shown, DATES.len() + 5 - 3, "{column}");
    }
    // A mask that failed for a value would tell of it.
    let edges = "select string_agg(coalesce(v::text, '-'), ' ' order by id) from clinic.edges";
    assert_eq!(asked(&clinic, "select", edges), "- - Infinity NaN 6");
    for column in ["tiny", "whole", "big", "exact", "rough", "double"] {
        let shown = same(&clinic, "clinic.numbers", column, &MaskOperator::Bucket(10), str::to_owned);
        assert!(shown >= 11, "{column}: {shown}");
    }
}

/// Where a column is shorter than what its mask shows, that is cut off: less is shown, never an error.
#[test]
fn characters_of_a_fixed_length_are_masked_and_compared_without_their_padding() {
    let clinic = Clinic::start(
        "create table clinic.wards (id integer, ward char(5), code char(6), hidden bpchar);
         insert into clinic.wards values (1, 'ab', '123456', 'x'), (2, 'c', '12345', 'y'), (3, 'abc', '1', 'z'), (4, '', null, null);
         grant all on clinic.wards to chaperone;",
        r#"
[relations."clinic.wards"]
rows = "ward in ('ab ', 'c')"
[relations."clinic.wards".columns]
id = { clear = true }
ward = { clear = true }
code = { tags = ["phi.mrn"], mask = "last_four" }
hidden = { tags = ["phi.name"] }
"#,
    );
    let all = "select string_agg(concat_ws('/', id, ward || '|', length(ward), code, hidden), ' ' order by id) from clinic.wards";
    assert_eq!(asked(&clinic, "select", all), "1/ab|/2/***345 2/c|/1/***234");
    let cast = "select string_agg(id::bpchar, ',') from clinic.wards where ward = any ('{ab,abc}'::bpchar[])";
    assert_eq!(asked(&clinic, "select", cast), "1");
}

/// What the caller gets for a statement, after settings of his own.
fn asked(clinic: &Clinic, settings: &str, statement: &str) -> String {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d"]);
    psql.arg(clinic.boundary.credential(&CLERK).unwrap()).args(["-c", settings, "-c", statement]);
    capture(&mut psql).unwrap().trim().to_owned()
}

#[test]
fn no_setting_of_the_callers_moves_a_mask_or_a_row_filter() {
    let clinic = Clinic::start(
        "create table clinic.turns (id integer, at timestamptz);
         insert into clinic.turns values (1, '2026-01-01 00:30+00'), (2, '2025-12-31 23:30+00');
         create table clinic.recent (id integer, at timestamptz, day date);
         insert into clinic.recent select 1, now() - interval '1 hour', (now() at time zone 'UTC')::date;
         insert into clinic.recent select 2, now() - interval '3 days', (now() at time zone 'UTC')::date - 3;
         insert into clinic.recent select 3, now() + interval '3 days', (now() at time zone 'UTC')::date + 3;
         insert into clinic.recent values (4, '2020-02-01 00:00+00', '2020-02-01');
         grant all on clinic.turns, clinic.recent to chaperone;",
        r#"
[relations."clinic.turns".columns]
id = { clear = true }
at = { tags = ["phi.date"], mask = "year" }
[relations."clinic.recent"]
rows = "(day >= current_date - 1 and day <= current_date and at > now() - interval '1 day' and at < current_timestamp) or at = '2020-02-01'"
[relations."clinic.recent".columns]
id = { clear = true }
at = { clear = true }
day = { clear = true }
"#,
    );
    let years = "select string_agg(to_char(at, 'YYYY'), ' ' order by id) from clinic.turns";
    let recent = "select string_agg(id::text, ' ' order by id) from clinic.recent";
    for zone in ["UTC", "<X>-14:00", "<X>+14:00", "<X>-167:00", "<X>+167:00"] {
        for style in ["ISO, MDY", "SQL, DMY"] {
            let settings = format!("set timezone = '{zone}'; set datestyle = '{style}'");
            assert_eq!(asked(&clinic, &settings, years), "2026 2025", "{settings}");
            assert_eq!(asked(&clinic, &settings, recent), "1 4", "{settings}");
        }
    }
}

#[test]
fn the_planner_tries_no_condition_on_other_peoples_rows() {
    let clinic = Clinic::start(
        "create table clinic.letters (id integer, mine boolean, name text);
         insert into clinic.letters select n, n <= 10, 'secret-' || n from generate_series(1, 3000) n;
         analyze clinic.letters;
         grant all on clinic.letters to chaperone;",
        r#"
[relations."clinic.letters"]
rows = "mine"
[relations."clinic.letters".columns]
id = { clear = true }
mine = { clear = true }
name = { clear = true }
"#,
    );
    // A pattern that ends in an escape is an error for whatever begins as it does.
    let failing = r"select count(*) from clinic.letters where id < 0 and name like 'secret-2%\'";
    let whoever_sees_them = clinic.cluster.sql(failing).unwrap_err().to_string();
    assert!(whoever_sees_them.contains("LIKE pattern must not end with escape character"));
    assert_eq!(asked(&clinic, "select", failing), "0");
    assert_eq!(
        asked(&clinic, "select", "select count(*) from clinic.letters where name like 'secret-2%'"),
        "1"
    );
}
