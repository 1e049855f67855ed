//! Who signed the log: the keys that were given, and those that followed them. A key is believed where an entry announces
//! it and a checkpoint over that entry is signed by the key before it; what is given may be any key of that chain.

use std::fs;
use std::path::Path;

use super::Report;
use crate::checkpoint::{Checkpoint, CheckpointError, open_checkpoint, parse_checkpoint, parse_verifier_key};
use crate::publish::HANDOVERS;
use crate::recover::LOG_PURPOSE;
use crate::tree::Frontier;
use crate::{Body, Entry, KeyRotated};

/// The last checkpoint under one key.
struct Handover {
    name: String,
    bytes: Vec<u8>,
    checkpoint: Checkpoint,
    /// Whether the entries up to it give its root; `None` until they are read.
    holds: Option<bool>,
    is_used: bool,
}

impl Handover {
    fn is_signed(&self, key: &str) -> bool {
        open_checkpoint(&self.bytes, key).is_ok()
    }
}

/// The key in force after a succession.
struct InForce {
    key: String,
    trusted: bool,
}

/// The keys of one log.
pub(super) struct Keys<'a> {
    given: Vec<&'a str>,
    /// By size.
    handovers: Vec<Handover>,
    successions: Vec<(u64, KeyRotated)>,
}

impl<'a> Keys<'a> {
    /// Keys that are trusted, one a line.
    pub(super) fn new(given: &'a str) -> Result<Self, CheckpointError> {
        let given: Vec<&str> = given.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if given.is_empty() {
            return Err(CheckpointError::Key);
        }
        for key in &given {
            parse_verifier_key(key)?;
        }
        Ok(Self { given, handovers: Vec::new(), successions: Vec::new() })
    }

    /// The last checkpoints of keys that were replaced. There are none in most logs.
    pub(super) fn read_handovers(&mut self, folder: &Path, report: &mut Report) {
        let Ok(listed) = fs::read_dir(folder.join(HANDOVERS)) else { return };
        for path in listed.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // What a crash leaves of writing one is named otherwise.
            if name.parse::<u8>().is_err() {
                continue;
            }
            let bytes = fs::read(&path).unwrap_or_default();
            match parse_checkpoint(&bytes).map(|(checkpoint, _)| checkpoint) {
                Ok(checkpoint) => {
                    self.handovers.push(Handover { name, bytes, checkpoint, holds: None, is_used: false })
                }
                Err(error) => report.find(None, format!("`{HANDOVERS}/{name}`: {error}")),
            }
        }
        self.handovers.sort_by_key(|handover| handover.checkpoint.size);
    }

    /// The next entry.
    pub(super) fn take(&mut self, seq: u64, entry: &Entry) {
        if let Body::KeyRotated(body) = &entry.body
            && body.purpose == LOG_PURPOSE
        {
            self.successions.push((seq, body.clone()));
        }
    }

    /// So many entries have been read.
    pub(super) fn reach(&mut self, frontier: &Frontier) {
        let size = frontier.size();
        let from = self.handovers.partition_point(|handover| handover.checkpoint.size < size);
        for handover in self.handovers.iter_mut().skip(from) {
            if handover.checkpoint.size != size {
                return;
            }
            handover.holds = Some(handover.checkpoint.root == frontier.root());
        }
    }

    /// After the last entry: whether the checkpoint is signed by the key in force, and that one is believed.
    pub(super) fn finish(mut self, checkpoint: &[u8], report: &mut Report) {
        let is_signed = |key: &str| open_checkpoint(checkpoint, key);
        let mut in_force: Option<InForce> = None;
        let successions = std::mem::take(&mut self.successions);
        for (at, (seq, body)) in successions.iter().enumerate() {
            let (Some(old), Some(new)) = (&body.previous_public, &body.public) else {
                report.find(Some(*seq), "a log key took the place of another, and neither is named");
                continue;
            };
            if in_force.as_ref().is_some_and(|in_force| in_force.key != *old) {
                report.find(Some(*seq), "a log key took the place of one that was not in force");
            }
            let followed = in_force.as_ref().is_some_and(|before| before.key == *old && before.trusted);
            let trusted = followed || self.is_given(old);
            let next = successions.get(at + 1).map_or(u64::MAX, |(seq, _)| *seq);
            let key = match self.hand_over(report, (*seq, next), (old, new)) {
                true => {
                    report.successions += 1;
                    InForce { key: new.clone(), trusted: trusted || self.is_given(new) }
                }
                // A start that was killed in the middle of it: the old key is in force still.
                false if next == u64::MAX && is_signed(old).is_ok() => InForce { key: old.clone(), trusted },
                false => {
                    report.find(Some(*seq), "no checkpoint of the log key before it covers the new log key");
                    InForce { key: new.clone(), trusted: self.is_given(new) }
                }
            };
            in_force = Some(key);
        }
        for handover in self.handovers.iter().filter(|handover| !handover.is_used) {
            report.find(None, format!("`{HANDOVERS}/{}` belongs to no change of the log key", handover.name));
        }
        match in_force {
            Some(InForce { trusted: false, .. }) => {
                report.find(None, "the log key in force was not announced under a key that was given");
            }
            Some(InForce { key, .. }) => {
                if let Err(error) = is_signed(&key) {
                    report.find(None, format!("{error}; another key took that one's place"));
                }
            }
            None => {
                let errors: Option<Vec<_>> = self.given.iter().map(|key| is_signed(key).err()).collect();
                if let Some(error) = errors.iter().flatten().next() {
                    report.find(None, error.to_string());
                }
            }
        }
    }

    fn is_given(&self, key: &str) -> bool {
        self.given.contains(&key)
    }

    /// Whether a checkpoint that both keys signed covers the announcement, and nothing of what the next key took over.
    fn hand_over(&mut self, report: &mut Report, (seq, next): (u64, u64), (old, new): (&str, &str)) -> bool {
        let found = self.handovers.iter_mut().find(|handover| {
            let size = handover.checkpoint.size;
            size > seq && size <= next && handover.is_signed(old) && handover.is_signed(new)
        });
        let Some(handover) = found else { return false };
        handover.is_used = true;
        if handover.holds != Some(true) {
            let what = format!("the entries do not give the root in `{HANDOVERS}/{}`", handover.name);
            report.find(Some(seq), what);
        }
        true
    }
}
