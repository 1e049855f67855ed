//! Tiles and checkpoints, built behind the durable watermark from the segments alone. What a crash leaves half done is
//! built again: the same leaves give the same files.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::TrailError;
use crate::checkpoint::{Checkpoint, Signer, parse_checkpoint};
use crate::disk::{Disk, Step, carry_out};
use crate::segment;
use crate::tree::{Frontier, Hash, TILE_WIDTH, bundle_path, leaf_hash, tile_path, tile_root};

/// The publisher of one log.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    folder: PathBuf,
    signer: Arc<Signer>,
    /// The key that takes the place of the signer's, while it does.
    successor: Option<Arc<Signer>>,
    frontier: Frontier,
    /// The last, incomplete tile of each level.
    levels: Vec<Vec<Hash>>,
    /// The last, incomplete bundle.
    bundle: Vec<u8>,
    /// Where reading goes on: the segment's first number, and the offset in it.
    segment: u64,
    offset: u64,
    signed: Option<u64>,
    disk: Arc<dyn Disk>,
}

/// The folder of the last checkpoints under keys that others took the place of, each by its key's epoch.
pub(crate) const HANDOVERS: &str = "handovers";

/// Where the last checkpoint under the key of an epoch is kept.
pub(crate) fn handover_path(epoch: u8) -> String {
    format!("{HANDOVERS}/{epoch}")
}

fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> TrailError {
    TrailError::io(what)
}

impl Publisher {
    /// Build the tree of everything that is durable and compare it with what was signed before: a log that is shorter
    /// than its own checkpoint, or another one, is not gone on with.
    pub(crate) fn open(
        folder: &Path,
        signer: Arc<Signer>,
        durable: u64,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, TrailError> {
        let mut publisher = Self {
            folder: folder.to_owned(),
            signer,
            successor: None,
            frontier: Frontier::default(),
            levels: Vec::new(),
            bundle: Vec::new(),
            segment: 0,
            offset: 0,
            signed: None,
            disk,
        };
        let signed = match fs::read(folder.join("checkpoint")) {
            Ok(bytes) => {
                let damaged = |_| TrailError::Damaged { seq: 0, what: "the checkpoint is not one" };
                Some(parse_checkpoint(&bytes).map_err(damaged)?.0)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(io("read the checkpoint")(error)),
        };
        if let Some(signed) = &signed {
            publisher.read(signed.size.min(durable))?;
            if publisher.frontier.size() < signed.size {
                let what = "the log is shorter than its own signed checkpoint: an old copy was restored";
                return Err(TrailError::Damaged { seq: publisher.frontier.size(), what });
            }
            if publisher.frontier.root() != signed.root {
                let what = "the log is not the one that its checkpoint was signed for";
                return Err(TrailError::Damaged { seq: signed.size, what });
            }
            publisher.signed = Some(signed.size);
        }
        publisher.publish(durable)?;
        Ok(publisher)
    }

    /// Publish all leaves up to `durable`, exclusive.
    pub(crate) fn publish(&mut self, durable: u64) -> Result<(), TrailError> {
        self.read(durable)?;
        let size = self.frontier.size();
        if self.signed == Some(size) {
            return Ok(());
        }
        let (full, width) = (size / TILE_WIDTH, size % TILE_WIDTH);
        if width > 0 {
            self.write(&bundle_path(full, width), &self.bundle)?;
        }
        for (level, hashes) in self.levels.iter().enumerate() {
            if !hashes.is_empty() {
                let at_level = size >> (8 * level);
                self.write(&tile_path(level, at_level / TILE_WIDTH, hashes.len() as u64), &hashes.concat())?;
            }
        }
        // The checkpoint is last: whoever reads it finds everything that it speaks of.
        self.write("checkpoint", self.note().as_bytes())?;
        self.signed = Some(size);
        Ok(())
    }

    /// The checkpoint of what was read, signed.
    fn note(&self) -> String {
        let (size, root) = (self.frontier.size(), self.frontier.root());
        let checkpoint = Checkpoint { origin: self.signer.name().to_owned(), size, root };
        match &self.successor {
            Some(successor) => self.signer.sign_with(successor, &checkpoint),
            None => self.signer.sign(&checkpoint),
        }
    }

    /// Sign the last checkpoint under the key in force, with the next one's signature beside it; keep it, and go on with
    /// the next key. Everything up to `durable`, the announcement of the next key with it, is under that checkpoint.
    pub(crate) fn hand_over(
        &mut self,
        epoch: u8,
        next: &Arc<Signer>,
        durable: u64,
    ) -> Result<(), TrailError> {
        self.successor = Some(next.clone());
        // Also where nothing was added since the last one: that one has the old signature only.
        self.signed = None;
        self.publish(durable)?;
        // A crash here leaves a checkpoint of both keys that is not kept yet: the old key is in force, and the next start
        // signs another of both.
        self.write(&handover_path(epoch), self.note().as_bytes())?;
        // Its name has to outlive the old key's file.
        for folder in [self.folder.join(HANDOVERS), self.folder.clone()] {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync the trail's folder"))?;
        }
        // From here on the old key signs nothing.
        self.successor = None;
        self.signer = next.clone();
        Ok(())
    }

    /// Read leaves from the segments up to a size.
    fn read(&mut self, until: u64) -> Result<(), TrailError> {
        while self.frontier.size() < until {
            let path = segment::path(&self.folder, self.segment);
            let file = File::open(&path).map_err(io("read a segment"))?;
            let before = self.frontier.size();
            while self.frontier.size() < until
                && let Some(bytes) = segment::read_batch(&file, self.offset).map_err(io("read a segment"))?
                && let Some(batch) = segment::batch(&bytes)
            {
                let leaves = segment::records(batch.body).filter(|(class, _)| *class == segment::LEAF);
                // A batch is taken whole or in part: what was taken of it before is skipped.
                let taken = self.frontier.size().saturating_sub(batch.first);
                let left = until - self.frontier.size();
                let (taken, left) = (
                    usize::try_from(taken).unwrap_or(usize::MAX),
                    usize::try_from(left).unwrap_or(usize::MAX),
                );
                for (_, leaf) in leaves.skip(taken).take(left) {
                    self.push(leaf)?;
                }
                if self.frontier.size() >= batch.first + u64::from(batch.count) {
                    self.offset += (segment::HEADER + batch.body.len()) as u64;
                }
            }
            if self.frontier.size() < until {
                let next = segment::path(&self.folder, self.frontier.size());
                if next == path || !next.exists() {
                    if self.frontier.size() == before {
                        let what = "a durable entry cannot be read";
                        return Err(TrailError::Damaged { seq: before, what });
                    }
                    continue;
                }
                self.segment = self.frontier.size();
                self.offset = 0;
            }
        }
        Ok(())
    }

    fn push(&mut self, leaf: &[u8]) -> Result<(), TrailError> {
        let length = u16::try_from(leaf.len())
            .map_err(|_| TrailError::Damaged { seq: self.frontier.size(), what: "an entry is too long" })?;
        self.bundle.extend_from_slice(&length.to_be_bytes());
        self.bundle.extend_from_slice(leaf);
        let hash = leaf_hash(leaf);
        self.frontier.push(hash);
        let size = self.frontier.size();
        if size.is_multiple_of(TILE_WIDTH) {
            let number = size / TILE_WIDTH - 1;
            self.write(&bundle_path(number, TILE_WIDTH), &self.bundle)?;
            self.forget_partials(&bundle_path(number, TILE_WIDTH));
            self.bundle.clear();
        }
        self.push_hash(0, hash)
    }

    fn push_hash(&mut self, level: usize, hash: Hash) -> Result<(), TrailError> {
        let mut carried = Some((level, hash));
        while let Some((level, hash)) = carried.take() {
            if self.levels.len() <= level {
                self.levels.resize(level + 1, Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(level) else { return Ok(()) };
            hashes.push(hash);
            if hashes.len() as u64 == TILE_WIDTH {
                let full = std::mem::take(hashes);
                let number = (self.frontier.size() >> (8 * (level + 1))) - 1;
                let path = tile_path(level, number, TILE_WIDTH);
                self.write(&path, &full.concat())?;
                self.forget_partials(&path);
                carried = Some((level + 1, tile_root(&full)));
            }
        }
        Ok(())
    }

    /// A full tile makes its partial ones superfluous. One that stays does no harm.
    fn forget_partials(&self, path: &str) {
        fs::remove_dir_all(self.folder.join(format!("{path}.p"))).ok();
    }

    /// Write a file whole. The checkpoint is synced, so that what was signed is not forgotten; tiles and bundles are
    /// not, which hundreds a second would make the log itself pay for: after a crash of the machine one may be missing or
    /// empty, and the start, which compares each with the segments, writes it again.
    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), TrailError> {
        let path = self.folder.join(path);
        let parent = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).map_err(io("make a tile's folder"))?;
        // At a start most tiles are there already: what is there and right is not written again.
        if fs::metadata(&path).is_ok_and(|found| found.len() == bytes.len() as u64)
            && fs::read(&path).is_ok_and(|found| found == bytes)
        {
            return Ok(());
        }
        let is_checkpoint = path.file_name().is_some_and(|name| name == "checkpoint")
            || parent == self.folder.join(HANDOVERS);
        let (write, rename) = match is_checkpoint {
            true => (Step::CheckpointWrite, Step::CheckpointRename),
            false => (Step::TileWrite, Step::TileRename),
        };
        let half = path.with_extension("half");
        carry_out(&*self.disk, write, || {
            let mut file = File::create(&half)?;
            file.write_all(bytes)?;
            if is_checkpoint { file.sync_data() } else { Ok(()) }
        })
        .map_err(io("write a tile"))?;
        carry_out(&*self.disk, rename, || fs::rename(&half, &path)).map_err(io("put a tile in its place"))
    }
}
