use std::collections::BTreeMap;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::{Amount, OutPoint, ScriptBuf};
use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{EMPTY_ROOT, StateValue as _, WalletAccount};

use super::{Behind, accounts_at, check_at_tip, script_id, sealed_at};
use crate::wallet::AccountName;
use crate::wallet::testing::{Bench, Dice, GOOD, Habits, SALT, TestChain, pay, script};
use crate::wallet::watch::{WatchId, WatchRequest, WatchTarget};

/// A wallet of single scripts that looks at the whole chain each time anew.
#[derive(Default)]
struct Naive {
    /// From a script to its birthdays, one an item.
    watched: BTreeMap<ScriptBuf, Vec<BlockHeight>>,
}

impl Naive {
    fn counts(&self, script: &ScriptBuf, height: u32) -> bool {
        self.watched.get(script).is_some_and(|from| from.iter().any(|from| from.0 <= height))
    }

    /// What each script has after a block, by a plain walk over all of them.
    fn accounts(&self, chain: &TestChain, last: usize) -> BTreeMap<[u8; 32], WalletAccount> {
        let mut coins: BTreeMap<OutPoint, (ScriptBuf, u64)> = BTreeMap::new();
        let mut accounts: BTreeMap<[u8; 32], WalletAccount> = BTreeMap::new();
        for (block, height) in chain.blocks.iter().zip(0_u32..).take(last + 1) {
            // Of each script: what is hashed, balance up, balance down, transactions.
            let mut changes: BTreeMap<ScriptBuf, (Vec<u8>, u64, u64, u32)> = BTreeMap::new();
            for (transaction, position) in block.txdata.iter().zip(0_u32..) {
                let txid = transaction.compute_txid();
                let mut touched = Vec::new();
                let mut inputs: Vec<OutPoint> =
                    transaction.input.iter().map(|input| input.previous_output).collect();
                inputs.sort();
                for outpoint in inputs {
                    let Some((script, value)) = coins.remove(&outpoint) else { continue };
                    let change = changes.entry(script.clone()).or_default();
                    change.0.push(1);
                    change.0.extend(outpoint.txid.to_byte_array());
                    change.0.extend(outpoint.vout.to_le_bytes());
                    change.0.extend(txid.to_byte_array());
                    change.2 += value;
                    touched.push(script);
                }
                for (output, vout) in transaction.output.iter().zip(0_u32..) {
                    let script = output.script_pubkey.clone();
                    if !self.counts(&script, height) {
                        continue;
                    }
                    let value = output.value.to_sat();
                    coins.insert(OutPoint { txid, vout }, (script.clone(), value));
                    let change = changes.entry(script.clone()).or_default();
                    change.0.push(0);
                    change.0.extend(txid.to_byte_array());
                    change.0.extend(vout.to_le_bytes());
                    change.0.extend(value.to_le_bytes());
                    change.0.extend(position.to_le_bytes());
                    change.0.push(u8::from(transaction.is_coinbase()));
                    change.1 += value;
                    touched.push(script);
                }
                touched.sort();
                touched.dedup();
                for script in touched {
                    changes.get_mut(&script).unwrap().3 += 1;
                }
            }
            for (script, (events, up, down, transactions)) in changes {
                let key = script_id(&script);
                let account = accounts.entry(key).or_insert_with(|| WalletAccount::blank(key));
                let hashed = [&account.coins_hash[..], &height.to_le_bytes(), &events].concat();
                account.coins_hash = sha256::Hash::hash(&hashed).to_byte_array();
                account.balance = account.balance + up - down;
                account.transactions += transactions;
            }
        }
        accounts
    }
}

struct World {
    chain: TestChain,
    bench: Bench,
    naive: Naive,
    items: Vec<(WatchId, ScriptBuf, BlockHeight)>,
    dice: Dice,
}

impl World {
    fn new(seed: u64) -> Self {
        let chain = TestChain::new(3);
        let bench = Bench::new(chain.tip());
        Self { chain, bench, naive: Naive::default(), items: Vec::new(), dice: Dice(seed) }
    }

    fn any_script(&mut self) -> ScriptBuf {
        script(u8::try_from(self.dice.below(6)).unwrap())
    }

    fn any_height(&mut self) -> BlockHeight {
        BlockHeight(u32::try_from(self.dice.below(self.chain.blocks.len() + 2)).unwrap())
    }

    fn mine(&mut self) {
        let mut unspent = self.chain.unspent();
        let mut transactions = Vec::new();
        for _ in 0..self.dice.below(4) {
            let inputs = (1 + self.dice.below(2)).min(unspent.len());
            let spent: Vec<(OutPoint, u64)> =
                (0..inputs).map(|_| unspent.swap_remove(self.dice.below(unspent.len()))).collect();
            let value: u64 = spent.iter().map(|(_, value)| value).sum();
            let outputs = [(self.any_script(), value / 2), (self.any_script(), value / 3)];
            let spent: Vec<OutPoint> = spent.into_iter().map(|(outpoint, _)| outpoint).collect();
            let transaction = pay(&spent, &outputs);
            // What was made in this block may be spent in it.
            unspent.push((OutPoint { txid: transaction.compute_txid(), vout: 1 }, value / 3));
            transactions.push(transaction);
        }
        let to = self.any_script();
        self.chain.mine(&to, transactions);
    }

    fn add(&mut self) {
        let (script, birthday) = (self.any_script(), self.any_height());
        let target = WatchTarget::script(script.clone()).unwrap();
        let account = ["default", "cold"][self.dice.below(2)].parse().unwrap();
        let request = WatchRequest { account, ..WatchRequest::new(target, birthday) };
        let planned = self.bench.wallet.plan_watch(request).unwrap();
        let id = self.bench.commit(planned).id;
        match self.items.iter_mut().find(|(item, ..)| *item == id) {
            Some((_, _, from)) => *from = birthday.min(*from),
            None => self.items.push((id, script, birthday)),
        }
    }

    fn remove(&mut self) {
        if self.items.is_empty() {
            return;
        }
        let (id, ..) = self.items.swap_remove(self.dice.below(self.items.len()));
        let planned = self.bench.wallet.plan_unwatch(id).unwrap();
        self.bench.commit(planned);
    }

    fn rescan(&mut self) {
        let from = self.any_height().min(self.chain.tip().height);
        let planned = self.bench.wallet.plan_rescan(None, from).unwrap();
        self.bench.commit(planned);
        self.items.iter_mut().for_each(|(_, _, birthday)| *birthday = from.min(*birthday));
    }

    fn step(&mut self) {
        match self.dice.below(10) {
            0..=4 => (0..=self.dice.below(3)).for_each(|_| self.mine()),
            5 => {
                let depth = 1 + self.dice.below(self.chain.blocks.len() - 1).min(9);
                self.chain.take_off(depth);
                (0..=depth).for_each(|_| self.mine());
            }
            6 | 7 => self.add(),
            8 => self.remove(),
            _ => self.rescan(),
        }
        self.naive.watched.clear();
        for (_, script, birthday) in &self.items {
            self.naive.watched.entry(script.clone()).or_default().push(*birthday);
        }
    }

    /// What accounts have at a height is what their coins were worth there.
    fn compare_totals(&self, at: BlockHeight, accounts: &BTreeMap<[u8; 32], WalletAccount>) {
        let wallet = &self.bench.wallet;
        let get = |key: &[u8; 32]| Ok::<_, std::convert::Infallible>(accounts.get(key).cloned());
        let Ok(totals) = wallet.totals_at(at, get);
        let worth = |account: Option<&AccountName>| -> Amount {
            let coins = wallet.ledger.coins().values();
            let there = coins.filter(|coin| {
                coin.made.height <= at && coin.spent.is_none_or(|spend| spend.place.height > at)
            });
            let ours =
                there.filter(|coin| wallet.watched.counts(&coin.script, coin.made.height, account));
            ours.map(|coin| coin.value).sum()
        };
        assert_eq!(totals.balance, worth(None), "{at}");
        let names: Vec<AccountName> =
            totals.accounts.iter().map(|account| account.account.clone()).collect();
        assert_eq!(names, wallet.accounts());
        for account in totals.accounts {
            assert_eq!(account.balance, worth(Some(&account.account)), "{at} {}", account.account);
        }
    }

    /// Every height up to which the wallet says that it is complete is what the naive one has there.
    fn compare(&self) -> usize {
        let Some(complete) = self.bench.wallet.complete_to() else { return 0 };
        let Bench { wallet, kept, .. } = &self.bench;
        assert_eq!(kept.reach(wallet), Some(complete));
        let heights = (complete.0 + 1).try_into().unwrap();
        for height in 0..heights {
            let at = BlockHeight(u32::try_from(height).unwrap());
            let expected = self.naive.accounts(&self.chain, height);
            assert_eq!(accounts_at(&wallet.ledger, at, |_| true), expected, "{at}");
            let own = sealed_at(&wallet.ledger, at, SALT, |_| true).unwrap();
            let (states, sealed) = kept.at(wallet, at).unwrap();
            let root = sealed.map_or(EMPTY_ROOT, |sealed| states.root_at(sealed).unwrap());
            assert_eq!(root, own.root(at).unwrap(), "{at}");
            for (key, account) in &expected {
                let found = states.get(key, sealed.unwrap()).unwrap();
                assert_eq!(found.as_ref(), Some(account), "{at}");
            }
            self.compare_totals(at, &expected);
        }
        heights
    }
}

#[test]
fn every_complete_height_is_what_a_walk_over_the_chain_gives() {
    let mut compared = 0;
    for seed in 0..12 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..20 {
            world.step();
            let dies = [None, Some(6)][world.dice.below(2)];
            let habits = Habits { dies, ..GOOD };
            let World { bench, chain, dice, .. } = &mut world;
            if dice.one_in(3) {
                // As far as it gets before the next thing happens.
                bench.follow(chain, habits, dice, 2);
            } else {
                bench.sync(chain, habits, dice);
            }
            compared += world.compare();
        }
        let World { bench, chain, dice, .. } = &mut world;
        bench.sync(chain, GOOD, dice);
        assert_eq!(bench.wallet.complete_to(), Some(chain.tip().height));
        compared += world.compare();
    }
    assert!(compared > 2_000, "{compared}");
}

#[test]
fn a_height_above_the_lowest_scan_is_refused_with_what_there_is() {
    let chain = TestChain::new(6);
    let mut bench = Bench::new(chain.tip());
    assert_eq!(bench.wallet.check_complete(BlockHeight(5)), Ok(()));
    let target = WatchTarget::script(script(1)).unwrap();
    let planned = bench.wallet.plan_watch(WatchRequest::new(target, BlockHeight(3))).unwrap();
    bench.commit(planned);
    assert_eq!(bench.wallet.check_complete(BlockHeight(2)), Ok(()));
    let refused = bench.wallet.check_complete(BlockHeight(3)).unwrap_err();
    assert_eq!((refused.height, refused.complete), (BlockHeight(3), Some(BlockHeight(2))));
    bench.sync(&chain, GOOD, &mut Dice(1));
    assert_eq!(bench.wallet.check_complete(BlockHeight(5)), Ok(()));
    assert!(bench.wallet.check_complete(BlockHeight(6)).is_err());
}

#[test]
fn a_history_that_ends_below_the_tip_says_how_far_it_goes_and_what_to_do() {
    let (tip, complete) = (BlockHeight(9), Some(BlockHeight(8)));
    let behind = check_at_tip(complete, tip).unwrap_err();
    assert_eq!(behind, Behind { tip, complete });
    let text = behind.to_string();
    assert!(text.contains("up to 8") && text.contains("--height"), "{text}");
    assert!(check_at_tip(None, BlockHeight(0)).is_err());
    assert_eq!(check_at_tip(Some(tip), tip), Ok(tip));
}

#[test]
fn a_scan_that_finds_nothing_takes_no_sealed_height_back() {
    let mut chain = TestChain::new(3);
    let mut bench = Bench::new(chain.tip());
    for (number, birthday) in [(1, 0), (2, 0)] {
        let target = WatchTarget::script(script(number)).unwrap();
        let request = WatchRequest::new(target, BlockHeight(birthday));
        let planned = bench.wallet.plan_watch(request).unwrap();
        bench.commit(planned);
    }
    chain.mine(&script(1), Vec::new());
    bench.sync(&chain, GOOD, &mut Dice(1));
    assert_eq!((newest(&bench), bench.taken_back), (Some(BlockHeight(3)), 1));
    let scanned = bench.scanned;
    let planned = bench.wallet.plan_rescan(None, BlockHeight(0)).unwrap();
    bench.commit(planned);
    // Blocks that match for nothing are looked into as well.
    let habits = Habits { false_matches: Some(2), ..GOOD };
    bench.sync(&chain, habits, &mut Dice(1));
    assert!(bench.scanned >= scanned + 4);
    assert_eq!((newest(&bench), bench.taken_back), (Some(BlockHeight(3)), 1));
}

fn newest(bench: &Bench) -> Option<BlockHeight> {
    let complete = bench.wallet.complete_to().unwrap();
    bench.kept.at(&bench.wallet, complete).unwrap().0.newest()
}
