//! What works beside the chain's writer: filters, blocks, and the wallet.

use std::future::Future;
use std::sync::Arc;

use ironlight_spv::peers::SplitMix64;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::blocks::{Blocks, BlocksConfig};
use crate::bridge::NetworksHandle;
use crate::chain::ChainHandle;
use crate::clock::Clock;
use crate::filters::{FilterConfig, FilterTask, FilterTaskConfig, Filters};
use crate::net::data::DataPeers;
use crate::net::relay::{Relay, RelayEvent};
use crate::net::suspend::Suspension;
use crate::node::NodeError;
use crate::store::{Lent, Store, StoreError};
#[cfg(feature = "wallet")]
use crate::wallet::service::{WalletHandle, WalletTask, WalletTaskConfig};

/// Tasks of a node. None of them ends by itself but where the store fails.
pub(crate) type Tasks = JoinSet<Result<(), StoreError>>;

/// What a task's own work is wrapped in.
#[derive(Clone)]
pub(crate) struct Kept {
    /// Kept open until the task is gone. What the task shares with others has it lent.
    pub(crate) store: Arc<dyn Store>,
    /// Knows which tasks are not gone.
    pub(crate) tracker: TaskTracker,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("tracker", &self.tracker).finish_non_exhaustive()
    }
}

impl Kept {
    /// The same work, which keeps the store open.
    pub(crate) fn run<W: Future + Send>(
        &self,
        work: W,
    ) -> impl Future<Output = W::Output> + Send + use<W>
    where
        W::Output: Send,
    {
        let store = Arc::clone(&self.store);
        self.tracker.track_future(async move {
            let ended = work.await;
            drop(store);
            ended
        })
    }
}

/// Reads and asks them. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    pub(crate) filters: Filters,
    pub(crate) blocks: Blocks,
    #[cfg(feature = "wallet")]
    pub(crate) wallet: WalletHandle,
}

/// What the services start with.
pub(crate) struct ServicesStart {
    pub(crate) filters: FilterConfig,
    pub(crate) block_cache: usize,
    pub(crate) kept: Kept,
    pub(crate) chain: ChainHandle,
    pub(crate) networks: NetworksHandle,
    pub(crate) peers: DataPeers,
    pub(crate) relay: Relay,
    pub(crate) relayed: mpsc::Receiver<RelayEvent>,
    pub(crate) clock: Clock,
    pub(crate) suspension: Suspension,
    pub(crate) seed: u64,
}

impl ServicesStart {
    /// Loads what is stored, off the async threads, and starts the tasks; also what there is to say
    /// about damage that was mended.
    ///
    /// # Errors
    /// [`NodeError`]
    pub(crate) async fn run(
        self,
        stop: &CancellationToken,
    ) -> Result<(Services, Tasks, Vec<String>), NodeError> {
        let stop = stop.clone();
        let runtime = tokio::runtime::Handle::current();
        let opening = tokio::task::spawn_blocking(move || self.open(&stop, &runtime));
        opening.await.map_err(|error| NodeError::Task { reason: error.to_string() })?
    }

    fn open(
        self,
        stop: &CancellationToken,
        runtime: &tokio::runtime::Handle,
    ) -> Result<(Services, Tasks, Vec<String>), NodeError> {
        let (mut tasks, store) = (Tasks::new(), Lent::from(&self.kept.store));
        let mut seeds = SplitMix64::new(self.seed);
        let bounds = BlocksConfig { cache_bytes: self.block_cache, ..BlocksConfig::default() };
        let blocks = Blocks::new(self.chain.clone(), self.peers.clone(), bounds);
        let (task, filters) = FilterTask::open(FilterTaskConfig {
            config: self.filters,
            store: Arc::clone(&store),
            chain: self.chain.clone(),
            peers: self.peers.clone(),
            clock: self.clock,
            suspension: self.suspension,
            seed: seeds.next_u64(),
        })?;
        tasks.spawn_on(self.kept.run(task.run(stop.clone())), runtime);
        #[cfg(feature = "wallet")]
        let (wallet, notes) = {
            let (task, wallet, notes) = WalletTask::open(WalletTaskConfig {
                store,
                chain: self.chain,
                filters: filters.clone(),
                blocks: blocks.clone(),
                networks: self.networks,
                peers: self.peers,
                relay: self.relay,
                relayed: self.relayed,
                clock: self.clock,
                seed: seeds.next_u64(),
                salt_seed: seeds.next_u64(),
            })?;
            tasks.spawn_on(self.kept.run(task.run(stop.clone())), runtime);
            (wallet, notes)
        };
        #[cfg(not(feature = "wallet"))]
        let notes = Vec::new();
        let services = Services {
            filters,
            blocks,
            #[cfg(feature = "wallet")]
            wallet,
        };
        Ok((services, tasks, notes))
    }
}
