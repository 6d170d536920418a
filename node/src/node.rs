//! Wiring: the only file that sees all parts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ironlight_hardening::TokioTimer;
use ironlight_hardening::health::{HealthRegistry, HealthReport};
use ironlight_spv::chain::HeaderError;
use ironlight_spv::sync::{HeaderSync, SyncConfig};
use ironlight_spv::{BlockHash, BlockHeight, HeaderChain, Network, Params};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::audit::NodeAudit;
use crate::blocks::{self, BlocksReport};
use crate::bridge::{BitcoinPeers, BitcoinPeersConfig, Networks, NetworksHandle};
#[cfg(feature = "libp2p")]
use crate::bridge::{LightPeers, ServedData, ServedFilters};
use crate::builder::NodeBuilder;
use crate::chain::{
    ChainHandle, Joined, SnapshotPeers, Stopped, Writer, WriterError, commit_blocking, fetch_start,
};
use crate::clock::Clock;
use crate::events::EVENTS_KEPT;
use crate::filters::{FilterConfig, Filters};
use crate::flags::{FlagError, NodeFlags};
use crate::handle::{NodeHandle, Parts};
#[cfg(feature = "libp2p")]
use crate::net::PeerNetwork;
use crate::net::data::DataPeers;
#[cfg(feature = "libp2p")]
use crate::net::data::Offers;
use crate::net::relay::Relay;
use crate::net::suspend::Suspension;
#[cfg(feature = "libp2p")]
use crate::net::swarm::{LightNetConfig, SwarmError, SwarmStart};
use crate::net::{NetworkReport, PeerNumbers, RequestConfig, Requests};
use crate::opened::{self, OpenedChain};
use crate::services::{Kept, Services, ServicesStart, Tasks};
use crate::store::{Backend, CustomStore, Lent, Store, StoreError, headers};

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
}

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

/// A running node. Dropping it without [`stop`](Self::stop) stops it as well, at once and still
/// safely: what was published is committed. Its tasks end, and its directory is free, as soon as the
/// runtime has seen to it; handles that are left keep neither.
#[derive(Debug)]
pub struct Node {
    /// The first to be given up: see its module.
    audit: NodeAudit,
    chain: ChainHandle,
    networks: NetworksHandle,
    health: HealthRegistry<TokioTimer>,
    notes: Vec<String>,
    flags: NodeFlags,
    services: Services,
    handle: NodeHandle,
    stop: CancellationToken,
    /// None once it has ended and its outcome was told.
    writer: Option<JoinHandle<Result<(), WriterError>>>,
    /// Those beside it. None of them ends by itself but for a store that fails.
    tasks: Tasks,
    #[cfg(feature = "daemon")]
    control: Option<JoinHandle<()>>,
    /// Open for as long as the audit log beside it: the last to be given up.
    _kept: Kept,
}

impl Node {
    /// Says step by step what a node is to be.
    pub fn builder(network: Network) -> NodeBuilder {
        NodeBuilder::new(network)
    }

    /// Opens the store, verifies the stored chain again, and starts to sync.
    ///
    /// With a start point and an empty store it waits for a peer that gives the start point's
    /// header. When the future is dropped, nothing goes on but a store that is just being opened;
    /// the directory is free again once it is.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(config: NodeConfig) -> Result<Self, NodeError> {
        config.check()?;
        let clock = Clock::start();
        let opened = opened::open(config.storage.clone(), &config.params, clock).await?;
        let audit = opened.audit.clone();
        // Large enough to be no part of the futures of whoever starts a node.
        let started = Box::pin(Self::start_on(config, opened, clock)).await;
        if let Err(error) = &started {
            audit.failed(error);
            audit.stop().await;
        }
        started
    }

    async fn start_on(
        config: NodeConfig,
        opened: OpenedChain,
        clock: Clock,
    ) -> Result<Self, NodeError> {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let (relay, relayed) = Relay::new(config.watch_mempool);
        let (peers, suspension) = (DataPeers::default(), Suspension::default());
        let mut network = join(&config, &opened, (&peers, &relay, &suspension), clock, &stop)?;
        let networks = network.handle();
        let snapshots = config.snapshot_peers(&peers);
        let from = (config.params, config.start_point, clock);
        let (chain, joined) = opened_chain(opened.chain, &opened.store, &mut network, from).await?;
        let sync = HeaderSync::new(config.sync, random_seed());
        let (of, store, audit) = (chain.params().network, Arc::clone(&opened.store), opened.audit);
        let kept = Kept { store: Arc::clone(&store), tracker: TaskTracker::new() };
        let (writer, chain) =
            Writer::new(chain, opened.store, sync, network, clock, audit.clone(), joined);
        let writer = writer.with_snapshots(snapshots);
        chain.keep_events(config.events_kept);
        let services = ServicesStart {
            filters: config.filters,
            block_cache: config.block_cache,
            kept: kept.clone(),
            chain: chain.clone(),
            networks: networks.clone(),
            peers,
            relay,
            relayed,
            clock,
            suspension: suspension.clone(),
            seed: random_seed(),
        };
        let (services, tasks, notes) = services.run(&stop).await?;
        #[cfg(feature = "libp2p")]
        serve(&networks, &services, &chain).await;
        guard.disarm();
        let handle = NodeHandle::new(Parts {
            chain: chain.clone(),
            networks: networks.clone(),
            services: services.clone(),
            store: Lent::from(&store),
            suspension,
            stop: stop.clone(),
            tracker: kept.tracker.clone(),
        });
        Ok(Self {
            audit,
            health: crate::health::checks(&chain, &networks, &store, of),
            chain,
            networks,
            notes: opened.notes.into_iter().chain(notes).collect(),
            flags: opened.flags,
            writer: Some(tokio::spawn(kept.run(writer.run(stop.clone())))),
            tasks,
            services,
            handle,
            stop,
            #[cfg(feature = "daemon")]
            control: None,
            _kept: kept,
        })
    }

    /// Reads the chain, and hears of its changes.
    #[must_use]
    pub const fn chain(&self) -> &ChainHandle {
        &self.chain
    }

    /// Which compact filters are there.
    #[must_use]
    pub const fn filters(&self) -> &Filters {
        &self.services.filters
    }

    /// What is watched, what the chain has for it, and what is brought to the network.
    #[cfg(feature = "wallet")]
    #[must_use]
    pub const fn wallet(&self) -> &crate::wallet::service::WalletHandle {
        &self.services.wallet
    }

    /// Reads the node and tells it what to do, from anywhere. Cheap to clone.
    #[must_use]
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Every network that the node is in, with its peers. Cancel safe.
    pub async fn networks(&self) -> Vec<NetworkReport> {
        self.networks.reports().await
    }

    /// Runs the checks of store, networks, sync and tip, and says how each is. Cancel safe.
    pub async fn health(&self) -> HealthReport {
        self.health.run_all().await;
        self.health.readiness()
    }

    /// What store, flags and audit log had to say when they were opened: damage found and mended,
    /// and what is done without.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What can be turned off while the node runs: `serving`, `gossip`, `discovery` and
    /// `hardening`. The first three are about light nodes.
    #[must_use]
    pub const fn flags(&self) -> &NodeFlags {
        &self.flags
    }

    /// Answers on the control socket in a directory, until the node stops.
    ///
    /// # Errors
    /// [`NodeError::Socket`].
    #[cfg(feature = "daemon")]
    pub fn open_control_socket(&mut self, directory: &std::path::Path) -> Result<(), NodeError> {
        let socket = crate::api::socket::ControlSocket::open(directory)?;
        let router = self.control_router();
        self.control = Some(tokio::spawn(socket.serve(router, self.stop.child_token())));
        Ok(())
    }

    /// What answers on the control socket, for those who serve it elsewhere. It asks nobody who they are: whoever
    /// reaches it can do all that the node's owner can.
    #[cfg(feature = "daemon")]
    pub fn control_router(&self) -> axum::Router {
        crate::api::router(
            self.chain.clone(),
            self.networks.clone(),
            self.health.clone(),
            self.flags.clone(),
            self.services.clone(),
        )
    }

    /// Waits until the node stops by itself, which it does only where something is wrong. Cancel
    /// safe.
    ///
    /// # Errors
    /// What is wrong; told once.
    pub async fn failed(&mut self) -> Result<(), NodeError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let ended = tokio::select! {
            outcome = writer => {
                self.writer = None;
                writer_ended(outcome)
            }
            Some(outcome) = self.tasks.join_next() => task_ended(outcome),
        };
        if let Err(error) = &ended {
            self.audit.failed(error);
        }
        ended
    }

    /// Waits for every task to end, and says what went wrong first.
    async fn ended(&mut self) -> Result<(), NodeError> {
        let mut first = Ok(());
        while let Some(outcome) = self.tasks.join_next().await {
            first = first.and(task_ended(outcome));
        }
        if let Some(writer) = self.writer.take() {
            first = first.and(writer_ended(writer.await));
        }
        if let Err(error) = &first {
            self.audit.failed(error);
        }
        first
    }

    /// Stops the node in order: control socket, peers, the writer once its last batch is
    /// committed, and the audit log once all is on the disk.
    ///
    /// # Errors
    /// What went wrong on the way out.
    pub async fn stop(mut self) -> Result<(), NodeError> {
        self.stop.cancel();
        #[cfg(feature = "daemon")]
        if let Some(control) = self.control.take()
            && let Err(error) = control.await
        {
            warn!(%error, "control socket");
        }
        let ended = self.ended().await;
        let BlocksReport { own, strangers, kept: (_, bytes) } = self.services.blocks.report();
        info!(
            own = own.blocks,
            own_bytes = own.bytes,
            strangers = strangers.blocks,
            strangers_bytes = strangers.bytes,
            kept_bytes = bytes,
            "blocks fetched since the start"
        );
        self.audit.stop().await;
        ended
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl NodeConfig {
    /// The DNS seeds to ask.
    const fn seeds(&self) -> &'static [&'static str] {
        if self.dns_seeds { self.params.dns_seeds } else { &[] }
    }

    fn in_bitcoin(&self) -> bool {
        !self.connect.is_empty() || !self.seeds().is_empty()
    }

    #[cfg(feature = "libp2p")]
    fn in_libp2p(&self) -> bool {
        self.libp2p.as_ref().is_some_and(|libp2p| {
            !(libp2p.peers.is_empty() && libp2p.listen.is_empty()) || libp2p.mdns
        })
    }

    #[cfg(not(feature = "libp2p"))]
    #[allow(clippy::unused_self, reason = "the other one needs it")]
    const fn in_libp2p(&self) -> bool {
        false
    }

    /// Where chunks of snapshots come from; none where there is nobody to expect, or they are not wanted.
    #[cfg(all(feature = "snapshot", feature = "libp2p"))]
    fn snapshot_peers(&self, peers: &DataPeers) -> Option<SnapshotPeers> {
        let wanted = self.libp2p.as_ref().filter(|libp2p| !libp2p.no_snapshots)?;
        Some(SnapshotPeers { peers: peers.clone(), expected: wanted.expected_peers()? })
    }

    #[cfg(not(all(feature = "snapshot", feature = "libp2p")))]
    #[allow(clippy::unused_self, reason = "the other one needs it")]
    const fn snapshot_peers(&self, _peers: &DataPeers) -> Option<SnapshotPeers> {
        None
    }

    fn check(&self) -> Result<(), NodeError> {
        if self.in_bitcoin() || self.in_libp2p() {
            return Ok(());
        }
        Err(NodeError::NoPeers { network: self.params.network })
    }
}

fn writer_ended(outcome: Result<Result<(), WriterError>, JoinError>) -> Result<(), NodeError> {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(WriterError::Store(error))) => Err(error.into()),
        Ok(Err(WriterError::Network(reason))) => Err(NodeError::Task { reason }),
        Err(error) => Err(NodeError::Task { reason: error.to_string() }),
    }
}

fn task_ended(outcome: Result<Result<(), StoreError>, JoinError>) -> Result<(), NodeError> {
    match outcome {
        Ok(ended) => Ok(ended?),
        Err(error) => Err(NodeError::Task { reason: error.to_string() }),
    }
}

/// Joins the networks that the node is to be in.
fn join(
    config: &NodeConfig,
    opened: &OpenedChain,
    (peers, relay, suspension): (&DataPeers, &Relay, &Suspension),
    clock: Clock,
    stop: &CancellationToken,
) -> Result<Networks, NodeError> {
    let numbers = PeerNumbers::default();
    let switches = opened.flags.switches()?;
    let guarded = Some(switches.hardening.clone());
    let limits = config.requests.within(config.sync.request_timeout);
    let requests = Requests::new(limits, guarded, opened.audit.clone(), random_seed());
    let mut networks = Networks { data: peers.clone(), ..Networks::default() };
    if config.in_bitcoin() {
        let peers = BitcoinPeersConfig {
            params: &config.params,
            connect: config.connect.clone(),
            seeds: config.seeds(),
            bans: opened.bans.clone(),
            numbers: numbers.clone(),
            requests: &requests,
            audit: opened.audit.clone(),
            data: peers.clone(),
            relay: relay.clone(),
            suspension: suspension.clone(),
            seed: random_seed(),
        };
        networks.bitcoin = Some(BitcoinPeers::start(peers, clock, stop.clone()));
    }
    #[cfg(feature = "libp2p")]
    if let Some(libp2p) = config.libp2p.clone().filter(|_| config.in_libp2p()) {
        let (params, bans, seed) = (&config.params, opened.bans.clone(), random_seed());
        let audit = opened.audit.clone();
        let requests = requests.network(PeerNetwork::LibP2p.name());
        let start = SwarmStart {
            params,
            config: libp2p,
            bans,
            numbers,
            clock,
            seed,
            switches,
            requests,
            audit,
            data: peers.clone(),
            offers: Offers {
                filters: config.filters.from.is_some(),
                blocks: true,
                proofs: true,
                snapshots: cfg!(feature = "snapshot"),
            },
            suspension: suspension.clone(),
        };
        networks.light = Some(LightPeers::start(start, stop.clone())?);
    }
    Ok(networks)
}

/// From now on light nodes are served.
#[cfg(feature = "libp2p")]
async fn serve(networks: &NetworksHandle, services: &Services, chain: &ChainHandle) {
    networks.serve(chain.clone()).await;
    let filters = ServedFilters::new(services.filters.clone(), chain.clone());
    let served = ServedData::new(services.blocks.clone(), Some(Arc::new(filters)));
    networks.serve_data(served).await;
}

/// The stored chain, or a new one that begins where the user wants it to; and who joined meanwhile.
async fn opened_chain(
    stored: Option<HeaderChain>,
    store: &Arc<dyn Store>,
    network: &mut Networks,
    (params, start_point, clock): (Params, Option<StartPoint>, Clock),
) -> Result<(HeaderChain, Joined), NodeError> {
    let (chain, joined) = match (stored, start_point) {
        (Some(chain), point) => (check_start(chain, point)?, Joined::new()),
        (None, None) => (begin(store, HeaderChain::new(params)).await?, Joined::new()),
        (None, Some(point)) => {
            let (chain, joined) = fetch_start(network, params, point, clock).await?;
            (begin(store, chain).await?, joined)
        }
    };
    info!(height = chain.tip().height.0, basis = %chain.basis(), "chain opened");
    let begun = chain.tip().height > chain.start_height();
    if begun && chain.tip().work < chain.params().minimum_chain_work {
        warn!("the stored chain is below the minimum chain work");
    }
    Ok((chain, joined))
}

/// A stored chain starts where the user wants it to.
fn check_start(chain: HeaderChain, point: Option<StartPoint>) -> Result<HeaderChain, NodeError> {
    match point {
        Some(StartPoint { height, hash }) if !headers::starts_with(&chain, height, hash) => {
            let (stored, stored_hash) = (chain.start_height(), chain.start().header.hash());
            Err(NodeError::OtherStart { stored, stored_hash, wanted: StartPoint { height, hash } })
        }
        Some(_) | None => Ok(chain),
    }
}

/// Records in a store where a new chain begins.
async fn begin(store: &Arc<dyn Store>, chain: HeaderChain) -> Result<HeaderChain, NodeError> {
    let writes = headers::begin(&chain);
    commit_blocking(store, writes).await?;
    Ok(chain)
}

/// Where randomness comes in: each node's choices differ, so that nobody can foresee them.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
