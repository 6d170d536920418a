//! The pool with full nodes that behave.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use bitcoin::p2p::ServiceFlags;
use bitcoin::p2p::address::Address;
use bitcoin::p2p::message::NetworkMessage;
use bitcoin::p2p::message_blockdata::Inventory;
use ironlight_spv::BlockHeight;
use ironlight_spv::peers::{Offence, PeerPolicy, PolicyConfig};
use tokio::net::TcpStream;

use super::PoolConfig;
use crate::clock::Clock;
use crate::net::bitcoin::testing::{
    FakePeer, FakeSeeds, PEER, Running, config, headers, listen, no_stop, ours, soon, version,
};
use crate::net::bitcoin::transport::TransportError;
use crate::net::bitcoin::{CloseReason, PeerEventKind};
use crate::net::{Carried, Purpose};

#[tokio::test]
async fn shakes_hands_in_the_order_of_the_bips() {
    let (listener, addr) = listen().await;
    let mut running = Running::connecting_to(addr, config());
    let mut peer = FakePeer::accept(&listener).await;
    let got = peer.greet(version()).await;
    let [NetworkMessage::Version(ours), rest @ ..] = got.as_slice() else { panic!("{got:?}") };
    assert_eq!((ours.version, ours.services, ours.relay), (70_016, ServiceFlags::NONE, false));
    let expected = [
        NetworkMessage::WtxidRelay,
        NetworkMessage::SendAddrV2,
        NetworkMessage::Verack,
        NetworkMessage::SendHeaders,
    ];
    assert_eq!(rest, expected);
    let PeerEventKind::Connected { addr: at, services, start_height, user_agent, .. } =
        running.next().await
    else {
        panic!("connected")
    };
    assert_eq!((at, start_height, user_agent.as_str()), (addr, BlockHeight(2000), "/Fake:1.0/"));
    assert!(services.has(ServiceFlags::WITNESS));
    let peers = running.handle.info().await.unwrap().peers;
    assert!(peers[0].manual && peers[0].session.is_some(), "{peers:?}");
    // The handshake's own bytes: a version and a verack at least, each way.
    let Carried { received, sent } = peers[0].by_purpose.of(Purpose::Other);
    assert!(received > 130 && sent > 130, "{peers:?}");
}

#[tokio::test]
async fn asks_for_headers_and_hands_them_on() {
    let (mut running, mut peer, _listener) = Running::with_peer(config()).await;
    let locator = vec![BlockHash::from_byte_array([1; 32]), BlockHash::from_byte_array([2; 32])];
    running.handle.get_headers(PEER, locator.clone(), no_stop(), false).await.unwrap();
    let NetworkMessage::GetHeaders(asked) = peer.recv().await else { panic!("getheaders") };
    assert_eq!((asked.locator_hashes, asked.stop_hash), (locator, no_stop()));
    peer.send(NetworkMessage::Headers(headers(2000))).await;
    let PeerEventKind::Headers(got) = running.next().await else { panic!("headers") };
    assert_eq!(got, ours(&headers(2000)));
    let info = &running.handle.info().await.unwrap().peers[0];
    let Carried { received, sent } = info.by_purpose.of(Purpose::Headers);
    assert!(received > 162_000 && sent > 100, "{info:?}");
}

#[tokio::test]
async fn answers_pings_and_requests_for_headers() {
    let (mut running, mut peer, _listener) = Running::with_peer(config()).await;
    peer.send(NetworkMessage::Ping(99)).await;
    assert_eq!(peer.recv().await, NetworkMessage::Pong(99));
    let request = bitcoin::p2p::message_blockdata::GetHeadersMessage {
        version: 70_016,
        locator_hashes: vec![no_stop(); 101],
        stop_hash: no_stop(),
    };
    peer.send(NetworkMessage::GetHeaders(request)).await;
    assert_eq!(peer.recv().await, NetworkMessage::Headers(vec![]));
    let block = BlockHash::from_byte_array([3; 32]);
    peer.send(NetworkMessage::FeeFilter(1)).await;
    peer.send(NetworkMessage::Inv(vec![Inventory::Block(block)])).await;
    let PeerEventKind::BlockInv(blocks) = running.next().await else { panic!("inv") };
    assert_eq!(blocks, [block]);
}

#[tokio::test]
async fn a_peer_that_hangs_up_is_dialled_again() {
    let (mut running, peer, listener) = Running::with_peer(config()).await;
    drop(peer);
    let reason = running.disconnected().await;
    assert!(matches!(reason, CloseReason::Transport(TransportError::Closed { .. })), "{reason:?}");
    let _again = FakePeer::accept_and_greet(&listener).await;
    assert!(matches!(running.next().await, PeerEventKind::Connected { .. }));
}

#[tokio::test]
async fn the_node_can_let_a_peer_go_or_report_it() {
    let (mut running, _peer, listener) = Running::with_peer(config()).await;
    running.handle.misbehaved(PEER, Offence::Stalled).await.unwrap();
    running.handle.disconnect(PEER).await.unwrap();
    assert!(matches!(running.disconnected().await, CloseReason::Asked));
    let _again = FakePeer::accept_and_greet(&listener).await;
    let event = soon("an event", running.events.recv()).await.unwrap();
    running.handle.misbehaved(event.peer, Offence::InvalidHeader).await.unwrap();
    let reason = running.disconnected().await;
    assert!(matches!(reason, CloseReason::Misbehaved(Offence::InvalidHeader)), "{reason:?}");
    let policy = running.stop().await;
    assert!(policy.export_bans(Clock::start().now()).is_empty(), "it is a manual peer");
}

#[tokio::test]
async fn seeds_are_not_asked_when_the_user_named_peers() {
    let (_listener, addr) = listen().await;
    let config = PoolConfig { dns_seeds: vec!["seed.invalid".into()], ..config() };
    let running = Running::connecting_to(addr, config);
    soon("a dial", async {
        while running.handle.info().await.unwrap().peers.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let asked = Arc::clone(&running.seeds.asked);
    running.stop().await;
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

/// A pool with a learnt peer, which has been asked for addresses.
async fn with_learnt_peer() -> (Running, FakePeer<TcpStream>) {
    let (listener, addr) = listen().await;
    // One peer is enough, so that none of the addresses it tells is dialled.
    let policy_config =
        PolicyConfig { allow_unroutable: true, outbound_target: 1, ..PolicyConfig::default() };
    let seeds = FakeSeeds { answer: vec![addr.ip()], ..FakeSeeds::default() };
    let config = PoolConfig {
        dns_seeds: vec!["seed.invalid".into()],
        default_port: addr.port(),
        ..config()
    };
    let mut running = Running::start(config, PeerPolicy::new(policy_config, 1), seeds);
    let mut peer = FakePeer::accept_and_greet(&listener).await;
    assert!(matches!(running.next().await, PeerEventKind::Connected { .. }));
    assert_eq!(peer.recv().await, NetworkMessage::GetAddr);
    (running, peer)
}

/// So many addresses, all of this machine.
fn told(count: u32, services: ServiceFlags) -> NetworkMessage {
    let now = Clock::start().now().unix.0;
    let one = |number: u32| {
        let ip = IpAddr::from((0x7f00_0000 + (number << 8)).to_be_bytes());
        (now, Address::new(&SocketAddr::new(ip, 8333), services))
    };
    NetworkMessage::Addr((0..count).map(one).collect())
}

/// The addresses that the pool knows in the end, besides the peer's own.
async fn learnt(running: Running, mut peer: FakePeer<TcpStream>) -> usize {
    peer.send(NetworkMessage::Ping(1)).await;
    // The ping stands behind the addresses, so when it is answered they are with the pool.
    while peer.recv().await != NetworkMessage::Pong(1) {}
    let _ = running.handle.info().await.unwrap().peers;
    running.stop().await.known_addresses() - 1
}

#[tokio::test]
async fn a_learnt_peer_comes_from_a_seed_and_is_asked_for_more() {
    let (running, mut peer) = with_learnt_peer().await;
    peer.send(told(1000, ServiceFlags::NETWORK)).await;
    let known = learnt(running, peer).await;
    assert!(known > 100 && known <= 512, "{known}: one source reaches an eighth of the book");
}

#[tokio::test]
async fn a_peer_that_has_told_a_thousand_addresses_is_heard_of_no_more() {
    let (running, mut peer) = with_learnt_peer().await;
    peer.send(told(1000, ServiceFlags::NONE)).await;
    peer.send(told(1000, ServiceFlags::NETWORK)).await;
    let known = learnt(running, peer).await;
    assert!(known <= 3, "{known}, at one in ten seconds");
}

#[tokio::test]
async fn stops_in_order_even_when_nobody_listens() {
    let config = PoolConfig { events: 1, ..config() };
    let (running, mut peer, _listener) = Running::with_peer(config).await;
    for _ in 0..4 {
        peer.send(NetworkMessage::Headers(headers(1))).await;
    }
    peer.send(NetworkMessage::Addr(vec![])).await;
    let Running { handle, mut events, stop, task, .. } = running;
    soon("a full channel", async {
        while events.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stop.cancel();
    let policy = soon("the pool's end", task).await.unwrap();
    assert!(policy.is_manual(peer.stream.local_addr().unwrap()));
    assert!(handle.info().await.is_err());
    while soon("the events' end", events.recv()).await.is_some() {}
}
