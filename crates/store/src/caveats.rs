//! Caveats that do not fit a credential's user name: one small file each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chaperone_identity::{CaveatStore, KeptCaveat, KeptCaveatId};

use crate::file::{read_all, remove, write};

/// Caveats in a folder of their own.
#[derive(Debug)]
pub struct CaveatFiles {
    folder: PathBuf,
}

impl CaveatFiles {
    /// Open the folder, making it where it does not exist.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }
}

impl CaveatStore for CaveatFiles {
    fn caveats(&self) -> io::Result<Vec<KeptCaveat>> {
        read_all(&self.folder)
    }

    fn put_caveat(&self, caveat: &KeptCaveat) -> io::Result<()> {
        write(&self.folder, &caveat.id.to_string(), caveat)
    }

    fn remove_caveat(&self, id: KeptCaveatId) -> io::Result<()> {
        remove(&self.folder, &id.to_string()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caveat_outlives_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptCaveat {
            id: "AAAAAAAAAAAA".parse().unwrap(),
            by: "org/ana".into(),
            only: vec!["a.b(x)".into()],
            not_after: 7,
        };
        CaveatFiles::open(folder.path()).unwrap().put_caveat(&kept).unwrap();
        let again = CaveatFiles::open(folder.path()).unwrap();
        assert_eq!(again.caveats().unwrap(), std::slice::from_ref(&kept));
        again.remove_caveat(kept.id).unwrap();
        assert_eq!(again.caveats().unwrap(), []);
    }
}
