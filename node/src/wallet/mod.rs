//! What a wallet asks of the node: watched scripts, accounts, broadcast, fees.
//!
//! Pure state and its rows: no sockets, no tasks, no clock. A change is planned, committed and only
//! then applied ([`Planned`]), so memory and disk never differ.
//!
//! [`Wallet`] is what is watched and what the chain has for it; [`broadcast`] brings transactions to the
//! network; [`fees`] estimates what they should pay.
//!
//! Invariants: each coin and each transaction of the wallet is in a block at or below its tip, on
//! the tip's branch, and pays to or spends from a script that is watched at that height. What one
//! block does is one batch, together with the tip.
//!
//! Who can make it grow: whoever pays to a watched script, for a fee each time, and whoever tells of
//! transactions that wait: [`MAX_PENDING`] of those are kept.

pub mod broadcast;
mod coin;
mod error;
pub mod fees;
mod label;
mod plan;
mod scan;
pub mod service;
pub mod watch;

use bitcoin::{Block, BlockHash, Transaction, Txid};
use ironlight_spv::{BlockHeight, Network, UnixTime};

pub use coin::{
    Balance, BlockId, COINBASE_MATURITY, Coin, Entry, HistoryEntry, HistoryPage, Origin,
    PendingEntry, Place, Spend, StoredTransaction, Utxo,
};
pub use error::{LoadError, PlanError, StaleEffects};
pub use label::{AccountName, Label, NameError};
pub use plan::{Effects, Planned, RangeLimit, Unwatched, WalletEvent};
pub use scan::{Job, JobKey, ScanKind, ScanRange};

use self::watch::{WatchError, WatchId, WatchItem, WatchRequest, Watched};
use crate::store::{Store, StoreError, WriteBatch};

/// Transactions of peers that wait, at most; the oldest goes first.
pub const MAX_PENDING: usize = 1_000;

/// A block to look for ours in.
pub struct BlockAt<'a> {
    /// Its height on the best chain.
    pub height: BlockHeight,
    /// Its hash on the best chain.
    pub hash: BlockHash,
    /// The block. Its Merkle root and witness commitment have been checked.
    pub block: &'a Block,
    /// Makes the Merkle proof of the transaction at a position; asked for ours only.
    pub prove: &'a dyn Fn(u32) -> Vec<u8>,
}

impl std::fmt::Debug for BlockAt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { height, hash, .. } = self;
        f.debug_struct("BlockAt")
            .field("height", height)
            .field("hash", hash)
            .finish_non_exhaustive()
    }
}

/// Where the wallet's branch leaves the best chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForkPoint {
    /// It does not: the tip is on the best chain.
    OnBestChain,
    /// Blocks above this one have to be taken off. It is at or below the true fork point: of old
    /// blocks only some hashes are kept, and scanning one twice does no harm.
    Below(BlockId),
    /// No block that the wallet remembers is on the best chain: go back to where it began.
    Unknown,
}

/// What became of a transaction that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingOutcome {
    /// It counts from now on, in place of those that it conflicts with.
    Added {
        /// Waiting transactions that it displaces, with those that spend from them.
        displaced: Vec<Txid>,
    },
    /// It waits already.
    Known,
    /// It is in a block already.
    Confirmed {
        /// Where.
        place: Place,
    },
    /// It has nothing to do with what is watched.
    NotOurs,
    /// A block spends what it spends.
    Conflicts {
        /// The transaction in the block.
        with: Spend,
    },
    /// A transaction of our own spends what it spends, and a peer's word does not displace it.
    OwnGoesFirst {
        /// Our own.
        txid: Txid,
    },
}

/// A batch that mends damaged rows, and what it keeps.
#[derive(Debug)]
pub struct Salvage {
    /// Rewrites the table: what is watched stays, blocks are scanned again from its birthday on.
    pub batch: WriteBatch,
    /// Items that are kept.
    pub kept: usize,
    /// Items whose rows cannot be read, in hexadecimal: these have to be added again.
    pub lost: Vec<String>,
}

/// Everything that is watched, and what the chain has for it.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "the bodies come next")]
pub struct Wallet {
    network: Network,
    revision: u64,
}

#[allow(
    clippy::unimplemented,
    unused_variables,
    clippy::missing_panics_doc,
    clippy::todo,
    reason = "the bodies come next"
)]
impl Wallet {
    /// A wallet that watches nothing.
    #[must_use]
    pub fn new(network: Network) -> Self {
        Self { network, revision: 0 }
    }

    /// The wallet of a store; one that watches nothing where there is none. Blocking.
    ///
    /// # Errors
    /// [`LoadError`] where the store fails, or a row is damaged or contradicts another; see
    /// [`salvage`](Self::salvage).
    pub fn load(store: &dyn Store, network: Network) -> Result<Self, LoadError> {
        unimplemented!()
    }

    /// The way out of [`LoadError::Row`]. Changes nothing: commit its batch, then load.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn salvage(store: &dyn Store, network: Network) -> Result<Salvage, StoreError> {
        unimplemented!()
    }

    /// Up to which block all scripts have been looked for; none before [`plan_begin`](Self::plan_begin).
    #[must_use]
    pub fn tip(&self) -> Option<BlockId> {
        unimplemented!()
    }

    /// Counts the changes that were applied since it was made or loaded.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Says where scanning begins: new blocks are those above `tip`, older ones are for jobs. With
    /// nothing watched the tip may be moved on without looking at blocks, by the same call.
    ///
    /// # Errors
    /// [`PlanError`] where something is watched and there is a tip already.
    pub fn plan_begin(&self, tip: BlockId) -> Result<Planned<()>, PlanError> {
        unimplemented!()
    }

    /// Watches something. Slow for descriptors: about 0.1 ms a script and key.
    ///
    /// # Errors
    /// [`WatchError`]
    pub fn plan_watch(&self, request: WatchRequest) -> Result<Planned<Watched>, WatchError> {
        unimplemented!()
    }

    /// Watches an item no more. Coins and history of scripts that no other item has are forgotten.
    ///
    /// # Errors
    /// [`WatchError::Unknown`]
    pub fn plan_unwatch(&self, id: WatchId) -> Result<Planned<Unwatched>, WatchError> {
        unimplemented!()
    }

    /// What is watched, in the order in which it was added.
    pub fn watches(&self) -> impl Iterator<Item = &WatchItem> {
        [].into_iter()
    }

    /// The accounts that something is watched for.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountName> {
        unimplemented!()
    }

    /// What to scan next, the most urgent first: blocks up to `best`, then birthdays, then what was
    /// derived late. None: all is done.
    #[must_use]
    pub fn next_range(&self, best: BlockHeight) -> Option<ScanRange> {
        unimplemented!()
    }

    /// The jobs that are not done yet.
    pub fn jobs(&self) -> impl Iterator<Item = (JobKey, Job)> {
        [].into_iter()
    }

    /// A block whose filter matched: what it does to coins and history, and that the range is done
    /// up to it. Heights of the range below it did not match, or were given before.
    ///
    /// Looking at a block again changes nothing.
    ///
    /// # Errors
    /// [`PlanError`]
    pub fn plan_block(
        &self,
        range: &ScanRange,
        block: &BlockAt<'_>,
    ) -> Result<Planned<Vec<WalletEvent>>, PlanError> {
        unimplemented!()
    }

    /// The range is done up to a block, whose hash is that of the best chain at its height: no
    /// filter in between matched but those of blocks that were given.
    ///
    /// # Errors
    /// [`PlanError`]
    pub fn plan_scanned(
        &self,
        range: &ScanRange,
        up_to: BlockId,
    ) -> Result<Planned<()>, PlanError> {
        unimplemented!()
    }

    /// Looks at blocks again from a height on, for one item or all. Below its birthday, the birthday
    /// is moved.
    ///
    /// # Errors
    /// [`PlanError::Unknown`]
    pub fn plan_rescan(
        &self,
        which: Option<WatchId>,
        from: BlockHeight,
    ) -> Result<Planned<()>, PlanError> {
        unimplemented!()
    }

    /// Where the wallet's branch leaves the best chain, of which `hash_at` gives the hashes.
    #[must_use]
    pub fn fork_point(&self, hash_at: impl Fn(BlockHeight) -> Option<BlockHash>) -> ForkPoint {
        unimplemented!()
    }

    /// Takes off all blocks above one, however many. The outcome names what is unconfirmed now; for
    /// those to count as waiting read them with [`transaction`](Self::transaction) before the commit.
    ///
    /// # Errors
    /// [`PlanError`]
    pub fn plan_disconnect(&self, fork: BlockId) -> Result<Planned<Vec<WalletEvent>>, PlanError> {
        unimplemented!()
    }

    /// Takes a change into memory, after its batch was committed.
    ///
    /// # Errors
    /// [`StaleEffects`] where another change was applied since it was planned: a bug, and memory and
    /// disk differ now, so load the wallet again.
    pub fn apply(&mut self, effects: Effects) -> Result<(), StaleEffects> {
        unimplemented!()
    }

    /// Counts a transaction that is in no block yet. Not kept on disk: after a start, add those of
    /// our own again ([`Broadcasts::waiting`](broadcast::Broadcasts::waiting)).
    pub fn add_pending(
        &mut self,
        transaction: Transaction,
        origin: Origin,
        now: UnixTime,
    ) -> PendingOutcome {
        unimplemented!()
    }

    /// Counts a waiting transaction no more, nor those that spend from it; gives back which.
    pub fn drop_pending(&mut self, txid: &Txid) -> Vec<Txid> {
        unimplemented!()
    }

    /// Drops transactions of peers that have waited for two weeks, as full nodes do.
    pub fn expire_pending(&mut self, now: UnixTime) -> Vec<Txid> {
        unimplemented!()
    }

    /// What an account has, or all of them together.
    #[must_use]
    pub fn balance(&self, account: Option<&AccountName>) -> Balance {
        unimplemented!()
    }

    /// Unspent coins of an account, or of all, in the order of the chain.
    #[must_use]
    pub fn utxos(&self, account: Option<&AccountName>) -> Vec<Utxo> {
        unimplemented!()
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
        unimplemented!()
    }

    /// Waiting transactions of an account, or of all.
    #[must_use]
    pub fn pending(&self, account: Option<&AccountName>) -> Vec<PendingEntry> {
        unimplemented!()
    }

    /// Where a transaction of ours is confirmed.
    #[must_use]
    pub fn place_of(&self, txid: &Txid) -> Option<Place> {
        unimplemented!()
    }

    /// A confirmed transaction of ours with its proof, from the store. Blocking.
    ///
    /// # Errors
    /// [`LoadError`]
    pub fn transaction(
        &self,
        store: &dyn Store,
        txid: &Txid,
    ) -> Result<Option<StoredTransaction>, LoadError> {
        unimplemented!()
    }
}
