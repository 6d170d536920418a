//! With a clock of their own: what takes minutes takes no time here.

use bitcoin::hashes::Hash as _;
use bitcoin::p2p::message::NetworkMessage;
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::net::bitcoin::testing::{FakePeer, MAGIC, headers};
use crate::net::bitcoin::transport::Transport as _;
use crate::net::bitcoin::v1::V1;
use crate::net::relay::Relay;

struct Serving {
    peer: FakePeer<DuplexStream>,
    task: JoinHandle<CloseReason>,
    outbox: mpsc::Sender<ToWriter>,
    events: mpsc::Receiver<PeerEvent>,
    traffic: Arc<Traffic>,
    _notices: mpsc::Receiver<Notice>,
    _parent: CancellationToken,
}

fn serve(config: ConnectionConfig, buffer: usize) -> Serving {
    let (near, far) = duplex(buffer);
    let (reader, writer) = V1::new(near, MAGIC.to_bytes()).split();
    let (events, events_out) = mpsc::channel(64);
    let (notices, notices_out) = mpsc::channel(64);
    let (outbox, outbox_in) = mpsc::channel(config.outbox);
    let parent = CancellationToken::new();
    let connection = Connection {
        peer: PeerId(3),
        addr: SocketAddr::from(([8, 8, 8, 8], 8333)),
        config,
        events,
        notices,
        replies: outbox.clone(),
        awaited: Arc::default(),
        relaying: Relaying::new(PeerId(3), Relay::new(false).0),
        traffic: Arc::default(),
        leash: Leash::new(&parent),
        seed: 1,
    };
    let traffic = Arc::clone(&connection.traffic);
    let task = tokio::spawn(connection.run(reader, writer, outbox_in));
    let peer = FakePeer { stream: far };
    let (_notices, _parent) = (notices_out, parent);
    Serving { peer, task, outbox, events: events_out, traffic, _notices, _parent }
}

fn quiet() -> ConnectionConfig {
    let day = Duration::from_secs(24 * 60 * 60);
    ConnectionConfig { ping_every: day, idle: day, ..ConnectionConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_one_that_does_not_answer_is_closed() {
    let mut serving = serve(ConnectionConfig::default(), 1024);
    let start = Instant::now();
    let NetworkMessage::Ping(nonce) = recv_later(&mut serving.peer).await else { panic!("ping") };
    assert_eq!(start.elapsed().as_secs(), 120);
    serving.peer.send(NetworkMessage::Pong(nonce)).await;
    let NetworkMessage::Ping(nonce) = recv_later(&mut serving.peer).await else { panic!("ping") };
    assert!(serving.traffic.ping_micros.load(Ordering::Relaxed) > 0);
    serving.peer.send(NetworkMessage::Pong(nonce ^ 1)).await;
    let reason = serving.task.await.unwrap();
    assert!(matches!(reason, CloseReason::PingTimeout { .. }), "{reason:?}");
    assert_eq!(start.elapsed().as_secs(), 240 + 60, "another number is no answer");
}

/// The next message, whatever time it takes on the paused clock.
async fn recv_later(peer: &mut FakePeer<DuplexStream>) -> NetworkMessage {
    sleep(Duration::from_secs(110)).await;
    peer.recv().await
}

#[tokio::test(start_paused = true)]
async fn a_message_that_never_ends_is_not_waited_for() {
    let config = ConnectionConfig { idle: Duration::from_secs(300), ..quiet() };
    let mut serving = serve(config, 1024);
    let bytes = crate::net::bitcoin::testing::framed(NetworkMessage::Headers(headers(2000)));
    let start = Instant::now();
    let drip = async {
        for byte in &bytes {
            serving.peer.send_raw(&[*byte]).await;
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = drip => panic!("the whole message was waited for"),
        reason = &mut serving.task => {
            assert!(matches!(reason.unwrap(), CloseReason::Idle { .. }));
        }
    }
    assert_eq!(start.elapsed().as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_closed_when_the_line_is_full() {
    let config = ConnectionConfig { outbox: 64, ..quiet() };
    let serving = serve(config, 1024);
    let start = Instant::now();
    let locator = vec![bitcoin::BlockHash::all_zeros(); 101];
    let request = Outbound::GetHeaders { locator, stop: bitcoin::BlockHash::all_zeros() };
    serving.outbox.send(ToWriter::Send(request)).await.unwrap();
    let reason = serving.task.await.unwrap();
    assert!(matches!(reason, CloseReason::NotReading), "{reason:?}");
    assert_eq!(start.elapsed(), config.write_within);
}

#[tokio::test(start_paused = true)]
async fn headers_that_were_asked_for_do_not_count_as_talk() {
    let quota = Quota { burst: 200, per: Duration::from_secs(1) };
    let mut serving = serve(ConnectionConfig { quota, ..quiet() }, 1 << 20);
    let start = Instant::now();
    for _ in 0..50 {
        let stop = bitcoin::BlockHash::all_zeros();
        let request = Outbound::GetHeaders { locator: vec![stop], stop };
        let (answered, answer) = oneshot::channel();
        serving.outbox.send(ToWriter::Ask(request, answered)).await.unwrap();
        let NetworkMessage::GetHeaders(_) = serving.peer.recv().await else { panic!("ask") };
        serving.peer.send(NetworkMessage::Headers(headers(2000))).await;
        serving.events.recv().await.unwrap();
        answer.await.expect("the request is answered");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    for _ in 0..3 {
        serving.peer.send(NetworkMessage::Headers(headers(2000))).await;
        serving.events.recv().await.unwrap();
    }
    let took = start.elapsed().as_secs();
    assert!((270..300).contains(&took), "159 tokens each, 200 at once: {took} s");
}

#[tokio::test(start_paused = true)]
async fn a_leash_is_pulled_for_its_first_reason() {
    let parent = CancellationToken::new();
    let leash = Leash::new(&parent);
    leash.pull(WhyClose::Evicted);
    leash.pull(WhyClose::Asked);
    assert!(matches!(leash.pulled().await, CloseReason::Evicted));
    let leash = Leash::new(&parent);
    parent.cancel();
    assert!(matches!(leash.pulled().await, CloseReason::Shutdown));
}
