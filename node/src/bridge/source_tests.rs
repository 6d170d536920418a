//! Pages and verdicts.

use ironlight_spv::chain::TrustedStart;
use ironlight_spv::generate::Miner;
use ironlight_spv::{Network, Params};

use super::*;
use crate::net::wire::Cursor;

fn chain(count: usize) -> (HeaderChain, Vec<Header>) {
    let params = Params::new(Network::Regtest);
    let headers = Miner::new(1).run(&params.genesis, count, 60);
    let mut chain = HeaderChain::new(params);
    let batch = chain.verify(&headers, unix_now()).unwrap();
    chain.apply(batch).unwrap();
    (chain, headers)
}

fn served(chain: &HeaderChain, wanted: Wanted, most: u32) -> Option<HeadersPage> {
    served_with(&Pages::new(PAGES), chain, wanted, most)
}

fn served_with(
    pages: &Pages,
    chain: &HeaderChain,
    wanted: Wanted,
    most: u32,
) -> Option<HeadersPage> {
    let served = page(chain, pages, &HeadersRequest { wanted, most })?;
    let decoded = HeadersPage::decode(&mut Cursor::new(&served.body), most).unwrap();
    assert_eq!(decoded.headers.len(), served.count as usize);
    Some(decoded)
}

#[test]
fn a_locator_is_answered_with_what_follows_its_first_known_hash() {
    let (chain, headers) = chain(100);
    let unknown = Miner::new(2).run(&headers[0], 1, 60)[0].hash();
    let wanted = Wanted::After(vec![unknown, headers[29].hash(), headers[9].hash()]);
    let page = served(&chain, wanted, 50).unwrap();
    assert_eq!((page.first, page.tip), (BlockHeight(31), BlockHeight(100)));
    assert_eq!(page.headers, headers[30..80]);
    assert!(!page.is_last());
    let at_the_tip = served(&chain, Wanted::After(vec![headers[99].hash()]), 50).unwrap();
    assert!(at_the_tip.headers.is_empty() && at_the_tip.is_last());
    assert_eq!(served(&chain, Wanted::After(vec![unknown]), 50), None);
}

#[test]
fn heights_are_answered_from_genesis_to_the_tip_and_not_beyond() {
    let (chain, headers) = chain(100);
    let page = served(&chain, Wanted::From(BlockHeight(0)), 8000).unwrap();
    assert_eq!(page.headers[0], chain.params().genesis);
    assert_eq!(page.headers[1..], headers);
    let last = served(&chain, Wanted::From(BlockHeight(100)), 8000).unwrap();
    assert_eq!(last.headers, headers[99..]);
    assert_eq!(served(&chain, Wanted::From(BlockHeight(101)), 1), None);
}

#[test]
fn one_header_is_served_from_whatever_branch() {
    let (mut chain, headers) = chain(100);
    let side = Miner::new(2).run(&headers[89], 1, 60);
    let batch = chain.verify(&side, unix_now()).unwrap();
    chain.apply(batch).unwrap();
    let page = served(&chain, Wanted::Exactly(side[0].hash()), 1).unwrap();
    assert_eq!((page.first, page.headers), (BlockHeight(91), side));
}

#[test]
fn a_chain_that_starts_late_serves_what_it_has() {
    let (whole, headers) = chain(100);
    let start = whole.get(BlockHeight(50)).unwrap();
    let start = TrustedStart::bare(start.height, start.header, start.work);
    let mut late = HeaderChain::from_start(Params::new(Network::Regtest), start).unwrap();
    let batch = late.verify(&headers[50..], unix_now()).unwrap();
    late.apply(batch).unwrap();
    assert_eq!(served(&late, Wanted::From(BlockHeight(49)), 9), None);
    let page = served(&late, Wanted::From(BlockHeight(50)), 9).unwrap();
    assert_eq!(page.headers, headers[49..58]);
}

#[test]
fn whole_pages_are_made_once_and_a_reorg_is_served_as_it_is() {
    let (mut chain, headers) = chain(8100);
    let pages = Pages::new(PAGES);
    let genesis = chain.params().genesis.hash();
    let first = |chain: &HeaderChain| {
        served_with(&pages, chain, Wanted::After(vec![genesis]), MAX_PAGE).unwrap().headers
    };
    assert_eq!(first(&chain), headers[..8000]);
    assert_eq!(
        served_with(&pages, &chain, Wanted::From(BlockHeight(1)), MAX_PAGE).unwrap().headers,
        headers[..8000]
    );
    assert_eq!((pages.stats().hits, pages.stats().misses, pages.stats().len), (1, 1, 1));
    // Not a whole one, and one that begins elsewhere.
    for from in [8001, 2] {
        served_with(&pages, &chain, Wanted::From(BlockHeight(from)), MAX_PAGE).unwrap();
    }
    assert_eq!(pages.stats().len, 1);
    let heavier = Miner::new(2).run(&headers[7899], 250, 60);
    let batch = chain.verify(&heavier, unix_now()).unwrap();
    chain.apply(batch).unwrap();
    let now = first(&chain);
    assert_eq!((&now[..7900], &now[7900..]), (&headers[..7900], &heavier[..100]));
}

#[test]
fn whole_periods_are_offered_and_no_part_of_one() {
    let (chain, headers) = chain(2 * 2016 + 100);
    let addresses = vec![headers[2014].hash(), headers[4030].hash()];
    assert_eq!(offer(&chain, 0), SnapshotOffer { first: 0, addresses: addresses.clone() });
    assert_eq!(offer(&chain, 1).addresses, addresses[1..]);
    assert_eq!(offer(&chain, 5), SnapshotOffer { first: 5, addresses: Vec::new() });

    let start = chain.get(BlockHeight(10)).unwrap();
    let start = TrustedStart::bare(start.height, start.header, start.work);
    let mut late = HeaderChain::from_start(Params::new(Network::Regtest), start).unwrap();
    let batch = late.verify(&headers[10..], unix_now()).unwrap();
    late.apply(batch).unwrap();
    let offered = offer(&late, 0);
    assert_eq!(offered, SnapshotOffer { first: 1, addresses: addresses[1..].to_vec() });
}

#[cfg(feature = "snapshot")]
#[test]
fn a_chunk_is_packed_once_and_only_of_the_best_chain() {
    let (chain, headers) = chain(2 * 2016 - 1);
    let params = chain.params().clone();
    let served = ServedChain::new(ChainHandle::standing(chain));
    let address = headers[4030].hash();
    let chunk = served.snapshot_chunk(1, &address).unwrap();
    let opened = crate::snapshot::Chunk::open(&params, 1, address, &chunk).unwrap();
    assert_eq!(opened.into_batch().headers(), &headers[2015..]);
    assert!(Arc::ptr_eq(&chunk, &served.snapshot_chunk(1, &address).unwrap()));
    let stats = served.chunks.stats();
    assert_eq!((stats.hits, stats.misses, stats.len), (1, 1, 1));
    for (period, address) in [(0, address), (1, headers[4029].hash()), (2, address)] {
        assert_eq!(served.snapshot_chunk(period, &address), None, "{period}");
    }
}
