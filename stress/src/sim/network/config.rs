//! What a simulated network is made of, and how a run ends.

use std::time::Duration;

use ironlight_spv::generate::Miner;
use ironlight_spv::peers::PolicyConfig;
use ironlight_spv::sync::SyncConfig;
use ironlight_spv::{HeaderChain, Params, UnixTime};

use crate::sim::chains::grow;

/// A node of a simulated network, full, light or lying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) u32);

/// How messages between two nodes fare. Each message draws its own jitter, so that with jitter
/// messages overtake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// What every message takes.
    pub latency: Duration,
    /// What it takes beyond that at most, drawn evenly.
    pub jitter: Duration,
    /// So many messages in a hundred never arrive.
    pub loss_percent: u8,
}

impl Default for LinkSettings {
    fn default() -> Self {
        let (latency, jitter) = (Duration::from_millis(50), Duration::from_millis(20));
        Self { latency, jitter, loss_percent: 0 }
    }
}

/// The knobs and bounds of a simulated network.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// What full nodes have at first. Light nodes start from its network's genesis.
    pub base: HeaderChain,
    /// What the wall clock shows at first.
    pub began: UnixTime,
    /// Links that have no settings of their own.
    pub link: LinkSettings,
    /// The sync machines of light nodes.
    pub sync: SyncConfig,
    /// The peer policies of light nodes.
    pub policy: PolicyConfig,
    /// Callers that a light node lets in at most, as the swarm does before the policy is asked.
    pub max_inbound: usize,
    /// What a restart takes.
    pub downtime: Duration,
    /// A connection that a partition cuts is given up by both ends after this.
    pub unresponsive: Duration,
    /// An address that cannot be reached is given up after this.
    pub dial_timeout: Duration,
    /// Full nodes and liars dial and tell anew so often.
    pub tick: Duration,
    /// Events that happen at most, all runs of a network together.
    pub max_events: u64,
    /// Messages on their way at most; others are lost.
    pub max_messages: usize,
}

impl NetworkConfig {
    /// A network whose full nodes start with so many blocks.
    ///
    /// # Panics
    /// If the rules refuse blocks made by them: a bug.
    #[must_use]
    pub fn new(params: Params, blocks: usize) -> Self {
        let mut base = HeaderChain::new(params);
        grow(&mut base, &mut Miner::new(1), blocks, 600);
        Self {
            base,
            began: UnixTime(1_790_000_000),
            link: LinkSettings::default(),
            sync: SyncConfig::default(),
            policy: PolicyConfig::default(),
            max_inbound: 128,
            downtime: Duration::from_secs(5),
            unresponsive: Duration::from_secs(60),
            dial_timeout: Duration::from_secs(10),
            tick: Duration::from_secs(30),
            max_events: 1_000_000,
            max_messages: 10_000,
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ended {
    /// What was waited for holds.
    Reached {
        /// Virtual time since the network began.
        at: Duration,
    },
    /// It does not hold.
    Limit {
        /// What was used up.
        limit: Limit,
        /// Virtual time since the network began.
        at: Duration,
        /// Honest nodes that are not on the honest tip.
        behind: Vec<NodeId>,
    },
}

impl Ended {
    /// When it was reached, if it was.
    #[must_use]
    pub const fn reached(&self) -> Option<Duration> {
        match self {
            Self::Reached { at } => Some(*at),
            Self::Limit { .. } => None,
        }
    }
}

/// What a run can use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The virtual time that it was given.
    Time,
    /// [`NetworkConfig::max_events`].
    Events,
}
