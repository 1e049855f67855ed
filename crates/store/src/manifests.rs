//! What was accepted of the tools of servers: one file a server.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chaperone_access::TargetName;

use crate::file::{read, write};

/// The tools of one server by their names: SHA-256 of the manifest that was accepted, in lower-case hexadecimal.
pub type AcceptedTools = BTreeMap<String, String>;

/// Accepted manifests in a folder of their own.
#[derive(Debug)]
pub struct ManifestFiles {
    folder: PathBuf,
}

impl ManifestFiles {
    /// Open the folder, making it where it does not exist.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// What was accepted of a server; `None` where nothing ever was.
    ///
    /// # Errors
    /// The disk refuses, or the file does not hold it: what was accepted is not known then.
    pub fn of(&self, server: &TargetName) -> io::Result<Option<AcceptedTools>> {
        read(&self.folder.join(server.as_str()))
    }

    /// Keep it. Durable when it returns.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn put(&self, server: &TargetName, tools: &AcceptedTools) -> io::Result<()> {
        write(&self.folder, server.as_str(), tools)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_accepted_outlives_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let server: TargetName = "tools".parse().unwrap();
        let files = ManifestFiles::open(folder.path()).unwrap();
        assert_eq!(files.of(&server).unwrap(), None);
        let tools = AcceptedTools::from([("query".to_owned(), "ab".repeat(32))]);
        files.put(&server, &tools).unwrap();
        let again = ManifestFiles::open(folder.path()).unwrap();
        assert_eq!(again.of(&server).unwrap(), Some(tools));
        fs::write(folder.path().join("tools"), "{").unwrap();
        assert!(again.of(&server).is_err());
    }
}
