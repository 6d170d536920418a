//! The clock, the network, and who is connected.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ironlight_spv::generate::Miner;
use ironlight_spv::peers::{DisconnectCause, PeerPolicy, PolicyConfig, Verdict};
use ironlight_spv::sync::PeerId;
use ironlight_spv::{BlockHash, Header, Now, UnixTime};

use super::node::{Node, Question};
use super::peer::SimPeer;

/// How long messages of a peer take.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// At least.
    pub least: Duration,
    /// At most.
    pub most: Duration,
}

#[derive(Debug)]
enum Event {
    Connect(PeerId),
    Disconnect(PeerId, DisconnectCause),
    Asked(Question),
    Headers(PeerId, Vec<Header>),
    Inv(PeerId, Vec<BlockHash>),
}

/// A simulated network around one node.
#[derive(Debug)]
pub struct World {
    /// The node.
    pub node: Node,
    /// The peers, connected or not.
    pub peers: BTreeMap<PeerId, SimPeer>,
    /// Randomness of the network.
    pub random: Miner,
    /// Decides what becomes of peers that misbehave or stall, as in a running node; each peer has
    /// an address of its own network group. Without it they all stay.
    pub policy: Option<PeerPolicy>,
    /// Peers that the policy had disconnected.
    pub dropped: Vec<(PeerId, Verdict)>,
    /// So many answers in a hundred are lost.
    pub loss_percent: u64,
    latencies: BTreeMap<PeerId, Latency>,
    began: UnixTime,
    elapsed: Duration,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    events: BTreeMap<u64, Event>,
    numbered: u64,
}

/// A dropped peer that is not banned is dialled again after this.
const REDIAL: Duration = Duration::from_secs(60);

/// Every peer, and every node of a network, is in a network group of its own.
pub(super) fn address(number: u64) -> SocketAddr {
    let [.., a, b] = number.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(60 + a % 32, b, 1, 1), 8333))
}

impl World {
    /// A network without peers; `began` is what the wall clock shows at first.
    #[must_use]
    pub fn new(node: Node, seed: u64, began: UnixTime) -> Self {
        Self {
            node,
            peers: BTreeMap::new(),
            random: Miner::new(seed),
            policy: Some(PeerPolicy::new(PolicyConfig::default(), seed)),
            dropped: Vec::new(),
            loss_percent: 0,
            latencies: BTreeMap::new(),
            began,
            elapsed: Duration::ZERO,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            numbered: 0,
        }
    }

    /// The two clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        let seconds = u32::try_from(self.elapsed.as_secs()).unwrap_or(u32::MAX);
        Now { unix: self.began.plus_seconds(seconds), elapsed: self.elapsed }
    }

    /// A random duration up to a bound.
    pub fn draw(&mut self, most: Duration) -> Duration {
        let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(self.random.random() % millis)
    }

    /// Adds a peer that connects after a while.
    pub fn add(&mut self, id: PeerId, peer: SimPeer, latency: Latency, after: Duration) {
        self.peers.insert(id, peer);
        self.latencies.insert(id, latency);
        self.push(after, Event::Connect(id));
    }

    /// A peer connects once more, under its old number.
    pub fn come_back(&mut self, id: PeerId, after: Duration) {
        self.push(after, Event::Connect(id));
    }

    /// A peer leaves after a while.
    pub fn leave(&mut self, id: PeerId, after: Duration) {
        self.push(after, Event::Disconnect(id, DisconnectCause::Closed));
    }

    /// A peer sends headers unasked.
    pub fn announce_headers(&mut self, id: PeerId, headers: Vec<Header>) {
        let delay = self.delay(id);
        self.push(delay, Event::Headers(id, headers));
    }

    /// A peer announces hashes.
    pub fn announce_hashes(&mut self, id: PeerId, hashes: Vec<BlockHash>) {
        let delay = self.delay(id);
        self.push(delay, Event::Inv(id, hashes));
    }

    fn delay(&mut self, id: PeerId) -> Duration {
        let Some(Latency { least, most }) = self.latencies.get(&id).copied() else {
            return Duration::ZERO;
        };
        least + self.draw(most.saturating_sub(least))
    }

    fn push(&mut self, after: Duration, event: Event) {
        self.numbered += 1;
        self.queue.push(Reverse((self.elapsed + after, self.numbered)));
        self.events.insert(self.numbered, event);
    }

    /// Runs until a condition holds or the time is up; says whether it held.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.elapsed + limit;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(end) {
                self.elapsed = end;
                return false;
            }
        }
    }

    /// The next thing that happens before `end`, if there is one.
    fn step(&mut self, end: Duration) -> bool {
        let event = self.queue.peek().map(|Reverse((at, _))| *at);
        let timer = self.node.sync.poll_timeout().map(|at| at.max(self.elapsed));
        let Some(next) = event.into_iter().chain(timer).min().filter(|next| *next <= end) else {
            return false;
        };
        self.elapsed = next;
        if event == Some(next) {
            let popped = self.queue.pop();
            let number = popped.map_or(0, |Reverse((_, number))| number);
            if let Some(event) = self.events.remove(&number) {
                self.happen(event);
            }
        } else {
            let now = self.now();
            self.node.sync.handle_timeout(&self.node.chain, now);
        }
        self.settle();
        true
    }

    fn happen(&mut self, event: Event) {
        let now = self.now();
        let Node { sync, chain, .. } = &mut self.node;
        match event {
            Event::Connect(id) => {
                let bans = self.policy.iter().flat_map(|policy| policy.export_bans(now));
                if bans.into_iter().all(|ban| ban.ip != address(id.0).ip()) {
                    if let Some(policy) = &mut self.policy {
                        policy.handle_connected(address(id.0), id, now);
                    }
                    sync.handle_connected(chain, id, now);
                }
            }
            Event::Disconnect(id, why) => {
                if let Some(policy) = &mut self.policy {
                    policy.handle_disconnected(id, why, now);
                }
                sync.handle_disconnected(chain, id, now);
            }
            Event::Headers(id, headers) => self.node.take_headers(id, headers, now),
            Event::Inv(id, hashes) => sync.handle_block_inv(chain, id, &hashes, now),
            Event::Asked(Question { peer, locator, stop }) => {
                let answer = self.peers.get_mut(&peer).and_then(|p| p.answer(&locator, stop));
                let lost = self.random.random() % 100 < self.loss_percent;
                if let Some((headers, slow)) = answer.filter(|_| !lost) {
                    let delay = self.delay(peer);
                    self.push(delay + slow, Event::Headers(peer, headers));
                }
            }
        }
    }

    fn settle(&mut self) {
        let now = self.now();
        let mut questions = Vec::new();
        self.node.settle(now, &mut questions);
        self.judge(now);
        for question in questions {
            let delay = self.delay(question.peer);
            self.push(delay, Event::Asked(question));
        }
    }

    /// Tells the policy what peers have done, and does what it says.
    fn judge(&mut self, now: Now) {
        let reports = self.node.reports();
        for (peer, offence) in reports {
            let policy = self.policy.as_mut();
            match policy.map(|policy| policy.handle_misbehaviour(peer, offence, now)) {
                None | Some(Verdict::Keep) => {}
                Some(verdict @ (Verdict::Drop | Verdict::Ban { .. })) => {
                    self.dropped.push((peer, verdict));
                    let why = DisconnectCause::Misbehaved;
                    self.push(Duration::ZERO, Event::Disconnect(peer, why));
                    self.push(REDIAL, Event::Connect(peer));
                }
            }
        }
    }

    /// Whether the policy had a peer disconnected.
    #[must_use]
    pub fn is_dropped(&self, id: PeerId) -> bool {
        self.dropped.iter().any(|(dropped, _)| *dropped == id)
    }
}
