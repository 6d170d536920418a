//! What is taken back.

use super::super::*;
use super::support::*;
use crate::filter::{FilterAnchor, FilterHeaderChain};
use crate::header::BlockHeight;

fn stored(ledger: &Ledger, story: &Story, count: usize) -> FilterHeaderChain {
    let headers = story.headers[..count].iter().copied();
    FilterHeaderChain::load(BlockHeight(0), headers, ledger.hash(count - 1), &ledger.chain).unwrap()
}

#[test]
fn a_reorg_takes_back_what_was_on_the_other_branch_and_blames_nobody() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    setup.honest(ONE, 0);
    setup.settle(0);
    setup.seen.delivered.clear();
    setup.ledger.fork(28, 5);
    setup.stories.insert(ONE, setup.ledger.truth.clone());
    setup.sync.handle_tip(&setup.ledger.chain, at(100));
    let tip = setup.ledger.hash(32);
    setup.sync.handle_peer_block(&setup.ledger.chain, ONE, tip, at(101));
    setup.settle(101);
    let revised = FilterEvent::Revised { from: BlockHeight(28), why: Revision::Reorg };
    assert!(setup.seen.events.contains(&revised), "{:?}", setup.seen.events);
    assert!(setup.seen.delivered.iter().copied().eq(28..=32));
    assert!(setup.seen.faults.is_empty());
    assert_eq!(setup.sync.headers().tip().unwrap().header, setup.ledger.truth.headers[32]);
}

#[test]
fn a_block_told_of_before_its_reorg_is_heard_of_counts_after_it() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    setup.honest(ONE, 0);
    setup.settle(0);
    setup.ledger.fork(28, 5);
    setup.stories.insert(ONE, setup.ledger.truth.clone());
    let tip = setup.ledger.hash(32);
    setup.sync.handle_peer_block(&setup.ledger.chain, ONE, tip, at(100));
    setup.sync.handle_tip(&setup.ledger.chain, at(100));
    setup.settle(100);
    assert_eq!(setup.seen.delivered.last(), Some(&32), "without waiting");
}

#[test]
fn filters_of_a_branch_that_the_driver_has_not_heard_of_are_no_lies() {
    let config = FilterSyncConfig { first_filters: 10, max_filters: 10, ..Default::default() };
    let mut setup = Setup::with(Ledger::new(60, &[]), FilterHeaderChain::new(), config);
    setup.honest(ONE, 0);
    setup.settle_but(0, |_, request| matches!(request, FilterRequest::Filters { .. }));
    assert!(!setup.seen.asked.is_empty() && setup.seen.delivered.is_empty());
    setup.ledger.fork(58, 5);
    setup.stories.insert(ONE, setup.ledger.truth.clone());
    // What is asked from here on is asked of the new branch, by the chain that is at hand.
    setup.settle(0);
    assert_eq!(setup.seen.faults, []);
    assert_eq!(setup.sync.status().headers.unwrap().0, 57, "the old branch is left");
    setup.sync.handle_tip(&setup.ledger.chain, at(1));
    setup.sync.handle_peer_block(&setup.ledger.chain, ONE, setup.ledger.hash(62), at(1));
    setup.settle(1);
    assert!(setup.seen.delivered.iter().copied().eq(0..=62), "{:?}", setup.seen.delivered);
    assert!(setup.is_synced());
}

#[test]
fn one_that_may_be_asked_about_any_block_and_comes_after_a_reorg_is_asked() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    setup.ledger.fork(28, 5);
    setup.sync.handle_tip(&setup.ledger.chain, at(100));
    let traits = FilterPeerTraits { height: BlockHeight(u32::MAX), called: false, relays: true };
    setup.stories.insert(ONE, setup.ledger.truth.clone());
    setup.sync.handle_connected(&setup.ledger.chain, ONE, traits, at(101));
    setup.settle(101);
    assert_eq!(setup.seen.delivered.last(), Some(&32), "without being told");
}

#[test]
fn one_that_may_be_asked_about_any_block_is_asked_after_a_reorg_too() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    let traits = FilterPeerTraits { height: BlockHeight(u32::MAX), called: false, relays: true };
    setup.stories.insert(ONE, setup.ledger.truth.clone());
    setup.sync.handle_connected(&setup.ledger.chain, ONE, traits, at(0));
    setup.settle(0);
    setup.ledger.fork(28, 5);
    setup.stories.insert(ONE, setup.ledger.truth.clone());
    setup.sync.handle_tip(&setup.ledger.chain, at(100));
    setup.settle(100);
    assert_eq!(setup.seen.delivered.last(), Some(&32), "without being told");
}

#[test]
fn a_stored_chain_goes_on_where_it_ended() {
    let ledger = Ledger::new(300, &[]);
    let filters = stored(&ledger, &ledger.truth, 200);
    let mut setup = Setup::with(ledger, filters, FilterSyncConfig::default());
    setup.honest(ONE, 0);
    setup.settle(0);
    assert_eq!(setup.seen.delivered.len(), 301);
    assert_eq!(setup.sync.headers().tip().unwrap().header, setup.ledger.truth.headers[300]);
}

#[test]
fn a_stored_chain_that_all_peers_contradict_is_fetched_again_from_where_it_is_wrong() {
    let ledger = Ledger::new(300, &[150]);
    let lie = ledger.omitting_spend(150);
    let filters = stored(&ledger, &lie, 200);
    let mut setup = Setup::with(ledger, filters, FilterSyncConfig::default());
    setup.honest(ONE, 0);
    setup.settle(0);
    assert!(setup.seen.faults.is_empty());
    assert_eq!(setup.sync.headers().tip().unwrap().header, setup.ledger.truth.headers[300]);
    assert_eq!(setup.sync.headers().get(BlockHeight(150)), Some(setup.ledger.truth.headers[150]));
}

#[test]
fn a_damaged_stored_header_heals_and_blames_nobody() {
    let ledger = Ledger::new(300, &[]);
    let mut damaged = ledger.truth.clone();
    damaged.headers[120] = damaged.headers[7];
    let filters = stored(&ledger, &damaged, 301);
    let mut setup = Setup::with(ledger, filters, FilterSyncConfig::default());
    setup.honest(ONE, 0);
    setup.honest(TWO, 0);
    setup.settle(0);
    assert!(setup.seen.faults.is_empty(), "{:?}", setup.seen.faults);
    assert_eq!(setup.seen.delivered.len(), 301);
    assert_eq!(setup.sync.headers().get(BlockHeight(120)), Some(setup.ledger.truth.headers[120]));
}

#[test]
fn a_chain_that_starts_at_a_checkpoint_takes_its_value_from_peers() {
    let ledger = Ledger::new(3_300, &[]);
    let filters = FilterHeaderChain::starting_at(BlockHeight(2_000)).unwrap();
    let mut setup = Setup::wanting(2_100, ledger, filters, FilterSyncConfig::default());
    setup.honest(ONE, 0);
    setup.honest(TWO, 0);
    setup.settle(0);
    assert!(setup.seen.delivered.iter().copied().eq(2_100..=3_300));
    let headers = setup.sync.headers();
    assert_eq!(headers.first_height(), BlockHeight(2_000));
    assert_eq!(headers.get(BlockHeight(2_000)), Some(setup.ledger.truth.headers[2_000]));
    assert!(setup.is_synced());
}

#[test]
fn a_false_anchor_is_moved_down_to_where_peers_agree_and_the_lie_is_found() {
    for liar_first in [true, false] {
        let ledger = Ledger::new(3_300, &[1_500, 2_500]);
        let filters = FilterHeaderChain::starting_at(BlockHeight(2_000)).unwrap();
        let mut setup = Setup::wanting(2_100, ledger, filters, FilterSyncConfig::default());
        let stories = [setup.ledger.omitting(1_500), setup.ledger.truth.clone()];
        let [first, second] = if liar_first { [0, 1] } else { [1, 0] };
        setup.connect(ONE, stories[first].clone(), 0);
        setup.settle(0);
        setup.connect(TWO, stories[second].clone(), 1);
        setup.settle(1);
        let headers = setup.sync.headers();
        assert_eq!(headers.first_height(), BlockHeight(1_000));
        assert_eq!(headers.get(BlockHeight(3_300)), Some(setup.ledger.truth.headers[3_300]));
        assert_eq!(setup.blamed(), [if liar_first { ONE } else { TWO }]);
        let mut delivered = setup.seen.delivered.clone();
        delivered.dedup();
        delivered.sort_unstable();
        delivered.dedup();
        assert!(delivered.into_iter().eq(2_100..=3_300));
        assert!(setup.is_synced());
    }
}

#[test]
fn a_stored_anchor_that_all_peers_contradict_is_replaced() {
    let ledger = Ledger::new(3_300, &[]);
    let anchor = FilterAnchor {
        height: BlockHeight(2_000),
        block_hash: ledger.hash(2_000),
        header: ledger.truth.headers[1],
    };
    let filters = FilterHeaderChain::anchored(anchor).unwrap();
    let mut setup = Setup::wanting(2_100, ledger, filters, FilterSyncConfig::default());
    setup.honest(ONE, 0);
    setup.settle(0);
    assert!(setup.seen.faults.is_empty());
    assert!(setup.seen.delivered.iter().copied().eq(2_100..=3_300));
}

#[test]
fn what_was_handed_out_is_taken_back_while_a_rescan_is_below_it() {
    let mut setup = Setup::new(Ledger::new(300, &[150]));
    let lie = setup.ledger.omitting(150);
    setup.connect(ONE, lie, 0);
    setup.settle(0);
    assert_eq!(setup.seen.delivered.last(), Some(&300));
    // A rescan that nobody reads stays at its beginning.
    setup.consumes = false;
    setup.sync.want_from(&setup.ledger.chain, BlockHeight(0), at(1));
    setup.honest(TWO, 2);
    setup.settle(2);
    let revised = FilterEvent::Revised { from: BlockHeight(150), why: Revision::Evidence };
    assert!(setup.seen.events.contains(&revised), "{:?}", setup.seen.events);
    assert_eq!(setup.blamed(), [ONE]);
}

#[test]
fn what_was_looked_at_before_a_restart_is_taken_back() {
    let ledger = Ledger::new(300, &[150]);
    let lie = ledger.omitting(150);
    let filters = stored(&ledger, &lie, 301);
    let mut setup = Setup::wanting(301, ledger, filters, FilterSyncConfig::default());
    setup.sync.resume_at(&setup.ledger.chain, BlockHeight(10), BlockHeight(301), at(0));
    setup.honest(ONE, 0);
    setup.settle(0);
    let is_revised = |event: &FilterEvent| matches!(event, FilterEvent::Revised { from, .. } if *from <= BlockHeight(150));
    assert!(setup.seen.events.iter().any(is_revised), "{:?}", setup.seen.events);
    assert!(setup.seen.delivered.contains(&150), "{:?}", setup.seen.delivered);
}

#[test]
fn a_rescan_from_below_the_anchor_moves_it_and_revises_nothing() {
    let ledger = Ledger::new(3_300, &[]);
    let filters = FilterHeaderChain::starting_at(BlockHeight(2_000)).unwrap();
    let config = FilterSyncConfig::default();
    let mut setup = Setup::wanting(2_100, ledger, filters, config);
    setup.honest(ONE, 0);
    setup.settle(0);
    setup.seen.delivered.clear();
    setup.sync.want_from(&setup.ledger.chain, BlockHeight(1_500), at(1));
    setup.settle(1);
    assert_eq!(setup.sync.headers().first_height(), BlockHeight(1_000));
    assert!(setup.seen.delivered.iter().copied().eq(1_500..=3_300));
    // All of them, where the checkpoints below are not known.
    setup.seen.delivered.clear();
    setup.sync.want_from(&setup.ledger.chain, BlockHeight(0), at(2));
    setup.settle(2);
    assert!(setup.seen.delivered.iter().copied().eq(0..=3_300));
    let revised = |event: &FilterEvent| matches!(event, FilterEvent::Revised { .. });
    assert!(!setup.seen.events.iter().any(revised), "{:?}", setup.seen.events);
    assert!(setup.seen.faults.is_empty() && setup.is_synced());
}
