//! Light nodes embedded as a library: clients unless told otherwise, found through each other, and
//! with the tip chosen by work alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is the test's failure"
)]

use std::net::SocketAddr;
use std::time::Duration;

use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight::net::swarm::LightNetConfig;
use ironlight::net::{NetworkReport, PeerNetwork};
use ironlight::{BlockHash, Network, Node, NodeConfig, Storage};

const LIMIT: Duration = Duration::from_secs(30);

async fn devnet(blocks: u32, seed: u64) -> Devnet {
    Devnet::start(DevnetConfig { blocks, seed, ..DevnetConfig::default() }).await.unwrap()
}

fn server(peers: &[&str]) -> LightNetConfig {
    LightNetConfig {
        peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        serve: true,
        allow_private: true,
        ..LightNetConfig::default()
    }
}

async fn node(full_node: Option<SocketAddr>, light: LightNetConfig) -> Node {
    let config = NodeConfig {
        connect: full_node.into_iter().collect(),
        dns_seeds: false,
        libp2p: Some(light),
        ..NodeConfig::new(Network::Regtest)
    };
    Node::start(config).await.unwrap()
}

async fn light(node: &Node) -> NetworkReport {
    let reports = node.networks().await;
    reports.into_iter().find(|report| report.network == PeerNetwork::LibP2p).unwrap()
}

/// Waits for a node's libp2p network to look as it should.
async fn until(node: &Node, what: &str, fits: impl Fn(&NetworkReport) -> bool) -> NetworkReport {
    let reached = async {
        loop {
            let report = light(node).await;
            if fits(&report) {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, reached).await.unwrap_or_else(|_late| panic!("{what}"))
}

async fn address(node: &Node) -> String {
    let report = until(node, "it listens", |report| !report.listening.is_empty()).await;
    report.listening.first().unwrap().clone()
}

async fn reaches(node: &Node, tip: BlockHash) {
    let reached = node.chain().when(|status| status.tip.hash == tip);
    tokio::time::timeout(LIMIT, reached).await.expect("the tip is reached").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_node_is_a_client_with_a_new_identity_each_start() {
    let full_node = devnet(100, 0).await;
    let serving = node(Some(full_node.address()), server(&[])).await;
    let address = address(&serving).await;
    let mut identities = Vec::new();
    for _ in 0..2 {
        let config = LightNetConfig { peers: vec![address.parse().unwrap()], ..Default::default() };
        let client = node(None, config).await;
        reaches(&client, full_node.tip().hash).await;
        assert!(light(&client).await.listening.is_empty());
        let report = until(&serving, "it is called", |report| report.peers.len() == 1).await;
        let caller = report.peers.first().unwrap();
        assert_eq!(caller.headers, 0, "a client is not asked for headers");
        identities.push(caller.address.rsplit('/').next().unwrap().to_owned());
        client.stop().await.unwrap();
        until(&serving, "the caller is gone", |report| report.peers.is_empty()).await;
    }
    identities.dedup();
    assert_eq!(identities.len(), 2, "{identities:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn light_nodes_find_each_other_through_one_that_they_know() {
    let full_node = devnet(100, 0).await;
    let first = node(Some(full_node.address()), server(&[])).await;
    let known = address(&first).await;
    let second = node(None, server(&[&known])).await;
    let hidden = address(&second).await;
    reaches(&second, full_node.tip().hash).await;
    let third = node(None, server(&[&known])).await;
    let found = |report: &NetworkReport| report.peers.iter().any(|peer| peer.address == hidden);
    let report = until(&third, "the second is found through the first", found).await;
    let peer = report.peers.iter().find(|peer| peer.address == hidden).unwrap();
    assert!(!peer.named);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_discovery_off_nobody_is_found_until_it_is_on_again() {
    let full_node = devnet(100, 0).await;
    let first = node(Some(full_node.address()), server(&[])).await;
    let known = address(&first).await;
    let second = node(None, server(&[&known])).await;
    let hidden = address(&second).await;
    reaches(&second, full_node.tip().hash).await;

    let directory = tempfile::tempdir().unwrap();
    let kept = |libp2p: LightNetConfig| {
        let storage = Storage::Disk { data_dir: directory.path().to_owned(), backend: None };
        let config = NodeConfig { dns_seeds: false, storage, ..NodeConfig::new(Network::Regtest) };
        Node::start(NodeConfig { libp2p: Some(libp2p), ..config })
    };
    let alone = kept(server(&[])).await.unwrap();
    alone.flags().turn("discovery", false, "test").await.unwrap();
    alone.stop().await.unwrap();

    // Clients, so that nobody connects to them.
    let client = || LightNetConfig { serve: false, listen: Vec::new(), ..server(&[&known]) };
    let off = kept(client()).await.unwrap();
    reaches(&off, full_node.tip().hash).await;
    let on = node(None, client()).await;
    let found = |report: &NetworkReport| report.peers.iter().any(|peer| peer.address == hidden);
    until(&on, "the second is found by one that looks", found).await;
    assert_eq!(light(&off).await.peers.len(), 1, "it knows the one that it was told");
    off.flags().turn("discovery", true, "test").await.unwrap();
    // Whatever happens next wakes it.
    full_node.mine(1).await.unwrap();
    until(&off, "the second is found now", found).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_networks_the_chain_with_more_work_wins_whichever_it_comes_from() {
    let (weak, strong) = (devnet(200, 1).await, devnet(300, 2).await);
    let light_peer = node(Some(strong.address()), server(&[])).await;
    let both = node(Some(weak.address()), server(&[&address(&light_peer).await])).await;
    reaches(&both, strong.tip().hash).await;
    let tip = weak.mine(200).await.unwrap();
    reaches(&both, tip.hash).await;
    // And from there to the light node.
    reaches(&light_peer, tip.hash).await;
    let tip = strong.mine(150).await.unwrap();
    reaches(&both, tip.hash).await;
}
