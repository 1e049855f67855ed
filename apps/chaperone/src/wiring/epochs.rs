//! Epochs of a key of the installation: the first stands in `NAME.key`, each later one in `NAME.N.key`. Who makes a key the next
//! one leaves a marker beside it, which goes when the gateway has put the change on record.

use std::path::{Path, PathBuf};

use chaperone_recording::keyfile;
use chaperone_trail::{Body, KeyRotated};

use crate::verbs::Failure;
use crate::wiring::installation::random;

/// The last epoch that what is made with a key can name.
const EPOCH_MAX: u8 = u8::MAX;
/// The ending of a marker's name.
const UNRECORDED: &str = "unrecorded";

/// A key that has epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Epochal {
    /// What credentials are made with.
    Credential,
    /// What identifying values are committed with.
    Commitment,
}

impl Epochal {
    const ALL: [Self; 2] = [Self::Credential, Self::Commitment];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Commitment => "commitment",
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
        let next = last.checked_add(1);
        let next = next.ok_or_else(|| Failure::Usage(format!("{EPOCH_MAX} epochs of a key are the most")))?;
        let (new, old) = (self.file(next), self.file(*last));
        // The marker first: a key without one would come into force unrecorded.
        std::fs::write(folder.join(format!("{new}.{UNRECORDED}")), &old)
            .map_err(Failure::io("cannot mark the key as new"))?;
        keyfile::create(&folder.join(&new), &random::<32>()).map_err(Failure::failed)?;
        if void {
            for (_, path) in before {
                std::fs::remove_file(&path)
                    .map_err(Failure::io(format!("cannot remove `{}`", path.display())))?;
            }
        }
        Ok((new, old))
    }
}

/// The entries of keys that were made since the last start, each with its marker.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn unrecorded(folder: &Path) -> Result<Vec<(Body, PathBuf)>, Failure> {
    let mut found = Vec::new();
    for key in Epochal::ALL {
        for (_, path) in key.of(folder)? {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let marker = folder.join(format!("{name}.{UNRECORDED}"));
            let previous = match std::fs::read_to_string(&marker) {
                Ok(previous) => previous,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Failure::io("cannot read the mark of a new key")(error)),
            };
            let body = KeyRotated {
                key: name,
                previous,
                previous_public: None,
                public: None,
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
}
