//! Peers that can be asked for more than headers, in the list that both networks share.

use std::collections::BTreeSet;
use std::sync::Arc;

use ironlight_spv::peers::{NetworkGroup, PeerId};
use libp2p::PeerId as LightPeerId;

use super::Swarm;
use crate::net::PeerNetwork;
use crate::net::data::{DataPeer, DataPeers, Offers};
use crate::net::swarm::address::with_identity;
use crate::net::swarm::data_line::{Blame, LightDataLine};

/// Those of this network that are in the list; they leave it with the swarm, however that ends.
#[derive(Debug)]
pub(super) struct Listed {
    list: DataPeers,
    ours: BTreeSet<PeerId>,
}

impl Listed {
    pub(super) const fn new(list: DataPeers) -> Self {
        Self { list, ours: BTreeSet::new() }
    }

    pub(super) fn remove(&mut self, peer: PeerId) {
        if self.ours.remove(&peer) {
            self.list.left(peer);
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.ours.iter().for_each(|peer| self.list.left(*peer));
    }
}

impl Swarm {
    /// Lists a peer with what it offers; one that offers nothing is not listed.
    pub(super) fn list(&mut self, id: LightPeerId, number: PeerId) {
        let Some(neighbour) = self.neighbours.get(&id) else { return };
        let (offers, Some(requests)) = (neighbour.offers, &neighbour.requests) else { return };
        if offers == Offers::default() {
            return self.listed.remove(number);
        }
        let known = self.listed.list.list().get(&number).map(|entry| entry.offers);
        if known == Some(offers) {
            return;
        }
        let line = self.line(id, requests);
        let line = LightDataLine::new(number, requests.clone(), line, self.blamed.clone());
        let entry = DataPeer {
            network: PeerNetwork::LibP2p,
            direction: neighbour.direction(),
            owner: NetworkGroup::of(neighbour.owner()),
            named: self.policy.is_manual(neighbour.socket),
            address: with_identity(&neighbour.address, id),
            offers,
            latest: None,
            line: Arc::new(line),
        };
        self.listed.ours.insert(number);
        self.listed.list.joined(number, entry);
    }

    /// Somebody found fault with what a peer sent besides headers, all of which was its own.
    pub(super) fn on_blamed(&mut self, (number, offence): Blame) {
        if let Some(id) = self.by_number.get(&number).copied() {
            self.judge(id, offence);
        }
    }
}
