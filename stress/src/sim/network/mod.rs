//! A simulated network of many nodes, with the real machines in its light nodes.
//!
//! A [`SimNetwork`] has a virtual clock, links with latency, jitter and loss, partitions and
//! restarts, and three kinds of nodes:
//! - light nodes ([`LightNode`]): the real [`HeaderSync`](ironlight_spv::sync::HeaderSync), the real
//!   [`HeaderChain`] and the real [`PeerPolicy`](ironlight_spv::peers::PeerPolicy), driven as a
//!   node's writer and pools drive them. They dial whom the policy says, hang up on whom it
//!   condemns, serve what they have to whoever asks, and gossip tips to each other once synced;
//! - full nodes: they mine, reorganise, serve messages of 2,000 headers, announce new blocks by
//!   header or hash, and follow each other by plain rules and not by the machine under test;
//! - liars: the roles that the one-node simulation has, and forged announcements.
//!
//! Invariant: what happens follows from the seed and the calls made; [`SimNetwork::digest`] says so
//! for two runs. Nothing reads a clock, opens a socket or starts a thread.
//!
//! What is left out: bytes, codecs and handshakes (an attempt to connect succeeds or fails after a
//! while), bandwidth and what nodes compute (a message of 2,000 headers takes as long as an empty
//! one, and is dealt with at once), TCP's repeats (a lost message stays lost) and its order (with jitter messages
//! overtake each other), the store, limits on rates, reading ahead from several peers, DNS and the
//! spread of addresses (tests tell light nodes what they know). A light node has one policy for
//! both kinds of neighbours, while a running one has a policy for each of its networks.
//!
//! What can grow, and where it stops: events of a network ([`NetworkConfig::max_events`]), messages
//! on their way ([`NetworkConfig::max_messages`]), callers of a light node
//! ([`NetworkConfig::max_inbound`]); everything else is a handful for each node and connection. What
//! light nodes remember for tests is bounded by the events.

mod config;
mod event;
mod full;
mod liar;
mod light;
mod run;
mod trace;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use ironlight_spv::peers::{PeerId, SplitMix64};
use ironlight_spv::{ChainTip, HeaderChain, UnixTime};

pub use config::{Ended, Limit, LinkSettings, NetworkConfig, NodeId};
pub use liar::{Behaviour, Forgery};
pub use light::LightNode;

use super::world::address;
use event::{Event, EventQueue, Output};
use full::FullNode;
use liar::Liar;
use trace::Trace;
use wire::Connection;

#[derive(Debug)]
enum Kind {
    Full(Box<FullNode>),
    Light(Box<LightNode>),
    Liar(Liar),
}

#[derive(Debug)]
struct SimNode {
    kind: Kind,
    up: bool,
    /// How often it was started: what was begun before a restart means nothing after it.
    life: u32,
    /// Whom a full node or a liar connects to by itself.
    wants: BTreeSet<NodeId>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct SimNetwork {
    config: NetworkConfig,
    random: SplitMix64,
    elapsed: Duration,
    happened: u64,
    lost: u64,
    trace: Trace,
    queue: EventQueue,
    nodes: Vec<SimNode>,
    addresses: BTreeMap<SocketAddr, NodeId>,
    connections: BTreeMap<PeerId, Connection>,
    /// Who is connected to whom, the smaller number first.
    pairs: BTreeMap<(NodeId, NodeId), PeerId>,
    linked: u64,
    links: BTreeMap<(NodeId, NodeId), config::LinkSettings>,
    /// The group of each node that a partition names; those that it does not name are one more.
    groups: Option<BTreeMap<NodeId, usize>>,
    /// When light nodes want to be woken, in order and by node.
    timers: BTreeSet<(Duration, NodeId)>,
    wakes: BTreeMap<NodeId, Duration>,
}

impl SimNetwork {
    /// A network without nodes.
    #[must_use]
    pub fn new(seed: u64, config: NetworkConfig) -> Self {
        Self {
            queue: EventQueue::new(config.max_messages),
            config,
            random: SplitMix64::new(seed),
            elapsed: Duration::ZERO,
            happened: 0,
            lost: 0,
            trace: Trace::new(),
            nodes: Vec::new(),
            addresses: BTreeMap::new(),
            connections: BTreeMap::new(),
            pairs: BTreeMap::new(),
            linked: 0,
            links: BTreeMap::new(),
            groups: None,
            timers: BTreeSet::new(),
            wakes: BTreeMap::new(),
        }
    }

    fn add(&mut self, kind: Kind, wants: &[NodeId]) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(SimNode {
            kind,
            up: true,
            life: 0,
            wants: wants.iter().copied().collect(),
        });
        self.addresses.insert(address_of(id), id);
        id
    }

    /// A full node that has the base chain and connects to these nodes.
    pub fn full_node(&mut self, connects: &[NodeId]) -> NodeId {
        let seed = self.random.next_u64();
        let node = FullNode::new(self.config.base.clone(), seed);
        let id = self.add(Kind::Full(Box::new(node)), connects);
        self.push(Duration::ZERO, Event::Tick { node: id });
        id
    }

    /// A light node that has the genesis only, and whose user named these nodes.
    pub fn light_node(&mut self, named: &[NodeId]) -> NodeId {
        let seed = self.random.next_u64();
        let params = self.config.base.params().clone();
        let mut light = LightNode::new(&self.config, params, self.elapsed, seed);
        named.iter().for_each(|node| light.name(address_of(*node)));
        let id = self.add(Kind::Light(Box::new(light)), &[]);
        self.settle(id);
        id
    }

    /// A liar; it connects to these nodes by itself, and takes whoever connects to it.
    pub fn liar(&mut self, behaviour: Behaviour, connects: &[NodeId]) -> NodeId {
        let seed = self.random.next_u64();
        let genesis = self.config.base.params().genesis;
        let id = self.add(Kind::Liar(Liar::new(behaviour, genesis, seed)), connects);
        self.push(Duration::ZERO, Event::Tick { node: id });
        id
    }

    /// A light node hears of nodes as from a DNS seed, and may dial them.
    pub fn tell_addresses(&mut self, to: NodeId, of: &[NodeId]) {
        let addresses: Vec<_> = of.iter().map(|node| address_of(*node)).collect();
        let at = self.elapsed;
        if let Some(light) = self.light_mut(to) {
            light.tell(&addresses, at);
        }
        self.settle(to);
    }

    /// How messages between two nodes fare from now on.
    pub fn link(&mut self, a: NodeId, b: NodeId, settings: LinkSettings) {
        self.links.insert(pair(a, b), settings);
    }

    /// A full node mines so many blocks at once; nothing where it is no full node.
    pub fn mine(&mut self, node: NodeId, count: usize) {
        self.on_full(node, |full| full.mine(count));
    }

    /// A full node replaces its last blocks by as many and one more.
    pub fn reorg(&mut self, node: NodeId, depth: u32) {
        self.on_full(node, |full| full.reorg(depth));
    }

    fn on_full(&mut self, node: NodeId, act: impl FnOnce(&mut FullNode) -> Vec<Output>) {
        if let Some(Kind::Full(full)) = self.kind_mut(node) {
            let outputs = act(full);
            self.perform(node, outputs);
        }
    }

    /// The time since the network began.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// A digest of all that has happened, to compare two runs by.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.trace.digest()
    }

    /// How many events have happened.
    #[must_use]
    pub const fn happened(&self) -> u64 {
        self.happened
    }

    /// Messages that did not arrive: by a link's loss, a partition, or for lack of room.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// A light node.
    #[must_use]
    pub fn light(&self, node: NodeId) -> Option<&LightNode> {
        match self.nodes.get(index(node)).map(|node| &node.kind)? {
            Kind::Light(light) => Some(light),
            Kind::Full(_) | Kind::Liar(_) => None,
        }
    }

    /// How often a liar was asked for headers; 0 for others.
    #[must_use]
    pub fn questions_to(&self, node: NodeId) -> usize {
        match self.nodes.get(index(node)).map(|node| &node.kind) {
            Some(Kind::Liar(liar)) => liar.questions(),
            Some(Kind::Full(_) | Kind::Light(_)) | None => 0,
        }
    }

    /// The tip of an honest node; none of a liar.
    #[must_use]
    pub fn tip(&self, node: NodeId) -> Option<ChainTip> {
        match self.nodes.get(index(node)).map(|node| &node.kind)? {
            Kind::Full(full) => Some(full.chain.tip()),
            Kind::Light(light) => Some(light.tip()),
            Kind::Liar(_) => None,
        }
    }

    /// The chain of a full node.
    #[must_use]
    pub fn chain(&self, node: NodeId) -> Option<&HeaderChain> {
        match self.nodes.get(index(node)).map(|node| &node.kind)? {
            Kind::Full(full) => Some(&full.chain),
            Kind::Light(_) | Kind::Liar(_) => None,
        }
    }

    /// The tip with the most work that a full node has; of two with as much, the older node's.
    #[must_use]
    pub fn honest_tip(&self) -> Option<ChainTip> {
        let tips = self.nodes.iter().rev().filter_map(|node| match &node.kind {
            Kind::Full(full) => Some(full.chain.tip()),
            Kind::Light(_) | Kind::Liar(_) => None,
        });
        tips.max_by_key(|tip| tip.work)
    }

    /// Honest nodes that are down or not on the honest tip.
    pub fn behind(&self) -> impl Iterator<Item = NodeId> {
        let honest = self.honest_tip().map(|tip| tip.hash);
        (0..).zip(&self.nodes).filter_map(move |(number, node)| {
            let tip = match &node.kind {
                Kind::Full(full) => full.chain.tip(),
                Kind::Light(light) => light.tip(),
                Kind::Liar(_) => return None,
            };
            (!node.up || Some(tip.hash) != honest).then_some(NodeId(number))
        })
    }

    /// Whether all honest nodes are up and on the honest tip.
    #[must_use]
    pub fn all_on_tip(&self) -> bool {
        self.behind().next().is_none()
    }

    /// The same, and all light nodes say that they are synced.
    #[must_use]
    pub fn all_synced(&self) -> bool {
        self.all_on_tip()
            && self.nodes.iter().all(|node| match &node.kind {
                Kind::Light(light) => light.is_synced(),
                Kind::Full(_) | Kind::Liar(_) => true,
            })
    }

    fn kind_mut(&mut self, node: NodeId) -> Option<&mut Kind> {
        self.nodes.get_mut(index(node)).map(|node| &mut node.kind)
    }

    fn light_mut(&mut self, node: NodeId) -> Option<&mut LightNode> {
        match self.kind_mut(node)? {
            Kind::Light(light) => Some(light),
            Kind::Full(_) | Kind::Liar(_) => None,
        }
    }

    fn push(&mut self, after: Duration, event: Event) {
        if !self.queue.push(self.elapsed + after, event) {
            self.lost += 1;
        }
    }

    fn unix(&self) -> UnixTime {
        let seconds = u32::try_from(self.elapsed.as_secs()).unwrap_or(u32::MAX);
        self.config.began.plus_seconds(seconds)
    }
}

fn index(node: NodeId) -> usize {
    usize::try_from(node.0).unwrap_or(usize::MAX)
}

fn address_of(node: NodeId) -> SocketAddr {
    address(u64::from(node.0))
}

fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}
