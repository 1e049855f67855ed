//! The Model Context Protocol at the boundary: the gateway as a server of tools.
//!
//! Knows the protocol and nothing of policy, trail, store or SQL: what the tools do is behind [`Tools`].

pub mod beside;
mod face;
pub mod guard;
mod offer;
pub mod peek;
pub mod relay;
pub mod remote;
pub mod request;
pub mod revision;
pub mod stateless;
pub mod texts;

pub use face::{Answer, Asked, OwnTool, Tools, answer};
pub use offer::{ROWS_DEFAULT, ROWS_MAX};
