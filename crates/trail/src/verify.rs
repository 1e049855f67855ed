//! Verification from the published files, written from the specifications and not from the writer: no network, no
//! gateway, one entry at a time.

mod accounts;
mod follow;
mod keys;

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

use serde::Serialize;

use crate::checkpoint::parse_checkpoint;
use crate::tree::{Frontier, Hash, TILE_WIDTH, bundle_path, leaf_hash, tile_path, tile_root};
use crate::{parse_entry, segment};
use follow::Followed;
use keys::Keys;

/// How long a batch that is half there may take to be whole.
const BATCH_PATIENCE: Duration = Duration::from_millis(400);
/// Findings that are listed; more are counted.
const FINDINGS_MAX: usize = 1000;

/// Something that is not as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The entry that it is about, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
    /// What.
    pub what: String,
}

/// What was checked and found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The log's name, as signed.
    pub origin: String,
    /// Entries under the checkpoint.
    pub size: u64,
    /// Its root, in hexadecimal.
    pub root: String,
    /// Sessions that were opened.
    pub sessions: u64,
    /// Sessions whose agent's signed count was checked.
    pub tallies: u64,
    /// Agents' signed counts since their start that were held against the sessions on record.
    pub totals: u64,
    /// Sessions that reached a target and stand in no such count: their agent was lost or silent, or has not counted since.
    pub uncounted: u64,
    /// Sealed objects whose hash was checked.
    pub objects: u64,
    /// Log keys that took the place of others, each under a checkpoint that both signed.
    pub successions: u64,
    /// Entries behind the checkpoint, which nobody has signed yet.
    pub unsigned: u64,
    /// Findings beyond those listed.
    pub unlisted: u64,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, entry: Option<u64>, what: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { entry, what: what.into() });
        } else {
            self.unlisted += 1;
        }
    }
}

/// Verify the log in a folder against verifier keys, one a line: one that the log has or had is enough, since those that
/// followed it are announced under it. `progress` hears how many entries are done.
#[must_use]
pub fn verify(folder: &Path, verifier_keys: &str, mut progress: impl FnMut(u64)) -> Report {
    let mut report = Report::default();
    let bytes = match fs::read(folder.join("checkpoint")) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.find(None, format!("the checkpoint cannot be read: {error}"));
            return report;
        }
    };
    // Who signed it is judged at the end: the entries say which keys there were.
    let opened = parse_checkpoint(&bytes).and_then(|(found, _)| Ok((found, Keys::new(verifier_keys)?)));
    let (checkpoint, mut keys) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            report.find(None, error.to_string());
            return report;
        }
    };
    keys.read_handovers(folder, &mut report);
    report.origin.clone_from(&checkpoint.origin);
    report.size = checkpoint.size;
    report.root = hex::encode(checkpoint.root);
    let (mut frontier, mut levels, mut followed) =
        (Frontier::default(), Levels::default(), Followed::default());
    let mut hashes = Vec::new();
    while frontier.size() < checkpoint.size {
        let number = frontier.size() / TILE_WIDTH;
        let width = (checkpoint.size - number * TILE_WIDTH).min(TILE_WIDTH);
        let path = bundle_path(number, width);
        let Ok((bundle, is_whole)) = read(folder, &path, &bundle_path(number, TILE_WIDTH)) else {
            report.find(Some(frontier.size()), format!("`{path}` is missing"));
            return report;
        };
        let Some(entries) = split(&bundle, width, is_whole) else {
            report.find(Some(frontier.size()), format!("`{path}` does not hold {width} entries"));
            return report;
        };
        for bytes in entries {
            let seq = frontier.size();
            let hash = leaf_hash(bytes);
            frontier.push(hash);
            levels.push(hash, folder, &mut report);
            hashes.push(hash);
            match parse_entry(bytes) {
                Ok(entry) => {
                    keys.take(seq, &entry);
                    followed.take(&mut report, seq, &entry);
                }
                Err(error) => report.find(Some(seq), error.to_string()),
            }
            keys.reach(&frontier);
        }
        progress(frontier.size());
    }
    levels.finish(folder, &mut report);
    keys.finish(&bytes, &mut report);
    if frontier.root() != checkpoint.root {
        report.find(None, "the entries do not give the root that was signed");
    }
    segments(folder, &hashes, followed.objects(), &mut report);
    followed.finish(&mut report);
    report
}

/// What a tile or bundle holds, and whether it is the full one that took the place of the partial one asked for: whoever
/// reads a log that goes on may have a checkpoint whose partial tiles are gone since.
fn read(folder: &Path, path: &str, full: &str) -> io::Result<(Vec<u8>, bool)> {
    match fs::read(folder.join(path)) {
        Ok(bytes) => Ok((bytes, false)),
        Err(error) if path == full => Err(error),
        // The full one was there before the partial ones went.
        Err(error) => fs::read(folder.join(full)).map(|bytes| (bytes, true)).map_err(|_| error),
    }
}

/// The first `width` entries of a bundle, which has no more unless it `may_go_on`.
fn split(bundle: &[u8], width: u64, may_go_on: bool) -> Option<Vec<&[u8]>> {
    let mut rest = bundle;
    let mut entries = Vec::new();
    for _ in 0..width {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        rest = after;
    }
    (may_go_on || rest.is_empty()).then_some(entries)
}

/// The tiles as they should be, compared with those that are there.
#[derive(Default)]
struct Levels {
    levels: Vec<(u64, Vec<Hash>)>,
}

impl Levels {
    fn push(&mut self, hash: Hash, folder: &Path, report: &mut Report) {
        let mut carried = Some((0, hash));
        while let Some((level, hash)) = carried.take() {
            if self.levels.len() <= level {
                self.levels.push((0, Vec::new()));
            }
            let Some((number, hashes)) = self.levels.get_mut(level) else { return };
            hashes.push(hash);
            if hashes.len() as u64 == TILE_WIDTH {
                compare(folder, (level, *number), hashes, report);
                carried = Some((level + 1, tile_root(hashes)));
                hashes.clear();
                *number += 1;
            }
        }
    }

    fn finish(&self, folder: &Path, report: &mut Report) {
        for (level, (number, hashes)) in self.levels.iter().enumerate() {
            if !hashes.is_empty() {
                compare(folder, (level, *number), hashes, report);
            }
        }
    }
}

fn compare(folder: &Path, (level, number): (usize, u64), hashes: &[Hash], report: &mut Report) {
    let path = tile_path(level, number, hashes.len() as u64);
    match read(folder, &path, &tile_path(level, number, TILE_WIDTH)) {
        Ok((bytes, false)) if bytes == hashes.concat() => {}
        Ok((bytes, true)) if bytes.starts_with(&hashes.concat()) => {}
        Ok(_) => report.find(None, format!("`{path}` does not hold the hashes of its entries")),
        Err(error) => report.find(None, format!("`{path}` cannot be read: {error}")),
    }
}

/// Whether what is no batch in a segment, and not nothing, becomes one: a writer that goes on may have been half way with
/// it, so it is read again, within [`BATCH_PATIENCE`].
fn comes(path: &Path, bytes: &mut Vec<u8>, at: usize) -> bool {
    let began = Instant::now();
    while bytes.get(at..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0)) {
        if bytes.get(at..).and_then(segment::batch).is_some() {
            return true;
        }
        if began.elapsed() > BATCH_PATIENCE {
            return false;
        }
        std::thread::sleep(BATCH_PATIENCE / 20);
        if let Ok(again) = fs::read(path) {
            *bytes = again;
        }
    }
    false
}

/// The segments hold the same leaves, and every sealed object that an entry names.
fn segments(folder: &Path, hashes: &[Hash], objects: &HashSet<String>, report: &mut Report) {
    let Ok(list) = segment::list(folder) else {
        return report.find(None, "the segments cannot be listed: sealed objects were not checked");
    };
    let mut missing = objects.clone();
    let mut seq = 0_usize;
    for (_, path) in list {
        let Ok(mut bytes) = fs::read(&path) else {
            report.find(None, format!("`{}` cannot be read", path.display()));
            continue;
        };
        let mut at = 0;
        loop {
            let Some(batch) = bytes.get(at..).and_then(segment::batch) else {
                if comes(&path, &mut bytes, at) {
                    continue;
                }
                break;
            };
            for (class, payload) in segment::records(batch.body) {
                if class == segment::LEAF {
                    match hashes.get(seq) {
                        Some(hash) if *hash == leaf_hash(payload) => {}
                        Some(_) => report.find(Some(seq as u64), "segment and bundle hold different entries"),
                        None => report.unsigned += 1,
                    }
                    seq += 1;
                } else if missing.remove(&crate::Digest::of(payload).to_string()) {
                    report.objects += 1;
                }
            }
            at += segment::HEADER + batch.body.len();
        }
        if bytes.get(at..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0)) {
            report.find(Some(seq as u64), "a segment ends in bytes that are no batch");
        }
    }
    if seq < hashes.len() {
        report.find(Some(seq as u64), "the segments hold fewer entries than were signed");
    }
    for object in missing {
        report.find(None, format!("the sealed object `{object}` is missing or was changed"));
    }
}
