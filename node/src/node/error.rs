//! Why a node did not start, or stopped.

use ironlight_spv::chain::HeaderError;
use ironlight_spv::{BlockHash, BlockHeight, Network};

use super::StartPoint;
use crate::chain::Stopped;
use crate::flags::FlagError;
#[cfg(feature = "libp2p")]
use crate::net::swarm::SwarmError;
use crate::store::StoreError;

/// Why a node did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds a chain that starts elsewhere.
    #[error(
        "the stored chain starts with {stored_hash} at height {stored}, not with the start point \
         {} at height {}: choose another data directory for it",
        wanted.hash, wanted.height
    )]
    OtherStart {
        /// Height of the stored chain's start.
        stored: BlockHeight,
        /// Its hash.
        stored_hash: BlockHash,
        /// What was asked for.
        wanted: StartPoint,
    },
    /// Nothing to connect to.
    #[error(
        "no peers: neither addresses to connect to nor DNS seeds, nor a place to listen; {network} \
         has no other way in (give --connect ADDRESS, --peer MULTIADDR or --listen MULTIADDR)"
    )]
    NoPeers {
        /// The network.
        network: Network,
    },
    /// The start point that a peer gave breaks a rule, or a checkpoint contradicts it.
    #[error("the start point cannot be used")]
    InvalidStart {
        /// What is wrong with it.
        source: Box<HeaderError>,
    },
    /// What the store has of the wallet.
    #[cfg(feature = "wallet")]
    #[error(transparent)]
    Wallet(#[from] crate::wallet::LoadError),
    /// The network of light nodes.
    #[cfg(feature = "libp2p")]
    #[error(transparent)]
    Swarm(#[from] SwarmError),
    /// The node's flags are declared wrongly: a bug.
    #[error("flags: {0}")]
    Flags(#[from] FlagError),
    /// The control socket.
    #[cfg(feature = "daemon")]
    #[error(transparent)]
    Socket(#[from] crate::api::socket::SocketError),
    /// The node stopped before what was waited for came about.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A task panicked or ended by itself: a bug.
    #[error("a task of the node failed ({reason}): this is a bug, report it")]
    Task {
        /// What the runtime says.
        reason: String,
    },
}
