//! The workloads, each defined once: for the program, for tests and for benches.
//!
//! A [`Scenario`] prepares its input from a seed, does it under a [`Meter`], and says what it found
//! as [`Bound`]s that hold or do not. A wrong answer of the code under load is a broken bound too;
//! an error is only what kept the scenario from looking.

mod accounts;
#[cfg(feature = "node")]
mod api_burst;
mod audit;
mod chains;
mod client;
mod concurrent_headers;
mod filter_liars;
mod header_chain;
mod memory_efficiency;
mod merkle_tree;
mod mixed;
mod pace;
#[cfg(feature = "node")]
mod peer_flood;
mod plan;
mod registry;
#[cfg(feature = "node")]
mod reorg_storm;
mod resilience;
#[cfg(feature = "node")]
pub mod rig;
#[cfg(feature = "node")]
mod slow_peers;
#[cfg(feature = "node")]
mod soak;
mod state_compression;

use core::fmt;
use core::time::Duration;

pub use accounts::Accounts;
#[cfg(feature = "node")]
pub use api_burst::ApiBurst;
pub use audit::Audit;
#[cfg(feature = "program")]
pub(crate) use client::CLIENT;
pub use client::verify_headers;
pub use concurrent_headers::ConcurrentHeaders;
pub use filter_liars::FilterLiars;
pub use header_chain::HeaderChains;
pub use memory_efficiency::MemoryEfficiency;
pub use merkle_tree::MerkleTrees;
pub use mixed::Mixed;
#[cfg(feature = "node")]
pub use peer_flood::PeerFlood;
pub use plan::{Plan, Weights, WrongWeights};
pub use registry::Registry;
#[cfg(feature = "node")]
pub use reorg_storm::ReorgStorm;
pub use resilience::Resilience;
#[cfg(feature = "node")]
pub use slow_peers::SlowPeers;
#[cfg(feature = "program")]
pub(crate) use soak::NODE;
#[cfg(feature = "node")]
pub use soak::{Soak, SoakNodeError, run_soak_node};
pub use state_compression::StateCompression;

use crate::measure::Meter;
use crate::report::{Bound, Curve, Figure, StateChange};

/// What a scenario is, for lists and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name, in lower case with hyphens.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub does: &'static str,
    /// What is counted as one operation.
    pub operation: &'static str,
    /// What one sample of latency is the time of.
    pub sample: &'static str,
    /// What has to hold, in words.
    pub bound: &'static str,
    /// What `count` counts.
    pub counts: &'static str,
    /// The count where none is asked for.
    pub usual: u64,
    /// The least and the largest count.
    pub range: (u64, u64),
}

/// A workload.
pub trait Scenario: fmt::Debug + Send + Sync {
    /// What it is.
    fn about(&self) -> About;

    /// For how long a count goes on, where that is planned: such a scenario is outside of `all`, and
    /// this comes on top of a round's limit.
    fn lasts(&self, count: u64) -> Option<Duration> {
        let _ = count;
        None
    }

    /// Whether it is planned to go on for so long that it is outside of `all`.
    fn is_long(&self) -> bool {
        self.lasts(self.about().usual).is_some()
    }

    /// Does it once. Equal plans do equal work.
    ///
    /// # Errors
    /// [`ScenarioError`] where it could not be carried through; what was measured until then
    /// stays in the meter.
    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError>;
}

/// What a scenario found, beside what the meter has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// What had to hold, and whether it did.
    pub bounds: Vec<Bound>,
    /// Figures of its own.
    pub figures: Vec<Figure>,
    /// The states that something went through, oldest first.
    pub states: Vec<StateChange>,
    /// What it watched over time.
    pub curves: Vec<Curve>,
}

/// Why a scenario could not be carried through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// It took longer than it may.
    #[error("not done within {limit:?}")]
    OutOfTime {
        /// How long it may take.
        limit: Duration,
    },
    /// It is about memory, and nobody counts.
    #[error("it needs an allocator that counts, and this program has none")]
    MemoryNotCounted,
    /// A thread panicked.
    #[error("one of its threads panicked")]
    Panicked,
    /// Its input could not be prepared.
    #[error("cannot prepare {what}")]
    Preparing {
        /// What could not be prepared.
        what: &'static str,
        /// Why.
        source: Box<dyn core::error::Error + Send + Sync>,
    },
}

impl ScenarioError {
    /// For `map_err` around what prepares the input.
    pub(crate) fn preparing<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: core::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Preparing { what, source: Box::new(source) }
    }
}
