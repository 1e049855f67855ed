//! Reading a log while somebody writes it.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::segment;
use crate::trail::TrailError;
use crate::{Entry, parse_entry};

/// Reads a log's folder from the beginning and goes on where it stopped. It holds one batch at a time. What it reads may
/// not be durable yet.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    segment: u64,
    offset: u64,
    next: u64,
}

impl Follower {
    /// At the beginning.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), segment: 0, offset: 0, next: 0 }
    }

    /// Hand every entry that has come since the last call to `take`, in order.
    ///
    /// # Errors
    /// No log stands there, an entry cannot be read, or the disk refuses.
    pub fn read(&mut self, mut take: impl FnMut(Entry)) -> Result<(), TrailError> {
        loop {
            let path = segment::path(&self.folder, self.segment);
            let file = File::open(&path).map_err(TrailError::io("read a segment"))?;
            while let Some(bytes) =
                segment::read_batch(&file, self.offset).map_err(TrailError::io("read a segment"))?
                && let Some(batch) = segment::batch(&bytes)
            {
                for (_, leaf) in segment::records(batch.body).filter(|(class, _)| *class == segment::LEAF) {
                    take(parse_entry(leaf)?);
                }
                self.next = batch.first + u64::from(batch.count);
                self.offset += (segment::HEADER + batch.body.len()) as u64;
            }
            if self.next == self.segment || !segment::path(&self.folder, self.next).exists() {
                return Ok(());
            }
            (self.segment, self.offset) = (self.next, 0);
        }
    }
}
