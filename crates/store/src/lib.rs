//! What the gateway keeps beside the trail, behind the traits that other rooms own.
//!
//! That is the table of wrapped keys: one small file a session and class, so that shredding one is removing a file and
//! nothing else is rewritten. And the roster of agents, the locks in force, credentials that were taken back, logins, people, services, caveats of
//! credentials and requests that are not to be carried out twice, likewise a file each; and what subjects used of their
//! limits, in one file; and which tools of servers were accepted.

mod caveats;
mod file;
mod holders;
mod locks;
mod manifests;
mod policies;
mod requests;
mod revocations;
mod roster;
mod snapshot;

pub use caveats::CaveatFiles;
pub use holders::HolderFiles;
pub use locks::LockFiles;
pub use manifests::{AcceptedTools, ManifestFiles};
pub use policies::{KeptSet, PolicyArchive};
pub use requests::{KeptRequest, RequestFiles, RequestName};
pub use revocations::RevocationFiles;
pub use roster::RosterFiles;
pub use snapshot::SnapshotFile;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chaperone_access::SessionId;
use chaperone_recording::keys::{KeyId, KeyTable, KeyTableError, KeyTableFuture, WrappedKey};
use serde::{Deserialize, Serialize};

/// The table of wrapped keys, in a folder of its own.
#[derive(Debug, Clone)]
pub struct KeyFiles {
    folder: Arc<Path>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    reader: String,
    key: String,
    epoch: u32,
    bytes: String,
}

fn storage(error: impl std::fmt::Display) -> KeyTableError {
    KeyTableError::Storage(error.to_string())
}

impl KeyFiles {
    /// Open the folder, making it where it does not exist.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: Arc::from(folder) })
    }

    fn path(&self, session: SessionId, class: &str) -> PathBuf {
        // A class is a word of ours; anything else cannot name a file outside.
        let class: String = class.chars().filter(char::is_ascii_alphanumeric).collect();
        self.folder.join(format!("{session}.{class}"))
    }

    fn insert_now(&self, session: SessionId, class: &str, keys: &[WrappedKey]) -> Result<(), KeyTableError> {
        let kept: Vec<Kept> = keys
            .iter()
            .map(|key| Kept {
                reader: key.reader.clone(),
                key: STANDARD.encode(key.key.as_bytes()),
                epoch: key.epoch,
                bytes: STANDARD.encode(&key.bytes),
            })
            .collect();
        let text = serde_json::to_vec(&kept).map_err(storage)?;
        let path = self.path(session, class);
        let half = path.with_extension("half");
        if path.exists() {
            return Err(KeyTableError::Exists(session));
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half).map_err(storage)?;
        file.write_all(&text).map_err(storage)?;
        file.sync_all().map_err(storage)?;
        // A crash before this leaves a half file that nobody reads; after it, the whole one.
        fs::rename(&half, &path).map_err(storage)?;
        File::open(&*self.folder).and_then(|folder| folder.sync_all()).map_err(storage)
    }

    fn get_now(&self, session: SessionId) -> Result<Vec<(String, WrappedKey)>, KeyTableError> {
        let mut found = Vec::new();
        let prefix = format!("{session}.");
        for entry in fs::read_dir(&*self.folder).map_err(storage)? {
            let name = entry.map_err(storage)?.file_name().to_string_lossy().into_owned();
            let Some(class) = name.strip_prefix(&prefix).filter(|class| *class != "half") else { continue };
            let text = fs::read(self.folder.join(&name)).map_err(storage)?;
            let kept: Vec<Kept> = serde_json::from_slice(&text).map_err(storage)?;
            for key in kept {
                let id: [u8; 16] = STANDARD
                    .decode(&key.key)
                    .ok()
                    .and_then(|id| id.try_into().ok())
                    .ok_or_else(|| storage("a key id"))?;
                let bytes = STANDARD.decode(&key.bytes).map_err(storage)?;
                let key =
                    WrappedKey { reader: key.reader, key: KeyId::from_bytes(id), epoch: key.epoch, bytes };
                found.push((class.to_owned(), key));
            }
        }
        Ok(found)
    }
}

impl KeyTable for KeyFiles {
    fn insert<'a>(
        &'a self,
        session: SessionId,
        class: &'a str,
        keys: Vec<WrappedKey>,
    ) -> KeyTableFuture<'a, ()> {
        let (table, class) = (self.clone(), class.to_owned());
        Box::pin(async move {
            tokio::task::spawn_blocking(move || table.insert_now(session, &class, &keys))
                .await
                .map_err(storage)?
        })
    }

    fn get(&self, session: SessionId) -> KeyTableFuture<'_, Vec<(String, WrappedKey)>> {
        let table = self.clone();
        Box::pin(async move {
            tokio::task::spawn_blocking(move || table.get_now(session)).await.map_err(storage)?
        })
    }

    fn shred<'a>(&'a self, session: SessionId, class: &'a str) -> KeyTableFuture<'a, u64> {
        let (table, class) = (self.clone(), class.to_owned());
        Box::pin(async move {
            let count = table.get(session).await?.iter().filter(|(known, _)| *known == class).count();
            let path = table.path(session, &class);
            let gone = tokio::task::spawn_blocking(move || match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => File::open(&*table.folder).and_then(|folder| folder.sync_all()),
            });
            gone.await.map_err(storage)?.map_err(storage)?;
            Ok(count as u64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_are_kept_once_and_shredded_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let table = KeyFiles::open(folder.path()).unwrap();
        let session = SessionId::from_parts(1, [1; 10]);
        let other = SessionId::from_parts(1, [2; 10]);
        let key = WrappedKey {
            reader: "pia".into(),
            key: KeyId::from_bytes([7; 16]),
            epoch: 1,
            bytes: vec![1; 80],
        };
        table.insert(session, "statements", vec![key.clone()]).await.unwrap();
        table.insert(other, "statements", vec![key.clone()]).await.unwrap();
        assert!(table.insert(session, "statements", vec![key.clone()]).await.is_err());
        let again = KeyFiles::open(folder.path()).unwrap();
        let found = again.get(session).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0.as_str(), &found[0].1.bytes), ("statements", &key.bytes));
        assert_eq!(again.shred(session, "statements").await.unwrap(), 1);
        assert_eq!(again.get(session).await.unwrap().len(), 0);
        assert_eq!(again.get(other).await.unwrap().len(), 1);
        assert_eq!(again.shred(session, "statements").await.unwrap(), 0);
    }
}
