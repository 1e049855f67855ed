//! What a program printed, as its client got it: the plain form is JSON, a line each, since it is read by programs that are
//! not ours. `[MICROSECONDS, "o", "text"]`: how long after the program's intent was written, on which of its outputs (`o`
//! standard output, `e` standard error), and what. Every part of a transcript is sealed with the entry that covers it.

use std::time::Instant;

use chaperone_wire::Printed;

/// What was printed since the last entry.
pub(crate) struct Transcript {
    began: Instant,
    lines: Vec<u8>,
}

impl Transcript {
    pub(crate) fn new(began: Instant) -> Self {
        Self { began, lines: Vec::new() }
    }

    pub(crate) fn add(&mut self, printed: Printed, text: &str) {
        let at = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let line = serde_json::json!([at, printed.as_str(), text]);
        self.lines.extend_from_slice(line.to_string().as_bytes());
        self.lines.push(b'\n');
    }

    /// All of it, to be sealed; `None` where nothing was printed.
    pub(crate) fn printed(&self) -> Option<&[u8]> {
        (!self.lines.is_empty()).then_some(&self.lines)
    }

    /// An entry holds it.
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
    }
}
