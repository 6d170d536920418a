//! Beside `rs_merkle`. It promotes a lone node instead of pairing it, which makes RFC 6962's tree
//! once leaves and nodes are told apart: leaves are hashed before they go in.

use alloc::vec::Vec;

use rs_merkle::{Hasher, MerkleTree};

use super::super::head::hash_leaf;
use super::*;

/// Hashes nodes alone: the oracle asks for nothing else.
#[derive(Clone)]
struct Nodes;

impl Hasher for Nodes {
    type Hash = [u8; 32];

    fn hash(node: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update([1]).chain_update(node).finalize().into()
    }
}

fn oracle(blocks: &[BlockHash]) -> MerkleTree<Nodes> {
    let leaves: Vec<_> = blocks.iter().map(|block| hash_leaf(block.as_ref())).collect();
    MerkleTree::from_leaves(&leaves)
}

/// The proof of a leaf, beside the oracle's.
fn assert_as_oracle(tree: &MerkleTree<Nodes>, blocks: &[BlockHash], head: &LogHead, index: u32) {
    let proof = included(blocks, index, head.size);
    assert_eq!(proof.path(), tree.proof(&[index as usize]).proof_hashes());
    assert_eq!(proof.verify(&blocks[index as usize], head), Ok(()));
    assert_eq!(InclusionProof::decode(&proof.encode()), Ok(proof));
}

#[test]
fn roots_and_inclusion_proofs_of_small_logs_are_the_oracles() {
    let blocks = blocks(200);
    for (head, size) in heads(&blocks)[1..].iter().zip(1u32..) {
        let tree = oracle(&blocks[..size as usize]);
        assert_eq!(*head, LogHead { size, root: LogRoot(tree.root().unwrap()) });
        (0..size).for_each(|index| assert_as_oracle(&tree, &blocks, head, index));
    }
}

#[test]
fn roots_and_inclusion_proofs_of_random_logs_are_the_oracles() {
    let blocks = blocks(2_100);
    let heads = heads(&blocks);
    for seed in 0u32..60 {
        let random = Sha256::digest(seed.to_be_bytes());
        let [size, index] =
            [0, 4].map(|at| u32::from_le_bytes(random[at..at + 4].try_into().unwrap()));
        let size = 1 + size % 2_100;
        let (head, tree) = (&heads[size as usize], oracle(&blocks[..size as usize]));
        assert_eq!(head.root.0, tree.root().unwrap());
        for index in [index % size, 0, size - 1] {
            assert_as_oracle(&tree, &blocks, head, index);
        }
    }
}

#[test]
fn a_log_is_consistent_with_all_that_it_was() {
    let blocks = blocks(64);
    let heads = heads(&blocks);
    for new in 1u32..=64 {
        for old in 1..=new {
            let proof = consistent(&blocks, old, new);
            assert_eq!(proof.verify(&heads[old as usize], &heads[new as usize]), Ok(()));
            assert_eq!(ConsistencyProof::decode(&proof.encode()), Ok(proof));
        }
    }
}

#[test]
fn large_logs_are_consistent_with_what_they_were() {
    let blocks = blocks(2_100);
    let heads = heads(&blocks);
    for (old, new) in [(1, 2_100), (1_024, 2_048), (1_023, 2_047), (1_025, 2_049), (2_099, 2_100)] {
        let proof = consistent(&blocks, old, new);
        assert_eq!(proof.verify(&heads[old as usize], &heads[new as usize]), Ok(()));
    }
}
