//! Merkle trees and compact filters.

use std::hint::black_box;
use std::num::NonZeroUsize;

use bitcoin::Txid;
use bitcoin::hashes::{Hash as _, sha256d};
use ironlight_spv::UnixTime;
use ironlight_spv::compress::HeaderBody;
use ironlight_spv::filter::{Filter, FilterKey, MatchScratch, ScriptSet};
use ironlight_spv::generate::Miner;
use ironlight_spv::lanes::siphash::{self, Key, LANES, Way};
use ironlight_spv::peers::SplitMix64;
use ironlight_spv::proof::{MerkleProof, MerkleTree, merkle_root};

use super::Work;
use crate::scripts::{block, scripts};

const SCRIPTS: usize = 10_000;

fn txids() -> Vec<Txid> {
    let mut random = Miner::new(1);
    let hash = |_| sha256d::Hash::hash(&random.random().to_le_bytes());
    (0..4_096).map(hash).map(Txid::from_raw_hash).collect()
}

pub(super) fn root() -> Option<Work> {
    let txids = txids();
    Some(Box::new(move || assert!(black_box(merkle_root(black_box(&txids))).is_some())))
}

pub(super) fn check() -> Option<Work> {
    let tree = MerkleTree::new(&txids()).ok()?;
    let body = HeaderBody {
        version: 4,
        merkle_root: tree.root(),
        time: UnixTime(1_700_000_000),
        bits: bitcoin::CompactTarget::from_consensus(0x207f_ffff),
        nonce: 0,
    };
    let header = body.with_parent(bitcoin::BlockHash::all_zeros());
    let proofs: Vec<MerkleProof> =
        (0..64).map(|place| tree.prove(&header, 64 * place)).collect::<Result<_, _>>().ok()?;
    Some(Box::new(move || {
        let hold = black_box(&proofs).iter().all(|proof| proof.verify().is_ok());
        assert!(hold, "they were made from the tree");
    }))
}

pub(super) fn by_avx2() -> bool {
    siphash::report().fastest() == Way::Avx2x8
}

pub(super) fn match_scripts() -> Option<Work> {
    let block = block(&scripts(&mut SplitMix64::new(1), 5_000));
    let built = Filter::of_block(&block, []).ok()?;
    let filter = Filter::decode(FilterKey::new(block.block_hash()), built.into_bytes()).ok()?;
    let set: ScriptSet = scripts(&mut SplitMix64::new(2), SCRIPTS).iter().collect();
    let mut scratch = MatchScratch::new();
    Some(Box::new(move || {
        assert_eq!(filter.match_any(black_box(&set), &mut scratch), Ok(false));
    }))
}

pub(super) fn hash_scripts() -> Option<Work> {
    let (key, blocks) = (Key { k0: 1, k1: 2 }, NonZeroUsize::new(4)?);
    let mut hashes = vec![[0; LANES]; SCRIPTS / LANES];
    let rows = vec![[3; LANES]; hashes.len() * blocks.get()];
    Some(Box::new(move || {
        let rows = black_box(rows.as_slice());
        assert!(siphash::hash_groups_with(Way::Portable, key, rows, blocks, &mut hashes));
        black_box(hashes.last());
    }))
}
