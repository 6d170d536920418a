use alloc::vec::Vec;

use super::*;
use crate::chain::Position;
use crate::generate::Miner;
use crate::params::{Network, Params};
use crate::time::UnixTime;

fn best_chain(count: usize, seed: u64) -> HeaderChain {
    let mut chain = HeaderChain::new(Params::new(Network::Regtest));
    let headers = Miner::new(seed).run(&chain.params().genesis.clone(), count, 600);
    let verified = chain.verify(&headers, UnixTime::MAX).unwrap();
    chain.apply(verified).unwrap();
    chain
}

/// The chain with another branch from a height on, which takes over.
fn reorganised(chain: &HeaderChain, from: u32, count: usize) -> HeaderChain {
    let mut chain = chain.clone();
    let parent = chain.get(BlockHeight(from)).unwrap().header;
    let headers = Miner::new(99).run(&parent, count, 600);
    let verified = chain.verify(&headers, UnixTime::MAX).unwrap();
    chain.apply(verified).unwrap();
    assert_eq!(chain.find(&headers[0].hash()).unwrap().1, Position::Best);
    chain
}

fn hashes(count: u32) -> Vec<FilterHash> {
    (0..count).map(|height| FilterHash::hash(&height.to_le_bytes())).collect()
}

fn filled(chain: &HeaderChain, count: u32) -> FilterHeaderChain {
    let mut filters = FilterHeaderChain::new();
    for batch in hashes(count).chunks(700) {
        let previous = filters.before(filters.next_height()).unwrap();
        let verified = filters.verify(filters.next_height(), &previous, batch, chain).unwrap();
        filters.apply(verified).unwrap();
    }
    filters
}

#[test]
fn headers_link_to_each_other_and_to_the_best_chain() {
    let chain = best_chain(3_000, 1);
    let filters = filled(&chain, 3_001);
    let mut header = FilterHeader::all_zeros();
    for (height, hash) in (0..).zip(hashes(3_001)) {
        header = hash.filter_header(&header);
        assert_eq!(filters.get(BlockHeight(height)), Some(header));
    }
    let tip = filters.tip().unwrap();
    assert_eq!((tip.height, tip.header), (BlockHeight(3_000), header));
    assert_eq!(tip.block_hash, chain.tip().hash);
    assert!(filters.headers(BlockHeight(2_990)..BlockHeight(4_000)).count() == 11);
}

#[test]
fn what_does_not_follow_is_refused_with_the_reason() {
    let chain = best_chain(100, 1);
    let mut filters = filled(&chain, 50);
    let (next, ours) = (BlockHeight(50), filters.before(BlockHeight(50)).unwrap());
    let one = &hashes(1)[..];
    let error = filters.verify(BlockHeight(49), &ours, one, &chain).unwrap_err();
    assert_eq!(error, FilterHeaderError::NotNext { expected: next, got: BlockHeight(49) });
    let got = FilterHeader::all_zeros();
    let error = filters.verify(next, &got, one, &chain).unwrap_err();
    let height = BlockHeight(49);
    assert_eq!(error, FilterHeaderError::WrongPrevious { height, expected: ours, got });
    let error = filters.verify(next, &ours, &hashes(52), &chain).unwrap_err();
    assert_eq!(error, FilterHeaderError::NotOnBestChain { height: BlockHeight(101) });
    let other = best_chain(100, 2);
    let error = filters.verify(next, &ours, one, &other).unwrap_err();
    assert_eq!(error, FilterHeaderError::NotOnBestChain { height: next });
    let first = filters.verify(next, &ours, one, &chain).unwrap();
    let second = filters.verify(next, &ours, one, &chain).unwrap();
    filters.apply(first).unwrap();
    assert_eq!(filters.apply(second), Err(FilterHeaderError::Stale));
}

#[test]
fn the_fork_point_is_exact_for_144_blocks_and_not_far_below_for_more() {
    let chain = best_chain(1_000, 1);
    for (fork, least) in [(999, 999), (900, 900), (860, 860), (700, 700 - 63), (10, 0)] {
        let other = reorganised(&chain, fork, 1_000);
        let filters = filled(&chain, 1_001);
        let found = filters.fork_point(&other).unwrap().0;
        assert!((least..=fork).contains(&found), "{fork}: {found}");
        let mut filters = filters;
        filters.rollback(Some(BlockHeight(found)), &other);
        let tip = filters.tip().unwrap();
        assert_eq!(tip.height, BlockHeight(found));
        assert_eq!(Some(tip.block_hash), other.hash_at(tip.height));
        assert_eq!(filters.fork_point(&other), Some(tip.height));
    }
    assert_eq!(filled(&chain, 1_001).fork_point(&chain), Some(BlockHeight(1_000)));
}

#[test]
fn a_rollback_and_the_same_headers_again_give_the_same_chain() {
    let chain = best_chain(5_000, 1);
    let whole = filled(&chain, 5_001);
    for kept in [0_u32, 63, 64, 2_047, 2_048, 4_095, 4_999] {
        let mut filters = whole.clone();
        filters.rollback(Some(BlockHeight(kept)), &chain);
        assert_eq!(filters.next_height(), BlockHeight(kept + 1));
        let previous = filters.before(filters.next_height()).unwrap();
        let rest = hashes(5_001).split_off(kept as usize + 1);
        let verified = filters.verify(filters.next_height(), &previous, &rest, &chain).unwrap();
        filters.apply(verified).unwrap();
        assert_eq!((filters.len(), filters.tip()), (5_001, whole.tip()));
        assert_eq!(filters.block_hashes, whole.block_hashes);
    }
    let mut filters = whole;
    filters.rollback(None, &chain);
    assert!(filters.is_empty() && filters.tip().is_none());
}

#[test]
fn what_was_stored_is_loaded_where_it_is_still_on_the_best_chain() {
    let chain = best_chain(1_000, 1);
    let filters = filled(&chain, 801);
    let headers: Vec<_> = filters.headers(BlockHeight(0)..BlockHeight(801)).collect();
    let last = chain.hash_at(BlockHeight(800)).unwrap();
    let load =
        |chain| FilterHeaderChain::load(BlockHeight(0), headers.iter().copied(), last, chain);
    let loaded = load(&chain).unwrap();
    assert_eq!(loaded.tip(), filters.tip());
    assert_eq!(loaded.loaded_to(), Some(BlockHeight(800)));
    assert_eq!(loaded.block_hashes, filters.block_hashes);
    let other = reorganised(&chain, 500, 600);
    let error = FilterHeaderError::NotOnBestChain { height: BlockHeight(800) };
    assert_eq!(load(&other).unwrap_err(), error);
}

#[test]
fn a_chain_starts_at_checkpoints_only() {
    let error = FilterHeaderError::NoCheckpoint { height: BlockHeight(999) };
    assert_eq!(FilterHeaderChain::starting_at(BlockHeight(999)).unwrap_err(), error);
    assert!(FilterHeaderChain::starting_at(BlockHeight(2_000)).is_ok());
}
