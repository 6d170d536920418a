//! What the task starts with, and the wallet as it is stored.

use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::WalletTask;
use crate::blocks::Blocks;
use crate::bridge::NetworksHandle;
use crate::chain::ChainHandle;
use crate::clock::Clock;
use crate::filters::Filters;
use crate::net::data::{DataPeers, PeerList};
use crate::net::relay::{Relay, RelayEvent};
use crate::store::Store;
use crate::wallet::broadcast::{BroadcastConfig, Broadcasts};
use crate::wallet::fees::FeeEstimator;
use crate::wallet::service::handle::{Shared, WalletHandle};
use crate::wallet::service::scan::Scanner;
use crate::wallet::service::states::{Kept, salt};
use crate::wallet::{LoadError, Wallet};

/// Commands that may wait.
const COMMANDS: usize = 16;

/// What the task starts with.
pub(crate) struct WalletTaskConfig {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) chain: ChainHandle,
    pub(crate) filters: Filters,
    pub(crate) blocks: Blocks,
    pub(crate) networks: NetworksHandle,
    pub(crate) peers: DataPeers,
    pub(crate) relay: Relay,
    pub(crate) relayed: mpsc::Receiver<RelayEvent>,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    /// Nobody foresees it.
    pub(crate) salt_seed: u64,
}

impl WalletTask {
    /// Loads what is stored. It blocks.
    ///
    /// # Errors
    /// [`LoadError`] where the store fails. Damaged rows are mended: what is watched stays, as far as
    /// it can be read, and blocks are looked at again; the notes say so.
    pub(crate) fn open(
        start: WalletTaskConfig,
    ) -> Result<(Self, WalletHandle, Vec<String>), LoadError> {
        let WalletTaskConfig { store, chain, filters, blocks, networks, .. } = start;
        let network = chain.read(|chain| chain.params().network);
        let (wallet, mut notes) = load(store.as_ref(), network)?;
        let (kept, lost) = Kept::open(&store, &wallet, salt(start.salt_seed))?;
        notes.extend(lost);
        let broadcasts = load_broadcasts(store.as_ref(), start.seed, &mut notes)?;
        let apart = crate::store::apart::load(store.as_ref())?;
        let (commands, commands_in) = mpsc::channel(COMMANDS);
        let shared = Arc::new(Shared {
            wallet: RwLock::new(wallet),
            kept: RwLock::new(kept),
            broadcasts: Mutex::new(broadcasts),
            fees: Mutex::new(FeeEstimator::new(network)),
            store,
            chain: chain.clone(),
            blocks: blocks.clone(),
            commands,
            status: watch::Sender::default(),
        });
        let mut task = Self {
            scanner: Scanner::new(filters, blocks, chain),
            scan: None,
            step: None,
            again: None,
            wanted: None,
            networks,
            relay: start.relay,
            relayed: start.relayed,
            peers: start.peers.subscribe(),
            known: PeerList::default(),
            apart,
            commands: commands_in,
            clock: start.clock,
            shared: Arc::clone(&shared),
        };
        task.remember_broadcasts();
        Ok((task, WalletHandle(shared), notes))
    }
}

/// The wallet as it is stored; where rows are damaged, what can be saved of it.
fn load(
    store: &dyn Store,
    network: ironlight_spv::Network,
) -> Result<(Wallet, Vec<String>), LoadError> {
    match Wallet::load(store, network) {
        Ok(wallet) => Ok((wallet, Vec::new())),
        Err(LoadError::Row { table, row, fault }) => {
            let salvage = Wallet::salvage(store, network)?;
            store.commit(salvage.batch)?;
            let mut notes = vec![format!(
                "the {table} row {row} was damaged ({fault}): {} watched items were kept, blocks are \
                 looked at again",
                salvage.kept
            )];
            notes.extend(salvage.lost.iter().map(|row| {
                format!("what the wallet row {row} watched cannot be read: add it again")
            }));
            notes.iter().for_each(|note| warn!("{note}"));
            Ok((Wallet::load(store, network)?, notes))
        }
        Err(error) => Err(error),
    }
}

/// The broadcasts as they are stored, without those that cannot be read.
fn load_broadcasts(
    store: &dyn Store,
    seed: u64,
    notes: &mut Vec<String>,
) -> Result<Broadcasts, LoadError> {
    let load = || Broadcasts::load(store, BroadcastConfig::default(), seed);
    let error = match load() {
        Err(error @ LoadError::Row { .. }) => error,
        loaded => return loaded,
    };
    let (batch, lost) = Broadcasts::salvage(store)?;
    store.commit(batch)?;
    warn!(%error, dropped = lost.len(), "transactions that were sent cannot be read");
    notes.push(format!("{error}: {} such rows were dropped", lost.len()));
    load()
}
