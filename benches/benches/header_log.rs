//! The log of 100,000 headers that a snapshot's root comes from: its root, and a proof that an old header is in it, made
//! and checked; beside `rs_merkle`, which builds the same tree, keeps it, and hashes with `sha2`. One core.
//!
//! Ours keeps no tree: 32 hashes are enough to go on, and whoever makes a proof goes over the leaves.

#![allow(clippy::panic, reason = "a bench ends where it fails")]

use std::hint::black_box;

use bitcoin::BlockHash;
use bitcoin::hashes::{Hash as _, sha256d};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ironlight_benches::settings::BATCHES;
use ironlight_spv::compress::log::{
    Frontier, InclusionProof, LeafHashes, LogHead, inclusion_proof,
};
use rs_merkle::{Hasher, MerkleProof, MerkleTree};
use sha2::{Digest as _, Sha256};

const SIZE: u32 = 100_000;
/// The header that is proven: the last full power of two is not in its path's way.
const INDEX: u32 = 77_777;

/// RFC 6962's hashes for `rs_merkle`, which lifts an odd node as RFC 6962 does.
#[derive(Clone)]
struct Rfc6962;

impl Hasher for Rfc6962 {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update([0]).chain_update(data).finalize().into()
    }

    fn concat_and_hash(left: &[u8; 32], right: Option<&[u8; 32]>) -> [u8; 32] {
        let Some(right) = right else { return *left };
        Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
    }
}

type Tree = MerkleTree<Rfc6962>;

fn ours(blocks: &[BlockHash]) -> LogHead {
    let mut frontier = Frontier::new();
    if frontier.append_all(LeafHashes::of(blocks.iter().copied())).is_err() {
        panic!("a log has room for so many");
    }
    frontier.head()
}

fn theirs(blocks: &[BlockHash]) -> Tree {
    let leaves: Vec<_> = blocks.iter().map(|block| Rfc6962::hash(block.as_byte_array())).collect();
    Tree::from_leaves(&leaves)
}

fn our_proof(blocks: &[BlockHash]) -> InclusionProof {
    match inclusion_proof(blocks.iter().copied(), INDEX, SIZE) {
        Ok(proof) => proof,
        Err(error) => panic!("{error}"),
    }
}

fn at(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn their_verdict(proof: &MerkleProof<Rfc6962>, root: [u8; 32], block: &BlockHash) -> bool {
    proof.verify(root, &[at(INDEX)], &[Rfc6962::hash(block.as_byte_array())], at(SIZE))
}

fn header_log(criterion: &mut Criterion) {
    let block = |number: u32| BlockHash::from(sha256d::Hash::hash(&number.to_le_bytes()));
    let blocks: Vec<_> = (0..SIZE).map(block).collect();
    let (head, tree) = (ours(&blocks), theirs(&blocks));
    assert_eq!(Some(head.root.0), tree.root());
    let (proof, their_proof) = (our_proof(&blocks), tree.proof(&[at(INDEX)]));
    let mut path = proof.path().to_vec();
    let mut their_path = their_proof.proof_hashes().to_vec();
    path.sort_unstable();
    their_path.sort_unstable();
    assert_eq!(path, their_path);
    let (Some(proven), Some(other)) = (blocks.get(at(INDEX)), blocks.first()) else { return };
    assert!(
        proof.verify(proven, &head).is_ok() && their_verdict(&their_proof, head.root.0, proven)
    );
    assert!(
        proof.verify(other, &head).is_err() && !their_verdict(&their_proof, head.root.0, other)
    );

    let mut group = criterion.benchmark_group("header_log");
    group.throughput(Throughput::Elements(u64::from(SIZE)));
    group.bench_function("root: ironlight", |bencher| bencher.iter(|| ours(black_box(&blocks))));
    group.bench_function("root: rs_merkle, which builds its tree", |bencher| {
        bencher.iter_with_large_drop(|| theirs(black_box(&blocks)));
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("prove: ironlight, from the leaves", |bencher| {
        bencher.iter(|| our_proof(black_box(&blocks)));
    });
    group.bench_function("prove: rs_merkle, from its tree", |bencher| {
        bencher.iter(|| black_box(&tree).proof(&[at(INDEX)]));
    });
    group.bench_function("verify: ironlight", |bencher| {
        bencher.iter(|| black_box(&proof).verify(proven, &head).is_ok());
    });
    group.bench_function("verify: rs_merkle", |bencher| {
        bencher.iter(|| their_verdict(black_box(&their_proof), head.root.0, proven));
    });
    group.finish();
}

criterion_group! { name = benches; config = BATCHES.criterion(); targets = header_log }
criterion_main!(benches);
