//! The libp2p network of light nodes: they serve each other what each has verified.
//!
//! Purpose: to carry headers and new tips between light nodes, and to know nothing else: whether a
//! header is valid is decided elsewhere, whom to dial and to ban by
//! [`PeerPolicy`](ironlight_spv::peers::PeerPolicy), the same that decides for full nodes.
//! `docs/PROTOCOL.md` has the protocol for those who implement it elsewhere.
//!
//! The way of a message: `transport` counts its bytes, noise or QUIC decrypts it, [`wire`]
//! decodes it off the async threads, `read_ahead` puts it where it was asked for, and the sync
//! machine gets it as it would get a full node's. Gossip goes on to others only after our own
//! verification.
//!
//! Invariants:
//! - The swarm's task waits for nobody: what the node has no room for waits in a queue that the
//!   node's own questions bound.
//! - Nothing that a peer says is believed: neither who has a header nor at which height it is.
//!
//! What an attacker can grow, in all: 128 connections to us, 16 of them from one network group;
//! for each, six messages with headers on their way of at most 512 KB, and 2,000 tips of 80 bytes
//! that gossip remembers for two minutes; 8192 addresses. What `serve` answers with filters and
//! blocks has a bound for all together.

mod address;
mod behaviour;
mod bytes_codec;
mod data_line;
#[cfg(test)]
mod data_tests;
mod directory;
mod gate;
mod handle;
pub mod identity;
mod line;
mod protocol;
mod read_ahead;
mod serve;
mod source;
mod task;
mod traffic;
mod transport;
pub mod wire;

use std::path::PathBuf;

use libp2p::identity::Keypair;
pub use libp2p::{Multiaddr, PeerId as LightPeerId};

pub use behaviour::MAX_INBOUND;
pub(crate) use handle::{LightEvent, SwarmHandle};
pub use identity::IdentityError;
pub use source::{ChainSource, ServedPage};
pub(crate) use source::{DataSource, FilterSource, NotServed, Serving};
pub(crate) use task::{Swarm, SwarmStart};

/// The key that a node is known by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// A new one at each start: nobody can follow the node from one to the next.
    #[default]
    Fresh,
    /// The one kept in a directory (file `node_key`, mode 0600), made there if it is missing.
    Kept {
        /// The directory.
        directory: PathBuf,
    },
}

/// What a node does on the libp2p network.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct LightNetConfig {
    /// Light nodes to connect to, and to learn of others from.
    pub peers: Vec<Multiaddr>,
    /// Where to listen: TCP or QUIC. Port 0 for any that is free.
    pub listen: Vec<Multiaddr>,
    /// Serve others what this node has verified. Without it the node is a client only.
    pub serve: bool,
    /// How others know this node.
    pub identity: Identity,
    /// Look for light nodes on the local network, which tells it that there is one here.
    pub mdns: bool,
    /// Dial learnt addresses that the internet does not route, for networks of one's own.
    pub allow_private: bool,
    /// Fetch all headers page by page, even where light nodes have them as snapshots (feature `snapshot`).
    pub no_snapshots: bool,
}

/// Why the swarm did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SwarmError {
    /// The node's key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// It cannot listen there.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// Why not.
        reason: String,
    },
    /// The address is neither TCP nor QUIC on an IP address.
    #[error(
        "{address} is no address of a light node: expected /ip4/ADDRESS/tcp/PORT or \
         /ip4/ADDRESS/udp/PORT/quic-v1, with /p2p/IDENTITY after it or without"
    )]
    Address {
        /// The address.
        address: Multiaddr,
    },
    /// Encryption.
    #[error("noise: {reason}")]
    Noise {
        /// Why not.
        reason: String,
    },
    /// The local network.
    #[error("mDNS: {source}")]
    Mdns {
        /// What the system says.
        source: std::io::Error,
    },
    /// A setting of ours that gossipsub does not like: a bug.
    #[error("gossip cannot be set up ({reason}): this is a bug, report it")]
    Gossip {
        /// Why not.
        reason: String,
    },
}

impl LightNetConfig {
    /// How many peers of its own choice a node may expect right after its start: those that the user
    /// named, or any number where it looks around. None where it only waits to be called.
    #[cfg(feature = "snapshot")]
    pub(crate) fn expected_peers(&self) -> Option<usize> {
        let expected = if self.mdns { usize::MAX } else { self.peers.len() };
        (expected > 0).then_some(expected)
    }

    pub(crate) fn key(&self) -> Result<Keypair, IdentityError> {
        match &self.identity {
            Identity::Fresh => Ok(Keypair::generate_ed25519()),
            Identity::Kept { directory } => identity::load_or_create(directory),
        }
    }
}
