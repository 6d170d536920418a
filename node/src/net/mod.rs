//! The networks that the node talks to.

pub mod bitcoin;
mod peers;
#[cfg(feature = "libp2p")]
pub mod swarm;
pub mod wire;

pub use peers::{Direction, NetworkReport, PeerNetwork, PeerNumbers, PeerReport};
