//! Logins kept on this machine: in the desktop's keyring where one answers, else in a file that only its owner can use.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chaperone_recording::keyfile;
use keyring_core::Error as KeyringError;
use keyring_core::api::CredentialStoreApi as _;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::issuer::Metadata;
use crate::verbs::Failure;

/// Names a file to keep logins in, whatever else there is: for tests, and for services without a desktop.
const FILE_VARIABLE: &str = "CHAPERONE_LOGINS";
/// What the entry in a keyring is called.
const KEYRING_SERVICE: &str = "chaperone";
const KEYRING_USER: &str = "logins";
/// How long a person has to unlock the keyring.
const UNLOCK_PATIENCE: Duration = Duration::from_secs(60);
/// Most logins that are kept; one more than anybody has gateways.
const LOGINS_MAX: usize = 32;

/// Secrets of a login.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Secrets {
    /// The gateway's bearer token.
    pub(crate) token: String,
    /// The issuer's refresh token, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<String>,
}

/// A login at one gateway.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The gateway's base address.
    pub(crate) gateway: String,
    /// Certificates to verify it with, where they are not the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// Who, as `issuer/subject`.
    pub(crate) subject: String,
    /// The client that we are at the issuer.
    pub(crate) client_id: String,
    /// The issuer's endpoints.
    pub(crate) issuer: Metadata,
    /// The login ends at this time, in seconds since the Unix epoch.
    pub(crate) not_after: u64,
    /// Seconds within which the gateway wants it confirmed.
    pub(crate) recheck_s: u64,
    /// When it was confirmed last, in seconds since the Unix epoch.
    pub(crate) checked_at: u64,
    /// What proves it.
    pub(crate) secrets: Secrets,
}

#[derive(Default, Serialize, Deserialize)]
struct All {
    logins: Vec<Kept>,
}

/// Where logins are kept.
enum Place {
    /// The Secret Service of the desktop session.
    Keyring(keyring_core::Entry),
    /// A file.
    File,
}

/// All logins, while nobody else changes them.
pub(crate) struct Store {
    place: Place,
    file: PathBuf,
    all: All,
    // Held until the value goes; the system lets go of it if we are killed.
    _lock: File,
}

impl Store {
    /// Read them. Waits for another `chaperone` that is changing them.
    pub(crate) fn open() -> Result<Self, Failure> {
        let (file, chosen) = file()?;
        let lock = lock(&file)?;
        let place = if chosen { Place::File } else { keyring().map_or(Place::File, Place::Keyring) };
        let all = match &place {
            // What was kept in the file before there was a keyring is still good.
            Place::Keyring(entry) => match from_keyring(entry)? {
                Some(all) => all,
                None => from_file(&file)?,
            },
            Place::File => from_file(&file)?,
        };
        Ok(Self { place, file, all, _lock: lock })
    }

    /// The login at a gateway; without a name the only one there is.
    pub(crate) fn find(&self, gateway: Option<&str>) -> Result<Kept, Failure> {
        let hint = |what: String| Failure::Usage(format!("{what} (hint: `chaperone login --gateway URL`)"));
        let names =
            || self.all.logins.iter().map(|kept| kept.gateway.as_str()).collect::<Vec<_>>().join(", ");
        match (gateway, self.all.logins.as_slice()) {
            (Some(wanted), logins) => {
                let wanted = name(wanted);
                let found = logins.iter().find(|kept| kept.gateway == wanted);
                found.cloned().ok_or_else(|| hint(format!("you are not logged in at `{wanted}`")))
            }
            (None, [only]) => Ok(only.clone()),
            (None, []) => Err(hint("you are not logged in".to_owned())),
            (None, [_, _, ..]) => Err(Failure::Usage(format!(
                "you are logged in at several gateways: {} (hint: say which with `--gateway`)",
                names()
            ))),
        }
    }

    /// Keep a login in place of the one at the same gateway.
    pub(crate) fn put(&mut self, kept: Kept) -> Result<(), Failure> {
        self.all.logins.retain(|other| other.gateway != kept.gateway);
        if self.all.logins.len() >= LOGINS_MAX {
            let text = format!("{LOGINS_MAX} logins are kept (hint: `chaperone logout` ends one)");
            return Err(Failure::Usage(text));
        }
        self.all.logins.push(kept);
        self.write()
    }

    /// Forget the login at a gateway.
    pub(crate) fn remove(&mut self, gateway: &str) -> Result<(), Failure> {
        self.all.logins.retain(|kept| kept.gateway != gateway);
        self.write()
    }

    /// Where they are, for people.
    pub(crate) fn place(&self) -> String {
        match &self.place {
            Place::Keyring(_) => "the keyring".to_owned(),
            Place::File => format!("`{}`", self.file.display()),
        }
    }

    fn write(&self) -> Result<(), Failure> {
        let text = Zeroizing::new(serde_json::to_vec(&self.all).map_err(Failure::failed)?);
        match &self.place {
            Place::Keyring(entry) => {
                entry.set_secret(&text).map_err(keyring_failed)?;
                match std::fs::remove_file(&self.file) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                    other => other.map_err(Failure::io(format!("cannot remove `{}`", self.file.display()))),
                }
            }
            Place::File => to_file(&self.file, &text),
        }
    }
}

/// A gateway's address as its login is filed.
pub(crate) fn name(gateway: &str) -> String {
    gateway.trim_end_matches('/').to_owned()
}

/// The file, and whether somebody chose it.
fn file() -> Result<(PathBuf, bool), Failure> {
    if let Some(chosen) = std::env::var_os(FILE_VARIABLE) {
        return Ok((PathBuf::from(chosen), true));
    }
    // XDG Base Directory Specification: relative paths there are to be ignored.
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")));
    let state = state.ok_or_else(|| {
        Failure::Usage(format!("there is no home folder to keep logins in (hint: set `{FILE_VARIABLE}`)"))
    })?;
    Ok((state.join("chaperone/logins.json"), false))
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Two programs that spend one refresh token would make the issuer end the login: one after the other, then.
fn lock(file: &Path) -> Result<File, Failure> {
    let folder = folder(file);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(Failure::io(format!("cannot make `{}`", folder.display())))?;
    let path = file.with_extension("lock");
    let cannot = || format!("cannot lock `{}`", path.display());
    let mut options = File::options();
    let lock = options.create(true).append(true).mode(0o600).open(&path).map_err(Failure::io(cannot()))?;
    lock.lock().map_err(Failure::io(cannot()))?;
    Ok(lock)
}

fn parse(text: &[u8], place: &str) -> Result<All, Failure> {
    serde_json::from_slice(text).map_err(|why| {
        Failure::Usage(format!("{place} does not hold logins: {why} (hint: remove it and log in again)"))
    })
}

fn from_file(file: &Path) -> Result<All, Failure> {
    if !file.exists() {
        return Ok(All::default());
    }
    let text = keyfile::load(file).map_err(|error| Failure::Usage(error.to_string()))?;
    parse(&text, &format!("`{}`", file.display()))
}

/// Replace the file whole: whoever reads it finds the old text or the new one.
fn to_file(file: &Path, text: &[u8]) -> Result<(), Failure> {
    let half = file.with_extension("half");
    let cannot = |path: &Path| Failure::io(format!("cannot write `{}`", path.display()));
    let mut options = File::options();
    let made = options.write(true).create(true).truncate(true).mode(0o600).open(&half);
    let mut written = made.map_err(cannot(&half))?;
    written.write_all(text).and_then(|()| written.sync_all()).map_err(cannot(&half))?;
    std::fs::rename(&half, file).map_err(cannot(file))?;
    File::open(folder(file)).and_then(|folder| folder.sync_all()).map_err(cannot(file))
}

/// The desktop's keyring, where a session has one that answers.
fn keyring() -> Option<keyring_core::Entry> {
    let bus = std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|dir| Path::new(&dir).join("bus").exists());
    if !bus && !runtime {
        return None;
    }
    // The D-Bus library waits on its own, and for a person who is asked to unlock: a thread keeps that out of our
    // runtime, and the wait ends.
    let (give, take) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // Nobody may be waiting any more.
        let (Ok(()) | Err(_)) = give.send(entry());
    });
    take.recv_timeout(UNLOCK_PATIENCE).ok()?.ok()
}

fn entry() -> Result<keyring_core::Entry, KeyringError> {
    let store = zbus_secret_service_keyring_store::Store::new()?;
    let entry = store.build(KEYRING_SERVICE, KEYRING_USER, None)?;
    match entry.get_secret() {
        Ok(secret) => drop(Zeroizing::new(secret)),
        Err(KeyringError::NoEntry) => {}
        Err(error) => return Err(error),
    }
    Ok(entry)
}

fn keyring_failed(error: KeyringError) -> Failure {
    Failure::Failed(format!(
        "the keyring does not answer: {error} (hint: unlock it, or set `{FILE_VARIABLE}` to keep logins in a file)"
    ))
}

fn from_keyring(entry: &keyring_core::Entry) -> Result<Option<All>, Failure> {
    match entry.get_secret() {
        Ok(text) => parse(&Zeroizing::new(text), "the entry `chaperone` of the keyring").map(Some),
        Err(KeyringError::NoEntry) => Ok(None),
        Err(error) => Err(keyring_failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn kept(gateway: &str) -> Kept {
        let issuer = serde_json::json!({"issuer": "https://id.example", "authorization_endpoint": "https://id.example/a",
            "token_endpoint": "https://id.example/t"});
        Kept {
            gateway: gateway.to_owned(),
            ca: None,
            subject: "org/ana".to_owned(),
            client_id: "cli".to_owned(),
            issuer: serde_json::from_value(issuer).unwrap(),
            not_after: 2,
            recheck_s: 1,
            checked_at: 0,
            secrets: Secrets { token: "cpl1.x".to_owned(), refresh_token: Some("r".to_owned()) },
        }
    }

    fn store(file: &Path) -> Store {
        let lock = lock(file).unwrap();
        Store { place: Place::File, file: file.to_owned(), all: from_file(file).unwrap(), _lock: lock }
    }

    #[test]
    fn a_login_is_found_again_and_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("state/logins.json");
        store(&file).put(kept("https://one.example")).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(home.path().join("state")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(store(&file).find(None).unwrap().secrets.token, "cpl1.x");
        store(&file).put(kept("https://two.example")).unwrap();
        assert!(store(&file).find(None).err().unwrap().to_string().contains("several gateways"));
        assert_eq!(store(&file).find(Some("https://two.example/")).unwrap().gateway, "https://two.example");
        store(&file).remove("https://two.example").unwrap();
        assert!(store(&file).find(Some("https://two.example")).is_err());
        store(&file).remove("https://one.example").unwrap();
        assert!(store(&file).find(None).err().unwrap().to_string().contains("not logged in"));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("logins.json");
        store(&file).put(kept("https://one.example")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = from_file(&file).err().unwrap().to_string();
        assert!(error.contains("0640") && error.contains("chmod 600"), "{error}");
    }
}
