//! What a node is to be.

use std::net::SocketAddr;
use std::path::PathBuf;

use ironlight_spv::sync::SyncConfig;
use ironlight_spv::{BlockHash, BlockHeight, Network, Params};

use super::NodeError;
use crate::blocks;
use crate::chain::SnapshotPeers;
use crate::events::EVENTS_KEPT;
use crate::filters::FilterConfig;
use crate::net::RequestConfig;
use crate::net::data::DataPeers;
#[cfg(feature = "libp2p")]
use crate::net::swarm::LightNetConfig;
use crate::store::{Backend, CustomStore};

/// Where the chain is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory: fetched again at each start.
    Memory,
    /// In a directory; each network has a directory of its own in it.
    Disk {
        /// The directory.
        data_dir: PathBuf,
        /// The backend; none for what the directory has, or for a new one sled, where this build has
        /// it, else redb.
        backend: Option<Backend>,
    },
    /// In a store of the user's own.
    Custom(CustomStore),
}

/// A block that the user trusts, to start from instead of genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartPoint {
    /// Its height.
    pub height: BlockHeight,
    /// Its hash.
    pub hash: BlockHash,
}

/// What a node is to be.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The network; its minimum chain work and checkpoints are the user's to change.
    pub params: Params,
    /// Where the chain is kept.
    pub storage: Storage,
    /// Full nodes to connect to. Where there are any, only these are connected to.
    pub connect: Vec<SocketAddr>,
    /// Whether to ask the network's DNS seeds for full nodes. With neither seeds nor addresses to
    /// connect to the node is not in Bitcoin's own network.
    pub dns_seeds: bool,
    /// What the node does on the libp2p network of light nodes; none to stay out of it.
    #[cfg(feature = "libp2p")]
    pub libp2p: Option<LightNetConfig>,
    /// Where to start; genesis where there is none. With a start point the minimum chain work is
    /// not asked for, since the work before it is not known.
    pub start_point: Option<StartPoint>,
    /// Deadlines and bounds of header sync; the defaults suit Bitcoin's networks.
    pub sync: SyncConfig,
    /// What requests to peers go through: timeouts, limits, circuit breakers.
    pub requests: RequestConfig,
    /// Which compact filters are fetched and kept.
    pub filters: FilterConfig,
    /// Bytes of blocks that are kept in memory, so that one is fetched once for a wallet and for those
    /// who ask. The least recently used go first; with 0 none is kept.
    pub block_cache: usize,
    /// Whether full nodes are asked for every transaction that they relay.
    pub watch_mempool: bool,
    /// Events kept for subscribers that fall behind; at least one is.
    pub events_kept: usize,
}

impl NodeConfig {
    /// A node that finds peers by DNS and keeps its chain in memory.
    #[must_use]
    pub fn new(network: Network) -> Self {
        Self::of(Params::new(network))
    }

    /// The same for a network with the user's own minimum chain work, checkpoints or signet challenge.
    #[must_use]
    pub fn of(params: Params) -> Self {
        Self {
            params,
            storage: Storage::Memory,
            connect: Vec::new(),
            dns_seeds: true,
            #[cfg(feature = "libp2p")]
            libp2p: None,
            start_point: None,
            sync: SyncConfig::default(),
            requests: RequestConfig::default(),
            filters: FilterConfig::default(),
            block_cache: blocks::CACHE_BYTES,
            watch_mempool: false,
            events_kept: EVENTS_KEPT,
        }
    }

    /// The DNS seeds to ask.
    pub(super) const fn seeds(&self) -> &'static [&'static str] {
        if self.dns_seeds { self.params.dns_seeds } else { &[] }
    }

    pub(super) fn in_bitcoin(&self) -> bool {
        !self.connect.is_empty() || !self.seeds().is_empty()
    }

    #[cfg(feature = "libp2p")]
    pub(super) fn in_libp2p(&self) -> bool {
        self.libp2p.as_ref().is_some_and(|libp2p| {
            !(libp2p.peers.is_empty() && libp2p.listen.is_empty()) || libp2p.mdns
        })
    }

    #[cfg(not(feature = "libp2p"))]
    #[allow(clippy::unused_self, reason = "the other one needs it")]
    pub(super) const fn in_libp2p(&self) -> bool {
        false
    }

    /// Where chunks of snapshots come from; none where there is nobody to expect, or they are not wanted.
    #[cfg(all(feature = "snapshot", feature = "libp2p"))]
    pub(super) fn snapshot_peers(&self, peers: &DataPeers) -> Option<SnapshotPeers> {
        let wanted = self.libp2p.as_ref().filter(|libp2p| !libp2p.no_snapshots)?;
        Some(SnapshotPeers { peers: peers.clone(), expected: wanted.expected_peers()? })
    }

    #[cfg(not(all(feature = "snapshot", feature = "libp2p")))]
    #[allow(clippy::unused_self, reason = "the other one needs it")]
    pub(super) const fn snapshot_peers(&self, _peers: &DataPeers) -> Option<SnapshotPeers> {
        None
    }

    pub(super) fn check(&self) -> Result<(), NodeError> {
        if self.in_bitcoin() || self.in_libp2p() {
            return Ok(());
        }
        Err(NodeError::NoPeers { network: self.params.network })
    }
}
