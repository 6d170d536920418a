//! What every request goes through, on real sockets: peers that are slow, wrong, silent or never
//! finish are tripped, replaced and probed again while the sync goes on; and a flood is told to wait.
//! With the flag `hardening` off the same peers show what it is for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is the test's failure"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ironlight::chain::Phase;
use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight::hardening::circuit_breaker::{BreakerConfig, CircuitState};
use ironlight::net::swarm::LightNetConfig;
use ironlight::net::{NetworkReport, PeerNetwork, PeerRequestReport, RequestConfig};
use ironlight::spv::Header;
use ironlight::spv::generate::Miner;
use ironlight::spv::sync::SyncConfig;
use ironlight::{BlockHash, Network, Node, NodeConfig, Params};
use ironlight_tests::{Behaviour, FakeNode, Stranger};

const LIMIT: Duration = Duration::from_secs(60);
/// Failures in a row that trip a peer's breaker here.
const FAILURES: u32 = 2;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A node that minds what its peers do within a second instead of a minute.
fn config(connect: &[SocketAddr]) -> NodeConfig {
    NodeConfig {
        connect: connect.to_vec(),
        dns_seeds: false,
        sync: SyncConfig {
            request_timeout: millis(2000),
            retry_after: millis(50),
            second_opinion_after: millis(200),
            silence: millis(300),
            reask_unsynced: millis(300),
            ..SyncConfig::default()
        },
        requests: RequestConfig {
            attempt_timeout: millis(400),
            breaker: BreakerConfig {
                consecutive_failures: Some(FAILURES),
                open_for: millis(700),
                open_at_most: millis(700),
                ..RequestConfig::default().breaker
            },
            ..RequestConfig::default()
        },
        ..NodeConfig::new(Network::Regtest)
    }
}

async fn network(node: &Node, which: PeerNetwork) -> NetworkReport {
    let reports = node.networks().await;
    reports.into_iter().find(|report| report.network == which).unwrap()
}

/// How requests go to each peer, by its address.
async fn requests(node: &Node) -> BTreeMap<String, PeerRequestReport> {
    let report = network(node, PeerNetwork::Bitcoin).await;
    report.peers.into_iter().filter_map(|peer| Some((peer.address, peer.requests?))).collect()
}

/// Waits until something holds, asking again every few milliseconds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let reached = async {
        while !holds().await {
            tokio::time::sleep(millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, reached).await.unwrap_or_else(|_late| panic!("{what}"));
}

async fn reaches(node: &Node, tip: BlockHash) {
    let reached = node.chain().when(|status| status.tip.hash == tip);
    tokio::time::timeout(LIMIT, reached).await.expect("the tip is reached").unwrap();
}

fn tip(devnet: &Devnet) -> BlockHash {
    devnet.read(|ledger| ledger.tree().tip().hash)
}

/// A chain of nobody's that is shorter than the devnet's.
fn short_chain() -> Vec<Header> {
    Miner::new(5).run(&Params::new(Network::Regtest).genesis, 20, 60)
}

/// Peers that are of no use, each in its way.
struct Useless {
    slow: FakeNode,
    silent: FakeNode,
    half: FakeNode,
    wrong: FakeNode,
}

impl Useless {
    fn start() -> Self {
        Self {
            slow: FakeNode::start(Behaviour::Slow(1000), short_chain()),
            silent: FakeNode::start(Behaviour::Silent, Vec::new()),
            half: FakeNode::start(Behaviour::Half, short_chain()),
            wrong: FakeNode::start(Behaviour::BadWork, short_chain()),
        }
    }

    /// Those that give no answer in time, which is a matter for their breakers.
    fn late(&self) -> [&FakeNode; 3] {
        [&self.slow, &self.silent, &self.half]
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        let [slow, silent, half] = self.late();
        [slow, silent, half, &self.wrong].map(FakeNode::address).to_vec()
    }
}

async fn devnet(blocks: u32) -> Devnet {
    Devnet::start(DevnetConfig { blocks, ..DevnetConfig::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn useless_peers_are_tripped_replaced_and_probed_again_while_the_sync_goes_on() {
    let (devnet, useless) = (devnet(3000).await, Useless::start());
    let honest = FakeNode::start(Behaviour::Honest, short_chain());
    let mut connect = useless.addresses();
    connect.extend([devnet.address(), honest.address()]);
    let node = Node::start(config(&connect)).await.unwrap();
    reaches(&node, tip(&devnet)).await;

    // Tripped: not asked, and that after as many failures as it takes.
    for peer in useless.late() {
        let address = peer.address().to_string();
        eventually("a useless peer is tripped", async || {
            let requests = requests(&node).await;
            requests.get(&address).is_some_and(|peer| peer.breaker != CircuitState::Closed)
        })
        .await;
    }
    // Replaced: the chain is followed, block by block.
    for _ in 0..5 {
        devnet.mine(1).await.unwrap();
        reaches(&node, tip(&devnet)).await;
    }
    // Probed again later, and found useless again.
    for peer in useless.late() {
        let before = peer.questions();
        eventually("it is probed", async || peer.questions() > before).await;
    }
    // What is wrong is no matter for a breaker: its connection ended at once.
    let wrong = useless.wrong.address().to_string();
    eventually("it is let go", async || {
        !node.chain().status().peers.iter().any(|peer| peer.address == wrong)
    })
    .await;
    assert_eq!(honest.connections(), 1, "an honest peer was never dropped");
    let kept = requests(&node).await;
    let honest = kept.get(&honest.address().to_string()).unwrap();
    assert_eq!(honest.breaker, CircuitState::Closed);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_hardening_off_useless_peers_are_asked_for_ever() {
    let (devnet, useless) = (devnet(100).await, Useless::start());
    let honest = FakeNode::start(Behaviour::Honest, short_chain());
    let mut connect = useless.addresses();
    connect.extend([devnet.address(), honest.address()]);
    let mut config = config(&connect);
    config.sync.request_timeout = millis(300);
    let node = Node::start(config).await.unwrap();
    node.flags().turn("hardening", false, "test").await.unwrap();
    reaches(&node, tip(&devnet)).await;
    // Three times what trips a breaker, and none is refused.
    let enough = u64::from(3 * FAILURES);
    for peer in [&useless.silent, &useless.half] {
        eventually("it is asked again and again", async || peer.questions() >= enough).await;
        let requests = requests(&node).await;
        let peer = requests.get(&peer.address().to_string()).unwrap();
        assert_eq!((peer.refused, peer.breaker), (0, CircuitState::Closed));
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_question_reaches_a_line_but_through_what_limits_it() {
    let useless = Useless::start();
    let chain = Miner::new(1).run(&Params::new(Network::Regtest).genesis, 9000, 60);
    let honest = [0, 4500]
        .map(|fewer| FakeNode::start(Behaviour::Honest, chain[..chain.len() - fewer].to_vec()));
    let mut connect = useless.addresses();
    connect.extend(honest.each_ref().map(FakeNode::address));
    let node = Node::start(config(&connect)).await.unwrap();
    reaches(&node, chain.last().unwrap().hash()).await;
    eventually("synced", async || node.chain().status().phase == Phase::Synced).await;
    eventually("somebody was refused", async || {
        network(&node, PeerNetwork::Bitcoin).await.requests.refused > 0
    })
    .await;
    // Counted at the sockets, and where they are let through: what is on its way between the two
    // when we look is at both soon.
    let heard = || {
        let [slow, silent, half] = useless.late();
        let all = [slow, silent, half, &useless.wrong, &honest[0], &honest[1]];
        all.map(FakeNode::questions).iter().sum::<u64>()
    };
    let mut counts = (0, 1);
    eventually("all that was heard was let through, and nothing else", async || {
        let before = network(&node, PeerNetwork::Bitcoin).await.requests.sent;
        let at_the_sockets = heard();
        let after = network(&node, PeerNetwork::Bitcoin).await.requests.sent;
        assert!(at_the_sockets <= after, "{at_the_sockets} heard, {after} let through");
        counts = (at_the_sockets, before);
        at_the_sockets == before && before == after
    })
    .await;
    assert!(counts.0 > 10, "{counts:?}");
    node.stop().await.unwrap();
}

/// Asks for as many headers as a request can, as docs/PROTOCOL.md has it.
const GREEDY: [u8; 12] = [1, 0, 0, 0x40, 0x1f, 0, 0, 1, 0, 0, 0, 0];
/// A client's allowance, in such requests (docs/PROTOCOL.md, Limits of a server).
const ALLOWED: usize = 250;
const OK: [u8; 2] = [1, 0];
const BUSY: [u8; 2] = [1, 2];

async fn serving(devnet: &Devnet) -> (Node, String) {
    let mut config = config(&[devnet.address()]);
    config.libp2p = Some(LightNetConfig {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        serve: true,
        allow_private: true,
        ..LightNetConfig::default()
    });
    let node = Node::start(config).await.unwrap();
    reaches(&node, tip(devnet)).await;
    eventually("it listens", async || {
        !network(&node, PeerNetwork::LibP2p).await.listening.is_empty()
    })
    .await;
    let address = network(&node, PeerNetwork::LibP2p).await.listening.remove(0);
    (node, address)
}

/// A stranger, away from the async threads, asks so often; the first bytes of each answer.
async fn flood(address: &str, times: usize) -> Vec<[u8; 2]> {
    let address = address.to_owned();
    let flooding = tokio::task::spawn_blocking(move || {
        let stranger = Stranger::connect(&address);
        let ask = |_| stranger.ask(&GREEDY).unwrap()[..2].try_into().unwrap();
        (0..times).map(ask).collect()
    });
    flooding.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_told_to_wait_and_an_honest_light_node_notices_nothing() {
    let devnet = devnet(50).await;
    let (node, address) = serving(&devnet).await;
    let flooding = tokio::spawn({
        let address = address.clone();
        async move { flood(&address, 2 * ALLOWED).await }
    });
    let honest = Node::start(NodeConfig {
        dns_seeds: false,
        libp2p: Some(LightNetConfig {
            peers: vec![address.parse().unwrap()],
            ..LightNetConfig::default()
        }),
        ..NodeConfig::new(Network::Regtest)
    });
    let honest = honest.await.unwrap();
    reaches(&honest, tip(&devnet)).await;
    let answers = flooding.await.unwrap();
    let granted = answers.iter().filter(|answer| **answer == OK).count();
    let busy = answers.iter().filter(|answer| **answer == BUSY).count();
    assert_eq!(granted + busy, 2 * ALLOWED, "nothing but these two");
    assert!(granted >= ALLOWED && busy > 0, "{granted} granted, {busy} told to wait");
    devnet.mine(1).await.unwrap();
    reaches(&honest, tip(&devnet)).await;
    let served = network(&node, PeerNetwork::LibP2p).await.served;
    assert!(served.busy >= busy as u64, "{served:?}");
    let asked = network(&honest, PeerNetwork::LibP2p).await.requests;
    assert_eq!((asked.failed, asked.refused), (0, 0), "{asked:?}");

    node.flags().turn("hardening", false, "test").await.unwrap();
    let answers = flood(&address, 2 * ALLOWED).await;
    assert!(answers.iter().all(|answer| *answer == OK), "without it everybody gets everything");
    honest.stop().await.unwrap();
    node.stop().await.unwrap();
}
