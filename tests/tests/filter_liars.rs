//! One full node that tells the truth about filters among seven that do not, on real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is the test's failure"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::Hash as _;
use bitcoin::{Address, Amount, ScriptBuf, WScriptHash};
use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight::filters::FilterConfig;
use ironlight::spv::filter::sync::FilterSyncConfig;
use ironlight::wallet::watch::{WatchRequest, WatchTarget};
use ironlight::{BlockHash, BlockHeight, Network, Node, NodeConfig};
use ironlight_tests::{FilterLiar, FilterLie, TrueFilter, filter_without};

const LIMIT: Duration = Duration::from_secs(60);
const PAYMENT: Amount = Amount::from_sat(77_000);

fn script() -> ScriptBuf {
    ScriptBuf::new_p2wsh(&WScriptHash::from_byte_array([9; 32]))
}

/// A liar in front of a full node.
async fn liar(devnet: &Arc<Devnet>, lie: FilterLie) -> SocketAddr {
    let (all, one) = (Arc::clone(devnet), Arc::clone(devnet));
    let truth = move || {
        all.read(|ledger| {
            let entries = ledger.tree().from(0);
            let entries = entries.map(|entry| TrueFilter {
                height: entry.height,
                block: entry.hash,
                filter: entry.filter.clone(),
            });
            entries.collect()
        })
    };
    let without = move |hash: &BlockHash| {
        one.read(|ledger| {
            let entry = ledger.tree().get(hash)?;
            let spent =
                entry.undo.spent.iter().map(|spent| spent.coin.output.script_pubkey.clone());
            filter_without(&entry.block, &spent.collect::<Vec<_>>(), &script())
        })
    };
    let address = devnet.address();
    FilterLiar::new(lie, Arc::new(truth), Arc::new(without)).listen(address).await
}

fn config(connect: Vec<SocketAddr>) -> NodeConfig {
    NodeConfig {
        connect,
        dns_seeds: false,
        filters: FilterConfig {
            sync: FilterSyncConfig {
                request_timeout: Duration::from_millis(500),
                settle_after: Duration::from_millis(500),
                ..FilterSyncConfig::default()
            },
            ..FilterConfig::default()
        },
        ..NodeConfig::new(Network::Regtest)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_honest_peer_beats_seven_that_lie_about_filters() {
    let devnet =
        Devnet::start(DevnetConfig { blocks: 120, ..DevnetConfig::default() }).await.unwrap();
    let devnet = Arc::new(devnet);
    devnet.pay(script(), PAYMENT).await.unwrap();
    devnet.mine(20).await.unwrap();
    let lies = [
        FilterLie::Omission,
        FilterLie::Omission,
        FilterLie::Omission,
        FilterLie::WrongHeader,
        FilterLie::WrongHeader,
        FilterLie::WrongFilter,
        FilterLie::Stall,
    ];
    let mut connect = Vec::new();
    for lie in lies {
        connect.push(liar(&devnet, lie).await);
    }
    // The honest one comes last, when the liars agree with each other already.
    connect.push(devnet.address());

    let node = Node::start(config(connect)).await.unwrap();
    let address = Address::from_script(&script(), bitcoin::Network::Regtest).unwrap();
    let target = WatchTarget::address(&address.to_string(), Network::Regtest).unwrap();
    node.wallet().watch(WatchRequest::new(target, BlockHeight(1))).await.unwrap();
    let has = |node: &Node, times: u64| node.wallet().balance(None).confirmed == PAYMENT * times;
    let seen = async {
        while !has(&node, 1) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, seen).await.expect("the payment is found");

    // And once more, in a new block that the same liars lie about.
    devnet.pay(script(), PAYMENT).await.unwrap();
    devnet.mine(1).await.unwrap();
    let seen = async {
        while !has(&node, 2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, seen).await.expect("the second payment is found");
    let peers = node.networks().await.remove(0).peers;
    let honest = devnet.address().to_string();
    assert!(peers.iter().any(|peer| peer.address == honest), "the honest one is kept");
    node.stop().await.unwrap();
}
