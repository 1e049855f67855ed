//! Credentials that were taken back: one small file each, removed when the credential would be void by itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chaperone_identity::{CredentialId, Revocation};

use crate::file::{read_all, remove, write};

/// Revocations in a folder of their own.
#[derive(Debug)]
pub struct RevocationFiles {
    folder: PathBuf,
}

/// A file's name: hexadecimal, since two ids may differ in the case of their letters only.
fn name(credential: CredentialId) -> String {
    credential.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl RevocationFiles {
    /// Open the folder, making it where it does not exist.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Every revocation, in no order.
    ///
    /// # Errors
    /// The disk refuses, or a file does not hold a revocation: what was taken back is not known, so nothing may be served.
    pub fn all(&self) -> io::Result<Vec<Revocation>> {
        read_all(&self.folder)
    }

    /// Keep one. Durable when it returns.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn put(&self, revocation: &Revocation) -> io::Result<()> {
        write(&self.folder, &name(revocation.credential), revocation)
    }

    /// Forget one; `false` where there is none.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn remove(&self, credential: CredentialId) -> io::Result<bool> {
        remove(&self.folder, &name(credential))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_outlives_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let files = RevocationFiles::open(folder.path()).unwrap();
        let credential = CredentialId([255, 1, 2, 3, 4, 5, 6, 7]);
        let revocation = Revocation { at: 1, by: "org/ops".into(), credential, reason: "lost".into() };
        files.put(&revocation).unwrap();
        fs::write(folder.path().join("ff.half"), "{").unwrap();
        let again = RevocationFiles::open(folder.path()).unwrap();
        assert_eq!(again.all().unwrap(), vec![revocation]);
        assert!(again.remove(credential).unwrap() && !again.remove(credential).unwrap());
        assert_eq!(again.all().unwrap(), []);
        fs::write(folder.path().join("torn"), "{").unwrap();
        assert!(again.all().is_err());
    }
}
