//! Who else there is: what peers say of themselves and of others.

use std::net::SocketAddr;
use std::time::Duration;

use ironlight_spv::peers::{
    AddressRecord, AddressSource, DisconnectCause, ServiceFlags, is_routable,
};
use libp2p::kad::{self, GetClosestPeersError, GetClosestPeersOk, QueryResult};
use libp2p::{Multiaddr, PeerId as LightPeerId, identify, mdns};
use tracing::{debug, info};

use super::Swarm;
use super::neighbour::{Role, Standing, plain_text};
use crate::net::swarm::address::{socket_address, with_identity};

/// Addresses of one peer that are looked at.
const ADDRESSES: usize = 8;
/// The pause between questions for more peers.
const PAUSE: Duration = Duration::from_secs(60);
/// How often Kademlia looks for those who are near.
const BOOTSTRAP: Duration = Duration::from_secs(5 * 60);
/// What Kademlia finds comes from many, and counts as one teller.
const KADEMLIA: AddressSource = AddressSource::DnsSeed(u16::MAX);
const MDNS: AddressSource = AddressSource::DnsSeed(u16::MAX - 1);

impl Swarm {
    pub(super) fn on_listening(&mut self, address: Multiaddr) {
        let me = *self.inner.local_peer_id();
        info!(address = with_identity(&address, me), "listening for light nodes");
        self.listening.push(address);
    }

    pub(super) fn on_identify(&mut self, event: identify::Event) {
        let identify::Event::Received { peer_id: id, info, .. } = event else { return };
        let Some(neighbour) = self.neighbours.get_mut(&id) else { return };
        neighbour.agent = plain_text(&info.agent_version);
        neighbour.offers = self.names.offers(&info.protocols);
        let serves = info.protocols.contains(&self.names.headers);
        let (standing, role) = (neighbour.standing.clone(), neighbour.role);
        match (standing, role, serves) {
            (Standing::Unknown | Standing::Client, Role::Chosen | Role::Caller, true) => {
                self.admit(id);
            }
            (Standing::Unknown, Role::Chosen, false) => {
                // Perhaps a node of another network, or one that only asks.
                self.hang_up(
                    id,
                    DisconnectCause::Misbehaved,
                    "it serves no headers of this network",
                );
            }
            (Standing::Unknown, Role::Caller | Role::Errand, false) => {
                neighbour.standing = Standing::Client;
            }
            (Standing::Unknown | Standing::Client, Role::Errand, true)
            | (Standing::Client, _, false) => {}
            // What it offers may have changed.
            (Standing::Serves(number), _, _) => self.list(id, number),
        }
        if serves {
            self.learn_from(id, &info);
        }
    }

    /// A peer's own addresses: for the policy to dial, for Kademlia to tell others.
    fn learn_from(&mut self, id: LightPeerId, info: &identify::Info) {
        let now = self.clock.now();
        let Some(neighbour) = self.neighbours.get_mut(&id) else { return };
        let told = u32::try_from(info.listen_addrs.len().min(ADDRESSES)).unwrap_or(0);
        let granted = neighbour.addresses.take_up_to(told, now.elapsed);
        let source = AddressSource::Peer(neighbour.socket.ip());
        let granted = usize::try_from(granted).unwrap_or(0);
        let addresses: Vec<Multiaddr> = info.listen_addrs.iter().take(granted).cloned().collect();
        let finds_others = info.protocols.contains(&self.names.kademlia);
        for address in &addresses {
            let known = self.learn(source, address, id);
            if finds_others && known.is_some() {
                self.inner.behaviour_mut().kademlia.add_address(&id, address.clone());
            }
        }
    }

    /// Takes in an address that somebody told, if it can be dialled.
    fn learn(
        &mut self,
        source: AddressSource,
        address: &Multiaddr,
        id: LightPeerId,
    ) -> Option<SocketAddr> {
        if id == *self.inner.local_peer_id() || !self.switches.discovery.is_on() {
            return None;
        }
        let socket = socket_address(address)?;
        if !self.allow_private && !is_routable(socket.ip()) {
            return None;
        }
        self.offer(source, address, socket)
    }

    /// Offers an address to the policy; none where that does not want it.
    fn offer(
        &mut self,
        source: AddressSource,
        address: &Multiaddr,
        socket: SocketAddr,
    ) -> Option<SocketAddr> {
        let now = self.clock.now();
        let services = ServiceFlags::NETWORK;
        let record = AddressRecord { addr: socket, services, last_seen: now.unix };
        self.policy.add_addresses(source, &[record], now);
        if !self.policy.knows(socket) {
            return None;
        }
        let policy = &self.policy;
        self.directory.learn(socket, address, |socket| policy.knows(socket));
        Some(socket)
    }

    /// Whether to look for more peers, and when; never while there is nobody to ask.
    pub(super) fn discovery_due(&self) -> Option<Duration> {
        let wanted = !self.neighbours.is_empty()
            && self.switches.discovery.is_on()
            && self.policy.wants_addresses(self.clock.now());
        wanted.then_some(self.next_discovery)
    }

    /// Asks those who are connected whom they know, near a random place and near ourselves.
    pub(super) fn discover(&mut self) {
        let now = self.clock.now().elapsed;
        if !self.switches.discovery.is_on() {
            self.discovers = false;
            // Those that were under way when it was turned off.
            return self.inner.behaviour_mut().kademlia.iter_queries_mut().for_each(|mut query| {
                query.finish();
            });
        }
        if !self.discovers {
            self.discovers = true;
            self.name_neighbours();
        }
        if now >= self.next_bootstrap {
            self.next_bootstrap = now + BOOTSTRAP;
            // It fails where nobody is known.
            let _ = self.inner.behaviour_mut().kademlia.bootstrap();
        }
        if self.discovery_due().is_none_or(|due| due > now) {
            return;
        }
        self.next_discovery = now + PAUSE;
        debug!("looking for more light nodes");
        self.inner.behaviour_mut().kademlia.get_closest_peers(LightPeerId::random());
    }

    /// Tells Kademlia of those who came while discovery was off, or it would know nobody to ask.
    fn name_neighbours(&mut self) {
        for (id, neighbour) in &self.neighbours {
            if neighbour.role == Role::Chosen && neighbour.number().is_some() {
                let address = neighbour.address.clone();
                self.inner.behaviour_mut().kademlia.add_address(id, address);
            }
        }
    }

    pub(super) fn on_kademlia(&mut self, event: kad::Event) {
        let kad::Event::OutboundQueryProgressed { result, .. } = event else { return };
        let QueryResult::GetClosestPeers(found) = result else { return };
        let peers = match found {
            Ok(GetClosestPeersOk { peers, .. }) => peers,
            Err(GetClosestPeersError::Timeout { peers, .. }) => peers,
        };
        for peer in peers {
            for address in peer.addrs.iter().take(ADDRESSES) {
                self.learn(KADEMLIA, address, peer.peer_id);
            }
        }
    }

    pub(super) fn on_mdns(&mut self, event: mdns::Event) {
        let mdns::Event::Discovered(found) = event else { return };
        for (id, address) in found {
            let Some(socket) = socket_address(&address) else { continue };
            if id == *self.inner.local_peer_id() || !self.switches.discovery.is_on() {
                continue;
            }
            // Everything that mDNS finds comes from one place: the local network.
            if self.offer(MDNS, &address, socket).is_some() {
                self.rules.name(socket);
            }
        }
    }
}
