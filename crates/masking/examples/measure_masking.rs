//! Recall and precision per kind of identifier, with 95 % confidence intervals, on synthetic notes: as people write, as
//! people evade, and without the words that detectors need. `cargo run --release --package chaperone-masking --example
//! measure_masking -- [--json] [--notes N] [--show KIND]`. With `--text FILE` it lists what it finds in a text of your own.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a program of the bench's own"
)]

#[path = "../tests/notes/measure.rs"]
mod measure;
#[path = "../tests/notes/mod.rs"]
mod notes;

use chaperone_masking::{Entity, scan};
use measure::{Counts, measure, wilson};
use notes::Slice;

const NOTES: usize = 4_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str| {
        let index = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(index + 1).cloned()
    };
    if let Some(path) = after("--text") {
        return list(&std::fs::read_to_string(path).unwrap());
    }
    let notes = after("--notes").map_or(NOTES, |count| count.parse().unwrap());
    let shown = after("--show");
    let all = measure(notes, |slice, what, entity, line| {
        if shown.as_deref() == Some(entity.tag()) {
            println!("{} {what} {}: {line:?}", slice.name(), entity.tag());
        }
    });
    let rows = Slice::ALL.into_iter().flat_map(|slice| Entity::ALL.map(|entity| (slice, entity)));
    let rows = rows.filter_map(|key| Some((key, *all.get(&key)?)));
    if arguments.iter().any(|argument| argument == "--json") {
        let rows: Vec<_> = rows.map(|((slice, entity), counts)| json(slice, entity, counts)).collect();
        println!("{}", serde_json::Value::from(rows));
        return;
    }
    println!(
        "| slice | kind | identifiers | recall | masked | findings | precision |\n|---|---|---|---|---|---|---|"
    );
    for ((slice, entity), counts) in rows {
        let Counts { truths, found, masked, findings, right } = counts;
        println!(
            "| {} | `{}` | {truths} | {} | {} | {findings} | {} |",
            slice.name(),
            entity.tag(),
            share(found, truths),
            share(masked, truths),
            share(right, findings),
        );
    }
}

/// Every finding, with its line.
fn list(text: &str) {
    for finding in scan(&measure::config(), text) {
        let line = text[..finding.start].matches('\n').count() + 1;
        let (kind, certainty) = (finding.entity.tag(), finding.certainty.name());
        println!("{line}: {kind} ({certainty}) {:?}", &text[finding.start..finding.end]);
    }
}

fn share(hits: u32, of: u32) -> String {
    if of == 0 {
        return "-".to_owned();
    }
    let (low, high) = wilson(hits, of);
    format!("{:.3} ({low:.3}-{high:.3})", f64::from(hits) / f64::from(of))
}

fn json(slice: Slice, entity: Entity, counts: Counts) -> serde_json::Value {
    let Counts { truths, found, masked, findings, right } = counts;
    let share = |hits: u32, of: u32| {
        let (low, high) = wilson(hits, of);
        serde_json::json!({"hits": hits, "of": of, "low": low, "high": high})
    };
    serde_json::json!({
        "slice": slice.name(),
        "kind": entity.tag(),
        "recall": share(found, truths),
        "masked": share(masked, truths),
        "precision": share(right, findings),
    })
}
