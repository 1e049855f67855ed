//! `chaperone init DIR`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Failure, remark};
use crate::config::keys::{agent_starter, gateway_starter};
use crate::wiring::installation::make_reader;

/// `chaperone init`
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// Where to write the files; existing ones are never overwritten
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Where to write the first reader's private key, outside the gateway's folder
    #[arg(long, value_name = "FILE")]
    reader_key: Option<PathBuf>,
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let what = || format!("cannot write `{}`", path.display());
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o644).open(path).map_err(Failure::io(what()))?;
    file.write_all(text.as_bytes()).map_err(Failure::io(what()))?;
    remark(&format!("wrote {}", path.display()));
    Ok(())
}

impl Init {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let folder = &self.folder;
        std::fs::create_dir_all(folder.join("policy"))
            .map_err(Failure::io(format!("cannot make `{}`", folder.display())))?;
        let absolute = folder.canonicalize().map_err(Failure::io("cannot find the folder"))?;
        let reader = self.reader_key.unwrap_or_else(|| {
            let name = absolute
                .file_name()
                .map_or_else(|| "chaperone".into(), |name| name.to_string_lossy().into_owned());
            absolute.parent().unwrap_or(&absolute).join(format!("{name}-reader.key"))
        });
        let public = make_reader(&reader)?;
        remark(&format!("wrote {} (keep it where the gateway cannot read it)", reader.display()));
        let gateway = gateway_starter().replace("readers = []", &format!("readers = [\"{public}\"]"));
        write(&folder.join("gateway.toml"), &gateway)?;
        write(&folder.join("agent.toml"), &agent_starter())?;
        for (name, text) in chaperone_policy::STARTER {
            write(&folder.join("policy").join(name), text)?;
        }
        remark("next: put your database into agent.toml, then `chaperone config check`");
        Ok(ExitCode::SUCCESS)
    }
}
