//! Recall and precision of what is found in notes whose identifiers are known.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a mistake shall end the program")]

use std::collections::BTreeMap;

use chaperone_masking::{Config, Entity, Finding, Pattern, scan};

use crate::notes::{Note, Seed, Slice, Truth, note};

/// A finding may be so many bytes longer than the identifier.
const SLACK: usize = 4;

/// Counts of one kind in one slice.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Identifiers in the notes.
    pub(crate) truths: u32,
    /// Of those, covered whole by a finding of their kind.
    pub(crate) found: u32,
    /// Of those, covered whole by findings of whatever kind: what masking takes out.
    pub(crate) masked: u32,
    /// Findings of the kind.
    pub(crate) findings: u32,
    /// Of those, the ones that are an identifier of the kind.
    pub(crate) right: u32,
}

/// Lowest and highest share that 95 of 100 such measurements are consistent with (Wilson's score interval).
pub(crate) fn wilson(hits: u32, of: u32) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (f64::from(of), 1.96_f64);
    let share = f64::from(hits) / n;
    let middle = share + z * z / (2.0 * n);
    let spread = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + z * z / n;
    (((middle - spread) / whole).max(0.0), ((middle + spread) / whole).min(1.0))
}

pub(crate) fn config() -> Config {
    Config { mrn: vec![Pattern::parse(r"MH\d{8}").unwrap()], ..Config::default() }
}

/// Measure some notes of each slice. `observe` is told of every miss and every wrong finding.
pub(crate) fn measure(
    notes: usize,
    mut observe: impl FnMut(Slice, &str, Entity, &str),
) -> BTreeMap<(Slice, Entity), Counts> {
    let mut all: BTreeMap<(Slice, Entity), Counts> = BTreeMap::new();
    for slice in Slice::ALL {
        let mut seed = Seed(20_260_101);
        for _ in 0..notes {
            let note = note(&mut seed, slice);
            let findings = scan(&config(), &note.text);
            for truth in &note.truths {
                let counts = all.entry((slice, truth.entity)).or_default();
                counts.truths += 1;
                let is_found =
                    findings.iter().any(|finding| finding.entity == truth.entity && covers(finding, truth));
                counts.found += u32::from(is_found);
                counts.masked += u32::from(is_masked(&findings, truth));
                if !is_found {
                    observe(slice, "missed", truth.entity, around(&note, truth.start, truth.end));
                }
            }
            for finding in &findings {
                let counts = all.entry((slice, finding.entity)).or_default();
                counts.findings += 1;
                let is_right = note.truths.iter().any(|truth| {
                    truth.entity == finding.entity
                        && covers(finding, truth)
                        && finding.end - finding.start <= truth.end - truth.start + SLACK
                });
                counts.right += u32::from(is_right);
                if !is_right {
                    observe(slice, "wrong", finding.entity, around(&note, finding.start, finding.end));
                }
            }
        }
    }
    all
}

fn covers(finding: &Finding, truth: &Truth) -> bool {
    finding.start <= truth.start && finding.end >= truth.end
}

fn is_masked(findings: &[Finding], truth: &Truth) -> bool {
    (truth.start..truth.end)
        .all(|byte| findings.iter().any(|finding| (finding.start..finding.end).contains(&byte)))
}

/// The line or lines of a span.
fn around(note: &Note, start: usize, end: usize) -> &str {
    let from = note.text[..start].rfind('\n').map_or(0, |index| index + 1);
    let to = note.text[end..].find('\n').map_or(note.text.len(), |index| end + index);
    &note.text[from..to]
}
