//! The wallet against a naive one, which looks at the whole chain each time anew.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction};
use ironlight_spv::BlockHeight;

use super::testing::{Bench, Dice, GOOD, Habits, NETWORK, TPUB, TestChain, pay, script};
use super::watch::{GapLimit, WatchId, WatchRequest, WatchTarget};
use super::{AccountName, COINBASE_MATURITY, HistoryEntry, Place, Utxo};

/// An item as the naive wallet knows it: all its scripts, and how many count.
struct Item {
    id: WatchId,
    account: AccountName,
    birthday: BlockHeight,
    gap: Option<usize>,
    /// Of each keychain the scripts with their indices.
    keychains: Vec<BTreeMap<ScriptBuf, usize>>,
    derived: Vec<usize>,
}

impl Item {
    fn has(&self, script: &ScriptBuf, height: BlockHeight) -> bool {
        height >= self.birthday
            && self
                .keychains
                .iter()
                .zip(&self.derived)
                .any(|(scripts, derived)| scripts.get(script).is_some_and(|index| index < derived))
    }
}

struct NaiveCoin {
    value: Amount,
    script: ScriptBuf,
    place: Place,
    coinbase: bool,
    spent: Option<Place>,
}

#[derive(Default)]
struct Naive {
    items: Vec<Item>,
}

fn all(chain: &TestChain) -> impl Iterator<Item = (Place, &Transaction)> {
    chain.blocks.iter().zip(0..).flat_map(|(block, height)| {
        block.txdata.iter().zip(0..).map(move |(transaction, position)| {
            (Place { height: BlockHeight(height), position }, transaction)
        })
    })
}

impl Naive {
    /// Counts scripts until the gap behind each used one is kept.
    fn derive(&mut self, chain: &TestChain) {
        for item in &mut self.items {
            let Some(gap) = item.gap else { continue };
            for (scripts, derived) in item.keychains.iter().zip(&mut item.derived) {
                let outputs = all(chain)
                    .filter(|(place, _)| place.height >= item.birthday)
                    .flat_map(|(_, transaction)| &transaction.output);
                let used = outputs.filter_map(|output| scripts.get(&output.script_pubkey));
                let mut used: Vec<usize> = used.copied().collect();
                used.sort_unstable();
                for index in used {
                    if index < *derived {
                        *derived = (*derived).max(index + 1 + gap);
                    }
                }
            }
        }
    }

    fn counts(
        &self,
        script: &ScriptBuf,
        height: BlockHeight,
        account: Option<&AccountName>,
    ) -> bool {
        self.items.iter().any(|item| {
            item.has(script, height) && account.is_none_or(|account| item.account == *account)
        })
    }

    fn coins(&self, chain: &TestChain) -> BTreeMap<OutPoint, NaiveCoin> {
        let mut coins: BTreeMap<OutPoint, NaiveCoin> = BTreeMap::new();
        for (place, transaction) in all(chain) {
            for input in &transaction.input {
                if let Some(coin) = coins.get_mut(&input.previous_output) {
                    coin.spent = Some(place);
                }
            }
            let txid = transaction.compute_txid();
            for (output, vout) in transaction.output.iter().zip(0..) {
                let script = output.script_pubkey.clone();
                if self.counts(&script, place.height, None) {
                    let (value, coinbase) = (output.value, transaction.is_coinbase());
                    let coin = NaiveCoin { value, script, place, coinbase, spent: None };
                    coins.insert(OutPoint { txid, vout }, coin);
                }
            }
        }
        coins
    }

    fn compare(
        &self,
        bench: &Bench,
        chain: &TestChain,
        account: Option<&AccountName>,
        coins: &BTreeMap<OutPoint, NaiveCoin>,
    ) {
        let tip = chain.tip().height.0;
        let ours = |coin: &NaiveCoin| self.counts(&coin.script, coin.place.height, account);
        let (mut confirmed, mut immature, mut utxos) = (0, 0, BTreeSet::new());
        for (outpoint, coin) in coins.iter().filter(|(_, coin)| coin.spent.is_none() && ours(coin))
        {
            let confirmations = tip - coin.place.height.0 + 1;
            let young = coin.coinbase && confirmations <= COINBASE_MATURITY;
            *(if young { &mut immature } else { &mut confirmed }) += coin.value.to_sat();
            utxos.insert((coin.place, *outpoint, coin.value, confirmations, !young));
        }
        let balance = bench.wallet.balance(account);
        assert_eq!(balance.confirmed.to_sat(), confirmed);
        assert_eq!(balance.immature.to_sat(), immature);
        let as_naive =
            |utxo: Utxo| (utxo.place, utxo.outpoint, utxo.value, utxo.confirmations, utxo.mature);
        let found: Vec<_> = bench.wallet.utxos(account).into_iter().map(as_naive).collect();
        assert_eq!(found, utxos.into_iter().collect::<Vec<_>>());
        self.compare_history(bench, chain, account, coins);
    }

    fn compare_history(
        &self,
        bench: &Bench,
        chain: &TestChain,
        account: Option<&AccountName>,
        coins: &BTreeMap<OutPoint, NaiveCoin>,
    ) {
        let tip = chain.tip().height.0;
        let mut expected = Vec::new();
        for (place, transaction) in all(chain) {
            let txid = transaction.compute_txid();
            let spent: Vec<&NaiveCoin> = transaction
                .input
                .iter()
                .filter_map(|input| coins.get(&input.previous_output))
                .collect();
            let outputs = OutPoint { txid, vout: 0 }..=OutPoint { txid, vout: u32::MAX };
            let made: Vec<&NaiveCoin> = coins.range(outputs).map(|(_, coin)| coin).collect();
            let of_account = |coins: &[&NaiveCoin]| -> Option<Amount> {
                let coins = coins
                    .iter()
                    .filter(|coin| self.counts(&coin.script, coin.place.height, account));
                let values: Vec<Amount> = coins.map(|coin| coin.value).collect();
                (!values.is_empty()).then(|| values.into_iter().sum())
            };
            let (received, sent) = (of_account(&made), of_account(&spent));
            if received.is_none() && sent.is_none() {
                continue;
            }
            let inputs: Amount = spent.iter().map(|coin| coin.value).sum();
            let outputs: Amount = transaction.output.iter().map(|output| output.value).sum();
            expected.push(HistoryEntry {
                txid,
                place,
                block: chain.hash_at(place.height).unwrap(),
                received: received.unwrap_or_default(),
                sent: sent.unwrap_or_default(),
                fee: (spent.len() == transaction.input.len()).then(|| inputs - outputs),
                confirmations: tip - place.height.0 + 1,
            });
        }
        expected.reverse();
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = bench.wallet.history(account, before, 3);
            found.extend(page.entries);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, expected);
    }
}

/// What the random chain pays to and may be watched.
struct World {
    chain: TestChain,
    bench: Bench,
    naive: Naive,
    dice: Dice,
    descriptors: Vec<(String, Vec<Vec<ScriptBuf>>)>,
    /// Blocks that were given up.
    reorgs: usize,
}

/// Indices that the naive wallet has scripts of.
const TABLE: u32 = 40;

fn descriptors() -> Vec<(String, Vec<Vec<ScriptBuf>>)> {
    let texts = [format!("wpkh({TPUB}/0/<0;1>/*)"), format!("sh(wpkh({TPUB}/1/*))")];
    let with_scripts = |text: String| {
        let target = WatchTarget::descriptor(&text, NETWORK).unwrap();
        let keychains = 0..target.keychains();
        let scripts =
            keychains.map(|keychain| target.derive(keychain, 0, TABLE).unwrap()).collect();
        (text, scripts)
    };
    texts.into_iter().map(with_scripts).collect()
}

impl World {
    fn new(seed: u64, descriptors: Vec<(String, Vec<Vec<ScriptBuf>>)>) -> Self {
        let chain = TestChain::new(3);
        let bench = Bench::new(chain.tip());
        let (naive, dice) = (Naive::default(), Dice(seed));
        Self { chain, bench, naive, dice, descriptors, reorgs: 0 }
    }

    /// A script that may be watched, near the start of a range or near what is derived.
    fn any_script(&mut self) -> ScriptBuf {
        if self.dice.one_in(2) {
            return script(u8::try_from(self.dice.below(6)).unwrap());
        }
        let (_, keychains) = self.dice.pick(&self.descriptors).unwrap().clone();
        let scripts = self.dice.pick(&keychains).unwrap();
        scripts[self.dice.below(12)].clone()
    }

    fn mine(&mut self) {
        let mut unspent = self.chain.unspent();
        let mut transactions = Vec::new();
        for _ in 0..self.dice.below(4) {
            let inputs = 1 + self.dice.below(3);
            let (mut spent, mut value) = (Vec::new(), 0);
            for _ in 0..inputs.min(unspent.len()) {
                let (outpoint, worth) = unspent.swap_remove(self.dice.below(unspent.len()));
                spent.push(outpoint);
                value += worth;
            }
            let mut outputs = vec![(self.any_script(), value / 2), (self.any_script(), value / 3)];
            if self.dice.one_in(4) {
                outputs.push((ScriptBuf::from_bytes(vec![0x6a, 1, 7]), 0));
            }
            if spent.is_empty() {
                continue;
            }
            let transaction = pay(&spent, &outputs);
            // What was made in this block may be spent in it.
            let txid = transaction.compute_txid();
            unspent.push((OutPoint { txid, vout: 0 }, value / 2));
            transactions.push(transaction);
        }
        let to = self.any_script();
        self.chain.mine(&to, transactions);
    }

    fn reorg(&mut self) {
        let length = self.chain.blocks.len();
        let depth = if self.dice.one_in(6) { length - 1 } else { 8.min(length - 1) };
        let depth = 1 + self.dice.below(depth);
        self.chain.take_off(depth);
        (0..=depth).for_each(|_| self.mine());
        self.reorgs += depth;
    }

    fn add(&mut self) {
        let birthday =
            BlockHeight(u32::try_from(self.dice.below(self.chain.blocks.len() + 3)).unwrap());
        let account: AccountName = ["default", "cold"][self.dice.below(2)].parse().unwrap();
        let (target, keychains, gap) = if self.dice.one_in(3) {
            let script = self.any_script();
            (WatchTarget::script(script.clone()).unwrap(), vec![vec![script]], None)
        } else {
            let (text, keychains) = self.dice.pick(&self.descriptors).unwrap().clone();
            let gap = 1 + self.dice.below(6);
            (WatchTarget::descriptor(&text, NETWORK).unwrap(), keychains, Some(gap))
        };
        let mut request =
            WatchRequest { account: account.clone(), ..WatchRequest::new(target, birthday) };
        if let Some(gap) = gap {
            request.gap_limit = GapLimit::new(u32::try_from(gap).unwrap()).unwrap();
        }
        let planned = self.bench.wallet.plan_watch(request).unwrap();
        let id = self.bench.commit(planned).id;
        match self.naive.items.iter_mut().find(|item| item.id == id) {
            Some(item) => {
                item.birthday = item.birthday.min(birthday);
                if let (Some(old), Some(new)) = (item.gap, gap) {
                    let more = new.saturating_sub(old);
                    item.derived.iter_mut().for_each(|derived| *derived += more);
                    item.gap = Some(old.max(new));
                }
            }
            None => {
                let derived = vec![gap.unwrap_or(1); keychains.len()];
                let numbered = |scripts: Vec<ScriptBuf>| scripts.into_iter().zip(0..).collect();
                let keychains = keychains.into_iter().map(numbered).collect();
                self.naive.items.push(Item { id, account, birthday, gap, keychains, derived });
            }
        }
    }

    fn remove(&mut self) {
        if self.naive.items.is_empty() {
            return;
        }
        let item = self.naive.items.swap_remove(self.dice.below(self.naive.items.len()));
        let planned = self.bench.wallet.plan_unwatch(item.id).unwrap();
        self.bench.commit(planned);
    }

    fn rescan(&mut self) {
        let from = BlockHeight(u32::try_from(self.dice.below(self.chain.blocks.len())).unwrap());
        let which = self.naive.items.get(self.dice.below(4)).map(|item| item.id);
        let planned = self.bench.wallet.plan_rescan(which, from).unwrap();
        self.bench.commit(planned);
        for item in &mut self.naive.items {
            if which.is_none_or(|id| item.id == id) {
                item.birthday = item.birthday.min(from);
            }
        }
    }

    fn step(&mut self) {
        let what = self.dice.below(12);
        // Of a test that fails: what led there.
        print!("{what} ");
        match what {
            0..=4 => (0..=self.dice.below(3)).for_each(|_| self.mine()),
            5 | 6 => self.reorg(),
            7 | 8 => self.add(),
            9 => self.remove(),
            10 => self.rescan(),
            _ => self.bench.reload(),
        }
        let habits = Habits {
            asks_again: self.dice.one_in(2),
            dies: [None, Some(40)][self.dice.below(2)],
            false_matches: [None, Some(3)][self.dice.below(2)],
        };
        // A scanner that is interrupted goes on where it was.
        self.bench.sync(&self.chain, habits, &mut self.dice);
        self.naive.derive(&self.chain);
        for item in &self.naive.items {
            let derived: Vec<usize> = self
                .bench
                .wallet
                .watch(item.id)
                .unwrap()
                .derived
                .iter()
                .map(|count| usize::try_from(*count).unwrap())
                .collect();
            assert_eq!(derived, item.derived);
        }
        let coins = self.naive.coins(&self.chain);
        for account in [None, Some("default"), Some("cold"), Some("nobody")] {
            let account = account.map(|name| name.parse().unwrap());
            self.naive.compare(&self.bench, &self.chain, account.as_ref(), &coins);
        }
    }
}

#[test]
fn the_wallet_equals_one_that_looks_at_the_whole_chain_at_every_step() {
    let descriptors = descriptors();
    let mut reorgs = 0;
    for seed in 0..25 {
        println!("\nseed {seed}, steps");
        let mut world = World::new(seed, descriptors.clone());
        for _ in 0..30 {
            world.step();
        }
        world.bench.reload();
        reorgs += world.reorgs;
    }
    assert!(reorgs > 400, "{reorgs}");
}

#[test]
fn coins_of_a_long_chain_mature_as_in_bitcoin_core() {
    let mut world = World::new(7, descriptors());
    world.add();
    for _ in 0..110 {
        world.mine();
    }
    for _ in 0..6 {
        world.step();
    }
    // Core: 101 blocks give one mature coinbase.
    let mut chain = TestChain::new(1);
    let mut bench = Bench::new(chain.tip());
    let target = WatchTarget::script(script(1)).unwrap();
    let planned = bench.wallet.plan_watch(WatchRequest::new(target, BlockHeight(0))).unwrap();
    bench.commit(planned);
    for height in 1..=101 {
        chain.mine(&script(1), Vec::new());
        bench.sync(&chain, GOOD, &mut Dice(1));
        let balance = bench.wallet.balance(None);
        let mature = if height == 101 { 50 } else { 0 };
        assert_eq!(balance.confirmed.to_sat(), mature, "{height}");
        assert_eq!(balance.immature.to_sat(), 50 * height - mature);
    }
}
