//! The control socket of a running node, asked as the command line asks it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a panic is the test's failure"
)]

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use ironlight::api::client::{self, ClientError};
use ironlight::api::{CheckDto, HeaderDto, HealthDto, StatusDto, TipDto};
use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight::spv::generate::Miner;
use ironlight::spv::{Header, Params};
use ironlight::{Network, Node, NodeConfig};
use ironlight_tests::{Behaviour, FakeNode};

async fn synced_node(chain: &[Header]) -> Node {
    synced_node_of(FakeNode::start(Behaviour::Honest, chain.to_vec()).address()).await
}

async fn synced_node_of(full_node: SocketAddr) -> Node {
    let config = NodeConfig {
        connect: vec![full_node],
        dns_seeds: false,
        ..NodeConfig::new(Network::Regtest)
    };
    let node = Node::start(config).await.unwrap();
    let synced = tokio::time::timeout(Duration::from_secs(30), node.chain().synced()).await;
    synced.unwrap().unwrap();
    node
}

fn chain() -> Vec<Header> {
    Miner::new(1).run(&Params::new(Network::Regtest).genesis, 300, 60)
}

async fn refused(directory: &Path, path: &str) -> String {
    match client::get::<HeaderDto>(directory, path).await {
        Err(ClientError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tip_and_headers_are_answered() {
    let chain = chain();
    let directory = tempfile::tempdir().unwrap();
    // A file that a killed node left behind is in nobody's way.
    std::fs::write(directory.path().join("control.sock"), []).unwrap();
    let mut node = synced_node(&chain).await;
    node.open_control_socket(directory.path()).unwrap();
    let directory = directory.path();
    let mode = std::fs::metadata(directory.join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let status: StatusDto = client::get(directory, "/v1/status").await.unwrap();
    assert_eq!((status.phase.as_str(), status.network.as_str()), ("synced", "regtest"));
    assert_eq!((status.tip.height, status.peers), (300, 1));
    assert_eq!(status.basis, "all rules from genesis");
    let tip: TipDto = client::get(directory, "/v1/tip").await.unwrap();
    assert_eq!(tip, status.tip);

    let hash = chain[99].hash().to_string();
    let by_height: HeaderDto = client::get(directory, "/v1/headers/100").await.unwrap();
    let by_hash: HeaderDto = client::get(directory, &format!("/v1/headers/{hash}")).await.unwrap();
    assert_eq!(by_height, by_hash);
    assert_eq!((by_height.hash, by_height.confirmations), (hash, 201));
    assert_eq!(by_height.previous_hash, chain[98].hash().to_string());

    assert!(refused(directory, "/v1/headers/301").await.contains("the tip is at 300"));
    assert!(refused(directory, "/v1/headers/zz").await.contains("neither a height nor"));
    let unknown = "00".repeat(32);
    assert!(refused(directory, &format!("/v1/headers/{unknown}")).await.contains("is known"));
    assert!(refused(directory, "/v2").await.contains("/v1/status"));

    node.stop().await.unwrap();
    assert!(!directory.join("control.sock").exists());
    let gone = client::get::<TipDto>(directory, "/v1/tip").await;
    assert!(matches!(gone, Err(ClientError::NotRunning { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_numbered_and_end_with_the_chain_synced() {
    use ironlight::events::NodeEvent;
    let node = synced_node(&chain()).await;
    let mut events = node.chain().subscribe_after(0);
    let mut kinds = Vec::new();
    for sequence in 1..=4 {
        let event = events.next().await.unwrap().unwrap();
        assert_eq!(event.sequence, sequence);
        kinds.push(match event.event {
            NodeEvent::PeerJoined { .. } => "joined",
            NodeEvent::TipExtended { connected: 300, .. } => "extended",
            NodeEvent::Synced { .. } => "synced",
            NodeEvent::Scanned { .. } => "scanned",
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(kinds, ["joined", "extended", "synced", "scanned"]);
    let chain = node.chain().clone();
    node.stop().await.unwrap();
    while let Some(event) = events.next().await.unwrap() {
        assert!(matches!(event.event, NodeEvent::PeerLeft { .. }), "{event:?}");
    }
    assert!(chain.synced().await.is_ok(), "it was synced when it stopped");
    assert!(chain.when(|status| status.tip.height.0 == 999).await.is_err());
}

fn check<'a>(health: &'a HealthDto, name: &str) -> &'a CheckDto {
    health.checks.iter().find(|check| check.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_what_works_and_what_does_not() {
    let config = DevnetConfig { blocks: 300, ..DevnetConfig::default() };
    let full_node = Devnet::start(config).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut node = synced_node_of(full_node.address()).await;
    node.open_control_socket(directory.path()).unwrap();
    let ask = || client::get::<HealthDto>(directory.path(), "/v1/health");
    let health = ask().await.unwrap();
    assert!(health.live && health.ready, "{health:?}");
    assert_eq!(check(&health, "sync").value, Some(300));
    assert_eq!(check(&health, "networks").value, Some(1));
    assert!(node.health().await.passes());

    full_node.stop().await;
    let alone = async {
        loop {
            let health = ask().await.unwrap();
            if !health.ready {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let health = tokio::time::timeout(Duration::from_secs(30), alone).await.unwrap();
    assert!(health.live, "a restart brings no peers: {health:?}");
    let networks = check(&health, "networks");
    assert_eq!((networks.status.as_str(), networks.value), ("fail", Some(0)));
    assert_eq!(networks.output, "no peer on any network");
    assert_eq!(check(&health, "store").status, "pass");
    node.stop().await.unwrap();
}
