//! The header schema on every backend: it follows the chain through whatever happens to it.

use std::sync::Arc;

use ironlight_spv::generate::Miner;
use ironlight_spv::{Network, Work};

use super::super::{Backend, MemoryStore, Options, open};
use super::*;

fn params() -> Params {
    Params::new(Network::Regtest)
}

/// Verifies, commits and applies.
fn take_in(store: &dyn Store, chain: &mut HeaderChain, headers: &[Header]) {
    let batch = chain.verify(headers, UnixTime::MAX).unwrap();
    store.commit(batch_for(chain, batch.change())).unwrap();
    chain.apply(batch).unwrap();
}

fn begun(store: &dyn Store) -> HeaderChain {
    let chain = HeaderChain::new(params());
    store.commit(begin(&chain)).unwrap();
    chain
}

fn same(store: &dyn Store, chain: &HeaderChain) {
    let loaded = load(store, &params()).unwrap().unwrap();
    assert_eq!(loaded.cut, None);
    assert_eq!(loaded.chain.tip(), chain.tip());
    assert_eq!(loaded.chain.basis(), chain.basis());
}

/// The keys as heights, and each value's number of headers.
fn layout(store: &dyn Store) -> Vec<(u32, usize)> {
    let mut layout = Vec::new();
    store
        .scan(Table::Headers, &[], &mut |key, stored| {
            let payload = checksum::open(Table::Headers, key, stored).unwrap();
            let headers = compress::decode(payload, 2016).unwrap();
            layout.push((height_of(key).unwrap().0, headers.len()));
            ControlFlow::Continue(())
        })
        .unwrap();
    layout
}

#[test]
fn a_period_is_sealed_when_it_is_complete_and_the_rest_lies_in_pieces() {
    let store = MemoryStore::new();
    let mut chain = begun(&store);
    let headers = Miner::new(1).run(&params().genesis, 2300, 60);
    take_in(&store, &mut chain, &headers[..2000]);
    assert_eq!(layout(&store).first(), Some(&(1, 143)));
    assert_eq!(layout(&store).last(), Some(&(1872, 129)));
    take_in(&store, &mut chain, &headers[2000..]);
    assert_eq!(layout(&store), [(1, 2015), (2016, 144), (2160, 141)]);
    same(&store, &chain);
}

#[test]
fn one_new_header_rewrites_one_piece() {
    let store = MemoryStore::new();
    let mut chain = begun(&store);
    let headers = Miner::new(1).run(&params().genesis, 1000, 60);
    take_in(&store, &mut chain, &headers[..999]);
    let batch = chain.verify(&headers[999..], UnixTime::MAX).unwrap();
    let writes = batch_for(&chain, batch.change());
    let bytes: usize = writes
        .ops()
        .iter()
        .map(|op| match op {
            super::super::WriteOp::Put { value, .. } => value.len(),
            super::super::WriteOp::Delete { .. } | super::super::WriteOp::DeleteFrom { .. } => 0,
        })
        .sum();
    assert!(bytes <= 144 * 45 + 60, "{bytes} bytes");
}

#[test]
fn reorgs_across_sealed_periods_are_followed() {
    let store = MemoryStore::new();
    let mut chain = begun(&store);
    let trunk = Miner::new(1).run(&params().genesis, 4100, 60);
    take_in(&store, &mut chain, &trunk);
    let mut miner = Miner::new(2);
    for depth in [1, 68, 69, 70, 150, 2100] {
        let fork = chain.get(chain.tip().height.minus(depth).unwrap()).unwrap().header;
        let branch = miner.run(&fork, usize::try_from(depth).unwrap() + 1, 60);
        take_in(&store, &mut chain, &branch);
        assert_eq!(chain.tip().hash, branch.last().unwrap().hash(), "depth {depth}");
        same(&store, &chain);
    }
}

#[test]
fn a_shorter_branch_with_more_work_opens_a_sealed_period_again() {
    let mut params = Params::new(Network::Mainnet);
    params.pow_limit = params_limit();
    params.genesis = Params::new(Network::Regtest).genesis;
    let store = MemoryStore::new();
    let mut chain = HeaderChain::new(params.clone());
    store.commit(begin(&chain)).unwrap();
    let (mut slow, mut fast) = (Miner::new(1), Miner::new(2));
    // Blocks every 20 minutes make the second period easier; the branch keeps to 10 at its end.
    let grow = |chain: &mut HeaderChain, miner: &mut Miner, count: u32, spacing: u32| {
        for _ in 0..count {
            let time = chain.tip_time().plus_seconds(spacing);
            let header = miner.extend(chain, time);
            take_in(&store, chain, &[header]);
        }
    };
    grow(&mut chain, &mut slow, 1000, 600);
    let mut branch_chain = chain.clone();
    grow(&mut chain, &mut slow, 3100, 1200);
    let mut branch = Vec::new();
    while branch_chain.tip().work <= chain.tip().work {
        let time = branch_chain.tip_time().plus_seconds(100);
        let header = fast.extend(&branch_chain, time);
        branch.push(header);
        let batch = branch_chain.verify(&[header], UnixTime::MAX).unwrap();
        branch_chain.apply(batch).unwrap();
    }
    assert!(branch_chain.tip().height < chain.tip().height);
    take_in(&store, &mut chain, &branch);
    let loaded = load(&store, &params).unwrap().unwrap();
    assert_eq!(loaded.cut, None);
    assert_eq!(loaded.chain.tip(), branch_chain.tip());
}

fn params_limit() -> ironlight_spv::CompactTarget {
    Params::new(Network::Regtest).pow_limit
}

#[test]
fn a_trusted_start_is_recorded_with_its_context() {
    let headers = Miner::new(1).run(&params().genesis, 3000, 60);
    let start = ironlight_spv::TrustedStart {
        height: BlockHeight(1500),
        header: headers[1499],
        work: Work::from_be_bytes([1; 32]),
        previous_times: headers[1489..1499].iter().map(Header::time).collect(),
        period_first: None,
        last_ordinary: None,
        imported: false,
    };
    let mut chain = HeaderChain::from_start(params(), start).unwrap();
    let store = MemoryStore::new();
    store.commit(begin(&chain)).unwrap();
    take_in(&store, &mut chain, &headers[1500..]);
    assert_eq!(layout(&store)[0], (1501, 515));
    same(&store, &chain);
    assert!(starts_with(&chain, BlockHeight(1500), headers[1499].hash()));
}

#[test]
fn a_damaged_value_is_named_cut_off_and_what_follows_can_be_stored_again() {
    let headers = Miner::new(1).run(&params().genesis, 7000, 60);
    type Spoil = fn(&mut Vec<u8>);
    let damages: [(u32, Spoil); 4] = [
        (1, |value| value[100] ^= 1),
        (2016, |value| value.truncate(50)),
        (4032, Vec::clear),
        (6048, |value| value.push(0)),
    ];
    for (height, damage) in damages {
        let store = MemoryStore::new();
        let mut chain = begun(&store);
        take_in(&store, &mut chain, &headers);
        let key = key(BlockHeight(height));
        let mut value = store.get(Table::Headers, &key).unwrap().unwrap();
        damage(&mut value);
        let mut batch = WriteBatch::new();
        batch.put(Table::Headers, key, value);
        store.commit(batch).unwrap();

        let loaded = load(&store, &params()).unwrap().unwrap();
        let cut = loaded.cut.unwrap();
        assert_eq!((cut.damaged_at, cut.tip), (BlockHeight(height), BlockHeight(height - 1)));

        let mut mended = loaded.chain;
        take_in(&store, &mut mended, &headers);
        same(&store, &chain);
    }
}

#[test]
fn a_missing_value_is_found_by_the_gap_it_leaves() {
    let store = MemoryStore::new();
    let mut chain = begun(&store);
    take_in(&store, &mut chain, &Miner::new(1).run(&params().genesis, 5000, 60));
    let mut batch = WriteBatch::new();
    batch.delete(Table::Headers, key(BlockHeight(2016)));
    store.commit(batch).unwrap();
    let loaded = load(&store, &params()).unwrap().unwrap();
    assert_eq!(loaded.chain.tip().height, BlockHeight(2015));
    assert!(loaded.cut.unwrap().reason.contains("2016 to 4032 are missing"));
    assert_eq!(layout(&store), [(1, 2015)]);
}

#[test]
fn a_store_of_another_network_is_refused() {
    let store = MemoryStore::new();
    begun(&store);
    let other = Params::custom_signet(&[0x51]);
    assert!(matches!(load(&store, &other), Err(StoreError::OtherNetwork { .. })));
    assert!(load(&MemoryStore::new(), &other).unwrap().is_none());
}

#[test]
fn every_backend_holds_the_same_bytes() {
    let headers = Miner::new(1).run(&params().genesis, 4500, 60);
    let mut rows = Vec::new();
    for backend in Backend::ALL.iter().copied().filter(|backend| backend.is_built()) {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path().join("regtest");
        let store: Arc<dyn Store> =
            open(Options { dir, backend: Some(backend), now: 0 }).unwrap().store;
        let mut chain = begun(store.as_ref());
        for headers in headers.chunks(1999) {
            take_in(store.as_ref(), &mut chain, headers);
        }
        same(store.as_ref(), &chain);
        let mut all = Vec::new();
        store
            .scan(Table::Headers, &[], &mut |key, value| {
                all.push((key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            })
            .unwrap();
        rows.push(all);
    }
    assert!(rows.windows(2).all(|pair| pair[0] == pair[1]));
}
