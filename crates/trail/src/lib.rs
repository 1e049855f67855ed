//! The trail: the record that nobody inside can rewrite. An entry is appended without waiting for the disk, becomes
//! durable with the batch that carries it, and whoever must not go on before that waits for its number.

mod entry;
mod recover;
mod segment;
mod trail;

pub use entry::*;
pub use recover::Recovered;
pub use trail::{
    APPEND_BYTES_MAX, Options, QUEUE_BYTES_MAX, RESERVE_BYTES, Seq, Snapshot, Trail, TrailError, TrailState,
    Urgency,
};
