//! Private installations for tests, the demonstration and the figures: a PostgreSQL of our own with the synthetic
//! clinic in it, and a gateway and agent in front of it, all of them real processes that end with us.
//!
//! Nothing here knows more of Chaperone than its users do: its files and its command line.

mod boundary;
mod cluster;
mod failure;
mod floor;
mod folder;
mod issuer;
mod person;
mod process;
mod talk;
pub mod worlds;

pub use boundary::{AgentPlace, Boundary, Caller, Destination, Layout, TARGET};
pub use cluster::{Cluster, DATABASE, Fsync, LOGIN, postgres_programs};
pub use failure::{Failure, Result};
pub use floor::{Floor, UnderFloor};
pub use folder::{free_port, private_folder, secret};
pub use issuer::Issuer;
pub use person::{LoggingIn, Person};
pub use process::{Identity, Running, as_itself, capture, is_root};
pub use talk::Talk;

use std::path::{Path, PathBuf};

/// The workspace's root.
#[must_use]
pub fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Where cargo puts what it builds.
#[must_use]
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
