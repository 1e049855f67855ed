//! Declared commands at the boundary: what can be run at a target stands in its agent's own file, with typed parameters and
//! an argument vector that no shell ever reads.
//!
//! Knows nothing of policy, trail or store. [`declare`] is what both ends know of a command, [`codec`] what is said between
//! them, [`opening`] and [`conversation`] the gateway's side, [`guest`] a client inside the gateway, [`template`],
//! [`serve`], [`process`], [`walls`] and [`launch`] the agent's side.

pub mod codec;
pub mod conversation;
pub mod declare;
pub mod guest;
pub mod launch;
pub mod opening;
pub mod process;
pub mod serve;
pub mod template;
mod value;
pub mod walls;
