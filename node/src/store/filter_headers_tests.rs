//! Pieces beside a plain list.

use ironlight_spv::generate::Miner;
use ironlight_spv::peers::SplitMix64;
use ironlight_spv::{Header, Network, Params, UnixTime};

use super::*;
use crate::store::MemoryStore;

const NOW: UnixTime = UnixTime(2_000_000_000);

fn chain(count: usize) -> HeaderChain {
    let params = Params::new(Network::Regtest);
    let headers = Miner::new(1).run(&params.genesis, count, 60);
    extended(HeaderChain::new(params), &headers)
}

fn extended(mut chain: HeaderChain, headers: &[Header]) -> HeaderChain {
    let batch = chain.verify(headers, NOW).unwrap();
    chain.apply(batch).unwrap();
    chain
}

fn entries(seed: u64, count: usize) -> Vec<FilterEntry> {
    let mut random = SplitMix64::new(seed);
    let mut bytes = || {
        let words = [(); 4].map(|()| random.next_u64().to_le_bytes());
        <[u8; 32]>::try_from(words.concat()).unwrap()
    };
    let mut entry = || FilterEntry {
        header: FilterHeader::from_byte_array(bytes()),
        hash: FilterHash::from_byte_array(bytes()),
    };
    (0..count).map(|_| entry()).collect()
}

fn headers_of(entries: &[FilterEntry]) -> Vec<FilterHeader> {
    entries.iter().map(|entry| entry.header).collect()
}

fn append_at(store: &MemoryStore, chain: &HeaderChain, first: u32, new: &[FilterEntry]) {
    let mut batch = WriteBatch::new();
    append(store, &mut batch, BlockHeight(first), new, |height| chain.hash_at(height)).unwrap();
    store.commit(batch).unwrap();
}

fn loaded(store: &MemoryStore, chain: &HeaderChain) -> Vec<FilterHeader> {
    let Some(found) = load(store, chain).unwrap() else { return Vec::new() };
    found.headers(found.first_height()..found.next_height()).collect()
}

#[test]
fn random_appends_and_rollbacks_leave_what_a_plain_list_holds() {
    let (chain, store) = (chain(3000), MemoryStore::new());
    let (mut plain, mut random) = (Vec::new(), SplitMix64::new(7));
    for step in 0..300 {
        let place = usize::try_from(random.next_u64() % 700).unwrap();
        if step % 4 == 3 && !plain.is_empty() {
            let to = plain.len().saturating_sub(place + 1);
            let mut batch = WriteBatch::new();
            let height = BlockHeight(u32::try_from(to).unwrap());
            rollback(&store, &mut batch, &chain, height).unwrap();
            store.commit(batch).unwrap();
            plain.truncate(to + 1);
        } else {
            let new = entries(step, place.min(3001 - plain.len()));
            append_at(&store, &chain, u32::try_from(plain.len()).unwrap(), &new);
            plain.extend(new);
        }
        let all = read(&store, BlockHeight(0)..BlockHeight(4000)).unwrap();
        assert_eq!(all, plain);
        let some = read(&store, BlockHeight(300)..BlockHeight(501)).unwrap();
        assert_eq!(some, plain.get(300..501.min(plain.len())).unwrap_or_default());
    }
    assert_eq!(loaded(&store, &chain), headers_of(&plain));
    assert_eq!(read(&store, BlockHeight(0)..BlockHeight(4000)).unwrap(), plain, "still there");
}

#[test]
fn headers_of_blocks_that_left_the_best_chain_are_left_out() {
    let (old, store) = (chain(1100), MemoryStore::new());
    let all = entries(1, 1101);
    append_at(&store, &old, 0, &all);
    let fork = old.get(BlockHeight(800)).unwrap().header;
    let new = extended(old, &Miner::new(9).run(&fork, 400, 60));
    assert_eq!(
        loaded(&store, &new),
        headers_of(&all[..750]),
        "the last piece whose end is on the new chain"
    );
    assert_eq!(read(&store, BlockHeight(0)..BlockHeight(2000)).unwrap(), all[..750]);
}

#[test]
fn headers_of_a_branch_that_was_left_before_they_were_stored_are_taken_back() {
    let (chain, store) = (chain(1100), MemoryStore::new());
    let all = entries(1, 1101);
    append_at(&store, &chain, 0, &all[..700]);
    // Nobody knows their blocks any more.
    let mut batch = WriteBatch::new();
    append(&store, &mut batch, BlockHeight(700), &all[700..900], |_| None).unwrap();
    store.commit(batch).unwrap();
    let mut batch = WriteBatch::new();
    rollback(&store, &mut batch, &chain, BlockHeight(819)).unwrap();
    store.commit(batch).unwrap();
    append_at(&store, &chain, 820, &all[820..]);
    assert_eq!(read(&store, BlockHeight(0)..BlockHeight(2000)).unwrap(), all);
    assert_eq!(loaded(&store, &chain), headers_of(&all));
}

#[test]
fn damage_ends_the_chain_where_it_is() {
    let (chain, store) = (chain(1100), MemoryStore::new());
    let all = entries(1, 1000);
    append_at(&store, &chain, 0, &all);
    let mut batch = WriteBatch::new();
    batch.put(Table::FilterHeaders, key(BlockHeight(500)), vec![1; 90]);
    store.commit(batch).unwrap();
    assert_eq!(loaded(&store, &chain), headers_of(&all[..500]));
    let mut batch = WriteBatch::new();
    batch.delete(Table::FilterHeaders, key(BlockHeight(0)));
    store.commit(batch).unwrap();
    assert!(load(&store, &chain).unwrap().is_none());
}

#[test]
fn a_chain_with_an_anchor_begins_there() {
    let (chain, store) = (chain(2100), MemoryStore::new());
    let all = entries(3, 101);
    let height = BlockHeight(2000);
    let anchor =
        FilterAnchor { height, block_hash: chain.hash_at(height).unwrap(), header: all[0].header };
    let mut batch = WriteBatch::new();
    restart(&mut batch, Some(&anchor));
    store.commit(batch).unwrap();
    append_at(&store, &chain, 2001, &all[1..]);
    assert_eq!(loaded(&store, &chain), headers_of(&all));
    assert_eq!(first_height(&store).unwrap(), Some(height));
}

#[test]
fn the_rows_are_the_documented_ones() {
    let (chain, store) = (chain(10), MemoryStore::new());
    let all = entries(1, 2);
    append_at(&store, &chain, 0, &all);
    let row = store.get(Table::FilterHeaders, &[0; 4]).unwrap().unwrap();
    let last_block = chain.hash_at(BlockHeight(1)).unwrap().to_byte_array();
    let pairs =
        all.iter().flat_map(|entry| [entry.header.to_byte_array(), entry.hash.to_byte_array()]);
    let payload = std::iter::once(last_block).chain(pairs).collect::<Vec<_>>().concat();
    assert_eq!(checksum::open(Table::FilterHeaders, &[0; 4], &row), Ok(&payload[..]));
    let row = store.get(Table::Meta, b"filter_headers_from").unwrap().unwrap();
    assert_eq!(checksum::open(Table::Meta, b"filter_headers_from", &row), Ok(&[0; 4][..]));
}
