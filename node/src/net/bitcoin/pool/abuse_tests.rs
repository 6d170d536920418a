//! The pool with full nodes that do not behave.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bitcoin::p2p::message::NetworkMessage;
use ironlight_hardening::rate_limit::Quota;
use ironlight_spv::peers::{Offence, PeerPolicy, PolicyConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{PoolConfig, pool};
use crate::clock::Clock;
use crate::net::bitcoin::command::Command;
use crate::net::bitcoin::message::Inbound;
use crate::net::bitcoin::testing::{
    FakePeer, FakeSeeds, MAGIC, PEER, Running, config, frame, framed, headers, listen, no_stop,
    soon, version,
};
use crate::net::bitcoin::transport::{
    Connect, MessageReader, Received, TcpConnector, Transport, TransportError,
};
use crate::net::bitcoin::v1::V1;
use crate::net::bitcoin::{CloseReason, PeerEventKind, Progress};

#[tokio::test]
async fn an_oversized_message_ends_the_connection_at_its_frame() {
    let (mut running, mut peer, _listener) = Running::with_peer(config()).await;
    peer.send_raw(&frame("headers", 4_000_000)).await;
    let reason = running.disconnected().await;
    assert_eq!(reason.offence(), Some(Offence::TooManyHeaders), "{reason:?}");
}

#[tokio::test]
async fn a_second_version_ends_the_connection() {
    let (mut running, mut peer, _listener) = Running::with_peer(config()).await;
    peer.send(NetworkMessage::Version(version())).await;
    let reason = running.disconnected().await;
    assert!(matches!(reason, CloseReason::OutOfOrder { command: Command::Version }), "{reason:?}");
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
            if peer.stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("the deadline", drip).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let _again = FakePeer::accept(&listener).await;
    running.stop().await;
}

#[tokio::test]
async fn a_node_that_does_not_keep_up_is_not_drowned() {
    let mut config = PoolConfig { events: 1, ..config() };
    config.connection.quota.burst = 1_000_000;
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
        let now = running.handle.info().await.unwrap().peers[0].by_purpose.total().received;
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
async fn a_peer_that_does_not_read_is_closed() {
    let (mut running, _peer, _listener) = Running::with_peer(config()).await;
    let (handle, full) = (running.handle.clone(), vec![no_stop(); 101]);
    let asking = tokio::spawn(async move {
        while handle.get_headers(PEER, full.clone(), no_stop(), false).await.is_ok() {}
    });
    let reason = running.disconnected().await;
    assert!(matches!(reason, CloseReason::NotReading), "{reason:?}");
    running.stop().await;
    soon("the asking", asking).await.unwrap();
}

#[tokio::test]
async fn a_flood_is_slowed_down_and_not_punished() {
    let mut config = config();
    config.connection.quota = Quota { burst: 20, per: Duration::from_millis(10) };
    let (mut running, mut peer, _listener) = Running::with_peer(config).await;
    let start = tokio::time::Instant::now();
    for nonce in 0..100 {
        peer.send(NetworkMessage::Ping(nonce)).await;
    }
    for nonce in 0..100 {
        assert_eq!(peer.recv().await, NetworkMessage::Pong(nonce));
    }
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(700), "80 of 100 wait 10 ms each: {took:?}");
    peer.send(NetworkMessage::Headers(headers(1))).await;
    assert!(matches!(running.next().await, PeerEventKind::Headers(_)), "still connected");
}

/// Carries messages until one comes that brings out a defect of ours.
struct Cursed<T>(T);

const CURSE: u64 = 0xdead;

impl Connect for Cursed<TcpConnector> {
    type Transport = Cursed<V1<TcpStream>>;

    async fn connect(&self, addr: SocketAddr) -> io::Result<Self::Transport> {
        self.0.connect(addr).await.map(Cursed)
    }
}

impl<T: Transport> Transport for Cursed<T> {
    type Reader = Cursed<T::Reader>;
    type Writer = T::Writer;

    fn split(self) -> (Self::Reader, Self::Writer) {
        let (reader, writer) = self.0.split();
        (Cursed(reader), writer)
    }
}

impl<R: MessageReader> MessageReader for Cursed<R> {
    async fn recv(&mut self) -> Result<Received, TransportError> {
        let received = self.0.recv().await?;
        assert_ne!(received.message, Inbound::Ping(CURSE), "a defect, for the test");
        Ok(received)
    }

    fn note_progress(&mut self, progress: Progress) {
        self.0.note_progress(progress);
    }
}

#[tokio::test]
async fn a_defect_in_one_connection_is_noticed_and_stays_there() {
    let (listener, addr) = listen().await;
    let mut policy = PeerPolicy::new(PolicyConfig::default(), 1);
    assert!(policy.add_manual(addr));
    let connector = Cursed(TcpConnector::new(MAGIC.to_bytes()));
    let (pool, handle, mut events) =
        pool(config(), policy, connector, FakeSeeds::default(), Clock::start());
    let _running = tokio::spawn(pool.run(CancellationToken::new()));
    let mut peer = FakePeer::accept_and_greet(&listener).await;
    peer.send(NetworkMessage::Ping(CURSE)).await;
    let connected = soon("an event", events.recv()).await.unwrap();
    assert!(matches!(connected.kind, PeerEventKind::Connected { .. }));
    let gone = soon("an event", events.recv()).await.unwrap();
    assert!(matches!(gone.kind, PeerEventKind::Disconnected { reason: CloseReason::Crashed }));
    assert_eq!(gone.peer, connected.peer);
    let _again = FakePeer::accept_and_greet(&listener).await;
    assert!(handle.info().await.is_ok());
}
