//! A full node that does what a test says, and a pool that meets it. Its messages are written and read by the `bitcoin`
//! crate, so that a mistake in our own codec cannot hide behind itself.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::p2p::address::Address;
use bitcoin::p2p::message::{NetworkMessage, RawNetworkMessage};
use bitcoin::p2p::message_network::VersionMessage;
use bitcoin::p2p::{Magic, ServiceFlags};
use ironlight_spv::peers::{PeerId, PeerPolicy, PolicyConfig};
use ironlight_spv::{Header, Network, Params};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::pool::{PoolConfig, PoolHandle, pool};
use super::seeds::Resolve;
use super::transport::TcpConnector;
use super::{CloseReason, PeerEvent, PeerEventKind};
use crate::clock::Clock;

pub(super) const MAGIC: Magic = Magic::REGTEST;

/// Nothing in these tests takes long; what does is a failure, not a wait.
pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// A message with its frame.
pub(super) fn framed(message: NetworkMessage) -> Vec<u8> {
    serialize(&RawNetworkMessage::new(MAGIC, message))
}

/// A frame alone.
pub(super) fn frame(command: &str, length: u32) -> Vec<u8> {
    let mut bytes = MAGIC.to_bytes().to_vec();
    bytes.extend(command.bytes());
    bytes.resize(16, 0);
    bytes.extend(length.to_le_bytes());
    bytes.extend([0; 4]);
    bytes
}

/// Headers that differ; they need not be valid here.
pub(super) fn headers(count: u32) -> Vec<bitcoin::block::Header> {
    let genesis: bitcoin::block::Header = Params::new(Network::Regtest).genesis.into();
    (0..count).map(|nonce| bitcoin::block::Header { nonce, ..genesis }).collect()
}

/// The same as ours.
pub(super) fn ours(headers: &[bitcoin::block::Header]) -> Vec<Header> {
    headers.iter().map(|header| Header::from(*header)).collect()
}

/// What a full node says of itself.
pub(super) fn version() -> VersionMessage {
    let nowhere = Address::new(&SocketAddr::from(([0, 0, 0, 0], 0)), ServiceFlags::NONE);
    VersionMessage {
        version: 70_016,
        services: ServiceFlags::NETWORK | ServiceFlags::WITNESS,
        timestamp: 1_700_000_000,
        receiver: nowhere.clone(),
        sender: nowhere,
        nonce: 77,
        user_agent: "/Fake:1.0/".into(),
        start_height: 2000,
        relay: true,
    }
}

pub(super) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// The node's end of a connection.
pub(super) struct FakePeer<S> {
    pub(super) stream: S,
}

impl FakePeer<TcpStream> {
    pub(super) async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = soon("a connection", listener.accept()).await.unwrap();
        Self { stream }
    }

    /// Accepts and shakes hands; what comes next is what the light client does as a peer.
    pub(super) async fn accept_and_greet(listener: &TcpListener) -> Self {
        let mut peer = Self::accept(listener).await;
        peer.greet(version()).await;
        peer
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> FakePeer<S> {
    pub(super) async fn send(&mut self, message: NetworkMessage) {
        self.send_raw(&framed(message)).await;
    }

    pub(super) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(super) async fn recv(&mut self) -> NetworkMessage {
        let mut bytes = vec![0; 24];
        soon("a frame", self.stream.read_exact(&mut bytes)).await.unwrap();
        let length = u32::from_le_bytes(bytes[16..20].try_into().unwrap());
        bytes.resize(24 + usize::try_from(length).unwrap(), 0);
        soon("a payload", self.stream.read_exact(&mut bytes[24..])).await.unwrap();
        deserialize::<RawNetworkMessage>(&bytes).unwrap().into_payload()
    }

    /// Plays the full node's part of a handshake, in Bitcoin Core's order, and hands back what
    /// the light client sent, in its order.
    pub(super) async fn greet(&mut self, version: VersionMessage) -> Vec<NetworkMessage> {
        let mut got = vec![self.recv().await];
        self.send(NetworkMessage::Version(version)).await;
        self.send(NetworkMessage::WtxidRelay).await;
        self.send(NetworkMessage::SendAddrV2).await;
        self.send(NetworkMessage::Verack).await;
        for _ in 0..4 {
            got.push(self.recv().await);
        }
        got
    }
}

/// Answers with what it is told to, and counts how often it is asked.
#[derive(Clone, Default)]
pub(super) struct FakeSeeds {
    pub(super) asked: Arc<AtomicUsize>,
    pub(super) answer: Vec<IpAddr>,
}

impl Resolve for FakeSeeds {
    fn resolve(&self, _: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send {
        self.asked.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(self.answer.clone()))
    }
}

pub(super) struct Running {
    pub(super) handle: PoolHandle,
    pub(super) events: mpsc::Receiver<PeerEvent>,
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<PeerPolicy>,
    pub(super) seeds: FakeSeeds,
}

impl Running {
    pub(super) fn start(config: PoolConfig, policy: PeerPolicy, seeds: FakeSeeds) -> Self {
        let connector = TcpConnector::new(MAGIC.to_bytes());
        let (pool, handle, events) = pool(config, policy, connector, seeds.clone(), Clock::start());
        let stop = CancellationToken::new();
        let task = tokio::spawn(pool.run(stop.clone()));
        Self { handle, events, stop, task, seeds }
    }

    /// A pool that the user told to connect to one address.
    pub(super) fn connecting_to(addr: SocketAddr, config: PoolConfig) -> Self {
        let mut policy = PeerPolicy::new(PolicyConfig::default(), 1);
        assert!(policy.add_manual(addr));
        Self::start(config, policy, FakeSeeds::default())
    }

    /// The same, with a peer that has shaken hands.
    pub(super) async fn with_peer(
        config: PoolConfig,
    ) -> (Self, FakePeer<tokio::net::TcpStream>, TcpListener) {
        let (listener, addr) = listen().await;
        let mut running = Self::connecting_to(addr, config);
        let peer = FakePeer::accept_and_greet(&listener).await;
        let kind = running.next().await;
        assert!(matches!(kind, PeerEventKind::Connected { .. }), "{kind:?}");
        (running, peer, listener)
    }

    pub(super) async fn next(&mut self) -> PeerEventKind {
        soon("an event", self.events.recv()).await.unwrap().kind
    }

    pub(super) async fn disconnected(&mut self) -> CloseReason {
        loop {
            if let PeerEventKind::Disconnected { reason } = self.next().await {
                return reason;
            }
        }
    }

    pub(super) async fn stop(self) -> PeerPolicy {
        self.stop.cancel();
        soon("the pool's end", self.task).await.unwrap()
    }
}

pub(super) fn config() -> PoolConfig {
    PoolConfig::new(18_444, 7)
}

pub(super) const PEER: PeerId = PeerId(0);

pub(super) fn no_stop() -> BlockHash {
    BlockHash::all_zeros()
}
