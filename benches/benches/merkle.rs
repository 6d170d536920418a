//! Bitcoin's Merkle tree: the root of 4,096 txids, and the check of proofs of depth 12 alone and in
//! batches, beside the `bitcoin` crate and `rs_merkle`, which hashes with `sha2`. One core.
//!
//! `rs_merkle` cannot express that an odd last node is paired with itself: overriding
//! `concat_and_hash` for a missing right node, as its documentation suggests, makes the root of
//! every power of two wrong, one level too high, and its own proofs verify against that root. So it
//! is left as it is here, where no node of 4,096 leaves is odd.

#![allow(clippy::panic, clippy::print_stdout, reason = "figures are what a bench is for")]

#[allow(dead_code, reason = "not every bench has a use for all of it")]
mod figures;

use std::hint::black_box;

use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::merkle_tree::{MerkleBlock as PeerBlock, PartialMerkleTree, calculate_root};
use bitcoin::{TxMerkleNode, Txid};
use criterion::{Criterion, criterion_group, criterion_main};
use figures::{Figures, config};
use ironlight_spv::generate::Miner;
use ironlight_spv::lanes::{self, Way};
use ironlight_spv::proof::{MerkleBlock, MerkleProof, MerkleTree, merkle_root, verify_batch};
use ironlight_spv::{Header, UnixTime};
use rs_merkle::Hasher;
use sha2::{Digest as _, Sha256};

const COUNT: u32 = 4_096;
const BATCH: usize = 1_024;

/// Bitcoin's hash of a node for `rs_merkle`.
#[derive(Clone)]
struct Sha256d;

impl Hasher for Sha256d {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        Sha256::digest(Sha256::digest(data)).into()
    }
}

/// A tree of 4,096, its header, and proofs of the first positions by all three.
struct Input {
    txids: Vec<Txid>,
    leaves: Vec<[u8; 32]>,
    root: [u8; 32],
    proofs: Vec<MerkleProof>,
    peers: Vec<rs_merkle::MerkleProof<Sha256d>>,
    block: MerkleBlock,
    peer_block: PeerBlock,
}

fn input() -> Input {
    let mut random = Miner::new(1);
    let leaves: Vec<[u8; 32]> = (0..COUNT)
        .map(|_| sha256d::Hash::hash(&random.random().to_le_bytes()).to_byte_array())
        .collect();
    let txids: Vec<Txid> = leaves.iter().copied().map(Txid::from_byte_array).collect();
    let Ok(tree) = MerkleTree::new(&txids) else { panic!("a block can hold so many") };
    let header = header_over(tree.root());
    let peer = rs_merkle::MerkleTree::<Sha256d>::from_leaves(&leaves);
    let places = (0..COUNT).step_by(usize::try_from(COUNT).unwrap_or(BATCH) / BATCH);
    let proofs: Vec<_> = places.filter_map(|index| tree.prove(&header, index).ok()).collect();
    let peers = proofs.iter().map(|proof| peer.proof(&[place(proof)])).collect();
    let one = proofs.get(77).map(MerkleProof::txid);
    let Ok(block) = tree.merkle_block(&header, |txid| Some(*txid) == one) else {
        panic!("the header's tree")
    };
    let matches: Vec<bool> = txids.iter().map(|txid| Some(*txid) == one).collect();
    let txn = PartialMerkleTree::from_txids(&txids, &matches);
    let peer_block = PeerBlock { header: header.into(), txn };
    Input { txids, leaves, root: tree.root().to_byte_array(), proofs, peers, block, peer_block }
}

fn header_over(root: TxMerkleNode) -> Header {
    let body = ironlight_spv::compress::HeaderBody {
        version: 4,
        merkle_root: root,
        time: UnixTime(1_700_000_000),
        bits: bitcoin::CompactTarget::from_consensus(0x207f_ffff),
        nonce: 0,
    };
    body.with_parent(bitcoin::BlockHash::all_zeros())
}

fn place(proof: &MerkleProof) -> usize {
    usize::try_from(proof.index()).unwrap_or_default()
}

fn peer_root(txids: &[Txid]) -> Option<[u8; 32]> {
    calculate_root(txids.iter().map(|txid| txid.to_raw_hash())).map(|root| root.to_byte_array())
}

fn peer_holds(input: &Input, at: usize) -> bool {
    let (Some(peer), Some(proof)) = (input.peers.get(at), input.proofs.get(at)) else {
        return false;
    };
    let total = input.leaves.len();
    peer.verify(input.root, &[place(proof)], &[proof.txid().to_byte_array()], total)
}

fn peer_block_holds(block: &PeerBlock) -> bool {
    block.extract_matches(&mut Vec::new(), &mut Vec::new()).is_ok()
}

/// All give the same root, and refuse the same proofs once these are damaged.
fn assert_equal_output(input: &Input) {
    let root = Some(input.root);
    assert_eq!(merkle_root(&input.txids).map(|root| root.to_byte_array()), root);
    assert_eq!(peer_root(&input.txids), root);
    assert_eq!(rs_merkle::MerkleTree::<Sha256d>::from_leaves(&input.leaves).root(), root);
    assert_eq!((input.proofs.len(), input.peers.len()), (BATCH, BATCH));
    for (at, (ours, peer)) in input.proofs.iter().zip(&input.peers).enumerate() {
        assert_eq!(ours.path().len(), 12);
        let path: Vec<_> = ours.path().iter().map(|node| node.to_byte_array()).collect();
        assert_eq!(path, peer.proof_hashes());
        assert!(ours.verify().is_ok() && peer_holds(input, at));
        let mut other = input.root;
        other[7] ^= 1;
        let leaf = ours.txid().to_byte_array();
        assert!(!peer.verify(other, &[place(ours)], &[leaf], input.leaves.len()));
        let header = header_over(TxMerkleNode::from_byte_array(other));
        let path = ours.path().to_vec();
        let ours = MerkleProof::new(header, COUNT, ours.index(), ours.txid(), path);
        assert!(ours.is_ok_and(|ours| ours.verify().is_err()));
    }
    assert!(verify_batch(&input.proofs).iter().all(Result::is_ok));
    assert_eq!(input.block.encode(), bitcoin::consensus::serialize(&input.peer_block));
    assert!(input.block.verify().is_ok() && peer_block_holds(&input.peer_block));
}

fn merkle(criterion: &mut Criterion) {
    println!("{}", lanes::report());
    let input = input();
    assert_equal_output(&input);
    let txids = input.txids.as_slice();
    let mut figures = Figures::new(criterion, "merkle");

    figures.section("root of 4,096 txids");
    figures.time("root: ironlight", |_| merkle_root(black_box(txids)));
    figures.goal(0.3 * 686_000.0);
    figures.time("root: bitcoin", |_| peer_root(black_box(txids)));
    figures.time("root: rs_merkle, which builds its tree", |_| {
        rs_merkle::MerkleTree::<Sha256d>::from_leaves(black_box(&input.leaves)).root()
    });

    figures.section("a proof of depth 12");
    let next = |number: u64| usize::try_from(number).unwrap_or_default() % BATCH;
    figures.time("proof: ironlight", |number| {
        input.proofs.get(next(number)).map(|proof| black_box(proof).verify().is_ok())
    });
    figures.goal(1_600.0);
    figures.time("proof: rs_merkle", |number| peer_holds(black_box(&input), next(number)));
    figures.time("proof: ironlight, BIP37", |_| black_box(&input.block).verify().is_ok());
    figures.time("proof: bitcoin, BIP37", |_| peer_block_holds(black_box(&input.peer_block)));

    figures.section("64 proofs of depth 12");
    let some = input.proofs.get(..64).unwrap_or_default();
    figures.time("64 proofs: ironlight", |_| verify_batch(black_box(some)));
    figures.goal(64.0 * 600.0);
    figures.time("64 proofs: rs_merkle", |_| {
        (0..64).filter(|at| peer_holds(black_box(&input), *at)).count()
    });
    figures.section("1,024 proofs of depth 12");
    figures.time("1,024 proofs: ironlight", |_| verify_batch(black_box(&input.proofs)));
    figures.goal(1_024.0 * 600.0);
    figures.time("1,024 proofs: rs_merkle", |_| {
        (0..BATCH).filter(|at| peer_holds(black_box(&input), *at)).count()
    });

    nodes(&mut figures);
    figures.finish();
}

/// Hashing alone, by each way that this processor has.
fn nodes(figures: &mut Figures<'_>) {
    let mut random = Miner::new(2);
    let mut nodes = vec![[0; 64]; 1_024];
    for part in nodes.as_flattened_mut().as_chunks_mut::<8>().0 {
        *part = random.random().to_le_bytes();
    }
    let mut hashes = vec![[0; 32]; nodes.len()];
    figures.section("1,024 nodes");
    for (way, name) in [
        (Way::Avx512x16, "AVX-512 x16"),
        (Way::ShaNiX2, "SHA-NI x2"),
        (Way::Portable, "sha2, padding laid by hand"),
    ] {
        if lanes::sha256d_64_with(way, &nodes, &mut hashes) {
            figures.time(name, |_| lanes::sha256d_64_with(way, black_box(&nodes), &mut hashes));
        } else {
            println!("merkle/{name}: not on this processor");
        }
    }
}

criterion_group! { name = benches; config = config(); targets = merkle }
criterion_main!(benches);
