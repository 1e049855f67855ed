//! Every step in which the log changes the disk, by name: so that each can be made to fail where a test says so.

use std::fmt::Debug;
use std::io;

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A new segment is filled with zeros.
    SegmentFill,
    /// The new segment is synced.
    SegmentSync,
    /// The new segment gets its name.
    SegmentRename,
    /// The folder of segments is synced.
    SegmentFolderSync,
    /// A batch is written.
    BatchWrite,
    /// A batch is synced.
    BatchSync,
    /// A torn tail is overwritten at the start.
    TailWrite,
    /// The mended tail is synced.
    TailSync,
    /// A tile or bundle is written.
    TileWrite,
    /// A tile or bundle gets its name.
    TileRename,
    /// A checkpoint is written and synced.
    CheckpointWrite,
    /// A checkpoint gets its name.
    CheckpointRename,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::SegmentFill,
        Self::SegmentSync,
        Self::SegmentRename,
        Self::SegmentFolderSync,
        Self::BatchWrite,
        Self::BatchSync,
        Self::TailWrite,
        Self::TailSync,
        Self::TileWrite,
        Self::TileRename,
        Self::CheckpointWrite,
        Self::CheckpointRename,
    ];
}

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// What the system makes of it.
    Done,
    /// It is not carried out, and reported as failed.
    Lost(io::ErrorKind),
    /// It is carried out, and reported as failed all the same.
    DoneButFailed(io::ErrorKind),
}

/// The disk under a log. It is asked before each step.
pub trait Disk: Debug + Send + Sync {
    /// What becomes of the step.
    fn fate(&self, step: Step) -> Fate;
}

/// The system's own disk: every step is carried out.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn fate(&self, _step: Step) -> Fate {
        Fate::Done
    }
}

pub(crate) fn carry_out<T>(
    disk: &dyn Disk,
    step: Step,
    act: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    match disk.fate(step) {
        Fate::Done => act(),
        Fate::Lost(kind) => Err(kind.into()),
        Fate::DoneButFailed(kind) => act().and_then(|_done| Err(kind.into())),
    }
}
