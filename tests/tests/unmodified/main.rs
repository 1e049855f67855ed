//! MCP servers and clients that nobody here wrote, pinned and unchanged, on both sides of a gateway.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test's own set-up may fail it"
)]

mod clients;
mod place;
mod servers;
mod two;
