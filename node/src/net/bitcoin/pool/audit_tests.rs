//! Who is shut out is written down.

use std::io;
use std::net::SocketAddr;

use bitcoin::p2p::ServiceFlags;
use ironlight_hardening::audit::{Record, Value, read_log};
use ironlight_spv::Network;
use ironlight_spv::peers::{AddressRecord, AddressSource, PeerPolicy, PolicyConfig};
use tokio_util::sync::CancellationToken;

use super::{PoolConfig, pool};
use crate::audit::{FOLDER, NodeAudit};
use crate::clock::{Clock, unix_now};
use crate::net::bitcoin::testing::{
    FakePeer, FakeSeeds, MAGIC, Running, config, frame, listen, soon,
};
use crate::net::bitcoin::transport::{Connect, TcpConnector};

/// Connects to one address, whichever is asked for: those of loopback are never banned.
struct Diverted(TcpConnector, SocketAddr);

impl Connect for Diverted {
    type Transport = <TcpConnector as Connect>::Transport;

    async fn connect(&self, _addr: SocketAddr) -> io::Result<Self::Transport> {
        self.0.connect(self.1).await
    }
}

fn records(directory: &std::path::Path, kind: &str) -> Vec<Record> {
    let mut found = Vec::new();
    let see = |record: &Record| {
        if record.event.kind().name() == kind {
            found.push(record.clone());
        }
    };
    assert_eq!(read_log(&directory.join(FOLDER), &[], see).unwrap().tampering, None);
    found
}

#[tokio::test]
async fn a_ban_is_written_down_with_address_offence_and_end() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::start();
    let (audit, notes) = NodeAudit::open(directory.path(), Network::Regtest, clock);
    assert_eq!(notes, Vec::<String>::new());
    let (listener, local) = listen().await;
    let mut policy = PeerPolicy::new(PolicyConfig::default(), 1);
    let addr: SocketAddr = "8.8.4.4:8333".parse().unwrap();
    let services = ServiceFlags::NETWORK | ServiceFlags::WITNESS;
    let record = AddressRecord { addr, services, last_seen: unix_now() };
    policy.add_addresses(AddressSource::DnsSeed(0), &[record], clock.now());
    let config = PoolConfig { audit: audit.clone(), ..config() };
    let connector = Diverted(TcpConnector::new(MAGIC.to_bytes()), local);
    let (pool, _handle, mut events) = pool(config, policy, connector, FakeSeeds::default(), clock);
    let stop = CancellationToken::new();
    let running = tokio::spawn(pool.run(stop.clone()));
    let mut peer = FakePeer::accept_and_greet(&listener).await;
    peer.send_raw(&frame("headers", 4_000_000)).await;
    while soon("the goodbye", events.recv()).await.is_some_and(|event| {
        !matches!(event.kind, crate::net::bitcoin::PeerEventKind::Disconnected { .. })
    }) {}
    stop.cancel();
    let policy = soon("the pool's end", running).await.unwrap();
    assert!(policy.is_banned(addr, clock.now()));
    audit.stop().await;

    let bans = records(directory.path(), "ban");
    let event = &bans[0].event;
    assert_eq!((bans.len(), event.subject()), (1, "8.8.4.4:8333"));
    assert_eq!(event.value("network"), Some(&"bitcoin".into()));
    assert_eq!(event.value("offence"), Some(&"TooManyHeaders".into()));
    assert_eq!(event.value("penalty"), Some(&"banned".into()));
    let until = policy.export_bans(clock.now())[0].until;
    assert_eq!(event.value("until"), Some(&Value::Number(i64::from(until.0))));
}

#[tokio::test]
async fn a_peer_of_the_users_choice_is_dropped_and_that_is_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let (audit, _) = NodeAudit::open(directory.path(), Network::Regtest, Clock::start());
    let config = PoolConfig { audit: audit.clone(), ..config() };
    let (mut running, mut peer, listener) = Running::with_peer(config).await;
    peer.send_raw(&frame("headers", 4_000_000)).await;
    running.disconnected().await;
    running.stop().await;
    audit.stop().await;
    assert_eq!(records(directory.path(), "ban"), []);
    let drops = records(directory.path(), "invalid_data");
    let address = listener.local_addr().unwrap().to_string();
    assert_eq!((drops.len(), drops[0].event.subject()), (1, address.as_str()));
    assert_eq!(drops[0].event.value("penalty"), Some(&"dropped".into()));
}
