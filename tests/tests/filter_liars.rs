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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

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

/// A way to a full node on which nothing is heard before it is opened.
async fn gate(full_node: SocketAddr, opened: watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut opened = opened.clone();
            tokio::spawn(async move {
                opened.wait_for(|open| *open).await.unwrap();
                let mut far = TcpStream::connect(full_node).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
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
    // The honest one comes last, when the liars have been heard.
    let (open, opened) = tokio::sync::watch::channel(false);
    let honest = gate(devnet.address(), opened).await;
    connect.push(honest);

    let node = Node::start(config(connect)).await.unwrap();
    let address = Address::from_script(&script(), bitcoin::Network::Regtest).unwrap();
    let target = WatchTarget::address(&address.to_string(), Network::Regtest).unwrap();
    node.wallet().watch(WatchRequest::new(target, BlockHeight(1))).await.unwrap();
    let heard = node.wallet().when(|status| status.tip.is_some_and(|tip| tip.height.0 > 125));
    let heard = tokio::time::timeout(Duration::from_secs(1), heard).await;
    println!("of liars alone: {heard:?}, {:?}", node.wallet().balance(None));
    open.send(true).unwrap();
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
    let honest = honest.to_string();
    assert!(peers.iter().any(|peer| peer.address == honest), "the honest one is kept");
    node.stop().await.unwrap();
}
