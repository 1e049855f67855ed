//! One log key takes the place of another, so that whoever trusts the old one comes to trust the new one without asking
//! anybody: the old key signs a last checkpoint over the entry that announces the new key. It all happens at a start,
//! before anything else is taken, and every step finds out for itself what the last start has done of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Trail, TrailError, hold, now};
use crate::checkpoint::{Signer, open_checkpoint, parse_checkpoint};
use crate::entry::{Body, Draft, KeyRotated};
use crate::publish::{Publisher, handover_path};
use crate::recover::LOG_PURPOSE;

/// A key of the log, and its place among those that followed each other.
#[derive(Debug)]
pub struct LogKey {
    epoch: u8,
    id: String,
    signer: Arc<Signer>,
}

impl LogKey {
    /// A key by its epoch (from 1) and by its id in entries.
    #[must_use]
    pub fn new(epoch: u8, id: impl Into<String>, signer: Signer) -> Self {
        Self { epoch, id: id.into(), signer: Arc::new(signer) }
    }

    /// Its epoch.
    #[must_use]
    pub fn epoch(&self) -> u8 {
        self.epoch
    }

    /// Its verifier key.
    #[must_use]
    pub fn verifier_key(&self) -> String {
        self.signer.verifier_key()
    }
}

/// The log keys that a gateway has. The last is to sign; those before it are there until it does.
#[derive(Debug)]
pub struct LogKeys {
    first: LogKey,
    later: Vec<LogKey>,
}

impl LogKeys {
    /// In the order of their epochs.
    #[must_use]
    pub fn new(first: LogKey, later: Vec<LogKey>) -> Self {
        Self { first, later }
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &LogKey> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// The one that is to sign.
    #[must_use]
    pub fn last(&self) -> &LogKey {
        self.later.last().unwrap_or(&self.first)
    }
}

impl From<Signer> for LogKeys {
    fn from(signer: Signer) -> Self {
        Self::new(LogKey::new(1, "log.key", signer), Vec::new())
    }
}

impl Trail {
    /// The verifier keys that this log had before the one that signs now, oldest first.
    #[must_use]
    pub fn former_verifier_keys(&self) -> Vec<String> {
        let succeeded = hold(&self.shared.succeeded);
        succeeded.iter().filter_map(|(_, body)| body.previous_public.clone()).collect()
    }

    /// Let every key take over from the one before it; the publisher under the last.
    pub(super) fn succeed(&self, keys: &LogKeys) -> Result<Publisher, TrailError> {
        let shared = &self.shared;
        let durable = || shared.durable.load(Ordering::Acquire);
        let mut keys = self.those_since_the_one_in_force(keys)?.into_iter();
        let mut old = keys.next().ok_or(TrailError::Unsigned)?;
        let mut publisher =
            Publisher::open(&shared.folder, old.signer.clone(), durable(), shared.disk.clone())?;
        for new in keys {
            // A crash before the announcement is durable leaves the old key in force, and the new key's file, which the
            // next start finds; a crash after it leaves an announcement that the next start does not repeat.
            self.announce(old, new)?;
            publisher.hand_over(old.epoch, &new.signer, durable())?;
            old = new;
        }
        Ok(publisher)
    }

    /// The keys from the one that signs now.
    fn those_since_the_one_in_force<'a>(&self, keys: &'a LogKeys) -> Result<Vec<&'a LogKey>, TrailError> {
        let mut rest: Vec<&LogKey> = keys.iter().collect();
        match std::fs::read(self.shared.folder.join("checkpoint")) {
            // One that is none at all is damage, which opening it says.
            Ok(bytes) if parse_checkpoint(&bytes).is_ok() => {
                let signed = |key: &LogKey| open_checkpoint(&bytes, &key.verifier_key()).is_ok();
                rest = rest.into_iter().skip_while(|key| !signed(key)).collect();
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(TrailError::io("read the checkpoint")(error)),
        }
        // A checkpoint of both keys was signed, and kept: the old one is done, whatever became of the rest of that start.
        while let [old, new, ..] = rest.as_slice()
            && self.is_handed_over(old, new)?
        {
            rest.remove(0);
        }
        Ok(rest)
    }

    /// The number of the entry that announces a key.
    fn announced(&self, key: &LogKey) -> Option<u64> {
        let public = key.verifier_key();
        let succeeded = hold(&self.shared.succeeded);
        succeeded.iter().find(|(_, body)| body.public.as_ref() == Some(&public)).map(|(seq, _)| *seq)
    }

    /// Whether the last checkpoint under the old key, over the entry that announces the new one, is kept.
    fn is_handed_over(&self, old: &LogKey, new: &LogKey) -> Result<bool, TrailError> {
        let Some(announced) = self.announced(new) else { return Ok(false) };
        let bytes = match std::fs::read(self.shared.folder.join(handover_path(old.epoch))) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(TrailError::io("read the last checkpoint of a log key")(error)),
        };
        let by_both = [old, new].map(|key| open_checkpoint(&bytes, &key.verifier_key()));
        Ok(by_both.iter().all(|opened| opened.as_ref().is_ok_and(|checkpoint| checkpoint.size > announced)))
    }

    /// Say which key takes the place of which; durable when this returns.
    fn announce(&self, old: &LogKey, new: &LogKey) -> Result<(), TrailError> {
        if self.announced(new).is_some() {
            return Ok(());
        }
        let body = KeyRotated {
            key: new.id.clone(),
            previous: old.id.clone(),
            previous_public: Some(old.verifier_key()),
            public: Some(new.verifier_key()),
            purpose: LOG_PURPOSE.to_owned(),
        };
        let seq = loop {
            match self.append(Draft::new(now(), &Body::KeyRotated(body.clone()))?, &[]) {
                Err(TrailError::Busy) => std::thread::sleep(Duration::from_millis(1)),
                other => break other?,
            }
        };
        // Only at the start, where nothing else runs that could be held up.
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match self.poll_durable(seq, &mut cx) {
                Poll::Ready(durable) => break durable?,
                Poll::Pending => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        hold(&self.shared.succeeded).push((seq.0, body));
        Ok(())
    }
}
