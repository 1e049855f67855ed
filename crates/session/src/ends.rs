//! The two ends of a session behind their gates: `out`, towards the target, until the intent of whatever may write is
//! durable; `back`, towards the client, until what it says is on durable record.

use chaperone_access::Refusal;
use chaperone_policy::Masked;
use chaperone_recording::{Cleared, Gate, Record, Seq, Watermark};
use chaperone_wire::futures::BoxFuture;
use chaperone_wire::{Conversation, Event, Interest};
use tokio::time::Instant;

/// Requests and steps that may wait for the record before the client is no longer read, in bytes.
const OUT_BYTES_MAX: usize = 256 * 1024;
/// Replies that may wait for the record before the target is no longer read, in bytes.
const BACK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Replies below this, in bytes, wait for what follows them where that waits for the record: a packet less.
const WORTHWHILE_BYTES: usize = 1024;

/// Towards the target: a step of the protocol, or a permitted request.
pub(crate) enum Out<C: Conversation> {
    Step(C::Step),
    Request(C::Outgoing),
}

/// Something the client asked for that cannot be decided before its words have been made, on another thread. Nothing
/// after it is heard meanwhile.
pub(crate) struct Asked<C: Conversation> {
    pub(crate) event: Event<C>,
    pub(crate) written: BoxFuture<Result<(), Refusal>>,
}

/// The two ends behind their gates. Only what a gate has cleared reaches the conversation's own methods.
pub(crate) struct Ends<C: Conversation> {
    pub(crate) conversation: C,
    pub(crate) asked: Option<Asked<C>>,
    pub(crate) out: Gate<Out<C>>,
    pub(crate) back: Gate<Masked<C::Reply>>,
    /// When progress is recorded for the rows that no entry speaks of yet.
    pub(crate) cover_at: Instant,
}

impl<C: Conversation> Ends<C> {
    pub(crate) fn forward(&mut self, cleared: Cleared<Out<C>>) {
        match cleared.into_inner() {
            Out::Step(step) => self.conversation.forward_step(step),
            Out::Request(request) => self.conversation.forward(request),
        }
    }

    pub(crate) fn release(&mut self, cleared: Cleared<Masked<C::Reply>>) {
        self.conversation.release(cleared.into_inner().into_inner());
    }

    /// Let go of everything whose record is durable.
    pub(crate) fn settle(&mut self, durable: Watermark) {
        while let Some(cleared) = self.out.pop(durable) {
            self.forward(cleared);
        }
        if self.back.worthwhile(durable, WORTHWHILE_BYTES) {
            while let Some(cleared) = self.back.pop(durable) {
                self.release(cleared);
            }
        }
    }

    /// The same at the end, when nothing follows that would be worth a wait.
    pub(crate) fn settle_all(&mut self, durable: Watermark) {
        while let Some(cleared) = self.back.pop(durable) {
            self.release(cleared);
        }
    }

    /// The next entry that either end waits for.
    pub(crate) fn earliest(&self, durable: Watermark) -> Option<Seq> {
        self.out.earliest(durable).into_iter().chain(self.back.earliest(durable)).min()
    }

    /// Whether something runs. What has begun and waits for the client keeps no session from being idle.
    pub(crate) fn is_busy(&self, record: &Record) -> bool {
        record.is_running() && !self.conversation.waits_for_client()
    }

    pub(crate) fn interest(&self) -> Interest {
        Interest {
            request: self.asked.is_none() && self.out.size() < OUT_BYTES_MAX,
            reply: self.back.size() < BACK_BYTES_MAX,
        }
    }
}
