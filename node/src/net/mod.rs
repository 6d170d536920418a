//! The networks that the node talks to.

pub mod bitcoin;
pub(crate) mod data;
mod peers;
pub(crate) mod relay;
mod requests;
#[cfg(feature = "libp2p")]
pub mod swarm;
/// The libp2p network of light nodes: what they say to each other, which needs no libp2p.
#[cfg(not(feature = "libp2p"))]
#[doc(hidden)]
pub mod swarm {
    pub mod wire;
}
pub mod wire;

pub(crate) use peers::Question;
pub use peers::{Direction, NetworkReport, PeerNetwork, PeerNumbers, PeerReport, ServeReport};
pub(crate) use requests::Requests;
pub use requests::{PeerRequestReport, RequestConfig, RequestReport};
