//! Who is asked for what, and what is handed out when.

use alloc::vec::Vec;

use super::super::*;
use super::support::*;
use crate::filter::header_chain::FilterHeaderChain;
use crate::header::BlockHeight;

#[test]
fn headers_and_filters_of_a_single_peer_come_in_order() {
    let mut setup = Setup::new(Ledger::new(30, &[5]));
    setup.honest(ONE, 0);
    setup.settle(0);
    assert!(setup.seen.delivered.iter().copied().eq(0..=30));
    assert_eq!(setup.sync.headers().tip().unwrap().header, setup.ledger.truth.headers[30]);
    assert!(setup.is_synced());
    assert!(setup.seen.events.contains(&FilterEvent::Synced { height: BlockHeight(30), peers: 1 }));
}

#[test]
fn far_below_the_tip_ranges_come_from_all_that_have_the_same_checkpoints() {
    let mut setup = Setup::new(Ledger::new(9_200, &[]));
    setup.honest(ONE, 0);
    setup.honest(TWO, 0);
    let mut ranges = Vec::new();
    setup.settle_but(0, |peer, request| {
        if let FilterRequest::Headers { start, count, .. } = request {
            ranges.push((peer, start.0, *count));
        }
        false
    });
    assert!(setup.seen.delivered.iter().copied().eq(0..=9_200));
    let whole = ranges.iter().filter(|(_, _, count)| *count >= 999).map(|(_, start, _)| *start);
    let mut whole: Vec<_> = whole.collect();
    whole.sort_unstable();
    // From genesis to the second checkpoint would be one more than a message may ask for.
    assert_eq!(whole, [0, 1_001, 3_001, 5_001, 7_001], "{ranges:?}");
    assert!(ranges.iter().all(|(.., count)| *count <= 2_000), "{ranges:?}");
    let peers = ranges.iter().filter(|(_, _, count)| *count >= 999).map(|(peer, ..)| *peer);
    assert!(peers.clone().any(|peer| peer == ONE) && peers.into_iter().any(|peer| peer == TWO));
}

#[test]
fn a_peer_that_comes_when_all_is_done_is_asked_for_one_header() {
    let mut setup = Setup::new(Ledger::new(300, &[]));
    setup.honest(ONE, 0);
    setup.settle(0);
    setup.honest(TWO, 1);
    let mut asked = Vec::new();
    setup.settle_but(1, |peer, request| {
        asked.push((peer, *request));
        false
    });
    let stop = setup.ledger.hash(300);
    assert_eq!(asked, [(TWO, FilterRequest::Headers { start: BlockHeight(300), stop, count: 1 })]);
    let agrees = FilterStanding::Agrees { to: BlockHeight(300) };
    assert!(setup.sync.status().peers.iter().all(|peer| peer.standing == agrees));
}

#[test]
fn requests_grow_to_a_thousand_filters_while_answers_are_small_and_quick() {
    let mut setup = Setup::new(Ledger::new(6_000, &[]));
    setup.honest(ONE, 0);
    let mut counts = Vec::new();
    setup.settle_but(0, |_, request| {
        if let FilterRequest::Filters { count, .. } = request {
            counts.push(*count);
        }
        false
    });
    assert!(counts[0] <= 100, "{counts:?}");
    assert_eq!(counts.iter().max(), Some(&1000), "{counts:?}");
    assert!(counts.len() < 20, "{counts:?}");
    assert_eq!(counts.iter().sum::<u32>(), 6_001, "none is asked for twice: {counts:?}");
}

#[test]
fn silence_moves_a_request_to_another_peer_and_a_late_answer_still_counts() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    setup.honest(ONE, 0);
    setup.settle_but(0, |_, request| matches!(request, FilterRequest::Filters { .. }));
    let late = setup.seen.asked.remove(0);
    assert!(setup.seen.delivered.is_empty());
    setup.pass_time(20);
    assert!(setup.seen.asked.is_empty(), "a peer that is late is not asked again at once");
    // Nobody else is there: it is not too late.
    let (peer, id, request) = late;
    setup.answer(peer, id, &request, 25);
    setup.settle(25);
    assert!(setup.seen.delivered.iter().copied().eq(0..=30));

    let mut setup = Setup::new(Ledger::new(30, &[]));
    setup.honest(ONE, 0);
    setup.honest(TWO, 0);
    setup.settle_but(0, |peer, request| {
        peer == ONE && matches!(request, FilterRequest::Filters { .. })
    });
    setup.pass_time(20);
    setup.settle_but(20, |peer, _| peer == ONE);
    assert!(setup.seen.delivered.iter().copied().eq(0..=30));
    assert!(setup.seen.faults.is_empty(), "being late is no offence");
}

#[test]
fn what_a_late_answer_brought_is_not_fetched_again_when_its_second_request_fails() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    // Filters wait for their headers to be stored.
    setup.commits = false;
    setup.honest(ONE, 0);
    setup.honest(TWO, 0);
    let is_filters = |request: &FilterRequest| matches!(request, FilterRequest::Filters { .. });
    setup.settle_but(0, |_, request| is_filters(request));
    let (first, id, request) = setup.seen.asked.remove(0);
    setup.pass_time(20);
    setup.settle_but(20, |_, request| is_filters(request));
    let (second, second_id, again) = setup.seen.asked.remove(0);
    assert!(first != second && request == again, "{again:?}");
    setup.answer(first, id, &request, 21);
    setup.collect(21);
    let chain = &setup.ledger.chain;
    setup.sync.handle_unanswered(chain, second, second_id, FilterUnanswered::NoAnswer, at(22));
    setup.collect(22);
    assert!(setup.seen.asked.is_empty(), "{:?}", setup.seen.asked);
    setup.sync.handle_committed(&setup.ledger.chain, at(23));
    setup.collect(23);
    assert!(setup.seen.delivered.iter().copied().eq(0..=30));
}

#[test]
fn an_answer_that_breaks_off_is_used_as_far_as_it_goes() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    setup.honest(ONE, 0);
    setup.settle_but(0, |_, request| matches!(request, FilterRequest::Filters { .. }));
    let (peer, id, request) = setup.seen.asked.remove(0);
    let FilterAnswer::Filters(mut served) = setup.ledger.answer(&setup.ledger.truth, &request)
    else {
        panic!("{request:?}");
    };
    served.truncate(12);
    let chain = &setup.ledger.chain;
    setup.sync.handle_answer(chain, peer, id, FilterAnswer::Filters(served), at(1));
    setup.collect(1);
    assert!(setup.seen.delivered.iter().copied().eq(0..12));
    let starts = |(_, _, request): &(_, _, FilterRequest)| match request {
        FilterRequest::Filters { start, .. } => Some(start.0),
        FilterRequest::Checkpoints { .. }
        | FilterRequest::Headers { .. }
        | FilterRequest::Block { .. } => None,
    };
    assert_eq!(setup.seen.asked.iter().find_map(starts), Some(12));
}

#[test]
fn who_comes_long_after_the_last_block_has_the_same_time_to_tell_of_it() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    setup.stories.insert(ONE, setup.ledger.truth.clone());
    let traits = FilterPeerTraits::default();
    setup.sync.handle_connected(&setup.ledger.chain, ONE, traits, at(1_000));
    setup.settle(1_000);
    let delivered = |setup: &Setup| setup.seen.delivered.last().copied();
    assert_eq!(delivered(&setup), Some(0), "which branch it is on nobody knows");
    assert_eq!(setup.sync.poll_timeout(), Some(core::time::Duration::from_secs(1_030)));
    setup.pass_time(1_030);
    setup.settle(1_030);
    assert_eq!(delivered(&setup), Some(30));
}

#[test]
fn nothing_is_asked_about_a_block_that_a_peer_need_not_have() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    setup.honest(ONE, 0);
    setup.settle(0);
    setup.ledger.grow(1);
    setup.sync.handle_tip(&setup.ledger.chain, at(100));
    setup.stories.insert(ONE, setup.ledger.truth.clone());
    setup.settle(100);
    assert_eq!(setup.seen.delivered.last(), Some(&30));
    // It says that it has the block ...
    let hash = setup.ledger.hash(31);
    setup.sync.handle_peer_block(&setup.ledger.chain, ONE, hash, at(101));
    setup.settle(101);
    assert_eq!(setup.seen.delivered.last(), Some(&31));
    // ... or has had time enough to get it.
    setup.ledger.grow(1);
    setup.sync.handle_tip(&setup.ledger.chain, at(200));
    setup.stories.insert(ONE, setup.ledger.truth.clone());
    setup.settle(200);
    assert_eq!(setup.seen.delivered.last(), Some(&31));
    assert_eq!(setup.sync.poll_timeout(), Some(core::time::Duration::from_secs(230)));
    setup.pass_time(230);
    setup.settle(230);
    assert_eq!(setup.seen.delivered.last(), Some(&32));
    assert_eq!(setup.sync.poll_timeout(), None);
}

#[test]
fn no_more_is_handed_out_than_the_driver_keeps_up_with() {
    let config = FilterSyncConfig { max_unconsumed: 10, ..FilterSyncConfig::default() };
    let mut setup = Setup::with(Ledger::new(40, &[]), FilterHeaderChain::new(), config);
    setup.consumes = false;
    setup.honest(ONE, 0);
    setup.settle(0);
    assert_eq!(setup.seen.delivered.len(), 10);
    setup.sync.handle_consumed(&setup.ledger.chain, BlockHeight(4), at(1));
    setup.settle(1);
    assert_eq!(setup.seen.delivered.len(), 15);
}

#[test]
fn filters_wait_for_their_headers_to_be_stored() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    setup.commits = false;
    setup.honest(ONE, 0);
    setup.settle(0);
    assert!(setup.seen.delivered.is_empty());
    setup.sync.handle_committed(&setup.ledger.chain, at(1));
    setup.settle(1);
    assert_eq!(setup.seen.delivered.len(), 31);
}

#[test]
fn a_rescan_goes_back_and_does_not_fetch_what_is_cached() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    setup.honest(ONE, 0);
    setup.settle(0);
    let chain = &setup.ledger.chain;
    setup.sync.add_cached(chain, BlockHeight(10)..BlockHeight(25), at(1));
    setup.sync.want_from(chain, BlockHeight(8), at(1));
    setup.seen.delivered.clear();
    let mut fetched = Vec::new();
    setup.settle_but(1, |_, request| {
        if let FilterRequest::Filters { start, count, .. } = request {
            fetched.push((start.0, *count));
        }
        false
    });
    assert_eq!(fetched, [(8, 2), (25, 6)]);
    assert_eq!(setup.seen.cached, core::iter::once(10..25).collect::<Vec<_>>());
    assert_eq!(setup.seen.delivered, [8, 9, 25, 26, 27, 28, 29, 30]);
}

#[test]
fn peers_that_called_us_are_asked_for_filters_last() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    let called = FilterPeerTraits { called: true, ..FilterPeerTraits::default() };
    setup.connect_with(ONE, setup.ledger.truth.clone(), called, 0);
    setup.honest(TWO, 0);
    let mut asked = Vec::new();
    setup.settle_but(0, |peer, request| {
        // Both have been compared before filters are wanted.
        if matches!(request, FilterRequest::Filters { .. }) {
            asked.push(peer);
        }
        false
    });
    setup.sync.want_from(&setup.ledger.chain, BlockHeight(0), at(1));
    asked.clear();
    setup.settle_but(1, |peer, request| {
        if matches!(request, FilterRequest::Filters { .. }) {
            asked.push(peer);
        }
        false
    });
    assert_eq!(asked, [TWO]);
}
