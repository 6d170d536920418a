//! A wallet embedded as a library follows the devnet by compact filters.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is the test's failure"
)]

use std::path::Path;
use std::time::Duration;

use bitcoin::{Address, Amount, Network as BitcoinNetwork, ScriptBuf};
use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight::wallet::watch::{WatchRequest, WatchTarget};
use ironlight::{BlockHeight, Network, Node};

use ironlight::events::NodeEvent;
use ironlight::store::{self, Backend, Store, Table, WriteBatch};

const LIMIT: Duration = Duration::from_secs(30);

/// An address that nobody has keys for.
fn address(byte: u8) -> Address {
    let script = ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::from_raw_hash(
        bitcoin::hashes::Hash::from_byte_array([byte; 32]),
    ));
    Address::from_script(&script, BitcoinNetwork::Regtest).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_found_by_filters_and_followed_through_a_reorg() {
    let devnet =
        Devnet::start(DevnetConfig { blocks: 120, ..DevnetConfig::default() }).await.unwrap();
    let node = Node::builder(Network::Regtest).connect(devnet.address()).build().await.unwrap();
    let target = WatchTarget::address(&address(1).to_string(), Network::Regtest).unwrap();
    node.wallet().watch(WatchRequest::new(target, BlockHeight(0))).await.unwrap();
    let synced = tokio::time::timeout(LIMIT, node.wallet().synced()).await.unwrap().unwrap();
    assert_eq!(synced.tip.unwrap().height, BlockHeight(120));
    assert_eq!(node.wallet().balance(None).confirmed, Amount::ZERO);

    let txid = devnet.pay(address(1).script_pubkey(), Amount::from_sat(12_345)).await.unwrap();
    devnet.mine(1).await.unwrap();
    scanned(&node, &devnet).await;
    assert_eq!(node.wallet().balance(None).confirmed, Amount::from_sat(12_345));
    let proof = node.wallet().prove(txid, None).await.unwrap();
    assert_eq!((proof.height, proof.confirmations), (BlockHeight(121), 1));

    devnet.reorg(3).await.unwrap();
    scanned(&node, &devnet).await;
    // The branch mines the payment again.
    assert_eq!(node.wallet().balance(None).confirmed, Amount::from_sat(12_345));
    let proof = node.wallet().prove(txid, None).await.unwrap();
    let on_branch = devnet.read(|ledger| ledger.tree().at(proof.height.0).unwrap().hash);
    assert_eq!(proof.block, on_branch);
    let history = node.wallet().history(None, None, 10);
    let mined: Vec<_> =
        history.entries.iter().map(|entry| (entry.txid, entry.place.height)).collect();
    assert_eq!(mined, [(txid, proof.height)]);
    node.stop().await.unwrap();
}

/// A node of its own directory that watches an address from a height on.
async fn watching(devnet: &Devnet, directory: &Path, cache: u64, birthday: u32) -> Node {
    let builder = Node::builder(Network::Regtest).connect(devnet.address());
    let builder = builder.data_dir(directory).backend(Backend::Redb).filter_cache(cache);
    let node = builder.build().await.unwrap();
    let target = WatchTarget::address(&address(1).to_string(), Network::Regtest).unwrap();
    node.wallet().watch(WatchRequest::new(target, BlockHeight(birthday))).await.unwrap();
    node
}

/// Waits until all that is watched was looked for up to the devnet's tip.
async fn scanned(node: &Node, devnet: &Devnet) {
    let tip = devnet.tip().hash;
    let there = |status: &ironlight::wallet::service::ScanStatus| {
        status.synced && status.tip.is_some_and(|at| at.hash == tip)
    };
    tokio::time::timeout(LIMIT, node.wallet().when(there)).await.unwrap().unwrap();
}

/// Waits until no filter below a height is kept.
async fn dropped_below(node: &Node, height: u32) {
    let dropped = async {
        while node.filters().held().first().is_some_and(|it| it.start < BlockHeight(height)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, dropped).await.unwrap();
}

/// Changes the store of a node that has stopped.
fn change_store(directory: &Path, change: impl FnOnce(&dyn Store) -> WriteBatch) {
    let dir = directory.join("regtest");
    let opened = store::open(store::Options { dir, backend: None, now: 1 }).unwrap();
    let batch = change(opened.store.as_ref());
    opened.store.commit(batch).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rescan_from_below_what_a_full_cache_holds_ends() {
    let devnet =
        Devnet::start(DevnetConfig { blocks: 300, ..DevnetConfig::default() }).await.unwrap();
    devnet.pay(address(1).script_pubkey(), Amount::from_sat(5_000)).await.unwrap();
    devnet.mine(200).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    // No room for anything but what is to be read.
    let node = watching(&devnet, directory.path(), 0, 400).await;
    scanned(&node, &devnet).await;
    dropped_below(&node, 496).await;
    assert_eq!(node.wallet().balance(None).confirmed, Amount::ZERO);
    node.wallet().rescan(None, BlockHeight(0)).await.unwrap();
    scanned(&node, &devnet).await;
    assert_eq!(node.wallet().balance(None).confirmed, Amount::from_sat(5_000));
    // Then nothing happens any more: the two tasks must not wake each other.
    dropped_below(&node, 496).await;
    let changes = || node.filters().status().borrow().changes;
    let quiet = async {
        loop {
            let before = changes();
            tokio::time::sleep(Duration::from_millis(50)).await;
            if changes() == before {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, quiet).await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_filters_that_are_damaged_are_fetched_again() {
    let devnet =
        Devnet::start(DevnetConfig { blocks: 300, ..DevnetConfig::default() }).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let node = watching(&devnet, directory.path(), 1_000_000, 0).await;
    scanned(&node, &devnet).await;
    node.stop().await.unwrap();
    let damage = |store: &dyn Store| {
        let page = 7_u32.to_be_bytes();
        let mut value = store.get(Table::Filters, &page).unwrap().unwrap();
        *value.last_mut().unwrap() ^= 1;
        let mut batch = WriteBatch::new();
        batch.put(Table::Filters, page, value);
        batch
    };
    change_store(directory.path(), damage);
    let node = watching(&devnet, directory.path(), 1_000_000, 0).await;
    node.wallet().rescan(None, BlockHeight(0)).await.unwrap();
    scanned(&node, &devnet).await;
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_cannot_be_read_takes_nothing_of_the_wallet_with_it() {
    let devnet =
        Devnet::start(DevnetConfig { blocks: 150, ..DevnetConfig::default() }).await.unwrap();
    devnet.pay(address(1).script_pubkey(), Amount::from_sat(5_000)).await.unwrap();
    devnet.mine(1).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let node = watching(&devnet, directory.path(), 1_000_000, 140).await;
    scanned(&node, &devnet).await;
    node.stop().await.unwrap();
    let damage = |_: &dyn Store| {
        let mut batch = WriteBatch::new();
        batch.put(Table::Meta, "network", "damaged");
        batch
    };
    change_store(directory.path(), damage);
    let builder = Node::builder(Network::Regtest).connect(devnet.address());
    let node = builder.data_dir(directory.path()).build().await.unwrap();
    assert!(node.notes().iter().any(|note| note.contains("taken along")), "{:?}", node.notes());
    let mut events = node.chain().subscribe_after(0);
    scanned(&node, &devnet).await;
    // What was known stays, and nothing of it is looked for again.
    assert!(node.filters().held().is_empty(), "{:?}", node.filters().held());
    let mut event = events.next().await.unwrap().unwrap().event;
    while !matches!(event, NodeEvent::Scanned { .. }) {
        assert!(!matches!(event, NodeEvent::Wallet(_)), "{event:?}");
        event = events.next().await.unwrap().unwrap().event;
    }
    assert_eq!(node.wallet().watches().len(), 1);
    assert_eq!(node.wallet().balance(None).confirmed, Amount::from_sat(5_000));
    node.stop().await.unwrap();
}
