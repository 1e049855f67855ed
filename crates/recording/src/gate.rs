//! What waits for the record. A gate is a queue whose items leave in order, each only when the entry that speaks of
//! it is durable.

use std::collections::VecDeque;

use chaperone_trail::Seq;

/// A value that the gate let through: nothing else makes one.
///
/// ```compile_fail
/// let forged = chaperone_recording::Cleared { item: () };
/// ```
#[derive(Debug)]
pub struct Cleared<T> {
    item: T,
}

impl<T> Cleared<T> {
    /// The value, to be sent.
    pub fn into_inner(self) -> T {
        self.item
    }
}

/// How far the record is durable; only [`crate::Record::watermark`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct Watermark(pub(crate) Option<Seq>);

impl Watermark {
    fn covers(self, needed: Option<Seq>) -> bool {
        needed.is_none_or(|needed| self.0.is_some_and(|durable| needed <= durable))
    }
}

/// Proof that the intents of a request have their place in the record, and what has to be durable before the target
/// may see it: the intents themselves for whatever may write, nothing for a provably read-only one.
///
/// ```compile_fail
/// # fn reuse(receipt: chaperone_recording::Receipt) {
/// let twice = (receipt.clone(), receipt);
/// # }
/// ```
#[derive(Debug)]
pub struct Receipt {
    pub(crate) before_forwarding: Option<Seq>,
}

#[derive(Debug)]
enum Need {
    /// An entry that is written: it has to be durable.
    Entry(Option<Seq>),
    /// No entry speaks of it yet.
    Uncovered,
}

impl Need {
    fn met(&self, durable: Watermark) -> bool {
        match self {
            Self::Entry(entry) => durable.covers(*entry),
            Self::Uncovered => false,
        }
    }
}

/// The queue.
#[derive(Debug)]
pub struct Gate<T> {
    queue: VecDeque<(Need, usize, T)>,
    bytes: usize,
    uncovered: usize,
}

impl<T> Default for Gate<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// What an item weighs beside its own bytes.
const ITEM_BYTES: usize = 64;

impl<T> Gate<T> {
    /// An empty gate.
    #[must_use]
    pub fn new() -> Self {
        Self { queue: VecDeque::new(), bytes: 0, uncovered: 0 }
    }

    fn push(&mut self, need: Need, item: T, size: usize) {
        let size = size + ITEM_BYTES;
        self.bytes += size;
        self.queue.push_back((need, size, item));
    }

    /// An item that needs no entry of its own: it follows what is before it.
    pub fn pass(&mut self, item: T, size: usize) {
        self.push(Need::Entry(None), item, size);
    }

    /// A request whose intents are written.
    pub fn after_receipt(&mut self, receipt: Receipt, item: T, size: usize) {
        self.push(Need::Entry(receipt.before_forwarding), item, size);
    }

    /// A piece of a reply that leaves once that entry is durable.
    pub fn after(&mut self, entry: Option<Seq>, item: T, size: usize) {
        self.push(Need::Entry(entry), item, size);
    }

    /// A piece of a reply of which no entry speaks yet: it waits for [`Gate::cover`].
    pub fn uncovered(&mut self, item: T, size: usize) {
        self.uncovered += 1;
        self.push(Need::Uncovered, item, size);
    }

    /// An entry has been written that speaks of everything in the queue.
    pub fn cover(&mut self, entry: Seq) {
        if self.uncovered == 0 {
            return;
        }
        for (need, _, _) in self.queue.iter_mut().rev() {
            match need {
                Need::Uncovered => {
                    *need = Need::Entry(Some(entry));
                    self.uncovered -= 1;
                    if self.uncovered == 0 {
                        return;
                    }
                }
                Need::Entry(_) => {}
            }
        }
    }

    /// The next entry that something waits for.
    #[must_use]
    pub fn earliest(&self, durable: Watermark) -> Option<Seq> {
        match self.queue.iter().find(|(need, _, _)| !need.met(durable)) {
            Some((Need::Entry(entry), _, _)) => *entry,
            Some((Need::Uncovered, _, _)) | None => None,
        }
    }

    /// Whether what may leave now is all there is, or at least `least` bytes: less than that is better sent together
    /// with what follows it.
    #[must_use]
    pub fn worthwhile(&self, durable: Watermark, least: usize) -> bool {
        let mut size = 0;
        for (need, bytes, _) in &self.queue {
            if !need.met(durable) {
                return false;
            }
            size += bytes;
            if size >= least {
                return true;
            }
        }
        true
    }

    /// Bytes that wait.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes
    }

    /// The first item, if its entry is durable.
    pub fn pop(&mut self, durable: Watermark) -> Option<Cleared<T>> {
        if !self.queue.front().is_some_and(|(need, _, _)| need.met(durable)) {
            return None;
        }
        let (_, size, item) = self.queue.pop_front()?;
        self.bytes -= size;
        Some(Cleared { item })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(gate: &mut Gate<u8>, durable: Option<Seq>) -> Vec<u8> {
        std::iter::from_fn(|| gate.pop(Watermark(durable))).map(Cleared::into_inner).collect()
    }

    #[test]
    fn nothing_overtakes_what_waits() {
        let mut gate = Gate::new();
        gate.pass(1, 1);
        gate.after(Some(Seq(7)), 2, 1);
        gate.pass(3, 1);
        gate.uncovered(4, 1);
        gate.pass(5, 1);
        assert_eq!(drain(&mut gate, None), [1]);
        assert_eq!(drain(&mut gate, Some(Seq(6))), Vec::<u8>::new());
        assert_eq!(drain(&mut gate, Some(Seq(7))), [2, 3]);
        assert_eq!(drain(&mut gate, Some(Seq(u64::MAX))), Vec::<u8>::new(), "no entry speaks of 4 yet");
        gate.cover(Seq(9));
        assert_eq!(drain(&mut gate, Some(Seq(8))), Vec::<u8>::new());
        assert_eq!(drain(&mut gate, Some(Seq(9))), [4, 5]);
        assert_eq!(gate.size(), 0);
    }

    #[test]
    fn little_waits_for_what_follows_it() {
        let mut gate = Gate::new();
        gate.pass(1, 10);
        assert!(gate.worthwhile(Watermark(None), 1000), "nothing follows");
        gate.after(Some(Seq(3)), 2, 10);
        assert!(!gate.worthwhile(Watermark(None), 1000));
        assert_eq!(gate.earliest(Watermark(None)), Some(Seq(3)));
        assert!(gate.worthwhile(Watermark(None), 50), "enough for a write of its own");
        assert!(gate.worthwhile(Watermark(Some(Seq(3))), 1000));
        assert_eq!(gate.earliest(Watermark(Some(Seq(3)))), None);
    }

    #[test]
    fn a_read_may_go_ahead_and_a_write_may_not() {
        let mut gate = Gate::new();
        gate.after_receipt(Receipt { before_forwarding: None }, 1, 1);
        gate.after_receipt(Receipt { before_forwarding: Some(Seq(0)) }, 2, 1);
        gate.after_receipt(Receipt { before_forwarding: None }, 3, 1);
        assert_eq!(drain(&mut gate, None), [1]);
        assert_eq!(drain(&mut gate, Some(Seq(0))), [2, 3]);
    }
}
