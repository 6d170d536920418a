//! Connections and the pool, against a full node that does what a test says.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use bitcoin::p2p::ServiceFlags;
use bitcoin::p2p::address::Address;
use bitcoin::p2p::message::NetworkMessage;
use bitcoin::p2p::message_blockdata::Inventory;
use ironlight_hardening::rate_limit::Quota;
use ironlight_spv::peers::{Offence, PeerId, PeerPolicy, PolicyConfig};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::command::Command;
use super::pool::{PoolConfig, PoolHandle, pool};
use super::seeds::Resolve;
use super::testing::{FakePeer, MAGIC, frame, framed, headers, listen, ours, soon, version};
use super::transport::{TcpConnector, TransportError};
use super::{CloseReason, PeerEvent, PeerEventKind};
use crate::clock::Clock;

/// Answers with what it is told to, and counts how often it is asked.
#[derive(Clone, Default)]
struct FakeSeeds {
    asked: Arc<AtomicUsize>,
    answer: Vec<IpAddr>,
}

impl Resolve for FakeSeeds {
    fn resolve(&self, _: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send {
        self.asked.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(self.answer.clone()))
    }
}

struct Running {
    handle: PoolHandle,
    events: mpsc::Receiver<PeerEvent>,
    stop: CancellationToken,
    task: JoinHandle<PeerPolicy>,
    seeds: FakeSeeds,
}

impl Running {
    fn start(config: PoolConfig, policy: PeerPolicy, seeds: FakeSeeds) -> Self {
        let connector = TcpConnector::new(MAGIC.to_bytes());
        let (pool, handle, events) = pool(config, policy, connector, seeds.clone(), Clock::start());
        let stop = CancellationToken::new();
        let task = tokio::spawn(pool.run(stop.clone()));
        Self {
            handle,
            events,
            stop,
            task,
            seeds,
        }
    }

    /// A pool that the user told to connect to one address.
    fn connecting_to(addr: SocketAddr, config: PoolConfig) -> Self {
        let mut policy = PeerPolicy::new(PolicyConfig::default(), 1);
        assert!(policy.add_manual(addr));
        Self::start(config, policy, FakeSeeds::default())
    }

    /// The same, with a peer that has shaken hands.
    async fn with_peer(config: PoolConfig) -> (Self, FakePeer<tokio::net::TcpStream>, TcpListener) {
        let (listener, addr) = listen().await;
        let mut running = Self::connecting_to(addr, config);
        let peer = FakePeer::accept_and_greet(&listener).await;
        let kind = running.next().await;
        assert!(matches!(kind, PeerEventKind::Connected { .. }), "{kind:?}");
        (running, peer, listener)
    }

    async fn next(&mut self) -> PeerEventKind {
        soon("an event", self.events.recv()).await.unwrap().kind
    }

    async fn disconnected(&mut self) -> CloseReason {
        loop {
            if let PeerEventKind::Disconnected { reason } = self.next().await {
                return reason;
            }
        }
    }

    async fn stop(self) -> PeerPolicy {
        self.stop.cancel();
        soon("the pool's end", self.task).await.unwrap()
    }
}

fn config() -> PoolConfig {
    PoolConfig::new(18_444, 7)
}

const PEER: PeerId = PeerId(0);

fn no_stop() -> BlockHash {
    BlockHash::all_zeros()
}

#[tokio::test]
async fn shakes_hands_in_the_order_of_the_bips() {
    let (listener, addr) = listen().await;
    let mut running = Running::connecting_to(addr, config());
    let mut peer = FakePeer::accept(&listener).await;
    let got = peer.greet(version()).await;
    let [NetworkMessage::Version(ours), rest @ ..] = got.as_slice() else {
        panic!("{got:?}")
    };
    assert_eq!(
        (ours.version, ours.services, ours.relay),
        (70_016, ServiceFlags::NONE, false)
    );
    let expected = [
        NetworkMessage::WtxidRelay,
        NetworkMessage::SendAddrV2,
        NetworkMessage::Verack,
        NetworkMessage::SendHeaders,
    ];
    assert_eq!(rest, expected);
    let PeerEventKind::Connected {
        addr: at,
        services,
        start_height,
        user_agent,
        ..
    } = running.next().await
    else {
        panic!("connected")
    };
    assert_eq!(
        (at, start_height, user_agent.as_str()),
        (addr, 2000, "/Fake:1.0/")
    );
    assert!(services.has(ServiceFlags::WITNESS));
    let peers = running.handle.peers().await.unwrap();
    assert!(peers[0].manual && peers[0].session.is_some(), "{peers:?}");
}

#[tokio::test]
async fn asks_for_headers_and_hands_them_on() {
    let (mut running, mut peer, _listener) = Running::with_peer(config()).await;
    let locator = vec![
        BlockHash::from_byte_array([1; 32]),
        BlockHash::from_byte_array([2; 32]),
    ];
    running
        .handle
        .get_headers(PEER, locator.clone(), no_stop())
        .await
        .unwrap();
    let NetworkMessage::GetHeaders(asked) = peer.recv().await else {
        panic!("getheaders")
    };
    assert_eq!(
        (asked.locator_hashes, asked.stop_hash),
        (locator, no_stop())
    );
    peer.send(NetworkMessage::Headers(headers(2000))).await;
    let PeerEventKind::Headers(got) = running.next().await else {
        panic!("headers")
    };
    assert_eq!(got, ours(&headers(2000)));
    let info = &running.handle.peers().await.unwrap()[0];
    assert!(info.bytes_in > 162_000 && info.bytes_out > 100, "{info:?}");
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
    peer.send(NetworkMessage::Inv(vec![Inventory::Block(block)]))
        .await;
    let PeerEventKind::BlockInv(blocks) = running.next().await else {
        panic!("inv")
    };
    assert_eq!(blocks, [block]);
}

#[tokio::test]
async fn a_peer_that_hangs_up_is_dialled_again() {
    let (mut running, peer, listener) = Running::with_peer(config()).await;
    drop(peer);
    let reason = running.disconnected().await;
    assert!(
        matches!(
            reason,
            CloseReason::Transport(TransportError::Closed { .. })
        ),
        "{reason:?}"
    );
    let _again = FakePeer::accept_and_greet(&listener).await;
    assert!(matches!(
        running.next().await,
        PeerEventKind::Connected { .. }
    ));
}

#[tokio::test]
async fn an_oversized_message_ends_the_connection_at_its_frame() {
    let (mut running, mut peer, _listener) = Running::with_peer(config()).await;
    peer.send_raw(&frame("headers", 4_000_000)).await;
    let reason = running.disconnected().await;
    assert_eq!(
        reason.offence(),
        Some(Offence::TooManyHeaders),
        "{reason:?}"
    );
}

#[tokio::test]
async fn a_second_version_ends_the_connection() {
    let (mut running, mut peer, _listener) = Running::with_peer(config()).await;
    peer.send(NetworkMessage::Version(version())).await;
    let reason = running.disconnected().await;
    assert!(
        matches!(
            reason,
            CloseReason::OutOfOrder {
                command: Command::Version
            }
        ),
        "{reason:?}"
    );
}

#[tokio::test]
async fn the_node_can_let_a_peer_go_or_report_it() {
    let (mut running, _peer, listener) = Running::with_peer(config()).await;
    running
        .handle
        .misbehaved(PEER, Offence::Stalled)
        .await
        .unwrap();
    running.handle.disconnect(PEER).await.unwrap();
    assert!(matches!(running.disconnected().await, CloseReason::Asked));
    let _again = FakePeer::accept_and_greet(&listener).await;
    let event = soon("an event", running.events.recv()).await.unwrap();
    running
        .handle
        .misbehaved(event.peer, Offence::InvalidHeader)
        .await
        .unwrap();
    let reason = running.disconnected().await;
    assert!(
        matches!(reason, CloseReason::Misbehaved(Offence::InvalidHeader)),
        "{reason:?}"
    );
    let policy = running.stop().await;
    assert!(
        policy.export_bans(Clock::start().now()).is_empty(),
        "it is a manual peer"
    );
}

#[tokio::test]
async fn seeds_are_not_asked_when_the_user_named_peers() {
    let (_listener, addr) = listen().await;
    let config = PoolConfig {
        dns_seeds: vec!["seed.invalid".into()],
        ..config()
    };
    let running = Running::connecting_to(addr, config);
    soon("a dial", async {
        while running.handle.peers().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let asked = Arc::clone(&running.seeds.asked);
    running.stop().await;
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_learnt_peer_comes_from_a_seed_and_is_asked_for_more() {
    let (listener, addr) = listen().await;
    let policy_config = PolicyConfig {
        allow_unroutable: true,
        ..PolicyConfig::default()
    };
    let seeds = FakeSeeds {
        answer: vec![addr.ip()],
        ..FakeSeeds::default()
    };
    let config = PoolConfig {
        dns_seeds: vec!["seed.invalid".into()],
        default_port: addr.port(),
        ..config()
    };
    let mut running = Running::start(config, PeerPolicy::new(policy_config, 1), seeds);
    let mut peer = FakePeer::accept_and_greet(&listener).await;
    assert!(matches!(
        running.next().await,
        PeerEventKind::Connected { .. }
    ));
    assert_eq!(peer.recv().await, NetworkMessage::GetAddr);
    let now = Clock::start().now().unix.0;
    let told = |number: u32| {
        let ip = IpAddr::from((0x0800_0000 + (number << 12)).to_be_bytes());
        (
            now,
            Address::new(&SocketAddr::new(ip, 8333), ServiceFlags::NETWORK),
        )
    };
    for first in [0, 1000, 2000] {
        peer.send(NetworkMessage::Addr(
            (first..first + 1000).map(told).collect(),
        ))
        .await;
    }
    peer.send(NetworkMessage::Ping(1)).await;
    // The ping stands behind the addresses, so when it is answered they are with the pool.
    while peer.recv().await != NetworkMessage::Pong(1) {}
    let _ = running.handle.peers().await.unwrap();
    let policy = running.stop().await;
    let known = policy.known_addresses();
    assert!(
        known > 100 && known <= 513,
        "{known}: one source reaches an eighth of the book"
    );
}

#[tokio::test]
async fn a_handshake_that_drips_hits_its_deadline() {
    let (listener, addr) = listen().await;
    let mut config = config();
    config.handshake.within = Duration::from_millis(300);
    let running = Running::connecting_to(addr, config);
    let mut peer = FakePeer::accept(&listener).await;
    let start = tokio::time::Instant::now();
    let drip = async {
        let bytes = framed(NetworkMessage::Version(version()));
        for byte in bytes.iter().cycle() {
            use tokio::io::AsyncWriteExt as _;
            if peer.stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("the deadline", drip).await;
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    let _again = FakePeer::accept(&listener).await;
    running.stop().await;
}

#[tokio::test]
async fn a_node_that_does_not_keep_up_is_not_drowned() {
    let config = PoolConfig {
        events: 1,
        ..config()
    };
    let (mut running, mut peer, _listener) = Running::with_peer(config).await;
    let sending = tokio::spawn(async move {
        let bytes = framed(NetworkMessage::Headers(headers(2000)));
        for _ in 0..100 {
            peer.send_raw(&bytes).await;
        }
        peer
    });
    // Until no more gets through, since nobody takes events.
    let mut last = 0;
    let stuck = loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = running.handle.peers().await.unwrap()[0].bytes_in;
        if now == last && now > 0 {
            break now;
        }
        last = now;
    };
    assert!(stuck <= 4 * 162_100, "{stuck} bytes were taken in");
    for _ in 0..100 {
        let kind = running.next().await;
        assert!(matches!(&kind, PeerEventKind::Headers(headers) if headers.len() == 2000));
    }
    let peer = soon("the rest", sending).await.unwrap();
    drop(peer);
}

#[tokio::test]
async fn stops_in_order_even_when_nobody_listens() {
    let config = PoolConfig {
        events: 1,
        ..config()
    };
    let (running, mut peer, _listener) = Running::with_peer(config).await;
    for _ in 0..4 {
        peer.send(NetworkMessage::Headers(headers(1))).await;
    }
    peer.send(NetworkMessage::Addr(vec![])).await;
    let Running {
        handle,
        mut events,
        stop,
        task,
        ..
    } = running;
    stop.cancel();
    let policy = soon("the pool's end", task).await.unwrap();
    assert!(policy.is_manual(peer.stream.local_addr().unwrap()));
    assert!(handle.peers().await.is_err());
    while soon("the events' end", events.recv()).await.is_some() {}
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed() {
    let (mut running, _peer, _listener) = Running::with_peer(config()).await;
    let (handle, full) = (running.handle.clone(), vec![no_stop(); 101]);
    let asking = tokio::spawn(async move {
        while handle
            .get_headers(PEER, full.clone(), no_stop())
            .await
            .is_ok()
        {}
    });
    let reason = running.disconnected().await;
    assert!(matches!(reason, CloseReason::NotReading), "{reason:?}");
    running.stop().await;
    soon("the asking", asking).await.unwrap();
}

#[tokio::test]
async fn a_flood_is_slowed_down_and_not_punished() {
    let mut config = config();
    config.connection.quota = Quota {
        burst: 20,
        per: Duration::from_millis(10),
    };
    let (mut running, mut peer, _listener) = Running::with_peer(config).await;
    let start = tokio::time::Instant::now();
    for nonce in 0..100 {
        peer.send(NetworkMessage::Ping(nonce)).await;
    }
    for nonce in 0..100 {
        assert_eq!(peer.recv().await, NetworkMessage::Pong(nonce));
    }
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(700),
        "80 of 100 wait 10 ms each: {took:?}"
    );
    peer.send(NetworkMessage::Headers(headers(1))).await;
    assert!(
        matches!(running.next().await, PeerEventKind::Headers(_)),
        "still connected"
    );
}
