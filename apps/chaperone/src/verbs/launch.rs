//! `chaperone launch`: how an agent starts a declared command or a server. Not for people: it ends in another program.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use chaperone_command::launch::{Launch as Given, RunAs, launch};

use super::Failure;

/// `chaperone launch`
#[derive(Debug, clap::Args)]
pub(crate) struct Launch {
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    memory: Option<u64>,
    #[arg(long)]
    processor: Option<u64>,
    #[arg(long)]
    talked_to: bool,
    #[arg(long)]
    parent: i32,
    #[arg(long, requires = "gid")]
    uid: Option<u32>,
    #[arg(long, requires = "uid")]
    gid: Option<u32>,
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
            parent: self.parent,
            words: self.words,
        };
        // The agent has heard why by now; what a program prints is not the place for it.
        Err(Failure::io("cannot start the command")(launch(&given)))
    }
}
