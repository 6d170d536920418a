mod form;
mod oracle;
mod tampered;
mod vectors;

use alloc::vec::Vec;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use sha2::{Digest as _, Sha256};

use super::*;

/// So many hashes that look like nothing.
fn blocks(count: u32) -> Vec<BlockHash> {
    let hash = |n: u32| BlockHash::from_byte_array(Sha256::digest(n.to_le_bytes()).into());
    (0..count).map(hash).collect()
}

/// The heads of all sizes, from 0.
fn heads(blocks: &[BlockHash]) -> Vec<LogHead> {
    let mut frontier = Frontier::new();
    let mut heads = Vec::from([frontier.head()]);
    for block in blocks {
        frontier.append(block).unwrap();
        heads.push(frontier.head());
    }
    heads
}

fn included(blocks: &[BlockHash], index: u32, size: u32) -> InclusionProof {
    inclusion_proof(blocks.iter().copied(), index, size).unwrap()
}

fn consistent(blocks: &[BlockHash], old: u32, new: u32) -> ConsistencyProof {
    consistency_proof(blocks.iter().copied(), old, new).unwrap()
}
