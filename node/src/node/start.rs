//! Wiring: the only file that sees all parts.

use std::sync::Arc;

use ironlight_spv::sync::HeaderSync;
use ironlight_spv::{HeaderChain, Params};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::{Node, NodeConfig, NodeError, StartPoint};
use crate::bridge::{BitcoinPeers, BitcoinPeersConfig, Networks};
#[cfg(feature = "libp2p")]
use crate::bridge::{LightPeers, NetworksHandle, ServedData, ServedFilters};
#[cfg(feature = "libp2p")]
use crate::chain::ChainHandle;
use crate::chain::{Joined, Writer, commit_blocking, fetch_start};
use crate::clock::Clock;
use crate::handle::{NodeHandle, Parts};
#[cfg(feature = "libp2p")]
use crate::net::PeerNetwork;
use crate::net::data::DataPeers;
#[cfg(feature = "libp2p")]
use crate::net::data::Offers;
use crate::net::relay::Relay;
use crate::net::suspend::Suspension;
#[cfg(feature = "libp2p")]
use crate::net::swarm::SwarmStart;
use crate::net::{PeerNumbers, Requests};
use crate::opened::OpenedChain;
#[cfg(feature = "libp2p")]
use crate::services::Services;
use crate::services::{Kept, ServicesStart};
use crate::store::{Lent, Store, headers};

impl Node {
    pub(super) async fn start_on(
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
