//! Key files: the one way to make and to read a file that holds a secret.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The longest key file that is read, in bytes.
pub const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why a key file was not made or not read. The operator of this machine is to blame.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refused.
    #[error("cannot {verb} key file `{path}`: {source}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may use the file.
    #[error(
        "key file `{path}` has mode {mode:04o}; hint: `chmod 600` it, and rotate the key if others could read it"
    )]
    Mode {
        /// Where.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a plain file, or too long.
    #[error(
        "key file `{path}` is no plain file of at most {KEY_FILE_BYTES_MAX} bytes; hint: name the key's own file"
    )]
    Shape {
        /// Where.
        path: PathBuf,
    },
}

/// Make a key file of mode 0600; it and its name are on disk when this returns.
///
/// # Errors
/// [`KeyFileError::Io`], also when the file exists: a key is never overwritten. A file left by a failed write is
/// removed, so that no truncated key stays behind.
pub fn create(path: &Path, secret: &[u8]) -> Result<(), KeyFileError> {
    let failed = |verb| move |source| KeyFileError::Io { verb, path: path.to_owned(), source };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed("create"))?;
    if let Err(error) = file.write_all(secret).and_then(|()| file.sync_all()) {
        std::fs::remove_file(path).map_err(failed("remove the half-written"))?;
        return Err(failed("write")(error));
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync the folder of"))
}

/// Read a key file that only its owner may use. The mode is that of the file that was opened, not of its name.
///
/// # Errors
/// See [`KeyFileError`].
pub fn load(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let failed = |verb| move |source| KeyFileError::Io { verb, path: path.to_owned(), source };
    let file = File::open(path).map_err(failed("open"))?;
    let about = file.metadata().map_err(failed("inspect"))?;
    if !about.is_file() || about.len() > KEY_FILE_BYTES_MAX {
        return Err(KeyFileError::Shape { path: path.to_owned() });
    }
    let mode = about.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    let mut secret = Zeroizing::new(Vec::with_capacity(usize::try_from(about.len()).unwrap_or_default()));
    file.take(KEY_FILE_BYTES_MAX).read_to_end(&mut secret).map_err(failed("read"))?;
    Ok(secret)
}
