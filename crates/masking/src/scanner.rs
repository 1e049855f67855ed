//! Text in, masked text out, in one piece or in chunks.

use std::sync::Arc;

use crate::search::{PIECE, Search, Settled};
use crate::{Config, Finding};

/// What is held back at most, in bytes of the original, between two pushes: what detectors look back and ahead, where
/// every character is of four bytes and followed by as many invisible ones as are overlooked, and a character's beginning.
pub const HELD_BACK_MAX: usize =
    2 * (crate::place::BACK + crate::place::AHEAD) * 4 * (crate::fold::INVISIBLE_MAX + 1) + 3;

/// Find every identifier of a text, in order and without overlap.
///
/// ```
/// use chaperone_masking::{Config, Entity, scan};
///
/// let findings = scan(&Config::default(), "SSN: 123-45-6789");
/// let finding = findings.first().unwrap();
/// assert_eq!((finding.entity, finding.start, finding.end), (Entity::Ssn, 5, 16));
/// ```
#[must_use]
pub fn scan(config: &Config, text: &str) -> Vec<Finding> {
    scan_bytes(config, text.as_bytes())
}

/// [`scan`] for what need not be valid UTF-8: an invalid byte is read as Windows-1252.
#[must_use]
pub fn scan_bytes(config: &Config, text: &[u8]) -> Vec<Finding> {
    let mut search = Search::new();
    let mut findings = Vec::new();
    let mut join = |settled: Settled| match findings.last_mut() {
        Some(last) if settled.continues => extend(last, settled.finding),
        Some(_) | None => findings.push(settled.finding),
    };
    for piece in text.chunks(PIECE) {
        search.push(config, piece);
        search.settled().for_each(&mut join);
    }
    search.finish(config);
    search.settled().for_each(&mut join);
    findings
}

/// A text with each finding replaced by its [`placeholder`](crate::Entity::placeholder), and the findings.
#[must_use]
pub fn mask_text(config: &Config, text: &str) -> (String, Vec<Finding>) {
    let findings = scan(config, text);
    let mut masked = String::with_capacity(text.len());
    let mut copied = 0;
    for finding in &findings {
        masked.push_str(text.get(copied..finding.start).unwrap_or_default());
        masked.push_str(&finding.entity.placeholder());
        copied = finding.end;
    }
    masked.push_str(text.get(copied..).unwrap_or_default());
    (masked, findings)
}

/// What a scanner lets go of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Released {
    /// The next part of the stream, with findings replaced by their placeholders.
    pub text: Vec<u8>,
    /// What was found in it; offsets count from the beginning of the original stream. The last one of a stream comes with
    /// [`Scanner::finish`], since a web address may go on without end.
    pub findings: Vec<Finding>,
}

/// Masks a stream that comes in chunks. Concatenated, what it releases is what the whole would give in one piece,
/// wherever the chunks were cut.
///
/// Between two pushes it holds back a few hundred bytes, and never more than [`HELD_BACK_MAX`].
///
/// ```
/// use std::sync::Arc;
///
/// use chaperone_masking::{Config, Scanner};
///
/// let mut scanner = Scanner::new(Arc::new(Config::default()));
/// let mut text = scanner.push(b"SSN 123-4").text;
/// text.extend(scanner.push(b"5-6789, stable").text);
/// text.extend(scanner.finish().text);
/// assert_eq!(text, b"SSN [phi.ssn], stable");
/// ```
#[derive(Debug)]
pub struct Scanner {
    config: Arc<Config>,
    search: Search,
    /// Original bytes that are not released.
    held: Vec<u8>,
    /// Position of the first of them.
    released: usize,
    /// Found and replaced, but it may go on.
    last: Option<Finding>,
}

impl Scanner {
    /// A scanner at the beginning of a stream.
    #[must_use]
    pub fn new(config: Arc<Config>) -> Self {
        Self { config, search: Search::new(), held: Vec::new(), released: 0, last: None }
    }

    /// Take a chunk of any length; give what can be released.
    pub fn push(&mut self, chunk: &[u8]) -> Released {
        let mut released = Released::default();
        for piece in chunk.chunks(PIECE) {
            self.held.extend_from_slice(piece);
            self.search.push(&self.config, piece);
            self.release(false, &mut released);
        }
        released
    }

    /// The stream has ended; give the rest.
    #[must_use]
    pub fn finish(mut self) -> Released {
        let mut released = Released::default();
        self.search.finish(&self.config);
        self.release(true, &mut released);
        released.findings.extend(self.last.take());
        released
    }

    /// How many bytes were taken and not released.
    #[must_use]
    pub fn held_back(&self) -> usize {
        self.held.len()
    }

    fn release(&mut self, is_finished: bool, to: &mut Released) {
        let mut reached = self.released;
        let held = |start: usize, end: usize| {
            self.held
                .get(start.saturating_sub(self.released)..end.saturating_sub(self.released))
                .unwrap_or_default()
        };
        for settled in self.search.settled() {
            let finding = settled.finding;
            match &mut self.last {
                Some(last) if settled.continues => extend(last, finding),
                last => {
                    to.text.extend_from_slice(held(reached, finding.start));
                    to.text.extend_from_slice(finding.entity.placeholder().as_bytes());
                    to.findings.extend(last.replace(finding));
                }
            }
            reached = finding.end;
        }
        let horizon = self.search.horizon(is_finished).max(reached);
        to.text.extend_from_slice(held(reached, horizon));
        self.held.drain(..(horizon - self.released).min(self.held.len()));
        self.released = horizon;
    }
}

fn extend(last: &mut Finding, more: Finding) {
    last.end = more.end;
}
