//! Peers that differ.

use alloc::vec::Vec;

use super::super::*;
use super::support::*;
use crate::filter::{Filter, FilterKey};
use crate::header::BlockHeight;
use crate::peers::PeerId;

#[test]
fn a_lone_first_liar_is_contradicted_and_what_it_hid_is_handed_out_again() {
    let mut setup = Setup::new(Ledger::new(30, &[20]));
    let lie = setup.ledger.omitting(20);
    setup.connect(ONE, lie, 0);
    setup.settle(0);
    assert_eq!(setup.seen.delivered.len(), 31, "nobody says anything else yet");
    setup.seen.delivered.clear();
    setup.honest(TWO, 10);
    setup.settle(10);
    let block_hash = setup.ledger.hash(20);
    let (height, script) = (BlockHeight(20), script(20));
    let offence = FilterOffence::Omission { height, block_hash, script };
    assert_eq!(setup.seen.faults, [(ONE, offence)]);
    let revised = FilterEvent::Revised { from: height, why: Revision::Evidence };
    assert!(setup.seen.events.contains(&revised), "{:?}", setup.seen.events);
    assert!(setup.seen.delivered.iter().copied().eq(20..=30));
    assert_eq!(setup.sync.headers().tip().unwrap().header, setup.ledger.truth.headers[30]);
}

#[test]
fn a_liar_that_comes_later_is_found_out_and_nothing_is_handed_out_again() {
    let mut setup = Setup::new(Ledger::new(2_500, &[1_700]));
    setup.honest(ONE, 0);
    setup.settle(0);
    let lie = setup.ledger.omitting(1_700);
    setup.connect(TWO, lie, 10);
    setup.settle(10);
    assert_eq!(setup.blamed(), [TWO]);
    assert_eq!(setup.seen.delivered.len(), 2_501);
    assert_eq!(setup.sync.status().peers[1].standing, FilterStanding::Refused);
}

#[test]
fn three_liars_that_tell_the_same_do_not_outvote_one_honest_peer() {
    let mut setup = Setup::new(Ledger::new(30, &[20]));
    let lie = setup.ledger.omitting(20);
    for (number, peer) in [ONE, TWO, THREE].into_iter().enumerate() {
        setup.connect(peer, lie.clone(), number as u64);
    }
    setup.settle(5);
    setup.seen.delivered.clear();
    setup.honest(PeerId(4), 10);
    setup.settle(10);
    let mut blamed = setup.blamed();
    blamed.sort_unstable();
    assert_eq!(blamed, [ONE, TWO, THREE]);
    assert!(setup.seen.delivered.iter().copied().eq(20..=30));
}

#[test]
fn where_all_scripts_are_known_a_filter_with_too_many_is_a_lie_and_needs_not_be_fetched() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    setup.honest(ONE, 0);
    setup.settle(0);
    let more = filter_of(&setup.ledger.blocks[9], &[script(77)], None);
    let lie = setup.ledger.truth.with(9, more);
    setup.connect(TWO, lie, 1);
    setup.settle_but(1, |peer, request| {
        peer == TWO && matches!(request, FilterRequest::Filters { .. })
    });
    assert!(matches!(
        setup.seen.faults.as_slice(),
        [(TWO, FilterOffence::NotTheFilter { height: BlockHeight(9), .. })]
    ));
}

#[test]
fn what_nothing_decides_is_looked_through_whole_and_nobody_is_blamed() {
    for liar_first in [true, false] {
        let mut setup = Setup::new(Ledger::new(30, &[20]));
        let stories = [setup.ledger.omitting_spend(20), setup.ledger.truth.clone()];
        let [first, second] = if liar_first { [0, 1] } else { [1, 0] };
        setup.connect(ONE, stories[first].clone(), 0);
        setup.settle(0);
        setup.connect(TWO, stories[second].clone(), 1);
        setup.settle(1);
        assert_eq!(setup.seen.undecided, [20]);
        assert!(setup.seen.faults.is_empty());
        // Both go on, and are asked for what comes.
        setup.ledger.grow(1);
        let stories = [setup.ledger.omitting_spend(20), setup.ledger.truth.clone()];
        setup.stories.insert(ONE, stories[first].clone());
        setup.stories.insert(TWO, stories[second].clone());
        setup.sync.handle_tip(&setup.ledger.chain, at(100));
        setup.pass_time(130);
        setup.settle(130);
        assert_eq!(setup.seen.delivered.last(), Some(&31));
        let agrees = FilterStanding::Agrees { to: BlockHeight(31) };
        assert!(setup.sync.status().peers.iter().all(|peer| peer.standing == agrees));
        // Whoever looks through all again gets the block in the place of its filter.
        setup.seen.delivered.clear();
        setup.sync.want_from(&setup.ledger.chain, BlockHeight(19), at(131));
        setup.settle(131);
        assert_eq!(setup.seen.undecided, [20, 20]);
        assert_eq!(setup.seen.delivered[..2], [19, 21]);
    }
}

#[test]
fn a_filter_that_is_not_the_one_of_its_header_is_a_lie() {
    let mut setup = Setup::new(Ledger::new(30, &[20]));
    setup.honest(ONE, 0);
    setup.settle_but(0, |_, request| matches!(request, FilterRequest::Filters { .. }));
    setup.stories.insert(ONE, setup.ledger.omitting(20));
    let (peer, id, request) = setup.seen.asked.remove(0);
    setup.answer(peer, id, &request, 1);
    setup.collect(1);
    let block_hash = setup.ledger.hash(20);
    let offence = FilterOffence::WrongFilter { height: BlockHeight(20), block_hash };
    assert_eq!(setup.seen.faults, [(ONE, offence)]);
    assert!(setup.seen.delivered.iter().copied().eq(0..20), "what was right is used");
}

#[test]
fn an_answer_about_a_case_that_was_settled_meanwhile_puts_nobody_off() {
    let mut setup = Setup::new(Ledger::new(30, &[20]));
    setup.connect(ONE, setup.ledger.omitting(20), 0);
    setup.settle(0);
    // It serves what is true, under a header that is not.
    let truth = setup.ledger.truth.clone();
    let other = truth.with(20, filter_of(&setup.ledger.blocks[20], &[script(77)], None));
    setup.connect(TWO, Story { filters: truth.filters, ..other }, 1);
    // Its filter is slow to come: the case is settled without it, and its headers are asked for again.
    setup.settle_but(1, |peer, request| match request {
        FilterRequest::Filters { .. } => peer == TWO,
        FilterRequest::Headers { start, .. } => peer == TWO && *start == BlockHeight(20),
        FilterRequest::Checkpoints { .. } | FilterRequest::Block { .. } => false,
    });
    assert_eq!(setup.blamed(), [ONE]);
    assert_eq!(setup.seen.asked.len(), 2);
    setup.settle(1);
    assert_eq!(setup.blamed(), [ONE, TWO], "it was asked for filters at once");
    setup.honest(THREE, 1);
    setup.settle(1);
    assert!(setup.is_synced());
    assert_eq!(setup.sync.headers().tip().unwrap().header, setup.ledger.truth.headers[30]);
}

#[test]
fn a_peer_that_contradicts_itself_is_a_liar() {
    let mut setup = Setup::new(Ledger::new(30, &[20]));
    setup.honest(ONE, 0);
    setup.settle(0);
    setup.ledger.grow(1);
    let lie = setup.ledger.omitting(20);
    setup.stories.insert(ONE, lie);
    setup.sync.handle_tip(&setup.ledger.chain, at(100));
    setup.pass_time(130);
    setup.settle(130);
    let offence = FilterOffence::Contradiction { height: BlockHeight(30) };
    assert_eq!(setup.seen.faults, [(ONE, offence)]);
}

#[test]
fn a_claim_that_is_not_stood_by_is_dropped_without_blame() {
    // The liar comes first, and is silent when its filter is asked for.
    let mut setup = Setup::new(Ledger::new(30, &[20]));
    let lie = setup.ledger.omitting_spend(20);
    setup.connect(ONE, lie, 0);
    setup.settle(0);
    setup.honest(TWO, 1);
    let silent = |peer, request: &FilterRequest| {
        peer == ONE && matches!(request, FilterRequest::Filters { count: 1, .. })
    };
    setup.seen.delivered.clear();
    setup.settle_but(1, silent);
    setup.pass_time(21);
    setup.settle_but(21, silent);
    assert!(setup.seen.faults.is_empty());
    assert!(setup.seen.undecided.is_empty());
    assert!(setup.seen.delivered.iter().copied().eq(20..=30));
    assert_eq!(setup.sync.headers().tip().unwrap().header, setup.ledger.truth.headers[30]);
}

#[test]
fn a_relay_is_not_blamed_for_what_it_was_told() {
    let mut setup = Setup::new(Ledger::new(30, &[20]));
    let relays = FilterPeerTraits { relays: true, ..FilterPeerTraits::default() };
    let lie = setup.ledger.omitting(20);
    setup.connect_with(ONE, lie, relays, 0);
    setup.settle(0);
    setup.honest(TWO, 1);
    setup.settle(1);
    assert!(setup.seen.faults.is_empty());
    assert_eq!(setup.sync.headers().tip().unwrap().header, setup.ledger.truth.headers[30]);
}

#[test]
fn a_block_with_other_transactions_is_no_evidence_and_is_asked_of_another() {
    let mut setup = Setup::new(Ledger::new(30, &[20]));
    setup.honest(ONE, 0);
    setup.settle(0);
    let lie = setup.ledger.omitting(20);
    setup.connect(TWO, lie, 1);
    let mut blocks = Vec::new();
    for _ in 0..20 {
        setup.collect(1);
        if setup.seen.asked.is_empty() {
            break;
        }
        let (peer, id, request) = setup.seen.asked.remove(0);
        if matches!(request, FilterRequest::Block { .. }) {
            blocks.push(peer);
            if blocks.len() == 1 {
                let mut block = setup.ledger.blocks[20].clone();
                block.txdata.pop();
                let answer = FilterAnswer::Block(alloc::boxed::Box::new(block));
                setup.sync.handle_answer(&setup.ledger.chain, peer, id, answer, at(1));
                continue;
            }
        }
        setup.answer(peer, id, &request, 1);
    }
    assert_eq!(blocks.len(), 2);
    assert_ne!(blocks[0], blocks[1]);
    assert_eq!(setup.blamed(), [TWO]);
}

#[test]
fn what_is_in_doubt_is_not_handed_out_while_it_is_being_judged() {
    let mut setup = Setup::new(Ledger::new(30, &[20]));
    setup.commits = false;
    let lie = setup.ledger.omitting(20);
    setup.connect(ONE, lie, 0);
    setup.settle(0);
    setup.honest(TWO, 0);
    setup.commits = true;
    let silent = |_, request: &FilterRequest| matches!(request, FilterRequest::Block { .. });
    setup.settle_but(0, silent);
    setup.sync.handle_committed(&setup.ledger.chain, at(0));
    setup.settle_but(0, silent);
    assert!(setup.seen.delivered.iter().copied().eq(0..20));
    // But nobody can hold it up for long.
    setup.seen.asked.clear();
    setup.pass_time(20);
    setup.settle_but(20, silent);
    setup.pass_time(40);
    setup.settle_but(40, silent);
    assert!(setup.seen.delivered.len() + setup.seen.undecided.len() >= 31);
}

#[test]
fn headers_that_commit_to_what_is_no_filter_are_a_lie_even_if_nobody_differs() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    let lie = setup.ledger.truth.with(9, [0xff; 9].into());
    setup.connect(ONE, lie, 0);
    setup.settle(0);
    assert!(matches!(
        setup.seen.faults.as_slice(),
        [(ONE, FilterOffence::Malformed { height: BlockHeight(9), .. })]
    ));
    assert!(setup.seen.delivered.iter().copied().eq(0..9));
    setup.honest(TWO, 1);
    setup.settle(1);
    assert!(setup.seen.delivered.iter().copied().eq(0..=30));
}

#[test]
fn a_filter_whose_bits_make_no_sense_refutes_its_header_when_it_is_read() {
    let mut setup = Setup::new(Ledger::new(30, &[]));
    // Its size fits three elements, whose quotients never end.
    let mut bytes = alloc::vec![0xff; 9];
    bytes[0] = 3;
    let lie = setup.ledger.truth.with(9, bytes.clone());
    setup.connect(ONE, lie, 0);
    setup.settle(0);
    assert_eq!(setup.seen.delivered.len(), 31);
    let key = FilterKey::new(setup.ledger.hash(9));
    let sound = Filter::decode(key, setup.ledger.truth.filters[9].clone()).unwrap();
    let broken = Filter::decode(key, bytes).unwrap();
    // One that is damaged in a cache is nobody's fault.
    let other = Filter::decode(FilterKey::new(setup.ledger.hash(8)), [3; 9].into()).unwrap();
    for filter in [&sound, &other] {
        setup.sync.handle_broken(&setup.ledger.chain, BlockHeight(9), filter, at(1));
        setup.collect(1);
        assert!(setup.seen.faults.is_empty());
    }
    setup.sync.handle_broken(&setup.ledger.chain, BlockHeight(9), &broken, at(1));
    setup.collect(1);
    assert_eq!(setup.blamed(), [ONE]);
    let revised = FilterEvent::Revised { from: BlockHeight(9), why: Revision::Evidence };
    assert!(setup.seen.events.contains(&revised));
}

#[test]
fn a_peer_on_another_side_is_not_asked_for_all_its_headers_after_each_dispute() {
    let hidden: Vec<_> = (100..160).collect();
    let mut setup = Setup::new(Ledger::new(1_500, &hidden));
    let mut lie = setup.ledger.truth.clone();
    for height in hidden {
        lie = lie.with(
            height as usize,
            setup.ledger.omitting_spend(height).filters[height as usize].clone(),
        );
    }
    setup.connect(ONE, lie, 0);
    setup.settle(0);
    setup.honest(TWO, 1);
    let (mut asked, mut most) = (0, 0);
    setup.settle_but(1, |peer, request| {
        if let (TWO, FilterRequest::Headers { count, .. }) = (peer, request) {
            asked += count;
            most = most.max(*count);
        }
        false
    });
    assert_eq!(setup.seen.undecided, (100..160).collect::<Vec<_>>());
    assert!(setup.seen.faults.is_empty() && setup.is_synced());
    assert!(most >= 400 && asked < 5_000, "{asked} in messages of up to {most}");
}
