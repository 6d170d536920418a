//! Peers that connect to us.

use core::net::IpAddr;

use super::*;
use crate::peers::ServiceFlags;
use crate::time::UnixTime;

fn at(seconds: u64) -> Now {
    Now { unix: UnixTime(1_700_000_000), elapsed: Duration::from_secs(seconds) }
}

/// A public address with a port that nobody listens on.
fn caller(group: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([60, group, 1, 1]), port)
}

fn told(addr: SocketAddr) -> AddressRecord {
    AddressRecord { addr, services: ServiceFlags::NETWORK, last_seen: at(0).unix }
}

#[test]
fn callers_take_no_place_of_those_that_are_dialled() {
    let mut policy = PeerPolicy::new(PolicyConfig::default(), 1);
    for id in 0..100_u8 {
        assert!(policy.handle_inbound(caller(id, 50_000), PeerId(u64::from(id)), at(0)));
    }
    for group in 0..20 {
        let addr = SocketAddr::new(IpAddr::from([60, group, 9, 9]), 8333);
        policy.add_addresses(AddressSource::Peer(addr.ip()), &[told(addr)], at(0));
    }
    let mut dialled = 0;
    while policy.poll_dial(at(1)).is_some() {
        dialled += 1;
    }
    assert_eq!(dialled, 8, "neither their number nor their groups count");
}

#[test]
fn one_network_group_cannot_fill_the_house() {
    let config = PolicyConfig { inbound_per_group: 3, ..PolicyConfig::default() };
    let mut policy = PeerPolicy::new(config, 1);
    let admitted = |policy: &mut PeerPolicy, group, port: u16| {
        policy.handle_inbound(caller(group, port), PeerId(u64::from(port)), at(0))
    };
    let let_in = (1..10).filter(|port| admitted(&mut policy, 1, *port)).count();
    assert_eq!(let_in, 3);
    assert!(admitted(&mut policy, 2, 99), "others are still let in");
    policy.handle_disconnected(PeerId(1), DisconnectCause::Closed, at(1));
    assert!(admitted(&mut policy, 1, 100), "a place that is free again is given away");
}

#[test]
fn callers_from_addresses_that_are_not_routed_are_not_counted() {
    let mut policy = PeerPolicy::new(PolicyConfig::default(), 1);
    for port in 1..=100 {
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        assert!(policy.handle_inbound(addr, PeerId(u64::from(port)), at(0)));
    }
}

#[test]
fn a_banned_address_may_not_call_and_is_not_called() {
    let mut policy = PeerPolicy::new(PolicyConfig::default(), 1);
    assert!(policy.handle_inbound(caller(1, 1), PeerId(1), at(0)));
    let verdict = policy.handle_misbehaviour(PeerId(1), Offence::InvalidHeader, at(1));
    assert!(matches!(verdict, Verdict::Ban { .. }));
    policy.handle_disconnected(PeerId(1), DisconnectCause::Misbehaved, at(1));
    assert!(policy.is_banned(caller(1, 2), at(2)));
    assert!(!policy.handle_inbound(caller(1, 2), PeerId(2), at(2)));
    policy.add_addresses(AddressSource::DnsSeed(0), &[told(caller(1, 8333))], at(2));
    assert_eq!(policy.poll_dial(at(3)), None);
}

#[test]
fn named_peers_need_not_be_the_only_ones() {
    let config = PolicyConfig { manual_only: false, ..PolicyConfig::default() };
    let mut policy = PeerPolicy::new(config, 1);
    assert!(policy.add_manual(caller(1, 8333)));
    policy.add_addresses(AddressSource::DnsSeed(0), &[told(caller(2, 8333))], at(0));
    let dialled: Vec<_> = core::iter::from_fn(|| policy.poll_dial(at(1))).collect();
    assert_eq!(dialled, [caller(1, 8333), caller(2, 8333)]);
}
