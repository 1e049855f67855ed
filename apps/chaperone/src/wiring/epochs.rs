//! Epochs of a key of the installation: the first stands in `NAME.key`, each later one in `NAME.N.key`. Who makes a key the next
//! one leaves a marker beside it, which goes when the gateway has put the change on record. A log key has none: the trail itself
//! says which one signs it (`chaperone_trail::LogKeys`).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chaperone_recording::keyfile;
use chaperone_trail::{Body, KeyRotated, Signer};
use chaperone_tunnel::link::AgentAuthority;
use chaperone_tunnel::{AgentKey, limits};

use crate::verbs::Failure;
use crate::wiring::installation::{now_us, random};

/// The last epoch that what is made with a key can name.
const EPOCH_MAX: u8 = u8::MAX;
/// The ending of a marker's name.
const UNRECORDED: &str = "unrecorded";
/// The ending of the name of what says until when a former authority of agents is accepted.
const UNTIL: &str = "until";
/// Former authorities of agents beside the one in force; each makes a handshake longer.
const AUTHORITIES_BEFORE: usize = 3;

/// A key that has epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Epochal {
    /// What credentials are made with.
    Credential,
    /// What identifying values are committed with.
    Commitment,
    /// What signs the trail.
    Log,
    /// What signs agents' certificates.
    Agents,
}

impl Epochal {
    pub(crate) const ALL: [Self; 4] = [Self::Credential, Self::Commitment, Self::Log, Self::Agents];

    /// The word in its files' names and in entries.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Commitment => "commitment",
            Self::Log => "log",
            Self::Agents => "agent-authority",
        }
    }

    fn file(self, epoch: u8) -> String {
        let word = self.word();
        if epoch == 1 { format!("{word}.key") } else { format!("{word}.{epoch}.key") }
    }

    /// The epoch that a file's name says.
    fn epoch(self, name: &str) -> Option<u8> {
        let middle = name.strip_prefix(self.word())?.strip_suffix(".key")?;
        if middle.is_empty() {
            return Some(1);
        }
        let epoch = middle.strip_prefix('.')?.parse::<u8>().ok().filter(|epoch| *epoch > 1)?;
        (self.file(epoch) == name).then_some(epoch)
    }

    /// The epochs that are there, oldest first, with their files.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn of(self, folder: &Path) -> Result<Vec<(u8, PathBuf)>, Failure> {
        let unreadable = || Failure::io(format!("cannot read `{}`", folder.display()));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable())? {
            let path = entry.map_err(unreadable())?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            found.extend(name.and_then(|name| self.epoch(&name)).map(|epoch| (epoch, path)));
        }
        found.sort();
        Ok(found)
    }

    /// A new one's bytes.
    pub(crate) fn fresh(self) -> Result<zeroize::Zeroizing<Vec<u8>>, Failure> {
        match self {
            Self::Credential | Self::Commitment | Self::Log => {
                Ok(zeroize::Zeroizing::new(random::<32>().to_vec()))
            }
            Self::Agents => {
                let key = AgentKey::generate().map_err(Failure::failed)?;
                Ok(zeroize::Zeroizing::new(key.pkcs8().to_vec()))
            }
        }
    }

    /// A key's public part, where it has one: of a log key its verifier key, of an authority of agents the SHA-256 of its
    /// public key. `log` is the log's name.
    ///
    /// # Errors
    /// The file cannot be read, or holds no such key.
    pub(crate) fn public(self, path: &Path, log: &str) -> Result<Option<String>, Failure> {
        match self {
            Self::Credential | Self::Commitment => Ok(None),
            Self::Log => log_signer(path, log).map(|signer| Some(signer.verifier_key())),
            Self::Agents => {
                let authority = AgentAuthority::new(&agent_key(path)?).map_err(Failure::failed)?;
                Ok(Some(hex::encode(authority.fingerprint())))
            }
        }
    }

    /// Whether another one may be made now.
    fn may_follow(self, before: &[(u8, PathBuf)], void: bool) -> Result<(), Failure> {
        let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
        match self {
            Self::Log if void => usage(
                "the old log key has to sign for the new one, so it cannot be removed before (hint: leave `--void` out; \
                 the gateway removes it itself, once it has signed)",
            ),
            Self::Log if before.len() > 1 => usage(
                "a new log key is there already (hint: it comes into force when the gateway starts again)",
            ),
            Self::Agents if !void && before.len() > AUTHORITIES_BEFORE => usage(
                "too many former authorities of agents are still accepted (hint: wait until the oldest has run out, or \
                 end all of them with `--void`)",
            ),
            Self::Credential | Self::Commitment | Self::Log | Self::Agents => Ok(()),
        }
    }

    /// Make the next epoch, for the gateway's next start; the names of the new file and of the one before. With `void`, what
    /// was made with those before is void from then on.
    ///
    /// # Errors
    /// There is no key yet, none may follow, or the disk refuses.
    pub(crate) fn rotate(self, folder: &Path, void: bool) -> Result<(String, String), Failure> {
        let before = self.of(folder)?;
        let Some((last, _)) = before.last() else {
            let hint = "hint: the gateway makes its keys when it first starts";
            return Err(Failure::Usage(format!("there is no key `{}` yet ({hint})", self.word())));
        };
        self.may_follow(&before, void)?;
        let next = last.checked_add(1);
        let next = next.ok_or_else(|| Failure::Usage(format!("{EPOCH_MAX} epochs of a key are the most")))?;
        let (new, old) = (self.file(next), self.file(*last));
        if self != Self::Log {
            // The marker first: a key without one would come into force unrecorded.
            write(&folder.join(format!("{new}.{UNRECORDED}")), &old, "cannot mark the key as new")?;
        }
        keyfile::create(&folder.join(&new), &self.fresh()?).map_err(Failure::failed)?;
        if void {
            before.iter().try_for_each(|(_, path)| forget(path))?;
        }
        Ok((new, old))
    }
}

/// The signer of a log key's file.
pub(crate) fn log_signer(path: &Path, log: &str) -> Result<Signer, Failure> {
    Signer::new(log, &crate::wiring::installation::secret(path)?).map_err(Failure::failed)
}

/// The P-256 key of a file.
pub(crate) fn agent_key(path: &Path) -> Result<AgentKey, Failure> {
    AgentKey::from_pkcs8(&keyfile::load(path).map_err(Failure::failed)?).map_err(Failure::failed)
}

/// A small file, on disk when this returns.
fn write(path: &Path, text: &str, what: &str) -> Result<(), Failure> {
    let written = std::fs::File::create(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(Failure::io(what))
}

/// Another name beside a key's file.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{ending}"));
    PathBuf::from(name)
}

/// Remove a key's file, and what stands beside it.
pub(crate) fn forget(path: &Path) -> Result<(), Failure> {
    let failed = |path: &Path| Failure::io(format!("cannot remove `{}`", path.display()));
    std::fs::remove_file(path).map_err(failed(path))?;
    for path in [beside(path, UNTIL), beside(path, UNRECORDED)] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&path)(error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Until when certificates of a former authority are accepted, in seconds since the Unix epoch. The first start with its
/// successor decides it: no certificate that it signed lives longer.
pub(crate) fn accepted_until(path: &Path) -> Result<u64, Failure> {
    let file = beside(path, UNTIL);
    let unreadable =
        || Failure::Usage(format!("`{}` is no time (hint: remove it, or the key)", file.display()));
    match std::fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().map_err(|_| unreadable()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let until = now_us() / 1_000_000 + limits::CERTIFICATE_LIFE.as_secs();
            write(&file, &until.to_string(), "cannot keep until when an authority is accepted")?;
            Ok(until)
        }
        Err(error) => Err(Failure::io(format!("cannot read `{}`", file.display()))(error)),
    }
}

/// The authority of agents that is in force, and those before it that are accepted for some time yet. Those whose time is
/// over are removed.
///
/// # Errors
/// There is none, or a file cannot be read or removed.
pub(crate) fn authorities(folder: &Path) -> Result<(AgentKey, Vec<(AgentKey, u64)>), Failure> {
    let mut files = Epochal::Agents.of(folder)?;
    let (_, newest) = files.pop().ok_or_else(|| {
        Failure::Usage("there is no key `agent-authority` (hint: restore it from its backup)".to_owned())
    })?;
    let mut former = Vec::new();
    for (_, path) in files {
        let until = accepted_until(&path)?;
        if until > now_us() / 1_000_000 {
            former.push((agent_key(&path)?, until));
        } else {
            forget(&path)?;
        }
    }
    Ok((agent_key(&newest)?, former))
}

/// What can be said of one key.
#[derive(Debug, serde::Serialize)]
pub(crate) struct About {
    /// Which key.
    pub(crate) key: &'static str,
    /// As entries name it.
    pub(crate) id: String,
    pub(crate) epoch: u8,
    /// What others may know of it, where there is such a part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) public: Option<String>,
    /// When its file was written, in microseconds since the Unix epoch.
    pub(crate) created: u64,
    /// What it is used for now.
    pub(crate) state: &'static str,
    /// Until when it is accepted, in seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<u64>,
    /// Its file.
    pub(crate) file: PathBuf,
}

/// Every key that is there, all epochs. `log` is the log's name.
///
/// # Errors
/// The folder or a file cannot be read.
pub(crate) fn list(folder: &Path, log: &str) -> Result<Vec<About>, Failure> {
    let mut all = Vec::new();
    for key in Epochal::ALL {
        let files = key.of(folder)?;
        // The one that signs the log stays the first until the next has taken over.
        let waits = |epoch: u8, path: &Path| match key {
            Epochal::Log => files.first().is_some_and(|(first, _)| epoch > *first),
            Epochal::Credential | Epochal::Commitment | Epochal::Agents => beside(path, UNRECORDED).exists(),
        };
        let newest = files.iter().rfind(|(epoch, path)| !waits(*epoch, path)).map(|(epoch, _)| *epoch);
        for (epoch, path) in &files {
            let state = match newest {
                _ if waits(*epoch, path) => "waits for the gateway's next start",
                Some(newest) if newest == *epoch => "in force",
                Some(_) | None => "accepted beside the newest",
            };
            let until = std::fs::read_to_string(beside(path, UNTIL)).ok();
            all.push(About {
                key: key.word(),
                id: key.file(*epoch),
                epoch: *epoch,
                public: key.public(path, log)?,
                created: written(path),
                state,
                until: until.and_then(|text| text.trim().parse().ok()),
                file: path.clone(),
            });
        }
    }
    Ok(all)
}

/// When a file was written, in microseconds since the Unix epoch; 0 where nobody knows.
fn written(path: &Path) -> u64 {
    let modified = std::fs::metadata(path).and_then(|about| about.modified()).ok();
    let since = modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or(0, |since: Duration| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The entries of keys that were made since the last start, each with its marker.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn unrecorded(folder: &Path) -> Result<Vec<(Body, PathBuf)>, Failure> {
    let mut found = Vec::new();
    for key in [Epochal::Credential, Epochal::Commitment, Epochal::Agents] {
        for (_, path) in key.of(folder)? {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let marker = beside(&path, UNRECORDED);
            let previous = match std::fs::read_to_string(&marker) {
                Ok(previous) => previous,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Failure::io("cannot read the mark of a new key")(error)),
            };
            let public = |path: &Path| match path.exists() {
                // None of those that are marked needs the log's name.
                true => key.public(path, ""),
                false => Ok(None),
            };
            let body = KeyRotated {
                key: name,
                previous_public: public(&folder.join(&previous))?,
                public: public(&path)?,
                previous,
                purpose: key.word().to_owned(),
            };
            found.push((Body::KeyRotated(body), marker));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_follow_each_other_and_are_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        assert!(Epochal::Credential.rotate(at, false).is_err(), "there is none yet");
        keyfile::create(&at.join("credential.key"), &[1; 32]).unwrap();
        for name in [
            "credential.1.key",
            "credential.02.key",
            "credential.x.key",
            "credential.3.key.half",
            "commitment.key",
        ] {
            std::fs::write(at.join(name), "").unwrap();
        }
        let rotated = Epochal::Credential.rotate(at, false).unwrap();
        assert_eq!(rotated, ("credential.2.key".to_owned(), "credential.key".to_owned()));
        let epochs =
            |key: Epochal| key.of(at).unwrap().into_iter().map(|(epoch, _)| epoch).collect::<Vec<_>>();
        assert_eq!((epochs(Epochal::Credential), epochs(Epochal::Commitment)), (vec![1, 2], vec![1]));
        let told = unrecorded(at).unwrap();
        let [(Body::KeyRotated(body), marker)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((body.key.as_str(), body.previous.as_str()), ("credential.2.key", "credential.key"));
        std::fs::remove_file(marker).unwrap();
        assert_eq!(unrecorded(at).unwrap().len(), 0);
        Epochal::Credential.rotate(at, true).unwrap();
        assert_eq!(epochs(Epochal::Credential), [3]);
        assert_eq!(unrecorded(at).unwrap().len(), 1);
    }

    fn names(key: Epochal, at: &Path) -> Vec<u8> {
        key.of(at).unwrap().into_iter().map(|(epoch, _)| epoch).collect()
    }

    #[test]
    fn a_former_authority_is_accepted_for_as_long_as_its_certificates_live() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        keyfile::create(&at.join("agent-authority.key"), &Epochal::Agents.fresh().unwrap()).unwrap();
        let (first, former) = authorities(at).unwrap();
        assert!(former.is_empty());
        // Killed before the key was there: its mark alone is nothing.
        std::fs::write(at.join("agent-authority.2.key.unrecorded"), "agent-authority.key").unwrap();
        assert_eq!((unrecorded(at).unwrap().len(), authorities(at).unwrap().0.public()), (0, first.public()));
        Epochal::Agents.rotate(at, false).unwrap();
        let (second, former) = authorities(at).unwrap();
        let [(before, until)] = former.as_slice() else { panic!("one is accepted beside it") };
        assert_eq!(before.public(), first.public());
        assert_ne!(second.public(), first.public());
        let life = until - now_us() / 1_000_000;
        assert!((86_000..=86_400).contains(&life), "{life}");
        // A start that is killed, and the next one: the time does not begin again.
        std::fs::write(at.join("agent-authority.key.until"), (until - 9).to_string()).unwrap();
        assert_eq!(authorities(at).unwrap().1[0].1, until - 9);
        let told = unrecorded(at).unwrap();
        let [(Body::KeyRotated(body), _)] = told.as_slice() else { panic!("{told:?}") };
        assert!(
            body.public.is_some() && body.previous_public.is_some() && body.public != body.previous_public
        );
        std::fs::write(at.join("agent-authority.key.until"), "1").unwrap();
        assert!(authorities(at).unwrap().1.is_empty());
        assert_eq!(names(Epochal::Agents, at), [2]);
        assert!(!at.join("agent-authority.key.until").exists());
        for _ in 0..AUTHORITIES_BEFORE {
            Epochal::Agents.rotate(at, false).unwrap();
        }
        assert!(Epochal::Agents.rotate(at, false).is_err(), "they add up");
        Epochal::Agents.rotate(at, true).unwrap();
        assert!(authorities(at).unwrap().1.is_empty());
    }

    #[test]
    fn a_log_key_stays_until_the_next_has_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        keyfile::create(&at.join("log.key"), &[1; 32]).unwrap();
        assert!(Epochal::Log.rotate(at, true).is_err(), "it has to sign for the next one");
        Epochal::Log.rotate(at, false).unwrap();
        assert!(Epochal::Log.rotate(at, false).is_err(), "one waits already");
        assert_eq!(names(Epochal::Log, at), [1, 2]);
        let told = list(at, "chaperone/test").unwrap();
        let states: Vec<_> = told.iter().map(|about| (about.epoch, about.state)).collect();
        assert_eq!(states, [(1, "in force"), (2, "waits for the gateway's next start")]);
        assert!(
            told.iter()
                .all(|about| about.public.as_ref().is_some_and(|key| key.starts_with("chaperone/test+")))
        );
        assert!(unrecorded(at).unwrap().is_empty(), "the trail itself says it");
        crate::wiring::installation::forget_log_keys(at, 2).unwrap();
        assert_eq!(names(Epochal::Log, at), [2]);
        Epochal::Log.rotate(at, false).unwrap();
        assert_eq!(names(Epochal::Log, at), [2, 3]);
    }
}
