//! A light node: the real sync machine, chain and peer policy, driven as the node's writer, pool
//! and swarm drive them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use ironlight_spv::peers::{
    AddressRecord, AddressSource, DialFailure, DisconnectCause, Offence, PeerId, PeerPolicy,
    PolicyConfig, ServiceFlags, Verdict,
};
use ironlight_spv::sync::{PeerTraits, SyncConfig, SyncEvent, TipVerdict, judge_tip};
use ironlight_spv::{BlockHash, ChainTip, HeaderChain, Now, Params, UnixTime};

use super::config::{NetworkConfig, NodeId};
use super::event::{Message, Output};
use crate::sim::chains::served;
use crate::sim::node::{Node, Writes};

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbour {
    pub(super) id: NodeId,
    pub(super) light: bool,
    pub(super) address: SocketAddr,
    /// Whether it connected to us.
    pub(super) inbound: bool,
}

/// A light node of a simulated network. What it remembers for the tests' sake is bounded by the
/// events of a run.
#[derive(Debug)]
pub struct LightNode {
    node: Node,
    policy: PeerPolicy,
    sync: SyncConfig,
    peers: PolicyConfig,
    max_inbound: usize,
    /// Peers that the user named, and addresses that it heard of: both outlast a restart.
    manual: BTreeSet<SocketAddr>,
    told: BTreeSet<SocketAddr>,
    began: UnixTime,
    /// When it was started last.
    started: Duration,
    neighbours: BTreeMap<PeerId, Neighbour>,
    announced: BlockHash,
    verdicts: Vec<(NodeId, Offence, Verdict)>,
    outputs: Vec<Output>,
}

impl LightNode {
    pub(super) fn new(config: &NetworkConfig, params: Params, at: Duration, seed: u64) -> Self {
        let chain = HeaderChain::new(params);
        Self {
            announced: chain.tip().hash,
            node: Node::new(chain, config.sync, seed),
            policy: PeerPolicy::new(config.policy.clone(), seed.rotate_left(32)),
            sync: config.sync,
            peers: config.policy.clone(),
            max_inbound: config.max_inbound,
            manual: BTreeSet::new(),
            told: BTreeSet::new(),
            began: config.began,
            started: at,
            neighbours: BTreeMap::new(),
            verdicts: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// The tip of its best chain.
    #[must_use]
    pub fn tip(&self) -> ChainTip {
        self.node.chain.tip()
    }

    /// Whether its sync machine says that it is synced.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.node.sync.status().is_synced()
    }

    /// What would have been written to its store since it was started.
    #[must_use]
    pub const fn writes(&self) -> Writes {
        self.node.writes
    }

    /// What the policy made of faults and stalls, in order.
    pub fn verdicts(&self) -> &[(NodeId, Offence, Verdict)] {
        &self.verdicts
    }

    /// Whether a node was banned or dropped for what it did.
    #[must_use]
    pub fn has_condemned(&self, id: NodeId) -> bool {
        self.verdicts.iter().any(|(node, _, verdict)| *node == id && *verdict != Verdict::Keep)
    }

    /// How often the machine gave up waiting for a node.
    #[must_use]
    pub fn stalls_of(&self, id: NodeId) -> usize {
        let stalls = self.verdicts.iter();
        stalls.filter(|(node, offence, _)| *node == id && *offence == Offence::Stalled).count()
    }

    /// What the machine told since it was started.
    #[must_use]
    pub fn events(&self) -> &[SyncEvent] {
        &self.node.events
    }

    /// Pins of its chain that were not taken back.
    #[must_use]
    pub fn pins(&self) -> usize {
        self.node.pins.len()
    }

    /// Nodes that it is connected to.
    pub fn connected(&self) -> impl Iterator<Item = NodeId> {
        self.neighbours.values().map(|neighbour| neighbour.id)
    }

    fn now(&self, at: Duration) -> Now {
        let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
        Now { unix: self.began.plus_seconds(seconds), elapsed: at.saturating_sub(self.started) }
    }

    /// When it wants to be woken.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        let due = [self.node.sync.poll_timeout(), self.policy.poll_timeout()];
        due.into_iter().flatten().min().map(|due| self.started.saturating_add(due))
    }

    pub(super) fn name(&mut self, address: SocketAddr) {
        self.manual.insert(address);
        self.policy.add_manual(address);
    }

    pub(super) fn tell(&mut self, addresses: &[SocketAddr], at: Duration) {
        self.told.extend(addresses);
        self.take_addresses(at);
    }

    fn take_addresses(&mut self, at: Duration) {
        let now = self.now(at);
        let record = |addr: &SocketAddr| AddressRecord {
            addr: *addr,
            services: ServiceFlags::NETWORK,
            last_seen: now.unix,
        };
        let records: Vec<_> = self.told.iter().map(record).collect();
        self.policy.add_addresses(AddressSource::DnsSeed(0), &records, now);
    }

    /// It goes down: there is nobody left to hear of.
    pub(super) fn stop(&mut self) {
        self.neighbours.clear();
        self.outputs.clear();
    }

    /// It is started anew, with the chain and the bans that it had and with another seed.
    pub(super) fn restart(&mut self, at: Duration, seed: u64) {
        let bans = self.policy.export_bans(self.now(at));
        self.node = self.node.restarted(self.sync, seed);
        self.policy = PeerPolicy::new(self.peers.clone(), seed.rotate_left(32));
        self.started = at;
        self.announced = self.tip().hash;
        self.policy.import_bans(bans, self.now(at));
        for address in self.manual.clone() {
            self.policy.add_manual(address);
        }
        self.take_addresses(at);
    }

    /// A connection stands. False where the caller is not let in.
    pub(super) fn joined(&mut self, link: PeerId, neighbour: Neighbour, at: Duration) -> bool {
        let now = self.now(at);
        let address = neighbour.address;
        if neighbour.inbound {
            let callers = self.neighbours.values().filter(|neighbour| neighbour.inbound).count();
            let room = callers < self.max_inbound;
            if !room || !self.policy.handle_inbound(address, link, now) {
                return false;
            }
        } else {
            self.policy.handle_connected(address, link, now);
        }
        let traits = PeerTraits { called: neighbour.inbound, ..PeerTraits::default() };
        self.neighbours.insert(link, neighbour);
        self.node.sync.handle_connected_with(&self.node.chain, link, traits, now);
        true
    }

    pub(super) fn left(&mut self, link: PeerId, cause: DisconnectCause, at: Duration) {
        let now = self.now(at);
        if self.neighbours.remove(&link).is_some() {
            self.policy.handle_disconnected(link, cause, now);
            self.node.sync.handle_disconnected(&self.node.chain, link, now);
        }
    }

    pub(super) fn failed(&mut self, address: SocketAddr, why: DialFailure, at: Duration) {
        self.policy.handle_failed(address, why, self.now(at));
    }

    pub(super) fn handle(&mut self, link: PeerId, message: Message, at: Duration) {
        let now = self.now(at);
        match message {
            Message::GetHeaders { locator, stop } => {
                let headers = served(&self.node.chain, &locator, stop);
                self.outputs.push(Output::send(link, Message::Headers(headers)));
            }
            Message::Headers(headers) => self.node.take_headers(link, headers, now),
            Message::Inv(hashes) => {
                self.node.sync.handle_block_inv(&self.node.chain, link, &hashes, now);
            }
            Message::Tip(header) => {
                match judge_tip(&self.node.chain, &header, self.is_synced(), now.unix) {
                    TipVerdict::New | TipVerdict::Unconnected => {
                        self.node.take_headers(link, vec![header], now);
                    }
                    TipVerdict::Current | TipVerdict::Old | TipVerdict::Undecided => {}
                    TipVerdict::Invalid(offence) => self.report(link, offence.offence(), at),
                }
            }
        }
    }

    fn report(&mut self, link: PeerId, offence: Offence, at: Duration) {
        let verdict = self.policy.handle_misbehaviour(link, offence, self.now(at));
        if let Some(neighbour) = self.neighbours.get(&link) {
            self.verdicts.push((neighbour.id, offence, verdict));
        }
        match verdict {
            Verdict::Keep => {}
            Verdict::Drop | Verdict::Ban { .. } => {
                self.hang_up(link, DisconnectCause::Misbehaved, at);
            }
        }
    }

    fn hang_up(&mut self, link: PeerId, cause: DisconnectCause, at: Duration) {
        self.left(link, cause, at);
        self.outputs.push(Output::Close { link });
    }

    pub(super) fn handle_timeout(&mut self, at: Duration) {
        let now = self.now(at);
        self.node.sync.handle_timeout(&self.node.chain, now);
    }

    /// Does all that machine and policy want done, and says what the network is to do.
    pub(super) fn settle(&mut self, at: Duration) -> Vec<Output> {
        let now = self.now(at);
        while self.act(now, at) {}
        while let Some(address) = self.policy.poll_dial(now) {
            self.outputs.push(Output::Dial(address));
        }
        self.announce();
        std::mem::take(&mut self.outputs)
    }

    /// True where a connection was given up, or may have been: then there may be more to do.
    fn act(&mut self, now: Now, at: Duration) -> bool {
        let mut questions = Vec::new();
        self.node.settle(now, &mut questions);
        for question in questions {
            let message = Message::GetHeaders { locator: question.locator, stop: question.stop };
            self.outputs.push(Output::send(question.peer, message));
        }
        let reports = self.node.reports();
        let reported = !reports.is_empty();
        for (link, offence) in reports {
            self.report(link, offence, at);
        }
        let slow = self.policy.poll_drop(now);
        if let Some(slow) = slow {
            self.hang_up(slow, DisconnectCause::Evicted, at);
        }
        reported || slow.is_some()
    }

    /// Light nodes tell each other of a new tip, once it is the network's.
    fn announce(&mut self) {
        let tip = self.tip();
        if tip.hash == self.announced || !self.is_synced() {
            return;
        }
        self.announced = tip.hash;
        let Some(entry) = self.node.chain.get(tip.height) else { return };
        let light = self.neighbours.iter().filter(|(_, neighbour)| neighbour.light);
        let tell = |(link, _): (&PeerId, _)| Output::send(*link, Message::Tip(entry.header));
        self.outputs.extend(light.map(tell));
    }
}
