//! Trusted starts: with their context the verdicts are those from genesis; without it the chain
//! says up to which height a rule was not applied.

use ironlight_spv::chain::{Blame, Unapplied};
use ironlight_spv::generate::Miner;
use ironlight_spv::rules::difficulty::PeriodFirst;
use ironlight_spv::{
    Basis, BlockHeight, CompactTarget, Header, HeaderChain, Network, Params, TrustedStart, UnixTime,
};

use crate::support::{EASIEST, LATER, accept, bits, branch, child, easy, mined, violation};

const PERIOD: u32 = 40;
const LENGTH: u32 = 3 * PERIOD;

/// Short periods, so that starts at every place of one can be tried.
fn params(network: Network) -> Params {
    let mut params = easy(network);
    params.period = PERIOD;
    params.timespan = PERIOD * 600;
    params
}

/// Three periods with times in disorder and, where there are such, minimum-difficulty blocks.
fn whole(params: &Params) -> HeaderChain {
    let mut chain = HeaderChain::new(params.clone());
    let mut miner = Miner::new(4);
    while chain.tip().height.0 < LENGTH {
        let step = match chain.tip().height.0 % 9 {
            3 | 4 => 1_201,
            height => 300 + 50 * height,
        };
        let header = miner.extend(&chain, chain.tip_time().plus_seconds(step));
        accept(&mut chain, &[header]);
    }
    chain
}

fn header(chain: &HeaderChain, height: u32) -> Header {
    chain.get(BlockHeight(height)).expect("held").header
}

/// All that a start needs to know of its ancestors.
fn with_context(chain: &HeaderChain, height: u32) -> TrustedStart {
    let entry = chain.get(BlockHeight(height)).expect("held");
    let first = header(chain, height - height % PERIOD);
    let limit = chain.params().pow_limit;
    let period = (height - height % PERIOD..=height).rev().map(|height| header(chain, height));
    let ordinary = period.map(|header| header.compact_target()).find(|bits| *bits != limit);
    TrustedStart {
        previous_times: (0..height).map(|height| header(chain, height).time()).collect(),
        period_first: Some(PeriodFirst { time: first.time(), bits: first.compact_target() }),
        last_ordinary: Some(ordinary.unwrap_or(first.compact_target())),
        imported: false,
        ..TrustedStart::bare(entry.height, entry.header, entry.work)
    }
}

/// A chain's first headers, right and wrong in every way, get the same verdict on both chains.
fn assert_same_verdicts(one: &HeaderChain, other: &HeaderChain, tip: &Header) {
    for step in [-20_000, -1_000, -601, -600, -1, 1, 1_200, 1_201, 5_000] {
        for compact in [0, 1, 2, EASIEST] {
            let time = UnixTime(tip.time().0.checked_add_signed(step).expect("a time"));
            let required = one.required_after_tip(time).to_consensus();
            let mut body = child(tip, 1);
            body.time = time;
            body.bits = bits(if compact == EASIEST { EASIEST } else { required - compact });
            let header = mined(body, tip);
            let verdict = |chain: &HeaderChain| {
                chain.verify(&[header], LATER).err().map(|error| (error.height, error.violation))
            };
            assert_eq!(verdict(one), verdict(other));
        }
    }
}

fn starts_agree_with_genesis(network: Network) {
    let params = params(network);
    let from_genesis = whole(&params);
    for height in 1..LENGTH {
        let start = with_context(&from_genesis, height);
        let mut chain = HeaderChain::from_start(params.clone(), start).expect("it has work");
        let Basis::TrustedStart { unapplied, .. } = chain.basis() else { panic!("no genesis") };
        let nothing =
            Unapplied { median_time_until: None, difficulty_until: None, minimum_work: false };
        assert_eq!(unapplied, nothing, "start at {height}");

        let mut growing = HeaderChain::new(params.clone());
        let all: Vec<Header> = (1..=LENGTH).map(|height| header(&from_genesis, height)).collect();
        let at = usize::try_from(height).unwrap();
        accept(&mut growing, &all[..at]);
        for next in all[at..].iter().take(13) {
            let tip = header(&growing, growing.tip().height.0);
            assert_eq!(chain.median_time_past(), growing.median_time_past());
            assert_same_verdicts(&growing, &chain, &tip);
            accept(&mut growing, &[*next]);
            accept(&mut chain, &[*next]);
        }
        accept(&mut chain, &all[at..]);
        assert_eq!(chain.tip(), from_genesis.tip());
    }
}

#[test]
fn with_its_context_a_start_on_mainnet_judges_as_genesis_does() {
    starts_agree_with_genesis(Network::Mainnet);
}

#[test]
fn with_its_context_a_start_on_testnet3_judges_as_genesis_does() {
    starts_agree_with_genesis(Network::Testnet3);
}

#[test]
fn with_its_context_a_start_on_testnet4_judges_as_genesis_does() {
    starts_agree_with_genesis(Network::Testnet4);
}

#[test]
fn with_its_context_a_start_on_regtest_judges_as_genesis_does() {
    starts_agree_with_genesis(Network::Regtest);
}

#[test]
fn without_context_a_start_says_what_it_leaves_unapplied_and_accepts_what_is_right() {
    for network in [Network::Mainnet, Network::Testnet3, Network::Testnet4, Network::Regtest] {
        let params = params(network);
        let from_genesis = whole(&params);
        for height in 1..LENGTH {
            let entry = from_genesis.get(BlockHeight(height)).expect("held");
            let start = TrustedStart::bare(entry.height, entry.header, entry.work);
            let mut chain = HeaderChain::from_start(params.clone(), start).expect("it has work");
            let Basis::TrustedStart { unapplied, hash, .. } = chain.basis() else {
                panic!("not from genesis");
            };
            assert_eq!(hash, entry.hash);
            assert_eq!(unapplied.median_time_until, Some(BlockHeight(height + 10)));
            let known = height % PERIOD == 0 || network == Network::Regtest;
            let boundary = BlockHeight(height - height % PERIOD + PERIOD);
            assert_eq!(unapplied.difficulty_until, (!known).then_some(boundary), "{network}");
            for next in height + 1..=LENGTH {
                accept(&mut chain, &[header(&from_genesis, next)]);
            }
            assert_eq!(chain.tip(), from_genesis.tip());
        }
    }
}

#[test]
fn the_median_rule_applies_from_the_eleventh_header_after_a_bare_start_on() {
    let params = params(Network::Regtest);
    let from_genesis = whole(&params);
    let entry = from_genesis.get(BlockHeight(50)).expect("held");
    let start = TrustedStart::bare(entry.height, entry.header, entry.work);
    let mut chain = HeaderChain::from_start(params, start).expect("it has work");
    for height in 51..=70 {
        let tip = header(&chain, height - 1);
        let mut body = child(&tip, 1);
        body.time = UnixTime(1);
        let early = chain.verify(&[mined(body, &tip)], LATER);
        assert_eq!(early.is_ok(), height <= 60, "height {height}");
        assert_eq!(chain.median_time_past().is_some(), height > 60);
        accept(&mut chain, &[header(&from_genesis, height)]);
    }
}

#[test]
fn regtest_demands_its_limit_after_a_bare_start_too() {
    let params = Params::new(Network::Regtest);
    let chain = crate::support::regtest_of(7);
    let entry = chain.get(BlockHeight(5)).expect("held");
    let start = TrustedStart::bare(entry.height, entry.header, entry.work);
    let chain = HeaderChain::from_start(params, start).expect("it has work");
    let mut body = child(&entry.header, 1);
    body.bits = CompactTarget::from_consensus(0x203f_ffff);
    assert_eq!(violation(&chain, mined(body, &entry.header)).rule(), "difficulty");
}

#[test]
fn a_start_at_genesis_is_genesis_whatever_times_come_with_it() {
    let params = params(Network::Regtest);
    let plain = HeaderChain::new(params.clone());
    let start = TrustedStart {
        previous_times: vec![UnixTime(u32::MAX); 10],
        ..TrustedStart::bare(BlockHeight::GENESIS, params.genesis, plain.tip().work)
    };
    let chain = HeaderChain::from_start(params, start).expect("it is genesis");
    assert_eq!(chain.basis(), Basis::Genesis);
    assert_eq!(chain.median_time_past(), plain.median_time_past());
}

#[test]
fn nothing_below_a_start_is_held_and_no_branch_goes_there() {
    let params = params(Network::Regtest);
    let from_genesis = whole(&params);
    let start = with_context(&from_genesis, 50);
    let mut chain = HeaderChain::from_start(params, start).expect("it has work");
    for height in 51..=LENGTH {
        accept(&mut chain, &[header(&from_genesis, height)]);
    }
    assert_eq!(chain.start_height(), BlockHeight(50));
    assert_eq!(chain.get(BlockHeight(49)), None);
    // Its header names its parent, so that one hash below is known.
    assert_eq!(chain.hash_at(BlockHeight(48)), None);
    assert_eq!(chain.find(&header(&from_genesis, 49).hash()), None);
    assert_eq!(chain.locator().last(), Some(&header(&from_genesis, 50).hash()));
    for parent in [header(&from_genesis, 49), header(&from_genesis, 10)] {
        let error = chain.verify(&branch(&parent, 3, 9), LATER).expect_err("below the start");
        assert_eq!(error.violation.rule(), "unknown-parent");
    }
    let below: Vec<Header> = (40..=60).map(|height| header(&from_genesis, height)).collect();
    assert!(chain.verify(&below, LATER).is_err(), "its first headers are not known");
    accept(&mut chain, &branch(&header(&from_genesis, 50), 71, 9));
    assert_eq!(chain.tip().height, BlockHeight(121), "a reorg down to the start itself");
}

#[test]
fn a_start_at_the_highest_height_does_not_panic() {
    let params = params(Network::Mainnet);
    let work = HeaderChain::new(params.clone()).tip().work;
    for height in [u32::MAX, u32::MAX - 1] {
        let start = TrustedStart::bare(BlockHeight(height), params.genesis, work);
        let mut chain = HeaderChain::from_start(params.clone(), start).expect("it has work");
        let _ = (chain.basis().to_string(), chain.locator(), chain.hash_at(BlockHeight(height)));
        let headers = branch(&params.genesis, 3, 1);
        if let Ok(batch) = chain.verify(&headers, LATER) {
            let _ = chain.apply(batch);
        }
        let _ = (chain.locator(), chain.get(BlockHeight(u32::MAX)), chain.tip());
    }
}

#[test]
fn a_start_whose_work_is_its_own_alone_counts_from_there_and_asks_for_no_minimum() {
    let mut params = params(Network::Mainnet);
    let from_genesis = whole(&params);
    params.minimum_chain_work = from_genesis.tip().work;
    let bare = |work| TrustedStart::bare(BlockHeight(20), header(&from_genesis, 20), work);
    let own = header(&from_genesis, 20).compact_target();
    let own = ironlight_spv::decode_compact(own).expect("a target").to_work();

    let unknown = HeaderChain::from_start(params.clone(), bare(own)).expect("it has work");
    assert_eq!(unknown.params().minimum_chain_work, ironlight_spv::parse_work("0").unwrap());
    assert!(unknown.basis().to_string().contains("minimum chain work not asked for"));

    let total = from_genesis.get(BlockHeight(20)).expect("held").work;
    let known = HeaderChain::from_start(params.clone(), bare(total)).expect("it has work");
    assert_eq!(known.params().minimum_chain_work, params.minimum_chain_work);
    assert!(!known.basis().to_string().contains("minimum chain work"));
}

#[test]
fn a_start_with_a_mistyped_height_blames_nobody() {
    let params = params(Network::Mainnet);
    let mut from_genesis = HeaderChain::new(params.clone());
    let mut miner = Miner::new(6);
    // Blocks come too fast, so that each retarget changes the target.
    while from_genesis.tip().height.0 < LENGTH {
        let time = from_genesis.tip_time().plus_seconds(100);
        let next = miner.extend(&from_genesis, time);
        accept(&mut from_genesis, &[next]);
    }
    let all: Vec<Header> = (21..=LENGTH).map(|height| header(&from_genesis, height)).collect();
    let work = from_genesis.get(BlockHeight(20)).expect("held").work;
    for wrong in [19, 21] {
        let start = TrustedStart::bare(BlockHeight(wrong), header(&from_genesis, 20), work);
        let chain = HeaderChain::from_start(params.clone(), start).expect("it has work");
        let Err(error) = chain.verify(&all, LATER) else { panic!("{wrong} went unnoticed") };
        assert_eq!(error.blame(), Blame::Local, "{error}");
        assert!(error.height <= Some(BlockHeight(PERIOD + 1)), "{error}");
    }
}
