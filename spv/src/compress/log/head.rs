//! What a log is known by, and the hashes that it is made of (RFC 6962, section 2.1).

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use bitcoin::hex::{DisplayHex as _, FromHex as _};
use sha2::{Digest as _, Sha256};

use super::error::NotALogRoot;
use crate::lanes::{hash_short, padded, sha256_padded};

/// Leaves and nodes differ in their first byte, so that no node passes for a leaf.
const LEAF: u8 = 0;
const NODE: u8 = 1;

/// The root hash of a log. Written in the order of hashing, not reversed as a block's hash is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogRoot(pub [u8; 32]);

impl LogRoot {
    /// The root of the log without leaves: the hash of nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }
}

impl fmt::Display for LogRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hex(), f)
    }
}

impl fmt::Debug for LogRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogRoot({self})")
    }
}

impl FromStr for LogRoot {
    type Err = NotALogRoot;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        <[u8; 32]>::from_hex(text).map(Self).map_err(NotALogRoot)
    }
}

/// A log's size and root: all that is needed to check proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogHead {
    /// How many leaves it has.
    pub size: u32,
    /// The root over them.
    pub root: LogRoot,
}

/// The hash of a leaf. Of any bytes, as the RFC's test vectors have other leaves than block hashes.
pub(super) fn hash_leaf(leaf: &[u8]) -> [u8; 32] {
    match <&[u8; 32]>::try_from(leaf) {
        Ok(block) => hash_short::<33, 64>(&leaf_of(block)),
        Err(_) => Sha256::new().chain_update([LEAF]).chain_update(leaf).finalize().into(),
    }
}

/// The hash of a node.
pub(super) fn hash_node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    hash_short::<65, 128>(&node_of(left, right))
}

fn leaf_of(block: &[u8; 32]) -> [u8; 33] {
    let mut leaf = [LEAF; 33];
    leaf[1..].copy_from_slice(block);
    leaf
}

fn node_of(left: &[u8; 32], right: &[u8; 32]) -> [u8; 65] {
    let mut node = [NODE; 65];
    node[1..33].copy_from_slice(left);
    node[33..].copy_from_slice(right);
    node
}

/// Messages that are hashed together: enough for the widest lanes, few enough for the stack.
const TOGETHER: usize = 16;

/// Replaces each block's hash by that of its leaf.
pub(super) fn hash_leaves(blocks: &mut [[u8; 32]]) {
    for group in blocks.chunks_mut(TOGETHER) {
        let mut leaves = [[0; 64]; TOGETHER];
        let (leaves, _) = leaves.split_at_mut(group.len());
        for (leaf, block) in leaves.iter_mut().zip(&*group) {
            *leaf = padded::<33, 64>(&leaf_of(block));
        }
        sha256_padded(leaves, group);
    }
}

/// The hashes of the nodes over each two hashes; an odd last one has none.
pub(super) fn hash_nodes(hashes: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let (pairs, _) = hashes.as_chunks::<2>();
    let mut digests = vec![[0; 32]; pairs.len()];
    for (group, places) in pairs.chunks(TOGETHER).zip(digests.chunks_mut(TOGETHER)) {
        let mut nodes = [[0; 128]; TOGETHER];
        let (nodes, _) = nodes.split_at_mut(group.len());
        for (node, [left, right]) in nodes.iter_mut().zip(group) {
            *node = padded::<65, 128>(&node_of(left, right));
        }
        sha256_padded(nodes, places);
    }
    digests
}
