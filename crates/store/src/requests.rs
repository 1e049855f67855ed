//! Requests that were made repeatable by a key of their caller's: one small file each. Nothing of what they said or were
//! answered is kept, so that no secret and nothing about a patient lies here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::file::{read_all, remove, write};

/// Which request: whose, of what, under which key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestName {
    /// Who made it.
    pub caller: String,
    /// Method and path.
    pub asked_of: String,
    /// The caller's key.
    pub key: String,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRequest {
    /// Which one.
    pub name: RequestName,
    /// Whose caller made it, `issuer/subject`; empty in what was kept before this was.
    #[serde(default)]
    pub subject: String,
    /// When it came, in seconds since the Unix epoch.
    pub since_s: u64,
    /// Whether it was carried out. If not, it was begun.
    pub done: bool,
}

/// Requests in a folder of their own.
#[derive(Debug)]
pub struct RequestFiles {
    folder: PathBuf,
}

/// A file's name, whatever the caller's key is.
fn file_name(name: &RequestName) -> io::Result<String> {
    let text = serde_json::to_vec(&(&name.caller, &name.asked_of, &name.key))?;
    Ok(URL_SAFE_NO_PAD.encode(digest(&SHA256, &text)))
}

impl RequestFiles {
    /// Open the folder, making it where it does not exist.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Every request, in no order.
    ///
    /// # Errors
    /// The disk refuses, or a file does not hold one.
    pub fn all(&self) -> io::Result<Vec<KeptRequest>> {
        read_all(&self.folder)
    }

    /// Keep one, in the place of an earlier one of the same name. Durable when it returns.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn put(&self, request: &KeptRequest) -> io::Result<()> {
        write(&self.folder, &file_name(&request.name)?, request)
    }

    /// Forget one.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn remove(&self, name: &RequestName) -> io::Result<()> {
        remove(&self.folder, &file_name(name)?).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_from_every_other_and_outlives_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let files = RequestFiles::open(folder.path()).unwrap();
        let request = |caller: &str, key: &str| KeptRequest {
            name: RequestName { caller: caller.into(), asked_of: "POST /locks".into(), key: key.into() },
            subject: caller.into(),
            since_s: 7,
            done: false,
        };
        let all = [request("org/ana", "../1"), request("org/ana", "2"), request("org/a", "na../1")];
        all.iter().for_each(|request| files.put(request).unwrap());
        let done = KeptRequest { done: true, ..all[0].clone() };
        files.put(&done).unwrap();
        files.remove(&all[1].name).unwrap();
        files.remove(&all[1].name).unwrap();
        let mut kept = RequestFiles::open(folder.path()).unwrap().all().unwrap();
        kept.sort_by(|a, b| b.name.caller.cmp(&a.name.caller));
        assert_eq!(kept, [done, all[2].clone()]);
    }
}
