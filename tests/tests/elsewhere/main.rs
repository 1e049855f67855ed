//! MCP servers that an agent reaches over HTTP: one that nobody here wrote, over TLS, and one that misbehaves. Who is told
//! what, what goes there, and what the record says of it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test's own set-up may fail it"
)]

mod asked;
mod hostile;
mod notes;
mod place;
