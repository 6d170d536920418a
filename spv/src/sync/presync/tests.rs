use super::*;
use crate::chain::work_of;
use crate::generate::Miner;
use crate::params::{Network, PresyncParams};
use crate::sync::MAX_PAGE;

const NOW: UnixTime = UnixTime(1_700_000_000);

fn params(threshold: u64) -> (Params, Work) {
    let mut params = Params::new(Network::Regtest);
    params.presync = PresyncParams { commitment_period: 5, redownload_buffer: 40 };
    let unit = work_of(params.pow_limit);
    let work = (0..threshold).fold(crate::params::no_work(), |sum, _| sum + unit);
    (params, work)
}

fn genesis(params: &Params) -> IndexedHeader {
    let header = params.genesis;
    let work = work_of(header.compact_target());
    IndexedHeader { header, hash: header.hash(), height: BlockHeight::GENESIS, work }
}

fn presync(params: &Params, threshold: Work, seed: u8) -> Presync {
    let start = genesis(params);
    let median = start.header.time();
    Presync::new(params, &start, median, threshold, [seed; 32], NOW)
}

fn feed(presync: &mut Presync, params: &Params, headers: &[Header], full: bool) -> Step {
    presync.advance(params, &LinkedBatch::new(params, headers.to_vec()), 0, full)
}

#[test]
fn a_chain_that_shows_its_work_comes_out_whole_the_second_time() {
    let (params, threshold) = params(300);
    let headers = Miner::new(1).run(&params.genesis, 320, 600);
    let mut presync = presync(&params, threshold, 1);
    assert_eq!(feed(&mut presync, &params, &headers[..200], true), Step::More);
    let shown = feed(&mut presync, &params, &headers[200..], true);
    assert!(matches!(shown, Step::Redownload { height: BlockHeight(320), .. }));
    let mut released = Vec::new();
    for part in headers.chunks(50) {
        assert_eq!(feed(&mut presync, &params, part, true), Step::Release);
        released.extend(presync.release());
        let held_back = if released.len() < 300 && !presync.is_finished() { 40 } else { 0 };
        assert!(released.len() + held_back <= headers.len());
    }
    assert_eq!(released, headers);
    assert!(presync.is_finished());
}

#[test]
fn nothing_is_released_before_the_buffer_is_full() {
    let (params, threshold) = params(300);
    let headers = Miner::new(1).run(&params.genesis, 300, 600);
    let mut presync = presync(&params, threshold, 1);
    feed(&mut presync, &params, &headers, true);
    feed(&mut presync, &params, &headers[..40], true);
    assert!(presync.release().is_empty());
    feed(&mut presync, &params, &headers[40..45], true);
    assert_eq!(presync.release(), headers[..5]);
}

#[test]
fn another_chain_is_noticed_at_the_second_download() {
    let (params, threshold) = params(300);
    let shown = Miner::new(1).run(&params.genesis, 300, 600);
    let other = Miner::new(2).run(&params.genesis, 300, 600);
    for seed in 0..20 {
        let mut presync = presync(&params, threshold, seed);
        feed(&mut presync, &params, &shown, true);
        let step = feed(&mut presync, &params, &other[..200], true);
        assert_eq!(step, Step::GiveUp(GaveUp::CommitmentMismatch));
    }
}

#[test]
fn a_chain_that_ends_too_early_is_given_up() {
    let (params, threshold) = params(300);
    let headers = Miner::new(1).run(&params.genesis, 100, 600);
    let mut presync = presync(&params, threshold, 1);
    assert_eq!(feed(&mut presync, &params, &headers, false), Step::GiveUp(GaveUp::LowWork));
}

#[test]
fn a_chain_longer_than_time_allows_is_given_up() {
    let (params, threshold) = params(100_000);
    let start = genesis(&params);
    // Six headers a second for the two hours ahead of the clock.
    let now = start.header.time();
    let mut presync = Presync::new(&params, &start, now, threshold, [1; 32], now);
    let headers = Miner::new(1).run(&params.genesis, 6 * 7_200 + 10, 1);
    let step = feed(&mut presync, &params, &headers, true);
    assert_eq!(step, Step::GiveUp(GaveUp::TooLong));
    assert_eq!(presync.commitments.len(), 6 * 7_200 / 5 + 1);
}

#[test]
fn a_forbidden_change_of_difficulty_is_a_fault() {
    let (mut params, threshold) = params(300);
    params.no_retargeting = false;
    params.minimum_difficulty_blocks = false;
    let mut miner = Miner::new(1);
    let mut headers = miner.run(&params.genesis, 10, 600);
    let harder = CompactTarget::from_consensus(0x2000_ffff);
    let parent = headers[9];
    headers.push(miner.mine(parent.hash(), parent.time().plus_seconds(600), harder));
    let mut presync = presync(&params, threshold, 1);
    match feed(&mut presync, &params, &headers, true) {
        Step::Invalid { height, violation, .. } => {
            assert_eq!(height, BlockHeight(11));
            assert_eq!(violation.rule(), "difficulty-transition");
        }
        step @ (Step::More | Step::Redownload { .. } | Step::Release | Step::GiveUp(_)) => {
            panic!("{step:?}")
        }
    }
}

#[test]
fn mainnet_from_genesis_stays_under_a_megabyte_and_a_half() {
    let params = Params::new(Network::Mainnet);
    let bound = |page| memory_bound(&params, params.genesis.time(), UnixTime(1_790_000_000), page);
    assert!(bound(MAX_HEADERS) <= 1_500_000, "{} bytes", bound(MAX_HEADERS));
    assert!(bound(MAX_PAGE) <= 1_800_000, "{} bytes", bound(MAX_PAGE));
}
