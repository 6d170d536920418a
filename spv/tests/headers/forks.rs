//! Side branches: which one wins, what a reorg reports, and what is given up when there are many.

use ironlight_spv::chain::{MAX_FORK_HEADERS, Position};
use ironlight_spv::generate::Miner;
use ironlight_spv::{BlockHeight, Header, HeaderChain, Network, TipChange};

use crate::support::{LATER, accept, bits, branch, chain_of, child, easy, mined, regtest};

/// A regtest chain with a best branch of so many headers, and those headers.
fn with_best(length: usize) -> (HeaderChain, Vec<Header>) {
    let mut chain = regtest();
    let best = branch(&chain.start().header, length, 1);
    accept(&mut chain, &best);
    (chain, best)
}

#[track_caller]
fn assert_reorg(change: &TipChange, fork: &Header, disconnected: &[Header], connected: &[Header]) {
    let TipChange::Reorg { fork_point, disconnected: off, connected: on } = change else {
        panic!("no reorg: {change:?}");
    };
    assert_eq!(fork_point.hash, fork.hash());
    assert_eq!(off.headers(), disconnected);
    assert_eq!(on.headers(), connected);
    assert_eq!(off.first_height(), fork_point.height.next());
    assert_eq!(on.first_height(), fork_point.height.next());
    for run in [off, on] {
        for (height, hash, header) in run.iter() {
            assert_eq!(hash, header.hash());
            assert!(height > fork_point.height);
        }
    }
}

#[track_caller]
fn assert_position(chain: &HeaderChain, headers: &[Header], position: Position) {
    for header in headers {
        let (entry, found) = chain.find(&header.hash()).expect("known");
        assert_eq!((entry.header, found), (*header, position));
        let parent = chain.find(&header.prev_hash()).expect("its parent is known").0;
        assert_eq!(entry.height, parent.height.next());
    }
}

#[test]
fn a_fork_with_less_work_or_as_much_does_not_move_the_tip() {
    for length in [1, 4, 5] {
        let (mut chain, best) = with_best(10);
        let side = branch(&best[4], length, 2);
        let verified = chain.verify(&side, LATER).expect("right");
        assert_eq!(*verified.change(), TipChange::Unchanged);
        assert_eq!(verified.side_branch().headers(), side);
        assert_eq!(verified.side_branch().first_height(), BlockHeight(6));
        chain.apply(verified).expect("fresh");
        assert_eq!(chain.tip().hash, best[9].hash());
        assert_eq!(chain.side_headers(), length);
        assert_position(&chain, &side, Position::Side);
        assert_position(&chain, &best, Position::Best);
    }
}

#[test]
fn a_fork_with_more_work_takes_over_and_both_branches_are_reported() {
    let (mut chain, best) = with_best(10);
    let side = branch(&best[4], 6, 2);
    let planned = chain.verify(&side, LATER).expect("right").change().clone();
    let change = accept(&mut chain, &side);
    assert_eq!(change, planned);
    assert_reorg(&change, &best[4], &best[5..], &side);
    assert_eq!((chain.tip().hash, chain.tip().height), (side[5].hash(), BlockHeight(11)));
    assert_position(&chain, &best[5..], Position::Side);
    assert_position(&chain, &side, Position::Best);
}

#[test]
fn a_fork_that_comes_header_by_header_takes_over_with_its_last_one() {
    let (mut chain, best) = with_best(10);
    let side = branch(&best[4], 6, 2);
    for header in &side[..5] {
        assert_eq!(accept(&mut chain, &[*header]), TipChange::Unchanged);
    }
    let change = accept(&mut chain, &side[5..]);
    assert_reorg(&change, &best[4], &best[5..], &side);
    assert_eq!(chain.side_headers(), 5);
}

#[test]
fn the_tip_moves_back_and_forth_as_branches_overtake_each_other() {
    let (mut chain, best) = with_best(3);
    let mut branches = [best[1..].to_vec(), branch(&best[0], 2, 2)];
    accept(&mut chain, &branches[1]);
    for round in 0..20 {
        let (leading, behind) = (round % 2, 1 - round % 2);
        let more = branch(branches[behind].last().unwrap(), 1 + usize::from(round > 0), 7);
        branches[behind].extend(&more);
        let change = accept(&mut chain, &more);
        assert_reorg(&change, &best[0], &branches[leading], &branches[behind]);
        assert_position(&chain, &branches[leading], Position::Side);
        assert_position(&chain, &branches[behind], Position::Best);
        assert_eq!(chain.side_headers(), branches[leading].len());
    }
}

#[test]
fn work_decides_not_length() {
    let mut params = easy(Network::Mainnet);
    params.period = 4;
    params.timespan = 4 * 600;
    // Slow blocks keep the limit; quick ones are followed by a target a quarter as large.
    let slow = Miner::new(1).run(&params.genesis, 6, 800);
    let mut quick = Miner::new(2).run(&params.genesis, 3, 1);
    let mut body = child(&quick[2], 3);
    body.bits = bits(0x201f_ffff);
    quick.push(mined(body, &quick[2]));
    let mut chain = chain_of(params, &slow);
    // Three easy headers and one four times as hard, against six easy ones.
    let change = accept(&mut chain, &quick);
    assert_reorg(&change, &chain.start().header.clone(), &slow, &quick);
    assert_eq!(chain.tip().height, BlockHeight(4));
}

#[test]
fn a_fork_off_a_fork_takes_over_through_both() {
    let (mut chain, best) = with_best(10);
    let side = branch(&best[2], 5, 2);
    let twig = branch(&side[1], 6, 3);
    accept(&mut chain, &side);
    let change = accept(&mut chain, &twig);
    let whole = [&side[..2], &twig[..]].concat();
    assert_reorg(&change, &best[2], &best[3..], &whole);
    assert_position(&chain, &side[2..], Position::Side);
    assert_position(&chain, &whole, Position::Best);
    assert_eq!(chain.side_headers(), 3 + 7);
}

#[test]
fn branches_that_hang_off_a_disconnected_one_stay_and_can_win() {
    let (mut chain, best) = with_best(10);
    let hanging = branch(&best[7], 2, 2);
    let winner = branch(&best[3], 8, 3);
    accept(&mut chain, &hanging);
    accept(&mut chain, &winner);
    assert_position(&chain, &hanging, Position::Side);
    assert_position(&chain, &best[4..], Position::Side);

    let more = branch(&hanging[1], 3, 4);
    let change = accept(&mut chain, &more);

    let whole = [&best[4..8], &hanging[..], &more[..]].concat();
    assert_reorg(&change, &best[3], &winner, &whole);
    assert_position(&chain, &best[8..], Position::Side);
    assert_position(&chain, &winner, Position::Side);
}

#[test]
fn known_headers_of_a_side_branch_before_new_ones_are_passed_over() {
    let (mut chain, best) = with_best(10);
    let side = branch(&best[4], 8, 2);
    accept(&mut chain, &side[..3]);
    // As a peer sends it: from the fork point on, or from before it.
    let sent = [&best[2..5], &side[..]].concat();
    let change = accept(&mut chain, &sent);
    assert_reorg(&change, &best[4], &best[5..], &side);
}

#[test]
fn a_reorg_down_to_genesis_is_as_good_as_any() {
    let (mut chain, best) = with_best(2_100);
    let genesis = chain.start().header;
    let other = branch(&genesis, 2_101, 2);
    let change = accept(&mut chain, &other);
    assert_reorg(&change, &genesis, &best, &other);
    for height in [1, 2_015, 2_016, 2_017, 2_101] {
        let header = chain.get(BlockHeight(height)).expect("held").header;
        assert_eq!(header, other[usize::try_from(height).unwrap() - 1]);
    }
    assert_position(&chain, &other, Position::Best);
    assert_position(&chain, &best, Position::Side);
    // Back again.
    let more = branch(&best[2_099], 2, 3);
    let change = accept(&mut chain, &more);
    assert_reorg(&change, &genesis, &other, &[&best[..], &more[..]].concat());
}

#[test]
fn every_lookup_stays_exact_through_deep_reorgs_of_a_long_chain() {
    let (mut chain, mut best) = with_best(3_000);
    let mut miner = Miner::new(6);
    for round in 0..8 {
        let depth = 1 + usize::try_from(miner.random() % 1_500).unwrap();
        let fork = best.len() - depth;
        let side = branch(&best[fork - 1], depth + 1, 10 + round);
        let off = best.split_off(fork);
        assert_reorg(&accept(&mut chain, &side), &best[fork - 1], &off, &side);
        best.extend(&side);
        assert_position(&chain, &best, Position::Best);
        assert_position(&chain, &off, Position::Side);
    }
}

#[test]
fn side_branches_are_bounded_and_the_least_work_goes_first() {
    let length = MAX_FORK_HEADERS + 200;
    let (mut chain, best) = with_best(length);
    // The lower it forks off, the less total work a branch of the same length has.
    let low = branch(&best[0], 10, 2);
    let high = branch(&best[5_000], 10, 3);
    accept(&mut chain, &high);
    accept(&mut chain, &low);
    let filler = branch(&best[100], MAX_FORK_HEADERS - 20, 4);
    for part in filler.chunks(2_000) {
        accept(&mut chain, part);
    }
    assert_eq!((chain.side_headers(), chain.evicted()), (MAX_FORK_HEADERS, 0));

    accept(&mut chain, &branch(&best[6_000], 4, 5));

    assert_eq!((chain.side_headers(), chain.evicted()), (MAX_FORK_HEADERS, 4));
    assert_position(&chain, &low[..6], Position::Side);
    assert_eq!(chain.find(&low[6].hash()), None, "evicted from its end");
    assert_eq!(chain.find(&low[9].hash()), None);
    assert_position(&chain, &high, Position::Side);
    assert_position(&chain, &filler, Position::Side);
    assert_eq!(chain.tip().hash, best[length - 1].hash());

    // What was evicted can come back.
    accept(&mut chain, &low);
    assert!(chain.evicted() > 4);
}

#[test]
fn a_pinned_branch_is_not_evicted_until_it_is_unpinned() {
    let length = MAX_FORK_HEADERS + 200;
    let (mut chain, best) = with_best(length);
    let pinned = branch(&best[0], 5, 2);
    accept(&mut chain, &pinned);
    chain.pin(pinned[4].hash());
    let filler = branch(&best[100], MAX_FORK_HEADERS, 4);
    for part in filler.chunks(2_000) {
        accept(&mut chain, part);
    }
    assert_eq!((chain.side_headers(), chain.evicted()), (MAX_FORK_HEADERS, 5));
    assert_position(&chain, &pinned, Position::Side);
    assert_eq!(chain.find(&filler[MAX_FORK_HEADERS - 1].hash()), None);

    chain.unpin(&pinned[4].hash());
    accept(&mut chain, &branch(&best[6_000], 5, 5));
    assert_eq!(chain.find(&pinned[0].hash()), None);
}

#[test]
fn a_child_of_an_evicted_header_has_no_known_parent() {
    let length = MAX_FORK_HEADERS + 200;
    let (mut chain, best) = with_best(length);
    let side = branch(&best[0], 2, 2);
    accept(&mut chain, &side);
    for part in branch(&best[100], MAX_FORK_HEADERS, 4).chunks(2_000) {
        accept(&mut chain, part);
    }
    let error = chain.verify(&branch(&side[1], 1, 6), LATER).expect_err("evicted");
    assert_eq!(error.violation.rule(), "unknown-parent");
}

#[test]
fn a_branch_that_wins_while_the_bound_is_full_leaves_the_bound_held() {
    let length = MAX_FORK_HEADERS + 200;
    let (mut chain, best) = with_best(length);
    let rival = branch(&best[5], length, 2);
    for part in rival.chunks(2_000) {
        accept(&mut chain, part);
    }
    assert_eq!(chain.tip().hash, rival[length - 1].hash());
    assert_eq!(chain.tip().height, BlockHeight(u32::try_from(length + 6).unwrap()));
    assert!(chain.side_headers() <= MAX_FORK_HEADERS);
    assert_position(&chain, &rival, Position::Best);
}
