//! What understanding a statement costs the first time that it is seen: medians in microseconds, as one JSON object. And
//! what a catalog of 5,000 tables and a classification of its 75,000 columns cost: milliseconds to make, MiB to keep.
//! `cargo run --release --package chaperone-scope --example bench_scope`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program of the bench's own"
)]

use std::sync::Arc;
use std::time::Instant;

use chaperone_access::Rows;
use chaperone_scope::{Catalog, Classification, analyse};

const ROUNDS: usize = 2_000;
/// Catalogs that are kept at a time to see what one costs.
const COPIES: usize = 6;

fn rows(rows: &[&[&str]]) -> Vec<Vec<Option<String>>> {
    rows.iter().map(|row| row.iter().map(|cell| Some((*cell).to_owned())).collect()).collect()
}

fn catalog() -> Catalog {
    let results = [
        rows(&[]),
        rows(&[&["150018", "chaperone", "public"]]),
        rows(&[&[""]]),
        rows(&[
            &["public", "accounts", "r", "false", "1", ""],
            &["public", "patients", "r", "false", "2", ""],
            &["public", "encounters", "r", "false", "3", ""],
        ]),
        rows(&[]),
        rows(&[]),
        rows(&[]),
        rows(&[]),
        rows(&[
            &["pg_catalog", "count", "true", "true", "false", ""],
            &["pg_catalog", "max", "true", "true", "false", ""],
            &["pg_catalog", "coalesce", "true", "true", "false", ""],
        ]),
        rows(&[&["~~~", ""]]),
        rows(&[&["pg_catalog", "text", "b", ""], &["pg_catalog", "date", "b", ""]]),
        rows(&[]),
        rows(&[]),
        rows(&[]),
        rows(&[]),
    ];
    Catalog::build(1, &results, None).unwrap()
}

fn add(rows: &mut Rows, cells: &[&str]) {
    rows.row();
    cells.iter().for_each(|cell| rows.cell(Some(cell)));
}

/// 5,000 tables of 15 columns, each with a key, a reference, two unique columns and two checks, and 500 views.
fn large() -> Vec<Rows> {
    let mut results = vec![Rows::default(); 15];
    add(&mut results[1], &["150018", "chaperone", "public"]);
    let names: Vec<_> = (0..15)
        .map(|n| serde_json::json!([format!("column_{n}"), "character varying(40)", 2, null, null]))
        .collect();
    let columns = serde_json::Value::from(names).to_string();
    for i in 0..5_500 {
        let (kind, name) = if i < 5_000 { ("r", "t") } else { ("v", "v") };
        let oid = (20_000 + i).to_string();
        add(&mut results[3], &["public", &format!("{name}_{i}"), kind, "false", &oid, ""]);
        add(&mut results[4], &[&oid, &columns]);
        if i >= 5_000 {
            let text = format!("SELECT {} FROM public.t_{i} t", "t.column_1, ".repeat(10));
            add(&mut results[12], &[&oid, &text]);
            continue;
        }
        for (kind, column) in [("p", 0), ("u", 3), ("c", 4), ("c", 5)] {
            let list = format!("[\"column_{column}\"]");
            add(&mut results[5], &[kind, &oid, &list, "0", "[]", "false"]);
        }
        let other = (20_000 + i / 2).to_string();
        add(&mut results[5], &["f", &oid, "[\"column_1\"]", &other, "[\"column_0\"]", "false"]);
    }
    results
}

/// Memory that the process holds.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// What one more of something costs, as the allocator keeps it: MiB, and the milliseconds of making it (median). The
/// first one pays for what making it takes and gives back, which those after it use again; so it is not counted.
fn each<T>(make: impl Fn() -> T) -> (f64, f64, Vec<T>) {
    let mut times = Vec::new();
    let mut made = Vec::with_capacity(COPIES + 1);
    let mut first = 0.0;
    for copy in 0..=COPIES {
        let began = Instant::now();
        made.push(make());
        times.push(began.elapsed().as_secs_f64() * 1e3);
        if copy == 0 {
            first = resident_mib();
        }
    }
    times.sort_by(f64::total_cmp);
    ((resident_mib() - first) / COPIES as f64, times[COPIES / 2], made)
}

/// A classification that speaks of every column of [`large`].
fn rules() -> String {
    let mut file = String::new();
    for i in 0..5_000 {
        file.push_str(&format!("[relations.\"public.t_{i}\".columns]\n"));
        for n in 0..15 {
            file.push_str(&format!("column_{n} = {{ tags = [\"phi.name\"], mask = \"last_four\" }}\n"));
        }
    }
    file
}

fn measure_catalog(figures: &mut serde_json::Map<String, serde_json::Value>) {
    let file = rules();
    // On a thread of its own, whose memory the allocator keeps apart: a catalog made here would lie where a file was parsed.
    let load = || {
        let load = || Classification::load("bench", &file, &std::collections::BTreeMap::new()).unwrap();
        Arc::new(std::thread::scope(|scope| scope.spawn(load).join().unwrap()))
    };
    // The first time, as a gateway does it: rows are let go when the catalog is made.
    let before = resident_mib();
    let classification = load();
    let first = Catalog::of_rows(1, &large(), Some(&classification)).unwrap();
    let made = resident_mib() - before;
    let results = large();
    let (classification_mib, load_ms, classifications) = each(load);
    let build = || Catalog::of_rows(1, &results, Some(&classifications[0])).unwrap();
    let (catalog_mib, build_ms, catalogs) = each(build);
    let began = Instant::now();
    let classified = catalogs[0].classified(2, Some(&classifications[1]));
    figures.insert("classified_5000_ms".into(), (began.elapsed().as_secs_f64() * 1e3).into());
    assert_eq!((classified.len(), classified.misfits().len(), first.len()), (5_500, 0, 5_500));
    figures.insert("catalog_5000_ms".into(), build_ms.into());
    figures.insert("classification_5000_ms".into(), load_ms.into());
    figures.insert("catalog_5000_mib".into(), catalog_mib.into());
    figures.insert("classification_5000_mib".into(), classification_mib.into());
    figures.insert("making_5000_mib".into(), (made - classification_mib - catalog_mib).into());
}

const STATEMENTS: &[(&str, &str)] = &[
    ("point_select", "SELECT abalance FROM accounts WHERE aid = #;"),
    (
        "join",
        "select p.patient_id, p.name, count(e.encounter_id) as visits, max(e.started_on) from patients p \
         join encounters e on e.patient_id = p.patient_id where p.clinic_id = # and e.started_on >= '2026-01-01' \
         and (p.name like 'A%' or p.status in ('open', 'held')) group by p.patient_id, p.name \
         having count(*) > 2 order by visits desc limit 50",
    ),
    (
        "nested",
        "with recent as (select * from encounters where started_on > date '2026-01-01') \
         select * from patients p where exists (select from recent r where r.patient_id = p.patient_id and r.kind = #) \
         and p.patient_id not in (select patient_id from encounters where status = 'void') \
         union all select * from patients where clinic_id = 7 order by 1",
    ),
];

fn measure() -> serde_json::Value {
    let catalog = Arc::new(catalog());
    let (path, none) = (Arc::from([Arc::from("public")]), Arc::from([]));
    let mut figures = serde_json::Map::new();
    measure_catalog(&mut figures);
    for (name, pattern) in STATEMENTS {
        let mut times: Vec<(f64, f64)> = (0..ROUNDS)
            .map(|round| {
                let text: Arc<str> = Arc::from(pattern.replace('#', &round.to_string()));
                let began = Instant::now();
                let analysis = analyse(&text, &path, &none, &catalog);
                let understood = began.elapsed().as_secs_f64() * 1e6;
                assert!(
                    analysis.confined.get(&chaperone_access::Scope::default()).is_ok(),
                    "{:?}",
                    analysis.confined.get(&chaperone_access::Scope::default())
                );
                (understood, began.elapsed().as_secs_f64() * 1e6)
            })
            .collect();
        times.sort_by(|one, other| one.0.total_cmp(&other.0));
        figures.insert(format!("{name}_understood_us"), times[ROUNDS / 2].0.into());
        times.sort_by(|one, other| one.1.total_cmp(&other.1));
        figures.insert(format!("{name}_written_out_us"), times[ROUNDS / 2].1.into());
    }
    figures.into()
}

fn main() {
    // As in the gateway: on a thread with a deep stack.
    let thread = std::thread::Builder::new().stack_size(128 << 20).spawn(measure).unwrap();
    println!("{}", thread.join().unwrap());
}
