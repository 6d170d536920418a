use std::collections::{BTreeMap, BTreeSet};

use bitcoin::bip158::{BlockFilter, FilterHeader, GcsFilterWriter};
use bitcoin::hashes::Hash as _;
use bitcoin::{Address, Block, Network, OutPoint, ScriptBuf, TxOut};

use super::*;
use crate::devnet::DevnetConfig;

fn ledger(seed: u64, blocks: u32) -> Ledger {
    let DevnetConfig { first_time, spacing, .. } = DevnetConfig::default();
    let mut ledger = Ledger::new(seed, first_time, spacing).unwrap();
    mine(&mut ledger, blocks);
    ledger
}

fn mine(ledger: &mut Ledger, blocks: u32) {
    (0..blocks).for_each(|_| drop(ledger.mine().unwrap()));
}

fn blocks(ledger: &Ledger) -> Vec<Block> {
    ledger.tree().from(0).map(|entry| entry.block.clone()).collect()
}

/// Somebody else's script.
fn stranger(number: u8) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([number; 20]))
}

/// The unspent outputs of a chain, by nothing but its transactions.
fn naive_coins(blocks: &[Block]) -> BTreeMap<OutPoint, TxOut> {
    let mut coins = BTreeMap::new();
    for transaction in blocks.iter().skip(1).flat_map(|block| &block.txdata) {
        for input in transaction.input.iter().filter(|_| !transaction.is_coinbase()) {
            coins.remove(&input.previous_output).expect("every input exists");
        }
        let txid = transaction.compute_txid();
        for (vout, output) in (0..).zip(&transaction.output) {
            if !output.script_pubkey.is_op_return() {
                coins.insert(OutPoint { txid, vout }, output.clone());
            }
        }
    }
    coins
}

fn coins(ledger: &Ledger) -> BTreeMap<OutPoint, TxOut> {
    ledger.coins().iter().map(|(outpoint, coin)| (*outpoint, coin.output.clone())).collect()
}

#[test]
fn every_block_keeps_the_rules_that_the_bitcoin_crate_knows() {
    let ledger = ledger(1, 400);
    let mut times = vec![blocks(&ledger)[0].header.time];
    for (height, entry) in (1u64..).zip(ledger.tree().from(1)) {
        let block = &entry.block;
        assert!(block.check_merkle_root() && block.check_witness_commitment(), "{height}");
        // Up to 16 a height has an opcode of its own, which the crate does not read.
        let small = u8::try_from(height).ok().filter(|height| *height <= 16);
        match small.map(|height| 0x50 + height) {
            Some(opcode) => assert_eq!(block.txdata[0].input[0].script_sig.as_bytes()[0], opcode),
            None => assert_eq!(block.bip34_block_height().unwrap(), height),
        }
        block.header.validate_pow(block.header.target()).unwrap();
        let mut last: Vec<u32> = times.iter().rev().take(11).copied().collect();
        last.sort_unstable();
        assert!(block.header.time > last[last.len() / 2], "{height}");
        times.push(block.header.time);
    }
    let carrying = blocks(&ledger).iter().filter(|block| block.txdata.len() > 1).count();
    assert!(carrying > 50, "only {carrying} blocks carry transactions");
}

#[test]
fn all_kinds_of_script_are_paid_and_spent() {
    let ledger = ledger(2, 600);
    let spent = ledger.tree().from(1).flat_map(|entry| &entry.undo.spent);
    let kinds: BTreeSet<_> = spent
        .map(|spent| {
            let script = &spent.coin.output.script_pubkey;
            Address::from_script(script, Network::Regtest).unwrap().address_type().unwrap()
        })
        .collect();
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    let blocks = blocks(&ledger);
    let payments = blocks.iter().flat_map(|block| block.txdata.iter().skip(1));
    let mut outputs = payments.flat_map(|transaction| &transaction.output);
    assert!(outputs.any(|output| output.script_pubkey.is_op_return()));
}

#[test]
fn coins_are_those_that_a_walk_over_all_transactions_leaves() {
    let ledger = ledger(3, 500);
    assert_eq!(coins(&ledger), naive_coins(&blocks(&ledger)));
    // Fees go to miners, so nothing is lost but what coinbases leave: they leave nothing.
    let created: Amount = (1..=500).map(subsidy).sum();
    assert_eq!(ledger.balance(), created);
}

#[test]
fn mined_coins_wait_a_hundred_blocks() {
    let mut ledger = ledger(4, 99);
    let amount = Amount::from_sat(100_000);
    let error = ledger.pay(stranger(1), amount).unwrap_err();
    assert!(matches!(error, LedgerError::NotEnough { available: Amount::ZERO, .. }), "{error}");
    mine(&mut ledger, 1);
    ledger.pay(stranger(1), amount).unwrap();
    for entry in ledger.tree().from(1) {
        let mined = entry.undo.spent.iter().filter(|spent| spent.coin.coinbase);
        mined.for_each(|spent| assert!(entry.height - spent.coin.height >= 100));
    }
}

#[test]
fn a_block_that_creates_or_spends_too_much_is_refused_and_changes_nothing() {
    let mut ledger = ledger(5, 150);
    let before = ledger.coins.clone();
    let tip = ledger.tree().tip().block.clone();
    // One with payments, a second time: its coins are gone.
    let paying = ledger.tree().from(1).rev().find(|entry| !entry.undo.spent.is_empty()).unwrap();
    let again = ledger.coins.clone().connect(&paying.block, 151, |_| None);
    assert!(matches!(again, Err(LedgerError::MissingCoin { .. })), "{again:?}");

    let mut inflated = tip.clone();
    inflated.txdata.truncate(1);
    inflated.txdata[0].output[0].value = subsidy(151) + Amount::from_sat(1);
    let inflated = ledger.coins.connect(&inflated, 151, |_| None);
    assert!(matches!(inflated, Err(LedgerError::Inflation { .. })), "{inflated:?}");

    let mut early = tip.clone();
    early.txdata.truncate(1);
    let mut spending = early.txdata[0].clone();
    spending.input[0].previous_output = OutPoint { txid: tip.txdata[0].compute_txid(), vout: 0 };
    early.txdata[0].output.clear();
    early.txdata.push(spending);
    let early = ledger.coins.connect(&early, 151, |_| None);
    assert!(matches!(early, Err(LedgerError::Immature { mined: 150, .. })), "{early:?}");
    assert_eq!(ledger.coins, before);
}

#[test]
fn blocks_taken_off_leave_the_coins_exactly_as_they_were() {
    let mut ledger = ledger(6, 150);
    let mut states = vec![ledger.coins.clone()];
    for _ in 0..60 {
        ledger.mine().unwrap();
        states.push(ledger.coins.clone());
    }
    while let Some(state) = states.pop() {
        assert_eq!(ledger.coins, state);
        if !states.is_empty() {
            ledger.rewind(1).unwrap();
        }
    }
}

#[test]
fn a_heavier_branch_replaces_the_tip_and_its_payments_are_mined_again() {
    let mut ledger = ledger(7, 200);
    let txid = ledger.pay(stranger(1), Amount::from_sat(1_000_000)).unwrap();
    mine(&mut ledger, 3);
    let old: Vec<BlockHash> = ledger.tree().from(201).map(|entry| entry.hash).collect();

    let branch = ledger.branch(3, 4).unwrap();

    assert_eq!((branch.fork_height, &branch.disconnected), (200, &old));
    assert_eq!(ledger.tree().tip().hash, branch.mined[3]);
    assert_eq!(ledger.tree().tip().height, 204);
    assert_eq!(ledger.tree().side_blocks(), 3, "the old branch is kept");
    let again = &ledger.tree().at(201).unwrap().block;
    assert!(again.txdata.iter().any(|transaction| transaction.compute_txid() == txid));
    assert_eq!(coins(&ledger), naive_coins(&blocks(&ledger)));
}

#[test]
fn among_equal_branches_the_first_stays() {
    let mut ledger = ledger(8, 200);
    let txid = ledger.pay(stranger(1), Amount::from_sat(1_000_000)).unwrap();
    mine(&mut ledger, 3);
    let (tip, before) = (ledger.tree().tip().hash, ledger.coins.clone());

    let branch = ledger.branch(3, 3).unwrap();

    assert_eq!(branch.disconnected, []);
    assert_eq!(branch.mined.len(), 3);
    assert_eq!(ledger.tree().tip().hash, tip);
    assert_eq!(ledger.coins, before);
    assert!(ledger.waiting(&txid).is_none(), "it is mined on the best chain");
    assert_eq!(ledger.tree().since(&branch.mined[2]).disconnected.len(), 3);
    mine(&mut ledger, 1);
    assert_eq!(coins(&ledger), naive_coins(&blocks(&ledger)));
}

#[test]
fn random_branches_keep_coins_and_commitments_right() {
    let mut ledger = ledger(9, 250);
    let mut choices = Miner::new(99);
    for round in 0..60u8 {
        let paid = ledger.pay(stranger(round), Amount::from_sat(50_000));
        assert!(paid.is_ok(), "{paid:?}");
        let depth = u32::try_from(choices.random() % 6 + 1).unwrap();
        let length = u32::try_from(choices.random() % 8 + 1).unwrap();
        ledger.branch(depth, length).unwrap();
        assert_eq!(coins(&ledger), naive_coins(&blocks(&ledger)), "round {round}");
    }
    let strangers = ledger.coins().iter().filter(|(_, coin)| coin.key.is_none());
    let waiting = ledger.pool().len();
    assert_eq!(strangers.count() + waiting, 60, "no payment was lost or made twice");
}

#[test]
fn a_double_spend_takes_a_mined_payment_back() {
    let mut ledger = ledger(10, 200);
    let script = stranger(1);
    let txid = ledger.pay(script.clone(), Amount::from_sat(1_000_000)).unwrap();
    let waiting = ledger.double_spend(txid).unwrap_err();
    assert!(matches!(waiting, LedgerError::NotMined { .. }));
    mine(&mut ledger, 3);
    let payment = ledger.tree().at(201).unwrap().block.clone();
    let payment = payment.txdata.iter().find(|tx| tx.compute_txid() == txid).unwrap();

    let done = ledger.double_spend(txid).unwrap();

    assert_eq!((done.branch.disconnected.len(), done.branch.mined.len()), (3, 4));
    let conflicting = &ledger.tree().at(201).unwrap().block;
    let conflicting =
        conflicting.txdata.iter().find(|tx| tx.compute_txid() == done.replaced_by).unwrap();
    assert_eq!(conflicting.input[0].previous_output, payment.input[0].previous_output);
    assert!(ledger.coins().iter().all(|(_, coin)| coin.output.script_pubkey != script));
    assert!(ledger.pool().is_empty());
    assert_eq!(coins(&ledger), naive_coins(&blocks(&ledger)));
    let coinbase = ledger.tree().tip().block.txdata[0].compute_txid();
    assert!(matches!(ledger.double_spend(coinbase), Err(LedgerError::NotOurs { .. })));
}

/// BIP158's construction, from scripts alone.
fn filter_of(block: &Block, spent: &[ScriptBuf]) -> Vec<u8> {
    let outputs = block.txdata.iter().flat_map(|tx| &tx.output).map(|out| &out.script_pubkey);
    let outputs = outputs.filter(|script| script.as_bytes().first() != Some(&0x6a));
    let hash = block.block_hash().to_byte_array();
    let key = |at: usize| u64::from_le_bytes(hash[at..at + 8].try_into().unwrap());
    let mut bytes = Vec::new();
    let mut writer = GcsFilterWriter::new(&mut bytes, key(0), key(8), 784_931, 19);
    outputs.chain(spent).for_each(|script| writer.add_element(script.as_bytes()));
    writer.finish().unwrap();
    bytes
}

#[test]
fn filters_commit_to_the_scripts_of_outputs_and_spent_coins() {
    let ledger = ledger(11, 2_000);
    let mut scripts = BTreeMap::new();
    let mut previous = FilterHeader::all_zeros();
    for entry in ledger.tree().from(0) {
        for transaction in &entry.block.txdata {
            let txid = transaction.compute_txid();
            for (vout, output) in (0..).zip(&transaction.output) {
                scripts.insert(OutPoint { txid, vout }, output.script_pubkey.clone());
            }
        }
        let inputs = entry.block.txdata.iter().skip(1).flat_map(|tx| &tx.input);
        let spent: Vec<_> = inputs.map(|input| scripts[&input.previous_output].clone()).collect();
        let filter = filter_of(&entry.block, &spent);
        assert_eq!(entry.filter, filter, "{}", entry.height);
        previous = BlockFilter::new(&filter).filter_header(&previous);
        assert_eq!(entry.filter_header, previous, "{}", entry.height);
    }
}

#[test]
fn the_same_seed_and_commands_give_the_same_chain() {
    let run = |seed| {
        let mut ledger = ledger(seed, 150);
        ledger.pay(stranger(1), Amount::from_sat(1_000_000)).unwrap();
        ledger.branch(2, 3).unwrap();
        ledger.tree().tip().hash
    };
    assert_eq!(run(12), run(12));
    assert_ne!(run(12), run(13));
}

#[test]
fn subsidies_halve_every_150_blocks_and_end() {
    let satoshi = |height| subsidy(height).to_sat();
    assert_eq!(
        [satoshi(149), satoshi(150), satoshi(300)],
        [5_000_000_000, 2_500_000_000, 1_250_000_000]
    );
    assert_eq!([satoshi(32 * 150), satoshi(33 * 150), satoshi(u32::MAX)], [1, 0, 0]);
}

#[test]
fn payments_that_no_block_could_have_are_refused() {
    let mut ledger = ledger(15, 150);
    let before = ledger.pool().len();
    let all = ledger.pay(stranger(1), Amount::from_sat(u64::MAX)).unwrap_err();
    assert!(matches!(all, LedgerError::NotEnough { .. }), "{all}");
    let checks = ScriptBuf::from(vec![0xac; 5_000]);
    let sigops = ledger.pay(checks, Amount::from_sat(1_000_000)).unwrap_err();
    assert!(matches!(sigops, LedgerError::TooManySigops { sigops: 20_000.. }), "{sigops}");
    let long = ScriptBuf::from(vec![0x51; 100_000]);
    let heavy = ledger.pay(long, Amount::from_sat(1_000_000)).unwrap_err();
    assert!(matches!(heavy, LedgerError::TooHeavy { .. }), "{heavy}");
    assert_eq!(ledger.pool().len(), before);
    let error = ledger.pay(ScriptBuf::new(), Amount::from_sat(1_000_000)).unwrap_err();
    assert!(matches!(error, LedgerError::EmptyScript));
}

#[test]
fn dust_and_impossible_depths_are_refused() {
    let mut ledger = ledger(14, 101);
    let dust = ledger.pay(stranger(1), Amount::from_sat(100)).unwrap_err();
    assert!(matches!(dust, LedgerError::Dust { .. }));
    for depth in [0, 102] {
        let error = ledger.branch(depth, 1).unwrap_err();
        assert!(matches!(error, LedgerError::Depth { height: 101, .. }));
    }
    assert!(matches!(ledger.branch(1, 0), Err(LedgerError::EmptyBranch)));
    assert_eq!(ledger.tree().tip().height, 101);
}

/// A payment to a stranger that waits.
fn waiting(ledger: &mut Ledger) -> Transaction {
    let txid = ledger.pay(stranger(1), Amount::from_sat(100_000)).unwrap();
    ledger.waiting(&txid).unwrap().clone()
}

#[test]
fn transactions_of_others_have_to_fit_the_chain() {
    let mut ledger = ledger(7, 110);
    let good = waiting(&mut ledger);
    assert_eq!(ledger.accept(good.clone()).unwrap(), Accepted::Known);
    mine(&mut ledger, 1);
    assert!(matches!(ledger.accept(good.clone()), Err(LedgerError::MissingCoin { .. })));
    let young = ledger.tree().tip().block.txdata[0].compute_txid();
    let mut other = good.clone();
    other.input.truncate(1);
    other.input[0].previous_output = OutPoint { txid: young, vout: 0 };
    assert!(matches!(ledger.accept(other.clone()), Err(LedgerError::Immature { .. })));
    other.input.push(other.input[0].clone());
    assert!(matches!(ledger.accept(other.clone()), Err(LedgerError::Form { .. })));
    other.input.truncate(1);
    let two = other.output[0].clone();
    other.output = vec![TxOut { value: Amount::MAX_MONEY, ..two.clone() }, two];
    assert!(matches!(ledger.accept(other), Err(LedgerError::Form { .. })));
}

/// The same coins, with less change by so much.
fn paying_more(of: &Transaction, fee: u64) -> Transaction {
    let mut other = of.clone();
    let largest = other.output.iter_mut().max_by_key(|output| output.value).unwrap();
    largest.value -= Amount::from_sat(fee);
    other
}

#[test]
fn more_fee_replaces_a_transaction_and_what_builds_on_it() {
    let mut ledger = ledger(7, 110);
    let parent = waiting(&mut ledger);
    let (vout, change) = (0..).zip(&parent.output).max_by_key(|(_, output)| output.value).unwrap();
    let mut child = parent.clone();
    child.input.truncate(1);
    child.input[0].previous_output = OutPoint { txid: parent.compute_txid(), vout };
    child.output =
        vec![TxOut { value: change.value - Amount::from_sat(5000), script_pubkey: stranger(2) }];
    assert_eq!(ledger.accept(child.clone()).unwrap(), Accepted::New { replaced: Vec::new() });

    let little = paying_more(&parent, 4000);
    assert!(
        matches!(ledger.accept(little), Err(LedgerError::LowFee { .. })),
        "the child paid, too"
    );
    let mut on_itself = paying_more(&parent, 50_000);
    on_itself.input.push(child.input[0].clone());
    assert!(matches!(ledger.accept(on_itself), Err(LedgerError::ReplacesParent { .. })));
    assert_eq!(ledger.pool().len(), 2, "refused ones change nothing");
    let better = paying_more(&parent, 6000);
    let Accepted::New { mut replaced } = ledger.accept(better.clone()).unwrap() else { panic!() };
    let mut both = vec![parent.compute_txid(), child.compute_txid()];
    replaced.sort();
    both.sort();
    assert_eq!(replaced, both);
    mine(&mut ledger, 1);
    assert!(ledger.tree().tip().block.txdata.contains(&better));

    let free = paying_more(&waiting(&mut ledger), 0);
    assert_eq!(ledger.accept(free).unwrap(), Accepted::Known);
}

#[test]
fn a_lock_time_is_waited_for() {
    let mut ledger = ledger(7, 110);
    let ready = waiting(&mut ledger);
    let mut later = paying_more(&ready, 10_000);
    later.input.iter_mut().for_each(|input| input.sequence = bitcoin::Sequence::ZERO);
    later.lock_time = bitcoin::absolute::LockTime::from_height(111).unwrap();
    assert!(matches!(ledger.accept(later.clone()), Err(LedgerError::NotFinal { .. })));
    later.lock_time = bitcoin::absolute::LockTime::from_height(110).unwrap();
    assert!(ledger.accept(later).is_ok(), "the block after the one at its height");
}

#[test]
fn the_wallet_can_pay_more_for_a_payment_and_take_it_out_of_the_chain() {
    let mut ledger = ledger(7, 110);
    let first = waiting(&mut ledger).compute_txid();
    let second = ledger.replace(first).unwrap();
    assert!(ledger.waiting(&first).is_none() && ledger.waiting(&second).is_some());
    assert!(matches!(ledger.replace(first), Err(LedgerError::NotWaiting { .. })));
    mine(&mut ledger, 3);
    let paid = |ledger: &Ledger| ledger.find(second).is_some();
    assert!(paid(&ledger));
    let branch = ledger.unmine(second).unwrap();
    assert_eq!((branch.disconnected.len(), branch.mined.len()), (3, 4));
    assert!(!paid(&ledger) && ledger.waiting(&second).is_some());
    mine(&mut ledger, 1);
    assert!(paid(&ledger));
    let coinbase = ledger.tree().tip().block.txdata[0].compute_txid();
    assert!(matches!(ledger.unmine(coinbase), Err(LedgerError::NotOurs { .. })));
    assert_eq!(coins(&ledger), naive_coins(&blocks(&ledger)));
}
