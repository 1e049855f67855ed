//! The Merkle tree of RFC 6962, section 2.1, and the tiles of C2SP tlog-tiles that it is published in. Pure.

use aws_lc_rs::digest::{Context, SHA256};

/// A node's or leaf's hash.
pub type Hash = [u8; 32];

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

/// The hash of a leaf.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry])
}

/// The hash of two neighbours.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The roots of the complete subtrees of a growing tree, smallest last.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// How many leaves it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Add a leaf's hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut carry = self.size;
        while carry & 1 == 1 {
            if let Some(left) = self.roots.pop() {
                hash = node_hash(&left, &hash);
            }
            carry >>= 1;
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The tree's root; of the empty tree the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(last) = roots.next() else { return sha256(&[]) };
        roots.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The root of a full tile's hashes.
#[must_use]
pub fn tile_root(hashes: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    hashes.iter().for_each(|hash| frontier.push(*hash));
    frontier.root()
}

/// A tile's number in a path: groups of three digits, all but the last with an `x` before them.
#[must_use]
pub fn number_path(number: u64) -> String {
    let mut rest = number / 1000;
    let mut path = format!("{:03}", number % 1000);
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

/// Where a tile of hashes stands; `width` below 256 is a partial one.
#[must_use]
pub fn tile_path(level: usize, number: u64, width: u64) -> String {
    with_width(format!("tile/{level}/{}", number_path(number)), width)
}

/// Where a bundle of entries stands.
#[must_use]
pub fn bundle_path(number: u64, width: u64) -> String {
    with_width(format!("tile/entries/{}", number_path(number)), width)
}

fn with_width(path: String, width: u64) -> String {
    if width == TILE_WIDTH { path } else { format!("{path}.p/{width}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962, written as it stands there.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            0 => sha256(&[]),
            1 => leaves[0],
            n => {
                let k = (n - 1).checked_ilog2().map_or(1, |bits| 1 << bits);
                node_hash(&by_definition(&leaves[..k]), &by_definition(&leaves[k..]))
            }
        }
    }

    #[test]
    fn the_frontier_is_the_definition() {
        let mut frontier = Frontier::default();
        let mut leaves = Vec::new();
        for n in 0_u32..600 {
            assert_eq!(frontier.root(), by_definition(&leaves), "{n}");
            let leaf = leaf_hash(&n.to_be_bytes());
            leaves.push(leaf);
            frontier.push(leaf);
        }
        assert_eq!(tile_root(&leaves[..256]), by_definition(&leaves[..256]));
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile_path(0, 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(bundle_path(0, 112), "tile/entries/000.p/112");
    }
}
