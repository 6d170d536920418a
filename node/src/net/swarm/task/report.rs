//! How the network stands.

use super::Swarm;
use crate::net::requests::PeerRequests;
use crate::net::swarm::address::with_identity;
use crate::net::{Carried, NetworkReport, PeerNetwork, PeerReport, ServeReport};

impl Swarm {
    pub(super) fn report(&self) -> NetworkReport {
        let elapsed = self.clock.now().elapsed;
        let me = *self.inner.local_peer_id();
        let mut peers: Vec<PeerReport> = self
            .neighbours
            .iter()
            .map(|(id, neighbour)| PeerReport {
                peer: neighbour.number().unwrap_or(neighbour.link),
                network: PeerNetwork::LibP2p,
                address: with_identity(&neighbour.address, *id),
                direction: neighbour.direction(),
                named: self.policy.is_manual(neighbour.socket),
                agent: neighbour.agent.clone(),
                connected_for: elapsed.saturating_sub(neighbour.since),
                ping: neighbour.ping,
                bytes_in: neighbour.bytes.as_ref().map_or(0, |bytes| bytes.received()),
                bytes_out: neighbour.bytes.as_ref().map_or(0, |bytes| bytes.sent()),
                headers: neighbour.headers,
                requests: neighbour.requests.as_ref().map(PeerRequests::report),
            })
            .collect();
        peers.sort_by_key(|peer| peer.peer);
        let (received, sent) = (self.traffic.all().received(), self.traffic.all().sent());
        NetworkReport {
            network: PeerNetwork::LibP2p,
            bytes_in: received,
            bytes_out: sent,
            by_purpose: self.carried.report().up_to(Carried { received, sent }),
            requests: self.requests.report(),
            served: ServeReport {
                pages: self
                    .sources
                    .chain
                    .as_ref()
                    .map(|source| source.cached())
                    .unwrap_or_default(),
                ..self.server.report()
            },
            listening: self.listening.iter().map(|address| with_identity(address, me)).collect(),
            peers,
        }
    }
}
