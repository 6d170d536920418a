//! The networks that the node talks to.

pub mod bitcoin;
mod peers;
#[cfg(feature = "libp2p")]
pub mod swarm;
/// The libp2p network of light nodes: what they say to each other, which needs no libp2p.
#[cfg(not(feature = "libp2p"))]
#[doc(hidden)]
pub mod swarm {
    pub mod wire;
}
pub mod wire;

pub use peers::{Direction, NetworkReport, PeerNetwork, PeerNumbers, PeerReport};
