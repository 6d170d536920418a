//! One honest peer among seven liars, on real sockets.

use std::time::Duration;

use ironlight::chain::Phase;
use ironlight::spv::generate::Miner;
use ironlight::spv::sync::SyncConfig;
use ironlight::spv::{Header, HeaderChain, Params, UnixTime};
use ironlight::{Network, Node, NodeConfig};
use ironlight_tests::{Behaviour, FakeNode};

fn chain(seed: u64, headers: usize) -> Vec<Header> {
    Miner::new(seed).run(&Params::new(Network::Regtest).genesis, headers, 60)
}

fn config(connect: &[&FakeNode]) -> NodeConfig {
    NodeConfig {
        connect: connect.iter().map(|node| node.address()).collect(),
        dns_seeds: false,
        sync: SyncConfig {
            request_timeout: Duration::from_millis(500),
            second_opinion_after: Duration::from_millis(500),
            ..SyncConfig::default()
        },
        ..NodeConfig::new(Network::Regtest)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_honest_peer_beats_seven_liars() {
    let honest_chain = chain(1, 5000);
    let honest_tip = honest_chain.last().unwrap().hash();
    let liars = [
        FakeNode::start(Behaviour::Honest, chain(2, 3900)),
        FakeNode::start(Behaviour::Endless, chain(3, 2000)),
        FakeNode::start(Behaviour::BadWork, honest_chain.clone()),
        FakeNode::start(Behaviour::BadBits, honest_chain.clone()),
        FakeNode::start(Behaviour::Silent, Vec::new()),
        FakeNode::start(Behaviour::Unconnecting, Vec::new()),
        FakeNode::start(Behaviour::Empty, Vec::new()),
    ];
    let honest = FakeNode::start(Behaviour::Honest, honest_chain.clone());
    let mut config = config(&liars.iter().chain([&honest]).collect::<Vec<_>>());
    config.params.minimum_chain_work = {
        let mut chain = HeaderChain::new(config.params.clone());
        let batch = chain.verify(&honest_chain[..4000], UnixTime::MAX).unwrap();
        chain.apply(batch).unwrap();
        chain.tip().work
    };

    let node = Node::start(config).await.unwrap();
    let synced = tokio::time::timeout(Duration::from_secs(60), node.chain().synced()).await;
    let tip = synced.unwrap().unwrap();

    assert_eq!(tip.hash, honest_tip);
    assert_eq!(honest.connections(), 1, "the honest peer was never dropped");
    let peers = node.chain().status().peers;
    let kept = |node: &FakeNode| {
        peers
            .iter()
            .any(|peer| peer.address == node.address().to_string() && peer.phase != "refused")
    };
    assert!(kept(&honest), "{peers:?}");
    let liar_headers = |seed| {
        chain(seed, 10).into_iter().any(|header| node.chain().header(&header.hash()).is_some())
    };
    assert!(!liar_headers(2) && !liar_headers(3), "a chain of low work was stored");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_below_the_minimum_work_is_not_taken_and_the_status_says_so() {
    let short = FakeNode::start(Behaviour::Honest, chain(1, 100));
    let mut config = config(&[&short]);
    config.params.minimum_chain_work = ironlight::spv::parse_work("ffff").unwrap();

    let node = Node::start(config).await.unwrap();
    let settled = node.chain().when(|status| status.phase != Phase::Syncing);
    let status = tokio::time::timeout(Duration::from_secs(60), settled).await.unwrap().unwrap();

    assert_eq!(status.tip.height.0, 0);
    assert_eq!(status.phase, Phase::BelowMinimumWork);
    node.stop().await.unwrap();
}
