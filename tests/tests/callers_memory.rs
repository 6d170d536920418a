//! What light nodes leave behind that call and go: memory as the allocator counts it. In a test binary
//! of its own, because the allocator counts everything in the process.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a panic is the test's failure, and the figures are for people"
)]

use std::time::Duration;

use ironlight::net::swarm::LightNetConfig;
use ironlight::net::{NetworkReport, PeerNetwork};
use ironlight::{Network, Node, NodeConfig};
use ironlight_tests::Stranger;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const LIMIT: Duration = Duration::from_secs(60);
/// Callers before the level is taken: caches and tables have their size then.
const FIRST: u32 = 100;
const LATER: u32 = 300;
/// Bytes that a caller may leave, on average: what has a bound that is not reached here. With its score
/// in gossip they are 900.
const LEFT: usize = 500;

async fn serving() -> Node {
    let light = LightNetConfig {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        serve: true,
        ..LightNetConfig::default()
    };
    let config =
        NodeConfig { dns_seeds: false, libp2p: Some(light), ..NodeConfig::new(Network::Regtest) };
    Node::start(config).await.unwrap()
}

/// Waits for the node's libp2p network to look as it should, and the memory in use.
async fn until(
    node: &Node,
    what: &str,
    fits: impl Fn(&NetworkReport, usize) -> bool,
) -> NetworkReport {
    let reached = async {
        loop {
            let reports = node.networks().await;
            let light = reports.into_iter().find(|it| it.network == PeerNetwork::LibP2p).unwrap();
            if fits(&light, ALLOCATED.current_usage()) {
                return light;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, reached).await.unwrap_or_else(|_late| panic!("{what}"))
}

/// Each is let in and goes, one after the other.
async fn call(address: &str, callers: u32) {
    for _ in 0..callers {
        let stranger = Stranger::knock(address);
        assert!(tokio::time::timeout(LIMIT, stranger.is_let_in()).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_have_gone_leave_nothing() {
    let node = serving().await;
    let listens = until(&node, "it listens", |light, _| !light.listening.is_empty()).await;
    let address = listens.listening.first().unwrap().clone();
    call(&address, FIRST).await;
    until(&node, "all are gone", |light, _| light.peers.is_empty()).await;
    let level = ALLOCATED.current_usage();
    call(&address, LATER).await;
    let most = level + usize::try_from(LATER).unwrap() * LEFT;
    println!("level {level}, after {LATER} more {}", ALLOCATED.current_usage());
    until(&node, "they leave nothing", |light, used| light.peers.is_empty() && used <= most).await;
    println!("in the end {}", ALLOCATED.current_usage());
    node.stop().await.unwrap();
}
