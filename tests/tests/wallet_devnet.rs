//! A wallet embedded as a library follows the devnet by compact filters.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is the test's failure"
)]

use std::time::Duration;

use bitcoin::{Address, Amount, Network as BitcoinNetwork, ScriptBuf};
use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight::wallet::watch::{WatchRequest, WatchTarget};
use ironlight::{BlockHeight, Network, Node};

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
    let at = |height| {
        move |status: &ironlight::wallet::service::ScanStatus| {
            status.synced && status.tip.is_some_and(|tip| tip.height == BlockHeight(height))
        }
    };
    tokio::time::timeout(LIMIT, node.wallet().when(at(121))).await.unwrap().unwrap();
    assert_eq!(node.wallet().balance(None).confirmed, Amount::from_sat(12_345));
    let proof = node.wallet().prove(txid, None).await.unwrap();
    assert_eq!((proof.height, proof.confirmations), (BlockHeight(121), 1));

    devnet.reorg(3).await.unwrap();
    let height = devnet.tip().height.0;
    tokio::time::timeout(LIMIT, node.wallet().when(at(height))).await.unwrap().unwrap();
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
