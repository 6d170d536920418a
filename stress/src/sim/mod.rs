//! Simulated networks around the real header sync.
//!
//! A [`World`] has a virtual clock, an event queue, simulated peers and one node: the real
//! [`HeaderSync`](ironlight_spv::sync::HeaderSync) with a real
//! [`HeaderChain`](ironlight_spv::HeaderChain) and a counter in place of a store. Latencies and
//! orders of arrival follow from a seed, so that any run can be made again. Chains are prepared
//! once, in [`Chains`], and shared by all runs. In a [`network`] there are many nodes.

mod chains;
pub mod filters;
pub mod network;
mod node;
mod peer;
mod scenario;
mod world;

pub use chains::{Chain, Chains, Flaw, regtest_with, retargeting, spoilt};
pub use node::{Node, Writes};
pub use peer::{Role, SimPeer};
pub use scenario::{News, Outcome, honest_among_liars, liars};
pub use world::{Latency, World};
