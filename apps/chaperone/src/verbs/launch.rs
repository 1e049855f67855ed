//! `chaperone launch`: how an agent starts a declared command or a server, behind walls or not. Not for people: it ends in
//! another program.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use chaperone_command::launch::{EndsWith, Launch as Given, RunAs, launch};

use super::Failure;

/// `chaperone launch`
#[derive(Debug, clap::Args)]
pub(crate) struct Launch {
    /// The folder in which the program begins
    #[arg(long)]
    folder: PathBuf,
    /// Address space of each of its processes, in bytes
    #[arg(long)]
    memory: Option<u64>,
    /// Processor time of each of its processes, in seconds
    #[arg(long)]
    processor: Option<u64>,
    /// Leave standard input, a socket, to the program
    #[arg(long)]
    talked_to: bool,
    /// End with this process; without it, this is the first program in namespaces of its own, says on standard input that
    /// it is there, and waits for a word
    #[arg(long, value_name = "PID")]
    agent: Option<i32>,
    /// Listen at this port of the loopback address, and hand the listener over on standard input
    #[arg(long, value_name = "PORT", conflicts_with = "agent")]
    listener: Option<u16>,
    /// Become this user
    #[arg(long, requires = "gid")]
    uid: Option<u32>,
    /// Become this group, and have no further ones
    #[arg(long, requires = "uid")]
    gid: Option<u32>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    words: Vec<OsString>,
}

impl Launch {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let given = Given {
            run_as: self.uid.zip(self.gid).map(|(uid, gid)| RunAs { uid, gid }),
            folder: self.folder,
            memory_bytes_max: self.memory,
            processor_s_max: self.processor,
            is_talked_to: self.talked_to,
            ends_with: match self.agent {
                Some(agent) => EndsWith::Process(agent),
                None => EndsWith::Walls { listener: self.listener },
            },
            words: self.words,
        };
        // The agent has heard why by now; what a program prints is not the place for it.
        Err(Failure::io("cannot start the command")(launch(&given)))
    }
}
