//! The trail: the record that nobody inside can rewrite. An entry is appended without waiting for the disk, becomes
//! durable with the batch that carries it, and whoever must not go on before that waits for its number.

mod checkpoint;
mod disk;
mod entry;
mod follow;
mod publish;
mod recover;
mod segment;
mod trail;
mod tree;
mod verify;

pub use checkpoint::{Checkpoint, CheckpointError, Signer, open_checkpoint, parse_checkpoint};
pub use disk::{Disk, Fate, Step, SystemDisk};
pub use entry::*;
pub use follow::Follower;
pub use recover::Recovered;
pub use trail::{
    APPEND_BYTES_MAX, LogKey, LogKeys, Options, QUEUE_BYTES_MAX, RESERVE_BYTES, SYNC_BOUNDS_US, Seq,
    Snapshot, Trail, TrailError, TrailState,
};
pub use tree::{
    Frontier, Hash, TILE_WIDTH, bundle_path, leaf_hash, node_hash, number_path, tile_path, tile_root,
};
pub use verify::{Finding, Report, verify};

/// Hand every entry of a trail's folder to `take`, in order, also while a gateway writes it.
///
/// # Errors
/// Damage before the end, or a disk that refuses.
pub fn scan_folder(folder: &std::path::Path, mut take: impl FnMut(Entry)) -> Result<(), TrailError> {
    recover::scan(folder, |class, payload, _| {
        if class == segment::LEAF {
            take(parse_entry(payload)?);
        }
        Ok(())
    })
    .map(|_| ())
}
