//! One honest peer among seven liars.

use std::sync::Arc;
use std::time::Duration;

use ironlight_spv::sync::{PeerId, SyncConfig};
use ironlight_spv::{ChainTip, HeaderChain, UnixTime};

use super::chains::Chains;
use super::node::{Node, Writes};
use super::peer::{Role, SimPeer};
use super::world::{Latency, World};

/// How the honest peer tells of a new block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// By its header, which connects.
    Header,
    /// By its hash.
    Hash,
    /// By the header of a later block, which does not connect.
    Unconnecting,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed, to run it again.
    pub seed: u64,
    /// The node's tip.
    pub tip: ChainTip,
    /// Whether it is the honest tip, and the machine said that it is synced.
    pub synced: bool,
    /// How the news was told, and whether it arrived.
    pub news: (News, bool),
    /// Whether the honest peer was blamed.
    pub honest_blamed: bool,
    /// Whether the peer policy dropped or banned the honest peer.
    pub honest_dropped: bool,
    /// The most often that one peer was blamed.
    pub most_blames: usize,
    /// What was written.
    pub writes: Writes,
    /// Headers that were written and are not of the honest chain.
    pub foreign: u64,
    /// Pins left over.
    pub pins: usize,
    /// Virtual time until the honest tip was there.
    pub took: Duration,
}

impl Outcome {
    /// What is wrong with it, if anything.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let faults = [
            (!self.synced, "the node is not synced to the honest tip"),
            (!self.news.1, "news did not arrive"),
            (self.honest_blamed, "the honest peer was blamed"),
            (self.honest_dropped, "the honest peer was dropped"),
            (self.most_blames > 1, "a peer was blamed twice"),
            (self.foreign > 0, "headers of low work were written"),
            (self.pins > 0, "a pin was left over"),
        ];
        faults.into_iter().find(|(holds, _)| *holds).map(|(_, fault)| fault)
    }
}

/// All kinds of liars.
#[must_use]
pub fn liars(chains: &Chains) -> Vec<Role> {
    let low = || Arc::clone(&chains.low_work);
    vec![
        Role::Serves(low()),
        Role::Serves(Arc::clone(&chains.no_work)),
        Role::Serves(Arc::clone(&chains.wrong_bits)),
        Role::Trickles(low()),
        Role::Cheats { shown: Arc::clone(&chains.honest), served: low() },
        Role::Junk(chains.junk.clone().into()),
        Role::Repeats(Arc::clone(&chains.honest)),
        Role::TooMany(low()),
        Role::AgreesThenEmpty(Arc::clone(&chains.honest)),
        Role::AgreesThenSilent(Arc::clone(&chains.honest)),
        Role::Silent,
        Role::Empty,
        Role::Announces,
    ]
}

const HONEST: PeerId = PeerId(0);
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Runs a node with one honest peer and seven liars drawn by the seed, in an order of arrival drawn
/// by the seed; then new blocks are found, and told in a way drawn by the seed.
#[must_use]
pub fn honest_among_liars(chains: &Chains, config: SyncConfig, seed: u64) -> Outcome {
    let chain = HeaderChain::new(chains.params.clone());
    let node = Node::new(chain, config, seed);
    let mut world = World::new(node, seed, UnixTime(1_790_000_000));
    if !config.defences.refuse_offenders {
        // The policy would hang up on offenders before one could see what they do next.
        world.policy = None;
    }
    let honest = SimPeer::new(Role::Serves(Arc::clone(&chains.honest))).up_to(Chains::HONEST);
    let latency = Latency { least: Duration::from_millis(30), most: Duration::from_secs(3) };
    let after = world.draw(Duration::from_secs(5));
    world.add(HONEST, honest, latency, after);
    add_liars(&mut world, chains);
    let tip = chains.honest.hash(Chains::HONEST);
    let synced = world.run_until(PATIENCE, |world| {
        Some(world.node.chain.tip().hash) == tip && world.node.sync.status().is_synced()
    });
    let took = world.now().elapsed;
    let news = tell_news(&mut world, chains);
    outcome(&world, chains, seed, synced, news, took)
}

fn add_liars(world: &mut World, chains: &Chains) {
    let mut roles = liars(chains);
    for number in 1..=7 {
        let choice = usize::try_from(world.random.random() % 64).unwrap_or(0) % roles.len();
        let role = roles.swap_remove(choice);
        let after = world.draw(Duration::from_secs(5));
        let announces = matches!(role, Role::Announces | Role::Junk(_));
        let (latency, tip) = manner(&role);
        world.add(PeerId(number), SimPeer::new(role).up_to(tip), latency, after);
        if announces {
            spam(world, PeerId(number), chains);
        }
    }
}

/// How quickly a liar answers, and up to which height: no liar knows a block before it is found,
/// and what keeps the place of a first peer for long, a flood, has to be slow.
fn manner(role: &Role) -> (Latency, usize) {
    let quick = Latency { least: Duration::from_millis(1), most: Duration::from_millis(900) };
    let slow = Latency { least: Duration::from_secs(8), most: Duration::from_secs(15) };
    match role {
        Role::Serves(chain) if chain.height() > 2 * Chains::HONEST => (slow, chain.height()),
        Role::Serves(chain) | Role::Trickles(chain) => (quick, chain.height()),
        Role::Cheats { .. }
        | Role::Junk(_)
        | Role::Repeats(_)
        | Role::TooMany(_)
        | Role::AgreesThenEmpty(_)
        | Role::AgreesThenSilent(_)
        | Role::Silent
        | Role::Empty
        | Role::Announces => (quick, Chains::HONEST),
    }
}

/// Announcements of blocks that nobody has, and headers that connect to nothing.
fn spam(world: &mut World, id: PeerId, chains: &Chains) {
    for junk in chains.junk.iter().take(20) {
        world.announce_hashes(id, vec![junk.hash()]);
        world.announce_headers(id, vec![*junk]);
    }
}

/// New blocks are found one after the other, and the honest peer tells of them.
fn tell_news(world: &mut World, chains: &Chains) -> (News, bool) {
    let news = match world.random.random() % 3 {
        0 => News::Header,
        1 => News::Hash,
        _ => News::Unconnecting,
    };
    let blocks = if news == News::Unconnecting { 2 } else { 1 };
    let mut height = Chains::HONEST;
    for _ in 0..2 {
        let before = height + blocks - 1;
        height += blocks;
        if let Some(honest) = world.peers.get_mut(&HONEST) {
            honest.tip = height;
        }
        let Some(hash) = chains.honest.hash(height) else { return (news, false) };
        let last = chains.honest.after(before, 1, height).to_vec();
        match news {
            News::Header | News::Unconnecting => world.announce_headers(HONEST, last),
            News::Hash => world.announce_hashes(HONEST, vec![hash]),
        }
        let arrived = |world: &World| world.node.chain.tip().hash == hash;
        if !world.run_until(Duration::from_secs(60), arrived) {
            return (news, false);
        }
    }
    (news, true)
}

fn outcome(
    world: &World,
    chains: &Chains,
    seed: u64,
    synced: bool,
    news: (News, bool),
    took: Duration,
) -> Outcome {
    let node = &world.node;
    let tip = node.chain.tip();
    let ours = chains.honest.find(&tip.hash).and_then(|height| u64::try_from(height).ok());
    Outcome {
        seed,
        tip,
        synced,
        news,
        honest_blamed: node.blames(HONEST) > 0,
        honest_dropped: world.is_dropped(HONEST),
        most_blames: world.peers.keys().map(|id| node.blames(*id)).max().unwrap_or(0),
        writes: node.writes,
        foreign: node.writes.headers - ours.unwrap_or(0).min(node.writes.headers),
        pins: node.pins.len(),
        took,
    }
}
