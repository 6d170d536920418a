use super::*;
use crate::wallet::testing::{Bench, Dice, GOOD, NETWORK, TPUB, TestChain, foreign, pay, script};
use crate::wallet::watch::{
    GapLimit, MAX_SCRIPTS, WatchChange, WatchError, WatchId, WatchRequest, WatchTarget, Watched,
};
use crate::wallet::{AccountName, RangeLimit};

fn target(number: u8) -> WatchTarget {
    WatchTarget::script(script(number)).unwrap()
}

fn ranged(path: &str) -> WatchTarget {
    WatchTarget::descriptor(&format!("wpkh({TPUB}/{path})"), NETWORK).unwrap()
}

fn request(target: &WatchTarget, birthday: u32, gap: u32) -> WatchRequest {
    let request = WatchRequest::new(target.clone(), BlockHeight(birthday));
    WatchRequest { gap_limit: GapLimit::new(gap).unwrap(), ..request }
}

fn watch(bench: &mut Bench, request: WatchRequest) -> Watched {
    let planned = bench.wallet.plan_watch(request).unwrap();
    bench.commit(planned)
}

/// The script of an index.
fn at(target: &WatchTarget, index: u32) -> ScriptBuf {
    target.derive(0, index, index + 1).unwrap().remove(0)
}

fn heights(range: &ScanRange) -> (u32, u32) {
    (range.from.0, range.to.0)
}

fn done(bench: &mut Bench, chain: &TestChain, range: &ScanRange, up_to: usize) {
    let planned = bench.wallet.plan_scanned(range, chain.at(up_to)).unwrap();
    bench.commit(planned);
}

#[test]
fn new_blocks_come_first_then_birthdays_which_join_where_they_meet() {
    let mut chain = TestChain::new(11);
    let mut bench = Bench::new(chain.tip());
    for (number, birthday) in [(1, 7), (2, 3), (3, 3), (4, 50)] {
        watch(&mut bench, request(&target(number), birthday, 1));
    }
    chain.mine(&script(0), Vec::new());
    let range = bench.wallet.next_range(BlockHeight(11)).unwrap();
    assert_eq!((range.kind, heights(&range), range.scripts.len()), (ScanKind::Tip, (11, 11), 4));
    done(&mut bench, &chain, &range, 11);
    let range = bench.wallet.next_range(BlockHeight(11)).unwrap();
    assert_eq!((range.kind, heights(&range)), (ScanKind::CatchUp, (3, 6)));
    assert_eq!(range.scripts, [script(2), script(3)]);
    done(&mut bench, &chain, &range, 5);
    // Half of it is on disk.
    bench.reload();
    let range = bench.wallet.next_range(BlockHeight(11)).unwrap();
    assert_eq!(heights(&range), (6, 6));
    done(&mut bench, &chain, &range, 6);
    let range = bench.wallet.next_range(BlockHeight(11)).unwrap();
    assert_eq!(heights(&range), (7, 11));
    assert_eq!(range.scripts, [script(1), script(2), script(3)]);
    done(&mut bench, &chain, &range, 11);
    assert_eq!(bench.wallet.next_range(BlockHeight(11)), None);
    assert_eq!(bench.wallet.jobs().count(), 0);
}

#[test]
fn a_job_follows_the_tip_so_that_it_sees_the_spend_of_what_it_finds() {
    let mut chain = TestChain::new(5);
    let paid = pay(&[foreign(1)], &[(script(1), 700)]);
    let coin = bitcoin::OutPoint { txid: paid.compute_txid(), vout: 0 };
    chain.mine(&script(0), vec![paid]);
    chain.mine(&script(0), Vec::new());
    let mut bench = Bench::new(chain.tip());
    watch(&mut bench, request(&target(1), 0, 1));
    // The spend is in a block that is scanned before the coin is known.
    chain.mine(&script(0), vec![pay(&[coin], &[(script(9), 600)])]);
    let range = bench.wallet.next_range(chain.tip().height).unwrap();
    assert_eq!(range.kind, ScanKind::Tip);
    bench.block(&chain, &range, 7);
    assert_eq!(bench.wallet.history(None, None, 9).entries, []);
    bench.sync(&chain, GOOD, &mut Dice(1));
    let history = bench.wallet.history(None, None, 9).entries;
    let nets: Vec<i64> = history.iter().map(|entry| entry.net().to_sat()).collect();
    assert_eq!(nets, [-700, 700]);
    assert_eq!(history[0].fee.map(bitcoin::Amount::to_sat), Some(100));
    assert_eq!(bench.wallet.utxos(None), []);
}

#[test]
fn a_range_of_before_a_reorg_or_new_scripts_is_refused() {
    let mut chain = TestChain::new(6);
    let mut bench = Bench::new(chain.tip());
    watch(&mut bench, request(&target(1), 2, 1));
    let range = bench.wallet.next_range(chain.tip().height).unwrap();
    let planned = bench.wallet.plan_disconnect(chain.at(4)).unwrap();
    bench.commit(planned);
    let refused = |bench: &Bench, range: &ScanRange, to: usize| {
        bench.wallet.plan_scanned(range, chain.at(to)).unwrap_err()
    };
    assert_eq!(refused(&bench, &range, 5), PlanError::StaleRange);
    let range = bench.wallet.next_range(chain.tip().height).unwrap();
    assert_eq!(heights(&range), (5, 5));
    watch(&mut bench, request(&target(2), 2, 1));
    assert_eq!(refused(&bench, &range, 5), PlanError::StaleRange);
    let range = bench.wallet.next_range(chain.tip().height).unwrap();
    let outside = PlanError::OutsideRange {
        height: BlockHeight(4),
        from: BlockHeight(5),
        to: BlockHeight(5),
    };
    assert_eq!(refused(&bench, &range, 4), outside);
    done(&mut bench, &chain, &range, 5);
    chain.mine(&script(0), Vec::new());
}

#[test]
fn a_range_of_before_a_rescan_does_not_move_it_on() {
    let chain = TestChain::new(12);
    let mut bench = Bench::new(chain.tip());
    watch(&mut bench, request(&target(1), 5, 1));
    let range = bench.wallet.next_range(chain.tip().height).unwrap();
    done(&mut bench, &chain, &range, 7);
    let planned = bench.wallet.plan_rescan(None, BlockHeight(5)).unwrap();
    bench.commit(planned);
    let refused = bench.wallet.plan_scanned(&range, chain.at(11)).unwrap_err();
    assert_eq!(refused, PlanError::StaleRange);
    let again = bench.wallet.next_range(chain.tip().height).unwrap();
    assert_eq!(heights(&again), (5, 11));
}

#[test]
fn looking_again_moves_no_birthday() {
    let chain = TestChain::new(12);
    let mut bench = Bench::new(chain.tip());
    let early = watch(&mut bench, request(&target(1), 2, 1)).id;
    let late = watch(&mut bench, request(&target(2), 8, 1)).id;
    bench.sync(&chain, GOOD, &mut Dice(1));
    let planned = bench.wallet.plan_recheck(BlockHeight(5));
    bench.commit(planned);
    let nexts: Vec<_> = bench.wallet.jobs().map(|(key, job)| (key.watch, job.next.0)).collect();
    assert_eq!(nexts, [(early, 5), (late, 8)]);
    assert_eq!(bench.wallet.earliest_birthday(), Some(BlockHeight(2)));
    let planned = bench.wallet.plan_rescan(Some(late), BlockHeight(1)).unwrap();
    bench.commit(planned);
    assert_eq!(bench.wallet.earliest_birthday(), Some(BlockHeight(1)));
}

#[test]
fn of_two_coinbases_with_one_id_the_later_one_counts() {
    let mut chain = TestChain::new(3);
    chain.mine(&script(1), Vec::new());
    chain.mine(&script(0), Vec::new());
    chain.mine(&script(1), Vec::new());
    chain.blocks[5].txdata[0] = chain.blocks[3].txdata[0].clone();
    let mut bench = Bench::new(chain.tip());
    watch(&mut bench, request(&target(1), 0, 1));
    bench.sync(&chain, GOOD, &mut Dice(1));
    for _ in 0..2 {
        assert_eq!(bench.wallet.balance(None).immature.to_sat(), 50);
        let history = bench.wallet.history(None, None, 9).entries;
        assert_eq!(history.iter().map(|entry| entry.place.height.0).collect::<Vec<_>>(), [5]);
        bench.reload();
        // The earlier one again, after the later one.
        let planned = bench.wallet.plan_rescan(None, BlockHeight(0)).unwrap();
        bench.commit(planned);
        bench.sync(&chain, GOOD, &mut Dice(1));
    }
}

#[test]
fn a_block_of_another_branch_is_refused() {
    let mut chain = TestChain::new(4);
    let mut bench = Bench::new(chain.tip());
    watch(&mut bench, request(&target(1), 0, 1));
    let known = chain.tip().hash;
    chain.take_off(1);
    chain.mine(&script(1), Vec::new());
    chain.mine(&script(1), Vec::new());
    let range = bench.wallet.next_range(chain.tip().height).unwrap();
    let block = |height: usize, hash| BlockAt {
        height: chain.at(height).height,
        hash,
        block: &chain.blocks[height],
        prove: &|_| Vec::new(),
    };
    let refused = bench.wallet.plan_block(&range, &block(4, chain.at(4).hash)).unwrap_err();
    assert_eq!(refused, PlanError::OtherBranch { height: BlockHeight(4), known });
    let refused = bench.wallet.plan_block(&range, &block(4, known)).unwrap_err();
    assert!(matches!(refused, PlanError::OtherBlock { height: BlockHeight(4), .. }));
    let fork = bench.wallet.fork_point(|height| chain.hash_at(height));
    assert_eq!(fork, crate::wallet::ForkPoint::Unknown);
}

#[test]
fn a_wallet_without_a_tip_scans_nothing() {
    let wallet = Wallet::new(NETWORK);
    assert_eq!(wallet.next_range(BlockHeight(9)), None);
    let chain = TestChain::new(3);
    assert_eq!(wallet.plan_disconnect(chain.tip()).unwrap_err(), PlanError::NotBegun);
    let mut bench = Bench::new(chain.at(0));
    // With nothing watched the tip moves on without blocks.
    let planned = bench.wallet.plan_begin(chain.at(2)).unwrap();
    bench.commit(planned);
    watch(&mut bench, request(&target(1), 0, 1));
    let refused = bench.wallet.plan_begin(chain.at(2)).unwrap_err();
    assert_eq!(refused, PlanError::Begun { tip: BlockHeight(2) });
}

#[test]
fn the_gap_is_kept_behind_the_last_used_script_even_within_one_block() {
    let target = ranged("<0;1>/*");
    let mut chain = TestChain::new(3);
    let mut bench = Bench::new(chain.tip());
    let added = watch(&mut bench, request(&target, 0, 5));
    assert_eq!((added.added_scripts, added.scan_from), (10, Some(BlockHeight(0))));
    // Each use brings the next one into reach.
    let uses = [4, 9, 14].map(|index| (at(&target, index), 10));
    chain.mine(&script(0), vec![pay(&[foreign(1)], &uses)]);
    bench.sync(&chain, GOOD, &mut Dice(1));
    let item = bench.wallet.watch(added.id).unwrap();
    assert_eq!(item.derived, [20, 5]);
    assert_eq!(bench.wallet.balance(None).confirmed.to_sat(), 30);
    let extended = |event: &&WalletEvent| matches!(event, WalletEvent::Extended { .. });
    assert_eq!(bench.events.iter().filter(extended).count(), 3);
}

#[test]
fn a_payment_beyond_the_gap_of_its_time_is_found_by_looking_back() {
    let target = ranged("0/*");
    let mut chain = TestChain::new(3);
    let mut bench = Bench::new(chain.tip());
    watch(&mut bench, request(&target, 2, 5));
    chain.mine(&script(0), vec![pay(&[foreign(1)], &[(at(&target, 7), 40)])]);
    bench.sync(&chain, GOOD, &mut Dice(1));
    assert_eq!(bench.wallet.balance(None).confirmed.to_sat(), 0);
    chain.mine(&script(0), vec![pay(&[foreign(2)], &[(at(&target, 3), 2)])]);
    let range = bench.wallet.next_range(chain.tip().height).unwrap();
    assert!(bench.block(&chain, &range, 4));
    let range = bench.wallet.next_range(chain.tip().height).unwrap();
    assert_eq!((range.kind, heights(&range)), (ScanKind::LookBack, (2, 4)));
    assert_eq!(range.scripts.len(), 4, "only the new ones");
    bench.sync(&chain, GOOD, &mut Dice(1));
    assert_eq!(bench.wallet.balance(None).confirmed.to_sat(), 42);
}

#[test]
fn in_order_uses_need_one_pass_and_one_look_back() {
    let target = ranged("0/*");
    let mut chain = TestChain::new(1);
    for index in 0..60 {
        chain.mine(&script(0), vec![pay(&[foreign(1)], &[(at(&target, index), 1)])]);
    }
    let mut bench = Bench::new(chain.tip());
    watch(&mut bench, request(&target, 0, 3));
    bench.sync(&chain, GOOD, &mut Dice(1));
    assert_eq!(bench.wallet.balance(None).confirmed.to_sat(), 60);
    assert!(bench.scanned <= 2 * 61 + 60, "{}", bench.scanned);
}

#[test]
fn the_end_of_a_range_is_told() {
    let target = ranged("0/*");
    let mut bench = Bench::new(TestChain::new(2).tip());
    let id = watch(&mut bench, request(&target, 0, 10)).id;
    let keychain = Keychain(0);
    // As if all but three indices had been derived.
    let mut item = bench.wallet.watch(id).unwrap().clone();
    let last = crate::wallet::watch::MAX_INDEX;
    item.derived = vec![last - 2];
    let (mut draft, mut events) = (Draft::new(&bench.wallet), Vec::new());
    draft.set_item(id, Some(item));
    assert!(draft.changes.items.contains_key(&id));
    // Too many scripts come first.
    draft.extend((id, keychain), last - 3, BlockHeight(1), &mut events).unwrap();
    let exhausted = |events: &[WalletEvent]| match events {
        [WalletEvent::Exhausted { limit, derived, wanted, .. }] => (*limit, *derived, *wanted),
        other => panic!("{other:?}"),
    };
    assert_eq!(exhausted(&events), (RangeLimit::Scripts, last - 2, last + 8));
    assert_eq!(draft.limited(0, 5).1, Some(RangeLimit::Scripts));
    let draft = Draft::new(&bench.wallet);
    let room = u32::try_from(MAX_SCRIPTS - 10).unwrap();
    assert_eq!(draft.limited(10, 10 + room), (10 + room, None));
    assert_eq!(draft.limited(10, 11 + room), (10 + room, Some(RangeLimit::Scripts)));
    assert_eq!(draft.limited(last - 2, last + 8), (last + 1, Some(RangeLimit::LastIndex)));
}

#[test]
fn more_scripts_than_fit_are_refused_before_they_are_derived() {
    let target = ranged("<0;1;2;3;4;5;6;7;8;9;10>/*");
    let bench = Bench::new(TestChain::new(2).tip());
    let refused = bench.wallet.plan_watch(request(&target, 0, 10_000)).unwrap_err();
    let limit = MAX_SCRIPTS;
    assert_eq!(refused, WatchError::TooManyScripts { watched: 0, added: 110_000, limit });
}

#[test]
fn watching_the_same_again_is_idempotent_and_may_widen() {
    let (target, chain) = (ranged("<0;1>/*"), TestChain::new(9));
    let mut bench = Bench::new(chain.tip());
    let first = watch(&mut bench, request(&target, 5, 4));
    bench.sync(&chain, GOOD, &mut Dice(1));
    let again = watch(&mut bench, request(&target, 5, 4));
    assert_eq!((again.id, again.change), (first.id, WatchChange::Unchanged));
    assert_eq!(again.scan_from, None);
    // Never narrower.
    let narrower = watch(&mut bench, request(&target, 8, 2));
    assert_eq!(narrower.change, WatchChange::Unchanged);
    let wider = watch(&mut bench, request(&target, 5, 6));
    assert_eq!((wider.change, wider.added_scripts), (WatchChange::Updated, 4));
    let range = bench.wallet.next_range(chain.tip().height).unwrap();
    assert_eq!((heights(&range), range.scripts.len()), ((5, 8), 4));
    let earlier = watch(&mut bench, request(&target, 2, 6));
    assert_eq!((earlier.change, earlier.scan_from), (WatchChange::Updated, Some(BlockHeight(2))));
    let label = "savings".parse().unwrap();
    let named = watch(&mut bench, WatchRequest { label, ..request(&target, 2, 6) });
    assert_eq!((named.id, named.change), (first.id, WatchChange::Updated));
    // In another account it is another item.
    let account: AccountName = "cold".parse().unwrap();
    let other = watch(&mut bench, WatchRequest { account, ..request(&target, 2, 6) });
    assert_eq!((other.id, other.change), (WatchId(2), WatchChange::Added));
    assert_eq!(bench.wallet.script_index().len(), 12);
    assert_eq!(bench.wallet.accounts().len(), 2);
    bench.reload();
}

#[test]
fn an_id_is_not_used_twice_and_an_unknown_one_is_refused() {
    let mut bench = Bench::new(TestChain::new(2).tip());
    let id = watch(&mut bench, request(&target(1), 0, 1)).id;
    let planned = bench.wallet.plan_unwatch(id).unwrap();
    assert_eq!(bench.commit(planned).scripts, 1);
    bench.reload();
    assert_eq!(bench.wallet.plan_unwatch(id).unwrap_err(), WatchError::Unknown { id });
    let refused = bench.wallet.plan_rescan(Some(id), BlockHeight(0)).unwrap_err();
    assert_eq!(refused, PlanError::Unknown { id });
    assert_eq!(watch(&mut bench, request(&target(1), 0, 1)).id, WatchId(2));
}

#[test]
fn effects_of_another_state_are_refused() {
    let mut bench = Bench::new(TestChain::new(2).tip());
    let old = bench.wallet.plan_watch(request(&target(1), 0, 1)).unwrap();
    watch(&mut bench, request(&target(2), 0, 1));
    let stale = bench.wallet.apply(old.effects).unwrap_err();
    assert_eq!((stale.planned, stale.now), (1, 2));
    assert_eq!(bench.wallet.watches().count(), 1);
}

#[test]
fn a_reorg_deeper_than_any_mark_goes_back_to_where_the_caller_says() {
    let mut chain = TestChain::new(4);
    let mut bench = Bench::new(chain.at(2));
    watch(&mut bench, request(&target(1), 0, 1));
    chain.mine(&script(1), Vec::new());
    bench.sync(&chain, GOOD, &mut Dice(1));
    assert_eq!(bench.wallet.balance(None).immature.to_sat(), 50);
    chain.take_off(4);
    chain.mine(&script(0), vec![pay(&[foreign(3)], &[(script(1), 9)])]);
    (0..4).for_each(|_| {
        chain.mine(&script(0), Vec::new());
    });
    bench.sync(&chain, GOOD, &mut Dice(1));
    assert_eq!(bench.wallet.balance(None).confirmed.to_sat(), 9);
    bench.reload();
}
