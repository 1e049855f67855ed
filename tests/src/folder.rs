//! Folders, ports and passwords of an installation.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use crate::{Failure, Result};

/// Bytes of randomness in a password: 128 bits.
const SECRET_BYTES: usize = 16;
/// Where ports are chosen: above the well-known ones, below the system's own range for outgoing connections (Linux: 32768).
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How often a port is tried before none is said to be free.
const PORT_ATTEMPTS: usize = 100;

/// Locks on the ports that this process was given; the system lifts them when it ends.
static CLAIMED: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A new folder that goes away with the value. Others may pass through it (PostgreSQL does not run as root), not list it.
///
/// # Errors
/// The system's.
pub fn private_folder(purpose: &str) -> Result<TempDir> {
    let cannot = |error: std::io::Error| Failure::new(format!("cannot make a temporary folder: {error}"));
    let folder =
        tempfile::Builder::new().prefix(&format!("chaperone-{purpose}-")).tempdir().map_err(cannot)?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).map_err(cannot)?;
    Ok(folder)
}

/// Make a folder that others may pass through, with its parents.
pub(crate) fn passable(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Failure::at("make", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o711))
        .map_err(Failure::at("set permissions of", path))
}

/// A TCP port of the loopback address that is free, and that no other process of ours is given while this one runs. It is
/// chosen by chance below those from which the system takes one for each outgoing connection.
///
/// # Errors
/// The system's, or none of many is free.
pub fn free_port() -> Result<u16> {
    let claims = std::env::temp_dir().join(format!("chaperone-ports-{}", rustix::process::getuid().as_raw()));
    fs::create_dir_all(&claims).map_err(Failure::at("make", &claims))?;
    for _ in 0..PORT_ATTEMPTS {
        let chance: u16 = random::<2>()?.iter().fold(0, |number, byte| number << 8 | u16::from(*byte));
        let port = PORTS.start + chance % (PORTS.end - PORTS.start);
        let path = claims.join(port.to_string());
        let claim = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let claim = claim.map_err(Failure::at("open", &path))?;
        // Another test was given it, and what is to listen there has not begun yet.
        if claim.try_lock().is_err() {
            continue;
        }
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            CLAIMED.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
            return Ok(port);
        }
    }
    Err(Failure::new(format!("none of {PORT_ATTEMPTS} ports is free")))
}

/// A password of 128 random bits, in hexadecimal.
///
/// # Errors
/// The system's generator cannot be read.
pub fn secret() -> Result<String> {
    Ok(random::<SECRET_BYTES>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES]> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; BYTES];
    let read = fs::File::open(source).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(Failure::at("read", source))?;
    Ok(bytes)
}

/// Write a file that only we can read. It never exists with wider permissions.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(Failure::at("write", path))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Failure::at("write", path))
}

pub(crate) fn read(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).map_err(Failure::at("read", path))?;
    Ok(text.trim_end().to_owned())
}
