//! Where light nodes are: the policy knows socket addresses, the swarm dials multiaddresses.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ironlight_spv::peers::ADDRESS_BOOK_SIZE;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};

use super::address::{socket_address, split_identity};

/// Ways to one socket address: by TCP and by QUIC.
const WAYS: usize = 2;

/// Addresses held before those are forgotten that the policy does not hold any more.
const MOST: usize = 2 * ADDRESS_BOOK_SIZE;

/// Who is at an address, as far as we know. What others say of it counts for nothing: it would
/// make us refuse whoever is really there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Who {
    #[default]
    Unknown,
    /// We were connected to it.
    Seen(PeerId),
    /// The user wants this one there and nobody else.
    Named(PeerId),
}

#[derive(Clone, Debug, Default)]
struct Entry {
    who: Who,
    ways: Vec<Multiaddr>,
}

/// All addresses that the policy may choose from.
#[derive(Debug, Default)]
pub(super) struct Directory {
    entries: BTreeMap<SocketAddr, Entry>,
}

impl Directory {
    /// Takes in an address that the user named, with the identity that has to be there if it names
    /// one. None where it cannot be dialled.
    pub(super) fn name(&mut self, address: &Multiaddr) -> Option<SocketAddr> {
        let (way, id) = split_identity(address.clone());
        let socket = socket_address(&way)?;
        let entry = self.entries.entry(socket).or_default();
        if let Some(id) = id {
            entry.who = Who::Named(id);
        }
        entry.add(way);
        Some(socket)
    }

    /// Takes in a way to an address that the policy has taken in. `held` tells what that holds.
    pub(super) fn learn(
        &mut self,
        socket: SocketAddr,
        address: &Multiaddr,
        held: impl Fn(SocketAddr) -> bool,
    ) {
        if self.entries.len() >= MOST {
            self.entries.retain(|socket, _| held(*socket));
        }
        self.entries.entry(socket).or_default().add(split_identity(address.clone()).0);
    }

    /// We have seen who is there.
    pub(super) fn seen(&mut self, socket: SocketAddr, id: PeerId) {
        if let Some(entry) = self.entries.get_mut(&socket)
            && !matches!(entry.who, Who::Named(_))
        {
            entry.who = Who::Seen(id);
        }
    }

    /// Somebody else is there: unless the user named who has to be, that one may be dialled next
    /// time.
    pub(super) fn forget_who(&mut self, socket: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&socket)
            && matches!(entry.who, Who::Seen(_))
        {
            entry.who = Who::Unknown;
        }
    }

    /// How to dial an address.
    pub(super) fn dial_opts(&self, socket: SocketAddr) -> Option<DialOpts> {
        let Entry { who, ways } = self.entries.get(&socket)?;
        let first = ways.first()?.clone();
        Some(match who {
            Who::Seen(id) | Who::Named(id) => DialOpts::peer_id(*id)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(ways.clone())
                .build(),
            Who::Unknown => DialOpts::unknown_peer_id().address(first).build(),
        })
    }
}

impl Entry {
    fn add(&mut self, way: Multiaddr) {
        if self.ways.len() < WAYS && !self.ways.contains(&way) {
            self.ways.push(way);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn tcp_and_quic_at_one_socket_address_are_two_ways_to_one_peer() {
        let mut directory = Directory::default();
        let tcp = directory.name(&address("/ip4/60.1.1.1/tcp/4")).unwrap();
        let quic = directory.name(&address("/ip4/60.1.1.1/udp/4/quic-v1")).unwrap();
        assert_eq!(tcp, quic);
        assert_eq!(directory.entries[&tcp].ways.len(), 2);
        assert_eq!(directory.name(&address("/dns4/example.com/tcp/4")), None);
    }

    #[test]
    fn who_is_at_an_address_is_known_from_having_seen_it_and_not_from_hearsay() {
        let mut directory = Directory::default();
        let (id, told) = (PeerId::random(), PeerId::random());
        let socket = "60.1.1.1:4".parse().unwrap();
        directory.learn(socket, &address(&format!("/ip4/60.1.1.1/tcp/4/p2p/{told}")), |_| true);
        assert_eq!(directory.dial_opts(socket).unwrap().get_peer_id(), None);
        directory.seen(socket, id);
        assert_eq!(directory.dial_opts(socket).unwrap().get_peer_id(), Some(id));
        directory.forget_who(socket);
        assert_eq!(directory.dial_opts(socket).unwrap().get_peer_id(), None);
    }

    #[test]
    fn an_identity_that_the_user_named_stays_whoever_answers_there() {
        let mut directory = Directory::default();
        let (id, other) = (PeerId::random(), PeerId::random());
        let named = format!("/ip4/60.1.1.1/tcp/4/p2p/{id}");
        let socket = directory.name(&address(&named)).unwrap();
        directory.seen(socket, other);
        directory.forget_who(socket);
        assert_eq!(directory.dial_opts(socket).unwrap().get_peer_id(), Some(id));
    }

    #[test]
    fn it_holds_what_the_policy_holds_and_little_more() {
        let mut directory = Directory::default();
        let named = directory.name(&address("/ip4/60.1.1.1/tcp/4")).unwrap();
        for port in 1024..u16::MAX {
            let socket = SocketAddr::from(([60, 1, 1, 2], port));
            let way = address(&format!("/ip4/60.1.1.2/tcp/{port}"));
            directory.learn(socket, &way, |held| held == named || held.port() > port - 100);
        }
        assert!(directory.entries.len() <= MOST);
        assert!(directory.entries.contains_key(&named));
        assert!(directory.entries.contains_key(&"60.1.1.2:65534".parse().unwrap()));
    }
}
