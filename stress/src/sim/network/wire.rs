//! Connections, and what becomes of messages between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ironlight_spv::peers::{DialFailure, DisconnectCause, PeerId};

use super::config::{LinkSettings, NodeId};
use super::event::{Event, Message, Output};
use super::light::Neighbour;
use super::{Kind, SimNetwork, address_of, index, pair};

/// Ports of callers are not those that they listen at.
const FIRST_CALLER_PORT: u16 = 20_000;

/// Who dialled, and who was dialled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    from: NodeId,
    to: NodeId,
}

impl Connection {
    fn other(self, node: NodeId) -> NodeId {
        if self.from == node { self.to } else { self.from }
    }
}

impl SimNetwork {
    /// From now on nothing passes between the groups; nodes that none of them names are one more.
    pub fn partition(&mut self, groups: &[&[NodeId]]) {
        let mut by_node = BTreeMap::new();
        for (group, nodes) in groups.iter().enumerate() {
            by_node.extend(nodes.iter().map(|node| (*node, group)));
        }
        self.groups = Some(by_node);
        let cut: Vec<PeerId> = self
            .connections
            .iter()
            .filter(|(_, connection)| self.is_cut(connection.from, connection.to))
            .map(|(link, _)| *link)
            .collect();
        for link in cut {
            self.push(self.config.unresponsive, Event::Silent { link });
        }
    }

    /// Ends the partition. What was given up meanwhile is dialled again by whoever wants it.
    pub fn heal(&mut self) {
        self.groups = None;
    }

    fn is_cut(&self, a: NodeId, b: NodeId) -> bool {
        self.groups.as_ref().is_some_and(|groups| groups.get(&a) != groups.get(&b))
    }

    fn settings(&self, a: NodeId, b: NodeId) -> LinkSettings {
        self.links.get(&pair(a, b)).copied().unwrap_or(self.config.link)
    }

    /// What a message between two nodes takes.
    fn latency(&mut self, a: NodeId, b: NodeId) -> Duration {
        let LinkSettings { latency, jitter, .. } = self.settings(a, b);
        latency + self.random.share_of(jitter)
    }

    /// Does what a node wants done.
    pub(super) fn perform(&mut self, node: NodeId, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send { link, message, delay } => self.send(link, node, message, delay),
                Output::Close { link } => self.close(link, node),
                Output::Dial(to) => self.dial(node, to),
            }
        }
    }

    fn send(&mut self, link: PeerId, from: NodeId, message: Message, delay: Duration) {
        let Some(connection) = self.connections.get(&link).copied() else { return };
        let to = connection.other(from);
        let took = self.latency(from, to);
        let drawn = self.random.below(100);
        if drawn < u64::from(self.settings(from, to).loss_percent) {
            self.lost += 1;
        } else {
            self.push(took + delay, Event::Deliver { link, to, message });
        }
    }

    /// One end has hung up; the other hears of it when the news arrives. What is on its way in a
    /// closed connection is lost.
    fn close(&mut self, link: PeerId, by: NodeId) {
        let Some(connection) = self.forget(link) else { return };
        let to = connection.other(by);
        let took = self.latency(by, to);
        self.push(took, Event::Closed { link, to, cause: DisconnectCause::Closed });
    }

    fn forget(&mut self, link: PeerId) -> Option<Connection> {
        let connection = self.connections.remove(&link)?;
        self.pairs.remove(&pair(connection.from, connection.to));
        Some(connection)
    }

    /// A message for a connection that stands, and that nothing cuts.
    pub(super) fn sender(&mut self, link: PeerId, to: NodeId) -> Option<NodeId> {
        let from = self.connections.get(&link)?.other(to);
        if self.is_cut(from, to) {
            self.lost += 1;
            return None;
        }
        Some(from)
    }

    pub(super) fn dial(&mut self, from: NodeId, to: SocketAddr) {
        let Some(life) = self.nodes.get(index(from)).map(|node| node.life) else { return };
        let there = self.addresses.get(&to).copied().filter(|to| !self.is_cut(from, *to));
        let took = match there {
            // There and back again, also where the machine is up and the node is not.
            Some(to) => self.latency(from, to) + self.latency(from, to),
            None => self.config.dial_timeout,
        };
        self.push(took, Event::Dialled { from, to, life });
    }

    fn can_reach(&self, from: NodeId, to: NodeId) -> bool {
        from != to
            && self.nodes.get(index(to)).is_some_and(|node| node.up)
            && !self.is_cut(from, to)
    }

    /// Full nodes and liars dial those that they want and are not connected to.
    pub(super) fn dial_wanted(&mut self, node: NodeId) {
        let Some(known) = self.nodes.get(index(node)) else { return };
        for to in known.wants.clone() {
            if !self.pairs.contains_key(&pair(node, to)) {
                self.dial(node, address_of(to));
            }
        }
    }

    /// An attempt to connect has come to its end.
    pub(super) fn dialled(&mut self, from: NodeId, address: SocketAddr, life: u32) {
        let at = self.elapsed;
        let alive = self.nodes.get(index(from)).is_some_and(|node| node.up && node.life == life);
        if !alive {
            return;
        }
        let reached = self.addresses.get(&address).copied().filter(|to| self.can_reach(from, *to));
        let failure = match reached {
            None => Some(DialFailure::Unreachable),
            // It is connected already, the other way round.
            Some(to) if self.pairs.contains_key(&pair(from, to)) => Some(DialFailure::Unsuitable),
            Some(to) if !self.connect(from, to) => Some(DialFailure::Unreachable),
            Some(_) => None,
        };
        if let (Some(why), Some(light)) = (failure, self.light_mut(from)) {
            light.failed(address, why, at);
        }
        if let Some(to) = reached {
            self.settle(to);
        }
        self.settle(from);
    }

    /// Joins two nodes; false where the one that was dialled does not let the other in.
    fn connect(&mut self, from: NodeId, to: NodeId) -> bool {
        self.linked += 1;
        let link = PeerId(self.linked);
        let ephemeral = u16::try_from(self.linked % 40_000).unwrap_or(0);
        let mut caller = address_of(from);
        caller.set_port(FIRST_CALLER_PORT.saturating_add(ephemeral));
        self.connections.insert(link, Connection { from, to });
        if !self.join(link, to, from, caller, true) {
            self.connections.remove(&link);
            return false;
        }
        self.pairs.insert(pair(from, to), link);
        self.join(link, from, to, address_of(to), false)
    }

    /// Tells a node of a connection to another one.
    fn join(
        &mut self,
        link: PeerId,
        node: NodeId,
        other: NodeId,
        address: SocketAddr,
        inbound: bool,
    ) -> bool {
        let at = self.elapsed;
        let other_kind = self.nodes.get(index(other)).map(|other| &other.kind);
        let light = matches!(other_kind, Some(Kind::Light(_)));
        let full = matches!(other_kind, Some(Kind::Full(_)));
        match self.kind_mut(node) {
            Some(Kind::Full(node_kind)) => {
                let outputs = node_kind.joined(link, full);
                self.perform(node, outputs);
            }
            Some(Kind::Liar(liar)) => liar.joined(link),
            Some(Kind::Light(node_kind)) => {
                let neighbour = Neighbour { id: other, light, address, inbound };
                return node_kind.joined(link, neighbour, at);
            }
            None => return false,
        }
        true
    }

    /// Tells a node that a connection is gone.
    pub(super) fn leave(&mut self, link: PeerId, node: NodeId, cause: DisconnectCause) {
        let at = self.elapsed;
        match self.kind_mut(node) {
            Some(Kind::Full(full)) => full.left(link),
            Some(Kind::Liar(liar)) => liar.left(link),
            Some(Kind::Light(light)) => light.left(link, cause, at),
            None => return,
        }
        self.settle(node);
    }

    /// A partition still cuts a connection: both ends give it up.
    pub(super) fn silent(&mut self, link: PeerId) {
        let Some(Connection { from, to }) = self.connections.get(&link).copied() else { return };
        if self.is_cut(from, to) {
            self.forget(link);
            self.leave(link, from, DisconnectCause::Unresponsive);
            self.leave(link, to, DisconnectCause::Unresponsive);
        }
    }

    /// Closes all connections of a node that goes down.
    pub(super) fn cut_off(&mut self, node: NodeId) {
        let of = |connection: &Connection| connection.from == node || connection.to == node;
        let links: Vec<PeerId> =
            self.connections.iter().filter(|(_, c)| of(c)).map(|(link, _)| *link).collect();
        for link in links {
            self.close(link, node);
        }
    }
}
