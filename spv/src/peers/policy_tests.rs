use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::vec;

use super::*;
use crate::peers::ServiceFlags;
use crate::time::UnixTime;

const DAY: u32 = 24 * 60 * 60;

fn at(seconds: u64) -> Now {
    let unix = UnixTime(1_700_000_000 + u32::try_from(seconds).unwrap());
    Now { unix, elapsed: Duration::from_secs(seconds) }
}

fn policy(seed: u64) -> PeerPolicy {
    PeerPolicy::new(PolicyConfig::default(), seed)
}

/// A public address: one for each pair of group and host.
fn addr(group: u16, host: u16) -> SocketAddr {
    let [a, b] = group.to_be_bytes();
    let [c, d] = host.to_be_bytes();
    SocketAddr::new(IpAddr::from([11 + a % 80, b, c, d]), 8333)
}

fn told(addr: SocketAddr, now: Now) -> AddressRecord {
    AddressRecord { addr, services: ServiceFlags::NETWORK, last_seen: now.unix }
}

/// Each address told by a source of its own, so that all find a place.
fn learn(policy: &mut PeerPolicy, addrs: impl IntoIterator<Item = SocketAddr>, now: Now) {
    for addr in addrs {
        policy.add_addresses(AddressSource::Peer(addr.ip()), &[told(addr, now)], now);
    }
}

fn connect_all(policy: &mut PeerPolicy, first_id: u64, now: Now) -> Vec<(PeerId, SocketAddr)> {
    let mut peers = vec![];
    for id in first_id.. {
        let Some(addr) = policy.poll_dial(now) else {
            break;
        };
        policy.handle_connected(addr, PeerId(id), now);
        peers.push((PeerId(id), addr));
    }
    peers
}

#[test]
fn dials_up_to_the_target_one_in_each_group() {
    let mut policy = policy(1);
    learn(&mut policy, (0..300).map(|host| addr(1, host)), at(0));
    learn(&mut policy, (2..6).map(|group| addr(group, 1)), at(0));
    assert_eq!(connect_all(&mut policy, 0, at(1)).len(), 5, "there are five groups");
    learn(&mut policy, (6..40).map(|group| addr(group, 1)), at(1));
    assert_eq!(connect_all(&mut policy, 5, at(2)).len(), 3, "the target is eight");
    assert_eq!(policy.poll_dial(at(100_000)), None);
    assert_eq!(policy.poll_timeout(), None);
}

#[test]
fn manual_peers_are_the_only_ones_dialled() {
    let mut policy = policy(2);
    learn(&mut policy, (1..40).map(|group| addr(group, 1)), at(0));
    let ours: SocketAddr = "127.0.0.1:18444".parse().unwrap();
    assert!(policy.add_manual(ours));
    assert_eq!(connect_all(&mut policy, 0, at(0)), [(PeerId(0), ours)]);
    assert!(!policy.wants_addresses(at(1)));
}

#[test]
fn a_manual_peer_is_dropped_for_lies_but_dialled_again_within_a_minute() {
    let mut policy = policy(3);
    let ours = addr(1, 1);
    assert!(policy.add_manual(ours));
    connect_all(&mut policy, 0, at(0));
    let verdict = policy.handle_misbehaviour(PeerId(0), Offence::InvalidHeader, at(1));
    assert_eq!(verdict, Verdict::Drop);
    assert!(policy.export_bans(at(1)).is_empty());
    policy.handle_disconnected(PeerId(0), DisconnectCause::Misbehaved, at(1));
    assert_eq!(policy.poll_dial(at(60)), None);
    assert_eq!(policy.poll_timeout(), Some(Duration::from_secs(61)));
    assert_eq!(policy.poll_dial(at(61)), Some(ours));
}

#[test]
fn a_manual_peer_that_is_down_is_tried_at_growing_pauses() {
    let mut policy = policy(4);
    let ours = addr(1, 1);
    assert!(policy.add_manual(ours));
    let mut now = Now { elapsed: Duration::ZERO, ..at(0) };
    for failure in 0..12_u32 {
        assert_eq!(policy.poll_dial(now), Some(ours));
        assert_eq!(policy.poll_dial(now), None, "not while it is being dialled");
        policy.handle_failed(ours, DialFailure::Unreachable, now);
        let pause = policy.poll_timeout().unwrap() - now.elapsed;
        let ceiling = (MANUAL_BASE * 2_u32.pow(failure)).min(MANUAL_CAP);
        assert!(pause >= ceiling / 2 && pause <= ceiling, "failure {failure}: {pause:?}");
        now.elapsed += pause;
    }
}

#[test]
fn the_number_of_manual_peers_is_bounded() {
    let mut policy = policy(5);
    let accepted = (0..100).filter(|host| policy.add_manual(addr(1, *host))).count();
    assert_eq!(accepted, MAX_MANUAL_PEERS);
    assert!(policy.add_manual(addr(1, 0)), "it is there already");
}

#[test]
fn a_proven_lie_bans_for_a_day_on_any_port() {
    let mut policy = policy(6);
    let liar = addr(1, 1);
    let other_port = SocketAddr::new(liar.ip(), 9333);
    learn(&mut policy, [liar], at(0));
    connect_all(&mut policy, 0, at(0));
    let verdict = policy.handle_misbehaviour(PeerId(0), Offence::InvalidHeader, at(10));
    let Verdict::Ban { until } = verdict else { panic!("{verdict:?}") };
    assert_eq!(until, at(10).unix.plus_seconds(DAY));
    policy.handle_disconnected(PeerId(0), DisconnectCause::Misbehaved, at(10));
    learn(&mut policy, [liar, other_port], at(20));
    assert_eq!((policy.known_addresses(), policy.poll_dial(at(20))), (0, None));
    let later = at(10 + u64::from(DAY));
    learn(&mut policy, [other_port], later);
    assert_eq!(policy.poll_dial(later), Some(other_port));
}

#[test]
fn what_a_broken_line_does_too_is_no_reason_to_ban() {
    let mut policy = policy(7);
    learn(&mut policy, [addr(1, 1)], at(0));
    connect_all(&mut policy, 0, at(0));
    for offence in [Offence::BadChecksum, Offence::WrongNetwork] {
        assert_eq!(policy.handle_misbehaviour(PeerId(0), offence, at(1)), Verdict::Drop);
    }
    assert!(policy.export_bans(at(1)).is_empty());
}

#[test]
fn an_offence_before_the_handshake_bans_too() {
    let mut policy = policy(8);
    learn(&mut policy, [addr(1, 1)], at(0));
    let dialled = policy.poll_dial(at(0)).unwrap();
    policy.handle_failed(dialled, DialFailure::Offended(Offence::Oversized), at(1));
    assert_eq!(policy.export_bans(at(1)).len(), 1);
    assert_eq!(policy.known_addresses(), 0);
}

#[test]
fn bans_survive_a_restart() {
    let mut before = policy(9);
    learn(&mut before, [addr(1, 1)], at(0));
    connect_all(&mut before, 0, at(0));
    let _ = before.handle_misbehaviour(PeerId(0), Offence::TooManyHeaders, at(1));
    let mut after = policy(10);
    learn(&mut after, [addr(1, 1)], at(2));
    after.import_bans(before.export_bans(at(2)), at(2));
    assert_eq!((after.known_addresses(), after.poll_dial(at(2))), (0, None));
}

#[test]
fn a_stall_alone_ejects_nobody() {
    let mut policy = policy(11);
    learn(&mut policy, (1..=8).map(|group| addr(group, 1)), at(0));
    let peers = connect_all(&mut policy, 0, at(0));
    assert_eq!(peers.len(), 8);
    for second in 1..600 {
        for (peer, _) in &peers {
            let verdict = policy.handle_misbehaviour(*peer, Offence::Stalled, at(second));
            assert_eq!(verdict, Verdict::Keep);
        }
        assert_eq!(policy.poll_drop(at(second)), None, "nobody better waits");
    }
}

#[test]
fn a_slow_peer_makes_room_when_a_better_one_waits() {
    let mut policy = policy(12);
    learn(&mut policy, (1..=8).map(|group| addr(group, 1)), at(0));
    let peers = connect_all(&mut policy, 0, at(0));
    let (slow, slow_addr) = peers[3];
    learn(&mut policy, [addr(1, 2)], at(1));
    let _ = policy.handle_misbehaviour(slow, Offence::Stalled, at(1));
    assert_eq!(policy.poll_drop(at(1)), None, "the one that waits is in a group that we have");
    learn(&mut policy, [addr(50, 1)], at(1));
    let due = policy.poll_timeout().unwrap();
    assert_eq!(policy.poll_drop(at(due.as_secs())), Some(slow));
    policy.handle_disconnected(slow, DisconnectCause::Evicted, at(due.as_secs()));
    let dialled = policy.poll_dial(at(due.as_secs())).unwrap();
    assert_eq!(dialled, addr(50, 1), "not {slow_addr}, which rests");
}

#[test]
fn eight_peers_that_all_stall_cannot_hold_the_node_captive() {
    let mut policy = policy(13);
    learn(&mut policy, (1..=8).map(|group| addr(group, 1)), at(0));
    let captors: BTreeSet<_> =
        connect_all(&mut policy, 0, at(0)).into_iter().map(|(_, addr)| addr).collect();
    learn(&mut policy, (50..80).map(|group| addr(group, 1)), at(0));
    let mut next_id = 8;
    for second in 1..3600 {
        let now = at(second);
        for peer in policy.peers.clone().into_iter() {
            if captors.contains(&peer.1) {
                let _ = policy.handle_misbehaviour(peer.0, Offence::Stalled, now);
            }
        }
        if let Some(peer) = policy.poll_drop(now) {
            policy.handle_disconnected(peer, DisconnectCause::Evicted, now);
            assert!(policy.connected() >= 7, "one at a time");
        }
        next_id += u64::try_from(connect_all(&mut policy, next_id, now).len()).unwrap();
    }
    let left = policy.peers.values().filter(|addr| captors.contains(addr)).count();
    assert_eq!((policy.connected(), left), (8, 0));
}

#[test]
fn a_floor_of_peers_stays_even_when_all_are_slow() {
    let config = PolicyConfig { outbound_target: 4, ..PolicyConfig::default() };
    let mut policy = PeerPolicy::new(config, 14);
    learn(&mut policy, (1..=4).map(|group| addr(group, 1)), at(0));
    let peers = connect_all(&mut policy, 0, at(0));
    learn(&mut policy, (50..80).map(|group| addr(group, 1)), at(0));
    for (peer, _) in peers {
        let _ = policy.handle_misbehaviour(peer, Offence::Stalled, at(1));
    }
    assert_eq!(policy.poll_drop(at(1)), None, "three would be left of a floor of four");
}

#[test]
fn addresses_are_wanted_only_when_peers_run_out() {
    let mut policy = policy(15);
    assert_eq!(policy.poll_dial(at(0)), None);
    assert!(policy.wants_addresses(at(0)));
    learn(&mut policy, (1..=3).map(|group| addr(group, 1)), at(0));
    assert!(!policy.wants_addresses(at(0)), "there is somebody to dial");
    connect_all(&mut policy, 0, at(0));
    assert!(policy.wants_addresses(at(1)), "three are below the floor");
    learn(&mut policy, [addr(9, 9)], at(1));
    connect_all(&mut policy, 3, at(1));
    assert!(!policy.wants_addresses(at(2)));
}

/// Everything at once, at random, against the rules written down plainly.
#[test]
fn no_order_of_events_breaks_the_invariants() {
    let evicted: u64 = (0..60).map(|seed| Storm::new(seed).run()).sum();
    assert!(evicted > 100, "{evicted} evictions");
}

struct Storm {
    policy: PeerPolicy,
    random: SplitMix64,
    dialling: BTreeSet<SocketAddr>,
    connected: BTreeMap<PeerId, SocketAddr>,
    banned: BTreeMap<IpAddr, UnixTime>,
    failed_at: BTreeMap<SocketAddr, u64>,
    dials: u64,
    evicted: u64,
    next_id: u64,
}

impl Storm {
    fn new(seed: u64) -> Self {
        Self {
            policy: policy(seed),
            random: SplitMix64::new(!seed),
            dialling: BTreeSet::new(),
            connected: BTreeMap::new(),
            banned: BTreeMap::new(),
            failed_at: BTreeMap::new(),
            dials: 0,
            evicted: 0,
            next_id: 0,
        }
    }

    fn run(mut self) -> u64 {
        let mut second = 0;
        for _ in 0..1500 {
            second += self.random.below(40);
            self.step(second);
            self.dial_all(second);
            if let Some(peer) = self.policy.poll_drop(at(second)) {
                self.connected.remove(&peer).unwrap();
                self.evicted += 1;
                assert!(self.connected.len() >= 4);
                let evicted = DisconnectCause::Evicted;
                self.policy.handle_disconnected(peer, evicted, at(second));
                self.dial_all(second);
                assert_eq!(self.policy.poll_drop(at(second)), None);
            }
            let due = self.policy.poll_timeout();
            assert!(due.is_none_or(|due| due > at(second).elapsed), "{due:?} is past");
        }
        assert!(self.dials > 100 && !self.banned.is_empty());
        self.evicted
    }

    fn dial_all(&mut self, second: u64) {
        while let Some(addr) = self.policy.poll_dial(at(second)) {
            self.check_dial(addr, second);
        }
    }

    fn check_dial(&mut self, addr: SocketAddr, second: u64) {
        self.dials += 1;
        let group = NetworkGroup::of(addr);
        let mut links = self.dialling.iter().chain(self.connected.values());
        assert!(links.all(|other| NetworkGroup::of(*other) != group));
        assert!(self.banned.get(&addr.ip()).is_none_or(|until| *until <= at(second).unix));
        assert!(self.failed_at.get(&addr).is_none_or(|failed| second >= failed + 30));
        self.dialling.insert(addr);
        assert!(self.dialling.len() + self.connected.len() <= 8);
    }

    fn any_addr(&mut self) -> SocketAddr {
        let group = u16::try_from(self.random.below(60)).unwrap();
        addr(group, u16::try_from(self.random.below(4)).unwrap())
    }

    fn any_peer(&mut self) -> Option<PeerId> {
        let place = self.random.below(u64::try_from(self.connected.len()).unwrap());
        self.connected.keys().nth(usize::try_from(place).unwrap()).copied()
    }

    fn step(&mut self, second: u64) {
        let now = at(second);
        let dialled = self.dialling.first().copied();
        match (self.random.below(6), dialled, self.any_peer()) {
            (0, _, _) => {
                let addrs = [self.any_addr(), self.any_addr()];
                learn(&mut self.policy, addrs, now);
            }
            (1 | 2, Some(addr), _) => {
                let peer = PeerId(self.next_id);
                self.next_id += 1;
                self.dialling.remove(&addr);
                self.connected.insert(peer, addr);
                self.policy.handle_connected(addr, peer, now);
            }
            (3, Some(addr), _) => {
                self.dialling.remove(&addr);
                self.failed_at.insert(addr, second);
                self.policy.handle_failed(addr, DialFailure::Unreachable, now);
            }
            (4, _, Some(peer)) => {
                let addr = self.connected.remove(&peer).unwrap();
                self.failed_at.insert(addr, second);
                self.policy.handle_disconnected(peer, DisconnectCause::Closed, now);
            }
            (5, _, Some(peer)) if self.random.one_in(4) => self.lie(peer, now),
            (_, _, Some(peer)) => {
                let verdict = self.policy.handle_misbehaviour(peer, Offence::Stalled, now);
                assert_eq!(verdict, Verdict::Keep);
            }
            _ => {}
        }
    }

    fn lie(&mut self, peer: PeerId, now: Now) {
        let addr = self.connected.remove(&peer).unwrap();
        match self.policy.handle_misbehaviour(peer, Offence::ProtocolViolation, now) {
            Verdict::Ban { until } => drop(self.banned.insert(addr.ip(), until)),
            Verdict::Keep | Verdict::Drop => panic!("a learnt peer is banned for lies"),
        }
        self.policy.handle_disconnected(peer, DisconnectCause::Misbehaved, now);
    }
}

/// An address with filters or without, of a network group of its own.
fn offering(number: u8, filters: bool) -> AddressRecord {
    let services = ServiceFlags::NETWORK
        | if filters { ServiceFlags::COMPACT_FILTERS } else { ServiceFlags::NONE };
    let addr = SocketAddr::from(([number, 1, 1, 1], 8333));
    AddressRecord { addr, services, last_seen: at(0).unix }
}

fn filter_seeker() -> PeerPolicy {
    let config = PolicyConfig {
        outbound_target: 4,
        diversity_floor: 2,
        filter_peers: 2,
        ..PolicyConfig::default()
    };
    PeerPolicy::new(config, 5)
}

#[test]
fn addresses_with_filters_are_dialled_first_as_long_as_such_peers_are_missing() {
    let mut policy = filter_seeker();
    let told: Vec<_> = (20..60).map(|number| offering(number, number % 10 == 0)).collect();
    policy.add_addresses(AddressSource::DnsSeed(0), &told, at(0));
    let dialled: Vec<_> = std::iter::from_fn(|| policy.poll_dial(at(0))).collect();
    assert_eq!(dialled.len(), 4);
    let with = |addr: &SocketAddr| {
        told.iter().any(|r| r.addr == *addr && r.services.has(ServiceFlags::COMPACT_FILTERS))
    };
    assert!(dialled[..2].iter().all(with), "{dialled:?}");
}

#[test]
fn a_peer_without_filters_makes_room_for_one_that_has_them() {
    let mut policy = filter_seeker();
    let told: Vec<_> = (20..30).map(|number| offering(number, false)).collect();
    policy.add_addresses(AddressSource::DnsSeed(0), &told, at(0));
    for number in 0..4 {
        let addr = policy.poll_dial(at(0)).unwrap();
        policy.handle_connected(addr, PeerId(number), at(number));
        policy.handle_offers_filters(PeerId(number), number == 0);
    }
    assert_eq!(policy.poll_drop(at(10)), None, "nobody better is known");
    policy.add_addresses(AddressSource::DnsSeed(1), &[offering(99, true)], at(11));
    let later = policy.poll_timeout().unwrap().as_secs();
    assert_eq!(policy.poll_drop(at(later)), Some(PeerId(3)), "the newest without");
    policy.handle_disconnected(PeerId(3), DisconnectCause::Evicted, at(later));
    let dialled = policy.poll_dial(at(later)).unwrap();
    assert_eq!(dialled, offering(99, true).addr);
    policy.handle_connected(dialled, PeerId(9), at(later));
    policy.handle_offers_filters(PeerId(9), true);
    assert_eq!(policy.poll_drop(at(later + 3600)), None, "two are enough");
}

#[test]
fn what_a_peer_offers_counts_for_more_than_what_is_said_of_it() {
    let mut policy = filter_seeker();
    let boasted = offering(20, true);
    policy.add_addresses(AddressSource::DnsSeed(0), &[boasted], at(0));
    let addr = policy.poll_dial(at(0)).unwrap();
    policy.handle_connected(addr, PeerId(1), at(0));
    policy.handle_offers_filters(PeerId(1), false);
    policy.add_addresses(AddressSource::DnsSeed(0), &[boasted], at(1));
    assert!(policy.lacks_filters() && policy.book.get(addr).is_some_and(|entry| !entry.filters));
}

#[test]
fn connections_apart_go_where_no_other_goes() {
    let mut policy = filter_seeker();
    assert_eq!(policy.draw_apart(&[], at(0)), None);
    let told: Vec<_> = (20..24).map(|number| offering(number, false)).collect();
    policy.add_addresses(AddressSource::DnsSeed(0), &told, at(0));
    let dialled: Vec<_> = (0..2).filter_map(|_| policy.poll_dial(at(0))).collect();
    let apart = policy.draw_apart(&[], at(0)).unwrap();
    let second = policy.draw_apart(&[apart], at(0)).unwrap();
    assert!(!dialled.contains(&apart) && !dialled.contains(&second) && apart != second);
    assert_eq!(policy.draw_apart(&[apart, second], at(0)), None);

    let manual: Vec<_> = (1..=2).map(|n| SocketAddr::from(([127, 0, 0, n], 8333))).collect();
    manual.iter().for_each(|addr| assert!(policy.add_manual(*addr)));
    let connected = policy.poll_dial(at(0)).unwrap();
    for _ in 0..20 {
        assert_ne!(policy.draw_apart(&[], at(0)).unwrap(), connected);
    }
    assert!(policy.draw_apart(&manual, at(0)).is_some(), "better one twice than none");
}
