//! Both eras of the protocol on both faces of a gateway: clients and servers that begin with a handshake, and those that do
//! without; and what `@modelcontextprotocol/conformance` says of it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test's own set-up may fail it"
)]

mod asked;
mod conformance;
mod hostile;
mod pairs;
mod place;
