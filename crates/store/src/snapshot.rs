//! One value in a file of its own, replaced whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::file::{read, write};

/// Where one value is kept.
#[derive(Debug, Clone)]
pub struct SnapshotFile {
    folder: PathBuf,
    name: &'static str,
}

impl SnapshotFile {
    /// A file of that name, without a dot, in a folder, which is made where it does not exist.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(folder: &Path, name: &'static str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), name })
    }

    /// What was kept last; `None` where nothing was.
    ///
    /// # Errors
    /// The disk refuses, or it holds something else.
    pub fn read<T: DeserializeOwned>(&self) -> io::Result<Option<T>> {
        read(&self.folder.join(self.name))
    }

    /// Keep another value. Durable when it returns; a crash leaves the one before or this one.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write<T: Serialize>(&self, value: &T) -> io::Result<()> {
        write(&self.folder, self.name, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_is_found_and_nothing_half() {
        let folder = tempfile::tempdir().unwrap();
        let open = || SnapshotFile::open(&folder.path().join("usage"), "counts").unwrap();
        assert_eq!(open().read::<Vec<u64>>().unwrap(), None);
        open().write(&[1_u64]).unwrap();
        open().write(&[2_u64, 3]).unwrap();
        fs::write(folder.path().join("usage/counts.half"), "[").unwrap();
        assert_eq!(open().read::<Vec<u64>>().unwrap(), Some(vec![2, 3]));
        fs::write(folder.path().join("usage/counts"), "[").unwrap();
        assert!(open().read::<Vec<u64>>().is_err());
    }
}
