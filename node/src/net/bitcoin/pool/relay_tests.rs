//! Transactions: announced, asked for and sent, both ways.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::Hash as _;
use bitcoin::p2p::message::NetworkMessage;
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::p2p::message_network::VersionMessage;
use bitcoin::{
    Amount, FeeRate, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    absolute, transaction,
};
use ironlight_hardening::rate_limit::Quota;
use ironlight_spv::peers::{PeerPolicy, PolicyConfig};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{Announcement, Apart, PoolConfig};
use crate::net::Purpose;
use crate::net::bitcoin::PeerEventKind;
use crate::net::bitcoin::testing::{
    FakePeer, FakeSeeds, PEER, Running, config, listen, soon, version,
};
use crate::net::relay::{Relay, RelayEvent};
use crate::net::suspend::Silence;

/// Transactions that differ, with a witness each.
fn payment(number: u32) -> Arc<Transaction> {
    let previous_output = OutPoint { txid: Txid::from_byte_array([7; 32]), vout: number };
    let witness = Witness::from_slice(&[[1; 64]]);
    let sequence = Sequence::MAX;
    let input = TxIn { previous_output, script_sig: ScriptBuf::new(), sequence, witness };
    let output = TxOut { value: Amount::from_sat(1000), script_pubkey: ScriptBuf::new() };
    Arc::new(Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![input],
        output: vec![output],
    })
}

struct Setting {
    running: Running,
    peer: FakePeer<TcpStream>,
    relay: Relay,
    told: mpsc::Receiver<RelayEvent>,
}

impl Setting {
    async fn new(watch_mempool: bool) -> Self {
        Self::with(watch_mempool, config()).await
    }

    async fn with(watch_mempool: bool, config: PoolConfig) -> Self {
        let (relay, told) = Relay::new(watch_mempool);
        let config = PoolConfig { relay: relay.clone(), ..config };
        let (running, peer, _listener) = Running::with_peer(config).await;
        Self { running, peer, relay, told }
    }

    async fn announce(&self, transaction: &Transaction) -> Announcement {
        self.running.handle.announce(PEER, transaction.compute_txid()).await.unwrap()
    }

    async fn told(&mut self) -> RelayEvent {
        soon("an event", self.told.recv()).await.unwrap()
    }
}

#[tokio::test]
async fn an_offered_transaction_is_announced_asked_for_and_sent() {
    let mut setting = Setting::new(false).await;
    let ours = payment(1);
    assert_eq!(setting.announce(&ours).await, Announcement::NotOffered);
    assert!(setting.relay.offer(Arc::clone(&ours)));
    assert_eq!(setting.announce(&ours).await, Announcement::Sent);
    // The peer said that it goes by wtxids (BIP339).
    let id = Inventory::WTx(ours.compute_wtxid());
    assert_eq!(setting.peer.recv().await, NetworkMessage::Inv(vec![id]));
    setting.peer.send(NetworkMessage::GetData(vec![id, id])).await;
    assert_eq!(setting.peer.recv().await, NetworkMessage::Tx((*ours).clone()));
    let (peer, txid) = (PEER, ours.compute_txid());
    assert_eq!(setting.told().await, RelayEvent::Requested { peer, txid });
    setting.peer.send(NetworkMessage::Inv(vec![id, id])).await;
    assert_eq!(setting.told().await, RelayEvent::Announced { peer, txid });
    // As those want it who do not know of witnesses.
    setting.peer.send(NetworkMessage::GetData(vec![Inventory::Transaction(txid)])).await;
    let NetworkMessage::Tx(stripped) = setting.peer.recv().await else { panic!("tx") };
    assert!(stripped.compute_txid() == txid && stripped.input[0].witness.is_empty());
    assert_eq!(setting.told().await, RelayEvent::Requested { peer, txid }, "told once");
    let carried = setting.running.handle.info().await.unwrap().by_purpose;
    assert!(carried.of(Purpose::Transactions).sent > 200, "{carried:?}");
}

#[tokio::test]
async fn what_was_not_announced_to_a_peer_is_not_given_to_it() {
    let mut setting = Setting::new(false).await;
    let ours = payment(1);
    assert!(setting.relay.offer(Arc::clone(&ours)));
    let wanted = vec![
        Inventory::WTx(ours.compute_wtxid()),
        Inventory::WitnessTransaction(ours.compute_txid()),
    ];
    setting.peer.send(NetworkMessage::GetData(wanted.clone())).await;
    assert_eq!(setting.peer.recv().await, NetworkMessage::NotFound(wanted.clone()));
    assert_eq!(setting.announce(&ours).await, Announcement::Sent);
    setting.peer.recv().await;
    setting.relay.withdraw(&ours.compute_txid());
    setting.peer.send(NetworkMessage::GetData(wanted.clone())).await;
    assert_eq!(setting.peer.recv().await, NetworkMessage::NotFound(wanted));
    assert!(setting.told.try_recv().is_err());
}

#[tokio::test]
async fn what_a_peer_makes_us_send_counts_as_its_talk() {
    let mut config = config();
    config.connection.quota = Quota { burst: 10, per: Duration::from_millis(20) };
    let mut setting = Setting::with(false, config).await;
    let mut large = (*payment(1)).clone();
    large.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x51; 9 * 1024]);
    let large = Arc::new(large);
    assert!(setting.relay.offer(Arc::clone(&large)));
    assert_eq!(setting.announce(&large).await, Announcement::Sent);
    setting.peer.recv().await;
    let start = tokio::time::Instant::now();
    for _ in 0..5 {
        let wanted = vec![Inventory::WTx(large.compute_wtxid())];
        setting.peer.send(NetworkMessage::GetData(wanted)).await;
        assert!(matches!(setting.peer.recv().await, NetworkMessage::Tx(_)));
    }
    assert!(start.elapsed() >= Duration::from_millis(4 * 9 * 20), "{:?}", start.elapsed());
}

/// A pool with a peer that greets in its own way.
async fn greeted_by(version: VersionMessage, relay: Relay) -> (Running, FakePeer<TcpStream>) {
    let (listener, addr) = listen().await;
    let config = PoolConfig { relay, ..config() };
    let mut running = Running::connecting_to(addr, config);
    let mut peer = FakePeer::accept(&listener).await;
    peer.recv().await;
    peer.send(NetworkMessage::Version(version)).await;
    peer.send(NetworkMessage::Verack).await;
    for _ in 0..4 {
        peer.recv().await;
    }
    assert!(matches!(running.next().await, PeerEventKind::Connected { .. }));
    (running, peer)
}

#[tokio::test]
async fn a_peer_is_told_in_its_own_way_or_not_at_all() {
    let (relay, _told) = Relay::new(false);
    let ours = payment(1);
    assert!(relay.offer(Arc::clone(&ours)));
    let txid = ours.compute_txid();
    let (running, mut peer) = greeted_by(version(), relay.clone()).await;
    assert_eq!(running.handle.announce(PEER, txid).await.unwrap(), Announcement::Sent);
    let expected = NetworkMessage::Inv(vec![Inventory::Transaction(txid)]);
    assert_eq!(peer.recv().await, expected, "it did not say that it goes by wtxids");

    let blocks_only = VersionMessage { relay: false, ..version() };
    let (running, _peer) = greeted_by(blocks_only, relay).await;
    assert_eq!(running.handle.announce(PEER, txid).await.unwrap(), Announcement::NotWanted);
    let nobody = ironlight_spv::peers::PeerId(77);
    assert_eq!(running.handle.announce(nobody, txid).await.unwrap(), Announcement::NotConnected);
}

#[tokio::test]
async fn with_a_watched_pool_each_transaction_is_fetched_once() {
    let mut setting = Setting::new(true).await;
    let others: Vec<_> = (0..150).map(payment).collect();
    let ids: Vec<_> = others.iter().map(|tx| Inventory::WTx(tx.compute_wtxid())).collect();
    setting.peer.send(NetworkMessage::Inv(ids.clone())).await;
    assert_eq!(setting.peer.recv().await, NetworkMessage::GetData(ids[..100].to_vec()));
    setting.peer.send(NetworkMessage::NotFound(ids[..1].to_vec())).await;
    assert_eq!(setting.peer.recv().await, NetworkMessage::GetData(ids[100..101].to_vec()));
    setting.peer.send(NetworkMessage::Tx((*others[5]).clone())).await;
    let expected = RelayEvent::Received { peer: PEER, transaction: Arc::clone(&others[5]) };
    assert_eq!(setting.told().await, expected);
    assert_eq!(setting.peer.recv().await, NetworkMessage::GetData(ids[101..102].to_vec()));
    // Nobody asked for these: one unknown, one that came already.
    setting.peer.send(NetworkMessage::Tx((*payment(900)).clone())).await;
    setting.peer.send(NetworkMessage::Tx((*others[5]).clone())).await;
    setting.peer.send(NetworkMessage::Inv(vec![ids[5], ids[0]])).await;
    setting.peer.send(NetworkMessage::Ping(3)).await;
    assert_eq!(setting.peer.recv().await, NetworkMessage::Pong(3));
    assert!(setting.told.try_recv().is_err());
}

#[tokio::test]
async fn without_a_watched_pool_nothing_is_fetched() {
    let mut setting = Setting::new(false).await;
    let id = Inventory::WTx(payment(1).compute_wtxid());
    setting.peer.send(NetworkMessage::Inv(vec![id])).await;
    setting.peer.send(NetworkMessage::Tx((*payment(1)).clone())).await;
    setting.peer.send(NetworkMessage::Ping(3)).await;
    assert_eq!(setting.peer.recv().await, NetworkMessage::Pong(3));
    assert!(setting.told.try_recv().is_err());
}

#[tokio::test]
async fn fee_filters_are_told_by_weight() {
    let mut setting = Setting::new(false).await;
    setting.peer.send(NetworkMessage::FeeFilter(i64::MAX)).await;
    setting.peer.send(NetworkMessage::FeeFilter(1001)).await;
    let least = FeeRate::from_sat_per_kwu(251);
    assert_eq!(setting.told().await, RelayEvent::FeeFilter { peer: PEER, least });
}

#[test]
fn transactions_that_the_wallet_does_not_take_are_bounded_by_their_bytes() {
    let (relay, mut told) = Relay::new(true);
    for number in 0..100 {
        relay.received(PEER, payment(number), 100_000);
    }
    let mut waiting = 0;
    while told.try_recv().is_ok() {
        waiting += 1;
    }
    assert_eq!(waiting, (4 << 20) / 100_000);
    relay.received(PEER, payment(0), 100_000);
    assert!(told.try_recv().is_ok(), "taken ones count no more");
}

#[test]
fn transactions_asked_for_lately_are_remembered_in_a_bounded_set() {
    use crate::net::bitcoin::message::TransactionId;
    let (relay, _told) = Relay::new(true);
    let id = |number: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        TransactionId::Txid(Txid::from_byte_array(bytes))
    };
    assert!(relay.claim(id(0)) && !relay.claim(id(0)));
    relay.release(&id(0));
    assert!((0..100_000).all(|number| relay.claim(id(number))));
    assert!(!relay.claim(id(99_999)) && !relay.claim(id(50_001)));
    assert!(relay.claim(id(3)), "long ago");
}

#[tokio::test]
async fn a_suspended_node_broadcasts_nothing_apart_either() {
    let config = config();
    let suspension = config.suspension.clone();
    let (listener, addr) = listen().await;
    let running = Running::connecting_to(addr, config);
    let first = FakePeer::accept_and_greet(&listener).await;
    let start = || {
        let handle = running.handle.clone();
        tokio::spawn(async move { handle.announce_apart(payment(1)).await.unwrap() })
    };
    let announcing = start();
    let _apart = FakePeer::accept_and_greet(&listener).await;
    suspension.suspend(Silence::Asked);
    assert_eq!(soon("the outcome", announcing).await.unwrap(), Apart::Suspended);
    assert_eq!(soon("the outcome", start()).await.unwrap(), Apart::Suspended);
    soon("silence", suspension.settled()).await;
    suspension.resume();
    drop(first);
    let ordinary = FakePeer::accept_and_greet(&listener).await;
    let announcing = start();
    let mut peer = FakePeer::accept(&listener).await;
    apart(&mut peer, &payment(1)).await;
    drop((ordinary, peer));
    assert_eq!(soon("the outcome", announcing).await.unwrap(), Apart::Unconfirmed);
}

/// A full node that takes one connection for one transaction.
async fn apart(peer: &mut FakePeer<TcpStream>, ours: &Transaction) {
    let greeting = peer.greet(version()).await;
    let NetworkMessage::Version(own) = &greeting[0] else { panic!("version") };
    assert!(!own.relay);
    let id = Inventory::WTx(ours.compute_wtxid());
    assert_eq!(peer.recv().await, NetworkMessage::Inv(vec![id]));
    let other = Inventory::WTx(payment(99).compute_wtxid());
    peer.send(NetworkMessage::GetData(vec![other])).await;
    peer.send(NetworkMessage::GetData(vec![id])).await;
    assert_eq!(peer.recv().await, NetworkMessage::Tx(ours.clone()));
}

#[tokio::test]
async fn a_broadcast_apart_has_a_connection_of_its_own() {
    let (relay, mut told) = Relay::new(false);
    let (listener, addr) = listen().await;
    let mut running = Running::connecting_to(addr, PoolConfig { relay, ..config() });
    let mut ordinary = FakePeer::accept_and_greet(&listener).await;
    assert!(matches!(running.next().await, PeerEventKind::Connected { .. }));
    let ours = payment(1);
    let (handle, sent) = (running.handle.clone(), Arc::clone(&ours));
    let announcing = tokio::spawn(async move { handle.announce_apart(sent).await });
    let mut peer = FakePeer::accept(&listener).await;
    apart(&mut peer, &ours).await;
    let NetworkMessage::Ping(nonce) = peer.recv().await else { panic!("ping") };
    peer.send(NetworkMessage::Pong(nonce ^ 1)).await;
    peer.send(NetworkMessage::Pong(nonce)).await;
    assert_eq!(soon("the outcome", announcing).await.unwrap().unwrap(), Apart::Delivered);
    // The peers that it keeps know nothing of it.
    let wanted = vec![Inventory::WTx(ours.compute_wtxid())];
    ordinary.send(NetworkMessage::GetData(wanted.clone())).await;
    assert_eq!(ordinary.recv().await, NetworkMessage::NotFound(wanted));
    assert!(told.try_recv().is_err());
    let info = running.handle.info().await.unwrap();
    assert_eq!(info.peers.len(), 1, "it is no peer");
    let all = info.by_purpose.total().received;
    assert!(all > info.peers[0].by_purpose.total().received, "its bytes are counted");
}

#[tokio::test]
async fn what_became_of_a_broadcast_apart_is_told() {
    let running =
        Running::start(config(), PeerPolicy::new(PolicyConfig::default(), 1), FakeSeeds::default());
    let outcome = running.handle.announce_apart(payment(1)).await.unwrap();
    assert_eq!(outcome, Apart::NoAddress);

    let (listener, addr) = listen().await;
    let running = Running::connecting_to(addr, config());
    let _ordinary = FakePeer::accept_and_greet(&listener).await;
    let start = |handle: &super::PoolHandle| {
        let handle = handle.clone();
        tokio::spawn(async move { handle.announce_apart(payment(1)).await.unwrap() })
    };
    let announcing = start(&running.handle);
    drop(FakePeer::accept(&listener).await);
    assert_eq!(soon("the outcome", announcing).await.unwrap(), Apart::NoPeer);
    let announcing = start(&running.handle);
    let mut peer = FakePeer::accept_and_greet(&listener).await;
    peer.recv().await;
    drop(peer);
    assert_eq!(soon("the outcome", announcing).await.unwrap(), Apart::NotAsked);
    let announcing = start(&running.handle);
    let mut peer = FakePeer::accept(&listener).await;
    apart(&mut peer, &payment(1)).await;
    drop(peer);
    assert_eq!(soon("the outcome", announcing).await.unwrap(), Apart::Unconfirmed);
}
