//! What understanding a statement costs the first time that it is seen: medians in microseconds, as one JSON object.
//! `cargo run --release --package chaperone-scope --example bench_scope`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program of the bench's own"
)]

use std::sync::Arc;
use std::time::Instant;

use chaperone_scope::{Catalog, analyse};

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
    ];
    Catalog::build(1, &results, None).unwrap()
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
