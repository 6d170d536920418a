//! The scenarios that there are, by name.

use super::{
    About, Audit, ConcurrentHeaders, FilterLiars, HeaderChains, MemoryEfficiency, MerkleTrees,
    Mixed, Resilience, Scenario, StateCompression,
};
#[cfg(feature = "node")]
use super::{ApiBurst, PeerFlood, ReorgStorm, SlowPeers};

/// A list of scenarios, in the order in which `all` runs them.
#[derive(Debug, Default)]
pub struct Registry {
    scenarios: Vec<Box<dyn Scenario>>,
}

impl Registry {
    /// Those of this crate; without the feature `node` those that need none.
    #[must_use]
    pub fn new() -> Self {
        let without_nodes = Self::default()
            .with(HeaderChains)
            .with(MerkleTrees)
            .with(ConcurrentHeaders::default())
            .with(StateCompression)
            .with(MemoryEfficiency)
            .with(Audit)
            .with(Mixed)
            .with(Resilience)
            .with(FilterLiars::default());
        Self::with_nodes(without_nodes)
    }

    #[cfg(feature = "node")]
    fn with_nodes(self) -> Self {
        self.with(ApiBurst).with(PeerFlood::default()).with(SlowPeers::default()).with(ReorgStorm)
    }

    #[cfg(not(feature = "node"))]
    const fn with_nodes(self) -> Self {
        self
    }

    /// One more. One of the same name takes the other's place.
    #[must_use]
    pub fn with(mut self, scenario: impl Scenario + 'static) -> Self {
        let name = scenario.about().name;
        match self.scenarios.iter_mut().find(|other| other.about().name == name) {
            Some(other) => *other = Box::new(scenario),
            None => self.scenarios.push(Box::new(scenario)),
        }
        self
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Scenario> {
        self.scenarios.iter().map(AsRef::as_ref)
    }

    /// What they are.
    pub fn abouts(&self) -> impl Iterator<Item = About> {
        self.iter().map(Scenario::about)
    }

    /// The one with a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&dyn Scenario> {
        self.iter().find(|scenario| scenario.about().name == name)
    }
}
