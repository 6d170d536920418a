//! What everybody else holds of the wallet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bitcoin::{BlockHash, Transaction, Txid};
use ironlight_spv::compress::state::StateError;
use ironlight_spv::{BlockHeight, UnixTime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::commands::{Answer, Command};
use super::states::Kept;
use super::status::ScanStatus;
use crate::blocks::{Blocks, Cause};
use crate::chain::{ChainHandle, Stopped};
use crate::proven::{self, ProofError, TransactionProof};
use crate::states::StatesError;
use crate::store::{Store, StoreError};
use crate::wallet::broadcast::{BroadcastStatus, Broadcasts, SubmitError, Submitted};
use crate::wallet::claim::{ImportRefused, NoClaim, NotComparable};
use crate::wallet::fees::{FeeEstimate, FeeEstimator, NoEstimate};
use crate::wallet::file::FileError;
use crate::wallet::states::{Behind, NotComplete};
use crate::wallet::watch::{WatchError, WatchId, WatchItem, WatchRequest, Watched};
use crate::wallet::{
    AccountName, Balance, HistoryPage, LoadError, PendingEntry, Place, PlanError, Unwatched, Utxo,
    Wallet,
};

/// How long a block is waited for, for a question.
const PATIENCE: Duration = Duration::from_secs(30);
/// Blocks that an estimate of fees looks at, the newest ones.
const FEE_BLOCKS: u32 = 6;
/// Headers' times may be off: a birthday by time is so much earlier (Core, `TIMESTAMP_WINDOW`).
const TIMESTAMP_WINDOW: u32 = 2 * 60 * 60;

/// When something watched can have been paid to first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birthday {
    /// In this block or later.
    Height(BlockHeight),
    /// At this time or later, by the clocks of miners.
    Time(UnixTime),
}

/// Why the wallet does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// It cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// It cannot be broadcast.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The request does not fit the wallet.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A row of the wallet cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The history is not complete at a height.
    #[error(transparent)]
    NotComplete(#[from] NotComplete),
    /// The history is not complete up to the tip.
    #[error(transparent)]
    Behind(#[from] Behind),
    /// The states of the wallet are lost; a restart makes them anew.
    #[error("the wallet's states are lost: the next start makes them anew, the log says why")]
    StatesLost,
    /// The states cannot be read or kept.
    #[error(transparent)]
    States(#[from] StatesError),
    /// A file is no wallet, or none can be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not imported.
    #[error(transparent)]
    Import(#[from] ImportRefused),
    /// What a file claims cannot be compared.
    #[error(transparent)]
    NotComparable(#[from] NotComparable),
    /// There is no claim, or its state is lost.
    #[error("there is no state of a file: import one")]
    NoClaim,
    /// There is nothing to estimate a fee from.
    #[error(transparent)]
    NoEstimate(#[from] NoEstimate),
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Work that takes long, off the async threads.
pub(crate) async fn off_async<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WalletError> + Send + 'static,
) -> Result<T, WalletError> {
    tokio::task::spawn_blocking(work).await.map_err(|_stopping| Stopped)?
}

/// Asks the wallet and tells it what to do. Cheap to clone; what it reads is of one moment.
#[derive(Clone, Debug)]
pub struct WalletHandle(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) wallet: RwLock<Wallet>,
    pub(super) kept: RwLock<Kept>,
    pub(super) broadcasts: Mutex<Broadcasts>,
    pub(super) fees: Mutex<FeeEstimator>,
    pub(super) store: Arc<dyn Store>,
    pub(super) chain: ChainHandle,
    pub(super) blocks: Blocks,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) status: watch::Sender<ScanStatus>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wallet").field("status", &*self.status.borrow()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Reads the wallet; keep the closure short.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Wallet) -> T) -> T {
        read(&self.wallet.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what is not stored: transactions that wait.
    pub(super) fn write<T>(&self, write: impl FnOnce(&mut Wallet) -> T) -> T {
        write(&mut self.wallet.write().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn broadcasts(&self) -> MutexGuard<'_, Broadcasts> {
        self.broadcasts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fees(&self) -> MutexGuard<'_, FeeEstimator> {
        self.fees.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<NoClaim> for WalletError {
    fn from(_none: NoClaim) -> Self {
        Self::NoClaim
    }
}

impl From<StateError> for WalletError {
    fn from(error: StateError) -> Self {
        Self::States(error.into())
    }
}

impl WalletHandle {
    pub(super) async fn tell<T>(
        &self,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<T, WalletError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.commands.send(command(answer)).await;
        sent.map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)?
    }

    /// Watches an address, a script or a descriptor. Watching it again changes nothing, or only what
    /// is new. When this returns it is on the disk; the blocks since its birthday are looked at in
    /// the background ([`synced`](Self::synced) waits for that). Given up, it may have been done or
    /// not.
    ///
    /// # Errors
    /// [`WalletError`]
    pub async fn watch(&self, request: WatchRequest) -> Result<Watched, WalletError> {
        self.tell(|answer| Command::Watch { request, answer }).await
    }

    /// Watches something no more; its coins and history are forgotten, where nothing else that is
    /// watched has them. Given up, it may have been done or not.
    ///
    /// # Errors
    /// [`WalletError::Watch`] where nothing has this number.
    pub async fn unwatch(&self, id: WatchId) -> Result<Unwatched, WalletError> {
        self.tell(|answer| Command::Unwatch { id, answer }).await
    }

    /// What is watched, in the order in which it was added.
    #[must_use]
    pub fn watches(&self) -> Vec<WatchItem> {
        self.0.read(|wallet| wallet.watches().cloned().collect())
    }

    /// Whether a script is watched.
    #[must_use]
    pub fn is_watched(&self, script: &bitcoin::Script) -> bool {
        self.0.read(|wallet| !wallet.script_index().owners(script).is_empty())
    }

    /// The accounts that something is watched for.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountName> {
        self.0.read(Wallet::accounts)
    }

    /// The first block that a birthday means. For a time that the chain has not come to it waits
    /// until the chain is synced. Cancel safe.
    ///
    /// # Errors
    /// [`Stopped`]
    pub async fn height_of(&self, birthday: Birthday) -> Result<BlockHeight, Stopped> {
        let time = match birthday {
            Birthday::Height(height) => return Ok(height),
            Birthday::Time(UnixTime(time)) => UnixTime(time.saturating_sub(TIMESTAMP_WINDOW)),
        };
        let chain = &self.0.chain;
        let far = |status: &crate::chain::ChainStatus| {
            status.tip_time >= time || status.phase == crate::chain::Phase::Synced
        };
        chain.when(far).await?;
        Ok(chain.read(|chain| first_at(chain, time)))
    }

    /// What an account has, or all of them together.
    #[must_use]
    pub fn balance(&self, account: Option<&AccountName>) -> Balance {
        self.0.read(|wallet| wallet.balance(account))
    }

    /// Unspent coins of an account, or of all, in the order of the chain.
    #[must_use]
    pub fn utxos(&self, account: Option<&AccountName>) -> Vec<Utxo> {
        self.0.read(|wallet| wallet.utxos(account))
    }

    /// Confirmed transactions of an account, or of all, the newest first: at most `limit` of those
    /// before a place.
    #[must_use]
    pub fn history(
        &self,
        account: Option<&AccountName>,
        before: Option<Place>,
        limit: usize,
    ) -> HistoryPage {
        self.0.read(|wallet| wallet.history(account, before, limit))
    }

    /// Transactions of an account, or of all, that are in no block; those of others are unverified.
    #[must_use]
    pub fn pending(&self, account: Option<&AccountName>) -> Vec<PendingEntry> {
        self.0.read(|wallet| wallet.pending(account))
    }

    /// A confirmed transaction of the wallet. Cancel safe.
    ///
    /// # Errors
    /// [`WalletError`]
    pub async fn transaction(
        &self,
        txid: Txid,
    ) -> Result<Option<crate::wallet::StoredTransaction>, WalletError> {
        let shared = Arc::clone(&self.0);
        off_async(move || {
            Ok(shared.read(|wallet| wallet.transaction(shared.store.as_ref(), &txid))?)
        })
        .await
    }

    /// Looks at blocks again from a height on, for one item or all; from filters that are kept, so far
    /// as they are, without the network. It is done in the background. Given up, it may have been done or
    /// not.
    ///
    /// # Errors
    /// [`WalletError`]
    pub async fn rescan(
        &self,
        which: Option<WatchId>,
        from: BlockHeight,
    ) -> Result<(), WalletError> {
        self.tell(|answer| Command::Rescan { which, from, answer }).await
    }

    /// Brings a transaction to the network until it is in a block, over restarts too. Doing it again
    /// changes nothing. Given up, it may have been done or not.
    ///
    /// # Errors
    /// [`WalletError::Submit`] where no full node would take it.
    pub async fn broadcast(&self, transaction: &Transaction) -> Result<Submitted, WalletError> {
        self.broadcast_bytes(bitcoin::consensus::serialize(transaction), false).await
    }

    /// As [`broadcast`](Self::broadcast), from its bytes. `apart`: over connections that are used for
    /// nothing else, so that who relays it cannot tell which node it is from.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub async fn broadcast_bytes(
        &self,
        bytes: Vec<u8>,
        apart: bool,
    ) -> Result<Submitted, WalletError> {
        self.tell(|answer| Command::Broadcast { bytes, apart, answer }).await
    }

    /// Follows a broadcast no more; whether there was one. Peers that have it keep it.
    ///
    /// # Errors
    /// [`WalletError::Stopped`]
    pub async fn forget(&self, txid: Txid) -> Result<bool, WalletError> {
        self.tell(|answer| Command::Forget { txid, answer }).await
    }

    /// Where a broadcast stands.
    #[must_use]
    pub fn broadcast_status(&self, txid: &Txid) -> Option<BroadcastStatus> {
        self.0.broadcasts().status(txid)
    }

    /// All broadcasts that are kept, the oldest first.
    #[must_use]
    pub fn broadcasts(&self) -> Vec<BroadcastStatus> {
        self.0.broadcasts().statuses()
    }

    /// What a transaction should pay, from the newest blocks and from what peers relay. The blocks are
    /// fetched where they are not there: some 10 MB on mainnet. Cancel safe.
    ///
    /// # Errors
    /// [`WalletError::NoEstimate`]
    pub async fn fee_rate(&self, target: u16) -> Result<FeeEstimate, WalletError> {
        let tip = self.0.chain.tip().height;
        for back in 0..FEE_BLOCKS {
            let Some(height) = tip.minus(back).filter(|height| height.0 > 0) else { break };
            let Some(hash) = self.0.chain.read(|chain| chain.hash_at(height)) else { break };
            // One that cannot be had leaves the estimate to the others: its basis says how many.
            if let Ok(block) = self.0.blocks.get(hash, Cause::Own, soon()).await {
                self.0.fees().handle_block(height, block.block());
            }
        }
        Ok(self.0.fees().estimate(target, tip)?)
    }

    /// Proves that a transaction is in a block of the best chain: one of the wallet's from what it
    /// has kept, any other with the block that it is in. Cancel safe.
    ///
    /// # Errors
    /// [`ProofError`]; none of them means that it is not confirmed.
    pub async fn prove(
        &self,
        txid: Txid,
        block: Option<BlockHash>,
    ) -> Result<TransactionProof, ProofError> {
        if let Some(kept) = self.transaction(txid).await?
            && block.is_none_or(|block| block == kept.block)
        {
            return proven::check(&self.0.chain, txid, kept.block, kept.proof);
        }
        let hash = block.ok_or(ProofError::BlockUnknown { txid })?;
        proven::prove_in_block(&self.0.chain, &self.0.blocks, txid, hash).await
    }

    /// How far the wallet has followed the chain.
    #[must_use]
    pub fn status(&self) -> ScanStatus {
        *self.0.status.borrow()
    }

    /// The same as it changes.
    pub(crate) fn subscribe_status(&self) -> watch::Receiver<ScanStatus> {
        self.0.status.subscribe()
    }

    /// Waits until all that is watched has been looked for up to the tip of the synced best chain.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Stopped`]
    pub async fn synced(&self) -> Result<ScanStatus, Stopped> {
        self.when(|status| status.synced).await
    }

    /// Waits until the wallet has come as far as the caller wants. Cancel safe.
    ///
    /// # Errors
    /// [`Stopped`]
    pub async fn when(&self, fits: impl FnMut(&ScanStatus) -> bool) -> Result<ScanStatus, Stopped> {
        let mut status = self.0.status.subscribe();
        let closed = self.0.commands.closed();
        tokio::select! {
            found = status.wait_for(fits) => found.map(|status| *status).map_err(|_| Stopped),
            () = closed => Err(Stopped),
        }
    }
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// The first block that claims this time or a later one. Times are not in order, so the search goes by
/// the highest time up to each block, in steps that end well before.
fn first_at(chain: &ironlight_spv::HeaderChain, time: UnixTime) -> BlockHeight {
    let start = chain.start_height();
    let heights = start..chain.tip().height.next();
    let mut first = heights.end;
    for (offset, body) in (0_u32..).zip(chain.bodies(heights)) {
        if body.time >= time {
            first = start.plus(offset);
            break;
        }
    }
    first
}
