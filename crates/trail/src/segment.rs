//! Segments: zero-filled files of one size that hold batches back to back. A batch is what one write and one
//! `fdatasync` made durable, under one checksum: after a crash it is there whole or it is cut off whole.
//!
//! Batch: magic (8 bytes), length of the body, count of leaves (u32 each), sequence number of its first leaf (u64),
//! CRC-32 of the three numbers and the body (u32), all little-endian; then the body. Record in a body: length (u32), class
//! (1 = leaf, 2 = sealed frame), bytes. A frame stands before the leaf that names it. Zeros fill a batch up to a
//! multiple of 512 bytes, the least that a disk writes, and end a segment.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::TrailError;
use crate::disk::{Disk, Step, carry_out};

/// Size of a segment file in bytes.
pub(crate) const SEGMENT_BYTES: u64 = 32 << 20;
/// Bytes of a batch before its body.
pub(crate) const HEADER: usize = 28;
/// What a batch's length is a multiple of.
pub(crate) const BLOCK: usize = 512;
/// Bytes of a record before its payload.
pub(crate) const RECORD_HEADER: usize = 5;
const MAGIC: &[u8; 8] = b"cpbatch1";
pub(crate) const LEAF: u8 = 1;
pub(crate) const FRAME: u8 = 2;

/// Append one record to a body.
pub(crate) fn push_record(body: &mut Vec<u8>, class: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = body.len();
    body.extend_from_slice(&[0, 0, 0, 0, class]);
    fill(body);
    let length = u32::try_from(body.len() - at - RECORD_HEADER).unwrap_or(u32::MAX);
    for (to, from) in body.iter_mut().skip(at).zip(length.to_le_bytes()) {
        *to = from;
    }
}

/// Bytes that a batch of so many, with its header, takes in a segment.
pub(crate) fn batch_bytes(bytes: usize) -> u64 {
    bytes.next_multiple_of(BLOCK) as u64
}

/// Fill a buffer up to whole blocks, and in the header at its front, whose [`HEADER`] bytes were left free.
pub(crate) fn finish_batch(buffer: &mut Vec<u8>, first: u64, count: u32) {
    buffer.resize(buffer.len().next_multiple_of(BLOCK), 0);
    let Some((header, body)) = buffer.split_at_mut_checked(HEADER) else { return };
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut fixed = Vec::with_capacity(16);
    fixed.extend_from_slice(&length.to_le_bytes());
    fixed.extend_from_slice(&count.to_le_bytes());
    fixed.extend_from_slice(&first.to_le_bytes());
    let checksum = checksum(&fixed, body);
    let whole = MAGIC.iter().chain(&fixed).copied().chain(checksum.to_le_bytes());
    for (to, from) in header.iter_mut().zip(whole) {
        *to = from;
    }
}

fn checksum(fixed: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(fixed);
    hasher.update(body);
    hasher.finalize()
}

/// One whole batch.
pub(crate) struct Batch<'a> {
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) body: &'a [u8],
}

/// The batch at the front of some bytes, if a whole one with a right checksum stands there.
pub(crate) fn batch(bytes: &[u8]) -> Option<Batch<'_>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (fixed, rest) = rest.split_at_checked(16)?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (length, numbers) = fixed.split_first_chunk::<4>()?;
    let (count, first) = numbers.split_first_chunk::<4>()?;
    let body = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    if checksum(fixed, body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let first = u64::from_le_bytes(*first.first_chunk::<8>()?);
    Some(Batch { first, count: u32::from_le_bytes(*count), body })
}

/// The bytes of the batch at an offset, as its header says; none where no header stands or the file ends before it does.
/// One batch is held at a time, never a segment.
pub(crate) fn read_batch(file: &File, offset: u64) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; HEADER];
    let read = |buffer: &mut [u8], at| match file.read_exact_at(buffer, at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    };
    if !read(&mut header, offset)? {
        return Ok(None);
    }
    let length = header.strip_prefix(MAGIC).and_then(|rest| rest.first_chunk::<4>());
    let length = length.map_or(SEGMENT_BYTES, |length| u64::from(u32::from_le_bytes(*length)));
    if length >= SEGMENT_BYTES {
        return Ok(None);
    }
    let mut bytes = header.to_vec();
    bytes.resize(HEADER + usize::try_from(length).unwrap_or(0), 0);
    let Some(body) = bytes.get_mut(HEADER..) else { return Ok(None) };
    Ok(if read(body, offset + HEADER as u64)? { Some(bytes) } else { None })
}

/// The records of a body: class and payload. No record is of class 0: zeros are what fills the last block.
pub(crate) fn records(mut body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (length, rest) = body.split_first_chunk::<4>()?;
        let (class, rest) = rest.split_first().filter(|(class, _)| **class != 0)?;
        let (payload, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        body = rest;
        Some((*class, payload))
    })
}

/// Whether a whole batch begins anywhere in these bytes: then what stands before it was durable once.
pub(crate) fn holds_batch(bytes: &[u8]) -> bool {
    bytes
        .windows(MAGIC.len())
        .enumerate()
        .any(|(at, window)| window == MAGIC && bytes.get(at..).is_some_and(|rest| batch(rest).is_some()))
}

/// Where the segment that begins with a sequence number stands.
pub(crate) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join("segments").join(format!("{first:020}.seg"))
}

/// All segments in order: the sequence number that each begins with, and its path.
pub(crate) fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, TrailError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder.join("segments")).map_err(TrailError::io("list the segments"))? {
        let path = entry.map_err(TrailError::io("list the segments"))?.path();
        let number =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".seg"));
        if let Some(first) = number.and_then(|number| number.parse().ok()) {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}

fn fresh(folder: &Path) -> PathBuf {
    folder.join("segments").join("next.tmp")
}

/// A segment that takes batches.
#[derive(Debug)]
pub(crate) struct Segment {
    file: File,
    /// Past the page cache, where the file system lets us: what would be written once and read once fills no cache, and
    /// one call writes and syncs.
    direct: Option<Direct>,
}

#[derive(Debug)]
struct Direct {
    file: File,
    /// Whole blocks begin at an address that is a multiple of [`BLOCK`], as the disk wants it.
    blocks: Vec<u8>,
}

impl Direct {
    fn open(path: &Path) -> Option<Self> {
        let flags = i32::try_from((OFlags::DIRECT | OFlags::DSYNC).bits()).ok()?;
        let file = File::options().write(true).custom_flags(flags).open(path).ok()?;
        Some(Self { file, blocks: Vec::new() })
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.blocks.len() < bytes.len() + BLOCK {
            self.blocks = vec![0; bytes.len() + BLOCK];
        }
        let begin = self.blocks.as_ptr().align_offset(BLOCK);
        let unaligned = || io::Error::from(io::ErrorKind::InvalidInput);
        let blocks = self.blocks.get_mut(begin..).and_then(|blocks| blocks.get_mut(..bytes.len()));
        let blocks = blocks.ok_or_else(unaligned)?;
        blocks.copy_from_slice(bytes);
        self.file.write_all_at(blocks, offset)?;
        // One large batch should not stay in memory for good.
        if self.blocks.len() > BLOCKS_KEPT_MAX {
            self.blocks = Vec::new();
        }
        Ok(())
    }
}

/// Memory that is kept for the next batch, in bytes.
const BLOCKS_KEPT_MAX: usize = 1 << 20;

impl Segment {
    fn new(file: File, path: &Path) -> Self {
        Self { file, direct: Direct::open(path) }
    }

    /// One that is there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        Ok(Self::new(file, path))
    }

    /// Zeros over what may stand there, and a sync of everything.
    pub(crate) fn clear(&self, disk: &dyn Disk, offset: u64, bytes: usize) -> io::Result<()> {
        carry_out(disk, Step::TailWrite, || self.file.write_all_at(&vec![0; bytes], offset))?;
        carry_out(disk, Step::TailSync, || self.file.sync_all())
    }

    /// Write a batch and sync it. After an error nobody knows what the disk holds.
    pub(crate) fn write(&mut self, disk: &dyn Disk, batch: &[u8], offset: u64) -> io::Result<()> {
        carry_out(disk, Step::BatchWrite, || {
            if let Some(direct) = &mut self.direct {
                match direct.write(batch, offset) {
                    // A file system that takes the flag and then no write, or a disk of larger blocks.
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                    other => return other,
                }
            }
            self.file.write_all_at(batch, offset)
        })?;
        carry_out(disk, Step::BatchSync, || match &self.direct {
            Some(_) => Ok(()),
            None => self.file.sync_data(),
        })
    }
}

/// Make the file of a segment that has no name yet: zero-filled and synced. A crash leaves a file that nobody reads and
/// that the next attempt overwrites.
pub(crate) fn prepare(folder: &Path, disk: &dyn Disk) -> io::Result<Segment> {
    let filled = fill(folder, disk);
    if filled.is_err() {
        // What is left of it takes room that the rest of the log needs.
        std::fs::remove_file(fresh(folder)).ok();
    }
    filled
}

fn fill(folder: &Path, disk: &dyn Disk) -> io::Result<Segment> {
    let path = fresh(folder);
    let file = File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
    carry_out(disk, Step::SegmentFill, || {
        let zeros = vec![0_u8; 1 << 20];
        let mut at = 0;
        while at < SEGMENT_BYTES {
            file.write_all_at(&zeros, at)?;
            at += zeros.len() as u64;
        }
        Ok(())
    })?;
    carry_out(disk, Step::SegmentSync, || file.sync_all())?;
    Ok(Segment::new(file, &path))
}

/// Give a prepared segment its name. A crash before the rename leaves what [`prepare`] leaves; one after it an empty
/// segment, which recovery goes on with.
pub(crate) fn install(folder: &Path, first: u64, disk: &dyn Disk) -> io::Result<()> {
    carry_out(disk, Step::SegmentRename, || std::fs::rename(fresh(folder), path(folder, first)))?;
    carry_out(disk, Step::SegmentFolderSync, || File::open(folder.join("segments"))?.sync_all())
}

/// Both.
pub(crate) fn create(folder: &Path, first: u64, disk: &dyn Disk) -> io::Result<Segment> {
    let segment = prepare(folder, disk)?;
    install(folder, first, disk)?;
    Ok(segment)
}
