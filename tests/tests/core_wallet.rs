//! What the wallet says, beside a real Bitcoin Core at every step: its set of unspent outputs, and its
//! blocks read one by one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is the test's failure"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use ironlight::wallet::broadcast::BroadcastState;
use ironlight::wallet::service::WalletHandle;
use ironlight::wallet::watch::{WatchRequest, WatchTarget};
use ironlight::wallet::{Balance, COINBASE_MATURITY};
use ironlight::{BlockHeight, Network, Node};
use ironlight_tests::{BitcoinCore, Signer, Spendable};
use serde_json::{Value, json};

// Core's mock time makes it hang up now and then, and each redial waits longer.
const LIMIT: Duration = Duration::from_secs(120);
/// Indices that Core looks at; ours are derived as they are used.
const RANGE: u32 = 520;
const FEE: Amount = Amount::from_sat(2_000);

struct Bench {
    core: BitcoinCore,
    signer: Signer,
    scripts: BTreeMap<String, u32>,
}

async fn node(core: &BitcoinCore, data_dir: &Path) -> Node {
    Node::builder(Network::Regtest)
        .data_dir(data_dir)
        .connect(core.address())
        .build()
        .await
        .unwrap()
}

fn bitcoin(amount: &Value) -> Amount {
    Amount::from_btc(amount.as_f64().unwrap()).unwrap()
}

impl Bench {
    fn start() -> Self {
        let core = BitcoinCore::start(&["-blockfilterindex=1", "-peerblockfilters=1"]);
        let signer = Signer::new(1);
        let scripts = (0..RANGE).map(|index| (signer.script(index).to_hex_string(), index));
        let scripts = scripts.collect();
        Self { core, signer, scripts }
    }

    fn watched(&self) -> WatchRequest {
        let target = WatchTarget::descriptor(&self.signer.descriptor(), Network::Regtest).unwrap();
        WatchRequest::new(target, BlockHeight(1))
    }

    /// Waits for the wallet to be where Core is.
    async fn synced(&self, wallet: &WalletHandle) {
        let tip = self.core.tip();
        let there = |status: &ironlight::wallet::service::ScanStatus| {
            status.synced && status.tip.is_some_and(|at| at.hash.to_string() == tip)
        };
        let synced = tokio::time::timeout(LIMIT, wallet.when(there)).await;
        synced.unwrap_or_else(|_| panic!("at {:?}, not {tip}", wallet.status())).unwrap();
    }

    /// Every answer of the wallet's equals what Core's outputs and blocks say.
    async fn compare(&self, wallet: &WalletHandle) -> Balance {
        self.synced(wallet).await;
        self.compare_coins(wallet);
        self.compare_history(wallet);
        wallet.balance(None)
    }

    fn compare_coins(&self, wallet: &WalletHandle) {
        let height = self.core.height();
        let what = json!({ "desc": self.signer.descriptor(), "range": [0, RANGE - 1] });
        let found = self.core.ask("scantxoutset", json!(["start", [what]]));
        let theirs = found["unspents"].as_array().unwrap().iter().map(|coin| {
            let txid: Txid = coin["txid"].as_str().unwrap().parse().unwrap();
            let vout = u32::try_from(coin["vout"].as_u64().unwrap()).unwrap();
            let outpoint = OutPoint { txid, vout };
            let coinbase = coin["coinbase"].as_bool().unwrap();
            (outpoint, bitcoin(&coin["amount"]), coin["height"].as_u64().unwrap(), coinbase)
        });
        let theirs: BTreeSet<_> = theirs.collect();
        let ours = wallet.utxos(None);
        let ours: BTreeSet<_> = ours
            .iter()
            .map(|coin| (coin.outpoint, coin.value, u64::from(coin.place.height.0), coin.coinbase))
            .collect();
        assert_eq!(ours, theirs);
        let immature = |coin: &&(OutPoint, Amount, u64, bool)| {
            coin.3 && u64::from(height) + 1 - coin.2 <= u64::from(COINBASE_MATURITY)
        };
        let sum = |coins: Vec<&(OutPoint, Amount, u64, bool)>| -> Amount {
            coins.iter().map(|coin| coin.1).sum()
        };
        let (young, ripe): (Vec<_>, Vec<_>) = theirs.iter().partition(immature);
        let balance = wallet.balance(None);
        assert_eq!((balance.immature, balance.confirmed), (sum(young), sum(ripe)));
    }

    /// The transactions of all blocks that touch one of our scripts, by reading the blocks.
    fn compare_history(&self, wallet: &WalletHandle) {
        let heights = 1..=self.core.height();
        let hashes = self.core.ask_all("getblockhash", heights.map(|height| json!([height])));
        let blocks = hashes.chunks(50).flat_map(|some| {
            self.core.ask_all("getblock", some.iter().map(|hash| json!([hash, 3])))
        });
        let ours_is = |script: &Value| {
            script["hex"].as_str().is_some_and(|hex| self.scripts.contains_key(hex))
        };
        let mut theirs = BTreeSet::new();
        for block in blocks {
            for transaction in block["tx"].as_array().unwrap() {
                let outputs = transaction["vout"].as_array().unwrap().iter();
                let inputs = transaction["vin"].as_array().unwrap().iter();
                let paid = outputs.map(|output| &output["scriptPubKey"]);
                let spent = inputs.map(|input| &input["prevout"]["scriptPubKey"]);
                if paid.chain(spent).any(ours_is) {
                    let txid: Txid = transaction["txid"].as_str().unwrap().parse().unwrap();
                    theirs.insert((txid, block["height"].as_u64().unwrap()));
                }
            }
        }
        let (mut ours, mut before) = (BTreeSet::new(), None);
        loop {
            let page = wallet.history(None, before, 7);
            for entry in &page.entries {
                ours.insert((entry.txid, u64::from(entry.place.height.0)));
            }
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(ours, theirs);
    }

    /// The coins of ours that can be spent now, the largest first.
    fn spendable(&self, wallet: &WalletHandle) -> Vec<Spendable> {
        let coins = wallet.utxos(None).into_iter().filter(|coin| coin.mature);
        let coins = coins.filter(|coin| coin.pending_spend.is_none()).map(|coin| {
            let index = self.scripts[&coin.script.to_hex_string()];
            Spendable { outpoint: coin.outpoint, value: coin.value, index }
        });
        let mut coins: Vec<_> = coins.collect();
        coins.sort_by_key(|coin| std::cmp::Reverse(coin.value));
        coins
    }

    /// A payment from our largest coin to scripts, the rest back to a script of ours.
    fn pay(
        &self,
        wallet: &WalletHandle,
        to: Vec<(ScriptBuf, Amount)>,
        change: u32,
        fee: Amount,
    ) -> (Spendable, Transaction) {
        let coin = self.spendable(wallet)[0].clone();
        let spent = self.pay_from(&coin, to, change, fee);
        (coin, spent)
    }

    fn pay_from(
        &self,
        coin: &Spendable,
        to: Vec<(ScriptBuf, Amount)>,
        change: u32,
        fee: Amount,
    ) -> Transaction {
        let paid: Amount = to.iter().map(|(_, amount)| *amount).sum();
        let rest = coin.value - paid - fee;
        let to = to.into_iter().chain([(self.signer.script(change), rest)]);
        let output = to.map(|(script_pubkey, value)| TxOut { value, script_pubkey });
        self.signer.spend(std::slice::from_ref(coin), output.collect())
    }

    /// Waits until Core has taken a transaction into its memory pool.
    async fn taken(&mut self, txid: Txid) {
        for _ in 0..600 {
            let pool = self.core.ask("getrawmempool", json!([]));
            if pool.as_array().unwrap().iter().any(|found| *found == json!(txid.to_string())) {
                return;
            }
            self.core.tick(2);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("Bitcoin Core did not take {txid}");
    }
}

/// Where mined coins go that are none of ours.
fn nowhere() -> String {
    let address = bitcoin::Address::from_script(&elsewhere(), bitcoin::Network::Regtest);
    address.unwrap().to_string()
}

fn elsewhere() -> ScriptBuf {
    ScriptBuf::from_hex("00140000000000000000000000000000000000000000").unwrap()
}

/// Waits until a broadcast stands as it should.
async fn stands(wallet: &WalletHandle, txid: Txid, fits: impl Fn(BroadcastState) -> bool) {
    for _ in 0..600 {
        if wallet.broadcast_status(&txid).is_some_and(|status| fits(status.state)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{txid}: {:?}", wallet.broadcast_status(&txid));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
async fn balances_coins_and_history_equal_cores_at_every_step() {
    let mut bench = Bench::start();
    let data_dir = tempfile::tempdir().unwrap();
    bench.core.mine(10);
    let node = node(&bench.core, data_dir.path()).await;
    let wallet = node.wallet().clone();
    wallet.watch(bench.watched()).await.unwrap();
    assert_eq!(bench.compare(&wallet).await, Balance::default());

    // A mined coin: ours at once, to be spent after a hundred blocks on top of it.
    let first = bench.signer.address(0);
    for _ in 0..3 {
        bench.core.mine_to(&first, true);
    }
    assert_eq!(bench.compare(&wallet).await.immature, Amount::from_int_btc(150));
    bench.core.mine(97);
    assert_eq!(bench.compare(&wallet).await.confirmed, Amount::ZERO);
    bench.core.mine(1);
    assert_eq!(bench.compare(&wallet).await.confirmed, Amount::from_int_btc(50));
    bench.core.mine(2);
    assert_eq!(bench.compare(&wallet).await.immature, Amount::ZERO);

    // Pay to somebody else and to ourselves.
    let one = Amount::from_int_btc(1);
    let (_, payment) = bench.pay(&wallet, vec![(elsewhere(), one)], 1, FEE);
    let txid = wallet.broadcast(&payment).await.unwrap().txid();
    bench.taken(txid).await;
    let pending = bench.compare(&wallet).await;
    assert_eq!(pending.pending_out, Amount::from_int_btc(50));
    bench.core.mine_to(&nowhere(), true);
    bench.compare(&wallet).await;
    stands(&wallet, txid, |state| matches!(state, BroadcastState::Confirmed { .. })).await;
    let proof = wallet.prove(txid, None).await.unwrap();
    let hex: String = proof.merkle_block.iter().map(|byte| format!("{byte:02x}")).collect();
    let proven = bench.core.ask("verifytxoutproof", json!([hex]));
    assert_eq!(proven, json!([txid.to_string()]), "Core believes our proof");

    replaced_and_reorganised(&mut bench, &wallet).await;
    five_hundred_addresses(&mut bench, &wallet).await;

    // Somebody else with the same descriptor finds the same, from a birthday and by a rescan.
    let later = tempfile::tempdir().unwrap();
    let other = self::node(&bench.core, later.path()).await;
    other.wallet().watch(bench.watched()).await.unwrap();
    bench.compare(other.wallet()).await;
    let before = other.networks().await[0].bytes_in;
    other.wallet().rescan(None, BlockHeight(1)).await.unwrap();
    bench.compare(other.wallet()).await;
    let filters = other.networks().await[0].bytes_in - before;
    assert!(filters < 100_000, "a rescan used {filters} bytes of the network");
    other.stop().await.unwrap();
    node.stop().await.unwrap();
}

/// A payment is replaced, and what replaced it loses its block and gets another one.
async fn replaced_and_reorganised(bench: &mut Bench, wallet: &WalletHandle) {
    let one = Amount::from_int_btc(1);
    // Replace by fee: the second one confirms, the first one cannot any more.
    let (coin, cheap) = bench.pay(wallet, vec![(elsewhere(), one)], 2, FEE);
    let cheap_txid = wallet.broadcast(&cheap).await.unwrap().txid();
    bench.taken(cheap_txid).await;
    let dear = bench.pay_from(&coin, vec![(elsewhere(), one)], 3, FEE * 10);
    let dear_txid = wallet.broadcast(&dear).await.unwrap().txid();
    bench.taken(dear_txid).await;
    let waiting: Vec<_> = wallet.pending(None).iter().map(|entry| entry.txid).collect();
    assert_eq!(waiting, [dear_txid]);
    bench.core.mine_to(&nowhere(), true);
    bench.compare(wallet).await;
    stands(wallet, cheap_txid, |state| matches!(state, BroadcastState::Conflicted { .. })).await;

    // A reorg takes its block away, and then it confirms in another one.
    let block = bench.core.tip();
    let _ = bench.core.ask("invalidateblock", json!([block]));
    bench.core.mine_to(&nowhere(), false);
    bench.core.mine_to(&nowhere(), false);
    bench.compare(wallet).await;
    let waiting: Vec<_> = wallet.pending(None).iter().map(|entry| entry.txid).collect();
    assert_eq!(waiting, [dear_txid], "it waits again");
    bench.taken(dear_txid).await;
    bench.core.mine_to(&nowhere(), true);
    bench.compare(wallet).await;
    stands(wallet, dear_txid, |state| matches!(state, BroadcastState::Confirmed { .. })).await;
    bench.core.reorg(20);
    bench.compare(wallet).await;
    bench.core.mine(3);
    bench.compare(wallet).await;
}

/// Payments to 500 addresses in a row, each within the gap of those before it.
async fn five_hundred_addresses(bench: &mut Bench, wallet: &WalletHandle) {
    for first in (4..504).step_by(50) {
        let to = (first..first + 50).map(|index| {
            let sats = 10_000 + u64::from(index);
            (bench.signer.script(index), Amount::from_sat(sats))
        });
        // More outputs than the gap limit in one transaction, in an order that stays within it.
        let (_, payment) = bench.pay(wallet, to.collect(), 3, FEE * 10);
        let txid = wallet.broadcast(&payment).await.unwrap().txid();
        bench.taken(txid).await;
        bench.core.mine_to(&nowhere(), true);
        bench.compare(wallet).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
async fn core_is_not_asked_about_the_branch_that_it_left_meanwhile() {
    let mut bench = Bench::start();
    let data_dir = tempfile::tempdir().unwrap();
    bench.core.mine(20);
    let node = self::node(&bench.core, data_dir.path()).await;
    node.wallet().watch(bench.watched()).await.unwrap();
    bench.synced(node.wallet()).await;
    node.stop().await.unwrap();
    for calls in 1..=5 {
        node_again(&mut bench, data_dir.path(), calls).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
async fn whoever_watches_nothing_fetches_no_filters() {
    let mut bench = Bench::start();
    bench.core.mine(20_000);
    for _ in 0..10 {
        let data_dir = tempfile::tempdir().unwrap();
        let node = node(&bench.core, data_dir.path()).await;
        node.chain().synced().await.unwrap();
        let peers = bench.core.ask("getpeerinfo", json!([]));
        let asked = &peers[0]["bytesrecv_per_msg"];
        assert!(asked["getheaders"].is_u64(), "{asked}");
        assert_eq!(asked["getcfilters"], Value::Null, "{asked}");
        node.stop().await.unwrap();
    }
}

/// Core hangs up on whoever asks it for filters of a block that it holds to be invalid.
async fn node_again(bench: &mut Bench, data_dir: &Path, calls: u64) {
    bench.core.reorg(5);
    let node = node(&bench.core, data_dir).await;
    bench.synced(node.wallet()).await;
    let peers = bench.core.ask("getpeerinfo", json!([]));
    let numbers: Vec<_> =
        peers.as_array().unwrap().iter().map(|peer| peer["id"].as_u64()).collect();
    assert_eq!(numbers, [Some(calls)], "one call was enough");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
async fn a_broadcast_survives_our_restart_and_cores() {
    let mut bench = Bench::start();
    let data_dir = tempfile::tempdir().unwrap();
    let first = bench.signer.address(0);
    bench.core.mine_to(&first, true);
    bench.core.mine(101);
    let node = node(&bench.core, data_dir.path()).await;
    node.wallet().watch(bench.watched()).await.unwrap();
    bench.compare(node.wallet()).await;

    // Nobody is there when it is submitted, and then we are gone, too.
    bench.core.stop();
    let one = Amount::from_int_btc(1);
    let (_, payment) = bench.pay(node.wallet(), vec![(elsewhere(), one)], 1, FEE);
    let txid = node.wallet().broadcast(&payment).await.unwrap().txid();
    node.stop().await.unwrap();
    bench.core.start_again();
    let node = self::node(&bench.core, data_dir.path()).await;
    // Until a block comes, a Core that has just started believes itself far behind, and passes over
    // what it is told.
    bench.core.mine_to(&nowhere(), false);
    bench.taken(txid).await;

    // Core forgets it, and hears of it again.
    bench.core.stop();
    std::fs::remove_file(bench.core.directory().join("regtest/mempool.dat")).unwrap();
    bench.core.start_again();
    bench.core.mine_to(&nowhere(), false);
    bench.taken(txid).await;
    bench.core.mine_to(&nowhere(), true);
    bench.compare(node.wallet()).await;
    stands(node.wallet(), txid, |state| matches!(state, BroadcastState::Confirmed { .. })).await;
    node.stop().await.unwrap();
}
