//! PostgreSQL at the boundary: the server's face towards clients, the client's face towards the target.
//!
//! Knows the protocol and nothing of policy, trail or store: those are behind the traits of `chaperone-wire`.

pub mod certificate;
pub mod codec;
pub mod conversation;
pub mod guest;
mod line;
pub mod local;
pub mod login;
pub mod opening;
mod plain;
pub mod rows;
pub mod words;
