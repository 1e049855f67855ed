//! A target of `kind = "command"` in `agent.toml`: what can be run there, as whom and where. The only place where a program
//! or an argument of it stands.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chaperone_command::declare::{self, Parameter};
use serde::Deserialize;

use super::agent::Isolation;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandTarget {
    /// `name` of `/etc/passwd`, or `uid:gid`.
    pub(crate) user: Option<String>,
    #[serde(default = "folder")]
    pub(crate) folder: PathBuf,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) isolation: Option<Isolation>,
    /// Whether its commands have the machine's network.
    #[serde(default)]
    pub(crate) network: bool,
    pub(crate) commands: BTreeMap<String, Command>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    pub(crate) description: String,
    pub(crate) program: PathBuf,
    #[serde(default)]
    pub(crate) arguments: Vec<String>,
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, Parameter>,
    #[serde(default)]
    pub(crate) reads_only: bool,
    #[serde(default = "time_s_max")]
    pub(crate) time_s_max: u32,
    #[serde(default = "output_bytes_max")]
    pub(crate) output_bytes_max: u64,
    #[serde(default = "memory_bytes_max")]
    pub(crate) memory_bytes_max: u64,
}

impl Command {
    /// As much of it as the gateway is told.
    pub(crate) fn told(&self) -> declare::Command {
        declare::Command {
            description: self.description.clone(),
            parameters: self.parameters.clone(),
            reads_only: self.reads_only,
            time_s_max: self.time_s_max,
            output_bytes_max: self.output_bytes_max,
        }
    }
}

fn folder() -> PathBuf {
    PathBuf::from("/")
}
fn time_s_max() -> u32 {
    60
}
fn output_bytes_max() -> u64 {
    1024 * 1024
}
fn memory_bytes_max() -> u64 {
    1024 * 1024 * 1024
}
