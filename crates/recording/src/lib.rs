//! What is written about a session, and what is kept encrypted beside it.

mod calls;
mod columns;
pub mod commit;
mod end;
mod exchange;
mod gate;
pub mod keyfile;
pub mod keys;
mod lease;
mod look;
pub mod open;
mod record;
mod recorder;
mod running;
pub mod seal;
mod servers;
mod sketch;
mod subjects;
mod transcript;
mod values;

#[cfg(test)]
mod tests;

pub use calls::{CallEnd, CallOpening, Question, Telling, ToolCall};
pub use chaperone_trail::Seq;
pub use end::{End, Hit, Traffic};
pub use exchange::{CallElsewhere, Exchanged};
pub use gate::{Cleared, Gate, Receipt, Watermark};
pub use lease::Lease;
pub use look::Look;
pub use record::{Intended, Record, Unrecorded};
pub use recorder::{Digests, LinkFacts, Opening, Recorder, RecorderParts, Subscriber, key_id};
pub use running::Permitted;
pub use servers::{ServerOpening, ServerRun};
