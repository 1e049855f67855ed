//! Locks: one small file each, so that one that is lifted is a file removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chaperone_policy::Lock;

use crate::file::{read_all, remove, write};

/// Locks in a folder of their own.
#[derive(Debug)]
pub struct LockFiles {
    folder: PathBuf,
}

impl LockFiles {
    /// Open the folder, making it where it does not exist.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Every lock, in no order.
    ///
    /// # Errors
    /// The disk refuses, or a file does not hold a lock: what it locked is not known, so nothing may be served.
    pub fn all(&self) -> io::Result<Vec<Lock>> {
        read_all(&self.folder)
    }

    /// Keep one. Durable when it returns.
    ///
    /// # Errors
    /// The disk refuses, or the id is not a file's name: letters, digits and `-`.
    pub fn put(&self, lock: &Lock) -> io::Result<()> {
        plain(&lock.id)?;
        write(&self.folder, &lock.id, lock)
    }

    /// Remove one; `false` where there is none.
    ///
    /// # Errors
    /// As for [`Self::put`].
    pub fn remove(&self, id: &str) -> io::Result<bool> {
        plain(id)?;
        remove(&self.folder, id)
    }
}

fn plain(id: &str) -> io::Result<()> {
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not the id of a lock"))
}

#[cfg(test)]
mod tests {
    use chaperone_policy::LockOn;

    use super::*;

    #[test]
    fn a_lock_outlives_its_writer_and_goes_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let files = LockFiles::open(folder.path()).unwrap();
        let lock = Lock {
            at: 1,
            by: "local/administrator".into(),
            id: "abc123".into(),
            on: LockOn::Subject("dev/ana".into()),
            reason: "left".into(),
        };
        files.put(&lock).unwrap();
        fs::write(folder.path().join("other.half"), "{").unwrap();
        let again = LockFiles::open(folder.path()).unwrap();
        assert_eq!(again.all().unwrap(), vec![lock.clone()]);
        assert!(again.remove("abc123").unwrap());
        assert!(!again.remove("abc123").unwrap());
        assert_eq!(again.all().unwrap(), []);
        for bad in ["", "../x", "a.b", "a/b"] {
            assert!(again.put(&Lock { id: bad.into(), ..lock.clone() }).is_err(), "{bad}");
            assert!(again.remove(bad).is_err(), "{bad}");
        }
        fs::write(folder.path().join("torn"), "{").unwrap();
        assert!(again.all().is_err());
    }
}
