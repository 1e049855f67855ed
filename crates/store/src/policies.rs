//! Every set of policies that was ever in force, by its digest: a folder each, with the files as they were. Whoever
//! reads a record can read the policies that decided it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chaperone_policy::PolicySet;

use crate::file::sync;

/// Largest file of a set, in bytes: as large as one that is loaded.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Sets in a folder of their own.
#[derive(Debug)]
pub struct PolicyArchive {
    folder: PathBuf,
}

/// One set that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSet {
    /// Its digest, in hexadecimal.
    pub digest: String,
    /// When it was first kept.
    pub since: SystemTime,
}

fn hexadecimal(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text is a digest: nothing else may name a folder.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl PolicyArchive {
    /// Open the folder, making it where it does not exist.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Keep the files of a set, each a name and its text; their digest. Durable when it returns. A set that is kept
    /// already is left alone, unless its files are not what its digest says.
    ///
    /// # Errors
    /// The disk refuses, or a name that is not a file's.
    pub fn keep(&self, files: &[(String, String)]) -> io::Result<String> {
        let digest = hexadecimal(&PolicySet::digest_of(files));
        let place = self.folder.join(&digest);
        if self.get(&digest).is_ok_and(|kept| kept.is_some()) {
            return Ok(digest);
        }
        let half = self.folder.join(format!("{digest}.half"));
        for stale in [&half, &place] {
            match fs::remove_dir_all(stale) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::create_dir(&half)?;
        for (name, text) in files {
            if name.contains('/') || name.starts_with('.') || name.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("`{name}` is not a file's name"),
                ));
            }
            let path = half.join(name);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
        }
        sync(&half)?;
        // A crash before this leaves a half folder that the next attempt removes; after it, the whole one.
        fs::rename(&half, &place)?;
        sync(&self.folder)?;
        Ok(digest)
    }

    /// The files of a set, sorted by name; `None` where none of that digest is kept.
    ///
    /// # Errors
    /// The disk refuses, or the files are not those that the digest is of.
    pub fn get(&self, digest: &str) -> io::Result<Option<Vec<(String, String)>>> {
        let place = self.folder.join(digest);
        if !is_digest(digest) || !place.is_dir() {
            return Ok(None);
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(&place)? {
            let path = entry?.path();
            let size = File::open(&path)?.metadata()?.len();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if size > FILE_BYTES_MAX {
                return Err(io::Error::other(format!("`{}` is too large", path.display())));
            }
            files.push((name, fs::read_to_string(&path)?));
        }
        files.sort();
        if hexadecimal(&PolicySet::digest_of(&files)) != digest {
            return Err(io::Error::other(format!(
                "`{}` does not hold what its digest says",
                place.display()
            )));
        }
        Ok(Some(files))
    }

    /// The sets that are kept, sorted by digest.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn list(&self) -> io::Result<Vec<KeptSet>> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let digest = entry.file_name().to_string_lossy().into_owned();
            if is_digest(&digest) {
                kept.push(KeptSet { digest, since: entry.metadata()?.modified()? });
            }
        }
        kept.sort_by(|one, other| one.digest.cmp(&other.digest));
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> Vec<(String, String)> {
        vec![("a.cedar".to_owned(), text.to_owned()), ("limits.toml".to_owned(), String::new())]
    }

    #[test]
    fn a_set_is_kept_under_its_digest_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let archive = PolicyArchive::open(folder.path()).unwrap();
        let (one, other) = (archive.keep(&files("one")).unwrap(), archive.keep(&files("other")).unwrap());
        assert_eq!(archive.keep(&files("one")).unwrap(), one);
        assert_eq!(archive.get(&one).unwrap().unwrap(), files("one"));
        assert_eq!(archive.get(&"0".repeat(64)).unwrap(), None);
        assert_eq!(archive.get("../../etc").unwrap(), None);
        let listed: Vec<String> = archive.list().unwrap().into_iter().map(|kept| kept.digest).collect();
        let mut expected = vec![one.clone(), other];
        expected.sort();
        assert_eq!(listed, expected);
    }

    #[test]
    fn an_altered_set_is_noticed_and_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let archive = PolicyArchive::open(folder.path()).unwrap();
        let digest = archive.keep(&files("one")).unwrap();
        fs::write(folder.path().join(&digest).join("a.cedar"), "permit (principal, action, resource);")
            .unwrap();
        assert!(archive.get(&digest).is_err());
        assert_eq!(archive.keep(&files("one")).unwrap(), digest);
        assert_eq!(archive.get(&digest).unwrap().unwrap(), files("one"));
    }

    #[test]
    fn a_half_kept_set_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let archive = PolicyArchive::open(folder.path()).unwrap();
        let digest = hexadecimal(&PolicySet::digest_of(&files("one")));
        fs::create_dir(folder.path().join(format!("{digest}.half"))).unwrap();
        assert_eq!((archive.get(&digest).unwrap(), archive.list().unwrap().len()), (None, 0));
        assert_eq!(archive.keep(&files("one")).unwrap(), digest);
        assert!(archive.keep(&[("../a.cedar".to_owned(), String::new())]).is_err());
    }
}
