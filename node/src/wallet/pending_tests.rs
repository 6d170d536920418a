use bitcoin::Amount;
use ironlight_spv::BlockHeight;

use super::*;
use crate::wallet::coin::Balance;
use crate::wallet::testing::{Bench, Dice, GOOD, TestChain, foreign, pay, script};
use crate::wallet::watch::{WatchRequest, WatchTarget};
use crate::wallet::{Spend, WalletEvent};

const NOW: UnixTime = UnixTime(1_700_000_000);

/// A wallet that watches scripts 1 and 2 and has one coin of 100.
fn with_coin() -> (TestChain, Bench, OutPoint) {
    let mut chain = TestChain::new(3);
    let mut bench = Bench::new(chain.tip());
    for number in [1, 2] {
        let target = WatchTarget::script(script(number)).unwrap();
        let planned = bench.wallet.plan_watch(WatchRequest::new(target, BlockHeight(0))).unwrap();
        bench.commit(planned);
    }
    let paid = pay(&[foreign(1)], &[(script(1), 100)]);
    let coin = OutPoint { txid: paid.compute_txid(), vout: 0 };
    chain.mine(&script(0), vec![paid]);
    bench.sync(&chain, GOOD, &mut Dice(1));
    (chain, bench, coin)
}

fn amounts(balance: Balance) -> [u64; 3] {
    [balance.confirmed, balance.pending_in, balance.pending_out].map(Amount::to_sat)
}

fn add(bench: &mut Bench, transaction: &Transaction, origin: Origin) -> PendingOutcome {
    bench.wallet.add_pending(transaction.clone(), origin, NOW)
}

#[test]
fn a_waiting_spend_shows_what_goes_and_what_comes_back() {
    let (mut chain, mut bench, coin) = with_coin();
    let spend = pay(&[coin], &[(script(9), 60), (script(2), 30)]);
    let txid = spend.compute_txid();
    assert_eq!(add(&mut bench, &spend, Origin::Own), PendingOutcome::Added { displaced: vec![] });
    assert_eq!(add(&mut bench, &spend, Origin::Own), PendingOutcome::Known);
    assert_eq!(amounts(bench.wallet.balance(None)), [100, 30, 100]);
    assert_eq!(bench.wallet.utxos(None)[0].pending_spend, Some(txid));
    let entries = bench.wallet.pending(None);
    assert_eq!((entries.len(), entries[0].net().to_sat()), (1, -70));
    // A chain of waiting transactions counts its ends only.
    let child = pay(&[OutPoint { txid, vout: 1 }], &[(script(1), 20)]);
    add(&mut bench, &child, Origin::Own);
    assert_eq!(amounts(bench.wallet.balance(None)), [100, 20, 100]);
    chain.mine(&script(0), vec![spend.clone(), child]);
    bench.sync(&chain, GOOD, &mut Dice(1));
    assert_eq!(amounts(bench.wallet.balance(None)), [20, 0, 0]);
    assert_eq!(bench.wallet.pending(None), []);
    let place = bench.wallet.place_of(&txid).unwrap();
    assert_eq!(add(&mut bench, &spend, Origin::Own), PendingOutcome::Confirmed { place });
}

#[test]
fn a_block_that_spends_the_same_drops_it_with_its_children() {
    let (mut chain, mut bench, coin) = with_coin();
    let spend = pay(&[coin], &[(script(2), 90)]);
    let child = pay(&[OutPoint { txid: spend.compute_txid(), vout: 0 }], &[(script(2), 80)]);
    add(&mut bench, &spend, Origin::Own);
    add(&mut bench, &child, Origin::Own);
    let other = pay(&[coin], &[(script(2), 95)]);
    let by = other.compute_txid();
    chain.mine(&script(0), vec![other]);
    bench.events.clear();
    bench.sync(&chain, GOOD, &mut Dice(1));
    let conflicted = |transaction: &Transaction| WalletEvent::Conflicted {
        txid: transaction.compute_txid(),
        by,
        height: BlockHeight(4),
    };
    assert!(bench.events.contains(&conflicted(&spend)));
    assert!(bench.events.contains(&conflicted(&child)));
    assert_eq!(amounts(bench.wallet.balance(None)), [95, 0, 0]);
    let with = Spend { txid: by, place: bench.wallet.place_of(&by).unwrap() };
    assert_eq!(add(&mut bench, &spend, Origin::Own), PendingOutcome::Conflicts { with });
}

#[test]
fn a_replacement_displaces_what_it_replaces() {
    let (_, mut bench, coin) = with_coin();
    let spend = pay(&[coin], &[(script(2), 90)]);
    let child = pay(&[OutPoint { txid: spend.compute_txid(), vout: 0 }], &[(script(2), 80)]);
    add(&mut bench, &spend, Origin::Own);
    add(&mut bench, &child, Origin::Own);
    let replacement = pay(&[coin], &[(script(2), 70)]);
    let displaced = vec![spend.compute_txid(), child.compute_txid()];
    let outcome = add(&mut bench, &replacement, Origin::Own);
    assert_eq!(outcome, PendingOutcome::Added { displaced });
    assert_eq!(amounts(bench.wallet.balance(None)), [100, 70, 100]);
    assert_eq!(bench.wallet.drop_pending(&replacement.compute_txid()).len(), 1);
    assert_eq!(amounts(bench.wallet.balance(None)), [100, 0, 0]);
}

#[test]
fn a_peer_s_word_does_not_displace_our_own() {
    let (_, mut bench, coin) = with_coin();
    let own = pay(&[coin], &[(script(2), 90)]);
    add(&mut bench, &own, Origin::Own);
    let told = pay(&[coin], &[(script(2), 1)]);
    let txid = own.compute_txid();
    assert_eq!(add(&mut bench, &told, Origin::Peer), PendingOutcome::OwnGoesFirst { txid });
    assert_eq!(bench.wallet.pending(None).len(), 1);
}

#[test]
fn what_has_nothing_to_do_with_us_is_not_kept() {
    let (_, mut bench, _) = with_coin();
    let other = pay(&[foreign(8)], &[(script(9), 1)]);
    assert_eq!(add(&mut bench, &other, Origin::Peer), PendingOutcome::NotOurs);
}

#[test]
fn peers_can_only_fill_their_share_and_the_oldest_goes() {
    let (_, mut bench, coin) = with_coin();
    let own = pay(&[coin], &[(script(2), 90)]);
    add(&mut bench, &own, Origin::Own);
    let told = |number: usize| {
        let mut transaction = pay(&[foreign(8)], &[(script(1), 1)]);
        transaction.input[0].previous_output.vout = u32::try_from(number).unwrap();
        transaction
    };
    for number in 0..=MAX_PENDING {
        add(&mut bench, &told(number), Origin::Peer);
    }
    let waiting = bench.wallet.pending(None);
    assert_eq!(waiting.len(), MAX_PENDING + 1);
    let is_there = |tx: &Transaction| waiting.iter().any(|entry| entry.txid == tx.compute_txid());
    assert!(is_there(&own) && is_there(&told(MAX_PENDING)) && !is_there(&told(0)));
    assert_eq!(bench.wallet.expire_pending(UnixTime(NOW.0 + EXPIRES_AFTER)), []);
    let expired = bench.wallet.expire_pending(UnixTime(NOW.0 + EXPIRES_AFTER + 1));
    assert_eq!(expired.len(), MAX_PENDING);
    assert_eq!(bench.wallet.pending(None).len(), 1);
}

#[test]
fn amounts_that_cannot_be_do_not_overflow() {
    let (_, mut bench, _) = with_coin();
    for number in 0..9 {
        let mut absurd = pay(&[foreign(8)], &[(script(1), u64::MAX), (script(2), u64::MAX)]);
        absurd.input[0].previous_output.vout = number;
        add(&mut bench, &absurd, Origin::Peer);
    }
    assert_eq!(bench.wallet.balance(None).pending_in, Amount::MAX_MONEY);
    assert!(bench.wallet.pending(None).iter().all(|entry| entry.net().is_positive()));
}
