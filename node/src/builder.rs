//! Says step by step what a node is to be, and starts it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ironlight_spv::{BlockHash, BlockHeight, Network, Params};

#[cfg(feature = "libp2p")]
use crate::net::swarm::LightNetConfig;
use crate::node::{Node, NodeConfig, NodeError, StartPoint, Storage};
use crate::store::{Backend, CustomStore, Store};

/// Describes a node; [`build`](Self::build) starts it. What is not said stays as [`NodeConfig::new`]
/// has it: peers by DNS, all in memory, Bitcoin's own network only.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use ironlight::{Network, Node};
///
/// let node = Node::builder(Network::Regtest).connect("127.0.0.1:18444".parse()?).build().await?;
/// println!("{}", node.chain().synced().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder starts nothing until `build`"]
pub struct NodeBuilder {
    config: NodeConfig,
    backend: Option<Backend>,
}

impl NodeBuilder {
    pub(crate) fn new(network: Network) -> Self {
        Self { config: NodeConfig::new(network), backend: None }
    }

    /// The network with the user's own minimum chain work, checkpoints or signet challenge.
    pub fn params(mut self, params: Params) -> Self {
        self.config.params = params;
        self
    }

    /// Keeps all in a directory, made where it is missing; each network has one of its own in it.
    /// Needs a store on disk: the cargo feature `sled` or `redb`.
    pub fn data_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.storage = Storage::Disk { data_dir: directory.into(), backend: self.backend };
        self
    }

    /// Which store keeps the data directory. Without it the one that the directory has, and sled,
    /// else redb, for a new one.
    pub fn backend(mut self, chosen: Backend) -> Self {
        self.backend = Some(chosen);
        if let Storage::Disk { backend, .. } = &mut self.config.storage {
            *backend = self.backend;
        }
        self
    }

    /// Connects to a full node; may be said several times. Then only these are connected to, and no
    /// DNS seed is asked.
    pub fn connect(mut self, address: SocketAddr) -> Self {
        self.config.connect.push(address);
        self.config.dns_seeds = false;
        self
    }

    /// Asks no DNS seeds for full nodes.
    pub fn no_dns_seeds(mut self) -> Self {
        self.config.dns_seeds = false;
        self
    }

    /// Joins the libp2p network of light nodes.
    #[cfg(feature = "libp2p")]
    pub fn libp2p(mut self, config: LightNetConfig) -> Self {
        self.config.libp2p = Some(config);
        self
    }

    /// Keeps all in a store of the user's own.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.config.storage = Storage::Custom(CustomStore::new(store));
        self
    }

    /// Starts from a block that the user trusts instead of genesis.
    pub fn start_point(mut self, height: BlockHeight, hash: BlockHash) -> Self {
        self.config.start_point = Some(StartPoint { height, hash });
        self
    }

    /// Bytes of compact filters that are kept, so that a rescan needs no network: 500 MB where
    /// nothing is said. The lowest heights go first.
    pub fn filter_cache(mut self, bytes: u64) -> Self {
        self.config.filters.cache_bytes = bytes;
        self
    }

    /// Bytes of blocks that are kept in memory: 32 MB where nothing is said. The least recently used go
    /// first.
    pub fn block_cache(mut self, bytes: usize) -> Self {
        self.config.block_cache = bytes;
        self
    }

    /// Asks full nodes for every transaction that they relay, so that payments show before they are
    /// in a block, marked as unverified. It takes as much of the line as a full node's relay does.
    pub fn watch_mempool(mut self) -> Self {
        self.config.watch_mempool = true;
        self
    }

    /// What has been said, to change what has no method here.
    #[must_use]
    pub fn into_config(self) -> NodeConfig {
        self.config
    }

    /// Starts the node; see [`Node::start`].
    ///
    /// # Errors
    /// [`NodeError`]
    pub async fn build(self) -> Result<Node, NodeError> {
        Node::start(self.config).await
    }
}
