//! Identifiers of people in text without a schema, and what stands in a value's place.
//!
//! Pure: no IO, no clock, no randomness. [`scan`] and [`Scanner`] find identifiers and replace them; [`mask`] is the value
//! function of each [`MaskOperator`](chaperone_access::MaskOperator). What detectors find and what they do not is in
//! `docs/reference/detectors.md`; they are a net below the rewriting of statements, never the proof.

mod config;
mod detectors;
mod entity;
mod fold;
mod lexicon;
mod pattern;
mod place;
mod scanner;
mod search;
mod value;

pub use config::Config;
pub use entity::{Certainty, Entity, Finding};
pub use pattern::{PATTERN_LENGTH_MAX, Pattern, PatternError};
pub use scanner::{HELD_BACK_MAX, Released, Scanner, mask_text, scan, scan_bytes};
pub use value::{Means, PseudonymKey, mask};
