//! One run: one honest peer and seven liars around one wallet.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use ironlight_spv::filter::FilterHeaderChain;
use ironlight_spv::filter::sync::{
    FilterAnswer, FilterPeerTraits, FilterRequest, FilterSyncConfig, FilterUnanswered,
    MAX_FILTER_HEADERS, MAX_FILTERS,
};
use ironlight_spv::generate::Miner;
use ironlight_spv::peers::PeerId;
use ironlight_spv::{BlockHash, BlockHeight, Now, UnixTime};

use super::liar::{LIES, Lie, answer};
use super::wallet::{FilterNode, FilterQuestion};
use super::world::{FilterWorld, apply};

/// What happens in a run.
#[derive(Clone, Debug)]
pub struct FilterScenario {
    /// The honest peer's place among the peers is drawn; these are the lies of the others.
    pub lies: Vec<Lie>,
    /// Whether the honest peer comes long after the liars.
    pub late: bool,
    /// Whether the chain of filter headers starts at a checkpoint below the birthday.
    pub anchored: bool,
    /// Whether all is looked through again in the middle.
    pub rescans: bool,
    /// Whether the driver waits for each answer as long as the peer likes.
    pub patient: bool,
    /// Answers of a hundred that are lost.
    pub loss_percent: u64,
}

impl FilterScenario {
    /// Seven liars, and all else, drawn by a seed.
    #[must_use]
    pub fn drawn(seed: u64) -> Self {
        let mut random = Miner::new(seed ^ 0x5eed);
        let mut below = |count: usize| {
            let count = u64::try_from(count).unwrap_or(1);
            usize::try_from(random.random() % count).unwrap_or(0)
        };
        let band = LIES.get(below(LIES.len())).copied().unwrap_or(Lie::Omits);
        // Some of them are of one mind.
        let united = below(8);
        let lies = (0..7).map(|number| {
            let own = LIES.get(below(LIES.len())).copied().unwrap_or(Lie::Omits);
            if number < united { band } else { own }
        });
        let lies = lies.collect();
        let (late, anchored) = (below(2) == 0, below(2) == 0);
        let (rescans, patient, lossy) = (below(4) == 0, below(4) == 0, below(4) == 0);
        let loss_percent = if lossy && !patient { 3 } else { 0 };
        Self { lies, late, anchored, rescans, patient, loss_percent }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct FilterOutcome {
    /// The seed, to run it again.
    pub seed: u64,
    /// The lies that were told.
    pub lies: Vec<Lie>,
    /// Blocks with payments that the wallet does not know of.
    pub missed: usize,
    /// Whether the machine said that all is done.
    pub synced: bool,
    /// What the honest peer was blamed for.
    pub honest_blamed: Option<String>,
    /// Whether the honest peer was asked for a block that it did not have, or for more than the
    /// protocol allows.
    pub hung_up: bool,
    /// Whether filters came out of order.
    pub disorder: bool,
    /// Blocks that were looked through whole.
    pub whole: usize,
    /// How many liars were banned.
    pub banned: usize,
    /// Answers of liars that were not the truth.
    pub false_answers: usize,
    /// Virtual time.
    pub took: Duration,
}

impl FilterOutcome {
    /// What can be wrong with it, and how often it is.
    #[must_use]
    pub fn faults(&self) -> [(&'static str, usize); 5] {
        [
            ("a payment was missed", self.missed),
            ("the honest peer was blamed", self.honest_blamed.is_some().into()),
            ("the honest peer was asked for what makes a node hang up", self.hung_up.into()),
            ("filters came out of order", self.disorder.into()),
            ("the machine is not done", (!self.synced).into()),
        ]
    }

    /// What is wrong with it, if anything.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        self.faults().into_iter().find(|(_, times)| *times > 0).map(|(fault, _)| fault)
    }
}

#[derive(Debug)]
enum Event {
    Connect(PeerId),
    /// A new tip, by its number among the news.
    News(usize),
    /// A peer has a new tip, and tells it.
    PeerHas(PeerId, usize),
    /// The machine is told of the tip, which its chain has had for a while.
    Tip,
    Told(PeerId, BlockHash),
    Asked(FilterQuestion),
    Answered(FilterQuestion, FilterAnswer),
    Unanswered(FilterQuestion),
    Committed,
    Rescan,
}

#[derive(Debug)]
struct SimFilterPeer {
    lie: Lie,
    /// It has all blocks up to this one.
    has: usize,
    connected: bool,
    latency: Duration,
}

#[derive(Debug)]
struct Run<'a> {
    world: &'a FilterWorld,
    node: FilterNode<'a>,
    peers: BTreeMap<PeerId, SimFilterPeer>,
    banned: BTreeSet<PeerId>,
    honest_blamed: Option<String>,
    hung_up: bool,
    false_answers: usize,
    patient: bool,
    loss_percent: u64,
    random: Miner,
    elapsed: Duration,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    events: BTreeMap<u64, Event>,
    numbered: u64,
    /// Nothing is over before.
    quiet: Duration,
}

/// No answer in this time is none.
const GIVEN_UP: Duration = Duration::from_secs(60);
/// Who hung up is dialled again.
const REDIAL: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

/// Runs a wallet among its peers.
#[must_use]
pub fn run_filters(
    world: &FilterWorld,
    config: FilterSyncConfig,
    scenario: &FilterScenario,
    seed: u64,
) -> FilterOutcome {
    let mut run = Run::new(world, config, scenario, seed);
    run.plan(scenario);
    while run.elapsed < LIMIT && !run.is_over() && run.step() {}
    let status = run.node.sync.status();
    FilterOutcome {
        seed,
        lies: scenario.lies.clone(),
        missed: run.node.missed(),
        synced: status.synced,
        honest_blamed: run.honest_blamed,
        hung_up: run.hung_up,
        disorder: run.node.disorder,
        whole: run.node.whole,
        banned: run.banned.len(),
        false_answers: run.false_answers,
        took: run.elapsed,
    }
}

impl<'a> Run<'a> {
    fn new(
        world: &'a FilterWorld,
        config: FilterSyncConfig,
        scenario: &FilterScenario,
        seed: u64,
    ) -> Self {
        let anchor = BlockHeight(world.birthday / 1000 * 1000);
        let filters = if scenario.anchored {
            FilterHeaderChain::starting_at(anchor).unwrap_or_default()
        } else {
            FilterHeaderChain::new()
        };
        let now = Now { unix: UnixTime(1_790_000_000), elapsed: Duration::ZERO };
        let node = FilterNode::new(world, config, filters, seed, now);
        Self {
            world,
            node,
            peers: BTreeMap::new(),
            banned: BTreeSet::new(),
            honest_blamed: None,
            hung_up: false,
            false_answers: 0,
            patient: scenario.patient,
            loss_percent: scenario.loss_percent,
            random: Miner::new(seed),
            elapsed: Duration::ZERO,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            numbered: 0,
            quiet: Duration::ZERO,
        }
    }

    fn now(&self) -> Now {
        let seconds = u32::try_from(self.elapsed.as_secs()).unwrap_or(u32::MAX);
        Now { unix: UnixTime(1_790_000_000).plus_seconds(seconds), elapsed: self.elapsed }
    }

    fn draw(&mut self, most: Duration) -> Duration {
        let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(self.random.random() % millis)
    }

    fn push(&mut self, after: Duration, event: Event) {
        self.numbered += 1;
        self.queue.push(Reverse((self.elapsed + after, self.numbered)));
        self.events.insert(self.numbered, event);
    }

    /// Who comes when, and when blocks are found.
    fn plan(&mut self, scenario: &FilterScenario) {
        let honest = usize::try_from(self.random.random() % 8).unwrap_or(0);
        let mut lies = scenario.lies.clone();
        lies.insert(honest.min(lies.len()), Lie::None);
        for (number, lie) in (0..).zip(lies) {
            let late = scenario.late && lie == Lie::None;
            let wait = if late { Duration::from_secs(600) } else { Duration::from_secs(10) };
            let after = self.draw(wait);
            let latency =
                if lie == Lie::None { Duration::from_secs(2) } else { Duration::from_millis(300) };
            let peer = SimFilterPeer { lie, has: self.world.base, connected: false, latency };
            self.peers.insert(PeerId(number), peer);
            self.push(after, Event::Connect(PeerId(number)));
            self.quiet = self.quiet.max(after);
        }
        let mut after = Duration::from_secs(5);
        for number in 0..self.world.news.len() {
            after += self.draw(Duration::from_secs(120));
            self.push(after, Event::News(number));
            if scenario.rescans && number == 4 {
                self.push(after, Event::Rescan);
            }
        }
        self.quiet = self.quiet.max(after) + Duration::from_secs(60);
    }

    fn is_over(&self) -> bool {
        self.elapsed > self.quiet && self.node.sync.status().synced && self.node.missed() == 0
    }

    fn step(&mut self) -> bool {
        let event = self.queue.peek().map(|Reverse((at, _))| *at);
        let timer = self.node.sync.poll_timeout().map(|at| at.max(self.elapsed));
        let over = Some(self.quiet + Duration::from_secs(1)).filter(|at| *at > self.elapsed);
        let Some(next) = event.into_iter().chain(timer).chain(over).min() else { return false };
        self.elapsed = next;
        if event == Some(next) {
            let number = self.queue.pop().map_or(0, |Reverse((_, number))| number);
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

    fn settle(&mut self) {
        let now = self.now();
        let mut questions = Vec::new();
        self.node.settle(now, &mut questions);
        for question in questions {
            let delay = self.delay(question.peer);
            self.push(delay, Event::Asked(question));
        }
        for _ in 0..core::mem::take(&mut self.node.commits) {
            let delay = self.draw(Duration::from_millis(50));
            self.push(delay, Event::Committed);
        }
        for (peer, offence) in core::mem::take(&mut self.node.blamed) {
            if self.peers.get(&peer).is_some_and(|peer| peer.lie == Lie::None) {
                self.honest_blamed = Some(offence.to_string());
            }
            self.banned.insert(peer);
            self.disconnect(peer);
        }
    }

    fn disconnect(&mut self, id: PeerId) {
        let now = self.now();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.connected = false;
        }
        self.node.sync.handle_disconnected(&self.node.chain, id, now);
    }

    fn delay(&mut self, id: PeerId) -> Duration {
        let latency = self.peers.get(&id).map_or(Duration::ZERO, |peer| peer.latency);
        Duration::from_millis(1) + self.draw(latency)
    }

    fn happen(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Connect(id) => self.connect(id, now),
            Event::News(number) => self.tell_news(number),
            Event::PeerHas(id, number) => {
                let Some(peer) = self.peers.get_mut(&id) else { return };
                peer.has = peer.has.max(number);
                if let Some(entry) = self.world.entry(number) {
                    let delay = self.delay(id);
                    self.push(delay, Event::Told(id, entry.hash));
                }
            }
            Event::Tip => self.node.sync.handle_tip(&self.node.chain, now),
            Event::Told(id, hash) => {
                if self.is_connected(id) {
                    self.node.sync.handle_peer_block(&self.node.chain, id, hash, now);
                }
            }
            Event::Asked(question) => self.asked(question),
            Event::Answered(FilterQuestion { peer, id, .. }, answer) => {
                if self.is_connected(peer) {
                    self.node.sync.handle_answer(&self.node.chain, peer, id, answer, now);
                }
            }
            Event::Unanswered(FilterQuestion { peer, id, .. }) => {
                if self.is_connected(peer) {
                    let why = FilterUnanswered::NoAnswer;
                    self.node.sync.handle_unanswered(&self.node.chain, peer, id, why, now);
                }
            }
            Event::Committed => self.node.sync.handle_committed(&self.node.chain, now),
            Event::Rescan => self.node.rescan(now),
        }
    }

    fn is_connected(&self, id: PeerId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.connected)
    }

    fn connect(&mut self, id: PeerId, now: Now) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.connected = true;
        let height = self.world.entry(peer.has).map_or(0, |entry| entry.height);
        let traits =
            FilterPeerTraits { height: BlockHeight(height), ..FilterPeerTraits::default() };
        self.node.sync.handle_connected(&self.node.chain, id, traits, now);
    }

    fn tell_news(&mut self, number: usize) {
        let Some(tip) = self.world.news.get(number).copied() else { return };
        apply(&mut self.node.chain, &self.world.ledger, tip);
        let delay = self.draw(Duration::from_secs(4));
        self.push(delay, Event::Tip);
        let ids: Vec<_> = self.peers.keys().copied().collect();
        for id in ids {
            let delay = self.draw(Duration::from_secs(8));
            self.push(delay, Event::PeerHas(id, tip));
        }
    }

    fn told(&self, lie: Lie, request: &FilterRequest) -> Option<FilterAnswer> {
        answer(&self.world.ledger, self.world.story(lie), lie, request)
    }

    fn asked(&mut self, question: FilterQuestion) {
        let Some(peer) = self.peers.get(&question.peer).filter(|peer| peer.connected) else {
            return;
        };
        let stop = match question.request {
            FilterRequest::Checkpoints { stop, .. }
            | FilterRequest::Headers { stop, .. }
            | FilterRequest::Filters { stop, .. } => stop,
            FilterRequest::Block { hash, .. } => hash,
            other => unreachable!("a request that peers do not know: {other:?}"),
        };
        let known = self.world.ledger.by_hash.get(&stop).is_some_and(|number| *number <= peer.has);
        if !known || asks_too_much(&question.request) {
            // Bitcoin Core hangs up (`net_processing.cpp`, `PrepareBlockFilterRequest`).
            self.hung_up |= peer.lie == Lie::None;
            self.disconnect(question.peer);
            self.push(REDIAL, Event::Connect(question.peer));
            return;
        }
        let lie = peer.lie;
        let lost = self.random.random() % 100 < self.loss_percent;
        match self.told(lie, &question.request).filter(|_| !lost) {
            Some(answer) => {
                let truth = || self.told(Lie::None, &question.request);
                if lie != Lie::None && truth().as_ref() != Some(&answer) {
                    self.false_answers += 1;
                }
                let delay = self.delay(question.peer);
                self.push(delay, Event::Answered(question, answer));
            }
            None if self.patient => {}
            None => self.push(GIVEN_UP, Event::Unanswered(question)),
        }
    }
}

/// More headers or filters than a request may name, or none.
fn asks_too_much(request: &FilterRequest) -> bool {
    let (count, most) = match request {
        FilterRequest::Headers { count, .. } => (*count, MAX_FILTER_HEADERS),
        FilterRequest::Filters { count, .. } => (*count, MAX_FILTERS),
        FilterRequest::Checkpoints { .. } | FilterRequest::Block { .. } => (1, 1),
        other => unreachable!("a request that peers do not know: {other:?}"),
    };
    !(1..=most).contains(&count)
}
