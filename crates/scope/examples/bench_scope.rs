//! What understanding a statement costs the first time that it is seen: medians in microseconds, as one JSON object. And
//! what a catalog of 5,000 tables and a classification of its 75,000 columns cost: milliseconds, and MiB of the catalog.
//! `cargo run --release --package chaperone-scope --example bench_scope`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program of the bench's own"
)]

use std::sync::Arc;
use std::time::Instant;

use chaperone_scope::{Catalog, Classification, analyse};

const ROUNDS: usize = 2_000;

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

/// 5,000 tables of 15 columns, each with a key, a reference, two unique columns and two checks, and 500 views.
fn large() -> Vec<Vec<Vec<Option<String>>>> {
    let owned = |cells: Vec<String>| cells.into_iter().map(Some).collect::<Vec<_>>();
    let table = |i: usize| (20_000 + i).to_string();
    let (mut relations, mut columns, mut constraints, mut definitions) = (vec![], vec![], vec![], vec![]);
    for i in 0..5_500 {
        let (kind, name) = if i < 5_000 { ("r", "t") } else { ("v", "v") };
        let cells = [
            "public".to_owned(),
            format!("{name}_{i}"),
            kind.to_owned(),
            "false".to_owned(),
            table(i),
            String::new(),
        ];
        relations.push(owned(cells.into()));
        let names: Vec<_> = (0..15)
            .map(|n| serde_json::json!([format!("column_{n}"), "character varying(40)", 2, null, null]))
            .collect();
        columns.push(owned(vec![table(i), serde_json::Value::from(names).to_string()]));
        if i >= 5_000 {
            definitions.push(owned(vec![
                table(i),
                format!("SELECT {} FROM public.t_{i} t", "t.column_1, ".repeat(10)),
            ]));
            continue;
        }
        for (kind, column) in [("p", 0), ("u", 3), ("c", 4), ("c", 5)] {
            let list = format!("[\"column_{column}\"]");
            constraints.push(owned(vec![
                kind.to_owned(),
                table(i),
                list,
                "0".into(),
                "[]".into(),
                "false".into(),
            ]));
        }
        let list = "[\"column_1\"]".to_owned();
        constraints.push(owned(vec![
            "f".into(),
            table(i),
            list,
            table(i / 2),
            "[\"column_0\"]".into(),
            "false".into(),
        ]));
    }
    let mut results = vec![Vec::new(); 15];
    results[1] = rows(&[&["150018", "chaperone", "public"]]);
    results[3] = relations;
    results[4] = columns;
    results[5] = constraints;
    results[12] = definitions;
    results
}

/// Memory that the process holds.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn measure_catalog(figures: &mut serde_json::Map<String, serde_json::Value>) {
    let results = large();
    let before = resident_mib();
    let began = Instant::now();
    let catalog = Catalog::build(1, &results, None).unwrap();
    figures.insert("catalog_5000_ms".into(), (began.elapsed().as_secs_f64() * 1e3).into());
    figures.insert("catalog_5000_mib".into(), (resident_mib() - before).into());
    let mut file = String::new();
    for i in 0..5_000 {
        file.push_str(&format!("[relations.\"public.t_{i}\".columns]\n"));
        for n in 0..15 {
            file.push_str(&format!("column_{n} = {{ tags = [\"phi.name\"], mask = \"last_four\" }}\n"));
        }
    }
    let began = Instant::now();
    let rules = Arc::new(Classification::load("bench", &file, &std::collections::BTreeMap::new()).unwrap());
    figures.insert("classification_5000_ms".into(), (began.elapsed().as_secs_f64() * 1e3).into());
    let began = Instant::now();
    let classified = catalog.classified(2, Some(&rules));
    figures.insert("classified_5000_ms".into(), (began.elapsed().as_secs_f64() * 1e3).into());
    assert_eq!((classified.len(), classified.misfits().len()), (5_500, 0));
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
