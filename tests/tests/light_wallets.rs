//! Wallets on nodes that know light nodes only, behind one node that reaches a full node: all see a
//! payment, prove it, and together cost the full node one copy of everything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is the test's failure"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcoin::hashes::Hash as _;
use bitcoin::{Address, Amount, ScriptBuf, WScriptHash};
use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight::filters::FilterConfig;
use ironlight::net::PeerNetwork;
use ironlight::net::swarm::LightNetConfig;
use ironlight::wallet::service::ScanStatus;
use ironlight::wallet::watch::{WatchRequest, WatchTarget};
use ironlight::{BlockHash, BlockHeight, Network, Node, NodeConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

const LIMIT: Duration = Duration::from_secs(60);
const WALLETS: usize = 10;

/// How often each thing went over the full node's socket.
type Sent = Arc<Mutex<BTreeMap<(String, BlockHash), u32>>>;

/// Stands between a full node and those who connect, and counts what the full node sends.
async fn counting(full_node: SocketAddr) -> (SocketAddr, Sent) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, sent) = (listener.local_addr().unwrap(), Sent::default());
    let counted = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(full_node).await.unwrap();
            let (near_in, near_out) = near.into_split();
            let (far_in, far_out) = far.into_split();
            tokio::spawn(pass_on(near_in, far_out));
            tokio::spawn(count(far_in, near_out, Arc::clone(&counted)));
        }
    });
    (address, sent)
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

/// Passes whole messages on, and counts each header, filter and block by its hash.
async fn count(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, sent: Sent) {
    let mut head = [0; 24];
    while from.read_exact(&mut head).await.is_ok() {
        let length = u32::from_le_bytes(head[16..20].try_into().unwrap());
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if from.read_exact(&mut payload).await.is_err() {
            return;
        }
        let command = String::from_utf8_lossy(&head[4..16]).trim_end_matches('\0').to_owned();
        for hash in hashes(&command, &payload) {
            *sent.lock().unwrap().entry((command.clone(), hash)).or_default() += 1;
        }
        if to.write_all(&head).await.is_err() || to.write_all(&payload).await.is_err() {
            return;
        }
    }
}

fn hashes(command: &str, payload: &[u8]) -> Vec<BlockHash> {
    match command {
        "headers" => {
            let headers: Vec<bitcoin::block::Header> = payload
                [if payload[0] < 0xfd { 1 } else { 3 }..]
                .chunks_exact(81)
                .map(|entry| bitcoin::consensus::deserialize(&entry[..80]).unwrap())
                .collect();
            headers.iter().map(bitcoin::block::Header::block_hash).collect()
        }
        "cfilter" => vec![BlockHash::from_slice(&payload[1..33]).unwrap()],
        "block" => vec![BlockHash::hash(&payload[..80])],
        _ => Vec::new(),
    }
}

fn script() -> ScriptBuf {
    ScriptBuf::new_p2wsh(&WScriptHash::from_byte_array([7; 32]))
}

async fn node(connect: Option<SocketAddr>, filters: FilterConfig, light: LightNetConfig) -> Node {
    let config = NodeConfig {
        connect: connect.into_iter().collect(),
        dns_seeds: false,
        filters,
        libp2p: Some(light),
        ..NodeConfig::new(Network::Regtest)
    };
    Node::start(config).await.unwrap()
}

/// Where a node listens, with its identity.
async fn listening(node: &Node) -> String {
    loop {
        let reports = node.networks().await;
        let light = reports.into_iter().find(|report| report.network == PeerNetwork::LibP2p);
        if let Some(address) = light.unwrap().listening.into_iter().next() {
            return address;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn at(height: BlockHeight) -> impl FnMut(&ScanStatus) -> bool {
    move |status| status.synced && status.tip.is_some_and(|tip| tip.height == height)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_wallets_behind_one_node_cost_the_full_node_one_copy() {
    let devnet =
        Devnet::start(DevnetConfig { blocks: 150, ..DevnetConfig::default() }).await.unwrap();
    let (full_node, sent) = counting(devnet.address()).await;
    let everything = FilterConfig { from: Some(BlockHeight(0)), ..FilterConfig::default() };
    let light = LightNetConfig {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        serve: true,
        allow_private: true,
        ..LightNetConfig::default()
    };
    let gate = node(Some(full_node), everything, light).await;
    tokio::time::timeout(LIMIT, gate.filters().synced()).await.unwrap().unwrap();
    let known = listening(&gate).await;

    let mut wallets = Vec::new();
    for _ in 0..WALLETS {
        let light = LightNetConfig {
            peers: vec![known.parse().unwrap()],
            allow_private: true,
            ..LightNetConfig::default()
        };
        let wallet = node(None, FilterConfig::default(), light).await;
        let address = Address::from_script(&script(), bitcoin::Network::Regtest).unwrap();
        let target = WatchTarget::address(&address.to_string(), Network::Regtest).unwrap();
        wallet.wallet().watch(WatchRequest::new(target, BlockHeight(1))).await.unwrap();
        wallets.push(wallet);
    }
    for wallet in &wallets {
        let synced = wallet.wallet().when(at(BlockHeight(150)));
        tokio::time::timeout(LIMIT, synced).await.unwrap().unwrap();
    }

    let txid = devnet.pay(script(), Amount::from_sat(50_000)).await.unwrap();
    devnet.mine(1).await.unwrap();
    for wallet in &wallets {
        let seen = wallet.wallet().when(at(BlockHeight(151)));
        tokio::time::timeout(LIMIT, seen).await.unwrap().unwrap();
        assert_eq!(wallet.wallet().balance(None).confirmed, Amount::from_sat(50_000));
        let proof = wallet.wallet().prove(txid, None).await.unwrap();
        assert_eq!((proof.height, proof.confirmations), (BlockHeight(151), 1));
        let networks = wallet.networks().await;
        assert!(networks.iter().all(|report| report.network == PeerNetwork::LibP2p));
    }
    // A transaction that nobody watches, proven for somebody who knows its block.
    let block = devnet.read(|ledger| ledger.tree().from(77).next().unwrap().block.clone());
    let (hash, other) = (block.block_hash(), block.txdata[0].compute_txid());
    for wallet in &wallets {
        let proof = wallet.wallet().prove(other, Some(hash)).await.unwrap();
        assert_eq!(proof.height, BlockHeight(77));
    }

    let sent = sent.lock().unwrap().clone();
    let copies = sent.values().max().copied();
    assert_eq!(copies, Some(1), "{:?}", sent.iter().find(|(_, count)| **count > 1));
    let of = |command| sent.keys().filter(|(of, _)| of == command).count();
    assert_eq!((of("cfilter"), of("block")), (152, 2));
    for wallet in wallets {
        wallet.stop().await.unwrap();
    }
    gate.stop().await.unwrap();
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_go_down_a_line_of_light_nodes_that_all_start_empty() {
    let devnet =
        Devnet::start(DevnetConfig { blocks: 2_500, ..DevnetConfig::default() }).await.unwrap();
    let everything = FilterConfig { from: Some(BlockHeight(0)), ..FilterConfig::default() };
    let mut line: Vec<Node> = Vec::new();
    for place in 0..3 {
        let peers = match line.last() {
            Some(before) => vec![listening(before).await.parse().unwrap()],
            None => Vec::new(),
        };
        let light = LightNetConfig {
            peers,
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            serve: true,
            allow_private: true,
            ..LightNetConfig::default()
        };
        let connect = (place == 0).then(|| devnet.address());
        line.push(node(connect, everything.clone(), light).await);
    }
    for node in &line {
        let synced = async {
            let mut status = node.filters().status();
            let there = |status: &ironlight::filters::FiltersStatus| {
                status.synced && status.headers == Some(BlockHeight(2_500))
            };
            status.wait_for(there).await.map(|status| status.clone())
        };
        let synced = tokio::time::timeout(LIMIT, synced).await;
        synced.unwrap_or_else(|_| panic!("{:?}", node.filters().status().borrow())).unwrap();
    }
    for node in line {
        node.stop().await.unwrap();
    }
}
