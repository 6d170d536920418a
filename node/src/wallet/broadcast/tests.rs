use std::collections::BTreeSet;
use std::time::Duration;

use bitcoin::{Amount, ScriptBuf, Transaction, Txid, Weight};
use ironlight_spv::peers::PeerId;
use ironlight_spv::{BlockHeight, Now, UnixTime};

use super::*;
use crate::store::{MemoryStore, Store, Table};
use crate::wallet::testing::{foreign, pay, script};

const SEED: u64 = 1;

fn at(seconds: u64) -> Now {
    let unix = UnixTime(1_700_000_000 + u32::try_from(seconds).unwrap());
    Now { unix, elapsed: Duration::from_secs(seconds) }
}

fn spend(number: u8) -> Transaction {
    pay(&[foreign(number)], &[(script(number), 1_000), (script(200), 5)])
}

fn bytes(transaction: &Transaction) -> Vec<u8> {
    bitcoin::consensus::serialize(transaction)
}

fn block(transactions: &[Transaction]) -> Vec<(Txid, Vec<OutPoint>)> {
    let spent = |tx: &Transaction| tx.input.iter().map(|input| input.previous_output).collect();
    transactions.iter().map(|tx| (tx.compute_txid(), spent(tx))).collect()
}

/// The machine with a store, as the node has them.
struct Bench {
    machine: Broadcasts,
    store: MemoryStore,
    offered: BTreeSet<Txid>,
    told: Vec<PeerId>,
    states: Vec<BroadcastState>,
    now: Now,
}

impl Bench {
    fn new(peers: u64) -> Self {
        let machine = Broadcasts::new(BroadcastConfig::default(), SEED);
        let store = MemoryStore::new();
        let (offered, told, states) = (BTreeSet::new(), Vec::new(), Vec::new());
        let mut bench = Self { machine, store, offered, told, states, now: at(0) };
        for peer in 0..peers {
            bench.machine.handle_connected(PeerId(peer), true, bench.now);
        }
        bench
    }

    /// Does what the machine wants.
    fn act(&mut self) {
        (self.told, self.states) = (Vec::new(), Vec::new());
        while let Some(action) = self.machine.poll() {
            match action {
                BroadcastAction::Commit(batch) => self.store.commit(batch).unwrap(),
                BroadcastAction::Announce { peer, txid, .. } => {
                    assert!(self.offered.contains(&txid), "told before it was offered");
                    self.told.push(peer);
                }
                BroadcastAction::Offer(transaction) => {
                    let txid = transaction.compute_txid();
                    let key = bitcoin::hashes::Hash::to_byte_array(txid);
                    let row = self.store.get(Table::Broadcast, &key).unwrap();
                    assert!(row.is_some(), "offered before it was on disk");
                    self.offered.insert(txid);
                }
                BroadcastAction::Withdraw(txid) => assert!(self.offered.remove(&txid)),
                BroadcastAction::Event(event) => self.states.push(event.after),
            }
        }
    }

    fn submit(&mut self, transaction: &Transaction) -> Submitted {
        let tip = BlockHeight(100);
        let submitted = self.machine.submit(&bytes(transaction), tip, self.now).unwrap();
        self.act();
        submitted
    }

    fn mine(&mut self, height: u32, transactions: &[Transaction]) {
        let transactions = block(transactions);
        let connected = ConnectedBlock { height: BlockHeight(height), transactions: &transactions };
        self.machine.handle_block(&connected, self.now);
        self.act();
    }

    fn state(&self, transaction: &Transaction) -> BroadcastState {
        self.machine.status(&transaction.compute_txid()).unwrap().state
    }

    /// Starts anew from the rows, with no peers.
    fn restart(&mut self) {
        self.machine = Broadcasts::load(&self.store, BroadcastConfig::default(), SEED + 1).unwrap();
        self.offered.clear();
        self.act();
    }
}

#[test]
fn a_transaction_is_told_to_a_few_peers_and_handed_to_who_asks() {
    let (mut bench, tx) = (Bench::new(10), spend(1));
    let txid = tx.compute_txid();
    assert_eq!(bench.submit(&tx), Submitted::New { txid });
    assert_eq!(bench.told.len(), 3);
    assert_eq!(bench.states, [BroadcastState::Announced]);
    bench.machine.handle_requested(bench.told[0], &txid, bench.now);
    bench.act();
    assert_eq!(bench.states, [BroadcastState::Requested]);
    // Who had it from us may say so: that it spreads is for others to tell.
    bench.machine.handle_announced(PeerId(99), &txid, bench.now);
    bench.act();
    assert_eq!(bench.states, []);
    let status = bench.machine.status(&txid).unwrap();
    assert_eq!((status.announced, status.requested, status.relayed_back), (3, 1, 0));
}

#[test]
fn what_another_peer_announces_was_relayed_and_the_one_that_had_it_from_us_proves_nothing() {
    let (mut bench, tx) = (Bench::new(10), spend(1));
    let txid = bench.submit(&tx).txid();
    let (first, other) = (bench.told[0], PeerId(50));
    bench.machine.handle_requested(first, &txid, bench.now);
    bench.machine.handle_announced(first, &txid, bench.now);
    bench.act();
    assert_eq!(bench.state(&tx), BroadcastState::Requested);
    bench.machine.handle_connected(other, true, bench.now);
    bench.machine.handle_announced(other, &txid, bench.now);
    bench.machine.handle_announced(other, &txid, bench.now);
    bench.act();
    assert_eq!(bench.state(&tx), BroadcastState::RelayedBack);
    assert_eq!(bench.machine.status(&txid).unwrap().relayed_back, 1);
}

#[test]
fn submitting_again_changes_nothing() {
    let (mut bench, tx) = (Bench::new(4), spend(1));
    let txid = bench.submit(&tx).txid();
    let state = BroadcastState::Announced;
    assert_eq!(bench.submit(&tx), Submitted::Known { txid, state });
    assert_eq!(bench.told, []);
    assert_eq!(bench.machine.statuses().len(), 1);
}

#[test]
fn without_peers_it_waits_for_one() {
    let (mut bench, tx) = (Bench::new(0), spend(1));
    bench.submit(&tx);
    assert_eq!(bench.state(&tx), BroadcastState::Waiting);
    assert_eq!(bench.machine.poll_timeout(), None);
    bench.machine.handle_connected(PeerId(1), false, bench.now);
    bench.act();
    assert_eq!(bench.told, []);
    bench.machine.handle_connected(PeerId(2), true, bench.now);
    bench.act();
    assert_eq!(bench.told, [PeerId(2)]);
    assert_eq!(bench.state(&tx), BroadcastState::Announced);
}

#[test]
fn somebody_else_is_told_in_place_of_a_peer_that_left() {
    let mut bench = Bench::new(4);
    bench.submit(&spend(1));
    let (gone, told) = (bench.told[0], bench.told.clone());
    bench.machine.handle_disconnected(gone, bench.now);
    bench.act();
    assert_eq!(bench.told.len(), 1);
    assert!(!told.contains(&bench.told[0]));
}

#[test]
fn after_each_block_others_are_told() {
    let (mut bench, tx) = (Bench::new(9), spend(1));
    let txid = bench.submit(&tx).txid();
    let mut told: BTreeSet<PeerId> = bench.told.iter().copied().collect();
    for height in 101..103 {
        bench
            .told
            .clone()
            .iter()
            .for_each(|peer| bench.machine.handle_requested(*peer, &txid, bench.now));
        bench.mine(height, &[]);
        assert_eq!(bench.told.len(), 3);
        told.extend(&bench.told);
    }
    // Three times three: whoever has it already is told last.
    assert_eq!(told.len(), 9);
}

#[test]
fn a_rejection_is_inferred_when_nobody_asks() {
    let (mut bench, tx) = (Bench::new(3), spend(1));
    let txid = bench.submit(&tx).txid();
    assert_eq!(bench.machine.poll_timeout(), Some(Duration::from_secs(60)));
    bench.machine.handle_timeout(at(59));
    bench.act();
    assert_eq!(bench.state(&tx), BroadcastState::Announced);
    bench.machine.handle_timeout(at(60));
    bench.act();
    assert_eq!(bench.states, [BroadcastState::InferredRejected]);
    assert_eq!(bench.machine.poll_timeout(), None);
    // It was an inference: somebody may still ask.
    bench.machine.handle_requested(PeerId(1), &txid, at(61));
    bench.act();
    assert_eq!(bench.states, [BroadcastState::Requested]);
    bench.machine.handle_timeout(at(600));
    bench.act();
    assert_eq!(bench.states, []);
}

#[test]
fn a_block_confirms_it_and_a_reorg_brings_it_back() {
    let (mut bench, tx) = (Bench::new(3), spend(1));
    bench.submit(&tx);
    bench.mine(101, &[spend(9), tx.clone()]);
    assert_eq!(bench.states, [BroadcastState::Confirmed { height: BlockHeight(101) }]);
    assert_eq!(bench.told, []);
    assert!(bench.offered.is_empty());
    assert_eq!(bench.machine.waiting().count(), 0);
    bench.machine.handle_blocks_disconnected(BlockHeight(101), bench.now);
    bench.act();
    assert_eq!(bench.states, []);
    bench.machine.handle_blocks_disconnected(BlockHeight(100), bench.now);
    bench.act();
    assert_eq!(bench.states, [BroadcastState::Waiting, BroadcastState::Announced]);
    assert_eq!((bench.told.len(), bench.offered.len()), (3, 1));
    // Confirmed again at another height.
    bench.mine(102, std::slice::from_ref(&tx));
    assert_eq!(bench.state(&tx), BroadcastState::Confirmed { height: BlockHeight(102) });
}

#[test]
fn a_block_that_spends_its_inputs_makes_it_and_its_children_impossible() {
    let (mut bench, tx) = (Bench::new(3), spend(1));
    let txid = bench.submit(&tx).txid();
    let child = pay(&[OutPoint { txid, vout: 0 }], &[(script(7), 900)]);
    bench.submit(&child);
    let other = pay(&[foreign(1)], &[(script(8), 800)]);
    bench.mine(101, std::slice::from_ref(&other));
    let conflicted =
        BroadcastState::Conflicted { by: other.compute_txid(), height: BlockHeight(101) };
    assert_eq!((bench.state(&tx), bench.state(&child)), (conflicted, conflicted));
    bench.machine.handle_blocks_disconnected(BlockHeight(100), bench.now);
    bench.act();
    assert_eq!(bench.state(&tx), BroadcastState::Announced);
    assert_eq!(bench.state(&child), BroadcastState::Announced);
}

#[test]
fn a_replacement_is_told_in_place_of_what_it_replaces() {
    let (mut bench, tx) = (Bench::new(3), spend(1));
    bench.submit(&tx);
    let replacement = pay(&[foreign(1)], &[(script(8), 500)]);
    bench.submit(&replacement);
    assert_eq!(bench.told.len(), 3);
    bench.mine(101, &[]);
    // Only one of the two is told again.
    assert_eq!(bench.told.len(), 3);
    let waiting: Vec<Txid> =
        bench.machine.waiting().map(|(waiting, _)| waiting.compute_txid()).collect();
    assert_eq!(waiting, [tx.compute_txid(), replacement.compute_txid()]);
    bench.mine(102, std::slice::from_ref(&replacement));
    assert!(matches!(bench.state(&tx), BroadcastState::Conflicted { .. }));
}

#[test]
fn it_is_given_up_after_two_weeks_or_as_many_blocks_and_may_be_tried_again() {
    let (mut bench, tx) = (Bench::new(3), spend(1));
    let txid = bench.submit(&tx).txid();
    bench.mine(100 + 2_015, &[]);
    assert!(bench.state(&tx).is_live());
    bench.mine(100 + 2_016, &[]);
    assert_eq!(bench.states, [BroadcastState::GivenUp]);
    assert_eq!(bench.told, []);
    assert_eq!(bench.submit(&tx), Submitted::Again { txid });
    assert_eq!(bench.told.len(), 3);
    bench.machine.handle_timeout(at(14 * 24 * 60 * 60 - 1));
    assert!(bench.state(&tx).is_live());
    bench.machine.handle_timeout(at(14 * 24 * 60 * 60));
    assert_eq!(bench.state(&tx), BroadcastState::GivenUp);
}

#[test]
fn after_a_restart_it_goes_on() {
    let (mut bench, tx, done) = (Bench::new(3), spend(1), spend(2));
    bench.submit(&tx);
    bench.submit(&done);
    bench.machine.handle_requested(PeerId(1), &tx.compute_txid(), bench.now);
    bench.mine(101, std::slice::from_ref(&done));
    let states = |bench: &Bench| {
        let statuses = bench.machine.statuses().into_iter();
        statuses.map(|status| (status.txid, status.state, status.since)).collect::<Vec<_>>()
    };
    let before = states(&bench);
    bench.restart();
    assert_eq!(states(&bench), before);
    assert_eq!(bench.offered, BTreeSet::from([tx.compute_txid()]));
    bench.machine.handle_connected(PeerId(77), true, bench.now);
    bench.act();
    assert_eq!(bench.told, [PeerId(77)]);
    assert_eq!(bench.state(&done), BroadcastState::Confirmed { height: BlockHeight(101) });
    assert!(bench.machine.forget(&tx.compute_txid()));
    assert!(!bench.machine.forget(&tx.compute_txid()));
    bench.act();
    bench.restart();
    assert_eq!(bench.machine.statuses().len(), 1);
}

#[test]
fn what_is_followed_is_bounded_and_what_is_done_goes_first() {
    let mut bench = Bench::new(0);
    let numbered = |number: u32| {
        let mut tx = spend(1);
        tx.input[0].previous_output.vout = number;
        tx
    };
    let max = u32::try_from(MAX_BROADCASTS).unwrap();
    for number in 0..max {
        bench.machine.submit(&bytes(&numbered(number)), BlockHeight(1), bench.now).unwrap();
    }
    bench.act();
    let refused = bench.machine.submit(&bytes(&numbered(max)), BlockHeight(1), bench.now);
    assert_eq!(refused, Err(SubmitError::TooMany { limit: MAX_BROADCASTS }));
    bench.mine(2, &[numbered(5)]);
    bench.submit(&numbered(max));
    assert_eq!(bench.machine.status(&numbered(5).compute_txid()), None);
    bench.restart();
    assert_eq!(bench.machine.statuses().len(), MAX_BROADCASTS);
}

#[test]
fn a_damaged_row_is_named_and_can_be_dropped() {
    let (mut bench, tx) = (Bench::new(0), spend(1));
    bench.submit(&tx);
    bench.submit(&spend(2));
    let key = bitcoin::hashes::Hash::to_byte_array(tx.compute_txid());
    let mut stored = bench.store.get(Table::Broadcast, &key).unwrap().unwrap();
    stored[3] ^= 1;
    let mut batch = WriteBatch::new();
    batch.put(Table::Broadcast, key, stored);
    bench.store.commit(batch).unwrap();
    let refused = Broadcasts::load(&bench.store, BroadcastConfig::default(), SEED).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("checksum") && text.contains("send its transaction again"), "{text}");
    let (batch, lost) = Broadcasts::salvage(&bench.store).unwrap();
    assert_eq!(lost.len(), 1);
    bench.store.commit(batch).unwrap();
    bench.restart();
    assert_eq!(bench.machine.statuses().len(), 1);
}

#[test]
fn the_row_is_the_documented_one() {
    // The test vector of docs/STORE_FORMAT.md.
    let mut bench = Bench::new(0);
    let tx = pay(&[foreign(1)], &[(ScriptBuf::from_bytes(vec![0x51]), 1_000)]);
    let other = pay(&[foreign(1)], &[(ScriptBuf::from_bytes(vec![0x52]), 1_000)]);
    let txid = bench.submit(&tx).txid();
    bench.mine(101, std::slice::from_ref(&other));
    let key = bitcoin::hashes::Hash::to_byte_array(txid);
    let stored = bench.store.get(Table::Broadcast, &key).unwrap().unwrap();
    let payload = crate::store::checksum::open(Table::Broadcast, &key, &stored).unwrap();
    let mut expected = vec![7, 101, 0, 0, 0];
    expected.extend(bitcoin::hashes::Hash::to_byte_array(other.compute_txid()));
    expected.extend([0x00, 0xf1, 0x53, 0x65, 100, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([2, 0, 0, 0, 1].iter().chain(&[1; 32]));
    expected.extend([7, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0xe8, 3, 0, 0, 0, 0, 0, 0]);
    expected.extend([1, 0x51, 0, 0, 0, 0]);
    assert_eq!(payload, expected);
}

#[test]
fn scripts_to_match_are_those_of_live_ones() {
    let mut bench = Bench::new(0);
    let tx = pay(
        &[foreign(1)],
        &[(script(1), 5), (ScriptBuf::from_bytes(vec![0x6a]), 0), (ScriptBuf::new(), 1)],
    );
    bench.submit(&tx);
    let expected = script(1);
    assert_eq!(bench.machine.scripts().collect::<Vec<_>>(), [expected.as_script()]);
    bench.mine(101, &[tx]);
    assert_eq!(bench.machine.scripts().count(), 0);
}

mod sanity {
    use super::*;

    fn refused(transaction: &Transaction) -> SanityError {
        check(&bytes(transaction)).unwrap_err()
    }

    #[test]
    fn a_sane_transaction_passes() {
        assert_eq!(check(&bytes(&spend(1))), Ok(spend(1)));
    }

    #[test]
    fn bytes_have_to_be_exactly_one_transaction() {
        let whole = bytes(&spend(1));
        for length in 0..whole.len() {
            assert!(
                matches!(check(&whole[..length]), Err(SanityError::Malformed { .. })),
                "{length}"
            );
        }
        let longer = [whole.as_slice(), &[0]].concat();
        let (used, bytes) = (whole.len(), whole.len() + 1);
        assert_eq!(check(&longer), Err(SanityError::Trailing { bytes, used }));
    }

    #[test]
    fn inputs_and_outputs_have_to_be_there_and_inputs_differ() {
        let no_outputs = pay(&[foreign(1)], &[]);
        assert_eq!(refused(&no_outputs), SanityError::NoOutputs);
        let no_inputs = pay(&[], &[(script(1), 1)]);
        assert!(matches!(
            refused(&no_inputs),
            SanityError::NoInputs | SanityError::Malformed { .. }
        ));
        let twice = pay(&[foreign(1), foreign(2), foreign(1)], &[(script(1), 1)]);
        let duplicate = SanityError::DuplicateInput { outpoint: foreign(1), first: 0, second: 2 };
        assert_eq!(refused(&twice), duplicate);
    }

    #[test]
    fn a_coinbase_and_a_null_input_are_refused() {
        let long = ScriptBuf::from_bytes(vec![0x51; 34]);
        let coinbase = pay(&[OutPoint::null()], &[(long.clone(), 1)]);
        assert_eq!(refused(&coinbase), SanityError::Coinbase);
        let null = pay(&[foreign(1), OutPoint::null()], &[(long, 1)]);
        assert_eq!(refused(&null), SanityError::NullInput { input: 1 });
    }

    #[test]
    fn outputs_stay_within_all_money() {
        let all = Amount::MAX_MONEY.to_sat();
        let exactly = pay(&[foreign(1)], &[(script(1), all)]);
        assert!(check(&bytes(&exactly)).is_ok());
        let over = pay(&[foreign(1)], &[(script(1), 0), (script(1), all + 1)]);
        let value = Amount::from_sat(all + 1);
        assert_eq!(refused(&over), SanityError::ValueOutOfRange { output: 1, value });
        let sum = pay(&[foreign(1)], &[(script(1), all), (script(1), 1)]);
        assert_eq!(refused(&sum), SanityError::SumOutOfRange { output: 1 });
    }

    #[test]
    fn weight_and_size_stay_within_what_is_relayed() {
        let sized = |bytes: usize| {
            let mut tx = pay(&[foreign(1)], &[(script(1), 1)]);
            tx.input[0].script_sig = ScriptBuf::from_bytes(vec![0; bytes]);
            tx
        };
        let fits = (0..400_000).rev().find(|size| sized_weight(*size) <= MAX_WEIGHT).unwrap();
        assert!(check(&bytes(&sized(fits))).is_ok());
        let weight = sized(fits + 1).weight();
        assert_eq!(refused(&sized(fits + 1)), SanityError::TooHeavy { weight, limit: MAX_WEIGHT });
        let weight = Weight::from_wu(400_001);
        let refusal = check(&vec![0; 400_001]).unwrap_err();
        assert_eq!(refusal, SanityError::TooHeavy { weight, limit: MAX_WEIGHT });
    }

    /// The weight of the transaction above, without making it.
    fn sized_weight(script_sig: usize) -> Weight {
        let prefix = match script_sig {
            0..=252 => 1,
            253..=65_535 => 3,
            _ => 5,
        };
        let base = 4 + 1 + 36 + prefix + script_sig + 4 + 1 + 8 + 1 + 2 + 4;
        Weight::from_non_witness_data_size(u64::try_from(base).unwrap())
    }
}
