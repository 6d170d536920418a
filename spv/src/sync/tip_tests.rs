use alloc::vec::Vec;

use super::*;
use crate::generate::Miner;
use crate::params::{Network, Params};

/// Later than all headers here.
const NOW: UnixTime = UnixTime(1_750_000_000);

fn chain(count: usize) -> (HeaderChain, Vec<Header>) {
    let params = Params::new(Network::Regtest);
    let headers = Miner::new(1).run(&params.genesis, count, 60);
    let mut chain = HeaderChain::new(params);
    let batch = chain.verify(&headers, NOW).unwrap();
    chain.apply(batch).unwrap();
    (chain, headers)
}

#[test]
fn tips_are_judged_by_our_own_rules() {
    let (chain, headers) = chain(100);
    let judged = |header: &Header| judge_tip(&chain, header, true, NOW);
    let mut miner = Miner::new(3);
    let next = miner.run(&headers[99], 2, 60);
    assert_eq!(judged(&next[0]), TipVerdict::New);
    assert_eq!(judged(&next[1]), TipVerdict::Unconnected);
    assert_eq!(judged(&headers[99]), TipVerdict::Current);
    assert_eq!(judged(&headers[50]), TipVerdict::Old);
    let stale = miner.run(&headers[98], 1, 61)[0];
    assert_eq!(judged(&stale), TipVerdict::Old, "no more work than our tip");
    let behind = UnixTime(next[0].time().0 - 3 * 60 * 60);
    let early = judge_tip(&chain, &next[0], true, behind);
    assert_eq!(early, TipVerdict::Undecided, "its time is ahead of our clock");
}

#[test]
fn a_header_that_breaks_a_rule_is_invalid_wherever_it_connects() {
    let (chain, headers) = chain(100);
    let mut without_work = *Miner::new(3).run(&headers[99], 1, 60)[0].as_bytes();
    without_work[72..76].copy_from_slice(&0x1800_ffff_u32.to_le_bytes());
    for (bytes, synced) in [(without_work, true), (without_work, false)] {
        let verdict = judge_tip(&chain, &Header::from_bytes(bytes), synced, NOW);
        assert!(matches!(verdict, TipVerdict::Invalid(_)), "{verdict:?}");
    }
}

#[test]
fn while_we_catch_up_nothing_is_called_new() {
    let (chain, headers) = chain(100);
    let next = Miner::new(3).run(&headers[99], 1, 60)[0];
    assert_eq!(judge_tip(&chain, &next, false, NOW), TipVerdict::Unconnected);
}
