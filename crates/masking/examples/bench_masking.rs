//! How fast text is searched and masked, as one JSON object: MiB/s on one core, over notes that are mostly prose, over
//! notes with an identifier in most lines, in one piece and in chunks of 8 KiB; and value by value, as results are looked
//! through: notes of some lines, and ns for each of the shortest.
//! `cargo run --release --package chaperone-masking --example bench_masking`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a program of the bench's own"
)]

#[path = "../tests/notes/mod.rs"]
mod notes;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use chaperone_masking::{Config, Pattern, Scanner, scan};

const BYTES: usize = 16 << 20;
const ROUNDS: usize = 5;
const CHUNK: usize = 8 << 10;

/// Time that this thread had a core, in seconds, where the system tells: others may be using the machine.
fn core_s() -> Option<f64> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split_whitespace().next()?.parse::<f64>().ok().map(|ns| ns / 1e9)
}

/// Median of some rounds.
fn mib_per_s(text: &str, run: impl Fn(&str)) -> f64 {
    let mut rates: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (began, core) = (Instant::now(), core_s());
            run(text);
            let core = core_s().zip(core).map(|(after, before)| after - before).filter(|core| *core > 0.0);
            text.len() as f64 / f64::from(1 << 20) / core.unwrap_or(began.elapsed().as_secs_f64())
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    (rates[ROUNDS / 2] * 10.0).round() / 10.0
}

fn main() {
    let config = Arc::new(Config { mrn: vec![Pattern::parse(r"MH\d{7}").unwrap()], ..Config::default() });
    let prose = notes::prose(BYTES);
    let mut seed = notes::Seed(3);
    let mut dense = String::new();
    while dense.len() < BYTES / 2 {
        dense.push_str(&notes::note(&mut seed, notes::Slice::Plain).text);
    }
    let digits = "4.2 11 137 88 92 1.04 ".repeat(BYTES / 88);
    let whole = |text: &str| {
        black_box(scan(&config, text));
    };
    let streamed = |text: &str| {
        let mut scanner = Scanner::new(Arc::clone(&config));
        for chunk in text.as_bytes().chunks(CHUNK) {
            black_box(scanner.push(chunk));
        }
        black_box(scanner.finish());
    };
    // Cut where a line ends: what a note has of them, and one word.
    let notes: Vec<&str> = prose.split_inclusive('\n').collect();
    let notes: Vec<String> = notes.chunks(8).map(|lines| lines.concat()).collect();
    let value_by_value = |_: &str| {
        for note in &notes {
            black_box(scan(&config, note));
        }
    };
    let word = "follow-up in clinic".to_owned();
    let words = vec![word.as_str(); 200_000];
    let all_words = words.concat();
    let shortest = |_: &str| {
        for word in &words {
            black_box(scan(&config, word));
        }
    };
    let word_ns = word.len() as f64 / (mib_per_s(&all_words, shortest) * f64::from(1 << 20)) * 1e9;
    let result = serde_json::json!({
        "prose_mib_per_s": mib_per_s(&prose, whole),
        "prose_streamed_mib_per_s": mib_per_s(&prose, streamed),
        "dense_mib_per_s": mib_per_s(&dense, whole),
        "digits_mib_per_s": mib_per_s(&digits, whole),
        "values_bytes": prose.len() / notes.len().max(1),
        "values_mib_per_s": mib_per_s(&prose, value_by_value),
        "short_value_ns": word_ns.round(),
    });
    println!("{result}");
}
