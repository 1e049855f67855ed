//! What a start makes of what the last run left. Reads every batch in order; the only damage that it mends is a tail
//! that no acknowledgement can have covered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::disk::Disk;
use crate::entry::{Body, Course, Entry, KeyRotated, parse_entry};
use crate::segment::{self, Segment};
use crate::trail::TrailError;

/// What a log key is for, as its entries say.
pub(crate) const LOG_PURPOSE: &str = "log";

/// What was found at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Entries in the log before this start.
    pub entries: u64,
    /// Whether the last run ended without `gateway.stopped`.
    pub unclean: bool,
    /// Bytes of a batch that was never acknowledged and was cut off.
    pub torn_bytes: u64,
    /// Operations without an outcome, by session; a session without one is listed with none.
    pub open: BTreeMap<String, BTreeSet<u64>>,
    /// Tool calls without an end.
    pub calls: BTreeSet<String>,
    /// Log keys that took the place of others, each with its entry's number.
    pub log_keys: Vec<(u64, KeyRotated)>,
    /// When the last entry was made, in microseconds since the Unix epoch.
    pub last_at: u64,
}

/// The end of the log: the file that takes the next batch, and where.
pub(crate) struct Tail {
    pub(crate) segment: Segment,
    pub(crate) offset: u64,
    pub(crate) next: u64,
}

impl Recovered {
    fn take(&mut self, entry: &Entry) {
        self.last_at = entry.at;
        self.unclean = !matches!(entry.body, Body::GatewayStopped(_));
        if let Body::KeyRotated(body) = &entry.body
            && body.purpose == LOG_PURPOSE
        {
            self.log_keys.push((entry.seq, body.clone()));
        }
        match entry.body.course() {
            Some(Course::SessionOpened(body)) => {
                self.open.entry(body.session.clone()).or_default();
            }
            Some(Course::SessionClosed(body)) => {
                self.open.remove(&body.session);
            }
            Some(Course::OperationIntent(body)) => {
                self.open.entry(body.session.clone()).or_default().insert(body.operation);
            }
            Some(Course::OperationOutcome(body)) => {
                if let Some(open) = self.open.get_mut(&body.session) {
                    open.remove(&body.operation);
                }
            }
            Some(Course::ToolcallStarted(body)) => {
                self.calls.insert(body.call.clone());
            }
            Some(Course::ToolcallEnded(body)) => {
                self.calls.remove(&body.call);
            }
            Some(Course::OperationRefused(_) | Course::OperationsUndone(_)) | None => {}
        }
    }
}

/// Hand every entry of the log to `take`, in order, and say where the log ends: index and path of the last segment,
/// offset in it, and the next sequence number.
///
/// # Errors
/// Damage before the end of the log, entries out of order, or a disk that cannot be read.
pub(crate) fn scan(
    folder: &Path,
    mut take: impl FnMut(u8, &[u8], u64) -> Result<(), TrailError>,
) -> Result<(Option<std::path::PathBuf>, u64, u64, u64), TrailError> {
    let segments = segment::list(folder)?;
    let (mut next, mut offset, mut torn, mut end) = (0, 0, 0, None);
    for (first, path) in segments {
        let bytes = std::fs::read(&path).map_err(TrailError::io("read a segment"))?;
        if first != next {
            // Its rename was reported as failed and was not: the log went on in the segment before it.
            if first < next && bytes.iter().all(|byte| *byte == 0) {
                continue;
            }
            return Err(TrailError::Damaged { seq: next, what: "a segment is missing or misnamed" });
        }
        if torn > 0 {
            return Err(changed(next));
        }
        let mut at = 0;
        while let Some(batch) = bytes.get(at..).and_then(segment::batch) {
            if batch.first != next {
                return Err(TrailError::Damaged {
                    seq: next,
                    what: "a batch does not follow the one before",
                });
            }
            for (class, payload) in segment::records(batch.body) {
                take(class, payload, next)?;
                next += u64::from(class == segment::LEAF);
            }
            if next != batch.first + u64::from(batch.count) {
                return Err(TrailError::Damaged { seq: next, what: "a batch does not hold what it says" });
            }
            at += segment::HEADER + batch.body.len();
        }
        let rest = bytes.get(at..).unwrap_or(&[]);
        torn = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        // A batch is written only after the one before it was synced: a whole batch behind a broken one means that
        // the broken one was acknowledged, so cutting it off would lose what a client relied on.
        if torn > 0 && segment::holds_batch(rest) {
            return Err(changed(next));
        }
        offset = at as u64;
        end = Some(path);
    }
    Ok((end, offset, next, torn))
}

fn changed(seq: u64) -> TrailError {
    TrailError::Damaged { seq, what: "a batch that was durable does not match its checksum" }
}

/// Read the log, cut off a torn tail and make it ready for the next batch.
///
/// # Errors
/// See [`scan`]; also an entry that does not parse.
pub(crate) fn recover(folder: &Path, disk: &dyn Disk) -> Result<(Recovered, Tail), TrailError> {
    std::fs::create_dir_all(folder.join("segments")).map_err(TrailError::io("make the folder"))?;
    let mut found = Recovered::default();
    let (path, offset, next, torn) = scan(folder, |class, payload, seq| {
        if class == segment::LEAF {
            let entry = parse_entry(payload)?;
            if entry.seq != seq {
                return Err(TrailError::Damaged { seq, what: "an entry does not stand at its own number" });
            }
            found.take(&entry);
        }
        Ok(())
    })?;
    found.entries = next;
    found.torn_bytes = torn;
    let segment = match path {
        None => segment::create(folder, 0, disk).map_err(TrailError::io("make the first segment"))?,
        Some(path) => {
            let segment = Segment::open(&path).map_err(TrailError::io("open the last segment"))?;
            // Zeros over the torn tail, synced before anything is appended: else a shorter batch would leave old bytes
            // behind it that the next recovery could not tell from damage.
            segment
                .clear(disk, offset, usize::try_from(torn).unwrap_or(0))
                .map_err(TrailError::io("cut off the torn tail"))?;
            segment
        }
    };
    Ok((found, Tail { segment, offset, next }))
}
