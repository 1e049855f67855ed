//! What came of the trials, for people and for files.

use std::collections::BTreeMap;
use std::path::Path;

use chaperone_tests::worlds::Row;
use serde_json::{Value, json};

use crate::failure::Failure;

/// Characters of a statement or answer that are shown.
const SHOWN_CHARS: usize = 300;

/// One line of figures.
pub(crate) fn summary(rows: &[Row]) -> String {
    let verdicts = counted(rows.iter().map(|row| row.verdict.clone()));
    let ways = counted(rows.iter().map(|row| row.status.to_lowercase()));
    let over = rows.iter().filter(|row| row.over_refused).count();
    let list = |counts: BTreeMap<String, usize>| {
        counts.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    };
    format!("{} cases: {}; {}; {over} over-refused", rows.len(), list(verdicts), list(ways))
}

fn counted(words: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

/// What leaked, what was refused though it should work, and why things were refused.
pub(crate) fn print(trials: &[(String, Vec<Row>)]) {
    for (name, rows) in trials {
        println!("\n{name}: {}", summary(rows));
        for row in rows.iter().filter(|row| !row.is_same()) {
            println!("  {} {} ({}): {}", row.verdict, row.id, row.class, shortened(&row.sql));
            if let Some((a, b)) = first_difference(&row.a, &row.b) {
                println!("    A: {}\n    B: {}", shortened(a), shortened(b));
            }
        }
        for row in rows.iter().filter(|row| row.over_refused) {
            println!("  over-refused {} ({}): {}", row.id, row.class, row.reason());
        }
        let mut reasons: Vec<(String, usize)> =
            counted(rows.iter().filter(|row| row.status != "OK").map(Row::reason)).into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        println!("  not answered, by reason:");
        for (reason, count) in reasons {
            println!("  {count:>6}  {reason}");
        }
    }
}

fn shortened(text: &str) -> String {
    let text = text.trim().replace('\n', " ");
    if text.chars().count() <= SHOWN_CHARS {
        return text;
    }
    let kept: String = text.chars().take(SHOWN_CHARS).collect();
    format!("{kept} ...")
}

/// The first lines that differ.
fn first_difference<'a>(a: &'a str, b: &'a str) -> Option<(&'a str, &'a str)> {
    let (mut a, mut b) = (a.lines(), b.lines());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return None,
            (a, b) if a == b => {}
            (a, b) => return Some((a.unwrap_or("(nothing)"), b.unwrap_or("(nothing)"))),
        }
    }
}

/// Everything as JSON.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(trials: &[(String, Vec<Row>)], file: &Path) -> Result<(), Failure> {
    let rows = |rows: &[Row]| -> Value {
        let each = rows.iter().map(|row| {
            json!({
                "id": row.id, "class": row.class, "verdict": row.verdict, "status": row.status,
                "over_refused": row.over_refused, "reason": row.reason(), "errors": row.errors, "sql": row.sql,
                "a": row.a, "b": row.b,
            })
        });
        each.collect()
    };
    let all: serde_json::Map<String, Value> =
        trials.iter().map(|(name, of)| (name.clone(), rows(of))).collect();
    std::fs::write(file, Value::Object(all).to_string())
        .map_err(|error| Failure::new(format!("cannot write `{}`: {error}", file.display())))
}

/// # Errors
/// A case told the worlds apart, or nothing ran.
pub(crate) fn judge(trials: &[(String, Vec<Row>)]) -> Result<(), Failure> {
    let rows = || trials.iter().flat_map(|(_, rows)| rows);
    if rows().next().is_none() {
        return Err(Failure::new("no case ran"));
    }
    let count = |verdict: &str| rows().filter(|row| row.verdict == verdict).count();
    let (leaks, unstable) = (count("LEAK"), count("UNSTABLE"));
    if count("ORDER") > 0 {
        eprintln!("note: {} cases differ in an order of rows that they leave open", count("ORDER"));
    }
    if unstable > 0 {
        eprintln!("note: {unstable} cases differ by chance: their answers differ in one world alone, too");
    }
    if count("TIMEOUT") > 0 {
        eprintln!("note: {} cases took longer than is waited for: they prove nothing", count("TIMEOUT"));
    }
    if leaks > 0 {
        return Err(Failure::new(format!("{leaks} cases tell the worlds apart")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found() {
        assert_eq!(first_difference("a\nb\nc", "a\nx\nc"), Some(("b", "x")));
        assert_eq!(first_difference("a", "a\nb"), Some(("(nothing)", "b")));
        assert_eq!(first_difference("a\nb", "a\nb"), None);
    }
}
