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

mod block;
pub mod broadcast;
pub mod claim;
mod coin;
mod draft;
mod error;
pub mod fees;
pub mod file;
mod items;
mod label;
mod ledger;
mod load;
mod marks;
mod pending;
mod plan;
mod query;
mod rows;
mod scan;
pub mod service;
pub mod states;
pub mod watch;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod testing;

use std::collections::BTreeMap;

use bitcoin::{Block, BlockHash, Txid};
use ironlight_spv::{BlockHeight, Network};

pub use coin::{
    Balance, BlockId, COINBASE_MATURITY, Coin, Entry, HistoryEntry, HistoryPage, Origin,
    PendingEntry, Place, Spend, StoredTransaction, Utxo,
};
pub use error::{LoadError, PlanError, StaleEffects};
pub use label::{AccountName, Label, NameError};
pub use plan::{Effects, Planned, RangeLimit, Unwatched, WalletEvent};
pub use scan::{Job, JobKey, ScanKind, ScanRange};

use self::claim::Claim;
use self::draft::Draft;
use self::ledger::Ledger;
use self::marks::Marks;
use self::pending::Pending;
use self::watch::WatchedItems;
use crate::store::WriteBatch;

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
pub struct Wallet {
    network: Network,
    /// Counts changes.
    revision: u64,
    /// Counts what makes ranges stale.
    epoch: u64,
    marks: Marks,
    watched: WatchedItems,
    ledger: Ledger,
    jobs: BTreeMap<JobKey, Job>,
    /// Of the last file that was imported.
    claim: Option<Claim>,
    pending: Pending,
}

impl Wallet {
    /// A wallet that watches nothing.
    #[must_use]
    pub fn new(network: Network) -> Self {
        Self {
            network,
            revision: 0,
            epoch: 0,
            marks: Marks::default(),
            watched: WatchedItems::default(),
            ledger: Ledger::default(),
            jobs: BTreeMap::new(),
            claim: None,
            pending: Pending::default(),
        }
    }

    /// Its network.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.network
    }

    /// Up to which block all scripts have been looked for; none before [`plan_begin`](Self::plan_begin).
    #[must_use]
    pub fn tip(&self) -> Option<BlockId> {
        self.marks.tip()
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
    /// [`PlanError::Begun`] where something is watched and there is a tip already.
    pub fn plan_begin(&self, tip: BlockId) -> Result<Planned<()>, PlanError> {
        if let Some(tip) = self.tip().filter(|_| !self.watched.is_empty()) {
            return Err(PlanError::Begun { tip: tip.height });
        }
        let mut draft = Draft::new(self);
        draft.changes.marks = Some(Marks::default().with(tip));
        draft.changes.new_epoch = true;
        draft.drop_done_jobs();
        Ok(draft.finish(()))
    }

    /// Where the wallet's branch leaves the best chain, of which `hash_at` gives the hashes.
    #[must_use]
    pub fn fork_point(&self, hash_at: impl Fn(BlockHeight) -> Option<BlockHash>) -> ForkPoint {
        let is_on_best = |block: &&BlockId| hash_at(block.height) == Some(block.hash);
        match self.marks.blocks().iter().rfind(is_on_best) {
            Some(block) if Some(*block) == self.tip() => ForkPoint::OnBestChain,
            Some(block) => ForkPoint::Below(*block),
            None if self.tip().is_none() => ForkPoint::OnBestChain,
            None => ForkPoint::Unknown,
        }
    }

    /// Takes off all blocks above one, however many. The outcome names what is unconfirmed now; for
    /// those to count as waiting, read them with [`transaction`](Self::transaction) before the commit.
    ///
    /// # Errors
    /// [`PlanError`]
    pub fn plan_disconnect(&self, fork: BlockId) -> Result<Planned<Vec<WalletEvent>>, PlanError> {
        let tip = self.tip().ok_or(PlanError::NotBegun)?;
        if fork.height > tip.height {
            return Err(PlanError::AboveTip { fork: fork.height, tip: tip.height });
        }
        if let Some(known) = self.marks.hash_at(fork.height).filter(|known| *known != fork.hash) {
            return Err(PlanError::OtherBranch { height: fork.height, known });
        }
        let mut draft = Draft::new(self);
        let events = draft.disconnect(fork);
        Ok(draft.finish(events))
    }

    /// Takes a change into memory, after its batch was committed.
    ///
    /// # Errors
    /// [`StaleEffects`] where another change was applied since it was planned: a bug, and memory and
    /// disk differ now, so load the wallet again.
    pub fn apply(&mut self, effects: Effects) -> Result<(), StaleEffects> {
        let Effects { revision, changes } = effects;
        if revision != self.revision {
            return Err(StaleEffects { planned: revision, now: self.revision });
        }
        self.take_in(*changes);
        self.revision = self.revision.saturating_add(1);
        Ok(())
    }
}
