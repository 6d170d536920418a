//! The networks that the node talks to.

pub mod bitcoin;
pub(crate) mod data;
mod peers;
pub(crate) mod relay;
mod requests;
pub(crate) mod suspend;
#[cfg(feature = "libp2p")]
pub mod swarm;
/// The libp2p network of light nodes: what they say to each other, which needs no libp2p.
#[cfg(not(feature = "libp2p"))]
#[doc(hidden)]
pub mod swarm {
    pub mod wire;
}
pub mod wire;

pub use peers::{
    BytesByPurpose, Carried, Direction, NetworkReport, PeerNetwork, PeerNumbers, PeerReport,
    Purpose, ServeReport,
};
pub(crate) use peers::{PurposeCounter, Question};
pub(crate) use requests::Requests;
pub use requests::{PeerRequestReport, RequestConfig, RequestReport};
