//! Where light nodes are: the policy knows socket addresses, the swarm dials multiaddresses.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ironlight_spv::peers::ADDRESS_BOOK_SIZE;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};

use super::address::{socket_address, split_identity};

/// Ways to one socket address: by TCP and by QUIC.
const WAYS: usize = 2;

#[derive(Clone, Debug, Default)]
struct Entry {
    id: Option<PeerId>,
    ways: Vec<Multiaddr>,
}

/// All addresses that the policy may choose from. Beyond the size of the policy's own book no
/// more are taken.
#[derive(Debug, Default)]
pub(super) struct Directory {
    entries: BTreeMap<SocketAddr, Entry>,
}

impl Directory {
    /// Takes in an address that somebody told; none where it is of no use, or there is no room.
    /// Who is at an address that is known already is not changed by what others say.
    pub(super) fn learn(&mut self, address: &Multiaddr, id: Option<PeerId>) -> Option<SocketAddr> {
        let socket = socket_address(address)?;
        let room = self.entries.len() < ADDRESS_BOOK_SIZE || self.entries.contains_key(&socket);
        if !room {
            return None;
        }
        let (way, named) = split_identity(address.clone());
        let entry = self.entries.entry(socket).or_default();
        entry.id = entry.id.or(named).or(id);
        if entry.ways.len() < WAYS && !entry.ways.contains(&way) {
            entry.ways.push(way);
        }
        Some(socket)
    }

    /// We have seen who is there.
    pub(super) fn seen(&mut self, socket: SocketAddr, id: PeerId) {
        if let Some(entry) = self.entries.get_mut(&socket) {
            entry.id = Some(id);
        }
    }

    /// Somebody else is there: whoever it is may be dialled next time. What is not dialled for its
    /// name but for its address is worth that.
    pub(super) fn forget_who(&mut self, socket: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&socket) {
            entry.id = None;
        }
    }

    /// How to dial an address.
    pub(super) fn dial_opts(&self, socket: SocketAddr) -> Option<DialOpts> {
        let Entry { id, ways } = self.entries.get(&socket)?;
        let first = ways.first()?.clone();
        Some(match id {
            Some(id) => DialOpts::peer_id(*id)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(ways.clone())
                .build(),
            None => DialOpts::unknown_peer_id().address(first).build(),
        })
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
        let id = PeerId::random();
        let tcp = directory.learn(&address("/ip4/60.1.1.1/tcp/4"), Some(id)).unwrap();
        let quic = directory.learn(&address("/ip4/60.1.1.1/udp/4/quic-v1"), None).unwrap();
        assert_eq!(tcp, quic);
        assert_eq!(directory.entries[&tcp].ways.len(), 2);
        assert_eq!(directory.dial_opts(tcp).unwrap().get_peer_id(), Some(id));
    }

    #[test]
    fn hearsay_does_not_change_who_is_at_an_address() {
        let mut directory = Directory::default();
        let (id, other) = (PeerId::random(), PeerId::random());
        let socket = directory.learn(&address("/ip4/60.1.1.1/tcp/4"), Some(id)).unwrap();
        directory.learn(&address("/ip4/60.1.1.1/tcp/4"), Some(other));
        assert_eq!(directory.dial_opts(socket).unwrap().get_peer_id(), Some(id));
        directory.seen(socket, other);
        assert_eq!(directory.dial_opts(socket).unwrap().get_peer_id(), Some(other));
        directory.forget_who(socket);
        assert_eq!(directory.dial_opts(socket).unwrap().get_peer_id(), None);
    }

    #[test]
    fn it_is_bounded_and_takes_only_what_can_be_dialled() {
        let mut directory = Directory::default();
        assert_eq!(directory.learn(&address("/dns4/example.com/tcp/4"), None), None);
        for port in 0..u16::MAX {
            directory.learn(&address(&format!("/ip4/60.1.1.1/tcp/{port}")), None);
        }
        assert_eq!(directory.entries.len(), ADDRESS_BOOK_SIZE);
    }
}
